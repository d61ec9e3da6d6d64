"""The host with Flower's real processes on loopback: it starts, goes on after every death, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from helpers import fork_server
from helpers.dummy_app import PROJECT
from helpers.studio_server import PATIENCE
from helpers.waiting import until

pytest.importorskip("flwr")

from federation import flower_commands, operator
from federation.identity import fingerprint
from federation.keeper import descendants
from federation.processes import KEEPER, free_port
from federation.server import superlink_process, superlink_state
from federation.server.folder import Folder
from federation.server.host import Host, HostError
from federation.server.members import node_id_of
from federation.server.runs import Runs
from federation.server.superlink_process import ROOT, end_processes, processes
from federation.server.superlink_state import RunState
from fedgai.errors import FedGAIError

BIN = Path(sys.executable).parent

# a round is a question to everybody and a checkpoint of nothing; it takes a second
SERVER = """
import json, os, time
from pathlib import Path
from flwr.app import Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()

@app.main()
def main(grid, context):
    home = Path(os.environ["FEDGAI_HOME"])
    (home / "environment.json").write_text(json.dumps(dict(os.environ)))
    checkpoints = home / "checkpoints"
    rounds = context.run_config["rounds"]
    number = max([int(p.name) for p in checkpoints.iterdir() if p.name.isdigit()])
    last = (number // rounds + 1) * rounds
    while number < last:
        number += 1
        nodes = list(grid.get_node_ids())
        replies = list(grid.send_and_receive(
            [Message(RecordDict(), dst_node_id=n, message_type="train") for n in nodes], timeout=30))
        if not any(r.has_content() for r in replies):
            number -= 1
            time.sleep(1)
            continue
        temp_path = checkpoints / f".{number:04d}"
        temp_path.mkdir(exist_ok=True)
        (temp_path / "config.json").write_text("{}")
        (temp_path / "report.json").write_text(json.dumps({"round": number, "nodes": nodes, "pid": os.getpid()}))
        os.replace(temp_path, checkpoints / f"{number:04d}")
        time.sleep(0.5)
"""
CLIENT = """
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp
app = ClientApp()

@app.train()
def train(message, context):
    return Message(RecordDict(), reply_to=message)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app" / "dummy").mkdir(parents=True)
    (tmp_path / "app" / "pyproject.toml").write_text(PROJECT)
    for name, text in (("__init__", ""), ("server", SERVER), ("client", CLIENT)):
        (tmp_path / "app" / "dummy" / f"{name}.py").write_text(text)
    return tmp_path / "app"


@pytest.fixture(scope="module", autouse=True)
def quick_start() -> Iterator[None]:
    """A SuperLink whose processes do not import Flower again."""
    with fork_server.forked(superlink_process, "studio"), fork_server.forked(superlink_state, "studio"):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """With a round 0 of nothing; whatever a failing test leaves running is ended."""
    folder = Folder(tmp_path / "federation")
    (folder.checkpoint(0)).mkdir()
    (folder.checkpoint(0) / "config.json").write_text("{}")
    yield folder
    end_processes(processes(str(folder.path)))


class Designer:
    """A key, and a SuperNode where it was started."""

    def __init__(self, home: Path, name: str) -> None:
        self.home, self.name, self.process = home / name, name, None
        self.home.mkdir()
        key = ec.generate_private_key(ec.SECP384R1())
        (self.home / "key").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
        )
        self.line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()

    def connect(self, address: str, certificate: Path) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "HF_TOKEN"},  # which a designer does not have
            "FLWR_HOME": str(self.home / "flwr"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }
        self.process = fork_server.Popen(
            flower_commands.command(
                "flower-supernode",
                "--superlink",
                address,
                "--root-certificates",
                str(certificate),
                "--auth-supernode-private-key",
                str(self.home / "key"),
                "--port",
                str(free_port()),
            ),
            env=environment,
            stdout=(self.home / "log").open("a"),
            stderr=subprocess.STDOUT,
        )

    def leave(self) -> None:
        if self.process is not None:
            for pid in [self.process.pid, *descendants(self.process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def designers(tmp_path: Path) -> Iterator[list[Designer]]:
    both = [Designer(tmp_path, name) for name in ("Ada", "Bruno")]
    yield both
    for designer in both:
        designer.leave()


def last(folder: Folder) -> int:
    return folder.rounds()[-1]


def goes_on(folder: Folder, more: int = 1) -> None:
    now = last(folder)
    until(lambda: last(folder) >= now + more, f"round {now + more}: {folder.status()}")


def admitted(host: Host) -> set[int]:
    """Node ids that the SuperLink lets in."""
    with contextlib.closing(sqlite3.connect(host.state.database)) as connection:
        return {n % 2**64 for (n,) in connection.execute("SELECT node_id FROM node WHERE status != 'unregistered'")}


def kill(folder: Folder, name: str) -> None:
    for pid in processes(str(folder.path)).get(name, []):
        os.kill(pid, signal.SIGKILL)


def test_goes_on_after_every_death(app: Path, folder: Folder, designers: list[Designer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("FEDGAI_OPERATOR_PASSWORD", "secret")
    operator.approve(folder, designers[0].line, "Ada")
    host = Host(folder, app=app, run_config={"rounds": 10000})
    host.start()
    try:
        with pytest.raises(HostError, match=f"process {os.getpid()}"):
            Host(folder, app=app).start()
        assert host.ready.wait(PATIENCE)
        operator.approve(folder, designers[1].line, "Bruno")  # while it runs
        until(lambda: all(m.node_id for m in folder.members()) and len(folder.members()) == 2)
        for designer in designers:
            designer.connect(host.superlink_address, host.certificate)
        goes_on(folder)
        assert folder.status().online == ["Ada", "Bruno"]
        ids = {node_id_of(d.line) for d in designers}
        assert set(folder.report(last(folder)).as_json()["nodes"]) == ids
        environment = json.loads((folder.path / "environment.json").read_text())
        assert "secret" not in environment.values() and environment["FLWR_TELEMETRY_ENABLED"] == "0"
        assert json.loads((folder.path / "app.json").read_text())["fab_hash"]

        kill(folder, "flwr-serverapp")
        goes_on(folder)

        for path in folder.path.glob("superlink.db*"):
            path.unlink()
        kill(folder, "flower-superlink")
        until(lambda: not host.ready.is_set())
        goes_on(folder)  # with two, so both are back, without a restart or an approval
        assert set(folder.report(last(folder)).as_json()["nodes"]) == ids
        assert [d.process.poll() for d in designers] == [None, None]

        operator.revoke(folder, "Bruno")
        until(lambda: folder.status().online == ["Ada"])
        until(lambda: designers[1].process.poll() is not None, "the revoked SuperNode is refused")
        kill(folder, "keeper.py")
        until(lambda: not host.ready.is_set())
        until(lambda: folder.status().waiting_for == 1, folder.status())

        operator.approve(folder, designers[1].line, "Bruno")
        until(lambda: admitted(host) == ids)  # or this bare SuperNode would be refused, and not ask again
        designers[1].connect(host.superlink_address, host.certificate)
        goes_on(folder)
        operator.pause(folder)
        until(lambda: folder.status().phase == "paused")
        assert "flwr-serverapp" not in processes(str(folder.path))
    finally:
        host.stop()
    assert not processes(str(folder.path))
    assert folder.status().phase == "stopped" and folder.status().online == []


def test_host_killed_leaves_nothing_and_the_next_goes_on(app: Path, folder: Folder, designers: list[Designer]) -> None:
    ada = designers[0]
    operator.approve(folder, ada.line, "Ada")
    script = (
        f"import time; from pathlib import Path; from federation.server.folder import Folder\n"
        "from federation.server.host import Host\n"
        f"h = Host(Folder({str(folder.path)!r}), app=Path({str(app)!r}), run_config={{'rounds': 3, 'min-designers': 1}},"
        f" rest_hours=24)\nh.start(); h.ready.wait(); print(h.superlink_address, flush=True); time.sleep(600)"
    )

    def start() -> subprocess.Popen:
        # a forked program listens to Ctrl-C, also where the tests run in a shell's background
        command = [sys.executable, "-c", script]
        process = fork_server.Popen(command, libraries="studio", cwd=ROOT, stdout=subprocess.PIPE, text=True)
        address = process.stdout.readline().strip()
        ada.connect(address, folder.secrets / "ca.pem")
        return process

    process = start()
    try:
        goes_on(folder)
        process.kill()
        process.wait()
        until(lambda: not processes(str(folder.path)), "nothing outlives the host")
        before = last(folder)
        assert before < 3
        ada.leave()
        process = start()
        until(lambda: last(folder) == 3, "the season's end")
        until(lambda: folder.status().phase == "resting")
        assert "next season begins" in folder.status().note
        until(lambda: "flwr-serverapp" not in processes(str(folder.path)), "waiting costs nothing")
        process.send_signal(signal.SIGINT)  # Ctrl-C: it stops at exit
        process.wait(PATIENCE)
        assert not processes(str(folder.path))
        assert folder.status().phase == "stopped"
    finally:
        process.kill()


def test_a_run_whose_process_is_there_is_seldom_asked_for(folder: Folder) -> None:
    control = Mock()
    control.run.return_value = RunState(over=False, well=True, details="")
    runs = Runs(folder, Mock(), b"", {}, rounds=1, needed=1, rest=timedelta(0), tell=Mock())
    runs.current = 7
    for _ in range(3):
        runs.look(control, 1, [1])
    assert control.run.call_count == 1 and runs.current == 7
    runs.look(control, 1, [])  # the process has ended: asked at once
    assert control.run.call_count == 2 and runs.current is None


def test_a_superlink_that_does_not_answer_is_asked_at_every_look(folder: Folder) -> None:
    """Else the looks between two questions would pass for answers, and it would never be replaced."""
    control = Mock()
    control.run.side_effect = httpx.ConnectError("refused")
    runs = Runs(folder, Mock(), b"", {}, rounds=1, needed=1, rest=timedelta(0), tell=Mock())
    runs.current = 7
    for _ in range(3):
        with pytest.raises(httpx.ConnectError):
            runs.look(control, 1, [1])
    assert control.run.call_count == 3 and runs.current == 7


def test_keeper_ends_all_of_it_with_its_asker(tmp_path: Path) -> None:
    """A grandchild in a session of its own, whose parent is gone, deaf to SIGTERM."""
    grandchild = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deep', flush=True); time.sleep(99)"
    child = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-c', {grandchild!r}], start_new_session=True)\n"
        "print(p.pid, flush=True); time.sleep(99)"
    )
    asker = (
        f"import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-I', {str(KEEPER)!r},"
        f" {str(tmp_path / 'log.log')!r}, sys.executable, '-c', {child!r}], stdin=subprocess.PIPE, start_new_session=True);"
        "print(p.pid, flush=True); time.sleep(99)"
    )
    process = subprocess.Popen([sys.executable, "-c", asker], stdout=subprocess.PIPE, text=True)
    keeper = int(process.stdout.readline())
    log = tmp_path / "log.log"
    until(lambda: log.exists() and "deep" in log.read_text())
    deep = int(log.read_text().split()[0])
    process.kill()
    process.wait()
    until(lambda: not _alive(deep) and not _alive(keeper))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


# -- the operator ------------------------------------------------------------------------------------------------------------


def test_operator_approves_revokes_and_approves_again(folder: Folder, designers: list[Designer]) -> None:
    key = folder.path / "key.pub"
    key.write_text(f"{designers[0].line} ada@home\n")
    ada = operator.approve(folder, str(key), " Ada ")
    assert (ada.name, ada.key) == ("Ada", designers[0].line)
    assert operator.approve(folder, designers[0].line, "Ada") == ada  # again: nothing new
    with pytest.raises(FedGAIError, match="taken"):
        operator.approve(folder, designers[1].line, "ada")
    with pytest.raises(FedGAIError, match="already approved"):
        operator.approve(folder, designers[0].line, "Other")
    assert operator.members(folder)[0]["state"] == "approved"
    assert operator.revoke(folder, fingerprint(ada.key)).revoked
    with pytest.raises(FedGAIError, match="no member"):
        operator.revoke(folder, "Ada")
    assert operator.approve(folder, designers[0].line, "Ada L.").revoked == ""
    assert [m.name for m in folder.members()] == ["Ada L."]


def test_operator_refuses_other_keys(folder: Folder, designers: list[Designer]) -> None:
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    line = other.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    with pytest.raises(FedGAIError, match=r"ssh-ed25519.*ssh-keygen -t ecdsa -b 384"):
        operator.approve(folder, line, "Ada")
    with pytest.raises(FedGAIError, match="private key"):
        operator.approve(folder, str(designers[0].home / "key"), "Ada")
    with pytest.raises(FedGAIError, match="neither a key nor a file"):
        operator.approve(folder, "nowhere.pub", "Ada")
    with pytest.raises(FedGAIError, match="not an OpenSSH public key"):
        operator.approve(folder, "ecdsa-sha2-nistp384 AAAA", "Ada")
    for name in ("", "x" * 41, "a\nb"):
        with pytest.raises(FedGAIError, match="1 to 40"):
            operator.approve(folder, designers[0].line, name)
    assert folder.members() == []


def test_operator_command(folder: Folder, designers: list[Designer], capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> str:
        operator.main(["--home", str(folder.path), *words])
        return capsys.readouterr().out

    assert "nobody" in run("list")
    assert "Ada is approved, SHA256:" in run("approve", designers[0].line, "--name", "Ada")
    assert "approved" in run("list").splitlines()[1]
    run("pause")
    assert folder.control()["paused"]
    run("resume")
    assert not folder.control()["paused"]
    assert "published" in run("rounds")
    run("rollback", "0")
    assert folder.control()["base"] == 0 and folder.latest() == 0
    with pytest.raises(SystemExit) as ended:
        run("rollback", "7")
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error[0].isupper() and error.endswith(".\n") and error.count("\n") == 1
