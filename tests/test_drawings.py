"""A designer's folder, whatever is in it, gets a report in plain words and never a traceback."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.bad_pictures import bad_pictures
from helpers.drawn_sheets import fill, sketch
from PIL import Image, ImageDraw

from fedgai.data import designer_folder as drawings
from fedgai.data import pairs
from fedgai.data.designer_folder import contact_sheet, look
from fedgai.data.pair_up import pair_up
from fedgai.data.pairs import PairFolder, PairsError, check
from fedgai.data.scans import MADE
from fedgai.draughtsman import Draughtsman
from fedgai.measure import page
from fedgai.model import FedGAI


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


@pytest.fixture(scope="module")
def draughtsman() -> Draughtsman:
    found = FedGAI.load().draughtsman
    assert found is not None
    return found


def drawn_skirt(number: int, size: tuple[int, int] = (360, 480)) -> Image.Image:
    """A skirt's outline and a seam, somewhere on the paper, as no other number has it."""
    image = Image.new("RGB", size, "white")
    pen, left, top = ImageDraw.Draw(image), 40 + 5 * number, 90
    pen.polygon([(left + 40, top), (left + 160, top), (left + 200, top + 220), (left, top + 220)], outline="black", width=3)
    pen.line((left + 100, top, left + 100 + 4 * number, top + 220), "black", 2)
    return image


def test_drawings_alone_are_paired_with_the_garments_that_they_show(tmp_path: Path, draughtsman: Draughtsman) -> None:
    own, stroke = tmp_path / "Zoë's own", Image.new("RGB", (200, 200), "white")
    own.mkdir()
    for i in range(5):
        drawn_skirt(i).save(own / f"no. {i:03d}.png")
    (own / "no. 001.png").write_text("not a picture")
    ImageDraw.Draw(stroke).line((40, 40, 160, 150), "black", 3)
    stroke.save(own / "no. 005.png")
    for name in ("photos", "guides"):  # what release 0.1.0 wrote
        (tmp_path / "out" / name).mkdir(parents=True)
        drawn_skirt(0).save(tmp_path / "out" / name / "0000.jpg")
    (tmp_path / "out" / MADE).touch()
    steps: list[tuple[int, int]] = []
    for _ in range(2):  # the second run replaces the first
        report = pair_up(sorted(own.iterdir()), tmp_path / "out", draughtsman, progress=lambda *x: steps.append(x))
    assert sorted(file.name for file, _ in report.bad) == ["no. 001.png", "no. 005.png"] and "no closed outline" in str(report)
    assert len(report.pairs) == 4 and not (tmp_path / "out" / "guides").exists() and steps == 2 * [(i, 5) for i in range(5)]
    pairs_again = PairFolder(tmp_path / "out", 96)
    assert len(pairs_again) == 4 and not pairs_again.report.bad + pairs_again.report.notes
    assert look(tmp_path / "out").kind == "pairs"
    for (photo, sketch_file), number in zip(report.pairs, (0, 2, 3, 4), strict=True):
        true, saved = page(drawn_skirt(number)), page(sketch_file)  # the true drawings, as they are measured
        assert true.shape == saved.shape and np.abs(true.astype(int) - saved).mean() < 1
        garment = Image.open(photo)
        assert garment.mode == "RGBA" and garment.size == true.shape[1::-1]
        inside, ink = np.asarray(garment)[..., 3] > 127, true.min(2) < 128
        assert 0.2 < inside.mean() < 0.6 and (inside & ink).sum() > 0.4 * ink.sum()  # half of an outline lies on the garment


def test_a_picture_s_own_mask_is_what_is_learned_from(tmp_path: Path, draughtsman: Draughtsman) -> None:
    """No other outline is looked for where the picture says which it is: here, half of a grey square."""
    for name in ("photos", "sketches"):
        (tmp_path / name).mkdir()
    drawn_skirt(0, (96, 96)).save(tmp_path / "sketches" / "0.png")
    cloth = np.full((96, 96, 4), 120, np.uint8)
    cloth[..., 3] = 0
    cloth[10:86, 10:48, 3] = 255
    Image.fromarray(cloth).save(tmp_path / "photos" / "0.png")
    shown = PairFolder(tmp_path, 96, draughtsman=draughtsman)[0][0]
    assert shown[:, :, 54:].min() == 1 and shown[:, 20:76, 16:40].max() < 1


def test_photographs_of_other_garments_are_refused(tmp_path: Path) -> None:
    """0.1.0 wrote ``guides/`` beside them: as pairs, each would teach another garment's lines."""
    for name in ("photos", "sketches", "Guides"):
        (tmp_path / name).mkdir()
        for i in range(3):
            sketch(10 * i + len(name)).save(tmp_path / name / f"{i}.png")
    for read in (check, look, lambda folder: PairFolder(folder, 96, skip_bad=True)):
        with pytest.raises(PairsError, match="other garments than its sketches") as refused:
            read(tmp_path)
        assert "\n" not in str(refused.value)
    shutil.rmtree(tmp_path / "Guides")
    assert len(check(tmp_path).pairs) == 3


def test_a_sketch_is_what_its_pair_shows(tmp_path: Path) -> None:
    for name in ("photos", "sketches"):
        (tmp_path / name).mkdir()
        for i in range(3):
            sketch(10 * i + len(name)).save(tmp_path / name / f"{i}.png")
    pairs = PairFolder(tmp_path, 96)
    for i in range(3):
        true = torch.from_numpy(np.array(sketch(10 * i + len("sketches")))).permute(2, 0, 1) / 127.5 - 1
        assert torch.allclose(pairs.sketch(i), true) and torch.equal(pairs[i][1], pairs.sketch(i))
        assert not torch.equal(pairs[i][0], pairs.sketch(i))
    assert not torch.equal(pairs.sketch(0), pairs.sketch(1))


def test_what_cannot_be_paired_up_is_one_line(tmp_path: Path, draughtsman: Draughtsman, monkeypatch: pytest.MonkeyPatch) -> None:
    own = sorted(fill(tmp_path / "own", 2).iterdir())
    stroke, blank = tmp_path / "stroke.png", tmp_path / "blank.png"
    picture = Image.new("RGB", (200, 200), "white")
    picture.save(blank)
    ImageDraw.Draw(picture).line((40, 40, 160, 150), "black", 3)
    picture.save(stroke)
    fill(tmp_path / "mine" / "sketches", 1)
    for files, out, says in (
        ([], "out", "no drawing"),
        ([blank], "out", "no drawing"),
        ([stroke], "out", "no closed outline"),
        (own, "mine", "another kind"),
    ):
        with pytest.raises(PairsError, match=says) as refusal:
            pair_up(files, tmp_path / out, draughtsman)
        assert "\n" not in str(refusal.value)
    assert (tmp_path / "mine" / "sketches" / "no. 000.png").exists()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(PairsError, match="No space left"):
        pair_up(own, tmp_path / "out", draughtsman)
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file() and file.name != MADE]


def test_no_drawing_is_ever_deleted(tmp_path: Path, draughtsman: Draughtsman) -> None:
    own = tmp_path / "mine" / "sketches"
    own.mkdir(parents=True)
    for i in range(3):
        sketch(i).save(own / f"{i:04d}.png")  # as a scanner numbers them, and as pair_up does
    for out in ("mine", "mine/../mine"):
        with pytest.raises(PairsError, match="these very drawings"):
            pair_up(sorted(own.iterdir()), tmp_path / out, draughtsman)
    others = sorted(fill(tmp_path / "others", 2).iterdir())
    with pytest.raises(PairsError, match="another kind"):
        pair_up(others, tmp_path / "mine", draughtsman)
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
