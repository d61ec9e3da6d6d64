"""Guards Gradio: lets through only known routes, bodies within limits, and files that a visitor sent.

Gradio checks where a file comes from only for some of the ways in which a client can name one, and fetches addresses that
a client names. It reads JSON whole, without a limit. All of that is looked at here first, for every request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from federation.address import address_of
from federation.unread_body import discard
from fedgai.errors import FedGAIError
from fedgai.vision.images import MAX_BYTES
from studio.failures import SORRY, describe
from studio.uploads import Quota, UploadError, UploadFolder

log = logging.getLogger(__name__)

API = "/gradio_api/"
UPLOAD, FILE, HEARTBEAT = f"{API}upload", f"{API}file=", f"{API}heartbeat/"
# what Gradio 6.31's page and its clients need; the rest (a proxy, a video converter, an editor, statistics) is refused
READ = frozenset(
    {
        "/",
        "/config",
        "/theme.css",
        "/favicon.ico",
        "/robots.txt",
        "/manifest.json",
        f"{API}info",
        f"{API}openapi.json",
        f"{API}app_id",
        f"{API}theme.css",
        f"{API}startup-events",
        f"{API}queue/data",
        f"{API}queue/status",
        f"{API}upload_progress",
        f"{API}login_check",
        f"{API}user",
    }
)
READ_BELOW = ("/assets/", "/static/", "/svelte/", HEARTBEAT, FILE, f"{API}call/")
WRITE = frozenset({UPLOAD, f"{API}queue/join", f"{API}cancel", f"{API}reset"})
WRITE_BELOW = (f"{API}call/",)
OWN = ("/studio/", "/federation/", "/drawn/")  # routes of the application's own: their bodies are limited, no more
ELSEWHERE = ("/v1",)  # the federation's gateway has limits of its own

SAFE_INTEGER = 2**53
DEPTH = 32  # of JSON
SESSION = re.compile(r"[\w-]{1,64}")
TOO_LONG = "A file here has at most {0} MB: it is beyond the maximum allowed size."


class RequestError(FedGAIError):
    """A request that is not passed on.

    Args:
        status: of HTTP.
        reason: one sentence for the caller.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class GuardLimits:
    """What one request, and one address, may take.

    Attributes:
        json_bytes: of a body. A page's are under 4 kB: photographs go up as files.
        upload_bytes: of a body with a file, and what multipart adds.
        upload_files: in one body; a page sends one.
        body_seconds, idle_seconds: for a body to arrive, and between two pieces of it.
        events, event_seconds: events that one address may begin within so many seconds. A slider that moves begins three.
        address_uploads, uploads: bodies with files on their way at the same time, of one address and of all.
        upload_wait: seconds that one more waits for its turn, before it is refused. A class room has one address.
        address_requests, requests: likewise, of all requests. A page keeps up to three open.
    """

    json_bytes: int = 64 * 2**10
    upload_bytes: int = MAX_BYTES + 2**16
    upload_files: int = 8
    body_seconds: float = 120.0
    idle_seconds: float = 20.0
    events: int = 400
    event_seconds: float = 10.0
    address_uploads: int = 8
    uploads: int = 24
    upload_wait: float = 30.0
    address_requests: int = 400
    requests: int = 4000


class OpenPages:
    """Knows which sessions have a page open. Gradio's page keeps one request open as long as it is open."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def __contains__(self, session: object) -> bool:
        return session in self._open

    def opened(self, session: str) -> None:
        self._open[session] += 1

    def closed(self, session: str) -> None:
        self._open[session] -= 1
        if self._open[session] <= 0:
            del self._open[session]


class UploadTurns:
    """How many bodies with files are on their way, by address. One that is too many waits for its turn."""

    def __init__(self, limits: GuardLimits) -> None:
        self._limits = limits
        self._under_way: Counter[str] = Counter()
        self._one_ended = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def take(self, address: str) -> AsyncIterator[None]:
        """One body of this address is on its way within the block. Raises RequestError where its turn does not come in time."""
        async with self._one_ended:
            try:
                async with asyncio.timeout(self._limits.upload_wait):
                    await self._one_ended.wait_for(lambda: self._refusal(address) is None)
            except TimeoutError:
                raise self._refusal(address) or RequestError(503, "Try again in a few seconds.") from None
            self._under_way[address] += 1
        try:
            yield
        finally:
            async with self._one_ended:
                self._under_way[address] -= 1
                if not self._under_way[address]:
                    del self._under_way[address]
                self._one_ended.notify_all()

    def _refusal(self, address: str) -> RequestError | None:
        """Why one more has to wait, or None."""
        return _too_many(self._under_way, address, self._limits.address_uploads, self._limits.uploads)


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: what is behind it.
        uploads: where visitors' files lie.
        pages: gets to know which sessions have a page open.
        limits: see ``GuardLimits``.
    """

    def __init__(
        self, app: ASGIApp, uploads: UploadFolder, pages: OpenPages | None = None, limits: GuardLimits = GuardLimits()
    ) -> None:
        self.app, self.uploads, self.pages, self.limits = app, uploads, pages or OpenPages(), limits
        self._events = Quota(limits.event_seconds, limits.events)
        self._requests: Counter[str] = Counter()  # under way, by address
        self._uploads = UploadTurns(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # neither Gradio nor we have one
            return await send({"type": "websocket.close", "code": 1008})
        if scope["type"] != "http" or scope["path"].startswith(ELSEWHERE):
            return await self.app(scope, receive, send)
        address = address_of(scope)
        body = _Body(scope, receive, self.limits)
        answer = _Answer(scope, send, body)
        try:
            with _under_way(self._requests, address, self.limits.address_requests, self.limits.requests):
                await self._pass(scope, address, body, answer)
        except RequestError as refusal:
            await answer.refuse(refusal)
        except Exception as error:
            log.error("%s %s failed: %s", scope["method"], _known_part(scope["path"]), describe(error))
            await answer.refuse(RequestError(500, SORRY))

    async def _pass(self, scope: Scope, address: str, body: _Body, answer: _Answer) -> None:
        path, method = scope["path"], scope["method"]
        if path.startswith(OWN):
            body.limit = self.limits.json_bytes
            return await self.app(scope, body.receive, answer.send)
        if not _is_known(method, path):
            raise RequestError(404, "There is nothing here.")
        if path == UPLOAD:
            return await self._upload(scope, address, body, answer)
        if method == "POST":
            body.limit = self.limits.json_bytes
            content = await body.whole()
            check_json(content, self.uploads)
            if path != f"{API}cancel" and not self._events.add(address, 1):
                raise RequestError(429, "Your network asks for a lot at once: try again in a few seconds.")
            return await self.app(scope, body.again(content), answer.send)
        if path.startswith(FILE):
            answer.sandboxed = True
            try:
                self.uploads.photo(path.removeprefix(FILE))
            except UploadError as error:
                raise RequestError(404, str(error)) from None
        if path.startswith(HEARTBEAT):
            return await self._heartbeat(scope, body, answer)
        if "deep_link" in scope.get("query_string", b"").decode("latin-1"):  # a state that is stored on the server: we have none
            raise RequestError(404, "There is nothing here.")
        body.limit = 0
        await self.app(scope, body.receive, answer.send)

    async def _upload(self, scope: Scope, address: str, body: _Body, answer: _Answer) -> None:
        length = Headers(scope=scope).get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 16):
            raise RequestError(411, "Say how long the file is (Content-Length).")
        if int(length) > self.limits.upload_bytes:
            raise RequestError(413, TOO_LONG.format(MAX_BYTES // 2**20))
        body.limit = int(length)
        body.parts = self.limits.upload_files
        async with self._uploads.take(address):
            try:
                self.uploads.admit(address, max(int(length), 2**16))  # however small, a file takes a place
            except UploadError as error:
                raise RequestError(429, str(error)) from error
            await self.app(scope, body.receive, answer.send)

    async def _heartbeat(self, scope: Scope, body: _Body, answer: _Answer) -> None:
        session = scope["path"].removeprefix(HEARTBEAT)
        if not SESSION.fullmatch(session):
            raise RequestError(404, "There is nothing here.")
        self.pages.opened(session)
        try:
            await self.app(scope, body.receive, answer.send)
        finally:
            self.pages.closed(session)


class _Body:
    """A request's body as it arrives, counted and timed. Raises RequestError from ``receive``.

    Attributes:
        limit: bytes, at most.
        parts: of multipart that may still come; 0 where they are not counted.
        refusal: why no more of it is taken.
    """

    def __init__(self, scope: Scope, receive: Receive, limits: GuardLimits) -> None:
        self._receive, self._limits = receive, limits
        self.limit, self.parts, self.done = 0, 0, False
        self.refusal: RequestError | None = None
        self._size = 0
        self._deadline: float | None = None  # of the loop's clock; from when the first piece is asked for
        kind = Headers(scope=scope).get("content-type", "")
        boundary = kind.partition("boundary=")[2].partition(";")[0].strip('" ') if kind.startswith("multipart/") else ""
        self._boundary, self._tail = f"--{boundary}".encode("latin-1"), b""

    async def receive(self) -> Message:
        if self.done:  # what comes now is that the client has left, whenever that may be
            return await self._receive()
        try:
            return await self._next()
        except RequestError as refusal:
            self.refusal = refusal
            raise

    async def _next(self) -> Message:
        now = asyncio.get_running_loop().time()
        if self._deadline is None:
            self._deadline = now + self._limits.body_seconds
        try:
            async with asyncio.timeout_at(min(self._deadline, now + self._limits.idle_seconds)):
                message = await self._receive()
        except TimeoutError:
            raise RequestError(408, "The request takes too long to arrive: try again.") from None
        piece = message.get("body", b"")
        self.done = message["type"] == "http.disconnect" or not message.get("more_body", False)
        self._size += len(piece)
        if self._size > self.limit:
            raise RequestError(413, f"A request here has at most {self.limit / 2**10:,.0f} kB.")
        if self.parts:
            self._count(piece)
        return message

    def _count(self, piece: bytes) -> None:
        """Parts of multipart: each begins with the boundary, which may come in two pieces."""
        self.parts -= (self._tail + piece).count(self._boundary)
        self._tail = (self._tail + piece)[-len(self._boundary) + 1 :]
        if self.parts < 0:
            raise RequestError(413, f"Send at most {self._limits.upload_files - 1} files at once.")

    async def whole(self) -> bytes:
        content = bytearray()
        while not self.done:
            content += (await self.receive()).get("body", b"")
        return bytes(content)

    def again(self, content: bytes) -> Receive:
        """For the application, after ``whole``."""
        sent = False

        async def receive() -> Message:
            nonlocal sent
            if sent:
                return await self._receive()
            sent = True
            return {"type": "http.request", "body": content, "more_body": False}

        return receive

    async def drop(self) -> None:
        """Read and discard the rest of the body."""
        if not self.done:
            self.done = await discard(self._receive)


class _Answer:
    """What goes back. Once it has begun, it cannot be changed."""

    def __init__(self, scope: Scope, send: Send, body: _Body) -> None:
        self._send, self._body = send, body
        self._plain = scope["path"] == UPLOAD  # of an upload that failed, the page shows the answer as it is
        self.begun, self.sandboxed = False, False

    async def send(self, message: Message) -> None:
        if self._body.refusal is not None and not self.begun:  # not what a framework makes of a body it could not read
            raise self._body.refusal
        if message["type"] == "http.response.start":
            self.begun = True
            if self.sandboxed:  # a visitor's file never runs as a page of ours
                MutableHeaders(scope=message)["content-security-policy"] = "default-src 'none'; sandbox"
        await self._send(message)

    async def refuse(self, refusal: RequestError) -> None:
        """Say so, on a connection that then closes."""
        if self.begun:
            return
        text = str(refusal).encode() if self._plain else json.dumps({"detail": str(refusal)}).encode()
        kind = b"text/plain; charset=utf-8" if self._plain else b"application/json"
        headers = [(b"content-type", kind), (b"content-length", str(len(text)).encode()), (b"connection", b"close")]
        await self._send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": text, "more_body": True})
        await self._body.drop()
        await self._send({"type": "http.response.body", "body": b""})


def check_json(content: bytes, uploads: UploadFolder) -> None:
    """What a client sends to an event: plain JSON, with numbers that can be reckoned with and files that were sent before.

    Raises:
        RequestError: it is not.
    """
    try:
        value = json.loads(content or b"null")
    except (ValueError, RecursionError):  # ValueError: also a number with thousands of digits
        raise RequestError(400, "The request is not JSON that can be read here.") from None
    session = value.get("session_hash") if isinstance(value, dict) else None
    if session is not None and not (isinstance(session, str) and SESSION.fullmatch(session)):
        raise RequestError(400, "A session_hash has up to 64 letters and digits.")
    level = [value]
    for _ in range(DEPTH):
        for item in level:
            _check_item(item, uploads)
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return
    raise RequestError(400, f"The request is nested more than {DEPTH} deep.")


def _check_item(item: object, uploads: UploadFolder) -> None:
    if isinstance(item, dict) and isinstance(item.get("path"), str):  # how Gradio names a file
        try:
            uploads.photo(item["path"])
        except UploadError as error:
            raise RequestError(400, str(error)) from None
    too_large = isinstance(item, int) and abs(item) > SAFE_INTEGER
    if too_large or (isinstance(item, float) and not math.isfinite(item)):
        raise RequestError(400, "A number in the request is too large.")


def _inside(item: object) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []


def _is_known(method: str, path: str) -> bool:
    if method in ("GET", "HEAD"):
        return path in READ or path.startswith(READ_BELOW)
    return method == "POST" and (path in WRITE or path.startswith(WRITE_BELOW))


def _known_part(path: str) -> str:
    """Of a path that a visitor asked for, what the log may repeat."""
    if path in READ | WRITE:
        return path
    known = [name for name in (*READ_BELOW, *OWN) if path.startswith(name)]
    return f"{max(known, key=len)}..." if known else "a path"


def _too_many(counts: Counter[str], address: str, most: int, most_of_all: int) -> RequestError | None:
    """Why one more of this address is too many, or None."""
    if counts[address] >= most:
        return RequestError(429, "Your network has many requests under way: try again in a few seconds.")
    if counts.total() >= most_of_all:
        return RequestError(503, "Many visitors are here at the moment: try again in a few seconds.")
    return None


@contextlib.contextmanager
def _under_way(counts: Counter[str], address: str, most: int, most_of_all: int) -> Iterator[None]:
    """Counts a request while it is under way. Raises RequestError beyond the bounds."""
    if refusal := _too_many(counts, address, most, most_of_all):
        raise refusal
    counts[address] += 1
    try:
        yield
    finally:
        counts[address] -= 1
        if not counts[address]:
            del counts[address]
