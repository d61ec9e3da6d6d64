"""Angle and distance of the hatching in a hand's drawings, from their spectrum.

Parallel lines at one distance are one sharp peak in the spectrum of every place that is hatched, and the same one everywhere;
seams, folds and outlines run everywhere else, and add up to nothing sharp.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedgai.networks.hatching import PERIODS
from fedgai.vision.channels import darkest_channel

SIDE = 64  # px, of the places that are looked at; half of it from one to the next
LEAST = 0.02  # share of ink, below which a place is empty; above 1 - LEAST it is filled
SHARP = 20.0  # how many times its surroundings' median a peak of the spectrum has to be
GRID = 0.3  # share of the peak's sharpness, above which one at right angles to it speaks of dots on a grid, or of a weave
AGREES = 0.06  # share of the distance, by which a whole number of the peak's periods may differ from it
BESIDE = 10.0  # degrees beside the peak's direction, in which its overtones lie


@dataclass(frozen=True)
class RuledLines:
    """Hatching.

    Attributes:
        angle: degrees, as ``Hand.angle``: lines run along it. period: their distance, px.
        sharpness: of the peak, in medians of the spectrum.
    """

    angle: float
    period: float
    sharpness: float


def ruled_lines(drawings: Sequence[np.ndarray]) -> RuledLines | None:
    """Find what is common to the hatching of all drawings. Returns None if they have no hatching.

    A square grid of dots does not count as hatching.

    Args:
        drawings: (H, W, 3) uint8 on white paper, at the size that hands are measured at (512 px).
    """
    window = np.outer(np.hanning(SIDE), np.hanning(SIDE)).astype(np.float32)
    total = np.zeros((SIDE, SIDE), np.float64)
    for drawing in drawings:
        ink = 1 - darkest_channel(drawing).astype(np.float32) / 255
        for top in range(0, ink.shape[0] - SIDE + 1, SIDE // 2):
            for left in range(0, ink.shape[1] - SIDE + 1, SIDE // 2):
                place = ink[top : top + SIDE, left : left + SIDE]
                if not LEAST < place.mean() < 1 - LEAST:
                    continue
                power = np.abs(np.fft.fft2((place - place.mean()) * window)) ** 2
                total += power / max(float(power.sum()), 1e-6)
    frequency = np.fft.fftfreq(SIDE)
    fy, fx = np.meshgrid(frequency, frequency, indexing="ij")
    radius = np.hypot(fy, fx)
    # ink's spectrum falls with the frequency: each ring is compared with its own median
    ring = np.rint(radius * SIDE).astype(int)
    median = np.array([np.median(total[ring == r]) if (ring == r).any() else np.inf for r in range(ring.max() + 1)])
    excess = np.where((radius >= 1 / PERIODS[1]) & (radius <= 1 / PERIODS[0]), total / np.maximum(median[ring], 1e-9), 0)
    peak = np.unravel_index(int(excess.argmax()), excess.shape)
    sharpness = float(excess[peak])
    if sharpness < SHARP:
        return None
    y, x = _finer(total, int(peak[0]), int(peak[1]))
    level = np.abs(fy * x - fx * y) >= np.cos(np.radians(BESIDE)) * radius * math.hypot(y, x)
    if excess[level].max() > GRID * sharpness:
        return None
    # lines run across their frequency; ``stroke_field`` counts the phase along (sin a, cos a) of (x, y)
    across = np.array([y, x]) / math.hypot(y, x)
    period = _period(np.where(radius >= 1 / 20, total * radius, 0), fy, fx, across)
    peak_period = SIDE / math.hypot(y, x)
    whole = max(1, round(period / peak_period)) * peak_period  # the peak is more exact, where it is an overtone of that
    period = whole if abs(whole - period) < AGREES * period else period
    return RuledLines(math.degrees(math.atan2(x, y)) % 180, period, sharpness)


def _finer(total: np.ndarray, row: int, column: int) -> tuple[float, float]:
    """The peak's frequency (y, x) in periods per place, between the cells: the centre of its 3 x 3 cells."""
    offsets = [-1, 0, 1]
    cells = np.array([[total[(row + i) % SIDE, (column + j) % SIDE] for j in offsets] for i in offsets])
    cells = cells - cells.min()
    signed = [n - SIDE if n > SIDE // 2 else n for n in (row, column)]
    y = signed[0] + float((cells.sum(1) * offsets).sum() / cells.sum())
    x = signed[1] + float((cells.sum(0) * offsets).sum() / cells.sum())
    return y, x


def _period(power: np.ndarray, fy: np.ndarray, fx: np.ndarray, across: np.ndarray) -> float:
    """The lines' distance, px. Thin lines have overtones as strong as themselves, so the strongest frequency does not tell: the
    ink's correlation with itself does, moved ``across`` (y, x) the lines. It is high first after one distance.

    Args:
        power: (SIDE, SIDE), the spectrum times the frequency: outlines fall off with it, so that they do not outweigh lines.
        fy, fx: (SIDE, SIDE), periods per pixel.
    """
    along = fy * across[1] - fx * across[0]
    of_lines = np.abs(along) <= np.sin(np.radians(BESIDE)) * np.hypot(fy, fx)
    frequency = (fy * across[0] + fx * across[1])[of_lines]
    distances = np.arange(PERIODS[0] - 0.5, PERIODS[1] + 0.5, 0.05)
    same = np.cos(2 * np.pi * distances[:, None] * frequency) @ power[of_lines]
    # overtones may agree at distances below the shortest, where no lines are
    peaks = [i for i in range(1, len(same) - 1) if same[i - 1] <= same[i] > same[i + 1] and distances[i] > PERIODS[0] - 0.1]
    if not peaks:
        return float(distances[same.argmax()])
    highest = max(same[peaks])
    return float(next(distances[i] for i in peaks if same[i] > 0.85 * highest))
