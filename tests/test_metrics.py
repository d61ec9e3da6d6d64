"""Each metric against an independent computation."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.drawn_pairs import draw_pairs
from PIL import Image, ImageDraw
from scipy import linalg
from skimage.metrics import structural_similarity

from fedgai import torchvision_ops
from fedgai.data.pairs import PairsError
from fedgai.evaluation.metrics import (
    FIGURES,
    boundary_fscore,
    dominant_period,
    evaluate,
    frechet_distance,
    fusion_gain,
    kernel_distance,
    luminance,
    mid_grey_share,
    pixel_frechet,
    table,
)
from fedgai.networks.hatching import stroke_code, stroke_field


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
        return [
            (y, x)
            for y in range(64)
            for x in range(64)
            if ink[y, x]
            and not (ink[max(y - 1, 0), x] and ink[min(y + 1, 63), x] and ink[y, max(x - 1, 0)] and ink[y, min(x + 1, 63)])
        ]

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


def test_frechet_and_kernel_distance_against_torch_fidelity() -> None:
    torchvision_ops.declare_missing()
    fid, kid = (pytest.importorskip(f"torch_fidelity.metric_{name}") for name in ("fid", "kid"))
    a, b = torch.randn(2, 90, 32, generator=torch.manual_seed(24), dtype=torch.float64)
    b = 0.5 * b + 0.3
    expected = fid.fid_statistics_to_metric(*map(fid.fid_features_to_statistics, (a, b)), verbose=False)
    assert frechet_distance(a.numpy(), b.numpy()) == pytest.approx(expected["frechet_inception_distance"], rel=1e-6)
    expected = kid.kid_features_to_metric(a, b, kid_subsets=1, kid_subset_size=90, verbose=False)
    assert kernel_distance(a.numpy(), b.numpy()) == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-6)


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


def test_fusion_gain_against_a_loop() -> None:
    alone, federated = np.random.default_rng(0).uniform(0.1, 2, (2, 5))
    gains = [(alone[j] - federated[j]) / alone[j] for j in range(5) if j != 2]
    assert fusion_gain(alone, federated, 2) == pytest.approx(sum(gains) / 4)
    assert fusion_gain(alone, alone, 0) == 0
    assert fusion_gain([9, 1, 4], [1, 1.5, 2], own=0) == 0  # a half farther from one, a half nearer to the other
    for wrong in ([1.0], [1.0, 0.0], [1.0, math.nan]):
        with pytest.raises(ValueError, match="two or more"):
            fusion_gain(wrong, wrong, 0)


def test_pixel_frechet_is_of_the_red_channels_rows() -> None:
    rng = np.random.default_rng(0)
    sketch, photo = rng.uniform(-1, 1, (2, 40, 8, 3))
    rows_s, rows_p = sketch[..., 0], photo[..., 0]
    s, p = np.cov(rows_s.T), np.cov(rows_p.T)
    expected = np.sum((rows_s.mean(0) - rows_p.mean(0)) ** 2) + np.trace(s + p - 2 * linalg.sqrtm(s @ p).real)
    assert pixel_frechet(sketch, photo) == pytest.approx(expected, rel=1e-9)


@pytest.fixture
def no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in ("FEDGAI_INCEPTION", "FEDGAI_VGG16"):
        monkeypatch.setenv(setting, "none.safetensors")


def test_evaluate(tiny_model_dir: Path, tmp_path: Path, no_networks: None) -> None:
    data, seen = draw_pairs(tmp_path / "Ada", count=3), []
    metrics = evaluate(data, tiny_model_dir, size=64, progress=lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert json.loads(json.dumps(metrics)) == metrics
    assert metrics["pairs"] == 3 and metrics["preset"] == "edge" and metrics["size"] == 64
    assert metrics.keys() - FIGURES.keys() == {"pairs", "size", "preset", "encoder_sha256", "missing"}
    assert list(metrics["missing"]) == ["fid", "kid", "lpips"]
    assert all("neither a file" in reason for reason in metrics["missing"].values())
    assert all(metrics[name] is None if name in metrics["missing"] else math.isfinite(metrics[name]) for name in FIGURES)
    assert metrics["style_distance_real"] < metrics["style_distance"]  # untrained, so not in the hand
    assert metrics == evaluate(data, tiny_model_dir, size=64)


def test_evaluate_of_a_single_pair_has_no_set_metrics(tiny_model_dir: Path, tmp_path: Path, no_networks: None) -> None:
    metrics = evaluate(draw_pairs(tmp_path / "one", count=1), tiny_model_dir, size=64)
    for name in ("frechet_encoder", "kid_encoder", "fid", "kid"):
        assert metrics[name] is None and "not enough" in metrics["missing"][name]
    assert "1 pairs at 64 px" in table(metrics) and "frechet_encoder, kid_encoder: one picture is not enough" in table(metrics)


def test_evaluate_compares_no_drawing_with_another_garment_s(tiny_model_dir: Path, tmp_path: Path, no_networks: None) -> None:
    """What compares a drawing with its own sketch differs where sketches change places, and what compares sets does not."""
    data = draw_pairs(tmp_path / "Ada", count=3)
    whole = evaluate(data, tiny_model_dir, size=64)
    first, *others = sorted((data / "sketches").iterdir())
    held = first.rename(first.with_name("held"))
    for left, right in itertools.pairwise([first, *others]):
        right.rename(left)
    held.rename(others[-1])
    moved = evaluate(data, tiny_model_dir, size=64)
    for name in ("ssim", "boundary_fscore", "gram_distance"):
        assert whole[name] != pytest.approx(moved[name], rel=1e-5), name
    for name in ("style_distance_real", "mid_grey_share_real", "style_distance", "pixel_frechet"):
        assert whole[name] == pytest.approx(moved[name], rel=1e-5), name
    shutil.copytree(data / "sketches", data / "guides")
    with pytest.raises(PairsError, match="other garments"):
        evaluate(data, tiny_model_dir, size=64)


def test_ssim_against_its_formula() -> None:
    """A mean over 7 x 7 windows, as ``evaluate`` has it of scikit-image: (2 m m' + c1)(2 s + c2) / ..., Wang et al. 2004."""
    rng = np.random.default_rng(24)
    a = rng.integers(0, 256, (20, 16)).astype(float)
    b = np.clip(a + rng.normal(0, 40, a.shape), 0, 255).round()
    values, (c1, c2) = [], ((0.01 * 255) ** 2, (0.03 * 255) ** 2)
    for y in range(20 - 6):
        for x in range(16 - 6):
            p, q = a[y : y + 7, x : x + 7].ravel(), b[y : y + 7, x : x + 7].ravel()
            cov = np.cov(p, q)
            values.append(
                (2 * p.mean() * q.mean() + c1)
                * (2 * cov[0, 1] + c2)
                / ((p.mean() ** 2 + q.mean() ** 2 + c1) * (cov[0, 0] + cov[1, 1] + c2))
            )
    assert structural_similarity(a, b, data_range=255) == pytest.approx(np.mean(values), rel=1e-9)
