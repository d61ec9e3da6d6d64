"""The yardsticks: published networks, re-built from their dimensions as plain layers, random weights, for timing only.

None of their code or weights is here. Sources of the dimensions:
FedGAI, arXiv 2503.12389; informative-drawings (Chan et al., CVPR 2022), github.com/carolineec/informative-drawings;
Anime2Sketch (Xiang et al. 2021), github.com/Mukosame/Anime2Sketch. Each takes a photograph (B, 3, H, W) in [-1, 1] and
gives a drawing (B, 1 or 3, H, W).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # width, convolutions; all but the classifier


def authors_block(c_in: int, c_out: int, kernel: int = 3) -> nn.Sequential:
    """Reflection-padded convolution with spectral norm, BatchNorm, LeakyReLU."""
    layer = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, padding_mode="reflect" if kernel > 1 else "zeros")
    return nn.Sequential(spectral_norm(layer), nn.BatchNorm2d(c_out), nn.LeakyReLU(0.01))


def adain(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """x (B, C, H, W) to per-channel statistics mean, std (C, 1, 1)."""
    x_std, x_mean = torch.std_mean(x, (2, 3), keepdim=True)
    return (x - x_mean) / (x_std + 1e-6) * std + mean


class AuthorsFull(nn.Module):
    """The paper's whole path: VGG-16 features (14.7 M), AdaIN_SD at four levels, MRFM generator (3.55 M)."""

    def __init__(self) -> None:
        super().__init__()
        self.vgg = nn.ModuleList()
        width = 3
        for c, depth in VGG16_BLOCKS:
            convs = [nn.Conv2d(width if i == 0 else c, c, 3, padding=1) for i in range(depth)]
            self.vgg.append(nn.Sequential(*(layer for conv in convs for layer in (conv, nn.ReLU(inplace=True)))))
            width = c
        self.style = [(torch.rand(c, 1, 1), torch.rand(c, 1, 1)) for c in (64, 128, 256, 512)]
        self.head = authors_block(512, 256)
        self.down = nn.ModuleList(authors_block(c, c) for c in (256, 128, 64))
        self.join = nn.ModuleList(authors_block(2 * c, c) for c in (256, 128, 64))
        self.out = nn.ModuleList(authors_block(c, c // 2, 1) for c in (256, 128, 64))
        self.gate = nn.ParameterList(torch.zeros(1) for _ in range(3))
        self.image = nn.Conv2d(32, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for block in self.vgg:
            maps.append(block(x))
            x = F.max_pool2d(maps[-1], 2)
        maps = [adain(m, mean.to(m), std.to(m)) for m, (mean, std) in zip(maps, self.style, strict=False)]
        y = self.head(maps[3])
        for i, fine in enumerate(reversed(maps[:3])):
            y = torch.cat((self.down[i](F.max_pool2d(fine, 2)), y), 1)
            y = self.join[i](F.interpolate(y, scale_factor=2, mode="bilinear"))
            y = self.out[i](y + self.gate[i] * fine)
        return torch.tanh(self.image(y))


class Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def informative_drawings(blocks: int = 3) -> nn.Sequential:
    """The ResNet generator behind the public line-drawing Spaces: 64-128-256, three residual blocks, 4.29 M."""

    def norm(c: int) -> list[nn.Module]:
        return [nn.InstanceNorm2d(c), nn.ReLU(inplace=True)]

    def same(c_in: int, c_out: int, kernel: int) -> list[nn.Module]:
        return [nn.ReplicationPad2d(kernel // 2), nn.Conv2d(c_in, c_out, kernel)]

    layers = same(3, 64, 7) + norm(64)
    for c in (64, 128):
        layers += [nn.Conv2d(c, 2 * c, 3, stride=2, padding=1), *norm(2 * c)]
    for _ in range(blocks):
        body = [*same(256, 256, 3), *norm(256), *same(256, 256, 3), nn.InstanceNorm2d(256)]
        layers.append(Residual(nn.Sequential(*body)))
    for c in (256, 128):
        layers += [nn.ConvTranspose2d(c, c // 2, 3, stride=2, padding=1, output_padding=1), *norm(c // 2)]
    return nn.Sequential(*layers, *same(64, 1, 7), nn.Sigmoid())


class Anime2Sketch(nn.Module):
    """A pix2pix U-net of eight halvings, 64 to 512 wide, instance norm; 54.4 M. H and W divisible by 256."""

    WIDTHS = (64, 128, 256, 512, 512, 512, 512, 512)

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        deepest = len(self.WIDTHS) - 1
        for i, c in enumerate(self.WIDTHS):
            outer = self.WIDTHS[i - 1] if i else 3
            down = [nn.Conv2d(outer, c, 4, stride=2, padding=1)]
            if 0 < i < deepest:
                down.append(nn.InstanceNorm2d(c))
            up = [nn.ConvTranspose2d(c if i == deepest else 2 * c, outer if i else 1, 4, stride=2, padding=1)]
            up.append(nn.InstanceNorm2d(outer) if i else nn.Tanh())
            self.down.append(nn.Sequential(*down))
            self.up.append(nn.Sequential(*up))

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for i, layer in enumerate(self.down):
            x = layer(F.leaky_relu(x, 0.2) if i else x)
            skips.append(x)
        y = skips.pop()
        for i, layer in enumerate(reversed(self.up)):
            y = layer(F.relu(torch.cat((skips.pop(), y), 1) if i else y))
        return y


YARDSTICKS = {"authors-full": AuthorsFull, "informative-drawings": informative_drawings, "anime2sketch": Anime2Sketch}
