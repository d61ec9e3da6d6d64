"""Outlines of cut cloth: smooth strokes, mirrored halves, bands and discs.

Points are float arrays (n, 2): x to the right, y down. Their unit is whatever the caller draws in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Array = NDArray[Any]  # of real numbers
Point = tuple[float, float]


def path(*strokes: Sequence[Point], step: float = 2.0) -> Array:
    """Points (n, 2) along smooth strokes; each stroke starts, with a corner, where the one before it ended."""
    points, start = [], None
    for stroke in strokes:
        knots = np.array(([start] if start is not None else []) + [tuple(p) for p in stroke], float)
        knots = knots[np.r_[True, np.abs(np.diff(knots, axis=0)).sum(1) > 0]]
        if len(knots) < 2:
            continue
        chord = np.r_[0, np.cumsum(np.hypot(*np.diff(knots, axis=0).T) ** 0.5)]
        length = np.hypot(*np.diff(knots, axis=0).T).sum()
        along = np.linspace(0, chord[-1], max(2, int(length / step)))
        points.append(CubicSpline(chord, knots, bc_type="natural")(along))
        start = tuple(stroke[-1])
    return np.vstack(points)


def mirror(points: Array, width: float = 0.0) -> Array:
    """Points (n, 2) reflected in the vertical line at half of ``width``."""
    return np.asarray(points, float) * (-1, 1) + (width, 0)


def symmetric(*strokes: Sequence[Point], width: float = 0.0) -> Array:
    """The closed outline (n, 2) whose left half is ``strokes``, from the axis at the top to the axis at the bottom."""
    half = path(*strokes)
    return np.vstack([half, mirror(half, width)[::-1]])


def disc(x: float, y: float, radius: float) -> Array:
    """A circle's outline (48, 2)."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)


def quad(start: Point, end: Point, width: float) -> Array:
    """The outline of a straight band ``width`` wide from ``start`` to ``end``."""
    (x0, y0), (x1, y1) = start, end
    nx, ny = np.array([y0 - y1, x1 - x0]) / np.hypot(x1 - x0, y1 - y0) * width / 2
    return path([(x0 + nx, y0 + ny), (x1 + nx, y1 + ny)], [(x1 - nx, y1 - ny)], [(x0 - nx, y0 - ny)])


def offset(line: Array, distance: float) -> Array:
    """A line (n, 2) moved sideways: to the right of its direction as one sees it on the picture, y being down."""
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    return line + distance * np.stack([-along[:, 1], along[:, 0]], 1)


def strip(line: Array, width: float) -> Array:
    """The closed outline of a band that lies ``width`` to the right of ``line`` (n, 2), as seen along it."""
    return np.vstack([line, offset(line, width)[::-1]])


def band(line: Array, width: float) -> Array:
    """The closed outline of a band whose middle is ``line`` (n, 2)."""
    return np.vstack([offset(line, -width / 2), offset(line, width / 2)[::-1]])


def fill(outline: Array, shape: tuple[int, int], scale: int) -> Array:
    """Coverage (h * scale, w * scale), 0 to 1, of a closed outline (n, 2); a pixel's centre is at its number plus 0.5."""
    canvas = np.zeros((shape[0] * scale, shape[1] * scale), np.uint8)
    corners = np.round(((outline * scale) - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [corners], 255, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / 255
