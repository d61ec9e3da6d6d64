"""Pictures that ``experiments.masks_on_gpu`` teaches masks with: photographs, and rendered, dyed and hung garments without end.

A picture is uint8 (7, H, W): photo, mask, where it is known, silhouette, where that is known. In "where" 100 is a weight of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import cv2
import numpy as np

from fedgai.garments import KINDS, Garment, dye, make
from fedgai.training.dyeing import dye_photograph
from fedgai.training.hangers import hang
from fedgai.training.pages import SILHOUETTE
from fedgai.training.photographs import Photograph

HANGER = 2.5  # weight of a hanger's pixels
GARMENTS = 40  # rendered by each process
LONG, PHOTO_LONG = 448, 384  # px, long sides of pictures that are made, and of photographs
ROOM_TO_HANG = 12  # px above a garment
CELL, LEAST, BESIDE = 4, 12, 13  # of rectangles without garment: px of a cell, cells of a side, px kept away from the garment
KINDS_SHOWN = [kind for kind in KINDS if kind not in ("polo", "vest")]  # those are measured on
KINDS_MADE = ("rendered", "dyed", "hung")
SHARES = (0.42, 0.2, 0.38)


@dataclass(frozen=True)
class Shown:
    """A photograph of the lesson, and rectangles (x0, y0, x1, y1) of it without garment, in px of ``read``."""

    photograph: Photograph
    rectangles: tuple[tuple[int, int, int, int], ...]

    @classmethod
    def of(cls, photograph: Photograph) -> Shown:
        """Its rectangles are looked for."""
        _, mask, known = read(photograph)
        taken = cv2.dilate(((mask > 0.5) | (known < 0.5)).astype(np.float32), np.ones((BESIDE, BESIDE), np.uint8))
        height, width = mask.shape
        free = cv2.resize(taken, (width // CELL, height // CELL), interpolation=cv2.INTER_AREA) == 0
        return cls(photograph, tuple((CELL * a, CELL * b, CELL * c, CELL * d) for a, b, c, d in largest_rectangles(free)))


def read(photograph: Photograph) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """photo (H, W, 3) uint8 RGB, mask (H, W) float32, 0 or 1, known (H, W) float32; the long side is at most ``PHOTO_LONG``."""
    photo, mask, known = photograph.photo(), photograph.mask(), photograph.known()
    scale = PHOTO_LONG / max(mask.shape)
    if scale < 1:
        photo, mask, known = (cv2.resize(p, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for p in (photo, mask, known))
    return photo, (mask > 0.5).astype(np.float32), (known > 0.6).astype(np.float32)


def largest_rectangles(free: np.ndarray, count: int = 2) -> list[tuple[int, int, int, int]]:
    """The largest rectangles (x0, y0, x1, y1) of True in (H, W) bool, none narrower than ``LEAST``, one after the other."""
    found, free = [], free.copy()
    for _ in range(count):
        best, place = 0, None
        tall = np.zeros(free.shape[1], int)
        for y, row in enumerate(free):
            tall = np.where(row, tall + 1, 0)
            stack: list[tuple[int, int]] = []  # left edge and height, growing
            for x, now in enumerate([*tall, 0]):
                left = x
                while stack and stack[-1][1] >= now:
                    left, high = stack.pop()
                    if min(high, x - left) >= LEAST and high * (x - left) > best:
                        best, place = high * (x - left), (left, y - high + 1, x, y + 1)
                stack.append((left, int(now)))
        if place is None:
            break
        found.append(place)
        free[place[1] : place[3], place[0] : place[2]] = False
    return found


def planes(photo: np.ndarray, mask: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A photograph's picture: its mask is not known at the rim, as in ``fedgai.training.pages.real``."""
    solid = (mask > 0.5).astype(np.uint8)
    depth = cv2.distanceTransform(solid, cv2.DIST_L2, 5)
    away = cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5)
    rim = np.clip(1.5 - np.abs(depth - away), 0, 1)
    inner = np.zeros(mask.shape, np.float32)  # a garment cut off by the picture has no outline there
    inner[4:-4, 4:-4] = 1
    rim_known = ((away > 6) | (depth > 8) | (rim > 0.2)) * inner * np.minimum(known, 1)
    return _stacked(photo, 255 * mask, ((depth > 2.5) | (away > 2.5)) * known, 255 * rim, rim_known)


def _stacked(photo: np.ndarray, mask: np.ndarray, mask_known: np.ndarray, rim: np.ndarray, rim_known: np.ndarray) -> np.ndarray:
    rest = [np.clip(x, 0, 255).astype(np.uint8) for x in (mask, 100 * mask_known, rim, 100 * rim_known)]
    return np.concatenate([photo.transpose(2, 0, 1), np.stack(rest)])


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of an (H, W) uint8 mask; of the whole picture where it is empty."""
    rows, columns = (np.flatnonzero((mask > 127).any(axis)) for axis in (1, 0))
    if not len(rows):
        return 0, 0, mask.shape[1], mask.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class Maker:
    """Makes pictures without end: rendered garments, dyed photographs, garments on hangers.

    Args:
        shown: the photographs.
        seed: of everything.
        garments: rendered geometries, made when they are first needed.
    """

    def __init__(self, shown: Sequence[Shown], seed: int, garments: int) -> None:
        self.most, self.rng = garments, np.random.default_rng([29, seed])
        self.garments: list[Garment] = []
        self.plain = [one for one in shown if one.photograph.plain]
        self.bare = [one for one in shown if one.photograph.margins[0] >= ROOM_TO_HANG]
        self.grounds = [one for one in shown if one.rectangles]

    def next(self) -> tuple[int, np.ndarray]:
        """The kind's number in ``KINDS_MADE``, and the picture."""
        kind = int(self.rng.choice(len(KINDS_MADE), p=SHARES))
        return kind, (self.rendered, self.dyed, self.hung)[kind]()

    def _one(self, some: list[Shown]) -> Shown:
        return some[self.rng.integers(len(some))]

    def behind(self, height: int, width: int) -> np.ndarray:
        """(height, width, 3): what lies in a rectangle of a photograph, enlarged, and mirrored until the page is full."""
        one = self._one(self.grounds)
        x0, y0, x1, y1 = one.rectangles[self.rng.integers(len(one.rectangles))]
        scale = self.rng.uniform(1.0, 2.4)
        strip = cv2.resize(read(one.photograph)[0][y0:y1, x0:x1], None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        down, right = (-(-want // have) + 1 for want, have in zip((height, width), strip.shape[:2], strict=True))
        rows = np.concatenate([strip[::-1] if i % 2 else strip for i in range(down)])
        page = np.concatenate([rows[:, ::-1] if i % 2 else rows for i in range(right)], 1)
        top, left = (int(self.rng.integers(0, h - want + 1)) for want, h in zip((height, width), page.shape[:2], strict=True))
        return np.ascontiguousarray(page[top : top + height, left : left + width])

    def rendered(self) -> np.ndarray:
        """A garment of the family, dyed, half of them on a photograph's background."""
        if len(self.garments) < self.most and (not self.garments or self.rng.random() < 0.6):
            kind = KINDS_SHOWN[self.rng.integers(len(KINDS_SHOWN))]
            self.garments.append(make(int(self.rng.integers(1, 2**31)), long_side=512, kind=kind))
        garment = self.garments[self.rng.integers(len(self.garments))]
        size = garment.alpha.shape[:2]
        picture = dye(garment, self.rng, self.behind(*size) if self.rng.random() < 0.5 else None)
        edges = cv2.dilate(picture.print_edges, np.ones((3, 3), np.uint8)).astype(np.float32) / 255
        known = np.ones(picture.alpha.shape, np.float32)
        whole = _stacked(picture.photo, picture.alpha, known, picture.lines[SILHOUETTE], 1 + edges)
        scale = LONG / max(size)
        if scale < 1:
            whole = np.stack([cv2.resize(p, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for p in whole])
        return whole

    def dyed(self) -> np.ndarray:
        """A plain photograph with a print."""
        photo, mask, known = read(self._one(self.plain).photograph)
        return planes(dye_photograph(photo, mask, self.rng)[0], mask, known)

    def hung(self) -> np.ndarray:
        """A photograph with a hanger behind the garment; some are dyed."""
        one = self._one(self.bare).photograph
        photo, mask, known = read(one)
        if one.plain and self.rng.random() < 0.3:
            photo, _ = dye_photograph(photo, mask, self.rng)
        before = photo
        photo, mask = hang(photo, mask, self.rng)
        changed = (np.abs(photo.astype(np.int16) - before).max(-1) > 12) & (mask < 0.5)
        return planes(photo, mask, np.where(changed & (known > 0), np.float32(HANGER), known))


def produce(shown: Sequence[Shown], seed: int, out: Connection) -> None:
    """Make pictures and send them, as bytes after seven int32 (kind, height, width, box), until the pipe is closed."""
    cv2.setNumThreads(1)
    maker = Maker(shown, seed, GARMENTS)
    try:
        while True:
            try:
                kind, made = maker.next()
            except (ValueError, IndexError, cv2.error):  # a garment too small for a print or a hanger
                continue
            head = np.array([kind, *made.shape[1:], *box_of(made[3])], np.int32)
            out.send_bytes(head.tobytes() + np.ascontiguousarray(made).tobytes())
    except (BrokenPipeError, ConnectionResetError, EOFError, OSError):
        pass
