"""How a designer's GAN is trained, and what it reports while it trains."""

from __future__ import annotations

from dataclasses import dataclass

from fedgai.errors import FedGAIError


class TrainError(FedGAIError):
    """A training that cannot start, go on or be resumed. The message says why and what to do."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The paper leaves learning rate, batch size and beta unstated; they are from the authors' code.

    Attributes:
        epochs: passes over the pairs; None for as many as make the 7,000 iterations of local pre-training (paper).
        size: side of the training square, px (paper: 256).
        batch: pairs a step (authors' code: 1).
        lr, momentum: of SGD, the same for both networks (authors' code: 2e-4, 0.9).
        beta: weight of FedDecorr (authors' code: 0.1).
        decorr_rows: sketches that FedDecorr looks at in a step. Ours: on the GAN's batch of one it would be 0 by
            construction, as it is in the authors' code. The real sketches' Gram matrices never change and are at hand,
            so that many go through the Discriminator's current weights: a true batch, no queue of stale rows.
        seed: of the initial weights and the order of the pairs (authors' code: 24).
        trained_before: the Generator was trained before, as the house's was. It then learns by Adam, its gradient is cut, and
            more losses apply, with the settings from ``clip`` to ``chroma``. Otherwise it learns as in the paper: SGD, and the
            paper's losses alone.
        freeze_batchnorm: keep the Generator's BatchNorm statistics as they are (its weights and biases still train), and nothing
            else. For a Generator that was trained before, too: at batch 1 the statistics are those of one drawing, so training
            mode would normalise every photograph by itself, which these weights were not trained with, and would overwrite the
            running statistics of thousands of drawings with those of the last ten. Without earlier training there is
            nothing to keep, and BatchNorm learns as in the paper.
        save_every: steps between two savings; also saved after the last step.
        cache_mb: memory for what never changes about the pairs: what the semantic loss aims at, and, as far as there is room,
            the encoder's maps of the photographs. Beyond it they are computed again.
        bf16: compute in bfloat16 where the processor or the GPU has it, in float32 where not. Off, because the weights then
            depend on the machine.
        clip: the L2 norm that the gradient of a Generator that was trained before is cut to. At batch 1 it is large and random.
        generator_lr, settled: how such a Generator learns: Adam's rate, and after how many steps it is half of that; it falls as
            1 / (1 + steps / settled). With the paper's SGD and losses a round took such a Generator away from its own hand; with
            these settings and the next ones it comes nearer (docs/new-hands.md).
        adversarial: weight of the adversarial loss for such a Generator, as in ``pretrain``. It is 1 in the paper and on random
            weights.
        near, manner, crispness, chroma: weights of what such a Generator learns besides: see ``adapting.likeness``; ``manner`` is
            the ``style_distance`` to the statistics of the very drawing.
        fusion: weight of the same losses where a drawing in another designer's hand is held to the house's. Ours: the paper
            leaves fusion to the aggregated Discriminator alone. Only where the trainer is given ``others``.
    """

    epochs: int | None = None
    size: int = 256
    batch: int = 1
    lr: float = 2e-4
    momentum: float = 0.9
    beta: float = 0.1
    decorr_rows: int = 16
    seed: int = 24
    trained_before: bool = False
    freeze_batchnorm: bool = False
    save_every: int = 200
    cache_mb: int = 1024
    bf16: bool = False
    clip: float = 1.0
    generator_lr: float = 4e-4
    settled: int = 200
    adversarial: float = 0.05
    near: float = 3.0
    manner: float = 1.0
    crispness: float = 4.0
    chroma: float = 6.0
    fusion: float = 1.0


# settings that a resumed training may change without becoming another training
FREE = ("epochs", "save_every", "cache_mb", "fusion", "chroma")


@dataclass(frozen=True)
class StepReport:
    """What ``on_step`` hears after each step.

    Attributes:
        step, steps: steps done, and to do in all.
        epoch: of this step, from 0.
        losses: name -> value; "discriminator" and "generator" are the sums that were minimised.
        remaining: estimate of the seconds left.
    """

    step: int
    steps: int
    epoch: int
    losses: dict[str, float]
    remaining: float
