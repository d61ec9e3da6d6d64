"""How a drawing is compared with the designer's own while a signature or an adapter is learned.

Each loss is written in means over the drawing's pixels, which strips of it can be measured for (``strips.py``): a ``measure_``
function of a strip, and the loss of the means over the whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedgai.networks.style import EPS, style_distance
from fedgai.training.losses import chroma_loss, gram_loss
from fedgai.training.refine_examples import Example
from fedgai.training.strips import StripView, cut, seen
from fedgai.training.train_config import TrainConfig

WEIGHTS = TrainConfig()  # of a designer's own model, and so of an adapter


def measure_for_signature(strip: StripView) -> list[Tensor]:
    """Means over a strip, see ``signature_loss``."""
    return [strip.near, strip.drawn.mean((2, 3)), *strip.moments(products=False)]


def signature_loss(example: Example, means: Sequence[Tensor]) -> Tensor:
    """Where ink is, within a pixel; and how it is drawn, wherever the lines lie: the statistics, and the mean ink.

    Args:
        means: of ``measure_for_signature``, over the whole drawing.
    Returns:
        scalar >= 0.
    """
    near, ink, *moments = means
    apart = _apart(example, moments[::2], moments[1::2])
    return near + 0.5 * apart + (ink - example.drawing.mean((2, 3))).abs().mean()


def measure_for_adapter(strip: StripView) -> list[Tensor]:
    """Means over a strip, see ``adapter_loss``."""
    where = WEIGHTS.near * strip.near + WEIGHTS.chroma * chroma_loss(strip.drawn, strip.wanted)
    return [where, _grey(strip.drawn), *strip.moments(products=True)]


def adapter_loss(example: Example, means: Sequence[Tensor]) -> Tensor:
    """As a designer's own model learns (``adapting.likeness``): where ink is, grey and colour; and the very drawing's statistics
    and Gram matrices.

    Args:
        means: of ``measure_for_adapter``, over the whole drawing.
    Returns:
        scalar >= 0.
    """
    where, grey, *moments = means
    products = moments[1::2]
    apart = _apart(example, moments[::2], [product.diagonal() for product in products])
    crispness = (grey - _grey(example.drawing)).abs()
    grams = [product[None] / len(product) for product in products]
    return where + WEIGHTS.crispness * crispness + WEIGHTS.manner * apart + gram_loss(grams, example.grams)


def adapter_loss_of(example: Example, drawn: Tensor, encoder: nn.Module) -> Tensor:
    """``adapter_loss`` of a whole drawing, (1, 3, H, W) in [-1, 1], as an encoder sees it."""
    (whole,) = cut(drawn.shape[2], drawn.shape[3], 1)
    return adapter_loss(example, measure_for_adapter(seen(example, whole, drawn, encoder)))


def _apart(example: Example, means: Sequence[Tensor], squares: Sequence[Tensor]) -> Tensor:
    """Distance of a drawing's statistics to the designer's. ``means`` of channels, and of their ``squares``, (C_l,) each."""
    statistics = []
    for mean, square in zip(means, squares, strict=True):
        statistics += [mean, ((square - mean.square()).clamp_min(0) + EPS).sqrt()]
    return style_distance(torch.cat(statistics), example.statistics[0], [len(mean) for mean in means])


def _grey(drawing: Tensor) -> Tensor:
    """Mean of 4 p (1 - p), p the ink, as ``crispness_loss`` has it."""
    return (1 - drawing.square()).mean()
