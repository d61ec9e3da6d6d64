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
    """One curve for each piece: control points (M, 4, 2), the largest distance (M,), the point it is at (M,).

    Everything is counted from a piece's first point. Arrays begin with x and y: numpy is slow along a short last axis.
    """
    sizes = pieces[:, 1] - pieces[:, 0] + 1
    starts = np.cumsum(sizes) - sizes
    index = np.arange(sizes.sum()) + np.repeat(pieces[:, 0] - starts, sizes)
    p = np.ascontiguousarray(points[index].T)  # (2, N)
    first, span = points[pieces[:, 0]].T, (points[pieces[:, 1]] - points[pieces[:, 0]]).T  # (2, M)
    steps = np.hypot(*np.diff(p, prepend=p[:, :1]))
    steps[starts] = 0
    along = np.cumsum(steps)
    along -= np.repeat(along[starts], sizes)
    length = np.maximum(along[starts + sizes - 1], 1e-9)
    u = along / np.repeat(length, sizes)
    p -= np.repeat(first, sizes, 1)
    best, worst = np.full(len(pieces), np.inf), pieces[:, 0]
    handles = np.zeros((2, 2, len(pieces)))
    for _ in range(PASSES):
        tried = _handles(p, u, starts, sizes, ends, length, span)
        off, slope, bend = _evaluate(tried, span, u, sizes)
        off -= p
        distance = np.hypot(*off)
        error = np.maximum.reduceat(distance, starts)
        at = np.flatnonzero(distance == np.repeat(error, sizes))[::-1]  # of equals, the first one stays
        where = np.zeros(len(pieces), np.int64)
        where[np.searchsorted(starts, at, "right") - 1] = index[at]
        better = error < best
        best, worst, handles = np.where(better, error, best), np.where(better, where, worst), np.where(better, tried, handles)
        change = (slope * slope).sum(0) + (off * bend).sum(0)
        u = np.clip(u - (off * slope).sum(0) / np.where(np.abs(change) < 1e-9, np.inf, change), 0, 1)
    begin, end = points[pieces.T]  # (M, 2) each, the very points, so that curves meet
    return np.stack([begin, *(handles + first).transpose(0, 2, 1), end], 1), best, worst


def _handles(p: Floats, u: Floats, starts: Ints, sizes: Ints, ends: Floats, length: Floats, span: Floats) -> Floats:
    """Where the two handles of each curve are, so that it lies closest to its points (2, N): (2, 2, M), which one, x and y."""
    v = 1 - u
    b1, b2, last = 3 * u * v * v, 3 * u * u * v, u * u * (3 - 2 * u)  # ``last`` is how much the last point counts
    terms = np.stack([b1 * b1, b1 * b2, b2 * b2, b1 * last, b2 * last, b1 * p[0], b1 * p[1], b2 * p[0], b2 * p[1]])
    b11, b12, b22, last1, last2, *sums = np.add.reduceat(terms, starts, axis=1)
    rest1, rest2 = np.stack(sums[:2]) - last1 * span, np.stack(sums[2:]) - last2 * span
    leave, arrive = ends[:, 0].T, -ends[:, 1].T
    c11, c12, c22 = b11 * (leave * leave).sum(0), b12 * (leave * arrive).sum(0), b22 * (arrive * arrive).sum(0)
    x1, x2 = (leave * rest1).sum(0), (arrive * rest2).sum(0)
    determinant = c11 * c22 - c12 * c12
    sound = np.abs(determinant) > 1e-9 * np.maximum(c11 * c22, 1e-12)
    safe = np.where(sound, determinant, 1)
    left, right = (x1 * c22 - x2 * c12) / safe, (c11 * x2 - c12 * x1) / safe
    chord = np.hypot(*span)
    # a handle that points backwards, or is longer than the piece, makes a loop; Schneider takes a third of the chord
    sound &= (np.minimum(left, right) > 1e-3 * chord) & (np.maximum(left, right) < length)
    left, right = np.where(sound, left, chord / 3), np.where(sound, right, chord / 3)
    return np.stack([leave * left, span + arrive * right])


def _evaluate(handles: Floats, span: Floats, u: Floats, sizes: Ints) -> tuple[Floats, Floats, Floats]:
    """Points of the curves, and their first and second derivatives by the parameter: (2, N) each."""
    one, two = handles
    linear, square, cube = (np.repeat(c, sizes, 1) for c in (3 * one, 3 * two - 6 * one, span - 3 * two + 3 * one))
    return (
        u * (linear + u * (square + u * cube)),
        linear + u * (2 * square + 3 * u * cube),
        2 * square + 6 * u * cube,
    )
