"""The public photographs that a house step draws, cut out once and kept from round to round."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedgai.data.listing import find_images
from fedgai.errors import FedGAIError
from fedgai.model import FedGAI
from fedgai.pipeline import SketchPipeline
from fedgai.vision.cutout import NoGarment
from fedgai.vision.images import ImageError

Page = list[Tensor]  # the encoder's maps of photographs of one size, (N, C_l, H / 2^l, W / 2^l) each


class Photographs:
    """A folder of the operator's photographs, as maps of the frozen encoder.

    Args:
        folder: searched for pictures.
        size: long side of a drawing, px.
        count: photographs in a round, at most; each round chooses others.
        kept: photographs whose maps stay in memory, at most.
    """

    def __init__(self, folder: Path, size: int, count: int, kept: int) -> None:
        self.folder, self.size, self.count, self.kept = folder, size, count, kept
        self._maps: OrderedDict[tuple[Path, int], tuple[Tensor, ...] | None] = OrderedDict()

    def pages(self, model: FedGAI, rng: np.random.Generator) -> list[Page]:
        """The round's photographs, cut out: for each size the encoder's maps, (N, C_l, H / 2^l, W / 2^l) each."""
        pipe, files = SketchPipeline(model), find_images(self.folder)
        by_shape: dict[tuple[int, ...], list[tuple[Tensor, ...]]] = {}
        found = 0
        # at most twice as many are tried: a folder with few garments then takes at most twice the time
        for i in rng.permutation(len(files))[: 2 * self.count]:
            features = self._features(pipe, files[i])
            if features is None:
                continue
            by_shape.setdefault(tuple(features[0].shape), []).append(features)
            found += 1
            if found == self.count:
                break
        if not found:
            raise FedGAIError(f"{self.folder} holds no photograph with a garment that can be cut out")
        # inference tensors cannot be trained with: torch.cat outside inference mode makes ordinary ones
        return [[torch.cat(level) for level in zip(*group, strict=True)] for _, group in sorted(by_shape.items())]

    def _features(self, pipe: SketchPipeline, file: Path) -> tuple[Tensor, ...] | None:
        """A photograph's maps, cut out once and kept for later rounds, since the encoder is frozen. None without a garment."""
        key = file, file.stat().st_mtime_ns
        if key not in self._maps:
            try:
                self._maps[key] = pipe.prepare(file, self.size, side=self.size).features
            except (ImageError, NoGarment):
                self._maps[key] = None
            while len(self._maps) > self.kept:
                self._maps.popitem(last=False)
        self._maps.move_to_end(key)
        return self._maps[key]
