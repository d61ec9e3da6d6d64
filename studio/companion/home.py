"""The studio at home: a designer's own Generator, on their own machine alone.

    python -m studio.companion.home [--home DIR] [--port 7861] [--no-browser]

``fedgai-join --studio`` starts it. It listens on 127.0.0.1 alone (local.py), reads the private model that the companion
keeps, and sends nothing anywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while gradio is imported; so is the next
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import studio.companion.quiet_network  # noqa: F401, I001 - before gradio, which dies of a wrong proxy

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse, Response
from PIL import Image
from starlette.background import BackgroundTask

from federation.designer.client_app import ROUND_FILE
from federation.designer.settings import CompanionError, Settings, home
from fedgai.data.listing import find_images
from fedgai.errors import FedGAIError
from fedgai.model import CONFIG_FILE, MODEL_FILE, WEIGHTS, CheckpointError
from fedgai.pipeline import SketchPipeline
from studio import pictures, pieces
from studio.callers import caller_of
from studio.companion.local_page import LocalPage, OpenAlready, show
from studio.drawing import SIZES, Garment, Look, SketchStudio, number
from studio.gradio_adapter import queued, use_folder
from studio.listeners import Page, notice, with_notice
from studio.page import garment_column, line_faders
from studio.pieces import PLAIN
from studio.templating import render
from studio.theme import mount
from studio.turns import PREPARING
from studio.uploads import PhotoFile, UploadFolder

AGAIN = 5.0  # s between two looks at whether the training has saved another Generator
GALLERY = 60  # sketches of a batch that are shown; all are saved
TEXT = "Your own Generator, on this machine alone. Nothing here is sent anywhere."
ABOUT = """This is the Generator that was trained here, on your drawings. It has never left this machine, and neither do the
photographs and sketches of this page.

*All me* draws with your own signature. *All of us* draws with the blend of everybody whose signature is known here, you among
them; the sliders below say how much of each. Either way it is your Generator that draws. In between, the two signatures are
mixed."""


class HomeStudio(SketchStudio):
    """Draws with the private model. A look has one setting more: how far it goes from all me (0) to all of us (1).

    Args:
        folder: the companion's.
    Raises:
        CompanionError: there is no Generator of the designer's own yet, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.model = folder, folder / "model"
        if not (self.model / CONFIG_FILE).exists():
            raise CompanionError("there is no Generator of your own yet: it is made in the first round")
        try:
            self._stamp = self._saved()
            pipeline = SketchPipeline.from_pretrained(self.model)
            self.start = SketchPipeline.from_pretrained(WEIGHTS)
        except CheckpointError as error:
            raise CompanionError(str(error)) from error
        known = Settings.load(folder)
        self.me = known.name if known and known.name in pipeline.styles else next(reversed(pipeline.styles))
        super().__init__(pipeline)

    @property
    def first_look(self) -> Look:
        return Look({self.me: 1.0})

    @property
    def everybody(self) -> dict[str, float]:
        """All of us, each with the same say."""
        return dict.fromkeys(self.names, 1.0)

    @property
    def rounds(self) -> int:
        """The last round that the Generator was trained in; 0 where that is not known."""
        try:
            return int(json.loads((self.model / ROUND_FILE).read_text())["round"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def look(self, weights: object, lines: object, size: object, cutout: object, way: object = None) -> Look:
        """``weights``: of all of us. ``way``: {"us": from 0, all me, to 1}."""
        us = number(way.get("us", 0) if isinstance(way, dict) else 0, 0, 1, "From all me to all of us")
        look = super().look(weights if us else {self.me: 1.0}, lines, size, cutout)
        blend = {name: us * share for name, share in look.shares}
        blend[self.me] = blend.get(self.me, 0.0) + 1 - us
        return replace(look, weights=blend)

    def compare(self, garment: Garment, look: Look) -> list[tuple[str, Image.Image]]:
        """(caption, sketch): by the Generator that everybody starts from, and by the designer's own, in the same style.

        Raises ValueError where the two have other encoders.
        """
        if self.start.model.encoder_sha256 != self.pipeline.model.encoder_sha256:
            raise FedGAIError("Your Generator and the one that ships have other encoders, and cannot be compared.")
        content, style = self.content(garment, look), self.pipeline.style(look.weights, look.strength)
        after = f"After round {self.rounds}" if self.rounds else "After"
        return [("Before: the Generator that everybody starts from", self.start.draw(content, style)),
                (f"{after}: your own", self.pipeline.draw(content, style))]

    def draw_all(self, files: list[Path], out: Path, look: Look) -> Iterator[tuple[Path, Image.Image | str]]:
        """Draw many photographs into a folder, as PNG. Yields each file with its sketch, or with why there is none."""
        out.mkdir(parents=True, exist_ok=True)
        for file in files:
            try:
                sketch = self.draw(self.content(Garment(PhotoFile(file, file.parent)), look), look)
            except ValueError as error:
                yield file, str(error)
                continue
            target, count = out / f"{file.stem}.png", 1
            while target.exists():
                count += 1
                target = out / f"{file.stem}-{count}.png"
            aside = target.with_suffix(".new")
            sketch.save(aside, "PNG")
            os.replace(aside, target)
            yield file, sketch

    def follow(self) -> bool:
        """Draw with what the training has saved last. Returns whether that is another Generator than before."""
        stamp = self._saved()
        if stamp in (None, self._stamp):
            return False
        try:
            self.serve(SketchPipeline.from_pretrained(self.model))
        except CheckpointError:  # it is being written: next time
            return False
        self._stamp = stamp
        return True

    def _saved(self) -> tuple[int, int] | None:
        try:
            about = (self.model / MODEL_FILE).stat()
        except OSError:
            return None
        return about.st_mtime_ns, about.st_size


class HomePage(Page):
    """The listeners of this page."""

    def __init__(self, studio: HomeStudio, uploads: UploadFolder) -> None:
        super().__init__(studio, uploads)
        self.out: Path | None = None  # of the last batch

    @with_notice(1)
    async def redrawn(self, visitor: gr.Request, garment: Garment, *controls: object) -> tuple:
        """-> comparison, notice."""
        drawn, _, remark = await self.drawn_for(visitor, garment, *controls)
        return drawn, remark

    async def portrait(self, visitor: gr.Request, garment: Garment, *controls: object) -> object:
        return (await self.shown(visitor, garment, *controls))[0]

    def restart(self) -> tuple:
        """-> blend, lines, size, cut-out, way."""
        look = self.studio.first_look
        return self.studio.everybody, look.lines, look.size, look.cutout, {"us": 0.0}

    @with_notice(1)
    async def compared(self, visitor: gr.Request, garment: Garment, *controls: object) -> tuple:
        """-> two sketches side by side, notice."""
        look = self.studio.look(*controls)
        async with self.turns.job(caller_of(visitor), PREPARING + 2 * look.pixels) as job:
            sketches = await job.run(2 * look.pixels, partial(self.studio.compare, garment, look))
        captioned = (pieces.Captioned(pictures.png(s), f"{garment.title}, {caption}", caption) for caption, s in sketches)
        return pieces.pair(captioned), ""

    def batch(self, dropped: list[str] | None, folder: str, *controls: object) -> Iterator[tuple]:
        """-> progress and gallery, notice; as it goes."""
        try:
            look = self.studio.look(*controls)
            if folder.strip():
                source = Path(folder.strip().strip("'\"")).expanduser()
                if not source.is_dir():
                    raise ValueError(f"There is no folder {source}: copy its whole path, as your file manager shows it.")
                files, out = find_images(source), _free(source.with_name(f"{source.resolve().name}-sketches"))
            elif dropped:
                files = [Path(file) for file in dropped]
                out = _free(self.studio.folder / "sketches" / time.strftime("%Y-%m-%d %H.%M"))
            else:
                raise ValueError("Drop some photographs here first, or name a folder.")
            done, bad = [], []
            yield _batch(0, len(files), done, bad, ""), ""
            for number, (file, sketch) in enumerate(self.studio.draw_all(files, out, look), 1):
                if isinstance(sketch, str):
                    bad.append((file.name, sketch))
                else:
                    done.append((file.name, pictures.jpeg(sketch, 320)))
                self.out = out
                yield _batch(number, len(files), done, bad, str(out)), gr.skip()
        except ValueError as error:
            yield gr.skip(), notice(str(error))
        except OSError as error:
            yield gr.skip(), notice(f"{error.filename} cannot be used: {error.strerror}.")


def _batch(number: int, total: int, done: list[tuple[str, str]], bad: list[tuple[str, str]], out: str) -> str:
    share = round(100 * number / max(1, total))
    cells = "".join(f'<figure><img src="{source}" alt="{escape(name)}, sketched"><figcaption>{escape(name)}</figcaption></figure>'
                    for name, source in done[:GALLERY])
    more = f"<p>and {len(done) - GALLERY:,} more in the folder</p>" if len(done) > GALLERY else ""
    trouble = "".join(f"<li><b>{escape(name)}</b> {escape(why)}</li>" for name, why in bad)
    link = '<a href="drawn/sketches.zip" download>Download them as one zip</a>'
    where = f"<p>Saved in {escape(out)}. {link}</p>" if number == total else ""
    return f"""<p class="sentence" role="status">{number} of {total} drawn</p>
    <div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="{total}" aria-valuenow="{number}" aria-label="Drawn">
    <span style="width:{share}%"></span></div>{where}
    <ul>{trouble}</ul><div class="gallery">{cells}</div>{more}"""


def _free(folder: Path) -> Path:
    """The folder, or one beside it: what was drawn before stays."""
    found, count = folder, 1
    while found.exists():
        count += 1
        found = folder.with_name(f"{folder.name}-{count}")
    return found


def build(page: HomePage) -> gr.Blocks:
    """The page: as the studio's, with one slider from all me to all of us, before and after, and many at once."""
    studio = page.studio
    look, garment = studio.first_look, studio.first_garment
    with gr.Blocks(title="FedGAI at home", analytics_enabled=False, fill_width=True, delete_cache=(600, 3600)) as demo:
        current, no_link = gr.State(garment), gr.State("")
        gr.HTML(render("header.html", title="At home", text=TEXT), elem_id="header", **PLAIN)
        with gr.Row(elem_id="bench", equal_height=False):
            with gr.Column(elem_id="garment", min_width=0):
                column = garment_column(studio)
            with gr.Column(elem_id="drawing", min_width=0):
                comparison = pieces.comparison(page.drawn(garment, look))
                remark, told = pieces.notice("remark"), pieces.notice("notice")
                with gr.Row(elem_id="takeaway", equal_height=False):
                    size = gr.Radio([(f"{s} px", s) for s in SIZES], value=look.size, label="Long side", elem_id="size")
                    paper = gr.Radio(["White", "Transparent"], value="White", label="Paper", elem_id="paper")
                    download = pieces.download()
            with gr.Column(elem_id="mixer", min_width=0):
                with gr.Row(elem_id="mixer-head"):
                    gr.HTML("<h2>Whose hand</h2>", **PLAIN)
                    restart = gr.Button("Reset", size="sm", min_width=0)
                ends = "At the left your own signature, at the right everybody's blend."
                rows = [pieces.FaderRow("us", "All me to all of us", ends)]
                way = pieces.faders(pieces.fader_rows(rows, "way"), {"us": 0.0}, "way")
                gr.HTML("<h2>All of us</h2>", **PLAIN)
                blend = pieces.faders(page.faders(), studio.everybody, "blend")
                lines = line_faders(look)
        with gr.Tabs(elem_id="more"):
            with gr.Tab("Before and after") as before:
                gr.Markdown("This garment in the same style, by the Generator that everybody starts from, and by yours as the "
                            "federation has made it.")
                compared = gr.HTML("", elem_id="compared", elem_classes="pair", **PLAIN)
            with gr.Tab("Many at once"):
                gr.Markdown("As set above. The sketches are saved beside a folder that you name, or, for photographs that you "
                            "drop, in the companion's own.")
                dropped = gr.File(file_count="multiple", label="Photographs", show_label=False, elem_id="many", height=150)
                folder = gr.Textbox(label="Or a folder on this machine: its whole path", elem_id="folder")
                with gr.Row(elem_id="many-acts"):
                    start = gr.Button("Draw them all", elem_classes="act", elem_id="draw-all")
                    stop = gr.Button("Stop", elem_classes="act", elem_id="stop-all")
                gallery = gr.HTML("", elem_id="gallery", **PLAIN)
            with gr.Tab("About"):
                gr.Markdown(ABOUT)
        controls = [blend, lines, size, column.cutout, way]
        private = {"api_visibility": "private"}
        quick = private | {"show_progress": "hidden"}
        changes = [current.change, blend.change, lines.change, size.change, column.cutout.change, way.change]
        gr.on(changes, page.redrawn, [current, *controls], [comparison, told], trigger_mode="always_last",
              show_progress_on=[comparison], show_progress="minimal", **private)  # fmt: skip
        gr.on([before.select, *changes], page.compared, [current, *controls], [compared, told], trigger_mode="always_last",
              **quick)  # fmt: skip
        column.photo.input(page.take, [column.photo, *controls], [column.photo, current, remark, told], **quick)
        column.examples.select(page.example, None, [current, remark], **quick)
        restart.click(page.restart, None, controls, **quick)
        current.change(page.portrait, [current, *controls], column.portrait, **quick)
        download.click(page.png, [current, no_link, paper, *controls], [download, told], **quick)
        drawing = start.click(page.batch, [dropped, folder, *controls], [gallery, told], concurrency_limit=1, **quick)
        stop.click(None, None, None, cancels=[drawing])
        demo.load(page.restart, None, controls, **quick)
    return queued(demo)


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
    parser = argparse.ArgumentParser(prog="python -m studio.companion.home", description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=home(), help="the companion's folder, with your private model")
    parser.add_argument("--port", type=int, default=7861)
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    args = parser.parse_args()
    try:
        studio = HomeStudio(args.home.resolve())
        local = LocalPage(studio.folder / "window", "studio", args.port)
    except OpenAlready as error:
        print(error, flush=True)
        if error.url and not args.no_browser:
            show(error.url)
        return 0
    except CompanionError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{args.home} cannot be used: {error.strerror}", file=sys.stderr)
        return 1
    app, over = create_app(studio), threading.Event()

    def follow() -> None:
        while not over.wait(AGAIN):
            studio.follow()

    threading.Thread(target=follow, name="follow", daemon=True).start()
    print(f"Your own studio: {local.url} - on this machine alone. Ctrl-C ends it.", flush=True)
    local.serve(app, browser=not args.no_browser)
    over.set()
    return 0


if __name__ == "__main__":
    sys.exit(main())
