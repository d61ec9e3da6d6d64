"""Repair a cut-out by hand: strokes of a brush say what belongs to the garment and what does not.

What is painted is certain. Around it, GrabCut (Rother et al., 2004) looks for the photograph's edge, by the colours
of the certain parts near by. Away from the strokes the cut-out stays as it is, and a stroke only ever does what it says:
"belongs" takes nothing away, and "does not belong" adds nothing.

>>> strokes = read_strokes([{"belongs": False, "radius": 80, "points": [900, 3500, 1400, 3600]}])
>>> strokes[0].points
((900, 3500), (1400, 3600))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fedgai.errors import FedGAIError
from fedgai.vision.cutout import fit_edge, shrink, to_lab
from fedgai.vision.grabcut import run_grabcut

UNIT = 4096  # of the photograph's long side: what coordinates and radii are counted in
STROKES, POINTS = 80, 4000  # at most, of one garment
RADII = (8, 400)  # in units
SIDE = 512  # px, long side at which the edge is looked for
REACH = 0.06  # of the long side, and three radii besides: how far from a stroke its edge is looked for
ROUNDS = 2  # of GrabCut
LEAST = 0.002  # share of the picture that a garment has at least
NOTHING_LEFT = "Nothing is left of the garment: undo the last stroke, or paint over the garment with “belongs”."
NOT_STROKES = (
    'Give strokes as a list of {"belongs": true or false, "radius": number, "points": [x, y, x, y, ...]}, '
    f"in {UNIT}ths of the photograph's long side."
)

Mask = NDArray[np.float32]


class RepairError(FedGAIError):
    """Strokes that cannot be used. The message is one sentence that says what to do."""


@dataclass(frozen=True)
class BrushStroke:
    """One stroke of a brush, in ``UNIT``ths of the photograph's long side.

    Attributes:
        belongs: whether what it covers is garment.
        radius: of the brush.
        points: (x, y) of its path, from the upper left corner; one for a dab.
    """

    belongs: bool
    radius: int
    points: tuple[tuple[int, int], ...]


def read_strokes(value: object) -> tuple[BrushStroke, ...]:
    """From what came over the wire: {"belongs": bool, "radius": int, "points": [x, y, x, y, ...]} each, the first first.

    Raises:
        RepairError: it is something else, or more than ``STROKES`` and ``POINTS`` allow.
    """
    if not isinstance(value, list):
        raise RepairError(NOT_STROKES)
    if len(value) > STROKES:
        raise RepairError(f"There are more than {STROKES} strokes: undo some, or use a larger brush.")
    strokes = tuple(_stroke(item) for item in value)
    if sum(len(stroke.points) for stroke in strokes) > POINTS:
        raise RepairError(f"The strokes have more than {POINTS:,} points: undo some, or use a larger brush.")
    return strokes


def _stroke(item: object) -> BrushStroke:
    if not isinstance(item, dict):
        raise RepairError(NOT_STROKES)
    belongs, radius, flat = item.get("belongs"), item.get("radius"), item.get("points")
    if not isinstance(belongs, bool) or not isinstance(flat, list) or not 2 <= len(flat) <= 2 * POINTS or len(flat) % 2:
        raise RepairError(NOT_STROKES)
    numbers = [_whole(number) for number in (radius, *flat)]
    if not RADII[0] <= numbers[0] <= RADII[1]:
        raise RepairError(f"A brush has a radius from {RADII[0]} to {RADII[1]}.")
    if not all(0 <= number <= UNIT for number in numbers[1:]):
        raise RepairError(f"A stroke stays within the photograph: coordinates go from 0 to {UNIT}.")
    return BrushStroke(belongs, numbers[0], tuple(zip(numbers[1::2], numbers[2::2], strict=True)))


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**31:
        raise RepairError(NOT_STROKES)
    return round(value)


def repair(photo: NDArray[np.uint8], mask: Mask | None, strokes: Sequence[BrushStroke]) -> Mask:
    """The cut-out as the strokes say.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (H, W) float32 in [0, 1], the cut-out as it was found; None where no garment was.
        strokes: the first first; where two cover the same place, the later one counts.

    Returns:
        (H, W) float32 in [0, 1].

    Raises:
        RepairError: too little of the garment is left.
    """
    small = shrink(photo, SIDE)
    height, width = small.shape[:2]
    first = np.zeros((height, width), bool)
    if mask is not None:
        first = np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)) > 0.5
    painted, lab = _painted(strokes, (height, width)), to_lab(small)
    after, guess = first, first if mask is not None else _guess(lab, painted)
    for band in _bands(strokes, (height, width), everywhere=mask is None):
        after = _follow(lab, after, guess, painted, band)
    after = (after | (painted > 0)) & ~(painted < 0)
    alpha = _blend(photo, mask, first, after)
    certain = _painted(strokes, photo.shape[:2])
    alpha[certain > 0], alpha[certain < 0] = 1, 0
    if alpha.mean() < LEAST:
        raise RepairError(NOTHING_LEFT)
    return alpha


def outline(mask: Mask | None) -> list[list[int]]:
    """The outline of an (H, W) mask: closed polygons [x, y, x, y, ...] in ``UNIT``ths of the long side; holes are, too."""
    if mask is None:
        return []
    scale = UNIT / max(mask.shape)
    contours, _ = cv2.findContours(_as_uint8(mask > 0.5), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    kept = [cv2.approxPolyDP(contour, 0.7, True) for contour in contours if cv2.contourArea(contour) > 12]
    return [[round((value + 0.5) * scale) for value in contour.ravel().tolist()] for contour in kept]


def _as_uint8(area: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.asarray(area, np.uint8)


def _painted(strokes: Sequence[BrushStroke], shape: tuple[int, ...]) -> NDArray[np.int8]:
    """(H, W) int8: 1 where a stroke says that it belongs, -1 where that it does not, 0 elsewhere."""
    painted = np.zeros(shape[:2], np.uint8)
    for stroke in strokes:
        _draw(painted, stroke, 0.0, 2 if stroke.belongs else 1)
    return np.array([0, -1, 1], np.int8)[painted]


def _draw(canvas: NDArray[np.uint8], stroke: BrushStroke, more: float, value: int) -> None:
    """Draw a stroke with a brush that is larger by ``more`` px."""
    scale = max(canvas.shape) / UNIT
    radius = stroke.radius * scale + more
    path = np.round((np.array(stroke.points) * scale - 0.5) * 16).astype(np.int32)  # in 16ths of a pixel
    if len(path) > 1:
        cv2.polylines(canvas, [path], False, value, max(1, round(2 * radius)), cv2.LINE_8, 4)
    for end in (path[0], path[-1]):
        cv2.circle(canvas, (int(end[0]), int(end[1])), round(16 * radius), value, -1, cv2.LINE_8, 4)


def _bands(strokes: Sequence[BrushStroke], shape: tuple[int, int], everywhere: bool) -> list[NDArray[np.bool_]]:
    """Where the edge may move, (h, w) bool each, not connected with each other. So strokes that are far from each other know
    nothing of each other, and the work is bounded by the picture, not by the number of strokes."""
    if not strokes:
        return []
    near = np.zeros(shape, np.uint8)
    for stroke in strokes:
        _draw(near, stroke, REACH * max(shape) + 3 * stroke.radius * max(shape) / UNIT, 1)
    if everywhere:
        near[:] = 1
    count, parts = cv2.connectedComponents(near)
    return [np.asarray(parts == part) for part in range(1, count)]


def _guess(lab: NDArray[np.float32], painted: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Where nothing is known, what looks more like what was painted as garment than like the rest along the frame.

    lab (h, w, 3), painted (h, w) int8 -> (h, w) bool.
    """
    frame = np.ones(painted.shape, bool)
    frame[4:-4, 4:-4] = False

    def distance(area: NDArray[np.bool_]) -> NDArray[np.float32]:
        colours = lab[area]
        some = colours[:: max(1, len(colours) // 48)]
        return np.asarray(np.min([np.linalg.norm(lab - colour, axis=2) for colour in some], axis=0, initial=1e3))

    return np.asarray(distance(painted > 0) < distance((painted < 0) | (frame & (painted <= 0))))


def _follow(
    lab: NDArray[np.float32],
    before: NDArray[np.bool_],
    guess: NDArray[np.bool_],
    painted: NDArray[np.int8],
    band: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Within a band, the outline moves to the photograph's edge.

    Args:
        lab: (h, w, 3).
        before: (h, w), the garment so far.
        guess: (h, w), where it probably is within the band.
        painted: (h, w) int8, as ``_painted`` gives it.
        band: (h, w), where the outline may move.

    Returns:
        (h, w), the garment.
    """
    ys, xs = np.flatnonzero(band.any(1)), np.flatnonzero(band.any(0))
    margin = max(8, round(0.06 * max(band.shape)))  # what surrounds the band tells which colours are the garment's
    part = np.s_[max(0, ys[0] - margin) : ys[-1] + margin + 1, max(0, xs[0] - margin) : xs[-1] + margin + 1]
    marks, old, free, likely = painted[part], before[part], band[part], guess[part]
    labels = np.where(old, cv2.GC_FGD, cv2.GC_BGD).astype(np.uint8)
    labels[free & likely], labels[free & ~likely] = cv2.GC_PR_FGD, cv2.GC_PR_BGD
    labels[marks > 0], labels[marks < 0] = cv2.GC_FGD, cv2.GC_BGD
    new = run_grabcut(np.ascontiguousarray(lab[part]), labels, ROUNDS)
    new = np.asarray(cv2.medianBlur(_as_uint8(new), 5)) > 0
    new = (new & free) | (old & ~free) | (marks > 0)
    added, taken = _touching(new & ~old, marks > 0), _touching((old & ~new) | (marks < 0), marks < 0)
    after = before.copy()
    after[part] = (old | added) & ~taken
    return after


def _touching(region: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of an (h, w) bool region, the connected parts that meet the seeds."""
    _, parts = cv2.connectedComponents(_as_uint8(region | seeds))
    return np.asarray(region & np.isin(parts, np.unique(parts[seeds])))


def _blend(photo: NDArray[np.uint8], mask: Mask | None, first: NDArray[np.bool_], after: NDArray[np.bool_]) -> Mask:
    """(H, W) float32 alpha: as it was where nothing has changed, fitted to the photograph's edge again where it has."""
    if mask is not None and np.array_equal(first, after):
        return mask.copy()
    fitted = fit_edge(after, photo)
    if mask is None:
        return np.asarray(fitted, np.float32)
    near = cv2.dilate(_as_uint8(first != after), np.ones((7, 7), np.uint8)).astype(np.float32)
    weight = cv2.resize(cv2.GaussianBlur(near, (0, 0), 1.5), mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(weight * fitted + (1 - weight) * mask, np.float32)
