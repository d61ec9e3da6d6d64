"""The draughtsman's lesson about prints; all else stays what an earlier draughtsman sees:

    python -m fedgai.training.draughtsman_prints --start weights/draughtsman.safetensors \
        --photos PHOTOS_DIR --photos MORE_DIR --work WORK_DIR --out draughtsman.safetensors

A plain garment in a photograph is dyed (``dyeing``). The one that learns sees the dyed photograph and is to see there what the
earlier one saw in the photograph before: the same lines, as surely, the same mask and the same light. Other pages are
photographs as they are, on which both are to agree, and rendered garments, whose lines are known. The backbone stays frozen.

Seeded, and on one machine the same bytes each time.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fedgai.draughtsman import Draughtsman, Network
from fedgai.errors import FedGAIError
from fedgai.garments import Garment
from fedgai.training.dyeing import dye_photograph
from fedgai.training.lesson import (
    Lesson,
    MeanLosses,
    batches,
    begin,
    copies,
    descend,
    follow,
    log_gathering,
    options,
    save,
    set_rates,
)
from fedgai.training.optimisers import AdamW
from fedgai.training.pages import HEIGHT, WIDTH, other_light, placing, rendered
from fedgai.training.photographs import DARKEST, Opinions, Photograph, gather, strong_edges
from fedgai.training.train_draughtsman import entropy, render_garments
from fedgai.training.train_draughtsman import loss as known_loss

log = logging.getLogger("fedgai.training.draughtsman_prints")

PLANES = 8  # of a page: the photograph, it dyed, the print's edges, and whether its lines are held
STRAY = 0.02  # of ``stray_edges``, above which a garment has a print of its own
LIKELY, BESIDE = 0.25, 4  # likelihood of a line that explains edges, and px around it that are explained


@dataclass(frozen=True)
class PrintLesson(Lesson):
    """How prints are learned.

    Attributes:
        garments: rendered geometries. photographs: looked at, at most.
        steps: of the lesson.
        pictures: photographs a step; drawn: rendered garments a step.
        dyed: share of the photographs that are plain and dyed; the others are shown as they are.
        edges: how much more a pixel counts that lies on an edge of the print.
    """

    garments: int = 400
    photographs: int = 5000
    steps: int = 2000
    pictures: int = 4
    drawn: int = 1
    dyed: float = 0.7
    edges: float = 6.0


class PrintPages(Dataset[np.ndarray]):
    """Pages of photographs by number; the number and the seed alone decide what is on them.

    One item is uint8 (``PLANES``, ``HEIGHT``, ``WIDTH``): the photograph as it is, the same dyed, the print's edges, and 255
    where the lines are held to what was seen before.

    Args:
        photographs: with their masks.
        plain: those of them that may be dyed.
        lesson: for its shares and its seed.
    """

    def __init__(self, photographs: Sequence[Photograph], plain: Sequence[Photograph], lesson: PrintLesson) -> None:
        self.photographs, self.plain, self.lesson = list(photographs), list(plain), lesson

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, number: int) -> np.ndarray:
        cv2.setNumThreads(1)
        rng = np.random.default_rng([self.lesson.seed, number])
        dyed = rng.random() < self.lesson.dyed
        chosen = self.plain if dyed or rng.random() < 0.5 else self.photographs
        photograph = chosen[rng.integers(len(chosen))]
        photo, mask = photograph.photo(), photograph.mask()
        shown, edges = dye_photograph(photo, mask, rng) if dyed else (photo, np.zeros(mask.shape, np.float32))
        matrix, scale = placing((255 * mask).astype(np.uint8), rng)
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR

        def move(plane: np.ndarray) -> np.ndarray:
            return cv2.warpAffine(plane, matrix, (WIDTH, HEIGHT), flags=method, borderMode=cv2.BORDER_REPLICATE)

        held = np.full((1, HEIGHT, WIDTH), 255 if chosen is self.plain else 0, np.uint8)
        before, after = _in_other_light([move(photo), move(shown)], rng)
        rim = (255 * move(edges)).astype(np.uint8)
        return np.concatenate([before.transpose(2, 0, 1), after.transpose(2, 0, 1), rim[None], held])


def _in_other_light(photos: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Both (H, W, 3) uint8 lighter or darker and a little warmer or colder; the last as from a poorer camera, too."""
    table = other_light(rng)
    *others, last = (cv2.LUT(photo, table) for photo in photos)
    if rng.random() < 0.3:
        last = cv2.GaussianBlur(last, (0, 0), rng.uniform(0.3, 1.0))
    if rng.random() < 0.3:
        packed = cv2.imencode(".jpg", last, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 90))])[1]
        last = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    return [*others, last]


class RenderedPages(Dataset[dict[str, Tensor]]):
    """Rendered garments by number, dyed: every line is known."""

    def __init__(self, garments: Sequence[Path], seed: int) -> None:
        self.garments, self.seed = list(garments), seed

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng([self.seed, 1, number])
        garment = Garment.load(self.garments[rng.integers(len(self.garments))])
        return rendered(garment, rng).placed(rng).tensors()


def is_plain(photograph: Photograph, draughtsman: Draughtsman) -> bool:
    """Whether a garment may be dyed: what is seen in it is its make and not a print, and it is light enough to show its folds.

    Jackets and jeans count as plain, whose seams are to stay when they are dyed.
    """
    return photograph.dark > DARKEST and stray_edges(photograph.photo(), photograph.mask(), draughtsman) < STRAY


def stray_edges(photo: np.ndarray, mask: np.ndarray, draughtsman: Draughtsman) -> float:
    """Share of a garment's inside with strong edges away from all lines that the draughtsman sees.

    Args:
        photo: (H, W, 3) uint8 RGB.
        mask: (H, W) float32 in [0, 1], not empty.
        draughtsman: that looks.
    """
    strong, inner = strong_edges(photo, mask)
    near = np.ones((2 * BESIDE + 1,) * 2, np.uint8)
    explained = cv2.dilate((draughtsman.look(photo).lines.max(0) > LIKELY).astype(np.uint8), near) > 0
    return float((strong & ~explained)[inner].mean())


def held_loss(network: Network, teacher: Network, pages: Tensor, edges: float) -> dict[str, Tensor]:
    """How far the network sees other things in dyed photographs than its teacher in plain ones, by name.

    Args:
        network: that learns.
        teacher: that stays as it is.
        pages: uint8 (B, ``PLANES``, H, W) of ``PrintPages``.
        edges: see ``PrintLesson``.
    """
    planes = pages.float() / 255
    before, after = (planes[:, i : i + 3].contiguous(memory_format=torch.channels_last) for i in (0, 3))
    rim, held = planes[:, 6:7], planes[:, 7:8]
    with torch.no_grad():
        wanted, seen, light = teacher(before)
        wanted, seen = wanted.sigmoid(), seen.sigmoid()
    mask, lines, tone = network(after)
    return {
        "mask": 3 * entropy(mask, wanted, torch.ones_like(wanted)),
        "lines": 6 * entropy(lines, seen, held * (1 + 9 * seen + edges * rim)),
        "tone": 2 * ((tone - light).abs() * held).mean(),
    }


def learn(
    start: Draughtsman,
    garments: Sequence[Path],
    photographs: Sequence[Photograph],
    plain: Sequence[Photograph],
    lesson: PrintLesson,
    processes: int = 1,
    keep: Callable[[int, Draughtsman], None] | None = None,
) -> Draughtsman:
    """Teach prints.

    Args:
        start: who learns; it stays as it is.
        garments: files of rendered garments.
        photographs: with their masks.
        plain: those that may be dyed.
        lesson: how.
        processes: that make pages; 0 to make them in this one.
        keep: called after every quarter with the step and the draughtsman so far.
    """
    torch.manual_seed(lesson.seed)
    network, teacher, mean = copies(start.network)
    network.backbone.requires_grad_(False)
    optimizer = AdamW([p for p in network.parameters() if p.requires_grad], lesson.rate, weight_decay=1e-4)
    means, begun = MeanLosses(), time.monotonic()
    of_photos, of_known = (range(count * lesson.steps) for count in (lesson.pictures, lesson.drawn))
    photos = batches(PrintPages(photographs, plain, lesson), lesson.pictures, of_photos, processes, np.stack)
    known = batches(RenderedPages(garments, lesson.seed), lesson.drawn, of_known, processes)
    for step, (pages, drawn) in enumerate(zip(photos, known, strict=True), 1):
        set_rates(optimizer, [lesson.rate], step - 1, (step - 1) / lesson.steps)
        losses = held_loss(network, teacher, torch.from_numpy(pages), lesson.edges)
        of_drawn = known_loss(network, drawn)
        losses["drawn"] = (of_drawn["lines"] + of_drawn["union"]) / 4
        descend(optimizer, losses)
        follow(mean, network, min(lesson.average, step / (step + 10)))
        means.add(losses)
        if step % 50 == 0:
            pace = (time.monotonic() - begun) / step
            log.info("step %d of %d: %s (%.2f s a step)", step, lesson.steps, means.take(), pace)
        if keep is not None and step % max(1, lesson.steps // 4) == 0:
            keep(step, Draughtsman(copy.deepcopy(mean), start.buttons))
    return Draughtsman(mean, start.buttons)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = options(__doc__, opinion=False)
    PrintLesson.add_options(parser)
    args = parser.parse_args(argv)
    lesson = PrintLesson.of(args)
    begin(args.work)
    torch.set_num_threads(1)  # more would add in another order, and give other bytes
    try:
        start = Draughtsman.load(args.start)
        photographs = gather(
            args.photos,
            args.work / "photographs",
            lesson.seed,
            lesson.photographs,
            log_gathering,
            Opinions(start, None),
        )
    except FedGAIError as error:
        parser.error(str(error))
    plain = [photograph for photograph in photographs if is_plain(photograph, start)]
    if not plain:
        parser.error("none of the photographs shows a plain garment: name folders with more photographs of clothes")
    garments = render_garments(args.work / "garments", lesson.garments, lesson.seed, args.processes)
    log.info("%d garments, %d photographs, %d of them plain", len(garments), len(photographs), len(plain))
    learned = learn(
        start,
        garments,
        photographs,
        plain,
        lesson,
        args.processes,
        lambda step, so_far: so_far.save(args.work / "latest.safetensors"),
    )
    save(learned, args.out)


if __name__ == "__main__":
    main()
