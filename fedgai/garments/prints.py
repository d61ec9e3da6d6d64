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
    hsv = np.uint8([[[rng.integers(0, 180), rng.integers(50, 230), rng.integers(50, 245)]]])
    if rng.random() < 0.25:
        hsv[..., 0] = rng.integers(100, 122)  # blues are common
    r, g, b = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
    return (int(r), int(g), int(b))


def blank(c: Colour) -> Tile:
    return np.full((SIDE, SIDE, 3), c, np.uint8)


def wrapped(draw: Callable[[Tile, int, int], None], tile: Tile, x: int, y: int, reach: int) -> None:
    """Draw at (x, y), and again where the drawing leaves the tile on one side and comes back on the other."""
    for dx in (-SIDE, 0, SIDE):
        for dy in (-SIDE, 0, SIDE):
            if -reach < x + dx < SIDE + reach and -reach < y + dy < SIDE + reach:
                draw(tile, x + dx, y + dy)


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
    return np.where(on[..., None], np.uint8(inks[1]), np.uint8(inks[0]))


def check(rng: Rng, base: Colour) -> Tile:
    """Gingham, windowpane or tartan: bands of warp and weft that mix where they cross."""
    kind = rng.integers(0, 3)
    inks = colours(rng, base, 4)
    warp = np.tile(np.float32(inks[0]), (SIDE, 1))
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
        base_ = np.float32(inks[0])
        line = np.abs(warp - base_).sum(1) > 0
        mixed = np.where((line[None] | line[:, None])[..., None], np.float32(inks[1]), base_)
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
            wrapped(
                lambda t, a, b, ink=ink: cv2.circle(t, (a, b), round(radius), ink, -1, cv2.LINE_AA),
                tile,
                int(x) % SIDE,
                int(y) % SIDE,
                SIDE // 2,
            )
    return tile


def flowers(rng: Rng, base: Colour) -> Tile:
    inks = colours(rng, base, 5)
    tile = blank(base)
    large = rng.random() < 0.4
    count = int(rng.integers(3, 8)) if large else int(rng.integers(10, 36))
    for _ in range(count):
        radius = rng.uniform(26, 52) if large else rng.uniform(7, 18)
        petals, turn, ink = int(rng.integers(4, 9)), rng.uniform(0, 6.3), inks[int(rng.integers(1, 4))]
        leaf = inks[4]

        def bloom(
            t: Tile,
            x: int,
            y: int,
            radius: float = radius,
            petals: int = petals,
            turn: float = turn,
            ink: Colour = ink,
            leaf: Colour = leaf,
        ) -> None:
            for k in range(2):
                a = turn + 2.6 * k
                cv2.ellipse(
                    t,
                    (round(x + 1.3 * radius * np.cos(a)), round(y + 1.3 * radius * np.sin(a))),
                    (round(radius * 0.6), round(radius * 0.22)),
                    np.degrees(a),
                    0,
                    360,
                    leaf,
                    -1,
                    cv2.LINE_AA,
                )
            dark = tuple(int(c * 0.75) for c in ink)
            for k in range(petals):
                a = turn + 2 * np.pi * k / petals
                at = (round(x + 0.6 * radius * np.cos(a)), round(y + 0.6 * radius * np.sin(a)))
                cv2.ellipse(
                    t,
                    at,
                    (round(radius * 0.5), round(radius * 0.3)),
                    np.degrees(a),
                    0,
                    360,
                    ink if k % 2 else dark,
                    -1,
                    cv2.LINE_AA,
                )
            cv2.circle(t, (x, y), max(1, round(radius * 0.25)), inks[3], -1, cv2.LINE_AA)

        wrapped(bloom, tile, int(rng.integers(0, SIDE)), int(rng.integers(0, SIDE)), 120)
    return tile


def leaves(rng: Rng, base: Colour) -> Tile:
    inks = colours(rng, base, 4)
    tile = blank(base)
    for _ in range(int(rng.integers(8, 40))):
        long, turn, ink = rng.uniform(14, 44), rng.uniform(0, 360), inks[int(rng.integers(1, 4))]
        thin = rng.uniform(0.15, 0.45)
        wrapped(
            lambda t, x, y, long=long, turn=turn, ink=ink, thin=thin: cv2.ellipse(
                t, (x, y), (round(long), max(1, round(long * thin))), turn, 0, 360, ink, -1, cv2.LINE_AA
            ),
            tile,
            int(rng.integers(0, SIDE)),
            int(rng.integers(0, SIDE)),
            60,
        )
    return tile


def blobs(rng: Rng, size: float) -> NDArray[np.float32]:
    """Smooth noise (SIDE, SIDE) that repeats, of unit variance."""
    raw = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
    pad = np.pad(raw, SIDE // 2, mode="wrap")
    smooth = cv2.GaussianBlur(pad, (0, 0), size)[SIDE // 2 : -SIDE // 2, SIDE // 2 : -SIDE // 2]
    return smooth / smooth.std()


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
    inks = colours(rng, base, 3)
    tile = blank(base)
    for row in range(int(rng.integers(2, 6))):
        word, font = str(rng.choice(WORDS)), int(rng.choice(FONTS))
        size = rng.uniform(0.7, 1.8)
        ink, thick = inks[int(rng.integers(1, 3))], int(rng.integers(1, 5))
        at = int(rng.integers(0, SIDE)), int((row * 52 + 40) % SIDE)
        wrapped(
            lambda t, x, y, w=word, f=font, s=size, i=ink, h=thick: cv2.putText(t, w, (x, y), f, s, i, h, cv2.LINE_AA),
            tile,
            *at,
            SIDE,
        )
    return tile


def shapes(rng: Rng, base: Colour) -> Tile:
    """Stars, triangles, squares, hearts in rows or scattered."""
    inks = colours(rng, base, 4)
    tile = blank(base)
    corners = int(rng.choice([3, 4, 5, 6]))
    star = rng.random() < 0.5
    for _ in range(int(rng.integers(6, 40))):
        radius, turn, ink = rng.uniform(8, 26), rng.uniform(0, 6.3), inks[int(rng.integers(1, 4))]
        a = turn + np.arange(corners * 2) * np.pi / corners
        r = radius * np.where(np.arange(corners * 2) % 2, 0.45 if star else np.cos(np.pi / corners), 1)
        ring = np.stack([r * np.cos(a), r * np.sin(a)], 1)
        solid = rng.random() < 0.7

        def stamp(t: Tile, x: int, y: int, ring: NDArray[np.float64] = ring, ink: Colour = ink, solid: bool = solid) -> None:
            points = [np.round(ring + np.array([x, y])).astype(np.int32)]
            cv2.fillPoly(t, points, ink, cv2.LINE_AA) if solid else cv2.polylines(t, points, True, ink, 3, cv2.LINE_AA)

        wrapped(stamp, tile, int(rng.integers(0, SIDE)), int(rng.integers(0, SIDE)), 40)
    return tile


def lace(rng: Rng, base: Colour) -> Tile:
    """Rings and threads over a darker or lighter ground of the same colour."""
    factor = rng.uniform(0.45, 0.75)
    tile = blank(tuple(int(c * factor) for c in base))
    count = int(rng.choice([3, 4, 5, 6]))
    gap = SIDE / count
    for row in range(count):
        for column in range(count):
            x, y = int((column + 0.5 * (row % 2)) * gap) % SIDE, int(row * gap)
            for r in (0.46, 0.3, 0.14):
                wrapped(lambda t, a, b, r=r: cv2.circle(t, (a, b), round(gap * r), base, 2, cv2.LINE_AA), tile, x, y, SIDE // 2)
            for k in range(6):
                a = k * np.pi / 3
                end = (int(gap * 0.46 * np.cos(a)), int(gap * 0.46 * np.sin(a)))
                wrapped(
                    lambda t, p, q, end=end: cv2.line(t, (p, q), (p + end[0], q + end[1]), base, 2, cv2.LINE_AA),
                    tile,
                    x,
                    y,
                    SIDE // 2,
                )
    return tile


def abstract(rng: Rng, base: Colour) -> Tile:
    """Brushed colours that run into each other."""
    inks = np.float32(colours(rng, base, 4))
    weight = np.stack([blobs(rng, rng.uniform(8, 26)) * 2 for _ in inks], -1)
    weight = np.exp(weight - weight.max(-1, keepdims=True))
    weight **= rng.uniform(1, 6)
    return np.clip((weight / weight.sum(-1, keepdims=True)) @ inks, 0, 255).astype(np.uint8)


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
