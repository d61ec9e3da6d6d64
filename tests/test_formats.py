"""Files of every format and of every odd kind: right, or refused with a sentence; never wrong in silence."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from fedgai.vision.images import LOCAL, ImageError, read_image, read_picture

CASES = Path(__file__).resolve().parent / "cases"
COAT = Image.open(CASES / "icc_none_reference.jpg").convert("RGB").resize((288, 384))
LEVELS = np.asarray(COAT)
GREY = np.asarray(COAT.convert("L"))
DEEP = LEVELS.astype(np.uint16) * 257
FLOATS = (LEVELS / 255).astype(np.float32)
PLANES = np.ascontiguousarray(np.moveaxis(DEEP, -1, 0))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tiff(values: np.ndarray, photometric: str = "rgb", **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric=photometric, **options)
    return file.getvalue()


def ycbcr_tiff(across: int = 1, down: int = 1, *, planes: bool = False, order: str = "<") -> bytes:
    """A TIFF without compression of brightness and two colour differences, one pair of these for ``across`` x ``down`` px.

    No library here writes one: Pillow cannot read its own, and tifffile does not write the smaller colour differences.
    """
    values = np.asarray(COAT.convert("YCbCr"))
    height, width = values.shape[:2]
    blocks = values.reshape(height // down, down, width // across, across, 3).swapaxes(1, 2)
    light, colour = blocks[..., 0], blocks[..., 1:].mean((2, 3)).round().astype(np.uint8)
    if planes:
        strips = [values[..., 0].tobytes(), colour[..., 0].tobytes(), colour[..., 1].tobytes()]
    else:
        strips = [np.concatenate([light.reshape(*light.shape[:2], -1), colour], axis=2).tobytes()]
    places = [8 + sum(map(len, strips[:number])) for number in range(len(strips))]
    sizes = [len(strip) for strip in strips]
    tags = {256: width, 257: height, 258: [8, 8, 8], 259: 1, 262: 6, 273: places, 277: 3, 278: height, 279: sizes}
    tags |= {284: 2 if planes else 1, 530: [across, down]}
    body, entries = b"".join(strips), b""
    for tag, value in tags.items():
        numbers = value if isinstance(value, list) else [value]
        kind, letter = (4, "I") if tag in (256, 257, 273, 278, 279) else (3, "H")
        packed = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(packed) > 4:  # it lies elsewhere, and its place is named
            body += packed
            packed = struct.pack(f"{order}I", 8 + len(body) - len(packed))
        entries += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(body))
    return head + body + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def turned(number: object, kind: int = 3) -> dict[str, object]:
    return {"extratags": [(274, kind, 1 if kind == 3 else 2, number, True)]}


def png16(values: np.ndarray) -> bytes:
    return cv2.imencode(".png", values[..., [2, 1, 0, 3][: values.shape[2]]])[1].tobytes()


def blank_first(kind: str, **options: object) -> bytes:
    return encoded(Image.new("RGB", COAT.size, "white"), kind, save_all=True, append_images=[COAT], **options)


def without_adobe(data: bytes) -> bytes:
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0] :]


LAB = ImageCms.profileToProfile(COAT, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")
PROFILE = Image.open(CASES / "icc_prophoto.jpg").info["icc_profile"]
WIDE = Image.open(CASES / "icc_prophoto.jpg").convert("RGB").resize((288, 384))
OPAQUE = np.full((*DEEP.shape[:2], 1), 65535, np.uint16)
RIGHT: dict[str, tuple[Callable[[], bytes], np.ndarray, float]] = {  # bytes, what they show, and by how much that may be off
    "CMYK JPEG, Adobe's marker": (lambda: encoded(COAT.convert("CMYK"), "JPEG", quality=95), LEVELS, 2),
    "CMYK JPEG without it": (lambda: without_adobe(encoded(COAT.convert("CMYK"), "JPEG", quality=95)), LEVELS, 2),  # as browsers
    "16-bit PNG": (lambda: png16(DEEP), LEVELS, 0),
    "16-bit PNG, transparent": (lambda: png16(np.dstack([DEEP, OPAQUE])), LEVELS, 0),
    "16-bit PNG, grey": (lambda: encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"), GREY, 0),
    "dark 16-bit PNG": (lambda: encoded(Image.fromarray(GREY.astype(np.uint16) * 16), "PNG"), GREY // 16, 1),
    "PNG, grey and alpha": (lambda: encoded(COAT.convert("LA"), "PNG"), GREY, 0),
    "PNG without its end": (lambda: encoded(COAT, "PNG")[:-12], LEVELS, 0),
    "PNG, a large text": (lambda: encoded(COAT, "PNG", pnginfo=large_text()), LEVELS, 0),
    "palette": (lambda: encoded(COAT.quantize(128), "PNG"), LEVELS, 3),
    "BMP": (lambda: encoded(COAT, "BMP"), LEVELS, 0),
    "BMP with alpha": (lambda: encoded(COAT.convert("RGBA"), "BMP"), LEVELS, 0),
    "AVIF": (lambda: encoded(COAT, "AVIF", quality=90), LEVELS, 3),
    "JPEG 2000": (lambda: encoded(COAT, "JPEG2000"), LEVELS, 1),
    "WebP, blank first": (lambda: blank_first("WEBP", quality=95), LEVELS, 3),
    "APNG, blank first": (lambda: blank_first("PNG"), LEVELS, 0),
    "AVIF, blank first": (lambda: blank_first("AVIF", quality=90), LEVELS, 3),
    "two photographs in one (MPO)": (lambda: two_in_one(), LEVELS, 2),
    "gain map behind it": (lambda: encoded(COAT, "JPEG", quality=95) + encoded(COAT.convert("L"), "JPEG"), LEVELS, 2),
    "rubbish behind it": (lambda: encoded(COAT, "JPEG", quality=95) + bytes(5000), LEVELS, 2),
    "no rotation that there is": (lambda: encoded(COAT, "JPEG", quality=95, exif=exif(9)), LEVELS, 2),
    "EXIF of noise": (lambda: encoded(COAT, "JPEG", quality=95, exif=b"Exif\0\0" + noise(500)), LEVELS, 2),
    "profile of noise": (lambda: encoded(COAT, "JPEG", quality=95, icc_profile=noise(3000)), LEVELS, 2),
    "TIFF, tiles": (lambda: tiff(LEVELS, tile=(64, 64)), LEVELS, 0),
    "TIFF, planes": (lambda: tiff(np.ascontiguousarray(np.moveaxis(LEVELS, -1, 0)), planarconfig="separate"), LEVELS, 0),
    "TIFF, LZW": (lambda: encoded(COAT, "TIFF", compression="tiff_lzw"), LEVELS, 0),
    "TIFF, deflate": (lambda: encoded(COAT, "TIFF", compression="tiff_adobe_deflate"), LEVELS, 0),
    "TIFF, JPEG within": (lambda: encoded(COAT, "TIFF", compression="jpeg", quality=95), LEVELS, 3),
    "BigTIFF": (lambda: tiff(LEVELS, bigtiff=True), LEVELS, 0),
    "TIFF, CMYK": (lambda: encoded(COAT.convert("CMYK"), "TIFF"), LEVELS, 0),
    "TIFF, Lab": (lambda: encoded(LAB, "TIFF"), LEVELS, 2),
    "TIFF, YCbCr": (lambda: ycbcr_tiff(), LEVELS, 1),
    "TIFF, YCbCr, planes": (lambda: ycbcr_tiff(planes=True), LEVELS, 1),
    "TIFF, YCbCr, the other order": (lambda: ycbcr_tiff(order=">"), LEVELS, 1),
    "TIFF, YCbCr, half the colours": (lambda: ycbcr_tiff(2, 1), LEVELS, 3),
    "TIFF, YCbCr, a quarter of the colours": (lambda: ycbcr_tiff(2, 2), LEVELS, 3),
    "TIFF, YCbCr, as Pillow writes it": (lambda: encoded(COAT.convert("YCbCr"), "TIFF"), LEVELS, 1),
    "TIFF, 16 bits": (lambda: tiff(DEEP), LEVELS, 0),
    "TIFF, 16 bits, LZW": (lambda: tiff(DEEP, compression="zlib", predictor=True), LEVELS, 0),
    "TIFF, 16 bits, the other order": (lambda: tiff(DEEP[..., 0].astype(">u2"), "minisblack", byteorder=">"), LEVELS[..., 0], 0),
    "TIFF, 16 bits, inverted": (lambda: tiff(65535 - DEEP[..., 0], "miniswhite"), LEVELS[..., 0], 0),
    "TIFF, 16 bits, both": (lambda: tiff((65535 - DEEP[..., 0]).astype(">u2"), "miniswhite", byteorder=">"), LEVELS[..., 0], 0),
    "TIFF, 16 bits, planes": (lambda: tiff(PLANES, planarconfig="separate"), LEVELS, 1),
    "TIFF, 16 bits, planes in tiles": (lambda: tiff(PLANES, planarconfig="separate", tile=(64, 64)), LEVELS, 1),
    "TIFF, 16 bits, alpha": (lambda: tiff(np.dstack([DEEP, OPAQUE]), extrasamples=["unassalpha"]), LEVELS, 1),
    "TIFF, 12 in 16 bits": (lambda: tiff(DEEP // 16), LEVELS, 1),
    "TIFF, 12 in 16 bits, grey": (lambda: tiff(DEEP[..., 0] // 16, "minisblack"), LEVELS[..., 0], 1),
    "TIFF, 12 in 16 bits, inverted": (lambda: tiff(4095 - DEEP[..., 0] // 16, "miniswhite"), LEVELS[..., 0], 1),
    "TIFF, 32 bits": (lambda: tiff(DEEP.astype(np.uint32) * 65537), LEVELS, 1),
    "TIFF, floats": (lambda: tiff(FLOATS), LEVELS, 1),
    "TIFF, floats to 255": (lambda: tiff(255 * FLOATS), LEVELS, 1),
    "TIFF, double floats": (lambda: tiff(FLOATS.astype(np.float64)), LEVELS, 1),
    "TIFF, grey floats": (lambda: tiff(FLOATS[..., 0], "minisblack"), LEVELS[..., 0], 1),
    "TIFF, grey floats, inverted": (lambda: tiff(1 - FLOATS[..., 0], "miniswhite"), LEVELS[..., 0], 1),
    "TIFF, floats, a little above white": (lambda: tiff(FLOATS * np.float32(1.02)), LEVELS, 5),  # as a filter leaves them
    "TIFF, floats to 255, a little above": (lambda: tiff(FLOATS * np.float32(260)), LEVELS, 5),
    "TIFF, floats, a lamp in it": (lambda: tiff(with_lamp(3.7)), LEVELS, 1),
    "TIFF, floats, the sun in it": (lambda: tiff(with_lamp(900)), LEVELS, 1),
    "TIFF, 12 bits as floats": (lambda: tiff((DEEP // 16).astype(np.float32)), LEVELS, 1),
    "16-bit PNG, one grey is clear": (lambda: with_clear_grey(), GREY, 0),
    "palette with a profile": (lambda: encoded(WIDE.quantize(256), "PNG", icc_profile=PROFILE), LEVELS, 3),
    "TIFF, palette with a profile": (lambda: encoded(WIDE.quantize(256), "TIFF", icc_profile=PROFILE), LEVELS, 3),
    "TIFF, no rotation that there is": (lambda: tiff(LEVELS, **turned(99)), LEVELS, 0),
    "TIFF, 16 bits, turned": (lambda: tiff(DEEP, **turned(6)), np.rot90(LEVELS, -1), 0),
    "TIFF, floats, turned": (lambda: tiff(FLOATS, **turned(8)), np.rot90(LEVELS), 1),
    "TIFF, 16 grey bits, turned": (lambda: tiff(DEEP[..., 0], "minisblack", **turned(3)), LEVELS[::-1, ::-1, 0], 0),
}


def with_lamp(level: float) -> np.ndarray:
    values = FLOATS.copy()
    values[5:9, 5:9] = level
    return values


def with_clear_grey() -> bytes:
    """A level that no pixel has is marked as clear."""
    data = encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG")
    chunk = b"tRNS" + struct.pack(">H", 7)
    return data[:33] + struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


def exif(number: int) -> Image.Exif:
    made = Image.Exif()
    made[274] = number
    return made


def noise(count: int) -> bytes:
    return np.random.default_rng(24).bytes(count)


def two_in_one() -> bytes:
    return encoded(COAT, "MPO", save_all=True, append_images=[COAT.rotate(9)], quality=95)


def large_text() -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "b" * 100_000, zip=True)
    return text


@pytest.mark.parametrize("name", RIGHT)
def test_it_is_shown_as_it_is_meant(name: str) -> None:
    make, shown, off = RIGHT[name]
    levels = np.asarray(read_image(make())).astype(int)
    shown = np.repeat(shown[..., None], 3, 2) if shown.ndim == 2 else shown
    assert levels.shape == shown.shape
    assert np.abs(levels - shown).mean() <= off


TURNS = {
    1: LEVELS,
    2: LEVELS[:, ::-1],
    3: LEVELS[::-1, ::-1],
    4: LEVELS[::-1],
    5: LEVELS.transpose(1, 0, 2),
    6: np.rot90(LEVELS, -1),
    7: LEVELS[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(LEVELS),
}


@pytest.mark.parametrize("number", TURNS)
def test_every_rotation(number: int) -> None:
    for data in (
        encoded(COAT, "JPEG", quality=95, exif=exif(number)),
        encoded(COAT, "WEBP", quality=95, exif=exif(number)),
        encoded(COAT, "PNG", exif=exif(number)),
        tiff(LEVELS, **turned(number)),
    ):
        levels = np.asarray(read_image(data)).astype(int)
        assert levels.shape == TURNS[number].shape and np.abs(levels - TURNS[number]).mean() < 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (lambda: tiff(PLANES // 16, planarconfig="separate"), "only a part of its 16 bits"),
        (lambda: tiff((PLANES / 65535).astype(np.float32), planarconfig="separate"), "floating-point numbers of 32 bits"),
        (lambda: tiff(FLOATS.astype(np.float16)), "floating-point numbers of 16 bits"),
        (lambda: tiff(np.dstack([DEEP[..., 0], DEEP[..., 1]]), "minisblack", extrasamples=["unassalpha"]), "2 whole numbers"),
        (lambda: tiff(2 * FLOATS - 1), "below zero"),
        (lambda: tiff(np.where(FLOATS > 0.9, np.float32(np.nan), FLOATS)), "without a number"),
        (lambda: tiff(FLOATS * 4095.5), "which of its numbers is white"),
        (lambda: tiff(GREY.astype(np.uint32) * 4096, "minisblack"), "which of its numbers is white"),
        (lambda: tiff(GREY.astype(np.int16) * 128, "minisblack"), "below zero"),
        (lambda: tiff((GREY.astype(np.int16) - 128).astype(np.int8), "minisblack"), "below zero"),
        (lambda: tiff(LEVELS.astype(np.int16) * 128), "signed numbers"),
        (lambda: tiff(np.asarray(LAB).astype(np.uint16) * 257, "cielab"), "stores colours in a way"),
        (lambda: tiff(GREY.astype(np.uint16), "palette", colormap=np.zeros((3, 65536), np.uint16)), "stores colours in a way"),
        (lambda: ycbcr_tiff(2, 2, planes=True), "stores colours in a way"),
        (lambda: ycbcr_tiff().replace(struct.pack("<HHII", 257, 4, 1, 384), struct.pack("<HHII", 257, 4, 1, 768)), "damaged"),
        (lambda: encoded(COAT.resize((64, 64)), "ICO"), "an icon"),
        (lambda: encoded(Image.new("RGB", (1, 500)), "PNG"), "at least 16 px"),
        (lambda: b"\xff\x0a" + bytes(99), "JPEG XL"),
        (lambda: b'<?xml version="1.0"?>\n<!-- by hand -->\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (lambda: b"%PDF-1.7\n" + bytes(99), "PDF"),
        (lambda: b"8BPS" + bytes(99), "Photoshop"),
        (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (lambda: b"<!DOCTYPE html><html>", "web page"),
        (lambda: b"\0\0\0\x18ftypheic" + bytes(99), "HEIC photograph"),
        (lambda: b"\0\0\0\x14ftypqt  " + bytes(99), "a film"),
        (lambda: b"PK\x03\x04" + bytes(99), "archive"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\n", "not finished"),
    ],
)
def test_it_is_named_with_what_to_do(data: Callable[[], bytes], says: str) -> None:
    with pytest.raises(ImageError) as refusal:
        read_image(data())
    message = str(refusal.value)
    assert says in message and ":" in message and "\n" not in message and len(message) < 230


def test_a_name_does_not_hide_what_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(2000))
    with pytest.raises(ImageError, match=r"HEIC photograph.*Most Compatible"):
        read_image(tmp_path / "photo.jpg")
    for name in ("coat.png", "coat.jpg.txt", "coat", "coat.heic", "coat.pdf"):
        (tmp_path / name).write_bytes(encoded(COAT, "JPEG"))
        assert read_image(tmp_path / name).size == COAT.size
    (tmp_path / "raw.dng").write_bytes(tiff(LEVELS))  # a raw file holds a thumbnail that would be taken for the photograph
    with pytest.raises(ImageError, match="raw file"):
        read_image(tmp_path / "raw.dng")


def test_heic_is_read_where_it_can_be() -> None:
    pytest.importorskip("pi_heif")
    levels = np.asarray(read_image(CASES / "iphone.heic")).astype(int)
    assert levels.shape == LEVELS.shape and np.abs(levels - LEVELS).mean() < 6


def test_heic_is_named_where_it_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from fedgai.vision import images

    monkeypatch.setattr(images.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImageError, match=r"HEIC photograph.*pip install pi-heif"):
        read_image(CASES / "iphone.heic")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF", "BMP", "JPEG2000"])
def test_cut_short_at_every_tenth(kind: str) -> None:
    whole = encoded(COAT, kind)
    for tenth in range(1, 10):
        with pytest.raises(ImageError) as refusal:
            read_image(whole[: len(whole) * tenth // 10])
        assert "JPEG or PNG" in str(refusal.value)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 4}])
def test_a_jpeg_without_its_last_bytes(options: dict[str, object]) -> None:
    whole = encoded(Image.open(CASES / "icc_none_reference.jpg").convert("RGB"), "JPEG", **options)
    shown = np.asarray(read_image(whole)).astype(int)
    for cut in (1, 2, 3, 5, 10, 20):
        assert np.abs(np.asarray(read_image(whole[:-cut])) - shown).mean() < 0.5, cut
    for cut in (2000, len(whole) // 20, len(whole) // 2):
        with pytest.raises(ImageError, match="cut short"):
            read_image(whole[:-cut])


def test_a_profile_that_is_not_the_pictures_is_ignored() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for image, shown in ((COAT, LEVELS), (COAT.convert("L"), np.repeat(GREY[..., None], 3, 2))):
        assert np.array_equal(np.asarray(read_image(encoded(image, "PNG", icc_profile=profile))), shown)


@pytest.mark.parametrize(("size", "options"), [((8192, 6144), {}), ((16_320, 12_240), {"quality": 30})])
def test_phones_of_50_and_200_megapixels(size: tuple[int, int], options: dict[str, object]) -> None:
    data = encoded(Image.new("L", size, 180), "JPEG", **options)
    picture = read_image(data)
    assert 1536 <= picture.width < 3072 and picture.width * 3 == picture.height * 4


@pytest.mark.parametrize(("mode", "options"), [("1", {"compression": "group4"}), ("L", {}), ("RGB", {"compression": "tiff_lzw"})])
def test_a4_at_600_dpi_is_taken_by_local_commands(mode: str, options: dict[str, object], tmp_path: Path) -> None:
    sheet = Image.new(mode, (4960, 7016), "white")
    sheet.paste("black", (1000, 1000, 1020, 6000))
    sheet.save(tmp_path / "sheet.tif", **options)
    picture = read_picture(tmp_path / "sheet.tif", LOCAL, side=3072)
    assert picture.image.size == (2480, 3508) and np.asarray(picture.image)[1000, 505].max() < 30


def test_wide_pictures_stay_pictures() -> None:
    for kind in ("PNG", "JPEG"):
        assert min(read_image(encoded(Image.new("RGB", (20_000, 100), "red"), kind)).size) >= 64
