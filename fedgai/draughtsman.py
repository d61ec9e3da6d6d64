"""The draughtsman: sees in a photograph what a person who draws clothes would draw, whatever is printed on the cloth.

One network, photograph -> garment mask, lines by type, tone. The backbone is EfficientNet-Lite0 (Tan & Le 2019; ImageNet
weights, Apache-2.0) up to stride 32, frozen, its normalisation folded into the convolutions; the decoder is a small
depthwise-separable U-net of our own, trained by ``python -m fedgai.training.train_draughtsman`` on rendered garments and on
photographs (docs/draughtsman.md).

>>> drawn = Draughtsman.load("weights/draughtsman.safetensors").look(photo)      # photo (H, W, 3) uint8
>>> drawn.mask, drawn.lines, drawn.tone                                          # (H, W), (6, H, W), (H, W), in [0, 1]
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from fedgai.errors import FedGAIError
from fedgai.line_types import LINE_TYPES
from fedgai.networks.layers import channels_last
from fedgai.vision.buttons import Button, ButtonNetwork, find_buttons
from fedgai.vision.round_spots import Changes

SIDE = 512  # px, long side at which a photograph is looked at
STRIDE = 32  # of the backbone's coarsest map: sides are padded to a multiple of it
MAX_FILE = 8 * 2**20  # bytes, of a file of weights; ours has 2.2 MB
# EfficientNet-Lite0's blocks that are kept: kernel, stride, expansion, output channels. Stages 1 to 5 and the first block
# of stage 6, which looks far enough to tell a garment from what it lies on.
STEM = 32
BLOCKS = (
    (3, 1, 1, 16),
    (3, 2, 6, 24),
    (3, 1, 6, 24),
    (5, 2, 6, 40),
    (5, 1, 6, 40),
    (3, 2, 6, 80),
    (3, 1, 6, 80),
    (3, 1, 6, 80),
    (5, 1, 6, 112),
    (5, 1, 6, 112),
    (5, 1, 6, 112),
    (5, 2, 6, 192),
)
TAPS = {0: 16, 2: 24, 4: 40, 10: 112, 11: 192}  # block -> channels, the last of each stride 2, 4, 8, 16, 32
BUTTONS = "buttons."  # before the names of the weights that tell buttons from other spots
WIDTHS, DEPTHS = (128, 96, 64, 32), (2, 2, 2, 1)  # of the decoder at strides 16, 8, 4, 2


class DraughtsmanError(FedGAIError):
    """Weights that cannot be used. The message says which file, what is wrong and what to do."""


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does: with stride 2, one more row below and column to the right."""

    def margin(self) -> tuple[int, int, int, int]:
        """How much is added left, right, above and below before it is applied, px."""
        total = self.kernel_size[0] - self.stride[0]
        return (total // 2, total - total // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W), H and W even where the stride is 2 -> (B, c_out, H / stride, W / stride)."""
        before, after = self.margin()[:2]
        if before != after:
            return self.within(F.pad(x, self.margin()))
        return F.conv2d(x, self.weight, self.bias, self.stride, before, groups=self.groups)

    def within(self, padded: Tensor) -> Tensor:
        """The same, of what has its margin already."""
        return F.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)


class InvertedBottleneck(nn.Module):
    """Inverted bottleneck of EfficientNet-Lite, without normalisation: widen 1 x 1, depthwise k x k, narrow 1 x 1."""

    def __init__(self, c_in: int, kernel: int, stride: int, expansion: int, c_out: int) -> None:
        super().__init__()
        wide = c_in * expansion
        self.expand = SameConv(c_in, wide, 1) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project = SameConv(wide, c_out, 1)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(F.relu6(self._spread(x), inplace=True))
        narrowed: Tensor = x + y if self.residual else y
        return narrowed

    def _spread(self, x: Tensor) -> Tensor:
        """Widened, and the depthwise convolution."""
        left, right, above, below = margin = self.depthwise.margin()
        if self.expand is None or left == right or torch.is_grad_enabled():
            wide = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
            y: Tensor = self.depthwise(wide)
            return y
        # padded while it is narrow: to copy the wide map into a larger one would take as long as to compute it
        wide = F.relu6(self.expand(F.pad(x, margin)), inplace=True)
        wide[:, :, :above], wide[:, :, wide.shape[2] - below :], wide[..., :left], wide[..., wide.shape[3] - right :] = 0, 0, 0, 0
        return self.depthwise.within(wide)


class Backbone(nn.Module):
    """EfficientNet-Lite0's first twelve blocks, frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, 3, 2)
        self.blocks = nn.ModuleList()
        width = STEM
        for kernel, stride, expansion, c_out in BLOCKS:
            self.blocks.append(InvertedBottleneck(width, kernel, stride, expansion, c_out))
            width = c_out

    def forward(self, photo: Tensor) -> list[Tensor]:
        """photo (B, 3, H, W) in [0, 1], H and W divisible by 32 -> maps (B, C_l, H / 2^l, W / 2^l), l = 1..5."""
        x = F.relu6(self.stem((photo - 127 / 255) * (255 / 128)), inplace=True)
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in TAPS:
                maps.append(x)
        return maps


class Separable(nn.Module):
    """Depthwise 5 x 5, then 1 x 1, BatchNorm, ReLU, added to what came in. ``fuse`` folds the normalisation away."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(c, c, 5, padding=2, groups=c, bias=False)
        self.pointwise = nn.Conv2d(c, c, 1)
        self.norm: nn.Module = nn.BatchNorm2d(c)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.norm(self.pointwise(self.depthwise(x))), inplace=True)


class Join(nn.Module):
    """One step up: the coarser map enlarged by two, added to the finer one, both brought to one width first."""

    def __init__(self, coarse: int, fine: int, c: int, depth: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(coarse, c, 1, bias=False)
        self.fine = nn.Conv2d(fine, c, 1)
        self.norm: nn.Module = nn.BatchNorm2d(c)
        self.body = nn.Sequential(*(Separable(c) for _ in range(depth)))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, coarse, h, w), (B, fine, 2h, 2w) -> (B, c, 2h, 2w)."""
        up = F.interpolate(self.coarse(coarse), scale_factor=2, mode="bilinear", align_corners=False)
        joined: Tensor = self.body(F.relu(self.norm(self.fine(fine) + up), inplace=True))
        return joined


class Network(nn.Module):
    """Backbone and decoder: photograph -> mask, typed lines, tone."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone().requires_grad_(False)
        fine = list(TAPS.values())
        widths = (fine[4], *WIDTHS)
        self.context = Separable(fine[4])
        self.joins = nn.ModuleList(Join(widths[i], fine[3 - i], widths[i + 1], DEPTHS[i]) for i in range(len(WIDTHS)))
        # two pixels a side come out of each cell at half the resolution
        self.head = nn.Conv2d(WIDTHS[-1], 4 * (2 + len(LINE_TYPES)), 3, padding=1)

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Look.

        Args:
            photo: (B, 3, H, W) float32 in [0, 1], H and W divisible by 32.
        Returns:
            mask logits (B, 1, H, W); line logits by ``LINE_TYPES`` (B, 6, H, W); tone (B, 1, H, W) in [0, 1], the light
            on the cloth: 0 deepest shadow, 1 fully lit, without print or colour.
        """
        y = F.pixel_shuffle(self._cells(photo), 2)
        return y[:, :1], y[:, 1:-1], torch.sigmoid(y[:, -1:])

    def planes(self, photo: Tensor) -> Tensor:
        """The same as one (B, 8, H, W) in [0, 1]: mask, lines by ``LINE_TYPES``, tone."""
        return F.pixel_shuffle(torch.sigmoid(self._cells(photo)), 2)  # all at once, where they lie together in memory

    def _cells(self, photo: Tensor) -> Tensor:
        """Logits of 2 x 2 pixels each, (B, 32, H / 2, W / 2)."""
        maps = self.backbone(photo)
        y = self.context(maps[4])
        for i, join in enumerate(self.joins):
            y = join(y, maps[3 - i])
        cells: Tensor = self.head(y)
        return cells

    def fuse(self) -> Network:
        """In place, for inference: the decoder's normalisation folded into its convolutions. Same output."""
        for module in self.modules():
            if isinstance(module, Separable) and isinstance(module.norm, nn.BatchNorm2d):
                scale, shift = _scale_and_shift(module.norm)
                module.pointwise.weight.data.mul_(scale[:, None, None, None])
                assert module.pointwise.bias is not None
                module.pointwise.bias.data.mul_(scale).add_(shift)
                module.norm = nn.Identity()
            elif isinstance(module, Join) and isinstance(module.norm, nn.BatchNorm2d):
                scale, shift = _scale_and_shift(module.norm)
                module.coarse.weight.data.mul_(scale[:, None, None, None])
                module.fine.weight.data.mul_(scale[:, None, None, None])
                assert module.fine.bias is not None
                module.fine.bias.data.mul_(scale).add_(shift)
                module.norm = nn.Identity()
        return self


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.data / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias.data - norm.running_mean * scale


@dataclass(frozen=True)
class Seen:
    """What the draughtsman sees in a photograph, all of the photograph's height and width.

    Attributes:
        mask: (H, W) float32 in [0, 1], 1 on the garment.
        lines: (6, H, W) float32 in [0, 1], how likely a line of each of ``LINE_TYPES`` is there.
        tone: (H, W) float32 in [0, 1], the light on the cloth without its print; 1 fully lit.
    """

    mask: np.ndarray
    lines: np.ndarray
    tone: np.ndarray


class Draughtsman:
    """The network, ready to look at photographs.

    Args:
        network: with or without normalisation; a fused copy in eval mode is kept.
        buttons: tells buttons from other round spots; without it, none are found.

    Attributes:
        sha256: of the file that it would be saved to; checkpoints name it.
    """

    def __init__(self, network: Network, buttons: ButtonNetwork | None = None) -> None:
        self._data = _to_bytes(network, buttons)
        self.network, self.buttons = _from_bytes(self._data)
        self.sha256 = hashlib.sha256(self._data).hexdigest()

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        networks = [self.network] if self.buttons is None else [self.network, self.buttons]
        return sum(p.numel() for network in networks for p in network.parameters())

    @torch.inference_mode()
    def look(self, photo: np.ndarray, side: int = SIDE) -> Seen:
        """See a photograph.

        Args:
            photo: (H, W, 3) uint8 RGB.
            side: long side in px at which it is looked at; the answer has the photograph's size.

        Raises:
            ValueError: not (H, W, 3) uint8.
        """
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
            raise ValueError(f"photo should be (H, W, 3) uint8, got {photo.shape} {photo.dtype}")
        height, width = photo.shape[:2]
        scale = side / max(height, width)
        w, h = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(photo, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        pad = [(0, -h % STRIDE), (0, -w % STRIDE), (0, 0)]
        x = torch.from_numpy(np.pad(small, pad, "edge")).permute(2, 0, 1)[None].float().div_(255)
        planes = self.network.planes(x.contiguous(memory_format=torch.channels_last))[0, :, :h, :w].contiguous().numpy()
        if (w, h) != (width, height):
            planes = np.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in planes])
        return Seen(planes[0], planes[1:-1], planes[-1])

    def find_buttons(
        self, photo: np.ndarray, mask: np.ndarray, lines: np.ndarray, changes: Changes | None = None
    ) -> list[Button]:
        """A garment's buttons, px of the photograph; none where it is not sure (``fedgai.vision.buttons``).

        Args:
            photo: (H, W, 3) uint8 RGB.
            mask: (h, w) float32 in [0, 1], the garment, in the photograph's proportions.
            lines: as in ``Seen``, of the photograph's proportions.
            changes: see ``buttons.find_buttons``.
        """
        return [] if self.buttons is None else find_buttons(photo, mask, self.buttons, lines, changes)

    def save(self, path: str | Path) -> None:
        """Write the weights as float16 safetensors."""
        Path(path).write_bytes(self._data)

    @classmethod
    def load(cls, path: str | Path, sha256: str | None = None) -> Draughtsman:
        """Read weights.

        Args:
            path: a file that ``save`` wrote.
            sha256: of the file, where it is known; another file is refused.

        Raises:
            DraughtsmanError: missing, damaged, of another size or another hash.
        """
        path = Path(path)
        advice = "download the checkpoint again, or train it with `python -m fedgai.training.train_draughtsman`"
        try:
            size = path.stat().st_size
            if size > MAX_FILE:
                raise DraughtsmanError(f"{path} has {size:,} bytes, more than a draughtsman's weights can have: {advice}")
            data = path.read_bytes()
        except OSError as error:
            raise DraughtsmanError(f"{path} cannot be read ({error.strerror}): {advice}") from error
        found = hashlib.sha256(data).hexdigest()
        if sha256 is not None and found != sha256:
            raise DraughtsmanError(f"{path} has SHA-256 {found[:12]}, its checkpoint names {sha256[:12]}: {advice}")
        try:
            return cls(*_from_bytes(data))
        except (SafetensorError, RuntimeError, ValueError) as error:
            raise DraughtsmanError(f"{path} does not hold this draughtsman's weights: {advice}") from error


def _to_bytes(network: Network, buttons: ButtonNetwork | None) -> bytes:
    """The network, normalisation folded in, and the one for buttons, as float16 safetensors."""
    copy = Network()
    fused = any(isinstance(m, Join) and isinstance(m.norm, nn.Identity) for m in network.modules())
    if fused:
        copy.fuse()
    copy.load_state_dict(network.state_dict())
    tensors = dict(copy.fuse().state_dict())
    if buttons is not None:
        tensors |= {BUTTONS + name: value for name, value in buttons.state_dict().items()}
    return save({name: value.half().contiguous() for name, value in tensors.items()})


def _from_bytes(data: bytes) -> tuple[Network, ButtonNetwork | None]:
    """A fused network in eval mode, channels_last, and the one for buttons, if there is one. Raises SafetensorError,
    RuntimeError or ValueError for anything else."""
    tensors = {name: value.float() for name, value in load(data).items()}
    if not all(value.isfinite().all() for value in tensors.values()):
        raise ValueError("not all numbers are finite")
    of_buttons = {name.removeprefix(BUTTONS): tensors.pop(name) for name in list(tensors) if name.startswith(BUTTONS)}
    network, buttons = Network().fuse(), None
    network.load_state_dict(tensors)
    if of_buttons:
        buttons = ButtonNetwork()
        buttons.load_state_dict(of_buttons)
        buttons.eval().requires_grad_(False)
    return channels_last(network.eval().requires_grad_(False)), buttons
