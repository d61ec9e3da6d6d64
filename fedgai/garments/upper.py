"""Garments for the upper body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedgai.garments.drape import bunch, crumple, drape
from fedgai.garments.outline import Array, Point, mirror, offset, path, strip, symmetric
from fedgai.garments.parts import (
    Fold,
    Piece,
    Rng,
    Seam,
    button,
    buttons,
    cord,
    flap,
    pocket,
    ribbing,
    side_fan,
    turned,
    welt,
    wrinkles,
    zipper,
)


@dataclass
class Body:
    """Measures of an upper garment, in units; half of each width."""

    neck: float
    neck_depth: float
    shoulder: float
    shoulder_drop: float
    chest: float
    armpit: float
    waist: float
    waist_at: float
    hem: float
    length: float
    sag: float
    crush: float

    @classmethod
    def random(cls, rng: Rng, ease: float = 1.0, length: tuple[float, float] = (480, 600), waist: float = 1.0,
               flare: float = 1.0) -> Body:
        chest = rng.uniform(126, 150) * ease
        long = rng.uniform(*length)
        armpit = rng.uniform(140, 180) * ease**0.5
        return cls(
            neck=rng.uniform(46, 64), neck_depth=rng.uniform(44, 74), shoulder=chest * rng.uniform(0.94, 1.1),
            shoulder_drop=rng.uniform(28, 52), chest=chest, armpit=armpit, waist=chest * waist * rng.uniform(0.92, 1.02),
            waist_at=armpit + (min(long, 520) - armpit) * rng.uniform(0.4, 0.5),
            hem=chest * flare * rng.uniform(0.96, 1.08), length=long, sag=rng.uniform(2, 16),
            crush=float(np.clip(rng.lognormal(-0.15, 0.45), 0.25, 1.9)),
        )

    @property
    def neck_point(self) -> Point:
        return (-self.neck, 0.0)

    @property
    def shoulder_point(self) -> Point:
        return (-self.shoulder, self.shoulder_drop)

    @property
    def armpit_point(self) -> Point:
        return (-self.chest, self.armpit)

    def neckline(self, style: str) -> list[list[Point]]:
        """Strokes from the middle of the front to the left neck point."""
        n, d = self.neck, self.neck_depth
        if style == "v":
            return [[(0, d), (-n * 0.52, d * 0.46), (-n, 0)]]
        if style == "square":
            return [[(0, d), (-n * 0.88, d)], [(-n, 0)]]
        if style == "boat":
            return [[(0, d), (-n * 0.6, d * 0.72), (-n, 0)]]
        return [[(0, d), (-n * 0.52, d * 0.83), (-n * 0.88, d * 0.4), (-n, 0)]]

    def armhole(self) -> list[Point]:
        """From the shoulder point to the armpit, without its first point."""
        (sx, sy), (ax, ay) = self.shoulder_point, self.armpit_point
        inward = min(sx, ax) * -0.0 + max(sx, ax) * 0.94
        return [(inward, sy + (ay - sy) * 0.5), (inward, sy + (ay - sy) * 0.72), (ax, ay)]

    def side(self) -> list[Point]:
        """From the armpit down to the hem, without its first point."""
        return [(-self.waist, self.waist_at), (-(self.waist + self.hem) / 2 - 1, (self.waist_at + self.length) / 2),
                (-self.hem, self.length)]

    def hem_line(self) -> Array:
        """The hem from left to right."""
        half = path([(-self.hem, self.length), (-self.hem * 0.55, self.length + self.sag * 0.75),
                     (0, self.length + self.sag)])
        return np.vstack([half, mirror(half)[::-1]])


def torso(b: Body, style: str) -> Array:
    """The outline of a whole front."""
    hem = [(-b.hem * 0.55, b.length + b.sag * 0.75), (0, b.length + b.sag)]
    return symmetric(*b.neckline(style), [b.shoulder_point], b.armhole(), b.side(), hem)


def torso_folds(rng: Rng, b: Body) -> tuple[Fold, ...]:
    """Folds of a body that hangs from its shoulders or lies as it fell."""
    k = b.crush
    folds: list[Fold] = [crumple(rng.uniform(38, 62), 3.0 * k, rng.uniform(-40, 40)),
                         drape(rng.uniform(3, 6), rng.uniform(3, 9) * k**0.5, rng.uniform(0, 0.3))]
    ax, ay = b.armpit_point
    for right in (False, True):
        if rng.random() < 0.8:
            folds.append(side_fan((ax + 8, ay - 4), (-10, 75), right, rng.uniform(70, 150), rng.integers(2, 7), rng.uniform(7, 12), rng.uniform(2.5, 5.5) * k))
    box = (-b.chest, 60, b.chest, b.length)
    folds += wrinkles(rng, box, int(rng.integers(2, 7)), 90, 4.2 * k)
    return tuple(folds)


def inside(b: Body, drop: float, role: str = "main", depth: float | None = None) -> list[Piece]:
    """The back of the neck seen from within, with a label now and then."""
    d = (b.neck_depth if depth is None else depth) + 14
    outline = symmetric([(0, -drop), (-b.neck * 0.6, -drop * 0.9), (-b.neck - 6, 4)], [(-b.neck * 0.9, d * 0.6), (0, d)])
    return [Piece(outline, role, "edge", depth=2, roundness=8, tone=0.62, lift=0.5,
                  seams=(Seam(path([(-b.neck, 8), (0, 10 - drop * 0.2), (b.neck, 8)]), "seam", 0.8),))]


def label(rng: Rng, y: float) -> list[Piece]:
    """A woven label inside the neck."""
    w, h = rng.uniform(12, 22), rng.uniform(10, 18)
    return [Piece(path([(-w, y), (w, y)], [(w, y + h)], [(-w, y + h)], [(-w, y)]), "label", "", depth=0.8, roundness=2, lift=0.8,
                  tone=0.75)] if rng.random() < 0.5 else []


def sleeve(rng: Rng, b: Body, right: bool, length: float, angle: float, cuff: float, puff: float = 0.0,
           bend: float = 0.0, role: str = "main", edge: str = "hem") -> list[Piece]:
    """A sleeve under the body's armhole.

    Args:
        length: from the shoulder to the wrist.
        angle: degrees from straight out (0) to straight down (90).
        cuff: half of its width at the end.
        puff: units that its middle is wider by.
        bend: degrees that the forearm turns inwards.
        edge: how it ends: hem, cuff, rib or raw.
    """
    s, a = np.array(b.shoulder_point), np.array(b.armpit_point)
    start = (s + a) / 2
    turn = np.radians(180 - angle)
    knots, at = [start], start.copy()
    for share, extra in ((0.25, 0.0), (0.25, 0.35), (0.25, 0.8), (0.25, 1.0)):
        heading = turn - np.radians(bend * extra)
        at = at + share * length * np.array([np.cos(heading), np.sin(heading)])
        knots.append(at)
    axis = path([tuple(k) for k in knots])
    half0 = np.hypot(*(s - a)) / 2 * max(0.55, abs(np.cos(np.radians(angle) - np.arctan2(-(a - s)[0], (a - s)[1]))))
    share = np.linspace(0, 1, len(axis))
    width = half0 + (cuff - half0) * share**0.8 + puff * np.sin(np.pi * share) ** 0.8
    step = np.gradient(axis, axis=0)
    normal = np.stack([step[:, 1], -step[:, 0]], 1) / np.hypot(*step.T)[:, None]
    outer, inner = axis + normal * width[:, None], axis - normal * width[:, None]
    if (s - start) @ normal[0] < 0:
        outer, inner = inner, outer
    pull = np.clip(1 - share / 0.35, 0, 1)[:, None] ** 1.5
    outer, inner = outer + pull * (s - outer[0]), inner + pull * (a - inner[0])
    root = np.array([s + (22, 10), (s + a) / 2 + (40, 0), a + (22, -8)])
    k = b.crush
    folds: list[Fold] = [crumple(rng.uniform(24, 36), 2.4 * k, rng.uniform(10, 40)),
                         side_fan((a[0] + 4, a[1] - 6), (120, 190), right, rng.uniform(50, 90), rng.integers(3, 7), rng.uniform(6, 9), 4.4 * k)]
    if length > 200:
        folds += [bunch(rng.uniform(0.4, 0.6), 0.17, rng.uniform(9, 14), rng.uniform(1.5, 4.5) * k),
                  bunch(0.95, 0.1, rng.uniform(11, 16), rng.uniform(1.5, 3.5) * k)]
    if puff > 8:
        folds.append(drape(4.5, 4, 0.5, 3.2))
    ends = np.vstack([outer[-1:], inner[-1:]])
    seams: list[Seam] = []
    pieces: list[Piece] = []
    depth, round_ = rng.uniform(9, 18), min(22, cuff * 0.8 + 8)
    back = -np.gradient(axis, axis=0)[-1] / np.hypot(*np.gradient(axis, axis=0)[-1])
    if edge == "hem":
        for d in ((14,) if rng.random() < 0.6 else (11, 15)):
            seams.append(Seam(path([tuple(ends[0] + back * d), tuple((ends[0] + ends[1]) / 2 + back * (d - 2)), tuple(ends[1] + back * d)]), "topstitch", 0.9))
    whole = np.vstack([root[:1], outer, inner[::-1], root[2:], root[1:2]])
    sleeve_piece = Piece(turned(whole, right), role, "edge", sewn=(turned(path([tuple(e) for e in ends]), right),), axis=turned(axis, right), depth=depth, roundness=round_, tube=True,
                         folds=tuple(folds), seams=tuple(Seam(turned(x.line, right), x.kind, x.groove) for x in seams), lift=4)
    if edge in ("cuff", "rib"):
        deep = rng.uniform(36, 52) if edge == "cuff" else rng.uniform(34, 64)
        narrow = 0.92 if edge == "cuff" else 0.82
        mid, across = (ends[0] + ends[1]) / 2, (ends[0] - ends[1]) / 2
        top = np.array([mid + across - back * -4, mid - across - back * -4])
        low = np.array([mid - across * narrow - back * deep, mid + across * narrow - back * deep])
        shape = path([tuple(top[0]), tuple(mid + back * 1), tuple(top[1])], [tuple(low[0])], [tuple(mid - back * (deep + 3)), tuple(low[1])], [tuple(top[0])])
        line = path([tuple(top[0]), tuple(mid + back * 1), tuple(top[1])])
        down = np.array([mid, mid - back * deep])
        if edge == "rib":
            pieces.append(ribbing(turned(shape, right), turned(line, right), turned(down, right)))
            return [*pieces, sleeve_piece]
        pieces.append(Piece(turned(shape, right), role, "edge", sewn=(turned(line, right),), axis=turned(down, right), depth=5, roundness=9,
                            topstitch=(3.5,), lift=2, folds=(crumple(24, 1.2 * k),)))
        spot = turned(np.array([mid + across * rng.uniform(-0.5, 0.5) - back * deep * 0.5]), right)[0]
        if rng.random() < 0.7:
            pieces.append(button(spot[0], spot[1], 4))
        return [sleeve_piece, *pieces]
    return [sleeve_piece]


def sleeves(rng: Rng, b: Body, kind: str, edge: str, role: str = "main", puff: float = 0.0) -> list[Piece]:
    """Both sleeves: short, half or long."""
    reach = np.hypot(b.shoulder - b.chest, b.armpit - b.shoulder_drop) / 2
    length = {"short": rng.uniform(95, 150), "half": rng.uniform(180, 260), "long": rng.uniform(390, 450)}[kind]
    cuff = {"short": rng.uniform(0.8, 1.0), "half": rng.uniform(0.62, 0.85), "long": rng.uniform(0.42, 0.6)}[kind] * reach
    angle = rng.uniform(25, 58) if kind == "short" else rng.uniform(48, 76)
    made = []
    for right in (False, True):
        turn = angle + rng.normal(0, 4)
        bend = rng.normal(-4, 8) if kind == "long" else 0
        made += sleeve(rng, b, right, length * rng.uniform(0.97, 1.03), turn, cuff, puff, bend, role, edge)
    return made


def front(rng: Rng, b: Body, style: str, seams: tuple[Seam, ...] = (), open_edges: tuple[Array, ...] = ()) -> Piece:
    """The body: armholes and hem are sewn, the neckline is an edge."""
    neck, hole = path(*b.neckline(style)), path([b.shoulder_point, *b.armhole()])
    return Piece(torso(b, style), "main", "edge", sewn=(hole, mirror(hole), b.hem_line()), depth=rng.uniform(12, 22), roundness=rng.uniform(28, 42), tube=True,
                 folds=torso_folds(rng, b), seams=seams, open_edges=(neck, mirror(neck), *open_edges), lift=3)


def hem_rows(rng: Rng, line: Array) -> tuple[Seam, ...]:
    """One or two rows of stitches above a hem that runs from left to right."""
    deep = rng.uniform(9, 22)
    rows = [deep] if rng.random() < 0.6 else [deep, deep - 4]
    return tuple(Seam(offset(line, -d), "topstitch", 0.8) for d in rows)


def neck_band(b: Body, style: str, width: float, role: str = "rib") -> list[Piece]:
    """A band sewn to a round or pointed neckline, behind and in front."""
    half = path(*b.neckline(style))
    line = np.vstack([half[::-1], mirror(half)[1:]])  # from left over the middle to right
    inner = path([(0, -10), (-b.neck * 0.6, -8), (-b.neck, 2)])
    back = np.vstack([inner[::-1], mirror(inner)[1:]])
    behind = Piece(strip(back, width * 0.85), role, "seam", axis=back, depth=4, roundness=7, tone=0.8, lift=1)
    before = Piece(strip(line, width), role, "edge", sewn=(offset(line, width),), axis=line, depth=4.5, roundness=7, lift=2)
    return [behind, before]


def shirt_collar(rng: Rng, b: Body, size: float, stitch: bool = True, spread: float = 0.0) -> list[Piece]:
    """A pointed collar folded over its stand; the fronts meet at (0, neck_depth)."""
    n, d = b.neck, b.neck_depth
    stand = symmetric([(0, -24), (-n * 0.6, -22), (-n - 4, -2)], [(-n + 6, 6)], [(-n * 0.5, -8), (0, -9)])
    pieces = [Piece(stand, "collar", "edge", depth=3, roundness=4, lift=2, tone=0.95)]
    for right in (False, True):
        tip = (-n * 0.62 + rng.normal(0, 4) - spread, d + size * 0.62)
        leaf = path([(-n, -14), (-n * 0.62, d * 0.35), (0, d)], [tip], [(-n - size * 0.36, d * 0.62), (-n - size * 0.42, 20)],
                    [(-n - size * 0.2, -4), (-n, -14)])
        axis = np.array([(-n, 0), (-n * 0.4, d)])
        pieces.append(Piece(turned(leaf, right), "collar", "edge", axis=turned(axis, right), depth=4.5, roundness=7,
                            folds=(crumple(30, rng.uniform(0.5, 1.8)),), lift=3.4, topstitch=(3.5,) if stitch else ()))
    return pieces


def lapels(rng: Rng, b: Body, low: float, width: float) -> list[Piece]:
    """A notched collar whose lapels roll down to (0, low)."""
    n = b.neck
    back = symmetric([(0, -24), (-n * 0.6, -22), (-n - 8, 2)], [(-n + 6, 8)], [(-n * 0.5, -8), (0, -8)])
    pieces = [Piece(back, "collar", "edge", depth=4, roundness=7, lift=3)]
    notch = low * rng.uniform(0.3, 0.42)
    for right in (False, True):
        lapel = path([(-n - 2, 4), (-n * 0.55, low * 0.5), (rng.uniform(0, 8), low)], [(-n - width * 0.3, low * 0.66), (-n - width, notch + 8)],
                     [(-n - width * 0.45, notch - 4)], [(-n - 2, 4)])
        collar = path([(-n, -16), (-n * 0.8, low * 0.16), (-n * 0.72, notch)], [(-n - width * 0.62, notch - 4)],
                      [(-n - width * 0.7, notch - 34)], [(-n - width * 0.34, -2), (-n, -16)])
        axis = np.array([(-n, 0), (-n * 0.4, low)])
        for shape, lift in ((lapel, 4.5), (collar, 4.5)):
            pieces.append(Piece(turned(shape, right), "collar", "edge", axis=turned(axis, right), depth=6, roundness=9,
                                folds=(crumple(40, 1.4),), lift=lift, topstitch=(4.5,) if rng.random() < 0.5 else ()))
    return pieces


def placket(rng: Rng, top: float, bottom: float, width: float, x: float = 0.0, role: str = "main") -> Piece:
    """The band that carries buttonholes, stitched on both sides."""
    w = width / 2
    shape = path([(x - w, top), (x + w, top)], [(x + w, bottom)], [(x - w, bottom)], [(x - w, top)])
    rows = tuple(Seam(path([(x + e * (w - 3.5), top), (x + e * (w - 3.5), bottom)]), "topstitch", 0.5) for e in (-1, 1))
    return Piece(shape, role, "edge", depth=2, roundness=4, folds=(crumple(40, rng.uniform(1, 2.4)),), seams=rows, lift=1.6)


def t_shirt(rng: Rng) -> list[Piece]:
    b = Body.random(rng)
    style = str(rng.choice(["round", "round", "v", "boat"]))
    if style == "boat":
        b.neck, b.neck_depth = b.neck * 1.5, b.neck_depth * 0.6
    width = rng.uniform(10, 20)
    kind = str(rng.choice(["short", "short", "short", "long"]))
    body = front(rng, b, style, hem_rows(rng, b.hem_line()))
    extra = [pocket(rng, 62, b.armpit + 10, 62, 70)] if rng.random() < 0.15 else []
    arm_role = "second" if rng.random() < 0.15 else "main"
    return [*inside(b, 8), *label(rng, 2), *sleeves(rng, b, kind, "hem", arm_role), body, *extra, *neck_band(b, style, width, "main" if rng.random() < 0.5 else "rib")]


def polo(rng: Rng) -> list[Piece]:
    b = Body.random(rng)
    b.neck_depth = rng.uniform(34, 50)
    end = b.neck_depth + rng.uniform(90, 140)
    body = front(rng, b, "round", hem_rows(rng, b.hem_line()))
    strip_ = placket(rng, b.neck_depth - 8, end, 28)
    knobs = buttons(path([(0, b.neck_depth + 14), (0, end - 16)]), int(rng.integers(2, 4)), 4.4)
    edge = str(rng.choice(["rib", "hem"]))
    arms = sleeves(rng, b, "short", "hem" if edge == "hem" else "rib")
    return [*inside(b, 8), *label(rng, 0), *arms, body, strip_, *knobs, *shirt_collar(rng, b, rng.uniform(44, 64), False)]


def shirt(rng: Rng) -> list[Piece]:
    b = Body.random(rng, length=(520, 620))
    b.neck_depth, b.sag = rng.uniform(48, 66), rng.uniform(10, 40)
    kind = str(rng.choice(["long", "long", "short"]))
    yoke = path([(-b.neck * 0.9, 44), (-b.shoulder * 0.6, 54), (-b.shoulder * 0.97, b.shoulder_drop + 40)])
    seams = [*hem_rows(rng, b.hem_line())]
    if rng.random() < 0.6:
        seams += [Seam(yoke), Seam(mirror(yoke))]
    body = front(rng, b, "round", tuple(seams))
    bottom = b.length + b.sag
    extra: list[Piece] = [placket(rng, b.neck_depth - 4, bottom, rng.uniform(24, 32))]
    for x in ((70,), (-70, 70), ())[int(rng.integers(0, 3))]:
        extra.append(pocket(rng, x, b.armpit - 10, 68, 72, rng.choice([0, 16])))
        if rng.random() < 0.4:
            extra += [flap(rng, x, b.armpit - 14, 72, 22, 10), button(x, b.armpit + 8, 4)]
    knobs = buttons(path([(0, b.neck_depth + 40), (0, bottom - rng.uniform(50, 110))]), int(rng.integers(5, 8)), 4.4)
    return [*inside(b, 10), *label(rng, 0), *sleeves(rng, b, kind, "cuff" if kind == "long" else "hem"), body, *extra, *knobs,
            *shirt_collar(rng, b, rng.uniform(54, 84), True, rng.uniform(-8, 20)), button(0, b.neck_depth + 6, 4.2)]


def blouse(rng: Rng) -> list[Piece]:
    b = Body.random(rng, length=(430, 540), waist=0.9, flare=1.06)
    style = str(rng.choice(["round", "v", "square", "boat"]))
    b.neck, b.neck_depth = b.neck * rng.uniform(1, 1.35), b.neck_depth * rng.uniform(0.8, 1.5)
    kind = str(rng.choice(["short", "half", "long"]))
    seams = [*hem_rows(rng, b.hem_line())]
    for right in (False, True):
        if rng.random() < 0.5:
            seams.append(Seam(turned(path([(-b.chest * 0.96, b.armpit + 50), (-b.chest * 0.45, b.armpit + 24)]), right)))
    body = front(rng, b, style, tuple(seams))
    bow: list[Piece] = []
    if style == "v" and rng.random() < 0.5:
        bow = [*cord(path([(-2, b.neck_depth), (-14, b.neck_depth + 60), (-8, b.neck_depth + 130)]), 6), *cord(path([(2, b.neck_depth), (16, b.neck_depth + 50), (20, b.neck_depth + 120)]), 6)]
    elif rng.random() < 0.4:
        bow = buttons(path([(0, b.neck_depth + 16), (0, b.neck_depth + 150)]), int(rng.integers(3, 8)), 3.6)
    return [*inside(b, 8), *sleeves(rng, b, kind, "cuff" if kind != "short" else "hem", puff=rng.uniform(0, 22)), body, *neck_band(b, style, rng.uniform(6, 12), "main"), *bow]


def pullover(rng: Rng) -> list[Piece]:
    b = Body.random(rng, ease=1.04)
    style = str(rng.choice(["round", "round", "v", "turtle"]))
    hem = b.hem_line()
    rib = ribbing(strip(offset(hem, -6), 52), offset(hem, -4), None, 9)
    body = front(rng, b, "round" if style == "turtle" else style, ())
    arms = sleeves(rng, b, "long", "rib", "second" if rng.random() < 0.12 else "main")
    if style == "turtle":
        d = b.neck_depth * 0.62
        tall = symmetric([(0, -52), (-b.neck * 0.95, -46)], [(-b.neck * 1.04, 2)], [(-b.neck * 0.6, d * 0.8), (0, d)])
        neck = [Piece(tall, "rib", "edge", depth=8, roundness=14, folds=(crumple(30, 2),), lift=3, tube=True)]
        body = front(rng, b, "boat", ())
    else:
        neck = neck_band(b, style, rng.uniform(18, 30))
    return [*inside(b, 10), rib, *arms, body, *neck]


def cardigan(rng: Rng) -> list[Piece]:
    b = Body.random(rng, length=(460, 660))
    b.neck_depth = rng.uniform(140, 260)
    bottom = b.length + b.sag
    body = front(rng, b, "v", ())
    hem = b.hem_line()
    rib = ribbing(strip(offset(hem, -6), 40), offset(hem, -4), None, 8)
    half = path(*b.neckline("v"))
    w = rng.uniform(22, 34)
    left = np.vstack([half[::-1], path([(0, b.neck_depth + 3), (0, bottom + 36)])])
    band_l = Piece(strip(left, w), "rib", "edge", axis=left, depth=4, roundness=7, lift=2)
    band_r = Piece(strip(mirror(left) - (w * 0.5, 0), -w), "rib", "edge", axis=mirror(left), depth=4, roundness=7, lift=2.6)
    knobs = buttons(path([(-w * 0.1, b.neck_depth + 20), (-w * 0.1, bottom + 20)]), int(rng.integers(4, 8)), 6)
    pockets = [pocket(rng, x, b.length - 130, 88, 96, stitch=()) for x in (-72, 72)] if rng.random() < 0.5 else []
    return [*inside(b, 8, depth=b.neck_depth), *label(rng, 2), rib, *sleeves(rng, b, "long", "rib"), body, *pockets, band_l, band_r, *knobs]


def hoodie(rng: Rng) -> list[Piece]:
    b = Body.random(rng, ease=1.06)
    b.neck_depth = rng.uniform(50, 70)
    hem = b.hem_line()
    zipped = rng.random() < 0.45
    rib = ribbing(strip(offset(hem, -6), 48), offset(hem, -4), None, 9)
    n, d = b.neck, b.neck_depth
    up = rng.uniform(60, 110)
    hood = symmetric([(0, -up), (-n * 0.9, -up * 0.9), (-n * 1.55, -up * 0.35), (-n * 1.5, 30)], [(-n * 0.9, d), (0, d + 10)])
    hole = symmetric([(0, -up * 0.72), (-n * 0.66, -up * 0.6), (-n * 0.98, -10), (-n * 0.7, d * 0.5), (0, d)])
    pieces = [Piece(hood, "main", "seam", depth=14, roundness=18, folds=(crumple(30, 3), drape(3, 4, 0.6)), lift=3,
                    seams=(Seam(path([(0, -up), (0, -up * 0.7)])),)),
              Piece(hole, "main", "edge", depth=0, roundness=8, folds=(crumple(40, 5, 60),), tone=0.5, lift=0.5)]
    body = front(rng, b, "round")
    pieces += [rib, *sleeves(rng, b, "long", "rib", "second" if rng.random() < 0.15 else "main"), body]
    y = b.length - rng.uniform(130, 160)
    w = b.chest * rng.uniform(0.5, 0.6)
    pouch = symmetric([(0, y), (-w * 0.72, y)], [(-w * 0.8, y + 34), (-w, y + 76)], [(-w, b.length)], [(0, b.length + 4)])
    pieces.append(Piece(pouch, "main", "edge", depth=5, roundness=9, folds=(crumple(40, 2.4), drape(3, 2.4, 0.6)), lift=3.4, topstitch=(4, 7.5)))
    if zipped:
        pieces += zipper(path([(0, d), (0, b.length + 44)]), 13)
    for right in (False, True):
        edge = path([(-n * 0.98, -up * 0.3), (-n * 1.02, -4)], [(-n * 0.7, d * 0.5), (6, d)], [(0, d + 24)], [(-n * 0.86, d * 0.86), (-n * 1.5, 24)],
                    [(-n * 1.5, -up * 0.2), (-n * 0.98, -up * 0.3)])
        pieces.append(Piece(turned(edge, right), "main", "edge", axis=turned(np.array([(-n, -20), (-n * 0.4, d)]), right), depth=8, roundness=10,
                            folds=(crumple(34, 2.2),), lift=3.6, topstitch=(5,)))
    if rng.random() < 0.8:
        for right in (False, True):
            tail = path([(-16, d + 8), (-18 + rng.normal(0, 3), d + 60), (-15 + rng.normal(0, 6), d + rng.uniform(90, 160))])
            pieces += cord(turned(tail, right))
    return pieces


def jacket(rng: Rng) -> list[Piece]:
    b = Body.random(rng, ease=1.06, length=(420, 560))
    style = str(rng.choice(["denim", "bomber", "blazer", "zip"]))
    b.neck_depth = rng.uniform(50, 70)
    seams: list[Seam] = []
    extra: list[Piece] = []
    bottom = b.length + b.sag
    hem = b.hem_line()
    if style == "denim":
        yoke = b.armpit + rng.uniform(-30, 10)
        for right in (False, True):
            for d in (0, 4.5):
                seams.append(Seam(turned(path([(-b.chest * 1.05, yoke + d), (0, yoke + d + 5)]), right), "seam" if d == 0 else "topstitch", 1.2 if d == 0 else 0.4))
                seams.append(Seam(turned(path([(-96 + d, yoke + 6), (-78 + d, bottom)]), right), "seam" if d == 0 else "topstitch", 1.2 if d == 0 else 0.4))
                seams.append(Seam(turned(path([(-38 + d, yoke + 6), (-44 + d, bottom)]), right), "seam" if d == 0 else "topstitch", 1.2 if d == 0 else 0.4))
            x = 66 if right else -66
            extra += [flap(rng, x, yoke + 8, 74, 24, 18, (3, 6.5)), button(x, yoke + 36, 4.6, True)]
        extra.append(placket(rng, b.neck_depth, bottom, 32))
        extra.append(Piece(strip(offset(hem, -4), 36), "main", "edge", sewn=(offset(hem, -4),), depth=6, roundness=9, topstitch=(3.5,), lift=3, folds=(crumple(26, 1.6),)))
        extra += buttons(path([(0, b.neck_depth + 30), (0, bottom + 14)]), 6, 6, True)
        collar = shirt_collar(rng, b, rng.uniform(70, 90))
        cuff, role = "cuff", "main"
    elif style == "blazer":
        b.neck_depth = rng.uniform(190, 290)
        x = 5.0
        seams.append(Seam(path([(x, b.neck_depth), (x, bottom - 30), (-24, bottom)]), "edge", 2.4))
        for right in (False, True):
            px = 78 if right else -78
            extra.append(flap(rng, px, b.length - 150, 84, 26))
            seams.append(Seam(turned(path([(-b.chest * 0.6, b.armpit + 60), (-b.waist * 0.56, b.length - 150)]), right)))
        extra.append(welt((52, b.armpit + 12), (110, b.armpit + 4), 13))
        extra += buttons(path([(-4, b.neck_depth + 22), (-4, b.neck_depth + 90)]), int(rng.integers(1, 4)), 7)
        collar = lapels(rng, b, b.neck_depth, rng.uniform(44, 66))
        cuff, role = "hem", "main"
    else:
        extra += zipper(path([(0, b.neck_depth - (0 if style == "bomber" else 52)), (0, bottom + 34)]), 15)
        for right in (False, True):
            extra.append(welt(*[tuple(turned(np.array([p]), right)[0]) for p in ((-60, b.length - 150), (-88, b.length - 60))], 14 if right else -14))
        extra.insert(0, ribbing(strip(offset(hem, -6), 42), offset(hem, -4), None, 8))
        if style == "bomber":
            collar = neck_band(b, "round", 26)
        else:
            d = b.neck_depth
            stand = symmetric([(0, 2), (-b.neck * 0.5, -18), (-b.neck * 1.02, -40)], [(-b.neck * 1.1, 4)], [(-b.neck * 0.6, d * 0.8), (0, d + 4)])
            collar = [Piece(stand, "collar", "edge", depth=6, roundness=10, lift=3, topstitch=(4,))]
            extra, collar = [], [*extra[:1], *collar, *extra[1:]]
        cuff, role = "rib", "second" if rng.random() < 0.25 else "main"
        if style == "zip" and rng.random() < 0.4:
            seams += [Seam(offset(path([(-b.chest * 1.1, y), (0, y + 5), (b.chest * 1.1, y)]), 0)) for y in np.arange(b.armpit - 60, bottom - 20, rng.uniform(44, 64))]
    body = front(rng, b, "v" if style == "blazer" else "round", tuple(seams))
    return [*inside(b, 10, "lining", b.neck_depth), *label(rng, 4), *sleeves(rng, b, "long", cuff, role), body, *extra, *collar]


def coat(rng: Rng) -> list[Piece]:
    b = Body.random(rng, ease=1.04, length=(640, 780), flare=1.16)
    b.neck_depth = rng.uniform(150, 250)
    bottom = b.length + b.sag
    double = rng.random() < 0.4
    x = 36.0 if double else 8.0
    seams = [Seam(path([(x * 0.2, b.neck_depth), (x, b.neck_depth + 40), (x, bottom)]), "edge", 2.6)]
    seams += [*hem_rows(rng, b.hem_line())] if rng.random() < 0.5 else []
    extra: list[Piece] = []
    for right in (False, True):
        px = 84 if right else -84
        if rng.random() < 0.5:
            extra.append(welt((px - 8, b.waist_at + 40), (px + 8, b.waist_at + 120), 16))
        else:
            extra.append(flap(rng, px, b.waist_at + 60, 90, 30))
    for bx in (-34, 34) if double else (0,):
        extra += buttons(path([(bx, b.neck_depth + 24), (bx, b.neck_depth + rng.uniform(190, 300))]), int(rng.integers(3, 5)), 8)
    if rng.random() < 0.4:
        y = b.waist_at + 8
        w = b.waist + 3
        strap = path([(-w, y - 14), (0, y - 6), (w, y - 14)], [(w, y + 14)], [(0, y + 22), (-w, y + 14)], [(-w, y - 14)])
        extra.append(Piece(strap, "main", "edge", axis=np.array([(-w, y), (w, y)]), depth=6, roundness=8, folds=(crumple(24, 1.6),), topstitch=(3,), lift=4))
    body = front(rng, b, "v", tuple(seams))
    return [*inside(b, 10, "lining", b.neck_depth), *label(rng, 4), *sleeves(rng, b, "long", "hem"), body, *extra, *lapels(rng, b, b.neck_depth, rng.uniform(56, 84))]


def vest(rng: Rng) -> list[Piece]:
    b = Body.random(rng, length=(400, 540))
    style = str(rng.choice(["quilted", "suit", "tank"]))
    b.shoulder = b.neck + rng.uniform(34, 70)
    seams: list[Seam] = []
    extra: list[Piece] = []
    bottom = b.length + b.sag
    if style == "quilted":
        b.shoulder, b.neck_depth = b.chest * 0.92, rng.uniform(44, 60)
        seams += [Seam(path([(-b.chest * 1.1, y), (0, y + 5), (b.chest * 1.1, y)]), "seam", 2.4) for y in np.arange(b.armpit - 70, bottom - 20, rng.uniform(40, 64))]
        d = b.neck_depth
        stand = symmetric([(0, 2), (-b.neck * 0.5, -18), (-b.neck * 1.02, -40)], [(-b.neck * 1.1, 4)], [(-b.neck * 0.6, d * 0.8), (0, d + 4)])
        extra += [Piece(stand, "collar", "edge", depth=6, roundness=10, lift=3, topstitch=(4,)), *zipper(path([(0, -10), (0, bottom)]), 15)]
        neck = "round"
    elif style == "suit":
        b.neck_depth, neck = rng.uniform(140, 220), "v"
        seams.append(Seam(path([(3, b.neck_depth), (3, bottom)]), "edge", 2))
        extra += buttons(path([(0, b.neck_depth + 14), (0, bottom - 30)]), int(rng.integers(4, 6)), 5)
        extra += [welt((s * 100, b.waist_at + 40), (s * 48, b.waist_at + 48), 13 * s) for s in (-1, 1)]
    else:
        neck = str(rng.choice(["round", "v"]))
        b.neck_depth *= rng.uniform(1.2, 2)
        extra += neck_band(b, neck, rng.uniform(7, 12))
    hole = path([b.shoulder_point, *b.armhole()])
    for right in (False, True):
        seams.append(Seam(turned(offset(hole, -6), right), "topstitch", 0.6))
    body = front(rng, b, neck, (*seams, *hem_rows(rng, b.hem_line())), (hole, mirror(hole)))
    return [*inside(b, 10, "lining" if style != "tank" else "main", b.neck_depth), *label(rng, 3), body, *extra]
