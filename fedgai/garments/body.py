"""The body of a garment that hangs from the shoulders: measures, fronts, hems, blocks of colour."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fedgai.garments.drape import cables, crumple, drape
from fedgai.garments.outline import Array, Point, mirror, offset, path, symmetric
from fedgai.garments.parts import Block, Draft, Fold, Piece, Seam, side_fan, turned, wrinkles


@dataclass
class Body:
    """Measures of an upper garment, in units; half of each width.

    ``strap`` is how far below the shoulders a body begins that hangs from straps, else 0.
    """

    neck: float
    neck_depth: float
    shoulder: float
    shoulder_drop: float
    chest: float
    armpit: float
    waist: float
    waist_at: float
    hem: float
    length: float
    sag: float
    strap: float = 0.0

    @classmethod
    def random(
        cls, d: Draft, ease: float = 1.0, length: tuple[float, float] = (450, 600), waist: float = 1.0, flare: float = 1.0
    ) -> Body:
        chest, long = d.between(140, 188) * ease, d.between(*length)
        armpit = d.between(144, 196) * ease**0.5
        return cls(
            neck=d.between(50, 74),
            neck_depth=d.between(42, 80),
            shoulder=chest * d.between(0.84, 1.04),
            shoulder_drop=d.between(24, 52),
            chest=chest,
            armpit=armpit,
            waist=chest * waist * d.between(0.92, 1.02),
            waist_at=armpit + (min(long, 520) - armpit) * d.between(0.4, 0.5),
            hem=chest * flare * d.between(0.94, 1.08),
            length=long,
            sag=d.between(2, 16),
        )

    @property
    def shoulder_point(self) -> Point:
        return (-self.neck - 9, self.strap + 2) if self.strap else (-self.shoulder, self.shoulder_drop)

    @property
    def armpit_point(self) -> Point:
        return (-self.chest, self.armpit)

    @property
    def bottom(self) -> float:
        """y of the hem's middle."""
        return self.length + self.sag

    def neckline(self, style: str) -> list[list[Point]]:
        """Strokes from the middle of the front to the left end of the neckline."""
        n, d, top = self.neck, self.neck_depth, self.strap
        if style == "v":
            return [[(0, d), (-n * 0.52, top + (d - top) * 0.48), (-n, top)]]
        if style == "square":
            return [[(0, d), (-n * 0.88, d)], [(-n, top)]]
        if style == "boat":
            return [[(0, d), (-n * 0.6, top + (d - top) * 0.72), (-n, top)]]
        if style == "heart":
            return [[(0, d), (-n * 0.3, d - 16), (-n * 0.75, top + (d - top) * 0.3), (-n, top)]]
        return [[(0, d), (-n * 0.52, top + (d - top) * 0.83), (-n * 0.88, top + (d - top) * 0.4), (-n, top)]]

    def armhole(self) -> list[Point]:
        """From the shoulder point to the armpit, without its first point."""
        (sx, sy), (ax, ay) = self.shoulder_point, self.armpit_point
        inward = max(sx, ax) * (0.97 if self.strap else 0.94)
        return [
            (inward + (ax - inward) * (0.3 if self.strap else 0), sy + (ay - sy) * 0.5),
            (inward + (ax - inward) * 0.25, sy + (ay - sy) * 0.74),
            (ax, ay),
        ]

    def side(self) -> list[Point]:
        """From the armpit down to the hem, without its first point."""
        return [
            (-self.waist, self.waist_at),
            (-(self.waist + self.hem) / 2 - 1, (self.waist_at + self.length) / 2),
            (-self.hem, self.length),
        ]

    def hem_half(self) -> list[Point]:
        """From the left end of the hem to its middle, without its first point."""
        return [(-self.hem * 0.55, self.length + self.sag * 0.75), (0, self.bottom)]

    def hem_line(self) -> Array:
        """The hem from left to right."""
        half = path([(-self.hem, self.length), *self.hem_half()])
        return np.vstack([half, mirror(half)[::-1]])


@dataclass(frozen=True)
class Opening:
    """How a front opens: ``lap`` is how far the upper front reaches over the middle; an open one stands ``top`` and ``bottom``
    units back from it instead, so that the inside is seen."""

    lap: float = 0.0
    top: float = 0.0
    bottom: float = 0.0

    @classmethod
    def random(cls, d: Draft, lap: float, open_share: float = 0.25) -> Opening:
        if d.chance(open_share):
            return cls(0.0, d.between(2, 30), d.between(10, 80))
        return cls(lap)

    @property
    def is_open(self) -> bool:
        return self.top > 0

    def edge(self, b: Body, right: bool = False) -> Array:
        """The edge of a front, from the neck to the hem."""
        if not self.is_open:
            x = self.lap
            return turned(path([(x, b.neck_depth), (x, b.bottom)]), right)
        return turned(
            path(
                [
                    (-self.top, b.neck_depth),
                    (-(self.top + self.bottom) / 2 - 3, (b.neck_depth + b.length) / 2),
                    (-self.bottom, b.bottom),
                ]
            ),
            right,
        )


def outline(b: Body, style: str) -> Array:
    """The closed outline of a whole front."""
    return symmetric(*b.neckline(style), [b.shoulder_point], b.armhole(), b.side(), b.hem_half())


def folds(d: Draft, b: Body) -> tuple[Fold, ...]:
    """Folds of a body that hangs from its shoulders or lies as it fell."""
    k, hang = d.crush, d.pose != "lying"
    made: list[Fold] = [
        crumple(d.between(38, 62), 2.8 * k * (0.6 if hang else 1), d.between(-40, 40)),
        crumple(d.between(12, 22), 0.7 * k, d.between(-90, 90)),
        drape(d.between(2.5, 6), d.between(4, 12) if hang else d.between(2, 9) * k**0.5, d.between(0, 0.3)),
    ]
    ax, ay = b.armpit_point
    for right in (False, True):
        if d.chance(0.75):
            made.append(
                side_fan(
                    (ax + 8, ay - 4), (-10, 75), right, d.between(60, 150), d.count(2, 6), d.between(6, 12), d.between(2, 5.5) * k
                )
            )
    made += wrinkles(d, (-b.chest, 60, b.chest, b.length), d.count(1, 7), 90, 4.2 * k)
    return tuple(made)


def front(d: Draft, b: Body, style: str, seams: tuple[Seam, ...] = (), blocks: tuple[Block, ...] = ()) -> Piece:
    """A front in one piece: armholes and hem are sewn, the neckline is an edge."""
    hole = path([b.shoulder_point, *b.armhole()])
    return Piece(
        outline(b, style),
        "main",
        "edge",
        sewn=(hole, mirror(hole), b.hem_line()),
        depth=body_depth(d),
        roundness=d.between(28, 42),
        tube=True,
        folds=folds(d, b),
        seams=seams,
        blocks=blocks,
        lift=3,
    )


def body_depth(d: Draft) -> float:
    """How far a body stands out: much if it seems worn."""
    return d.between(26, 40) if d.pose == "worn" else d.between(10, 22)


def fronts(
    d: Draft, b: Body, style: str, opening: Opening, seams: tuple[Seam, ...] = (), blocks: tuple[Block, ...] = ()
) -> list[Piece]:
    """The two halves of a front that opens, the picture's left one on top. ``seams`` and ``blocks`` are of the whole front."""
    hole = path([b.shoulder_point, *b.armhole()])
    shared, depth = folds(d, b), body_depth(d)
    made = []
    for right in (True, False):
        edge = opening.edge(b)
        neck = b.neckline(style)
        start = edge[0]
        half = path(
            [tuple(start), *neck[0][1:]] if len(neck[0]) > 2 else [tuple(start), neck[0][-1]],
            *neck[1:],
            [b.shoulder_point],
            b.armhole(),
            b.side(),
            [(-b.hem * 0.55, b.length + b.sag * 0.75), tuple(edge[-1])],
        )
        closed = np.vstack([half, edge[::-1]])
        hem = path([(-b.hem, b.length), *b.hem_half()])
        made.append(
            Piece(
                turned(closed, right),
                "main",
                "edge",
                sewn=(turned(hole, right), turned(hem, right)),
                depth=depth,
                roundness=30,
                tube=True,
                folds=shared,
                seams=seams,
                blocks=blocks,
                lift=3,
            )
        )
    return made


def back_inside(d: Draft, b: Body, role: str) -> Piece:
    """The inside of the back, seen between the halves of an open front."""
    shape = symmetric(
        [(0, -6), (-b.neck - 4, 2)],
        [(-b.shoulder * 0.9, b.shoulder_drop + 4)],
        [(-b.waist * 0.7, b.waist_at)],
        [(-b.hem * 0.9, b.length - 4), (0, b.bottom - d.between(2, 12))],
    )
    return Piece(
        shape, role, "edge", depth=3, roundness=14, tone=0.62, lift=1, folds=(crumple(50, 3 * d.crush), drape(4, 6, 0.2))
    )


def hem_rows(d: Draft, line: Array) -> tuple[Seam, ...]:
    """One or two rows of stitches above a hem that runs from left to right."""
    deep = d.between(8, 24)
    rows = [deep] if d.chance(0.6) else [deep, deep - 4]
    return tuple(Seam(offset(line, -row), "topstitch", 0.8) for row in rows)


# Seams and blocks that shape or colour a front -----------------------------------------------------------------------


def yokes(d: Draft, b: Body) -> tuple[tuple[Seam, ...], tuple[Block, ...]]:
    """Seams below the shoulders."""
    line = path([(-b.neck * 0.2, 52), (-b.shoulder * 0.6, 56), (-b.shoulder * 1.02, b.shoulder_drop + d.between(24, 48))])
    shape = np.vstack([line, [(-b.shoulder * 1.1, -20), (0, -20)]])
    role = "second" if d.chance(0.3) else "main"
    lines = [turned(line, right) for right in (False, True)]
    return tuple(Seam(line) for line in lines), tuple(Block(turned(shape, right), role) for right in (False, True))


def darts(d: Draft, b: Body) -> tuple[Seam, ...]:
    """Bust darts, waist darts or princess seams."""
    style, w = d.pick("bust", "waist", "princess", "princess"), b.waist
    if style == "bust":
        line = path([(-b.chest * 0.98, b.armpit + d.between(40, 70)), (-b.chest * 0.48, b.armpit + d.between(16, 36))])
    elif style == "waist":
        line = path([(-w * 0.52, b.waist_at + 60), (-w * 0.5, b.waist_at), (-w * 0.54, b.waist_at - 70)])
    else:
        line = path(
            [
                (-b.shoulder * 0.92, b.armpit * 0.6),
                (-b.chest * 0.55, b.armpit + 24),
                (-w * 0.5, b.waist_at),
                (-b.hem * 0.56, b.length + 4),
            ]
        )
    return tuple(Seam(turned(line, right)) for right in (False, True))


def colour_blocks(d: Draft, b: Body) -> tuple[tuple[Seam, ...], tuple[Block, ...]]:
    """Another colour across the chest, at the bottom, on one half or down the sides."""
    style, wide = d.pick("top", "bottom", "band", "half", "sides", "diagonal"), b.chest * 1.6
    y = d.between(b.armpit * 0.8, b.armpit + 90)
    if style in ("top", "bottom", "band"):
        low = y + d.between(40, 120) if style == "band" else (y if style == "top" else b.length + 99)
        high = -60.0 if style == "top" else (y + 60 if style == "bottom" else y)
        lines = [path([(-wide, e), (0, e + 6), (wide, e)]) for e in (high, low) if -60 < e < b.length]
        region = np.array([(-wide, high), (0, high + 6), (wide, high), (wide, low), (0, low + 6), (-wide, low)])
        return tuple(Seam(line) for line in lines), (Block(region, "second"),)
    if style == "half":
        return (Seam(path([(0, -20), (0, b.bottom + 20)])),), (
            Block(np.array([(0, -60), (wide, -60), (wide, b.bottom + 60), (0, b.bottom + 60)]), "second"),
        )
    if style == "diagonal":
        line = path([(-wide, y + 160), (wide, y - 120)])
        return (Seam(line),), (Block(np.vstack([line, [(wide, -200), (-wide, -200)]]), "second"),)
    line = path([(-b.shoulder * 0.95, b.armpit * 0.75), (-b.chest * 0.7, b.armpit + 60), (-b.hem * 0.72, b.length + 10)])
    sides = [turned(line, right) for right in (False, True)]
    return tuple(Seam(s) for s in sides), tuple(
        Block(np.vstack([s, [(np.sign(s[0, 0]) * wide, b.length + 10), (np.sign(s[0, 0]) * wide, b.armpit * 0.75)]]), "second")
        for s in sides
    )


def shaped(d: Draft, b: Body, yoke: float, dart: float, block: float) -> tuple[tuple[Seam, ...], tuple[Block, ...]]:
    """Seams and blocks of a front, each kind with a chance of its own."""
    seams: tuple[Seam, ...] = ()
    blocks: tuple[Block, ...] = ()
    if d.chance(block):
        seams, blocks = colour_blocks(d, b)
    elif d.chance(yoke):
        seams, blocks = yokes(d, b)
    if d.chance(dart):
        seams = (*seams, *darts(d, b))
    return seams, blocks


def knitted(d: Draft, pieces: list[Piece]) -> list[Piece]:
    """Pieces with cables where these are of the main cloth, now and then."""
    if d.chance(0.8):
        return pieces
    braids = cables(d.between(40, 70), d.between(1.6, 3.2))
    return [replace(piece, relief=(braids,)) if piece.role in ("main", "second") else piece for piece in pieces]
