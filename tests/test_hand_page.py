"""The page that shows how a hand will look to others: what it counts, what it says of it, and the command that writes it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fedgai.__main__ import main
from fedgai.content import Content
from fedgai.evaluation import hand_page, independent
from fedgai.evaluation.hand_page import WORDS, Trait, _nearest_by_sight, _traits, measure_hand, to_html
from fedgai.networks.style import Signature
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import EXAMPLES

pytestmark = pytest.mark.usefixtures("looked_at_once")


@pytest.fixture(scope="module")
def pipe() -> SketchPipeline:
    return SketchPipeline.from_pretrained()


def lines(width: int, gap: int = 0, colour: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """Four lines on white paper, 512 px; with gaps of ``gap`` px every 64 px."""
    image = Image.new("RGB", (512, 512), "white")
    pen = ImageDraw.Draw(image)
    for y in (100, 200, 300, 400):
        pen.line((64, y, 447, y), fill=colour, width=width)
        for x in range(64, 448, 64) if gap else ():
            pen.rectangle((x, y - 9, x + gap, y + 9), fill="white")
    return np.asarray(image)


def test_it_counts_what_a_designer_sees() -> None:
    names = [word[0] for word in WORDS]
    fine, broad, broken, red = (
        dict(zip(names, _traits(picture), strict=True))
        for picture in (lines(2), lines(8), lines(2, 12), lines(2, colour=(200, 0, 0)))
    )
    assert fine["line width"] == pytest.approx(2, abs=1) and broad["line width"] == pytest.approx(8, abs=2)
    assert fine["separate pieces of ink"] == 4 < broken["separate pieces of ink"]
    dashes = dict(zip(names, _traits(lines(1, 12, colour=(150, 150, 150))), strict=True))
    assert dashes["separate pieces of ink"] == 24  # thin stitches are seldom black when a drawing is made smaller
    assert broad["ink"] > 3 * fine["ink"] and fine["colour"] < 1 < red["colour"]


def test_it_speaks_up_only_outside_of_the_designers_own_range() -> None:
    trait = Trait("ink", "%", 10, 2, 13.5, "more", "less")
    assert trait.differs == ""
    assert Trait("ink", "%", 10, 2, 15, "more", "less").differs == "more"
    assert Trait("ink", "%", 10, 2, 5, "more", "less").differs == "less"
    assert not Trait("colour", "", 0, 0, 0.2, "more", "less", unseen=2.3).differs  # all black, and as good as black
    assert Trait("colour", "", 0, 0, 3.1, "more", "less", unseen=2.3).differs == "more"


def test_a_hand_of_the_house_is_found_again(pipe: SketchPipeline) -> None:
    garments = sorted(EXAMPLES.glob("*.jpg"))[:3]
    own = [pipe(garment, {"Goro": 1}).images[0] for garment in garments]
    report = measure_hand(pipe, pipe.styles["Goro"], own, garments)
    assert report.nearest == report.independent == 1 and report.hands == len(pipe.styles)
    assert not any(trait.differs for trait in report.traits)  # they are the very drawings
    html = to_html(report)
    assert html.count("data:image/png") == 2 * len(garments) and "100 %" in html


def test_a_garment_that_lies_askew_is_not_taken_for_another_hand() -> None:
    """One of the other hands hatches at 45 degrees. A garment that lies at 45 degrees has such lines in any hand."""

    def drawing(angle: float, width: int = 2, hatched: bool = False) -> np.ndarray:
        page = Image.new("RGB", (400, 400), "white")
        for x in range(100, 300, 20):
            ImageDraw.Draw(page).line([(x, 100), (x, 300)], "black", width)
        page = page.rotate(angle, fillcolor="white", resample=Image.Resampling.BICUBIC)
        if hatched:
            for x in range(60, 260, 8):
                ImageDraw.Draw(page).line([(x, 300), (x + 60, 240)], "black", 2)
        return np.asarray(page)

    hatched, thick = drawing(-45, hatched=True), drawing(-45, width=5)
    others = [[independent.describe(one)] for one in (hatched, thick)]
    others_at_home = [[independent.describe(one)] for one in (drawing(0, hatched=True), drawing(0, width=5))]
    assert _nearest_by_sight([drawing(0)], [drawing(-45)], others, others_at_home) == 1
    assert _nearest_by_sight([drawing(0)], [hatched, thick], [[*row, *row] for row in others], others_at_home) == 0
    askew, true, wrong = independent.describe(drawing(-45)), independent.describe(drawing(0)), others_at_home[0][0]
    assert independent.distance(askew, wrong) < independent.distance(askew, true)  # the drawing alone does not tell


def test_other_hands_draw_the_designer_s_garments_too(pipe: SketchPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    garments = sorted(EXAMPLES.glob("*.jpg"))[:2]
    own = [pipe(garment, {"Goro": 1}).images[0] for garment in sorted(EXAMPLES.glob("*.jpg"))[2:6]]
    drawn: dict[str, list[int]] = {}
    draw, pictures = pipe.draw, dict[int, Image.Image]()

    def note(content: Content, blend: dict[Signature, float]) -> Image.Image:
        (signature,) = blend
        drawn.setdefault(signature.name, []).append(id(content))
        if id(content) not in pictures:  # in one hand alone: this test is not about the pictures
            pictures[id(content)] = draw(content, blend)
        return pictures[id(content)]

    monkeypatch.setattr(pipe, "draw", note)
    measure_hand(pipe, pipe.styles["Goro"], own, garments)
    others = [contents for name, contents in drawn.items() if name != "Goro"]
    assert len(drawn["Goro"]) == 2 and len(others) == 7
    assert all(contents[:2] == drawn["Goro"] and len(set(contents)) == 2 + 4 for contents in others)
    drawn.clear()
    pictures.clear()
    measure_hand(pipe, pipe.styles["Goro"], own, garments, own_garments=True)  # their photographs are there
    assert all(contents == drawn["Goro"] for contents in drawn.values()) and len(drawn) == 8


def test_garments_are_taken_from_the_whole_folder(pipe: SketchPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_page, "GARMENTS", 2)
    good, shown = sorted(EXAMPLES.glob("*.jpg")), []
    own = pipe(good[4], {"Goro": 1}).images
    prepare = pipe.prepare

    def note(photo: Path, *args: int) -> Content:
        shown.append(photo)
        return prepare(photo, *args)

    monkeypatch.setattr(pipe, "prepare", note)
    measure_hand(pipe, pipe.styles["Goro"], own, good[:4])
    assert shown == [good[0], good[3]]


def test_the_command_writes_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for width in (2, 3, 4):
        Image.fromarray(lines(width)).save(folder / f"{width}.png")
    (tmp_path / "garments").mkdir()
    Image.open(next(EXAMPLES.glob("*.jpg"))).save(tmp_path / "garments" / "one.jpg")
    out = tmp_path / "hand.html"
    assert main(["hand", str(folder), "--photos", str(tmp_path / "garments"), "--out", str(out), "--name", "<b>Ada</b>"]) == 0
    text = out.read_text()
    assert "&lt;b&gt;Ada" in text and "<b>" not in text and not re.search(r'(?:src|href)="(?!data:)', text)
    assert out.stat().st_mode & 0o077 == 0  # the designer's own drawings are in it
    assert "of 9 hands" in capsys.readouterr().out


def test_what_cannot_be_measured_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], pipe: SketchPipeline) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["hand", str(tmp_path / "empty"), "--out", str(tmp_path / "x.html")]) == 2
    assert "no drawings that can be used" in capsys.readouterr().err
    with pytest.raises(ValueError, match="none of the photographs"):
        measure_hand(pipe, pipe.styles["Goro"], [Image.new("RGB", (64, 64), "white")], [])
    with pytest.raises(ValueError, match="no drawing"):
        measure_hand(pipe, pipe.styles["Goro"], [], [])
