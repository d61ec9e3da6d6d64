"""How well SVG stands for the sketch that it was traced from: the floors of the strokes.

    python -m benchmarks.strokes --photos PHOTOS_DIR [--limit N] [--json]

Each photograph is cut out and drawn at 512 px in every hand of the bank, traced, written as SVG and drawn again by resvg,
another program. ``boundary_fscore`` compares that with the sketch, within 2 px, for the hands that draw outlines alone. A
silhouette is closed if paint poured beside the garment does not get in. Times are one core's, for tracing and writing at
768 px; the network's drawings come on top.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import statistics
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from fedgai.ateliers import ATELIERS
from fedgai.content import Content
from fedgai.data.listing import find_images
from fedgai.evaluation.metrics import boundary_fscore
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import WEIGHTS
from fedgai.strokes import Drawing, to_svg, trace
from fedgai.vision.cutout import NoGarment

SIZE, TOLERANCE = 512, 2  # px
TIMED_SIZE = 768  # px
OUTLINE = [name for name, hand in ATELIERS.items() if not (hand.hatch or hand.cross or hand.stipple or hand.shade or hand.wash)]


@dataclass
class Results:
    """What was measured, by hand; ``missed`` counts photographs in which no garment was found."""

    fscores: dict[str, list[float]] = field(default_factory=dict)
    kilobytes: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    strokes: dict[str, list[float]] = field(default_factory=dict)
    closed: list[bool] = field(default_factory=list)
    missed: int = 0

    def summary(self) -> dict[str, object]:
        """What is printed; every figure beside its floor."""
        outline = [score for name in OUTLINE for score in self.fscores[name]]
        return {
            "photographs": len(self.closed),
            "no_garment": self.missed,
            "outline_hands": OUTLINE,
            "boundary_fscore": {
                "mean": statistics.mean(outline),
                "median": statistics.median(outline),
                "worst": min(outline),
                "share_above_floor": float(np.mean(np.array(outline) >= 0.92)),
                "floor": 0.92,
            },
            "boundary_fscore_by_hand": {name: statistics.mean(scores) for name, scores in self.fscores.items()},
            "closed_silhouettes": {"share": float(np.mean(self.closed)), "floor": 0.98},
            "kilobytes": {
                "largest": max(map(max, self.kilobytes.values())),
                "floor": 150,
                "median_by_hand": {name: statistics.median(v) for name, v in self.kilobytes.items()},
            },
            "seconds": {
                "largest": max(map(max, self.seconds.values())),
                "floor": 0.5,
                "median_by_hand": {name: statistics.median(v) for name, v in self.seconds.items()},
                "largest_by_hand": {name: max(v) for name, v in self.seconds.items()},
            },
            "strokes_median_by_hand": {name: statistics.median(v) for name, v in self.strokes.items()},
            "machine": platform.processor() or platform.machine(),
        }


def rendered(svg: str) -> np.ndarray:
    """(H, W, 3) uint8, an SVG on white as resvg draws it."""
    import resvg_py  # of requirements-dev.txt

    picture = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, background="white"))))
    return np.asarray(picture.convert("RGB"))


def is_closed(drawing: Drawing, mask: np.ndarray) -> bool:
    """Whether the silhouette alone keeps paint that is poured beside the garment out of its middle.

    Args:
        mask: (H, W) float32 in [0, 1].
    """
    silhouette = replace(drawing, strokes=tuple(drawing.of_kind("silhouette")), washes=(), dots=drawing.dots[:0])
    ink = rendered(to_svg(silhouette)).min(2) < 160
    open_paper = np.pad(~ink, 1, constant_values=True).astype(np.uint8)
    _, areas = cv2.connectedComponents(open_paper, connectivity=4)
    reach = max(3, max(mask.shape) // 40)
    middle = cv2.erode(np.pad((mask > 0.5).astype(np.uint8), 1), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    middle &= open_paper > 0
    return bool(middle.any()) and not (areas[middle] == areas[0, 0]).any()


def measure(pipe: SketchPipeline, photos: list[Path], names: list[str]) -> Results:
    """Draw, trace and compare every photograph in the hands of these names."""
    found = Results()
    for by_hand in (found.fscores, found.kilobytes, found.seconds, found.strokes):
        by_hand.update({name: [] for name in names})
    for path in tqdm(photos, desc="photographs", disable=None):
        try:
            content, large = pipe.prepare(path, SIZE), pipe.prepare(path, TIMED_SIZE)
        except NoGarment:
            found.missed += 1
            continue
        drawings = {name: _measure_hand(pipe, content, large, name, found) for name in names}
        assert content.mask is not None
        found.closed.append(all(is_closed(drawings[name], content.mask) for name in names if name in OUTLINE))
    return found


def _measure_hand(pipe: SketchPipeline, content: Content, large: Content, name: str, found: Results) -> Drawing:
    sketch, drawing = np.asarray(pipe.draw(content, {name: 1})), pipe.trace(content, {name: 1})
    svg = to_svg(drawing)
    found.fscores[name].append(boundary_fscore(rendered(svg), sketch, TOLERANCE))
    found.strokes[name].append(sum(stroke.kind != "hatching" for stroke in drawing.strokes))
    found.kilobytes[name].append(len(svg.encode()) / 1000)
    picture, lines = pipe.layers(large, {name: 1})
    start = time.process_time()
    large_svg = to_svg(trace(picture, large.mask, lines=lines))
    found.seconds[name].append(time.process_time() - start)
    found.kilobytes[name].append(len(large_svg.encode()) / 1000)
    return drawing


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strokes", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, metavar="PHOTOS_DIR")
    parser.add_argument("--model", default=str(WEIGHTS), metavar="DIR_OR_REPO")
    parser.add_argument("--limit", type=int, help="use so many photographs, evenly from all")
    parser.add_argument("--hands", nargs="*", help="names of the bank; all if left out")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    photos = find_images(args.photos)
    if args.limit:
        photos = photos[:: max(1, len(photos) // args.limit)][: args.limit]
    pipe = SketchPipeline.from_pretrained(args.model)
    summary = measure(pipe, photos, args.hands or list(pipe.styles)).summary()
    print(json.dumps(summary, indent=1) if args.json else "\n".join(f"{name:24} {value}" for name, value in summary.items()))


if __name__ == "__main__":
    main()
