"""What central differential privacy has promised after some rounds (docs/aggregation.md)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from federation.server.aggregation import UpdateLimits
from federation.server.report import PrivacyReport, RoundReport

DELTA = 1e-5  # the probability with which epsilon may not hold


def epsilon(noise_multipliers: Iterable[float], delta: float = DELTA) -> float:
    """What central differential privacy has spent over rounds that had a noise multiplier each: exact, not a bound.

    Gaussian mechanisms one after the other, each chosen with knowledge of those before, are together as private as a single
    one whose 1 / z**2 is the sum of theirs (Dong, Roth and Su, "Gaussian differential privacy", 2022, corollary 3.3); and that
    one has delta = Phi(1 / 2z - epsilon z) - exp(epsilon) Phi(-1 / 2z - epsilon z) (Balle and Wang, "Improving the Gaussian
    mechanism", 2018, theorem 8).

    Args:
        noise_multipliers: above 0, of every round whose aggregate was seen; the designer counts as in all of them.
        delta: the probability with which epsilon may not hold, in (0, 1).
    Returns:
        epsilon; 0 where there was no round.
    """
    from scipy.optimize import brentq  # scipy takes a quarter of a second, and most federations add no noise
    from scipy.special import log_ndtr

    mu = math.sqrt(sum(z**-2 for z in noise_multipliers))  # 1 / z of them all
    if not mu:
        return 0.0

    def over(spent: float) -> float:
        kept, more = log_ndtr(mu / 2 - spent / mu), spent + log_ndtr(-mu / 2 - spent / mu)
        return math.exp(kept) - math.exp(more) - delta  # logarithms, for exp(epsilon) alone may overflow

    most = next(2.0**i for i in itertools.count() if over(2.0**i) < 0)
    return float(brentq(over, 0.0, most)) if over(0.0) > 0 else 0.0


def privacy(limits: UpdateLimits, reports: Iterable[RoundReport]) -> PrivacyReport | None:
    """What a round's report says of central differential privacy; None without it.

    Args:
        limits: of this round.
        reports: of the rounds before it, whose aggregates are known too.
    """
    if not limits.dp_noise_multiplier:
        return None
    earlier = [report.privacy.noise_multiplier if report.privacy else 0.0 for report in reports if report.round]
    noisy = [*filter(None, earlier), limits.dp_noise_multiplier]
    return PrivacyReport(
        noise_multiplier=limits.dp_noise_multiplier,
        clipping_norm=limits.dp_clipping_norm,
        delta=DELTA,
        epsilon_round=epsilon(noisy[-1:]),
        epsilon=epsilon(noisy),
        rounds=len(noisy),
        rounds_without=len(earlier) + 1 - len(noisy),
    )
