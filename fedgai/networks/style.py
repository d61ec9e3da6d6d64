"""Style as statistics: AdaIN_SD, the style signature, and distances between hands.

FedGAI, arXiv 2503.12389, sec. 3; docs/method.md.

AdaIN_SD differs from AdaIN in its target: not one style image but a designer's whole set of sketches. What is left of
that set is one mean and one standard deviation per channel of the frozen encoder, at four levels: the *signature*. It is
small, holds no drawing, and signatures can be mixed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fedgai.errors import FedGAIError
from fedgai.line_choice import EVERY_LINE, LineChoice
from fedgai.networks.adapter import STEP

EPS = 1e-6  # as in the authors' code
MEASURE = "make it again with `fedgai signature`"
LINES = "lines"  # the choice of lines in a signature's text


def channel_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each image's channels.

    Args:
        x: features, (B, C, H, W), floating point.
    Returns:
        mean and std, each (B, C), float32; ``std = sqrt(variance + EPS)`` with the population variance.
    """
    statistics: Callable[[Tensor], tuple[Tensor, Tensor]] = _Statistics.apply
    return statistics(x)


class _Statistics(torch.autograd.Function):
    """``channel_statistics``; autograd's own way back takes twice as long, over pictures of products that it need not keep."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        # torch.var_mean takes ten times as long on strided memory as these passes over (B, HW, C); vector_norm takes four
        # times as long, and sums in float32 so plainly that at 1,024 px the variance is off by 0.1 % and more
        flat = x.permute(0, 2, 3, 1).flatten(1, 2).float()  # (B, HW, C); a view where x is channels_last
        mean = flat.mean(1)
        variance = flat.square().mean(1) - mean.square()
        std = (variance.clamp_min(0) + EPS).sqrt()
        ctx.save_for_backward(x, mean, std, variance >= 0)
        return mean, std

    @staticmethod
    def backward(ctx: Any, of_mean: Tensor, of_std: Tensor) -> Tensor:
        x, mean, std, varies = ctx.saved_tensors
        pixels = x.shape[2] * x.shape[3]
        slope = torch.where(varies, of_std / (std * pixels), 0)
        shift = of_mean / pixels - slope * mean
        return torch.addcmul(shift[:, :, None, None], x.float(), slope[:, :, None, None]).to(x.dtype)


def image_statistics(features: Sequence[Tensor]) -> Tensor:
    """Statistics of single images in the signature's layout.

    Args:
        features: the encoder's four maps, each (B, C_l, H_l, W_l).
    Returns:
        (B, 2 * sum C_l) float32: mean and std of level 1, of level 2, and so on.
    """
    return torch.cat([s for f in features for s in channel_statistics(f)], 1)


def split(style: Tensor, channels: Sequence[int], dim: int = -1) -> list[tuple[Tensor, Tensor]]:
    """(..., 2 * sum C_l) -> for each level its mean and its std, (..., C_l) each.

    Args:
        dim: where the numbers lie.
    """
    sizes = []
    for c in channels:
        sizes += [c, c]
    parts = style.split(sizes, dim)
    return list(zip(parts[0::2], parts[1::2], strict=True))


class AdaIN_SD(nn.Module):  # noqa: N801  (the paper's name)
    """Adaptive instance normalisation towards a sketch set's statistics (FedGAI; after Huang & Belongie 2017).

    The content's features are normalised per image and channel (dims 2, 3), then scaled and shifted to the target, whose
    statistics are over all of a designer's sketches and positions (dims 0, 2, 3).
    """

    def forward(self, content: Tensor, mean: Tensor, std: Tensor, own: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """content (B, C, H, W); mean, std (B, C) or (1, C) -> (B, C, H, W) in content's dtype.

        ``own``: the content's ``channel_statistics``, where they are known.
        """
        c_mean, c_std = channel_statistics(content) if own is None else own
        scale = (std / c_std).to(content.dtype)
        shift = (mean - c_mean * std / c_std).to(content.dtype)
        return torch.addcmul(shift[:, :, None, None], content, scale[:, :, None, None])


class StreamingStatistics:
    """Whole-set statistics, one batch at a time: exact (Chan's update in float64), memory independent of the set.

    >>> statistics = StreamingStatistics()
    >>> for batch in sketches: statistics.update(encoder(batch))
    >>> style = statistics.style()          # (2 * sum C_l,)
    """

    def __init__(self) -> None:
        self.images = 0
        self._count: list[int] = []
        self._mean: list[Tensor] = []
        self._m2: list[Tensor] = []

    def update(self, features: Sequence[Tensor]) -> None:
        """features: the encoder's maps of one batch, each (B, C_l, H_l, W_l). Sizes may differ between batches."""
        if not self._count:
            self._count = [0] * len(features)
            self._mean = [torch.zeros(f.shape[1], dtype=torch.float64) for f in features]
            self._m2 = [torch.zeros(f.shape[1], dtype=torch.float64) for f in features]
        self.images += features[0].shape[0]
        for level, f in enumerate(features):
            flat = f.detach().permute(0, 2, 3, 1).flatten(0, 2).double()  # (BHW, C)
            n, seen = flat.shape[0], self._count[level]
            mean = flat.mean(0)
            m2 = (flat - mean).square().sum(0)
            delta = mean.cpu() - self._mean[level]
            total = seen + n
            self._mean[level] += delta * (n / total)
            self._m2[level] += m2.cpu() + delta.square() * (seen * n / total)
            self._count[level] = total

    def style(self) -> Tensor:
        """(2 * sum C_l,) float32, in the signature's layout. Raises FedGAIError before the first update."""
        if not self.images:
            raise FedGAIError("no sketch was seen, so there are no statistics")
        parts = []
        for count, mean, m2 in zip(self._count, self._mean, self._m2, strict=True):
            parts += [mean, (m2 / count + EPS).sqrt()]
        return torch.cat(parts).float()


def style_distance(a: Tensor, b: Tensor, channels: Sequence[int]) -> Tensor:
    """Distance between hands: root mean square over the levels of the 2-Wasserstein distance per channel.

    Each channel is taken as a Gaussian, whose squared distance is (m_a - m_b)^2 + (s_a - s_b)^2; channels are averaged
    within a level, so that a level counts the same however wide it is.

    Args:
        a, b: (..., 2 * sum C_l), broadcast against each other.
    Returns:
        (...,) float32, >= 0.
    """
    squared = (a - b).square()
    levels = squared.split([2 * c for c in channels], -1)
    total: Tensor = sum(level.sum(-1) / c for level, c in zip(levels, channels, strict=True))
    return (total / len(channels)).sqrt()


@dataclass(frozen=True, eq=False)  # a signature is itself: it can be the key of a blend's weights
class Signature:
    """A designer's style, as it crosses the wire and lies in the style bank.

    Attributes:
        style: (2 * sum C_l,) float32; mean and std of level 1, of level 2, and so on.
        encoder: SHA-256 of the encoder it was measured with; another encoder's signature means nothing here.
        name: the name to show.
        description: one line about the hand, shown by the studio.
        sketches: how many drawings it was measured on.
        adapter: (A,) int8, the hand's changes of the Generator's finest layers (``fedgai.networks.adapter``); None without any.
        choice: which lines the hand draws, and how much of a print.
    """

    style: Tensor
    encoder: str
    name: str = ""
    description: str = ""
    sketches: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    adapter: Tensor | None = None
    choice: LineChoice = EVERY_LINE

    @property
    def numbers(self) -> Tensor:
        """(D,) or (D + A,) float32: all that the hand is drawn with, the adapter as changes of weights."""
        return self.style if self.adapter is None else torch.cat([self.style, self.adapter * STEP])

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; all but the numbers goes into its header."""
        meta = {"name": self.name, "encoder": self.encoder, **self.about()}
        adapter = {} if self.adapter is None else {"adapter": self.adapter.contiguous()}
        save_file({"style": self.style.contiguous(), **adapter}, str(path), {"fedgai_signature": json.dumps(meta)})

    def about(self) -> dict[str, Any]:
        """Description, count, choice of lines, and what else is known, as JSON takes it."""
        lines = {} if self.choice == EVERY_LINE else {LINES: asdict(self.choice)}
        return {"description": self.description, "sketches": self.sketches, **lines, **self.extra}

    @classmethod
    def load(cls, path: str | Path) -> Signature:
        """Read a signature. Raises FedGAIError, with what is wrong, for anything that is not one."""
        try:
            with safe_open(str(path), "pt") as f:
                meta = json.loads((f.metadata() or {})["fedgai_signature"])
                style = f.get_tensor("style")
                adapter = f.get_tensor("adapter") if "adapter" in f.keys() else None
            encoder, name, description, sketches = (meta[key] for key in ("encoder", "name", "description", "sketches"))
        except (OSError, KeyError, TypeError, ValueError, RecursionError, SafetensorError) as error:
            raise FedGAIError(f"{path} is not a style signature ({error}): {MEASURE}") from error
        if not (isinstance(encoder, str) and isinstance(name, str) and isinstance(description, str)):
            raise FedGAIError(f"{path}: a signature's encoder, name and description are text: {MEASURE}")
        if type(sketches) is not int or sketches < 0:
            raise FedGAIError(f"{path}: the number of sketches of a signature is a whole number: {MEASURE}")
        if style.dtype != torch.float32 or style.ndim != 1 or not torch.isfinite(style).all():
            raise FedGAIError(f"{path}: a signature is one row of finite float32 numbers: {MEASURE}")
        if adapter is not None and (adapter.dtype != torch.int8 or adapter.ndim != 1):
            raise FedGAIError(f"{path}: a signature's adapter is one row of bytes: {MEASURE}")
        try:
            choice = LineChoice.from_json(meta[LINES]) if LINES in meta else EVERY_LINE
        except FedGAIError as error:
            raise FedGAIError(f"{path}: {error}: {MEASURE}") from error
        known = ("name", "description", "encoder", "sketches", LINES)
        extra = {k: v for k, v in meta.items() if k not in known}
        return cls(style, encoder, name[:80], description[:300], sketches, extra, adapter, choice)


def blend(styles: Tensor, weights: Iterable[float]) -> Tensor:
    """Interpolate any number of signatures (means and deviations both linear, as AdaIN's interpolation).

    Args:
        styles: (N, D).
        weights: N numbers >= 0, not all 0; normalised here.
    Returns:
        (D,). Raises FedGAIError for weights that are negative, not finite or all zero.
    """
    w = torch.tensor(list(weights), dtype=styles.dtype, device=styles.device)
    if w.shape != styles.shape[:1] or not torch.isfinite(w).all() or (w < 0).any() or w.sum() <= 0:
        raise FedGAIError("style weights must be finite, not negative, and at least one above zero")
    return (w / w.sum()) @ styles
