"""Garments for drawings alone: a folder of pairs, of a designer's drawings and pictures of the garments that they show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fedgai.data.designer_folder import drawings_in
from fedgai.data.own_photographs import own_photographs
from fedgai.data.pairs import PairsError, Report, writing
from fedgai.data.scans import own_folders
from fedgai.draughtsman import Draughtsman
from fedgai.measure import READ_SIDE, page
from fedgai.text import printable

AT_ONCE = 64  # drawings at most whose pictures are made together, about 200 MB: they tell each other how dark this hand shades
NO_SHAPE = "no closed outline can be seen on it, which a drawing without a photograph needs: close its outline"


def pair_up(
    drawings: Sequence[Path], out: str | Path, draughtsman: Draughtsman, *, progress: Callable[[int, int], None] | None = None
) -> Report:
    """Drawings without photographs -> a folder of pairs to train on.

    A picture of grey cloth is made of the garment that each drawing shows (``own_photographs``). Drawing and picture lie on
    each other, so what is learned from them is what is learned from photographs: the hand, and how this designer translates a
    garment. Not how dark cloth must be before they shade it, for that no drawing tells.

    Args:
        drawings: files of single drawings, from ``look``.
        out: gets ``photos/NNNN.png`` and ``sketches/NNNN.png``, as drawings are measured (``measure.page``); those of an
            earlier run are replaced.
        draughtsman: tells lines from shading.
        progress: called before each picture with its number from 0, and how many there are.
    Returns:
        the pairs, and the drawings that could not be used, each with its reason.
    Raises:
        PairsError: no drawing, or none with a closed outline; ``out`` holds something else, or it cannot be written.
    """
    out, report = Path(out), Report()
    photos, sketches = _folders(out, drawings)
    sources = _save_drawings(drawings, sketches, report)
    if not sources:
        raise PairsError("these drawings cannot be paired up: there is no drawing among them that can be used")
    count = 0

    def on_page() -> None:
        nonlocal count
        if progress:
            progress(count, len(sources))
        count += 1

    for numbers in np.array_split(np.arange(len(sources)), -(-len(sources) // AT_ONCE)):
        files = [sketches / f"{number:04d}.png" for number in numbers]
        pictures = own_photographs([page(file) for file in files], draughtsman, on_page=on_page)
        for number, sketch, picture in zip(numbers, files, pictures, strict=True):
            if picture is None:
                report.bad.append((sources[number], NO_SHAPE))
                sketch.unlink()
            else:
                _save(picture, photos / sketch.name)
                report.pairs.append((photos / sketch.name, sketch))
    if not report.pairs:
        raise PairsError(
            f"none of these {len(sources)} drawings can be learned from: no closed outline can be seen on any of them"
        )
    return report


def _folders(out: Path, drawings: Sequence[Path]) -> list[Path]:
    """photos/ and sketches/ of ``out``, empty. Raises PairsError where somebody's drawings lie in them."""
    names = "photos", "sketches", "guides"
    if {(out / name).resolve() for name in names} & {file.resolve().parent for file in drawings}:
        raise PairsError(f"{printable(str(out))} holds these very drawings, which would be replaced: name another folder")
    folders = own_folders(out, *names)
    with writing(out):
        for file in [file for folder in folders for file in folder.iterdir() if file.stem.isdecimal()]:
            file.unlink()
        folders.pop().rmdir()  # release 0.1.0 wrote guides/; pairs beside one are refused
    return folders


def _save_drawings(files: Sequence[Path], folder: Path, report: Report) -> list[Path]:
    """Save each good drawing. Returns the file that each is from, in the order of their numbers."""
    sources: list[Path] = []
    for file in files:
        for image in drawings_in(file, report):
            _save(Image.fromarray(page(image, READ_SIDE)), folder / f"{len(sources):04d}.png")
            sources.append(file)
    return sources


def _save(image: Image.Image, path: Path) -> None:
    with writing(path) as temp_path:
        image.save(temp_path, "PNG")
