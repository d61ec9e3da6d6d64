"""Programs of the tests' fork servers are processes of their own, as those that subprocess starts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from helpers import fork_server
from helpers.studio_server import PATIENCE, ROOT

pytest.importorskip("flwr")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere programs are started as usual")

LOOK = """
import json, os, sys
home = os.environ.get("FEDGAI_HOME")
print(json.dumps([sys.argv, os.getcwd(), home, os.getpid(), os.getsid(0), sys.path[0], sys.stdin.read()]))
print("error", file=sys.stderr)
sys.exit(3)
"""
SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the fork server: libraries that other tests import set variables, and then programs are started as usual."""
    fork_server.server("designer")
    found = fork_server._environment
    for name in os.environ.keys() | found.keys():
        if name in found:
            monkeypatch.setenv(name, found[name])
        elif not name.startswith("PYTEST_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("module", [subprocess, fork_server], ids=["subprocess", "fork server"])
def test_a_program_has_what_it_was_started_with(module, tmp_path: Path) -> None:
    (tmp_path / "look.py").write_text(LOOK)
    for words in (["-c", LOOK], ["-m", "look"], ["look.py"]):
        process = module.Popen(
            [sys.executable, *words, "a", "b c"],
            cwd=tmp_path,
            env=os.environ | {"FEDGAI_HOME": "x y"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        out, error = process.communicate("words\n", PATIENCE)
        argv, folder, home, pid, session, first, read = json.loads(out)
        name = {"-m": str(tmp_path / "look.py")}.get(words[0], words[0])
        assert (argv, folder, home, read) == ([name, "a", "b c"], str(tmp_path), "x y", "words\n")
        assert pid == session == process.pid and first == ("" if words[0] == "-c" else str(tmp_path))
        assert process.returncode == 3 and error == "error\n"


def test_python_imports_the_sitecustomize_of_its_path(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.custom = 7")
    program = [sys.executable, "-c", "import sys; print(getattr(sys, 'custom', None))"]
    for path, custom in ((str(tmp_path), 7), ("", None)):
        environment = os.environ | {"PYTHONPATH": path}
        assert fork_server.run(program, env=environment, capture_output=True, text=True).stdout == f"{custom}\n"


def test_it_imports_no_library_and_all_of_our_code_anew() -> None:
    look = "import sys; print([n for n in sys.modules if n.split('.')[0] in ('app', 'fedgai', 'federation', 'studio')], "
    look += "*('torch' in sys.modules, 'gradio' in sys.modules, len(__import__('os').listdir('/proc/self/task'))))"
    for libraries, gradio in (("designer", False), ("studio", True)):
        done = fork_server.run([sys.executable, "-c", look], libraries=libraries, capture_output=True, text=True, check=True)
        assert done.stdout == f"[] True {gradio} 1\n"


def test_two_draw_other_numbers() -> None:
    program = [sys.executable, "-c", "import random, numpy; print(random.random(), numpy.random.random())"]
    drawn = [fork_server.run(program, capture_output=True, text=True, check=True).stdout.split() for _ in range(2)]
    assert not set(drawn[0]) & set(drawn[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_by_a_signal(number: int) -> None:
    with fork_server.Popen(SLEEP, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "here\n" and process.poll() is None
        assert psutil.Process(process.pid).cmdline()[:3] == SLEEP
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        process.send_signal(number)
        assert process.wait(PATIENCE) == -number == process.poll()
    assert not psutil.pid_exists(process.pid)


def test_it_can_be_ended_while_another_thread_waits_for_it() -> None:
    with fork_server.Popen(SLEEP, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(process.wait)
            time.sleep(0.2)
            assert process.poll() is None
            process.kill()
            assert waiting.result(PATIENCE) == process.wait() == -signal.SIGKILL


def test_ctrl_c_is_an_exception_in_it() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored, also by what is started
    try:
        process = fork_server.Popen(SLEEP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=PATIENCE)[1].endswith("KeyboardInterrupt\n")
        finally:
            process.kill()


def test_where_a_library_reads_the_environment_the_program_is_started_as_usual() -> None:
    program = [sys.executable, "-c", "import sys; print('torch' in sys.modules)"]
    for variable, forked in (("FEDGAI_WEIGHTS", True), ("OMP_NUM_THREADS", False), ("HF_HOME", False)):
        environment = os.environ | {variable: "7"}
        assert fork_server.run(program, env=environment, capture_output=True, text=True).stdout == f"{forked}\n"
    program[-1] = "import sys; print('gradio' in sys.modules, 'torch' in sys.modules)"
    for variable, found in (("FEDGAI_WEIGHTS", "True True"), ("HF_ENDPOINT", "False True"), ("HF_HOME", "False False")):
        done = fork_server.run(program, libraries="studio", env=os.environ | {variable: "7"}, capture_output=True, text=True)
        assert done.stdout == f"{found}\n"
    assert fork_server.run(["echo", "x"], capture_output=True, text=True).stdout == "x\n"


def test_a_supernode_and_its_superexec_descend_from_their_keeper_and_end_with_it(tmp_path: Path) -> None:
    from federation import flower_commands
    from federation.processes import KEEPER, free_port

    node = flower_commands.command("flower-supernode", "--superlink", "127.0.0.1:9", "--insecure", "--port", str(free_port()))
    keeper = [sys.executable, "-I", str(KEEPER), str(tmp_path / "log"), *node]
    with fork_server.Popen(keeper, stdin=subprocess.PIPE, cwd=ROOT, start_new_session=True) as process:
        until = time.monotonic() + PATIENCE
        while set(started := flower_commands_of(process.pid)) != {"flower-superexec", "flower-supernode"}:
            assert process.poll() is None and time.monotonic() < until, (tmp_path / "log").read_text()
            time.sleep(0.1)
        for command in started.values():
            assert "torch" in Path(f"/proc/{command.pid}/maps").read_text()  # it was forked
        process.kill()  # the process that asked for it lives on: what it keeps ends by itself
        process.wait(PATIENCE)
    while any(c.is_running() and c.status() != psutil.STATUS_ZOMBIE for c in started.values()):
        assert time.monotonic() < until, started
        time.sleep(0.1)


def flower_commands_of(pid: int) -> dict[str, psutil.Process]:
    """Flower's commands among what descends from a process."""
    found = {}
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended
            words = child.cmdline()
            if words[1:2] == ["-P"]:
                found[words[3]] = child
    return found


def test_a_fork_server_ends_with_its_test_process(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from helpers import fork_server
process = fork_server.Popen([sys.executable, "-c", "import os; print(os.getppid(), flush=True)"])
process.wait()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    until = time.monotonic() + PATIENCE
    while psutil.pid_exists(int(done.stdout)):
        assert time.monotonic() < until
        time.sleep(0.05)
