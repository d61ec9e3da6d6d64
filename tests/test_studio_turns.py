"""Who is drawn for next: fairness between addresses and sessions, and the bounds on what one may have under way."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from helpers.studio_server import PATIENCE

pytest.importorskip("studio.without_stubs")

from fedgai.vision.decoders import PROCESSES
from studio.turns import BusyError, Caller, TurnLimits, Turns

ADA, BEN = Caller("192.0.2.1", "ada"), Caller("192.0.2.2", "ben")


class Bench:
    """Work that ends when the test says so, and who was served in which order."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.go = threading.Semaphore(0)

    def piece(self, name: str) -> Callable[[], str]:
        def work() -> str:
            self.order.append(name)
            assert self.go.acquire(timeout=PATIENCE)
            return name

        return work


def run(play: Coroutine[Any, Any, None]) -> None:
    """In a thread: Playwright's synchronous side has a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, play).result()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(round(100 * PATIENCE)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


async def visit(turns: Turns, bench: Bench, caller: Caller, name: str, pieces: int, pixels: int = 100) -> list[str]:
    async with turns.job(caller, pieces * pixels) as job:
        return [await job.run(pixels, bench.piece(name)) for _ in range(pieces)]


def test_a_newcomer_is_served_before_a_flood() -> None:
    async def play() -> None:
        turns, bench = Turns(TurnLimits(workers=3)), Bench()
        flood = [asyncio.create_task(visit(turns, bench, ADA, "flood", 8)) for _ in range(12)]
        await until(lambda: len(bench.order) == 2)  # never all three workers
        newcomer = asyncio.create_task(visit(turns, bench, BEN, "newcomer", 1))
        await until(lambda: "newcomer" in bench.order)
        assert bench.order == ["flood", "flood", "newcomer"]
        bench.go.release(1000)
        assert await newcomer == ["newcomer"]
        assert sum(len(pieces) for pieces in await asyncio.gather(*flood)) == 96
        assert not turns._lines and turns._free == 3  # nothing is kept of those who have gone

    run(play())


def test_addresses_share_by_pixels_and_sessions_by_turns() -> None:
    async def play() -> None:
        turns, bench = Turns(TurnLimits(workers=1)), Bench()
        first = asyncio.create_task(visit(turns, bench, Caller("192.0.2.9"), "first", 1))
        await until(lambda: bench.order == ["first"])
        large = [asyncio.create_task(visit(turns, bench, ADA, "large", 1, 400)) for _ in range(8)]
        small = [asyncio.create_task(visit(turns, bench, BEN, "small", 1)) for _ in range(32)]
        other = [asyncio.create_task(visit(turns, bench, Caller(BEN.address, "cleo"), "cleo", 1)) for _ in range(8)]
        await asyncio.sleep(0.05)
        bench.go.release(1000)
        await asyncio.gather(first, *large, *small, *other)
        begun = Counter(bench.order[1:21])  # of 400 pixels each: the same number of pixels for both addresses
        assert begun["large"] == 4 and begun["small"] == begun["cleo"] == 8

    run(play())


def test_what_one_address_may_have_under_way() -> None:
    async def play() -> None:
        turns, bench = Turns(TurnLimits(address_pixels=1000, address_jobs=5, jobs=7, workers=2)), Bench()
        under_way = [asyncio.create_task(visit(turns, bench, ADA, "a", 1, 400)) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(BusyError, match="your network"):
            await visit(turns, bench, Caller(ADA.address, "another"), "a", 1, 400)
        under_way += [asyncio.create_task(visit(turns, bench, ADA, "a", 1, 50)) for _ in range(3)]
        await asyncio.sleep(0.01)
        with pytest.raises(BusyError, match="your network"):  # small ones are counted, too
            await visit(turns, bench, ADA, "a", 1, 1)
        under_way += [asyncio.create_task(visit(turns, bench, BEN, "b", 1, 5000)) for _ in range(1)]  # one of any size
        under_way += [asyncio.create_task(visit(turns, bench, Caller("192.0.2.3"), "c", 1))]
        await asyncio.sleep(0.01)
        with pytest.raises(BusyError, match="Many visitors"):
            await visit(turns, bench, Caller("192.0.2.4"), "d", 1)
        bench.go.release(100)
        await asyncio.gather(*under_way)
        assert await visit(turns, bench, ADA, "a", 2, 400) == ["a", "a"]

    run(play())


def test_who_leaves_frees_the_place() -> None:
    async def play() -> None:
        turns, bench = Turns(TurnLimits(workers=2)), Bench()
        running = asyncio.create_task(visit(turns, bench, ADA, "running", 3))
        waiting = [asyncio.create_task(visit(turns, bench, ADA, "waiting", 1)) for _ in range(3)]
        await until(lambda: bench.order == ["running"])
        for task in (running, waiting[0]):
            task.cancel()
        await asyncio.sleep(0.01)
        assert turns._free == 1 and bench.order == ["running"]  # the thread is still at it
        bench.go.release(100)
        assert await asyncio.gather(*waiting[1:]) == [["waiting"]] * 2
        await until(lambda: turns._free == 2)
        assert not turns._lines

    run(play())


def test_an_error_of_the_work_comes_out() -> None:
    async def play() -> None:
        turns = Turns()
        with pytest.raises(ZeroDivisionError):
            async with turns.job(ADA, 1) as job:
                await job.run(1, lambda: 1 // 0)
        await until(lambda: not turns._lines)

    run(play())


def test_costly_pictures_of_one_visitor_leave_a_decoder_to_the_next() -> None:
    """Of the workers, one address has all but one; each of those may hold a decoding process for seconds."""
    assert TurnLimits().workers <= PROCESSES
