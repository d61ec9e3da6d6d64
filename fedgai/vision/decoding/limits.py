"""What a picture may cost, and how it is refused."""

from __future__ import annotations

from dataclasses import dataclass

SAVE_AS = "save it as JPEG or PNG and try again"
NO_PICTURE = f"This is not a picture that can be read here: {SAVE_AS}."
SHORTEST = 16  # px, the shorter side of a picture


class RefusedPictureError(Exception):
    """A picture that cannot be used. The message is one sentence, for the person who brought it."""


class LargePictureError(Exception):
    """It is a large picture, and the request was not made for one."""


@dataclass(frozen=True)
class PictureLimits:
    """What a picture may cost.

    Attributes:
        megabytes: of the file.
        pixels: that are decoded; of a JPEG, after it was made smaller.
        header_pixels: of a JPEG, before that.
        side: px.
        seconds: of processor time.
        memory: megabytes that the decoder may take.
    """

    megabytes: int
    pixels: int
    header_pixels: int
    side: int
    seconds: int
    memory: int


def check_size(size: tuple[int, int], limits: PictureLimits, *, pixels: int | None = None) -> None:
    """Refuse a picture for its (width, height) in px. Raises RefusedPictureError.

    Args:
        pixels: how many there may be; ``limits.pixels`` if left out.
    """
    width, height = size
    pixels = limits.pixels if pixels is None else pixels
    if min(width, height) < SHORTEST:
        raise RefusedPictureError(f"The picture is {width} x {height} px: use one of at least {SHORTEST} px on each side.")
    if max(width, height) > limits.side or width * height > pixels:
        raise RefusedPictureError(
            f"The picture is {width} x {height} px: scale it down to at most {limits.side:,} px on a side "
            f"and {pixels // 10**6} million pixels in all."
        )
