"""How well the draughtsman sees, and what that does to the drawings.

    python -m benchmarks.draughtsman --json                                     rendered garments of kinds never trained on
    python -m benchmarks.draughtsman --photos VAL_DIR --json --sheet masks.jpg  and real photographs

``benchmarks/draughtsman.json`` has, for 24 photographs by name, boxes of pure print and lines along seams, in shares of width
and height, marked by hand. ``benchmarks/outlines.json`` has the garments' outlines in the same photographs, drawn by hand, and
for four of them a second time, from the photograph alone: how far the two differ is the error of the hand. Every figure of
today's drawings is taken in the same run, without the draughtsman.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from skimage.draw import polygon2mask
from skimage.morphology import skeletonize
from tqdm import tqdm

from fedgai.content import Content, fit_and_cut
from fedgai.data.listing import find_images
from fedgai.draughtsman import Draughtsman
from fedgai.garments import dye, make
from fedgai.line_types import LINE_TYPES
from fedgai.pipeline import SketchPipeline
from fedgai.training.draughtsman_prints import STRAY, stray_edges
from fedgai.training.dyeing import dye_photograph
from fedgai.training.photographs import DARKEST, facts_about
from fedgai.training.train_draughtsman import HELD_OUT

MARKS = Path(__file__).with_suffix(".json")
OUTLINES = MARKS.with_name("outlines.json")
CONSTRUCTION = [LINE_TYPES.index(name) for name in ("silhouette", "seam", "edge", "fastening")]
LIKELY = 0.4  # likelihood above which a line is taken as seen
NEAR = 3.0  # px of 512
OUTLINE_HANDS = ("Aiko", "Bruno")  # the two whose drawings are lines alone
FINELINER = "Aiko"
SIZE = 512  # px, long side of drawings
INK = 128  # grey below which a pixel is ink
SEAM_REACH = 0.025  # of the long side, how far from a marked seam its ink may lie
LARGE_PIECE = 4  # px, pieces of ink below are dust of the scaling and are not counted
WORST = 3  # masks that are named

Rings = Sequence[Sequence[Sequence[float]]]  # closed polygons of points (x, y), in shares of width and height


def lines_seen(draughtsman: Draughtsman, count: int, seed: int = 9_000) -> dict[str, float]:
    """Construction lines of rendered garments of the kinds that were held out.

    Returns:
        precision, recall and their harmonic mean at ``NEAR``, of lines one pixel wide, means over pictures; the share of the
        prints' edges (away from lines) that was drawn; the overlap of the masks.
    """
    rows = []
    for i in tqdm(range(count), desc="rendered garments"):
        garment = make(seed + i, long_side=SIZE, kind=HELD_OUT[i % len(HELD_OUT)])
        picture = dye(garment, np.random.default_rng([seed, i]))
        seen = draughtsman.look(picture.photo)
        drawn = skeletonize(seen.lines[CONSTRUCTION].max(0) > LIKELY)
        there = skeletonize(picture.lines[CONSTRUCTION].max(0) > 127)
        any_line = picture.lines.max(0) > 127
        precision = _share_near(drawn, there)
        recall = _share_near(there, drawn)
        edges = (picture.print_edges > 127) & (_distance(any_line) > 4)
        solid, alpha = seen.mask > 0.5, picture.alpha > 127
        rows.append(
            (
                precision,
                recall,
                2 * precision * recall / max(precision + recall, 1e-9),
                (_distance(drawn)[edges] <= 1.5).mean() if edges.sum() > 100 else np.nan,
                iou(solid, alpha),
            )
        )
    names = ("precision", "recall", "f_at_3px", "print_edges_drawn", "mask_iou")
    return dict(zip(names, np.nanmean(rows, 0).tolist(), strict=True))


def _distance(lines: np.ndarray) -> np.ndarray:
    """(H, W) bool -> (H, W) float32, px to the nearest true pixel."""
    return cv2.distanceTransform(np.uint8(~lines), cv2.DIST_L2, 5)


def _share_near(lines: np.ndarray, others: np.ndarray) -> float:
    """Share of the true pixels of one (H, W) bool that lie within ``NEAR`` of the other's."""
    return float((_distance(others)[lines] <= NEAR).mean()) if lines.any() and others.any() else float(not lines.any())


def drawings(pipes: dict[str, SketchPipeline], folder: Path) -> dict[str, dict[str, float]]:
    """Ink in pure print, seams kept, and pieces of ink of the fineliner, on the marked photographs.

    Args:
        pipes: what to compare, by name.
        folder: of the photographs that ``MARKS`` names.
    """
    marks = json.loads(MARKS.read_text())
    result = {}
    for name, pipe in pipes.items():
        print_ink, seams, pieces = [], [], []
        for file, mark in tqdm(marks.items(), desc=f"drawings, {name}"):
            content = pipe.prepare(folder / file, SIZE, on_missing="keep")
            for hand in OUTLINE_HANDS:
                ink = np.asarray(pipe.draw(content, {hand: 1}).convert("L")) < INK
                height, width = ink.shape
                boxes = [
                    ink[int(y0 * height) : int(y1 * height), int(x0 * width) : int(x1 * width)]
                    for x0, y0, x1, y1 in mark["print"]
                ]
                print_ink.append(sum(box.sum() for box in boxes) / sum(box.size for box in boxes))
                seams.append(_seams_kept(ink, mark["seams"]))
                if hand == FINELINER:
                    count, _, stats, _ = cv2.connectedComponentsWithStats(np.uint8(ink), connectivity=8)
                    pieces.append(int((stats[1:count, cv2.CC_STAT_AREA] >= LARGE_PIECE).sum()))
        result[name] = {
            "ink_in_print": float(np.mean(print_ink)),
            "seams_kept": float(np.nanmean(seams)),
            "pieces_of_ink": float(np.median(pieces)),
        }
    return result


def _seams_kept(ink: np.ndarray, seams: Sequence[Sequence[Sequence[float]]]) -> float:
    """Share of marked lines with ink within ``SEAM_REACH``; nan where none is marked."""
    height, width = ink.shape
    page = np.zeros(ink.shape, np.uint8)
    for seam in seams:
        cv2.polylines(page, [np.int32(np.round(np.array(seam) * (width, height)))], False, 1)
    along = page > 0
    return float((_distance(ink)[along] <= SEAM_REACH * max(ink.shape)).mean()) if along.any() else float("nan")


def dyed(draughtsman: Draughtsman, folder: Path, prints: int = 3, seed: int = 9_000) -> dict[str, float]:
    """What dyeing changes: lines in plain garments of real photographs, before and after they are dyed with random prints.

    Args:
        draughtsman: that looks.
        folder: of the photographs; those count whose garment is plain in the eyes of the checkpoint's own draughtsman.
        prints: for each garment.
        seed: of the prints.

    Returns:
        How many garments; means over dyed photographs of: the share of the lines before that are drawn after, and the share of
        the lines after that were not there before, both within ``NEAR``. Silhouettes do not count.
    """
    own = SketchPipeline.from_pretrained().model.draughtsman
    assert own is not None
    rows, garments = [], 0
    for number, file in enumerate(tqdm(find_images(folder), desc="dyed photographs")):
        shown, mask = fit_and_cut(file, SIZE, on_missing="keep", draughtsman=own)
        if mask is None or not (mask > 0.5).any():
            continue
        photo = np.asarray(shown)
        if facts_about(photo, mask)["dark"] <= DARKEST or stray_edges(photo, mask, own) >= STRAY:
            continue
        garments += 1
        inside = cv2.erode(np.uint8(mask > 0.5), np.ones((9, 9), np.uint8)) > 0
        before = _inner_lines(draughtsman, photo, inside)
        for i in range(prints):
            printed, _ = dye_photograph(photo, mask, np.random.default_rng([seed, number, i]))
            after = _inner_lines(draughtsman, printed, inside)
            rows.append((_share_near(before, after), 1 - _share_near(after, before)))
    kept, new = np.mean(rows, 0).tolist()
    return {"garments": garments, "lines_kept": kept, "lines_of_prints": new}


def _inner_lines(draughtsman: Draughtsman, photo: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(H, W) bool, one pixel wide, where ``inside``."""
    inner = [i for i, name in enumerate(LINE_TYPES) if name != "silhouette"]
    thin: np.ndarray = skeletonize((draughtsman.look(photo).lines[inner].max(0) > LIKELY) & inside)
    return thin


def masks(pipes: dict[str, SketchPipeline], folder: Path, sheet: Path | None) -> dict[str, float]:
    """Overlap of two pipelines' masks over all photographs; a sheet shows both outlines, the first red, the second green."""
    overlaps, cells = [], []
    for number, file in enumerate(tqdm(find_images(folder), desc="masks")):
        contents = [pipe.prepare(file, 256, on_missing="keep") for pipe in pipes.values()]
        solid = [_solid(content) for content in contents]
        overlaps.append(iou(solid[0], solid[1]))
        cells.append(_outlined(contents[0], solid, f"{number} {overlaps[-1]:.2f}"))
    if sheet is not None:
        cells += [np.full_like(cells[0], 255)] * (-len(cells) % 12)
        rows = [np.hstack(cells[i : i + 12]) for i in range(0, len(cells), 12)]
        cv2.imwrite(str(sheet), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return {
        "photographs": len(overlaps),
        "overlap_median": float(np.median(overlaps)),
        "overlap_below_0.9": int((np.array(overlaps) < 0.9).sum()),
    }


def against_outlines(pipes: dict[str, SketchPipeline], folder: Path) -> dict[str, dict[str, object]]:
    """Masks at ``SIZE`` against the outlines drawn by hand.

    Args:
        pipes, folder: as for ``drawings``.

    Returns:
        for each pipeline mean and median of the intersection over union, the median of the mask's area over the outline's (above
        1 where masks are too wide), and the ``WORST`` photographs; the mean and the least between the two outlines of those
        drawn twice, as ``hand``: what no mask can be expected to exceed.
    """
    outlines = json.loads(OUTLINES.read_text())
    result: dict[str, dict[str, object]] = {}
    for name, pipe in pipes.items():
        found, areas = {}, []
        for file, drawn in tqdm(outlines.items(), desc=f"outlines, {name}"):
            solid = _solid(pipe.prepare(folder / file, SIZE, on_missing="keep"))
            by_hand = filled(drawn["outline"], drawn["holes"], solid.shape)
            found[file] = iou(solid, by_hand)
            areas.append(solid.sum() / by_hand.sum())
        worst = sorted(found, key=found.__getitem__)[:WORST]
        result[name] = {
            "iou_mean": float(np.mean(list(found.values()))),
            "iou_median": float(np.median(list(found.values()))),
            "area_ratio_median": float(np.median(areas)),
            "worst": {file: found[file] for file in worst},
        }
    square = (SIZE, SIZE)  # both outlines are stretched alike, which changes no share
    twice = [
        iou(filled(drawn["outline"], drawn["holes"], square), filled(drawn["again"], [], square))
        for drawn in outlines.values()
        if "again" in drawn
    ]
    result["hand"] = {"iou_mean": float(np.mean(twice)), "iou_least": min(twice), "outlines_drawn_twice": len(twice)}
    return result


def filled(outline: Rings, holes: Rings, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool of that shape, true where a pixel's middle lies within a ring of the outline and in no hole."""
    inside, outside = np.zeros(shape, bool), np.zeros(shape, bool)
    for rings, page in ((outline, inside), (holes, outside)):
        for ring in rings:
            page |= polygon2mask(shape, np.array(ring)[:, ::-1] * shape - 0.5)
    return inside & ~outside


def iou(mask: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two (H, W) bool masks, in [0, 1]; 1 where both are empty."""
    union = (mask | other).sum()
    return float((mask & other).sum() / union) if union else 1.0


def _solid(content: Content) -> np.ndarray:
    """(H, W) bool, true on the garment: everywhere where nothing was cut out."""
    return np.ones(content.size[::-1], bool) if content.mask is None else content.mask > 0.5


def _outlined(content: Content, solid: Sequence[np.ndarray], text: str) -> np.ndarray:
    """A (272, 256, 3) uint8 BGR cell."""
    picture = cv2.cvtColor(np.asarray(content.photo), cv2.COLOR_RGB2BGR)
    for mask, colour in zip(solid, ((0, 0, 255), (0, 255, 0)), strict=True):
        rings, _ = cv2.findContours(np.uint8(mask), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, rings, -1, colour, 1)
    cell = np.full((272, 256, 3), 255, np.uint8)
    cell[: picture.shape[0], : picture.shape[1]] = picture
    cv2.putText(cell, text, (2, 269), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return cell


def times(pipes: dict[str, SketchPipeline], folder: Path, count: int = 24) -> dict[str, float]:
    """Median milliseconds from photograph to content at ``SIZE``, the pipelines in turn on every photograph."""
    files = find_images(folder)
    taken: dict[str, list[float]] = {name: [] for name in pipes}
    for file in files[:: max(1, len(files) // count)]:
        for name, pipe in pipes.items():
            best = min(_seconds(lambda pipe=pipe, file=file: pipe.prepare(file, SIZE, on_missing="keep")) for _ in range(3))
            taken[name].append(1000 * best)
    return {name: float(np.median(values)) for name, values in taken.items()}


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="the validation photographs")
    parser.add_argument("--draughtsman", type=Path, help="weights to measure; the checkpoint's own if left out")
    parser.add_argument("--count", type=int, default=48, help="of rendered garments")
    parser.add_argument("--sheet", type=Path, help="write a sheet of all masks here")
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args(argv)
    now, before = SketchPipeline.from_pretrained(), SketchPipeline.from_pretrained()
    before.model.draughtsman = None
    if options.draughtsman:
        now.model.draughtsman = Draughtsman.load(options.draughtsman)
    if now.model.draughtsman is None:
        parser.error("this checkpoint has no draughtsman: name its weights with --draughtsman")
    pipes = {"before": before, "now": now}
    result: dict[str, object] = {"rendered": lines_seen(now.model.draughtsman, options.count)}
    if options.photos:
        result |= {
            "dyed": dyed(now.model.draughtsman, options.photos),
            "drawings": drawings(pipes, options.photos),
            "masks": masks(pipes, options.photos, options.sheet),
            "masks_against_outlines": against_outlines(pipes, options.photos),
            "milliseconds": times(pipes, options.photos),
        }
    print(json.dumps(result) if options.as_json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
