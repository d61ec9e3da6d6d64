"""The outlines drawn by hand are well formed, and masks are compared with them as promised. No photograph is needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import draughtsman
from benchmarks.draughtsman import MARKS, OUTLINES, against_outlines, filled, iou
from fedgai.content import Content
from fedgai.pipeline import SketchPipeline

DRAWN = json.loads(OUTLINES.read_text())
SQUARE = [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]
SMALL = [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]]
LEFT = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]


def area(ring: np.ndarray) -> float:
    """Of a simple closed polygon, (N, 2), as a share of the picture."""
    x, y = ring.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Of points (..., 2): positive where a, b, c turn one way, negative the other, 0 on one line."""
    return np.asarray((b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0]))


def crosses_itself(ring: np.ndarray) -> bool:
    """Whether two sides of a closed polygon, (N, 2), cross."""
    a, b = ring[:, None], np.roll(ring, -1, 0)[:, None]
    c, d = ring[None], np.roll(ring, -1, 0)[None]
    return bool(((turn(a, b, c) * turn(a, b, d) < 0) & (turn(c, d, a) * turn(c, d, b) < 0)).any())


class TestOutlines:
    def test_each_marked_photograph_has_one_and_four_have_two(self) -> None:
        assert set(DRAWN) == set(json.loads(MARKS.read_text()))
        assert len(DRAWN) == 24
        assert sum("again" in drawn for drawn in DRAWN.values()) == 4

    @pytest.mark.parametrize("file", DRAWN)
    def test_rings_are_closed_areas_within_the_picture(self, file: str) -> None:
        drawn = DRAWN[file]
        assert drawn["outline"]
        for ring in map(np.array, drawn["outline"] + drawn["holes"] + drawn.get("again", [])):
            assert ring.shape[1] == 2 and len(ring) >= 8
            assert 0 <= ring.min() and ring.max() <= 1
            assert area(ring) > 0.001 and not crosses_itself(ring)
        assert 0.1 < sum(area(np.array(ring)) for ring in drawn["outline"]) < 0.9

    @pytest.mark.parametrize("file", [file for file, drawn in DRAWN.items() if drawn["holes"]])
    def test_holes_lie_within_the_outline(self, file: str) -> None:
        drawn = DRAWN[file]
        whole = filled(drawn["outline"], [], (800, 800))
        for hole in drawn["holes"]:
            lacking = filled([hole], [], (800, 800))
            assert lacking.any() and not (lacking & ~whole).any()

    def test_a_ring_that_crosses_itself_is_noticed(self) -> None:
        assert crosses_itself(np.array([[0, 0], [1, 1], [1, 0], [0, 1]]))
        assert not crosses_itself(np.array(SQUARE))


class TestComparison:
    def test_a_square_fills_the_pixels_whose_middle_it_encloses(self) -> None:
        mask = filled([SQUARE], [], (40, 80))
        assert mask[10:30, 20:60].all() and mask.sum() == 20 * 40

    def test_holes_are_left_out_and_two_rings_are_both_filled(self) -> None:
        mask = filled([SQUARE], [SMALL], (40, 80))
        assert mask.sum() == 20 * 40 - 8 * 16 and not mask[20, 40]
        assert filled([LEFT, SQUARE], [], (40, 80)).sum() == 40 * 40 + 20 * 20

    def test_iou(self) -> None:
        left, square = filled([LEFT], [], (40, 80)), filled([SQUARE], [], (40, 80))
        assert iou(square, square) == 1
        assert iou(square, ~square) == 0
        assert iou(left, square) == iou(square, left) == pytest.approx(400 / 2000)
        assert iou(np.zeros((4, 4), bool), np.zeros((4, 4), bool)) == 1

    def test_the_worst_are_named_and_the_hand_is_compared_with_itself(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
        outlines = {name: {"outline": [SQUARE], "holes": []} for name in names}
        outlines["a.jpg"]["again"] = [LEFT]
        (tmp_path / "outlines.json").write_text(json.dumps(outlines))
        monkeypatch.setattr(draughtsman, "OUTLINES", tmp_path / "outlines.json")
        masks: dict[str, np.ndarray | None] = {
            "a.jpg": filled([SQUARE], [], (40, 80)).astype(np.float32),
            "b.jpg": filled([LEFT], [], (40, 80)).astype(np.float32),
            "c.jpg": None,  # nothing was cut out: the whole picture is the garment
            "d.jpg": filled([SQUARE], [SMALL], (40, 80)).astype(np.float32),
        }

        class Pipe:
            def prepare(self, photo: Path, size: int, *, on_missing: str) -> Content:
                assert (size, on_missing) == (512, "keep")
                return Content(Image.new("RGB", (80, 40)), masks[photo.name], None, (80, 40), ())

        pipe: SketchPipeline = Pipe()  # type: ignore[assignment]
        found = against_outlines({"made up": pipe}, tmp_path)
        expected = {"b.jpg": 400 / 2000, "c.jpg": 800 / 3200, "d.jpg": 672 / 800}
        assert list(found) == ["made up", "hand"]
        assert found["made up"]["worst"] == pytest.approx(expected)
        assert found["made up"]["iou_mean"] == pytest.approx((1 + sum(expected.values())) / 4)
        assert found["made up"]["iou_median"] == pytest.approx((expected["c.jpg"] + expected["d.jpg"]) / 2)
        assert found["made up"]["area_ratio_median"] == pytest.approx((1 + 1600 / 800) / 2)
        assert found["hand"] == pytest.approx({"iou_mean": 400 / 2000, "iou_least": 400 / 2000, "outlines_drawn_twice": 1})
