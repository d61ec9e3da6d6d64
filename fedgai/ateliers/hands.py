"""Ateliers: virtual designers. A hand is a point of a continuous parameter space.

No public set of paired fashion sketches can be had, so the project draws its own. Eight named hands are the embedded default;
random ones are what the house Generator learns from.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, fields, replace

import numpy as np

from fedgai.line_choice import EVERY_LINE, LineChoice


@dataclass(frozen=True)
class Hand:
    """One designer's way of drawing. Lengths are pixels of a drawing that is 512 px long (``measure.SIDE``).

    Attributes:
        description: one line, shown by the studio.
        medium: what it is drawn with: ink, graphite, charcoal, pencil (coloured) or marker.
        weight: line weight, 0.7 to 4.5 px.
        contour: the silhouette's weight over the inner lines', 0.9 to 2.2.
        taper: 0 even lines to 1 lines that swell on the shadow side and thin out.
        omit: 0 every seam and fold is drawn to 1 only the strongest.
        flow: smoothing of the flow along which lines run, 1.5 to 5 px.
        hatch, cross, stipple: 0 to 1, how far into the light hatching, cross-hatching, stipple dots reach.
        angle: of the hatching lines, degrees; period: their (and the dots') distance, 4 to 14 px.
        shade: 0 to 1, continuous tone rubbed in. wash: 0 to 1, flat tone laid on.
        wobble: how far lines stray, 0 to 2.2 px. double: 0 to 1.3, how firmly a line is drawn a second time.
        soft: 0 crisp to 1 soft edges. grain: 0 smooth paper to 1 rough tooth that shows through.
        opacity: of a single stroke, 0.5 to 1.
        color, wash_color: sRGB in [0, 1].
        even: 0 hatching and dots grow with the dark to 1 they are the same wherever it is dark, and end sharply.
        blacks: 0 to 1, how far into the light areas are filled with ink.
        flat: 0 a wash lies on the whole garment, in streaks, to 1 on its dark side alone, in two even tones.
        choice: which lines are drawn at all. It is not part of the pen, nor of ``numbers``.
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
    even: float = 0.0
    blacks: float = 0.0
    flat: float = 0.0
    choice: LineChoice = EVERY_LINE

    @property
    def numbers(self) -> np.ndarray:
        """All continuous parameters, (27,) float32, for distances between hands."""
        values = [getattr(self, f.name) for f in fields(self) if f.name not in ("description", "medium", "choice")]
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
        choice=LineChoice(folds=0.0),
    ),
    "Bruno": Hand(
        "Brush and ink: lines that swell and vanish, a heavy silhouette, much left out.",
        weight=2.4,
        contour=2.0,
        taper=1.0,
        omit=0.62,
        flow=4.0,
        wobble=0.5,
        choice=LineChoice(seams=0.9, folds=0.25, stitches=0.0),
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
        choice=LineChoice(stitches=0.0),
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
        choice=LineChoice(folds=0.5),
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
        choice=LineChoice(folds=0.25, stitches=0.0),
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
        choice=LineChoice(seams=0.9, stitches=0.0),
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
        choice=LineChoice(stitches=0.0),
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
        choice=LineChoice(folds=0.25, stitches=0.0),
    ),
}


def random_hand(rng: np.random.Generator) -> Hand:
    """A hand drawn from the training distribution: all media, and mixtures that no named atelier has.

    Dots on a square grid stay out of it, so that a kind of drawing is left to measure on (``experiments.strangers``).
    """
    medium = str(rng.choice(["ink", "graphite", "charcoal", "pencil", "marker"], p=[0.52, 0.12, 0.1, 0.13, 0.13]))
    u = rng.uniform

    def sometimes(p: float, lo: float, hi: float, otherwise: float = 0.0) -> float:
        return float(rng.uniform(lo, hi)) if rng.random() < p else otherwise

    grey = float(u(0.03, 0.2))
    hand = Hand(
        medium=medium,
        weight=float(np.exp(u(np.log(0.7), np.log(4.2)))),
        contour=float(u(0.9, 2.1)),
        taper=sometimes(0.7, 0.0, 1.0),
        omit=float(u(0.1, 0.9)),
        flow=float(u(1.8, 4.5)),
        angle=float(u(0, 180)),
        period=float(np.exp(u(np.log(4.2), np.log(13)))),
        wobble=sometimes(0.8, 0.0, 1.2, float(u(1.2, 2.2))),
        double=sometimes(0.25, 0.3, 1.3),
        color=(grey, grey, min(grey * float(u(1, 1.3)), 1.0)),
        wash_color=(0.6, 0.6, 0.6),
        even=sometimes(0.4, 0.6, 1.0),
    )
    if medium == "ink":
        tone = rng.choice(
            ["none", "hatch", "cross", "stipple", "both", "wash", "blacks", "flat"],
            p=[0.24, 0.24, 0.14, 0.14, 0.04, 0.06, 0.08, 0.06],
        )
        hatch = float(u(0.3, 0.9)) if tone in ("hatch", "cross", "both") else 0.0
        if rng.random() < 0.25:  # coloured ink
            hand = replace(hand, color=colorsys.hls_to_rgb(float(u(0, 1)), float(u(0.12, 0.4)), float(u(0.3, 0.95))))
        return replace(
            hand,
            hatch=hatch,
            cross=float(u(0.35, 0.8)) * hatch if tone == "cross" else 0.0,
            stipple=float(u(0.4, 0.95)) if tone in ("stipple", "both") else 0.0,
            shade=float(u(0.3, 0.8)) if tone == "wash" else 0.0,
            blacks=sometimes(0.05, 0.2, 0.9) if tone != "blacks" else float(u(0.2, 1)),
            wash=float(u(0.6, 1)) if tone == "flat" else 0.0,
            flat=float(u(0.6, 1)) if tone == "flat" else 0.0,
            wash_color=colorsys.hls_to_rgb(float(u(0, 1)), float(u(0.4, 0.85)), float(u(0.0, 0.6))),
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
            weight=float(u(1.9, 4.5)),
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
    wash_color = colorsys.hls_to_rgb(float(u(0, 1)), float(u(0.45, 0.85)), float(u(0.0, 0.7)))
    return replace(
        hand,
        wash=float(u(0.5, 1)),
        wash_color=wash_color,
        hatch=sometimes(0.2, 0.4, 0.7),
        blacks=sometimes(0.1, 0.2, 0.8),
        flat=sometimes(0.5, 0.5, 1.0),
    )
