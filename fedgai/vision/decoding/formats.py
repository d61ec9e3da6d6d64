"""A file's bytes to a picture: what is special to each format."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import struct
from dataclasses import replace
from typing import Any

from PIL import Image, ImageChops, TiffImagePlugin

from .appearance import DARK, NARROWEST, Decoded, as_array, factor, is_blank, levels, normalise
from .limits import NO_PICTURE, SAVE_AS, LargePictureError, PictureLimits, RefusedPictureError, check_size

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "HEIF")  # EPS would start Ghostscript
LARGE = 16_000_000  # pixels of work above which a picture counts as large: only one of those is decoded at a time
SCANS = 100  # of a progressive JPEG; cameras and programs write about ten
PAGES, FRAMES = 200, 50  # of a file that are looked at
ALL_PIXELS = 200_000_000  # of all pages or frames together that are looked at for one that is not blank
LOST, LOST_ROWS = 0.05, 18  # share of a JPEG's height, and rows of one row of blocks, that may be missing at its end
ENDINGS = (b"\xff\xd9", bytes(range(1, 64)) * 4 + b"\xff\xd9")  # two for a JPEG that has lost its own
# tags of TIFF
PAGE_KIND, WIDTH, HEIGHT, BITS, COMPRESSION, MEANING, TURN, SAMPLES = 254, 256, 257, 258, 259, 262, 274, 277
PLANES, NUMBERS, SUBSAMPLING = 284, 339, 530
YCBCR = 6  # what MEANING says of brightness and two colour differences, as in a JPEG


def decode(data: bytes, limits: PictureLimits, side: int, page: int | None = None, *, large: bool = True) -> Decoded:
    """A file's bytes -> the picture.

    Args:
        data: of the file.
        limits: on its cost; those on time and memory are the process's.
        side: px that the long side keeps at least; a longer picture comes at a fraction of its size.
        page: of a TIFF, from 0; None for the first page or frame with something in it.
        large: whether a large picture may be decoded now.
    Raises:
        RefusedPictureError: it cannot be used.
        LargePictureError: it is large, and ``large`` is false.
        Exception: whatever decoders raise at damaged files.
    """
    image = _open(data, limits)
    if image is None:
        return _unknown_tiff(data, limits, side, large)
    work = _Work(large)
    jpeg = image.format in ("JPEG", "MPO")
    check_size(image.size, limits, pixels=limits.header_pixels if jpeg else None)
    if jpeg:
        work.add(_jpeg_pixels(image, data))
        return normalise(_jpeg(image, data, limits, side), side)
    if image.format == "TIFF":
        return _tiff(image, data, limits, side, page, work)
    work.add(image.width * image.height)
    if image.format == "JPEG2000":
        _skip_resolutions(image, side)
    if getattr(image, "is_animated", False):  # not n_frames: to count them, all of a GIF is read
        return _animation(image, side, work)
    return normalise(image, side)


class _Work:
    """Pixels that are handled for one picture, over all of its pages or frames.

    Args:
        large: whether there may be many.
    """

    def __init__(self, large: bool) -> None:
        self.large, self.pixels = large, 0.0

    def add(self, pixels: float) -> None:
        """Before they are handled. Raises LargePictureError."""
        self.pixels += pixels
        if not self.large and self.pixels > LARGE:
            raise LargePictureError

    def has_room(self, pixels: float) -> bool:
        """Whether one more page or frame may be looked at. The first one always may."""
        return not self.pixels or self.pixels + pixels <= ALL_PIXELS


def _open(data: bytes, limits: PictureLimits) -> Image.Image | None:
    """Header only, as far as the format allows. None for a TIFF that Pillow does not know."""
    size = _webp_size(data)
    if size:  # libwebp takes the memory of two canvases when it opens a file
        check_size(size, limits, pixels=limits.pixels // 2)
    if data[4:8] == b"ftyp":
        _register_heif()
    try:
        return Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever they like at hostile bytes
        if data[:4] in (b"II*\0", b"MM\0*"):
            return None
        raise RefusedPictureError(NO_PICTURE) from error


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a WebP's canvas; None for anything else."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _register_heif() -> None:
    """HEIC needs a package of its own: "heic" in pyproject.toml."""
    for module in ("pi_heif", "pillow_heif"):
        with contextlib.suppress(ImportError):
            importlib.import_module(module).register_heif_opener(thumbnails=False)
            return


# --- JPEG ----------------------------------------------------------------------------------------------------------


def _scans(data: bytes) -> int:
    return data.count(b"\xff\xda")  # never within a scan: there, a byte 0xFF is followed by 0 or a restart marker


def _jpeg_pixels(image: Image.Image, data: bytes) -> float:
    """Roughly, how many pixels are handled to decode a JPEG."""
    return image.width * image.height / 4 * (max(1, _scans(data) / 3) if image.info.get("progressive") else 1)


def _jpeg(image: Image.Image, data: bytes, limits: PictureLimits, side: int) -> Image.Image:
    """Decoded at 1/2, 1/4 or 1/8 where it is long. Its last bytes may be missing, but not more."""
    if _scans(data) > SCANS:
        raise RefusedPictureError(f"This JPEG is stored in {_scans(data):,} scans, which would take too long to open: {SAVE_AS}.")
    _draft(image, side)
    check_size(image.size, limits)
    try:
        image.load()
        return image
    except OSError as error:
        if "truncated" not in str(error):
            raise
    # with two different endings, what is the same in both comes from the file itself
    whole, other = (_with_ending(data, ending, side) for ending in ENDINGS)
    differs = ImageChops.difference(whole.convert("RGB"), other.convert("RGB")).getbbox()
    lost = whole.height - differs[1] if differs else 0
    if lost > min(LOST * whole.height, max(LOST / 2 * whole.height, LOST_ROWS)):
        raise OSError(f"the last {lost} rows are missing")
    return whole


def _with_ending(data: bytes, ending: bytes, side: int) -> Image.Image:
    image = Image.open(io.BytesIO(data.rstrip(b"\xff") + ending), formats=["JPEG"])  # 0xFF would make a marker of what follows
    _draft(image, side)
    image.load()
    return image


def _draft(image: Image.Image, side: int) -> None:
    scale = max(side / max(image.size), NARROWEST / min(image.size))
    if scale < 1:
        image.draft(None, (round(image.width * scale), round(image.height * scale)))


# --- JPEG 2000 and animations --------------------------------------------------------------------------------------


def _skip_resolutions(image: Image.Image, side: int) -> None:
    """Leave out the finest resolutions of a JPEG 2000 that is long, as far as it has them."""
    file: Any = getattr(image, "fp", None)
    place = file.tell()
    file.seek(0)
    coding = re.search(rb"\xff\x52.{7}(.)", file.read(4096), re.DOTALL)  # the COD marker, up to its number of decompositions
    file.seek(place)
    power = min(coding[1][0] if coding else 0, factor(image.size, side).bit_length() - 1)
    if power > 0:
        image.reduce = power  # type: ignore[method-assign, assignment]  # Pillow's own way to ask for it


def _animation(image: Image.Image, side: int, work: _Work) -> Decoded:
    """The first frame with something in it, else the first one."""
    first, pixels = None, image.width * image.height
    for number in range(FRAMES):
        if first is not None:
            if not work.has_room(pixels):
                break
            work.add(pixels)
        try:
            image.seek(number)
            found = normalise(image.copy(), side)
        except (EOFError, OSError, SyntaxError):
            if first is None:
                raise
            break  # there are no more, or it is damaged
        if not is_blank(found.rgb):
            return found
        first = first or found
    assert first is not None
    return first


# --- TIFF ----------------------------------------------------------------------------------------------------------


def _tiff(image: Image.Image, data: bytes, limits: PictureLimits, side: int, page: int | None, work: _Work) -> Decoded:
    pages = _pages(image)
    if page is not None and page >= len(pages):
        raise RefusedPictureError(f"The file has {len(pages)} pages, and no page {page + 1}.")
    first = None
    for number in pages if page is None else [pages[page]]:
        image.seek(number)
        check_size(image.size, limits)
        pixels = image.width * image.height
        if not work.has_room(pixels):
            break
        work.add(pixels)
        found = _tiff_page(image, data, side)
        first = first or found
        if not is_blank(found.rgb):
            return replace(found, pages=len(pages))
    assert first is not None
    return replace(first, pages=len(pages))


def _pages(image: Image.Image) -> list[int]:
    """Numbers of a TIFF's pages, without thumbnails and masks."""
    found = []
    for number in range(PAGES):
        try:
            image.seek(number)
            if not _number(image, PAGE_KIND, 0) & 0b101:
                found.append(number)
        except Exception:  # there are no more, or none that can be read
            break
    return found or [0]


def _number(image: Any, tag: int, default: int) -> int:
    """The largest number under a tag."""
    value = image.tag_v2.get(tag, default)
    return max(int(v) for v in value) if isinstance(value, tuple) else int(value)


def _tiff_page(image: Any, data: bytes, side: int) -> Decoded:
    tags, profile = image.tag_v2, image.info.get("icc_profile")
    if tags.get(TURN, 1) not in range(1, 9):
        del tags[TURN]  # Pillow would stumble over it
    bits, meaning = _number(image, BITS, 1), tags.get(MEANING)
    if _number(image, NUMBERS, 1) == 2:
        raise RefusedPictureError(f"This TIFF holds numbers that may be below zero, which are not colours: {SAVE_AS}.")
    if bits > 8 and meaning == 2 and _number(image, PLANES, 1) == 1 and _number(image, SAMPLES, 1) == 3:
        return normalise(_by_opencv(data, image.tell(), tags, profile), side)  # Pillow keeps the upper 8 bits only
    planes = _number(image, PLANES, 1) == 2
    if meaning == YCBCR and planes and _number(image, SUBSAMPLING, 2) > 1:
        raise RefusedPictureError(_unreadable_colours(YCBCR))
    if (bits > 8 and planes) or (meaning == YCBCR and _number(image, COMPRESSION, 1) == 1):
        image = _by_libtiff(data, image.tell())
    if image.mode == "F" or image.mode[0] == "I":
        grey = levels(as_array(image), inverted=meaning == 0, narrow=True)
        return normalise(_with_profile(grey, profile), side)
    found = normalise(image, side)
    extrema: Any = found.rgb.getextrema()  # (least, most) of each band
    if bits > 8 and max(high for _, high in extrema) < DARK:
        raise RefusedPictureError(f"This TIFF seems to use only a part of its {bits} bits, or is nearly black: {SAVE_AS}.")
    return found


def _unreadable_colours(meaning: Any) -> str:
    return f"This TIFF stores colours in a way that cannot be read here (number {meaning}): {SAVE_AS}."


def _by_libtiff(data: bytes, number: int) -> Image.Image:
    """Pillow's own reader takes the bytes of one plane for another's where they have 16 bits, and YCbCr for RGB."""
    TiffImagePlugin.READ_LIBTIFF = True
    try:
        image = Image.open(io.BytesIO(data), formats=["TIFF"])
        image.seek(number)
        image.load()
    finally:
        TiffImagePlugin.READ_LIBTIFF = False
    return image


def _by_opencv(data: bytes, number: int, tags: Any, profile: bytes | None) -> Image.Image:
    import cv2
    import numpy as np

    done, found = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED, range=(number, number + 1))
    values: Any = found[0] if done and found else None
    if values is None or values.ndim not in (2, 3):
        raise OSError("OpenCV cannot decode it")
    if values.ndim == 3:
        values = values[..., 2::-1]  # from BGR
    return _with_profile(levels(values, inverted=tags.get(MEANING) == 0, narrow=True), profile)  # it is upright already


def _with_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        image.info["icc_profile"] = profile
    return image


def _unknown_tiff(data: bytes, limits: PictureLimits, side: int, large: bool) -> Decoded:
    """A TIFF that Pillow does not know. OpenCV reads floats, and 32 bits."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        width, height, samples, planes = (
            int(tags.get(tag, default)) for tag, default in ((WIDTH, 0), (HEIGHT, 0), (SAMPLES, 1), (PLANES, 1))
        )
        bits, numbers = (
            (max(value) if isinstance(value, tuple) else int(value)) for value in (tags.get(BITS, 1), tags.get(NUMBERS, 1))
        )
    except Exception as error:
        raise RefusedPictureError(NO_PICTURE) from error
    if (meaning := tags.get(MEANING, 1)) not in (0, 1, 2):  # as Lab, or a palette
        raise RefusedPictureError(_unreadable_colours(meaning))
    kind = {1: "whole", 2: "signed", 3: "floating-point"}.get(numbers, "unusual")
    if planes != 1 or samples not in (1, 3) or bits not in (16, 32, 64) or (bits == 16 and numbers == 3) or numbers == 2:
        raise RefusedPictureError(
            f"This TIFF holds {samples} {kind} numbers of {bits} bits for a pixel, which cannot be read "
            "here: save it with 8 or 16 bits and try again."
        )
    check_size((width, height), limits, pixels=limits.pixels // 3)
    _Work(large).add(width * height)
    return normalise(_by_opencv(data, 0, tags, None), side)
