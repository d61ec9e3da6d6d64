"""Photograph tensor to sketch tensor: time, memory, arithmetic, parameters; FedGAI's presets beside known networks.

    python -m benchmarks.inference [--json] [--names edge authors-full] [--sizes 256] [--batches 1] [--repeat 15]

Every network runs in float32 on the CPU with random weights (they do not change the cost) and under inference_mode.
Networks of the same size and batch take turns, round after round, so that a drift of the machine hits all alike; the
median over all their runs is kept. Milliseconds belong to the machine; ratios are what to compare. Peak memory is the
whole process's, with the interpreter and torch in it, measured in a fresh process for each row.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.networks import YARDSTICKS
from fedgai.model import PRESETS, FedGAI

NAMES = (*PRESETS, *YARDSTICKS)
SIZES, BATCHES = (256, 512, 1024), (1, 8)
YARDSTICK_SIZE = 512  # the largest for yardsticks unless --all: 8 x 1024 px takes them a minute a run
RATIOS = {  # name: (slower, faster, size, batch); DESIGN's two floors
    "authors-full / edge, 256 px": ("authors-full", "edge", 256, 1),
    "informative-drawings / edge, 512 px": ("informative-drawings", "edge", 512, 1),
}
TURN, GROUP, SLOW = 0.25, 30.0, 5.0  # seconds: a network's turn, one size and batch in all, a run that needs no warm-up


@dataclass
class Result:
    """One row. Times in milliseconds, ``peak_mb`` in MB (2**20 bytes), ``gflop`` in 1e9 floating-point operations a run
    (a multiply-add is two). ``skipped`` says why a row has no figures."""

    name: str
    size: int
    batch: int
    median_ms: float | None = None
    peak_mb: float | None = None
    gflop: float | None = None
    parameters: int | None = None
    runs: int = 0
    skipped: str | None = None

    @property
    def pixels(self) -> int:
        return self.batch * self.size**2


class Drawing(nn.Module):
    """A preset as the studio runs it: fused, channels_last, encoder and Generator with one signature."""

    def __init__(self, preset: str) -> None:
        super().__init__()
        model = FedGAI(preset).for_inference()
        self.encoder, self.generator = model.encoder, model.generator
        self.register_buffer("style", torch.rand(1, 2 * sum(model.preset.channels)) + 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.generator(self.encoder(x.contiguous(memory_format=torch.channels_last)), self.style)


def build(name: str) -> nn.Module:
    """A network of ``NAMES`` in eval mode: (B, 3, S, S) in [-1, 1] -> (B, 1 or 3, S, S)."""
    torch.manual_seed(0)
    network = Drawing(name) if name in PRESETS else YARDSTICKS[name]()
    return network.eval().requires_grad_(False)


def parameters(name: str) -> int:
    """Trainable numbers of the path from photograph to sketch, before any fusing; no Discriminator."""
    if name in PRESETS:
        model = FedGAI(name)
        return sum(p.numel() for part in (model.encoder, model.generator) for p in part.parameters())
    return sum(p.numel() for p in build(name).parameters())


def photographs(size: int, batch: int) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@torch.inference_mode()
def gflop(network: nn.Module, size: int, batch: int) -> float:
    """1e9 operations of convolutions and matrix products for one run; shapes only, nothing is computed."""
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        network(torch.empty(batch, 3, size, size))
    return counter.get_total_flops() / 1e9


@torch.inference_mode()
def peak(name: str, size: int, batch: int) -> tuple[float, float]:
    """Peak memory (MB) of this process after one run, and that run's seconds. Meant for a fresh process."""
    network, x = build(name), photographs(size, batch)
    start = time.perf_counter()
    network(x)
    seconds = time.perf_counter() - start
    # not ru_maxrss, which a process inherits from the one that started it
    kilobytes = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    return kilobytes / 2**10, seconds


def peak_of(row: Result) -> float | None:
    """``peak`` in a process of its own; fills the row, returns the run's seconds, or None where it did not survive."""
    code = f"from benchmarks.inference import peak; print(*peak({row.name!r}, {row.size}, {row.batch}))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if child.returncode:
        last = (child.stderr.strip().splitlines() or [""])[-1][:120]
        row.skipped = "out of memory" if child.returncode == -9 or "allocate" in last else last
        return None
    row.peak_mb, seconds = (float(value) for value in child.stdout.split())
    return seconds


def refuse_too_large(row: Result, done: Sequence[Result]) -> None:
    """Skip a row that would not fit, judged by the network's own peak at fewer pixels: the machine may be shared."""
    smaller = [r for r in done if r.name == row.name and r.peak_mb and r.pixels < row.pixels]
    if smaller and not row.skipped:
        nearest = max(smaller, key=lambda r: r.pixels)
        need, free = nearest.peak_mb * row.pixels / nearest.pixels, available_mb()
        if need > 0.9 * free:
            row.skipped = f"needs about {need / 1024:.0f} GB, {free / 1024:.0f} GB are free"


def available_mb() -> float:
    """Memory that may be taken without swapping, MB; unlimited where the system does not say."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return math.inf


@torch.inference_mode()
def take_turns(networks: dict[str, nn.Module], x: Tensor, repeat: int, cold: set[str]) -> dict[str, list[float]]:
    """Seconds of every run. Each round gives each network one turn of at least ``TURN`` seconds and one run.

    Args:
        x: (B, 3, S, S).
        repeat: rounds at most; fewer once ``GROUP`` seconds are over, one at least.
        cold: networks that need a warm-up run first.
    """
    for name in cold:
        networks[name](x)
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    start = time.perf_counter()
    for _ in range(repeat):
        for name, network in networks.items():
            turn = time.perf_counter()
            while True:
                run = time.perf_counter()
                network(x)
                end = time.perf_counter()
                seconds[name].append(end - run)
                if end - turn > TURN:
                    break
        if time.perf_counter() - start > GROUP:
            break
    return seconds


def plan(names: Sequence[str], sizes: Sequence[int], batches: Sequence[int], everything: bool) -> list[Result]:
    """The rows, those that share size and batch next to each other."""
    rows = [Result(name, size, batch) for size in sizes for batch in batches for name in names]
    for row in rows:
        if row.name in YARDSTICKS and row.size > YARDSTICK_SIZE and not everything:
            row.skipped = f"yardsticks stop at {YARDSTICK_SIZE} px; --all runs them"
    return rows


def measure(rows: list[Result], repeat: int, say: Callable[[str], None] = lambda line: None) -> list[Result]:
    """Fill in the rows and return them. ``say`` is told what is being measured."""
    networks = {name: build(name) for name in dict.fromkeys(row.name for row in rows)}
    counts = {name: parameters(name) for name in networks}
    for size, batch in dict.fromkeys((row.size, row.batch) for row in rows):
        say(f"{size} px, batch {batch}")
        group = [row for row in rows if (row.size, row.batch) == (size, batch)]
        for row in group:
            refuse_too_large(row, rows)
        first = {row.name: peak_of(row) for row in group if not row.skipped}
        turns = {name: networks[name] for name, seconds in first.items() if seconds is not None}
        cold = {name for name in turns if first[name] < SLOW}
        seconds = take_turns(turns, photographs(size, batch), repeat, cold)
        for row in group:
            row.parameters = counts[row.name]
            row.gflop = round(gflop(networks[row.name], size, batch), 3)
            if row.name in seconds:
                row.runs = len(seconds[row.name])
                row.median_ms = round(statistics.median(seconds[row.name]) * 1e3, 2)
                row.peak_mb = round(row.peak_mb, 1)
    return rows


def ratios(rows: Sequence[Result]) -> dict[str, float]:
    """``RATIOS``, of medians, where both networks were measured."""
    median = {(row.name, row.size, row.batch): row.median_ms for row in rows if row.median_ms}
    found = {}
    for name, (slow, fast, *shape) in RATIOS.items():
        if (slow, *shape) in median and (fast, *shape) in median:
            found[name] = round(median[(slow, *shape)] / median[(fast, *shape)], 2)
    return found


def machine() -> dict[str, object]:
    """What the figures belong to. A ``load`` (one-minute average, at the end) above ``cores``: others ran too."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as lines:
            model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 2),
    }


def table(report: dict) -> str:
    """The report for people."""
    lines = [f"{'network':<22}{'px':>6}{'batch':>7}{'ms':>11}{'peak MB':>10}{'GFLOP':>10}{'parameters':>13}"]
    for r in report["results"]:
        lead = f"{r['name']:<22}{r['size']:>6}{r['batch']:>7}"
        figures = f"{r['median_ms'] or 0:>11.1f}{r['peak_mb'] or 0:>10.0f}{r['gflop']:>10.2f}{r['parameters']:>13,}"
        lines.append(lead + (f"   {r['skipped']}" if r["skipped"] else figures))
    lines += [f"{name}: {value} x" for name, value in report["ratios"].items()]
    return "\n".join([*lines, ", ".join(f"{k} {v}" for k, v in report["machine"].items())])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--names", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="image sides, pixels")
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES, help="images a run")
    parser.add_argument("--repeat", type=int, default=15, help=f"rounds at most; a group stops after {GROUP:.0f} s")
    parser.add_argument("--all", action="store_true", help=f"run the yardsticks above {YARDSTICK_SIZE} px too (slow)")
    args = parser.parse_args(argv)
    rows = plan(args.names, args.sizes, args.batches, args.all)
    measure(rows, args.repeat, lambda line: print(line, file=sys.stderr))
    report = {"results": [asdict(row) for row in rows], "ratios": ratios(rows), "machine": machine()}
    print(json.dumps(report, indent=2) if args.json else table(report))


if __name__ == "__main__":
    main()
