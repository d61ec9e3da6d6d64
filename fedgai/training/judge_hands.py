"""A designer teaches the judge of hands their own hand, at home (``fedgai.networks.hand_judge``).

    real   own drawings, under the own signature
    fake   the house's drawings in the own signature
           own drawings, under another designer's signature
           the house's drawings in another designer's signature, under the own one

All of it is measured once, and then only V is trained: a convex problem, solved in seconds. V's update says how this hand
differs from the house's drawings of it and from the other hands, as one mean over the set; it also says the signature, so
who does not share the signature does not train V.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from fedgai.content import SIZES
from fedgai.files import write_atomically
from fedgai.measure import SIDE, padded, read_drawing
from fedgai.model import FedGAI
from fedgai.networks.hand_judge import HandJudge
from fedgai.pipeline import SketchPipeline
from fedgai.training.optimisers import SGD

SAME = 0.2  # deviations of round 0's signatures, root mean square: two that are nearer are one hand


@dataclass(frozen=True)
class JudgeConfig:
    """How V is trained at home in a round.

    Attributes:
        steps, rate, momentum: of SGD.
        batch: of each of the four kinds.
        drawings: most of the designer's own that are used.
        own_fakes, other_fakes: drawings of the house in the own and in others' signatures.
        own, mismatched, others: how much each kind of fake counts.
        seed: of every choice.
    """

    steps: int = 60
    rate: float = 0.3 / 256  # of features of length 16
    momentum: float = 0.9
    batch: int = 24
    drawings: int = 48
    own_fakes: int = 12
    other_fakes: int = 16
    own: float = 0.5
    mismatched: float = 0.25
    others: float = 0.25
    seed: int = 24


@dataclass(frozen=True)
class Evidence:
    """What V is trained on: ``HandJudge.features`` and ``HandJudge.code``, detached.

    Attributes:
        real: own drawings, (N, 545). fake: the house's in the own signature, (M, 545).
        others: the house's in others' signatures, (K, 545), each under ``own_code``.
        own_code: (1, 32). other_codes: (L, 32), of the other designers; K and L may be 0.
    """

    real: Tensor
    fake: Tensor
    others: Tensor
    own_code: Tensor
    other_codes: Tensor

    def save(self, file: Path, made_from: str) -> None:
        """Keep it, whole at any moment, with what it was ``made_from``. It never leaves this machine."""
        tensors = {f.name: getattr(self, f.name).contiguous() for f in fields(self)}
        write_atomically(file, save(tensors, {"made_from": made_from}))

    @classmethod
    def load(cls, file: Path, made_from: str) -> Evidence | None:
        """What was kept. Returns None if it is not there, damaged, or made from something else."""
        try:
            with safe_open(str(file), "pt") as kept:
                if (kept.metadata() or {}).get("made_from") != made_from:
                    return None
                return cls(**{f.name: kept.get_tensor(f.name) for f in fields(cls)})
        except (OSError, SafetensorError):
            return None


@torch.no_grad()
def gather(
    house: FedGAI,
    judge: HandJudge,
    pairs: Sequence[tuple[Path, Path]],
    style: Tensor,
    others: Tensor | None = None,
    config: JudgeConfig = JudgeConfig(),
    progress: Callable[[float], None] | None = None,
) -> Evidence:
    """Measure own drawings, and let the house draw the same garments.

    Every drawing is as large as the studio draws, 512 px, and framed as its photograph is: a judge that met whole pages on
    one side and squares on the other would judge the paper.

    Args:
        house: the house's model, as this machine has it.
        judge: whose features and codes to take.
        pairs: (photograph, drawing) files, at least one.
        style: (D,), the signature that the designer shares.
        others: (L, D), the others' signatures. One that is nearly the same as the own is left out: the bank
            may hold the own signature of an earlier round, under an approved name.
        progress: hears the share that is done.
    Raises:
        ImageError: a file that cannot be read.
    """
    rng, own_code = np.random.default_rng(config.seed), judge.code(style[None])
    chosen = [pairs[i] for i in rng.permutation(len(pairs))[: config.drawings]]
    pipe, bank = SketchPipeline(house), style.new_empty(0, len(style)) if others is None else others
    bank = bank[(judge.normalised(bank) - judge.normalised(style)).square().mean(1).sqrt() > SAME]
    real, fake, foreign = [], [], []
    for i, (photo, drawing) in enumerate(chosen):
        sketch = read_drawing(drawing)
        size = min(SIDE, max(SIZES[0], max(sketch.size)))
        own = np.asarray(_fit(sketch, size))
        real.append(judge.features(house.grams(house.encoder(padded(own)[None]))))
        if i < max(config.own_fakes, config.other_fakes):
            features = pipe.prepare(photo, size, on_missing="keep", side=size).features
            if i < config.own_fakes:
                fake.append(_drawn(house, judge, features, style))
            if i < config.other_fakes and len(bank):
                foreign.append(_drawn(house, judge, features, bank[int(rng.integers(len(bank)))]))
        if progress:
            progress((i + 1) / len(chosen))
    return Evidence(
        torch.cat(real),
        torch.cat(fake),
        torch.cat(foreign) if foreign else real[0][:0],
        own_code,
        judge.code(bank),
    )


def train_hand_judge(judge: HandJudge, evidence: Evidence, config: JudgeConfig = JudgeConfig()) -> float:
    """Train V in place. The hinge loss of a Discriminator (``losses.hinge_discriminator``), over all kinds of evidence.

    Returns:
        the loss of the last step; 2 where the judge knows nothing.
    Raises:
        FloatingPointError: the loss is not finite.
    """
    e, rng = evidence, np.random.default_rng(config.seed)
    weight = judge.project.weight.detach().clone().requires_grad_(True)
    optimiser = SGD([weight], config.rate, config.momentum)
    loss = torch.tensor(math.inf)
    for _ in range(config.steps):
        real = F.linear(_some(e.real, config.batch, rng), weight)  # (B, 32)
        fakes = [(config.own, _score(F.linear(_some(e.fake, config.batch, rng), weight), e.own_code))]
        if len(e.other_codes):
            other_codes = _some(e.other_codes, config.batch, rng)
            fakes.append((config.mismatched, _score(F.linear(_some(e.real, config.batch, rng), weight), other_codes)))
        if len(e.others):
            fakes.append((config.others, _score(F.linear(_some(e.others, config.batch, rng), weight), e.own_code)))
        total = sum(share for share, _ in fakes)
        loss = F.relu(1 - _score(real, e.own_code)).mean()
        loss = loss + sum(share * F.relu(1 + score).mean() for share, score in fakes) / total
        if not torch.isfinite(loss):
            raise FloatingPointError("the judge of hands has a loss that is not finite")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        judge.project.weight.copy_(weight)
    return loss.item()


def _drawn(house: FedGAI, judge: HandJudge, features: Sequence[Tensor], style: Tensor) -> Tensor:
    return judge.features(house.grams(house.encoder(house.generator(features, style[None]))))


def _some(rows: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    return rows[torch.from_numpy(rng.integers(len(rows), size=count))]


def _score(projected: Tensor, code: Tensor) -> Tensor:
    return (projected * code).sum(1)


def _fit(sketch: Image.Image, size: int) -> Image.Image:
    scale = size / max(sketch.size)
    width, height = (max(1, round(side * scale)) for side in sketch.size)
    return sketch.resize((width, height), Image.Resampling.LANCZOS)
