"""How alike two hands draw, by measures that know nothing of our encoder: tone, stroke width, direction, spectrum, colour.

What is trained in the encoder's space must not be judged there. Each measure is classical and reads pixels alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from fedgai.errors import FedGAIError

MEASURES = ("tone", "width", "direction", "spectrum", "colour")
TONES, DIRECTIONS, BANDS = 16, 12, 12
WIDTHS = (1.5, 2.5, 3.5, 5, 7, 10, 15)  # px of a drawing that is 512 px long
SIDE = 512
INK = 128  # luminance below which a pixel is a stroke's
# mean distance between two of the eight ateliers, drawing by drawing of the same garment: printed by
# ``python -m benchmarks.refined --scales``
SCALES = {"tone": 0.0569, "width": 0.0954, "direction": 0.0375, "spectrum": 0.331, "colour": 0.0237}


def describe(drawing: Image.Image | np.ndarray) -> dict[str, np.ndarray]:
    """A drawing's description.

    Args:
        drawing: RGB, (H, W, 3) uint8; widths count in 512ths of its long side.
    Returns:
        "tone": (16,) cumulative histogram of luminance. "width": (7,) cumulative share of stroke length that is at most as
        wide as ``WIDTHS``. "direction": (12,) shares of contrast by direction, over 180 degrees. "spectrum": (12,) log
        power by band, from coarse to fine, relative to its sum. "colour": (4,) mean and deviation of CIELAB's a and b / 100.
    """
    rgb = np.asarray(drawing)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return {
        "tone": np.cumsum(np.histogram(grey, TONES, (0, 256))[0] / grey.size)[:TONES],
        "width": _widths(grey),
        "direction": _directions(grey),
        "spectrum": _spectrum(grey),
        "colour": _colour(rgb),
    }


def distances(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> dict[str, float]:
    """Two descriptions, compared measure by measure: mean absolute difference, 0 for the same."""
    return {name: float(np.abs(a[name] - b[name]).mean()) for name in MEASURES}


def distance(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """Mean over the measures, each in units of what tells two ateliers apart (``SCALES``): 0 the same, 1 as different."""
    return float(np.mean([d / SCALES[name] for name, d in distances(a, b).items()]))


def apart(description: dict[str, np.ndarray], usual: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """How a description differs from a usual one, number by number. ``distance`` compares two such differences, too."""
    return {name: description[name] - usual[name] for name in MEASURES}


def mean(descriptions: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Of a set of drawings. Raises FedGAIError for none."""
    if not descriptions:
        raise FedGAIError("there is no drawing to describe")
    return {name: np.mean([d[name] for d in descriptions], 0) for name in MEASURES}


def _widths(grey: np.ndarray) -> np.ndarray:
    ink = np.pad(grey < INK, 1)
    if not ink.any():
        return np.ones(len(WIDTHS))
    from scipy import ndimage  # scipy takes a quarter of a second, and many commands draw nothing
    from skimage.morphology import skeletonize

    middle = skeletonize(ink)
    width = 2 * ndimage.distance_transform_edt(ink)[middle] - 1
    width = width * (SIDE / max(grey.shape))
    return np.array([(width <= limit).mean() for limit in WIDTHS])


def _directions(grey: np.ndarray) -> np.ndarray:
    x, y = (cv2.Scharr(cv2.GaussianBlur(grey, (0, 0), 0.8), cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    strength = np.hypot(x, y)
    if strength.sum() == 0:
        return np.full(DIRECTIONS, 1 / DIRECTIONS)
    bins = ((np.arctan2(y, x) % np.pi) / np.pi * DIRECTIONS + 0.5).astype(int) % DIRECTIONS
    shares: np.ndarray = np.bincount(bins.ravel(), strength.ravel(), DIRECTIONS) / strength.sum()
    return shares


def _spectrum(grey: np.ndarray) -> np.ndarray:
    page = np.full((SIDE, SIDE), 255, np.uint8)
    scale = SIDE / max(grey.shape)
    size = [max(1, round(side * scale)) for side in grey.shape[::-1]]
    if scale != 1:
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    page[: grey.shape[0], : grey.shape[1]] = grey
    power = np.abs(np.fft.rfft2(page - page.mean())) ** 2
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    band = np.digitize(frequency, np.geomspace(1 / 128, 0.5, BANDS))
    total = np.bincount(band.ravel(), power.ravel(), BANDS + 1)[:BANDS] + 1e-6 * power.sum() + 1e-9
    powers: np.ndarray = np.log10(total / total.sum())
    return powers


def _colour(rgb: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1:].reshape(-1, 2) / 100
    return np.concatenate([lab.mean(0), lab.std(0)])
