"""Pages and drawings of the first step, in batches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedgai import ateliers as atelier
from fedgai.networks import hatching as strokes
from fedgai.training.pretrain.house_config import NAMED, HouseConfig, hands


class PageBatches:
    """The arrays of stage 1, and batches of them.

    Args:
        work: where stage 1 left them. config: that it worked with.
        device: where batches come to lie. A GPU holds all photographs and drawings; else they stay on the disk.
    """

    def __init__(self, work: Path, config: HouseConfig, device: str = "cpu") -> None:
        index = json.loads((work / "drawings.json").read_text())
        self.device = torch.device(device)
        self.photo = _array(work / "photo.npy", self.device)
        self.drawing = _array(work / "drawings.npy", self.device)
        self.lines, self.tone, self.distance = (np.load(work / f"{k}.npy", mmap_mode="r") for k in ("lines", "tone", "distance"))
        self.page = [np.asarray(p) for p in index["page"]]
        self.first = np.concatenate([[0], np.cumsum(index["counts"])])
        self.hands = hands(config)
        self.codes = torch.stack([strokes.stroke_code(h.angle, h.period) for h in self.hands]).to(device)
        numbers = np.stack([_targets(h) for h in self.hands])
        self.numbers = torch.from_numpy((numbers - numbers.mean(0)) / (numbers.std(0) + 1e-6)).to(device)
        # a hand without lines has no angle, one without lines and dots no period
        lined = [h.hatch + h.cross > 0 or h.wash > 0 for h in self.hands]
        dotted = [line or h.stipple > 0 for line, h in zip(lined, self.hands, strict=True)]
        self.known = torch.tensor([[a, a, p] for a, p in zip(lined, dotted, strict=True)], dtype=torch.float32, device=device)

    def photos(self, pages: np.ndarray) -> Tensor:
        """(B,) page indices -> (B, 3, HEIGHT, WIDTH) in [-1, 1]."""
        return _tensor(self.photo[pages])

    def sketches(self, hand: int, which: np.ndarray) -> Tensor:
        """(n, 3, HEIGHT, WIDTH) in [-1, 1]: drawings ``which`` of a hand."""
        return _tensor(self.drawing[self.first[hand] + which])

    def batch(self, rng: np.random.Generator, size: int, named: float) -> tuple[np.ndarray, Tensor, Tensor]:
        """Pairs: hands (B,), photographs and sketches (B, 3, HEIGHT, WIDTH); a share ``named`` by the eight ateliers."""
        chosen = np.where(rng.random(size) < named, rng.integers(0, NAMED, size), rng.integers(NAMED, len(self.hands), size))
        which = [int(rng.integers(len(self.page[h]))) for h in chosen]
        photo = self.photos(np.array([self.page[h][w] for h, w in zip(chosen, which, strict=True)]))
        sketch = _tensor(self.drawing[self.first[chosen] + np.array(which)])
        return chosen, photo, sketch


def _targets(hand: atelier.Hand) -> np.ndarray:
    """What the encoder's statistics must tell about a hand; angle and period only through the stroke code."""
    numbers = hand.numbers
    code = strokes.stroke_code(hand.angle, hand.period).numpy()
    lined = float(hand.hatch + hand.cross > 0)
    return np.concatenate([numbers, code[:2] * lined]).astype(np.float32)


def _array(path: Path, device: torch.device) -> np.ndarray | Tensor:
    """An array of stage 1: on the disk for a processor, in a GPU's memory for a GPU, which would wait for the disk."""
    kept: np.ndarray = np.load(path, mmap_mode="r")
    if device.type == "cpu":
        return kept
    return torch.cat([torch.from_numpy(kept[i : i + 512].copy()).to(device) for i in range(0, len(kept), 512)])


def _tensor(images: np.ndarray | Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1], channels_last."""
    images = torch.from_numpy(np.ascontiguousarray(images)) if isinstance(images, np.ndarray) else images
    return (images.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
