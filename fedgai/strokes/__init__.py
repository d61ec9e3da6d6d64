"""Strokes: a drawing's second form, as centre lines with a width and a type, and as SVG."""

from fedgai.strokes.drawing import KINDS, Drawing, Stroke, Wash
from fedgai.strokes.raster import to_picture
from fedgai.strokes.svg import to_svg
from fedgai.strokes.trace import is_hatched, trace, trace_lines

__all__ = ["KINDS", "Drawing", "Stroke", "Wash", "is_hatched", "to_picture", "to_svg", "trace", "trace_lines"]
