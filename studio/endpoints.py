"""What programs may call by name. The docstrings are what the page's API documentation says."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image

from fedgai.content import Content, Paper
from fedgai.errors import FedGAIError, sentence
from fedgai.imagine import SEEDS
from fedgai.pipeline import LATTICES
from fedgai.vision.cutout import NoGarment
from fedgai.vision.repair import read_strokes
from studio.callers import caller_of
from studio.failures import SORRY, describe
from studio.imagine_queue import MOST_PICTURES, ImagineQueue
from studio.imagine_tab import ImagineTab, wish
from studio.pieces import photograph
from studio.sketching import NO_GARMENT, SIZES, Look, SketchStudio, StudioGarment
from studio.turns import PREPARING, Job, Turns
from studio.uploads import UploadFolder
from studio.vector import svg_of

log = logging.getLogger(__name__)

Photo = str | None  # as ``photograph`` gives it


class Endpoints:
    """The named endpoints.

    Args:
        studio: draws.
        turns: who is drawn for next.
        uploads: where photographs lie.
        queue: makes garments from words.
    """

    def __init__(self, studio: SketchStudio, turns: Turns, uploads: UploadFolder, queue: ImagineQueue) -> None:
        self.studio, self.turns, self.uploads, self.queue = studio, turns, uploads, queue

    async def sketch(
        self,
        visitor: gr.Request,
        photo: Photo,
        weights: dict[str, float],
        strength: float,
        detail: float,
        size: float,
        cutout: bool,
        paper: str,
        print: float = 0.0,
        mask: Photo = None,
    ) -> Image.Image:
        """Draw a garment photograph in a blend of designers: weights are {name: number from 0 to 1}, see /styles. Of a mask of
        your own, white is the garment; /cutout makes one."""
        with sentences():
            look = self.studio.look(weights, {"strength": strength, "detail": detail, "print": print}, size, cutout)
            async with self._content(visitor, photo, look, 1, mask) as (job, content):
                kind: Paper = "transparent" if paper == "transparent" else "white"
                return await job.run(look.pixels, partial(self.studio.draw, content, look, kind))

    async def svg(
        self,
        visitor: gr.Request,
        photo: Photo,
        weights: dict[str, float],
        strength: float,
        detail: float,
        size: float,
        cutout: bool,
        paper: str,
        print: float = 0.0,
        mask: Photo = None,
    ) -> str:
        """Draw as /sketch does, and trace the sketch: an SVG document, with a layer for each type of line."""
        with sentences():
            look = self.studio.look(weights, {"strength": strength, "detail": detail, "print": print}, size, cutout)
            async with self._content(visitor, photo, look, LATTICES, mask) as (job, content):
                kind: Paper = "transparent" if paper == "transparent" else "white"
                return await job.run(LATTICES * look.pixels, partial(svg_of, self.studio, content, look, "Sketch", kind))

    async def cutout(self, visitor: gr.Request, photo: Photo, strokes: list[dict[str, Any]], mask: Photo = None) -> Image.Image:
        """The garment's mask, white on black: as the studio finds it, or as it is given, repaired by strokes. A stroke is
        {"belongs": true or false, "radius": number, "points": [x, y, x, y, ...]}, in 4,096ths of the long side."""
        with sentences():
            garment = replace(self._garment(photo, mask), strokes=read_strokes(strokes))
            async with self.turns.job(caller_of(visitor), PREPARING) as job:
                cut = await job.run(PREPARING, partial(self.studio.now.cutout, garment))
            if cut.mask is None:
                raise NoGarment(NO_GARMENT)
            return Image.fromarray((255 * cut.mask + 0.5).astype("uint8"))

    def styles(self) -> list[dict[str, str]]:
        """The designers: name and description."""
        return [{"name": s.name, "description": s.description} for s in self.studio.now.styles.values()]

    async def contact_sheet(self, visitor: gr.Request, photo: Photo, size: float, cutout: bool) -> list[tuple[Image.Image, str]]:
        """Draw a garment photograph once in every designer's hand; the captions are their names."""
        with sentences():
            bank = self.studio.now
            look = bank.look(bank.first_look.weights, {}, size, cutout)
            async with self._content(visitor, photo, look, len(bank.styles)) as (job, content):
                found = []
                for name in bank.names:
                    sketch = await job.run(look.pixels, partial(bank.draw_alone, content, name))
                    found.append((sketch, name))
                return found

    async def blend_row(
        self, visitor: gr.Request, photo: Photo, a: str, b: str, size: float, cutout: bool
    ) -> list[tuple[Image.Image, str]]:
        """Draw a garment photograph in five steps from designer a to designer b; the captions are the blends."""
        with sentences():
            bank = self.studio.now
            look = bank.look(bank.first_look.weights, {}, size, cutout)
            blends = self.studio.blends(bank, a, b)
            async with self._content(visitor, photo, look, len(blends)) as (job, content):
                found = []
                for blend in blends:
                    step = Look(blend, bank=bank)
                    sketch = await job.run(look.pixels, partial(bank.draw, content, step))
                    found.append((sketch, step.caption))
                return found

    def imagine(
        self, visitor: gr.Request, chips: dict[str, str], text: str, seed: float, pictures: float
    ) -> Iterator[tuple[Any, Any]]:
        """Photographs of a garment from words, step by step; the captions are their seeds. To end it early, cancel the job."""
        with sentences():
            words, first, count = wish(chips, text, seed, pictures)
            shown, tab = 0, ImagineTab(self.queue, self.uploads)
            for request in self.queue.imagine(words, first, count, caller_of(visitor)):
                if request.phase == "failed":
                    raise FedGAIError(request.error)
                photos = [(photo, str(number)) for number, photo in request.made]
                new, shown = len(photos) > shown, len(photos)
                yield tab.progress(request) | {"prompt": words}, photos if new or request.over else gr.skip()

    def _garment(self, photo: Photo, mask: Photo) -> StudioGarment:
        """Raises FedGAIError."""
        if photo is None:
            raise FedGAIError("Send a photograph.")
        return StudioGarment(self.uploads.photo(photo), mask=None if mask is None else self.uploads.photo(mask))

    @contextlib.asynccontextmanager
    async def _content(
        self, visitor: gr.Request, photo: Photo, look: Look, sketches: int, mask: Photo = None
    ) -> AsyncIterator[tuple[Job, Content]]:
        """The photograph made ready, and the job within which so many sketches of it are drawn."""
        garment = self._garment(photo, mask)
        if garment.mask is not None and not look.cutout:
            raise FedGAIError("A mask says what to cut out: leave it out, or switch the cut-out on.")
        async with self.turns.job(caller_of(visitor), PREPARING + sketches * look.pixels) as job:
            content = await job.run(PREPARING, partial(self.studio.content, garment, look))
            if look.cutout and content.mask is None:
                raise NoGarment(NO_GARMENT)
            yield job, content


def build_endpoints(endpoints: Endpoints) -> None:
    """Within gr.Blocks. Hidden components say the types."""
    bank = endpoints.studio.now
    with gr.Column(visible=False):
        photo = photograph(label="photo")
        weights = gr.JSON(dict(bank.first_look.weights), label="weights")
        strength = gr.Number(1.0, label="strength, 0 to 1.5")
        detail = gr.Number(1.0, label="line detail, 0.05 to 1")
        size = gr.Number(512, label=f"long side in px, {SIZES[0]} to {SIZES[-1]}")
        cutout = gr.Checkbox(True, label="cut the garment out of its background")
        mask = photograph(label="your own mask, if any: white is the garment")
        strokes = gr.JSON([], label="strokes that repair the mask")
        paper = gr.Radio(["white", "transparent"], value="white", label="paper")
        amount = gr.Number(0.0, label="how much of a print is drawn, 0 to 1")
        a = gr.Textbox(bank.names[0], label="from this designer")
        b = gr.Textbox(bank.names[-1], label="to this designer")
        sketch = gr.Image(type="pil", image_mode=None, format="png", label="sketch")
        cut = gr.Image(type="pil", image_mode=None, format="png", label="mask")
        document = gr.Textbox(label="SVG document")
        sketches = gr.Gallery(format="png", label="sketches")
        styles = gr.JSON(label="styles")
        chips = gr.JSON({"category": "coat", "fabric": "wool"}, label="chips")
        text = gr.Textbox("", label="further words")
        seed = gr.Number(0, label=f"seed, 0 to {SEEDS - 1}")
        pictures = gr.Number(1, label=f"variations, 1 to {MOST_PICTURES}; each further one has the next seed")
        progress = gr.JSON(label="progress")
        photographs = gr.Gallery(format="png", label="photographs")
        button = gr.Button()
    drawing = [photo, weights, strength, detail, size, cutout, paper, amount, mask]
    button.click(endpoints.sketch, drawing, sketch, api_name="sketch")
    button.click(endpoints.svg, drawing, document, api_name="svg")
    button.click(endpoints.cutout, [photo, strokes, mask], cut, api_name="cutout")
    button.click(endpoints.styles, None, styles, api_name="styles")
    button.click(endpoints.contact_sheet, [photo, size, cutout], sketches, api_name="contact_sheet")
    button.click(endpoints.blend_row, [photo, a, b, size, cutout], sketches, api_name="blend_row")
    button.click(endpoints.imagine, [chips, text, seed, pictures], [progress, photographs], api_name="imagine")


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """A FedGAIError's sentence goes to the caller; of any other error the caller learns that it is ours, and the log where."""
    try:
        yield
    except FedGAIError as error:
        raise gr.Error(sentence(error), print_exception=False) from error
    except GeneratorExit:
        raise
    except Exception as error:
        log.error("an endpoint failed: %s", describe(error))
        raise gr.Error(SORRY, print_exception=False) from error
