"""Garments from words, for many visitors: one worker, and a waiting line that no single address can fill."""

from __future__ import annotations

import logging
import queue
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image

from fedgai.imagine import SEEDS, Cancelled, ImagineError, Imaginer, Step
from studio.failures import describe
from studio.turns import BusyError, Caller

log = logging.getLogger(__name__)

MOST_PICTURES = 4  # in a request
MOST_WAITING = 6  # requests in line behind the one that is worked on; later visitors get a message
MOST_OF_ONE = 3  # requests of one address
POLL_SECONDS = 0.5  # after which a listener looks up although nothing happened, so that a visitor who left is noticed
NO_MODEL = (
    "This studio has no model that makes garments from words at the moment. Bring a photograph, or choose one of the "
    "examples. The people who run the studio can find the reason in its log."
)
FAILED = "The picture could not be made: try again, or with other words."
NOBODY = Caller("", "")


@dataclass(eq=False)
class Request:
    """What a visitor wants, and how far it has come. Written by the worker, read by the listener.

    Attributes:
        words, seed, pictures: as ``ImagineQueue.imagine`` takes them.
        caller: who asks.
        stop: set by the caller to cancel it.
        phase: "waiting", "loading", "imagining", "done", "cancelled" or "failed".
        made: the finished pictures, in order: (seed, picture).
        step, steps: denoising steps of the picture in the making: done, and in all.
        fetched: bytes of the weights that were downloaded, and bytes in all.
        began: when the picture or its last step began, monotonic seconds.
        error: one sentence for the visitor.
    """

    words: str
    seed: int
    pictures: int
    caller: Caller = NOBODY
    stop: threading.Event = field(default_factory=threading.Event)
    news: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    phase: str = "waiting"
    made: list[tuple[int, Image.Image]] = field(default_factory=list)
    step: int = 0
    steps: int = 0
    preview: Image.Image | None = None
    fetched: tuple[int, int] = (0, 0)
    began: float = 0.0
    error: str = ""

    @property
    def over(self) -> bool:
        return self.phase in ("done", "cancelled", "failed")

    def turn(self, phase: str) -> None:
        self.phase = phase
        self.news.put(phase)


class Pace:
    """How long pictures take on this machine, estimated from those made so far."""

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=16)  # s
        self._rest: deque[float] = deque(maxlen=8)  # s a picture takes besides its steps

    @property
    def step(self) -> float | None:
        """Seconds of a denoising step; None before the first."""
        return statistics.median(self._steps) if self._steps else None

    @property
    def rest(self) -> float:
        """Seconds of a picture besides its steps."""
        return statistics.median(self._rest) if self._rest else 0.0

    def picture(self, steps: int | None) -> float | None:
        """Seconds of a picture with so many steps; None before the first."""
        if self.step is None or not self._rest or not steps:
            return None
        return steps * self.step + self.rest

    def add_step(self, seconds: float) -> None:
        self._steps.append(seconds)

    def add_rest(self, seconds: float) -> None:
        self._rest.append(seconds)

    def left(self, request: Request, steps: int | None) -> float | None:
        """Seconds until this request is done, once it is its turn; None where that is not known yet."""
        if self.step is None:
            return None
        per_picture = request.steps or steps or 1
        undone = per_picture * (request.pictures - len(request.made)) - request.step
        passed = min(time.monotonic() - request.began, self.step) if request.began and request.step < per_picture else 0.0
        return max(0.0, undone * self.step + self.rest * (request.pictures - len(request.made)) - passed)


class ImagineQueue:
    """Pictures for all visitors from one pipeline, one after the other. Its thread ends when nobody waits.

    Args:
        imaginer: makes the pictures. Its weights are loaded at the first request; after a failure, again at the next.
    """

    def __init__(self, imaginer: Imaginer) -> None:
        self.imaginer, self.pace = imaginer, Pace()
        self._line: list[Request] = []  # the first is being worked on
        self._lock = threading.Lock()

    def imagine(self, words: str, seed: int, pictures: int, caller: Caller = NOBODY) -> Iterator[Request]:
        """The request, again and again: whenever something happened, and every ``POLL_SECONDS``. Closing it cancels.

        Args:
            words: see ``Imaginer``.
            seed: of the first picture; each further one has the next.
            pictures: 1 to ``MOST_PICTURES``.
            caller: the visitor, for ``cancel`` and for sharing the line out.

        Raises:
            BusyError: too many wait already, or too many of this address.
        """
        request = Request(words, seed, pictures, caller)
        self._join(request)
        try:
            while not request.over:
                yield request
                try:
                    request.news.get(timeout=POLL_SECONDS)
                    while True:  # only the latest counts
                        request.news.get_nowait()
                except queue.Empty:
                    pass
            yield request
        finally:
            self._drop(request)

    def cancel(self, caller: Caller) -> None:
        """Cancel all requests of this visitor. The one that is being worked on ends after its denoising step."""
        with self._lock:
            own = [request for request in self._line if caller.session and request.caller == caller]
        for request in own:
            self._drop(request)

    def before(self, request: Request) -> int:
        """How many requests are served before this one."""
        with self._lock:
            return self._line.index(request) if request in self._line else 0

    def left(self, request: Request) -> float | None:
        """Seconds until it is done, with all that is before it; None where that is not known yet."""
        with self._lock:
            line = self._line[: self._line.index(request) + 1] if request in self._line else []
            return self._sum(line)

    def _sum(self, line: list[Request]) -> float | None:
        total = 0.0
        for request in line:
            seconds = self.pace.left(request, self.imaginer.steps)
            if seconds is None:
                return None
            total += seconds
        return total

    def _join(self, request: Request) -> None:
        """Put a request into the line: everybody's first request comes before anybody's second one."""
        with self._lock:
            own = sum(other.caller.address == request.caller.address for other in self._line)
            if request.caller.address and own >= MOST_OF_ONE:
                raise BusyError(f"{own} requests of your network wait already: try again when one of them is done.")
            if len(self._line) > MOST_WAITING:
                left = about(self._sum(self._line))
                raise BusyError(f"{len(self._line)} others wait for pictures already{left}: try again when some are done.")
            self._line.insert(self._place(request, own), request)
            if len(self._line) == 1:
                threading.Thread(target=self._work, name="imagine", daemon=True).start()

    def _place(self, request: Request, own: int) -> int:
        """Its place in the line: behind everybody's first ``own + 1`` requests, never before the one that is worked on."""
        counts: dict[str, int] = {}
        place = 0
        for index, other in enumerate(self._line):
            counts[other.caller.address] = counts.get(other.caller.address, 0) + 1
            if index == 0 or counts[other.caller.address] <= own + 1 or not request.caller.address:
                place = index + 1
        return place

    def _drop(self, request: Request) -> None:
        """Take a request out of the line. The worker itself removes the one that it works on, after it has stopped."""
        request.stop.set()
        with self._lock:
            if request in self._line[1:]:
                self._line.remove(request)
                request.turn("cancelled")

    def _work(self) -> None:
        while True:
            with self._lock:
                request = self._line[0]
            phase = self._serve(request)
            with self._lock:
                self._line.pop(0)
                request.turn(phase)
                if not self._line:
                    return

    def _serve(self, request: Request) -> str:
        """Make what was asked for. Returns the phase that it ends in; the next visitor is served whatever happens."""
        try:
            self._load(request)
            request.steps = self.imaginer.steps or 1
            for seed in range(request.seed, request.seed + request.pictures):
                self._picture(request, seed % SEEDS)
        except Cancelled:
            return "cancelled"
        except ImagineError as error:
            request.error = str(error)
            return "failed"
        except Exception as error:
            log.error("imagining failed: %s", describe(error))
            request.error = FAILED
            return "failed"
        return "done"

    def _load(self, request: Request) -> None:
        """Have the weights ready. If something is wrong with them, the log says what, and the visitor reads what to do."""

        def fetched(done: int, total: int) -> None:
            self._go_on(request)
            request.fetched = (done, total)
            if request.news.empty():
                request.news.put("loading")

        self._go_on(request)
        if self.imaginer.loaded:
            return
        request.turn("loading")
        try:
            self.imaginer.load(fetched)
        except ImagineError as error:
            log.warning("%s", error)
            raise ImagineError(NO_MODEL) from error

    def _picture(self, request: Request, seed: int) -> None:
        started = request.began = time.monotonic()
        request.step, spent = 0, [0.0]

        def stepped(step: Step) -> None:
            now = time.monotonic()
            self._go_on(request)
            spent.append(now - request.began)
            self.pace.add_step(spent[-1])
            if step.number < step.total:  # after the last one comes the picture itself
                request.preview = step.preview()
            request.step, request.began = step.number, time.monotonic()
            request.turn("imagining")

        self._go_on(request)
        request.turn("imagining")
        photo = self.imaginer(request.words, seed, stepped)
        self.pace.add_rest(time.monotonic() - started - sum(spent))
        request.made.append((seed, photo))
        request.step, request.preview = 0, None

    @staticmethod
    def _go_on(request: Request) -> None:
        if request.stop.is_set():
            raise Cancelled


def duration(seconds: float) -> str:
    """For people: "12 s", "3 min"."""
    return f"{round(seconds / 60)} min" if seconds >= 90 else f"{max(1, round(seconds))} s"


def about(seconds: float | None) -> str:
    """ ", about 12 s left", or nothing where that is not known."""
    return "" if seconds is None else f", about {duration(seconds)} left"
