"""docs/sheet.jpg: eight garments in eight hands.

    python docs/sheet.py [--photos DIR] [--model DIR] [--out docs/sheet.jpg] [--size 384]

Without --photos it draws the garments of examples/.
"""

import argparse
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fedgai.model import WEIGHTS  # noqa: E402
from fedgai.pipeline import SketchPipeline  # noqa: E402


def sheet(pipe: SketchPipeline, photos: list[Path], size: int) -> Image.Image:
    """One row a photograph: itself, then every hand of the style bank. Cells are ``size`` x ``size`` px."""
    margin = size // 8
    page = Image.new("RGB", (size * (1 + len(pipe.styles)), margin + size * len(photos)), "white")
    write = ImageDraw.Draw(page)
    font = ImageFont.load_default(margin // 2)
    for column, name in enumerate(["photograph", *pipe.styles]):
        write.text((column * size + size / 2, margin / 2), name, "black", font, anchor="mm")
    for row, photo in enumerate(photos):
        content = pipe.prepare(photo, size - 8)
        for column, picture in enumerate([content.photo, *(s for _, s in pipe.contact_sheet(content))]):
            x, y = column * size + (size - picture.width) // 2, margin + row * size + (size - picture.height) // 2
            page.paste(picture, (x, y))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, default=ROOT / "examples")
    parser.add_argument("--model", default=str(WEIGHTS))
    parser.add_argument("--out", type=Path, default=ROOT / "docs/sheet.jpg")
    parser.add_argument("--size", type=int, default=384)
    args = parser.parse_args()
    found = sorted(p for p in args.photos.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    photos = found[:: max(1, len(found) // 8)][:8]
    sheet(SketchPipeline.from_pretrained(args.model), photos, args.size).save(args.out, quality=90, subsampling=0)


if __name__ == "__main__":
    main()
