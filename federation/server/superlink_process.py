"""The SuperLink as a process of the host's, with all that it starts; and how those processes are found and ended."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from federation import flower_commands
from federation.processes import KEEPER, QUIET, free_port
from federation.server.folder import Folder
from federation.server.superlink_state import SuperLinkControl
from fedgai.environment import variable
from fedgai.shipped import EXAMPLES

log = logging.getLogger("fedgai.host")

ROOT = Path(__file__).resolve().parent.parent.parent
HEALTHY = 60.0  # seconds that a SuperLink has to come up
STOPS = 8.0  # seconds that the keeper has to end everything
SECRETS = re.compile("TOKEN|PASSW|SECRET|CREDENTIAL|_KEY")  # environment variables that no child is given
COMMANDS = ("keeper.py", "flower-superlink", "flower-superexec", "flwr-serverapp")


class SuperLinkProcess:
    """One SuperLink at a time: keeper -> flower-superlink -> flower-superexec -> flwr-serverapp while a run is on.

    Args:
        folder: the federation's.
        weights: the checkpoint of round 0, for the ServerApp.
        database: of the SuperLink.
        certificate: of the authority that signed the SuperLink's own.

    Attributes:
        address: "127.0.0.1:PORT".
        control: its control API, while it runs.
    """

    def __init__(self, folder: Folder, weights: str, database: Path, certificate: Path) -> None:
        self.folder, self.weights, self.database, self.certificate = folder, weights, database, certificate
        self.address = f"127.0.0.1:{free_port()}"
        self.control: SuperLinkControl | None = None
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        """What the SuperLink and the ServerApp print."""
        return self.folder.path / "logs" / "superlink.log"

    def start(self, ends: threading.Event) -> bool:
        """Start it.

        Args:
            ends: set where the host ends meanwhile.

        Returns:
            whether it answers.
        """
        self.log_file.parent.mkdir(mode=0o700, exist_ok=True)
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", str(KEEPER), str(self.log_file), *self._command()],
            stdin=subprocess.PIPE,
            env=self._environment(),
            start_new_session=True,
            umask=0o077,
        )
        self.control = SuperLinkControl(self.address, self.certificate.read_bytes())
        until = time.monotonic() + HEALTHY
        while not ends.wait(0.2):
            if not self.runs() or time.monotonic() > until:
                log.warning("the SuperLink does not come up: see %s", self.log_file)
                self.address = f"127.0.0.1:{free_port()}"  # perhaps somebody took the port meanwhile
                return False
            if self.control.answers():
                return True
        return False

    def runs(self) -> bool:
        """Whether its keeper does."""
        return self._keeper is not None and self._keeper.poll() is None

    def stop(self) -> None:
        """End it and all that it started. May be called twice."""
        keeper, self._keeper = self._keeper, None
        control, self.control = self.control, None
        if control is not None:
            control.close()
        if keeper is None:
            return
        # a SuperLink that is asked to end during a run waits for its connections, until the keeper kills it anyway
        end_processes({name: pids for name, pids in self.processes().items() if name != "keeper.py"})
        keeper.terminate()
        try:
            keeper.wait(STOPS)
        except subprocess.TimeoutExpired:
            keeper.kill()
            keeper.wait()
        if keeper.stdin is not None:
            keeper.stdin.close()
        end_processes(self.processes())  # those whose keeper was killed

    def started(self) -> dict[str, list[int]]:
        """What its keeper started and still runs, by command. Reads the command lines of these alone, not of all processes."""
        with contextlib.suppress(psutil.Error):
            if self._keeper is not None:
                return by_command(psutil.Process(self._keeper.pid).children(recursive=True))
        return {}

    def processes(self) -> dict[str, list[int]]:
        """Of this folder, by command, whoever started them."""
        return processes(str(self.folder.path))

    def end_server_app(self) -> None:
        """End the process of a run. What it wrote is whole or absent."""
        end_processes({"flwr-serverapp": self.processes().get("flwr-serverapp", [])})

    def _command(self) -> list[str]:
        secrets = self.folder.secrets
        host, _, port = self.address.partition(":")
        return flower_commands.command(
            "flower-superlink",
            "--host",
            host,
            "--port",
            port,
            "--database",
            str(self.database),
            "--ssl-ca-certfile",
            str(self.certificate),
            "--ssl-certfile",
            str(secrets / "server.pem"),
            "--ssl-keyfile",
            str(secrets / "server.key"),
            "--enable-supernode-auth",
            "--disable-runtime-dependency-installation",
        )

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return {
            **{name: value for name, value in os.environ.items() if not SECRETS.search(name.upper())},
            **QUIET,
            "FEDGAI_HOME": str(self.folder.path),
            "FEDGAI_WEIGHTS": self.weights,
            "FEDGAI_EXAMPLES": variable("FEDGAI_EXAMPLES") or str(EXAMPLES),
            "FLWR_HOME": str(self.folder.path / "flwr"),
            "PATH": path,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
        }


def processes(folder: str) -> dict[str, list[int]]:
    """Flower's processes and keepers that serve a federation's folder, by command."""
    return by_command(psutil.process_iter(), folder + os.sep)


def by_command(candidates: Iterable[psutil.Process], prefix: str = "") -> dict[str, list[int]]:
    """Those that run one of ``COMMANDS`` and have an argument with this prefix, by command."""
    found: dict[str, list[int]] = {}
    for process in candidates:
        words: list[str] = []
        with contextlib.suppress(psutil.Error):  # it has just ended, or is somebody else's
            words = process.cmdline()
        names = {Path(word).name for word in words[:4]}  # the interpreter, its options, the script
        name = next((command for command in COMMANDS if command in names), None)  # the keeper names what it keeps, too
        if name is not None and any(word.startswith(prefix) for word in words):
            found.setdefault(name, []).append(process.pid)
    return found


def end_processes(found: dict[str, list[int]]) -> None:
    """Kill them; what they write is whole or absent. Keepers first, who would otherwise report deaths."""
    for name in sorted(found, key=lambda name: name != "keeper.py"):
        for pid in found[name]:
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).kill()
