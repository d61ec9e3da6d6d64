"""Cut-outs of many photographs on one sheet, as silhouettes, to judge by eye: ``python docs/cutouts.py PHOTOS_DIR``.

The photographs themselves are not shown: what a repository ships are pictures that the project draws.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fedgai.content import fit_and_cut  # noqa: E402
from fedgai.data.listing import find_images  # noqa: E402
from fedgai.pipeline import SketchPipeline  # noqa: E402

CELL, ACROSS = 120, 15  # px, and cells in a row
CLOTH, PAPER, REFUSED = 90, 255, 225  # grey levels


def sheet(photos: list[Path], pipe: SketchPipeline) -> Image.Image:
    """Each photograph's cut-out in a frame of its proportions, numbered in their order; grey where none was found."""
    rows = -(-len(photos) // ACROSS)
    page = Image.new("L", (ACROSS * CELL, rows * (CELL + 12)), PAPER)
    draw = ImageDraw.Draw(page)
    for i, file in enumerate(photos):
        image, mask = fit_and_cut(file, CELL - 8, draughtsman=pipe.model.draughtsman, on_missing="keep")
        shape = np.full(image.size[::-1], REFUSED) if mask is None else PAPER + (CLOTH - PAPER) * mask
        x, y = i % ACROSS * CELL + 4, i // ACROSS * (CELL + 12) + 12
        page.paste(Image.fromarray(np.uint8(shape)), (x, y))
        draw.rectangle((x, y, x + image.width - 1, y + image.height - 1), outline=200)
        draw.text((x, y - 11), str(i), fill=0)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "cutouts.png")
    arguments = parser.parse_args()
    page = sheet(sorted(find_images(arguments.photos)), SketchPipeline.from_pretrained())
    page.quantize(16).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
