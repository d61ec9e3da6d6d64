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


def lower_bands(body: Body, opening: Opening, deep: float, role: str, stitched: bool) -> list[Piece]:
    """The waistband of a jacket or cardigan, in two halves."""
    made = []
    for right in (True, False):
        x = -opening.bottom if opening.is_open else opening.lap
        line = path([(-body.hem, body.length), (-body.hem * 0.55, body.length + body.sag * 0.75), (x, body.bottom)])
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


def closing(draft: Draft, body: Body, opening: Opening, style: str, low: float, radius: float, metal: bool) -> list[Piece]:
    """What closes a front down to ``low``: a zip or buttons, which stay on their sides where it is open."""
    edge = opening.edge(body)
    edge = np.vstack([edge, [edge[-1, 0], low]])
    if style == "zip":
        if opening.is_open:
            return [*half_zip(edge, 12), *half_zip(mirror(edge), 12)]
        return zipper(path([(0, body.neck_depth - 2), (0, low)]), draft.between(11, 16))
    line = (
        offset(edge, 12)
        if opening.is_open
        else path([(0, body.neck_depth + draft.between(14, 30)), (0, low - draft.between(10, 60))])
    )
    return buttons(line[:: max(1, len(line) // 200)], draft.count(4, 8), radius, metal)


def cardigan(draft: Draft) -> list[Piece]:
    body = Body.random(draft, length=(440, 660))
    style = draft.pick("v", "v", "round")
    body.neck_depth = draft.between(130, 260) if style == "v" else draft.between(50, 80)
    wide = draft.between(20, 34)
    opening = Opening.random(draft, wide / 2, 0.35)
    edge = opening.edge(body)
    neck = path(*body.neckline(style))[::-1]
    seams, blocks = shaped(draft, body, 0.04, 0.0, 0.15)
    halves = fronts(draft, body, style, opening, seams, blocks)
    line = (
        np.vstack([neck + (edge[0, 0], 0) * np.linspace(0, 1, len(neck))[:, None], edge[1:], [(edge[-1, 0], body.bottom + 34)]])
        if style == "v"
        else np.vstack([edge, [(edge[-1, 0], body.bottom + 34)]])
    )
    band_left = necks.edge_band(line, wide, "rib", False)
    bands = [reshaped(band_left, mirror), band_left]
    knobs = (
        closing(draft, body, opening, "zip" if draft.chance(0.08) else "buttons", body.bottom + 24, draft.between(5, 8), False)
        if draft.chance(0.85)
        else []
    )
    bags = []
    if draft.chance(0.4):
        bags = [pockets.patch(draft, x, body.length - 130, 88, 96, ()) for x in (-72, 72)]
    rib = lower_bands(body, opening, draft.between(26, 48), "rib", False)
    collar = necks.round_band(draft, body, "round", draft.between(14, 24)) if style == "round" and not opening.is_open else []
    under = [back_inside(draft, body, "main")] if opening.is_open else []
    low = None if style == "round" or opening.is_open else body.neck_depth
    return [
        *under,
        *necks.inside(draft, body, "main", low),
        *rib,
        *knitted(draft, [*sleeves(draft, body, "long", "rib"), *halves, *bags]),
        *bands,
        *knobs,
        *collar,
    ]


def hoodie(draft: Draft) -> list[Piece]:
    body = Body.random(draft, ease=draft.between(0.98, 1.12))
    body.neck_depth = draft.between(48, 70)
    zipped = draft.chance(0.45)
    opening = Opening.random(draft, 0.0, 0.3) if zipped else Opening()
    seams, blocks = shaped(draft, body, 0.05, 0.0, 0.2)
    raglan = draft.chance(0.2)
    arms = sleeves(draft, body, "long", "rib", "second" if draft.chance(0.18) else "main", raglan=raglan)
    halves = fronts(draft, body, "round", opening, seams, blocks) if zipped else [front(draft, body, "round", seams, blocks)]
    low = body.bottom + 40
    up = draft.between(50, 110)
    middle = closing(draft, body, opening, "zip", low, 0, True) if zipped else []
    pouch = pockets.kangaroo(draft, body.length - draft.between(130, 160), body.length, body.chest * draft.between(0.5, 0.6))
    bag = [pouch] if not opening.is_open and draft.chance(0.85) else []
    rib = lower_bands(body, opening, draft.between(34, 54), "rib", False) if zipped else [rib_hem(draft, body)]
    strings = (
        drawstrings(draft, body.neck_depth + 8, draft.between(90, 160)) if draft.chance(0.75) and not opening.is_open else []
    )
    under = [back_inside(draft, body, "main")] if opening.is_open else []
    parts = [*halves, *arms] if raglan else [*arms, *halves]
    return [*under, *necks.hood_behind(draft, body), *rib, *parts, *bag, *middle, *necks.hood_edges(draft, body, up), *strings]


def jacket(draft: Draft) -> list[Piece]:
    return {"denim": denim_jacket, "bomber": zip_jacket, "zip": zip_jacket, "padded": zip_jacket, "blazer": blazer}[
        draft.pick("denim", "bomber", "zip", "padded", "blazer", "blazer")
    ](draft)


def denim_jacket(draft: Draft) -> list[Piece]:
    body = Body.random(draft, ease=1.06, length=(400, 500))
    body.neck_depth = draft.between(50, 70)
    opening = Opening.random(draft, 15, 0.25)
    yoke, seams = body.armpit + draft.between(-30, 10), []
    for right in (False, True):
        for across in (
            [(-body.chest * 1.05, yoke), (0, yoke + 5)],
            [(-96, yoke + 6), (-78, body.bottom)],
            [(-38, yoke + 6), (-44, body.bottom)],
        ):
            line = path(across)
            seams += [Seam(turned(line, right)), Seam(turned(offset(line, 4.5), right), "topstitch", 0.4)]
    extra: list[Piece] = []
    for side in (-1, 1):
        extra += [pockets.flap(draft, side * 66, yoke + 8, 74, 24, (3, 6.5)), button(side * 66, yoke + 34, 4.6, True)]
    edge = opening.edge(body)
    bands = [reshaped(necks.edge_band(edge, 30, "main", True), mirror), necks.edge_band(edge, 30, "main", True)]
    low = lower_bands(body, opening, draft.between(30, 40), "main", True)
    knobs = closing(draft, body, opening, "buttons", body.bottom + 20, 6, True)
    under = [back_inside(draft, body, "main")] if opening.is_open else []
    return [
        *under,
        *necks.inside(draft, body),
        *sleeves(draft, body, "long", "cuff"),
        *fronts(draft, body, "round", opening, tuple(seams)),
        *bands,
        *low,
        *extra,
        *knobs,
        *necks.shirt_collar(draft, body, draft.between(70, 90)),
    ]


def quilting(draft: Draft, body: Body) -> tuple[tuple[Seam, ...], Array]:
    """Seams across a padded body, and their heights on it."""
    rows = np.arange(draft.between(30, 60), body.bottom + 60, draft.between(38, 66))
    return tuple(
        Seam(path([(-body.chest * 1.3, y), (0, y + 5), (body.chest * 1.3, y)]), "seam", 1.8) for y in rows if y < body.bottom - 8
    ), rows


def zip_jacket(draft: Draft) -> list[Piece]:
    """A bomber, a tracksuit jacket or a padded one."""
    body = Body.random(draft, ease=1.06, length=(430, 560))
    body.neck_depth = draft.between(48, 66)
    opening = Opening.random(draft, 0.0, 0.25)
    padded = draft.chance(0.35)
    seams, blocks = shaped(draft, body, 0.1, 0.05, 0.0 if padded else 0.3)
    quilted, rows = quilting(draft, body)
    if padded:
        seams = quilted
    halves = fronts(draft, body, "round", opening, seams, blocks)
    raglan = draft.chance(0.25) and not padded
    arms = sleeves(
        draft, body, "long", draft.pick("rib", "hem", "cuff"), "second" if draft.chance(0.25) else "main", raglan=raglan
    )
    if padded:
        halves = [replace(p, relief=(puffs(rows, draft.between(3, 6)),)) for p in halves]
    style = draft.pick("band", "stand", "hood")
    collar = (
        necks.round_band(draft, body, "round", draft.between(18, 28))
        if style == "band"
        else necks.stand_collar(draft, body)
        if style == "stand"
        else []
    )
    hood = necks.hood_behind(draft, body) if style == "hood" else []
    edges = necks.hood_edges(draft, body, 80) if style == "hood" else []
    low = lower_bands(body, opening, draft.between(32, 48), "rib", False) if draft.chance(0.7) else []
    bags = pockets.side_welts(
        draft, draft.between(50, 66), body.length - draft.between(140, 170), draft.between(12, 34), draft.between(80, 100)
    )
    middle = closing(draft, body, opening, "zip", body.bottom + (30 if low else 0), 0, True)
    under = [back_inside(draft, body, "lining")] if opening.is_open else []
    if style == "stand" and not opening.is_open:
        middle = zipper(path([(0, body.neck_depth - 44), (0, body.bottom + (30 if low else 0))]), 14)
    parts = [*halves, *arms] if raglan else [*arms, *halves]
    return [*under, *necks.inside(draft, body, "lining"), *hood, *low, *parts, *bags, *collar, *middle, *edges]


def blazer(draft: Draft) -> list[Piece]:
    body = Body.random(draft, ease=1.02, length=(460, 560), waist=draft.between(0.86, 1.0))
    body.neck_depth = draft.between(180, 290)
    opening = Opening.random(draft, draft.between(8, 40), 0.25)
    seams: list[Seam] = []
    extra: list[Piece] = []
    flaps = draft.chance(0.7)
    for side in (-1, 1):
        x = side * 80.0
        extra.append(
            pockets.flap(draft, x, body.length - 150, 84, 26, ())
            if flaps
            else pockets.patch(draft, x, body.length - 160, 92, 104)
        )
        seams.append(
            Seam(turned(path([(-body.chest * 0.6, body.armpit + 60), (-body.waist * 0.56, body.length - 150)]), side > 0))
        )
    if draft.chance(0.6):
        extra.append(pockets.welt((52, body.armpit + 12), (110, body.armpit + 4), 13))
    knobs: list[Piece] = []
    if not opening.is_open:
        for x in (-opening.lap * 0.7, opening.lap * 0.7) if opening.lap > 22 else (0.0,):
            knobs += buttons(
                path([(x, body.neck_depth + 18), (x, body.neck_depth + 92)]),
                draft.count(1, 3),
                draft.between(5, 8),
                draft.chance(0.2),
            )
    under = [back_inside(draft, body, "lining")]
    return [
        *under,
        *necks.inside(draft, body, "lining", body.neck_depth),
        *sleeves(draft, body, "long", "hem"),
        *fronts(draft, body, "v", opening, tuple(seams)),
        *extra,
        *knobs,
        *open_lapels(draft, body, opening, draft.between(44, 70)),
    ]


def open_lapels(draft: Draft, body: Body, opening: Opening, width: float) -> list[Piece]:
    """Lapels that stay with their fronts where these are open."""
    made = necks.lapels(draft, body, body.neck_depth, width)
    if not opening.is_open:
        return made

    def apart(line: Array) -> Array:
        share = np.clip(line[:, 1] / body.neck_depth, 0, 1)
        return line + np.stack([np.where(line[:, 0] > 0, 1, -1) * opening.top * share, np.zeros(len(line))], 1)

    return [made[0], *(reshaped(p, apart) for p in made[1:])]


def coat(draft: Draft) -> list[Piece]:
    body = Body.random(draft, ease=1.04, length=(620, 790), flare=draft.between(1.0, 1.25))
    collared = draft.chance(0.3)
    body.neck_depth = draft.between(50, 66) if collared else draft.between(130, 250)
    double = draft.chance(0.35)
    opening = Opening.random(draft, 38.0 if double else 12.0, 0.25)
    seams, blocks = shaped(draft, body, 0.15, 0.3, 0.05)
    rows = hem_rows(draft, body.hem_line()) if draft.chance(0.5) else ()
    extra: list[Piece] = []
    style = draft.pick("welt", "flap", "patch", "none")
    if style == "welt":
        extra = pockets.side_welts(draft, 70, body.waist_at + 40, 20, 84)
    elif style != "none":
        extra = [
            pockets.flap(draft, s * 84, body.waist_at + 60, 90, 30)
            if style == "flap"
            else pockets.patch(draft, s * 84, body.waist_at + 60, 96, 110)
            for s in (-1, 1)
        ]
    knobs: list[Piece] = []
    for x in () if opening.is_open else (-34, 34) if double else (0,):
        knobs += buttons(
            path([(x, body.neck_depth + 24), (x, body.neck_depth + draft.between(190, 340))]),
            draft.count(3, 5),
            draft.between(6, 9),
        )
    strap = (
        belt(draft, body.waist, body.waist_at + 8, draft.between(26, 36), draft.chance(0.6))
        if draft.chance(0.35) and not opening.is_open
        else []
    )
    collar = (
        necks.shirt_collar(draft, body, draft.between(70, 100))
        if collared
        else open_lapels(draft, body, opening, draft.between(52, 86))
    )
    neck = "round" if collared else "v"
    arms = sleeves(draft, body, "long", draft.pick("hem", "hem", "roll"))
    return [
        back_inside(draft, body, "lining"),
        *necks.inside(draft, body, "lining", None if opening.is_open else body.neck_depth),
        *arms,
        *fronts(draft, body, neck, opening, (*rows, *seams), blocks),
        *extra,
        *knobs,
        *collar,
        *strap,
    ]


def vest(draft: Draft) -> list[Piece]:
    return {"quilted": quilted_vest, "suit": suit_vest, "knit": knit_vest}[draft.pick("quilted", "suit", "knit")](draft)


def quilted_vest(draft: Draft) -> list[Piece]:
    body = Body.random(draft, length=(400, 520))
    body.shoulder, body.neck_depth = body.chest * draft.between(0.84, 0.95), draft.between(44, 60)
    opening = Opening.random(draft, 0.0, 0.2)
    seams, rows = quilting(draft, body)
    halves = [
        replace(p, relief=(puffs(rows, draft.between(3, 6)),))
        for p in fronts(draft, body, "round", opening, (*seams, *armhole_rows(body)))
    ]
    middle = closing(draft, body, opening, "zip", body.bottom, 0, True)
    collar = necks.stand_collar(draft, body) if not opening.is_open else []
    bags = pockets.side_welts(draft, 60, body.length - 140, 16, 84) if draft.chance(0.7) else []
    under = [back_inside(draft, body, "lining")] if opening.is_open else []
    return [*under, *necks.inside(draft, body, "lining"), *halves, *bags, *collar, *middle]


def suit_vest(draft: Draft) -> list[Piece]:
    body = Body.random(draft, length=(380, 480), waist=0.9)
    body.shoulder, body.neck_depth = body.neck + draft.between(34, 60), draft.between(130, 220)
    opening = Opening.random(draft, 10, 0.15)
    extra = [pockets.welt((side * 100, body.waist_at + 40), (side * 48, body.waist_at + 48), 13 * side) for side in (-1, 1)]
    knobs = closing(draft, body, opening, "buttons", body.bottom - 8, 5, False)
    darts_ = tuple(
        Seam(turned(path([(-body.waist * 0.55, body.armpit + 20), (-body.waist * 0.5, body.length)]), right))
        for right in (False, True)
    )
    return [
        back_inside(draft, body, "lining"),
        *necks.inside(draft, body, "lining", body.neck_depth),
        *fronts(draft, body, "v", opening, (*darts_, *armhole_rows(body))),
        *extra,
        *knobs,
    ]


def knit_vest(draft: Draft) -> list[Piece]:
    body = Body.random(draft, length=(420, 540))
    body.shoulder, style = body.neck + draft.between(40, 74), draft.pick("v", "round")
    body.neck_depth = draft.between(110, 190) if style == "v" else draft.between(60, 90)
    hole = path([body.shoulder_point, *body.armhole()])
    wide = draft.between(8, 16)
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
    torso = front(draft, body, style)
    return [
        *necks.inside(draft, body),
        rib_hem(draft, body),
        torso,
        *arms,
        *necks.round_band(draft, body, style, draft.between(10, 18)),
    ]
