"""The frozen feature pyramid, in two presets: four maps, each taken just before a down-sampling.

FedGAI, arXiv 2503.12389, sec. 3; docs/method.md.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedgai.networks.layers import conv_block

VGG16_LAYERS = ((64, 2), (128, 2), (256, 3), (512, 3))  # torchvision's features[0:23], up to relu4_3


class Encoder(nn.Module):
    """Depthwise-separable pyramid of the ``edge`` preset; its weights are our own and ship with the project.

    Args:
        channels: widths of the four levels, finest first.
    """

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.channels = channels
        self.levels = nn.ModuleList()
        width = 3
        for c in channels:
            first = conv_block(width, c, separable=width != 3, slope=0.0)
            self.levels.append(nn.Sequential(first, conv_block(c, c, separable=True, slope=0.0)))
            width = c

    def forward(self, x: Tensor) -> list[Tensor]:
        """x (B, 3, H, W) in [-1, 1], H and W divisible by 8 -> maps (B, C_l, H / 2^l, W / 2^l), l = 0..3."""
        maps: list[Tensor] = []
        for level in self.levels:
            x = level(x if not maps else F.max_pool2d(x, 2))
            maps.append(x)
        return maps


class VGG16Encoder(nn.Module):
    """VGG-16 up to relu4_3, the paper's encoder. Maps before each max-pool: relu1_2, relu2_2, relu3_3, relu4_3.

    Input is in [-1, 1] and re-normalised to ImageNet's statistics here. Without pretrained weights its values are random.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.channels = tuple(c for c, _ in VGG16_LAYERS)
        self.levels = nn.ModuleList()
        width = 3
        for c, depth in VGG16_LAYERS:
            convs = []
            for _ in range(depth):
                convs += [nn.Conv2d(width, c, 3, padding=1), nn.ReLU(inplace=True)]
                width = c
            self.levels.append(nn.Sequential(*convs))
        imagenet_mean, imagenet_std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        # (x + 1) / 2 = v in [0, 1], then (v - mean) / std, in one multiply and add
        self.register_buffer("scale", (0.5 / imagenet_std)[:, None, None], persistent=False)
        self.register_buffer("shift", ((0.5 - imagenet_mean) / imagenet_std)[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """x (B, 3, H, W) in [-1, 1] -> 64 @ H, 128 @ H/2, 256 @ H/4, 512 @ H/8."""
        x = x * self.scale + self.shift
        maps: list[Tensor] = []
        for level in self.levels:
            x = level(x if not maps else F.max_pool2d(x, 2))
            maps.append(x)
        return maps


def sha256(module: nn.Module) -> str:
    """SHA-256 over a module's names, shapes and float32 bytes: signatures and checkpoints name the encoder by it."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if value.is_floating_point():
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
