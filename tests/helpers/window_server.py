"""A companion's window in a process of its own."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from pathlib import Path

from federation.processes import free_port
from helpers import fork_server
from helpers.studio_server import PATIENCE, ROOT

WINDOW = [sys.executable, "-m", "studio.companion.window", "--no-browser"]


class WindowServer:
    """A running ``python -m studio.companion.window``."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._log = (home.parent / "window.log").open("w+")
        self.process = fork_server.Popen(
            [*WINDOW, "--home", str(home), "--port", str(self.port), *arguments],
            libraries="studio",
            cwd=ROOT,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        until = time.monotonic() + PATIENCE
        while self.url not in self.log():
            assert self.process.poll() is None and time.monotonic() < until, self.log()
            time.sleep(0.1)

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def ask(self, method: str = "GET", path: str = "/window/live", body: bytes | None = None, **headers: str) -> int:
        """A request with these headers (``_`` for ``-``), as anybody on this machine could send it. Returns the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            return connection.getresponse().status
        finally:
            connection.close()


def listening(port: int) -> set[str]:
    """Addresses, as Linux writes them, that this port is open on."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:] if Path(table).exists() else ():
            address, _, state = line.split()[1:4]
            if state == "0A" and address.endswith(f":{port:04X}"):
                found.add(address.split(":")[0])
    return found
