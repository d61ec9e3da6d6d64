"""The hands that nobody trains on: what they draw of a garment."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from experiments.strangers import STRANGERS, Cut, cut, draw
from fedgai.model import FedGAI
from fedgai.shipped import EXAMPLES, WEIGHTS


@pytest.fixture(scope="module")
def garments() -> list[Cut]:
    return cut(Path(EXAMPLES), 8, FedGAI.load(WEIGHTS).draughtsman)


def inner_ink(drawing: np.ndarray, garment: Cut) -> float:
    """Share of ink well inside the garment."""
    inside = cv2.erode((garment.mask > 0.5).astype(np.uint8), np.ones((31, 31), np.uint8)) > 0
    return float((drawing[inside].mean(1) < 128).mean())


def test_they_leave_the_print_out_unless_they_draw_the_photograph(garments: list[Cut]) -> None:
    hand = STRANGERS["fat brush"]
    plain = [inner_ink(draw(g.photo, g.mask, hand, 0, g.seen), g) for g in garments]
    printed = [inner_ink(draw(g.photo, g.mask, hand, 0), g) for g in garments]
    assert np.mean(plain) < 0.5 * np.mean(printed)  # 0.12 of the cloth against 0.32


def test_the_same_seed_draws_the_same(garments: list[Cut]) -> None:
    for name, hand in STRANGERS.items():
        one, again, other = (draw(garments[0].photo, garments[0].mask, hand, seed, garments[0].seen) for seed in (1, 1, 2))
        assert np.array_equal(one, again)
        assert np.array_equal(one, other) is (hand.shake == 0), name
