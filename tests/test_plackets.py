"""Plackets: pieces of lines along a row of buttons become one straight edge on either side."""

import numpy as np
import pytest

from fedgai.vision.buttons import Button
from fedgai.vision.garment_lines import EDGE, SEAM, TOPSTITCH, GarmentLine
from fedgai.vision.plackets import along_buttons

SIDE = 512
BUTTONS = [Button(200, y, 4) for y in range(120, 361, 48)]


def line(x: float, top: int, bottom: int, bend: float = 0.0, kind: int = EDGE) -> GarmentLine:
    """A line downwards that bends sideways by some px."""
    y = np.arange(top, bottom, 1.0)
    return GarmentLine(np.stack([x + bend * np.sin((y - top) / (bottom - top) * np.pi), y], 1), False, 0.6, kind)


def pieces(x: float, kind: int = EDGE) -> list[GarmentLine]:
    """Between buttons, bent towards them, with gaps beside each."""
    return [line(x, y + 8, y + 42, 2.0 if x < 200 else -2.0, kind) for y in range(120, 350, 48)]


def test_pieces_around_buttons_become_two_straight_edges() -> None:
    found = along_buttons([*pieces(191), *pieces(209)], BUTTONS, SIDE)
    assert len(found) == 2
    for edge, x in zip(sorted(found, key=lambda one: one.points[0, 0]), (191, 209), strict=True):
        assert np.ptp(edge.points[:, 0]) < 1 and abs(edge.points[:, 0].mean() - x) < 3
        assert edge.points[:, 1].min() <= 121 and edge.points[:, 1].max() >= 359


def test_edges_follow_a_row_that_bends() -> None:
    bent = [Button(200 + 8 * np.sin((y - 120) / 240 * np.pi), y, 4) for y in range(120, 361, 48)]
    middle = {button.y: button.x for button in bent}
    parts = [line(middle[y] - 10, int(y) + 6, int(y) + 42) for y in list(middle)[:-1]]
    (edge,) = along_buttons(parts, bent, SIDE)
    away = np.interp(edge.points[:, 1], list(middle), list(middle.values())) - edge.points[:, 0]
    assert 5 < away.min() and away.max() < 15


def test_a_line_through_the_buttons_is_kept_where_nothing_lies_beside_them() -> None:
    (edge,) = along_buttons(pieces(200), BUTTONS, SIDE)
    assert abs(edge.points[:, 0] - 200).max() < 3
    found = along_buttons([*pieces(200), *pieces(209)], BUTTONS, SIDE)
    assert len(found) == 1 and abs(found[0].points[:, 0].mean() - 209) < 3


def test_an_edge_keeps_off_the_buttons() -> None:
    """Else a ring and the line that touches it look like a letter."""
    (edge,) = along_buttons([line(194.2, 120, 360)], BUTTONS, SIDE)
    assert (200 - edge.points[:, 0]).min() > 7


def test_stitches_stay_stitches() -> None:
    found = along_buttons([*pieces(191, TOPSTITCH)], BUTTONS, SIDE)
    assert len(found) > 10 and all(dash.kind == TOPSTITCH and dash.length < 12 for dash in found)


def test_lines_that_cross_or_pass_far_away_stay() -> None:
    across = GarmentLine(np.stack([np.arange(100, 300.0), np.full(200, 150.0)], 1), False, 0.9, SEAM)
    far = line(260, 100, 400)
    found = along_buttons([across, far, *pieces(191)], BUTTONS, SIDE)
    assert any(one is across for one in found) and any(one is far for one in found) and len(found) == 3
    assert [one.sure for one in found] == sorted(one.sure for one in found)


def test_what_turns_away_from_a_placket_is_still_drawn() -> None:
    y = np.arange(120, 360.0)
    turn = np.concatenate([np.stack([np.full(240, 191.0), y], 1), np.stack([191 - np.arange(60.0), np.full(60, 360.0)], 1)])
    found = along_buttons([GarmentLine(turn, False, 0.8, SEAM)], BUTTONS, SIDE)
    assert len(found) == 2 and sorted(round(one.length, -1) for one in found)[0] in (40, 50, 60)


@pytest.mark.parametrize("buttons", [[], BUTTONS[:2], [Button(50, 60, 4), Button(300, 200, 4), Button(120, 380, 4)]])
def test_without_a_row_all_lines_stay(buttons: list[Button]) -> None:
    lines = pieces(191)
    assert along_buttons(lines, buttons, SIDE) == lines


def test_too_little_beside_a_row_stays_as_it_is() -> None:
    lines = [line(191, 130, 205), line(209, 280, 360)]
    assert along_buttons(lines, BUTTONS, SIDE) == lines


def test_a_long_line_on_the_other_side_is_not_lost() -> None:
    """It is seen along less of the row than an edge must be."""
    other = line(209, 200, 286)
    found = along_buttons([*pieces(191), other], BUTTONS, SIDE)
    assert len(found) == 2 and any(np.array_equal(one.points, other.points) for one in found)


@pytest.mark.parametrize("second", [183, 194.5])
def test_two_lines_on_one_side_are_both_drawn(second: float) -> None:
    """The edge and the stitches beside it."""
    found = along_buttons([line(188, 115, 365), line(second, 115, 365)], BUTTONS, SIDE)
    assert len(found) == 2


def test_a_short_piece_beside_an_edge_is_clutter() -> None:
    (edge,) = along_buttons([line(190, 115, 365), line(186, 200, 230)], BUTTONS, SIDE)
    assert abs(edge.points[:, 0] - 190).max() < 3.5


def test_a_slanted_edge_keeps_off_the_buttons_all_along() -> None:
    y = np.arange(120, 360.0)
    (edge,) = along_buttons([GarmentLine(np.stack([185 + (y - 120) / 24, y], 1), False, 0.8, EDGE)], BUTTONS, SIDE)
    assert (200 - edge.points[:, 0]).min() > 7


def test_an_edge_is_drawn_no_farther_than_near_where_it_is_seen() -> None:
    """A button on a pocket may lie on the line of a row, too."""
    buttons = [Button(200, y, 4) for y in (120, 160, 200, 240, 440)]
    (edge,) = along_buttons([line(191, 100, 246)], buttons, SIDE)
    assert edge.points[:, 1].max() < 300


def test_each_of_two_rows_has_its_edges() -> None:
    rows = [*BUTTONS, *(Button(300, button.y, 4) for button in BUTTONS)]
    found = along_buttons([*pieces(191), *[line(309, y + 8, y + 42, 2.0) for y in range(120, 350, 48)]], rows, SIDE)
    assert len(found) == 2


def test_a_ring_that_runs_along_a_row_is_one_line_beside_it() -> None:
    """Wherever its points begin."""
    corners = np.concatenate(
        [
            np.stack([np.full(240, 191.0), np.arange(120, 360.0)], 1),
            np.stack([np.arange(191, 91, -1.0), np.full(100, 360.0)], 1),
            np.stack([np.full(240, 91.0), np.arange(360, 120, -1.0)], 1),
            np.stack([np.arange(91, 191.0), np.full(100, 120.0)], 1),
        ]
    )
    for begin in (0, 300, 500):
        found = along_buttons([GarmentLine(np.roll(corners, -begin, 0), True, 0.8, SEAM)], BUTTONS, SIDE)
        assert sorted(round(one.length / 50) for one in found) == [5, 9]


def test_buttons_on_one_spot_do_no_harm() -> None:
    lines = pieces(191)
    assert along_buttons(lines, [Button(200, 200, 4)] * 5, SIDE) == lines
