"""Strokes that repair a cut-out: what they do, what they leave alone, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.garment_picture import draw_garment

from fedgai.vision.cutout import cut_out
from fedgai.vision.repair import POINTS, STROKES, UNIT, BrushStroke, RepairError, outline, read_strokes, repair

PHOTO = np.asarray(draw_garment())  # 384 x 480 px: a blue shirt on wood
MASK = cut_out(PHOTO)
BLUE = PHOTO[..., 2].astype(int) - PHOTO[..., 0] > 20


def unit(pixels: float) -> int:
    return round(pixels * UNIT / 480)


def stroke(belongs: bool, *points: tuple[float, float], radius: float = 6) -> BrushStroke:
    return BrushStroke(belongs, unit(radius), tuple((unit(x), unit(y)) for x, y in points))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_a_lost_sleeve_comes_back_along_its_edge() -> None:
    lost = MASK.copy()
    lost[:, :108] = 0  # the left sleeve
    assert overlap(lost > 0.5, BLUE) < 0.91
    repaired = repair(PHOTO, lost, [stroke(True, (60, 175), (90, 150))])
    assert overlap(repaired > 0.5, BLUE) > 0.97
    assert np.array_equal(repaired[:, 200:], lost[:, 200:])  # far away, nothing has moved


def test_a_piece_of_floor_goes() -> None:
    kept = MASK.copy()
    kept[380:470, 285:360] = 1
    repaired = repair(PHOTO, kept, [stroke(False, (320, 400), (325, 450))])
    assert overlap(repaired > 0.5, BLUE) > 0.97


def test_what_is_painted_is_certain_and_the_later_stroke_counts() -> None:
    seam = stroke(False, (190, 250), (190, 300))
    assert (repair(PHOTO, MASK, [seam])[255:295, 187:193] == 0).all()
    over = stroke(True, (190, 250), (190, 300), radius=9)
    assert (repair(PHOTO, MASK, [seam, over])[255:295, 187:193] == 1).all()
    assert (repair(PHOTO, MASK, [over, seam])[255:295, 187:193] == 0).all()


def test_a_stroke_only_does_what_it_says() -> None:
    wide = [stroke(True, (110, 60), (260, 60), radius=20)]  # on the floor above, close to the collar
    assert not ((MASK > 0.5) & (repair(PHOTO, MASK, wide) <= 0.5)).any()
    inside = [stroke(False, (150, 250), (230, 250), radius=20)]
    assert not ((MASK <= 0.5) & (repair(PHOTO, MASK, inside) > 0.5)).any()


def test_without_a_cut_out_one_is_painted() -> None:
    repaired = repair(PHOTO, None, [stroke(True, (150, 150), (190, 300), (240, 150)), stroke(False, (20, 20), (360, 20))])
    assert overlap(repaired > 0.5, BLUE) > 0.9
    assert outline(None) == [] and len(outline(repaired)) >= 1


def test_nothing_changes_without_strokes_and_something_is_left() -> None:
    assert np.array_equal(repair(PHOTO, MASK, []), MASK)
    everything = [stroke(False, (0, y), (380, y), radius=40) for y in range(0, 480, 60)]
    with pytest.raises(RepairError, match="Nothing is left"):
        repair(PHOTO, MASK, everything)


def test_the_work_is_bounded_by_the_picture() -> None:
    """As many strokes as may be sent, of both kinds, all over the picture: one GrabCut of it, not eighty."""
    rng = np.random.default_rng(0)
    many = [BrushStroke(bool(i % 2), 8, tuple(map(tuple, rng.integers(0, 3200, (50, 2)).tolist()))) for i in range(STROKES)]
    counted: list[int] = []
    import fedgai.vision.repair as module

    original = module.run_grabcut
    try:
        module.run_grabcut = lambda lab, labels, rounds: (counted.append(labels.size), original(lab, labels, rounds))[1]
        repair(PHOTO, MASK, many)
    finally:
        module.run_grabcut = original
    assert sum(counted) <= 2 * 512 * 410


def test_the_outline_is_polygons_on_the_edge() -> None:
    found = outline(MASK)
    assert len(found) == 1 and len(found[0]) % 2 == 0 and 40 < len(found[0]) < 1500
    points = np.array(found[0]).reshape(-1, 2) * 480 / UNIT
    inside = (MASK > 0.5)[points[:, 1].astype(int).clip(0, 479), points[:, 0].astype(int).clip(0, 383)]
    assert inside.mean() > 0.95
    hole = MASK.copy()
    hole[200:260, 160:220] = 0
    assert len(outline(hole)) == 2


GOOD = {"belongs": True, "radius": 72, "points": [10, 20, 30, 40]}


def test_strokes_are_read() -> None:
    assert read_strokes([GOOD]) == (BrushStroke(True, 72, ((10, 20), (30, 40))),)
    assert read_strokes([{**GOOD, "radius": 72.4, "points": [1.6, 2]}])[0] == BrushStroke(True, 72, ((2, 2),))


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "strokes",
        {"strokes": []},
        [None],
        [[1, 2]],
        [{}],
        [{**GOOD, "belongs": 1}],
        [{**GOOD, "belongs": None}],
        [{**GOOD, "points": []}],
        [{**GOOD, "points": [1]}],
        [{**GOOD, "points": [1, 2, 3]}],
        [{**GOOD, "points": "12"}],
        [{**GOOD, "points": [1, None]}],
        [{**GOOD, "points": [1, True]}],
        [{**GOOD, "points": [[1, 2]]}],
        [{**GOOD, "points": [1, float("nan")]}],
        [{**GOOD, "points": [1, float("inf")]}],
        [{**GOOD, "points": [1, 10**400]}],
        [{**GOOD, "points": [-1, 5]}],
        [{**GOOD, "points": [1, UNIT + 1]}],
        [{**GOOD, "radius": 0}],
        [{**GOOD, "radius": -5}],
        [{**GOOD, "radius": 4000}],
        [{**GOOD, "radius": "72"}],
        [{**GOOD, "radius": None}],
        [GOOD] * (STROKES + 1),
        [{**GOOD, "points": [1, 2] * (POINTS + 1)}],
        [{**GOOD, "points": [1, 2] * (POINTS // 2 + 1)}] * 2,
    ],
)
def test_what_is_no_stroke_is_refused_in_a_sentence(bad: object) -> None:
    with pytest.raises(RepairError, match=r"^[A-Z][^\n]+\.$"):
        read_strokes(bad)
