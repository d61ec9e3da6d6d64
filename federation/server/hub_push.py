"""What goes to the Hub: a commit and a tag for a round, and the members between rounds."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

from federation.server.folder import Folder
from federation.server.hub_client import HubRepository, WithheldError, content_hashes, is_missing
from federation.server.hub_content import (
    CHECKPOINT_FILES,
    CONTROL,
    HELD_BACK,
    LATEST,
    MEMBERS,
    METRICS_FILE,
    STATUS,
    limit_of,
    read_members,
    report_path,
    to_json,
)
from federation.server.members import Member, gone, merge_members
from federation.server.metrics_table import metrics_table
from federation.server.report import RoundReport
from federation.server.style_bank import take_out
from fedgai.model import CONFIG_FILE, STYLES_FILE, CheckpointError

log = logging.getLogger("fedgai.hub")

Content = Mapping[str, Path | bytes]


class HubPush:
    """Pushes to one repository. Methods raise what huggingface_hub does, and WithheldError.

    Args:
        folder: the federation's.
        repository: where to; made where it is not there yet.
        work: a folder for what is being downloaded.
        public: make the repository readable by everybody. Members' names and keys are in it.
    """

    def __init__(self, folder: Folder, repository: HubRepository, work: Path, *, public: bool = False) -> None:
        self.folder, self.repository, self.work, self.public = folder, repository, work, public
        self.api, self.repo_id = repository.api, repository.repo_id

    def push_round(self, number: int, checkpoint: Path, report: bytes) -> bool:
        """Commit and tag a round, or whichever of the two is missing.

        Args:
            number: the round.
            checkpoint: its files. Designers who have left are taken out of the style bank.
            report: ``report_for_hub`` of it.

        Returns:
            whether there was a commit: then the members went with it.
        """
        head, tags = self._refs()
        advice = "push to a repo of its own, or empty the federation's folder to go on from the Hub's rounds."
        if number in tags:
            if not self._is_there(report_path(number), f"round-{number:04d}", report):
                raise WithheldError(f"{self.repo_id} has another round {number} than this federation: {advice}")
            return False
        if tags and max(tags) > number:
            raise WithheldError(f"{self.repo_id} is at round {max(tags)}, this federation at round {number}: {advice}")
        committed = head is not None and self._is_there(report_path(number), head, report)
        if not committed:
            take_out(checkpoint / STYLES_FILE, self._left())
            head = self._commit_round(number, checkpoint, report, head)
        self.api.create_tag(self.repo_id, tag=f"round-{number:04d}", revision=head, exist_ok=True)
        return not committed

    def push_members(self) -> None:
        """Members, control and which round is drawn with, between rounds; and the style banks, where somebody has left."""
        head, tags = self._refs()
        files: dict[str, Path | bytes] = dict(self._members_files(head))
        latest = self.folder.latest()
        if latest in tags:  # else its round brings it
            files[LATEST] = to_json({"latest": latest})
        files |= self._banks_without_those_who_left(head)
        self._commit("Members", files, head)

    def members_content(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """What ``push_members`` is about: if it changed, it must be called."""
        control = {name: value for name, value in self.folder.control().items() if value is not None}
        return [asdict(member) for member in self.folder.members()], control

    def _commit_round(self, number: int, checkpoint: Path, report: bytes, head: str | None) -> str:
        """Returns the commit's id."""
        facts = RoundReport.loads(report)
        published = facts.published
        prefix = "" if published else f"{HELD_BACK}/"
        files: dict[str, Path | bytes] = {
            prefix + file: checkpoint / file for file in CHECKPOINT_FILES if (checkpoint / file).exists()
        }
        reports = {n: r for n, r in self.folder.reports().items() if n < number} | {number: facts}
        files[METRICS_FILE] = metrics_table(self._download(METRICS_FILE, head), reports)
        files[report_path(number)] = report
        files[STATUS] = to_json(asdict(self.folder.status()))
        files[LATEST] = to_json({"latest": self.folder.latest()})
        files |= self._members_files(head)
        replaced = published and head is not None
        old = f"{HELD_BACK}/" if replaced and self._hash(f"{HELD_BACK}/{CONFIG_FILE}", head) else None
        return self._commit(f"Round {number}" + ("" if published else " (held back)"), files, head, old)

    def _commit(self, summary: str, files: Content, head: str | None, deleted: str | None = None) -> str:
        operations: list[Any] = [self._addition(path, content) for path, content in files.items()]
        if deleted is not None:
            operations.append(CommitOperationDelete(deleted, is_folder=True))
        for operation in operations:  # one at a time: huggingface_hub's threads would not know ``impatient_requests``
            if isinstance(operation, CommitOperationAdd) and isinstance(operation.path_or_fileobj, str):
                self.api.preupload_lfs_files(self.repo_id, [operation], num_threads=1, free_memory=False)
        commit = self.api.create_commit(self.repo_id, operations, commit_message=summary, num_threads=1, parent_commit=head)
        return commit.oid

    def _addition(self, path: str, content: Path | bytes) -> CommitOperationAdd:
        """Raises WithheldError rather than let a secret out."""
        if isinstance(content, bytes):
            text = content
        else:
            text = content.read_bytes() if content.suffix in (".json", ".md") else b""
        token = self.repository.token
        if b"PRIVATE KEY" in text or (token and token.encode() in text):
            raise WithheldError(f"{path} was not pushed, because a secret is in it: take it out.")
        return CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))

    def _members_files(self, head: str | None) -> dict[str, bytes]:
        """The members as they go to the Hub. Members that only the Hub knows are kept."""
        members: list[Member] = self.folder.members()
        try:
            members = merge_members(members, read_members(self._download(MEMBERS, head) or b"[]"))
        except CheckpointError as error:
            log.warning("%s; the federation's own members replace it", error)
        control = self.members_content()[1]
        return {MEMBERS: to_json([asdict(member) for member in members]), CONTROL: to_json(control)}

    def _banks_without_those_who_left(self, head: str | None) -> dict[str, bytes]:
        """The style banks on main in which there is somebody who has left, without them."""
        found: dict[str, bytes] = {}
        left = self._left()
        if not left:
            return found
        for path in (STYLES_FILE, f"{HELD_BACK}/{STYLES_FILE}"):
            content = self._download(path, head)
            if content is None:
                continue
            with tempfile.TemporaryDirectory(dir=self.work, prefix=".bank-") as temp_path:
                bank = Path(temp_path) / STYLES_FILE
                bank.write_bytes(content)
                if take_out(bank, left):
                    found[path] = bank.read_bytes()
        return found

    def _left(self) -> set[str]:
        return {member.name for member in gone(self.folder.members())}

    def _refs(self) -> tuple[str | None, dict[int, str]]:
        """Of the repository, which is made where it is not there."""
        try:
            return self.repository.refs()
        except RepositoryNotFoundError as error:
            if not is_missing(error):
                raise
            self.api.create_repo(self.repo_id, exist_ok=True, private=not self.public)
            return self.repository.refs()

    def _hash(self, path: str, revision: str | None) -> str | None:
        return None if revision is None else self.repository.content_hash(path, revision)

    def _is_there(self, path: str, revision: str, content: bytes) -> bool:
        """Whether a file there has this content."""
        return self._hash(path, revision) in content_hashes(content)

    def _download(self, path: str, revision: str | None) -> bytes | None:
        """A small file. Returns None if it is not there."""
        if revision is None:
            return None
        with tempfile.TemporaryDirectory(dir=self.work, prefix=".download-") as temp_path:
            try:
                return self.repository.fetch(revision, path, Path(temp_path), limit_of(path))
            except EntryNotFoundError:
                return None


def digest(content: Any) -> str:
    """Another one for other content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
