"""What the host reads and writes of Flower's own: the same as Flower, and of the release that it was read from."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import sqlite3
import stat
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

pytest.importorskip("flwr")

from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.superlink.config_loader import NoOpFederationManager, get_objectstore_linkstate_factories

from federation.server import superlink_state
from federation.server.members import Member, node_id_of
from federation.server.superlink_state import SuperLinkError, SuperLinkState, read_run_config


def line() -> str:
    public = ec.generate_private_key(ec.SECP384R1()).public_key()
    return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def public_bytes(key: str) -> bytes:
    public = serialization.load_ssh_public_key(key.encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return public_key_to_bytes(public)


@pytest.fixture
def ada() -> Member:
    key = line()
    return Member("Ada", key, node_id_of(key), "2026-01-01")


@pytest.fixture
def state(tmp_path: Path) -> SuperLinkState:
    return SuperLinkState(tmp_path / "superlink.db")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of Flower's with nobody in it. To make one takes more than a second."""
    made = SuperLinkState(tmp_path_factory.mktemp("empty") / "superlink.db")
    made.admit([])
    return made.database


@pytest.fixture
def copied(state: SuperLinkState, empty: Path) -> SuperLinkState:
    """A copy of ``empty``."""
    shutil.copy(empty, state.database)
    return state


def test_flower_is_the_release_that_this_was_read_from() -> None:
    """Fails when an update comes: read the names in superlink_state.py again, run its tests, then change READ_FROM."""
    assert importlib.metadata.version("flwr") == superlink_state.READ_FROM


def test_the_table_of_nodes_is_flowers(copied: SuperLinkState, ada: Member) -> None:
    """Fails when a column moves: the host writes rows of its own."""
    copied.admit([ada])
    with contextlib.closing(sqlite3.connect(copied.database)) as connection:
        columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(node)")}
    assert columns == {
        "node_id",
        "owner_aid",
        "owner_name",
        "status",
        "registered_at",
        "last_activated_at",
        "last_deactivated_at",
        "unregistered_at",
        "online_until",
        "heartbeat_interval",
        "public_key",
        "name",
        "location",
    }


def test_admitted_rows_are_those_of_flower(copied: SuperLinkState, ada: Member) -> None:
    """What is written into the SuperLink's table is what its RegisterNode writes, but for the number."""
    copied.admit([ada])
    flower = get_objectstore_linkstate_factories(str(copied.database), NoOpFederationManager())[1].state()
    their_key = public_bytes(line())
    flower.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, their_key, 30)
    with contextlib.closing(sqlite3.connect(copied.database)) as connection:
        connection.row_factory = sqlite3.Row
        own, flowers = (dict(row) for row in connection.execute("SELECT * FROM node ORDER BY registered_at"))
    assert {name for name in own if own[name] != flowers[name]} == {"node_id", "public_key", "registered_at"}
    assert own["node_id"] == ada.node_id

    copied.admit([ada])  # the other key belongs to no member: unregistered, as Flower does it
    assert flower.get_node_id_by_public_key(their_key) is None
    assert flower.get_node_id_by_public_key(own["public_key"]) == ada.node_id
    copied.admit([])
    assert flower.get_node_id_by_public_key(own["public_key"]) is None
    copied.admit([ada])
    assert flower.activate_node(ada.node_id, 30)
    assert copied.online() == {ada.node_id}
    copied.all_offline()
    assert copied.online() == set()


def test_a_node_id_above_half_of_64_bits(copied: SuperLinkState) -> None:
    key = line()
    member = Member("Bruno", key, 2**63 + 5, "2026-01-01")
    copied.admit([member])
    flower = get_objectstore_linkstate_factories(str(copied.database), NoOpFederationManager())[1].state()
    assert flower.get_node_id_by_public_key(public_bytes(key)) == member.node_id
    assert flower.activate_node(member.node_id, 30)
    assert copied.online() == {member.node_id}


def test_nobody_else_can_read_the_database(state: SuperLinkState, ada: Member) -> None:
    before = os.umask(0o022)
    try:
        state.admit([ada])
    finally:
        os.umask(before)
    assert stat.S_IMODE(state.database.stat().st_mode) == 0o600
    assert state.exists() and state.size() > 0
    state.delete()
    assert not state.exists() and state.size() == 0


def test_a_damaged_database_is_said(state: SuperLinkState, ada: Member) -> None:
    state.database.write_bytes(b"no database" * 1000)
    with pytest.raises(sqlite3.DatabaseError):
        state.admit([ada])


def test_a_database_that_is_locked_is_waited_for_and_then_said(
    copied: SuperLinkState, ada: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied.admit([ada])
    monkeypatch.setattr(superlink_state, "BUSY", 0.3)
    with contextlib.closing(sqlite3.connect(copied.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            copied.admit([])
        assert time.monotonic() - started >= 0.3


def test_run_config() -> None:
    assert read_run_config("") == read_run_config("  ") == {}
    assert read_run_config('rounds=3 house-steps=5 weights="/w"') == {"rounds": 3, "house-steps": 5, "weights": "/w"}
    for wrong in ("rounds=[", "rounds='"):
        with pytest.raises(SuperLinkError, match="FEDGAI_RUN_CONFIG"):
            read_run_config(wrong)
