"""Where a garment lies on the picture: turned, scaled, pulled a little out of shape, and seen in perspective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedgai.garments.outline import Array


@dataclass(frozen=True)
class Placement:
    """A map from garment units to pixels, a pixel's centre being at whole numbers.

    Attributes:
        scale: pixels a unit, about.
        matrix: homography (3, 3) from units to pixels.
        waves: (k, 5) of the pull: two frequencies (radians a unit), a phase, an amplitude along x and one along y (units).
    """

    scale: float
    matrix: Array
    waves: Array

    @classmethod
    def random(cls, rng: np.random.Generator, box: Array, width: int, height: int, lying: bool) -> Placement:
        """A placement that shows the box ((left, top), (right, bottom)) of a garment on most of the picture."""
        angle = np.radians(rng.normal(0, 2) if not lying else rng.normal(0, 5) if rng.random() < 0.9 else rng.uniform(-40, 40))
        centre, size = box.mean(0), np.ptp(box, axis=0)
        cos, sin = np.cos(angle), np.sin(angle)
        reach = np.array([abs(cos) * size[0] + abs(sin) * size[1], abs(sin) * size[0] + abs(cos) * size[1]])
        scale = float((np.array([width, height]) / reach).min() * rng.triangular(0.7, 0.97, 1.02))
        room = np.maximum(np.array([width, height]) - reach * scale, 0) / 2  # the rest of the picture
        middle = np.array([width, height]) / 2 + rng.uniform(-0.75, 0.75, 2) * room
        turn = np.array([[cos, -sin], [sin, cos]]) * scale
        similarity = np.eye(3)
        similarity[:2, :2], similarity[:2, 2] = turn, middle - turn @ centre
        tilt = np.eye(3)  # about the garment's middle
        tilt[2, :2] = rng.normal(0, 0.07, 2) / max(width, height)
        to, back = np.eye(3), np.eye(3)
        to[:2, 2], back[:2, 2] = -middle, middle
        waves = np.stack(
            [
                np.append(rng.normal(0, 1, 2) * 2 * np.pi / rng.uniform(350, 900), [rng.uniform(0, 6.3), *rng.normal(0, 2.6, 2)])
                for _ in range(4)
            ]
        )
        return cls(scale, back @ tilt @ to @ similarity, waves)

    def _pull(self, points: Array) -> Array:
        phase = points @ self.waves[:, :2].T + self.waves[:, 2]
        return np.asarray(np.sin(phase) @ self.waves[:, 3:])

    def __call__(self, points: Array) -> Array:
        """Pixels (n, 2) of points (n, 2) in units."""
        moved = np.column_stack([points + self._pull(points), np.ones(len(points))]) @ self.matrix.T
        return np.asarray(moved[:, :2] / moved[:, 2:])

    def units(self, width: int, height: int) -> tuple[Array, Array]:
        """The unit coordinates x and y, each (height, width), of every pixel's centre."""
        step = 8  # the map is smooth: solve it on a coarse lattice
        columns, rows = width // step + 3, height // step + 3
        px, py = np.meshgrid(np.arange(columns) * step - step, np.arange(rows) * step - step)
        pixels = np.column_stack([px.ravel(), py.ravel(), np.ones(px.size)])
        flat = pixels @ np.linalg.inv(self.matrix).T
        target = flat[:, :2] / flat[:, 2:]
        points = target.copy()
        for _ in range(6):
            points = target - self._pull(points)
        coarse = points.reshape(rows, columns, 2).astype(np.float32)
        at_x, at_y = np.meshgrid(np.arange(width, dtype=np.float32) / step + 1, np.arange(height, dtype=np.float32) / step + 1)
        # remap keeps 5 bits of a fraction: too coarse for cloth, so interpolate by hand
        return _bilinear(coarse[..., 0], at_x, at_y), _bilinear(coarse[..., 1], at_x, at_y)


def _bilinear(lattice: Array, x: Array, y: Array) -> Array:
    column, row = x[0].astype(int), y[:, 0].astype(int)
    fx, fy = (x[0] - column).astype(np.float32), (y[:, 0] - row).astype(np.float32)[:, None]
    across = lattice[:, column] * (1 - fx) + lattice[:, column + 1] * fx
    return np.asarray((across[row] * (1 - fy) + across[row + 1] * fy).astype(np.float32))


def along(axis: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Coordinates across and along a cloth whose length follows ``axis`` (n, 2), for places x, y (h, w), in units."""
    if len(axis) > 12:
        axis = axis[np.round(np.linspace(0, len(axis) - 1, 12)).astype(int)]
    step = np.diff(axis, axis=0)
    length = np.hypot(*step.T)
    heading = step / length[:, None]
    start = np.r_[0, np.cumsum(length)[:-1]]
    best = np.full(x.shape, np.inf, np.float32)
    s, t = np.zeros_like(best), np.zeros_like(best)
    last = len(step) - 1
    for i, ((ax, ay), (hx, hy)) in enumerate(zip(axis[:-1], heading, strict=True)):
        dx, dy = x - np.float32(ax), y - np.float32(ay)
        ahead, sideways = dx * np.float32(hx) + dy * np.float32(hy), dx * np.float32(hy) - dy * np.float32(hx)
        over = ahead - np.clip(ahead, -np.inf if i == 0 else 0, np.inf if i == last else length[i])
        away = over**2 + sideways**2
        nearer = away < best
        best = np.where(nearer, away, best)
        s, t = np.where(nearer, sideways, s), np.where(nearer, ahead + np.float32(start[i]), t)
    return s.astype(np.float32), t.astype(np.float32)


def straight_down(outline: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Coordinates of a cloth that hangs straight down, from the middle of its outline."""
    cx, cy = ((outline.min(0) + outline.max(0)) / 2).astype(np.float32)
    return x - cx, y - cy
