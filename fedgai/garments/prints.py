"""Printed and woven patterns, each a tile that repeats: uint8 sRGB (SIDE, SIDE, 3)."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Tile = NDArray[np.uint8]
Rng = np.random.Generator
Colour = tuple[int, int, int]
SIDE = 256

FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)
WORDS = (
    "ATLAS",
    "NORTH",
    "1987",
    "sport",
    "ORIGINAL",
    "Brooklyn",
    "summer",
    "RACING",
    "Athletic",
    "love",
    "STUDIO",
    "82",
    "wild",
    "ocean",
    "TEAM",
)


def colours(rng: Rng, base: Colour, count: int) -> list[Colour]:
    """``base`` and other colours; most prints are seen well, a few are tone in tone."""
    made, apart = [base], 0 if rng.random() < 0.12 else 70
    while len(made) < count:
        ink = colour(rng)
        if max(abs(a - b) for a, b in zip(ink, base, strict=True)) >= apart:
            made.append(ink)
    return made


def colour(rng: Rng) -> Colour:
    """A colour that clothes have: often dark, white, grey or muted."""
    pick = rng.random()
    if pick < 0.16:
        value = int(rng.integers(12, 48))
        return (value + int(rng.integers(0, 10)), value + int(rng.integers(0, 8)), value + int(rng.integers(0, 14)))
    if pick < 0.32:
        value = int(rng.integers(200, 250))
        return (value, value - int(rng.integers(0, 10)), value - int(rng.integers(0, 24)))
    if pick < 0.42:
        value = int(rng.integers(70, 190))
        return (value, value, value + int(rng.integers(-6, 8)))
    hsv = np.array([[[rng.integers(0, 180), rng.integers(50, 230), rng.integers(50, 245)]]], np.uint8)
    if rng.random() < 0.25:
        hsv[..., 0] = rng.integers(100, 122)  # blues are common
    r, g, b = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
    return (int(r), int(g), int(b))


def blank(c: Colour) -> Tile:
    return np.full((SIDE, SIDE, 3), c, np.uint8)


Draw = Callable[[Tile, int, int], None]  # draws on a tile, at x and y


def wrapped(draw: Draw, tile: Tile, x: int, y: int, reach: int) -> None:
    """Draw at (x, y), and again where the drawing leaves the tile on one side and comes back on the other."""
    for dx in (-SIDE, 0, SIDE):
        for dy in (-SIDE, 0, SIDE):
            if -reach < x + dx < SIDE + reach and -reach < y + dy < SIDE + reach:
                draw(tile, x + dx, y + dy)


def scattered(rng: Rng, draw: Draw, tile: Tile, reach: int) -> None:
    """Draw somewhere on a tile."""
    wrapped(draw, tile, int(rng.integers(0, SIDE)), int(rng.integers(0, SIDE)), reach)


def circle(radius: float, ink: Colour, thick: int = -1) -> Draw:
    def draw(tile: Tile, x: int, y: int) -> None:
        cv2.circle(tile, (x, y), max(1, round(radius)), ink, thick, cv2.LINE_AA)

    return draw


def ellipse(length: float, width: float, turn: float, ink: Colour, ahead: float = 0.0) -> Draw:
    """An ellipse of half axes ``length`` and ``width``, turned by ``turn`` radians, ``ahead`` pixels along its axis."""

    def draw(tile: Tile, x: int, y: int) -> None:
        at = (round(x + ahead * np.cos(turn)), round(y + ahead * np.sin(turn)))
        cv2.ellipse(tile, at, (round(length), max(1, round(width))), float(np.degrees(turn)), 0, 360, ink, -1, cv2.LINE_AA)

    return draw


def polygon(ring: NDArray[np.float64], ink: Colour, solid: bool) -> Draw:
    def draw(tile: Tile, x: int, y: int) -> None:
        points = [np.round(ring + np.array([x, y])).astype(np.int32)]
        if solid:
            cv2.fillPoly(tile, points, ink, cv2.LINE_AA)
        else:
            cv2.polylines(tile, points, True, ink, 3, cv2.LINE_AA)

    return draw


def ray(dx: int, dy: int, ink: Colour) -> Draw:
    def draw(tile: Tile, x: int, y: int) -> None:
        cv2.line(tile, (x, y), (x + dx, y + dy), ink, 2, cv2.LINE_AA)

    return draw


def text(word: str, font: int, size: float, ink: Colour, thick: int) -> Draw:
    def draw(tile: Tile, x: int, y: int) -> None:
        cv2.putText(tile, word, (x, y), font, size, ink, thick, cv2.LINE_AA)

    return draw


def stripes(rng: Rng, base: Colour) -> Tile:
    inks = colours(rng, base, int(rng.integers(2, 5)))
    profile = np.zeros((SIDE, 3), np.uint8)
    if rng.random() < 0.6:  # even ones
        count = int(rng.choice([2, 3, 4, 6, 8, 12]))
        share = rng.uniform(0.15, 0.6)
        phase = np.arange(SIDE) * count / SIDE
        profile[:] = inks[0]
        which = 1 + (np.floor(phase).astype(int) % (len(inks) - 1))
        on = phase % 1 < share
        profile[on] = np.array(inks)[which[on]]
    else:
        at = 0
        while at < SIDE:
            wide = int(rng.integers(4, 60))
            profile[at : at + wide] = inks[int(rng.integers(0, len(inks)))]
            at += wide
    tile = np.repeat(profile[None], SIDE, 0)
    return np.ascontiguousarray(tile.transpose(1, 0, 2) if rng.random() < 0.6 else tile)


def waves(rng: Rng, base: Colour) -> Tile:
    inks = colours(rng, base, 2)
    yy, xx = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    zig = (
        np.abs((xx * rng.integers(2, 5)) % 1 - 0.5) * 2
        if rng.random() < 0.5
        else 0.5 + 0.5 * np.sin(2 * np.pi * xx * rng.integers(1, 4))
    )
    on = (yy * rng.integers(3, 8) + zig * rng.uniform(0.3, 1.0)) % 1 < rng.uniform(0.2, 0.6)
    return np.where(on[..., None], np.array(inks[1], np.uint8), np.array(inks[0], np.uint8))


def check(rng: Rng, base: Colour) -> Tile:
    """Gingham, windowpane or tartan: bands of warp and weft that mix where they cross."""
    kind = rng.integers(0, 3)
    inks = colours(rng, base, 4)
    warp = np.tile(np.array(inks[0], np.float32), (SIDE, 1))
    if kind == 0:
        count = int(rng.choice([2, 3, 4, 6, 8]))
        warp[(np.arange(SIDE) * count / SIDE) % 1 < 0.5] = inks[1]
    elif kind == 1:
        count = int(rng.choice([2, 3, 4]))
        warp[(np.arange(SIDE) * count / SIDE) % 1 < rng.uniform(0.05, 0.14)] = inks[1]
    else:
        for ink in inks[1:]:
            for _ in range(int(rng.integers(1, 4))):
                at, wide = int(rng.integers(0, SIDE)), int(rng.integers(3, 50))
                warp[np.arange(at, at + wide) % SIDE] = ink
    across = rng.uniform(0.45, 0.55) if kind != 1 else 0.5
    mixed = warp[None] * across + warp[:, None] * (1 - across)
    if kind == 1:
        base_ = np.array(inks[0], np.float32)
        line = np.abs(warp - base_).sum(1) > 0
        mixed = np.where((line[None] | line[:, None])[..., None], np.array(inks[1], np.float32), base_)
    return mixed.astype(np.uint8)


def dots(rng: Rng, base: Colour) -> Tile:
    inks = colours(rng, base, int(rng.integers(2, 4)))
    tile = blank(base)
    count = int(rng.choice([2, 3, 4, 5, 6]))
    gap = SIDE / count
    radius = gap * rng.uniform(0.12, 0.36)
    loose = rng.random() < 0.4
    for row in range(count):
        for column in range(count):
            x = (column + 0.5 * (row % 2) + (rng.uniform(-0.3, 0.3) if loose else 0)) * gap
            y = (row + (rng.uniform(-0.3, 0.3) if loose else 0)) * gap
            ink = inks[1 + int(rng.integers(0, len(inks) - 1))]
            wrapped(circle(radius, ink), tile, int(x) % SIDE, int(y) % SIDE, SIDE // 2)
    return tile


def bloom(rng: Rng, radius: float, inks: list[Colour]) -> Draw:
    """A flower with two leaves, in four of the ``inks``."""
    petals, turn, ink = int(rng.integers(4, 9)), rng.uniform(0, 6.3), inks[int(rng.integers(1, 4))]
    dark = (int(ink[0] * 0.75), int(ink[1] * 0.75), int(ink[2] * 0.75))
    parts = [ellipse(radius * 0.6, radius * 0.22, turn + 2.6 * k, inks[4], 1.3 * radius) for k in range(2)]
    for k in range(petals):
        parts.append(ellipse(radius * 0.5, radius * 0.3, turn + 2 * np.pi * k / petals, ink if k % 2 else dark, 0.6 * radius))
    parts.append(circle(radius * 0.25, inks[3]))

    def draw(tile: Tile, x: int, y: int) -> None:
        for part in parts:
            part(tile, x, y)

    return draw


def flowers(rng: Rng, base: Colour) -> Tile:
    inks, tile = colours(rng, base, 5), blank(base)
    large = rng.random() < 0.4
    for _ in range(int(rng.integers(3, 8)) if large else int(rng.integers(10, 36))):
        scattered(rng, bloom(rng, rng.uniform(26, 52) if large else rng.uniform(7, 18), inks), tile, 120)
    return tile


def leaves(rng: Rng, base: Colour) -> Tile:
    inks, tile = colours(rng, base, 4), blank(base)
    for _ in range(int(rng.integers(8, 40))):
        length, ink = rng.uniform(14, 44), inks[int(rng.integers(1, 4))]
        scattered(rng, ellipse(length, length * rng.uniform(0.15, 0.45), rng.uniform(0, 6.3), ink), tile, 60)
    return tile


def blobs(rng: Rng, size: float) -> NDArray[np.float32]:
    """Smooth noise (SIDE, SIDE) that repeats, of unit variance."""
    raw = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
    pad = np.pad(raw, SIDE // 2, mode="wrap")
    smooth = cv2.GaussianBlur(pad, (0, 0), size)[SIDE // 2 : -SIDE // 2, SIDE // 2 : -SIDE // 2]
    return np.asarray(smooth / smooth.std(), np.float32)


def camouflage(rng: Rng, base: Colour) -> Tile:
    inks = colours(rng, base, 4)
    size = rng.uniform(5, 14)
    tile = blank(base)
    for ink in inks[1:]:
        tile[blobs(rng, size) > rng.uniform(0.2, 0.9)] = ink
    return tile


def animal(rng: Rng, base: Colour) -> Tile:
    """Leopard spots or zebra stripes."""
    inks = colours(rng, base, 3)
    tile = blank(base)
    field = blobs(rng, rng.uniform(4, 8))
    if rng.random() < 0.5:
        ring = (np.abs(field - 0.8) < 0.3) & (blobs(rng, 6) > -0.6)
        tile[field > 0.8] = inks[2]
        tile[ring] = inks[1]
    else:
        tile[np.sin(field * rng.uniform(2.5, 4.5) + np.arange(SIDE) * 2 * np.pi * 4 / SIDE) > 0.2] = inks[1]
    return tile


def letters(rng: Rng, base: Colour) -> Tile:
    """Words all over."""
    inks, tile = colours(rng, base, 3), blank(base)
    for row in range(int(rng.integers(2, 6))):
        word, font, size = str(rng.choice(WORDS)), int(rng.choice(FONTS)), rng.uniform(0.7, 1.8)
        draw = text(word, font, size, inks[int(rng.integers(1, 3))], int(rng.integers(1, 5)))
        wrapped(draw, tile, int(rng.integers(0, SIDE)), (row * 52 + 40) % SIDE, SIDE)
    return tile


def shapes(rng: Rng, base: Colour) -> Tile:
    """Stars, triangles, squares and hexagons, scattered."""
    inks, tile = colours(rng, base, 4), blank(base)
    corners, star = int(rng.choice([3, 4, 5, 6])), rng.random() < 0.5
    for _ in range(int(rng.integers(6, 40))):
        ink = inks[int(rng.integers(1, 4))]
        angle = rng.uniform(0, 6.3) + np.arange(corners * 2) * np.pi / corners
        radius = rng.uniform(8, 26) * np.where(np.arange(corners * 2) % 2, 0.45 if star else np.cos(np.pi / corners), 1)
        ring = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
        scattered(rng, polygon(ring, ink, bool(rng.random() < 0.7)), tile, 40)
    return tile


def lace(rng: Rng, base: Colour) -> Tile:
    """Rings and threads over a darker ground of the same colour."""
    factor = rng.uniform(0.45, 0.75)
    tile = blank((int(base[0] * factor), int(base[1] * factor), int(base[2] * factor)))
    count = int(rng.choice([3, 4, 5, 6]))
    gap = SIDE / count
    angles = np.arange(6) * np.pi / 3
    rays = [ray(int(gap * 0.46 * np.cos(a)), int(gap * 0.46 * np.sin(a)), base) for a in angles]
    draws = [*(circle(gap * r, base, 2) for r in (0.46, 0.3, 0.14)), *rays]
    for row in range(count):
        for column in range(count):
            for draw in draws:
                wrapped(draw, tile, int((column + 0.5 * (row % 2)) * gap) % SIDE, int(row * gap), SIDE // 2)
    return tile


def abstract(rng: Rng, base: Colour) -> Tile:
    """Brushed colours that run into each other."""
    inks = np.array(colours(rng, base, 4), np.float32)
    weight = np.stack([blobs(rng, rng.uniform(8, 26)) * 2 for _ in inks], -1)
    weight = np.exp(weight - weight.max(-1, keepdims=True))
    weight **= rng.uniform(1, 6)
    return np.asarray(np.clip((weight / weight.sum(-1, keepdims=True)) @ inks, 0, 255), np.uint8)


PATTERNS: dict[str, tuple[Callable[[Rng, Colour], Tile], tuple[float, float], float]] = {
    # a function, the width of a repeat in widths of the garment, and how often it is worn
    "stripes": (stripes, (0.12, 0.6), 4.0),
    "waves": (waves, (0.15, 0.5), 0.8),
    "check": (check, (0.08, 0.6), 3.5),
    "dots": (dots, (0.1, 0.6), 1.5),
    "flowers": (flowers, (0.25, 0.9), 3.5),
    "leaves": (leaves, (0.25, 0.9), 1.5),
    "camouflage": (camouflage, (0.4, 1.2), 1.2),
    "animal": (animal, (0.3, 0.8), 1.2),
    "letters": (letters, (0.4, 1.0), 0.8),
    "shapes": (shapes, (0.25, 0.9), 1.5),
    "lace": (lace, (0.15, 0.4), 1.0),
    "abstract": (abstract, (0.5, 1.5), 1.2),
}
