"""The page's listeners. ``Turns`` decides who is served when; ``page.py`` decides where everything is on the page."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from fedgai.content import Content, Paper
from fedgai.errors import FedGAIError, sentence
from fedgai.pipeline import LATTICES
from studio import links, pictures, pieces
from studio.callers import caller_of
from studio.failures import SORRY, describe
from studio.sketching import SIZES, Bank, Blend, Look, SketchStudio, StudioGarment
from studio.templating import escaped, render
from studio.turns import PREPARING, Job, Turns
from studio.uploads import GONE, UploadError, UploadFolder
from studio.vector import svg_of

if TYPE_CHECKING:  # without a federation, none of it is imported
    from studio.federation.follow import Federation

log = logging.getLogger(__name__)

SHEET_SIZE = 512  # px, the most for one of many sketches
KEPT = f"{GONE} Your blend is kept."
Listener = Callable[..., Awaitable[tuple[Any, ...]]]


def with_notice(outputs: int) -> Callable[[Listener], Listener]:
    """For a listener whose last output is the notice: a FedGAIError becomes a notice, and the other outputs stay as they are.

    Args:
        outputs: that the listener has besides the notice.
    """

    def decorate(listener: Listener) -> Listener:
        @functools.wraps(listener)
        async def safe(*values: Any) -> tuple[Any, ...]:
            try:
                return await listener(*values)
            except FedGAIError as error:
                return *(gr.skip(),) * outputs, notice(sentence(error))
            except Exception as error:
                log.error("%s failed: %s", listener.__name__, describe(error))
                return *(gr.skip(),) * outputs, notice(SORRY)

        return safe

    return decorate


def notice(text: str) -> str:
    """A sentence for the notice, which is also shown for a moment at the edge of the page."""
    html = escaped(text)
    gr.Warning(html, title="")
    return html


class StudioPage:
    """The listeners. Those that draw are called with the request first, and with what the page's controls say last.

    Args:
        studio: draws.
        uploads: where visitors' photographs lie.
        turns: who is drawn for next.
        federation: whose news the page shows, if there is one.
    """

    def __init__(
        self, studio: SketchStudio, uploads: UploadFolder, turns: Turns | None = None, federation: Federation | None = None
    ) -> None:
        self.studio, self.uploads, self.federation = studio, uploads, federation
        self.turns = turns or Turns()
        self._faders, self._lock = ("", ""), threading.Lock()

    # -- what a page shows before anybody has touched it -------------------------------------------------------------

    def faders(self, bank: Bank | None = None) -> str:
        """The rows of the mixer, of these designers or those of the moment; HTML."""
        bank = bank or self.studio.now
        with self._lock:  # made once for all pages
            if self._faders[0] != bank.edition:
                rows = _designers(bank, self.studio.first_garment)
                self._faders = (bank.edition, pieces.fader_rows(rows, "blend"))
            return self._faders[1]

    def drawn(self, garment: StudioGarment, look: Look, content: Content | None = None) -> dict[str, Any]:
        """What the comparison shows."""
        content = content or self.studio.content(garment, look)
        start = time.perf_counter()
        sketch = self.studio.draw(content, look)
        model_ms = 1000 * (time.perf_counter() - start)
        return {
            "sketch": pictures.png(sketch),
            "photo": pictures.jpeg(content.photo),
            "title": garment.title,
            "alt": f"{garment.title}, sketched by {look.caption}",
            "caption": look.caption,
            "note": f"{sketch.width} × {sketch.height} px",
            "model_ms": model_ms,
            "width": sketch.width,
            "height": sketch.height,
        }

    # -- drawing -----------------------------------------------------------------------------------------------------

    @with_notice(2)
    async def redraw(self, visitor: gr.Request, garment: StudioGarment, link: str, *controls: object) -> tuple[Any, ...]:
        """-> comparison, link, notice."""
        garment = self.present(garment, link)
        drawn, look, remark = await self.drawn_for(visitor, garment, *controls)
        return drawn, links.query(look, garment), remark

    async def drawn_for(self, visitor: gr.Request, garment: StudioGarment, *controls: object) -> tuple[dict[str, Any], Look, str]:
        """What the comparison shows, the look, and a notice or "". Raises FedGAIError."""
        look = self.studio.look(*controls)
        async with self.ready(visitor, garment, look, 1) as (job, content):
            drawn = await job.run(look.pixels, partial(self.drawn, garment, look, content))
        lost = look.cutout and content.mask is None
        return drawn, look, notice(f"{garment.lost} Until then, the whole photograph is drawn.") if lost else ""

    async def take(self, visitor: gr.Request, photo: str | None, *controls: object) -> tuple[Any, ...]:
        """-> upload (emptied, for the next one), garment, remark, notice. What cannot be read changes nothing."""
        if photo is None:
            return (gr.skip(),) * 4
        return None, *await self._taken(visitor, photo, *controls)

    @with_notice(2)
    async def _taken(self, visitor: gr.Request, photo: str, *controls: object) -> tuple[Any, ...]:
        garment = StudioGarment(self.uploads.photo(photo))
        async with self.ready(visitor, garment, self.studio.look(*controls), 0):
            return garment, "", ""

    async def shown(self, visitor: gr.Request, garment: StudioGarment, *controls: object) -> tuple[Any, ...]:
        """-> portrait, and an empty contact sheet and blend row, since those are of the last garment."""
        try:
            async with self.ready(visitor, garment, self.studio.look(*controls), 0) as (_, content):
                return portrait(garment, content.photo), "", ""
        except FedGAIError:  # redraw says why
            return gr.skip(), "", ""

    @with_notice(1)
    async def sheet(self, visitor: gr.Request, garment: StudioGarment, link: str, *controls: object) -> tuple[Any, ...]:
        """-> contact sheet, notice."""
        garment, look = self.present(garment, link), self._small(controls)
        bank = look.bank or self.studio.now
        blends: list[Blend] = [{name: 1.0} for name in bank.names]
        return await self._many(visitor, garment, look, blends, lambda step: next(iter(step.weights))), ""

    @with_notice(1)
    async def row(
        self, visitor: gr.Request, garment: StudioGarment, link: str, a: str, b: str, *controls: object
    ) -> tuple[Any, ...]:
        """-> blend row, notice."""
        garment, look = self.present(garment, link), self._small(controls)
        blends = self.studio.blends(look.bank or self.studio.now, a, b)
        return await self._many(visitor, garment, look, blends, lambda step: step.caption), ""

    async def _many(
        self, visitor: gr.Request, garment: StudioGarment, look: Look, blends: list[Blend], caption: Callable[[Look], str]
    ) -> str:
        """Pictures to choose from: one garment in many blends, all else as a contact sheet shows it."""
        steps = [Look(blend, bank=look.bank) for blend in blends]
        async with self.ready(visitor, garment, look, len(steps)) as (job, content):
            sketches = [await job.run(look.pixels, partial(self.studio.draw, content, step)) for step in steps]
        return pieces.choices(
            pieces.Choice(dict(s.weights), pictures.png(sketch), f"{garment.title}, sketched by {caption(s)}", caption(s))
            for s, sketch in zip(steps, sketches, strict=True)
        )

    @with_notice(1)
    async def compared(
        self, visitor: gr.Request, rounds: list[Any], garment: StudioGarment, link: str, *controls: object
    ) -> tuple[Any, ...]:
        """-> two sketches side by side, notice."""
        if len(rounds) != 2 or self.federation is None:
            return "", gr.skip()
        garment, look = self.present(garment, link), self.studio.look(*controls)
        async with self.turns.job(caller_of(visitor), PREPARING + 2 * look.pixels) as job:
            sketches = await job.run(2 * look.pixels, partial(self.federation.compare, garment, look, rounds))
        alt = f"{garment.title}, {look.caption}, drawn by round"
        return pieces.pair(pieces.Captioned(pictures.png(s), f"{alt} {n}", f"Round {n}") for n, s in sketches), gr.skip()

    @with_notice(1)
    async def png(self, visitor: gr.Request, garment: StudioGarment, link: str, paper: str, *controls: object) -> tuple[Any, ...]:
        """-> download, notice."""
        garment, look = self.present(garment, link), self.studio.look(*controls)
        async with self.ready(visitor, garment, look, 1) as (job, content):
            sketch = await job.run(look.pixels, partial(self.studio.draw, content, look, _paper(paper)))
        return _file(pictures.png(sketch), garment, look, "png"), ""

    @with_notice(1)
    async def vector(
        self, visitor: gr.Request, garment: StudioGarment, link: str, paper: str, *controls: object
    ) -> tuple[Any, ...]:
        """-> download, notice."""
        garment, look = self.present(garment, link), self.studio.look(*controls)
        async with self.ready(visitor, garment, look, LATTICES) as (job, content):
            trace = partial(svg_of, self.studio, content, look, garment.title, _paper(paper))
            text = await job.run(LATTICES * look.pixels, trace)
        return _file(pictures.svg(text), garment, look, "svg"), ""

    # -- what else the page does -------------------------------------------------------------------------------------

    def opened(self, visitor: gr.Request, remembered: str) -> tuple[Any, ...]:
        """-> garment, blend, lines, size, cut-out, remark: as the page's address says, or, once more, as the page was."""
        address = visitor.request.url.query if visitor.request is not None else ""
        found = links.read(self.studio, str(remembered or "") or address)
        if found is None:
            return *(gr.skip(),) * 5, ""
        look, remark = found.look, KEPT if found.own else found.wrong
        return found.garment, dict(look.weights), look.lines, look.size, look.cutout, escaped(remark)

    def followed(self, a: str, b: str) -> tuple[Any, ...]:
        """-> mixer, and both ends of the blend row: other designers may be there. What has been set stays."""
        bank = self.studio.now
        names = bank.names
        ends = (gr.Dropdown(names, value=end if end in names else names[i]) for i, end in ((0, a), (-1, b)))
        return gr.update(markup=self.faders(bank)), *ends

    def reset(self) -> tuple[Any, ...]:
        look = self.studio.first_look
        return dict(look.weights), look.lines, look.size, look.cutout

    def example(self, event: gr.EventData) -> tuple[StudioGarment, str]:
        """-> garment, remark."""
        choice = getattr(event, "choice", None)
        found = self.studio.examples.get(choice) if isinstance(choice, str) else None
        return found or self.studio.first_garment, ""

    # -- for these ---------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def ready(
        self, visitor: gr.Request, garment: StudioGarment, look: Look, sketches: int
    ) -> AsyncIterator[tuple[Job, Content]]:
        """The photograph made ready, and the job within which so many sketches of it are drawn. Raises FedGAIError."""
        caller = caller_of(visitor)
        async with self.turns.job(caller, PREPARING + sketches * look.pixels) as job:
            content = partial(self.studio.content, garment, look, session=caller.session)
            yield job, await job.run(PREPARING, content)

    def present(self, garment: StudioGarment, link: str) -> StudioGarment:
        """The garment that the page shows. After a restart this side knows nothing of it, but the page's link does.

        Raises UploadError where it was a photograph of the visitor's own.
        """
        if garment.chosen:
            return garment
        name = links.garment_of(str(link or ""))
        if name == links.OWN:
            raise UploadError(KEPT)
        return self.studio.examples.get(name, garment)

    def _small(self, controls: tuple[object, ...]) -> Look:
        look = self.studio.look(*controls)
        return replace(look, size=min(look.size, SHEET_SIZE))


def portrait(garment: StudioGarment, photo: Image.Image) -> str:
    """The photograph beside the page's upload; HTML."""
    return render("portrait.html", picture=pictures.jpeg(photo, 560), alt=garment.alt)


def chosen_rounds(event: gr.EventData) -> list[Any]:
    """Two rounds of the federation, to compare."""
    rounds = getattr(event, "rounds", None)
    return list(rounds)[:2] if isinstance(rounds, list) else []


def chosen_blend(event: gr.EventData) -> Any:
    """The blend of a picture that was chosen."""
    return getattr(event, "choice", None) or gr.skip()


def _paper(choice: str) -> Paper:
    return "transparent" if choice == "Transparent" else "white"


def _file(data: str, garment: StudioGarment, look: Look, ending: str) -> dict[str, Any]:
    """For a download, such as "trench_coat-Dara-Goro.png"."""
    words = [garment.name or "sketch", *(name for name, _ in look.shares)]
    name = "-".join("".join(c if c.isalnum() else "_" for c in word) for word in words)
    # the time makes every answer a new one: the page saves a file when the value changes
    return {"data": data, "name": f"{name}.{ending}", "time": time.time()}


def _designers(bank: Bank, garment: StudioGarment) -> list[pieces.FaderRow]:
    """Each designer with a detail of a garment in their hand."""
    content = bank.content(garment, Look({}, size=SIZES[0]))
    left, top = content.size[0] // 2 - 40, content.size[1] // 8
    rows = []
    for name, signature in bank.styles.items():
        detail = bank.draw_alone(content, name).crop((left, top, left + 80, top + 80))
        rows.append(pieces.FaderRow(name, name, signature.description, picture=pictures.png(detail)))
    return rows
