"""Finds a garment's buttons: small, round, alike and in a row.

    photograph --> round spots that differ from the cloth around them --> a small network says which look like buttons
               --> rows of them, evenly apart, where the draughtsman sees fastenings and lines --> buttons

The draughtsman sees buttons, too, as discs among the fastenings. Where the network for spots finds none, rows of these count.

Prints, zips, and rivets have round spots, too. So what only looks like a button does not count: it must be in a row, or be of
the size of those that are. Where many spots that look like buttons are in no row, the cloth is printed, and no spot counts.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedgai.line_types import LINE_TYPES
from fedgai.vision.button_rows import SeenAtSpots, in_rows
from fedgai.vision.round_spots import SIDE, Changes, Spots, round_spots

Floats = NDArray[np.float64]

WIDTH = 24  # channels of the network's first layers
SEEN_WITHIN = 2, 4  # px of what the draughtsman sees, how far from a spot a fastening or a line may lie

FASTENING, PASSING = LINE_TYPES.index("fastening"), [LINE_TYPES.index(kind) for kind in ("seam", "edge", "fastening")]

DISC, WIDEST = 9, 39  # px of a picture that is ``SIDE`` px long, a disc's least and largest width
DISC_LIKELY = 0.3  # how likely a disc must be
DISC_LONGEST = 1.8  # its length over its width, at most
DISC_SCORE = 0.6  # logit that a disc counts with in a row
DISC_RADIUS = 0.65  # share of its radius that a button has


class Button(NamedTuple):
    """One, px of the picture; the centre of the first pixel is (0, 0)."""

    x: float
    y: float
    radius: float


class ButtonNetwork(nn.Module):
    """Says of round spots whether they are buttons."""

    def __init__(self) -> None:
        super().__init__()
        w = WIDTH
        self.body = nn.Sequential(
            nn.Conv2d(3, w, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(w, w, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(w, 2 * w, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * w, 2 * w, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(2 * w * 16, 1),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """(N, 3, PATCH, PATCH) as of ``patches`` -> logits (N,)."""
        logits: Tensor = self.body(patches)[:, 0]
        return logits


def find_buttons(
    photo: NDArray[np.uint8],
    mask: np.ndarray,
    network: ButtonNetwork,
    lines: np.ndarray,
    changes: Changes | None = None,
) -> list[Button]:
    """A garment's buttons.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (h, w) float32 in [0, 1], the garment, in the photograph's proportions.
        lines: (6, h, w) float32 in [0, 1], what the draughtsman sees (``draughtsman.Seen.lines``), in its proportions.
        changes: of the photograph, where ``changes_of`` found them before the mask was known.
    Returns:
        In pixels of the photograph; none where it is not sure.
    """
    spots = round_spots(photo, mask, changes)
    if spots is None:
        return []
    scale = SIDE / max(photo.shape[:2])
    scores, seen = seen_at_spots(spots, network, lines)
    found = in_rows(spots.places, scores, spots.length, seen)
    return [Button((x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5, r / scale) for x, y, r in found]


def seen_at_spots(spots: Spots, network: ButtonNetwork, lines: np.ndarray) -> tuple[Floats, SeenAtSpots]:
    """The network's logits (N,) of spots, and what the draughtsman sees there. ``lines``: as for ``find_buttons``."""
    with torch.inference_mode():
        scores = network(spots.patches).numpy().astype(np.float64)
    scale = max(lines.shape[1:]) / SIDE
    columns, rows = np.rint((spots.places[:, :2].T + 0.5) * scale - 0.5).astype(int)
    at = rows.clip(0, lines.shape[1] - 1), columns.clip(0, lines.shape[2] - 1)
    fastening, lined = (
        cv2.dilate(plane, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))[at].astype(np.float64)
        for plane, reach in zip((lines[FASTENING], lines[PASSING].max(0)), SEEN_WITHIN, strict=True)
    )
    return scores, SeenAtSpots(fastening, lined)


def rows_of_discs(fastenings: np.ndarray, mask: np.ndarray, side: int) -> list[Button]:
    """Buttons in rows that the draughtsman sees.

    Args:
        fastenings: (h, w) float32 in [0, 1], how likely a fastening is there (``draughtsman.Seen.lines``).
        mask: (h, w) float32 in [0, 1], the garment, in its proportions.
        side: long side of the photograph, px.
    Returns:
        In pixels of the photograph.
    """
    places = round_fastenings(fastenings)[1]
    inside = np.flatnonzero((mask > 0.5).any(1)), np.flatnonzero((mask > 0.5).any(0))
    if not len(places) or not len(inside[0]):
        return []
    length = max(int(np.ptp(one)) + 1 for one in inside) * SIDE / max(mask.shape)
    found = in_rows(places, np.full(len(places), DISC_SCORE), length)
    scale = side / SIDE
    return [Button((x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5, r * scale) for x, y, r in found]


def round_fastenings(fastenings: np.ndarray) -> tuple[NDArray[np.bool_], Floats]:
    """What of the fastenings is as broad as long: buttons, not zips.

    Args:
        fastenings: (h, w) float32 in [0, 1], see ``rows_of_discs``.
    Returns:
        Where, (h, w) bool; and each one's middle and radius, (N, 3), px of a picture that is ``SIDE`` px long.
    """
    size = fastenings.shape[1::-1]
    scale = SIDE / max(size)
    large = cv2.resize(fastenings, [max(1, round(side * scale)) for side in size], interpolation=cv2.INTER_LINEAR)
    least = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (DISC, DISC))
    likely = (large > DISC_LIKELY).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(likely)
    if min(width, height) < DISC:
        return np.zeros(fastenings.shape, bool), np.zeros((0, 3))
    left, top = max(0, x - DISC) // 2 * 2, max(0, y - DISC) // 2 * 2  # even: OpenCV numbers discs by pairs of rows
    around = np.s_[top : y + height + DISC, left : x + width + DISC]
    broad = cv2.morphologyEx(likely[around], cv2.MORPH_OPEN, least)
    _, labels, boxes, middles = cv2.connectedComponentsWithStats(broad, connectivity=8)
    wide, high, area = (boxes[:, i] for i in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA))
    longer = np.maximum(wide, high)
    good = (longer <= WIDEST) & (longer <= DISC_LONGEST * np.minimum(wide, high))
    good[0] = False  # the background
    likely[:] = 0
    likely[around] = good[labels]
    where = cv2.resize(likely, size, interpolation=cv2.INTER_NEAREST) > 0
    return where, np.column_stack([middles + np.array([left, top]), DISC_RADIUS * np.sqrt(area / np.pi)])[good]
