"""A hand's adapter: what it changes, how it blends, where it is kept, and that strangers' bytes are held in bounds."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.garment_picture import draw_garment
from PIL import Image
from safetensors.torch import save_file

from federation.server.style_bank import take_out
from fedgai.model import FedGAI
from fedgai.networks.adapter import BOUND, LAYERS, STEP, adapter_shapes, adapter_size, sharper, to_bytes, without_colour
from fedgai.networks.generator import Generator
from fedgai.networks.style import Signature
from fedgai.pipeline import SketchPipeline
from fedgai.training.learn_adapter import AdapterConfig, learn_adapter
from fedgai.training.refine_examples import colourless

SIZE = 8405


@pytest.fixture(scope="module")
def pipe() -> SketchPipeline:
    return SketchPipeline.from_pretrained()


@pytest.fixture(scope="module")
def with_adapter(pipe: SketchPipeline) -> Signature:
    random = torch.Generator().manual_seed(24)
    adapter = torch.randint(-60, 61, (SIZE,), generator=random, dtype=torch.int8)
    return replace(pipe.styles["Aiko"], name="Zoë", adapter=adapter, extra={"designer": 7})


def test_it_changes_the_finest_layers_and_nothing_else(pipe: SketchPipeline) -> None:
    model = pipe.model
    shapes = adapter_shapes(model.generator)
    assert adapter_size(model.generator) == SIZE and all(name.startswith(LAYERS) for name in shapes)
    assert adapter_shapes(model.for_inference().generator) == shapes  # in the order of the weights that draw
    assert adapter_size(FedGAI("vgg16").generator) == 0
    folded = dict(model.for_inference().generator.named_parameters())
    assert {name: tuple(folded[name].shape) for name in shapes} == shapes
    assert {name for name in folded if name.startswith(LAYERS)} == set(shapes)


def test_a_drawing_is_that_of_the_changed_weights(pipe: SketchPipeline, with_adapter: Signature) -> None:
    content = pipe.prepare(draw_garment(), 128)
    drawn = pipe.draw(content, {with_adapter: 1})
    assert np.asarray(drawn).tolist() != np.asarray(pipe.draw(content, {"Aiko": 1})).tolist()
    network = pipe.model.for_inference()
    start = 0
    weights = dict(network.generator.named_parameters())
    for name, shape in adapter_shapes(network.generator).items():
        count = int(np.prod(shape))
        assert with_adapter.adapter is not None
        weights[name].add_(STEP * with_adapter.adapter[start : start + count].view(shape))
        start += count
    changed = SketchPipeline(pipe.model)
    changed._network = network
    assert np.asarray(changed.draw(content, {"Aiko": 1})).tolist() == np.asarray(drawn).tolist()
    nothing = replace(with_adapter, adapter=torch.zeros(SIZE, dtype=torch.int8))
    assert np.asarray(pipe.draw(content, {nothing: 1})).tolist() == np.asarray(pipe.draw(content, {"Aiko": 1})).tolist()


def test_it_counts_as_much_as_its_hand(pipe: SketchPipeline, with_adapter: Signature) -> None:
    assert with_adapter.adapter is not None
    changes = STEP * with_adapter.adapter
    assert torch.allclose(pipe.style({with_adapter: 1})[480:], changes)
    assert torch.allclose(pipe.style({with_adapter: 1, "Bruno": 3})[480:], changes / 4)
    assert torch.equal(pipe.style({with_adapter: 1, "Bruno": 3})[:480], pipe.style({"Aiko": 1, "Bruno": 3}))
    assert (
        len(pipe.style({with_adapter: 0, "Bruno": 1})) == 480 + SIZE and not pipe.style({with_adapter: 0, "Bruno": 1})[480:].any()
    )
    assert torch.allclose(pipe.style({with_adapter: 1}, 1.5)[480:], 1.5 * changes)
    assert not pipe.style({with_adapter: 1}, 0)[480:].any()  # the neutral hand has none
    assert torch.equal(pipe.style({with_adapter: 1}, 0.5)[:480], pipe.style({"Aiko": 1}, 0.5))


def test_strokes_are_traced_with_it(pipe: SketchPipeline, with_adapter: Signature) -> None:
    content = pipe.prepare(draw_garment(), 128)
    sketch, _ = pipe.layers(content, {with_adapter: 1})
    assert np.array_equal(sketch, np.asarray(pipe.draw(content, {with_adapter: 1})))


def test_a_blend_with_a_hostile_one_at_weight_zero_is_the_other_hand(pipe: SketchPipeline, with_adapter: Signature) -> None:
    hostile = replace(with_adapter, adapter=torch.full((SIZE,), -128, dtype=torch.int8))
    content = pipe.prepare(draw_garment(), 128)
    drawn = pipe.draw(content, {"Bruno": 1, hostile: 0})
    assert np.array_equal(np.asarray(drawn), np.asarray(pipe.draw(content, {"Bruno": 1})))
    assert np.asarray(pipe.draw(content, {hostile: 1})).shape == np.asarray(drawn).shape  # ugly, and nobody else's


def test_it_is_kept_with_its_signature(pipe: SketchPipeline, with_adapter: Signature, tmp_path: Path) -> None:
    assert with_adapter.adapter is not None
    with_adapter.save(tmp_path / "hand.safetensors")
    assert torch.equal(Signature.load(tmp_path / "hand.safetensors").adapter, with_adapter.adapter)
    model = FedGAI.load()
    model.add_style(with_adapter)
    model.save_pretrained(tmp_path / "checkpoint")
    again = FedGAI.load(tmp_path / "checkpoint").styles
    assert torch.equal(again["Zoë"].adapter, with_adapter.adapter) and again["Aiko"].adapter is None
    assert list(again) == list(model.styles)


def test_it_leaves_with_its_designer(with_adapter: Signature, tmp_path: Path) -> None:
    model = FedGAI.load()
    model.add_style(with_adapter)
    model.save_pretrained(tmp_path)
    before = (tmp_path / "styles.safetensors").stat().st_size
    assert take_out(tmp_path / "styles.safetensors", ["Zoë"])
    assert before - (tmp_path / "styles.safetensors").stat().st_size > SIZE
    assert "Zoë" not in FedGAI.load(tmp_path).styles


def test_what_is_no_adapter_is_refused(pipe: SketchPipeline, with_adapter: Signature, tmp_path: Path) -> None:
    file = tmp_path / "hand.safetensors"
    with_adapter.save(file)
    header = {"fedgai_signature": '{"name": "", "description": "", "encoder": "", "sketches": 1}'}
    for wrong in (torch.zeros(SIZE), torch.zeros(5, SIZE // 5, dtype=torch.int8)):
        save_file({"style": with_adapter.style, "adapter": wrong}, str(file), header)
        with pytest.raises(ValueError, match="one row of bytes"):
            Signature.load(file)
    for wrong in (torch.zeros(SIZE - 1, dtype=torch.int8), torch.zeros(SIZE)):
        with pytest.raises(ValueError, match="another Generator"):
            pipe.draw(pipe.prepare(draw_garment(), 64), {replace(with_adapter, adapter=wrong): 1})
    generator = pipe.model.generator
    with pytest.raises(ValueError, match="for_inference"):
        generator(pipe.model.encoder(torch.zeros(1, 3, 64, 64)), with_adapter.style[None], adapter=torch.zeros(SIZE))


def test_bytes_are_the_nearest_within_bounds() -> None:
    found = to_bytes(torch.tensor([0.0, 0.0014, -0.0016, 5.0, -5.0]))
    assert found.tolist() == [0, 1, -2, 127, -127] and found.dtype == torch.int8


def test_it_is_learned_from_the_drawings() -> None:
    """A target that a few weights' changes reach: it comes nearer, the same each time, and never beyond what a byte says."""
    aims = torch.stack([torch.full((4,), 0.05), torch.full((4,), 0.03)])

    def loss(number: int, changes: torch.Tensor) -> torch.Tensor:
        return (changes - aims[number]).square().sum()

    steps = []
    config = AdapterConfig(steps=200, rate=2e-3)
    nothing = torch.zeros(4)
    found = learn_adapter(nothing, 2, loss, config, lambda: steps.append(1))
    assert torch.allclose(found, torch.full((4,), 0.04), atol=0.011) and len(steps) == 200
    assert torch.equal(found, learn_adapter(nothing, 2, loss, config, lambda: None))
    far = learn_adapter(nothing, 1, lambda _, changes: (changes - 1).square().sum(), AdapterConfig(400, 1e-2), lambda: None)
    assert far.max() <= 0.127 + 1e-6
    broken = learn_adapter(aims[0], 1, lambda _, changes: changes.sum() * float("nan"), config, lambda: None)
    assert torch.equal(broken, aims[0]) and not nothing.any()


def test_a_weight_can_come_as_far_as_its_byte_reaches() -> None:
    """With Adam a weight moves by about the rate a step: a rate too low for the steps leaves the largest bytes unused."""
    far = torch.tensor([0.12, -0.12, 0.01])
    found = learn_adapter(torch.zeros(3), 1, lambda _, changes: (changes - far).abs().sum(), AdapterConfig(), lambda: None)
    assert torch.allclose(found, far, atol=0.01)


def test_a_hand_without_colour_draws_none(pipe: SketchPipeline) -> None:
    """In whichever hand: blue wash and brown ink come out grey, and where the ink is does not change."""
    adapter = to_bytes(without_colour(pipe.model.for_inference().generator))
    content = pipe.prepare(draw_garment(), 256)
    for name in ("Hana", "Bruno", "Goro"):
        before, after = (
            np.int16(pipe.draw(content, {hand: 1})) for hand in (pipe.styles[name], replace(pipe.styles[name], adapter=adapter))
        )
        assert np.ptp(after, axis=2).max() <= 16  # levels between channels: a byte is not exact
        assert np.ptp(after, axis=2).mean() < 2 and np.abs(after.mean(2) - before.mean(2)).mean() < 6
    assert np.ptp(np.int16(pipe.draw(content, {"Hana": 1})), axis=2).mean() > 5


def test_a_sharper_pen_draws_the_same_with_less_grey(pipe: SketchPipeline) -> None:
    network, style = pipe.model.for_inference(), pipe.model.styles["Aiko"].style[None]
    black = without_colour(network.generator)
    features = [level.clone() for level in pipe.prepare(draw_garment(), 128).features]

    def logits(changes: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return network.generator(features, style, adapter=changes, logits=True)

    before, after = logits(black), logits(sharper(network.generator, black, 1.3, colourless=True))
    assert torch.allclose(after, 1.3 * before, rtol=3e-2, atol=2e-2)  # so what was darker than the middle still is
    far = sharper(network.generator, torch.full_like(black, BOUND), 9.0, colourless=True)
    assert far.abs().max() <= BOUND + 1e-6
    black_and_far = torch.tanh(logits(sharper(network.generator, black, 9.0, colourless=True)))
    assert (black_and_far - black_and_far.mean(1, keepdim=True)).abs().max() < 0.05


def test_a_sharper_pen_keeps_its_colour(pipe: SketchPipeline) -> None:
    network, style = pipe.model.for_inference(), pipe.model.styles["Hana"].style[None]
    features = [level.clone() for level in pipe.prepare(draw_garment(), 128).features]

    def chroma(changes: torch.Tensor) -> float:
        with torch.no_grad():
            drawn = network.generator(features, style, adapter=changes)
        return float((drawn.amax(1) - drawn.amin(1)).mean())

    none = torch.zeros(adapter_size(network.generator))
    assert chroma(sharper(network.generator, none, 1.3, colourless=False)) > 0.9 * chroma(none) > 0
    assert chroma(sharper(network.generator, none, 1.3, colourless=True)) < 0.5 * chroma(none)  # so this is not for such a hand


def test_black_ink_is_told_from_coloured() -> None:
    page = np.full((64, 64, 3), 255, np.uint8)
    black, sepia, pencil = page.copy(), page.copy(), page.copy()
    black[20:30], sepia[20:30], pencil[20:30] = 0, (94, 60, 30), 120
    buffer = io.BytesIO()
    Image.fromarray(black).save(buffer, "JPEG", quality=60)
    assert colourless([black, np.asarray(Image.open(buffer).convert("RGB"))]) and colourless([pencil, page])
    assert not colourless([sepia]) and not colourless([page])  # nothing is drawn there


def test_the_papers_generator_has_none() -> None:
    assert adapter_shapes(Generator((8, 8, 8, 8), separable=False, spectral=True)) == {}
