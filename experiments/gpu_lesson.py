"""What the draughtsman's lessons on a GPU have in common: processes that make pictures, the command's options, and learning."""

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

import cv2
import torch
from torch import Tensor

from experiments.mask_pictures import Shown
from fedgai.draughtsman import Draughtsman, Network
from fedgai.errors import FedGAIError
from fedgai.training import lesson, reviewed_masks
from fedgai.training.photographs import Opinions, gather
from fedgai.training.saliency import Saliency

log = logging.getLogger("experiments.gpu_lesson")

WAITING = 200  # made pictures before the device
RATE, BACKBONE_RATE = 6e-4, 2e-4  # of AdamW, at first
AVERAGE = 0.998  # decay of the weights' running mean, which is what is kept
WARM_UP = 150  # steps
EVERY = 100  # steps between lines of the log


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
    parser = lesson.options(description)
    parser.set_defaults(processes=processes)
    parser.add_argument("--device", default="cuda", help="cpu or cuda")
    parser.add_argument("--seconds", type=float, default=seconds, help="of learning, once everything is ready")
    parser.add_argument("--limit", type=int, default=None, help="look at so many photographs only")
    parser.add_argument("--seed", type=int, default=seed)
    return parser


def prepare(parser: argparse.ArgumentParser, args: argparse.Namespace) -> tuple[Draughtsman, list[Shown]]:
    """Set PyTorch up; the draughtsman that learns, and the photographs. Ends the command with a sentence where one is missing."""
    lesson.begin(args.work)
    cv2.setNumThreads(1)
    torch.manual_seed(args.seed)
    if args.device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
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


def learn(
    start: Draughtsman,
    seconds: float,
    device: str,
    fill: Callable[[], None],
    losses_of_a_step: Callable[[tuple[Network, Network, Network], float], dict[str, Tensor]],
) -> tuple[Network, int]:
    """Teach for so many seconds.

    Args:
        start: who learns; it stays as it is.
        seconds: of learning.
        device: where the network learns.
        fill: called before each step, to lay on the device what was made meanwhile.
        losses_of_a_step: by name, of the network that learns, the one that was there before and the running mean of the weights
            of the first; and of the share of the time that has passed.
    Returns:
        the running mean, and how many steps there were.
    """
    network, teacher, mean = lesson.copies(start.network, device)
    groups = lesson.parameter_groups(network)
    optimizer = torch.optim.AdamW(groups, RATE, weight_decay=1e-4, fused=device == "cuda")
    means, step, begun = lesson.MeanLosses(), 0, time.monotonic()
    while (progress := (time.monotonic() - begun) / seconds) < 1:
        fill()
        lesson.set_rates(optimizer, (BACKBONE_RATE, RATE), step, progress, WARM_UP)
        losses = losses_of_a_step((network, teacher, mean), progress)
        lesson.descend(optimizer, losses)
        lesson.follow(mean, network, min(AVERAGE, (step + 1) / (step + 10)))
        means.add(losses)
        step += 1
        if step % EVERY == 0:
            log.info("%d, %.0f %%: %s", step, 100 * progress, means.take())
    return mean, step
