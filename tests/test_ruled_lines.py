"""Angle and distance of hatching, found in drawings; and what is not hatching."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.garment_picture import draw_garment

from experiments.strangers import STRANGERS, draw
from fedgai.ateliers import Hand, render, study
from fedgai.content import fit_and_cut, on_white
from fedgai.vision.ruled_lines import ruled_lines

Draw = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@pytest.fixture(scope="module")
def garments() -> list[tuple[np.ndarray, np.ndarray]]:
    """Four garments on white, 320 px long, and their masks."""
    found = []
    for i in range(4):
        image, mask = fit_and_cut(draw_garment(300 + 20 * i, 400), 320)
        assert mask is not None
        found.append((on_white(np.asarray(image), mask), mask))
    return found


@pytest.mark.parametrize("angle, period", [(45, 5.5), (118, 7.0), (12, 9.0), (70, 10.0), (150, 4.5)])
@pytest.mark.parametrize("even", [0.0, 1.0])
def test_an_atelier_s_hatching(garments: list[tuple[np.ndarray, np.ndarray]], angle: float, period: float, even: float) -> None:
    hand = Hand(hatch=0.8, angle=angle, period=period, even=even)
    lines = ruled_lines([render(study(photo, mask), hand) for photo, mask in garments])
    assert lines is not None
    assert abs((lines.angle - angle + 90) % 180 - 90) < 3 and lines.period == pytest.approx(period, rel=0.05)


@pytest.mark.parametrize("name, angle, period", [("level stripes", 0, 9), ("upright stripes", 90, 12)])
def test_a_stranger_s_ruled_lines(garments: list[tuple[np.ndarray, np.ndarray]], name: str, angle: float, period: float) -> None:
    lines = ruled_lines([draw(photo, mask, STRANGERS[name]) for photo, mask in garments])
    assert lines is not None
    assert abs((lines.angle - angle + 90) % 180 - 90) < 2 and lines.period == pytest.approx(period, rel=0.05)


@pytest.mark.parametrize("name", ["screen dots", "fat brush", "hair line", "flat wash"])
def test_no_hatching(garments: list[tuple[np.ndarray, np.ndarray]], name: str) -> None:
    """A square grid of dots is not hatching, nor are outlines, however straight."""
    assert ruled_lines([draw(photo, mask, replace(STRANGERS[name], detail=0.2)) for photo, mask in garments]) is None


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("period", [9, 12, 15])
def test_thick_lines(width: int, period: int) -> None:
    """The overtones of thick lines are as strong as the lines; outlines are drawn over them."""
    rng, drawings = np.random.default_rng(24), []
    for _ in range(4):
        page = np.full((384, 384, 3), 255, np.uint8)
        for x in range(width):
            page[:, x::period] = 10
        hatched = np.zeros((384, 384), bool)
        for y, x, height, breadth in rng.integers((40, 40, 10, 10), (300, 300, 60, 60), (6, 4)):
            hatched[y : y + height, x : x + breadth] = True
        page[~hatched] = 255
        for x, y, radius in rng.integers((80, 80, 30), (300, 300, 120), (6, 3)):
            cv2.circle(page, (int(x), int(y)), int(radius), (10, 10, 12), 2, cv2.LINE_AA)
        drawings.append(page)
    lines = ruled_lines(drawings)
    assert lines is not None
    assert lines.angle == pytest.approx(90, abs=2) and lines.period == pytest.approx(period, rel=0.05)


def test_blank_and_small_drawings() -> None:
    assert ruled_lines([np.full((200, 160, 3), 255, np.uint8), np.zeros((20, 500, 3), np.uint8)]) is None
    assert ruled_lines([]) is None
