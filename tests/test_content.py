"""What is drawn from: an outline that is whole, and hands whose lines are the same share of the page at every size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fedgai.content import Content
from fedgai.garments import dye, make
from fedgai.pipeline import SketchPipeline
from fedgai.vision.drawn_outline import redrawn, without_specks

SIZES = (256, 512, 1024)


@pytest.fixture(scope="module")
def pipe() -> SketchPipeline:
    return SketchPipeline.from_pretrained()


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return dye(make(11, long_side=512, kind="t-shirt"), np.random.default_rng(5)).photo


@pytest.fixture(scope="module")
def contents(pipe: SketchPipeline, photo: np.ndarray) -> dict[int, Content]:
    """The photograph made ready at each size."""
    return {size: pipe.prepare(photo, size) for size in SIZES}


def contour_width(sketch: np.ndarray, mask: np.ndarray) -> float:
    """Ink within 3 % of the page from the mask's edge, over the edge's length: a share of the page."""
    side = max(mask.shape)
    solid = np.uint8(mask > 0.5)
    inside, outside = (cv2.distanceTransform(part, cv2.DIST_L2, 5) for part in (solid, 1 - solid))
    near = (inside < 0.012 * side) & (outside < 0.03 * side)
    dark = 1 - sketch.min(2).astype(np.float64) / 255
    contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    length = max(cv2.arcLength(contour, True) for contour in contours)
    return float(dark[near].sum() / length / side)


@pytest.mark.parametrize("name", ["Aiko", "Bruno", "Celeste", "Dara", "Emeka", "Freya", "Goro", "Hana"])
def test_a_contour_is_the_same_share_of_every_page(pipe: SketchPipeline, contents: dict[int, Content], name: str) -> None:
    widths = []
    for size, content in contents.items():
        sketch = pipe.draw(content, {name: 1})
        assert max(sketch.size) == size
        widths.append(contour_width(np.asarray(sketch), content.mask))
    assert min(widths) > 0 and max(widths) / min(widths) < 1.15, widths


def test_an_outline_in_ink_is_one_piece(pipe: SketchPipeline, photo: np.ndarray, contents: dict[int, Content]) -> None:
    """Also of a garment as pale as the paper."""
    for content in (contents[512], pipe.prepare(np.uint8(255 - (255 - photo) * 0.12), 512)):
        ink = np.asarray(pipe.draw(content, {"Aiko": 1}).convert("L")) < 160
        solid = np.uint8(content.mask > 0.5)
        band = cv2.morphologyEx(solid, cv2.MORPH_GRADIENT, np.ones((9, 9), np.uint8)) > 0
        _, labels = cv2.connectedComponents(np.uint8(ink & band), connectivity=8)
        sizes = np.bincount(labels.ravel())[1:]
        assert sizes.max() > 0.9 * sizes.sum()


def test_a_ragged_edge_becomes_smooth_and_keeps_its_corners() -> None:
    rng = np.random.default_rng(24)
    mask = np.zeros((512, 384), np.float32)
    mask[100:400, 80:300] = 1
    ragged = mask.copy()
    for row in range(100, 400):
        ragged[row, 80 : 80 + rng.integers(0, 4)] = 0
    smooth, line = redrawn(ragged)
    assert smooth.shape == line.shape == mask.shape and 0 <= smooth.min() and smooth.max() <= 1
    left = [np.argmax(smooth[row] > 0.5) for row in range(120, 380)]
    assert np.abs(np.diff(left)).max() <= 1 and max(left) - min(left) <= 2
    assert smooth[102, 297] > 0.5 and smooth[98, 302] < 0.5  # the corner is still there
    assert (line[120:380, 78:85].max(1) > 0.5).all() and line[200, 150] == 0


def test_waves_of_a_cut_out_are_not_drawn() -> None:
    """Legs of jeans had knees every few centimetres."""
    rows, columns = np.mgrid[:512, :384]
    waves = 2 * np.sin(2 * np.pi * rows / 40)
    smooth, _ = redrawn(((rows > 60) & (rows < 450) & (columns > 100 + waves) & (columns < 300)).astype(np.float32))
    assert np.ptp(smooth[150:360].sum(1)) < 1.5
    assert smooth[64, 297] > 0.5 and smooth[446, 297] > 0.5  # corners are still there


def test_specks_and_small_holes_are_no_edges_for_lines() -> None:
    """A hole of ten pixels in a mask that a visitor brought had cut a seam in two."""
    mask = np.zeros((512, 384), np.float32)
    mask[100:400, 80:300] = 1
    whole = mask.copy()
    mask[200:210, 150:160] = 0
    mask[10:14, 10:14] = 1
    assert np.array_equal(without_specks(mask), whole)
    whole[150:250, 120:200] = 0  # large enough to have an outline
    assert np.array_equal(without_specks(whole), whole)


def test_specks_alone_are_left_as_they_are() -> None:
    mask = np.zeros((512, 384), np.float32)
    mask[10:14, 10:14] = 1
    smooth, line = redrawn(mask)
    assert np.array_equal(smooth, mask) and not line.any()


def test_a_photograph_of_any_size_is_drawn_at_one(pipe: SketchPipeline, tmp_path: Path, photo: np.ndarray) -> None:
    small, large = (pipe.prepare(photo, size) for size in (64, 1024))
    assert small.drawn == large.drawn and max(small.drawn) == 512
    assert max(small.size) == 64 and max(large.size) == 1024 and large.mask.shape == large.size[::-1]
