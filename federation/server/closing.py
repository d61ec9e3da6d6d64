"""When a round stops waiting: at its deadline, or some grace after a quorum has answered.

A designer who was silent in the last two rounds is still asked, and counts if they answer in time. But the round does not wait
for them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Sequence

from federation.server.report import RoundReport

ROUNDS = 2  # in a row, after which nobody waits for a designer


class Closing:
    """The moment at which one round closes.

    Args:
        deadline: Unix time, s: the latest.
        waited_for: how many designers are waited for.
        quorum: share of them, in (0, 1], whose good answers let the round close early; 0 never.
        grace: seconds that the others still have from then on.
        least: how many good answers the round needs to count; it never closes early with fewer.
    """

    def __init__(self, deadline: float, waited_for: int, quorum: float, grace: float, least: int) -> None:
        self.deadline, self.grace = deadline, grace
        self.enough = max(least, math.ceil(quorum * waited_for - 1e-9)) if quorum > 0 else math.inf
        self.least = least

    def update(self, accepted: int, pending: Collection[int], unawaited: Collection[int]) -> float:
        """The present deadline.

        Args:
            accepted: good answers so far.
            pending: node ids that have not answered yet.
            unawaited: those for whom nobody waits.
        """
        if accepted >= self.enough:
            self.deadline, self.enough = min(self.deadline, time.time() + self.grace), math.inf
        if accepted >= self.least and pending and set(pending) <= set(unawaited):
            self.deadline = min(self.deadline, time.time())
        return self.deadline


def silent_twice(reports: Sequence[RoundReport]) -> set[int]:
    """Node ids that were asked and silent in each of the last two rounds.

    Args:
        reports: of earlier rounds, the newest last.
    """
    if len(reports) < ROUNDS:
        return set()
    silent = [{designer.node_id for designer in report.designers if designer.silent} for report in reports[-ROUNDS:]]
    return set.intersection(*silent)
