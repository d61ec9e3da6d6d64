"""What the window says to a designer who joins for the first time: current, and where they look."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.companion_actions import until_looked
from helpers.drawn_sheets import drawn
from helpers.studio_server import PATIENCE
from PIL import Image, ImageOps

pytest.importorskip("studio.without_stubs")
pytest.importorskip("flwr")

from federation.designer.companion import State
from fedgai.data.designer_folder import look
from studio.companion.actions import CompanionActions
from studio.companion.page_parts import Parts


@pytest.fixture
def actions(tmp_path: Path) -> Iterator[CompanionActions]:
    running = CompanionActions(tmp_path / "home")
    yield running
    running.close()


def test_what_is_missing_is_what_is_missing_now(actions: CompanionActions, tmp_path: Path) -> None:
    """It said "There is no drawing yet" for as long as nobody pressed Join again, beside the tick for the drawings."""
    parts = Parts(actions)
    assert "trouble" not in parts.now()  # nobody has pressed Join
    actions.join()
    assert "There is no drawing yet" in parts.now()
    actions.name_folder(str(drawn(tmp_path / "own", 3)))
    until_looked(actions)
    assert "no drawing yet" not in parts.now() and "Write the name that others shall see" in parts.now()
    actions.answer(name="Zoë", share_style=True, server="https://studio.example")
    assert "trouble" not in parts.now()
    actions.answer(name="")
    assert "Write the name" in parts.now()


def test_light_on_dark_paper_is_told_for_drawings_and_for_sheets(actions: CompanionActions, tmp_path: Path) -> None:
    plain = drawn(tmp_path / "plain", 2)
    for folder in (tmp_path / "own", tmp_path / "sheets" / "scans"):
        folder.mkdir(parents=True)
        for file in plain.iterdir():
            ImageOps.invert(Image.open(file).convert("RGB")).save(folder / file.name)
        actions.drawings.found = look(folder.parent if folder.name == "scans" else folder)
        assert "2 of these are light on dark paper" in Parts(actions).drawings()
    actions.drawings.found = look(plain)
    assert "light on dark" not in Parts(actions).drawings()


def test_an_address_keeps_its_letters(actions: CompanionActions) -> None:
    actions.part.state = State("waiting", "https://studio.example does not know your key yet", since=0.0)
    assert "https://studio.example does not know" in Parts(actions).now()
    actions.part.state = State("idle", "connected", since=0.0)
    assert "Connected" in Parts(actions).now()
    actions.part.state = None


def test_the_sample_moves_where_it_was_asked_for(actions: CompanionActions, tmp_path: Path) -> None:
    """The bar was three steps further up."""
    actions.name_folder(str(drawn(tmp_path / "own", 3)))
    until_looked(actions)
    parts, seen = Parts(actions), set()
    actions.show_sample()
    end = time.monotonic() + PATIENCE
    while actions.drawings.busy and time.monotonic() < end:
        seen.add('role="progressbar"' in parts.receipts())
        time.sleep(0.01)
    assert True in seen and 'role="progressbar"' not in parts.receipts()
    assert "What would be sent now" in parts.receipts()
