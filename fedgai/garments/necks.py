"""Necks: their inside, bands, collars, lapels, hoods and straps."""

from __future__ import annotations

import numpy as np

from fedgai.garments.body import Body
from fedgai.garments.drape import crumple, drape
from fedgai.garments.outline import band, mirror, offset, path, strip, symmetric
from fedgai.garments.parts import Draft, Piece, Seam, turned


def inside(draft: Draft, body: Body, role: str = "main", depth: float | None = None) -> list[Piece]:
    """The back of the neck seen from within, with a label now and then."""
    n, drop = body.neck, draft.between(-4, 14) if not body.strap else -body.strap - draft.between(0, 20)
    low = (body.neck_depth if depth is None else depth) + 14
    if body.strap:
        shape = symmetric([(0, -drop), (-n - 4, body.strap + 6)], [(-n * 0.9, low), (0, low)])
    else:
        shape = symmetric([(0, -drop), (-n * 0.6, -drop * 0.9), (-n - 6, 4)], [(-n * 0.9, low * 0.6), (0, low)])
    seam = path([(-n, 8), (0, 10 - drop * 0.2), (n, 8)])
    made = [
        Piece(
            shape,
            role,
            "edge",
            depth=2,
            roundness=8,
            tone=draft.between(0.5, 0.72),
            lift=0.5,
            seams=() if body.strap else (Seam(seam, "seam", 0.8),),
        )
    ]
    if draft.chance(0.5) and not body.strap:
        w, y = draft.between(11, 22), 4 - drop * 0.3
        tag = path([(-w, y), (w, y)], [(w, y + draft.between(10, 18))], [(-w, y + draft.between(10, 18))], [(-w, y)])
        made.append(Piece(tag, "label", "", depth=0.8, roundness=2, lift=0.8, tone=0.8))
    return made


def round_band(draft: Draft, body: Body, style: str, width: float, role: str = "rib") -> list[Piece]:
    """A band sewn to a neckline, behind and in front; stitched along its seam now and then."""
    half = path(*body.neckline(style))
    line = np.vstack([half[::-1], mirror(half)[1:]])  # from left over the middle to right

    before = Piece(strip(line, width), role, "edge", sewn=(offset(line, width),), axis=line, depth=4.5, roundness=7, lift=2)
    if body.strap:
        return [before]
    inner = path([(0, -10), (-body.neck * 0.6, -8), (-body.neck, 2)])
    back = np.vstack([inner[::-1], mirror(inner)[1:]])
    return [Piece(strip(back, width * 0.85), role, "seam", axis=back, depth=4, roundness=7, tone=0.85, lift=1), before]


def shirt_collar(draft: Draft, body: Body, size: float, stitch: bool = True, spread: float = 0.0) -> list[Piece]:
    """A pointed collar folded over its stand; the fronts meet at (0, neck_depth)."""
    n, low = body.neck, body.neck_depth
    stand = symmetric([(0, -24), (-n * 0.6, -22), (-n - 4, -2)], [(-n + 6, 6)], [(-n * 0.5, -8), (0, -9)])
    made = [Piece(stand, "collar", "edge", depth=3, roundness=4, lift=2, tone=0.95)]
    rounded = draft.chance(0.12)
    for right in (False, True):
        tip = (-n * 0.62 + draft.rng.normal(0, 4) - spread, low + size * 0.62)
        after = (-n - size * 0.36, low * 0.62)
        corner = (
            [[tip], [after, (-n - size * 0.42, 20)]]
            if not rounded
            else [[(-n * 0.4, low + size * 0.4), tip, (-n - size * 0.2, low + size * 0.3), after, (-n - size * 0.42, 20)]]
        )
        leaf = path([(-n, -14), (-n * 0.62, low * 0.35), (0, low)], *corner, [(-n - size * 0.2, -4), (-n, -14)])
        axis = np.array([(-n, 0), (-n * 0.4, low)])
        made.append(
            Piece(
                turned(leaf, right),
                "collar",
                "edge",
                axis=turned(axis, right),
                depth=4.5,
                roundness=7,
                folds=(crumple(30, draft.between(0.5, 1.8)),),
                lift=3.4,
                topstitch=(draft.between(3, 6),) if stitch else (),
            )
        )
    return made


def lapels(draft: Draft, body: Body, low: float, width: float) -> list[Piece]:
    """A collar with lapels that roll down to (0, low): notched, peaked or a shawl."""
    n, style = body.neck, draft.pick("notch", "notch", "peak", "shawl")
    back = symmetric([(0, -24), (-n * 0.6, -22), (-n - 8, 2)], [(-n + 6, 8)], [(-n * 0.5, -8), (0, -8)])
    made = [Piece(back, "collar", "edge", depth=4, roundness=7, lift=3)]
    notch, stitched, tip = low * draft.between(0.3, 0.42), draft.chance(0.4), draft.between(0, 8)
    for right in (False, True):
        axis = turned(np.array([(-n, 0), (-n * 0.4, low)]), right)
        if style == "shawl":
            shapes = [
                path(
                    [(-n - 2, -16), (-n * 0.62, low * 0.5), (tip, low)],
                    [(-n - width * 0.4, low * 0.66), (-n - width, notch), (-n - width * 0.5, 6), (-n - 2, -16)],
                )
            ]
        else:
            peak = -26 if style == "peak" else 8
            lapel = path(
                [(-n - 2, 4), (-n * 0.55, low * 0.5), (tip, low)],
                [(-n - width * 0.3, low * 0.66), (-n - width, notch + peak)],
                [(-n - width * 0.45, notch - 4)],
                [(-n - 2, 4)],
            )
            collar = path(
                [(-n, -16), (-n * 0.8, low * 0.16), (-n * 0.72, notch)],
                [(-n - width * 0.62, notch - 4)],
                [(-n - width * 0.7, notch - 34)],
                [(-n - width * 0.34, -2), (-n, -16)],
            )
            shapes = [lapel, collar]
        for shape in shapes:
            made.append(
                Piece(
                    turned(shape, right),
                    "collar",
                    "edge",
                    axis=axis,
                    depth=6,
                    roundness=9,
                    folds=(crumple(40, 1.4 * draft.crush),),
                    lift=4.5,
                    topstitch=(4.5,) if stitched else (),
                )
            )
    return made


def stand_collar(draft: Draft, body: Body) -> list[Piece]:
    """A collar that stands up around the neck, its zip or buttons in the middle."""
    n, low, high = body.neck, body.neck_depth, draft.between(24, 46)
    shape = symmetric(
        [(0, low - high * 1.2), (-n * 0.5, low * 0.2 - high), (-n * 1.02, -high)],
        [(-n * 1.08, 4)],
        [(-n * 0.6, low * 0.8), (0, low + 4)],
    )
    behind = symmetric([(0, -high - 8), (-n * 0.98, -high)], [(-n * 0.9, low * 0.3), (0, low * 0.5)])
    return [
        Piece(behind, "lining", "edge", depth=3, roundness=8, tone=0.6, lift=1),
        Piece(
            shape,
            "collar",
            "edge",
            depth=6,
            roundness=10,
            lift=3,
            topstitch=(4,) if draft.chance(0.6) else (),
            folds=(crumple(30, 1.6 * draft.crush),),
        ),
    ]


def turtleneck(draft: Draft, body: Body) -> list[Piece]:
    """A tall rib, folded over or not."""
    n, low, high = body.neck, body.neck_depth * 0.62, draft.between(30, 60)
    shape = symmetric([(0, -high + 6), (-n * 0.95, -high)], [(-n * 1.04, 2)], [(-n * 0.6, low * 0.8), (0, low)])
    seams = (Seam(path([(-n, -high * 0.1), (0, 8), (n, -high * 0.1)]), "edge", 2.2),) if draft.chance(0.5) else ()
    return [
        Piece(
            shape,
            "rib",
            "edge",
            sewn=(path([(-n * 1.04, 2), (-n * 0.6, low * 0.8), (0, low), (n * 0.6, low * 0.8), (n * 1.04, 2)]),),
            depth=8,
            roundness=14,
            folds=(crumple(30, 2),),
            lift=3,
            tube=True,
            seams=seams,
        )
    ]


def hood_behind(draft: Draft, body: Body) -> list[Piece]:
    """A hood that lies above the neck, with its dark opening."""
    n, low, up = body.neck, body.neck_depth, draft.between(50, 120)
    hood = symmetric([(0, -up), (-n * 0.9, -up * 0.9), (-n * 1.55, -up * 0.35), (-n * 1.5, 30)], [(-n * 0.9, low), (0, low + 10)])
    hole = symmetric([(0, -up * 0.72), (-n * 0.66, -up * 0.6), (-n * 0.98, -10), (-n * 0.7, low * 0.5), (0, low)])
    return [
        Piece(
            hood,
            "main",
            "edge",
            depth=14,
            roundness=18,
            folds=(crumple(30, 3), drape(3, 4, 0.6)),
            lift=3,
            seams=(Seam(path([(0, -up), (0, -up * 0.7)])),),
        ),
        Piece(
            hole,
            "lining" if draft.chance(0.3) else "main",
            "edge",
            depth=0,
            roundness=8,
            folds=(crumple(40, 5, 60),),
            tone=draft.between(0.45, 0.65),
            lift=0.5,
        ),
    ]


def hood_edges(draft: Draft, body: Body, up: float) -> list[Piece]:
    """The two sides of a hood that meet in front; ``up`` is how high the hood lies."""
    n, low, made = body.neck, body.neck_depth, []
    for right in (False, True):
        edge = path(
            [(-n * 0.98, -up * 0.3), (-n * 1.02, -4)],
            [(-n * 0.7, low * 0.5), (6, low)],
            [(0, low + 24)],
            [(-n * 0.86, low * 0.86), (-n * 1.5, 24)],
            [(-n * 1.5, -up * 0.2), (-n * 0.98, -up * 0.3)],
        )
        made.append(
            Piece(
                turned(edge, right),
                "main",
                "edge",
                axis=turned(np.array([(-n, -20), (-n * 0.4, low)]), right),
                depth=8,
                roundness=10,
                folds=(crumple(34, 2.2),),
                lift=3.6,
                topstitch=(5,) if draft.chance(0.7) else (),
            )
        )
    return made


def straps(draft: Draft, body: Body, width: float) -> list[Piece]:
    """Shoulder straps from the top corners of a body, with a slider now and then."""
    made = []
    for right in (False, True):
        line = path(
            [
                (-body.neck - 4, body.strap + 6),
                (-body.neck + draft.between(-4, 6), body.strap * 0.5),
                (-body.neck * draft.between(0.7, 1.0), 0),
            ]
        )
        made.append(
            Piece(
                turned(band(line, width), right),
                "main",
                "edge",
                axis=turned(line, right),
                depth=2.5,
                roundness=4,
                lift=2,
                wobble=0.4,
            )
        )
    return made


def placket(draft: Draft, top: float, bottom: float, width: float, x: float = 0.0) -> Piece:
    """The band that carries buttonholes, stitched on both sides."""
    w = width / 2
    shape = path([(x - w, top), (x + w, top)], [(x + w, bottom)], [(x - w, bottom)], [(x - w, top)])
    rows = tuple(Seam(path([(x + e * (w - 3.5), top), (x + e * (w - 3.5), bottom)]), "topstitch", 0.5) for e in (-1, 1))
    return Piece(
        shape,
        "main",
        "edge",
        depth=2,
        roundness=4,
        folds=(crumple(40, draft.between(1, 2.4)),),
        seams=rows if draft.chance(0.75) else (),
        lift=1.6,
    )


def edge_band(edge: np.ndarray, width: float, role: str, stitched: bool) -> Piece:
    """A band along the edge of a front, ``width`` to the left of ``edge`` (n, 2) as one sees it going down."""
    return Piece(
        strip(edge, width),
        role,
        "edge",
        sewn=(offset(edge, width),),
        axis=edge,
        depth=3.5,
        roundness=6,
        lift=2,
        topstitch=(3.5,) if stitched else (),
    )
