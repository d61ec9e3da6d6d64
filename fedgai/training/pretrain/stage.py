"""One stage's loop: its learning rate, its log and the state that it goes on from."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fedgai.files import replacing
from fedgai.training.optimisers import AdamW

log = logging.getLogger("fedgai.training.pretrain")


class Stage:
    """One stage's loop: learning-rate schedule, log lines with the remaining time, and checkpoints to resume from."""

    def __init__(
        self, name: str, work: Path, parts: dict[str, nn.Module], steps: int, rate: float, seed: int, save_every: int = 200
    ) -> None:
        self.name, self.steps, self.rate, self.save_every = name, steps, rate, save_every
        self.path, self.parts = work / f"{name}.pt", parts
        self.optimisers = {k: AdamW(m.parameters(), rate, betas=(0.9, 0.98), weight_decay=1e-4) for k, m in parts.items()}
        self.rng, self.step = np.random.default_rng(seed), 0
        if self.path.exists():  # written by this command; weights_only refuses anything but tensors and plain values
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            for k, m in parts.items():
                m.load_state_dict(state["parts"][k])
                self.optimisers[k].load_state_dict(state["optimisers"][k])
            self.step = state["step"]
            self.rng.bit_generator.state = json.loads(state["rng"])
        torch.manual_seed(seed + self.step)
        self.sums: dict[str, list[Tensor]] = {}
        self.started, self.first = time.time(), self.step

    def __iter__(self) -> Iterator[int]:
        while self.step < self.steps:
            warm = min(1.0, (self.step + 1) / 50)
            rate = self.rate * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * self.step / self.steps)))
            for o in self.optimisers.values():
                o.param_groups[0]["lr"] = rate
            yield self.step
            self.step += 1
            if self.step % self.save_every == 0 or self.step == self.steps:
                self.save()

    def update(self, part: str, loss: Tensor) -> None:
        self.optimisers[part].zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parts[part].parameters(), 1.0)
        self.optimisers[part].step()

    def report(self, **losses: Tensor) -> None:
        """Running means, logged every 25 steps with the time left."""
        for k, v in losses.items():
            self.sums.setdefault(k, []).append(v.detach())
        if (self.step + 1) % 25 == 0:
            pace = (time.time() - self.started) / (self.step + 1 - self.first)
            text = "  ".join(f"{k} {torch.stack(v).mean().item():.4f}" for k, v in self.sums.items())
            log.info(
                "%s %d/%d  %s  %.2f s/step, %.1f min left",
                self.name,
                self.step + 1,
                self.steps,
                text,
                pace,
                pace * (self.steps - self.step - 1) / 60,
            )
            self.sums = {}

    def save(self) -> None:
        state = {
            "step": self.step,
            "rng": json.dumps(self.rng.bit_generator.state),
            "parts": {k: m.state_dict() for k, m in self.parts.items()},
            "optimisers": {k: o.state_dict() for k, o in self.optimisers.items()},
        }
        with replacing(self.path) as temp_path:
            torch.save(state, temp_path)
