"""The two edges of a placket, drawn straight along its buttons.

Buttons hide parts of a placket's edges, and buttonholes look like short lines. So what is seen there comes in pieces that bend
around the buttons. A row of buttons says how the placket runs: pieces along it become one line on either side, or one through
the buttons where nothing lies beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np

from fedgai.strokes.drawing import Bools, Floats, Ints
from fedgai.vision.buttons import Button
from fedgai.vision.garment_lines import REFERENCE, TOPSTITCH, GarmentLine, dashes

FEWEST, MOST_ROWS = 3, 3  # buttons of a row, and rows of a garment
STRAY = 5.0  # px of 512, how far a button may lie beside its row
FAR = 2.5  # times the usual distance between two buttons: beyond that a button belongs to something else
LONGER = 8.0  # radii of a button that a row is longer than; else its buttons lie on one spot
HALF = 15.0  # px of 512, how far from the buttons an edge may lie
OF_DISTANCE = 0.45  # the same in distances between two buttons
BEYOND = 1.0  # distances between two buttons by which a placket goes on beyond the last of them
ALONG = np.cos(np.radians(35))  # how nearly a piece must run as the row does
SHORTEST = 10.0  # px of 512: what is left of a line beside a placket is drawn from this length on
LONG = 60.0  # px of 512: a piece along a placket that is so long is drawn even where the straight edge leaves it out
SEEN = 0.4  # share of the row's length along which an edge must be seen
CENTRE = 1.3  # radii of a button: a line that is nearer runs through the buttons
BESIDE = 1.8  # radii of a button that an edge keeps from the row's middle
OFF = 3.0  # px of 512, how far a piece may lie from the edge that is fitted


@dataclass(frozen=True)
class _Row:
    """Buttons along a line, and how to measure along it.

    Attributes:
        start: (2,), the first button. way: (2,) unit vector from the first to the last.
        bend: coefficients of a polynomial: how far beside the straight line the row lies, by px from the first.
        length, distance: of the row, and between two buttons, px. radius: of a button.
    """

    start: Floats
    way: Floats
    bend: Floats
    length: float
    distance: float
    radius: float

    def measured(self, points: Floats) -> tuple[Floats, Floats]:
        """(n, 2) px -> px along the row, and px beside it, positive on one side."""
        along, beside = (points - self.start) @ self.way, (points - self.start) @ _across(self.way)
        return along, beside - self._bent(along)

    def placed(self, along: Floats, beside: Floats) -> Floats:
        """The way back from ``measured``: (n, 2) px."""
        off = (beside + self._bent(along))[:, None]
        placed: Floats = self.start + along[:, None] * self.way + off * _across(self.way)
        return placed

    def _bent(self, along: Floats) -> Floats:
        return np.asarray(np.polyval(self.bend, along.clip(0, self.length)), np.float64)


@dataclass(frozen=True, eq=False)
class _Piece:
    """Part of a line that runs along a row: px along it and beside it, and the part itself."""

    along: Floats
    beside: Floats
    line: GarmentLine


def along_buttons(lines: Sequence[GarmentLine], buttons: Sequence[Button], side: float) -> list[GarmentLine]:
    """Lines with the pieces along each row of buttons made one straight line on either side.

    Args:
        lines: from ``garment_lines``. buttons: in the same px.
        side: long side of the picture, px.

    Returns:
        The surest last, as ``garment_lines`` does.
    """
    found = list(lines)
    for row in _rows(buttons, side / REFERENCE):
        found = _straightened(found, row, side / REFERENCE)
    return sorted(found, key=lambda line: line.sure)


def _across(way: Floats) -> Floats:
    """(2,), turned by a right angle."""
    return np.array([-way[1], way[0]])


def _rows(buttons: Sequence[Button], unit: float) -> list[_Row]:
    """The longest rows; a button is in one of them. ``unit``: px that are one of a picture 512 px long."""
    left, rows = np.array(buttons, np.float64).reshape(-1, 3), list[_Row]()
    while len(left) >= FEWEST and len(rows) < MOST_ROWS:
        best = np.zeros(len(left), bool)
        for a, b in combinations(range(len(left)), 2):
            way = left[b, :2] - left[a, :2]
            away = np.abs((left[:, :2] - left[a, :2]) @ _across(way)) / max(float(np.hypot(*way)), 1e-6)
            if (away < STRAY * unit).sum() > best.sum():
                best = away < STRAY * unit
        together = _together(left[:, :2], np.flatnonzero(best))
        if len(together) < FEWEST:
            break
        row = left[together]
        if np.ptp(row[:, :2], axis=0).max() > LONGER * np.median(row[:, 2]):
            rows.append(_row(row))
        left = np.delete(left, together, 0)
    return rows


def _together(middles: Floats, members: Ints) -> Ints:
    """Of the members of a row, indices into middles (n, 2), the most that lie as near to each other as buttons do."""
    spread = np.ptp(middles[members], axis=0)
    in_order = members[np.argsort(middles[members, int(spread[1] > spread[0])], kind="stable")]
    gaps = np.hypot(*np.diff(middles[in_order], axis=0).T)
    parts = np.split(in_order, np.flatnonzero(gaps > FAR * np.median(gaps)) + 1)
    return max(parts, key=len)


def _row(buttons: Floats) -> _Row:
    middles = buttons[:, :2]
    ends = max(combinations(range(len(middles)), 2), key=lambda pair: float(np.hypot(*(middles[pair[0]] - middles[pair[1]]))))
    first, last = sorted((middles[i] for i in ends), key=lambda middle: middle.sum())
    length = float(np.hypot(*(last - first)))
    way = (last - first) / max(length, 1e-6)
    along, beside = (middles - first) @ way, (middles - first) @ _across(way)
    bend = np.polyfit(along, beside, 2 if len(middles) > FEWEST else 1)
    return _Row(first, way, bend, length, float(np.median(np.diff(np.sort(along)))), float(np.median(buttons[:, 2])))


def _straightened(lines: Sequence[GarmentLine], row: _Row, unit: float) -> list[GarmentLine]:
    left, pieces = list[GarmentLine](), list[_Piece]()
    for line in lines:
        along_row = _runs_along(line, row, unit)
        if not along_row.any():
            left.append(line)
            continue
        if line.closed and not along_row.all():  # begin where a part does
            begin = int(np.flatnonzero(along_row != np.roll(along_row, 1))[0])
            line, along_row = replace(line, points=np.roll(line.points, -begin, 0)), np.roll(along_row, -begin)
        for part, inside in _parts(along_row):
            cut = replace(line, points=line.points[part], closed=False)
            if inside:
                pieces.append(_Piece(*row.measured(cut.points), cut))
            elif cut.length >= SHORTEST * unit:
                left.append(cut)
    edges, others = _edges(pieces, row, unit)
    return [*left, *edges, *others] if edges else list(lines)


def _runs_along(line: GarmentLine, row: _Row, unit: float) -> Bools:
    """(n,) bool, which points of a line lie beside the buttons and run as they do."""
    along, beside = row.measured(line.points)
    half, beyond = min(HALF * unit, OF_DISTANCE * row.distance), BEYOND * row.distance
    near = (np.abs(beside) < half) & (along > -beyond) & (along < row.length + beyond)
    if len(line.points) < 2 or not near.any():
        return np.zeros(len(line.points), bool)
    step = np.gradient(line.points, axis=0)
    straight: Floats = np.abs(step @ row.way) / np.maximum(np.hypot(*step.T), 1e-9)
    smooth = np.convolve(straight, np.ones(5) / 5, "same") / np.convolve(np.ones(len(straight)), np.ones(5) / 5, "same")
    return np.asarray(near & (smooth[: len(near)] > ALONG))


def _parts(inside: Bools) -> list[tuple[slice, bool]]:
    """Where a line's points are inside, and where they are not, one after the other."""
    cuts = [0, *(np.flatnonzero(np.diff(inside.astype(np.int8))) + 1).tolist(), len(inside)]
    return [(slice(a, b), bool(inside[a])) for a, b in pairwise(cuts)]


def _edges(pieces: Sequence[_Piece], row: _Row, unit: float) -> tuple[list[GarmentLine], list[GarmentLine]]:
    """The straight lines that pieces become, one on either side, or else one through the buttons; none if too little is seen.
    And long pieces that these leave out."""
    offsets, centre = [float(np.median(piece.beside)) for piece in pieces], CENTRE * row.radius
    right = [piece for piece, offset in zip(pieces, offsets, strict=True) if offset >= centre]
    left = [piece for piece, offset in zip(pieces, offsets, strict=True) if offset <= -centre]
    middle = [piece for piece, offset in zip(pieces, offsets, strict=True) if abs(offset) < centre]
    edges, others = list[GarmentLine](), list[GarmentLine]()
    for side in (right, left):
        edge, used = _edge(side, row, unit, BESIDE * row.radius)
        edges += edge
        others += [piece.line for piece in side if piece not in used and piece.line.length >= LONG * unit]
    return (edges, others) if edges else (_edge(middle, row, unit, 0.0)[0], others)


def _edge(pieces: Sequence[_Piece], row: _Row, unit: float, nearest: float) -> tuple[list[GarmentLine], list[_Piece]]:
    """One straight line, in dashes where most of it is topstitched, and the pieces that it is made of. None: too little is seen.

    Args:
        nearest: px that it keeps from the middle of the row.
    """
    if not pieces:
        return [], []
    along, beside = (np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("along", "beside"))
    counts, bounds = np.histogram(beside, np.arange(beside.min(), beside.max() + 2 * OFF * unit, OFF * unit))
    slope, offset = 0.0, float(bounds[counts.argmax()] + OFF * unit / 2)
    for _ in range(3):
        near = np.abs(beside - offset - slope * along) < OFF * unit
        if near.sum() < 8 or np.ptp(along[near]) < row.distance:
            return [], []
        slope, offset = (float(value) for value in np.polyfit(along[near], beside[near], 1))
    near = np.abs(beside - offset - slope * along) < OFF * unit
    bins = np.unique(np.floor(along[near & (along > 0) & (along < row.length)] / (4 * unit)))
    if len(bins) * 4 * unit < SEEN * row.length:
        return [], []
    first, last = float(along[near].min()), float(along[near].max())
    at = np.arange(min(first, max(0.0, first - row.distance)), max(last, min(row.length, last + row.distance)) + 1, 1.0)
    off = offset + slope * at
    if nearest:
        side = np.sign(off.mean())
        off = side * np.maximum(side * off, nearest)
    points = row.placed(at, off)
    used = [piece for piece in pieces if (np.abs(piece.beside - offset - slope * piece.along) < OFF * unit).mean() > 0.5]
    if not used:
        return [], []
    lengths = np.array([len(piece.along) for piece in used], np.float64)
    kinds = np.array([piece.line.kind for piece in used])
    kind = int(max(set(kinds.tolist()), key=lambda one: float(lengths[kinds == one].sum())))
    sure = float(np.average([piece.line.sure for piece in used], weights=lengths))
    parts = dashes(points, unit) if kind == TOPSTITCH else [points]
    return [GarmentLine(part, False, sure, kind) for part in parts], used
