"""The layout of the page, and which listener of ``listeners.py`` belongs to each control.

To add a control: build it in one of the columns below, name it in that column's dataclass, and give it to its listener in
``wire``. A further slider for how lines are drawn is one line in ``LINES`` (sketching.py) and one field of ``Look``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from PIL import Image

from studio import imagine_tab, links, pictures, pieces
from studio.endpoints import Endpoints, build_endpoints
from studio.gradio_adapter import queued, without_app
from studio.imagine_queue import ImagineQueue
from studio.listeners import StudioPage, chosen_blend, chosen_rounds, portrait
from studio.outline_repair import OutlineRepair, dialog
from studio.sketching import LINES, SIZES, Look, SketchStudio
from studio.templating import render

TEXT = "One garment, many hands. Bring a photograph, set how much of each designer's hand you want, and get a sketch."
ABOUT = """The studio cuts the garment out of your photograph. One small network reads it, and another draws it, in the mix of
hands that you set. For each designer, the studio has a *style signature*, numbers that describe how they draw, and for some
an *adapter*, which changes the drawing network a little. It has no drawing of theirs. The method is
[FedGAI](https://arxiv.org/abs/2503.12389): designers exchange style, never drawings.

{who} The studio uses your photographs only to draw your sketches, and deletes them after about an hour. Your own programs can
use the studio, too: see *Use via API* below.
"""
ALONE = "The eight designers here are not people: they are ateliers, programs of this project that draw."
FEDERATED = """The first eight designers are not people: they are ateliers, programs of this project that draw. All others take
part in the federation, and agreed to have a slider. The *Federation* tab says what the federation is doing now."""

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
# but queued: past the queue, a State's change is not noticed
QUIET: dict[str, Any] = PRIVATE | {"show_progress": "hidden"}
LAST: dict[str, Any] = {"trigger_mode": "always_last"}  # by default, Gradio drops choices made while an earlier one is handled
# for choices, which are read from EventData: with "always_last", Gradio 6.31 runs them again with the data of the earlier one
EACH: dict[str, Any] = {"trigger_mode": "multiple"}
VISIBLY: dict[str, Any] = PRIVATE | {"show_progress": "minimal"}


@dataclass(frozen=True)
class GarmentColumn:
    """What is drawn: its picture, a place for the visitor's own, whether and how it is cut out, and examples."""

    portrait: gr.HTML
    photo: gr.Image
    cutout: gr.Checkbox
    repair: gr.HTML
    examples: gr.HTML


@dataclass(frozen=True)
class SketchColumn:
    """The sketch, what there is to say about it, and what to take away."""

    comparison: gr.HTML
    remark: gr.HTML
    notice: gr.HTML
    size: gr.Radio
    paper: gr.Radio
    download: gr.HTML
    download_svg: gr.HTML
    link: gr.HTML


@dataclass(frozen=True)
class MixerColumn:
    """Who draws, and how."""

    blend: gr.HTML
    lines: gr.HTML
    surprise: gr.Button
    reset: gr.Button


@dataclass(frozen=True)
class SheetTabs:
    """One garment in many hands."""

    sheet: gr.HTML
    draw_sheet: gr.Button
    row_tab: gr.Tab
    row: gr.HTML
    draw_row: gr.Button
    a: gr.Dropdown
    b: gr.Dropdown


@dataclass(frozen=True)
class FederationTab:
    """What the federation is doing, and two of its rounds side by side."""

    compared: gr.HTML
    checkpoints: gr.HTML
    following: gr.HTML
    chosen: gr.State


def garment_column(studio: SketchStudio) -> GarmentColumn:
    """Within a gr.Column."""
    look, garment = studio.first_look, studio.first_garment
    gr.HTML("<h2>Garment</h2>", **pieces.PLAIN)
    picture = gr.HTML(portrait(garment, studio.content(garment, look).photo), elem_id="portrait", **pieces.PLAIN)
    photo = pieces.photograph(
        sources=["upload", "webcam", "clipboard"],
        label="Your photograph",
        show_label=False,
        buttons=[],
        placeholder="Drop a photograph here\nor click to choose one",
        elem_id="photo",
        height=190,
    )
    cutout = gr.Checkbox(look.cutout, label="Cut it out of its background", elem_id="cutout")
    repair = dialog()
    gr.HTML("<h2>Or one of these</h2>", **pieces.PLAIN)
    return GarmentColumn(picture, photo, cutout, repair, pieces.picker(_examples(studio), "examples"))


def sketch_column(page: StudioPage, look: Look) -> SketchColumn:
    """Within a gr.Column."""
    garment = page.studio.first_garment
    comparison = pieces.comparison(page.drawn(garment, look))
    remark, notice = pieces.notice("remark"), pieces.notice("notice")
    with gr.Row(elem_id="takeaway", equal_height=False):
        size = gr.Radio([(f"{s} px", s) for s in SIZES], value=look.size, label="Long side", elem_id="size")
        paper = gr.Radio(["White", "Transparent"], value="White", label="Paper", elem_id="paper")
        download, download_svg = pieces.download(), pieces.download("SVG", "download-svg")
        link = pieces.link(links.query(look, garment))
    return SketchColumn(comparison, remark, notice, size, paper, download, download_svg, link)


def mixer_column(page: StudioPage, look: Look) -> MixerColumn:
    """Within a gr.Column."""
    with gr.Row(elem_id="mixer-head"):
        gr.HTML("<h2>Designers</h2>", **pieces.PLAIN)
        surprise = gr.Button("Surprise me", size="sm", min_width=0)
        reset = gr.Button("Reset", size="sm", min_width=0)
    blend = pieces.faders(page.faders(), dict(look.weights), "blend")
    return MixerColumn(blend, line_faders(look), surprise, reset)


def line_faders(look: Look) -> gr.HTML:
    """The sliders that say how lines are drawn."""
    rows = [pieces.FaderRow(line.name, line.label, line.text, line.low, line.high) for line in LINES]
    return pieces.faders(pieces.fader_rows(rows, "lines"), look.lines, "lines")


def sheet_tabs(names: list[str]) -> SheetTabs:
    """Within gr.Tabs."""
    with gr.Tab("Contact sheet"):
        gr.Markdown("This garment in every hand. Choose one to draw with it alone.")
        sheet = pieces.picker("", "sheet")
        draw_sheet = gr.Button("Draw the contact sheet", elem_classes="act")
    with gr.Tab("Blend row") as row_tab:
        gr.Markdown("One designer into another in five steps. Choose a step to draw with it.")
        with gr.Row(elem_id="pair"):
            a = gr.Dropdown(names, value=names[0], label="From", min_width=120)
            b = gr.Dropdown(names, value=names[-1], label="To", min_width=120)
        row = pieces.picker("", "row")
        draw_row = gr.Button("Draw the blend row", elem_classes="act")
    return SheetTabs(sheet, draw_sheet, row_tab, row, draw_row, a, b)


def federation_tab(edition: str) -> FederationTab:
    """Within gr.Tabs."""
    with gr.Tab("Federation"):
        pieces.federation(("now", "people", "curves"), "news")
        compared = gr.HTML("", elem_id="compared", elem_classes="pair", **pieces.PLAIN)
        checkpoints = pieces.federation(("rounds",), "checkpoints")
    return FederationTab(compared, checkpoints, pieces.following(edition), gr.State([]))


def build(page: StudioPage, queue: ImagineQueue) -> gr.Blocks:
    """The page, with the endpoints for programs.

    Args:
        page: the listeners. The routes of its federation, if there is one, have to be there too.
        queue: what imagines.
    """
    bank = page.studio.now
    look = bank.first_look
    with without_app(), gr.Blocks(title="FedGAI Studio", analytics_enabled=False, fill_width=True) as demo:
        current = gr.State(replace(page.studio.first_garment, chosen=False))
        gr.HTML(render("header.html", title="Studio", text=TEXT), elem_id="header", **pieces.PLAIN)
        with gr.Row(elem_id="bench", equal_height=False):
            with gr.Column(elem_id="garment", min_width=0):
                garment = garment_column(page.studio)
                describe = gr.Button("Or describe one", elem_classes="act", elem_id="describe")
            with gr.Column(elem_id="drawing", min_width=0):
                sketch = sketch_column(page, look)
            with gr.Column(elem_id="mixer", min_width=0):
                mixer = mixer_column(page, look)
        with gr.Tabs(elem_id="more") as tabs:
            sheets = sheet_tabs(bank.names)
            with gr.Tab("Imagine", id="imagine"):
                imagine_tab.build_tab(queue, page.uploads, current, demo)
            federation = federation_tab(bank.edition) if page.federation else None
            with gr.Tab("About"):
                gr.Markdown(ABOUT.format(who=FEDERATED if federation else ALONE))
        wire(page, demo, current, garment, sketch, mixer, sheets, federation)
        describe.click(lambda: gr.Tabs(selected="imagine"), None, tabs, js="() => studio.show('#more')", **QUIET)
        build_endpoints(Endpoints(page.studio, page.turns, page.uploads, queue))
    return queued(demo)


def wire(
    page: StudioPage,
    demo: gr.Blocks,
    current: gr.State,
    garment: GarmentColumn,
    sketch: SketchColumn,
    mixer: MixerColumn,
    sheets: SheetTabs,
    federation: FederationTab | None,
) -> None:
    """Which listener runs when. One draws, whatever changed; while it draws, only the last of further changes waits."""
    controls = [mixer.blend, mixer.lines, sketch.size, garment.cutout]
    shown = [current, sketch.link]  # the garment: as this side knows it, and as the page says
    changes = [current.change, mixer.blend.change, mixer.lines.change, sketch.size.change, garment.cutout.change]
    if federation:
        federation.following.select(page.followed, [sheets.a, sheets.b], [mixer.blend, sheets.a, sheets.b], **LAST, **QUIET)
        changes.append(federation.following.select)
        federation.checkpoints.select(chosen_rounds, None, federation.chosen, **EACH, **QUIET)
        gr.on(
            [*changes, federation.chosen.change],
            page.compared,
            [federation.chosen, *shown, *controls],
            [federation.compared, sketch.notice],
            **LAST,
            **QUIET,
        )
    drawn = [sketch.comparison, sketch.link, sketch.notice]
    gr.on(changes, page.redraw, [*shown, *controls], drawn, show_progress_on=[sketch.comparison], **LAST, **VISIBLY)
    taken = [garment.photo, current, sketch.remark, sketch.notice]
    garment.photo.input(page.take, [garment.photo, *controls], taken, **LAST, **QUIET)
    repair = OutlineRepair(page)
    garment.repair.click(repair.opened, [*shown, *controls], garment.repair, **QUIET)
    garment.repair.select(repair.painted, [*shown, *controls], [garment.repair, current], **EACH, **QUIET)
    garment.examples.select(page.example, None, [current, sketch.remark], **EACH, **QUIET)
    gr.on([sheets.sheet.select, sheets.row.select], chosen_blend, None, mixer.blend, **EACH, **QUIET)
    mixer.surprise.click(page.studio.surprise, None, mixer.blend, **QUIET)
    mixer.reset.click(page.reset, None, controls, **QUIET)
    drawing_sheet = sheets.draw_sheet.click(
        page.sheet, [*shown, *controls], [sheets.sheet, sketch.notice], show_progress_on=[sheets.sheet], **VISIBLY
    )
    drawing_row = gr.on(
        [sheets.draw_row.click, sheets.row_tab.select, sheets.a.input, sheets.b.input],
        page.row,
        [*shown, sheets.a, sheets.b, *controls],
        [sheets.row, sketch.notice],
        show_progress_on=[sheets.row],
        **LAST,
        **VISIBLY,
    )
    emptied = [garment.portrait, sheets.sheet, sheets.row]
    current.change(page.shown, [current, *controls], emptied, cancels=[drawing_sheet, drawing_row], **LAST, **QUIET)
    sketch.download.click(page.png, [*shown, sketch.paper, *controls], [sketch.download, sketch.notice], **QUIET)
    sketch.download_svg.click(page.vector, [*shown, sketch.paper, *controls], [sketch.download_svg, sketch.notice], **QUIET)
    remembered = gr.Textbox(visible=False)
    demo.load(page.opened, remembered, [current, *controls, sketch.remark], js="() => studio.remembered()", **QUIET)


def _examples(studio: SketchStudio) -> str:
    return pieces.choices(
        pieces.Choice(name, pictures.jpeg(Image.open(g.photo.path), 160), g.alt, g.title) for name, g in studio.examples.items()
    )
