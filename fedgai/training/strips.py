"""Half a page that is learned from in strips, each on a core of its own: the loss and the gradient are those of the whole.

    Generator, strip by strip --> the drawing --> encoder, strip by strip --> means over the drawing --> loss

The gradient goes back the same way. Layers also see what lies beside a strip, as far as they reach; only the strip itself counts.
All that a loss needs to know of a drawing are means over its pixels, and a mean over the whole is the mean of the strips' means.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fedgai.at_once import Cores
from fedgai.networks.generator import NOTHING, Generator, Known
from fedgai.networks.hatching import stroke_field
from fedgai.training.losses import near_loss
from fedgai.training.refine_examples import Example

MULTIPLE = 8  # px: strips end where a cell of the coarsest maps ends
MARGIN = 32  # px beside a strip that the Generator's layers see, all together
HALO = 32  # px beside a strip that the encoder's layers see
NARROWEST = 64  # px of a strip; a shorter half page is not cut


@dataclass(frozen=True)
class Strip:
    """A part of a half page, across its longer side.

    Attributes:
        along: the dimension that is cut, 2 or 3, of pictures (1, C, H, W).
        begin, end: px, where the strip begins and ends.
        length: px, of the half page.
    """

    along: int
    begin: int
    end: int
    length: int

    @property
    def share(self) -> float:
        return (self.end - self.begin) / self.length

    def around(self, margin: int) -> tuple[int, int]:
        """px, where the strip begins and ends with ``margin`` px beside it, as far as there are."""
        return max(0, self.begin - margin), min(self.length, self.end + margin)


def cut(height: int, width: int, count: int) -> list[Strip]:
    """A half page of (height, width) px in ``count`` strips, 1 or 2; in one where they would be too narrow."""
    along, length = (2, height) if height >= width else (3, width)
    if count == 1 or length < 2 * NARROWEST:
        return [Strip(along, 0, length, length)]
    middle = length // (2 * MULTIPLE) * MULTIPLE
    return [Strip(along, 0, middle, length), Strip(along, middle, length, length)]


@dataclass(frozen=True)
class StripView:
    """A strip of a drawing, and how the encoder sees it.

    Attributes:
        drawn, wanted: (1, 3, h, w) in [-1, 1], the strip of the drawing and of the designer's own.
        near: scalar, its part in the mean that ``near_loss`` is.
        maps: the encoder's of the strip and what lies beside it, (1, C_l, h_l, w_l) each.
        inner: of each map, from which dimension, from where, and how many cells are the strip's.
    """

    drawn: Tensor
    wanted: Tensor
    near: Tensor
    maps: list[Tensor]
    inner: list[tuple[int, int, int]]

    def moments(self, products: bool) -> list[Tensor]:
        """For each level the means of its channels, (C_l,), and of their squares, (C_l,), or all their products, (C_l, C_l)."""
        moments: Callable[..., tuple[Tensor, Tensor]] = _Moments.apply
        return [m for x, inner in zip(self.maps, self.inner, strict=True) for m in moments(x, *inner, products)]


class _Moments(torch.autograd.Function):
    """``StripView.moments`` of one map; autograd's own way back would go over the map several times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, along: int, begin: int, count: int, products: bool) -> tuple[Tensor, Tensor]:
        flat = x.narrow(along, begin, count).permute(0, 2, 3, 1).flatten(0, 2)  # (hw, C)
        ctx.save_for_backward(x, flat)
        ctx.inner = along, begin, count
        second = flat.t() @ flat / len(flat) if products else flat.square().mean(0)
        return flat.mean(0), second

    @staticmethod
    def backward(ctx: Any, of_mean: Tensor, of_second: Tensor) -> tuple[Tensor | None, ...]:
        x, flat = ctx.saved_tensors
        shift = of_mean / len(flat)
        if of_second.ndim == 2:
            back = torch.addmm(shift, flat, (of_second + of_second.t()) / len(flat))
        else:
            back = torch.addcmul(shift, flat, 2 * of_second / len(flat))
        inner = x.narrow(*ctx.inner)
        back = back.view(inner.shape[2], inner.shape[3], -1).permute(2, 0, 1)[None]
        if inner.shape == x.shape:
            return back, None, None, None, None
        whole = torch.zeros_like(x)
        whole.narrow(*ctx.inner).copy_(back)
        return whole, None, None, None, None


Measure = Callable[[StripView], Sequence[Tensor]]  # means over a strip
Loss = Callable[[Example, Sequence[Tensor]], Tensor]  # of the same means over the whole


@dataclass(frozen=True)
class _Part:
    """A strip of an example.

    Attributes:
        strip: of the half page.
        example: with the maps of the strip and what lies beside it.
        known: what need not be computed in each step.
    """

    strip: Strip
    example: Example
    known: Known

    def drawn(self, house: Generator, style: Tensor, changes: Tensor | None) -> Tensor:
        """The strip alone, (1, 3, h, w) in [-1, 1], hatching where the designer's lies."""
        example, strip = self.example, self.strip
        drawn = house(
            example.features,
            style[None],
            adapter=changes,
            code=example.code,
            origin=example.origin,
            statistics=example.shown,
            known=self.known,
        )
        start, _ = strip.around(MARGIN)
        return _narrow(drawn, strip.along, strip.begin - start, strip.end - start)


class Strips:
    """Draws half pages, and compares them with the designer's.

    Args:
        houses: that draw, one for each core: while an adapter draws, it lies on the Generator's own weights.
        encoder: sees.
        examples: half pages.
        cores: that do it.
    """

    def __init__(self, houses: Sequence[Generator], encoder: torch.nn.Module, examples: Sequence[Example], cores: Cores) -> None:
        self.houses, self.encoder, self.cores = houses, encoder, cores
        self.examples = [example.without_maps() for example in examples]  # the strips have their own
        count = cores.count if houses[0].style_head is not None else 1  # the paper's networks see farther than the margins
        self._fields: dict[tuple[float, ...], Tensor] = {}
        self._parts = [
            [self._part(example, strip) for strip in cut(example.drawing.shape[2], example.drawing.shape[3], count)]
            for example in examples
        ]

    def in_style(self, style: Tensor) -> Strips:
        """The same half pages, for drawings that are all in one style (D,): what no adapter changes is computed here."""
        fixed, head = copy.copy(self), self.houses[0].style_head
        if head is None:
            return fixed
        read = head(style[None])[0].detach()
        fixed._parts = [[self._part_in_style(part, style, read) for part in parts] for parts in self._parts]
        return fixed

    def _part(self, example: Example, strip: Strip) -> _Part:
        part = example.narrow(strip.along, *strip.around(MARGIN))
        if self.houses[0].style_head is None:
            return _Part(strip, part, NOTHING)
        pooled = [F.max_pool2d(level, 2) for level in part.features[:3]]
        return _Part(strip, part, Known(pooled, None if part.code is None else self._field(part, part.code)))

    @torch.no_grad()
    def _part_in_style(self, part: _Part, style: Tensor, read: Tensor) -> _Part:
        example, known = part.example, part.known
        coarse = self.houses[0].coarse(example.features, style[None], example.shown, known)
        field = self._field(example, read if example.code is None else example.code)
        return replace(part, known=replace(known, field=field, coarse=coarse))

    def _field(self, example: Example, code: Tensor) -> Tensor:
        """The stroke field; pages with the same one share it."""
        assert example.origin is not None
        height, width = example.drawing.shape[2:]
        key = *code.flatten().tolist(), *example.origin.flatten().tolist(), height, width
        if key not in self._fields:
            self._fields[key] = stroke_field(code, height, width, example.origin)
        return self._fields[key]

    def loss(self, number: int, style: Tensor, changes: Tensor | None, measure: Measure, loss: Loss) -> Tensor:
        """Of a half page that is drawn in a style.

        Args:
            number: of the example.
            style: (D,).
            changes: (A,) float, of weights (``fedgai.networks.adapter``); None for none.
            measure, loss: how the drawing is compared.
        Returns:
            scalar. A gradient reaches ``changes``, or ``style`` where there are none.
        """
        parts, learned = self._parts[number], style if changes is None else changes
        along = parts[0].strip.along
        leaves = [learned.detach().requires_grad_() for _ in parts]
        numbers = [(leaf, None) if changes is None else (style.detach(), leaf) for leaf in leaves]
        drawn = self.cores.run(
            [partial(part.drawn, self.houses[i], *numbers[i]) for i, part in enumerate(parts)]  # each on its core
        )
        page = torch.cat([strip.detach() for strip in drawn], along)
        value, of_page = self._compared(number, page, measure, loss)
        back = [
            partial(torch.autograd.grad, strip, leaf, _narrow(of_page, along, part.strip.begin, part.strip.end))
            for strip, leaf, part in zip(drawn, leaves, parts, strict=True)
        ]
        gradient = torch.stack([grad for (grad,) in self.cores.run(back)]).sum(0)
        return value + (gradient * (learned - learned.detach())).sum()  # the value, with that gradient

    def _compared(self, number: int, page: Tensor, measure: Measure, loss: Loss) -> tuple[Tensor, Tensor]:
        """The loss of a drawing, (1, 3, H, W), and its gradient."""
        example, strips = self.examples[number], [part.strip for part in self._parts[number]]
        windows = [_narrow(page, strip.along, *strip.around(HALO)).requires_grad_() for strip in strips]

        def measured(strip: Strip, window: Tensor) -> Sequence[Tensor]:
            return measure(seen(example, strip, window, self.encoder))

        means = self.cores.run([partial(measured, *one) for one in zip(strips, windows, strict=True)])
        shares = torch.tensor([strip.share for strip in strips])
        whole = [torch.tensordot(shares, torch.stack(of).detach(), 1).requires_grad_() for of in zip(*means, strict=True)]
        value = loss(example, whole)
        of_whole = torch.autograd.grad(value, whole)
        back = [
            partial(torch.autograd.grad, of, window, [strip.share * grad for grad in of_whole])
            for strip, of, window in zip(strips, means, windows, strict=True)
        ]
        of_page = torch.zeros_like(page)
        for strip, (of_window,) in zip(strips, self.cores.run(back), strict=True):
            begin, end = strip.around(HALO)
            of_page.narrow(strip.along, begin, end - begin).add_(of_window)
        return value.detach(), of_page


def seen(example: Example, strip: Strip, window: Tensor, encoder: torch.nn.Module) -> StripView:
    """A strip of an example's drawing.

    Args:
        window: (1, 3, h, w) in [-1, 1], of the drawing, the strip with ``HALO`` px beside it.
        encoder: sees the window.
    """
    along, (start, _) = strip.along, strip.around(HALO)
    begin, end = strip.around(1)
    near = near_loss(window.narrow(along, begin - start, end - begin), example.drawing.narrow(along, begin, end - begin))
    near = near * ((end - begin - 2) / (strip.length - 2) / strip.share)  # a mean over 3 x 3 px, so not over the page's edge
    first, count = strip.begin - start, strip.end - strip.begin
    maps = encoder(window)
    inner = [(along, first >> level, count >> level) for level in range(len(maps))]
    drawn, wanted = window.narrow(along, first, count), example.drawing.narrow(along, strip.begin, count)
    return StripView(drawn, wanted, near, maps, inner)


def _narrow(picture: Tensor, along: int, begin: int, end: int) -> Tensor:
    return picture.narrow(along, begin, end - begin).contiguous(memory_format=torch.channels_last)
