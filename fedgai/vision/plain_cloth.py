"""Prints taken out of a photograph, so that a hand draws the garment and leaves the print to the fabric."""

from __future__ import annotations

import cv2
import numpy as np

from fedgai.strokes.drawing import Plane

FOLDS, PRINT = 4.0, 40.0  # px of 512, sigma of the blur that leaves folds, and of the one that leaves no print
LIGHT = 7.0  # px of 512, sigma of the blur after which the light that the draughtsman saw shows folds and no print
LEAST_PRINT, MOST_PRINT = 11.0, 18.0  # grey levels of contrast at which a garment starts to count, and counts, as printed
REFERENCE = 512  # px, long side to which lengths above refer


def plain(photo: np.ndarray, mask: Plane, light: Plane) -> np.ndarray:
    """A garment's cloth without lines and without print.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (H, W) float32 in [0, 1], the garment.
        light: (H, W) float32 in [0, 1], the light on the cloth as the draughtsman saw it (``Seen.tone``).

    Returns:
        (H, W, 3) float32, from 0; 255 is white, and lit white cloth may lie a little above. A plain garment keeps its own
        shading; a printed one has one colour, the mean of its print, in the light that the draughtsman saw: what is dark in
        a print is not shadow.
    """
    height, width = mask.shape
    scale = REFERENCE / 2 / max(height, width)  # so wide a blur loses nothing at half the size
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    weight = cv2.resize(mask, small, interpolation=cv2.INTER_AREA) + np.float32(1e-4)
    seen = cv2.resize(photo.astype(np.float32), small, interpolation=cv2.INTER_AREA)

    def blurred(sigma: float, step: int) -> np.ndarray:
        """With a blur so wide that every ``step``-th pixel shows it."""
        coarse = [max(1, round(side / step)) for side in small]
        values, share = (
            cv2.resize(cv2.GaussianBlur(cv2.resize(x, coarse, interpolation=cv2.INTER_AREA), (0, 0), sigma / 2 / step), small)
            for x in (seen * weight[..., None], weight)
        )
        mean: np.ndarray = values / share[..., None]
        return mean

    folds, even = blurred(FOLDS, 1), blurred(PRINT, 4)
    inside = (weight > 0.5).astype(np.uint8)
    inner = cv2.erode(inside, np.ones((7, 7), np.uint8))
    contrast = 0.0
    for difference, where in ((folds - even, inside), (seen - folds, inner)):
        if where.any():
            contrast += float(np.linalg.norm(difference, axis=2)[where > 0].mean()) / np.sqrt(3)
    printed = float(np.clip((contrast - LEAST_PRINT) / (MOST_PRINT - LEAST_PRINT), 0, 1))
    if printed:
        colour = (seen * weight[..., None]).sum((0, 1)) / weight.sum()
        weighted = cv2.resize(light, small, interpolation=cv2.INTER_AREA) * weight
        soft: np.ndarray = cv2.GaussianBlur(weighted, (0, 0), LIGHT / 2) / cv2.GaussianBlur(weight, (0, 0), LIGHT / 2)
        lit = colour * (soft / max(float((soft * weight).sum() / weight.sum()), 1e-3))[..., None]
        folds = folds + np.float32(printed) * (lit - folds)
    shaded = np.asarray(folds, np.float32)
    return cv2.resize(shaded, (width, height), interpolation=cv2.INTER_LINEAR)
