"""Most designers sit at Windows or macOS: the companion's parts run where fcntl and the like are not."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import psutil
import pytest
from helpers.imports import needed
from PIL import Image

from fedgai.vision.decoders import PROGRAM, Decoders
from fedgai.vision.images import LOCAL

pytest.importorskip("studio.without_stubs")
pytest.importorskip("flwr")

ROOT = Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "tests" / "fixtures" / "companion-801d4d4.zip"

TAKEN_AWAY = """
import errno, stat, types
try:
    import fcntl as _fcntl
except ImportError:
    _fcntl = None
for module in (os, signal):  # others keep what they have of these: their own code for Windows does not run here
    whole = types.ModuleType(module.__name__)
    whole.__dict__.update(module.__dict__)
    for user in list(sys.modules.values()):
        if vars(user).get(module.__name__) is module and user.__name__ != "__main__":
            vars(user)[module.__name__] = whole
for name in ("fcntl", "grp", "posix", "pty", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None
for name in ("SIGCHLD", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "setitimer", "pthread_sigmask", "set_wakeup_fd"):
    if hasattr(signal, name):
        delattr(signal, name)
for name in (
    "WNOHANG", "chown", "fork", "geteuid", "getpgid", "getuid", "killpg", "nice", "sched_getaffinity", "setsid", "waitpid"
):
    if hasattr(os, name):
        delattr(os, name)
os.name = "nt"

def _fsync(descriptor, fsync=os.fsync):
    # as Windows does
    if _fcntl and _fcntl.fcntl(descriptor, _fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "Bad file descriptor")
    fsync(descriptor)

def _open(path, *arguments, open=os.open, **options):
    # as Windows does
    descriptor = open(path, *arguments, **options)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PermissionError(errno.EACCES, "Permission denied", path)
    return descriptor

os.fsync, os.open = _fsync, _open
"""

WITHOUT = """
import os, signal, sys
# what the project needs of others, first
import asyncio, cryptography, fastapi, filelock, flwr.clientapp, flwr.app.message, gradio, httpx, psutil, torch, uvicorn
import flwr.clientapp.mod, flwr.supercore.inflatable.inflatable_utils, rich.live, skimage, webbrowser, tempfile, multiprocessing
{TAKEN_AWAY}
os.environ.pop("DISPLAY", None)
from dataclasses import asdict
from pathlib import Path
folder, drawings = map(Path, sys.argv[1:3])

from federation import join
from federation.designer import client_app, dry_run, network, outgoing, prepare, receipt_page, studio_client, supernode, upstream
from federation.designer.companion import Companion
from federation.designer.proxy import Proxy
from federation.designer.receipt import read_all
from federation.designer.settings import Settings, has_left, remember_leaving
from fedgai.model import FedGAI
from fedgai.training.saved_training import read_state, write_checkpoint, write_state
from fedgai.training.train_config import TrainConfig
from studio.companion import home, window
from studio.companion.drawings import DrawingsFolder
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
async def picture():
    yield b"a drawing"
model, trained = FedGAI.load(), folder / "trained"
trained.mkdir()
for step in (1, 2):  # the second time, in place of a file
    assert asyncio.run(DrawingsFolder(folder, lambda: settings).put("sketches", "coat.png", picture())) == ""
    state = {"step": step, "config": asdict(TrainConfig())}
    write_state(trained, {"step": torch.tensor([step])}, state, next(iter(model.styles.values())))
    write_checkpoint(trained, model)
assert read_state(trained)[1] == state and FedGAI.load(trained).styles.keys() == model.styles.keys()
remember_leaving(folder, settings.server)
assert has_left(folder, settings.server)
node = supernode.SuperNode(folder / "flower", "127.0.0.1:9", folder / "key", {"a": 1})
node.stop()
assert node.ended
print("all of it ran")
""".replace("{TAKEN_AWAY}", TAKEN_AWAY)

KEEPER = f"""
import os, signal, sys
import ctypes, pathlib, psutil, subprocess, threading
{TAKEN_AWAY}
from federation import keeper
keeper._LINUX, keeper.GRACE = False, 2.0
sys.exit(keeper.keep(keeper.Path(sys.argv[1]), sys.argv[2:]) & 0xFF)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def test_the_companions_parts_run_without_posix(tmp_path: Path) -> None:
    with zipfile.ZipFile(FIXTURE) as packed:
        packed.extractall(tmp_path)
    folders = [str(tmp_path / "home"), str(tmp_path / "drawings")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0 and "all of it ran" in done.stdout, done.stdout + done.stderr


def keeper(log: Path, command: str) -> subprocess.Popen[bytes]:
    """The federation's keeper of one Python command, as it is where there is no Linux."""
    arguments = [sys.executable, "-c", KEEPER, str(log), sys.executable, "-c", command]
    return subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_command_that_ends_by_itself_is_kept_until_then(tmp_path: Path) -> None:
    running = keeper(tmp_path / "log", "print('done'); raise SystemExit(7)")
    try:
        assert running.wait(60) == 7, running.stderr.read()
        assert (tmp_path / "log").read_text().split() == ["done"]
    finally:
        running.kill()


def test_a_command_ends_with_its_asker_and_so_does_what_it_started(tmp_path: Path) -> None:
    running, log = keeper(tmp_path / "log", PARENT), tmp_path / "log"
    try:
        until = time.monotonic() + 60
        while not log.exists() or not log.read_text().endswith("\n"):
            assert running.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        started = int(log.read_text())
        assert psutil.pid_exists(started)
        running.stdin.close()
        assert running.wait(60) == -signal.SIGTERM & 0xFF, running.stderr.read()
        gone(started)
    finally:
        running.kill()


def gone(pid: int) -> None:
    """Returns once a process has ended; one that nobody has asked about yet counts as ended."""
    until = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_process_that_decodes_pictures_runs_without_posix() -> None:
    begin = f"import os, signal, sys\nimport numpy, subprocess\nfrom PIL import Image\nImage.init()\n{TAKEN_AWAY}"
    decoders = Decoders(begin + PROGRAM)
    try:
        picture = io.BytesIO()
        Image.new("RGB", (30, 20), "red").save(picture, "PNG")
        assert decoders.decode(picture.getvalue(), LOCAL, 64).rgb.size == (30, 20)
    finally:
        decoders.close()


POSIX = ("fcntl", "os.nice", "os.fork", "SIGKILL", "SIGCHLD", "prctl", "import pwd", "import resource")
MORE_POSIX = ("waitpid", "os.getuid", "os.killpg", "os.setsid", "SIGHUP", "SIGUSR", "SIGALRM", "termios")
GUARDED = {  # used where the system has them alone; the tests above run these files without them
    "federation/keeper.py": {"SIGKILL", "SIGCHLD", "prctl", "waitpid"},
    "fedgai/vision/decoding/process.py": {"fcntl", "import resource"},
    "studio/uploads.py": {"os.getuid"},
}


def test_nothing_on_the_designers_path_imports_posix() -> None:
    """Not even within a function: what is imported there fails on the designer's machine, later."""
    rooms = ("fedgai", "federation/designer", "studio/companion")
    files = {file.relative_to(ROOT).as_posix() for room in rooms for file in (ROOT / room).rglob("*.py")}
    files |= {f"federation/{name}.py" for name in ("join", "processes", "identity", "keeper")}
    found = {}
    for name in files | needed(files).keys():
        text = (ROOT / name).read_text(encoding="utf-8")
        found[name] = {word for word in POSIX + MORE_POSIX if word in text}
    assert {name: words for name, words in found.items() if words} == GUARDED
