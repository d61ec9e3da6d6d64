"""The wheel: built, and the programs of an environment that it is installed in."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradio_client import Client, handle_file
from PIL import Image

from federation.processes import free_port
from helpers.studio_server import PATIENCE, ROOT


def run(*command: object, cwd: Path, seconds: float = 4 * PATIENCE) -> str:
    """What a program prints. It must end well, within these seconds."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def build_wheel(folder: Path) -> Path:
    """The project's wheel, built below ``folder`` from what git would commit, without the network."""
    source, out = folder / "source", folder / "wheel"
    out.mkdir(parents=True)
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source, cwd=out)
    return next(out.glob("fedgai-*.whl"))


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


def check_window(programs: Path, folder: Path) -> None:
    """The companion's window of an environment opens. ``folder`` takes its files."""
    with running(programs / "fedgai-join", "--window", "--home", folder / "home", cwd=folder) as address:
        assert "FedGAI" in page(address)


def check_studio(programs: Path, folder: Path) -> None:
    """The studio of an environment starts, and draws. ``folder`` takes its files."""
    with running(programs / "fedgai-studio", cwd=folder) as address:
        assert "FedGAI" in page(address)
        assert max(draws(address, folder).size) == 256


def check_sketch(programs: Path, folder: Path) -> None:
    """An environment's ``fedgai sketch`` draws. ``folder`` takes the sketch."""
    photo = ROOT / "examples" / "hoodie.jpg"
    run(programs / "fedgai", "sketch", photo, "--style", "Aiko", "--size", "256", "--out", "x.png", cwd=folder)
    assert (folder / "x.png").stat().st_size > 1000


def draws(address: str, folder: Path) -> Image.Image:
    """A sketch of an example, by a studio that runs at this address. ``folder`` takes the file."""
    client = Client(address, verbose=False, download_files=folder)
    photo = handle_file(ROOT / "examples" / "hoodie.jpg")
    with Image.open(client.predict(photo, {"Aiko": 1.0}, size=256, api_name="/sketch")) as sketch:
        return sketch.copy()
