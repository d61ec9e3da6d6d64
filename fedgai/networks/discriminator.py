"""The Discriminator judges style, not pixels: it sees Gram matrices only. Of the networks, a designer shares this one alone.

FedGAI, arXiv 2503.12389, sec. 3; docs/method.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from fedgai.networks.hand_judge import HandJudge
from fedgai.networks.layers import conv


def gram_matrix(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, C) float32: the inner products of the channels, divided by C * H * W.

    PAPER's division by B * C * H * W with each image on its own (B = 1): a sketch's Gram matrix must not depend on
    which others share its batch.
    """
    gram: Callable[[Tensor], Tensor] = _Gram.apply
    return gram(x)


class _Gram(torch.autograd.Function):
    """``gram_matrix``; autograd's own way back multiplies twice, and adds the two products in different layouts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        flat = _flat(x)
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would leave three digits of a sum of squares
            gram = flat.transpose(1, 2) @ flat / (x.shape[1] * x.shape[2] * x.shape[3])
        return gram

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        both = (grad + grad.transpose(1, 2)) / (x.shape[1] * x.shape[2] * x.shape[3])
        with torch.autocast(x.device.type, enabled=False):
            flat = _flat(x) @ both  # (B, HW, C)
        back: Tensor = flat.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return back.to(x.dtype)


def _flat(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, HW, C) float32."""
    return x.permute(0, 2, 3, 1).flatten(1, 2).float()


class Discriminator(nn.Module):
    """Gram matrices of the four levels, pooled to one stack of 14 x 14 maps, to a map of logits.

    The paper's says whether this is a drawing. With a ``HandJudge`` it also says whether it is in a given hand:
    score = logit(hidden) + <V features, code of the signature>.

    Args:
        rows: how many maps a level is pooled to: 64 in the paper (0.37 M parameters), 16 at the edge.
        channels: the encoder's widths, for a Discriminator that judges whose hand it is; None for the paper's.

    Attributes:
        hand: the judge of hands; None in the paper's.
    """

    SIDE = 14
    POWER_ITERATIONS = 30  # after which a convolution's spectral norm is right to 1e-3 from any start

    def __init__(self, rows: int = 64, channels: Sequence[int] | None = None) -> None:
        super().__init__()
        self.rows = rows
        c = 4 * rows
        self.body = nn.Sequential(
            conv(c, c // 2, spectral=True),
            nn.BatchNorm2d(c // 2),
            nn.LeakyReLU(0.1),
            conv(c // 2, rows, spectral=True),
            nn.BatchNorm2d(rows),
            nn.LeakyReLU(0.1),
            nn.AvgPool2d(2),
        )
        self.logit = conv(rows, 1, 4, stride=2, padding=1, spectral=True)
        self.hand = None if channels is None else HandJudge(channels)

    def pool(self, grams: Sequence[Tensor]) -> Tensor:
        """Gram matrices (B, C_l, C_l) of the four levels -> (B, 4 * rows, 14, 14)."""
        pooled = [F.adaptive_avg_pool2d(g[:, None], (self.rows, self.SIDE**2)) for g in grams]  # (B, 1, rows, 196)
        return torch.cat([p.reshape(-1, self.rows, self.SIDE, self.SIDE) for p in pooled], 1)

    def hidden(self, grams: Sequence[Tensor]) -> Tensor:
        """The last hidden representation, (B, rows, 7, 7); FedDecorr acts on it."""
        hidden: Tensor = self.body(self.pool(grams))
        return hidden

    def forward(self, grams: Sequence[Tensor], style: Tensor | None = None) -> Tensor:
        """Judge drawings.

        Args:
            grams: Gram matrices (B, C_l, C_l) of the four levels.
            style: (B, D) or (1, D), the signatures of the hands that they should be in. Without, or in the paper's
                Discriminator, whose hand it is does not matter.
        Returns:
            logits, (B, 1, 3, 3).
        """
        logits: Tensor = self.logit(self.hidden(grams))
        if self.hand is None or style is None:
            return logits
        scores: Tensor = self.hand(grams, style)
        return logits + scores[:, None, None, None]

    def shared(self) -> dict[str, Tensor]:
        """What a designer shares: weight and bias of every layer but BatchNorm, float32, detached.

        Decided by the modules' types, never by names. A weight is the effective one, divided by its spectral norm: only
        that matters to the layer's output, and in a mean of raw weights a designer whose norm is larger would weigh more.
        Spectral norm's vectors u and v stay at home like BatchNorm: a mean of u and -u is nothing, and they follow from
        the weights after some power iterations.

        Returns:
            name -> tensor, e.g. "body.0.weight" (c/2, c, 3, 3), in the modules' order.
        """
        training = self.training
        self.eval()  # else reading a weight would make a power iteration
        tensors = {
            f"{name}.{key}": value.detach().float().clone()
            for name, module, key in self._shared()
            if (value := getattr(module, key)) is not None
        }
        self.train(training)
        return tensors

    @torch.no_grad()
    def load_shared(self, tensors: Mapping[str, Tensor]) -> None:
        """Put an aggregate in, and bring spectral norm's vectors up to it. BatchNorm stays as it is.

        Args:
            tensors: exactly the names and shapes of ``shared``, any float dtype.
        Raises:
            ValueError: a name or shape is another, or a number is not finite; nothing is changed then.
        """
        own = self.shared()
        if set(tensors) != set(own):
            raise ValueError(f"not this Discriminator's tensors: {', '.join(sorted(set(tensors) ^ set(own)))}")
        for name, value in tensors.items():
            if value.shape != own[name].shape or not torch.isfinite(value).all():
                raise ValueError(f"{name} is not a finite tensor of shape {tuple(own[name].shape)}")
        training = self.training
        self.train()  # spectral norm's vectors only move in training mode
        for name, module, key in self._shared():
            if getattr(module, key) is None:
                continue
            if is_parametrized(module, key):
                parametrizations: Any = module.parametrizations
                parametrizations[key].original.copy_(tensors[f"{name}.{key}"])
                for _ in range(self.POWER_ITERATIONS):
                    getattr(module, key)
            else:
                getattr(module, key).copy_(tensors[f"{name}.{key}"])
        self.train(training)

    def _shared(self) -> list[tuple[str, nn.Module, str]]:
        return [
            (name, module, key)
            for name, module in self.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear)
            for key in ("weight", "bias")
        ]
