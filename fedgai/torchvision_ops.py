"""Lets torchvision, and open_clip and timm behind it, be imported beside a CPU build of torch.

PyPI's torchvision is a CUDA build. Its compiled operators do not load beside a CPU torch, yet its Python side registers
meta kernels for ``nms`` and ``qnms`` at import and fails with "operator torchvision::nms does not exist". Declaring the
two is enough; neither is ever called here. Where torchvision's own operators do load, they must not be declared before:
torch ends the process at the second declaration.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import torch

_library: torch.library.Library | None = None  # an operator lives as long as the Library that declared it


def declare_missing() -> None:
    """Call before the first import of torchvision or of anything on top of it. Does nothing where it is not needed."""
    global _library
    if "torchvision" in sys.modules or _library is not None or torch.version.cuda or not _built_for_cuda():
        return
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _built_for_cuda() -> bool:
    """Whether the installed torchvision is a CUDA build ("0.28.0+cu130"). Its version file says so, without an import."""
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return False
    version = Path(found.origin).with_name("version.py")
    return version.exists() and re.search(r"^__version__ = .*\+cu\d", version.read_text(encoding="utf-8"), re.M) is not None
