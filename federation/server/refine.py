"""The house's part of a round: its Generator learns from the aggregate, on public photographs, and is measured.

    aggregated Discriminator --- judges -----+
    style bank --- signatures and blends --> Generator --> drawings --- stay close to ---> round 0's drawings
    public photographs ----------------------+

Nobody's drawings are here: what the designers know arrives as the Discriminator that they share and, from those who
agreed, as a signature. So there are three wishes: please the Discriminator, reach the signature that was asked for, and
keep the lines where round 0's Generator drew them. Hands that round 0 knew are held to its very drawings; only a hand
that is new is free to move towards its signature. The probe says whether a round may be drawn with.
"""

from __future__ import annotations

import io
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn
from torch.nn import functional as F

from fedgai import shipped
from fedgai.data.listing import find_images
from fedgai.evaluation.metrics import boundary_fscore, luminance, mid_grey_share
from fedgai.model import FedGAI
from fedgai.networks.discriminator import Discriminator
from fedgai.networks.generator import Generator
from fedgai.networks.layers import channels_last
from fedgai.networks.style import Signature, blend, image_statistics, style_distance
from fedgai.pipeline import Content, SketchPipeline
from fedgai.training.losses import chroma_loss, hinge_generator
from fedgai.training.pretrain import crispness_loss, pair_loss
from fedgai.vision.cutout import NoGarment
from fedgai.vision.images import ImageError, to_tensor

# a Flower app runs from a folder of its own, where only code is: the host says where the project's garments are
EXAMPLES = Path(os.environ.get("FEDGAI_EXAMPLES") or shipped.EXAMPLES)
PROBE_SIZE = 256  # px, long side; boundary_fscore's tolerance is meant for it
PROBE_GARMENTS, PROBE_HANDS = 8, 8  # at most
PROBE_BLENDS, BLEND_STEPS = 4, 4  # garments on which blends are drawn, steps from one hand to the next
DISTANCE_GARMENTS = 4  # that a designer's style distance is a mean over
SHEET_WIDTH, SHEET_ROWS, SHEET_HANDS = 900, 3, 8
RECOGNISED = 0.005  # style distance by which a drawing should be nearer to its own hand than to the next one
KEPT = 64  # photographs whose maps are kept from round to round
WORST = 1e6  # stands for a figure that is not finite: a report is JSON, which has no NaN


@dataclass(frozen=True)
class HouseStepConfig:
    """All that decides what a house step does, besides the model and the photographs.

    Attributes:
        steps: optimiser steps.
        batch: drawings a step.
        size: long side of a drawing, px.
        lr: the highest learning rate (Adam), after five steps of warming up; it ends near 0.
        seconds: no step is begun so many seconds after the first. Only to stop a runaway, so it is far more than 30 steps take
            on a busy machine: where it strikes, the weights depend on the machine, and the round's report says so.
        seed: of photographs, hands and blends; each round has its own, made from this and the round's number.
        blends: share of the drawings that are asked for in a blend of two signatures.
        photographs: at most so many of the folder's in a round, another choice each round.
        adversarial, distance, anchor, crispness, chroma, lines, hand: weights of the losses, see ``HouseStep``.
    """

    steps: int = 30
    batch: int = 6
    size: int = 224
    lr: float = 2e-4
    seconds: float = 3600.0
    seed: int = 24
    blends: float = 0.25
    photographs: int = 24
    adversarial: float = 0.05
    distance: float = 10.0
    anchor: float = 8.0
    crispness: float = 4.0
    chroma: float = 6.0
    lines: float = 0.3
    hand: float = 3.0


@dataclass(frozen=True)
class HouseReport:
    """What a house step did.

    Attributes:
        steps, wanted: optimiser steps that were done, and that should have been.
        seconds: how long they took with everything around them.
        photographs: that were drawn.
        new_hands: names in the bank whose signature round 0 did not know.
        losses: name -> mean over the last quarter of the steps, unweighted; "adversarial" is minus the mean logit.
        stopped: why it ended early, "" if it did not.
    """

    steps: int
    seconds: float
    photographs: int
    new_hands: list[str]
    losses: dict[str, float]
    stopped: str = ""
    wanted: int = 0


@dataclass(frozen=True)
class Bound:
    """How much worse one figure may get.

    Attributes:
        better: "higher", "lower", or "same" for a figure that should stay where it is.
        slack: that it may get worse by in one round, as a share of what it was before; None for as much as it likes.
        limit: beyond it, it may not get worse at all, so that many rounds cannot add up what one may do. For "same" it is
            the distance from 1. None for no limit.
        text: what the figure is, as a reason names it.
    """

    better: str
    slack: float | None
    limit: float | None
    text: str

    def broken(self, before: float, after: float) -> bool:
        if not math.isfinite(after):
            return True
        unit = abs(before)
        if self.better == "same":
            before, after, unit = abs(before - 1), abs(after - 1), 1.0
        sign = 1 if self.better == "higher" else -1
        worse = sign * (before - after)
        beyond = self.limit is not None and sign * (self.limit - after) > 0
        return (self.slack is not None and worse > self.slack * unit) or (beyond and worse > 0)


@dataclass(frozen=True)
class Bounds:
    """A bound for each of the probe's figures; ``HouseStep.probe`` says what they are."""

    own_hand: Bound = field(default_factory=lambda: Bound("higher", 0.05, 0.8, "drawings nearest to their own hand"))
    distance_ratio: Bound = field(default_factory=lambda: Bound("lower", 0.1, 1.1, "distance to the signature asked for"))
    lines: Bound = field(default_factory=lambda: Bound("higher", 0.03, 0.95, "lines where round 0 drew them"))
    ink_ratio: Bound = field(default_factory=lambda: Bound("same", 0.1, 0.2, "ink, against round 0"))
    mid_grey_ratio: Bound = field(default_factory=lambda: Bound("lower", 0.1, 1.06, "grey that is neither ink nor paper"))
    blends_falling: Bound = field(default_factory=lambda: Bound("higher", 0.1, 0.8, "steps of blends towards their end"))
    logit: Bound = field(default_factory=lambda: Bound("lower", None, 100.0, "size of the Discriminator's logits"))


def verdict(before: Mapping[str, float], after: Mapping[str, float], bounds: Bounds | None = None) -> str:
    """May a round be drawn with?

    Args:
        before, after: what ``HouseStep.probe`` found before and after the house step.
    Returns:
        "" if it may, else one sentence that names each figure that broke its bound.
    """
    bounds = bounds or Bounds()
    reasons = []
    for f in fields(bounds):
        bound, was, now = getattr(bounds, f.name), before[f.name], after[f.name]
        if bound.broken(was, now):
            allowed = [f"a change of {bound.slack:.0%}"] if bound.slack is not None else []
            if bound.limit is not None:
                allowed.append(
                    f"the limit {1 - bound.limit:g} to {1 + bound.limit:g}"
                    if bound.better == "same"
                    else f"the limit {bound.limit:g}"
                )
            reasons.append(f"{f.name} ({bound.text}) went from {was:.3g} to {now:.3g}, beyond {' or '.join(allowed)}")
    return "; ".join(reasons)


def reason_to_hold_back(house: HouseReport, before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """Why a round is not published: its house step did nothing, or its drawings broke a bound. "" if it may be published."""
    reasons = [verdict(before, after)]
    if house.wanted and not house.steps:
        reasons.insert(0, f"the house learned 0 of {house.wanted} steps, because {house.stopped}")
    return "; ".join(reason for reason in reasons if reason)


# -- the step ------------------------------------------------------------------------------------------------------------


class HouseStep:
    """Trains the house Generator for a bounded number of steps, and measures it. One object serves all rounds.

    The encoder and the Discriminator are frozen, and so are the Generator's BatchNorm statistics, which come from
    thousands of drawings, and what reads the stroke code (``_trained``). Each step draws a batch in hands that round 0
    knew, in hands that are new to it (half of the batch, as soon as there are any) and in blends. With d the
    ``style_distance`` between a drawing and the signature asked for, and r round 0's own drawing of the same garment in
    the same signature,

        adversarial   minus the mean logit of the aggregated Discriminator
        distance      d; in hands and blends that round 0 knew max(0, d - d(r)), so that they need not fit a few
                      photographs better than it did
        anchor        ``pair_loss`` to r, in hands and blends that round 0 knew
        crispness, chroma   ``crispness_loss`` and ``chroma_loss`` to r, in the same: without them a drawing grows greyer
                      from round to round, for a veil pleases the Discriminator more than the edge of a line
        lines         MSE to r of the encoder's two coarsest maps, each channel normalised, in all hands: where things
                      are, not how they are drawn
        hand          in hands that round 0 knew max(0, max(m(r), 0.005) - m), with m how much nearer a drawing is to its
                      own hand than to the nearest other one (``margin``): two hands that are alike would else grow
                      together, since neither their lines nor their own distances tell

    Args:
        photos: folder of the operator's public photographs; None for the shipped examples.
        config: see there.
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
        self.photos = Path(photos) if photos else Path(examples)
        self.config = config or HouseStepConfig()
        self.examples = Path(examples)
        self._reference: FedGAI | None = None
        self._encoder = ""
        self._kept: OrderedDict[tuple[Path, int], tuple[Tensor, ...] | None] = OrderedDict()
        self._reference_figures: tuple[list[np.ndarray], dict[str, float]] | None = None
        if reference is not None:
            self._hold_against(reference)

    def run(self, model: FedGAI, progress: Callable[[float], None] | None = None) -> HouseReport:
        """Train ``model.generator`` in place against ``model.discriminator`` and ``model.styles``.

        Same model, photographs and config: same weights, as long as ``seconds`` does not strike. The Discriminator's
        BatchNorm statistics are settled anew; else it is left as it is. A loss that is not finite ends the step; what is
        left then is for the probe to judge.

        Args:
            model: with the aggregate loaded and the new signatures in its bank.
            progress: hears the share that is done.
        Raises:
            ValueError: no signature in the bank, no usable photograph, or another encoder than the reference's.
        """
        config, started = self.config, time.monotonic()
        if not model.styles:
            raise ValueError("the style bank is empty: there is no hand to draw in")
        reference = self._hold_against(model)
        rng = np.random.default_rng([config.seed, int(model.info.get("round", 0))])
        channels_last(model).eval()
        pages = self._pages(model, rng)
        hands = Hands(list(model.styles.values()), list(reference.styles.values()))
        generator, judge = model.generator, model.discriminator
        trained = _trained(generator)
        optimiser = torch.optim.Adam(trained, config.lr, betas=(0.9, 0.98))
        judge.requires_grad_(False)
        history: list[dict[str, float]] = []
        stopped = ""
        try:
            with torch.no_grad():
                settle_batchnorm(judge, _grams(model, pages, hands))
            begun = time.monotonic()  # only now: cutting out and settling are not counted against the steps
            for step in range(config.steps):
                if time.monotonic() - begun > config.seconds:
                    stopped = f"its {config.seconds:g} seconds were over"
                    break
                optimiser.param_groups[0]["lr"] = config.lr * _schedule(step, config.steps)
                losses = self._losses(model, reference, hands, *_batch(pages, hands, config, rng))
                total = sum(getattr(config, name) * loss for name, loss in losses.items())
                optimiser.zero_grad(set_to_none=True)
                total.backward()
                size = nn.utils.clip_grad_norm_(trained, 1.0)
                if not (torch.isfinite(total) and torch.isfinite(size)):
                    stopped = f"a loss was no longer finite at step {step + 1}"
                    break
                optimiser.step()
                history.append({name: loss.item() for name, loss in losses.items()})
                if progress:
                    progress((step + 1) / config.steps)
        finally:
            judge.requires_grad_(True)
            generator.zero_grad(set_to_none=True)
        last = history[-max(1, len(history) // 4) :]
        means = {name: float(np.mean([h[name] for h in last])) for name in last[0]} if last else {}
        return HouseReport(
            len(history),
            round(time.monotonic() - started, 2),
            sum(len(p[0]) for p in pages),
            hands.new_names,
            means,
            stopped,
            config.steps,
        )

    @torch.inference_mode()
    def probe(self, model: FedGAI) -> dict[str, float]:
        """Measure a model on the examples, in the hands of round 0, always the same: figures compare over all rounds.

        Returns:
            own_hand: share of drawings nearest to the signature that they were asked for in, in [0, 1].
            distance_ratio: mean style distance to that signature, over round 0's.
            lines: mean boundary F-score (2 px at 256 px) against round 0's drawings, of the hand where it is lowest, in
                [0, 1]. Not over all hands: hatching that comes off its lattice is one hand's loss.
            ink_ratio: share of ink over round 0's.
            mid_grey_ratio: share of what is neither ink nor paper over round 0's, of the hand where that is highest.
            blends_falling: share of steps, on the way from each hand to the next, that come nearer to the next.
            logit: mean size of the Discriminator's logits on the drawings. Broken Discriminators show here.
            All finite; 1e6 (0 where higher is better) for what cannot be measured.
        """
        reference = self._hold_against(model)
        if self._reference_figures is None:
            drawings, figures = self._measure(reference, reference)
            self._reference_figures = drawings, figures
        theirs, base = self._reference_figures
        bounds = Bounds()
        if not all(torch.isfinite(p).all() for p in model.generator.state_dict().values()):
            return {f.name: 0.0 if getattr(bounds, f.name).better == "higher" else WORST for f in fields(bounds)}
        drawings, figures = self._measure(model, reference)
        scores = [boundary_fscore(a, b) for a, b in zip(drawings, theirs, strict=True)]
        hands = min(PROBE_HANDS, len(reference.styles))
        lines = np.reshape(scores, (-1, hands)).mean(0).min()
        ratio = {name: (figures[name] + 1e-4) / (base[name] + 1e-4) for name in ("distance", "ink")}
        grey, was_grey = (np.reshape([mid_grey_share(d) for d in some], (-1, hands)).mean(0) for some in (drawings, theirs))
        found = {
            "own_hand": figures["own_hand"],
            "distance_ratio": ratio["distance"],
            "lines": float(lines),
            "ink_ratio": ratio["ink"],
            "mid_grey_ratio": float(((grey + 1e-3) / (was_grey + 1e-3)).max()),
            "blends_falling": figures["blends_falling"],
            "logit": figures["logit"],
        }
        return {name: round(value, 5) if math.isfinite(value) else WORST for name, value in found.items()}

    # -- inside ----------------------------------------------------------------------------------------------------------

    def _hold_against(self, model: FedGAI) -> FedGAI:
        """The reference, for inference; the model becomes it where there is none yet."""
        if self._reference is None:
            if not model.styles:
                raise ValueError("the style bank is empty: there is no hand to draw in")
            self._reference, self._encoder = model.for_inference(), model.encoder_sha256
            self._reference.styles = dict(model.styles)
        if self._encoder != model.encoder_sha256:  # folding changed the reference's own
            raise ValueError("this model has another encoder than round 0: start a new federation folder for it")
        return self._reference

    def _pages(self, model: FedGAI, rng: np.random.Generator) -> list[list[Tensor]]:
        """The round's photographs, cut out: for each size the encoder's maps, (N, C_l, H / 2^l, W / 2^l) each."""
        pipe, files = SketchPipeline(model), find_images(self.photos)
        by_shape: dict[tuple[int, ...], list[tuple[Tensor, ...]]] = {}
        found = 0
        # twice as many are tried, so that a folder full of other things costs no more than two folders of garments
        for i in rng.permutation(len(files))[: 2 * self.config.photographs]:
            features = self._features(pipe, files[i])
            if features is None:
                continue
            by_shape.setdefault(tuple(features[0].shape), []).append(features)
            found += 1
            if found == self.config.photographs:
                break
        if not found:
            raise ValueError(f"{self.photos} holds no photograph with a garment that can be cut out")
        # inference tensors cannot be trained with; a cat outside of inference mode makes plain ones
        return [[torch.cat(level) for level in zip(*group, strict=True)] for _, group in sorted(by_shape.items())]

    def _features(self, pipe: SketchPipeline, file: Path) -> tuple[Tensor, ...] | None:
        """A photograph's maps, cut out once and kept for later rounds, since the encoder is frozen; None where there is no
        garment in it. At most ``KEPT`` photographs, of 4.5 MB each at 224 px."""
        key = file, file.stat().st_mtime_ns
        if key not in self._kept:
            try:
                self._kept[key] = pipe.prepare(file, self.config.size).features
            except (ImageError, NoGarment):
                self._kept[key] = None
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _losses(
        self, model: FedGAI, reference: FedGAI, hands: Hands, features: list[Tensor], style: Tensor, known: Tensor
    ) -> dict[str, Tensor]:
        """Of one batch: features (B, C_l, ...), style (B, D), known (B,) bool -> scalars by the config's names."""
        channels = model.preset.channels
        with torch.no_grad():
            target = reference.generator(features, style)
            theirs = reference.encoder(target)
            was = image_statistics(theirs)
            free = style_distance(was, style, channels) * known
            bank = hands.styles[hands.known]
            wanted = margin(was, style, bank, channels).clamp(min=RECOGNISED)
        logits = model.generator(features, style, logits=True)
        sketch = torch.tanh(logits)
        drawn = model.encoder(sketch)
        statistics = image_statistics(drawn)
        distance = style_distance(statistics, style, channels)
        told = wanted.isfinite()
        confused = F.relu(wanted[told] - margin(statistics[told], style[told], bank, channels))
        nothing = logits.sum() * 0
        anchor, crispness, chroma = (
            (
                pair_loss(logits[known], target[known]),
                crispness_loss(sketch[known], target[known]),
                chroma_loss(sketch[known], target[known]),
            )
            if known.any()
            else (nothing, nothing, nothing)
        )
        lines = sum(
            (F.mse_loss(F.instance_norm(a), F.instance_norm(b)) for a, b in zip(drawn[2:], theirs[2:], strict=True)), nothing
        )
        return {
            "adversarial": hinge_generator(model.discriminator(model.grams(drawn))),
            "distance": F.relu(distance - free).mean(),
            "anchor": anchor,
            "crispness": crispness,
            "chroma": chroma,
            "lines": lines,
            "hand": confused.mean() if told.any() else nothing,
        }

    def _measure(self, model: FedGAI, reference: FedGAI) -> tuple[list[np.ndarray], dict[str, float]]:
        """All drawings of the probe, (H, W, 3) uint8 each, garment by garment, and the figures that need no comparison."""
        pipe, channels = SketchPipeline(model), model.preset.channels
        garments = _garments(pipe, self.examples)
        hands = [s.style for s in list(reference.styles.values())[:PROBE_HANDS]]
        bank = torch.stack(hands)  # (N, D)
        drawings, rows, logits = [], [], []
        for content in garments:
            drawn = [np.asarray(pipe.draw(content, style)) for style in hands]
            maps = _encode(reference, drawn)  # the same encoder as the model's, folded
            rows.append(image_statistics(maps))
            logits.append(model.discriminator.eval()(model.grams(maps)).abs().mean().item())
            drawings += drawn
        statistics = torch.stack(rows)  # (garments, N, D)
        distances = style_distance(statistics[:, :, None], bank, channels)  # (garments, N, N)
        own = distances.argmin(2) == torch.arange(len(hands))
        falling = []
        some = garments[:PROBE_BLENDS]
        for i in range(len(hands) if len(hands) > 1 else 0):
            j = (i + 1) % len(hands)
            path = [distances[: len(some), i, j].mean().item()]
            for t in np.linspace(0, 1, BLEND_STEPS + 1)[1:-1]:
                style = blend(bank[[i, j]], [1 - t, t])
                mixed = torch.cat([image_statistics(_encode(reference, [np.asarray(pipe.draw(c, style))])) for c in some])
                path.append(style_distance(mixed, bank[j], channels).mean().item())
            path.append(distances[: len(some), j, j].mean().item())
            falling += (np.diff(path) < 0).tolist()
        return drawings, {
            "own_hand": own.float().mean().item(),
            "distance": distances.diagonal(dim1=1, dim2=2).mean().item(),
            "ink": float(np.mean([(luminance(d) < 128).mean() for d in drawings])),
            "blends_falling": float(np.mean(falling)) if falling else 1.0,
            "logit": float(np.mean(logits)),
        }


class Hands:
    """The bank's signatures, those that round 0 knew apart from the new ones; both (N, D), together in the bank's order."""

    def __init__(self, bank: Sequence[Signature], reference: Sequence[Signature]) -> None:
        is_known = [any(torch.equal(s.style, r.style) for r in reference) for s in bank]
        self.styles = torch.stack([s.style.clone() for s in bank])
        self.known = torch.tensor(is_known)
        self.new_names = [s.name for s, k in zip(bank, is_known, strict=True) if not k]

    def choose(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(count,) indices: half of them new ones, where there are new and known ones."""
        known, new = self.known.nonzero()[:, 0].numpy(), (~self.known).nonzero()[:, 0].numpy()
        if not len(known) or not len(new):
            return rng.integers(len(self.styles), size=count)
        return np.where(rng.random(count) < 0.5, rng.choice(new, count), rng.choice(known, count))


def margin(statistics: Tensor, style: Tensor, bank: Tensor, channels: Sequence[int]) -> Tensor:
    """How much nearer drawings are to their own hand than to the nearest other one, in ``style_distance``.

    Args:
        statistics: (B, D), of one drawing each.
        style: (B, D), what they were asked for.
        bank: (N, D), signatures to tell apart.
    Returns:
        (B,), below 0 where another hand is nearer; infinite where ``style`` is none of the bank's (a blend), or its only one.
    """
    distances = style_distance(statistics[:, None], bank, channels)  # (B, N)
    own = (style[:, None] == bank).all(-1)  # (B, N)
    nearest = distances.masked_fill(own | ~own.any(1, keepdim=True), math.inf).amin(1) if len(bank) else math.inf
    return nearest - style_distance(statistics, style, channels)


def settle_batchnorm(discriminator: Discriminator, grams: Sequence[Tensor]) -> None:
    """Measure the running BatchNorm statistics anew, on one batch.

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


def _trained(generator: Generator) -> list[nn.Parameter]:
    """All but the part of the style head that reads the stroke code (edge preset).

    The code is exact to a fraction of a percent, and no gradient of a drawing reaches it. Were the layers below it
    trained, periods would drift, and hatching would lie ever farther off its lattice: eleven rounds cost one atelier 0.18
    of its boundary F-score.
    """
    head = generator.style_head
    kept = set() if head is None else {*head.body.parameters(), *head.code.parameters()}
    return [p for p in generator.parameters() if p.requires_grad and p not in kept]


def _grams(model: FedGAI, pages: list[list[Tensor]], hands: Hands, garments: int = 4) -> list[Tensor]:
    """Gram matrices of a few garments of the largest group in every hand of the bank: (B, C_l, C_l) of each level."""
    group = max(pages, key=lambda page: len(page[0]))
    parts = []
    for style in hands.styles:
        features = [level[:garments] for level in group]
        parts.append(model.grams(model.encoder(model.generator(features, style[None]))))
    return [torch.cat(level) for level in zip(*parts, strict=True)]


def _batch(
    pages: list[list[Tensor]], hands: Hands, config: HouseStepConfig, rng: np.random.Generator
) -> tuple[list[Tensor], Tensor, Tensor]:
    """A step's work: features of one size (B, C_l, ...), signatures and blends (B, D), which of them are known (B,)."""
    counts = np.array([len(page[0]) for page in pages])
    page = pages[rng.choice(len(pages), p=counts / counts.sum())]
    which = torch.from_numpy(rng.integers(len(page[0]), size=config.batch))
    a, b = hands.choose(rng, config.batch), hands.choose(rng, config.batch)
    t = np.where(rng.random(config.batch) < config.blends, rng.random(config.batch), 0)
    weight = torch.from_numpy(t).float()[:, None]
    style = hands.styles[a] * (1 - weight) + hands.styles[b] * weight
    known = hands.known[a] & (hands.known[b] | (weight[:, 0] == 0))
    return [level[which].contiguous(memory_format=torch.channels_last) for level in page], style, known


def _schedule(step: int, steps: int) -> float:
    """Five steps of warming up, then a half cosine to a fiftieth."""
    return min(1.0, (step + 1) / 5) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))


# -- what a round's report shows -----------------------------------------------------------------------------------------

_prepared: dict[tuple[Path, str], list[Content]] = {}  # one entry an encoder; a federation has one


def _garments(pipe: SketchPipeline, folder: Path) -> list[Content]:
    """The probe's garments, prepared once for an encoder: cutting out takes longer than all of the drawing."""
    key = (folder, pipe.model.encoder_sha256)
    if key not in _prepared:
        _prepared.clear()
        _prepared[key] = [pipe.prepare(file, PROBE_SIZE, on_missing="keep") for file in find_images(folder)[:PROBE_GARMENTS]]
    return _prepared[key]


def _encode(model: FedGAI, drawings: list[np.ndarray]) -> list[Tensor]:
    """Drawings of one size, (H, W, 3) uint8, padded with paper to a multiple of 8 -> the encoder's maps."""
    pad = [(0, -side % 8) for side in drawings[0].shape[:2]]
    x = torch.stack([to_tensor(np.pad(d, [*pad, (0, 0)], constant_values=255)) for d in drawings])
    maps: list[Tensor] = model.encoder(x.contiguous(memory_format=torch.channels_last))
    return maps


@torch.inference_mode()
def style_distances(model: FedGAI, examples: str | Path = EXAMPLES) -> dict[str, float]:
    """How near the Generator comes to each hand of the bank: name -> mean style distance over four example garments."""
    pipe, channels = SketchPipeline(model), model.preset.channels
    found = {}
    for name, signature in model.styles.items():
        rows = torch.cat(
            [
                image_statistics(_encode(model, [np.asarray(pipe.draw(c, signature.style))]))
                for c in _garments(pipe, Path(examples))[:DISTANCE_GARMENTS]
            ]
        )
        distance = style_distance(rows, signature.style, channels).mean().item()
        found[name] = round(distance, 5) if math.isfinite(distance) else WORST
    return found


def sheet(model: FedGAI, names: Sequence[str], examples: str | Path = EXAMPLES) -> bytes:
    """A JPEG, 900 px wide: three example garments, a row each, in up to eight hands of the bank."""
    pipe, names = SketchPipeline(model), list(names)[:SHEET_HANDS]
    width, label = SHEET_WIDTH // SHEET_HANDS, 18
    height = width * 4 // 3
    page = Image.new("RGB", (SHEET_WIDTH, label + SHEET_ROWS * height), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for column, name in enumerate(names):
        pen.text((column * width + 4, 3), name[:16], "black", font)
        for row, content in enumerate(_garments(pipe, Path(examples))[:SHEET_ROWS]):
            sketch = pipe.draw(content, model.styles[name].style)
            sketch.thumbnail((width - 6, height - 4), Image.Resampling.LANCZOS)
            page.paste(sketch, (column * width + (width - sketch.width) // 2, label + row * height))
    file = io.BytesIO()
    page.save(file, "JPEG", quality=88)
    return file.getvalue()
