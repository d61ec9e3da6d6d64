"""Masks of hard photographs, chosen by eye from two opinions: ``reviewed_masks.json``.

The cut-out and U²-Net differ where a garment is hard to tell from what it lies on, and now and then both are wrong together: a
hanger's clips, the floor between sleeve and body. A person looked at both and noted, for each photograph of *clothing-dataset*
and *clothing-dataset-small* (never one of those that are measured on), which one is right and what to take away from it:

    "more/pants/NAME.jpg": {"take": "saliency", "above": [[0, 5], [100, 6]]}
    "more/shirt/NAME.jpg": {"take": "cutout", "without": [[[13, 0], [19, 0], [13, 11]]], "gaps": true}
    "more/dress/NAME.jpg": null                          neither is right: not taken

Places are in per cent of the picture's width and height. ``above``: what lies above this line is taken away (a hanger and its
clips). ``without``: so is what lies within these polygons. ``gaps``: so are patches with the colours of what lies around the
garment (``without_gaps``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fedgai.errors import FedGAIError

FILE = Path(__file__).with_suffix(".json")
TAKEN = ("cutout", "saliency", "both", "either")  # both: where the two overlap; either: all that one of them takes
UNSURE = 4  # px on both sides of a line drawn by hand where nothing is known
COLOURS = 6, 8  # that describe what lies around a garment, and the garment
ALIKE = 14  # levels of Lab between colours of both that tell nothing apart
NEAR = 22  # levels of Lab within which a patch has a colour of what lies around
SMALLEST_GAP = 0.003  # share of the garment


@dataclass(frozen=True)
class MaskReview:
    """What was noted about one photograph; see this file's docstring.

    Attributes:
        take: one of ``TAKEN``.
        above: points (x, y) from left to right; without: polygons of points; in per cent.
        gaps: whether patches of background are taken away.
    """

    take: str = "cutout"
    above: tuple[tuple[float, float], ...] = ()
    without: tuple[tuple[tuple[float, float], ...], ...] = ()
    gaps: bool = False

    def mask(self, photo: np.ndarray, cutout: np.ndarray, saliency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mask, (H, W) float32 in [0, 1], and where it is not sure, (H, W) bool.

        Args:
            photo: (H, W, 3) uint8 RGB.
            cutout, saliency: (H, W) float32 in [0, 1], the two opinions.
        """
        both = {"both": np.minimum(cutout, saliency), "either": np.maximum(cutout, saliency), "saliency": saliency}
        mask = both.get(self.take, cutout).astype(np.float32)
        if self.take != "cutout":
            mask = np.clip(2 * mask - 0.5, 0, 1)  # U²-Net's edges are soft
        away = np.zeros(mask.shape, np.uint8)
        outlines = [*self.without, ((0, -1), *self.above, (100, -1))] if self.above else list(self.without)
        for outline in outlines:
            size = np.array(mask.shape[::-1], np.float64)
            cv2.fillPoly(away, [np.round(np.array(outline, np.float64) / 100 * size).astype(np.int32)], 1)
        unsure = cv2.morphologyEx(away, cv2.MORPH_GRADIENT, np.ones((2 * UNSURE + 1,) * 2, np.uint8)) > 0
        mask = np.where(away > 0, np.float32(0), mask)
        return (without_gaps(photo, mask) if self.gaps else mask), unsure & (cv2.dilate(mask, np.ones((9, 9))) > 0)


def read(file: Path = FILE) -> dict[str, MaskReview | None]:
    """The verdicts by a photograph's folder and name; None for photographs of which no opinion is right.

    Raises:
        FedGAIError: the file holds something else.
    """
    verdicts: dict[str, MaskReview | None] = {}
    for name, kept in json.loads(file.read_text(encoding="utf-8")).items():
        if kept is None:
            verdicts[name] = None
            continue
        above = tuple((float(x), float(y)) for x, y in kept.get("above", []))
        without = tuple(tuple((float(x), float(y)) for x, y in outline) for outline in kept.get("without", []))
        verdicts[name] = MaskReview(kept["take"], above, without, bool(kept.get("gaps", False)))
        if kept["take"] not in TAKEN:
            raise FedGAIError(f"{file}: {name} takes {kept['take']!r}; it should be one of {', '.join(TAKEN)}")
    return verdicts


def without_gaps(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mask without patches that have the colours of what lies around the garment, and not the garment's own.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (H, W) float32 in [0, 1].
    """
    smooth = cv2.bilateralFilter(np.ascontiguousarray(photo), 7, 25, 5)
    lab = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB).astype(np.float32) * np.array([0.7, 1.2, 1.2], np.float32)
    solid = (mask > 0.5).astype(np.uint8)
    around = (cv2.dilate(solid, np.ones((61, 61))) > 0) & (cv2.dilate(solid, np.ones((7, 7))) == 0)
    inside = cv2.erode(solid, np.ones((9, 9))) > 0
    if around.sum() < COLOURS[0] or inside.sum() < COLOURS[1]:
        return mask
    around_colours, own_colours = _colours(lab[around], COLOURS[0]), _colours(lab[inside], COLOURS[1])
    own_colours = own_colours[[np.linalg.norm(around_colours - colour, axis=1).min() > ALIKE for colour in own_colours]]
    if not len(own_colours):
        return mask
    to_around, to_own = (
        np.min([np.linalg.norm(lab - colour, axis=2) for colour in some], axis=0) for some in (around_colours, own_colours)
    )
    gap = ((to_around < to_own) & (to_around < NEAR) & (solid > 0)).astype(np.uint8)
    count, parts, facts, _ = cv2.connectedComponentsWithStats(
        cv2.morphologyEx(gap, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), connectivity=4
    )
    large = [i for i in range(1, count) if facts[i, cv2.CC_STAT_AREA] > SMALLEST_GAP * solid.sum()]
    away = cv2.morphologyEx(np.isin(parts, large).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return np.where(away > 0, np.float32(0), mask)


def _colours(pixels: np.ndarray, count: int) -> np.ndarray:
    """The commonest colours (up to count, 3) of pixels (n, 3) float32; the same every time."""
    some = np.ascontiguousarray(pixels[np.random.default_rng(0).permutation(len(pixels))[:4000]])
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 1.0)
    first = np.zeros((len(some), 1), np.int32)  # not looked at: the centres are chosen by KMEANS_PP_CENTERS
    _, labels, centres = cv2.kmeans(some, count, first, stop, 2, cv2.KMEANS_PP_CENTERS)
    shares = np.bincount(np.asarray(labels).ravel(), minlength=count) / len(some)
    return np.asarray(centres)[shares > 0.03]
