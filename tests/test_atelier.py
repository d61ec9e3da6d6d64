"""Ateliers draw: on the page's stroke field, in clearly different hands, on clean paper."""

import numpy as np
import pytest
import torch
from PIL import Image

from fedgai import ateliers as atelier
from fedgai.ateliers import ATELIERS, Hand, draw, random_hand, render, study, study_looked
from fedgai.content import Cloth, Looked
from fedgai.evaluation.metrics import dominant_period
from fedgai.networks import hatching as strokes
from fedgai.vision.garment_lines import GarmentLine
from fedgai.vision.tone import grey_cloth, tone_of

H, W = 160, 128


@pytest.fixture(scope="module")
def garment() -> tuple[np.ndarray, np.ndarray]:
    """A grey tunic with a dark right half and a seam, on a blue floor: photograph and mask."""
    photo = np.full((H, W, 3), (40, 60, 160), np.uint8)
    mask = np.zeros((H, W), np.float32)
    mask[16:144, 24:104] = 1
    photo[16:144, 24:64], photo[16:144, 64:104] = 190, 60
    photo[60:62, 24:64] = 90
    return photo, mask


@pytest.fixture(scope="module")
def seen(garment) -> atelier.Study:
    return study(*garment)


def test_eight_named_ateliers_each_with_a_line_about_the_hand():
    assert len(ATELIERS) == 8
    assert len({hand.description for hand in ATELIERS.values()}) == 8
    assert {hand.medium for hand in ATELIERS.values()} == {"ink", "graphite", "charcoal", "pencil", "marker"}
    assert all(20 < len(hand.description) < 120 and "\n" not in hand.description for hand in ATELIERS.values())


@pytest.mark.parametrize("name", ATELIERS)
def test_a_drawing_is_deterministic_and_its_paper_white(name, garment):
    photo, mask = garment
    first, again = (draw(photo, ATELIERS[name], mask=mask) for _ in range(2))
    assert first.dtype == np.uint8 and first.shape == photo.shape
    assert np.array_equal(first, again)
    away = np.ones((H, W), bool)
    away[8:152, 16:112] = False
    assert (first[away] > 250).mean() > 0.99
    assert (first[16:144, 24:104].min(2) < 128).mean() > 0.01  # and there is a drawing


def test_the_eight_hands_draw_clearly_differently(seen):
    drawn = [render(seen, hand).astype(float) for hand in ATELIERS.values()]
    for i, a in enumerate(drawn):
        assert all(np.abs(a - b).mean() > 2 for b in drawn[:i])


@pytest.mark.parametrize("angle, period", [(45, 5.5), (118, 7.0), (10, 9.0)])
def test_hatching_has_the_hands_period_and_stays_in_the_dark(seen, angle, period):
    ink = render(seen, Hand(hatch=0.7, angle=angle, period=period, omit=0.9))
    dark, light = ink[70:130, 68:100].mean(2), ink[70:130, 30:58].mean(2)
    found, _ = dominant_period(dark)
    assert found == pytest.approx(period, rel=0.15)
    assert light.mean() > dark.mean() + 20


def test_stipple_is_dots_not_a_veil(seen):
    ink = render(seen, Hand(stipple=0.9, period=5, omit=0.9))[70:130, 68:100].mean(2)
    assert 0.03 < (ink < 128).mean() < 0.6
    assert ((ink > 64) & (ink < 192)).mean() < 0.3


def test_without_a_mask_the_whole_picture_is_drawn(garment):
    drawn = draw(garment[0], ATELIERS["Aiko"])
    assert np.isfinite(drawn).all() and (drawn < 128).any()


def test_random_hands_are_seeded_and_within_the_documented_ranges():
    hands = [random_hand(np.random.default_rng(i)) for i in range(200)]
    assert hands[:5] == [random_hand(np.random.default_rng(i)) for i in range(5)]
    for hand in hands:
        assert 0.7 <= hand.weight <= 4.5 and 0.9 <= hand.contour <= 2.2 and 4 <= hand.period <= 13.01
        unit = (
            "taper",
            "omit",
            "hatch",
            "cross",
            "stipple",
            "shade",
            "wash",
            "soft",
            "grain",
            "opacity",
            "even",
            "blacks",
            "flat",
        )
        assert all(0 <= getattr(hand, name) <= 1 for name in unit)
    assert len({hand.medium for hand in hands}) == 5


def test_a_crop_with_its_origin_is_the_crop_of_the_page():
    code = torch.stack([strokes.stroke_code(30, 6), strokes.stroke_code(100, 9)])
    page = strokes.stroke_field(code, 300, 280)
    crop = strokes.stroke_field(code, 40, 50, torch.tensor([[200, 210], [200, 210]]))
    assert page.shape == (2, 300, 280, len(strokes.CHANNELS))
    assert torch.allclose(page[:, 200:240, 210:260], crop, atol=2e-3)


@pytest.mark.parametrize("angle, period", [(0, 9.0), (90, 12.0), (40, 5.5), (150, 7.3)])
def test_the_lattice_is_laid_onto_a_drawing_s_hatching(angle: float, period: float) -> None:
    """Half of the garment is hatched, from another corner of the page; the seams beside it do not count."""
    code = strokes.stroke_code(angle, period)
    there = strokes.stroke_field(code[None], 200, 160, torch.tensor([[7, 5]]))[0, :, :, 0].numpy()
    ink = np.where(there > 0.6, 1.0, 0.0)
    ink[:, 80:] = 0
    ink[:, 100:103] = ink[40:43] = 1
    found = strokes.stroke_field(code[None], 200, 160, strokes.aligned_origin(code, ink)[None])[0, :, :, 0].numpy()
    assert np.corrcoef(found[:, :80].ravel(), there[:, :80].ravel())[0, 1] > 0.65  # each page wavers elsewhere


def test_an_atelier_draws_the_lines_that_the_network_is_shown():
    """Whole lines; a hand that leaves much out leaves out what is not sure; black cloth is drawn darker than white cloth."""
    mask = np.zeros((200, 160), np.float32)
    mask[20:180, 20:140] = 1
    column = np.stack([np.full(100, 80.0), np.arange(50, 150.0)], 1)
    row = np.stack([np.arange(30, 70.0), np.full(40, 100.0)], 1)
    lines = (GarmentLine(row, False, 0.3), GarmentLine(column, False, 1.0))
    ink = {}
    for name, grey in (("white", 240), ("black", 30)):
        cloth = np.full((200, 160, 3), 255, np.float32)
        cloth[mask > 0] = grey
        tone = tone_of(cloth, mask)
        picture = grey_cloth(tone).astype(np.uint8)
        garment = Cloth(picture, mask, np.zeros_like(mask), tone, lines, 1.0, 0.0)
        seen = study_looked(Looked(Image.fromarray(picture), mask, mask, None, picture, garment, lines))
        ink[name] = 1 - render(seen, Hand(hatch=0.7, omit=1.0)).mean() / 255
        drawn = [render(seen, Hand(weight=2.0, taper=0.0, wobble=0.0, omit=omit)).min(2) for omit in (0.0, 0.6)]
        assert all(d[55:145, 80].max() < 60 for d in drawn)
        assert drawn[0][100, 35:65].max() < 100 and drawn[1][100, 35:65].min() > 200
    assert ink["black"] > 1.3 * ink["white"] > 0


def test_a_thick_pen_draws_a_thick_line():
    mask = np.ones((96, 96), np.float32)
    column = np.stack([np.full(80, 48.0), np.arange(8, 88.0)], 1)
    cloth = np.full((96, 96, 3), 200, np.uint8)
    lines, none = (GarmentLine(column, False, 1.0),), np.zeros_like(mask)
    looked = Looked(Image.fromarray(cloth), mask, mask, None, cloth, Cloth(cloth, mask, none, none, lines, 1.0, 0.0), lines)
    seen = study_looked(looked)
    width = [
        (1 - render(seen, Hand(weight=w, taper=0.0, wobble=0.0, soft=0.0))[48, 24:72] / 255).mean(1).sum() for w in (1, 2, 4)
    ]
    assert width[0] < 1.5 < width[1] < 2.5 < width[2] < 5
