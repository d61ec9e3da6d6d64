"""How dark a person draws each place of a garment, and the picture that tells it to the network."""

from __future__ import annotations

import cv2
import numpy as np

from fedgai.strokes.drawing import Plane

LIGHT, DARK = 0.20, 0.30  # tone of white cloth in even light, and what black cloth adds
SHADING, FOLDS = 0.5, 0.8  # weight of light and shadow on the cloth, and of folds, which are darker than what lies around them
USUAL = (5, 95)  # percentiles of the light between which cloth lies; a logo does not
FLAT = 0.12  # the least contrast that counts as full
ROUND = 0.40  # weight of the garment's round form: sides that turn from the light are darker, those that turn to it lighter
SMALL = 128  # px, long side of the pages on which form and surroundings are found: nothing in them is finer
WIDE = 2.5  # px of ``SMALL``, sigma of the surroundings that folds are compared with
BULGES = (3.0, 6.0, 12.0)  # px of ``SMALL``, sigma of blurs of the mask whose sum is a round form
LIGHT_GOES = (0.6, 0.8)  # (x, y), the way that light goes, from top left
SOFT = 1.2  # px of 512, sigma of the last blur
DARKEST = 0.72  # share of the light that full tone takes: a line must still show on it
REFERENCE = 512  # px, long side to which lengths above refer


def tone_of(cloth: np.ndarray, mask: Plane) -> Plane:
    """Tone as a person lays it on: (H, W) float32 in [0, 1], 1 darkest.

    Dark cloth is drawn a little darker than light cloth, but each keeps bare paper where it is light. Form, folds and shadow
    are drawn darker: a garment is taken for round, and the light comes from top left.

    Args:
        cloth: (H, W, 3) float32, 0 to 255, the garment without lines and print (``plain_cloth.plain``).
        mask: (H, W) float32 in [0, 1], the garment.
    """
    light = (cloth @ np.array([0.299, 0.587, 0.114], np.float32)) / np.float32(255)
    inside, unit = mask > 0.5, max(mask.shape) / REFERENCE
    if not inside.any():
        return np.zeros(mask.shape, np.float32)
    low, high = (float(level) for level in np.percentile(light[inside], USUAL))
    light = light.clip(low, high)
    middle = float(np.median(light[inside]))
    height, width = mask.shape
    small = tuple(max(1, round(side * SMALL / max(height, width))) for side in (width, height))
    lit, weight = (
        np.asarray(cv2.resize(plane, small, interpolation=cv2.INTER_AREA), np.float32) for plane in (light * mask, mask)
    )
    wide = cv2.GaussianBlur(lit, (0, 0), WIDE) / np.maximum(cv2.GaussianBlur(weight, (0, 0), WIDE), 1e-3)
    around, form = (cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC) for plane in (wide, _form(weight)))
    shadow = (SHADING * (middle - light) + FOLDS * (around - light)) / max(high - low, FLAT)
    tone = LIGHT + DARK * (1 - middle) + shadow + ROUND * form
    smooth = cv2.GaussianBlur(tone.astype(np.float32), (0, 0), SOFT * unit)
    return np.asarray(smooth.clip(0, 1), np.float32)


def _form(mask: Plane) -> Plane:
    """How far a round garment's surface turns away from the light, 1 wholly to -1 towards it: (h, w) float32.

    Args:
        mask: (h, w) float32 in [0, 1], ``SMALL`` px long. What lies at the picture's edge goes on beyond it.
    """
    beyond = round(3 * max(BULGES))
    page = np.pad(mask, beyond, mode="edge")
    bulge = sum(sigma * cv2.GaussianBlur(page, (0, 0), sigma) for sigma in BULGES)
    gy, gx = np.gradient(bulge)
    away = -(LIGHT_GOES[0] * gx + LIGHT_GOES[1] * gy) / np.sqrt(1 + gx * gx + gy * gy)
    return np.asarray(away[beyond:-beyond, beyond:-beyond], np.float32)


def away_from_light(distance: np.ndarray) -> np.ndarray:
    """1 where the nearest side of the silhouette turns away from the light, -1 where it turns to it: (H, W) float32.

    Args:
        distance: (H, W) float32, signed distance to the silhouette, px, positive inside.
    """
    gy, gx = np.gradient(cv2.GaussianBlur(distance, (0, 0), 2.5))
    away: np.ndarray = -(LIGHT_GOES[0] * gx + LIGHT_GOES[1] * gy) / np.maximum(np.hypot(gx, gy), 1e-3)
    return away


def grey_cloth(tone: Plane) -> np.ndarray:
    """A tone (H, W) in [0, 1] as the network sees it: (H, W, 3) float32, 0 to 255."""
    return np.repeat((255 * (1 - DARKEST * tone))[..., None], 3, 2).astype(np.float32)
