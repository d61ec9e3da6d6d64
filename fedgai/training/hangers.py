"""Hangers laid behind garments in photographs, so that a network learns to tell them from the garment.

What is drawn is plain: an arm, a bar, a hook and clips, in a light that falls from above. Where a garment lies over a hanger the
hanger is not seen; its clips lie over the garment. Some necks are opened, too: one sees the back of the garment inside, and the
hanger before it.
"""

from __future__ import annotations

import cv2
import numpy as np

FINE = 4  # shapes are drawn so many times as large, for smooth edges
FLAT_TOP = 0.62  # a top edge so wide, as a share of the garment's upper half, is a waistband's


def hang(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same garment on a hanger.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (H, W) float32 in [0, 1], the garment's, not empty.
        rng: of kind, measures and colour.

    Returns:
        The photograph with the hanger, and the mask without its clips, and without what of it is seen in an opened neck.
    """
    rows = np.flatnonzero((mask > 0.5).any(1))
    top, height = int(rows[0]), len(rows)
    band = np.flatnonzero((mask[top : top + max(3, height // 25)] > 0.5).any(0))
    upper = np.flatnonzero((mask[top : top + height // 3 + 1] > 0.5).any(0))
    flat = len(band) > FLAT_TOP * len(upper)
    if rng.random() < (0.85 if flat else 0.1):
        return _clipped(photo, mask, (float(band[0]), float(band[-1]), float(top)), rng)
    return _hung(photo, mask, (float(band.mean()), float(top), float(upper[-1] - upper[0])), rng)


def _hung(
    photo: np.ndarray, mask: np.ndarray, place: tuple[float, float, float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """On a hanger's arms, place being the neck's x and y and the shoulders' width."""
    x, y, wide = place
    reach = wide * rng.uniform(0.3, 0.52)
    thick = wide * float(rng.choice([0.012, 0.03, 0.055])) * rng.uniform(0.8, 1.3)
    inside = rng.random() < 0.5  # the neck is opened, and the hanger seen in it
    rise = -wide * rng.uniform(0.02, 0.06) if inside else wide * rng.uniform(0.0, 0.05)
    drop = reach * rng.uniform(0.2, 0.42)
    middle = (x, y - rise)
    arms = [(x - reach, y - rise + drop), (x - reach / 2, y - rise + 0.42 * drop), middle]
    arms += [(2 * x - px, py) for px, py in reversed(arms[:2])]
    shape = _line(mask.shape, _smooth(arms), thick)
    if rng.random() < 0.5:
        shape = np.maximum(shape, _line(mask.shape, [arms[0], arms[-1]], 0.7 * thick))
    if rng.random() < 0.4:  # a head where both arms meet
        shape = np.maximum(shape, _line(mask.shape, [(x - thick, y - rise), (x + thick, y - rise)], 2 * thick))
    hook = _line(mask.shape, _hook(middle, wide * rng.uniform(0.1, 0.2), rng), max(1.5, wide * 0.012))
    colour, metal = _colour(rng), np.array([150, 150, 152], np.float32) * rng.uniform(0.4, 1.4)
    behind = mask
    if inside:
        neck = _ellipse(mask.shape, (x, y), wide * rng.uniform(0.12, 0.2), wide * rng.uniform(0.1, 0.2)) * mask
        cloth = photo[mask > 0.5].mean(0) * rng.uniform(0.45, 0.9)
        photo = _laid(photo, neck, cloth, rng)
        behind = mask * (1 - neck)
    for piece, hue in ((hook, metal if rng.random() < 0.7 else colour), (shape, colour)):
        seen = piece * (1 - behind)
        photo = _laid(photo, seen, hue, rng)
        mask = mask * (1 - seen)
    return photo, mask


def _clipped(
    photo: np.ndarray, mask: np.ndarray, place: tuple[float, float, float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """On a bar with two clips, place being the waistband's left, right and y."""
    left, right, y = place
    wide, x = right - left, (left + right) / 2
    above = y - wide * rng.uniform(0.02, 0.12)
    thick = max(1.5, wide * rng.uniform(0.008, 0.04))
    reach = wide * rng.uniform(0.4, 0.62)
    colour = _colour(rng)
    metal = np.array([150, 150, 152], np.float32) * rng.uniform(0.4, 1.4)
    bar = _line(mask.shape, [(x - reach, above), (x + reach, above)], thick)
    hook = _line(mask.shape, _hook((x, above), wide * rng.uniform(0.1, 0.22), rng), max(1.5, wide * 0.012))
    for piece, hue in ((hook, metal), (bar, metal if rng.random() < 0.4 else colour)):
        photo = _laid(photo, piece * (1 - mask), hue, rng)
    size, length = wide * rng.uniform(0.025, 0.07), wide * rng.uniform(0.03, 0.1)
    clip_colour = colour if rng.random() < 0.7 else metal
    for side in (-1, 1):
        at = x + side * min(reach, wide / 2) * rng.uniform(0.6, 0.98)
        under = mask[:, int(np.clip(at, 0, mask.shape[1] - 1))]
        edge = float(np.argmax(under > 0.5)) if (under > 0.5).any() else y  # the waistband's height just there
        edge = min(edge, y + 0.2 * wide)
        points = [(at - size, above), (at + size, above), (at + 0.9 * size, edge + length), (at - 0.9 * size, edge + length)]
        clip = _polygon(mask.shape, points)
        photo, mask = _laid(photo, clip, clip_colour, rng), mask * (1 - clip)
    return photo, mask


def _colour(rng: np.random.Generator) -> np.ndarray:
    colours = [(24, 24, 26), (235, 235, 232), (190, 140, 84), (150, 152, 158), (110, 66, 38), rng.uniform(20, 230, 3)]
    return np.array(colours[rng.integers(len(colours))], np.float32) * rng.uniform(0.8, 1.05)


def _laid(photo: np.ndarray, shape: np.ndarray, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A shape, (H, W) in [0, 1], laid over a photograph: round, lit from above, with a soft shadow."""
    depth = cv2.GaussianBlur(shape, (0, 0), 2.0)
    lit = 1 + 0.5 * cv2.Sobel(depth, cv2.CV_32F, 0, 1) + 0.12 * (depth - 0.5)
    moved = np.roll(cv2.GaussianBlur(shape, (0, 0), 3.0), (3, 2), (0, 1))
    shaded = photo * (1 - 0.25 * rng.random() * moved * (1 - shape))[..., None]
    cloth = colour * lit[..., None] + rng.normal(0, 3, (*shape.shape, 1))
    laid: np.ndarray = np.clip(shaded + shape[..., None] * (cloth - shaded), 0, 255).astype(np.uint8)
    return laid


def _smooth(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A curve through a few points, left to right."""
    x, y = np.array(points).T
    steps = np.linspace(0, len(x) - 1, 41)
    bend = np.polyfit(np.arange(len(x)), y, min(4, len(x) - 1))
    return list(zip(np.interp(steps, np.arange(len(x)), x), np.polyval(bend, steps), strict=True))


def _hook(foot: tuple[float, float], size: float, rng: np.random.Generator) -> list[tuple[float, float]]:
    """A hanger's hook above its foot, opened to one side."""
    side = float(rng.choice([-1, 1]))
    turn = np.linspace(np.pi * 0.5, -np.pi * 0.85, 24)
    radius = 0.35 * size
    centre = (foot[0], foot[1] - size)
    arc = [(centre[0] + side * radius * np.cos(t), centre[1] + radius * np.sin(t)) for t in turn]
    return [foot, *arc]


def _line(size: tuple[int, ...], points: list[tuple[float, float]], width: float) -> np.ndarray:
    canvas = np.zeros((size[0] * FINE, size[1] * FINE), np.uint8)
    cv2.polylines(canvas, [(np.array(points) * FINE).astype(np.int32)], False, 255, max(1, round(width * FINE)))
    return _small(canvas)


def _polygon(size: tuple[int, ...], points: list[tuple[float, float]]) -> np.ndarray:
    canvas = np.zeros((size[0] * FINE, size[1] * FINE), np.uint8)
    cv2.fillPoly(canvas, [(np.array(points) * FINE).astype(np.int32)], 255)
    return _small(canvas)


def _ellipse(size: tuple[int, ...], centre: tuple[float, float], across: float, down: float) -> np.ndarray:
    canvas = np.zeros((size[0] * FINE, size[1] * FINE), np.uint8)
    axes = (max(1, round(across * FINE)), max(1, round(down * FINE)))
    cv2.ellipse(canvas, (round(centre[0] * FINE), round(centre[1] * FINE)), axes, 0, 0, 360, 255, -1)
    return _small(canvas)


def _small(canvas: np.ndarray) -> np.ndarray:
    """As large as the photograph, (H, W) float32 in [0, 1], its edge as soft as a camera's."""
    small = cv2.resize(canvas, None, fx=1 / FINE, fy=1 / FINE, interpolation=cv2.INTER_AREA)
    soft: np.ndarray = cv2.GaussianBlur(small.astype(np.float32) / 255, (0, 0), 0.6)
    return soft
