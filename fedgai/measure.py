"""How a hand is measured: one way, for the studio, the companion, the command line and every experiment.

    drawing -> white paper -> its ink with an even margin -> at most 512 px long -> encoder -> statistics of the whole set

So a signature says how somebody draws, and not on what paper, with how much paper around it, or at which resolution it was
scanned. A pen's width counts in pixels of a drawing that is 512 px long: at that size the network draws, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fedgai.networks.style import StreamingStatistics
from fedgai.vision.channels import darkest_channel
from fedgai.vision.images import Picture, read_image, to_image, to_tensor
from fedgai.vision.paper import on_white_paper

DrawingSource = str | Path | bytes | Image.Image | np.ndarray | Picture | Tensor

SIDE = 512  # px, long side at which a hand is measured; a smaller drawing is not enlarged, which would only blur it
READ_SIDE = 2 * SIDE  # px, long side at which paper and ink are looked for
MARGIN = 0.1  # paper around the ink, in long sides of the ink: about what is around a garment in its photograph
MULTIPLE, SMALLEST = 8, 16  # the encoder halves three times, and reflects at the edge, for which it needs two cells
INK = 26  # grey levels of 255 by which ink is darker than white paper, in its darkest channel
SPECK = 0.008  # in long sides: smaller pieces of ink do not say where a drawing ends


def read_drawing(drawing: DrawingSource) -> Image.Image:
    """A whole drawing on blank white paper, at most ``READ_SIDE`` px long. Arguments and errors are those of ``page``."""
    if isinstance(drawing, Tensor):
        drawing = to_image(drawing.reshape(drawing.shape[-3:]))
    image = read_image(drawing)
    image.thumbnail((READ_SIDE, READ_SIDE))
    return Image.fromarray(on_white_paper(np.asarray(image)))


def page(drawing: DrawingSource, side: int = SIDE) -> np.ndarray:
    """A drawing as it is measured.

    Args:
        drawing: as ``images.read_image`` takes it, or a tensor (3, H, W) or (1, 3, H, W) in [-1, 1].
        side: px, long side at most, ``READ_SIDE`` at most.
    Returns:
        (H, W, 3) uint8: light paper made white, the same share of paper around the ink of every drawing. A blank drawing
        comes as it is.
    Raises:
        ImageError: it cannot be read.
    """
    picture = np.asarray(read_drawing(drawing))
    box = _ink_box(picture)
    if box is not None:
        picture = _cut(picture, box)
    scale = side / max(picture.shape[:2])
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
def measure(encoder: nn.Module, drawings: Iterable[DrawingSource]) -> tuple[Tensor, int]:
    """Whole-set statistics over drawings, one at a time (AdaIN_SD: FedGAI, arXiv 2503.12389, sec. 3; docs/method.md).

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


def _ink_box(picture: np.ndarray) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of a drawing's ink, px. Returns None if there is no ink."""
    ink = (darkest_channel(picture) < 255 - INK).astype(np.uint8)
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
