"""The companion's proxy: a designer's SuperNode talks to this, on loopback, and only this talks to the studio.

    ClientApp -> SuperNode -> TLS on loopback -> this proxy -> TLS, verified -> the studio's gateway

It passes only the requests that the gateway accepts. It lets no program run but the installed release, and keeps the SuperNode
trying as long as waiting may help (upstream.py). It holds each update until its receipt is written (outgoing.py).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import uvicorn
from flwr.proto import fleet_pb2, message_pb2
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from federation.designer.flower_objects import iterate_object_tree
from federation.designer.network import route
from federation.designer.notices import Notice, Notices
from federation.designer.outgoing import Outbox, Outgoing
from federation.designer.upstream import MOST, Upstream
from federation.identity import make_certificate
from federation.wire import RETURNED, CallRefusedError, Receive, Scope, Send, fleet_call, headers_of

log = logging.getLogger("fedgai.proxy")


class Incoming:
    """How much of the server's latest message has come in.

    Attributes:
        share: in [0, 1]; 1 where nothing is coming.
        unanswered: a message came in that was not answered yet.
    """

    def __init__(self) -> None:
        self.share, self.unanswered = 1.0, False
        self._expected: set[str] = set()  # ids of objects that were announced and have not come in
        self._announced = 0

    def count(self, body: bytes, answer: Protobuf) -> None:
        """``body`` of the request, and its answer."""
        if isinstance(answer, fleet_pb2.PullMessagesResponse) and answer.message_object_trees:
            self._expected = {node.object_id for tree in answer.message_object_trees for node in iterate_object_tree(tree)}
            self._announced, self.unanswered = len(self._expected), True
        elif isinstance(answer, message_pb2.PullObjectResponse) and answer.object_available:
            self._expected.discard(message_pb2.PullObjectRequest.FromString(body).object_id)
        self.share = 1 - len(self._expected) / max(1, self._announced)


class Proxy:
    """In a thread of its own; usable as a context manager.

    Args:
        server: https URL of the studio.
        home: HOME of the companion: certificates go to ``home/proxy``, receipts to ``home/receipts``.
        fab_hash: SHA-256, hex, of the only program that may run here.
        root_certificate: PEM file, the only one then to verify the server by; None for the system's.
        budget: bytes that one update may have.
        timeout: seconds for the server to answer in full; a SuperNode waits 30.
        on_notice: called with each new notice, in the proxy's thread; it must not raise or take long.
    Raises:
        ValueError: ``server`` is not https.
        VariableError, CertificateError: see ``network.route``.

    Attributes:
        address: "127.0.0.1:PORT", and
        certificate: the PEM file to trust there, once started.
        leaving: share of the latest update that the studio has confirmed, in [0, 1].
    """

    def __init__(
        self,
        server: str,
        home: Path,
        fab_hash: str,
        *,
        root_certificate: Path | None = None,
        budget: int = 8 * 2**20,
        timeout: float = 30,
        on_notice: Callable[[Notice], None] | None = None,
    ) -> None:
        if httpx.URL(server).scheme != "https":
            raise ValueError(f"the server's address must begin with https://, {server!r} does not")
        self.server = server.rstrip("/")
        self.certificate, self.receipts = home / "proxy" / "ca.pem", home / "receipts"
        self.address, self.leaving, self.incoming = "", 1.0, Incoming()
        self.notices = Notices(f"connecting to {self.server}", on_notice)
        self.upstream = Upstream(self.server, route(self.server, root_certificate), fab_hash, timeout, self.notices)
        self.outbox = Outbox(self.receipts, self.server, budget, self.notices)
        self._uvicorn: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Proxy:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def notice(self) -> Notice:
        """The latest."""
        return self.notices.latest

    def start(self) -> None:
        """Returns once it listens. Raises OSError where it cannot."""
        folder = self.certificate.parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_certificate(folder)
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            self._serve,
            ssl_certfile=folder / "server.pem",
            ssl_keyfile=folder / "server.key",
            interface="asgi3",
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        config.load()
        server = self._uvicorn = uvicorn.Server(config)
        thread = self._thread = threading.Thread(target=self._in_thread, args=[server, listening], name="proxy", daemon=True)
        thread.start()
        while not server.started:
            thread.join(0.01)
            if not thread.is_alive():
                raise OSError("the companion's proxy did not start")

    def stop(self) -> None:
        """What is being forwarded has a second to end."""
        if self._uvicorn and self._thread:
            self._uvicorn.should_exit = True
            self._thread.join(10)
        self._uvicorn = self._thread = None

    def _in_thread(self, server: uvicorn.Server, listening: socket.socket) -> None:
        asyncio.run(self._run(server, listening))

    async def _run(self, server: uvicorn.Server, listening: socket.socket) -> None:
        async with self.upstream:
            await server.serve(sockets=[listening])

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        try:
            call = fleet_call(scope)
            if self.notices.refused and call != "deactivate-node":  # who leaves is not waited for
                raise CallRefusedError(403, self.notice.text)
            body = bytearray()
            async for piece in Request(scope, receive).stream():
                body += piece
                if len(body) > MOST:
                    raise CallRefusedError(413, f"a request has at most {MOST} bytes")
            response = await self._answer(call, headers_of(scope), bytes(body))
        except CallRefusedError as refusal:
            response = PlainTextResponse(refusal.reason + "\n", refusal.status)
        except ClientDisconnect:  # nobody is there to answer
            return
        except Exception as error:  # a mistake of this file must not end a SuperNode; its text may quote what was sent
            log.error("a request could not be handled (%s)", type(error).__name__)
            response = PlainTextResponse("the proxy could not handle this\n", 503)
        await response(scope, receive, send)

    async def _answer(self, call: str, headers: dict[str, str], body: bytes) -> Response:
        """The answer of the server, or of the proxy in its place. Raises CallRefusedError."""
        try:
            if call == "push-messages":
                return await self._announce(headers, body, fleet_pb2.PushMessagesRequest.FromString(body))
            if call == "push-object":
                return await self._take(headers, body, message_pb2.PushObjectRequest.FromString(body))
        except DecodeError:
            raise CallRefusedError(400, "this is not what a SuperNode sends") from None
        answer, response, content = await self.upstream.ask(call, headers, body)
        if answer is None:
            return passed_on(response, content)
        self._went_well(unless=("budget", "unconfirmed"))
        self.incoming.count(body, answer)
        return protobuf(answer, response)

    async def _announce(self, headers: dict[str, str], body: bytes, request: fleet_pb2.PushMessagesRequest) -> Response:
        """Announce an update to the server. The SuperNode is asked for all of it, whatever the server says it has already."""
        update = self.outbox.announce(request, len(body))
        self.incoming.unanswered = False
        answer, response, content = await self.upstream.ask("push-messages", headers, body, lambda size: _count(update, size))
        if not isinstance(answer, fleet_pb2.PushMessagesResponse):
            return passed_on(response, content)
        self._went_well()
        update.asked_again(answer.session_id)
        update.wanted = set(answer.objects_to_push) & set(update.ids)
        self.leaving = len(update.confirmed) / len(update.ids)
        answer.objects_to_push[:] = [] if update.done else update.missing()
        return protobuf(answer, response)

    async def _take(self, headers: dict[str, str], body: bytes, request: message_pb2.PushObjectRequest) -> Response:
        """Keep an object; with the last one, send them all."""
        update, _ = self.outbox.hold(request, body, headers)
        stored = protobuf(message_pb2.PushObjectResponse(stored=True))
        if not update.whole:
            return stored
        async with update.sending:
            if update.done:
                return stored
            if update.receipt is None:
                self.outbox.begin(update)
            try:
                refusal = await self._send_all(update)
            finally:
                self.outbox.finish(update)
        return refusal or stored

    async def _send_all(self, update: Outgoing) -> Response | None:
        """The server's own answer if it did not take an object. Raises CallRefusedError if trying again may help."""
        for name in update.ids:
            if name in update.confirmed:
                continue
            if name in update.wanted:
                answer, response, content = await self.upstream.ask(
                    "push-object", update.signature(), update.requests[name], lambda size: _count(update, size)
                )
                if self.notices.refused:  # meanwhile, by another request
                    raise CallRefusedError(403, self.notice.text)
                if not isinstance(answer, message_pb2.PushObjectResponse) or not answer.stored:
                    self.notices.show(
                        "unconfirmed",
                        f"{self.server} did not confirm the whole update. It may have taken it all "
                        "the same: its receipt counts it as begun",
                    )
                    return passed_on(response, content) if answer is None else protobuf(answer, response)
            update.confirmed.add(name)
            self.leaving = len(update.confirmed) / len(update.ids)
        self._went_well()
        return None

    def _went_well(self, unless: tuple[str, ...] = ()) -> None:
        """Raises CallRefusedError if another request has meanwhile found that this server must not get an answer."""
        if self.notices.refused:
            raise CallRefusedError(403, self.notice.text)
        if self.notice.state not in unless:
            self.notices.show("online", f"connected to {self.server}")


def _count(update: Outgoing, size: int) -> None:
    update.wire += size


def protobuf(answer: Protobuf, response: httpx.Response | None = None) -> Response:
    """For the SuperNode, with those of the server's headers that it reads."""
    returned = {name: response.headers[name] for name in RETURNED if name in response.headers} if response is not None else {}
    returned.pop("content-length", None)
    return Response(answer.SerializeToString(), headers={"content-type": "application/protobuf"} | returned)


def passed_on(response: httpx.Response, content: bytes) -> Response:
    """An error of the server's, as it is."""
    returned = {name: response.headers[name] for name in RETURNED if name in response.headers and name != "content-length"}
    return Response(content, response.status_code, returned)
