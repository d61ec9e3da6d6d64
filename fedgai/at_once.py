"""Two pieces of work at the same time, for somebody who waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

A = TypeVar("A")
B = TypeVar("B")


def at_once(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """What both return. ``first`` runs on this thread, ``second`` on another, which is gone when this returns or raises.

    One after the other where torch was given one thread (``torch.set_num_threads(1)``): then other work has the other cores.
    ``second`` should leave torch alone, which starts a pool of threads for each thread that calls it. If both raise, the first
    one's error is raised.
    """
    if torch.get_num_threads() == 1:
        return first(), second()
    with ThreadPoolExecutor(1, "fedgai-at-once") as other:
        future = other.submit(second)
        return first(), future.result()


class Cores:
    """One core or two, on which torch works; from ``a_core_each``.

    Args:
        other: the second core's thread; None where there is one core.
    """

    def __init__(self, other: ThreadPoolExecutor | None) -> None:
        self._other = other

    @property
    def count(self) -> int:
        return 1 if self._other is None else 2

    def run(self, pieces: Sequence[Callable[[], A]]) -> list[A]:
        """What the pieces return, in their order. Every second one runs on the other core; its grad mode is torch's usual one.

        Raises what a piece raises, when the pieces that were begun are done."""
        if self._other is None:
            return [piece() for piece in pieces]
        second = self._other.submit(lambda: [piece() for piece in pieces[1::2]])
        try:
            first = [piece() for piece in pieces[::2]]
        finally:
            found = second.result()
        return [(first if i % 2 == 0 else found)[i // 2] for i in range(len(pieces))]


@contextmanager
def a_core_each() -> Iterator[Cores]:
    """Two cores, each for pieces of work of its own; one where torch was given one thread.

    While it is entered, torch does not share out a layer among cores: small layers take as long then, or longer.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield Cores(None)
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(1, "fedgai-core", torch.set_num_threads, (1,)) as other:
            yield Cores(other)
    finally:
        torch.set_num_threads(threads)
