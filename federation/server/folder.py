"""The federation's folder. Everything that must last is in it, so that any process may end at any moment.

    members.json        who was approved: display name, public key, node id
    knocks.json         keys that asked to be let in
    control.json        what the operator asked for: paused, rolled back to
    status.json         what the federation is doing now; anybody may read it
    repeated.json       the last round that had too few good answers, and why
    checkpoints/0007/   one whole checkpoint a round, with report.json beside the model
    checkpoints/latest  the number of the checkpoint that the studio draws with
    reports/0007.json   the report of a round whose checkpoint is no longer here
    signatures/         style signatures that arrived in the round in progress
    push/               rounds on their way to the Hub
    secrets/            keys and certificates of this start; never leaves the machine

Each file and each checkpoint folder is written under another name and then renamed, and ``latest`` changes last. So a reader sees
the old state or the new one, and never a mixture. Only the owner may read the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from federation.server.members import Member, gone
from federation.server.report import RoundReport
from federation.server.style_bank import hand_names, take_out
from fedgai.environment import variable
from fedgai.errors import FedGAIError
from fedgai.files import sync_file, sync_folder, write_atomically
from fedgai.model import CONFIG_FILE, STYLES_FILE, CheckpointError, FedGAI

REPORT_FILE = "report.json"
REPEATED_FILE = "repeated.json"  # what came of the last round that had too few good answers; it is read as a report
KEEP = 20  # whole checkpoints; the first of every season and the published ones of the last stay longest


ADVICE = "name a folder of your own with FEDGAI_HOME"


class FederationFolderError(FedGAIError):
    """The federation's folder cannot be used; the sentence names it, and the variable."""


def home() -> Path:
    """Where the federation lives: ``FEDGAI_HOME``, or the disk that a Space's owner pays for, or the working directory."""
    lasting = Path("/data")
    default = lasting / "federation" if lasting.is_dir() and os.access(lasting, os.W_OK) else Path("federation-data")
    return Path(variable("FEDGAI_HOME") or default).resolve()


@dataclass
class Status:
    """What the federation is doing; written by the part that does it, read by the studio, the gateway and the operator.

    Attributes:
        phase: "starting", "waiting" (for designers), "training" (at the designers'), "aggregating", "house", "resting"
            (between seasons), "paused", "stopped".
        round: the one in progress, or the last whole one where none is; rounds count from 1 over all seasons.
        rounds: rounds a season.
        progress: of the phase, in [0, 1].
        asked, answered: designers, in the round in progress; 0 where that is not known.
        deadline: of the round, seconds since the epoch, or 0.
        online: display names of the designers who are connected.
        waiting_for: designers still needed before the round can start.
        note: one sentence for people, or "".
        updated: seconds since the epoch.
    """

    phase: str = "starting"
    round: int = 0
    rounds: int = 11
    progress: float = 0.0
    asked: int = 0
    answered: int = 0
    deadline: float = 0.0
    online: list[str] = field(default_factory=list)
    waiting_for: int = 0
    note: str = ""
    updated: float = 0.0


class Folder:
    """The federation's folder, made where it is not there yet.

    Args:
        path: where.
    Raises:
        FederationFolderError: it cannot be made, or this user may not write to it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.secrets = self.path / "secrets"
        _make_all(self.path, (self.checkpoints, self.path / "reports", self.secrets))

    # -- small files -----------------------------------------------------------------------------------------------------

    def read(self, name: str, default: Any) -> Any:
        """A JSON file's content, or ``default`` where there is none. Raises CheckpointError where it is damaged."""
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return default
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{self.path / name} cannot be read ({error}): restore the file, or delete it") from error

    def write(self, name: str, content: Any) -> None:
        """Write a JSON file, whole or not at all."""
        write_atomically(self.path / name, json.dumps(content, indent=1).encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this while reading, changing and writing a file that more than one process changes."""
        with FileLock(self.path / ".lock"):
            yield

    def members(self) -> list[Member]:
        """In the order of approval; revoked ones included. Raises CheckpointError where the list is damaged."""
        try:
            return [Member(**entry) for entry in self.read("members.json", [])]
        except TypeError as error:
            file = self.path / "members.json"
            raise CheckpointError(f"{file} is not a list of members: restore the file, or delete it") from error

    def change_members(self, change: Callable[[list[Member]], list[Member]]) -> list[Member]:
        """Apply ``change`` to the members, safely beside other processes. Returns what was written."""
        with self.locked():
            members = change(self.members())
            self.write("members.json", [asdict(m) for m in members])
        return members

    def control(self) -> dict[str, Any]:
        """``{"paused": bool}`` and whatever else the operator asked for."""
        return {"paused": False, **self.read("control.json", {})}

    def change_control(self, **changes: Any) -> None:
        """Ask for something."""
        with self.locked():
            self.write("control.json", {**self.control(), **changes})

    def status(self) -> Status:
        """What the federation is doing. Raises CheckpointError where the file is damaged."""
        known = Status.__dataclass_fields__
        return Status(**{k: v for k, v in self.read("status.json", {}).items() if k in known})

    def set_status(self, **changes: Any) -> None:
        """Change some of the status; ``updated`` is set here."""
        with self.locked():
            self.write("status.json", {**asdict(self.status()), **changes, "updated": time.time()})

    def note_look(self) -> None:
        """Note that the host is alive. It calls this each time it looks at its processes."""
        (self.path / "host.alive").touch(mode=0o600)

    def last_look(self) -> float:
        """When ``note_look`` was called last, seconds since the epoch; 0 for never."""
        try:
            return (self.path / "host.alive").stat().st_mtime
        except OSError:
            return 0.0

    # -- checkpoints -----------------------------------------------------------------------------------------------------

    def rounds(self) -> list[int]:
        """Numbers of the whole checkpoints, ascending; 0 is the one that the federation started from."""
        return sorted(int(p.name) for p in self.checkpoints.iterdir() if p.name.isdigit() and (p / CONFIG_FILE).exists())

    def last_round(self) -> int:
        """The newest whole checkpoint's number; 0 before the first."""
        return max(self.rounds(), default=0)

    def latest(self) -> int | None:
        """The round that the studio draws with, or None before the first checkpoint."""
        try:
            number = int((self.checkpoints / "latest").read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            number = -1
        if number in (rounds := self.rounds()):
            return number
        return max((n for n in rounds if self.report(n).published), default=None)

    def checkpoint(self, number: int) -> Path:
        """The folder of a round's checkpoint."""
        return self.checkpoints / f"{number:04d}"

    def report(self, number: int) -> RoundReport:
        """What is known about a round; an empty report for one without, or with one that cannot be read."""
        try:
            return RoundReport.loads((self.checkpoint(number) / REPORT_FILE).read_text())
        except (OSError, ValueError, RecursionError):
            return RoundReport.read({})

    def reports(self) -> dict[int, RoundReport]:
        """Round -> its report, ascending: also of rounds whose checkpoints were pruned, or stayed on the Hub."""
        files = (self.path / "reports").glob("[0-9]*.json")
        kept = {int(p.stem): RoundReport.read(self.read(f"reports/{p.name}", {})) for p in files}
        return dict(sorted((kept | {n: self.report(n) for n in self.rounds()}).items()))

    def publish(
        self,
        number: int,
        model: FedGAI,
        report: RoundReport,
        extras: dict[str, bytes] | None = None,
        *,
        latest: bool = True,
    ) -> Path:
        """Write a round's checkpoint under another name, flush it to the disk, rename it; then move ``latest``, if asked for.

        Returns the checkpoint's folder.

        Args:
            number: the round.
            model: house Generator, aggregated Discriminator, style bank. Designers who have left are taken out of the bank.
            report: becomes report.json.
            extras: further files by name (the model card, the thumbnail sheet).
            latest: False for a round that is held back: kept, but not drawn with.
        """
        folder, temp_path = self.checkpoint(number), self.checkpoints / f".{number:04d}"
        shutil.rmtree(temp_path, ignore_errors=True)
        model.save_pretrained(temp_path)
        take_out(temp_path / STYLES_FILE, {member.name for member in gone(self.members())})
        for name, content in (extras or {}).items():
            (temp_path / name).write_bytes(content)
        (temp_path / REPORT_FILE).write_text(json.dumps(report.as_json(), indent=1))
        temp_path.chmod(0o700)
        for file in temp_path.iterdir():
            file.chmod(0o600)
            sync_file(file)
        sync_folder(temp_path)
        if folder.exists():  # the same round again, after a crash between here and ``latest``
            shutil.rmtree(folder)
        os.replace(temp_path, folder)
        sync_folder(self.checkpoints)
        if latest:
            self.set_latest(number)
        return folder

    def set_latest(self, number: int) -> None:
        """Have the studio draw with a round. Raises CheckpointError where there is no whole checkpoint of it."""
        if number not in self.rounds():
            raise CheckpointError(f"there is no whole checkpoint of round {number} in {self.checkpoints}")
        write_atomically(self.checkpoints / "latest", str(number).encode())

    def prune(self, keep: int = KEEP) -> list[int]:
        """Delete the oldest checkpoints beyond ``keep``; never round 0, ``latest``, or the newest. Returns those deleted."""
        rounds, latest = self.rounds(), self.latest()
        old = [n for n in rounds[:-keep] if n not in (0, latest)] if len(rounds) > keep else []
        for number in old:
            if report := self.report(number).as_json():
                self.write(f"reports/{number:04d}.json", report)
            doomed = self.checkpoints / f".{number:04d}"
            os.replace(self.checkpoint(number), doomed)  # no longer whole to any reader, before the first file goes
            shutil.rmtree(doomed)
        return old

    def hands(self) -> list[str]:
        """Names in the style bank that is drawn with."""
        latest = self.latest()
        return [] if latest is None else hand_names(self.checkpoint(latest) / STYLES_FILE)

    def forget_hands(self) -> None:
        """Remove the signatures of all who have left from checkpoints and from the round in progress.

        Raises:
            CheckpointError: a style bank is damaged; the others are done.
        """
        left = gone(self.members())
        for member in left:
            (self.path / "signatures" / f"{member.node_id}.safetensors").unlink(missing_ok=True)
        damaged: list[CheckpointError] = []
        for number in self.rounds():
            try:
                take_out(self.checkpoint(number) / STYLES_FILE, {member.name for member in left})
            except CheckpointError as error:
                damaged.append(error)
        if damaged:
            raise damaged[0]


def _make_all(path: Path, folders: Iterable[Path]) -> None:
    """Make a federation's folders where they are missing. Raises FederationFolderError where they cannot be made or used."""
    try:
        _make_private(path)
        for folder in folders:
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise FederationFolderError(f"{error.filename or path} cannot be used ({error.strerror}): {ADVICE}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise FederationFolderError(f"{path} cannot be written to: {ADVICE}")


def _make_private(path: Path) -> None:
    """Make a folder that only its owner may enter; close one that an earlier version left open to others."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        return
    is_federation = (path / "checkpoints").is_dir() or not any(path.iterdir())
    mode = stat.S_IMODE(path.stat().st_mode)
    if is_federation and mode & 0o077 and not mode & stat.S_ISVTX:
        with contextlib.suppress(OSError):  # somebody else's, or a disk without permissions
            path.chmod(0o700)
