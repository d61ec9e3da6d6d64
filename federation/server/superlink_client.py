"""Forwards designers' calls to the SuperLink, and returns its answers. The SuperLink's address may change."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from flwr.proto.fleet_pb2 import DeactivateNodeRequest

from federation.server.rates import GatewayLimits
from federation.wire import FORWARDED, RETURNED, CallRefusedError, Scope, Send, headers_of
from fedgai.text import printable

log = logging.getLogger("fedgai.gateway")

Target = Callable[[], tuple[str, Path] | None]

OF_A_RUN = frozenset({"confirm-message-received", "get-fab", "get-run", "pull-object", "push-messages", "push-object"})
NOTICED = 10.0  # seconds that a member who was signed off stays so; a round in progress looks every other second who is there
LOST = 60.0  # seconds of nothing but failures, after which the SuperLink is taken not to know the run of such a call


class SuperLinkClient:
    """HTTP to the SuperLink on loopback.

    Args:
        target: the SuperLink's address ("127.0.0.1:9091") and the file of the CA to verify it by; None while it is not up.
        limits: the gateway's.

    Attributes:
        answered: monotonic seconds of its last answer, 0 for never.
    """

    def __init__(self, target: Target, limits: GatewayLimits) -> None:
        self._target, self._limits = target, limits
        self._client: httpx.AsyncClient | None = None
        self._made_for: tuple[object, ...] = ()
        self._closing: set[asyncio.Task[None]] = set()
        self._asked = self.answered = 0.0
        self._let_in_at: dict[int, float] = {}  # members who were signed off -> when they may come in, monotonic seconds
        self._failing: dict[tuple[str, str], tuple[float, float]] = {}  # member and call -> first and last failure in a row

    @property
    def is_up(self) -> bool:
        """Whether the host says where the SuperLink is; then everything that comes before it is done."""
        return self._target() is not None

    async def client(self) -> tuple[httpx.AsyncClient, str]:
        """A client that trusts this SuperLink's certificate only, and its URL. Raises CallRefusedError where it is not up."""
        target = self._target()
        if target is None:
            raise CallRefusedError(503, "the federation is starting", 5)
        address, certificate = target
        try:
            file = certificate.stat()
            wanted = (address, certificate, file.st_mtime_ns, file.st_ino, asyncio.get_running_loop())
            if self._client is None or wanted != self._made_for:
                trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                trust.load_verify_locations(certificate)
                former, self._made_for = self._client, wanted
                self._client = self._connect(trust)
                if former is not None:  # what is still on its way there has another minute
                    asyncio.get_running_loop().call_later(60, self._close, former)
        except (OSError, ssl.SSLError):
            raise CallRefusedError(503, "the federation is starting", 5) from None
        return self._client, f"https://{address}"

    @asynccontextmanager
    async def call(self, scope: Scope, call: str, name: str, content: bytes, node_id: int = 0) -> AsyncIterator[httpx.Response]:
        """Forward a member's request.

        Args:
            scope: of the request, for its headers.
            call: one of FLEET.
            name: of the member, for errors.
            content: the body.
            node_id: the member's number, where ``call`` is activate-node.

        Returns:
            the SuperLink's answer, whose body may be read or handed to ``give``.

        Raises:
            CallRefusedError: the SuperLink is away or in trouble.
        """
        if call == "activate-node" and time.monotonic() < self._let_in_at.get(node_id, 0.0):
            raise CallRefusedError(503, f"{name} will be let in in a moment", 3)
        response = await self._send(scope, call, content)
        try:
            self.answered = time.monotonic()
            if response.status_code >= 500:
                raise self._trouble(call, name, response.status_code)
            self._failing.pop((name, call), None)
            if call == "activate-node" and response.status_code == 412:
                # Approved, but not yet known there; or killed, and back before its last heartbeat has run out (a minute).
                # As it is, the SuperNode would stop for good.
                if node_id:
                    await self._sign_off(scope, node_id)
                raise CallRefusedError(503, f"{name} will be let in in a moment", 3)
            if response.status_code == 401:  # for what is not ours to know: the node's number is another since a restart
                log.warning("%s", printable(f"the SuperLink refused {call} of {name} (401)", longest=400))
            yield response
        except httpx.HTTPError as error:
            raise CallRefusedError(503, f"the answer to {call} broke off ({type(error).__name__})", 5) from None
        finally:
            await response.aclose()

    async def _send(self, scope: Scope, call: str, content: bytes) -> httpx.Response:
        """A request with the member's own headers. Raises CallRefusedError where nothing answers."""
        client, url = await self.client()
        sent = headers_of(scope)
        headers = [(header.encode(), sent[header].encode("latin-1")) for header in FORWARDED if header in sent]
        headers.append((b"accept-encoding", b"identity"))
        request = client.build_request("POST", f"{url}/v1/fleet/{call}", headers=headers, content=content)
        request.headers.pop("user-agent", None)
        try:
            return await client.send(request, stream=True)
        except httpx.TimeoutException:
            raise CallRefusedError(504, "the SuperLink takes too long", 5) from None
        except httpx.HTTPError:
            raise CallRefusedError(503, "the SuperLink cannot be reached", 5) from None

    async def _sign_off(self, scope: Scope, node_id: int) -> None:
        """End the wait for a SuperNode that is gone, as another one with the same key shows: only a start activates.

        A deactivation does it, which the member's signature of this moment is good for: it is of the time alone. The new one
        is let in ``NOTICED`` seconds later: by then the round in progress knows that what was asked of the former is lost.
        """
        former = await self._send(scope, "deactivate-node", DeactivateNodeRequest(node_id=node_id).SerializeToString())
        await former.aclose()
        if former.status_code == 200:  # else it is not known there yet
            self._let_in_at[node_id] = time.monotonic() + NOTICED

    def _trouble(self, call: str, name: str, status: int) -> CallRefusedError:
        """What a member hears when the SuperLink answers 500 or more.

        Its database is busy, say: a SuperNode gives up after 500, and asks again after 503. It would ask for ever where
        the SuperLink has lost the run that the call is about, with its database: there too it answers 500. After 403 a
        SuperNode forgets the message, and asks for the next one.
        """
        now = time.monotonic()
        first, last = self._failing.get((name, call), (now, now))
        if now - last > LOST:  # that was another time
            first = now
        self._failing[name, call] = first, now
        if call in OF_A_RUN and now - first > LOST:
            del self._failing[name, call]
            return CallRefusedError(403, f"the SuperLink has failed in {call} of {name} for a minute; the run may be lost")
        return CallRefusedError(503, f"the SuperLink cannot do {call} of {name} now ({status})", 5)

    async def give(self, response: httpx.Response, call: str, name: str, send: Send) -> None:
        """Hand the SuperLink's answer to the member: what was read of it, or as it comes."""
        returned = [(h.encode(), response.headers[h].encode("latin-1")) for h in RETURNED if h in response.headers]
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                await send({"type": "http.response.start", "status": response.status_code, "headers": returned})
                if response.is_stream_consumed:
                    await send({"type": "http.response.body", "body": response.content})
                    return
                async for piece in response.aiter_raw():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except (httpx.HTTPError, TimeoutError) as error:  # half an answer is out: the connection closes, the caller asks again
            log.warning("%s", printable(f"the answer to {call} of {name} broke off ({type(error).__name__})", longest=400))

    async def silence(self) -> float:
        """Seconds since it last answered, infinity where it never did. Asks it, at most once a second."""
        now = time.monotonic()
        if now - max(self.answered, self._asked) > 1:
            self._asked = now
            try:
                client, url = await self.client()
                if (await client.get(f"{url}/health", timeout=3)).status_code == 200:
                    self.answered = time.monotonic()
            except (CallRefusedError, httpx.HTTPError):
                pass
        return time.monotonic() - self.answered if self.answered else float("inf")

    def _connect(self, trust: ssl.SSLContext) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=trust,
            trust_env=False,  # the machine's proxies are for the outside
            follow_redirects=False,
            timeout=httpx.Timeout(self._limits.upstream_seconds, connect=5),
            # the SuperLink closes a connection after 5 s of silence: never take one that it is about to close
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=4),
        )

    def _close(self, client: httpx.AsyncClient) -> None:
        task = asyncio.ensure_future(client.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
