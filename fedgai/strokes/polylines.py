"""Many polylines at once: resampled, smoothed, their corners found. All strokes of a drawing take one pass of numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from fedgai.strokes.drawing import Bools, Floats, Ints, Plane

T = TypeVar("T", bound=np.generic)

WRAP = 48  # points by which a closed line is continued at both ends while it is smoothed


@dataclass(frozen=True)
class Polylines:
    """Polylines one after the other in one array.

    Attributes:
        points: (N, 2) float64, x to the right and y down, px; the centre of the first pixel is (0, 0).
        starts: (M + 1,) int, line i is ``points[starts[i] : starts[i + 1]]``.
        closed: (M,) bool; the last point of a closed line is joined to its first, and is not equal to it.
    """

    points: Floats
    starts: Ints
    closed: Bools

    @classmethod
    def of(cls, lines: Sequence[Floats], closed: Sequence[bool]) -> Polylines:
        """From (n_i, 2) arrays."""
        starts = np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.int64)
        points = np.concatenate(lines).astype(np.float64) if len(lines) else np.zeros((0, 2))
        return cls(points, starts, np.asarray(closed, bool).reshape(-1))

    def __len__(self) -> int:
        return len(self.closed)

    @cached_property
    def sizes(self) -> Ints:
        """(M,) int, points of each line."""
        return np.diff(self.starts)

    @cached_property
    def line(self) -> Ints:
        """(N,) int, the line that each point belongs to."""
        return np.repeat(np.arange(len(self)), self.sizes)

    @cached_property
    def place(self) -> Ints:
        """(N,) int, where in its line each point stands."""
        return np.arange(len(self.points)) - self.starts[:-1][self.line]

    def split(self, values: NDArray[T]) -> list[NDArray[T]]:
        """(N, ...) -> one array for each line."""
        return np.split(values, self.starts[1:-1]) if len(self) else []

    def shifted(self, steps: int) -> Ints:
        """(N,) int, index of the point ``steps`` further along the same line; an open line stops at its ends."""
        place, size = self.place + steps, self.sizes[self.line]
        place = np.where(self.closed[self.line], place % size, np.clip(place, 0, size - 1))
        return self.starts[:-1][self.line] + place

    def tangents(self, reach: int = 2) -> Floats:
        """(N, 2) unit vectors along the lines, from the points ``reach`` before and behind."""
        along = self.points[self.shifted(reach)] - self.points[self.shifted(-reach)]
        unit: Floats = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
        return unit

    def beside(self, picture: Plane, reach: int, *, off: float) -> tuple[Floats, Plane]:
        """What a picture shows to either side of each point.

        Args:
            picture: (H, W) float32.
            reach: places to either side, half a pixel apart.
            off: what is beyond the picture's edge.

        Returns:
            normals (N, 2); and (N, 2 * reach + 1) float32, from ``-reach`` to ``reach`` half pixels along the normal.
        """
        normals = self.tangents(3) @ np.array([[0.0, 1.0], [-1.0, 0.0]])
        offsets = np.arange(-reach, reach + 1) / 2
        at = (self.points[:, None] + normals[:, None] * offsets[:, None]).astype(np.float32)
        seen = np.empty(at.shape[:2], np.float32)
        for start in range(0, len(at), 2**14):  # OpenCV's pictures have at most 2^15 rows
            part = slice(start, start + 2**14)
            seen[part] = cv2.remap(
                picture, at[part, :, 0], at[part, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=off
            )
        return normals, seen

    def resampled(self, step: float = 1.0) -> Polylines:
        """The same lines with points about ``step`` px apart, ends kept; at least 2 points each, 4 where closed."""
        steps = np.linalg.norm(self.points[self.shifted(1)] - self.points, axis=1)
        before = np.concatenate([[0.0], np.cumsum(steps)])
        lengths = before[self.starts[1:]] - before[self.starts[:-1]]
        # an open line's last step is 0; a closed line's leads back to its first point
        counts = np.maximum(np.rint(lengths / step).astype(np.int64), np.where(self.closed, 4, 1))
        counts += ~self.closed
        starts = np.concatenate([[0], np.cumsum(counts)])
        line = np.repeat(np.arange(len(self)), counts)
        share = (np.arange(starts[-1]) - starts[:-1][line]) / (counts - ~self.closed)[line]
        at = before[self.starts[:-1]][line] + share * lengths[line]
        # index of the segment, kept within the line
        i = np.clip(np.searchsorted(before, at, "right") - 1, self.starts[:-1][line], self.starts[1:][line] - 1)
        rest = np.clip((at - before[i]) / np.maximum(steps[i], 1e-12), 0, 1)[:, None]
        points = self.points[i] * (1 - rest) + self.points[self.shifted(1)[i]] * rest
        return Polylines(points, starts, self.closed)

    def smoothed(self, values: Floats, stiffness: float | Floats, corners: Bools, weights: Floats) -> Floats:
        """Values along the lines, by a discrete smoothing spline (Whittaker 1923; Eilers 2003).

        Minimises sum w (z - values)^2 + stiffness * sum (second difference of z)^2, all lines in one banded system. Waves
        shorter than about 2 pi stiffness^(1/4) points go.

        Args:
            values: (N, C).
            stiffness: >= 0; or (M,), one for each line.
            corners: (N,) bool; across these the spline may bend.
            weights: (N,) > 0, how much a value counts.
        Returns:
            (N, C) float64.
        """
        if not len(values):
            return np.asarray(values, np.float64)
        from scipy.linalg import solveh_banded  # scipy takes a quarter of a second, and many commands draw nothing

        wrap = np.where(self.closed, np.minimum(WRAP, self.sizes), 0)
        sizes = self.sizes + 2 * wrap
        starts = np.concatenate([[0], np.cumsum(sizes)])
        line = np.repeat(np.arange(len(self)), sizes)
        place = np.arange(starts[-1]) - starts[:-1][line] - wrap[line]
        source = self.starts[:-1][line] + place % self.sizes[line]
        inner = np.ones(len(source), bool)  # has a neighbour of its own line on both sides
        inner[starts[:-1]] = inner[starts[1:] - 1] = False
        bend = np.broadcast_to(stiffness, len(self))[line] * (inner & ~corners[source])
        bands = np.zeros((3, len(source)))
        bands[0] = weights[source] + 4 * bend
        bands[0, :-1] += bend[1:]
        bands[0, 1:] += bend[:-1]
        bands[1, :-1] = -2 * (bend[:-1] + bend[1:])
        bands[2, :-2] = bend[1:-1]
        solved: Floats = solveh_banded(bands, weights[source, None] * values[source], lower=True, check_finite=False)
        own: Floats = solved[(place >= 0) & (place < self.sizes[line])]
        return own

    def corners(self, reach: float, angle: float) -> Bools:
        """(N,) bool, the sharpest point wherever a line turns by more than ``angle`` degrees within ``reach`` points.

        A round line turns twice as far within twice the reach; at a corner most of the turn is within the reach itself.
        """
        k = max(2, round(reach))

        def turn(k: int) -> Floats:
            back, ahead = self.points - self.points[self.shifted(-k)], self.points[self.shifted(k)] - self.points
            cross = back[:, 0] * ahead[:, 1] - back[:, 1] * ahead[:, 0]
            turned: Floats = np.abs(np.degrees(np.arctan2(cross, (back * ahead).sum(1))))
            return turned

        near, wide = turn(k), turn(2 * k)
        size = self.sizes[self.line]
        room = self.closed[self.line] | ((self.place >= k) & (self.place < size - k))
        round_turn = np.where(self.closed[self.line], 360 * k / size, 0)  # a small ring turns anyway
        found = room & (size > 2 * k) & (near > angle + round_turn) & (near > 0.62 * wide)
        sharp = near + turn(k // 2)
        best = sharp.copy()
        for step in range(1, k + 1):
            best = np.maximum(best, np.maximum(sharp[self.shifted(step)], sharp[self.shifted(-step)]))
        found &= sharp >= best
        return found & ~(found & found[self.shifted(-1)])

    def near(self, marked: Bools, reach: int) -> Bools:
        """(N,) bool -> (N,) bool, the points up to ``reach`` along the line from a marked one."""
        found: Bools = np.logical_or.reduce([marked[self.shifted(step)] for step in range(-reach, reach + 1)])
        return found
