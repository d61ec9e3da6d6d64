"""T-shirts, polo shirts, shirts, blouses and pullovers."""

from __future__ import annotations

from fedgai.garments import necks, pockets
from fedgai.garments.body import Body, Opening, back_inside, darts, front, fronts, hem_rows, knitted, shaped
from fedgai.garments.outline import mirror, offset, path, strip
from fedgai.garments.parts import Draft, Piece, bow, button, buttons, drawstrings, reshaped, ribbing, zipper
from fedgai.garments.sleeves import armhole_rows, sleeves


def t_shirt(draft: Draft) -> list[Piece]:
    body = Body.random(draft, waist=draft.between(0.86, 1.02))
    style = draft.pick("round", "round", "v", "boat")
    if style == "boat":
        body.neck, body.neck_depth = body.neck * 1.5, body.neck_depth * 0.6
    seams, blocks = shaped(draft, body, 0.05, 0.05, 0.14)
    torso = front(draft, body, style, (*hem_rows(draft, body.hem_line()), *seams), blocks)
    extra = pockets.chest_pockets(draft, 62, body.armpit - 10, False, False) if draft.chance(0.12) else []
    arms = sleeves(
        draft,
        body,
        draft.pick("short", "short", "short", "half", "long"),
        draft.pick("hem", "hem", "hem", "roll", "rib"),
        "second" if draft.chance(0.16) else "main",
    )
    if draft.chance(0.15):
        raglan = sleeves(draft, body, draft.pick("short", "half"), "hem", "second" if draft.chance(0.7) else "main", raglan=True)
        pieces = [torso, *raglan]
    else:
        pieces = [*arms, torso]
    return [
        *necks.inside(draft, body),
        *pieces,
        *extra,
        *necks.round_band(draft, body, style, draft.between(8, 20), draft.pick("main", "rib")),
    ]


def tank(draft: Draft) -> list[Piece]:
    """A top without sleeves, on straps or cut wide."""
    body = Body.random(draft, ease=0.92, length=(400, 540))
    if draft.chance(0.5):
        return camisole(draft, body)
    body.shoulder, body.neck_depth = body.neck + draft.between(20, 60), body.neck_depth * draft.between(1.0, 2.0)
    style = draft.pick("round", "v")
    torso = front(draft, body, style, (*hem_rows(draft, body.hem_line()), *armhole_rows(body)))
    return [*necks.inside(draft, body), torso, *necks.round_band(draft, body, style, draft.between(6, 12), "main")]


def camisole(draft: Draft, body: Body) -> list[Piece]:
    """A top on straps."""
    strap_body(draft, body)
    style = draft.pick("heart", "v", "boat", "square")
    seams = darts(draft, body) if draft.chance(0.4) else ()
    return [
        *necks.inside(draft, body),
        *necks.straps(draft, body, draft.between(5, 18)),
        front(draft, body, style, (*hem_rows(draft, body.hem_line()), *seams)),
    ]


def strap_body(draft: Draft, body: Body) -> None:
    """Change measures to those of a body that hangs from straps."""
    body.strap = draft.between(84, 120)
    body.neck = body.chest * draft.between(0.5, 0.66)
    body.neck_depth = body.strap + draft.between(6, 36)
    body.armpit = max(body.armpit, body.strap + 44)


def polo(draft: Draft) -> list[Piece]:
    body = Body.random(draft)
    body.neck_depth = draft.between(34, 50)
    end = body.neck_depth + draft.between(90, 140)
    seams, blocks = shaped(draft, body, 0.05, 0.0, 0.2)
    torso = front(draft, body, "round", (*hem_rows(draft, body.hem_line()), *seams), blocks)
    knobs = buttons(path([(0, body.neck_depth + 14), (0, end - 16)]), draft.count(2, 4), 4.4)
    middle = (
        [necks.placket(draft, body.neck_depth - 8, end, draft.between(22, 32)), *knobs]
        if draft.chance(0.85)
        else zipper(path([(0, body.neck_depth), (0, end)]), 10)
    )
    arms = sleeves(
        draft, body, draft.pick("short", "short", "long"), draft.pick("rib", "hem"), "second" if draft.chance(0.12) else "main"
    )
    extra = pockets.chest_pockets(draft, 62, body.armpit - 10, False, False) if draft.chance(0.15) else []
    return [
        *necks.inside(draft, body),
        *arms,
        torso,
        *extra,
        *middle,
        *necks.shirt_collar(draft, body, draft.between(44, 64), draft.chance(0.2)),
    ]


def shirt(draft: Draft) -> list[Piece]:
    body = Body.random(draft, length=(500, 620))
    body.neck_depth, body.sag = draft.between(46, 66), draft.between(6, 40)
    kind = draft.pick("long", "long", "short")
    seams, blocks = shaped(draft, body, 0.6, 0.15, 0.06)
    rows = (*hem_rows(draft, body.hem_line()), *seams)
    opening = Opening.random(draft, 14, 0.18)
    wide = draft.between(22, 32)
    if opening.is_open:
        edge = opening.edge(body)
        halves = fronts(draft, body, "round", opening, rows, blocks)
        bands = [necks.edge_band(edge, wide, "main", True), reshaped(necks.edge_band(edge, wide, "main", True), mirror)]
        under, torso, line = [back_inside(draft, body, "main")], [*halves, *bands], offset(edge, wide / 2)
    else:
        under, line = [], path([(0, body.neck_depth), (0, body.bottom)])
        torso = [front(draft, body, "round", rows, blocks)] + (
            [necks.placket(draft, body.neck_depth - 4, body.bottom, wide)] if draft.chance(0.9) else []
        )
    inner = line[int(len(line) * 0.08) : int(len(line) * draft.between(0.8, 0.94))]
    extra = (
        pockets.chest_pockets(
            draft, draft.between(62, 76), body.armpit - draft.between(0, 30), draft.chance(0.4), draft.chance(0.4)
        )
        if draft.chance(0.65)
        else []
    )
    knobs = buttons(inner, draft.count(5, 8), 4.4)
    arms = sleeves(draft, body, kind, draft.pick("cuff", "cuff", "roll") if kind == "long" else draft.pick("hem", "roll"))
    collar = (
        necks.shirt_collar(draft, body, draft.between(52, 84), draft.chance(0.8), draft.between(-8, 20))
        if draft.chance(0.88)
        else necks.round_band(draft, body, "round", 16, "main")
    )
    top = [] if opening.is_open else [button(0, body.neck_depth + 6, 4.2)]
    return [*under, *necks.inside(draft, body), *arms, *torso, *extra, *knobs, *collar, *top]


def blouse(draft: Draft) -> list[Piece]:
    body = Body.random(draft, length=(400, 540), waist=draft.between(0.84, 1.0), flare=draft.between(0.95, 1.2))
    if draft.chance(0.12):
        return camisole(draft, body)
    style = draft.pick("round", "v", "square", "boat", "heart")
    body.neck, body.neck_depth = body.neck * draft.between(1, 1.35), body.neck_depth * draft.between(0.8, 1.5)
    kind = draft.pick("short", "half", "long")
    seams, blocks = shaped(draft, body, 0.25, 0.5, 0.06)
    torso = front(draft, body, style, (*hem_rows(draft, body.hem_line()), *seams), blocks)
    arms = sleeves(draft, body, kind, draft.pick("cuff", "hem") if kind != "short" else "hem", puff=draft.between(0, 24))
    tie: list[Piece] = []
    if style in ("v", "round") and draft.chance(0.25):
        tie = bow(draft, 0, body.neck_depth + 6, draft.between(40, 70))
    elif style == "v" and draft.chance(0.3):
        tie = drawstrings(draft, body.neck_depth, 130, 5)
    elif draft.chance(0.4):
        tie = buttons(path([(0, body.neck_depth + 16), (0, body.neck_depth + draft.between(80, 300))]), draft.count(3, 9), 3.6)
    return [*necks.inside(draft, body), *arms, torso, *necks.round_band(draft, body, style, draft.between(6, 12), "main"), *tie]


def rib_hem(draft: Draft, body: Body) -> Piece:
    """A ribbed band under a body's hem, a little narrower."""
    hem, deep, narrow = body.hem_line(), draft.between(26, 56), draft.between(0.9, 1.0)
    shape = strip(offset(hem, -6), deep + 6)
    low = shape[:, 1] > body.length + deep * 0.5
    shape[low, 0] *= narrow
    return ribbing(shape, offset(hem, -4), None, 9)


def pullover(draft: Draft) -> list[Piece]:
    body = Body.random(draft, ease=draft.between(0.92, 1.1))
    style = draft.pick("round", "round", "v", "turtle")
    seams, blocks = shaped(draft, body, 0.04, 0.0, 0.18)
    raglan = draft.chance(0.25)
    ribbed = draft.chance(0.85)
    arms = sleeves(draft, body, "long", "rib" if ribbed else "hem", "second" if draft.chance(0.14) else "main", raglan=raglan)
    torso = front(
        draft,
        body,
        "boat" if style == "turtle" else style,
        seams if ribbed else (*seams, *hem_rows(draft, body.hem_line())),
        blocks,
    )
    neck = necks.turtleneck(draft, body) if style == "turtle" else necks.round_band(draft, body, style, draft.between(12, 30))
    low = [rib_hem(draft, body)] if ribbed else []
    collar_zip = (
        zipper(path([(0, body.neck_depth * 0.6), (0, body.neck_depth + 120)]), 9)
        if style == "turtle" and draft.chance(0.3)
        else []
    )
    cloth = knitted(draft, [torso, *arms] if raglan else [*arms, torso])
    return [*necks.inside(draft, body), *low, *cloth, *neck, *collar_zip]
