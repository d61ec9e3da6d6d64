"""The operator's log: one line for each thing that happened, with its time, on standard error."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


def start_log() -> None:
    """Write what the studio's and the federation's parts have to say ("fedgai.host", "fedgai.gateway"). May be called twice."""
    log = logging.getLogger("fedgai")
    if any(isinstance(handler, _Handler) for handler in log.handlers):
        return
    handler = _Handler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # otherwise another handler would write each line a second time


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, to be found again."""
