"""Designers who asked to be let in: keys that belong to no member, so that the operator can approve one without copying it."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from federation.identity import IdentityError, fingerprint, public_key
from federation.server.folder import Folder
from fedgai.errors import FedGAIError

log = logging.getLogger("fedgai.gateway")

FILE = "knocks.json"
KEPT = 20  # keys, the newest
FROM_ONE_ADDRESS = 5  # of them
AGAIN = 60.0  # seconds after which a key that knocks again is written again


@dataclass(frozen=True)
class Knock:
    """One key that belongs to no member.

    Attributes:
        key: one OpenSSH line.
        address: that it came from last.
        first, last: when it came, ISO 8601 in UTC.
    """

    key: str
    address: str
    first: str
    last: str

    @property
    def fingerprint(self) -> str:
        """As the designer's own machine shows it."""
        return fingerprint(self.key)


def knocks(folder: Folder) -> list[Knock]:
    """Keys that asked to be let in and belong to no member, the newest first. Entries that cannot be read are left out."""
    try:
        entries = folder.read(FILE, [])
    except FedGAIError:
        return []
    known = {member.key for member in folder.members()}
    found = [knock for knock in map(_knock, entries if isinstance(entries, list) else []) if knock is not None]
    return sorted((k for k in found if k.key not in known), key=lambda k: k.last, reverse=True)


class Knocks:
    """Writes down who knocks. May be called for every request.

    Args:
        folder: the federation's.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._written: dict[str, float] = {}  # key -> monotonic seconds
        self._lock = threading.Lock()

    def note(self, key: str, address: str) -> None:
        """Keep a key, one OpenSSH line whose owner has signed with it. Never raises."""
        with self._lock:
            before = self._written.get(key)
            if before is not None and time.monotonic() - before < AGAIN:
                return
            try:
                self._write(key, address)
                self._written = {k: t for k, t in self._written.items() if time.monotonic() - t < AGAIN}
                self._written[key] = time.monotonic()
            except (OSError, FedGAIError) as error:
                log.warning("who knocked cannot be written down: %s", error)
                return
        if before is None:
            name = fingerprint(key)
            advice = f"approve it in the panel, or with `python -m federation.operator approve {name} --name NAME`"
            log.info("a designer with the key %s (%s) asks to be let in: %s", name, address, advice)

    def _write(self, key: str, address: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        found = knocks(self._folder)
        knock_of_key = next((k for k in found if k.key == key), Knock(key, address, now, now))
        kept, counts = [replace(knock_of_key, address=address, last=now)], Counter([address])
        for knock in found:
            counts[knock.address] += knock.key != key
            if knock.key != key and counts[knock.address] <= FROM_ONE_ADDRESS:
                kept.append(knock)
        self._folder.write(FILE, [asdict(knock) for knock in kept[:KEPT]])


def _knock(entry: Any) -> Knock | None:
    try:
        key = public_key(entry["key"])
        texts = [entry[name] for name in ("address", "first", "last")]
    except (TypeError, KeyError, AttributeError, IdentityError):
        return None
    if not all(isinstance(text, str) and text.isprintable() and len(text) <= 60 for text in texts):
        return None
    return Knock(key, *texts)
