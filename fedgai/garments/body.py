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
        cls, draft: Draft, ease: float = 1.0, length: tuple[float, float] = (450, 600), waist: float = 1.0, flare: float = 1.0
    ) -> Body:
        chest, long = draft.between(140, 188) * ease, draft.between(*length)
        armpit = draft.between(144, 196) * ease**0.5
        return cls(
            neck=draft.between(50, 74),
            neck_depth=draft.between(42, 80),
            shoulder=chest * draft.between(0.84, 1.04),
            shoulder_drop=draft.between(24, 52),
            chest=chest,
            armpit=armpit,
            waist=chest * waist * draft.between(0.92, 1.02),
            waist_at=armpit + (min(long, 520) - armpit) * draft.between(0.4, 0.5),
            hem=chest * flare * draft.between(0.94, 1.08),
            length=long,
            sag=draft.between(2, 16),
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
        neck, depth, top = self.neck, self.neck_depth, self.strap
        if style == "v":
            return [[(0, depth), (-neck * 0.52, top + (depth - top) * 0.48), (-neck, top)]]
        if style == "square":
            return [[(0, depth), (-neck * 0.88, depth)], [(-neck, top)]]
        if style == "boat":
            return [[(0, depth), (-neck * 0.6, top + (depth - top) * 0.72), (-neck, top)]]
        if style == "heart":
            return [[(0, depth), (-neck * 0.3, depth - 16), (-neck * 0.75, top + (depth - top) * 0.3), (-neck, top)]]
        return [[(0, depth), (-neck * 0.52, top + (depth - top) * 0.83), (-neck * 0.88, top + (depth - top) * 0.4), (-neck, top)]]

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
    def random(cls, draft: Draft, lap: float, open_share: float = 0.25) -> Opening:
        if draft.chance(open_share):
            return cls(0.0, draft.between(2, 30), draft.between(10, 80))
        return cls(lap)

    @property
    def is_open(self) -> bool:
        return self.top > 0

    def edge(self, body: Body, right: bool = False) -> Array:
        """The edge of a front, from the neck to the hem."""
        if not self.is_open:
            x = self.lap
            return turned(path([(x, body.neck_depth), (x, body.bottom)]), right)
        return turned(
            path(
                [
                    (-self.top, body.neck_depth),
                    (-(self.top + self.bottom) / 2 - 3, (body.neck_depth + body.length) / 2),
                    (-self.bottom, body.bottom),
                ]
            ),
            right,
        )


def outline(body: Body, style: str) -> Array:
    """The closed outline of a whole front."""
    return symmetric(*body.neckline(style), [body.shoulder_point], body.armhole(), body.side(), body.hem_half())


def folds(draft: Draft, body: Body) -> tuple[Fold, ...]:
    """Folds of a body that hangs from its shoulders or lies as it fell."""
    k, hang = draft.crush, draft.pose != "lying"
    made: list[Fold] = [
        crumple(draft.between(38, 62), 2.8 * k * (0.6 if hang else 1), draft.between(-40, 40)),
        crumple(draft.between(12, 22), 0.7 * k, draft.between(-90, 90)),
        drape(draft.between(2.5, 6), draft.between(4, 12) if hang else draft.between(2, 9) * k**0.5, draft.between(0, 0.3)),
    ]
    ax, ay = body.armpit_point
    for right in (False, True):
        if draft.chance(0.75):
            made.append(
                side_fan(
                    (ax + 8, ay - 4),
                    (-10, 75),
                    right,
                    draft.between(60, 150),
                    draft.count(2, 6),
                    draft.between(6, 12),
                    draft.between(2, 5.5) * k,
                )
            )
    made += wrinkles(draft, (-body.chest, 60, body.chest, body.length), draft.count(1, 7), 90, 4.2 * k)
    return tuple(made)


def front(draft: Draft, body: Body, style: str, seams: tuple[Seam, ...] = (), blocks: tuple[Block, ...] = ()) -> Piece:
    """A front in one piece: armholes and hem are sewn, the neckline is an edge."""
    hole = path([body.shoulder_point, *body.armhole()])
    return Piece(
        outline(body, style),
        "main",
        "edge",
        sewn=(hole, mirror(hole), body.hem_line()),
        depth=body_depth(draft),
        roundness=draft.between(28, 42),
        tube=True,
        folds=folds(draft, body),
        seams=seams,
        blocks=blocks,
        lift=3,
    )


def body_depth(draft: Draft) -> float:
    """How far a body stands out: much if it seems worn."""
    return draft.between(26, 40) if draft.pose == "worn" else draft.between(10, 22)


def fronts(
    draft: Draft, body: Body, style: str, opening: Opening, seams: tuple[Seam, ...] = (), blocks: tuple[Block, ...] = ()
) -> list[Piece]:
    """The two halves of a front that opens, the picture's left one on top. ``seams`` and ``blocks`` are of the whole front."""
    hole = path([body.shoulder_point, *body.armhole()])
    shared, depth = folds(draft, body), body_depth(draft)
    made = []
    for right in (True, False):
        edge = opening.edge(body)
        neck = body.neckline(style)
        start = edge[0]
        half = path(
            [tuple(start), *neck[0][1:]] if len(neck[0]) > 2 else [tuple(start), neck[0][-1]],
            *neck[1:],
            [body.shoulder_point],
            body.armhole(),
            body.side(),
            [(-body.hem * 0.55, body.length + body.sag * 0.75), tuple(edge[-1])],
        )
        closed = np.vstack([half, edge[::-1]])
        hem = path([(-body.hem, body.length), *body.hem_half()])
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


def back_inside(draft: Draft, body: Body, role: str) -> Piece:
    """The inside of the back, seen between the halves of an open front."""
    shape = symmetric(
        [(0, -6), (-body.neck - 4, 2)],
        [(-body.shoulder * 0.9, body.shoulder_drop + 4)],
        [(-body.waist * 0.7, body.waist_at)],
        [(-body.hem * 0.9, body.length - 4), (0, body.bottom - draft.between(2, 12))],
    )
    return Piece(
        shape, role, "edge", depth=3, roundness=14, tone=0.62, lift=1, folds=(crumple(50, 3 * draft.crush), drape(4, 6, 0.2))
    )


def hem_rows(draft: Draft, line: Array) -> tuple[Seam, ...]:
    """One or two rows of stitches above a hem that runs from left to right."""
    deep = draft.between(8, 24)
    rows = [deep] if draft.chance(0.6) else [deep, deep - 4]
    return tuple(Seam(offset(line, -row), "topstitch", 0.8) for row in rows)


# Seams and blocks that shape or colour a front -----------------------------------------------------------------------


def yokes(draft: Draft, body: Body) -> tuple[tuple[Seam, ...], tuple[Block, ...]]:
    """Seams below the shoulders."""
    line = path(
        [(-body.neck * 0.2, 52), (-body.shoulder * 0.6, 56), (-body.shoulder * 1.02, body.shoulder_drop + draft.between(24, 48))]
    )
    shape = np.vstack([line, [(-body.shoulder * 1.1, -20), (0, -20)]])
    role = "second" if draft.chance(0.3) else "main"
    lines = [turned(line, right) for right in (False, True)]
    return tuple(Seam(line) for line in lines), tuple(Block(turned(shape, right), role) for right in (False, True))


def darts(draft: Draft, body: Body) -> tuple[Seam, ...]:
    """Bust darts, waist darts or princess seams."""
    style, w = draft.pick("bust", "waist", "princess", "princess"), body.waist
    if style == "bust":
        line = path(
            [(-body.chest * 0.98, body.armpit + draft.between(40, 70)), (-body.chest * 0.48, body.armpit + draft.between(16, 36))]
        )
    elif style == "waist":
        line = path([(-w * 0.52, body.waist_at + 60), (-w * 0.5, body.waist_at), (-w * 0.54, body.waist_at - 70)])
    else:
        line = path(
            [
                (-body.shoulder * 0.92, body.armpit * 0.6),
                (-body.chest * 0.55, body.armpit + 24),
                (-w * 0.5, body.waist_at),
                (-body.hem * 0.56, body.length + 4),
            ]
        )
    return tuple(Seam(turned(line, right)) for right in (False, True))


def colour_blocks(draft: Draft, body: Body) -> tuple[tuple[Seam, ...], tuple[Block, ...]]:
    """Another colour across the chest, at the bottom, on one half or down the sides."""
    style, wide = draft.pick("top", "bottom", "band", "half", "sides", "diagonal"), body.chest * 1.6
    y = draft.between(body.armpit * 0.8, body.armpit + 90)
    if style in ("top", "bottom", "band"):
        low = y + draft.between(40, 120) if style == "band" else (y if style == "top" else body.length + 99)
        high = -60.0 if style == "top" else (y + 60 if style == "bottom" else y)
        lines = [path([(-wide, e), (0, e + 6), (wide, e)]) for e in (high, low) if -60 < e < body.length]
        region = np.array([(-wide, high), (0, high + 6), (wide, high), (wide, low), (0, low + 6), (-wide, low)])
        return tuple(Seam(line) for line in lines), (Block(region, "second"),)
    if style == "half":
        return (Seam(path([(0, -20), (0, body.bottom + 20)])),), (
            Block(np.array([(0, -60), (wide, -60), (wide, body.bottom + 60), (0, body.bottom + 60)]), "second"),
        )
    if style == "diagonal":
        line = path([(-wide, y + 160), (wide, y - 120)])
        return (Seam(line),), (Block(np.vstack([line, [(wide, -200), (-wide, -200)]]), "second"),)
    line = path(
        [(-body.shoulder * 0.95, body.armpit * 0.75), (-body.chest * 0.7, body.armpit + 60), (-body.hem * 0.72, body.length + 10)]
    )
    sides = [turned(line, right) for right in (False, True)]
    return tuple(Seam(s) for s in sides), tuple(
        Block(
            np.vstack([s, [(np.sign(s[0, 0]) * wide, body.length + 10), (np.sign(s[0, 0]) * wide, body.armpit * 0.75)]]), "second"
        )
        for s in sides
    )


def shaped(draft: Draft, body: Body, yoke: float, dart: float, block: float) -> tuple[tuple[Seam, ...], tuple[Block, ...]]:
    """Seams and blocks of a front, each kind with a chance of its own."""
    seams: tuple[Seam, ...] = ()
    blocks: tuple[Block, ...] = ()
    if draft.chance(block):
        seams, blocks = colour_blocks(draft, body)
    elif draft.chance(yoke):
        seams, blocks = yokes(draft, body)
    if draft.chance(dart):
        seams = (*seams, *darts(draft, body))
    return seams, blocks


def knitted(draft: Draft, pieces: list[Piece]) -> list[Piece]:
    """Pieces with cables where these are of the main cloth, now and then."""
    if draft.chance(0.8):
        return pieces
    braids = cables(draft.between(40, 70), draft.between(1.6, 3.2))
    return [replace(piece, relief=(braids,)) if piece.role in ("main", "second") else piece for piece in pieces]
