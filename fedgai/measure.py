"""How a hand is measured: one way, for the studio, the companion, the command line and every experiment.

    drawing -> white paper -> its ink with an even margin -> at most 512 px long -> encoder -> statistics of the whole set

So a signature says how somebody draws, and not on what paper, with how much paper around it, or at which resolution it was
scanned. A pen's width counts in pixels of a drawing that is 512 px long, which is what the studio draws by default.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fedgai.networks.style import StreamingStatistics
from fedgai.vision.images import read_image, to_image, to_tensor

Drawing = str | Path | bytes | Image.Image | np.ndarray | Tensor

SIDE = 512  # px, long side at which a hand is measured; a smaller drawing is not enlarged, which would only blur it
READ_SIDE = 2 * SIDE  # px, long side at which paper and ink are looked for
MARGIN = 0.1  # paper around the ink, in long sides of the ink: about what is around a garment in its photograph
ENOUGH = 0.4  # share of a picture that is white paper where all of its paper is
BLOCKS = 10  # along each side, in which paper is looked for
MULTIPLE, SMALLEST = 8, 16  # the encoder halves three times, and reflects at the edge, for which it needs two cells
INK = 26  # grey levels of 255 by which ink is darker than white paper, in its darkest channel
SPECK = 0.008  # in long sides: smaller pieces of ink do not say where a drawing ends
WHITE, DARK = 246, 110  # grey levels: paper above WHITE is left as it is, and so is paper below DARK, which is a choice


def page(drawing: Drawing) -> np.ndarray:
    """A drawing as it is measured.

    Args:
        drawing: as ``images.read_image`` takes it, or a tensor (3, H, W) or (1, 3, H, W) in [-1, 1].
    Returns:
        (H, W, 3) uint8: light paper made white, the same share of paper around the ink of every drawing, at most 512 px
        long. A blank drawing comes as it is.
    Raises:
        ImageError: it cannot be read.
    """
    if isinstance(drawing, Tensor):
        drawing = to_image(drawing.reshape(drawing.shape[-3:]))
    image = read_image(drawing)
    image.thumbnail((READ_SIDE, READ_SIDE))
    picture = _on_white_paper(np.asarray(image))
    box = _ink_box(picture)
    if box is not None:
        picture = _cut(picture, box)
    scale = SIDE / max(picture.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
    return picture


def padded(picture: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (3, H', W') float32 in [-1, 1], with white paper to the right and below, so that the encoder can
    halve it three times."""
    paper = [(0, max(SMALLEST, -(-side // MULTIPLE) * MULTIPLE) - side) for side in picture.shape[:2]]
    return to_tensor(np.pad(picture, [*paper, (0, 0)], constant_values=255))


@torch.no_grad()
def measure(encoder: nn.Module, drawings: Iterable[Drawing]) -> tuple[Tensor, int]:
    """Whole-set statistics over drawings, one at a time (FedGAI sec. 3, AdaIN_SD).

    Args:
        encoder: the frozen one that the signature belongs to.
        drawings: each as ``page`` takes it. Memory does not grow with their number.
    Returns:
        (2 * sum C_l,) float32 in a signature's layout, and how many drawings were measured.
    Raises:
        ImageError: a drawing that cannot be read.
        ValueError: no drawing at all.
    """
    statistics, device = StreamingStatistics(), next(encoder.parameters()).device
    for drawing in drawings:
        picture = padded(page(drawing))[None].to(device)
        statistics.update(encoder(picture.contiguous(memory_format=torch.channels_last)))
    return statistics.style(), statistics.images


def _on_white_paper(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> the same on white, where it was drawn on light paper that is not white."""
    if np.mean(picture.min(2) >= WHITE) > ENOUGH:
        return picture
    paper = _paper(picture)
    if paper.mean((0, 1)).min() >= WHITE or paper.mean((0, 1)).max() <= DARK:
        return picture
    share = picture / np.maximum(paper, 8)  # of the paper's light; ink takes the same share of it on every paper
    off = np.abs(share[::5, ::5].min(2) - 1)
    # the paper's own grain, as a standard deviation, from its smoother part: a rubbed shade is no grain
    grain = np.percentile(off[off < 0.15], 30) / 0.385 if (off < 0.15).any() else 0.0
    # what is lighter than the paper's own grain becomes white, and ink stays what it is
    blank = np.clip((share.min(2) - 1 + 6 * grain) / max(3 * grain, 1e-3), 0, 1)[..., None]
    return np.uint8(255 * np.clip(share + blank * (1 - share), 0, 1) + 0.5)


def _paper(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W, 3) float32, the paper alone: a quadratic surface per channel, for a tint and a soft shadow.

    It is fitted to the lightest tenth of each block, of which those that a drawing fills lie below the surface and are left
    out. A surface that followed the page closely would take a rubbed shade or a wash for a shadow.
    """
    height, width = picture.shape[:2]
    rows, columns = (np.linspace(0, side, BLOCKS + 1).astype(int) for side in (height, width))
    light = np.array([np.percentile(picture[top:bottom, left:right], 90, (0, 1)) for top, bottom in itertools.pairwise(rows)
                      for left, right in itertools.pairwise(columns)])  # (BLOCKS^2, 3)
    centre = (np.arange(BLOCKS) + 0.5) / BLOCKS * 2 - 1
    basis = _quadratic(*(x.ravel() for x in np.meshgrid(centre, centre, indexing="ij")))
    kept = np.ones(len(light), bool)
    for _ in range(6):
        surface = basis @ np.linalg.lstsq(basis[kept], light[kept], rcond=None)[0]
        below = (surface - light).max(1)
        kept = below <= max(3, 1.5 * float(np.median(np.abs(below[kept]))))
        if kept.sum() < 2 * basis.shape[1]:
            return np.full(picture.shape, np.percentile(light, 95, 0), np.float32)
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.float32(_quadratic(y, x) @ np.linalg.lstsq(basis[kept], light[kept], rcond=None)[0])


def _quadratic(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Coordinates in [-1, 1] of any shape -> the same with a last axis of the six terms."""
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)


def _ink_box(picture: np.ndarray) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of a drawing's ink, px; None where there is none."""
    ink = np.uint8(picture.min(2) < 255 - INK)
    count, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    if count == 1:
        return None
    stats = stats[1:]  # the first is the paper
    large = stats[stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1) > SPECK * max(picture.shape[:2])]
    stats = large if len(large) else stats
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    return int(left.min()), int(top.min()), int(right.max()), int(bottom.max())


def _cut(picture: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """What lies in the box, with ``MARGIN`` around it; white paper where the picture ends before."""
    left, top, right, bottom = box
    margin = round(MARGIN * max(right - left, bottom - top))
    height, width = picture.shape[:2]
    left, top, right, bottom = left - margin, top - margin, right + margin, bottom + margin
    inside = picture[max(0, top) : bottom, max(0, left) : right]
    beyond = [(max(0, -top), max(0, bottom - height)), (max(0, -left), max(0, right - width)), (0, 0)]
    return np.pad(inside, beyond, constant_values=255)
