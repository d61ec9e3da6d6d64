"""Freed memory that the process keeps, for work that asks for the same large pieces again in each step."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt's parameters, in <malloc.h>
LARGEST = 32 << 20  # bytes that glibc takes from its heap at most
USUAL = 2 * LARGEST  # what glibc keeps by itself after it gave out pieces as large
ALL = 2**31 - 1


@contextmanager
def kept_memory() -> Iterator[None]:
    """While it is entered, glibc gives no freed memory back to the system; afterwards it gives back what is not needed.

    Else each step's maps are taken from the system again, and cleared page by page: a sixth of the computing of a step at 512 px.
    Does nothing where the C library is another one.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(MMAP_THRESHOLD, LARGEST)
    libc.mallopt(TRIM_THRESHOLD, ALL)
    try:
        yield
    finally:
        libc.mallopt(TRIM_THRESHOLD, USUAL)
        libc.malloc_trim(0)
