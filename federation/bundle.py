"""The app that Flower ships from the server to a designer (a FAB, a zip of code), built from the installed release.

A checkout and an installed wheel of the same release give the same bytes, so that a designer's companion can compare the
server's app with its own (DESIGN: "Code that runs on a designer's machine is the code the designer installed").
"""

from __future__ import annotations

from pathlib import Path

from flwr.cli.build import build_fab_from_files

PACKAGES = Path(__file__).resolve().parent.parent  # the checkout, or site-packages


def build_app() -> bytes:
    """The FAB, zipped. ``fab-include`` in pyproject.toml chooses from these files.

    Raises:
        FileNotFoundError: the installation is not complete.
    """
    packed = Path(__file__).with_name("pyproject.toml")  # a wheel has it here (setup.py)
    project = packed if packed.exists() else PACKAGES / "pyproject.toml"
    files = {
        file.relative_to(PACKAGES).as_posix(): file
        for package in ("federation", "fedgai")
        for file in sorted((PACKAGES / package).rglob("*.py"))
    }
    return build_fab_from_files({"pyproject.toml": project, **files})[0]
