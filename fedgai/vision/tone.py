"""How dark a person draws each place of a garment, and the picture that tells it to the network."""

from __future__ import annotations

import cv2
import numpy as np

from fedgai.strokes.drawing import Plane

FORM = 22.0  # px of 512, how deep the shadow along the silhouette is
LIGHT, DARK = 0.26, 0.42  # tone of white cloth in even light, and what black cloth adds
SHADING, FLAT = 0.75, 0.12  # weight of light and shadow on the cloth, and the least contrast that counts as full
SHADOW = 0.3  # tone of the shadow along the silhouette
SOFT = 1.2  # px of 512, sigma of the last blur
DARKEST = 0.72  # share of the light that full tone takes: a line must still show on it
REFERENCE = 512  # px, long side to which lengths above refer


def tone_of(cloth: np.ndarray, mask: Plane) -> Plane:
    """Tone as a person lays it on: (H, W) float32 in [0, 1], 1 darkest.

    Dark cloth is drawn darker than light cloth, but each keeps its light and its shadow; what lies along the silhouette on
    the side away from the light, which comes from top left, is in shadow, too.

    Args:
        cloth: (H, W, 3) float32, 0 to 255, the garment without lines and print (``plain_cloth.plain``).
        mask: (H, W) float32 in [0, 1], the garment.
    """
    light = (cloth @ np.array([0.299, 0.587, 0.114], np.float32)) / np.float32(255)
    inside, unit = mask > 0.5, max(mask.shape) / REFERENCE
    if not inside.any():
        return np.zeros(mask.shape, np.float32)
    low, middle, high = np.percentile(light[inside], (2, 50, 98))
    depth = cv2.distanceTransform(np.pad(inside, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    away = cv2.distanceTransform(1 - inside.astype(np.uint8), cv2.DIST_L2, 5)
    shadow = np.clip(away_from_light(depth - np.minimum(away, max(mask.shape))), 0, 1) * np.exp(-depth / (FORM * unit))
    tone = DARK * (1 - middle) + LIGHT + SHADING * (middle - light) / max(high - low, FLAT) + SHADOW * shadow
    smooth = cv2.GaussianBlur(tone.astype(np.float32), (0, 0), SOFT * unit)
    return np.asarray(smooth.clip(0, 1), np.float32)


def away_from_light(distance: np.ndarray) -> np.ndarray:
    """1 where the nearest side of the silhouette turns away from the light, -1 where it turns to it: (H, W) float32.

    Args:
        distance: (H, W) float32, signed distance to the silhouette, px, positive inside.
    """
    gy, gx = np.gradient(cv2.GaussianBlur(distance, (0, 0), 2.5))
    away: np.ndarray = (-gx * 0.6 - gy * 0.8) / np.maximum(np.hypot(gx, gy), 1e-3)
    return away


def grey_cloth(tone: Plane) -> np.ndarray:
    """A tone (H, W) in [0, 1] as the network sees it: (H, W, 3) float32, 0 to 255."""
    return np.repeat((255 * (1 - DARKEST * tone))[..., None], 3, 2).astype(np.float32)
