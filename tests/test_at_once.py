"""Two pieces of work at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from fedgai.at_once import a_core_each, at_once


@pytest.fixture(params=[1, 2], ids=["one-thread", "two-threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def failing(error: Exception) -> None:
    raise error


def test_what_both_return_comes_in_order(threads: int) -> None:
    assert at_once(lambda: "first", lambda: 2) == ("first", 2)


def test_the_second_runs_beside_the_first_where_torch_has_two_threads(threads: int) -> None:
    met = threading.Event()
    first, second = at_once(lambda: met.wait(10 if threads == 2 else 0), lambda: (met.set(), threading.current_thread())[1])
    assert first is (threads == 2)
    assert (second is threading.current_thread()) is (threads == 1)


def test_errors_come_out_and_no_thread_is_left(threads: int) -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="first"):
        at_once(lambda: failing(ValueError("first")), lambda: failing(KeyError("second")))
    with pytest.raises(KeyError, match="second"):
        at_once(lambda: 1, lambda: failing(KeyError("second")))
    assert threading.active_count() == before


def test_each_core_has_pieces_of_its_own(threads: int) -> None:
    def piece(number: int) -> tuple[int, int, str]:
        return number, torch.get_num_threads(), threading.current_thread().name

    with a_core_each() as cores:
        found = cores.run([lambda number=number: piece(number) for number in range(5)])
        here = threading.current_thread().name
        other = found[1][2]
        assert cores.count == threads and (other == here) is (threads == 1)
        assert found == [(number, 1, other if number % 2 else here) for number in range(5)]
    assert torch.get_num_threads() == threads


def test_a_pieces_error_comes_out_when_the_other_core_is_done(threads: int) -> None:
    before, done = threading.active_count(), []
    with a_core_each() as cores:
        with pytest.raises(ValueError, match="first"):
            cores.run([lambda: failing(ValueError("first")), lambda: done.append(1)])
        assert len(done) == threads - 1
        with pytest.raises(KeyError, match="second"):
            cores.run([lambda: None, lambda: failing(KeyError("second"))])
    assert threading.active_count() == before and torch.get_num_threads() == threads
