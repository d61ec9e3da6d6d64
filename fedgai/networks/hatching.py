"""The pen's own geometry: fields that say where hatching lines, stipple dots and paper tooth lie on the page.

A convolution sees neither position nor phase, so it cannot lay down evenly spaced lines by itself; averaged over phases
they become a grey veil. Like Fourier features (Tancik et al. 2020) and StyleGAN's noise inputs, the field gives the
Generator a lattice to draw on; where and how heavily to draw stays its decision. The ateliers draw on the same lattice.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

CODE = 3  # cos 2a, sin 2a, log(period in pixels); 2a because a line at a and at a + 180 degrees is the same line
CHANNELS = ("hatch", "hatch rank", "cross", "cross rank", "dot", "dot rank", "grain", "tooth", "wobble x", "wobble y")
CROSS_ANGLE = math.radians(72)
TILE = 256
PERIODS = (3.5, 16.0)
_CORNERS = np.moveaxis(np.mgrid[0:48, 0:48], 0, -1).reshape(-1, 2)  # (row, column): enough for any phase of both hatchings


def stroke_code(angle: float, period: float) -> Tensor:
    """(3,) float32 for hatching lines at ``angle`` degrees, ``period`` pixels apart."""
    a = 2 * math.radians(angle)
    return torch.tensor([math.cos(a), math.sin(a), math.log(period)])


def _smooth_noise(rng: np.random.RandomState, sigma: float) -> np.ndarray:
    """(TILE, TILE) noise that tiles, zero mean, unit deviation, correlated over ``sigma`` pixels."""
    f = np.fft.fftfreq(TILE)
    lowpass = np.exp(-2 * (np.pi * sigma) ** 2 * (f[:, None] ** 2 + f[None] ** 2))
    lowpass[0, 0] = 0
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((TILE, TILE))) * lowpass).real
    even: np.ndarray = noise / noise.std()
    return even


@cache
def _tiles() -> tuple[Tensor, Tensor, Tensor]:
    """Seeded tables: noise (4, TILE, TILE), dots (2, TILE, TILE), line ranks (TILE,).

    Noise: grain, tooth, wobble x, wobble y. Dots: the distance to the nearest of 24 x 28 jittered hexagonal points, in
    units of their spacing, and that dot's rank in [-1, 1].
    """
    from scipy.spatial import cKDTree  # scipy takes a quarter of a second, and many commands draw nothing

    rng = np.random.RandomState(24)
    noise = np.stack([_smooth_noise(rng, s) for s in (0.5, 1.4, 14.0, 14.0)])
    rows, columns = 28, 24  # rows even, and 28 * sqrt(3) / 2 = 24.2, so the hexagons are regular to one per cent
    r, c = np.mgrid[0:rows, 0:columns]
    points = np.stack([r + 0.5, c + 0.5 * (r % 2) + 0.25], -1) * (TILE / rows, TILE / columns)
    points = (points + rng.uniform(-0.22, 0.22, points.shape) * TILE / columns).reshape(-1, 2)
    ranks = rng.permutation(len(points)) / (len(points) - 1) * 2 - 1
    grid = np.moveaxis(np.mgrid[0:TILE, 0:TILE], 0, -1).reshape(-1, 2)
    nearest, which = cKDTree(points % TILE, boxsize=np.array([TILE, TILE])).query(grid)  # on the torus
    dots = np.stack([nearest / (TILE / columns), ranks[which]]).reshape(2, TILE, TILE)
    lines = rng.uniform(-1, 1, TILE)
    tables = [torch.from_numpy(table.astype(np.float32)) for table in (noise, dots, lines)]
    return tables[0], tables[1], tables[2]


def _lines(phase: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
    """Phase in periods -> a cosine, 1 on each line's middle and -1 between lines; and the rank of the nearest line."""
    line = phase.round().int().bitwise_and_(TILE - 1)  # remainder of a power of two
    return torch.cos(2 * math.pi * phase), ranks.index_select(0, line.flatten()).view_as(phase)


def _paper(tile: Tensor, row: int, column: int, height: int, width: int) -> Tensor:
    """The page's (C, height, width) from (row, column) on, paved with ``tile`` (C, TILE, TILE)."""
    tile = tile.roll((-row, -column), (1, 2))
    return tile.repeat(1, -(-height // TILE), -(-width // TILE))[:, :height, :width]


def stroke_field(code: Tensor, height: int, width: int, origin: Tensor | None = None) -> Tensor:
    """The page's stroke lattice for each style.

    Args:
        code: (B, 3), see ``CODE``. The period is kept within ``PERIODS``.
        height, width: of the field, pixels.
        origin: (B, 2) integer pixel (row, column) of the field's corner on the page; (0, 0) if None. A crop drawn with
            its origin is the crop of the page.
    Returns:
        (B, height, width, 10) float32, channels as in ``CHANNELS``, all within about [-3, 3]. In memory
            channel by channel: ten planes are written faster than one interleaved page.
    """
    batch, device = len(code), code.device
    noise, dots, ranks = (t.to(device) for t in _tiles())
    corners = [(0, 0)] * batch if origin is None else [(int(row), int(column)) for row, column in origin.tolist()]
    grain = torch.stack([_paper(noise, row, column, height, width) for row, column in corners], 1)  # (4, B, H, W)
    if origin is None:
        origin = torch.zeros(batch, 2, dtype=torch.long, device=device)
    y = origin[:, 0, None, None] + torch.arange(height, device=device)[:, None]  # (B, H, 1)
    x = origin[:, 1, None, None] + torch.arange(width, device=device)  # (B, 1, W)
    angle = torch.atan2(code[:, 1], code[:, 0])[:, None, None] / 2
    period = code[:, 2].exp().clamp(*PERIODS)[:, None, None]
    waver = 0.09 * grain[2]  # hand-drawn lines are not ruled
    phase = (x * torch.sin(angle) + y * torch.cos(angle)) / period + waver
    cross = (x * torch.sin(angle + CROSS_ANGLE) + y * torch.cos(angle + CROSS_ANGLE)) / period + waver
    spacing = TILE / 24 / period  # dots of the tile are TILE / 24 apart
    rows = torch.remainder((y * spacing).round().long(), TILE)  # (B, H, 1)
    columns = torch.remainder((x * spacing).round().long(), TILE)  # (B, 1, W)
    dot = dots.flatten(1)[:, (rows * TILE + columns).flatten()].unflatten(1, phase.shape)  # (2, B, H, W)
    planes = torch.stack([*_lines(phase, ranks), *_lines(cross, ranks), *dot, *grain], 1)  # (B, 10, H, W)
    return planes.permute(0, 2, 3, 1)


def aligned_origin(code: Tensor, ink: np.ndarray) -> Tensor:
    """The corner from which ``stroke_field`` lays its lines onto the hatching of a drawing, as well as whole pixels can.

    Args:
        code: (3,), see ``CODE``, of the drawing's hatching.
        ink: (H, W), 0 paper to 1 ink.

    Returns:
        (2,) integer pixels (row, column).
    """
    waves = _waves(code)[0]
    down, across = np.rint(waves / (waves @ waves)).astype(int)  # from one line to the next
    next_line = np.maximum(*(np.roll(ink, (sign * down, sign * across), (0, 1)) for sign in (1, -1)))
    rows, columns = np.mgrid[0 : ink.shape[0], 0 : ink.shape[1]]
    turns = np.exp(2j * math.pi * (rows * waves[0] + columns * waves[1]))
    phase = float(np.angle((ink * next_line * turns).sum())) / (2 * math.pi)  # a seam has no next line
    away = _CORNERS @ waves + phase
    return torch.from_numpy(_CORNERS[np.abs(away - np.rint(away)).argmin()])


def moved_origins(code: Tensor, count: int) -> Tensor:
    """Corners that place the same hatching elsewhere: drawn from these, a line stays where it is and hatching does not.

    Args:
        code: (3,), see ``CODE``.
        count: of corners.

    Returns:
        (count, 2) integer pixels (row, column), the first one (0, 0), as ``stroke_field`` takes them. Hatching and
        cross-hatching of any two lie as far from each other's as can be.
    """
    phases = _CORNERS @ _waves(code).T  # (n, 2), of hatching and cross-hatching
    chosen = [0]
    apart = np.full(len(_CORNERS), np.inf)
    for _ in range(count - 1):
        moved = phases - phases[chosen[-1]]
        apart = np.minimum(apart, np.abs(moved - np.rint(moved)).min(1))
        chosen.append(int(apart.argmax()))
    return torch.from_numpy(_CORNERS[chosen])


def _waves(code: Tensor) -> np.ndarray:
    """(2, 2): of hatching and of cross-hatching, periods per pixel (down, across)."""
    angle, period = math.atan2(float(code[1]), float(code[0])) / 2, min(max(math.exp(float(code[2])), PERIODS[0]), PERIODS[1])
    return np.array([(math.cos(a) / period, math.sin(a) / period) for a in (angle, angle + CROSS_ANGLE)])
