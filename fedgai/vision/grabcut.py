"""GrabCut (Rother et al., 2004) as OpenCV has it, with less computing."""

from __future__ import annotations

import cv2
import numpy as np

SEED = 0  # of OpenCV's k-means, also the one inside GrabCut
FEWEST = 50  # pixels that either side must have among those that k-means sees, or it sees all


def run_grabcut(lab: np.ndarray, labels: np.ndarray, rounds: int, step: int = 1) -> np.ndarray:
    """(h, w, 3) Lab, (h, w) uint8 GrabCut labels -> (h, w) bool. Labels all of one side are left as they are.

    More than half of GrabCut's time goes into a k-means, from which the colours of both sides are then learned. With a ``step``
    above 1 it sees every ``step``-th pixel of every ``step``-th row. Colours are learned from all pixels even so.
    """
    inside = (labels & 1).astype(bool)  # OpenCV numbers both kinds of foreground odd
    if inside.any() and not inside.all():
        colours, models = lab.astype(np.uint8), (np.zeros((1, 65)), np.zeros((1, 65)))
        some: tuple[slice, slice] = np.s_[::step, ::step]
        if min(np.count_nonzero(inside[some]), np.count_nonzero(~inside[some])) < FEWEST:
            some = np.s_[:, :]
        whole = (0, 0, 0, 0)  # not looked at
        cv2.setRNGSeed(SEED)
        cv2.grabCut(np.ascontiguousarray(colours[some]), labels[some].copy(), whole, *models, 0, cv2.GC_INIT_WITH_MASK)
        cv2.grabCut(colours, labels, whole, *models, rounds, cv2.GC_EVAL)
        inside = (labels & 1).astype(bool)
    return inside
