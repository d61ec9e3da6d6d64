"""The wheel: built, installed into an environment of its own, and used from a folder that is not a checkout."""

from __future__ import annotations

import sysconfig
import venv
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from helpers.installed import build_wheel, check_sketch, check_studio, check_window, run

from federation.bundle import build_app


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment's programs, in which the wheel is installed. What it needs is this environment's."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", wheel, cwd=folder)
    return folder / "bin"


def test_the_wheel_holds_what_it_draws_with_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {
        "fedgai/weights/model.safetensors",
        "fedgai/weights/styles.safetensors",
        "fedgai/examples/hoodie.jpg",
        "fedgai/py.typed",
        "studio/studio.css",
        "federation/pyproject.toml",
    } <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"fedgai", "federation", "studio"}


def test_draws_outside_the_checkout(programs: Path, tmp_path: Path) -> None:
    check_sketch(programs, tmp_path)
    where = run(programs / "python", "-c", "import fedgai; print(fedgai.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(programs.parent)


def test_the_companion_is_there(programs: Path, tmp_path: Path) -> None:
    assert "--receipt" in run(programs / "fedgai-join", "--help", cwd=tmp_path)


def test_the_companions_window_opens(programs: Path, tmp_path: Path) -> None:
    check_window(programs, tmp_path)


def test_the_studio_starts_and_draws(programs: Path, tmp_path: Path) -> None:
    check_studio(programs, tmp_path)


def test_a_wheel_and_a_checkout_make_the_same_app(programs: Path, tmp_path: Path) -> None:
    program = "import hashlib; from federation.bundle import build_app; print(hashlib.sha256(build_app()).hexdigest())"
    assert run(programs / "python", "-c", program, cwd=tmp_path).strip() == sha256(build_app()).hexdigest()
