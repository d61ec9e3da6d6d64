"""Two pieces of work at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from fedgai.at_once import at_once


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
