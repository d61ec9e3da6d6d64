"""Finds a garment's buttons: small, round, alike and in a row.

    photograph --> round spots that differ from the cloth around them --> a small network says which look like buttons
               --> rows of them, evenly apart --> buttons

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

from fedgai.vision.round_spots import SIDE, Changes, round_spots

Floats = NDArray[np.float64]

WIDTH = 24  # channels of the network's first layers

LEAST = -1.5  # logit from which on a spot may be in a row
LIKELY = 0.0  # logit from which on it looks like a button
SURE = 1.0  # logit from which on it looks like one without doubt
PAIR = 1.8  # logit that both of two buttons need where there is no third

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
    photo: NDArray[np.uint8], mask: np.ndarray, network: ButtonNetwork, changes: Changes | None = None
) -> list[Button]:
    """A garment's buttons.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (h, w) float32 in [0, 1], the garment, in the photograph's proportions.
        changes: of the photograph, where ``changes_of`` found them before the mask was known.
    Returns:
        In pixels of the photograph; none where it is not sure.
    """
    spots = round_spots(photo, mask, changes)
    if spots is None:
        return []
    with torch.inference_mode():
        scores = network(spots.patches).numpy().astype(np.float64)
    scale = SIDE / max(photo.shape[:2])
    found = in_rows(spots.places, scores, spots.length)
    return [Button((x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5, r / scale) for x, y, r in found]


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


class _Row(NamedTuple):
    """Spots at equal distances along a line: which, and at what number of steps from the first."""

    members: list[int]
    at: list[int]


def in_rows(spots: Floats, scores: Floats, length: float) -> Floats:
    """The buttons among spots.

    Args:
        spots: (N, 3), x, y and radius.
        scores: (N,), the network's logits.
        length: of the garment, px: its height or width, whichever is more.
    Returns:
        (M, 3). Where one is missing between two of a row, it is put there.
    """
    spots, scores = spots[scores > LEAST], scores[scores > LEAST]
    rows = _best_rows(spots, scores, length)
    members = [i for row in rows for i in row.members]
    if not members:
        return np.zeros((0, 3))
    radius = float(np.median(spots[members, 2]))
    alike = np.maximum(spots[:, 2], radius) < 1.4 * np.minimum(spots[:, 2], radius)
    single: list[int] = []
    if len(members) > 2:  # on cuffs and pockets
        single = [i for i in np.flatnonzero((scores > SURE) & alike).tolist() if i not in members]
    others = int((scores > LIKELY).sum()) - sum(scores[i] > LIKELY for i in [*members, *single])
    if others > max(2, len(members)) or len(single) > max(4, len(members)):
        return np.zeros((0, 3))
    found = [spots[i] for i in single]
    for row in rows:
        for i, j, a, b in zip(row.members, row.members[1:], row.at, row.at[1:], strict=False):
            found.append(spots[i])
            if b - a == 2:
                found.append((spots[i] + spots[j]) / 2)
        found.append(spots[row.members[-1]])
    buttons = np.array(found)
    buttons[:, 2] = np.median(buttons[:, 2])  # those of a garment are of one size
    return buttons


def _best_rows(spots: Floats, scores: Floats, length: float) -> list[_Row]:
    """The surest row, and another beside it with the same distances, as on a double-breasted coat."""
    rows = [_row_through(spots, int(i), int(j)) for i, j in np.argwhere(_neighbours(spots, length))]
    rows = [row for row in rows if _convincing(row, spots, scores)]
    rows.sort(key=lambda row: -(scores[row.members] + 1).clip(0, 4).sum() + 1.5 * (row.at[-1] + 1 - len(row.at)))
    chosen = rows[:1]
    for row in rows[1:]:
        if set(row.members).isdisjoint(chosen[0].members) and 0.75 < _gap(row, spots) / _gap(chosen[0], spots) < 1.33:
            return [*chosen, row]
    return chosen


def _neighbours(spots: Floats, length: float) -> NDArray[np.bool_]:
    """(N, N), whether the second spot can come after the first one in a row: below it, and alike in size."""
    across, down = (spots[None, :, i] - spots[:, None, i] for i in range(2))
    gap, radius = np.hypot(across, down), spots[:, 2]
    larger, smaller = np.maximum(radius[:, None], radius), np.minimum(radius[:, None], radius)
    far_enough = gap >= np.maximum(5 * larger, 0.05 * length)
    follow: NDArray[np.bool_] = (down >= 1.5 * np.abs(across)) & far_enough & (gap <= 0.3 * length) & (larger <= 1.5 * smaller)
    return follow


def _row_through(spots: Floats, first: int, second: int) -> _Row:
    """The longest row that begins with these two."""
    places, radii = spots[:, :2], spots[:, 2]
    step = places[second] - places[first]
    gap = float(np.hypot(*step))
    row = _Row([first, second], [0, 1])
    alike = (radii < 1.5 * radii[first]) & (radii > radii[first] / 1.5)
    while True:
        for skipped in (1, 2):
            away = np.hypot(*(places - places[row.members[-1]] - skipped * step).T)
            away[~alike], away[row.members] = np.inf, np.inf
            next_one = int(away.argmin())
            if away[next_one] < max(0.5 * radii[first] + 1.5, 0.12 * gap) * np.sqrt(skipped):
                row.members.append(next_one)
                row.at.append(row.at[-1] + skipped)
                step = (places[next_one] - places[first]) / row.at[-1]
                break
        else:
            return row


def _convincing(row: _Row, spots: Floats, scores: Floats) -> bool:
    """Whether a row is straight, has few gaps and nothing between its spots, and the surer spots the shorter it is."""
    count, mean = len(row.members), float(scores[row.members].mean())
    places = spots[row.members, :2] - spots[row.members, :2].mean(0)
    if count == 2:
        across, down = np.abs(places[1] - places[0])
        return bool(scores[row.members].min() > PAIR and across < 0.15 * down)
    if row.at[-1] + 1 - count > count // 3 or mean < {3: 0.4, 4: 0.0}.get(count, -0.4):
        return False
    ends = spots[row.members, :2]
    between = (ends[1:] + ends[:-1])[:, None] / 2 - spots[scores > LIKELY, :2]  # (gaps, spots, 2)
    if (np.hypot(*between.transpose(2, 0, 1)) < 0.25 * _gap(row, spots)).any(1).mean() >= 0.5:
        return False  # every second spot of a printed line
    along = np.linalg.svd(places)[2][0]
    return bool(np.abs(places @ np.array([-along[1], along[0]])).max() <= max(2.5, spots[row.members[0], 2]))


def _gap(row: _Row, spots: Floats) -> float:
    return float(np.hypot(*(spots[row.members[1], :2] - spots[row.members[0], :2])) / row.at[1])
