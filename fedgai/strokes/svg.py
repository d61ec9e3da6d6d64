"""A drawing as SVG 1.1: a layer for each type of line, Bezier curves with few nodes, what browsers and Inkscape read.

An even pen's strokes are centre lines with a width, which a pattern-maker can edit. A swelling pen's are outlines, filled,
because SVG has no stroke of varying width; their centre lines are in a hidden layer of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from fedgai.strokes.bezier import curves
from fedgai.strokes.drawing import Color, Drawing, Floats, Stroke, Wash, pen_widths
from fedgai.strokes.polylines import Polylines

LIMIT = 150_000  # bytes
TOLERANCE = 0.6  # px between a line and its curves
LOOSE = 1.0  # px, the same for tone
STRAIGHT = 0.25  # px that the handles of a straight line may lie beside it
DASHES = (2.4, 1.6)  # in stroke widths: stitches and the gaps between them
TAPER, TIP = 0.85, 5.0  # how much of its width a swelling stroke loses at a free end, and over how many widths
LAYERS = {
    "line": "Lines",
    "fold": "Folds",
    "seam": "Seams",
    "edge": "Edges",
    "topstitch": "Topstitching",
    "fastening": "Fastenings",
    "silhouette": "Silhouette",
}  # from below to above

Item = tuple[float, str]  # how much it would be missed, and its XML


def to_svg(drawing: Drawing, title: str = "Sketch", description: str = "", *, paper: bool = True) -> str:
    """Write a drawing as an SVG document of at most ``LIMIT`` bytes; beyond that the shortest strokes are left out.

    Args:
        title, description: what the document says of itself; any text.
        paper: a white sheet below the drawing. Without one its paper is transparent.
    """
    width, height = drawing.size
    layers: dict[tuple[str, str, str], list[Item]] = {}
    if paper:
        layers["paper", "Paper", 'fill="#fff"'] = [(np.inf, f'<path d="M0 0h{width}v{height}h-{width}z"/>')]
    layers["tone", "Tone", 'fill-rule="evenodd"'] = [(1e6, _wash(wash)) for wash in drawing.washes]
    pen, other = (
        f'fill="none" stroke="{_hex(color)}" stroke-linecap="round" stroke-linejoin="round"'
        for color in (drawing.color, drawing.hatching_color or drawing.color)
    )
    layers["hatching", "Hatching", other] = _hatching(drawing)
    hidden: list[Item] = []
    for kind, label in LAYERS.items():
        strokes = drawing.of_kind(kind)
        if drawing.swelling:
            layers[kind, label, f'fill="{_hex(drawing.color)}"'] = _filled(strokes)
            hidden += [(importance / 2, xml) for importance, xml in _lines(strokes)]
        else:
            layers[kind, label, pen] = _lines(strokes)
    layers["centre-lines", "Centre lines", f'{pen} style="display:none"'] = hidden
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
        f"<title>{_text(title)}</title>\n<desc>{_text(description)}</desc>\n"
    )
    body = ""
    room = LIMIT - len(head.encode()) - 200 * len(layers)
    for (name, label, style), kept in zip(layers, _fitting(list(layers.values()), room), strict=True):
        if kept:
            named = f'<g id="{name}" inkscape:groupmode="layer" inkscape:label={quoteattr(label)} {style}>'
            body += "\n".join([named, *kept, "</g>\n"])
    return f"{head}{body}</svg>\n"


def _fitting(layers: Sequence[Sequence[Item]], room: int) -> list[list[str]]:
    """The XML of each layer. Where all together are too many bytes, the least important items are left out."""
    ranked = sorted(((-importance, i, j) for i, items in enumerate(layers) for j, (importance, _) in enumerate(items)))
    fits: list[set[int]] = [set() for _ in layers]
    for _, i, j in ranked:
        room -= len(layers[i][j][1]) + 1
        if room < 0:
            break
        fits[i].add(j)
    return [[xml for j, (_, xml) in enumerate(items) if j in own] for items, own in zip(layers, fits, strict=True)]


def _lines(strokes: Sequence[Stroke]) -> list[Item]:
    """Centre lines, each as broad as it is on the whole; topstitching dashed."""
    fitted = curves([s.points for s in strokes], [s.closed for s in strokes], [s.corners for s in strokes], TOLERANCE)
    items = []
    for stroke, chain, width in zip(strokes, fitted, pen_widths(strokes), strict=True):
        style = f' stroke-width="{width:.1f}"'
        if stroke.kind == "topstitch":
            dash, gap = (max(width, 1) * part for part in DASHES)
            style += f' stroke-linecap="butt" stroke-dasharray="{dash:.1f} {gap:.1f}"'
        items.append((_importance(stroke), f'<path d="{_path(chain, stroke.closed)}"{style}/>'))
    return items


def _filled(strokes: Sequence[Stroke]) -> list[Item]:
    """Strokes as outlines of their ink."""
    rings, corners, counts = [], [], []
    paths = Polylines.of([s.points for s in strokes], [s.closed for s in strokes])
    normals = paths.split(paths.tangents(2) @ np.array([[0.0, 1.0], [-1.0, 0.0]]))
    for stroke, normal in zip(strokes, normals, strict=True):
        offset = normal * _tapered(stroke)[:, None] / 2
        left, right, n = stroke.points + offset, stroke.points - offset, len(stroke.points)
        if stroke.closed:
            # the other way round: where the inner side of a bend crosses itself, it stays filled
            rings += [left, right[::-1]]
            corners += [stroke.corners, n - 1 - stroke.corners[::-1]]
        else:
            bends = np.concatenate([[0], stroke.corners, [n - 1]])
            rings.append(np.concatenate([left, right[::-1]]))
            corners.append(np.concatenate([bends, 2 * n - 1 - bends[::-1]]))
        counts.append(1 + stroke.closed)
    fitted, items = iter(curves(rings, [True] * len(rings), corners, TOLERANCE)), []
    for stroke, count in zip(strokes, counts, strict=True):
        outline = "".join(_path(next(fitted), True) for _ in range(count))
        items.append((_importance(stroke), f'<path d="{outline}"/>'))
    return items


def _tapered(stroke: Stroke) -> Floats:
    """(n,) widths of a stroke that thins out towards its free ends, px."""
    widths, n = stroke.widths.copy(), len(stroke.points)
    if not stroke.closed:
        reach = min(max(TIP * float(np.median(widths)), 8.0), n / 2.2)
        for end, free in enumerate(stroke.free):
            if free:
                near = np.arange(n)[:: -1 if end else 1]
                widths *= 1 - TAPER * (1 - np.clip((near + 0.3) / reach, 0, 1) ** 0.6)
    return widths


def _hatching(drawing: Drawing) -> list[Item]:
    """Hatching and dots: one path for each width, since nobody edits a single one of these."""
    by_width: dict[float, list[str]] = defaultdict(list)
    strokes = drawing.of_kind("hatching")
    for stroke, chain in zip(
        strokes, curves([s.points for s in strokes], [False] * len(strokes), [s.corners for s in strokes], LOOSE), strict=True
    ):
        by_width[round(2 * float(stroke.widths.mean())) / 2].append(_path(chain, False))
    for x, y, diameter in drawing.dots.tolist():
        by_width[round(2 * diameter) / 2].append(f"M{_numbers([x + 0.5, y + 0.5])}h0")
    chunks = [(width, paths[i : i + 100]) for width, paths in sorted(by_width.items()) for i in range(0, len(paths), 100)]
    return [(0.0, f'<path stroke-width="{max(width, 0.5):g}" d="{"".join(paths)}"/>') for width, paths in chunks]


def _wash(wash: Wash) -> str:
    fitted = curves(wash.outlines, [True] * len(wash.outlines), [np.zeros(0, int)] * len(wash.outlines), LOOSE)
    return f'<path fill="{_hex(wash.color)}" d="{"".join(_path(chain, True) for chain in fitted)}"/>'


def _importance(stroke: Stroke) -> float:
    return np.inf if stroke.kind == "silhouette" else float(len(stroke.points))


def _path(chain: Floats, closed: bool) -> str:
    """(k, 4, 2) control points -> path data, in tenths of px; pixel (0, 0) is the square from 0 to 1."""
    chain = np.round(chain + 0.5, 1)
    parts = [f"M{_numbers(chain[0, 0].tolist())}"]
    moves = chain[:, 1:] - chain[:, :1]
    chord = moves[:, 2]
    offset = np.abs(moves[:, :2, 0] * chord[:, None, 1] - moves[:, :2, 1] * chord[:, None, 0]).max(1)
    straight = offset < STRAIGHT * np.maximum(np.hypot(*chord.T), 1e-9)
    for move, line in zip(moves.reshape(-1, 6).tolist(), straight.tolist(), strict=True):
        parts.append(f"l{_numbers(move[4:])}" if line else f"c{_numbers(move)}")
    return "".join(parts) + ("z" if closed else "")


def _numbers(values: Sequence[float]) -> str:
    texts = [_tenths(round(10 * value)) for value in values]
    return texts[0] + "".join(text if text[0] == "-" else f" {text}" for text in texts[1:])


@lru_cache(maxsize=2**15)
def _tenths(value: int) -> str:
    sign = "-" if value < 0 else ""
    whole, tenths = divmod(abs(value), 10)
    if not tenths:
        return f"{sign}{whole}"
    return f"{sign}{whole or ''}.{tenths}"


def _hex(color: Color) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in color)


def _text(text: str) -> str:
    """Escaped, without the characters that XML cannot hold."""
    return escape("".join(c for c in text if c in "\t\n" or (c >= " " and not 0xD800 <= ord(c) <= 0xDFFF and c not in "￾￿")))
