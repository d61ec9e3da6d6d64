"""A hand's adapter: small changes of the Generator's finest layers, with which it draws in that hand.

A signature says which hand is asked for; all hands share the Generator's weights. An adapter changes some of them while that hand
is drawn (as adapters do for one task of many: Houlsby et al., arXiv 1902.00751). Ours; not part of the paper. It is one byte a
weight, so whatever bytes arrive, no weight changes by more than 0.128. Its layers have BatchNorm folded into their convolutions
(``FedGAI.for_inference``): it belongs to the weights that draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

LAYERS = ("mrfm.1", "mrfm.2", "pen")  # the two finest MRFM and the pen
STEP = 0.001  # what 1 in an adapter adds to a weight; the weights' root mean square is about 0.2
BOUND = 127 * STEP  # as far as an adapter changes a weight


def adapter_shapes(generator: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights that an adapter changes, in its order; none for a Generator without a pen."""
    if getattr(generator, "style_head", None) is None:
        return {}
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in LAYERS:
        for name, module in generator.get_submodule(layer).named_modules(prefix=layer):
            if not isinstance(module, nn.BatchNorm2d):
                shapes |= {f"{name}.{key}": tuple(value.shape) for key, value in module.named_parameters(recurse=False)}
    return shapes


def adapter_size(generator: nn.Module) -> int:
    """How many weights an adapter changes: 8,405 in the ``edge`` preset."""
    return sum(math.prod(shape) for shape in adapter_shapes(generator).values())


def to_bytes(changes: Tensor) -> Tensor:
    """(A,) float, changes of weights -> (A,) int8, the nearest adapter."""
    return (changes / STEP).round().clamp(-127, 127).to(torch.int8)


def without_colour(generator: nn.Module) -> Tensor:
    """(A,) float, the changes with which the pen draws its three channels alike: black ink gets no coloured fringes."""
    changes = torch.zeros(adapter_size(generator))
    for name, part in unpack_adapter(generator, changes).items():  # views
        if name.startswith("pen.image."):
            weight = generator.get_parameter(name).detach()
            part.copy_(weight.mean(0, keepdim=True) - weight)
    return changes


def sharper(generator: nn.Module, changes: Tensor, gain: float, *, colourless: bool) -> Tensor:
    """(A,) float -> (A,) float, the changes with which the pen's logits are ``gain`` times as large.

    Grey pixels become ink or paper, and lines keep their places and widths. The pen's two last layers are scaled by the root of
    the gain each. Weights that would go beyond ``BOUND`` stay there; so the gain is a little smaller.

    Args:
        colourless: the hand's ink has no colour (``without_colour``). Then the three channels get the same bounds, or black ink
            would get coloured fringes. In a hand with colour the same bounds would take its colour away.
    """
    changes = changes.clone()
    for name, part in unpack_adapter(generator, changes).items():  # views
        weight = generator.get_parameter(name).detach()
        lowest, highest = weight - BOUND, weight + BOUND
        if name.startswith("pen.hidden."):
            scale = gain**0.5
        elif name.startswith("pen.image."):
            scale = gain if name.endswith("bias") else gain**0.5
            if colourless:
                lowest, highest = lowest.amax(0, keepdim=True), highest.amin(0, keepdim=True)
        else:
            continue
        scaled = torch.minimum(torch.maximum((weight + part) * scale, lowest), highest)
        part.copy_((scaled - weight).clamp(-BOUND, BOUND))
    return changes


def unpack_adapter(generator: nn.Module, changes: Tensor) -> dict[str, Tensor]:
    """(A,) float -> each weight's change by name. Raises ValueError where BatchNorm is not folded."""
    if any(isinstance(module, nn.BatchNorm2d) for module in generator.modules()):
        raise ValueError("an adapter draws with FedGAI.for_inference() only")
    shapes = adapter_shapes(generator)
    parts = changes.split([math.prod(shape) for shape in shapes.values()])
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def adapted(generator: nn.Module, layer: str, changes: Mapping[str, Tensor], *inputs: Any) -> Tensor:
    """What a layer of the Generator returns, with its weights changed; as it is where there are no changes."""
    module = generator.get_submodule(layer)
    if not changes:
        output: Tensor = module(*inputs)
        return output
    weights = {key: value + changes[f"{layer}.{key}"] for key, value in module.named_parameters()}
    output = functional_call(module, weights, inputs)
    return output
