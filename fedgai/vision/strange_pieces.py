"""Large pieces of a cut-out that look like the background and have no counterpart on the garment's other side.

A sheet at the end of one trouser leg is such a piece. A lining, a print or a pale hem may have the background's colours,
too, but there the garment's mirror image is garment as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from fedgai.strokes.drawing import Bools

STEP = 2  # pixels of a mask and its photo that one pixel here stands for
LEVELS = np.array([20, 6, 6], np.float32)  # of Lab, 8 bits each, that one cell of a histogram holds
CELLS = (14, 44, 44)  # of a histogram
RATIO = 3.0  # times as frequent in the background as in the garment: the background's colours
SMALLEST = 0.015  # share of the garment that such a piece has: smaller ones are often cuffs or lace
SURE = 0.1  # likelihood of garment below which a place shows the background's colours
FEWEST = 200  # pixels that show them
MIRRORED = 0.3  # share of a piece that is garment in the mirror image, below which it has no counterpart
COARSE = 64  # px, long side at which the mirror image is laid on the garment
TURNS = range(-40, 41, 4)  # degrees that it is turned by: of a garment that lies askew by up to half as much
ALIKE = 0.7  # overlap of the garment and its mirror image, below which that tells nothing


def without_strange_pieces(mask: Bools, lab: np.ndarray, belief: np.ndarray, tidy: Callable[[Bools], Bools]) -> Bools:
    """A mask without such pieces; the mask itself where there are none.

    Args:
        mask: (h, w) bool.
        lab: (h, w, 3) float32, the photo, each channel in [0, 255].
        belief: (h, w) float32 in [0, 1], how likely garment is.
        tidy: smooths a mask.
    """
    small = np.ascontiguousarray(mask[::STEP, ::STEP])
    mirrored: Bools | None = None
    strange = np.zeros(small.shape, np.uint8)
    for piece in _like_background(small, lab[::STEP, ::STEP], belief[::STEP, ::STEP]):
        if mirrored is None:
            mirrored = mirror_image(small)
        if (mirrored & small).sum() < ALIKE * (mirrored | small).sum():
            break
        if mirrored[piece].mean() < MIRRORED:
            strange[piece] = 1
    if not strange.any():
        return mask
    gone = cv2.dilate(strange, np.ones((5, 5), np.uint8))  # to its edges, where colours mix
    return tidy(mask & (cv2.resize(gone, mask.shape[::-1], interpolation=cv2.INTER_NEAREST) == 0))


def _like_background(mask: Bools, lab: np.ndarray, belief: np.ndarray) -> Iterator[Bools]:
    """Large pieces of a mask along its edge that have the background's colours, (h, w) bool each."""
    inside = np.asarray(mask, np.uint8)
    outside = (cv2.dilate(inside, np.ones((3, 3), np.uint8)) == 0) & (belief < SURE)
    within = cv2.erode(inside, np.ones((3, 3), np.uint8)) > 0
    if outside.sum() < FEWEST or within.sum() < FEWEST:
        return
    cells = np.minimum(lab / LEVELS, np.array(CELLS, np.float32) - 1).astype(np.intp)
    cell = (cells[..., 0] * CELLS[1] + cells[..., 1]) * CELLS[2] + cells[..., 2]
    odds = np.log((_share(cell[outside]) + 1e-4) / (_share(cell[within]) + 1e-4))[cell]
    alike = mask & (cv2.blur(odds.astype(np.float32), (3, 3)) > math.log(RATIO))
    opened = cv2.morphologyEx(alike.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(opened)
    for part in 1 + np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= SMALLEST * inside.sum()):
        piece = np.asarray(parts == part)
        if cv2.dilate(piece.astype(np.uint8), np.ones((5, 5), np.uint8))[~mask].any():
            yield piece


def _share(cell: np.ndarray) -> np.ndarray:
    """Share of pixels in each cell of a histogram, which is smoothed: colours beside a cell's count for it, too."""
    counts = np.bincount(cell, minlength=math.prod(CELLS)).reshape(CELLS[0], -1).astype(np.float32)
    kernel = np.array([0.25, 0.5, 0.25], np.float32)
    planes = cv2.filter2D(counts, -1, kernel[:, None], borderType=cv2.BORDER_CONSTANT).reshape(CELLS)
    smooth = np.stack([cv2.sepFilter2D(plane, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT) for plane in planes])
    return np.asarray(smooth.ravel() / smooth.sum())


def mirror_image(mask: Bools) -> Bools:
    """A mask's mirror image, turned and moved so that it covers as much of the mask as it can; (h, w) bool both."""
    height, width = mask.shape
    scale = COARSE / max(height, width)
    coarse = cv2.resize(mask.astype(np.float32), (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    size = 4 * COARSE
    whole = np.fft.rfft2(coarse, (size, size))
    best, found = -1.0, np.eye(3)
    for turn in TURNS:
        move = np.eye(3)
        move[:2] = cv2.getRotationMatrix2D((coarse.shape[1] / 2, coarse.shape[0] / 2), turn, 1)
        move[:2, 2] += COARSE - np.array(coarse.shape[::-1]) / 2
        turned = cv2.warpAffine(np.ascontiguousarray(coarse[:, ::-1]), move[:2], (2 * COARSE, 2 * COARSE))
        covered = np.fft.irfft2(whole * np.conj(np.fft.rfft2(turned, (size, size))), (size, size))
        place = np.array(np.unravel_index(int(covered.argmax()), covered.shape))
        if covered[tuple(place)] > best:
            best, found = float(covered[tuple(place)]), move
            found[:2, 2] += ((place + size // 2) % size - size // 2)[::-1]
    flip = np.array([[-1, 0, coarse.shape[1] - 1], [0, 1, 0], [0, 0, 1.0]])
    across, down = coarse.shape[1] / width, coarse.shape[0] / height
    zoom = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])  # pixels' centres lie at halves
    full = np.linalg.inv(zoom) @ found @ flip @ zoom
    return np.asarray(cv2.warpAffine(mask.astype(np.float32), full[:2], (width, height)) > 0.5)
