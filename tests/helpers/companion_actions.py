"""What tests do with the actions of the companion's window, without the window."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from helpers.studio_server import PATIENCE

if TYPE_CHECKING:
    from studio.companion.actions import CompanionActions


def until_looked(actions: CompanionActions) -> None:
    end = time.monotonic() + PATIENCE
    while (actions.drawings.busy or not actions.drawings.found) and time.monotonic() < end:
        time.sleep(0.05)
    assert actions.drawings.ready
