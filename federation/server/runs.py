"""When a run is submitted to the SuperLink, and when it is over: a run is a season, or what is left of one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from federation.server.folder import Folder
from federation.server.superlink_process import SuperLinkProcess
from federation.server.superlink_state import RunRefusedError, SuperLinkControl

log = logging.getLogger("fedgai.host")

APPEARS = 60.0  # seconds that a submitted run has to start its process
LEAVES = 10.0  # seconds that the process of a run that is over has to end
BACKOFF = 60.0  # seconds, the longest pause before another attempt
ASKS = 5.0  # seconds between two questions to the SuperLink about a run whose process is there
NOBODY = 5.0  # seconds before another attempt where a run found nobody to ask


class Runs:
    """Submits runs and watches them, one at a time.

    Args:
        folder: the federation's.
        superlink: where they run.
        app: the Flower app, as Flower ships it.
        config: what differs from the app's own run config.
        rounds: of a season.
        needed: designers who must be connected before a run is submitted.
        rest: between two seasons.
        tell: writes into the status what it is given.

    Attributes:
        current: the number of the run that is on, or None.
    """

    def __init__(
        self,
        folder: Folder,
        superlink: SuperLinkProcess,
        app: bytes,
        config: Mapping[str, Any],
        *,
        rounds: int,
        needed: int,
        rest: timedelta,
        tell: Callable[..., None],
    ) -> None:
        self.folder, self.superlink, self.app, self.config = folder, superlink, app, config
        self.rounds, self.needed, self.rest, self.tell = rounds, needed, rest, tell
        self.current: int | None = None
        self._seen = False  # its process was there
        self._started = self._over = self._try_again = self._asked = 0.0
        self._base = 0  # the last whole round when it was submitted
        self._failures = 0
        self._note = ""

    def forget(self) -> None:
        """The SuperLink is another one: nothing runs there."""
        self.current = None

    def look(self, control: SuperLinkControl, online: int, server_apps: list[int]) -> None:
        """What is there to do: once every second.

        Args:
            control: the SuperLink's.
            online: designers who are connected.
            server_apps: processes of runs.

        Raises:
            httpx.HTTPError: the SuperLink does not answer, or is in trouble.
        """
        if self.current is not None:
            self._watch(control, self.current, bool(server_apps))
        elif server_apps:  # of the run before; a new one would be taken for it
            if time.time() > self._over + LEAVES:
                self.superlink.end_server_app()
        else:
            self._perhaps_start(control, online)

    def stop(self, control: SuperLinkControl) -> None:
        """End the run in progress, if there is one; what it wrote is whole."""
        if self.current is None:
            return
        control.stop_run(self.current)
        self.superlink.end_server_app()
        self.current = None

    def _perhaps_start(self, control: SuperLinkControl, online: int) -> None:
        """Submit a run if it is time for one; else say what is waited for."""
        now, last = time.time(), self.folder.last_round()
        begins, missing = self._season_begins(last), self.needed - online
        idle = {"round": last, "progress": 0.0, "deadline": 0.0}
        if begins > now:
            note = f"The next season begins on {datetime.fromtimestamp(begins, UTC):%-d %B, %H:%M} UTC."
            self.tell(**{**idle, "progress": 1.0}, phase="resting", waiting_for=0, note=note)
        elif missing > 0:
            self.tell(**idle, phase="waiting", waiting_for=missing, note=self._note)
        elif now < self._try_again:
            self.tell(**idle, phase="waiting", waiting_for=0, note=self._note)
        else:
            self._note = ""
            self.tell(**idle, phase="starting", waiting_for=0, note="")
            self._start(control, last)

    def _start(self, control: SuperLinkControl, last: int) -> None:
        self._seen, self._started, self._base = False, time.time(), last
        try:
            self.current = control.start_run(self.app, self.config)
        except RunRefusedError as error:
            self._ended(str(error))
            return
        self.tell(phase=None)  # from here on the ServerApp writes it
        log.info("run %d begins after round %d", self.current, last)

    def _watch(self, control: SuperLinkControl, run_id: int, is_running: bool) -> None:
        """Forget the run if it is over; end it if its process is.

        While its process is there, the SuperLink is seldom asked: each question takes it 20 ms of a core.
        """
        if is_running and time.monotonic() < self._asked + ASKS:
            self._seen = True
            return
        try:
            run = control.run(run_id)
        except KeyError:
            self._ended("the SuperLink has forgotten it")
            return
        self._asked = time.monotonic()  # when it answered: after an error it is asked again at once
        if run.over:
            self._ended(run.details)
            return
        gone = self._seen and not is_running
        late = not self._seen and not is_running and time.time() - self._started > APPEARS
        self._seen = self._seen or is_running
        if gone or late:  # Flower would notice after a minute, by the heartbeats that it misses
            self.stop(control)
            self._ended("its process ended" if gone else "its process did not start")

    def _ended(self, why: str) -> None:
        self.current, self._over = None, time.time()
        last = self.folder.last_round()
        self._failures = 0 if last > self._base or not why else self._failures + 1
        if why:
            log.warning("the run ended after round %d: %s", last, why)
            self._note = f"The round is tried again: {why}"[:300]
            wait = pause(self._failures)
        else:  # a run that ended well but has no new round found no designer: wait before the next run
            wait = 0.0 if last > self._base else NOBODY
        self._try_again = time.time() + wait

    def _season_begins(self, last: int) -> float:
        """When the next one may, in seconds since the epoch; 0 within a season."""
        if last == 0 or last % self.rounds:
            return 0.0
        try:
            finished = datetime.fromisoformat(self.folder.report(last).finished)
        except ValueError:
            finished = datetime.fromtimestamp(self.folder.checkpoint(last).stat().st_mtime, UTC)
        return (finished + self.rest).timestamp()


def pause(failures: int) -> float:
    """Seconds before another attempt, after so many that failed."""
    return min(BACKOFF, 0.5 * 2.0 ** min(failures, 30)) if failures else 0.0
