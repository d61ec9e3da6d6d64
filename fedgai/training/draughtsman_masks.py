"""The draughtsman's lesson on masks alone; lines and tone stay what an earlier draughtsman sees:

    python -m fedgai.training.draughtsman_masks --start weights/draughtsman.safetensors --opinion u2net.onnx \
        --photos PHOTOS_DIR --photos MORE_DIR --work WORK_DIR --out draughtsman.safetensors

The whole network learns, its backbone more slowly. What it learns from: rendered garments, whose masks are known, and
photographs on whose garment two opinions agree or one was chosen by eye (``photographs``, ``reviewed_masks``). Silhouettes go
with the masks. Every other line, and the tone, is held to what the network saw in the same page before the lesson.

Seeded. With ``--device cuda`` the sums are added in another order each time, so that two runs give masks alike in kind only.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fedgai.draughtsman import Draughtsman, Network
from fedgai.errors import FedGAIError
from fedgai.garments import Garment
from fedgai.line_types import LINE_TYPES
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
    parameter_groups,
    save,
    set_rates,
)
from fedgai.training.optimisers import AdamW
from fedgai.training.pages import SILHOUETTE, LessonPage, other_light, real, rendered
from fedgai.training.photographs import Opinions, Photograph, background, gather
from fedgai.training.reviewed_masks import read
from fedgai.training.saliency import Saliency
from fedgai.training.train_draughtsman import entropy, render_garments

log = logging.getLogger("fedgai.training.draughtsman_masks")

OTHERS = [i for i in range(len(LINE_TYPES)) if i != SILHOUETTE]
WEIGHT = 100  # a weight of 1, as uint8
HELD_OUT = 24  # of so many photographs one is never shown: the masks are measured on it


@dataclass(frozen=True)
class MaskLesson(Lesson):
    """How masks are learned.

    Attributes:
        garments: rendered geometries.
        steps: of the lesson; seconds: it ends after so many at the latest, its rate falling in time.
        pictures: dyed pictures a step, each laid on ``copies`` pages; share: of them rendered.
        often: how many times as often a photograph is shown whose mask was chosen by eye.
        backbone_rate: as ``rate``, of the backbone.
        hold: weight of what should stay as it was.
    """

    garments: int = 600
    steps: int = 2400
    seconds: float = 1e9
    pictures: int = 12
    copies: int = 2
    share: float = 0.4
    often: int = 3
    backbone_rate: float = 2e-4
    hold: float = 1.0


class MaskPages(Dataset[np.ndarray]):
    """Pictures by number, each on a few pages; the number and the seed alone decide what is on them.

    One item is uint8 (copies, 7, H, W): photo, mask, where it is known, silhouette, where that is known.

    Args:
        garments: files of ``Garment.save``.
        photographs: that are shown.
        lesson: for its shares and its seed.
    """

    def __init__(self, garments: Sequence[Path], photographs: Sequence[Photograph], lesson: MaskLesson) -> None:
        self.garments, self.photographs, self.lesson = list(garments), list(photographs), lesson
        times = np.array([lesson.often if one.chosen else 1 for one in photographs], np.float64)
        self.chances = times / times.sum()

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, number: int) -> np.ndarray:
        cv2.setNumThreads(1)
        lesson = self.lesson
        rng = np.random.default_rng([lesson.seed, number])
        behind = None
        if rng.random() < 0.4:
            behind = background(self.photographs[rng.integers(len(self.photographs))], 512, 512, rng)
        if number % lesson.pictures < round(lesson.pictures * lesson.share):
            garment = Garment.load(self.garments[rng.integers(len(self.garments))])
            if behind is not None:
                behind = np.ascontiguousarray(behind[: garment.alpha.shape[0], : garment.alpha.shape[1]])
            page = rendered(garment, rng, behind)
        else:
            photograph = self.photographs[rng.choice(len(self.photographs), p=self.chances)]
            page = real(photograph, rng, behind if rng.random() < 0.3 else None)
        page = _without_other_lines(page)
        return np.stack([_planes(page.placed(rng), rng) for _ in range(lesson.copies)])


def _without_other_lines(page: LessonPage) -> LessonPage:
    """The same page, its lines the silhouette alone."""
    one = {name: np.ascontiguousarray(getattr(page, name)[..., SILHOUETTE]) for name in ("lines", "line_weight")}
    return replace(page, **one, tone=page.mask, tone_weight=page.mask_weight)


def _planes(page: LessonPage, rng: np.random.Generator) -> np.ndarray:
    """uint8 (7, H, W), its photo lighter or darker and its colours a little warmer or colder."""
    photo = cv2.LUT(page.photo, other_light(rng))
    weights = [np.clip(WEIGHT * weight, 0, 255).astype(np.uint8) for weight in (page.mask_weight, page.line_weight)]
    return np.concatenate([photo.transpose(2, 0, 1), np.stack([page.mask, weights[0], page.lines, weights[1]])])


def loss(network: Network, teacher: Network, pages: Tensor, hold: float) -> dict[str, Tensor]:
    """The losses of pages, uint8 (B, 7, H, W) as of ``MaskPages``, by name; their sum is what is made small."""
    planes = pages.float()
    photo = (planes[:, :3] / 255).contiguous(memory_format=torch.channels_last)
    mask, lines, tone = network(photo)
    with torch.no_grad():
        _, seen, light = teacher(photo)
        seen = seen[:, OTHERS].sigmoid()
    want, known, rim, rim_known = (planes[:, i : i + 1] for i in range(3, 7))
    want, rim, known, rim_known = want / 255, rim / 255, known / WEIGHT, rim_known / WEIGHT
    likely = mask.sigmoid() * known
    overlap = (2 * (likely * want).sum((1, 2, 3)) + 1) / (likely.square() + (known * want).square()).sum((1, 2, 3)).add(1)
    return {
        "mask": 3 * entropy(mask, want, known) + 1.5 * (1 - overlap).mean(),
        "silhouette": 2 * entropy(lines[:, [SILHOUETTE]], rim, rim_known * (1 + 3 * rim)),
        "lines": 6 * hold * entropy(lines[:, OTHERS], seen, 1 + 9 * seen),
        "tone": 2 * hold * (tone - light).abs().mean(),
    }


def learn(
    start: Draughtsman,
    garments: Sequence[Path],
    photographs: Sequence[Photograph],
    lesson: MaskLesson,
    device: str = "cpu",
    processes: int = 1,
    keep: Callable[[int, Draughtsman], None] | None = None,
) -> Draughtsman:
    """Teach masks.

    Args:
        start: who learns; it stays as it is.
        garments: files of rendered garments.
        photographs: with their masks.
        lesson: how.
        device: where the network learns; pages are made by so many ``processes`` on the CPU.
        keep: called at every quarter with the step and the draughtsman so far.
    """
    torch.manual_seed(lesson.seed)
    network, teacher, mean = copies(start.network, device)
    optimizer = AdamW(parameter_groups(network), lesson.rate, weight_decay=1e-4)
    held = photographs[::HELD_OUT]
    shown = [one for i, one in enumerate(photographs) if i % HELD_OUT]
    log.info("before: overlap with %d photographs never shown %s", len(held), measure(start, held))
    # batches, uint8 (pictures x copies, 7, H, W), travel between processes as arrays, which need no shared memory
    pages, numbers = MaskPages(garments, shown, lesson), range(lesson.pictures * lesson.steps)
    made = batches(pages, lesson.pictures, numbers, processes, np.concatenate, ahead=3)
    means, begun, kept = MeanLosses(), time.monotonic(), 0
    for step, batch in enumerate(made):
        progress = max(step / lesson.steps, (time.monotonic() - begun) / lesson.seconds)
        if progress >= 1:
            break
        set_rates(optimizer, (lesson.backbone_rate, lesson.rate), step, progress)
        losses = loss(network, teacher, torch.from_numpy(batch).to(device), lesson.hold)
        descend(optimizer, losses)
        follow(mean, network, min(lesson.average, (step + 1) / (step + 10)))
        means.add(losses)
        if step % 100 == 99:
            pace = (time.monotonic() - begun) / (step + 1)
            log.info("step %d of %d: %s (%.3f s a step)", step + 1, lesson.steps, means.take(), pace)
        if keep is not None and int(4 * progress) > kept:
            kept = int(4 * progress)
            keep(step, Draughtsman(copy.deepcopy(mean).cpu(), start.buttons))
    learned = Draughtsman(mean.cpu(), start.buttons)
    log.info("after: overlap with %d photographs never shown %s", len(held), measure(learned, held))
    return learned


def measure(draughtsman: Draughtsman, photographs: Sequence[Photograph]) -> str:
    """Mean overlap (IoU) of the network's own masks with the photographs', and how many stay below 0.9 and 0.95."""
    overlaps = []
    for photograph in photographs:
        known = photograph.known() > 0.5
        seen = (draughtsman.look(photograph.photo()).mask > 0.5) & known
        want = (photograph.mask() > 0.5) & known
        overlaps.append(float((seen & want).sum() / max(1, (seen | want).sum())))
    found = np.array(overlaps)
    return f"{found.mean():.4f}, {(found < 0.9).sum()} below 0.9, {(found < 0.95).sum()} below 0.95" if overlaps else "none"


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = options(__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    MaskLesson.add_options(parser)
    args = parser.parse_args(argv)
    lesson = MaskLesson.of(args)
    begin(args.work)
    if args.device == "cpu":
        torch.set_num_threads(1)  # more would add in another order, and give other bytes
    try:
        start = Draughtsman.load(args.start)
        photographs = gather(
            args.photos,
            args.work / "photographs",
            lesson.seed,
            progress=log_gathering,
            opinions=Opinions(start, Saliency(args.opinion), read()),
        )
    except FedGAIError as error:
        parser.error(str(error))
    garments = render_garments(args.work / "garments", lesson.garments, lesson.seed, args.processes)
    log.info("%d garments, %d photographs, %d chosen by eye", len(garments), len(photographs), sum(p.chosen for p in photographs))
    learned = learn(start, garments, photographs, lesson, args.device, args.processes)
    save(learned, args.out)


if __name__ == "__main__":
    main()
