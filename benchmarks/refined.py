"""Signatures refined at home, on hands from another renderer (``experiments.strangers``), on garments they were not refined on.

    python -m benchmarks.refined --photos TRAIN_DIR --unseen VAL_DIR [--families] [--hands NAME ...] [--without-photographs]
        [--printed] [--sheet FILE.jpg]
    python -m benchmarks.refined --scales --unseen VAL_DIR     measures independent.SCALES and prints them

Each stranger draws 24 garments. The house draws ten others in the measured signature, in the refined one, and in the refined one
with its adapter, which is what a designer shares. All are compared with what the stranger drew of them, by measures that know
nothing of our encoder (0 the same, 1 as two ateliers differ). The strangers leave prints out, as the studio does, unless
``--printed`` says that they draw them.

Printed, too, is the share of drawings that are nearest to the stranger of nine hands, the others being the built-in ones: in our
encoder to the nine signatures as measured; by the other measures to what the stranger drew, and to what the house draws in the
built-in hands, of the same garment. And the share of mid-grey pixels, the house's and the hand's own.

The sheet has a row for each hand; for two garments it shows what the stranger drew, the house in the measured signature, and the
house in what is shared.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from experiments.families import FAMILIES
from experiments.families import draw as draw_family
from experiments.strangers import STRANGERS, Cut, cut
from experiments.strangers import draw as draw_stranger
from fedgai import ateliers as atelier
from fedgai.evaluation import independent
from fedgai.evaluation.metrics import mid_grey_share
from fedgai.measure import read_drawing
from fedgai.model import WEIGHTS, FedGAI
from fedgai.networks.style import Signature, style_distance
from fedgai.pipeline import SketchPipeline
from fedgai.training.refine_signature import RefineConfig, refine

SIZE = 512
Described = dict[str, np.ndarray]  # of ``independent.describe``
Draw = Callable[[Cut, int], np.ndarray]  # a garment and a seed -> (H, W, 3) uint8


def scales(garments: Sequence[Cut]) -> dict[str, float]:
    """Mean distance between two ateliers' drawings of the same garment, by measure."""
    rows = []
    for garment in tqdm(garments, "ateliers"):
        seen = atelier.study(garment.photo, garment.mask)
        drawn = [independent.describe(atelier.render(seen, hand)) for hand in atelier.ATELIERS.values()]
        rows += [independent.distances(a, b) for a, b in itertools.combinations(drawn, 2)]
    return {name: float(np.mean([row[name] for row in rows])) for name in independent.MEASURES}


def nearest(
    model: FedGAI, measured: Signature, sketch: np.ndarray, described: Described, true: Described, built_in: Sequence[Described]
) -> dict[str, bool]:
    """Whether a drawing (H, W, 3), and as ``described``, is nearest to the hand that it is meant to be in, of it and the built-in
    hands."""
    bank = torch.stack([measured.style, *(signature.style for signature in model.styles.values())])
    in_encoder = style_distance(model.signature([sketch], "").style, bank, model.preset.channels)
    by_sight = [independent.distance(described, one) for one in (true, *built_in)]
    return {"encoder": int(in_encoder.argmin()) == 0, "independent": int(np.argmin(by_sight)) == 0}


def measure_hand(
    model: FedGAI,
    hand: Draw,
    own: Sequence[Cut],
    unseen: Sequence[Cut],
    built_in: Sequence[Sequence[Described]],
    photographs: bool,
    config: RefineConfig,
) -> tuple[dict[str, float], np.ndarray]:
    """Distances by signature, over the unseen garments, the share that is nearest to this hand, and the seconds that refining
    took; and this hand's row of the sheet, (SIZE, 6 * SIZE, 3) uint8. ``built_in``: of each unseen garment, what the house draws
    in the built-in hands."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = []
        for i, garment in enumerate(own):
            pair = Path(folder) / f"photo-{i}.png", Path(folder) / f"drawing-{i}.png"
            Image.fromarray(garment.photo).save(pair[0])
            Image.fromarray(hand(garment, i)).save(pair[1])
            pairs.append(pair)
        drawings = [drawing for _, drawing in pairs]
        measured = model.signature(drawings, "stranger")
        started, computed = time.monotonic(), time.process_time()
        if photographs:
            refined = refine(model, measured, pairs, config=config)
        else:
            refined = refine(model, measured, (), drawings, config)
        seconds = {"seconds": time.monotonic() - started, "cpu seconds": time.process_time() - computed}
    shared = refined.signature
    signatures = {"measured": measured, "refined": replace(shared, adapter=None), "with adapter": shared}
    pipe, found = SketchPipeline(model), {name: [] for name in signatures}
    drawn, near, grey = [], {name: [] for name in signatures}, {"own": [], "house": []}
    for garment, others in zip(unseen, built_in, strict=True):
        content = pipe.prepare(Image.fromarray(garment.photo), SIZE, on_missing="keep", side=SIZE)
        drawn.append(hand(garment, 99))
        own_drawing = np.asarray(read_drawing(drawn[-1]))
        true = independent.describe(own_drawing)
        grey["own"].append(mid_grey_share(own_drawing))
        for name, signature in signatures.items():
            sketch = np.asarray(pipe.draw(content, {signature: 1}))
            described = independent.describe(sketch)
            found[name].append(independent.distances(described, true))
            near[name].append(nearest(model, measured, sketch, described, true, others))
            if name != "refined":
                drawn.append(sketch)
            if name == "with adapter":
                grey["house"].append(mid_grey_share(sketch))
    figures = {f"mid-grey, {whose}": float(np.mean(shares)) for whose, shares in grey.items()}
    for name, rows in found.items():
        by_measure = {m: float(np.mean([row[m] for row in rows])) / independent.SCALES[m] for m in independent.MEASURES}
        figures[name] = float(np.mean(list(by_measure.values())))
        figures |= {f"{name} {m}": value for m, value in by_measure.items()}
        figures |= {f"{name} nearest, {m}": float(np.mean([row[m] for row in near[name]])) for m in ("encoder", "independent")}
    row = np.full((SIZE, 6 * SIZE, 3), 255, np.uint8)
    for i, picture in enumerate(drawn[: 3 * min(2, len(unseen))]):
        row[: picture.shape[0], i * SIZE : i * SIZE + picture.shape[1]] = picture
    return figures | seconds, row


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refined", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="garments that the strangers draw at home")
    parser.add_argument("--unseen", type=Path, required=True, help="garments to judge by")
    parser.add_argument("--model", default=str(WEIGHTS))
    parser.add_argument("--families", action="store_true", help="the hands of experiments/families.py")
    parser.add_argument("--hands", nargs="*", choices=[*STRANGERS, *FAMILIES], help="only these")
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--garments", type=int, default=10)
    parser.add_argument("--steps", type=int, default=RefineConfig.steps)
    parser.add_argument("--without-photographs", action="store_true")
    parser.add_argument("--printed", action="store_true", help="the strangers draw the print, too")
    parser.add_argument("--scales", action="store_true")
    parser.add_argument("--sheet", type=Path, help="write the sheet of drawings here")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    model = FedGAI.load(args.model)
    unseen = cut(args.unseen, args.garments, model.draughtsman)
    if args.scales:
        print(json.dumps(scales(unseen)))
        return
    if args.photos is None:
        parser.error("name the garments to draw at home with --photos")
    own = cut(args.photos, args.pairs, model.draughtsman)
    torch.manual_seed(24)
    pipe = SketchPipeline(model)
    built_in = []
    for garment in unseen:
        content = pipe.prepare(Image.fromarray(garment.photo), SIZE, on_missing="keep", side=SIZE)
        built_in.append([independent.describe(pipe.draw(content, {one: 1})) for one in model.styles.values()])
    found, rows = {}, []
    for name in args.hands or (FAMILIES if args.families else STRANGERS):

        def hand(garment: Cut, seed: int, name: str = name) -> np.ndarray:
            what = garment.photo, garment.mask
            seen = None if args.printed else garment.seen
            if name in FAMILIES:
                return draw_family(*what, FAMILIES[name], seed, seen)
            return draw_stranger(*what, STRANGERS[name], seed, seen)

        config = RefineConfig(steps=args.steps)
        found[name], row = measure_hand(model, hand, own, unseen, built_in, not args.without_photographs, config)
        rows.append(row)
        if not args.json:
            f = found[name]
            print(
                f"{name:16} measured {f['measured']:.3f}  refined {f['refined']:.3f}  with adapter {f['with adapter']:.3f}  "
                f"{1 - f['with adapter'] / f['measured']:+.0%}  {f['seconds']:.0f} s, {f['cpu seconds']:.0f} s of computing; "
                f"nearest {f['with adapter nearest, encoder']:.0%}, {f['with adapter nearest, independent']:.0%}; "
                f"mid-grey {f['mid-grey, house']:.1%}, the hand's own {f['mid-grey, own']:.1%}",
                flush=True,
            )
    if args.sheet:
        sheet = Image.fromarray(np.concatenate(rows))
        sheet.resize((1200, round(1200 * sheet.height / sheet.width)), Image.Resampling.LANCZOS).save(args.sheet)
    if args.json:
        print(json.dumps(found, indent=1))
        return
    mean = {name: float(np.mean([f[name] for f in found.values()])) for name in ("measured", "refined", "with adapter")}
    print(f"mean: {', '.join(f'{name} {value:.3f}' for name, value in mean.items())}")
    for m in ("encoder", "independent"):
        shares = [f[f"with adapter nearest, {m}"] for f in found.values()]
        print(f"nearest of nine, {m}: {np.mean(shares):.0%} in the mean, {min(shares):.0%} in the worst hand")
    print(f"nearer in the mean: refined {1 - mean['refined'] / mean['measured']:.0%}", end=", ")
    print(f"with adapter {1 - mean['with adapter'] / mean['measured']:.0%}")


if __name__ == "__main__":
    main()
