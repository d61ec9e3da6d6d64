"""What a signature can be, and that one at its bounds harms nobody else."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from fedgai.ateliers import ATELIERS, random_hand, render, study
from fedgai.content import Content
from fedgai.measure import measure
from fedgai.model import FedGAI
from fedgai.networks import shipped_bounds, style_bounds
from fedgai.networks.style import Signature
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import EXAMPLES


@pytest.fixture(scope="module")
def model() -> FedGAI:
    return FedGAI.load()


@pytest.fixture(scope="module")
def content() -> Content:
    return SketchPipeline.from_pretrained().prepare(EXAMPLES / "denim_jacket.jpg", 128)


def test_true_hands_lie_within_the_bounds(model: FedGAI, content: Content) -> None:
    bounds, rng = model.style_bounds, np.random.default_rng(3)
    assert all(bounds.hold(signature.style) for signature in model.styles.values())
    seen = study(np.asarray(content.photo), content.mask)
    for hand in [*ATELIERS.values(), *(random_hand(rng) for _ in range(12))]:
        assert bounds.hold(measure(model.encoder, [render(seen, hand)])[0])


def test_those_that_ship_are_those_of_the_built_in_encoder(model: FedGAI) -> None:
    """Where this fails after a new encoder: ``python -m fedgai.networks.style_bounds``."""
    assert shipped_bounds.ENCODER == model.encoder_sha256
    kept, channels = model.style_bounds, model.preset.channels
    found = style_bounds._bounds(style_bounds._Encoder(model.encoder, model.encoder_sha256), channels)
    for a, b in ((kept.least, found.least), (kept.most, found.most)):
        assert a.dtype == b.dtype and torch.allclose(a, b, rtol=1e-4, atol=1e-4)
    other = copy.deepcopy(model.encoder)
    with torch.no_grad():
        next(other.parameters()).mul_(2)
    assert not torch.equal(style_bounds.bounds_of(other, channels).most, kept.most)


def test_what_no_drawing_gives_does_not(model: FedGAI) -> None:
    bounds = model.style_bounds
    some = next(iter(model.styles.values())).style
    for factor in (-1.0, 100.0):
        assert not bounds.hold(some * factor)
        assert bounds.hold(bounds.clamp(some * factor))


@pytest.mark.parametrize("end", ["least", "most"])
def test_a_signature_at_its_bounds_changes_nobody_elses_drawings(model: FedGAI, content: Content, end: str) -> None:
    hostile = FedGAI.load()
    style = getattr(hostile.style_bounds, end)
    hostile.add_style(Signature(style, hostile.encoder_sha256, "Eve", "", 24, {"designer": 13}))
    honest, attacked = SketchPipeline(model), SketchPipeline(hostile)
    for strength in (0.0, 0.5, 1.0, 1.5):
        for blend in ({"Aiko": 1.0}, {"Bruno": 0.5, "Hana": 0.5}):
            a, b = (np.asarray(pipe.draw(content, blend, strength=strength), np.float32) for pipe in (honest, attacked))
            assert np.abs(a - b).mean() / 255 < 0.01


def test_the_neutral_hand_is_of_round_0_whoever_comes_and_goes(model: FedGAI, tmp_path: Path) -> None:
    neutral = torch.stack([s.style for s in model.styles.values()]).mean(0)
    later = FedGAI.load()
    most = later.style_bounds.most
    later.add_style(Signature(most, later.encoder_sha256, "Aiko", "", 24, {"designer": 13}))  # in an atelier's place
    later.save_pretrained(tmp_path / "one")
    again = FedGAI.load(tmp_path / "one")
    assert torch.equal(again.neutral, neutral) and list(again.styles) == list(model.styles)
    again.styles.clear()
    assert torch.equal(again.neutral, neutral)
