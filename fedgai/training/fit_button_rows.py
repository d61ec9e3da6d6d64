"""Fits how much each measure of a row of round spots tells of whether it is buttons (``fedgai.vision.button_rows.WEIGHTS``):

    python -m fedgai.training.fit_button_rows --photos PHOTOS_DIR --photos MORE_DIR [--draughtsman FILE]

``reviewed_buttons.json`` names photographs and the ends of each row of buttons. Rows were judged by eye; docs/photographs.md says
on which photographs nobody looked because their kind seldom has buttons.

    "more/shirt/NAME.jpg": [[51.2, 20.1, 50.8, 83.0]]    x and y of its first and its last, in per cent of width and height
    "more/t-shirt/NAME.jpg": []                          none of its likely rows counts as buttons

The weights are those of a logistic regression. It is also fitted to three quarters of the photographs in turn, and counted on
the rest. The same photographs give the same weights on one machine.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fedgai.content import find
from fedgai.draughtsman import Draughtsman
from fedgai.model import DRAUGHTSMAN_FILE
from fedgai.shipped import WEIGHTS
from fedgai.vision.button_rows import ROW, Floats, likely_rows, measures
from fedgai.vision.buttons import seen_at_spots
from fedgai.vision.round_spots import SIDE, round_spots

log = logging.getLogger("fedgai.training.fit_button_rows")

REVIEWED = Path(__file__).with_name("reviewed_buttons.json")
BESIDE = 10.0  # px of a picture that is ``SIDE`` px long, how far from a reviewed row its spots may lie
MOST_OF = 0.8  # share of a row's spots that must
FOLDS = 4
SMALL = 1.0  # how strongly weights are kept small, beside one row


class Reviewed(NamedTuple):
    """The likely rows of one photograph: (n, 7) ``measures``, and (n,) 1 for buttons, 0 for others."""

    measured: Floats
    right: Floats


def review(photo: Path, ends: Sequence[Sequence[float]], draughtsman: Draughtsman) -> Reviewed | None:
    """Measure a photograph's likely rows.

    Args:
        ends: of its rows of buttons: x and y of the first and the last, in per cent.
        draughtsman: with a network for buttons.
    Returns:
        None where there is no garment or no row.
    """
    found = find(photo, draughtsman, cutout=True, on_missing="keep")
    if found.mask is None or found.seen is None or draughtsman.buttons is None:
        return None
    spots = round_spots(np.asarray(found.image), found.mask)
    if spots is None:
        return None
    scores, seen = seen_at_spots(spots, draughtsman.buttons, found.seen.lines)
    rows = likely_rows(spots.places, scores, spots.length, seen)
    if not rows:
        return None
    unit = np.array(found.image.size) * SIDE / max(found.image.size) / 100
    lines = [(np.array(line[:2]) * unit, np.array(line[2:]) * unit) for line in ends]
    right = [any(_lies_along(spots.places[row.members, :2], *line) for line in lines) for row in rows]
    return Reviewed(np.stack([measures(row, spots.places, scores, seen) for row in rows]), np.array(right, np.float64))


def _lies_along(places: Floats, first: Floats, last: Floats) -> bool:
    """Whether most of places (n, 2) lie beside the line through two points, px."""
    along = (last - first) / np.hypot(*(last - first))
    away = np.abs((places - first) @ np.array([-along[1], along[0]]))
    return bool((away < BESIDE).mean() > MOST_OF)


def fit(measured: Floats, right: Floats) -> tuple[Floats, float]:
    """Logistic regression by Newton's method: (n, k) measures, (n,) 0 or 1 -> (k,) weights and the bias of a logit."""
    mean, size = measured.mean(0), measured.std(0) + 1e-6
    x = np.column_stack([(measured - mean) / size, np.ones(len(measured))])
    kept = np.append(np.full(measured.shape[1], SMALL), 1e-3)
    weights = np.zeros(x.shape[1])
    for _ in range(30):
        likely = 1 / (1 + np.exp(-x @ weights))
        curvature = (x.T * (likely * (1 - likely))) @ x + np.diag(kept)
        weights -= np.linalg.solve(curvature, x.T @ (likely - right) + kept * weights)
    own = weights[:-1] / size
    return own, float(weights[-1] - own @ mean)


def held_out(reviewed: Sequence[Reviewed]) -> tuple[int, int]:
    """Fitted to three quarters of the photographs and counted on the rest: on how many a row of buttons counts, and any other."""
    with_buttons = with_others = 0
    for fold in range(FOLDS):
        rest = [one for i, one in enumerate(reviewed) if i % FOLDS != fold]
        weights, bias = fit(np.concatenate([one.measured for one in rest]), np.concatenate([one.right for one in rest]))
        for one in reviewed[fold::FOLDS]:
            counts = one.measured @ weights + bias > ROW
            with_buttons += bool((counts & (one.right > 0)).any())
            with_others += bool((counts & (one.right == 0)).any())
    return with_buttons, with_others


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, action="append", help="a folder of folders by kind; again for more")
    parser.add_argument("--draughtsman", type=Path, default=WEIGHTS / DRAUGHTSMAN_FILE)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    draughtsman = Draughtsman.load(args.draughtsman)
    folders = {folder.resolve().name: folder for folder in args.photos}
    reviewed: list[Reviewed] = []
    for number, (name, ends) in enumerate(json.loads(REVIEWED.read_text()).items()):
        if number % 50 == 0:
            log.info("photograph %d", number)
        folder, rest = name.split("/", 1)
        if folder in folders and (one := review(folders[folder] / rest, ends, draughtsman)) is not None:
            reviewed.append(one)
    if not any(one.right.any() for one in reviewed):
        parser.error(f"none of the photographs that {REVIEWED.name} names with buttons is in these folders")
    weights, bias = fit(np.concatenate([one.measured for one in reviewed]), np.concatenate([one.right for one in reviewed]))
    with_buttons, with_others = held_out(reviewed)
    among = sum(bool(one.right.any()) for one in reviewed)
    print(f"WEIGHTS = {np.round(weights, 3).tolist()}, BIAS = {bias:.3f}, from {len(reviewed)} photographs")
    print(
        f"held out: buttons found on {with_buttons} of {among} photographs whose likely rows have them, others on {with_others}"
    )


if __name__ == "__main__":
    main()
