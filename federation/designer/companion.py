"""The companion: one designer's machine in the federation, for the terminal (join.py) and for the window.

    drawings -> local training (client_app.py, in a SuperNode) -> proxy.py on loopback -> the studio's gateway

The server can make this machine train on the designer's folder and send what ``client_app.answer`` returns, and nothing else.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from federation.designer.client_app import PROGRESS_FILE
from federation.designer.prepare import prepare
from federation.designer.proxy import Proxy
from federation.designer.receipt import SENT, Receipt, read_all
from federation.designer.settings import (
    CompanionError,
    Progress,
    Settings,
    forget_leaving,
    has_left,
    node_config,
    private_folder,
    remember_leaving,
)
from federation.designer.studio_client import AwayError, StudioClient, UntrustedError, release_hash
from federation.designer.supernode import SuperNode
from federation.identity import fingerprint, make_key
from fedgai.data import kept_cutouts

ASK_EVERY = 3.0  # s between two questions about what the federation is doing
LONGEST_PAUSE = 60.0  # s before a SuperNode that ended is started again
SEVERAL = 3  # times that a SuperNode ended before it connected, after which the designer sees a sentence


@dataclass(frozen=True)
class State:
    """What to show a designer, at one moment.

    Attributes:
        phase: "starting", "waiting" (to be approved), "away", "certificate", "refused", "left", "idle", "receiving",
            "preparing", "training", "sending", "failed" (the last round), "stuck" (the program that connects does not start).
        text: one line.
        round: in progress here, or 0.
        done: share of the phase, in [0, 1]; None where it is not known.
        since: when the phase began, seconds since the epoch; 0 where that is not known.
        remaining: seconds of training, or 0.
        late: a sentence, where this round will probably not be ready in time; else "".
        bytes: of all updates that left, as their receipts count them.
        receipts: number of updates that the studio has confirmed.
        federation: the studio's public status, {} where it is not known.
    """

    phase: str
    text: str
    round: int = 0
    done: float | None = None
    since: float = 0.0
    remaining: float = 0.0
    late: str = ""
    bytes: int = 0
    receipts: int = 0
    federation: dict[str, Any] = field(default_factory=dict)


class ReceiptFolder:
    """The receipts of a folder, read again only where they changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[tuple[str, int], ...] = ()
        self._receipts: list[Receipt] = []

    def read(self) -> list[Receipt]:
        """The earliest first."""
        seen = []
        for file in sorted(self.path.glob("round-*.json")):
            try:
                seen.append((file.name, file.stat().st_mtime_ns))
            except OSError:  # taken away meanwhile
                continue
        if tuple(seen) != self._seen:
            self._seen, self._receipts = tuple(seen), read_all(self.path)
        return self._receipts


class Companion:
    """A designer's part in the federation, running in the background of this process; usable as a context manager.

    Args:
        folder: HOME, see settings.py.
        settings: checked here.
    Raises:
        FedGAIError: the settings or the environment cannot be used, or another companion works in this folder.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = private_folder(folder), settings.checked()
        self.studio = StudioClient(self.settings)
        self.key = make_key(folder / "key")
        self.receipts = ReceiptFolder(folder / "receipts")
        self.proxy: Proxy | None = None
        self.node: SuperNode | None = None
        self._lock = FileLock(folder / "lock", timeout=0, mode=0o600, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise CompanionError(f"a companion is already running with {folder}: stop that one first") from None
        self._first, self._failures, self._again = self._confirmed(), 0, 0.0
        self._status: dict[str, Any] = {}
        self._asked = 0.0
        self._trouble: AwayError | None = None
        self._phase, self._since = "", time.time()

    def __enter__(self) -> Companion:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def fingerprint(self) -> str:
        """Of the designer's key: the operator sees the same."""
        return fingerprint(self.key)

    @property
    def finished(self) -> bool:
        """Whether as many updates were sent as the designer asked for."""
        return 0 < self.settings.rounds <= self._confirmed() - self._first

    def start(self, progress: Progress | None = None) -> None:
        """Prepare the drawings and connect.

        Raises:
            FedGAIError: see ``prepare``; or the federation is not one for this installation; AwayError is one, too.
        """
        data = prepare(self.folder, self.settings, progress)
        self._status = self.studio.check()
        forget_leaving(self.folder)
        certificate = Path(self.settings.certificate) if self.settings.certificate else None
        self.proxy = Proxy(
            self.settings.server, self.folder, release_hash(), root_certificate=certificate, budget=self.settings.budget
        )
        self.proxy.start()
        self._config = node_config(self.folder, self.settings, data)
        self._run(self.proxy)

    def tend(self) -> State:
        """What is going on; call it about once a second. Starts the SuperNode again where it ended."""
        if has_left(self.folder, self.settings.server):
            self._stop_node()
            return self._timed(State("left", f"you have left {self.settings.server}"))
        if self.proxy and self.node and self.node.ended and time.monotonic() > self._again:
            self._failures += 1
            self._again = time.monotonic() + min(LONGEST_PAUSE, 2**self._failures)
            self._run(self.proxy)
        if time.monotonic() - self._asked > ASK_EVERY:
            self._asked = time.monotonic()
            try:
                self._status, self._trouble = self.studio.status(), None
            except AwayError as error:
                self._trouble = error
        return self.state()

    def state(self) -> State:
        """As ``tend``, without doing anything."""
        return self._timed(self._here() or self._between() or self._there())

    def stop(self) -> None:
        """Disconnect; local state stays as the last epoch left it."""
        self._stop_node()
        if self.proxy:
            self.proxy.stop()
        self.proxy = None
        self.studio.close()
        self._lock.release()

    # -- what is shown ---------------------------------------------------------------------------------------------------

    def _here(self) -> State | None:
        """What this machine is doing in a round; None if it is not in one."""
        if self.proxy is None or self.node is None or self.proxy.notice.state == "refused":
            return None
        progress = self._progress()
        phase, number = progress.get("phase"), int(progress.get("round", 0))
        remaining = float(progress.get("remaining", 0.0))  # seconds of what goes on now
        if phase == "preparing":
            return State("preparing", f"round {number}: getting your drawings ready", number)
        if phase == "refining":
            text = f"round {number}: comparing your hand with the studio's drawings"
            done, late = float(progress.get("done", 0.0)), self._late(remaining)
            return State("preparing", text, number, done, remaining=remaining, late=late)
        if phase == "training":
            text = f"round {number}: pass {progress.get('epoch', 1)} of {progress.get('epochs', 1)} through your drawings"
            return State(
                "training",
                text,
                number,
                progress.get("step", 0) / max(1, progress.get("steps", 1)),
                remaining=remaining,
                late=self._late(remaining),
            )
        if phase == "sending" and self.proxy.notice.state != "unconfirmed" and not self._was_sent(number):
            return State("sending", f"round {number}: sending", number, self.proxy.leaving)
        return None

    def _between(self) -> State | None:
        """Why this machine is not connected to the studio; None if it is."""
        if self.proxy is None:
            return State("starting", "connecting")
        notice = self.proxy.notice
        if notice.state == "refused":
            self._stop_node()
            return State("refused", notice.text)
        if self.node is None:
            return State("starting", "connecting")
        if notice.state == "starting" and self._failures >= SEVERAL:
            return State(
                "stuck",
                f"the program that connects to the studio ended {self._failures} times. Look into its log, {self.node.log}; the "
                f"last line there is: {self.node.last_line()}",
            )
        if notice.state == "starting":
            return State("starting", notice.text)
        if notice.state in ("waiting", "certificate"):
            return State(notice.state, notice.text)
        if notice.state != "online":
            return State("away", notice.text)
        if self._trouble:
            return State("certificate" if isinstance(self._trouble, UntrustedError) else "away", str(self._trouble))
        return None

    def _there(self) -> State:
        """What this machine waits for."""
        assert self.proxy is not None
        progress, incoming = self._progress(), self.proxy.incoming
        if progress.get("phase") == "failed":
            return State("failed", f"the last round was not trained: {progress.get('trouble', '')}")
        if incoming.share < 1:
            return State("receiving", "a round begins: receiving what the others have learned", 0, incoming.share)
        if incoming.unanswered:
            return State("preparing", "a round begins: the learning program is starting")
        return State("idle", "connected: waiting for the next round")

    def _timed(self, state: State) -> State:
        """With what every state has."""
        if state.phase != self._phase:
            self._phase, self._since = state.phase, time.time()
        left = sum(receipt.bytes for receipt in self.receipts.read())
        return replace(state, since=self._since, bytes=left, receipts=self._confirmed(), federation=self._status)

    def _late(self, remaining: float) -> str:
        left = self._status.get("seconds_left")
        if not isinstance(left, int | float) or left <= 0 or remaining <= left:
            return ""
        return (
            f"This round will probably not be ready in time: it needs about {duration(remaining)} more, and the studio waits "
            f"{duration(left)} at most. What is learned stays here, and counts in the next round."
        )

    # -- what is done ----------------------------------------------------------------------------------------------------

    def _run(self, proxy: Proxy) -> None:
        (self.folder / "model" / PROGRESS_FILE).unlink(missing_ok=True)  # of an earlier run
        self.node = SuperNode(self.folder / "flower", proxy.address, self.folder / "key", self._config, proxy.certificate)

    def _stop_node(self) -> None:
        if self.node:
            self.node.stop()
        self.node = None

    def _progress(self) -> dict[str, Any]:
        try:
            progress = json.loads((self.folder / "model" / PROGRESS_FILE).read_text())
            return progress if isinstance(progress, dict) else {}
        except (OSError, ValueError):  # none yet
            return {}

    def _confirmed(self) -> int:
        return sum(receipt.state == SENT for receipt in self.receipts.read())

    def _was_sent(self, number: int) -> bool:
        return any(receipt.round == number and receipt.state == SENT for receipt in self.receipts.read())


def leave(folder: Path, settings: Settings) -> str:
    """End the membership, and let every companion with this folder know. Returns the name that the member had.

    The cut-out photographs that rounds kept are deleted; the private model and the receipts stay.

    Raises:
        CompanionError: the studio does not know this key, or does not answer.
        OSError: the folder cannot be written.
    """
    make_key(private_folder(folder) / "key")
    client = StudioClient(settings)
    try:
        name = client.leave(folder / "key")
    finally:
        client.close()
    remember_leaving(folder, settings.server)
    shutil.rmtree(folder / "model" / kept_cutouts.FOLDER, ignore_errors=True)
    return name


def duration(seconds: float) -> str:
    """For people: 40 seconds, 3 minutes, 2 hours.

    Example:
        >>> duration(100)
        '2 minutes'
    """
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}s"
    count = max(1, round(seconds))
    return f"{count} second{'' if count == 1 else 's'}"
