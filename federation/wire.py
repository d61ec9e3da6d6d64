"""What both sides of the federation must agree on: the calls, their headers, how tensors are sent, and an update's size."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord
from torch import Tensor

from fedgai.line_choice import EVERY_LINE, LineChoice
from fedgai.model import PRESETS

FLEET = frozenset(
    {
        "activate-node",
        "confirm-message-received",
        "deactivate-node",
        "get-fab",
        "get-run",
        "pull-messages",
        "pull-object",
        "push-messages",
        "push-object",
        "register-node",
        "send-node-heartbeat",
        "unregister-node",
    }
)
"""Names under /v1/fleet/ of flwr 1.42. Kept here, so that what is reachable from outside does not grow with an update."""

KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER = "flwr-public-key", "flwr-signature", "flwr-timestamp"
FORWARDED = (
    KEY_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    "content-type",
    "accept",
    "flwr-package-name",
    "flwr-package-version",
    "flwr-component-name",
)
"""Headers of a request that reach the SuperLink."""
RETURNED = ("content-type", "content-length", "flwr-version-incompatibility-message", "retry-after")
"""Headers of the SuperLink's answer that reach the caller."""

NONCE = "nonce"
"""Key of a round's config record: random bytes, so that nobody can name the record's object before it is sent."""
NONCE_BYTES = 16

CHUNK = 5 * 2**20  # bytes of an array that Flower sends as one object (FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE)
FRAMING = 1024  # bytes of an object beside its numbers, at most: its type, its children's ids, names
WORDS = 2**17  # bytes of an update's metrics and of what a designer says about itself, at most

CHOICE = "draws-"
"""Before the names of a ``LineChoice``'s numbers, in what a designer says about itself."""

AsgiEvent = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiEvent]]
Send = Callable[[AsgiEvent], Awaitable[None]]


class CallRefusedError(Exception):
    """An answer instead of the SuperLink's: one sentence, for the caller and for the log.

    Args:
        status: of HTTP.
        reason: the sentence.
        retry: seconds until another try makes sense, or 0.
    """

    def __init__(self, status: int, reason: str, retry: float = 0) -> None:
        super().__init__(reason)
        self.status, self.reason, self.retry = status, reason, retry


@dataclass(frozen=True)
class UpdateSize:
    """The most that one update of a preset consists of, as Flower sends it.

    Attributes:
        objects: the message, its content, its three records, and each tensor with its chunks.
        depth: of the tree that these objects form.
        bytes: of all objects together.
        largest: bytes of one object.
    """

    objects: int
    depth: int
    bytes: int
    largest: int


@lru_cache
def update_size(preset: str) -> UpdateSize:
    """How large an update may be. Raises KeyError for a preset that does not exist."""
    shapes = [tuple(tensor.shape) for tensor in PRESETS[preset].discriminator().shared().values()]
    arrays = [2 * math.prod(shape) + 128 for shape in shapes]  # float16, and numpy's header
    objects = 5 + sum(1 + math.ceil(size / CHUNK) for size in arrays)
    largest = max(*(min(size, CHUNK) for size in arrays), WORDS) + FRAMING + 128 * objects
    return UpdateSize(objects, 5, sum(arrays) + WORDS + objects * (FRAMING + 128), largest)


def fleet_call(scope: Scope) -> str:
    """Which of FLEET a request is for: as it was written, without decoding, without a query. Raises CallRefusedError."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    start = b"/v1/fleet/"
    call = path[len(start) :].decode("latin-1") if path.startswith(start) else ""
    if scope["method"] != "POST" or call not in FLEET or scope.get("query_string"):
        raise CallRefusedError(404, "there is nothing here")
    return call


def headers_of(scope: Scope) -> dict[str, str]:
    """By lower-case name. Of a header that comes twice the first counts: what is checked here is what goes on."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return headers


def pack(tensors: dict[str, Tensor]) -> ArrayRecord:
    """Tensors of ``Discriminator.shared`` -> what is sent: the same names, float16."""
    return ArrayRecord({name: Array(value.cpu().half().numpy()) for name, value in tensors.items()})


def unpack(record: ArrayRecord) -> dict[str, Tensor]:
    """The other way, float32. Raises ValueError for anything but plain arrays (numpy unpickles nothing)."""
    return {name: torch.from_numpy(np.array(array.numpy(), np.float32)) for name, array in record.items()}


def choice_record(choice: LineChoice) -> dict[str, float]:
    """Which lines a hand draws, as an update says it."""
    return {CHOICE + name: float(value) for name, value in asdict(choice).items()}


def choice_from(record: Mapping[str, object]) -> LineChoice:
    """The opposite; every line if the update does not say which. Raises FedGAIError for values outside the allowed range."""
    sent = {name.removeprefix(CHOICE): value for name, value in record.items() if name.startswith(CHOICE)}
    return LineChoice.from_json(sent) if sent else EVERY_LINE
