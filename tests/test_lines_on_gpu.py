"""The lesson on lines: its pages and its losses."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.garment_picture import draw_garment

from experiments import lines_on_gpu
from experiments.line_pages import FASTENING, HELD, KNOWN, PAGE, PLANES, Maker, drawn, dyed, is_button, poorer, rendered
from experiments.lines_on_gpu import Ring, fill, losses_of_a_step, worse_light
from experiments.mask_pictures import Shown
from experiments.masks_on_gpu import stored
from fedgai.draughtsman import Network
from fedgai.garments import make
from fedgai.line_types import LINE_TYPES
from fedgai.training import pages
from fedgai.training.photographs import Photograph, facts_about


@pytest.fixture(autouse=True)
def pages_as_large_as_before() -> Iterator[None]:
    """A maker sets the size of pages for its own process."""
    size = pages.HEIGHT, pages.WIDTH
    pages.HEIGHT = pages.WIDTH = PAGE
    yield
    pages.HEIGHT, pages.WIDTH = size


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[Shown]:
    """A drawn garment, kept as ``gather`` keeps photographs."""
    folder = tmp_path_factory.mktemp("photographs")
    photo = np.asarray(draw_garment(320).convert("RGB"))
    mask = (photo[..., 2] > photo[..., 0]).astype(np.float32)  # blue, on wood
    cv2.imwrite(str(folder / "0.png"), photo[..., ::-1])
    cv2.imwrite(str(folder / "0.mask.png"), (255 * mask).astype(np.uint8))
    facts = facts_about(photo, mask)
    return [Shown.of(Photograph(Path(folder / "0.png"), facts["busy"], facts["dark"], tuple(facts["margins"]), True))]


def ring_of(radius: float) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    return (100 + radius * np.stack([np.cos(turn), np.sin(turn)], 1)).astype(np.float32)


def test_only_what_is_small_and_round_and_fastens_is_a_button() -> None:
    assert is_button("fastening", ring_of(5), True, 24)
    assert not is_button("seam", ring_of(5), True, 24)
    assert not is_button("fastening", ring_of(5), False, 24)
    assert not is_button("fastening", ring_of(15), True, 24)
    assert not is_button("fastening", ring_of(5) * np.array([1, 3], np.float32), True, 24)


def test_a_button_is_a_disc_and_every_other_line_two_px_wide_whatever_the_scale() -> None:
    seam = np.array([[50, 40], [50, 160]], np.float32)
    for scale in (0.7, 2.0):
        matrix = np.array([[scale, 0, 10], [0, scale, 20]])
        lines = drawn([("fastening", ring_of(4), True), ("seam", seam, False)], matrix, 24) / 255
        x, y = (100 * scale + shift for shift in (10, 20))
        assert lines[FASTENING, round(y), round(x)] == 1
        radius = float(np.sqrt(lines[FASTENING].sum() / np.pi))
        assert 0 <= radius - max(4 * scale, 2.6) < 0.8
        across = lines[LINE_TYPES.index("seam"), round(100 * scale + 20)]
        assert abs(across.sum() - 2) < 0.35


def test_a_rendered_page_says_what_is_known() -> None:
    page = rendered(make(7, kind="shirt"), np.random.default_rng(3), None)
    assert page.shape == (PLANES[KNOWN], PAGE, PAGE) and page.dtype == np.uint8
    assert 0.05 < (page[3] > 127).mean() < 0.95 and page[4:10].max(0).mean() > 0.5
    assert (page[10] <= page[11]).all() and page[11].max() >= 100


def test_a_dyed_photograph_keeps_its_place(shown: list[Shown]) -> None:
    one = shown[0].photograph
    page = dyed(one.photo(), one.mask(), np.random.default_rng(3))
    assert page.shape == (PLANES[HELD], PAGE, PAGE)
    changed = np.abs(page[:3].astype(int) - page[3:6]).max(0) > 20
    assert 0.005 < changed.mean() < 0.6 and set(np.unique(page[7])) <= set(range(256))


def test_a_poorer_picture_has_its_size_and_less_detail() -> None:
    photo = np.random.default_rng(1).integers(0, 255, (120, 90, 3)).astype(np.uint8)
    found = [poorer(photo, np.random.default_rng(seed)) for seed in range(8)]
    assert all(one.shape == photo.shape for one in found)
    assert min(one.std() for one in found) < 0.7 * photo.std()


def test_a_maker_makes_both_kinds(shown: list[Shown]) -> None:
    maker = Maker(shown, 2)
    made = collections.Counter(maker.next()[0] for _ in range(12))
    assert set(made) == {KNOWN, HELD}


def test_worse_light_stays_in_range() -> None:
    photo = torch.rand(3, 3, 64, 64) * 255
    for seed in range(4):
        lit = worse_light(photo, np.random.default_rng(seed))
        assert lit.shape == photo.shape and lit.min() >= 0 and lit.max() <= 1


def test_a_step_has_a_loss_and_every_weight_a_gradient(shown: list[Shown], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_on_gpu, "BATCH", (1, 1, 1))
    monkeypatch.setattr(lines_on_gpu, "RING", (2, 2))
    torch.manual_seed(3)
    rng, one = np.random.default_rng(3), shown[0].photograph
    made = [rendered(make(7, kind="shirt"), rng, None), dyed(one.photo(), one.mask(), rng)]
    rings = [Ring(kind, "cpu") for kind in (KNOWN, HELD)]
    fill(rings, collections.deque([bytes([kind]) + page.tobytes() for kind, page in enumerate(made)] * 3))
    for ring, page in zip(rings, made, strict=True):
        assert ring.came == 3 and ring.some(2, rng).shape == (2, *page.shape)
    network = Network().requires_grad_(True)
    losses = losses_of_a_step((network, Network(), Network()), rings, stored(shown, "cpu", 1), 0.6, rng)
    assert set(losses) == {"mask", "lines", "union", "whole", "tone", "held mask", "held lines", "held tone"}
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
