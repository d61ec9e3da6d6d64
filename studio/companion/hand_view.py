"""How the designer's hand will look to others, in the window: made in the background, stopped at any time, kept in memory."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from federation.designer.hand_preview import preview_hand
from federation.designer.prepare import LookFirst
from federation.designer.settings import CompanionError, Settings
from fedgai.evaluation.hand_page import HandReport, to_html
from studio.companion.background import in_background
from studio.companion.drawings import Busy
from studio.companion.participation import SHEETS_FIRST, StoppedError


class HandView:
    """Makes the page, one at a time. All open pages of the window show the same.

    Args:
        home: the companion's folder.

    Attributes:
        report: of the drawings as they are now, or None.
        page: the same as an HTML page in one file, or "".
        busy: how far it is, or None.
        trouble: a sentence on why it could not be made, or "".
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.report: HandReport | None = None
        self.page = ""
        self.busy: Busy | None = None
        self.trouble = ""
        self._lock = threading.RLock()
        self._working = threading.Lock()  # held by the thread that works: the next one waits until it has ended
        self._stop = threading.Event()  # of the latest start
        self._thread: threading.Thread | None = None

    def start(self, settings: Settings) -> None:
        """Make the page again, unless it is being made. ``data`` and ``name`` of the settings count."""
        with self._lock:
            if self.busy:
                return
            self._stop = stop = threading.Event()
            self.trouble, self.busy = "", Busy(None, "getting ready", time.time())
            self._thread = in_background(
                "hand", lambda: self._make(settings, stop), lambda text: self._end(stop, trouble=text), lambda: self._end(stop)
            )

    def stop(self) -> None:
        """Make it no further. What was made before stays."""
        with self._lock:
            self._stop.set()
            self.busy = None

    def forget(self) -> None:
        """The drawings are others now."""
        with self._lock:
            self.stop()
            self.report, self.page, self.trouble = None, "", ""

    def fail(self, text: str) -> None:
        """It cannot be begun, and this is why."""
        self.trouble = text

    def close(self) -> None:
        self.stop()
        if self._thread:
            self._thread.join(30)

    def _make(self, settings: Settings, stop: threading.Event) -> None:
        def progress(done: float | None, what: str) -> None:
            with self._lock:
                if stop.is_set():
                    raise StoppedError("stopped")
                if self.busy:
                    self.busy = Busy(done, what, self.busy.since)

        try:
            with self._working:
                progress(None, "getting ready")
                report = preview_hand(self.home, settings, progress)
                self._end(stop, report)
        except LookFirst:
            raise CompanionError(SHEETS_FIRST) from None
        except StoppedError:
            pass

    def _end(self, stop: threading.Event, report: HandReport | None = None, trouble: str = "") -> None:
        """Keep what came of it, once, unless it was stopped."""
        page = to_html(report) if report else ""
        with self._lock:
            if stop.is_set():
                return
            if report:
                self.report, self.page = report, page
            self.trouble, self.busy = trouble, None
            stop.set()  # whatever this thread still does, another may have begun
