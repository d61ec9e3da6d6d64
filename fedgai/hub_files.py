"""Files from the Hugging Face Hub: fetched, checked against their checksums, and what went wrong in plain words.

Files come through the Hub's own client, so its cache, HF_TOKEN, HF_ENDPOINT (a mirror) and HF_HUB_OFFLINE mean what they mean
everywhere. That client compares sizes only. What comes through here is compared with a checksum too: with a given SHA-256, or
with the one that the Hub names the file by.

>>> try:
...     path = fetch("owner/name", "model.safetensors")
... except Exception as error:
...     print(reason(error, "owner/name").text)
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import constants, get_token, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RevisionNotFoundError,
)

from fedgai.environment import check_network
from fedgai.errors import FedGAIError
from fedgai.text import printable

log = logging.getLogger(__name__)

CHECKED = ".fedgai-checked.json"  # beside the Hub's own folders for a repository: which files were checked, and found right
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
NOT_WRITTEN = {errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO}
NETWORK = ("httpx", "httpx2")  # the packages whose errors huggingface_hub lets through: httpx before its 2.4


class DamagedError(FedGAIError):
    """A file has another checksum than it should have; it was deleted. One sentence.

    Attributes:
        file: its path in the repository.
    """

    def __init__(self, file: str) -> None:
        super().__init__(f"{file} arrived damaged (wrong SHA-256) and was deleted: try again")
        self.file = file


# -- fetching ----------------------------------------------------------------------------------------------------------------


def cached(repo: str, file: str, *, revision: str | None = None, sha256: str | None = None) -> Path | None:
    """A file that is in the cache and right, found without a request to the Hub. Where its checksum is wrong, it is deleted.

    Args:
        repo, file, revision, sha256: see ``fetch``.
    """
    found = try_to_load_from_cache(repo, file, revision=revision)
    return Path(found) if isinstance(found, str) and is_right(Path(found), sha256) else None


def fetch(repo: str, file: str, *, revision: str | None = None, sha256: str | None = None, **options: Any) -> Path:
    """One file, in the cache: fetched where it is not there yet, and checked. Nothing is left half-written.

    Args:
        repo: "owner/name".
        file: its path in the repository.
        revision: a branch, a tag or a commit; None for the newest of main.
        sha256: in hexadecimal; None for the checksum that the Hub names the file by.
        options: as ``hf_hub_download`` takes them: cache_dir, endpoint, token.
    Raises:
        DamagedError: another checksum. Besides, whatever huggingface_hub raises; ``reason`` puts each of them into words.
        VariableError: a variable of the environment makes requests impossible.
    """
    check_network()
    path = Path(hf_hub_download(repo, file, revision=revision, library_name="fedgai", **options))
    if not is_right(path, sha256):
        raise DamagedError(file)
    return path


def fetch_folder(
    repo: str, *, revision: str | None = None, patterns: Sequence[str], unwanted: Sequence[str] = (), **options: Any
) -> Path:
    """Some files of a repository, in the cache: fetched where they are not there yet, and each of them checked.

    Args:
        repo, revision: see ``fetch``.
        patterns: which files, as "vae/*.json".
        unwanted: which of them not.
        options: as ``snapshot_download`` takes them: cache_dir, force_download, local_files_only, token, tqdm_class.
    Returns:
        the folder of this revision.
    Raises: see ``fetch``.
    """
    check_network()
    chosen: dict[str, Any] = {"allow_patterns": list(patterns), "ignore_patterns": list(unwanted), **options}
    folder = Path(snapshot_download(repo, revision=revision, library_name="fedgai", **chosen))
    for path in folder.rglob("*"):
        file = path.relative_to(folder).as_posix()
        wanted = any(fnmatch(file, pattern) for pattern in patterns) and not any(fnmatch(file, pattern) for pattern in unwanted)
        if wanted and path.is_file() and not is_right(path):
            raise DamagedError(file)
    return folder


# -- checking ----------------------------------------------------------------------------------------------------------------


def is_right(path: Path, sha256: str | None = None) -> bool:
    """Whether a file in the cache has the checksum that it should have. Hashed once, and remembered; deleted where not.

    Args:
        path: as huggingface_hub returns it.
        sha256: in hexadecimal. None for what the cache names the file by: the SHA-256 of a large file, git's hash of another
            one. A file with any other name, as of a cache without symbolic links, counts as right.
    """
    blob = path.resolve()
    checksum = sha256 or blob.name
    if not re.fullmatch("[0-9a-f]{64}|[0-9a-f]{40}", checksum):
        return True
    note, facts = blob.parent.parent / CHECKED, blob.stat()
    mark = [checksum, facts.st_size, facts.st_mtime_ns]
    try:
        checked = json.loads(note.read_text())
    except (OSError, ValueError):
        checked = []
    if mark in checked:
        return True
    if checksum != (sha256_of(blob) if len(checksum) == 64 else git_hash(blob.read_bytes())):
        path.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
        return False
    try:
        note.write_text(json.dumps([*checked, mark]))
    except OSError as error:  # a cache that may only be read: hashed again next time
        log.debug("%s cannot be written: %s", note, error)
    return True


def sha256_of(file: Path) -> str:
    """In hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def git_hash(content: bytes) -> str:
    """What git, and so the Hub, names a file with this content by: 40 hexadecimal digits."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


# -- what went wrong ---------------------------------------------------------------------------------------------------------


class Problem(Enum):
    """What can go wrong between this machine and the Hub, and how to say it: part of a sentence.

    ``{repo}`` is the repository, ``{action}`` what was tried ("read"), ``{cache}`` the cache's folder, and ``{detail}`` the
    status of the Hub's answer, or what the error itself says.
    """

    OFFLINE = "HF_HUB_OFFLINE forbids requests to the Hub"
    UNREACHABLE = "the Hub cannot be reached, or the connection broke off ({detail})"
    NO_TOKEN = "the Hub wants a token (HF_TOKEN), or does not know the repository ({detail})"
    WRONG_TOKEN = "the Hub does not accept the token (HF_TOKEN) for {repo} ({detail})"
    FORBIDDEN = "the token (HF_TOKEN) may not {action} {repo} ({detail})"
    NO_REPOSITORY = "the Hub does not know the repository {repo}, or the token may not see it ({detail})"
    NO_REVISION = "the Hub does not have this revision of {repo} ({detail})"
    NO_FILE = "the Hub does not find it in {repo} ({detail})"
    CHANGED = "somebody else changed {repo} meanwhile ({detail})"
    TOO_MANY = "the Hub asks for fewer requests ({detail})"
    HUB_FAILS = "the Hub has trouble of its own ({detail})"
    REFUSED = "the Hub refuses the request for {repo} ({detail})"
    NO_ROOM = "there is no room for it in {cache} ({detail})"
    NOT_WRITTEN = "it cannot be written to {cache} ({detail})"
    DAMAGED = "the file that came has the wrong SHA-256, so it was deleted; try again"
    OTHER = "{detail}"


STATUS = {
    401: Problem.WRONG_TOKEN,
    403: Problem.FORBIDDEN,
    404: Problem.NO_REPOSITORY,
    408: Problem.HUB_FAILS,
    409: Problem.CHANGED,
    412: Problem.CHANGED,
    429: Problem.TOO_MANY,
}


@dataclass(frozen=True)
class Reason:
    """Why something with the Hub failed.

    Attributes:
        problem: which kind it is.
        text: one line, to go on with after a colon.
        cause: the error that says most, of the one that was given and those that led to it.
    """

    problem: Problem
    text: str
    cause: BaseException


def reason(error: BaseException, repo: str, *, action: str = "read", has_token: bool | None = None) -> Reason:
    """Put an error of huggingface_hub, or of this file, into words.

    Args:
        error: what was raised.
        repo: "owner/name".
        action: what was tried: "read", or "write to".
        has_token: whether the Hub was asked with a token; None: with the one that huggingface_hub finds, if it finds one.
    """
    for cause in _causes(error):
        problem = _problem(cause)
        if problem is not None:
            break
    else:
        missing = isinstance(error, LocalEntryNotFoundError)  # it does not say why it has not been fetched
        problem = (Problem.OFFLINE if constants.HF_HUB_OFFLINE else Problem.UNREACHABLE) if missing else Problem.OTHER
    if problem in (Problem.WRONG_TOKEN, Problem.FORBIDDEN, Problem.NO_REPOSITORY):
        if not (get_token() is not None if has_token is None else has_token):
            problem = Problem.NO_TOKEN
    detail = _detail(cause, problem)
    text = problem.value.format(repo=repo, action=action, cache=constants.HF_HUB_CACHE, detail=detail)
    return Reason(problem, text, cause)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _problem(error: BaseException) -> Problem | None:
    """What this error says; None where it says nothing, but its cause may."""
    if isinstance(error, DamagedError):
        return Problem.DAMAGED
    if isinstance(error, OfflineModeIsEnabled):
        return Problem.OFFLINE
    if isinstance(error, RevisionNotFoundError):
        return Problem.NO_REVISION
    if isinstance(error, RemoteEntryNotFoundError):
        return Problem.NO_FILE
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return STATUS.get(status, Problem.HUB_FAILS if status >= 500 else Problem.REFUSED)
    if isinstance(error, ConnectionError | TimeoutError) or type(error).__module__.split(".")[0] in NETWORK:
        return Problem.UNREACHABLE
    if isinstance(error, OSError) and "Consistency check" in str(error):  # a connection that ended early
        return Problem.UNREACHABLE
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return Problem.NO_ROOM
    return Problem.NOT_WRITTEN if isinstance(error, OSError) and error.errno in NOT_WRITTEN else None


def _detail(error: BaseException, problem: Problem) -> str:
    line = printable((str(error).strip().splitlines() or [""])[0], longest=160) or type(error).__name__
    if isinstance(error, HfHubHTTPError):
        status = str(error.response.status_code)
        return f"{status}: {line}" if problem is Problem.REFUSED else status
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if problem is Problem.UNREACHABLE:
        return line if isinstance(error, ConnectionError) else f"{type(error).__name__}: {line}"
    return line
