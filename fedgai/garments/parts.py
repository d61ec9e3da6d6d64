"""What garments are sewn from: pieces of cloth, seams, collars, pockets, plackets, buttons.

Lengths are garment units: a shirt is about 560 of them long. x is 0 on the garment's middle, y is 0 at the neck.
Functions that make one side of a garment draw the left of the picture; ``mirrored`` turns a piece over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from fedgai.garments.drape import Grid, crease, crumple, fan
from fedgai.garments.outline import Array, Point, band, disc, mirror, offset, path, strip

Fold = Callable[[Grid], Array]
Rng = np.random.Generator


@dataclass(frozen=True)
class Seam:
    """A line (n, 2) on a piece: ``kind`` is a line type, ``groove`` the depth it is sewn in with, in units."""

    line: Array
    kind: str = "seam"
    groove: float = 1.2


@dataclass(frozen=True)
class Piece:
    """A piece of a garment, cut to ``outline`` (n, 2); later pieces lie on earlier ones.

    Attributes:
        outline: closed line (n, 2).
        role: whose cloth it is of: main, second, rib, lining, trim, button, metal, cord.
        border: line type of its outline where it lies on the garment; "" for none.
        sewn: parts of the outline, each (n, 2), that are seams whatever ``border`` says.
        open_edges: parts of the outline that are free edges whatever ``border`` says.
        axis: the cloth's length runs along this line (n, 2); None for straight down.
        depth: the body's height over ``roundness`` units from the edge, or only from the sides of a ``tube``.
        lift: how far the piece stands off what lies under it.
        tone: what share of the light reaches it.
        topstitch: distances from the outline that carry a row of stitches.
    """

    outline: Array
    role: str = "main"
    border: str = "edge"
    sewn: tuple[Array, ...] = ()
    open_edges: tuple[Array, ...] = ()
    axis: Array | None = None
    depth: float = 8.0
    roundness: float = 22.0
    folds: tuple[Fold, ...] = ()
    seams: tuple[Seam, ...] = ()
    tube: bool = False
    lift: float = 3.0
    tone: float = 1.0
    topstitch: tuple[float, ...] = ()
    wobble: float = 0.8
    flat: bool = field(default=False)


def turned(line: Array, right: bool) -> Array:
    """``line`` (n, 2) for the picture's left, or its mirror image for the right."""
    return mirror(line) if right else line


def mirrored(piece: Piece, folds: tuple[Fold, ...] | None = None) -> Piece:
    """A piece for the other side. Folds do not turn over by themselves."""
    return replace(
        piece,
        outline=mirror(piece.outline),
        sewn=tuple(mirror(line) for line in piece.sewn),
        open_edges=tuple(mirror(line) for line in piece.open_edges),
        axis=None if piece.axis is None else mirror(piece.axis),
        seams=tuple(replace(seam, line=mirror(seam.line)) for seam in piece.seams),
        folds=piece.folds if folds is None else folds,
    )


def wrinkles(rng: Rng, box: tuple[float, float, float, float], count: int, size: float, height: float) -> list[Fold]:
    """``count`` single creases anywhere in ``box`` (left, top, right, bottom)."""
    made = []
    for _ in range(count):
        x, y = rng.uniform(box[0], box[2]), rng.uniform(box[1], box[3])
        angle, length = rng.uniform(0, 2 * np.pi), size * rng.uniform(0.6, 2.0)
        end = (x + length * np.cos(angle), y + length * np.sin(angle))
        made.append(crease((x, y), end, rng.uniform(7, 15), height * rng.uniform(0.5, 1.3), rng.uniform(-0.2, 0.2)))
    return made


def angles(first: float, last: float, right: bool) -> tuple[float, float]:
    """A range of directions in degrees, 0 right and 90 down, for one side."""
    return (180 - first, 180 - last) if right else (first, last)


def side_fan(at: Point, towards: tuple[float, float], right: bool, *measures: float) -> Fold:
    """Wrinkles from a point of the left side, or from its mirror image."""
    length, count, width, height = measures
    place = (-at[0], at[1]) if right else at
    return fan(place, angles(*towards, right), length, int(count), width, height)


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


def zipper(line: Array, width: float, hidden: bool = False) -> list[Piece]:
    """A zip along ``line`` (n, 2) from the top: tape, teeth and a puller; only its fold where it is hidden."""
    tape = Piece(
        band(line, width), "trim", "edge", axis=line, depth=1.5, roundness=3, lift=0.8, wobble=0,
        seams=(Seam(offset(line, -width * 0.36), "topstitch", 0.5), Seam(offset(line, width * 0.36), "topstitch", 0.5)),
    )
    teeth = Piece(band(line, width * 0.3), "metal", "fastening", axis=line, depth=1.2, roundness=1.5, lift=0.6, wobble=0,
                  seams=(Seam(line, "", 0.9),))
    if hidden:
        return []
    top = line[min(6, len(line) - 1)]
    pull = path([(top[0] - 2.5, top[1]), (top[0] + 2.5, top[1])], [(top[0] + 3, top[1] + 17)], [(top[0] - 3, top[1] + 17)])
    return [tape, teeth, Piece(pull, "metal", "fastening", depth=2, roundness=2, lift=2, wobble=0)]


def pocket(rng: Rng, x: float, y: float, width: float, height: float, point: float = 0.0, turn: float = 0.0,
           hem: float = 12.0, stitch: tuple[float, ...] = (3.5,)) -> Piece:
    """A patch pocket whose upper edge is centred on (x, y); ``point`` units longer in the middle; turned by degrees."""
    w = width / 2
    cut = height * rng.uniform(0.04, 0.2)  # how high the lower corners are cut off
    foot = [(0.0, height + point)] if point else [(w - cut, height), (-w + cut, height)]
    corners = [(w, 0.0), (w, height - cut), *foot, (-w, height - cut), (-w, 0.0)]
    shape = path([(-w, 0.0), corners[0]], *([c] for c in corners[1:]))
    line = path([(-w, hem), (w, hem)])
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    place = np.array([[cos, sin], [-sin, cos]])
    axis = np.array([(x, y), (x - sin * 10, y + cos * 10)])
    folds = (crumple(34, rng.uniform(0.8, 2.4)),)
    return Piece(shape @ place + (x, y), "main", "edge", axis=axis, depth=1.8, roundness=3.5, folds=folds, lift=2.2,
                 seams=(Seam(line @ place + (x, y), "topstitch", 0.5),), topstitch=stitch, wobble=0.6)


def flap(rng: Rng, x: float, y: float, width: float, height: float, point: float = 0.0,
         stitch: tuple[float, ...] = (3,)) -> Piece:
    """A pocket's flap that hangs from (x, y)."""
    w = width / 2
    shape = path([(-w, 0), (w, 0)], [(w - 1, height)], [(0, height + point)], [(-w + 1, height)], [(-w, 0)]) + (x, y)
    return Piece(shape, "main", "edge", depth=3, roundness=4, folds=(crumple(26, rng.uniform(0.6, 1.6)),), lift=2.6,
                 topstitch=stitch)


def welt(start: Point, end: Point, width: float) -> Piece:
    """A narrow band over a pocket's slit."""
    line = path([start, end])
    return Piece(strip(line, width), "main", "edge", axis=line, depth=2.6, roundness=4, lift=2.2, topstitch=(2.5,))


def ribbing(outline: Array, sewn: Array, axis: Array | None = None, depth: float = 8) -> Piece:
    """A knitted rib: a cuff, a waistband or a neck."""
    return Piece(outline, "rib", "edge", sewn=(sewn,), axis=axis, depth=depth, roundness=11, lift=2.5)


def cord(line: Array, width: float = 5.0) -> list[Piece]:
    """A drawstring with a tip."""
    (x, y), (px, py) = line[-1], line[max(-5, -len(line))]
    dx, dy = np.array([x - px, y - py]) / max(np.hypot(x - px, y - py), 1e-6)
    tip = band(np.array([(x, y), (x + dx * 14, y + dy * 14)]), width + 1)
    return [Piece(band(line, width), "cord", "fastening", axis=line, depth=2.4, roundness=2.2, lift=2.4, wobble=0.2),
            Piece(tip, "metal", "fastening", depth=2, roundness=2, lift=2, wobble=0)]
