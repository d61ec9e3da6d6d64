"""Each metric against an independent computation."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import linalg
from test_train import draw_pairs

from fedgai.metrics import (
    boundary_fscore,
    dominant_period,
    evaluate,
    frechet_distance,
    kernel_distance,
    luminance,
    mid_grey_share,
    pixel_frechet,
)
from fedgai.strokes import stroke_code, stroke_field


def page(*boxes: tuple[int, int, int, int], side: int = 64) -> np.ndarray:
    image = Image.new("L", (side, side), "white")
    for box in boxes:
        ImageDraw.Draw(image).rectangle(box, fill="black")
    return np.array(image)


def stripes(period: float, angle: float, side: int = 64) -> np.ndarray:
    y, x = np.mgrid[0:side, 0:side]
    a = math.radians(angle)
    return 128 + 100 * np.cos(2 * np.pi * (x * np.sin(a) + y * np.cos(a)) / period)


def test_luminance_is_pils() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(luminance(rgb), np.array(Image.fromarray(rgb).convert("L")))
    assert (luminance(np.full((2, 2, 3), 128, np.uint8)) == 128).all()


def test_boundary_fscore_against_a_count_by_hand() -> None:
    drawn, reference = page((10, 10, 29, 29)), page((13, 10, 29, 29), (40, 40, 40, 59))

    def boundary(image: np.ndarray) -> list[tuple[int, int]]:
        ink = image < 128
        return [(y, x) for y in range(64) for x in range(64) if ink[y, x] and not (
            ink[max(y - 1, 0), x] and ink[min(y + 1, 63), x] and ink[y, max(x - 1, 0)] and ink[y, min(x + 1, 63)])]

    a, b = boundary(drawn), boundary(reference)
    near = lambda p, others: any(math.dist(p, q) <= 2 for q in others)  # noqa: E731
    precision, recall = sum(near(p, b) for p in a) / len(a), sum(near(p, a) for p in b) / len(b)
    assert 0.5 < precision < 1 and 0.5 < recall < 1
    assert boundary_fscore(drawn, reference) == pytest.approx(2 * precision * recall / (precision + recall))


def test_boundary_fscore_forgives_two_pixels_and_not_three() -> None:
    line = page((10, 20, 50, 20))
    assert boundary_fscore(line, line) == 1
    assert boundary_fscore(line, page((10, 22, 50, 22))) == 1
    assert boundary_fscore(line, page((10, 23, 50, 23))) == 0
    assert boundary_fscore(line, page((10, 23, 50, 23)), tolerance=3) == 1
    assert boundary_fscore(np.stack([line] * 3, -1), line) == 1


def test_boundary_fscore_of_blank_pages() -> None:
    blank, line = page(), page((10, 20, 50, 20))
    assert boundary_fscore(blank, blank) == 1
    assert boundary_fscore(blank, line) == boundary_fscore(line, blank) == 0


def test_mid_grey_share() -> None:
    levels = np.array([[0, 63, 64, 128], [192, 193, 255, 100]], np.uint8)
    assert mid_grey_share(levels) == 4 / 8
    assert mid_grey_share(np.stack([levels] * 3, -1)) == 4 / 8


@pytest.mark.parametrize("angle", [0, 30, 45, 90, 135, 170])
@pytest.mark.parametrize("period", [3.5, 5.0, 8.0, 14.0])
def test_dominant_period_of_stripes(period: float, angle: float) -> None:
    found, at = dominant_period(stripes(period, angle))
    assert found == pytest.approx(period, rel=0.02)
    assert abs((at - angle + 90) % 180 - 90) < 1.5


def test_dominant_period_sees_hatching_through_shading_and_noise() -> None:
    x = np.arange(64)
    shaded = stripes(6, 30) / 4 + 2.5 * x + np.random.default_rng(0).normal(0, 10, (64, 64))
    found, at = dominant_period(shaded)
    assert found == pytest.approx(6, rel=0.05) and at == pytest.approx(30, abs=4)


def test_dominant_period_reads_the_pens_own_lattice() -> None:
    field = stroke_field(stroke_code(40, 6)[None], 96, 96)[0, :, :, 0].numpy()
    found, at = dominant_period(field * 100 + 128)
    assert found == pytest.approx(6, rel=0.1) and at == pytest.approx(40, abs=6)


def test_dominant_period_of_nothing() -> None:
    assert all(math.isnan(v) for v in dominant_period(np.full((32, 32), 200)))
    with pytest.raises(ValueError, match="12 x 12"):
        dominant_period(np.zeros((64, 8)))


def test_frechet_distance_against_the_matrix_square_root() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 6)), rng.normal(1, 2, (150, 6)) @ rng.normal(size=(6, 6))
    s_a, s_b = np.cov(a.T), np.cov(b.T)
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(s_a + s_b - 2 * linalg.sqrtm(s_a @ s_b).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_in_one_dimension_is_between_means_and_deviations() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (500, 1)), rng.normal(3, 2, (500, 1))
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_frechet_distance_is_sound_with_fewer_rows_than_dimensions() -> None:
    a = np.random.default_rng(0).normal(size=(5, 128))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a + 1) == pytest.approx(128, rel=1e-6)


def test_kernel_distance_against_loops() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 4)), rng.normal(0.5, 1, (9, 4))
    k = lambda x, y: (x @ y / 4 + 1) ** 3  # noqa: E731
    within_a = np.mean([k(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j])
    within_b = np.mean([k(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j])
    across = np.mean([k(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * across)


def test_pixel_frechet_is_of_the_red_channels_rows() -> None:
    rng = np.random.default_rng(0)
    sketch, photo = rng.uniform(-1, 1, (2, 40, 8, 3))
    rows_s, rows_p = sketch[..., 0], photo[..., 0]
    s, p = np.cov(rows_s.T), np.cov(rows_p.T)
    expected = np.sum((rows_s.mean(0) - rows_p.mean(0)) ** 2) + np.trace(s + p - 2 * linalg.sqrtm(s @ p).real)
    assert pixel_frechet(sketch, photo) == pytest.approx(expected, rel=1e-9)


def test_evaluate(tiny_model_dir: Path, tmp_path: Path) -> None:
    data = draw_pairs(tmp_path / "Ada", count=3)
    metrics = evaluate(data, tiny_model_dir, size=64)
    assert json.loads(json.dumps(metrics)) == metrics
    assert metrics["pairs"] == 3 and metrics["preset"] == "edge" and metrics["size"] == 64
    numbers = {k: v for k, v in metrics.items() if k not in ("pairs", "size", "preset", "encoder_sha256")}
    assert set(numbers) == {"style_distance", "style_distance_real", "gram_distance", "ssim", "boundary_fscore",
                            "mid_grey_share", "mid_grey_share_real", "pixel_frechet", "frechet_encoder", "kid_encoder"}
    assert all(math.isfinite(v) for v in numbers.values())
    assert metrics["style_distance_real"] < metrics["style_distance"]  # untrained, so not in the hand
    assert metrics == evaluate(data, tiny_model_dir, size=64)


def test_evaluate_of_a_single_pair_has_no_set_metrics(tiny_model_dir: Path, tmp_path: Path) -> None:
    metrics = evaluate(draw_pairs(tmp_path / "one", count=1), tiny_model_dir, size=64)
    assert metrics["frechet_encoder"] is None and metrics["kid_encoder"] is None
