"""Prints taken out of a photograph, so that a hand draws the garment and leaves the print to the fabric.

The draughtsman says how likely a line is at every pixel. Likely ones become strokes, smooth and whole, and are laid on the
garment's colour, blurred until no print is left: that is the picture which the network then draws from.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from fedgai.strokes.lines import Tracing, centre_lines, strokes_along, to_edge
from fedgai.strokes.raster import SHIFT, fixed

FAINT, SURE = 0.25, 0.5  # likelihood that a line must keep along its length, and reach somewhere
SHORTEST = 20  # px of 512, length below which a line is a speck
RIM = 4.0  # px of 512, how close to the silhouette other lines end: it has a line of its own
FOLDS, PRINT = 4.0, 40.0  # px of 512, sigma of the blur that leaves folds, and of the one that leaves no print
LEAST_PRINT, MOST_PRINT = 17.0, 26.0  # grey levels of contrast at which a garment starts to count, and counts, as printed
STIFFNESS = 400.0  # of the spline through a line's points, at 512 px
WIDTH = 2.0  # px of 512, of a line, and at least one of the drawing
DARKNESS = 0.8  # share of the light that a sure line takes
REFERENCE = 512  # px, long side to which lengths above refer


def without_print(photo: np.ndarray, mask: np.ndarray, lines: np.ndarray, amount: float = 0.0) -> np.ndarray:
    """Take the print out of a photograph and leave the garment's lines.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (H, W) float32 in [0, 1], the garment.
        lines: (N, h, w) float32 in [0, 1], the likelihoods of all types of lines (``draughtsman.Seen.lines``), in the
            photograph's proportions.
        amount: 0 no print to 1 the photograph as it is.

    Returns:
        (H, W, 3) uint8.
    """
    if amount == 1:
        return photo
    values = photo.astype(np.float32)
    clean = _plain(values, mask) * (1 - DARKNESS * line_cover(lines, mask)[..., None])
    return (np.clip(clean + amount * (values - clean), 0, 255) + 0.5).astype(np.uint8)


def _plain(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 -> the same without lines: a plain garment keeps its folds' shading, a printed one only its light."""
    height, width = mask.shape
    scale = REFERENCE / 2 / max(height, width)  # so wide a blur loses nothing at half the size
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    weight = cv2.resize(mask, small, interpolation=cv2.INTER_AREA) + np.float32(1e-4)
    seen = cv2.resize(photo, small, interpolation=cv2.INTER_AREA)

    def blurred(sigma: float) -> np.ndarray:
        values, share = (cv2.GaussianBlur(x, (0, 0), sigma / 2) for x in (seen * weight[..., None], weight))
        mean: np.ndarray = values / share[..., None]
        return mean

    folds, light = blurred(FOLDS), blurred(PRINT)
    inside = (weight > 0.5).astype(np.uint8)
    inner = cv2.erode(inside, np.ones((7, 7), np.uint8))
    contrast = 0.0
    for difference, where in ((folds - light, inside), (seen - folds, inner)):
        if where.any():
            contrast += float(np.linalg.norm(difference, axis=2)[where > 0].mean()) / np.sqrt(3)
    printed = float(np.clip((contrast - LEAST_PRINT) / (MOST_PRINT - LEAST_PRINT), 0, 1))
    shaded: np.ndarray = folds + printed * (light - folds)
    return cv2.resize(shaded, (width, height), interpolation=cv2.INTER_LINEAR)


def line_cover(lines: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Whole, smooth lines of one width where likely ones are.

    Args:
        lines, mask: as ``without_print`` takes them.

    Returns:
        (H, W) float32 in [0, 1], the mask's size: 1 in the middle of a sure line, 0 away from lines.
    """
    height, width = lines.shape[1:]
    unit = max(height, width) / REFERENCE
    solid = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    depth = cv2.distanceTransform(np.pad(solid, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    likely = cv2.GaussianBlur(lines.max(0), (0, 0), 0.8) * (depth > RIM * unit)
    # hysteresis: a faint line is drawn only where it continues a sure one
    count, labels = cv2.connectedComponents((likely > FAINT).astype(np.uint8), connectivity=8)
    peak = np.zeros(count, np.float32)
    np.maximum.at(peak, labels.ravel(), likely.ravel())
    kept = peak > SURE
    kept[0] = False
    ink = kept[labels]
    how = replace(Tracing.at((height, width)), shortest=SHORTEST * unit, stiffness=STIFFNESS * unit**4)
    strokes = strokes_along(centre_lines(ink, to_edge(ink), how), np.minimum(1.4 * likely, 1).astype(np.float32), how, "line")
    around = cv2.dilate(likely, np.ones((5, 5), np.uint8))
    scale, page = max(mask.shape) / max(height, width), np.zeros(mask.shape, np.uint8)
    thick = max(1, round(WIDTH * max(mask.shape) / REFERENCE))
    for sure, points, closed in sorted(
        ((_sureness(stroke.points, around), stroke.points, stroke.closed) for stroke in strokes), key=lambda line: line[0]
    ):  # the surest last, on top
        cv2.polylines(page, [fixed(points, scale)], closed, round(255 * sure), thick, cv2.LINE_AA, SHIFT)
    cover: np.ndarray = cv2.GaussianBlur(page.astype(np.float32) / 255, (0, 0), 0.5 * max(mask.shape) / REFERENCE)
    return cover


def _sureness(points: np.ndarray, likely: np.ndarray) -> float:
    """Of a line (n, 2), by the likelihoods (H, W) along it: 0.3 to 1."""
    columns, rows = np.clip(np.rint(points).astype(int), 0, np.array(likely.shape[::-1]) - 1).T
    return float(np.clip(1.4 * np.median(likely[rows, columns]), 0.3, 1))
