"""Pockets, their flaps and welts."""

from __future__ import annotations

import numpy as np

from fedgai.garments.drape import crumple, drape
from fedgai.garments.outline import Point, offset, path, strip, symmetric
from fedgai.garments.parts import Draft, Piece, Seam, button, turned, zipper


def patch(draft: Draft, x: float, y: float, width: float, height: float, stitch: tuple[float, ...] = (3.5,)) -> Piece:
    """A patch pocket whose upper edge is centred on (x, y): pointed, square, with cut corners or round."""
    w, turn = width / 2, np.radians(draft.rng.normal(0, 1.5))
    style = draft.pick("pointed", "square", "cut", "round")
    cut = height * (0.08 if style == "square" else draft.between(0.14, 0.26))
    if style == "pointed":
        shape = path([(-w, 0), (w, 0)], [(w, height - cut)], [(0, height)], [(-w, height - cut)], [(-w, 0)])
    elif style == "round":
        shape = path(
            [(-w, 0), (w, 0)],
            [
                (w, height - cut * 1.4),
                (w * 0.72, height - cut * 0.2),
                (0, height),
                (-w * 0.72, height - cut * 0.2),
                (-w, height - cut * 1.4),
            ],
            [(-w, 0)],
        )
    elif style == "cut":
        shape = path(
            [(-w, 0), (w, 0)], [(w, height - cut)], [(w - cut, height)], [(-w + cut, height)], [(-w, height - cut)], [(-w, 0)]
        )
    else:
        shape = path([(-w, 0), (w, 0)], [(w * 0.97, height)], [(-w * 0.97, height)], [(-w, 0)])
    rotate = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    hem = path([(-w, height * 0.17), (w, height * 0.17)])
    axis = np.array([(0.0, 0.0), (0.0, 10.0)]) @ rotate + (x, y)
    return Piece(
        shape @ rotate + (x, y),
        "main",
        "edge",
        axis=axis,
        depth=1.8,
        roundness=3.5,
        folds=(crumple(34, draft.between(0.8, 2.4)),),
        lift=2.2,
        seams=(Seam(hem @ rotate + (x, y), "topstitch", 0.5),) if stitch else (),
        topstitch=stitch,
        wobble=0.6,
    )


def flap(draft: Draft, x: float, y: float, width: float, height: float, stitch: tuple[float, ...] = (3.0,)) -> Piece:
    """A pocket's flap that hangs from (x, y), straight or pointed."""
    w, point = width / 2, draft.between(6, 18) if draft.chance(0.4) else 0.0
    shape = path(
        [(x - w, y), (x + w, y)], [(x + w - 1, y + height)], [(x, y + height + point)], [(x - w + 1, y + height)], [(x - w, y)]
    )
    return Piece(
        shape, "main", "edge", depth=3, roundness=4, folds=(crumple(26, draft.between(0.6, 1.6)),), lift=2.6, topstitch=stitch
    )


def welt(start: Point, end: Point, width: float) -> Piece:
    """A narrow band over a pocket's slit."""
    line = path([start, end])
    return Piece(strip(line, width), "main", "edge", axis=line, depth=2.6, roundness=4, lift=2.2, topstitch=(2.5,))


def side_welts(draft: Draft, x: float, y: float, lean: float, length: float) -> list[Piece]:
    """A slanted welt or zip on either side, its top at (-x, y)."""
    zipped, width = draft.chance(0.3), draft.between(11, 16)
    made: list[Piece] = []
    for right in (False, True):
        line = turned(path([(-x, y), (-x - lean, y + length)]), right)
        made += zipper(line, 9) if zipped else [welt(tuple(line[0]), tuple(line[-1]), -width if right else width)]
    return made


def chest_pockets(draft: Draft, x: float, y: float, both: bool, flaps: bool, metal: bool = False) -> list[Piece]:
    """One pocket on the picture's right, or two, with flaps or without."""
    made: list[Piece] = []
    wide, tall = draft.between(60, 80), draft.between(66, 84)
    for side in (-1, 1) if both else (1,):
        pocket = patch(draft, side * x, y, wide, tall)
        made.append(pocket)
        if flaps:
            made += [flap(draft, side * x, y - 5, wide + 4, 22), button(side * x, y + 16, 4.4, metal)]
    return made


def kangaroo(draft: Draft, y: float, bottom: float, half_width: float) -> Piece:
    """The pouch of a hooded sweatshirt."""
    w = half_width
    shape = symmetric([(0, y), (-w * 0.72, y)], [(-w * 0.8, y + 34), (-w, y + 76)], [(-w, bottom)], [(0, bottom + 4)])
    return Piece(
        shape,
        "main",
        "edge",
        depth=5,
        roundness=9,
        folds=(crumple(40, 2.4), drape(3, 2.4, 0.6)),
        lift=3.4,
        topstitch=(4, 7.5)[: draft.count(1, 2)],
    )


def slant(draft: Draft, waist: float, hip: float, top: float) -> tuple[Seam, ...]:
    """The slanted openings of trousers, for the left leg."""
    line = path(
        [(-waist * draft.between(0.56, 0.72), top), (-waist * 0.88, top + 50), (-hip * 0.99, top + draft.between(84, 110))]
    )
    return (Seam(line, "edge", 2.2), Seam(offset(line, -5), "topstitch", 0.5))


def scoop(waist: float, hip: float, top: float) -> tuple[Seam, ...]:
    """The round openings of jeans with their coin pocket, for the left leg."""
    line = path([(-waist * 0.42, top), (-waist * 0.52, top + 42), (-waist * 0.8, top + 62), (-hip * 0.97, top + 58)])
    coin = path([(-waist * 0.62, top + 30), (-waist * 0.88, top + 24)])
    return (
        Seam(line, "edge", 2),
        Seam(offset(line, -4), "topstitch", 0.5),
        Seam(offset(line, -8), "topstitch", 0.4),
        Seam(coin, "seam", 1),
    )


def seat_pockets(draft: Draft, waist: float, top: float) -> list[Piece]:
    """The patch pockets at the back of jeans."""
    wide, tall = draft.between(64, 78), draft.between(70, 84)
    return [patch(draft, side * waist * 0.56, top + draft.between(34, 40), wide, tall, (3, 6)) for side in (-1, 1)]
