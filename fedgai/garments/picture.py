"""A photograph of a garment: fabric, background, shadow and camera, with what must and must not be drawn."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fedgai.errors import FedGAIError
from fedgai.garments.fabric import Float, chosen, fabric, patterns
from fedgai.garments.garment import Garment
from fedgai.garments.lines import borders
from fedgai.garments.prints import Rng
from fedgai.garments.scene import clouds, scene
from fedgai.vision.channels import brightest_channel

Plane = NDArray[np.uint8]


@dataclass
class GarmentPicture:
    """A photograph and its ground truth, H x W pixels, uint8.

    Attributes:
        photo: (H, W, 3), sRGB.
        alpha: (H, W), the garment's coverage.
        lines: (6, H, W), coverage of each of ``LINE_TYPES``.
        print_edges: (H, W), edges of the print, which must not be drawn.
        tone: (H, W), the garment's light alone, sRGB grey on white.
        pattern: the print's name, "plain" without one.
    """

    photo: Plane
    alpha: Plane
    lines: Plane
    print_edges: Plane
    tone: Plane
    pattern: str


def dye(garment: Garment, rng: Rng, background: Plane | None = None, pattern: str | None = None) -> GarmentPicture:
    """Give a garment a fabric and take its photograph.

    Args:
        garment: from ``make``.
        rng: of fabric, background and camera.
        background: uint8 sRGB (h, w, 3) of any size, made to cover the picture; a random scene if None.
        pattern: a name of ``fabric.patterns()``; a random one, "plain" for a third of all, if None.

    Raises:
        FedGAIError: there is no such pattern, or the background is not a colour picture.
    """
    if background is not None and (
        background.dtype != np.uint8 or background.ndim != 3 or background.shape[2] != 3 or not background.size
    ):
        raise FedGAIError(f"a background is a colour picture, uint8 (h, w, 3), not {background.dtype} {background.shape}")
    if pattern is not None and pattern not in patterns():
        raise FedGAIError(f"there is no pattern {pattern!r}; choose one of {', '.join(patterns())}")
    shape = garment.alpha.shape
    cloth = fabric(garment, rng, pattern or chosen(rng))
    light = garment.light.astype(np.float32)
    contrast = np.float32(rng.uniform(0.6, 1.15))  # of folds: the sky's share differs from day to day
    lit = np.clip(light, 0.02, None) ** contrast * cloth.texture
    sky = np.array([-1, 0, 1], np.float32) * np.float32(rng.normal(0.03, 0.05))  # shadows are bluer than light, or not
    shaded = np.clip(1 - light, 0, 1)[..., None] * sky + 1
    seen = cloth.albedo * lit[..., None] * shaded + (cloth.sheen * garment.gloss.astype(np.float32))[..., None]
    ground = scene(rng, shape, garment.pose) if background is None else _covering(background, shape)
    ground = ground * (1 - _shadow(garment, rng))[..., None]
    alpha, cover = (plane.astype(np.float32)[..., None] / 255 for plane in (garment.alpha, garment.cover))
    photo = _camera(rng, ground + cover * (seen - ground))
    tone = 255 * np.clip(light / 1.12, 0, 1) ** (1 / 2.2)
    tone = np.round(255 + alpha[..., 0] * (tone - 255)).astype(np.uint8)
    return GarmentPicture(photo, garment.alpha, garment.lines, _print_edges(garment, cloth.printed), tone, cloth.pattern)


def _shadow(garment: Garment, rng: Rng) -> Float:
    """The garment's shadow on the ground (H, W), 0 to 1: close and dark, far and soft; farther where it does not lie."""
    cover = garment.cover.astype(np.float32) / 255
    dx, dy = -garment.sun[:2] / max(float(np.hypot(*garment.sun[:2])), 0.05)
    unit, shadow = max(cover.shape) / 768, np.zeros_like(cover)
    far = rng.uniform(0.5, 1.6) if garment.pose == "lying" else rng.uniform(1.0, 3.0)
    for sigma, reach, strength in ((2.2, 2.5, 0.42), (9 * far, 10 * far, 0.24), (24 * far, 22 * far, 0.14)):
        move = np.array([[1, 0, dx * reach * unit], [0, 1, dy * reach * unit]], np.float32)
        moved = cv2.warpAffine(cover, move, (cover.shape[1], cover.shape[0]))
        shadow = 1 - (1 - shadow) * (1 - strength * rng.uniform(0.4, 1.2) * _soft(moved, sigma * unit))
    return np.clip(shadow, 0, 0.9).astype(np.float32)


def _soft(image: Float, sigma: float) -> Float:
    """Gaussian blur; a wide one at a quarter of the size."""
    if sigma < 8:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    h, w = image.shape
    small = cv2.resize(image, (max(w // 4, 1), max(h // 4, 1)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 4), (w, h), interpolation=cv2.INTER_LINEAR), np.float32)


def _covering(background: Plane, shape: tuple[int, ...]) -> Float:
    """A picture scaled and cropped to (H, W), in linear light."""
    h, w = shape
    scale = max(h / background.shape[0], w / background.shape[1])
    size = (max(w, round(background.shape[1] * scale)), max(h, round(background.shape[0] * scale)))
    large = cv2.resize(background, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (large.shape[0] - h) // 2, (large.shape[1] - w) // 2
    return ((large[top : top + h, left : left + w].astype(np.float32) / 255) ** 2.2).astype(np.float32)


def _camera(rng: Rng, picture: Float) -> Plane:
    """Exposure, colour of the light, uneven light, blur, sharpening, noise and JPEG. Linear (H, W, 3) to uint8 sRGB."""
    h, w = picture.shape[:2]
    warm = np.exp(rng.normal(0, 0.08) * np.array([1, 0, -1]) + rng.normal(0, 0.02, 3)).astype(np.float32)
    fall = 1 + rng.uniform(0, 0.22) * clouds(rng, (h, w), max(h, w) * 0.8)
    if rng.random() < 0.08:  # sunlight through a window
        patch = np.clip(clouds(rng, (h, w), max(h, w) * 0.3) * 4, 0, 1)
        fall = fall * (1 + rng.uniform(0.3, 1.0) * _soft(patch, 3))
    bright = float(np.quantile(picture.mean(-1)[::4, ::4], 0.8))  # a camera makes dark pictures lighter
    exposure = rng.uniform(0.8, 1.25) * (0.45 / max(bright, 0.05)) ** rng.uniform(0.1, 0.6)
    seen = picture * warm * (np.float32(exposure) * np.clip(fall, 0.45, 2))[..., None].astype(np.float32)
    seen = np.where(seen > 0.7, 0.7 + 0.3 * np.tanh((seen - 0.7) / 0.3), np.maximum(seen, 0))
    srgb = (seen ** np.float32(1 / rng.uniform(1.9, 2.5))).astype(np.float32)
    grey = srgb.mean(-1, keepdims=True)
    srgb = grey + np.float32(rng.uniform(0.7, 1.15)) * (srgb - grey)
    wide = float(rng.choice([0.35, 0.6, 0.9, 1.3], p=[0.3, 0.4, 0.22, 0.08])) * max(h, w) / 512
    srgb = cv2.GaussianBlur(srgb, (0, 0), wide)
    if rng.random() < 0.3:  # as telephones sharpen
        srgb = srgb + np.float32(rng.uniform(0.3, 1.0)) * (srgb - cv2.GaussianBlur(srgb, (0, 0), 1.2 * max(h, w) / 512))
    srgb = srgb + np.float32(rng.uniform(0.002, 0.022)) * rng.standard_normal((h, w, 3), np.float32)
    image = np.clip(255 * srgb + 0.5, 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 97))])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def _print_edges(garment: Garment, printed: Float) -> Plane:
    """Where the print changes within a part, (H, W)."""
    across = brightest_channel(np.abs(np.diff(printed, axis=1, prepend=printed[:, :1])))
    down = brightest_channel(np.abs(np.diff(printed, axis=0, prepend=printed[:1])))
    sharp = np.maximum(across, down)
    sharp = np.maximum(sharp, np.maximum(np.roll(across, -1, 1), np.roll(down, -1, 0)))
    edges = np.clip((sharp - 14) / 30, 0, 1) * 255
    edges[borders(garment.parts, 2)] = 0
    return np.where(garment.alpha > 200, edges, 0).astype(np.uint8)
