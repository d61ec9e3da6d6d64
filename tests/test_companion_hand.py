"""How a designer's hand will look to others, in the companion: from which garments, stopped, failed, and never out of date."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.companion_actions import until_looked
from helpers.drawn_sheets import drawn
from helpers.studio_server import PATIENCE
from PIL import Image

pytest.importorskip("studio.without_stubs")
pytest.importorskip("flwr")

import federation.designer.hand_preview as preview
import studio.companion.hand_view as module
from federation.designer.settings import Progress, Settings
from federation.join import main
from fedgai.evaluation.hand_page import HandReport, Trait
from fedgai.files import write_atomically
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import EXAMPLES
from fedgai.training.refine_signature import RefineConfig, Refined, split_held_out
from studio.companion.actions import CompanionActions
from studio.companion.page_parts import Parts

PICTURE = np.full((32, 32, 3), 255, np.uint8)


def report(name: str = "Zoë", sketches: int = 3) -> HandReport:
    return HandReport(
        name, 3, 2, (PICTURE,), (PICTURE,), (Trait("ink", "%", 10, 1, 20, "It draws darker.", ""),), 1.0, 0.5, 9, sketches
    )


@pytest.fixture
def actions(tmp_path: Path) -> Iterator[CompanionActions]:
    running = CompanionActions(tmp_path / "home")
    yield running
    running.close()


class Slow:
    """In the place of ``preview_hand``: it goes on until ``ended`` is set, or until progress raises."""

    def __init__(self) -> None:
        self.ended, self.names, self.at_once, self.most = threading.Event(), list[str](), 0, 0

    def __call__(self, home: Path, settings: Settings, progress: Progress) -> HandReport:
        self.names.append(settings.name)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            while not self.ended.wait(0.01):
                progress(0.25, "drawing garments in your hand")
            return report(settings.name)
        finally:
            self.at_once -= 1


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    slow = Slow()
    monkeypatch.setattr(module, "preview_hand", slow)
    yield slow
    slow.ended.set()


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def ready(actions: CompanionActions, tmp_path: Path) -> CompanionActions:
    actions.name_folder(str(drawn(tmp_path / "own", 3)))
    until_looked(actions)
    return actions


def test_it_moves_and_then_shows_what_is_different(ready: CompanionActions, slow: Slow) -> None:
    parts = Parts(ready)
    assert "See how others will see my hand" in parts.hand() and "nothing is sent" in parts.hand()
    ready.show_hand()
    until(lambda: 'aria-valuenow="25"' in parts.hand())
    assert "Drawing garments in your hand" in parts.hand() and 'data-do="hand-stop"' in parts.hand()
    ready.show_hand()  # pressed again: it goes on
    slow.ended.set()
    until(lambda: ready.hand.page)
    assert "It draws darker." in parts.hand() and "on 3 drawings. Please bring at least 24" in parts.hand()
    assert "Please bring at least 24" in ready.hand.page and "has left your machine" in ready.hand.page
    assert len(slow.names) == 1 and "less like your hand" not in parts.hand()
    ready.answer(style_epsilon=3.0)
    assert "less like your hand" in parts.hand()


def test_stopped_and_begun_again_at_once_it_is_made_for_the_second_time_alone(ready: CompanionActions, slow: Slow) -> None:
    ready.answer(name="Ada")
    ready.show_hand()
    until(lambda: slow.names)
    ready.hand.stop()
    assert "See how others" in Parts(ready).hand() and not ready.hand.trouble  # at once, however long a step takes
    ready.answer(name="Zoë")
    ready.show_hand()
    until(lambda: len(slow.names) == 2)
    slow.ended.set()
    until(lambda: ready.hand.report)
    assert ready.hand.report is not None and ready.hand.report.name == "Zoë" and slow.most == 1


def test_other_drawings_are_not_shown_with_the_earlier_ones_hand(ready: CompanionActions, slow: Slow, tmp_path: Path) -> None:
    ready.show_hand()
    until(lambda: slow.names)
    ready.name_folder(str(drawn(tmp_path / "others", 4)))  # it is looked at, though the other work had not ended
    until_looked(ready)
    slow.ended.set()
    assert not ready.hand.busy and not ready.hand.page
    ready.show_hand()
    until(lambda: ready.hand.page)
    ready.remove("not there")
    assert not ready.hand.page and ready.hand.report is None


def test_what_is_in_the_way_is_one_sentence(actions: CompanionActions, tmp_path: Path) -> None:
    actions.show_hand()
    assert "There is no drawing yet: add some in step 1." in Parts(actions).hand()
    own = drawn(tmp_path / "own", 3)
    actions.name_folder(str(own))
    until_looked(actions)
    own.rename(tmp_path / "elsewhere")
    actions.show_hand()
    until(lambda: actions.hand.trouble and not actions.hand.busy)
    assert actions.hand.trouble == f"There is no folder {own}: name the folder with your drawings."
    own.mkdir()
    actions.show_hand()
    until(lambda: actions.hand.trouble and not actions.hand.busy)
    assert "There is no drawing here" in actions.hand.trouble


def test_a_mistake_of_ours_is_said_as_one(ready: CompanionActions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "preview_hand", lambda *_: 1 / 0)
    ready.show_hand()
    until(lambda: ready.hand.trouble)
    assert "the mistake is the companion's (ZeroDivisionError)" in ready.hand.trouble
    assert "ZeroDivisionError" in Parts(ready).hand() and not ready.hand.busy


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Two hands, one example and no refining; -> what was refined from."""
    seen: dict[str, Any] = {}
    pipe = SketchPipeline.from_pretrained()
    pipe.styles = {"Goro": pipe.styles["Goro"]}
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "hoodie.jpg").symlink_to(EXAMPLES / "hoodie.jpg")

    def refine(model: Any, measured: Any, pairs: Any, drawings: Any, progress: Any) -> Refined:
        seen.update(pairs=list(pairs), drawings=list(drawings))
        return Refined(measured, 1.0, 1.0)

    monkeypatch.setattr(preview, "refine", refine)
    monkeypatch.setattr(preview, "EXAMPLES", tmp_path / "examples")
    monkeypatch.setattr(SketchPipeline, "from_pretrained", lambda *_: pipe)
    return seen


def test_own_photographs_are_drawn_where_there_are_any(tmp_path: Path, quick: dict[str, Any]) -> None:
    own = tmp_path / "own"
    own.mkdir()
    drawn(own / "sketches", 2)
    (own / "photos").mkdir()
    steps: list[tuple[float | None, str]] = []
    for i, name in enumerate(("midi_dress", "trench_coat")):
        Image.open(EXAMPLES / f"{name}.jpg").save(own / "photos" / f"{i}.jpg")
    made = preview.preview_hand(tmp_path / "home", Settings("", str(own), ""), lambda *step: steps.append(step))
    assert made.own_garments and made.garments == 2 and made.name == "Your hand" and made.few == 24
    assert len(quick["pairs"]) == 2 and not (tmp_path / "home" / "model").exists()
    shares = [share for share, what in steps if what == "drawing garments in your hand"]
    assert shares == sorted(shares, key=float) and shares[-1] == 1
    for i in range(2):  # photographs without a garment
        Image.new("RGB", (64, 64), "white").save(own / "photos" / f"{i}.jpg")
    made = preview.preview_hand(tmp_path / "home", Settings("", str(own), "Zoë"))
    assert not made.own_garments and made.garments == 1 and made.name == "Zoë"


def test_garments_that_the_hand_was_learned_from_are_not_drawn(
    tmp_path: Path, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others will draw garments that it was not learned from, and there it is worse."""
    own, shown = tmp_path / "own", list[Path]()
    own.mkdir()
    drawn(own / "sketches", 6)
    (own / "photos").mkdir()
    for i in range(6):
        Image.open(EXAMPLES / "trench_coat.jpg").save(own / "photos" / f"{i}.jpg")

    def measure_hand(pipe: Any, hand: Any, drawings: Any, photos: Any, *rest: Any, **more: Any) -> None:
        shown.extend(photos)

    monkeypatch.setattr(preview, "measure_hand", measure_hand)
    preview.preview_hand(tmp_path / "home", Settings("", str(own), ""))
    learned, held_out = split_held_out(6, RefineConfig())
    assert sorted(shown) == sorted(quick["pairs"][i][0] for i in held_out) and len(learned) == 4


def test_the_terminal_writes_the_page(tmp_path: Path, quick: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    own, out = drawn(tmp_path / "own", 3), tmp_path / "new" / "hand.html"
    arguments = ["--home", str(tmp_path / "home"), "--data", str(own), "--hand"]
    assert main([*arguments, str(out)]) == 0
    output = capsys.readouterr().out
    assert str(out) in output and "Nothing was sent" in output and out.stat().st_mode & 0o077 == 0
    assert "Of garments that you have not drawn" in out.read_text() and len(quick["drawings"]) == 3
    assert main([*arguments, str(tmp_path)]) == 1
    assert "is a folder: name a file" in capsys.readouterr().out


def test_a_page_that_does_not_fit_on_its_disk_is_named(
    tmp_path: Path, quick: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message named the companion's folder, which may lie on another disk."""
    own, out = drawn(tmp_path / "own", 3), tmp_path / "stick" / "hand.html"

    def write(path: Path, content: bytes, mode: int = 0o600) -> None:
        if path == out:
            monkeypatch.setattr(os, "fsync", full)
        write_atomically(path, content, mode)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("federation.join.write_atomically", write)
    assert main(["--home", str(tmp_path / "home"), "--data", str(own), "--hand", str(out)]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"{out} cannot be used: {os.strerror(errno.ENOSPC)}." and not list(out.parent.iterdir())
