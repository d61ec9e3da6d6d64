"""Skirts, dresses and jumpsuits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fedgai.garments import necks, pockets
from fedgai.garments.body import Body, body_depth, darts
from fedgai.garments.drape import Grid, crumple, drape, pleats
from fedgai.garments.legs import Legs, pair, waistband
from fedgai.garments.outline import Array, mirror, offset, path, symmetric
from fedgai.garments.parts import Block, Draft, Fold, Piece, Seam, belt, bow, buttons, reshaped, side_fan, wrinkles, zipper
from fedgai.garments.sleeves import armhole_rows, sleeves
from fedgai.garments.tops import strap_body

CUTS = ("pencil", "a-line", "gathered", "pleated", "tiered")


def hem_edge(draft: Draft, hem: float, y: float, sag: float, wavy: bool) -> Array:
    """A skirt's hem (61, 2) from left to right, straight or in waves."""
    u = np.linspace(0, 1, 61)
    waves = draft.between(2, 7)
    swing = np.sin(2 * np.pi * (waves * u + 0.22 * np.sin(7 * u) + draft.between(0, 1))) * np.minimum(1, 8 * u * (1 - u))
    return np.stack([-hem + 2 * hem * u, y + sag * 4 * u * (1 - u) + (draft.between(1, 5) * swing if wavy else 0)], 1)


def skirt_folds(draft: Draft, cut: str, waist: float, top: float, length: float) -> tuple[Fold, ...]:
    made: list[Fold] = [
        crumple(draft.between(34, 56), 2.0 * draft.crush),
        crumple(draft.between(12, 20), 0.5 * draft.crush, draft.between(-90, 90)),
    ]
    if cut == "pleated":
        made += [pleats(draft.count(9, 26), draft.between(4, 8), draft.between(0, 0.4)), drape(4, 6, 0.0)]
    elif cut in ("gathered", "tiered"):
        made.append(drape(draft.between(5, 10), draft.between(10, 24), 0.3, draft.between(3, 6)))
    elif cut == "a-line":
        made.append(drape(draft.between(3, 6), draft.between(6, 18), 0.05))
    else:
        made += [
            drape(3, 3, 0.2),
            *wrinkles(draft, (-waist, top + 30, waist, top + length), draft.count(1, 5), 90, 3.4 * draft.crush),
        ]
    return tuple(made)


def skirt_seams(
    draft: Draft, cut: str, waist: float, top: float, length: float, hem: float, edge: Array
) -> tuple[list[Seam], list[Block]]:
    """Hem, darts, middle seams, a slit, tiers and a border of another cloth."""
    low = float(edge[:, 1].max())
    seams, blocks = [Seam(offset(edge, -draft.between(7, 26)), "topstitch", 0.8)] if draft.chance(0.85) else [], []

    def across(share: float) -> Array:
        w = waist + (hem - waist) * share
        return path(
            [
                (-w * 1.05, top + (edge[0, 1] - top) * share),
                (0, top + (edge[30, 1] - top) * share),
                (w * 1.05, top + (edge[0, 1] - top) * share),
            ]
        )

    if cut in ("pencil", "a-line") and draft.chance(0.5):
        seams += [Seam(path([(s * waist * 0.5, top), (s * waist * 0.54, top + draft.between(50, 90))])) for s in (-1, 1)]
    if draft.chance(0.25):
        seams.append(Seam(path([(0, top), (0, low)])))
    if cut == "a-line" and draft.chance(0.3):
        seams += [Seam(path([(s * waist * 0.4, top), (s * hem * 0.4, low)])) for s in (-1, 1)]
    if cut == "pencil" and draft.chance(0.25):
        x = draft.between(-0.5, 0.5) * waist
        seams.append(Seam(path([(x, low - length * draft.between(0.15, 0.35)), (x + 3, low + 4)]), "edge", 2.6))
    if cut == "tiered":
        for share in np.linspace(0, 1, draft.count(3, 5))[1:-1]:
            seams.append(Seam(across(float(share)), "seam", 2.4))
            blocks.append(Block(np.vstack([across(float(share)), [(999, low + 60), (-999, low + 60)]]), "main"))
    elif draft.chance(0.12):
        line = across(draft.between(0.72, 0.9))
        seams.append(Seam(line))
        blocks.append(Block(np.vstack([line, [(999, low + 60), (-999, low + 60)]]), "second"))
    return seams, blocks


def skirt_part(draft: Draft, waist: float, top: float, length: float, hem: float, cut: str) -> list[Piece]:
    """A skirt that hangs from (0, top); behind it the inside of its back now and then."""
    if cut == "tiered" and draft.chance(0.5):
        return flounces(draft, waist, top, length, hem)
    sag = {"pencil": draft.between(2, 8), "a-line": draft.between(8, 26)}.get(cut, draft.between(12, 34))
    edge = hem_edge(draft, hem, top + length, sag, cut != "pencil")
    belly = hem * 0.5 + waist * 0.5 + (draft.between(4, 14) if cut == "pencil" else draft.between(-8, 6))
    left = path([(-waist, top), (-belly, top + length * 0.42), tuple(edge[0])])
    right = path([tuple(edge[-1]), (belly, top + length * 0.42), (waist, top)])
    shape = np.vstack([left, edge, right, path([(waist, top), (0, top + 6), (-waist, top)])])
    seams, blocks = skirt_seams(draft, cut, waist, top, length, hem, edge)
    piece = Piece(
        shape,
        "main",
        "edge",
        depth=body_depth(draft),
        roundness=draft.between(26, 40),
        tube=True,
        folds=skirt_folds(draft, cut, waist, top, length),
        seams=tuple(seams),
        blocks=tuple(blocks),
        lift=4,
        wobble=0.3,
    )
    if cut == "pencil" or draft.chance(0.5):
        return [piece]
    low = sag * draft.between(-0.2, 0.3)
    back = path(
        [(-hem * 0.96, top + length - 20), (0, top + length - 20), (hem * 0.96, top + length - 20)],
        [(hem * 0.98, top + length)],
        [(0, top + length + low), (-hem * 0.98, top + length)],
        [(-hem * 0.96, top + length - 20)],
    )
    return [Piece(back, "lining", "edge", tone=0.6, depth=3), piece]


def flounces(draft: Draft, waist: float, top: float, length: float, hem: float) -> list[Piece]:
    """A skirt of gathered tiers that lie over one another, the lowest first."""
    count, sag = draft.count(3, 6), draft.between(8, 24)
    shares = np.linspace(0, 1, count + 1)
    made: list[Piece] = []
    for low, high in zip(shares[:0:-1], shares[-2::-1], strict=True):
        upper, lower = waist + (hem - waist) * high, waist + (hem - waist) * low + draft.between(0, 8)
        y0, y1 = top + length * high, top + length * low
        edge = hem_edge(draft, lower, y1, sag, True)
        sides = path([(upper, y0), (0, y0 + sag * 0.6), (-upper, y0)]), path([(-upper, y0), tuple(edge[0])])
        folds: tuple[Fold, ...] = (
            drape(draft.between(9, 16), draft.between(5, 12), 0.6, draft.between(3, 6)),
            crumple(26, draft.crush),
        )
        rows = (Seam(offset(edge, -draft.between(5, 10)), "topstitch", 0.6),) if draft.chance(0.6) else ()
        shape = np.vstack([*sides, edge, path([tuple(edge[-1]), (upper, y0)])])
        made.append(Piece(shape, depth=body_depth(draft), roundness=30, tube=True, folds=folds, seams=rows, lift=3.4, wobble=0.3))
    return made


def flare(draft: Draft, cut: str, waist: float, length: float) -> float:
    """Half of the width of a hem."""
    wide = {"pencil": draft.between(1.08, 1.35), "a-line": draft.between(1.4, 2.0)}.get(cut, draft.between(1.5, 2.5))
    return min(waist * wide, waist + length * 0.5)


def skirt(draft: Draft) -> list[Piece]:
    style = draft.pick(*CUTS, "denim")
    waist, length = draft.between(82, 112), draft.between(200, 520)
    cut = draft.pick("pencil", "a-line") if style == "denim" else style
    legs = Legs(waist, waist * 1.1, 160, length, 0, 0, 0, draft.between(18, 42))
    body = skirt_part(draft, waist, legs.band - 4, length, flare(draft, cut, waist, length), cut)
    band = waistband(
        draft,
        legs,
        "elastic" if style in ("gathered", "tiered") and draft.chance(0.7) else "sewn",
        0.9 if style == "denim" else 0.15,
    )
    extra: list[Piece] = []
    if style == "denim" or draft.chance(0.12):
        front = body[-1]
        if draft.chance(0.45):
            extra = [
                necks.placket(draft, legs.band, length + legs.band, 30),
                *buttons(path([(0, legs.band * 0.5), (0, length + legs.band - 30)]), draft.count(5, 9), 5.5, draft.chance(0.6)),
            ]
        elif draft.chance(0.6):
            body[-1] = replace(front, seams=(*front.seams, *_both(pockets.scoop(legs.waist, legs.hip, legs.band))))
        if draft.chance(0.4):
            extra += [pockets.patch(draft, s * waist * 0.72, legs.band + 40, 64, 72) for s in (-1, 1)]
    elif draft.chance(0.25):
        extra = zipper(path([(waist * 0.3, legs.band), (waist * 0.34, legs.band + 110)]), 10)
    elif draft.chance(0.2):
        extra = bow(draft, draft.between(-0.5, 0.5) * waist, legs.band * 0.6, draft.between(36, 56))
    return [band[0], *body, *band[1:], *extra]


def _both(seams: tuple[Seam, ...]) -> list[Seam]:
    """Seams of the left side and their mirror images."""
    return [*seams, *(replace(seam, line=mirror(seam.line)) for seam in seams)]


def bodice(draft: Draft, body: Body, style: str) -> Piece:
    """The upper part of a dress, to a little below the waist."""
    w = body.waist
    waist_line = path(
        [
            (-w, body.waist_at),
            (-w * 0.5, body.waist_at + 6),
            (0, body.waist_at + 8),
            (w * 0.5, body.waist_at + 6),
            (w, body.waist_at),
        ]
    )
    shape = symmetric(
        *body.neckline(style),
        [body.shoulder_point],
        body.armhole(),
        [(-(body.chest + w) / 2 - 1, (body.armpit + body.waist_at) / 2), (-w, body.waist_at)],
        [(-w * 0.5, body.waist_at + 6), (0, body.waist_at + 8)],
    )
    seams = list(darts(draft, body)) if draft.chance(0.6) else []
    hole = path([body.shoulder_point, *body.armhole()])
    folds: list[Fold] = [crumple(34, 2.2 * draft.crush), crumple(14, 0.5 * draft.crush)]
    for right in (False, True):
        folds.append(
            side_fan((body.armpit_point[0] + 6, body.armpit), (-10, 60), right, 76, draft.count(2, 5), 7, 3.4 * draft.crush)
        )
        folds.append(side_fan((-w * 0.5, body.waist_at + 4), (-115, -65), right, 66, draft.count(2, 5), 5, 3 * draft.crush))
    blocks: tuple[Block, ...] = ()
    if draft.chance(0.1):
        blocks = (Block(np.array([(-999, -99), (999, -99), (999, 9999), (-999, 9999)], float), "second"),)
    return Piece(
        shape,
        "main",
        "edge",
        sewn=(hole, mirror(hole), waist_line),
        depth=body_depth(draft),
        roundness=30,
        tube=True,
        folds=tuple(folds),
        seams=tuple(seams),
        blocks=blocks,
        lift=2,
    )


def wrap_edge(body: Body) -> list[Piece]:
    """The crossing edge of a wrapped bodice."""
    line = path([(body.neck, 2), (body.neck * 0.3, body.neck_depth * 0.7), (-body.waist * 0.9, body.waist_at - 6)])
    return [Piece(np.vstack([line, offset(line, -5)[::-1]]), "main", "edge", axis=line, depth=3, roundness=4, lift=3)]


def dress(draft: Draft) -> list[Piece]:
    body = Body.random(draft, ease=0.76, waist=draft.between(0.8, 0.98))
    body.neck *= draft.between(0.9, 1.3)
    style = draft.pick("round", "v", "square", "boat", "heart")
    body.neck_depth *= draft.between(0.8, 1.6)
    body.waist_at = body.armpit + draft.between(50, 140)
    arms_kind = draft.pick("none", "none", "straps", "short", "short", "half", "long")
    if arms_kind == "none":
        body.shoulder = max(body.neck + 22, body.chest * draft.between(0.66, 0.86))
    elif arms_kind == "straps":
        strap_body(draft, body)
        body.waist_at = max(body.waist_at, body.armpit + 60)
    else:
        body.neck = min(body.neck, body.shoulder - 24)
    length, cut = draft.between(220, 440), draft.pick(*CUTS, "gathered")
    lower = skirt_part(draft, body.waist, body.waist_at - 2, length, flare(draft, cut, body.waist, length), cut)
    arms = (
        sleeves(draft, body, arms_kind, draft.pick("hem", "hem", "cuff"), puff=draft.between(0, 26))
        if arms_kind in ("short", "half", "long")
        else []
    )
    top = bodice(draft, body, style)
    if not arms and not body.strap and draft.chance(0.7):
        top = replace(top, seams=(*top.seams, *armhole_rows(body)))
    extra: list[Piece] = []
    if style == "v" and not body.strap and draft.chance(0.3):
        extra += wrap_edge(body)
    elif draft.chance(0.4):
        low = body.waist_at - 16 if draft.chance(0.6) else body.waist_at + length - 20
        extra += buttons(
            path([(0, body.neck_depth + 14), (0, low)]), draft.count(3, 6) if low < body.waist_at else draft.count(7, 12), 4.4
        )
    elif draft.chance(0.2):
        extra += zipper(path([(0, body.neck_depth + 2), (0, body.waist_at + 30)]), 10)
    if draft.chance(0.35):
        extra += belt(draft, body.waist, body.waist_at, draft.between(14, 28), draft.chance(0.4))
    if draft.chance(0.15):
        extra += [pockets.patch(draft, s * body.waist * 0.7, body.waist_at + 50, 62, 70) for s in (-1, 1)]
    neck: list[Piece] = []
    if body.strap:
        neck = necks.straps(draft, body, draft.between(5, 16))
    elif draft.chance(0.7):
        neck = necks.round_band(draft, body, style, draft.between(6, 11), "main")
    collar = necks.shirt_collar(draft, body, 50, False) if style == "round" and not body.strap and draft.chance(0.2) else []
    return [
        *necks.inside(draft, body),
        *(neck if body.strap else []),
        *arms,
        *lower,
        top,
        *([] if body.strap else neck),
        *extra,
        *collar,
    ]


def moved(piece: Piece, dy: float) -> Piece:
    """A piece ``dy`` lower, its folds with it."""

    def lower(fold: Fold) -> Fold:
        def folds(grid: Grid) -> Array:
            original_y = grid.y
            grid.y = original_y - np.float32(dy)
            try:
                return fold(grid)
            finally:
                grid.y = original_y

        return folds

    return replace(reshaped(piece, lambda line: line + np.array([0, dy])), folds=tuple(lower(f) for f in piece.folds))


def jumpsuit(draft: Draft) -> list[Piece]:
    body = Body.random(draft, ease=0.74, waist=draft.between(0.82, 0.98))
    body.waist_at = body.armpit + draft.between(60, 110)
    style = draft.pick("round", "v", "square")
    arms_kind = draft.pick("none", "straps", "short", "long")
    if arms_kind == "none":
        body.shoulder = max(body.neck + 22, body.chest * draft.between(0.64, 0.84))
    elif arms_kind == "straps":
        strap_body(draft, body)
        body.waist_at = body.armpit + draft.between(60, 100)
    legs = Legs.random(draft)
    legs.waist, legs.hip = body.waist, max(body.waist * 1.12, 100)
    short = draft.chance(0.35)
    legs.length = legs.rise + (draft.between(60, 130) if short else draft.between(300, 420))
    if short:
        legs.hem, legs.spread = legs.hip * 0.5, draft.between(2, 16)
        legs.knee = legs.hem
    down = body.waist_at - legs.band + 6
    two = [
        moved(p, down)
        for p in pair(draft, legs, pockets.slant(draft, legs.waist, legs.hip, legs.band) if draft.chance(0.7) else (), fly=False)
    ]
    arms = sleeves(draft, body, arms_kind, draft.pick("hem", "cuff", "roll")) if arms_kind in ("short", "long") else []
    neck = necks.straps(draft, body, draft.between(10, 24)) if body.strap else necks.round_band(draft, body, style, 9, "main")
    collar = necks.shirt_collar(draft, body, 60) if style == "round" and not body.strap and draft.chance(0.5) else []
    middle = (
        zipper(path([(0, body.neck_depth), (0, body.waist_at - 8)]), 10)
        if draft.chance(0.4)
        else buttons(path([(0, body.neck_depth + 12), (0, body.waist_at - 18)]), draft.count(3, 5), 4.4)
    )
    chest = (
        pockets.chest_pockets(draft, body.chest * 0.48, body.armpit - 10, True, draft.chance(0.5))
        if draft.chance(0.25) and not body.strap
        else []
    )
    tie = belt(draft, body.waist, body.waist_at, draft.between(16, 28), draft.chance(0.3)) if draft.chance(0.8) else []
    return [
        *necks.inside(draft, body),
        *(neck if body.strap else []),
        *arms,
        *two,
        bodice(draft, body, style),
        *([] if body.strap else neck),
        *chest,
        *middle,
        *tie,
        *collar,
    ]
