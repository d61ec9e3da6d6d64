"""The federation on the Hugging Face Hub: a commit and a tag a round, and the way back from there after the disk is empty.

    model.safetensors, styles.safetensors, config.json, README.md, sheet.jpg, report.json    the round that is drawn with
    encoder.safetensors of a vgg16 federation: the same in each round, so it is uploaded once
    held-back/          the same files of the newest round, where it was held back
    metrics.csv         a row a round
    federation/         members.json, control.json, status.json, latest.json, reports/0007.json

Only files named here leave the machine. Rounds wait under ``push/`` in the federation's folder, so that they outlive a
restart, and a thread of its own pushes them in order: no round ever waits for the Hub.

>>> restore(folder, "atelier/federation")            # where the folder is empty or behind
>>> HubQueue(folder, "atelier/federation", token).start()    # from now on, every new round goes there by itself
"""

from __future__ import annotations

import contextvars
import csv
import email.utils
import hashlib
import io
import itertools
import json
import logging
import math
import os
import random
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, set_client_factory
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import disable_progress_bars, hf_raise_for_status
from huggingface_hub.utils._http import default_client_factory

import fedgai
from federation.server.folder import REPORT_FILE, Folder, Member
from fedgai.model import CONFIG_FILE, DRAUGHTSMAN_FILE, ENCODER_FILE, MODEL_FILE, STYLES_FILE, CheckpointError, FedGAI

log = logging.getLogger(__name__)

CARD_FILE, SHEET_FILE, METRICS_FILE, HELD_BACK = "README.md", "sheet.jpg", "metrics.csv", "held-back"
MEMBERS, CONTROL = "federation/members.json", "federation/control.json"
STATUS, LATEST = "federation/status.json", "federation/latest.json"
LIMITS = {  # bytes, of what is taken from the Hub; also the list of what a checkpoint may consist of
    MODEL_FILE: 2**29, ENCODER_FILE: 2**28, DRAUGHTSMAN_FILE: 2**23, STYLES_FILE: 2**24, CONFIG_FILE: 2**18, CARD_FILE: 2**18, SHEET_FILE: 2**23,
    REPORT_FILE: 2**20, METRICS_FILE: 2**23, MEMBERS: 2**21, CONTROL: 2**16, LATEST: 2**10,
}
CHECKPOINT_FILES = (MODEL_FILE, ENCODER_FILE, DRAUGHTSMAN_FILE, STYLES_FILE, CONFIG_FILE, CARD_FILE, SHEET_FILE, REPORT_FILE)
NEEDED = (MODEL_FILE, STYLES_FILE, CONFIG_FILE)
REPORTS = 120  # restored, the newest; metrics.csv keeps a row of every round
TIMEOUT = {"connect": 10.0, "read": 30.0, "write": 30.0, "pool": 10.0}  # seconds
PATIENCE = 3600.0  # seconds, the longest that a Retry-After is believed
POLL = 1.0  # seconds between looks at what other processes put into the folder
ROUND_TAG = re.compile(r"round-(\d{4,9})")
ROUND_REPORT = re.compile(r"federation/reports/(\d{4,9})\.json")
PUBLIC_KEY = re.compile(r"ecdsa-sha2-nistp384 [A-Za-z0-9+/]{100,300}={0,2}")
RETRIED = {408, 429, 500, 502, 503, 504}


class HubError(RuntimeError):
    """The Hub is away or refuses; one sentence says what is wrong and what to do.

    Attributes:
        wait: seconds that the Hub asked to be left alone for.
        lasting: it will not go away by itself.
    """

    def __init__(self, sentence: str, wait: float = 0.0, lasting: bool = False) -> None:
        super().__init__(sentence)
        self.wait, self.lasting = wait, lasting


class Withheld(HubError):  # noqa: N818  (nothing went wrong)
    """The Hub would take it, but it must not go there."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, lasting=True)


class HubQueue:
    """Rounds on their way to the Hub. Any process may put one in; one process starts the thread that pushes.

    Args:
        folder: the federation's.
        repo_id: a model repository, "owner/name"; made where it is not there yet.
        token: with write access to it; without one, rounds wait.
        endpoint: of another Hub than huggingface_hub's default.
        first_wait: seconds after a first failure, doubled with every further one, with jitter.
        longest_wait: seconds, the most that it grows to; the Hub's own Retry-After counts up to an hour.
    """

    def __init__(self, folder: Folder, repo_id: str, token: str | None = None, endpoint: str | None = None, *,
                 first_wait: float = 5.0, longest_wait: float = 900.0) -> None:
        self.folder, self.repo_id, self.token, self.endpoint = folder, repo_id, token, endpoint
        self.first_wait, self.longest_wait = first_wait, longest_wait
        self.path = folder.path / "push"
        self.path.mkdir(exist_ok=True)
        self._api = _api(token, endpoint)
        self._failures, self._next_try, self._error, self._withheld = 0, 0.0, "", False
        self._pushing: int | None = None
        self._wake, self._stopping, self._filling = threading.Event(), threading.Event(), threading.RLock()
        self._thread: threading.Thread | None = None

    # -- what goes in ----------------------------------------------------------------------------------------------------

    def enqueue(self, number: int) -> None:
        """Have a round's checkpoint pushed, unless it was the last to be. It is linked into the queue, so that pruning does
        not take it away.

        Raises:
            CheckpointError: there is no whole checkpoint of it.
        """
        if number not in self.folder.rounds():
            raise CheckpointError(f"there is no whole checkpoint of round {number} to push")
        source, aside = self.folder.checkpoint(number), self.path / f".{number:04d}.{os.getpid()}"
        with self._filling:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            for name in CHECKPOINT_FILES:
                if (source / name).is_file() and not (source / name).is_symlink():
                    try:
                        os.link(source / name, aside / name)
                    except OSError:  # a disk without hard links
                        shutil.copyfile(source / name, aside / name)
            if self._known().get("pushed") == _git_hash(_report(aside, number)):
                shutil.rmtree(aside)
            else:
                _remove(self._entry(number))
                os.replace(aside, self._entry(number))
            self._know(enqueued=max(number, self._known().get("enqueued", -1)))
        self._wake.set()

    def catch_up(self) -> None:
        """Enqueue every whole checkpoint that is newer than any enqueued before; the thread calls this."""
        with self._filling:
            for number in self.folder.rounds():
                if number > self._known().get("enqueued", -1):
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
        self._next_try = 0.0
        self._wake.set()

    def state(self) -> dict[str, Any]:
        """For the studio, as JSON: repo, waiting (rounds), pushing (a round or None), last_pushed (a round or None),
        last_pushed_at and next_try (seconds since the epoch, or 0), members_waiting, error (one sentence, or "")."""
        known, waiting = self._known(), self.waiting()
        error = self._error
        if not self.token:
            error = f"Rounds stay on this machine: no token was given. Set HF_TOKEN to one that may write to {self.repo_id}."
        return {"repo": self.repo_id, "waiting": waiting, "pushing": self._pushing, "last_pushed": known.get("last_pushed"),
                "last_pushed_at": known.get("last_pushed_at", 0.0), "members_waiting": self._members_changed(),
                "error": error, "next_try": self._next_try}

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self.token:
                try:
                    self.catch_up()
                except (OSError, ValueError) as error:  # pruned under our hands, or a full disk
                    self._failed(error)
                if time.time() >= self._next_try:
                    self.step()
            self._wake.wait(min(POLL, self.first_wait) if self._error else POLL)
            self._wake.clear()

    def step(self) -> bool:
        """Push whatever waits, once; the thread calls this. Returns whether all of it arrived; never raises."""
        try:
            for number in self.waiting():
                if self._stopping.is_set():
                    return False
                self._pushing = number
                with _our_requests():
                    self._push(number)
                self._fine()
        except Exception as error:
            self._failed(error)
        finally:
            self._pushing = None
        # a revocation must not wait for a round that will never go there
        if self._members_changed() and (not self.waiting() or self._withheld):
            try:
                with _our_requests():
                    self._push_members()
                if not self.waiting():
                    self._fine()
            except Exception as error:
                self._failed(error)
        return not self._error

    def _fine(self) -> None:
        self._failures, self._next_try, self._error, self._withheld = 0, 0.0, "", False

    def _failed(self, error: Exception) -> None:
        error = _explained(error, self.repo_id)
        sentence = str(error).replace(self.token, "***") if self.token else str(error)
        if sentence != self._error:
            log.warning("%s", sentence)
        wait = min(self.longest_wait, self.first_wait * 2 ** min(self._failures, 30)) * random.uniform(0.5, 1)
        self._failures += 1
        self._next_try = time.time() + max(wait, min(error.wait, PATIENCE))
        self._error, self._withheld = sentence, isinstance(error, Withheld)

    # -- one push --------------------------------------------------------------------------------------------------------

    def _push(self, number: int) -> None:
        """Commit and tag a round, or whichever of the two is missing."""
        entry, name = self._entry(number), f"federation/reports/{number:04d}.json"
        report = _report(entry, number)
        head, tags = self._refs()
        if number in tags:
            if self._there(name, f"round-{number:04d}") != _git_hash(report):
                raise Withheld(f"{self.repo_id} has another round {number} than this federation: push to a repo of its own, "
                               "or empty the federation's folder to go on from the Hub's rounds.")
        else:
            if tags and max(tags) > number:
                raise Withheld(f"{self.repo_id} is at round {max(tags)}, this federation at round {number}: push to a repo of "
                               "its own, or empty the federation's folder to go on from the Hub's rounds.")
            if head is None or self._there(name, head) != _git_hash(report):  # else committed, but not tagged
                head = self._commit(number, entry, report, head)
            self._api.create_tag(self.repo_id, tag=f"round-{number:04d}", revision=head, exist_ok=True)
        with self._filling:
            if _report(entry, number) == report:  # not enqueued anew meanwhile
                _remove(entry)
            self._know(last_pushed=number, last_pushed_at=time.time(), pushed=_git_hash(report))

    def _commit(self, number: int, entry: Path, report: bytes, head: str | None) -> str:
        """Returns the commit's id."""
        facts = json.loads(report)
        published = facts.get("published", True)
        files: dict[str, Path | bytes] = {
            (file if published else f"{HELD_BACK}/{file}"): entry / file for file in CHECKPOINT_FILES if (entry / file).exists()
        }
        reports = {n: r for n, r in self.folder.reports().items() if n < number} | {number: facts}
        files[METRICS_FILE] = metrics_table(self._download(METRICS_FILE, head), reports)
        files[f"federation/reports/{number:04d}.json"] = report
        files[STATUS] = _json(asdict(self.folder.status()))
        files[LATEST] = _json({"latest": self.folder.latest()})
        small = self._members_files(head)
        files |= small
        operations: list[Any] = [self._addition(path, content) for path, content in files.items()]
        if published and head is not None and self._there(f"{HELD_BACK}/{CONFIG_FILE}", head):
            operations.append(CommitOperationDelete(f"{HELD_BACK}/", is_folder=True))
        for operation in operations:  # one at a time, so that huggingface_hub starts no threads, which would not know
            if isinstance(operation, CommitOperationAdd) and isinstance(operation.path_or_fileobj, str):  # ``_our_requests``
                self._api.preupload_lfs_files(self.repo_id, [operation], num_threads=1, free_memory=False)
        summary = f"Round {number}" + ("" if published else " (held back)")
        commit = self._api.create_commit(self.repo_id, operations, commit_message=summary, num_threads=1, parent_commit=head)
        self._know(members=_digest(self._members_content()))
        return commit.oid

    def _push_members(self) -> None:
        """Members, control and which round is drawn with, between rounds."""
        content = self._members_content()
        head, tags = self._refs()
        files = self._members_files(head)
        latest = self.folder.latest()
        if latest in tags:  # else its round brings it
            files[LATEST] = _json({"latest": latest})
        operations = [self._addition(path, data) for path, data in files.items()]
        self._api.create_commit(self.repo_id, operations, commit_message="Members", num_threads=1, parent_commit=head)
        self._know(members=_digest(content))

    def _addition(self, path: str, content: Path | bytes) -> CommitOperationAdd:
        """Raises Withheld rather than let a secret out."""
        text = content if isinstance(content, bytes) else content.read_bytes() if content.suffix in (".json", ".md") else b""
        if b"PRIVATE KEY" in text or (self.token and self.token.encode() in text):
            raise Withheld(f"{path} was not pushed, because a secret is in it: take it out.")
        return CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))

    def _members_content(self) -> tuple[list[dict], dict]:
        control = {k: v for k, v in self.folder.control().items() if v is not None}  # as good as not there
        return [asdict(member) for member in self.folder.members()], control

    def _members_changed(self) -> bool:
        try:
            members, control = self._members_content()
        except CheckpointError:
            return False  # the host says so; what lies on the Hub stays
        known = self._known().get("members", _digest(([], {"paused": False})))
        return bool(self.token) and known != _digest((members, control))

    def _members_files(self, head: str | None) -> dict[str, Path | bytes]:
        """As they go to the Hub: nobody is lost who is known there only."""
        members, control = self.folder.members(), self._members_content()[1]
        try:
            members = merge_members(members, read_members(self._download(MEMBERS, head) or b"[]"))
        except CheckpointError as error:
            log.warning("%s; the federation's own members replace it", error)
        return {MEMBERS: _json([asdict(member) for member in members]), CONTROL: _json(control)}

    def _refs(self) -> tuple[str | None, dict[int, str]]:
        """Commit at the head of main, and of every round that is tagged. The repo is made where it is not there."""
        try:
            refs = self._api.list_repo_refs(self.repo_id)
        except RepositoryNotFoundError as error:
            if error.response.status_code != 404:
                raise
            self._api.create_repo(self.repo_id, exist_ok=True)
            refs = self._api.list_repo_refs(self.repo_id)
        return _main_and_rounds(refs)

    def _there(self, path: str, revision: str) -> str | None:
        """Git's hash of a file in the repo, None where it is not there."""
        found = self._api.get_paths_info(self.repo_id, [path], revision=revision)
        return next((file.blob_id for file in found if file.path == path and isinstance(file, RepoFile)), None)

    def _download(self, path: str, revision: str | None) -> bytes | None:
        """A small file, None where it is not there."""
        if revision is None:
            return None
        with tempfile.TemporaryDirectory(dir=self.path, prefix=".download-") as aside:
            try:
                return _fetch(self._api, self.repo_id, revision, path, Path(aside))
            except EntryNotFoundError:
                return None

    def _entry(self, number: int) -> Path:
        return self.path / f"{number:04d}"

    def _known(self) -> dict[str, Any]:
        """What is known about the Hub, from this and earlier starts."""
        try:
            return self.folder.read("push/state.json", {})
        except CheckpointError:
            return {}

    def _know(self, **changes: Any) -> None:
        with self._filling:
            self.folder.write("push/state.json", {**self._known(), **changes})


def _report(checkpoint: Path, number: int) -> bytes:
    """What goes to federation/reports: it also tells one attempt at a round from another."""
    file = checkpoint / REPORT_FILE
    facts = json.loads(file.read_text()) if file.exists() else {}
    return _json({**facts, "round": number, "model": hashlib.sha256((checkpoint / MODEL_FILE).read_bytes()).hexdigest()})


# -- back from the Hub ---------------------------------------------------------------------------------------------------------


def restore(folder: Folder, repo_id: str, token: str | None = None, endpoint: str | None = None, *, tries: int = 3) -> int | None:
    """Load the newest round from the Hub, where the folder has none as new: checkpoint, members, control, reports.

    Everything is fetched and checked before the first file is written, and the checkpoint comes last. Members that only
    the Hub knows are taken over in any case; of two accounts of one member, the later counts.

    Args:
        folder: to put it into.
        repo_id: a model repository.
        token: not needed for a public one.
        endpoint: of another Hub than huggingface_hub's default.
        tries: how often to ask a Hub that is away.
    Returns:
        the round that the federation goes on from; None where the folder was as new, or the repo has no round yet.
    Raises:
        HubError: the Hub is away, or refuses.
        CheckpointError: what lies there is not fit to be used; nothing was written.
    """
    for attempt in itertools.count(1):
        try:
            with _our_requests():
                return _restore(folder, repo_id, _api(token, endpoint))
        except CheckpointError:
            raise
        except Exception as error:
            if _status(error) == 404 and token and isinstance(error, RepositoryNotFoundError):
                return None  # the first push makes it
            explained = _explained(error, repo_id)
            if attempt >= tries or explained.lasting:
                raise explained from error
            time.sleep(min(max(2.0 ** (attempt - 1), explained.wait), 30))
    raise AssertionError


def _restore(folder: Folder, repo_id: str, api: HfApi) -> int | None:
    head, tags = _main_and_rounds(api.list_repo_refs(repo_id))
    if head is None:
        return None
    main = _tree(api, repo_id, head)
    revision, tree = head, main
    reported = [int(m[1]) for m in map(ROUND_REPORT.fullmatch, main) if m]
    if tags and max(tags) > max(reported, default=-1):  # somebody took main back; tags are what the federation counts by
        revision = tags[max(tags)]
        tree = _tree(api, repo_id, revision)
        reported = [int(m[1]) for m in map(ROUND_REPORT.fullmatch, tree) if m]
    with tempfile.TemporaryDirectory(dir=folder.path, prefix=".restore-") as aside:
        def fetch(path: str, source: str = revision, files: Mapping[str, int] = tree) -> bytes | None:
            limit = LIMITS.get(path.removeprefix(f"{HELD_BACK}/"), 2**20)
            if path not in files:
                return None
            if files[path] > limit:
                raise CheckpointError(f"{repo_id}: {path} has {files[path]:,} bytes, more than {limit:,}: it was refused")
            return _fetch(api, repo_id, source, path, Path(aside) / source, limit)

        members_file = fetch(MEMBERS, head, main) if MEMBERS in main else fetch(MEMBERS)
        members = read_members(members_file) if members_file is not None else []
        control_file = fetch(CONTROL, head, main) if CONTROL in main else fetch(CONTROL)
        control = _read_control(control_file) if control_file is not None else {}

        # the checkpoints: the one to draw with, and the newest where that was held back
        numbers = sorted(reported)
        newest = numbers[-1] if numbers else None
        config = fetch(CONFIG_FILE)
        if newest is None:
            newest = _number(_read_json(config, f"{repo_id}: {CONFIG_FILE}", dict).get("round", 0)) if config else None
        if newest is None:
            return _take_members(folder, members)
        if max(folder.rounds(), default=-1) >= newest:
            return _take_members(folder, members)
        reports = {n: f"federation/reports/{n:04d}.json" for n in numbers[-REPORTS:]}
        with ThreadPoolExecutor(8) as pool:  # two requests a report: too slow one by one
            files = [pool.submit(contextvars.copy_context().run, fetch, path) for path in reports.values()]
            found = {n: read_report(f.result() or b"{}", n) for n, f in zip(reports, files, strict=True)}

        checkpoints: dict[int, tuple[FedGAI, dict, dict[str, bytes]]] = {}

        def load(number: int | None, prefix: str, source: str = revision, files: Mapping[str, int] = tree) -> int:
            content = {name: fetch(prefix + name, source, files) for name in CHECKPOINT_FILES}
            model = load_checkpoint({k: v for k, v in content.items() if v is not None}, f"{repo_id}/{prefix}".rstrip("/"))
            own = read_report(content[REPORT_FILE], number or 0) if content[REPORT_FILE] else {}
            if number is None:  # the root, beside a round that was held back: which round it is, it says itself
                number = _number(own.get("round", model.info.get("round", 0)))
                if number > newest:
                    raise CheckpointError(f"{repo_id}: {REPORT_FILE} names round {number}, but the newest is {newest}")
            report = found.get(number) or own or {"round": number}
            extras = {k: content[k] for k in (CARD_FILE, SHEET_FILE) if content[k] is not None}
            if not extras.get(SHEET_FILE, b"\xff\xd8\xff").startswith(b"\xff\xd8\xff"):
                extras.pop(SHEET_FILE)  # only a picture: the rest is as good without
            checkpoints[number] = model, report, extras
            return number

        drawn: int | None = None
        if f"{HELD_BACK}/{CONFIG_FILE}" in tree:
            load(newest, f"{HELD_BACK}/")
        if CONFIG_FILE in tree:
            drawn = load(None if newest in checkpoints else newest, "")
        latest_file = fetch(LATEST, head, main) if LATEST in main else None
        latest = _read_json(latest_file, f"{repo_id}: {LATEST}", dict).get("latest") if latest_file else None
        if isinstance(latest, int) and latest not in checkpoints and latest in tags and latest < newest:  # rolled back
            older = _tree(api, repo_id, tags[latest])
            held_back = found.get(latest, {}).get("published", True) is False
            drawn = load(latest, f"{HELD_BACK}/" if held_back else "", tags[latest], older)
        elif isinstance(latest, int) and latest in checkpoints:
            drawn = latest
        if not checkpoints:
            raise CheckpointError(f"{repo_id} has reports, but no checkpoint: put the last one back, or use another repo")

        if control.get("base") not in checkpoints:
            control["base"] = None

        # all is well: now onto the disk, the checkpoint that ``restore`` looks for last
        for number, report in found.items():
            folder.write(f"reports/{number:04d}.json", report)
        _take_members(folder, members)
        folder.change_control(**control)
        known = folder.read("push/state.json", {})
        (folder.path / "push").mkdir(exist_ok=True)
        done = newest if newest in tags else newest - 1  # committed only: its tag is still to come
        folder.write("push/state.json", {**known, "last_pushed": done if done in tags else None, "enqueued": done})
        for number in sorted(checkpoints):
            model, report, extras = checkpoints[number]
            folder.publish(number, model, report, extras, latest=False)
        if drawn is not None:
            folder.set_latest(drawn)
        folder.set_status(round=newest, note=f"Restored round {newest} from the Hub.")
        return newest


def _take_members(folder: Folder, members: list[Member]) -> None:
    if members:
        folder.change_members(lambda own: merge_members(own, members))


def merge_members(own: list[Member], others: list[Member]) -> list[Member]:
    """Everybody of both; of two accounts of one key, the one with the later approval or revocation, ours where equal."""
    merged = {member.key: member for member in own}
    for member in others:
        mine = merged.get(member.key)
        if mine is None or max(member.approved, member.revoked) > max(mine.approved, mine.revoked):
            merged[member.key] = member
        elif not mine.node_id:
            merged[member.key] = Member(mine.name, mine.key, member.node_id, mine.approved, mine.revoked)
    return list(merged.values())


def read_members(content: bytes) -> list[Member]:
    """members.json as it lies on the Hub. Raises CheckpointError, naming the entry, for anything but members."""
    entries = _read_json(content, MEMBERS, list)
    members: dict[str, Member] = {}
    for i, entry in enumerate(entries):
        where = f"{MEMBERS}, entry {i + 1}: "
        if not isinstance(entry, dict) or not set(entry) <= set(Member.__dataclass_fields__) or not {"name", "key"} <= set(entry):
            raise CheckpointError(where + "not a member")
        name, key, node_id = entry["name"], entry["key"], entry.get("node_id", 0)
        if not isinstance(name, str) or not 1 <= len(name) <= 40 or not name.isprintable() or name != name.strip():
            raise CheckpointError(where + "a name is 1 to 40 printable characters")
        if not isinstance(key, str) or not PUBLIC_KEY.fullmatch(key) or key in members:
            raise CheckpointError(where + "a key is one line of ecdsa-sha2-nistp384, and no other member's")
        if type(node_id) is not int or not 0 <= node_id < 2**64:
            raise CheckpointError(where + "a node id is a whole number of 64 bits")
        times = entry.get("approved", ""), entry.get("revoked", "")
        if not all(isinstance(t, str) and re.fullmatch(r"[0-9T:.+Z-]{0,40}", t) for t in times):
            raise CheckpointError(where + "a time is ISO 8601")
        members[key] = Member(name, key, node_id, *times)
    return list(members.values())


def read_report(content: bytes, number: int) -> dict[str, Any]:
    """A round's report as it lies on the Hub: of the shapes that its readers rely on, texts cut and made printable.

    Raises:
        CheckpointError: with one sentence.
    """
    name = f"federation/reports/{number:04d}.json"
    report = _plain(_read_json(content, name, dict), name)
    shapes = {"metrics": dict, "house": dict, "probe": dict, "style_distances": dict, "designers": list, "published": bool,
              "held_back": str, "started": str, "finished": str, "strategy": str, "round": int, "season": int, "accepted": int}
    for field, shape in shapes.items():
        if type(report.get(field, shape())) is not shape:
            raise CheckpointError(f"{name}: {field!r} is not what belongs there")
    for designer in report.get("designers", ()):
        if not isinstance(designer, dict) or any(type(designer.get(k)) is not t for k, t in
                                                 (("name", str), ("accepted", bool), ("node_id", int))):
            raise CheckpointError(f"{name}: a designer without name, node id or verdict")
    return report


def _read_control(content: bytes) -> dict[str, Any]:
    control = _plain(_read_json(content, CONTROL, dict), CONTROL)
    if not isinstance(control.get("paused", False), bool) or len(control) > 64:
        raise CheckpointError(f"{CONTROL} is not what an operator asks for")
    return control


def load_checkpoint(files: Mapping[str, bytes], where: str) -> FedGAI:
    """Read a checkpoint whose files come from elsewhere: whole, finite, every name fit to be shown.

    Args:
        files: by name; others than a checkpoint's are not looked at.
        where: to name in errors.
    Raises:
        CheckpointError: with one sentence.
    """
    missing = [name for name in NEEDED if name not in files]
    if missing:
        raise CheckpointError(f"{where} is not a FedGAI checkpoint: {', '.join(missing)} is not there")
    _read_json(files[CONFIG_FILE], f"{where}: {CONFIG_FILE}", dict)
    with tempfile.TemporaryDirectory() as aside:
        for name in {*NEEDED, ENCODER_FILE, DRAUGHTSMAN_FILE} & files.keys():
            (Path(aside) / name).write_bytes(files[name])
        try:
            model = FedGAI.load(aside)
        except (ValueError, TypeError, AttributeError) as error:  # CheckpointError is a ValueError
            reason = str(error).split(" is not a FedGAI checkpoint: ")[-1].replace(aside, "it")
            raise CheckpointError(f"{where} is not a FedGAI checkpoint: {reason}") from error
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"{where}: {name} has numbers that are not finite")
    for name, signature in model.styles.items():
        text = f"{name}{signature.description}"
        if not 1 <= len(name) <= 80 or len(text) > 1000 or not text.isprintable():
            raise CheckpointError(f"{where}: the style bank has a name that cannot be shown")
        if signature.style.dtype != torch.float32 or not signature.style.isfinite().all():
            raise CheckpointError(f"{where}: style {name!r} has numbers that are not finite")
    model.info = _plain(model.info, f"{where}: {CONFIG_FILE}")
    return model


def metrics_table(previous: bytes | None, reports: Mapping[int, Mapping[str, Any]]) -> bytes:
    """metrics.csv: a row a round, ascending. Rows that are in ``previous`` only stay; columns only ever become more.

    Args:
        previous: the table so far; None, or one that is damaged, is begun anew from the reports.
        reports: round -> report. Only its numbers go into the table.
    """
    rows: dict[int, dict[str, str]] = {}
    columns = ["round", "season", "started", "finished", "asked", "accepted", "pairs", "published"]
    try:
        table = csv.DictReader(io.StringIO((previous or b"").decode()))
        if "round" in (table.fieldnames or ()):
            for row in itertools.islice(table, 10**6):
                rows[_number(int(row["round"] or "x"))] = {k: v[:64] for k, v in row.items() if k and isinstance(v, str)}
            columns += [c for c in table.fieldnames or () if c not in columns and re.fullmatch(r"[\w.+-]{1,64}", c)]
    except (ValueError, csv.Error):
        log.warning("%s on the Hub is damaged: it is begun anew", METRICS_FILE)
        rows = {}
    for number, report in reports.items():
        rows[number] = _row(number, report)
    columns += sorted({c for row in rows.values() for c in row if re.fullmatch(r"[\w.+-]{1,64}", c)} - set(columns))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for _, row in sorted(rows.items()))
    return text.getvalue().encode()


def _row(number: int, report: Mapping[str, Any]) -> dict[str, str]:
    designers = [d for d in report.get("designers") or () if isinstance(d, dict)]
    house, probe = report.get("house") or {}, report.get("probe") or {}
    numbers: dict[str, Any] = {
        "season": report.get("season"), "asked": sum(bool(d.get("asked", True)) for d in designers) if designers else None,
        "accepted": report.get("accepted"), "pairs": sum(d.get("pairs", 0) for d in designers if d.get("accepted")) or None,
        **{k: v for k, v in (report.get("metrics") or {}).items()}, "house-seconds": house.get("seconds"),
        **{f"house-{k}": v for k, v in (house.get("losses") or {}).items()},
        **{f"probe-{k}": v for k, v in (probe.get("after") or {}).items()},
    }
    row = {k: f"{v:.6g}" for k, v in numbers.items() if isinstance(v, int | float) and math.isfinite(v)}
    times = {k: str(report[k]) for k in ("started", "finished") if re.fullmatch(r"[0-9T:.+Z-]{1,40}", str(report.get(k, "")))}
    return {**row, **times, "round": str(number), "published": "yes" if report.get("published", True) else "no"}


# -- requests ------------------------------------------------------------------------------------------------------------------

_ours: contextvars.ContextVar[bool] = contextvars.ContextVar("_ours", default=False)
_prepare = threading.Lock()
_prepared = False


@contextmanager
def _our_requests() -> Iterator[None]:
    """Requests in here have time-outs, and fail at once rather than be repeated inside huggingface_hub: its client has
    neither, and sleeps through a Retry-After. Other users of it in this process only miss their progress bars."""
    global _prepared
    with _prepare:
        if not _prepared:
            set_client_factory(_client)
            disable_progress_bars()
            _prepared = True
    reset = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(reset)


def _client() -> Any:
    client = default_client_factory()
    send: Callable[..., Any] = client.send

    def send_ours(request: Any, **kwargs: Any) -> Any:
        if not _ours.get():
            return send(request, **kwargs)
        asked = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = {k: asked.get(k) or v for k, v in TIMEOUT.items()}
        try:
            response = send(request, **kwargs)
            if response.status_code in RETRIED:
                response.read()
        except OfflineModeIsEnabled:
            raise
        except Exception as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        if response.status_code in RETRIED:
            hf_raise_for_status(response)
        return response

    client.send = send_ours
    return client


def _api(token: str | None, endpoint: str | None) -> HfApi:
    """A token that nobody gave is not looked for on this machine."""
    return HfApi(endpoint=endpoint, token=token or False, library_name="fedgai", library_version=fedgai.__version__)


def _fetch(api: HfApi, repo_id: str, revision: str, path: str, aside: Path, limit: int | None = None) -> bytes:
    """One file's content. Raises CheckpointError where it is larger than its limit."""
    file = Path(api.hf_hub_download(repo_id, path, revision=revision, local_dir=aside))
    limit = LIMITS.get(path, 2**20) if limit is None else limit
    if file.stat().st_size > limit:
        raise CheckpointError(f"{repo_id}: {path} is larger than {limit:,} bytes: it was refused")
    return file.read_bytes()


def _tree(api: HfApi, repo_id: str, revision: str) -> dict[str, int]:
    """path -> bytes."""
    files = itertools.islice(api.list_repo_tree(repo_id, recursive=True, revision=revision), 100_000)
    return {file.path: file.size for file in files if isinstance(file, RepoFile)}


def _main_and_rounds(refs: Any) -> tuple[str | None, dict[int, str]]:
    main = next((b.target_commit for b in refs.branches if b.name == "main"), None)
    return main, {int(m[1]): t.target_commit for t in refs.tags if (m := ROUND_TAG.fullmatch(t.name))}


def _status(error: BaseException | None) -> int | None:
    """HTTP status of the refusal behind an error, if there is one."""
    response = _response(error)
    return None if response is None else response.status_code


def _response(error: BaseException | None) -> Any:
    while error is not None:
        if isinstance(error, HfHubHTTPError):
            return error.response
        error = error.__cause__
    return None


def _explained(error: BaseException, repo_id: str) -> HubError:
    """Whatever went wrong, in one sentence for the operator."""
    if isinstance(error, HubError):
        return error
    response, cause = _response(error), error
    while not isinstance(cause, ConnectionError) and cause.__cause__ is not None:
        cause = cause.__cause__
    if response is None:
        detail = (str(cause).splitlines() or [""])[0][:200] or type(cause).__name__
        if isinstance(cause, OfflineModeIsEnabled):
            return HubError("The Hub is switched off here: unset HF_HUB_OFFLINE to push rounds.", lasting=True)
        if isinstance(cause, ConnectionError):
            return HubError(f"The Hub cannot be reached, rounds wait here and are tried again ({detail}).")
        return HubError(f"The Hub could not be used for {repo_id} ({type(cause).__name__}: {detail}).")
    status, wait = response.status_code, _retry_after(response.headers)
    if status == 401:
        return HubError(f"The Hub does not accept the token for {repo_id} (401): set HF_TOKEN to a valid one.", wait, True)
    if status == 403:
        return HubError(f"The token may not write to {repo_id} (403): give it write access, or set HF_TOKEN to one that has it.",
                        wait, True)
    if status == 404:
        return HubError(f"The Hub has no repo {repo_id}, or the token may not see it (404): check FEDGAI_HUB_REPO.", wait, True)
    if status == 429:
        return HubError("The Hub asks for fewer requests (429): rounds wait here and are tried again.", wait)
    if status in (409, 412):
        return HubError(f"Somebody else changed {repo_id} meanwhile ({status}): tried again.", wait)
    if status >= 500 or status == 408:
        return HubError(f"The Hub has trouble of its own ({status}): rounds wait here and are tried again.", wait)
    detail = (str(error).strip().splitlines() or [""])[0][:200]
    return HubError(f"The Hub refuses what was pushed to {repo_id} ({status}): {detail}", wait)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the Hub asks to be left alone for, 0 where it does not say."""
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    if value:
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, TypeError):
            return 0.0
    reset = re.search(r"\br=0\b.*?\bt=(\d{1,6})", headers.get("RateLimit", ""))
    return float(reset[1]) if reset else 0.0


# -- JSON ----------------------------------------------------------------------------------------------------------------------


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode()


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _read_json(content: bytes, name: str, kind: type) -> Any:
    """Raises CheckpointError where it is no JSON, or of another kind. Numbers that are not finite become None."""
    try:
        value = json.loads(content, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} is damaged ({error}): put a whole one there, or delete it") from error
    if not isinstance(value, kind):
        raise CheckpointError(f"{name} is not what belongs there: put a whole one there, or delete it")
    return value


def _plain(value: Any, name: str, depth: int = 0) -> Any:
    """The same, with every text printable and at most 500 characters. Raises CheckpointError where it is nested too deep."""
    if depth > 8:
        raise CheckpointError(f"{name} is nested deeper than anything that belongs there")
    if isinstance(value, dict):
        return {_plain(k, name): _plain(v, name, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v, name, depth + 1) for v in value]
    if isinstance(value, str):
        return "".join(c if c.isprintable() else " " for c in value[:500])
    return value


def _number(value: Any) -> int:
    """A round's number. Raises CheckpointError."""
    if type(value) is not int or not 0 <= value < 10**9:
        raise CheckpointError(f"{value!r} is not a round's number")
    return value


def _remove(folder: Path) -> None:
    """Gone for every reader before the first of its files is."""
    if folder.exists():
        doomed = folder.with_name(f".{folder.name}.done")
        shutil.rmtree(doomed, ignore_errors=True)
        os.replace(folder, doomed)
        shutil.rmtree(doomed, ignore_errors=True)
