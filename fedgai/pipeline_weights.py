"""The weights of a text-to-image pipeline of diffusers: in a folder, in the Hub's cache, or fetched and checked."""

from __future__ import annotations

import errno
import io
import json
import logging
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from tqdm import tqdm

from fedgai.environment import VariableError
from fedgai.errors import FedGAIError
from fedgai.hub_files import DamagedError, Problem, fetch, fetch_folder, reason

log = logging.getLogger(__name__)

OWN = (None, "diffusers", "transformers", "stable_diffusion")  # where a pipeline's parts may come from; the last is diffusers'
UNWANTED = ["*.fp16.*", "*.bf16.*", "*.non_ema.*"]


class ImagineError(FedGAIError):
    """Words or weights that cannot be used. One sentence that says what to do."""


class Cancelled(Exception):  # noqa: N818 - nothing went wrong
    """Raised by a callback that wants no more; it comes out of whatever was called."""


class PipelineWeights:
    """Where a pipeline's weights are.

    Args:
        given: a folder, or OWNER/NAME on the Hub, with @REVISION behind it where it is to be pinned.

    Attributes:
        name: the folder or repository, for people.
        revision: as given; None for the newest.

    Raises:
        ImagineError: ``given`` is neither.
    """

    def __init__(self, given: str) -> None:
        self._folder = Path(given) if Path(given).is_dir() else None
        self.name, _, revision = (self._folder.resolve().name, "", "") if self._folder else given.partition("@")
        if not self._folder and not re.fullmatch(r"[\w.-]+/[\w.-]+", self.name):
            raise ImagineError(f"{given!r} is neither a folder nor OWNER/NAME of the Hub: set FEDGAI_IMAGINE to one.")
        self.revision = revision or None

    def locate(self, on_bytes: Callable[[int, int], None]) -> Path:
        """Their folder, with all that is missing fetched. After a failure it may be called again.

        Args:
            on_bytes: called with (bytes so far, bytes to come in all) while something is fetched; may raise Cancelled.

        Raises:
            ImagineError: they cannot be downloaded; the message says why, and how to put them in place.
        """
        if self._folder:
            return self._folder
        try:
            return self._fetch(on_bytes)
        except (ImagineError, Cancelled):
            raise
        except VariableError as error:
            raise ImagineError(str(error)) from error
        except DamagedError as error:
            raise ImagineError(f"{error.file} of {self.name} arrived damaged (wrong SHA-256) and is gone: try again.") from error
        except Exception as error:  # of a client, a network and a disk: whatever it is, the visitor gets one line
            raise ImagineError(self._why(error)) from error

    def index(self, folder: Path) -> dict[str, Any]:
        """model_index.json, where every part of the pipeline is of diffusers or transformers themselves."""
        try:
            index: dict[str, Any] = json.loads((folder / "model_index.json").read_text())
            parts = {name: part for name, part in index.items() if isinstance(part, list)}
            foreign = [name for name, part in parts.items() if part[0] not in OWN]
        except (OSError, ValueError, AttributeError, IndexError) as error:
            raise ImagineError(
                f"{self.name} is not a diffusers pipeline: it has no model_index.json that can be read."
            ) from error
        if foreign or not isinstance(index.get("_class_name"), str):
            what = ", ".join(sorted(foreign)) or "the pipeline"
            raise ImagineError(
                f"{self.name} needs its own Python code ({what}), which FedGAI does not run for safety: set FEDGAI_IMAGINE to "
                "another pipeline."
            )
        return index

    def _fetch(self, on_bytes: Callable[[int, int], None]) -> Path:
        """From the cache if it is whole, without a question to the Hub where the revision is pinned; else from the Hub."""
        index = fetch(self.name, "model_index.json", revision=self.revision)
        revision, patterns = index.parent.name, _files(self.index(index.parent))
        wanted: dict[str, Any] = {"revision": revision, "allow_patterns": patterns, "ignore_patterns": UNWANTED}
        try:
            folder = Path(snapshot_download(self.name, **wanted, local_files_only=True))
            if all((folder / pattern).parent.is_dir() for pattern in patterns):
                return folder
        except LocalEntryNotFoundError:
            pass  # not all of it
        listed = snapshot_download(self.name, **wanted, dry_run=True, tqdm_class=_bars(lambda done: None))
        total = sum(file.file_size or 0 for file in listed if file.will_download)
        free = shutil.disk_usage(_existing(Path(constants.HF_HUB_CACHE))).free
        if total > free:
            raise OSError(errno.ENOSPC, f"{total / 1e9:.1f} GB are to come and {free / 1e9:.1f} GB are free")
        on_bytes(0, total)
        bars = _bars(lambda done: on_bytes(min(done, total), total))
        return fetch_folder(self.name, revision=revision, patterns=patterns, unwanted=UNWANTED, tqdm_class=bars)

    def _why(self, error: BaseException) -> str:
        """One line: what is missing, why, and what to do."""
        why = reason(error, self.name)
        if why.problem is Problem.NO_ROOM:
            return (
                f"There is no room for the weights of {self.name} in {constants.HF_HUB_CACHE}: make room, or set HF_HOME to "
                "another disk, then try again."
            )
        text = "the repository is not a diffusers pipeline" if why.problem is Problem.NO_FILE else why.text
        revision = f" --revision {self.revision}" if self.revision else ""
        return (
            f"The weights of {self.name} cannot be downloaded: {text}. Put them in place with `hf download "
            f"{self.name}{revision}` or set FEDGAI_IMAGINE to the folder of a diffusers pipeline, then try again."
        )


def _files(index: Mapping[str, Any]) -> list[str]:
    """Patterns of what a pipeline needs: configuration, vocabulary and safetensors of each of its parts."""
    parts = [name for name, part in index.items() if isinstance(part, list) and part[0]]
    return ["model_index.json", *(f"{part}/*.{ending}" for part in parts for ending in ("json", "txt", "model", "safetensors"))]


if TYPE_CHECKING:
    _Bar = tqdm[Any]
else:
    _Bar = tqdm  # generic in its types, but not when it runs


def _bars(report: Callable[[int], None]) -> type[Any]:
    """Progress bars for huggingface_hub that show nothing, and say how many bytes have come in all."""

    class Silent(_Bar):
        def __init__(self, *args: Any, name: str = "", **options: Any) -> None:
            self.bytes = options.get("unit") == "B"
            super().__init__(*args, **{**options, "file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if self.bytes:
                report(int(self.n))
            return shown

    return Silent


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
