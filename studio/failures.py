"""Log lines about unexpected errors: where an error came from, and nothing that a visitor sent.

The message of an exception may repeat what somebody sent, so it is left out: kind and place are enough to find the fault.
"""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

SORRY = "This did not work, and the fault is ours: please try again, or reload the page."


def describe(error: BaseException, frames: int = 4) -> str:
    """Kind and place of an error and of what led to it, in one line; the innermost place comes first.

    Example:
        >>> try:
        ...     int("a visitor's word")
        ... except ValueError as error:
        ...     describe(error)  # doctest: +ELLIPSIS
        'ValueError at <doctest...>:2'
    """
    found: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(found) < 3:
        places = traceback.extract_tb(cause.__traceback__)[-frames:]
        where = " < ".join(f"{_short(place.filename)}:{place.lineno}" for place in reversed(places))
        found.append(f"{type(cause).__name__} at {where or 'an unknown place'}")
        cause, frames = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__), 1
    return ", after ".join(found)


def _short(filename: str) -> str:
    """The last two parts of a path: "studio/page.py"."""
    return filename if filename.startswith("<") else "/".join(Path(filename).parts[-2:])


class WithoutMessages(logging.Formatter):
    """For loggers of libraries, which report failed requests whole: a line's beginning, and the place of its exception."""

    def format(self, record: logging.LogRecord) -> str:
        first, *_ = record.getMessage().splitlines() or [""]
        error = record.exc_info[1] if record.exc_info else None
        return f"{record.levelname}: {first[:200]}" + (f": {describe(error)}" if error is not None else "")
