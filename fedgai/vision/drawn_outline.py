"""A garment's outline as a pen draws it: one smooth, unbroken line, and the cut-out that it encloses."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fedgai.strokes.polylines import Polylines
from fedgai.strokes.raster import FINE, SHIFT, fixed
from fedgai.strokes.silhouette import SMALLEST, outlines

Plane = NDArray[np.float32]

STIFFNESS = 8000.0  # of the smoothing spline, at 512 px
CORNER, REACH = 40.0, 9.0  # degrees, and px of 512 within which a turn by so much is a corner, which stays one
WIDTH = 2.0  # px of 512, of the line that the network sees


def redrawn(mask: Plane) -> tuple[Plane, Plane]:
    """A mask with a smooth edge, and the line along it.

    Args:
        mask: (H, W) float32 in [0, 1].

    Returns:
        (H, W) float32 in [0, 1] both. Parts and holes below a thousandth of the picture are left out, unless nothing else is
        there: then the mask comes as it is, without a line.
    """
    rings = _smooth(mask)
    height, width = mask.shape
    if not len(rings):
        return mask, np.zeros_like(mask)
    unit = max(height, width) / 512
    parts = rings.split(rings.points)
    inside = np.zeros((height * FINE, width * FINE), np.uint8)
    cv2.fillPoly(inside, [fixed(part) for part in parts], 255, cv2.LINE_8, SHIFT)
    line = np.zeros((height, width), np.uint8)
    cv2.polylines(line, [fixed(part, 1) for part in parts], True, 255, max(1, round(WIDTH * unit)), cv2.LINE_AA, SHIFT)
    smooth = cv2.resize(inside, (width, height), interpolation=cv2.INTER_AREA)
    softened = cv2.GaussianBlur(line.astype(np.float32) / 255, (0, 0), 0.5 * unit)
    return (smooth / np.float32(255)).astype(np.float32), softened.astype(np.float32)


def without_specks(mask: Plane) -> Plane:
    """A mask (H, W) in [0, 1] without the parts and holes that ``redrawn`` leaves out, its edge as it is."""
    solid = (mask > 0.5).astype(np.uint8)
    clean = mask
    for area, paper in ((solid, 0), (1 - solid, 1)):
        _, parts, stats, _ = cv2.connectedComponentsWithStats(area, connectivity=4)
        small = stats[:, cv2.CC_STAT_AREA] < SMALLEST * mask.size
        small[0] = False
        if small.any():
            clean = np.where(small[parts], np.float32(paper), clean)
    return np.asarray(clean, np.float32)


def _smooth(mask: Plane) -> Polylines:
    """Closed lines along the mask's edge, smooth between corners."""
    rings, unit = outlines(mask), max(mask.shape) / 512
    none, even = np.zeros(len(rings.points), bool), np.ones(len(rings.points))

    def smoothed(stiffness: float, corners: NDArray[np.bool_]) -> Polylines:
        return Polylines(rings.smoothed(rings.points, stiffness, corners, even), rings.starts, rings.closed)

    corners = smoothed(2, none).corners(REACH * unit, CORNER)
    return smoothed(STIFFNESS * unit**4, corners)
