"""What the window does, without the page: one designer's drawings, answers and part in the federation, in this process.

Everything that takes long runs in threads of the desk, so that it goes on when the page is closed, and every page that
looks sees the same.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import AsyncIterable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from federation.designer.companion import (
    AwayError,
    Companion,
    CompanionError,
    LookFirst,
    Settings,
    State,
    Studio,
    accept,
    dry_run,
    prepare,
)  # fmt: skip
from federation.designer.receipt import Receipt, read_all
from federation.identity import make_key
from federation.processes import KEEPER
from fedgai.data import folder as drawings
from fedgai.data.folder import DesignerFolder
from fedgai.data.pairs import PairsError, writing
from fedgai.data.scans import Layout
from fedgai.model import CONFIG_FILE
from fedgai.training.local import TrainError
from fedgai.vision.images import MAX_BYTES

ROOT = Path(__file__).resolve().parent.parent.parent
WAIT = 10.0  # s before a studio that is away is asked again
SHELVES = {"sketches": "sketches", "photos": "pairs/photos", "partners": "pairs/sketches", "scans": "scans/scans"}
"""Where dropped files are copied to, in HOME/drawings: of each kind in a folder of its own."""
KINDS = ("sketches", "pairs", "scans", "folder")  # folder: one that the designer named, which stays as it is
TROUBLE = (CompanionError, PairsError, TrainError, OSError)


class Stopped(CompanionError):  # noqa: N818 - nothing went wrong
    """The designer pressed Stop."""


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


class Desk:
    """See above.

    Args:
        home: the companion's folder.
        certificate: PEM file to trust for the studio, where it was not answered before.
    Raises:
        CompanionError: what was answered before cannot be read.
        OSError: the folder cannot be written.
    """

    def __init__(self, home: Path, certificate: str = "") -> None:
        self.home, self.drawings = home, home / "drawings"
        self.key = make_key(home / "key")
        known = Settings.load(home / "window") or Settings.load(home) or Settings("", "", "")
        self.answers = replace(known, certificate=known.certificate or certificate)
        self.found: DesignerFolder | None = None
        self.sheets: list[Sheet] = []
        self.accepted = False
        self.busy: tuple[float, str] | None = None  # with the drawings: share done, and what
        self.trouble = ""  # with the drawings
        self.notice = ""  # with the federation
        self.state: State | None = None  # of the companion, while it runs
        self.stopping = False
        self.sample: Receipt | None = None  # of a dry run
        self.studio = ""  # address of the studio at home, while that is open
        self._own = self.answers.data  # what the designer named last
        self._worker = ThreadPoolExecutor(1, "drawings")
        self._lock, self._stop, self._run = threading.RLock(), threading.Event(), None
        self._studio: subprocess.Popen | None = None
        self._receipts: tuple[object, list[Receipt]] = ((), [])
        if self.answers.data:
            self.look()

    # -- answers ---------------------------------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """Of ``KINDS``, as chosen."""
        data = self.answers.data
        if not data:
            return "sketches"
        path = Path(data)
        return path.name if path.parent == self.drawings and path.name in KINDS else "folder"

    def answer(self, **told: object) -> None:
        """Keep what was answered so far, complete or not."""
        answers = replace(self.answers, **told)
        if answers != self.answers:
            self.answers = answers
            answers.save(self.home / "window")

    def choose(self, kind: str) -> None:
        """Look at the copies of another kind, or at the folder that was named."""
        if kind in KINDS and kind != self.kind:
            if self.kind == "folder":
                self._own = self.answers.data
            self.answer(data=self._own if kind == "folder" else str(self.drawings / kind))
            self.look()

    def dropped(self, kind: str) -> None:
        """Files of a kind were copied: use them from now on."""
        if kind in KINDS[:3]:
            self.answer(data=str(self.drawings / kind))
            self.look()

    def name(self, folder: str) -> None:
        """Use a folder of the designer's own, where it lies."""
        path = Path(folder.strip().strip("'\"")).expanduser()
        if not folder.strip() or not path.is_dir():
            self.found, self.trouble = None, f"There is no folder {path}: copy its whole path, as your file manager shows it."
            return
        self.answer(data=str(path.resolve()))
        self.look()

    # -- drawings --------------------------------------------------------------------------------------------------------

    async def put(self, shelf: str, name: str, content: AsyncIterable[bytes]) -> str:
        """Copy a file into HOME/drawings. Returns "", or the reason why not."""
        if shelf not in SHELVES:
            return "there is no such place"
        name = plain_name(name)
        folder = self.drawings / SHELVES[shelf]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            aside, size = folder / f".{threading.get_ident()}-{time.monotonic_ns()}.new", 0
            try:
                with aside.open("wb") as file:
                    async for piece in content:
                        size += len(piece)
                        if size > MAX_BYTES:
                            return f"it has more than {MAX_BYTES // 2**20} MB"
                        file.write(piece)
                target, count = folder / name, 1
                while target.exists() and not _same(target, aside):
                    count += 1
                    target = folder / f"{Path(name).stem}-{count}{Path(name).suffix}"
                os.replace(aside, target)
            finally:
                aside.unlink(missing_ok=True)
        except OSError as error:
            return f"it cannot be copied: {error.strerror}"
        return ""

    def remove(self, name: str) -> None:
        """Take a copy away again, with its partner. What lies in a folder that the designer named is not ours."""
        if self.kind == "folder" or not name or Path(name).name != name:
            return
        for shelf in SHELVES.values():
            folder = self.drawings / shelf
            if folder.is_relative_to(self.drawings / self.kind) and folder.is_dir():
                for file in folder.iterdir():
                    if file.name == name or (self.kind != "sketches" and _stem(file.name) == _stem(name)):
                        file.unlink(missing_ok=True)
        self.look()

    def look(self) -> None:
        """At the drawings, in the background."""
        self.busy = self.busy or (0.0, "")
        self._worker.submit(self._guarded, self._look)

    def correct(self, sheet: str, how: str, boxes: list[int]) -> None:
        """Change where a sheet's drawings are: "drop", "keep", "join" or "part" some boxes, or look for all "again"."""
        self.busy = self.busy or (0.0, "")
        self._worker.submit(self._guarded, self._correct, sheet, how, boxes)

    def accept(self) -> None:
        """The sheets are cut well."""
        self.busy = self.busy or (0.0, "")
        self._worker.submit(self._guarded, self._accept)

    def dry(self) -> None:
        """Find out what exactly would be sent."""
        self.busy = self.busy or (0.0, "training nothing, only packing what would be sent")
        self._worker.submit(self._guarded, self._dry)

    def _guarded(self, work: Callable, *arguments: object) -> None:
        try:
            work(*arguments)
        except Stopped:
            pass  # said already
        except TROUBLE as error:
            self.trouble = sentence(error)
        finally:
            self.busy = None

    def _progress(self, done: float, what: str) -> None:
        self.busy = done, what

    def _look(self) -> None:
        self.trouble, self.sample, self.accepted = "", None, False
        data = Path(self.answers.data) if self.answers.data else None
        if data is None or (self.kind != "folder" and not data.is_dir()):  # nothing was dropped yet
            self.found, self.sheets = None, []
            return
        self.found = drawings.look(data, lambda i, of, file: self._progress(i / max(1, of), "looking at your drawings"))
        self.sheets = []
        if self.found.kind == "scans" and self.found.drawings:
            self._cut()

    def _cut(self) -> None:
        try:
            prepare(self.home, self.answers, self._progress)
            self.accepted = True
        except LookFirst:
            self.accepted = False
        self.sheets = [sheet for scan in self.found.drawings if (sheet := self._sheet(scan))]

    def _sheet(self, scan: Path) -> Sheet | None:
        preview, beside = self.home / "scans" / "previews" / f"{scan.stem}.jpg", scan.with_suffix(".json")
        try:
            layout = Layout.from_json(beside.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            self.trouble = f"{beside.name} cannot be understood ({error}): delete it to begin anew."
            return None
        return Sheet(scan, preview, layout.upright()[1], layout) if preview.exists() else None

    def _correct(self, sheet: str, how: str, boxes: list[int]) -> None:
        found = next((s for s in self.sheets if s.scan.name == sheet), None)
        if found is None or self.found is None:
            return
        file = found.scan.with_suffix(".json")
        told = json.loads(file.read_text(encoding="utf-8"))
        chosen = [told["boxes"][i] for i in boxes if isinstance(i, int) and 0 <= i < len(told["boxes"] or ())]
        if how == "again":
            told["boxes"] = None
        for i, box in enumerate(chosen):
            if how in ("drop", "keep"):
                box["keep"] = how == "keep"
            elif how == "join":
                box |= {"drawing": min(b["drawing"] for b in chosen), "keep": True}
            elif how == "part" and i:
                box["drawing"] = 1 + max(b["drawing"] for b in told["boxes"])
        with writing(file) as aside:
            aside.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
        self._cut()

    def _accept(self) -> None:
        accept(self.home)
        self._cut()

    def _dry(self) -> None:
        self.sample = dry_run(self.home, replace(self._complete(anywhere=True)), self._progress)

    # -- the federation --------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self._run is not None and self._run.is_alive()

    @property
    def receipts(self) -> list[Receipt]:
        """What was sent, the earliest first."""
        folder = self.home / "receipts"
        files = tuple(sorted(folder.glob("round-*.json")))
        if files != self._receipts[0]:
            self._receipts = files, read_all(folder)
        return self._receipts[1]

    @property
    def drawn(self) -> bool:
        """Whether there is a Generator of the designer's own."""
        return (self.home / "model" / CONFIG_FILE).exists()

    def join(self) -> None:
        """Take part, in the background, until ``stop``. What is missing becomes the notice."""
        with self._lock:
            if self.running:
                return
            self.notice = ""
            try:
                settings = self._complete()
                settings.save(self.home)
            except TROUBLE as error:
                self.notice = sentence(error)
                return
            self._stop.clear()
            self.stopping, self.state = False, State("starting", "getting ready")
            self._run = threading.Thread(target=self._take_part, args=[settings], name="companion")
            self._run.start()

    def stop(self, wait: bool = False) -> None:
        """Stop for now; ``join`` goes on where it was."""
        self._stop.set()
        self.stopping = self.running
        if wait and self._run:
            self._run.join(30)

    def leave(self) -> None:
        """Be no member any more, in the background."""
        threading.Thread(target=self._leave, name="leave").start()

    def _complete(self, anywhere: bool = False) -> Settings:
        """The answers, if they are all there. Raises CompanionError. ``anywhere``: nobody is asked, so no address is needed."""
        answers = self.answers
        if self.found is None or not self.found.drawings:
            raise CompanionError("There is no drawing yet: add some in step 1")
        if self.sheets and not self.accepted:
            raise CompanionError("Look at the sheets in step 1 first, and accept how they are cut")
        if anywhere:
            answers = replace(answers, server=answers.server or "https://localhost", name=answers.name or "designer")
        if not answers.name.strip():
            raise CompanionError("Write the name that others shall see, in step 2")
        if not answers.server.strip():
            raise CompanionError("Write the studio's address, in step 3; whoever runs it knows it")
        return answers.checked()

    def _take_part(self, settings: Settings) -> None:
        try:
            with Companion(self.home, settings) as companion:
                while not self._began(companion):
                    if self._stop.wait(WAIT):
                        return
                while not self._stop.wait(1):
                    self.state = companion.tend()
                    if self.state.phase == "refused":
                        raise CompanionError(self.state.text)
                    if companion.finished:
                        self.notice = f"{settings.rounds} rounds are done."
                        return
        except LookFirst:
            self.notice = "Look at the sheets in step 1 first, and accept how they are cut."
        except Stopped:
            pass
        except TROUBLE as error:
            self.notice = sentence(error)
        finally:
            self.state, self.stopping = None, False

    def _began(self, companion: Companion) -> bool:
        def progress(done: float, what: str) -> None:
            if self._stop.is_set():
                raise Stopped("stopped")
            self.state = State("preparing", what, done=done)

        try:
            companion.start(progress)
            return True
        except AwayError as error:
            self.state = State("away", str(error))
            return False

    def _leave(self) -> None:
        self.stop(wait=True)
        try:
            settings = self._complete(anywhere=True)
            self.notice = f"{Studio(settings).leave(self.home / 'key')} has left {settings.server}."
        except TROUBLE as error:
            self.notice = sentence(error)

    # -- drawing at home -------------------------------------------------------------------------------------------------

    def open_studio(self) -> None:
        """The studio at home, in a process of its own, which ends with this one."""
        if self._studio and self._studio.poll() is None:
            return
        if not self.drawn:
            self.notice = "There is no Generator of your own yet: it is made in the first round."
            return
        log = self.home / "window" / "studio.log"
        log.unlink(missing_ok=True)
        self._studio = subprocess.Popen(
            [sys.executable, "-I", str(KEEPER), str(log), sys.executable, "-m", "studio.companion.home", "--home", str(self.home),
             "--no-browser"],
            cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._find_studio, args=[log, self._studio], name="studio").start()

    def _find_studio(self, log: Path, process: subprocess.Popen) -> None:
        self.studio = "opening"
        while process.poll() is None:
            found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text(errors="replace")) if log.exists() else None
            if found:
                self.studio = found[0]
                break
            time.sleep(0.3)
        process.wait()
        self.studio = ""

    def close(self) -> None:
        """End everything that runs here."""
        self.stop(wait=True)
        if self._studio and self._studio.poll() is None:
            self._studio.terminate()
            self._studio.wait(15)
        self._worker.shutdown(wait=False, cancel_futures=True)


def sentence(error: Exception) -> str:
    """An error as a person reads it."""
    if isinstance(error, OSError):
        return f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


def plain_name(name: str) -> str:
    """A file name from a browser -> one that any file system takes, and that is nothing but a name."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/").rsplit("/", 1)[-1])
    name = "".join(c if c.isprintable() and c not in '<>:"|?*' else "_" for c in name).strip(" ").lstrip(".") or "drawing"
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
