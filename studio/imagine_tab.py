"""Garments from words, for many visitors: one worker, a line before it, and the tab that shows both."""

from __future__ import annotations

import logging
import queue
import random
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape

import gradio as gr
from PIL import Image

from fedgai.imagine import CHIPS, LOWER, SEEDS, TEXT_LIMIT, Cancelled, ImagineError, Imaginer, Step, prompt
from studio import pieces
from studio.drawing import Garment, number
from studio.pieces import PLAIN

log = logging.getLogger(__name__)

MOST = 4  # pictures a request
WAITING = 6  # requests in line; whoever comes then is told so
POLL = 0.5  # s after which a listener looks up although nothing happened, so that a visitor who left is noticed
IDLE = {"phase": "idle", "text": "", "share": 0, "preview": ""}
LOST = ("No garment could be told from its background in this picture: choose another one, imagine it again with another seed, "
        "or switch the cut-out off.")  # fmt: skip
# a listener waits in our own line and not in Gradio's: ours says how long it will take
IMAGINING = {"concurrency_id": "imagining", "concurrency_limit": WAITING + 4}
INTRO = """Describe a garment, and a model (`{name}`) makes a photograph of it, here on this machine. The photograph then
becomes the garment above, to be drawn like any other; it is kept in memory while your page is open, and nowhere else."""
LICENCE = " The model is under [{0}]({1}), whose restrictions on use hold for you, too."


@dataclass
class Request:
    """What a visitor wants, and how far it has come. Written by the worker, read by the listener.

    Attributes:
        words, seed, pictures: as ``Darkroom.develop`` takes them.
        stop: set by whoever wants no more of it.
        phase: "waiting", "loading", "imagining", "done", "cancelled" or "failed".
        made: (seed, photograph), in order.
    """

    words: str
    seed: int
    pictures: int
    owner: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    news: queue.SimpleQueue = field(default_factory=queue.SimpleQueue)
    phase: str = "waiting"
    made: list[tuple[int, Image.Image]] = field(default_factory=list)
    step: int = 0
    steps: int = 0
    preview: Image.Image | None = None
    fetched: tuple[int, int] = (0, 0)  # bytes, of how many
    began: float = 0.0  # s, time.monotonic() when the picture or its last step began
    error: str = ""

    @property
    def over(self) -> bool:
        return self.phase in ("done", "cancelled", "failed")

    def turn(self, phase: str) -> None:
        self.phase = phase
        self.news.put(phase)


class Darkroom:
    """Pictures for all visitors from one pipeline, one after the other. Its thread ends when nobody waits.

    Args:
        imaginer: makes them; its weights are read at the first request, and after a failure again at the next.
    """

    def __init__(self, imaginer: Imaginer) -> None:
        self.imaginer = imaginer
        self._line: list[Request] = []  # the first is being worked on
        self._lock = threading.Lock()
        self._steps: deque[float] = deque(maxlen=16)  # s
        self._rest: deque[float] = deque(maxlen=8)  # s a picture takes besides its steps

    def develop(self, words: str, seed: int, pictures: int, owner: str = "") -> Iterator[Request]:
        """The request, again and again: whenever something happened, and every ``POLL`` seconds. Closing it cancels.

        Args:
            words: see ``Imaginer``.
            seed: of the first picture; each further one has the next.
            pictures: 1 to ``MOST``.
            owner: names the visitor, for ``cancel``; "" for nobody.

        Raises:
            ImagineError: too many wait already.
        """
        request = Request(words, seed, pictures, owner)
        with self._lock:
            if len(self._line) > WAITING:
                left = _about(self._left_of_all())
                raise ImagineError(f"{len(self._line)} others wait for pictures already{left}: try again when some are done.")
            self._line.append(request)
            if len(self._line) == 1:
                threading.Thread(target=self._work, name="imagine", daemon=True).start()
        try:
            while not request.over:
                yield request
                try:
                    request.news.get(timeout=POLL)
                    while True:  # only the latest counts
                        request.news.get_nowait()
                except queue.Empty:
                    pass
            yield request
        finally:
            self._drop(request)

    def cancel(self, owner: str) -> None:
        """Whatever this visitor asked for ends, what is being worked on after its denoising step."""
        with self._lock:
            own = [request for request in self._line if owner and request.owner == owner]
        for request in own:
            self._drop(request)

    def before(self, request: Request) -> int:
        """How many are served before it."""
        with self._lock:
            return self._line.index(request) if request in self._line else 0

    def picture(self) -> float | None:
        """Seconds that one takes on this machine; None before the first."""
        if not self._steps or not self._rest or not self.imaginer.steps:
            return None
        return self.imaginer.steps * statistics.median(self._steps) + statistics.median(self._rest)

    def step(self) -> float | None:
        """Seconds that a denoising step takes on this machine; None before the first."""
        return statistics.median(self._steps) if self._steps else None

    def left(self, request: Request) -> float | None:
        """Seconds until it is done, with all that is before it; None where that is not known yet."""
        with self._lock:
            line = self._line[: self._line.index(request) + 1] if request in self._line else []
            times = [self._left(r) for r in line]
        return None if None in times else sum(times)

    def _left_of_all(self) -> float | None:
        times = [self._left(request) for request in self._line]
        return None if None in times else sum(times)

    def _left(self, request: Request) -> float | None:
        step = self.step()
        if step is None:
            return None
        rest = statistics.median(self._rest) if self._rest else 0.0
        steps = request.steps or self.imaginer.steps or 1
        undone = steps * (request.pictures - len(request.made)) - request.step
        passed = min(time.monotonic() - request.began, step) if request.began and request.step < steps else 0.0
        return max(0.0, undone * step + rest * (request.pictures - len(request.made)) - passed)

    def _drop(self, request: Request) -> None:
        """Out of the line; what is being worked on the worker takes out itself, when it has stopped."""
        request.stop.set()
        with self._lock:
            if request in self._line[1:]:
                self._line.remove(request)
                request.turn("cancelled")

    def _work(self) -> None:
        while True:
            with self._lock:
                request = self._line[0]
            try:
                self._develop(request)
                phase = "done"
            except Cancelled:
                phase = "cancelled"
            except ImagineError as error:
                phase, request.error = "failed", str(error)
            except Exception as error:  # the next visitor's request must be served all the same
                log.exception("imagining failed")
                phase, request.error = "failed", f"This went wrong ({type(error).__name__}): try again, or with other words."
            with self._lock:
                self._line.pop(0)
                request.turn(phase)
                if not self._line:
                    return

    def _develop(self, request: Request) -> None:
        def goes_on() -> None:
            if request.stop.is_set():
                raise Cancelled

        def fetched(done: int, total: int) -> None:
            goes_on()
            request.fetched = (done, total)
            if request.news.empty():
                request.news.put("loading")

        goes_on()
        if not self.imaginer.loaded:
            request.turn("loading")
            self.imaginer.load(fetched)
        request.steps = self.imaginer.steps
        for seed in range(request.seed, request.seed + request.pictures):
            self._picture(request, seed % SEEDS, goes_on)

    def _picture(self, request: Request, seed: int, goes_on: Callable[[], None]) -> None:
        started = request.began = time.monotonic()
        request.step, spent = 0, []

        def stepped(step: Step) -> None:
            now = time.monotonic()
            goes_on()
            spent.append(now - request.began)
            self._steps.append(spent[-1])
            if step.number < step.of:  # after the last one comes the picture itself
                request.preview = step.preview()
            request.step, request.began = step.number, time.monotonic()
            request.turn("imagining")

        goes_on()
        request.turn("imagining")
        photo = self.imaginer(request.words, seed, stepped)
        self._rest.append(time.monotonic() - started - sum(spent))
        request.made.append((seed, photo))
        request.step, request.preview = 0, None


class Tab:
    """The listeners of the tab. Each turns a ValueError into a line in it."""

    def __init__(self, darkroom: Darkroom) -> None:
        self.darkroom = darkroom

    def words(self, chips: object, text: object) -> str:
        """What the model will read."""
        try:
            return escape(prompt(chips, text))
        except ValueError as error:
            return escape(str(error))

    def imagined(self, chips: object, text: object, seed: object, pictures: object, visitor: gr.Request) -> Iterator[tuple]:
        """-> progress, gallery, imagined garments, garment: the first picture becomes the garment at once."""
        try:
            words, first, count = wish(chips, text, seed, pictures)
            garments: list[Garment] = []
            for request in self.darkroom.develop(words, first, count, visitor.session_hash or ""):
                began, new = not garments, request.made[len(garments) :]
                garments = garments + [_garment(photo, words, number) for number, photo in new]
                if new or request.phase == "waiting":
                    gallery = _gallery(request.made)
                    yield self.progress(request), gallery, garments, garments[0] if began and new else gr.skip()
                else:
                    yield self.progress(request), *(gr.skip(),) * 3
        except ValueError as error:
            yield {**IDLE, "phase": "failed", "text": str(error)}, *(gr.skip(),) * 3

    def cancel(self, visitor: gr.Request) -> None:
        self.darkroom.cancel(visitor.session_hash or "")

    def chosen(self, garments: list[Garment], event: gr.EventData) -> Garment:
        return garments[event.choice] if event.choice in range(len(garments)) else gr.skip()

    def another(self) -> int:
        return random.randrange(SEEDS)

    def opened(self) -> tuple[int, dict]:
        """-> seed, progress."""
        return self.another(), self.forecast(1)

    def forecast(self, pictures: object) -> dict:
        """What the progress shows while nothing is under way."""
        return {**IDLE, "text": self._forecast(int(number(pictures, 1, MOST, "Variations")))}

    def progress(self, request: Request) -> dict:
        done, of = len(request.made), request.steps * request.pictures
        share, left = (done * request.steps + request.step) / of if of else 0, _about(self.darkroom.left(request))
        if request.phase == "waiting":
            before = self.darkroom.before(request)
            text = f"{before} {'request is' if before == 1 else 'requests are'} before yours{left}." if before else "It begins."
        elif request.phase == "loading":
            have, want = request.fetched
            share = have / want if want else 0
            size = f"{have / 1e6:,.0f} of {want / 1e6:,.0f} MB are here." if want else "Its weights are read."
            text = f"The first time, the model has to be loaded. {size}"
        elif request.phase == "imagining":
            text = f"Picture {done + 1} of {request.pictures}, step {request.step} of {request.steps}{left}."
        elif request.phase == "cancelled":
            text = f"Cancelled after {_pictures(done)}." if done else "Cancelled."
        elif request.phase == "failed":
            text = request.error
        else:
            other = "" if done == 1 else " Choose another one to draw that."
            which = "picture" if done == 1 else "first"
            text = f"The {which} is the garment above now.{other} {self._forecast(request.pictures)}"
        return {"phase": request.phase, "text": text, "share": share, "preview": _preview(request.preview)}

    def _forecast(self, pictures: int) -> str:
        """How long it will take, from what it took."""
        each, step = self.darkroom.picture(), self.darkroom.step()
        if each is None:
            return "How long a picture takes on this machine is known after the first one."
        takes = f"about {_duration(pictures * each)} on this machine, {step:.2g} s a denoising step."
        return f"{_pictures(pictures).capitalize()}: {takes}"


def wish(chips: object, text: object, seed: object, pictures: object) -> tuple[str, int, int]:
    """From what came over the wire: the words, the first seed, and how many pictures. Raises ValueError."""
    first = number(seed, 0, SEEDS - 1, "The seed")
    return prompt(chips, text), int(first), int(number(pictures, 1, MOST, "Variations"))


def tab(darkroom: Darkroom, current: gr.State, demo: gr.Blocks) -> None:
    """Within gr.Tab: what is in it, and its listeners, which put what is imagined into ``current``."""
    page, imaginer = Tab(darkroom), darkroom.imaginer
    legal = LICENCE.format(*imaginer.licence) if imaginer.licence else ""
    gr.Markdown(INTRO.format(name=imaginer.name) + legal)
    garments = gr.State([])
    with gr.Column(elem_id="imagine"):
        chips = pieces.chips(CHIPS, LOWER)
        text = gr.Textbox(label="In your own words", placeholder="with large patch pockets and horn buttons", lines=1,
                          max_lines=1, max_length=TEXT_LIMIT, elem_id="imagine-text")  # fmt: skip
        with gr.Row(elem_id="imagine-settings", equal_height=False):
            pictures = gr.Radio(list(range(1, MOST + 1)), value=1, label="Variations", elem_id="imagine-pictures")
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=SEEDS - 1, elem_id="imagine-seed")
            another = gr.Button("Another seed", elem_classes="act")
        words = gr.HTML("", html_template="<p>${value}</p>", elem_id="imagine-words", **PLAIN)
        with gr.Row(elem_id="imagine-now", equal_height=False):
            go = gr.Button("Imagine it", elem_classes="act", elem_id="imagine-go")
            progress = pieces.progress(page.forecast(1))
        gallery = pieces.picker("", "imagined", "studio.easel()")
    quick = {"api_visibility": "private", "show_progress": "hidden"}
    gr.on([chips.change, text.change], page.words, [chips, text], words, trigger_mode="always_last", **quick)
    another.click(page.another, None, seed, **quick)
    pictures.input(page.forecast, pictures, progress, **quick)
    gr.on(
        [go.click, text.submit], page.imagined, [chips, text, seed, pictures], [progress, gallery, garments, current],
        trigger_mode="once", **quick, **IMAGINING,
    )  # fmt: skip
    progress.click(page.cancel, None, None, **quick)
    gallery.select(page.chosen, garments, current, **quick)
    demo.load(page.opened, None, [seed, progress], **quick)


def _garment(photo: Image.Image, words: str, seed: int) -> Garment:
    jpeg = pieces.encoded(photo, "JPEG", quality=92)
    return Garment(jpeg, "Imagined garment", f"Imagined, with seed {seed}: {words}", lost=LOST)


def _gallery(made: list[tuple[int, Image.Image]]) -> str:
    return pieces.choices(
        (i, pieces.jpeg(photo, 320), f"Variation {i + 1}, seed {seed}", f"Seed {seed}") for i, (seed, photo) in enumerate(made)
    )


def _preview(picture: Image.Image | None) -> str:
    return "" if picture is None else pieces.jpeg(picture)


def _pictures(count: int) -> str:
    return "one picture" if count == 1 else f"{count} pictures"


def _duration(seconds: float) -> str:
    return f"{round(seconds / 60)} min" if seconds >= 90 else f"{max(1, round(seconds))} s"


def _about(seconds: float | None) -> str:
    return "" if seconds is None else f", about {_duration(seconds)} left"
