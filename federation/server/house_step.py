"""The house's part of a round: its Generator learns from the aggregate, on public photographs.

    aggregated Discriminator --- judges -----+
    style bank --- signatures and blends --> Generator --> drawings --- stay close to ---> round 0's drawings
    public photographs ----------------------+

There are no designers' drawings here. What designers have learned comes as their averaged Discriminator and, from those who
agreed, as a signature. Drawings in hands that round 0 knew must stay close to round 0's drawings. Drawings in a new hand may
move towards its signature, as far as the aggregated judge of hands says. The probe decides whether the studio may draw with the
round.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from federation.server.house_hands import Hands, margin
from federation.server.house_photographs import Page, Photographs
from federation.server.house_sheet import EXAMPLES
from federation.server.probe import Probe, verdict
from federation.server.report import HouseReport
from fedgai.errors import FedGAIError
from fedgai.measure import SIDE
from fedgai.model import FedGAI
from fedgai.networks.discriminator import Discriminator
from fedgai.networks.layers import channels_last
from fedgai.networks.style import image_statistics, style_distance
from fedgai.training.losses import chroma_loss, crispness_loss, hinge_generator, near_loss, pair_loss
from fedgai.training.optimisers import Adam

RECOGNISED = 0.005  # style distance by which a drawing should be nearer to its own hand than to the next one
PHOTOGRAPHS_KEPT = 64  # whose maps are kept from round to round, of 4.5 MB each at 224 px
LARGE_KEPT = 16  # the same of those for new hands, of 23 MB each at 512 px


@dataclass(frozen=True)
class HouseStepConfig:
    """The settings of a house step.

    Attributes:
        steps: optimiser steps.
        batch: drawings a step in hands that round 0 knew, and in blends.
        size: long side of these, px.
        lr: the highest learning rate (Adam), after five steps of warming up; it ends near 0.
        seconds: after this time, no further step begins, and the round is held back. It is a limit for faults only: 30 steps
            take far less, even on a busy machine. If it is reached, the weights depend on the machine.
        seed: of photographs, hands and blends; each round has its own, made from this and the round's number.
        blends: share of the drawings that are asked for in a blend of two signatures.
        photographs: at most so many of the folder's in a round, another choice each round.
        new_batch: further drawings a step in hands that are new, where there are any; 0 to let no new hand move the house.
        new_size: long side of these, px. As large as a hand is measured, for there a judge knows it.
        new_photographs: as ``photographs``, for them.
        adversarial, distance, anchor, crispness, chroma, lines, hand: weights of the losses, see ``HouseStep``.
        judged, new_distance, held, veil: weights of those that only new hands have.
        convinced: score of the judge of hands beyond which a drawing gains nothing.
    """

    steps: int = 30
    batch: int = 6
    size: int = 224
    lr: float = 4e-4
    seconds: float = 3600.0
    seed: int = 24
    blends: float = 0.25
    photographs: int = 24
    new_batch: int = 2
    new_size: int = SIDE
    new_photographs: int = 12
    adversarial: float = 0.05
    distance: float = 10.0
    anchor: float = 8.0
    crispness: float = 16.0
    chroma: float = 6.0
    lines: float = 0.3
    hand: float = 3.0
    judged: float = 0.25
    new_distance: float = 10.0
    held: float = 3.0
    veil: float = 4.0
    convinced: float = 0.5


def reason_to_hold_back(house: HouseReport, before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """Why a round is not published: its house step ended early, or its drawings broke a bound. "" if it may be published."""
    reasons = [verdict(before, after)]
    if house.steps < house.wanted:
        reasons.insert(0, f"the house learned {house.steps} of {house.wanted} steps, because {house.stopped}")
    return "; ".join(reason for reason in reasons if reason)


class HouseStep:
    """Trains the house Generator for a bounded number of steps, and measures it. One object serves all rounds.

    The encoder and the Discriminator are frozen, and so are the Generator's BatchNorm statistics, which come from
    thousands of drawings, and what reads the stroke code (``Generator.adaptable``). Each step draws a batch in hands that round 0
    knew and in blends, and a few drawings in hands that are new to it. With d the ``style_distance`` between a drawing and
    the signature asked for, and r round 0's own drawing of the same garment in the same signature,

        adversarial   minus the mean logit of the aggregated Discriminator, whatever the hand
        distance      max(0, d - d(r)): known hands need not fit a few photographs better than round 0 did
        anchor        ``pair_loss`` to r, in known hands and blends of them
        crispness     ``crispness_loss`` to r, in the same: without it a drawing grows greyer from round to round, for a
                      veil pleases the Discriminator more than the edge of a line
        hand          in known hands max(0, max(m(r), 0.005) - m), with m how much nearer a drawing is to its own hand than
                      to the nearest other one (``margin``): two hands that are alike would else grow together, since
                      neither their lines nor their own distances tell

    and in new hands

        judged        max(0, ``convinced`` - s), with s what the aggregated judge of hands gives the drawing under the
                      signature that it was asked for in: "is this in that designer's hand?" It moves strokes and not
                      colours: its gradient is the same for all three channels, else it finds coloured fringes. Not in a blend,
                      which is nobody's hand, nor where the signature was refined: there it took drawings farther from the
                      designer's own (docs/new-hands-tried.md)
        new_distance  d; nothing where the signature was refined: then it is what makes the house draw as the designer does, and
                      no longer the statistics of their drawings
        held          ``near_loss`` to r where the signature was refined: it was found with round 0, so r is how the designer's
                      machine saw it come out nearest to their own drawings
        veil          more grey than r has; less is welcome

    and in all hands

        chroma        ``chroma_loss`` to r
        lines         MSE to r of the encoder's two coarsest maps, each channel normalised: where things are, not how they
                      are drawn

    Args:
        photos: folder of the operator's public photographs; None for the shipped examples.
        config: see ``HouseStepConfig``.
        reference: round 0, which the anchor and the probe are held against. By default the first model that this object
            is given: after a restart that would be a later round, and many small changes could add up.
        examples: folder of the probe's garments.
    """

    def __init__(
        self,
        photos: str | Path | None = None,
        config: HouseStepConfig | None = None,
        reference: FedGAI | None = None,
        examples: str | Path = EXAMPLES,
    ) -> None:
        self.config = config or HouseStepConfig()
        folder = Path(photos) if photos else Path(examples)
        self.photographs = Photographs(folder, self.config.size, self.config.photographs, PHOTOGRAPHS_KEPT)
        self.large = Photographs(folder, self.config.new_size, self.config.new_photographs, LARGE_KEPT)
        self.examples = Path(examples)
        self._probe: Probe | None = None
        self._encoder = ""
        if reference is not None:
            self._hold_against(reference)

    def run(self, model: FedGAI, progress: Callable[[float], None] | None = None) -> HouseReport:
        """Train ``model.generator`` in place against ``model.discriminator`` and ``model.styles``.

        Same model, photographs and config: same weights, as long as ``seconds`` is not reached. The Discriminator's
        BatchNorm statistics are measured again; else it is left as it is. A loss that is not finite ends the step; what is
        left then is for the probe to judge.

        Args:
            model: with the aggregate loaded and the new signatures in its bank.
            progress: hears the share that is done.
        Raises:
            FedGAIError: no signature in the bank, no usable photograph, or another encoder than the reference's.
        """
        config, started = self.config, time.monotonic()
        if not model.styles:
            raise FedGAIError("the style bank is empty: there is no hand to draw in")
        reference = self._hold_against(model).reference
        rng = np.random.default_rng([config.seed, int(model.info.get("round", 0))])
        channels_last(model).eval()
        hands = Hands(list(model.styles.values()), list(reference.styles.values()))
        pages = self.photographs.pages(model, rng)
        large = self.large.pages(model, rng) if hands.new_names and config.new_batch else []
        model.discriminator.requires_grad_(False)
        try:
            with torch.no_grad():
                settle_batchnorm(model.discriminator, _grams(model, pages, hands))
            lesson = _Lesson(model, reference, hands, pages, large, config, rng)
            history, stopped = _descend(lesson, progress)
        finally:
            model.discriminator.requires_grad_(True)
            model.generator.zero_grad(set_to_none=True)
        last = history[-max(1, len(history) // 4) :]
        losses: dict[str, float] = {}
        for name in dict.fromkeys(name for step in last for name in step):
            losses[name] = float(np.mean([step[name] for step in last if name in step]))
        return HouseReport(
            len(history),
            round(time.monotonic() - started, 2),
            sum(len(page[0]) for page in pages),
            hands.new_names,
            losses,
            stopped,
            config.steps,
        )

    def probe(self, model: FedGAI) -> dict[str, float]:
        """Measure a model on the examples, in the hands of round 0 (``Probe.measure``)."""
        return self._hold_against(model).measure(model)

    def _hold_against(self, model: FedGAI) -> Probe:
        """The probe, with its reference ready for inference. If there is no reference yet, this model becomes it."""
        if self._probe is None:
            if not model.styles:
                raise FedGAIError("the style bank is empty: there is no hand to draw in")
            reference, self._encoder = model.for_inference(), model.encoder_sha256
            reference.styles = dict(model.styles)
            self._probe = Probe(reference, self.examples)
        if self._encoder != model.encoder_sha256:  # folding changed the reference's own
            raise FedGAIError("this model has another encoder than round 0: start a new federation folder for it")
        return self._probe


class _Batch(NamedTuple):
    """What is drawn at once.

    Attributes:
        features: the encoder's maps, of one size, (B, C_l, H / 2^l, W / 2^l).
        style: (B, D), signatures, and blends of two.
        blended: (B,) bool, which are blends. refined: (B,) bool, in which there is a refined signature.
    """

    features: list[Tensor]
    style: Tensor
    blended: Tensor
    refined: Tensor


class _Lesson:
    """One house step's work: what each optimiser step draws, and how it is judged."""

    def __init__(
        self,
        model: FedGAI,
        reference: FedGAI,
        hands: Hands,
        pages: list[Page],
        large: list[Page],
        config: HouseStepConfig,
        rng: np.random.Generator,
    ) -> None:
        self.model, self.reference, self.hands = model, reference, hands
        self.pages, self.large, self.config, self.rng = pages, large, config, rng
        self.channels = model.preset.channels

    def backward(self) -> dict[str, float]:
        """Draw, judge, and leave the gradient on the Generator. Returns each loss, unweighted, and "total"."""
        config, found = self.config, {"total": 0.0}
        parts = [self._known(self._batch(self.pages, config.batch, new=False))] if self.hands.known.any() else []
        if self.large:  # one by one: a batch at 512 px would take a gigabyte more
            parts += [self._new(self._batch(self.large, 1, new=True)) for _ in range(config.new_batch)]
        elif not parts:
            parts = [self._new(self._batch(self.pages, config.batch, new=True))]
        for losses, share in parts:
            total = share * sum((getattr(config, name) * loss for name, loss in losses.items()), torch.zeros(()))
            if total.requires_grad:
                total.backward()
            for name, loss in losses.items():
                found[name] = found.get(name, 0.0) + share * loss.item()
            found["total"] += total.item()
        return found

    def _batch(self, pages: list[Page], count: int, *, new: bool) -> _Batch:
        """Work of one kind of hands."""
        rng, hands = self.rng, self.hands
        counts = np.array([len(page[0]) for page in pages])
        page = pages[rng.choice(len(pages), p=counts / counts.sum())]
        which = torch.from_numpy(rng.integers(len(page[0]), size=count))
        a = hands.choose(rng, count, new=new)
        b = rng.integers(len(hands.styles), size=count) if new else hands.choose(rng, count, new=False)
        blended = rng.random(count) < self.config.blends
        weight = torch.from_numpy(np.where(blended, rng.random(count), 0)).float()[:, None]
        style = hands.styles[a] * (1 - weight) + hands.styles[b] * weight
        features = [level[which].contiguous(memory_format=torch.channels_last) for level in page]
        refined = hands.refined[a] | (hands.refined[b] & torch.from_numpy(blended))
        return _Batch(features, style, torch.from_numpy(blended), refined)

    def _known(self, batch: _Batch) -> tuple[dict[str, Tensor], float]:
        """A batch in hands that round 0 knew, or in blends of them -> scalars by the config's names, and their share."""
        features, style, bank = batch.features, batch.style, self.hands.styles[self.hands.known]
        with torch.no_grad():
            target = self.reference.generator(features, style)
            reference_maps = self.reference.encoder(target)
            was = image_statistics(reference_maps)
            allowed = style_distance(was, style, self.channels)
            wanted = margin(was, style, bank, self.channels).clamp(min=RECOGNISED)
        logits = self.model.generator(features, style, logits=True)
        sketch = torch.tanh(logits)
        drawn = self.model.encoder(sketch)
        statistics = image_statistics(drawn)
        single = wanted.isfinite()
        confused = F.relu(wanted[single] - margin(statistics[single], style[single], bank, self.channels))
        return {
            "adversarial": hinge_generator(self.model.discriminator(self.model.grams(drawn))),
            "distance": F.relu(style_distance(statistics, style, self.channels) - allowed).mean(),
            "anchor": pair_loss(logits, target),
            "crispness": crispness_loss(sketch, target),
            "chroma": chroma_loss(sketch, target),
            "lines": _lines(drawn, reference_maps),
            "hand": confused.mean() if single.any() else logits.sum() * 0,
        }, 1.0

    def _new(self, batch: _Batch) -> tuple[dict[str, Tensor], float]:
        """Drawings in new hands, or in blends with them -> scalars by the config's names, and their share."""
        features, style, blended = batch.features, batch.style, batch.blended
        judge = self.model.discriminator
        with torch.no_grad():
            target = self.reference.generator(features, style)
            reference_maps = self.reference.encoder(target)
        sketch = self.model.generator(features, style)
        drawn = self.model.encoder(sketch)
        grams = self.model.grams(drawn)
        losses = {
            "adversarial": hinge_generator(judge(grams)),
            "new_distance": (style_distance(image_statistics(drawn), style, self.channels) * ~batch.refined).mean(),
            "chroma": chroma_loss(sketch, target),
            "lines": _lines(drawn, reference_maps),
            "veil": F.relu(_grey(sketch) - _grey(target)).mean(),
        }
        if batch.refined.any():
            losses["held"] = near_loss(sketch[batch.refined], target[batch.refined])
        judged = ~(blended | batch.refined)
        if judge.hand is not None and judged.any():
            doubt = F.relu(self.config.convinced - judge.hand(grams, style))[judged].sum() / len(judged)
            losses["judged"] = _without_colour(doubt, sketch)
        return losses, 1 / len(style) / max(1, self.config.new_batch) if self.large else 1.0


def _descend(lesson: _Lesson, progress: Callable[[float], None] | None) -> tuple[list[dict[str, float]], str]:
    """All steps. Returns each step's losses, and why it ended early, "" if it did not."""
    config = lesson.config
    history: list[dict[str, float]] = []
    trained = lesson.model.generator.adaptable()
    optimiser = Adam(trained, config.lr, betas=(0.9, 0.98))
    begun = time.monotonic()  # only now: cutting out and settling are not counted against the steps
    for step in range(config.steps):
        if time.monotonic() - begun > config.seconds:
            return history, f"its {config.seconds:g} seconds were over"
        optimiser.param_groups[0]["lr"] = config.lr * _schedule(step, config.steps)
        optimiser.zero_grad(set_to_none=True)
        losses = lesson.backward()
        size = nn.utils.clip_grad_norm_(trained, 1.0)
        if not (math.isfinite(losses.pop("total")) and torch.isfinite(size)):
            return history, f"a loss was no longer finite at step {step + 1}"
        optimiser.step()
        history.append(losses)
        if progress:
            progress((step + 1) / config.steps)
    return history, ""


def _lines(drawn: Sequence[Tensor], reference_maps: Sequence[Tensor]) -> Tensor:
    pairs = zip(drawn[2:], reference_maps[2:], strict=True)
    return torch.stack([F.mse_loss(F.instance_norm(a), F.instance_norm(b)) for a, b in pairs]).sum()


def _grey(sketch: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> (B,), the mean of what is neither ink nor paper."""
    return (1 - sketch.square()).mean((1, 2, 3))


def _without_colour(loss: Tensor, sketch: Tensor) -> Tensor:
    """The same value, with the same gradient on each of the sketch's three channels: their mean."""
    if not loss.requires_grad:
        return loss
    (gradient,) = torch.autograd.grad(loss, sketch, retain_graph=True)
    moved = (sketch * gradient.mean(1, keepdim=True)).sum()
    return moved - moved.detach() + loss.detach()


def settle_batchnorm(discriminator: Discriminator, grams: Sequence[Tensor]) -> None:
    """Measure the running BatchNorm statistics again, on one batch.

    BatchNorm tensors are never shared, for they tell of a designer's own drawings; so an aggregate comes without any, and
    the statistics in place are those of another Discriminator's activations. Left alone they would shift and scale every
    logit. Only they change: BatchNorm's own scale and bias stay the house's, and no power iteration is made.

    Args:
        grams: Gram matrices of drawings, (B, C_l, C_l) of each level, B >= 2; they should be of many hands.
    """
    discriminator.eval()
    norms = [m for m in discriminator.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    try:
        with torch.no_grad():
            discriminator(grams)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval().momentum = momentum


def _grams(model: FedGAI, pages: list[Page], hands: Hands, garments: int = 4) -> list[Tensor]:
    """Gram matrices of a few garments of the largest group in every hand of the bank: (B, C_l, C_l) of each level."""
    group = max(pages, key=lambda page: len(page[0]))
    parts = []
    for style in hands.styles:
        features = [level[:garments] for level in group]
        parts.append(model.grams(model.encoder(model.generator(features, style[None]))))
    return [torch.cat(level) for level in zip(*parts, strict=True)]


def _schedule(step: int, steps: int) -> float:
    """Five steps of warming up, then a half cosine to a fiftieth."""
    return min(1.0, (step + 1) / 5) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))
