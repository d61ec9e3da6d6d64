"""What the draughtsman is shown: new pages each time, from rendered garments and real photographs, with what is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fedgai.garments import Garment, dye
from fedgai.line_types import LINE_TYPES
from fedgai.training.dyeing import dye_photograph
from fedgai.training.photographs import Photograph, background

HEIGHT, WIDTH = 416, 320  # px, of a page
TOPSTITCH = LINE_TYPES.index("topstitch")
SILHOUETTE = LINE_TYPES.index("silhouette")


def other_light(rng: np.random.Generator) -> np.ndarray:
    """A table for ``cv2.LUT``, (1, 256, 3) uint8: a photograph lighter or darker, its colours a little warmer or colder."""
    curve = (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.2))
    table: np.ndarray = np.clip(255 * curve[:, None] * np.exp(rng.normal(0, 0.06, 3)), 0, 255).astype(np.uint8)[None]
    return table


def placing(mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """A way to lay a picture on a page of ``HEIGHT`` x ``WIDTH``, its garment turned, scaled and moved a little.

    Args:
        mask: (H, W) uint8, 255 on the garment.
        rng: of turn, scale and place.

    Returns:
        (2, 3) float64 for ``cv2.warpAffine``, and by how much it enlarges.
    """
    rows, columns = (np.flatnonzero((mask > 127).any(axis)) for axis in (1, 0))
    top, bottom, left, right = (
        (int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])) if len(rows) else (0, mask.shape[0], 0, mask.shape[1])
    )
    height, width = bottom - top + 1, right - left + 1
    scale = min(HEIGHT / height, WIDTH / width) * float(np.exp(rng.uniform(np.log(0.55), np.log(1.08))))
    angle = np.radians(float(rng.normal(0, 5) + rng.choice([0, 90, -90, 180], p=[0.9, 0.04, 0.04, 0.02])))
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[flip * cos, -sin], [flip * sin, cos]], np.float64)
    slack = [max(6.0, 0.5 * (page - scale * side)) for page, side in ((WIDTH, width), (HEIGHT, height))]
    centre = np.array([WIDTH / 2, HEIGHT / 2], np.float64) + [rng.uniform(-s, s) for s in slack]
    matrix = np.column_stack([turn, centre - turn @ [left + width / 2, top + height / 2]])
    return matrix, scale


@dataclass
class LessonPage:
    """A picture and what is known about it, all (H, W); zero in a weight: not known.

    Attributes:
        photo: (H, W, 3) uint8 RGB.
        mask, lines, tone: uint8, 255 for 1; lines (H, W, 6).
        mask_weight, line_weight, tone_weight: float32; line_weight (H, W, 6).
    """

    photo: np.ndarray
    mask: np.ndarray
    lines: np.ndarray
    tone: np.ndarray
    mask_weight: np.ndarray
    line_weight: np.ndarray
    tone_weight: np.ndarray

    def placed(self, rng: np.random.Generator) -> LessonPage:
        """Turned, scaled and moved a little, on a page of ``HEIGHT`` x ``WIDTH``; what lies beyond is not known."""
        matrix, scale = placing(self.mask, rng)
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR

        def move(plane: np.ndarray, border: int = cv2.BORDER_CONSTANT) -> np.ndarray:
            if plane.ndim == 3 and plane.shape[2] > 4:
                return np.concatenate([move(plane[..., :3], border), move(plane[..., 3:], border)], 2)
            return cv2.warpAffine(plane, matrix, (WIDTH, HEIGHT), flags=method, borderMode=border)

        return LessonPage(
            move(self.photo, cv2.BORDER_REPLICATE),
            *(
                move(np.ascontiguousarray(plane))
                for plane in (self.mask, self.lines, self.tone, self.mask_weight, self.line_weight, self.tone_weight)
            ),
        )

    def tensors(self) -> dict[str, Tensor]:
        """photo (3, H, W), mask (1, H, W), lines (6, H, W), tone (1, H, W), all in [0, 1], and weights of their shapes."""

        def planes(array: np.ndarray) -> Tensor:
            array = array[..., None] if array.ndim == 2 else array
            tensor = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
            return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor.float()

        return {name: planes(getattr(self, name)) for name in self.__dataclass_fields__}


def rendered(garment: Garment, rng: np.random.Generator, behind: np.ndarray | None = None) -> LessonPage:
    """A garment of the family, dyed: everything is known.

    Edges of the print count double. Beside topstitching, where a seam may or may not be, other lines count nothing.
    """
    picture = dye(garment, rng, behind)
    lines = np.ascontiguousarray(picture.lines.transpose(1, 2, 0))
    edges = cv2.dilate(picture.print_edges, np.ones((3, 3), np.uint8)).astype(np.float32) / 255
    weight = np.repeat((1 + edges)[..., None], len(LINE_TYPES), 2)
    others = np.delete(lines, TOPSTITCH, 2)
    beside = (cv2.dilate(lines[..., TOPSTITCH], np.ones((7, 7), np.uint8)) > 64)[..., None] & (others < 64)
    weight[..., [i for i in range(len(LINE_TYPES)) if i != TOPSTITCH]] *= ~beside
    known = np.ones(picture.alpha.shape, np.float32)
    return LessonPage(picture.photo, picture.alpha, lines, picture.tone, known, weight, (picture.alpha > 200).astype(np.float32))


def real(photograph: Photograph, rng: np.random.Generator, behind: np.ndarray | None = None) -> LessonPage:
    """A photograph. Its mask is known, but not its rim, nor where opinions differ. No line is outside; the outline is the mask's.

    A plain garment is dyed every other time; what was seen in it before (``Photograph.label_path``) is then still right.
    """
    photo, mask, known = photograph.photo(), photograph.mask(), photograph.known()
    if photograph.plain and rng.random() < 0.6:
        photo, _ = dye_photograph(photo, mask, rng)
    if behind is not None:
        behind = cv2.resize(behind, photo.shape[1::-1], interpolation=cv2.INTER_AREA)
        photo = (0.5 + behind + mask[..., None] * (photo.astype(np.float32) - behind)).astype(np.uint8)
    solid = (mask > 0.5).astype(np.uint8)
    depth = cv2.distanceTransform(solid, cv2.DIST_L2, 5)
    away = cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5)
    lines = np.zeros((*mask.shape, len(LINE_TYPES)), np.uint8)
    weight = np.repeat((away > 6).astype(np.float32)[..., None], len(LINE_TYPES), 2)
    rim = np.clip(1.5 - np.abs(depth - away), 0, 1)
    inner = np.zeros(mask.shape, np.float32)  # a garment cut off by the picture has no outline there
    inner[4:-4, 4:-4] = 1
    lines[..., SILHOUETTE] = (255 * rim).astype(np.uint8)
    weight[..., SILHOUETTE] = ((away > 6) | (depth > 8) | (rim > 0.2)).astype(np.float32) * inner
    mask_weight = ((depth > 2.5) | (away > 2.5)).astype(np.float32) * known
    if photograph.label_path.exists():
        with np.load(photograph.label_path) as kept:
            seen, doubt, agrees = kept["lines"], kept["doubt"], kept["agrees"]
        inside = depth > 0
        for i in range(len(LINE_TYPES)):
            if i != SILHOUETTE:
                lines[..., i] = np.where(inside, seen[..., i], 0)
                weight[..., i] = np.where(inside, 0.5 * ~doubt, weight[..., i])
        weight *= agrees[..., None] | (weight == 0)
    weight *= known[..., None]
    return LessonPage(
        photo, (255 * mask).astype(np.uint8), lines, np.zeros_like(solid), mask_weight, weight, np.zeros(mask.shape, np.float32)
    )


class Pages(Dataset[dict[str, Tensor]]):
    """Pages by number. The number alone, with the seed, decides what is on a page; the order of asking does not.

    Args:
        garments: files of ``Garment.save``.
        photographs: from ``photographs.gather``.
        batch: pages a step; ``shares`` of each are rendered, the rest photographs.
        share: of rendered pages, in [0, 1].
        seed: of everything.
    """

    def __init__(self, garments: Sequence[Path], photographs: Sequence[Photograph], batch: int, share: float, seed: int) -> None:
        self.garments, self.photographs, self.seed = list(garments), list(photographs), seed
        self.batch, self.rendered = batch, round(batch * share)

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng([self.seed, number])
        behind = None
        if self.photographs and rng.random() < 0.5:
            other = self.photographs[rng.integers(len(self.photographs))]
            behind = background(other, 512, 512, rng)
        if number % self.batch < self.rendered and self.garments:
            garment = Garment.load(self.garments[rng.integers(len(self.garments))])
            if behind is not None:
                behind = np.ascontiguousarray(behind[: garment.alpha.shape[0], : garment.alpha.shape[1]])
            page = rendered(garment, rng, behind)
        else:
            photograph = self.photographs[rng.integers(len(self.photographs))]
            page = real(photograph, rng, behind if rng.random() < 0.4 else None)
        return page.placed(rng).tensors()
