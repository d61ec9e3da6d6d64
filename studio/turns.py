"""Who is drawn for next: every address gets an equal share of this machine, and within it every session.

A visitor who asks for a lot waits for it; one who asks for a little is served in between. Work is cut into pieces (one
sketch, one photograph made ready), and the address that has had the fewest pixels so far gets the next free worker.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from fedgai.errors import FedGAIError

T = TypeVar("T")
PREPARING = 2**19  # preparing a photograph counts as so many pixels, in addition to those of its sketch


class BusyError(FedGAIError):
    """Too much work is running or waiting. The message is one sentence that says what to do."""


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        address: as ``federation.address.address_of`` gives it; several visitors may share one.
        session: of one page or program; "" where that is not known. Callers choose it themselves.
    """

    address: str
    session: str = ""


@dataclass(frozen=True)
class TurnLimits:
    """How much work may be running or waiting. At 512 px a sketch has 0.26 million pixels, a contact sheet 2.1 million.

    Attributes:
        address_pixels, address_jobs: of one address. About half a minute of drawing on two cores, and enough for a class
            of visitors behind one router.
        jobs: of all addresses together.
        workers: pieces that are worked on at the same time. One address never has all workers, so that the next visitor
            need not wait.
    """

    address_pixels: int = 32 * 2**20
    address_jobs: int = 48
    jobs: int = 200
    workers: int = 3


@dataclass
class _Ticket:
    """A piece of work that waits."""

    pixels: int
    turn: asyncio.Future[None]


@dataclass
class _Line:
    """The work of one address.

    Attributes:
        served: pixels drawn for it. It starts with the number of the address that was served least then.
        jobs, pixels: running or waiting.
        running: pieces that are worked on now.
        waiting: session -> its pieces; the first session is next.
    """

    served: float
    jobs: int = 0
    pixels: int = 0
    running: int = 0
    waiting: OrderedDict[str, deque[_Ticket]] = field(default_factory=OrderedDict)

    def pop(self) -> _Ticket:
        """The next piece; its session goes to the end of the line."""
        session, tickets = self.waiting.popitem(last=False)
        ticket = tickets.popleft()
        if tickets:
            self.waiting[session] = tickets
        return ticket

    def remove(self, session: str, ticket: _Ticket) -> None:
        """Remove a piece whose caller has left."""
        tickets = self.waiting.get(session, deque())
        with contextlib.suppress(ValueError):
            tickets.remove(ticket)
        if not tickets:
            self.waiting.pop(session, None)


class Turns:
    """Shares the workers out. Used within one event loop; the work itself runs in threads.

    Args:
        limits: see ``TurnLimits``.
    """

    def __init__(self, limits: TurnLimits = TurnLimits()) -> None:
        self.limits = limits
        self._lines: dict[str, _Line] = {}  # by address
        self._free = limits.workers
        self._threads = ThreadPoolExecutor(limits.workers, "drawing")

    @contextlib.asynccontextmanager
    async def job(self, caller: Caller, pixels: int) -> AsyncIterator[Job]:
        """Count a job of this caller for as long as the block runs.

        Args:
            pixels: of all that the job will draw.

        Raises:
            BusyError: too much is running or waiting, for this address or for all together.
        """
        least = min((line.served for line in self._lines.values()), default=0.0)
        line = self._lines.get(caller.address) or _Line(least)
        if sum(other.jobs for other in self._lines.values()) >= self.limits.jobs:
            raise BusyError("Many visitors are drawing at the moment: try again in a few seconds.")
        too_much = line.jobs > 0 and line.pixels + pixels > self.limits.address_pixels
        if too_much or line.jobs >= self.limits.address_jobs:
            raise BusyError("A lot is being drawn for your network already: try again when some of it is done.")
        self._lines[caller.address] = line
        line.jobs += 1
        line.pixels += pixels
        try:
            yield Job(self, caller)
        finally:
            line.jobs -= 1
            line.pixels -= pixels
            self._forget(caller.address)

    async def run(self, caller: Caller, pixels: int, work: Callable[[], T]) -> T:
        """One piece of work, in a worker's thread, when it is this caller's turn. For ``Job``."""
        loop = asyncio.get_running_loop()
        line, ticket = self._lines[caller.address], _Ticket(pixels, loop.create_future())
        line.waiting.setdefault(caller.session, deque()).append(ticket)
        self._give_turns()
        try:
            await ticket.turn
        except asyncio.CancelledError:
            if ticket.turn.cancelled():
                line.remove(caller.session, ticket)
            else:  # it was cancelled just after it got a worker
                self._done(caller.address)
            raise
        piece = loop.run_in_executor(self._threads, work)
        # only when the work has ended: a caller may have left, but the work still occupies its thread
        piece.add_done_callback(lambda _: self._done(caller.address))
        return await asyncio.shield(piece)

    def _give_turns(self) -> None:
        """Give free workers to the addresses that were served least."""
        most = max(1, self.limits.workers - 1)
        while self._free:
            ready = [line for line in self._lines.values() if line.waiting and line.running < most]
            if not ready:
                return
            line = min(ready, key=lambda line: (line.served, line.running))
            ticket = line.pop()
            if ticket.turn.done():  # cancelled, and not removed yet
                continue
            self._free -= 1
            line.running += 1
            line.served += ticket.pixels
            ticket.turn.set_result(None)

    def _done(self, address: str) -> None:
        self._free += 1
        self._lines[address].running -= 1
        self._forget(address)
        self._give_turns()

    def _forget(self, address: str) -> None:
        line = self._lines.get(address)
        if line is not None and not line.jobs and not line.running:
            del self._lines[address]


class Job:
    """A job of one caller: pieces of work that share its place in the line."""

    def __init__(self, turns: Turns, caller: Caller) -> None:
        self._turns, self._caller = turns, caller

    async def run(self, pixels: int, work: Callable[[], T]) -> T:
        """Run one piece of the job when it is this caller's turn. ``pixels``: how many it draws."""
        return await self._turns.run(self._caller, pixels, work)
