"""The queue of rounds on their way to the Hugging Face Hub: a commit and a tag a round.

Only files that hub_content.py names leave the machine. Rounds wait under ``push/`` in the federation's folder, so that they
outlive a restart, and a thread of its own pushes them in order: no round ever waits for the Hub.

>>> HubQueue(folder, "atelier/federation", token).start()    # from now on, every new round goes there by itself
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from federation.server.folder import Folder
from federation.server.hub_client import HubRepository, WithheldError, content_hashes, explained, impatient_requests
from federation.server.hub_content import CHECKPOINT_FILES, report_for_hub
from federation.server.hub_push import HubPush, digest
from federation.server.restore import restore
from fedgai.model import CheckpointError

log = logging.getLogger("fedgai.hub")

PATIENCE = 3600.0  # seconds, the longest that a Retry-After is believed
POLL = 1.0  # seconds between looks at what other processes put into the folder


class HubQueue:
    """Rounds on their way to the Hub. Any process may put one in; one process starts the thread that pushes.

    Args:
        folder: the federation's.
        repo_id: a model repository, "owner/name"; made where it is not there yet, private unless ``public``.
        token: with write access to it; without one, rounds wait.
        endpoint: of another Hub than huggingface_hub's default.
        public: everybody may read the repository, members' names and keys too.
        first_wait: seconds after a first failure, doubled with every further one, with jitter.
        longest_wait: seconds, the most that it grows to; the Hub's own Retry-After counts up to an hour.
    """

    def __init__(
        self,
        folder: Folder,
        repo_id: str,
        token: str | None = None,
        endpoint: str | None = None,
        *,
        public: bool = False,
        first_wait: float = 5.0,
        longest_wait: float = 900.0,
    ) -> None:
        self.folder, self.repo_id, self.token, self.endpoint = folder, repo_id, token, endpoint
        self.path = folder.path / "push"
        self.path.mkdir(mode=0o700, exist_ok=True)
        self.repository = HubRepository(repo_id, token, endpoint)
        self._known = _Known(folder)
        self._push = HubPush(folder, self.repository, self.path, public=public)
        self._tries = _Tries(repo_id, token, first_wait, longest_wait)
        self._pushing: int | None = None
        self._private: bool | None = None  # the repository; None while that is not known
        self._wake, self._stopping, self._filling = threading.Event(), threading.Event(), threading.RLock()
        self._thread: threading.Thread | None = None

    def restore(self) -> int | None:
        """See ``restore.restore``: from this queue's repository."""
        return restore(self.folder, self.repo_id, self.token, self.endpoint)

    # -- what goes in ----------------------------------------------------------------------------------------------------

    def enqueue(self, number: int) -> None:
        """Have a round's checkpoint pushed, unless it was the last to be. It is linked into the queue, so that pruning does
        not take it away.

        Raises:
            CheckpointError: there is no whole checkpoint of it.
        """
        if number not in self.folder.rounds():
            raise CheckpointError(f"there is no whole checkpoint of round {number} to push")
        source, temp_path = self.folder.checkpoint(number), self.path / f".{number:04d}.{os.getpid()}"
        with self._filling:
            shutil.rmtree(temp_path, ignore_errors=True)
            temp_path.mkdir(mode=0o700)
            for name in CHECKPOINT_FILES:
                if (source / name).is_file() and not (source / name).is_symlink():
                    try:
                        os.link(source / name, temp_path / name)
                    except OSError:  # a disk without hard links
                        shutil.copyfile(source / name, temp_path / name)
            if self._known.read().get("pushed") in content_hashes(report_for_hub(temp_path, number)):
                shutil.rmtree(temp_path)
            else:
                _remove(_entry(self.path, number))
                os.replace(temp_path, _entry(self.path, number))
            self._known.change(enqueued=max(number, self._known.read().get("enqueued", -1)))
        self._wake.set()

    def catch_up(self) -> None:
        """Enqueue every whole checkpoint that is newer than any enqueued before; the thread calls this."""
        with self._filling:
            for number in self.folder.rounds():
                if number > self._known.read().get("enqueued", -1):
                    self.enqueue(number)

    def enqueue_members(self) -> None:
        """Look now whether members.json or control.json changed, and push them if so. The thread looks by itself too."""
        self._wake.set()

    def waiting(self) -> list[int]:
        """Rounds not on the Hub yet, oldest first."""
        return sorted(int(p.name) for p in self.path.iterdir() if p.name.isdigit())

    # -- the thread ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Push in the background, until ``stop``."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="hub", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Waits at most five seconds for a push under way; a later start completes what it left undone."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5)
            self._thread = None

    def retry(self) -> None:
        """Do not wait for the next try."""
        self._tries.next = 0.0
        self._wake.set()

    def state(self) -> dict[str, Any]:
        """For the studio, as JSON: repo, private (or None while that is not known), waiting (rounds), pushing (a round or
        None), last_pushed (a round or None), last_pushed_at and next_try (seconds since the epoch, or 0), members_waiting,
        error (one sentence, or "")."""
        known, error = self._known.read(), self._tries.error
        if not self.token:
            error = f"Rounds stay on this machine: no token was given. Set HF_TOKEN to one that may write to {self.repo_id}."
        return {
            "repo": self.repo_id,
            "private": self._private,
            "waiting": self.waiting(),
            "pushing": self._pushing,
            "last_pushed": known.get("last_pushed"),
            "last_pushed_at": known.get("last_pushed_at", 0.0),
            "members_waiting": self._members_changed(),
            "error": error,
            "next_try": self._tries.next,
        }

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self.token:
                try:
                    self.catch_up()
                except (OSError, ValueError) as error:  # pruned under our hands, or a full disk
                    self._tries.failed(error)
                if time.time() >= self._tries.next:
                    self.step()
            self._wake.wait(min(POLL, self._tries.first_wait) if self._tries.error else POLL)
            self._wake.clear()

    def step(self) -> bool:
        """Push whatever waits, once; the thread calls this. Returns whether all of it arrived; never raises."""
        try:
            for number in self.waiting():
                if self._stopping.is_set():
                    return False
                self._pushing = number
                with impatient_requests():
                    self._push_round(number)
                self._tries.succeeded()
        except Exception as error:
            self._tries.failed(error)
        finally:
            self._pushing = None
        # a revocation must not wait for a round that will never go there
        if self._members_changed() and (not self.waiting() or self._tries.withheld):
            try:
                with impatient_requests():
                    self._push_members()
                if not self.waiting():
                    self._tries.succeeded()
            except Exception as error:
                self._tries.failed(error)
        return not self._tries.error

    def _push_round(self, number: int) -> None:
        entry = _entry(self.path, number)
        report = report_for_hub(entry, number)
        members = digest(self._push.members_content())
        committed = self._push.push_round(number, entry, report)
        with self._filling:
            if report_for_hub(entry, number) == report:  # not enqueued again meanwhile
                _remove(entry)
            self._known.change(last_pushed=number, last_pushed_at=time.time(), pushed=min(content_hashes(report), key=len))
            if committed:
                self._known.change(members=members)
        self._look_whether_private()

    def _push_members(self) -> None:
        members = digest(self._push.members_content())
        self._push.push_members()
        with self._filling:
            self._known.change(members=members)
        self._look_whether_private()

    def _look_whether_private(self) -> None:
        """Once: members' names and keys are in a repository that may be open to everybody."""
        if self._private is None:
            self._private = self.repository.is_private()
            if not self._private:
                log.warning("everybody can read %s on the Hub, members' names and keys too", self.repo_id)

    # -- what is known ---------------------------------------------------------------------------------------------------

    def _members_changed(self) -> bool:
        try:
            content = self._push.members_content()
        except CheckpointError:
            return False  # the host says so; what lies on the Hub stays
        known = self._known.read().get("members", digest(([], {"paused": False})))
        return bool(self.token) and known != digest(content)


class _Tries:
    """How pushing goes: the last error, and when to try again.

    Attributes:
        error: one sentence, or "" after a success.
        next: seconds since the epoch, before which nothing is tried; 0 for at once.
        withheld: whether the error is that something must not leave the machine.
    """

    def __init__(self, repo_id: str, token: str | None, first_wait: float, longest_wait: float) -> None:
        self.repo_id, self.token, self.first_wait, self.longest_wait = repo_id, token, first_wait, longest_wait
        self.succeeded()

    def succeeded(self) -> None:
        self._failures, self.next, self.error, self.withheld = 0, 0.0, "", False

    def failed(self, error: Exception) -> None:
        reason = explained(error, self.repo_id)
        sentence = str(reason).replace(self.token, "***") if self.token else str(reason)
        if sentence != self.error:
            log.warning("%s", sentence)
        wait = min(self.longest_wait, self.first_wait * 2 ** min(self._failures, 30)) * random.uniform(0.5, 1)
        self._failures += 1
        self.next = time.time() + max(wait, min(reason.wait, PATIENCE))
        self.error, self.withheld = sentence, isinstance(reason, WithheldError)


class _Known:
    """What is known about the Hub, from this and earlier starts: push/state.json."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def read(self) -> dict[str, Any]:
        try:
            known = self._folder.read("push/state.json", {})
        except CheckpointError:
            return {}
        return known if isinstance(known, dict) else {}

    def change(self, **changes: Any) -> None:
        self._folder.write("push/state.json", {**self.read(), **changes})


def _entry(queue: Path, number: int) -> Path:
    return queue / f"{number:04d}"


def _remove(folder: Path) -> None:
    """Gone for every reader before the first of its files is."""
    if folder.exists():
        doomed = folder.with_name(f".{folder.name}.done")
        shutil.rmtree(doomed, ignore_errors=True)
        os.replace(folder, doomed)
        shutil.rmtree(doomed, ignore_errors=True)
