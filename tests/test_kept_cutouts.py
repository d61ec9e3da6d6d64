"""Cut-outs that stay on a designer's disk between rounds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.garment_picture import draw_garment
from PIL import Image, ImageOps

from fedgai.data import kept_cutouts, pairs
from fedgai.data.kept_cutouts import ENDING, FOLDER, KeptCutouts
from fedgai.data.pairs import PairFolder
from fedgai.draughtsman import Draughtsman
from fedgai.model import FedGAI

pytestmark = pytest.mark.usefixtures("looked_at_once")

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
PHOTO = Image.new("RGB", (9, 7), "red")


@pytest.fixture(scope="module")
def draughtsman() -> Draughtsman:
    found = FedGAI.load().draughtsman
    assert found is not None
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for kind in ("photos", "sketches"):
        (tmp_path / "pairs" / kind).mkdir(parents=True)
    for i in range(2):
        photo = draw_garment(96 + 16 * i, 120)
        photo.save(tmp_path / "pairs" / "photos" / f"{i}.png")
        ImageOps.posterize(ImageOps.grayscale(photo), 1).save(tmp_path / "pairs" / "sketches" / f"{i}.png")
    return tmp_path / "pairs"


@pytest.fixture
def cut(data: Path, tmp_path: Path, draughtsman: Draughtsman, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[str, int]]:
    """Open the pairs as a round does -> the hash of their pixels, and how many photographs were cut out for it."""
    made: list[Image.Image] = []
    original = pairs.as_shown

    def counted(photo: Image.Image, size: int, draughtsman: Draughtsman) -> np.ndarray:
        made.append(photo)
        return original(photo, size, draughtsman)

    monkeypatch.setattr(pairs, "as_shown", counted)

    def once() -> tuple[str, int]:
        made.clear()
        return PairFolder(data, 64, draughtsman=draughtsman, kept=tmp_path / FOLDER).sha256, len(made)

    return once


def test_the_second_round_cuts_nothing_out_and_has_the_same_pixels(
    cut: Callable[[], tuple[str, int]], data: Path, tmp_path: Path, draughtsman: Draughtsman
) -> None:
    plain = PairFolder(data, 64, draughtsman=draughtsman).sha256
    assert cut() == (plain, 2)
    assert cut() == (plain, 0)
    if os.name == "posix":
        assert (tmp_path / FOLDER).stat().st_mode & 0o077 == 0


def test_a_changed_photograph_is_cut_out_again_and_what_nobody_needs_is_deleted(
    cut: Callable[[], tuple[str, int]], data: Path, tmp_path: Path
) -> None:
    before, _ = cut()
    draw_garment(112, 120).save(data / "photos" / "0.png")
    (tmp_path / FOLDER / f".0{ENDING}.12ab.tmp").write_bytes(b"of a round that was killed")
    (tmp_path / FOLDER / "notes.txt").write_text("somebody else's")
    changed, made = cut()
    assert changed != before and made == 0  # it is the other photograph, which is known
    draw_garment(128, 120).save(data / "photos" / "0.png")
    again, made = cut()
    assert again not in (before, changed) and made == 1
    left = sorted(file.name for file in (tmp_path / FOLDER).iterdir())
    assert len(left) == 3 and left[-1] == "notes.txt" and all(name.endswith(ENDING) for name in left[:2])


def test_another_mask_is_another_picture(data: Path, cut: Callable[[], tuple[str, int]]) -> None:
    """Its transparency says what of a picture is the garment; the colours below may be the same."""
    found = []
    for height in (40, 80):
        grey = np.full((120, 96, 4), 90, np.uint8)
        grey[..., 3] = 0
        grey[10 : 10 + height, 20:70, 3] = 255
        grey[grey[..., 3] == 0] = (255, 255, 255, 0)
        Image.fromarray(grey).save(data / "photos" / "0.png")
        found.append(cut())
    assert found[0][0] != found[1][0] and [made for _, made in found] == [2, 1]
    assert cut() == (found[1][0], 0)


@pytest.mark.parametrize("damage", ["cut short", "another byte", "empty", "another's", "large", "a folder"])
def test_a_damaged_file_is_made_anew(damage: str, cut: Callable[[], tuple[str, int]], tmp_path: Path) -> None:
    good, _ = cut()
    file, other = sorted((tmp_path / FOLDER).iterdir())
    content = file.read_bytes()
    if damage == "cut short":
        file.write_bytes(content[:-1])
    elif damage == "another byte":
        file.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    elif damage == "another's":
        file.write_bytes(other.read_bytes())
    elif damage == "a folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(b"" if damage == "empty" else content + bytes(2**25))
    assert cut() == (good, 1)
    assert cut() == (good, 1 if damage == "a folder" else 0)


def test_a_packed_picture_may_not_grow_beyond_its_size(tmp_path: Path) -> None:
    key = "0" * 64
    file = tmp_path / "file"
    for content in (kept_cutouts._packed(PICTURE, key), b"", b"x" * 40):
        file.write_bytes(content)
        assert (kept_cutouts._read(file, key) is None) == (len(content) <= 40)
    whole = kept_cutouts._packed(np.zeros((1500, 1500, 3), np.uint8), key)[kept_cutouts.DIGEST :]
    for sizes in (kept_cutouts.SIZES.pack(2, 2), kept_cutouts.SIZES.pack(10**9, 10**9)):
        lie = sizes + whole[kept_cutouts.SIZES.size :]
        file.write_bytes(kept_cutouts._digest(lie, key) + lie)
        assert kept_cutouts._read(file, key) is None


def test_other_weights_code_or_size_is_another_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def make() -> np.ndarray:
        made.append(1)
        return PICTURE

    def ask(weights: str = "a", side: int = 64) -> int:
        made.clear()
        assert (KeptCutouts(tmp_path / FOLDER, weights).picture(PHOTO, side, make) == PICTURE).all()
        return len(made)

    assert [ask(), ask(), ask("b"), ask("b"), ask(side=72), ask(side=72)] == [1, 0, 1, 0, 1, 0]
    monkeypatch.setattr(kept_cutouts, "code_version", lambda: "the next release")
    assert [ask(), ask()] == [1, 0]


@pytest.mark.parametrize("place", ["no/folder", "a file"])
def test_a_folder_that_cannot_be_used_costs_time_alone(place: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("in the way")
    for _ in range(2):
        kept = KeptCutouts(tmp_path / place, "a")
        assert (kept.picture(PHOTO, 64, lambda: PICTURE) == PICTURE).all()
        kept.forget_others()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a file"]
