"""The rules of lined and squared paper, and a drawing without them."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fedgai.vision.paper import Floats, Levels, on_white_paper, small

STRIPS, FEWEST_RULES, FAINT = 10, 6, (10, 140)  # strips of a page, rules in a strip, and how much darker than paper they are
RULED_STRIPS = 3  # of a page, both at its edges among them: a garment's own stripes end within the page
BROADEST = 0.012  # of the page, a rule
EDGE = 2  # px, of ink, that is no rule
DARKER = 16  # grey levels by which ink is darker than the rule that it crosses


class Rule(NamedTuple):
    """One rule in one strip: rows ``top`` to ``bottom - 1``, and how dark each is, a little above and below them, too."""

    top: int
    bottom: int
    dark: Floats


def is_ruled(picture: Levels) -> bool:
    """Whether (H, W, 3) uint8 seems to be on lined or squared paper: evenly spaced faint lines from one end to the other."""
    dark = 255 - np.asarray(on_white_paper(small(picture)).min(2), np.float32)
    return _goes_through(dark) or _goes_through(dark.T)


def without_rules(picture: Levels) -> Levels:
    """(H, W, 3) uint8 on white paper -> the same without the paper's rules. Ink stays where it crosses a rule.

    A picture without rules comes as it is.
    """
    seen = 255 - np.asarray(small(picture).min(2), np.float32)
    if _goes_through(seen):
        picture = _erased(picture)
    if _goes_through(seen.T):
        picture = np.ascontiguousarray(_erased(picture.transpose(1, 0, 2)).transpose(1, 0, 2))
    return picture


def _goes_through(dark: Floats) -> bool:
    """Whether (H, W) darkness has level rules from its left edge to its right one."""
    ruled = [_has_rules(strip) for strip in np.array_split(dark, STRIPS, 1)]
    return ruled[0] and ruled[-1] and sum(ruled) >= RULED_STRIPS


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
    dark = 255 - np.asarray(picture.min(2), np.float32)
    columns = np.array_split(np.arange(dark.shape[1]), STRIPS)
    found = [_rules(dark[:, of]) if _has_rules(dark[:, of]) else [] for of in columns]
    # above and below ink, what is faint is the ink's own edge
    edge = cv2.dilate((dark > FAINT[1]).astype(np.uint8), np.ones((2 * EDGE + 1, 1), np.uint8)) > 0
    left = picture.copy()
    for i, of in enumerate(columns):
        for top, bottom, level in _here(found, i):
            rows = slice(max(0, top - 1), bottom + 1)
            own = dark[rows, of[0] : of[-1] + 1]
            paper = np.maximum(*(picture[min(max(row, 0), len(picture) - 1), of] for row in (top - 2, bottom + 1)))  # (w, 3)
            rule = (own <= level[-len(own) :, None] + DARKER) & ~edge[rows, of[0] : of[-1] + 1]
            left[rows, of[0] : of[-1] + 1] = np.where(rule[..., None], np.maximum(left[rows, of], paper), left[rows, of])
    return left


def _here(found: list[list[Rule]], strip: int) -> list[Rule]:
    """The rules of a strip. Where ink hides one, it goes on as in the nearest strip that has it."""
    rules: list[Rule] = []
    for other in sorted(range(len(found)), key=lambda place: abs(place - strip)):
        for rule in found[other]:
            if all(rule.bottom <= known.top or rule.top >= known.bottom for known in rules):
                rules.append(rule)
    return rules


def _rules(strip: Floats) -> list[Rule]:
    """Those of (h, w) darkness."""
    faint = np.concatenate([[False], _faint(strip), [False]])
    edges = np.flatnonzero(faint[1:] != faint[:-1]).reshape(-1, 2).tolist()
    broadest = max(3.0, BROADEST * len(strip))
    return [
        Rule(top, bottom, np.median(strip[max(0, top - 1) : bottom + 1], axis=1))
        for top, bottom in edges
        if bottom - top <= broadest
    ]
