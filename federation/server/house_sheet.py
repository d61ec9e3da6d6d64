"""What a round's report shows: example garments, drawn in the hands of the bank, and how near each drawing comes."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fedgai import shipped
from fedgai.content import Content
from fedgai.data.listing import find_images
from fedgai.environment import variable
from fedgai.model import FedGAI
from fedgai.networks.style import image_statistics, style_distance
from fedgai.pipeline import SketchPipeline
from fedgai.vision.images import to_tensor

# a Flower app runs from a folder of its own, where only code is: the host says where the project's garments are
EXAMPLES = Path(variable("FEDGAI_EXAMPLES") or shipped.EXAMPLES)
PROBE_SIZE = 256  # px, long side; boundary_fscore's tolerance is meant for it
PROBE_GARMENTS = 8  # at most
DISTANCE_GARMENTS = 4  # that a designer's style distance is a mean over
SHEET_WIDTH, SHEET_ROWS, SHEET_HANDS = 900, 3, 8
WORST = 1e6  # stands for a figure that is not finite: a report is JSON, which has no NaN

_prepared: dict[tuple[Path, str], list[Content]] = {}  # one entry an encoder; a federation has one


def prepared_garments(pipe: SketchPipeline, folder: Path) -> list[Content]:
    """The probe's garments, prepared once for an encoder: cutting out takes longer than all of the drawing."""
    key = (folder, pipe.model.encoder_sha256)
    if key not in _prepared:
        _prepared.clear()
        _prepared[key] = [
            pipe.prepare(file, PROBE_SIZE, on_missing="keep", side=PROBE_SIZE) for file in find_images(folder)[:PROBE_GARMENTS]
        ]
    return _prepared[key]


def encode(model: FedGAI, drawings: list[np.ndarray]) -> list[Tensor]:
    """Drawings of one size, (H, W, 3) uint8, padded with paper to a multiple of 8 -> the encoder's maps."""
    pad = [(0, -side % 8) for side in drawings[0].shape[:2]]
    x = torch.stack([to_tensor(np.pad(d, [*pad, (0, 0)], constant_values=255)) for d in drawings])
    maps: list[Tensor] = model.encoder(x.contiguous(memory_format=torch.channels_last))
    return maps


@torch.inference_mode()
def style_distances(model: FedGAI, examples: str | Path = EXAMPLES) -> dict[str, float]:
    """How near the Generator comes to each hand of the bank: name -> mean style distance over four example garments."""
    pipe, channels = SketchPipeline(model), model.preset.channels
    found = {}
    for name, signature in model.styles.items():
        rows = torch.cat(
            [
                image_statistics(encode(model, [np.asarray(pipe.draw(c, {signature: 1}))]))
                for c in prepared_garments(pipe, Path(examples))[:DISTANCE_GARMENTS]
            ]
        )
        distance = style_distance(rows, signature.style, channels).mean().item()
        found[name] = round(distance, 5) if math.isfinite(distance) else WORST
    return found


def sheet(model: FedGAI, names: Sequence[str], examples: str | Path = EXAMPLES) -> bytes:
    """A JPEG, 900 px wide: three example garments, a row each, in up to eight hands of the bank."""
    pipe, names = SketchPipeline(model), list(names)[:SHEET_HANDS]
    width, label = SHEET_WIDTH // SHEET_HANDS, 18
    height = width * 4 // 3
    page = Image.new("RGB", (SHEET_WIDTH, label + SHEET_ROWS * height), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for column, name in enumerate(names):
        pen.text((column * width + 4, 3), name[:16], "black", font)
        for row, content in enumerate(prepared_garments(pipe, Path(examples))[:SHEET_ROWS]):
            sketch = pipe.draw(content, {model.styles[name]: 1})
            sketch.thumbnail((width - 6, height - 4), Image.Resampling.LANCZOS)
            page.paste(sketch, (column * width + (width - sketch.width) // 2, label + row * height))
    file = io.BytesIO()
    page.save(file, "JPEG", quality=88)
    return file.getvalue()
