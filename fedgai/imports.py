"""The garbage collector while a program imports what it needs."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def collector_paused(freeze: bool = True) -> Iterator[None]:
    """Collect no garbage in the block, which imports, and never look again at what was made in it.

    For programs. What they import makes hundreds of thousands of objects, which stay until the process ends. To look through
    them again and again while they come, and once more at the end, takes a third of the processor time of a program's start.

    Args:
        freeze: never look again at what there is at the end. False for a program that is at work already: garbage may be among
            it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if freeze:
            gc.freeze()
        if enabled:
            gc.enable()
