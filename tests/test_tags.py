"""A price tag on a garment is drawn over; gaps that show what lies behind the garment stay."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fedgai.content import find, fit_and_cut
from fedgai.draughtsman import Seen
from fedgai.line_types import LINE_TYPES
from fedgai.vision.images import LOCAL, read_picture
from fedgai.vision.tags import lines_behind, tags

WALL, CLOTH, PAPER = (190, 150, 110), (30, 60, 150), (240, 240, 235)
SHIRT = np.s_[60:452, 60:324]
TAG = np.array([[160, 180], [216, 188], [206, 270], [150, 262]])  # x, y: 57 x 83 px, a little turned
GAP = np.array([[90, 150], [110, 150], [104, 400], [84, 400]])  # between a sleeve and the body
SEAM = LINE_TYPES.index("seam")


def picture(shape: np.ndarray, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(512, 384, 3) uint8, a blue shirt before a brown wall, with something on it; (512, 384) float32, the shirt without that."""
    photo = np.full((512, 384, 3), WALL, np.uint8)
    photo[SHIRT] = CLOTH
    cv2.fillPoly(photo, [shape], colour)
    mask = np.zeros((512, 384), np.float32)
    mask[SHIRT] = 1
    cv2.fillPoly(mask, [shape], 0)
    return photo + np.random.default_rng(3).integers(0, 6, (512, 384, 1), np.uint8), mask


class Looker:
    """Stands in for a draughtsman: it takes a tag for background, and sees its edge and a seam on either side of it."""

    buttons = None

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask

    def look(self, photo: np.ndarray, side: int = 512) -> Seen:
        lines = np.zeros((len(LINE_TYPES), 512, 384), np.float32)
        edge = cv2.morphologyEx(np.uint8(self.mask), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        lines[LINE_TYPES.index("silhouette")] = edge
        lines[SEAM, 100:420, 181:184] = 1
        lines[SEAM] *= cv2.erode(self.mask, np.ones((9, 9), np.uint8))
        return Seen(self.mask, lines, self.mask)

    def find_buttons(self, *arguments: object) -> list[object]:
        return []


def test_a_tag_is_no_hole_and_its_edge_no_line() -> None:
    photo, mask = picture(TAG, PAPER)
    found = find(photo, Looker(mask), cutout=True, on_missing="raise")  # type: ignore[arg-type]
    assert found.mask is not None and found.seen is not None
    within = cv2.fillPoly(np.zeros((512, 384), np.uint8), [TAG], 1) > 0
    assert found.mask[70:440, 70:314].min() > 0.9 and found.mask[:50].max() < 0.1
    assert found.seen.lines[LINE_TYPES.index("silhouette")][170:280, 140:226].max() < 0.1
    assert 0 <= found.seen.lines.min() and found.seen.lines.max() <= 1
    _, again = fit_and_cut(photo, 512, draughtsman=Looker(mask))  # type: ignore[arg-type]
    assert again is not None and again[within].min() > 0.9


@pytest.mark.parametrize(
    ("shape", "colour"),
    [(GAP, WALL), (TAG, WALL), (np.array([[180, 330], [230, 452], [130, 452]]), PAPER)],
    ids=["a gap beside a sleeve", "a rectangle that shows the wall", "the gap between two legs"],
)
def test_gaps_stay(shape: np.ndarray, colour: tuple[int, int, int]) -> None:
    photo, mask = picture(shape, colour)
    assert tags(photo, mask, mask) is None
    found = find(photo, Looker(mask), cutout=True, on_missing="raise")  # type: ignore[arg-type]
    middle = tuple(np.rint(shape.mean(0)).astype(int)[::-1])
    assert found.mask is not None and found.mask[middle] < 0.1


def test_a_hole_of_another_shape_stays_whatever_it_shows() -> None:
    photo, mask = picture(np.array([[180, 150], [240, 300], [120, 300]]), PAPER)
    assert tags(photo, mask, mask) is None


def test_the_lines_of_a_tag_go_where_the_cut_out_has_closed_the_hole_already() -> None:
    photo, belief = picture(TAG, PAPER)
    whole = np.zeros_like(belief)
    whole[SHIRT] = 1
    tag = tags(photo, whole, belief)
    assert tag is not None and tag.shape == (384, 288) and 0.04 < tag.mean() / whole.mean() < 0.12


def test_a_mask_that_somebody_made_keeps_its_holes() -> None:
    photo, mask = picture(TAG, PAPER)
    own = replace(read_picture(photo, LOCAL), mask=mask)
    found = find(own, Looker(mask), cutout=True, on_missing="raise")  # type: ignore[arg-type]
    assert found.mask is mask


def test_a_line_that_passes_behind_a_tag_goes_on() -> None:
    lines = np.zeros((2, 256, 192), np.float32)
    lines[0, 20:240, 95:98] = 0.8
    tag = np.zeros((128, 96), bool)
    tag[60:66, 40:56] = True
    lines[1, 122:130, 84:108] = 0.9
    behind = lines_behind(lines, tag)
    assert behind[0, 30:230, 96].min() > 0.3
    assert behind[1].max() < 0.1
    assert (behind[0, :100] == lines[0, :100]).all()
