"""Most designers sit at Windows or macOS: the companion's parts run where fcntl and the like are not."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("studio.without_stubs")
pytest.importorskip("flwr")

ROOT = Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "tests" / "fixtures" / "companion-801d4d4.zip"

WITHOUT = """
import os, signal, sys
# what the project needs of others, first: their own code for Windows does not run here
import asyncio, cryptography, fastapi, filelock, flwr.clientapp, flwr.app.message, gradio, httpx, psutil, torch, uvicorn
import flwr.clientapp.mod, flwr.supercore.inflatable.inflatable_utils, rich.live, skimage, webbrowser, tempfile, multiprocessing
for name in ("fcntl", "grp", "posix", "pty", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None
for name in ("SIGCHLD", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "setitimer", "pthread_sigmask", "set_wakeup_fd"):
    if hasattr(signal, name):
        delattr(signal, name)
for name in ("fork", "getuid", "geteuid", "getpgid", "killpg", "nice", "setsid", "sched_getaffinity", "chown"):
    if hasattr(os, name):
        delattr(os, name)
os.environ.pop("DISPLAY", None)
from pathlib import Path
folder, drawings = map(Path, sys.argv[1:3])

from federation import join
from federation.designer import client_app, dry_run, network, outgoing, prepare, receipt_page, studio_client, supernode, upstream
from federation.designer.companion import Companion
from federation.designer.proxy import Proxy
from federation.designer.receipt import read_all
from federation.designer.settings import Settings, has_left, remember_leaving
from studio.companion import home, window
from studio.companion.home_studio import HomeStudio
from studio.companion.actions import CompanionActions
from studio.companion.local_page import LocalPage, OpenAlready

settings = Settings("https://127.0.0.1:9", str(drawings), "Zoe", share_style=True, size=64)
settings.save(folder)
assert len(read_all(folder / "receipts")) == 1
assert join.main(["--home", str(folder), "--receipt"]) == 0
assert join.main(["--home", str(folder), "--check"]) == 0
with Companion(folder, settings) as companion:
    assert companion.state().phase == "starting"
    try:
        Companion(folder, settings)
    except ValueError as error:
        assert "already running" in str(error)
    else:
        raise AssertionError("two companions in one folder")
with Proxy(settings.server, folder, "0" * 64) as running:
    assert running.address.startswith("127.0.0.1:")
page = LocalPage(folder / "window", "window", 0)
try:
    LocalPage(folder / "window", "window", 0)
except OpenAlready as error:
    assert error.url == page.url
else:
    raise AssertionError("the window is open twice")
actions = CompanionActions(folder)
window.create_app(actions)
actions.close()
HomeStudio(folder)
remember_leaving(folder, settings.server)
assert has_left(folder, settings.server)
node = supernode.SuperNode(folder / "flower", "127.0.0.1:9", folder / "key", {"a": 1})
node.stop()
assert node.ended
print("all of it ran")
"""


def test_the_companions_parts_run_without_posix(tmp_path: Path) -> None:
    with zipfile.ZipFile(FIXTURE) as packed:
        packed.extractall(tmp_path)
    told = [str(tmp_path / "home"), str(tmp_path / "drawings")]
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT, *told],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert said.returncode == 0 and "all of it ran" in said.stdout, said.stdout + said.stderr


def test_nothing_on_the_designers_path_imports_posix() -> None:
    """Not even within a function: what is imported there fails on the designer's machine, later."""
    for room in (
        "federation/designer",
        "studio/companion",
        "federation/join.py",
        "federation/processes.py",
        "federation/identity.py",
    ):
        for file in (ROOT / room).rglob("*.py") if (ROOT / room).is_dir() else [ROOT / room]:
            text = file.read_text(encoding="utf-8")
            for word in ("fcntl", "os.nice", "os.fork", "SIGKILL", "SIGCHLD", "prctl", "import pwd", "import resource"):
                assert word not in text, f"{file.relative_to(ROOT)} needs {word}"
