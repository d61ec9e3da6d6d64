"""Price tags, labels and stickers on a garment: small rectangles that it surrounds.

The draughtsman takes them for background, so a cut-out has a hole there, and a drawing would show a white rectangle with an
outline. Two things tell such a hole from a gap between a sleeve and the body: it is a rectangle, and its colours differ from
those of what lies behind the garment.
"""

from __future__ import annotations

import cv2
import numpy as np

from fedgai.strokes.drawing import Bools, Plane
from fedgai.vision.mask_pieces import colour_distance

SIDE = 384  # px, long side at which tags are looked for
SMALLEST, LARGEST = 0.003, 0.1  # shares of the garment that a tag has
RECTANGLE = 0.7  # share of the narrowest rectangle around a tag that it fills; its string and its slanted corners take some
LONGEST = 3.0  # times as long as it is wide
UNLIKE = 5.5  # levels by which a tag's colours differ from those behind the garment, where these are nearest to it
NEAR = 0.05  # of the garment's area: so much of what lies around it counts as near
MARGIN = 4  # px around a tag that belong to it: its own edge, and its shadow
INPAINTED = 5.0  # px, how far around a tag is looked for the lines that pass behind it


def tags(photo: np.ndarray, mask: Plane, belief: Plane) -> Bools | None:
    """Where tags lie on a garment, with a margin.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (h, w) float32 in [0, 1], the cut-out, of the photo's proportions.
        belief: (h', w') float32 in [0, 1], how likely the draughtsman found garment. The cut-out has closed small holes already.

    Returns:
        (h'', w'') bool, ``SIDE`` px long, or None where there is no tag.
    """
    scale = SIDE / max(mask.shape)
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    cut = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST) > 0.5)  # the fastest way will do: both are smooth
    solid = cut & (cv2.resize(belief, size, interpolation=cv2.INTER_NEAREST) > 0.5)
    outside = np.pad(~solid, 1, constant_values=True).astype(np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(outside, connectivity=4)
    shares = stats[:, cv2.CC_STAT_AREA] / max(1, int(solid.sum()))
    lab, found = None, np.zeros(solid.shape, np.uint8)
    for part in np.flatnonzero((shares > SMALLEST) & (shares < LARGEST)):
        hole = np.asarray(parts == part)[1:-1, 1:-1]
        if part in (0, parts[0, 0]) or not _is_rectangle(hole):
            continue
        if lab is None:
            small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
            lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
        if _unlike(hole, cut | hole, lab) > UNLIKE:
            found[hole] = 1
    if not found.any():
        return None
    within = (parts != parts[0, 0])[1:-1, 1:-1]
    return np.asarray((cv2.dilate(found, np.ones((2 * MARGIN + 1,) * 2, np.uint8)) > 0) & within)


def _is_rectangle(hole: Bools) -> bool:
    contours, _ = cv2.findContours(hole.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=len)
    _, (one, other), _ = cv2.minAreaRect(contour)
    if min(one, other) < 1 or max(one, other) > LONGEST * min(one, other):
        return False
    return cv2.contourArea(contour) > RECTANGLE * one * other


def _unlike(hole: Bools, garment: Bools, lab: np.ndarray) -> float:
    """By how many levels of (h, w, 3) Lab a hole's colours differ from those around the garment, where they are nearest to it."""
    behind = cv2.dilate(garment.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    core = cv2.erode(hole.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if not behind.any() or not core.any():
        return 0.0
    away = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 5)
    far = np.partition(away[behind], nearest := min(int(behind.sum()) - 1, int(NEAR * garment.sum())))[nearest]
    return colour_distance(lab[core], lab[behind & (away <= far)])


def over(mask: Plane, tag: Bools) -> Plane:
    """A mask (H, W) float32 in [0, 1] without a hole at the tags ``tag``, (h, w) bool."""
    height, width = mask.shape
    return np.maximum(mask, cv2.resize(tag.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))


def lines_behind(lines: Plane, tag: Bools) -> Plane:
    """Likelihoods of lines (N, h, w) float32 in [0, 1] without a tag's edges and letters; lines that pass behind it go on."""
    height, width = lines.shape[1:]
    spot = cv2.resize(tag.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    x, y, wide, high = cv2.boundingRect(spot)
    margin = round(INPAINTED) + 2
    part = np.s_[max(0, y - margin) : y + high + margin, max(0, x - margin) : x + wide + margin]
    left = lines.copy()
    for plane in left:
        if not plane[part][spot[part] > 0].any():
            continue
        levels = (255 * plane[part].clip(0, 1)).astype(np.uint8)
        plane[part] = cv2.inpaint(levels, spot[part], INPAINTED, cv2.INPAINT_TELEA).astype(np.float32) / 255
    return left
