"""Follows the federation for the studio: its newest checkpoint, to draw with, and its news, to show on the page.

Nothing is asked of the federation's processes. All of it is read from the folder (federation/server/folder.py), once a second
for all visitors, so that the studio goes on whatever happens to them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from federation.server.folder import REPEATED_FILE, REPORT_FILE, Folder
from federation.server.members import gone
from federation.server.report import RoundReport
from fedgai.errors import FedGAIError
from fedgai.model import CONFIG_FILE, MODEL_FILE, STYLES_FILE
from fedgai.networks.style import Signature
from fedgai.pipeline import SketchPipeline
from studio.federation.tab import News
from studio.sketching import Look, SketchStudio, StudioGarment

log = logging.getLogger("fedgai.studio")

POLL = 1.0  # s between two looks at the folder
MOST = 64  # sliders; a page is for people
KEPT = 2  # checkpoints kept in memory for comparing
SHEET = "sheet.jpg"


def newest(folder: Folder) -> SketchPipeline | None:
    """The newest published checkpoint that can be drawn with; None before the first."""
    latest = folder.latest()
    if latest is None:
        return None
    for number in [latest, *reversed([n for n in folder.rounds() if n != latest])]:
        try:
            if number == latest or folder.report(number).published:
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

    def __init__(
        self, folder: Folder, studio: SketchStudio, hub: Callable[[], Mapping[str, Any]] | None = None, link: str = ""
    ) -> None:
        self.folder, self.studio, self.hub, self.link = folder, studio, hub, link
        self.note = ""
        self._mark: object = None  # of the checkpoint that was last tried
        self._bank = dict(studio.pipeline.styles)  # the checkpoint's own
        self._arrived: dict[str, Signature] = {}  # by Flower's number, since the checkpoint
        self._signatures: dict[Path, tuple[int, Signature | None]] = {}
        self._reports = _Reports(folder)
        self._compared = _Compared(folder)
        # parts and when each changed; numbers that an earlier start of the studio cannot have given out
        self._version = time.time_ns() // 1_000_000
        self._parts: dict[str, tuple[int, str]] = {}
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Follow in the background, until ``stop``."""
        self.look()
        self._thread = threading.Thread(target=self._run, name="federation-follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns once the background has ended."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join(10)

    def _run(self) -> None:
        while not self._ends.wait(POLL):
            self.look()

    def look(self) -> None:
        """Take over what is new. Never raises: the studio goes on with what it has."""
        for step in (self._follow, self._add_arrived, self._write_news):
            try:
                step()
            except Exception:
                log.exception("the federation's folder could not be followed")

    # -- what is drawn with ----------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Draw with the newest checkpoint from now on. If it is damaged, the last one stays."""
        number = self.folder.latest()
        if number is None or (mark := identity(self.folder, number)) == self._mark:
            return
        self._mark = mark
        try:
            pipeline = SketchPipeline.from_pretrained(self.folder.checkpoint(number))
            if not pipeline.styles:
                raise ValueError("its style bank is empty")
            if pipeline.checkpoint != self.studio.pipeline.checkpoint:
                first = self.studio.content(self.studio.first_garment, Look({}, size=256))
                if pipeline.model.encoder_sha256 == self.studio.pipeline.model.encoder_sha256:
                    pipeline.draw(first, {next(iter(pipeline.styles.values())): 1})  # the first one takes longest
        except Exception as error:
            log.warning("round %d cannot be drawn with: %s", number, error)
            self.note = f"Round {number} is damaged. The studio draws with the round before it."
            return
        self.note, self._bank = "", dict(pipeline.styles)
        pipeline.styles = self._banked(pipeline)  # before anybody draws with it, else a designer would be gone for a second
        self.studio.serve(pipeline)

    def _add_arrived(self) -> None:
        """Add signatures that arrived since the checkpoint to the bank that is drawn with, and remove designers who left."""
        pipeline = self.studio.pipeline
        bank = self._banked(pipeline)
        if list(bank.items()) != list(pipeline.styles.items()):
            pipeline.styles = bank  # replaced, not changed: others are reading it
            self.studio.serve(pipeline)

    def _banked(self, pipeline: SketchPipeline) -> dict[str, Signature]:
        """The checkpoint's bank, and the signatures of the round in progress; without those who left.

        The signatures of the round are taken away once the answers are counted, and come again with the round's checkpoint:
        for the while between, they stay, or what a visitor set would be lost.
        """
        arrived = {}
        for file in sorted((self.folder.path / "signatures").glob("*.safetensors")):
            if (signature := self._signature(file, pipeline)) is not None:
                arrived[file.stem] = signature
        if self.folder.status().phase in ("aggregating", "house"):
            arrived = self._arrived | arrived
        self._arrived = arrived
        left = gone(self.folder.members())
        names, nodes = {member.name for member in left}, {str(member.node_id) for member in left}
        bank = {name: s for name, s in self._bank.items() if name not in names or "designer" not in s.extra}
        for signature in (s for node, s in arrived.items() if node not in nodes):
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

    def compare(self, garment: StudioGarment, look: Look, rounds: Iterable[object]) -> list[tuple[int, Image.Image]]:
        """The same garment and look, as two rounds draw it: (round, sketch), the earlier first. The hands are today's.

        Raises:
            FedGAIError: a round that is not here (any more), that cannot be read, or that has another encoder.
        """
        bank = look.bank or self.studio.now  # one reading: other designers may come meanwhile
        content, now = bank.content(garment, look), bank.pipeline
        hands = [(bank.styles[name], weight) for name, weight in look.weights.items()]
        style, choice = now.style(hands, look.strength), now.choice(hands)
        sketches = []
        for number in sorted({n for n in rounds if type(n) is int and 0 <= n < 10**9})[:2]:
            pipeline = self._compared.pipeline(number)
            if pipeline.model.encoder_sha256 != now.model.encoder_sha256:
                raise FedGAIError(f"Round {number} has another encoder and cannot be compared.")
            sketches.append((number, pipeline.draw(content, style, choice=choice)))
        return sketches

    # -- news ------------------------------------------------------------------------------------------------------------

    def live(self, seen: int = 0, tab: bool = True) -> dict[str, Any]:
        """For the page, as JSON: what changed since ``seen``, which is the ``version`` of the last answer.

        ``edition`` is the studio's; ``now`` seconds since the epoch; ``parts`` has escaped HTML, for ``tab`` only.
        """
        version = self._version  # before the parts: what changes in between is sent twice rather than not at all
        parts = {name: html for name, (when, html) in self._parts.items() if when > seen} if tab else {}
        return {"edition": self.studio.edition, "version": version if tab else seen, "now": time.time(), "parts": parts}

    def _write_news(self) -> None:
        kept = self.folder.rounds()
        news = News(
            status=self.folder.status(),
            note=self.note,
            link=self.link,
            reports=self._reports.read(kept),
            repeated=RoundReport.read(self.folder.read(REPEATED_FILE, {})),
            kept=kept,
            latest=self.folder.latest(),
            sheets=self._sheets(kept),
            hub=dict(self.hub()) if self.hub else {},
        )
        changed = {name: html for name, html in news.parts().items() if self._parts.get(name, (0, None))[1] != html}
        if changed:
            version = max(self._version + 1, time.time_ns() // 1_000_000)
            self._parts = {**self._parts, **{name: (version, html) for name, html in changed.items()}}
            self._version = version  # last: whoever has read it has had the parts

    def _sheets(self, kept: Iterable[int]) -> dict[int, str]:
        """Round -> address of its thumbnail sheet, other for other content."""
        files = {n: self.folder.checkpoint(n) / SHEET for n in kept}
        return {n: f"studio/sheets/{n}?{f.stat().st_mtime_ns}" for n, f in files.items() if f.is_file()}


class _Reports:
    """Reads each report once."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._known: dict[Path, tuple[int, RoundReport]] = {}

    def read(self, kept: Iterable[int]) -> dict[int, RoundReport]:
        """Round -> report, ascending; a damaged one is empty.

        Args:
            kept: rounds whose checkpoints are here.
        """
        files = {int(p.stem): p for p in (self._folder.path / "reports").glob("*.json") if p.stem.isdigit()}
        files |= {n: self._folder.checkpoint(n) / REPORT_FILE for n in kept}
        found = {}
        for n, file in sorted(files.items()):
            try:
                when = file.stat().st_mtime_ns
                if self._known.get(file, (0,))[0] != when:
                    self._known[file] = (when, RoundReport())
                    self._known[file] = (when, RoundReport.loads(file.read_text()))
            except (OSError, ValueError, RecursionError):
                log.warning("the report of round %d cannot be read", n)
            found[n] = self._known.get(file, (0, RoundReport()))[1]
        return found


class _Compared:
    """Checkpoints that were compared last, kept in memory."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._kept: OrderedDict[object, SketchPipeline] = OrderedDict()
        self._lock = threading.Lock()

    def pipeline(self, number: int) -> SketchPipeline:
        """A round's. Raises FedGAIError."""
        try:
            mark = identity(self._folder, number)
            with self._lock:
                if mark not in self._kept:
                    self._kept[mark] = SketchPipeline.from_pretrained(self._folder.checkpoint(number))
                self._kept.move_to_end(mark)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
                return self._kept[mark]
        except Exception as error:
            log.warning("round %s cannot be compared: %s", number, error)
            raise FedGAIError(f"There is no checkpoint of round {number} here that can be drawn with.") from error


def identity(folder: Folder, number: int) -> object:
    """Another one whenever another checkpoint of that round is there. Raises OSError where there is none."""
    stats = [(folder.checkpoint(number) / name).stat() for name in (MODEL_FILE, STYLES_FILE, CONFIG_FILE)]
    return number, *((s.st_ino, s.st_mtime_ns, s.st_size) for s in stats)
