"""Repair the cut-out by hand: the outline over the photograph, two brushes, and what they ask of the studio.

The page keeps the strokes (``outline_repair.js``) and sends all of them after each one. Their garment is a new garment, so
that everything that shows it is drawn again.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr

from fedgai.errors import FedGAIError, sentence
from fedgai.vision.repair import POINTS, STROKES, UNIT, outline, read_strokes
from studio import pictures
from studio.callers import caller_of
from studio.failures import SORRY, describe
from studio.listeners import StudioPage
from studio.pieces import PLAIN
from studio.sketching import CutOut, LookError, StudioGarment
from studio.templating import render
from studio.turns import PREPARING

log = logging.getLogger(__name__)

UNCUT = "The cut-out is switched off: switch it on to repair it."
NO_OUTLINE = "No garment was found: paint over it with “belongs”."


class OutlineRepair:
    """The listeners of the dialog.

    Args:
        page: whose garment is repaired.
    """

    def __init__(self, page: StudioPage) -> None:
        self.page = page

    async def opened(self, visitor: gr.Request, garment: StudioGarment, link: str, *controls: object) -> dict[str, Any]:
        """-> dialog: the photograph, its outline, and the strokes so far."""
        try:
            garment = self.page.present(garment, link)
            cut = await self._cut(visitor, garment, *controls)
        except Exception as error:
            return {"error": _sentence(error), "version": 0}
        width, height = cut.photo.size
        strokes = [
            {"belongs": s.belongs, "radius": s.radius, "points": [n for point in s.points for n in point]}
            for s in garment.strokes
        ]
        return {
            "photo": pictures.jpeg(cut.photo),
            "width": width,
            "height": height,
            "outline": outline(cut.mask),
            "strokes": strokes,
            "version": 0,
            "error": "" if cut.mask is not None else NO_OUTLINE,
        }

    async def painted(
        self, visitor: gr.Request, event: gr.EventData, garment: StudioGarment, link: str, *controls: object
    ) -> tuple[Any, Any]:
        """-> dialog: the outline as the strokes say; garment."""
        version = getattr(event, "version", 0)
        version = version if isinstance(version, int) else 0
        try:
            garment = replace(
                self.page.present(garment, link), strokes=read_strokes(getattr(event, "strokes", None)), chosen=True
            )
            cut = await self._cut(visitor, garment, *controls)
        except Exception as error:
            return {"error": _sentence(error), "version": version}, gr.skip()
        return {"outline": outline(cut.mask), "version": version, "error": ""}, garment

    async def _cut(self, visitor: gr.Request, garment: StudioGarment, *controls: object) -> CutOut:
        """Raises FedGAIError."""
        look, caller = self.page.studio.look(*controls), caller_of(visitor)
        if not look.cutout:
            raise LookError(UNCUT)
        async with self.page.turns.job(caller, PREPARING) as job:
            return await job.run(PREPARING, partial(self.page.studio.now.cutout, garment, caller.session))


def dialog() -> gr.HTML:
    """A button, and the dialog that it opens. ``click`` says that it was opened, ``select`` brings strokes as EventData."""
    limits = {"unit": UNIT, "strokes": STROKES, "points": POINTS}
    js = f"studio.repair(element, props, watch, trigger, {limits})"
    return gr.HTML({}, html_template=render("repair.html"), js_on_load=js, elem_id="repair", **PLAIN)


def _sentence(error: Exception) -> str:
    if isinstance(error, FedGAIError):
        return sentence(error)
    log.error("a repair failed: %s", describe(error))
    return SORRY
