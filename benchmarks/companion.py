"""What taking part costs a designer: seconds from the command to the first local epoch, seconds a round, peak memory.

    python -m benchmarks.companion [--photos DIR] [--pairs 40] [--size 512] [--rounds 2] [--json]

A real studio with its host, and a real companion, both processes on this machine, so that the studio's own work is in
the times, too. The pairs are the example garments, mirrored, in some ateliers' hands; or photographs of ``--photos``. The floors:
the first local epoch within 3 minutes, a round of 11 local epochs on 40 pairs at 256 px under 3 GB. Drawings are trained on at
their own size up to 512 px, so 512 is what most designers meet.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from federation.demo import ROOT, Demo, draw_examples
from federation.designer.client_app import PROGRESS_FILE
from federation.identity import make_key
from federation.keeper import descendants
from federation.operator import approve
from federation.processes import free_port
from fedgai.ateliers import ATELIERS, draw
from fedgai.content import fit_and_cut, on_white
from fedgai.data.listing import find_images

NAME, EPOCHS = "Zoë", 11
PATIENCE = 3600.0  # s for a round, on a machine that is busy


def make_folder(folder: Path, count: int, size: int, photos: Path | None) -> None:
    """``count`` pairs of ``size`` px. Of photographs: each in the next hand, those without a garment left out."""
    for kind in ("photos", "sketches"):
        (folder / kind).mkdir(parents=True)
    names, made = list(ATELIERS), 0
    if photos is None:
        draw_examples(folder / "hands", names[: -(-count // 16)], size)
        files = sorted((folder / "hands").glob("*/photos/*.jpg"))[:count]
        for i, file in enumerate(files):
            file.rename(folder / "photos" / f"{i}.jpg")
            (file.parents[1] / "sketches" / f"{file.stem}.png").rename(folder / "sketches" / f"{i}.png")
        made = len(files)
    for file in find_images(photos) if photos else ():
        if made == count:
            break
        try:
            image, mask = fit_and_cut(file, size)
        except ValueError:
            continue
        photo = on_white(np.asarray(image), mask)
        Image.fromarray(photo).save(folder / "photos" / f"{made}.jpg", quality=95)
        Image.fromarray(draw(photo, ATELIERS[names[0]], mask=mask)).save(folder / "sketches" / f"{made}.png")
        made += 1
    if made < count:
        raise SystemExit(f"{made} pairs could be made of these photographs, {count} are asked for")


def megabytes(pid: int) -> float:
    """Of a process and all that descend from it; memory that several share counts once (PSS)."""
    total = 0
    for process in (pid, *descendants(pid)):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):  # it ended meanwhile
            continue
    return total / 1024


def measure(folder: Path, pairs: int, size: int, rounds: int, photos: Path | None) -> dict:
    """One designer's rounds, in ``folder``. Seconds are since the command was given, ``round_seconds`` from one to the next."""
    make_folder(folder / "drawings", pairs, size, photos)
    home, started, peak = folder / "companion", 0.0, 0.0
    first_step = first_epoch = 0.0
    ended: list[float] = []
    begun: dict[int, float] = {}
    demo = Demo(
        folder / "studio", free_port(), rounds=rounds, epochs=EPOCHS, names=[NAME], deadline=int(PATIENCE), patience=PATIENCE
    )
    make_key(home / "key")
    approve(demo.folder, str(home / "key.pub"), NAME)
    process = None
    try:
        demo.start_studio()
        command = [
            sys.executable,
            "-m",
            "federation.join",
            "--home",
            str(home),
            "--server",
            demo.url,
            "--certificate",
            str(demo.tls / "ca.pem"),
            "--data",
            str(folder / "drawings"),
            "--name",
            NAME,
            "--share-style",
            "--preset",
            "edge",
            "--rounds",
            str(rounds),
        ]
        started = time.monotonic()
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=(folder / "output.txt").open("w"), stderr=subprocess.STDOUT
        )
        while process.poll() is None:
            now = time.monotonic() - started
            if now > PATIENCE * rounds:
                raise SystemExit("no round within an hour")
            peak = max(peak, megabytes(process.pid))
            try:
                progress = json.loads((home / "model" / PROGRESS_FILE).read_text())
            except (OSError, ValueError):
                progress = {}
            if progress.get("phase") in ("preparing", "training"):
                begun.setdefault(progress["round"], now)
            if progress.get("phase") == "training":
                first_step = first_step or now
                if progress["step"] >= pairs:
                    first_epoch = first_epoch or now
            while len(ended) < len(list((home / "receipts").glob("round-*.json"))):
                ended.append(now)
            time.sleep(0.2)
    finally:
        if process:
            process.kill()
            process.wait()
        demo.stop()
    if process.returncode:
        raise SystemExit((folder / "output.txt").read_text())
    spent = [end - start for end, start in zip(ended, begun.values(), strict=False)]
    return {
        "pairs": pairs,
        "size": size,
        "epochs": EPOCHS,
        "rounds": len(ended),
        "first_step_seconds": round(first_step, 1),
        "first_epoch_seconds": round(first_epoch, 1),
        "round_seconds": [round(s, 1) for s in spent],
        "peak_mb": round(peak),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="folder of garment photographs; the examples without")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--size", type=int, default=512, help="of the pairs, px")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), chosen.pairs, chosen.size, chosen.rounds, chosen.photos)
    result["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    if chosen.json:
        print(json.dumps(result))
        return
    rounds = ", ".join(f"{seconds:.0f}" for seconds in result["round_seconds"])
    print(
        f"{result['pairs']} pairs of {result['size']} px: first step after {result['first_step_seconds']} s, first epoch after "
        f"{result['first_epoch_seconds']} s; rounds of {EPOCHS} epochs {rounds} s; peak {result['peak_mb']} MB"
    )
    print(result["machine"])


if __name__ == "__main__":
    main()
