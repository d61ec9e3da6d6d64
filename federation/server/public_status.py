"""What everybody may know about the federation, and whether it has stopped."""

from __future__ import annotations

import importlib.metadata
import json
import time
from typing import Any

import fedgai
from federation.server.folder import Folder
from fedgai.model import CONFIG_FILE

QUIET = 60.0  # seconds after which a host that does not look at its processes has stopped
LATE = 300.0  # seconds after a round's deadline, at which its answers should have been put together
SLOW = 3600.0  # seconds without any progress in a step of the server's own


def public_status(folder: Folder) -> dict[str, Any]:
    """For JSON: names that the designers chose to show, never keys or Flower's numbers.

    Raises:
        CheckpointError: a file of the folder is damaged.
    """
    status, latest, rounds = folder.status(), folder.latest(), folder.rounds()
    try:
        config = json.loads((folder.checkpoint(latest) / CONFIG_FILE).read_text()) if latest is not None else {}
        held_back = folder.report(rounds[-1]).held_back if rounds else ""
    except (OSError, ValueError):  # pruned a moment ago
        config, held_back = {}, ""
    return {
        "version": fedgai.__version__,
        "flower": importlib.metadata.version("flwr"),
        "app_hash": folder.read("app.json", {}).get("fab_hash"),
        "preset": config.get("preset"),
        "encoder": config.get("encoder_sha256"),
        "round": status.round,
        "rounds": status.rounds,
        "phase": status.phase,
        "progress": status.progress,
        "designers_online": status.online,
        "waiting_for": status.waiting_for,
        "seconds_left": max(0, round(status.deadline - time.time())),  # for designers to answer, at most; 0 where none are asked
        "checkpoint": latest,
        "held_back": held_back,
        "updated": status.updated,
    }


def stalled(folder: Folder) -> str:
    """Why the federation does not go on, in one sentence; "" where it does, or waits for people.

    Raises:
        CheckpointError: the status is damaged.
    """
    status, now = folder.status(), time.time()
    looked = folder.last_look()
    if status.phase != "stopped" and looked and now - looked > QUIET:
        return f"the host has not looked at the federation for {now - looked:.0f} s: restart the studio"
    if status.phase == "training" and status.deadline and now - status.deadline > LATE:
        return f"round {status.round} is {now - status.deadline:.0f} s past its deadline: see logs/superlink.log"
    if status.phase in ("aggregating", "house", "starting") and 0 < status.updated < now - SLOW:
        return f"nothing has moved for {now - status.updated:.0f} s ({status.phase}): see logs/superlink.log"
    return ""
