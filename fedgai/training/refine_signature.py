"""A signature refined at home, the house Generator held still: its numbers are adjusted, then an adapter is learned.

    measured signature --> house Generator --> drawings of own garments <-- compared --> the designer's own drawings
          ^------------------------- Adam adjusts the numbers -----------------------------+

This is done as textual inversion adjusts a word (Gal et al., arXiv 2208.01618). Statistics say much about a hand, but not all.
Training finds the rest. It begins with the measured signature. Some drawings are held out for a test. The refined signature
counts only if the house's drawings of those garments come nearer to the designer's own, by measures that know nothing of our
encoder (``fedgai.evaluation.independent``); otherwise the measured signature stays. The refined signature holds no part of a
drawing, only what the drawings changed in its numbers.

Before that, with photographs, it is read which lines the designer draws (``measured_choice.py``), and those alone are laid on the
garments, where that brings the drawings that were held out nearer.

What the house's weights cannot draw, whatever the signature, an adapter adds (``fedgai.networks.adapter``). It is learned after
the signature, and it, too, counts only where the drawings that were held out come out nearer. While it is learned, a blurred line
costs little: it is near the designer's even where it lies a pixel beside it. So the pen is made sharper afterwards, until there
is about as much grey as in the designer's own drawings.

Drawings without photographs are learned from, too: each shows its own garment (``fedgai.data.own_photographs``).

Hatching's angle and distance are found otherwise, for no gradient reaches them: where the drawings' own hatching can be seen
(``fedgai.vision.ruled_lines``), the signature is first moved until the style head reads that hatching from it.
"""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from fedgai.at_once import Cores, a_core_each
from fedgai.content import Photo
from fedgai.evaluation import independent
from fedgai.evaluation.metrics import mid_grey_share
from fedgai.kept_memory import kept_memory
from fedgai.line_choice import EVERY_LINE, LineChoice
from fedgai.model import FedGAI
from fedgai.networks import hatching
from fedgai.networks.adapter import STEP, adapter_size, sharper, to_bytes, without_colour
from fedgai.networks.generator import Generator
from fedgai.networks.layers import channels_last
from fedgai.networks.style import Signature
from fedgai.networks.style_bounds import StyleBounds
from fedgai.pipeline import SketchPipeline
from fedgai.training.drawing_losses import adapter_loss, measure_for_adapter, measure_for_signature, signature_loss
from fedgai.training.learn_adapter import AdapterConfig, learn_adapter
from fedgai.training.measured_choice import measured_choice
from fedgai.training.optimisers import Adam
from fedgai.training.refine_examples import Example, colourless, drawn_garments, halves, halves_of, pair_example
from fedgai.training.strips import Strips
from fedgai.vision.images import to_image
from fedgai.vision.ruled_lines import ruled_lines

log = logging.getLogger(__name__)

A = TypeVar("A")
Ready = tuple[Example, np.ndarray]  # a garment, and the designer's drawing of it, (H, W, 3) uint8

FEWEST = 4  # garments: two are held out
JUDGEMENTS = 4  # of the measured signature with every line and with some, of the refined one, and of the one in the middle
SHARES = (1.0, 0.5)  # of the learned adapter that are judged; then the nearest one is made sharper and judged again
GAINS = tuple(1 + 0.1 * i for i in range(11))  # factors by which the pen's logits may grow
GREY = 1.15  # times the designer's own share of mid-grey pixels is what the pen may leave: the smallest such gain is taken
DEARER = 1.2  # times as far as with grey: farther than this a sharper pen may not bring the drawings
AIM_STEPS = 200  # of Adam on the style head alone, a few milliseconds each


@dataclass(frozen=True)
class RefineConfig:
    """How to refine.

    Attributes:
        steps: of Adam, half a drawing each.
        rate: of Adam, in deviations of the built-in hands.
        reach: how far a number may go from the measured one, in the same unit: blends must stay sensible.
        pairs: most that are learned from. held_out: most that are held out to judge by; at least two pairs are.
        seed: of the order of the drawings.
        adapter: how the adapter is learned.
    """

    steps: int = 220
    rate: float = 0.1
    reach: float = 4.0
    pairs: int = 24
    held_out: int = 8
    seed: int = 24
    adapter: AdapterConfig = field(default_factory=AdapterConfig)


@dataclass(frozen=True)
class Refined:
    """What came of it.

    Attributes:
        signature: the refined one, or the measured one where that is not nearer; with an adapter where that brings it nearer
            still.
        before, after: distance of drawings that were held out to the designer's own (``independent.distance``), in the
            measured and in the returned signature.
    """

    signature: Signature
    before: float
    after: float

    @property
    def better(self) -> bool:
        return self.after < self.before


def refine(
    model: FedGAI,
    measured: Signature,
    pairs: Sequence[tuple[Path, Path]] = (),
    drawings: Sequence[Path] = (),
    config: RefineConfig = RefineConfig(),
    progress: Callable[[float], None] | None = None,
) -> Refined:
    """Adjust a signature so that the model's drawings come out like the designer's own.

    Args:
        model: the house's; its weights stay as they are.
        measured: the hand's signature, the start.
        pairs: (photograph, drawing) files of the same garments. With at least ``FEWEST``, they are learned from.
        drawings: else these files of drawings, of the garments that they show themselves.
        progress: called with the share that is done: before a picture is made from each drawing, after each pair that is made
            ready, each step, and each judgement.
    Returns:
        see ``Refined``. With too little to learn from, the measured signature and two zeros.
    Raises:
        ImageError: a file that cannot be read.
    """
    model.check_style(measured)
    channels_last(model)
    photographed = len(pairs) >= FEWEST
    learned, held_out = split_held_out(len(pairs if photographed else drawings), config)
    chosen = [*held_out, *learned]
    adapts = config.adapter.steps > 0 and adapter_size(model.generator) > 0
    steps = config.steps + JUDGEMENTS + adapts * (config.adapter.steps + len(SHARES) + 1)
    count = _Count(progress, (1 if photographed else 2) * len(chosen) + steps)
    pipe = SketchPipeline(model)
    with kept_memory(), a_core_each() as cores:
        garments: Sequence[tuple[Photo, Photo]] = [pairs[i] for i in chosen] if photographed else []
        if not photographed:
            garments = drawn_garments(pipe, [drawings[i] for i in chosen], count.one_more)
        if len(garments) < FEWEST:
            return Refined(measured, 0.0, 0.0)
        for _ in range(len(chosen) - len(garments)):  # that show no garment: nothing to make ready
            count.one_more()
        _, held_out = split_held_out(len(garments), config)
        # made in the call: a name here would keep the maps of all pages with every line after lines were chosen
        return _refined(
            pipe if photographed else None,
            measured,
            _Work(model, _ready(pipe, garments, cores, count), len(held_out), cores),
            adapts,
            config,
            count,
        )


def _ready(pipe: SketchPipeline, garments: Sequence[tuple[Photo, Photo]], cores: Cores, count: _Count) -> list[Ready]:
    """The garments, as many at a time as there are cores."""
    ready: list[Ready] = []
    while len(ready) < len(garments):
        pieces = [partial(pair_example, pipe, *garment) for garment in garments[len(ready) :][: cores.count]]
        ready += cores.run(pieces)
        for _ in pieces:
            count.one_more()
    return ready


def _refined(
    pipe: SketchPipeline | None, measured: Signature, work: _Work, adapts: bool, config: RefineConfig, count: _Count
) -> Refined:
    """From garments that are ready. ``pipe``: lays lines on them; None where no lines are chosen."""

    def judge(style: Tensor, adapter: Tensor | None = None) -> float:
        distance = work.judge(style, adapter)
        count.one_more()
        return distance

    before = judge(measured.style)
    measured, work, nearest = (measured, work, before) if pipe is None else _choose_lines(pipe, measured, work, before)
    count.one_more()
    begin = measured.style if work.code is None else _aimed(work.model, measured.style, work.code, config)
    style = _descend(measured.style, begin, work, config, count)
    found = min(((judge(s), i, s) for i, s in enumerate((style, (style + begin) / 2))), key=lambda f: f[:2])
    log.info("signature refined: %.3f before, %.3f after", before, found[0])
    best, after = (found[2], found[0]) if found[0] < nearest else (measured.style, nearest)
    adapter, after = _with_adapter(best, after, work, judge, config, count) if adapts else (None, after)
    if after >= before:
        return Refined(measured, before, before)
    refined = {} if best is measured.style and adapter is None else {"refined": True}
    return Refined(replace(measured, style=best, extra={**measured.extra, **refined}, adapter=adapter), before, after)


def _choose_lines(pipe: SketchPipeline, measured: Signature, work: _Work, before: float) -> tuple[Signature, _Work, float]:
    """Lay only the lines that the designer draws on the garments, if drawings that were held out come nearer with them.

    Args:
        before: their distance with every line.
    Returns:
        the signature with those lines, the garments, and the distance then; all as they were where it is not nearer.
    """
    choice = measured_choice((example.cloth, own) for example, own in work.learned if example.cloth is not None)
    if choice == EVERY_LINE:
        return measured, work, before
    chosen = work.with_lines(choice, pipe)
    distance = chosen.judge(measured.style, None)
    log.info("%s: %.3f with every line, %.3f with these", choice, before, distance)
    return (replace(measured, choice=choice), chosen, distance) if distance < before else (measured, work, before)


def _with_adapter(
    style: Tensor,
    distance: float,
    work: _Work,
    judge: Callable[[Tensor, Tensor], float],
    config: RefineConfig,
    done: _Count,
) -> tuple[Tensor | None, float]:
    """Of a few adapters the one that brings the drawings nearest, made sharper, and their distance then; None if none does."""
    best, nearest = None, distance
    for adapter in _adapters(style, work, config, done):
        if (found := judge(style, adapter)) < nearest:
            best, nearest = adapter, found
    gain = 1.0 if best is None else work.gain(style, best)
    log.info("with an adapter: %.3f; logits %.1f times as large leave no grey", nearest, gain)
    if best is None or gain == 1:
        done.one_more()
        return best, nearest
    sharp = to_bytes(sharper(work.house, best * STEP, gain, colourless=work.colourless))
    found = judge(style, sharp)
    log.info("sharper: %.3f", found)
    return (sharp, found) if found < min(distance, DEARER * nearest) else (best, nearest)


def _adapters(style: Tensor, work: _Work, config: RefineConfig, done: _Count) -> list[Tensor]:
    """(A,) int8 each: the learned one, and half of what was learned. Where drawings have no colour, both take it away."""
    house, strips = work.house, work.strips.in_style(style)
    start = without_colour(house) if work.colourless else torch.zeros(adapter_size(house))

    def loss(number: int, changes: Tensor) -> Tensor:
        return strips.loss(number, style, changes, measure_for_adapter, adapter_loss)

    learned = learn_adapter(start, len(work.halves), loss, config.adapter, done.one_more)
    return [to_bytes(start + share * (learned - start)) for share in SHARES]


class _Count:
    """Counts what is done, and reports the share.

    Args:
        progress: called with it; None for nobody.
        total: of all that is to be done.
    """

    def __init__(self, progress: Callable[[float], None] | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def one_more(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done / self._total)


class _Work:
    """The designer's own garments, drawn by the designer.

    Args:
        model: the house's.
        ready: examples with their drawings, (H, W, 3) uint8.
        held_out: how many of them, from the first on, are judged by; from the others is learned.
        cores: that draw.
    """

    def __init__(self, model: FedGAI, ready: Sequence[Ready], held_out: int, cores: Cores) -> None:
        drawer = model.for_inference()
        self.model, self.house, self.encoder, self.cores = model, drawer.generator, drawer.encoder, cores
        self.houses = [self.house, *(copy.deepcopy(self.house) for _ in range(cores.count - 1))]
        self.judged, self.learned = [example for example, _ in ready[:held_out]], ready[held_out:]
        pictures = [own for _, own in ready]
        self.own = cores.run([partial(independent.describe, own) for own in pictures[:held_out]])
        self.own_grey = float(np.mean([mid_grey_share(own) for own in pictures[:held_out]]))
        self.colourless, self.code = colourless(pictures), _code(pictures)
        if self.code is not None:
            self.learned = [(example.hatched(self.code), own) for example, own in self.learned]
        found = cores.run([partial(halves, model, example) for example, _ in self.learned])
        self.halves = [half for pair in found for half in pair]

    def with_lines(self, choice: LineChoice, pipe: SketchPipeline) -> _Work:
        """The same garments with only the lines of a choice."""
        chosen, count = copy.copy(self), len(self.judged)
        examples = [*self.judged, *(example for example, _ in self.learned)]
        redrawn = self.cores.run([partial(example.with_lines, choice, pipe) for example in examples])
        chosen.judged = redrawn[:count]
        chosen.learned = [(example, own) for example, (_, own) in zip(redrawn[count:], self.learned, strict=True)]
        chosen.halves = [half for i, whole in enumerate(redrawn[count:]) for half in halves_of(whole, self.halves[2 * i :][:2])]
        return chosen

    @cached_property
    def strips(self) -> Strips:
        """The half pages that are learned from, when it is settled which lines they show. Only the strips keep their maps."""
        found = Strips(self.houses, self.encoder, self.halves, self.cores)
        self.halves, self.learned = found.examples, [(example.without_maps(), own) for example, own in self.learned]
        return found

    @torch.no_grad()
    def gain(self, style: Tensor, adapter: Tensor) -> float:
        """The smallest of ``GAINS`` with which held-out drawings have at most ``GREY`` times the designer's own share of grey."""
        logits = self._judged(lambda i, example, house: _drawn(house, example, style, adapter, logits=True))
        for gain in GAINS:
            drawn = [np.asarray(to_image(torch.tanh(gain * one))) for one in logits]
            if np.mean([mid_grey_share(picture) for picture in drawn]) <= GREY * self.own_grey:
                return gain
        return GAINS[-1]

    def judge(self, style: Tensor, adapter: Tensor | None) -> float:
        """Mean independent distance to the designer's drawing of the same garment, of those held out."""

        def distance(i: int, example: Example, house: Generator) -> float:
            drawn = to_image(_drawn(house, example, style, adapter))
            return independent.distance(independent.describe(drawn), self.own[i])

        return float(np.mean(self._judged(distance)))

    def _judged(self, measure: Callable[[int, Example, Generator], A]) -> list[A]:
        """What is measured of each garment that was held out, from its number, the example, and a Generator to draw it with."""
        houses = itertools.cycle(self.houses)
        pieces = [partial(torch.no_grad()(measure), i, example, next(houses)) for i, example in enumerate(self.judged)]
        return self.cores.run(pieces)


def split_held_out(pairs: int, config: RefineConfig) -> tuple[list[int], list[int]]:
    """Indices of the pairs to learn from, and of those held out for the test. Of very many pairs, some are in neither list."""
    order = np.random.default_rng(config.seed).permutation(pairs)[: config.pairs + config.held_out].tolist()
    count = min(config.held_out, max(2, len(order) // 4))
    return order[count:], order[:count]


def _drawn(house: Generator, example: Example, style: Tensor, adapter: Tensor | None, logits: bool = False) -> Tensor:
    """(3, height, width), without the padding; in [-1, 1] unless they are logits."""
    width, height = example.size
    changes = None if adapter is None else adapter * STEP
    drawn: Tensor = house(example.features, style[None], adapter=changes, statistics=example.shown, logits=logits)
    return drawn[0, :, :height, :width]


def _code(pictures: Sequence[np.ndarray]) -> Tensor | None:
    """(3,), the stroke code of the hatching that drawings show. Returns None if they show no hatching."""
    lines = ruled_lines(pictures)
    return None if lines is None else hatching.stroke_code(lines.angle, lines.period)


def _aimed(model: FedGAI, start: Tensor, code: Tensor, config: RefineConfig) -> Tensor:
    """(D,), the signature near ``start`` (D,) from which the style head reads ``code`` (3,), and else what it read before."""
    head = model.generator.style_head
    if head is None:
        return start
    bounds, unit, away = model.style_bounds, _unit(model), torch.zeros_like(start, requires_grad=True)
    optimiser = Adam([away], config.rate)
    with torch.no_grad():
        _, grip_before, film_before = head(start[None])
    for _ in range(AIM_STEPS):
        read, grip, film = head(_held(bounds, start, unit, away, config)[None])
        changed = (grip - grip_before).square().mean()
        for (scale, shift), (scale_before, shift_before) in zip(film, film_before, strict=True):
            changed = changed + (scale - scale_before).square().mean() + (shift - shift_before).square().mean()
        loss = _misread(read, code) + changed + 1e-3 * away.square().mean()
        (away.grad,) = torch.autograd.grad(loss, [away])
        optimiser.step()
    return _held(bounds, start, unit, away.detach(), config)


def _misread(read: Tensor, code: Tensor) -> Tensor:
    """How far the stroke code that is read (1, 3) is from the one that is wanted (3,); the period counts more."""
    return ((read - code).square() * read.new_tensor([1.0, 1.0, 4.0])).sum()


def _descend(start: Tensor, begin: Tensor, work: _Work, config: RefineConfig, done: _Count) -> Tensor:
    """(D,) -> (D,), adjusted, from ``begin`` on, within reach of ``start``."""
    strips, bounds, unit = work.strips, work.model.style_bounds, _unit(work.model)
    away = ((begin - start) / unit).requires_grad_(True)
    optimiser = Adam([away], config.rate, betas=(0.9, 0.98))
    order = np.random.default_rng(config.seed + 1)
    for step in range(config.steps):
        optimiser.param_groups[0]["lr"] = config.rate * min(1.0, 2 * (1 - step / config.steps) + 0.05)
        style = _held(bounds, start, unit, away, config)
        number = int(order.integers(len(work.halves)))
        loss = strips.loss(number, style, None, measure_for_signature, signature_loss) + 1e-3 * away.square().mean()
        if work.code is not None and work.house.style_head is not None:
            read, _, _ = work.house.style_head(style[None])
            loss = loss + _misread(read, work.code)
        (away.grad,) = torch.autograd.grad(loss, [away])
        if not (torch.isfinite(loss) and torch.isfinite(away.grad).all()):
            break
        optimiser.step()
        done.one_more()
    return _held(bounds, start, unit, away.detach(), config)


def _held(bounds: StyleBounds, start: Tensor, unit: Tensor, away: Tensor, config: RefineConfig) -> Tensor:
    """Within reach of the measured signature, and within what a signature can be."""
    return bounds.clamp(start + unit * away.clamp(-config.reach, config.reach))


def _unit(model: FedGAI) -> Tensor:
    """(D,), how far apart built-in hands are in each number."""
    built_in = [s.style for s in model.styles.values() if "designer" not in s.extra]
    if len(built_in) >= 2:
        return torch.stack(built_in).std(0) + 1e-4
    if model.styles or model.origin is not None:
        return 0.2 * model.neutral.abs() + 1e-3
    return torch.ones(1)
