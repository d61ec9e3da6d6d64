"""Photographs made ready to draw, and their cut-outs, kept in memory while somebody needs them."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

IDLE_SECONDS = 20.0  # how long a photograph stays after its last use, if no open page shows it


class Sized(Protocol):
    """Something whose memory is known."""

    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=Sized)


@dataclass
class _Entry(Generic[T]):
    """One photograph.

    Attributes:
        content: the photograph made ready, or the error.
        lasting: it stays until there is no room.
        sessions: the visitors' sessions that asked for it.
        used: when it was last asked for, monotonic seconds.
    """

    content: Future[T]
    lasting: bool
    sessions: set[str] = field(default_factory=set)
    used: float = 0.0


class ContentCache(Generic[T]):
    """Keeps the contents that were used last. A request for one that is being made waits for it.

    Args:
        limit: bytes that all may take together; the newest stays even if it takes more.
        pages: sessions that have a page open.
    """

    def __init__(self, limit: int, pages: Container[str] = frozenset()) -> None:
        self.limit, self.pages = limit, pages
        self._entries: OrderedDict[Hashable, _Entry[T]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable, make: Callable[[], T], session: str = "", lasting: bool = False) -> T:
        """The content under a key. If there is none yet, ``make`` makes it. Failures are not kept.

        Args:
            key: names the photograph, the size and all else that the content depends on.
            make: called at most once at a time for a key.
            session: of the visitor who asks. The photograph stays while their page is open and there is room.
            lasting: it stays while there is room, even if no page is open: for the studio's own examples.
        """
        with self._lock:
            missing = key not in self._entries
            entry = self._entries.setdefault(key, _Entry(Future(), lasting))
            entry.used = time.monotonic()
            if session:
                entry.sessions.add(session)
            self._entries.move_to_end(key)
        if missing:
            try:
                entry.content.set_result(make())
            except BaseException as error:
                entry.content.set_exception(error)
            self._trim(key, entry)
        return entry.content.result()

    def drop_idle(self) -> None:
        """Remove the photographs of visitors who have left."""
        now = time.monotonic()
        with self._lock:
            idle = [key for key, entry in self._entries.items() if self._is_idle(entry, now)]
            for key in idle:
                del self._entries[key]
        if idle:
            give_memory_back()

    def _is_idle(self, entry: _Entry[T], now: float) -> bool:
        if entry.lasting or not entry.content.done() or now - entry.used < IDLE_SECONDS:
            return False
        return not any(session in self.pages for session in entry.sessions)

    def _trim(self, key: Hashable, entry: _Entry[T]) -> None:
        """Remove the oldest until the rest fits."""
        with self._lock:
            if entry.content.exception():
                self._entries.pop(key, None)
            done = [k for k, e in self._entries.items() if e.content.done() and not e.content.exception()]
            sizes = {k: self._entries[k].content.result().nbytes for k in done}
            for oldest in done[:-1]:
                if sum(sizes.values()) <= self.limit:
                    break
                del self._entries[oldest], sizes[oldest]


def give_memory_back() -> None:
    """Hand memory that was freed back to the system, where its C library keeps it (glibc)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
