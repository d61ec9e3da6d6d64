"""Lines learned on a GPU from garments that are rendered meanwhile: a lesson of the shipped draughtsman.

    python -m experiments.lines_on_gpu --start OLD.safetensors --opinion u2net.onnx --photos PHOTOS_DIR --photos MORE_DIR \
        --work WORK_DIR --out NEW.safetensors [--processes 14] [--seconds 520]

Processes on the CPU render garments while the GPU learns: some 14,500 pages in ten minutes, each in another print. The lessons
before had 700 geometries. On photographs mask and tone are held to what the draughtsman saw before. Lines are held to that and,
more and more, to what the weights' running mean sees in the same photograph in better light (a mean teacher: Tarvainen and
Valpola, arXiv 1703.01780); some of the photographs are dyed. Buttons become discs on the fastenings' plane.

docs/draughtsman.md says what the shipped run had differently. A GPU adds in another order each time: two runs are alike in kind
only.
"""

from __future__ import annotations

import collections
import logging
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from experiments import gpu_lesson
from experiments.gpu_lesson import Source, options, prepare
from experiments.line_pages import HELD, KNOWN, PAGE, PLANES, TOPSTITCH, produce
from experiments.mask_pages import Pictures, fit, laid, other_light
from experiments.masks_on_gpu import stored
from fedgai.draughtsman import Draughtsman, Network
from fedgai.line_types import LINE_TYPES
from fedgai.training.lesson import save
from fedgai.training.pages import SILHOUETTE
from fedgai.training.train_draughtsman import dice, entropy

log = logging.getLogger("experiments.lines_on_gpu")

BATCH = (22, 8, 18)  # pages of a step: rendered, dyed photographs, photographs
RING = (1600, 530)  # pages on the device, by kind
MASK, WHOLE, LINES_HELD, FASTENINGS_HELD = 0.5, 0.3, 0.5, 0.3  # weights of losses
BLEND = 0.6  # share of the running mean in what photographs' lines are held to, from half the time on
EDGES = 6.0  # how much more a pixel counts that lies on an edge of the print
FASTENING = LINE_TYPES.index("fastening")
UNION = [i for i, name in enumerate(LINE_TYPES) if name != "fold"]


def known_loss(seen: Sequence[Tensor], page: Tensor) -> dict[str, Tensor]:
    """Of rendered pages, on which all is known.

    Args:
        seen: the network's mask logits, line logits and tone.
        page: float (n, 13, PAGE, PAGE) in [0, 255], see ``line_pages.rendered``.
    """
    mask, lines, tone = seen
    want_mask, want, light = page[:, 3:4] / 255, page[:, 4:10] / 255, page[:, 12:13] / 255
    weight = (page[:, 10:11] / 100).repeat(1, len(LINE_TYPES), 1, 1)
    weight[:, TOPSTITCH] = page[:, 11] / 100
    there = (page[:, 11:12] > 50).float()
    want_union = want[:, UNION].amax(1, keepdim=True)
    union_weight = weight[:, UNION].amin(1, keepdim=True)
    union = torch.logsumexp(lines[:, UNION], 1, keepdim=True)
    # what of the lines' middles is found (skeleton recall: Kirchhoff et al., arXiv 2404.03010): gaps cost more than their area
    middle = (want_union > 0.75).float() * (union_weight > 0.1) * (want_mask > 0.5)
    cloth = (want_mask > 0.78).float() * there
    return {
        "mask": MASK * (3 * entropy(mask, want_mask, there) + 1.5 * dice(mask, want_mask, there)),
        "lines": 6 * entropy(lines, want, weight * (1 + 3 * want)),
        "union": 6 * entropy(union, want_union, union_weight * (1 + 3 * want_union))
        + 0.5 * dice(union, want_union, union_weight),
        "whole": WHOLE * (1 - (union.sigmoid() * middle).sum() / middle.sum().clamp_min(1)),
        "tone": ((tone - light).abs() * cloth).sum() / cloth.sum().clamp_min(1),
    }


def held_loss(
    seen: Sequence[Tensor], before: Sequence[Tensor], mean: Sequence[Tensor], edges: Tensor, there: Tensor, blend: float
) -> dict[str, Tensor]:
    """Of photographs: how far what is seen is from what was.

    Args:
        seen, before, mean: mask logits, line logits and tone of the network, of the draughtsman at first, of the running mean.
        edges: (n, 1, PAGE, PAGE) in [0, 1], of a print.
        there: the same, 1 where the photograph is.
        blend: share of the running mean in what lines are held to.
    """
    mask, lines, tone = seen
    now = mean[1].sigmoid()
    want = (1 - blend) * before[1].sigmoid() + blend * now
    want[:, SILHOUETTE] = before[1][:, SILHOUETTE].sigmoid()
    want[:, FASTENING] = now[:, FASTENING]  # before, buttons were rings there
    weight = there * (1 + 9 * want + EDGES * edges)
    weight = torch.cat([weight[:, :FASTENING], FASTENINGS_HELD * weight[:, FASTENING:]], 1)
    return {
        "held mask": 3 * entropy(mask, before[0].sigmoid(), there.expand_as(mask)),
        "held lines": 6 * LINES_HELD * entropy(lines, want, weight),
        "held tone": 2 * ((tone - before[2]).abs() * there).mean(),
    }


def worse_light(photo: Tensor, rng: np.random.Generator) -> Tensor:
    """(n, 3, H, W) in [0, 255] -> [0, 1]: as ``other_light``; and other contrast, less colour, some of them in less detail."""
    n, side = len(photo), photo.shape[-1]

    def numbers(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(photo.device)[:, None, None, None]

    middle = photo.mean((1, 2, 3), keepdim=True)
    photo = (middle + (photo - middle) * numbers(np.exp(rng.normal(0, 0.2, n)))).clamp(0, 255)
    grey = photo.mean(1, keepdim=True).expand_as(photo)
    photo = torch.lerp(photo, grey, numbers(rng.uniform(0, 1, n) * (rng.random(n) < 0.25)))
    if rng.random() < 0.4:
        few = int(side * rng.uniform(0.45, 0.8))
        low = F.interpolate(photo, size=(few, few), mode="bilinear", antialias=True, align_corners=False)
        low = F.interpolate(low, size=(side, side), mode="bilinear", align_corners=False)
        photo = torch.where(numbers(rng.random(n)) < 0.6, low, photo)
    return other_light(photo, rng)


class Ring:
    """Pages of one kind on the device; as they come the oldest are replaced."""

    def __init__(self, kind: int, device: str) -> None:
        self.pages = torch.zeros((RING[kind], PLANES[kind], PAGE, PAGE), dtype=torch.uint8, device=device)
        self.came = 0

    def take(self, page: bytes) -> None:
        """One page, as ``line_pages.produce`` sends it."""
        planes = np.frombuffer(page, np.uint8, offset=1).reshape(self.pages.shape[1:])
        self.pages[self.came % len(self.pages)] = torch.from_numpy(planes.copy()).to(self.pages.device)
        self.came += 1

    def some(self, count: int, rng: np.random.Generator) -> Tensor:
        """float (count, planes, PAGE, PAGE) in [0, 255], half of them mirrored."""
        chosen = torch.from_numpy(rng.integers(min(self.came, len(self.pages)), size=count))
        pages = self.pages[chosen.to(self.pages.device)].float()
        mirrored = torch.from_numpy(rng.random(count) < 0.5).to(pages.device)[:, None, None, None]
        return torch.where(mirrored, pages.flip(3), pages)


def fill(rings: Sequence[Ring], waiting: collections.deque[bytes], most: int = 48) -> None:
    """Up to so many pages of those that wait, each into the ring of its kind."""
    for _ in range(min(most, len(waiting))):
        page = waiting.popleft()
        rings[page[0]].take(page)


def losses_of_a_step(
    networks: tuple[Network, Network, Network], rings: Sequence[Ring], store: Pictures, blend: float, rng: np.random.Generator
) -> dict[str, Tensor]:
    """By name; networks are the one that learns, the one that was there before, and the running mean."""
    network, teacher, mean = networks
    known, pairs = (ring.some(count, rng) for ring, count in zip(rings, BATCH[:2], strict=True))
    chosen = rng.integers(len(store.sizes), size=BATCH[2])
    page = (PAGE, PAGE)
    sheet, inside = laid(store, chosen, fit(store, chosen, page, rng.random(BATCH[2]) < 0.5, rng), page)
    plain = torch.cat([pairs[:, :3], sheet[:, :3]])
    edges = torch.cat([pairs[:, 6:7] / 255, torch.zeros_like(sheet[:, :1])])
    there = torch.cat([pairs[:, 7:8] / 255, inside.float()])
    good = other_light(plain, rng).contiguous(memory_format=torch.channels_last)
    poor = worse_light(torch.cat([known[:, :3], pairs[:, 3:6], sheet[:, :3]]), rng)
    with torch.no_grad():
        before, now = teacher(good), mean(good)
    seen = network(poor.contiguous(memory_format=torch.channels_last))
    of_known, of_held = ([plane[part] for plane in seen] for part in (slice(len(known)), slice(len(known), None)))
    return known_loss(of_known, known) | held_loss(of_held, before, now, edges, there, blend)


def learn(start: Draughtsman, source: Source, store: Pictures, seconds: float, device: str, seed: int) -> Network:
    """Teach lines for so many seconds; the running mean of the weights."""
    rng, rings = np.random.default_rng(seed), [Ring(kind, device) for kind in (KNOWN, HELD)]
    while min(ring.came for ring in rings) < 30 or rings[0].came < min(300, 20 * len(source.workers)):
        fill(rings, source.waiting)
        time.sleep(0.05)

    def losses(networks: tuple[Network, Network, Network], progress: float) -> dict[str, Tensor]:
        return losses_of_a_step(networks, rings, store, BLEND * min(1, 2 * progress), rng)

    mean, steps = gpu_lesson.learn(start, seconds, device, lambda: fill(rings, source.waiting), losses)
    log.info("%d steps; %d rendered pages and %d dyed photographs came", steps, rings[KNOWN].came, rings[HELD].came)
    return mean


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = options(__doc__, processes=14, seconds=520, seed=31)
    args = parser.parse_args(argv)
    start, shown = prepare(parser, args)
    source = Source(produce, shown, args.processes, args.seed)
    try:
        store = stored(shown, args.device, max(2, args.processes))
        learned = learn(start, source, store, args.seconds, args.device, args.seed)
    finally:
        source.close()
    save(Draughtsman(learned.cpu(), start.buttons), args.out)


if __name__ == "__main__":
    main()
