"""The studio's sketch as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from fedgai.pipeline import SketchPipeline
from studio.sketching import Look, SketchStudio
from studio.vector import svg_of

SVG = "{http://www.w3.org/2000/svg}"


def test_svg_of_a_blend(tiny_model_dir: Path, garment_photo: Path) -> None:
    studio = SketchStudio(SketchPipeline.from_pretrained(tiny_model_dir))
    content = studio.pipeline.prepare(str(garment_photo), 128)
    look = Look({"Ada Line": 1, "Coco Blot": 1})
    root = ET.fromstring(svg_of(studio, content, look, "A shirt <1>"))
    assert root.get("viewBox") == f"0 0 {content.size[0]} 128"
    assert root.findtext(f"{SVG}title") == "A shirt <1>"
    assert root.findtext(f"{SVG}desc") == "Drawn by FedGAI. Ada Line 50%, Coco Blot 50%."
    layers = [group.get("id") for group in root.iter(f"{SVG}g")]
    assert layers[0] == "paper" and "silhouette" in layers
    assert "paper" not in svg_of(studio, content, look, "A shirt", "transparent")
