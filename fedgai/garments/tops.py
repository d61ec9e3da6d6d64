"""T-shirts, polo shirts, shirts, blouses and pullovers."""

from __future__ import annotations

from fedgai.garments import necks, pockets
from fedgai.garments.body import Body, Opening, back_inside, darts, front, fronts, hem_rows, knitted, shaped
from fedgai.garments.outline import mirror, offset, path, strip
from fedgai.garments.parts import Draft, Piece, bow, button, buttons, drawstrings, reshaped, ribbing, zipper
from fedgai.garments.sleeves import armhole_rows, sleeves


def t_shirt(d: Draft) -> list[Piece]:
    b = Body.random(d, waist=d.between(0.86, 1.02))
    style = d.pick("round", "round", "v", "boat")
    if style == "boat":
        b.neck, b.neck_depth = b.neck * 1.5, b.neck_depth * 0.6
    seams, blocks = shaped(d, b, 0.05, 0.05, 0.14)
    body = front(d, b, style, (*hem_rows(d, b.hem_line()), *seams), blocks)
    extra = pockets.chest_pockets(d, 62, b.armpit - 10, False, False) if d.chance(0.12) else []
    arms = sleeves(
        d,
        b,
        d.pick("short", "short", "short", "half", "long"),
        d.pick("hem", "hem", "hem", "roll", "rib"),
        "second" if d.chance(0.16) else "main",
    )
    if d.chance(0.15):
        raglan = sleeves(d, b, d.pick("short", "half"), "hem", "second" if d.chance(0.7) else "main", raglan=True)
        pieces = [body, *raglan]
    else:
        pieces = [*arms, body]
    return [*necks.inside(d, b), *pieces, *extra, *necks.round_band(d, b, style, d.between(8, 20), d.pick("main", "rib"))]


def tank(d: Draft) -> list[Piece]:
    """A top without sleeves, on straps or cut wide."""
    b = Body.random(d, ease=0.92, length=(400, 540))
    if d.chance(0.5):
        return camisole(d, b)
    b.shoulder, b.neck_depth = b.neck + d.between(20, 60), b.neck_depth * d.between(1.0, 2.0)
    style = d.pick("round", "v")
    body = front(d, b, style, (*hem_rows(d, b.hem_line()), *armhole_rows(b)))
    return [*necks.inside(d, b), body, *necks.round_band(d, b, style, d.between(6, 12), "main")]


def camisole(d: Draft, b: Body) -> list[Piece]:
    """A top on straps."""
    strap_body(d, b)
    style = d.pick("heart", "v", "boat", "square")
    seams = darts(d, b) if d.chance(0.4) else ()
    return [*necks.inside(d, b), *necks.straps(d, b, d.between(5, 18)), front(d, b, style, (*hem_rows(d, b.hem_line()), *seams))]


def strap_body(d: Draft, b: Body) -> None:
    """Change measures to those of a body that hangs from straps."""
    b.strap = d.between(84, 120)
    b.neck = b.chest * d.between(0.5, 0.66)
    b.neck_depth = b.strap + d.between(6, 36)
    b.armpit = max(b.armpit, b.strap + 44)


def polo(d: Draft) -> list[Piece]:
    b = Body.random(d)
    b.neck_depth = d.between(34, 50)
    end = b.neck_depth + d.between(90, 140)
    seams, blocks = shaped(d, b, 0.05, 0.0, 0.2)
    body = front(d, b, "round", (*hem_rows(d, b.hem_line()), *seams), blocks)
    knobs = buttons(path([(0, b.neck_depth + 14), (0, end - 16)]), d.count(2, 4), 4.4)
    middle = (
        [necks.placket(d, b.neck_depth - 8, end, d.between(22, 32)), *knobs]
        if d.chance(0.85)
        else zipper(path([(0, b.neck_depth), (0, end)]), 10)
    )
    arms = sleeves(d, b, d.pick("short", "short", "long"), d.pick("rib", "hem"), "second" if d.chance(0.12) else "main")
    extra = pockets.chest_pockets(d, 62, b.armpit - 10, False, False) if d.chance(0.15) else []
    return [*necks.inside(d, b), *arms, body, *extra, *middle, *necks.shirt_collar(d, b, d.between(44, 64), d.chance(0.2))]


def shirt(d: Draft) -> list[Piece]:
    b = Body.random(d, length=(500, 620))
    b.neck_depth, b.sag = d.between(46, 66), d.between(6, 40)
    kind = d.pick("long", "long", "short")
    seams, blocks = shaped(d, b, 0.6, 0.15, 0.06)
    rows = (*hem_rows(d, b.hem_line()), *seams)
    opening = Opening.random(d, 14, 0.18)
    wide = d.between(22, 32)
    if opening.is_open:
        edge = opening.edge(b)
        halves = fronts(d, b, "round", opening, rows, blocks)
        bands = [necks.edge_band(edge, wide, "main", True), reshaped(necks.edge_band(edge, wide, "main", True), mirror)]
        under, body, line = [back_inside(d, b, "main")], [*halves, *bands], offset(edge, wide / 2)
    else:
        under, line = [], path([(0, b.neck_depth), (0, b.bottom)])
        body = [front(d, b, "round", rows, blocks)] + (
            [necks.placket(d, b.neck_depth - 4, b.bottom, wide)] if d.chance(0.9) else []
        )
    inner = line[int(len(line) * 0.08) : int(len(line) * d.between(0.8, 0.94))]
    extra = (
        pockets.chest_pockets(d, d.between(62, 76), b.armpit - d.between(0, 30), d.chance(0.4), d.chance(0.4))
        if d.chance(0.65)
        else []
    )
    knobs = buttons(inner, d.count(5, 8), 4.4)
    arms = sleeves(d, b, kind, d.pick("cuff", "cuff", "roll") if kind == "long" else d.pick("hem", "roll"))
    collar = (
        necks.shirt_collar(d, b, d.between(52, 84), d.chance(0.8), d.between(-8, 20))
        if d.chance(0.88)
        else necks.round_band(d, b, "round", 16, "main")
    )
    top = [] if opening.is_open else [button(0, b.neck_depth + 6, 4.2)]
    return [*under, *necks.inside(d, b), *arms, *body, *extra, *knobs, *collar, *top]


def blouse(d: Draft) -> list[Piece]:
    b = Body.random(d, length=(400, 540), waist=d.between(0.84, 1.0), flare=d.between(0.95, 1.2))
    if d.chance(0.12):
        return camisole(d, b)
    style = d.pick("round", "v", "square", "boat", "heart")
    b.neck, b.neck_depth = b.neck * d.between(1, 1.35), b.neck_depth * d.between(0.8, 1.5)
    kind = d.pick("short", "half", "long")
    seams, blocks = shaped(d, b, 0.25, 0.5, 0.06)
    body = front(d, b, style, (*hem_rows(d, b.hem_line()), *seams), blocks)
    arms = sleeves(d, b, kind, d.pick("cuff", "hem") if kind != "short" else "hem", puff=d.between(0, 24))
    tie: list[Piece] = []
    if style in ("v", "round") and d.chance(0.25):
        tie = bow(d, 0, b.neck_depth + 6, d.between(40, 70))
    elif style == "v" and d.chance(0.3):
        tie = drawstrings(d, b.neck_depth, 130, 5)
    elif d.chance(0.4):
        tie = buttons(path([(0, b.neck_depth + 16), (0, b.neck_depth + d.between(80, 300))]), d.count(3, 9), 3.6)
    return [*necks.inside(d, b), *arms, body, *necks.round_band(d, b, style, d.between(6, 12), "main"), *tie]


def rib_hem(d: Draft, b: Body) -> Piece:
    """A ribbed band under a body's hem, a little narrower."""
    hem, deep, narrow = b.hem_line(), d.between(26, 56), d.between(0.9, 1.0)
    shape = strip(offset(hem, -6), deep + 6)
    low = shape[:, 1] > b.length + deep * 0.5
    shape[low, 0] *= narrow
    return ribbing(shape, offset(hem, -4), None, 9)


def pullover(d: Draft) -> list[Piece]:
    b = Body.random(d, ease=d.between(0.92, 1.1))
    style = d.pick("round", "round", "v", "turtle")
    seams, blocks = shaped(d, b, 0.04, 0.0, 0.18)
    raglan = d.chance(0.25)
    ribbed = d.chance(0.85)
    arms = sleeves(d, b, "long", "rib" if ribbed else "hem", "second" if d.chance(0.14) else "main", raglan=raglan)
    body = front(d, b, "boat" if style == "turtle" else style, seams if ribbed else (*seams, *hem_rows(d, b.hem_line())), blocks)
    neck = necks.turtleneck(d, b) if style == "turtle" else necks.round_band(d, b, style, d.between(12, 30))
    low = [rib_hem(d, b)] if ribbed else []
    collar_zip = (
        zipper(path([(0, b.neck_depth * 0.6), (0, b.neck_depth + 120)]), 9) if style == "turtle" and d.chance(0.3) else []
    )
    cloth = knitted(d, [body, *arms] if raglan else [*arms, body])
    return [*necks.inside(d, b), *low, *cloth, *neck, *collar_zip]
