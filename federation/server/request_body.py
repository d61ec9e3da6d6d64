"""A request's body as it arrives, counted and timed; and refusals, which are sent while it may still be arriving."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.requests import ClientDisconnect

from federation.server.rates import GatewayLimits
from federation.unread_body import discard
from federation.wire import CallRefusedError, Receive, Scope, Send, headers_of


class RequestBody:
    """A request's body. ``length`` is what the caller says of it, bytes, or None.

    Args:
        scope, receive: of the request.
        limits: the gateway's.
        charge: called with the number of bytes before they go on. It may raise CallRefusedError.

    Raises (while it is read):
        CallRefusedError: 408, too slow; 413, too long; or what ``charge`` raises.
        ClientDisconnect: the caller hung up.
    """

    def __init__(self, scope: Scope, receive: Receive, limits: GatewayLimits, charge: Callable[[int], None]) -> None:
        self._receive, self._limits, self._charge = receive, limits, charge
        self.length = content_length(headers_of(scope))
        self.done = False

    async def whole(self, most: int, reason: str) -> bytes:
        """All of it. Raises CallRefusedError (413) with ``reason`` beyond ``most`` bytes."""
        if self.length is not None:
            if self.length > most:
                raise CallRefusedError(413, reason)
            self._charge(self.length)
        content = bytearray()
        async for piece in self._pieces():
            content += piece
            if len(content) > most:
                raise CallRefusedError(413, reason)
            if self.length is None:
                self._charge(len(piece))
        return bytes(content)

    async def _pieces(self) -> AsyncIterator[bytes]:
        """As they arrive, but not for ever."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._limits.body_seconds
        while not self.done:
            try:
                async with asyncio.timeout_at(min(deadline, clock() + self._limits.idle_seconds)):
                    message = await self._receive()
            except TimeoutError:
                raise CallRefusedError(408, "the body takes too long to arrive") from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self.done = not message.get("more_body", False)
            yield message.get("body", b"")

    async def drop(self) -> None:
        """Read and discard the rest of the body."""
        if not self.done:
            self.done = await discard(self._receive)


def content_length(headers: dict[str, str]) -> int | None:
    """Bytes of the body as the caller says, or None. A number of more than 18 digits counts as the largest with 18."""
    text = headers.get("content-length", "")
    if "transfer-encoding" in headers or not (text.isascii() and text.isdigit()):
        return None
    return int(text) if len(text) <= 18 else 10**18 - 1


async def refuse(refusal: CallRefusedError, body: RequestBody, send: Send) -> None:
    """Send a refusal as plain text, on a connection that then closes."""
    text = f"{refusal.reason}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
        (b"connection", b"close"),
    ]
    if refusal.retry:
        headers.append((b"retry-after", str(max(1, round(min(refusal.retry, 3600)))).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": text, "more_body": True})
    await body.drop()
    await send({"type": "http.response.body", "body": b""})
