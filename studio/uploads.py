"""Visitors' photographs on the disk: a private folder, and the one place where their bytes are read.

A page only says where its photograph lies. Whatever it says is checked here: nothing outside the folder is ever opened,
and no answer tells whether some other file exists.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from fedgai.errors import FedGAIError
from fedgai.files import write_atomically
from fedgai.vision.images import MAX_BYTES

SHARE = 4  # one address may send a quarter of what the folder may hold
GONE = "The photograph is no longer here: please add it again."
FULL = "This studio has no room for more photographs at the moment: try again in a few minutes."
TOO_MUCH = "Your network has sent a lot of photographs within the last hour: try again later."


class UploadError(FedGAIError):
    """A photograph that cannot be taken, or is not there. The message is one sentence that says what to do."""


@dataclass(frozen=True)
class PhotoFile:
    """A picture file. Every photograph that the studio draws is read here.

    Attributes:
        path: of the file.
        folder: that the file must lie in. What lies elsewhere is never opened, whatever ``path`` says.
    """

    path: Path
    folder: Path

    def read(self) -> bytes:
        """The content of a regular file of at most ``MAX_BYTES``. Raises UploadError."""
        with self._open() as file:
            return file.read(MAX_BYTES)

    def sha256(self) -> str:
        """SHA-256 of its content now: a photograph that is added again counts as the same one. Raises UploadError."""
        with self._open() as file:
            found = os.fstat(file.fileno())
        return _sha256(self, found.st_mtime_ns, found.st_size, found.st_ino)

    def check(self) -> None:
        """Raises UploadError where ``read`` would."""
        self._open().close()

    def _open(self) -> BinaryIO:
        """Open it if it is a regular file in the folder. Checked first: opening a device may hang, and opening a pipe does."""
        try:
            real = Path(os.path.realpath(self.path, strict=True))
            found = os.lstat(real)
            inside = real.is_relative_to(os.path.realpath(self.folder))
            if not (inside and stat.S_ISREG(found.st_mode) and found.st_size <= MAX_BYTES):
                raise UploadError(GONE)
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
            return open(os.open(real, flags), "rb")
        except (OSError, ValueError) as error:  # ValueError: a path with a null byte
            if isinstance(error, UploadError):
                raise
            raise UploadError(GONE) from error


@lru_cache(maxsize=512)
def _sha256(file: PhotoFile, *version: int) -> str:
    """Read once for each version of a file."""
    return hashlib.sha256(file.read()).hexdigest()


class Quota:
    """Counts the bytes that each address sends within a time.

    Args:
        seconds: how long bytes count after they were sent.
        most: bytes that one address may send within that time.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self.seconds, self.most = seconds, most
        self._sent: dict[str, deque[tuple[float, int]]] = {}  # address -> (when, bytes)
        self._lock = threading.Lock()

    def add(self, address: str, size: int) -> bool:
        """Whether this address may send ``size`` bytes more. If so, they are counted."""
        now = time.monotonic()
        with self._lock:
            sent = self._sent.setdefault(address, deque())
            while sent and sent[0][0] < now - self.seconds:
                sent.popleft()
            if size + sum(n for _, n in sent) > self.most:
                return False
            sent.append((now, size))
            return True

    def forget(self) -> None:
        """Remove addresses whose bytes no longer count."""
        now = time.monotonic()
        with self._lock:
            self._sent = {a: sent for a, sent in self._sent.items() if sent and sent[-1][0] >= now - self.seconds}


class UploadFolder:
    """A folder for this process alone. Files older than ``keep`` seconds are deleted by ``sweep``.

    Args:
        path: of the folder; it is there, private and empty.
        keep: seconds that a file stays.
        limit: bytes that all files together may take.
    """

    def __init__(self, path: Path, keep: float = 3600, limit: int = 2**31) -> None:
        self.path, self.keep, self.limit = path, keep, limit
        self._quota = Quota(keep, limit // SHARE)
        self._used = 0  # bytes, as far as is known
        self._lock: FileLock | None = None

    @classmethod
    def create(cls, keep: float, limit: int) -> UploadFolder:
        """A new one in the folder for temporary files. What a studio that was killed has left there is deleted.

        Raises:
            UploadError: there is no folder for temporary files that this user alone can use.
        """
        parent = _private_parent()
        for leftover in {p.with_suffix("") for p in parent.iterdir() if p.name.startswith("uploads-")}:
            _delete_unless_in_use(leftover)
        path = parent / f"uploads-{secrets.token_hex(8)}"
        folder = cls(path, keep, limit)
        folder._lock = FileLock(path.with_suffix(".lock"))
        folder._lock.acquire()
        path.mkdir(mode=0o700)
        return folder

    def close(self) -> None:
        """Delete the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def photo(self, path: object) -> PhotoFile:
        """What a client says about its photograph, checked. Raises UploadError where it is not a file of this folder."""
        if not isinstance(path, str) or not path or len(path) > 1000:
            raise UploadError(GONE)
        photo = PhotoFile(Path(path), self.path)
        photo.check()
        return photo

    def save(self, content: bytes, ending: str) -> PhotoFile:
        """Save a picture that was made here. It is kept as long as an upload. ``ending``: such as ".jpg"."""
        path = self.path / f"{hashlib.sha256(content).hexdigest()}{ending}"
        if not path.exists():
            write_atomically(path, content)
            self._used += len(content)
        return PhotoFile(path, self.path)

    def admit(self, address: str, size: int) -> None:
        """Call before ``size`` bytes are written. Raises UploadError if there is no room, or no more for this address."""
        if self._used + size > self.limit:
            self.sweep()
        if self._used + size > self.limit:
            raise UploadError(FULL)
        if not self._quota.add(address, size):
            raise UploadError(TOO_MUCH)
        self._used += size

    def sweep(self) -> None:
        """Delete what is too old, and count what is left."""
        oldest, used = time.time() - self.keep, 0
        for root, folders, files in os.walk(self.path, topdown=False):
            for name in files:
                file = Path(root, name)
                with contextlib.suppress(OSError):
                    found = file.lstat()
                    if found.st_mtime < oldest:
                        file.unlink()
                    else:
                        used += found.st_size
            for name in folders:
                with contextlib.suppress(OSError):  # it is not empty
                    if Path(root, name).stat().st_mtime < oldest:
                        Path(root, name).rmdir()
        self._used = used
        self._quota.forget()


def _private_parent() -> Path:
    """This user's own folder among the temporary ones, which others can neither read nor replace. Raises UploadError."""
    user = str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()
    try:
        path = Path(tempfile.gettempdir()) / f"fedgai-{user}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
            raise UploadError(f"{path} belongs to somebody else: set TMPDIR to a folder of your own.")
        path.chmod(0o700)
        trial = path / f"trial-{secrets.token_hex(8)}"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise UploadError(
            f"There is no folder for temporary files that can be written ({error.strerror}): set TMPDIR to one."
        ) from error
    return path


def _delete_unless_in_use(path: Path) -> None:
    """A folder of photographs, and its lock, unless a process that is still there holds it."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        with lock.acquire(timeout=0):
            shutil.rmtree(path, ignore_errors=True)
    except (Timeout, OSError):
        return
    Path(lock.lock_file).unlink(missing_ok=True)
