"""Pictures in and out: any file or array that a person may bring becomes plain RGB, or is refused in a sentence."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from fedgai.errors import FedGAIError

MAX_BYTES = 32 * 2**20
MAX_PIXELS = 50_000_000
MAX_SIDE, MIN_SIDE = 20_000, 16
DECODED_SIDE = 2048  # px, twice the largest sketch; longer JPEGs are decoded at 1/2, 1/4 or 1/8, down to this
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000")  # EPS would start Ghostscript
SAVE_AS = "save it as JPEG or PNG and try again"

Image.init()  # else only the five commonest formats are known
# our own limit is lower, and refuses before anything is decoded
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageError(FedGAIError):
    """A picture that cannot be used. The message is one sentence that says why, and what to do."""


def read_image(source: str | Path | bytes | Image.Image | np.ndarray) -> Image.Image:
    """Read a picture of any mode as it is meant to be seen.

    Args:
        source: a path, a file's bytes, a PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): bool, uint8,
            uint16, or floating point in [0, 1].

    Returns:
        An RGB image: EXIF rotation applied, transparency laid on white, the first frame of an animation, 16 bits and
        floats scaled to 8. A JPEG longer than ``2 * DECODED_SIDE`` comes at a fraction of its size.

    Raises:
        ImageError: not an image, damaged, or beyond ``MAX_BYTES``, ``MAX_PIXELS``, ``MAX_SIDE`` or ``MIN_SIDE``.
    """
    if isinstance(source, np.ndarray):
        image = _from_array(source)
    elif isinstance(source, Image.Image):
        image = source
    else:
        image = _open(source)
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"The picture is {width} x {height} px: use one of at least {MIN_SIDE} px on each side.")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ImageError(f"The picture is {width} x {height} px: scale it down to at most {MAX_SIDE:,} px on a side "
                         f"and {MAX_PIXELS // 10**6} million pixels in all.")
    try:
        if image is not source:  # of a lazy image of the caller's, draft would change the size
            scale = DECODED_SIDE / max(width, height)
            image.draft(None, (round(width * scale), round(height * scale)))  # does something in JPEG only
        return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # decoders raise whatever they like at hostile bytes
        raise ImageError(f"The picture is damaged or cut short: {SAVE_AS}.") from error


def find_images(folder: str | Path) -> list[Path]:
    """Picture files in a folder and below it, by their names' endings, sorted. Raises ImageError for none."""
    endings = Image.registered_extensions()
    found = sorted(path for path in Path(folder).rglob("*")
                   if endings.get(path.suffix.lower()) in FORMATS and not path.name.startswith("."))
    if not found:
        raise ImageError(f"{folder} holds no pictures: name a folder with JPEG or PNG files.")
    return found


def to_tensor(image: Image.Image | np.ndarray) -> Tensor:
    """RGB image, or (H, W, 3) uint8 -> (3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(image, dtype=np.float32)).div_(127.5).sub_(1).permute(2, 0, 1)


def to_image(picture: Tensor) -> Image.Image:
    """(3, H, W) in [-1, 1] (values beyond are clipped) -> RGB image."""
    levels = picture.detach().float().add(1).mul(127.5).round().clamp(0, 255).byte()
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())


def simplify(photo: np.ndarray, detail: float, mask: np.ndarray | None = None) -> np.ndarray:
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
    values = np.float32(photo) / 255

    def mean(x: np.ndarray, blur: Callable = lambda x: cv2.blur(x, (side, side))) -> np.ndarray:
        return blur(x * weight) / blur(weight)[..., None]

    guide = mean(values, lambda x: cv2.GaussianBlur(x, (0, 0), sigma))
    mean_values = mean(values)
    for _ in range(4):
        mean_guide = mean(guide)
        slope = (mean(guide * values) - mean_guide * mean_values) / (mean(guide * guide) - mean_guide**2 + 1e-3)
        guide = mean(slope) * guide + mean(mean_values - slope * mean_guide)
    return np.uint8(np.clip(255 * guide + 0.5, 0, 255))


def _open(source: str | Path | bytes) -> Image.Image:
    """Header only: nothing is decoded yet."""
    try:
        size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
        if size > MAX_BYTES:
            raise ImageError(f"The file has {size / 2**20:.0f} MB: use one of at most {MAX_BYTES // 2**20} MB.")
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise ImageError(f"{source} cannot be read: {error.strerror}.") from error
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(f"The picture is too large: scale it to {MAX_PIXELS // 10**6} million pixels.") from error
    except Exception as error:  # as above
        raise ImageError(f"This is not a picture that can be read here: {SAVE_AS}.") from error


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ImageError(f"An array of shape {array.shape} is no picture: give (H, W), (H, W, 3) or (H, W, 4).")
    if array.dtype == np.uint16:
        array = array / 65535
    elif array.dtype == bool:
        array = array.astype(np.float32)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min(initial=0) < 0 or array.max(initial=0) > 1:
            raise ImageError("An array of floats should lie in [0, 1]: scale it, or give uint8.")
        array = np.uint8(255 * array + 0.5)
    if array.dtype != np.uint8:
        raise ImageError(f"An array of {array.dtype} is no picture: give uint8, uint16, or floats in [0, 1].")
    return Image.fromarray(np.ascontiguousarray(array))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode[0] == "I":
        return Image.fromarray(_levels(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _levels(values: np.ndarray) -> np.ndarray:
    """(H, W) integers of 16 or 32 bits, or floats -> uint8. White is the top of the smallest range that holds them."""
    if values.dtype == np.uint16:
        top = 65535
    else:  # files do not say how deep they are: 1 for floats, else 8, 16 or 32 bits
        values = np.nan_to_num(values.astype(np.float64))
        tops = ([1] if (values % 1).any() else []) + [255, 65535, 2**32 - 1]
        top = next((t for t in tops if values.max() <= t), values.max())
    return np.uint8(np.clip(values / top * 255 + 0.5, 0, 255))
