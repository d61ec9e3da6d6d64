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


def _axis(b: Body, m: Sleeve) -> Array:
    """The sleeve's middle line (n, 2) from the armhole to the wrist, for the left."""
    at = (np.array(b.shoulder_point) + np.array(b.armpit_point)) / 2
    turn, knots = np.radians(180 - m.angle), [tuple(at)]
    for extra in (0.0, 0.35, 0.8, 1.0):
        heading = turn - np.radians(m.bend * extra)
        at = at + m.length / 4 * np.array([np.cos(heading), np.sin(heading)])
        knots.append(tuple(at))
    return path(knots)


def _sides(b: Body, m: Sleeve, axis: Array) -> tuple[Array, Array]:
    """The outer and inner line (n, 2) of a sleeve, which leave the shoulder and the armpit."""
    s, a = np.array(b.shoulder_point), np.array(b.armpit_point)
    step = np.gradient(axis, axis=0)
    step /= np.hypot(*step.T)[:, None]
    normal = np.stack([step[:, 1], -step[:, 0]], 1)
    if (s - axis[0]) @ normal[0] < 0:
        normal = -normal
    top = max(abs((s - a) @ normal[0]) / 2, 0.62 * np.hypot(*(s - a)) / 2)
    share = np.linspace(0, 1, len(axis))
    width = top + (m.cuff - top) * share + m.puff * np.sin(np.pi * share) ** 0.8
    outer, inner = axis + normal * width[:, None], axis - normal * width[:, None]
    pull = np.clip(1 - share * m.length / 120, 0, 1)[:, None] ** 1.5
    return outer + pull * (s - outer[0]), inner + pull * (a - inner[0])


def _folds(d: Draft, b: Body, m: Sleeve, right: bool) -> tuple[Fold, ...]:
    k = d.crush
    made: list[Fold] = [
        crumple(d.between(24, 36), 2.4 * k, d.between(10, 40)),
        crumple(d.between(11, 18), 0.6 * k, d.between(-90, 90)),
        side_fan(
            (b.armpit_point[0] + 4, b.armpit - 6), (120, 190), right, d.between(50, 90), d.count(2, 6), d.between(6, 9), 4.0 * k
        ),
    ]
    if m.length > 200:
        made += [
            bunch(d.between(0.35, 0.65), 0.17, d.between(8, 14), d.between(1.0, 4.5) * k),
            bunch(0.95, 0.1, d.between(11, 16), d.between(1.0, 3.5) * k),
        ]
        if d.chance(0.2):
            made.append(twist(d.between(0.3, 0.8), d.between(0.12, 0.3), d.between(4, 8), d.between(2, 5)))
    if m.puff > 8:
        made.append(drape(4.5, 4, 0.5, 3.2))
    return tuple(made)


def sleeve(d: Draft, b: Body, m: Sleeve, right: bool) -> list[Piece]:
    """A sleeve and its end, from the back to the front."""
    axis = _axis(b, m)
    outer, inner = _sides(b, m, axis)
    end = path([tuple(outer[-1]), tuple(inner[-1])])
    s, a = np.array(b.shoulder_point), np.array(b.armpit_point)
    sewn: tuple[Array, ...]
    if m.raglan:
        neck = np.array((-b.neck + 3, 6.0))
        seam = path([tuple(a), tuple((a + neck) / 2 + (-4, 10)), tuple(neck)])
        shape, sewn = np.vstack([[neck], outer, inner[::-1], seam]), (end, seam)
    else:
        root = np.array([s, (s + a) / 2, a]) + np.array([(22, 10), (40, 0), (22, -8)])
        shape, sewn = np.vstack([root[:1], outer, inner[::-1], root[2:], root[1:2]]), (end,)
    seams: list[Seam] = []
    if m.edge in ("hem", "roll"):
        deep = d.between(9, 20)
        seams = [Seam(offset(end, -row), "topstitch", 0.9) for row in ((deep,) if d.chance(0.6) else (deep, deep - 4))]
    depth = d.between(14, 22) if d.pose == "worn" else d.between(8, 17)
    group = "right sleeve" if right else "left sleeve"
    piece = Piece(
        shape,
        m.role,
        "edge",
        sewn=sewn,
        axis=axis,
        depth=depth,
        roundness=min(22, m.cuff * 0.8 + 8),
        tube=True,
        seams=tuple(seams),
        lift=4,
        group=group,
        folds=_folds(d, b, m, right),
    )
    ends = _end(d, m, axis, outer[-1], inner[-1], group)
    pieces = [*ends, piece] if m.edge == "rib" else [piece, *ends]
    return [reshaped(p, lambda line: turned(line, right)) for p in pieces]


def _end(d: Draft, m: Sleeve, axis: Array, outer: Array, inner: Array, group: str) -> list[Piece]:
    """A cuff with its button, a rib or a rolled-up end, for the left."""
    if m.edge not in ("cuff", "rib", "roll"):
        return []
    down = axis[-1] - axis[-2]
    down = down / np.hypot(*down)
    deep = {"cuff": d.between(34, 52), "rib": d.between(30, 62), "roll": d.between(18, 34)}[m.edge]
    narrow = {"cuff": d.between(0.8, 0.98), "rib": d.between(0.72, 0.95), "roll": 1.02}[m.edge]
    middle, across = (outer + inner) / 2, (outer - inner) / 2
    start = -deep * 0.9 if m.edge == "roll" else -3.0
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
    if m.edge == "rib":
        return [ribbing(shape, top, line, group=group)]
    cuff = Piece(
        shape,
        m.role,
        "edge",
        sewn=(top,) if m.edge == "cuff" else (),
        axis=line,
        depth=5,
        roundness=9,
        topstitch=(3.5,) if m.edge == "cuff" else (),
        lift=2.4,
        folds=(crumple(24, 1.2 * d.crush),),
        group=group,
    )
    if m.edge == "roll" or d.chance(0.3):
        return [cuff]
    x, y = middle + across * d.between(-0.6, 0.6) + down * (start + deep * 0.5)
    knob = button(x, y, 4)
    return [cuff, replace(knob, group=group)]


def sleeves(d: Draft, b: Body, kind: str, edge: str, role: str = "main", puff: float = 0.0, raglan: bool = False) -> list[Piece]:
    """Both sleeves: short, half or long."""
    reach = np.hypot(b.shoulder - b.chest, b.armpit - b.shoulder_drop) / 2
    length = {"short": d.between(90, 150), "half": d.between(180, 260), "long": d.between(380, 450)}[kind]
    cuff = {"short": d.between(0.8, 1.05), "half": d.between(0.66, 0.9), "long": d.between(0.46, 0.72)}[kind] * reach
    low, high = (24, 60) if kind == "short" else (46, 78)
    angle = d.between(low, high) if d.pose == "lying" else d.between(high - 16, high + 6)
    made: list[Piece] = []
    for right in (False, True):
        bend = (d.rng.normal(-4, 8) if d.chance(0.8) else d.between(10, 55)) if kind == "long" else 0.0
        if d.pose != "lying":
            bend = d.rng.normal(-6, 4) if kind == "long" else 0.0
        m = Sleeve(length * d.between(0.97, 1.03), angle + d.rng.normal(0, 4), cuff, puff, bend, edge, role, raglan)
        made += sleeve(d, b, m, right)
    return made


def armhole_rows(b: Body) -> tuple[Seam, ...]:
    """Stitches around the armholes of a garment without sleeves."""
    hole = path([b.shoulder_point, *b.armhole()])
    return tuple(Seam(turned(offset(hole, -6), right), "topstitch", 0.6) for right in (False, True))
