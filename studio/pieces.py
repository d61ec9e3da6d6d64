"""The page's own components. Gradio lacks them, or its own cannot be used by keyboard, or have no names for pictures.

Each is a plain gr.HTML with a function of studio.js. What comes from designers or visitors goes in through a template, which
escapes it, or as a value or a property. It never goes into ``html_template``: Gradio runs what is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

from studio.templating import render

PLAIN: dict[str, Any] = {"apply_default_css": False}


@dataclass(frozen=True)
class FaderRow:
    """One slider of ``faders``.

    Attributes:
        name: its key in the value.
        label, text: what it says.
        low, high: its ends.
        picture: address of a picture beside it, or "".
    """

    name: str
    label: str
    text: str
    low: float = 0.0
    high: float = 1.0
    picture: str = ""


@dataclass(frozen=True)
class Choice:
    """One picture of ``picker``.

    Attributes:
        value: what its listener gets; anything that JSON has.
        picture: its address.
        alt, caption: what it shows, for those who do not see it and for everybody.
    """

    value: object
    picture: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Captioned:
    """A picture of ``pair``."""

    picture: str
    alt: str
    caption: str


def photograph(**options: Any) -> gr.Image:
    """An upload whose value is what the client says about where the file lies: ``UploadFolder.photo`` checks that. gr.Image
    would decode it first, without any of our limits."""
    image = gr.Image(**options)
    # not by a subclass: for one, Gradio writes an interface file beside the source
    image.preprocess = _where  # type: ignore[method-assign]  # see above
    return image


def _where(payload: ImageData | None) -> str | None:
    return None if payload is None else payload.path or ""  # "": an address instead of a file, which is not here


def text(html: str, elem_id: str | None = None) -> gr.HTML:
    """Something that is shown; the value is HTML, of a template."""
    return gr.HTML(html, elem_id=elem_id, **PLAIN)


def notice(elem_id: str) -> gr.HTML:
    """A place for one sentence; the value is plain text."""
    return gr.HTML("", html_template=render("notice.html"), elem_id=elem_id, elem_classes="notice", **PLAIN)


def comparison(value: dict[str, Any]) -> gr.HTML:
    """The sketch with the photograph over it, up to a handle. The value is as ``StudioPage.drawn`` gives it."""
    js = "studio.comparison(element, props, watch)"
    return gr.HTML(value, html_template=render("comparison.html"), js_on_load=js, elem_id="comparison", **PLAIN)


def faders(markup: str, value: dict[str, float], elem_id: str) -> gr.HTML:
    """Sliders, as ``fader_rows`` makes them. The value is {name: number}.

    ``change`` fires when one is let go or moved by a key; gr.Slider's ``release`` knows no keys.
    """
    js = "studio.faders(element, props, watch)"
    return gr.HTML(
        value, html_template="${markup}", markup=markup, js_on_load=js, elem_id=elem_id, elem_classes="faders", **PLAIN
    )


def fader_rows(rows: Sequence[FaderRow], elem_id: str) -> str:
    """For ``faders``. Other rows may be sent later as its ``markup``: what has been set stays."""
    return render("faders.html", rows=rows, elem_id=elem_id)


def picker(value: str, elem_id: str, then: str = "") -> gr.HTML:
    """Pictures to choose from, as ``choices`` makes them; ``select`` brings the choice as EventData, ``then`` is for the page."""
    js = f"studio.picker(element, (choice) => {{ trigger('select', choice); {then} }})"
    return gr.HTML(value, js_on_load=js, elem_id=elem_id, elem_classes="picker", **PLAIN)


def choices(items: Iterable[Choice]) -> str:
    """For ``picker``."""
    return render("choices.html", choices=list(items))


def chips(groups: Mapping[str, Iterable[str]], lower: Iterable[str]) -> gr.HTML:
    """Words to choose from, one of a group or none; the value is {group: word}. Radio buttons: one stop a group for Tab.

    Args:
        groups: name -> words.
        lower: categories that have neither neckline nor sleeve: those groups then rest.
    """
    js = f"studio.chips(element, props, {json.dumps(sorted(lower))})"
    return gr.HTML({}, html_template=render("chips.html", groups=groups), js_on_load=js, elem_id="chips", **PLAIN)


def progress(value: dict[str, Any]) -> gr.HTML:
    """How far something has come. The value is {phase, text, share, preview}; ``click`` is the wish to cancel it."""
    js = "studio.progress(element, props, watch, () => trigger('click'))"
    return gr.HTML(value, html_template=render("progress.html"), js_on_load=js, elem_id="progress", **PLAIN)


def following(edition: str) -> gr.HTML:
    """Asks the server what is new, for itself and for ``federation``; ``select`` says that there is another edition."""
    js = "studio.following(element, props, () => trigger('select'))"
    return gr.HTML(edition, html_template="", js_on_load=js, elem_id="following", **PLAIN)


def federation(parts: Iterable[str], elem_id: str) -> gr.HTML:
    """A place for some parts of what ``following`` hears; ``select`` brings the rounds to compare as EventData."""
    js = "studio.federation(element, (rounds) => trigger('select', { rounds }))"
    places = render("places.html", parts=list(parts))
    return gr.HTML("", html_template=places, js_on_load=js, elem_id=elem_id, elem_classes="federation", **PLAIN)


def pair(items: Iterable[Captioned]) -> str:
    """Two pictures side by side."""
    return render("pair.html", items=list(items))


def link(value: str) -> gr.HTML:
    """A link to copy; the value is what comes after its question mark."""
    js = "studio.link(element, props, watch)"
    return gr.HTML(value, html_template=render("link.html"), js_on_load=js, elem_id="link", **PLAIN)


def download(kind: str = "PNG", elem_id: str = "download") -> gr.HTML:
    """A button; the {data, name} that its ``click`` listener returns is saved as a file."""
    js = "studio.download(element, props, watch, () => trigger('click'))"
    return gr.HTML({}, html_template=render("download.html", kind=kind), js_on_load=js, elem_id=elem_id, **PLAIN)
