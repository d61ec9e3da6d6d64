"""The sketch as strokes: SVG, to open in a browser or to edit in Inkscape."""

from __future__ import annotations

from typing import Literal

from fedgai.pipeline import Content, SketchPipeline
from fedgai.strokes import to_svg
from studio.drawing import Look


def svg_of(pipeline: SketchPipeline, content: Content, look: Look, title: str,
           paper: Literal["white", "transparent"] = "white") -> str:
    """The sketch of a prepared photograph, traced: an SVG document of at most ``fedgai.strokes.svg.LIMIT`` bytes.

    Args:
        pipeline, content, look: what draws, what is drawn, and how.
        title: what the document calls itself.
        paper: "white", or "transparent": without a sheet below.
    """
    drawing = pipeline.trace(content, list(look.weights.items()), strength=look.strength)
    return to_svg(drawing, title, f"Drawn by FedGAI. {look.caption}.", paper=paper == "white")
