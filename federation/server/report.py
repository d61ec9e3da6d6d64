"""A round's report: what it says, written and read here alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

SILENT = "did not answer before the deadline"  # the reason in the entry of a designer who was asked and did not answer
SILENT_KEYS = ("node_id", "name", "accepted", "asked", "reason", "pairs", "share")  # there was no answer to say more about
SHAPES: dict[str, type] = {  # what ``misshapen`` asks of the fields
    "metrics": dict,
    "house": dict,
    "probe": dict,
    "style_distances": dict,
    "designers": list,
    "published": bool,
    "held_back": str,
    "started": str,
    "finished": str,
    "strategy": str,
    "round": int,
    "season": int,
    "accepted": int,
}
DESIGNER_SHAPES: dict[str, type] = {"name": str, "accepted": bool, "node_id": int}


@dataclass(frozen=True)
class DesignerReport:
    """What a report says of one designer who was asked or who answered.

    Attributes:
        node_id, name, accepted, reason, pairs, share, norm, metrics, sha256, bytes: see ``update_check.Verdict``.
        asked: whether the round asked them.
    """

    node_id: int = 0
    name: str = ""
    accepted: bool = False
    reason: str = ""
    pairs: int = 0
    share: float = 0.0
    norm: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    sha256: str = ""
    bytes: int = 0
    asked: bool = True

    @property
    def silent(self) -> bool:
        """Whether they were asked and did not answer before the deadline."""
        return self.asked and self.reason == SILENT

    def as_json(self) -> dict[str, Any]:
        """The entry in report.json."""
        content = asdict(self)
        return {key: content[key] for key in SILENT_KEYS} if self.silent else content

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> DesignerReport:
        values = _Values(content)
        return cls(
            node_id=values.whole("node_id") or 0,
            name=values.text("name"),
            accepted=values.truth("accepted", absent=False),
            reason=values.text("reason"),
            pairs=values.whole("pairs") or 0,
            share=values.number("share", absent=0.0),
            norm=values.number("norm", absent=0.0),
            metrics=values.numbers("metrics"),
            sha256=values.text("sha256"),
            bytes=values.whole("bytes") or 0,
            asked=values.truth("asked", absent=True),
        )


@dataclass(frozen=True)
class HouseReport:
    """What a house step did.

    Attributes:
        steps, wanted: optimiser steps that were done, and that should have been.
        seconds: how long they took with everything around them; not a number where a report does not say.
        photographs: that were drawn.
        new_hands: names in the bank whose signature round 0 did not know.
        losses: name -> mean over the last quarter of the steps, unweighted; "adversarial" is minus the mean logit.
        stopped: why it ended early, "" if it did not.
    """

    steps: int
    seconds: float
    photographs: int
    new_hands: list[str]
    losses: dict[str, float]
    stopped: str = ""
    wanted: int = 0

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> HouseReport:
        values = _Values(content)
        return cls(
            steps=values.whole("steps") or 0,
            seconds=values.number("seconds", absent=math.nan),
            photographs=values.whole("photographs") or 0,
            new_hands=[name for name in values.entries("new_hands") if isinstance(name, str)],
            losses=values.numbers("losses"),
            stopped=values.text("stopped"),
            wanted=values.whole("wanted") or 0,
        )


@dataclass(frozen=True)
class ProbeReport:
    """The probe's figures (``Probe.measure`` says what they are).

    Attributes:
        before, after: figures by name, before and after the house step.
        bounds: name -> ``probe.Bound`` as a dict.
    """

    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> ProbeReport:
        values = _Values(content)
        return cls(values.numbers("before"), values.numbers("after"), dict(values.mapping("bounds")))


@dataclass(frozen=True)
class PrivacyReport:
    """What central differential privacy has promised after a round.

    Attributes:
        noise_multiplier, clipping_norm: of this round.
        delta: the probability with which epsilon may not hold.
        epsilon_round: of this round alone; not a number where a report does not say, and so is epsilon.
        epsilon: of all rounds that had noise, this one among them.
        rounds: how many these are.
        rounds_without: earlier ones that had no noise, of which nothing is promised.
    """

    noise_multiplier: float
    clipping_norm: float
    delta: float
    epsilon_round: float
    epsilon: float
    rounds: int
    rounds_without: int

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> PrivacyReport:
        values = _Values(content)
        return cls(
            noise_multiplier=values.number("noise_multiplier", absent=0.0),
            clipping_norm=values.number("clipping_norm", absent=0.0),
            delta=values.number("delta", absent=0.0),
            epsilon_round=values.number("epsilon_round", absent=math.nan),
            epsilon=values.number("epsilon", absent=math.nan),
            rounds=values.whole("rounds") or 0,
            rounds_without=values.whole("rounds_without") or 0,
        )


@dataclass(frozen=True)
class RoundReport:
    """What is known about a round. Reports of earlier releases lack some fields, which then have their defaults.

    Attributes:
        round, season: from 1; round 0 is what the federation started from. None where the report does not say.
        started, finished: ISO 8601, UTC.
        designers: everybody who was asked or answered.
        accepted: how many of them count; None where the report does not say.
        metrics: means over the accepted designers, weighted by share.
        strategy: how updates were aggregated, one line.
        privacy: of central differential privacy; None without.
        house: what the house step did; None where the report does not say.
        house_steps_done, house_steps_wanted: optimiser steps of the house Generator. A round that did fewer than it
            should have is not published.
        probe: figures before and after the house step.
        style_distances: hand -> distance of the house's drawings to it.
        published: whether the studio draws with this round.
        held_back: why not, or "".
    """

    round: int | None = None
    season: int | None = None
    started: str = ""
    finished: str = ""
    designers: list[DesignerReport] = field(default_factory=list)
    accepted: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    strategy: str = ""
    privacy: PrivacyReport | None = None
    house: HouseReport | None = None
    house_steps_done: int = 0
    house_steps_wanted: int = 0
    probe: ProbeReport = field(default_factory=ProbeReport)
    style_distances: dict[str, float] = field(default_factory=dict)
    published: bool = True
    held_back: str = ""
    _content: Mapping[str, Any] | None = field(default=None, init=False, repr=False, compare=False)  # as it was read

    def as_json(self) -> dict[str, Any]:
        """What report.json holds. One that was read is given back as it was, with what another release wrote into it."""
        if self._content is not None:
            return dict(self._content)
        content = {name: value for name, value in asdict(self).items() if value is not None or name == "privacy"}
        return content | {"designers": [designer.as_json() for designer in self.designers]}

    @classmethod
    def loads(cls, text: str | bytes) -> RoundReport:
        """From the text of report.json. Raises ValueError, RecursionError for what is not JSON; see ``read``."""
        return cls.read(json.loads(text))

    @classmethod
    def read(cls, content: object) -> RoundReport:
        """From report.json, also of an earlier release, or a damaged one: what has not its shape has the default.

        Numbers that are not finite, and entries that are not objects, are left out. An earlier release only said how many
        steps of the house were done.
        """
        content = content if isinstance(content, Mapping) else {}
        values = _Values(content)
        house = HouseReport.read(content["house"]) if values.mapping("house") else None
        done, wanted = values.whole("house_steps_done") or 0, values.whole("house_steps_wanted") or 0
        if "house_steps_done" not in content and house is not None:
            done = house.steps
            wanted = 0 if house.stopped else house.steps  # how many were wanted was not written down
        report = cls(
            round=values.whole("round"),
            season=values.whole("season"),
            started=values.text("started"),
            finished=values.text("finished"),
            designers=[DesignerReport.read(entry) for entry in values.entries("designers") if isinstance(entry, Mapping)],
            accepted=values.whole("accepted"),
            metrics=values.numbers("metrics"),
            strategy=values.text("strategy"),
            privacy=PrivacyReport.read(content["privacy"]) if values.mapping("privacy") else None,
            house=house,
            house_steps_done=done,
            house_steps_wanted=wanted,
            probe=ProbeReport.read(values.mapping("probe")),
            style_distances=values.numbers("style_distances"),
            published=bool(content.get("published", True)),
            held_back=values.text("held_back"),
        )
        object.__setattr__(report, "_content", content)
        return report

    @classmethod
    def of_the_start(cls) -> RoundReport:
        """Of round 0, the checkpoint that a federation starts from."""
        return cls.read({"round": 0, "published": True})

    @property
    def house_line(self) -> str:
        """How much the house learned, for people; "" where the report does not say."""
        if not self.house_steps_wanted:
            return f"the house learned {self.house_steps_done} steps" if self.house_steps_done else ""
        return f"the house learned {self.house_steps_done} of {self.house_steps_wanted} steps"


def misshapen(content: Mapping[str, Any]) -> str:
    """What of a report's JSON has not the shape that it should have, in words; "" where all has."""
    for name, shape in SHAPES.items():
        if type(content.get(name, shape())) is not shape:
            return f"{name!r} is not a {shape.__name__}"
    for entry in content.get("designers", ()):
        if not isinstance(entry, dict) or any(type(entry.get(name)) is not shape for name, shape in DESIGNER_SHAPES.items()):
            return "a designer without name, node id or verdict"
    return ""


def is_number(value: object) -> bool:
    """Whether it is a number that can be shown: finite, and not so large that a float cannot hold it."""
    return isinstance(value, int | float) and abs(value) < 1e300 and math.isfinite(value)


class _Values:
    """The values of a JSON object, each of the kind that is asked for.

    Args:
        content: the object.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content

    def text(self, name: str) -> str:
        value = self._content.get(name)
        return value if isinstance(value, str) else ""

    def truth(self, name: str, *, absent: bool) -> bool:
        value = self._content.get(name)
        return value if isinstance(value, bool) else absent

    def whole(self, name: str) -> int | None:
        value = self._content.get(name)
        return value if type(value) is int and is_number(value) else None  # bool is an int, too

    def number(self, name: str, *, absent: float) -> float:
        return self._finite().get(name, absent)

    def numbers(self, name: str) -> dict[str, float]:
        """The finite numbers of an object, by name."""
        return _Values(self.mapping(name))._finite()

    def mapping(self, name: str) -> Mapping[str, Any]:
        value = self._content.get(name)
        return value if isinstance(value, Mapping) else {}

    def entries(self, name: str) -> list[Any]:
        value = self._content.get(name)
        return value if isinstance(value, list) else []

    def _finite(self) -> dict[str, float]:
        return {name: value for name, value in self._content.items() if type(value) in (int, float) and is_number(value)}
