"""Fits how much each measure of a piece, about which two masks differ, tells of whether it is garment
(``fedgai.vision.mask_pieces.WEIGHTS``):

    git show 8bb8505:weights/draughtsman.safetensors > EARLIER
    python -m fedgai.training.fit_mask_pieces --photos PHOTOS_DIR --photos MORE_DIR --earlier EARLIER --limit 240

Today's draughtsman learned the masks of almost all of these photographs, so it is surer there than on others. The pieces are
therefore those of an earlier one, which had learned from the easy photographs alone. Whether a piece is garment, today's
draughtsman says, where it is sure. Photographs that ``reviewed_masks.json`` names are taken, for they are hard ones: every mask
that today's draughtsman learned there was chosen by eye.

The weights are those of a logistic regression. It is also fitted to three quarters of the photographs in turn, and counted on
the rest.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fedgai.content import AGAIN_SIDE, MASK_SIDE, SILHOUETTE
from fedgai.draughtsman import SIDE, Draughtsman
from fedgai.model import DRAUGHTSMAN_FILE
from fedgai.shipped import WEIGHTS
from fedgai.training.fit_button_rows import FOLDS, Reviewed, fit
from fedgai.training.reviewed_masks import read
from fedgai.vision.cutout import first_masks, shrink, to_lab
from fedgai.vision.images import read_image
from fedgai.vision.mask_pieces import Sight, measures, pieces

log = logging.getLogger("fedgai.training.fit_mask_pieces")

SURE = 0.1  # mean likelihoods this near to 0 and 1 say what a piece is


def review(photo: np.ndarray, earlier: Draughtsman, today: Draughtsman) -> Reviewed | None:
    """Measure the pieces of one photograph that an earlier draughtsman's masks differ by.

    Args:
        photo: (H, W, 3) uint8 RGB.
    Returns:
        Their measures, and 1 for garment, 0 for others. None where there is none, or today's draughtsman is not sure of any.
    """
    lab = to_lab(shrink(shrink(photo, MASK_SIDE), 320))
    small = shrink(photo, SIDE)
    first = earlier.look(small)

    def scaled(plane: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.resize(plane, lab.shape[1::-1], interpolation=cv2.INTER_AREA))

    outline = cv2.dilate(scaled(first.lines[SILHOUETTE]), np.ones((5, 5), np.uint8))
    sight = Sight(lab, scaled(first.mask), scaled(earlier.look(small, AGAIN_SIDE).mask), outline)
    mask, others = first_masks(lab, sight.belief)
    truth = (scaled(today.look(small).mask) + scaled(today.look(small, AGAIN_SIDE).mask)) / 2
    found = [
        (measures(piece, mask, sight, mask), float(truth[piece].mean())) for other in others for piece in pieces(mask, other)
    ]
    sure = [(measured, round(likely)) for measured, likely in found if not SURE < likely < 1 - SURE]
    if not sure:
        return None
    return Reviewed(np.stack([measured for measured, _ in sure]), np.array([right for _, right in sure], np.float64))


def held_out(reviewed: Sequence[Reviewed]) -> tuple[float, float]:
    """Fitted to three quarters of the photographs and counted on the rest: the share of pieces decided rightly so, and by
    GrabCut alone."""
    rightly = by_grabcut = count = 0
    for fold in range(FOLDS):
        rest = [one for i, one in enumerate(reviewed) if i % FOLDS != fold]
        weights, bias = fit(np.concatenate([one.measured for one in rest]), np.concatenate([one.right for one in rest]))
        for one in reviewed[fold::FOLDS]:
            rightly += int(((one.measured @ weights + bias > 0) == (one.right > 0)).sum())
            by_grabcut += int(((one.measured[:, 1] > 0.5) == (one.right > 0)).sum())
            count += len(one.right)
    return rightly / count, by_grabcut / count


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, action="append", help="a folder of folders by kind; again for more")
    parser.add_argument("--earlier", type=Path, required=True, help="weights of an earlier draughtsman")
    parser.add_argument("--draughtsman", type=Path, default=WEIGHTS / DRAUGHTSMAN_FILE)
    parser.add_argument("--limit", type=int, help="so many photographs at most")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    earlier, today = Draughtsman.load(args.earlier), Draughtsman.load(args.draughtsman)
    folders = {folder.resolve().name: folder for folder in args.photos}
    names = [name for name, verdict in read().items() if verdict is not None and name.split("/", 1)[0] in folders]
    files = [folders[name.split("/", 1)[0]] / name.split("/", 1)[1] for name in sorted(names)]
    files = [file for file in np.random.default_rng(0).permutation(np.array(files, object)) if file.exists()][: args.limit]
    reviewed: list[Reviewed] = []
    for number, file in enumerate(files):
        if number % 50 == 0:
            log.info("photograph %d of %d", number, len(files))
        if (one := review(np.asarray(read_image(file)), earlier, today)) is not None:
            reviewed.append(one)
    if len(reviewed) < FOLDS:
        parser.error("these folders have too few photographs with a piece that masks differ by")
    weights, bias = fit(np.concatenate([one.measured for one in reviewed]), np.concatenate([one.right for one in reviewed]))
    rightly, by_grabcut = held_out(reviewed)
    count = sum(len(one.right) for one in reviewed)
    print(f"WEIGHTS = {np.round(weights, 2).tolist()}, BIAS = {bias:.2f}, from {count} pieces of {len(reviewed)} photographs")
    print(f"held out: {rightly:.3f} of the pieces are decided rightly, by GrabCut alone {by_grabcut:.3f}")


if __name__ == "__main__":
    main()
