"""Lets torchvision, and open_clip and timm behind it, be imported beside a CPU build of torch.

PyPI's torchvision is a CUDA build. Its compiled operators do not load beside a CPU torch, yet its Python side registers
meta kernels for ``nms`` and ``qnms`` at import and fails with "operator torchvision::nms does not exist". Declaring the
two is enough; neither is ever called here.
"""

from __future__ import annotations

import sys

import torch

_library: torch.library.Library | None = None  # an operator lives as long as the Library that declared it


def declare_missing() -> None:
    """Call before the first import of torchvision or of anything on top of it. Does nothing where it is not needed."""
    global _library
    if "torchvision" in sys.modules or _library is not None or torch.cuda.is_available():
        return
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
