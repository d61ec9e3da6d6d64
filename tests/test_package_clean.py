"""The wheel in a new environment that shares no package with this one, and outside the checkout: it draws, joins and serves.

Everything that the extras [studio,federation] need is downloaded, as a user's pip would do it. On Linux, PyPI's torch brings some
gigabytes of CUDA with it, unless pip is set up to find a CPU build.
"""

from __future__ import annotations

import os
import venv
from pathlib import Path

import pytest
from helpers.installed import build_wheel, check_sketch, check_studio, check_window, run

pytestmark = pytest.mark.long
INSTALL = 3600  # s, for a slow network


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the environment's programs."""
    folder = tmp_path_factory.mktemp("clean")
    wheel = build_wheel(folder / "package")
    venv.create(folder / "environment", with_pip=True)
    wanted = f"{wheel}[studio,federation]"
    run(folder / "environment" / "bin" / "python", "-m", "pip", "install", "--quiet", wanted, cwd=folder, seconds=INSTALL)
    return folder / "environment" / "bin"


@pytest.fixture(autouse=True)
def nothing_of_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("PYTHON", "FEDGAI_"))]:
        monkeypatch.delenv(name)


def test_every_package_is_the_environments_own(programs: Path, tmp_path: Path) -> None:
    for module in ("fedgai", "federation", "studio", "torch", "gradio", "flwr"):
        file = run(programs / "python", "-c", f"import {module}; print({module}.__file__)", cwd=tmp_path).strip()
        assert Path(file).is_relative_to(programs.parent), file
    run(programs / "python", "-m", "pip", "check", cwd=tmp_path)


def test_draws(programs: Path, tmp_path: Path) -> None:
    check_sketch(programs, tmp_path)


def test_the_companion_starts_and_its_window_opens(programs: Path, tmp_path: Path) -> None:
    assert "--receipt" in run(programs / "fedgai-join", "--help", cwd=tmp_path)
    check_window(programs, tmp_path)


def test_the_studio_starts_and_draws(programs: Path, tmp_path: Path) -> None:
    check_studio(programs, tmp_path)


def test_the_operators_command_starts(programs: Path, tmp_path: Path) -> None:
    assert "rollback" in run(programs / "python", "-m", "federation.operator", "--help", cwd=tmp_path)
