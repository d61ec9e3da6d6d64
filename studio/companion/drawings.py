"""The designer's drawings in the window: copied in or named, looked at, cut out of sheets, corrected and accepted."""

from __future__ import annotations

import json
import re
import threading
import time
import unicodedata
from collections.abc import AsyncIterable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from federation.designer.prepare import LookFirst, accept, prepare
from federation.designer.settings import Settings
from fedgai.data import designer_folder as folders
from fedgai.data.designer_folder import DesignerFolder
from fedgai.data.scans import Layout
from fedgai.files import put_in_place, replacing, write_atomically
from fedgai.text import printable
from fedgai.vision.images import MAX_BYTES
from studio.companion.background import failure

PLACES = {"sketches": "sketches", "photos": "pairs/photos", "partners": "pairs/sketches", "scans": "scans/scans"}
"""Where dropped files are copied to, in HOME/drawings: of each kind in a folder of its own."""
KINDS = ("sketches", "pairs", "scans", "folder")  # folder: one that the designer named, which stays as it is


@dataclass(frozen=True)
class Sheet:
    """A scanned sheet that was cut.

    Attributes:
        scan: its file.
        preview: JPEG of the upright sheet with its numbered boxes.
        size: (width, height) of the upright sheet, px.
        layout: where its drawings are.
    """

    scan: Path
    preview: Path
    size: tuple[int, int]
    layout: Layout


@dataclass(frozen=True)
class Busy:
    """Work with the drawings: share done, in [0, 1], or None where it is not known; what; when it began, s since the epoch."""

    done: float | None
    what: str
    since: float


class DrawingsFolder:
    """The drawings of one designer. Everything that takes long runs in one background thread, in turn.

    Args:
        home: the companion's folder.
        settings: says what the designer has answered by now.

    Attributes:
        found: what a look found; None before the first, or where there is nothing yet.
        sheets, accepted: of scans, how they were cut, and whether the designer has accepted how they were cut.
        busy: what is being done, or None.
        trouble: a sentence on what went wrong, or "".
    """

    def __init__(self, home: Path, settings: Callable[[], Settings]) -> None:
        self.home, self.copies = home, home / "drawings"
        self._settings = settings
        self.found: DesignerFolder | None = None
        self.sheets: list[Sheet] = []
        self.accepted = False
        self.busy: Busy | None = None
        self.trouble = ""
        self._waiting = self._looks = 0
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "drawings")

    @property
    def kind(self) -> str:
        """Of ``KINDS``, as the designer chose."""
        data = self._settings().data
        if not data:
            return "sketches"
        path = Path(data)
        return path.name if path.parent == self.copies and path.name in KINDS else "folder"

    @property
    def ready(self) -> bool:
        """Whether there are drawings to learn from, and sheets were accepted."""
        return self.found is not None and bool(self.found.drawings) and (self.accepted or not self.sheets)

    @property
    def looking(self) -> bool:
        """Whether a look at the drawings has not ended yet."""
        return self._looks > 0

    def folder_of(self, kind: str) -> str:
        """Where copies of a kind lie."""
        return str(self.copies / kind)

    def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)

    # -- files -----------------------------------------------------------------------------------------------------------

    async def put(self, place: str, name: str, content: AsyncIterable[bytes]) -> str:
        """Copy a file into HOME/drawings. Returns "", or the reason why not."""
        if place not in PLACES:
            return "there is no such place"
        name = plain_name(name)
        folder = self.copies / PLACES[place]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / name) as temp_path:
                size = 0
                with temp_path.open("wb") as file:
                    async for piece in content:
                        size += len(piece)
                        if size > MAX_BYTES:
                            break
                        file.write(piece)
                if size > MAX_BYTES:
                    temp_path.unlink()
                    return f"it has more than {MAX_BYTES // 2**20} MB"
                target, count = folder / name, 1
                while target.exists() and not _same(target, temp_path):
                    count += 1
                    target = folder / f"{Path(name).stem}-{count}{Path(name).suffix}"
                put_in_place(temp_path, target)
        except OSError as error:
            return f"it cannot be copied: {error.strerror}"
        return ""

    def remove(self, name: str) -> None:
        """Take a copy away again, with its partner. What lies in a folder that the designer named is not ours."""
        if self.kind == "folder" or not name or Path(name).name != name:
            return
        for place in PLACES.values():
            folder = self.copies / place
            if folder.is_relative_to(self.copies / self.kind) and folder.is_dir():
                for file in folder.iterdir():
                    if file.name == name or (self.kind != "sketches" and _stem(file.name) == _stem(name)):
                        file.unlink(missing_ok=True)
        self.look()

    # -- in the background -----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Look at the drawings."""
        with self._lock:
            self._looks += 1
        self.do("looking at your drawings", self._look)

    def correct(self, sheet: str, how: str, boxes: list[int]) -> None:
        """Change where a sheet's drawings are: "drop", "keep", "join" or "part" some boxes, or look for all "again"."""
        self.do("cutting the sheet again", lambda: self._correct(sheet, how, boxes))

    def accept(self) -> None:
        """The sheets are cut well."""
        self.do("keeping the drawings", self._accept)

    def do(self, what: str, work: Callable[[], None]) -> None:
        """Run ``work`` after what is waiting already. What goes wrong becomes ``trouble``."""
        with self._lock:
            self._waiting += 1
            self.busy = self.busy or Busy(None, what, time.time())
        self._worker.submit(self._guarded, work)

    def progress(self, done: float | None, what: str) -> None:
        """Say how far the work is."""
        before = self.busy
        since = before.since if before else time.time()
        self.busy = Busy(done, what, since)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.trouble = failure(error)
        finally:
            with self._lock:
                self._waiting -= 1
                if not self._waiting:
                    self.busy = None

    def _look(self) -> None:
        try:
            self._look_at_once()
        finally:
            with self._lock:
                self._looks -= 1

    def _look_at_once(self) -> None:
        self.trouble, self.accepted = "", False
        data = self._settings().data
        if not data or (self.kind != "folder" and not Path(data).is_dir()):  # nothing was dropped yet
            self.found, self.sheets = None, []
            return
        self.found = found = folders.look(data, lambda i, of, file: self.progress(i / max(1, of), "looking at your drawings"))
        self.sheets = []
        if found.kind == "scans" and found.drawings:
            self._cut(found)

    def _cut(self, found: DesignerFolder) -> None:
        try:
            prepare(self.home, self._settings(), self.progress)
            self.accepted = True
        except LookFirst:
            self.accepted = False
        self.sheets = [sheet for scan in found.drawings if (sheet := self._sheet(scan))]

    def _sheet(self, scan: Path) -> Sheet | None:
        preview, beside = self.home / "scans" / "previews" / f"{scan.stem}.jpg", scan.with_suffix(".json")
        try:
            layout = Layout.from_json(beside.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            self.trouble = f"{beside.name} cannot be understood ({error}): delete it to start again."
            return None
        return Sheet(scan, preview, layout.upright()[1], layout) if preview.exists() else None

    def _correct(self, name: str, how: str, boxes: list[int]) -> None:
        sheet = next((s for s in self.sheets if s.scan.name == name), None)
        if sheet is None or self.found is None:
            return
        file = sheet.scan.with_suffix(".json")
        layout = json.loads(file.read_text(encoding="utf-8"))
        chosen = [layout["boxes"][i] for i in boxes if isinstance(i, int) and 0 <= i < len(layout["boxes"] or ())]
        if how == "again":
            layout["boxes"] = None
        for i, box in enumerate(chosen):
            if how in ("drop", "keep"):
                box["keep"] = how == "keep"
            elif how == "join":
                box |= {"drawing": min(b["drawing"] for b in chosen), "keep": True}
            elif how == "part" and i:
                box["drawing"] = 1 + max(b["drawing"] for b in layout["boxes"])
        write_atomically(file, json.dumps(layout, indent=1, ensure_ascii=False).encode(), 0o644)
        self._cut(self.found)

    def _accept(self) -> None:
        accept(self.home)
        if self.found is not None:
            self._cut(self.found)


def plain_name(name: str) -> str:
    """A file name from a browser -> one that any file system takes, and that is nothing but a name."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/").rsplit("/", 1)[-1])
    name = re.sub(r'[<>:"|?*]', "_", printable(name, instead="_")).strip(" ").lstrip(".") or "drawing"
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    while len(f"{stem}.{suffix}".encode()) > 180:
        stem, suffix = stem[:-1], suffix[:10]
    return f"{stem}.{suffix}" if dot else stem


def _stem(name: str) -> str:
    return unicodedata.normalize("NFC", Path(name).stem)


def _same(a: Path, b: Path) -> bool:
    return a.stat().st_size == b.stat().st_size and a.read_bytes() == b.read_bytes()
