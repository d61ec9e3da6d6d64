"""Photographs as they were cut out and shown once, kept in a folder, for cutting out takes 0.2 s each.

A file has a SHA-256 of what follows, then height and width, then the picture's levels, packed. Its name is a SHA-256 of all that
the picture was made from: another photograph, draughtsman, release or library has another name, and is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image

import fedgai
from fedgai.files import write_atomically

FOLDER = "cutouts"  # in the folder of a designer's private model
ENDING = ".cutout"
LARGEST = 2048  # px, side of a picture in a file
SIZES = struct.Struct("<II")  # height, width
DIGEST = hashlib.sha256().digest_size

Pixels = NDArray[np.uint8]


class KeptCutouts:
    """Pictures made from photographs, in a folder.

    A folder that cannot be read or written, and a file that is damaged or somebody else's, cost time and nothing else.

    Args:
        folder: to keep them in. It is made here where the folder around it is there; otherwise nothing is kept.
        made_with: SHA-256 of the weights that they are made with.
    """

    def __init__(self, folder: Path, made_with: str) -> None:
        self.folder = folder
        self._made_with = f"{made_with} {code_version()}"
        self._used: set[str] = set()

    def picture(self, photo: Image.Image, side: int, make: Callable[[], Pixels]) -> Pixels:
        """The picture of a photograph at this size: the one that was kept, or what ``make`` returns, (H, W, 3) uint8."""
        key = hashlib.sha256(f"{self._made_with} {side} {photo.mode} {photo.size}\n".encode() + photo.tobytes()).hexdigest()
        file = self.folder / f"{key}{ENDING}"
        self._used.add(file.name)
        kept = _read(file, key)
        if kept is None:
            kept = make()
            with contextlib.suppress(OSError):
                self.folder.mkdir(exist_ok=True, mode=0o700)
                write_atomically(file, _packed(kept, key))
        return kept

    def forget_others(self) -> None:
        """Delete the pictures that were not asked for since this object was made, and what a kill left of one."""
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(self.folder)):
                written_here = entry.name.endswith(ENDING) or (f"{ENDING}." in entry.name and entry.name.endswith(".tmp"))
                if written_here and entry.name not in self._used:
                    Path(entry.path).unlink()


@cache
def code_version() -> str:
    """What a cut-out depends on beside the photograph and the weights: a hash of this library's files, and others' versions."""
    root = Path(fedgai.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(file.relative_to(root).as_posix().encode() + hashlib.sha256(file.read_bytes()).digest())
    return f"{digest.hexdigest()} {torch.__version__} {cv2.__version__} {np.__version__} {PIL.__version__}"


def _packed(picture: Pixels, key: str) -> bytes:
    content = SIZES.pack(*picture.shape[:2]) + zlib.compress(picture.tobytes(), 1)
    return _digest(content, key) + content


def _digest(content: bytes, key: str) -> bytes:
    return hashlib.sha256(key.encode() + content).digest()


def _read(file: Path, key: str) -> Pixels | None:
    """Returns None if there is no such file, or it is not as it was written."""
    try:
        if file.stat().st_size > 4 * LARGEST**2:
            return None
        data = file.read_bytes()
        content = data[DIGEST:]
        if data[:DIGEST] != _digest(content, key):
            return None
        height, width = SIZES.unpack_from(content)
        if max(height, width) > LARGEST:
            return None
        levels = zlib.decompressobj().decompress(content[SIZES.size :], height * width * 3 + 1)
        return np.frombuffer(levels, np.uint8).reshape(height, width, 3)
    except (OSError, ValueError, struct.error, zlib.error):
        return None
