"""Runs one command, and lets nothing of it outlive the process that asked for it.

    python -I federation/keeper.py LOG COMMAND ARGUMENT ...

Standard input is a pipe that the asker never writes to: it closes when the asker ends, be it by kill -9. Then, or at
SIGTERM, or when the command itself ends, every process that descends from here is ended, those in sessions of their own too,
for on Linux they become this process's children when their parents die. What they print goes to LOG, which is
rotated. Needs nothing but Python's own library, so that it starts in 50 ms and holds 10 MB.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE = 4.0  # seconds between asking politely and not
LOG_BYTES, LOGS = 5 * 2**20, 3  # of one log file; older ones beside it
_DEATH_SIGNAL, _SUBREAPER = 1, 36  # PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER


def keep(log: Path, command: list[str]) -> int:
    """Run ``command`` until it ends, or the asker does. Returns its exit status, negative for a signal."""
    _prctl(_SUBREAPER)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             preexec_fn=lambda: _prctl(_DEATH_SIGNAL, signal.SIGKILL))  # fmt: skip
    output, ends, deadline = child.stdout.fileno(), None, None
    while True:
        ends = _reap(child.pid, ends)
        if ends is not None:
            break
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if left == 0.0:
            break
        # a closed pipe stays readable, so once the end has been asked for, standard input is left out
        ready = select.select([woken, output] + ([0] if deadline is None else []), [], [], left)[0]
        if woken in ready:
            os.read(woken, 4096)
        if output in ready:
            _append(log, os.read(output, 65536))
        if deadline is None and (asked or (0 in ready and not os.read(0, 4096))):
            child.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + GRACE
    while pids := descendants(os.getpid()):  # until none is left: a process may start another while it is being looked for
        for pid in pids:
            _kill(pid)
        time.sleep(0.01)
        ends = _reap(child.pid, ends)
    os.set_blocking(output, False)
    try:
        while last := os.read(output, 65536):
            _append(log, last)
    except BlockingIOError:
        pass
    return -signal.SIGKILL if ends is None else ends


def descendants(root: int) -> list[int]:
    """Processes that come from ``root``, without it and without the dead; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rpartition(") ")[2].split()[:2]
        except OSError:  # it ended meanwhile
            continue
        if state != "Z":
            children.setdefault(int(parent), []).append(int(entry.name))
    found, look = [], [root]
    while look:
        below = children.get(look.pop(), [])
        found += below
        look += below
    return found


def _reap(pid: int, known: int | None) -> int | None:
    """Collect the dead. Returns the exit status of ``pid``, or ``known`` where it is not among them."""
    while True:
        try:
            dead, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return known
        if dead == 0:
            return known
        if dead == pid:
            known = os.waitstatus_to_exitcode(status)


def _append(log: Path, text: bytes) -> None:
    try:
        if log.exists() and log.stat().st_size > LOG_BYTES:
            for number in range(LOGS - 1, 0, -1):
                older = log.with_suffix(f".{number}.log")
                if older.exists():
                    os.replace(older, log.with_suffix(f".{number + 1}.log"))
            os.replace(log, log.with_suffix(".1.log"))
        with log.open("ab") as f:
            f.write(text)
    except OSError:  # a full disk must not end the federation
        pass


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _prctl(option: int, value: int = 1) -> None:
    """Linux only; elsewhere what the pipe does must do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), sys.argv[2:]) & 0xFF)
