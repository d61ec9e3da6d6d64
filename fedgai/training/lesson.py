"""What the draughtsman's lessons share: their settings, the command's options, pages, a step, and what the log says."""

from __future__ import annotations

import argparse
import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from fedgai.draughtsman import Draughtsman, Network
from fedgai.networks.layers import channels_last

log = logging.getLogger("fedgai.training.lesson")


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Settings of every lesson.

    Attributes:
        rate: of AdamW, after its first steps; it falls to zero as a cosine.
        average: decay of the weights' running mean, which is what is kept.
        seed: of everything.
    """

    rate: float = 6e-4
    average: float = 0.997
    seed: int = 24

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """An option for each setting, with its default."""
        for setting in fields(cls):
            kind = float if isinstance(setting.default, float) else int
            parser.add_argument("--" + setting.name.replace("_", "-"), type=kind, default=setting.default)

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        """The settings that the command was given."""
        return cls(**{setting.name: getattr(args, setting.name) for setting in fields(cls)})


# -- the command ---------------------------------------------------------------------------------------------------------


def options(description: str | None, *, start: bool = True, opinion: bool = True) -> argparse.ArgumentParser:
    """What every lesson's command takes; ``--start`` and ``--opinion`` where these are needed."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, action="append", help="a folder of photographs; again for more")
    parser.add_argument("--work", type=Path, required=True, help="for what is made on the way")
    if start:
        parser.add_argument("--start", type=Path, required=True, metavar="FILE", help="the draughtsman that learns")
    if opinion:
        parser.add_argument("--opinion", type=Path, required=True, metavar="FILE.onnx", help="U²-Net")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    parser.add_argument("--processes", type=int, default=1, help="that make pages, beside the one that learns")
    return parser


def begin(work: Path) -> None:
    """Log to the terminal, and make the folder for what is made on the way."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    work.mkdir(parents=True, exist_ok=True)


def log_gathering(done: int, count: int) -> None:
    """How far ``photographs.gather`` is."""
    if done % 500 == 0:
        log.info("looked at %d of %d photographs", done, count)


def save(learned: Draughtsman, out: Path) -> None:
    """Write the draughtsman, and its SHA-256 into the log."""
    learned.save(out)
    log.info("%s: %d parameters, SHA-256 %s", out, learned.parameters, learned.sha256)


# -- learning ------------------------------------------------------------------------------------------------------------


def batches(
    pages: Dataset[Any],
    size: int,
    numbers: range,
    processes: int,
    collate: Callable[..., Any] | None = None,
    ahead: int = 4,
) -> DataLoader[Any]:
    """Pages by number, so many at a time, made by so many processes; 0 to make them in this one.

    Args:
        collate: makes a batch of a list of pages; by default tensors are stacked.
        ahead: batches that each process makes before they are asked for.
    """
    return DataLoader(
        pages,
        size,
        sampler=numbers,
        num_workers=processes,
        prefetch_factor=ahead if processes else None,
        collate_fn=collate,
        worker_init_fn=_one_thread,
        multiprocessing_context="spawn" if processes else None,
    )


def _one_thread(_: int) -> None:
    """For a process that makes pages: the others use the other cores."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def copies(start: Network, device: str = "cpu") -> tuple[Network, Network, Network]:
    """A network that learns, one that stays as it is now, and the running mean of the weights of the first, on a device."""
    network, teacher = (channels_last(copy.deepcopy(start).to(device)) for _ in range(2))
    network.requires_grad_(True).train()
    return network, teacher, copy.deepcopy(network).requires_grad_(False)


def parameter_groups(network: Network) -> list[dict[str, Any]]:
    """The backbone's parameters and the others, for an optimiser."""
    decoder = [p for name, p in network.named_parameters() if not name.startswith("backbone.")]
    return [{"params": list(network.backbone.parameters())}, {"params": decoder}]


def set_rates(optimizer: torch.optim.Optimizer, rates: Sequence[float], step: int, progress: float, warm_up: int = 100) -> None:
    """The rate of each group: full after ``warm_up`` steps, then falling to zero along a cosine as progress goes from 0 to 1."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * min(1, (step + 1) / warm_up) * 0.5 * (1 + np.cos(np.pi * progress))


def descend(optimizer: torch.optim.Optimizer, losses: Mapping[str, Tensor]) -> None:
    """One step against the losses' sum, its gradient cut to an L2 norm of 1."""
    optimizer.zero_grad(set_to_none=True)
    first, *others = losses.values()
    sum(others, first).backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()


def follow(mean: Network, network: Network, decay: float) -> None:
    """Move the running mean of a network's weights on: ``decay`` of it stays."""
    get_ema_multi_avg_fn(decay)(list(mean.parameters()), list(network.parameters()), 0)


class MeanLosses:
    """Losses by name, averaged over the steps since they were last asked for."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps = 0

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Of one step. They stay on their device: to read one waits for the device."""
        self._sums = {name: self._sums.get(name, 0) + value.detach() for name, value in losses.items()}
        self._steps += 1

    def take(self) -> str:
        """ "name mean, name mean" for the log, and empty the sums."""
        text = ", ".join(f"{name} {value.item() / self._steps:.4f}" for name, value in self._sums.items())
        self._sums, self._steps = {}, 0
        return text
