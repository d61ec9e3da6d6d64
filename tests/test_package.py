"""The wheel: built, installed into an environment of its own, and used from a folder that is not a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from helpers.studio_server import PATIENCE, ROOT
from PIL import Image

from federation.bundle import build_app
from federation.processes import free_port


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=4 * PATIENCE)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git would commit, without the network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source, cwd=out)
    return next(out.glob("fedgai-*.whl"))


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
    photo = ROOT / "examples" / "hoodie.jpg"
    run(programs / "fedgai", "sketch", photo, "--style", "Aiko", "--size", "256", "--out", "x.png", cwd=tmp_path)
    assert (tmp_path / "x.png").stat().st_size > 1000
    where = run(programs / "python", "-c", "import fedgai; print(fedgai.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(programs.parent)


@contextmanager
def running(program: Path, *arguments: object, cwd: Path) -> Iterator[str]:
    """The address that a program serves a page at. Afterwards it is ended as the machine would end it."""
    port, log = free_port(), cwd / "log.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(part) for part in (program, *arguments, "--port", port)],
            cwd=cwd,
            env={**os.environ, "BROWSER": "true"},  # a program that opens a page in the browser runs this instead
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        address, until = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
        while address not in log.read_text():
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(60)
    assert "Traceback" not in log.read_text()


def page(address: str) -> str:
    """Asked for until it is there: the address is printed shortly before it can be reached."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
                return answer.read().decode()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def test_the_companion_is_there(programs: Path, tmp_path: Path) -> None:
    assert "--receipt" in run(programs / "fedgai-join", "--help", cwd=tmp_path)


def test_the_companions_window_opens(programs: Path, tmp_path: Path) -> None:
    with running(programs / "fedgai-join", "--window", "--home", tmp_path / "home", cwd=tmp_path) as address:
        assert "FedGAI" in page(address)


def test_the_studio_starts_and_draws(programs: Path, tmp_path: Path) -> None:
    with running(programs / "fedgai-studio", cwd=tmp_path) as address:
        assert "FedGAI" in page(address)
        client = Client(address, verbose=False, download_files=tmp_path)
        photo = handle_file(ROOT / "examples" / "hoodie.jpg")
        drawn = client.predict(photo, {"Aiko": 1.0}, size=256, api_name="/sketch")
        with Image.open(drawn) as sketch:
            assert max(sketch.size) == 256


def test_a_wheel_and_a_checkout_make_the_same_app(programs: Path, tmp_path: Path) -> None:
    program = "import hashlib; from federation.bundle import build_app; print(hashlib.sha256(build_app()).hexdigest())"
    assert run(programs / "python", "-c", program, cwd=tmp_path).strip() == sha256(build_app()).hexdigest()
