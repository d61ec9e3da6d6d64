"""Sheets to drawings: scans, or photographs by phone, of pages with several drawings become single ones, on white.

    picture -> sheet, upright and white -> groups of ink, a box each -> one picture a drawing

What was found is a ``Layout``, which ``prepare_scans`` keeps in a JSON file beside the scan. A person, or a window, may
change it; the next run cuts by it. Its boxes count in pixels of the upright sheet, which is what ``preview`` shows.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fedgai.data.listing import FolderError, list_pictures
from fedgai.data.pairs import PairsError, Report, count, read, writing
from fedgai.text import printable
from fedgai.vision import sheets
from fedgai.vision.paper import dark_on_light, is_light_on_dark

MADE = ".made-by-fedgai"  # lies where we write pictures, and so may replace what is there
SIDE = 3072  # px that a sheet's long side keeps at least: its drawings are small parts of it
MARGIN = 0.015  # paper around a drawing, in long sides of the sheet
HELP = (
    "keep: false drops a box; boxes with the same drawing number become one drawing; box is left, top, right, "
    "bottom in pixels of the upright sheet; boxes: null looks for them again"
)


@dataclass(frozen=True)
class Box:
    """One group of ink.

    Attributes:
        box: left, top, right, bottom in px of the upright sheet.
        drawing: its number; boxes with the same number become one drawing.
        keep: false drops it.
    """

    box: tuple[int, int, int, int]
    drawing: int
    keep: bool = True


@dataclass(frozen=True)
class Layout:
    """Where a sheet's drawings are.

    Attributes:
        size: (width, height) of the picture, px.
        angle: degrees clockwise by which the sheet lies turned in the picture.
        corners: of the sheet in the picture, px, from the top left one clockwise; None where no outline is clear.
        boxes: on the upright sheet, in reading order; None where they are still to be looked for.
    """

    size: tuple[int, int]
    angle: float = 0.0
    corners: tuple[tuple[float, float], ...] | None = None
    boxes: tuple[Box, ...] | None = None

    def upright(self) -> tuple[np.ndarray, tuple[int, int]]:
        """(3, 3) homography from the picture's px to the upright sheet's, and the upright sheet's (width, height)."""
        if self.corners is not None:
            return sheets.flatten(np.asarray(self.corners, np.float32), self.size)
        (width, height), angle = self.size, math.radians(self.angle)
        cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
        size = round(width * cos + height * sin), round(width * sin + height * cos)
        turn = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), self.angle, 1))
        turn[:, 2] += np.array([(size[0] - width) / 2, (size[1] - height) / 2])
        return np.vstack([turn, (0, 0, 1)]), size

    def scaled(self, size: tuple[int, int]) -> Layout:
        """The same layout of the same picture, read at another size: (width, height) in px."""
        across, down = size[0] / self.size[0], size[1] / self.size[1]
        if size == self.size or abs(across / down - 1) > 0.02:
            return self
        boxes = self.boxes and tuple(
            replace(b, box=(round(b.box[0] * across), round(b.box[1] * down), round(b.box[2] * across), round(b.box[3] * down)))
            for b in self.boxes
        )
        corners = self.corners and tuple((x * across, y * down) for x, y in self.corners)
        return replace(self, size=size, boxes=boxes, corners=corners)

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """Raises ValueError, with what is wrong, for text that is not a layout."""
        try:
            d = json.loads(text)
            boxes, corners = d["boxes"], d["corners"]
            if boxes is not None:
                boxes = tuple(Box(_box(b["box"]), int(b["drawing"]), b.get("keep", True) is True) for b in boxes)
            if corners is not None:
                corners = tuple((float(x), float(y)) for x, y in corners)
            width, height = map(int, d["size"])
            layout = cls((width, height), float(d["angle"]), corners, boxes)
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"something is missing or of the wrong kind ({error})") from error
        if not math.isfinite(layout.angle):
            raise ValueError("the angle is a number of degrees")
        if corners is not None and (len(corners) != 4 or not cv2.isContourConvex(np.asarray(corners, np.float32))):
            raise ValueError("the corners are the sheet's four, clockwise")
        edges = [x for place in (*(b.box for b in boxes or ()), *(corners or ())) for x in place]
        if any(abs(x) > 4 * max(layout.size) for x in edges):  # a slip of the pen would ask for terabytes
            raise ValueError("a box or a corner lies far off the sheet")
        return layout


@dataclass(frozen=True)
class SheetDrawing:
    """One drawing of a sheet.

    Attributes:
        image: RGB, on white paper, in its natural proportions.
        box: left, top, right, bottom in px of the upright sheet, margin included.
        outline: the box's corners in px of the picture, (x, y) each, from the top left one clockwise.
        angle: degrees clockwise by which it lies turned in the picture.
    """

    image: Image.Image
    box: tuple[int, int, int, int]
    outline: tuple[tuple[float, float], ...]
    angle: float


@dataclass
class Scans(Report):
    """What ``prepare_scans`` did: ``bad`` and ``notes`` as in Report, and

    Attributes:
        sheets: scans that were cut.
        drawings: files of single drawings.
        previews: a picture a sheet, with its numbered boxes.
    """

    sheets: list[Path] = field(default_factory=list)
    drawings: list[Path] = field(default_factory=list)
    previews: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        return self.in_words(
            f"{count(len(self.drawings), 'drawing')} on {count(len(self.sheets), 'sheet')}, {count(len(self.bad), 'bad file')}"
        )


def _box(values: Sequence[Any]) -> tuple[int, int, int, int]:
    """Raises ValueError for anything but four numbers."""
    if len(values) != 4:
        raise ValueError("a box has four numbers")
    left, top, right, bottom = (round(float(value)) for value in values)
    return left, top, right, bottom


def own_folders(out: Path, *names: str) -> list[Path]:
    """Folders of ``out`` to write into, made where they are missing. What lies in them is from an earlier run.

    Raises:
        PairsError: they hold what was not made here, which may be a designer's only copy; or cannot be written.
    """
    folders, mark = [out / name for name in names], out / MADE
    with writing(out):
        if not mark.exists() and any(folder.exists() and any(folder.iterdir()) for folder in folders):
            raise PairsError(
                f"{printable(str(out))} holds pictures of another kind, which would be replaced: name an empty folder"
            )
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return folders


def find(image: Image.Image, layout: Layout | None = None) -> Layout:
    """Look for a sheet and its drawings.

    Args:
        image: RGB, of a sheet that is lighter than its drawings and than what it lies on, or darker than both.
        layout: keep this one's angle and corners, and look for drawings only.
    """
    if layout is None:
        rgb = dark_on_light(np.asarray(image))
        layout = Layout(image.size, corners=sheets.corners(rgb))
        if layout.corners is None:
            layout = replace(layout, angle=sheets.skew(sheets.ink(sheets.whiten(rgb))))
        else:
            (ax, ay), (bx, by), (cx, cy), (dx, dy) = layout.corners
            layout = replace(layout, angle=round(math.degrees(math.atan2(by + cy - ay - dy, bx + cx - ax - dx)), 2))
    sheet = _upright(image, layout)
    _, boxes = sheets.groups(sheets.ink(sheet))
    scale = max(sheet.shape) / sheets.work_side(sheet)
    boxes = [tuple(round(edge * scale) for edge in box) for box in sheets.reading_order(boxes)]
    return replace(layout, boxes=tuple(Box(box, number) for number, box in enumerate(boxes, 1)))


def split(image: Image.Image, layout: Layout | None = None) -> list[SheetDrawing]:
    """Cut a sheet into its drawings.

    Args:
        image: RGB scan or photograph.
        layout: what ``find`` said, corrected or not; ``find`` is asked where there is none, or one without boxes.
    """
    if layout is None or layout.boxes is None:
        layout = find(image, layout)
    sheet, back = _upright(image, layout), np.linalg.inv(layout.upright()[0])
    labels, groups = sheets.groups(sheets.ink(sheet))
    height, width = sheet.shape[:2]
    scale, margin = max(sheet.shape) / sheets.work_side(sheet), MARGIN * max(sheet.shape)
    drawings = []
    kept = [box for box in layout.boxes or () if box.keep]
    for number in sorted({box.drawing for box in kept}):
        edges = np.array([box.box for box in kept if box.drawing == number])
        whole = *edges[:, :2].min(0).tolist(), *edges[:, 2:].max(0).tolist()
        left, top = (max(0, round(edge - margin)) for edge in whole[:2])
        right, bottom = (min(end, round(edge + margin)) for edge, end in zip(whole[2:], (width, height), strict=True))
        if min(right - left, bottom - top) < 16:
            continue  # a corrected box that lies off the sheet
        picture = sheet[top:bottom, left:right].copy()
        own = [i for i, box in enumerate(groups, 1) if sheets.share(box, tuple(edge / scale for edge in whole)) > 0.5]
        if own:  # else the box was laid by hand, on a part or on something that did not look like a drawing
            x, y = (
                np.minimum(np.arange(a, b) / scale, n - 1).astype(int)
                for a, b, n in ((left, right, labels.shape[1]), (top, bottom, labels.shape[0]))
            )
            near = labels[np.ix_(y, x)]
            picture[(near != 0) & ~np.isin(near, own)] = 255  # a neighbour that reaches in, a note, a hole
        corners = np.asarray([[[left, top], [right, top], [right, bottom], [left, bottom]]], np.float64)
        outline = cv2.perspectiveTransform(corners, back)[0].round(1).tolist()
        drawings.append(
            SheetDrawing(Image.fromarray(picture), (left, top, right, bottom), tuple(map(tuple, outline)), layout.angle)
        )
    return drawings


def preview(image: Image.Image, layout: Layout, side: int = 1600) -> Image.Image:
    """The upright white sheet, ``side`` px long at most, with its boxes: numbered ones are kept, crossed dropped."""
    page = Image.fromarray(_upright(image, layout))
    scale = min(1.0, side / max(page.size))
    page = page.resize([max(1, round(edge * scale)) for edge in page.size], Image.Resampling.LANCZOS)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(max(12, max(page.size) // 40))
    for box in layout.boxes or ():
        left, top, right, bottom = (edge * scale for edge in box.box)
        (left, right), (top, bottom) = sorted((left, right)), sorted((top, bottom))
        color = (168, 64, 45) if box.keep else (170, 170, 170)
        pen.rectangle((left, top, right, bottom), outline=color, width=3)
        if not box.keep:
            pen.line((left, top, right, bottom), color, 3)
            pen.line((left, bottom, right, top), color, 3)
            continue
        pen.rectangle(pen.textbbox((left + 6, top + 4), str(box.drawing), font), fill="white")
        pen.text((left + 6, top + 4), str(box.drawing), color, font)
    return page


def prepare_scans(folder: str | Path, out: str | Path, progress: Callable[[int, int, Path], None] | None = None) -> Scans:
    """Cut every sheet of a folder. Beside each scan stands its layout, ``NAME.json``: written by the first run, and
    honoured by the next ones, so that a person can correct it.

    Args:
        folder: of scans. One with another picture under the name of a layout is looked at again.
        out: gets ``sketches/NAME-01.png`` and so on, and ``previews/NAME.jpg``; those of an earlier run are replaced.
        progress: called before each sheet with its number from 0, how many there are, and its file.
    Returns:
        what was cut, and every bad file with its reason; a layout that cannot be understood is one, and is left alone.
    Raises:
        PairsError: the folder cannot be listed, ``out`` holds pictures that were not made here, or a file cannot be
            written.
    """
    folder, out, scans = Path(folder), Path(out), Scans()
    sketches, previews = own_folders(out, "sketches", "previews")
    try:
        files = scans.add(list_pictures(folder))
    except FolderError as error:
        raise PairsError(str(error)) from error
    stems = [file.stem for file in files]
    for number, file in enumerate(files):
        if progress:
            progress(number, len(files), file)
        if stems.count(file.stem) > 1:
            scans.bad.append((file, f"several scans have the name {file.stem}: rename all but one"))
            continue
        picture = read(file, scans, 0, SIDE)
        if picture is None:
            continue
        if picture.pages > 1:
            scans.notes.append((file, f"only the first of its {picture.pages} pages is cut: save each page as a file of its own"))
        if is_light_on_dark(np.asarray(picture.image)):
            scans.notes.append((file, "it is light on dark paper: its drawings are turned into dark lines on white paper"))
        try:
            layout = _layout(file, picture.image, scans)
        except (OSError, ValueError) as error:
            if isinstance(error, PairsError):
                raise
            scans.bad.append((_beside(file), f"it cannot be understood: {error}. Correct it, or delete it to start again"))
            continue
        drawings = _cut(file, picture.image, layout, sketches)
        with writing(previews / f"{file.stem}.jpg") as temp_path:
            preview(picture.image, layout).save(temp_path, "JPEG", quality=88)
        scans.drawings += drawings
        scans.previews.append(previews / f"{file.stem}.jpg")
        scans.sheets.append(file)
        if not drawings:
            scans.notes.append((file, f"no drawing was found on it; lay boxes by hand in {_beside(file).name}"))
    return scans


def _beside(scan: Path) -> Path:
    """Where a scan's layout is kept."""
    return scan.with_suffix(".json")


def _layout(file: Path, image: Image.Image, scans: Scans) -> Layout:
    """A scan's layout: a person's, or one that is made and kept now. Raises ValueError for one that cannot be understood."""
    beside, sha256 = _beside(file), hashlib.sha256(file.read_bytes()).hexdigest()
    layout = None
    if beside.exists():
        text = beside.read_text(encoding="utf-8")
        layout = Layout.from_json(text)
        if json.loads(text).get("sha256") == sha256:
            layout = layout.scaled(image.size)
        else:
            scans.notes.append((beside, "it was made for another picture of this name, so it was made again"))
            layout = None
    if layout is None or layout.boxes is None:
        layout = find(image, layout)
        meta = {"help": HELP, "sheet": printable(file.name), "sha256": sha256, **asdict(layout)}
        with writing(beside) as temp_path:
            temp_path.write_text(json.dumps(meta, indent=1, ensure_ascii=False), encoding="utf-8")
    return layout


def _cut(file: Path, image: Image.Image, layout: Layout, sketches: Path) -> list[Path]:
    """Save a sheet's drawings, in the place of those that were cut out of it before."""
    for old in sketches.iterdir():
        if re.fullmatch(re.escape(file.stem) + r"-\d{2,}\.png", old.name):
            with writing(old):
                old.unlink()
    saved = []
    for i, drawing in enumerate(split(image, layout), 1):
        saved.append(sketches / f"{file.stem}-{i:02d}.png")
        with writing(saved[-1]) as temp_path:
            drawing.image.save(temp_path, "PNG")
    return saved


def _upright(image: Image.Image, layout: Layout) -> np.ndarray:
    """The sheet, upright and white: (H, W, 3) uint8."""
    rgb, (matrix, size) = dark_on_light(np.asarray(image)), layout.upright()
    if layout.corners is not None:  # first off the table, whose light is not the paper's
        return sheets.whiten(cv2.warpPerspective(rgb, matrix, size, flags=cv2.INTER_CUBIC))
    if layout.angle == 0:
        return sheets.whiten(rgb)
    return cv2.warpPerspective(sheets.whiten(rgb), matrix, size, flags=cv2.INTER_CUBIC, borderValue=(255, 255, 255))
