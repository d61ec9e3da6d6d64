"""Pages that ``experiments.lines_on_gpu`` teaches lines with: rendered garments without end, and plain photographs dyed.

Rendered garments are laid on the page as curves, and drawn there, so that their lines are two px wide whatever their size.
Buttons are discs on the fastenings' plane: ``fedgai.vision.garment_lines`` tells them from lines by that.
"""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.connection import Connection

import cv2
import numpy as np

from experiments.mask_pictures import KINDS_SHOWN, Shown, read
from experiments.mask_pictures import Maker as Behind
from fedgai.garments import Garment, dye, make
from fedgai.garments.lines import Vector, draw
from fedgai.line_types import LINE_TYPES
from fedgai.training import pages
from fedgai.training.dyeing import dye_photograph

PAGE = 448  # px, height and width
TOPSTITCH, FASTENING = LINE_TYPES.index("topstitch"), LINE_TYPES.index("fastening")
KNOWN, HELD = 0, 1  # kinds of pages
PLANES = (13, 8)  # of each
OFTEN = {"shirt": 2, "blouse": 2, "jacket": 2, "coat": 2, "dress": 2}  # times as often as other kinds: they have most parts
DYED = 0.2  # share of pages that are dyed photographs
EACH = 2  # pages from one geometry
LARGEST_BUTTON, LEAST_BUTTON = 24.0, 2.6  # px of 512: widest outline that is one; least radius of its disc
POORER, SMALLEST = 0.65, 0.42  # share of rendered pages that are scaled down and up again; least scale


class Maker:
    """Makes pages without end.

    Args:
        shown: photographs.
        seed: of everything.
    """

    def __init__(self, shown: Sequence[Shown], seed: int) -> None:
        self.rng = np.random.default_rng([31, seed])
        self.behind = Behind(shown, seed, 1)
        self.plain = [one for one in shown if one.photograph.plain]
        often = np.array([OFTEN.get(kind, 1) for kind in KINDS_SHOWN], np.float64)
        self.often = often / often.sum()
        self.garment, self.left = make(seed + 1, kind="t-shirt"), 0
        pages.HEIGHT = pages.WIDTH = PAGE

    def next(self) -> tuple[int, np.ndarray]:
        """``KNOWN`` or ``HELD``, and the page, uint8 (``PLANES`` of that kind, PAGE, PAGE)."""
        if self.plain and self.rng.random() < DYED:
            one = self.plain[self.rng.integers(len(self.plain))]
            return HELD, dyed(*read(one.photograph)[:2], self.rng)
        if not self.left:
            kind = KINDS_SHOWN[int(self.rng.choice(len(KINDS_SHOWN), p=self.often))]
            self.garment, self.left = make(int(self.rng.integers(1, 2**31)), kind=kind), EACH
        self.left -= 1
        ground = self.behind.behind(*self.garment.alpha.shape) if self.behind.grounds and self.rng.random() < 0.5 else None
        return KNOWN, rendered(self.garment, self.rng, ground)


def rendered(garment: Garment, rng: np.random.Generator, behind: np.ndarray | None) -> np.ndarray:
    """A garment, dyed: photo, mask, six lines, weight of all lines but topstitches, theirs, tone. 100 is a weight of 1."""
    picture = dye(garment, rng, behind)
    matrix, scale = pages.placing(picture.alpha, rng)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR

    def move(plane: np.ndarray, border: int = cv2.BORDER_CONSTANT) -> np.ndarray:
        return cv2.warpAffine(plane, matrix, (PAGE, PAGE), flags=method, borderMode=border)

    lines = drawn(garment.vectors, matrix, LARGEST_BUTTON * max(garment.alpha.shape) / 512)
    edges = cv2.dilate(move(picture.print_edges), np.ones((3, 3), np.uint8)).astype(np.float32) / 255
    weight = move(np.full(picture.alpha.shape, 100, np.uint8)) * (1 + edges)
    # beside topstitching a seam may or may not be
    others = np.delete(lines, TOPSTITCH, 0).max(0)
    beside = (cv2.dilate(lines[TOPSTITCH], np.ones((7, 7), np.uint8)) > 64) & (others < 64)
    photo = poorer(move(picture.photo, cv2.BORDER_REPLICATE), rng)
    rest = [np.clip(plane, 0, 255).astype(np.uint8) for plane in (weight * ~beside, weight, move(picture.tone))]
    return np.concatenate([photo.transpose(2, 0, 1), move(picture.alpha)[None], lines, np.stack(rest)])


def drawn(vectors: Sequence[Vector], matrix: np.ndarray, largest: float) -> np.ndarray:
    """Lines of each type, uint8 (6, PAGE, PAGE), two px wide; buttons, outlines of at most ``largest`` px, as discs."""
    moved = [(kind, (p @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32), closed) for kind, p, closed in vectors]
    discs = [is_button(kind, points, closed, largest) for kind, points, closed in vectors]
    lines = draw([line for line, disc in zip(moved, discs, strict=True) if not disc], (PAGE, PAGE), 2.0)
    for (_, points, _), disc in zip(moved, discs, strict=True):
        if disc:
            x, y = np.rint(points.mean(0) * 16).astype(int).tolist()
            radius = max(LEAST_BUTTON, float(np.ptp(points, axis=0).mean()) / 2)
            cv2.circle(lines[FASTENING], (x, y), round(16 * radius), (255,), -1, cv2.LINE_AA, 4)
    return lines


def is_button(kind: str, points: np.ndarray, closed: bool, largest: float) -> bool:
    """Whether a line is the outline of something small and round that fastens."""
    if kind != "fastening" or not closed or len(points) < 6:
        return False
    width, height = np.ptp(points, axis=0)
    if max(width, height) > largest or not 0.7 < (width + 0.5) / (height + 0.5) < 1.43:
        return False
    x, y = points.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    return bool(area > 0.6 * width * height)


def poorer(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8; most of them as a smaller photograph that was packed and enlarged again."""
    if rng.random() > POORER:
        return photo
    scale = float(np.exp(rng.uniform(np.log(SMALLEST), 0)))
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if rng.random() < 0.6:
        packed = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 95))])[1]
        small = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    method = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(small, photo.shape[1::-1], interpolation=method), np.uint8)


def dyed(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A plain photograph and the same with a print: photo, dyed, edges of the print, and 255 where the photograph is."""
    after, edges = dye_photograph(photo, mask, rng)
    matrix, scale = pages.placing((255 * mask).astype(np.uint8), rng)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR

    def move(plane: np.ndarray, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
        return cv2.warpAffine(plane, matrix, (PAGE, PAGE), flags=method, borderMode=border)

    rim = (255 * move(edges.astype(np.float32))).clip(0, 255).astype(np.uint8)
    there = move(np.full(mask.shape, 255, np.uint8), cv2.BORDER_CONSTANT)
    return np.concatenate([move(photo).transpose(2, 0, 1), move(after).transpose(2, 0, 1), np.stack([rim, there])])


def produce(shown: Sequence[Shown], seed: int, out: Connection) -> None:
    """Make pages and send them, as bytes after one that says the kind, until the pipe is closed."""
    cv2.setNumThreads(1)
    maker = Maker(shown, seed)
    try:
        while True:
            try:
                kind, page = maker.next()
            except (ValueError, IndexError, cv2.error):  # a garment too small for a print
                continue
            out.send_bytes(bytes([kind]) + np.ascontiguousarray(page).tobytes())
    except (BrokenPipeError, ConnectionResetError, EOFError, OSError):
        return
