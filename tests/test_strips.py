"""Half pages that are learned from in strips: the loss and the gradient of the whole, computed the ordinary way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fedgai.at_once import Cores, a_core_each
from fedgai.model import FedGAI
from fedgai.networks.adapter import adapter_size
from fedgai.networks.generator import Known
from fedgai.networks.hatching import stroke_code, stroke_field
from fedgai.networks.style import image_statistics, style_distance
from fedgai.training.adapting import likeness
from fedgai.training.drawing_losses import (
    WEIGHTS,
    adapter_loss,
    adapter_loss_of,
    measure_for_adapter,
    measure_for_signature,
    signature_loss,
)
from fedgai.training.losses import gram_loss, near_loss
from fedgai.training.refine_examples import Example, as_tensor, halves, halves_of
from fedgai.training.strips import HALO, Strip, Strips, cut


@pytest.fixture(scope="module")
def model() -> FedGAI:
    return FedGAI.load()


@pytest.fixture(params=[1, 2], ids=["one-core", "two-cores"])
def cores(request: pytest.FixtureRequest) -> Iterator[Cores]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    with a_core_each() as found:
        assert found.count == request.param
        yield found
    torch.set_num_threads(before)


def page(height: int, width: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8: blots and lines."""
    rng = np.random.default_rng(seed)
    blots = rng.random((height // 16 + 1, width // 16 + 1, 3)).repeat(16, 0).repeat(16, 1)[:height, :width]
    lines = np.where(rng.random((height, 1, 1)) > 0.9, 0.1, 1.0)
    return np.uint8(255 * blots * lines)


def example(model: FedGAI, height: int, width: int) -> Example:
    with torch.no_grad():
        features = tuple(model.encoder(as_tensor(page(height, width, 1))))
        drawing = as_tensor(page(height, width, 2))
        maps = model.encoder(drawing)
        return Example(features, image_statistics(features), (width, height), drawing, image_statistics(maps), model.grams(maps))


def in_strips(model: FedGAI, example: Example, cores: Cores) -> Strips:
    house = model.for_inference()
    houses = [model.for_inference().generator for _ in range(cores.count)]
    return Strips(houses, house.encoder, [example], cores)


def close(found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor], tolerance: float) -> bool:
    """Of losses and gradients; ``tolerance``: of the largest number."""
    return all(float((a - b).abs().max()) <= tolerance * float(b.abs().max()) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("size", [(384, 256), (256, 440), (72, 64)], ids=["upright", "lying", "too-small-to-cut"])
@pytest.mark.parametrize("code", [None, stroke_code(20, 9)], ids=["code-of-the-style", "code-of-the-drawing"])
def test_a_signature_gets_the_gradient_of_the_whole(
    model: FedGAI, cores: Cores, size: tuple[int, int], code: Tensor | None
) -> None:
    whole = example(model, 2 * size[0] if size[0] < size[1] else size[0], size[1])
    whole = whole if code is None else whole.hatched(code)
    half = halves(model, whole)[1]  # it begins in the middle of the page
    style = model.styles["Bruno"].style.clone().requires_grad_()
    house = model.for_inference()
    drawn = house.generator(half.features, style[None], code=half.code, origin=half.origin, statistics=half.shown)
    apart = style_distance(image_statistics(house.encoder(drawn)), half.statistics, model.preset.channels).mean()
    ink = (drawn.mean((2, 3)) - half.drawing.mean((2, 3))).abs().mean()
    loss = near_loss(drawn, half.drawing) + 0.5 * apart + ink
    wanted = loss.detach(), *torch.autograd.grad(loss, [style])
    loss = in_strips(model, half, cores).loss(0, style, None, measure_for_signature, signature_loss)
    assert close((loss.detach(), *torch.autograd.grad(loss, [style])), wanted, 1e-5)


@pytest.mark.parametrize("size", [(384, 256), (256, 440)], ids=["upright", "lying"])
def test_an_adapter_gets_the_gradient_of_the_whole(model: FedGAI, cores: Cores, size: tuple[int, int]) -> None:
    """Where the style stays, what no adapter changes is computed once."""
    half, house = example(model, *size), model.for_inference()
    half = replace(half, origin=torch.tensor([[256, 0]]))
    random = torch.Generator().manual_seed(24)
    changes = (0.02 * torch.randn(adapter_size(house.generator), generator=random)).requires_grad_()
    style = model.styles["Goro"].style
    drawn = house.generator(half.features, style[None], adapter=changes, origin=half.origin, statistics=half.shown)
    maps = house.encoder(drawn)
    apart = style_distance(image_statistics(maps), half.statistics, model.preset.channels).mean()
    alike = likeness(drawn, half.drawing, WEIGHTS)
    loss = sum(alike.values(), WEIGHTS.manner * apart) + gram_loss(model.grams(maps), half.grams)
    wanted = loss.detach(), *torch.autograd.grad(loss, [changes])
    strips = in_strips(model, half, cores)
    for one in (strips, strips.in_style(style), strips.in_style(model.styles["Aiko"].style).in_style(style)):
        loss = one.loss(0, style, changes, measure_for_adapter, adapter_loss)
        assert close((loss.detach(), *torch.autograd.grad(loss, [changes])), wanted, 3e-4)
    assert torch.allclose(adapter_loss_of(half, drawn, house.encoder), wanted[0])


def test_the_papers_networks_are_not_cut(cores: Cores) -> None:
    torch.manual_seed(24)
    model = FedGAI("vgg16").eval()
    half = example(model, 128, 64)
    strips = in_strips(model, half, cores)
    style = half.statistics[0].clone().requires_grad_()
    house = model.for_inference()
    drawn = house.generator(half.features, style[None], statistics=half.shown)
    loss = adapter_loss_of(half, drawn, house.encoder)
    wanted = loss.detach(), *torch.autograd.grad(loss, [style])
    loss = strips.in_style(style).loss(0, style, None, measure_for_adapter, adapter_loss)
    assert close((loss.detach(), *torch.autograd.grad(loss, [style])), wanted, 1e-4)


def test_a_page_is_drawn_the_same_with_what_is_known(model: FedGAI) -> None:
    half, house = example(model, 128, 96), model.for_inference().generator
    style, code, origin = model.styles["Goro"].style[None], stroke_code(30, 8)[None], torch.tensor([[40, 8]])
    with torch.no_grad():
        how = {"statistics": half.shown, "code": code, "origin": origin}
        drawn = house(half.features, style, **how)
        pooled = Known([torch.nn.functional.max_pool2d(level, 2) for level in half.features[:3]])
        coarse = house.coarse(half.features, style, half.shown)
        assert torch.equal(house.coarse(half.features, style, half.shown, pooled), coarse)
        for known in (pooled, Known(field=stroke_field(code, 128, 96, origin)), Known(coarse=coarse)):
            assert torch.equal(house(half.features, style, known=known, **how), drawn)


def test_halves_of_a_page_with_other_lines_keep_what_is_known_of_the_drawing(model: FedGAI) -> None:
    before, after = example(model, 256, 192), example(model, 256, 192)
    after = replace(after, features=tuple(level + 1 for level in after.features), shown=after.shown + 1)
    for found, wanted in zip(halves_of(after, halves(model, before)), halves(model, after), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found.features, wanted.features, strict=True))
        assert torch.equal(found.shown, wanted.shown) and torch.equal(found.statistics, wanted.statistics)
        assert found.origin is not None and wanted.origin is not None and torch.equal(found.origin, wanted.origin)


def test_a_half_page_is_cut_where_a_coarse_cell_ends() -> None:
    assert cut(256, 440, 2) == [Strip(3, 0, 216, 440), Strip(3, 216, 440, 440)]
    assert cut(384, 256, 2) == [Strip(2, 0, 192, 384), Strip(2, 192, 384, 384)]
    assert cut(384, 256, 1) == [Strip(2, 0, 384, 384)]
    assert cut(120, 96, 2) == [Strip(2, 0, 120, 120)]
    assert cut(256, 440, 2)[1].around(HALO) == (184, 440)
