"""What a deployment of studio and federation needs: memory, and how much slower a sketch is while a round is being finished.

    python -m benchmarks.deployment [--designers 8] [--rounds 3] [--size 512] [--json]

Starts the studio with its host and real SuperNodes, and asks the running studio for sketches, one after the other and each of
another photograph, so that its memory for photographs fills, while rounds alternate with rest. The floors: under 4 GB, and
under 2 x an idle studio's time during aggregation and house step. The designers train on machines of their own, so neither
their memory nor the time in which they train is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

from gradio_client import Client, handle_file
from PIL import Image, ImageEnhance

from federation.demo import ROOT, Demo
from federation.keeper import descendants
from federation.processes import free_port
from fedgai.ateliers import ATELIERS

REST = 30  # s between two rounds, in which nobody trains
PHOTOS = 40  # more than the studio keeps ready
NAMES = {"app.py": "studio", "flower-superlink": "SuperLink", "flower-superexec": "SuperExec", "flwr-serverapp": "ServerApp"}


def resident(pid: int) -> tuple[str, float]:
    """A process's part in the deployment, and its memory: MB, of pages shared by n processes an nth (PSS)."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    name = next((NAMES[Path(word).name] for word in command[:4] if Path(word).name in NAMES), "keeper and others")
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return name, next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 1024


def make_photos(folder: Path) -> list[Path]:
    """The same garment in many lights, one file each."""
    garment = ImageEnhance.Brightness(Image.open(ROOT / "examples" / "denim_jacket.jpg"))
    files = [folder / f"{i}.jpg" for i in range(PHOTOS)]
    for i, file in enumerate(files):
        garment.enhance(0.9 + 0.2 * i / PHOTOS).save(file, quality=92)
    return files


class Memory(threading.Thread):
    """Looks at a process tree every half second. ``peak``: MB at its worst moment; ``parts``: then, by name."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.peak, self.parts = root, 0.0, {}

    def run(self) -> None:
        while True:
            parts: dict[str, float] = defaultdict(float)
            for pid in [self.root, *descendants(self.root)]:
                try:
                    name, megabytes = resident(pid)
                except (OSError, StopIteration):  # it ended meanwhile
                    continue
                parts[name] += megabytes
            if sum(parts.values()) > self.peak:
                self.peak, self.parts = sum(parts.values()), {name: round(value) for name, value in parts.items()}
            time.sleep(0.5)


def measure(designers: int, rounds: int, size: int) -> dict:
    """Times in ms, medians; ``ratio`` is the median over rounds of (aggregation and house step) / (rest after it)."""
    with tempfile.TemporaryDirectory(prefix="fedgai-") as home:
        demo = Demo(
            Path(home),
            free_port(),
            rounds=1,
            names=list(ATELIERS)[:designers],
            garments=2,
            deadline=1800,
            patience=900,
            environment={"FEDGAI_REST_HOURS": str(REST / 3600)},
        )
        with demo:
            memory = Memory(demo.studio.pid)
            memory.start()
            client = Client(demo.url, ssl_verify=False, verbose=False, download_files=Path(home) / "sketches")
            names = [style["name"] for style in client.predict(api_name="/styles")]
            photos, turn = [handle_file(file) for file in make_photos(Path(home))], 0
            times: dict[tuple[int, str], list[float]] = defaultdict(list)  # by round and by what the federation did
            while len(times[rounds, "idle"]) < 10:
                before = demo.folder.status()
                turn += 1
                started = time.perf_counter()
                blend = {names[turn % 8]: 1, names[turn % 7]: 0.1 + turn % 9 / 10}
                client.predict(photos[turn % PHOTOS], blend, size=size, api_name="/sketch")
                took = time.perf_counter() - started
                after = demo.folder.status()
                if before.phase == after.phase and before.round == after.round and turn > 3:
                    busy = after.phase in ("aggregating", "house")
                    if busy or (after.phase == "resting" and len(after.online) == designers):
                        times[after.round, "busy" if busy else "idle"].append(1e3 * took)
            probed = demo.folder.report(rounds)
    whole = [n for n in range(1, rounds + 1) if times[n, "busy"] and times[n, "idle"]]
    ratios = [statistics.median(times[n, "busy"]) / statistics.median(times[n, "idle"]) for n in whole]
    return {
        "designers": designers,
        "accepted": probed.accepted,
        "rounds": len(whole),
        "size": size,
        "memory_mb": round(memory.peak),
        "parts_mb": memory.parts,
        "idle_ms": round(statistics.median(t for n in whole for t in times[n, "idle"]), 1),
        "busy_ms": round(statistics.median(t for n in whole for t in times[n, "busy"]), 1),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(r, 2) for r in ratios],
        "sketches": sum(len(t) for t in times.values()),
        "house_seconds": round(probed.house.seconds, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        sys.exit("This measures memory through /proc, which Linux alone has.")
    result = measure(arguments.designers, arguments.rounds, arguments.size)
    if arguments.json:
        print(json.dumps(result))
        return
    parts = ", ".join(f"{name} {megabytes}" for name, megabytes in sorted(result["parts_mb"].items(), key=lambda p: -p[1]))
    print(f"memory at its peak: {result['memory_mb']:,} MB ({parts}), {result['designers']} designers")
    print(
        f"a sketch at {result['size']} px: {result['idle_ms']} ms while the federation rests, {result['busy_ms']} ms while it "
        f"averages and the house learns: {result['ratio']} x (rounds: {result['ratios']}; {result['machine']})"
    )


if __name__ == "__main__":
    main()
