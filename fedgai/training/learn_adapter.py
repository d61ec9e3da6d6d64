"""Learns a hand's adapter by gradient descent, the signature and the house Generator held still (``fedgai.networks.adapter``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fedgai.networks.adapter import BOUND
from fedgai.training.optimisers import Adam

WARM_UP = 5  # steps in which Adam's rate rises, until it knows how large gradients are


@dataclass(frozen=True)
class AdapterConfig:
    """How to learn one.

    Attributes:
        steps: of Adam, half a drawing each; 0 for no adapter.
        rate: of Adam; it falls to 0.
        clip: the L2 norm that a gradient is cut to.
        seed: of the order of the drawings.
    """

    steps: int = 160
    rate: float = 4e-3
    clip: float = 1.0
    seed: int = 24


def learn_adapter(
    start: Tensor, drawings: int, loss: Callable[[int, Tensor], Tensor], config: AdapterConfig, on_step: Callable[[], None]
) -> Tensor:
    """Learn.

    Args:
        start: (A,) float32, changes of weights to begin with.
        drawings: how many there are to learn from.
        loss: of a drawing's number and the changes of weights (A,).
        on_step: called after each step.
    Returns:
        (A,) float32, changes of weights; as they were after the last step with a finite loss.
    """
    changes = start.clone().requires_grad_(True)
    optimiser, order = Adam([changes], config.rate, betas=(0.9, 0.98)), np.random.default_rng(config.seed)
    for step in range(config.steps):
        optimiser.param_groups[0]["lr"] = config.rate * min(1.0, (step + 1) / WARM_UP) * (1 - step / config.steps)
        value = loss(int(order.integers(drawings)), changes)
        (changes.grad,) = torch.autograd.grad(value, [changes])
        if not (torch.isfinite(value) and torch.isfinite(changes.grad).all()):
            break
        nn.utils.clip_grad_norm_([changes], config.clip)
        optimiser.step()
        changes.data.clamp_(-BOUND, BOUND)
        on_step()
    return changes.detach()
