"""A designer's part in the federation, run by the window. It goes on when the page is closed; all open pages show the same."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from federation.designer.companion import Companion, ReceiptFolder, State, leave
from federation.designer.prepare import LookFirst
from federation.designer.receipt import Receipt
from federation.designer.settings import CompanionError, Settings
from federation.designer.studio_client import AwayError, UntrustedError
from studio.companion.background import in_background

WAIT = 10.0  # s before a studio that is away is asked again
SHEETS_FIRST = "Look at the sheets in step 1 first, and accept their frames."


class StoppedError(CompanionError):
    """The designer pressed Stop while something was being prepared."""


class Participation:
    """Joins, stops and leaves, in the background.

    Args:
        home: the companion's folder.

    Attributes:
        state: of the companion, while it runs; else None.
        notice: a sentence on how it ended, or what is missing; else "".
        stopping: the designer pressed Stop, and it has not stopped yet.
        leaving: "" for a member who stays, "asked" once Leave was pressed, "under way" once it was confirmed.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state: State | None = None
        self.notice = ""
        self.stopping = False
        self.leaving = ""
        self._receipts = ReceiptFolder(home / "receipts")
        self._lock, self._stop = threading.RLock(), threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def receipts(self) -> list[Receipt]:
        """What was sent, the earliest first."""
        return self._receipts.read()

    def join(self, settings: Settings) -> None:
        """Take part until ``stop``; ``settings`` are complete and checked."""
        with self._lock:
            if self.running:
                return
            self._stop.clear()
            self.notice, self.leaving = "", ""
            self.stopping, self.state = False, State("starting", "getting ready", since=time.time())
            self._thread = in_background("companion", lambda: self._take_part(settings), self._fail, self._over)

    def stop(self, wait: bool = False) -> None:
        """Stop for now; ``join`` goes on where it was."""
        self._stop.set()
        self.stopping = self.running
        if wait and self._thread:
            self._thread.join(30)

    def ask_to_leave(self) -> None:
        """Ask first: a click cannot undo leaving."""
        self.leaving = "asked"

    def stay(self) -> None:
        self.leaving = ""

    def leave(self, settings: Settings) -> None:
        """End the membership. ``settings`` name the studio."""
        with self._lock:
            if self.leaving != "asked":
                return
            self.leaving, self.notice = "under way", ""
        in_background("leave", lambda: self._leave(settings), self._fail, self.stay)

    def _fail(self, text: str) -> None:
        self.notice = text

    def _over(self) -> None:
        self.state, self.stopping = None, False

    def _leave(self, settings: Settings) -> None:
        self.stop(wait=True)
        name = leave(self.home, settings)
        self.notice = f"You have left {settings.server}: {name} is no longer a member there."

    def _take_part(self, settings: Settings) -> None:
        try:
            with Companion(self.home, settings) as companion:
                while not self._began(companion):
                    if self._stop.wait(WAIT):
                        return
                while not self._stop.wait(1):
                    self.state = companion.tend()
                    if self.state.phase == "left":
                        self.notice = f"You have left {settings.server}."
                        return
                    if self.state.phase == "refused":
                        raise CompanionError(self.state.text)
                    if companion.finished:
                        self.notice = f"{settings.rounds} rounds are done."
                        return
        except LookFirst:
            self.notice = SHEETS_FIRST
        except StoppedError:
            pass

    def _began(self, companion: Companion) -> bool:
        def progress(done: float | None, what: str) -> None:
            if self._stop.is_set():
                raise StoppedError("stopped")
            self.state = State("preparing", what, done=done, since=self._since("preparing"))

        try:
            companion.start(progress)
            return True
        except UntrustedError:  # somebody has to do something
            raise
        except AwayError as error:
            self.state = State("away", str(error), since=self._since("away"))
            return False

    def _since(self, phase: str) -> float:
        """When the phase began: a while ago, or now."""
        state = self.state
        return state.since if state and state.phase == phase else time.time()
