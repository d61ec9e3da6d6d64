"""Processes that decode pictures, so that no picture can crash this process or use up its time and memory.

At most ``PROCESSES`` run, and at most one of them decodes a large picture; later requests wait. They are started when
they are first needed, and again after one had to be ended. A visitor's photograph and a designer's own go the same way.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from PIL import Image

from fedgai.vision.decoding.appearance import Decoded
from fedgai.vision.decoding.limits import PictureLimits, RefusedPictureError

PROCESSES = 3  # one more than one visitor of the studio can have under way (studio/turns.py)
PATIENCE = 3  # times the processor time that a picture may take: how long to wait for it, on a busy machine
PROGRAM = f"""import sys
sys.path.insert(0, {str(Path(__file__).resolve().parent)!r})
from decoding.process import main
main()"""  # "fedgai.vision.decoding" would import all that fedgai/__init__.py does
TOO_LONG = "The picture takes too long to open: save it as an ordinary JPEG or PNG and try again."
ENDED = "The picture is damaged, or takes too much memory to open: save it as an ordinary JPEG or PNG and try again."


class _ProcessEndedError(Exception):
    """The process ended before it answered. ``args[0]``: whether it was ended because it took too long."""


class _Process:
    """One process, for one thread at a time. Raises OSError where it cannot be started."""

    def __init__(self, program: str) -> None:
        paths = [os.path.abspath(path) for path in sys.path if path]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )

    def ask(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """-> an answer's JSON object, and the bytes behind it. Raises _ProcessEndedError; then it has ended."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        clock = threading.Timer(PATIENCE * request["limits"]["seconds"], end)
        clock.daemon = True
        clock.start()
        incoming, outgoing = self._process.stdin, self._process.stdout
        assert incoming is not None and outgoing is not None
        try:
            text = json.dumps(request | {"size": len(data)}).encode()
            incoming.write(struct.pack("<Q", len(text)) + text)
            incoming.write(data)
            incoming.flush()
            head = json.loads(_read(outgoing, struct.unpack("<Q", _read(outgoing, 8))[0]))
            return head, _read(outgoing, head["bytes"])
        except (OSError, EOFError) as error:
            self.end()
            out_of_time = self._process.returncode == -getattr(signal, "SIGXCPU", 0) != 0
            raise _ProcessEndedError(late.is_set() or out_of_time) from error
        finally:
            clock.cancel()

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def _read(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data


class Decoders:
    """All decoding processes of this process. Any thread may call ``decode``.

    Args:
        program: Python that serves requests; another one only in tests.
    """

    def __init__(self, program: str = PROGRAM) -> None:
        self._program, self._owner = program, os.getpid()
        self._free: queue.LifoQueue[_Process | None] = queue.LifoQueue()  # the one used last is warm
        for _ in range(PROCESSES):
            self._free.put(None)
        self._large = threading.Lock()

    def decode(self, data: bytes, limits: PictureLimits, side: int, page: int | None = None) -> Decoded:
        """A file's bytes -> the picture, see ``decoding.formats.decode``.

        Raises:
            RefusedPictureError: it cannot be used; or no process can be started here.
        """
        request = {"limits": asdict(limits), "side": side, "page": page, "large": False}
        head, levels = self._ask(request, data)
        if head.get("large"):
            with self._large:
                head, levels = self._ask(request | {"large": True}, data)
        if "refused" in head:
            raise RefusedPictureError(head["refused"])
        size, view = (head["size"][0], head["size"][1]), memoryview(levels)
        rgb = Image.frombytes("RGB", size, view[: 3 * size[0] * size[1]])
        mask = Image.frombytes("L", size, view[3 * size[0] * size[1] :]) if head["mask"] else None
        return Decoded(rgb, mask, head["pages"], head["unseen"])

    def close(self) -> None:
        """End those that do nothing now. ``decode`` starts new ones."""
        if os.getpid() != self._owner:  # after a fork, they are somebody else's
            return
        free = []
        with contextlib.suppress(queue.Empty):
            while True:
                free.append(self._free.get_nowait())
        for process in free:
            if process is not None:
                process.end()
            self._free.put(None)

    def _ask(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        with self._process() as process:
            try:
                head, levels = process.ask(request, data)
            except _ProcessEndedError as error:
                raise RefusedPictureError(TOO_LONG if error.args[0] else ENDED) from error
            if head.get("spent"):  # what it took stays with it
                process.end()
            return head, levels

    @contextlib.contextmanager
    def _process(self) -> Iterator[_Process]:
        """One that is free. After an error it is ended: it may be in the middle of an answer."""
        process = self._free.get()
        try:
            if process is None or process.has_ended:
                process = self._start()
            yield process
        except BaseException:
            if process is not None:
                process.end()
            process = None
            raise
        finally:
            self._free.put(process)

    def _start(self) -> _Process:
        try:
            return _Process(self._program)
        except OSError as error:
            raise RefusedPictureError(
                f"No picture can be opened, because no process can be started here ({error.strerror}): allow "
                "more processes, or more memory, and try again."
            ) from error


_decoders: Decoders | None = None
_lock = threading.Lock()


def decoders() -> Decoders:
    """The decoding processes of this process, started when they are first needed."""
    global _decoders
    with _lock:
        if _decoders is None:
            _decoders = Decoders()
            atexit.register(_decoders.close)
        return _decoders


def _forget() -> None:
    """After a fork: the pipes belong to the parent."""
    global _decoders, _lock
    _decoders, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
