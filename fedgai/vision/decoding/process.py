"""The process that decodes pictures, one at a time, started by ``vision.decoders``.

request: an 8-byte length, a JSON object with "size", "limits", "side", "page" and "large", then so many bytes of a file
answer:  an 8-byte length, a JSON object, then RGB levels and, where it says so, the levels of a mask
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import warnings
from typing import IO, Any

from PIL import Image, features

from .formats import decode
from .limits import SAVE_AS, LargePictureError, PictureLimits, RefusedPictureError

PIPE = 2**20  # bytes that a pipe holds


def answer(data: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """-> the JSON object of an answer, and the bytes behind it."""
    limits = PictureLimits(**request["limits"])
    try:
        found = decode(data, limits, request["side"], request["page"], large=request["large"])
        head = {"size": found.rgb.size, "mask": found.mask is not None, "pages": found.pages, "unseen": found.unseen}
        return head, found.rgb.tobytes() + (found.mask.tobytes() if found.mask else b"")
    except RefusedPictureError as error:
        return {"refused": str(error)}, b""
    except LargePictureError:
        return {"large": True}, b""
    except MemoryError:
        return {
            "refused": f"The picture takes more than {limits.memory} MB of memory to open: scale it down and try again.",
            "spent": True,
        }, b""
    except Exception:  # decoders raise whatever they like at hostile bytes
        return {"refused": f"The picture is damaged or cut short: {SAVE_AS}."}, b""


def serve(incoming: IO[bytes], outgoing: IO[bytes]) -> None:
    """Answer requests until there are no more."""
    base = _address_space()
    while True:
        try:
            request = json.loads(_read(incoming, struct.unpack("<Q", _read(incoming, 8))[0]))
            data = _read(incoming, request["size"])
        except EOFError:
            return
        _limit(request["limits"], base and base + len(data))
        head, levels = answer(data, request)
        text = json.dumps(head | {"bytes": len(levels)}).encode()
        outgoing.write(struct.pack("<Q", len(text)) + text)
        outgoing.write(levels)
        outgoing.flush()
        del data, levels


def _read(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _limit(limits: dict[str, Any], base: int) -> None:
    """Have the system end this process, or refuse it memory, where a picture takes more. Not every system can."""
    try:
        import resource
    except ImportError:  # Windows: only the caller's clock and the checks of sizes limit it there
        return
    with contextlib.suppress(OSError, ValueError):
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = int(used.ru_utime + used.ru_stime) + 1 + int(limits["seconds"])
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    if base:
        with contextlib.suppress(OSError, ValueError):
            memory = base + int(limits["memory"]) * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (memory, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _address_space() -> int:
    """Bytes that this process takes by now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent process; after it, no more requests come
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # our own limits are lower
    if features.check("avif"):
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    with contextlib.suppress(ImportError, AttributeError, OSError):  # Linux: fewer changes from one process to the other
        import fcntl

        fcntl.fcntl(outgoing.fileno(), fcntl.F_SETPIPE_SZ, PIPE)
    serve(incoming, outgoing)
