"""Which lines a designer draws, read from photographs of garments and the drawings that they made of them.

Where the draughtsman sees a line in the photograph, is there ink in the drawing? Hatching has ink everywhere, so ink beside the
line is subtracted. A designer may have drawn the garment in another pose than in the photograph: then not even its silhouette
has ink, and nothing is measured.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from fedgai.content import Cloth
from fedgai.line_choice import EVERY_LINE, LineChoice
from fedgai.line_types import LINE_TYPES
from fedgai.strokes.drawing import Bools, Plane
from fedgai.vision.channels import darkest_channel
from fedgai.vision.garment_lines import EDGE, FOLD, REFERENCE, SEAM, TOPSTITCH

KINDS = {"seams": (SEAM, EDGE), "folds": (FOLD,), "stitches": (TOPSTITCH,)}
REACH = 3.0  # px of 512, how far from a line its ink may lie
OFFSET = 14.0  # px of 512, how far beside a line we look for ink that is everywhere, such as hatching
THIN = 6.0  # px of 512, half the width of what counts as a line: a wash or a black area does not count
FAINT = 40  # grey levels by which ink is darker than what surrounds it
ALIGNED = 0.6  # share of the silhouettes that has ink in drawings of garments as they lie
FEWEST = 400.0  # px of 512, length of a kind of line in all garments, below which its share is not known
FREE = 0.25  # least share of places beside lines without ink: in denser drawings a line cannot be told from hatching
NONE, ALL = 0.15, 0.85  # a share below the first counts as 0, one above the second as 1: ink is never found everywhere
PRINTED = 0.015  # edges of a garment's area, px a px, above which it has a print
INSIDE = 8.0  # px of 512 that a line must be away from the silhouette, which has ink, too; and a print's edge from a line


class _Share:
    """How much of some lines has ink, over several drawings."""

    def __init__(self) -> None:
        self.length, self._near, self._offset = 0.0, 0.0, 0.0

    def add(self, where: Bools, to_ink: Plane, unit: float) -> None:
        """where: (h, w), one px wide. to_ink: (h, w), px to the nearest ink. unit: px that are one of a drawing 512 px long."""
        rows, columns = np.nonzero(where)
        if not len(rows):
            return
        height, width = where.shape
        shift, reach = round(OFFSET * unit), REACH * unit
        self.length += len(rows) / unit
        self._near += float((to_ink[rows, columns] <= reach).sum()) / unit
        for down, right in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            beside = to_ink[(rows + down * shift).clip(0, height - 1), (columns + right * shift).clip(0, width - 1)]
            self._offset += float((beside <= reach).sum()) / unit / 4

    @property
    def free(self) -> float:
        """Share of places beside the lines that have no ink."""
        return 1 - self._offset / max(self.length, 1e-6)

    @property
    def drawn(self) -> float:
        """Share of the lines that has ink which is not everywhere, from 0 to 1."""
        return max(0.0, self._near - self._offset) / max(self.length - self._offset, 1e-6)


def measured_choice(garments: Iterable[tuple[Cloth, np.ndarray]]) -> LineChoice:
    """What a designer draws of a garment; every line where that cannot be measured.

    Args:
        garments: what the photograph shows, and the designer's drawing of it, (h, w, 3) uint8, of the same size.
    """
    silhouette, printed = _Share(), _Share()
    shares = {name: _Share() for name in KINDS}
    for cloth, drawing in garments:
        unit, to_ink = max(cloth.mask.shape) / REFERENCE, _to_ink(drawing)
        inside = _away(cloth.mask < 0.5) > INSIDE * unit
        silhouette.add(_rim(cloth.mask), to_ink, unit)
        for name, kinds in KINDS.items():
            shares[name].add(_page_of(cloth, kinds) & inside, to_ink, unit)
        edges = _edges_of_print(cloth, unit) & inside
        if edges.sum() > PRINTED * (cloth.mask > 0.5).sum() * unit:
            printed.add(edges, to_ink, unit)
    if silhouette.drawn < ALIGNED:
        return EVERY_LINE
    found = {name: _read(share, silhouette, 1.0) for name, share in shares.items()}
    return LineChoice(**found, print=_read(printed, silhouette, 0.0)).in_steps()


def _read(share: _Share, silhouette: _Share, unknown: float) -> float:
    """From 0 to 1, relative to the silhouette, which everybody draws; ``unknown`` where it cannot be measured."""
    if share.length < FEWEST or share.free < FREE:
        return unknown
    drawn = share.drawn / silhouette.drawn
    if drawn < NONE:
        return 0.0
    if drawn > ALL:
        return 1.0
    return drawn


def _to_ink(drawing: np.ndarray) -> Plane:
    """(h, w, 3) uint8 -> (h, w) float32, px to the nearest thin stroke."""
    unit = max(drawing.shape) / REFERENCE
    darkest = darkest_channel(drawing)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(THIN * unit) + 1,) * 2)
    thin = cv2.subtract(cv2.morphologyEx(darkest, cv2.MORPH_CLOSE, disc), darkest) > FAINT
    return _away(thin)


def _rim(mask: Plane) -> Bools:
    """(h, w), the garment's silhouette."""
    solid = (mask > 0.5).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(solid, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0)


def _page_of(cloth: Cloth, kinds: tuple[int, ...]) -> Bools:
    """(h, w), the middle of the lines of some kinds."""
    page = np.zeros(cloth.mask.shape, np.uint8)
    for line in cloth.lines:
        if line.kind in kinds:
            cv2.polylines(page, [np.rint(line.points).astype(np.int32)], line.closed, 1)
    return page > 0


def _edges_of_print(cloth: Cloth, unit: float) -> Bools:
    """(h, w), edges in the photograph that are neither silhouette nor lines."""
    grey = cv2.GaussianBlur(cv2.cvtColor(cloth.picture, cv2.COLOR_RGB2GRAY), (0, 0), unit)
    lines = _page_of(cloth, tuple(range(len(LINE_TYPES))))
    return np.asarray((cv2.Canny(grey, 60, 120) > 0) & (_away(lines) > INSIDE * unit))


def _away(page: Bools) -> Plane:
    """(h, w) float32, px to the nearest place of a page; large where there is none."""
    return np.asarray(cv2.distanceTransform((~page).astype(np.uint8), cv2.DIST_L2, 5), np.float32)
