"""What ships with the project: the built-in weights and the example garments.

In a checkout they are ``weights/`` and ``examples/`` beside the packages; in an installed wheel they are inside this one.
"""

from __future__ import annotations

from pathlib import Path


def _shipped(name: str) -> Path:
    package = Path(__file__).resolve().parent
    return package / name if (package / name).is_dir() else package.parent / name


WEIGHTS = _shipped("weights")
EXAMPLES = _shipped("examples")
