"""A federation's folder made by release 0.1.0 (two designers, two rounds, one who was revoked) still opens."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import stat
import tarfile
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from federation import operator
from federation.server.folder import Folder
from federation.server.host import Host
from federation.server.hub import HubQueue
from federation.server.members import node_id_of
from federation.server.public_status import public_status, stalled
from federation.server.superlink_state import SuperLinkState
from fedgai.model import FedGAI

ARCHIVE = Path(__file__).parent / "fixtures" / "federation-0.1.0.tar.xz"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    path = tmp_path / "federation"
    path.chmod(0o755)  # as it was made
    return path


def test_all_that_it_knows_is_read(old: Path) -> None:
    folder = Folder(old)
    assert [(m.name, bool(m.revoked)) for m in folder.members()] == [("Aiko", False), ("Dara", False), ("Gone", True)]
    assert all(m.node_id == node_id_of(m.key) for m in folder.members())
    assert folder.rounds() == [0, 2] and folder.latest() == 2 and list(folder.reports()) == [0, 1, 2]
    assert folder.control() == {"paused": False, "base": None}
    assert folder.status().round == 2 and public_status(folder)["preset"] == "edge" and stalled(folder) == ""
    assert set(folder.hands()) > {"Aiko", "Dara"}
    row = operator.rounds(folder)[-1]
    assert row["designers"] == "2 of 2" and row["house"] == "1 of 1 steps" and "drawn with" in row["state"]


def test_its_checkpoints_load(old: Path) -> None:
    folder = Folder(old)
    for number in folder.rounds():
        assert FedGAI.load(folder.checkpoint(number)).preset.name == "edge"


def test_the_superlinks_database_is_used(old: Path) -> None:
    folder = Folder(old)
    state = SuperLinkState(folder.path / "superlink.db")
    state.all_offline()
    state.admit(folder.members())
    with contextlib.closing(sqlite3.connect(state.database)) as connection:
        rows = dict(connection.execute("SELECT node_id, status FROM node"))
    assert {node for node, status in rows.items() if status != "unregistered"} == {m.node_id for m in folder.members()[:2]}
    assert state.online() == set()


def test_what_is_on_the_hub_is_not_pushed_again(old: Path) -> None:
    queue = HubQueue(Folder(old), "atelier/federation", "token")
    queue.catch_up()
    assert queue.state()["last_pushed"] == 2 and queue.state()["waiting"] == []
    queue.enqueue(2)  # the same round: nothing new
    assert queue.waiting() == [] or json.loads((old / "push/state.json").read_text())["last_pushed"] == 2


def test_a_host_takes_it_over_and_closes_it_to_others(old: Path) -> None:
    host = Host(Folder(old))
    assert stat.S_IMODE(old.stat().st_mode) == 0o700
    assert host.rounds == 11
