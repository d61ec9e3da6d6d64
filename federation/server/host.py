"""The host: everything of Flower that runs behind the studio, kept running.

    studio's process (Host, a thread) -> keeper -> flower-superlink -> flower-superexec -> flwr-serverapp while a run is on

The SuperLink listens on loopback with a certificate made at start, and lets in the keys of members.json only. A run is
submitted when enough designers are connected, ends with its season, and goes on from the last whole checkpoint after
whatever happened: nothing that must last is in the SuperLink's database, which may be deleted at any time.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from cryptography.hazmat.primitives import serialization
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

from federation.bundle import app_config, build_app
from federation.identity import make_certificate
from federation.processes import KEEPER, free_port
from federation.server.folder import Folder, Member
from fedgai import __version__
from fedgai.model import WEIGHTS, FedGAI
from fedgai.shipped import EXAMPLES

if TYPE_CHECKING:
    from federation.server.hub import HubQueue

log = logging.getLogger("fedgai.host")

ROOT = Path(__file__).resolve().parent.parent.parent
TICK = 1.0  # seconds between two looks at everything
HEALTHY = 60.0  # seconds that a SuperLink has to come up, and after which its next death counts as the first
APPEARS = 60.0  # seconds that a submitted run has to start its process
LEAVES = 10.0  # seconds that the process of a run that is over has to end
SILENT = 3  # ticks without an answer, of half a minute each, after which a SuperLink is started anew
STOPS = 8.0  # seconds that the keeper has to end everything
BACKOFF = 60.0  # seconds, the longest pause before another attempt
DATABASE_BYTES = 64 * 2**20  # beyond which the database is made anew, between two runs
SECRETS = re.compile("TOKEN|PASSW|SECRET|CREDENTIAL|_KEY")  # environment variables that no child is given


class HostError(RuntimeError):
    """The host cannot start; the message says what to do."""


class Host:
    """The federation behind the studio.

    Args:
        folder: the federation's; one host at a time.
        weights: the checkpoint that round 0 is, a folder or a repository on the Hub; None for ``FEDGAI_WEIGHTS`` or the
            project's own.
        hub: where rounds are pushed, and restored from where the folder is empty.
        app: the Flower app that is run, a folder with a pyproject.toml.
        run_config: what differs from the app's own run config; None for ``FEDGAI_RUN_CONFIG`` ("rounds=3 house-steps=5").
        rest_hours: between two seasons; None for ``FEDGAI_REST_HOURS``, or 24.
    Attributes:
        superlink_address: "127.0.0.1:PORT".
        certificate: of the authority that signed the SuperLink's, which is forgotten once it has.
        ready: set while the SuperLink answers.
    """

    def __init__(self, folder: Folder, weights: str | Path | None = None, *, hub: HubQueue | None = None, app: Path | None = None,
                 run_config: Mapping[str, Any] | None = None, rest_hours: float | None = None) -> None:
        self.folder = Folder(folder.path.resolve())
        self.weights = str(weights or os.environ.get("FEDGAI_WEIGHTS") or WEIGHTS)
        self.hub, self.app = hub, app
        if run_config is None:
            text = os.environ.get("FEDGAI_RUN_CONFIG", "")
            run_config = parse_config_args([text]) if text else {}
        self.run_config = dict(run_config)
        project = {} if app is None else tomllib.loads((app / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
        own = app_config() if app is None else project.get("config", {})
        config = {"rounds": 11, "min-designers": 2, **own, **self.run_config}
        self.rounds, self.min_designers = int(config["rounds"]), int(config["min-designers"])
        hours = float(os.environ.get("FEDGAI_REST_HOURS", "24")) if rest_hours is None else rest_hours
        self.rest = timedelta(hours=hours)
        self.database = self.folder.path / "superlink.db"
        self.certificate = self.folder.secrets / "ca.pem"
        self.superlink_address = f"127.0.0.1:{free_port()}"
        self.ready = threading.Event()
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = None
        self._keeper: subprocess.Popen | None = None
        self._control: ControlHttpClient | None = None
        self._run: int | None = None
        self._run_seen = False  # its process was there
        self._run_started = self._run_over = self._try_again = 0.0
        self._run_base = 0  # the last whole round when it was submitted
        self._failures = 0
        self._note = ""
        self._shown: dict[str, Any] = {}
        self._members: list[Member] | None = None

    # -- life ------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Returns at once; the rest happens in a thread. Raises HostError where another host has the folder."""
        lock = (self.folder.path / "host.pid").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            whose = lock.read().strip() or "unknown"
            lock.close()
            raise HostError(f"another host (process {whose}) has {self.folder.path}: stop it first") from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock  # the system releases it with this process
        atexit.register(self.stop)
        self._thread = threading.Thread(target=self._supervise, name="federation-host", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End everything that was started. May be called twice, from a signal handler, and at exit."""
        self._ends.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOPS + 10)
        self._end_superlink()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
            atexit.unregister(self.stop)

    def _supervise(self) -> None:
        failures = 0
        prepared = False
        self._status(phase="starting", online=[], note="")
        while not self._ends.is_set():
            began = time.monotonic()
            try:
                if not prepared:
                    self._prepare()
                    prepared = True
                if self._serve():  # it was ended on purpose
                    failures = 0
                    continue
                failures = 1 if time.monotonic() - began > HEALTHY else failures + 1
            except Exception as error:  # whatever it is, the federation tries again, and says why it is not there
                log.exception("the host stumbled")
                failures += 1
                self._status(phase="starting", note=f"The federation is trying again: {error}"[:300])
            finally:
                self.ready.clear()
                self._end_superlink()
            if not self._ends.is_set():
                self._ends.wait(_pause(failures))
        if self.hub is not None:
            self.hub.stop()
        self._status(phase="stopped", online=[], waiting_for=0, progress=0.0, deadline=0.0)

    def _prepare(self) -> None:
        """Once: the state of the folder, the certificate, what the companions ask for."""
        loopback = [os.environ.get("NO_PROXY", ""), "127.0.0.1", "localhost"]
        os.environ["NO_PROXY"] = ",".join(filter(None, loopback))  # a proxy must not be asked for this machine
        end_processes(self._processes())  # what a host before this one left
        if self.hub is not None:
            if not self.folder.rounds():
                self._restore()
            self.hub.start()
        if not self.folder.rounds():
            self.folder.publish(0, FedGAI.from_pretrained(self.weights), {"round": 0, "published": True})
        with contextlib.suppress(sqlite3.Error):  # who was there when the last host ended need not be there now
            if self.database.exists():
                all_offline(self.database)
        make_certificate(self.folder.secrets)
        self._fab = build_fab_from_disk(self.app) if self.app else build_app()
        self.folder.write("app.json", {"fab_hash": hashlib.sha256(self._fab).hexdigest(), "release": __version__})

    def _restore(self) -> None:
        from federation.server.hub import restore

        self._status(note="Restoring from the Hub.")
        restore(self.folder, self.hub.repo_id, self.hub.token, self.hub.endpoint)

    def _serve(self) -> bool:
        """One life of a SuperLink. True where it was ended on purpose, False where it died."""
        self._run, self._members = None, None
        self._status(phase="starting", online=[], waiting_for=0, progress=0.0, deadline=0.0)
        try:
            self._admit()
        except sqlite3.DatabaseError as error:  # damaged, or of another Flower; nothing in it is missed
            log.warning("the SuperLink's database is made anew: %s", error)
            self._delete_database()
            self._admit()
        if not self._start_superlink():
            return self._ends.is_set()
        self._end_old_runs()
        self._status(note="")
        self.ready.set()
        silent = 0
        while not self._ends.wait(TICK):
            found = self._processes()
            if self._keeper.poll() is not None or (found is not None and not found.get("flower-superexec")):
                log.warning("the SuperLink or its SuperExec ended; see %s", self.folder.path / "logs")
                return False
            if self._run is None and self._database_size() > DATABASE_BYTES:
                log.info("the SuperLink's database is made anew: it has grown to %d MB", self._database_size() >> 20)
                self._end_superlink()
                self._delete_database()
                return True
            try:
                self._look(found)
                silent = 0
            except httpx.TransportError:  # a busy machine; it may pass
                silent += 1
                if silent == SILENT:
                    log.warning("the SuperLink does not answer")
                    return False
        return True

    def _look(self, found: dict[str, list[int]] | None) -> None:
        """What is there, what was asked for, and what to do about it: once every tick."""
        self._admit()
        online = self._online()
        self._status(online=online)
        if self.folder.control()["paused"]:
            self._stop_run()
            self._status(phase="paused", progress=0.0, deadline=0.0, waiting_for=0, note="")
        elif self._run is not None:
            self._watch_run(found)
        elif before := (found or {}).get("flwr-serverapp"):  # it has said that it is done; a new one would be taken for it
            if time.time() > self._run_over + LEAVES:
                end_processes({"flwr-serverapp": before})
        else:
            self._perhaps_run(len(online))

    # -- the SuperLink ---------------------------------------------------------------------------------------------------

    def _start_superlink(self) -> bool:
        """Returns whether it answers; then it is the one whom ``_control`` talks to."""
        secrets, logs = self.folder.secrets, self.folder.path / "logs"
        logs.mkdir(exist_ok=True)
        host, _, port = self.superlink_address.partition(":")
        bin_ = Path(sys.executable).parent  # not resolved: it is the environment's, where Flower is
        command = [
            str(bin_ / "flower-superlink"), "--host", host, "--port", port, "--database", str(self.database),
            "--ssl-ca-certfile", str(self.certificate), "--ssl-certfile", str(secrets / "server.pem"),
            "--ssl-keyfile", str(secrets / "server.key"), "--enable-supernode-auth",
            "--disable-runtime-dependency-installation",
        ]  # fmt: skip
        kept = {k: v for k, v in os.environ.items() if not SECRETS.search(k.upper())}
        environment = {
            **kept,
            "FEDGAI_HOME": str(self.folder.path), "FEDGAI_WEIGHTS": self.weights,
            "FLWR_HOME": str(self.folder.path / "flwr"), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1",
            "PATH": os.pathsep.join([str(bin_), os.environ.get("PATH", os.defpath)]),
            "FEDGAI_EXAMPLES": os.environ.get("FEDGAI_EXAMPLES", str(EXAMPLES)),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", str(KEEPER), str(logs / "superlink.log"), *command],
            stdin=subprocess.PIPE, env=environment, start_new_session=True,
        )  # fmt: skip
        self._control = ControlHttpClient.from_server_address(
            self.superlink_address, False, self.certificate.read_bytes(),
            [RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
        )  # fmt: skip
        until = time.monotonic() + HEALTHY
        while not self._ends.wait(0.2):
            if self._keeper.poll() is not None or time.monotonic() > until:
                log.warning("the SuperLink does not come up: see %s", logs / "superlink.log")
                self.superlink_address = f"127.0.0.1:{free_port()}"  # perhaps somebody took the port meanwhile
                return False
            with contextlib.suppress(httpx.HTTPError):
                self._control.ListNodes(ListNodesRequest())
                return True
        return False

    def _end_superlink(self) -> None:
        keeper, self._keeper = self._keeper, None
        control, self._control = self._control, None
        if control is not None:
            control.close()
        if keeper is not None:
            keeper.terminate()
            try:
                keeper.wait(STOPS)
            except subprocess.TimeoutExpired:
                keeper.kill()
                keeper.wait()
            keeper.stdin.close()
            end_processes(self._processes())  # those whose keeper was killed

    def _processes(self) -> dict[str, list[int]] | None:
        """Of this folder's SuperLink, by command; None where there is no /proc."""
        return processes(str(self.folder.path))

    def _database_size(self) -> int:
        return sum(p.stat().st_size for p in self.database.parent.glob(f"{self.database.name}*"))

    def _delete_database(self) -> None:
        for path in self.database.parent.glob(f"{self.database.name}*"):
            path.unlink()

    # -- designers -------------------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Where members.json changed, or the SuperLink is not up yet: have it let in the members in good standing only."""
        members = self.folder.members()
        if members == self._members and self.database.exists():
            return
        if any(not m.node_id for m in members):
            members = self.folder.change_members(lambda ms: [replace(m, node_id=m.node_id or number(m.key)) for m in ms])
        admit(self.database, members)
        self._members = members

    def _online(self) -> list[str]:
        """Display names of the designers who are connected."""
        with contextlib.closing(_connect(self.database)) as connection:
            rows = connection.execute("SELECT node_id FROM node WHERE status != ? AND online_until > ?",
                                      (NodeStatus.UNREGISTERED, time.time())).fetchall()  # fmt: skip
        connected = {node for (node,) in rows}
        return sorted(m.name for m in self._members or [] if _signed(m.node_id) in connected and not m.revoked)

    # -- runs ------------------------------------------------------------------------------------------------------------

    def _perhaps_run(self, online: int) -> None:
        """Submit a run if it is time for one; else say what is waited for."""
        now, last = time.time(), (self.folder.rounds() or [0])[-1]
        begins, missing = self._season_begins(last), self.min_designers - online
        if begins > now:
            note = f"The next season begins on {datetime.fromtimestamp(begins, UTC):%-d %B, %H:%M} UTC."
            self._status(phase="resting", round=last, progress=1.0, deadline=0.0, waiting_for=0, note=note)
        elif missing > 0:
            self._status(phase="waiting", round=last, progress=0.0, deadline=0.0, waiting_for=missing, note=self._note)
        elif now < self._try_again:
            self._status(phase="waiting", round=last, progress=0.0, deadline=0.0, waiting_for=0, note=self._note)
        else:
            self._note = ""
            self._status(phase="starting", round=last, progress=0.0, deadline=0.0, waiting_for=0, note="")
            fab = Fab(hashlib.sha256(self._fab).hexdigest(), self._fab, {})
            self._run_seen, self._run_started, self._run_base = False, now, last
            try:
                answer = self._control.StartRun(StartRunRequest(
                    fab=fab_to_proto(fab), override_config=user_config_to_proto(self.run_config)))  # fmt: skip
            except httpx.HTTPStatusError as error:
                self._run_ended(f"the SuperLink refuses it ({error.response.status_code}): {error.response.text}")
                return
            self._run = answer.run_id
            del self._shown["phase"]  # from here on the ServerApp writes it
            log.info("run %d is submitted, after round %d", self._run, last)

    def _season_begins(self, last: int) -> float:
        """When the next one may, in seconds since the epoch; 0 within a season."""
        if last == 0 or last % self.rounds:
            return 0.0
        try:
            finished = datetime.fromisoformat(self.folder.report(last)["finished"])
        except (KeyError, ValueError):
            finished = datetime.fromtimestamp(self.folder.checkpoint(last).stat().st_mtime, UTC)
        return (finished + self.rest).timestamp()

    def _watch_run(self, found: dict[str, list[int]] | None) -> None:
        """Forget the run if it is over; end it if its process is."""
        run = self._control.ListRuns(ListRunsRequest(run_id=self._run)).run_dict[self._run]
        if run.status.status == Status.FINISHED:
            well = run.status.sub_status == SubStatus.COMPLETED
            self._run_ended("" if well else run.status.details or f"the run was {run.status.sub_status}")
            return
        here = found is None or bool(found.get("flwr-serverapp"))
        gone = self._run_seen and not here
        late = not self._run_seen and not here and time.time() - self._run_started > APPEARS
        self._run_seen = self._run_seen or here
        if gone or late:  # Flower would notice after a minute, by the heartbeats that it misses
            self._stop_run()
            self._run_ended("its process ended" if gone else "its process did not start")

    def _run_ended(self, why: str) -> None:
        self._run, self._run_over = None, time.time()
        last = (self.folder.rounds() or [0])[-1]
        self._failures = 0 if last > self._run_base or not why else self._failures + 1
        if why:
            log.warning("the run ended after round %d: %s", last, why)
            self._note = f"The round is tried again: {why}"[:300]
        # a run that ended well without a round had nobody to ask; do not turn round at once
        pause = _pause(self._failures) if why else 0.0 if last > self._run_base else TICK * 5
        self._try_again = time.time() + pause

    def _stop_run(self) -> None:
        """End the run in progress, if there is one; what it wrote is whole."""
        if self._run is None:
            return
        with contextlib.suppress(httpx.HTTPStatusError):  # it has just ended
            self._control.StopRun(StopRunRequest(run_id=self._run))
        end_processes({"flwr-serverapp": (self._processes() or {}).get("flwr-serverapp", [])})
        self._run = None

    def _end_old_runs(self) -> None:
        """Those of a SuperLink before this one: their processes are gone."""
        for run_id, run in self._control.ListRuns(ListRunsRequest()).run_dict.items():
            if run.status.status != Status.FINISHED:
                with contextlib.suppress(httpx.HTTPStatusError):
                    self._control.StopRun(StopRunRequest(run_id=run_id))

    # -- what others see -------------------------------------------------------------------------------------------------

    def _status(self, **changes: Any) -> None:
        """Write what changed since this was called last; the disk is left alone otherwise."""
        if changes.items() <= self._shown.items():
            return
        try:
            self.folder.set_status(rounds=self.rounds, **changes)
            self._shown |= changes
        except Exception as error:  # a full disk, or a damaged file: the federation itself goes on
            log.warning("the status cannot be written: %s", error)


# -- the SuperLink's table of designers --------------------------------------------------------------------------------------


def number(key: str) -> int:
    """A designer's node id, from the key alone: the same in every database, so that nobody need be approved again."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1 | 1


def admit(database: Path, members: list[Member]) -> None:
    """Have a SuperLink, running or not, let in the members in good standing, each under their own node id, and nobody else.

    Flower's Control API registers a key under a number of its own making, and never again one that was unregistered: a
    SuperNode that is running would have to start anew after the database was lost. So this writes the rows that the API
    would (a test compares the two). Raises sqlite3.DatabaseError where the database is damaged.
    """
    if not database.exists():
        make_database(database)
    now = datetime.now(UTC)
    good = [(m, public_key_to_bytes(serialization.load_ssh_public_key(m.key.encode()))) for m in members if not m.revoked]
    with contextlib.closing(_connect(database)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        for member, key in good:
            connection.execute(
                "INSERT INTO node (node_id, owner_aid, owner_name, status, registered_at, heartbeat_interval, public_key)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (public_key) DO UPDATE SET node_id = excluded.node_id,"
                " status = excluded.status, unregistered_at = NULL, online_until = NULL"
                " WHERE node.status = ? OR node.node_id != excluded.node_id",
                (_signed(member.node_id), NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, NodeStatus.REGISTERED, now.isoformat(),
                 HEARTBEAT_DEFAULT_INTERVAL, key, NodeStatus.UNREGISTERED),
            )  # fmt: skip
        others = "status != ?" + (f" AND public_key NOT IN ({', '.join('?' * len(good))})" if good else "")
        connection.execute(
            f"UPDATE node SET status = ?, unregistered_at = ?, online_until = MIN(online_until, ?) WHERE {others}",
            (NodeStatus.UNREGISTERED, now.isoformat(), now.timestamp(), NodeStatus.UNREGISTERED, *(key for _, key in good)),
        )


def all_offline(database: Path) -> None:
    """Until they are heard of again, which takes at most half a minute; one who comes anew would be refused as a double."""
    with contextlib.closing(_connect(database)) as connection:
        connection.execute("UPDATE node SET status = ?, online_until = ? WHERE status = ?",
                           (NodeStatus.OFFLINE, time.time(), NodeStatus.ONLINE))  # fmt: skip


def make_database(path: Path) -> None:
    """With Flower's own tables, before its SuperLink is there: a designer who asks too early is turned away for good."""
    make = ("import sys; from flwr.superlink.config_loader import *; "
            "get_objectstore_linkstate_factories(sys.argv[1], NoOpFederationManager())[1].state()")  # fmt: skip
    environment = {**os.environ, "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
    # in a process of its own, for it takes 50 MB that the studio would keep
    made = subprocess.run([sys.executable, "-c", make, str(path)], env=environment, capture_output=True, text=True)
    if made.returncode:
        raise HostError(f"Flower cannot make its database {path}: {made.stderr.strip().splitlines()[-1:]}")


def _connect(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(database, timeout=10, isolation_level=None)


def _signed(node_id: int) -> int:
    """SQLite's integers are signed, Flower's node ids are not."""
    return node_id - 2**64 if node_id >= 2**63 else node_id


# -- certificate, processes --------------------------------------------------------------------------------------------------


def processes(folder: str) -> dict[str, list[int]] | None:
    """Flower's processes and keepers that serve a federation's folder, by command; None where there is no /proc."""
    if not Path("/proc/self/cmdline").exists():
        return None
    found: dict[str, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended meanwhile
            continue
        names = {Path(word).name for word in words[:4]}  # the interpreter, its options, the script
        name = names & {"keeper.py", "flower-superlink", "flower-superexec", "flwr-serverapp"}
        if name and any(word.startswith(folder + os.sep) for word in words):
            found.setdefault("keeper.py" if "keeper.py" in name else name.pop(), []).append(int(entry.name))
    return found


def end_processes(found: dict[str, list[int]] | None) -> None:
    """Kill them; what they write is whole or absent. Keepers first, who would otherwise report deaths."""
    for name in sorted(found or {}, key=lambda name: name != "keeper.py"):
        for pid in found[name]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _pause(failures: int) -> float:
    """Seconds before another attempt."""
    return min(BACKOFF, 0.5 * 2.0**failures) if failures else 0.0
