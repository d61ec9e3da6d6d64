"""Drawings by edge detectors: Canny and XDoG, black on white, for experiments on photographs that nobody drew.

Both see a garment where its cut-out is, and draw its silhouette from the cut-out: a white shirt on white paper has no
edge of its own. All lengths are in pixels of a drawing whose long side is ``REFERENCE``; in another size the same lines
are drawn, thicker or thinner with the paper. Hands with folds, pressure and tone are in ``fedgai.ateliers``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fedgai.vision.flow import across, tangents
from fedgai.vision.flow import along as mean_along

Array = NDArray[Any]
REFERENCE = 512  # px, the long side to which lengths below refer
FINE = 2  # Canny's chains of whole pixels are found at so many times the size, and averaged down: else they are stairs
FAINTEST = 0.03  # lightness in [0, 1] per px: no edge is fainter, or blank paper's noise would be drawn
STRENGTHS = 0.86  # of the garment's pixels have a weaker gradient than Canny's upper threshold; that is the automatic
LOWER = 0.4  # Canny's lower threshold over its upper (Canny, 1986, advises 1/3 to 1/2)
SURROUND = 1.6  # sigma of the surround over the centre's: close to the Laplacian (Marr & Hildreth, 1980)
LEAST_RANGE = 0.15  # of lightness that is stretched to the full: a garment without shadows is left without


def canny(
    photo: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    sigma: float = 1.3,
    weight: float = 1.5,
    shortest: float = 14,
    threshold: float | None = None,
) -> np.ndarray:
    """Canny's edges (1986) as even lines.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (H, W) float32 in [0, 1], the garment; None draws the whole picture.
        sigma: of the Gaussian before the gradient, px. Larger: fewer folds, less weave.
        weight: line weight, px.
        shortest: length below which a chain of edge pixels is left out, px.
        threshold: gradient at which a line starts, in lightness (0 black, 1 white) per px; it goes on down to ``LOWER``
            times as much. None: the gradient that ``STRENGTHS`` of the garment's pixels do not reach, but at least
            ``FAINTEST``.
    Returns:
        (H, W) uint8 greys: 0 ink, 255 paper.
    """
    if mask is not None and mask.max() <= 0.5:  # no garment, no ink
        return np.full(photo.shape[:2], 255, np.uint8)
    scale = max(photo.shape[:2]) / REFERENCE
    inside, lab = _seen(photo, mask)
    fine = FINE * scale
    size = (photo.shape[1] * FINE, photo.shape[0] * FINE)
    lab = cv2.GaussianBlur(cv2.resize(lab, size, interpolation=cv2.INTER_CUBIC), (0, 0), sigma * fine)
    distance = _distance(cv2.resize(inside, size, interpolation=cv2.INTER_LINEAR))
    dx, dy = (np.stack([cv2.Sobel(c, cv2.CV_32F, *d) for c in cv2.split(lab)], -1) / 8 for d in ((1, 0), (0, 1)))
    strongest = (dx * dx + dy * dy).argmax(-1)[..., None]  # of lightness and the two colours
    dx, dy = (np.take_along_axis(d, strongest, -1)[..., 0] * fine for d in (dx, dy))  # per px of REFERENCE
    strength = np.hypot(dx, dy)
    if threshold is None:
        threshold = max(float(np.quantile(strength[distance > 0], STRENGTHS)), FAINTEST)
    levels = 2**14  # 16 bits hold gradients of up to 2 in lightness per px
    steps = [np.asarray(np.clip(d, -2, 2) * levels * 0.99, np.int16) for d in (dx, dy)]
    chains = cv2.Canny(steps[0], steps[1], LOWER * threshold * levels, threshold * levels, L2gradient=True)
    chains[distance < 2 * weight * fine] = 0  # the silhouette's own line is there
    _, labels, stats, _ = cv2.connectedComponentsWithStats(chains, connectivity=8)
    long = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) >= shortest * fine
    long[0] = False
    half = weight * fine / 2
    off: Array = np.full(labels.shape, 1e3)
    if long.any():
        off = np.asarray(cv2.distanceTransform(1 - np.asarray(long[labels], np.uint8), cv2.DIST_L2, 5))
    lines = np.clip(half + 0.5 - cv2.GaussianBlur(np.asarray(off, np.float32), (0, 0), 0.5 * fine), 0, 1)
    if mask is not None:
        lines = np.maximum(lines, np.clip(half + 0.5 - np.abs(distance - half), 0, 1))
    ink = cv2.resize(lines, photo.shape[1::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(255.5 - 255 * ink, np.uint8)


def xdog(
    photo: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    sigma: float = 1.0,
    sharpness: float = 15,
    threshold: float = 0.5,
    slope: float = 24,
    tone: float = 0.35,
    flow: float = 2.5,
    along: float = 3.0,
    weight: float = 1.8,
) -> np.ndarray:
    """Extended difference of Gaussians along the flow: lines that swell, and shadows filled with ink.

    Winnemoeller, Kyprianidis & Olsen, "XDoG: An eXtended difference-of-Gaussians compendium" (2012). The lightness L is
    sharpened to S = G_sigma L + p (G_sigma L - G_k*sigma L); paper where S >= threshold, below it 1 + tanh(slope (S -
    threshold)). The Gaussians lie across the flow, S and the result are averaged along it (their flow-based variant), so
    that lines are unbroken and without fringe. Ours: L is first stretched to the garment's own range, and in the first
    term, which is the tone, compressed to 0.75 + tone (L - 0.5), or a black garment would be all ink.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (H, W) float32 in [0, 1], the garment; None draws the whole picture.
        sigma: of the centre Gaussian, px: half the width of the lines that are found.
        sharpness: their p. 0 thresholds the tone alone; larger draws fainter lines.
        threshold: their epsilon, in lightness (0 black, 1 white); middle tones lie at 0.75. Larger: more ink.
        slope: their phi, per lightness. Infinite: ink or paper; small: greys between.
        tone: 0 lines only to 0.5 dark cloth is black.
        flow: smoothing of the flow along which lines run, px.
        along: of the average along the flow, px.
        weight: line weight of the silhouette, px.
    Returns:
        (H, W) uint8 greys: 0 ink, 255 paper.
    """
    if mask is not None and mask.max() <= 0.5:
        return np.full(photo.shape[:2], 255, np.uint8)
    scale = max(photo.shape[:2]) / REFERENCE
    inside, lab = _seen(photo, mask)
    distance = _distance(inside)
    light = cv2.bilateralFilter(lab[..., 0], 0, 0.08, 2 * scale)
    low, high = np.quantile(light[distance > 0], (0.02, 0.98))
    light = np.asarray(np.clip((light - low) / max(high - low, LEAST_RANGE), 0, 1), np.float32)
    tx, ty = tangents(light, flow * scale)
    reach = math.ceil(2.5 * SURROUND * sigma * scale)
    steps = np.arange(-reach, reach + 1)
    centre, surround = (np.exp(-np.square(steps / (s * sigma * scale)) / 2) for s in (1, SURROUND))
    kernel = (tone + sharpness) * centre / centre.sum() - sharpness * surround / surround.sum()
    sharpened = across(light, tx, ty, dict(zip(steps.tolist(), kernel.tolist(), strict=True)))
    sharpened = 0.75 - 0.5 * tone + mean_along(sharpened, tx, ty, along * scale)
    paper = 1 + np.tanh(slope * np.minimum(sharpened - threshold, 0))
    ink = (1 - mean_along(paper, tx, ty, scale)) * np.clip(distance, 0, 1)
    if mask is not None:
        half = weight * scale / 2
        ink = np.maximum(ink, np.clip(half + 0.5 - np.abs(distance - half), 0, 1))
    return np.asarray(255.5 - 255 * np.clip(ink, 0, 1), np.uint8)


EDGES: dict[str, Callable[..., np.ndarray]] = {"canny": canny, "xdog": xdog}


def _seen(photo: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The garment's mask, (H, W) float32; Lab, (H, W, 3) float32, lightness in [0, 1], beyond the garment as at its rim."""
    inside = np.ones(photo.shape[:2], np.float32) if mask is None else mask.astype(np.float32)
    lab = cv2.cvtColor(np.asarray(photo, np.float32) / 255, cv2.COLOR_RGB2LAB) / 100
    within = inside > 0.9
    if mask is None or not within.any():
        return inside, lab
    _, nearest = cv2.distanceTransformWithLabels(1 - np.asarray(within, np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros((nearest.max() + 1, 3), np.float32)
    values[nearest[within]] = lab[within]
    return inside, values[nearest]


def _distance(inside: np.ndarray) -> np.ndarray:
    """(H, W) float32: px from the silhouette, positive inside. Where there is no outside, far from it."""
    solid = np.asarray(inside > 0.5, np.uint8)
    depth = cv2.distanceTransform(cv2.copyMakeBorder(solid, 1, 1, 1, 1, cv2.BORDER_REPLICATE), cv2.DIST_L2, 5)[1:-1, 1:-1]
    beyond = cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5)
    return cv2.GaussianBlur(np.where(solid > 0, depth - 0.5, 0.5 - beyond).clip(-999, 999).astype(np.float32), (0, 0), 1.0)
