"""A designer's folder of drawings, drawn by code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def sketch(seed: int, side: int = 96) -> Image.Image:
    """Some strokes on white, as a drawing that no other seed has."""
    rng, image = np.random.default_rng(seed), Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(image)
    for _ in range(5):
        pen.line([tuple(p) for p in rng.integers(4, side - 4, (3, 2)).tolist()], "black", 3)
    pen.ellipse([*sorted(rng.integers(4, side - 4, 2).tolist()), side - 3, side - 3], fill="grey")
    return image


def fill(folder: Path, count: int, first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        sketch(i).save(folder / f"no. {i:03d}.png")
    return folder


def drawn(folder: Path, count: int) -> Path:
    folder.mkdir()
    for i in range(count):
        sheet = Image.new("RGB", (200, 260), "white")
        ImageDraw.Draw(sheet).polygon([(40 + i, 40), (160, 50), (150, 220), (50, 210)], outline="black", width=3)
        sheet.save(folder / f"{i}.png")
    return folder
