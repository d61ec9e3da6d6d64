"""Stitches along a hem are drawn from side to side, and lines end without hooks."""

import cv2
import numpy as np
import pytest

from fedgai.strokes.centre_lines import to_edge
from fedgai.strokes.drawing import Bools, Floats, Plane
from fedgai.strokes.joining import Line, run_on, without_hooks
from fedgai.vision.hems import whole_hems

TOP, BOTTOM, LEFT, RIGHT = 60, 420, 90, 290  # of a garment that is a rectangle, px


def seen(solid: Bools) -> tuple[list[Floats], Plane]:
    """Of a garment, (512, 384): its contours, and how far each place in it is from its edge."""
    contours, _ = cv2.findContours(np.uint8(solid), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return [contour[:, 0].astype(np.float64) for contour in contours], to_edge(solid)


def rectangle() -> tuple[list[Floats], Plane]:
    solid = np.zeros((512, 384), bool)
    solid[TOP:BOTTOM, LEFT:RIGHT] = True
    return seen(solid)


def across(x0: int, x1: int, y: float, wave: float = 0) -> Line:
    x = np.arange(x0, x1 + 1.0)
    return Line(np.stack([x, y + wave * np.sin(x / 6)], 1))


def upright(x: float, y0: int, y1: int) -> Line:
    y = np.arange(y0, y1 + 1.0)
    return Line(np.stack([np.full(len(y), x), y], 1))


def near(line: Line, other: Floats) -> float:
    """The farthest that a point of a line lies from points (n, 2), px."""
    return float(np.linalg.norm(line.points[:, None] - other[None], axis=2).min(1).max())


@pytest.mark.parametrize(("y", "turned"), [(BOTTOM - 9, False), (TOP + 8, False), (BOTTOM - 9, True)])
def test_two_pieces_become_one_line_from_side_to_side(y: float, turned: bool) -> None:
    contours, depth = rectangle()
    pieces = [across(115, 180, y), across(205, 262, y)]
    if turned:
        pieces = [Line(piece.points[::-1]) for piece in pieces]
    seam = across(LEFT + 4, RIGHT - 4, 250)
    whole, other, gone = whole_hems([pieces[0], seam, pieces[1]], [True, False, True], contours, depth)
    assert other is seam
    assert gone is None
    assert whole is not None
    assert near(whole, across(LEFT, RIGHT, y).points) < 1.5
    assert whole.points[:, 0].min() < LEFT + 14
    assert whole.points[:, 0].max() > RIGHT - 14


def test_a_second_line_beside_it_is_left_out_even_if_it_wavers() -> None:
    contours, depth = rectangle()
    lines = [across(110, 262, BOTTOM - 8), across(120, 200, BOTTOM - 12, wave=3), across(130, 180, BOTTOM - 60)]
    whole, second, pocket = whole_hems(lines, [True] * 3, contours, depth)
    assert whole is not None
    assert second is None
    assert pocket is lines[2]


def test_what_is_seen_far_from_where_the_silhouette_turns_stays_as_it_was() -> None:
    contours, depth = rectangle()
    lines = [upright(LEFT + 7, 200, 270)]
    assert whole_hems(lines, [True], contours, depth)[0] is lines[0]


def test_only_stitches_along_the_silhouette_are_changed() -> None:
    contours, depth = rectangle()
    hem, pocket = across(115, 262, BOTTOM - 9), across(130, 190, 300)
    kept = whole_hems([hem, pocket], [False, True], contours, depth)
    assert kept[0] is hem
    assert kept[1] is pocket


def test_stitches_end_where_a_hem_ends() -> None:
    contours, depth = rectangle()
    around = Line(
        np.concatenate([across(140, RIGHT - 8, BOTTOM - 8).points, upright(RIGHT - 8, BOTTOM - 40, BOTTOM - 9).points[::-1]])
    )
    (whole,) = whole_hems([around], [True], contours, depth)
    assert whole is not None
    assert near(whole, across(LEFT, RIGHT, BOTTOM - 8).points) < 4


def test_a_round_garment_has_no_hem_to_complete() -> None:
    page = np.zeros((512, 384), np.uint8)
    cv2.circle(page, (190, 250), 150, 1, -1)
    angle = np.radians(np.arange(60, 120, 0.4))
    piece = Line(np.stack([190 + 141 * np.cos(angle), 250 + 141 * np.sin(angle)], 1))
    (kept,) = whole_hems([piece], [True], *seen(page > 0))
    assert kept is not None
    assert len(kept.points) < 2.3 * len(piece.points)


def test_no_garment_and_no_stitches_are_no_error() -> None:
    contours, depth = rectangle()
    seam = across(100, 200, 250)
    assert whole_hems([], [], contours, depth) == []
    assert whole_hems([seam], [False], contours, depth)[0] is seam
    assert whole_hems([seam], [True], [], np.zeros_like(depth))[0] is seam


def bent(length: int) -> Floats:
    """100 px to the right, then so many px up."""
    x, y = np.arange(101.0), np.arange(1.0, length + 1)
    return np.concatenate([np.stack([x, np.full(101, 50.0)], 1), np.stack([np.full(length, 100.0), 50 - y], 1)])


@pytest.mark.parametrize("end", [0, 1])
def test_a_short_hook_at_a_free_end_is_left_out(end: int) -> None:
    points = bent(9) if end else bent(9)[::-1]
    (line,) = without_hooks([Line(points)], 14)
    assert near(line, bent(0)) < 1.5
    assert len(line.points) > 95


@pytest.mark.parametrize(
    "line",
    [Line(bent(30)), Line(bent(9), False, (True, False)), Line(bent(9), True), Line(bent(9)[80:])],
    ids=["a long piece", "an end on another line", "a ring", "a short line"],
)
def test_other_ends_stay(line: Line) -> None:
    assert np.array_equal(without_hooks([line], 14)[0].points, line.points)


@pytest.mark.parametrize(("length", "reaches"), [(150, True), (40, False)])
def test_a_long_line_is_drawn_on_farther(length: int, reaches: bool) -> None:
    edge = np.zeros((300, 300), np.float32)
    line = Line(across(200 - length, 200, 100).points)
    wall = (upright(222, 20, 200).points, np.full(181, 2.0))
    (drawn,) = run_on([line], edge, [wall], 10, 24)
    assert (drawn.points[-1, 0] == 222) == reaches
    assert drawn.free == (True, not reaches)
