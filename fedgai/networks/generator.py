"""The Generator: AdaIN_SD at four levels, MRFM decoder blocks, and (edge preset) a pen.

FedGAI, arXiv 2503.12389, sec. 3; docs/method.md. docs/glossary.md explains pen, grip and stroke field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedgai.networks import hatching as strokes
from fedgai.networks.adapter import adapted, unpack_adapter
from fedgai.networks.layers import conv, conv_block, pointwise
from fedgai.networks.style import AdaIN_SD, split


class MRFM(nn.Module):
    """Multi-Resolution Feature Module, the decoder's block.

    The finer encoder map x is pooled and convolved, joined with the coarser decoded map y, upsampled and convolved; x
    itself comes back through one learned scalar gate that starts at 0. In the separable form the pointwise convolution
    runs before the bilinear upsampling: the two commute, and it is four times cheaper there. The full form does with its
    3 x 3 convolution what comes to the same (``UpConv``).
    """

    def __init__(self, c: int, c_out: int, *, separable: bool, spectral: bool) -> None:
        super().__init__()
        self.separable = separable
        self.down = conv_block(c, c, separable=separable, spectral=spectral)
        if separable:
            self.point = conv(2 * c, c, 1, spectral=spectral, bias=False)
            self.join = conv_block(c, c, spectral=spectral)
            self.join[0] = conv(c, c, 3, groups=c)
        else:
            self.join = conv_block(2 * c, c, spectral=spectral, up=True)
        self.gate = nn.Parameter(torch.zeros(1))
        self.out = conv_block(c, c_out, 1, spectral=spectral)

    def forward(self, x: Tensor, y: Tensor, pooled: Tensor | None = None) -> Tensor:
        """x (B, C, 2h, 2w), y (B, C, h, w) -> (B, C_out, 2h, 2w). ``pooled``: x max-pooled by two, where it is known."""
        pooled = F.max_pool2d(x, 2) if pooled is None else pooled
        joined = torch.cat((self.down(pooled), y), 1)  # (B, 2C, h, w)
        if self.separable:
            joined = F.interpolate(self.point(joined), scale_factor=2, mode="bilinear", align_corners=False)
        drawn: Tensor = self.out(torch.addcmul(self.join(joined), self.gate, x))
        return drawn


class StyleHead(nn.Module):
    """Reads a signature the way the pen needs it: a stroke code, the pen's grip, and a modulation of the decoder.

    Not part of the paper: AdaIN_SD alone moves the encoder's statistics and leaves the decoder to guess from them at every
    pixel which hand is asked for (measured before: 40 to 75 % of drawings nearest to their own hand).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, style: int, widths: Sequence[int], hidden: int = 128) -> None:
        super().__init__()
        self.widths = list(widths)
        # statistics of the signatures seen in training, so that every number of a signature counts alike
        self.register_buffer("mean", torch.zeros(style))
        self.register_buffer("std", torch.ones(style))
        self.body = nn.Sequential(nn.Linear(style, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, hidden), nn.LeakyReLU(0.1))
        self.code = nn.Linear(hidden, strokes.CODE)
        self.grip = nn.Linear(hidden, len(strokes.CHANNELS))
        self.film = nn.Linear(hidden, 2 * sum(self.widths))
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, style: Tensor) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """Read (B, D) signatures.

        Returns:
            stroke code (B, 3); grip (B, 10), the weight of each channel of the stroke field; and for each width a (scale,
            shift) pair, each (B, width, 1, 1).
        """
        hidden = self.body((style - self.mean) / self.std)
        film = [(1 + scale, shift) for scale, shift in split(self.film(hidden)[:, :, None, None], self.widths, 1)]
        return self.code(hidden), self.grip(hidden), film


class Pen(nn.Module):
    """Lays the decoded drawing onto the page's stroke field: a convolution, then a small network at every pixel."""

    PIXELS = 8192  # drawn at a time, so that the network's activations stay in the processor's cache

    def __init__(self, c: int, width: int) -> None:
        super().__init__()
        self.line = conv(c, width)
        self.touch = nn.Conv2d(len(strokes.CHANNELS), width, 1, bias=False)  # reads the stroke field
        self.hidden = nn.Conv2d(width, width, 1)
        self.image = nn.Conv2d(width, 3, 1)

    def forward(self, y: Tensor, grip: Tensor, film: tuple[Tensor, Tensor], field: Tensor) -> Tensor:
        """Draw.

        Args:
            y: the decoded drawing, (B, c, H, W).
            grip: the weight of each channel of the stroke field, (B, 10).
            film: scale and shift of the hidden layer, (B, width, 1, 1) each.
            field: (B, H, W, 10).
        Returns:
            logits, (B, 3, H, W).
        """
        line = self.line(y).permute(0, 2, 3, 1).flatten(1, 2)  # (B, HW, width)
        field = field.flatten(1, 2).to(y.dtype)  # (B, HW, 10)
        # grip, scale and shift go into the weights: those are smaller than a page
        scale, shift = (f.flatten(1) for f in film)  # (B, width)
        field_weight = self.touch.weight.flatten(1).t() * grip[:, :, None]  # (B, 10, width)
        hidden_weight = self.hidden.weight.flatten(1).t()
        weight = hidden_weight * scale[:, :, None]  # (B, width, width)
        assert self.hidden.bias is not None and self.image.bias is not None
        bias = (shift @ hidden_weight + self.hidden.bias)[:, None]  # (B, 1, width)
        if torch.is_grad_enabled():  # at once, and pixel by pixel in memory: so the way back is short, too
            hidden = self._hidden(line, field, field_weight, weight, bias)
            return pointwise(hidden.unflatten(1, y.shape[2:]).permute(0, 3, 1, 2), self.image.weight, self.image.bias)
        color = self.image.weight.flatten(1).expand(len(y), -1, -1)  # (B, 3, width)
        image = []
        for part in (slice(start, start + self.PIXELS) for start in range(0, line.shape[1], self.PIXELS)):
            hidden = self._hidden(line[:, part], field[:, part], field_weight, weight, bias)
            image.append(torch.baddbmm(self.image.bias[:, None], color, hidden.transpose(1, 2)))  # (B, 3, pixels)
        page: Tensor = torch.cat(image, 2).unflatten(2, y.shape[2:])
        return page

    @staticmethod
    def _hidden(line: Tensor, field: Tensor, field_weight: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(B, pixels, width), what the colours are read from."""
        hidden = F.leaky_relu(torch.baddbmm(line, field, field_weight), 0.1, inplace=True)
        return F.leaky_relu(torch.baddbmm(bias, hidden, weight), 0.1, inplace=True)


@dataclass(frozen=True)
class Known:
    """What is the same each time that a page is drawn while a hand is learned, so that it is computed once.

    None: it is not known.

    Attributes:
        pooled: the three finest maps of the features, max-pooled by two, (B, C_l, H / 2^(l + 1), W / 2^(l + 1)). To pool first
            and normalise then comes to the same, as a signature's deviations are above 0.
        field: ``strokes.stroke_field`` of the page.
        coarse: what ``Generator.coarse`` returns, in one style.
    """

    pooled: Sequence[Tensor] | None = None
    field: Tensor | None = None
    coarse: Tensor | None = None


NOTHING = Known()


class Generator(nn.Module):
    """From a photograph's features and a style to a sketch.

    Args:
        channels: the encoder's widths, finest first.
        separable: depthwise-separable convolutions (``edge``) or full ones (the paper's).
        spectral: spectral norm on the convolutions (the paper's).
        pen: width of the pen's hidden layer; 0 for the paper's Generator, which has none.
    """

    def __init__(self, channels: Sequence[int], *, separable: bool, spectral: bool, pen: int = 0) -> None:
        super().__init__()
        self.channels = tuple(channels)
        c1, c2, c3, c4 = channels
        options = {"separable": separable, "spectral": spectral}
        last = max(c1 // 2, 16)
        self.adain = AdaIN_SD()
        self.head = conv_block(c4, c3, **options)
        self.mrfm = nn.ModuleList([MRFM(c3, c2, **options), MRFM(c2, c1, **options), MRFM(c1, last, **options)])
        self.style_head: StyleHead | None
        if pen:
            self.style_head = StyleHead(2 * sum(channels), (c3, c2, c1, pen))
            self.pen = Pen(last, pen)
        else:
            self.style_head = None
            self.image = conv(last, 3, spectral=False)

    def forward(
        self,
        features: Sequence[Tensor],
        style: Tensor,
        *,
        adapter: Tensor | None = None,
        code: Tensor | None = None,
        origin: Tensor | None = None,
        statistics: Tensor | None = None,
        logits: bool = False,
        known: Known = NOTHING,
    ) -> Tensor:
        """Draw.

        Args:
            features: the encoder's maps of the photograph, (B, C_l, H / 2^l, W / 2^l).
            style: (B, D) or (1, D), D = 2 * sum C_l, a signature or a blend of signatures.
            adapter: (A,) float, the hand's or the blend's changes of weights, for all B (``fedgai.networks.adapter``); none where
                it is left out.
            code: (B, 3), the stroke code where it is known (training); else the style head reads it from the style.
            origin: (B, 2), see ``strokes.stroke_field``.
            statistics: (B, D), of the features of the whole page (``image_statistics``), where they are known: then the features
                may be of a part of it.
            logits: leave out the final tanh.
            known: what was computed before; with a pen only.
        Returns:
            (B, 3, H, W) in [-1, 1]: paper 1, ink towards -1.
        """
        style = style.expand(len(features[0]), -1)
        if self.style_head is None:
            maps = self._styled(features, style, statistics, range(4))
            y = self.head(maps[3])
            for i, mrfm in enumerate(self.mrfm):
                y = mrfm(maps[2 - i], y)
            y = self.image(y)
        else:
            read, grip, film = self.style_head(style)
            y = self._coarse(features, style, statistics, known, film) if known.coarse is None else known.coarse
            changes = {} if adapter is None else unpack_adapter(self, adapter)
            maps, pooled = self._styled(features, style, statistics, (0, 1)), self._pooled(known, style, statistics, (0, 1))
            y = self._modulate(adapted(self, "mrfm.1", changes, maps[1], y, pooled[1]), film[2])
            y = adapted(self, "mrfm.2", changes, maps[0], y, pooled[0])
            field = known.field
            if field is None:
                field = strokes.stroke_field(read.detach() if code is None else code, y.shape[2], y.shape[3], origin)
            y = adapted(self, "pen", changes, y, grip, film[3], field)
        return y if logits else torch.tanh(y)

    def coarse(
        self, features: Sequence[Tensor], style: Tensor, statistics: Tensor | None = None, known: Known = NOTHING
    ) -> Tensor:
        """What the layers that an adapter changes begin with, (B, C_1, H / 4, W / 4). With a pen only.

        Args:
            features, style, statistics, known: see ``forward``.
        """
        assert self.style_head is not None
        return self._coarse(features, style, statistics, known, self.style_head(style)[2])

    def _coarse(
        self,
        features: Sequence[Tensor],
        style: Tensor,
        statistics: Tensor | None,
        known: Known,
        film: Sequence[tuple[Tensor, Tensor]],
    ) -> Tensor:
        maps, pooled = self._styled(features, style, statistics, (2, 3)), self._pooled(known, style, statistics, (2,))
        y = self._modulate(self.head(maps[1]), film[0])
        return self._modulate(self.mrfm[0](maps[0], y, pooled[0]), film[1])

    def _styled(
        self, features: Sequence[Tensor], style: Tensor, statistics: Tensor | None, levels: Sequence[int]
    ) -> list[Tensor]:
        """The maps of some levels, normalised towards the style."""
        own = [None] * len(self.channels) if statistics is None else split(statistics, self.channels)
        wanted = split(style, self.channels)
        return [self.adain(features[level], *wanted[level], own[level]) for level in levels]

    def _pooled(self, known: Known, style: Tensor, statistics: Tensor | None, levels: Sequence[int]) -> Sequence[Tensor | None]:
        if known.pooled is None:
            return [None] * len(levels)
        assert statistics is not None, "what was pooled has other statistics than the page"
        return self._styled(known.pooled, style, statistics, levels)

    def adaptable(self) -> list[nn.Parameter]:
        """What a trained Generator may still learn: all but the part of the style head that reads the stroke code.

        The code is exact to a fraction of a percent, and no gradient of a drawing reaches it. Were the layers below it
        trained, periods would drift, and hatching would lie ever farther off its lattice: eleven rounds cost one atelier 0.18
        of its boundary F-score.
        """
        head = self.style_head
        kept = set() if head is None else {*head.body.parameters(), *head.code.parameters()}
        return [p for p in self.parameters() if p.requires_grad and p not in kept]

    @staticmethod
    def _modulate(y: Tensor, film: tuple[Tensor, Tensor]) -> Tensor:
        return torch.addcmul(film[1].to(y.dtype), y, film[0].to(y.dtype))
