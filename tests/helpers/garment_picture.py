"""A picture of a garment, drawn by a few lines of code."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def draw_garment(width: int = 384, height: int = 480) -> Image.Image:
    """A blue T-shirt with folds, shaded from the left, on wood."""
    rng = np.random.default_rng(24)
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    rings = 12 * np.sin(40 * x + 3 * np.sin(5 * y)) + rng.normal(0, 3, (height, width))
    wood = np.stack([172 + rings, 128 + rings, 84 + rings], -1)
    folds = 1 - 0.5 * x + 0.06 * np.sin(30 * x + 8 * y) + 0.1 * np.sin(9 * y - 4 * x)
    cloth = np.stack([40 * folds, 70 * folds, 150 * folds], -1)
    outline = [
        (0.3, 0.15),
        (0.42, 0.2),
        (0.58, 0.2),
        (0.7, 0.15),
        (0.93, 0.33),
        (0.82, 0.45),
        (0.71, 0.38),
        (0.72, 0.88),
        (0.28, 0.88),
        (0.29, 0.38),
        (0.18, 0.45),
        (0.07, 0.33),
    ]
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).polygon([(a * width, b * height) for a, b in outline], 255)
    alpha = np.asarray(mask.filter(ImageFilter.GaussianBlur(1)))[..., None] / 255
    return Image.fromarray(np.uint8(np.clip(wood * (1 - alpha) + cloth * alpha, 0, 255)))
