"""A study drawn in a hand."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from fedgai.ateliers.hands import Hand
from fedgai.ateliers.studies import FLOWS, LINE_SCALES, Study, study, study_looked
from fedgai.content import look
from fedgai.draughtsman import Draughtsman
from fedgai.networks import hatching as strokes
from fedgai.vision.garment_lines import PenMap
from fedgai.vision.images import Picture
from fedgai.vision.tone import away_from_light


def _interpolate(stack: np.ndarray, grid: tuple[float, ...], value: float) -> np.ndarray:
    """Linear interpolation of ``stack`` along its first axis, whose coordinates are ``grid``."""
    i = int(np.clip(np.searchsorted(grid, value) - 1, 0, len(grid) - 2))
    t = float(np.clip((value - grid[i]) / (grid[i + 1] - grid[i]), 0, 1))
    between: np.ndarray = stack[i] * (1 - t) + stack[i + 1] * t
    return between


def _lines(seen: Study, hand: Hand, wobble: np.ndarray) -> np.ndarray:
    """Opacity of silhouette and inner lines, (H, W) float32 in [0, 1]."""
    inner = _inner_after_photograph(seen, hand) if seen.pen is None else _inner_along(seen.pen, hand)
    width = hand.weight * hand.contour * (1 + hand.taper * (0.45 * away_from_light(seen.distance) + 0.18 * wobble))
    outer = np.clip(width / 2 + 0.5 - np.abs(seen.distance - hand.weight * 0.4), 0, 1)
    opacity: np.ndarray = np.maximum(inner, outer)
    return opacity


def _inner_along(pen: PenMap, hand: Hand) -> np.ndarray:
    """Opacity of the lines that the draughtsman saw, (H, W) float32 in [0, 1]: whole lines, or none where it is not sure."""
    kept = pen.sure > 0.2 + 0.6 * hand.omit
    pressure = 1 - 0.5 * hand.taper * (1 - pen.sure)
    lift = np.clip(pen.end / (6 * hand.weight), 0.25, 1)  # a swelling pen is lifted at the ends of a line
    half = hand.weight / 2 * pressure * (1 - hand.taper * (1 - lift))
    drawn: np.ndarray = np.clip(half + 0.5 - pen.away, 0, 1) * kept
    return drawn


def _inner_after_photograph(seen: Study, hand: Hand) -> np.ndarray:
    """Opacity of the lines that a filter finds in the photograph, (H, W) float32 in [0, 1]."""
    response = _interpolate(np.stack([_interpolate(s, FLOWS, hand.flow) for s in seen.lines]), LINE_SCALES, hand.weight * 0.5)
    high = 0.35 + 0.75 * hand.omit
    low = high * 0.55
    # hysteresis: a faint line is drawn only where it continues a strong one
    count, labels = cv2.connectedComponents((response > low).astype(np.uint8), connectivity=8)
    peak = np.zeros(count, np.float32)
    np.maximum.at(peak, labels.ravel().astype(np.intp), response.ravel())
    size = np.bincount(labels.ravel(), minlength=count)
    keep = (peak > high) & (size > 10 + 5 * hand.weight)
    keep[0] = False
    kept = cv2.dilate(keep[labels].astype(np.uint8), np.ones((3, 3), np.uint8))
    sharp = 7.0 - 4.0 * hand.taper  # a tapering pen presses harder where the line is stronger
    inner = cv2.GaussianBlur(np.clip((response - low) * sharp, 0, 1) * kept, (0, 0), 0.45)
    drawn: np.ndarray = np.clip(1.35 * inner - 0.1, 0, 1)
    return drawn


def _mixed(grown: np.ndarray, same: float, even: float) -> np.ndarray:
    """How heavy strokes are: ``grown`` with the dark, or the ``same`` everywhere, as far as a hand is ``even``."""
    mixed: np.ndarray = grown + even * (same - grown)
    return mixed


def _blacks(seen: Study, hand: Hand) -> np.ndarray:
    """Opacity of the areas that are filled with ink, (H, W) float32 in [0, 1]."""
    start = 1 - 0.45 * hand.blacks
    filled: np.ndarray = np.clip((cv2.GaussianBlur(seen.tone, (0, 0), 2.5) - start) * 40, 0, 1) * np.clip(seen.distance, 0, 1)
    return filled


def _wash(seen: Study, hand: Hand, hatch: np.ndarray) -> np.ndarray:
    """How much colour a marker lays down, (H, W) float32 in [0, 1]. ``hatch``: the stroke field's, for its streaks."""
    three = 0.30 + 0.38 * np.clip((seen.tone - 0.40) * 9, 0, 1) + 0.32 * np.clip((seen.tone - 0.72) * 9, 0, 1)
    streak = 0.10 * np.clip((hatch - 0.55) * 4, -0.4, 1)  # where two strokes of the broad tip overlap
    all_over = np.clip(three + streak, 0, 1) * np.clip(seen.tone * 8 - 0.6, 0, 1)
    laid: np.ndarray = all_over
    if hand.flat == 0:
        return laid
    smooth = cv2.GaussianBlur(seen.tone, (0, 0), 2.5)
    two = 0.5 * np.clip((smooth - 0.4) * 20, 0, 1) + 0.5 * np.clip((smooth - 0.66) * 20, 0, 1)
    laid = all_over + hand.flat * (two - all_over)
    return laid


def _tone_strokes(seen: Study, hand: Hand, field: dict[str, np.ndarray]) -> np.ndarray:
    """Opacity of hatching, cross-hatching and stipple, (H, W) float32 in [0, 1]."""
    ink = np.zeros_like(seen.tone)
    pen = min(hand.weight, 1.8)
    for amount, line, rank in ((hand.hatch, "hatch", "hatch rank"), (hand.cross, "cross", "cross rank")):
        if amount > 0:
            start = 1 - 0.85 * amount
            excess = (seen.tone - start - 0.07 * (1 - hand.even) * field[rank]) / (1 - start)
            grown = _mixed(np.clip(excess, 0, 1), 0.45, hand.even)
            off = np.arccos(np.clip(field[line], -1, 1)) / (2 * np.pi) * hand.period  # pixels from the line's middle
            half = np.where(excess > 0, pen * (0.3 + 0.45 * grown), -1)
            ink = np.maximum(ink, np.clip(half + 0.5 - off, 0, 1) * np.clip(excess * (12 + 28 * hand.even), 0, 1))
    if hand.stipple > 0:
        start = 1 - 0.95 * hand.stipple
        excess = np.clip((seen.tone - start) / (1 - start), 0, 1) ** 1.3
        present = np.where(excess > 0.02, _mixed(excess, 1.0, hand.even), 0) > 0.5 + 0.5 * field["dot rank"]
        radius = pen * (0.5 + 0.45 * _mixed(excess, 0.5, hand.even))
        ink = np.maximum(ink, np.clip(radius + 0.5 - field["dot"] * hand.period, 0, 1) * present)
    return ink * np.clip(seen.distance - 0.5, 0, 1)


def _warp(image: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float32)
    return cv2.remap(image, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def render(seen: Study, hand: Hand) -> np.ndarray:
    """Draw a study in a hand: (H, W, 3) uint8 RGB on white paper. Deterministic."""
    h, w = seen.tone.shape
    values = strokes.stroke_field(strokes.stroke_code(hand.angle, hand.period)[None], h, w)[0].numpy()
    field = {name: np.ascontiguousarray(values[..., i]) for i, name in enumerate(strokes.CHANNELS)}
    line = _lines(seen, hand, field["wobble x"])
    once = _warp(line, hand.wobble * field["wobble x"], hand.wobble * field["wobble y"])
    if hand.double > 0:
        stray = 0.8 + hand.wobble
        again = _warp(line, 1.3 + stray * field["wobble y"], -0.9 - stray * field["wobble x"])
        once = 1 - (1 - once) * (1 - hand.double * 0.75 * again)
    ink = np.maximum(once, _tone_strokes(seen, hand, field))
    if hand.blacks > 0:
        ink = np.maximum(ink, _blacks(seen, hand))
    inside = np.clip(seen.distance, 0, 1)
    if hand.shade > 0:  # rubbed tone follows the hatching's direction a little, like the side of a pencil
        rubbed = hand.shade * np.clip(seen.tone * 1.25 - 0.22, 0, 1) * (0.86 + 0.14 * field["hatch"])
        ink = 1 - (1 - ink) * (1 - 0.85 * rubbed * inside)
    if hand.soft > 0:
        ink = cv2.GaussianBlur(ink, (0, 0), 0.35 + 0.5 * hand.soft)
    if hand.grain > 0:  # the paper's tooth keeps the stick off its valleys; heavy strokes fill them
        tooth = 0.45 * field["tooth"] + 0.55 * field["grain"]
        ink = np.clip(ink + hand.grain * (0.26 * tooth - 0.06) * np.sqrt(np.clip(ink * (1.6 - ink), 0, 1)), 0, 1)
    ink = ink * hand.opacity
    paper = np.ones(3, np.float32)
    image = np.broadcast_to(paper, (h, w, 3))
    if hand.wash > 0:
        laid = (hand.wash * _wash(seen, hand, field["hatch"]) * inside)[..., None]
        image = image * (1 - laid) + np.array(hand.wash_color, np.float32) * laid
    image = image * (1 - ink[..., None]) + np.array(hand.color, np.float32) * ink[..., None]
    drawn: np.ndarray = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return drawn


def draw(photo: np.ndarray, hand: Hand, *, mask: np.ndarray | None = None, draughtsman: Draughtsman | None = None) -> np.ndarray:
    """Draw a photograph in a hand.

    Args:
        photo: (H, W, 3) uint8 RGB.
        hand: who draws.
        mask: (H, W) float32 in [0, 1], the garment (see ``cutout.cut_out``); None draws the whole picture.
        draughtsman: sees the garment's lines, and the print is left out; None: a filter finds lines, and print is drawn, too.
    Returns:
        (H, W, 3) uint8 RGB, white paper.
    """
    if draughtsman is None or mask is None:
        return render(study(photo, mask), hand)
    picture, side = Picture(Image.fromarray(photo), mask.astype(np.float32)), max(photo.shape[:2])
    seen = look(
        picture, side, side, draughtsman, cutout=True, detail=1.0, print_amount=0.0, on_missing="keep", choice=hand.choice
    )
    return render(study_looked(seen), hand)
