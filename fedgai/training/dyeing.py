"""Prints for real garments: a plain garment in a photograph is dyed with a print, its own shading kept.

What was seen in the photograph before dyeing is then right after it too: that is how the draughtsman learns on real
photographs to leave prints alone, without anybody's labels.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

TILE = 256  # px, side of one repeat of a print
ALONE = 0.25  # share of the prints that are put on in one place and do not repeat


def _colours(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) float32 sRGB in [0, 1], the first two well apart in lightness or hue."""
    hsv = np.stack([rng.uniform(0, 180, count), 255 * rng.beta(1.2, 1.2, count), 255 * rng.beta(1.3, 1, count)], 1)
    colours = cv2.cvtColor(hsv.astype(np.uint8)[None], cv2.COLOR_HSV2RGB)[0].astype(np.float32) / 255
    if np.abs(colours[0] - colours[1]).max() < 0.3:
        colours[1] = np.float32(1) - colours[0] if rng.random() < 0.5 else np.round(1 - colours[0].mean())
    chosen: np.ndarray = colours
    return chosen


def _profile(rng: np.random.Generator, bands: int) -> np.ndarray:
    """(TILE,) int, colour numbers of stripes across one repeat."""
    ends = np.sort(rng.choice(np.arange(1, TILE), 2 * bands - 1, replace=False))
    return np.searchsorted(ends, np.arange(TILE), side="right") % 2 + 2 * (rng.random() < 0.3) * (
        np.arange(TILE) < rng.integers(10, 80)
    )


def stripes(rng: np.random.Generator) -> np.ndarray:
    colours = _colours(rng, 5)
    profile = colours[_profile(rng, int(rng.choice([1, 2, 3, 4])))]
    tile = np.broadcast_to(profile[:, None], (TILE, TILE, 3))
    if rng.random() < 0.25:  # wavy
        x = np.arange(TILE, dtype=np.float32)
        shift = rng.uniform(6, 30) * np.sin(2 * np.pi * rng.integers(1, 4) * x / TILE)
        rows = (np.arange(TILE)[:, None] + shift.astype(np.int64)[None]) % TILE
        tile = profile[rows]
    return np.ascontiguousarray(tile)


def checks(rng: np.random.Generator) -> np.ndarray:
    colours = _colours(rng, 5)
    across, down = (colours[_profile(rng, int(rng.choice([1, 1, 2, 3])))] for _ in range(2))
    if rng.random() < 0.3:
        down = across
    share = rng.uniform(0.35, 0.65)
    tile = share * across[:, None] + (1 - share) * down[None]
    even: np.ndarray = tile.astype(np.float32)
    return even


def dots(rng: np.random.Generator) -> np.ndarray:
    colours = _colours(rng, 5)
    tile = np.broadcast_to(colours[0], (TILE, TILE, 3)).copy()
    count = int(rng.choice([1, 2, 4, 8]))
    radius = int(rng.uniform(0.12, 0.42) * TILE / count)
    for i in range(count + 1):
        for j in range(count + 1):
            offset = (i % 2) * TILE // (2 * count)
            centre = (j * TILE // count + offset, i * TILE // count)
            number = 1 + (i + j) % 3 * int(colours[4, 0] > 0.5)
            cv2.circle(tile, centre, max(2, radius), colours[number].tolist(), -1, cv2.LINE_AA)
    return tile


def floral(rng: np.random.Generator) -> np.ndarray:
    colours = _colours(rng, 6)
    tile = np.broadcast_to(colours[0], (TILE, TILE, 3)).copy()
    for _ in range(int(rng.integers(3, 22))):
        x, y, size = rng.uniform(0, TILE), rng.uniform(0, TILE), rng.uniform(6, 40)
        petals, turn = int(rng.integers(4, 9)), rng.uniform(0, np.pi)
        colour, heart = colours[rng.integers(1, 5)].tolist(), colours[5].tolist()
        for dx in (-TILE, 0, TILE):
            for dy in (-TILE, 0, TILE):
                if not -60 < x + dx < TILE + 60 or not -60 < y + dy < TILE + 60:
                    continue
                for k in range(petals):
                    angle = turn + 2 * np.pi * k / petals
                    centre = (int(x + dx + 0.6 * size * np.cos(angle)), int(y + dy + 0.6 * size * np.sin(angle)))
                    cv2.ellipse(
                        tile,
                        centre,
                        (max(1, int(0.55 * size)), max(1, int(0.28 * size))),
                        np.degrees(angle),
                        0,
                        360,
                        colour,
                        -1,
                        cv2.LINE_AA,
                    )
                cv2.circle(tile, (int(x + dx), int(y + dy)), max(1, int(0.25 * size)), heart, -1, cv2.LINE_AA)
    return tile


def camouflage(rng: np.random.Generator) -> np.ndarray:
    colours = _colours(rng, 4)
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
    fy, fx = np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None]
    fine = rng.uniform(2.5, 14) / TILE
    noise = np.fft.irfft2(spectrum * np.exp(-(fx**2 + (fy * rng.uniform(0.5, 2)) ** 2) / (2 * fine**2)), s=(TILE, TILE))
    level = np.digitize(noise, np.quantile(noise, [0.3, 0.55, 0.8]))
    return colours[level]


def lettering(rng: np.random.Generator) -> np.ndarray:
    colours = _colours(rng, 4)
    tile = (255 * np.broadcast_to(colours[0], (TILE, TILE, 3))).astype(np.uint8)
    for _ in range(int(rng.integers(1, 6))):
        text = "".join(rng.choice(list("ABCDEFGHIKLMNOPRSTUVWXYZ0123456789&"), int(rng.integers(2, 9))))
        at = (int(rng.uniform(-10, 0.5 * TILE)), int(rng.uniform(20, TILE)))
        cv2.putText(
            tile,
            text,
            at,
            int(rng.choice([0, 2, 3, 4, 6])),
            float(rng.uniform(0.7, 3.2)),
            (255 * colours[rng.integers(1, 4)]).tolist(),
            int(rng.integers(1, 9)),
            cv2.LINE_AA,
        )
    return tile.astype(np.float32) / 255


def zigzag(rng: np.random.Generator) -> np.ndarray:
    colours = _colours(rng, 5)
    y, x = np.mgrid[:TILE, :TILE]
    count = int(rng.choice([2, 4, 8, 16]))
    saw = np.abs(x * count / TILE % 1 - 0.5) * rng.uniform(0.3, 2.0)
    if rng.random() < 0.5:  # diamonds
        saw = saw + np.abs(y * count / TILE % 1 - 0.5)
        diamonds: np.ndarray = colours[(saw * rng.integers(2, 6)).astype(np.int64) % 3]
        return diamonds
    zigzags: np.ndarray = colours[((y * count / TILE + saw) * 2).astype(np.int64) % int(rng.choice([2, 3]))]
    return zigzags


def argyle(rng: np.random.Generator) -> np.ndarray:
    """Large diamonds in two or three colours, often with thin lines laid across them."""
    colours = _colours(rng, 5)
    y, x = np.mgrid[:TILE, :TILE] / TILE
    across = np.abs(x - 0.5) + np.abs(y - 0.5)  # 0.5 on the rim of the diamond in the middle
    tile = np.where((across < 0.5)[..., None], colours[1], colours[0])
    if rng.random() < 0.5:
        tile = np.where((across < rng.uniform(0.15, 0.4))[..., None], colours[2], tile)
    if rng.random() < 0.7:
        thin = rng.uniform(0.005, 0.03)
        lines = np.minimum(np.abs((x + y) % 1 - 0.5), np.abs((x - y) % 1 - 0.5)) < thin
        tile = np.where(lines[..., None], colours[3], tile)
    diamonds: np.ndarray = tile.astype(np.float32)
    return diamonds


def windowpane(rng: np.random.Generator) -> np.ndarray:
    """A wide grid of thin lines, single or in pairs."""
    colours = _colours(rng, 4)
    tile = np.broadcast_to(colours[0], (TILE, TILE, 3)).copy()
    thick, apart = int(rng.integers(2, 16)), int(rng.integers(20, 60))
    for number, axis in enumerate(rng.permutation(2)[: int(rng.choice([1, 2, 2]))]):
        for start in (40, 40 + apart)[: int(rng.choice([1, 2]))]:
            band = (slice(start, start + thick), slice(None)) if axis else (slice(None), slice(start, start + thick))
            tile[band] = colours[1 + number]
    return tile


PRINTS: tuple[Callable[[np.random.Generator], np.ndarray], ...] = (
    stripes,
    checks,
    dots,
    floral,
    camouflage,
    lettering,
    zigzag,
    argyle,
    windowpane,
)


def words(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One to four lines of lettering: (TILE, TILE, 3) float32 sRGB in [0, 1], and (TILE, TILE) float32, 1 where they are."""
    colours = _colours(rng, 4)
    tile, cover = np.empty((TILE, TILE, 3), np.float32), np.zeros((TILE, TILE), np.uint8)
    lines = int(rng.integers(1, 5))
    for i in range(lines):
        text = "".join(rng.choice(list("ABCDEFGHIKLMNOPRSTUVWXYZabcdeghiklmnorstu0123456789"), int(rng.integers(2, 9))))
        font, thick = int(rng.choice([0, 2, 3, 4, 6])), int(rng.integers(3, 12))
        width, height = cv2.getTextSize(text, font, 1, thick)[0]
        scale = min(0.9 * TILE / width, 0.75 * TILE / lines / height)
        at = (int(0.5 * (TILE - scale * width)), int((i + 0.85) * TILE / lines))
        cv2.putText(cover, text, at, font, scale, 255, thick, cv2.LINE_AA)
        tile[i * TILE // lines : (i + 1) * TILE // lines] = colours[rng.integers(4)]
    return tile, cover.astype(np.float32) / 255


def picture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A shape filled with a print or one colour, such as a badge or a photograph; as ``words``."""
    tile = PRINTS[rng.integers(len(PRINTS))](rng).astype(np.float32)
    if rng.random() < 0.3:
        tile = np.broadcast_to(_colours(rng, 2)[0], (TILE, TILE, 3)).copy()
    corners = int(rng.choice([4, 4, 40, 40, 3, 5, 6, 11]))
    angles = 2 * np.pi * (np.arange(corners) + (0.5 if corners == 4 else 0)) / corners - np.pi / 2
    radii = np.where(np.arange(corners) % 2, rng.uniform(0.45, 1), 1) if corners == 11 else np.ones(corners)
    sides = np.array([1.0, rng.uniform(0.4, 1)]) * (0.48 * TILE / np.abs(np.cos(angles)).max())
    ring = TILE / 2 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1) * sides
    cover = np.zeros((TILE, TILE), np.float32)
    cv2.fillPoly(cover, [np.rint(ring.clip(1, TILE - 2)).astype(np.int32)], 1.0, cv2.LINE_AA)
    if rng.random() < 0.4:
        drawn, letters = words(rng)
        inside = (letters * cover)[..., None]
        tile += inside * (drawn - tile)
    return tile, cover


def dye_photograph(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Dye the garment in a photograph with a random print: the print's albedo times the photograph's own shading.

    Args:
        photo: (H, W, 3) uint8 RGB, its garment plain.
        mask: (H, W) float32 in [0, 1].
        rng: for print, colours, place and size.

    Returns:
        The dyed photograph (H, W, 3) uint8, and where the print has edges, (H, W) float32 in [0, 1].
    """
    height, width = photo.shape[:2]
    if rng.random() < ALONE:
        return _put_on(photo, mask, rng)
    tile = PRINTS[rng.integers(len(PRINTS))](rng)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    repeat = float(np.exp(rng.uniform(np.log(0.1), np.log(1.1)))) * max(height, width)  # px, one repeat in the photograph
    turn = float(rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)], p=[0.45, 0.2, 0.35]) + rng.normal(0, 0.06))
    bend = [
        cv2.resize(rng.standard_normal((5, 5)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(2)
    ]
    reach = rng.uniform(0, 0.02) * max(height, width)
    u = (x * np.cos(turn) + y * np.sin(turn) + reach * bend[0]) * (TILE / repeat) + rng.uniform(0, TILE)
    v = (y * np.cos(turn) - x * np.sin(turn) + reach * bend[1]) * (TILE / repeat) + rng.uniform(0, TILE)
    blurred = cv2.GaussianBlur(tile.astype(np.float32), (0, 0), max(0.3, 0.4 * TILE / repeat))
    albedo = cv2.remap(blurred, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP).clip(
        0, 1
    )
    return _lit(photo, mask, albedo, np.ones(mask.shape, np.float32))


def _put_on(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One print in one place, as on the front of a T-shirt; the cloth around it keeps its own colour. As ``dye_photograph``."""
    tile, cover = (words, picture)[rng.integers(2)](rng)
    rows, columns = (np.flatnonzero((mask > 0.5).any(axis)) for axis in (1, 0))
    top, left, tall, wide = rows[0], columns[0], np.ptp(rows) + 1, np.ptp(columns) + 1
    size = float(np.exp(rng.uniform(np.log(0.15), np.log(0.7)))) * min(tall, wide)
    centre = left + wide * rng.normal(0.5, 0.12), top + tall * rng.uniform(0.2, 0.75)
    turn, scale = rng.normal(0, 4), size / TILE
    matrix = cv2.getRotationMatrix2D((TILE / 2, TILE / 2), turn, scale)
    matrix = np.asarray(matrix) + np.array([[0, 0, centre[0] - TILE / 2], [0, 0, centre[1] - TILE / 2]])
    to = photo.shape[1::-1]
    albedo = cv2.warpAffine(tile, matrix, to, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE).clip(0, 1)
    cover = cv2.warpAffine(cover, matrix, to, flags=cv2.INTER_AREA)
    soft = rng.uniform(0.3, 1.2)
    return _lit(photo, mask, cv2.GaussianBlur(albedo, (0, 0), soft), cv2.GaussianBlur(cover, (0, 0), soft))


def _lit(photo: np.ndarray, mask: np.ndarray, albedo: np.ndarray, cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A print's (H, W, 3) albedo in the photograph's own light, laid on where (H, W) ``cover`` is 1. As ``dye_photograph``."""
    linear = (photo.astype(np.float32) / 255) ** 2.2
    light = linear @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    shading = np.clip(light / max(float(np.quantile(light[mask > 0.5], 0.8)), 1e-3), 0, 1.4)[..., None]
    dyed = (0.03 + 0.85 * albedo**2.2) * shading
    mixed = linear + (mask * cover)[..., None] * (dyed - linear)
    edges = np.zeros(mask.shape, np.float32)
    for plane in (*np.moveaxis(albedo * cover[..., None], -1, 0), cover):
        slopes = [cv2.Sobel(np.ascontiguousarray(plane), cv2.CV_32F, *way) for way in ((1, 0), (0, 1))]
        edges = np.maximum(edges, np.abs(slopes).max(0) * (cover > 0))
    return (255 * np.clip(mixed, 0, 1) ** (1 / 2.2) + 0.5).astype(np.uint8), np.clip(edges, 0, 1) * mask
