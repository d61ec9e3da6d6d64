"""The one convolution block of both presets: full for the paper's networks, depthwise separable for the edge."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized


class ConvBlock(nn.Sequential):
    """Convolution, BatchNorm, LeakyReLU. ``fuse`` folds the normalisation into the convolution for inference."""

    def fuse(self) -> None:
        """In place, in eval mode only: conv + BatchNorm become one conv with the same output."""
        for i, layer in enumerate(self):
            if isinstance(layer, nn.BatchNorm2d):
                self[i - 1] = fuse_conv_bn_eval(_plain(self[i - 1]), layer)
                self[i] = nn.Identity()


def _plain(layer: nn.Conv2d) -> nn.Conv2d:
    """Without spectral norm, same output. A copied model shares its parametrized class, so nothing is removed in place."""
    if not is_parametrized(layer):
        return layer
    plain = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
                      groups=layer.groups, bias=layer.bias is not None, padding_mode=layer.padding_mode)
    plain.load_state_dict({"weight": layer.weight} | ({} if layer.bias is None else {"bias": layer.bias}))
    return plain.eval()


def conv(c_in: int, c_out: int, kernel: int = 3, *, spectral: bool = False, bias: bool = True, groups: int = 1,
         stride: int = 1, padding: int | None = None) -> nn.Module:
    """A reflection-padded convolution, with spectral norm where the paper's network has it."""
    padding = kernel // 2 if padding is None else padding
    layer = nn.Conv2d(c_in, c_out, kernel, stride, padding, groups=groups, bias=bias,
                      padding_mode="reflect" if padding else "zeros")
    return spectral_norm(layer) if spectral else layer


def conv_block(c_in: int, c_out: int, kernel: int = 3, *, separable: bool = False, spectral: bool = False,
               slope: float = 0.01) -> ConvBlock:
    """(B, c_in, H, W) -> (B, c_out, H, W). ``slope`` is LeakyReLU's; 0 makes it a ReLU."""
    if separable:
        convs = [conv(c_in, c_in, kernel, groups=c_in, bias=False), conv(c_in, c_out, 1, spectral=spectral)]
    else:
        convs = [conv(c_in, c_out, kernel, spectral=spectral)]
    return ConvBlock(*convs, nn.BatchNorm2d(c_out), nn.LeakyReLU(slope, inplace=True))
