"""Style as statistics: AdaIN_SD, the streamed whole-set statistics, blends, signatures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from fedgai.networks.style import (
    EPS,
    AdaIN_SD,
    Signature,
    StreamingStatistics,
    blend,
    channel_statistics,
    image_statistics,
    split,
    style_distance,
)

CHANNELS = (3, 5)


def maps(batch: int, side: int = 8, seed: int = 0, offset: float = 0.0) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, c, side, side, generator=rng) * (c + 1) + offset for c in CHANNELS]


def one_pass(batches: list[list[Tensor]]) -> Tensor:
    """The definition, in float64: mean and deviation per channel over all sketches and positions (dims 0, 2, 3)."""
    parts = []
    for level in range(len(CHANNELS)):
        rows = torch.cat([b[level].double().permute(0, 2, 3, 1).flatten(0, 2) for b in batches])
        parts += [rows.mean(0), (rows.var(0, unbiased=False) + EPS).sqrt()]
    return torch.cat(parts)


def streamed(batches: list[list[Tensor]]) -> Tensor:
    statistics = StreamingStatistics()
    for batch in batches:
        statistics.update(batch)
    return statistics.style()


def test_adain_gives_the_content_the_sets_statistics() -> None:
    content = maps(2)[1]
    mean, std = torch.randn(1, 5), torch.rand(1, 5) + 0.5
    styled = AdaIN_SD()(content, mean, std)
    now_mean, now_std = channel_statistics(styled)
    assert torch.allclose(now_mean, mean.expand(2, -1), atol=1e-4)
    assert torch.allclose(now_std, std.expand(2, -1), atol=1e-4)


def test_adain_matches_the_formula() -> None:
    content = maps(2)[0]
    mean, std = torch.randn(2, 3), torch.rand(2, 3)
    c = content.double().numpy()
    normalised = (c - c.mean((2, 3), keepdims=True)) / np.sqrt(c.var((2, 3), keepdims=True) + 1e-6)
    expected = normalised * std.double().numpy()[:, :, None, None] + mean.double().numpy()[:, :, None, None]
    assert np.allclose(AdaIN_SD()(content, mean, std).numpy(), expected, atol=1e-4)


def test_adain_of_a_blank_photograph_is_finite() -> None:
    blank = torch.ones(1, 3, 8, 8, requires_grad=True)
    styled = AdaIN_SD()(blank, torch.zeros(1, 3), torch.ones(1, 3))
    styled.sum().backward()
    assert torch.isfinite(styled).all() and torch.isfinite(blank.grad).all()


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=6), offset=st.sampled_from([0.0, 30.0]))
def test_streaming_is_exact_whatever_the_batches(sizes: list[int], offset: float) -> None:
    batches = [maps(n, seed=i, offset=offset) for i, n in enumerate(sizes)]
    assert torch.allclose(streamed(batches).double(), one_pass(batches), rtol=1e-5, atol=1e-5)


def test_streaming_takes_drawings_of_different_sizes() -> None:
    batches = [maps(1, side=side, seed=side) for side in (4, 8, 16)]
    assert torch.allclose(streamed(batches).double(), one_pass(batches), rtol=1e-5, atol=1e-5)


def test_streaming_memory_does_not_grow_with_the_set() -> None:
    statistics = StreamingStatistics()
    held = []
    for i in range(20):
        statistics.update(maps(1, seed=i))
        held.append(sum(t.numel() for t in vars(statistics)["_mean"] + vars(statistics)["_m2"]))
    assert statistics.images == 20
    assert set(held) == {2 * sum(CHANNELS)}


def test_no_sketch_no_statistics() -> None:
    with pytest.raises(ValueError, match="no sketch"):
        StreamingStatistics().style()


def test_one_image_is_a_set_of_one() -> None:
    assert torch.allclose(image_statistics(maps(1))[0], streamed([maps(1)]), atol=1e-5)


def test_the_gradients_of_the_statistics_are_those_of_their_definition() -> None:
    """The first and the second: attacks on signatures (``experiments.inversion``) take both."""

    def defined(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean((2, 3)), (x.var((2, 3), unbiased=False) + EPS).sqrt()

    weights, found = torch.randn(2, 2, 5, generator=torch.Generator().manual_seed(1)), []
    for statistics in (defined, channel_statistics):
        x = maps(2)[1].requires_grad_(True)
        mean, std = statistics(x)
        loss = (weights[0] * mean.square()).sum() + (weights[1] * std.exp()).sum()
        (first,) = torch.autograd.grad(loss, [x], create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), [x])
        found.append((first, second))
    for one, two in zip(*found, strict=True):
        assert one.abs().max() > 0 and torch.allclose(one, two, rtol=1e-4, atol=1e-6)
    flat = torch.full((1, 1, 4, 4), 0.3, requires_grad=True)  # rounding may make a variance of nothing negative
    (slope,) = torch.autograd.grad(channel_statistics(flat)[1].sum(), [flat])
    assert slope.abs().max() < 1e-3


def test_split_gives_each_level_its_mean_and_deviation() -> None:
    style = image_statistics(maps(2))
    for f, (mean, std) in zip(maps(2), split(style, CHANNELS), strict=True):
        expected_mean, expected_std = channel_statistics(f)
        assert torch.equal(mean, expected_mean) and torch.equal(std, expected_std)


def test_blend() -> None:
    a, b, c = torch.eye(3)
    styles = torch.stack([a, b, c])
    assert torch.equal(blend(styles, [0, 1, 0]), b)
    assert torch.allclose(blend(styles, [1, 1, 2]), (a + b + 2 * c) / 4)
    assert torch.allclose(blend(styles, [10, 10, 20]), blend(styles, [1, 1, 2]))


@pytest.mark.parametrize("weights", [[0, 0], [-1, 2], [float("nan"), 1], [float("inf"), 1], [1]])
def test_weights_that_make_no_blend_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="style weights"):
        blend(torch.eye(2), weights)


def test_a_blend_moves_steadily_from_one_hand_to_the_other() -> None:
    a, b = image_statistics(maps(1, seed=1))[0], image_statistics(maps(1, seed=2, offset=2))[0]
    steps = [blend(torch.stack([a, b]), [1 - t, t]) for t in (0, 0.25, 0.5, 0.75, 1)]
    to_b = [style_distance(s, b, CHANNELS).item() for s in steps]
    assert to_b == sorted(to_b, reverse=True) and to_b[-1] == 0


def test_style_distance_weighs_levels_alike_however_wide() -> None:
    a = torch.zeros(2 * sum(CHANNELS))
    first, second = a.clone(), a.clone()
    first[:6] = 1  # all of level 1
    second[6:] = 1  # all of level 2, which is wider
    assert style_distance(a, first, CHANNELS).item() == pytest.approx(style_distance(a, second, CHANNELS).item())
    assert style_distance(a, first, CHANNELS).item() == pytest.approx(1)  # sqrt((1 + 1) / 2 levels)


def test_a_signature_survives_the_disk(tmp_path: Path) -> None:
    signature = Signature(image_statistics(maps(1))[0], "ab" * 32, "Zoë", "thin and even", 24, {"round": 3})
    signature.save(tmp_path / "zoe.safetensors")
    read = Signature.load(tmp_path / "zoe.safetensors")
    assert torch.equal(read.style, signature.style)
    assert (read.encoder, read.name, read.description, read.sketches, read.extra) == (
        signature.encoder,
        "Zoë",
        "thin and even",
        24,
        {"round": 3},
    )


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "{}",
        "null",
        "[" * 100_000,
        '{"encoder": "x", "name": null, "description": "", "sketches": 3}',
        *(
            f'{{"encoder": "x", "name": "", "description": "", "sketches": {n}}}'
            for n in ("[1]", '"many"', "1e999", "null", "-5")
        ),
    ],
    ids=lambda header: header[:70],
)
def test_a_signature_with_a_false_header_is_refused(header: str, tmp_path: Path) -> None:
    save_file({"style": torch.zeros(4)}, tmp_path / "false.safetensors", {"fedgai_signature": header})
    with pytest.raises(ValueError, match=r"false\.safetensors"):
        Signature.load(tmp_path / "false.safetensors")


def test_what_is_no_signature_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a signature")
    save_file({"style": torch.zeros(4)}, str(tmp_path / "bare"))
    Signature(torch.full((4,), float("nan")), "ab").save(tmp_path / "nan")
    Signature(torch.zeros(2, 2), "ab").save(tmp_path / "square")
    for name in ("text", "bare", "nan", "square", "missing"):
        with pytest.raises(ValueError, match=name):
            Signature.load(tmp_path / name)


@pytest.mark.parametrize(("shape", "dim"), [((10,), -1), ((3, 10), -1), ((2, 10, 1, 1), 1)])
def test_numbers_are_split_into_levels(shape: tuple[int, ...], dim: int) -> None:
    numbers = torch.arange(10.0).reshape([-1 if size == 10 else 1 for size in shape]).expand(shape)
    levels = [tuple(part.unique().tolist() for part in level) for level in split(numbers, (2, 3), dim)]
    assert levels == [([0, 1], [2, 3]), ([4, 5, 6], [7, 8, 9])]
