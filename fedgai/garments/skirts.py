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


def hem_edge(d: Draft, hem: float, y: float, sag: float, wavy: bool) -> Array:
    """A skirt's hem (61, 2) from left to right, straight or in waves."""
    u = np.linspace(0, 1, 61)
    waves = d.between(2, 7)
    swing = np.sin(2 * np.pi * (waves * u + 0.22 * np.sin(7 * u) + d.between(0, 1))) * np.minimum(1, 8 * u * (1 - u))
    return np.stack([-hem + 2 * hem * u, y + sag * 4 * u * (1 - u) + (d.between(1, 5) * swing if wavy else 0)], 1)


def skirt_folds(d: Draft, cut: str, waist: float, top: float, length: float) -> tuple[Fold, ...]:
    made: list[Fold] = [crumple(d.between(34, 56), 2.0 * d.crush), crumple(d.between(12, 20), 0.5 * d.crush, d.between(-90, 90))]
    if cut == "pleated":
        made += [pleats(d.count(9, 26), d.between(4, 8), d.between(0, 0.4)), drape(4, 6, 0.0)]
    elif cut in ("gathered", "tiered"):
        made.append(drape(d.between(5, 10), d.between(10, 24), 0.3, d.between(3, 6)))
    elif cut == "a-line":
        made.append(drape(d.between(3, 6), d.between(6, 18), 0.05))
    else:
        made += [drape(3, 3, 0.2), *wrinkles(d, (-waist, top + 30, waist, top + length), d.count(1, 5), 90, 3.4 * d.crush)]
    return tuple(made)


def skirt_seams(
    d: Draft, cut: str, waist: float, top: float, length: float, hem: float, edge: Array
) -> tuple[list[Seam], list[Block]]:
    """Hem, darts, middle seams, a slit, tiers and a border of another cloth."""
    low = float(edge[:, 1].max())
    seams, blocks = [Seam(offset(edge, -d.between(7, 26)), "topstitch", 0.8)] if d.chance(0.85) else [], []

    def across(share: float) -> Array:
        w = waist + (hem - waist) * share
        return path(
            [
                (-w * 1.05, top + (edge[0, 1] - top) * share),
                (0, top + (edge[30, 1] - top) * share),
                (w * 1.05, top + (edge[0, 1] - top) * share),
            ]
        )

    if cut in ("pencil", "a-line") and d.chance(0.5):
        seams += [Seam(path([(s * waist * 0.5, top), (s * waist * 0.54, top + d.between(50, 90))])) for s in (-1, 1)]
    if d.chance(0.25):
        seams.append(Seam(path([(0, top), (0, low)])))
    if cut == "a-line" and d.chance(0.3):
        seams += [Seam(path([(s * waist * 0.4, top), (s * hem * 0.4, low)])) for s in (-1, 1)]
    if cut == "pencil" and d.chance(0.25):
        x = d.between(-0.5, 0.5) * waist
        seams.append(Seam(path([(x, low - length * d.between(0.15, 0.35)), (x + 3, low + 4)]), "edge", 2.6))
    if cut == "tiered":
        for share in np.linspace(0, 1, d.count(3, 5))[1:-1]:
            seams.append(Seam(across(float(share)), "seam", 2.4))
            blocks.append(Block(np.vstack([across(float(share)), [(999, low + 60), (-999, low + 60)]]), "main"))
    elif d.chance(0.12):
        line = across(d.between(0.72, 0.9))
        seams.append(Seam(line))
        blocks.append(Block(np.vstack([line, [(999, low + 60), (-999, low + 60)]]), "second"))
    return seams, blocks


def skirt_part(d: Draft, waist: float, top: float, length: float, hem: float, cut: str) -> list[Piece]:
    """A skirt that hangs from (0, top); behind it the inside of its back now and then."""
    if cut == "tiered" and d.chance(0.5):
        return flounces(d, waist, top, length, hem)
    sag = {"pencil": d.between(2, 8), "a-line": d.between(8, 26)}.get(cut, d.between(12, 34))
    edge = hem_edge(d, hem, top + length, sag, cut != "pencil")
    belly = hem * 0.5 + waist * 0.5 + (d.between(4, 14) if cut == "pencil" else d.between(-8, 6))
    left = path([(-waist, top), (-belly, top + length * 0.42), tuple(edge[0])])
    right = path([tuple(edge[-1]), (belly, top + length * 0.42), (waist, top)])
    shape = np.vstack([left, edge, right, path([(waist, top), (0, top + 6), (-waist, top)])])
    seams, blocks = skirt_seams(d, cut, waist, top, length, hem, edge)
    piece = Piece(
        shape,
        "main",
        "edge",
        depth=body_depth(d),
        roundness=d.between(26, 40),
        tube=True,
        folds=skirt_folds(d, cut, waist, top, length),
        seams=tuple(seams),
        blocks=tuple(blocks),
        lift=4,
        wobble=0.3,
    )
    if cut == "pencil" or d.chance(0.5):
        return [piece]
    low = sag * d.between(-0.2, 0.3)
    back = path(
        [(-hem * 0.96, top + length - 20), (0, top + length - 20), (hem * 0.96, top + length - 20)],
        [(hem * 0.98, top + length)],
        [(0, top + length + low), (-hem * 0.98, top + length)],
        [(-hem * 0.96, top + length - 20)],
    )
    return [Piece(back, "lining", "edge", tone=0.6, depth=3), piece]


def flounces(d: Draft, waist: float, top: float, length: float, hem: float) -> list[Piece]:
    """A skirt of gathered tiers that lie over one another, the lowest first."""
    count, sag = d.count(3, 6), d.between(8, 24)
    shares = np.linspace(0, 1, count + 1)
    made: list[Piece] = []
    for low, high in zip(shares[:0:-1], shares[-2::-1], strict=True):
        upper, lower = waist + (hem - waist) * high, waist + (hem - waist) * low + d.between(0, 8)
        y0, y1 = top + length * high, top + length * low
        edge = hem_edge(d, lower, y1, sag, True)
        sides = path([(upper, y0), (0, y0 + sag * 0.6), (-upper, y0)]), path([(-upper, y0), tuple(edge[0])])
        folds: tuple[Fold, ...] = (drape(d.between(9, 16), d.between(5, 12), 0.6, d.between(3, 6)), crumple(26, d.crush))
        rows = (Seam(offset(edge, -d.between(5, 10)), "topstitch", 0.6),) if d.chance(0.6) else ()
        shape = np.vstack([*sides, edge, path([tuple(edge[-1]), (upper, y0)])])
        made.append(Piece(shape, depth=body_depth(d), roundness=30, tube=True, folds=folds, seams=rows, lift=3.4, wobble=0.3))
    return made


def flare(d: Draft, cut: str, waist: float, length: float) -> float:
    """Half of the width of a hem."""
    wide = {"pencil": d.between(1.08, 1.35), "a-line": d.between(1.4, 2.0)}.get(cut, d.between(1.5, 2.5))
    return min(waist * wide, waist + length * 0.5)


def skirt(d: Draft) -> list[Piece]:
    style = d.pick(*CUTS, "denim")
    waist, length = d.between(82, 112), d.between(200, 520)
    cut = d.pick("pencil", "a-line") if style == "denim" else style
    m = Legs(waist, waist * 1.1, 160, length, 0, 0, 0, d.between(18, 42))
    body = skirt_part(d, waist, m.band - 4, length, flare(d, cut, waist, length), cut)
    band = waistband(
        d, m, "elastic" if style in ("gathered", "tiered") and d.chance(0.7) else "sewn", 0.9 if style == "denim" else 0.15
    )
    extra: list[Piece] = []
    if style == "denim" or d.chance(0.12):
        front = body[-1]
        if d.chance(0.45):
            extra = [
                necks.placket(d, m.band, length + m.band, 30),
                *buttons(path([(0, m.band * 0.5), (0, length + m.band - 30)]), d.count(5, 9), 5.5, d.chance(0.6)),
            ]
        elif d.chance(0.6):
            body[-1] = replace(front, seams=(*front.seams, *_both(pockets.scoop(m.waist, m.hip, m.band))))
        if d.chance(0.4):
            extra += [pockets.patch(d, s * waist * 0.72, m.band + 40, 64, 72) for s in (-1, 1)]
    elif d.chance(0.25):
        extra = zipper(path([(waist * 0.3, m.band), (waist * 0.34, m.band + 110)]), 10)
    elif d.chance(0.2):
        extra = bow(d, d.between(-0.5, 0.5) * waist, m.band * 0.6, d.between(36, 56))
    return [band[0], *body, *band[1:], *extra]


def _both(seams: tuple[Seam, ...]) -> list[Seam]:
    """Seams of the left side and their mirror images."""
    return [*seams, *(replace(seam, line=mirror(seam.line)) for seam in seams)]


def bodice(d: Draft, b: Body, style: str) -> Piece:
    """The upper part of a dress, to a little below the waist."""
    w = b.waist
    waist_line = path(
        [(-w, b.waist_at), (-w * 0.5, b.waist_at + 6), (0, b.waist_at + 8), (w * 0.5, b.waist_at + 6), (w, b.waist_at)]
    )
    shape = symmetric(
        *b.neckline(style),
        [b.shoulder_point],
        b.armhole(),
        [(-(b.chest + w) / 2 - 1, (b.armpit + b.waist_at) / 2), (-w, b.waist_at)],
        [(-w * 0.5, b.waist_at + 6), (0, b.waist_at + 8)],
    )
    seams = list(darts(d, b)) if d.chance(0.6) else []
    hole = path([b.shoulder_point, *b.armhole()])
    folds: list[Fold] = [crumple(34, 2.2 * d.crush), crumple(14, 0.5 * d.crush)]
    for right in (False, True):
        folds.append(side_fan((b.armpit_point[0] + 6, b.armpit), (-10, 60), right, 76, d.count(2, 5), 7, 3.4 * d.crush))
        folds.append(side_fan((-w * 0.5, b.waist_at + 4), (-115, -65), right, 66, d.count(2, 5), 5, 3 * d.crush))
    blocks: tuple[Block, ...] = ()
    if d.chance(0.1):
        blocks = (Block(np.array([(-999, -99), (999, -99), (999, 9999), (-999, 9999)], float), "second"),)
    return Piece(
        shape,
        "main",
        "edge",
        sewn=(hole, mirror(hole), waist_line),
        depth=body_depth(d),
        roundness=30,
        tube=True,
        folds=tuple(folds),
        seams=tuple(seams),
        blocks=blocks,
        lift=2,
    )


def wrap_edge(b: Body) -> list[Piece]:
    """The crossing edge of a wrapped bodice."""
    line = path([(b.neck, 2), (b.neck * 0.3, b.neck_depth * 0.7), (-b.waist * 0.9, b.waist_at - 6)])
    return [Piece(np.vstack([line, offset(line, -5)[::-1]]), "main", "edge", axis=line, depth=3, roundness=4, lift=3)]


def dress(d: Draft) -> list[Piece]:
    b = Body.random(d, ease=0.76, waist=d.between(0.8, 0.98))
    b.neck *= d.between(0.9, 1.3)
    style = d.pick("round", "v", "square", "boat", "heart")
    b.neck_depth *= d.between(0.8, 1.6)
    b.waist_at = b.armpit + d.between(50, 140)
    arms_kind = d.pick("none", "none", "straps", "short", "short", "half", "long")
    if arms_kind == "none":
        b.shoulder = max(b.neck + 22, b.chest * d.between(0.66, 0.86))
    elif arms_kind == "straps":
        strap_body(d, b)
        b.waist_at = max(b.waist_at, b.armpit + 60)
    else:
        b.neck = min(b.neck, b.shoulder - 24)
    length, cut = d.between(220, 440), d.pick(*CUTS, "gathered")
    lower = skirt_part(d, b.waist, b.waist_at - 2, length, flare(d, cut, b.waist, length), cut)
    arms = (
        sleeves(d, b, arms_kind, d.pick("hem", "hem", "cuff"), puff=d.between(0, 26))
        if arms_kind in ("short", "half", "long")
        else []
    )
    top = bodice(d, b, style)
    if not arms and not b.strap and d.chance(0.7):
        top = replace(top, seams=(*top.seams, *armhole_rows(b)))
    extra: list[Piece] = []
    if style == "v" and not b.strap and d.chance(0.3):
        extra += wrap_edge(b)
    elif d.chance(0.4):
        low = b.waist_at - 16 if d.chance(0.6) else b.waist_at + length - 20
        extra += buttons(path([(0, b.neck_depth + 14), (0, low)]), d.count(3, 6) if low < b.waist_at else d.count(7, 12), 4.4)
    elif d.chance(0.2):
        extra += zipper(path([(0, b.neck_depth + 2), (0, b.waist_at + 30)]), 10)
    if d.chance(0.35):
        extra += belt(d, b.waist, b.waist_at, d.between(14, 28), d.chance(0.4))
    if d.chance(0.15):
        extra += [pockets.patch(d, s * b.waist * 0.7, b.waist_at + 50, 62, 70) for s in (-1, 1)]
    neck: list[Piece] = []
    if b.strap:
        neck = necks.straps(d, b, d.between(5, 16))
    elif d.chance(0.7):
        neck = necks.round_band(d, b, style, d.between(6, 11), "main")
    collar = necks.shirt_collar(d, b, 50, False) if style == "round" and not b.strap and d.chance(0.2) else []
    return [*necks.inside(d, b), *(neck if b.strap else []), *arms, *lower, top, *([] if b.strap else neck), *extra, *collar]


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


def jumpsuit(d: Draft) -> list[Piece]:
    b = Body.random(d, ease=0.74, waist=d.between(0.82, 0.98))
    b.waist_at = b.armpit + d.between(60, 110)
    style = d.pick("round", "v", "square")
    arms_kind = d.pick("none", "straps", "short", "long")
    if arms_kind == "none":
        b.shoulder = max(b.neck + 22, b.chest * d.between(0.64, 0.84))
    elif arms_kind == "straps":
        strap_body(d, b)
        b.waist_at = b.armpit + d.between(60, 100)
    m = Legs.random(d)
    m.waist, m.hip = b.waist, max(b.waist * 1.12, 100)
    short = d.chance(0.35)
    m.length = m.rise + (d.between(60, 130) if short else d.between(300, 420))
    if short:
        m.hem, m.spread = m.hip * 0.5, d.between(2, 16)
        m.knee = m.hem
    down = b.waist_at - m.band + 6
    two = [moved(p, down) for p in pair(d, m, pockets.slant(d, m.waist, m.hip, m.band) if d.chance(0.7) else (), fly=False)]
    arms = sleeves(d, b, arms_kind, d.pick("hem", "cuff", "roll")) if arms_kind in ("short", "long") else []
    neck = necks.straps(d, b, d.between(10, 24)) if b.strap else necks.round_band(d, b, style, 9, "main")
    collar = necks.shirt_collar(d, b, 60) if style == "round" and not b.strap and d.chance(0.5) else []
    middle = (
        zipper(path([(0, b.neck_depth), (0, b.waist_at - 8)]), 10)
        if d.chance(0.4)
        else buttons(path([(0, b.neck_depth + 12), (0, b.waist_at - 18)]), d.count(3, 5), 4.4)
    )
    chest = pockets.chest_pockets(d, b.chest * 0.48, b.armpit - 10, True, d.chance(0.5)) if d.chance(0.25) and not b.strap else []
    tie = belt(d, b.waist, b.waist_at, d.between(16, 28), d.chance(0.3)) if d.chance(0.8) else []
    return [
        *necks.inside(d, b),
        *(neck if b.strap else []),
        *arms,
        *two,
        bodice(d, b, style),
        *([] if b.strap else neck),
        *chest,
        *middle,
        *tie,
        *collar,
    ]
