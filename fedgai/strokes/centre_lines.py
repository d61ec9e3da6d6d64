"""Ink to strokes: centre lines from the skeleton, moved onto the middle of the ink, smooth between corners, with its width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from fedgai.strokes.drawing import Bools, Floats, Plane, Stroke
from fedgai.strokes.joining import Line, across_gaps, at_corners, through_junctions
from fedgai.strokes.polylines import Polylines
from fedgai.strokes.skeleton import branches

WIDEST, FINEST = 14.0, 0.6  # px of 512, of a pen
CORNER = 48.0  # degrees
MOST_BRANCHES = 5000  # the longest; a drawing has a few hundred, noise has any number
SLOWER = 40.0  # stiffness of the width over that of the line: a hand presses more or less only slowly


@dataclass(frozen=True)
class Tracing:
    """How ink becomes lines. Lengths are px.

    Attributes:
        gap: the farthest that the ends of one line may lie apart.
        shortest: a shorter line is a speck.
        stiffness: of the smoothing spline, see ``Polylines.smoothed``.
        corner: reach within which a turn by ``CORNER`` is a corner.
        widest, finest: that a pen may be.
        most: points of all lines together; the shortest lines are left out beyond that.
    """

    gap: float = 18.0
    shortest: float = 6.0
    stiffness: float = 100.0
    corner: float = 4.0
    widest: float = WIDEST
    finest: float = FINEST
    most: int = 40_000

    @classmethod
    def at(cls, size: tuple[int, ...]) -> Tracing:
        """For a picture's (H, W): the lengths above are for 512 px on the long side."""
        scale = max(size[:2]) / 512
        stiffness = cls.stiffness * scale**2
        return cls(cls.gap * scale, cls.shortest * scale, stiffness, cls.corner * scale, WIDEST * scale, FINEST * scale)


def centre_lines(ink: Bools, edge: Plane, how: Tracing) -> list[Line]:
    """Lines along the middle of the ink, one pixel from point to point, without specks.

    Args:
        ink: (H, W) bool.
        edge: (H, W) float32, see ``to_edge``.
    """
    found = branches(ink, edge)
    if len(found) > MOST_BRANCHES:
        found = sorted(found, key=lambda branch: -len(branch.points))[:MOST_BRANCHES]
    lines = at_corners(across_gaps(through_junctions(found), how.gap), how.gap / 2)
    lines = sorted((line for line in lines if len(line.points) >= how.shortest), key=lambda line: -len(line.points))
    total = np.cumsum([len(line.points) for line in lines])
    return [line for line, points in zip(lines, total, strict=True) if points <= how.most]


def to_edge(ink: Bools) -> Plane:
    """(H, W) bool -> (H, W) float32, how far each pixel of ink is from paper, px."""
    return np.asarray(cv2.distanceTransform(ink.astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def strokes_along(lines: Sequence[Line], ink: Plane, how: Tracing, kind: str) -> list[Stroke]:
    """Strokes along lines: smooth, on the middle of the ink, as broad as the ink. Where there is no ink they keep their width.

    Args:
        lines: within about 1 px of the ink's middle.
        ink: (H, W) float32 in [0, 1].
        how: the stiffness and the reach of corners.
        kind: of ``drawing.KINDS``.
    """
    if not lines:
        return []
    paths = Polylines.of([line.points for line in lines], [line.closed for line in lines]).resampled()
    even, none = np.ones(len(paths.points)), np.zeros(len(paths.points), bool)
    small = (paths.sizes / (4 * np.pi)) ** 4  # a stiffer spline would shrink a ring that is as small: a button
    stiffness = np.where(paths.closed, np.minimum(how.stiffness, small), how.stiffness)

    def smooth(points: Floats, most: float, corners: Bools, weights: Floats) -> Polylines:
        return Polylines(paths.smoothed(points, np.minimum(stiffness, most), corners, weights), paths.starts, paths.closed)

    corners = smooth(paths.points, 2, none, even).corners(how.corner, CORNER)
    middle, width, inked = _beside(smooth(paths.points, 8, corners, even), ink, how.widest)
    # a skeleton cuts corners: near one the line goes on as its sides do
    sure = inked & ~paths.near(corners, round(how.corner) - 1)
    points = smooth(middle, np.inf, corners, np.where(sure, 1.0, 0.05)).points
    widths = paths.smoothed(width[:, None], SLOWER * stiffness, none, np.where(inked, 1.0, 1e-3))[:, 0].clip(
        how.finest, how.widest
    )
    parts = zip(lines, *(paths.split(values) for values in (points, widths, corners)), strict=True)
    return [Stroke(kind, p, w, line.closed, np.flatnonzero(c), line.free) for line, p, w, c in parts]


def _beside(lines: Polylines, ink: Plane, widest: float) -> tuple[Floats, Floats, Bools]:
    """The middle of the ink near each point (N, 2), its width (N,) px, and whether there is any (N,).

    Looks sideways from the line, and no farther than where the ink gets darker again: that is another line's.
    """
    side = max(6, round(widest) + 2)
    normals, seen = lines.beside(ink, side, off=0)
    offsets = np.arange(-side, side + 1) / 2
    core = slice(side - 2, side + 3)  # the line is here
    peak = seen[:, core].max(1, keepdims=True)
    left = np.minimum.accumulate(np.concatenate([peak, seen[:, side - 3 :: -1]], 1), 1)[:, :0:-1]
    right = np.minimum.accumulate(np.concatenate([peak, seen[:, side + 3 :]], 1), 1)[:, 1:]
    own = np.concatenate([left, seen[:, core], right], 1)
    total, inked = own.sum(1), peak[:, 0] > 0.3
    shift = np.where(inked, np.clip(own @ offsets / np.maximum(total, 1e-6), -1.5, 1.5), 0)
    return lines.points + normals * shift[:, None], total / 2, inked


def covered(strokes: Sequence[Stroke], size: tuple[int, int], margin: float) -> Bools:
    """(H, W) bool, true within ``margin`` px of a stroke's ink."""
    band = np.zeros(size, np.uint8)
    for stroke in strokes:
        points = np.rint(np.concatenate([stroke.points, stroke.points[: stroke.closed]]) * 8).astype(np.int32)
        thick = np.rint(stroke.widths + 2 * margin).astype(int)
        cuts = [0, *(np.flatnonzero(np.diff(thick)) + 1).tolist(), len(thick)]
        for a, b in pairwise(cuts):
            cv2.polylines(band, [points[a : b + 1]], False, 1, max(1, int(thick[a])), cv2.LINE_8, 3)
    return band > 0
