"""The page's own components: what Gradio lacks, or has not for the keyboard, or without names for its pictures."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping
from html import escape

import gradio as gr
from gradio.data_classes import ImageData
from PIL import Image

# Plain gr.HTML with a function of studio.js each. Whatever comes from designers or visitors goes in as a value or a
# property, never into a template: templates run what is in them.
PLAIN = {"apply_default_css": False}

COMPARISON = """<figure><div class="paper"><img class="sketch" alt=""><img class="photo" alt="">
<input type="range" min="0" max="100" value="0" aria-label="Compare: how much of the photograph lies over the sketch">
</div><figcaption><span class="title"></span><span class="blend"></span>
<span class="note"></span></figcaption></figure>"""
LINK = """<label for="link-field">Link to this blend</label>
<div class="field"><input id="link-field" readonly><button type="button">Copy link</button></div>"""
DOWNLOAD = """<button type="button">Download PNG</button>"""
PROGRESS = """<div class="now"><img alt="What is there by now" hidden><div><p></p><span class="said" role="status"></span>
<div class="bar" role="progressbar" aria-label="Imagining" aria-valuemin="0" aria-valuemax="100"><span></span></div>
<button type="button" class="act">Cancel</button></div></div>"""
NOTICE = """<p role="status">${value}</p>"""


def photograph(**options: object) -> gr.Image:
    """An upload that only says where the file lies. gr.Image would decode it first, without any of our limits."""
    image = gr.Image(**options)
    # not by a subclass: for one, Gradio writes an interface file beside the source
    image.preprocess = _where
    return image


def _where(payload: ImageData | None) -> str | bytes | None:
    if payload is None or payload.path:
        return payload and payload.path
    try:  # a program may send a data: address
        return base64.b64decode((payload.url or "").partition(",")[2], validate=True)
    except ValueError:
        return b""  # which is refused as any other file that is no picture


def comparison(value: dict) -> gr.HTML:
    """The sketch with the photograph over it, up to a handle. The value is as ``Page.drawn`` gives it."""
    js = "studio.comparison(element, props, watch)"
    return gr.HTML(value, html_template=COMPARISON, js_on_load=js, elem_id="comparison", **PLAIN)


def faders(markup: str, value: dict[str, float], elem_id: str) -> gr.HTML:
    """Sliders, as ``fader_rows`` makes them. The value is {name: number}.

    ``change`` fires when one is let go or moved by a key; gr.Slider's ``release`` knows no keys.
    """
    js = "studio.faders(element, props, watch)"
    return gr.HTML(
        value, html_template="${markup}", markup=markup, js_on_load=js, elem_id=elem_id,
        elem_classes="faders", **PLAIN,
    )  # fmt: skip


def fader_rows(rows: list[dict], elem_id: str) -> str:
    """For ``faders``, one a row: name, label, text, low, high and, if there is one, picture. Other rows may be sent later
    as its ``markup``: what has been set stays."""
    return "".join(_fader(f"{elem_id}-{i}", **row) for i, row in enumerate(rows))


def _fader(key: str, name: str, label: str, text: str, low: float, high: float, picture: str = "") -> str:
    image = f'<img src="{picture}" alt="A detail in {escape(label)}\'s hand">' if picture else ""
    return f"""<div class="fader">{image}<label for="{key}">{escape(label)}</label><output for="{key}"></output>
    <p id="{key}-text">{escape(text)}</p><input type="range" id="{key}" name="{escape(name)}" min="{low}" max="{high}"
    step="0.05" aria-describedby="{key}-text"></div>"""


def picker(value: str, elem_id: str, then: str = "") -> gr.HTML:
    """Pictures to choose from, as ``choices`` makes them; ``select`` brings the choice as EventData, ``then`` is for the page."""
    js = f"studio.picker(element, (choice) => {{ trigger('select', choice); {then} }})"
    return gr.HTML(value, js_on_load=js, elem_id=elem_id, elem_classes="picker", **PLAIN)


def choices(items: Iterable[tuple[object, str, str, str]]) -> str:
    """For ``picker``: (choice, picture's address, alternative text, caption)."""
    return "".join(
        f'<button type="button" data-choice="{escape(json.dumps(choice))}"><img src="{source}" alt="{escape(alt)}">'
        f"<span>{escape(caption)}</span></button>"
        for choice, source, alt, caption in items
    )


def chips(groups: Mapping[str, Iterable[str]], lower: Iterable[str]) -> gr.HTML:
    """Words to choose from, one of a group or none; the value is {group: word}. Radio buttons: one stop a group for Tab.

    Args:
        groups: name -> words.
        lower: categories that have neither neckline nor sleeve: those groups then rest.
    """
    markup = "".join(_group(name, words) for name, words in groups.items())
    js = f"studio.chips(element, props, {json.dumps(sorted(lower))})"
    return gr.HTML({}, html_template=markup, js_on_load=js, elem_id="chips", **PLAIN)


def _group(name: str, words: Iterable[str]) -> str:
    labels = "".join(
        f'<label><input type="radio" name="chip-{name}" value="{escape(word)}"{"" if word else " checked"}>'
        f"<span>{escape(word) or 'any'}</span></label>"
        for word in ("", *words)
    )
    return f'<fieldset data-name="{name}"><legend>{name.capitalize()}</legend><div>{labels}</div></fieldset>'


def progress(value: dict) -> gr.HTML:
    """How far something has come. The value is {phase, text, share, preview}; ``click`` is the wish to cancel it."""
    js = "studio.progress(element, props, watch, () => trigger('click'))"
    return gr.HTML(value, html_template=PROGRESS, js_on_load=js, elem_id="progress", **PLAIN)


def following(edition: str) -> gr.HTML:
    """Asks the server what is new, for itself and for ``federation``; ``select`` says that there is another edition."""
    js = "studio.following(element, props, () => trigger('select'))"
    return gr.HTML(edition, html_template="", js_on_load=js, elem_id="following", **PLAIN)


def federation(parts: Iterable[str], elem_id: str) -> gr.HTML:
    """A place for some parts of what ``following`` hears; ``select`` brings the rounds to compare as EventData."""
    places = "".join(f'<div data-part="{part}"></div>' for part in parts)
    js = "studio.federation(element, (rounds) => trigger('select', { rounds }))"
    return gr.HTML("", html_template=places, js_on_load=js, elem_id=elem_id, elem_classes="federation", **PLAIN)


def pair(items: Iterable[tuple[str, str, str]]) -> str:
    """Two pictures side by side: (picture's address, alternative text, caption)."""
    return "".join(
        f'<figure><img src="{source}" alt="{escape(alt)}"><figcaption>{escape(caption)}</figcaption></figure>'
        for source, alt, caption in items
    )


def link(value: str) -> gr.HTML:
    """A link to copy; the value is what comes after its question mark."""
    js = "studio.link(element, props, watch)"
    return gr.HTML(value, html_template=LINK, js_on_load=js, elem_id="link", **PLAIN)


def download() -> gr.HTML:
    """A button; the {data, name} that its ``click`` listener returns is saved as a file."""
    js = "studio.download(element, props, watch, () => trigger('click'))"
    return gr.HTML({}, html_template=DOWNLOAD, js_on_load=js, elem_id="download", **PLAIN)


def png(image: Image.Image) -> str:
    """Lossless, at its fastest. Pictures travel inside the answer: one round trip, and nothing is kept on disk."""
    return _data_url(image, "PNG", compress_level=1)


def jpeg(image: Image.Image, side: int | None = None) -> str:
    """For photographs; ``side``: px, at most, of the long side."""
    if side:
        image = image.copy()
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return _data_url(image, "JPEG", quality=85)


def encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _data_url(image: Image.Image, kind: str, **options: int) -> str:
    return f"data:image/{kind.lower()};base64,{base64.b64encode(encoded(image, kind, **options)).decode()}"
