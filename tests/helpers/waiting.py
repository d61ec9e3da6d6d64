"""Waits until something is true, and fails with a sentence if it never is."""

from __future__ import annotations

import time
from collections.abc import Callable

from helpers.studio_server import PATIENCE


def until(true: Callable[[], object], what: object = "") -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.1)
