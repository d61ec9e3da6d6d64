"""Commands that several tests run."""

from __future__ import annotations

from pathlib import Path

from fedgai.__main__ import main


def sketch(photo: Path, model: Path, out: Path, *styles: str) -> int:
    """``fedgai sketch`` at 96 px, run in this process. Returns its exit status."""
    chosen = [word for style in styles for word in ("--style", style)]
    return main(["sketch", str(photo), *chosen, "--size", "96", "--model", str(model), "--out", str(out)])
