"""What a designer brings, before anything is learned from it: a look at the folder, and garments for drawings alone."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from fedgai.data.pairs import FEW, MOST, PairsError, Report, _inspect, listed, pictures, read_picture, thin, writing
from fedgai.data.scans import own_folders, shown
from fedgai.pipeline import SketchPipeline, on_white
from fedgai.shipped import EXAMPLES, WEIGHTS
from fedgai.vision.images import find_images

SIDE = 512  # px, long side of what pair_up writes

CELL, CELLS = 160, 60  # px of a thumbnail, and how many a contact sheet shows
ALIKE_BITS, ALIKE = 12, 0.8  # of 64 that may differ, and the correlation of what two drawings look like at 32 px
KINDS = {
    "pairs": "photographs and sketches",
    "sketches": "sketches only",
    "scans": "scans of sheets",
    "empty": "nothing to draw from",
}


@dataclass
class Drawings(Report):
    """What ``look`` found: ``pairs``, ``bad`` and ``notes`` as in Report, and

    Attributes:
        path: the folder.
        kind: "pairs", "sketches", "scans" or "empty".
        drawings: good sketches, or scans.
        twins: two files each that seem to show the same drawing.
        thumbnails: (file, picture of at most ``CELL`` px) of the first ``CELLS``.
    """

    path: Path = Path()
    kind: str = "empty"
    drawings: list[Path] = field(default_factory=list)
    twins: list[tuple[Path, Path]] = field(default_factory=list)
    thumbnails: list[tuple[Path, Image.Image]] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """What to know before joining, a sentence each."""
        count, said = len(self.drawings), []
        if self.kind == "empty":
            said.append("There is no drawing here. Put your drawings (JPEG or PNG) straight into the folder; or, if "
                        "you have photographs of the same garments, into sketches/ and photos/ with equal names; or "
                        "scans of whole sheets into scans/.")
        elif self.kind == "scans" and count:
            said.append("The sheets have to be cut into single drawings first; look at the preview of each.")
        elif count < FEW:
            said.append(f"{count} drawing{'s' * (count != 1)}, and at least {FEW} are asked for. Your hand is measured "
                        "as the average of your drawings, so few of them tell more of these garments than of you: "
                        "sketches in your style will look less like yours, and each single drawing shows more in "
                        "what is shared.")
        if self.twins:
            said.append(f"{len(self.twins)} of these look like the same drawing as another. Keep one of each, or it "
                        "counts twice.")
        return said

    def __str__(self) -> str:
        what = {"pairs": "photographs with their sketches", "scans": "scanned sheets"}.get(self.kind, "drawings")
        lines = [f"{self.path}: {KINDS[self.kind]}", f"{len(self.drawings):,} good {what}, {len(self.bad):,} bad files"]
        lines += listed(self.bad + self.notes)
        lines += listed([(b, f"it looks like {a.name}") for a, b in self.twins])
        return shown("\n".join(lines + self.warnings))


def look(path: str | Path, progress: Callable[[int, int, Path], None] | None = None) -> Drawings:
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
    found, seen, opened, expected = Drawings(path=path), {}, 0, 0
    entries = {f.name for f in pictures(path, Report(), folders=True)}

    def visit(file: Path, image: Image.Image) -> None:
        nonlocal opened
        opened += 1
        if found.kind != "pairs" or file.parent.name == "sketches":
            seen[file] = _fingerprint(image)
            if len(found.thumbnails) < CELLS:
                found.thumbnails.append((file, _thumbnail(image)))
        if progress:
            progress(opened, max(opened, expected), file)

    if {"photos", "sketches"} <= entries and pictures(path / "photos", Report()):  # an empty photos/ is none
        found.kind = "pairs"
        expected = sum(min(MOST, len(pictures(path / name, Report()))) for name in entries & {"photos", "sketches", "guides"})
        report = _inspect(path, visit)
        found.pairs, found.bad, found.notes = report.pairs, report.bad, report.notes
        found.drawings = [sketch for _, sketch in report.pairs]
    else:
        inside = next((name for name in ("sketches", "scans") if name in entries), None)
        files = pictures(path / inside if inside else path, found)
        found.bad = [(file, "it has no sketches/ beside it: the drawings of these garments, with the photographs' names")
                     if file == path / "photos" else (file, reason) for file, reason in found.bad]  # fmt: skip
        if inside == "scans":
            files = [file for file in files if file.suffix.lower() != ".json"]  # layouts
        if inside == "sketches" and "scans" in entries:
            found.notes.append((path / "scans", "it is left out, because there is sketches/: one kind at a time"))
        expected = len(files := thin(files, path, found))
        for file in files:
            image = read_picture(file, found)
            if image is not None:
                found.drawings.append(file)
                visit(file, image)
        if found.drawings or (inside == "scans" and files):
            found.kind = inside or "sketches"
    found.twins = _twins({file: seen[file] for file in found.drawings if file in seen}) if found.kind != "scans" else []
    return found


def contact_sheet(found: Drawings, columns: int = 8) -> Image.Image:
    """The first ``CELLS`` pictures, each with its name; then bad files, crossed, as many as there is room for."""
    cells: list[tuple[Path, Image.Image | None]] = [*found.thumbnails]
    marked = {file for file, _ in found.bad}
    cells = [*cells, *((file, None) for file in sorted(marked - {f for f, _ in cells}))]
    room = CELLS - min(len(marked), CELLS // 3)
    cells = (cells[: min(room, len(found.thumbnails))] + cells[len(found.thumbnails) :])[:CELLS]
    step, font = (CELL + 16, CELL + 36), cv2.FontFace("sans")  # it has letters that Pillow's own lacks
    page = Image.new("RGB", (step[0] * min(columns, max(1, len(cells))), step[1] * max(1, -(-len(cells) // columns))),
                     (236, 236, 236))
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
        name = unicodedata.normalize("NFC", shown(file.name))
        while cv2.getTextSize((0, 0), name, (0, 0), font, 12, 400)[2] > CELL:
            name = name[:-2].removesuffix("…") + "…"
        names.append((name, (x, y + CELL + 16), (200, 30, 30) if file in marked else (40, 40, 40)))
    written = np.array(page)
    for name, place, color in names:
        cv2.putText(written, name, place, color, font, 12, 400)
    return Image.fromarray(written)


def pair_up(drawings: Sequence[Path], out: str | Path, garments: str | Path = EXAMPLES, *,
            model: str | Path = WEIGHTS, progress: Callable[[int, int], None] | None = None) -> Report:
    """Drawings without photographs -> a folder of pairs to train on.

    Beside each of the designer's drawings lies the photograph of some public garment, and a guide: that garment, drawn
    by the model in the designer's own signature, as measured over all of the drawings. What is learned from that:

    - the hand: "real" for the Discriminator, the Gram matrices and the signature are the true drawings, and only those;
    - the garment: that a drawing shows the photograph's collar and pockets is held to the guide, hence to what the
      model could do before. How this designer translates a garment (what they leave out, where a fold becomes a line)
      cannot be learned without photographs of the garments that were drawn: pairs teach more.

    A guide is never shown to the Discriminator: it would learn the model's hand for the designer's.

    Args:
        drawings: files of single drawings, from ``look``.
        out: gets ``photos/NNNN.jpg``, ``sketches/NNNN.png``, ``guides/NNNN.png``; those of an earlier run are replaced.
        garments: folder of photographs, used in turn. The more, the better: the eight that ship repeat soon.
        model: checkpoint that measures and draws.
        progress: called before each garment with its number from 0, and how many there are.
    Returns:
        the pairs, the drawings and photographs that could not be used, each with its reason.
    Raises:
        PairsError: no drawing or no garment, ``out`` holds something else, or it cannot be written.
        CheckpointError: the model cannot be loaded.
    """
    out, report = Path(out), Report()
    names = "photos", "sketches", "guides"
    if {(out / name).resolve() for name in names} & {file.resolve().parent for file in drawings}:
        raise PairsError(f"{shown(str(out))} holds these very drawings, which would be replaced: name another folder")
    folders = own_folders(out, *names)
    with writing(out):
        for file in [file for folder in folders for file in folder.iterdir() if file.stem.isdecimal()]:
            file.unlink()
    pipe, count = SketchPipeline.from_pretrained(model), 0

    def true_drawings() -> Iterator[Image.Image]:
        nonlocal count
        for file in drawings:
            if (image := read_picture(file, report)) is not None:
                image.thumbnail((2 * SIDE, 2 * SIDE))
                with writing(folders[1] / f"{count:04d}.png") as aside:
                    image.save(aside, "PNG")
                count += 1
                yield image

    try:
        own = pipe.signature(true_drawings(), "own")
        files = find_images(garments)
    except PairsError:
        raise
    except ValueError as error:  # nothing to measure, no pictures
        raise PairsError(f"these drawings cannot be paired up: {error}") from error
    contents = 0
    for number, file in enumerate(files):
        if contents == count:
            break
        if progress:
            progress(number, len(files))
        try:
            content = pipe.prepare(file, SIDE)
        except ValueError as error:  # ImageError or NoGarment
            report.bad.append((file, str(error)))
            continue
        photo = Image.fromarray(on_white(np.asarray(content.photo), content.mask))
        guide = pipe.draw(content, own.style)
        contents += 1
        for folder, ending in ((folders[0], "jpg"), (folders[2], "png")):
            first = folder / f"{contents - 1:04d}.{ending}"
            with writing(first) as aside:
                (photo if ending == "jpg" else guide).save(aside, "JPEG" if ending == "jpg" else "PNG", quality=95)
    if not contents:
        raise PairsError(f"no garment could be told from its background in any photograph of {garments}")
    for i in range(count):
        for folder, ending in ((folders[0], "jpg"), (folders[2], "png")):
            if i >= contents:  # the garments again
                with writing(folder / f"{i:04d}.{ending}") as aside:
                    shutil.copyfile(folder / f"{i % contents:04d}.{ending}", aside)
        report.pairs.append((folders[0] / f"{i:04d}.jpg", folders[1] / f"{i:04d}.png"))
        report.guides.append(folders[2] / f"{i:04d}.png")
    return report


def _thumbnail(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((CELL, CELL))
    return small


def _fingerprint(image: Image.Image) -> tuple[int, np.ndarray]:
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


def _twins(prints: dict[Path, tuple[int, np.ndarray]]) -> list[tuple[Path, Path]]:
    """Each file that looks like an earlier one, with that one first."""
    files, first = list(prints), {}
    bits = np.array([prints[file][0] for file in files], np.uint64)
    for i, file in enumerate(files):
        near = np.bitwise_count(bits[i] ^ bits[i + 1 :]) <= ALIKE_BITS
        for j in np.flatnonzero(near) + i + 1 if i not in first else ():
            if prints[file][1] @ prints[files[j]][1] >= ALIKE:
                first.setdefault(int(j), i)
    return [(files[i], files[j]) for j, i in first.items()]
