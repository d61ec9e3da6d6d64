"""How cloth lies: where each pixel of a piece is on the cloth, and folds as heights over it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d, map_coordinates

from fedgai.garments.outline import Array, Point, fill


class Grid:
    """The pixels of one piece and, for each, where it is: x, y on the garment; s, t across and along the cloth; u, v the
    same from 0 to 1 between the piece's sides; side the distance to the nearest of them. Every array is (h, w).

    Args:
        mask: coverage (h, w), 0 to 1.
        x, y: place of each pixel's centre on the garment.
        s, t: place of each pixel's centre on the cloth, in the same unit.
        rng: for the folds.
    """

    def __init__(self, mask: Array, x: Array, y: Array, s: Array, t: Array, rng: np.random.Generator):
        self.mask, self.x, self.y, self.s, self.t, self.rng = mask, x, y, s, t, rng
        self.shape = mask.shape
        self.u, self.v, self.side = self._between_sides()

    @classmethod
    def straight(cls, outline: Array, grain: float, rng: np.random.Generator) -> tuple[Grid, int, int]:
        """A piece of cloth cut to ``outline`` (n, 2), pixels, its length ``grain`` degrees off the vertical.

        Returns the grid and the pixel of the picture that is its upper left corner: x, then y.
        """
        margin = 6
        left, top = (np.floor(outline.min(0)) - margin).astype(int)
        right, bottom = (np.ceil(outline.max(0)) + margin).astype(int)
        yy, xx = np.mgrid[top:bottom, left:right].astype(np.float32)
        x, y = xx + 0.5, yy + 0.5
        angle, centre = np.radians(grain), outline.mean(0)
        dx, dy = x - centre[0], y - centre[1]
        s, t = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        return cls(fill(outline - (left, top), x.shape, 1), x, y, s, t, rng), left, top

    def _between_sides(self) -> tuple[Array, Array, Array]:
        inside = self.mask > 0.5
        row = np.round(self.t[inside]).astype(int)
        first, count = row.min(), np.ptp(row) + 1
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(low, row - first, self.s[inside])
        np.maximum.at(high, row - first, self.s[inside])
        known = np.flatnonzero(np.isfinite(low))
        every = np.arange(count)
        low, high = (gaussian_filter1d(np.interp(every, known, edge[known]), 5) for edge in (low, high))
        low, high = _past_the_hem(low, high)
        at = self.t - first
        low, high = np.interp(at, every, low), np.interp(at, every, high)
        side = np.minimum(self.s - low, high - self.s)
        return ((self.s - low) / np.maximum(high - low, 1)).astype(np.float32), at / count, side.astype(np.float32)


def _past_the_hem(low: Array, high: Array) -> tuple[Array, Array]:
    """The sides, extended as straight lines below the place where a curved hem cuts them off."""
    tail = max(2, round(0.12 * len(low)))
    hem = len(low) - tail + int(np.argmax((high - low)[-tail:])) - 6
    before = max(hem - 40, 0)
    if hem <= before:
        return low, high
    beyond = np.arange(len(low)) - hem
    left, right = (
        np.where(beyond > 0, edge[hem] + (edge[hem] - edge[before]) / (hem - before) * beyond, edge) for edge in (low, high)
    )
    return left, right


def noise(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Smooth noise of about unit variance whose features are one unit of x and y wide."""
    lattice = rng.standard_normal((48, 48))
    at = np.stack([np.asarray(y, float) + rng.uniform(0, 48), np.asarray(x, float) + rng.uniform(0, 48)])
    return np.asarray(1.4 * map_coordinates(lattice, at, order=3, mode="grid-wrap").astype(np.float32))


def blur(image: Array, sigma: float) -> Array:
    """Gaussian blur with nothing outside the picture."""
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)


def drape(count: float, height: float, top: float = 0.0, gather: float = 0.0) -> Callable[[Grid], Array]:
    """Hanging folds, about `count` across, deepening from `top` of their height to all of it at the hem, with `gather`
    pixels of tight gathers under the upper seam."""

    def folds(grid: Grid) -> Array:
        drift = 0.5 * noise(grid.rng, grid.u * 2, grid.v * 1.5)
        ridges = noise(grid.rng, grid.u * count + drift, grid.v * 0.9)
        ridges = np.tanh(1.3 * ridges) + 0.35 * noise(grid.rng, grid.u * count * 2 + 2 * drift, grid.v * 2)
        body = height * (top + (1 - top) * np.clip(grid.v, 0, 1) ** 0.8) * ridges
        tight = noise(grid.rng, grid.u * count * 3.2 + drift, grid.v * 2.5)
        return body + gather * tight * np.exp(-np.maximum(grid.v, 0) / 0.22)

    return folds


def crumple(size: float, height: float, turn: float = 0.0, stretch: float = 2.0) -> Callable[[Grid], Array]:
    """Loose wrinkles everywhere, `size` pixels wide and `stretch` times longer, turned `turn` degrees."""

    def folds(grid: Grid) -> Array:
        angle = np.radians(turn)
        a = (grid.s * np.cos(angle) + grid.t * np.sin(angle)) / size
        b = (grid.t * np.cos(angle) - grid.s * np.sin(angle)) / (size * stretch)
        warp = 0.7 * noise(grid.rng, a * 0.5, b * 0.7)
        sharp = 1 - np.sqrt(noise(grid.rng, a + warp, b + warp) ** 2 + 0.04)
        return height * (0.55 * sharp * (0.5 + np.clip(noise(grid.rng, a / 3, b / 3), -0.5, 1)) + 0.5 * warp)

    return folds


def crease(start: Point, end: Point, width: float, height: float, bend: float = 0.12) -> Callable[[Grid], Array]:
    """One wrinkle from `start` to `end`: a ridge that is steeper on one side, bowed by `bend` of its length."""

    def folds(grid: Grid) -> Array:
        (x0, y0), (x1, y1) = start, end
        length = np.hypot(x1 - x0, y1 - y0)
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        along = ((grid.x - x0) * dx + (grid.y - y0) * dy) / length
        off = (grid.y - y0) * dx - (grid.x - x0) * dy - bend * length * 4 * along * (1 - along)
        taper = np.sin(np.pi * np.clip(along, 0, 1) ** 0.75) ** 1.3
        wide = width * (0.45 + 0.55 * taper)
        ridge = np.exp(-((off / np.where(off > 0, wide, 0.5 * wide)) ** 2))
        trough = np.exp(-(((off + 1.15 * wide) / (0.6 * wide)) ** 2))
        return np.asarray((height * taper * (ridge - 0.4 * trough)).astype(np.float32))

    return folds


def fan(
    at: Point, towards: tuple[float, float], length: float, count: int, width: float, height: float, gap: float = 8
) -> Callable[[Grid], Array]:
    """`count` wrinkles that leave `at` between the two angles `towards` (degrees, 0 right, 90 down), irregularly."""

    def folds(grid: Grid) -> Array:
        total = np.zeros(grid.shape, np.float32)
        angles = np.radians(np.linspace(*towards, count) + grid.rng.uniform(-9, 9, count))
        for angle in angles:
            ray = np.array([np.cos(angle), np.sin(angle)])
            begin = tuple(np.array(at) + ray * gap * grid.rng.uniform(0.3, 2.2))
            end = tuple(begin + ray * length * grid.rng.uniform(0.5, 1.3))
            size = grid.rng.uniform(0.45, 1.3)
            total += crease(begin, end, width * size, height * size, grid.rng.uniform(-0.14, 0.14))(grid)
        return total

    return folds


def bunch(centre: float, spread: float, count: float, height: float) -> Callable[[Grid], Array]:
    """Cloth pushed together along its length: cross folds around v = `centre`, as a sleeve has at elbow and cuff."""

    def folds(grid: Grid) -> Array:
        tilt = 0.16 * (grid.u - 0.5) * noise(grid.rng, grid.v * 3, grid.v * 0)
        ridges = noise(grid.rng, grid.u * 1.3, (grid.v + tilt) * count)
        window = np.exp(-(((grid.v - centre) / spread) ** 2))
        return height * window * np.tanh(1.4 * ridges)

    return folds


def pleats(count: int, height: float, release: float = 0.0) -> Callable[[Grid], Array]:
    """`count` pressed knife pleats from side to side; below v = `release` they swing a little open."""

    def folds(grid: Grid) -> Array:
        sway = 0.16 * np.clip(grid.v - release, 0, 1) * noise(grid.rng, grid.u * count / 2, grid.v * 1.3)
        place = grid.u * count + sway
        phase = place - np.floor(place)
        opening = 0.65 + 0.9 * np.clip(grid.v - release, 0, 1)
        return (height * opening * np.where(phase < 0.86, phase / 0.86, (1 - phase) / 0.14)).astype(np.float32)

    return folds


def press(at: float, height: float, width: float = 0.16, top: float = 0.0) -> Callable[[Grid], Array]:
    """An ironed crease along the cloth at u = `at`, starting at v = `top`."""

    def folds(grid: Grid) -> Array:
        start = np.clip((grid.v - top) / 0.06, 0, 1)
        return (height * start * np.exp(-np.abs(grid.u - at) / width)).astype(np.float32)

    return folds


def twist(centre: float, spread: float, count: float, height: float) -> Callable[[Grid], Array]:
    """Cloth turned about its length: slanted folds around v = ``centre``, as in a twisted sleeve."""

    def folds(grid: Grid) -> Array:
        lean = 0.5 if grid.rng.random() < 0.5 else -0.5
        ridges = np.sin(2 * np.pi * (grid.v * count + lean * count * 0.25 * grid.u) + noise(grid.rng, grid.u * 2, grid.v * 4))
        return height * np.exp(-(((grid.v - centre) / spread) ** 2)) * ridges

    return folds


def puffs(rows: Array, height: float) -> Callable[[Grid], Array]:
    """Padding between quilting seams at the heights ``rows`` (n,) of the garment."""

    def folds(grid: Grid) -> Array:
        at = np.interp(grid.y, rows, np.arange(len(rows)))
        full = np.abs(np.sin(np.pi * at)) ** 0.6
        pinch = noise(grid.rng, grid.x / 14, grid.y / 40)
        return (height * full * (1 + 0.18 * pinch)).astype(np.float32)

    return folds


def cables(gap: float, height: float) -> Callable[[Grid], Array]:
    """Braids of a knit along the cloth, ``gap`` apart, with a cord on both sides of each."""

    def folds(grid: Grid) -> Array:
        across = (grid.s + gap / 2) % gap - gap / 2
        reach, phase = 0.15 * gap, 2 * np.pi * grid.t / (0.8 * gap)
        strands = []
        for turn in (0, 2 * np.pi / 3, 4 * np.pi / 3):
            away = across - reach * np.sin(phase + turn)
            strands.append(np.exp(-((away / (0.55 * reach)) ** 4)) * (1 + 0.35 * np.cos(2 * (phase + turn))))
        cords = 0.6 * np.exp(-(((np.abs(across) - 0.36 * gap) / (0.05 * gap)) ** 2))
        return np.asarray(height * (np.maximum.reduce(strands) + cords))

    return folds
