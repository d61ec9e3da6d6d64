"""What the edge detectors draw: lines where they belong, in any size, and nothing where there is nothing."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from helpers.garment_picture import draw_garment
from PIL import Image

from fedgai.content import on_white
from fedgai.evaluation.metrics import boundary_fscore, mid_grey_share
from fedgai.vision.cutout import cut_out
from fedgai.vision.edges import EDGES, canny, xdog

Detector = Callable[..., np.ndarray]
both = pytest.mark.parametrize("draw", EDGES.values(), ids=EDGES)


def square(side: int, inner: int = 90, outer: int = 200) -> np.ndarray:
    """A square of ``inner`` grey from 1/4 to 3/4 of the side, on ``outer`` grey."""
    image = np.full((side, side, 3), outer, np.uint8)
    image[side // 4 : side * 3 // 4, side // 4 : side * 3 // 4] = inner
    return image


@pytest.fixture(scope="module")
def garment() -> tuple[np.ndarray, np.ndarray]:
    photo = np.asarray(draw_garment(410, 512))
    mask = cut_out(photo)
    return on_white(photo, mask), mask


@both
@pytest.mark.parametrize("side", [256, 512, 768])
def test_a_square_is_four_lines_in_their_place(draw: Detector, side: int) -> None:
    ink = draw(square(side)) < 128
    y, x = np.nonzero(ink)
    near = 0.012 * side  # a line's width
    on_side = [
        (abs(a - edge) <= near) & (b >= side / 4 - near) & (b <= side * 3 / 4 + near)
        for a, b in ((x, y), (y, x))
        for edge in (side / 4, side * 3 / 4)
    ]
    assert np.logical_or.reduce(on_side).all(), "ink beside the four lines"
    for line, along in zip(on_side, (y, y, x, x), strict=True):  # each unbroken, but for its rounded corners
        middle = np.arange(int(side * 0.29), int(side * 0.71))
        assert np.isin(middle, along[line]).mean() > 0.98


@both
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_blank_paper_stays_blank(draw: Detector, grey: int) -> None:
    noise = np.random.default_rng(24).normal(0, 2, (300, 200, 3))
    for photo in (np.full((300, 200, 3), grey, np.uint8), np.uint8(np.clip(grey + noise, 0, 255))):
        assert draw(photo).min() > 200


@both
def test_the_same_drawing_in_every_size(draw: Detector, garment: tuple[np.ndarray, np.ndarray]) -> None:
    photo, mask = garment
    drawn = draw(photo, mask)
    for factor in (0.5, 2):
        size = round(photo.shape[1] * factor), round(photo.shape[0] * factor)
        other = draw(
            cv2.resize(photo, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC),
            cv2.resize(mask, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR),
        )
        assert other.shape == size[::-1]
        back = cv2.resize(other, drawn.shape[::-1], interpolation=cv2.INTER_AREA)
        assert boundary_fscore(back, drawn, tolerance=3) > 0.85
        assert (back < 128).mean() == pytest.approx((drawn < 128).mean(), rel=0.3)


@both
def test_ink_lies_within_the_cut_out_and_draws_its_silhouette(draw: Detector, garment: tuple[np.ndarray, np.ndarray]) -> None:
    photo, mask = garment
    drawn = draw(photo, mask)
    solid = np.uint8(mask > 0.5)
    assert drawn.dtype == np.uint8 and drawn.shape == mask.shape
    assert (drawn[cv2.dilate(solid, np.ones((5, 5))) == 0] == 255).all()
    rim = solid - cv2.erode(solid, np.ones((3, 3)))
    assert (cv2.erode(drawn, np.ones((3, 3)))[rim > 0] < 128).mean() > 0.97
    # also where the garment is as white as the paper
    white = draw(np.full_like(photo, 255), mask)
    assert (cv2.erode(white, np.ones((3, 3)))[rim > 0] < 128).mean() > 0.97


@both
def test_drawings_are_crisp(draw: Detector, garment: tuple[np.ndarray, np.ndarray]) -> None:
    drawn = draw(*garment)
    assert 0.005 < (drawn < 128).mean() < 0.15
    assert mid_grey_share(drawn) < 0.02


@both
@pytest.mark.parametrize("shape", [(64, 64), (16, 300), (61, 47)])
def test_any_shape(draw: Detector, shape: tuple[int, int]) -> None:
    photo = np.asarray(draw_garment().resize(shape[::-1]))
    assert draw(photo).shape == shape
    assert draw(photo, np.ones(shape, np.float32)).shape == shape
    assert draw(photo, np.zeros(shape, np.float32)).min() == 255  # no garment, no ink


def test_canny_against_opencvs_own() -> None:
    photo = np.asarray(draw_garment(410, 512))
    grey = cv2.GaussianBlur(np.asarray(Image.fromarray(photo).convert("L")), (0, 0), 1.3)
    theirs = 255 - cv2.dilate(cv2.Canny(grey, 16, 40, L2gradient=True), np.ones((2, 2)))
    assert boundary_fscore(canny(photo, threshold=0.02), theirs, tolerance=3) > 0.7


def test_canny_sees_colour_where_lightness_is_equal() -> None:
    lab = np.full((256, 256, 3), (150, 128, 128), np.uint8)
    lab[64:192, 64:192] = (150, 170, 100)
    assert (canny(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))[62:66, 80:176].min(0) < 128).all()


def test_canny_leaves_out_the_faint_and_the_short() -> None:
    photo = square(512, 150, 200)
    photo[60:64, 60:64] = 90
    assert canny(photo)[50:74, 50:74].min() > 200 and canny(photo, shortest=2)[50:74, 50:74].min() < 50
    assert canny(photo, threshold=1.0).min() == 255
    for weight in (1.5, 4):  # the square's outline is 1,024 px long
        assert (255 - canny(photo, weight=weight)[90:]).sum() / 255 == pytest.approx(1024 * weight, rel=0.25)


def test_xdog_against_its_formula_on_a_step() -> None:
    """Across a vertical step the flow is vertical, so that S is the one-dimensional difference of Gaussians."""
    photo = np.full((512, 512, 3), 60, np.uint8)
    photo[:, 256:] = 180
    drawn = xdog(photo, tone=0.2, slope=2)[256] / 255
    light = np.float64(cv2.cvtColor(np.float32(photo[:1]) / 255, cv2.COLOR_RGB2LAB)[0, :, 0] / 100)
    light = (light - light.min()) / (light.max() - light.min())

    def gauss(values: np.ndarray, sigma: float) -> np.ndarray:
        t = np.arange(-100, 101)
        kernel = np.exp(-t * t / (2 * sigma**2))
        return np.convolve(np.pad(values, 100, "edge"), kernel / kernel.sum(), "valid")

    s = 0.75 + 0.2 * (gauss(light, 1) - 0.5) + 15 * (gauss(light, 1) - gauss(light, 1.6))
    expected = np.where(s >= 0.5, 1, 1 + np.tanh(2 * (s - 0.5)))
    assert expected.min() < 0.2
    assert np.abs(drawn - expected).max() < 0.08


def test_xdog_fills_shadows_as_far_as_asked() -> None:
    photo = np.tile(np.uint8(np.linspace(30, 220, 512))[None, :, None], (512, 1, 3))
    shares = [(xdog(photo, tone=tone) < 128).mean() for tone in (0.35, 0.6, 0.9)]
    assert shares[0] < 0.01 and shares[0] < shares[1] < shares[2] < 0.5
