"""The flow of a picture: along which way its lines and edges run."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]  # (H, W) float32


def tangents(light: Plane, sigma: float) -> tuple[Plane, Plane]:
    """Unit vectors (x, y) along the flow, (H, W) float32 each: the minor eigenvector of the structure tensor.

    Args:
        light: (H, W) float32.
        sigma: of the Gaussian that smooths the tensor, px.
    """
    gx, gy = cv2.Scharr(light, cv2.CV_32F, 1, 0), cv2.Scharr(light, cv2.CV_32F, 0, 1)
    e, f, g = (np.asarray(cv2.GaussianBlur(product, (0, 0), sigma)) for product in (gx * gx, gx * gy, gy * gy))
    angle = 0.5 * np.arctan2(2 * f, e - g) + np.pi / 2
    return np.cos(angle), np.sin(angle)


def along(values: Plane, tx: Plane, ty: Plane, sigma: float) -> Plane:
    """Gaussian mean of (H, W) values along the streamlines of ``tangents``, ``sigma`` in px."""
    h, w = values.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    total: Plane = values.copy()
    weight = 1.0
    for sign in (1.0, -1.0):
        px: Plane = x
        py: Plane = y
        dx: Plane = tx * sign
        dy: Plane = ty * sign
        for step in range(1, int(2 * sigma) + 1):
            px, py = px + dx, py + dy
            vx, vy = (np.asarray(cv2.remap(v, px, py, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)) for v in (tx, ty))
            turn = np.where(vx * dx + vy * dy < 0, np.float32(-1), np.float32(1))  # the flow has no direction
            dx, dy = vx * turn, vy * turn
            k = float(np.exp(-step * step / (2 * sigma * sigma)))
            total = total + k * np.asarray(cv2.remap(values, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
            weight += k
    return total / weight


def across(values: Plane, tx: Plane, ty: Plane, kernel: dict[float, float]) -> Plane:
    """Weighted sum of (H, W) values across the flow. ``kernel``: px from the middle -> weight."""
    h, w = values.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    total = np.zeros_like(values)
    for t, k in kernel.items():
        total = total + k * cv2.remap(values, x - ty * t, y + tx * t, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(total, np.float32)
