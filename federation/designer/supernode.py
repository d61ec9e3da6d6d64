"""A designer's Flower SuperNode as a process: their key, its command line, its start and its end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from federation import flower_commands
from federation.designer.network import loopback_environment
from federation.processes import KEEPER, QUIET, free_port
from fedgai.errors import FedGAIError

GRACE = 10.0  # s to end


class SuperNodeError(FedGAIError):
    """Flower's SuperNode cannot be started."""


class SuperNode:
    """``flower-supernode``, as ``flower_commands.py`` mends it, started at once. It runs the ClientApp in another process.

    Both end with this process. It talks only to this machine, so it uses no proxy, whichever are set.

    Args:
        home: Flower's folder for this designer, with its log; two SuperNodes on one machine need two.
        server: "host:port" of the studio, or of the companion's proxy.
        key: of the private key file.
        config: the node configuration (see client_app.py).
        root_certificate: PEM file to trust for the server; None for the system's.
        threads: processors that the training may use; 0 for all.
    Raises:
        SuperNodeError: Flower is not installed beside this Python.
        OSError: the folder cannot be written, or nothing can be started.
    """

    def __init__(
        self,
        home: str | Path,
        server: str,
        key: str | Path,
        config: Mapping[str, str | int | float | bool],
        root_certificate: str | Path | None = None,
        threads: int = 0,
    ) -> None:
        self.home = Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        self.log = self.home / "supernode.log"
        programs = Path(sys.executable).parent  # flower-supernode starts flower-superexec by its name alone
        path = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"
        if shutil.which("flower-superexec", path=path) is None:
            raise SuperNodeError('Flower is not installed with this Python: pip install ".[federation]" in a copy of the project')
        entries = " ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in config.items())  # TOML reads these as JSON does
        command = flower_commands.command(
            "flower-supernode",
            "--superlink",
            server,
            "--auth-supernode-private-key",
            str(key),
            "--host",
            "127.0.0.1",
            "--port",
            str(free_port()),
            "--node-config",
            entries,
        )
        if root_certificate:
            command += ["--root-certificates", str(root_certificate)]
        environment = {**loopback_environment(), **QUIET, "FLWR_HOME": str(self.home / "flwr"), "PATH": path}
        if threads:
            environment |= {"OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(KEEPER), str(self.log), *command],
            env=environment,
            stdin=subprocess.PIPE,
            cwd=self.home,
            start_new_session=True,
        )

    @property
    def ended(self) -> bool:
        """Whether it ended, by itself or by ``stop``."""
        return self.process.poll() is not None

    def last_line(self) -> str:
        """Of its log, for a person to read; "" where there is none."""
        try:
            lines = self.log.read_text(errors="replace").split("\n")
        except OSError:
            return ""
        lines = [line.strip() for line in lines if line.strip()]
        return lines[-1][:300] if lines else ""

    def stop(self) -> None:
        """End it and the ClientApp that it may be running."""
        assert self.process.stdin is not None
        self.process.stdin.close()  # by this the keeper knows, on every system
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
