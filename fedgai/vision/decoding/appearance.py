"""An image of any mode as it is meant to be seen: upright, 8 bits, in sRGB, on white, with what its transparency cuts out."""

from __future__ import annotations

import contextlib
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageCms, ImageFilter

from .limits import SAVE_AS, RefusedPictureError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NARROWEST = 64  # px, down to which a long picture's short side is made smaller
SIDE = 1536  # px, one and a half times the largest sketch
BLANK = 8  # levels of 255: what differs by less is one colour to the eye
SMALLEST_MASK, LARGEST_MASK = 0.02, 0.98  # shares of a picture that its own transparency may cut out
SOLID = 0.4  # share of a cut-out that lies 2/256 of the picture away from its edge; of lines, nothing does
BAND = 2**20  # numbers that are handled at a time: each step makes a copy
WIDE = (255, 32767, 65535, 2**24 - 1, 2**31 - 1, 2**32 - 1)  # what may be white among whole numbers of 32 bits and more
NARROW = (255, 1023, 4095, 16383)  # and among 16 bits, for scanners and cameras store 10, 12 or 14
BEYOND = 4  # times white: what almost all floats of a picture stay below, although it has lights that are brighter than white
WITHOUT_NUMBER = 0.01  # share of floats that may be NaN or infinite
BELOW_ZERO = 0.1  # of white: almost no value may lie further below 0
DARK = 64  # of 255: a picture whose white was found rightly comes out lighter
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Decoded:
    """A picture as it is meant to be seen.

    Attributes:
        rgb: RGB, transparency laid on white.
        mask: L, 255 where the picture's own transparency says that there is something; None where it does not say so.
        pages: of the file; 1 for all formats but TIFF.
        unseen: whether there is something in the picture that white paper does not show, as white ink.
    """

    rgb: Image.Image
    mask: Image.Image | None = None
    pages: int = 1
    unseen: bool = False


def normalise(image: Image.Image, side: int = SIDE) -> Decoded:
    """An image of any mode, decoded or not. A long one comes at 1/2, 1/3, 1/4 ... of its size, down to ``side`` px."""
    profile = image.info.get("icc_profile")
    image.load()
    turn = _turn(image)
    if image.has_transparency_data:
        grey = image.mode in ("L", "LA", "La") or image.mode[0] == "I"
        image = _smaller(_with_alpha(image), side)
        alpha, colour = image.getchannel("A"), _to_srgb(image.convert("L" if grey else "RGB"), profile)
        found = _on_white(colour, alpha)
    else:
        found = Decoded(_to_srgb(eight_bits(_smaller(image, side)), profile))
    if turn is None:
        return found
    return Decoded(found.rgb.transpose(turn), found.mask and found.mask.transpose(turn), unseen=found.unseen)


def factor(size: tuple[int, int], side: int) -> int:
    """By how many a picture of (width, height) is divided, so that its long side keeps at least ``side`` px."""
    return max(1, min(max(size) // side, min(size) // NARROWEST))


def is_blank(image: Image.Image) -> bool:
    """Whether all of an image is one colour to the eye."""
    extrema: Any = image.getextrema()
    pairs = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(high - low <= BLANK for low, high in pairs)


def eight_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 or 32 bits, or floats, as L; other images as they are."""
    if image.mode == "F" or image.mode[0] == "I":
        return levels(as_array(image))
    return image


def as_array(image: Image.Image) -> NDArray[Any]:
    import numpy as np

    return np.asarray(image)


def levels(values: NDArray[Any], *, inverted: bool = False, narrow: bool = False) -> Image.Image:
    """Whole numbers of 16 or 32 bits, or floats, as 8 bits: L or RGB.

    Args:
        values: (H, W) or (H, W, 3).
        inverted: 0 is white.
        narrow: 16 bits may hold fewer, as those of scanners and cameras do (10, 12 or 14).
    Raises:
        RefusedPictureError: nothing says which number is white. Files with floats or 32 bits do not say.
    """
    import numpy as np

    top = _white_of_floats(values) if values.dtype.kind == "f" else _white_of_whole(values, narrow)
    result: NDArray[np.uint8] = np.empty(values.shape, np.uint8)
    step = max(1, BAND // max(1, values[0].size))
    for start in range(0, len(values), step):
        band = slice(start, start + step)
        part = np.nan_to_num(values[band].astype(np.float32), posinf=top, neginf=0) / np.float32(top)
        result[band] = np.clip((1 - part if inverted else part) * 255 + 0.5, 0, 255)
    return Image.fromarray(result)


def _white_of_whole(values: NDArray[Any], narrow: bool) -> float:
    """The top of the smallest range that holds all numbers. Raises RefusedPictureError."""
    if values.dtype.kind == "i" and int(values.min(initial=0)) < 0:
        raise RefusedPictureError(f"This picture has numbers below zero, which are not colours: {SAVE_AS}.")
    highest = float(values.max(initial=0))
    tops = {1: (255,), 2: (65535,)}.get(values.dtype.itemsize, WIDE)
    if narrow:
        tops = (*NARROW, *tops)
    top = next((top for top in tops if highest <= top), highest)
    if values.dtype.itemsize > 2:
        _check_light(highest, top)
    return top


def _white_of_floats(values: NDArray[Any]) -> float:
    """1, 255 or 65535, as almost all of the numbers say; a few may be brighter than white. Raises RefusedPictureError."""
    import numpy as np

    by = max(1, math.isqrt(values.size // BAND))
    sample = values[::by, ::by]
    finite = sample[np.isfinite(sample)]
    if finite.size < (1 - WITHOUT_NUMBER) * sample.size:
        raise RefusedPictureError(f"This picture has places without a number (NaN or infinity): {SAVE_AS}.")
    low, high = (float(value) for value in np.percentile(finite, (5, 95)))
    if high > 1 and not (finite % 1).any():  # whole numbers, saved as floats
        high = float(finite.max())
        top = next((top for top in (*NARROW, 65535, 2**32 - 1) if high <= top), high)
    else:
        top = next((top for top in (1, 255, 65535) if high <= BEYOND * top), high)
    if low < -BELOW_ZERO * top:
        raise RefusedPictureError(f"This picture has numbers below zero, which are not colours: {SAVE_AS}.")
    if top > 1:
        _check_light(high, top)
    return top


def _check_light(highest: float, top: float) -> None:
    """Raises RefusedPictureError where ``top`` does not seem to be white, for almost all numbers are far below."""
    if highest * 255 < DARK * top:
        raise RefusedPictureError(f"This picture is nearly black, or does not say which of its numbers is white: {SAVE_AS}.")


def _with_alpha(image: Image.Image) -> Image.Image:
    """An image with transparency of any kind, as RGBA."""
    if image.mode[0] == "I":  # greys of 16 bits of which one is clear; Pillow would make nearly all of them white
        values = as_array(image)
        clear = Image.fromarray(values == image.info["transparency"])
        return Image.merge("LA", (levels(values), clear.convert("L").point(lambda level: 255 - level))).convert("RGBA")
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _smaller(image: Image.Image, side: int) -> Image.Image:
    by = factor(image.size, side)
    if by == 1:
        return image
    if image.mode in ("P", "1"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if image.mode.startswith("I;16"):
        image = levels(as_array(image))
    if image.mode == "RGBA":  # hidden colours must not run into those that are seen
        return image.convert("RGBa").reduce(by).convert("RGBA")
    return Image.Image.reduce(image, by)  # of a JPEG 2000, "reduce" is a number


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How the camera was held. Metadata that cannot be read never loses a good picture."""
    try:
        value = image.getexif().get(274, 1)
        return TURNS.get(int(value[0] if isinstance(value, tuple) else value))
    except Exception:  # whatever Pillow raises at what others wrote
        return None


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB, by the picture's colour profile where it has one that can be used."""
    if profile:
        with contextlib.suppress(Exception):  # whatever LittleCMS says of what others wrote
            source = ImageCms.getOpenProfile(io.BytesIO(profile))
            space = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}.get(source.profile.xcolor_space.strip())
            if space == "RGB" and image.mode in ("P", "YCbCr"):
                image = image.convert("RGB")
            if space == image.mode and "sRGB" not in (source.profile.profile_description or ""):
                converted = ImageCms.profileToProfile(
                    image,
                    source,
                    ImageCms.createProfile("sRGB"),
                    ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    "RGB",
                    flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
                )
                if converted is not None:
                    return converted
    return image.convert("RGB")


def _on_white(colour: Image.Image, alpha: Image.Image) -> Decoded:
    """RGB and its L transparency -> RGB on white, and the cut-out."""
    extrema: Any = alpha.getextrema()  # (least, most); of several bands it would be a pair each
    low, high = extrema
    opaque, hidden = low >= 255 - BLANK, high <= BLANK
    if opaque or (hidden and not is_blank(colour)):  # it says nothing
        return Decoded(colour)
    rgb = Image.composite(colour, Image.new("RGB", colour.size, "white"), alpha)
    return Decoded(rgb, alpha if _cuts_out(alpha) else None, unseen=is_blank(rgb) and not is_blank(alpha))


def _cuts_out(alpha: Image.Image) -> bool:
    """Whether transparency cuts out something solid. Ink on a clear ground and rounded corners do not."""
    small = alpha.resize((256, 256), Image.Resampling.BOX).point(lambda level: 255 * (level >= 128))
    share, core = (part.histogram()[255] / 256**2 for part in (small, small.filter(ImageFilter.MinFilter(5))))
    return SMALLEST_MASK <= share <= LARGEST_MASK and core > SOLID * share
