"""What a garment is made of: colours, a print that follows the cloth and breaks at seams, weave and sheen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fedgai.garments.garment import Garment
from fedgai.garments.outline import Array
from fedgai.garments.prints import FONTS, PATTERNS, SIDE, WORDS, Colour, Rng, Tile, colour

Float = Array  # float32
HANGERS: tuple[Colour, ...] = ((24, 24, 26), (240, 240, 238), (190, 140, 84), (150, 152, 158), (120, 70, 40), (60, 90, 160))
SKINS: tuple[Colour, ...] = ((232, 190, 160), (224, 172, 136), (198, 140, 104), (150, 98, 68), (98, 62, 44), (240, 206, 184))
HAIRS: tuple[Colour, ...] = ((28, 22, 20), (70, 46, 30), (150, 110, 64), (190, 160, 110), (120, 120, 120))
PLAIN, PLACED = 0.34, 0.16  # shares of garments without a print, and with one in a single place


@dataclass
class Fabric:
    """A garment's cloth, pixel by pixel.

    Attributes:
        albedo: (H, W, 3), linear, 0 to 1.
        texture: (H, W), how threads and stitches change the light, about 1.
        sheen: (H, W), how much of ``Garment.gloss`` is seen.
        printed: (H, W, 3), the print alone, sRGB 0 to 255, black where there is none.
        pattern: its name.
    """

    albedo: Float
    texture: Float
    sheen: Float
    printed: Float
    pattern: str


def patterns() -> tuple[str, ...]:
    """Every name that ``fabric`` knows."""
    return ("plain", "badge", "bands", *PATTERNS)


def chosen(rng: Rng) -> str:
    """A pattern's name, chosen about as often as people wear it."""
    kind = rng.random()
    if kind < PLAIN:
        return "plain"
    if kind < PLAIN + PLACED:
        return "badge" if rng.random() < 0.7 else "bands"
    weights = np.array([weight for _, _, weight in PATTERNS.values()])
    return list(PATTERNS)[int(rng.choice(len(PATTERNS), p=weights / weights.sum()))]


def fabric(garment: Garment, rng: Rng, pattern: str) -> Fabric:
    """Choose colours and a cloth for every part of a garment."""
    base, second = colour(rng), colour(rng)
    second = second if rng.random() < 0.75 else base
    labels = garment.parts
    table = _colours(garment, rng, base, second)
    tinted = table[labels]
    printed = np.zeros_like(tinted)
    if pattern != "plain":
        mask = _wearing(garment, rng)[labels][..., None]
        if pattern == "badge":
            mask, image = _badge(garment, rng, base)
        elif pattern == "bands":
            image = _bands(garment, rng, base)
        else:
            make, (low, high), _ = PATTERNS[pattern]
            image = _laid(garment, rng, make(rng, base), float(np.exp(rng.uniform(np.log(low), np.log(high)))))
        tinted, printed = np.where(mask, image, tinted), np.where(mask, image, printed)
    elif rng.random() < 0.08:
        tinted = tinted + (_faded(garment, rng) * (labels > 0))[..., None] * (np.array(second, np.float32) - tinted)
    shade = (1 + rng.uniform(0, 0.05) * rng.standard_normal(len(table))).astype(np.float32)  # of each cut
    albedo = (np.clip(tinted, 4, 250) / 255) ** np.float32(2.2) * shade[labels][..., None]
    return Fabric(_washed(garment, rng, albedo), _texture(garment, rng), _sheen(garment, rng), printed, pattern)


def _colours(garment: Garment, rng: Rng, base: Colour, second: Colour) -> Float:
    """The colour (n, 3), sRGB, of each part."""
    grey = int(rng.integers(120, 210))
    other: dict[str, Colour] = {
        "second": second,
        "rib": base if rng.random() < 0.7 else second,
        "collar": base if rng.random() < 0.85 else second,
        "lining": _darker(base, 0.8) if rng.random() < 0.5 else colour(rng),
        "trim": _darker(base, 0.7),
        "label": (230, 228, 222) if rng.random() < 0.7 else colour(rng),
        "button": colour(rng) if rng.random() < 0.6 else base,
        "metal": (grey, grey, grey) if rng.random() < 0.6 else (176, 138, 80),
        "cord": colour(rng) if rng.random() < 0.5 else base,
        "hanger": HANGERS[int(rng.integers(0, len(HANGERS)))],
        "clip": (150, 150, 154),
        "tag": (236, 234, 228) if rng.random() < 0.7 else colour(rng),
        "skin": SKINS[int(rng.integers(0, len(SKINS)))],
        "hair": HAIRS[int(rng.integers(0, len(HAIRS)))],
        "other": colour(rng),
    }
    return np.array([(0, 0, 0), *(other.get(role, base) for role in garment.roles[1:])], np.float32)


def _darker(c: Colour, factor: float) -> Colour:
    return (int(c[0] * factor), int(c[1] * factor), int(c[2] * factor))


def _wearing(garment: Garment, rng: Rng) -> NDArray[np.bool_]:
    """Which parts (n,) are cut from the printed cloth."""
    wears = {"main"} | {role for role, share in (("collar", 0.8), ("second", 0.3), ("lining", 0.5)) if rng.random() < share}
    return np.array([role in wears for role in garment.roles])


def pixels_wide(garment: Garment) -> float:
    """The garment's width in the picture."""
    columns = np.flatnonzero(garment.alpha.max(0) > 127)
    return float(np.ptp(columns)) + 1 if len(columns) else 1.0


def _laid(garment: Garment, rng: Rng, tile: Tile, repeat: float) -> Float:
    """A tile on the cloth, (H, W, 3); every part is cut from another place of it.

    Args:
        repeat: its width in widths of the garment; more where it would be too fine to be seen.
    """
    wide = pixels_wide(garment)
    repeat = max(repeat, 36 / wide)
    count = len(garment.roles)
    shift = rng.uniform(0, 1, (count, 2)).astype(np.float32)
    turn = np.radians(rng.choice([0, 90, 45], p=[0.85, 0.05, 0.1]) + rng.normal(0, 1.2, count))
    cos, sin = np.cos(turn).astype(np.float32)[garment.parts], np.sin(turn).astype(np.float32)[garment.parts]
    uv, move = garment.uv.astype(np.float32) / np.float32(repeat), shift[garment.parts]
    u = (uv[..., 0] * cos - uv[..., 1] * sin + move[..., 0]) % 1 * SIDE
    v = (uv[..., 0] * sin + uv[..., 1] * cos + move[..., 1]) % 1 * SIDE
    fine = SIDE / (repeat * wide)  # pixels of the tile in one of the picture
    if fine > 1.5:
        padded = np.pad(tile, ((16, 16), (16, 16), (0, 0)), mode="wrap")
        tile = np.asarray(cv2.GaussianBlur(padded, (0, 0), 0.35 * fine)[16:-16, 16:-16], np.uint8)
    return cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP).astype(np.float32)


def _bands(garment: Garment, rng: Rng, base: Colour) -> Float:
    """A few bands of colour across every part, (H, W, 3)."""
    profile = np.full((512, 3), base, np.float32)  # from -1 to 1 width of the garment along the cloth
    middle = int(rng.integers(170, 330))
    for _ in range(int(rng.integers(1, 5))):
        wide = int(rng.integers(6, 60))
        profile[middle : middle + wide] = colour(rng)
        middle += wide + int(rng.integers(0, 30))
    along = np.clip((garment.uv[..., 1].astype(np.float32) + 1) * 256, 0, 511)
    low = np.minimum(along.astype(int), 510)
    share = np.clip((along - low) * 512 / (2 * pixels_wide(garment)), 0, 1)[..., None]  # a border is one pixel soft
    return np.asarray(profile[low] * (1 - share) + profile[low + 1] * share)


def _badge(garment: Garment, rng: Rng, base: Colour) -> tuple[NDArray[np.bool_], Float]:
    """A print in one place of the largest part: where it can be (H, W, 1), and the part's colours (H, W, 3)."""
    sizes = np.bincount(garment.parts.ravel(), minlength=len(garment.roles))
    sizes[[i for i, role in enumerate(garment.roles) if role != "main"]] = 0
    largest = (garment.parts == int(sizes.argmax()))[..., None]
    art, cover = _artwork(rng)
    size = np.float32(rng.uniform(0.14, 0.55) if rng.random() < 0.75 else rng.uniform(0.05, 0.1))
    at = np.array([rng.uniform(-0.14, 0.14), rng.uniform(-0.4, 0.1)], np.float32)
    uv = ((garment.uv.astype(np.float32) - at) / size + np.float32(0.5)) * SIDE
    image = cv2.remap(art, uv[..., 0], uv[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    share = cv2.remap(cover, uv[..., 0], uv[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[..., None] / np.float32(
        255
    )
    ground = np.array(base, np.float32)
    return largest, ground + share * (image - ground)


def _artwork(rng: Rng) -> tuple[Tile, NDArray[np.uint8]]:
    """A picture (SIDE, SIDE, 3) and where it is printed (SIDE, SIDE)."""
    art, cover = np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    choice = rng.integers(0, 4)
    if choice == 3:  # a round or square window on a pattern
        art = PATTERNS[str(rng.choice(list(PATTERNS)))][0](rng, colour(rng))
        if rng.random() < 0.5:
            cv2.circle(cover, (128, 128), 110, (255,), -1, cv2.LINE_AA)
        else:
            cv2.rectangle(cover, (20, 50), (236, 206), (255,), -1)
        return art, cover
    if choice == 2:
        for _ in range(int(rng.integers(2, 7))):
            line = np.zeros_like(cover)
            (x, y), (a, b) = rng.integers(60, 200, 2), rng.integers(10, 60, 2)
            cv2.ellipse(
                line,
                (int(x), int(y)),
                (int(a), int(b)),
                rng.uniform(0, 180),
                0,
                360,
                (255,),
                int(rng.choice([-1, 4])),
                cv2.LINE_AA,
            )
            art[line > 0], cover = colour(rng), np.maximum(cover, line)
    ink = colour(rng)
    for row in range(int(rng.integers(1, 4))):
        word, font = str(rng.choice(WORDS)), int(rng.choice(FONTS))
        line = np.zeros_like(cover)
        size = min(240 / cv2.getTextSize(word, font, 1, 3)[0][0], 2.4)
        cv2.putText(line, word, (8, min(70 + 70 * row, 246)), font, size, (255,), int(rng.integers(2, 9)), cv2.LINE_AA)
        art[line > 0], cover = ink, np.maximum(cover, line)
    return art, cover


def _faded(garment: Garment, rng: Rng) -> Float:
    """How much of a second colour is seen (H, W): more towards one end, as in an ombre."""
    height = np.linspace(-1, 1, garment.alpha.shape[0], dtype=np.float32)[:, None]
    middle, soft = rng.uniform(-0.3, 0.3), rng.uniform(0.15, 0.5)
    return np.broadcast_to(1 / (1 + np.exp(-(height - np.float32(middle)) / np.float32(soft))), garment.alpha.shape).astype(
        np.float32
    )


def _washed(garment: Garment, rng: Rng, albedo: Float) -> Float:
    """Cloth that is paler where it was rubbed: on ridges, and in the middle of its parts, as denim is."""
    if rng.random() > 0.18:
        return albedo
    ridge = np.clip(garment.light.astype(np.float32) - 0.95, -0.3, 0.4)
    middle = np.exp(-((garment.uv[..., 0].astype(np.float32) / np.float32(0.16)) ** 2))
    pale = np.clip(rng.uniform(0.2, 0.7) * ridge + rng.uniform(0, 0.16) * middle, -0.1, 0.5)[..., None]
    return np.asarray(np.clip(albedo + pale * (np.float32(0.6) - albedo), 0.003, 1).astype(np.float32))


def _texture(garment: Garment, rng: Rng) -> Float:
    shape, unit = garment.alpha.shape, np.float32(max(garment.alpha.shape) / 512)
    raw = rng.standard_normal(shape, np.float32)
    strength = rng.uniform(0.01, 0.05)
    texture = 1 + strength * (0.4 * raw + 2 * cv2.GaussianBlur(raw, (0, 0), 1.2 * float(unit)))
    s, t = (garment.uv[..., axis].astype(np.float32) for axis in (0, 1))
    kind, wide = rng.random(), pixels_wide(garment)
    if kind < 0.2:  # linen or denim: slubs along the cloth
        texture += rng.uniform(0.1, 0.3) * cv2.GaussianBlur(raw, (0, 0), 0.8 * float(unit), sigmaY=5 * float(unit))
    elif kind < 0.4:  # a knit whose stitches are seen
        period = np.float32(max(rng.uniform(0.018, 0.045), 4 / wide))
        rows = t / period + np.abs(s / period % 1 - np.float32(0.5)) * np.float32(1.6)
        texture += rng.uniform(0.02, 0.12) * np.cos(2 * np.pi * rows) * np.abs(np.cos(np.pi * s / period))
    elif kind < 0.46:  # corduroy
        texture += rng.uniform(0.05, 0.16) * np.cos(2 * np.pi * s / np.float32(max(rng.uniform(0.016, 0.04), 4 / wide)))
    ribs = np.isin(garment.parts, [i for i, role in enumerate(garment.roles) if role == "rib"])
    if ribs.any():
        period = np.float32(max(rng.uniform(0.016, 0.034), 4 / wide))
        texture += ribs * rng.uniform(0.04, 0.2) * np.cos(2 * np.pi * s / period)
    return texture.astype(np.float32)


def _sheen(garment: Garment, rng: Rng) -> Float:
    """How shiny each part is: little, but for satin, leather, buttons and metal."""
    cloth = rng.uniform(0.0, 0.06) if rng.random() < 0.8 else rng.uniform(0.1, 0.4)
    table = np.array([{"metal": 0.5, "button": 0.25}.get(role, cloth) for role in garment.roles], np.float32)
    return table[garment.parts]
