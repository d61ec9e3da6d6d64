"""Sends the proxy's requests to the studio, and turns the studio's answers into answers for a SuperNode.

A SuperNode that gets 401 stops for good. After 503 it tries again, without end. After any other error it gives up what it was
doing. So an error that waiting can mend becomes a 503, and the designer reads the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from types import TracebackType

import httpx
from flwr.proto import fab_pb2, fleet_pb2, heartbeat_pb2, message_pb2, run_pb2
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf

from federation.designer.network import Route, untrusted, untrusted_sentence
from federation.designer.notices import Notices
from federation.wire import FLEET, FORWARDED
from fedgai.text import printable

ANSWERS: dict[str, type[Protobuf]] = {
    "activate-node": fleet_pb2.ActivateNodeResponse,
    "deactivate-node": fleet_pb2.DeactivateNodeResponse,
    "register-node": fleet_pb2.RegisterNodeFleetResponse,
    "unregister-node": fleet_pb2.UnregisterNodeFleetResponse,
    "pull-messages": fleet_pb2.PullMessagesResponse,
    "push-messages": fleet_pb2.PushMessagesResponse,
    "pull-object": message_pb2.PullObjectResponse,
    "push-object": message_pb2.PushObjectResponse,
    "confirm-message-received": message_pb2.ConfirmMessageReceivedResponse,
    "get-run": run_pb2.GetRunResponse,
    "get-fab": fab_pb2.GetFabResponse,
    "send-node-heartbeat": heartbeat_pb2.SendNodeHeartbeatResponse,
}
assert ANSWERS.keys() == FLEET

MOST = 64 * 2**20  # bytes of one request or answer


class Upstream:
    """Asks the studio; an async context manager.

    Args:
        server: https address of the studio.
        way: the route there: proxy and trusted certificates.
        fab_hash: SHA-256, hex, of the only program that may run here.
        timeout: seconds for the studio to answer in full; a SuperNode waits 30.
        notices: where the designer reads what is wrong.

    Attributes:
        sent, received: bytes of bodies, to and from the studio.
    """

    def __init__(self, server: str, way: Route, fab_hash: str, timeout: float, notices: Notices) -> None:
        self.server, self.way, self.fab_hash, self.timeout, self.notices = server, way, fab_hash, timeout, notices
        self.sent = self.received = 0
        self._was_online = False

    async def __aenter__(self) -> Upstream:
        # servers close idle connections: never reuse one that is about to be closed
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=4, keepalive_expiry=4)
        self._client = httpx.AsyncClient(
            verify=self.way.trust,
            proxy=self.way.proxy,
            trust_env=False,
            timeout=self.timeout,
            limits=limits,
            follow_redirects=False,
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        await self._client.aclose()

    async def ask(
        self, call: str, headers: dict[str, str], body: bytes, on_sent: Callable[[int], None] | None = None
    ) -> tuple[Protobuf | None, httpx.Response, bytes]:
        """One call.

        Args:
            call: one of ``wire.FLEET``.
            headers: of the SuperNode's request; those in ``wire.FORWARDED`` go on.
            on_sent: called with the number of bytes when they leave.
        Returns:
            the answer, its response and its content; None as the answer for an error that the SuperNode gets unchanged.
        Raises:
            CallRefusedError: for all other errors.
        """
        response, content = await self._send(call, headers, body, on_sent)
        answer = self._judged(call, response, content)
        if answer is not None:
            self._was_online = True
        return answer, response, content

    async def _send(
        self, call: str, headers: dict[str, str], body: bytes, on_sent: Callable[[int], None] | None
    ) -> tuple[httpx.Response, bytes]:
        """Ask the studio; redirects are not followed. Raises CallRefusedError if it does not answer."""

        async def counted() -> AsyncIterator[bytes]:  # read once there is a connection, and not before
            self.sent += len(body)
            if on_sent:
                on_sent(len(body))
            yield body

        kept = {name.encode(): headers[name].encode("latin-1") for name in FORWARDED if name in headers}
        kept |= {b"accept-encoding": b"identity", b"content-length": str(len(body)).encode()}
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
                            raise self.notices.trouble(
                                "error", f"{self.server} sends more than {MOST // 2**20} MB, which is too much: trying again"
                            )
        except (httpx.TimeoutException, TimeoutError):
            raise self.notices.trouble("away", f"{self.server} does not answer: trying again") from None
        except (httpx.HTTPError, httpx.StreamError, ssl.SSLError, OSError) as error:
            if reason := untrusted(error):
                raise self.notices.trouble("certificate", untrusted_sentence(self.server, reason)) from None
            raise self.notices.trouble(
                "away", f"{self.server} cannot be reached: check whether this machine is online. Trying again"
            ) from None
        return response, bytes(content)

    def _judged(self, call: str, response: httpx.Response, content: bytes) -> Protobuf | None:
        """A good answer; None for an error that the SuperNode gets unchanged. Raises CallRefusedError for other errors."""
        status, server, trouble = response.status_code, self.server, self.notices.trouble
        if 300 <= status < 400:
            where = printable(response.headers.get("location", "nowhere"), longest=80)
            raise trouble(
                "redirect", f"{server} redirects this machine to {where}, which the companion does not follow: check the address"
            )
        if status in (502, 503, 504):
            raise trouble("waking", f"{server} is waking up, which can take some minutes: waiting")
        if "text/html" in response.headers.get("content-type", "").lower():  # the host's page, in the studio's place
            raise trouble(
                "waking", f"{server} answers with a web page ({status}). It may be waking up; if this goes on, check the address"
            )
        if status == 401 and content.startswith(b"the clock of "):
            raise trouble(
                "waiting", f"{server} does not let this machine in, because the clock of this machine is wrong: set the clock"
            )
        if status == 401 and self._was_online:
            raise trouble("waiting", f"{server} does not know your key any more: it was revoked")
        if status == 401:
            raise trouble("waiting", f"{server} does not know your key yet: the operator has to approve it")
        if status in (408, 429):
            raise trouble("away", f"{server} is busy: trying again")
        if status != 200 and not 400 <= status < 500:
            raise trouble("error", f"{server} answers with an error ({status}): trying again")
        if status != 200:  # 4xx, about this call: the SuperNode drops what it was about
            return None
        try:
            answer = ANSWERS[call].FromString(content)
        except DecodeError:
            raise trouble("error", f"{server} answers with something that cannot be read: trying again") from None
        if isinstance(answer, fab_pb2.GetFabResponse):
            self._check_program(answer)
        return answer

    def _check_program(self, answer: fab_pb2.GetFabResponse) -> None:
        """Raises CallRefusedError if this is not the program of the installed release."""
        if not answer.HasField("fab"):  # an empty answer ships no program
            raise self.notices.trouble("error", f"{self.server} does not send the program that was asked for: trying again")
        sent, named = hashlib.sha256(answer.fab.content).hexdigest(), answer.fab.hash_str
        if sent == named == self.fab_hash:
            return
        called = "" if named == sent else f", which it calls {printable(named)[:12]!r}"
        # 403, as for a run that is over: the SuperNode drops the message and runs nothing
        raise self.notices.trouble(
            "refused",
            f"{self.server} sends another program ({sent[:12]}{called}) than the installed "
            f"release ({self.fab_hash[:12]}): nothing of it was run; ask the people who run the studio",
            403,
        )
