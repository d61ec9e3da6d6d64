"""Teaches a network what buttons look like, and puts it into a draughtsman's file:

    python -m fedgai.training.train_buttons --draughtsman IN.safetensors \
        --photos PHOTOS_DIR --photos MORE_DIR --out OUT.safetensors

It learns from round spots. On rendered garments (``fedgai/garments``) it is known which are buttons. Photographs lie in one
folder for each kind of garment: on kinds that hardly ever have buttons, no spot is one. Then the network looks at the other
kinds. Spots in rows, and a few that are sure where few others are likely, count as buttons; it learns once more with these.
Nobody's labels are used.

Seeded: the same files give the same weights on one machine.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fedgai.content import fit_and_cut
from fedgai.data.listing import find_images
from fedgai.draughtsman import Draughtsman
from fedgai.garments import make
from fedgai.garments.lines import Vector
from fedgai.training.optimisers import AdamW
from fedgai.training.pages import rendered
from fedgai.vision.button_rows import LEAST, LIKELY, SURE, in_rows
from fedgai.vision.buttons import ButtonNetwork
from fedgai.vision.cutout import NoGarment
from fedgai.vision.images import ImageError
from fedgai.vision.round_spots import SIDE, Spots, round_spots

log = logging.getLogger("fedgai.training.train_buttons")

LONG_SIDE = 576  # px, of a rendered garment
WITHOUT = ("t-shirt", "undershirt", "longsleeve", "skirt", "shorts", "hoodie", "top", "dress")  # folders: kinds without buttons
WITH = ("shirt", "blouse", "polo", "blazer", "outwear")
PRINTED = 15  # likely spots outside of rows, above which a garment's cloth is printed
FEW = 8  # likely spots, up to which sure ones count as buttons without a row
BUTTONS, OTHERS = 32, 96  # patches a step


Kind = str  # of a garment, its folder's name


def of_garments(count: int, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Patches of rendered garments, on two fabrics each: of buttons, and of other spots."""
    rng, yes, no = np.random.default_rng(seed), [], []
    for number in range(count):
        if number % 50 == 0:
            log.info("garment %d of %d", number, count)
        garment = make(seed * 100_003 + number, LONG_SIDE)
        rings = np.array([ring for vector in garment.vectors if (ring := _ring(vector)) is not None]).reshape(-1, 3)
        for _ in range(2):
            page = rendered(garment, rng, None)
            scale = SIDE / max(page.photo.shape[:2])
            spots = round_spots(page.photo, page.mask / np.float32(255))
            for place, patch in zip(spots.places, spots.patches, strict=True) if spots else ():
                away = (
                    np.hypot(*(rings[:, :2] * scale - place[:2]).T) / (rings[:, 2] * scale) if len(rings) else np.array([np.inf])
                )
                nearest = int(away.argmin())
                if away[nearest] < 0.5 and 0.6 < place[2] / (rings[nearest, 2] * scale) < 1.5:
                    yes.append(patch)
                elif away[nearest] > 2.5:
                    no.append(patch)
    return yes, no


def _ring(vector: Vector) -> tuple[float, float, float] | None:
    """Middle and radius of a line that is a button's outline; None for any other line."""
    kind, points, closed = vector
    if kind != "fastening" or not closed or len(points) < 5:
        return None
    middle, size = points.mean(0), np.ptp(points, axis=0)
    radius = float(np.hypot(*(points - middle).T).mean())
    return (float(middle[0]), float(middle[1]), radius) if size.max() < 1.5 * size.min() and 1.2 < radius < 10 else None


def of_photographs(folders: Sequence[Path], most: int, draughtsman: Draughtsman, seed: int) -> Iterator[tuple[Kind, Spots]]:
    """Spots of photographs, ``most`` of each kind at most."""
    rng = np.random.default_rng(seed)
    for kind in (*WITHOUT, *WITH):
        files = [file for folder in folders if (folder / kind).is_dir() for file in find_images(folder / kind)]
        for i in rng.permutation(len(files))[:most]:
            try:
                image, mask = fit_and_cut(files[i], SIDE, draughtsman=draughtsman)
            except (ImageError, NoGarment) as error:
                log.info("%s is left out: %s", files[i].name, error)
                continue
            spots = None if mask is None else round_spots(np.asarray(image), mask)
            if spots is not None:
                yield kind, spots


def learn(yes: Tensor, no: Tensor, steps: int, seed: int) -> ButtonNetwork:
    """Learn to tell patches (N, 3, PATCH, PATCH) of buttons from others, turned, moved and recoloured by chance."""
    torch.manual_seed(seed)
    network, rng = ButtonNetwork().train(), np.random.default_rng(seed)
    optimiser = AdamW(network.parameters(), 2e-3, weight_decay=1e-3)
    want = torch.cat([torch.full((BUTTONS,), 0.95), torch.full((OTHERS,), 0.02)])
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
        chosen = [torch.from_numpy(rng.integers(len(some), size=count)) for some, count in ((yes, BUTTONS), (no, OTHERS))]
        loss = F.binary_cross_entropy_with_logits(network(_varied(torch.cat([yes[chosen[0]], no[chosen[1]]]))), want)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 500 == 499:
            log.info("step %d of %d: %.3f", step + 1, steps, loss.item())
    return network.eval()


def _varied(x: Tensor) -> Tensor:
    count = len(x)
    angle, size = torch.rand(count) * 2 * np.pi, torch.exp(torch.randn(count) * 0.1)
    moved, cosine, sine = torch.randn(count, 2) * 0.04, size * angle.cos(), size * angle.sin()
    turn = torch.stack([torch.stack([cosine, -sine, moved[:, 0]], 1), torch.stack([sine, cosine, moved[:, 1]], 1)], 1)
    x = F.grid_sample(x, F.affine_grid(turn, list(x.shape), align_corners=False), padding_mode="border", align_corners=False)
    light = torch.where(torch.rand(count, 1, 1, 1) < 0.2, -1.0, 1.0)  # a light button on dark cloth, or the other way round
    return x * light * torch.exp(torch.randn(count, 3, 1, 1) * 0.1) + torch.randn_like(x) * torch.rand(count, 1, 1, 1) * 0.15


@torch.inference_mode()
def taken_for_buttons(network: ButtonNetwork, photographs: Sequence[tuple[Kind, Spots]]) -> tuple[list[Tensor], list[Tensor]]:
    """Patches of photographs that count as buttons, and as others, by what a network says of them."""
    yes: list[Tensor] = []
    no: list[Tensor] = []
    for kind, spots in photographs:
        scores = network(spots.patches).numpy().astype(np.float64)
        found = in_rows(spots.places, scores, spots.length)
        of_rows = [bool(len(found)) and bool((np.hypot(*(found[:, :2] - place[:2]).T) < 0.5).any()) for place in spots.places]
        likely = scores > LIKELY
        if kind in WITHOUT:
            no += [patch for patch, score in zip(spots.patches, scores, strict=True) if score > 2 * LEAST]
        elif any(of_rows):
            yes += [patch for patch, row in zip(spots.patches, of_rows, strict=True) if row]
        elif likely.sum() <= FEW:
            yes += [patch for patch, score in zip(spots.patches, scores, strict=True) if score > SURE]
        elif likely.sum() > PRINTED:
            no += [patch for patch, seen in zip(spots.patches, likely, strict=True) if seen]
    return yes, no


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draughtsman", type=Path, required=True, help="whose file gets the network; it cuts out, too")
    parser.add_argument("--photos", type=Path, required=True, action="append", help="a folder of folders by kind; again for more")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--garments", type=int, default=400, help="to render")
    parser.add_argument("--each", type=int, default=120, help="photographs of each kind, at most")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=24)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    draughtsman = Draughtsman.load(args.draughtsman)
    yes, no = of_garments(args.garments, args.seed)
    photographs = list(of_photographs(args.photos, args.each, draughtsman, args.seed))
    no += [patch for kind, spots in photographs if kind in WITHOUT for patch in spots.patches]
    log.info("%d buttons, %d other spots, %d photographs", len(yes), len(no), len(photographs))
    network = learn(torch.stack(yes), torch.stack(no), args.steps, args.seed)
    further, wrong = taken_for_buttons(network, photographs)
    log.info("in photographs: %d buttons, %d others", len(further), len(wrong))
    network = learn(torch.stack(yes + 3 * further), torch.stack(no + 2 * wrong), args.steps, args.seed)
    Draughtsman(draughtsman.network, network).save(args.out)


if __name__ == "__main__":
    main()
