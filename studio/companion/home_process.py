"""The studio at home (home.py) in a process of its own, which ends with the window."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from federation.processes import KEEPER
from fedgai.model import CONFIG_FILE
from studio.companion.background import in_background


class HomeProcess:
    """Opens and closes it.

    Args:
        home: the companion's folder.
        on_failure: called with a sentence where it cannot be opened.

    Attributes:
        url: address of the page, "opening" while it starts, "" while it is closed.
    """

    def __init__(self, home: Path, on_failure: Callable[[str], None]) -> None:
        self.home, self.url = home, ""
        self._on_failure = on_failure
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def possible(self) -> bool:
        """Whether there is a Generator of the designer's own."""
        return (self.home / "model" / CONFIG_FILE).exists()

    def open(self) -> None:
        if self._process and self._process.poll() is None:
            return
        if not self.possible:
            self._on_failure("There is no model of your own yet: take part in a first round first.")
            return
        in_background("studio", self._run, self._on_failure)

    def close(self) -> None:
        if self._process and self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()  # by this the keeper knows, on every system
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def _run(self) -> None:
        """Until it ends."""
        log = self.home / "window" / "studio.log"
        log.unlink(missing_ok=True)
        command = [sys.executable, "-m", "studio.companion.home", "--home", str(self.home), "--no-browser"]
        process = self._process = subprocess.Popen(
            [sys.executable, "-I", str(KEEPER), str(log), *command], stdin=subprocess.PIPE, start_new_session=True
        )
        self.url = "opening"
        printed = ""
        try:
            while process.poll() is None:
                printed = log.read_text(errors="replace") if log.exists() else ""
                if found := re.search(r"http://127\.0\.0\.1:\d+/", printed):
                    self.url = found[0]
                    break
                time.sleep(0.3)
            if process.wait() and self.url == "opening":
                lines = [line for line in printed.splitlines() if line.strip()]
                self._on_failure(lines[-1] if lines else f"The studio at home did not start: see {log}.")
        finally:
            self.url = ""
