"""After one round at home: is a designer's own Generator nearer to their own hand than the house with their signature?

    python -m benchmarks.home --photos TRAIN_DIR --unseen VAL_DIR [--hands 3] [--square 512] [--without-photographs]
        [--sheet FILE] [--json]

Random hands of the ateliers' kind draw garments at home, without their prints. The private Generator trains on these pairs
for as many epochs as a round has. It and the house then draw other garments, and both are compared with what that hand draws
of them, by measures that know nothing of our encoder (0 the same, 1 as two ateliers differ). "others changed" is the same
distance between the private Generator's and the house's drawings in the eight built-in hands. The Discriminator is the house's,
not an aggregate's. With ``--without-photographs`` the designer has the drawings alone, as the companion takes them (``pair_up``).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from experiments.strangers import Cut, cut
from fedgai.ateliers import render
from fedgai.ateliers.hands import Hand, random_hand
from fedgai.ateliers.studies import study_looked
from fedgai.data.pair_up import pair_up
from fedgai.data.pairs import PairFolder
from fedgai.evaluation import independent
from fedgai.model import FedGAI
from fedgai.networks.style import Signature
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import WEIGHTS
from fedgai.training.local import LocalTrainer
from fedgai.training.refine_signature import refine
from fedgai.training.train_config import TrainConfig

SIZE = 512  # px, of the drawings that are compared
EPOCHS, BETA = 11, 0.1  # of a round
OTHERS = 3  # garments that are drawn in the house's hands
CELL, SHOWN = 320, 3  # px of a picture on the sheet; garments of a hand


def away(model: FedGAI, signature: Signature, hand: Hand, unseen: Sequence[Cut]) -> float:
    """Mean independent distance of a model's drawings to what the hand draws of the same garments."""
    pipe, found = SketchPipeline(model), []
    for garment in unseen:
        content = pipe.prepare(Image.fromarray(garment.photo), SIZE, on_missing="keep", side=SIZE)
        drawn = independent.describe(pipe.draw(content, {signature: 1}))
        found.append(independent.distance(drawn, independent.describe(render(study_looked(garment.seen), hand))))
    return float(np.mean(found))


def rows(model: FedGAI, house: FedGAI, signature: Signature, hand: Hand, unseen: Sequence[Cut]) -> Image.Image:
    """A row a garment: what the hand draws of it, the house's drawing, and the model's."""
    page = Image.new("RGB", (3 * CELL, CELL * len(unseen)), "white")
    for y, garment in enumerate(unseen):
        cells = [Image.fromarray(render(study_looked(garment.seen), hand))]
        for drawer in (house, model):
            pipe = SketchPipeline(drawer)
            content = pipe.prepare(Image.fromarray(garment.photo), SIZE, on_missing="keep", side=SIZE)
            cells.append(pipe.draw(content, {signature: 1}))
        for x, cell in enumerate(cells):
            cell.thumbnail((CELL - 8, CELL - 8))
            page.paste(cell, (CELL * x + (CELL - cell.width) // 2, CELL * y + (CELL - cell.height) // 2))
    return page


def others_changed(model: FedGAI, house: FedGAI, unseen: Sequence[Cut]) -> float:
    """Mean independent distance of a model's drawings in the house's hands to the house's."""
    pipes, found = (SketchPipeline(model), SketchPipeline(house)), []
    for garment in unseen[:OTHERS]:
        content = pipes[0].prepare(Image.fromarray(garment.photo), SIZE, on_missing="keep", side=SIZE)
        for signature in house.styles.values():
            mine, theirs = (independent.describe(pipe.draw(content, signature.style)) for pipe in pipes)
            found.append(independent.distance(mine, theirs))
    return float(np.mean(found))


def measure(
    hand: Hand, own: Sequence[Cut], unseen: Sequence[Cut], epochs: int, square: int, photographs: bool, folder: Path
) -> tuple[dict[str, float], Image.Image]:
    """One hand: distances of the house and of the own Generator, and seconds until the signature and the round are done; and its
    part of the sheet."""
    for kind in ("photos", "sketches"):
        (folder / kind).mkdir(parents=True)
    for i, garment in enumerate(own):
        Image.fromarray(garment.photo).save(folder / "photos" / f"{i:03d}.png")
        Image.fromarray(render(study_looked(garment.seen), hand)).save(folder / "sketches" / f"{i:03d}.png")
    drawings = sorted((folder / "sketches").iterdir())
    house, started = FedGAI.load(WEIGHTS), time.monotonic()
    model = FedGAI.load(WEIGHTS)
    if not photographs:
        folder = folder / "from drawings"
        assert house.draughtsman is not None  # the shipped weights have one
        pair_up(drawings, folder, house.draughtsman)
    bank = torch.stack([signature.style for signature in model.styles.values()])
    pairs = PairFolder(folder, square, skip_bad=True, draughtsman=model.draughtsman)
    config = TrainConfig(epochs=epochs, size=square, beta=BETA, trained_before=True, freeze_batchnorm=True, save_every=10**6)
    trainer = LocalTrainer(model, pairs, config, folder / "model", name="own", others=bank)
    measured = trainer.signature
    refined = refine(house, measured, pairs.report.pairs).signature
    trainer.take_style(replace(refined, name="own"))
    alone = replace(refined, adapter=None)  # the adapter changes the house's weights, not the own ones
    ready = time.monotonic() - started
    trainer.run()
    trained = time.monotonic() - started
    found = {"seconds until the signature is refined": ready, "seconds until the round is trained": trained}
    for name, signature in (("measured", measured), ("refined", alone)):
        found[f"house, {name}"] = away(house, signature, hand, unseen)
        found[f"own, {name}"] = away(model.eval(), signature, hand, unseen)
    found["house, with adapter"] = away(house, refined, hand, unseen)
    found["others changed"] = others_changed(model, house, unseen)
    return found, rows(model, house, alone, hand, unseen[1 : 1 + 2 * SHOWN : 2])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.home", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="garments that are drawn at home")
    parser.add_argument("--unseen", type=Path, required=True, help="garments to judge by")
    parser.add_argument("--drawings", type=int, default=24)
    parser.add_argument("--garments", type=int, default=10, help="to judge by")
    parser.add_argument("--hands", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--square", type=int, default=512, help="px, at which the own Generator is trained")
    parser.add_argument("--without-photographs", action="store_true", help="learn from the drawings alone")
    parser.add_argument("--seed", type=int, default=24)
    parser.add_argument("--sheet", type=Path, help="also draw garments of each hand into this picture")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    draughtsman = FedGAI.load(WEIGHTS).draughtsman
    own, unseen = cut(args.photos, args.drawings, draughtsman), cut(args.unseen, args.garments, draughtsman)
    rng, found, sheets = np.random.default_rng(args.seed), [], []
    for number in range(args.hands):
        with tempfile.TemporaryDirectory() as folder:
            figures, sheet = measure(
                random_hand(rng), own, unseen, args.epochs, args.square, not args.without_photographs, Path(folder) / "hand"
            )
        found.append(figures)
        sheets.append(np.asarray(sheet))
        if not args.json:
            print(f"hand {number + 1}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()), flush=True)
    if args.sheet:
        Image.fromarray(np.concatenate(sheets)).save(args.sheet, quality=80)
    mean = {name: float(np.mean([figures[name] for figures in found])) for name in found[0]}
    ratio = mean["own, refined"] / mean["house, refined"]
    print(json.dumps({"hands": found, "mean": mean, "own to house": ratio}) if args.json else f"own to house: {ratio:.2f}")


if __name__ == "__main__":
    main()
