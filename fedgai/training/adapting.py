"""What a Generator that was trained before learns at home, besides the paper's losses. Ours.

The paper's losses say how lines look and not where they belong, and at batch 1 they are noisy. What a round at home brought with
them alone is in docs/new-hands-tried.md; what it brings now, in docs/new-hands.md.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from fedgai.model import FedGAI
from fedgai.networks.generator import Generator
from fedgai.networks.layers import channels_last
from fedgai.training.losses import chroma_loss, crispness_loss, gram_loss, hinge_generator, near_loss
from fedgai.training.train_config import TrainConfig

PART = 256  # px, side of what is drawn in another designer's hand


def likeness(sketch: Tensor, wanted: Tensor, config: TrainConfig) -> dict[str, Tensor]:
    """How a drawing differs from the wanted one of the same garment: weighted losses by name. Both (B, 3, H, W) in [-1, 1]."""
    return {
        "near": config.near * near_loss(sketch, wanted),
        "crispness": config.crispness * crispness_loss(sketch, wanted),
        "chroma": config.chroma * chroma_loss(sketch, wanted),
    }


class OthersHands:
    """Holds a Generator, in other designers' hands, to what the house draws in them.

    A signature may have been refined. Then it says how the house draws in that hand, and not what statistics that designer's
    drawings have; so the house's own drawing is what can be learned from.

    Args:
        model: whose Generator is trained.
        styles: (K, D), K >= 1, the others' signatures.
        house: the Generator that these signatures belong to; by default the model's own as it is now.
        config: the weights of the losses.
    """

    def __init__(self, model: FedGAI, styles: Tensor, house: Generator | None, config: TrainConfig) -> None:
        self.model, self.config = model, config
        device = next(model.parameters()).device
        self.styles = styles.to(device)
        self.house = channels_last(house or copy.deepcopy(model.generator)).to(device).eval().requires_grad_(False)

    def losses(self, features: Sequence[Tensor], step: int) -> dict[str, Tensor]:
        """Of a part of a page, drawn in one of the hands; another part and hand each step.

        Args:
            features: the encoder's maps of a photograph, (B, C_l, H / 2^l, W / 2^l).
        """
        model, style, part = self.model, self.styles[step % len(self.styles)][None], some_part(features, step)
        with torch.no_grad():
            wanted = self.house(part, style)
            wanted_grams = model.grams(model.encoder(wanted))
        sketch = model.generator(part, style)
        grams = model.grams(model.encoder(sketch))
        apart = likeness(sketch, wanted, self.config) | {"gram": gram_loss(grams, wanted_grams)}
        return {
            "adversarial_other": self.config.adversarial * hinge_generator(model.discriminator(grams)),
            "fusion": self.config.fusion * sum(apart.values(), torch.zeros((), device=style.device)),
        }


def some_part(features: Sequence[Tensor], seed: int) -> list[Tensor]:
    """The encoder's maps (B, C_l, H / 2^l, W / 2^l) of a part of the page, ``PART`` px at most, anywhere on it."""
    height, width = features[-1].shape[2:]
    side = PART * height // features[0].shape[2]  # in the coarsest map
    random = torch.Generator().manual_seed(seed)
    top, left = (int(torch.randint(max(1, size - side + 1), (), generator=random)) for size in (height, width))
    parts = []
    for level in features:
        scale = level.shape[2] // height
        part = level[:, :, top * scale : (top + side) * scale, left * scale : (left + side) * scale]
        parts.append(part.contiguous(memory_format=torch.channels_last))
    return parts
