"""Light on a height field: slopes, hollows, and shadows of one piece on another."""

from __future__ import annotations

import cv2
import numpy as np

from fedgai.garments.drape import blur
from fedgai.garments.outline import Array


def unit(x: float, y: float, z: float) -> Array:
    """A direction (3,) of length 1."""
    return np.asarray(np.array([x, y, z]) / np.linalg.norm([x, y, z]))


KEY, FILL = unit(-0.52, -0.62, 0.64), unit(0.75, 0.1, 0.65)  # the studio's: from the upper left, and from the right


def occlusion(height: Array, mask: Array, key: Array = KEY, scale: float = 1.0, soft: float = 0.45) -> Array:
    """Light (h, w), 0 to 1, that reaches each pixel: less in hollows, and less where a fold stands before the key light.

    Args:
        height: (h, w), units.
        mask: coverage of the piece (h, w), 0 to 1.
        key: direction of the key light (3,).
        scale: pixels a unit.
        soft: how dark a shadow of a fold is.
    """
    open_sky = np.ones_like(height)
    for sigma, strength in ((3, 0.16), (9, 0.07), (22, 0.02)):
        around = blur(height * mask, sigma * scale) / np.maximum(blur(mask, sigma * scale), 0.05)
        open_sky *= np.exp(-strength * np.clip(around - height, 0, None))
    blocked = np.zeros_like(height)
    step = -key[:2] / np.linalg.norm(key[:2])
    for reach in range(2, 24, 3):
        move = np.array([[1, 0, step[0] * reach * scale], [0, 1, step[1] * reach * scale]], np.float32)
        moved = cv2.warpAffine(height, move, height.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        blocked = np.maximum(blocked, moved - height - 0.8 * reach)
    return open_sky * (1 - soft * np.clip(blur(blocked, 1.5 * scale) / 3, 0, 1))


def shade(
    height: Array,
    openness: Array,
    scale: float,
    key: Array = KEY,
    fill: Array = FILL,
    weights: tuple[float, float, float] = (0.30, 0.22, 0.60),
) -> tuple[Array, Array]:
    """Diffuse light and gloss, each (h, w).

    Args:
        height: (h, w), units.
        openness: what ``occlusion`` returns.
        scale: pixels a unit.
        weights: of the fill light, of light from the front, of the key light.
    """
    down, right = np.gradient(height)
    normal = np.stack([-right * scale, -down * scale, np.ones_like(height)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    direct = np.clip(normal @ key, 0, None) / key[2]
    around = 0.5 + 0.5 * (normal @ fill)
    diffuse = openness * (weights[0] * around + weights[1] * normal[..., 2] + weights[2] * direct)
    half = key + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    return diffuse, openness * np.clip(normal @ half, 0, None) ** 22


def cast(mask: Array, reach: float, dx: float, dy: float) -> Array:
    """The shadow (h, w), 0 to 1, that a piece ``reach`` pixels high throws (dx, dy) times its height to the side."""
    move = np.array([[1, 0, dx * reach], [0, 1, dy * reach]], np.float32)
    thrown = blur(cv2.warpAffine(mask, move, mask.shape[::-1]), 0.25 + 0.7 * reach)
    touch = blur(mask, 0.3 + 0.3 * reach)
    return np.maximum(0.5 * thrown, 0.4 * touch)
