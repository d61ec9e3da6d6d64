"""A designer's Flower SuperNode as a process: their key, its command line, its start and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from federation.processes import KEEPER, QUIET, free_port


class SuperNode:
    """``flower-supernode``, started at once, with the ClientApp in a process of its own; none of them outlives this process.

    Args:
        home: Flower's folder for this designer, with its log; two SuperNodes on one machine need two.
        server: "host:port" of the studio.
        key: of the private key file.
        config: the node configuration (see client_app.py): str, int, float or bool values.
        root_certificate: PEM file to trust for the server; None for the system's.
        threads: processors that the training may use; 0 for all.
    """

    def __init__(self, home: str | Path, server: str, key: str | Path,
                 config: dict[str, str | int | float | bool], root_certificate: str | Path | None = None,
                 threads: int = 0) -> None:
        self.home = Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        programs = Path(sys.executable).parent  # flower-supernode starts flower-superexec by its name alone
        told = " ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in config.items())  # TOML reads these as JSON does
        command = [str(programs / "flower-supernode"), "--superlink", server,
                   "--auth-supernode-private-key", str(key), "--host", "127.0.0.1", "--port", str(free_port()),
                   "--node-config", told]
        if root_certificate:
            command += ["--root-certificates", str(root_certificate)]
        environment = {**os.environ, **QUIET, "FLWR_HOME": str(self.home / "flwr"),
                       "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
        if threads:
            environment |= {"OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen([sys.executable, "-I", str(KEEPER), str(self.home / "supernode.log"), *command],
                                        env=environment, stdin=subprocess.PIPE, cwd=self.home, start_new_session=True)

    def stop(self) -> None:
        """End it and the ClientApp that it may be running."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()


