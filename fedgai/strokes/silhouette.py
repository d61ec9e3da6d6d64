"""The garment's outline: closed, on the drawn line where there is one, on the mask's edge elsewhere."""

from __future__ import annotations

import cv2
import numpy as np

from fedgai.strokes.drawing import Floats, Ints, Plane
from fedgai.strokes.polylines import Polylines

MOST = 12  # times the picture's long side: how long all outlines may be; the largest areas come first
SMALLEST = 0.001  # of the picture: a smaller part of the mask, or hole in it, has no outline


def outlines(mask: Plane) -> Polylines:
    """Closed lines along a mask's edge, about 1 px between points; holes too.

    Args:
        mask: (H, W) float in [0, 1].
    """
    from skimage.measure import find_contours  # scipy takes a quarter of a second, and many commands draw nothing

    soft = cv2.GaussianBlur(np.pad(mask.astype(np.float32), 2), (0, 0), 1.0)
    contours: list[Floats] = find_contours(soft, 0.5)
    found = [contour[:-1, ::-1] - 2 for contour in contours]
    areas = [abs(cv2.contourArea(line.astype(np.float32))) for line in found]
    largest = sorted(range(len(found)), key=lambda i: -areas[i])
    total = np.cumsum([len(found[i]) for i in largest])
    found = [
        found[i]
        for i, points in zip(largest, total, strict=True)
        if areas[i] >= SMALLEST * mask.size and points <= MOST * max(mask.shape)
    ]
    return Polylines.of(found, [True] * len(found)).resampled()


def on_ink(lines: Polylines, ink: Plane, reach: float) -> Polylines:
    """Outlines moved sideways onto the line that is drawn along them: the cheapest path, by dynamic programming.

    Args:
        lines: from ``outlines``.
        ink: (H, W) float32 in [0, 1].
        reach: px to either side.
    """
    if not len(lines):
        return lines
    normals, seen = lines.beside(np.asarray(cv2.GaussianBlur(ink, (0, 0), 1.2), np.float32), 2 * round(reach), off=0)
    seen, offsets = seen[:, ::2], np.arange(-round(reach), round(reach) + 1.0)  # whole pixels will do
    cost = (1 - seen) + 0.35 * np.abs(offsets) / reach
    moved = []
    for part, points, normal in zip(*(lines.split(x) for x in (cost, lines.points, normals)), strict=True):
        moved.append(points + normal * offsets[_cheapest(part)][:, None])
    return Polylines.of(moved, [True] * len(moved))


def _cheapest(cost: Floats, bend: float = 0.25) -> Ints:
    """(n, K) cost of each place -> (n,) int, the ring's cheapest path with steps of at most 1."""
    n, width = cost.shape
    lead = min(n, 64)  # run into the ring, so that its two ends meet
    around = np.concatenate([cost[n - lead :], cost, cost[:lead]])
    total = around[0].copy()
    came = np.empty(around.shape, np.int8)
    options = np.empty((3, width))
    columns = np.arange(width)
    for i in range(1, len(around)):
        options[1] = total
        options[0, 0], options[2, -1] = np.inf, np.inf
        options[0, 1:] = total[:-1] + bend
        options[2, :-1] = total[1:] + bend
        step = options.argmin(0)
        came[i] = step - 1
        total = options[step, columns] + around[i]
    path = np.empty(len(around), np.int64)
    path[-1] = int(total.argmin())
    for i in range(len(around) - 1, 0, -1):
        path[i - 1] = path[i] + came[i, path[i]]
    return path[lead : lead + n]
