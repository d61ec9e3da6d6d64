"""Lines of a garment: what of them is seen, the folds, and how they are drawn as pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree
from skimage.measure import find_contours
from skimage.morphology import skeletonize

from fedgai.garments.outline import Array
from fedgai.line_types import LINE_TYPES

Vector = tuple[str, Array, bool]


def runs(line: Array, keep: NDArray[np.bool_], closed: bool, shortest: float) -> list[tuple[Array, bool]]:
    """The stretches of ``line`` (n, 2) whose points are kept, each with whether it is the whole closed line."""
    if keep.all():
        return [(line, closed)]
    if not keep.any():
        return []
    if closed:  # begin at a gap, so that no stretch is cut at the line's first point
        first = int(np.argmin(keep))
        line, keep = np.roll(line, -first, axis=0), np.roll(keep, -first)
    edges = np.flatnonzero(np.diff(np.r_[False, keep, False].astype(int)))
    pieces = [line[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [(p, False) for p in pieces if len(p) > 1 and np.hypot(*np.diff(p, axis=0).T).sum() >= shortest]


def dense(line: Array, step: float = 1.0, closed: bool = False) -> Array:
    """``line`` (n, 2) with a point every ``step`` pixels."""
    if closed:
        line = np.vstack([line, line[:1]])
    length = np.r_[0, np.cumsum(np.hypot(*np.diff(line, axis=0).T))]
    at = np.linspace(0, length[-1], max(2, int(length[-1] / step) + 1), endpoint=not closed)
    return np.stack([np.interp(at, length, axis) for axis in line.T], 1)


def sample(image: Array, points: Array) -> Array:
    """Values (n,) of an image (h, w) at points (n, 2), nearest pixel, 0 outside."""
    x, y = np.round(points).astype(int).T
    h, w = image.shape[:2]
    inside = (x >= 0) & (y >= 0) & (x < w) & (y < h)
    return np.where(inside, image[np.clip(y, 0, h - 1), np.clip(x, 0, w - 1)], 0)


def closed_up(keep: NDArray[np.bool_], gap: int) -> NDArray[np.bool_]:
    """``keep`` (n,) with gaps of up to ``gap`` points filled, at the ends of the line left as they are."""
    edges = np.flatnonzero(np.diff(np.r_[False, keep, False].astype(int)))
    keep = keep.copy()
    for end, begin in zip(edges[1:-1:2], edges[2::2], strict=True):
        if begin - end <= gap:
            keep[end:begin] = True
    return keep


def silhouette(alpha: NDArray[np.uint8], smallest: float = 60.0) -> list[Vector]:
    """The closed contours of the garment mask at half its coverage, holes included."""
    padded = np.pad(alpha.astype(np.float32), 1)
    found = []
    for contour in find_contours(padded, 127.5):
        points = (contour[:-1, ::-1] - 1).astype(np.float32)
        x, y = points.T
        if abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2 >= smallest:
            found.append(("silhouette", points, True))
    return found


def valleys(height: Array, scale: float, width: float = 5.0) -> Array:
    """How sharp a valley each pixel of a height field lies in, in inverse units: the larger curvature across it."""
    smooth = blur_edge(height, width * scale)
    xx = cv2.Sobel(smooth, cv2.CV_32F, 2, 0, ksize=3) / 4
    yy = cv2.Sobel(smooth, cv2.CV_32F, 0, 2, ksize=3) / 4
    xy = cv2.Sobel(smooth, cv2.CV_32F, 1, 1, ksize=3) / 4
    mean, apart = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return np.clip(mean + apart, 0, None) * scale * scale


def blur_edge(image: Array, sigma: float) -> Array:
    """Gaussian blur that goes on past the picture's border."""
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def fold_lines(strength: Array, low: float, high: float, shortest: float) -> list[Vector]:
    """Centre lines of the valleys that reach ``high`` somewhere and ``low`` all along, at least ``shortest`` pixels long."""
    weak = strength > low
    count, labels = cv2.connectedComponents(weak.astype(np.uint8), connectivity=8)
    strong = np.zeros(count, bool)
    strong[np.unique(labels[strength > high])] = True
    strong[0] = False
    thin = skeletonize(strong[labels])
    made: list[Vector] = []
    for line in trace(thin):
        if len(line) < shortest:
            continue
        smooth = gaussian_filter1d(line.astype(np.float32), 3.0, axis=0, mode="nearest")
        made.append(("fold", np.vstack([smooth[:-1:3], smooth[-1:]]).astype(np.float32), False))
    return made


def trace(thin: NDArray[np.bool_]) -> list[Array]:
    """A skeleton's branches as pixel lines (n, 2), x and y. At a junction the straightest way goes on."""
    left = {(int(x), int(y)) for y, x in zip(*np.nonzero(thin), strict=True)}
    around = [(1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (-1, -1), (1, -1)]

    def near(p: tuple[int, int]) -> list[tuple[int, int]]:
        return [(p[0] + dx, p[1] + dy) for dx, dy in around if (p[0] + dx, p[1] + dy) in left]

    def walk(start: tuple[int, int]) -> list[tuple[int, int]]:
        way = [start]
        left.discard(start)
        while options := near(way[-1]):
            back = way[max(0, len(way) - 6)]
            dx, dy = way[-1][0] - back[0], way[-1][1] - back[1]
            last = way[-1]
            best = max(
                options, key=lambda p: ((p[0] - last[0]) * dx + (p[1] - last[1]) * dy) / np.hypot(p[0] - last[0], p[1] - last[1])
            )
            for p in options:  # a corner pixel beside the way is not a branch
                if abs(p[0] - best[0]) + abs(p[1] - best[1]) == 1:
                    left.discard(p)
            left.discard(best)
            way.append(best)
        return way

    ends = sorted(p for p in left if len(near(p)) == 1)
    lines = [np.array(walk(p)) for p in ends if p in left]
    while left:
        lines.append(np.array(walk(min(left))))
    return [line for line in lines if len(line) > 1]


def draw(vectors: list[Vector], shape: tuple[int, int], width: float) -> NDArray[np.uint8]:
    """Coverage (6, h, w) of each line type; a pixel's centre has whole coordinates.

    Args:
        vectors: lines in pixels.
        width: of the lines, pixels.
    """
    fine, (h, w) = 4, shape
    planes = np.zeros((len(LINE_TYPES), h, w), np.uint8)
    for number, kind in enumerate(LINE_TYPES):
        lines = [(points, closed) for name, points, closed in vectors if name == kind]
        if not lines:
            continue
        page = np.zeros((h * fine, w * fine), np.uint8)
        for points, closed in lines:
            corners = np.round((points * fine + (fine - 1) / 2) * 16).astype(np.int32)
            cv2.polylines(page, [corners], closed, (255,), max(1, round(width * fine) - 1), cv2.LINE_8, 4)
        planes[number] = cv2.resize(page, (w, h), interpolation=cv2.INTER_AREA)
    return planes


def borders(labels: NDArray[np.integer], reach: int = 1) -> NDArray[np.bool_]:
    """Pixels (h, w) within ``reach`` of another label."""
    kernel, plane = np.ones((2 * reach + 1,) * 2, np.uint8), labels.astype(np.int16)
    return np.asarray(cv2.dilate(plane, kernel) != cv2.erode(plane, kernel))


def near_line(points: Array, line: Array, gap: float) -> NDArray[np.bool_]:
    """Which points (n, 2) are within ``gap`` of a point of ``line`` (m, 2)."""
    reach, _ = cKDTree(line).query(points, distance_upper_bound=gap)
    return np.asarray(np.isfinite(reach))
