"""The parts of the window that change by themselves, as HTML."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from federation.designer.prepare import EXPLAINED
from federation.designer.receipt import Receipt
from federation.designer.receipt_page import lines_of, noise_line, size, summary, title
from federation.join import STAYS
from federation.terminal import describe, federation_line
from fedgai.data.designer_folder import CELL, CUT_FIRST, DesignerFolder
from fedgai.data.pairs import FEW
from fedgai.evaluation.hand_page import Levels
from studio import pictures
from studio.companion.actions import CompanionActions
from studio.companion.drawings import Sheet
from studio.companion.templating import render

BESIDE = 4  # drawings of each kind in the window; the page has more
LISTED = 12  # files named under a heading, beyond which it only counts
WORDS = {
    "training": "Learning from your drawings",
    "preparing": "Getting your drawings ready",
    "sending": "Sending the update",
    "receiving": "A round begins",
    "idle": "Waiting for the next round",
    "waiting": "Waiting to be let in",
    "away": "The studio is away",
    "failed": "The last round was not trained",
    "stuck": "This machine cannot connect",
    "certificate": "The studio's certificate is not trusted",
    "starting": "Connecting",
    "refused": "Refused",
    "left": "You have left",
}
MOVES = ("training", "preparing", "sending", "receiving", "starting", "idle")
"""Phases with a bar: what goes on by itself. In the others somebody has to do something."""


class Parts:
    """The parts of the page, by name.

    Args:
        actions: what they show.
    """

    def __init__(self, actions: CompanionActions) -> None:
        self.actions = actions
        self._found: tuple[object, str] = (None, "")
        self._hand: tuple[object, tuple[list[str], list[str]]] = (None, ([], []))

    def all(self) -> dict[str, str]:
        return {
            "busy": self.busy(),
            "drawings": self.drawings(),
            "sheets": self.sheets(),
            "hand": self.hand(),
            "now": self.now(),
            "act": self.act(),
            "receipts": self.receipts(),
            "home": self.home(),
            "leave": self.leave(),
            "kind": self.actions.drawings.kind,
            "folder": self.actions.answers.data if self.actions.drawings.kind == "folder" else "",
        }

    def changed(self, have: str) -> dict[str, tuple[str, str]]:
        """(mark, HTML) of the parts that changed; "kind" and "folder" are plain text.

        Args:
            have: "name:mark,name:mark" of those that the page shows.
        """
        known = dict(pair.split(":", 1) for pair in have.split(",") if ":" in pair)
        marks = {name: (hashlib.sha256(html.encode()).hexdigest()[:12], html) for name, html in self.all().items()}
        return {name: marked for name, marked in marks.items() if known.get(name) != marked[0]}

    def busy(self) -> str:
        drawings = self.actions.drawings
        return render("busy", busy=drawings.busy, text=self._doing(), trouble=drawings.trouble)

    def _doing(self) -> str:
        """What goes on with the drawings, or ""."""
        busy = self.actions.drawings.busy
        return f"{_capital(busy.what)} …" if busy else ""

    def drawings(self) -> str:
        """What a look at the drawings found; made again only for another look."""
        found = self.actions.drawings.found
        if found is None:
            return ""
        if self._found[0] is not found:
            self._found = found, self._contact_sheet(found)
        return self._found[1]

    def _contact_sheet(self, found: DesignerFolder) -> str:
        """Counts, warnings, the pictures, and what cannot be used."""
        named = self.actions.drawings.kind == "folder"
        what = {"pairs": "pair", "scans": "sheet"}.get(found.kind, "drawing")
        head = count(len(found.drawings), what)
        head += f", {count(len(found.bad), 'file')} that cannot be used" if found.bad else ""
        head += f" in {found.path}" if named else ""
        twins, bad = {b: a for a, b in found.twins}, {file for file, _ in found.bad}
        cells = [
            {
                "kind": "bad" if file in bad else "twin" if file in twins else "",
                "picture": pictures.jpeg(picture),
                "name": shown_name(file),
                "like": shown_name(twins[file]) if file in twins else "",
            }
            for file, picture in found.thumbnails
        ]
        return render(
            "found",
            head=head,
            explained=EXPLAINED.get(found.kind, ""),
            cells=cells,
            removable=not named,
            warnings=[sentence for sentence in found.warnings if sentence != CUT_FIRST],  # the window says it above
            more=len(found.drawings) - len(found.thumbnails),
            bad=_reasons(found.bad),
            bad_more=max(0, len(found.bad) - LISTED),
            notes=_reasons(found.notes),
            notes_more=max(0, len(found.notes) - LISTED),
        )

    def sheets(self) -> str:
        drawings = self.actions.drawings
        if not drawings.sheets:
            return ""
        number = sum(len({b.drawing for b in sheet.layout.boxes or () if b.keep}) for sheet in drawings.sheets)
        return render(
            "sheets",
            accepted=drawings.accepted,
            drawings=count(number, "drawing"),
            busy=bool(drawings.busy),
            sheets_count=count(len(drawings.sheets), "sheet"),
            few=FEW if number < FEW else 0,
            sheets=[_sheet(sheet) for sheet in drawings.sheets],
        )

    def hand(self) -> str:
        """How others will see the hand: the button, how far it is, or the first pictures."""
        hand, report = self.actions.hand, self.actions.hand.report
        if report is None:
            self._hand = None, ([], [])
        elif self._hand[0] is not report:
            self._hand = report, (_beside(report.own), _beside(report.drawn))
        own, drawn = self._hand[1]
        return render(
            "hand",
            busy=hand.busy,
            text=f"{_capital(hand.busy.what)} …" if hand.busy else "",
            report=report,
            sketches=count(report.sketches, "drawing") if report else "",
            own=own,
            drawn=drawn,
            noise=self.actions.answers.style_epsilon > 0,
            off=self.actions.part.running,
            trouble=hand.trouble,
        )

    def now(self) -> str:
        """The state of things, at the side."""
        part, state = self.actions.part, self.actions.part.state
        if state is None:
            head = "You have left." if self.actions.left else "Stopped for now." if part.receipts else "Not joined yet."
            missing = [] if part.receipts else self.actions.missing()
            return render("now", state=None, head=head, missing=missing, notice=self.actions.notice)
        status = state.federation
        theirs = {"line": _capital(federation_line(status)), "done": _share(status)} if status else None
        return render(
            "now",
            state=state,
            head="Stopping …" if part.stopping else WORDS.get(state.phase, state.phase),
            line=_capital(describe(state)),
            moves=state.phase in MOVES,
            theirs=theirs,
            bytes=size(state.bytes),
        )

    def act(self) -> str:
        part = self.actions.part
        return render(
            "act",
            running=part.running,
            stopping=part.stopping,
            busy=bool(self.actions.drawings.busy),
            again=not self.actions.left and (bool(part.receipts) or self.actions.studio.possible),
        )

    def receipts(self) -> str:
        actions, receipts = self.actions, self.actions.part.receipts
        entries = [(number, _entry(receipt)) for number, receipt in reversed(list(enumerate(receipts)))]
        return render(
            "receipts",
            entries=entries,
            bytes=size(sum(r.bytes for r in receipts)),
            noise=noise_line(receipts),
            updates=count(len(receipts), "update"),
            off=bool(actions.drawings.busy) or actions.part.running,
            busy=actions.drawings.busy,
            text=self._doing(),
            sample=_entry(actions.sample) if actions.sample else None,
        )

    def home(self) -> str:
        return render("home", possible=self.actions.studio.possible, url=self.actions.studio.url)

    def leave(self) -> str:
        head, *lines = STAYS.splitlines()
        return render(
            "leave",
            head=head,
            lines=[line.removeprefix("- ") for line in lines],
            server=self.actions.answers.server or "the studio",
            leaving=self.actions.part.leaving,
        )


def _beside(drawings: Sequence[Levels]) -> list[str]:
    """The first few, as the window shows them."""
    return [pictures.jpeg(Image.fromarray(drawing), 2 * CELL) for drawing in drawings[:BESIDE]]


def shown_name(file: Path) -> str:
    """A file's name as text. On Linux it may hold bytes that are not text."""
    return file.name.encode("utf-8", "replace").decode()


def count(number: int, what: str) -> str:
    """How many: "1 drawing", "2 drawings"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _capital(text: str) -> str:
    """With a capital letter, unless it begins with an address."""
    return text if text.startswith("http") else f"{text[:1].upper()}{text[1:]}"


def _share(status: dict[str, object]) -> float | None:
    """How far the federation's phase is. Returns None if it waits, or if nothing is known yet."""
    progress = status.get("progress")
    if status.get("phase") not in ("training", "aggregating", "house") or not isinstance(progress, int | float) or progress <= 0:
        return None
    return min(1.0, float(progress))


def _entry(receipt: Receipt) -> dict[str, object]:
    return {"title": title(receipt), "summary": f"{summary(receipt)}.", "meaning": receipt.meaning, "lines": lines_of(receipt)}


def _reasons(files: list[tuple[Path, str]]) -> list[tuple[str, str]]:
    """Names with why, the first few, without the folder that every reason would repeat."""
    return [(shown_name(file), reason.replace(str(file.parent), file.parent.name)) for file, reason in files[:LISTED]]


def _sheet(sheet: Sheet) -> dict[str, object]:
    width, height = sheet.size
    boxes = []
    for box in sheet.layout.boxes or ():
        (left, right), (top, bottom) = sorted(box.box[::2]), sorted(box.box[1::2])
        place = {"left": left / width, "top": top / height, "width": (right - left) / width, "height": (bottom - top) / height}
        boxes.append(
            {"label": f"Drawing {box.drawing}" if box.keep else "Dropped frame"}
            | {name: f"{100 * share:.2f}" for name, share in place.items()}
        )
    mark = sheet.preview.stat().st_mtime_ns if sheet.preview.exists() else 0
    return {
        "file": sheet.scan.name,
        "name": shown_name(sheet.scan),
        "width": width,
        "height": height,
        "mark": mark,
        "boxes": boxes,
    }
