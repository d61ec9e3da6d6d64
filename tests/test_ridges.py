"""Ridges of a likelihood: found with a long window along each line, thin, and not pulled to what lies beside them."""

import cv2
import numpy as np
import pytest
from skimage.filters import sato

from fedgai.vision.garment_lines import LONG_RIDGE, RIDGE
from fedgai.vision.ridges import DIRECTIONS, crests, ridges

SIZE = (160, 140)


def strip(start: tuple[float, float], end: tuple[float, float], plane: np.ndarray | None = None) -> np.ndarray:
    """A line 3 px wide between two places (x, y) of a plane, likelihood 0.9."""
    plane = np.zeros(SIZE, np.float32) if plane is None else plane
    ends = [tuple(round(16 * value) for value in place) for place in (start, end)]
    cv2.line(plane, ends[0], ends[1], (0.9,), 3, cv2.LINE_8, 4)
    return plane


def test_with_a_round_window_they_are_those_of_scikit_image() -> None:
    plane = cv2.GaussianBlur(np.random.default_rng(24).random((96, 80), np.float32), (0, 0), 2)
    ours, _ = ridges(plane, 1.7, 1.7)
    theirs = sato(plane, sigmas=[1.7], black_ridges=False)
    assert np.corrcoef(ours[8:-8, 8:-8].ravel(), theirs[8:-8, 8:-8].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("degrees", range(0, 180, 20))
def test_a_line_is_found_in_its_direction_in_its_middle(degrees: int) -> None:
    way = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    middle = np.array([70.0, 80.0])
    strength, direction = ridges(strip(middle - 50 * way, middle + 50 * way), RIDGE, LONG_RIDGE)
    top = crests(strength, direction, 0.1)
    rows, columns = np.nonzero(top)
    places = np.stack([columns, rows], 1) - middle
    along, off = places @ way, places @ (-way[1], way[0])
    inner = np.abs(along) < 40
    assert np.abs(off[inner]).max() < 1.3
    assert np.diff(np.sort(along[inner])).max() < 1.5
    turned = (direction[rows[inner], columns[inner]].astype(int) * 180 / DIRECTIONS - degrees + 90) % 180 - 90
    assert np.abs(turned).max() <= 15


def test_lines_side_by_side_stay_apart_where_specks_lie_between_them() -> None:
    """A placket's two edges with the folds between them came out as a chain."""
    plane = strip((60, 20), (60, 140))
    plane = strip((68, 20), (68, 140), plane)
    for row in range(30, 140, 12):
        plane[row : row + 2, 61:68] = 0.5
    strength, direction = ridges(plane, RIDGE, LONG_RIDGE)
    top = crests(strength, direction, 0.05)[28:132]
    for column in (60, 68):
        assert top[:, column - 1 : column + 2].any(1).mean() > 0.97
    assert top[:, 62:67].any(1).mean() < 0.1
    round_window, its_direction = ridges(plane, RIDGE, RIDGE)
    assert crests(round_window, its_direction, 0.05)[28:132, 62:67].any(1).mean() > 0.1


def test_a_gap_is_bridged_and_an_empty_plane_has_none() -> None:
    plane = strip((70, 20), (70, 140))
    plane[78:82] = 0
    strength, direction = ridges(plane, RIDGE, LONG_RIDGE)
    assert crests(strength, direction, 0.1)[74:86, 68:73].any(1).all()
    strength, direction = ridges(np.zeros(SIZE, np.float32), RIDGE, LONG_RIDGE)
    assert strength.shape == direction.shape == SIZE and not strength.any() and not crests(strength, direction, 0).any()


def test_what_lies_at_the_border_is_found_where_it_is() -> None:
    """Only the part of a plane that is not empty is looked at."""
    plane = strip((30, 100), (139, 100))
    strength, direction = ridges(plane, RIDGE, LONG_RIDGE)
    rows, columns = np.nonzero(crests(strength, direction, 0.1))
    assert np.abs(rows - 100).max() <= 1 and columns.max() == SIZE[1] - 1 and 24 < columns.min() < 34
