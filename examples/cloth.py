"""Coloured cloth under studio light: pieces cut, folded, sewn and stacked into a picture, for `render.py`.

Outlines, folds and light are those of `fedgai.garments`; colours, weaves and prints are added here. A garment is a list of
`Piece`s, painted from the back to the front and lit by one key light from the upper left and a soft fill from the right.
Lengths are pixels of the finished picture, x to the right and y down; drawing happens `SCALE` times finer.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fedgai.garments import light, outline
from fedgai.garments.drape import Grid, blur, bunch, crease, crumple, drape, fan, noise, pleats, press
from fedgai.garments.outline import Array, Point, disc, fill, path, quad

__all__ = [
    "Array",
    "Cloth",
    "Piece",
    "Point",
    "Seam",
    "bunch",
    "crease",
    "crumple",
    "disc",
    "drape",
    "fan",
    "noise",
    "path",
    "photograph",
    "pleats",
    "press",
    "quad",
]

WIDTH, HEIGHT, SCALE = 576, 768, 2
SUNLIGHT = (1.0, 0.98, 0.95)  # red, green and blue of what cloth reflects
mirror, symmetric = partial(outline.mirror, width=WIDTH), partial(outline.symmetric, width=WIDTH)


# Cloth ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cloth:
    """A fabric: its colour (sRGB hex), its weave, an optional print and how it answers light (0 to 1)."""

    colour: str
    weave: Callable[[Array, Array, np.random.Generator], Array]
    print: Callable[[Array, Array, np.random.Generator], Array] | None = None
    ink: str = "#ffffff"
    mottle: float = 0.05
    worn: float = 0.0
    sheen: float = 0.05


@dataclass
class Seam:
    """A line (n, 2) sewn into a piece: a groove, a pucker around it, and optionally a row of stitches in `thread`."""

    line: Array
    thread: str | None = None
    groove: float = 1.2
    dash: tuple[float, float] = (4.5, 2.5)
    width: float = 0.8


@dataclass
class Piece:
    """A part of a garment, cut to `outline` (n, 2).

    `grain` turns the cloth's length from the vertical, in degrees; `depth` is the body's height over `roundness` pixels
    from the edge, or only from the sides of a `tube`, whose ends are open; `lift` is how far the piece stands off what
    lies under it; `tone` darkens what light hardly reaches; `topstitch` lists distances from the edge that carry a row
    of stitches in `thread`; `wobble` is how far, in pixels, the cut strays from the outline.
    """

    outline: Array
    cloth: Cloth
    grain: float = 0.0
    depth: float = 10.0
    roundness: float = 22.0
    folds: list[Callable[["Grid"], Array]] = field(default_factory=list)
    seams: list[Seam] = field(default_factory=list)
    tube: bool = False
    lift: float = 3.0
    tone: float = 1.0
    topstitch: tuple[float, ...] = ()
    thread: str = "#d8d2c4"
    wobble: float = 0.8


def linear(colour: str) -> Array:
    """An sRGB hex colour as linear light (3,), 0 to 1."""
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32) ** 2.2


# Weaves: heights in pixels from cloth coordinates s, t (h, w); and prints: ink, 0 to 1 --------------------------------


def plain(s: Array, t: Array, rng: np.random.Generator) -> Array:
    """A fine tabby weave, nearly smooth."""
    grains = blur(rng.standard_normal(s.shape).astype(np.float32), 0.9)
    return 0.06 * np.cos(2 * np.pi * s / 2.4) * np.cos(2 * np.pi * t / 2.4) + 0.16 * grains


def twill(s: Array, t: Array, rng: np.random.Generator) -> Array:
    """Fine diagonal lines."""
    grains = blur(rng.standard_normal(s.shape).astype(np.float32), 1.0)
    return 0.1 * np.cos(2 * np.pi * (s + t) / 3.4) + 0.15 * grains


def denim(s: Array, t: Array, rng: np.random.Generator) -> Array:
    """Heavy twill with slubs along the warp."""
    raw = rng.standard_normal(s.shape).astype(np.float32)
    slubs = cv2.GaussianBlur(raw, (0, 0), 0.9, sigmaY=9)
    return 0.14 * np.cos(2 * np.pi * (s - t) / 3.6) + 0.9 * slubs + 0.22 * blur(raw, 0.9)


def fleece(s: Array, t: Array, rng: np.random.Generator) -> Array:
    """Soft jersey: little regular structure, some fuzz."""
    raw = rng.standard_normal(s.shape).astype(np.float32)
    return 0.35 * blur(raw, 1.3) + 0.5 * blur(raw, 3)


def satin(s: Array, t: Array, rng: np.random.Generator) -> Array:
    """No structure to see."""
    return 0.05 * blur(rng.standard_normal(s.shape).astype(np.float32), 1.2)


def rib(period: float = 7.0, height: float = 1.7) -> Callable[[Array, Array, np.random.Generator], Array]:
    """Knitted ribs along the cloth, `period` pixels apart."""

    def weave(s: Array, t: Array, rng: np.random.Generator) -> Array:
        columns = np.abs(np.cos(np.pi * s / period)) ** 0.7
        stitches = np.cos(2 * np.pi * (t + 0.9 * np.abs((s / period % 1) - 0.5) * period) / 3.6)
        return height * columns + 0.12 * stitches + fleece(s, t, rng) * 0.5

    return weave


def cables(s: Array, t: Array, rng: np.random.Generator) -> Array:
    """An Aran knit: braids every 56 pixels, moss stitch and cords between them."""
    across = (s + 28) % 56 - 28
    phase = 2 * np.pi * t / 42
    strands = []
    for turn in (0, 2 * np.pi / 3, 4 * np.pi / 3):
        reach = across - 8.5 * np.sin(phase + turn)
        strands.append(np.exp(-((reach / 4.2) ** 4)) * (3.0 + 1.1 * np.cos(2 * (phase + turn))))
    braid = np.maximum.reduce(strands)
    cords = 2.0 * np.exp(-(((np.abs(across) - 19.5) / 2.2) ** 2))
    moss = 0.5 * np.cos(2 * np.pi * s / 5) * np.cos(2 * np.pi * t / 5) * (np.abs(across) > 22)
    loops = 0.16 * np.cos(2 * np.pi * (t + 0.8 * np.abs(across % 4 - 2)) / 3.6)
    return braid + cords + moss + loops + 0.5 * fleece(s, t, rng)


def stripes(period: float, share: float = 0.4) -> Callable[[Array, Array, np.random.Generator], Array]:
    """Stripes along the cloth, `period` pixels apart, `share` of it inked."""

    def ink(s: Array, t: Array, rng: np.random.Generator) -> Array:
        return np.clip((np.cos(2 * np.pi * s / period) - np.cos(np.pi * share)) * period / 5 + 0.5, 0, 1)

    return ink


def check(period: float) -> Callable[[Array, Array, np.random.Generator], Array]:
    """A windowpane check over a broad plaid."""

    def ink(s: Array, t: Array, rng: np.random.Generator) -> Array:
        wide = sum(np.clip(3 * np.cos(2 * np.pi * a / period), 0, 1) for a in (s, t)) * 0.17
        fine = np.maximum(*(np.exp(-(((a % period - period / 2) / 1.3) ** 2)) for a in (s, t)))
        return np.clip(wide + 0.6 * fine, 0, 1)

    return ink


def blossom(period: float) -> Callable[[Array, Array, np.random.Generator], Array]:
    """Small five-petalled flowers, one scattered in each `period` pixels square."""

    def ink(s: Array, t: Array, rng: np.random.Generator) -> Array:
        shift = rng.uniform(0.3, 0.7, (64, 64, 2))
        size = rng.uniform(0.17, 0.27, (64, 64)) * period
        turn = rng.uniform(0, 6.3, (64, 64))
        column = np.floor(s / period).astype(int) % 64
        line = np.floor(t / period + 0.5 * (column % 2)).astype(int) % 64
        dx = (s / period % 1 - shift[line, column, 0]) * period
        dy = ((t / period + 0.5 * (column % 2)) % 1 - shift[line, column, 1]) * period
        radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx) + turn[line, column]
        petal = size[line, column] * (0.78 + 0.3 * np.cos(5 * angle))
        return np.clip(petal - radius + 0.5, 0, 1) * np.clip(radius - 0.2 * size[line, column] + 0.3, 0.15, 1)

    return ink


# Light ---------------------------------------------------------------------------------------------------------------


@dataclass
class Layer:
    """A finished piece: linear colour (h, w, 3), coverage (h, w), its upper left corner, at SCALE, and its lift."""

    colour: Array
    cover: Array
    left: int
    top: int
    lift: float


def make(piece: Piece, rng: np.random.Generator) -> Layer:
    """Cut, fold, sew and light one piece."""
    cut = _waver(piece.outline, piece.wobble, rng)
    grid, left, top = Grid.straight(cut, piece.grain, rng)
    local = cut - (left, top)
    cover = fill(local, grid.shape, SCALE)
    coarse = _volume(grid, piece)
    for folds in piece.folds:
        coarse = coarse + folds(grid)
    coarse = coarse.astype(np.float32)
    s, t = (_finer(axis - 0.55 * slope) for axis, slope in zip((grid.s, grid.t), _slopes(coarse, 1), strict=True))
    fine = _finer(coarse) + piece.cloth.weave(s, t, rng).astype(np.float32)
    albedo = _dye(piece.cloth, s, t, fine - _finer(blur(coarse, 5)), rng)
    rows = [Seam(ring, piece.thread, 0.4) for inset in piece.topstitch for ring in _inset(cover, inset)]
    for seam in [Seam(s.line - (left, top), s.thread, s.groove, s.dash, s.width) for s in piece.seams] + rows:
        _sew(seam, fine, albedo, rng)
    diffuse, gloss = light.shade(fine, _finer(light.occlusion(coarse, grid.mask)), SCALE)
    lit = np.stack([diffuse, *(piece.cloth.sheen * gloss * tint for tint in SUNLIGHT)], -1).astype(np.float32)
    colour = albedo * lit[..., :1] * piece.tone + lit[..., 1:]
    return Layer(colour, cover, left * SCALE, top * SCALE, piece.lift)


def photograph(pieces: Sequence[Piece], backdrop: Piece, seed: int, glow: float = 0.2) -> Array:
    """The picture (HEIGHT, WIDTH, 3), uint8 RGB, of `pieces` from the back to the front, lying on `backdrop`.

    `glow` is how much brighter the upper left of the backdrop is than its lower right.
    """
    rng = np.random.default_rng(seed)
    size = (HEIGHT * SCALE, WIDTH * SCALE)
    picture = np.zeros((*size, 3), np.float32)
    _paste(picture, np.zeros(size, np.float32), make(backdrop, rng))
    yy, xx = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32) / size[0]
    picture *= (1 + glow * (0.75 - np.hypot(xx - 0.3, yy - 0.3) * 1.5))[..., None]
    layers = [make(piece, rng) for piece in pieces]
    garment = np.zeros(size, np.float32)
    for layer in layers:
        _paste(None, garment, layer)
    picture *= 1 - _contact_shadow(garment)[..., None]
    beneath = np.zeros(size, np.float32)
    for layer in layers:
        _shade_beneath(picture, beneath, layer)
        _paste(picture, beneath, layer)
    small = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    toned = np.clip(small, 0, None)
    toned = np.where(toned > 0.7, 0.7 + 0.3 * np.tanh((toned - 0.7) / 0.3), toned)
    return (255 * toned ** (1 / 2.2) + 0.5).astype(np.uint8)


def _waver(outline: Array, amount: float, rng: np.random.Generator) -> Array:
    drift = gaussian_filter1d(rng.standard_normal(outline.shape), 6, axis=0, mode="wrap")
    return outline + amount * drift * 4


def _finer(field_: Array) -> Array:
    return cv2.resize(field_.astype(np.float32), None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)


def _slopes(height: Array, scale: int) -> tuple[Array, Array]:
    down, right = np.gradient(height)
    return right * scale, down * scale


def _volume(grid: Grid, piece: Piece) -> Array:
    def dome(rise: Array) -> Array:
        rise = np.clip(rise, 0, 1)
        return rise * (2 - rise)

    wide = blur(grid.side, 3) / (1.6 * piece.roundness) if piece.tube else 2 * blur(grid.mask, piece.roundness) - 1
    return piece.depth * dome(wide) + 1.6 * dome(2 * blur(grid.mask, 2.2) - 1)


def _dye(cloth: Cloth, s: Array, t: Array, relief: Array, rng: np.random.Generator) -> Array:
    albedo = np.broadcast_to(linear(cloth.colour), (*s.shape, 3)).copy()
    if cloth.print:
        ink = cloth.print(s, t, rng)[..., None].astype(np.float32)
        albedo += ink * (linear(cloth.ink) - albedo)
    raw = rng.standard_normal(s.shape).astype(np.float32)
    shade = 1 + cloth.mottle * (1.2 * raw + 6 * blur(raw, 3) + 25 * blur(raw, 25))
    albedo *= np.clip(shade, 0.4, 1.8)[..., None]
    wear = cloth.worn * np.clip(relief / 2.5, -0.5, 1.2)[..., None]
    return np.clip(albedo + wear * (0.55 - albedo), 0.004, 1).astype(np.float32)


def _inset(cover: Array, distance: float) -> list[Array]:
    far = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    rings, _ = cv2.findContours((far > distance * SCALE).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [np.vstack([r[:, 0], r[:1, 0]]) / SCALE for r in rings if len(r) > 20]


def _sew(seam: Seam, height: Array, albedo: Array, rng: np.random.Generator) -> None:
    line = np.round(seam.line * SCALE * 16).astype(np.int32)
    paper = np.full(height.shape, 255, np.uint8)
    cv2.polylines(paper, [line], False, 0, 1, cv2.LINE_8, 4)
    away = cv2.distanceTransform(paper, cv2.DIST_L2, 5) / SCALE
    pucker = blur(rng.standard_normal(height.shape).astype(np.float32), 4.5) * 7
    height += 0.5 * seam.groove * pucker * np.exp(-((away / 6) ** 2)) - seam.groove * np.exp(-((away / 1.5) ** 2))
    if not seam.thread:
        albedo *= (1 - 0.35 * np.minimum(seam.groove, 1.5) * np.exp(-((away / 1.1) ** 2)))[..., None]
        return
    threads = np.zeros(height.shape, np.uint8)
    for dash in _dashes(seam.line, *seam.dash):
        points = np.round(dash * SCALE * 16).astype(np.int32)
        cv2.polylines(threads, [points], False, 255, max(1, round(seam.width * SCALE)), cv2.LINE_AA, 4)
    threads = threads.astype(np.float32) / 255
    albedo += 0.9 * threads[..., None] * (linear(seam.thread) - albedo)
    height += 0.6 * blur(threads, 1)


def _dashes(line: Array, on: float, off: float) -> list[Array]:
    along = np.r_[0, np.cumsum(np.hypot(*np.diff(line, axis=0).T))]
    starts = np.arange(0, max(along[-1] - on, 0.01), on + off)
    return [np.stack([np.interp(np.linspace(a, a + on, 4), along, axis) for axis in line.T], 1) for a in starts]


def _contact_shadow(garment: Array) -> Array:
    shadow = np.zeros_like(garment)
    for sigma, dx, dy, strength in ((4, 3, 4, 0.34), (16, 12, 16, 0.26), (44, 20, 34, 0.18)):
        move = np.float32([[1, 0, dx], [0, 1, dy]])
        moved = cv2.warpAffine(garment, move, garment.shape[::-1])
        shadow = 1 - (1 - shadow) * (1 - strength * blur(moved, sigma))
    return shadow


def _window(layer: Layer, size: tuple[int, int], pad: int = 0) -> tuple[slice, slice]:
    height, width = layer.cover.shape
    rows = slice(max(layer.top - pad, 0), min(layer.top + height + pad, size[0]))
    return rows, slice(max(layer.left - pad, 0), min(layer.left + width + pad, size[1]))


def _inner(layer: Layer, window: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = window
    return (
        slice(rows.start - layer.top, rows.stop - layer.top),
        slice(columns.start - layer.left, columns.stop - layer.left),
    )


def _paste(picture: Array | None, beneath: Array, layer: Layer) -> None:
    window = _window(layer, beneath.shape)
    inner = _inner(layer, window)
    cover = layer.cover[inner]
    if picture is not None:
        picture[window] += cover[..., None] * (layer.colour[inner] - picture[window])
    beneath[window] = np.maximum(beneath[window], cover)


def _shade_beneath(picture: Array, beneath: Array, layer: Layer) -> None:
    reach = layer.lift * SCALE
    window = _window(layer, beneath.shape, pad=int(4 * reach) + 4)
    stencil = np.zeros_like(beneath)
    _paste(None, stencil, layer)
    stencil = stencil[window]
    picture[window] *= (1 - beneath[window] * light.cast(stencil, reach, 0.55, 0.7))[..., None]
