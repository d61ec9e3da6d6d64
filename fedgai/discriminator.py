"""The Discriminator judges style, not pixels: it sees Gram matrices only (FedGAI sec. 3). It is all that a designer shares."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedgai.layers import conv


def gram_matrix(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, C) float32: the inner products of the channels, divided by C * H * W.

    PAPER's division by B * C * H * W with each image on its own (B = 1): a sketch's Gram matrix must not depend on
    which others share its batch.
    """
    flat = x.permute(0, 2, 3, 1).flatten(1, 2).float()  # (B, HW, C)
    return flat.transpose(1, 2) @ flat / (x.shape[1] * x.shape[2] * x.shape[3])


class Discriminator(nn.Module):
    """Gram matrices of the four levels, pooled to one stack of 14 x 14 maps, to a map of logits.

    Args:
        rows: how many maps a level is pooled to: 64 in the paper (0.37 M parameters), 16 at the edge.
    """

    SIDE = 14

    def __init__(self, rows: int = 64) -> None:
        super().__init__()
        self.rows = rows
        c = 4 * rows
        self.body = nn.Sequential(
            conv(c, c // 2, spectral=True), nn.BatchNorm2d(c // 2), nn.LeakyReLU(0.1),
            conv(c // 2, rows, spectral=True), nn.BatchNorm2d(rows), nn.LeakyReLU(0.1),
            nn.AvgPool2d(2),
        )  # fmt: skip
        self.logit = conv(rows, 1, 4, stride=2, padding=1, spectral=True)

    def pool(self, grams: Sequence[Tensor]) -> Tensor:
        """Gram matrices (B, C_l, C_l) of the four levels -> (B, 4 * rows, 14, 14)."""
        pooled = [F.adaptive_avg_pool2d(g[:, None], (self.rows, self.SIDE**2)) for g in grams]  # (B, 1, rows, 196)
        return torch.cat([p.reshape(-1, self.rows, self.SIDE, self.SIDE) for p in pooled], 1)

    def hidden(self, grams: Sequence[Tensor]) -> Tensor:
        """The last hidden representation, (B, rows, 7, 7); FedDecorr acts on it."""
        return self.body(self.pool(grams))

    def forward(self, grams: Sequence[Tensor]) -> Tensor:
        """Gram matrices (B, C_l, C_l) of the four levels -> logits (B, 1, 3, 3)."""
        return self.logit(self.hidden(grams))
