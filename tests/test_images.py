"""Any picture becomes RGB as it is meant to be seen, or is refused in one sentence."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.garment_picture import draw_garment
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fedgai.vision import images
from fedgai.vision.channels import brightest_channel, darkest_channel
from fedgai.vision.images import ImageError, read_image, simplify, to_image, to_tensor

GREYS = np.tile(np.linspace(0, 255, 32).round().astype(np.uint8), (24, 1))  # (24, 32), dark to light


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be of this size and holds no picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
    )


@pytest.mark.parametrize(
    "mode",
    ["1", "L", "P", "RGB", "RGBA", "RGBX", "LA", "PA", "La", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "I;16B"],
)
def test_every_mode_shows_the_same_picture(mode: str) -> None:
    source = Image.fromarray(GREYS)
    if mode in ("I;16", "I;16B"):
        source = Image.frombytes(mode, source.size, (GREYS.astype(">u2" if mode[-1] == "B" else "<u2") * 257).tobytes())
    elif mode == "I":
        source = Image.fromarray(GREYS.astype(np.int32) * 257)
    elif mode == "F":
        source = Image.fromarray(GREYS.astype(np.float32) / 255)
    elif mode in ("La", "RGBa"):
        source = source.convert({"La": "LA", "RGBa": "RGBA"}[mode]).convert(mode)
    elif mode == "LAB":
        source = Image.merge("LAB", [source, Image.new("L", source.size, 128), Image.new("L", source.size, 128)])
    elif mode in ("PA", "HSV", "YCbCr"):
        source = source.convert("RGB").convert(mode) if mode != "PA" else source.convert("P").convert("PA")
    else:
        source = source.convert(mode)
    picture = np.asarray(read_image(source)).astype(int)
    assert picture.shape == (24, 32, 3)
    if mode == "1":  # dithered: right on average
        assert abs(picture.mean() - GREYS.mean()) < 4
    else:
        assert np.abs(picture - GREYS[..., None]).max() <= (12 if mode == "LAB" else 2)


def test_sixteen_bits_scale_from_their_own_top() -> None:
    assert read_image(Image.fromarray(np.full((16, 16), 65535, np.uint16))).getpixel((0, 0)) == (255,) * 3
    assert read_image(np.full((16, 16), 32768, np.uint16)).getpixel((0, 0)) == (128,) * 3
    deep = io.BytesIO()
    Image.fromarray(np.full((16, 16), 32768, np.uint16)).save(deep, "PNG")
    assert read_image(deep.getvalue()).getpixel((3, 3)) == (128,) * 3


@given(
    shape=st.sampled_from([(16, 40), (16, 40, 1), (16, 40, 3), (16, 40, 4)]),
    kind=st.sampled_from(["uint8", "uint16", "bool", "float32", "float64"]),
    flip=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_arrays(shape: tuple[int, ...], kind: str, flip: bool) -> None:
    top = {"uint8": 255, "uint16": 65535}.get(kind, 1)
    array = np.full(shape, top).astype(kind)
    picture = read_image(array[::-1] if flip else array)
    assert picture.mode == "RGB" and picture.size == (40, 16)
    assert np.asarray(picture).min() == 255


@given(width=st.integers(16, 90), height=st.integers(16, 90), kind=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"]))
@settings(max_examples=25, deadline=None)
def test_any_size_in_any_format(width: int, height: int, kind: str) -> None:
    picture = read_image(encoded(Image.new("RGB", (width, height), (200, 40, 40)), kind))
    assert picture.size == (width, height)
    assert np.abs(np.asarray(picture).astype(int) - (200, 40, 40)).max() <= 6


def test_exif_rotation_is_applied_and_the_callers_image_is_left_alone() -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    lazy = Image.open(io.BytesIO(encoded(image, "JPEG", exif=exif)))
    picture = read_image(lazy)
    assert picture.size == (20, 40)
    assert picture.getpixel((10, 5)) > (250,) * 3 and picture.getpixel((10, 35)) < (5,) * 3
    assert lazy.size == (40, 20)


def test_transparency_lies_on_white() -> None:
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    assert read_image(clear).getpixel((0, 0)) == (255, 255, 255)
    assert read_image(Image.new("RGBA", (16, 16), (0, 0, 0, 128))).getpixel((0, 0)) == (127,) * 3
    palette = encoded(Image.new("P", (16, 16), 0), "PNG", transparency=0)
    assert read_image(palette).getpixel((0, 0)) == (255, 255, 255)


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (20, 20), c) for c in ("red", "blue")]
    for kind in ("GIF", "WEBP", "TIFF"):
        red, _, blue = read_image(encoded(frames[0], kind, save_all=True, append_images=frames[1:])).getpixel((5, 5))
        assert red > 240 and blue < 15, kind


def test_a_huge_jpeg_is_decoded_smaller() -> None:
    data = encoded(Image.new("L", (9000, 500), 128), "JPEG")
    assert read_image(data).size == (2250, 125)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"", "is empty"),
        (b"this is not a picture", "JPEG or PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "JPEG or PNG"),
        (encoded(Image.new("RGB", (1, 1)), "PNG"), "at least 16 px"),
        (encoded(Image.new("RGB", (400, 15)), "PNG"), "at least 16 px"),
        (png_header(30_000, 20), "scale it"),
        (png_header(20_000, 9_000), "scale it"),
        (png_header(100_000, 100_000), "scale it"),  # 10^10 pixels in 200 bytes
        (png_header(64, 64), "damaged or cut short"),
        (encoded(draw_garment(), "JPEG")[:2000], "damaged or cut short"),
        (encoded(draw_garment(), "PNG")[:2000], "damaged or cut short"),
        (b"\0" * (40 * 2**20), "40 MB"),
        ("no/such/file.jpg", "No such file"),
        (".", "Is a directory"),
        (Image.new("1", (30_000, 20)), "scale it"),
        (np.zeros((20, 20, 2), np.uint8), "not a picture"),
        (np.zeros((20,), np.uint8), "not a picture"),
        (np.zeros((0, 20, 3), np.uint8), "at least 16 px"),
        (np.zeros((20, 20, 3), np.int64), "uint8"),
        (np.full((20, 20, 3), 255.0), "[0, 1]"),
        (np.full((20, 20), np.nan), "[0, 1]"),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{type(value).__name__}",
)
def test_refused_in_one_sentence(source: object, says: str) -> None:
    with pytest.raises(ImageError) as refused:
        read_image(source)
    message = str(refused.value)
    assert says in message and "\n" not in message and len(message) < 200


def test_a_text_file_named_png_and_a_file_of_40_mb(tmp_path: Path) -> None:
    text, large = tmp_path / "notes.png", tmp_path / "large.jpg"
    text.write_text("a skirt, pleated")
    large.write_bytes(b"\xff\xd8\xff" + b"\0" * (40 * 2**20))
    for file, says in ((text, "not a picture"), (large, "at most 32 MB")):
        with pytest.raises(ImageError, match=says):
            read_image(file)


def test_any_bytes_are_a_picture_or_an_image_error() -> None:
    good = encoded(draw_garment(40, 48), "PNG")
    rng = np.random.default_rng(24)
    for _ in range(60):
        damaged = bytearray(good)
        for i in rng.integers(0, len(good), 3):
            damaged[i] = rng.integers(256)
        try:
            read_image(bytes(damaged))
        except ImageError:
            continue


def test_tensors_and_back() -> None:
    image = draw_garment(30, 20)
    tensor = to_tensor(image)
    assert tensor.shape == (3, 20, 30) and tensor.dtype == torch.float32
    assert -1 <= tensor.min() and tensor.max() <= 1
    assert np.array_equal(np.asarray(to_image(tensor)), np.asarray(image))
    assert to_image(torch.tensor([[[-9.0]], [[0.0]], [[9.0]]])).getpixel((0, 0)) == (0, 128, 255)


def test_less_detail_takes_out_the_small_and_keeps_the_large_sharp() -> None:
    photo = np.full((256, 256, 3), 90, np.uint8)
    photo[:, 128:] = 200  # a large edge
    photo[20:236:12, 20:120] = 140  # narrow stripes
    stripes, edge = [], []
    for detail in (1.0, 0.85, 0.6, 0.4, 0.2):
        smooth = simplify(photo, detail).astype(float)
        stripes.append(smooth[20:230, 30:110].std())
        edge.append(np.abs(np.diff(smooth[:8], axis=1)).max())
    assert stripes[0] > stripes[1] > stripes[2] > stripes[3] > stripes[4] and stripes[4] < 0.15 * stripes[0]
    assert min(edge) > 0.5 * edge[0]
    assert simplify(photo, 1.0) is photo


def test_less_detail_does_not_let_the_background_bleed_in() -> None:
    mask = np.zeros((90, 70), np.float32)
    mask[20:70, 15:50] = 1
    photo = np.where(mask[..., None] > 0, np.uint8(60), np.uint8(200)).repeat(3, 2)
    assert np.abs(simplify(photo, 0.2, mask)[mask > 0].astype(int) - 60).max() <= 1


def test_limits_are_what_the_studio_promises() -> None:
    assert images.MAX_BYTES < 40 * 2**20 and images.VISITOR.side < 30_000


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_channels_are_compared_as_numpy_does(kind: type) -> None:
    picture = np.random.default_rng(24).integers(0, 256, (9, 7, 3)).astype(kind)
    for found, expected in ((darkest_channel(picture), picture.min(2)), (brightest_channel(picture), picture.max(2))):
        assert found.dtype == kind and (found == expected).all()
