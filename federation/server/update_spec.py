"""The exact form of an update, to the byte. The server compares each answer with it."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field, replace

import numpy as np
from flwr.app import Array, ArrayRecord
from torch import nn

from fedgai.model import FedGAI
from fedgai.networks.adapter import adapter_size
from fedgai.networks.discriminator import Discriminator
from fedgai.networks.style_bounds import StyleBounds

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class UpdateSpec:
    """What an update of this federation is, to the byte.

    Attributes:
        shapes: name -> shape of every tensor that is shared, in order; all float16.
        withheld: names of BatchNorm tensors, by the modules' types; they stay at home.
        preset, encoder, release: what a designer must have in common with the server (encoder: SHA-256).
        channels: the encoder's four widths, finest first.
        adapter_size: bytes of a hand's adapter, where there is one.
        style_bounds: what the numbers of a signature can be; None where nothing is known of the encoder but its name.
    """

    shapes: dict[str, tuple[int, ...]]
    withheld: frozenset[str]
    preset: str
    encoder: str
    release: str
    channels: tuple[int, ...]
    adapter_size: int = 0
    style_bounds: StyleBounds | None = field(default=None, compare=False)

    @classmethod
    def from_model(cls, model: FedGAI, release: str) -> UpdateSpec:
        preset = model.preset
        spec = cls.from_discriminator(model.discriminator, preset.name, model.encoder_sha256, release, preset.channels)
        return replace(spec, style_bounds=model.style_bounds, adapter_size=adapter_size(model.generator))

    @classmethod
    def from_discriminator(
        cls, discriminator: Discriminator, preset: str, encoder: str, release: str, channels: tuple[int, ...]
    ) -> UpdateSpec:
        shapes = {name: tuple(tensor.shape) for name, tensor in discriminator.shared().items()}
        withheld = frozenset(
            f"{name}.{key}"
            for name, module in discriminator.named_modules()
            if isinstance(module, BATCH_NORMS)
            for key in module.state_dict()
        )
        return cls(shapes, withheld, preset, encoder, release, tuple(channels))

    @property
    def size(self) -> int:
        """Numbers in an update."""
        return sum(map(math.prod, self.shapes.values()))

    @property
    def max_bytes(self) -> int:
        """Bytes of an update's arrays, numpy's headers included: exactly so many, no more and no less."""
        return sum(len(npy_header(shape)) + 2 * math.prod(shape) for shape in self.shapes.values())

    @property
    def style_length(self) -> int:
        """Numbers in a style signature."""
        return 2 * sum(self.channels)

    def row(self, arrays: ArrayRecord) -> np.ndarray:
        """The server's own arrays, any float dtype -> (size,) float32. Raises ValueError where names or shapes differ."""
        if {name: tuple(array.shape) for name, array in arrays.items()} != self.shapes:
            raise ValueError("these arrays are not what this federation shares")
        return np.concatenate([arrays[name].numpy().astype(np.float32).ravel() for name in self.shapes])

    def record(self, row: np.ndarray, dtype: type = np.float16) -> ArrayRecord:
        """(size,) of any float dtype -> what crosses the wire."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes.values()])[:-1]
        parts: list[np.ndarray] = np.split(row.astype(dtype, copy=False), ends)
        shaped = zip(self.shapes.items(), parts, strict=True)
        return ArrayRecord({name: Array(part.reshape(shape)) for (name, shape), part in shaped})


def npy_header(shape: tuple[int, ...]) -> bytes:
    """What numpy.save writes before the numbers of a C-ordered little-endian float16 array."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f2", "fortran_order": False, "shape": shape})
    return buffer.getvalue()
