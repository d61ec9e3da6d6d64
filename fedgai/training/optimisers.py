"""SGD, Adam and AdamW as torch has them, without torch.compile, which nothing in this project uses.

torch's own import ``torch._dynamo`` when they are made: 1.4 s of processor time and 70 MB, in each process that trains. Flower
starts one for each designer in each round. Read from torch 2.13: each method that a subclass gets below is wrapped there for
torch.compile, and the wrapper keeps the method inside as ``__wrapped__``.
"""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)
WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def without_compile(optimiser: type[Kind]) -> type[Kind]:
    """Give a class of optimisers the methods inside torch's wrappers. Not for ``differentiable=True``."""
    for name in WRAPPED:
        setattr(optimiser, name, inspect.unwrap(getattr(Optimizer, name)))
    optimiser.step = torch.no_grad()(inspect.unwrap(optimiser.step))  # type: ignore[method-assign]  # the wrapper did so, too
    return optimiser


@without_compile
class SGD(torch.optim.SGD):
    """``torch.optim.SGD``."""


@without_compile
class Adam(torch.optim.Adam):
    """``torch.optim.Adam``."""


@without_compile
class AdamW(torch.optim.AdamW):
    """``torch.optim.AdamW``."""
