"""Ateliers: virtual designers. From a photograph to a drawing in a hand that is a point of a continuous parameter space.

No public set of paired fashion sketches can be had, so the project draws its own: flow-based difference of Gaussians along
the smoothed structure tensor (Kang, Lee & Chui 2007) for seams and folds, the cut-out's contour for the silhouette, and
then a designer's hand. Eight named hands are the embedded default; random ones are what the house Generator learns from.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np

from fedgai.networks import hatching as strokes
from fedgai.vision.flow import across, along, tangents

LINE_SCALES = (0.55, 0.95, 1.6)  # sigma of the centre Gaussian, pixels, for fine to broad lines


@dataclass(frozen=True)
class Hand:
    """One designer's way of drawing. Lengths are pixels of a drawing that is 512 px long (``measure.SIDE``).

    Attributes:
        description: one line, shown by the studio.
        medium: what it is drawn with: ink, graphite, charcoal, pencil (coloured) or marker.
        weight: line weight, 0.9 to 3.2 px.
        contour: the silhouette's weight over the inner lines', 1 to 2.2.
        taper: 0 even lines to 1 lines that swell on the shadow side and thin out.
        omit: 0 every seam and fold is drawn to 1 only the strongest.
        flow: smoothing of the flow along which lines run, 1.5 to 5 px.
        hatch, cross, stipple: 0 to 1, how far into the light hatching, cross-hatching, stipple dots reach.
        angle: of the hatching lines, degrees; period: their (and the dots') distance, 4 to 11 px.
        shade: 0 to 1, continuous tone rubbed in. wash: 0 to 1, flat tone laid on.
        wobble: how far lines stray, 0 to 1.6 px. double: 0 to 1, how often a line is drawn a second time.
        soft: 0 crisp to 1 soft edges. grain: 0 smooth paper to 1 rough tooth that shows through.
        opacity: of a single stroke, 0.5 to 1.
        color, wash_color: sRGB in [0, 1].
    """

    description: str = ""
    medium: str = "ink"
    weight: float = 1.4
    contour: float = 1.5
    taper: float = 0.4
    omit: float = 0.4
    flow: float = 2.5
    hatch: float = 0.0
    cross: float = 0.0
    stipple: float = 0.0
    angle: float = 45.0
    period: float = 6.0
    shade: float = 0.0
    wash: float = 0.0
    wobble: float = 0.2
    double: float = 0.0
    soft: float = 0.0
    grain: float = 0.0
    opacity: float = 1.0
    color: tuple[float, float, float] = (0.07, 0.07, 0.09)
    wash_color: tuple[float, float, float] = (0.55, 0.6, 0.68)

    @property
    def numbers(self) -> np.ndarray:
        """All continuous parameters, (24,) float32, for distances between hands."""
        values = [getattr(self, f.name) for f in fields(self) if f.name not in ("description", "medium")]
        return np.hstack(values).astype(np.float32)


ATELIERS: dict[str, Hand] = {
    "Aiko": Hand(
        "Fineliner: an even, unbroken technical line and nothing else.",
        weight=1.1,
        contour=1.25,
        taper=0.05,
        omit=0.25,
        flow=2.2,
        wobble=0.0,
    ),
    "Bruno": Hand(
        "Brush and ink: lines that swell and vanish, a heavy silhouette, much left out.",
        weight=2.4,
        contour=2.0,
        taper=1.0,
        omit=0.62,
        flow=4.0,
        wobble=0.5,
    ),
    "Celeste": Hand(
        "Soft graphite: searching double strokes, folds rubbed in with the side of the pencil.",
        "graphite",
        weight=1.5,
        contour=1.2,
        taper=0.6,
        omit=0.3,
        shade=0.7,
        wobble=0.8,
        double=0.8,
        soft=0.6,
        grain=0.45,
        opacity=0.86,
        color=(0.2, 0.2, 0.23),
    ),
    "Dara": Hand(
        "Pen and cross-hatching: shadows woven from crossed diagonals.",
        weight=1.2,
        contour=1.5,
        taper=0.4,
        omit=0.45,
        hatch=0.72,
        cross=0.6,
        angle=45,
        period=5.5,
        wobble=0.25,
    ),
    "Emeka": Hand(
        "Stippling: form built from ink dots under a crisp outline.",
        weight=1.3,
        contour=1.4,
        taper=0.2,
        omit=0.6,
        stipple=0.85,
        period=5.0,
        wobble=0.1,
    ),
    "Freya": Hand(
        "Charcoal: broad, grainy strokes and smoky darks on rough paper.",
        "charcoal",
        weight=2.8,
        contour=1.5,
        taper=0.8,
        omit=0.5,
        flow=4.0,
        shade=0.9,
        wobble=0.7,
        soft=0.8,
        grain=0.9,
        opacity=0.9,
        color=(0.13, 0.12, 0.12),
    ),
    "Goro": Hand(
        "Sanguine pencil: warm red strokes, shaded with slanting parallel lines.",
        "pencil",
        weight=1.5,
        contour=1.3,
        taper=0.5,
        omit=0.4,
        hatch=0.8,
        angle=118,
        period=7.0,
        shade=0.25,
        wobble=0.4,
        soft=0.35,
        grain=0.35,
        opacity=0.95,
        color=(0.58, 0.16, 0.09),
    ),
    "Hana": Hand(
        "Marker: a flat wash of cool blue with streaks, held by a bold black line.",
        "marker",
        weight=2.0,
        contour=1.5,
        taper=0.3,
        omit=0.5,
        angle=20,
        period=11.0,
        wash=0.9,
        wobble=0.2,
        color=(0.05, 0.05, 0.08),
        wash_color=(0.42, 0.58, 0.78),
    ),
}


def random_hand(rng: np.random.Generator) -> Hand:
    """A hand drawn from the training distribution: all media, and mixtures that no named atelier has."""
    medium = str(rng.choice(["ink", "graphite", "charcoal", "pencil", "marker"], p=[0.46, 0.15, 0.12, 0.15, 0.12]))
    u = rng.uniform

    def sometimes(p: float, lo: float, hi: float) -> float:
        return float(rng.uniform(lo, hi)) if rng.random() < p else 0.0

    grey = float(u(0.03, 0.2))
    hand = Hand(
        medium=medium,
        weight=float(np.exp(u(np.log(0.9), np.log(2.6)))),
        contour=float(u(1.0, 2.1)),
        taper=float(u(0, 1)),
        omit=float(u(0.15, 0.75)),
        flow=float(u(1.8, 4.5)),
        angle=float(u(0, 180)),
        period=float(np.exp(u(np.log(4.2), np.log(11)))),
        wobble=float(u(0, 0.9)),
        double=sometimes(0.25, 0.3, 1.0),
        color=(grey, grey, min(grey * float(u(1, 1.3)), 1.0)),
        wash_color=(0.6, 0.6, 0.6),
    )
    if medium == "ink":
        tone = rng.choice(["none", "hatch", "cross", "stipple", "both"], p=[0.24, 0.24, 0.22, 0.24, 0.06])
        hatch = float(u(0.45, 0.9)) if tone in ("hatch", "cross", "both") else 0.0
        return replace(
            hand,
            hatch=hatch,
            cross=float(u(0.35, 0.8)) * hatch if tone == "cross" else 0.0,
            stipple=float(u(0.5, 0.95)) if tone in ("stipple", "both") else 0.0,
        )
    if medium == "graphite":
        return replace(
            hand,
            shade=float(u(0.2, 1)),
            soft=float(u(0.3, 0.9)),
            grain=float(u(0.2, 0.6)),
            hatch=sometimes(0.4, 0.4, 0.8),
            opacity=float(u(0.65, 0.9)),
            color=(grey + 0.12,) * 3,
        )
    if medium == "charcoal":
        return replace(
            hand,
            weight=float(u(1.9, 3.2)),
            shade=float(u(0.5, 1)),
            soft=float(u(0.5, 1)),
            grain=float(u(0.6, 1)),
            opacity=float(u(0.8, 1)),
        )
    if medium == "pencil":
        rgb = colorsys.hls_to_rgb(float(u(0, 1)), float(u(0.22, 0.5)), float(u(0.45, 0.95)))
        return replace(
            hand,
            color=rgb,
            hatch=sometimes(0.75, 0.45, 0.95),
            cross=sometimes(0.25, 0.3, 0.6),
            shade=sometimes(0.6, 0.15, 0.7),
            soft=float(u(0.2, 0.6)),
            grain=float(u(0.2, 0.6)),
            opacity=float(u(0.75, 0.95)),
        )
    wash_color = colorsys.hls_to_rgb(float(u(0, 1)), float(u(0.45, 0.75)), float(u(0.0, 0.7)))
    return replace(hand, wash=float(u(0.5, 1)), wash_color=wash_color, hatch=sometimes(0.2, 0.4, 0.7))


@dataclass(frozen=True)
class Study:
    """What is seen in a photograph before a hand draws it; the same for every hand, so computed once.

    Attributes:
        lines: (3, 3, H, W) float32: flow-based DoG response by ``LINE_SCALES`` (first axis) and by flow smoothing 1.5, 3,
            5 (second), >= 0 on a line, about 1 at the photograph's strong lines.
        tone: (H, W) float32 darkness in [0, 1], relative within the garment.
        distance: (H, W) float32 signed distance to the silhouette in pixels, positive inside.
        mask: (H, W) float32 in [0, 1].
    """

    lines: np.ndarray
    tone: np.ndarray
    distance: np.ndarray
    mask: np.ndarray


FLOWS = (1.5, 3.0, 5.0)


def _luminance(photo: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed lightness on white paper, and a version with local contrast evened out; both (H, W) float32 in [0, 1]."""
    smooth = cv2.bilateralFilter(photo, 5, 22, 2.5)
    lab = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB).astype(np.float32) / 255
    light = lab[..., 0] + 0.25 * (np.abs(lab[..., 1] - 0.5) - np.abs(lab[..., 2] - 0.5))
    inside = mask > 0.5
    fill = float(np.median(light[inside]))
    light = np.where(inside, light, fill).astype(np.float32)  # the silhouette is drawn from the mask, not from a step
    low, high = np.percentile(light[inside], (2, 98))
    relative = np.clip((light - low) / max(high - low, 0.08), 0, 1)
    mean = cv2.GaussianBlur(relative, (0, 0), 12)
    deviation = np.sqrt(cv2.GaussianBlur((relative - mean) ** 2, (0, 0), 16))
    return relative.astype(np.float32), (0.5 + (relative - mean) / (deviation + 0.07) * 0.18).astype(np.float32)


def _flow_dog(light: np.ndarray, tx: np.ndarray, ty: np.ndarray, sigma: float, reach: float) -> np.ndarray:
    """Difference of Gaussians across the flow, averaged along it: (H, W) float32, positive on dark lines and edges."""
    steps = np.arange(-int(np.ceil(sigma * 4)), int(np.ceil(sigma * 4)) + 1)
    centre, surround = (np.exp(-steps * steps / (2 * s * s)) / s for s in (sigma, sigma * 1.6))
    kernel = centre / centre.sum() - 0.985 * surround / surround.sum()
    response = across(light, tx, ty, dict(zip(steps.tolist(), kernel.tolist(), strict=True)))
    return np.maximum(-along(response, tx, ty, reach), 0)


def study(photo: np.ndarray, mask: np.ndarray | None = None) -> Study:
    """Look at a garment.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (H, W) float32 in [0, 1], the cut-out; None draws the whole picture.
    """
    mask = np.ones(photo.shape[:2], np.float32) if mask is None else mask.astype(np.float32)
    relative, even = _luminance(photo, mask)
    solid = (cv2.GaussianBlur(mask, (0, 0), 1.2) > 0.5).astype(np.uint8)
    padded = cv2.copyMakeBorder(solid, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    outside = cv2.distanceTransform(1 - padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    # without any background (or garment) the transform has no bound
    distance: np.ndarray = np.where(solid > 0, inside - 0.5, 0.5 - outside).clip(-999, 999).astype(np.float32)
    distance = cv2.GaussianBlur(distance, (0, 0), 1.0)
    within = np.clip(distance / 2, 0, 1)  # inner lines fade before they meet the silhouette
    lines = np.empty((len(LINE_SCALES), len(FLOWS), *mask.shape), np.float32)
    for j, flow in enumerate(FLOWS):
        tx, ty = tangents(even, flow)
        for i, sigma in enumerate(LINE_SCALES):
            response = _flow_dog(even, tx, ty, sigma, 1.0 + flow)
            strong = np.percentile(response[mask > 0.5], 97.5)
            lines[i, j] = response / max(float(strong), 0.012) * within
    tone = cv2.GaussianBlur(1 - relative, (0, 0), 1.2)
    return Study(lines, np.clip(tone, 0, 1), distance, mask)


def _interpolate(stack: np.ndarray, grid: tuple[float, ...], value: float) -> np.ndarray:
    """Linear interpolation of ``stack`` along its first axis, whose coordinates are ``grid``."""
    i = int(np.clip(np.searchsorted(grid, value) - 1, 0, len(grid) - 2))
    t = float(np.clip((value - grid[i]) / (grid[i + 1] - grid[i]), 0, 1))
    between: np.ndarray = stack[i] * (1 - t) + stack[i + 1] * t
    return between


def _lines(seen: Study, hand: Hand, wobble: np.ndarray) -> np.ndarray:
    """Opacity of silhouette and inner lines, (H, W) float32 in [0, 1]."""
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
    inner = np.clip(1.35 * inner - 0.1, 0, 1)
    gy, gx = np.gradient(cv2.GaussianBlur(seen.distance, (0, 0), 2.5))
    shadow = (-gx * 0.6 - gy * 0.8) / np.maximum(np.hypot(gx, gy), 1e-3)  # 1 on the side away from the light, top left
    width = hand.weight * hand.contour * (1 + hand.taper * (0.45 * shadow + 0.18 * wobble))
    outer = np.clip(width / 2 + 0.5 - np.abs(seen.distance - hand.weight * 0.4), 0, 1)
    opacity: np.ndarray = np.maximum(inner, outer)
    return opacity


def _tone_strokes(seen: Study, hand: Hand, field: dict[str, np.ndarray]) -> np.ndarray:
    """Opacity of hatching, cross-hatching and stipple, (H, W) float32 in [0, 1]."""
    ink = np.zeros_like(seen.tone)
    pen = min(hand.weight, 1.8)
    for amount, line, rank in ((hand.hatch, "hatch", "hatch rank"), (hand.cross, "cross", "cross rank")):
        if amount > 0:
            start = 1 - 0.85 * amount
            excess = (seen.tone - start - 0.07 * field[rank]) / (1 - start)
            off = np.arccos(np.clip(field[line], -1, 1)) / (2 * np.pi) * hand.period  # pixels from the line's middle
            half = np.where(excess > 0, pen * (0.3 + 0.45 * np.clip(excess, 0, 1)), -1)
            ink = np.maximum(ink, np.clip(half + 0.5 - off, 0, 1) * np.clip(excess * 12, 0, 1))
    if hand.stipple > 0:
        start = 1 - 0.95 * hand.stipple
        excess = np.clip((seen.tone - start) / (1 - start), 0, 1) ** 1.3
        present = excess > 0.5 + 0.5 * field["dot rank"]
        radius = pen * (0.5 + 0.45 * excess)
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
        flat = 0.30 + 0.38 * np.clip((seen.tone - 0.40) * 9, 0, 1) + 0.32 * np.clip((seen.tone - 0.72) * 9, 0, 1)
        streak = 0.10 * np.clip((field["hatch"] - 0.55) * 4, -0.4, 1)  # where two strokes of the broad tip overlap
        laid = (hand.wash * np.clip(flat + streak, 0, 1) * inside * np.clip(seen.tone * 8 - 0.6, 0, 1))[..., None]
        image = image * (1 - laid) + np.array(hand.wash_color, np.float32) * laid
    image = image * (1 - ink[..., None]) + np.array(hand.color, np.float32) * ink[..., None]
    drawn: np.ndarray = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return drawn


def draw(photo: np.ndarray, hand: Hand, *, mask: np.ndarray | None = None) -> np.ndarray:
    """Draw a photograph in a hand.

    Args:
        photo: (H, W, 3) uint8 RGB.
        hand: who draws.
        mask: (H, W) float32 in [0, 1], the garment (see ``cutout.cut_out``); None draws the whole picture.
    Returns:
        (H, W, 3) uint8 RGB, white paper.
    """
    return render(study(photo, mask), hand)
