"""A garment's lines as a person draws them: whole and smooth, from the draughtsman's likelihoods.

They are laid on the picture that the network draws from, and the ateliers draw along the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np

from fedgai.line_choice import EVERY_LINE, LineChoice
from fedgai.line_types import LINE_TYPES
from fedgai.strokes.centre_lines import CORNER, Tracing, centre_lines, strokes_along, to_edge
from fedgai.strokes.drawing import Bools, Floats, Ints, Plane
from fedgai.strokes.joining import Line, run_on, without_hooks
from fedgai.strokes.raster import SHIFT, fixed
from fedgai.vision.buttons import Button, round_fastenings
from fedgai.vision.hems import whole_hems
from fedgai.vision.ridges import crests, ridges

RIDGE, LONG_RIDGE = 1.5, 4.0  # px of 512, scale of the ridges, across and along
FAINT, SURE = 0.02, 0.08  # strength that a ridge must keep along its length, and reach somewhere; a line that is certain has 0.4
LEAST = 0.09  # likelihood below which a ridge is not a line
SHORTEST = 24  # px of 512, length below which a line is a speck
RIM = 4.0  # px of 512, how close to the silhouette other lines end: it has a line of its own
RIM_OF_SILHOUETTE = 10.0  # px of 512, how far in the silhouette's own likelihood is left out: it would hide a hem beside it
STIFFNESS = 1500.0  # of the spline through a line's points, at 512 px
WIDTH = 2.0  # px of 512, of a line, and at least one of the picture
REFERENCE = 512  # px, long side to which lengths above refer
BLOT = 5.0  # px, how far around a button's place is looked for the lines that pass it
SMALLEST_RING = 3.0  # px of 512, radius
STITCH, SPACE = 9.0, 4.0  # px of 512, of a topstitched line
SEAMED = 36.0  # px of 512; a shorter topstitched line is drawn through: two or three stitches look like dirt
RUN_ON = 10.0  # px of 512, beyond ``RIM``: a line whose end lies so near to one that it points at is drawn on to it
LONG_RUN_ON = 24.0  # px of 512, the same for long lines
BEND = 10.0  # px of 512, along which a line turns at a corner, on either side
HOOK = 14.0  # px of 512: a shorter piece that turns away at a line's end is left out
LOOSE, LOOSE_SURE = 60.0, 0.6  # px of 512: a shorter line that meets no other and is less sure is clutter
SILHOUETTE, SEAM, EDGE, TOPSTITCH, FOLD, FASTENING = range(len(LINE_TYPES))
FOLD_LIKELY = 0.55  # share of a fold's likelihood that counts: a faint fold is clutter, a faint seam is not
FOLDS = 0.75  # how sure a fold is beside a seam after that: whoever leaves lines out begins with folds


@dataclass(frozen=True)
class GarmentLine:
    """One line inside the silhouette.

    Attributes:
        points: (n, 2) float64, x to the right, y down, px; the centre of the first pixel is (0, 0).
        closed: the last point is joined to the first.
        sure: in (0, 1], how likely it is; seldom below 0.2.
        kind: index of its type in ``LINE_TYPES``.
    """

    points: Floats
    closed: bool
    sure: float
    kind: int = SEAM

    @property
    def length(self) -> float:
        """px."""
        points = np.concatenate([self.points, self.points[:1]]) if self.closed else self.points
        return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


@dataclass(frozen=True)
class PenMap:
    """Lines as a pen meets them, at every pixel.

    Attributes:
        away: (H, W) float32, px to the middle of the nearest line; large where there is none.
        sure: (H, W) float32, that line's ``sure``.
        end: (H, W) float32, px along that line from there to its nearer end.
    """

    away: Plane
    sure: Plane
    end: Plane


def garment_lines(likelihoods: Plane, mask: Plane) -> list[GarmentLine]:
    """Whole, smooth lines along the ridges of the likelihoods (``ridges.py``); topstitching as dashes.

    The two edges of a placket, a seam and the stitches beside it are one broad band of likelihood with a ridge for each. The
    middle of the band would be a line that is not there.

    Args:
        likelihoods: (N, h, w) float32 in [0, 1] of all types of lines (``draughtsman.Seen.lines``), in the picture's
            proportions.
        mask: (H, W) float32 in [0, 1], the garment.

    Returns:
        In px of the mask, the surest last.
    """
    height, width = likelihoods.shape[1:]
    unit, scale = max(height, width) / REFERENCE, max(mask.shape) / max(height, width)
    solid = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    depth = to_edge(np.pad(solid, 1))[1:-1, 1:-1]
    drawn = without_spots(likelihoods)
    drawn[FOLD] *= FOLD_LIKELY
    drawn[SILHOUETTE] *= depth > RIM_OF_SILHOUETTE * unit
    any_line = drawn.max(0)
    likely = cv2.GaussianBlur(any_line, (0, 0), 0.8) * (depth > RIM * unit)
    ink, ridge = _crests(any_line, likely > LEAST, unit)
    how = replace(Tracing.at((height, width)), shortest=SHORTEST * unit, stiffness=STIFFNESS * unit**4)
    edge = to_edge(ink)
    middle = without_hooks(centre_lines(ink, edge, how), HOOK * unit)
    middle = [part for line in middle for part in _cut_where_stitches_begin(line, likelihoods, BEND * unit)]
    contours = _contours(solid)
    kinds = [_kind(line.points, likelihoods) for line in middle]  # of what was seen, before lines are drawn on
    hemmed = whole_hems(middle, [kind == TOPSTITCH for kind in kinds], contours, depth)
    kinds = [kind for kind, line in zip(kinds, hemmed, strict=True) if line is not None]
    middle = [line for line in hemmed if line is not None]
    rims = [(contour, np.full(len(contour), 2 * RIM * unit)) for contour in contours]
    middle = run_on(middle, edge, rims, RUN_ON * unit, LONG_RUN_ON * unit)
    strokes = strokes_along(middle, np.minimum(0.8 / SURE * ridge, 1), how, "line")
    around = cv2.dilate(likely, np.ones((5, 5), np.uint8))
    found = []
    for stroke, kind in zip(strokes, kinds, strict=True):
        seen = around[_pixels(stroke.points, around.shape)]
        seen = seen[seen > LEAST]  # it was drawn on beyond
        sure = float(np.clip(1.4 * np.median(seen), 0.3, 1)) if len(seen) else 0.3
        if all(stroke.free) and not stroke.closed and sure < LOOSE_SURE and len(stroke.points) < LOOSE * unit:
            continue
        points = (stroke.points + 0.5) * scale - 0.5
        if kind == TOPSTITCH:
            found += [GarmentLine(dash, False, sure, kind) for dash in dashes(points, max(mask.shape) / REFERENCE)]
        else:
            found.append(GarmentLine(points, stroke.closed, sure * (FOLDS if kind == FOLD else 1), kind))
    return sorted(found, key=lambda line: line.sure)


def chosen(lines: Sequence[GarmentLine], choice: LineChoice) -> list[GarmentLine]:
    """The lines that a hand draws, in their order. Fastenings are always drawn."""
    if choice == EVERY_LINE:
        return list(lines)
    left_out: set[int] = set()
    for kinds, share in (((SEAM, EDGE), choice.seams), ((FOLD,), choice.folds), ((TOPSTITCH,), choice.stitches)):
        of_kind = [i for i, line in enumerate(lines) if line.kind in kinds]
        to_leave = (1 - share) * sum(lines[i].length for i in of_kind)
        for i in of_kind:  # the least sure first
            if lines[i].length / 2 >= to_leave:
                break
            left_out.add(i)
            to_leave -= lines[i].length
    return [line for i, line in enumerate(lines) if i not in left_out]


def _crests(likely: Plane, may_lie: Bools, unit: float) -> tuple[Bools, Plane]:
    """Where lines are, (h, w) bool, and the ridges that they are the crests of, (h, w) float32. ``unit``: see ``dashes``."""
    strength, direction = ridges(likely, RIDGE * unit, LONG_RIDGE * unit)
    strength *= may_lie
    thin = crests(strength, direction, FAINT).astype(np.uint8)
    # hysteresis: a faint line is drawn only where it continues a sure one
    count, labels = cv2.connectedComponents(thin, connectivity=8)
    peak = np.zeros(count, np.float32)
    lies = np.nonzero(labels)
    np.maximum.at(peak, labels[lies].astype(np.intp), strength[lies])
    ink = (peak > SURE)[labels].astype(np.uint8)
    return cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0, strength


def without_spots(likelihoods: Plane) -> Plane:
    """Likelihoods of lines (N, h, w) in which small round fastenings are blotted out: buttons are not lines.

    A row of them between the two edges of a placket would be taken for a chain. Lines that pass go on where they were.
    """
    core = round_fastenings(likelihoods[FASTENING])[0].astype(np.uint8)
    left = likelihoods.copy()
    if not core.any():
        return left
    spot = cv2.dilate(core, np.ones((3, 3), np.uint8))
    margin = round(BLOT) + 2
    x, y, width, height = cv2.boundingRect(spot)
    around = np.s_[max(0, y - margin) : y + height + margin, max(0, x - margin) : x + width + margin]
    for plane in left:
        levels = (255 * plane[around].clip(0, 1)).astype(np.uint8)
        plane[around] = cv2.inpaint(levels, spot[around], BLOT, cv2.INPAINT_TELEA).astype(np.float32) / 255
    left[FASTENING][cv2.dilate(core, np.ones((5, 5), np.uint8)) > 0] = 0
    return left


def _kind(points: Floats, likelihoods: Plane) -> int:
    """Index of the type of line that is likeliest along points (n, 2), from (N, h, w) likelihoods of all types."""
    rows, columns = _pixels(points, likelihoods.shape[1:])
    return int(likelihoods[:, rows, columns].mean(1).argmax())


def _cut_where_stitches_begin(line: Line, likelihoods: Plane, reach: float) -> list[Line]:
    """A line in the parts between its corners, where it is topstitched on one side of a corner only: a placket and a hem meet.

    Args:
        line: about 1 px from point to point. likelihoods: see ``_kind``.
        reach: px, on either side of a corner. A part is three times as long.
    """
    far, size = max(2, round(reach)), len(line.points)
    if line.closed or size < 6 * far:
        return [line]
    steps = line.points[far:] - line.points[:-far]
    steps /= np.maximum(np.linalg.norm(steps, axis=1), 1e-9)[:, None]
    straight = (steps[:-far] * steps[far:]).sum(1)  # cosine of the turn at each point from ``far`` on
    straight[: 2 * far] = straight[-2 * far :] = 1
    cuts = [0]
    while straight.min() < math.cos(math.radians(CORNER)):
        sharpest = int(straight.argmin())
        cuts.append(sharpest + far)
        straight[max(0, sharpest - 3 * far) : sharpest + 3 * far] = 1
    cuts = [*sorted(cuts), size - 1]
    stitched = [_kind(line.points[a : b + 1], likelihoods) == TOPSTITCH for a, b in pairwise(cuts)]
    cuts = [
        0,
        *(cut for cut, before, after in zip(cuts[1:-1], stitched, stitched[1:], strict=False) if before != after),
        size - 1,
    ]
    free = [line.free[0], *(False for _ in cuts[1:-1]), line.free[1]]
    return [Line(line.points[a : b + 1], False, ends) for (a, b), ends in zip(pairwise(cuts), pairwise(free), strict=True)]


def _pixels(points: Floats, shape: tuple[int, ...]) -> tuple[Ints, Ints]:
    """Rows and columns of the pixels at points (n, 2), px; the nearest ones of the picture (h, w) for points outside it."""
    columns, rows = np.clip(np.rint(points).astype(np.int64), 0, (shape[1] - 1, shape[0] - 1)).T
    return rows, columns


def _contours(solid: Bools) -> list[Floats]:
    """The silhouette of a garment (h, w): the pixels (n, 2) around each of its parts and holes, the last beside the first."""
    contours, _ = cv2.findContours(solid.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return [contour[:, 0].astype(np.float64) for contour in contours]


def as_drawn(buttons: Sequence[Button], scale: float, side: float) -> tuple[Button, ...]:
    """Buttons in px of a drawing, never so small that a ring would be a dot.

    Args:
        buttons: in px of a picture. scale: by how much the drawing is larger. side: long side of the drawing, px.
    """
    smallest = SMALLEST_RING * side / REFERENCE
    return tuple(
        Button((button.x + 0.5) * scale - 0.5, (button.y + 0.5) * scale - 0.5, max(button.radius * scale, smallest))
        for button in buttons
    )


def rings(buttons: Sequence[Button]) -> list[GarmentLine]:
    """Buttons as a person draws them: a ring each, in the buttons' px."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], 1)
    return [GarmentLine(np.array([button.x, button.y]) + button.radius * circle, True, 1.0, FASTENING) for button in buttons]


def dashes(points: Floats, unit: float) -> list[Floats]:
    """A line (n, 2) cut into stitches; ``unit`` px of it are one of a picture that is 512 px long."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    if along[-1] < SEAMED * unit:
        return [points]
    starts = np.arange(0, along[-1], (STITCH + SPACE) * unit)
    dashes = [points[(along >= start) & (along <= start + STITCH * unit)] for start in starts]
    return [dash for dash in dashes if len(dash) > 1]


def line_cover(lines: Sequence[GarmentLine], shape: tuple[int, ...]) -> Plane:
    """(H, W) float32 in [0, 1]: a line's ``sure`` in its middle, 0 away from lines. All lines are of one width."""
    page = np.zeros(shape, np.uint8)
    thick = max(1, round(WIDTH * max(shape) / REFERENCE))
    for line in lines:
        cv2.polylines(page, [fixed(line.points, 1)], line.closed, round(255 * line.sure), thick, cv2.LINE_AA, SHIFT)
    cover = cv2.GaussianBlur(page.astype(np.float32) / 255, (0, 0), 0.5 * max(shape) / REFERENCE)
    return np.asarray(cover, np.float32)


def pen_map(lines: Sequence[GarmentLine], shape: tuple[int, int]) -> PenMap:
    """What a pen needs to know at each pixel (H, W) to draw along the lines with any width."""
    height, width = shape
    far = float(height + width)
    free = np.ones((height, width), np.uint8)
    sure, end = np.zeros((height, width), np.float32), np.full((height, width), far, np.float32)
    for line in lines:  # the surest last, on top
        columns, rows = np.rint(line.points).astype(int).T
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line.points, axis=0), axis=1))])
        to_end = np.full_like(along, far) if line.closed else np.minimum(along, along[-1] - along)
        rows, columns = rows[inside], columns[inside]
        free[rows, columns], sure[rows, columns], end[rows, columns] = 0, line.sure, to_end[inside]
    if free.all():
        return PenMap(np.full((height, width), far, np.float32), sure, end)
    away, label = cv2.distanceTransformWithLabels(free, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    at = np.zeros(int(label.max()) + 1, np.intp)  # label -> where its pixel of a line is
    middle = np.flatnonzero(free.ravel() == 0)
    at[label.ravel()[middle]] = middle
    nearest = at[label]
    return PenMap(away.astype(np.float32), sure.ravel()[nearest], end.ravel()[nearest])
