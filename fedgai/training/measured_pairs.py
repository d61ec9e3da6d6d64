"""What never changes about a designer's pairs while a GAN is trained on them, measured once or kept as far as there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from tqdm.auto import tqdm

from fedgai.data.pairs import PairFolder
from fedgai.model import FedGAI
from fedgai.networks.style import StreamingStatistics, image_statistics

Tensors = TypeVar("Tensors", bound=Sequence[Tensor])


class MeasuredPairs:
    """Pairs with what the frozen encoder says of them.

    Args:
        model: whose encoder measures.
        pairs: the designer's.
        semantic: the semantic loss, which says what it aims at.
        cache_mb: memory for ``target`` and ``photo_maps``; beyond it they are computed again.
        progress: show a bar.

    Attributes:
        grams: of the sketches, (N, C_l, C_l) of each level: 87 kB a sketch in the edge preset, 1.4 MB with VGG-16.
        pooled: the sketches' last maps, pooled, (N, C_4).
        statistics: of each sketch, (N, D).
        style: (1, D), the statistics of the very squares that the Generator is trained on, so that a square is asked for what
            it can reach: a pen's width counts in pixels, and a square is a drawing made smaller. It never leaves the machine.
    """

    def __init__(self, model: FedGAI, pairs: PairFolder, semantic: Any, cache_mb: int, progress: bool) -> None:
        self.model, self.pairs, self.semantic = model, pairs, semantic
        self.device = next(model.parameters()).device
        self._targets: dict[int, tuple[Tensor, ...]] = {}  # of the semantic loss, by pair
        self._features: dict[int, list[Tensor]] = {}  # the photograph's maps, (1, C_l, S / 2^l, S / 2^l), by pair
        self._room = cache_mb * 2**20  # bytes
        self._measure(progress)

    @torch.no_grad()
    def _measure(self, progress: bool) -> None:
        statistics, grams, pooled, rows = StreamingStatistics(), [], [], []
        for i in tqdm(range(len(self.pairs)), "measuring", unit="pair", disable=not progress, leave=False):
            sketch = self.pairs[i][1][None].to(self.device)  # (1, 3, S, S)
            maps = self.model.encoder(sketch)
            statistics.update(maps)
            grams.append(self.model.grams(maps))
            pooled.append(maps[-1].mean((2, 3)))
            rows.append(image_statistics(maps))
        self.grams = [torch.cat(level) for level in zip(*grams, strict=True)]
        self.pooled, self.statistics = torch.cat(pooled), torch.cat(rows)
        self.style = statistics.style()[None].to(self.device)

    @torch.no_grad()  # not inference mode: the Generator's gradient is computed from these
    def photo_maps(self, i: int) -> list[Tensor]:
        """The encoder's maps of a photograph, (1, C_l, S / 2^l, S / 2^l)."""
        if i in self._features:
            return self._features[i]
        maps: list[Tensor] = self.model.encoder(self.pairs[i][0][None].to(self.device))
        # not into the room that the other pairs' targets will need: those are smaller and cost more to compute again
        a_target = sum(map(_bytes, self._targets.values())) // max(len(self._targets), 1)
        self._keep(self._features, i, maps, self._room - a_target * (len(self.pairs) - len(self._targets)))
        return maps

    @torch.no_grad()
    def target(self, i: int) -> tuple[Tensor, ...]:
        """The semantic loss's, then the picture whose colours count, (1, 3, S, S)."""
        if i in self._targets:
            return self._targets[i]
        photo, sketch = (picture[None].to(self.device) for picture in self.pairs[i])
        target = (*self.semantic.target(photo, sketch), sketch)
        self._keep(self._targets, i, target, self._room)
        return target

    def _keep(self, kept: dict[int, Tensors], i: int, tensors: Tensors, room: float) -> None:
        if _bytes(tensors) <= room:
            kept[i] = tensors
            self._room -= _bytes(tensors)


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(t.nbytes for t in tensors)
