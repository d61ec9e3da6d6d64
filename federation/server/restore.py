"""Restores a federation from the Hub when the disk is empty.

Everything is fetched and checked before the first file is written, and the checkpoint that is drawn with comes last.

>>> restore(folder, "atelier/federation")            # where the folder is empty or behind
"""

from __future__ import annotations

import contextvars
import itertools
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from federation.server.folder import REPORT_FILE, Folder
from federation.server.hub_client import HubRepository, explained, impatient_requests, is_missing
from federation.server.hub_content import (
    CARD_FILE,
    CHECKPOINT_FILES,
    CONTROL,
    HELD_BACK,
    JPEG,
    LATEST,
    MEMBERS,
    ROUND_REPORT,
    SHEET_FILE,
    limit_of,
    load_checkpoint,
    read_control,
    read_json,
    read_latest,
    read_members,
    read_report,
    report_path,
    round_number,
)
from federation.server.members import Member, merge_members
from federation.server.report import RoundReport
from fedgai.model import CONFIG_FILE, CheckpointError, FedGAI

REPORTS = 120  # restored, the newest; metrics.csv keeps a row of every round


@dataclass
class Snapshot:
    """A commit of the repository.

    Attributes:
        revision: the commit.
        files: path -> bytes.
    """

    revision: str
    files: dict[str, int]

    @property
    def reported(self) -> list[int]:
        """Rounds whose reports are in it, ascending."""
        return sorted(int(m[1]) for m in map(ROUND_REPORT.fullmatch, self.files) if m)


@dataclass
class Checkpoint:
    """A round's checkpoint, checked."""

    model: FedGAI
    report: RoundReport
    extras: dict[str, bytes]


@dataclass
class HubState:
    """What is taken from the Hub.

    Attributes:
        members, control: of the operator.
        newest: the last round, None where the repository has none.
        reports: round -> report.
        checkpoints: round -> checkpoint: the one to draw with, and the newest where that was held back.
        drawn: the round to draw with.
        whole: the newest round that is on the Hub with its tag, and will not be pushed again; it may not be there.
        pushed: the same, None where its tag is not there.
    """

    members: list[Member]
    control: dict[str, Any]
    newest: int | None = None
    reports: dict[int, RoundReport] = field(default_factory=dict)
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    drawn: int | None = None
    whole: int = -1
    pushed: int | None = None


def restore(folder: Folder, repo_id: str, token: str | None = None, endpoint: str | None = None, *, tries: int = 3) -> int | None:
    """Load the newest round from the Hub, where the folder has none as new: checkpoint, members, control, reports.

    Members that only the Hub knows are taken over in any case; of two accounts of one member, the later counts.

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
    repository = HubRepository(repo_id, token, endpoint)
    for attempt in itertools.count(1):
        try:
            with impatient_requests(), tempfile.TemporaryDirectory(dir=folder.path, prefix=".restore-") as temp_path:
                return _restore(folder, _Restoring(repository, Path(temp_path)))
        except CheckpointError:
            raise
        except Exception as error:
            if token and is_missing(error):
                return None  # the first push makes it
            reason = explained(error, repo_id, has_token=bool(token))
            if attempt >= tries or reason.lasting:
                raise reason from error
            time.sleep(min(max(2.0 ** (attempt - 1), reason.wait), 30))
    raise AssertionError


def _restore(folder: Folder, restoring: _Restoring) -> int | None:
    found = restoring.find(max(folder.rounds(), default=-1))
    if found is None:
        return None
    if not found.checkpoints:
        _take_members(folder, found.members)
        return None
    _write(folder, found)
    return found.newest


class _Restoring:
    """One attempt: reads, and writes nothing but temporary files.

    Args:
        repository: where from.
        work: folder for what is being downloaded.
    """

    def __init__(self, repository: HubRepository, work: Path) -> None:
        self.repository, self.work, self.repo_id = repository, work, repository.repo_id
        self.tags: dict[int, str] = {}

    def find(self, have: int) -> HubState | None:
        """What there is to take over. None for an empty repository; without checkpoints where ``have`` is as new."""
        head, self.tags = self.repository.refs()
        if head is None:
            return None
        main = Snapshot(head, self.repository.tree(head))
        rounds = self._with_newest_round(main)
        members, control = self._first(MEMBERS, main, rounds), self._first(CONTROL, main, rounds)
        found = HubState(read_members(members) if members else [], read_control(control) if control else {})
        found.newest = rounds.reported[-1] if rounds.reported else self._plain_model(rounds)
        if found.newest is None or have >= found.newest:
            return found
        found.reports = self._reports(rounds)
        found.whole = found.newest if found.newest in self.tags else found.newest - 1  # committed only: its tag is to come
        found.pushed = found.whole if found.whole in self.tags else None
        self._add_checkpoints(found, rounds)
        self._choose_drawn(found, main)
        if not found.checkpoints:
            raise CheckpointError(f"{self.repo_id} has reports, but no checkpoint: put the last one back, or use another repo")
        if found.control.get("base") not in found.checkpoints:
            found.control["base"] = None
        return found

    def _with_newest_round(self, main: Snapshot) -> Snapshot:
        """Main, unless somebody took it back: tags are what the federation counts by."""
        if self.tags and max(self.tags) > max(main.reported, default=-1):
            revision = self.tags[max(self.tags)]
            return Snapshot(revision, self.repository.tree(revision))
        return main

    def _plain_model(self, snapshot: Snapshot) -> int | None:
        """The round of a repository that no federation has pushed to. Returns None if it holds no model."""
        config = self._fetch(CONFIG_FILE, snapshot)
        if config is None:
            return None
        return round_number(read_json(config, f"{self.repo_id}: {CONFIG_FILE}", dict).get("round", 0))

    def _reports(self, snapshot: Snapshot) -> dict[int, RoundReport]:
        numbers = snapshot.reported[-REPORTS:]
        with ThreadPoolExecutor(8) as pool:  # two requests a report: too slow one by one
            contents = [
                pool.submit(contextvars.copy_context().run, self._fetch, report_path(number), snapshot) for number in numbers
            ]
            return {n: read_report(content.result() or b"{}", n) for n, content in zip(numbers, contents, strict=True)}

    def _add_checkpoints(self, found: HubState, snapshot: Snapshot) -> None:
        """The newest, and the one at the root, which is older where the newest was held back."""
        assert found.newest is not None
        if f"{HELD_BACK}/{CONFIG_FILE}" in snapshot.files:
            self._add(found, found.newest, f"{HELD_BACK}/", snapshot)
        if CONFIG_FILE in snapshot.files:
            number = None if found.newest in found.checkpoints else found.newest
            found.drawn = self._add(found, number, "", snapshot)

    def _choose_drawn(self, found: HubState, main: Snapshot) -> None:
        """The round that main says is drawn with; it is fetched where the operator went back to it."""
        content = self._fetch(LATEST, main)
        latest = None if content is None else read_latest(content, f"{self.repo_id}: {LATEST}")
        if latest is None or found.newest is None:
            return
        if latest in found.checkpoints:
            found.drawn = latest
        elif latest in self.tags and latest < found.newest:
            older = Snapshot(self.tags[latest], self.repository.tree(self.tags[latest]))
            held_back = latest in found.reports and not found.reports[latest].published
            found.drawn = self._add(found, latest, f"{HELD_BACK}/" if held_back else "", older)

    def _add(self, found: HubState, number: int | None, prefix: str, snapshot: Snapshot) -> int:
        """Read and check one checkpoint. Returns its round: ``number``, or, where that is None, what it says of itself."""
        content = {name: self._fetch(prefix + name, snapshot) for name in CHECKPOINT_FILES}
        files = {name: data for name, data in content.items() if data is not None}
        model = load_checkpoint(files, f"{self.repo_id}/{prefix}".rstrip("/"))
        own = read_report(files[REPORT_FILE], number or 0) if REPORT_FILE in files else RoundReport.read({})
        if number is None:
            number = round_number(model.info.get("round", 0) if own.round is None else own.round)
            if found.newest is not None and number > found.newest:
                raise CheckpointError(f"{self.repo_id}: {REPORT_FILE} names round {number}, but the newest is {found.newest}")
        known = [report for report in (found.reports.get(number), own) if report and report.as_json()]
        report = known[0] if known else RoundReport.read({"round": number})
        extras = {name: files[name] for name in (CARD_FILE, SHEET_FILE) if name in files}
        if not extras.get(SHEET_FILE, JPEG).startswith(JPEG):
            extras.pop(SHEET_FILE)  # only a picture: the rest is as good without
        found.checkpoints[number] = Checkpoint(model, report, extras)
        return number

    def _first(self, path: str, *snapshots: Snapshot) -> bytes | None:
        """A file of the first snapshot that has it."""
        return next((self._fetch(path, snapshot) for snapshot in snapshots if path in snapshot.files), None)

    def _fetch(self, path: str, snapshot: Snapshot) -> bytes | None:
        """One file. Returns None if it is not there. Raises CheckpointError if it is too large."""
        if path not in snapshot.files:
            return None
        size, limit = snapshot.files[path], limit_of(path)
        if size > limit:
            raise CheckpointError(f"{self.repo_id}: {path} has {size:,} bytes, more than {limit:,}: it was refused")
        return self.repository.fetch(snapshot.revision, path, self.work / snapshot.revision, limit)


def _write(folder: Folder, found: HubState) -> None:
    """Onto the disk, the checkpoint that ``restore`` looks for last."""
    assert found.newest is not None
    for number, report in found.reports.items():
        folder.write(f"reports/{number:04d}.json", report.as_json())
    _take_members(folder, found.members)
    folder.change_control(**found.control)
    (folder.path / "push").mkdir(mode=0o700, exist_ok=True)
    known = folder.read("push/state.json", {})
    folder.write("push/state.json", {**known, "last_pushed": found.pushed, "enqueued": found.whole})
    for number, checkpoint in sorted(found.checkpoints.items()):
        folder.publish(number, checkpoint.model, checkpoint.report, checkpoint.extras, latest=False)
    if found.drawn is not None:
        folder.set_latest(found.drawn)
    folder.set_status(round=found.newest, note=f"Restored round {found.newest} from the Hub.")


def _take_members(folder: Folder, members: list[Member]) -> None:
    if members:
        folder.change_members(lambda own: merge_members(own, members))
