"""The lesson on masks whose pages are laid out on the device: its pictures, its pages, its loss."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from helpers.garment_picture import draw_garment

from experiments.mask_pages import RIM, Pages, Pictures, Shares, composite, fit, laid, with_thin_rims
from experiments.mask_pictures import KINDS_MADE, LONG, PHOTO_LONG, Maker, Shown, box_of, largest_rectangles, planes, read
from experiments.masks_on_gpu import loss, measure, stored
from fedgai.draughtsman import Network
from fedgai.training.photographs import Photograph, facts_about


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[Shown]:
    """Three drawn garments on white, kept as ``gather`` keeps photographs."""
    folder, found = tmp_path_factory.mktemp("photographs"), []
    for i in range(3):
        photo = np.asarray(draw_garment(320).convert("RGB"))
        mask = (photo[..., 2] > photo[..., 0]).astype(np.float32)  # blue, on wood
        photo = np.clip(photo.astype(int) - 10 * i, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), photo[..., ::-1])
        cv2.imwrite(str(folder / f"{i}.mask.png"), (255 * mask).astype(np.uint8))
        facts = facts_about(photo, mask)
        found.append(Shown.of(Photograph(folder / f"{i}.png", facts["busy"], facts["dark"], tuple(facts["margins"]), i == 0)))
    return found


def test_the_largest_rectangles_hold_nothing_taken() -> None:
    free = np.ones((60, 40), bool)
    free[20:40, 10:30] = False
    first, second = largest_rectangles(free)
    for x0, y0, x1, y1 in (first, second):
        assert free[y0:y1, x0:x1].all() and min(x1 - x0, y1 - y0) >= 12
    assert (first[2] - first[0]) * (first[3] - first[1]) == 20 * 40
    assert largest_rectangles(np.zeros((60, 40), bool)) == []


def test_a_photographs_rectangles_keep_away_from_the_garment(shown: list[Shown]) -> None:
    for one in shown:
        _, mask, _ = read(one.photograph)
        assert max(mask.shape) <= PHOTO_LONG and one.rectangles
        assert all(mask[y0:y1, x0:x1].max() == 0 for x0, y0, x1, y1 in one.rectangles)


@pytest.mark.parametrize("kind", KINDS_MADE)
def test_pictures_are_made_of_each_kind(kind: str, shown: list[Shown]) -> None:
    made = getattr(Maker(shown, 1, 1), kind)()
    assert made.dtype == np.uint8 and made.shape[0] == 7 and max(made.shape[1:]) <= LONG
    assert 0.02 < (made[3] > 127).mean() < 0.9 and made[4].max() >= 100


def test_a_picture_is_laid_on_a_page_as_its_way_says(shown: list[Shown]) -> None:
    store, rng = stored(shown, "cpu", 1), np.random.default_rng(5)
    for framed in (True, False):
        chosen = np.array([0, 1, 2])
        sheet, inside = laid(store, chosen, fit(store, chosen, (512, 384), np.full(3, framed), rng), (512, 384))
        assert sheet.shape == (3, 7, 512, 384) and inside.shape == (3, 1, 512, 384)
        for page, where in zip(sheet, inside, strict=True):
            x0, y0, x1, y1 = box_of(page[3].numpy().astype(np.uint8))
            assert x1 - x0 > 100 and y1 - y0 > 100, "the garment is not on the page"
            assert where[0, y0:y1, x0:x1].float().mean() > 0.9


def test_a_rim_is_two_px_wide_however_large_the_garment() -> None:
    mask = np.zeros((160, 120), np.float32)
    mask[40:120, 30:90] = 1
    sheet = torch.from_numpy(planes(np.full((160, 120, 3), 90, np.uint8), mask, np.ones_like(mask))).float()[None]
    for scale in (1, 3):
        large = torch.nn.functional.interpolate(sheet, scale_factor=scale, mode="bilinear")
        rim = with_thin_rims(large)[0, 5]
        assert rim.max() == RIM and (rim[60 * scale] > 0).sum() == 4


def test_on_another_background_the_garment_stays_and_the_rest_does_not(shown: list[Shown]) -> None:
    picture = torch.from_numpy(np.stack([planes(*read(one.photograph)) for one in shown])).float()
    behind = torch.zeros_like(picture[:, :3])
    behind[:, 1] = 200
    inside = torch.ones_like(picture[:, :1], dtype=torch.bool)
    sheet = composite(picture, inside, behind, np.random.default_rng(1))
    solid = picture[:, 3:4] > 127
    deep = -torch.nn.functional.max_pool2d(-solid.float(), 9, 1, 4) > 0
    far = torch.nn.functional.max_pool2d(solid.float(), 15, 1, 7) == 0
    changed = (sheet[:, :3] - picture[:, :3]).abs().amax(1, keepdim=True)
    assert changed[deep].max() < 2 and changed[far].min() > 20
    assert (sheet[:, 3:4][deep] == 255).all() and (sheet[:, 4:5][far] == 100).all()


def test_a_step_has_a_loss_and_every_weight_a_gradient(shown: list[Shown]) -> None:
    torch.manual_seed(3)
    store = stored(shown, "cpu", 1)
    ring = Pictures(2, LONG, "cpu")
    maker = Maker(shown, 2, 1)
    for i in range(2):
        made = maker.hung()
        ring.planes[i, :, : made.shape[1], : made.shape[2]] = torch.from_numpy(made)
        ring.sizes[i], ring.boxes[i], ring.kinds[i] = made.shape[1:], box_of(made[3]), 2
    pages = Pages(shown, [2], store, ring, Shares(batch=3, made=0.34), 1)
    pages.filled = 2
    photo, rest = pages.batch()
    assert photo.shape[:2] == (3, 3) and rest.shape[:2] == (3, 4) and 0 <= photo.min() and photo.max() <= 1
    network = Network().requires_grad_(True)
    losses = loss(network, Network(), photo, rest)
    assert set(losses) == {"mask", "silhouette", "lines", "tone"}
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    assert measure(network, store, [2]).endswith("of 1 below 0.9")
