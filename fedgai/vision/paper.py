"""The paper that a drawing is on: whether it is white, lined or blank, and the same drawing on blank white paper."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fedgai.vision.channels import brightest_channel, darkest_channel

Levels = NDArray[np.uint8]
Floats = NDArray[np.float32]

ENOUGH = 0.4  # share of white pixels from which on a picture counts as being on white paper
BLOCKS = 10  # along each side; the paper's colour is measured in each block
WHITE = 246  # grey level: lighter paper is left as it is
DARK = 110  # grey level: darker paper is left as it is, too, for somebody chose it
COLOURED_PAPER = 25  # grey levels between the channels of paper from which on it counts as coloured
NEARLY_GREY = 0.15  # share of the paper's light: a colour that differs less from grey becomes grey on coloured paper
GRAINS = 5  # standard deviations of the paper's grain by which it is lighter than ink
LOOK_SIDE = 700  # px, long side at which a page is examined
STRIPS = 10  # upright strips of a page, in each of which rules are looked for
FEWEST_RULES = 6  # in a strip
FAINT = (10, 140)  # grey levels by which a rule is darker than paper
RULED_STRIPS = 3  # of a ruled page at least, with both at its edges: a garment's own stripes end within the page
BROADEST = 0.012  # of the page's height, width of a rule
EDGE = 2  # px around ink that are its faint edge, not a rule
DARKER = 16  # grey levels by which ink is darker than the rule that it crosses
INK = 26  # grey levels by which ink differs from paper
SPECK = 0.016  # of the long side: a longer stroke is not a speck
DARK_PAGE = 128  # grey level that most of a page is darker than where its paper counts as dark
CHALK = 128  # grey level from which on a stroke on dark paper counts as white, unless there is a lighter one
AROUND, BROAD = 0.17, 0.03  # of the long side: where the paper around a stroke is looked for, and the broadest stroke


def on_white_paper(picture: Levels) -> Levels:
    """(H, W, 3) uint8 -> the same on blank white paper: without the tint, the shadow and the rules of light paper.

    Light strokes on dark paper become dark strokes on white paper.
    """
    return _without_rules(_without_tint(dark_on_light(picture)))


def dark_on_light(picture: Levels) -> Levels:
    """(H, W, 3) uint8 -> with light and dark exchanged where it is light on dark paper, else as it is.

    Colours keep their hue: white chalk becomes black ink, and a red line stays red. The lightest grey stroke counts as white,
    because in a photograph chalk is seldom as light as 255.
    """
    if not is_light_on_dark(picture):
        return picture
    white = max(float(np.percentile(darkest_channel(picture)[::2, ::2], 99.9)), CHALK)
    light = np.minimum(picture * np.float32(255 / white if white > CHALK else 1), 255)
    ends = light.max(2, keepdims=True) + light.min(2, keepdims=True)
    return np.asarray(light + (255 - ends) + 0.5, np.uint8)


def is_light_on_dark(picture: Levels) -> bool:
    """Whether (H, W, 3) uint8 is drawn with strokes that are lighter than their paper, on dark paper.

    False for a white sheet on a dark table, which is broader than a stroke, and for dark ink in dim light.
    """
    grey = cv2.cvtColor(_small(picture), cv2.COLOR_RGB2GRAY)
    if np.median(grey) > DARK_PAGE:
        return False
    around, broad = (max(3, 2 * round(share * max(grey.shape) / 2) + 1) for share in (AROUND, BROAD))
    off, disc = grey.astype(np.int16) - cv2.medianBlur(grey, around), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (broad, broad))
    light = off[(off > INK) & (cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, disc) > INK)]
    dark = off[(off < -INK) & (cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, disc) > INK)]
    return int(light.sum()) > -int(dark.sum())


def is_on_white(picture: Levels) -> bool:
    """Whether (H, W, 3) uint8 is on white paper, or on paper so dark that it was chosen to be dark."""
    return _tinted(_small(picture)) is None


def is_ruled(picture: Levels) -> bool:
    """Whether (H, W, 3) uint8 seems to be on lined or squared paper: evenly spaced faint lines from one end to the other."""
    dark = _darkness(_without_tint(dark_on_light(_small(picture))))
    return _has_page_rules(dark) or _has_page_rules(dark.T)


def has_ink(picture: Levels) -> bool:
    """Whether there is a stroke on (H, W, 3) uint8 paper: something that is not like the paper, and longer than a speck."""
    page = on_white_paper(_small(picture)).astype(np.float32)
    ink = brightest_channel(np.abs(page - np.median(page.reshape(-1, 3), axis=0))) > INK
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    sides = stats[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    return bool(len(sides)) and int(sides.max()) > SPECK * max(page.shape)


def _small(picture: Levels) -> Levels:
    """At most ``LOOK_SIDE`` px on the long side."""
    scale = LOOK_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


# -- tint and shadow ---------------------------------------------------------------------------------------------------


def _without_tint(picture: Levels) -> Levels:
    """(H, W, 3) uint8 -> the same on white, where it was drawn on light paper that is not white."""
    paper = _tinted(picture)
    if paper is None:
        return picture
    share = picture / np.maximum(paper, 8)  # of the paper's light; ink takes the same share of it on every paper
    share = _with_grey_edges(share, paper)
    off = np.abs(darkest_channel(share[::5, ::5]) - 1)
    # the paper's own grain, as a standard deviation, from its smoother part: a rubbed shade is not grain
    grain = float(np.percentile(off[off < 0.15], 30)) / 0.385 if (off < 0.15).any() else 0.0
    # what is lighter than the paper's own grain becomes white, and ink stays what it is
    blank = np.clip((darkest_channel(share) - 1 + GRAINS * grain) / max(3 * grain, 1e-3), 0, 1)[..., None]
    return np.asarray(255 * np.clip(share + blank * (1 - share), 0, 1) + 0.5, np.uint8)


def _with_grey_edges(share: NDArray[Any], paper: Floats) -> NDArray[Any]:
    """(H, W, 3) shares of coloured paper's light -> the same, with what is nearly grey made grey.

    Cameras and JPEG blur colours, so that black ink on brown paper comes out brownish at its edges.
    """
    if np.ptp(paper.mean((0, 1))) < COLOURED_PAPER:
        return share
    grey = (share * (0.3, 0.59, 0.11)).sum(2, keepdims=True)
    colour = share - grey
    return np.asarray(grey + colour * np.clip(brightest_channel(np.abs(colour))[..., None] / NEARLY_GREY - 1, 0, 1))


def _tinted(picture: Levels) -> Floats | None:
    """(H, W, 3) uint8 -> (H, W, 3) float32, its paper alone; None where that is white, or was chosen to be dark."""
    if np.mean(darkest_channel(picture) >= WHITE) > ENOUGH:
        return None
    paper = _paper(picture)
    mean = paper.mean((0, 1))
    return None if mean.min() >= WHITE or mean.max() <= DARK else paper


def _paper(picture: Levels) -> Floats:
    """(H, W, 3) uint8 -> (H, W, 3) float32, the paper alone: a quadratic surface per channel, for a tint and a soft shadow.

    It is fitted to the lightest tenth of each block, of which those that a drawing fills lie below the surface and are left
    out. A surface that followed the page closely would take a rubbed shade or a wash for a shadow.
    """
    height, width = picture.shape[:2]
    rows, columns = (np.linspace(0, side, BLOCKS + 1).astype(int) for side in (height, width))
    light = np.array(
        [
            _light(picture[top:bottom, left:right])
            for top, bottom in itertools.pairwise(rows)
            for left, right in itertools.pairwise(columns)
        ]
    )  # (BLOCKS^2, 3)
    centre = (np.arange(BLOCKS) + 0.5) / BLOCKS * 2 - 1
    basis = _quadratic(*(x.ravel() for x in np.meshgrid(centre, centre, indexing="ij")))
    kept = np.ones(len(light), bool)
    for _ in range(6):
        surface = basis @ np.linalg.lstsq(basis[kept], light[kept], rcond=None)[0]
        below = (surface - light).max(1)
        kept = below <= max(3, 1.5 * float(np.median(np.abs(below[kept]))))
        if kept.sum() < 2 * basis.shape[1]:
            return np.full(picture.shape, np.percentile(light, 95, 0), np.float32)
    one, x, y, xx, xy, yy = np.linalg.lstsq(basis[kept], light[kept], rcond=None)[0]  # (3,) each
    down, across = np.linspace(-1, 1, height)[:, None, None], np.linspace(-1, 1, width)[None, :, None]
    paper = (one + y * down + yy * down**2) + (x * across + xx * across**2) + xy * down * across
    return np.asarray(paper, np.float32)


def _light(block: Levels) -> Floats:
    """(h, w, 3) uint8 -> (3,), what nine tenths of each channel lie below. ``np.percentile`` takes five times as long."""
    counts = [np.cumsum(cv2.calcHist([block], [channel], None, [256], [0, 256])) for channel in range(3)]
    at = 0.9 * (block.shape[0] * block.shape[1] - 1)
    low, high = (np.array([np.searchsorted(count, place, "right") for count in counts]) for place in (int(at), int(at) + 1))
    return np.asarray(high - (high - low) * (1 - at % 1), np.float64)


def _quadratic(y: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    """Coordinates in [-1, 1] of any shape -> the same with a last axis of the six terms."""
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)


# -- rules -------------------------------------------------------------------------------------------------------------


def _darkness(picture: Levels) -> Floats:
    """(H, W, 3) uint8 -> (H, W) float32, 0 to 255, by the darkest channel."""
    return np.asarray(255 - darkest_channel(picture), np.float32)


class _Rule(NamedTuple):
    """One rule in one strip: rows ``top`` to ``bottom - 1``, and how dark each is, a little above and below them, too."""

    top: int
    bottom: int
    dark: Floats


def _without_rules(picture: Levels) -> Levels:
    """(H, W, 3) uint8 on white paper -> the same without the paper's rules. Ink stays where it crosses a rule.

    A picture without rules comes as it is.
    """
    seen = _darkness(_small(picture))
    if _has_page_rules(seen):
        picture = _erased(picture)
    if _has_page_rules(seen.T):
        picture = np.ascontiguousarray(_erased(picture.transpose(1, 0, 2)).transpose(1, 0, 2))
    return picture


def _has_page_rules(dark: Floats) -> bool:
    """Whether (H, W) darkness has level rules from its left edge to its right one."""
    first, *middle, last = np.array_split(dark, STRIPS, 1)
    return _has_rules(first) and _has_rules(last) and 2 + sum(map(_has_rules, middle)) >= RULED_STRIPS


def _has_rules(strip: Floats) -> bool:
    """Whether (h, w) darkness, w small, has level lines all the way down."""
    faint = _faint(strip)
    starts = np.flatnonzero(faint & ~np.roll(faint, 1))
    if len(starts) < FEWEST_RULES or starts[-1] - starts[0] < 0.6 * len(faint):
        return False
    steps = np.diff(starts)
    return float(np.abs(steps - np.median(steps)).mean()) < 0.25 * float(np.median(steps))


def _faint(strip: Floats) -> NDArray[np.bool_]:
    """(h, w) darkness -> (h,), rows that are faint nearly everywhere."""
    return np.asarray(((strip > FAINT[0]) & (strip < FAINT[1])).mean(1) > 0.7)


def _erased(picture: Levels) -> Levels:
    """(H, W, 3) uint8 without its level rules."""
    dark = _darkness(picture)
    strips = np.array_split(np.arange(dark.shape[1]), STRIPS)
    found = [_rules(dark[:, columns]) if _has_rules(dark[:, columns]) else [] for columns in strips]
    # above and below ink, what is faint is the ink's own edge
    edge = cv2.dilate((dark > FAINT[1]).astype(np.uint8), np.ones((2 * EDGE + 1, 1), np.uint8)) > 0
    page = picture.copy()
    for i, columns in enumerate(strips):
        within = slice(columns[0], columns[-1] + 1)
        for top, bottom, level in _rules_of_strip(found, i):
            rows = slice(max(0, top - 1), bottom + 1)
            own = dark[rows, within]
            paper = np.maximum(*(picture[min(max(row, 0), len(picture) - 1), columns] for row in (top - 2, bottom + 1)))  # (w, 3)
            rule = (own <= level[-len(own) :, None] + DARKER) & ~edge[rows, within]
            page[rows, within] = np.where(rule[..., None], np.maximum(page[rows, within], paper), page[rows, within])
    return page


def _rules_of_strip(found: list[list[_Rule]], strip: int) -> list[_Rule]:
    """The rules of a strip. Where ink hides one, it goes on as in the nearest strip that has it."""
    rules: list[_Rule] = []
    for other in sorted(range(len(found)), key=lambda place: abs(place - strip)):
        for rule in found[other]:
            if all(rule.bottom <= known.top or rule.top >= known.bottom for known in rules):
                rules.append(rule)
    return rules


def _rules(strip: Floats) -> list[_Rule]:
    """Those of (h, w) darkness."""
    faint = np.concatenate([[False], _faint(strip), [False]])
    edges = np.flatnonzero(faint[1:] != faint[:-1]).reshape(-1, 2).tolist()
    broadest = max(3.0, BROADEST * len(strip))
    return [
        _Rule(top, bottom, np.median(strip[max(0, top - 1) : bottom + 1], axis=1))
        for top, bottom in edges
        if bottom - top <= broadest
    ]
