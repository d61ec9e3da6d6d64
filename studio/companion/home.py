"""The studio at home: a designer's own Generator, on their own machine alone.

    python -m studio.companion.home [--home DIR] [--port 7861] [--no-browser]

``fedgai-join --studio`` starts it. It listens on 127.0.0.1 alone (local_page.py), reads the private model that the companion
keeps, and sends nothing anywhere.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fedgai.imports import collector_paused, needed_by

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while gradio is imported; so is the next
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

with collector_paused(), needed_by("python -m studio.companion.home", "studio", "federation", started=__name__ == "__main__"):
    import studio.companion.quiet_network  # noqa: F401, I001 - before gradio, which fails on a wrong proxy

    import gradio as gr
    from fastapi import FastAPI
    from fastapi.responses import FileResponse, PlainTextResponse, Response
    from starlette.background import BackgroundTask

    from federation.designer.settings import CompanionError
    from fedgai.data.listing import find_images
    from studio import pictures, pieces
    from studio.repeating import repeating
    from studio.callers import caller_of
    from studio.companion.background import failure
    from studio.companion.home_studio import HomeStudio
    from studio.companion.local_page import LocalPage, page_parser, run_page
    from studio.companion.templating import render
    from studio.sketching import SIZES, StudioGarment
    from studio.gradio_adapter import queued, use_folder
    from studio.listeners import StudioPage, notice, with_notice
    from studio.page import EACH, LAST, GarmentColumn, garment_column, line_faders
    from studio.templating import render as render_studio
    from studio.theme import mount
    from studio.turns import PREPARING
    from studio.uploads import UploadFolder

AGAIN = 5.0  # s between two looks at whether the training has saved another Generator
GALLERY = 60  # sketches of a batch that are shown; all are saved
PLAIN: dict[str, Any] = {"apply_default_css": False}  # of gr.HTML
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUICK: dict[str, Any] = PRIVATE | {"show_progress": "hidden"}
TEXT = "Your own model, on this machine alone. Nothing on this page is sent anywhere."
ABOUT = """This page draws with the model that was trained on this machine, on your drawings. The model has never left this
machine. The photographs and sketches of this page stay on it, too.

*All me* draws with your own signature. *All of us* draws with a mix of all signatures that this machine knows, yours among
them; the sliders below set how much of each. In between, the two are mixed. In all cases your own model draws."""


class HomePage(StudioPage):
    """The listeners of this page."""

    def __init__(self, studio: HomeStudio, uploads: UploadFolder) -> None:
        super().__init__(studio, uploads)
        self.home = studio
        self.out: Path | None = None  # of the last batch

    @with_notice(1)
    async def redrawn(self, visitor: gr.Request, garment: StudioGarment, *controls: Any) -> tuple[Any, ...]:
        """-> comparison, notice."""
        drawn, _, remark = await self.drawn_for(visitor, garment, *controls)
        return drawn, remark

    async def portrait(self, visitor: gr.Request, garment: StudioGarment, *controls: Any) -> object:
        return (await self.shown(visitor, garment, *controls))[0]

    def restart(self) -> tuple[Any, ...]:
        """-> blend, lines, size, cut-out, way."""
        look = self.home.first_look
        return self.home.everybody, look.lines, look.size, look.cutout, {"us": 0.0}

    @with_notice(1)
    async def compared(self, visitor: gr.Request, garment: StudioGarment, *controls: Any) -> tuple[Any, ...]:
        """-> two sketches side by side, notice."""
        look = self.studio.look(*controls)
        async with self.turns.job(caller_of(visitor), PREPARING + 2 * look.pixels) as job:
            sketches = await job.run(2 * look.pixels, partial(self.home.compare, garment, look))
        captioned = (pieces.Captioned(pictures.png(s), f"{garment.title}, {caption}", caption) for caption, s in sketches)
        return pieces.pair(captioned), ""

    def batch(self, dropped: list[str] | None, folder: str, *controls: Any) -> Iterator[tuple[Any, Any]]:
        """-> progress and gallery, notice; as it goes."""
        try:
            look = self.home.look(*controls)
            files, self.out = self._chosen(dropped, folder)
            done: list[tuple[str, str]] = []
            bad: list[tuple[str, str]] = []
            yield _batch(0, len(files), done, bad, self.out), ""
            for number, (file, sketch) in enumerate(self.home.draw_all(files, self.out, look), 1):
                if isinstance(sketch, str):
                    bad.append((file.name, sketch))
                else:
                    done.append((file.name, pictures.jpeg(sketch, 320)))
                yield _batch(number, len(files), done, bad, self.out), gr.skip()
        except Exception as error:  # whatever it is, the designer reads it
            yield gr.skip(), notice(failure(error))

    def _chosen(self, dropped: list[str] | None, folder: str) -> tuple[list[Path], Path]:
        """The photographs, and a new folder for their sketches. Raises FedGAIError."""
        if folder.strip():
            source = Path(folder.strip().strip("'\"")).expanduser()
            if not source.is_dir():
                raise CompanionError(f"there is no folder {source}: copy its whole path, as your file manager shows it")
            return find_images(source), _free(source.with_name(f"{source.resolve().name}-sketches"))
        if not dropped:
            raise CompanionError("drop some photographs here first, or name a folder")
        return [Path(file) for file in dropped], _free(self.home.folder / "sketches" / time.strftime("%Y-%m-%d %H.%M"))


def _batch(number: int, total: int, done: list[tuple[str, str]], bad: list[tuple[str, str]], out: Path) -> str:
    more = max(0, len(done) - GALLERY)
    return render("batch", number=number, total=total, done=done[:GALLERY], more=more, bad=bad, out=str(out))


def _free(folder: Path) -> Path:
    """The folder, or one beside it: what was drawn before stays."""
    found, count = folder, 1
    while found.exists():
        count += 1
        found = folder.with_name(f"{folder.name}-{count}")
    return found


@dataclass(frozen=True)
class DrawingColumn:
    """The sketch and what can be done with it: the components of the middle column."""

    comparison: gr.HTML
    remark: gr.HTML
    message: gr.HTML
    size: gr.Radio
    paper: gr.Radio
    download: gr.HTML


@dataclass(frozen=True)
class Mixer:
    """Whose hand draws: the components of the right column."""

    restart: gr.Button
    way: gr.HTML
    blend: gr.HTML
    lines: gr.HTML


@dataclass(frozen=True)
class Batch:
    """Many photographs at once: the components of that tab."""

    dropped: gr.File
    folder: gr.Textbox
    start: gr.Button
    stop: gr.Button
    gallery: gr.HTML


def drawing_column(page: HomePage) -> DrawingColumn:
    """Within a gr.Column."""
    look, garment = page.home.first_look, page.home.first_garment
    comparison = pieces.comparison(page.drawn(garment, look))
    remark, message = pieces.notice("remark"), pieces.notice("notice")
    with gr.Row(elem_id="takeaway", equal_height=False):
        size = gr.Radio([(f"{s} px", s) for s in SIZES], value=look.size, label="Long side", elem_id="size")
        paper = gr.Radio(["White", "Transparent"], value="White", label="Paper", elem_id="paper")
        download = pieces.download()
    return DrawingColumn(comparison, remark, message, size, paper, download)


def mixer_column(page: HomePage) -> Mixer:
    """Within a gr.Column."""
    with gr.Row(elem_id="mixer-head"):
        gr.HTML("<h2>Whose hand</h2>", **PLAIN)
        restart = gr.Button("Reset", size="sm", min_width=0)
    ends = "At the left your own signature, at the right everybody's blend."
    way = pieces.faders(pieces.fader_rows([pieces.FaderRow("us", "All me to all of us", ends)], "way"), {"us": 0.0}, "way")
    gr.HTML("<h2>All of us</h2>", **PLAIN)
    blend = pieces.faders(page.faders(), page.home.everybody, "blend")
    return Mixer(restart, way, blend, line_faders(page.home.first_look))


def batch_tab() -> Batch:
    """Within a gr.Tab."""
    gr.Markdown(
        "Draws all photographs with the settings above. If you name a folder, the sketches are saved beside it. If you drop "
        "photographs here, they are saved in the companion's own folder."
    )
    dropped = gr.File(file_count="multiple", label="Photographs", show_label=False, elem_id="many", height=150)
    folder = gr.Textbox(label="Or a folder on this machine: its whole path", elem_id="folder")
    with gr.Row(elem_id="many-acts"):
        start = gr.Button("Draw them all", elem_classes="act", elem_id="draw-all")
        stop = gr.Button("Stop", elem_classes="act", elem_id="stop-all")
    return Batch(dropped, folder, start, stop, gr.HTML("", elem_id="gallery", **PLAIN))


def build(page: HomePage) -> gr.Blocks:
    """The page: as the studio's, with one slider from all me to all of us, before and after, and many at once."""
    demo: gr.Blocks = gr.Blocks(title="FedGAI at home", analytics_enabled=False, fill_width=True, delete_cache=(600, 3600))
    with demo:
        current, no_link = gr.State(page.home.first_garment), gr.State("")
        gr.HTML(render_studio("header.html", title="At home", text=TEXT), elem_id="header", **PLAIN)
        with gr.Row(elem_id="bench", equal_height=False):
            with gr.Column(elem_id="garment", min_width=0):
                column = garment_column(page.home)
            with gr.Column(elem_id="drawing", min_width=0):
                drawing = drawing_column(page)
            with gr.Column(elem_id="mixer", min_width=0):
                mixer = mixer_column(page)
        with gr.Tabs(elem_id="more"):
            with gr.Tab("Before and after") as before:
                gr.Markdown(
                    "The garment above, drawn twice in the same style: by the model that everybody starts with, and by yours, as "
                    "it is now."
                )
                compared = gr.HTML("", elem_id="compared", elem_classes="pair", **PLAIN)
            with gr.Tab("Many at once"):
                batch = batch_tab()
            with gr.Tab("About"):
                gr.Markdown(ABOUT)
        controls: list[Any] = [mixer.blend, mixer.lines, drawing.size, column.cutout, mixer.way]
        changes = [event.change for event in (current, *controls)]
        gr.on(
            [before.select, *changes],
            page.compared,
            [current, *controls],
            [compared, drawing.message],
            trigger_mode="always_last",
            **QUICK,
        )
        gr.on(
            changes,
            page.redrawn,
            [current, *controls],
            [drawing.comparison, drawing.message],
            trigger_mode="always_last",
            show_progress_on=[drawing.comparison],
            show_progress="minimal",
            **PRIVATE,
        )
        download = [current, no_link, drawing.paper, *controls]
        drawing.download.click(page.png, download, [drawing.download, drawing.message], **QUICK)
        connect(page, current, column, drawing, mixer, batch, controls)
        demo.load(page.restart, None, controls, **QUICK)
    queued(demo)
    return demo


def connect(
    page: HomePage,
    current: gr.State,
    column: GarmentColumn,
    drawing: DrawingColumn,
    mixer: Mixer,
    batch: Batch,
    controls: list[Any],
) -> None:
    """What the garment's column, the reset and the batch do."""
    column.photo.input(
        page.take, [column.photo, *controls], [column.photo, current, drawing.remark, drawing.message], **LAST, **QUICK
    )
    column.examples.select(page.example, None, [current, drawing.remark], **EACH, **QUICK)
    current.change(page.portrait, [current, *controls], column.portrait, **LAST, **QUICK)
    mixer.restart.click(page.restart, None, controls, **QUICK)
    running = batch.start.click(
        page.batch, [batch.dropped, batch.folder, *controls], [batch.gallery, drawing.message], concurrency_limit=1, **QUICK
    )
    batch.stop.click(None, None, None, cancels=[running])


def create_app(studio: HomeStudio) -> FastAPI:
    """The page at /, and the last batch as a zip."""
    # what is dropped lies in the designer's own folder, not where everybody's temporary files are
    dropped = studio.folder / "window" / "dropped"
    dropped.mkdir(mode=0o700, parents=True, exist_ok=True)
    use_folder(dropped)
    app = FastAPI(title="FedGAI at home", docs_url=None, redoc_url=None, openapi_url=None)
    page = HomePage(studio, UploadFolder(dropped))

    @app.get("/drawn/sketches.zip")
    def sketches() -> Response:
        if page.out is None:
            return PlainTextResponse("Nothing was drawn yet.", 404)
        handle, name = tempfile.mkstemp(suffix=".zip", dir=studio.folder)
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as packed:
            for sketch in sorted(page.out.glob("*.png")):
                packed.write(sketch, sketch.name)
        return FileResponse(name, filename=f"{page.out.name}.zip", background=BackgroundTask(os.unlink, name))

    return mount(app, build(page), "companion/home")


def main() -> int:
    """Returns the exit status: 0, or 1 with one sentence."""
    about = "the companion's folder, with your private model"
    args = page_parser("studio.companion.home", __doc__ or "", about, 7861).parse_args()
    browser = not args.no_browser

    def prepare() -> Callable[[], None]:
        studio = HomeStudio(args.home.expanduser().resolve())
        local = LocalPage(studio.folder / "window", "studio", args.port)
        app = create_app(studio)

        def serve() -> None:
            with repeating("following the training", AGAIN, studio.follow):
                print(f"Your own studio: {local.url} - on this machine alone. Ctrl-C ends it.", flush=True)
                local.serve(app, browser)

        return serve

    return run_page(prepare, browser)


if __name__ == "__main__":
    sys.exit(main())
