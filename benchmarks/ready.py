"""How long a photograph takes to be made ready to draw, beside another commit of this repository.

    git worktree add --detach OTHER 30454b7
    python -m benchmarks.ready PHOTOS_DIR/val --beside OTHER [--threads 2] [--every 5] [--limit 24] [--rounds 2]

Both are measured in turns, each turn in a process of its own, so that a drift of the machine hits both alike. The figures are
seconds of computing (not of waiting) on one thread, at 512 px, from file to the encoder's maps. With ``--threads`` they are
seconds on the clock, with so many threads; for these the machine should have nothing else to do. The first photograph is made
ready once before, for its imports. Seconds belong to the machine; the ratio is what to compare.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from fedgai.data.listing import find_images

ROOT = Path(__file__).resolve().parents[1]
TURN = """
import json, sys, time
import cv2, torch
threads = int(sys.argv[1])
torch.set_num_threads(threads)
cv2.setNumThreads(threads)
from fedgai.pipeline import SketchPipeline
clock = getattr(time, sys.argv[2])
pipe = SketchPipeline.from_pretrained()
photos = json.load(sys.stdin)
pipe.prepare(photos[0])
seconds = []
for photo in photos:
    start = clock()
    pipe.prepare(photo)
    seconds.append(clock() - start)
print(json.dumps(seconds))
"""


def turn(folder: Path, photos: list[Path], threads: int | None = None) -> list[float]:
    """Seconds for each photograph, with the code in a folder: of computing on one thread, or on the clock with ``threads``."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": str(threads or 1)}
    names = json.dumps([str(photo.resolve()) for photo in photos])
    command = [sys.executable, "-c", TURN, str(threads or 1), "perf_counter" if threads else "process_time"]
    done = subprocess.run(command, input=names, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("photos", type=Path, help="a folder of photographs")
    parser.add_argument("--beside", type=Path, required=True, help="a folder with another commit")
    parser.add_argument("--threads", type=int, help="measure seconds on the clock with so many threads")
    parser.add_argument("--every", type=int, default=5, help="of the photographs, by name, every n-th")
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    photos = find_images(args.photos)[:: args.every][: args.limit]
    if not photos:
        parser.error(f"there is no picture in {args.photos}")
    if args.threads is not None and args.threads < 1:
        parser.error("at least one thread is needed")
    for number in range(1, args.rounds + 1):
        before, now = (turn(folder.resolve(), photos, args.threads) for folder in (args.beside, ROOT))
        middle = [statistics.median(seconds) for seconds in (before, now)]
        print(
            f"round {number}: median {middle[0]:.3f} s there, {middle[1]:.3f} s here, ratio {middle[1] / middle[0]:.2f}; "
            f"slowest {max(before):.2f} s there, {max(now):.2f} s here"
        )


if __name__ == "__main__":
    main()
