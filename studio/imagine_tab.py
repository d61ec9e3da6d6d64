"""The tab where a garment is described, and the listeners behind it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, cast

import gradio as gr
from PIL import Image

from fedgai.errors import FedGAIError, sentence
from fedgai.imagine import CHIPS, LOWER, SEEDS, TEXT_LIMIT, prompt
from studio import pictures, pieces
from studio.callers import caller_of
from studio.imagine_queue import MOST_PICTURES, ImagineQueue, Request, about, duration
from studio.sketching import StudioGarment, number
from studio.templating import escaped
from studio.uploads import UploadFolder

Progress = dict[str, Any]
IDLE: Progress = {"phase": "idle", "text": "", "share": 0, "preview": ""}
LOST = (
    "No garment could be found in this picture: choose another one, imagine it again with another seed, "
    "or switch the cut-out off."
)
INTRO = """Describe a garment. A model (`{name}`) on this machine makes a photograph of it. That photograph becomes the garment
above, and the studio draws it like any other. It is deleted after about an hour, like your own photographs."""
LICENCE = " The model's licence is [{0}]({1}). Its limits on use apply to you, too."


class ImagineTab:
    """The listeners of the tab. Each turns a FedGAIError into a line in it.

    Args:
        queue: makes the pictures.
        uploads: where they are kept.
    """

    def __init__(self, queue: ImagineQueue, uploads: UploadFolder) -> None:
        self.queue, self.uploads = queue, uploads

    def words(self, chips: object, text: object) -> str:
        """What the model will read; HTML."""
        try:
            return escaped(_prompt(chips, text))
        except FedGAIError as error:
            return escaped(sentence(error))

    def imagined(
        self, chips: object, text: object, seed: object, count: object, visitor: gr.Request
    ) -> Iterator[tuple[Any, Any, Any, Any]]:
        """-> progress, gallery, imagined garments, garment: the first picture becomes the garment at once."""
        try:
            words, first, many = wish(chips, text, seed, count)
            garments: list[StudioGarment] = []
            for request in self.queue.imagine(words, first, many, caller_of(visitor)):
                began, new = not garments, request.made[len(garments) :]
                garments = garments + [self._garment(photo, words, number) for number, photo in new]
                if new or request.phase == "waiting":
                    chosen = garments[0] if began and new else gr.skip()
                    yield self.progress(request), _gallery(request.made), garments, chosen
                else:
                    yield self.progress(request), *(gr.skip(),) * 3
        except FedGAIError as error:
            yield {**IDLE, "phase": "failed", "text": sentence(error)}, *(gr.skip(),) * 3

    def cancel(self, visitor: gr.Request) -> None:
        self.queue.cancel(caller_of(visitor))

    def chosen(self, garments: list[StudioGarment], event: gr.EventData) -> Any:
        choice = getattr(event, "choice", None)
        return garments[choice] if isinstance(choice, int) and 0 <= choice < len(garments) else gr.skip()

    def another(self) -> int:
        """A seed."""
        return random.randrange(SEEDS)

    def opened(self) -> tuple[int, Progress]:
        """-> seed, progress."""
        return self.another(), self.forecast(1)

    def forecast(self, count: object) -> Progress:
        """What the progress shows while nothing is under way."""
        try:
            return {**IDLE, "text": self._forecast(int(number(count, 1, MOST_PICTURES, "Variations")))}
        except FedGAIError as error:
            return {**IDLE, "phase": "failed", "text": sentence(error)}

    def progress(self, request: Request) -> Progress:
        """What the progress shows while this request is under way."""
        done, of = len(request.made), request.steps * request.pictures
        share = (done * request.steps + request.step) / of if of else 0.0
        if request.phase == "loading" and request.fetched[1]:
            share = request.fetched[0] / request.fetched[1]
        preview = "" if request.preview is None else pictures.jpeg(request.preview)
        return {"phase": request.phase, "text": self._line(request), "share": share, "preview": preview}

    def _line(self, request: Request) -> str:
        """Where it stands, in words."""
        done, left = len(request.made), about(self.queue.left(request))
        match request.phase:
            case "waiting":
                before = self.queue.before(request)
                others = "request is" if before == 1 else "requests are"
                return f"{before} {others} before yours{left}." if before else "It begins."
            case "loading":
                have, want = request.fetched
                size = f"{have / 1e6:,.0f} of {want / 1e6:,.0f} MB are here." if want else "Its weights are read."
                return f"The first time, the model has to be loaded. {size}"
            case "imagining":
                return f"Picture {done + 1} of {request.pictures}, step {request.step} of {request.steps}{left}."
            case "cancelled":
                return f"Cancelled after {_pictures(done)}." if done else "Cancelled."
            case "failed":
                return request.error
            case _:
                other = "" if done == 1 else " Choose another one to draw that."
                which = "picture" if done == 1 else "first"
                return f"The {which} is the garment above now.{other} {self._forecast(request.pictures)}"

    def _forecast(self, count: int) -> str:
        """How long it will take, from what it took."""
        pace = self.queue.pace
        each, step = pace.picture(self.queue.imaginer.steps), pace.step
        if each is None or step is None:
            return "How long a picture takes on this machine is known after the first one."
        takes = f"about {duration(count * each)} on this machine, {step:.2g} s a denoising step."
        return f"{_pictures(count).capitalize()}: {takes}"

    def _garment(self, photo: Image.Image, words: str, seed: int) -> StudioGarment:
        """Keep it as a file, like what a visitor sends."""
        file = self.uploads.save(pictures.encoded(photo, "JPEG", quality=92), ".jpg")
        return StudioGarment(file, "Imagined garment", f"Imagined, with seed {seed}: {words}", lost=LOST)


def wish(chips: object, text: object, seed: object, count: object) -> tuple[str, int, int]:
    """From what came over the wire: the words, the first seed, and how many pictures. Raises FedGAIError."""
    first = number(seed, 0, SEEDS - 1, "The seed")
    words = _prompt(chips, text)
    return words, int(first), int(number(count, 1, MOST_PICTURES, "Variations"))


def _prompt(chips: object, text: object) -> str:
    """What the model reads; ``prompt`` checks the chips itself. Raises ImagineError."""
    return prompt(cast("Mapping[str, str]", chips), text if isinstance(text, str) else "")


def build_tab(queue: ImagineQueue, uploads: UploadFolder, current: gr.State, demo: gr.Blocks) -> None:
    """Within gr.Tab: what is in it, and its listeners, which put what is imagined into ``current``."""
    page, imaginer = ImagineTab(queue, uploads), queue.imaginer
    legal = LICENCE.format(*imaginer.licence) if imaginer.licence else ""
    gr.Markdown(INTRO.format(name=imaginer.name) + legal)
    garments = gr.State([])
    with gr.Column(elem_id="imagine"):
        chips = pieces.chips(CHIPS, LOWER)
        text = gr.Textbox(
            label="In your own words",
            placeholder="with large patch pockets and horn buttons",
            lines=1,
            max_lines=1,
            max_length=TEXT_LIMIT,
            elem_id="imagine-text",
        )
        with gr.Row(elem_id="imagine-settings", equal_height=False):
            count = gr.Radio(list(range(1, MOST_PICTURES + 1)), value=1, label="Variations", elem_id="imagine-pictures")
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=SEEDS - 1, elem_id="imagine-seed")
            another = gr.Button("Another seed", elem_classes="act")
        words = gr.HTML("", html_template="<p>${value}</p>", elem_id="imagine-words", **pieces.PLAIN)
        with gr.Row(elem_id="imagine-now", equal_height=False):
            go = gr.Button("Imagine it", elem_classes="act", elem_id="imagine-go")
            progress = pieces.progress(page.forecast(1))
        gallery = pieces.picker("", "imagined", "studio.show('#bench')")
    quick: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    gr.on([chips.change, text.change], page.words, [chips, text], words, trigger_mode="always_last", **quick)
    another.click(page.another, None, seed, **quick)
    count.input(page.forecast, count, progress, trigger_mode="always_last", **quick)
    gr.on(
        [go.click, text.submit],
        page.imagined,
        [chips, text, seed, count],
        [progress, gallery, garments, current],
        trigger_mode="once",
        **quick,
    )
    progress.click(page.cancel, None, None, **quick)
    gallery.select(page.chosen, garments, current, trigger_mode="multiple", **quick)  # each with its own EventData
    demo.load(page.opened, None, [seed, progress], **quick)


def _gallery(made: list[tuple[int, Image.Image]]) -> str:
    return pieces.choices(
        pieces.Choice(i, pictures.jpeg(photo, 320), f"Variation {i + 1}, seed {seed}", f"Seed {seed}")
        for i, (seed, photo) in enumerate(made)
    )


def _pictures(count: int) -> str:
    return "one picture" if count == 1 else f"{count} pictures"
