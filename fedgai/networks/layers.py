"""The one convolution block of both presets: full for the paper's networks, depthwise separable for the edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

M = TypeVar("M", bound=nn.Module)


def channels_last(module: M) -> M:
    """In place: its weights laid out pixel by pixel, with which a CPU is a sixth faster. Returns the module."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types do not know the argument
    return module


class ConvBlock(nn.Sequential):
    """Convolution, BatchNorm, LeakyReLU. ``fuse`` folds the normalisation into the convolution for inference."""

    def fuse(self) -> None:
        """In place, in eval mode only: conv + BatchNorm become one conv with the same output."""
        for i, layer in enumerate(self):
            if isinstance(layer, nn.BatchNorm2d):
                before = self[i - 1]
                assert isinstance(before, nn.Conv2d)
                self[i - 1] = fuse_conv_bn_eval(_plain(before), layer)
                self[i] = nn.Identity()


def _plain(layer: nn.Conv2d) -> nn.Conv2d:
    """Without spectral norm, same output. A copied model shares its parametrized class, so nothing is removed in place."""
    if not is_parametrized(layer):
        return layer
    kind = type_before_parametrizations(layer)
    plain: nn.Conv2d = kind(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        groups=layer.groups,
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
    )
    plain.load_state_dict({"weight": layer.weight} | ({} if layer.bias is None else {"bias": layer.bias}))
    plain.eval()
    return plain


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution, see ``pointwise``."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, c_in, H, W) -> (B, c_out, H, W)."""
        return pointwise(x, self.weight, self.bias)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 1 x 1 convolution; a product of matrices where that is faster: with gradients, on one core.

    Args:
        x: (B, c_in, H, W). weight: (c_out, c_in, 1, 1). bias: (c_out,) or None.
    Returns:
        (B, c_out, H, W), channels_last where x is.
    """
    on_one_core = x.device.type == "cpu" and torch.get_num_threads() == 1 and not torch.is_autocast_enabled("cpu")
    if not (on_one_core and torch.is_grad_enabled() and x.is_contiguous(memory_format=torch.channels_last)):
        return F.conv2d(x, weight, bias)
    product: Callable[..., Tensor] = _PointwiseProduct.apply
    return product(x, weight.flatten(1), bias)


class _PointwiseProduct(torch.autograd.Function):
    """x (B, c_in, H, W) channels_last, weight (c_out, c_in), bias (c_out,) or None -> (B, c_out, H, W) channels_last.

    ``F.linear`` would return a view: what is then changed in place is copied whole on the way back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        y = torch.empty((len(x), len(weight), *x.shape[2:]), dtype=x.dtype, memory_format=torch.channels_last)
        if bias is None:
            torch.mm(_rows(x), weight.t(), out=_rows(y))
        else:
            torch.addmm(bias, _rows(x), weight.t(), out=_rows(y))
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        rows = _rows(grad)
        of_x = (rows @ weight).view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2) if ctx.needs_input_grad[0] else None
        of_weight = rows.t() @ _rows(x) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, rows.sum(0) if ctx.needs_input_grad[2] else None


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (BHW, C); a view where x is channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


class UpConv(nn.Conv2d):
    """Bilinear upsampling by two, then a reflection-padded 3 x 3 convolution: one linear map, at a quarter of the arithmetic.

    The upsampling is zeros between the pixels, then a blur. The blur commutes with the convolution, which then has a pixel
    to multiply at every fourth place only: a transposed convolution at half the size, the blur after it, on half the
    channels. At the outermost rows and columns, where the image ends by reflection, what is missing is added.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (B, c_in, h, w) -> (B, c_out, 2h, 2w), as ``conv2d(pad(interpolate(x)))`` would be but for rounding."""
        wide = F.pad(x, (1, 1, 1, 1), mode="replicate")  # as far as the upsampling looks beyond the image
        weight = self.weight.flip(2, 3).transpose(0, 1)
        if torch.is_grad_enabled():  # the weight's gradient takes four times as long on channels_last memory
            wide, weight = wide.contiguous(), weight.contiguous()
        y = F.conv_transpose2d(wide, weight, stride=2, padding=1)  # (B, c_out, 2h + 3, 2w + 3)
        if x.is_contiguous(memory_format=torch.channels_last):
            y = y.contiguous(memory_format=torch.channels_last)
        taps = x.new_tensor([0.25, 0.75, 0.75, 0.25])
        y = F.conv2d(y, (taps[:, None] * taps).expand(self.out_channels, 1, 4, 4), groups=self.out_channels)
        add_to_border: Callable[..., Tensor] = _AddToBorder.apply
        y = add_to_border(y, *self._missing(x))  # (B, c_out, 2h, 2w)
        return y if self.bias is None else y + self.bias[:, None, None]

    def _missing(self, x: Tensor) -> list[Tensor]:
        """By how much reflection differs from what the blur sees beyond the image: top, bottom (B, c_out, 2w), left, right."""
        w = self.weight
        row, column = min(1, x.shape[2] - 1), min(1, x.shape[3] - 1)  # the second, where there is one
        steps = (
            x[:, :, row] - x[:, :, 0],
            x[:, :, -1 - row] - x[:, :, -1],
            x[..., column] - x[..., 0],
            x[..., -1 - column] - x[..., -1],
        )
        ends, kernels = ("reflect", "reflect", "replicate", "replicate"), (w[:, :, 0], w[:, :, 2], w[..., 0], w[..., 2])
        lines = (F.interpolate(step, scale_factor=2, mode="linear", align_corners=False) / 4 for step in steps)
        return [F.conv1d(F.pad(line, (1, 1), mode=end), k) for line, end, k in zip(lines, ends, kernels, strict=True)]


class _AddToBorder(torch.autograd.Function):
    """In place; autograd's own way would copy the whole gradient four times."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
        y[:, :, 0] += top
        y[:, :, -1] += bottom
        y[..., 0] += left
        y[..., -1] += right
        ctx.mark_dirty(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        return grad, grad[:, :, 0], grad[:, :, -1], grad[..., 0], grad[..., -1]


def conv(
    c_in: int,
    c_out: int,
    kernel: int = 3,
    *,
    spectral: bool = False,
    bias: bool = True,
    groups: int = 1,
    stride: int = 1,
    padding: int | None = None,
    up: bool = False,
) -> nn.Module:
    """A reflection-padded convolution, with spectral norm where the paper's network has it. ``up``: see ``UpConv``."""
    padding = kernel // 2 if padding is None else padding
    convolution = UpConv if up else Pointwise if kernel == 1 else nn.Conv2d
    layer = convolution(
        c_in, c_out, kernel, stride, padding, groups=groups, bias=bias, padding_mode="reflect" if padding else "zeros"
    )
    return spectral_norm(layer) if spectral else layer


def conv_block(
    c_in: int,
    c_out: int,
    kernel: int = 3,
    *,
    separable: bool = False,
    spectral: bool = False,
    up: bool = False,
    slope: float = 0.01,
) -> ConvBlock:
    """(B, c_in, H, W) -> (B, c_out, H, W). ``slope`` is LeakyReLU's; 0 makes it a ReLU. ``up``: to (B, c_out, 2H, 2W)."""
    if separable:
        convs = [conv(c_in, c_in, kernel, groups=c_in, bias=False), conv(c_in, c_out, 1, spectral=spectral)]
    else:
        convs = [conv(c_in, c_out, kernel, spectral=spectral, up=up)]
    return ConvBlock(*convs, nn.BatchNorm2d(c_out), nn.LeakyReLU(slope, inplace=True))
