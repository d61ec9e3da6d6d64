"""A pair for a designer's folder: a garment on white, and a drawing of it. What every maker of such folders shares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedgai.content import fit_and_cut, on_white
from fedgai.data.pairs import SMALLEST, writing
from fedgai.errors import FedGAIError
from fedgai.vision.images import LOCAL, read_picture

SMALL = 64  # px, the shorter side; a smaller photograph has no seams to draw
Levels = NDArray[np.uint8]
Mask = NDArray[np.float32]
Pen = Callable[[Levels, Mask], Levels]  # a photograph on white (H, W, 3) and its mask (H, W) in [0, 1] -> the drawing


def draw_pair(photo: Path, size: int, pen: Pen) -> tuple[Levels, Levels]:
    """A photograph's garment on white, and its drawing: (H, W, 3) uint8 each, ``size`` px on the long side.

    Raises:
        ImageError, NoGarment: see ``SketchPipeline.prepare``.
        FedGAIError: it is too small or too narrow to draw from.
    """
    picture = read_picture(photo, LOCAL)
    width, height = picture.image.size
    if min(width, height) < SMALL or min(width, height) * size < SMALLEST * max(width, height):
        raise FedGAIError(f"The picture is {width} x {height} px: too small or too narrow to draw from.")
    image, mask = fit_and_cut(picture, size)
    assert mask is not None  # else it had raised NoGarment
    on_paper = on_white(np.asarray(image), mask)
    return on_paper, pen(on_paper, mask)


def save_pair(folder: Path, stem: str, photo: Levels, sketch: Levels) -> None:
    """Write ``photos/STEM.jpg`` and ``sketches/STEM.png``. The photograph comes last: where it is, the pair is whole.

    Raises PairsError where they cannot be written.
    """
    with writing(folder):
        for name in ("photos", "sketches"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    with writing(folder / "sketches" / f"{stem}.png") as temp_path:
        Image.fromarray(sketch).save(temp_path, "PNG")
    with writing(folder / "photos" / f"{stem}.jpg") as temp_path:
        Image.fromarray(photo).save(temp_path, "JPEG", quality=95)
