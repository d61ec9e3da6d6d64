"""Runs one command, and ends it with everything that it started when the process that asked for it ends.

    python -I federation/keeper.py LOG COMMAND ARGUMENT ...

Standard input is a pipe that the asking process never writes to. It closes when that process ends, even by kill -9. Then, or at
SIGTERM, or when the command ends, all processes that descend from this one are ended, also those with sessions of their own: on
Linux they become children of this process when their parents die. What they print goes to LOG, which is rotated. Windows has
neither sessions nor such adoption: there the tree of processes is ended as it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

GRACE = 4.0  # seconds between terminate and kill
LOG_BYTES, LOGS = 5 * 2**20, 3  # of one log file; older ones beside it
_DEATH_SIGNAL, _SUBREAPER = 1, 36  # PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER
_LINUX = sys.platform == "linux"


def keep(log: Path, command: list[str]) -> int:
    """Run ``command`` until it or the asking process ends. Returns its exit status, negative for a signal."""
    events: queue.SimpleQueue[str] = queue.SimpleQueue()
    if _LINUX:
        _prctl(_SUBREAPER)
        signal.signal(signal.SIGCHLD, lambda number, frame: events.put("child"))
    signal.signal(signal.SIGTERM, lambda number, frame: events.put("end"))
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=(lambda: _prctl(_DEATH_SIGNAL, signal.SIGKILL)) if _LINUX else None,
    )
    assert child.stdout is not None
    output = child.stdout.fileno()
    pump = threading.Thread(target=_pump, args=(output, log), daemon=True)
    threads = [pump, threading.Thread(target=_watch_asker, args=(events,), daemon=True)]
    if not _LINUX:
        threads.append(threading.Thread(target=_watch_child, args=(child, events), daemon=True))
    for thread in threads:
        thread.start()
    started: list[psutil.Process] = []
    status = _until_end(child, events, started)
    for process in started:
        with contextlib.suppress(psutil.Error):
            process.kill()
    while pids := descendants(os.getpid()):  # again until none is left: a process may start another in the meantime
        for pid in pids:
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).kill()
        time.sleep(0.01)
        status = _ended(child, status)
    pump.join(1)  # what was printed last
    return -signal.SIGTERM if status is None else status


def descendants(root: int) -> list[int]:
    """Ids of all processes below ``root`` that still run."""
    found = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(root).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
    return found


def _until_end(child: subprocess.Popen[bytes], events: queue.SimpleQueue[str], started: list[psutil.Process]) -> int | None:
    """Wait until the child ends, or until the grace period after a stop request is over. Returns its status, or None.

    Args:
        started: at a stop request, the child's own processes are added to it. Outside Linux they cannot be found later.
    """
    deadline: float | None = None
    while (status := _ended(child, None)) is None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return None
        try:
            event = events.get(timeout=left)
        except queue.Empty:
            return None
        if event == "end" and deadline is None:
            with contextlib.suppress(psutil.Error):
                started += psutil.Process().children(recursive=True)
            child.terminate()
            deadline = time.monotonic() + GRACE
    return status


def _ended(child: subprocess.Popen[bytes], known: int | None) -> int | None:
    """The exit status of the child, or ``known`` while there is none. Collects other dead processes, too."""
    if not _LINUX:
        return child.poll() if known is None else known
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return known
        if pid == 0:
            return known
        if pid == child.pid:
            known = child.returncode = os.waitstatus_to_exitcode(status)


def _watch_asker(events: queue.SimpleQueue[str]) -> None:
    """The pipe from the asker closes when the asker ends."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    events.put("end")


def _watch_child(child: subprocess.Popen[bytes], events: queue.SimpleQueue[str]) -> None:
    child.wait()
    events.put("child")


def _pump(output: int, log: Path) -> None:
    """What is printed goes to the log."""
    with contextlib.suppress(OSError):
        while text := os.read(output, 65536):
            _append(log, text)


def _append(log: Path, text: bytes) -> None:
    try:
        if log.exists() and log.stat().st_size > LOG_BYTES:
            for number in range(LOGS - 1, 0, -1):
                older = log.with_suffix(f".{number}.log")
                if older.exists():
                    os.replace(older, log.with_suffix(f".{number + 1}.log"))
            os.replace(log, log.with_suffix(".1.log"))
        with log.open("ab") as file:
            file.write(text)
    except OSError:  # a full disk must not end the federation
        pass


def _prctl(option: int, value: int = 1) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), sys.argv[2:]) & 0xFF)
