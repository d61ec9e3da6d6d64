"""What a drawing has besides lines: hatching and stipple as simple strokes, rubbed or laid tone as areas."""

from __future__ import annotations

import math

import cv2
import numpy as np

from fedgai.strokes.drawing import Bools, Floats, Ints, Picture, Plane, Stroke, Wash
from fedgai.strokes.polylines import Polylines
from fedgai.vision.channels import darkest_channel

DOT = 6  # px, the largest side of a dot
PERIODS = (3.0, 17.0)  # px, between hatching lines
APART = 25  # degrees between the two directions of cross-hatching, at least
RUN = 9  # px along a hatching line that are looked at together
SOFT, SMALL = 6, 300  # px and px2 at 512: the blur that tone is seen through, and the smallest area of a tone
TONES = (0.06, 0.14, 0.23, 0.34, 0.48)  # darkness where one tone ends and the next begins


def hatching(ink: Plane, most: int) -> tuple[list[Stroke], Floats]:
    """Hatching lines as straight strokes, stipple as dots.

    Args:
        ink: (H, W) float32 in [0, 1], without the drawing's outlines.
        most: strokes, and dots; the shortest and smallest are left out beyond that.

    Returns:
        strokes of two points; and (n, 3) dots: x, y, diameter, px.
    """
    count, labels, stats, middles = cv2.connectedComponentsWithStats((ink > 0.4).astype(np.uint8), connectivity=8)
    mass = np.bincount(labels.ravel(), ink.ravel(), count)
    small = stats[:, 2:4].max(1) <= DOT
    small[0] = False
    dotted = small & (mass > 1.2)
    dots = np.stack([*middles[dotted].T, 2 * np.sqrt(1.15 * mass[dotted] / np.pi)], 1)
    dots = dots[np.argsort(-dots[:, 2], kind="stable")[:most]]
    drawn = np.where(small[labels], 0, ink).astype(np.float32)
    strokes = [stroke for angle in directions(drawn) for stroke in _parallels(drawn, angle)]
    strokes = sorted(strokes, key=lambda s: -float(np.hypot(*(s.points[1] - s.points[0]))))[:most]
    hatched = sum(float(np.hypot(*(s.points[1] - s.points[0])) * s.widths[0]) for s in strokes)
    stippled = float(mass[dotted].sum())  # the loose ends of hatching look like dots
    if hatched <= 0.1 * stippled:
        strokes = []
    if stippled <= 0.35 * hatched:
        dots = dots[:0]
    return strokes, dots


def directions(ink: Plane) -> list[float]:
    """The one or two directions of hatching, degrees in [0, 180): 0 for horizontal lines, counted anticlockwise.

    Peaks of the power spectrum, summed over the periods that hatching has. None where no direction stands out.
    """
    height, width = ink.shape
    power = np.abs(np.fft.rfft2(ink - ink.mean())) ** 2
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.hypot(fy, fx)
    within = (frequency > 1 / PERIODS[1]) & (frequency < 1 / PERIODS[0])
    angle = np.degrees(np.arctan2(np.broadcast_to(fx, power.shape), np.broadcast_to(fy, power.shape))) % 180
    which = (angle[within] / 2).astype(int) % 90  # two degrees each
    each = np.bincount(which, power[within], 90) / np.maximum(np.bincount(which, minlength=90), 1)
    bins = np.convolve(np.concatenate([each[-2:], each, each[:2]]), [0.1, 0.2, 0.4, 0.2, 0.1], "valid")
    usual, found = float(np.median(bins)), list[float]()
    for i in np.argsort(-bins).tolist():
        if bins[i] < max(3 * usual, 0.15 * bins.max(), 1e-9) or len(found) == 2:
            break
        turned = 2.0 * i + 1
        if all(APART <= abs(turned - other) <= 180 - APART for other in found):
            found.append(turned)
    return found


def _parallels(ink: Plane, angle: float) -> list[Stroke]:
    """Straight strokes in one direction: the picture is turned until they lie flat, and read row by row."""
    height, width = ink.shape
    side = math.ceil(math.hypot(height, width))
    turn: Floats = np.asarray(cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -angle, 1), np.float64)
    turn[:, 2] += (side - 1) / 2 - np.array([(width - 1) / 2, (height - 1) / 2])
    flat = cv2.warpAffine(ink, turn, (side, side), flags=cv2.INTER_LINEAR)
    run = cv2.blur(flat, (RUN, 1))
    soft = cv2.GaussianBlur(run, (1, 3), 0, sigmaY=0.7)
    ridge = (soft > 0.33) & (soft >= np.roll(soft, 1, 0)) & (soft > np.roll(soft, -1, 0))
    count, labels = cv2.connectedComponents(ridge.astype(np.uint8), connectivity=8)
    rows, columns = np.nonzero(ridge)
    line: Ints = np.asarray(labels, np.int64)[rows, columns]
    n = np.bincount(line, minlength=count).astype(float)
    x, y, xx, xy = (np.bincount(line, v, count) for v in (columns, rows, columns * columns, columns * rows))
    first, last = np.full(count, side), np.zeros(count, np.int64)
    np.minimum.at(first, line, columns)
    np.maximum.at(last, line, columns)
    kept = np.flatnonzero((n > 0) & (last - first >= 4))
    slope = ((n * xy - x * y) / np.maximum(n * xx - x * x, 1e-9))[kept]
    height_at = (y[kept] - slope * x[kept]) / n[kept]
    across = sum(run[np.clip(rows + d, 0, side - 1), columns] for d in (-1, 0, 1))
    widths = np.clip(np.bincount(line, across, count)[kept] / n[kept], 0.6, 4.0)
    ends = np.stack([np.stack([x, height_at + slope * x], 1) for x in (first[kept] - 0.5, last[kept] + 0.5)], 1)
    back = cv2.invertAffineTransform(turn)
    ends = ends @ back[:, :2].T + back[:, 2]
    return [Stroke("hatching", points, np.full(2, w)) for points, w in zip(ends, widths.tolist(), strict=True)]


def washes(picture: Picture, bare: Bools, mask: Bools) -> list[Wash]:
    """The tone between the lines, in few steps.

    Args:
        picture: (H, W, 3) uint8.
        bare: (H, W) bool, where no line lies.
        mask: (H, W) bool, the garment.
    """
    scale = max(mask.shape) / 512
    weight = (bare & mask).astype(np.float32)
    near = cv2.GaussianBlur(weight, (0, 0), SOFT * scale)
    color = cv2.GaussianBlur(picture * weight[..., None], (0, 0), SOFT * scale) / np.maximum(near, 1e-3)[..., None]
    tone = np.where((near > 0.02) & mask, 1 - darkest_channel(color) / 255, 0)
    found = []
    for low, high in zip(TONES, (*TONES[1:], 2.0), strict=True):
        area, band = (tone >= low).astype(np.uint8), (tone >= low) & (tone < high)
        contours, _ = cv2.findContours(area, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        outlines = [c[:, 0].astype(np.float64) for c in contours if cv2.contourArea(c) > SMALL * scale**2]
        if not outlines or not band.any():
            continue
        paths = Polylines.of(outlines, [True] * len(outlines)).resampled(2)
        count = len(paths.points)
        smooth = paths.smoothed(paths.points, 30.0, np.zeros(count, bool), np.ones(count))
        red, green, blue = (round(v) for v in cv2.mean(color, band.view(np.uint8))[:3])
        found.append(Wash(tuple(paths.split(smooth)), (red, green, blue)))
    return found
