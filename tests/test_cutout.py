"""The garment is cut out of its photograph, or it is said that none can be."""

import numpy as np
import pytest
from conftest import draw_garment
from PIL import Image

from fedgai.vision.cutout import NoGarment, cut_out


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
