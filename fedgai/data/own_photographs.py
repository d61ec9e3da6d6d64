"""Pictures of the garments that drawings show, for designers who have no photographs of them.

A signature is refined, and an adapter learned, on pairs of a garment's photograph and its drawing. Where there is no photograph,
the drawing says what the garment looks like: its outline, its lines, and where it is dark. From these a picture of grey cloth is
made, which the draughtsman reads as it reads a photograph. So house and designer draw the same garment. Ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedgai.content import on_white
from fedgai.draughtsman import Draughtsman
from fedgai.vision.channels import darkest_channel
from fedgai.vision.cutout import enclosed

Plane = NDArray[np.float32]

REFERENCE = 512  # px, long side to which lengths below refer
INK = 0.1  # darkness above which paper is drawn on
GAPS = (1, 2, 4, 8, 14)  # px, half the width of gaps in an outline that are closed; the smallest that is enough is used
CLOSED = 0.93  # share of what the widest of them encloses, at which an outline counts as closed
SMALLEST = 0.03  # share of the page that a garment covers at least
SPECK = 7  # px, what is narrower is not part of a garment
WIDEST_OUTLINE = 12.0  # px
USUAL = 35  # percentile of an outline's widths: where other ink touches it, it seems wider
LINE, AROUND = 0.16, 3.0  # likelihood of a line, and px around it whose ink is the line's
TONE = 8.0  # px, sigma of the blur that makes hatching and dots a tone
FAINTEST_TONE = 0.06  # darkness; drawings whose darkest tone is below it are not shaded
LINES = 0.9  # share of the cloth's light that black ink takes
LIGHT = 0.3, 0.8  # of white, how light cloth is: by chance, for a drawing does not say it
DARK_CLOTH = 0.1, 0.35  # the same of a garment that is shaded all over
SHADES = 0.04, 0.1  # of white, how much darker shading is than the cloth: the less, the fainter the tone that is read from it
FOLDS = 6.0, 40.0  # px, sigma of light and shadow, for a hand that does not shade learns here to leave out those of real cloth
DEEP = 0.02, 0.08  # of white, their deviation
SEED = 24


@dataclass(frozen=True)
class _Read:
    """What a drawing says of its garment, all of one size.

    Attributes:
        alpha: (H, W) float32 in [0, 1], 1 on the garment.
        ink: (H, W) float32 in [0, 1], how dark it is. lines: (H, W) float32 in [0, 1], its share that is not shading.
        tone: (H, W) float32 in [0, 1], how dark it is shaded, without its lines.
    """

    alpha: Plane
    ink: Plane
    lines: Plane
    tone: Plane


def own_photographs(
    pages: Sequence[NDArray[np.uint8]],
    draughtsman: Draughtsman,
    seed: int = SEED,
    *,
    on_page: Callable[[], object] = lambda: None,
) -> list[Image.Image | None]:
    """Photographs of the garments that drawings show.

    Args:
        pages: drawings as they are measured (``measure.page``), (H, W, 3) uint8 each.
        draughtsman: tells lines from shading.
        seed: of the cloths' lightness.
        on_page: called before each drawing is looked at, which takes most of the time.
    Returns:
        an RGBA picture of each page's size; alpha is the garment's mask. None where a page shows no closed shape.
    """
    read = []
    for page in pages:
        on_page()
        read.append(_read(page, draughtsman))
    darkest = [float(np.percentile(one.tone[one.alpha > 0.5], 98)) for one in read if one is not None]
    top, rng = float(np.percentile(darkest, 75)) if darkest else 0.0, np.random.default_rng(seed)
    pictures: list[Image.Image | None] = []
    for one in read:
        if one is None:
            pictures.append(None)
            continue
        tone, ink, lightness = np.zeros_like(one.tone), one.ink, LIGHT
        if top > FAINTEST_TONE:  # this hand shades
            tone, ink = np.clip(one.tone / top, 0, 1), one.ink * one.lines
            if (tone[one.alpha > 0.5] > 0.5).mean() > 0.5:
                lightness = DARK_CLOTH
        shade = rng.uniform(*lightness) - rng.uniform(*SHADES) * tone
        if top <= FAINTEST_TONE:
            shade = shade + rng.uniform(*DEEP) * _folds(tone.shape, rng)
        cloth = np.clip(shade, 0, 1) * (1 - LINES * ink)
        pictures.append(Image.fromarray((255 * np.dstack([cloth, cloth, cloth, one.alpha])).astype(np.uint8)))
    return pictures


def _folds(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Soft light and shadow by chance, (H, W) float32, of deviation 1."""
    unit, noise = max(shape) / REFERENCE, rng.standard_normal(shape, np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), rng.uniform(*FOLDS) * unit, sigmaY=rng.uniform(*FOLDS) * unit)
    return np.asarray((soft - soft.mean()) / soft.std(), np.float32)


def _read(page: NDArray[np.uint8], draughtsman: Draughtsman) -> _Read | None:
    """Returns None if no closed shape is drawn."""
    unit = max(page.shape) / REFERENCE
    dark = np.asarray(1 - darkest_channel(page) / np.float32(255), np.float32)
    garment, outline = _garment(dark > INK, unit)
    if garment.mean() < SMALLEST:
        return None
    alpha = np.asarray(cv2.GaussianBlur(garment.astype(np.float32), (0, 0), 0.8), np.float32)
    cloth = 255 * LIGHT[1] * (1 - 0.5 * dark)  # any light cloth will do: only its lines are looked for
    seen = draughtsman.look(on_white(np.dstack([cloth, cloth, cloth]).astype(np.uint8), alpha))
    reach = 2 * round(AROUND * unit + outline / 2) + 1
    lines = cv2.dilate((seen.lines.max(0) > LINE).astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    shaded = garment & ~lines & (_depth(garment) > outline / 2 + 2 * unit)
    weight = shaded.astype(np.float32)
    total, share = (cv2.GaussianBlur(x, (0, 0), TONE * unit) for x in (dark * weight, weight))
    drawn = np.asarray(cv2.GaussianBlur(1 - weight, (0, 0), 0.8), np.float32)
    return _Read(alpha, dark, drawn, np.asarray(total / (share + 1e-3), np.float32))


def _garment(ink: NDArray[np.bool_], unit: float) -> tuple[NDArray[np.bool_], float]:
    """What a drawing's outline encloses, to the middle of its line, (H, W) bool; and how wide that line is, px."""
    disc = np.ones((max(3, round(SPECK * unit)),) * 2, np.uint8)
    shapes = [enclosed(ink, max(1, round(gap * unit))).astype(np.uint8) for gap in GAPS]
    found = [cv2.morphologyEx(shape, cv2.MORPH_OPEN, disc) > 0 for shape in shapes]
    whole = next(one for one in found if one.sum() >= CLOSED * found[-1].sum())
    rim, cloth = whole & (_depth(whole) < 1.5), whole & ~ink
    width = 0.0
    if rim.any() and cloth.any():
        width = float(np.percentile(_depth(~cloth)[rim], USUAL).clip(0, WIDEST_OUTLINE * unit))
    return _depth(whole) > width / 2, width


def _depth(area: NDArray[np.bool_]) -> Plane:
    """(H, W) bool -> (H, W) float32, px to the nearest pixel outside; what lies beyond the picture counts as outside."""
    return np.asarray(cv2.distanceTransform(np.pad(area, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)
