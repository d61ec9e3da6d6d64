"""From a designer's folder, of any kind, to the folder of pairs that is trained on.

Everything is looked at here before anything starts, and nothing is made twice: HOME/prepared.json remembers what was made of
which files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from federation.designer.settings import CompanionError, Progress, Settings
from fedgai.data import designer_folder as drawings
from fedgai.data.designer_folder import DesignerFolder
from fedgai.data.listing import every_file, subfolder
from fedgai.data.pair_up import NO_SHAPE, pair_up
from fedgai.data.scans import prepare_scans
from fedgai.files import write_atomically
from fedgai.model import FedGAI
from fedgai.shipped import WEIGHTS
from fedgai.text import printable

PREPARED_FILE = "prepared.json"
EXPLAINED = {
    "pairs": "Photographs and drawings of the same garments. From these the companion also learns what you leave out, and how "
    "you draw a fold.",
    "sketches": "Drawings without photographs. From each of them the companion makes a picture of grey cloth, of the garment "
    "that the drawing shows. From your drawings alone it then refines your signature, learns its adapter and trains your own "
    "model. It cannot learn from them how dark cloth must be before you shade it: that takes photographs of the same garments.",
    "scans": "Scanned sheets. The companion straightens them, makes the paper white and cuts them into single drawings. You "
    "look at these before they are used. After that they are used like drawings without photographs.",
}
"""What the companion does with each kind of folder, for the designer."""


class LookFirst(CompanionError):  # noqa: N818 - nothing went wrong
    """Sheets were cut into drawings that the designer has not looked at yet: show the previews, then ``accept``.

    Attributes:
        previews: folder of one JPEG a sheet, with its numbered boxes.
        drawings: files of the single drawings.
        report: what was cut, and what could not be, for the designer.
    """

    def __init__(self, previews: Path, drawings: list[Path], report: str) -> None:
        super().__init__(
            f"{len(drawings)} drawings were cut out of your sheets. Look at the pictures in "
            f"{printable(str(previews))}, then accept them (--accept-scans). If a frame is wrong, correct the "
            ".json file beside the scan"
        )
        self.previews, self.drawings, self.report = previews, drawings, report


def look(settings: Settings, progress: Progress | None = None) -> DesignerFolder:
    """What is in the designer's folder, of any kind.

    Raises:
        CompanionError: there is nothing to train on.
        PairsError: the folder cannot be opened.
    """
    say = progress or _silent
    found = drawings.look(
        settings.data, lambda done, total, file: say(done / max(1, total), f"looking at {printable(file.name)}")
    )
    if not found.drawings:
        raise CompanionError(str(found) if found.bad else found.warnings[0])
    return found


def prepare(folder: Path, settings: Settings, progress: Progress | None = None, found: DesignerFolder | None = None) -> Path:
    """The folder of pairs to train on: the designer's own where it holds pairs, else HOME/pairs, made from their drawings.

    Scanned sheets are cut into HOME/scans first, and looked at. Made again only where the drawings changed, or the weights.

    Args:
        folder: HOME, see settings.py.
        settings: whose ``data`` counts.
        progress: of looking, cutting and making pictures, each from 0 to 1.
        found: of ``look``, where that was just done.
    Raises:
        LookFirst: sheets were cut that nobody has looked at.
        CompanionError, PairsError: there is nothing to train on, or it cannot be read or written.
    """
    say, data, out = progress or _silent, Path(settings.data), folder / "pairs"
    try:
        seen, made = _fingerprint(data), _prepared(folder).get("made", {})
        if made.get("seen") == seen and made["kind"] == "pairs":
            return data
        if made.get("seen") == seen and made.get("garments") == _paired(out):  # 0.1.0 paired them up otherwise
            return out
        found = found or look(settings, progress)
        if found.kind == "pairs":
            _remember(folder, made={"seen": seen, "kind": "pairs"})
            return data
        files = single_drawings(folder, found, say)
        say(None, "making your drawings ready")
        draughtsman = FedGAI.load(WEIGHTS).draughtsman
        assert draughtsman is not None  # the shipped weights have one
        what = "making pictures of the garments that your drawings show"
        report = pair_up(files, out, draughtsman, progress=lambda done, total: say(done / total, what))
        without = sum(reason == NO_SHAPE for _, reason in report.bad)
        left_out = f"; left out because no closed outline can be seen: {without}" if without else ""
        say(1.0, f"{len(report.pairs)} drawings are ready to be learned from{left_out}")
        _remember(folder, made={"seen": _fingerprint(data), "kind": found.kind, "garments": len(report.pairs)})
    except OSError as error:
        raise CompanionError(
            f"{error.filename or data} cannot be used ({error.strerror}): make room, or name another folder with --home"
        ) from error
    return out


def single_drawings(folder: Path, found: DesignerFolder, progress: Progress | None = None) -> list[Path]:
    """Files of the designer's drawings, one on each page: those of the folder, or those cut out of its scanned sheets.

    Args:
        folder: HOME, see settings.py.
        found: of ``look``.
        progress: of cutting.
    Raises:
        LookFirst: sheets were cut that nobody has looked at.
        CompanionError, PairsError, OSError: there is no drawing on the sheets, or they cannot be read or written.
    """
    return _cut(folder, found.path, progress or _silent) if found.kind == "scans" else found.drawings


def accept(folder: Path) -> None:
    """Remember that the designer has looked at what ``LookFirst`` named, and that it is right.

    After a change to a scan or a layout, the drawings must be looked at again. Raises OSError if this cannot be written.
    """
    _remember(folder, accepted=_prepared(folder).get("cut", {}).get("layouts"))


def _silent(_: float | None, __: str) -> None:
    """Progress that is not shown."""


def _cut(folder: Path, data: Path, say: Progress) -> list[Path]:
    """The single drawings of the sheets in data/scans, where somebody has looked at them. Raises LookFirst, PairsError."""
    known = _prepared(folder)
    cut, out = known.get("cut", {}), folder / "scans"
    sheets = subfolder(data, "scans") or data / "scans"
    files = [out / "sketches" / name for name in cut.get("drawings", ())]
    if cut.get("seen") != _fingerprint(data) or not files or not all(file.exists() for file in files):
        scans = prepare_scans(sheets, out, lambda done, total, file: say(done / total, f"cutting up {printable(file.name)}"))
        if not scans.drawings:
            raise CompanionError(f"no drawing was found on these sheets. {scans}")
        files, layouts = scans.drawings, hashlib.sha256()
        for file in sorted(sheets.glob("*.json")):
            layouts.update(os.fsencode(file.name) + hashlib.sha256(file.read_bytes()).digest())
        cut = {
            "seen": _fingerprint(data),
            "drawings": [file.name for file in files],
            "layouts": layouts.hexdigest(),
            "report": str(scans),
        }
        _remember(folder, cut=cut)
    if known.get("accepted") != cut["layouts"]:
        raise LookFirst(out / "previews", files, cut["report"])
    return files


def _paired(folder: Path) -> int:
    """Pairs in a folder that ``pair_up`` filled; -1 where a file is missing."""
    photos, sketches = ({file.name for file in (folder / name).glob("*.png")} for name in ("photos", "sketches"))
    return len(photos) if photos == sketches else -1


def _fingerprint(data: Path) -> str:
    """Of a folder of drawings and of the weights that measure them: another one where a file comes, goes or changes."""
    files = [file for part in (data, WEIGHTS) if part.is_dir() for file in every_file(part)]
    known = [(os.fsencode(file).hex(), (about := file.lstat()).st_size, about.st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def _prepared(folder: Path) -> dict[str, Any]:
    """HOME/prepared.json: made (the pairs), cut (the sheets), accepted (the layouts that somebody has looked at)."""
    with contextlib.suppress(OSError, ValueError):  # none yet, or cut short: all is made again
        known = json.loads((folder / PREPARED_FILE).read_text(encoding="utf-8"))
        return known if isinstance(known, dict) else {}
    return {}


def _remember(folder: Path, **changes: Any) -> None:
    """Raises OSError where it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / PREPARED_FILE, json.dumps(_prepared(folder) | changes, indent=1).encode())
