"""Work that is repeated while the application runs."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from studio.failures import describe

log = logging.getLogger(__name__)


@contextlib.contextmanager
def repeating(name: str, seconds: float, work: Callable[[], object]) -> Iterator[None]:
    """Within the block, ``work`` runs in a thread every so many seconds. Its errors are logged, and it is tried again."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds):
            try:
                work()
            except Exception as error:  # whatever it is, the next time must come
                log.error("%s failed: %s", name, describe(error))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)
