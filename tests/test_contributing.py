"""What CONTRIBUTING.md says how to add is added here, by its own code, and used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message
from PIL import Image

from federation.server.aggregation import RULES, UpdateLimits
from federation.server.strategy import DiscriminatorAvg
from federation.server.update_spec import UpdateSpec
from fedgai.ateliers import ATELIERS, draw
from fedgai.model import PRESETS, FedGAI
from fedgai.pipeline import SketchPipeline
from fedgai.training.local import TrainConfig, train
from fedgai.training.losses import GENERATOR_LOSSES

PAGE = (Path(__file__).resolve().parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (Add an? [\w ]+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))


@pytest.fixture
def follow() -> Iterator[Callable[[str], None]]:
    """Runs a section's code. Whatever it adds is gone after the test."""
    with patch.dict(ATELIERS), patch.dict(PRESETS), patch.dict(RULES), patch.dict(GENERATOR_LOSSES):
        yield lambda title: exec(re.search(r"```python\n(.*?)```", SECTIONS[title], re.S)[1], {})


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(24)
    for kind in ("photos", "sketches"):
        (tmp_path / "pairs" / kind).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "pairs" / kind / f"{i}.png")
    return tmp_path / "pairs"


@pytest.mark.parametrize("title", ["Add a hand", "Add a loss", "Add a preset", "Add an aggregation rule"])
def test_is_said_in_under_thirty_lines(title: str) -> None:
    assert SECTIONS[title].strip().count("\n") < 29


def test_a_hand(follow: Callable[[str], None], garment_photo: Path, tiny_model_dir: Path) -> None:
    follow("Add a hand")
    photo = np.asarray(Image.open(garment_photo))
    drawn = draw(photo, ATELIERS["Ines"])
    assert all((drawn != draw(photo, hand)).any() for name, hand in ATELIERS.items() if name != "Ines")
    pipeline = SketchPipeline.from_pretrained(tiny_model_dir)
    signature = pipeline.signature([drawn], "Ines")
    assert pipeline(garment_photo, {signature: 1}, size=64, cutout=False).images[0].width > 0


def test_a_loss(follow: Callable[[str], None], pairs: Path, tmp_path: Path) -> None:
    follow("Add a loss")
    config = TrainConfig(size=64, decorr_rows=2, epochs=1)
    seen: list[dict[str, float]] = []
    train(pairs, tmp_path / "out", config=config, start=None, progress=False, on_step=lambda report: seen.append(report.losses))
    assert len(seen) == 2 and all(losses["ink"] > 0 for losses in seen)


def test_a_preset(follow: Callable[[str], None], pairs: Path, tmp_path: Path) -> None:
    follow("Add a preset")
    config = TrainConfig(size=64, decorr_rows=2, epochs=1)
    train(pairs, tmp_path / "out", preset="small", config=config, start=None, progress=False)
    model = FedGAI.load(tmp_path / "out")
    assert model.preset.name == "small" and len(model.styles) == 1


def test_an_aggregation_rule(follow: Callable[[str], None]) -> None:
    follow("Add an aggregation rule")
    torch.manual_seed(24)
    model = FedGAI("edge")
    spec = UpdateSpec.from_discriminator(model.discriminator, "edge", "0" * 64, "1", model.preset.channels)
    sent = np.zeros(spec.size, np.float32)
    strategy = DiscriminatorAvg(spec, UpdateLimits(aggregation="geometric-median", norm_factor=1e6))
    strategy.expect(1, spec.record(sent))

    def reply(node: int, value: float) -> Message:
        designer = {"round": 1, "encoder": "0" * 64, "preset": "edge", "release": "1"}
        update = np.full(spec.size, value + node / 4096, np.float32)
        content = {
            "arrays": spec.record(update),
            "metrics": MetricRecord({"num-examples": 10}),
            "designer": ConfigRecord(designer),
        }
        return make_message(Metadata(1, "", node, 0, "", "", 0.0, 60.0, "train"), RecordDict(content))

    arrays, _ = strategy.aggregate_train(1, [reply(1, 1), reply(2, 1), reply(3, 1), reply(4, 60)])
    assert arrays is not None and all(verdict.accepted for verdict in strategy.verdicts)
    assert np.abs(spec.row(arrays) - 1).max() < 0.1  # where the mean is at 15.75
    assert "geometric median" in strategy.description
