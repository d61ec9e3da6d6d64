"""Round spots of a garment that differ from the cloth around them: where a search for buttons begins."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]

SIDE = 768  # px, long side at which buttons are looked for
RADII = 2.4 * 1.22 ** np.arange(9)  # px of it, 2.4 to 11.8
HALVED = 7  # the first blur that is so broad that every second pixel shows it
MOST_SPOTS = 500  # that are compared with the cloth around them
MOST_CANDIDATES = 140  # that the network looks at
FAINTEST = 5.0  # difference in CIELAB that a spot has from the cloth at least
WEAKEST = 1.2  # difference in CIELAB that a spot has between two blurs at least
MARGIN = 6  # px, by which a mask may reach beyond where a garment was expected
PATCH = 25  # px, side of what the network looks at
REACH = 2.6  # radii of a spot from the patch's middle to its edge


class _Box(NamedTuple):
    """Columns from left to right and rows from top to bottom, the last ones not among them."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, where: NDArray[np.bool_]) -> _Box | None:
        """All that is true of (H, W); None where nothing is."""
        x, y, width, height = cv2.boundingRect(where.view(np.uint8))
        return cls(x, y, x + width, y + height) if width else None


class Changes(NamedTuple):
    """A part of a picture that is ``SIDE`` px long, and how much its colours change from blur to blur: all that a search for
    buttons can know before there is a mask. About 25 MB for a garment that fills the picture.

    Attributes:
        left, top: of the part, px.
        lab: (H, W, 3) float32, CIELAB.
        strength: (H, W) float32 for each of ``RADII``, the difference of two blurs, squared.
        highest: (H, W) float32 for each, the greatest strength within 2 px.
    """

    left: int
    top: int
    lab: np.ndarray
    strength: list[np.ndarray]
    highest: list[np.ndarray]

    def holds(self, box: _Box) -> bool:
        """Whether a box lies within the part."""
        height, width = self.lab.shape[:2]
        across = self.left <= box.left and box.right <= self.left + width
        return across and self.top <= box.top and box.bottom <= self.top + height


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


def changes_of(photo: NDArray[np.uint8], where: NDArray[np.bool_]) -> Changes | None:
    """How a photograph changes from blur to blur.

    Args:
        photo: (H, W, 3) uint8 RGB.
        where: (h, w) bool, in its proportions; the part is the box around it, ``MARGIN`` px wider on each side.
    Returns:
        None where there is no such part.
    """
    size = _size(photo)
    box = _Box.around(cv2.resize(where.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0)
    if box is None:
        return None
    left, top = max(0, box.left - MARGIN), max(0, box.top - MARGIN)
    right, bottom = min(size[0], box.right + MARGIN), min(size[1], box.bottom + MARGIN)
    return _changes_within(photo, size, _Box(left, top, right, bottom))


def _size(photo: NDArray[np.uint8]) -> tuple[int, int]:
    """(width, height) of a photograph whose long side is ``SIDE`` px."""
    height, width = (max(1, round(side * SIDE / max(photo.shape[:2]))) for side in photo.shape[:2])
    return width, height


def _changes_within(photo: NDArray[np.uint8], size: tuple[int, int], box: _Box) -> Changes:
    how = cv2.INTER_AREA if SIDE < max(photo.shape[:2]) else cv2.INTER_LINEAR
    part = cv2.resize(photo, size, interpolation=how)[box.top : box.bottom, box.left : box.right]
    return _changes(cv2.cvtColor(part.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), box.left, box.top)


def _changes(lab: np.ndarray, left: int = 0, top: int = 0) -> Changes:
    strength = _strength(lab)
    return Changes(left, top, lab, strength, [cv2.dilate(plane, np.ones((5, 5), np.uint8)) for plane in strength])


def round_spots(photo: NDArray[np.uint8], mask: np.ndarray, changes: Changes | None = None) -> Spots | None:
    """The spots of a garment that may be buttons. Returns None if there are none. Arguments as for ``find_buttons``."""
    size = _size(photo)
    garment = cv2.resize(mask.astype(np.float32), size) > 0.5
    box = _Box.around(garment)
    if box is None:
        return None
    if changes is None or not changes.holds(box):
        changes = _changes_within(photo, size, box)
    height, width = changes.lab.shape[:2]
    own = garment[changes.top : changes.top + height, changes.left : changes.left + width]
    places = _candidates(changes, own)
    if not len(places):
        return None
    length = max(box.bottom - box.top, box.right - box.left)
    return Spots(places + np.array([changes.left, changes.top, 0]), patches(changes.lab, places), length)


def candidates(lab: np.ndarray, garment: NDArray[np.bool_]) -> Floats:
    """Round spots within the garment that differ from what is around them: (N, 3), x, y and radius, the clearest first.

    Args:
        lab: (H, W, 3) float32, CIELAB.
        garment: (H, W) bool.
    """
    return _candidates(_changes(lab), garment)


def _candidates(changes: Changes, garment: NDArray[np.bool_]) -> Floats:
    """As ``candidates``."""
    depth = cv2.distanceTransform(np.pad(garment, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1].ravel()
    strength, highest = changes.strength, changes.highest
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
    return _apart(rings, _roundness(changes.lab, rings))


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
