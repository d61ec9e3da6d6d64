"""What the studio has of the federation: its newest checkpoint, to draw with, and its news, for the page to show.

Nothing is asked of the federation's processes. All of it is read from the folder (federation/server/folder.py), once a second
for all visitors, so that the studio goes on whatever happens to them.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, JSONResponse
from PIL import Image

from federation.server.folder import REPORT_FILE, Folder, Status
from fedgai.errors import FedGAIError
from fedgai.model import CONFIG_FILE, MODEL_FILE, STYLES_FILE
from fedgai.networks.style import Signature
from fedgai.pipeline import SketchPipeline
from studio.drawing import Garment, Look, SketchStudio

log = logging.getLogger(__name__)

POLL = 1.0  # s between two looks at the folder
MOST = 64  # sliders; a page is for people
SHOWN = 40  # names in a list, and curves in a group
KEPT = 2  # checkpoints kept in memory for comparing
SHEET = "sheet.jpg"
STEPS = {"training": "At the designers'", "aggregating": "Averaging", "house": "At the house", "": "Checkpoint"}
GROUPS = {
    "metrics": ("At the designers'", "Means over those whose answers counted, weighted by their pairs of drawings."),
    "house": ("At the house", "Losses of the house Generator at the end of its step."),
    "probe": ("Probe", "Measured on the same photographs after every round; a round that is worse past a bound is held back."),
    "style_distances": ("Distance to each hand", "From what the house draws in a hand to that designer's own drawings."),
}


def newest(folder: Folder) -> SketchPipeline | None:
    """The newest published checkpoint that can be drawn with; None before the first."""
    latest = folder.latest()
    if latest is None:
        return None
    for number in [latest, *reversed([n for n in folder.rounds() if n != latest])]:
        try:
            if number == latest or folder.report(number).get("published", True):
                return SketchPipeline.from_pretrained(folder.checkpoint(number))
        except Exception as error:  # whatever is wrong with it; ``Federation`` says so on the page
            log.warning("round %d cannot be drawn with: %s", number, error)
    return None


class Federation:
    """Follows a federation's folder.

    Args:
        folder: the federation's.
        studio: draws, from now on with the folder's newest checkpoint.
        hub: what the queue to the Hub says of itself (``HubQueue.state``), if there is one.
        link: where the operator's panel is, or "".
    """

    def __init__(self, folder: Folder, studio: SketchStudio, hub: Callable[[], Mapping[str, Any]] | None = None,
                 link: str = "") -> None:
        self.folder, self.studio, self.hub, self.link = folder, studio, hub, link
        self.note = ""
        self._mark: object = None  # of the checkpoint that was last tried
        self._bank = dict(studio.pipeline.styles)  # the checkpoint's own
        self._arrived: dict[str, Signature] = {}  # by Flower's number, since the checkpoint
        self._signatures: dict[Path, tuple[int, Signature | None]] = {}
        self._reports: dict[Path, tuple[int, dict[str, Any]]] = {}
        self._compared: OrderedDict[object, SketchPipeline] = OrderedDict()
        self._lock = threading.Lock()
        # parts and when each changed; numbers that an earlier start of the studio cannot have given out
        self._version = time.time_ns() // 1_000_000
        self._parts: dict[str, tuple[int, str]] = {}
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self.look()
        self._thread = threading.Thread(target=self._run, name="federation-follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ends.set()
        if self._thread is not None:
            self._thread.join(10)

    def _run(self) -> None:
        while not self._ends.wait(POLL):
            self.look()

    def look(self) -> None:
        """Take over what is new. Never raises: the studio goes on with what it has."""
        for step in (self._follow, self._meet, self._tell):
            try:
                step()
            except Exception:
                log.exception("the federation's folder could not be followed")

    # -- what is drawn with ----------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Swap the newest checkpoint in. A damaged one is passed over, and the last one stays."""
        number = self.folder.latest()
        if number is None or (mark := self._identity(number)) == self._mark:
            return
        self._mark = mark
        try:
            pipeline = SketchPipeline.from_pretrained(self.folder.checkpoint(number))
            if not pipeline.styles:
                raise ValueError("its style bank is empty")
            if pipeline.checkpoint != self.studio.pipeline.checkpoint:
                first = self.studio.content(self.studio.first_garment, Look({}, size=256))
                if pipeline.model.encoder_sha256 == self.studio.pipeline.model.encoder_sha256:
                    pipeline.draw(first, next(iter(pipeline.styles.values())).style)  # the first one takes longest
        except Exception as error:
            log.warning("round %d cannot be drawn with: %s", number, error)
            self.note = f"Round {number} is damaged and is not drawn with; the studio goes on with the one before."
            return
        self.note, self._bank = "", dict(pipeline.styles)
        pipeline.styles = self._banked(pipeline)  # before anybody draws with it, else a designer would be gone for a second
        self.studio.serve(pipeline)

    def _meet(self) -> None:
        """Put signatures that arrived since the checkpoint into the bank that is drawn with."""
        pipeline = self.studio.pipeline
        bank = self._banked(pipeline)
        if list(bank.items()) != list(pipeline.styles.items()):
            pipeline.styles = bank  # replaced, not changed: others are reading it
            self.studio.serve(pipeline)

    def _banked(self, pipeline: SketchPipeline) -> dict[str, Signature]:
        """The checkpoint's bank, and the signatures of the round in progress.

        Those are taken away once the answers are counted, and come again with the round's checkpoint: for the while
        between, they stay, or what a visitor set would be lost.
        """
        arrived = {}
        for file in sorted((self.folder.path / "signatures").glob("*.safetensors")):
            if (signature := self._signature(file, pipeline)) is not None:
                arrived[file.stem] = signature
        if self.folder.status().phase in ("aggregating", "house"):
            arrived = self._arrived | arrived
        self._arrived = arrived
        bank, gone = dict(self._bank), {str(m.node_id) for m in self.folder.members() if m.revoked}
        for signature in (s for node, s in arrived.items() if node not in gone):
            taken = {name.casefold() for name in bank if name != signature.name}
            if signature.name.casefold() not in taken and (signature.name in bank or len(bank) < MOST):
                bank[signature.name] = signature
        return bank

    def _signature(self, file: Path, pipeline: SketchPipeline) -> Signature | None:
        """What lies in a file, read once. None for what cannot be drawn with."""
        try:
            when = file.stat().st_mtime_ns
            if self._signatures.get(file, (0,))[0] != when:
                self._signatures[file] = (when, None)
                signature = Signature.load(file)
                pipeline.model.check_style(signature)
                if signature.name.strip():
                    self._signatures[file] = (when, signature)
        except (OSError, ValueError, TypeError) as error:
            log.warning("%s is left out: %s", file.name, error)
        return self._signatures.get(file, (0, None))[1]

    def _identity(self, number: int) -> object:
        """Another one whenever another checkpoint is there."""
        stats = [(self.folder.checkpoint(number) / name).stat() for name in (MODEL_FILE, STYLES_FILE, CONFIG_FILE)]
        return number, *((s.st_ino, s.st_mtime_ns, s.st_size) for s in stats)

    def compare(self, garment: Garment, look: Look, rounds: Iterable[object]) -> list[tuple[int, Image.Image]]:
        """The same garment and look, as two rounds draw it: (round, sketch), the earlier first. The hands are today's.

        Raises:
            FedGAIError: a round that is not here (any more), that cannot be read, or that has another encoder.
        """
        bank = look.bank or self.studio.now  # one reading: other designers may come meanwhile
        content, now = bank.content(garment, look), bank.pipeline
        style = now.style([(bank.styles[name], weight) for name, weight in look.weights.items()], look.strength)
        sketches = []
        for number in sorted({n for n in rounds if isinstance(n, int)})[:2]:
            pipeline = self._pipeline(number)
            if pipeline.model.encoder_sha256 != now.model.encoder_sha256:
                raise FedGAIError(f"Round {number} has another encoder and cannot be compared.")
            sketches.append((number, pipeline.draw(content, style)))
        return sketches

    def _pipeline(self, number: int) -> SketchPipeline:
        try:
            mark = self._identity(number)
            with self._lock:
                if mark not in self._compared:
                    self._compared[mark] = SketchPipeline.from_pretrained(self.folder.checkpoint(number))
                self._compared.move_to_end(mark)
                while len(self._compared) > KEPT:
                    self._compared.popitem(last=False)
                return self._compared[mark]
        except Exception as error:
            log.warning("round %s cannot be compared: %s", number, error)
            raise FedGAIError(f"There is no checkpoint of round {number} here that can be drawn with.") from error

    # -- what is told ----------------------------------------------------------------------------------------------------

    def routes(self) -> APIRouter:
        """What the page asks for. Include them before Gradio is mounted."""
        router = APIRouter()

        @router.get("/studio/live")
        async def live(seen: int = 0, tab: int = 0) -> JSONResponse:
            return JSONResponse(self.live(seen, bool(tab)), headers={"cache-control": "no-store"})

        @router.get("/studio/sheets/{number}")
        async def sheet(number: int) -> FileResponse:
            file = self.folder.checkpoint(number) / SHEET
            if not 0 <= number < 10**9 or not file.is_file():
                raise HTTPException(404)
            return FileResponse(file, media_type="image/jpeg", headers={"cache-control": "max-age=60"})

        return router

    def live(self, seen: int = 0, tab: bool = True) -> dict[str, Any]:
        """For the page, as JSON: what changed since ``seen``, which is the ``version`` of the last answer.

        ``edition`` is the studio's; ``now`` seconds since the epoch; ``parts`` has escaped HTML, for ``tab`` only.
        """
        version = self._version  # before the parts: what changes in between is told once more, and not never
        parts = {name: html for name, (when, html) in self._parts.items() if when > seen} if tab else {}
        return {"edition": self.studio.edition, "version": version if tab else seen, "now": time.time(), "parts": parts}

    def _tell(self) -> None:
        status, reports, kept = self.folder.status(), self._read_reports(), self.folder.rounds()
        hub = dict(self.hub()) if self.hub else {}
        last = next((r for _, r in sorted(reports.items(), reverse=True) if r.get("designers")), {})
        repeated = self.folder.read("repeated.json", {})
        if isinstance(repeated, dict) and number(repeated.get("round")) > number(last.get("round")):
            last = repeated
        parts = {
            "now": _now(status, self.note, self.link),
            "people": _people(status, last) + _hub(hub),
            "rounds": _rounds(kept, reports, self.folder.latest(), self._sheets(kept), hub),
            "curves": _curves(reports),
        }
        changed = {name: html for name, html in parts.items() if self._parts.get(name, (0, None))[1] != html}
        if changed:
            version = max(self._version + 1, time.time_ns() // 1_000_000)
            self._parts = {**self._parts, **{name: (version, html) for name, html in changed.items()}}
            self._version = version  # last: whoever has read it has had the parts

    def _read_reports(self) -> dict[int, dict[str, Any]]:
        """Round -> report, ascending; each file is read once, and a damaged one is empty."""
        files = {int(p.stem): p for p in (self.folder.path / "reports").glob("*.json") if p.stem.isdigit()}
        files |= {n: self.folder.checkpoint(n) / REPORT_FILE for n in self.folder.rounds()}
        found = {}
        for n, file in sorted(files.items()):
            try:
                when = file.stat().st_mtime_ns
                if self._reports.get(file, (0,))[0] != when:
                    self._reports[file] = (when, {})
                    content = json.loads(file.read_text())
                    self._reports[file] = (when, content if isinstance(content, dict) else {})
            except (OSError, ValueError):
                log.warning("the report of round %d cannot be read", n)
            found[n] = self._reports.get(file, (0, {}))[1]
        return found

    def _sheets(self, kept: Iterable[int]) -> dict[int, str]:
        """Round -> address of its thumbnail sheet, other for other content."""
        files = {n: self.folder.checkpoint(n) / SHEET for n in kept}
        return {n: f"studio/sheets/{n}?{f.stat().st_mtime_ns}" for n, f in files.items() if f.is_file()}


# -- the parts of the tab: HTML, in which everything from elsewhere is escaped ---------------------------------------------


def sentence(status: Status) -> str:
    """What is going on, in one sentence for people."""
    def called(n: int) -> str:
        season, within = divmod(max(n, 1) - 1, max(1, status.rounds))
        return f"{f'Season {season + 1}, round' if season else 'Round'} {within + 1} of {max(1, status.rounds)}"

    have = f"{status.answered} of {status.asked} have answered" if status.asked else f"{status.progress:.0%} have answered"
    some = "one more designer is" if status.waiting_for == 1 else f"{status.waiting_for} more designers are"
    return {
        "starting": "The federation is starting.",
        "waiting": f"{called(status.round + 1)} begins when {some} here." if status.waiting_for
        else f"{called(status.round + 1)} is about to begin.",
        "training": f"{called(status.round)}: drawing at the designers', {have}.",
        "aggregating": f"{called(status.round)}: the answers are being averaged.",
        "house": f"{called(status.round)}: the house is learning from the average, {status.progress:.0%} done.",
        "resting": f"{called(status.round)} was the season's last. The federation rests until the next."
        if status.round else "The federation rests.",
        "paused": "The federation is paused by its operator."
        + (f" The last whole round is {status.round}." if status.round else ""),
        "stopped": "The federation is stopped.",
    }.get(status.phase, f"{called(status.round)}: {status.phase}.")


def _now(status: Status, note: str, link: str) -> str:
    left = f'<span class="left" data-deadline="{number(status.deadline):.0f}"></span>' if number(status.deadline) > 0 else ""
    operator = f'<a class="operator" href="{escape(link)}" target="_blank" rel="noopener">Operator</a>' if link else ""
    html = f'<div class="headline"><p class="sentence" role="status">{escape(sentence(status))}</p>{left}{operator}</div>'
    if status.phase in STEPS:
        percent, at = 100 * min(1.0, max(0.0, number(status.progress))), list(STEPS).index(status.phase)
        html += (
            f'<div class="bar" role="progressbar" aria-label="This step" aria-valuemin="0" aria-valuemax="100" '
            f'aria-valuenow="{percent:.0f}"><span style="width:{percent:.1f}%"></span></div>'
        )
        marks = ["done"] * at + ["at"] + [""] * (len(STEPS) - at - 1)
        html += '<ol class="steps">'
        html += "".join(f'<li class="{mark}">{step}</li>' for mark, step in zip(marks, STEPS.values(), strict=True)) + "</ol>"
    return html + "".join(f'<p class="remark">{escape(text)}</p>' for text in (status.note, note) if text)


def _people(status: Status, last: Mapping[str, Any]) -> str:
    online = _names(status.online)
    html = f'<section><h3>Online <span>{len(status.online)}</span></h3>{online or "<p>Nobody is connected.</p>"}</section>'
    out = [d for d in _list(last.get("designers")) if not d.get("accepted")]
    if last:
        items = "".join(
            f'<li><b class="name">{escape(str(d.get("name", "")) or "a designer")}</b> '
            f'{escape(str(d.get("reason", "")) or "no reason was given")}</li>'
            for d in out[:SHOWN]
        ) + (f"<li>and {len(out) - SHOWN} more</li>" if len(out) > SHOWN else "")
        counted = f"Round {int(number(last.get('round')))}: " + (
            "everybody's answer counted." if not out else "not everybody's answer counted.")
        html += f'<section class="out"><h3>Left out</h3><p>{counted}</p>{f"<ul>{items}</ul>" if items else ""}</section>'
    return html


def _names(names: object) -> str:
    names = [str(n) for n in names] if isinstance(names, list) else []
    items = "".join(f'<li class="name">{escape(n)}</li>' for n in names[:SHOWN])
    more = f"<li>and {len(names) - SHOWN} more</li>" if len(names) > SHOWN else ""
    return f'<ul class="names">{items}{more}</ul>' if items else ""


def _hub(hub: Mapping[str, Any]) -> str:
    if not hub:
        return ""
    repo, waiting = str(hub.get("repo", "")), [w for w in (hub.get("waiting") or []) if isinstance(w, int)]
    pushed, pushing = hub.get("last_pushed"), hub.get("pushing")
    lines = [f'Round {int(pushed)} was pushed last{_when(hub.get("last_pushed_at"))}.' if isinstance(pushed, int)
             else "Nothing has been pushed yet."]
    if isinstance(pushing, int):
        lines.append(f"Round {pushing} is on its way.")
    if others := [w for w in waiting if w != pushing]:
        lines.append(f"Waiting: round{'s' * (len(others) > 1)} {', '.join(map(str, others[:12]))}{', …' * (len(others) > 12)}.")
    error = f'<p class="remark">{escape(str(hub["error"]))}' if hub.get("error") else ""
    if error:
        retry = number(hub.get("next_try"))
        error += f' <span data-retry="{retry:.0f}"></span></p>' if retry > 0 else "</p>"
    link = f'<a href="{_repository(repo)}" target="_blank" rel="noopener">{escape(repo)}</a>'
    return f'<section class="hub"><h3>Hugging Face Hub</h3><p>{link}</p><p>{" ".join(lines)}</p>{error}</section>'


def _rounds(kept: list[int], reports: Mapping[int, Mapping[str, Any]], latest: int | None, sheets: Mapping[int, str],
            hub: Mapping[str, Any]) -> str:
    if not kept:
        return "<h3>Checkpoints</h3><p>There is none yet: the first one comes with the end of the first round.</p>"
    pushed, waiting = hub.get("last_pushed"), hub.get("waiting") or []
    rows = []
    for n in reversed(kept):
        report = reports.get(n, {})
        held_back = str(report.get("held_back") or "") if not report.get("published", True) else ""
        designers = _list(report.get("designers"))
        counted = sum(bool(d.get("accepted")) for d in designers)
        facts = [f"{counted} of {len(designers)} designers" if designers else "What the federation began with" if n == 0 else ""]
        facts += [f"{_said(k)} {_figure(v)}" for k, v in list(numbers(report.get("metrics")).items())[:3]]
        probe = _mapping(report.get("probe"))
        facts += [f"{_said(k)} {_figure(v)}" for k, v in list(numbers(probe.get("after")).items())[:2]]
        state = '<b class="drawn">drawn with now</b>' if n == latest else ""
        if not report.get("published", True):
            state += f'<b class="held">held back</b> <span>{escape(held_back) or "no reason was given"}</span>'
        elif n != latest:
            state += "<span>published</span>"
        on_hub = isinstance(pushed, int) and 0 < n <= pushed and n not in waiting
        tree = f"{_repository(str(hub.get('repo', '')))}/tree/round-{n:04d}"
        link = f'<a href="{tree}" target="_blank" rel="noopener">On the Hub</a>'
        picture = f'<img src="{escape(sheets[n])}" alt="Sketches of round {n}" loading="lazy">' if n in sheets else ""
        rows.append(
            f'<li{" class=held-back" if held_back else ""}><div class="sheet">{picture}</div><div class="what">'
            f'<h4>Round {n}</h4><time>{escape(_date(report.get("finished")))}</time><p class="state">{state}</p>'
            f'<p class="facts">{" · ".join(escape(f) for f in facts if f)}</p></div><div class="do">'
            f'<button type="button" data-round="{n}" aria-pressed="false">Compare</button>{link if on_hub else ""}</div></li>'
        )
    return (
        '<h3>Checkpoints</h3><p class="hint">Choose two to see your garment as both draw it, in the hands that are set above.</p>'
        f'<ol class="checkpoints">{"".join(rows)}</ol>'
    )


def _curves(reports: Mapping[int, Mapping[str, Any]]) -> str:
    """Small drawings, one a figure: each has its own scale, and no colour has to be told from another."""
    groups, rounds = [], set()
    for key, (title, text) in GROUPS.items():
        lines: dict[str, list[tuple[int, float, bool]]] = {}
        for n, report in reports.items():
            content = report.get(key)
            if key in ("probe", "house"):
                content = _mapping(content).get("after" if key == "probe" else "losses")
            for name, value in numbers(content).items():
                lines.setdefault(name, []).append((n, value, bool(report.get("published", True))))
        rounds |= {n for points in lines.values() for n, _, _ in points}
        if lines:
            drawn = "".join(_curve(name, points) for name, points in list(lines.items())[:SHOWN])
            more = f"<p>and {len(lines) - SHOWN} more</p>" if len(lines) > SHOWN else ""
            wide = " class=whole" if len(lines) > 4 else ""
            groups.append(f'<section{wide}><h4>{title}</h4><p>{text}</p><div class="curves">{drawn}</div>{more}</section>')
    if not groups:
        return ""
    hint = f"Rounds {min(rounds)} to {max(rounds)}; a ring is a round that was held back."
    return (
        f'<h3>Over the rounds</h3><p class="hint">{hint}</p>'
        f'<div class="groups">{"".join(groups)}</div>'
    )


def _curve(name: str, points: list[tuple[int, float, bool]]) -> str:
    """One figure over the rounds: (round, value, published) each."""
    width, height, edge = 168, 44, 5
    low, high = min(v for _, v, _ in points), max(v for _, v, _ in points)
    first, last = points[0][0], points[-1][0]

    def at(n: int, v: float) -> tuple[float, float]:
        x = (n - first) / (last - first) if last > first else 1.0
        y = (v - low) / (high - low) if high > low else 0.5
        return edge + x * (width - 2 * edge), height - edge - y * (height - 2 * edge)

    path = " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(at(n, v) for n, v, _ in points))
    dots = "".join(
        '<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="{}"/>'.format(*at(n, v), 3 if i == len(points) - 1 else 2.4, kind)
        for i, (n, v, published) in enumerate(points)
        if (kind := "ring" if not published else "end" if i == len(points) - 1 else "")
    )
    told = f"{_said(name)}: {_figure(points[0][1])} in round {first}, {_figure(points[-1][1])} in round {last}"
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(told)}"><title>{escape(told)}</title>'
        f'<path d="{path}"/>{dots}</svg><figcaption><span class="name">{escape(_said(name))}</span>'
        f"<b>{_figure(points[-1][1])}</b></figcaption></figure>"
    )


def number(value: object) -> float:
    """As it is, or 0 for what is no finite number."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    return value if good else 0.0


def numbers(content: object) -> dict[str, float]:
    """The finite numbers of a JSON object, by name."""
    items = _mapping(content).items()
    return {str(k): v for k, v in items if isinstance(v, int | float) and not isinstance(v, bool) and number(v) == v}


def _mapping(content: object) -> Mapping[str, Any]:
    return content if isinstance(content, Mapping) else {}


def _list(content: object) -> list[Mapping[str, Any]]:
    return [c for c in content if isinstance(c, Mapping)] if isinstance(content, list) else []


def _said(name: str) -> str:
    """"loss-generator" -> "generator loss"."""
    words = name.replace("-", " ").replace("_", " ")
    return f"{words[5:]} loss" if words.startswith("loss ") else words


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _date(text: object) -> str:
    try:
        return datetime.fromisoformat(str(text)).strftime("%-d %B %Y, %H:%M UTC")
    except ValueError:
        return ""


def _when(seconds: object) -> str:
    when = number(seconds)
    return f" on {datetime.fromtimestamp(when).strftime('%-d %B, %H:%M')}" if when > 0 else ""


def _repository(repo: str) -> str:
    return f"https://huggingface.co/{quote(repo)}"
