"""The garment is cut out of its photograph, or it is said that none can be."""

from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from helpers.garment_picture import draw_garment
from PIL import Image

from fedgai.vision import cutout
from fedgai.vision.cutout import NoGarment, cut_out, cut_out_seen
from fedgai.vision.grabcut import run_grabcut


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_a_garment_on_a_wooden_floor():
    photo = np.asarray(Image.open("examples/denim_jacket.jpg").convert("RGB"))
    alpha = cut_out(photo)
    assert alpha.shape == photo.shape[:2] and alpha.dtype == np.float32
    assert 0 <= alpha.min() and alpha.max() <= 1
    blue = photo[..., 2].astype(int) - photo[..., 0] > 15  # denim is blue, wood is not
    assert overlap(alpha > 0.5, blue) > 0.8
    assert np.array_equal(alpha, cut_out(photo))


def test_a_cut_garment_is_cut_again_the_same():
    photo = np.asarray(Image.open("examples/midi_dress.jpg").convert("RGB"))
    alpha = cut_out(photo)[..., None]
    again = cut_out(np.uint8(photo * alpha + 255 * (1 - alpha)))
    assert overlap(again > 0.5, alpha[..., 0] > 0.5) > 0.97


def test_the_drawn_shirt_of_the_other_tests():
    assert 0.05 < (cut_out(np.asarray(draw_garment())) > 0.5).mean() < 0.8


def test_a_gap_that_the_draughtsman_holds_for_background_is_not_filled_even_where_it_looks_like_the_cloth():
    random = np.random.default_rng(3)
    photo = np.full((320, 240, 3), 170, np.uint8) + random.integers(0, 12, (320, 240, 1), np.uint8)
    belief, silhouette = np.zeros((320, 240), np.float32), np.zeros((320, 240), np.float32)
    cloth, gap = (slice(60, 270), slice(50, 190)), (slice(120, 270), slice(90, 102))
    photo[cloth] = random.choice([20, 70, 230], (210, 140, 1))  # a print, black, dark and white
    photo[gap] = 70  # floor in shadow between sleeve and body
    belief[cloth], belief[gap] = 1, 0.1
    for rows, columns in (cloth, gap):
        silhouette[rows.start - 2 : rows.stop + 2, columns.start - 2 : columns.stop + 2] = 1
    mask = cut_out_seen(photo, belief, silhouette) > 0.5
    assert mask[gap].mean() < 0.1
    assert mask[130:260, 60:85].all() and mask[130:260, 110:180].all()


@pytest.mark.parametrize(("likely", "searched"), [(0.8, 0), (0.6, 1)])
def test_the_slow_search_is_asked_only_where_the_outline_is_not_sure(likely, searched, monkeypatch):
    photo, belief = np.full((320, 240, 3), 230, np.uint8), np.zeros((320, 240), np.float32)
    photo[60:250, 50:190], belief[60:250, 50:190] = (30, 60, 120), 1
    edge = np.zeros((320, 240), np.float32)
    edge[56:254, 46:194], edge[64:246, 54:186] = likely, 0
    search = Mock(return_value=[])
    monkeypatch.setattr(cutout, "_searched", search)
    assert (cut_out_seen(photo, belief, edge) > 0.5)[70:240, 60:180].all()
    assert search.call_count == searched


@pytest.mark.parametrize(
    "picture",
    [
        np.full((120, 90, 3), 127, np.uint8),
        np.random.default_rng(0).integers(0, 256, (120, 90, 3), np.uint8),
    ],
    ids=["one colour", "noise"],
)
def test_where_nothing_stands_out_it_says_so(picture):
    with pytest.raises(NoGarment, match=r"\w+ \w+"):
        cut_out(picture)


@pytest.mark.parametrize("bad", [np.zeros((20, 20), np.uint8), np.zeros((20, 20, 3), np.float32), np.zeros((4, 4, 3), np.uint8)])
def test_what_is_no_rgb_picture_is_refused(bad):
    with pytest.raises(ValueError):
        cut_out(bad)


def red_shirt_with_a_pale_hem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A red shirt with a hem as pale as the wall, as photo, belief and silhouette of a draughtsman who is not sure of the hem."""
    belief, silhouette = np.zeros((320, 240), np.float32), np.zeros((320, 240), np.float32)
    photo = np.full((320, 240, 3), 205, np.uint8) + np.random.default_rng(5).integers(0, 6, (320, 240, 1), np.uint8)
    photo[60:235, 50:190], photo[235:250, 50:190] = (170, 20, 40), 208
    belief[60:235, 50:190], belief[235:250, 50:190] = 1, 0.7
    silhouette[58:252, 48:192], silhouette[62:248, 52:188] = 1, 0
    return photo, belief, silhouette


def test_a_hem_as_pale_as_the_wall_is_kept_where_the_draughtsman_saw_its_outline():
    photo, belief, silhouette = red_shirt_with_a_pale_hem()
    mask = cut_out_seen(photo, belief, silhouette) > 0.5
    assert mask[60:250, 50:190].mean() > 0.98


def test_something_of_the_cloths_colour_beside_it_is_not_kept_where_the_draughtsman_saw_an_outline_between():
    photo, belief, silhouette = red_shirt_with_a_pale_hem()
    beside = (slice(110, 170), slice(190, 225))
    photo[beside], belief[beside] = (170, 20, 40), 0.4
    mask = cut_out_seen(photo, belief, silhouette) > 0.5
    assert mask[beside].mean() < 0.1


@pytest.mark.parametrize("step", [1, 4])
def test_grabcut_is_as_good_when_its_k_means_sees_few_pixels(step):
    lab = np.random.default_rng(24).normal(120, 6, (120, 90, 3)).astype(np.float32)
    lab[40:80, 30:60, 0] += 80
    labels = np.full((120, 90), cv2.GC_PR_BGD, np.uint8)
    labels[45:75, 33:57], labels[:20], labels[100:] = cv2.GC_PR_FGD, cv2.GC_BGD, cv2.GC_BGD
    found = run_grabcut(lab, labels, 1, step)
    assert found[42:78, 32:58].all() and not found[:38].any() and not found[82:].any() and found.mean() < 0.13


def test_grabcut_takes_all_pixels_where_one_side_has_few():
    lab = np.full((60, 60, 3), 60, np.float32)
    lab[29:32, 29:32] = 200
    labels = np.full((60, 60), cv2.GC_BGD, np.uint8)
    labels[29:32, 29:32] = cv2.GC_PR_FGD  # every fourth row passes it by
    assert (run_grabcut(lab, labels, 1, step=4) == (lab[..., 0] > 100)).all()
