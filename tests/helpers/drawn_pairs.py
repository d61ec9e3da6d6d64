"""A designer's folder of pairs that is small and drawn by code, and a configuration that trains on it in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from fedgai.training.train_config import TrainConfig

SMALL = TrainConfig(size=64, decorr_rows=4, save_every=1000)


def draw_pairs(folder: Path, count: int = 5, side: int = 64) -> Path:
    """Plain garments, photographed on white and drawn with hatching."""
    rng = np.random.default_rng(24)
    for name in ("photos", "sketches"):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        box = (*rng.integers(6, 20, 2), *rng.integers(44, 58, 2))
        box = tuple(int(edge * side / 64) for edge in box)
        photo, sketch = Image.new("RGB", (side, side), "white"), Image.new("RGB", (side, side), "white")
        ImageDraw.Draw(photo).rectangle(box, fill=tuple(int(c) for c in rng.integers(20, 200, 3)))
        pen = ImageDraw.Draw(sketch)
        pen.rectangle(box, outline="black")
        for x in range(box[0], box[2], 5):
            pen.line((x, box[1], x, box[3]), fill="black")
        photo.save(folder / "photos" / f"garment{i}.png")
        sketch.save(folder / "sketches" / f"garment{i}.png")
    return folder
