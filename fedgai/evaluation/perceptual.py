"""Networks by whose features pictures are compared in print: Inception-v3 for FID and KID, VGG-16 for LPIPS.

Their architectures are torch-fidelity's and lpips's (``pip install ".[metrics]"``), their weights safetensors files: both
libraries would fetch pickles. Nothing here is imported before it is asked for.
"""

from __future__ import annotations

import importlib
import io
import textwrap
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedgai import torchvision_ops
from fedgai.environment import variable
from fedgai.public_weights import INCEPTION, VGG16, Source, WeightsError, locate, read

LPIPS_LEVELS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))  # VGG-16's convolutions, as torchvision counts


class Inception(nn.Module):
    """Inception-v3 as FID's authors use it (Heusel et al. 2017): TensorFlow's weights of 2015-12-05, pooled to 2,048.

    Raises:
        WeightsError: torch-fidelity or the weights are missing, or are not what they should be.
    """

    def __init__(self) -> None:
        super().__init__()
        path = _file(INCEPTION, variable("FEDGAI_INCEPTION") or None)
        library = _library("torch_fidelity.feature_extractor_inceptionv3", "torch-fidelity")
        file = io.BytesIO()  # the library reads none but torch's own format; these bytes are ours
        torch.save(read(path, list), file)
        file.seek(0)
        try:
            self.network = library.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], file)
        except RuntimeError as error:
            raise WeightsError(f"{path} does not hold FID's Inception-v3: {textwrap.shorten(str(error), 160)}") from error

    @torch.inference_mode()
    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 RGB, of any size: TensorFlow's bilinear takes it to 299 px -> (B, 2048) float32."""
        features: Tensor = self.network(pictures)[0]
        return features


class Lpips(nn.Module):
    """LPIPS 0.1 (Zhang et al. 2018): VGG-16's features, compared in the weights that people's judgements gave.

    Raises:
        WeightsError: lpips or VGG-16's weights are missing, or are not what they should be.
    """

    def __init__(self) -> None:
        super().__init__()
        path = _file(VGG16, variable("FEDGAI_VGG16") or None)
        library = _library("lpips", "lpips")
        names = {
            f"features.{n}.{kind}": f"net.slice{level + 1}.{n}.{kind}"
            for level, convs in enumerate(LPIPS_LEVELS)
            for n in convs
            for kind in ("weight", "bias")
        }
        tensors = {names[name]: tensor for name, tensor in read(path, lambda found: names.keys() & found).items()}
        with torch.device("meta"), warnings.catch_warnings():  # else it fills a classifier of half a gigabyte at random
            warnings.simplefilter("ignore", UserWarning)  # it calls torchvision as one did in 2021
            network = library.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False)
        linear = torch.load(Path(library.__file__).parent / "weights" / "v0.1" / "vgg.pth", map_location="cpu", weights_only=True)
        tensors |= linear | {name.replace("lin", "lins.", 1): tensor for name, tensor in linear.items()}
        tensors |= {f"scaling_layer.{name}": tensor for name, tensor in library.lpips.ScalingLayer().named_buffers()}
        try:
            network.load_state_dict(tensors, assign=True)
        except RuntimeError as error:
            raise WeightsError(f"{path} does not hold VGG-16's features: {textwrap.shorten(str(error), 160)}") from error
        self.network = network.requires_grad_(False).eval()

    @torch.inference_mode()
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """a, b (B, 3, H, W) in [-1, 1] -> (B,) >= 0."""
        distances: Tensor = self.network(a, b).flatten()
        return distances


def _file(source: Source, named: str | None) -> Path:
    """What the setting names, in any form that ``public_weights.locate`` takes. Nothing is fetched for a figure unasked."""
    if not named:
        raise WeightsError(
            f"{source.what} are needed: set {source.setting} to {source.repo}, on the Hub "
            f'({source.megabytes} MB), or to a file, and pip install ".[metrics]" in a copy of the project'
        )
    return locate(source, named)


def _library(module: str, distribution: str) -> Any:
    torchvision_ops.declare_missing()
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise WeightsError(f'{distribution} is not installed: pip install ".[metrics]" in a copy of the project') from error
