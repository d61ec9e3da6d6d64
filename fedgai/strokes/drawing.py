"""A drawing as strokes: traced from a picture, written as SVG, drawn again as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedgai.line_types import LINE_TYPES

Color = tuple[int, int, int]  # sRGB, 0 to 255
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Plane = NDArray[np.float32]  # (H, W), a picture's one channel
Picture = NDArray[np.uint8]  # (H, W, 3), RGB

INK: Color = (18, 18, 23)
KINDS = (*LINE_TYPES, "line", "hatching")  # "line": the picture does not say which type it is


@dataclass(frozen=True)
class Stroke:
    """One movement of the pen.

    Attributes:
        kind: one of ``KINDS``.
        points: (n, 2) float64, n >= 2, the centre line: x to the right, y down, px; the centre of the first pixel is (0, 0).
            About 1 px apart, except in hatching.
        widths: (n,) float64, px, above 0.
        closed: the last point is joined to the first one, and is not equal to it.
        corners: (k,) int, ascending, the points where the line has a corner. Elsewhere it is smooth.
        free: whether the first and the last point lie free, not on another line. A swelling pen tapers there.
    """

    kind: str
    points: Floats
    widths: Floats
    closed: bool = False
    corners: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    free: tuple[bool, bool] = (True, True)


@dataclass(frozen=True)
class Wash:
    """An area of one tone.

    Attributes:
        outlines: (n, 2) float64 each, px, closed; a place is inside where it lies within an odd number of them.
        color: of the paint.
    """

    outlines: tuple[Floats, ...]
    color: Color


@dataclass(frozen=True)
class Drawing:
    """Strokes on white paper.

    Attributes:
        size: (width, height), px.
        strokes: in the order of drawing.
        color: of the pen.
        swelling: the pen's width changes along a stroke, as a brush's does; otherwise it is even, as a fineliner's.
        washes: tone, the lightest first; strokes lie on top.
        dots: (n, 3) float64, stipple: x, y, diameter, px.
        hatching_color: of hatching and dots; the pen's if None.
    """

    size: tuple[int, int]
    strokes: tuple[Stroke, ...] = ()
    color: Color = INK
    swelling: bool = False
    washes: tuple[Wash, ...] = ()
    dots: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    hatching_color: Color | None = None

    def of_kind(self, kind: str) -> list[Stroke]:
        """The strokes of one of ``KINDS``."""
        return [stroke for stroke in self.strokes if stroke.kind == kind]


def pen_widths(strokes: Sequence[Stroke]) -> list[float]:
    """px, one width for each stroke of an even pen. A network's lines are less even than a fineliner's: half as much stays."""
    own = np.array([float(np.median(stroke.widths)) for stroke in strokes])
    usual = np.average(own, weights=[len(stroke.points) for stroke in strokes]) if len(own) else 1.0
    return [float(width) for width in np.sqrt(own * usual)]
