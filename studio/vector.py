"""The sketch as strokes: SVG, to open in a browser or to edit in Inkscape."""

from __future__ import annotations

from fedgai.content import Content, Paper
from fedgai.strokes import to_svg
from studio.sketching import Look, SketchStudio


def svg_of(studio: SketchStudio, content: Content, look: Look, title: str, paper: Paper = "white") -> str:
    """The sketch of a prepared photograph, traced: an SVG document of at most ``fedgai.strokes.svg.LIMIT`` bytes.

    Args:
        studio, content, look: what draws, what is drawn, and how.
        title: what the document calls itself.
        paper: "white", or "transparent": without a sheet below.
    """
    return to_svg(studio.trace(content, look), title, f"Drawn by FedGAI. {look.caption}.", paper=paper == "white")
