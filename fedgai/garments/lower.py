"""Garments for the lower body, and those that begin at the shoulders and end below the waist."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedgai.garments import upper
from fedgai.garments.drape import crumple, drape, pleats, press
from fedgai.garments.outline import mirror, offset, path, strip, symmetric
from fedgai.garments.parts import Fold, Piece, Rng, Seam, button, buttons, cord, flap, pocket, side_fan, turned, wrinkles, zipper


@dataclass
class Legs:
    """Measures of trousers, in units; half of each width. y is 0 at the top of the waistband."""

    waist: float
    hip: float
    rise: float
    length: float
    hem: float
    knee: float
    spread: float
    band: float
    crush: float

    @classmethod
    def random(cls, rng: Rng, length: tuple[float, float] = (560, 660)) -> Legs:
        hip = rng.uniform(112, 140)
        hem = rng.uniform(34, 78)
        return cls(
            waist=hip * rng.uniform(0.76, 0.95), hip=hip, rise=rng.uniform(150, 195), length=rng.uniform(*length), hem=hem,
            knee=(hem + rng.uniform(48, 60)) / 2, spread=rng.uniform(-8, 40), band=rng.uniform(22, 36),
            crush=float(np.clip(rng.lognormal(-0.15, 0.45), 0.25, 1.9)),
        )


def leg(rng: Rng, m: Legs, right: bool, seams: tuple[Seam, ...], folds: tuple[Fold, ...] = ()) -> Piece:
    """One leg with its half of the seat, the crotch seam on the middle."""
    top, crotch = m.band - 4, m.rise
    middle = m.hip * 0.5 + m.spread
    hem_out, hem_in = middle + m.hem, max(middle - m.hem, 4)
    knee_y = crotch + (m.length - crotch) * 0.45
    knee_x = m.hip * 0.52 + m.spread * 0.5
    out = path([(4, top), (-m.waist * 0.5, top + 2), (-m.waist, top)], [(-m.hip, top + (crotch - top) * 0.62), (-(knee_x + m.knee), knee_y), (-hem_out, m.length)],
               [(-middle, m.length + 6), (-hem_in, m.length + 1)], [(-max(knee_x - m.knee, 3), knee_y), (-4, crotch + 8)], [(4, crotch - 4), (5, top)])
    hem = path([(-hem_out, m.length), (-middle, m.length + 6), (-hem_in, m.length + 1)])
    k = m.crush
    all_folds: list[Fold] = [
        drape(rng.uniform(1.5, 3.2), rng.uniform(3, 9) * k**0.5, 0.2), crumple(rng.uniform(36, 54), 2.6 * k, rng.uniform(-30, 30)),
        side_fan((-6, crotch + 4), (130, 215), right, rng.uniform(60, 130), rng.integers(3, 7), rng.uniform(7, 12), rng.uniform(2.5, 5) * k),
        *wrinkles(rng, (-hem_out, knee_y - 60, -hem_in, knee_y + 60) if not right else (hem_in, knee_y - 60, hem_out, knee_y + 60), int(rng.integers(1, 5)), 70, 4 * k),
        *folds,
    ]
    rows = tuple(Seam(offset(hem, d), "topstitch", 0.8) for d in ((16,) if rng.random() < 0.6 else (10, 14)))
    crotch_line = path([(-4, crotch + 8), (4, crotch - 4), (5, top)])
    return Piece(turned(out, right), "main", "edge", sewn=(turned(crotch_line, right),), depth=rng.uniform(12, 20), roundness=rng.uniform(20, 30), tube=True, folds=tuple(all_folds),
                 seams=tuple(Seam(turned(s.line, right), s.kind, s.groove) for s in (*seams, *rows)), lift=4)


def waistband(rng: Rng, m: Legs, role: str = "main", gathered: bool = False, loops: bool = True) -> list[Piece]:
    """The band with its inside behind, belt loops and a button, or gathered by elastic."""
    w, deep, sag = m.waist, m.band, rng.uniform(3, 12)
    line = path([(-w + 1, 0), (-w * 0.5, sag * 0.8), (0, sag), (w * 0.5, sag * 0.8), (w - 1, 0)])
    behind = symmetric([(0, -sag * 0.8 - 3), (-w * 0.5, -sag * 0.6 - 2), (-w + 2, 0)], [(-w + 4, deep * 0.6), (0, deep * 0.6 + sag)])
    folds: tuple[Fold, ...] = (drape(rng.uniform(9, 16), 3.2, 1.0), crumple(24, 1)) if gathered else (crumple(30, 1),)
    rows = tuple(Seam(offset(line, d), "topstitch", 0.6) for d in ((deep * 0.3, deep * 0.66) if gathered else (3.5, deep - 3.5)))
    pieces = [Piece(strip(line, deep), role, "edge", sewn=(offset(line, deep),), axis=line, depth=5, roundness=8, folds=folds, seams=rows, lift=3)]
    if loops and not gathered and rng.random() < 0.75:
        for x in (-w * 0.62, w * 0.62, *((-w * 0.25, w * 0.25) if rng.random() < 0.5 else ())):
            shape = path([(x - 4, -2), (x + 4, -2)], [(x + 4, deep + 7 + sag * 0.6)], [(x - 4, deep + 7 + sag * 0.6)], [(x - 4, -2)])
            pieces.append(Piece(shape, role, "edge", depth=2.5, roundness=3, lift=2, topstitch=(1.8,)))
    back = Piece(behind, "lining" if rng.random() < 0.3 else role, "edge", depth=2, roundness=6, tone=0.6, lift=0.5, axis=line)
    return [back, *pieces]


def fly(m: Legs, bottom: float, metal: bool) -> tuple[list[Seam], list[Piece]]:
    """The stitched curve of a fly and the waistband's button."""
    curve = path([(26, m.band), (26, bottom - 40), (16, bottom - 12), (0, bottom)])
    return [Seam(curve, "topstitch", 0.8), Seam(path([(2, m.band), (2, m.rise)]), "seam", 1.6)], [button(0, m.band * 0.55 + 5, 6 if metal else 5, metal)]


def legs_pair(rng: Rng, m: Legs, seams: tuple[Seam, ...], folds: tuple[Fold, ...] = (), metal: bool = False, closed: bool = True) -> list[Piece]:
    """Both legs, the left one over the right, and the fly."""
    right_leg, left_leg = leg(rng, m, True, seams, folds), leg(rng, m, False, seams, folds)
    lines, knob = fly(m, m.rise * rng.uniform(0.72, 0.85), metal) if closed else ([Seam(path([(2, m.band), (2, m.rise)]), "seam", 1.4)], [])
    from dataclasses import replace
    right_leg = replace(right_leg, seams=(*right_leg.seams, *[s for s in lines if s.kind == "topstitch"]))
    return [right_leg, left_leg, *knob]


def slant_pockets(rng: Rng, m: Legs) -> tuple[Seam, ...]:
    """Slanted pocket openings."""
    line = path([(-m.waist * 0.66, m.band), (-m.waist * 0.86, m.band + 50), (-m.hip * 0.99, m.band + rng.uniform(84, 110))])
    return (Seam(line, "edge", 2.2), Seam(offset(line, -5), "topstitch", 0.5))


def trousers(rng: Rng) -> list[Piece]:
    m = Legs.random(rng)
    elastic = rng.random() < 0.35
    folds: list[Fold] = [press(0.5, rng.uniform(5, 11), 0.1, 0.03)] if rng.random() < 0.35 else []
    if rng.random() < 0.3:
        folds += []
    two = legs_pair(rng, m, slant_pockets(rng, m) if rng.random() < 0.8 else (), tuple(folds), closed=not elastic)
    band_ = waistband(rng, m, gathered=elastic)
    knob = two[2:]
    ties = [*cord(path([(-4, m.band * 0.6), (-16, m.band + 50), (-12, m.band + 110)])), *cord(path([(4, m.band * 0.6), (14, m.band + 40), (20, m.band + 96)]))] if elastic and rng.random() < 0.6 else []
    return [band_[0], *two[:2], *band_[1:], *knob, *ties]


def jeans(rng: Rng) -> list[Piece]:
    m = Legs.random(rng)
    scoop = path([(-m.waist * 0.42, m.band), (-m.waist * 0.52, m.band + 42), (-m.waist * 0.8, m.band + 62), (-m.hip * 0.97, m.band + 58)])
    coin = path([(-m.waist * 0.62, m.band + 30), (-m.waist * 0.88, m.band + 24)])
    out = path([(-m.hip * 0.96, m.band + 70), (-(m.hip * 0.5 + m.spread * 0.5 + m.knee) * 0.97, m.rise + 90)])
    seams = [Seam(scoop, "edge", 2), Seam(offset(scoop, -4), "topstitch", 0.5), Seam(offset(scoop, -8), "topstitch", 0.4), Seam(coin, "seam", 1)]
    if rng.random() < 0.4:
        seams.append(Seam(offset(out, -6), "topstitch", 0.5))
    two = legs_pair(rng, m, tuple(seams), metal=True)
    rivets = [button(s * x, y, 2.6, True) for s in (-1, 1) for x, y in ((m.waist * 0.44, m.band + 6), (m.hip * 0.93, m.band + 56))]
    band_ = waistband(rng, m)
    return [band_[0], *two[:2], *(rivets if rng.random() < 0.6 else []), *band_[1:], *two[2:]]


def shorts(rng: Rng) -> list[Piece]:
    m = Legs.random(rng)
    m.length = m.rise + rng.uniform(40, 210)
    m.hem = m.hip * rng.uniform(0.46, 0.6)
    m.knee = m.hem * 0.98 + 2
    m.spread = rng.uniform(2, 26)
    elastic = rng.random() < 0.5
    two = legs_pair(rng, m, slant_pockets(rng, m) if rng.random() < 0.7 else (), closed=not elastic)
    cargo: list[Piece] = []
    if m.length > m.rise + 130 and rng.random() < 0.3:
        for s in (-1, 1):
            x, y = s * (m.hip * 0.55 + m.spread), m.rise + 20
            cargo += [pocket(rng, x, y, 62, 70), flap(rng, x, y - 5, 66, 20)]
    band_ = waistband(rng, m, gathered=elastic)
    ties = [*cord(path([(-4, m.band * 0.6), (-16, m.band + 50), (-12, m.band + 90)])), *cord(path([(4, m.band * 0.6), (14, m.band + 40), (20, m.band + 86)]))] if elastic and rng.random() < 0.7 else []
    return [band_[0], *two[:2], *cargo, *band_[1:], *two[2:], *ties]


def skirt_piece(rng: Rng, waist: float, top: float, length: float, hem: float, style: str, crush: float) -> tuple[list[Piece], float]:
    """A skirt that hangs from (0, top); the inside of its hem behind it. Returns the pieces and the sag of the hem."""
    sag = {"pencil": rng.uniform(2, 8), "a-line": rng.uniform(8, 26)}.get(style, rng.uniform(12, 34))
    waves = 0 if style == "pencil" else rng.uniform(2, 7)
    u = np.linspace(0, 1, 61)
    swing = np.sin(2 * np.pi * (waves * u + 0.22 * np.sin(7 * u) + rng.uniform(0, 1))) * np.minimum(1, 8 * u * (1 - u))
    height = 0 if style == "pencil" else rng.uniform(1, 5)
    edge = np.stack([-hem + 2 * hem * u, top + length + sag * 4 * u * (1 - u) + height * swing], 1)
    belly = hem * 0.5 + waist * 0.5 + (rng.uniform(4, 14) if style == "pencil" else rng.uniform(-8, 6))
    left = path([(-waist, top), (-belly, top + length * 0.42), tuple(edge[0])])
    right = path([tuple(edge[-1]), (belly, top + length * 0.42), (waist, top)])
    shape = np.vstack([left, edge, right, path([(waist, top), (0, top + 6), (-waist, top)])])
    folds: list[Fold] = [crumple(rng.uniform(34, 56), 2.0 * crush)]
    if style == "pleated":
        folds += [pleats(int(rng.integers(9, 24)), rng.uniform(4, 8), rng.uniform(0, 0.4)), drape(4, 6, 0.0)]
    elif style == "gathered":
        folds.append(drape(rng.uniform(5, 9), rng.uniform(12, 24), 0.3, rng.uniform(3, 6)))
    elif style == "a-line":
        folds.append(drape(rng.uniform(3, 6), rng.uniform(6, 18), 0.05))
    else:
        folds += [drape(3, 3, 0.2), *wrinkles(rng, (-waist, top + 30, waist, top + length), int(rng.integers(1, 5)), 90, 3.4 * crush)]
    seams: list[Seam] = []
    deep = rng.uniform(8, 24)
    seams.append(Seam(offset(edge, -deep), "topstitch", 0.8))
    if style in ("pencil", "a-line") and rng.random() < 0.6:
        seams += [Seam(path([(s * waist * 0.5, top), (s * waist * 0.54, top + rng.uniform(50, 90))]), "seam", 1.2) for s in (-1, 1)]
    if rng.random() < 0.3:
        seams.append(Seam(path([(0, top), (0, top + length + sag)]), "seam", 1.2))
    if style == "gathered" and rng.random() < 0.5:
        share = rng.uniform(0.45, 0.75)
        w = waist + (hem - waist) * share
        seams.append(Seam(path([(-w * 1.02, top + length * share), (0, top + (length + sag) * share), (w * 1.02, top + length * share)]), "seam", 2.2))
    piece = Piece(shape, "main", "edge", depth=rng.uniform(8, 16), roundness=rng.uniform(26, 40), tube=True, folds=tuple(folds), seams=tuple(seams), lift=4, wobble=0.3)
    inner: list[Piece] = []
    if style != "pencil" and rng.random() < 0.5:
        low = sag * rng.uniform(-0.2, 0.3)
        back = path([(-hem * 0.96, top + length - 20), (0, top + length - 20), (hem * 0.96, top + length - 20)], [(hem * 0.98, top + length)],
                    [(0, top + length + low), (-hem * 0.98, top + length)], [(-hem * 0.96, top + length - 20)])
        inner = [Piece(back, "lining", "edge", tone=0.55, depth=3)]
    return [*inner, piece], sag


def skirt(rng: Rng) -> list[Piece]:
    style = str(rng.choice(["pencil", "a-line", "gathered", "pleated", "denim"]))
    waist = rng.uniform(82, 112)
    length = rng.uniform(220, 520)
    cut = "a-line" if style == "denim" else style
    flare = {"pencil": rng.uniform(1.12, 1.35), "a-line": rng.uniform(1.5, 2.1)}.get(cut, rng.uniform(1.6, 2.6))
    hem = min(waist * flare, waist + length * 0.5)
    crush = float(np.clip(rng.lognormal(-0.15, 0.45), 0.25, 1.9))
    m = Legs(waist, waist * 1.1, 160, length, hem, 0, 0, rng.uniform(20, 40), crush)
    body, _ = skirt_piece(rng, waist, m.band - 4, length, hem, cut, crush)
    band_ = waistband(rng, m, gathered=style == "gathered", loops=style == "denim")
    extra: list[Piece] = []
    if style == "denim" or rng.random() < 0.15:
        if rng.random() < 0.5:
            extra += [upper.placket(rng, m.band, length + m.band, 30), *buttons(path([(0, m.band * 0.5), (0, length + m.band - 30)]), int(rng.integers(5, 9)), 5.5, True)]
        extra += [pocket(rng, s * waist * 0.72, m.band + 40, 64, 72) for s in (-1, 1)] if rng.random() < 0.6 else []
    elif rng.random() < 0.3:
        extra += zipper(path([(waist * 0.3, m.band), (waist * 0.34, m.band + 110)]), 10)
    return [band_[0], *body, *band_[1:], *extra]


def bodice_front(rng: Rng, b: upper.Body, style: str) -> Piece:
    """The upper part of a dress, to a little below the waist."""
    w = b.waist
    edge = path([(-w, b.waist_at), (0, b.waist_at + 8), (w, b.waist_at)])
    shape = symmetric(*b.neckline(style), [b.shoulder_point], b.armhole(), [(-(b.chest + w) / 2 - 1, (b.armpit + b.waist_at) / 2), (-w, b.waist_at)],
                      [(-w * 0.5, b.waist_at + 6), (0, b.waist_at + 8)])
    seams: list[Seam] = []
    choice = rng.integers(0, 4)
    for right in (False, True):
        if choice == 0:
            seams.append(Seam(turned(path([(-w * 0.5, b.waist_at + 6), (-w * 0.54, b.waist_at - 70)]), right)))
        elif choice == 1:
            seams.append(Seam(turned(path([(-b.chest * 0.98, b.armpit + 60), (-b.chest * 0.5, b.armpit + 30)]), right)))
        elif choice == 2:
            seams.append(Seam(turned(path([(-b.shoulder * 0.9, b.armpit * 0.55), (-b.chest * 0.52, b.armpit + 20), (-w * 0.5, b.waist_at + 6)]), right)))
    neck, hole = path(*b.neckline(style)), path([b.shoulder_point, *b.armhole()])
    folds: list[Fold] = [crumple(34, 2.2 * b.crush)]
    for right in (False, True):
        folds.append(side_fan((b.armpit_point[0] + 6, b.armpit), (-10, 60), right, 76, rng.integers(2, 6), 7, 3.6 * b.crush))
        folds.append(side_fan((-w * 0.5, b.waist_at + 4), (-115, -65), right, 66, rng.integers(2, 6), 5, 3 * b.crush))
    del edge
    return Piece(shape, "main", "seam", depth=rng.uniform(12, 18), roundness=30, tube=True, folds=tuple(folds), seams=tuple(seams),
                 open_edges=(neck, mirror(neck), hole, mirror(hole)) if b.shoulder < b.chest * 0.85 else (neck, mirror(neck)), lift=2)


def dress(rng: Rng) -> list[Piece]:
    b = upper.Body.random(rng, ease=0.82, waist=rng.uniform(0.76, 0.95))
    b.neck *= rng.uniform(0.9, 1.3)
    style = str(rng.choice(["round", "v", "square", "boat"]))
    b.neck_depth *= rng.uniform(0.8, 1.6)
    b.waist_at = b.armpit + rng.uniform(70, 130)
    arms_kind = str(rng.choice(["none", "short", "short", "half", "long"]))
    if arms_kind == "none":
        b.shoulder = max(b.neck + 22, b.chest * rng.uniform(0.6, 0.8))
    else:
        b.neck = min(b.neck, b.shoulder - 24)
    length = rng.uniform(240, 430)
    cut = str(rng.choice(["pencil", "a-line", "gathered", "gathered", "pleated"]))
    hem = {"pencil": b.waist * rng.uniform(1.15, 1.4), "a-line": b.waist * rng.uniform(1.5, 2.0)}.get(cut, b.waist * rng.uniform(1.7, 2.5))
    body, _ = skirt_piece(rng, b.waist * 1.0, b.waist_at - 2, length, min(hem, b.waist + length * 0.5), cut, b.crush)
    arms = [] if arms_kind == "none" else upper.sleeves(rng, b, arms_kind, str(rng.choice(["hem", "hem", "cuff"])), puff=rng.uniform(0, 26))
    extra: list[Piece] = []
    if rng.random() < 0.35:
        w = b.waist + 2
        line = path([(-w, b.waist_at - 8), (0, b.waist_at), (w, b.waist_at - 8)])
        extra.append(Piece(strip(line, rng.uniform(14, 26)), "second" if rng.random() < 0.4 else "main", "edge", axis=line, depth=5, roundness=7, folds=(crumple(22, 1),), lift=2.4, topstitch=(2.5,)))
    if rng.random() < 0.35:
        extra += buttons(path([(0, b.neck_depth + 14), (0, b.waist_at - 16)]), int(rng.integers(3, 7)), 4.4)
    elif rng.random() < 0.2:
        extra += zipper(path([(0, b.neck_depth + 2), (0, b.waist_at + 30)]), 10)
    neck = upper.neck_band(b, style, rng.uniform(6, 11), "main") if rng.random() < 0.7 else []
    return [*upper.inside(b, 8), *upper.label(rng, 2), *arms, *body, bodice_front(rng, b, style), *neck, *extra]


def jumpsuit(rng: Rng) -> list[Piece]:
    b = upper.Body.random(rng, ease=0.8, waist=rng.uniform(0.78, 0.95))
    b.waist_at = b.armpit + rng.uniform(70, 110)
    style = str(rng.choice(["round", "v", "square"]))
    m = Legs.random(rng)
    m.waist, m.hip = b.waist, max(b.waist * 1.12, 100)
    short = rng.random() < 0.35
    m.length = m.rise + (rng.uniform(60, 130) if short else rng.uniform(330, 430))
    if short:
        m.hem, m.spread = m.hip * 0.5, rng.uniform(2, 16)
        m.knee = m.hem
    dy = b.waist_at - m.band + 6

    def down(piece: Piece) -> Piece:
        from dataclasses import replace
        move = np.array([0, dy])
        shifted = [lambda g, f=f: f(_Shifted(g, dy)) for f in piece.folds]
        return replace(piece, outline=piece.outline + move, sewn=tuple(x + move for x in piece.sewn), axis=None if piece.axis is None else piece.axis + move,
                       seams=tuple(replace(s, line=s.line + move) for s in piece.seams), folds=tuple(shifted))

    two = [down(p) for p in legs_pair(rng, m, slant_pockets(rng, m), closed=False)[:2]]
    arms_kind = str(rng.choice(["none", "short", "long"]))
    if arms_kind == "none":
        b.shoulder = max(b.neck + 22, b.chest * rng.uniform(0.6, 0.8))
    arms = [] if arms_kind == "none" else upper.sleeves(rng, b, arms_kind, "hem")
    line = path([(-b.waist - 2, b.waist_at - 10), (0, b.waist_at - 2), (b.waist + 2, b.waist_at - 10)])
    belt = Piece(strip(line, rng.uniform(16, 28)), "main", "edge", axis=line, depth=5, roundness=7, folds=(crumple(22, 1),), lift=2.4, topstitch=(2.5,))
    middle = zipper(path([(0, b.neck_depth), (0, b.waist_at - 8)]), 10) if rng.random() < 0.4 else buttons(path([(0, b.neck_depth + 12), (0, b.waist_at - 18)]), int(rng.integers(3, 6)), 4.4)
    return [*upper.inside(b, 8), *arms, *two, bodice_front(rng, b, style), *upper.neck_band(b, style, 9, "main"), *middle, belt]


class _Shifted:
    """A grid whose garment lies higher, for folds that were made for trousers alone."""

    def __init__(self, grid: object, dy: float):
        self.grid, self.y = grid, grid.y - dy  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self.grid, name)
