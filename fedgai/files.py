"""Files that are whole or absent: written to a temporary file beside them, onto the disk, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file. A reader, and a machine that loses power, has the old content or the new one, never a part of either.

    Args:
        path: of the file. Its folder must exist.
        content: all of it.
        mode: permissions of the new file (POSIX).

    Raises:
        OSError: the file cannot be written; ``filename`` is its path. The old one is still there, and nothing is left beside it.
    """
    temp_path = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}.tmp")
    try:
        with open(os.open(temp_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp_path, path)
    except BaseException as error:
        temp_path.unlink(missing_ok=True)
        _name(error, path, temp_path)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name to write a file to, for libraries that want a name. It becomes ``path`` when the block ends well.

    Where nothing was written, nothing happens. The name is hidden, and has no ending that a library could go by.

    Raises:
        OSError: the file cannot be written; ``filename`` is its path. An old one is still there, and nothing is left beside it.

    Example:
        >>> with replacing(Path("coat.png")) as temp_path:  # doctest: +SKIP
        ...     image.save(temp_path, "PNG")
    """
    temp_path = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}.tmp")
    try:
        yield temp_path
        if temp_path.exists():
            put_in_place(temp_path, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # on a read-only disk there is nothing to take away
            temp_path.unlink(missing_ok=True)
        _name(error, path, temp_path)
        raise


def put_in_place(temp_path: Path, path: Path) -> None:
    """Give a file, or all that was written to it, another name on the same disk, in place of the file that had it."""
    sync_file(temp_path)
    os.replace(temp_path, path)
    sync_folder(path.parent)


def _name(error: BaseException, path: Path, temp_path: Path) -> None:
    """A full disk does not say which file it was, and nobody knows the temporary one."""
    if isinstance(error, OSError) and error.errno and error.filename in (None, str(temp_path)):
        error.filename, error.filename2 = str(path), None


def sync_file(path: Path) -> None:
    """Have a file's content on the disk before this returns. It must be writable."""
    with path.open("r+b") as file:  # Windows refuses fsync for a file that was opened to be read
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Have a folder's list of files on the disk before this returns, where the system can (Windows cannot)."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
