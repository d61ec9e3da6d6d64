"""What a signature is refined on: a garment's maps, and what the designer drew of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fedgai.content import SIZES, Cloth, Content, Photo
from fedgai.data.own_photographs import own_photographs
from fedgai.line_choice import LineChoice
from fedgai.measure import SIDE, page, read_drawing
from fedgai.model import FedGAI
from fedgai.networks.hatching import aligned_origin
from fedgai.networks.style import image_statistics
from fedgai.pipeline import SketchPipeline
from fedgai.vision.images import to_tensor

BLACK = 3.0  # chroma, below which ink has no colour: JPEG colours black lines a little
PAPER = 90.0  # lightness above which a pixel is not ink


@dataclass(frozen=True)
class Example:
    """One garment to draw.

    Attributes:
        features: its maps, (1, C_l, H / 2^l, W / 2^l) each, or those of a part of the page.
        shown: statistics of the maps of the whole page, (1, D).
        size: (width, height) without the padding.
        drawing: the designer's of it, (1, 3, H, W), with its statistics, (1, D), and Gram matrices, (1, C_l, C_l) each.
        code, origin: (1, 3) and (1, 2), of the drawing's hatching (``fedgai.networks.hatching``); None where it is not known.
        cloth: the garment without its lines; None where the draughtsman saw none.
    """

    features: tuple[Tensor, ...]
    shown: Tensor
    size: tuple[int, int]
    drawing: Tensor
    statistics: Tensor
    grams: list[Tensor]
    code: Tensor | None = None
    origin: Tensor | None = None
    cloth: Cloth | None = None

    def with_lines(self, choice: LineChoice, pipe: SketchPipeline) -> Example:
        """As a hand sees the garment that draws only some of its lines."""
        if self.cloth is None:
            return self
        features = plain(pipe.encode(self.cloth.with_lines(choice)))
        return replace(self, features=features, shown=image_statistics(features))

    def hatched(self, code: Tensor) -> Example:
        """With the place of its hatching, whose stroke code (3,) is known.

        Else the house's hatching lies beside the designer's, ink between lines counts twice, and to leave it out is nearest.
        """
        ink = (1 - self.drawing[0].mean(0).numpy()) / 2
        return replace(self, code=code[None], origin=aligned_origin(code, ink)[None])

    def without_maps(self) -> Example:
        """To save memory: what is left is the drawing, and the cloth."""
        return replace(self, features=())

    def narrow(self, along: int, begin: int, end: int) -> Example:
        """The part from row (``along`` 2) or column (3) ``begin`` to ``end``, multiples of 8; its statistics stay."""
        maps = [f.narrow(along, begin >> i, (end - begin) >> i) for i, f in enumerate(self.features)]
        features = tuple(f.contiguous(memory_format=torch.channels_last) for f in maps)
        drawing = self.drawing.narrow(along, begin, end - begin).contiguous(memory_format=torch.channels_last)
        corner = torch.tensor([[begin, 0] if along == 2 else [0, begin]])
        origin = corner if self.origin is None else self.origin + corner
        return replace(self, features=features, drawing=drawing, origin=origin)


def colourless(pictures: Sequence[np.ndarray]) -> bool:
    """Whether ink in drawings, (H, W, 3) uint8 each, is black or grey: mean chroma in CIELAB below ``BLACK``."""
    chroma = [float(np.hypot(lab[:, 1], lab[:, 2]).mean()) for lab in map(_ink, pictures) if len(lab)]
    return bool(chroma) and float(np.mean(chroma)) < BLACK


def _ink(picture: np.ndarray) -> np.ndarray:
    """(N, 3) float32, CIELAB of what is darker than paper."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    marked: np.ndarray = lab[lab[..., 0] < PAPER]
    return marked


def drawn_garments(
    pipe: SketchPipeline, drawings: Sequence[Path], on_drawing: Callable[[], object]
) -> list[tuple[Image.Image, Image.Image]]:
    """Drawings without photographs -> pairs of the garment that a drawing shows, and the drawing. Drawings without a closed shape
    are left out, and all of them where the model has no draughtsman. ``on_drawing`` is called before each. Raises ImageError."""
    if pipe.model.draughtsman is None:
        return []
    pages = [page(drawing) for drawing in drawings]
    photos = own_photographs(pages, pipe.model.draughtsman, on_page=on_drawing)
    return [(photo, Image.fromarray(own)) for photo, own in zip(photos, pages, strict=True) if photo is not None]


def pair_example(pipe: SketchPipeline, photo: Photo, drawing: Photo) -> tuple[Example, np.ndarray]:
    """A pair at the size at which hands are measured: what is learned from, and the drawing, (h, w, 3) uint8."""
    sketch = read_drawing(drawing)
    size = min(SIDE, max(SIZES[0], max(sketch.size)))
    content: Content = pipe.prepare(photo, size, on_missing="keep", side=size)
    own = np.asarray(sketch.resize(content.size, Image.Resampling.LANCZOS))
    features = plain(content.features)
    height, width = features[0].shape[2:]
    paper = [(0, height - own.shape[0]), (0, width - own.shape[1]), (0, 0)]
    tensor = as_tensor(np.pad(own, paper, constant_values=255))
    with torch.no_grad():
        maps = pipe.model.encoder(tensor)
        statistics, grams = image_statistics(maps), pipe.model.grams(maps)
        shown = image_statistics(features)
    return Example(features, shown, content.size, tensor, statistics, grams, cloth=content.cloth), own


def halves(model: FedGAI, example: Example) -> list[Example]:
    """The example's two halves along its longer side, with statistics of their own: a step on one takes half the computing."""
    found = []
    for ends in _ends_of_halves(example):
        half = example.narrow(*ends)
        with torch.no_grad():
            maps = model.encoder(half.drawing)
            found.append(replace(half, statistics=image_statistics(maps), grams=model.grams(maps)))
    return found


def halves_of(example: Example, drawn: Sequence[Example]) -> list[Example]:
    """The example's two halves, where those of the same drawing are known: their statistics stay."""
    parts = [example.narrow(*ends) for ends in _ends_of_halves(example)]
    return [replace(half, features=part.features, shown=part.shown) for half, part in zip(drawn, parts, strict=True)]


def _ends_of_halves(example: Example) -> list[tuple[int, int, int]]:
    """The dimension along which it is cut, and the rows or columns where each half begins and ends."""
    height, width = example.drawing.shape[2:]
    along, length = (2, height) if height >= width else (3, width)
    middle = length // 16 * 8
    return [(along, 0, middle), (along, middle, length)]


def plain(features: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Out of inference mode, so that gradients may pass."""
    return tuple(level.detach().clone() for level in features)


def as_tensor(picture: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H', W') with paper to multiples of 8."""
    paper = [(0, -side % 8) for side in picture.shape[:2]]
    tensor = to_tensor(np.pad(picture, [*paper, (0, 0)], constant_values=255))[None]
    return tensor.contiguous(memory_format=torch.channels_last)
