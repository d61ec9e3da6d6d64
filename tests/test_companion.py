"""From a designer's folder, of any kind, to the pairs that are trained on; nothing is made twice, and no sheet unseen."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.drawn_sheets import fill, sketch
from helpers.garment_picture import draw_garment
from PIL import Image, ImageDraw, ImageOps

from federation.designer import prepare as preparing
from federation.designer.prepare import LookFirst, accept, look, prepare
from federation.designer.settings import CompanionError, Settings
from fedgai.data.pairs import PairFolder
from fedgai.data.scans import prepare_scans

pytestmark = pytest.mark.usefixtures("looked_at_once")


def settings(data: Path) -> Settings:
    return Settings("https://studio.example", str(data), "Zoë")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder with one sheet of four drawings."""
    folder = tmp_path / "sheets" / "scans"
    folder.mkdir(parents=True)
    page = Image.new("RGB", (900, 700), "white")
    drawn = ImageOps.grayscale(draw_garment(240, 280)).point(lambda v: 40 if v < 90 else 255).convert("RGB")
    for x, y in ((60, 30), (560, 40), (70, 370), (570, 380)):
        page.paste(drawn, (x, y))
    page.save(folder / "page 1.png")
    return folder


def test_pairs_are_trained_on_where_they_are(tmp_path: Path) -> None:
    for kind in ("photos", "sketches"):
        fill(tmp_path / "own" / kind, 2)
    shares: list[float | None] = []
    assert look(settings(tmp_path / "own"), lambda share, text: shares.append(share)).kind == "pairs"
    assert shares == [0.25, 0.5, 0.75, 1.0]
    assert prepare(tmp_path / "home", settings(tmp_path / "own")) == tmp_path / "own"
    assert not (tmp_path / "home" / "pairs").exists()


def test_drawings_alone_are_paired_once_and_again_where_they_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, home, steps = fill(tmp_path / "own", 3), tmp_path / "home", []
    made = prepare(home, settings(own), lambda share, text: steps.append((share, text)))
    assert made == home / "pairs" and len(PairFolder(made, 64)) == 3 and not (made / "guides").exists()
    assert all(share is None or 0 <= share <= 1 for share, _ in steps)
    assert {"looking", "making", "3"} <= {text.split()[0] for _, text in steps}
    before = {file: file.stat().st_mtime_ns for file in made.rglob("*.*")}
    with monkeypatch.context() as change:
        change.setattr(preparing, "pair_up", None)
        change.setattr(preparing, "look", None)
        assert prepare(home, settings(own)) == made
    assert before == {file: file.stat().st_mtime_ns for file in made.rglob("*.*")}
    sketch(7).save(own / "new.png")
    stroke = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(stroke).line((40, 40, 160, 150), "black", 3)
    stroke.save(own / "stroke.png")
    assert len(PairFolder(prepare(home, settings(own), lambda share, text: steps.append((share, text))), 64)) == 4
    assert steps[-1][1].startswith("4 drawings are ready") and "no closed outline can be seen: 1" in steps[-1][1]
    (made / "photos" / "0002.png").unlink()
    assert len(PairFolder(prepare(home, settings(own)), 64)) == 4
    assert len(list(own.iterdir())) == 5  # a designer's own folder is only read


def test_what_an_earlier_release_paired_up_is_made_anew(tmp_path: Path) -> None:
    """0.1.0 wrote a public garment and a guide beside each drawing, and noted only how many there are."""
    own, home = fill(tmp_path / "own", 2), tmp_path / "home"
    made = prepare(home, settings(own))
    known = json.loads((home / preparing.PREPARED_FILE).read_text())
    known["made"]["count"] = known["made"].pop("garments")
    (home / preparing.PREPARED_FILE).write_text(json.dumps(known))
    (made / "guides").mkdir()
    for name in ("photos", "sketches", "guides"):
        for file in (made / name).iterdir():
            file.unlink()
        for i in range(2):
            sketch(20 + i).save(made / name / f"{i:04d}.{'jpg' if name == 'photos' else 'png'}")
    assert prepare(home, settings(own)) == made and not (made / "guides").exists()
    assert sorted(os.listdir(made / "photos")) == sorted(os.listdir(made / "sketches")) == ["0000.png", "0001.png"]
    assert len(PairFolder(made, 64)) == 2


def test_sheets_are_looked_at_before_they_count(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, chosen = tmp_path / "home", settings(scans.parent)
    for _ in range(2):
        with pytest.raises(LookFirst, match="4 drawings") as found:
            prepare(home, chosen)
        assert [file.suffix for file in found.value.previews.iterdir()] == [".jpg"] and len(found.value.drawings) == 4
        assert "4 drawings on 1 sheet" in found.value.report and not (home / "pairs").exists()
        monkeypatch.setattr(preparing, "prepare_scans", None)  # the second time there is nothing to cut
    accept(home)
    assert len(PairFolder(prepare(home, chosen), 64)) == 4
    monkeypatch.setattr(preparing, "prepare_scans", prepare_scans)

    layout = json.loads((scans / "page 1.json").read_text())
    layout["boxes"][1]["keep"] = False
    (scans / "page 1.json").write_text(json.dumps(layout))
    with pytest.raises(LookFirst, match="3 drawings"):
        prepare(home, chosen)
    accept(home)
    assert len(PairFolder(prepare(home, chosen), 64)) == 3


@pytest.mark.parametrize("kind", ["", "sketches", "scans"])
def test_nothing_to_train_on_is_one_line(kind: str, tmp_path: Path) -> None:
    (tmp_path / kind).mkdir(exist_ok=True)
    for ask in (look, lambda chosen: prepare(tmp_path / "home", chosen)):
        with pytest.raises(CompanionError, match="no drawing here") as refusal:
            ask(settings(tmp_path))
        assert "\n" not in str(refusal.value)


def test_a_sheet_without_drawings(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    Image.fromarray(np.full((300, 400, 3), 255, np.uint8)).save(tmp_path / "scans" / "blank.png")
    with pytest.raises(CompanionError, match="no drawing was found"):
        prepare(tmp_path / "home", settings(tmp_path))


def test_what_was_written_half_is_made_anew(tmp_path: Path) -> None:
    own, home = fill(tmp_path / "own", 2), tmp_path / "home"
    made = prepare(home, settings(own))
    for text in ("", "[]", "{"):
        (home / preparing.PREPARED_FILE).write_text(text)
        assert prepare(home, settings(own)) == made and os.listdir(made / "photos")
