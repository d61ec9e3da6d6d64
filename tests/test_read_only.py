"""A project folder that nobody may write to, and no FEDGAI_HOME: a sentence that names the variable, or it works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("studio.without_stubs")
pytest.importorskip("flwr")

from helpers import fork_server
from helpers.studio_server import PATIENCE, ROOT

from federation.server import folder as module
from federation.server.folder import FederationFolderError, Folder

CLOSED = Path("/proc")  # not even root makes a folder there

pytestmark = pytest.mark.skipif(not CLOSED.is_dir(), reason="needs Linux's /proc, where nobody makes a folder")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([str(ROOT / "app.py"), "--federation", "--port", "0"], "FEDGAI_HOME"),
        (["-m", "federation.operator", "list"], "FEDGAI_HOME"),
        (["-m", "federation.operator", "pause"], "FEDGAI_HOME"),
        (["-m", "federation.demo", "--port", "0"], "--home"),
        (["-m", "federation.join", "--receipt"], "Nothing was sent yet"),
        (["-m", "federation.join", "--check", "--data", str(ROOT / "examples")], "FEDGAI_COMPANION"),
        (["-m", "studio.companion.window", "--no-browser"], "FEDGAI_COMPANION"),
    ],
)
def test_it_is_one_sentence(command: list[str], words: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FEDGAI_")}
    environment |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "HOME": "/proc/home"}
    done = fork_server.run(
        [sys.executable, *command],
        cwd=CLOSED,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    output = done.stdout + done.stderr
    assert "Traceback" not in output and words in output.replace("\n", " "), output


def test_a_folder_that_is_there_and_closed_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Folder(tmp_path / "federation")
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(FederationFolderError, match="cannot be written to: name a folder of your own with FEDGAI_HOME"):
        Folder(tmp_path / "federation")
