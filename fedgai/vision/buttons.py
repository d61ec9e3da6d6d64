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

Floats = NDArray[np.float64]

SIDE = 768  # px, long side at which buttons are looked for
RADII = 2.4 * 1.22 ** np.arange(9)  # px of it, 2.4 to 11.8
HALVED = 7  # the first blur that is so broad that every second pixel shows it
MOST_SPOTS = 500  # that are compared with the cloth around them
MOST_CANDIDATES = 140  # that the network looks at
FAINTEST = 5.0  # difference in CIELAB that a spot has from the cloth at least
WEAKEST = 1.2  # difference in CIELAB that a spot has between two blurs at least
PATCH = 25  # px, side of what the network looks at
REACH = 2.6  # radii of a spot from the patch's middle to its edge
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


class Spots(NamedTuple):
    """The round spots of a garment, in a picture that is ``SIDE`` px long.

    Attributes:
        places: (N, 3), x, y and radius, px.
        patches: (N, 3, PATCH, PATCH) float32, what the network looks at.
        length: of the garment, px: its height or width, whichever is more.
    """

    places: Floats
    patches: Tensor
    length: int


def find_buttons(photo: NDArray[np.uint8], mask: np.ndarray, network: ButtonNetwork) -> list[Button]:
    """A garment's buttons.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (h, w) float32 in [0, 1], the garment, in the photograph's proportions.
    Returns:
        In pixels of the photograph; none where it is not sure.
    """
    spots = round_spots(photo, mask)
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
    broad = cv2.morphologyEx((large > DISC_LIKELY).astype(np.uint8), cv2.MORPH_OPEN, least)
    _, labels, boxes, middles = cv2.connectedComponentsWithStats(broad, connectivity=8)
    wide, high, area = (boxes[:, i] for i in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA))
    longer = np.maximum(wide, high)
    good = (longer <= WIDEST) & (longer <= DISC_LONGEST * np.minimum(wide, high))
    good[0] = False  # the background
    where = cv2.resize(good[labels].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return where, np.column_stack([middles, DISC_RADIUS * np.sqrt(area / np.pi)])[good]


def round_spots(photo: NDArray[np.uint8], mask: np.ndarray) -> Spots | None:
    """The spots of a garment that may be buttons. Returns None if there are none. Arguments as for ``find_buttons``."""
    scale = SIDE / max(photo.shape[:2])
    size = [max(1, round(side * scale)) for side in photo.shape[1::-1]]
    garment = cv2.resize(mask.astype(np.float32), size) > 0.5
    if not garment.any():
        return None
    inside = np.flatnonzero(garment.any(1)), np.flatnonzero(garment.any(0))
    (top, bottom), (left, right) = ((int(place[0]), int(place[-1]) + 1) for place in inside)
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)[top:bottom, left:right]
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    places = candidates(lab, garment[top:bottom, left:right])
    if not len(places):
        return None
    return Spots(places + np.array([left, top, 0]), patches(lab, places), max(bottom - top, right - left))


def candidates(lab: np.ndarray, garment: NDArray[np.bool_]) -> Floats:
    """Round spots within the garment that differ from what is around them: (N, 3), x, y and radius, the clearest first.

    Args:
        lab: (H, W, 3) float32, CIELAB.
        garment: (H, W) bool.
    """
    depth = cv2.distanceTransform(np.pad(garment, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1].ravel()
    strength = _strength(lab)
    highest = [cv2.dilate(plane, np.ones((5, 5), np.uint8)) for plane in strength]
    found = []
    for i, plane in enumerate(strength):
        peaks = np.flatnonzero(plane >= highest[i])  # few, so all else is asked of these alone
        high = plane.ravel()[peaks]
        good = (high > WEAKEST**2) & (depth[peaks] > RADII[i] + 2)
        for level in highest[max(0, i - 1) : i + 2]:
            good &= high >= level.ravel()[peaks]
        rows, columns = np.divmod(peaks[good], plane.shape[1])
        found.append(np.stack([columns, rows, np.full(len(rows), i), high[good]], 1))
    spots = np.concatenate(found)
    spots = spots[np.argsort(-spots[:, 3], kind="stable")][:MOST_SPOTS]
    # each with the radius of its level, and with those beside it
    x, y, level = (np.repeat(spots[:, i], 3) for i in range(3))
    beside = np.tile([-1, 0, 1], len(spots)) + level
    fits = (beside >= 0) & (beside < len(RADII))
    rings = np.stack([x, y, RADII[beside.clip(0, len(RADII) - 1).astype(int)]], 1)[fits]
    return _apart(rings, _roundness(lab, rings))


def _strength(lab: np.ndarray) -> list[np.ndarray]:
    """How much (H, W, 3) float32 CIELAB changes between two blurs, squared, for each of ``RADII``: (H, W) float32."""
    sigmas = np.append(RADII / np.sqrt(2) / 1.2, RADII[-1] / np.sqrt(2) * 1.2)
    strength: list[np.ndarray] = []
    finer, done, step = lab, 0.0, 1
    for i, sigma in enumerate(sigmas.tolist()):
        if i == HALVED:
            finer, step = np.ascontiguousarray(finer[::2, ::2]), 2
        coarser = cv2.GaussianBlur(finer, (0, 0), float(np.sqrt(sigma**2 - done**2)) / step)  # blurred twice is blurred more
        if i:
            apart = cv2.subtract(finer, coarser)
            plane = cv2.transform(cv2.multiply(apart, apart), np.ones((1, 3), np.float32))
            strength.append(plane if step == 1 else _doubled(plane, lab.shape[:2]))
        finer, done = coarser, sigma
    return strength


def _doubled(plane: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) float32, of every second row and column, -> all of them, ``shape``, smooth between them."""
    between, same = np.array([3, -25, 150, 150, -25, 3]) / 256, np.ones(1)
    whole = np.empty(shape, np.float32)
    for row, down in enumerate((same, between)):
        for column, across in enumerate((same, between)):
            part = whole[row::2, column::2]
            anchor = ((len(across) - 1) // 2, (len(down) - 1) // 2)
            filled = cv2.sepFilter2D(plane, -1, across, down, anchor=anchor, borderType=cv2.BORDER_REPLICATE)
            part[:] = filled[: part.shape[0], : part.shape[1]]
    return whole


def _roundness(lab: np.ndarray, rings: Floats) -> Floats:
    """How clearly each ring (N, 3) bounds a spot of one colour on another, (N,); 0 where it does not."""
    if not len(rings):
        return np.zeros(0)
    angles = np.arange(16) * 2 * np.pi / 16
    x, y, r = (rings[:, i, None, None] for i in range(3))
    away = np.stack([0.3 * r, 0.65 * r, 0.6 * r, 1.55 * r + 1], 1)[..., 0]  # (N, 4, 1)
    at = [
        (place + away * turn).astype(np.float32).reshape(len(rings), -1)
        for place, turn in ((x, np.cos(angles)), (y, np.sin(angles)))
    ]
    seen = cv2.remap(lab, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).reshape(len(rings), 4, 16, 3)
    cloth = np.median(seen[:, 3], axis=1)  # (N, 3)
    colour = seen[:, :2].mean((1, 2)) - cloth
    contrast = np.linalg.norm(colour, axis=1)
    along = colour / np.maximum(contrast, 1e-6)[:, None]
    outside = np.einsum("nac,nc->na", seen[:, 3] - cloth[:, None], along)
    inside = np.einsum("nac,nc->na", seen[:, 2] - cloth[:, None], along)
    share = ((outside < 0.45 * contrast[:, None]) & (inside > 0.35 * contrast[:, None])).mean(1)
    uneven = np.linalg.norm(seen[:, 3] - cloth[:, None], axis=2).mean(1) / np.maximum(contrast, 1e-6)
    good = (contrast >= FAINTEST) & (share >= 0.7) & (uneven < 1.1)
    return np.where(good, share * contrast / (1 + uneven), 0)


def _apart(rings: Floats, clear: Floats) -> Floats:
    """The clearest rings, none on another."""
    order = np.argsort(-clear, kind="stable")
    left = rings[order[clear[order] > 0]]
    kept: list[Floats] = []
    while len(left) and len(kept) < MOST_CANDIDATES:
        first = left[0]
        kept.append(first)
        left = left[np.hypot(*(left[:, :2] - first[:2]).T) > 1.5 * np.maximum(left[:, 2], first[2])]
    return np.array(kept).reshape(-1, 3)


def patches(lab: np.ndarray, spots: Floats) -> Tensor:
    """What the network looks at: (N, 3, PATCH, PATCH) float32, a spot's surroundings without its cloth's colour, its contrast 1.

    Args:
        lab: (H, W, 3) float32, CIELAB.
        spots: (N, 3), x, y and radius.
    """
    steps = np.linspace(-REACH, REACH, PATCH)
    x, y, r = (spots[:, i, None, None] for i in range(3))
    columns = np.broadcast_to(x + r * steps[None, None, :], (len(spots), PATCH, PATCH)).reshape(len(spots) * PATCH, PATCH)
    rows = np.broadcast_to(y + r * steps[None, :, None], (len(spots), PATCH, PATCH)).reshape(len(spots) * PATCH, PATCH)
    seen = cv2.remap(lab, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    tensor = torch.from_numpy(seen.reshape(len(spots), PATCH, PATCH, 3)).permute(0, 3, 1, 2)
    rim = torch.cat([tensor[:, :, 0], tensor[:, :, -1], tensor[..., 0], tensor[..., -1]], 2).median(2)[0][:, :, None, None]
    middle = slice(PATCH // 2 - 3, PATCH // 2 + 4)
    apart = tensor - rim
    contrast = apart[:, :, middle, middle].mean((2, 3)).norm(dim=1).clamp(min=4)
    even: Tensor = (apart / contrast[:, None, None, None]).clamp(-3, 3)
    return even


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
