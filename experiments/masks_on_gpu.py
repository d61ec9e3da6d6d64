"""Masks learned on a GPU, with pages laid out there: a lesson of the shipped draughtsman.

    python -m experiments.masks_on_gpu --start weights/draughtsman.safetensors --opinion u2net.onnx \
        --photos PHOTOS_DIR --photos MORE_DIR --work WORK_DIR --out NEW.safetensors [--processes 12] [--seconds 480]

As ``fedgai.training.draughtsman_masks``, the whole network learns masks, and every other line, and the tone, is held to what it
saw before. What is new: hangers are laid behind garments, photographs are laid on other photographs' backgrounds, half of
the pages show the whole picture, and processes on the CPU make pictures while the GPU learns from those that are there already.
Masks come from ``photographs.gather``: the cut-out and U²-Net where they agree, and verdicts by eye where they do not.

The shipped weights come from a longer form of this program, with masks prepared beforehand; docs/draughtsman.md says what was
different. The lesson ends by time, and a GPU adds in another order each time: two runs give masks alike in kind only.
"""

from __future__ import annotations

import argparse
import collections
import copy
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from experiments import gpu_lesson
from experiments.gpu_lesson import Source, options, prepare
from experiments.mask_pages import Pages, Pictures, Shares, laid
from experiments.mask_pictures import KINDS_MADE, LONG, PHOTO_LONG, Shown, box_of, planes, produce, read
from fedgai.draughtsman import Draughtsman, Network
from fedgai.networks.layers import channels_last
from fedgai.training.draughtsman_masks import OTHERS
from fedgai.training.lesson import save
from fedgai.training.pages import SILHOUETTE
from fedgai.training.train_draughtsman import entropy

log = logging.getLogger("experiments.masks_on_gpu")

HELD_OUT = 33  # of so many photographs one is never shown: the masks are measured on it
HOLD = 1.5  # weight of what should stay as it was
RING = 2400  # made pictures on the device


def loss(network: Network, teacher: Network, photo: Tensor, rest: Tensor) -> dict[str, Tensor]:
    """As ``draughtsman_masks.loss``; beside the garment, where a hanger lies, no lines are held."""
    photo = photo.contiguous(memory_format=torch.channels_last)
    mask, lines, tone = network(photo)
    with torch.no_grad():
        _, seen, light = teacher(photo)
    want, known, rim, rim_known = (rest[:, i : i + 1] for i in range(4))
    want, rim, known, rim_known = want / 255, rim / 255, known / 100, rim_known / 100
    seen = seen[:, OTHERS].sigmoid() * torch.maximum(F.max_pool2d(want, 7, 1, 3), (known < 0.5).float())
    likely, area = mask.sigmoid(), known.clamp(max=1)
    overlap = (2 * (likely * want * area).sum((1, 2, 3)) + 1) / ((likely * area).square() + (area * want).square()).sum(
        (1, 2, 3)
    ).add(1)
    return {
        "mask": 3 * entropy(mask, want, known) + 1.5 * (1 - overlap).mean(),
        "silhouette": 2 * entropy(lines[:, [SILHOUETTE]], rim, rim_known * (1 + 3 * rim)),
        "lines": 6 * HOLD * entropy(lines[:, OTHERS], seen, 1 + 9 * seen),
        "tone": 2 * HOLD * (tone - light).abs().mean(),
    }


def fill(pages: Pages, waiting: collections.deque[bytes], most: int = 48) -> None:
    """Lay what was made into the ring, up to so many pictures, in place of the oldest."""
    ring, take = pages.ring, min(most, len(waiting))
    if not take:
        return
    sheet = np.zeros((take, 7, ring.canvas, ring.canvas), np.uint8)
    slots = [(pages.came + i) % len(ring.sizes) for i in range(take)]
    for i, slot in enumerate(slots):
        data = waiting.popleft()
        kind, height, width, *box = np.frombuffer(data, np.int32, 7)
        sheet[i, :, :height, :width] = np.frombuffer(data, np.uint8, offset=28).reshape(7, height, width)
        ring.kinds[slot], ring.sizes[slot], ring.boxes[slot] = kind, (height, width), box
    ring.planes[torch.tensor(slots, device=ring.device)] = torch.from_numpy(sheet).to(ring.device)
    pages.came += take
    pages.filled = min(pages.came, len(ring.sizes))


def stored(shown: Sequence[Shown], device: str, threads: int) -> Pictures:
    """The photographs' pictures on the device."""
    store = Pictures(len(shown), PHOTO_LONG, device)
    with ThreadPoolExecutor(threads) as pool:
        for i, made in enumerate(pool.map(lambda one: planes(*read(one.photograph)), shown)):
            height, width = made.shape[1:]
            store.planes[i, :, :height, :width] = torch.from_numpy(made).to(device)
            store.sizes[i], store.boxes[i] = (height, width), box_of(made[3])
    return store


@torch.no_grad()
def measure(network: Network, store: Pictures, held: Sequence[int]) -> str:
    """Overlap (IoU) of the network's own masks with those of photographs that were held out, long side 512 px."""
    overlaps: list[float] = []
    for start in range(0, len(held), 16):
        chosen = np.array(held[start : start + 16])
        back = store.sizes[chosen].max(1) / 512
        ways = np.stack([np.stack([back, 0 * back, 0 * back], 1), np.stack([0 * back, back, 0 * back], 1)], 1)
        sheet, inside = laid(store, chosen, ways, (512, 512))
        known = inside & (sheet[:, 4:5] > 50)
        want = (sheet[:, 3:4] > 127) & known
        mask = (network((sheet[:, :3] / 255).contiguous(memory_format=torch.channels_last))[0] > 0) & known
        overlaps += ((mask & want).sum((1, 2, 3)) / (mask | want).sum((1, 2, 3)).clamp_min(1)).tolist()
    found = np.array(overlaps)
    return f"{found.mean():.4f}, {(found < 0.9).sum()} of {len(found)} below 0.9" if len(found) else "none"


def learn(start: Draughtsman, pages: Pages, source: Source, seconds: float, device: str) -> Network:
    """Teach masks for so many seconds; the running mean of the weights."""

    def losses(networks: tuple[Network, Network, Network], progress: float) -> dict[str, Tensor]:
        network, teacher, _ = networks
        return loss(network, teacher, *pages.batch())

    mean, steps = gpu_lesson.learn(start, seconds, device, lambda: fill(pages, source.waiting), losses)
    log.info("%d steps; %d pictures (%s) made", steps, pages.came, ", ".join(KINDS_MADE))
    return mean


def teach(start: Draughtsman, shown: Sequence[Shown], args: argparse.Namespace) -> Draughtsman:
    """The lesson, from photographs to the draughtsman that learned."""
    held = list(range(0, len(shown), HELD_OUT))
    ours = [one for i, one in enumerate(shown) if i % HELD_OUT]
    source = Source(produce, ours, args.processes, args.seed)
    try:
        store = stored(shown, args.device, max(2, args.processes))
        pages = Pages(shown, held, store, Pictures(RING, LONG, args.device), replace(Shares(), batch=args.batch), args.seed)
        while pages.came < min(300, 20 * args.processes):
            fill(pages, source.waiting)
            time.sleep(0.05)
        log.info("before: held out %s", measure(channels_last(copy.deepcopy(start.network).to(args.device)), store, held))
        learned = learn(start, pages, source, args.seconds, args.device)
        log.info("after: held out %s", measure(learned, store, held))
    finally:
        source.close()
    return Draughtsman(learned.cpu(), start.buttons)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = options(__doc__, processes=12, seconds=480, seed=29)
    parser.add_argument("--batch", type=int, default=Shares().batch, help="pages a step")
    args = parser.parse_args(argv)
    start, shown = prepare(parser, args)
    save(teach(start, shown, args), args.out)


if __name__ == "__main__":
    main()
