"""A drawing's own garment as a photograph: its mask, its lines and its tone are the drawing's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fedgai.data.own_photographs import own_photographs
from fedgai.draughtsman import Draughtsman
from fedgai.model import FedGAI

BODY = np.array([[120, 100], [392, 100], [420, 420], [92, 420]], np.int32)


@pytest.fixture(scope="module")
def draughtsman() -> Draughtsman:
    found = FedGAI.load().draughtsman
    assert found is not None
    return found


def drawn(width: int = 3, *, gap: int = 0, stripes: bool = False) -> NDArray[np.uint8]:
    """A skirt of four lines and a seam, 512 px; perhaps with a gap in its outline, and level hatching in its lower half."""
    page = np.full((512, 512, 3), 255, np.uint8)
    if stripes:
        page[260:410:8, 115:397] = 0
    cv2.polylines(page, [BODY], True, (0, 0, 0), width, cv2.LINE_AA)
    cv2.line(page, (256, 100), (256, 420), (0, 0, 0), 2, cv2.LINE_AA)
    page[250 : 250 + gap, :150] = 255
    return page


def mask_of(page: NDArray[np.uint8], draughtsman: Draughtsman) -> NDArray[np.bool_]:
    (photo,) = own_photographs([page], draughtsman)
    assert photo is not None and photo.mode == "RGBA" and photo.size == page.shape[1::-1]
    return np.asarray(photo)[..., 3] > 127


@pytest.mark.parametrize(("width", "gap"), [(3, 0), (9, 0), (3, 10)])
def test_the_mask_ends_in_the_middle_of_the_outline(width: int, gap: int, draughtsman: Draughtsman) -> None:
    true = cv2.fillPoly(np.zeros((512, 512), np.uint8), [BODY], 1)
    found = mask_of(drawn(width, gap=gap), draughtsman)
    disc = np.ones((5, 5), np.uint8)  # 2 px on each side
    inner, outer = cv2.erode(true, disc) > 0, cv2.dilate(true, disc) > 0
    assert not (found & ~outer).any()
    assert (found & inner).sum() > 0.98 * inner.sum()


def test_no_closed_shape_is_no_garment(draughtsman: Draughtsman) -> None:
    blank, stroke = np.full((512, 512, 3), 255, np.uint8), np.full((512, 512, 3), 255, np.uint8)
    stroke[100:400, 250:254] = 0
    first, second, third = own_photographs([blank, stroke, drawn()], draughtsman)
    assert first is None and second is None and third is not None
    pages: list[int] = []
    own_photographs([blank, stroke], draughtsman, on_page=lambda: pages.append(1))
    assert len(pages) == 2  # for each, whatever it shows
    assert own_photographs([], draughtsman) == []


def test_hatching_becomes_tone_and_lines_stay(draughtsman: Draughtsman) -> None:
    pages = [drawn(stripes=True) for _ in range(3)]
    for photo in own_photographs(pages, draughtsman):
        cloth = np.asarray(photo).astype(float)[..., 0]
        plain, hatched = cloth[150:240, 150:240], cloth[270:400, 150:240]
        assert hatched.mean() < plain.mean() - 6  # darker
        assert np.percentile(hatched, 10) > 0.6 * np.median(hatched)  # without the hatching's own lines
        assert cloth[150:240, 256].max() < 0.5 * plain.mean()  # the seam


def test_cloth_of_a_hand_that_does_not_shade_has_light_and_shadow(draughtsman: Draughtsman) -> None:
    """Real cloth has them, too, and such a hand leaves them out; they are soft, for lines are to be drawn."""
    lightness, shadows = [], []
    for photo in own_photographs([drawn() for _ in range(4)], draughtsman):
        cloth = np.asarray(photo)[150:400, 150:240, 0].astype(float)
        assert np.ptp(cloth) > 10
        assert max(np.abs(np.diff(cloth, axis=axis)).max() for axis in (0, 1)) <= 8
        lightness.append(float(np.median(cloth)))
        shadows.append((cloth - cloth.mean()) / cloth.std())
    assert max(lightness) - min(lightness) > 20  # of any lightness, for a drawing does not say it
    assert abs(float((shadows[0] * shadows[1]).mean())) < 0.5  # elsewhere on each, or they would be taken for the hand's


def test_the_same_drawings_give_the_same_photographs(draughtsman: Draughtsman) -> None:
    pages = [drawn(3), drawn(5, stripes=True)]
    for one, two in zip(own_photographs(pages, draughtsman), own_photographs(pages, draughtsman), strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(two))
