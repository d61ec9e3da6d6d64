"""Freed memory is kept while it is asked for again, and given back afterwards."""

from __future__ import annotations

import ctypes
import platform

import pytest

from fedgai.kept_memory import ALL, LARGEST, MMAP_THRESHOLD, TRIM_THRESHOLD, USUAL, kept_memory


class FakeLibrary:
    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[int, ...]]] = []

    def mallopt(self, *values: int) -> int:
        self.calls.append(("mallopt", values))
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.calls.append(("malloc_trim", (pad,)))
        return 1


def test_it_is_given_back_even_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeLibrary()
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    with pytest.raises(RuntimeError), kept_memory():
        assert library.calls == [("mallopt", (MMAP_THRESHOLD, LARGEST)), ("mallopt", (TRIM_THRESHOLD, ALL))]
        raise RuntimeError
    assert library.calls[2:] == [("mallopt", (TRIM_THRESHOLD, USUAL)), ("malloc_trim", (0,))]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("asked for it"))
    with kept_memory():
        pass


def test_this_machine_takes_it() -> None:
    for _ in range(2):
        with kept_memory():
            assert len(bytearray(1 << 24)) == 1 << 24
