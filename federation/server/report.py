"""A round's report: what it says, written and read here alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class RoundReport:
    """What is known about a round. Reports of earlier releases lack some fields, which then have their defaults.

    Attributes:
        round, season: from 1.
        started, finished: ISO 8601, UTC.
        designers: one entry each who was asked or answered: ``update_check.Verdict`` as a dict, and ``asked``.
        accepted: how many of them count.
        metrics: means over the accepted designers, weighted by share.
        strategy: how updates were aggregated, one line.
        privacy: of central differential privacy (``privacy.privacy``); None without.
        house: what the house step did (``HouseReport`` as a dict).
        house_steps_done, house_steps_wanted: optimiser steps of the house Generator. A round that did fewer than it
            should have is not published.
        probe: figures ``before`` and ``after``, and their ``bounds``.
        style_distances: hand -> distance of the house's drawings to it.
        published: whether the studio draws with this round.
        held_back: why not, or "".
    """

    round: int = 0
    season: int = 0
    started: str = ""
    finished: str = ""
    designers: list[dict[str, Any]] = field(default_factory=list)
    accepted: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    strategy: str = ""
    privacy: dict[str, Any] | None = None
    house: dict[str, Any] = field(default_factory=dict)
    house_steps_done: int = 0
    house_steps_wanted: int = 0
    probe: dict[str, Any] = field(default_factory=dict)
    style_distances: dict[str, float] = field(default_factory=dict)
    published: bool = True
    held_back: str = ""

    def as_json(self) -> dict[str, Any]:
        """What report.json holds."""
        return asdict(self)

    @classmethod
    def read(cls, report: Mapping[str, Any]) -> RoundReport:
        """From report.json, also of an earlier release, which only said how many steps were done. Unknown keys are left out."""
        known = {f.name for f in fields(cls)}
        found = {key: value for key, value in report.items() if key in known}
        house = report.get("house")
        if "house_steps_done" not in report and isinstance(house, dict) and isinstance(house.get("steps"), int):
            found["house_steps_done"] = found["house_steps_wanted"] = house["steps"]
            if house.get("stopped"):  # how many were wanted was not written down
                found["house_steps_wanted"] = 0
        return cls(**found)

    @property
    def house_line(self) -> str:
        """How much the house learned, for people; "" where the report does not say."""
        if not self.house_steps_wanted:
            return f"the house learned {self.house_steps_done} steps" if self.house_steps_done else ""
        return f"the house learned {self.house_steps_done} of {self.house_steps_wanted} steps"
