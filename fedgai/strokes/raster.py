"""A drawing as a picture again."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from fedgai.strokes.drawing import KINDS, Color, Drawing, Floats, Picture, Stroke, pen_widths

FINE = 4  # times finer than the picture, then averaged: smooth edges
SHIFT = 4  # bits below the point in OpenCV's coordinates


def to_picture(drawing: Drawing) -> Picture:
    """Draw with round pens: (H, W, 3) uint8 RGB on white. Topstitching is drawn through, not dashed."""
    width, height = drawing.size
    hatching_color = drawing.hatching_color or drawing.color
    page = np.full((height * FINE, width * FINE, 3), 255, np.uint8)
    for wash in drawing.washes:
        cv2.fillPoly(page, [fixed(outline) for outline in wash.outlines], wash.color, cv2.LINE_8, SHIFT)
    for x, y, diameter in drawing.dots.tolist():
        center = fixed(np.array([[x, y]]))[0].tolist()
        cv2.circle(page, center, round(diameter / 2 * FINE * 2**SHIFT), hatching_color, -1, cv2.LINE_8, SHIFT)
    for kind in reversed(KINDS):  # the silhouette last
        strokes, color = drawing.of_kind(kind), hatching_color if kind == "hatching" else drawing.color
        for stroke, thick in zip(strokes, pen_widths(strokes), strict=True):
            _draw(page, stroke, stroke.widths if drawing.swelling else np.full(len(stroke.widths), thick), color)
    return np.asarray(cv2.resize(page, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _draw(page: Picture, stroke: Stroke, widths: Floats, color: Color) -> None:
    points = np.concatenate([stroke.points, stroke.points[: stroke.closed]])
    thick = np.maximum(1, np.rint(widths * FINE)).astype(int)
    cuts = [0, *(np.flatnonzero(np.diff(thick)) + 1).tolist(), len(thick)]
    for a, b in pairwise(cuts):
        cv2.polylines(page, [fixed(points[a : b + 1])], False, color, int(thick[a]), cv2.LINE_8, SHIFT)


def fixed(points: Floats, scale: float = FINE) -> NDArray[np.int32]:
    """Points (n, 2), px -> OpenCV's fixed-point coordinates, ``SHIFT`` bits, on a page that is ``scale`` times finer."""
    moved: NDArray[np.int32] = np.rint(((points + 0.5) * scale - 0.5) * 2**SHIFT).astype(np.int32)
    return moved
