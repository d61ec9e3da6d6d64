"""The skeleton of ink, read as a graph: branches between ends and junctions."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from fedgai.strokes.drawing import Bools, Floats, Ints, Plane

NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))  # dy, dx; straight ones first


@dataclass(frozen=True)
class Branch:
    """A piece of skeleton between two nodes.

    Attributes:
        points: (n, 2) float64, x and y, px, the nodes' own places included.
        ends: the nodes at its first and last point; (-1, -1) for a ring without any.
    """

    points: Floats
    ends: tuple[int, int]

    @property
    def ring(self) -> bool:
        return self.ends[0] < 0

    @cached_property
    def length(self) -> float:
        """px."""
        if len(self.points) < 8:  # most are, of a drawing that is nothing but noise
            points = self.points.tolist()
            return sum(math.sqrt((x - u) * (x - u) + (y - v) * (y - v)) for (u, v), (x, y) in pairwise(points))
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())


def branches(ink: Bools, half_width: Plane) -> list[Branch]:
    """The skeleton's branches.

    Args:
        ink: (H, W) bool.
        half_width: (H, W) float, distance to the ink's edge, px. Spurs shorter than that are left out, and junctions nearer
            to each other than that are one: a crossing of broad lines.
    """
    from skimage.morphology import skeletonize  # scipy takes a quarter of a second, and many commands draw nothing

    thin: Bools = skeletonize(ink)
    rows, columns = np.nonzero(np.pad(thin, 1))
    if not len(rows):
        return []
    places = np.stack([columns - 1, rows - 1], 1).astype(np.float64)
    links = _links(rows, columns, (ink.shape[0] + 2, ink.shape[1] + 2))
    degree = (links >= 0).sum(1)
    node = _nodes(links, degree)
    radius = np.zeros(max(int(node.max()) + 1, 1))
    np.maximum.at(radius, node[node >= 0], half_width[rows - 1, columns - 1][node >= 0])
    return _crossings(_without_spurs(_walk(links, degree, node, places), radius), radius)


def _links(rows: Ints, columns: Ints, shape: tuple[int, int]) -> Ints:
    """(n, 8) int, each pixel's neighbours or -1. A diagonal step is left out where two straight ones lead there."""
    number = np.full(shape, -1)
    number[rows, columns] = np.arange(len(rows))
    links = np.stack([number[rows + dy, columns + dx] for dy, dx in NEIGHBOURS], 1)
    for i, (dy, dx) in enumerate(NEIGHBOURS[4:], 4):
        links[(number[rows + dy, columns] >= 0) | (number[rows, columns + dx] >= 0), i] = -1
    return links


def _nodes(links: Ints, degree: Ints) -> Ints:
    """(n,) int, the node that a pixel belongs to: an end, or pixels of a junction that touch; -1 on a branch."""
    from scipy.sparse import coo_array  # scipy takes a quarter of a second, and many commands draw nothing
    from scipy.sparse.csgraph import connected_components

    a, side = np.nonzero((links >= 0) & (degree > 2)[:, None])
    b = links[a, side]
    both = degree[b] > 2
    graph = coo_array((np.ones(both.sum()), (a[both], b[both])), (len(degree), len(degree)))
    label = connected_components(graph, directed=False)[1]
    node = np.full(len(degree), -1)
    is_node = (degree > 2) | (degree == 1)
    node[is_node] = np.unique(label[is_node], return_inverse=True)[1]
    return node


def _walk(links: Ints, degree: Ints, node: Ints, places: Floats) -> list[Branch]:
    """Follow the skeleton from every node along every branch, and around every ring."""
    of_node = node >= 0
    count = np.bincount(node[of_node], minlength=1)
    middle = np.stack([np.bincount(node[of_node], axis[of_node], 1) for axis in places.T], 1) / np.maximum(count, 1)[:, None]
    pair = np.sort(np.where(links >= 0, links, len(links)), axis=1)[:, :2]
    first, second, names = pair[:, 0].tolist(), pair[:, 1].tolist(), node.tolist()
    seen = bytearray(len(links))
    direct: set[tuple[int, int]] = set()

    def follow(before: int, at: int) -> tuple[list[int], int]:
        path = []
        while names[at] < 0 and not seen[at]:
            seen[at] = 1
            path.append(at)
            before, at = at, first[at] if first[at] != before else second[at]
        return path, at

    neighbours, pixels = links.tolist(), len(links)
    found = list[tuple[list[int], tuple[int, int]]]()  # pixels, or ``pixels`` + a node; and the two ends
    for start in np.flatnonzero(of_node).tolist():
        for step in neighbours[start]:
            if step < 0:
                continue
            if names[step] >= 0:  # two nodes side by side
                key = (min(start, step), max(start, step))
                if names[step] == names[start] or key in direct:
                    continue
                direct.add(key)
            elif seen[step]:
                continue
            path, end = follow(start, step)
            a, b = names[start], names[end]
            found.append(([pixels + a, *path, pixels + b], (a, b)))
    for start in np.flatnonzero(degree == 2).tolist():
        if not seen[start]:
            found.append((follow(-1, start)[0], (-1, -1)))
    order = np.array([i for path, _ in found for i in path], np.intp)
    points = np.concatenate([places, middle])[order]  # of all branches at once: noise has 100,000
    stops = np.cumsum([len(path) for path, _ in found]).tolist()
    return [Branch(points[stop - len(path) : stop], ends) for stop, (path, ends) in zip(stops, found, strict=True)]


def _without_spurs(found: list[Branch], radius: Floats) -> list[Branch]:
    """A short branch that ends free beside a longer line is a bump of the ink's edge."""
    for _ in range(2):
        meet = Counter(end for branch in found for end in branch.ends)

        def is_spur(branch: Branch, meet: Counter[int] = meet) -> bool:
            free, other = branch.ends if meet[branch.ends[0]] == 1 else branch.ends[::-1]
            return not branch.ring and meet[free] == 1 and meet[other] > 2 and branch.length < 1.3 * radius[other] + 1.5

        found = [branch for branch in found if not is_spur(branch)]
    return found


def _crossings(found: list[Branch], radius: Floats) -> list[Branch]:
    """Where two broad lines cross, the skeleton has two junctions with a short branch between: made one junction."""
    meet = Counter(end for branch in found for end in branch.ends)
    parent = list(range(len(radius)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    kept = []
    for branch in found:
        a, b = branch.ends
        if not branch.ring and a != b and min(meet[a], meet[b]) > 2 and branch.length < max(radius[a], radius[b]) + 1:
            parent[root(b)] = root(a)
        else:
            kept.append(branch)
    return [b if b.ring else Branch(b.points, (root(b.ends[0]), root(b.ends[1]))) for b in kept]
