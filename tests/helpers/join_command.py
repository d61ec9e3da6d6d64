"""The command ``python -m federation.join``, run to its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers import fork_server
from helpers.studio_server import PATIENCE, ROOT

JOIN = [sys.executable, "-m", "federation.join"]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return fork_server.run(
        [*JOIN, "--home", str(folder), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        stdin=subprocess.DEVNULL,
        check=False,
    )
