"""Cloth under studio light: a height field per garment piece, shaded and stacked into a picture.

A garment is a list of `Piece`s, painted from the back to the front. Every piece is an outline filled with a `Cloth`,
given volume, folds and seams as a height field, and lit by one key light from the upper left and a soft fill from the
right. Lengths are pixels of the finished picture, x to the right and y down; drawing happens `SCALE` times finer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d, map_coordinates

WIDTH, HEIGHT, SCALE = 576, 768, 2
KEY = np.array([-0.52, -0.62, 0.64]) / np.linalg.norm([-0.52, -0.62, 0.64])
FILL = np.array([0.75, 0.1, 0.65]) / np.linalg.norm([0.75, 0.1, 0.65])

Array = np.ndarray
Point = tuple[float, float]


# Outlines ------------------------------------------------------------------------------------------------------------


def path(*strokes: Sequence[Point], step: float = 2.0) -> Array:
    """Points (n, 2) along smooth strokes; each stroke starts, with a corner, where the one before it ended."""
    points, start = [], None
    for stroke in strokes:
        knots = np.array(([start] if start is not None else []) + [tuple(p) for p in stroke], float)
        knots = knots[np.r_[True, np.abs(np.diff(knots, axis=0)).sum(1) > 0]]
        chord = np.r_[0, np.cumsum(np.hypot(*np.diff(knots, axis=0).T) ** 0.5)]
        length = np.hypot(*np.diff(knots, axis=0).T).sum()
        along = np.linspace(0, chord[-1], max(2, int(length / step)))
        points.append(CubicSpline(chord, knots, bc_type="natural")(along))
        start = tuple(stroke[-1])
    return np.vstack(points)


def mirror(points: Array) -> Array:
    """Points (n, 2) reflected in the picture's vertical axis."""
    return np.asarray(points, float) * (-1, 1) + (WIDTH, 0)


def symmetric(*strokes: Sequence[Point]) -> Array:
    """The closed outline (n, 2) whose left half is `strokes`, from the axis at the top to the axis at the bottom."""
    half = path(*strokes)
    return np.vstack([half, mirror(half)[::-1]])


def disc(x: float, y: float, radius: float) -> Array:
    """A circle's outline (48, 2)."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)


def quad(start: Point, end: Point, width: float) -> Array:
    """The outline of a straight band `width` wide from `start` to `end`."""
    (x0, y0), (x1, y1) = start, end
    nx, ny = np.array([y0 - y1, x1 - x0]) / np.hypot(x1 - x0, y1 - y0) * width / 2
    return path([(x0 + nx, y0 + ny), (x1 + nx, y1 + ny)], [(x1 - nx, y1 - ny)], [(x0 - nx, y0 - ny)])


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


class Grid:
    """The pixels of one piece and, for each, where it is: x, y on the picture; s, t across and along the cloth in
    pixels; u, v the same from 0 to 1 between the piece's sides; side the pixels to the nearest of them. Every array
    is (h, w)."""

    def __init__(self, outline: Array, grain: float, rng: np.random.Generator):
        self.rng = rng
        margin = 6
        self.left, self.top = (np.floor(outline.min(0)) - margin).astype(int)
        right, bottom = (np.ceil(outline.max(0)) + margin).astype(int)
        self.shape = (bottom - self.top, right - self.left)
        self.mask = fill(outline - (self.left, self.top), self.shape, 1)
        yy, xx = np.mgrid[self.top : bottom, self.left : right].astype(np.float32)
        self.x, self.y = xx + 0.5, yy + 0.5
        angle, centre = np.radians(grain), outline.mean(0)
        dx, dy = self.x - centre[0], self.y - centre[1]
        self.s = dx * np.cos(angle) + dy * np.sin(angle)
        self.t = dy * np.cos(angle) - dx * np.sin(angle)
        self.u, self.v, self.side = self._between_sides()

    def _between_sides(self) -> tuple[Array, Array, Array]:
        inside = self.mask > 0.5
        row = np.round(self.t[inside]).astype(int)
        first, count = row.min(), np.ptp(row) + 1
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(low, row - first, self.s[inside])
        np.maximum.at(high, row - first, self.s[inside])
        known = np.flatnonzero(np.isfinite(low))
        every = np.arange(count)
        low, high = (gaussian_filter1d(np.interp(every, known, edge[known]), 5) for edge in (low, high))
        low, high = _past_the_hem(low, high)
        at = self.t - first
        low, high = np.interp(at, every, low), np.interp(at, every, high)
        side = np.minimum(self.s - low, high - self.s)
        return ((self.s - low) / np.maximum(high - low, 1)).astype(np.float32), at / count, side.astype(np.float32)


def _past_the_hem(low: Array, high: Array) -> tuple[Array, Array]:
    """The sides carried straight on from where a curved hem begins to cut them off."""
    tail = max(2, round(0.12 * len(low)))
    hem = len(low) - tail + int(np.argmax((high - low)[-tail:])) - 6
    before = max(hem - 40, 0)
    if hem <= before:
        return low, high
    beyond = np.arange(len(low)) - hem
    return tuple(
        np.where(beyond > 0, edge[hem] + (edge[hem] - edge[before]) / (hem - before) * beyond, edge)
        for edge in (low, high)
    )


def fill(outline: Array, shape: tuple[int, int], scale: int) -> Array:
    """Coverage (h * scale, w * scale), 0 to 1, of a closed outline (n, 2)."""
    canvas = np.zeros((shape[0] * scale, shape[1] * scale), np.uint8)
    corners = np.round(((outline * scale) - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [corners], 255, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / 255


def noise(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Smooth noise of about unit variance whose features are one unit of x and y wide."""
    lattice = rng.standard_normal((48, 48))
    at = np.stack([np.asarray(y, float) + rng.uniform(0, 48), np.asarray(x, float) + rng.uniform(0, 48)])
    return 1.4 * map_coordinates(lattice, at, order=3, mode="grid-wrap").astype(np.float32)


def blur(image: Array, sigma: float) -> Array:
    """Gaussian blur with nothing outside the picture."""
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)


def linear(colour: str) -> Array:
    """An sRGB hex colour as linear light (3,), 0 to 1."""
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32) ** 2.2


# Folds: each returns a function from a Grid to heights (h, w) in pixels -----------------------------------------------


def drape(count: float, height: float, top: float = 0.0, gather: float = 0.0) -> Callable[[Grid], Array]:
    """Hanging folds, about `count` across, deepening from `top` of their height to all of it at the hem, with `gather`
    pixels of tight gathers under the upper seam."""

    def folds(grid: Grid) -> Array:
        drift = 0.5 * noise(grid.rng, grid.u * 2, grid.v * 1.5)
        ridges = noise(grid.rng, grid.u * count + drift, grid.v * 0.9)
        ridges = np.tanh(1.3 * ridges) + 0.35 * noise(grid.rng, grid.u * count * 2 + 2 * drift, grid.v * 2)
        body = height * (top + (1 - top) * np.clip(grid.v, 0, 1) ** 0.8) * ridges
        tight = noise(grid.rng, grid.u * count * 3.2 + drift, grid.v * 2.5)
        return body + gather * tight * np.exp(-np.maximum(grid.v, 0) / 0.22)

    return folds


def crumple(size: float, height: float, turn: float = 0.0, stretch: float = 2.0) -> Callable[[Grid], Array]:
    """Loose wrinkles everywhere, `size` pixels wide and `stretch` times longer, turned `turn` degrees."""

    def folds(grid: Grid) -> Array:
        angle = np.radians(turn)
        a = (grid.s * np.cos(angle) + grid.t * np.sin(angle)) / size
        b = (grid.t * np.cos(angle) - grid.s * np.sin(angle)) / (size * stretch)
        warp = 0.7 * noise(grid.rng, a * 0.5, b * 0.7)
        sharp = 1 - np.sqrt(noise(grid.rng, a + warp, b + warp) ** 2 + 0.04)
        return height * (0.55 * sharp * (0.5 + np.clip(noise(grid.rng, a / 3, b / 3), -0.5, 1)) + 0.5 * warp)

    return folds


def crease(start: Point, end: Point, width: float, height: float, bend: float = 0.12) -> Callable[[Grid], Array]:
    """One wrinkle from `start` to `end`: a ridge that is steeper on one side, bowed by `bend` of its length."""

    def folds(grid: Grid) -> Array:
        (x0, y0), (x1, y1) = start, end
        length = np.hypot(x1 - x0, y1 - y0)
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        along = ((grid.x - x0) * dx + (grid.y - y0) * dy) / length
        off = (grid.y - y0) * dx - (grid.x - x0) * dy - bend * length * 4 * along * (1 - along)
        taper = np.sin(np.pi * np.clip(along, 0, 1) ** 0.75) ** 1.3
        wide = width * (0.45 + 0.55 * taper)
        ridge = np.exp(-((off / np.where(off > 0, wide, 0.5 * wide)) ** 2))
        trough = np.exp(-(((off + 1.15 * wide) / (0.6 * wide)) ** 2))
        return (height * taper * (ridge - 0.4 * trough)).astype(np.float32)

    return folds


def fan(
    at: Point, towards: tuple[float, float], length: float, count: int, width: float, height: float, gap: float = 8
) -> Callable[[Grid], Array]:
    """`count` wrinkles that leave `at` between the two angles `towards` (degrees, 0 right, 90 down), irregularly."""

    def folds(grid: Grid) -> Array:
        total = np.zeros(grid.shape, np.float32)
        angles = np.radians(np.linspace(*towards, count) + grid.rng.uniform(-9, 9, count))
        for angle in angles:
            ray = np.array([np.cos(angle), np.sin(angle)])
            begin = np.array(at) + ray * gap * grid.rng.uniform(0.3, 2.2)
            end = begin + ray * length * grid.rng.uniform(0.5, 1.3)
            size = grid.rng.uniform(0.45, 1.3)
            total += crease(begin, end, width * size, height * size, grid.rng.uniform(-0.14, 0.14))(grid)
        return total

    return folds


def bunch(centre: float, spread: float, count: float, height: float) -> Callable[[Grid], Array]:
    """Cloth pushed together along its length: cross folds around v = `centre`, as a sleeve has at elbow and cuff."""

    def folds(grid: Grid) -> Array:
        tilt = 0.16 * (grid.u - 0.5) * noise(grid.rng, grid.v * 3, grid.v * 0)
        ridges = noise(grid.rng, grid.u * 1.3, (grid.v + tilt) * count)
        window = np.exp(-(((grid.v - centre) / spread) ** 2))
        return height * window * np.tanh(1.4 * ridges)

    return folds


def pleats(count: int, height: float, release: float = 0.0) -> Callable[[Grid], Array]:
    """`count` pressed knife pleats from side to side; below v = `release` they swing a little open."""

    def folds(grid: Grid) -> Array:
        sway = 0.16 * np.clip(grid.v - release, 0, 1) * noise(grid.rng, grid.u * count / 2, grid.v * 1.3)
        place = grid.u * count + sway
        phase = place - np.floor(place)
        opening = 0.65 + 0.9 * np.clip(grid.v - release, 0, 1)
        return (height * opening * np.where(phase < 0.86, phase / 0.86, (1 - phase) / 0.14)).astype(np.float32)

    return folds


def press(at: float, height: float, width: float = 0.16, top: float = 0.0) -> Callable[[Grid], Array]:
    """An ironed crease along the cloth at u = `at`, starting at v = `top`."""

    def folds(grid: Grid) -> Array:
        start = np.clip((grid.v - top) / 0.06, 0, 1)
        return (height * start * np.exp(-np.abs(grid.u - at) / width)).astype(np.float32)

    return folds


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
    outline = _waver(piece.outline, piece.wobble, rng)
    grid = Grid(outline, piece.grain, rng)
    local = outline - (grid.left, grid.top)
    cover = fill(local, grid.shape, SCALE)
    coarse = _volume(grid, piece)
    for folds in piece.folds:
        coarse = coarse + folds(grid)
    coarse = coarse.astype(np.float32)
    s, t = (_finer(axis - 0.55 * slope) for axis, slope in zip((grid.s, grid.t), _slopes(coarse, 1), strict=True))
    fine = _finer(coarse) + piece.cloth.weave(s, t, rng).astype(np.float32)
    albedo = _dye(piece.cloth, s, t, fine - _finer(blur(coarse, 5)), rng)
    rows = [Seam(ring, piece.thread, 0.4) for inset in piece.topstitch for ring in _inset(cover, inset)]
    for seam in [Seam(s.line - (grid.left, grid.top), s.thread, s.groove, s.dash, s.width) for s in piece.seams] + rows:
        _sew(seam, fine, albedo, rng)
    light = _light(fine, _finer(_occlusion(coarse, grid.mask)), piece.cloth.sheen)
    colour = albedo * light[..., :1] * piece.tone + light[..., 1:]
    return Layer(colour, cover, grid.left * SCALE, grid.top * SCALE, piece.lift)


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


def _occlusion(height: Array, mask: Array) -> Array:
    """Light that reaches each pixel, 0 to 1: less in hollows, and less where a fold stands between it and the key."""
    open_sky = np.ones_like(height)
    for sigma, strength in ((3, 0.16), (9, 0.07), (22, 0.02)):
        around = blur(height * mask, sigma) / np.maximum(blur(mask, sigma), 0.05)
        open_sky *= np.exp(-strength * np.clip(around - height, 0, None))
    blocked = np.zeros_like(height)
    step = -KEY[:2] / np.linalg.norm(KEY[:2])
    for reach in range(2, 24, 3):
        move = np.float32([[1, 0, step[0] * reach], [0, 1, step[1] * reach]])
        moved = cv2.warpAffine(height, move, height.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        blocked = np.maximum(blocked, moved - height - 0.8 * reach)
    return open_sky * (1 - 0.45 * np.clip(blur(blocked, 1.5) / 3, 0, 1))


def _light(height: Array, openness: Array, sheen: float) -> Array:
    """Diffuse light and sheen (h, w, 4): the diffuse factor, then the sheen's red, green and blue."""
    right, down = _slopes(height, SCALE)
    normal = np.stack([-right, -down, np.ones_like(height)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    key = np.clip(normal @ KEY, 0, None) / KEY[2]
    soft = 0.5 + 0.5 * (normal @ FILL)
    diffuse = openness * (0.30 * soft + 0.22 * normal[..., 2] + 0.60 * key)
    half = KEY + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    gloss = sheen * openness * np.clip(normal @ half, 0, None) ** 22
    tint = np.array([1.0, 0.98, 0.95], np.float32)
    return np.concatenate([diffuse[..., None], gloss[..., None] * tint], -1).astype(np.float32)


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
    move = np.float32([[1, 0, 0.55 * reach], [0, 1, 0.7 * reach]])
    cast = blur(cv2.warpAffine(stencil, move, stencil.shape[::-1]), 0.25 + 0.7 * reach)
    touch = blur(stencil, 0.3 + 0.3 * reach)
    picture[window] *= (1 - beneath[window] * np.maximum(0.5 * cast, 0.4 * touch))[..., None]
