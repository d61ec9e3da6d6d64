"""What the draughtsman's lessons on a GPU have in common: processes on the CPU that make pictures, and the command's options."""

from __future__ import annotations

import argparse
import collections
import logging
import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from pathlib import Path

import cv2
import torch

from experiments.mask_pictures import Shown
from fedgai.draughtsman import Draughtsman
from fedgai.errors import FedGAIError
from fedgai.training import reviewed_masks
from fedgai.training.photographs import Opinions, gather
from fedgai.training.saliency import Saliency

log = logging.getLogger("experiments.gpu_lesson")

WAITING = 200  # made pictures before the device


class Source:
    """Processes that make pictures, and a thread that reads from them.

    Args:
        produce: what each process does: make pictures of photographs with a seed, and send them.
        shown: the photographs.
        processes: how many.
        seed: of everything.

    Attributes:
        waiting: what was sent and not yet taken, the oldest first.
    """

    def __init__(
        self, produce: Callable[[Sequence[Shown], int, Connection], None], shown: Sequence[Shown], processes: int, seed: int
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.waiting: collections.deque[bytes] = collections.deque()
        self.ends: list[Connection] = []
        self.workers, self.stopped = [], False
        for i in range(processes):
            mine, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=produce, args=(shown, 1000 * seed + i, theirs), daemon=True)
            worker.start()
            theirs.close()
            self.ends.append(mine)
            self.workers.append(worker)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        ends = list(self.ends)
        while ends and not self.stopped:
            for end in wait(ends, 1.0):
                try:
                    self.waiting.append(end.recv_bytes())
                except (EOFError, OSError):
                    ends.remove(end)
            while len(self.waiting) > WAITING and not self.stopped:
                time.sleep(0.01)

    def close(self) -> None:
        self.stopped = True
        for worker in self.workers:
            worker.terminate()


def options(description: str | None, *, processes: int, seconds: float, seed: int) -> argparse.ArgumentParser:
    """The command's options, with their defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, action="append", help="a folder of photographs; again for more")
    parser.add_argument("--work", type=Path, required=True, help="for what is made on the way")
    parser.add_argument("--start", type=Path, required=True, metavar="FILE", help="the draughtsman that learns")
    parser.add_argument("--opinion", type=Path, required=True, metavar="FILE.onnx", help="U²-Net")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    parser.add_argument("--device", default="cuda", help="cpu or cuda")
    parser.add_argument("--processes", type=int, default=processes, help="that make pictures")
    parser.add_argument("--seconds", type=float, default=seconds, help="of learning, once everything is ready")
    parser.add_argument("--limit", type=int, default=None, help="look at so many photographs only")
    parser.add_argument("--seed", type=int, default=seed)
    return parser


def prepare(parser: argparse.ArgumentParser, args: argparse.Namespace) -> tuple[Draughtsman, list[Shown]]:
    """Set PyTorch up; the draughtsman that learns, and the photographs. Ends the command with a sentence where one is missing."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    cv2.setNumThreads(1)
    torch.manual_seed(args.seed)
    if args.device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    args.work.mkdir(parents=True, exist_ok=True)
    try:
        start = Draughtsman.load(args.start)
        opinions = Opinions(start, Saliency(args.opinion), reviewed_masks.read())
        photographs = gather(args.photos, args.work / "photographs", args.seed, args.limit, opinions=opinions)
    except FedGAIError as error:
        parser.error(str(error))
    with ThreadPoolExecutor(max(2, args.processes)) as pool:
        shown = list(pool.map(Shown.of, photographs))
    log.info("%d photographs", len(shown))
    return start, shown
