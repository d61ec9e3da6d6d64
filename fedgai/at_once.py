"""Two pieces of work at the same time, for one photograph that somebody waits for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
