"""Pictures in and out: any file or array that a person may bring becomes plain RGB, or is refused in a sentence."""

from __future__ import annotations

import importlib.util
import math
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fedgai.errors import FedGAIError
from fedgai.text import printable
from fedgai.vision.decoders import decoders
from fedgai.vision.decoding.appearance import SIDE, Decoded, normalise
from fedgai.vision.decoding.limits import NO_PICTURE, SAVE_AS, SHORTEST, PictureLimits, RefusedPictureError, check_size
from fedgai.vision.file_kinds import HEAD, Kind, Role, kind_of

VISITOR = PictureLimits(megabytes=32, pixels=52_000_000, header_pixels=250_000_000, side=20_000, seconds=10, memory=640)
"""For pictures that anybody may send."""
LOCAL = PictureLimits(megabytes=512, pixels=150_000_000, header_pixels=600_000_000, side=20_000, seconds=60, memory=2048)
"""For pictures of somebody's own, on their own machine: A3 at 600 dpi, without compression."""
MAX_BYTES = VISITOR.megabytes * 2**20

Source = str | Path | bytes | Image.Image | NDArray[Any]

PROPORTION, SMALLEST_MASK = 0.02, 0.002  # shares by which a mask may differ from its photograph, and that it marks at least

Image.init()  # else only the five commonest formats are known


class ImageError(FedGAIError):
    """A picture that cannot be used. The message is one sentence that says why, and what to do."""


@dataclass(frozen=True)
class Picture:
    """A picture that was read.

    Attributes:
        image: RGB, transparency laid on white.
        mask: (H, W) float32 in [0, 1], what the picture's own transparency cuts out; None where it says nothing.
        pages: of its file; 1 for all formats but TIFF.
        unseen: whether there is something in it that white paper does not show, as white ink.
    """

    image: Image.Image
    mask: NDArray[np.float32] | None = None
    pages: int = 1
    unseen: bool = False


def read_image(source: Source | Picture, limits: PictureLimits = VISITOR) -> Image.Image:
    """Read a picture of any mode as it is meant to be seen: RGB. See ``read_picture``."""
    return read_picture(source, limits).image


def read_picture(source: Source | Picture, limits: PictureLimits = VISITOR, page: int | None = None, side: int = SIDE) -> Picture:
    """Read a picture of any mode as it is meant to be seen.

    A file is decoded in a process of its own, within limits on time and memory (``decoders``).

    Args:
        source: a path, a file's bytes, a PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): bool, uint8,
            uint16, or floating point in [0, 1]. A Picture is given back as it is.
        limits: on what a file may cost.
        page: of a TIFF, from 0; None for the first page, or frame of an animation, that is not blank.
        side: px that the long side keeps at least. A longer picture comes at 1/2, 1/3, 1/4 ... of its size.

    Returns:
        The picture: EXIF rotation applied, transparency laid on white, colours converted to sRGB by its profile, 16 bits
        and floats scaled to 8.

    Raises:
        ImageError: not a picture, damaged, or beyond a limit.
    """
    if isinstance(source, Picture):
        return source
    kind = None
    try:
        if isinstance(source, np.ndarray | Image.Image):
            return _picture(_in_memory(source, limits, side))
        data, kind = _bytes(source, limits)
        return _picture(decoders().decode(data, limits, side, page))
    except RefusedPictureError as error:
        if str(error) == NO_PICTURE and kind is not None and kind.modules:
            raise ImageError(f"This is {kind.name} that cannot be opened: {kind.advice}, and try again.") from error
        raise ImageError(str(error)) from error


def to_tensor(image: Image.Image | NDArray[np.uint8]) -> Tensor:
    """RGB image, or (H, W, 3) uint8 -> (3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(image, dtype=np.float32)).div_(127.5).sub_(1).permute(2, 0, 1)


def to_image(picture: Tensor) -> Image.Image:
    """(3, H, W) in [-1, 1] (values beyond are clipped) -> RGB image."""
    levels = picture.detach().float().add(1).mul(127.5).round().clamp(0, 255).byte()
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())


def simplify(photo: NDArray[np.uint8], detail: float, mask: NDArray[np.float32] | None = None) -> NDArray[np.uint8]:
    """Take small structures out of a photograph and leave the edges of large ones sharp.

    Rolling guidance (Zhang et al., 2014) with the guided filter (He et al., 2010) as its joint filter: what a blur
    wipes out does not come back, what survives it is sharpened again.

    Args:
        photo: (H, W, 3) uint8.
        detail: in (0, 1]; 1 leaves the photograph untouched; towards 0, seams go first, then folds and pockets.
        mask: (H, W) float32 in [0, 1]; what lies outside does not run into what lies inside.

    Returns:
        (H, W, 3) uint8.
    """
    if detail == 1:
        return photo
    sigma = 0.01 * (1 - detail) * max(photo.shape[:2])
    side = 2 * math.ceil(1.5 * sigma) + 1
    weight = np.ones((*photo.shape[:2], 1), np.float32) if mask is None else mask[..., None] + np.float32(1e-4)
    values = np.asarray(photo, np.float32) / 255

    def blur(x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(cv2.blur(x, (side, side)), np.float32)

    def smooth(x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(cv2.GaussianBlur(x, (0, 0), sigma), np.float32)

    def mean(x: NDArray[Any], filtered: Callable[[NDArray[Any]], NDArray[Any]] = blur) -> NDArray[Any]:
        return np.asarray(filtered(x * weight) / filtered(weight)[..., None], np.float32)

    guide = mean(values, smooth)
    mean_values = mean(values)
    for _ in range(4):
        mean_guide = mean(guide)
        slope = (mean(guide * values) - mean_guide * mean_values) / (mean(guide * guide) - mean_guide**2 + 1e-3)
        guide = mean(slope) * guide + mean(mean_values - slope * mean_guide)
    return np.asarray(np.clip(255 * guide + 0.5, 0, 255), np.uint8)


def read_mask(source: Source, size: tuple[int, int], limits: PictureLimits = LOCAL) -> NDArray[np.float32]:
    """A mask that somebody made: white, or opaque where the file has transparency, is the garment.

    Args:
        source: see ``read_picture``.
        size: (width, height) of the photograph, px. The mask may have another size, but not other proportions.
        limits: on what the file may cost.
    Returns:
        (H, W) float32 in [0, 1].
    Raises:
        ImageError: it cannot be read, has other proportions, or marks nothing, or all.
    """
    picture = read_picture(source, limits)
    (width, height), (own_width, own_height) = size, picture.image.size
    if abs(width * own_height - own_width * height) > PROPORTION * max(width * own_height, own_width * height):
        raise ImageError(
            f"The mask is {own_width} x {own_height} px and the photograph {width} x {height}: give one of the same proportions."
        )
    grey = Image.fromarray(picture.mask) if picture.mask is not None else picture.image.convert("L").convert("F").point(_to_one)
    mask = np.asarray(grey.resize(size, Image.Resampling.BILINEAR), np.float32).clip(0, 1)
    share, frame = float((mask > 0.5).mean()), np.concatenate([mask[[0, -1]].ravel(), mask[:, [0, -1]].ravel()])
    if not SMALLEST_MASK < share < 1 - SMALLEST_MASK:
        raise ImageError(
            "The mask marks "
            + ("nothing" if share <= SMALLEST_MASK else "all of the picture")
            + ": make the garment white, and what is around it black."
        )
    if (frame > 0.5).all():
        raise ImageError("The mask marks what is around the garment: make the garment white, and what is around it black.")
    return mask


def _to_one(level: Any) -> Any:
    return level * (1 / 255)


def can_read(kind: Kind) -> bool:
    """Whether pictures of a kind can be read on this machine."""
    return kind.role is Role.PICTURE or any(importlib.util.find_spec(module) for module in kind.modules)


def _bytes(source: str | Path | bytes, limits: PictureLimits) -> tuple[bytes, Kind | None]:
    """A file's bytes, if it is one that may hold a picture, and its kind. Raises ImageError."""
    if isinstance(source, bytes):
        name, data = "", source
    else:
        name, data = Path(source).name, _file(source, limits)
    if len(data) > limits.megabytes * 2**20:
        raise ImageError(f"The file has {len(data) / 2**20:.0f} MB: use one of at most {limits.megabytes} MB.")
    if not data:
        raise ImageError("The file is empty: copy it again, or leave it out.")
    kind = kind_of(name, data[:HEAD])
    if kind is not None and not can_read(kind):
        raise ImageError(f"This is {kind.refusal}, and try again.")
    return data, kind


def _file(path: str | Path, limits: PictureLimits) -> bytes:
    """The bytes of a regular file, as many as may be looked at. A pipe or a device is never waited for."""
    try:
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        with open(os.open(path, flags), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise ImageError(f"{printable(str(path))} is not a file: name a picture.")
            if about.st_size > limits.megabytes * 2**20:
                raise ImageError(f"The file has {about.st_size / 2**20:.0f} MB: use one of at most {limits.megabytes} MB.")
            return file.read(limits.megabytes * 2**20 + 1)
    except OSError as error:
        raise ImageError(f"{printable(str(path))} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError("A file's name cannot hold a zero byte: name a picture.") from error


def _in_memory(source: NDArray[Any] | Image.Image, limits: PictureLimits, side: int) -> Decoded:
    image = _from_array(source) if isinstance(source, np.ndarray) else source
    check_size(image.size, limits)
    try:
        return normalise(image, side)
    except RefusedPictureError:
        raise
    except Exception as error:  # the caller's image may be a lazy one
        raise ImageError(f"The picture is damaged or cut short: {SAVE_AS}.") from error


def _picture(found: Decoded) -> Picture:
    mask = None if found.mask is None else np.asarray(found.mask, np.float32) / np.float32(255)
    return Picture(found.rgb, mask, found.pages, found.unseen)


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ImageError(f"An array of shape {array.shape} is not a picture: give (H, W), (H, W, 3) or (H, W, 4).")
    height, width = array.shape[:2]
    if not array.size:
        raise ImageError(f"The picture is {width} x {height} px: use one of at least {SHORTEST} px on each side.")
    if array.dtype == np.uint16:
        array = array / 65535
    elif array.dtype == bool:
        array = array.astype(np.float32)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise ImageError("An array of floats should lie in [0, 1]: scale it, or give uint8.")
        array = (255 * array + 0.5).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ImageError(f"An array of {array.dtype} is not a picture: give uint8, uint16, or floats in [0, 1].")
    return Image.fromarray(np.ascontiguousarray(array))
