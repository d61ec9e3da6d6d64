"""Garments for drawings alone: a folder of pairs, of a designer's drawings and public photographs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fedgai.content import on_white
from fedgai.data.folder import drawings_in
from fedgai.data.listing import find_images
from fedgai.data.pairs import PairsError, Report, writing
from fedgai.data.scans import own_folders
from fedgai.networks.style import Signature
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import EXAMPLES, WEIGHTS
from fedgai.text import printable
from fedgai.vision.cutout import NoGarment
from fedgai.vision.images import LOCAL, ImageError, read_picture

SIDE = 512  # px, long side of what is written


def pair_up(
    drawings: Sequence[Path],
    out: str | Path,
    garments: str | Path = EXAMPLES,
    *,
    model: str | Path = WEIGHTS,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
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
    photos, sketches, guides = _folders(out, drawings)
    pipe = SketchPipeline.from_pretrained(model)
    saved = _Saved(sketches)
    try:
        own = pipe.signature(saved.each(drawings, report), "own")
        files = find_images(garments)
    except PairsError:
        raise
    except ValueError as error:  # nothing to measure, no pictures
        raise PairsError(f"these drawings cannot be paired up: {error}") from error
    made = _draw_garments(pipe, files, own, saved.count, photos, guides, report, progress)
    if not made:
        raise PairsError(f"no garment could be found in any photograph of {printable(str(garments))}")
    _repeat(photos, "jpg", made, saved.count)
    _repeat(guides, "png", made, saved.count)
    for i in range(saved.count):
        report.pairs.append((photos / f"{i:04d}.jpg", sketches / f"{i:04d}.png"))
        report.guides.append(guides / f"{i:04d}.png")
    return report


def _draw_garments(
    pipe: SketchPipeline,
    files: Sequence[Path],
    hand: Signature,
    wanted: int,
    photos: Path,
    guides: Path,
    report: Report,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Write at most so many garments and their guides, numbered from 0. Returns how many."""
    made = 0
    for number, file in enumerate(files):
        if made == wanted:
            break
        if progress:
            progress(number, len(files))
        try:
            _draw_garment(pipe, file, hand, photos / f"{made:04d}.jpg", guides / f"{made:04d}.png")
            made += 1
        except (ImageError, NoGarment) as error:
            report.bad.append((file, str(error)))
    return made


def _draw_garment(pipe: SketchPipeline, file: Path, hand: Signature, photo: Path, guide: Path) -> None:
    """Write one garment on white, and its drawing in a hand. Raises ImageError, NoGarment."""
    content = pipe.prepare(read_picture(file, LOCAL), SIDE)
    assert content.mask is not None  # else it had raised NoGarment
    _save(Image.fromarray(on_white(np.asarray(content.photo), content.mask)), photo, "JPEG")
    _save(pipe.draw(content, {hand: 1}), guide, "PNG")


def _repeat(folder: Path, ending: str, have: int, wanted: int) -> None:
    """The first ``have`` pictures again, in turn, until there are ``wanted``."""
    for i in range(have, wanted):
        with writing(folder / f"{i:04d}.{ending}") as temp_path:
            shutil.copyfile(folder / f"{i % have:04d}.{ending}", temp_path)


def _folders(out: Path, drawings: Sequence[Path]) -> list[Path]:
    """photos/, sketches/ and guides/ of ``out``, empty. Raises PairsError where somebody's drawings lie in them."""
    names = "photos", "sketches", "guides"
    if {(out / name).resolve() for name in names} & {file.resolve().parent for file in drawings}:
        raise PairsError(f"{printable(str(out))} holds these very drawings, which would be replaced: name another folder")
    folders = own_folders(out, *names)
    with writing(out):
        for file in [file for folder in folders for file in folder.iterdir() if file.stem.isdecimal()]:
            file.unlink()
    return folders


@dataclass
class _Saved:
    """The true drawings, as they are saved one after the other.

    Attributes:
        folder: where to.
        count: how many there are by now.
    """

    folder: Path
    count: int = 0

    def each(self, files: Sequence[Path], report: Report) -> Iterator[Image.Image]:
        """Save each good drawing and give it on, at most ``2 * SIDE`` px long."""
        for file in files:
            for image in drawings_in(file, report):
                image.thumbnail((2 * SIDE, 2 * SIDE))
                _save(image, self.folder / f"{self.count:04d}.png", "PNG")
                self.count += 1
                yield image


def _save(image: Image.Image, path: Path, kind: str) -> None:
    with writing(path) as temp_path:
        image.save(temp_path, kind, quality=95)
