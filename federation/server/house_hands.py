"""The hands that a house step draws in, and how well drawings tell them apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fedgai.networks.style import Signature, style_distance


class Hands:
    """The bank's signatures, and which of them round 0 knew. N signatures in the bank's order.

    Attributes:
        styles: (N, D), the signatures.
        known: (N,) bool, whether round 0 knew it.
        refined: (N,) bool, whether its designer's machine refined it.
        new_names: names of those that round 0 did not know.
    """

    def __init__(self, bank: Sequence[Signature], reference: Sequence[Signature]) -> None:
        is_known = [any(torch.equal(s.style, r.style) for r in reference) for s in bank]
        self.styles = torch.stack([s.style.clone() for s in bank])
        self.known = torch.tensor(is_known)
        self.refined = torch.tensor([s.extra.get("refined") is True for s in bank])
        self.new_names = [s.name for s, k in zip(bank, is_known, strict=True) if not k]

    def choose(self, rng: np.random.Generator, count: int, *, new: bool) -> np.ndarray:
        """(count,) indices of new hands, or of known ones; of any hands if the bank has none of that kind."""
        some = (~self.known if new else self.known).nonzero()[:, 0].numpy()
        return rng.choice(some if len(some) else np.arange(len(self.styles)), count)


def margin(statistics: Tensor, style: Tensor, bank: Tensor, channels: Sequence[int]) -> Tensor:
    """How much nearer drawings are to their own hand than to the nearest other one, in ``style_distance``.

    Args:
        statistics: (B, D), of one drawing each.
        style: (B, D), what they were asked for.
        bank: (N, D), signatures to tell apart.
    Returns:
        (B,), below 0 where another hand is nearer; infinite where ``style`` is not in the bank (a blend), or is its only one.
    """
    distances = style_distance(statistics[:, None], bank, channels)  # (B, N)
    own = (style[:, None] == bank).all(-1)  # (B, N)
    nearest = distances.masked_fill(own | ~own.any(1, keepdim=True), math.inf).amin(1) if len(bank) else math.inf
    return nearest - style_distance(statistics, style, channels)
