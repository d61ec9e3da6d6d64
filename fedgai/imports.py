"""While a program imports what it needs: the garbage collector, and the message if a package is not installed."""

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
        freeze: never look again at what there is at the end. False if the program is already running: some of it may be
            garbage.
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


@contextlib.contextmanager
def needed_by(program: str, *extras: str, started: bool = True) -> Iterator[None]:
    """End a program with one sentence where a package cannot be imported in the block.

    Args:
        program: as its user types it.
        extras: of pyproject.toml, whose packages the block imports.
        started: whether the program is being started, and its file not only imported, which raises ModuleNotFoundError.

    Raises:
        SystemExit: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not started or missing in ("fedgai", "federation", "studio"):  # the latter are a mistake of ours
            raise
        wanted = f".[{','.join(extras)}]"
        sentence = f'{program} needs more packages ({missing} is missing): pip install "{wanted}" in a copy of the project'
        raise SystemExit(sentence) from None
