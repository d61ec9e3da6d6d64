"""Where two masks of a garment differ, each piece is decided by itself; and how much each measure tells was fitted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fedgai.draughtsman import Seen
from fedgai.training import fit_mask_pieces
from fedgai.training.reviewed_masks import MaskReview
from fedgai.vision.cutout import cut_out_seen, tidy, to_lab
from fedgai.vision.mask_pieces import Sight, pieces, settled

SHIRT, BESIDE = (slice(60, 260), slice(50, 190)), (slice(110, 170), slice(190, 225))
CLOTH, WALL = (170, 20, 40), (205, 205, 200)


def picture(beside: tuple[int, int, int]) -> np.ndarray:
    """A red shirt before a pale wall, with something beside it."""
    photo = np.full((320, 240, 3), WALL, np.uint8)
    photo[SHIRT], photo[BESIDE] = CLOTH, beside
    return photo + np.random.default_rng(7).integers(0, 6, (320, 240, 1), np.uint8)


def plane(shirt: float, beside: float) -> np.ndarray:
    """(320, 240) float32, one number on the shirt and one beside it."""
    values = np.zeros((320, 240), np.float32)
    values[SHIRT], values[BESIDE] = shirt, beside
    return values


def settle(beside: tuple[int, int, int], held: bool, belief: float, again: float) -> np.ndarray:
    """The mask, where GrabCut holds what is beside the shirt or not and another mask has it otherwise."""
    sight = Sight(to_lab(picture(beside)), plane(1, belief), plane(1, again), np.zeros((320, 240), np.float32))
    with_it, without = plane(1, 1) > 0, plane(1, 0) > 0
    mask, other = (with_it, without) if held else (without, with_it)
    return settled(mask, [other], lambda: sight, tidy)


@pytest.mark.parametrize("held", [True, False])
def test_a_piece_of_the_cloths_colour_is_garment_and_one_of_the_walls_is_not(held: bool) -> None:
    assert settle(CLOTH, held, 0.6, 0.6)[BESIDE].mean() > 0.9
    assert settle(WALL, held, 0.6, 0.6)[BESIDE].mean() < 0.1


def test_where_the_colours_tell_nothing_the_draughtsmans_two_looks_do() -> None:
    between = (187, 112, 120)  # as far from the cloth as from the wall
    assert settle(between, False, 0.95, 0.99)[BESIDE].mean() > 0.9
    assert settle(between, False, 0.7, 0.1)[BESIDE].mean() < 0.1


def test_the_rest_of_the_mask_stays() -> None:
    mask = settle(WALL, True, 0.6, 0.6)
    assert mask[64:256, 54:186].all() and not mask[:56].any() and not mask[264:].any()


@pytest.mark.parametrize(("first", "again"), [(0.6, 0.6), (0.78, 0.0), (0.7, 0.7)])
def test_a_garment_that_the_draughtsman_is_nowhere_sure_of_is_no_piece(first: float, again: float) -> None:
    edge = np.zeros((320, 240), np.float32)
    edge[56:264, 46:194], edge[64:256, 54:186] = 0.9, 0
    mask = cut_out_seen(picture(WALL), plane(first, 0), edge, look_again=lambda: plane(again, 0)) > 0.5
    assert mask[70:250, 60:180].all() and not mask[:50].any()


def test_threads_and_dust_are_no_pieces() -> None:
    mask, other = plane(1, 0) > 0, plane(1, 0) > 0
    other[60:260, 190:193] = True
    other[20:26, 20:26] = True
    assert not list(pieces(mask, other))
    other[BESIDE] = True
    (piece,) = pieces(mask, other)
    assert piece[BESIDE].all() and not piece[20:26, 20:26].any()


def test_the_draughtsman_looks_again_only_where_there_is_a_piece_to_decide() -> None:
    looks: list[int] = []

    def again() -> np.ndarray:
        looks.append(1)
        return cv2.resize(plane(1, 0.02), (120, 160))

    edge = np.zeros((320, 240), np.float32)
    edge[56:264, 46:194], edge[64:256, 54:186] = 0.9, 0
    cut_out_seen(picture(WALL), plane(1, 0), edge, look_again=again)
    assert not looks
    mask = cut_out_seen(picture(WALL), plane(1, 0.8), edge, look_again=again) > 0.5
    assert len(looks) == 1 and mask[BESIDE].mean() < 0.1 and mask[70:250, 60:180].all()


class Looker:
    """Stands in for a draughtsman: it sees the shirt, and is as sure of what is beside it as it is told."""

    def __init__(self, beside: float, surer_if_red: bool = False) -> None:
        self.beside, self.surer_if_red = beside, surer_if_red

    def look(self, photo: np.ndarray, side: int = 512) -> Seen:
        red = photo[..., 0].astype(int) - photo[..., 1] > 60
        beside = float(red[BESIDE].mean() > 0.5) if self.surer_if_red else self.beside
        return Seen(plane(1, beside), np.zeros((6, 320, 240), np.float32), plane(1, 1))


def test_pieces_that_an_earlier_draughtsman_doubted_are_named_by_todays() -> None:
    for colour, right in ((CLOTH, 1), (WALL, 0)):
        reviewed = fit_mask_pieces.review(picture(colour), Looker(0.7), Looker(0, surer_if_red=True))  # type: ignore[arg-type]
        assert reviewed is not None and (reviewed.right == right).all() and reviewed.measured.shape[1] == 3
        assert (reviewed.measured[:, 2] > 0.3).all() if right else (reviewed.measured[:, 2] < -0.3).all()
    assert fit_mask_pieces.review(picture(WALL), Looker(0.7), Looker(0.5)) is None  # type: ignore[arg-type]


def test_the_command_prints_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "more").mkdir()
    for i in range(8):
        cv2.imwrite(str(tmp_path / "more" / f"{i}.png"), picture(CLOTH if i % 2 else WALL)[..., ::-1])
    names: dict[str, MaskReview | None] = {f"more/{i}.png": MaskReview() for i in range(8)}
    monkeypatch.setattr(
        fit_mask_pieces, "read", lambda: {**names, "more/left_out.png": None, "train/elsewhere.png": MaskReview()}
    )
    drawn = {"earlier": Looker(0.7), "today": Looker(0, surer_if_red=True)}
    monkeypatch.setattr(fit_mask_pieces, "Draughtsman", SimpleNamespace(load=lambda path: drawn[path.name]))
    options = ["--photos", str(tmp_path / "more"), "--earlier", "earlier", "--draughtsman", "today"]
    fit_mask_pieces.main(options)
    output = capsys.readouterr().out
    assert "WEIGHTS = [" in output and "of 8 photographs" in output and "1.000 of the pieces" in output
    with pytest.raises(SystemExit):
        fit_mask_pieces.main([*options, "--limit", "2"])
