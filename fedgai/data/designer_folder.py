"""What a designer brings, before anything is learned from it: a look at the folder, and a contact sheet of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fedgai.data.listing import SYSTEM, FolderError, describe, list_pictures, subfolder
from fedgai.data.pairs import FEW, MOST, PairsError, Report, count, inspect, is_drawn, listed, read, thin
from fedgai.text import printable
from fedgai.vision.images import Picture
from fedgai.vision.paper import dark_on_light, is_light_on_dark, is_on_white, is_ruled

CELL, CELLS = 160, 60  # px of a thumbnail, and how many a contact sheet shows
ALIKE_BITS, ALIKE = 12, 0.8  # of 64 that may differ, and the correlation of what two drawings look like at 32 px
KINDS = {
    "pairs": "photographs and sketches",
    "sketches": "sketches only",
    "scans": "scans of sheets",
    "empty": "nothing to draw from",
}
NAMED = frozenset({"photos", "sketches", "scans", "guides", "previews"})  # folders that hold something else than drawings
NOTHING = (
    "There is no drawing here. Put your drawings (JPEG or PNG) into this folder. If you have photographs of the same garments, "
    "put the drawings into sketches/ and the photographs into photos/, with equal names. Put scans of whole sheets into scans/."
)
CUT_FIRST = "The sheets are cut into single drawings first. Look at the preview of each sheet."
TOO_FEW = (
    "Your hand is measured as the average of your drawings. With few drawings, the average says more about these garments "
    "than about you: sketches in your style will look less like yours, and what you share says more about each single drawing."
)
Fingerprint = tuple[int, NDArray[np.float32]]


@dataclass
class DesignerFolder(Report):
    """What ``look`` found: ``pairs``, ``bad``, ``notes`` and ``left_out`` as in Report, and

    Attributes:
        path: the folder.
        kind: "pairs", "sketches", "scans" or "empty".
        drawings: files of good sketches, or scans. A TIFF of several pages is one file.
        pages: good drawings in all, each page of a TIFF counted.
        twins: two files each that seem to show the same drawing.
        coloured: drawings on paper that is not white.
        ruled: drawings on lined or squared paper.
        turned: drawings, or sheets, that are light on dark paper.
        thumbnails: (file, picture of at most ``CELL`` px) of the first ``CELLS``.
    """

    path: Path = Path()
    kind: str = "empty"
    drawings: list[Path] = field(default_factory=list)
    pages: int = 0
    twins: list[tuple[Path, Path]] = field(default_factory=list)
    coloured: int = 0
    ruled: int = 0
    turned: int = 0
    thumbnails: list[tuple[Path, Image.Image]] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """What to know before joining, a sentence each."""
        sentences = describe({reason: files for reason, files in self.left_out.items() if reason != SYSTEM})
        if self.kind == "empty":
            sentences.append(NOTHING)
        elif self.kind == "scans":
            sentences += [CUT_FIRST] if self.pages else []
        elif self.pages < FEW:
            sentences.append(f"{count(self.pages, 'drawing')}: please bring at least {FEW}. {TOO_FEW}")
        if self.coloured:
            sentences.append(
                f"{self.coloured} of these are on paper that is not white, or in shadow. The program makes the paper white "
                "before it measures your hand; a scan gives a better result."
            )
        if self.ruled:
            sentences.append(
                f"{self.ruled} of these seem to be on lined or squared paper. The program takes the paper's lines away before it "
                "measures your hand; plain paper gives a better result."
            )
        if self.turned:
            sentences.append(
                f"{self.turned} of these are light on dark paper. The program turns them into dark lines on white paper before "
                "it measures your hand, and the studio draws in your hand with dark lines on white."
            )
        if self.twins:
            sentences.append(
                f"{len(self.twins)} of these look like copies of another drawing. Keep one of each, or it counts twice."
            )
        return sentences

    def __str__(self) -> str:
        what = {"pairs": "good pair", "scans": "scanned sheet"}.get(self.kind, "good drawing")
        lines = [f"{self.path}: {KINDS[self.kind]}", f"{count(self.pages, what)}, {count(len(self.bad), 'bad file')}"]
        lines += listed(self.bad + self.notes)
        lines += listed([(b, f"it looks like {a.name}") for a, b in self.twins])
        lines += describe({reason: files for reason, files in self.left_out.items() if reason == SYSTEM})
        return printable("\n".join(lines + self.warnings), keep="\n")


class _Look:
    """The parts of a look at a folder: what was seen so far."""

    def __init__(self, found: DesignerFolder, progress: Callable[[int, int, Path], None] | None) -> None:
        self.found, self.progress = found, progress
        self.prints: dict[Path, Fingerprint] = {}
        self.opened, self.expected = 0, 0

    def visit(self, kind: str, file: Path, picture: Picture) -> None:
        """Take in a picture, of one of ``pairs.KINDS``."""
        image = picture.image
        self.opened += 1
        if kind == "sketch":
            pixels = np.asarray(image)
            turned = is_light_on_dark(pixels)
            self.found.turned += turned
            self.prints.setdefault(file, _fingerprint(Image.fromarray(dark_on_light(pixels)) if turned else image))
            if self.found.kind != "scans":
                self.found.coloured += not turned and not is_on_white(pixels)
                self.found.ruled += is_ruled(pixels)
            if len(self.found.thumbnails) < CELLS:
                self.found.thumbnails.append((file, _thumbnail(image)))
        if self.progress:
            self.progress(self.opened, max(self.opened, self.expected), file)

    def at_pairs(self) -> None:
        found = self.found
        names = [folder for name in ("photos", "sketches") if (folder := subfolder(found.path, name))]
        self.expected = sum(min(MOST, len(list_pictures(folder).pictures)) for folder in names)
        report = inspect(found.path, self.visit)
        found.pairs, found.bad, found.notes, found.left_out = report.pairs, report.bad, report.notes, report.left_out
        found.drawings = [sketch for _, sketch in report.pairs]
        found.pages = len(report.pairs)

    def at_drawings(self, inside: str) -> None:
        """At sketches or scans in a folder of this name, or straight in the designer's, which is ""."""
        found = self.found
        folder = (subfolder(found.path, inside) if inside else None) or found.path
        files = found.add(list_pictures(folder, without=frozenset() if inside else NAMED))
        files = thin(files, found.path, found)
        self.expected = len(files)
        for file in files:
            for image in drawings_in(file, found, single=inside == "scans"):
                if file not in found.drawings[-1:]:
                    found.drawings.append(file)
                found.pages += 1
                self.visit("sketch", file, Picture(image))
        if not found.drawings and not (inside == "scans" and files):
            found.kind = "empty"


def look(path: str | Path, progress: Callable[[int, int, Path], None] | None = None) -> DesignerFolder:
    """Look at a designer's folder of any kind, and recognise which: pairs (``photos/`` and ``sketches/``), sketches
    only (in ``sketches/``, or straight in the folder), or scans (in ``scans/``).

    One picture is in memory at a time, beside the thumbnails; of more than ``pairs.MOST``, so many are opened.

    Args:
        path: the folder.
        progress: called after each picture with how many were opened so far, about how many there are, and its file.
    Raises:
        PairsError: the folder is missing or cannot be opened. What is in it raises nothing.
    """
    path = Path(path)
    found = DesignerFolder(path=path)
    looking = _Look(found, progress)
    try:
        photos, sketches, scans = (subfolder(path, name) for name in ("photos", "sketches", "scans"))
        photographed = photos is not None and bool(list_pictures(photos).pictures)
        if photographed and sketches is not None:
            found.kind = "pairs"
            looking.at_pairs()
        else:
            found.kind = "scans" if scans and not sketches else "sketches"
            looking.at_drawings("sketches" if sketches else "scans" if scans else "")
            if photos is not None and sketches is None and (photographed or found.kind == "empty"):
                found.bad.append(
                    (photos, "it has no sketches/ beside it: the drawings of these garments, with the photographs' names")
                )
            if sketches and scans:
                found.notes.append((scans, "it is left out, because there is sketches/: one kind at a time"))
    except FolderError as error:
        raise PairsError(str(error)) from error
    found.twins = _twins({file: looking.prints[file] for file in found.drawings}) if found.kind != "scans" else []
    return found


def drawings_in(file: Path, report: Report, *, single: bool = False) -> Iterator[Image.Image]:
    """The drawings of a file that are not blank, RGB: one, or one on each page of a TIFF. The report names what is bad.

    Args:
        single: it is a sheet: only the first page counts, and the report says so; whether it is blank is seen later.
    """
    page, pages = 0, 1
    while page < pages:
        picture = read(file, report, page)
        if picture is None:
            return
        pages = picture.pages
        if single or is_drawn(picture, file, report, page):
            yield picture.image
        page += 1
        if single and pages > 1:
            report.notes.append((file, f"only the first of its {pages} pages is used: save each page as a file of its own"))
            return


def contact_sheet(found: DesignerFolder, columns: int = 8) -> Image.Image:
    """The first ``CELLS`` pictures, each with its name; then bad files, crossed, as many as there is room for."""
    cells: list[tuple[Path, Image.Image | None]] = [*found.thumbnails]
    marked = {file for file, _ in found.bad}
    cells = [*cells, *((file, None) for file in sorted(marked - {f for f, _ in cells}))]
    room = CELLS - min(len(marked), CELLS // 3)
    cells = (cells[: min(room, len(found.thumbnails))] + cells[len(found.thumbnails) :])[:CELLS]
    step, font = (CELL + 16, CELL + 36), cv2.FontFace("sans")  # it has letters that Pillow's own lacks
    page = Image.new(
        "RGB", (step[0] * min(columns, max(1, len(cells))), step[1] * max(1, -(-len(cells) // columns))), (236, 236, 236)
    )
    pen, names = ImageDraw.Draw(page), []
    for i, (file, picture) in enumerate(cells):
        x, y = i % columns * step[0] + 8, i // columns * step[1] + 8
        if picture is None:
            pen.rectangle((x, y, x + CELL, y + CELL), "white")
        else:
            page.paste(picture, (x + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2))
        if file in marked:
            pen.rectangle((x, y, x + CELL, y + CELL), outline=(200, 30, 30), width=3)
            pen.line((x, y, x + CELL, y + CELL), (200, 30, 30), 3)
            pen.line((x, y + CELL, x + CELL, y), (200, 30, 30), 3)
        name = printable(unicodedata.normalize("NFC", file.name))
        while cv2.getTextSize((0, 0), name, (0, 0), font, 12, 400)[2] > CELL:
            name = name[:-2].removesuffix("…") + "…"
        names.append((name, (x, y + CELL + 16), (200, 30, 30) if file in marked else (40, 40, 40)))
    written = np.array(page)
    for name, place, color in names:
        cv2.putText(written, name, place, color, font, 12, 400)
    return Image.fromarray(written)


def _thumbnail(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((CELL, CELL))
    return small


def _fingerprint(image: Image.Image) -> Fingerprint:
    """What a drawing looks like, whatever its paper's margins: 64 bits of its DCT, and (1024,) float32, normalised."""
    grey = 255 - np.asarray(_thumbnail(image.convert("L")), np.float32)
    rows, columns = (np.flatnonzero(grey.max(axis) > 60) for axis in (1, 0))
    if len(rows) and len(columns):
        grey = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    small = cv2.resize(cv2.GaussianBlur(grey, (0, 0), 1.5), (32, 32), interpolation=cv2.INTER_AREA)
    waves = cv2.dct(small)[:8, :8].ravel()
    bits = int.from_bytes(np.packbits(waves > np.median(waves)).tobytes(), "big")
    flat = small.ravel() - small.mean()
    return bits, flat / max(float(np.linalg.norm(flat)), 1e-6)


def _twins(prints: dict[Path, Fingerprint]) -> list[tuple[Path, Path]]:
    """Each file that looks like an earlier one, with that one first."""
    files = list(prints)
    first: dict[int, int] = {}
    bits = np.array([prints[file][0] for file in files], np.uint64)
    for i, file in enumerate(files):
        near = np.bitwise_count(bits[i] ^ bits[i + 1 :]) <= ALIKE_BITS
        for j in np.flatnonzero(near) + i + 1 if i not in first else ():
            if prints[file][1] @ prints[files[j]][1] >= ALIKE:
                first.setdefault(int(j), i)
    return [(files[i], files[j]) for j, i in first.items()]
