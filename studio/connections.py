"""Limits on connections that have not sent a request yet: how long they may take, and how many one address may have.

uvicorn waits for a request's first line and headers without end, and for TLS a minute. Somebody who opens connections and sends
nothing, or a byte now and then, could keep all of them open; three hundred were still open after 79 s.

If there are too many, the connection that has waited longest is closed, not the newest. An honest connection waits only some
milliseconds, so nobody can keep out others who share their address.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from uvicorn.loops.auto import auto_loop_factory
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from federation.address import trusted_proxies

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as _Protocol
else:
    _Protocol = AutoHTTPProtocol

HANDSHAKE = 10.0  # seconds for TLS
HEADERS = 15.0  # seconds for a request's first line and headers, from the connection, or from their first byte, on
HEADER_BYTES = 2**16  # of them
WAITING = 50  # connections of one address that have not sent a full request
ALL_WAITING = 500  # of everybody


def _loop_class() -> Any:
    """Of the event loops that uvicorn would choose: uvloop's where that is installed."""
    loop = auto_loop_factory(use_subprocess=False)()
    loop.close()
    return type(loop)


_waiting: dict[BoundedProtocol, None] = {}  # those that have not sent a full request, the oldest first
_by_address: Counter[str] = Counter()


class Loop(_loop_class()):  # type: ignore[misc]  # whichever there is
    """The event loop of uvicorn's choice, which gives up on TLS after ``HANDSHAKE`` seconds."""

    async def create_server(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("ssl") is not None:
            kwargs.setdefault("ssl_handshake_timeout", HANDSHAKE)
        return await super().create_server(*args, **kwargs)


class BoundedProtocol(_Protocol):
    """HTTP as uvicorn speaks it, with limits on what comes before a request."""

    _timer: asyncio.TimerHandle | None = None
    _received = 0
    _address = ""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # behind a proxy everybody has its address, and it sends requests whole
        self._address = "" if trusted_proxies() else _peer(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        idle = before is None or before.response_complete
        if idle and self._timer is None:  # the first byte of another request on the same connection
            self._wait()
        super().data_received(data)
        if self.cycle is not before:
            self._stop_waiting()
        elif idle:
            self._received += len(data)
            if self._received > HEADER_BYTES:
                self._abort()

    def _wait(self) -> None:
        self._received = 0
        _waiting[self] = None
        _by_address[self._address] += 1
        self._timer = self.loop.call_later(HEADERS, self._abort)
        if self._address and _by_address[self._address] > WAITING:
            next(other for other in _waiting if other._address == self._address)._abort()
        if len(_waiting) > ALL_WAITING:
            next(iter(_waiting))._abort()

    def _stop_waiting(self) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        del _waiting[self]
        _by_address[self._address] -= 1
        if not _by_address[self._address]:
            del _by_address[self._address]

    def _abort(self) -> None:
        self._stop_waiting()
        if self.transport is not None:
            self.transport.abort()


def _peer(transport: Any) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"
