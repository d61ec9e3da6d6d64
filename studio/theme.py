"""The look of all our pages (paper, ink and red chalk), and how Gradio serves a page within an application."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from fastapi import FastAPI

from studio import gradio_adapter

HERE = Path(__file__).resolve().parent


def mount(app: FastAPI, demo: gr.Blocks, *more: str, footer_links: Sequence[str] = ()) -> FastAPI:
    """Serve a page at /. Routes of the application's own, added before, come first.

    Args:
        app, demo: the application and its page.
        more: files that this page has beside the studio's: "companion/window" for window.css in that folder and, where
            there is one, window.js.
        footer_links: as Gradio takes them.
    """
    names = "studio", *more
    scripts = [HERE / f"{name}.js" for name in names]
    script = "".join(f"<script>{file.read_text(encoding='utf-8')}</script>" for file in scripts if file.exists())
    styles = [HERE / f"{name}.css" for name in names]
    return gradio_adapter.mount(app, demo, theme=theme(), css_paths=styles, head=script, footer_links=list(footer_links))


def theme() -> gr.themes.Base:
    """Paper, ink and sanguine. Typefaces are Gradio's or the visitor's: the page asks no other server."""
    sanguine = gr.themes.Color(
        "#fbf1ee", "#f5ddd6", "#ebbcb0", "#de9483", "#cc6a56", "#a8402d", "#933525", "#7a2c1f", "#5f231a", "#471b15", "#2d110d"
    )
    stone = gr.themes.Color(
        "#faf8f4", "#f3f0ea", "#e6e1d8", "#d3ccc0", "#aaa194", "#7b7367", "#5b544b", "#433e37", "#2c2925", "#1d1b18", "#141311"
    )
    # one of the few faces in Gradio 6.31 with all Latin letters (its Lora and Source Sans 3 lack most)
    sans = gr.themes.LocalFont("Source Sans Pro", weights=(400, 700))
    return gr.themes.Base(
        primary_hue=sanguine,
        secondary_hue=sanguine,
        neutral_hue=stone,
        radius_size=gr.themes.sizes.radius_none,
        font=(sans, "system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_padding="0px",
        block_label_text_color="*neutral_600",
        block_info_text_color="*neutral_600",
        block_title_text_color="*neutral_600",
        link_text_color_dark="#d9816d",
        link_text_color_hover_dark="#e5a18f",
        link_text_color_active_dark="#d9816d",
        link_text_color_visited_dark="#d9816d",
    )
