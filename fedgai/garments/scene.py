"""What garments are photographed on: boards, tiles, carpets, walls, sheets, grass, a studio's grey. Linear light."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from fedgai.garments.outline import Array
from fedgai.garments.prints import PATTERNS, SIDE, Colour, Rng, colour

Picture = Array  # float (h, w) or (h, w, 3)


def clouds(rng: Rng, shape: tuple[int, int], size: float) -> Picture:
    """Smooth noise (h, w), of about unit variance, ``size`` pixels wide."""
    h, w = shape
    rows, columns = max(2, int(h / size) + 2), max(2, int(w / size) + 2)
    return cv2.resize(rng.standard_normal((rows, columns)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)


def linear(c: Colour) -> Picture:
    return np.asarray((np.array(c, np.float32) / 255) ** 2.2, np.float32)


def plane(rng: Rng, shape: tuple[int, int]) -> tuple[Picture, Picture]:
    """Floor coordinates x, y (h, w), the picture's long side being 1, turned and in perspective."""
    h, w = shape
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32) / max(h, w)
    xx, yy = xx - np.float32(w / max(h, w) / 2), yy - np.float32(h / max(h, w) / 2)
    tilt = np.float32(rng.normal(0, 0.25))
    lean = np.float32(rng.normal(0, 0.1))
    depth = 1 + tilt * yy + lean * xx
    angle = rng.choice([0, np.pi / 2, np.pi / 4, rng.uniform(0, np.pi)], p=[0.35, 0.3, 0.1, 0.25]) + rng.normal(0, 0.04)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y = xx / depth, yy / depth
    return x * cos - y * sin, x * sin + y * cos


def boards(rng: Rng, shape: tuple[int, int]) -> Picture:
    x, y = plane(rng, shape)
    wide = rng.uniform(0.08, 0.3)
    long = wide * rng.uniform(4, 9)
    column = np.floor(x / wide)
    shift = rng.uniform(0, 1, 64).astype(np.float32)[column.astype(int) % 64]
    row = np.floor(y / long + shift)
    tone = rng.normal(0, 1, (64, 64)).astype(np.float32)[column.astype(int) % 64, row.astype(int) % 64]
    # grain: noise that is long along the boards, moved from board to board
    grain_map = cv2.GaussianBlur(
        rng.standard_normal((256, 256)).astype(np.float32), (0, 0), sigmaX=rng.uniform(0.8, 2.5), sigmaY=26
    )
    grain_map = grain_map / grain_map.std()
    gx, gy = (x / wide * 60 + 37 * column + 11 * row) % 256, (y * 260 + 53 * column) % 256
    grain = cv2.remap(grain_map, gx, gy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    hue = rng.choice([0, 1, 2, 3], p=[0.5, 0.2, 0.2, 0.1])
    wood = linear([(190, 150, 110), (216, 200, 180), (120, 84, 58), (150, 148, 144)][hue]) * rng.uniform(0.7, 1.25)
    value = 1 + rng.uniform(0.03, 0.16) * tone + rng.uniform(0.03, 0.14) * grain
    gap = np.minimum(np.abs((x / wide) % 1 - 0.5), 0.5)
    edge = np.clip(1 - (0.5 - gap) * wide * max(shape) / rng.uniform(0.8, 1.8), 0, 1)
    ends = np.clip(1 - (0.5 - np.abs((y / long + shift) % 1 - 0.5)) * long * max(shape) / 1.2, 0, 1)
    dark = 1 - rng.uniform(0.2, 0.7) * np.maximum(edge, ends)
    return np.asarray((np.clip(value, 0.2, 2) * dark)[..., None] * wood)


def tiles(rng: Rng, shape: tuple[int, int]) -> Picture:
    x, y = plane(rng, shape)
    size = rng.uniform(0.16, 0.5)
    a, b = x / size, y / size
    tone = rng.normal(0, 1, (32, 32)).astype(np.float32)[np.floor(a).astype(int) % 32, np.floor(b).astype(int) % 32]
    cloud = clouds(rng, shape, rng.uniform(6, 60))
    stone = linear(colour(rng) if rng.random() < 0.3 else (int(rng.integers(170, 235)),) * 2 + (int(rng.integers(150, 225)),))
    away = 0.5 - np.maximum(np.abs(a % 1 - 0.5), np.abs(b % 1 - 0.5))
    joint = np.clip(1.5 - away * size * max(shape) / rng.uniform(0.8, 2.2), 0, 1)[..., None]
    picture = (1 + 0.04 * tone + rng.uniform(0.01, 0.07) * cloud)[..., None] * stone
    return np.asarray(picture * (1 - joint) + joint * stone * rng.uniform(0.3, 0.8))


def carpet(rng: Rng, shape: tuple[int, int]) -> Picture:
    """A patterned carpet or bedspread, or one of a single colour with a pile."""
    base = colour(rng)
    fuzz = 0.6 * rng.standard_normal(shape).astype(np.float32) + clouds(rng, shape, 3) * 0.8 + 0.4 * clouds(rng, shape, 24)
    if rng.random() < 0.4:
        picture = np.broadcast_to(linear(base), (*shape, 3)).copy()
    else:
        name = str(rng.choice(["flowers", "leaves", "shapes", "stripes", "check", "abstract", "animal", "waves"]))
        picture = tiled(rng, shape, PATTERNS[name][0](rng, base), rng.uniform(0.25, 0.9))
    return picture * np.clip(1 + rng.uniform(0.03, 0.22) * fuzz, 0.3, 2)[..., None]


def tiled(rng: Rng, shape: tuple[int, int], tile: NDArray[np.uint8], repeat: float) -> Picture:
    x, y = plane(rng, shape)
    at = ((x / repeat * SIDE) % SIDE).astype(np.float32), ((y / repeat * SIDE) % SIDE).astype(np.float32)
    return (cv2.remap(tile, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP).astype(np.float32) / 255) ** 2.2


def sheet(rng: Rng, shape: tuple[int, int]) -> Picture:
    """A bed sheet or tablecloth with soft folds, plain, quilted or printed."""
    base = colour(rng)
    if rng.random() < 0.35:
        picture = tiled(rng, shape, PATTERNS[str(rng.choice(list(PATTERNS)))][0](rng, base), rng.uniform(0.15, 0.7))
    else:
        picture = np.broadcast_to(linear(base), (*shape, 3)).copy()
    relief = clouds(rng, shape, 110) * 9 + clouds(rng, shape, 45) * rng.uniform(1, 4)
    ridge = 1 - np.abs(clouds(rng, shape, rng.uniform(60, 160)))
    relief += 8 * np.clip(ridge, 0, 1) ** 3 * rng.uniform(0, 1)
    if rng.random() < 0.25:  # quilting
        x, y = plane(rng, shape)
        size = rng.uniform(0.06, 0.16)
        relief += 4 * np.abs(np.sin(np.pi * (x + y) / size) * np.sin(np.pi * (x - y) / size)) ** 0.5
    down, across = np.gradient(relief)
    return np.asarray(picture * np.clip(1 - rng.uniform(0.3, 1) * (across + down) * 0.6, 0.45, 1.5)[..., None])


def wall(rng: Rng, shape: tuple[int, int]) -> Picture:
    """Plaster, paint or a cupboard's door."""
    value = int(rng.integers(150, 245))
    base = colour(rng) if rng.random() < 0.4 else (value, value - int(rng.integers(0, 14)), value - int(rng.integers(0, 34)))
    picture = (
        np.broadcast_to(linear(base), (*shape, 3))
        * (1 + 0.012 * clouds(rng, shape, 4) + 0.03 * clouds(rng, shape, 90))[..., None]
    )
    if rng.random() < 0.35:  # panels, a door's frame
        x, y = plane(rng, shape)
        for value_, where in ((x, rng.uniform(-0.4, 0.4)), (y, rng.uniform(-0.5, 0.5))):
            line = np.exp(-(((value_ - where) * max(shape) / rng.uniform(1, 4)) ** 2))
            picture = picture * (1 - rng.uniform(0.1, 0.6) * line)[..., None]
    return picture.astype(np.float32)


def grass(rng: Rng, shape: tuple[int, int]) -> Picture:
    blades = np.zeros(shape, np.float32)
    for _ in range(3):
        angle = rng.uniform(-50, 50)
        raw = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), sigmaX=0.8, sigmaY=4)
        h, w = shape
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1.4)
        blades = np.maximum(blades, cv2.warpAffine(raw / raw.std(), turn, (w, h), borderMode=cv2.BORDER_REFLECT))
    green = linear((int(rng.integers(70, 130)), int(rng.integers(110, 160)), int(rng.integers(40, 80))))
    return np.clip(0.45 + 0.4 * blades + 0.15 * clouds(rng, shape, 50), 0.05, 2)[..., None] * green


def studio(rng: Rng, shape: tuple[int, int]) -> Picture:
    value = int(rng.integers(160, 256))
    grain: Picture = 1 + 0.004 * rng.standard_normal((*shape, 1), np.float32)
    return grain * linear((value, value, value))


SCENES: dict[str, tuple[Callable[[Rng, tuple[int, int]], Picture], float, float]] = {
    # a function, and how often a garment lies on it, or hangs before it
    "boards": (boards, 3.0, 0.7),
    "tiles": (tiles, 1.5, 0.2),
    "carpet": (carpet, 2.0, 0.5),
    "sheet": (sheet, 3.0, 0.8),
    "wall": (wall, 0.8, 4.0),
    "grass": (grass, 0.4, 0.1),
    "studio": (studio, 1.2, 1.8),
}


def clutter(rng: Rng, picture: Picture) -> None:
    """Things at the border of the picture that are not a garment: cards, boxes, another cloth's corner. In place."""
    h, w = picture.shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        side = rng.uniform(0.05, 0.3) * max(h, w)
        x, y = [(rng.uniform(0, w), rng.choice([0, h])), (rng.choice([0, w]), rng.uniform(0, h))][int(rng.integers(0, 2))]
        ring = cv2.boxPoints(((float(x), float(y)), (side, side * rng.uniform(0.3, 1.6)), rng.uniform(0, 90)))
        mask = np.zeros((h, w), np.uint8)
        cv2.fillPoly(mask, [np.round(ring).astype(np.int32)], 255, cv2.LINE_AA)
        soft = cv2.GaussianBlur(mask, (0, 0), 3).astype(np.float32)[..., None] / 255
        picture *= 1 - 0.35 * np.roll(soft, (2, 2), (0, 1))
        cover = mask.astype(np.float32)[..., None] / 255
        thing = (
            linear(colour(rng))
            if rng.random() < 0.6
            else tiled(rng, (h, w), PATTERNS[str(rng.choice(list(PATTERNS)))][0](rng, colour(rng)), 0.2)
        )
        picture += cover * (thing - picture)


def room(rng: Rng, shape: tuple[int, int]) -> Picture:
    """A wall, a skirting board and the floor before it."""
    h, w = shape
    picture, floor = wall(rng, shape), SCENES[str(rng.choice(["boards", "carpet", "tiles"]))][0](rng, shape)
    height, lean = rng.uniform(0.6, 0.95) * h, rng.normal(0, 0.03)
    below = np.arange(h, dtype=np.float32)[:, None] - np.float32(height) - np.float32(lean) * np.arange(w, dtype=np.float32)
    board = max(h, w) * rng.uniform(0.015, 0.05)
    skirting = linear(colour(rng)) if rng.random() < 0.3 else linear((236, 234, 228))
    picture = np.where(
        (below > -board)[..., None], skirting * np.clip(1.05 - np.abs(below / board + 1), 0.6, 1)[..., None], picture
    )
    return np.where((below > 0)[..., None], floor * np.clip(0.75 + 0.25 * below / board, 0.75, 1)[..., None], picture)


def scene(rng: Rng, shape: tuple[int, ...], pose: str) -> Picture:
    """A background (h, w, 3) for a pose of ``parts.POSES``, linear light, 0 to about 1."""
    h, w = shape
    column = 1 if pose == "lying" else 2
    names, weights = list(SCENES), np.array([entry[column] for entry in SCENES.values()])
    name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    make = room if pose != "lying" and rng.random() < 0.25 else SCENES[name][0]
    picture = make(rng, (h, w)).astype(np.float32)
    if rng.random() < 0.25:
        clutter(rng, picture)
    return picture
