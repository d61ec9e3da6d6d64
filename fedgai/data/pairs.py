"""A designer's folder of pairs: ``photos/`` and ``sketches/`` with equal file names, checked before anything starts."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fedgai.content import SIZES, look
from fedgai.data.kept_cutouts import KeptCutouts
from fedgai.data.listing import FolderError, Listing, describe, list_pictures, match, subfolder
from fedgai.draughtsman import Draughtsman
from fedgai.errors import FedGAIError
from fedgai.files import replacing
from fedgai.measure import SIDE as MEASURED_AT
from fedgai.text import printable
from fedgai.vision.cutout import NoGarment
from fedgai.vision.cutout import cut_out as garment_alpha
from fedgai.vision.decoding.appearance import SIDE
from fedgai.vision.images import LOCAL, ImageError, Picture, read_picture
from fedgai.vision.paper import has_ink, on_white_paper

log = logging.getLogger(__name__)

SMALLEST = 32  # px, the shorter side; below, a pair teaches nothing
FEW = 24  # pairs; a signature of fewer sketches than this is not to be relied on
MOST = 1000  # pairs; beyond, that many are used, evenly spread: 0.4 MB each, and a hand is known long before
SMALL_SIDE = 256  # px, of squares where drawings are no larger, as in the paper
LISTED = 20  # files named in a report, beyond which it only counts
SKEW = 0.03  # share by which the proportions of a photograph and its sketch may differ before it is noted


T = TypeVar("T")
Visit = Callable[[str, Path, Picture], None]  # "photo" or "sketch", a picture's file, and the picture


class PairsError(FedGAIError):
    """A folder that cannot be trained on. The message names every bad file with the reason."""


@dataclass
class Report:
    """What ``check`` found.

    Attributes:
        pairs: good (photo, sketch) files, sorted by stem.
        bad: each file that cannot be used, with the reason as a sentence.
        notes: what is usable but worth a look, with the reason.
        left_out: reason -> files and folders that are not pictures.
    """

    pairs: list[tuple[Path, Path]] = field(default_factory=list)
    bad: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.in_words(f"{len(self.pairs)} good pairs, {count(len(self.bad), 'bad file')}")

    def in_words(self, *head: str) -> str:
        """The whole report, a line each."""
        return printable("\n".join([*head, *listed(self.bad + self.notes), *describe(self.left_out)]), keep="\n")

    def add(self, listing: Listing) -> list[Path]:
        """Note what a listing could not use -> its pictures."""
        self.bad += listing.bad
        for reason, files in listing.left_out.items():
            self.left_out.setdefault(reason, []).extend(files)
        return listing.pictures


def check(path: str | Path) -> Report:
    """Open every file of a designer's folder, fully decoded. Never raises for what is in the folder, only reports it.

    Of more than ``MOST`` pairs, so many are opened, evenly spread; the report says so.

    Raises:
        PairsError: there is no ``photos/`` or no ``sketches/`` to look into, or the photographs are of other garments.
    """
    return inspect(Path(path), lambda *_: None)


class PairFolder(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """(photograph, sketch) pairs as tensors.

    Both are scaled so that the long side is ``size``, and centred on white paper of size x size. Decoded once, at
    construction, and kept as uint8: 0.4 MB a pair at 256 px, 1.6 MB at 512.

    Args:
        path: a folder with ``photos/`` and ``sketches/``.
        size: side of the square, px, divisible by 8.
        skip_bad: go on without the bad files, instead of refusing the folder.
        cut_out: put each photograph's garment on white paper; where no garment is found, the photograph stays as it is
            and ``report.notes`` says so.
        draughtsman: then photographs are what the studio shows its network (``content.look``): the garment without its
            print, with whole lines. Drawings that are learned so fit what is drawn later. Takes about 0.2 s a pair.
        most: pairs; of more, so many are used, evenly spread.
        kept: a folder to keep what the draughtsman's work gave, for the next time with the same photographs (``KeptCutouts``).

    Attributes:
        report: what was found.
        sha256: names these pixels, so that a resumed training can tell that the pairs are still the same.

    Raises:
        PairsError: a bad file (without ``skip_bad``), or no good pair at all.
    """

    def __init__(
        self,
        path: str | Path,
        size: int = 256,
        *,
        skip_bad: bool = False,
        cut_out: bool = False,
        draughtsman: Draughtsman | None = None,
        most: int = MOST,
        kept: Path | None = None,
    ) -> None:
        if size < SMALLEST or size % 8:
            raise FedGAIError(f"size is the side in pixels, at least {SMALLEST} and divisible by 8, not {size}")
        self.path, self.size, self.cut_out = Path(path), size, cut_out
        squares: dict[Path, NDArray[np.uint8]] = {}
        cutouts = None if kept is None or draughtsman is None else KeptCutouts(kept, draughtsman.sha256)

        def visit(kind: str, file: Path, picture: Picture) -> None:
            image = picture.image
            if kind == "photo" and draughtsman is not None:
                show, named = partial(as_shown, picture, size, draughtsman), image
                if picture.mask is not None:  # what it shows depends on the mask, too, so the name must
                    named = Image.merge("RGBA", (*image.split(), Image.fromarray((255 * picture.mask + 0.5).astype(np.uint8))))
                image = Image.fromarray(show() if cutouts is None else cutouts.picture(named, size, show))
            squares[file] = _square(_on_white_paper(image) if kind == "sketch" else image, size)

        self.report = inspect(self.path, visit, most)
        if cutouts is not None:
            cutouts.forget_others()
        if self.report.bad and not skip_bad:
            raise PairsError(f"{self.path}: {self.report}")
        if not self.report.pairs:
            raise PairsError(f"{self.path}: no pair to train on. {self.report}")
        if len(self) < FEW:
            log.warning("%s: %d pairs; %d or more are advised, fewer hardly tell a style", path, len(self), FEW)
        for photo, _ in self.report.pairs if cut_out else ():
            squares[photo] = self._on_paper(photo, squares[photo])
        self._photos = torch.from_numpy(np.stack([squares[photo] for photo, _ in self.report.pairs]))  # (N, S, S, 3)
        self._sketches = torch.from_numpy(np.stack([squares[sketch] for _, sketch in self.report.pairs]))
        digest = hashlib.sha256(self._photos.numpy().tobytes())
        digest.update(self._sketches.numpy().tobytes())
        self.sha256 = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.report.pairs)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        """Photograph and sketch, (3, size, size) float32 in [-1, 1] each; paper is 1."""
        return _to_tensor(self._photos[i]), _to_tensor(self._sketches[i])

    def sketch(self, i: int) -> Tensor:
        return _to_tensor(self._sketches[i])

    def _on_paper(self, file: Path, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        try:
            alpha = garment_alpha(photo)[:, :, None]
        except NoGarment as error:
            self.report.notes.append((file, f"kept with its background: {error}"))
            return photo
        return np.asarray(photo * alpha + 255 * (1 - alpha) + 0.5, np.uint8)


def training_side(path: str | Path) -> int:
    """Side of the squares to train on, px: that of the middle one of the drawings by size, from 256 up to the one that a hand is
    measured at, 512.

    A drawing that is made smaller has thinner lines than its hand's signature says. Trained on at 256 px, a model came 1.9 times
    as far from its hand as the house (``benchmarks.home --square 256``). Only the files' headers are read. A drawing whose header
    says nothing counts as large.

    Raises:
        PairsError: there is no folder of drawings.
    """
    sides = [SMALL_SIDE]
    for files in _by_stem(Path(path), "sketches", Report()).values():
        for file in files:
            try:
                with Image.open(file) as image:
                    sides.append(max(image.size))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                sides.append(MEASURED_AT)
    return min(MEASURED_AT, max(SMALL_SIDE, statistics.median_high(sides) // 8 * 8))


def count(number: int, what: str) -> str:
    """A number with its noun, as "1 drawing" or "1,000 drawings"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def listed(files: Sequence[tuple[Path, str]]) -> list[str]:
    """A line for each file and its reason, of which the first ``LISTED`` are named."""
    lines = [f"  {path}: {reason}" for path, reason in files[:LISTED]]
    return lines + ([f"  and {len(files) - LISTED:,} more"] if len(files) > LISTED else [])


def read(file: Path, report: Report, page: int | None = None, side: int = SIDE) -> Picture | None:
    """A picture of at least ``SMALLEST`` px on each side; None for one that cannot be used, which the report then names."""
    try:
        picture = read_picture(file, LOCAL, page, side)
    except ImageError as error:
        report.bad.append((file, str(error)))
        return None
    width, height = picture.image.size
    if min(width, height) < SMALLEST:
        report.bad.append((file, f"it is {width} x {height} px, the shorter side should be at least {SMALLEST} px"))
        return None
    return picture


def read_drawing(file: Path, report: Report) -> Picture | None:
    """A drawing, as ``read``: None for a blank one, too. Of a TIFF, the first page."""
    picture = read(file, report, 0)
    return picture if picture is not None and is_drawn(picture, file, report) else None


def is_drawn(picture: Picture, file: Path, report: Report, page: int = 0) -> bool:
    """Whether there is a drawing on the paper; else the report says what is wrong."""
    if has_ink(np.asarray(picture.image)):
        return True
    reason = "there is nothing to be seen on it: it is blank"
    if picture.unseen:
        reason = (
            "it cannot be seen on white paper, because its ink is white and its background is transparent: give it dark ink, "
            "or a dark background"
        )
    report.bad.append((file, f"page {page + 1}: {reason}" if page else reason))
    return False


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A name to write to, which becomes ``path`` only when all went well: a full disk leaves no half of a file.

    Raises:
        PairsError: for any OSError, in one line with what to do.
    """
    try:
        with replacing(path) as temp_path:
            yield temp_path
    except OSError as error:
        raise PairsError(
            f"{printable(str(path))} cannot be written ({error.strerror or error}): make room, or name another "
            "folder for what is made"
        ) from error


def thin(stems: list[T], path: Path, report: Report, most: int = MOST) -> list[T]:
    """At most so many, evenly spread, with a note where some were left out."""
    if len(stems) <= most:
        return stems
    report.notes.append((path, f"it holds {len(stems):,} drawings; {most:,} of them, evenly spread, are used"))
    return [stems[i] for i in np.linspace(0, len(stems) - 1, most).round().astype(int)]


def inspect(path: Path, visit: Visit, most: int = MOST) -> Report:
    """``check``, handing each decoded picture to ``visit``, so that nothing has to be decoded twice."""
    report = Report()
    photos, sketches = (_by_stem(path, name, report) for name in ("photos", "sketches"))
    if subfolder(path, "guides"):  # release 0.1.0 wrote it where there were drawings alone
        raise PairsError(
            f"{printable(str(path))} has a folder guides/, so its photographs are of other garments than its sketches: name the "
            "folder that the drawings themselves are in"
        )
    partners = _partners(photos, sketches, report)
    used = set(thin(sorted(partners), path, report, most))
    for stem in sorted(partners):
        if stem in used:
            _add_pair(photos[stem][0], sketches[partners[stem]][0], report, visit)
    return report


def _add_pair(photo: Path, sketch: Path, report: Report, visit: Visit) -> None:
    """Read a photograph and its sketch; a pair, if both are good."""
    photographed, drawn = read(photo, report), read_drawing(sketch, report)
    if photographed is None or drawn is None:
        return
    for file, picture in ((photo, photographed), (sketch, drawn)):
        if picture.pages > 1:
            report.notes.append((file, f"only the first of its {picture.pages} pages is used"))
    visit("photo", photo, photographed)
    visit("sketch", sketch, drawn)
    (w, h), (v, k) = photographed.image.size, drawn.image.size
    if abs(w * k - v * h) > SKEW * max(w * k, v * h):
        report.notes.append(
            (
                sketch,
                f"it has other proportions ({v} x {k}) than its photograph ({w} x {h}), so the two will not lie on each other",
            )
        )
    report.pairs.append((photo, sketch))


def _by_stem(path: Path, name: str, report: Report) -> dict[str, list[Path]]:
    """ "folder/stem" -> the pictures of that name in one of a designer's folders."""
    stems: dict[str, list[Path]] = {}
    try:
        folder = subfolder(path, name) or path / name
        files = report.add(list_pictures(folder))
    except FolderError as error:
        raise PairsError(f"{error}: a designer's folder holds photos/ and sketches/, with equal file names") from error
    for file in files:
        stems.setdefault(file.relative_to(folder).with_suffix("").as_posix(), []).append(file)
    return stems


def _matched(left: dict[str, list[Path]], right: dict[str, list[Path]]) -> dict[str, str]:
    """Names of single files of two folders that belong together."""
    names = [[name.rpartition("/") for name, files in side.items() if len(files) == 1] for side in (left, right)]
    found = match(*([(folder, stem) for folder, _, stem in side] for side in names))
    return {a.removeprefix("/"): b.removeprefix("/") for a, b in found.items()}


def _partners(photos: dict[str, list[Path]], sketches: dict[str, list[Path]], report: Report) -> dict[str, str]:
    """Photographs' names -> their sketches'. What has no partner, or several, is bad."""
    partners = _matched(photos, sketches)
    for files_by_stem, other, taken, missing in (
        (photos, sketches, partners.keys(), "sketches"),
        (sketches, photos, set(partners.values()), "photos"),
    ):
        for stem, files in files_by_stem.items():
            if len(files) > 1:
                names = ", ".join(file.name for file in files)
                report.bad += [(file, f"several files have the stem {stem}: {names}; keep one") for file in files]
            elif stem not in taken:
                several = len(other.get(stem, ())) > 1
                report.bad.append(
                    (
                        files[0],
                        f"several files in {missing}/ have its stem {stem}"
                        if several
                        else f"it has no partner {stem}.* in {missing}/",
                    )
                )
    return partners


def _on_white_paper(image: Image.Image) -> Image.Image:
    return Image.fromarray(on_white_paper(np.asarray(image)))


def as_shown(photo: Image.Image | Picture, size: int, draughtsman: Draughtsman) -> NDArray[np.uint8]:
    """What the studio's network would be shown of a photograph: (H, W, 3) uint8, ``size`` px on the long side, at least 64.
    Where the picture's own transparency cuts the garment out, that counts."""
    side = min(max(size, SIZES[0]), SIZES[1])
    seen = look(photo, side, side, draughtsman, cutout=True, detail=1.0, print_amount=0.0, on_missing="keep")
    return np.asarray(seen.picture, np.uint8)


def _square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """-> (size, size, 3) uint8, the picture centred on white paper."""
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    paper = Image.new("RGB", (size, size), "white")
    paper.paste(image.resize((width, height), Image.Resampling.LANCZOS), ((size - width) // 2, (size - height) // 2))
    return np.array(paper)


def _to_tensor(square: Tensor) -> Tensor:
    return square.permute(2, 0, 1).float().div_(127.5).sub_(1)  # (3, S, S)
