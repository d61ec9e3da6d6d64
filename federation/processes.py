"""What the processes that either side starts have in common."""

from __future__ import annotations

import socket
from pathlib import Path

KEEPER = Path(__file__).resolve().with_name("keeper.py")
QUIET = {  # send no statistics about people's work
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def free_port() -> int:
    """A loopback port that nobody listens on: a SuperNode has an API of its own, and two on a machine need two."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port
