"""More hands that nobody here trains on: one of each family of drawing that neither the ateliers nor ``strangers`` have.

They draw the same garments, from the same outline, lines and tone, in a renderer of their own that shares nothing with
``fedgai.ateliers``. What is learned for them at home says how far the house reaches beyond the families that it was taught.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from experiments.strangers import BLACK, Colour, Subject, subject
from fedgai.content import Looked

PENCIL = (168, 168, 172)  # of construction lines
NIGHT = (30, 32, 40)  # dark paper
CHALK = (240, 240, 236)


@dataclass(frozen=True)
class Family:
    """One hand. Lengths in the functions below are pixels of a drawing that is 512 px long.

    Attributes:
        draw: lays the drawing onto a white page, (H, W, 3) uint8; what it does by chance comes from the generator.
        detail: 0 to 1, how many of the inner lines are drawn.
    """

    draw: Callable[[np.ndarray, Subject, np.random.Generator], None]
    detail: float = 0.4


def draw(photo: np.ndarray, mask: np.ndarray, hand: Family, seed: int = 0, seen: Looked | None = None) -> np.ndarray:
    """A garment in a hand of ``FAMILIES``: arguments and result are those of ``strangers.draw``, but the paper may be dark."""
    page = np.full(photo.shape, 255, np.uint8)
    garment = subject(photo, mask, seen, hand.detail)
    if garment.solid.any():
        hand.draw(page, garment, np.random.default_rng(seed))
    return page


def form_hatching(page: np.ndarray, garment: Subject, rng: np.random.Generator) -> None:
    """Short curved strokes that run along the form: with the silhouette beside it, turning gently in between."""
    along, places = _form(garment), np.argwhere((garment.dark > 0.36) & (garment.inside > 0))
    taken, near = (np.zeros(garment.dark.shape, np.uint8) for _ in range(2))  # where no stroke begins, and where none goes on
    for y, x in rng.permutation(places):
        if taken[y, x]:
            continue
        free = (garment.dark > 0.3) & (near == 0)
        points = _streamline(along, free, float(x), float(y), rng.uniform(30, 70) * garment.scale)
        if len(points) > 12 * garment.scale:
            _line(page, points, 1, BLACK, garment.scale)
            apart = (4 if garment.dark[y, x] > 0.7 else 6.5) * garment.scale
            for plane, share in ((taken, 1.0), (near, 0.5)):
                cv2.polylines(plane, [np.int32(points.round())[:, None]], False, 1, round(2 * share * apart - 1))
    _outlined(page, garment, 2, 1)


def scribble(page: np.ndarray, garment: Subject, rng: np.random.Generator) -> None:
    """One loose line that loops through the dark parts, row by row."""
    step, loop = round(15 * garment.scale), 9 * garment.scale
    path: list[tuple[float, float]] = []
    for number, y in enumerate(range(step // 2, garment.dark.shape[0], step)):
        for x in _runs(garment.dark[y] > 0.5, least=step)[:: 1 if number % 2 else -1]:
            ends = x if number % 2 else x[::-1]
            if path and np.hypot(path[-1][0] - ends[0], path[-1][1] - y) > 4 * step:  # the pen is lifted
                _loops(page, path, loop, garment.scale, rng)
                path = []
            path += [(float(end), float(y)) for end in ends]
    _loops(page, path, loop, garment.scale, rng)
    _outlined(page, garment, 2, 1)


def contour_bands(page: np.ndarray, garment: Subject, rng: np.random.Generator) -> None:
    """Level lines of the tone, as on a map, nearer to each other where it is darker."""
    dark, inside = (cv2.GaussianBlur(plane, (0, 0), 6 * garment.scale) for plane in (garment.dark, np.float32(garment.inside)))
    bands = page.copy()
    for level in (0.3, 0.42, 0.52, 0.61, 0.69, 0.76, 0.83):
        area = np.uint8(dark > level * np.maximum(inside, 1e-3))
        for line in cv2.findContours(area, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]:
            if len(line) > 50 * garment.scale:
                _line(bands, _smooth(line, closed=True), 1, BLACK, garment.scale, closed=True)
    page[garment.inside > 0] = bands[garment.inside > 0]
    _outlined(page, garment, 2, 0)


def fading_wash(page: np.ndarray, garment: Subject, rng: np.random.Generator) -> None:
    """A wash of blue-grey that fades from the dark side to bare paper."""
    area = cv2.GaussianBlur(garment.inside.astype(np.float32), (0, 0), 1.5 * garment.scale)
    fade = cv2.GaussianBlur(garment.dark, (0, 0), 9 * garment.scale)
    strength = np.clip((fade - 0.2) / 0.7, 0, 1) * area
    wash = np.array((84, 98, 132), np.float32)
    page[:] = page + (0.9 * strength[..., None] * (wash - page)).round()
    _outlined(page, garment, 2, 1, (40, 40, 60))


def crayon(page: np.ndarray, garment: Subject, rng: np.random.Generator) -> None:
    """Broad, dry strokes that catch the grain of the paper only."""
    sweeps, lines = np.zeros_like(page), np.zeros_like(page)
    reach = sum(garment.dark.shape)
    for start in np.arange(-reach, reach, 10 * garment.scale):
        ends = np.array([(start, reach), (start + reach, 0)]) + rng.normal(0, 3 * garment.scale, (2, 2))
        _line(sweeps, ends, 5, (255, 255, 255), garment.scale)
    for line in garment.lines:
        _line(lines, _strayed(_smooth(line), 0.7 * garment.scale, rng), 4, (225, 225, 225), garment.scale)
    for line in garment.outlines:
        _line(lines, _strayed(_smooth(line, closed=True), garment.scale, rng), 7, (255, 255, 255), garment.scale, closed=True)
    shade, stroke = (cv2.GaussianBlur(plane[..., 0] / np.float32(255), (0, 0), 0.8 * garment.scale) for plane in (sweeps, lines))
    shade *= np.clip(2 * (garment.dark - 0.3), 0, 0.8)
    cover = np.clip(5 * (np.maximum(shade, 0.95 * stroke) - _grain(shade.shape, garment.scale, rng)), 0, 1)
    page[:] = page + (cover[..., None] * (np.array((38, 34, 34), np.float32) - page)).round()


def construction(page: np.ndarray, garment: Subject, rng: np.random.Generator) -> None:
    """Thin pencil lines left standing: a centre line, levels across, and straight edges drawn on beyond their ends."""
    height, width = garment.dark.shape
    rows, columns = (np.flatnonzero(garment.solid.any(axis)) for axis in (1, 0))
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    middle, over = (left + right) / 2, 0.06 * (bottom - top)
    across = [(left - over, right + over, top + share * (bottom - top)) for share in (0, 0.28, 0.62, 1)]
    straight = [((middle, top - over), (middle, bottom + over)), *(((a, y), (b, y)) for a, b, y in across)]
    for outline in garment.outlines:
        corners = cv2.approxPolyDP(outline, 9 * garment.scale, True)[:, 0].astype(np.float64)
        for a, b in zip(corners, np.roll(corners, -1, 0), strict=True):
            if np.linalg.norm(b - a) > 70 * garment.scale:
                straight.append((a - 0.3 * (b - a), b + 0.3 * (b - a)))
    for ends in straight:
        _line(page, np.array(ends).clip(2, (width - 3, height - 3)), 1, PENCIL, garment.scale)
    _outlined(page, garment, 2, 1)


def broken_contour(page: np.ndarray, garment: Subject, rng: np.random.Generator) -> None:
    """Lines with gaps: the silhouette and the seams stop and begin again."""
    lines = [(_smooth(line, closed=True), 3) for line in garment.outlines] + [(_smooth(line), 2) for line in garment.lines]
    for points, width in lines:
        for part in _parts(points, garment.scale, rng):
            _line(page, part, width, BLACK, garment.scale)


def broad_marker(page: np.ndarray, garment: Subject, rng: np.random.Generator) -> None:
    """Lines of 8 px, and few of them."""
    _outlined(page, garment, 8, 6)


def light_on_dark(page: np.ndarray, garment: Subject, rng: np.random.Generator) -> None:
    """White lines on dark paper."""
    page[:] = NIGHT
    _outlined(page, garment, 2, 1, CHALK)


FAMILIES: dict[str, Family] = {
    "form hatching": Family(form_hatching),
    "scribble": Family(scribble),
    "contour bands": Family(contour_bands),
    "fading wash": Family(fading_wash, detail=0.5),
    "crayon": Family(crayon, detail=0.3),
    "construction": Family(construction, detail=0.5),
    "broken contour": Family(broken_contour, detail=0.5),
    "broad marker": Family(broad_marker, detail=0.2),
    "light on dark": Family(light_on_dark, detail=0.5),
}


# -- lines -------------------------------------------------------------------------------------------------------------


def _line(page: np.ndarray, points: np.ndarray, width: float, ink: Colour, scale: float, closed: bool = False) -> None:
    """Points (n, 2) px, a width in px of 512."""
    at = np.int32(np.round(points * 16))[:, None]
    cv2.polylines(page, [at], closed, ink, max(1, round(width * scale)), cv2.LINE_AA, 4)


def _outlined(page: np.ndarray, garment: Subject, outline: float, inner: float, ink: Colour = BLACK) -> None:
    for line in garment.lines if inner else ():
        _line(page, _smooth(line), inner, ink, garment.scale)
    for line in garment.outlines:
        _line(page, _smooth(line, closed=True), outline, ink, garment.scale, closed=True)


def _smooth(line: np.ndarray, closed: bool = False, sigma: float = 2.0) -> np.ndarray:
    """(n, 1, 2) px -> (n, 2) float64, without the steps of a pixel chain."""
    points = line[:, 0].astype(np.float64)
    reach = min(len(points) - 1, 8)
    if reach < 2:
        return points
    padded = np.pad(points, ((reach, reach), (0, 0)), "wrap" if closed else "edge")
    return cv2.GaussianBlur(padded, (1, 2 * reach + 1), 0, sigmaY=sigma)[reach:-reach]


def _strayed(points: np.ndarray, far: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) px -> the same, moved softly by about ``far`` px."""
    noise = cv2.GaussianBlur(rng.standard_normal(points.shape), (1, 0), 0, sigmaY=12)
    return points + 6.5 * far * noise  # this blur leaves a deviation of 1 / 6.5


def _parts(points: np.ndarray, scale: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """(n, 2) px -> pieces of 20 to 90 px, with gaps of 8 to 26 px between them."""
    at = round(rng.uniform(0, 20) * scale)
    while at < len(points):
        end = at + round(rng.uniform(20, 90) * scale)
        if len(points[at:end]) > 4:
            yield points[at:end]
        at = end + round(rng.uniform(8, 26) * scale)


# -- tone --------------------------------------------------------------------------------------------------------------


def _form(garment: Subject) -> np.ndarray:
    """Direction along the form: (H, W, 2) float32 unit vectors (x, y), of which the sign means nothing.

    It is the silhouette's beside the silhouette. Between two sides it is their mean, taken with doubled angles.
    """
    depth = cv2.GaussianBlur(cv2.distanceTransform(garment.solid, cv2.DIST_L2, 5), (0, 0), 2 * garment.scale)
    gy, gx = np.gradient(depth)
    weight = np.exp(-depth / (12 * garment.scale)) * garment.solid
    double = [np.float32(weight * part) for part in (gy * gy - gx * gx, -2 * gx * gy)]  # of the tangent (-gy, gx)
    spread = [sum(cv2.GaussianBlur(part, (0, 0), s * garment.scale) for s in (6, 16, 40)) for part in double]
    angle = 0.5 * np.arctan2(spread[1], spread[0])
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def _streamline(along: np.ndarray, free: np.ndarray, x: float, y: float, longest: float) -> np.ndarray:
    """(n, 2) px, the line through a point that runs along, as far as it is free, both ways."""
    ways = []
    for sign in (1, -1):
        at, towards, points = np.array([x, y]), sign * along[int(y), int(x)], []
        while len(points) < longest / 2:
            column, row = at.round().astype(int)
            if not (0 <= row < free.shape[0] and 0 <= column < free.shape[1] and free[row, column]):
                break
            points.append(at)
            step = along[row, column] * (1 if along[row, column] @ towards >= 0 else -1)
            at, towards = at + step, step
        ways.append(points)
    return np.array(ways[1][:0:-1] + ways[0])


def _runs(row: np.ndarray, least: int) -> list[tuple[int, int]]:
    """(W,) bool -> where it is true for so long: (first, last) px."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(np.int8))).reshape(-1, 2)
    return [(int(a), int(b) - 1) for a, b in edges if b - a >= least]


def _loops(page: np.ndarray, path: list[tuple[float, float]], radius: float, scale: float, rng: np.random.Generator) -> None:
    """A line that loops along a path of corners (x, y)."""
    if len(path) < 2:
        return
    corners = np.array(path)
    along = np.concatenate([[0], np.hypot(*np.diff(corners, axis=0).T).cumsum()])
    at = np.arange(0, along[-1], scale)
    points = _strayed(np.stack([np.interp(at, along, corners[:, i]) for i in (0, 1)], 1), 2.5 * scale, rng)
    turn = 2 * np.pi / (0.85 * radius) * _strayed(at[:, None], 3 * scale, rng)
    loops = np.hstack([0.55 * np.cos(turn) + 0.5 * np.sin(turn), -np.sin(turn)])  # slanting, narrow ellipses
    _line(page, points + radius * _strayed(np.ones((len(at), 1)), 0.3, rng) * loops, 1, BLACK, scale)


def _grain(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> np.ndarray:
    """The tooth of a paper: (H, W) float32, evenly spread over [0, 1]."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), 0.8 * scale)
    return np.float32(noise.ravel().argsort().argsort().reshape(shape) / noise.size)
