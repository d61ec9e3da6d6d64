"""Buttons: round spots in rows, and no print."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from fedgai.content import find
from fedgai.draughtsman import Draughtsman, Network
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import WEIGHTS
from fedgai.strokes import trace
from fedgai.vision.button_rows import LEAST, SeenAtSpots, in_rows
from fedgai.vision.buttons import Button, ButtonNetwork, find_buttons, rows_of_discs
from fedgai.vision.garment_lines import SMALLEST_RING, as_drawn, rings
from fedgai.vision.round_spots import SIDE, candidates, changes_of

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture(scope="module")
def pipe() -> SketchPipeline:
    return SketchPipeline.from_pretrained()


def row(count: int, gap: float = 60.0, radius: float = 5.0) -> np.ndarray:
    """(count, 3), spots below one another."""
    return np.stack([np.full(count, 300.0), 100 + gap * np.arange(count), np.full(count, radius)], 1)


# -- which spots are buttons -----------------------------------------------------------------------------------------------


def test_spots_in_a_row_are_buttons_and_one_that_is_missing_is_put_there() -> None:
    spots = row(5)
    found = in_rows(spots, np.full(5, 1.5), 600)
    assert sorted(map(tuple, found)) == sorted(map(tuple, spots))
    found = in_rows(np.delete(spots, 2, 0), np.full(4, 1.5), 600)
    assert sorted(map(tuple, found)) == sorted(map(tuple, spots))


def test_a_short_row_must_be_surer_than_a_long_one() -> None:
    for count, enough, too_little in ((2, 2.0, 1.5), (3, 0.6, 0.2), (4, 0.2, -0.2), (6, -0.2, -0.6)):
        assert len(in_rows(row(count), np.full(count, enough), 600)) == count
        assert len(in_rows(row(count), np.full(count, too_little), 600)) == 0
    assert len(in_rows(row(6), np.full(6, LEAST - 0.1), 600)) == 0


def test_discs_in_a_row_that_the_draughtsman_sees_are_buttons_and_a_zip_is_none() -> None:
    seen, mask = np.zeros((512, 384), np.float32), np.ones((256, 192), np.float32)
    for y in range(100, 400, 60):
        cv2.circle(seen, (200, y), 4, (0.8,), -1)
    found = rows_of_discs(seen, mask, 1024)
    assert [round(b.y) for b in sorted(found, key=lambda b: b.y)] == [2 * y for y in range(100, 400, 60)]
    assert all(abs(b.x - 400) < 2 and 5 < b.radius < 10 for b in found)
    seen[:] = 0
    seen[60:440, 196:206] = 0.9
    assert rows_of_discs(seen, mask, 1024) == []
    assert rows_of_discs(np.zeros((512, 384), np.float32), mask, 1024) == []


def test_the_buttons_of_a_striped_shirt_are_found(pipe: SketchPipeline) -> None:
    found = find(EXAMPLES / "striped_shirt.jpg", pipe.model.draughtsman, cutout=True, on_missing="keep")
    assert 5 <= len(found.buttons) <= 9
    middles = np.array([button.x for button in found.buttons])
    assert np.ptp(middles) < 0.02 * found.image.width and abs(middles.mean() / found.image.width - 0.5) < 0.1


def test_spots_that_are_level_or_at_odd_distances_or_bent_are_none() -> None:
    level = row(5)[:, [1, 0, 2]]
    odd, bent, dense = row(4), row(4), row(6, gap=26)
    odd[:, 1] = [100, 160, 260, 330]
    bent[:, 0] += [0, 20, -25, 30]
    for spots in (level, odd, bent, dense):
        assert len(in_rows(spots, np.full(len(spots), 0.6), 600)) == 0


def test_a_printed_cloth_has_no_buttons() -> None:
    dots = np.array([(x, y, 6.0) for x, y in itertools.product(range(100, 500, 50), range(100, 600, 50))])
    assert len(in_rows(dots, np.full(len(dots), 2.0), 600)) == 0


def test_a_single_one_counts_beside_a_row_of_its_size() -> None:
    cuff, large = (500.0, 400.0, 5.5), (520.0, 200.0, 11.0)
    found = in_rows(np.array([*row(4), cuff, large]), np.full(6, 1.5), 600)
    assert {(x, y) for x, y, _ in found} == {(x, y) for x, y, _ in [*row(4), cuff]}
    assert len({radius for *_, radius in found}) == 1
    assert len(in_rows(np.array([cuff]), np.array([3.0]), 600)) == 0


def seen(count: int, fastening: float, lined: float) -> SeenAtSpots:
    return SeenAtSpots(np.full(count, fastening), np.full(count, lined))


def test_a_faint_row_counts_where_fastenings_and_a_placket_are_seen() -> None:
    faint = np.full(5, -0.8)
    assert len(in_rows(row(5), faint, 600)) == 0
    assert len(in_rows(row(5), faint, 600, seen(5, 0.0, 0.0))) == 0
    assert len(in_rows(row(5), faint, 600, seen(5, 0.7, 0.5))) == 5
    slanting, uneven = row(5), row(5)
    slanting[:, 0] += 0.4 * (slanting[:, 1] - 100)
    uneven[:, 1] += [0, 12, -12, 12, 0]
    for spots in (slanting, uneven):
        assert len(in_rows(spots, faint, 600, seen(5, 0.2, 0.5))) == 0


def test_two_sure_ones_are_buttons_but_not_on_a_printed_cloth() -> None:
    dots = np.array([(100.0 + 31 * i, 40.0 + 17 * (i % 3), 5.0) for i in range(6)])
    assert len(in_rows(row(2), np.full(2, 2.0), 600, seen(2, 0.0, 0.0))) == 2
    assert len(in_rows(np.concatenate([row(2), dots]), np.append(np.full(2, 2.0), np.full(6, 0.5)), 600, seen(8, 0.0, 0.0))) == 0


def test_two_rows_of_a_double_breasted_coat_are_found() -> None:
    second = row(3) + np.array([80, 5, 0])
    found = in_rows(np.concatenate([row(3), second]), np.full(6, 1.0), 600)
    assert len(found) == 6


# -- in pictures -----------------------------------------------------------------------------------------------------------


def test_round_spots_are_candidates_where_they_differ_from_the_cloth() -> None:
    photo = np.full((600, 500, 3), 120, np.uint8)
    for x, y, radius, grey in ((150, 150, 5, 20), (250, 300, 8, 230), (350, 450, 6, 122)):
        cv2.circle(photo, (x, y), radius, (grey, grey, grey), -1, cv2.LINE_AA)
    cv2.line(photo, (100, 500), (400, 520), (20, 20, 20), 3)
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    garment = np.zeros((600, 500), bool)
    garment[50:550, 50:450] = True
    found = candidates(lab, garment)
    for x, y, radius in ((150, 150, 5), (250, 300, 8)):
        away = np.hypot(found[:, 0] - x, found[:, 1] - y)
        assert away.min() < 2 and abs(found[away.argmin(), 2] / radius - 1) < 0.3
    assert np.hypot(found[:, 0] - 350, found[:, 1] - 450).min() > 5  # as good as the cloth's grey
    assert not len(candidates(lab, np.zeros((600, 500), bool)))


def test_the_examples_have_the_buttons_that_one_sees(pipe: SketchPipeline) -> None:
    trench = pipe.find(EXAMPLES / "trench_coat.jpg")
    width, height = trench.image.size
    places = sorted((round(b.y / height, 1), round(b.x / width, 1)) for b in trench.buttons)
    assert places == [(0.4, 0.4), (0.4, 0.5), (0.6, 0.4), (0.6, 0.5), (0.7, 0.4), (0.7, 0.5)]
    denim = pipe.find(EXAMPLES / "denim_jacket.jpg")
    front = [button for button in denim.buttons if abs(button.x / denim.image.width - 0.5) < 0.03]
    assert len(front) == 7
    for name in ("midi_dress", "pleated_skirt", "hoodie", "cable_sweater", "wide_trousers"):
        assert pipe.find(EXAMPLES / f"{name}.jpg").buttons == (), name


def test_a_photograph_that_is_larger_or_turned_into_grey_has_the_same_buttons(pipe: SketchPipeline) -> None:
    found = pipe.find(EXAMPLES / "trench_coat.jpg")
    assert found.mask is not None and found.seen is not None and pipe.model.draughtsman is not None
    larger = found.image.resize((2 * found.image.width, 2 * found.image.height), Image.Resampling.LANCZOS)
    twice = pipe.model.draughtsman.find_buttons(np.asarray(larger), found.mask, found.seen.lines)
    assert len(twice) == len(found.buttons)
    for button in twice:
        assert min(np.hypot(button.x / 2 - b.x, button.y / 2 - b.y) for b in found.buttons) < 3
    grey = pipe.model.draughtsman.find_buttons(np.asarray(found.image.convert("L").convert("RGB")), found.mask, found.seen.lines)
    assert len(grey) == len(found.buttons)


def test_changes_found_before_the_mask_is_known_bring_the_same_buttons(pipe: SketchPipeline) -> None:
    found, draughtsman = pipe.find(EXAMPLES / "trench_coat.jpg"), pipe.model.draughtsman
    assert found.mask is not None and found.seen is not None and draughtsman is not None
    photo = np.asarray(found.image)
    alone = draughtsman.find_buttons(photo, found.mask, found.seen.lines)
    assert len(alone) == 6
    of_another_part = np.zeros((8, 8), bool)
    of_another_part[:2, :2] = True
    for where in (found.seen.mask > 0.2, of_another_part):  # what does not hold the garment is not used
        changes = changes_of(photo, where)
        again = draughtsman.find_buttons(photo, found.mask, found.seen.lines, changes)
        assert np.array(again) == pytest.approx(np.array(alone), abs=0.5)
    assert changes_of(photo, np.zeros((8, 8), bool)) is None


def test_nothing_is_found_in_an_empty_mask_or_a_tiny_picture() -> None:
    network = ButtonNetwork().eval()
    photo = np.random.default_rng(24).integers(0, 256, (90, 64, 3)).astype(np.uint8)
    assert find_buttons(photo, np.zeros((90, 64), np.float32), network, np.zeros((6, 90, 64), np.float32)) == []
    assert find_buttons(photo[:3, :2], np.ones((3, 2), np.float32), network, np.zeros((6, 3, 2), np.float32)) == []


# -- in drawings -----------------------------------------------------------------------------------------------------------


def test_buttons_are_drawn_as_rings(pipe: SketchPipeline) -> None:
    content = pipe.prepare(EXAMPLES / "trench_coat.jpg", 512)
    found = pipe.find(EXAMPLES / "trench_coat.jpg")
    scale = 512 / max(found.image.size)
    ink = 255 - np.asarray(pipe.draw(content, {"Bruno": 1}).convert("L")).astype(int)
    for button in found.buttons:
        x, y, radius = button.x * scale, button.y * scale, max(button.radius * scale, SMALLEST_RING)
        turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        around = [ink[round(y + radius * np.sin(a)) - 1 :, round(x + radius * np.cos(a)) - 1 :][:3, :3].max() for a in turn]
        assert np.mean(around) > 90


@pytest.mark.parametrize("garment", ["denim_jacket", "striped_shirt", "trench_coat"])
def test_buttons_are_closed_rings_among_the_strokes(pipe: SketchPipeline, garment: str) -> None:
    """Traced as lines they would be hooks, or a part of the placket."""
    content = pipe.prepare(EXAMPLES / f"{garment}.jpg", 768)
    scale = 768 / max(content.drawn)
    assert len(content.buttons) >= 6
    rings = [stroke for stroke in pipe.trace(content, {"Aiko": 1}).strokes if stroke.kind == "fastening" and stroke.closed]
    for button in content.buttons:
        middle = (np.array([button.x, button.y]) + 0.5) * scale - 0.5
        (ring,) = [stroke for stroke in rings if np.hypot(*(stroke.points.mean(0) - middle)) < 2]
        assert np.hypot(*(ring.points - middle).T) == pytest.approx(np.full(len(ring.points), button.radius * scale), rel=0.05)


def test_a_ring_that_a_hand_leaves_out_is_no_stroke() -> None:
    page, there, missing = np.full((256, 256, 3), 255, np.uint8), (60, 128), (190, 128)
    cv2.circle(page, there, 6, (0, 0, 0), 2, cv2.LINE_AA)
    cv2.line(page, (40, 40), (220, 40), (0, 0, 0), 2, cv2.LINE_AA)
    drawing = trace(page, buttons=np.array([[*there, 6.0], [*missing, 6.0]]))
    rings = [stroke for stroke in drawing.strokes if stroke.kind == "fastening"]
    assert len(rings) == 1 and rings[0].points.mean(0) == pytest.approx(there, abs=0.1) and len(drawing.strokes) == 2
    assert 1 < rings[0].widths.mean() < 3.5


def test_a_ring_is_never_so_small_that_it_is_a_dot() -> None:
    (small, large) = rings(as_drawn([Button(100, 100, 1), Button(200, 100, 20)], 0.5, 512))
    assert small.closed and small.sure == 1
    assert np.ptp(small.points, axis=0) == pytest.approx([2 * SMALLEST_RING] * 2, rel=0.05)
    assert np.ptp(large.points, axis=0) == pytest.approx([20, 20], rel=0.05)
    assert large.points.mean(0) == pytest.approx([99.75, 49.75])


# -- weights ---------------------------------------------------------------------------------------------------------------


def test_the_network_is_in_the_draughtsmans_file(tmp_path: Path) -> None:
    torch.manual_seed(24)
    both = Draughtsman(Network(), ButtonNetwork())
    both.save(tmp_path / "both.safetensors")
    again = Draughtsman.load(tmp_path / "both.safetensors", both.sha256)
    assert again.buttons is not None and both.buttons is not None
    assert all(torch.equal(a, b) for a, b in zip(again.buttons.parameters(), both.buttons.parameters(), strict=True))
    assert both.parameters > Draughtsman(both.network).parameters


def test_a_draughtsman_of_before_finds_no_buttons(tmp_path: Path) -> None:
    before = Draughtsman(Network())
    before.save(tmp_path / "before.safetensors")
    again = Draughtsman.load(tmp_path / "before.safetensors")
    assert again.buttons is None
    assert (
        again.find_buttons(
            np.zeros((SIDE, SIDE, 3), np.uint8), np.ones((SIDE, SIDE), np.float32), np.zeros((6, SIDE, SIDE), np.float32)
        )
        == []
    )
    assert Draughtsman.load(WEIGHTS / "draughtsman.safetensors").buttons is not None
