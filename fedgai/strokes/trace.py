"""A picture of a drawing, or line maps by type, to strokes.

ink -> skeleton -> graph -> lines through junctions and across gaps -> smooth between corners, as broad as the ink
mask -> outline, closed, moved onto the drawn silhouette
buttons that are drawn -> rings, closed
what the drawing has besides -> hatching, dots, washes
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from fedgai.line_types import LINE_TYPES
from fedgai.strokes.centre_lines import WIDEST, Tracing, centre_lines, covered, strokes_along, to_edge
from fedgai.strokes.drawing import INK, Bools, Color, Drawing, Floats, Picture, Plane, Stroke
from fedgai.strokes.joining import Line, run_on
from fedgai.strokes.rings import take_rings
from fedgai.strokes.shading import directions, hatching, washes
from fedgai.strokes.silhouette import on_ink, outlines
from fedgai.vision.channels import darkest_channel

SIDES = (16, 2048)  # px, of a picture
THINNEST = 1.3  # px, of a silhouette: where it is drawn thinner, it would not be seen
REACH = 5  # px at 512, that a line is drawn on to the one that it points at
BUTTON = 18  # px at 512, across the largest button
MOST_HATCHING = 4000  # strokes, and dots
FAINTEST = 0.35  # of full ink: fainter hatching is tone
NO_BUTTONS: Floats = np.zeros((0, 3))
SWELLS = 2.5  # px, see ``_swells``


def trace(
    sketch: Picture,
    mask: Plane | None = None,
    *,
    lines: Picture | None = None,
    types: Plane | None = None,
    buttons: Floats = NO_BUTTONS,
) -> Drawing:
    """Strokes of a drawing.

    Args:
        sketch: (H, W, 3) uint8 RGB on white paper, sides of 16 to 2,048 px.
        mask: (H, W) in [0, 1], the garment, whose silhouette is drawn closed. None: whatever the ink says, and no washes.
        lines: (H, W, 3) uint8, the sketch without its hatching and stipple, where that is known.
        types: (6, H, W) in [0, 1], how much each pixel belongs to a line of each of ``LINE_TYPES``; says the strokes' kinds.
        buttons: (N, 3), x, y and radius, px, of rings that the sketch may have.

    Raises:
        ValueError: a picture of another shape, type or size, with what it should be.
    """
    size = _checked(sketch, mask, lines, types)
    hatched = lines is not None and is_hatched(sketch, lines)
    picture = lines if lines is not None and hatched else sketch
    ink, toned = _line_ink(_darkness(picture))
    color = _color(picture, ink)
    ink, rings = take_rings(ink, buttons)
    strokes = [*_strokes(ink, mask, size), *rings]
    if types is not None:
        strokes = [_typed(stroke, types) for stroke in strokes]
    drawing = Drawing((size[1], size[0]), tuple(strokes), color, _swells(strokes))
    if hatched:
        left, level = _besides(sketch, picture)
        left = np.where(covered(strokes, size, 0.5), 0, left / level).clip(0, 1).astype(np.float32)
        more, dots = hatching(left, MOST_HATCHING)
        drawing = replace(drawing, strokes=(*more, *strokes), dots=dots, hatching_color=_color(sketch, left))
    if toned and mask is not None:
        tones = washes(picture, ~covered(strokes, size, 2), _inside(strokes, size))
        drawing = replace(drawing, washes=tuple(tones))
    return drawing


def is_hatched(sketch: Picture, lines: Picture) -> bool:
    """Whether what a sketch has besides its lines is hatching or stipple, rather than paper's grain.

    Args:
        sketch, lines: (H, W, 3) uint8, as for ``trace``.
    """
    left, level = _besides(sketch, lines)
    full = _full(_darkness(sketch))
    if level < FAINTEST * full:
        return False
    return bool(left[left > 0.45 * full].sum() > 0.4 * left.sum()) or bool(directions(left))


def _besides(sketch: Picture, lines: Picture) -> tuple[Plane, float]:
    """(H, W) darkness that a sketch has besides its lines; and how dark that is where it is dark, 0 if it is next to nothing.

    Along the lines themselves nothing counts: a line that wavers is not hatching.
    """
    dark, bare = _darkness(sketch), _darkness(lines)
    near = cv2.dilate((bare > 0.5 * _full(dark)).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    left = np.where(near, 0, np.clip(dark - bare, 0, 1)).astype(np.float32)
    strong = left[left > 0.05]
    return left, float(np.percentile(strong, 90)) if len(strong) > 0.004 * left.size else 0.0


def trace_lines(types: Plane, mask: Plane) -> Drawing:
    """Strokes of line maps by type, in ink, as broad as the maps draw them.

    Args:
        types: (6, H, W) in [0, 1], coverage of each of ``LINE_TYPES``.
        mask: (H, W) in [0, 1], the garment.

    Raises:
        ValueError: as ``trace``.
    """
    if types.ndim != 3:
        raise ValueError(f"line maps have the shape ({len(LINE_TYPES)}, H, W), not {types.shape}")
    size = _checked(np.full((*types.shape[1:], 3), 255, np.uint8), mask, None, types)
    how, maps = Tracing.at(size), np.asarray(types, np.float32)
    silhouette = _silhouette(mask, maps[0], size)
    band = covered(silhouette, size, 1.0)
    solid = (maps > 0.4) & ~band
    buttons = _buttons(maps[-1], max(size) / 512)
    solid[-1] &= ~covered(buttons, size, 2)
    edges = [to_edge(part) for part in solid]
    found = [(kind, line) for i, kind in enumerate(LINE_TYPES) if i > 0 for line in centre_lines(solid[i], edges[i], how)]
    outer = [(s.points, s.widths) for s in silhouette]
    drawn = run_on([line for _, line in found], np.max(edges, axis=0), outer, REACH * max(size) / 512)
    strokes = list(silhouette)
    for kind, ink in zip(LINE_TYPES[1:], maps[1:], strict=True):
        own = [line for (name, _), line in zip(found, drawn, strict=True) if name == kind]
        strokes += strokes_along(own, np.where(band, 0, ink), how, kind)
    return Drawing((size[1], size[0]), (*strokes, *buttons))


def _strokes(ink: Plane, mask: Plane | None, size: tuple[int, int]) -> list[Stroke]:
    """The silhouette, then all other lines, of (H, W) float32 ink in [0, 1]."""
    how = Tracing.at(size)
    silhouette = [] if mask is None else _silhouette(mask, ink, size)
    band = covered(silhouette, size, 1.5)
    solid = (ink > 0.45) & ~band
    edge = to_edge(solid)
    lines = centre_lines(solid, edge, how)
    lines = run_on(lines, edge, [(s.points, s.widths) for s in silhouette], REACH * max(size) / 512)
    inner = strokes_along(lines, np.where(band, 0, ink), how, "line")
    return silhouette + [stroke for stroke in inner if not _is_blot(stroke)]


def _buttons(ink: Plane, scale: float) -> list[Stroke]:
    """Rings where fastenings are small and round. A skeleton would make dots and hooks of these."""
    count, _, stats, middles = cv2.connectedComponentsWithStats((ink > 0.4).astype(np.uint8), connectivity=8)
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rings = []
    for i in range(1, count):
        width, height = stats[i, 2], stats[i, 3]
        if 4 * scale <= max(width, height) <= BUTTON * scale and min(width, height) > 0.6 * max(width, height):
            reach = np.maximum(np.array([width, height]) / 2 - scale, 1.0)
            rings.append(
                Stroke(
                    "fastening",
                    middles[i] + reach * np.stack([np.cos(turn), np.sin(turn)], 1),
                    np.full(len(turn), 2 * scale),
                    closed=True,
                )
            )
    return rings


def _silhouette(mask: Plane, ink: Plane, size: tuple[int, int]) -> list[Stroke]:
    scale = max(size) / 512
    paths = on_ink(outlines(mask), ink, 9 * scale)
    rings = [Line(points, True) for points in paths.split(paths.points)]
    found = strokes_along(rings, ink, replace(Tracing.at(size), stiffness=50 * scale**2, corner=5 * scale), "silhouette")
    return [_within_picture(stroke, size) for stroke in found]


def _within_picture(stroke: Stroke, size: tuple[int, int]) -> Stroke:
    """A silhouette that is seen all around: a garment that leaves the picture is closed along the picture's edge."""
    points = np.clip(stroke.points, 1, np.array([size[1] - 2, size[0] - 2]))
    moved = (points != stroke.points).any(1)
    return replace(stroke, points=points, widths=np.maximum(stroke.widths, np.where(moved, 2, THINNEST)))


def _inside(strokes: list[Stroke], size: tuple[int, int]) -> Bools:
    """(H, W) bool, the garment within its silhouette as drawn."""
    inside = np.zeros(size, np.uint8)
    cv2.fillPoly(inside, [np.rint(s.points * 16).astype(np.int32) for s in strokes if s.kind == "silhouette"], 1, shift=4)
    return inside > 0


def _line_ink(dark: Plane) -> tuple[Plane, bool]:
    """(H, W) darkness -> ink of lines in [0, 1], without broad tone; and whether there is any of that."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (int(WIDEST * max(256, *dark.shape) / 512) + 1,) * 2)
    tone = cv2.morphologyEx(cv2.GaussianBlur(dark, (0, 0), 1.0), cv2.MORPH_OPEN, kernel)
    toned = bool((tone > 0.06).mean() > 0.02)
    if toned:
        dark = cv2.GaussianBlur(np.clip(dark - cv2.GaussianBlur(tone, (0, 0), 2), 0, 1), (0, 0), 0.8)
    return np.clip(dark / _full(dark), 0, 1).astype(np.float32), toned


def _darkness(picture: Picture) -> Plane:
    """(H, W, 3) uint8 -> (H, W) float32 in [0, 1]: by the darkest channel, so that a coloured line counts in full."""
    return np.asarray(1 - darkest_channel(picture) / np.float32(255), np.float32)


def _color(picture: Picture, ink: Plane) -> Color:
    """What a picture's ink is, where it is darkest."""
    pure = picture[ink > 0.85]
    if not len(pure):
        return INK
    red, green, blue = (int(channel) for channel in np.median(pure, axis=0))
    return red, green, blue


def _full(dark: Plane) -> float:
    """How dark the drawing's full ink is."""
    strong = dark[dark > 0.25]
    return float(np.clip(np.percentile(strong, 90), 0.25, 1)) if len(strong) > 20 else 1.0


def _is_blot(stroke: Stroke) -> bool:
    """Hardly longer than broad, and on no other line."""
    return all(stroke.free) and not stroke.closed and len(stroke.points) < 3.5 * float(np.median(stroke.widths))


def _swells(strokes: list[Stroke]) -> bool:
    """Whether the pen is a brush: how much broader a typical line gets, and the silhouette, px. A blot is not typical."""
    long = [stroke for stroke in strokes if len(stroke.points) > 24]
    if not long:
        return False
    ranges = np.array([np.ptp(np.percentile(stroke.widths, (10, 90))) for stroke in long])
    order, weights = np.argsort(ranges), np.array([min(len(stroke.points), 100) for stroke in long])
    middle = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    longest = max(long, key=lambda stroke: len(stroke.points))
    return bool(ranges[order[middle]] + np.ptp(np.percentile(longest.widths, (20, 60))) > SWELLS)


def _typed(stroke: Stroke, types: Plane) -> Stroke:
    """A line with the type that most of its points are near to; the silhouette is known."""
    if stroke.kind != "line":
        return stroke
    height, width = types.shape[1:]
    x, y = np.rint(stroke.points).astype(int).T
    near = np.stack(
        [
            types[:, np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)]
            for dy, dx in ((0, 0), (-2, 0), (2, 0), (0, -2), (0, 2))
        ]
    ).max(0)
    share = near[1:].mean(1)
    best = int(share.argmax())
    return replace(stroke, kind=LINE_TYPES[1 + best]) if share[best] > 0.2 else stroke


def _checked(sketch: Picture, mask: Plane | None, lines: Picture | None, types: Plane | None) -> tuple[int, int]:
    """(H, W), or ValueError."""
    if sketch.ndim != 3 or sketch.shape[2] != 3 or sketch.dtype != np.uint8:
        raise ValueError(f"a drawing is an (H, W, 3) uint8 picture, not {sketch.shape} {sketch.dtype}")
    height, width = sketch.shape[:2]
    if min(height, width) < SIDES[0] or max(height, width) > SIDES[1]:
        raise ValueError(f"strokes are traced in a drawing of {SIDES[0]} to {SIDES[1]} px, not {width} x {height}")
    for name, other, shape in (
        ("mask", mask, (height, width)),
        ("lines", lines, sketch.shape),
        ("types", types, (len(LINE_TYPES), height, width)),
    ):
        if other is not None and other.shape != shape:
            raise ValueError(f"the {name} of this drawing should have the shape {shape}, not {other.shape}")
    for name, plane in (("mask", mask), ("types", types)):
        if plane is not None and not (plane.min() >= 0 and plane.max() <= 1):  # so that not-a-number is refused, too
            raise ValueError(f"the {name} of a drawing should lie between 0 and 1")
    return height, width
