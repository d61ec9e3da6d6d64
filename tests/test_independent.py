"""Measures that know nothing of our encoder: each tells what it is there to tell."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fedgai.evaluation import independent


def lines(
    width: int = 2, angle: float = 0.0, step: int = 24, ink: tuple[int, int, int] = (0, 0, 0), side: int = 512
) -> Image.Image:
    image = Image.new("RGB", (side, side), "white")
    pen, direction = ImageDraw.Draw(image), np.array([np.cos(np.radians(angle)), -np.sin(np.radians(angle))])
    across = np.array([-direction[1], direction[0]])
    for offset in range(-side // 3, side // 3, step):
        middle = np.array([side / 2, side / 2]) + offset * across
        pen.line([tuple(middle - direction * side / 4), tuple(middle + direction * side / 4)], fill=ink, width=width)
    return image


def apart(a: Image.Image, b: Image.Image) -> dict[str, float]:
    return independent.distances(independent.describe(a), independent.describe(b))


def test_a_drawing_is_like_itself_and_all_figures_are_finite() -> None:
    assert independent.distance(independent.describe(lines()), independent.describe(lines())) == 0
    blank = independent.describe(Image.new("RGB", (64, 80), "white"))
    assert all(np.isfinite(v).all() for v in blank.values())
    assert set(blank) == set(independent.MEASURES) == set(independent.SCALES) and min(independent.SCALES.values()) > 0


@pytest.mark.parametrize(
    ("measure", "other"),
    [
        ("width", {"width": 8}),
        ("direction", {"angle": 90}),
        ("tone", {"step": 6}),
        ("spectrum", {"step": 6}),
        ("colour", {"ink": (180, 40, 30)}),
    ],
)
def test_each_measure_tells_what_changed(measure: str, other: dict) -> None:
    scale = independent.SCALES[measure]
    found = apart(lines(), lines(**other))[measure] / scale
    assert found > 0.3
    if measure in ("direction", "colour", "width"):
        still = apart(lines(), lines(step=23))[measure] / scale
        assert still < found / 3


def test_width_is_a_share_of_the_page() -> None:
    assert apart(lines(5, side=512), lines(10, side=1024, step=48))["width"] < independent.SCALES["width"] / 2
    described = independent.describe(lines(6))["width"]
    assert described[2] < 0.5 and described[4] > 0.9  # most of it is wider than 3.5 px, none wider than 7


def test_a_set_is_described_by_its_mean() -> None:
    a, b = independent.describe(lines()), independent.describe(lines(8))
    assert np.allclose(independent.mean([a, b])["tone"], (a["tone"] + b["tone"]) / 2)
    with pytest.raises(ValueError, match="no drawing"):
        independent.mean([])
