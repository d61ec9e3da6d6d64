"""Judges whose hand a drawing is in: a projection on the signature (Miyato and Koyama, arXiv 1802.05637), on Gram features.

    signature --> code, (32,), fixed --------------+
                                                   +--> inner product: is this drawing in this hand?
    Gram matrices --> features, (545,) --> V ------+

V is all that is learned, and the score is linear in it. That is what makes it fit for federated averaging: the mean of the
designers' V scores a drawing exactly as the mean of their judges does. A learned network on either side does not have that
property; one was tried, and its average could not tell hands apart (docs/new-hands-tried.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedgai.networks.style import split

EPS = 1e-3


class HandJudge(nn.Module):
    """Scores drawings against signatures. V starts at zero: then every score is 0.

    Both sides are bounded, whatever comes in: the code's length by ``sqrt(2)``, each feature by ``MOST``. So a hostile
    signature can raise no score beyond what V allows.

    Args:
        channels: the encoder's widths, finest first.

    Attributes:
        style_mean, style_std: (D,), of round 0's signatures; D = 2 * sum C_l.
        gram_mean, gram_std: (544,), of the Gram features that these signatures predict.
        project: V, (32, 545), the one part that is trained and shared.
    """

    CODE = 32  # numbers of a code: 35 kB in float16, so that an update stays under 100 kB
    SIDE = 16  # a Gram matrix is pooled to (16, 16); it is symmetric, so 136 numbers of it are kept
    SPREAD = 2.0  # of the code: signatures as far apart as two ateliers then have codes that are nearly independent
    MOST = 6.0  # standard deviations: signatures are clipped there, and features never exceed it
    SCALE = 16.0  # of the features, so that V and its updates are no larger than the convolutions', as the server's bound expects
    SEED = 24
    style_mean: Tensor
    style_std: Tensor
    gram_mean: Tensor
    gram_std: Tensor
    directions: Tensor
    phases: Tensor

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(channels)
        numbers = 2 * sum(channels)
        self.rows, self.columns = np.triu_indices(self.SIDE)
        features = len(channels) * len(self.rows)
        self.project = nn.Linear(features + 1, self.CODE, bias=False)
        nn.init.zeros_(self.project.weight)
        self.register_buffer("style_mean", torch.zeros(numbers))
        self.register_buffer("style_std", torch.ones(numbers))
        self.register_buffer("gram_mean", torch.zeros(features))
        self.register_buffer("gram_std", torch.ones(features))
        # RandomState's numbers are the same in every release of numpy, so every machine has the same code
        random = np.random.RandomState(self.SEED)
        directions = random.standard_normal((numbers, self.CODE)) * self.SPREAD / math.sqrt(numbers)
        self.register_buffer("directions", torch.from_numpy(directions).float(), persistent=False)
        phases = 2 * math.pi * random.random_sample(self.CODE)
        self.register_buffer("phases", torch.from_numpy(phases).float(), persistent=False)
        self.register_load_state_dict_pre_hook(_keep_what_is_missing)  # type: ignore[no-untyped-call]  # torch does not type it

    @torch.no_grad()
    def settle(self, bank: Tensor) -> None:
        """Take the scale of signatures and of Gram features from round 0's signatures. Done once; V is not touched.

        A signature says its hand's Gram matrices but for the correlations between channels:
        C G_ij = m_i m_j, and + s_i^2 on the diagonal. That is enough to know how large a feature is and how much it varies.

        Args:
            bank: (N, D), N >= 1.
        """
        self.style_mean.copy_(bank.mean(0))
        self.style_std.copy_(bank.std(0, correction=0) + EPS)
        grams = []
        for (mean, deviation), c in zip(split(bank, self.channels), self.channels, strict=True):
            grams.append((mean[:, :, None] * mean[:, None] + torch.diag_embed(deviation.square())) / c)
        features = self._pooled(grams)
        spread = features.std(0, correction=0)
        self.gram_mean.copy_(features.mean(0))
        self.gram_std.copy_(spread + 0.05 * spread.mean() + 1e-8)

    def code(self, style: Tensor) -> Tensor:
        """Signatures (B, D) -> (B, 32), of length sqrt(2) at most: random Fourier features (Rahimi and Recht, 2007)."""
        return math.sqrt(2 / self.CODE) * torch.cos(self.normalised(style) @ self.directions + self.phases)

    def normalised(self, style: Tensor) -> Tensor:
        """(..., D), in standard deviations of round 0's signatures, clipped to ``MOST``."""
        return ((style - self.style_mean) / self.style_std).clamp(-self.MOST, self.MOST)

    def features(self, grams: Sequence[Tensor]) -> Tensor:
        """Gram matrices (B, C_l, C_l) of the four levels -> (B, 545): bounded, of length about 16, and a constant."""
        z = (self._pooled(grams) - self.gram_mean) / self.gram_std
        z = self.MOST * torch.tanh(z / self.MOST) / math.sqrt(z.shape[1])
        return self.SCALE * F.pad(z, (0, 1), value=0.3)

    def score(self, features: Tensor, code: Tensor) -> Tensor:
        """(B, 545), (B, 32) -> (B,): above 0 where the drawing looks like one in that hand."""
        scores: Tensor = (self.project(features) * code).sum(1)
        return scores

    def forward(self, grams: Sequence[Tensor], style: Tensor) -> Tensor:
        """Gram matrices (B, C_l, C_l) of the four levels, signatures (B, D) or (1, D) -> (B,)."""
        scores: Tensor = self.score(self.features(grams), self.code(style))
        return scores

    def _pooled(self, grams: Sequence[Tensor]) -> Tensor:
        pooled = [F.adaptive_avg_pool2d(gram[:, None].float(), self.SIDE)[:, 0, self.rows, self.columns] for gram in grams]
        return torch.cat(pooled, 1)


def _keep_what_is_missing(judge: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """A checkpoint from before there was a HandJudge has none of its tensors: those in place stay."""
    own = {prefix + name: value for name, value in judge.state_dict().items()}
    if not own.keys() & state.keys():
        state.update(own)
