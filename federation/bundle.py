"""The app that Flower ships from the server to a designer (a FAB, a zip of code), built from the installed release.

A checkout and an installed wheel of the same release give the same bytes, so that a designer's companion can compare the
server's app with its own: a designer's machine runs only the code that the designer installed.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

READ_FROM = "1.42.0"  # the version of flwr whose build_fab_from_files this is; tests/test_rooms.py fails with another
PACKAGES = Path(__file__).resolve().parent.parent  # the checkout, or site-packages


def build_app() -> bytes:
    """The FAB, zipped. ``fab-include`` in pyproject.toml chooses from these files.

    Raises:
        FileNotFoundError: the installation is not complete.
    """
    from flwr.cli.build import build_fab_from_files  # 0.4 s, and most commands build no app

    files = {
        file.relative_to(PACKAGES).as_posix(): file
        for package in ("federation", "fedgai")
        for file in sorted((PACKAGES / package).rglob("*.py"))
    }
    return build_fab_from_files({"pyproject.toml": _project(), **files})[0]


def app_config() -> dict[str, Any]:
    """The app's own run config, from ``[tool.flwr.app.config]``."""
    config: dict[str, Any] = tomllib.loads(_project().read_text(encoding="utf-8"))["tool"]["flwr"]["app"]["config"]
    return config


def _project() -> Path:
    packed = Path(__file__).with_name("pyproject.toml")  # a wheel has it here (setup.py)
    return packed if packed.exists() else PACKAGES / "pyproject.toml"
