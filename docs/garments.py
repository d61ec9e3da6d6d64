"""docs/garments.jpg: a sheet of 64 procedural garments.

    python docs/garments.py [--out docs/garments.jpg] [--seed 12] [--size 200] [--lines]

With --lines the lines are drawn over the photographs, each type in its own colour.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fedgai.garments import KINDS, dye, make  # noqa: E402

COLOURS = ((0, 0, 0), (220, 0, 0), (0, 130, 0), (230, 140, 0), (90, 90, 255), (220, 0, 220))  # of the line types, in order


def cell(seed: int, size: int, lines: bool) -> Image.Image:
    """One garment on a white square of ``size`` pixels."""
    garment = make(seed, 512, KINDS[seed % len(KINDS)])
    picture = dye(garment, np.random.default_rng([seed, 13]))
    photo = picture.photo.astype(np.float32)
    if lines:
        photo = 0.35 * photo + 0.65 * 255
        for plane, colour in zip(picture.lines, COLOURS, strict=True):
            photo += plane[..., None] / 255 * (np.array(colour, np.float32) - photo)
    image = Image.fromarray(photo.astype(np.uint8))
    image.thumbnail((size - 4, size - 4), Image.Resampling.LANCZOS)
    page = Image.new("RGB", (size, size), "white")
    page.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "garments.jpg")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--size", type=int, default=200, help="of a garment, px")
    parser.add_argument("--lines", action="store_true", help="draw the lines over the photographs")
    args = parser.parse_args()
    side = 8
    page = Image.new("RGB", (side * args.size, side * args.size), "white")
    for place in range(side * side):
        page.paste(cell(args.seed * 1000 + place, args.size, args.lines), (place % side * args.size, place // side * args.size))
    page.save(args.out, quality=85)


if __name__ == "__main__":
    main()
