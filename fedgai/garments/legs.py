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
    def random(cls, draft: Draft, length: tuple[float, float] = (540, 670)) -> Legs:
        hip = draft.between(118, 164)
        hem = draft.between(36, 66) if draft.chance(0.7) else draft.between(66, 108)
        spread = draft.between(-14, 36) if draft.pose == "lying" else draft.between(-18, 6)
        return cls(
            waist=hip * draft.between(0.76, 0.95),
            hip=hip,
            rise=draft.between(140, 200),
            length=draft.between(*length),
            hem=hem,
            knee=(hem + draft.between(50, 72)) / 2,
            spread=spread,
            band=draft.between(20, 38),
        )

    @property
    def middle(self) -> float:
        """x of the middle of a hem, on the right."""
        return self.hip * 0.5 + self.spread


def leg(
    draft: Draft,
    legs: Legs,
    right: bool,
    seams: tuple[Seam, ...],
    folds: tuple[Fold, ...] = (),
    blocks: tuple[Block, ...] = (),
    turn_up: float = 0.0,
) -> Piece:
    """One leg with its half of the seat; the crotch seam is on the middle."""
    top, crotch, sway = legs.band - 4, legs.rise, draft.rng.normal(0, 8) if draft.pose == "lying" else 0.0
    middle = legs.middle + sway
    hem_out, hem_in = middle + legs.hem, max(middle - legs.hem, -30)
    knee_y = crotch + (legs.length - crotch) * 0.45
    knee_x = legs.hip * 0.52 + legs.spread * 0.5 + sway * 0.5
    crotch_line = path([(-4, crotch + 8)], [(4, crotch - 4), (5, top)])
    hem = path([(-hem_out, legs.length), (-middle, legs.length + 6), (-hem_in, legs.length + 1)])
    shape = np.vstack(
        [
            path(
                [(4, top), (-legs.waist * 0.5, top + 2), (-legs.waist, top)],
                [(-legs.hip, top + (crotch - top) * 0.62), (-(knee_x + legs.knee), knee_y), (-hem_out, legs.length)],
            ),
            hem,
            path(
                [(-hem_in, legs.length + 1), (-max(knee_x - legs.knee, -20), knee_y), (-4, crotch + 8)],
                [(4, crotch - 4), (5, top)],
            ),
        ]
    )
    all_folds = [*_leg_folds(draft, crotch, right), *folds]
    reach = (hem_in, knee_y - 60, hem_out, knee_y + 60) if right else (-hem_out, knee_y - 60, -hem_in, knee_y + 60)
    all_folds += wrinkles(draft, reach, draft.count(1, 4), 70, 4 * draft.crush)
    rows: tuple[float, ...] = ()
    if not turn_up:
        rows = (draft.between(10, 20),) if draft.chance(0.6) else (10, 14)
    stitches = [Seam(offset(hem, -row), "topstitch", 0.8) for row in rows]
    group = "right leg" if right else "left leg"
    piece = Piece(
        shape,
        "main",
        "edge",
        sewn=(crotch_line,),
        depth=draft.between(20, 28) if draft.pose == "worn" else draft.between(10, 18),
        roundness=draft.between(20, 30),
        tube=True,
        folds=tuple(all_folds),
        seams=(*seams, *stitches),
        blocks=blocks,
        lift=4,
        group=group,
    )
    return reshaped(piece, lambda line: turned(line, right))


def _leg_folds(draft: Draft, crotch: float, right: bool) -> list[Fold]:
    """Folds that every leg has: along it, crumples, and a fan from the crotch at height ``crotch``."""
    crush = draft.crush
    return [
        drape(draft.between(1.5, 3.2), draft.between(3, 9) * crush**0.5, 0.2),
        crumple(draft.between(36, 54), 2.6 * crush, draft.between(-30, 30)),
        crumple(draft.between(12, 20), 0.6 * crush, draft.between(-90, 90)),
        side_fan(
            (-6, crotch + 4),
            (130, 215),
            right,
            draft.between(60, 130),
            draft.count(3, 6),
            draft.between(7, 12),
            draft.between(2.5, 5) * crush,
        ),
    ]


def leg_ends(draft: Draft, legs: Legs, style: str) -> list[Piece]:
    """Turn-ups or ribs at the ends of both legs."""
    made = []
    for right in (False, True):
        deep = draft.between(22, 44)
        out, inn = legs.middle + legs.hem, legs.middle - legs.hem
        top = path(
            [
                (-out - 1.5, legs.length - (deep if style == "turn-up" else 4)),
                (-legs.middle, legs.length + 5 - (deep if style == "turn-up" else 4)),
                (-inn + 1.5, legs.length - (deep if style == "turn-up" else 4)),
            ]
        )
        group = "right leg" if right else "left leg"
        if style == "turn-up":
            piece = Piece(
                strip(top, -deep - 3),
                draft.pick("main", "lining"),
                "edge",
                depth=4,
                roundness=8,
                lift=3,
                folds=(crumple(26, 1.4 * draft.crush),),
                group=group,
            )
        else:
            shape = strip(top, deep)
            shape[len(top) :, 0] = -legs.middle + (shape[len(top) :, 0] + legs.middle) * draft.between(0.7, 0.9)
            piece = ribbing(shape, top, None, 7, group)
        made.append(reshaped(piece, mirror) if right else piece)
    return made


def waistband(draft: Draft, legs: Legs, style: str = "sewn", loops: float = 0.75) -> list[Piece]:
    """The inside of the back, then the band: "sewn" with belt loops now and then, or "elastic"."""
    w, deep, sag = legs.waist, legs.band, draft.between(2, 12)
    line = path([(-w + 1, 0), (-w * 0.5, sag * 0.8), (0, sag), (w * 0.5, sag * 0.8), (w - 1, 0)])
    behind = symmetric(
        [(0, -sag * 0.8 - 3), (-w * 0.5, -sag * 0.6 - 2), (-w + 2, 0)], [(-w + 4, deep * 0.6), (0, deep * 0.6 + sag)]
    )
    folds: tuple[Fold, ...] = (drape(draft.between(9, 16), 3.2, 1.0), crumple(24, 1)) if style == "elastic" else (crumple(30, 1),)
    rows = tuple(
        Seam(offset(line, row), "topstitch", 0.6)
        for row in ((deep * 0.3, deep * 0.66) if style == "elastic" else (3.5, deep - 3.5))
    )
    role = "rib" if style == "elastic" and draft.chance(0.2) else "main"
    made = [
        Piece(
            behind,
            "lining" if draft.chance(0.3) else "main",
            "edge",
            depth=2,
            roundness=6,
            tone=draft.between(0.5, 0.7),
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
            seams=rows if draft.chance(0.8) else (),
            lift=3,
        ),
    ]
    if style == "sewn" and draft.chance(loops):
        for x in (-w * 0.62, w * 0.62, *((-w * 0.25, w * 0.25) if draft.chance(0.5) else ())):
            shape = path(
                [(x - 4, -2), (x + 4, -2)], [(x + 4, deep + 7 + sag * 0.6)], [(x - 4, deep + 7 + sag * 0.6)], [(x - 4, -2)]
            )
            made.append(Piece(shape, "main", "edge", depth=2.5, roundness=3, lift=2, topstitch=(1.8,)))
    if style == "sewn" and draft.chance(0.08):
        made += belt(draft, w, deep * 0.5 + sag * 0.6, deep * 0.7, True)
    return made


def pair(
    draft: Draft, legs: Legs, seams: tuple[Seam, ...], folds: tuple[Fold, ...] = (), fly: bool = True, turn_up: str = ""
) -> list[Piece]:
    """Both legs, one over the other, with a fly's stitches and what ends the legs."""
    blocks: tuple[Block, ...] = ()
    if draft.chance(0.1):  # a stripe down the side
        line = path([(-legs.hip * 0.86, legs.band), (-legs.middle - legs.hem * 0.72, legs.length + 10)])
        blocks, seams = (
            (Block(np.vstack([line, [(-400, legs.length + 10), (-400, 0)]]), "second"),),
            (*seams, Seam(line, "seam", 0.8)),
        )
    elif draft.chance(0.08):  # a seam across the knee
        y = legs.rise + (legs.length - legs.rise) * draft.between(0.3, 0.5)
        seams = (*seams, Seam(path([(-legs.middle - 120, y), (0, y + 4)]), "seam", 1.0))
    right, left = (leg(draft, legs, side, seams, folds, blocks, 1.0 if turn_up else 0.0) for side in (True, False))
    if fly:
        low = legs.rise * draft.between(0.7, 0.85)
        curve = path([(24, legs.band), (24, low - 40), (15, low - 12), (0, low)])
        right = replace(right, seams=(*right.seams, Seam(curve, "topstitch", 0.8)))
    both = [right, left] if draft.chance(0.5) or fly else [left, right]
    ends = leg_ends(draft, legs, turn_up) if turn_up else []
    return [*ends, *both] if turn_up == "rib" else [*both, *ends]


def trousers(draft: Draft) -> list[Piece]:
    legs = Legs.random(draft)
    elastic = draft.chance(0.38)
    folds: list[Fold] = [press(0.5, draft.between(4, 10), 0.1, 0.03)] if draft.chance(0.3) and not elastic else []
    seams = pockets.slant(draft, legs.waist, legs.hip, legs.band) if draft.chance(0.75) else ()
    if draft.chance(0.25) and not elastic:  # waist pleats
        seams = (
            *seams,
            *(
                Seam(
                    path([(-legs.waist * x, legs.band), (-legs.waist * (x + 0.02), legs.band + draft.between(50, 90))]),
                    "seam",
                    1.4,
                )
                for x in (0.3, 0.46)
            ),
        )
    two = pair(
        draft,
        legs,
        seams,
        tuple(folds),
        fly=not elastic,
        turn_up=draft.pick("", "", "rib") if elastic else draft.pick("", "", "", "turn-up"),
    )
    band = waistband(draft, legs, "elastic" if elastic else "sewn")
    extra: list[Piece] = []
    if draft.chance(0.15):  # cargo pockets
        for side in (-1, 1):
            x, y = side * (legs.hip * 0.55 + legs.spread * 0.5 + legs.knee * 0.45), legs.rise + draft.between(50, 90)
            extra += [pockets.patch(draft, x, y, 62, 78), pockets.flap(draft, x, y - 5, 66, 22)]
    knob = [button(0, legs.band * 0.55 + 4, 5)] if not elastic and draft.chance(0.85) else []
    ties = drawstrings(draft, legs.band * 0.6, 100) if elastic and draft.chance(0.65) else []
    return [band[0], *two, *extra, *band[1:], *knob, *ties]


def jeans(draft: Draft) -> list[Piece]:
    legs = Legs.random(draft)
    back = draft.chance(0.12)
    seams = list(() if back else pockets.scoop(legs.waist, legs.hip, legs.band))
    if draft.chance(0.4):
        side = path(
            [(-legs.hip * 0.96, legs.band + 70), (-(legs.hip * 0.5 + legs.spread * 0.5 + legs.knee) * 0.97, legs.rise + 90)]
        )
        seams.append(Seam(offset(side, -6), "topstitch", 0.5))
    if draft.chance(0.4):
        inner = path(
            [
                (-14, legs.rise + 16),
                (-max(legs.hip * 0.52 + legs.spread * 0.5 - legs.knee, 2) - 8, legs.rise + (legs.length - legs.rise) * 0.45),
                (-legs.middle + legs.hem - 7, legs.length - 12),
            ]
        )
        seams.append(Seam(inner, "topstitch", 0.5))
    if back:  # the yoke at the back
        yoke = path([(0, legs.band + 46), (-legs.waist * 0.9, legs.band + 22), (-legs.hip, legs.band + 20)])
        seams += [Seam(yoke), Seam(offset(yoke, 4), "topstitch", 0.4)]
    two = pair(draft, legs, tuple(seams), fly=not back, turn_up="turn-up" if draft.chance(0.15) else "")
    band = waistband(draft, legs, loops=0.9)
    extra: list[Piece] = pockets.seat_pockets(draft, legs.waist, legs.band) if back else []
    if not back and draft.chance(0.6):
        extra = [
            button(side * x, y, 2.6, True)
            for side in (-1, 1)
            for x, y in ((legs.waist * 0.44, legs.band + 6), (legs.hip * 0.93, legs.band + 56))
        ]
    knob = [] if back else [button(0, legs.band * 0.55 + 5, 6, True)]
    return [band[0], *two, *extra, *band[1:], *knob]


def shorts(draft: Draft) -> list[Piece]:
    legs = Legs.random(draft)
    legs.length = legs.rise + draft.between(30, 210)
    legs.hem = legs.hip * draft.between(0.46, 0.62)
    legs.knee, legs.spread = legs.hem * 0.98 + 2, draft.between(0, 26)
    style = draft.pick("sport", "denim", "chino")
    elastic = style == "sport"
    seams: tuple[Seam, ...] = (
        pockets.scoop(legs.waist, legs.hip, legs.band)
        if style == "denim"
        else pockets.slant(draft, legs.waist, legs.hip, legs.band)
        if draft.chance(0.75)
        else ()
    )
    two = pair(draft, legs, seams, fly=not elastic, turn_up="turn-up" if draft.chance(0.25) and not elastic else "")
    extra: list[Piece] = []
    if legs.length > legs.rise + 120 and draft.chance(0.3):
        for side in (-1, 1):
            x, y = side * (legs.hip * 0.55 + legs.spread), legs.rise + 20
            extra += [pockets.patch(draft, x, y, 62, 70), pockets.flap(draft, x, y - 5, 66, 20)]
    band = waistband(draft, legs, "elastic" if elastic else "sewn")
    knob = [] if elastic else [button(0, legs.band * 0.55 + 4, 6, style == "denim")]
    ties = drawstrings(draft, legs.band * 0.6, 90) if elastic and draft.chance(0.7) else []
    return [band[0], *two, *extra, *band[1:], *knob, *ties]
