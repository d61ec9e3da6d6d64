"""What both sides of the federation must agree on: the calls, their headers, and how tensors cross the wire."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord
from torch import Tensor

FLEET = frozenset({
    "activate-node", "confirm-message-received", "deactivate-node", "get-fab", "get-run", "pull-messages", "pull-object",
    "push-messages", "push-object", "register-node", "send-node-heartbeat", "unregister-node",
})  # fmt: skip
"""Names under /v1/fleet/ of flwr 1.41. Kept here, so that what is reachable from outside does not grow with an update."""

KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER = "flwr-public-key", "flwr-signature", "flwr-timestamp"

KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER = "flwr-public-key", "flwr-signature", "flwr-timestamp"
FORWARDED = (
    KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, "content-type", "accept", "flwr-package-name",
    "flwr-package-version", "flwr-component-name",
)  # fmt: skip
RETURNED = ("content-type", "content-length", "flwr-version-incompatibility-message", "retry-after")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class RefusedError(Exception):
    """An answer instead of the SuperLink's: one sentence, for whoever called and for the log.

    Args:
        status: of HTTP.
        reason: the sentence.
        retry: seconds until another try makes sense, or 0.
    """

    def __init__(self, status: int, reason: str, retry: float = 0) -> None:
        super().__init__(reason)
        self.status, self.reason, self.retry = status, reason, retry


def fleet_call(scope: Scope) -> str:
    """Which of FLEET a request is for: as it was written, without decoding, without a query. Raises RefusedError."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    start = b"/v1/fleet/"
    call = path[len(start):].decode("latin-1") if path.startswith(start) else ""
    if scope["method"] != "POST" or call not in FLEET or scope.get("query_string"):
        raise RefusedError(404, "there is nothing here")
    return call


def headers_of(scope: Scope) -> dict[str, str]:
    """By lower-case name; of one that comes twice, the first: what is checked here is what goes on."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return headers


def plain(line: str) -> str:
    """One line of a log: no line breaks or terminal codes from outside."""
    return "".join(c if c.isprintable() else "?" for c in line)[:400]


def pack(tensors: dict[str, Tensor]) -> ArrayRecord:
    """Tensors of ``Discriminator.shared`` -> what crosses the wire: the same names, float16."""
    return ArrayRecord({name: Array(value.cpu().half().numpy()) for name, value in tensors.items()})


def unpack(record: ArrayRecord) -> dict[str, Tensor]:
    """The other way, float32. Raises ValueError for anything but plain arrays (numpy is told to unpickle nothing)."""
    return {name: torch.from_numpy(np.array(array.numpy(), np.float32)) for name, array in record.items()}
