"""Lines put together from branches: on through junctions, across gaps, and up to the line that an end points at."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedgai.strokes.drawing import Bools, Floats, Ints, Plane
from fedgai.strokes.skeleton import Branch

LOOK = 8  # px of a line that say where it is heading
CROWD = 24  # branches at one junction, above which it is a blot and nothing goes on through it

End = tuple[int, int]  # a line, and 0 for its first point or 1 for its last


@dataclass(frozen=True)
class Line:
    """A line on its way to a stroke.

    Attributes:
        points: (n, 2) float64, px.
        closed: its last point is joined to its first.
        free: whether the first and the last point lie free, not on another line.
    """

    points: Floats
    closed: bool = False
    free: tuple[bool, bool] = (True, True)


def heading(points: Floats) -> Floats:
    """(n, 2) -> (2,), unit vector in which a line runs on beyond its last point. A skeleton's very tip says little."""
    tip = points[-2] if len(points) > 4 else points[-1]
    along = tip - points[max(0, len(points) - 2 - LOOK)]
    unit: Floats = along / max(float(np.hypot(*along)), 1e-9)
    return unit


def through_junctions(found: Sequence[Branch], turn: float = 40) -> list[Line]:
    """Branches drawn on through junctions, wherever two of them turn by less than ``turn`` degrees, straightest first.

    Where just two meet, they become one line at any angle.
    """
    at: dict[int, list[End]] = defaultdict(list)
    for i, branch in enumerate(found):
        if not branch.ring:
            at[branch.ends[0]].append((i, 0))
            at[branch.ends[1]].append((i, 1))
    partner: dict[End, End] = {}
    for ends in at.values():
        if len(ends) == 2:
            partner[ends[0]], partner[ends[1]] = ends[1], ends[0]
        elif len(ends) <= CROWD:
            ahead = np.array([heading(found[i].points if end else found[i].points[::-1]) for i, end in ends])
            straight = (-ahead @ ahead.T).tolist()
            options = [(straight[a][b], ends[a], ends[b]) for a in range(len(ends)) for b in range(a)]
            for value, a, b in sorted(options, reverse=True):
                if value > math.cos(math.radians(turn)) and a not in partner and b not in partner:
                    partner[a], partner[b] = b, a
    lines = [Line(b.points, b.ring, (b.ring or len(at[b.ends[0]]) == 1, b.ring or len(at[b.ends[1]]) == 1)) for b in found]
    return _chained(lines, partner)


@dataclass(frozen=True)
class _Ends:
    """The free ends of lines: which they are, where they lie (n, 2), where they head (n, 2), points of their lines (n,)."""

    names: list[End]
    tips: Floats
    ahead: Floats
    size: Floats

    @classmethod
    def of(cls, lines: Sequence[Line]) -> _Ends:
        names = [(i, end) for i, line in enumerate(lines) for end in (0, 1) if line.free[end] and not line.closed]
        towards = [lines[i].points if end else lines[i].points[::-1] for i, end in names]
        tips = [points[-1] for points in towards]
        ahead = [heading(points) for points in towards]
        return cls(names, np.reshape(tips, (-1, 2)), np.reshape(ahead, (-1, 2)), np.array([float(len(p)) for p in towards]))

    def pairs(self, reach: float) -> tuple[Ints, Ints, Bools]:
        """Ends within ``reach`` of each other: the one, the other (k,) int, and whether both are of one line (k,) bool."""
        if not len(self.names):
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, bool)
        from scipy.spatial import cKDTree  # scipy takes a quarter of a second, and many commands draw nothing

        a, b = cKDTree(self.tips).query_pairs(reach, output_type="ndarray").T
        owner = np.array([i for i, _ in self.names])
        return a, b, owner[a] == owner[b]

    def matched(self, a: Ints, b: Ints, cost: Floats) -> dict[End, End]:
        """Each end with at most one other, the cheapest pairs first; both ways."""
        partner: dict[End, End] = {}
        for k in np.argsort(cost, kind="stable").tolist():
            p, q = self.names[a[k]], self.names[b[k]]
            if p not in partner and q not in partner:
                partner[p], partner[q] = q, p
        return partner


def across_gaps(lines: Sequence[Line], gap: float, turn: float = 35) -> list[Line]:
    """Lines joined where two free ends point at each other, nearest first.

    Args:
        lines: from ``through_junctions``.
        gap: px, the farthest that two ends may lie apart. Short lines reach less far, and the farther two ends lie apart,
            the better they must point at each other.
        turn: degrees that either may be off, where they are near.
    """
    ends = _Ends.of(lines)
    a, b, own = ends.pairs(gap)
    across = ends.tips[b] - ends.tips[a]
    distance = np.linalg.norm(across, axis=1)
    across /= np.maximum(distance, 1e-9)[:, None]
    from_a, from_b = (across * ends.ahead[a]).sum(1), -(across * ends.ahead[b]).sum(1)
    facing = -(ends.ahead[a] * ends.ahead[b]).sum(1)
    straight = np.cos(np.radians(turn * (1 - 0.7 * distance / gap)))
    touching = distance < 2.5  # so near that the direction across says nothing
    good = (facing > straight) & (touching | (np.minimum(from_a, from_b) > straight))
    # a line closes on itself only where its gap is short beside it
    good &= distance < np.where(own, 0.25, 1.0) * np.minimum(ends.size[a], ends.size[b]) + 2
    cost = distance * (1 + 2 * (3 - from_a - from_b - facing))
    return _chained(lines, ends.matched(a[good], b[good], cost[good]))


def at_corners(lines: Sequence[Line], reach: float) -> list[Line]:
    """Lines joined where two free ends are about to meet at an angle: both are extended to the corner.

    Args:
        lines: from ``across_gaps``.
        reach: px, the farthest that either is extended.
    """
    ends = _Ends.of(lines)
    a, b, own = ends.pairs(1.5 * reach)
    ahead, other, across = ends.ahead[a], ends.ahead[b], ends.tips[b] - ends.tips[a]
    sine = ahead[:, 0] * other[:, 1] - ahead[:, 1] * other[:, 0]
    safe = np.where(np.abs(sine) > 0.5, sine, np.inf)  # an angle of 30 to 150 degrees
    on_a = (across[:, 0] * other[:, 1] - across[:, 1] * other[:, 0]) / safe
    on_b = (across[:, 0] * ahead[:, 1] - across[:, 1] * ahead[:, 0]) / safe
    good = (np.abs(sine) > 0.5) & (np.minimum(on_a, on_b) > -1.5) & (np.maximum(on_a, on_b) < reach)
    good &= np.maximum(on_a, on_b) < np.where(own, 0.25, 0.5) * np.minimum(ends.size[a], ends.size[b])
    a, b, on_a, on_b = a[good], b[good], on_a[good], on_b[good]
    partner = ends.matched(a, b, on_a + on_b)
    corner = {
        ends.names[i]: ends.tips[i] + ends.ahead[i] * far
        for i, far in zip(a.tolist(), on_a.tolist(), strict=True)
        if ends.names[i] in partner
    }
    drawn_on = []
    for i, line in enumerate(lines):
        before, after = ([corner[i, end][None]] if (i, end) in corner else [] for end in (0, 1))
        drawn_on.append(Line(np.concatenate([*before, line.points, *after]), line.closed, line.free))
    return _chained(drawn_on, partner)


def _chained(lines: Sequence[Line], partner: dict[End, End]) -> list[Line]:
    """Lines put end to end: ``partner`` says, both ways, which end goes on as which."""
    chained: list[Line] = []
    used: set[int] = set()
    for rings in (False, True):  # first lines with two ends, then closed loops
        for i, line in enumerate(lines):
            for end in (0, 1):
                if i in used or ((i, end) in partner and not rings):
                    continue
                parts: list[Floats] = []
                at: End | None = (i, end)
                last = (i, 1 - end)
                while at is not None and at[0] not in used:
                    used.add(at[0])
                    points = lines[at[0]].points
                    parts.append(points[::-1] if at[1] else points)
                    last = (at[0], 1 - at[1])
                    at = partner.get(last)
                free = (line.free[end], lines[last[0]].free[last[1]])
                chained.append(Line(np.concatenate(parts), line.closed or rings, free))
    return chained


def without_hooks(lines: Sequence[Line], longest: float, turn: float = 50) -> list[Line]:
    """Lines without short pieces that turn away just before a free end. A person ends a seam where it ends.

    Args:
        lines: about 1 px from point to point.
        longest: px, of such a piece; a line has to be three times as long.
        turn: degrees, between the piece and the line before it.
    """
    kept = []
    for line in lines:
        points = line.points
        for end in (0, 1):
            points = points[::-1]  # twice: its first point comes last, then its last
            if line.closed or not line.free[end] or len(points) < 3 * longest:
                continue
            back = np.arange(3, round(longest) + 1)
            hook = points[-1] - points[-1 - back]
            before = points[-1 - back] - points[-1 - back - LOOK]
            sizes = np.maximum(np.linalg.norm(hook, axis=1) * np.linalg.norm(before, axis=1), 1e-9)
            cosine = (hook * before).sum(1) / sizes
            if cosine.min() < math.cos(math.radians(turn)):
                points = points[: len(points) - int(back[cosine.argmin()])]
        kept.append(Line(points, line.closed, line.free))
    return kept


def run_on(
    lines: Sequence[Line], edge: Plane, others: Sequence[tuple[Floats, Floats]], reach: float, longer: float = 0
) -> list[Line]:
    """Free ends drawn on to the line that they point at, if that is near: a seam ends on the silhouette.

    Args:
        lines: to draw on, and to be pointed at.
        edge: (H, W) float, distance to the edge of the lines' ink, px.
        others: to be pointed at, too: (n, 2) points and (n,) widths, px.
        reach: px, from ink to ink.
        longer: px, for long lines: each reaches a fifth of its length, from ``reach`` to this.
    """
    from scipy.spatial import cKDTree  # scipy takes a quarter of a second, and many commands draw nothing

    parts = [line.points for line in lines] + [points for points, _ in others]
    if not lines or len(parts) < 2:
        return list(lines)
    points = np.concatenate(parts)
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    x, y = np.clip(np.rint(np.concatenate([line.points for line in lines])).astype(int), 0, np.array(edge.shape[::-1]) - 1).T
    half = np.concatenate([edge[y, x], *(0.75 * widths for _, widths in others)])  # a silhouette's band was left out, too
    tree, widest, drawn_on = cKDTree(points), float(half.max()), list[Line]()
    for i, line in enumerate(lines):
        path, free, most = line.points, list(line.free), max(reach, min(longer, len(line.points) / 5))
        for end in (0, 1):
            path = path[::-1]  # twice: first to its first point as the last one, then back
            if line.closed or not free[end]:
                continue
            ahead, tip = heading(path), path[-1]
            near = np.array(tree.query_ball_point(tip, most + 2 * widest), np.int64)
            near = near[owner[near] != i]
            own = half[np.searchsorted(owner, i) : np.searchsorted(owner, i, "right")].min()
            way = points[near] - tip
            along, sideways = way @ ahead, np.abs(way @ (-ahead[1], ahead[0]))
            hit = near[(along > -0.5) & (sideways < 0.9) & (along < most + own + half[near])]
            if len(hit):
                nearest = hit[np.argmin(np.linalg.norm(points[hit] - tip, axis=1))]
                path, free[end] = np.concatenate([path, points[nearest][None]]), False
        drawn_on.append(Line(path, line.closed, (free[0], free[1])))
    return drawn_on
