"""Hands that nobody here trains on, from a renderer of their own: no flow, no pen map, no stroke lattice.

They draw the garment that the studio sees, for only then does a distance between two drawings speak of the hand: the outline of
the mask, the lines and the tone of the draughtsman. A person leaves the print to the fabric, too. How these are drawn is theirs
alone; the ateliers (``fedgai.ateliers``) share none of it. Without what the draughtsman saw they draw the photograph, print and
all: inner lines are Canny's edges, tone is plain luminance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from fedgai.content import Looked, fit_and_cut, look, on_white
from fedgai.data.listing import find_images
from fedgai.draughtsman import Draughtsman
from fedgai.vision.cutout import NoGarment
from fedgai.vision.images import Picture

Colour = tuple[int, int, int]
BLACK = (10, 10, 12)


class Cut(NamedTuple):
    """A garment to draw.

    Attributes:
        photo: (H, W, 3) uint8, on white. mask: (H, W) float32 in [0, 1].
        seen: its lines and its tone, without its print.
    """

    photo: np.ndarray
    mask: np.ndarray
    seen: Looked


@dataclass(frozen=True)
class Stranger:
    """One hand. Lengths are pixels of a drawing that is 512 px long.

    Attributes:
        outline, inner: widths of the silhouette's and of other lines; 0 for none.
        ink: their colour.
        tone: how the dark parts are shaded; None for not at all.
        shake: how far lines stray.
        twice: draw each line a second time, elsewhere.
        detail: 0 to 1, how many of the inner lines are drawn.
    """

    outline: int
    inner: int
    ink: Colour = BLACK
    tone: Callable[[np.ndarray, np.ndarray], None] | None = None
    shake: float = 0.0
    twice: bool = False
    detail: float = 0.5


def level_stripes(page: np.ndarray, dark: np.ndarray) -> None:
    """Level lines, 9 px apart, where it is dark."""
    lines = np.zeros(dark.shape, bool)
    lines[::9] = True
    page[lines & (dark > 0.5)] = BLACK


def upright_stripes(page: np.ndarray, dark: np.ndarray) -> None:
    """Upright lines of 2 px, 12 px apart."""
    lines = np.zeros(dark.shape, bool)
    lines[:, ::12] = lines[:, 1::12] = True
    page[lines & (dark > 0.55)] = BLACK


def flat_wash(page: np.ndarray, dark: np.ndarray) -> None:
    """Two flat tones of blue-grey."""
    page[dark > 0.35] = (196, 206, 222)
    page[dark > 0.65] = (148, 164, 190)


def spot_black(page: np.ndarray, dark: np.ndarray) -> None:
    """The darkest parts filled with ink."""
    page[cv2.medianBlur(np.uint8(dark > 0.8) * 255, 7) > 0] = BLACK


def screen_dots(page: np.ndarray, dark: np.ndarray) -> None:
    """A square grid of dots, 8 px apart, larger where it is darker."""
    for y in range(4, dark.shape[0], 8):
        for x in range(4, dark.shape[1], 8):
            if dark[y, x] > 0.4:
                cv2.circle(page, (x, y), 1 + int(dark[y, x] > 0.7), BLACK, -1, cv2.LINE_AA)


STRANGERS: dict[str, Stranger] = {
    "fat brush": Stranger(5, 3, detail=0.35),
    "hair line": Stranger(1, 1, detail=0.6),
    "level stripes": Stranger(2, 1, tone=level_stripes, detail=0.4),
    "upright stripes": Stranger(2, 2, tone=upright_stripes, detail=0.3),
    "flat wash": Stranger(2, 1, ink=(40, 40, 60), tone=flat_wash, detail=0.5),
    "spot black": Stranger(3, 2, tone=spot_black, detail=0.4),
    "screen dots": Stranger(2, 1, tone=screen_dots, detail=0.3),
    "brown, sketchy": Stranger(1, 1, ink=(120, 70, 40), shake=2.0, twice=True, detail=0.6),
}


def cut(folder: Path, count: int, draughtsman: Draughtsman | None, size: int = 512) -> list[Cut]:
    """``count`` garments, evenly over the folder, ``size`` px long, as the studio cuts them out."""
    files, found = find_images(folder), []
    for file in files[:: max(1, len(files) // (2 * count))]:
        if len(found) == count:
            break
        try:
            image, mask = fit_and_cut(file, size, draughtsman=draughtsman)
        except (NoGarment, ValueError):
            continue
        assert mask is not None
        photo = on_white(np.asarray(image), mask)
        found.append(Cut(photo, mask, see(photo, mask, draughtsman)))
    return found


def see(photo: np.ndarray, mask: np.ndarray, draughtsman: Draughtsman | None) -> Looked:
    """A cut-out garment as the studio shows it to its network: without its print."""
    picture, side = Picture(Image.fromarray(photo), mask.astype(np.float32)), max(photo.shape[:2])
    return look(picture, side, side, draughtsman, cutout=True, detail=1.0, print_amount=0.0, on_missing="keep")


class Subject(NamedTuple):
    """What a hand has before it: the garment's shape, its lines and its dark parts.

    Attributes:
        solid, inside: (H, W) uint8, 1 on the garment, and well inside of it.
        lines, outlines: (n, 1, 2) int32 px each, and those of the silhouette, closed.
        dark: (H, W) float32 in [0, 1], 1 where the garment is darkest; 0 outside.
        scale: px of this picture for one of a drawing that is 512 px long.
    """

    solid: np.ndarray
    inside: np.ndarray
    lines: list[np.ndarray]
    outlines: list[np.ndarray]
    dark: np.ndarray
    scale: float


def subject(photo: np.ndarray, mask: np.ndarray, seen: Looked | None, detail: float) -> Subject:
    """What there is to draw of a garment. ``detail``: as of ``Stranger``; the others are those of ``draw``."""
    scale = max(photo.shape[:2]) / 512
    solid = np.uint8(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2 * scale) > 0.5)
    inside = cv2.erode(solid, np.ones((3, 3), np.uint8), iterations=max(1, round(4 * scale)))
    if seen is None or seen.tone is None:
        grey = cv2.bilateralFilter(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), 9, 40, 5)
        lines = _edges(grey, inside, detail, scale)
    else:
        grey = 255 * (1 - seen.tone)
        lines = [line.points.round().astype(np.int32)[:, None] for line in seen.lines if line.sure > 0.8 - detail]
    dark = np.zeros(mask.shape, np.float32)
    if solid.any():
        low, high = np.percentile(grey[solid > 0], (3, 97))
        dark = 1 - np.clip((cv2.GaussianBlur(grey, (0, 0), 4 * scale) - low) / max(high - low, 20), 0, 1)
        dark = np.where(inside > 0, dark, 0).astype(np.float32)
    outlines, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return Subject(solid, inside, lines, [line for line in outlines if len(line) > 40 * scale], dark, scale)


def draw(photo: np.ndarray, mask: np.ndarray, hand: Stranger, seed: int = 0, seen: Looked | None = None) -> np.ndarray:
    """A garment in a stranger's hand.

    Args:
        photo: (H, W, 3) uint8. mask: (H, W) float32 in [0, 1], the garment.
        seed: of what the hand does by chance.
        seen: what the hand draws of it; None: all that the photograph shows, with its print.
    Returns:
        (H, W, 3) uint8 on white paper.
    """
    rng = np.random.default_rng(seed)
    before = subject(photo, mask, seen, hand.detail)
    page = np.full(photo.shape, 255, np.uint8)
    if hand.tone and before.solid.any():
        hand.tone(page, before.dark)
    for line in before.lines if hand.inner else ():
        _stroke(page, line, hand, hand.inner * before.scale, rng, closed=False)
    for line in before.outlines if hand.outline else ():
        _stroke(page, line, hand, hand.outline * before.scale, rng, closed=True)
    return page


def _edges(grey: np.ndarray, inside: np.ndarray, detail: float, scale: float) -> list[np.ndarray]:
    """What Canny finds in a photograph, (n, 1, 2) int32 px each."""
    steep = 160 - 120 * detail
    lines, _ = cv2.findContours(cv2.Canny(grey, 0.5 * steep, steep) * inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return [line[: len(line) // 2 + 1] for line in lines if len(line) > 24 * scale]


def _stroke(page: np.ndarray, line: np.ndarray, hand: Stranger, width: float, rng: np.random.Generator, closed: bool) -> None:
    points = line[::3, 0].astype(np.float32)
    if len(points) < 2:
        return
    for _ in range(2 if hand.twice else 1):
        stray = cv2.GaussianBlur(rng.standard_normal(points.shape).astype(np.float32), (1, 0), 0, sigmaY=6) * 6 * hand.shake
        moved = np.int32(np.round((points + stray) * 16))
        cv2.polylines(page, [moved[:, None]], closed, hand.ink, max(1, round(width)), cv2.LINE_AA, 4)
