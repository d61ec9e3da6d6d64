"""What the companion says while it waits, learns, is late, cannot connect, or was left from another terminal."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flwr")

from helpers.fleet import HASH, Node, Studio

from federation.designer import companion as module
from federation.designer.companion import Companion, duration
from federation.designer.proxy import Proxy
from federation.designer.settings import CompanionError, Settings, forget_leaving, private_folder, remember_leaving
from federation.terminal import TerminalView, describe, federation_line


class FakeNode:
    """In the SuperNode's place: runs until the test ends it."""

    def __init__(self, folder: Path, *_: object) -> None:
        self.log, self.ended = folder / "supernode.log", False
        FakeNode.latest = self

    latest: FakeNode

    def last_line(self) -> str:
        return "ProxyError: 305 Use Proxy"

    def stop(self) -> None:
        self.ended = True


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path / "studio")
    yield studio
    studio.stop()


@pytest.fixture
def running(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Companion]:
    """A companion with a real proxy, whose SuperNode is a stand-in."""
    (tmp_path / "own").mkdir()
    monkeypatch.setattr(module, "SuperNode", FakeNode)
    settings = Settings(studio.url, str(tmp_path / "own"), "Zoë", certificate=str(studio.certificate))
    with Companion(tmp_path / "home", settings) as companion:
        monkeypatch.setattr(companion.studio, "status", lambda: dict(companion._status))
        companion.proxy = Proxy(studio.url, tmp_path / "home", HASH, root_certificate=studio.certificate)
        companion.proxy.start()
        companion._config = {}
        companion._run(companion.proxy)
        yield companion


def progress(companion: Companion, **state: Any) -> None:
    folder = companion.folder / "model"
    folder.mkdir(exist_ok=True)
    (folder / "progress.json").write_text(json.dumps(state))


def test_it_is_connected_once_the_supernode_is_and_not_before(running: Companion) -> None:
    assert running.tend().phase == "starting" and "connected" not in running.tend().text
    assert running.proxy is not None
    node = Node(running.proxy)
    node.ask("activate-node")
    node.client.close()
    state = running.tend()
    assert (state.phase, state.text) == ("idle", "connected: waiting for the next round")


def test_a_supernode_that_ends_again_and_again_is_said_with_the_reason(running: Companion) -> None:
    for _ in range(3):
        FakeNode.latest.ended, running._again = True, 0.0
        state = running.tend()
    assert state.phase == "stuck" and "ended 3 times" in state.text
    assert state.text.endswith("the last line there is: ProxyError: 305 Use Proxy")
    assert str(running.folder / "flower" / "supernode.log") in state.text


@pytest.mark.parametrize(
    "training",
    [
        {"phase": "training", "round": 3, "step": 40, "steps": 100, "epoch": 2, "epochs": 11},
        {"phase": "refining", "round": 3, "done": 0.2},  # on a busy machine this alone took a quarter of an hour
    ],
)
def test_a_round_that_will_not_be_ready_in_time_is_said(running: Companion, training: dict[str, Any]) -> None:
    running._status = {"phase": "training", "round": 3, "seconds_left": 600}
    progress(running, **training, remaining=1500.0)
    state = running.tend()
    assert all(words in state.late for words in ("will probably not be ready in time", "25 minutes more", "10 minutes at most"))
    progress(running, **training, remaining=300.0)
    assert running.tend().late == ""
    running._status = {"phase": "training", "round": 3}  # a studio that does not say
    progress(running, **training, remaining=1500.0)
    assert running.tend().late == ""


def test_people_who_draw_read_no_losses_and_no_epochs(running: Companion) -> None:
    progress(running, phase="training", round=3, step=40, steps=100, epoch=2, epochs=11, remaining=200.0)
    line = describe(running.tend())
    assert line == "round 3: pass 2 of 11 through your drawings, about 3 minutes left"
    progress(running, phase="refining", round=3, done=0.5)
    state = running.tend()
    assert state.phase == "preparing" and state.done == 0.5 and "your hand" in state.text


def test_a_deadline_is_at_most() -> None:
    status = {"round": 3, "phase": "training", "seconds_left": 2400, "designers_online": ["Ada"]}
    assert "40 minutes more at most" in federation_line(status) and "1 designer connected" in federation_line(status)
    assert "at most" not in federation_line(status | {"phase": "house"})
    words = ["1 second", "1 second", "40 seconds", "2 minutes", "2 hours", "2 hours"]
    assert [duration(seconds) for seconds in (0, 1, 40, 100, 6000, 9000)] == words


def test_leaving_reaches_the_other_terminal(running: Companion) -> None:
    remember_leaving(running.folder, running.settings.server)
    state = running.tend()
    assert (state.phase, state.text) == ("left", f"you have left {running.settings.server}")
    assert FakeNode.latest.ended
    forget_leaving(running.folder)
    remember_leaving(running.folder, "https://another.example")
    assert running.tend().phase != "left"


def test_the_designers_folder_is_private(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    (home / "key").write_text("secret")
    (home / "key").chmod(0o644)
    private_folder(home)
    Settings("https://studio.example", str(tmp_path), "Zoë").save(home)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home, home / "key", home / "settings.json")}
    assert modes == {"home": 0o700, "key": 0o600, "settings.json": 0o600}
    (tmp_path / "file").write_text("")
    with pytest.raises(CompanionError, match="FEDGAI_COMPANION"):
        private_folder(tmp_path / "file")


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="needs root, to make a folder somebody else's")
def test_somebody_elses_folder_is_a_sentence(tmp_path: Path) -> None:
    from subprocess import run
    from sys import executable

    home = tmp_path / "theirs"
    home.mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    program = (
        "import os, sys; from pathlib import Path; from federation.designer.settings import Settings; os.setuid(65534)\n"
        "from fedgai.errors import sentence\n"
        "try: Settings('https://x.example', '/', 'Z').save(Path(sys.argv[1]))\n"
        "except (ValueError, OSError) as error: print(sentence(error))"
    )
    done = run([executable, "-c", program, str(home)], capture_output=True, text=True, timeout=300, check=False)
    assert "Traceback" not in done.stderr and str(home) in done.stdout and "Permission denied" in done.stdout


def test_what_waits_shows_something_that_moves() -> None:
    from rich.console import Console
    from rich.live import Live

    from federation.designer.companion import State

    console = Console(force_terminal=True, width=160, record=True)
    view = TerminalView(console)
    with Live(console=console, auto_refresh=False) as live:
        view.show(live, State("preparing", "measuring your hand", federation={"phase": "house", "progress": 0.0, "round": 3}))
        bars = view._bars.tasks
        assert [task.total for task in bars] == [None, None]  # they pulse: a share of 0 % would stand still
        view.show(live, State("training", "learning", done=0.25, federation={"phase": "training", "progress": 0.5, "round": 3}))
        assert [(task.completed, task.total) for task in view._bars.tasks] == [(0.25, 1.0), (0.5, 1.0)]
