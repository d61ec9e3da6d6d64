"""The third step: the Generator learns to draw any photograph from any signature, pair by pair."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from fedgai.model import FedGAI
from fedgai.networks.layers import channels_last
from fedgai.training.losses import (
    pair_loss,
)
from fedgai.training.optimisers import Adam
from fedgai.training.pretrain.house_config import NAMED, HouseConfig
from fedgai.training.pretrain.page_batches import PageBatches
from fedgai.training.pretrain.stage import Stage

log = logging.getLogger("fedgai.training.pretrain")


def code_loss(read: Tensor, code: Tensor, known: Tensor) -> Tensor:
    """Squared error of the stroke code that the style head reads, where the hand has one. All (B, 3)."""
    return ((read - code).square() * known * read.new_tensor([1.0, 1.0, 4.0])).sum(1).mean()


def train_generator(model: FedGAI, data: PageBatches, bank: Tensor, work: Path, config: HouseConfig, fresh: bool) -> None:
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


def settle_codes(model: FedGAI, data: PageBatches, bank: Tensor, config: HouseConfig) -> None:
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
