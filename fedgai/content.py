"""A photograph made ready to be drawn: cut out, its print taken away, its lines whole, at the size that hands draw at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image
from torch import Tensor

from fedgai import draughtsman as draughtsmen
from fedgai.at_once import at_once
from fedgai.draughtsman import Draughtsman, Seen
from fedgai.errors import FedGAIError
from fedgai.line_choice import EVERY_LINE, LineChoice
from fedgai.line_types import LINE_TYPES
from fedgai.vision.buttons import Button, rows_of_discs
from fedgai.vision.channels import darkest_channel
from fedgai.vision.cutout import SURE_BACKGROUND, NoGarment, cut_out, cut_out_seen
from fedgai.vision.drawn_outline import redrawn, without_specks
from fedgai.vision.garment_lines import GarmentLine, as_drawn, chosen, garment_lines, line_cover, rings
from fedgai.vision.images import Picture, read_picture, simplify
from fedgai.vision.plackets import along_buttons
from fedgai.vision.plain_cloth import plain
from fedgai.vision.round_spots import Changes, changes_of
from fedgai.vision.tags import lines_behind, over, tags
from fedgai.vision.tone import grey_cloth, tone_of

Photo = str | Path | bytes | Image.Image | np.ndarray | Picture
Paper = Literal["white", "transparent"]
OnMissing = Literal["raise", "keep"]

SIZES = (64, 1024)  # px, long side of a sketch
NEARLY_WHITE, OUTLINED = 225, 178  # grey levels: a garment lighter than the first is made as dark as the second
MASK_SIDE = 1024  # px, the finest that ``cut_out`` looks at
AGAIN_SIDE = 384  # px, long side at which the draughtsman looks again where two masks differ
DARKNESS = 0.8  # share of the light that a sure line takes
SILHOUETTE, FASTENING = LINE_TYPES.index("silhouette"), LINE_TYPES.index("fastening")


@dataclass(frozen=True)
class Cloth:
    """A garment before lines are laid on it, at the size that is drawn at. About 4 MB at 512 px.

    Attributes:
        picture: (h, w, 3) uint8, as the photograph shows it.
        mask, outline: (h, w) float32 in [0, 1], the garment, and the line along its silhouette.
        tone: (h, w) float32 in [0, 1], how dark a person draws each place.
        lines: all that were found, px.
        detail, print_amount: as in ``SketchPipeline.prepare``.
    """

    picture: np.ndarray
    mask: np.ndarray
    outline: np.ndarray
    tone: np.ndarray
    lines: tuple[GarmentLine, ...]
    detail: float
    print_amount: float

    @property
    def nbytes(self) -> int:
        return sum(plane.nbytes for plane in (self.picture, self.mask, self.outline, self.tone))

    def with_lines(self, choice: LineChoice) -> np.ndarray:
        """(h, w, 3) uint8, what the network is to draw: the lines that a hand draws, and as much of the print."""
        clean = grey_cloth(self.tone) * (1 - DARKNESS * line_cover(chosen(self.lines, choice), self.mask.shape)[..., None])
        printed = max(self.print_amount, choice.print)
        picture = (np.clip(clean + printed * (self.picture - clean), 0, 255) + 0.5).astype(np.uint8)
        return _outlined(picture, self.detail, self.mask, self.outline)


@dataclass(frozen=True)
class Content:
    """A photograph made ready: draw it in as many styles as you like. About 35 MB at 512 px (edge preset).

    Attributes:
        photo: the photograph at the sketch's size, with its background.
        mask: (H, W) float32 in [0, 1], at the sketch's size, 1 on the garment; None where it was not cut out.
        ink: (h, w) float32 in [0, 1], at the size that is drawn at, where a sketch may have ink: the mask, a little wider;
            None without a mask.
        drawn: (w, h) px, the size that is drawn at; the sketch is then scaled to its own.
        features: the encoder's maps of the garment on white, padded to (h', w'): (1, C_l, h' / 2^l, w' / 2^l) each.
        choice: the lines that these maps show.
        types: (6, h, w) uint8, how likely a line of each of ``LINE_TYPES`` is, 255 surely, where the draughtsman looked.
        buttons: that were laid on what is drawn, as rings; at the size that is drawn at, px.
        cloth: for hands that do not draw every line; None where there are no lines to choose from.
    """

    photo: Image.Image
    mask: np.ndarray | None
    ink: np.ndarray | None
    drawn: tuple[int, int]
    features: tuple[Tensor, ...]
    types: np.ndarray | None = None
    buttons: tuple[Button, ...] = ()
    cloth: Cloth | None = None
    choice: LineChoice = EVERY_LINE

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the sketch, px."""
        return self.photo.size

    @property
    def nbytes(self) -> int:
        """Of its features and its cloth, which are most of it."""
        return sum(level.nbytes for level in self.features) + (0 if self.cloth is None else self.cloth.nbytes)


@dataclass(frozen=True)
class Found:
    """A photograph with its garment: all that does not depend on how it is to be drawn. 18 MB for one of 12 megapixels.

    Attributes:
        image: the photograph, RGB.
        mask: (H, W) float32 in [0, 1], 1 on the garment; None where it is not cut out.
        seen: by the draughtsman, without the lines of price tags; None where it did not look, or there is no garment.
        buttons: that it found, px of the image.
        small: the photograph as the draughtsman looked at it, ``draughtsman.SIDE`` px long; None where it did not.
    """

    image: Image.Image
    mask: np.ndarray | None
    seen: Seen | None
    buttons: tuple[Button, ...] = ()
    small: Image.Image | None = None

    @property
    def nbytes(self) -> int:
        planes = [] if self.seen is None else [self.seen.mask, self.seen.lines, self.seen.tone]
        if self.mask is not None:
            planes.append(self.mask)
        pixels = sum(image.width * image.height for image in (self.image, self.small) if image is not None)
        return 3 * pixels + sum(plane.nbytes for plane in planes)

    def scaled(self, size: int) -> Image.Image:
        """The photograph with ``size`` px on its long side."""
        return self.small if self.small is not None and max(self.small.size) == size else _fit(self.image, size)


@dataclass(frozen=True)
class Looked:
    """A photograph before it is encoded.

    Attributes:
        photo, mask, ink, types: as in ``Content``.
        picture: (h, w, 3) uint8, what the network is to draw, at the size that is drawn at.
        cloth: the garment without its lines; None where the draughtsman did not look, or the print stays whole.
        lines: that were laid on it, px of the picture.
        buttons: those of the lines that are rings.
    """

    photo: Image.Image
    mask: np.ndarray | None
    ink: np.ndarray | None
    types: np.ndarray | None
    picture: np.ndarray
    cloth: Cloth | None = None
    lines: tuple[GarmentLine, ...] = ()
    buttons: tuple[Button, ...] = ()

    @property
    def tone(self) -> np.ndarray | None:
        """(h, w) float32 in [0, 1], how dark a person draws each place; None without cloth."""
        return None if self.cloth is None else self.cloth.tone


def find(photo: Photo, draughtsman: Draughtsman | None, *, cutout: bool, on_missing: OnMissing) -> Found:
    """Read a photograph and cut it out. Arguments and errors are those of ``look``, which takes what this returns, too."""
    picture = read_picture(photo)
    if not cutout:
        return Found(picture.image, None, None)
    if draughtsman is None:
        return Found(picture.image, _cut(picture, None, on_missing)[0], None)
    pixels, small = np.asarray(picture.image), _fit(picture.image, draughtsmen.SIDE)
    seen = draughtsman.look(np.asarray(small))

    def changes() -> Changes | None:
        """What the search for buttons needs besides the mask, where the garment can be."""
        return None if draughtsman.buttons is None else changes_of(pixels, seen.mask > SURE_BACKGROUND)

    (mask, tag), changed = at_once(lambda: _cut(picture, seen, on_missing, look_again(draughtsman, small)), changes)
    if mask is None:
        return Found(picture.image, None, None)
    if tag is not None:
        seen = replace(seen, lines=lines_behind(seen.lines, tag))
    buttons = draughtsman.find_buttons(pixels, mask, seen.lines, changed)
    if not buttons:
        buttons = rows_of_discs(seen.lines[FASTENING], mask, max(picture.image.size))
    return Found(picture.image, mask, seen, tuple(buttons), small)


def look(
    photo: Photo | Found,
    size: int,
    side: int,
    draughtsman: Draughtsman | None,
    *,
    cutout: bool,
    detail: float,
    print_amount: float,
    on_missing: OnMissing,
    choice: LineChoice = EVERY_LINE,
) -> Looked:
    """Cut a photograph out, take its print away and lay its lines and its outline on it.

    Args:
        photo, size, cutout, detail, print_amount, on_missing, side, choice: see ``SketchPipeline.prepare``. With what ``find``
            returned, that was cut out or not, whatever ``cutout`` says.
        draughtsman: None: the garment is drawn as the photograph shows it.

    Raises:
        ImageError, NoGarment: see ``SketchPipeline.prepare``.
        FedGAIError: size, detail or print_amount out of range.
    """
    if not 0 < detail <= 1:
        raise FedGAIError(f"line detail lies above 0 and is at most 1, not {detail}")
    if not 0 <= print_amount <= 1:
        raise FedGAIError(f"the amount of print lies between 0 and 1, not {print_amount}")
    _check_size(size)
    found = photo if isinstance(photo, Found) else find(photo, draughtsman, cutout=cutout, on_missing=on_missing)
    mask, seen = found.mask, found.seen
    shown = found.scaled(size)
    small = shown if size == side else found.scaled(side)
    picture = np.asarray(small)
    if mask is None:
        return Looked(shown, None, None, None, simplify(picture, detail, None))
    mask = _scaled(mask, small.size)
    if seen is None:
        picture = on_white(_off_white(simplify(picture, detail, mask), mask), mask)
        return Looked(shown, _scaled(mask, shown.size), _ink_area(mask), None, picture)
    ragged = without_specks(mask)  # pockets end at its edge, and may meet nothing in the smooth one
    mask, outline = redrawn(mask)
    types = (np.float32(255) * seen.lines).astype(np.uint8)
    looked = Looked(shown, _scaled(mask, shown.size), _ink_area(mask), types, picture)
    if print_amount == 1:
        return replace(looked, picture=_outlined(picture, detail, mask, outline))
    buttons = as_drawn(found.buttons, max(small.size) / max(found.image.size), max(small.size))
    found_lines, tone = at_once(
        lambda: garment_lines(seen.lines, ragged),
        lambda: tone_of(plain(picture, mask, seen.tone), mask),
    )
    lines = (*along_buttons(found_lines, buttons, max(small.size)), *rings(buttons))
    cloth = Cloth(picture, mask, outline, tone, lines, detail, print_amount)
    drawn = tuple(chosen(lines, choice))
    return replace(looked, picture=cloth.with_lines(choice), cloth=cloth, lines=drawn, buttons=buttons)


def fit_and_cut(
    photo: Photo,
    size: int,
    *,
    cutout: bool = True,
    on_missing: OnMissing = "raise",
    draughtsman: Draughtsman | None = None,
) -> tuple[Image.Image, np.ndarray | None]:
    """A photograph at a sketch's size, and its garment's mask.

    Args:
        photo, size, cutout, on_missing: see ``SketchPipeline.prepare``.
        draughtsman: finds the garment; None: the cut-out searches for it by itself.

    Returns:
        RGB image with ``size`` px on its long side; (H, W) float32 mask in [0, 1], or None if nothing was cut out.

    Raises:
        ImageError, NoGarment: see ``SketchPipeline.prepare``.
        FedGAIError: size out of range.
    """
    _check_size(size)
    picture = read_picture(photo)
    mask = None
    if cutout:
        if draughtsman is None:
            mask, _ = _cut(picture, None, on_missing)
        else:
            small = _fit(picture.image, draughtsmen.SIDE)
            mask, _ = _cut(picture, draughtsman.look(np.asarray(small)), on_missing, look_again(draughtsman, small))
    image = _fit(picture.image, size)
    return image, None if mask is None else _scaled(mask, image.size)


def look_again(draughtsman: Draughtsman, photo: Image.Image) -> Callable[[], np.ndarray]:
    """A draughtsman's second look at a photograph, for ``cut_out_seen``: in fewer pixels it sees more of the whole."""
    return lambda: draughtsman.look(np.asarray(photo), AGAIN_SIDE).mask


def _cut(
    picture: Picture, seen: Seen | None, on_missing: OnMissing, again: Callable[[], np.ndarray] | None = None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The garment's mask, at ``MASK_SIDE`` or less; None if there is no garment. And where tags lie on it, as ``tags``."""
    if picture.mask is not None:  # it was cut out already
        return picture.mask, None
    image = picture.image
    pixels = np.asarray(_fit(image, MASK_SIDE) if max(image.size) > MASK_SIDE else image)
    try:
        if seen is None:
            return cut_out(pixels), None
        mask = cut_out_seen(pixels, seen.mask, seen.lines[SILHOUETTE], look_again=again)
    except NoGarment:
        if on_missing == "raise":
            raise
        return None, None
    tag = tags(pixels, mask, seen.mask)
    return (mask, None) if tag is None else (over(mask, tag), tag)


def _check_size(size: int) -> None:
    if not SIZES[0] <= size <= SIZES[1]:
        raise FedGAIError(f"a sketch is {SIZES[0]} to {SIZES[1]} px on its long side, not {size}")


def _scaled(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask at (width, height) px, float32 in [0, 1]."""
    if mask.shape == size[::-1]:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR)).clip(0, 1)


def on_white(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 and its (H, W) float32 mask in [0, 1] -> (H, W, 3) uint8, the background white."""
    return (255.5 - mask[..., None] * (255 - photo.astype(np.float32))).astype(np.uint8)


def _outlined(picture: np.ndarray, detail: float, mask: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 -> the same, without small structures, on white, with the line along its silhouette."""
    smooth = simplify(picture, detail, mask)
    return on_white((smooth * (1 - DARKNESS * outline[..., None])).astype(np.uint8), mask)


def _off_white(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 and its (H, W) mask -> the same, darker where the garment is nearly white along its silhouette: on white
    paper it would have no outline."""
    inside = (mask > 0.5).astype(np.uint8)
    rim = (inside > 0) & (cv2.erode(inside, np.ones((3, 3), np.uint8), iterations=max(1, max(mask.shape) // 50)) == 0)
    light = float(np.percentile(photo[rim].mean(1), 60)) if rim.any() else 0.0
    if light <= NEARLY_WHITE:
        return photo
    return (photo * (max(OUTLINED, NEARLY_WHITE - 2.5 * (light - NEARLY_WHITE)) / light)).astype(np.uint8)


def _fit(image: Image.Image, size: int) -> Image.Image:
    """Scale to ``size`` px on the long side, at least 1 px on the other."""
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _ink_area(mask: np.ndarray) -> np.ndarray:
    """Where ink may lie: to 4 px (at 512 px) outside the mask, for the silhouette's line, fading to none at 8 px.

    mask (H, W) float32 in [0, 1] -> (H, W) float32 in [0, 1].
    """
    outside = cv2.distanceTransform((mask <= 0.5).astype(np.uint8), cv2.DIST_L2, 5) * (512 / max(mask.shape))
    ink: np.ndarray = np.clip((8 - outside) / 4, 0, 1)
    return ink


def finish(sketch: Image.Image, content: Content, paper: Paper) -> Image.Image:
    """Clean the paper around the garment, scale to the sketch's size; where asked, make the paper transparent.

    Args:
        sketch: as the network drew it, RGB, ``content.drawn`` px.
    Raises:
        FedGAIError: another paper.
    """
    levels = np.asarray(sketch)
    if content.ink is not None:
        levels = on_white(levels, content.ink)
    if content.size != content.drawn:
        larger = content.size[0] > content.drawn[0]
        levels = cv2.resize(levels, content.size, interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA)
    if paper == "white":
        return Image.fromarray(levels)
    if paper != "transparent":
        raise FedGAIError(f"paper is 'white' or 'transparent', not {paper!r}")
    # the least alpha, and the colour that laid on white with it gives the sketch again
    alpha = 255 - darkest_channel(levels)[..., None].astype(np.float32)
    colour = 255 - (255 - levels) * (255 / np.maximum(alpha, 1))
    return Image.fromarray(np.concatenate([colour.clip(0, 255) + 0.5, alpha], 2).astype(np.uint8))
