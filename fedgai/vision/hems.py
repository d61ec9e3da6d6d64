"""Stitches along a garment's hem as a person draws them: from one side of the garment to the other.

The draughtsman sees such a line in pieces, and often two lines where there is one. Here pieces that lie at one distance from
the silhouette become one line, which ends where the silhouette turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedgai.strokes.drawing import Floats, Ints, Plane
from fedgai.strokes.joining import Line
from fedgai.strokes.polylines import Polylines

# lengths are px of a picture that is 512 px long
STIFFNESS = 600.0  # of the spline through the silhouette
FARTHEST = 24.0  # how far in from the silhouette a piece lies
SLANT, UNEVEN = 8.0, 3.0  # how much farther in one end lies than the other, and the piece's deviation from that slant
SHORTEST, WHOLE = 10.0, 36.0  # of a piece, and of a line made of pieces
APART = 6.0  # a piece that lies farther in than another by more than that does not go on with it
GAP, LEAST_GAP = 0.5, 30.0  # how far the next piece may lie: as a share of the line so far, and always
BEYOND = 0.6  # share of its length by which a line is drawn on to where the silhouette turns, if it turns so near
TURN = 32.0  # degrees by which the silhouette turns where a hem ends
BENT = 60.0  # degrees off a line's mean direction: what turns by more runs up the garment's side
COVERED = 0.6  # share of another piece that lies beside the whole line, from which on it is left out
MOST = 64  # pieces, the longest: a garment has some twenty, noise has hundreds
LOOK = 6.0  # half of the length along which a direction is measured


@dataclass(frozen=True)
class _Piece:
    """A line that runs along the silhouette.

    Attributes:
        line: which of the lines.
        first, last: points of the silhouette between which it runs; below 0 or above the last point they have gone round.
        inwards: px from the silhouette, at both.
    """

    line: int
    first: int
    last: int
    inwards: tuple[float, float]


def whole_hems(lines: Sequence[Line], stitched: Sequence[bool], contours: Sequence[Floats], depth: Plane) -> list[Line | None]:
    """Lines with the stitches along each hem made whole. All other lines stay as they are.

    Args:
        lines: within the garment, about 1 px from point to point.
        stitched: which of them are topstitched.
        contours: the pixels (n, 2) along each outline of the garment; the last is beside the first.
        depth: (H, W) float32, px from each place in the garment to its edge.

    Returns:
        as many: a whole line in place of its first piece, and None in place of the others.
    """
    from scipy.spatial import cKDTree  # scipy takes a quarter of a second, and many commands draw nothing

    unit = max(depth.shape) / 512
    candidates = [i for i, line in enumerate(lines) if stitched[i] and not line.closed and len(line.points) >= SHORTEST * unit]
    candidates = sorted(candidates, key=lambda i: -len(lines[i].points))[:MOST]
    long = [contour for contour in contours if len(contour) >= WHOLE * unit]
    if not candidates or not long:
        return list(lines)
    rings = Polylines.of(long, [True] * len(long)).resampled()
    none, even = np.zeros(len(rings.points), bool), np.ones(len(rings.points))
    smooth = rings.smoothed(rings.points, STIFFNESS * unit**4, none, even)
    tree, result = cKDTree(smooth), list[Line | None](lines)
    silhouettes = [_Silhouette(points, depth, unit) for points in rings.split(smooth)]
    pieces: list[list[_Piece]] = [[] for _ in silhouettes]
    for i in candidates:
        inwards, nearest = (np.asarray(found) for found in tree.query(lines[i].points))
        ring = int(np.searchsorted(rings.starts, nearest[0], "right")) - 1
        piece = silhouettes[ring].piece(i, inwards, nearest - rings.starts[ring])
        if piece is not None:
            pieces[ring].append(piece)
    for silhouette, left in zip(silhouettes, pieces, strict=True):
        left.sort(key=lambda piece: piece.first - piece.last)  # the longest first
        while left:
            row = silhouette.row(left)
            whole, first, last = silhouette.line_along(row)
            added = last - first >= 1.1 * (left[0].last - left[0].first)
            if not added or len(whole.points) < WHOLE * unit:
                left = left[1:]  # the longest piece stays as it was seen
                continue
            names = {piece.line for piece in row}
            names |= {piece.line for piece in left if silhouette.share(piece, first, last) >= COVERED}
            along = cKDTree(whole.points)
            for i in candidates:  # a second line that is still as it was seen, however it wavers
                if result[i] is lines[i] and (along.query(lines[i].points)[0] <= APART * unit).mean() >= COVERED:
                    names.add(i)
            for name in names:
                result[name] = None
            result[min(names)] = whole
            left = [piece for piece in left if piece.line not in names]
    return result


class _Silhouette:
    """One outline of the garment, and what runs along it.

    Args:
        points: (n, 2) float64, closed, smooth, about 1 px apart.
        depth: (H, W) float32, see ``whole_hems``.
        unit: px that are one of a picture that is 512 px long.
    """

    def __init__(self, points: Floats, depth: Plane, unit: float) -> None:
        self.points, self.depth, self.unit = points, depth, unit
        reach = max(2, round(LOOK * unit))
        along = np.roll(points, -reach, 0) - np.roll(points, reach, 0)
        self.heading = np.arctan2(along[:, 1], along[:, 0])
        normals = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.linalg.norm(along, axis=1), 1e-9)[:, None]
        self.normals = normals if self._depths(points + 3 * unit * normals).mean() > unit else -normals  # they point inwards

    def piece(self, line: int, inwards: Floats, at: Ints) -> _Piece | None:
        """A line as a piece, if it runs along this outline at one distance.

        Args:
            line: its number.
            inwards: (k,) px, of each of its points from the outline. at: (k,) int, the points of the outline that are nearest.
        """
        size = len(self.points)
        if np.percentile(inwards, 95) > FARTHEST * self.unit or at.min() < 0 or at.max() >= size:
            return None  # it lies too far in, or runs from one outline to another
        way = np.unwrap(at * (2 * np.pi / size)) * (size / (2 * np.pi))
        first, last = way.min(), way.max()
        if last - first < 0.6 * len(at):
            return None
        slope, start = np.polyfit(way - first, inwards, 1)
        rest = float((inwards - start - slope * (way - first)).std())
        ends = (float(start), float(start + slope * (last - first)))
        if rest > UNEVEN * self.unit or abs(ends[1] - ends[0]) > SLANT * self.unit or min(ends) <= 0:
            return None
        return _Piece(line, round(first), round(last), ends)

    def row(self, pieces: Sequence[_Piece]) -> list[_Piece]:
        """The first piece, and those that go on where it begins and ends, in their order."""
        row, others = [pieces[0]], list(pieces[1:])
        while others:
            gap = max(GAP * (row[-1].last - row[0].first), LEAST_GAP * self.unit)
            options = [(*option, i) for i, piece in enumerate(others) for option in self._gaps(row, piece, gap)]
            if not options:
                break
            _, end, i = min(options)
            piece = others.pop(i)
            row = [*row, self._beside(piece, row[-1])] if end else [self._beside(piece, row[0]), *row]
        return row

    def _gaps(self, row: Sequence[_Piece], piece: _Piece, most: float) -> list[tuple[int, int]]:
        """At which ends of a row a piece goes on (0 or 1), and how many px away; below 0 where the two overlap."""
        gaps: list[tuple[int, int]] = []
        for end, near in ((0, row[0]), (1, row[-1])):
            own = self._beside(piece, near)
            before, after = (near, own) if end else (own, near)
            between = after.first - before.last
            step = after.inwards[0] - before.inwards[1]
            if not -0.4 * (own.last - own.first) <= between <= most or abs(step) > APART * self.unit:
                continue
            bounds = sorted((before.last, after.first))
            if np.abs(self._turns(np.arange(bounds[0], bounds[1] + 1), self.heading[bounds[0] % len(self.points)])).max() <= TURN:
                gaps.append((between, end))
        return gaps

    def line_along(self, row: Sequence[_Piece]) -> tuple[Line, int, int]:
        """One line along a row of pieces, drawn on to where the outline turns; and the points of the outline beside its ends."""
        first, last = row[0].first, row[-1].last
        most = round(BEYOND * (last - first))
        first, last = first - self._beyond(first, -1, most), last + self._beyond(last, 1, most)
        at = np.arange(first, last + 1)
        places = np.maximum.accumulate([place for piece in row for place in (piece.first, piece.last)])
        inwards = np.interp(at, places, [inwards for piece in row for inwards in piece.inwards])
        on = at % len(self.points)
        points = self.points[on] + inwards[:, None] * self.normals[on]
        mean = float(np.angle(np.exp(1j * self.heading[on]).mean()))
        within = (self._depths(points) > inwards - 1.5 * self.unit) & (np.abs(self._turns(at, mean)) < BENT)
        points = points[within]
        if len(points) > 1:  # they lie close together where the outline turns
            points = Polylines.of([points], [False]).resampled().points
        return Line(points), first, last

    def _beyond(self, at: int, step: int, most: int) -> int:
        """How many points from one of the outline it turns; 0 if not within ``most``."""
        behind = self.heading[(at - step * np.arange(round(16 * self.unit) + 1)) % len(self.points)]
        turned = np.abs(self._turns(at + step * np.arange(most + 1), float(np.angle(np.exp(1j * behind).mean())))) > TURN
        return int(turned.argmax()) if turned.any() else 0

    def share(self, piece: _Piece, first: int, last: int) -> float:
        """Of a piece, that lies between two points of the outline."""
        on = np.arange(piece.first, piece.last + 1)
        return float(((on - first) % len(self.points) <= last - first).mean())

    def _turns(self, at: Ints, heading: float) -> Floats:
        """Degrees, from a direction in radians to that of the outline at points (k,) int."""
        turns: Floats = np.degrees(np.angle(np.exp(1j * (self.heading[at % len(self.points)] - heading))))
        return turns

    def _depths(self, points: Floats) -> Floats:
        height, width = self.depth.shape
        columns, rows = np.clip(np.rint(points).astype(int), 0, (width - 1, height - 1)).T
        return np.asarray(self.depth[rows, columns], np.float64)

    def _beside(self, piece: _Piece, near: _Piece) -> _Piece:
        """The piece with its points counted on from another's: an outline has no beginning."""
        size = len(self.points)
        turns = round((near.first + near.last - piece.first - piece.last) / 2 / size)
        return replace(piece, first=piece.first + turns * size, last=piece.last + turns * size)
