"""Files that a studio on the open internet gets sooner or later."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image


def bad_pictures(folder: Path) -> dict[str, Path]:
    """Name -> file. None of them can be sketched, and each should be answered in a sentence."""
    names = ("text.png", "dot.png", "wide.png", "bomb.png", "cut_short.jpg", "empty.jpg")
    files = {name: folder / name for name in names}
    files["text.png"].write_text("This is not a picture.\n" * 50)
    Image.new("RGB", (1, 1), "red").save(files["dot.png"])
    Image.new("RGB", (30_000, 40), "red").save(files["wide.png"])
    Image.new("1", (20_000, 20_000)).save(files["bomb.png"])  # 50 KB that would become 400 MB
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    noise.save(files["cut_short.jpg"])
    files["cut_short.jpg"].write_bytes(files["cut_short.jpg"].read_bytes()[:2000])
    files["empty.jpg"].write_bytes(b"")
    return files


def heavy_file(folder: Path) -> Path:
    """40 MB with a picture's name."""
    path = folder / "heavy.jpg"
    path.write_bytes(os.urandom(40 * 2**20))
    return path


def flat_picture(folder: Path) -> Path:
    """A picture with no garment in it."""
    path = folder / "flat.png"
    Image.new("RGB", (400, 500), (128, 130, 133)).save(path)
    return path


def shirt_picture(folder: Path) -> Path:
    """A photograph of sorts: a blue shirt on a light table."""
    from PIL import ImageDraw

    image = Image.new("RGB", (600, 700), (232, 228, 220))
    draw = ImageDraw.Draw(image)
    outline = [
        (210, 110),
        (270, 140),
        (330, 140),
        (390, 110),
        (540, 220),
        (490, 320),
        (420, 270),
        (420, 600),
        (180, 600),
        (180, 270),
        (110, 320),
        (60, 220),
    ]
    draw.polygon(outline, (52, 84, 140))
    draw.line([(300, 145), (300, 600)], (30, 50, 95), 4)
    for y in range(200, 600, 60):
        draw.ellipse((306, y, 316, y + 10), (230, 230, 230))
    draw.rectangle((340, 260, 400, 330), outline=(30, 50, 95), width=3)
    path = folder / "shirt.jpg"
    image.save(path, quality=92)
    return path
