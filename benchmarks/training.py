"""What a training step costs with the paper's networks and losses, beside the authors' order of passes; and a run's memory.

Both have the same networks, VGG-16 up to relu4_3, the full Generator, the Discriminator and CLIP ViT-B/16, with random
weights, at 256 px and batch 1, and take turns in one process. The authors' order is re-stated from the paper and from what
their public code does: every step sends the photograph, the real and the generated sketch through VGG-16 and through CLIP,
computes each Gram matrix for the loss and again for the Discriminator, upsamples before it convolves, and lets the
Generator's gradient go into the Discriminator's weights. Pictures are in memory for both; no order is charged for decoding.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.inference import machine
from fedgai import torchvision_ops
from fedgai.data.pairs import PairFolder
from fedgai.model import FedGAI
from fedgai.networks.style import split
from fedgai.training import losses
from fedgai.training.local import LocalTrainer
from fedgai.training.train_config import TrainConfig

STEPS = 20  # of the run whose memory is measured


def networks() -> tuple[FedGAI, losses.ClipSemantic]:
    """The vgg16 preset and CLIP's image tower, random, but so that signals neither fade nor grow on their way."""
    torchvision_ops.declare_missing()
    from open_clip.transformer import QuickGELU, VisionTransformer

    torch.manual_seed(24)
    model = FedGAI("vgg16")
    for layer in model.encoder.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    visual = VisionTransformer(
        image_size=224, patch_size=16, width=768, layers=12, heads=12, mlp_ratio=4.0, output_dim=512, act_layer=QuickGELU
    )
    return model.train(), losses.ClipSemantic(visual)


def pairs(folder: str, size: int, count: int) -> PairFolder:
    """Noise: a step's time does not depend on what is in the pictures."""
    rng = np.random.default_rng(24)
    for name in ("photos", "sketches"):
        (Path(folder) / name).mkdir()
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(Path(folder) / name / f"{i:02d}.png")
    return PairFolder(folder, size)


def draw_as_published(model: FedGAI, maps: Sequence[Tensor], style: Tensor) -> Tensor:
    """The vgg16 Generator in the paper's order of layers. maps (B, C_l, H / 2^l, W / 2^l), style (1, D) -> (B, 3, H, W)."""
    g = model.generator
    maps = [g.adain(f, m, s) for f, (m, s) in zip(maps, split(style, g.channels), strict=True)]
    y = g.head(maps[3])
    for mrfm, x in zip(g.mrfm, maps[2::-1], strict=True):
        y = torch.cat((mrfm.down(F.max_pool2d(x, 2)), y), 1)
        y = F.pad(F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False), (1, 1, 1, 1), mode="reflect")
        first, *rest = mrfm.join
        y = F.conv2d(y, first.weight, first.bias)
        for layer in rest:
            y = layer(y)
        y = mrfm.out(y + mrfm.gate * x)
    return torch.tanh(g.image(y))


def embed_as_published(clip: losses.ClipSemantic, image: Tensor) -> tuple[Tensor, Tensor]:
    """As ``ClipSemantic.embed``, by open_clip's own pass through all of the tower."""
    image = F.interpolate(image, clip.visual.image_size, mode="bicubic", align_corners=False, antialias=True)
    image = ((image.clamp(-1, 1) + 1) / 2 - clip.mean) / clip.std
    out = clip.visual.forward_intermediates(image, indices=[losses.CLIP_BLOCKS - 1], output_fmt="NLC")
    return out["image_features"], out["image_intermediates"][0]


class AuthorsOrder:
    """A step as the authors run it, on the same networks and with the same optimisers."""

    def __init__(self, model: FedGAI, clip: losses.ClipSemantic, style: Tensor, config: TrainConfig) -> None:
        self.model, self.clip, self.style, self.beta = model, clip, style, config.beta
        self.optimisers = [
            torch.optim.SGD(part.parameters(), config.lr, config.momentum) for part in (model.discriminator, model.generator)
        ]

    def step(self, photo: Tensor, sketch: Tensor) -> float:
        """photo, sketch (1, 3, S, S) in [-1, 1] -> the Generator's loss."""
        model, judge = self.model, self.model.discriminator
        photo_maps, sketch_maps = model.encoder(photo), model.encoder(sketch)
        drawing = draw_as_published(model, photo_maps, self.style)
        maps = model.encoder(drawing)
        loss = losses.cosine_loss(maps[-1], sketch_maps[-1])
        (wanted, _), (got, tokens), (_, photo_tokens) = (embed_as_published(self.clip, x) for x in (sketch, drawing, photo))
        loss = loss + (1 - F.cosine_similarity(got, wanted, dim=1)).mean() + 100 * F.mse_loss(tokens, photo_tokens)
        loss = loss + losses.gram_loss(model.grams(maps), model.grams(sketch_maps))

        real, fake = model.grams(sketch_maps), model.grams(maps)
        self.optimisers[0].zero_grad()
        F.relu(1 - judge(real)).mean().backward()
        F.relu(1 + judge([g.detach() for g in fake])).mean().backward()
        (self.beta * losses.feddecorr_loss(judge.hidden(real))).backward()  # of one row: always 0, and yet computed
        self.optimisers[0].step()

        self.optimisers[1].zero_grad()
        loss = loss + losses.hinge_generator(judge(fake))
        loss.backward()
        self.optimisers[1].step()
        return loss.item()


def compare(size: int, rounds: int, bf16: bool) -> dict[str, object]:
    """Both orders in turns. Times are medians of wall-clock seconds; CPU seconds are this process's, over all threads."""
    model, clip = networks()
    with tempfile.TemporaryDirectory() as folder:
        data, config = pairs(folder, size, TrainConfig.decorr_rows), TrainConfig(size=size, epochs=1)
        trainers = {"ours": LocalTrainer(copy.deepcopy(model), data, config, folder, semantic=clip)}
        if bf16:
            trainers["ours, bfloat16"] = LocalTrainer(
                copy.deepcopy(model), data, replace(config, bf16=True), folder, semantic=clip
            )
        authors = AuthorsOrder(model, clip, trainers["ours"].style, config)
        pictures = [[x[None] for x in data[i]] for i in range(2)]
        for trainer in trainers.values():  # what never changes is computed here, as in all but the first of many epochs
            for _ in range(rounds):
                trainer.step()
            trainer.step_count = 0
        authors.step(*pictures[0])
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ("authors' order", *trainers)}
        for number in range(rounds):
            for name, times in spent.items():
                start = time.perf_counter(), time.process_time()
                if name in trainers:
                    trainers[name].step()
                else:
                    authors.step(*pictures[number % len(pictures)])
                times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    medians = {name: [statistics.median(column) for column in zip(*times, strict=True)] for name, times in spent.items()}
    slow = medians["authors' order"]
    return {
        "size": size,
        "rounds": rounds,
        "steps": {
            name: {
                "median_s": round(wall, 3),
                "cpu_s": round(cpu, 3),
                "ratio": round(slow[0] / wall, 2),
                "cpu_ratio": round(slow[1] / cpu, 2),
            }
            for name, (wall, cpu) in medians.items()
        },
    }


def run_and_tell_peak(size: int) -> None:
    """Train ``STEPS`` steps and print the peak memory of this process, MB. Meant for a fresh process."""
    model, clip = networks()
    with tempfile.TemporaryDirectory() as folder:
        data = pairs(folder, size, TrainConfig.decorr_rows)
        LocalTrainer(model, data, TrainConfig(size=size), Path(folder) / "out", semantic=clip).run(STEPS)
    print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 2**10)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--size", type=int, default=256, help="image side, pixels")
    parser.add_argument("--rounds", type=int, default=7, help="steps of each order")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="a third order: ours in bfloat16")
    parser.add_argument("--no-peak", action="store_true", help=f"leave out the memory of a run of {STEPS} steps")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    report = compare(args.size, args.rounds, args.bf16)
    if not args.no_peak:
        code = f"import torch; torch.set_num_threads({args.threads}); from benchmarks import training as t; "
        child = subprocess.run(
            [sys.executable, "-c", code + f"t.run_and_tell_peak({args.size})"], capture_output=True, text=True, check=True
        )
        report["peak_mb"] = int(child.stdout.split()[-1])
    report["machine"] = machine()
    if args.json:
        print(json.dumps(report, indent=2))
        return
    for name, row in report["steps"].items():
        print(
            f"{name:<18}{row['median_s']:>8.2f} s a step, {row['ratio']:.2f} x; "
            f"{row['cpu_s']:.2f} CPU s, {row['cpu_ratio']:.2f} x"
        )
    if "peak_mb" in report:
        print(f"{STEPS} steps at {args.size} px: {report['peak_mb']} MB at the peak")
    print(", ".join(f"{k} {v}" for k, v in report["machine"].items()))


if __name__ == "__main__":
    main()
