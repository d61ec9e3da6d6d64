"""A line of the log for each round that has become whole."""

from __future__ import annotations

import logging

from federation.server.folder import Folder
from federation.server.round_words import round_line

log = logging.getLogger("fedgai.host")


class RoundLog:
    """Writes of rounds that are whole after it was made.

    Args:
        folder: the federation's.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._last: int | None = None  # that there is a line of

    def look(self) -> None:
        """Write what is new; call it now and then."""
        rounds = self._folder.rounds()
        if self._last is not None:
            for number in rounds:
                if number > self._last:
                    log.info("%s", round_line(number, self._folder.report(number)))
        self._last = rounds[-1] if rounds else 0
