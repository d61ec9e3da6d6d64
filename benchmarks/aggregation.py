"""What checking and averaging a round costs the server, beside Flower's FedAvg on the same list of replies.

    python -m benchmarks.aggregation [--only time|memory] [--designers N] [--repeats 5] [--json]

The floors: under 1.2 x FedAvg's time, and under 200 MB above idle for 1,000 updates of the larger preset that arrive one by one.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message
from flwr.serverapp.strategy import FedAvg

from federation.server.strategy import DiscriminatorAvg
from federation.server.update_spec import UpdateSpec
from fedgai.model import PRESETS

ROUND, ENCODER, RELEASE = 1, "0" * 64, "0"
DESIGNERS = {"edge": 200, "vgg16": 60}


def spec_of(preset: str) -> UpdateSpec:
    p = PRESETS[preset]
    return UpdateSpec.from_discriminator(p.discriminator(), preset, ENCODER, RELEASE, p.channels)


def replies(spec: UpdateSpec, sent: np.ndarray, designers: int) -> Iterator[Message]:
    """Real replies, made one by one: each designer's numbers are some other way away from ``sent``."""
    rng = np.random.default_rng(24)
    noise = rng.normal(0, 0.01, 2 * spec.size).astype(np.float32)
    style = np.full(spec.style_length, 0.5, "<f4").tobytes()
    for node in range(1, designers + 1):
        start = int(rng.integers(spec.size))
        designer = {"round": ROUND, "encoder": ENCODER, "preset": spec.preset, "release": RELEASE, "style": style, "sketches": 30}
        content = RecordDict(
            {
                "arrays": spec.record(sent + noise[start : start + spec.size]),
                "metrics": MetricRecord({"num-examples": 20 + node % 20, "loss-generator": 1.0, "loss-discriminator": 0.5}),
                "designer": ConfigRecord(designer),
            }
        )
        yield make_message(Metadata(0, "", node, 0, "", "", 0.0, 0.0, "train"), content)


def times(preset: str, designers: int, repeats: int) -> dict:
    """Both on the same list, in turns. All times in ms, medians; the ratio is the median of the turns' ratios.

    FedAvg computes in its arrays' own type, for which fp16 is slow; so it is also timed on the same numbers in float32.
    """
    spec = spec_of(preset)
    sent = np.random.default_rng(1).normal(0, 0.05, spec.size).astype(np.float16).astype(np.float32)
    messages = list(replies(spec, sent, designers))
    wide = [make_message(m.metadata, m.content.copy()) for m in messages]
    for message in wide:
        arrays = message.content["arrays"].items()
        message.content["arrays"] = ArrayRecord({name: Array(a.numpy().astype(np.float32)) for name, a in arrays})
    ours, flowers, wider = [], [], []
    for turn in range(repeats + 1):
        strategy, fedavg = DiscriminatorAvg(spec), FedAvg()
        strategy.expect(ROUND, spec.record(sent))
        started = time.perf_counter()
        aggregate, _ = strategy.aggregate_train(ROUND, messages)
        between = time.perf_counter()
        fedavg.aggregate_train(ROUND, messages)
        ended = time.perf_counter()
        fedavg.aggregate_train(ROUND, wide)
        wide_ended = time.perf_counter()
        assert aggregate is not None and all(v.accepted for v in strategy.verdicts)
        if turn:  # the first one warms up
            ours.append(1e3 * (between - started))
            flowers.append(1e3 * (ended - between))
            wider.append(1e3 * (wide_ended - ended))
    return {
        "preset": preset,
        "designers": designers,
        "numbers": spec.size,
        "ours_ms": round(statistics.median(ours), 1),
        "fedavg_ms": round(statistics.median(flowers), 1),
        "fedavg_float32_ms": round(statistics.median(wider), 1),
        "ratio": round(statistics.median(a / b for a, b in zip(ours, flowers, strict=True)), 3),
    }


def memory(preset: str, designers: int) -> dict:
    """The peak of this process's resident memory while updates arrive one by one, less what it had before, MB."""
    spec = spec_of(preset)
    sent = np.random.default_rng(1).normal(0, 0.05, spec.size).astype(np.float16).astype(np.float32)
    strategy = DiscriminatorAvg(spec)
    strategy.expect(ROUND, spec.record(sent))
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    idle = _resident("VmRSS")
    strategy.aggregate_train(ROUND, replies(spec, sent, designers))
    peak = _resident("VmHWM")
    return {
        "preset": preset,
        "designers": designers,
        "accepted": sum(v.accepted for v in strategy.verdicts),
        "received_mb": round(sum(v.bytes for v in strategy.verdicts) / 2**20, 1),
        "idle_mb": round(idle, 1),
        "above_idle_mb": round(peak - idle, 1),
    }


def _resident(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key + ":"))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("time", "memory"))
    parser.add_argument("--designers", type=int, help="in place of 200 (edge) and 60 (vgg16), and of 1,000 for memory")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    chosen = parser.parse_args(arguments)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    result: dict = {}
    if chosen.only != "time":  # first: what the other leaves behind would count as idle
        result["memory"] = memory("vgg16", chosen.designers or 1000)
    if chosen.only != "memory":
        result["results"] = [times(preset, chosen.designers or n, chosen.repeats) for preset, n in DESIGNERS.items()]
    result["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    if chosen.json:
        print(json.dumps(result))
        return
    for r in result.get("results", []):
        print(
            f"{r['preset']}, {r['designers']} designers: {r['ours_ms']} ms, FedAvg {r['fedavg_ms']} ms "
            f"(float32: {r['fedavg_float32_ms']} ms): {r['ratio']} x"
        )
    if "memory" in result:
        m = result["memory"]
        print(f"{m['preset']}, {m['designers']} updates, {m['received_mb']} MB: {m['above_idle_mb']} MB above idle")
    print(result["machine"])


if __name__ == "__main__":
    main()
