"""Buttons, which a drawing has as rings: taken out of the ink before lines are followed in it, and drawn closed.

A pen does not quite close a ring, and a placket passes beside it. Followed as lines, it becomes a hook, or a part of the placket.
"""

from __future__ import annotations

import cv2
import numpy as np

from fedgai.strokes.centre_lines import FINEST
from fedgai.strokes.drawing import Floats, Plane, Stroke

AROUND = 24  # places along a ring that are looked at
INKED, DRAWN = 0.4, 0.6  # how much ink such a place has, and the share of them that a ring has where it is drawn
BESIDE = 2.0  # px of 512, that a ring may be drawn beside its place
POINT = 1.0  # px, from point to point


def take_rings(ink: Plane, rings: Floats) -> tuple[Plane, list[Stroke]]:
    """The ink without the rings that are drawn in it, and these rings as closed strokes.

    Args:
        ink: (H, W) float32 in [0, 1].
        rings: (N, 3) float64, where they may be: x, y and radius, px.
    """
    left, found = ink.copy(), []
    beside = BESIDE * max(ink.shape) / 512
    for x, y, radius in rings.tolist():
        turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)[:, None]
        away = np.arange(-beside, beside + 0.25, 0.5)
        across, down = x + (radius + away) * np.cos(turn), y + (radius + away) * np.sin(turn)
        seen = cv2.remap(ink, across.astype(np.float32), down.astype(np.float32), cv2.INTER_LINEAR)  # (AROUND, len(away))
        inked = seen.max(1) > INKED
        if inked.mean() < DRAWN:
            continue
        width = float(np.clip(0.5 * np.median(seen[inked].sum(1)), FINEST, radius))
        found.append(_ring(x, y, radius, width))
        cv2.circle(left, (round(x), round(y)), round(radius + width), (0.0,), -1)
    return left, found


def _ring(x: float, y: float, radius: float, width: float) -> Stroke:
    turn = np.linspace(0, 2 * np.pi, max(12, round(2 * np.pi * radius / POINT)), endpoint=False)
    points = np.array([x, y]) + radius * np.stack([np.cos(turn), np.sin(turn)], 1)
    return Stroke("fastening", points, np.full(len(points), width), closed=True)
