"""torchvision's operators are declared only where its own do not load: torch ends the process at a second declaration."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch

from fedgai import torchvision_ops


@pytest.mark.parametrize(
    ("built", "cuda", "declared"),
    [
        ("0.28.0+cu130", None, True),  # PyPI's on Linux, beside a CPU build of torch
        ("0.28.0+cu130", "13.0", False),  # both from PyPI, with or without a GPU: importing CLIP ended the process
        ("0.28.0+cpu", None, False),
        ("0.28.0", None, False),  # on macOS and Windows
    ],
)
def test_declared_where_they_do_not_load(
    built: str, cuda: str | None, declared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").touch()
    (tmp_path / "torchvision" / "version.py").write_text(f"__version__ = '{built}'\ngit_version = '8fb8'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    importlib.invalidate_caches()
    made: list[str] = []

    class Library:
        def __init__(self, name: str, kind: str) -> None:
            made.append(name)

        def define(self, schema: str) -> None:
            made.append(schema.split("(")[0])

    monkeypatch.setattr(torch.library, "Library", Library)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torchvision_ops, "_library", None)
    torchvision_ops.declare_missing()
    torchvision_ops.declare_missing()
    assert made[:1] == (["torchvision"] if declared else []) and made.count("torchvision") == declared
