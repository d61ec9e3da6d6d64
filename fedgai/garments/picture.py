"""A photograph of a garment: fabric, background, shadow and camera, with what must and must not be drawn."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fedgai.garments.garment import Garment
from fedgai.garments.lines import borders
from fedgai.garments.prints import FONTS, PATTERNS, SIDE, WORDS, Rng, colour
from fedgai.garments.scene import clouds, scene

Plane = NDArray[np.uint8]
HANGERS = ((24, 24, 26), (240, 240, 238), (190, 140, 84), (150, 152, 158), (120, 70, 40), (60, 90, 160))
SKINS = ((232, 190, 160), (224, 172, 136), (198, 140, 104), (150, 98, 68), (98, 62, 44), (240, 206, 184))
HAIRS = ((28, 22, 20), (70, 46, 30), (150, 110, 64), (190, 160, 110), (120, 120, 120))


@dataclass
class Picture:
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


def dye(garment: Garment, rng: Rng, background: NDArray[np.uint8] | None = None, pattern: str | None = None) -> Picture:
    """Give a garment a fabric and take its photograph.

    Args:
        garment: from ``make``.
        rng: of fabric, background and camera.
        background: uint8 sRGB (h, w, 3) of any size, made to cover the picture; a random scene if None.
        pattern: a name of ``prints.PATTERNS``, "plain" or "badge" (one placed print); a random one if None.
    """
    shape = garment.alpha.shape
    names = list(PATTERNS)
    weights = np.array([PATTERNS[name][2] for name in names])
    kind = rng.random()
    if pattern is None:
        pattern = (
            "plain" if kind < 0.34 else "badge" if kind < 0.46 else names[int(rng.choice(len(names), p=weights / weights.sum()))]
        )
    albedo, printed = _albedo(garment, rng, pattern)
    light = garment.light.astype(np.float32)
    contrast = rng.uniform(0.75, 1.15)  # of folds: the sky's share differs from day to day
    lit = np.clip(light, 0.02, None) ** contrast
    shine = _sheen(garment, rng)
    cloth = albedo * (lit * _weave(garment, rng))[..., None] + shine[..., None]
    ground = scene(rng, shape) if background is None else _covering(background, shape)
    ground = ground * (1 - _shadow(garment, rng))[..., None]
    alpha, cover = (plane.astype(np.float32)[..., None] / 255 for plane in (garment.alpha, garment.cover))
    photo = _camera(rng, ground + cover * (cloth - ground))
    tone = 255 * np.clip(light / 1.12, 0, 1) ** (1 / 2.2)
    tone = np.round(255 + alpha[..., 0] * (tone - 255)).astype(np.uint8)
    return Picture(photo, garment.alpha, garment.lines, _print_edges(garment, printed), tone, pattern)


def _albedo(garment: Garment, rng: Rng, pattern: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The cloth's colour (H, W, 3), linear, and the print alone (H, W, 3), sRGB, black where there is none."""
    base = colour(rng)
    labels = garment.parts
    second = colour(rng) if rng.random() < 0.6 else base
    other = {
        "second": second if rng.random() < 0.8 else base,
        "rib": base if rng.random() < 0.7 else second,
        "collar": base if rng.random() < 0.85 else second,
        "lining": tuple(int(c * 0.8) for c in base) if rng.random() < 0.5 else colour(rng),
        "trim": tuple(int(c * 0.7) for c in base),
        "label": (230, 228, 222),
        "button": colour(rng) if rng.random() < 0.6 else base,
        "metal": (int(rng.integers(120, 210)),) * 3 if rng.random() < 0.6 else (176, 138, 80),
        "cord": colour(rng) if rng.random() < 0.5 else base,
        "hanger": HANGERS[int(rng.integers(0, len(HANGERS)))],
        "clip": (150, 150, 154),
        "tag": (236, 234, 228) if rng.random() < 0.7 else colour(rng),
        "skin": SKINS[int(rng.integers(0, len(SKINS)))],
        "hair": HAIRS[int(rng.integers(0, len(HAIRS)))],
        "other": colour(rng),
    }
    table = np.float32([(0, 0, 0), *(other.get(role, base) for role in garment.roles[1:])])
    tinted = table[labels]
    tint = 1 + rng.uniform(0, 0.05) * rng.standard_normal(len(table)).astype(np.float32)
    printed = np.zeros((*labels.shape, 3), np.float32)
    if pattern != "plain":
        wears = (
            {"main"}
            | ({"collar"} if rng.random() < 0.8 else set())
            | ({"second"} if rng.random() < 0.3 else set())
            | ({"lining"} if rng.random() < 0.5 else set())
        )
        mask = np.array([role in wears for role in garment.roles])[labels]
        if pattern == "badge":
            tinted = _badge(garment, rng, base, tinted, printed)
        else:
            make, (low, high), _ = PATTERNS[pattern]
            tile = make(rng, base)
            image = _laid(garment, rng, tile, float(np.exp(rng.uniform(np.log(low), np.log(high)))))
            tinted = np.where(mask[..., None], image, tinted)
            printed = np.where(mask[..., None], image, printed)
    albedo = (np.clip(tinted, 4, 250) / 255) ** 2.2 * tint[labels][..., None]
    return albedo.astype(np.float32), printed


def _laid(garment: Garment, rng: Rng, tile: Plane, repeat: float) -> NDArray[np.float32]:
    """The tile on the cloth, (H, W, 3); every piece of cloth is cut from another place of it."""
    count = len(garment.roles)
    shift = rng.uniform(0, 1, (count, 2)).astype(np.float32)
    angle = np.radians(rng.choice([0, 90, 45], p=[0.85, 0.05, 0.1]) + rng.normal(0, 1.2, count)).astype(np.float32)
    uv = garment.uv.astype(np.float32) / np.float32(repeat)
    cos, sin, move = np.cos(angle)[garment.parts], np.sin(angle)[garment.parts], shift[garment.parts]
    u = (uv[..., 0] * cos - uv[..., 1] * sin + move[..., 0]) % 1 * SIDE
    v = (uv[..., 0] * sin + uv[..., 1] * cos + move[..., 1]) % 1 * SIDE
    small = SIDE * 1.0 / max(repeat * _pixels_wide(garment), 1)  # tile pixels a picture pixel
    if small > 1.5:
        pad = np.pad(tile, ((16, 16), (16, 16), (0, 0)), mode="wrap")
        tile = cv2.GaussianBlur(pad, (0, 0), 0.35 * small)[16:-16, 16:-16]
    return cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP).astype(np.float32)


def _pixels_wide(garment: Garment) -> float:
    columns = np.flatnonzero(garment.alpha.max(0) > 127)
    return float(np.ptp(columns)) if len(columns) else 1.0


def _badge(
    garment: Garment, rng: Rng, base: tuple[int, int, int], tinted: NDArray[np.float32], printed: NDArray[np.float32]
) -> NDArray[np.float32]:
    """One print on the largest piece: a word, a drawing or a block of colour."""
    sizes = np.bincount(garment.parts.ravel(), minlength=len(garment.roles))
    sizes[[i for i, role in enumerate(garment.roles) if role != "main"]] = 0
    part = int(sizes.argmax())
    art = np.zeros((SIDE, SIDE, 4), np.uint8)
    ink = (*colour(rng), 255)
    choice = rng.integers(0, 4)
    if choice == 3:
        name = str(rng.choice(list(PATTERNS)))
        art[..., :3], art[..., 3] = PATTERNS[name][0](rng, base), 0
        cv2.circle(art, (128, 128), 110, (0, 0, 0, 255), -1, cv2.LINE_AA)
        art[..., :3] = PATTERNS[name][0](rng, colour(rng))
    for row in range(0 if choice == 3 else int(rng.integers(1, 4))):
        word, font = str(rng.choice(WORDS)), int(rng.choice(FONTS))
        (w, _), _ = cv2.getTextSize(word, font, 1, 3)
        size = 240 / w
        y = min(int(70 + 70 * row), 246)
        line = np.zeros((SIDE, SIDE), np.uint8)
        cv2.putText(line, word, (8, y), font, min(size, 2.4), 255, int(rng.integers(2, 9)), cv2.LINE_AA)
        art[line > 0, :3] = ink[:3]
        art[..., 3] = np.maximum(art[..., 3], line)
    if choice == 2:
        line = np.zeros((SIDE, SIDE), np.uint8)
        for _ in range(int(rng.integers(2, 6))):
            cv2.ellipse(
                line,
                tuple(int(v) for v in rng.integers(60, 200, 2)),
                tuple(int(v) for v in rng.integers(10, 60, 2)),
                rng.uniform(0, 180),
                0,
                360,
                255,
                int(rng.choice([-1, 4])),
                cv2.LINE_AA,
            )
        art[line > 0, :3] = colour(rng)
        art[..., 3] = np.maximum(art[..., 3], line)
    size = rng.uniform(0.14, 0.5)
    at = rng.uniform(-0.12, 0.12), rng.uniform(-0.35, 0.05)
    uv = garment.uv.astype(np.float32)
    u, v = (
        ((uv[..., 0] - np.float32(at[0])) / np.float32(size) + 0.5) * SIDE,
        ((uv[..., 1] - np.float32(at[1])) / np.float32(size) + 0.5) * SIDE,
    )
    image = cv2.remap(art, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT).astype(np.float32)
    cover = (image[..., 3:] / 255) * (garment.parts == part)[..., None]
    printed += np.where((garment.parts == part)[..., None], np.float32(base) + cover * (image[..., :3] - np.float32(base)), 0)
    return tinted + cover * (image[..., :3] - tinted)


def _sheen(garment: Garment, rng: Rng) -> NDArray[np.float32]:
    """Light that the cloth throws back: little, but for satin and metal."""
    cloth = rng.uniform(0.0, 0.06) if rng.random() < 0.8 else rng.uniform(0.1, 0.4)
    table = np.float32([{"metal": 0.5, "button": 0.25}.get(role, cloth) for role in garment.roles])
    return garment.gloss.astype(np.float32) * table[garment.parts]


def _weave(garment: Garment, rng: Rng) -> NDArray[np.float32]:
    """How threads and knots change the light, (H, W), about 1."""
    shape = garment.alpha.shape
    pick = rng.random()
    strength = rng.uniform(0.01, 0.05)
    raw = rng.standard_normal(shape).astype(np.float32)
    soft = cv2.GaussianBlur(raw, (0, 0), 1.2)
    texture = 1 + strength * (0.4 * raw + 2 * soft)
    s, t = (garment.uv[..., axis].astype(np.float32) for axis in (0, 1))
    if pick < 0.2:  # denim or linen: slubs along the cloth
        slub = cv2.GaussianBlur(raw, (0, 0), 0.8, sigmaY=5)
        texture = texture + rng.uniform(0.1, 0.3) * slub
    elif pick < 0.4:  # a knit whose stitches are seen
        period = rng.uniform(0.018, 0.04)
        v = t / period + np.abs(s / period % 1 - 0.5) * 1.6
        texture = texture + rng.uniform(0.02, 0.12) * np.cos(2 * np.pi * v) * np.abs(np.cos(np.pi * s / period))
    ribs = np.isin(garment.parts, [i for i, role in enumerate(garment.roles) if role == "rib"])
    if ribs.any():
        period = rng.uniform(0.016, 0.034)
        texture = texture + ribs * rng.uniform(0.04, 0.2) * np.cos(2 * np.pi * s / period)
    return texture.astype(np.float32)


def _shadow(garment: Garment, rng: Rng) -> NDArray[np.float32]:
    """The garment's shadow on the ground (H, W), 0 to 1: close and dark, far and soft."""
    alpha = garment.cover.astype(np.float32) / 255
    dx, dy = -garment.sun[:2] / max(np.hypot(*garment.sun[:2]), 0.05)
    unit = max(alpha.shape) / 768
    shadow = np.zeros_like(alpha)
    far = rng.uniform(0.5, 1.6)
    for sigma, reach, strength in ((2.2, 2.5, 0.42), (9 * far, 10 * far, 0.24), (24 * far, 22 * far, 0.14)):
        move = np.float32([[1, 0, dx * reach * unit], [0, 1, dy * reach * unit]])
        small = cv2.warpAffine(alpha, move, alpha.shape[::-1])
        shadow = 1 - (1 - shadow) * (1 - strength * rng.uniform(0.5, 1.2) * cv2.GaussianBlur(small, (0, 0), sigma * unit))
    return np.clip(shadow, 0, 0.9)


def _covering(background: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
    """A picture scaled and cropped to (H, W), in linear light."""
    h, w = shape
    scale = max(h / background.shape[0], w / background.shape[1])
    size = (max(w, round(background.shape[1] * scale)), max(h, round(background.shape[0] * scale)))
    large = cv2.resize(background, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (large.shape[0] - h) // 2, (large.shape[1] - w) // 2
    return (large[top : top + h, left : left + w].astype(np.float32) / 255) ** 2.2


def _camera(rng: Rng, picture: NDArray[np.float32]) -> Plane:
    """Exposure, colour of the light, vignette, blur, noise and JPEG. Linear (H, W, 3) to uint8 sRGB."""
    h, w = picture.shape[:2]
    warm = np.float32(np.exp(rng.normal(0, 0.08) * np.float32([1, 0, -1]) + rng.normal(0, 0.02, 3)))
    fall = 1 + rng.uniform(0, 0.22) * clouds(rng, (h, w), max(h, w) * 0.8)
    if rng.random() < 0.08:  # sunlight through a window
        patch = np.clip(clouds(rng, (h, w), max(h, w) * 0.3) * 4, 0, 1)
        fall = fall * (1 + rng.uniform(0.3, 1.0) * cv2.GaussianBlur(patch, (0, 0), 3))
    seen = picture * warm * (rng.uniform(0.75, 1.35) * np.clip(fall, 0.45, 2))[..., None]
    seen = np.where(seen > 0.7, 0.7 + 0.3 * np.tanh((seen - 0.7) / 0.3), np.maximum(seen, 0))
    srgb = seen ** np.float32(1 / rng.uniform(1.9, 2.5))
    srgb = cv2.GaussianBlur(srgb, (0, 0), float(rng.choice([0.35, 0.6, 0.9, 1.3], p=[0.3, 0.4, 0.22, 0.08])))
    noise = rng.uniform(0.002, 0.022)
    grain = rng.standard_normal((h, w, 3)).astype(np.float32)
    image = np.clip(255 * (srgb + noise * grain) + 0.5, 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 97))])[1]
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def _print_edges(garment: Garment, printed: NDArray[np.float32]) -> Plane:
    """Where the print changes within a piece, (H, W)."""
    across = np.abs(np.diff(printed, axis=1, prepend=printed[:, :1])).max(-1)
    down = np.abs(np.diff(printed, axis=0, prepend=printed[:1])).max(-1)
    sharp = np.maximum(across, down)
    sharp = np.maximum(sharp, np.maximum(np.roll(across, -1, 1), np.roll(down, -1, 0)))
    edges = np.clip((sharp - 14) / 30, 0, 1) * 255
    edges[borders(garment.parts, 2)] = 0
    return np.where(garment.alpha > 200, edges, 0).astype(np.uint8)
