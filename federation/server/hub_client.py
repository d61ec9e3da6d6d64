"""The Hugging Face Hub, as the federation uses it: requests that fail at once, and errors in one sentence.

Read from huggingface_hub 2.4.0, of which ``default_client_factory`` is private, and whose client's ``send`` is replaced.
Nothing else of the federation touches those names; ``tests/test_hub_client.py`` fails when an update moves one of them.
"""

from __future__ import annotations

import contextvars
import email.utils
import hashlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_raise_for_status, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils._http import default_client_factory
from huggingface_hub.utils.tqdm import disable_progress_bars

import fedgai
from fedgai import hub_files
from fedgai.errors import FedGAIError
from fedgai.hub_files import Problem, git_hash, reason
from fedgai.model import CheckpointError

READ_FROM = "2.4.0"
"""The release of huggingface_hub that this file was written against."""

TIMEOUT = {"connect": 10.0, "read": 30.0, "write": 30.0, "pool": 10.0}  # seconds
RETRIED = {408, 429, 500, 502, 503, 504}  # that huggingface_hub would ask again by itself, for minutes
FILES = 100_000  # of a repository's list that are read
ROUND_TAG = re.compile(r"round-(\d{4,9})")


class HubError(FedGAIError):
    """The Hub is away or refuses; one sentence says what is wrong and what to do.

    Attributes:
        wait: seconds that the Hub asked to be left alone for.
        lasting: it will not go away by itself.
    """

    def __init__(self, sentence: str, wait: float = 0.0, lasting: bool = False) -> None:
        super().__init__(sentence)
        self.wait, self.lasting = wait, lasting


class WithheldError(HubError):
    """The Hub would take it, but it must not go there."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, lasting=True)


class HubRepository:
    """One model repository. Every method raises what huggingface_hub does; ``explained`` turns it into a HubError.

    Args:
        repo_id: "owner/name".
        token: None for a public one; a token that nobody gave is not looked for on this machine.
        endpoint: of another Hub than huggingface_hub's default.
    """

    def __init__(self, repo_id: str, token: str | None = None, endpoint: str | None = None) -> None:
        self.repo_id, self.token = repo_id, token
        self.api = HfApi(endpoint=endpoint, token=token or False, library_name="fedgai", library_version=fedgai.__version__)

    def refs(self) -> tuple[str | None, dict[int, str]]:
        """Commit at the head of main, or None if there is no commit; and of every round that is tagged."""
        refs = self.api.list_repo_refs(self.repo_id)
        main = next((branch.target_commit for branch in refs.branches if branch.name == "main"), None)
        return main, {int(m[1]): tag.target_commit for tag in refs.tags if (m := ROUND_TAG.fullmatch(tag.name))}

    def is_private(self) -> bool:
        """Whether only its owners can read it."""
        return bool(self.api.repo_info(self.repo_id).private)

    def tree(self, revision: str) -> dict[str, int]:
        """path -> bytes."""
        files = itertools.islice(self.api.list_repo_tree(self.repo_id, recursive=True, revision=revision), FILES)
        return {file.path: file.size for file in files if isinstance(file, RepoFile)}

    def content_hash(self, path: str, revision: str) -> str | None:
        """What a file's content is known by (see ``content_hashes``). Returns None if there is no such file."""
        found = self.api.get_paths_info(self.repo_id, [path], revision=revision)
        for file in found:
            if file.path == path and isinstance(file, RepoFile):
                return file.lfs.sha256 if file.lfs else file.blob_id
        return None

    def fetch(self, revision: str, path: str, folder: Path, limit: int) -> bytes:
        """One file's content, checked, by way of a folder. Raises CheckpointError where it is larger than ``limit`` bytes."""
        source: dict[str, Any] = {"cache_dir": folder, "endpoint": self.api.endpoint, "token": self.api.token}
        file = hub_files.fetch(self.repo_id, path, revision=revision, **source)
        if file.stat().st_size > limit:
            raise CheckpointError(f"{self.repo_id}: {path} is larger than {limit:,} bytes: it was refused")
        return file.read_bytes()


def content_hashes(content: bytes) -> set[str]:
    """What the Hub may know a file's content by: git's hash, or SHA-256 where it is kept as a large file."""
    return {git_hash(content), hashlib.sha256(content).hexdigest()}


# -- requests ----------------------------------------------------------------------------------------------------------------

_is_impatient: contextvars.ContextVar[bool] = contextvars.ContextVar("_is_impatient", default=False)
_prepare = threading.Lock()
_prepared = False


@contextmanager
def impatient_requests() -> Iterator[None]:
    """Requests in here have time-outs, and fail at once rather than be repeated inside huggingface_hub: its client has
    neither, and sleeps through a Retry-After. Other users of it in this process only miss their progress bars."""
    global _prepared
    with _prepare:
        if not _prepared:
            set_client_factory(_client)
            disable_progress_bars()
            _prepared = True
    reset = _is_impatient.set(True)
    try:
        yield
    finally:
        _is_impatient.reset(reset)


def _client() -> Any:
    client = default_client_factory()
    send: Callable[..., Any] = client.send

    def send_with_timeouts(request: Any, **kwargs: Any) -> Any:
        if not _is_impatient.get():
            return send(request, **kwargs)
        wanted = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = {name: wanted.get(name) or seconds for name, seconds in TIMEOUT.items()}
        try:
            response = send(request, **kwargs)
            if response.status_code in RETRIED:
                response.read()
        except OfflineModeIsEnabled:
            raise
        except Exception as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        if response.status_code in RETRIED:
            hf_raise_for_status(response)
        return response

    client.send = send_with_timeouts  # type: ignore[method-assign]  # the one place that sees every request
    return client


# -- errors ------------------------------------------------------------------------------------------------------------------


WAITING = "rounds wait here and are tried again"
ADVICE = {
    Problem.OFFLINE: "unset it to push rounds",
    Problem.UNREACHABLE: WAITING,
    Problem.WRONG_TOKEN: "set HF_TOKEN to a valid one",
    Problem.FORBIDDEN: "give it write access, or set HF_TOKEN to one that has it",
    Problem.NO_REPOSITORY: "check FEDGAI_HUB_REPO",
    Problem.NO_REVISION: "check FEDGAI_HUB_REPO",
    Problem.NO_FILE: "check FEDGAI_HUB_REPO",
    Problem.CHANGED: "tried again",
    Problem.TOO_MANY: WAITING,
    Problem.HUB_FAILS: WAITING,
}
"""What the operator is to do, or what happens next."""

LASTING = {
    Problem.OFFLINE,
    Problem.NO_TOKEN,
    Problem.WRONG_TOKEN,
    Problem.FORBIDDEN,
    Problem.NO_REPOSITORY,
    Problem.NO_REVISION,
    Problem.NO_FILE,
}
"""Problems that do not go away by themselves."""


def is_missing(error: BaseException) -> bool:
    """Whether the Hub says that there is no such repository (404), as it does for a private one without a token, too."""
    return isinstance(error, RepositoryNotFoundError) and error.response.status_code == 404


def explained(error: BaseException, repo_id: str, *, has_token: bool = True) -> HubError:
    """Whatever went wrong, in one sentence for the operator.

    Args:
        error: what was raised.
        repo_id: the repository.
        has_token: whether the Hub was asked with one.
    """
    if isinstance(error, HubError):
        return error
    why = reason(error, repo_id, action="write to", has_token=has_token)
    response = why.cause.response if isinstance(why.cause, HfHubHTTPError) else None
    text = why.text[:1].upper() + why.text[1:]
    if why.problem is Problem.NO_TOKEN and response is not None:
        advice = "if it is private, set HF_TOKEN to a token that may read it"
        text = f"The Hub has no repo {repo_id} that everybody may read ({response.status_code}): {advice}"
    elif why.problem in ADVICE:
        text += f": {ADVICE[why.problem]}"
    elif why.problem is Problem.OTHER:
        text = f"The Hub could not be used for {repo_id} ({type(why.cause).__name__}: {why.text})"
    return HubError(f"{text}.", 0.0 if response is None else _retry_after(response.headers), why.problem in LASTING)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the Hub asks to be left alone for, 0 where it does not say."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    if value:
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            return 0.0
    reset = re.search(r"\br=0\b.*?\bt=(\d{1,6})", headers.get("RateLimit", ""))
    return float(reset[1]) if reset else 0.0
