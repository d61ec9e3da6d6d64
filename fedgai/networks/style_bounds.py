"""What a signature can be: between the statistics of the most extreme drawings that there are.

A signature comes from somebody else's machine. Numbers that no drawing gives are refused, so that nobody can turn other
people's drawings black with them. The bounds follow from the frozen encoder alone, so every machine finds the same ones.
Those of the built-in weights are kept in ``shipped_bounds.py``, which this command rewrites:

    python -m fedgai.networks.style_bounds
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from fedgai.networks import shipped_bounds
from fedgai.networks.encoder import sha256
from fedgai.networks.style import EPS, image_statistics, split

SIDE = 128  # px of the extreme drawings
SLACK = 0.25  # of the range that they span, at both ends: a drawing may be more extreme than ours


@dataclass(frozen=True)
class StyleBounds:
    """The least and the greatest that each number of a signature can be, (2 * sum C_l,) float32 each."""

    least: Tensor
    most: Tensor

    def __post_init__(self) -> None:
        if not (self.least <= self.most).all():
            raise ValueError("a bound's least is above its most")

    def hold(self, style: Tensor) -> bool:
        """Whether (..., D) lies within them."""
        return bool(((style >= self.least) & (style <= self.most)).all())

    def clamp(self, style: Tensor) -> Tensor:
        """(..., D), each number moved to the nearest that is within them."""
        return torch.clamp(style, self.least, self.most)


def extreme_drawings() -> Tensor:
    """(N, 3, SIDE, SIDE) float32 in [-1, 1]: blank, full, noise of all grains, lines of all widths, distances and angles."""
    rng = np.random.default_rng(24)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    inks = [np.array(c, np.float32) for c in itertools.product((0, 1), repeat=3)]  # the corners of the colour cube
    half = np.array([0.5, 0.5, 0.5], np.float32)
    found: list[np.ndarray] = [np.broadcast_to(ink, (SIDE, SIDE, 3)) for ink in [*inks, half]]
    for grain, ink in itertools.product((1, 2, 4, 8, 16), (inks[0], inks[3], inks[5], inks[6])):
        cells = rng.random((SIDE // grain, SIDE // grain)).repeat(grain, 0).repeat(grain, 1)[..., None]
        found += [np.where(cells < share, ink, 1) for share in (0.1, 0.5, 0.9)]
    found += [rng.random((SIDE // g, SIDE // g, 3)).repeat(g, 0).repeat(g, 1) for g in (1, 2, 4, 8)]
    for period, share, angle in itertools.product((2, 3, 4, 6, 9, 14, 24, 48), (0.15, 0.5, 0.85), (0, 45, 90, 135)):
        phase = (x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))) / period % 1
        found.append(np.where((phase < share)[..., None], inks[0], np.float32(1)))
    for period in (2, 4, 8, 16, 32):
        board = ((x // period + y // period) % 2)[..., None]
        found += [np.where(board > 0, ink, 1 - ink) for ink in inks[:4]]
    white = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
    for sigma, level, strength in itertools.product((0, 0.5, 0.8, 1.4, 3), (0.2, 0.5, 0.8), (0.1, 0.25, 0.5)):
        tooth = cv2.GaussianBlur(white, (0, 0), sigma) if sigma else white  # pencil and charcoal on rough paper
        grey = np.clip(level + strength * tooth / tooth.std(), 0, 1)[..., None]
        found += [grey, 1 - (1 - grey) * np.float32(rng.random(3))]
    ramp = np.broadcast_to((x / SIDE)[..., None], (SIDE, SIDE, 3))
    found += [ramp, ramp**3, 1 - ramp**3]
    pictures = np.stack([np.float32(np.broadcast_to(p, (SIDE, SIDE, 3))) for p in found])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2) * 2 - 1


def bounds_of(encoder: nn.Module, channels: Sequence[int]) -> StyleBounds:
    """The bounds of a frozen encoder's signatures. Those of another than the shipped one take a process about a second, once.

    Args:
        encoder: in eval mode, not folded for inference.
        channels: its widths, finest first.
    """
    name = sha256(encoder)
    return _shipped() if name == shipped_bounds.ENCODER else _bounds(_Encoder(encoder, name), tuple(channels))


@lru_cache(maxsize=1)
def _shipped() -> StyleBounds:
    least, most = (
        torch.from_numpy(np.frombuffer(base64.b85decode("".join(text.split())), "<f4").astype(np.float32))
        for text in (shipped_bounds.LEAST, shipped_bounds.MOST)
    )
    return StyleBounds(least, most)


class _Encoder:
    """An encoder that equals another by its weights, for the cache."""

    def __init__(self, network: nn.Module, name: str) -> None:
        self.network, self.name = network, name

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Encoder) and other.name == self.name


@lru_cache(maxsize=4)
@torch.no_grad()
def _bounds(encoder: _Encoder, channels: tuple[int, ...]) -> StyleBounds:
    device = next(encoder.network.parameters()).device
    rows = torch.cat([image_statistics(encoder.network(part.to(device))).cpu() for part in extreme_drawings().split(16)])
    least, most = [], []
    for mean, deviation in split(rows, channels):
        low, high = mean.amin(0), mean.amax(0)
        slack = SLACK * (high - low)
        # the variance of a set is the mean of its drawings' and the variance of their means
        widest = (deviation.amax(0).square() + ((high - low) / 2).square()).sqrt()
        least += [low - slack, torch.full_like(widest, EPS**0.5 / 2)]
        most += [high + slack, (1 + SLACK) * widest + EPS**0.5]
    return StyleBounds(torch.cat(least), torch.cat(most))


def main() -> None:
    """Write ``shipped_bounds.py`` for the built-in weights."""
    from fedgai.model import FedGAI  # which imports this file

    model = FedGAI.load()
    found = _bounds(_Encoder(model.encoder, model.encoder_sha256), model.preset.channels)
    lines = [
        '"""The bounds of the built-in encoder\'s signatures, float32 in base 85: ``python -m fedgai.networks.style_bounds``."""',
        "",
        f'ENCODER = "{model.encoder_sha256}"',
    ]
    for name, values in (("LEAST", found.least), ("MOST", found.most)):
        text = base64.b85encode(values.numpy().astype("<f4").tobytes()).decode()
        lines += [f'{name} = """', *(text[i : i + 120] for i in range(0, len(text), 120)), '"""']
    Path(shipped_bounds.__file__).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
