"""Ridges of a plane as thin lines: a line's likelihood is gathered along the line, so that what lies beside it does not count.

A ridge that is looked for with a round window (Sato et al. 1998) is pulled to its neighbours: the edges of a placket and the
folds beside it become a chain. Here the window is nearly three times as long as broad, and turned to the line (Freeman and
Adelson 1991, "The design and use of steerable filters").
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from fedgai.strokes.drawing import Bools, Plane

DIRECTIONS = 12  # 15 degrees apart
EMPTY = 0.01  # what is less is taken for nothing: a photograph's background
STEP = 2.0  # px between the places along a line that are added up; the plane was smoothed by nearly as much before


def ridges(plane: Plane, across: float, along: float) -> tuple[Plane, npt.NDArray[np.uint8]]:
    """How much each pixel lies on a ridge, and which way the ridge runs.

    Args:
        plane: (H, W) float32.
        across: the scale, px: ridges about twice as wide give most.
        along: standard deviation of the window along the ridge, px, at least ``across``. The same as ``across`` gives the
            ridges of Sato et al., as ``skimage.filters.sato`` finds them for one scale.

    Returns:
        (H, W) float32, at least 0; (H, W) uint8, the direction in steps of pi / ``DIRECTIONS`` from x to the right to y down.
    """
    spread = math.sqrt(max(along**2 - across**2, 0))
    count = round(2.2 * spread / STEP)
    places = STEP * np.arange(-count, count + 1)
    shares = np.exp(-0.5 * (places / max(spread, 1e-6)) ** 2)
    shares /= shares.sum()
    strength, direction = np.zeros(plane.shape, np.float32), np.zeros(plane.shape, np.uint8)
    columns, rows = _where_likely(plane, margin=max(1, round(3 * across)))
    inner = plane[rows, columns]
    height, width = inner.shape
    margin = math.ceil(STEP * count)
    smooth = cv2.GaussianBlur(cv2.copyMakeBorder(inner, *(margin,) * 4, cv2.BORDER_REPLICATE), (0, 0), across)
    xx, yy, xy = (cv2.Sobel(smooth, cv2.CV_32F, dx, dy, ksize=3, scale=across**2 / 4) for dx, dy in ((2, 0), (0, 2), (1, 1)))
    strongest, its_direction = np.zeros_like(inner), np.zeros(inner.shape, np.uint8)
    for i in range(DIRECTIONS):
        cosine, sine = math.cos(math.pi * i / DIRECTIONS), math.sin(math.pi * i / DIRECTIONS)
        # the second derivative across the direction, its sign turned
        bent = cv2.scaleAdd(xy, 2 * sine * cosine, cv2.addWeighted(xx, -(sine**2), yy, -(cosine**2), 0))
        total = np.zeros_like(inner)
        for place, share in zip(places, shares, strict=True):
            x, y = margin + round(place * cosine), margin + round(place * sine)
            cv2.scaleAdd(bent[y : y + height, x : x + width], share, total, dst=total)
        stronger = cv2.compare(total, strongest, cv2.CMP_GT)  # numpy with masks takes longer
        cv2.copyTo(total, stronger, strongest)
        cv2.copyTo(np.full_like(its_direction, i), stronger, its_direction)
    strength[rows, columns], direction[rows, columns] = strongest, its_direction
    return strength, direction


def _where_likely(plane: Plane, margin: int) -> tuple[slice, slice]:
    """Columns and rows of the part of a plane that is not empty, and ``margin`` px around it."""
    x, y, width, height = cv2.boundingRect((plane > EMPTY).astype(np.uint8))
    return slice(max(0, x - margin), x + width + margin), slice(max(0, y - margin), y + height + margin)


def crests(strength: Plane, direction: npt.NDArray[np.uint8], least: float) -> Bools:
    """The pixels at the top of each ridge, (H, W) bool: lines one pixel wide, seldom two.

    Args:
        strength, direction: see ``ridges``.
        least: a weaker ridge has no crest.
    """
    padded = np.pad(strength, 2)
    rows, columns = np.nonzero(strength > least)
    angle = np.pi / DIRECTIONS * direction[rows, columns]
    own = strength[rows, columns]
    top = np.ones(len(rows), bool)
    for side in (-1, 1):
        y, x = rows + 2 + side * np.cos(angle), columns + 2 - side * np.sin(angle)
        upper, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
        down, right = y - upper, x - left
        above = (1 - right) * padded[upper, left] + right * padded[upper, left + 1]
        below = (1 - right) * padded[upper + 1, left] + right * padded[upper + 1, left + 1]
        top &= own >= (1 - down) * above + down * below
    result = np.zeros(strength.shape, bool)
    result[rows[top], columns[top]] = True
    return result
