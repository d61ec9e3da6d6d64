"""The state of the connection between this machine and the studio, in one line for the designer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from federation.wire import CallRefusedError

log = logging.getLogger("fedgai.proxy")


@dataclass(frozen=True)
class Notice:
    """One line.

    Attributes:
        state: "starting" (nothing was asked yet), "online", "waiting" (for the operator), "waking", "away",
            "certificate", "redirect", "error", "budget" or "unconfirmed" (both until the next update), or "refused", which is
            final.
        text: for the designer.
    """

    state: str
    text: str


class Notices:
    """The latest notice.

    Args:
        first: until there is another.
        on_notice: called with each new one; it must not raise or take long.
    """

    def __init__(self, first: str, on_notice: Callable[[Notice], None] | None = None) -> None:
        self.latest = Notice("starting", first)
        self._on_notice = on_notice

    @property
    def refused(self) -> bool:
        return self.latest.state == "refused"

    def show(self, state: str, text: str) -> None:
        """Replace the latest notice, unless that is final."""
        notice = Notice(state, text)
        if notice == self.latest or self.refused:
            return
        self.latest = notice
        log.info("%s: %s", state, text)
        if self._on_notice:
            self._on_notice(notice)

    def trouble(self, state: str, text: str, status: int = 503) -> CallRefusedError:
        """An answer for the SuperNode, while the designer is shown the same."""
        self.show(state, text)
        return CallRefusedError(status, text)
