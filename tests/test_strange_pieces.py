"""A piece of the background that was taken for garment goes, unless the garment's other side has it, too."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fedgai.vision.cutout import cut_out_seen
from fedgai.vision.strange_pieces import mirror_image

JEANS, SHEET = (50, 70, 130), (205, 195, 175)
LEFT = np.array([[70, 60], [120, 60], [120, 110], [80, 250], [40, 250]])  # x, y
LEGS = [LEFT, [240, 0] + LEFT * [-1, 1]]
BELOW_LEFT, BELOW_RIGHT = np.s_[250:290, 40:80], np.s_[250:290, 160:200]


def cut(*below: tuple[slice, slice]) -> np.ndarray:
    """(320, 240) bool, the cut-out of jeans on a pale sheet; the draughtsman is sure that some pieces of it are garment."""
    photo, belief = np.full((320, 240, 3), SHEET, np.uint8), np.zeros((320, 240), np.uint8)
    cv2.fillPoly(belief, LEGS, 1)
    photo[belief > 0] = JEANS
    for piece in below:
        belief[piece] = 1
    edge = cv2.dilate(belief, np.ones((5, 5), np.uint8)) - cv2.erode(belief, np.ones((5, 5), np.uint8))
    photo += np.random.default_rng(5).integers(0, 6, (320, 240, 1), np.uint8)
    return cut_out_seen(photo, belief.astype(np.float32), 0.9 * edge.astype(np.float32)) > 0.5


def test_a_piece_of_the_sheet_below_one_leg_goes() -> None:
    mask = cut(BELOW_LEFT)
    assert mask[BELOW_LEFT][6:].mean() < 0.05
    assert mask[70:100, 85:160].all() and mask[200:240, 55:78].all() and mask[200:240, 165:188].all()


def test_hems_of_the_sheets_colour_on_both_legs_stay() -> None:
    mask = cut(BELOW_LEFT, BELOW_RIGHT)
    assert mask[BELOW_LEFT].mean() > 0.85 and mask[BELOW_RIGHT].mean() > 0.85


@pytest.mark.parametrize("turn", [-16, 0, 16])
def test_a_mirror_image_lies_on_the_garment_however_it_is_turned(turn: int) -> None:
    mask = np.zeros((320, 240), np.uint8)
    cv2.fillPoly(mask, LEGS, 1)
    move = cv2.getRotationMatrix2D((120, 160), turn, 0.8)
    turned = cv2.warpAffine(mask, move, (240, 320)) > 0
    mirrored = mirror_image(turned)
    assert (turned & mirrored).sum() > 0.9 * (turned | mirrored).sum()
