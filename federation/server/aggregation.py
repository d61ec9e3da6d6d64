"""Rules that combine accepted updates into one, as the run config chooses, and their settings (docs/aggregation.md)."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAvg,
    FedMedian,
    FedTrimmedAvg,
    Krum,
    MultiKrum,
    Strategy,
)

from fedgai.errors import FedGAIError


@dataclass(frozen=True)
class UpdateLimits:
    """What an update must keep to, and how those that do are aggregated. docs/aggregation.md has the guarantees.

    Attributes:
        aggregation: one of ``RULES``.
        minimum: with fewer accepted designers, there is no aggregate.
        norm_factor: an update further from the aggregate that was sent than so many times the round's median is left out.
        norm_floor: as a share of that aggregate's own norm, a distance that is always allowed: where most designers
            hardly moved, the median alone would leave out a designer who learned something.
        norm_cap: with fewer than three updates a median says nothing; then this share of the aggregate's norm is the bound.
        share_bound: no designer's share is above so many times the (lower) median share.
        trim: trimmed-mean leaves out this share of the values at each end.
        malicious: krum and multikrum withstand so many hostile designers.
        dp_noise_multiplier: central differential privacy's noise, in clipping norms; 0 for none.
        dp_clipping_norm: to which an update is shortened for it.
    """

    aggregation: str = "mean"
    minimum: int = 2
    norm_factor: float = 5.0
    norm_floor: float = 0.01
    norm_cap: float = 1.0
    share_bound: float = 2.0
    trim: float = 0.2
    malicious: int = 1
    dp_noise_multiplier: float = 0.0
    dp_clipping_norm: float = 1.0

    def __post_init__(self) -> None:
        """Raises FedGAIError, naming the run config's key, for a setting that could not work."""
        wrong = {
            f"aggregation is one of {', '.join(RULES)}": self.aggregation not in RULES,
            "min-designers is at least 1": self.minimum < 1,
            "norm-factor is at least 1": not 1 <= self.norm_factor < math.inf,
            "share-bound is at least 1": not 1 <= self.share_bound < math.inf,
            "trim is at least 0.001 and below 0.5": not 0.001 <= self.trim < 0.5,
            "malicious is not negative": self.malicious < 0,
            "dp-noise-multiplier is not negative": not 0 <= self.dp_noise_multiplier < math.inf,
            "dp-clipping-norm is above 0": not 0 < self.dp_clipping_norm < math.inf,
            "dp-noise-multiplier goes with aggregation mean only": self.dp_noise_multiplier > 0 and self.aggregation != "mean",
        }
        if found := [sentence for sentence, is_wrong in wrong.items() if is_wrong]:
            raise FedGAIError("; ".join(found))

    @classmethod
    def from_run_config(cls, config: Mapping[str, Any]) -> UpdateLimits:
        """From Flower's run config. Keys that this class does not use are ignored; missing ones have defaults."""
        keys = {
            "aggregation": str,
            "norm-factor": float,
            "share-bound": float,
            "min-designers": int,
            "trim": float,
            "malicious": int,
            "dp-noise-multiplier": float,
            "dp-clipping-norm": float,
        }
        names = {key: key.replace("-", "_") for key in keys} | {"min-designers": "minimum"}
        return cls(**{names[key]: kind(config[key]) for key, kind in keys.items() if key in config})

    @property
    def needed(self) -> int:
        """How many accepted designers the rule needs to keep its guarantee; at least ``minimum``."""
        return max(self.minimum, RULES[self.aggregation].least(self))

    @property
    def description(self) -> str:
        """One line for reports and model cards."""
        if self.dp_noise_multiplier:
            return (
                f"mean, everybody alike, with central differential privacy (updates clipped to {self.dp_clipping_norm:g}, "
                f"noise multiplier {self.dp_noise_multiplier:g})"
            )
        return RULES[self.aggregation].describe(self)


@dataclass(frozen=True)
class Rule:
    """One way to combine the accepted updates.

    Attributes:
        build: the Flower strategy that does it, from the run's settings; None for the weighted mean, which
            ``DiscriminatorAvg`` computes itself, row by row.
        describe: one line for reports and model cards.
        least: how many accepted designers it needs to keep its guarantee.
        weighted: whether a designer's share counts in it.
    """

    build: Callable[[UpdateLimits], Strategy | None]
    describe: Callable[[UpdateLimits], str]
    least: Callable[[UpdateLimits], int] = lambda limits: 1
    weighted: bool = True


class RowStrategy(FedAvg):
    """A rule of one's own as a Flower strategy.

    Args:
        combine: (n, size) float64, an update a row, and (n,) float64, the designers' shares -> (size,) float64.
    """

    def __init__(self, combine: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
        super().__init__()
        self.combine = combine

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord | None, MetricRecord | None]:
        messages = list(replies)
        records = [message.content.array_records["arrays"] for message in messages]
        shares = [message.content.metric_records["metrics"][self.weighted_by_key] for message in messages]
        rows = np.stack([np.concatenate([array.numpy().ravel() for array in record.values()]) for record in records])
        combined = self.combine(rows, np.array(shares, np.float64))
        found, start = {}, 0
        for name, array in records[0].items():
            end = start + math.prod(array.shape)
            found[name] = Array(combined[start:end].reshape(array.shape))
            start = end
        return ArrayRecord(found), None


def _krum_needs(limits: UpdateLimits) -> int:
    return 2 * limits.malicious + 3


def _trimmed_needs(limits: UpdateLimits) -> int:
    return next(n for n in itertools.count(3) if int(limits.trim * n))  # as Flower counts those to cut off


RULES: dict[str, Rule] = {
    "mean": Rule(
        build=lambda limits: None,
        describe=lambda limits: f"mean weighted by pairs, no share above {limits.share_bound:g} times the median share",
    ),
    "trimmed-mean": Rule(
        build=lambda limits: FedTrimmedAvg(beta=limits.trim),
        describe=lambda limits: f"mean without the {limits.trim:.0%} largest and smallest values of each number",
        least=_trimmed_needs,
        weighted=False,
    ),
    "median": Rule(
        build=lambda limits: FedMedian(),
        describe=lambda limits: "median of each number",
        least=lambda limits: 3,
        weighted=False,
    ),
    "krum": Rule(
        build=lambda limits: Krum(num_malicious_nodes=limits.malicious),
        describe=lambda limits: f"Krum, {limits.malicious} assumed hostile",
        least=_krum_needs,
    ),
    "multikrum": Rule(
        build=lambda limits: MultiKrum(num_malicious_nodes=limits.malicious),
        describe=lambda limits: f"Multi-Krum, {limits.malicious} assumed hostile",
        least=_krum_needs,
    ),
}
"""What ``aggregation`` of the run config can be. CONTRIBUTING.md adds one."""


def inner_strategy(limits: UpdateLimits) -> Strategy | None:
    """Flower's own class for what ``limits`` ask; None for the weighted mean, which is ``DiscriminatorAvg``'s own."""
    if limits.dp_noise_multiplier:
        # the number of clients is set in each round to those who passed
        return DifferentialPrivacyServerSideFixedClipping(FedAvg(), limits.dp_noise_multiplier, limits.dp_clipping_norm, 1)
    return RULES[limits.aggregation].build(limits)


def shares(pairs: Iterable[int], bound: float) -> np.ndarray:
    """Each designer's share of the aggregate: its pairs, cut to ``bound`` times the lower median of all, then normalised.

    The lower median, the (n + 1) // 2-th smallest, is one of the numbers, and the cut does not change it. So one cut is
    enough: afterwards no share is above ``bound`` times the median share. This also limits the larger of two designers, where
    the mean of the middle two would not.

    Args:
        pairs: (n,) positive numbers.
        bound: at least 1.
    Returns:
        (n,) float64, sums to 1.
    """
    weights = np.array(list(pairs), np.float64)
    weights = np.minimum(weights, bound * statistics.median_low(weights.tolist()))
    found: np.ndarray = weights / weights.sum()
    return found
