"""How well the weights draw, on photographs they have not seen: quality figures of weights/README.md.

    python -m benchmarks.floors --photos PHOTOS_DIR [--model DIR] [--json]

Photographs are drawn at 512 px on the long side, cut out. "Nearest" is in ``style_distance`` between the frozen encoder's
statistics of one single drawing and signatures of whole sets.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from fedgai import ateliers as atelier
from fedgai.content import Content, look
from fedgai.evaluation.metrics import boundary_fscore, dominant_period, mid_grey_share
from fedgai.measure import measure
from fedgai.model import WEIGHTS
from fedgai.networks.style import blend, style_distance
from fedgai.pipeline import SketchPipeline
from fedgai.vision.cutout import NoGarment

SIZE, PATCH = 512, 48
UNSEEN_HANDS, UNSEEN_SEED, UNSEEN_SKETCHES = 12, 987654, 24


class Bench:
    """A pipeline, the prepared photographs and the ateliers' own drawings of them."""

    def __init__(self, model: str, photos: Path, limit: int | None) -> None:
        self.pipe = SketchPipeline.from_pretrained(model)
        self.channels = self.pipe.model.preset.channels
        self.encoder = self.pipe.model.for_inference().encoder
        self.bank = torch.stack([s.style for s in self.pipe.styles.values()])
        self.names = list(self.pipe.styles)
        paths = sorted(p for p in photos.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
        if limit:  # evenly over the categories
            paths = paths[:: max(1, len(paths) // limit)][:limit]
        self.contents: list[Content] = []
        self.studies: list[atelier.Study] = []
        for path in tqdm(paths, desc="cut out"):
            try:
                content = self.pipe.prepare(path, SIZE)
            except NoGarment:
                continue
            self.contents.append(content)
            draughtsman = self.pipe.model.draughtsman
            seen = look(path, SIZE, SIZE, draughtsman, cutout=True, detail=1.0, print_amount=0.0, on_missing="raise")
            self.studies.append(atelier.study_looked(seen))

    def statistics(self, sketch: Image.Image | np.ndarray) -> torch.Tensor:
        """(D,) of one drawing, measured as hands are."""
        return measure(self.encoder, [sketch])[0]

    def nearest(self, sketch: Image.Image | np.ndarray, bank: torch.Tensor) -> int:
        return int(style_distance(self.statistics(sketch)[None], bank, self.channels).argmin())


def right_hand(bench: Bench) -> dict:
    """Share of drawings nearest to the signature that they were drawn with, among the eight; also the ateliers' own."""
    drawn, own = [], []
    for i, (name, hand) in enumerate(tqdm(atelier.ATELIERS.items(), desc="right hand")):
        assert bench.names[i] == name
        for content, study in zip(bench.contents, bench.studies, strict=True):
            drawn.append(bench.nearest(bench.pipe.draw(content, bench.bank[i]), bench.bank) == i)
            own.append(bench.nearest(atelier.render(study, hand), bench.bank) == i)
    by_hand = np.reshape(drawn, (len(bench.names), -1)).mean(1)
    return {
        "right_hand": np.mean(drawn),
        "right_hand_of_ateliers_own": np.mean(own),
        "right_hand_by_atelier": dict(zip(bench.names, by_hand.tolist(), strict=True)),
    }


def unseen_hand(bench: Bench) -> dict:
    """Signatures from 24 sketches in hands never trained on; drawings nearest to it among that hand and the eight."""
    rng = np.random.default_rng(UNSEEN_SEED)
    hits = []
    for _ in tqdm(range(UNSEEN_HANDS), desc="unseen hand"):
        hand = atelier.random_hand(rng)
        order = rng.permutation(len(bench.contents))
        sketches = [atelier.render(bench.studies[i], hand) for i in order[:UNSEEN_SKETCHES]]
        style = bench.pipe.signature(sketches, "unseen").style
        bank = torch.cat([bench.bank, style[None]])
        rest = order[UNSEEN_SKETCHES : UNSEEN_SKETCHES + 40]
        hits.append(np.mean([bench.nearest(bench.pipe.draw(bench.contents[i], style), bank) == 8 for i in rest]))
    return {"unseen_hand": np.mean(hits), "unseen_hand_worst": np.min(hits)}


def blends(bench: Bench, photos: int = 20, steps: int = 5) -> dict:
    """Share of steps at which the mean distance to B falls, on the way from A to B, over all ordered pairs."""
    contents = bench.contents[:: max(1, len(bench.contents) // photos)][:photos]
    good = []
    for a, b in tqdm(list(itertools.permutations(range(len(bench.names)), 2)), desc="blends"):
        path = []
        for t in np.linspace(0, 1, steps + 1):
            style = blend(bench.bank[[a, b]], [1 - t, t])
            stats = torch.stack([bench.statistics(bench.pipe.draw(c, style)) for c in contents])
            path.append(float(style_distance(stats, bench.bank[b], bench.channels).mean()))
        good += (np.diff(path) < 0).tolist()
    return {"blend_steps_falling": np.mean(good)}


def seams(bench: Bench) -> dict:
    """Boundary F-score (2 px) against the atelier's own drawing of the same photograph."""
    scores = {}
    for (name, hand), style in zip(atelier.ATELIERS.items(), tqdm(bench.bank, desc="seams"), strict=True):
        scores[name] = float(
            np.mean(
                [
                    boundary_fscore(bench.pipe.draw(c, style), atelier.render(s, hand))
                    for c, s in zip(bench.contents, bench.studies, strict=True)
                ]
            )
        )
    return {"boundary_fscore": float(np.mean(list(scores.values()))), "boundary_fscore_by_atelier": scores}


def texture(bench: Bench) -> dict:
    """Hatching and stipple: error of the spectrum's peak in the darkest patch; ink hands: mid-grey against the atelier's."""
    errors, ratios = {}, {}
    for (name, hand), style in zip(atelier.ATELIERS.items(), tqdm(bench.bank, desc="texture"), strict=True):
        pairs = [
            (np.asarray(bench.pipe.draw(c, style).convert("L")), cv2.cvtColor(atelier.render(s, hand), cv2.COLOR_RGB2GRAY), s)
            for c, s in zip(bench.contents, bench.studies, strict=True)
        ]
        if hand.medium == "ink":
            drawn, own = (float(np.mean([mid_grey_share(pair[i]) for pair in pairs])) for i in (0, 1))
            ratios[name] = drawn / own
        if hand.hatch + hand.cross + hand.stipple > 0:
            found = []
            for drawn, own, s in pairs:
                solid = np.where(s.distance > 2, s.tone, 0)
                means = cv2.blur(solid, (PATCH, PATCH), borderType=cv2.BORDER_CONSTANT)
                y, x = np.unravel_index(
                    means[PATCH // 2 : -PATCH // 2, PATCH // 2 : -PATCH // 2].argmax(),
                    (means.shape[0] - PATCH, means.shape[1] - PATCH),
                )
                if means.max() > 0.55:
                    (p, _), (q, _) = (dominant_period(a[y : y + PATCH, x : x + PATCH]) for a in (drawn, own))
                    found.append(abs(p - q) / q)
            errors[name] = {
                "median": float(np.median(found)),
                "within_15_percent": float(np.mean(np.less(found, 0.15))),
                "patches": len(found),
            }
    return {"spectrum_peak_error": errors, "mid_grey_ratio": ratios}


def paper(bench: Bench) -> dict:
    """Share of pixels outside the cut-out, dilated by 4 px, that carry ink (any channel below 200)."""
    shares = {}
    for name, style in zip(bench.names, tqdm(bench.bank, desc="paper"), strict=True):
        inked = []
        for content in bench.contents:
            outside = cv2.dilate((content.mask > 0.5).astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
            sketch = np.asarray(bench.pipe.draw(content, style)).min(2)
            inked.append(float((sketch[outside] < 200).mean()) if outside.any() else 0.0)
        shares[name] = float(np.mean(inked))
    return {"ink_outside": float(np.max(list(shares.values()))), "ink_outside_by_atelier": shares}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floors", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--model", default=str(WEIGHTS))
    parser.add_argument("--limit", type=int, help="use about this many of the photographs")
    parser.add_argument("--only", nargs="*", help="names of the figures to measure")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    bench = Bench(args.model, args.photos, args.limit)
    figures = {"photographs": len(bench.contents)}
    for figure in (right_hand, unseen_hand, seams, texture, paper, blends):
        if not args.only or figure.__name__ in args.only:
            found = figure(bench)
            tqdm.write(json.dumps(found, default=float), file=sys.stderr)  # so that a run cut short has not been for nothing
            figures |= found
    if args.json:
        print(json.dumps(figures, indent=1, default=float))
    else:
        for name, value in figures.items():
            print(f"{name:32} {value if isinstance(value, dict) else round(float(value), 4)}")


if __name__ == "__main__":
    main()
