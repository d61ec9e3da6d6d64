"""How a garment is presented: folded over, on a hanger, with a tag, held by a hand, or on a person.

Hangers, tags, hands and persons are pieces too, with roles of ``parts.PROPS``: they are in the picture and not of the garment.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fedgai.garments.drape import crumple, drape
from fedgai.garments.outline import Array, Point, band, disc, path
from fedgai.garments.parts import PROPS, Draft, Piece, Seam, reshaped

LOWER = ("skirt", "trousers", "jeans", "shorts")


def presented(draft: Draft, kind: str, pieces: list[Piece]) -> list[Piece]:
    """The pieces of a garment as it lies, hangs or seems worn, with what else is in the picture."""
    if draft.pose == "lying":
        pieces = folded(draft, pieces)
    elif draft.pose == "hanging":
        pieces = clipped(draft, pieces) if kind in LOWER else hung(draft, pieces)
    elif kind != "hoodie" and draft.chance(0.45):
        pieces = dressed(draft, kind, pieces)
    if draft.chance(0.07):
        pieces = [*pieces, *tag(draft, pieces)]
    if draft.chance(0.025):
        pieces = held(draft, pieces)
    return pieces


# Folding over --------------------------------------------------------------------------------------------------------


def clip(outline: Array, point: Array, normal: Array) -> Array:
    """The part of a closed outline (n, 2) on the side of a line that ``normal`` points away from; (0, 2) if there is none."""
    side = (outline - point) @ normal
    made = []
    for a, b, p, q in zip(outline, np.roll(outline, -1, axis=0), side, np.roll(side, -1), strict=True):
        if p <= 0:
            made.append(a)
        if (p < 0 < q) or (q < 0 < p):
            made.append(a + (b - a) * p / (p - q))
    return np.array(made) if len(made) > 2 else np.zeros((0, 2))


def fold_over(pieces: list[Piece], group: str, point: Array, normal: Array) -> list[Piece]:
    """Fold what is beyond a line back over the garment: ``normal`` points to the part that moves."""
    normal = normal / np.hypot(*normal)

    def reflect(line: Array) -> Array:
        return np.asarray(line - 2 * ((line - point) @ normal)[:, None] * normal)

    left: list[Piece] = []
    over: list[Piece] = []
    for piece in pieces:
        beyond = clip(piece.outline, point, -normal) if piece.group == group else np.zeros((0, 2))
        if not len(beyond):
            left.append(piece)
            continue
        stays = clip(piece.outline, point, normal)
        if len(stays):
            left.append(replace(piece, outline=stays))
        over.insert(0, replace(reshaped(piece, reflect), outline=reflect(beyond), lift=5.0, wobble=0.4))
    return [*left, *over]


def folded(draft: Draft, pieces: list[Piece]) -> list[Piece]:
    """A sleeve or a leg folded over, now and then."""
    both = draft.chance(0.4)
    share = draft.between(0.35, 0.72)
    for kind, chance in (("sleeve", 0.16), ("leg", 0.06)):
        if not draft.chance(chance):
            continue
        for side in ("left", "right") if both else (draft.pick("left", "right"),):
            group = f"{side} {kind}"
            limb = [p for p in pieces if p.group == group]
            if not limb:
                continue
            spine = _spine(limb, kind)
            heading = spine[-1] - spine[0]
            if np.hypot(*heading) < 240:
                continue
            turn = np.radians(draft.between(-50, 50))
            cos, sin = np.cos(turn), np.sin(turn)
            pieces = fold_over(
                pieces,
                group,
                spine[int(share * (len(spine) - 1))],
                np.array([heading[0] * cos - heading[1] * sin, heading[0] * sin + heading[1] * cos]),
            )
    return pieces


def _spine(limb: list[Piece], kind: str) -> Array:
    """The middle line (n, 2) of a sleeve or leg."""
    largest = max(limb, key=lambda p: np.ptp(p.outline, axis=0).prod())
    if largest.axis is not None and kind == "sleeve":
        return largest.axis
    top, bottom = largest.outline[largest.outline[:, 1].argmin()], largest.outline[largest.outline[:, 1].argmax()]
    return path([(float(bottom[0]), float(top[1])), (float(bottom[0]), float(bottom[1]))])


# Hangers and tags ----------------------------------------------------------------------------------------------------


def _hook(x: float, y: float, size: float) -> Piece:
    line = path(
        [(x, y), (x, y - size), (x - size * 0.42, y - size * 1.5), (x, y - size * 1.95), (x + size * 0.42, y - size * 1.6)]
    )
    return Piece(band(line, 4.5), "hanger", "", axis=line, depth=2, roundness=2, lift=2, wobble=0)


def hung(draft: Draft, pieces: list[Piece]) -> list[Piece]:
    """On a clothes hanger, which is seen in the neck and above it."""
    reach, drop, top = draft.between(96, 124), draft.between(26, 46), draft.between(-26, -12)
    wide = draft.pick("wire", "plastic", "wood")
    width = {"wire": 4.5, "plastic": 10.0, "wood": 17.0}[wide]
    line = path(
        [(-reach, top + drop), (-reach * 0.5, top + drop * 0.42), (0, top), (reach * 0.5, top + drop * 0.42), (reach, top + drop)]
    )
    hanger = [
        _hook(0, top + 2, draft.between(26, 40)),
        Piece(band(line, width), "hanger", "", axis=line, depth=3, roundness=4, lift=3, wobble=0),
    ]
    if wide != "wood":
        bar = path([(-reach, top + drop), (0, top + drop + 22), (reach, top + drop)])
        hanger.append(Piece(band(bar, width * 0.8), "hanger", "", axis=bar, depth=3, roundness=4, lift=3, wobble=0))
    behind = 0
    while behind < len(pieces) and (pieces[behind].tone < 1 or pieces[behind].role == "label"):
        behind += 1
    return [*pieces[:behind], *hanger, *pieces[behind:]]


def clipped(draft: Draft, pieces: list[Piece]) -> list[Piece]:
    """On a hanger with two clips at the waistband."""
    band_ = max(
        (p for p in pieces if p.outline[:, 1].max() < 90 and p.tone == 1),
        key=lambda p: np.ptp(p.outline[:, 0]),
        default=pieces[0],
    )
    w = np.ptp(band_.outline[:, 0]) / 2
    y, size = -draft.between(22, 40), draft.between(9, 13)
    line = path([(-w * 1.05, y), (w * 1.05, y)])
    bar = [
        _hook(0, y, draft.between(26, 40)),
        Piece(band(line, draft.between(5, 12)), "hanger", "", axis=line, depth=3, roundness=4, lift=3, wobble=0),
    ]
    clips = []
    for x in (-w * draft.between(0.6, 0.85), w * draft.between(0.6, 0.85)):
        shape = path(
            [(x - size, y - 6), (x + size, y - 6)],
            [(x + size * 0.9, draft.between(8, 20))],
            [(x - size * 0.9, draft.between(8, 20))],
            [(x - size, y - 6)],
        )
        clips.append(Piece(shape, "clip", "", depth=4, roundness=4, lift=3, wobble=0))
    return [*bar, *pieces, *clips]


def tag(draft: Draft, pieces: list[Piece]) -> list[Piece]:
    """A card on a string."""
    garment = max((p for p in pieces if p.role not in PROPS), key=lambda p: np.ptp(p.outline, axis=0).prod())
    x, y = garment.outline[draft.count(0, len(garment.outline) - 1)] * (0.9, 1.0)
    w, h, turn = draft.between(14, 30), draft.between(24, 52), np.radians(draft.between(-40, 40))
    cos, sin = np.cos(turn), np.sin(turn)
    place = np.array([[cos, sin], [-sin, cos]])
    length = draft.between(10, 40)
    start = np.array([x, y]) + np.array([0, length]) @ place
    card = path([(-w, 0), (w, 0)], [(w, h * 2)], [(-w, h * 2)], [(-w, 0)]) @ place + start
    string = path([(x, y), tuple(start)])
    lines = tuple(
        Seam(path([(-w * 0.7, h * a), (w * draft.between(0, 0.7), h * a)]) @ place + start, "", 1.4) for a in (0.7, 1.1, 1.5)
    )
    return [
        Piece(band(string, 2.2), "tag", "", depth=1, roundness=1, lift=1, wobble=0),
        Piece(
            card,
            "tag",
            "",
            axis=np.stack([start, start + np.array([0, 10]) @ place]),
            depth=1,
            roundness=2,
            lift=2.6,
            wobble=0,
            seams=lines,
        ),
    ]


# Hands and persons ---------------------------------------------------------------------------------------------------


def _limb(start: Point, end: Point, width: float, taper: float, role: str = "skin") -> Piece:
    """A tapered arm or leg with a round end."""
    line = path([start, ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), end])
    step = np.gradient(line, axis=0)
    normal = np.stack([-step[:, 1], step[:, 0]], 1) / np.hypot(*step.T)[:, None]
    half = np.linspace(width, width * taper, len(line))[:, None] / 2
    return Piece(
        np.vstack([line - normal * half, (line + normal * half)[::-1]]),
        role,
        "",
        axis=line,
        depth=14,
        roundness=16,
        tube=True,
        lift=3,
        wobble=0.5,
    )


def held(draft: Draft, pieces: list[Piece]) -> list[Piece]:
    """Fingers that hold the garment at a shoulder or at the waist."""
    garment = max((p for p in pieces if p.role not in PROPS), key=lambda p: np.ptp(p.outline, axis=0).prod())
    side = 1 if draft.chance(0.5) else -1
    top = garment.outline[garment.outline[:, 1] < garment.outline[:, 1].min() + 40]
    x, y = side * float(np.abs(top[:, 0]).max()) * 0.9, float(top[:, 1].mean())
    away = (x + side * draft.between(120, 260), y - draft.between(200, 420))
    arm = _limb((x + side * 14, y - 24), away, 46, 1.5)
    palm = Piece(disc(x + side * 8, y - 18, draft.between(26, 34)), "skin", "", depth=8, roundness=14, lift=2)
    thumb = _limb((x + side * 16, y - 12), (x - side * 14, y + 26), 20, 0.7)
    return [arm, palm, *pieces, thumb]


def dressed(draft: Draft, kind: str, pieces: list[Piece]) -> list[Piece]:
    """On a person: head and hands above, legs or trousers below; crude, but no part of the garment."""
    outline = np.vstack([p.outline for p in pieces])
    bottom = float(outline[:, 1].max())
    if kind in LOWER:
        w = float(np.abs(outline[outline[:, 1] < 20][:, 0]).max())
        shirt = path([(-w * 1.05, -260), (w * 1.05, -260)], [(w * 1.02, 30)], [(-w * 1.02, 30)], [(-w * 1.05, -260)])
        top = Piece(shirt, "other", "", depth=20, roundness=30, tube=True, folds=(crumple(40, 3), drape(4, 5, 0.3)))
        legs = [_limb((side * w * 0.5, bottom * 0.5), (side * w * 0.56, bottom + 180), w * 0.62, 0.7) for side in (-1, 1)]
        over = draft.chance(0.5)
        return [
            *legs,
            *([] if over else [top]),
            *pieces,
            *([replace(top, outline=shirt + np.array([0, draft.between(0, 20)]))] if over else []),
        ]
    behind: list[Piece] = []
    hair = draft.between(60, 78)
    if draft.chance(0.5):
        behind.append(
            Piece(disc(0, -120, hair) * (1.0, 1.15) + (0, 18), "hair", "", depth=14, roundness=30, folds=(drape(8, 5, 0.5),))
        )
    behind += [
        _limb((0, 70), (0, -90), 62, 0.9),
        Piece(disc(0, -120, 50) * (1.0, 1.25) + (0, 30), "skin", "", depth=24, roundness=34),
    ]
    cap = path([(-52, -120), (-46, -178), (0, -200), (46, -178), (52, -120)], [(30, -150), (0, -162), (-30, -150), (-52, -120)])
    behind.append(Piece(cap, "hair", "", depth=10, roundness=14, folds=(drape(6, 3, 0.5),)))
    limbs: list[Piece] = []
    for piece in pieces:
        if piece.group.endswith("sleeve") and piece.axis is not None and piece.tube:
            end, length = piece.axis[-1], np.hypot(*np.diff(piece.axis, axis=0).T).sum()
            heading = (piece.axis[-1] - piece.axis[-4]) / np.hypot(*(piece.axis[-1] - piece.axis[-4]))
            reach = max(470 - length, 60)
            limbs.append(_limb(tuple(end - heading * 30), tuple(end + heading * reach), 46, 0.8))
    if not limbs:
        shoulders = path(
            [(-26, 10), (-120, 44), (-138, 110)], [(-112, 300)], [(112, 300)], [(138, 110)], [(120, 44), (26, 10)], [(-26, 10)]
        )
        limbs = [_limb((side * 116, 66), (side * 150, 480), 52, 0.7) for side in (-1, 1)]
        limbs.append(Piece(shoulders, "skin", "", depth=20, roundness=40))
    role = draft.pick("skin", "other")
    limbs += [_limb((side * 48, bottom - 120), (side * 60, bottom + 300), 92, 0.8, role) for side in (-1, 1)]
    inside = [p for p in pieces if p.tone < 1 or p.role == "label"]
    rest = [p for p in pieces if not (p.tone < 1 or p.role == "label")]
    return [*limbs, *inside, *behind, *rest]
