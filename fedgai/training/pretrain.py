"""The house: how the built-in weights are trained, from garment photographs and virtual designers alone.

    python -m fedgai.training.pretrain --photos PHOTOS_DIR --work WORK_DIR --out weights

1. Draw: every photograph is cut out and studied once, then thousands of random hands (and the eight named ones) draw it.
2. Encoder: taught to see in photographs what a person who draws sees, and to tell hands apart by their statistics; then frozen.
3. Generator: learns to draw any photograph from any signature, pair by pair.
4. Adversarial: Discriminator and Generator against each other with the paper's losses, and on blends of signatures, for
   which no pair exists.

Each stage is seeded and resumes from WORK_DIR. All that is read back was written by this command itself. On a processor the
same command gives the same bytes; with ``--device cuda`` sums are added in another order each time, and the weights are alike.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from fedgai import __version__
from fedgai import ateliers as atelier
from fedgai.content import look
from fedgai.draughtsman import Draughtsman
from fedgai.files import replacing, write_atomically
from fedgai.measure import SIDE, measure
from fedgai.model import DRAUGHTSMAN_FILE, FedGAI
from fedgai.networks import hatching as strokes
from fedgai.networks.discriminator import gram_matrix
from fedgai.networks.layers import channels_last
from fedgai.networks.style import Signature, image_statistics, style_distance
from fedgai.shipped import WEIGHTS
from fedgai.training.losses import (
    PairedSemantic,
    chroma_loss,
    cosine_loss,
    crispness_loss,
    feddecorr_loss,
    gram_loss,
    hinge_discriminator,
    hinge_generator,
    pair_loss,
)
from fedgai.training.optimisers import Adam, AdamW
from fedgai.vision.cutout import NoGarment
from fedgai.vision.garment_lines import PenMap
from fedgai.vision.images import ImageError

log = logging.getLogger("fedgai.training.pretrain")

HEIGHT, WIDTH = 256, 192  # the training page, pixels
NAMED = len(atelier.ATELIERS)
MEASURED = 64  # photographs whose drawings tell a hand
PRINTED, UNCUT = 0.2, 0.06  # shares of pages whose print is drawn, too, and that are drawn with their background
BETA = 0.1  # FedDecorr's coefficient, as in the authors' code


@dataclass(frozen=True)
class HouseConfig:
    """Everything that decides the weights besides the photographs.

    Attributes:
        views: pages made of each photograph, at different scales.
        hands: random hands beside the eight named ones.
        measured: whole drawings that tell a random hand's signature, at most ``MEASURED``.
        drawings, named_drawings: pages that each random / named hand draws.
        encoder_steps, generator_steps, adversarial_steps: optimiser steps of the three stages.
        batch: drawings a step.
        seed: of everything.
    """

    views: int = 2
    hands: int = 1600
    measured: int = 6
    drawings: int = 12
    named_drawings: int = 96
    encoder_steps: int = 600
    generator_steps: int = 3600
    adversarial_steps: int = 1900
    batch: int = 8
    seed: int = 24


# -- 1. draw -------------------------------------------------------------------------------------------------------------


def _paged(array: np.ndarray, corner: tuple[float, float], paper: float) -> np.ndarray:
    """(..., h, w) -> (..., HEIGHT, WIDTH): cut, or laid on paper, so that ``corner`` (0..1 each) of the slack lies outside."""
    (h, w), page = array.shape[-2:], np.full((*array.shape[:-2], HEIGHT, WIDTH), paper, array.dtype)
    y, x = round((HEIGHT - h) * corner[0]), round((WIDTH - w) * corner[1])
    to = np.s_[..., max(y, 0) : min(y + h, HEIGHT), max(x, 0) : min(x + w, WIDTH)]
    page[to] = array[..., max(-y, 0) : min(HEIGHT - y, h), max(-x, 0) : min(WIDTH - x, w)]
    return page


@cache
def _draughtsman(path: str) -> Draughtsman:
    torch.set_num_threads(1)
    return Draughtsman.load(path)


def _study_one(job: tuple[str, str, int, int]) -> list[dict[str, np.ndarray]]:
    """Worker: one photograph -> its pages, each studied. A photograph without a garment gives none."""
    path, draughtsman, views, seed = job
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    with Image.open(path) as photo:
        width, height = photo.size
    pages = []
    for view in range(views):
        if view == 0:  # whole
            long = rng.uniform(216, 256) * min(1, WIDTH / HEIGHT * max(1, height / width))
        else:  # a part of it, about as large as the studio draws
            long = np.exp(rng.uniform(np.log(420), np.log(640)))
        amount = 1.0 if rng.random() < PRINTED else 0.0
        whole = rng.random() < UNCUT
        try:
            seen = look(
                path,
                round(long),
                round(long),
                _draughtsman(draughtsman),
                cutout=not whole,
                detail=1.0,
                print_amount=amount,
                on_missing="raise",
            )
        except (ImageError, NoGarment):
            break
        study, corner = atelier.study_looked(seen), tuple(rng.uniform(0.2, 0.8, 2))
        if _paged(study.mask, corner, 0).mean() < 0.08:
            continue
        pen = study.pen
        pens = np.zeros((3, *study.mask.shape)) if pen is None else np.stack([pen.away, pen.sure, pen.end])
        pages.append(
            {
                "photo": np.moveaxis(_paged(np.moveaxis(seen.picture, 2, 0), corner, 255), 0, 2),
                "lines": _paged(study.lines, corner, 0).astype(np.float16),
                "tone": _paged(study.tone, corner, 0).astype(np.float16),
                "distance": _paged(study.distance, corner, -999).astype(np.float16),
                "pen": _paged(pens.clip(0, 999), corner, 999).astype(np.float16),
                "has_pen": np.array(pen is not None),
                "mask": _paged(study.mask, corner, 0).astype(np.float16),
            }
        )
    return pages


def _study_of(arrays: dict[str, np.ndarray], page: int) -> atelier.Study:
    lines, tone, distance, mask = (arrays[k][page].astype(np.float32) for k in ("lines", "tone", "distance", "mask"))
    pen = PenMap(*arrays["pen"][page].astype(np.float32)) if arrays["has_pen"][page] else None
    return atelier.Study(lines, tone, distance, mask, pen)


def _draw_one(job: tuple[str, atelier.Hand, np.ndarray]) -> np.ndarray:
    """Worker: one hand draws the pages of the given indices -> (N, HEIGHT, WIDTH, 3) uint8."""
    work, hand, pages = job
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    arrays = {k: np.load(f"{work}/{k}.npy", mmap_mode="r") for k in ("lines", "tone", "distance", "mask", "pen", "has_pen")}
    return np.stack([atelier.render(_study_of(arrays, page), hand) for page in pages])


def hands(config: HouseConfig) -> list[atelier.Hand]:
    """The named ateliers first, then the random hands."""
    rng = np.random.default_rng(config.seed)
    return list(atelier.ATELIERS.values()) + [atelier.random_hand(rng) for _ in range(config.hands)]


def draw_all(photos: list[Path], draughtsman: Path, work: Path, config: HouseConfig, processes: int) -> None:
    """Stage 1: pages and drawings as arrays in ``work``; skipped where a former run finished it."""
    if (work / "drawings.json").exists():
        return
    # spawned: a fork of a process whose torch has run threads may hang
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        if not (work / "mask.npy").exists():
            jobs = [(str(p), str(draughtsman), config.views, config.seed + i) for i, p in enumerate(photos)]
            pages = [page for found in pool.map(_study_one, jobs, chunksize=8) for page in found]
            for key in pages[0]:  # mask comes last: where it lies, all lie
                np.save(work / f"{key}.npy", np.stack([p[key] for p in pages]))
            del pages
        count = len(np.load(work / "photo.npy", mmap_mode="r"))
        log.info("%d pages of %d photographs", count, len(photos))
        rng = np.random.default_rng(config.seed + 1)
        counts = [config.named_drawings if i < NAMED else config.drawings for i in range(NAMED + config.hands)]
        of_page = [rng.choice(count, n, replace=False) for n in counts]
        tasks = [(str(work), hand, chosen) for hand, chosen in zip(hands(config), of_page, strict=True)]
        with replacing(work / "drawings.npy") as temp_path:
            out = np.lib.format.open_memmap(temp_path, "w+", np.uint8, (sum(counts), HEIGHT, WIDTH, 3))
            at, start = 0, time.time()
            for i, drawn in enumerate(pool.map(_draw_one, tasks, chunksize=4)):
                out[at : at + len(drawn)] = drawn
                at += len(drawn)
                if i % 100 == 0:
                    log.info("hand %d of %d, %.0f s", i, len(tasks), time.time() - start)
            out.flush()
    index = {"pages": count, "counts": counts, "page": [i.tolist() for i in of_page]}
    write_atomically(work / "drawings.json", json.dumps(index).encode())


class Drawings:
    """The arrays of stage 1, and batches of them.

    Args:
        work: where stage 1 left them. config: that it worked with.
        device: where batches come to lie. A GPU holds all photographs and drawings; else they stay on the disk.
    """

    def __init__(self, work: Path, config: HouseConfig, device: str = "cpu") -> None:
        index = json.loads((work / "drawings.json").read_text())
        self.device = torch.device(device)
        self.photo = _array(work / "photo.npy", self.device)
        self.drawing = _array(work / "drawings.npy", self.device)
        self.lines, self.tone, self.distance = (np.load(work / f"{k}.npy", mmap_mode="r") for k in ("lines", "tone", "distance"))
        self.page = [np.asarray(p) for p in index["page"]]
        self.first = np.concatenate([[0], np.cumsum(index["counts"])])
        self.hands = hands(config)
        self.codes = torch.stack([strokes.stroke_code(h.angle, h.period) for h in self.hands]).to(device)
        numbers = np.stack([_targets(h) for h in self.hands])
        self.numbers = torch.from_numpy((numbers - numbers.mean(0)) / (numbers.std(0) + 1e-6)).to(device)
        # a hand without lines has no angle, one without lines and dots no period
        lined = [h.hatch + h.cross > 0 or h.wash > 0 for h in self.hands]
        dotted = [line or h.stipple > 0 for line, h in zip(lined, self.hands, strict=True)]
        self.known = torch.tensor([[a, a, p] for a, p in zip(lined, dotted, strict=True)], dtype=torch.float32, device=device)

    def photos(self, pages: np.ndarray) -> Tensor:
        """(B,) page indices -> (B, 3, HEIGHT, WIDTH) in [-1, 1]."""
        return _tensor(self.photo[pages])

    def sketches(self, hand: int, which: np.ndarray) -> Tensor:
        """(n, 3, HEIGHT, WIDTH) in [-1, 1]: drawings ``which`` of a hand."""
        return _tensor(self.drawing[self.first[hand] + which])

    def batch(self, rng: np.random.Generator, size: int, named: float) -> tuple[np.ndarray, Tensor, Tensor]:
        """Pairs: hands (B,), photographs and sketches (B, 3, HEIGHT, WIDTH); a share ``named`` by the eight ateliers."""
        chosen = np.where(rng.random(size) < named, rng.integers(0, NAMED, size), rng.integers(NAMED, len(self.hands), size))
        which = [int(rng.integers(len(self.page[h]))) for h in chosen]
        photo = self.photos(np.array([self.page[h][w] for h, w in zip(chosen, which, strict=True)]))
        sketch = _tensor(self.drawing[self.first[chosen] + np.array(which)])
        return chosen, photo, sketch


def _targets(hand: atelier.Hand) -> np.ndarray:
    """What the encoder's statistics must tell about a hand; angle and period only through the stroke code."""
    numbers = hand.numbers
    code = strokes.stroke_code(hand.angle, hand.period).numpy()
    lined = float(hand.hatch + hand.cross > 0)
    return np.concatenate([numbers, code[:2] * lined]).astype(np.float32)


def _array(path: Path, device: torch.device) -> np.ndarray | Tensor:
    """An array of stage 1: on the disk for a processor, in a GPU's memory for a GPU, which would wait for the disk."""
    kept: np.ndarray = np.load(path, mmap_mode="r")
    if device.type == "cpu":
        return kept
    return torch.cat([torch.from_numpy(kept[i : i + 512].copy()).to(device) for i in range(0, len(kept), 512)])


def _tensor(images: np.ndarray | Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1], channels_last."""
    images = torch.from_numpy(np.ascontiguousarray(images)) if isinstance(images, np.ndarray) else images
    return (images.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


# -- training ------------------------------------------------------------------------------------------------------------


class Stage:
    """One stage's loop: learning-rate schedule, log lines with the remaining time, and checkpoints to resume from."""

    def __init__(
        self, name: str, work: Path, parts: dict[str, nn.Module], steps: int, rate: float, seed: int, save_every: int = 200
    ) -> None:
        self.name, self.steps, self.rate, self.save_every = name, steps, rate, save_every
        self.path, self.parts = work / f"{name}.pt", parts
        self.optimisers = {k: AdamW(m.parameters(), rate, betas=(0.9, 0.98), weight_decay=1e-4) for k, m in parts.items()}
        self.rng, self.step = np.random.default_rng(seed), 0
        if self.path.exists():  # written by this command; weights_only refuses anything but tensors and plain values
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            for k, m in parts.items():
                m.load_state_dict(state["parts"][k])
                self.optimisers[k].load_state_dict(state["optimisers"][k])
            self.step = state["step"]
            self.rng.bit_generator.state = json.loads(state["rng"])
        torch.manual_seed(seed + self.step)
        self.sums: dict[str, list[Tensor]] = {}
        self.started, self.first = time.time(), self.step

    def __iter__(self) -> Iterator[int]:
        while self.step < self.steps:
            warm = min(1.0, (self.step + 1) / 50)
            rate = self.rate * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * self.step / self.steps)))
            for o in self.optimisers.values():
                o.param_groups[0]["lr"] = rate
            yield self.step
            self.step += 1
            if self.step % self.save_every == 0 or self.step == self.steps:
                self.save()

    def update(self, part: str, loss: Tensor) -> None:
        self.optimisers[part].zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parts[part].parameters(), 1.0)
        self.optimisers[part].step()

    def report(self, **losses: Tensor) -> None:
        """Running means, logged every 25 steps with the time left."""
        for k, v in losses.items():
            self.sums.setdefault(k, []).append(v.detach())
        if (self.step + 1) % 25 == 0:
            pace = (time.time() - self.started) / (self.step + 1 - self.first)
            text = "  ".join(f"{k} {torch.stack(v).mean().item():.4f}" for k, v in self.sums.items())
            log.info(
                "%s %d/%d  %s  %.2f s/step, %.1f min left",
                self.name,
                self.step + 1,
                self.steps,
                text,
                pace,
                pace * (self.steps - self.step - 1) / 60,
            )
            self.sums = {}

    def save(self) -> None:
        state = {
            "step": self.step,
            "rng": json.dumps(self.rng.bit_generator.state),
            "parts": {k: m.state_dict() for k, m in self.parts.items()},
            "optimisers": {k: o.state_dict() for k, o in self.optimisers.items()},
        }
        with replacing(self.path) as temp_path:
            torch.save(state, temp_path)


class Seeing(nn.Module):
    """Training-time heads on the encoder: what a study sees at every pixel, and what the statistics say of a hand."""

    def __init__(self, channels: tuple[int, ...], numbers: int, targets: int = 12, width: int = 24) -> None:
        super().__init__()
        self.level = nn.ModuleList([nn.Conv2d(c, width, 1) for c in channels])
        self.pixel = nn.Conv2d(width, targets, 1)
        self.norm = nn.BatchNorm1d(2 * sum(channels))
        self.hand = nn.Sequential(nn.Linear(2 * sum(channels), 128), nn.LeakyReLU(0.1), nn.Linear(128, numbers))
        self.sharpness = nn.Parameter(torch.tensor(2.0))

    def see(self, features: list[Tensor]) -> Tensor:
        """Maps -> (B, targets, H, W)."""
        size = features[0].shape[2:]
        levels = [
            F.interpolate(conv(f), size, mode="bilinear", align_corners=False)
            for conv, f in zip(self.level, features, strict=True)
        ]
        seen: Tensor = self.pixel(F.leaky_relu(sum(levels[1:], levels[0]), 0.1))
        return seen


def train_encoder(model: FedGAI, data: Drawings, work: Path, config: HouseConfig) -> None:
    """Stage 2. Contrastive over hands in exactly ``style_distance``; regression of the hand; dense regression of the study."""
    model.encoder.train().requires_grad_(True)
    heads = Seeing(model.preset.channels, data.numbers.shape[1])
    both = nn.ModuleDict({"encoder": model.encoder, "heads": heads})
    channels_last(both)
    stage = Stage("encoder", work, {"both": both}, config.encoder_steps, 3e-3, config.seed)
    channels, per_hand, n_hands, n_photos = model.preset.channels, 3, 8, 6
    for _ in stage:
        rng = stage.rng
        chosen = np.where(
            rng.random(n_hands) < 0.25, rng.integers(0, NAMED, n_hands), rng.integers(NAMED, len(data.hands), n_hands)
        )
        chosen = np.unique(chosen)
        sketch = torch.cat([data.sketches(h, rng.choice(len(data.page[h]), per_hand, replace=False)) for h in chosen])
        pages = rng.integers(0, len(data.photo), n_photos)
        features = model.encoder(torch.cat([sketch, data.photos(pages)]))
        seen = heads.see([f[-n_photos:] for f in features])
        target = torch.from_numpy(
            np.concatenate(
                [
                    data.lines[pages].reshape(n_photos, 9, HEIGHT, WIDTH),
                    data.tone[pages][:, None],
                    np.tanh(data.distance[pages][:, None] / 6),
                    np.tanh(data.distance[pages][:, None] / 1.5),
                ],
                1,
            )
        ).to(data.device, torch.float32)
        dense = ((seen - target.clamp(max=1.6)).square() * (1 + 3 * target.clamp(0, 1))).mean()
        stats = image_statistics([f[:-n_photos] for f in features]).unflatten(0, (len(chosen), per_hand))  # (P, K, D)
        total = stats.sum(1, keepdim=True)
        others = (total - stats) / (per_hand - 1)  # each drawing against a signature that it is no part of
        centres = total.squeeze(1) / per_hand
        d = style_distance(stats[:, :, None], centres[None, None], channels)  # (P, K, P)
        own = style_distance(stats, others, channels)  # (P, K)
        same = torch.eye(len(chosen), dtype=torch.bool, device=data.device)[:, None].expand_as(d)
        logits = -torch.where(same, own[:, :, None], d) * heads.sharpness.exp()
        label = torch.arange(len(chosen), device=data.device)[:, None].expand(-1, per_hand)
        contrast = F.cross_entropy(logits.flatten(0, 1), label.flatten())
        guessed = heads.hand(heads.norm(stats.flatten(0, 1)))
        hand = F.smooth_l1_loss(guessed, data.numbers[chosen].repeat_interleave(per_hand, 0))
        stage.update("both", 4 * dense + 0.5 * contrast + hand)
        right = (logits.flatten(0, 1).argmax(1) == label.flatten()).float().mean()
        stage.report(dense=dense, contrast=contrast, hand=hand, right=right)
    model.freeze_encoder()


def whole_studies(photos: list[Path], draughtsman: Draughtsman) -> list[atelier.Study]:
    """``MEASURED`` photographs or a few more, evenly among the given ones, studied at the size that hands are measured at."""
    studies = []
    for photo in photos[:: max(1, len(photos) // MEASURED)]:
        try:
            seen = look(photo, SIDE, SIDE, draughtsman, cutout=True, detail=1.0, print_amount=0.0, on_missing="raise")
        except NoGarment:
            continue
        studies.append(atelier.study_looked(seen))
    return studies


def _prepare_measuring(work: Path, photos: list[Path], draughtsman: Path) -> None:
    """Worker: what all hands' signatures are measured with."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    model = FedGAI("edge")
    model.encoder.load_state_dict(load_file(work / "encoder.safetensors"))
    model.freeze_encoder()
    _measuring["encoder"] = channels_last(model).encoder
    _measuring["studies"] = whole_studies(photos, Draughtsman.load(draughtsman))


_measuring: dict[str, Any] = {}


def _measure_hand(job: tuple[atelier.Hand, np.ndarray | None]) -> tuple[Tensor, int]:
    """Worker: a hand's signature from its drawings of the chosen photographs, or of all, and how many those were."""
    hand, chosen = job
    studies = _measuring["studies"]
    of = studies if chosen is None else [studies[i % len(studies)] for i in chosen]
    return measure(_measuring["encoder"], (atelier.render(study, hand) for study in of))


def signatures(
    model: FedGAI, photos: list[Path], draughtsman: Path, work: Path, config: HouseConfig, processes: int
) -> tuple[Tensor, list[int]]:
    """(hands, D): every hand's signature, measured as a designer's is, on whole drawings: what the Generator is trained to
    draw from; and of how many drawings each. Kept in ``work`` for the encoder that measured them."""
    kept = work / f"signatures-{model.encoder_sha256[:12]}.safetensors"
    if kept.exists():
        tensors = load_file(kept)
        return tensors["bank"], tensors["drawings"].tolist()
    save_file({k: v.contiguous() for k, v in model.encoder.state_dict().items()}, work / "encoder.safetensors")
    rng = np.random.default_rng(config.seed + 4)
    chosen = [rng.choice(MEASURED, config.measured, replace=False) for _ in range(config.hands)]
    jobs = list(zip(hands(config), [*[None] * NAMED, *chosen], strict=True))
    context, found = multiprocessing.get_context("spawn"), list[tuple[Tensor, int]]()
    with ProcessPoolExecutor(processes, context, _prepare_measuring, (work, photos, draughtsman)) as pool:
        for signature in pool.map(_measure_hand, jobs, chunksize=4):
            found.append(signature)
            if len(found) % 100 == 0:
                log.info("signature %d of %d", len(found), len(jobs))
    bank, drawings = torch.stack([style for style, _ in found]), [count for _, count in found]
    save_file({"bank": bank, "drawings": torch.tensor(drawings)}, kept)
    return bank, drawings


def code_loss(read: Tensor, code: Tensor, known: Tensor) -> Tensor:
    """Squared error of the stroke code that the style head reads, where the hand has one. All (B, 3)."""
    return ((read - code).square() * known * read.new_tensor([1.0, 1.0, 4.0])).sum(1).mean()


def train_generator(model: FedGAI, data: Drawings, bank: Tensor, work: Path, config: HouseConfig, fresh: bool) -> None:
    """Stage 3. Pairs of photograph and drawing, under the drawing hand's signature. The learning
    rate is half as high where the Generator was trained before (not ``fresh``)."""
    generator = channels_last(model.generator.train())
    assert generator.style_head is not None
    if fresh:
        generator.style_head.mean.copy_(bank.mean(0))
        generator.style_head.std.copy_(bank.std(0) + 1e-3)
    rate = 4e-3 if fresh else 2e-3
    stage = Stage("generator", work, {"generator": generator}, config.generator_steps, rate, config.seed + 1)
    noise = bank.std(0) * 0.03
    for _ in stage:
        chosen, photo, sketch = data.batch(stage.rng, config.batch, 0.3)
        # a signature from fewer drawings is a little off; the head must not mind
        stray = torch.from_numpy(stage.rng.standard_normal((len(chosen), bank.shape[1]))).to(bank.device, torch.float32)
        style = bank[chosen] + noise * stray
        with torch.no_grad():
            features = model.encoder(photo)
        logits = generator(features, style, code=data.codes[chosen], logits=True)
        read, _, _ = generator.style_head(style)
        pair, code = pair_loss(logits, sketch), code_loss(read, data.codes[chosen], data.known[chosen])
        stage.update("generator", pair + 0.5 * code)
        stage.report(pair=pair, code=code)
    generator.eval()


def train_adversarial(model: FedGAI, data: Drawings, bank: Tensor, work: Path, config: HouseConfig) -> None:
    """Stage 4. The paper's losses against a Discriminator that meets thousands of hands, and blends, which no pair teaches."""
    generator, discriminator = model.generator.train(), model.discriminator.train()
    assert generator.style_head is not None
    stage = Stage(
        "adversarial",
        work,
        {"generator": generator, "discriminator": discriminator},
        config.adversarial_steps,
        1e-3,
        config.seed + 2,
        save_every=100,
    )
    channels, half, semantic = model.preset.channels, config.batch // 2, PairedSemantic(model.encoder)
    for module in generator.modules():  # statistics are settled; blends and pairs must not pull them apart
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    for _ in stage:
        rng = stage.rng
        chosen, photo, sketch = data.batch(rng, half, 0.6)
        pages = rng.integers(0, len(data.photo), half)
        ends = np.where(
            rng.random((half, 2)) < 0.6, rng.integers(0, NAMED, (half, 2)), rng.integers(NAMED, len(data.hands), (half, 2))
        )
        t = torch.from_numpy(rng.random((half, 1))).to(data.device, torch.float32)
        mixed = bank[ends[:, 0]] * (1 - t) + bank[ends[:, 1]] * t
        style = torch.cat([bank[chosen], mixed])
        with torch.no_grad():
            features = model.encoder(torch.cat([photo, data.photos(pages)]))
            read, _, _ = generator.style_head(style)
            real_maps = model.encoder(sketch)
        code = torch.cat([data.codes[chosen], read[half:]])
        logits = generator(features, style, code=code, logits=True)
        fake = torch.tanh(logits)
        fake_maps = model.encoder(fake)
        fake_grams, real_grams = ([gram_matrix(m) for m in maps] for maps in (fake_maps, real_maps))
        judged = discriminator([torch.cat([r, f.detach()]) for r, f in zip(real_grams, fake_grams, strict=True)])
        decorr = feddecorr_loss(discriminator.hidden(real_grams))
        d_loss = hinge_discriminator(judged[:half], judged[half:])
        stage.update("discriminator", d_loss + BETA * decorr)
        discriminator.requires_grad_(False)
        adversarial = hinge_generator(discriminator(fake_grams))
        discriminator.requires_grad_(True)
        gram = gram_loss([f[:half] for f in fake_grams], real_grams)
        cosine = cosine_loss(fake_maps[3][:half], real_maps[3])
        tie = semantic(fake[:half], [m[:half] for m in fake_maps], semantic.target(photo, sketch))
        stats = image_statistics(fake_maps)
        # on pairs the target is the very drawing's statistics; a blend has only its interpolated signature
        aim = torch.cat([image_statistics(real_maps), mixed])
        distance = style_distance(stats, aim, channels)
        pair = pair_loss(logits[:half], sketch)
        crisp, chroma = crispness_loss(fake[:half], sketch), chroma_loss(fake[:half], sketch)
        read, _, _ = generator.style_head(bank[chosen])
        code = code_loss(read, data.codes[chosen], data.known[chosen])
        loss = 4 * pair + gram + cosine + tie + 2 * distance.mean() + 4 * crisp + 6 * chroma + 0.05 * adversarial
        loss = loss + 0.5 * code
        stage.update("generator", loss)
        stage.report(
            pair=pair,
            gram=gram,
            cosine=cosine,
            semantic=tie,
            crisp=crisp,
            chroma=chroma,
            own=distance[:half].mean(),
            blend=distance[half:].mean(),
            code=code,
            d=d_loss,
            decorr=decorr,
            g=adversarial,
        )
    model.eval()


def named_signatures(model: FedGAI, bank: Tensor, drawings: list[int]) -> list[Signature]:
    """The ateliers' signatures, the first of ``signatures``."""
    return [
        Signature(bank[i], model.encoder_sha256, name, hand.description, drawings[i])
        for i, (name, hand) in enumerate(atelier.ATELIERS.items())
    ]


def settle_codes(model: FedGAI, data: Drawings, bank: Tensor, config: HouseConfig) -> None:
    """Last, the one layer that reads the stroke code, on all signatures at once: a few seconds, for exact periods.

    The named hands, whose users look at nothing else, count as much as all others together.
    """
    head, rng = model.generator.style_head, torch.Generator().manual_seed(config.seed + 3)
    assert head is not None
    optimiser = Adam(head.code.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 1500)
    weight = torch.ones(len(bank), 1, device=data.device)
    weight[:NAMED] = (len(bank) - NAMED) / NAMED
    for _ in range(1500):
        style = bank + 0.02 * bank.std(0) * torch.randn(bank.shape, generator=rng).to(data.device)
        with torch.no_grad():
            hidden = head.body((style - head.mean) / head.std)
        optimiser.zero_grad()
        code_loss(head.code(hidden), data.codes, data.known * weight).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        read, _, _ = head(bank)
    off = ((read - data.codes)[:, 2].exp() - 1).abs()
    named, others = (off[part][data.known[part, 2] > 0] for part in (slice(NAMED), slice(NAMED, None)))
    log.info("period read within %.1f %% (named, worst), %.1f %% (others, median)", 100 * named.max(), 100 * others.median())


def export(model: FedGAI, named: list[Signature], out: Path, config: HouseConfig, photos: int) -> None:
    """Write the checkpoint folder with the eight ateliers as its style bank."""
    model.styles = {}
    for signature in named:
        model.add_style(signature)
    model.origin = torch.stack([s.style for s in named]).mean(0)
    model.settle_hand_judge()
    model.info = {"round": 0, "semantic_loss": "paired", "photographs": photos, "house": asdict(config), "release": __version__}
    card = out / "README.md"
    text = card.read_text() if card.exists() else None
    model.save_pretrained(out)
    if text is not None:  # the model card is written by hand; the mixin's is a stub
        card.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fedgai.training.pretrain", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of garment photographs, searched for *.jpg, *.png")
    parser.add_argument("--work", type=Path, default=Path("runs/house"), help="where stages resume from (about 6 GB)")
    parser.add_argument("--out", type=Path, default=Path("weights"))
    parser.add_argument("--draughtsman", type=Path, default=WEIGHTS / DRAUGHTSMAN_FILE, help="its weights")
    parser.add_argument("--start", help="checkpoint whose encoder stays and whose networks are trained on; none: from nothing")
    parser.add_argument("--encoder", help="checkpoint whose encoder stays; the other networks are trained from nothing")
    parser.add_argument("--device", default="cpu", help="to train on: cpu or cuda")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="that draw and measure")
    parser.add_argument("--until", choices=["draw", "encoder", "generator", "adversarial"], default="adversarial")
    for name, default in asdict(HouseConfig()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if args.start is not None and args.encoder is not None:
        parser.error("--start keeps its checkpoint's encoder, so give either --start or --encoder")
    config = HouseConfig(**{name: getattr(args, name) for name in asdict(HouseConfig())})
    args.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    photos = sorted(p for p in args.photos.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    draw_all(photos, args.draughtsman, args.work, config, args.processes)
    if args.until == "draw":
        return
    device = args.device
    if device != "cpu":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    data = Drawings(args.work, config, device)
    model = channels_last(FedGAI("edge") if args.start is None else FedGAI.from_pretrained(args.start)).to(device)
    model.draughtsman = Draughtsman.load(args.draughtsman)
    if args.encoder is not None:
        model.encoder.load_state_dict(FedGAI.from_pretrained(args.encoder).encoder.state_dict())
        model.freeze_encoder()
    elif args.start is None:
        train_encoder(model, data, args.work, config)
    bank, drawings = signatures(model, photos, args.draughtsman, args.work, config, args.processes)
    if args.until == "encoder":
        return
    train_generator(model, data, bank.to(device), args.work, config, args.start is None)
    if args.until == "adversarial":
        train_adversarial(model, data, bank.to(device), args.work, config)
    settle_codes(model, data, bank.to(device), config)
    export(model.cpu(), named_signatures(model, bank, drawings), args.out, config, len(photos))
    log.info("weights in %s", args.out)


if __name__ == "__main__":
    main()
