"""What never changes about a designer's pairs while a GAN is trained on them, measured once or kept as far as there is room."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from fedgai.data.pairs import PairFolder
from fedgai.model import FedGAI
from fedgai.networks.hatching import aligned_origin, same_hatching, stroke_code
from fedgai.networks.style import StreamingStatistics, image_statistics
from fedgai.vision.images import to_image
from fedgai.vision.ruled_lines import ruled_lines

Tensors = TypeVar("Tensors", bound=Sequence[Tensor])
LOOKED_AT = 24  # drawings, at most, for whether a hand rules lines


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

    def lattice(self, read: Tensor) -> tuple[Tensor, Tensor] | None:
        """The stroke lattice whose lines lie on the sketches' own hatching.

        Args:
            read: (3,), the stroke code that a Generator reads from the signature (``fedgai.networks.hatching``).
        Returns:
            the stroke code of the sketches' hatching, the same for each sketch, (N, 3), and where its lattice begins, (N, 2)
            integer pixels (row, column). None where the sketches show no hatching, or the Generator reads another one.
        """
        if self._code is None or not same_hatching(read.cpu(), self._code):
            return None
        inks = ((1 - self.pairs.sketch(i).mean(0).numpy()) / 2 for i in range(len(self.pairs)))
        origins = torch.stack([aligned_origin(self._code, ink) for ink in inks])
        return self._code.expand(len(origins), -1).to(self.device), origins.to(self.device)

    @cached_property
    def _code(self) -> Tensor | None:
        """(3,), of the hatching that the sketches show."""
        some = np.linspace(0, len(self.pairs) - 1, min(len(self.pairs), LOOKED_AT)).astype(int).tolist()
        lines = ruled_lines([np.asarray(to_image(self.pairs.sketch(i))) for i in some])
        return None if lines is None else stroke_code(lines.angle, lines.period)

    def _keep(self, kept: dict[int, Tensors], i: int, tensors: Tensors, room: float) -> None:
        if _bytes(tensors) <= room:
            kept[i] = tensors
            self._room -= _bytes(tensors)


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(t.nbytes for t in tensors)
