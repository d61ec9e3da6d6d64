"""A signature refined at home: nearer to own drawings or the measured one, bounded, and the house left as it is."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.garment_picture import draw_garment
from PIL import Image
from torch import Tensor

from experiments.strangers import STRANGERS, draw
from federation.designer import own_hand
from federation.designer.own_hand import own_signature, refine_own_hand
from fedgai.content import fit_and_cut, on_white
from fedgai.data.pairs import PairFolder
from fedgai.evaluation import independent
from fedgai.line_choice import LineChoice
from fedgai.model import FedGAI
from fedgai.networks.adapter import STEP, sharper, to_bytes
from fedgai.networks.encoder import sha256
from fedgai.networks.style import Signature
from fedgai.pipeline import SketchPipeline
from fedgai.training import refine_signature
from fedgai.training.learn_adapter import AdapterConfig
from fedgai.training.local import LocalTrainer
from fedgai.training.refine_examples import Example
from fedgai.training.refine_signature import DEARER, GAINS, JUDGEMENTS, SHARES, RefineConfig, Refined, _unit, refine
from fedgai.training.train_config import TrainConfig

pytestmark = pytest.mark.usefixtures("looked_at_once")
SHORT = RefineConfig(steps=24, adapter=AdapterConfig(steps=8))
ADAPTER = SHORT.adapter.steps + len(SHARES) + 1  # what an adapter counts in the progress: steps, judgements, a sharper one


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight garments and a fat brush's drawings of them."""
    found = tmp_path_factory.mktemp("stranger")
    for kind in ("photos", "sketches"):
        (found / kind).mkdir()
    for i in range(8):
        image, mask = fit_and_cut(draw_garment(120 + 10 * i, 192 + 4 * i), 128)
        photo = on_white(np.asarray(image), mask)
        Image.fromarray(photo).save(found / "photos" / f"{i}.png")
        Image.fromarray(draw(photo, mask, replace(STRANGERS["fat brush"], outline=14), i)).save(found / "sketches" / f"{i}.png")
    return found


@pytest.fixture
def model() -> FedGAI:
    return FedGAI.load()


def pairs_of(folder: Path) -> list[tuple[Path, Path]]:
    return [(folder / "photos" / file.name, file) for file in sorted((folder / "sketches").iterdir())]


def test_it_is_nearer_and_stays_within_reach(folder: Path, model: FedGAI) -> None:
    measured = model.signature(sorted((folder / "sketches").iterdir()), "Zoë", "with a brush")
    before, shares = sha256(model), []
    found = refine(model, measured, pairs_of(folder), config=SHORT, progress=shares.append)
    assert found.better and found.after < found.before
    assert found.signature.extra["refined"] and (found.signature.name, found.signature.description) == ("Zoë", "with a brush")
    away = (found.signature.style - measured.style).abs() / _unit(model)
    assert 0 < away.max() <= SHORT.reach + 1e-3 and model.style_bounds.hold(found.signature.style)
    assert sha256(model) == before and any(p.requires_grad for p in model.generator.parameters())
    assert not any(p.requires_grad for p in model.encoder.parameters())
    assert shares == sorted(shares) and shares[-1] == 1
    assert len(shares) == 8 + SHORT.steps + JUDGEMENTS + ADAPTER  # the pairs that are made ready count, too


def test_the_same_drawings_give_the_same_signature(folder: Path, model: FedGAI) -> None:
    measured = model.signature(sorted((folder / "sketches").iterdir()))
    a, b = (refine(model, measured, pairs_of(folder), config=replace(SHORT, steps=10)).signature for _ in range(2))
    assert torch.equal(a.style, b.style) and a.adapter is not None and torch.equal(a.adapter, b.adapter)


def test_two_cores_learn_the_same_each_time(folder: Path, model: FedGAI) -> None:
    measured, threads = model.signature(sorted((folder / "sketches").iterdir())), torch.get_num_threads()
    config = replace(SHORT, steps=4, adapter=AdapterConfig(steps=4))
    found = []
    try:
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            found.append(refine(model, measured, pairs_of(folder), config=config))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    one, two, again = found
    assert (two.before, two.after) == (again.before, again.after) and torch.equal(two.signature.style, again.signature.style)
    assert two.before == pytest.approx(one.before, rel=1e-3)  # rounding
    assert torch.allclose(two.signature.style, one.signature.style, atol=1e-3)
    adapters = [refined.signature.adapter for refined in found]
    assert adapters[1] is not None and adapters[2] is not None and torch.equal(adapters[1], adapters[2])


def test_an_adapter_counts_only_where_it_brings_drawings_nearer(
    folder: Path, model: FedGAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = model.signature(sorted((folder / "sketches").iterdir()))
    config = replace(SHORT, adapter=AdapterConfig(steps=24))
    without = refine(model, measured, pairs_of(folder), config=replace(SHORT, adapter=AdapterConfig(steps=0)))
    found = refine(model, measured, pairs_of(folder), config=config)
    assert found.signature.adapter is not None and found.after < without.after
    assert torch.equal(found.signature.style, without.signature.style) and without.signature.adapter is None
    monkeypatch.setattr(refine_signature, "learn_adapter", lambda start, *_: torch.full_like(start, 0.12))  # black pages
    spoiled = refine(model, measured, pairs_of(folder), config=config)
    assert spoiled.signature.adapter is None and spoiled.after == without.after


def once(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Called the first time; afterwards the same result again, for arguments that are the same."""
    found: list[Tensor] = []

    def remembered(*arguments: object) -> Tensor:
        if not found:
            found.append(function(*arguments))
        return found[0].clone()

    return remembered


def test_a_hand_without_grey_gets_a_sharper_pen(folder: Path, model: FedGAI, monkeypatch: pytest.MonkeyPatch) -> None:
    """As sharp as its own drawings, as long as the drawings that were held out stay near."""
    measured, config = model.signature(sorted((folder / "sketches").iterdir())), replace(SHORT, adapter=AdapterConfig(steps=24))
    for name in ("_descend", "learn_adapter"):  # what is learned does not depend on what this test changes
        monkeypatch.setattr(refine_signature, name, once(getattr(refine_signature, name)))
    monkeypatch.setattr(refine_signature, "GREY", 100.0)
    veiled = refine(model, measured, pairs_of(folder), config=config)
    monkeypatch.setattr(refine_signature, "GREY", 0.0)
    sharp = refine(model, measured, pairs_of(folder), config=config)
    assert veiled.signature.adapter is not None and sharp.signature.adapter is not None
    changes = STEP * veiled.signature.adapter
    expected = to_bytes(sharper(model.for_inference().generator, changes, GAINS[-1], colourless=True))
    assert torch.equal(sharp.signature.adapter, expected) and sharp.after < min(sharp.before, DEARER * veiled.after)
    monkeypatch.setattr(refine_signature, "DEARER", 0.0)
    assert torch.equal(refine(model, measured, pairs_of(folder), config=config).signature.adapter, veiled.signature.adapter)


def test_where_it_is_not_nearer_the_measured_one_stays(folder: Path, model: FedGAI, monkeypatch: pytest.MonkeyPatch) -> None:
    distances = itertools.count(1.0)  # each drawing is farther than the one before; the measured signature is judged first
    monkeypatch.setattr(independent, "distance", lambda drawn, own: next(distances))
    measured = model.signature(sorted((folder / "sketches").iterdir()))
    found = refine(model, measured, pairs_of(folder), config=replace(SHORT, steps=2, adapter=AdapterConfig(steps=2)))
    assert found == Refined(measured, found.before, found.before) and not found.better


def test_pages_with_every_line_go_once_lines_are_chosen(folder: Path, model: FedGAI, monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(pipe: SketchPipeline, measured: Signature, work: Any, before: float) -> tuple[Signature, Any, float]:
        return measured, work.with_lines(LineChoice(stitches=0), pipe), before

    def alive(start: Tensor, begin: Tensor, work: Any, *_: object) -> Tensor:
        gc.collect()
        with_maps = [other for other in gc.get_objects() if type(other) is Example and other.features]
        assert len(with_maps) == len(work.judged) + len(work.learned) + len(work.halves)
        raise KeyboardInterrupt

    monkeypatch.setattr(refine_signature, "_choose_lines", choose)
    monkeypatch.setattr(refine_signature, "_descend", alive)
    measured = model.signature(sorted((folder / "sketches").iterdir()))
    with pytest.raises(KeyboardInterrupt):
        refine(model, measured, pairs_of(folder), config=SHORT)


def test_drawings_without_photographs(folder: Path, model: FedGAI) -> None:
    """They are learned from as pairs are, of the garments that they show."""
    drawings, shares = sorted((folder / "sketches").iterdir()), []
    measured = model.signature(drawings)
    found = refine(model, measured, (), drawings, replace(SHORT, adapter=AdapterConfig(steps=24)), shares.append)
    assert found.better and found.signature.adapter is not None
    assert shares == sorted(shares) and shares[-1] == 1
    assert len(shares) == 2 * 8 + SHORT.steps + JUDGEMENTS + 24 + len(SHARES) + 1  # a picture is made of each garment first
    too_few = refine(model, measured, (), drawings[:3], SHORT)  # none can be kept aside
    assert too_few == Refined(measured, 0.0, 0.0)


def test_drawings_that_show_no_garment_are_left_out(folder: Path, model: FedGAI, tmp_path: Path) -> None:
    drawings, shares = sorted((folder / "sketches").iterdir()), []
    for i in range(3):  # three strokes that enclose nothing
        stroke = np.full((128, 128, 3), 255, np.uint8)
        stroke[20:100, 30 + 20 * i] = 0
        Image.fromarray(stroke).save(tmp_path / f"{i}.png")
    strokes = sorted(tmp_path.iterdir())
    measured, short = model.signature(drawings), replace(SHORT, steps=2, adapter=AdapterConfig(steps=0))
    assert refine(model, measured, (), [*strokes, *drawings[:3]], short) == Refined(measured, 0.0, 0.0)
    assert refine(model, measured, (), [*strokes, *drawings[:5]], short, shares.append).before > 0
    assert shares == sorted(shares) and shares[-1] == 1
    assert shares[0] == 1 / (2 * 8 + 2 + JUDGEMENTS)  # while the first picture is made


def test_hatching_is_drawn_as_it_is_ruled(model: FedGAI, tmp_path: Path) -> None:
    """No gradient reaches hatching's angle and distance: they come from the drawings' spectrum."""
    pairs = []
    for i in range(6):
        image, mask = fit_and_cut(draw_garment(300 + 10 * i, 400), 256)
        assert mask is not None
        pair = tmp_path / f"photo-{i}.png", tmp_path / f"drawing-{i}.png"
        photo = on_white(np.asarray(image), mask)
        Image.fromarray(photo).save(pair[0])
        Image.fromarray(draw(photo, mask, STRANGERS["level stripes"], i)).save(pair[1])
        pairs.append(pair)
    measured = model.signature([drawing for _, drawing in pairs], "Zoë")
    found = refine(model, measured, pairs, config=replace(SHORT, steps=48, adapter=AdapterConfig(steps=0)))
    assert found.better and model.generator.style_head is not None
    codes = [model.generator.style_head(s.style[None])[0][0] for s in (measured, found.signature)]
    before, after = ((math.degrees(math.atan2(code[1], code[0])) / 2, math.exp(code[2])) for code in codes)
    assert abs(after[0]) < 5 < abs(before[0]) and after[1] == pytest.approx(9, rel=0.06)  # degrees, px


def test_at_home_it_is_refined_once_for_these_drawings(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def refined(model: FedGAI, measured: Signature, *_: object, **__: object) -> Refined:
        calls.append(measured)
        return Refined(replace(measured, style=measured.style + 0.01, extra={**measured.extra, "refined": True}), 1.0, 0.5)

    monkeypatch.setattr(own_hand, "refine", refined)
    for _ in range(2):
        trainer = LocalTrainer(FedGAI.load(), PairFolder(folder, 64), TrainConfig(size=64), tmp_path, name="Zoë")
        refine_own_hand(trainer, {})
        shared = own_signature(trainer, {})
        assert torch.allclose(shared.style, trainer.signature.style + 0.01)
        assert torch.equal(trainer.model.styles["Zoë"].style, shared.style)  # what the sliders at home use
        assert torch.equal(trainer.style, shared.style)  # and what the own Generator learns with
    assert len(calls) == 1
    assert torch.equal(own_signature(trainer, {"refine": False}).style, trainer.signature.style)
    draw_garment(64, 96).save(folder / "sketches" / "0.png")  # another drawing: neither file counts any more
    draw_garment(64, 96).save(folder / "photos" / "0.png")
    trainer = LocalTrainer(FedGAI.load(), PairFolder(folder, 64), TrainConfig(size=64), tmp_path, name="Zoë")
    assert torch.equal(own_signature(trainer, {}).style, trainer.signature.style)
