"""The page: what its listeners do (``Page``), and where everything is (``build``)."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

import gradio as gr
from PIL import Image

from fedgai.pipeline import Content
from studio import imagine_tab as imagine
from studio import pieces
from studio.drawing import DETAILS, SIZES, STRENGTHS, Garment, Look, Studio
from studio.endpoints import DRAWING, endpoints
from studio.imagine_tab import Darkroom
from studio.pieces import PLAIN

if TYPE_CHECKING:  # without a federation, none of it is imported
    from studio.federation.follow import Federation

SHEET_SIZE = 512  # px, the most for one of many sketches
LINES = [
    {"name": "strength", "label": "Strength", "text": "From the mean of all hands to beyond the blend."},
    {"name": "detail", "label": "Line detail", "text": "How many of the inner lines are kept."},
]
HEADER = """<header><h1>FedGAI <em>Studio</em></h1>
<p>One garment, many hands. Bring a photograph, blend the designers, and the sketch follows.</p></header>"""
ABOUT = """A photograph is cut out, read by a small network, and drawn again by another whose statistics are moved
towards a blend of the designers' *style signatures*: a few hundred numbers each, and no drawing. That is all of a
designer's work that the studio has. The method is [FedGAI](https://arxiv.org/abs/2503.12389): designers exchange style,
never drawings.

{who} Your photographs are used to draw your sketches and for
nothing else, and are deleted after about an hour. Programs can do what this page does: see *Use via API* below.
"""
ALONE = "The eight designers here are ateliers that the project made up."
FEDERATED = """The studio began with eight ateliers that the project made up; whoever else has a slider takes part in the
federation and agreed to have one. The *Federation* tab says what it is doing now."""


class Page:
    """The page's listeners. Each turns a ValueError into a notice and leaves the rest of the page as it is."""

    def __init__(self, studio: Studio, federation: Federation | None = None) -> None:
        self.studio, self.federation = studio, federation
        self._faders, self._lock = ("", ""), threading.Lock()

    def faders(self) -> str:
        """The rows of the mixer, of the designers as they are now."""
        with self._lock:  # made once for all pages
            edition = self.studio.edition
            if self._faders[0] != edition:
                self._faders = (edition, pieces.fader_rows(_designers(self.studio), "blend"))
            return self._faders[1]

    def drawn(self, garment: Garment, look: Look) -> dict:
        """What the comparison shows."""
        content = self.studio.content(garment, look)
        start = time.perf_counter()
        sketch = self.studio.draw(content, look)
        model_ms = 1000 * (time.perf_counter() - start)
        return {
            "sketch": pieces.png(sketch),
            "photo": pieces.jpeg(content.photo),
            "title": garment.title,
            "alt": f"{garment.title}, sketched by {look.caption}",
            "caption": look.caption,
            "note": f"{sketch.width} × {sketch.height} px",
            "model_ms": model_ms,
            "width": sketch.width,
            "height": sketch.height,
        }

    def redraw(self, garment: Garment, *controls: object) -> tuple:
        """-> comparison, link, notice."""
        try:
            look = self.studio.look(*controls)
            drawn = self.drawn(garment, look)
            lost = look.cutout and self.studio.content(garment, look).mask is None
        except ValueError as error:
            return gr.skip(), gr.skip(), _notice(error)
        return drawn, look.query(garment), _notice(f"{garment.lost} Until then all of it is drawn.") if lost else ""

    def take(self, photo: str | bytes | None, *controls: object) -> tuple:
        """-> upload (emptied, for the next one), garment, notice. What cannot be read changes nothing."""
        if photo is None:
            return gr.skip(), gr.skip(), gr.skip()
        try:
            garment = Garment(photo)
            self.studio.content(garment, self.studio.look(*controls))
        except ValueError as error:
            return None, gr.skip(), _notice(error)
        return None, garment, ""

    def shown(self, garment: Garment, *controls: object) -> tuple:
        """-> portrait, and an empty contact sheet and blend row, since those are of the last garment."""
        try:
            content = self.studio.content(garment, self.studio.look(*controls))
        except ValueError:  # redraw says why
            return gr.skip(), "", ""
        return _portrait(garment, content.photo), "", ""

    def sheet(self, garment: Garment, *controls: object) -> tuple:
        """-> contact sheet, notice."""
        try:
            sketches = self.studio.contact_sheet(self._small(garment, controls))
        except ValueError as error:
            return gr.skip(), _notice(error)
        named = ((weights, sketch, next(iter(weights))) for weights, sketch in sketches)
        return pieces.choices((w, pieces.png(s), f"{garment.title}, sketched by {n}", n) for w, s, n in named), ""

    def row(self, garment: Garment, a: str, b: str, *controls: object) -> tuple:
        """-> blend row, notice."""
        try:
            sketches = self.studio.blend_row(self._small(garment, controls), a, b)
        except ValueError as error:
            return gr.skip(), _notice(error)
        named = ((weights, sketch, Look(weights).caption) for weights, sketch in sketches)
        return pieces.choices((w, pieces.png(s), f"{garment.title}, sketched by {c}", c) for w, s, c in named), ""

    def followed(self, a: str, b: str) -> tuple:
        """-> mixer, and both ends of the blend row: other designers may be there. What has been set stays."""
        names = self.studio.names
        ends = (gr.Dropdown(names, value=end if end in names else names[i]) for i, end in ((0, a), (-1, b)))
        return gr.update(markup=self.faders()), *ends

    def compared(self, rounds: list, garment: Garment, *controls: object) -> tuple:
        """-> two sketches side by side, notice."""
        if len(rounds) != 2:
            return "", gr.skip()
        try:
            look = self.studio.look(*controls)
            sketches = self.federation.compare(garment, look, rounds)
        except ValueError as error:
            return "", _notice(error)
        named = ((n, sketch, f"{garment.title}, {look.caption}, drawn by round {n}") for n, sketch in sketches)
        return pieces.pair((pieces.png(sketch), alt, f"Round {n}") for n, sketch, alt in named), gr.skip()

    def rounds(self, event: gr.EventData) -> list:
        return list(event.rounds)[:2] if isinstance(event.rounds, list) else []

    def reset(self) -> tuple:
        look = self.studio.first_look
        return dict(look.weights), look.lines, look.size, look.cutout

    def png(self, garment: Garment, paper: str, *controls: object) -> tuple:
        """-> download, notice."""
        try:
            look = self.studio.look(*controls)
            sketch = self.studio.draw(self.studio.content(garment, look), look, str(paper).lower())
        except ValueError as error:
            return gr.skip(), _notice(error)
        words = [garment.name or "sketch", *(name for name, _ in look.shares)]
        name = "-".join("".join(c if c.isalnum() else "_" for c in word) for word in words)
        # the time makes every answer a new one: the page saves a file when the value changes
        return {"data": pieces.png(sketch), "name": f"{name}.png", "time": time.time()}, ""

    def opened(self, request: gr.Request) -> tuple:
        """-> garment, blend, lines, size, cut-out, as the page's address says."""
        found = self.studio.opened(request.query_params, request.query_params.getlist("style"))
        if found is None:
            return (gr.skip(),) * 5
        garment, look = found
        return garment, dict(look.weights), look.lines, look.size, look.cutout

    def example(self, event: gr.EventData) -> Garment:
        return self.studio.examples.get(event.choice, self.studio.first_garment)

    def choice(self, event: gr.EventData) -> dict:
        return event.choice

    def _small(self, garment: Garment, controls: tuple) -> Content:
        look = self.studio.look(*controls)
        return self.studio.content(garment, replace(look, size=min(look.size, SHEET_SIZE)))


def garment_column(studio: Studio) -> tuple[gr.HTML, gr.Image, gr.Checkbox, gr.HTML]:
    """What is drawn, within a gr.Column: its picture, a place for the visitor's own, whether it is cut out, and examples."""
    look, garment = studio.first_look, studio.first_garment
    gr.HTML("<h2>Garment</h2>", **PLAIN)
    portrait = gr.HTML(_portrait(garment, studio.content(garment, look).photo), elem_id="portrait", **PLAIN)
    photo = pieces.photograph(
        sources=["upload", "webcam", "clipboard"], label="Your photograph", show_label=False, buttons=[],
        placeholder="Drop a photograph here\nor click to choose one", elem_id="photo", height=190,
    )
    cutout = gr.Checkbox(look.cutout, label="Cut it out of its background", elem_id="cutout")
    gr.HTML("<h2>Or one of these</h2>", **PLAIN)
    return portrait, photo, cutout, pieces.picker(_examples(studio), "examples")


def build(studio: Studio, darkroom: Darkroom, keep: int = 3600, federation: Federation | None = None) -> gr.Blocks:
    """The page. One listener draws, whatever changed; while it draws, only the last of further changes waits.

    Args:
        studio: what draws.
        darkroom: what imagines.
        keep: seconds that uploaded files stay on the disk.
        federation: whose news the page shows, if there is one; its routes have to be there too.
    """
    page, look, garment = Page(studio, federation), studio.first_look, studio.first_garment
    with gr.Blocks(title="FedGAI Studio", analytics_enabled=False, fill_width=True, delete_cache=(600, keep)) as demo:
        current = gr.State(garment)
        gr.HTML(HEADER, elem_id="header", **PLAIN)
        with gr.Row(elem_id="bench", equal_height=False):
            with gr.Column(elem_id="garment", min_width=0):
                portrait, photo, cutout, examples = garment_column(studio)
                describe = gr.Button("Or describe one", elem_classes="act", elem_id="describe")
            with gr.Column(elem_id="easel", min_width=0):
                comparison = pieces.comparison(page.drawn(garment, look))
                notice = gr.HTML("", html_template=pieces.NOTICE, elem_id="notice", **PLAIN)
                with gr.Row(elem_id="takeaway", equal_height=False):
                    size = gr.Radio([(f"{s} px", s) for s in SIZES], value=look.size, label="Long side", elem_id="size")
                    paper = gr.Radio(["White", "Transparent"], value="White", label="Paper", elem_id="paper")
                    download = pieces.download()
                    link = pieces.link(look.query(garment))
            with gr.Column(elem_id="mixer", min_width=0):
                with gr.Row(elem_id="mixer-head"):
                    gr.HTML("<h2>Designers</h2>", **PLAIN)
                    surprise = gr.Button("Surprise me", size="sm", min_width=0)
                    reset = gr.Button("Reset", size="sm", min_width=0)
                blend = pieces.faders(page.faders(), dict(look.weights), "blend")
                ranges = [{"low": low, "high": high} for low, high in (STRENGTHS, DETAILS)]
                rows = [row | r for row, r in zip(LINES, ranges, strict=True)]
                lines = pieces.faders(pieces.fader_rows(rows, "lines"), look.lines, "lines")
        with gr.Tabs(elem_id="more") as tabs:
            with gr.Tab("Contact sheet"):
                gr.Markdown("This garment in every hand. Choose one to draw with it alone.")
                sheet = pieces.picker("", "sheet")
                draw_sheet = gr.Button("Draw the contact sheet", elem_classes="act")
            with gr.Tab("Blend row") as row_tab:
                gr.Markdown("One designer into another in five steps. Choose a step to draw with it.")
                with gr.Row(elem_id="pair"):
                    a = gr.Dropdown(studio.names, value=studio.names[0], label="From", min_width=120)
                    b = gr.Dropdown(studio.names, value=studio.names[-1], label="To", min_width=120)
                row = pieces.picker("", "row")
                draw_row = gr.Button("Draw the blend row", elem_classes="act")
            with gr.Tab("Imagine", id="imagine"):
                imagine.tab(darkroom, current, demo)
            if federation:
                with gr.Tab("Federation"):
                    pieces.federation(("now", "people", "curves"), "news")
                    compared = gr.HTML("", elem_id="compared", elem_classes="pair", **PLAIN)
                    checkpoints = pieces.federation(("rounds",), "checkpoints")
            with gr.Tab("About"):
                gr.Markdown(ABOUT.format(who=FEDERATED if federation else ALONE))

        controls = [blend, lines, size, cutout]
        private = {"api_visibility": "private"}
        quick = private | {"show_progress": "hidden"}  # but queued: past the queue, a State's change is not noticed
        quiet = private | DRAWING | {"show_progress": "hidden"}
        visibly = private | DRAWING | {"show_progress": "minimal"}
        changes = [current.change, blend.change, lines.change, size.change, cutout.change]
        if federation:
            following, chosen = pieces.following(studio.edition), gr.State([])
            following.select(page.followed, [a, b], [blend, a, b], **quick)
            changes.append(following.select)
            checkpoints.select(page.rounds, None, chosen, **quick)
            gr.on(
                [*changes, chosen.change], page.compared, [chosen, current, *controls], [compared, notice],
                trigger_mode="always_last", **quiet,
            )
        gr.on(
            changes, page.redraw, [current, *controls], [comparison, link, notice], trigger_mode="always_last",
            show_progress_on=[comparison], **visibly,
        )
        describe.click(lambda: gr.Tabs(selected="imagine"), None, tabs, js="() => studio.describe()", **quick)
        photo.input(page.take, [photo, *controls], [photo, current, notice], **quiet)
        examples.select(page.example, None, current, **quick)
        gr.on([sheet.select, row.select], page.choice, None, blend, **quick)
        surprise.click(studio.surprise, None, blend, **quick)
        reset.click(page.reset, None, controls, **quick)
        sheets = draw_sheet.click(
            page.sheet, [current, *controls], [sheet, notice], show_progress_on=[sheet], **visibly,
        )
        rows = gr.on(
            [draw_row.click, row_tab.select, a.input, b.input], page.row, [current, a, b, *controls], [row, notice],
            show_progress_on=[row], **visibly,
        )
        current.change(page.shown, [current, *controls], [portrait, sheet, row], cancels=[sheets, rows], **quiet)
        download.click(page.png, [current, paper, *controls], [download, notice], **quiet)
        demo.load(page.opened, None, [current, *controls], **quick)
        endpoints(studio, darkroom)
    # ten visitors, each with a few clicks under way, wait their turn; beyond that the page says that it is busy
    return demo.queue(default_concurrency_limit=8, max_size=100)


def _notice(sentence: object) -> str:
    text = escape(str(sentence))
    gr.Warning(text, title="")
    return text


def _portrait(garment: Garment, photo: Image.Image) -> str:
    return f'<img src="{pieces.jpeg(photo, 560)}" alt="{escape(garment.alt)}">'


def _examples(studio: Studio) -> str:
    items = studio.examples.items()
    return pieces.choices((name, pieces.jpeg(Image.open(g.photo), 160), g.alt, g.title) for name, g in items)


def _designers(studio: Studio) -> list[dict]:
    """Rows of faders: each designer with a detail of the first garment in their hand."""
    content = studio.content(studio.first_garment, Look({}, size=SIZES[0]))
    left, top = content.size[0] // 2 - 40, content.size[1] // 8
    details = [sketch.crop((left, top, left + 80, top + 80)) for _, sketch in studio.contact_sheet(content)]
    return [
        {"name": n, "label": n, "text": s.description, "low": 0, "high": 1, "picture": pieces.png(detail)}
        for (n, s), detail in zip(studio.pipeline.styles.items(), details, strict=True)
    ]
