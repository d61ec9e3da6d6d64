"""The companion's proxy: a designer's SuperNode talks to this, on loopback, and only this talks to the studio.

    ClientApp -> SuperNode -> TLS on loopback -> this proxy -> TLS, verified -> the studio's gateway

It lets a SuperNode ask for what gateway.py lets in, and for nothing else; runs no program but the installed release;
keeps the SuperNode going where waiting helps (gateway.py says what a SuperNode does with which status); and counts and
writes down what leaves (receipt.py).

**The budget.** A SuperNode (flwr 1.41) sends an update in this order: push-messages, with the message's metadata and
the SHA-256 of each object that it consists of, but neither their contents nor their sizes; then, two at a time, one
push-object for each: chunks of an array (5 MB at most) before the array, arrays before their record, and the message
itself at the end, without which the server has no update. The proxy learns an object's size when it has the object.
So, of an update that is too large, what fits is sent, the first object that does not fit is not, nor is any after it,
and the server never gets a whole: at no time have contents beyond the budget left. "Nothing at all of it" is promised
by ``client_app.within_budget`` before the SuperNode hears of the update; it counts the records alone, this proxy
their framing too (about 500 bytes a tensor), so that an update may pass there and stop here, within so much of the
budget. An object that has to be sent again, because the network broke, counts once in the budget, and in ``sent``
each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn
from flwr.app import Message
from flwr.proto import fab_pb2, fleet_pb2, heartbeat_pb2, message_pb2, run_pb2
from flwr.supercore.inflatable.inflatable_object import (
    UnexpectedObjectContentError,
    get_object_id,
    get_object_type_from_object_content,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents, validate_object_content
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from federation.designer.receipt import Receipt
from federation.identity import make_certificate
from federation.wire import FLEET, FORWARDED, RETURNED, CallRefusedError, Receive, Scope, Send, fleet_call, headers_of, plain

log = logging.getLogger("fedgai.proxy")

KINDS = frozenset({"ArrayChunk", "Array", "ArrayRecord", "MetricRecord", "ConfigRecord", "RecordDict", "Message"})
"""Flower's objects that an update consists of."""

ANSWERS: dict[str, type[Protobuf]] = {
    "activate-node": fleet_pb2.ActivateNodeResponse, "deactivate-node": fleet_pb2.DeactivateNodeResponse,
    "register-node": fleet_pb2.RegisterNodeFleetResponse, "unregister-node": fleet_pb2.UnregisterNodeFleetResponse,
    "pull-messages": fleet_pb2.PullMessagesResponse, "push-messages": fleet_pb2.PushMessagesResponse,
    "pull-object": message_pb2.PullObjectResponse, "push-object": message_pb2.PushObjectResponse,
    "confirm-message-received": message_pb2.ConfirmMessageReceivedResponse, "get-run": run_pb2.GetRunResponse,
    "get-fab": fab_pb2.GetFabResponse, "send-node-heartbeat": heartbeat_pb2.SendNodeHeartbeatResponse,
}  # fmt: skip
assert ANSWERS.keys() == FLEET

MOST = 64 * 2**20  # bytes of one request or answer
REMEMBERED = 2  # messages on their way out: a SuperNode has one


@dataclass(frozen=True)
class Notice:
    """How it stands between this machine and the studio.

    Attributes:
        state: "starting" (nothing was asked yet), "online", "waiting" (for the operator), "waking", "away",
            "certificate", "redirect", "error", "budget" (until the next update), or "refused", which is final.
        text: one line for the designer.
    """

    state: str
    text: str


@dataclass
class Outgoing:
    """A message on its way out.

    Attributes:
        root: the message's own id.
        ids: of all its objects.
        session: the server's word for this push.
        wanted: ids that the server does not have.
        contents: what came from the SuperNode, by id; within the budget, so this is what bounds the memory.
        stored: ids that the server has now.
        used, wire: bytes that count in the budget; bytes of bodies that went out.
        over: the budget does not suffice: nothing more of it goes out.
        written: its receipt is.
    """

    root: str
    ids: frozenset[str]
    session: str = ""
    wanted: set[str] = field(default_factory=set)
    contents: dict[str, bytes] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    used: int = 0
    wire: int = 0
    over: bool = False
    written: bool = False


class Proxy:
    """In a thread of its own; usable as a context manager.

    Args:
        server: https URL of the studio.
        home: HOME of the companion: certificates go to ``home/proxy``, receipts to ``home/receipts``.
        fab_hash: SHA-256, hex, of the only program that may run here.
        root_certificate: PEM file, the only one then to verify the server by; None for those that httpx trusts.
        budget: bytes that one update may have.
        timeout: seconds for the server to answer in full; a SuperNode waits 30.
        on_notice: called with each new notice, in the proxy's thread; it must not raise or take long.
    Raises:
        ValueError: ``server`` is not https.
        OSError: the certificate cannot be read (ssl.SSLError is one).

    Attributes:
        address: "127.0.0.1:PORT", and
        certificate: the PEM file to trust there, once started.
        notice: the latest.
        sent, received: bytes of bodies, to and from the studio.
        leaving, coming: share of the parts of the latest message that went out, or came in, in [0, 1].
        asked: a message came in that was not answered yet.
    """

    def __init__(self, server: str, home: Path, fab_hash: str, *, root_certificate: Path | None = None,
                 budget: int = 8 * 2**20, timeout: float = 30,
                 on_notice: Callable[[Notice], None] | None = None) -> None:
        if httpx.URL(server).scheme != "https":
            raise ValueError(f"the server's address must begin with https://, {server!r} does not")
        self.server, self.fab_hash, self.budget, self.timeout = server.rstrip("/"), fab_hash, budget, timeout
        self.certificate, self.receipts = home / "proxy" / "ca.pem", home / "receipts"
        self.address, self.sent, self.received = "", 0, 0
        self.leaving, self.coming, self.asked = 1.0, 1.0, False
        self._expected: set[str] = set()  # ids of objects that were announced and have not come in
        self._announced_parts = 0
        self.notice = Notice("starting", f"connecting to {self.server}")
        self._on_notice, self._was_online = on_notice, False
        own = root_certificate
        self._trust = ssl.create_default_context(cafile=own) if own else httpx.create_ssl_context()
        self._outgoing: OrderedDict[str, Outgoing] = OrderedDict()  # by root
        self._uvicorn: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Proxy:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns once it listens. Raises OSError where it cannot."""
        folder = self.certificate.parent
        folder.mkdir(parents=True, exist_ok=True)
        make_certificate(folder)
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(self._serve, ssl_certfile=folder / "server.pem", ssl_keyfile=folder / "server.key",
                                interface="asgi3", lifespan="off", ws="none", access_log=False, log_config=None,
                                proxy_headers=False, server_header=False, timeout_graceful_shutdown=1)  # fmt: skip
        config.load()
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(listening)), name="proxy", daemon=True)
        self._thread.start()
        while not self._uvicorn.started:
            self._thread.join(0.01)
            if not self._thread.is_alive():
                raise OSError("the companion's proxy did not start")

    def stop(self) -> None:
        """What is being forwarded has a second to end."""
        if self._uvicorn and self._thread:
            self._uvicorn.should_exit = True
            self._thread.join(10)
        self._uvicorn = self._thread = None

    async def _run(self, listening: socket.socket) -> None:
        # silent connections are closed by servers: never take one that is about to be
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=4, keepalive_expiry=4)
        async with httpx.AsyncClient(verify=self._trust, timeout=self.timeout, limits=limits,
                                     follow_redirects=False) as self._client:  # fmt: skip
            await self._uvicorn.serve(sockets=[listening])

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        try:
            call = fleet_call(scope)
            if self.notice.state == "refused":
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
        """Of the server, or of the proxy in its place. Raises CallRefusedError."""
        outgoing, object_id = None, ""
        try:
            if call == "push-messages":
                outgoing = self._announced(fleet_pb2.PushMessagesRequest.FromString(body), len(body))
            elif call == "push-object":
                outgoing, object_id = self._object(message_pb2.PushObjectRequest.FromString(body))
        except DecodeError:
            raise CallRefusedError(400, "this is not what a SuperNode sends") from None
        if outgoing and object_id and object_id not in outgoing.wanted:  # the server has it; asked for below, to see it
            answer, returned = message_pb2.PushObjectResponse(stored=True), {}
        else:
            response, content = await self._ask(call, headers, body, outgoing)
            returned = {name: response.headers[name] for name in RETURNED if name in response.headers}
            returned.pop("content-length", None)
            answer = self._judged(call, response, content)
            if answer is None:
                return Response(content, response.status_code, returned)
            if self.notice.state == "refused":  # meanwhile, by another request
                raise CallRefusedError(403, self.notice.text)
            self._was_online = True
            self._count(body, answer)
            if self.notice.state != "budget" or call == "push-messages":
                self._tell("online", f"connected to {self.server}")
        if outgoing and isinstance(answer, fleet_pb2.PushMessagesResponse):
            outgoing.session = answer.session_id
            outgoing.wanted = set(answer.objects_to_push) & outgoing.ids
            # where the message itself is wanted, have all of its objects shown here, for a receipt with nothing missing
            ask = outgoing.ids if outgoing.root in outgoing.wanted else outgoing.wanted
            answer.objects_to_push[:] = sorted(ask)
        elif outgoing and answer.stored:
            outgoing.stored.add(object_id)
            self.leaving = len(outgoing.stored) / len(outgoing.ids)
            if outgoing.stored == outgoing.ids and not outgoing.written:
                outgoing.written = True
                self._write(outgoing)
        return Response(answer.SerializeToString(), headers={"content-type": "application/protobuf"} | returned)

    async def _ask(self, call: str, headers: dict[str, str], body: bytes,
                   outgoing: Outgoing | None) -> tuple[httpx.Response, bytes]:
        """The server, without following it elsewhere. Raises CallRefusedError where it does not answer."""

        async def counted() -> AsyncIterator[bytes]:  # read once there is a connection, and not before
            self.sent += len(body)
            if outgoing:
                outgoing.wire += len(body)
            yield body

        kept = {name: headers[name].encode("latin-1") for name in FORWARDED if name in headers}
        kept |= {"accept-encoding": b"identity", "content-length": str(len(body)).encode()}
        request = self._client.build_request("POST", f"{self.server}/v1/fleet/{call}", headers=kept, content=counted())
        request.headers.pop("user-agent", None)
        content = bytearray()
        try:
            async with asyncio.timeout(self.timeout):
                response = await self._client.send(request, stream=True)
                async with contextlib.aclosing(response):
                    async for piece in response.aiter_raw():
                        self.received += len(piece)
                        content += piece
                        if len(content) > MOST:
                            raise self._trouble("error", f"{self.server} sends more than {MOST // 2**20} MB: not taken")
        except (httpx.TimeoutException, TimeoutError):
            raise self._trouble("away", f"{self.server} does not answer: trying again") from None
        except (httpx.HTTPError, httpx.StreamError, ssl.SSLError, OSError) as error:
            if about_certificate(error):
                raise self._trouble("certificate", f"{self.server} shows a certificate that this machine does not "
                                                   "trust: nothing was sent") from None
            raise self._trouble("away", f"{self.server} cannot be reached: is there a network? Trying again") from None
        return response, bytes(content)

    def _judged(self, call: str, response: httpx.Response, content: bytes) -> Protobuf | None:
        """A good answer; None for an error that the SuperNode should hear as it is. Raises CallRefusedError for others."""
        status, server = response.status_code, self.server
        if 300 <= status < 400:
            where = plain(response.headers.get("location", "nowhere"))[:80]
            raise self._trouble("redirect", f"{server} sends this machine on to {where}: it does not go there")
        if status in (502, 503, 504):
            raise self._trouble("waking", f"{server} is waking up, which can take some minutes: waiting")
        if "text/html" in response.headers.get("content-type", "").lower():  # the host's page, in the studio's place
            raise self._trouble("waking", f"{server} answers with a web page ({status}): it may be waking up; or is "
                                          "the address right?")
        if status == 401 and content.startswith(b"the clock of "):
            raise self._trouble("waiting", f"{server} does not let this machine in: its clock is off, set it right")
        if status == 401 and self._was_online:
            raise self._trouble("waiting", f"{server} does not know your key any more: it was revoked")
        if status == 401:
            raise self._trouble("waiting", f"{server} does not know your key yet: the operator has to approve it")
        if status in (408, 429):
            raise self._trouble("away", f"{server} is busy: trying again")
        if status != 200 and not 400 <= status < 500:
            raise self._trouble("error", f"{server} answers with an error ({status}): trying again")
        if status != 200:  # 4xx, about this call: the SuperNode drops what it was about
            return None
        try:
            answer = ANSWERS[call].FromString(content)
        except DecodeError:
            raise self._trouble("error", f"{server} answers with something unintelligible: trying again") from None
        if isinstance(answer, fab_pb2.GetFabResponse):
            self._check_program(answer)
        return answer

    def _count(self, body: bytes, answer: Protobuf) -> None:
        """How much of a message has come in."""
        if isinstance(answer, fleet_pb2.PullMessagesResponse) and answer.message_object_trees:
            self._expected = {node.object_id for tree in answer.message_object_trees for node in iterate_object_tree(tree)}
            self._announced_parts, self.asked = len(self._expected), True
        elif isinstance(answer, message_pb2.PullObjectResponse) and answer.object_available:
            self._expected.discard(message_pb2.PullObjectRequest.FromString(body).object_id)
        self.coming = 1 - len(self._expected) / max(1, self._announced_parts)

    def _check_program(self, answer: fab_pb2.GetFabResponse) -> None:
        if not answer.HasField("fab"):  # an empty answer ships no program
            raise self._trouble("error", f"{self.server} answers without the program that was asked for: trying again")
        theirs, named = hashlib.sha256(answer.fab.content).hexdigest(), answer.fab.hash_str
        if theirs == named == self.fab_hash:
            return
        called = "" if named == theirs else f", which it calls {plain(named)[:12]!r}"
        # 403, as for a run that is over: the SuperNode drops the message and runs nothing
        raise self._trouble("refused", f"{self.server} ships another program ({theirs[:12]}{called}) than the "
                                       f"installed release ({self.fab_hash[:12]}): nothing of it was run", 403)

    def _announced(self, request: fleet_pb2.PushMessagesRequest, size: int) -> Outgoing:
        """What the SuperNode is about to send. Raises CallRefusedError."""
        if len(request.messages_list) != 1 or len(request.message_object_trees) != 1 \
                or request.messages_list[0].content.ByteSize():  # flwr 1.41 sends contents as objects only
            raise CallRefusedError(400, "this is not how a SuperNode sends a message")
        tree = request.message_object_trees[0]
        ids = frozenset(node.object_id for node in iterate_object_tree(tree))
        outgoing = self._outgoing.pop(tree.object_id, None)  # the same one again: its answer was lost
        again = outgoing is not None and outgoing.ids == ids
        outgoing = outgoing if again else Outgoing(tree.object_id, ids)
        self._spend(outgoing, 0 if again else size)
        self._outgoing[outgoing.root] = outgoing
        self.leaving, self.asked = len(outgoing.stored) / len(ids), False
        while len(self._outgoing) > REMEMBERED:
            self._outgoing.popitem(last=False)
        return outgoing

    def _object(self, request: message_pb2.PushObjectRequest) -> tuple[Outgoing, str]:
        """An object that may go out: (what it is part of, its id). Raises CallRefusedError."""
        name, content = request.object_id, request.object_content
        found = [o for o in self._outgoing.values() if o.session == request.session_id and name in o.ids]
        if not found:
            raise CallRefusedError(400, "this object is part of nothing that was announced")
        outgoing = found[-1]
        try:
            validate_object_content(content)
            good = get_object_id(content) == name and get_object_type_from_object_content(content) in KINDS
        except (UnexpectedObjectContentError, ValueError):
            good = False
        if not good:
            raise self._trouble("error", "an update has a part that is not what it is called: it was not sent", 400)
        if name not in outgoing.contents and not outgoing.written:
            self._spend(outgoing, len(content))
            outgoing.contents[name] = content
        return outgoing, name

    def _spend(self, outgoing: Outgoing, size: int) -> None:
        """Of the budget. Raises CallRefusedError: 413, after which a SuperNode drops the message and goes on."""
        if outgoing.over or outgoing.used + size > self.budget:
            outgoing.over = True
            outgoing.contents.clear()
            raise self._trouble("budget", f"an update is larger than the {self.budget:,} bytes that you allow for a "
                                          "round: stopped before them, the server has no whole update", 413)
        outgoing.used += size

    def _write(self, outgoing: Outgoing) -> None:
        """The receipt. What left has left, whether or not it can be written down."""
        try:
            message = inflate_object_from_contents(outgoing.root, outgoing.contents)
            if isinstance(message, Message) and message.has_content():  # not where this machine answered with a refusal
                Receipt.of(message.content, self.server, outgoing.wire).save(self.receipts)
        except Exception as error:  # a parser's, or the disk's; its text may quote what was sent
            log.error("the receipt of an update could not be written (%s)", type(error).__name__)
        finally:
            outgoing.contents.clear()

    def _tell(self, state: str, text: str) -> None:
        notice = Notice(state, text)
        if notice == self.notice or self.notice.state == "refused":
            return
        self.notice = notice
        log.info("%s: %s", state, text)
        if self._on_notice:
            self._on_notice(notice)

    def _trouble(self, state: str, text: str, status: int = 503) -> CallRefusedError:
        """For the SuperNode, while the designer is told."""
        self._tell(state, text)
        return CallRefusedError(status, text)


def about_certificate(error: BaseException | None) -> bool:
    """Whether it came to this because the server's certificate is not trusted."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
