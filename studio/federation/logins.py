"""Who is logged in to the operator's panel, and how often a password may be guessed.

Guesses are counted by address, and in all. A browser that has logged in before is known by a cookie of its own and counted
by itself, so that nobody else's guesses keep the operator out (OWASP, "Slow Down Online Guessing Attacks with Device
Cookies"); behind a proxy that says nothing of its callers, all of them have one address.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from federation.address import address_of, trusted_proxies
from federation.server.rates import Buckets, Rate
from fedgai.files import write_atomically

LASTS = 8 * 3600  # s that a login lasts
BY_ADDRESS = Rate(5, 1 / 60)  # wrong passwords of one address
BY_EVERYBODY = Rate(50, 1 / 6)  # wrong passwords of all addresses together
BY_DEVICE = Rate(10, 1 / 60)  # wrong passwords of one browser that has logged in before
DEVICES = 1024  # addresses and devices that are remembered
DEVICE = re.compile(r"([A-Za-z0-9_-]{22})\.([0-9a-f]{64})")


class Logins:
    """Passwords, sessions and known devices.

    Args:
        password: the operator's; not empty.
        key_file: where the key is kept that device cookies are signed with.

    Raises:
        ValueError: the password is empty.
        OSError: ``key_file`` cannot be used.
    """

    def __init__(self, password: str, key_file: Path) -> None:
        if not password:
            raise ValueError("an empty password would let anybody in")
        self._password = hashlib.sha256(password.encode()).digest()
        self._key = _key(key_file)
        self._by_address, self._by_device = Buckets(BY_ADDRESS, DEVICES), Buckets(BY_DEVICE, DEVICES)
        self._by_everybody = Buckets(BY_EVERYBODY, 1)
        # SHA-256 of a login's cookie -> when it ends: whoever reads these hashes cannot log in with them
        self._sessions: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def login(self, password: str, address: str, device: str = "") -> tuple[str, float]:
        """Try a password.

        Args:
            password: what was typed.
            address: that it comes from.
            device: the browser's device cookie, or "".

        Returns:
            a session cookie and 0; or "" and the seconds to wait before the next try, 0 where there is no need to.
        """
        known = self._device(device)
        with self._lock:
            if wait := self._wait(address, known):
                return "", wait
            # digests all have the same length, and the time does not depend on where they differ
            if not hmac.compare_digest(hashlib.sha256(password.encode()).digest(), self._password):
                if known:
                    self._by_device.take(known)
                else:
                    self._by_address.take(address)
                    self._by_everybody.take("")
                return "", self._wait(address, known)
            cookie, now = secrets.token_urlsafe(32), time.monotonic()
            self._sessions = {k: t for k, t in self._sessions.items() if t > now} | {_digest(cookie): now + LASTS}
            return cookie, 0.0

    def session(self, cookie: str) -> bytes | None:
        """The key of a login in the list of sessions. Returns None if nobody is logged in, or the login has ended."""
        key = _digest(cookie)
        with self._lock:
            return key if self._sessions.get(key, 0) > time.monotonic() else None

    def logout(self, session: bytes) -> None:
        """End a login."""
        with self._lock:
            self._sessions.pop(session, None)

    def token(self, session: bytes) -> str:
        """A token that every form of a login carries. A page on another site cannot know it."""
        return hmac.new(self._password, session, "sha256").hexdigest()

    def new_device(self) -> str:
        """A cookie by which a browser is recognised from now on."""
        name = secrets.token_urlsafe(16)
        return f"{name}.{self._sign(name)}"

    def _device(self, cookie: str) -> str:
        """The name of a device; "" for one that is not known."""
        parts = DEVICE.fullmatch(cookie)
        if parts is None or not hmac.compare_digest(self._sign(parts[1]), parts[2]):
            return ""
        return parts[1]

    def _sign(self, name: str) -> str:
        return hmac.new(self._key, name.encode(), "sha256").hexdigest()

    def _wait(self, address: str, device: str) -> float:
        if device:
            return self._by_device.wait(device)
        return max(self._by_address.wait(address), self._by_everybody.wait(""))


def caller(scope: Mapping[str, Any]) -> str:
    """Whose guesses count together: an address; or, behind a proxy on this machine that nobody has declared
    (``FEDGAI_PROXIES``), the address that it says last. Somebody on this machine may lie about that, and gains nothing."""
    address = address_of(scope)
    if trusted_proxies() == 0 and _is_loopback(address):
        forwarded = [value for name, value in scope["headers"] if name.lower() == b"x-forwarded-for"]
        if forwarded:
            return f"{address} for {forwarded[-1].decode('latin-1').split(',')[-1].strip()[:60]}"
    return address


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_network(address, strict=False).is_loopback
    except ValueError:
        return False


def _key(file: Path) -> bytes:
    """The key in a file, which is made where it is not there yet."""
    if file.is_file() and file.stat().st_size == 32:
        return file.read_bytes()
    key = secrets.token_bytes(32)
    write_atomically(file, key)
    return key


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
