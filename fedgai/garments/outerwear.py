"""Cardigans, hooded sweatshirts, jackets, coats and vests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fedgai.garments import necks, pockets
from fedgai.garments.body import Body, Opening, back_inside, front, fronts, hem_rows, knitted, shaped
from fedgai.garments.drape import crumple, puffs
from fedgai.garments.outline import Array, mirror, offset, path, strip
from fedgai.garments.parts import (
    Draft,
    Piece,
    Seam,
    belt,
    button,
    buttons,
    drawstrings,
    half_zip,
    reshaped,
    ribbing,
    turned,
    zipper,
)
from fedgai.garments.sleeves import armhole_rows, sleeves
from fedgai.garments.tops import rib_hem


def lower_bands(b: Body, opening: Opening, deep: float, role: str, stitched: bool) -> list[Piece]:
    """The waistband of a jacket or cardigan, in two halves."""
    made = []
    for right in (True, False):
        x = -opening.bottom if opening.is_open else opening.lap
        line = path([(-b.hem, b.length), (-b.hem * 0.55, b.length + b.sag * 0.75), (x, b.bottom)])
        shape, sewn = strip(offset(line, -4), deep), offset(line, -4)
        if role == "rib":
            made.append(ribbing(turned(shape, right), turned(sewn, right), None, 8))
        else:
            made.append(
                Piece(
                    turned(shape, right),
                    role,
                    "edge",
                    sewn=(turned(sewn, right),),
                    depth=6,
                    roundness=9,
                    topstitch=(3.5,) if stitched else (),
                    lift=3,
                    folds=(crumple(26, 1.6),),
                )
            )
    return made


def closing(d: Draft, b: Body, opening: Opening, style: str, low: float, radius: float, metal: bool) -> list[Piece]:
    """What closes a front down to ``low``: a zip or buttons, which stay on their sides where it is open."""
    edge = opening.edge(b)
    edge = np.vstack([edge, [edge[-1, 0], low]])
    if style == "zip":
        if opening.is_open:
            return [*half_zip(edge, 12), *half_zip(mirror(edge), 12)]
        return zipper(path([(0, b.neck_depth - 2), (0, low)]), d.between(11, 16))
    line = offset(edge, 12) if opening.is_open else path([(0, b.neck_depth + d.between(14, 30)), (0, low - d.between(10, 60))])
    return buttons(line[:: max(1, len(line) // 200)], d.count(4, 8), radius, metal)


def cardigan(d: Draft) -> list[Piece]:
    b = Body.random(d, length=(440, 660))
    style = d.pick("v", "v", "round")
    b.neck_depth = d.between(130, 260) if style == "v" else d.between(50, 80)
    wide = d.between(20, 34)
    opening = Opening.random(d, wide / 2, 0.35)
    edge = opening.edge(b)
    neck = path(*b.neckline(style))[::-1]
    seams, blocks = shaped(d, b, 0.04, 0.0, 0.15)
    halves = fronts(d, b, style, opening, seams, blocks)
    line = (
        np.vstack([neck + (edge[0, 0], 0) * np.linspace(0, 1, len(neck))[:, None], edge[1:], [(edge[-1, 0], b.bottom + 34)]])
        if style == "v"
        else np.vstack([edge, [(edge[-1, 0], b.bottom + 34)]])
    )
    band_left = necks.edge_band(line, wide, "rib", False)
    bands = [reshaped(band_left, mirror), band_left]
    knobs = (
        closing(d, b, opening, "zip" if d.chance(0.08) else "buttons", b.bottom + 24, d.between(5, 8), False)
        if d.chance(0.85)
        else []
    )
    bags = []
    if d.chance(0.4):
        bags = [pockets.patch(d, x, b.length - 130, 88, 96, ()) for x in (-72, 72)]
    rib = lower_bands(b, opening, d.between(26, 48), "rib", False)
    collar = necks.round_band(d, b, "round", d.between(14, 24)) if style == "round" and not opening.is_open else []
    under = [back_inside(d, b, "main")] if opening.is_open else []
    low = None if style == "round" or opening.is_open else b.neck_depth
    return [
        *under,
        *necks.inside(d, b, "main", low),
        *rib,
        *knitted(d, [*sleeves(d, b, "long", "rib"), *halves, *bags]),
        *bands,
        *knobs,
        *collar,
    ]


def hoodie(d: Draft) -> list[Piece]:
    b = Body.random(d, ease=d.between(0.98, 1.12))
    b.neck_depth = d.between(48, 70)
    zipped = d.chance(0.45)
    opening = Opening.random(d, 0.0, 0.3) if zipped else Opening()
    seams, blocks = shaped(d, b, 0.05, 0.0, 0.2)
    raglan = d.chance(0.2)
    arms = sleeves(d, b, "long", "rib", "second" if d.chance(0.18) else "main", raglan=raglan)
    halves = fronts(d, b, "round", opening, seams, blocks) if zipped else [front(d, b, "round", seams, blocks)]
    low = b.bottom + 40
    up = d.between(50, 110)
    middle = closing(d, b, opening, "zip", low, 0, True) if zipped else []
    pouch = pockets.kangaroo(d, b.length - d.between(130, 160), b.length, b.chest * d.between(0.5, 0.6))
    bag = [pouch] if not opening.is_open and d.chance(0.85) else []
    rib = lower_bands(b, opening, d.between(34, 54), "rib", False) if zipped else [rib_hem(d, b)]
    strings = drawstrings(d, b.neck_depth + 8, d.between(90, 160)) if d.chance(0.75) and not opening.is_open else []
    under = [back_inside(d, b, "main")] if opening.is_open else []
    parts = [*halves, *arms] if raglan else [*arms, *halves]
    return [*under, *necks.hood_behind(d, b), *rib, *parts, *bag, *middle, *necks.hood_edges(d, b, up), *strings]


def jacket(d: Draft) -> list[Piece]:
    return {"denim": denim_jacket, "bomber": zip_jacket, "zip": zip_jacket, "padded": zip_jacket, "blazer": blazer}[
        d.pick("denim", "bomber", "zip", "padded", "blazer", "blazer")
    ](d)


def denim_jacket(d: Draft) -> list[Piece]:
    b = Body.random(d, ease=1.06, length=(400, 500))
    b.neck_depth = d.between(50, 70)
    opening = Opening.random(d, 15, 0.25)
    yoke, seams = b.armpit + d.between(-30, 10), []
    for right in (False, True):
        for across in (
            [(-b.chest * 1.05, yoke), (0, yoke + 5)],
            [(-96, yoke + 6), (-78, b.bottom)],
            [(-38, yoke + 6), (-44, b.bottom)],
        ):
            line = path(across)
            seams += [Seam(turned(line, right)), Seam(turned(offset(line, 4.5), right), "topstitch", 0.4)]
    extra: list[Piece] = []
    for side in (-1, 1):
        extra += [pockets.flap(d, side * 66, yoke + 8, 74, 24, (3, 6.5)), button(side * 66, yoke + 34, 4.6, True)]
    edge = opening.edge(b)
    bands = [reshaped(necks.edge_band(edge, 30, "main", True), mirror), necks.edge_band(edge, 30, "main", True)]
    low = lower_bands(b, opening, d.between(30, 40), "main", True)
    knobs = closing(d, b, opening, "buttons", b.bottom + 20, 6, True)
    under = [back_inside(d, b, "main")] if opening.is_open else []
    return [
        *under,
        *necks.inside(d, b),
        *sleeves(d, b, "long", "cuff"),
        *fronts(d, b, "round", opening, tuple(seams)),
        *bands,
        *low,
        *extra,
        *knobs,
        *necks.shirt_collar(d, b, d.between(70, 90)),
    ]


def quilting(d: Draft, b: Body) -> tuple[tuple[Seam, ...], Array]:
    """Seams across a padded body, and their heights on it."""
    rows = np.arange(d.between(30, 60), b.bottom + 60, d.between(38, 66))
    return tuple(
        Seam(path([(-b.chest * 1.3, y), (0, y + 5), (b.chest * 1.3, y)]), "seam", 1.8) for y in rows if y < b.bottom - 8
    ), rows


def zip_jacket(d: Draft) -> list[Piece]:
    """A bomber, a tracksuit jacket or a padded one."""
    b = Body.random(d, ease=1.06, length=(430, 560))
    b.neck_depth = d.between(48, 66)
    opening = Opening.random(d, 0.0, 0.25)
    padded = d.chance(0.35)
    seams, blocks = shaped(d, b, 0.1, 0.05, 0.0 if padded else 0.3)
    quilted, rows = quilting(d, b)
    if padded:
        seams = quilted
    halves = fronts(d, b, "round", opening, seams, blocks)
    raglan = d.chance(0.25) and not padded
    arms = sleeves(d, b, "long", d.pick("rib", "hem", "cuff"), "second" if d.chance(0.25) else "main", raglan=raglan)
    if padded:
        halves = [replace(p, relief=(puffs(rows, d.between(3, 6)),)) for p in halves]
    style = d.pick("band", "stand", "hood")
    collar = (
        necks.round_band(d, b, "round", d.between(18, 28))
        if style == "band"
        else necks.stand_collar(d, b)
        if style == "stand"
        else []
    )
    hood = necks.hood_behind(d, b) if style == "hood" else []
    edges = necks.hood_edges(d, b, 80) if style == "hood" else []
    low = lower_bands(b, opening, d.between(32, 48), "rib", False) if d.chance(0.7) else []
    bags = pockets.side_welts(d, d.between(50, 66), b.length - d.between(140, 170), d.between(12, 34), d.between(80, 100))
    middle = closing(d, b, opening, "zip", b.bottom + (30 if low else 0), 0, True)
    under = [back_inside(d, b, "lining")] if opening.is_open else []
    if style == "stand" and not opening.is_open:
        middle = zipper(path([(0, b.neck_depth - 44), (0, b.bottom + (30 if low else 0))]), 14)
    parts = [*halves, *arms] if raglan else [*arms, *halves]
    return [*under, *necks.inside(d, b, "lining"), *hood, *low, *parts, *bags, *collar, *middle, *edges]


def blazer(d: Draft) -> list[Piece]:
    b = Body.random(d, ease=1.02, length=(460, 560), waist=d.between(0.86, 1.0))
    b.neck_depth = d.between(180, 290)
    opening = Opening.random(d, d.between(8, 40), 0.25)
    seams: list[Seam] = []
    extra: list[Piece] = []
    flaps = d.chance(0.7)
    for side in (-1, 1):
        x = side * 80.0
        extra.append(pockets.flap(d, x, b.length - 150, 84, 26, ()) if flaps else pockets.patch(d, x, b.length - 160, 92, 104))
        seams.append(Seam(turned(path([(-b.chest * 0.6, b.armpit + 60), (-b.waist * 0.56, b.length - 150)]), side > 0)))
    if d.chance(0.6):
        extra.append(pockets.welt((52, b.armpit + 12), (110, b.armpit + 4), 13))
    knobs: list[Piece] = []
    if not opening.is_open:
        for x in (-opening.lap * 0.7, opening.lap * 0.7) if opening.lap > 22 else (0.0,):
            knobs += buttons(
                path([(x, b.neck_depth + 18), (x, b.neck_depth + 92)]), d.count(1, 3), d.between(5, 8), d.chance(0.2)
            )
    under = [back_inside(d, b, "lining")]
    return [
        *under,
        *necks.inside(d, b, "lining", b.neck_depth),
        *sleeves(d, b, "long", "hem"),
        *fronts(d, b, "v", opening, tuple(seams)),
        *extra,
        *knobs,
        *open_lapels(d, b, opening, d.between(44, 70)),
    ]


def open_lapels(d: Draft, b: Body, opening: Opening, width: float) -> list[Piece]:
    """Lapels that stay with their fronts where these are open."""
    made = necks.lapels(d, b, b.neck_depth, width)
    if not opening.is_open:
        return made

    def apart(line: Array) -> Array:
        share = np.clip(line[:, 1] / b.neck_depth, 0, 1)
        return line + np.stack([np.where(line[:, 0] > 0, 1, -1) * opening.top * share, np.zeros(len(line))], 1)

    return [made[0], *(reshaped(p, apart) for p in made[1:])]


def coat(d: Draft) -> list[Piece]:
    b = Body.random(d, ease=1.04, length=(620, 790), flare=d.between(1.0, 1.25))
    collared = d.chance(0.3)
    b.neck_depth = d.between(50, 66) if collared else d.between(130, 250)
    double = d.chance(0.35)
    opening = Opening.random(d, 38.0 if double else 12.0, 0.25)
    seams, blocks = shaped(d, b, 0.15, 0.3, 0.05)
    rows = hem_rows(d, b.hem_line()) if d.chance(0.5) else ()
    extra: list[Piece] = []
    style = d.pick("welt", "flap", "patch", "none")
    if style == "welt":
        extra = pockets.side_welts(d, 70, b.waist_at + 40, 20, 84)
    elif style != "none":
        extra = [
            pockets.flap(d, s * 84, b.waist_at + 60, 90, 30)
            if style == "flap"
            else pockets.patch(d, s * 84, b.waist_at + 60, 96, 110)
            for s in (-1, 1)
        ]
    knobs: list[Piece] = []
    for x in () if opening.is_open else (-34, 34) if double else (0,):
        knobs += buttons(path([(x, b.neck_depth + 24), (x, b.neck_depth + d.between(190, 340))]), d.count(3, 5), d.between(6, 9))
    strap = belt(d, b.waist, b.waist_at + 8, d.between(26, 36), d.chance(0.6)) if d.chance(0.35) and not opening.is_open else []
    collar = necks.shirt_collar(d, b, d.between(70, 100)) if collared else open_lapels(d, b, opening, d.between(52, 86))
    neck = "round" if collared else "v"
    arms = sleeves(d, b, "long", d.pick("hem", "hem", "roll"))
    return [
        back_inside(d, b, "lining"),
        *necks.inside(d, b, "lining", None if opening.is_open else b.neck_depth),
        *arms,
        *fronts(d, b, neck, opening, (*rows, *seams), blocks),
        *extra,
        *knobs,
        *collar,
        *strap,
    ]


def vest(d: Draft) -> list[Piece]:
    return {"quilted": quilted_vest, "suit": suit_vest, "knit": knit_vest}[d.pick("quilted", "suit", "knit")](d)


def quilted_vest(d: Draft) -> list[Piece]:
    b = Body.random(d, length=(400, 520))
    b.shoulder, b.neck_depth = b.chest * d.between(0.84, 0.95), d.between(44, 60)
    opening = Opening.random(d, 0.0, 0.2)
    seams, rows = quilting(d, b)
    halves = [
        replace(p, relief=(puffs(rows, d.between(3, 6)),)) for p in fronts(d, b, "round", opening, (*seams, *armhole_rows(b)))
    ]
    middle = closing(d, b, opening, "zip", b.bottom, 0, True)
    collar = necks.stand_collar(d, b) if not opening.is_open else []
    bags = pockets.side_welts(d, 60, b.length - 140, 16, 84) if d.chance(0.7) else []
    under = [back_inside(d, b, "lining")] if opening.is_open else []
    return [*under, *necks.inside(d, b, "lining"), *halves, *bags, *collar, *middle]


def suit_vest(d: Draft) -> list[Piece]:
    b = Body.random(d, length=(380, 480), waist=0.9)
    b.shoulder, b.neck_depth = b.neck + d.between(34, 60), d.between(130, 220)
    opening = Opening.random(d, 10, 0.15)
    extra = [pockets.welt((side * 100, b.waist_at + 40), (side * 48, b.waist_at + 48), 13 * side) for side in (-1, 1)]
    knobs = closing(d, b, opening, "buttons", b.bottom - 8, 5, False)
    darts_ = tuple(
        Seam(turned(path([(-b.waist * 0.55, b.armpit + 20), (-b.waist * 0.5, b.length)]), right)) for right in (False, True)
    )
    return [
        back_inside(d, b, "lining"),
        *necks.inside(d, b, "lining", b.neck_depth),
        *fronts(d, b, "v", opening, (*darts_, *armhole_rows(b))),
        *extra,
        *knobs,
    ]


def knit_vest(d: Draft) -> list[Piece]:
    b = Body.random(d, length=(420, 540))
    b.shoulder, style = b.neck + d.between(40, 74), d.pick("v", "round")
    b.neck_depth = d.between(110, 190) if style == "v" else d.between(60, 90)
    hole = path([b.shoulder_point, *b.armhole()])
    wide = d.between(8, 16)
    arms = [
        Piece(
            turned(strip(hole, -wide), right),
            "rib",
            "edge",
            sewn=(turned(offset(hole, -wide), right),),
            axis=turned(hole, right),
            depth=4,
            roundness=6,
            lift=2,
        )
        for right in (False, True)
    ]
    body = front(d, b, style)
    return [*necks.inside(d, b), rib_hem(d, b), body, *arms, *necks.round_band(d, b, style, d.between(10, 18))]
