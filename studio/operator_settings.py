"""What the studio's environment variables say. An empty one means its default; a wrong one is refused with its name."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fedgai.errors import FedGAIError

MEGABYTE = 2**20


class SettingError(FedGAIError):
    """An environment variable that cannot be used. The sentence names it."""


@dataclass(frozen=True)
class OperatorSettings:
    """What an operator may set.

    Attributes:
        cache_bytes: memory for photographs that are ready to draw.
        keep_seconds: how long uploaded photographs stay on the server's disk.
        upload_bytes: the most that all uploaded photographs take there.
    """

    cache_bytes: int
    keep_seconds: int
    upload_bytes: int


def from_environment() -> OperatorSettings:
    """Raises SettingError."""
    whole_number("FEDGAI_PROXIES", os.environ.get("FEDGAI_PROXIES"), 0, 0, 99)  # read by federation/address.py
    return OperatorSettings(
        cache_bytes=MEGABYTE * whole_number("FEDGAI_CACHE_MB", os.environ.get("FEDGAI_CACHE_MB"), 512, 1, 2**20),
        keep_seconds=60 * whole_number("FEDGAI_KEEP_MINUTES", os.environ.get("FEDGAI_KEEP_MINUTES"), 60, 1, 10_000),
        upload_bytes=MEGABYTE * whole_number("FEDGAI_UPLOADS_MB", os.environ.get("FEDGAI_UPLOADS_MB"), 2048, 64, 2**20),
    )


def whole_number(name: str, value: str | None, default: int, low: int, high: int) -> int:
    """The value of an environment variable.

    Args:
        name: of the variable, for the sentence.
        value: as it was found, or None.
        default: for an empty or absent one.
        low, high: what it may be.

    Raises:
        SettingError: it is not a whole number within these.

    Example:
        >>> whole_number("FEDGAI_CACHE_MB", "", 512, 1, 4096)
        512
    """
    text = (value or "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 12 and low <= int(text) <= high):
        raise SettingError(f"{name} is {text[:40]!r}: set it to a whole number from {low} to {high}, or leave it empty.")
    return int(text)
