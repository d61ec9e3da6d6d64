"""FedGAI: designers exchange style, never drawings (arXiv 2503.12389). The model, usable alone as a library.

>>> from fedgai import SketchPipeline
>>> SketchPipeline.from_pretrained()("jacket.jpg", {"Aiko": 1}).images[0].save("sketch.png")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedgai.draughtsman import Draughtsman
    from fedgai.errors import FedGAIError
    from fedgai.model import FedGAI
    from fedgai.pipeline import SketchPipeline
    from fedgai.vision.images import read_picture

__version__ = "0.2.0"
__all__ = ["Draughtsman", "FedGAI", "FedGAIError", "SketchPipeline", "read_picture"]

_MODULES = {
    "Draughtsman": "fedgai.draughtsman",
    "FedGAI": "fedgai.model",
    "FedGAIError": "fedgai.errors",
    "SketchPipeline": "fedgai.pipeline",
    "read_picture": "fedgai.vision.images",
}


def __getattr__(name: str) -> Any:
    """Imported when it is first asked for: a command that draws nothing does not wait for torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
