"""Cubic Bezier curves through points: P. J. Schneider, "An Algorithm for Automatically Fitting Digitized Curves", Graphics
Gems I (1990). All pieces of all lines are fitted in the same few passes of numpy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from fedgai.strokes.drawing import Floats, Ints
from fedgai.strokes.polylines import Polylines

PASSES = 4  # of Newton's method on the points' parameters, before a piece is split
ROUNDS = 24  # of splitting; a piece of n points needs about log2(n)
END = 3  # points from a corner or an end that say in which direction the curve leaves it


def curves(lines: Sequence[Floats], closed: Sequence[bool], corners: Sequence[Ints], tolerance: float) -> list[Floats]:
    """Fit a chain of cubic Bezier curves to each line.

    Args:
        lines: (n, 2) float each, px, n >= 2.
        closed: for each, whether its last point is joined to its first.
        corners: for each, the points where two curves may meet at an angle; elsewhere they meet smoothly.
        tolerance: px, the farthest that a point may lie from the curve.

    Returns:
        For each line (k, 4, 2) float64 control points; curve i ends where curve i + 1 begins.
    """
    if not lines:
        return []
    tangents = (t for t in _split_tangents(lines, closed))
    paths, slopes, pieces, ends, owner, base = [], [], [], [], [], 0
    for i, (points, ring, bends, along) in enumerate(zip(lines, closed, corners, tangents, strict=True)):
        last = len(points) - 1
        cuts = [int(c) for c in bends]
        if ring:  # begins and ends at a corner, if there is one
            first = cuts[0] if cuts else 0
            order = np.arange(first, first + last + 2) % (last + 1)
            points, along = points[order], along[order]
            cuts, last = sorted({(c - first) % len(lines[i]) for c in cuts} - {0}), last + 1
        cuts = [0, *(c for c in cuts if 0 < c < last), last]
        for a, b in pairwise(cuts):
            reach = min(END, b - a)
            leave, arrive = points[a + reach] - points[a], points[b] - points[b - reach]
            if ring and not len(bends):
                leave = arrive = along[0]
            pieces.append((base + a, base + b))
            ends.append((leave, arrive))
            owner.append(i)
        paths.append(points)
        slopes.append(along)
        base += len(points)
    directions = np.array(ends)
    directions /= np.maximum(np.linalg.norm(directions, axis=2, keepdims=True), 1e-9)
    fitted = _fit(np.concatenate(paths), np.array(pieces), directions, np.concatenate(slopes), tolerance)
    chains: list[list[Floats]] = [[] for _ in lines]
    for i, chain in zip(owner, fitted, strict=True):
        chains[i].append(chain)
    return [np.concatenate(chain) for chain in chains]


def _split_tangents(lines: Sequence[Floats], closed: Sequence[bool]) -> list[Floats]:
    joined = Polylines.of(lines, closed)
    return joined.split(joined.tangents(2))


def _fit(points: Floats, pieces: Ints, ends: Floats, tangents: Floats, tolerance: float) -> list[Floats]:
    """Fit each piece, and split it where it lies farthest off until it fits.

    Args:
        points: (N, 2).
        pieces: (M, 2) int, first and last point, the last one included and after the first.
        ends: (M, 2, 2), unit tangents at these, both in the direction of drawing.
        tangents: (N, 2), unit tangents, used where a piece is split.

    Returns:
        For each piece (k, 4, 2) control points.
    """
    owner = np.arange(len(pieces))
    done: list[tuple[Ints, Ints, Floats]] = []  # piece, first point, control points
    for round_ in range(ROUNDS + 1):
        control, error, worst = _fit_once(points, pieces, ends)
        good = (error <= tolerance) | (pieces[:, 1] - pieces[:, 0] < 2) | (round_ == ROUNDS)
        done.append((owner[good], pieces[good, 0], control[good]))
        if good.all():
            break
        pieces, ends, owner, worst = pieces[~good], ends[~good], owner[~good], worst[~good]
        middle = np.clip(worst, pieces[:, 0] + 1, pieces[:, 1] - 1)
        between = tangents[middle]
        pieces = np.concatenate([np.stack([pieces[:, 0], middle], 1), np.stack([middle, pieces[:, 1]], 1)])
        ends = np.concatenate([np.stack([ends[:, 0], between], 1), np.stack([between, ends[:, 1]], 1)])
        owner = np.concatenate([owner, owner])
    owners, firsts, controls = (np.concatenate(parts) for parts in zip(*done, strict=True))
    order = np.lexsort((firsts, owners))
    return np.split(controls[order], np.cumsum(np.bincount(owners))[:-1])


def _fit_once(points: Floats, pieces: Ints, ends: Floats) -> tuple[Floats, Floats, Ints]:
    """One curve for each piece: control points (M, 4, 2), the largest distance (M,), the point it is at (M,)."""
    sizes = pieces[:, 1] - pieces[:, 0] + 1
    starts = np.cumsum(sizes) - sizes
    piece = np.repeat(np.arange(len(pieces)), sizes)
    index = np.arange(sizes.sum()) - starts[piece] + pieces[piece, 0]
    p = points[index]
    steps = np.linalg.norm(np.diff(p, axis=0, prepend=p[:1]), axis=1)
    steps[starts] = 0
    along = np.cumsum(steps)
    along -= along[starts][piece]
    length = np.maximum(along[starts + sizes - 1], 1e-9)
    u = along / length[piece]
    best = np.full(len(pieces), np.inf)
    control, worst = np.zeros((len(pieces), 4, 2)), pieces[:, 0]
    for _ in range(PASSES):
        tried = _least_squares(p, u, piece, starts, sizes, ends, length)
        off, first, second = _evaluate(tried, u, piece)
        off -= p
        distance = np.linalg.norm(off, axis=1)
        error = np.maximum.reduceat(distance, starts)
        at = np.flatnonzero(distance == error[piece])[::-1]  # of equals, the first one stays
        where = np.zeros(len(pieces), np.int64)
        where[piece[at]] = index[at]
        better = error < best
        best, worst = np.where(better, error, best), np.where(better, where, worst)
        control = np.where(better[:, None, None], tried, control)
        slope = (first * first).sum(1) + (off * second).sum(1)
        u = np.clip(u - (off * first).sum(1) / np.where(np.abs(slope) < 1e-9, np.inf, slope), 0, 1)
    return control, best, worst


def _least_squares(p: Floats, u: Floats, piece: Ints, starts: Ints, sizes: Ints, ends: Floats, length: Floats) -> Floats:
    """How long the two handles of each curve are, so that it lies closest to its points: (M, 4, 2) control points."""
    first, last = p[starts], p[starts + sizes - 1]
    v = 1 - u
    b0, b1, b2, b3 = v**3, 3 * u * v * v, 3 * u * u * v, u**3
    a1, a2 = ends[piece, 0] * b1[:, None], -ends[piece, 1] * b2[:, None]
    rest = p - first[piece] * (b0 + b1)[:, None] - last[piece] * (b2 + b3)[:, None]
    terms = np.stack([(a1 * a1).sum(1), (a1 * a2).sum(1), (a2 * a2).sum(1), (a1 * rest).sum(1), (a2 * rest).sum(1)])
    c11, c12, c22, x1, x2 = np.add.reduceat(terms, starts, axis=1)
    determinant = c11 * c22 - c12 * c12
    sound = np.abs(determinant) > 1e-9 * np.maximum(c11 * c22, 1e-12)
    safe = np.where(sound, determinant, 1)
    left, right = (x1 * c22 - x2 * c12) / safe, (c11 * x2 - c12 * x1) / safe
    chord = np.linalg.norm(last - first, axis=1)
    # a handle that points backwards, or is longer than the piece, makes a loop; Schneider takes a third of the chord
    sound &= (np.minimum(left, right) > 1e-3 * chord) & (np.maximum(left, right) < length)
    left, right = np.where(sound, left, chord / 3), np.where(sound, right, chord / 3)
    return np.stack([first, first + ends[:, 0] * left[:, None], last - ends[:, 1] * right[:, None], last], 1)


def _evaluate(control: Floats, u: Floats, piece: Ints) -> tuple[Floats, Floats, Floats]:
    """Points of the curves, and their first and second derivatives by the parameter: (N, 2) each."""
    d1, d2 = 3 * np.diff(control, axis=1)[piece], 6 * np.diff(control, 2, axis=1)[piece]
    c, u, v = control[piece], u[:, None], 1 - u[:, None]
    point = v**3 * c[:, 0] + 3 * u * v * v * c[:, 1] + 3 * u * u * v * c[:, 2] + u**3 * c[:, 3]
    return point, v * v * d1[:, 0] + 2 * u * v * d1[:, 1] + u * u * d1[:, 2], v * d2[:, 0] + u * d2[:, 1]
