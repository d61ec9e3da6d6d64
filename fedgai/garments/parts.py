"""What garments are sewn from: pieces of cloth, seams, blocks of another cloth, and small parts.

Lengths are garment units: a shirt is about 560 of them long. x is 0 on the garment's middle, y is 0 at the neck or at the
top of a waistband. What exists on both sides is drawn for the picture's left; ``turned`` mirrors it for the right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fedgai.garments.drape import Grid, crease, crumple, fan
from fedgai.garments.outline import Array, Point, band, disc, mirror, offset, path, strip

Fold = Callable[[Grid], Array]
Rng = np.random.Generator
POSES = ("lying", "hanging", "worn")


@dataclass(frozen=True)
class Draft:
    """What a builder needs to know of the garment to come.

    Attributes:
        rng: of all its measures.
        pose: one of ``POSES``; "worn" is worn by nobody.
        crush: how wrinkled the cloth is, about 0.3 (ironed) to 1.9.
    """

    rng: Rng
    pose: str
    crush: float

    @classmethod
    def random(cls, rng: Rng) -> Draft:
        pose = str(rng.choice(POSES, p=[0.66, 0.22, 0.12]))
        crush = float(np.clip(rng.lognormal(-0.2 if pose == "lying" else -0.55, 0.5), 0.2, 1.9))
        return cls(rng, pose, crush)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def count(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def pick(self, *names: str) -> str:
        return str(self.rng.choice(names))


@dataclass(frozen=True)
class Seam:
    """A line (n, 2) on a piece: ``kind`` is a line type, or "" for one that nobody draws; ``groove`` its depth in units."""

    line: Array
    kind: str = "seam"
    groove: float = 1.2


@dataclass(frozen=True)
class Block:
    """A part of a piece that is cut from another cloth, or from another place of the same one.

    Attributes:
        outline: closed line (n, 2), which may reach beyond the piece.
        role: whose cloth it is of.
    """

    outline: Array
    role: str


@dataclass(frozen=True)
class Piece:
    """A piece of a garment, cut to ``outline`` (n, 2); later pieces lie on earlier ones.

    Attributes:
        outline: closed line (n, 2).
        role: whose cloth it is of: main, second, rib, collar, lining, trim, label, button, metal, cord; or one of ``PROPS``.
        border: line type of its outline where it lies on the garment; "" for none.
        sewn: parts of the outline, each (n, 2), that are seams whatever ``border`` is.
        axis: the cloth's length runs along this line (n, 2); None for straight down.
        depth: the body's height over ``roundness`` units from the edge, or only from the sides of a ``tube``.
        lift: how far the piece stands off what lies under it.
        tone: what share of the light reaches it.
        topstitch: distances from the outline that carry a row of stitches.
        relief: heights like folds that nobody draws: cables of a knit, padding.
        wobble: how far the cut strays from the outline.
        group: what is folded over together, as a sleeve and its cuff.
    """

    outline: Array
    role: str = "main"
    border: str = "edge"
    sewn: tuple[Array, ...] = ()
    axis: Array | None = None
    depth: float = 8.0
    roundness: float = 22.0
    folds: tuple[Fold, ...] = ()
    relief: tuple[Fold, ...] = ()
    seams: tuple[Seam, ...] = ()
    blocks: tuple[Block, ...] = ()
    tube: bool = False
    lift: float = 3.0
    tone: float = 1.0
    topstitch: tuple[float, ...] = ()
    wobble: float = 0.8
    group: str = ""


PROPS = ("hanger", "clip", "tag", "skin", "hair", "other")  # in the picture, not of the garment


def turned(line: Array, right: bool) -> Array:
    """``line`` (n, 2) for the picture's left, or its mirror image for the right."""
    return mirror(line) if right else line


def reshaped(piece: Piece, change: Callable[[Array], Array]) -> Piece:
    """A piece with every line changed by a function of points (n, 2). Its folds stay where they were."""
    return replace(
        piece,
        outline=change(piece.outline),
        sewn=tuple(change(line) for line in piece.sewn),
        axis=None if piece.axis is None else change(piece.axis),
        seams=tuple(replace(seam, line=change(seam.line)) for seam in piece.seams),
        blocks=tuple(replace(block, outline=change(block.outline)) for block in piece.blocks),
    )


def wrinkles(draft: Draft, box: tuple[float, float, float, float], count: int, size: float, height: float) -> list[Fold]:
    """``count`` single creases anywhere in ``box`` (left, top, right, bottom)."""
    made = []
    for _ in range(count):
        x, y = draft.between(box[0], box[2]), draft.between(box[1], box[3])
        angle, length = draft.between(0, 2 * np.pi), size * draft.between(0.6, 2.0)
        end = (x + length * np.cos(angle), y + length * np.sin(angle))
        made.append(crease((x, y), end, draft.between(6, 15), height * draft.between(0.5, 1.3), draft.between(-0.2, 0.2)))
    return made


def side_fan(
    at: Point, towards: tuple[float, float], right: bool, length: float, count: int, width: float, height: float
) -> Fold:
    """Wrinkles from a point of the left side (directions in degrees, 0 right and 90 down), or their mirror image."""
    place = (-at[0], at[1]) if right else at
    first, last = (180 - towards[0], 180 - towards[1]) if right else towards
    return fan(place, (first, last), length, count, width, height)


# Small parts ---------------------------------------------------------------------------------------------------------


def button(x: float, y: float, radius: float, metal: bool = False) -> Piece:
    """A button; one of plastic has a dished middle and holes."""
    gap = radius * 0.28
    seams = [Seam(disc(x, y, radius * 0.68), "", 0.6)]
    if not metal:
        corners = [(x + a, y + b) for a in (-gap, gap) for b in (-gap, gap)]
        seams += [Seam(np.array([(a, b), (a + 0.5, b)]), "", 1.4) for a, b in corners]
    role = "metal" if metal else "button"
    return Piece(disc(x, y, radius), role, "fastening", depth=1.6, roundness=1.6, seams=tuple(seams), lift=1.3, wobble=0)


def buttons(line: Array, count: int, radius: float, metal: bool = False) -> list[Piece]:
    """``count`` buttons evenly along ``line`` (n, 2), ends included."""
    along = np.r_[0, np.cumsum(np.hypot(*np.diff(line, axis=0).T))]
    at = np.linspace(0, along[-1], count)
    return [button(np.interp(a, along, line[:, 0]), np.interp(a, along, line[:, 1]), radius, metal) for a in at]


def zipper(line: Array, width: float) -> list[Piece]:
    """A zip along ``line`` (n, 2) from the top: tape, teeth and a puller."""
    rows = tuple(Seam(offset(line, side * width * 0.36), "topstitch", 0.5) for side in (-1, 1))
    tape = Piece(band(line, width), "trim", "edge", axis=line, depth=1.5, roundness=3, lift=0.8, wobble=0, seams=rows)
    teeth = Piece(
        band(line, width * 0.3),
        "metal",
        "fastening",
        axis=line,
        depth=1.2,
        roundness=1.5,
        lift=0.6,
        wobble=0,
        seams=(Seam(line, "", 0.9),),
    )
    x, y = line[min(6, len(line) - 1)]
    shape = path([(x - 2.5, y), (x + 2.5, y)], [(x + 3, y + 17)], [(x - 3, y + 17)], [(x - 2.5, y)])
    return [tape, teeth, Piece(shape, "metal", "fastening", depth=2, roundness=2, lift=2, wobble=0)]


def half_zip(line: Array, width: float) -> list[Piece]:
    """One side of an open zip: teeth along the edge of a front."""
    return [Piece(band(line, width * 0.35), "metal", "fastening", axis=line, depth=1.2, roundness=1.5, lift=0.8, wobble=0)]


def cord(line: Array, width: float = 5.0, tip: bool = True) -> list[Piece]:
    """A drawstring along ``line`` (n, 2) with a tip at its end."""
    string = Piece(band(line, width), "cord", "fastening", axis=line, depth=2.4, roundness=2.2, lift=2.4, wobble=0.2)
    if not tip:
        return [string]
    heading = line[-1] - line[max(-5, -len(line))]
    heading = heading / max(float(np.hypot(*heading)), 1e-6)
    end = band(np.stack([line[-1], line[-1] + heading * 14]), width + 1)
    return [string, Piece(end, "metal", "fastening", depth=2, roundness=2, lift=2, wobble=0)]


def drawstrings(draft: Draft, y: float, length: float, width: float = 4.5) -> list[Piece]:
    """Two strings that hang from the middle at height ``y``, knotted now and then."""
    made = []
    tip = draft.chance(0.6)
    for side in (-1, 1):
        x, reach = side * draft.between(3, 16), length * draft.between(0.75, 1.1)
        line = path([(x, y), (x + side * draft.between(0, 14), y + reach * 0.5), (x + side * draft.between(-4, 16), y + reach)])
        made += cord(line, width, tip)
    return made


def bow(draft: Draft, x: float, y: float, size: float, role: str = "main") -> list[Piece]:
    """A tied bow: two loops, two tails and the knot."""
    made = []
    for side in (-1, 1):
        tail = path(
            [
                (x, y),
                (x + side * size * 0.5, y + size * draft.between(0.8, 1.2)),
                (x + side * size * draft.between(0.3, 0.7), y + size * 1.9),
            ]
        )
        loop = path(
            [
                (x, y),
                (x + side * size * 0.6, y - size * 0.34),
                (x + side * size, y + size * 0.06),
                (x + side * size * 0.6, y + size * 0.34),
                (x, y),
            ]
        )
        made += [
            Piece(band(tail, size * 0.22), role, "edge", axis=tail, depth=3, roundness=4, lift=2, folds=(crumple(20, 1.2),)),
            Piece(
                loop,
                role,
                "edge",
                axis=np.array([(x, y), (x + side * size, y)]),
                depth=5,
                roundness=6,
                lift=3,
                folds=(crumple(16, 1.6),),
            ),
        ]
    return [*made, Piece(disc(x, y, size * 0.17), role, "edge", depth=4, roundness=4, lift=2)]


def belt(draft: Draft, half_width: float, y: float, deep: float, buckle: bool) -> list[Piece]:
    """A belt of the garment's own cloth around its waist, with a buckle or tied."""
    w = half_width + 2
    line = path([(-w, y - deep / 2 - 4), (0, y - deep / 2 + 3), (w, y - deep / 2 - 4)])
    made = [
        Piece(
            strip(line, deep),
            "second" if draft.chance(0.25) else "main",
            "edge",
            axis=line,
            depth=5,
            roundness=7,
            folds=(crumple(24, 1.4),),
            topstitch=(3,) if draft.chance(0.6) else (),
            lift=3.4,
        )
    ]
    x = draft.between(-0.2, 0.2) * w
    if buckle:
        frame = [(x - deep * 0.6, y + 2), (x + deep * 0.6, y + 2)]
        ring = path(
            [(frame[0][0], y - deep * 0.62), (frame[1][0], y - deep * 0.62)],
            [(frame[1][0], y + deep * 0.7)],
            [(frame[0][0], y + deep * 0.7)],
            [(frame[0][0], y - deep * 0.62)],
        )
        made.append(Piece(band(ring, 4.5), "metal", "fastening", depth=2.5, roundness=2.5, lift=2, wobble=0))
    else:
        made += bow(draft, x, y + 2, draft.between(40, 64), made[0].role)
    return made


def ribbing(outline: Array, sewn: Array, axis: Array | None = None, depth: float = 8, group: str = "") -> Piece:
    """A knitted rib: a cuff, a waistband or a neck."""
    return Piece(outline, "rib", "edge", sewn=(sewn,), axis=axis, depth=depth, roundness=11, lift=2.5, group=group)
