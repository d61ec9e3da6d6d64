"""Which pieces of a picture are garment, where two masks of the garment differ: a hanger, a pale hem, the floor under a sleeve.

Each piece is decided by three measures together (``measures``): how likely garment is there at two looks of the draughtsman,
whether GrabCut holds it for garment, and whether its colours are the garment's or the background's. Only where the border of
one mask is far likelier an outline than the other's does that decide alone. How much each measure tells was fitted by
``fedgai.training.fit_mask_pieces``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

SMALLEST = 0.003  # share of a mask that a piece has
SURE = 0.1  # likelihoods this near to 0 and 1 show which colours are the background's and the garment's
CERTAIN = 0.998  # likelihood above which more tells nothing
COLOURS = 600, 120  # pixels of either side, and of a piece, that are compared
NEAREST = 5  # pixels of a side that a pixel is compared with, those most like it
CHANNELS = np.array([0.4, 1.3, 1.3], np.float32)  # of Lab: light falls unevenly on a garment, its hue stays
NOISE = 4.0  # levels of Lab that tell nothing
# what one more of each measure adds to a piece's logit
WEIGHTS = np.array([0.5, 0.83, 3.53])
BIAS = -1.31
LEAST = 0.5  # share of the mask that is left, whatever is decided about its pieces
CLEAR = 0.5  # by how much likelier an outline a piece's border has to be, to decide alone


@dataclass(frozen=True)
class Sight:
    """What decides about pieces, all (h, w).

    Attributes:
        lab: (h, w, 3) float32, the photo, each channel in [0, 255].
        belief, again: float32 in [0, 1], how likely the draughtsman found garment at its first look and at its second.
        outline: float32 in [0, 1], how likely a garment's outline is.
    """

    lab: np.ndarray
    belief: np.ndarray
    again: np.ndarray
    outline: np.ndarray


def pieces(mask: np.ndarray, other: np.ndarray) -> Iterator[np.ndarray]:
    """Where two (h, w) bool masks differ by more than a thread: each piece (h, w) bool."""
    differ = np.asarray(mask ^ other, np.uint8)
    wide = cv2.morphologyEx(differ, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(wide)
    for part in 1 + np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= SMALLEST * mask.sum()):  # 0 is where they agree
        yield (cv2.dilate(np.asarray(parts == part, np.uint8), np.ones((5, 5), np.uint8)) > 0) & (differ > 0)


def measures(piece: np.ndarray, mask: np.ndarray, sight: Sight, held: np.ndarray) -> np.ndarray:
    """What tells whether a piece is garment, (3,).

    The mean log-odds of garment there, of two looks; the share of it that GrabCut held for garment; how much its colours
    are like the garment's, from -1 to 1, 0 where they are as much like the background's.

    Args:
        piece: (h, w) bool.
        mask: (h, w) bool, the garment so far.
        held: (h, w) bool, the mask before any piece was decided: mostly GrabCut's.
    """
    within = np.clip([sight.belief[piece], sight.again[piece]], 1 - CERTAIN, CERTAIN)
    return np.array([np.log(within / (1 - within)).mean(), held[piece].mean(), _likeness(piece, mask, sight)])


def settled(
    mask: np.ndarray, others: Sequence[np.ndarray], look: Callable[[], Sight], tidy: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """An (h, w) bool mask, changed piece by piece where another mask is likelier right.

    Args:
        others: (h, w) bool each.
        look: asked once, where there is a piece to decide; what the second look holds for garment is another mask then.
        tidy: smooths a mask.
    """
    held, sight, waiting = mask, None, list(others)
    while waiting:
        for piece in pieces(mask, waiting.pop(0)):
            if sight is None:
                sight = look()
                waiting.append(tidy(sight.again > 0.5))
            turned = tidy(mask ^ piece)
            if (turned ^ mask)[piece].mean() < 0.5:
                continue  # smoothing undoes it
            if turned.sum() < LEAST * held.sum():
                continue  # not a piece but the garment: the draughtsman is not sure of it anywhere
            clearer = _clearer(mask, turned, sight.outline)
            is_garment = float(measures(piece, mask, sight, held) @ WEIGHTS + BIAS) > 0
            if clearer > CLEAR or (clearer > -CLEAR and is_garment != (mask[piece].mean() > 0.5)):
                mask = turned
    return mask


def border(mask: np.ndarray) -> np.ndarray:
    """(h, w) bool mask -> (h, w) bool, its border."""
    return np.asarray(cv2.morphologyEx(np.asarray(mask, np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0)


def _clearer(mask: np.ndarray, turned: np.ndarray, outline: np.ndarray) -> float:
    """By how much likelier an outline is along what only the second mask's border has, than along what only the first's has."""
    old, new = border(mask), border(turned)
    gone, come = outline[old & ~new], outline[new & ~old]
    return float(come.mean() - gone.mean()) if gone.size and come.size else 0.0


def _likeness(piece: np.ndarray, mask: np.ndarray, sight: Sight) -> float:
    """How much a piece's colours are like those of what is surely garment, and unlike the background's, in [-1, 1]."""
    belief, lab = (sight.belief + sight.again) / 2, sight.lab
    rest = np.asarray(mask & ~piece, np.uint8)
    garment = (cv2.erode(rest, np.ones((3, 3), np.uint8)) > 0) & (belief > 1 - SURE)
    background = (cv2.dilate(np.asarray(mask | piece, np.uint8), np.ones((3, 3), np.uint8)) == 0) & (belief < SURE)
    core = cv2.erode(np.asarray(piece, np.uint8), np.ones((3, 3), np.uint8)) > 0
    sides = [_some(lab[side], COLOURS[0]) for side in (garment, background)]
    if min(map(len, sides)) < NEAREST:
        return 0.0
    colours = _some(lab[core if core.any() else piece], COLOURS[1])
    own, others = (_distances(colours, side) for side in sides)
    return float(((others - own) / (others + own + NOISE)).mean())


def colour_distance(colours: np.ndarray, side: np.ndarray) -> float:
    """Mean distance of (n, 3) Lab colours to those of (m, 3) most like them, in levels, of which lightness counts least."""
    if len(side) < NEAREST:
        return 0.0
    return float(_distances(_some(colours, COLOURS[1]), _some(side, COLOURS[0])).mean())


def _some(colours: np.ndarray, count: int) -> np.ndarray:
    """Of (n, 3) colours evenly taken ones, at least ``count`` and less than twice as many; all where there are fewer."""
    return np.asarray(colours[:: max(1, len(colours) // count)] * CHANNELS)


def _distances(colours: np.ndarray, side: np.ndarray) -> np.ndarray:
    """(n, 3), (m, 3) -> (n,), the mean distance of each colour to the few of the side most like it."""
    away = np.linalg.norm(colours[:, None] - side, axis=2)
    return np.asarray(np.partition(away, NEAREST - 1, axis=1)[:, :NEAREST].mean(1))
