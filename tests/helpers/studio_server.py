"""A studio of one's own: ``python app.py`` on a free loopback port, and a browser to look at it."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers import fork_server

ROOT = Path(__file__).resolve().parents[2]
# The headless shell is the same browser without its own windows and menus: a page takes half the processor time.
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
PATIENCE = float(os.environ.get("FEDGAI_PATIENCE", "300"))  # s, for a machine that is slow, or busy with something else


class StudioServer:
    """A running ``python app.py``; ``seconds`` is how long it took until its first page could be had.

    Args:
        environment: further variables.
        arguments: of app.py.
        before: Python to run in its process before it.
        port: to listen on; 0 for a free one.
    """

    def __init__(
        self, environment: dict[str, str] | None = None, arguments: tuple[str, ...] = (), before: str = "", port: int = 0
    ) -> None:
        if not port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
        self.port, self.url = port, f"http://127.0.0.1:{port}/"
        self._log = tempfile.TemporaryFile("w+")
        start = time.perf_counter()
        program = ["-c", f"{before}\nimport app; app.main()"] if before else ["app.py"]
        self.process = fork_server.Popen(
            [sys.executable, *program, "--port", str(port), *arguments],
            libraries="studio",
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        while not self._answers():
            if self.process.poll() is not None or time.perf_counter() - start > PATIENCE:
                self.stop()
                raise RuntimeError(f"the studio did not start:\n{self.log()}")
            time.sleep(0.05)
        self.seconds = time.perf_counter() - start

    def log(self) -> str:
        """All it has said so far."""
        self._log.seek(0)
        return self._log.read()

    def stop(self) -> int:
        """As the machine would at shutdown. Returns the exit status."""
        self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=10) as page:
                return page.status == 200
        except OSError:
            return False


def untrained() -> str:
    import torch

    from fedgai.model import FedGAI

    torch.manual_seed(0)
    model = FedGAI("edge")
    torch.nn.init.normal_(model.generator.style_head.film.weight, std=0.05)  # else every style would draw alike
    model.eval()
    for name in ("Ada", "Ben", "Cleo", "Dev", "Eve", "Finn", "Gus", "Hal"):
        model.add_style(model.signature([torch.rand(1, 3, 64, 64) * 2 - 1], name, f"The hand of {name}."))
    folder = tempfile.mkdtemp(prefix="fedgai-untrained-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    model.save_pretrained(folder)
    return folder


@contextmanager
def chromium() -> Iterator[object]:
    """A headless browser of Playwright's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def dropped_choices(url: str) -> list[str]:
    """Events of a page whose second choice Gradio would leave out while the first is under way. Buttons may do so."""
    with urllib.request.urlopen(f"{url}config", timeout=PATIENCE) as answer:
        dependencies = json.load(answer)["dependencies"]
    return [
        f"{dependency['api_name']}: {target[1]}"
        for dependency in dependencies
        for target in dependency["targets"]
        if dependency["backend_fn"]  # else it does nothing but cancel others
        and target[1] in ("select", "input", "change", "blur")
        and dependency["trigger_mode"] == "once"
    ]
