"""The fourth step: Discriminator and Generator against each other with the paper's losses, and on blends of signatures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fedgai.model import FedGAI
from fedgai.networks.discriminator import Discriminator, gram_matrix
from fedgai.networks.generator import Generator
from fedgai.networks.style import image_statistics, style_distance
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
from fedgai.training.pretrain.generator_stage import code_loss
from fedgai.training.pretrain.house_config import NAMED, HouseConfig
from fedgai.training.pretrain.page_batches import PageBatches
from fedgai.training.pretrain.stage import Stage

BETA = 0.1  # FedDecorr's coefficient, as in the authors' code


def _pairs_and_blends(
    data: PageBatches, bank: Tensor, rng: np.random.Generator, half: int
) -> tuple[np.ndarray, Tensor, Tensor, Tensor, Tensor]:
    """``half`` pairs: hands (half,), photographs, sketches; and as many blends: other photographs, mixed signatures (half, D)."""
    chosen, photo, sketch = data.batch(rng, half, 0.6)
    pages = rng.integers(0, len(data.photo), half)
    ends = np.where(
        rng.random((half, 2)) < 0.6, rng.integers(0, NAMED, (half, 2)), rng.integers(NAMED, len(data.hands), (half, 2))
    )
    t = torch.from_numpy(rng.random((half, 1))).to(data.device, torch.float32)
    mixed = bank[ends[:, 0]] * (1 - t) + bank[ends[:, 1]] * t
    return chosen, photo, sketch, data.photos(pages), mixed


def _hold_statistics(generator: Generator) -> None:
    """BatchNorm's statistics are settled; blends and pairs must not pull them apart."""
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _teach_discriminator(stage: Stage, real_grams: list[Tensor], fake_grams: list[Tensor]) -> tuple[Tensor, Tensor]:
    """One step of the Discriminator: half of the Gram matrices are real -> its hinge loss, and FedDecorr."""
    discriminator, half = stage.parts["discriminator"], len(real_grams[0])
    assert isinstance(discriminator, Discriminator)
    judged = discriminator([torch.cat([r, f.detach()]) for r, f in zip(real_grams, fake_grams, strict=True)])
    decorr = feddecorr_loss(discriminator.hidden(real_grams))
    hinge = hinge_discriminator(judged[:half], judged[half:])
    stage.update("discriminator", hinge + BETA * decorr)
    return hinge, decorr


def train_adversarial(model: FedGAI, data: PageBatches, bank: Tensor, work: Path, config: HouseConfig) -> None:
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
    _hold_statistics(generator)
    for _ in stage:
        chosen, photo, sketch, others, mixed = _pairs_and_blends(data, bank, stage.rng, half)
        style = torch.cat([bank[chosen], mixed])
        with torch.no_grad():
            features = model.encoder(torch.cat([photo, others]))
            read, _, _ = generator.style_head(style)
            real_maps = model.encoder(sketch)
        code = torch.cat([data.codes[chosen], read[half:]])
        logits = generator(features, style, code=code, logits=True)
        fake = torch.tanh(logits)
        fake_maps = model.encoder(fake)
        fake_grams, real_grams = ([gram_matrix(m) for m in maps] for maps in (fake_maps, real_maps))
        d_loss, decorr = _teach_discriminator(stage, real_grams, fake_grams)
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
