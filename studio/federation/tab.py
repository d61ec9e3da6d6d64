"""The federation's tab: from the folder's files to the HTML of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from federation.figure_names import AT_DESIGNERS, AT_THE_HOUSE, OF_THE_PROBE, plain_name
from federation.server.folder import Status
from federation.server.report import RoundReport, is_number
from federation.server.round_words import designers_words, house_words
from studio.templating import render

SHOWN = 40  # names in a list, and curves in a group
STEPS = {"training": "At the designers'", "aggregating": "Averaging", "house": "In the studio", "": "Checkpoint"}
GROUPS = {
    "metrics": (
        "At the designers'",
        "Average errors of the designers whose answers counted, weighted by how many pairs each has.",
        AT_DESIGNERS,
    ),
    "house": (
        "In the studio",
        "Average errors of the studio's own model (the house Generator) when it had learned.",
        AT_THE_HOUSE,
    ),
    "probe": (
        "Probe",
        "Measured on the same photographs after every round. If a round is much worse, the studio does not draw with it.",
        OF_THE_PROBE,
    ),
    "style_distances": ("Distance to each hand", "From the studio's drawings in a hand to that designer's own drawings.", {}),
}
DRAWING, OWN_HAND = "loss-generator", "own_hand"  # figures that stand beside a round in the list
WIDTH, HEIGHT, EDGE = 168, 44, 5  # of a curve, in its own units


@dataclass(frozen=True)
class News:
    """What the tab shows.

    Attributes:
        status: of the federation.
        note: of the studio, one sentence, or "".
        link: where the operator's panel is, or "".
        reports: round -> report, ascending.
        repeated: of the last attempt at a round that did not count; without a round where there was none.
        kept: rounds whose checkpoints are here, ascending.
        latest: the round that is drawn with.
        sheets: round -> address of its thumbnail sheet.
        hub: ``HubQueue.state``, or empty.
    """

    status: Status
    note: str
    link: str
    reports: Mapping[int, RoundReport]
    repeated: RoundReport
    kept: Sequence[int]
    latest: int | None
    sheets: Mapping[int, str]
    hub: Mapping[str, Any]

    def parts(self) -> dict[str, str]:
        """The tab's parts: name -> HTML."""
        return {"now": self._now(), "people": self._people() + self._hub(), "rounds": self._rounds(), "curves": self._curves()}

    def _now(self) -> str:
        status, steps = self.status, []
        if status.phase in STEPS:
            at = list(STEPS).index(status.phase)
            marks = ["done"] * at + ["at"] + [""] * (len(STEPS) - at - 1)
            steps = list(zip(marks, STEPS.values(), strict=True))
        return render(
            "federation/now.html",
            sentence=sentence(status),
            deadline=f"{number(status.deadline):.0f}" if number(status.deadline) > 0 else "",
            link=self.link,
            steps=steps,
            percent=100 * min(1.0, max(0.0, number(status.progress))),
            remarks=[text for text in (status.note, self.note) if text],
        )

    def _people(self) -> str:
        last = next((report for _, report in sorted(self.reports.items(), reverse=True) if report.designers), RoundReport())
        if (self.repeated.round or 0) > (last.round or 0):
            last = self.repeated
        online = [str(name) for name in self.status.online] if isinstance(self.status.online, list) else []
        out = [designer for designer in last.designers if not designer.accepted]
        reasons = [(d.name or "a designer", d.reason or "no reason was given") for d in out[:SHOWN]]
        return render(
            "federation/people.html",
            count=len(online),
            online=online[:SHOWN],
            more_online=max(0, len(online) - SHOWN),
            round=last.round,
            left_out=reasons,
            more_left_out=max(0, len(out) - SHOWN),
        )

    def _hub(self) -> str:
        hub = self.hub
        if not hub:
            return ""
        waiting = [w for w in hub.get("waiting") or [] if isinstance(w, int)]
        pushed, pushing = hub.get("last_pushed"), hub.get("pushing")
        private = hub.get("private")
        lines: list[str] = []
        if private is not None:
            lines.append("This repository is private." if private else "Everybody can read it.")
        if isinstance(pushed, int):
            lines.append(f"Round {pushed} was uploaded last{_when(hub.get('last_pushed_at'))}.")
        else:
            lines.append("Nothing has been uploaded yet.")
        if isinstance(pushing, int):
            lines.append(f"Round {pushing} is being uploaded.")
        others = [str(w) for w in waiting if w != pushing]
        if others:
            plural = "s" if len(others) > 1 else ""
            more = ", …" if len(others) > 12 else ""
            lines.append(f"Waiting: round{plural} {', '.join(others[:12])}{more}.")
        retry, repo = number(hub.get("next_try")), str(hub.get("repo", ""))
        return render(
            "federation/hub.html",
            address=_repository(repo),
            repo=repo,
            lines=lines,
            error=str(hub.get("error") or ""),
            retry=f"{retry:.0f}" if retry > 0 else "",
        )

    def _rounds(self) -> str:
        return render("federation/rounds.html", rounds=[self._round(n) for n in reversed(self.kept)])

    def _round(self, n: int) -> dict[str, Any]:
        report, hub = self.reports.get(n, RoundReport()), self.hub
        designers, house = designers_words(report), house_words(report)
        facts = []
        if designers:
            facts.append(f"{designers} designers")
        elif n == 0:
            facts.append("The federation began with this")
        if house:
            facts.append(f"the studio learned {house}")
        errors, probe = report.metrics, report.probe.after
        if DRAWING in errors:
            facts.append(f"the designers' average error in drawing {_figure(errors[DRAWING])}")
        if OWN_HAND in probe:
            facts.append(f"{OF_THE_PROBE[OWN_HAND]} {probe[OWN_HAND]:.0%}")
        pushed, waiting = hub.get("last_pushed"), hub.get("waiting") or []
        on_hub = isinstance(pushed, int) and 0 < n <= pushed and n not in waiting
        return {
            "number": n,
            "held_back": not report.published,
            "reason": report.held_back or "no reason was given",
            "drawn": n == self.latest,
            "finished": _date(report.finished),
            "facts": [fact for fact in facts if fact],
            "sheet": self.sheets.get(n, ""),
            "address": f"{_repository(str(hub.get('repo', '')))}/tree/round-{n:04d}" if on_hub else "",
        }

    def _curves(self) -> str:
        """Small drawings, one a figure: each has its own scale, and no colours have to be distinguished."""
        groups, rounds = [], set()
        for key, (title, text, names) in GROUPS.items():
            lines: dict[str, list[Point]] = {}
            for n, report in self.reports.items():
                for name, value in figures(report)[key].items():
                    shown = name if key == "style_distances" else names.get(name) or plain_name(name)
                    lines.setdefault(shown, []).append(Point(n, value, report.published))
            rounds |= {point.round for points in lines.values() for point in points}
            if lines:
                drawn = [curve(name, points) for name, points in list(lines.items())[:SHOWN]]
                more = max(0, len(lines) - SHOWN)
                groups.append({"title": title, "text": text, "curves": drawn, "more": more, "wide": len(lines) > 4})
        first, last = min(rounds, default=0), max(rounds, default=0)
        return render("federation/curves.html", groups=groups, first=first, last=last, width=WIDTH, height=HEIGHT)


def sentence(status: Status) -> str:
    """What is going on, in one sentence for people."""
    rounds = max(1, int(number(status.rounds)))

    def called(n: int) -> str:
        season, within = divmod(max(n, 1) - 1, rounds)
        return f"{f'Season {season + 1}, round' if season else 'Round'} {within + 1} of {rounds}"

    have = f"{status.answered} of {status.asked} have answered" if status.asked else f"{status.progress:.0%} have answered"
    waiting = f"{called(status.round + 1)} is about to begin."
    if status.waiting_for:
        some = "one more designer is" if status.waiting_for == 1 else f"{status.waiting_for} more designers are"
        waiting = f"{called(status.round + 1)} begins when {some} here."
    resting = "The federation rests."
    if status.round:
        resting = f"{called(status.round)} was the season's last. The federation rests until the next."
    last = f" The last complete round is {status.round}." if status.round else ""
    return {
        "starting": "The federation is starting.",
        "waiting": waiting,
        "training": f"{called(status.round)}: designers' machines are learning, {have}.",
        "aggregating": f"{called(status.round)}: the studio is averaging the answers.",
        "house": f"{called(status.round)}: the studio is learning from the average, {status.progress:.0%} done.",
        "resting": resting,
        "paused": f"The federation is paused by its operator.{last}",
        "stopped": "The federation is stopped.",
    }.get(status.phase, f"{called(status.round)}: {status.phase}.")


@dataclass(frozen=True)
class Point:
    """A figure in one round."""

    round: int
    value: float
    published: bool


def curve(name: str, points: Sequence[Point]) -> dict[str, Any]:
    """One figure over the rounds, as the template draws it. ``name``: as people read it."""
    low, high = min(p.value for p in points), max(p.value for p in points)
    first, last = points[0], points[-1]

    def at(point: Point) -> tuple[float, float]:
        x = (point.round - first.round) / (last.round - first.round) if last.round > first.round else 1.0
        y = (point.value - low) / (high - low) if high > low else 0.5
        return EDGE + x * (WIDTH - 2 * EDGE), HEIGHT - EDGE - y * (HEIGHT - 2 * EDGE)

    places = [at(point) for point in points]
    dots = []
    for point, (x, y) in zip(points, places, strict=True):
        radius = 3 if point is last else 2.4
        if not point.published:
            dots.append({"x": x, "y": y, "r": radius, "kind": "ring"})
        elif point is last:
            dots.append({"x": x, "y": y, "r": radius, "kind": "end"})
    label = f"{name}: {_figure(first.value)} in round {first.round}, {_figure(last.value)} in round {last.round}"
    path = " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(places))
    return {"label": label, "path": path, "dots": dots, "name": name, "value": _figure(last.value)}


def number(value: object) -> float:
    """As it is, or 0 for what is not a finite number."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and is_number(value) else 0.0


def figures(report: RoundReport) -> dict[str, dict[str, float]]:
    """What is drawn as curves: key of ``GROUPS`` -> figures by name."""
    return {
        "metrics": report.metrics,
        "house": report.house.losses if report.house else {},
        "probe": report.probe.after,
        "style_distances": report.style_distances,
    }


def _figure(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"


def _date(text: str) -> str:
    try:
        return datetime.fromisoformat(text).strftime("%-d %B %Y, %H:%M UTC")
    except ValueError:
        return ""


def _when(seconds: object) -> str:
    when = number(seconds)
    return f" on {datetime.fromtimestamp(when, UTC):%-d %B, %H:%M} UTC" if 0 < when < 1e11 else ""


def _repository(repo: str) -> str:
    return f"https://huggingface.co/{quote(repo)}"
