"""The host: starts everything of Flower that runs behind the studio, and keeps it running.

    studio's process (Host, a thread) -> keeper -> flower-superlink -> flower-superexec -> flwr-serverapp while a run is on

The SuperLink listens on loopback with a certificate made at start, and lets in the keys of members.json only. A run is
submitted when enough designers are connected, ends with its season, and goes on from the last whole checkpoint after
whatever happened: nothing that must last is in the SuperLink's database, which may be deleted at any time.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import sqlite3
import threading
import time
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from filelock import FileLock, Timeout

from federation.bundle import app_config, build_app
from federation.identity import make_certificate
from federation.server.folder import Folder
from federation.server.members import Member, node_id_of
from federation.server.report import RoundReport
from federation.server.round_log import RoundLog
from federation.server.runs import Runs, pause
from federation.server.superlink_process import STOPS, SuperLinkProcess, end_processes
from federation.server.superlink_state import SuperLinkState, read_app, read_run_config
from fedgai import __version__
from fedgai.environment import variable
from fedgai.errors import FedGAIError
from fedgai.files import write_atomically
from fedgai.model import FedGAI
from fedgai.shipped import WEIGHTS

if TYPE_CHECKING:
    from federation.server.hub import HubQueue

log = logging.getLogger("fedgai.host")

TICK = 1.0  # seconds between two looks at everything
HEALTHY = 60.0  # seconds of life, after which a SuperLink's next death counts as the first
TROUBLE = 60.0  # seconds in which a SuperLink may fail to answer, or be in trouble, before it is replaced
DATABASE_BYTES = 64 * 2**20  # beyond which the database is made again, between two runs


class HostError(FedGAIError):
    """The host cannot start; the message says what to do."""


class Host:
    """The federation behind the studio.

    Args:
        folder: the federation's; one host at a time.
        weights: the checkpoint that round 0 is, a folder or a repository on the Hub; None for ``FEDGAI_WEIGHTS`` or the
            project's own.
        hub: where rounds are pushed, and restored from where the folder is empty.
        app: the Flower app that is run, a folder with a pyproject.toml; None for the project's own.
        run_config: what differs from the app's own run config; None for ``FEDGAI_RUN_CONFIG`` ("rounds=3 house-steps=5").
        rest_hours: between two seasons; None for ``FEDGAI_REST_HOURS``, or 24.

    Attributes:
        certificate: of the authority that signed the SuperLink's, which is forgotten once it has.
        ready: set while the SuperLink answers.

    Raises:
        SuperLinkError, HostError: a variable cannot be read.
    """

    def __init__(
        self,
        folder: Folder,
        weights: str | Path | None = None,
        *,
        hub: HubQueue | None = None,
        app: Path | None = None,
        run_config: Mapping[str, Any] | None = None,
        rest_hours: float | None = None,
    ) -> None:
        self.folder = Folder(folder.path.resolve())
        self.weights = str(weights or variable("FEDGAI_WEIGHTS") or WEIGHTS)
        self.hub, self.app = hub, app
        own = read_run_config(os.environ.get("FEDGAI_RUN_CONFIG", "")) if run_config is None else dict(run_config)
        self.run_config = own
        self.rounds, self.min_designers = _season(app, own)
        self.rest = timedelta(hours=_rest_hours() if rest_hours is None else rest_hours)
        self.certificate = self.folder.secrets / "ca.pem"
        self.state = SuperLinkState(self.folder.path / "superlink.db")
        self.superlink = SuperLinkProcess(self.folder, self.weights, self.state.database, self.certificate)
        self.ready = threading.Event()
        self._lock = FileLock(self.folder.path / "host.lock", timeout=0)
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        self._runs: Runs | None = None
        self._status = _Status(self.folder, self.rounds).write
        self._members: list[Member] | None = None
        self._round_log = RoundLog(self.folder)

    @property
    def superlink_address(self) -> str:
        """ "127.0.0.1:PORT"."""
        return self.superlink.address

    # -- life ------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Returns at once; the rest happens in a thread. Raises HostError where another host has the folder."""
        pid_file = self.folder.path / "host.pid"
        try:
            self._lock.acquire()
        except Timeout as error:
            with contextlib.suppress(OSError):
                whose = pid_file.read_text().strip()
                raise HostError(f"another host (process {whose}) has {self.folder.path}: stop it first") from error
            raise HostError(f"another host has {self.folder.path}: stop it first") from error
        write_atomically(pid_file, str(os.getpid()).encode())
        atexit.register(self.stop)
        self._thread = threading.Thread(target=self._supervise, name="federation-host", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End everything that was started. May be called twice, from a signal handler, and at exit."""
        self._ends.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOPS + 10)
        self.superlink.stop()
        if self._lock.is_locked:
            self._lock.release()
            atexit.unregister(self.stop)

    def _supervise(self) -> None:
        failures = 0
        self._status(phase="starting", online=[], note="")
        while not self._ends.is_set():
            began = time.monotonic()
            try:
                if self._runs is None:
                    self._runs = self._prepare()
                if self._serve(self._runs):  # it was ended on purpose
                    failures = 0
                    continue
                failures = 1 if time.monotonic() - began > HEALTHY else failures + 1
            except Exception as error:  # whatever it is, the federation tries again, and says why it is not there
                log.exception("the host is in trouble and tries again")
                failures += 1
                self._status(phase="starting", note=f"The federation is trying again: {error}"[:300])
            finally:
                self.ready.clear()
                self.superlink.stop()
            self._ends.wait(pause(failures))
        if self.hub is not None:
            self.hub.stop()
        self._status(phase="stopped", online=[], waiting_for=0, progress=0.0, deadline=0.0)

    def _prepare(self) -> Runs:
        """Once: the state of the folder, the certificate, what the companions ask for."""
        loopback = [os.environ.get("NO_PROXY", ""), "127.0.0.1", "localhost"]
        os.environ["NO_PROXY"] = ",".join(filter(None, loopback))  # a proxy must not be asked for this machine
        end_processes(self.superlink.processes())  # what a host before this one left
        if self.hub is not None:
            if not self.folder.rounds():
                self._status(note="Restoring from the Hub.")
                self.hub.restore()
            self.hub.start()
        if not self.folder.rounds():
            self.folder.publish(0, FedGAI.from_pretrained(self.weights), RoundReport.of_the_start())
        with contextlib.suppress(sqlite3.Error):  # who was there when the last host ended need not be there now
            if self.state.exists():
                self.state.all_offline()
        make_certificate(self.folder.secrets)
        app = read_app(self.app) if self.app else build_app()
        self.folder.write("app.json", {"fab_hash": hashlib.sha256(app).hexdigest(), "release": __version__})
        return Runs(
            self.folder,
            self.superlink,
            app,
            self.run_config,
            rounds=self.rounds,
            needed=self.min_designers,
            rest=self.rest,
            tell=self._status,
        )

    def _serve(self, runs: Runs) -> bool:
        """One life of a SuperLink. True where it was ended on purpose, False where it died."""
        self._members = None
        runs.forget()
        self._status(phase="starting", online=[], waiting_for=0, progress=0.0, deadline=0.0)
        try:
            self._admit()
        except sqlite3.DatabaseError as error:  # damaged, or of another Flower; nothing in it is missed
            log.warning("the SuperLink's database is made again: %s", error)
            self.state.delete()
            self._admit()
        if not self.superlink.start(self._ends) or self.superlink.control is None:
            return self._ends.is_set()
        self.superlink.control.stop_all()
        self._status(note="")
        self.ready.set()
        fine = time.monotonic()
        while not self._ends.wait(TICK):
            self.folder.note_look()
            if runs.current is None and self.state.size() > DATABASE_BYTES:
                log.info("the SuperLink's database is made again: it has grown to %d MB", self.state.size() >> 20)
                self.superlink.stop()
                self.state.delete()
                return True
            found = self.superlink.started()
            if not self.superlink.runs() or not found.get("flower-superexec"):
                log.warning("the SuperLink or its SuperExec ended; see %s", self.superlink.log_file)
                return False
            try:
                self._look(runs, found)
                fine = time.monotonic()
            except (httpx.HTTPError, sqlite3.OperationalError) as error:  # a busy machine, or a busy database; it may pass
                log.warning("the SuperLink is in trouble: %s", error)
                if time.monotonic() - fine > TROUBLE:
                    return False
        return True

    def _look(self, runs: Runs, found: dict[str, list[int]]) -> None:
        """Once every tick: look at the processes and at what the operator asked for, and act on it."""
        control = self.superlink.control
        if control is None:
            return
        self._admit()
        connected = self.state.online()
        online = sorted(m.name for m in self._members or [] if m.node_id in connected and not m.revoked)
        self._status(online=online)
        self._round_log.look()
        if self.folder.control()["paused"]:
            runs.stop(control)
            self._status(phase="paused", progress=0.0, deadline=0.0, waiting_for=0, note="")
        else:
            runs.look(control, len(online), found.get("flwr-serverapp", []))

    def _admit(self) -> None:
        """Where members.json changed, or the SuperLink is not up yet: have it let in the members in good standing only."""
        members = self.folder.members()
        if members == self._members and self.state.exists():
            return
        if any(not m.node_id for m in members):
            members = self.folder.change_members(lambda all_: [replace(m, node_id=m.node_id or node_id_of(m.key)) for m in all_])
        self.state.admit(members)
        self._members = members


class _Status:
    """What the host last wrote into the folder's status; the disk is left alone where nothing changed."""

    def __init__(self, folder: Folder, rounds: int) -> None:
        self.folder, self.rounds = folder, rounds
        self._written: dict[str, Any] = {}

    def write(self, **changes: Any) -> None:
        """``phase=None`` forgets the phase, which somebody else writes from then on."""
        if changes.get("phase", "") is None:
            self._written.pop("phase", None)
            return
        if changes.items() <= self._written.items():
            return
        try:
            self.folder.set_status(rounds=self.rounds, **changes)
            self._written |= changes
        except Exception as error:  # a full disk, or a damaged file: the federation itself goes on
            log.warning("the status cannot be written: %s", error)


def _season(app: Path | None, run_config: Mapping[str, Any]) -> tuple[int, int]:
    """Rounds of a season, and designers needed, by the app's run config and what differs from it. Raises HostError."""
    if app is None:
        own = app_config()
    else:
        own = tomllib.loads((app / "pyproject.toml").read_text())["tool"]["flwr"]["app"].get("config", {})
    config = {"rounds": 11, "min-designers": 2, **own, **run_config}
    values = config["rounds"], config["min-designers"]
    if not all(type(value) is int and 1 <= value <= 10**6 for value in values):
        raise HostError(f"rounds and min-designers are whole numbers above 0, not {values[0]!r} and {values[1]!r}")
    return values


def _rest_hours() -> float:
    """``FEDGAI_REST_HOURS``, or 24. Raises HostError."""
    text = variable("FEDGAI_REST_HOURS") or "24"
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours <= 24 * 366:
        raise HostError(f"FEDGAI_REST_HOURS={text!r} is not a number of hours: set it to 24, say, or unset it")
    return hours
