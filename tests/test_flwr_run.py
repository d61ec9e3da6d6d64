"""The Flower app as any Flower user runs it: ``flwr run`` on a SuperLink that knows nothing of the project, two SuperNodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.quick_rounds import one_garment, two_hands
from helpers.studio_server import PATIENCE, ROOT

from federation.demo import draw_examples
from federation.keeper import descendants
from federation.processes import KEEPER, QUIET, free_port
from federation.server.folder import Folder
from fedgai.model import FedGAI

BIN = Path(sys.executable).parent
NAMES = ("Aiko", "Bruno")


class Processes:
    """Flower's programs, each with its log; elsewhere than in the project, which they do not find by themselves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            **QUIET,
            "FLWR_HOME": str(folder / "flwr"),
            "OMP_NUM_THREADS": "1",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }
        self._running: list[subprocess.Popen] = []

    def start(self, log: str, *command: str) -> None:
        self._running.append(
            subprocess.Popen(
                [sys.executable, "-I", str(KEEPER), str(self.folder / log), str(BIN / command[0]), *command[1:]],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        )

    def flwr(self, *words: str) -> str:
        """What a command says. Fails the test where it does."""
        done = subprocess.run([BIN / "flwr", *words], env=self.environment, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(PATIENCE)
            process.stdin.close()
            assert not descendants(process.pid)


@pytest.fixture
def flower(tmp_path: Path) -> Iterator[tuple[Processes, str]]:
    """A SuperLink as its documentation starts it, and the connection ``plain`` to it in Flower's own configuration."""
    processes, address = Processes(tmp_path), f"127.0.0.1:{free_port()}"
    (tmp_path / "flwr").mkdir()
    (tmp_path / "flwr" / "config.toml").write_text(
        f'[superlink]\ndefault = "plain"\n\n[superlink.plain]\naddress = "{address}"\ninsecure = true\n'
    )
    host, port = address.split(":")
    processes.start(
        "superlink.log",
        "flower-superlink",
        "--insecure",
        "--host",
        host,
        "--port",
        port,
        "--disable-runtime-dependency-installation",
    )
    yield processes, address
    processes.stop()


def test_flwr_build_and_run(flower: tuple[Processes, str], tmp_path: Path) -> None:
    processes, address = flower
    processes.flwr("build", "--app", str(ROOT))
    assert len(list(tmp_path.glob("*.fab"))) == 1
    draw_examples(tmp_path / "pairs", NAMES, size=128, garments=1)
    weights = str(two_hands(tmp_path))
    for name in NAMES:
        config = {"data": str(tmp_path / "pairs" / name), "out": str(tmp_path / name), "weights": weights, "size": 128}
        processes.start(
            f"{name}.log",
            "flower-supernode",
            "--insecure",
            "--superlink",
            address,
            "--port",
            str(free_port()),
            "--node-config",
            " ".join(f"{key}={json.dumps(value)}" for key, value in config.items()),
        )
    own = {
        "rounds": 1,
        "local-epochs": 1,
        "house-steps": 1,
        "home": str(tmp_path / "home"),
        "weights": weights,
        "examples": one_garment(tmp_path)["FEDGAI_EXAMPLES"],
    }
    run_config = " ".join(f"{key}={json.dumps(value)}" for key, value in own.items())
    until = time.monotonic() + PATIENCE
    while True:  # the SuperLink takes a moment
        try:
            started = json.loads(processes.flwr("run", str(ROOT), "plain", "--run-config", run_config, "--format", "json"))
            break
        except AssertionError:
            assert time.monotonic() < until, (tmp_path / "superlink.log").read_text()[-3000:]
            time.sleep(1)
    folder, looked = Folder(tmp_path / "home"), time.monotonic()
    while True:
        while 1 not in folder.rounds() and time.monotonic() < looked + 20:  # a look takes seconds of the machine's time
            time.sleep(0.5)
        looked = time.monotonic()
        run = next(
            r
            for r in json.loads(processes.flwr("list", "plain", "--format", "json"))["runs"]
            if str(r["run-id"]) == started["run-id"]
        )
        if run["status"].startswith("finished"):
            break
        assert time.monotonic() < until + 2 * PATIENCE, (tmp_path / "superlink.log").read_text()[-3000:]
        time.sleep(1)
    assert run["status"] == "finished:completed", (tmp_path / "superlink.log").read_text()[-3000:]
    assert folder.rounds() == [0, 1]
    assert folder.report(1).accepted == 2, folder.report(1).designers
    FedGAI.load(folder.checkpoint(1))
