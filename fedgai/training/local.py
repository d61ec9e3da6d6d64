"""One designer's GAN, trained at home on their own pairs (FedGAI, arXiv 2503.12389, sec. 3; docs/method.md).

    photograph -> encoder -> Generator, in the designer's signature -> sketch -> encoder -> Gram matrices
                                                                                                 |
    real sketch -> encoder -> Gram matrices ----------------------------------------------> Discriminator

A Generator that starts from random weights learns by the paper's losses alone. One that was trained before, as the house's, also
learns to draw as the designer drew the very same garment; and in others' hands it is held to the house's drawings.

Nothing here leaves the machine. The output folder holds a FedGAI checkpoint, ``training.safetensors`` (all that a
resumed training needs, in one file, so there is never half of it) and ``log.jsonl``.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm.auto import tqdm

from fedgai import public_weights
from fedgai.data.pairs import PairFolder, training_side
from fedgai.environment import variable
from fedgai.model import CONFIG_FILE, FedGAI
from fedgai.networks.encoder import VGG16Encoder
from fedgai.networks.generator import Generator
from fedgai.networks.layers import channels_last
from fedgai.networks.style import Signature, image_statistics, style_distance
from fedgai.shipped import WEIGHTS
from fedgai.training import losses
from fedgai.training.adapting import OthersHands, likeness
from fedgai.training.measured_pairs import MeasuredPairs
from fedgai.training.optimisers import SGD, Adam
from fedgai.training.saved_training import (
    LOG_FILE,
    STATE_FILE,
    check_same,
    forget_lines_after,
    load_state,
    own_signature,
    read_state,
    state_tensors,
    write_checkpoint,
    write_state,
)
from fedgai.training.train_config import FREE, StepReport, TrainConfig, TrainError

log = logging.getLogger(__name__)

PAPER_ITERATIONS = 7000
WARM_UP = 5  # steps in which Adam's rate rises, until it knows how large gradients are


class LocalTrainer:
    """Trains a model's Generator and Discriminator on one designer's pairs; the encoder stays frozen.

    The same seed gives the same weights on one machine, and a training that was killed and resumed gives the weights of
    one that was not.

    Args:
        model: trained in place. Its bank gets the designer's signature.
        pairs: the designer's pairs.
        config: how to train.
        out: the folder to keep; made here.
        name: the designer's, in the style bank; the data folder's name by default.
        semantic: the semantic loss; by default the one that can be had (``losses.semantic_loss``).
        progress: show a bar while the pairs are measured.
        others: (K, 2 * sum C_l), signatures of other designers. Each step then also draws a part of its photograph in one of
            these hands, judged by the Discriminator (which, aggregated, has met that hand) and held to what the house draws.
        house: the Generator that the others' signatures belong to; by default the model's own as it is now.
    """

    def __init__(
        self,
        model: FedGAI,
        pairs: PairFolder,
        config: TrainConfig,
        out: str | Path,
        *,
        name: str | None = None,
        semantic: nn.Module | None = None,
        others: Tensor | None = None,
        house: Generator | None = None,
        progress: bool = False,
    ) -> None:
        self.model = channels_last(model)
        self.pairs, self.config, self.out = pairs, config, Path(out)
        self.device = next(model.parameters()).device
        self.semantic: Any = semantic or losses.semantic_loss(model)
        self.step_count = 0
        self.others = None if others is None or not len(others) else OthersHands(model, others, house, config)
        self.name = name or pairs.path.resolve().name
        self.measured = MeasuredPairs(model, pairs, self.semantic, config.cache_mb, progress)
        self.grams, self.pooled, self.style = self.measured.grams, self.measured.pooled, self.measured.style
        self.signature = own_signature(model, pairs, self.name, self.out)
        model.add_style(self.signature)
        self.optimisers: dict[str, Optimizer] = {
            part: SGD(getattr(model, part).parameters(), config.lr, config.momentum) for part in ("generator", "discriminator")
        }
        if config.trained_before:
            self.optimisers["generator"] = Adam(model.generator.adaptable(), config.generator_lr, betas=(0.9, 0.98))
        self._bf16 = config.bf16 and _has_bf16(self.device)
        if config.bf16 and not self._bf16:
            log.info("no bfloat16 on this machine: float32")
        train_mode(self.model, self.config.freeze_batchnorm)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self._rng = torch.get_rng_state()

    def take_style(self, signature: Signature) -> None:
        """From now on, learn with this signature; without its adapter, which belongs to the house's weights."""
        self.model.add_style(replace(signature, adapter=None))
        self.style = signature.style.to(self.device)

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.pairs) // self.config.batch)

    @property
    def steps(self) -> int:
        """In all."""
        if self.config.epochs is None:
            return PAPER_ITERATIONS
        return self.config.epochs * self.steps_per_epoch

    def run(
        self, until: int | None = None, *, on_step: Callable[[StepReport], None] | None = None, progress: bool = False
    ) -> None:
        """Train to step ``until`` (all steps by default), saving on the way.

        Args:
            until: the step to stop after.
            on_step: called after each step.
            progress: show a bar with the time that remains.
        Raises:
            TrainError: a loss is no longer finite; the last saving stays.
        """
        until = self.steps if until is None else min(until, self.steps)
        self.out.mkdir(parents=True, exist_ok=True)
        train_mode(self.model, self.config.freeze_batchnorm)
        if self.step_count == 0:
            forget_lines_after(self.out, 0)
        first, started = self.step_count, time.monotonic()
        bar = tqdm(total=self.steps, initial=first, unit="step", disable=not progress)
        # our own random numbers, so that the caller's are left alone and ours can be resumed
        with bar, torch.random.fork_rng(devices=[]), (self.out / LOG_FILE).open("a") as lines:
            torch.set_rng_state(self._rng)
            while self.step_count < until:
                epoch = self.step_count // self.steps_per_epoch
                values = self.step()
                pace = (time.monotonic() - started) / (self.step_count - first)
                report = StepReport(self.step_count, self.steps, epoch, values, pace * (self.steps - self.step_count))
                lines.write(json.dumps({"step": report.step, "epoch": epoch, **values}) + "\n")
                lines.flush()
                self._rng = torch.get_rng_state()
                if self.step_count % self.config.save_every == 0:
                    self.save()
                bar.update()
                bar.set_postfix(generator=values["generator"], discriminator=values["discriminator"], refresh=False)
                if on_step:
                    on_step(report)
        self.save()

    def step(self) -> dict[str, float]:
        """One step of both optimisers. Returns the losses by name. Raises TrainError where one is not finite."""
        model, config = self.model, self.config
        rows = self._rows(self.step_count, max(config.batch, config.decorr_rows))
        batch = rows[: config.batch]
        *target, colour = [torch.cat(part) for part in zip(*map(self.measured.target, batch), strict=True)]
        features = [torch.cat(level) for level in zip(*map(self.measured.photo_maps, batch), strict=True)]
        real = [g[batch] for g in self.grams]
        with self._autocast():
            sketch = model.generator(features, self.style)
            drawn = model.encoder(sketch)
            fake = model.grams(drawn)

        judge = model.discriminator
        d = {
            "hinge": losses.hinge_discriminator(judge(real), judge([g.detach() for g in fake])),
            "feddecorr": config.beta * losses.feddecorr_loss(judge.hidden([g[rows] for g in self.grams])),
        }
        d_sum = self._descend("discriminator", d)

        judge.requires_grad_(False)  # the gradient passes through it, but its own would be thrown away
        with self._autocast():
            g = {
                "adversarial": losses.hinge_generator(judge(fake)),
                "gram": losses.gram_loss(fake, real),
                "cosine": losses.cosine_loss(drawn[-1].float(), self.pooled[batch]),
                f"semantic_{self.semantic.name}": self.semantic(sketch, drawn, target),
            }
            g |= {name: further(sketch, colour) for name, further in losses.GENERATOR_LOSSES.items()}
            if config.trained_before:
                g["adversarial"] = config.adversarial * g["adversarial"]
                apart = style_distance(image_statistics(drawn), self.measured.statistics[batch], model.preset.channels)
                g |= likeness(sketch, colour, config) | {"manner": config.manner * apart.mean()}
            if self.others is not None:
                g |= self.others.losses(features, self.step_count)
        judge.requires_grad_(True)
        g_sum = self._descend("generator", g)
        self.step_count += 1
        return {name: loss.item() for name, loss in (d | g | {"discriminator": d_sum, "generator": g_sum}).items()}

    # -- on disk -------------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the resume state, then the checkpoint. Each file is written under another name and then renamed, so that it is
        whole even if the process is killed."""
        self.out.mkdir(parents=True, exist_ok=True)
        tensors = state_tensors(self.model, self.optimisers) | {"rng": self._rng}
        meta = {"step": self.step_count, "config": asdict(self.config), **_identity(self)}
        write_state(self.out, tensors, meta, self.signature)
        self.model.info["training"] = _about(self)
        write_checkpoint(self.out, self.model)

    def resume(self, *, may_change: Collection[str] = ()) -> None:
        """Go on exactly where the last saving in ``out`` left off.

        Args:
            may_change: "pairs" to go on with drawings that were added or taken away, "name" with another name; no longer
                exactly then, but from the same weights and optimisers.
        Raises:
            TrainError: the state cannot be read, or belongs to other pairs, another preset, config or semantic loss.
        """
        tensors, meta = read_state(self.out)
        now = _identity(self) | {k: v for k, v in asdict(self.config).items() if k not in FREE}
        check_same(self.out, meta, {k: v for k, v in now.items() if k not in may_change})
        self._rng = load_state(self.out, tensors, self.model, self.optimisers)
        self.step_count = meta["step"]
        forget_lines_after(self.out, self.step_count)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _rows(self, step: int, count: int) -> list[int]:
        """Pairs of a step, shuffled again each epoch; a function of seed and step, so there is nothing to resume."""
        epoch, position = divmod(step, self.steps_per_epoch)
        shuffle = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.pairs), generator=shuffle).tolist()
        start = position * self.config.batch
        return (order[start:] + order[:start])[:count]

    def _descend(self, part: str, parts: dict[str, Tensor]) -> Tensor:
        loss = _finite_sum(parts, part, self.step_count + 1)
        getattr(self.model, part).zero_grad()
        loss.backward()
        if part == "generator" and self.config.trained_before:
            nn.utils.clip_grad_norm_(self.model.generator.adaptable(), self.config.clip)
            self.optimisers[part].param_groups[0]["lr"] = _rate(self.optimisers[part], self.config)
        self.optimisers[part].step()
        return loss

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16)


def _identity(trainer: LocalTrainer) -> dict[str, str]:
    """What makes a training this one, beside its config."""
    return {
        "preset": trainer.model.preset.name,
        "encoder": trainer.model.encoder_sha256,
        "pairs": trainer.pairs.sha256,
        "name": trainer.name,
        "semantic": trainer.semantic.name,
    }


def _about(trainer: LocalTrainer) -> dict[str, Any]:
    """What a checkpoint's config.json says of the training."""
    return {
        "steps": trainer.step_count,
        "pairs": len(trainer.pairs),
        "seed": trainer.config.seed,
        "size": trainer.config.size,
        "semantic_loss": trainer.semantic.name,
        "losses": ["hinge", "feddecorr", "gram", "cosine", "semantic"],
    }


def _finite_sum(parts: dict[str, Tensor], part: str, step: int) -> Tensor:
    """Raises TrainError, naming each loss, where the sum is not finite."""
    loss = sum(parts.values(), torch.zeros(()))
    if not torch.isfinite(loss):
        values = ", ".join(f"{name} {value.item():.3g}" for name, value in parts.items())
        raise TrainError(
            f"step {step}: the {part}'s loss is not finite ({values}). The last saving is kept; train with a lower learning rate"
        )
    return loss


def _rate(adam: Optimizer, config: TrainConfig) -> float:
    """The rate now. Adam's own steps count: a private model that an earlier release trained by SGD starts from 0 with it."""
    taken = max((int(memory["step"]) for memory in adam.state.values() if memory), default=0)
    return config.generator_lr / (1 + taken / config.settled) * min(1.0, (taken + 1) / WARM_UP)


def train_mode(model: FedGAI, freeze_batchnorm: bool) -> None:
    """Into training mode, but for the Generator's BatchNorm where it is to stay as it is."""
    model.train()
    if freeze_batchnorm:
        for module in model.generator.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def train(
    data_dir: str | Path,
    out: str | Path,
    preset: str = "edge",
    *,
    epochs: int | None = None,
    resume: bool = False,
    seed: int | None = None,
    bf16: bool | None = None,
    name: str | None = None,
    config: TrainConfig | None = None,
    start: str | Path | None = WEIGHTS,
    skip_bad: bool = False,
    cut_out: bool = False,
    device: str = "cpu",
    progress: bool = True,
    on_step: Callable[[StepReport], None] | None = None,
) -> FedGAI:
    """Train one designer's GAN on a folder of pairs, from the built-in weights where the preset has some.

    Args:
        data_dir: ``photos/`` and ``sketches/`` with equal file names.
        out: folder for the checkpoint, the resume state and the log.
        preset: "edge" or "vgg16".
        epochs: passes over the pairs; without, the config's, which is by default the paper's 7,000 iterations.
        resume: go on in ``out``; starts from the beginning if nothing was saved there yet.
        seed: the same seed gives the same weights on one machine; without, the config's 24.
        bf16: compute in bfloat16 where the machine has it; without, the config's, which is not to.
        name: the designer's name in the style bank; the data folder's name by default.
        config: the other settings. Without, a Generator that was trained before learns at the size of the drawings
            (``training_side``), others at 256 px, as in the paper.
        start: checkpoint to start from, where it is of this preset; None or another preset: random weights, but for the
            encoder of ``vgg16``, which is VGG-16's, from the Hub (``public_weights``).
        skip_bad, cut_out: as in ``PairFolder``.
        device: where to train. Bit for bit repeatable on "cpu".
        progress: show a bar with the time that remains.
        on_step: called after each step.
    Returns:
        the trained model, in eval mode.
    Raises:
        PairsError: the pairs cannot be trained on; names every bad file.
        CheckpointError: ``start`` is damaged, or there is no such preset.
        TrainError: ``out`` holds something else, cannot be resumed, or a loss is not finite.
        WeightsError: VGG-16's or CLIP's weights cannot be loaded; says how to put them in place.
    """
    out, chosen = Path(out), config is not None
    config = config or TrainConfig()
    given: dict[str, Any] = {"epochs": epochs, "seed": seed, "bf16": bf16}
    config = replace(config, **{key: value for key, value in given.items() if value is not None})
    resume = resume and (out / STATE_FILE).exists()
    if not resume and any((out / file).exists() for file in (STATE_FILE, CONFIG_FILE)):
        raise TrainError(f"{out} already holds a model: resume its training (--resume), or train into another folder")
    then = read_state(out)[1] if resume else {}
    if then.get("preset", preset) != preset:  # before the other preset's weights are looked for
        raise TrainError(
            f"{out} was trained otherwise: preset ({then['preset']!r} then, {preset!r} now). Train into another "
            "folder, or give what was given then"
        )
    model, trained = _start(preset, config.seed, out if resume and (out / CONFIG_FILE).exists() else start)
    frozen = trained
    if resume:
        trained, frozen = (then["config"][setting] for setting in ("trained_before", "freeze_batchnorm"))
    config = replace(config, trained_before=trained, freeze_batchnorm=frozen)
    if not chosen and trained:
        config = replace(config, size=then["config"]["size"] if resume else training_side(data_dir))
    pairs = PairFolder(data_dir, config.size, skip_bad=skip_bad, cut_out=cut_out, draughtsman=model.draughtsman)
    kind = "pre-trained" if trained else "random"
    log.info("%s preset, %s weights, %d pairs, %d px", preset, kind, len(pairs), config.size)
    trainer = LocalTrainer(model.to(device), pairs, config, out, name=name, progress=progress)
    if resume:
        trainer.resume()
    trainer.run(on_step=on_step, progress=progress)
    return model.eval()


def _start(preset: str, seed: int, folder: str | Path | None) -> tuple[FedGAI, bool]:
    """The model to train, and whether it comes from a checkpoint (of this preset) or is random."""
    if folder is not None and _preset_of(Path(folder)) == preset:
        return FedGAI.load(folder), True
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FedGAI(preset)
    if preset == "vgg16":
        assert isinstance(model.encoder, VGG16Encoder)
        public_weights.load_vgg16(model.encoder, variable("FEDGAI_VGG16") or None)
    return model, False


def _preset_of(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / CONFIG_FILE).read_text())["preset"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
