"""What programs may call by name. The docstrings are what the page's API documentation says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr
from PIL import Image

from fedgai.imagine import SEEDS
from fedgai.pipeline import Content
from studio.drawing import SIZES, Garment, Look, Studio
from studio.imagine_tab import IMAGINING, MOST, Darkroom, Tab, wish
from studio.pieces import photograph

# one draws while the others cut out; the page's own listeners share this
DRAWING = {"concurrency_id": "drawing", "concurrency_limit": 4}

Photo = str | bytes | None


def endpoints(studio: Studio, darkroom: Darkroom) -> None:
    """Within gr.Blocks. Hidden components say the types, and have Gradio check where a file comes from."""
    programs, look = Programs(studio, darkroom), studio.first_look
    with gr.Column(visible=False):
        photo = photograph(label="photo")
        weights = gr.JSON(dict(look.weights), label="weights")
        strength = gr.Number(1.0, label="strength, 0 to 1.5")
        detail = gr.Number(1.0, label="line detail, 0.05 to 1")
        size = gr.Number(512, label=f"long side in px, {SIZES[0]} to {SIZES[-1]}")
        cutout = gr.Checkbox(True, label="cut the garment out of its background")
        paper = gr.Radio(["white", "transparent"], value="white", label="paper")
        a = gr.Textbox(studio.names[0], label="from this designer")
        b = gr.Textbox(studio.names[-1], label="to this designer")
        sketch = gr.Image(type="pil", image_mode=None, format="png", label="sketch")
        sketches = gr.Gallery(format="png", label="sketches")
        styles = gr.JSON(label="styles")
        chips = gr.JSON({"category": "coat", "fabric": "wool"}, label="chips")
        text = gr.Textbox("", label="further words")
        seed = gr.Number(0, label=f"seed, 0 to {SEEDS - 1}")
        pictures = gr.Number(1, label=f"variations, 1 to {MOST}; each further one has the next seed")
        progress = gr.JSON(label="progress")
        photographs = gr.Gallery(format="png", label="photographs")
        button = gr.Button()
    inputs = [photo, weights, strength, detail, size, cutout, paper]
    button.click(programs.sketch, inputs, sketch, api_name="sketch", **DRAWING)
    button.click(programs.styles, None, styles, api_name="styles")
    button.click(programs.contact_sheet, [photo, size, cutout], sketches, api_name="contact_sheet", **DRAWING)
    button.click(programs.blend_row, [photo, a, b, size, cutout], sketches, api_name="blend_row", **DRAWING)
    button.click(programs.imagine, [chips, text, seed, pictures], [progress, photographs], api_name="imagine", **IMAGINING)


class Programs:
    """The named endpoints."""

    def __init__(self, studio: Studio, darkroom: Darkroom) -> None:
        self.studio, self.darkroom = studio, darkroom

    def sketch(
        self, photo: Photo, weights: dict, strength: float, detail: float, size: float, cutout: bool, paper: str
    ) -> Image.Image:
        """Draw a garment photograph in a blend of designers: weights are {name: number from 0 to 1}, see /styles."""
        with sentences():
            look = self.studio.look(weights, {"strength": strength, "detail": detail}, size, cutout)
            return self.studio.draw(self._content(photo, look), look, paper)

    def styles(self) -> list[dict[str, str]]:
        """The designers: name and description."""
        return [{"name": s.name, "description": s.description} for s in self.studio.pipeline.styles.values()]

    def contact_sheet(self, photo: Photo, size: float, cutout: bool) -> list[tuple[Image.Image, str]]:
        """Draw a garment photograph once in every designer's hand; the captions are their names."""
        with sentences():
            look = self._plain(size, cutout)
            return [(s, next(iter(w))) for w, s in self.studio.contact_sheet(self._content(photo, look))]

    def blend_row(self, photo: Photo, a: str, b: str, size: float, cutout: bool) -> list[tuple[Image.Image, str]]:
        """Draw a garment photograph in five steps from designer a to designer b; the captions are the blends."""
        with sentences():
            look = self._plain(size, cutout)
            return [(s, Look(w).caption) for w, s in self.studio.blend_row(self._content(photo, look), a, b)]

    def imagine(self, chips: dict, text: str, seed: float, pictures: float) -> Iterator[tuple]:
        """Photographs of a garment from words, step by step; the captions are their seeds. To end it early, cancel the job."""
        with sentences():
            words, first, count = wish(chips, text, seed, pictures)
            shown = 0
            for request in self.darkroom.develop(words, first, count):
                if request.phase == "failed":
                    raise ValueError(request.error)
                photos = [(photo, str(number)) for number, photo in request.made]
                new, shown = len(photos) > shown, len(photos)
                yield Tab(self.darkroom).progress(request) | {"prompt": words}, photos if new or request.over else gr.skip()

    def _plain(self, size: float, cutout: bool) -> Look:
        return self.studio.look(self.studio.first_look.weights, {}, size, cutout)

    def _content(self, photo: Photo, look: Look) -> Content:
        if photo is None:
            raise ValueError("Send a photograph.")
        return self.studio.content(Garment(photo), look, strict=True)


@contextmanager
def sentences() -> Iterator[None]:
    """A ValueError's sentence goes to the caller; the log has nothing to tell about it."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from error
