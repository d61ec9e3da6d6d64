"""What the draughtsman's lessons share: options, a step, the running mean, and the losses in the log."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from experiments import gpu_lesson
from fedgai.draughtsman import Draughtsman, Network
from fedgai.training.lesson import Lesson, MeanLosses, copies, descend, follow, options, parameter_groups, set_rates
from fedgai.training.optimisers import AdamW


@dataclass(frozen=True)
class Short(Lesson):
    """A lesson for the tests."""

    rate: float = 0.1
    most_pages: int | None = None


def test_a_lessons_settings_are_options_of_its_command() -> None:
    parser = options("A lesson.", opinion=False)
    Short.add_options(parser)
    needed = "--photos a --photos b --work w --start s --out o".split()
    assert Short.of(parser.parse_args(needed)) == Short()
    args = parser.parse_args([*needed, "--rate", "0.5", "--most-pages", "3", "--seed", "7"])
    assert Short.of(args) == Short(rate=0.5, most_pages=3, seed=7)
    assert args.photos == [Path("a"), Path("b")] and args.processes == 1
    with pytest.raises(SystemExit):
        options("A lesson.").parse_args(needed)  # without --opinion


def test_rates_rise_and_fall() -> None:
    network = Network()
    optimizer = AdamW(parameter_groups(network), 1.0)
    found = []
    for step, progress in ((0, 0.0), (9, 0.5), (99, 1.0)):
        set_rates(optimizer, (2.0, 1.0), step, progress, warm_up=10)
        backbone, decoder = (group["lr"] for group in optimizer.param_groups)
        assert backbone == 2 * decoder
        found.append(decoder)
    assert found == pytest.approx([0.1, 0.5, 0.0])
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))


def test_a_steps_gradient_is_cut_and_the_mean_follows() -> None:
    torch.manual_seed(5)
    start = Network()
    network, teacher, mean = copies(start)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 1.0)
    descend(optimizer, {"one": 100 * network.head.bias.sum(), "other": 100 * network.head.weight.sum()})
    moved = [(a - b).detach() for a, b in zip(network.parameters(), teacher.parameters(), strict=True)]
    assert math.sqrt(sum(change.square().sum().item() for change in moved)) == pytest.approx(1, rel=1e-3)
    follow(mean, network, 0.75)
    for now, old, new in zip(mean.parameters(), teacher.parameters(), network.parameters(), strict=True):
        assert torch.equal(now, old.clone().lerp_(new, 0.25)) and not now.requires_grad
    assert all(torch.equal(a, b) for a, b in zip(teacher.parameters(), start.parameters(), strict=True))


def test_losses_are_averaged_since_they_were_last_asked_for() -> None:
    means = MeanLosses()
    for value in (1.0, 2.0):
        means.add({"mask": torch.tensor(value, requires_grad=True), "lines": torch.tensor(4.0)})
    assert means.take() == "mask 1.5000, lines 4.0000"
    means.add({"mask": torch.tensor(5.0)})
    assert means.take() == "mask 5.0000"


def test_a_lesson_on_a_gpu_ends_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here on the processor, with a clock that goes on by a second whenever it is read."""
    monkeypatch.setattr(gpu_lesson, "time", SimpleNamespace(monotonic=itertools.count().__next__))
    torch.manual_seed(5)
    start, photo, filled = Draughtsman(Network()), torch.rand(1, 3, 32, 32), []
    passed: list[float] = []

    def losses(networks: tuple[Network, Network, Network], progress: float) -> dict[str, Tensor]:
        network, teacher, mean = networks
        passed.append(progress)
        seen, before = network(photo)[0], teacher(photo)[0].detach()
        assert torch.equal(before, start.network(photo)[0]) and not mean(photo)[0].requires_grad
        return {"away": (seen - before - 1).square().mean()}

    mean, steps = gpu_lesson.learn(start, 5.0, "cpu", lambda: filled.append(1), losses)
    assert passed == pytest.approx([0.2, 0.4, 0.6, 0.8]) and steps == len(filled) == 4
    assert (mean(photo)[0] - start.network(photo)[0] - 1).square().mean() < 1
