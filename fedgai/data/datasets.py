"""Public photographs in: from a folder of any layout to a designer's folder of pairs, drawn by an atelier or an edge detector.

What newcomers and experiments start from. Made for collections such as DeepFashion (Liu et al., 2016): thousands of
files in nested folders, masks and partition files beside them. Nothing is drawn twice: each photograph that was looked
at is a line of ``pairs.jsonl``, so that a second run goes on where the first stopped.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path, PurePath
from typing import IO

import cv2
import numpy as np
from PIL import Image

from fedgai.ateliers import ATELIERS, draw
from fedgai.data.drawn_pairs import Pen, draw_pair, save_pair
from fedgai.data.listing import SYSTEM_FILES, describe, list_pictures
from fedgai.data.pairs import PairsError, listed, writing
from fedgai.draughtsman import Draughtsman
from fedgai.errors import FedGAIError
from fedgai.model import DRAUGHTSMAN_FILE
from fedgai.shipped import WEIGHTS
from fedgai.text import printable
from fedgai.vision.edges import EDGES
from fedgai.vision.images import read_image

LOG = "pairs.jsonl"  # first line: how the folder is made; then one line for each photograph that was looked at
PARTITION = "list_eval_partition.txt"  # DeepFashion's: picture, ..., train | val | test | query | gallery
MASK = re.compile(
    r"(?:^|[\W\d_])(?:masks?|segm?|segments?|segmentations?|parsing|anno|annotations?|densepose|keypoints?"
    r"|landmarks?)(?:$|[\W\d_])",
    re.IGNORECASE,
)
CELL, PAIRS = 192, 24  # px of a thumbnail, and pairs on a contact sheet
MOST_FILES = 5_000_000  # public collections are large
Line = dict[str, str]


@dataclass
class Made:
    """What ``make_pairs`` did.

    Attributes:
        pairs: how many there are now.
        drawn: how many of them this run drew.
        left: photographs not looked at, because there are enough pairs.
        masks: files left out because of their names.
        categories: category -> pairs, the largest first.
        skipped: reason -> the photographs left out for it, of all runs.
        bad: files that may be pictures, each with the reason why it cannot be used.
        left_out: reason -> files and folders that are not pictures.
    """

    pairs: int = 0
    drawn: int = 0
    left: int = 0
    masks: list[str] = field(default_factory=list)
    categories: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    bad: list[tuple[Path, str]] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=dict)

    def __str__(self) -> str:
        before = self.pairs - self.drawn
        lines = [f"{self.pairs:,} pairs" + (f", {before:,} of them from an earlier run" if before else "")]
        if len(self.categories) > 1:
            largest = [f"{name} {count:,}" for name, count in self.categories.items()]
            lines.append("  " + ", ".join(largest[:12]) + (f", and {len(largest) - 12} more" if len(largest) > 12 else ""))
        for reason, files in sorted(self.skipped.items(), key=lambda item: -len(item[1])):
            lines.append(f"{len(files):,} left out, {_first_of(files)}: {reason}")
        if self.masks:
            lines.append(f"{len(self.masks):,} not looked at, masks by their names: {_first_of(self.masks)}")
        return printable("\n".join([*lines, *listed(self.bad), *describe(self.left_out)]), keep="\n")


def _first_of(files: Sequence[str]) -> str:
    return files[0] if len(files) == 1 else f"{files[0]} and others"


def make_pairs(
    photos: str | Path,
    style: str,
    out: str | Path,
    *,
    size: int = 512,
    limit: int | None = None,
    seed: int = 24,
    only: str | None = None,
    split: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Draw public photographs: every garment that can be cut out, on white, and a drawing of it.

    Args:
        photos: a folder; its pictures may lie any number of folders deep. Files whose names say that they are masks or
            annotations are left out.
        style: an atelier's name, in upper or lower case, or ``canny`` or ``xdog``.
        out: gets ``photos/``, ``sketches/`` with equal file names, ``contact.jpg``, and ``pairs.jsonl``, which says where each
            pair comes from.
        size: long side, 64 to 1024 px.
        limit: stop at so many pairs. They are chosen by ``seed`` and evenly: at each level, from all folders in turn.
        only: pattern of paths below ``photos``, as ``"*_front.jpg"``.
        split: one part of the collection, as "train": by DeepFashion's ``list_eval_partition.txt``, or else by a folder
            of this name.
        progress: called after each photograph with how many of how many are done: of pairs, if there is a limit.
    Raises:
        PairsError: ``out`` holds something else, or cannot be written.
        FedGAIError: no such style, no such pictures, no garment in any, or a size out of range.
    """
    photos, out, pen = Path(photos), Path(out), _pen(style)
    if limit is not None and limit < 1:
        raise FedGAIError(f"a limit is a number of pairs, at least 1, not {limit}")
    name = _text(photos.resolve().name)
    settings = {"photos": name, "style": style.casefold(), "size": size, "seed": seed, "only": only, "split": split}
    done = _log(out, settings)
    files, made = _chosen(photos, out, seed, only, split)
    existing = sum((out / "photos" / f"{line['stem']}.jpg").exists() for line in done.values() if "stem" in line)
    made.pairs = existing
    todo = [file for file in files if _text(file.as_posix()) not in done]
    total = limit if limit is not None else existing + len(todo)
    with _open_log(out) as log:
        if not log.tell():
            _append(log, out, settings)
        for number, file in enumerate(todo):
            if made.pairs == limit:
                made.left = len(todo) - number
                break
            line = _draw(photos, file, out, size, pen)
            made.pairs += "stem" in line
            made.drawn += "stem" in line
            _append(log, out, line)
            done[line["file"]] = line
            if progress:
                progress(made.pairs if limit is not None else existing + number + 1, total)
    _count(made, done.values())
    if made.pairs:
        with writing(out / "contact.jpg") as temp_path:
            contact_sheet(out, [line for line in done.values() if "stem" in line]).save(temp_path, "JPEG", quality=90)
    return made


def _open_log(out: Path) -> IO[str]:
    """To append to, in a folder that has room for pairs."""
    with writing(out / LOG):
        for folder in (out / "photos", out / "sketches"):
            folder.mkdir(parents=True, exist_ok=True)
        return (out / LOG).open("a", encoding="utf-8")


def _draw(photos: Path, file: PurePath, out: Path, size: int, pen: Pen) -> Line:
    """Draw one photograph and save the pair -> its line of the log: with a stem, or with why it was skipped."""
    line = {"file": _text(file.as_posix()), "category": _category(file)}
    try:
        photo, sketch = draw_pair(photos / file, size, pen)
    except (ValueError, cv2.error) as error:  # ImageError or NoGarment, or what OpenCV cannot do
        return line | {"skipped": " ".join(str(error).split())}
    stem = _stem(file)
    save_pair(out, stem, photo, sketch)
    return line | {"stem": stem}


def _count(made: Made, lines: Collection[Line]) -> None:
    """Categories and reasons of all lines, of this run and of earlier ones."""
    made.categories = dict(Counter(line["category"] for line in lines if "stem" in line).most_common())
    alike: dict[str, str] = {}  # a reason may have numbers in it: it counts as the first of its kind
    for line in lines:
        if "skipped" in line:
            reason = alike.setdefault(re.sub(r"[\d.,]+", "", line["skipped"]), line["skipped"])
            made.skipped.setdefault(reason, []).append(line["file"])


def contact_sheet(out: Path, lines: Sequence[Line]) -> Image.Image:
    """Photograph and drawing side by side with their category, of ``PAIRS`` pairs evenly taken from all."""
    lines = [line for line in lines if (out / "photos" / f"{line['stem']}.jpg").exists()]
    lines = [lines[i] for i in sorted(set(np.linspace(0, len(lines) - 1, PAIRS).round().astype(int)))] if lines else []
    wide, high, font = 2 * CELL + 24, CELL + 32, cv2.FontFace("sans")
    columns = min(4, max(1, len(lines)))
    page = Image.new("RGB", (columns * wide, max(1, -(-len(lines) // columns)) * high), "white")
    captions = []
    for i, line in enumerate(lines):
        x, y = i % columns * wide + 8, i // columns * high + 4
        for j, file in enumerate((out / "photos" / f"{line['stem']}.jpg", out / "sketches" / f"{line['stem']}.png")):
            if file.exists():
                picture = read_image(file)
                picture.thumbnail((CELL, CELL))
                page.paste(picture, (x + j * CELL + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2))
        captions.append((line["category"][-48:], (x, y + CELL + 18)))
    written = np.array(page)
    for caption, place in captions:
        cv2.putText(written, caption, place, (90, 90, 90), font, 12, 400)
    return Image.fromarray(written)


def spread(files: Sequence[PurePath], seed: int) -> list[PurePath]:
    """Relative paths in a seeded order of which every beginning is spread evenly: at each level, over all folders."""

    def order(depth: int, inside: list[PurePath], name: str) -> Iterator[PurePath]:
        own = [file for file in inside if len(file.parts) == depth + 1]
        below = groupby((file for file in inside if len(file.parts) > depth + 1), key=lambda file: file.parts[depth])
        rng = random.Random(f"{seed} {name}")
        rng.shuffle(own)
        turns = [iter(own), *(order(depth + 1, list(group), f"{name}/{part}") for part, group in below)]
        rng.shuffle(turns)
        while turns:
            waiting = []
            for turn in turns:
                if (file := next(turn, None)) is not None:
                    yield file
                    waiting.append(turn)
            turns = waiting

    return list(order(0, sorted(files), ""))


def _pen(style: str) -> Pen:
    if style.casefold() in EDGES:
        return EDGES[style.casefold()]
    hands = {name.casefold(): hand for name, hand in ATELIERS.items()}
    if style.casefold() not in hands:
        raise FedGAIError(f"no atelier {style!r}: there are {', '.join([*ATELIERS, *EDGES])}")
    draughtsman = Draughtsman.load(WEIGHTS / DRAUGHTSMAN_FILE)
    return lambda photo, mask: draw(photo, hands[style.casefold()], mask=mask, draughtsman=draughtsman)


def _chosen(photos: Path, out: Path, seed: int, only: str | None, split: str | None) -> tuple[list[PurePath], Made]:
    """Paths below ``photos`` in the order in which they are drawn."""
    made, kept = Made(), []
    top, result, part = photos.resolve(), out.resolve(), _part(photos, split) if split else None
    listing = list_pictures(photos, most=MOST_FILES)
    made.bad, made.left_out = listing.bad, listing.left_out
    if not listing.pictures:
        raise FedGAIError(f"{printable(str(photos))} holds no pictures: name a folder with JPEG or PNG files.")
    for file in listing.pictures:
        inside = PurePath(file.relative_to(photos))
        if (top / inside).is_relative_to(result) or (part and not part(inside)):
            continue
        if only and not fnmatchcase(inside.as_posix(), only):
            continue
        if any(MASK.search(name) for name in (*inside.parts[:-1], inside.stem)):
            made.masks.append(_text(inside.as_posix()))
            continue
        kept.append(inside)
    if not kept:
        options = [f"--only {only!r}"] if only else []
        options += [f"--split {split}"] if split else []
        raise FedGAIError(f"{photos} holds no photographs {'for ' + ' '.join(options) if options else 'besides masks'}")
    return spread(kept, seed), made


def _part(photos: Path, split: str) -> Callable[[PurePath], bool]:
    """Whether a path belongs to a part of the collection."""
    places = [top / name / PARTITION for top in (photos, photos.resolve().parent) for name in ("", "Eval", "Anno")]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        if not any(split in folder.parts for folder in (d.relative_to(photos) for d in photos.rglob("*") if d.is_dir())):
            raise FedGAIError(f"there is no {PARTITION} and no folder {split!r} in {photos}: leave out --split")
        return lambda inside: split in inside.parts[:-1]
    named: set[str] = set()
    parts: Counter[str] = Counter()
    for words in (line.split() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()[2:]):
        if len(words) > 1:
            parts[words[-1]] += 1
            if words[-1] == split:
                named.update(words[:-1])
    if split not in parts:
        raise FedGAIError(f"{file} has no part {split!r}: there are {', '.join(list(parts)[:9])}")
    top = photos.resolve().parts

    def belongs(inside: PurePath) -> bool:  # its paths begin anywhere above the pictures
        whole = (*top, *inside.parts)
        return any("/".join(whole[i:]) in named for i in range(len(whole) - 1, max(-1, len(whole) - 8), -1))

    return belongs


def _category(file: PurePath) -> str:
    """The folders of a path without those of single garments, which have numbers for names: WOMEN/Dresses."""
    return _text("/".join(part for part in file.parts[:-1] if not re.search(r"\d{3}", part)) or ".")


def _stem(file: PurePath) -> str:
    """A name that no other file of the collection has, and that reads like its path."""
    readable = re.sub(r"\W+", "-", _text(file.with_suffix("").as_posix()))[-60:].strip("-")
    return f"{readable}-{hashlib.sha256(_text(file.as_posix()).encode()).hexdigest()[:8]}"


def _text(name: str) -> str:
    """A path as the log keeps it: on Linux a name may hold bytes that are not text."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _append(log: IO[str], out: Path, line: Mapping[str, object]) -> None:
    with writing(out / LOG):
        log.write(json.dumps(line, ensure_ascii=False) + "\n")
        log.flush()


def _log(out: Path, settings: dict[str, object]) -> dict[str, dict[str, str]]:
    """What an earlier run with the same settings looked at: file -> its line."""
    try:
        entries = [f.name for f in out.iterdir()] if out.exists() else []
    except OSError as error:
        raise PairsError(f"{printable(str(out))} cannot be opened as a folder ({error.strerror}): name another") from error
    if LOG not in entries:
        if [name for name in entries if name.lower() not in SYSTEM_FILES and not name.startswith(".")]:
            raise PairsError(f"{printable(str(out))} holds something else: name an empty folder, or one that does not exist")
        return {}
    try:
        text = (out / LOG).read_bytes()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):  # a kill left the last line cut short
            with (out / LOG).open("r+b") as file:
                file.truncate(whole)
        lines = [json.loads(line) for line in text[:whole].decode().split("\n")[:-1]]
        begun = lines.pop(0) if lines else settings
        other = [f"{name} {begun[name]}" for name in settings if begun[name] != settings[name]]
        done = {line["file"]: line for line in lines}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise PairsError(f"{printable(str(out / LOG))} cannot be understood ({error}): name another folder") from error
    if other:
        raise PairsError(f"{printable(str(out))} was begun with {', '.join(other)}: go on with that, or name another folder")
    return done
