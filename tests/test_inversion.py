"""The attacker of experiments/inversion.py knows the training exactly: else its failures would say nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.garment_picture import draw_garment
from torch import Tensor

from experiments import inversion
from experiments.inversion import Attacker, auc, cosine, invert, record, shares, simulated, stacks_of, tensor, traced
from fedgai.model import FedGAI
from fedgai.networks.style import StreamingStatistics
from fedgai.training.local import LocalTrainer


@pytest.fixture(scope="module")
def pairs() -> tuple[list[np.ndarray], list[np.ndarray]]:
    photos = [draw_garment(size, inversion.SIZE) for size in (40, 48, 56)]
    squares = [inversion.square(np.asarray(photo)) for photo in photos]
    # ink on white paper: any other paper is made white when a designer's folder is read
    lines = [inversion.square(np.asarray(p.convert("L").point(lambda v: 255 * (v > 127)).convert("RGB"))) for p in photos]
    return squares, lines


def trained_under(attacker: Attacker, sketches: list[np.ndarray]) -> Tensor:
    """The style that a designer's squares are drawn under at home: their statistics. The signature is measured otherwise."""
    statistics = StreamingStatistics()
    statistics.update(attacker.encoder(tensor(sketches)))
    return statistics.style()


def test_an_update_is_predicted_by_whoever_knows_the_drawings(pairs: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, sketches = pairs
    step = LocalTrainer.step

    def frozen(trainer: LocalTrainer) -> dict[str, float]:
        for group in trainer.optimisers["generator"].param_groups:
            group["lr"] = 0.0
        return step(trainer)

    monkeypatch.setattr(LocalTrainer, "step", frozen)  # what the private Generator drew is known then, too
    model = FedGAI.load()
    attacker = Attacker(model, photos)
    [seen] = record(model, photos, sketches, 2)
    real, drawn = stacks_of(attacker, sketches), attacker.drawn(trained_under(attacker, sketches))
    others = stacks_of(attacker, [np.ascontiguousarray(sketch[::-1]) for sketch in sketches])  # upside down
    fit, wrong = (cosine(simulated(attacker, seen.sent, rows, drawn, 6), seen.update) for rows in (real, others))
    assert fit > 0.9 and fit > wrong + 0.01  # 0.94 and 0.92; before the lesson on light, fit was above 0.995
    [seen] = record(model, photos[:1], sketches[:1], 1)
    drawn = attacker.drawn(trained_under(attacker, sketches[:1]))
    assert cosine(attacker.direction(seen.sent, real[:1], drawn[:1]), seen.update) > 0.9


def test_a_picture_is_found_that_fits_better_than_its_start(pairs: tuple) -> None:
    attacker = Attacker(FedGAI.load(), pairs[0])
    goal = inversion.gram_goal(attacker, stacks_of(attacker, pairs[1][:1]))
    _, before = invert(goal, 1, 1)
    [found], after = invert(goal, 1, 25)
    assert after < 0.5 * before and found.shape == (inversion.SIZE, inversion.SIZE, 3)


def test_members_are_told_from_a_mean() -> None:
    rows = torch.randn(100, 200, generator=torch.Generator().manual_seed(24))
    members, others, references = rows.split([10, 20, 70])
    score = shares(rows[:30] + 5, references + 5, members.mean(0) + 5)
    assert auc(score[:10], score[10:]) == 1
    score = traced(rows[:30], references, members.mean(0))
    assert auc(score[:10], score[10:]) > 0.8
    assert auc(others[:, 0], others[:, 0]) == 0.5
