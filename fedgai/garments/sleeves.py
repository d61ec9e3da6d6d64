"""Sleeves: set in under the body, or raglan over it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fedgai.garments.body import Body
from fedgai.garments.drape import bunch, crumple, drape, twist
from fedgai.garments.outline import Array, offset, path
from fedgai.garments.parts import Draft, Fold, Piece, Seam, button, reshaped, ribbing, side_fan, turned


@dataclass(frozen=True)
class Sleeve:
    """A sleeve's measures, in units.

    Attributes:
        length: from the shoulder to the wrist.
        angle: degrees from straight out (0) to straight down (90).
        cuff: half of its width at the end.
        puff: how much wider its middle is.
        bend: degrees that the forearm turns inwards.
        edge: how it ends: hem, cuff, rib, roll or raw.
        raglan: sewn to the neck, over the body.
    """

    length: float
    angle: float
    cuff: float
    puff: float = 0.0
    bend: float = 0.0
    edge: str = "hem"
    role: str = "main"
    raglan: bool = False


def _axis(body: Body, arm: Sleeve) -> Array:
    """The sleeve's middle line (n, 2) from the armhole to the wrist, for the left."""
    at = (np.array(body.shoulder_point) + np.array(body.armpit_point)) / 2
    turn, knots = np.radians(180 - arm.angle), [tuple(at)]
    for extra in (0.0, 0.35, 0.8, 1.0):
        heading = turn - np.radians(arm.bend * extra)
        at = at + arm.length / 4 * np.array([np.cos(heading), np.sin(heading)])
        knots.append(tuple(at))
    return path(knots)


def _sides(body: Body, arm: Sleeve, axis: Array) -> tuple[Array, Array]:
    """The outer and inner line (n, 2) of a sleeve, which leave the shoulder and the armpit."""
    s, a = np.array(body.shoulder_point), np.array(body.armpit_point)
    step = np.gradient(axis, axis=0)
    step /= np.hypot(*step.T)[:, None]
    normal = np.stack([step[:, 1], -step[:, 0]], 1)
    if (s - axis[0]) @ normal[0] < 0:
        normal = -normal
    top = max(abs((s - a) @ normal[0]) / 2, 0.62 * np.hypot(*(s - a)) / 2)
    share = np.linspace(0, 1, len(axis))
    width = top + (arm.cuff - top) * share + arm.puff * np.sin(np.pi * share) ** 0.8
    outer, inner = axis + normal * width[:, None], axis - normal * width[:, None]
    pull = np.clip(1 - share * arm.length / 120, 0, 1)[:, None] ** 1.5
    return outer + pull * (s - outer[0]), inner + pull * (a - inner[0])


def _folds(draft: Draft, body: Body, arm: Sleeve, right: bool) -> tuple[Fold, ...]:
    k = draft.crush
    made: list[Fold] = [
        crumple(draft.between(24, 36), 2.4 * k, draft.between(10, 40)),
        crumple(draft.between(11, 18), 0.6 * k, draft.between(-90, 90)),
        side_fan(
            (body.armpit_point[0] + 4, body.armpit - 6),
            (120, 190),
            right,
            draft.between(50, 90),
            draft.count(2, 6),
            draft.between(6, 9),
            4.0 * k,
        ),
    ]
    if arm.length > 200:
        made += [
            bunch(draft.between(0.35, 0.65), 0.17, draft.between(8, 14), draft.between(1.0, 4.5) * k),
            bunch(0.95, 0.1, draft.between(11, 16), draft.between(1.0, 3.5) * k),
        ]
        if draft.chance(0.2):
            made.append(twist(draft.between(0.3, 0.8), draft.between(0.12, 0.3), draft.between(4, 8), draft.between(2, 5)))
    if arm.puff > 8:
        made.append(drape(4.5, 4, 0.5, 3.2))
    return tuple(made)


def sleeve(draft: Draft, body: Body, arm: Sleeve, right: bool) -> list[Piece]:
    """A sleeve and its end, from the back to the front."""
    axis = _axis(body, arm)
    outer, inner = _sides(body, arm, axis)
    end = path([tuple(outer[-1]), tuple(inner[-1])])
    s, a = np.array(body.shoulder_point), np.array(body.armpit_point)
    sewn: tuple[Array, ...]
    if arm.raglan:
        neck = np.array((-body.neck + 3, 6.0))
        seam = path([tuple(a), tuple((a + neck) / 2 + (-4, 10)), tuple(neck)])
        shape, sewn = np.vstack([[neck], outer, inner[::-1], seam]), (end, seam)
    else:
        root = np.array([s, (s + a) / 2, a]) + np.array([(22, 10), (40, 0), (22, -8)])
        shape, sewn = np.vstack([root[:1], outer, inner[::-1], root[2:], root[1:2]]), (end,)
    seams: list[Seam] = []
    if arm.edge in ("hem", "roll"):
        deep = draft.between(9, 20)
        seams = [Seam(offset(end, -row), "topstitch", 0.9) for row in ((deep,) if draft.chance(0.6) else (deep, deep - 4))]
    depth = draft.between(14, 22) if draft.pose == "worn" else draft.between(8, 17)
    group = "right sleeve" if right else "left sleeve"
    piece = Piece(
        shape,
        arm.role,
        "edge",
        sewn=sewn,
        axis=axis,
        depth=depth,
        roundness=min(22, arm.cuff * 0.8 + 8),
        tube=True,
        seams=tuple(seams),
        lift=4,
        group=group,
        folds=_folds(draft, body, arm, right),
    )
    ends = _end(draft, arm, axis, outer[-1], inner[-1], group)
    pieces = [*ends, piece] if arm.edge == "rib" else [piece, *ends]
    return [reshaped(p, lambda line: turned(line, right)) for p in pieces]


def _end(draft: Draft, arm: Sleeve, axis: Array, outer: Array, inner: Array, group: str) -> list[Piece]:
    """A cuff with its button, a rib or a rolled-up end, for the left."""
    if arm.edge not in ("cuff", "rib", "roll"):
        return []
    down = axis[-1] - axis[-2]
    down = down / np.hypot(*down)
    deep = {"cuff": draft.between(34, 52), "rib": draft.between(30, 62), "roll": draft.between(18, 34)}[arm.edge]
    narrow = {"cuff": draft.between(0.8, 0.98), "rib": draft.between(0.72, 0.95), "roll": 1.02}[arm.edge]
    middle, across = (outer + inner) / 2, (outer - inner) / 2
    start = -deep * 0.9 if arm.edge == "roll" else -3.0
    top_out, top_in = middle + across * 1.02 + down * start, middle - across * 1.02 + down * start
    low_out, low_in = middle + across * narrow + down * (start + deep), middle - across * narrow + down * (start + deep)
    top = path([tuple(top_out), tuple(middle + down * (start + 3)), tuple(top_in)])
    shape = np.vstack(
        [
            top,
            path([tuple(top_in), tuple(low_in)]),
            path([tuple(low_in), tuple(middle + down * (start + deep + 3)), tuple(low_out)]),
        ]
    )
    line = np.stack([middle + down * start, middle + down * (start + deep)])
    if arm.edge == "rib":
        return [ribbing(shape, top, line, group=group)]
    cuff = Piece(
        shape,
        arm.role,
        "edge",
        sewn=(top,) if arm.edge == "cuff" else (),
        axis=line,
        depth=5,
        roundness=9,
        topstitch=(3.5,) if arm.edge == "cuff" else (),
        lift=2.4,
        folds=(crumple(24, 1.2 * draft.crush),),
        group=group,
    )
    if arm.edge == "roll" or draft.chance(0.3):
        return [cuff]
    x, y = middle + across * draft.between(-0.6, 0.6) + down * (start + deep * 0.5)
    knob = button(x, y, 4)
    return [cuff, replace(knob, group=group)]


def sleeves(
    draft: Draft, body: Body, kind: str, edge: str, role: str = "main", puff: float = 0.0, raglan: bool = False
) -> list[Piece]:
    """Both sleeves: short, half or long."""
    reach = np.hypot(body.shoulder - body.chest, body.armpit - body.shoulder_drop) / 2
    length = {"short": draft.between(90, 150), "half": draft.between(180, 260), "long": draft.between(380, 450)}[kind]
    cuff = {"short": draft.between(0.8, 1.05), "half": draft.between(0.66, 0.9), "long": draft.between(0.46, 0.72)}[kind] * reach
    low, high = (24, 60) if kind == "short" else (46, 78)
    angle = draft.between(low, high) if draft.pose == "lying" else draft.between(high - 16, high + 6)
    made: list[Piece] = []
    for right in (False, True):
        bend = (draft.rng.normal(-4, 8) if draft.chance(0.8) else draft.between(10, 55)) if kind == "long" else 0.0
        if draft.pose != "lying":
            bend = draft.rng.normal(-6, 4) if kind == "long" else 0.0
        arm = Sleeve(length * draft.between(0.97, 1.03), angle + draft.rng.normal(0, 4), cuff, puff, bend, edge, role, raglan)
        made += sleeve(draft, body, arm, right)
    return made


def armhole_rows(body: Body) -> tuple[Seam, ...]:
    """Stitches around the armholes of a garment without sleeves."""
    hole = path([body.shoulder_point, *body.armhole()])
    return tuple(Seam(turned(offset(hole, -6), right), "topstitch", 0.6) for right in (False, True))
