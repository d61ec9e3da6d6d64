"""Hangers laid behind garments in photographs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fedgai.training.hangers import hang

GREY = 128


def photograph(shape: str) -> tuple[np.ndarray, np.ndarray]:
    """A red garment on grey: trousers with a wide top edge, or a shirt whose neck is narrow."""
    mask = np.zeros((240, 200), np.uint8)
    shapes = {
        "trousers": [(60, 60), (140, 60), (150, 220), (110, 220), (100, 120), (90, 220), (50, 220)],
        "shirt": [(85, 50), (115, 50), (160, 75), (190, 120), (165, 130), (150, 100), (150, 220), (50, 220), (50, 100), (35, 130),
                  (10, 120), (40, 75)],
    }  # fmt: skip
    cv2.fillPoly(mask, [np.array(shapes[shape], np.int32)], 255)
    photo = np.full((240, 200, 3), GREY, np.uint8)
    photo[mask > 0] = (180, 20, 30)
    return photo, mask / np.float32(255)


@pytest.mark.parametrize("shape", ["trousers", "shirt"])
def test_a_hanger_is_seen_above_and_the_garment_stays(shape: str) -> None:
    photo, mask = photograph(shape)
    top = int(np.flatnonzero(mask.any(1))[0])
    for seed in range(12):
        hung, known = hang(photo, mask, np.random.default_rng(seed))
        assert hung.shape == photo.shape and hung.dtype == np.uint8 and known.shape == mask.shape
        assert 0 <= known.min() and known.max() <= 1
        changed = np.abs(hung.astype(int) - photo).max(-1) > 25
        assert changed[: top - 2].any(), "no hook above the garment"
        assert not changed[150:].any(), "the lower half was painted over"
        assert (known <= mask + 1e-6).all(), "a piece of the hanger counts as garment"
        assert (known > 0.5).sum() > 0.93 * (mask > 0.5).sum(), "too much of the garment is gone"


def test_clips_and_what_is_seen_in_an_opened_neck_are_taken_from_the_mask() -> None:
    for shape in ("trousers", "shirt"):
        photo, mask = photograph(shape)
        lost = []
        for seed in range(12):
            hung, known = hang(photo, mask, np.random.default_rng(seed))
            away = (mask > 0.9) & (known < 0.1)
            lost.append(int(away.sum()))
            if away.any():
                assert (np.abs(hung[away].astype(int) - photo[away]).max(-1) > 25).mean() > 0.8
        assert sum(count > 0 for count in lost) >= 4


def test_the_same_seed_hangs_it_in_the_same_way() -> None:
    photo, mask = photograph("shirt")
    (first, known), (again, known_again), (other, _) = (hang(photo, mask, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert (first == again).all() and (known == known_again).all()
    assert (first != other).any()
