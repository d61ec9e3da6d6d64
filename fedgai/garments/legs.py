"""Trousers, jeans and shorts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fedgai.garments import pockets
from fedgai.garments.drape import crumple, drape, press
from fedgai.garments.outline import mirror, offset, path, strip, symmetric
from fedgai.garments.parts import (
    Block,
    Draft,
    Fold,
    Piece,
    Seam,
    belt,
    button,
    drawstrings,
    reshaped,
    ribbing,
    side_fan,
    turned,
    wrinkles,
)


@dataclass
class Legs:
    """Measures of trousers, in units; half of each width. y is 0 at the top of the waistband.

    ``spread`` is how far the legs stand apart; ``band`` is the waistband's height.
    """

    waist: float
    hip: float
    rise: float
    length: float
    hem: float
    knee: float
    spread: float
    band: float

    @classmethod
    def random(cls, d: Draft, length: tuple[float, float] = (540, 670)) -> Legs:
        hip = d.between(118, 164)
        hem = d.between(36, 66) if d.chance(0.7) else d.between(66, 108)
        spread = d.between(-14, 36) if d.pose == "lying" else d.between(-18, 6)
        return cls(
            waist=hip * d.between(0.76, 0.95),
            hip=hip,
            rise=d.between(140, 200),
            length=d.between(*length),
            hem=hem,
            knee=(hem + d.between(50, 72)) / 2,
            spread=spread,
            band=d.between(20, 38),
        )

    @property
    def middle(self) -> float:
        """x of the middle of a hem, on the right."""
        return self.hip * 0.5 + self.spread


def leg(
    d: Draft,
    m: Legs,
    right: bool,
    seams: tuple[Seam, ...],
    folds: tuple[Fold, ...] = (),
    blocks: tuple[Block, ...] = (),
    turn_up: float = 0.0,
) -> Piece:
    """One leg with its half of the seat; the crotch seam is on the middle."""
    top, crotch, sway = m.band - 4, m.rise, d.rng.normal(0, 8) if d.pose == "lying" else 0.0
    middle = m.middle + sway
    hem_out, hem_in = middle + m.hem, max(middle - m.hem, -30)
    knee_y = crotch + (m.length - crotch) * 0.45
    knee_x = m.hip * 0.52 + m.spread * 0.5 + sway * 0.5
    crotch_line = path([(-4, crotch + 8)], [(4, crotch - 4), (5, top)])
    hem = path([(-hem_out, m.length), (-middle, m.length + 6), (-hem_in, m.length + 1)])
    shape = np.vstack(
        [
            path(
                [(4, top), (-m.waist * 0.5, top + 2), (-m.waist, top)],
                [(-m.hip, top + (crotch - top) * 0.62), (-(knee_x + m.knee), knee_y), (-hem_out, m.length)],
            ),
            hem,
            path([(-hem_in, m.length + 1), (-max(knee_x - m.knee, -20), knee_y), (-4, crotch + 8)], [(4, crotch - 4), (5, top)]),
        ]
    )
    k = d.crush
    made: list[Fold] = [
        drape(d.between(1.5, 3.2), d.between(3, 9) * k**0.5, 0.2),
        crumple(d.between(36, 54), 2.6 * k, d.between(-30, 30)),
        crumple(d.between(12, 20), 0.6 * k, d.between(-90, 90)),
        side_fan((-6, crotch + 4), (130, 215), right, d.between(60, 130), d.count(3, 6), d.between(7, 12), d.between(2.5, 5) * k),
        *folds,
    ]
    reach = (-hem_out, knee_y - 60, -hem_in, knee_y + 60)
    made += wrinkles(d, (-reach[2], reach[1], -reach[0], reach[3]) if right else reach, d.count(1, 4), 70, 4 * k)
    rows = (
        ()
        if turn_up
        else tuple(Seam(offset(hem, -row), "topstitch", 0.8) for row in ((d.between(10, 20),) if d.chance(0.6) else (10, 14)))
    )
    group = "right leg" if right else "left leg"
    piece = Piece(
        shape,
        "main",
        "edge",
        sewn=(crotch_line,),
        depth=d.between(20, 28) if d.pose == "worn" else d.between(10, 18),
        roundness=d.between(20, 30),
        tube=True,
        folds=tuple(made),
        seams=(*seams, *rows),
        blocks=blocks,
        lift=4,
        group=group,
    )
    return reshaped(piece, lambda line: turned(line, right))


def leg_ends(d: Draft, m: Legs, style: str) -> list[Piece]:
    """Turn-ups or ribs at the ends of both legs."""
    made = []
    for right in (False, True):
        deep = d.between(22, 44)
        out, inn = m.middle + m.hem, m.middle - m.hem
        top = path(
            [
                (-out - 1.5, m.length - (deep if style == "turn-up" else 4)),
                (-m.middle, m.length + 5 - (deep if style == "turn-up" else 4)),
                (-inn + 1.5, m.length - (deep if style == "turn-up" else 4)),
            ]
        )
        group = "right leg" if right else "left leg"
        if style == "turn-up":
            piece = Piece(
                strip(top, -deep - 3),
                d.pick("main", "lining"),
                "edge",
                depth=4,
                roundness=8,
                lift=3,
                folds=(crumple(26, 1.4 * d.crush),),
                group=group,
            )
        else:
            shape = strip(top, deep)
            shape[len(top) :, 0] = -m.middle + (shape[len(top) :, 0] + m.middle) * d.between(0.7, 0.9)
            piece = ribbing(shape, top, None, 7, group)
        made.append(reshaped(piece, mirror) if right else piece)
    return made


def waistband(d: Draft, m: Legs, style: str = "sewn", loops: float = 0.75) -> list[Piece]:
    """The inside of the back, then the band: "sewn" with belt loops now and then, or "elastic"."""
    w, deep, sag = m.waist, m.band, d.between(2, 12)
    line = path([(-w + 1, 0), (-w * 0.5, sag * 0.8), (0, sag), (w * 0.5, sag * 0.8), (w - 1, 0)])
    behind = symmetric(
        [(0, -sag * 0.8 - 3), (-w * 0.5, -sag * 0.6 - 2), (-w + 2, 0)], [(-w + 4, deep * 0.6), (0, deep * 0.6 + sag)]
    )
    folds: tuple[Fold, ...] = (drape(d.between(9, 16), 3.2, 1.0), crumple(24, 1)) if style == "elastic" else (crumple(30, 1),)
    rows = tuple(
        Seam(offset(line, row), "topstitch", 0.6)
        for row in ((deep * 0.3, deep * 0.66) if style == "elastic" else (3.5, deep - 3.5))
    )
    role = "rib" if style == "elastic" and d.chance(0.2) else "main"
    made = [
        Piece(
            behind,
            "lining" if d.chance(0.3) else "main",
            "edge",
            depth=2,
            roundness=6,
            tone=d.between(0.5, 0.7),
            lift=0.5,
            axis=line,
        ),
        Piece(
            strip(line, deep),
            role,
            "edge",
            sewn=(offset(line, deep),),
            axis=line,
            depth=5,
            roundness=8,
            folds=folds,
            seams=rows if d.chance(0.8) else (),
            lift=3,
        ),
    ]
    if style == "sewn" and d.chance(loops):
        for x in (-w * 0.62, w * 0.62, *((-w * 0.25, w * 0.25) if d.chance(0.5) else ())):
            shape = path(
                [(x - 4, -2), (x + 4, -2)], [(x + 4, deep + 7 + sag * 0.6)], [(x - 4, deep + 7 + sag * 0.6)], [(x - 4, -2)]
            )
            made.append(Piece(shape, "main", "edge", depth=2.5, roundness=3, lift=2, topstitch=(1.8,)))
    if style == "sewn" and d.chance(0.08):
        made += belt(d, w, deep * 0.5 + sag * 0.6, deep * 0.7, True)
    return made


def pair(
    d: Draft, m: Legs, seams: tuple[Seam, ...], folds: tuple[Fold, ...] = (), fly: bool = True, turn_up: str = ""
) -> list[Piece]:
    """Both legs, one over the other, with a fly's stitches and what ends the legs."""
    blocks: tuple[Block, ...] = ()
    if d.chance(0.1):  # a stripe down the side
        line = path([(-m.hip * 0.86, m.band), (-m.middle - m.hem * 0.72, m.length + 10)])
        blocks, seams = (
            (Block(np.vstack([line, [(-400, m.length + 10), (-400, 0)]]), "second"),),
            (*seams, Seam(line, "seam", 0.8)),
        )
    elif d.chance(0.08):  # a seam across the knee
        y = m.rise + (m.length - m.rise) * d.between(0.3, 0.5)
        seams = (*seams, Seam(path([(-m.middle - 120, y), (0, y + 4)]), "seam", 1.0))
    right, left = (leg(d, m, side, seams, folds, blocks, 1.0 if turn_up else 0.0) for side in (True, False))
    if fly:
        low = m.rise * d.between(0.7, 0.85)
        curve = path([(24, m.band), (24, low - 40), (15, low - 12), (0, low)])
        right = replace(right, seams=(*right.seams, Seam(curve, "topstitch", 0.8)))
    legs = [right, left] if d.chance(0.5) or fly else [left, right]
    ends = leg_ends(d, m, turn_up) if turn_up else []
    return [*ends, *legs] if turn_up == "rib" else [*legs, *ends]


def trousers(d: Draft) -> list[Piece]:
    m = Legs.random(d)
    elastic = d.chance(0.38)
    folds: list[Fold] = [press(0.5, d.between(4, 10), 0.1, 0.03)] if d.chance(0.3) and not elastic else []
    seams = pockets.slant(d, m.waist, m.hip, m.band) if d.chance(0.75) else ()
    if d.chance(0.25) and not elastic:  # waist pleats
        seams = (
            *seams,
            *(
                Seam(path([(-m.waist * x, m.band), (-m.waist * (x + 0.02), m.band + d.between(50, 90))]), "seam", 1.4)
                for x in (0.3, 0.46)
            ),
        )
    two = pair(
        d, m, seams, tuple(folds), fly=not elastic, turn_up=d.pick("", "", "rib") if elastic else d.pick("", "", "", "turn-up")
    )
    band = waistband(d, m, "elastic" if elastic else "sewn")
    extra: list[Piece] = []
    if d.chance(0.15):  # cargo pockets
        for side in (-1, 1):
            x, y = side * (m.hip * 0.55 + m.spread * 0.5 + m.knee * 0.45), m.rise + d.between(50, 90)
            extra += [pockets.patch(d, x, y, 62, 78), pockets.flap(d, x, y - 5, 66, 22)]
    knob = [button(0, m.band * 0.55 + 4, 5)] if not elastic and d.chance(0.85) else []
    ties = drawstrings(d, m.band * 0.6, 100) if elastic and d.chance(0.65) else []
    return [band[0], *two, *extra, *band[1:], *knob, *ties]


def jeans(d: Draft) -> list[Piece]:
    m = Legs.random(d)
    back = d.chance(0.12)
    seams = list(() if back else pockets.scoop(m.waist, m.hip, m.band))
    if d.chance(0.4):
        side = path([(-m.hip * 0.96, m.band + 70), (-(m.hip * 0.5 + m.spread * 0.5 + m.knee) * 0.97, m.rise + 90)])
        seams.append(Seam(offset(side, -6), "topstitch", 0.5))
    if d.chance(0.4):
        inner = path(
            [
                (-14, m.rise + 16),
                (-max(m.hip * 0.52 + m.spread * 0.5 - m.knee, 2) - 8, m.rise + (m.length - m.rise) * 0.45),
                (-m.middle + m.hem - 7, m.length - 12),
            ]
        )
        seams.append(Seam(inner, "topstitch", 0.5))
    if back:  # the yoke at the back
        yoke = path([(0, m.band + 46), (-m.waist * 0.9, m.band + 22), (-m.hip, m.band + 20)])
        seams += [Seam(yoke), Seam(offset(yoke, 4), "topstitch", 0.4)]
    two = pair(d, m, tuple(seams), fly=not back, turn_up="turn-up" if d.chance(0.15) else "")
    band = waistband(d, m, loops=0.9)
    extra: list[Piece] = pockets.seat_pockets(d, m.waist, m.band) if back else []
    if not back and d.chance(0.6):
        extra = [
            button(side * x, y, 2.6, True)
            for side in (-1, 1)
            for x, y in ((m.waist * 0.44, m.band + 6), (m.hip * 0.93, m.band + 56))
        ]
    knob = [] if back else [button(0, m.band * 0.55 + 5, 6, True)]
    return [band[0], *two, *extra, *band[1:], *knob]


def shorts(d: Draft) -> list[Piece]:
    m = Legs.random(d)
    m.length = m.rise + d.between(30, 210)
    m.hem = m.hip * d.between(0.46, 0.62)
    m.knee, m.spread = m.hem * 0.98 + 2, d.between(0, 26)
    style = d.pick("sport", "denim", "chino")
    elastic = style == "sport"
    seams: tuple[Seam, ...] = (
        pockets.scoop(m.waist, m.hip, m.band)
        if style == "denim"
        else pockets.slant(d, m.waist, m.hip, m.band)
        if d.chance(0.75)
        else ()
    )
    two = pair(d, m, seams, fly=not elastic, turn_up="turn-up" if d.chance(0.25) and not elastic else "")
    extra: list[Piece] = []
    if m.length > m.rise + 120 and d.chance(0.3):
        for side in (-1, 1):
            x, y = side * (m.hip * 0.55 + m.spread), m.rise + 20
            extra += [pockets.patch(d, x, y, 62, 70), pockets.flap(d, x, y - 5, 66, 20)]
    band = waistband(d, m, "elastic" if elastic else "sewn")
    knob = [] if elastic else [button(0, m.band * 0.55 + 4, 6, style == "denim")]
    ties = drawstrings(d, m.band * 0.6, 90) if elastic and d.chance(0.7) else []
    return [band[0], *two, *extra, *band[1:], *knob, *ties]
