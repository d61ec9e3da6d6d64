"""A designer's folder, whatever is in it, gets a report in plain words and never a traceback."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_garment
from helpers.bad_pictures import bad_pictures
from PIL import Image, ImageDraw

from fedgai.data import folder as drawings
from fedgai.data import pairs
from fedgai.data.folder import contact_sheet, look
from fedgai.data.pair_up import pair_up
from fedgai.data.pairs import PairFolder, PairsError, check
from fedgai.data.scans import MADE


def sketch(seed: int, side: int = 96) -> Image.Image:
    """Some strokes on white, as a drawing that no other seed has."""
    rng, image = np.random.default_rng(seed), Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(image)
    for _ in range(5):
        pen.line([tuple(p) for p in rng.integers(4, side - 4, (3, 2)).tolist()], "black", 3)
    pen.ellipse([*sorted(rng.integers(4, side - 4, 2).tolist()), side - 3, side - 3], fill="grey")
    return image


def fill(folder: Path, count: int, first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        sketch(i).save(folder / f"no. {i:03d}.png")
    return folder


def test_the_kind_is_recognised(tmp_path: Path) -> None:
    fill(tmp_path / "straight", 3)
    fill(tmp_path / "only" / "sketches", 3)
    fill(tmp_path / "both" / "photos", 3)
    fill(tmp_path / "both" / "sketches", 3)
    fill(tmp_path / "sheets" / "scans", 2)
    (tmp_path / "sheets" / "scans" / "no. 000.json").write_text("{}")
    (tmp_path / "only" / "photos").mkdir()  # empty, as if there were none
    kinds = {name: look(tmp_path / name) for name in ("straight", "only", "both", "sheets")}
    assert {name: found.kind for name, found in kinds.items()} == {
        "straight": "sketches",
        "only": "sketches",
        "both": "pairs",
        "sheets": "scans",
    }
    assert [len(found.drawings) for found in kinds.values()] == [3, 3, 3, 2]
    assert not any(found.bad for found in kinds.values())
    assert len(kinds["both"].pairs) == 3 and "3 good pairs" in str(kinds["both"])
    assert "cut into single drawings" in str(kinds["sheets"])


def test_none_and_one_and_enough(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert look(tmp_path / "none").kind == "empty" and "Put your drawings" in str(look(tmp_path / "none"))
    (tmp_path / "none" / "scans").mkdir()
    (tmp_path / "none" / "photos").mkdir()
    assert look(tmp_path / "none").kind == "empty"
    (tmp_path / "none" / "scans").rmdir()
    assert "no sketches/ beside it" in str(look(tmp_path / "none"))
    one = look(fill(tmp_path / "one", 1))
    assert len(one.drawings) == 1
    assert all(words in str(one) for words in ("1 drawing: please", "at least 24", "less like yours"))
    enough = look(fill(tmp_path / "enough", 24))
    assert not enough.warnings and str(enough).endswith("24 good drawings, 0 bad files")
    assert max(contact_sheet(look(tmp_path / "none")).size) < 400


def test_every_bad_file_is_named_and_the_contact_sheet_marks_it(tmp_path: Path) -> None:
    folder = fill(tmp_path / "Zoë's coats – été", 5)
    bad = bad_pictures(folder)
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "round").symlink_to(folder)
    (folder / "2023").mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / ".DS_Store").write_text("litter")
    Image.new("1", (30_000, 64)).save(folder / "wide.tiff")
    found = look(folder)
    assert len(found.drawings) == 5 and not found.twins
    assert {file.name for file, _ in found.bad} == {*bad, "loop.png", "pipe.png", "wide.tiff"}
    assert {file.name for files in found.left_out.values() for file in files} == {"round", ".DS_Store"}
    assert "round (links to folders" in str(found) and ".DS_Store" in str(found) and ".DS_Store" not in str(found.warnings)
    reasons = {file.name: reason for file, reason in found.bad}
    assert "circle" in reasons["loop.png"] and "scale it down" in reasons["wide.tiff"]
    assert all(str(file) in str(found) for file, _ in found.bad)
    page = np.asarray(contact_sheet(found)).astype(int)
    assert page.shape[1] == 8 * (drawings.CELL + 16) and page.shape[0] == 2 * (drawings.CELL + 36)
    red = (page[..., 0] > 180) & (page[..., 1] < 60)
    assert red.sum() > 3000 and not red[: drawings.CELL, : 5 * (drawings.CELL + 16)].any()


def test_unequal_names_of_pairs(tmp_path: Path) -> None:
    fill(tmp_path / "photos", 4)
    fill(tmp_path / "sketches", 4, first=2)
    found = look(tmp_path)
    assert found.kind == "pairs" and len(found.drawings) == 2 and len(found.bad) == 4
    assert "no partner" in str(found)


def test_near_duplicates_are_named(tmp_path: Path) -> None:
    folder = fill(tmp_path / "own", 12)
    larger = Image.new("RGB", (220, 190), "white")  # scanned again: other size, margins, compression, darkness
    larger.paste(sketch(3).resize((150, 150)), (40, 20))
    larger.point(lambda v: int(0.94 * v)).save(folder / "again.jpg", quality=70)
    found = look(folder)
    assert [{a.name, b.name} for a, b in found.twins] == [{"again.jpg", "no. 003.png"}]
    assert "looks like" in str(found) and "copies of another drawing" in str(found)


def test_five_thousand_files(tmp_path: Path) -> None:
    data = fill(tmp_path / "one", 1) / "no. 000.png"
    for folder in ("photos", "sketches"):
        (tmp_path / "many" / folder).mkdir(parents=True)
        for i in range(5000):
            os.link(data, tmp_path / "many" / folder / f"{i:05d}.png")
    found = look(tmp_path / "many" / "sketches")
    assert len(found.drawings) == pairs.MOST and found.drawings[-1].name == "04999.png"
    assert "5,000" in str(found) and "1,000 of them" in str(found)
    assert len(found.thumbnails) == drawings.CELLS and len(found.twins) <= pairs.MOST
    assert len(str(found).splitlines()) < 60 and contact_sheet(found).height < 8 * 220
    report = check(tmp_path / "many")
    assert len(report.pairs) == pairs.MOST == len(PairFolder(tmp_path / "many", 32)) and "1,000 of them" in str(report)


def test_a_folder_that_cannot_be_opened_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("nowhere", "loop"):
        with pytest.raises(PairsError, match="cannot be opened") as refusal:
            look(tmp_path / name)
        assert "\n" not in str(refusal.value)
    locked = fill(tmp_path / "locked", 1)

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(PairsError, match="Permission denied"):
        look(locked)


# -- sketches only ---------------------------------------------------------------------------------------------------


@pytest.fixture
def garments(tmp_path: Path) -> Path:
    folder = tmp_path / "garments"
    folder.mkdir()
    for width in (200, 240):
        draw_garment(width, 240).save(folder / f"{width}.png")
    Image.new("RGB", (200, 200), "grey").save(folder / "a wall.png")
    return folder


def test_drawings_alone_are_paired_with_public_garments(tmp_path: Path, garments: Path, tiny_model_dir: Path) -> None:
    own = fill(tmp_path / "Zoë's own", 5)
    (own / "no. 001.png").write_text("not a picture")
    told: list[tuple[int, int]] = []
    for _ in range(2):  # the second run replaces the first
        report = pair_up(
            sorted(own.iterdir()), tmp_path / "out", garments, model=tiny_model_dir, progress=lambda *x: told.append(x)
        )
    assert sorted(file.name for file, _ in report.bad) == ["a wall.png", "no. 001.png"]
    assert len(report.pairs) == len(report.guides) == 4 and told[-1] == (2, 3)
    pairs_again = PairFolder(tmp_path / "out", 96)
    assert len(pairs_again) == 4 and not pairs_again.report.bad + pairs_again.report.notes
    for i, seed in enumerate((0, 2, 3, 4)):  # the true drawings, untouched
        true = torch.from_numpy(np.array(sketch(seed))).permute(2, 0, 1) / 127.5 - 1
        assert torch.allclose(pairs_again.sketch(i), true) and torch.equal(pairs_again[i][1], pairs_again.sketch(i))
        assert not torch.equal(pairs_again.guide(i), pairs_again.sketch(i))
    assert torch.equal(pairs_again[0][0], pairs_again[2][0])  # two garments in turn
    assert torch.equal(pairs_again.guide(1), pairs_again.guide(3))
    report.guides[1].unlink()
    assert "one guide" in str(check(tmp_path / "out"))
    assert look(tmp_path / "out").kind == "pairs"


def test_without_guides_a_sketch_is_its_own_guide(tmp_path: Path) -> None:
    for name in ("photos", "sketches"):
        fill(tmp_path / name, 2)
    plain = PairFolder(tmp_path, 96)
    assert torch.equal(plain.guide(1), plain.sketch(1))


def test_what_cannot_be_paired_up_is_one_line(
    tmp_path: Path, garments: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = sorted(fill(tmp_path / "own", 2).iterdir())
    (tmp_path / "nothing").mkdir()
    (tmp_path / "walls").mkdir()
    (garments / "a wall.png").rename(tmp_path / "walls" / "a wall.png")
    fill(tmp_path / "mine" / "sketches", 1)
    for files, out, photos, says in (
        ([], "out", garments, "no sketch"),
        (own, "out", tmp_path / "nothing", "no pictures"),
        (own, "out", tmp_path / "walls", "no garment"),
        (own, "mine", garments, "another kind"),
    ):
        with pytest.raises(PairsError, match=says) as refusal:
            pair_up(files, tmp_path / out, photos, model=tiny_model_dir)
        assert "\n" not in str(refusal.value)
    assert (tmp_path / "mine" / "sketches" / "no. 000.png").exists()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(PairsError, match="No space left"):
        pair_up(own, tmp_path / "out", garments, model=tiny_model_dir)
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file() and file.name != MADE]


def test_no_drawing_is_ever_deleted(tmp_path: Path, garments: Path, tiny_model_dir: Path) -> None:
    own = tmp_path / "mine" / "sketches"
    own.mkdir(parents=True)
    for i in range(3):
        sketch(i).save(own / f"{i:04d}.png")  # as a scanner numbers them, and as pair_up does
    for out in ("mine", "mine/../mine"):
        with pytest.raises(PairsError, match="these very drawings"):
            pair_up(sorted(own.iterdir()), tmp_path / out, garments, model=tiny_model_dir)
    others = sorted(fill(tmp_path / "others", 2).iterdir())
    with pytest.raises(PairsError, match="another kind"):
        pair_up(others, tmp_path / "mine", garments, model=tiny_model_dir)
    assert len(list(own.iterdir())) == 3


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    folder = fill(tmp_path / "own", 2)
    try:
        (folder / "caf\udce9.png").write_bytes((folder / "no. 000.png").read_bytes())
        (folder / "bad\udce9.png").write_text("no picture")
    except OSError:
        pytest.skip("this file system takes text only")
    found = look(folder)
    str(found).encode()
    assert len(found.drawings) == 3 and contact_sheet(found).width > drawings.CELL
