"""Measures what a house step did to the drawings, and decides whether the studio may draw with the round."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch

from federation.server.house_sheet import WORST, encode, prepared_garments
from fedgai.evaluation.metrics import boundary_fscore, luminance, mid_grey_share
from fedgai.model import FedGAI
from fedgai.networks.encoder import sha256
from fedgai.networks.style import blend, image_statistics, style_distance
from fedgai.pipeline import SketchPipeline

PROBE_HANDS = 8  # at most
PROBE_BLENDS, BLEND_STEPS = 4, 4  # garments on which blends are drawn, steps from one hand to the next


@dataclass(frozen=True)
class Bound:
    """How much worse one figure may get.

    Attributes:
        better: "higher", "lower", or "same" for a figure that should stay where it is.
        slack: that it may get worse by in one round, as a share of what it was before; None for as much as it likes.
        limit: beyond it, it may not get worse at all, so that many rounds cannot add up what one may do. For "same" it is
            the distance from 1. None for no limit.
        text: what the figure is, as a reason names it.
    """

    better: str
    slack: float | None
    limit: float | None
    text: str

    def broken(self, before: float, after: float) -> bool:
        if not math.isfinite(after):
            return True
        unit = abs(before)
        if self.better == "same":
            before, after, unit = abs(before - 1), abs(after - 1), 1.0
        sign = 1 if self.better == "higher" else -1
        worse = sign * (before - after)
        beyond = self.limit is not None and sign * (self.limit - after) > 0
        return (self.slack is not None and worse > self.slack * unit) or (beyond and worse > 0)


@dataclass(frozen=True)
class Bounds:
    """A bound for each of the probe's figures; ``HouseStep.probe`` says what they are."""

    own_hand: Bound = field(default_factory=lambda: Bound("higher", 0.05, 0.8, "drawings nearest to their own hand"))
    distance_ratio: Bound = field(default_factory=lambda: Bound("lower", 0.1, 1.1, "distance to the signature asked for"))
    lines: Bound = field(default_factory=lambda: Bound("higher", 0.03, 0.95, "lines where round 0 drew them"))
    ink_ratio: Bound = field(default_factory=lambda: Bound("same", 0.1, 0.2, "ink, against round 0"))
    mid_grey_ratio: Bound = field(default_factory=lambda: Bound("lower", 0.1, 1.06, "grey that is neither ink nor paper"))
    blends_falling: Bound = field(default_factory=lambda: Bound("higher", 0.1, 0.7, "how far blends lead to their end"))
    logit: Bound = field(default_factory=lambda: Bound("lower", None, 100.0, "size of the Discriminator's logits"))


def verdict(before: Mapping[str, float], after: Mapping[str, float], bounds: Bounds | None = None) -> str:
    """Whether the studio may draw with a round.

    Args:
        before, after: what ``HouseStep.probe`` found before and after the house step.
    Returns:
        "" if it may, else one sentence that names each figure that broke its bound.
    """
    bounds = bounds or Bounds()
    reasons = []
    for f in fields(bounds):
        bound, was, now = getattr(bounds, f.name), before[f.name], after[f.name]
        if bound.broken(was, now):
            allowed = [f"a change of {bound.slack:.0%}"] if bound.slack is not None else []
            if bound.limit is not None:
                allowed.append(
                    f"the limit {1 - bound.limit:g} to {1 + bound.limit:g}"
                    if bound.better == "same"
                    else f"the limit {bound.limit:g}"
                )
            reasons.append(f"{f.name} ({bound.text}) went from {was:.3g} to {now:.3g}, beyond {' or '.join(allowed)}")
    return "; ".join(reasons)


def share_closer(path: Sequence[float]) -> float:
    """How much of a way leads closer to its end, in [0, 1]: all that the distance falls, over all that it falls and rises.

    To count the steps that fall would be too coarse: a step may turn although the distance hardly changes.

    Args:
        path: distances to the end, at least 0, in the order of the way.
    """
    steps = np.diff(path)
    total = float(np.abs(steps).sum())
    return float(-steps[steps < 0].sum()) / total if total > 0 else 1.0


class Probe:
    """Measures a model on the examples, in the hands of round 0, always the same: figures compare over all rounds.

    Args:
        reference: round 0, for inference, with its bank.
        examples: folder of garments.
    """

    def __init__(self, reference: FedGAI, examples: Path) -> None:
        self.reference, self.examples = reference, examples
        self._reference_figures: tuple[list[np.ndarray], dict[str, float]] | None = None
        self._last: tuple[str, dict[str, float]] = "", {}

    def measure(self, model: FedGAI) -> dict[str, float]:
        """Measure a model. One with the weights of the last is not measured again: a round begins with what the last one made.

        Returns:
            own_hand: share of drawings nearest to the signature that they were asked for in, in [0, 1].
            distance_ratio: mean style distance to that signature, over round 0's.
            lines: mean boundary F-score (2 px at 256 px) against round 0's drawings, of the hand where it is lowest, in
                [0, 1]. Not over all hands: hatching that comes off its lattice is one hand's loss.
            ink_ratio: share of ink over round 0's.
            mid_grey_ratio: share of what is neither ink nor paper over round 0's, of the hand where that is highest.
            blends_falling: how much of the way from each hand to the next leads closer to the next (``share_closer``), in [0, 1].
            logit: mean size of the Discriminator's logits on the drawings. Broken Discriminators show here.
            All finite; 1e6 (0 where higher is better) for what cannot be measured.
        """
        weights = sha256(model)
        if weights != self._last[0]:
            self._last = weights, self._measure(model)
        return dict(self._last[1])

    @torch.inference_mode()
    def _measure(self, model: FedGAI) -> dict[str, float]:
        reference = self.reference
        if self._reference_figures is None:
            drawings, figures = self._figures(reference, reference)
            self._reference_figures = drawings, figures
        reference_drawings, base = self._reference_figures
        bounds = Bounds()
        if not all(torch.isfinite(p).all() for p in model.generator.state_dict().values()):
            return {f.name: 0.0 if getattr(bounds, f.name).better == "higher" else WORST for f in fields(bounds)}
        drawings, figures = reference_drawings, base
        if sha256(model.for_inference()) != sha256(reference):  # it is round 0 itself where a federation begins
            drawings, figures = self._figures(model, reference)
        scores = [boundary_fscore(a, b) for a, b in zip(drawings, reference_drawings, strict=True)]
        hands = min(PROBE_HANDS, len(reference.styles))
        lines = np.reshape(scores, (-1, hands)).mean(0).min()
        ratio = {name: (figures[name] + 1e-4) / (base[name] + 1e-4) for name in ("distance", "ink")}
        grey, was_grey = (
            np.reshape([mid_grey_share(d) for d in some], (-1, hands)).mean(0) for some in (drawings, reference_drawings)
        )
        found = {
            "own_hand": figures["own_hand"],
            "distance_ratio": ratio["distance"],
            "lines": float(lines),
            "ink_ratio": ratio["ink"],
            "mid_grey_ratio": float(((grey + 1e-3) / (was_grey + 1e-3)).max()),
            "blends_falling": figures["blends_falling"],
            "logit": figures["logit"],
        }
        return {name: round(value, 5) if math.isfinite(value) else WORST for name, value in found.items()}

    def _figures(self, model: FedGAI, reference: FedGAI) -> tuple[list[np.ndarray], dict[str, float]]:
        """All drawings of the probe, (H, W, 3) uint8 each, garment by garment, and the figures that need no comparison."""
        pipe, channels = SketchPipeline(model), model.preset.channels
        garments = prepared_garments(pipe, self.examples)
        hands = [s.style for s in list(reference.styles.values())[:PROBE_HANDS]]
        bank = torch.stack(hands)  # (N, D)
        drawings, rows, logits = [], [], []
        for content in garments:
            drawn = [np.asarray(pipe.draw(content, style)) for style in hands]
            maps = encode(reference, drawn)  # the same encoder as the model's, folded
            rows.append(image_statistics(maps))
            logits.append(model.discriminator.eval()(model.grams(maps)).abs().mean().item())
            drawings += drawn
        statistics = torch.stack(rows)  # (garments, N, D)
        distances = style_distance(statistics[:, :, None], bank, channels)  # (garments, N, N)
        own = distances.argmin(2) == torch.arange(len(hands))
        falling = []
        some = garments[:PROBE_BLENDS]
        for i in range(len(hands) if len(hands) > 1 else 0):
            j = (i + 1) % len(hands)
            path = [distances[: len(some), i, j].mean().item()]
            for t in np.linspace(0, 1, BLEND_STEPS + 1)[1:-1]:
                style = blend(bank[[i, j]], [1 - t, t])
                mixed = torch.cat([image_statistics(encode(reference, [np.asarray(pipe.draw(c, style))])) for c in some])
                path.append(style_distance(mixed, bank[j], channels).mean().item())
            path.append(distances[: len(some), j, j].mean().item())
            falling.append(share_closer(path))
        return drawings, {
            "own_hand": own.float().mean().item(),
            "distance": distances.diagonal(dim1=1, dim2=2).mean().item(),
            "ink": float(np.mean([(luminance(d) < 128).mean() for d in drawings])),
            "blends_falling": float(np.mean(falling)) if falling else 1.0,
            "logit": float(np.mean(logits)),
        }
