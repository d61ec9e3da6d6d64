"""Nobody else on the machine reads what the federation knows."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.server.folder import Folder
from federation.server.members import Member
from federation.server.report import RoundReport
from fedgai.model import FedGAI


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    """As most machines have it: what is made without a mode can be read by everybody."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(path: Path) -> list[str]:
    """Files and folders that others than the owner can read, write or enter."""
    return [str(p.relative_to(path)) for p in [path, *path.rglob("*")] if stat.S_IMODE(p.stat().st_mode) & 0o077]


def test_what_it_writes_is_the_owners_alone(tmp_path: Path, tiny_model_dir: Path) -> None:
    folder = Folder(tmp_path / "deep" / "federation")
    folder.change_members(lambda _: [Member("Ada", "ecdsa-sha2-nistp384 AAAA")])
    folder.change_control(paused=True)
    folder.set_status(phase="waiting")
    folder.note_look()
    folder.publish(0, FedGAI.load(tiny_model_dir), RoundReport.read({"round": 0}), {"README.md": b"card"})
    folder.write("reports/0000.json", {})
    left = set(open_to_others(folder.path)) - {".lock"}  # empty; and nobody gets this far
    assert left == set()


def test_a_folder_that_an_earlier_version_left_open_is_closed(tmp_path: Path) -> None:
    old = tmp_path / "federation"
    (old / "checkpoints").mkdir(parents=True)
    old.chmod(0o755)
    Folder(old)
    assert stat.S_IMODE(old.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o1777, 0o755])
def test_a_folder_of_other_things_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    """``FEDGAI_HOME=/tmp`` is a slip, and must not shut everybody out of /tmp."""
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "somebody's").write_text("file")
    shared.chmod(mode)
    Folder(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == mode
