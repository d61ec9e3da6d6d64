"""The second step: the encoder learns what a person who draws sees, and to tell hands apart by their statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedgai.model import FedGAI
from fedgai.networks.layers import channels_last
from fedgai.networks.style import image_statistics, style_distance
from fedgai.training.pretrain.house_config import HEIGHT, NAMED, WIDTH, HouseConfig
from fedgai.training.pretrain.page_batches import PageBatches
from fedgai.training.pretrain.stage import Stage


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


def train_encoder(model: FedGAI, data: PageBatches, work: Path, config: HouseConfig) -> None:
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
        others = (total - stats) / (per_hand - 1)  # each drawing against a signature made without it
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
