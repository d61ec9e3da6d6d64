"""Everything of Flower's that is private and that the host needs: the SuperLink's tables, its control API, its app format.

Read from flwr 1.42.0. Nothing else of the server's touches these names; ``tests/test_superlink_state.py`` fails when an
update moves one of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.cli.build import build_fab_from_disk
from flwr.common.config import parse_config_args
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, Status, SubStatus
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import ListNodesRequest, ListRunsRequest, StartRunRequest, StopRunRequest
from flwr.supercore.constant import NodeStatus
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from federation.processes import QUIET
from federation.server.members import Member
from fedgai.errors import FedGAIError

READ_FROM = "1.42.0"
"""The release of Flower that this file was written against."""

BUSY = 10.0  # seconds to wait for SQLite's lock


class SuperLinkError(FedGAIError):
    """Flower's SuperLink cannot be used; one sentence says why."""


class RunRefusedError(SuperLinkError):
    """The SuperLink does not start a run."""


class SuperLinkState:
    """A SuperLink's database, whether or not it is running.

    Args:
        database: its file.
    """

    def __init__(self, database: Path) -> None:
        self.database = database

    def exists(self) -> bool:
        """Whether there is a database."""
        return self.database.exists()

    def size(self) -> int:
        """Bytes on the disk, with what SQLite keeps beside it."""
        return sum(file.stat().st_size for file in self._files())

    def delete(self) -> None:
        """Delete the database. It holds nothing that must be kept. The SuperLink must not be running."""
        for file in self._files():
            file.unlink(missing_ok=True)

    def admit(self, members: Iterable[Member]) -> None:
        """Let in the members in good standing, each under their own node id, and nobody else.

        Flower's Control API registers a key under a number of its own making, and never again one that was unregistered:
        a SuperNode that is running would have to be started again after the database was lost. So this writes the rows that the
        API would (a test compares the two).

        Raises:
            sqlite3.DatabaseError: the database is damaged, or of another Flower.
            SuperLinkError: there is no database, and Flower cannot make one.
        """
        if not self.exists():
            self._make()
        now = datetime.now(UTC)
        good = [(member, _public_bytes(member.key)) for member in members if not member.revoked]
        with contextlib.closing(self._connect()) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            for member, key in good:
                row = (
                    _signed(member.node_id),
                    NOOP_FLWR_AID,
                    NOOP_ACCOUNT_NAME,
                    NodeStatus.REGISTERED,
                    now.isoformat(),
                    HEARTBEAT_DEFAULT_INTERVAL,
                    key,
                    NodeStatus.UNREGISTERED,
                )
                connection.execute(
                    "INSERT INTO node (node_id, owner_aid, owner_name, status, registered_at, heartbeat_interval, public_key)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (public_key) DO UPDATE SET node_id = excluded.node_id,"
                    " status = excluded.status, unregistered_at = NULL, online_until = NULL"
                    " WHERE node.status = ? OR node.node_id != excluded.node_id",
                    row,
                )
            others = "status != ?"
            if good:
                others += f" AND public_key NOT IN ({', '.join('?' * len(good))})"
            connection.execute(
                f"UPDATE node SET status = ?, unregistered_at = ?, online_until = MIN(online_until, ?) WHERE {others}",
                (NodeStatus.UNREGISTERED, now.isoformat(), now.timestamp(), NodeStatus.UNREGISTERED, *(key for _, key in good)),
            )

    def all_offline(self) -> None:
        """Mark every node as offline until its next heartbeat, which comes within half a minute.

        Else a designer who connects again would be refused as a duplicate. Raises sqlite3.DatabaseError.
        """
        with contextlib.closing(self._connect()) as connection:
            connection.execute(
                "UPDATE node SET status = ?, online_until = ? WHERE status = ?",
                (NodeStatus.OFFLINE, time.time(), NodeStatus.ONLINE),
            )

    def online(self) -> set[int]:
        """Node ids of the designers who are connected. Raises sqlite3.DatabaseError."""
        with contextlib.closing(self._connect()) as connection:
            rows = connection.execute(
                "SELECT node_id FROM node WHERE status != ? AND online_until > ?", (NodeStatus.UNREGISTERED, time.time())
            ).fetchall()
        return {node_id % 2**64 for (node_id,) in rows}

    def _make(self) -> None:
        """With Flower's own tables, before its SuperLink is there: a designer who asks too early is turned away for good."""
        make = (
            "import gc; gc.disable(); "  # it takes a third of the time
            "import sys; from flwr.superlink.config_loader import *; "
            "get_objectstore_linkstate_factories(sys.argv[1], NoOpFederationManager())[1].state(); gc.freeze()"
        )
        # in a process of its own, for it takes 50 MB that the studio would keep
        made = subprocess.run(
            [sys.executable, "-c", make, str(self.database)],
            env={**os.environ, **QUIET},
            capture_output=True,
            text=True,
            umask=0o077,
        )
        if made.returncode:
            raise SuperLinkError(f"Flower cannot make its database {self.database}: {made.stderr.strip().splitlines()[-1:]}")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.database, timeout=BUSY, isolation_level=None)

    def _files(self) -> list[Path]:
        return list(self.database.parent.glob(f"{self.database.name}*"))


@dataclass(frozen=True)
class RunState:
    """How a run is.

    Attributes:
        over: whether it has ended.
        well: whether it ended by itself.
        details: why not, or "".
    """

    over: bool
    well: bool
    details: str


class SuperLinkControl:
    """A running SuperLink's control API, on loopback. Every method raises httpx.TransportError where it does not answer.

    Args:
        address: "127.0.0.1:PORT".
        certificate: PEM, of the authority that signed the SuperLink's.
    """

    def __init__(self, address: str, certificate: bytes) -> None:
        interceptors = [RuntimeVersionHttpInterceptor(component_name="flwr CLI")]
        self._client = ControlHttpClient.from_server_address(address, False, certificate, interceptors)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def answers(self) -> bool:
        """Whether it does. Does not raise."""
        try:
            self._client.ListNodes(ListNodesRequest())
        except httpx.HTTPError:
            return False
        return True

    def start_run(self, app: bytes, config: Mapping[str, Any]) -> int:
        """Submit a run of an app, with what differs from its own run config. Returns its number. Raises RunRefusedError."""
        fab = Fab(hashlib.sha256(app).hexdigest(), app, {})
        request = StartRunRequest(fab=fab_to_proto(fab), override_config=user_config_to_proto(dict(config)))
        try:
            return int(self._client.StartRun(request).run_id)
        except httpx.HTTPStatusError as error:
            reason = f"the SuperLink refuses it ({error.response.status_code}): {error.response.text}"
            raise RunRefusedError(reason) from error

    def run(self, run_id: int) -> RunState:
        """How a run is. Raises httpx.HTTPStatusError where the SuperLink is in trouble, KeyError where it forgot the run."""
        status = self._client.ListRuns(ListRunsRequest(run_id=run_id)).run_dict[run_id].status
        well = status.sub_status == SubStatus.COMPLETED
        details = "" if well else status.details or f"the run was {status.sub_status}"
        return RunState(status.status == Status.FINISHED, well, details)

    def stop_run(self, run_id: int) -> None:
        """End a run, if it has not ended."""
        with contextlib.suppress(httpx.HTTPStatusError):  # it has just ended
            self._client.StopRun(StopRunRequest(run_id=run_id))

    def stop_all(self) -> None:
        """End the runs of a SuperLink before this one: their processes are gone."""
        for run_id, run in self._client.ListRuns(ListRunsRequest()).run_dict.items():
            if run.status.status != Status.FINISHED:
                self.stop_run(run_id)


def read_run_config(text: str) -> dict[str, Any]:
    """``FEDGAI_RUN_CONFIG`` ("rounds=3 house-steps=5") as a dictionary. Raises SuperLinkError, naming the variable."""
    if not text.strip():
        return {}
    try:
        return dict(parse_config_args([text]))
    except Exception as error:  # click's own kind, for the command line that this reader was made for
        raise SuperLinkError(f"FEDGAI_RUN_CONFIG={text!r} is not a list of key=value: {error}") from error


def read_app(folder: Path) -> bytes:
    """A Flower app's folder, with a pyproject.toml, as Flower ships it."""
    return bytes(build_fab_from_disk(folder))


def _public_bytes(key: str) -> bytes:
    public = serialization.load_ssh_public_key(key.encode())
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise SuperLinkError(f"the key {key[:60]} is not an ECDSA key: revoke it")
    return public_key_to_bytes(public)


def _signed(node_id: int) -> int:
    """SQLite's integers are signed, Flower's node ids are not."""
    return node_id - 2**64 if node_id >= 2**63 else node_id
