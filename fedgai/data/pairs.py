"""A designer's folder of pairs: ``photos/`` and ``sketches/`` with equal stems, checked before anything starts.

A third folder, ``guides/``, is there where the sketches are of other garments than the photographs
(``drawings.pair_up``): a guide shows what a drawing of the photograph must show, the sketch only the designer's hand.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fedgai.errors import FedGAIError
from fedgai.vision.cutout import NoGarment
from fedgai.vision.cutout import cut_out as garment_alpha
from fedgai.vision.images import ImageError, read_image

log = logging.getLogger(__name__)

SMALLEST = 32  # px, the shorter side; below, a pair teaches nothing
FEW = 24  # pairs; a signature of fewer sketches than this is not to be relied on
MOST = 1000  # pairs; beyond, that many are used, evenly spread: 0.4 MB each, and a hand is known long before
LISTED = 20  # files named in a report, beyond which it only counts
LITTER = ("Thumbs.db", "desktop.ini")  # Windows puts them there
SKEW = 0.03  # share by which the proportions of a photograph and its sketch may differ before it is noted


class PairsError(FedGAIError):
    """A folder that cannot be trained on. The message names every bad file with the reason."""


@dataclass
class Report:
    """What ``check`` found.

    Attributes:
        pairs: good (photo, sketch) files, sorted by stem.
        bad: each file that cannot be used, with the reason as a sentence.
        notes: what is usable but worth a look, with the reason.
        guides: the pairs' guides, in their order; none where there is no ``guides/``.
    """

    pairs: list[tuple[Path, Path]] = field(default_factory=list)
    bad: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)
    guides: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([f"{len(self.pairs)} good pairs, {len(self.bad)} bad files", *listed(self.bad + self.notes)])


def check(path: str | Path) -> Report:
    """Open every file of a designer's folder, fully decoded. Never raises for what is in the folder, only reports it.

    Of more than ``MOST`` pairs, so many are opened, evenly spread; the report says so.

    Raises:
        PairsError: there is no ``photos/`` or no ``sketches/`` to look into.
    """
    return _inspect(Path(path), lambda *_: None)


class PairFolder(torch.utils.data.Dataset):
    """(photograph, sketch) pairs as tensors.

    Both are scaled so that the long side is ``size``, and centred on white paper of size x size. Decoded once, at
    construction, and kept as uint8: 0.4 MB a pair at 256 px, of ``MOST`` pairs at most.

    Args:
        path: a folder with ``photos/`` and ``sketches/``.
        size: side of the square, px, divisible by 8.
        skip_bad: go on without the bad files, instead of refusing the folder.
        cut_out: put each photograph's garment on white paper; where no garment is found, the photograph stays as it is
            and ``report.notes`` says so.

    Attributes:
        report: what was found.
        sha256: names these pixels, so that a resumed training can tell that the pairs are still the same.

    Raises:
        PairsError: a bad file (without ``skip_bad``), or no good pair at all.
    """

    def __init__(self, path: str | Path, size: int = 256, *, skip_bad: bool = False, cut_out: bool = False) -> None:
        if size < SMALLEST or size % 8:
            raise ValueError(f"size is the side in pixels, at least {SMALLEST} and divisible by 8, not {size}")
        self.path, self.size, self.cut_out = Path(path), size, cut_out
        squares: dict[Path, np.ndarray] = {}
        self.report = _inspect(self.path, lambda file, image: squares.update({file: _square(image, size)}))
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
        self._guides = self._sketches
        if self.report.guides:
            self._guides = torch.from_numpy(np.stack([squares[guide] for guide in self.report.guides]))
            digest.update(self._guides.numpy().tobytes())
        self.sha256 = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.report.pairs)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        """Photograph and sketch, (3, size, size) float32 in [-1, 1] each; paper is 1."""
        return _to_tensor(self._photos[i]), _to_tensor(self._sketches[i])

    def sketch(self, i: int) -> Tensor:
        return _to_tensor(self._sketches[i])

    def guide(self, i: int) -> Tensor:
        """What a drawing of photograph i must show, (3, size, size): the sketch itself where there are no guides."""
        return _to_tensor(self._guides[i])

    def _on_paper(self, file: Path, photo: np.ndarray) -> np.ndarray:
        try:
            alpha = garment_alpha(photo)[:, :, None]
        except NoGarment as error:
            self.report.notes.append((file, f"kept with its background: {error}"))
            return photo
        return np.uint8(photo * alpha + 255 * (1 - alpha) + 0.5)


def listed(files: Sequence[tuple[Path, str]]) -> list[str]:
    """A line for each file and its reason, of which the first ``LISTED`` are named."""
    lines = [f"  {path}: {reason}" for path, reason in files[:LISTED]]
    return lines + ([f"  and {len(files) - LISTED:,} more"] if len(files) > LISTED else [])


def pictures(folder: Path, report: Report, *, folders: bool = False) -> list[Path]:
    """The files of a folder, sorted, without hidden ones and litter; or its folders. As files, folders are bad.

    Raises:
        PairsError: it cannot be opened.
    """
    try:
        entries = [f for f in sorted(folder.iterdir()) if not f.name.startswith(".") and f.name not in LITTER]
        inside = [file for file in entries if file.is_dir()]
    except OSError as error:
        raise PairsError(f"{folder} cannot be opened ({error.strerror})") from error
    if folders:
        return inside
    report.bad += [(file, f"it is a folder: put the pictures straight into {folder.name}/") for file in inside]
    return [file for file in entries if file not in inside]


def read_picture(file: Path, report: Report) -> Image.Image | None:
    """RGB, at least ``SMALLEST`` px on each side; None for a file that cannot be used, which the report then names."""
    try:
        if not file.is_file():  # a pipe would be waited for, a broken or circular link has nothing behind it
            file.stat()
            raise ImageError("it is no regular file.")
        image = read_image(file)
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}"
        if file.is_symlink():
            reason = "it is a link that leads nowhere or in a circle"
    except ImageError as error:
        reason = str(error)
    else:
        if min(image.size) >= SMALLEST:
            return image
        reason = f"it is {image.width} x {image.height} px, the shorter side should be at least {SMALLEST} px"
    report.bad.append((file, reason))
    return None


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A name to write to, which becomes ``path`` only when all went well: a full disk leaves no half of a file.

    Raises:
        PairsError: for any OSError, in one line with what to do.
    """
    aside = path.with_name(path.name + ".new")
    try:
        yield aside
        if aside.exists():
            os.replace(aside, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # on a read-only disk there is nothing to take away
            aside.unlink(missing_ok=True)
        raise PairsError(f"{path} cannot be written ({error.strerror or error}): make room, or name another folder for "
                         "what is made") from error


def thin(stems: list, path: Path, report: Report) -> list:
    """At most ``MOST``, evenly spread, with a note where some were left out."""
    if len(stems) <= MOST:
        return stems
    report.notes.append((path, f"it holds {len(stems):,} drawings; {MOST:,} of them, evenly spread, are used"))
    return [stems[i] for i in np.linspace(0, len(stems) - 1, MOST).round().astype(int)]


def _inspect(path: Path, visit: Callable[[Path, Image.Image], None]) -> Report:
    """``check``, handing each decoded picture to ``visit``, so that nothing has to be decoded twice."""
    report = Report()
    photos, sketches = (_by_stem(path / name, report) for name in ("photos", "sketches"))
    guided = (path / "guides").is_dir()
    guides = _by_stem(path / "guides", report) if guided else {}
    stems = sorted(photos.keys() | sketches.keys())
    used = set(thin([stem for stem in stems if stem in photos and stem in sketches], path, report))
    for stem in stems:
        if stem not in photos or stem not in sketches:
            there, missing = (photos, "sketches") if stem in photos else (sketches, "photos")
            report.bad += [(file, f"it has no partner {stem}.* in {missing}/") for file in there[stem]]
            continue
        group = photos[stem], sketches[stem]
        for files in group:
            if len(files) > 1:
                names = ", ".join(f.name for f in files)
                report.bad += [(file, f"several files have the stem {stem}: {names}; keep one") for file in files]
        if any(len(files) > 1 for files in group):
            continue
        if stem not in used:
            continue
        if guided and len(guides.get(stem, ())) != 1:
            report.bad.append((photos[stem][0], f"it should have one guide, {stem}.* in guides/"))
            continue
        pair = photos[stem][0], sketches[stem][0], *guides.get(stem, ())
        images = [read_picture(file, report) for file in pair]
        if None in images:
            continue
        for file, image in zip(pair, images, strict=True):
            visit(file, image)
        (w, h), (v, k) = images[0].size, images[-1].size
        if abs(w * k - v * h) > SKEW * max(w * k, v * h):
            report.notes.append((pair[-1], f"it has other proportions ({v} x {k}) than its photograph ({w} x {h}), so "
                                          "the two will not lie on each other"))
        report.pairs.append(pair[:2])
        report.guides += pair[2:]
    return report


def _by_stem(folder: Path, report: Report) -> dict[str, list[Path]]:
    stems: dict[str, list[Path]] = {}
    try:
        files = pictures(folder, report)
    except PairsError as error:
        raise PairsError(f"{error}: a designer's folder holds photos/ and sketches/, with equal file names") from error
    for file in files:  # macOS decomposes accents in file names, other systems do not
        stems.setdefault(unicodedata.normalize("NFC", file.stem), []).append(file)
    return stems


def _square(image: Image.Image, size: int) -> np.ndarray:
    """-> (size, size, 3) uint8, the picture centred on white paper."""
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    paper = Image.new("RGB", (size, size), "white")
    paper.paste(image.resize((width, height), Image.Resampling.LANCZOS), ((size - width) // 2, (size - height) // 2))
    return np.array(paper)


def _to_tensor(square: Tensor) -> Tensor:
    return square.permute(2, 0, 1).float().div_(127.5).sub_(1)  # (3, S, S)
