"""Which lines a hand draws: chosen from a garment's, blended, read from drawings, kept in signatures."""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from fedgai.ateliers import ATELIERS, render, study_looked
from fedgai.content import Looked, look
from fedgai.errors import FedGAIError
from fedgai.line_choice import EVERY_LINE, LineChoice, mixed
from fedgai.model import FedGAI
from fedgai.networks.style import Signature
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import EXAMPLES
from fedgai.training import measured_choice as measuring
from fedgai.training.measured_choice import measured_choice
from fedgai.vision.garment_lines import EDGE, FASTENING, FOLD, SEAM, TOPSTITCH, GarmentLine, chosen

JACKET = EXAMPLES / "denim_jacket.jpg"


@pytest.fixture(scope="module")
def pipe() -> SketchPipeline:
    return SketchPipeline.from_pretrained()


@pytest.fixture(scope="module")
def seen(pipe: SketchPipeline) -> list[Looked]:
    """Three examples as the draughtsman sees them."""
    files = [EXAMPLES / f"{name}.jpg" for name in ("denim_jacket", "trench_coat", "striped_shirt")]
    how = {"cutout": True, "detail": 1.0, "print_amount": 0.0, "on_missing": "raise"}
    return [look(file, 512, 512, pipe.model.draughtsman, **how) for file in files]


def line(kind: int, sure: float, length: int = 100) -> GarmentLine:
    return GarmentLine(np.array([[0.0, 0.0], [float(length), 0.0]]), False, sure, kind)


def with_lines(one: Looked, choice: LineChoice) -> Looked:
    """As a hand sees it that draws only these."""
    assert one.cloth is not None
    return replace(one, picture=one.cloth.with_lines(choice), lines=tuple(chosen(one.cloth.lines, choice)))


def ink(sketch: object) -> int:
    return int((np.asarray(sketch.convert("L")) < 128).sum())  # type: ignore[attr-defined]


def test_the_least_sure_lines_are_left_out_first() -> None:
    lines = [line(SEAM, 0.3), line(FOLD, 0.4), line(EDGE, 0.5), line(FASTENING, 0.55), line(SEAM, 0.6), line(TOPSTITCH, 0.7)]
    assert chosen(lines, EVERY_LINE) == lines
    assert chosen(lines, LineChoice(seams=2 / 3)) == lines[1:]
    assert chosen(lines, LineChoice(seams=1 / 3)) == [*lines[1:2], *lines[3:]]
    assert chosen(lines, LineChoice(folds=0)) == [*lines[:1], *lines[2:]]
    assert chosen(lines, LineChoice(0, 0, 0)) == [lines[3]]  # a fastening is always drawn
    assert chosen([line(SEAM, 0.3, 10), line(SEAM, 0.6, 1000)], LineChoice(seams=0.5))  # a share of the length, not of the count


@pytest.mark.parametrize("numbers", [(1.1, 1, 1, 0), (1, -0.1, 1, 0), (1, 1, float("nan"), 0), (1, 1, 1, True), ("1", 1, 1, 0)])
def test_other_numbers_are_refused(numbers: tuple[float, ...]) -> None:
    with pytest.raises(FedGAIError, match="a hand's share of"):
        LineChoice(*numbers)


@pytest.mark.parametrize("found", [None, [], {}, {"seams": 1}, {"seams": 1, "folds": 1, "stitches": 1, "print": 0, "hems": 1}])
def test_other_json_is_refused(found: object) -> None:
    with pytest.raises(FedGAIError, match="folds, print, seams, stitches"):
        LineChoice.from_json(found)


def test_a_blend_draws_the_mean() -> None:
    assert mixed([EVERY_LINE, LineChoice(0, 0.5, 0, 1)], [1, 3]) == LineChoice(0.25, 0.625, 0.25, 0.75)
    assert LineChoice(0.99, 0.51, 0.26, 0.01).in_steps() == LineChoice(1, 0.5, 0.25, 0)


def test_a_signature_and_a_checkpoint_keep_it(pipe: SketchPipeline, tmp_path: Path) -> None:
    aiko = replace(pipe.styles["Aiko"], choice=LineChoice(0.5, 0, 1, 0.25))
    aiko.save(tmp_path / "aiko.safetensors")
    assert Signature.load(tmp_path / "aiko.safetensors").choice == aiko.choice
    replace(aiko, choice=EVERY_LINE).save(tmp_path / "plain.safetensors")
    assert Signature.load(tmp_path / "plain.safetensors").choice == EVERY_LINE
    model = FedGAI.load()
    model.add_style(aiko)
    model.save_pretrained(tmp_path / "model")
    assert FedGAI.load(tmp_path / "model").styles["Aiko"].choice == aiko.choice


def test_a_signature_with_other_lines_is_refused(pipe: SketchPipeline, tmp_path: Path) -> None:
    file = tmp_path / "aiko.safetensors"
    replace(pipe.styles["Aiko"], choice=LineChoice(0.5)).save(file)
    with safe_open(str(file), "pt") as f:
        header, style = json.loads(f.metadata()["fedgai_signature"]), f.get_tensor("style")
    header["lines"]["seams"] = 7
    save_file({"style": style}, str(file), {"fedgai_signature": json.dumps(header)})
    with pytest.raises(FedGAIError, match=r"share of seams .* make it again"):
        Signature.load(file)


def test_the_built_in_hands_are_those_of_the_ateliers(pipe: SketchPipeline) -> None:
    assert {name: signature.choice for name, signature in pipe.styles.items()} == {n: h.choice for n, h in ATELIERS.items()}


def test_a_hand_draws_only_its_lines(pipe: SketchPipeline) -> None:
    """The sketch, its strokes, a blend, and several photographs at once."""
    content, aiko = pipe.prepare(JACKET, 256), pipe.styles["Aiko"]
    every, none, half = (replace(aiko, choice=LineChoice(*share)) for share in ((1, 1, 1), (0, 0, 0), (0.5, 1, 1)))
    sketches = {name: pipe.draw(content, {hand: 1}) for name, hand in (("every", every), ("none", none), ("half", half))}
    assert ink(sketches["none"]) < ink(sketches["half"]) < ink(sketches["every"])
    assert np.array_equal(sketches["half"], pipe.draw(content, [(every, 1), (replace(none, choice=LineChoice(0)), 1)]))
    assert np.array_equal(sketches["half"], pipe(JACKET, {half: 1}, size=256).images[0])
    strokes = [len(pipe.trace(content, {hand: 1}).strokes) for hand in (every, none)]
    assert strokes[1] < strokes[0]
    as_tensor = pipe.draw(content, pipe.style({none: 1}))
    assert np.array_equal(as_tensor, sketches["every"])  # numbers alone do not say which lines
    assert np.array_equal(pipe.draw(content, pipe.style({none: 1}), choice=none.choice), sketches["none"])


def test_a_hand_draws_its_share_of_the_print(pipe: SketchPipeline) -> None:
    file = EXAMPLES / "striped_shirt.jpg"
    printed = replace(pipe.styles["Celeste"], choice=LineChoice(print=1))
    plain = replace(printed, choice=EVERY_LINE)
    content = pipe.prepare(file, 256)
    assert not np.array_equal(pipe.draw(content, {printed: 1}), pipe.draw(content, {plain: 1}))
    whole = pipe.prepare(file, 256, print_amount=1.0)  # the visitor's own wish counts, too
    assert np.array_equal(pipe.draw(whole, {plain: 1}), pipe.draw(whole, {printed: 1}))


def test_maps_are_kept_for_the_same_lines_and_go_with_their_photograph(
    pipe: SketchPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, half = pipe.prepare(JACKET, 256), LineChoice(0.5)
    few = {replace(pipe.styles["Aiko"], choice=half): 1}
    first, prepared = pipe.draw(content, few), pipe.prepare(JACKET, 256, choice=half)
    monkeypatch.setattr(pipe, "_encode", lambda picture: pytest.fail("it was encoded again"))
    assert np.array_equal(pipe.draw(content, few), first)
    assert np.array_equal(pipe.draw(prepared, few), first)  # it was prepared for this hand
    before = len(pipe._chosen)
    del content
    gc.collect()
    assert len(pipe._chosen) < before


@pytest.mark.parametrize("choice", [LineChoice(0.5, 1, 0, 0), LineChoice(0, 0, 0, 0)])
@pytest.mark.parametrize("name", ["Aiko", "Celeste", "Hana"])
def test_it_is_read_from_drawings(seen: list[Looked], name: str, choice: LineChoice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "FEWEST", 50)  # three garments have few stitches
    pairs = [(one.cloth, render(study_looked(with_lines(one, choice)), ATELIERS[name])) for one in seen if one.cloth is not None]
    found = measured_choice(pairs)
    assert found.seams == pytest.approx(choice.seams, abs=0.2) and found.stitches == choice.stitches and found.print == 0


def test_every_line_where_it_cannot_be_told(seen: list[Looked]) -> None:
    """Of drawings that do not lie as the garment does, of hatching that has ink everywhere, and of nothing."""
    none = LineChoice(0, 0, 0, 0)
    moved = [(s.cloth, np.roll(render(study_looked(with_lines(s, none)), ATELIERS["Aiko"]), 40, (0, 1))) for s in seen if s.cloth]
    assert measured_choice(moved) == EVERY_LINE
    dense = replace(ATELIERS["Dara"], hatch=1.0, cross=1.0)
    hatched = [(s.cloth, render(study_looked(with_lines(s, none)), dense)) for s in seen if s.cloth is not None]
    assert measured_choice(hatched) == EVERY_LINE
    assert measured_choice([]) == EVERY_LINE
