"""The losses of a designer's GAN, each a plain function or a small module.

FedGAI, arXiv 2503.12389, sec. 3; docs/method.md.

    Discriminator   hinge + beta * FedDecorr
    Generator       adversarial + Gram + cosine + semantic

The paper's factors (100, 0.5) are inside the losses, so the sum needs no weights of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedgai import public_weights
from fedgai.environment import variable
from fedgai.errors import FedGAIError
from fedgai.networks.style import EPS

if TYPE_CHECKING:
    from fedgai.model import FedGAI

log = logging.getLogger(__name__)

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CLIP_BLOCKS = 5


def gram_loss(generated: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """100 x the sum over the levels of the mean squared error between Gram matrices.

    Args:
        generated, real: Gram matrices of the encoder's levels, (B, C_l, C_l) each, as from ``FedGAI.grams``.
    Returns:
        scalar >= 0.
    """
    apart = [F.mse_loss(g, r) for g, r in zip(generated, real, strict=True)]
    return 100 * sum(apart[1:], apart[0])


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the Discriminator: mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake)).

    Args:
        real, fake: logit maps of any shape.
    Returns:
        scalar >= 0; 2 where the Discriminator knows nothing (all logits 0).
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """Adversarial loss of the Generator: minus the mean logit."""
    return -fake.mean()


def cosine_loss(generated: Tensor, real: Tensor) -> Tensor:
    """0.5 x (1 - cosine) between globally average-pooled features of the encoder's last level.

    Args:
        generated, real: (B, C, H, W) maps, or (B, C) where they are pooled already.
    Returns:
        scalar in [0, 1], the mean over the batch.
    """
    return 0.5 * (1 - F.cosine_similarity(_pool(generated), _pool(real), dim=1)).mean()


def feddecorr_loss(hidden: Tensor, eps: float = 1e-8) -> Tensor:
    """FedDecorr (Shi et al., arXiv 2210.00226): a penalty on correlated feature dimensions.

    Each of the C dimensions is standardised over the N rows to Z, with the sample deviation (divisor N - 1) and ``eps``
    inside the root as in Shi et al.'s code; K = Z'Z; the loss is the mean of K's squared off-diagonal entries, over N.

    Scale: K_ij = (N - 1) r_ij, so the loss is (N - 1)^2 / N times the mean squared correlation r^2. Dimensions that are
    independent have E[r^2] = 1 / (N - 1), hence a loss of 1 - 1 / N, whatever C is; dimensions that are copies of one
    another have N - 2 + 1 / N. So beta = 0.1 weighs about 0.1 on a healthy representation and 0.1 x N on a collapsed
    one: with the batch, collapse costs more, independence does not.

    One row has no deviation: N = 1 gives exactly 0, which is what the authors' code always computes (docs/method.md).

    Args:
        hidden: (N, C), C >= 2, or (N, C, H, W), pooled over H and W.
    Returns:
        scalar >= 0, differentiable; a dimension that is constant over the rows counts as uncorrelated.
    """
    z = _pool(hidden)
    n, c = z.shape
    if n == 1:
        return z.sum() * 0  # keeps the graph, so that backward works
    z = (z - z.mean(0)) / (z.var(0) + eps).sqrt()
    k = z.t() @ z  # (C, C)
    off_diagonal = k - torch.diag(k.diagonal())
    return off_diagonal.square().sum() / (c * (c - 1)) / n


def chroma_loss(drawn: Tensor, target: Tensor) -> Tensor:
    """L1 of the differences between neighbouring colour channels: ink that is black in the target has no colour, nor
    coloured edges.

    Args:
        drawn, target: (B, 3, H, W) in [-1, 1].
    Returns:
        scalar in [0, 4].
    """
    return (drawn.diff(dim=1) - target.diff(dim=1)).abs().mean()


def near_loss(drawn: Tensor, target: Tensor) -> Tensor:
    """Whether ink lies where it lies in the target: L1 between the pictures' 3 x 3 means, so that a line may be a pixel off.

    Args:
        drawn, target: (B, 3, H, W) in [-1, 1].
    Returns:
        scalar in [0, 2].
    """
    apart = drawn - target  # the difference of means is the mean of differences, and sums of rows are faster than avg_pool2d
    rows = apart[:, :, :-2] + apart[:, :, 1:-1] + apart[:, :, 2:]
    means = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9
    return means.abs().mean()


def pair_loss(logits: Tensor, target: Tensor) -> Tensor:
    """How far a drawing is from the atelier's own: cross-entropy on ink per colour channel (ink weighs more than paper),
    L1, and L1 of the gradients. Plain L1 alone gets stuck on white paper.

    Args:
        logits: (B, 3, H, W), before tanh. target: (B, 3, H, W) in [-1, 1].
    """
    ink = (1 - target) / 2  # 0 paper, 1 ink
    weight = 1 + 2 * ink
    cross = (F.binary_cross_entropy_with_logits(-2 * logits, ink, reduction="none") * weight).mean()
    drawn = torch.tanh(logits)
    gradient = sum((drawn.diff(dim=d) - target.diff(dim=d)).abs().mean() for d in (2, 3))
    return cross + 0.5 * (drawn - target).abs().mean() + 0.5 * gradient


def crispness_loss(drawn: Tensor, target: Tensor) -> Tensor:
    """Whether a drawing leaves as much grey as the atelier's own: L1 between the images' means of 4 p (1 - p), p the ink.

    Where it is unsure of a line, a network that averages draws it grey, as a veil or a blur. This says nothing of where.
    """
    grey = [(1 - x.square()).mean((1, 2, 3)) for x in (drawn, target)]  # 4 p (1 - p) = 1 - x^2 with p = (1 - x) / 2
    return (grey[0] - grey[1]).abs().mean()


class PairedSemantic(nn.Module):
    """The semantic loss where CLIP is not available: the photograph's own real sketch, in the frozen encoder's features.

    Not the paper's. The tie to the garment comes from the pairs: the sketch that the designer drew of this photograph
    shows what the drawing must show. With g the generated and s the real sketch of one photograph,

        loss = (1 - cos(pool f4(g), pool f4(s))) + MSE(n(f3(g)), n(f3(s))) + MSE(n(f4(g)), n(f4(s)))

    where f_l is the encoder's map of level l and n normalises each image's channels to mean 0 and deviation 1, as AdaIN
    does: what is left is where things are, not how they are drawn, so the hand stays the business of the other losses.
    """

    name = "paired"

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    @torch.no_grad()
    def target(self, photo: Tensor, sketch: Tensor) -> tuple[Tensor, ...]:
        """What a pair fixes for good: pool f4 (B, C_4), n(f3) (B, C_3, H/4, W/4), n(f4) (B, C_4, H/8, W/8)."""
        _, _, f3, f4 = self.encoder(sketch)
        return _pool(f4), _normalise(f3), _normalise(f4)

    def forward(self, generated: Tensor, features: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """generated (B, 3, H, W) in [-1, 1], its encoder maps and the pair's target -> scalar >= 0."""
        pooled, n3, n4 = target
        _, _, f3, f4 = features
        embedding = (1 - F.cosine_similarity(_pool(f4), pooled, dim=1)).mean()
        return embedding + F.mse_loss(_normalise(f3), n3) + F.mse_loss(_normalise(f4), n4)


class ClipSemantic(nn.Module):
    """The paper's semantic tie, in CLIP's features (ViT-B/16 at 224 px).

    (1 - cosine) between the image embeddings of generated and real sketch, plus 100 x the MSE between the token maps
    (patch tokens, without the class token) after the first five transformer blocks for photograph and generated sketch.

    Args:
        visual: an open_clip ``VisionTransformer``, already built; frozen here.
    """

    name = "clip"
    mean: Tensor
    std: Tensor

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual: Any = visual.eval().requires_grad_(False)  # open_clip has no types
        self.register_buffer("mean", torch.tensor(CLIP_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(CLIP_STD)[:, None, None])

    def train(self, mode: bool = True) -> ClipSemantic:
        return super().train(False)  # frozen, like the encoder

    @classmethod
    def load(cls, path: str | Path | None = None) -> ClipSemantic:
        """ViT-B/16 with OpenAI's weights.

        Args:
            path: a safetensors file in open_clip's or transformers' names (whole model or image tower), or what else
                ``public_weights.locate`` takes; nothing: the pinned file from the Hub.
        Raises:
            FedGAIError: with what to do, where open_clip or the file is missing or the tensors do not fit.
        """
        from fedgai import torchvision_ops

        torchvision_ops.declare_missing()
        try:
            from open_clip.transformer import QuickGELU, VisionTransformer
        except ImportError as error:
            raise FedGAIError("the CLIP loss needs open_clip: pip install open_clip_torch") from error
        # the tower alone: open_clip.create_model would build CLIP's text half too, as large again
        with torch.device("meta"):
            visual = VisionTransformer(
                image_size=224, patch_size=16, width=768, layers=12, heads=12, mlp_ratio=4.0, output_dim=512, act_layer=QuickGELU
            )
        file = public_weights.locate(public_weights.CLIP, None if path is None else str(path))
        try:
            visual.load_state_dict(public_weights.clip_tensors(file), assign=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split(":", 1)[-1].split())[:200]
            raise FedGAIError(f"{file} does not hold CLIP's ViT-B/16: {reason}") from error
        return cls(visual)

    def embed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, 3, H, W) in [-1, 1] -> image embedding (B, E), token map after block five (B, T, D)."""
        image = F.interpolate(image.float(), self.visual.image_size, mode="bicubic", align_corners=False, antialias=True)
        image = ((image.clamp(-1, 1) + 1) / 2 - self.mean) / self.std
        visual = self.visual
        *blocks, last = visual.transformer.resblocks
        patches = visual.conv1(image).flatten(2).transpose(1, 2)  # (B, T, D)
        start = visual.class_embedding.expand(len(image), 1, -1)
        x = visual.ln_pre(torch.cat([start, patches], 1) + visual.positional_embedding)  # (B, 1 + T, D), the class token first
        for block in blocks[:CLIP_BLOCKS]:
            x = block(x)
        tokens = x[:, 1:]
        for block in blocks[CLIP_BLOCKS:]:
            x = block(x)
        # of the last block only the class token is read, so only that one asks: its forward, for one query
        x, normed = x[:, :1], last.ln_1(x)
        x = x + last.attention(normed[:, :1], normed, normed)
        x = x + last.mlp(last.ln_2(x))
        return visual.ln_post(x)[:, 0] @ visual.proj, tokens

    @torch.no_grad()
    def target(self, photo: Tensor, sketch: Tensor) -> tuple[Tensor, ...]:
        """What a pair fixes for good: the real sketch's embedding (B, E), the photograph's token map (B, T, D)."""
        return self.embed(sketch)[0], self.embed(photo)[1]

    def forward(self, generated: Tensor, features: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """generated (B, 3, H, W) in [-1, 1] and the pair's target -> scalar >= 0. ``features`` are not used."""
        embedding, tokens = self.embed(generated)
        return (1 - F.cosine_similarity(embedding, target[0], dim=1)).mean() + 100 * F.mse_loss(tokens, target[1])


def semantic_loss(model: FedGAI) -> ClipSemantic | PairedSemantic:
    """The semantic loss of this preset: CLIP for ``vgg16``, as in the paper; the paired one for ``edge``, which needs no file.

    ``FEDGAI_CLIP`` names CLIP's weights (see ``public_weights.locate``) and asks for CLIP in either preset; "off" asks for the
    paired loss. Which one it is, is logged here, and stored in the checkpoint by whoever trains (``.name``: "clip" or
    "paired"). Raises FedGAIError if CLIP is asked for and is not available: it is never left out silently.
    """
    named = variable("FEDGAI_CLIP")
    clip = named != "off" if named else model.preset.name == "vgg16"
    loss = ClipSemantic.load(named or None) if clip else PairedSemantic(model.encoder)
    log.info("semantic loss: %s", "CLIP" if clip else "paired, in the encoder's features")
    return loss.to(next(model.parameters()).device)


def _pool(x: Tensor) -> Tensor:
    return x.mean((2, 3)) if x.ndim == 4 else x  # (B, C)


def _normalise(x: Tensor) -> Tensor:
    x = x - x.mean((2, 3), keepdim=True)
    return x / (x.square().mean((2, 3), keepdim=True) + EPS).sqrt()


GENERATOR_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {}
"""Further losses of the Generator in training at home, by name: (drawn sketch, wanted sketch), both (B, 3, S, S) in [-1, 1], to a
scalar, its weight included. The paper's own are in ``LocalTrainer.step``. CONTRIBUTING.md adds one."""
