"""A sheet of paper in a picture: where it lies, how it is turned, how light falls on it, which ink belongs together."""

from __future__ import annotations

import math

import cv2
import numpy as np

from fedgai.vision.channels import darkest_channel

WORK_SIDE = 1400  # px, long side at which ink is looked for
PAPER_SIDE = 350  # px, long side at which light is measured: it changes slowly
FOCAL = 0.75  # of a phone's main camera, in long sides of its picture; the proportions of a slanted sheet hang on it
STEP = 10  # grey levels by which a sheet is lighter than what it lies on, all around; a soft shadow's edge is not
STEEPEST = 18  # degrees of skew that are looked for
GAIN = 0.02  # in the drawings' symmetry, of 1, for which a sheet without visible edges is turned
INK = 26  # grey levels of 255 darker than paper
# in long sides of the sheet
GAP, RIM = 0.012, 0.025  # strokes nearer than GAP belong together; edges and holes lie in the RIM
DUST = 0.008  # ink smaller than that belongs to a drawing only within it
LONG, SHORT, STROKE = 0.08, 0.03, 0.05  # a drawing's sides and its longest piece of line have so much at least


# --- The sheet -----------------------------------------------------------------------------------------------------


def _fit(rgb: np.ndarray, side: int) -> np.ndarray:
    """-> the same with at most ``side`` px on its long side."""
    scale = side / max(rgb.shape[:2])
    if scale >= 1:
        return rgb
    return cv2.resize(rgb, [max(1, round(edge * scale)) for edge in rgb.shape[1::-1]], interpolation=cv2.INTER_AREA)


def work_side(rgb: np.ndarray) -> int:
    return min(WORK_SIDE, int(max(rgb.shape)))


def corners(rgb: np.ndarray) -> tuple[tuple[float, float], ...] | None:
    """The sheet's corners in px, if a light quadrilateral stands out from all that lies around it."""
    small = _fit(rgb, 700)
    scale = max(rgb.shape) / max(small.shape)
    light = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    closed = cv2.morphologyEx(light, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))  # without strokes
    light = np.asarray(cv2.medianBlur(closed, 5))
    _, mask = cv2.threshold(light, 0, 1, cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=cv2.contourArea, default=None)
    if outline is None or not 0.2 < cv2.contourArea(outline) / light.size < 0.97:
        return None
    hull = cv2.convexHull(outline)
    four = cv2.approxPolyDP(hull, 0.03 * cv2.arcLength(hull, True), True)[:, 0].astype(np.float64)
    if len(four) != 4 or cv2.contourArea(outline) < 0.95 * cv2.contourArea(hull):
        return None
    points, (height, width) = np.asarray(outline)[:, 0].astype(np.float64), light.shape
    lines = []
    for a, b in zip(four, np.roll(four, -1, 0), strict=True):
        along, length = (b - a) / np.linalg.norm(b - a), np.linalg.norm(b - a)
        at, off = (points - a) @ along, np.abs((points - a) @ (-along[1], along[0]))
        side = points[(at > 0.08 * length) & (at < 0.92 * length) & (off < 6)]
        if len(side) < 0.4 * length:
            return None
        middle, frame = side.mean(0), np.asarray([width - 1, height - 1], np.float64)
        if (np.minimum(side, frame - side) < 2).any(1).mean() < 0.5:  # a side on the picture's rim has nothing outside
            across = np.array([along[1], -along[0]])
            across *= np.sign(across @ (middle - four.mean(0)))  # outwards
            inner, outer = ((side + step * across).round().clip(0, frame).astype(int) for step in (-6, 6))
            step = light[inner[:, 1], inner[:, 0]].astype(int) - light[outer[:, 1], outer[:, 0]]
            if np.percentile(step, 15) < STEP:
                return None
        vx, vy, x, y = np.asarray(cv2.fitLine(np.asarray(side, np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01)).ravel().tolist()
        lines.append(np.cross((x, y, 1), (x + vx, y + vy, 1)))
    crossings = np.array([np.cross(lines[i - 1], lines[i]) for i in range(4)], np.float64)
    four = (crossings[:, :2] / crossings[:, 2:] + 0.5) * scale
    four += 0.004 * (four.mean(0) - four)  # the blurred rim stays off
    middle = four.mean(0)
    four = four[np.argsort(np.arctan2(*(four - middle).T[::-1]))]  # clockwise as seen, y being down
    four = np.roll(four, -int((four - middle).sum(1).argmin()), 0)  # from the top left one
    return tuple((round(float(x), 1), round(float(y), 1)) for x, y in four)


def flatten(corners: np.ndarray, picture: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """(4, 2) corners, (width, height) of the picture -> homography onto the flat sheet, and its (width, height).

    A slanted sheet looks too short. Its proportions follow from the camera's focal length: with K its matrix and h1, h2
    the images of the sheet's two directions, they are |K^-1 h1| : |K^-1 h2| (Zhang & He, whiteboard scanning, 2007).
    """
    unit = np.asarray([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    square = cv2.getPerspectiveTransform(unit, np.asarray(corners, np.float32))
    focal = FOCAL * max(picture)
    camera = np.array([[focal, 0, picture[0] / 2], [0, focal, picture[1] / 2], [0, 0, 1]])
    h1, h2, _ = np.linalg.solve(camera, square).T
    ratio = np.clip(np.linalg.norm(h1) / np.linalg.norm(h2), 0.2, 5)
    area = cv2.contourArea(np.asarray(corners, np.float32))
    width, height = max(16, round(math.sqrt(area * ratio))), max(16, round(math.sqrt(area / ratio)))
    flat = np.asarray([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return cv2.getPerspectiveTransform(np.asarray(corners, np.float32), flat), (width, height)


def whiten(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of nothing but a sheet -> the same divided by its paper, which becomes 255."""
    paper = cv2.resize(_paper(_fit(rgb, PAPER_SIDE)), rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    ratio = rgb / np.maximum(paper, 8)
    grain = 1.48 * np.median(np.abs(ratio[::5, ::5] - 1))  # most of a sheet is paper
    return np.asarray(np.clip(255 / (1 - np.clip(3 * grain, 0.05, 0.15)) * ratio, 0, 255), np.uint8)


def _paper(small: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 -> (h, w, 3) float32, what the sheet would look like without its drawings.

    All that an outline surrounds is left out, and filled in from the paper around it: a closing alone would take a
    broad wash, or a black coat, for a shadow.
    """
    side = max(small.shape)
    grey = darkest_channel(small)
    bare = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, _disc(side / 12), borderType=cv2.BORDER_REPLICATE)
    ink = np.asarray(grey < 0.93 * bare, np.uint8)
    outlines, _ = cv2.findContours(cv2.dilate(ink, _disc(4)), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    ink = np.asarray(cv2.dilate(ink, _disc(4)), np.uint8)
    for outline in outlines:
        if cv2.contourArea(outline) < 0.5 * ink.size:  # else it is a frame around everything
            cv2.drawContours(ink, [outline], -1, 1, -1)
    known = np.asarray(1 - ink, np.float32)
    paper = np.empty(small.shape, np.float32)
    paper[:] = np.percentile(small, 90, (0, 1))
    for share in (0.3, 0.08, 0.02):  # from far to near: the nearest paper counts, where there is some
        blur = [
            cv2.GaussianBlur(x, (0, 0), share * side, borderType=cv2.BORDER_REPLICATE) for x in (small * known[..., None], known)
        ]
        weight = np.clip(4 * blur[1] - 0.2, 0, 1)[..., None]
        paper += weight * (blur[0] / np.maximum(blur[1], 1e-3)[..., None] - paper)
    return paper


def _disc(diameter: float) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(diameter / 2) + 1,) * 2)


# --- Drawings ------------------------------------------------------------------------------------------------------


def ink(sheet: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 white sheet -> (h, w) uint8, 1 on ink, at most ``WORK_SIDE`` px long."""
    return np.asarray(darkest_channel(_fit(sheet, WORK_SIDE)) < 255 - INK, np.uint8)


def groups(ink: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
    """(h, w) ink -> (h, w) int32 labels, and the drawings' boxes (left, top, right, bottom), px of ``ink``.

    Label i is the neighbourhood of the i-th drawing from 1, -1 that of anything else (holes, edges, notes, dust), and 0
    paper.
    """
    if ink.mean() > 0.5:  # no light sheet with dark drawings
        return np.zeros(ink.shape, np.int32), []
    side, reach = max(ink.shape), round(GAP * max(ink.shape) / 2)
    rubbish = _rubbish(ink)
    ink = ink & ~rubbish
    _, pieces, sizes, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(ink, cv2.MORPH_CLOSE, _disc(4)))
    length = np.asarray(sizes[:, 2:4].max(1)[pieces])  # (h, w), of the piece that a pixel belongs to
    solid = np.asarray(ink & (length >= DUST * side), np.uint8)
    count, near, stats, centres = cv2.connectedComponentsWithStats(cv2.dilate(solid, _disc(2 * reach)))
    longest = np.zeros(count, np.int32)
    np.maximum.at(longest, np.asarray(near, np.int64)[solid > 0], length[solid > 0])
    long, short = stats[:, 2:4].max(1) - 2 * reach, stats[:, 2:4].min(1) - 2 * reach
    drawn = (long >= LONG * side) & (short >= SHORT * side) & (longest >= STROKE * side)
    drawn &= (short >= 0.05 * side) | (long < 4 * short)  # else a line of writing
    drawn[0] = False
    boxes = np.c_[stats[:, :2] + reach, stats[:, :2] + stats[:, 2:4] - reach]
    middle = centres.round().astype(int)
    owner, hulls = np.where(drawn, np.arange(count), -1), np.zeros(ink.shape, np.uint8)
    for i in np.flatnonzero(drawn):
        outlines, _ = cv2.findContours(np.asarray(near == i, np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        hull = np.zeros(ink.shape, np.uint8)
        cv2.fillConvexPoly(hull, cv2.convexHull(np.vstack(outlines)), 1)
        hulls |= hull
        owner[(owner == -1) & (hull[middle[:, 1], middle[:, 0]] > 0)] = i  # a fold that touches nothing
    for i, j in np.argwhere(drawn[:, None] & drawn[None]):
        if i != j and share(boxes[j], boxes[i]) > 0.6:  # drawings that lie across one another, as a bag on a coat
            owner[owner == owner[j]] = owner[i]
    final, found = np.full(count, -1), []
    for number, i in enumerate(sorted(set(owner[drawn].tolist())), 1):
        final[owner == i] = number
        own = boxes[drawn & (owner == i)]
        found.append((*own[:, :2].min(0).tolist(), *own[:, 2:].max(0).tolist()))
    final[0] = 0
    labels = final[near].astype(np.int32)
    dust = rubbish | (ink & ~solid & ~np.asarray(cv2.erode(hulls, _disc(2 * reach)), np.uint8))
    labels[(cv2.dilate(dust, _disc(5)) > 0) & (solid == 0)] = -1
    return labels, found


def _rubbish(ink: np.ndarray) -> np.ndarray:
    """(h, w) ink -> (h, w) uint8, 1 on the sheet's edges and on punched holes."""
    side = max(ink.shape)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(ink)
    rim = np.ones(ink.shape, bool)
    wide = max(2, round(RIM * side))
    rim[wide:-wide, wide:-wide] = False
    area = stats[:, cv2.CC_STAT_AREA]
    bad = np.bincount(pieces[rim], minlength=count) > 0.8 * area
    x, y, w, h = stats[:, :4].T
    edge = np.minimum.reduce([x + w / 2, y + h / 2, ink.shape[1] - x - w / 2, ink.shape[0] - y - h / 2])
    # a disc fills 0.785 of its box; a hole is 6 mm, 0.02 of A4, and its middle 12 mm from the edge
    bad |= (
        (area > 0.68 * w * h)
        & (np.minimum(w, h) > 0.75 * np.maximum(w, h))
        & (edge < 0.08 * side)
        & (np.maximum(w, h) > 0.008 * side)
        & (np.maximum(w, h) < 0.045 * side)
    )
    bad[0] = False
    return np.asarray(bad[pieces], np.uint8)


def skew(ink: np.ndarray) -> float:
    """(h, w) ink -> degrees clockwise by which the drawings lean: garments are alike left and right.

    Each drawing is turned about its middle, and correlated with its own mirror image. Where no angle makes the sheet
    clearly more symmetric, it is 0.
    """
    _, boxes = groups(ink)
    small = cv2.GaussianBlur(_fit(np.asarray(ink, np.float32), WORK_SIDE // 2), (0, 0), 1.5)
    scale = max(small.shape) / max(ink.shape)

    def symmetry(angle: float) -> float:
        total = 0.0
        for left, top, right, bottom in boxes:
            side = math.ceil(math.hypot(right - left, bottom - top) * scale)
            middle = (left + right) / 2 * scale, (top + bottom) / 2 * scale
            turn = cv2.getRotationMatrix2D(middle, angle, 1)
            turn[:, 2] += side / 2 - np.array(middle)
            crop = cv2.warpAffine(small, turn, (side, side))
            rows = np.fft.rfft(crop, 2 * side, axis=1)  # its square is the correlation with the mirror image
            total += np.fft.irfft((rows * rows).sum(0)).max() / max(np.square(crop).sum(), 1e-6)
        return total / len(boxes)

    if not boxes:
        return 0.0
    coarse = np.arange(-STEEPEST, STEEPEST + 1)
    values = [symmetry(float(angle)) for angle in coarse]
    best = int(np.argmax(values))
    if values[best] - values[STEEPEST] < GAIN or best in (0, 2 * STEEPEST):
        best = STEEPEST  # upright, but for a degree
    fine = np.linspace(coarse[best] - 1.2, coarse[best] + 1.2, 13)
    a, b, _ = np.polyfit(fine - coarse[best], [symmetry(float(angle)) for angle in fine], 2)
    angle = coarse[best] + (float(np.clip(-b / (2 * a), -1.2, 1.2)) if a < 0 else 0.0)
    return round(angle, 2) if abs(angle) >= 0.3 else 0.0


def share(box: tuple[float, ...], whole: tuple[float, ...]) -> float:
    """Share of ``box`` that lies in ``whole``, in [0, 1]."""
    width, height = (min(box[i + 2], whole[i + 2]) - max(box[i], whole[i]) for i in (0, 1))
    return max(0, width) * max(0, height) / max(1e-6, (box[2] - box[0]) * (box[3] - box[1]))


def reading_order(boxes: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    rows: list[list[tuple[int, int, int, int]]] = []
    for box in sorted(boxes, key=lambda b: b[1] + b[3]):
        middle = (box[1] + box[3]) / 2
        if rows and middle < rows[-1][0][3]:  # it begins no new row below the row's first one
            rows[-1].append(box)
        else:
            rows.append([box])
    return [box for row in rows for box in sorted(row)]
