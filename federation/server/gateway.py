"""The gateway: forwards a SuperNode's calls to the SuperLink, refuses all others, and shows a status that anybody may read.

    a SuperNode -> TLS of the Space -> this router, in the studio's own process -> TLS on loopback -> the SuperLink

    POST /v1/fleet/<one of FLEET>   forwarded, for members in good standing
         /v1/...                    404, whatever the method: Flower's control and runtime APIs stay inside
    POST /federation/leave          ends the caller's own membership; signed like each call
    GET  /federation/status         what the federation is doing, JSON
    GET  /federation/health         200, or 503 where the SuperLink does not answer or the federation does not go on

A caller who may not enter is refused before a byte of the body is read, and the SuperLink gets nothing of the call. These are
checked, in this order: the path; the key, which must be a member's; the signature, which is Flower's own (without this check,
anybody who knows a member's public key could use up that member's limits); whether the signature was used before; the limits.
What a member then sends is compared with what that member was asked (announcements.py).

A SuperNode (flwr 1.42) signs the time of each request, nothing else, and signs again when it tries again, so that no
honest request repeats a signature. Of a signature, the gateway remembers ``r``, its nonce. Two requests of the same moment have
different ones; but from one valid signature anybody can compute a second one, and that has the same. The signature covers
neither path nor body: these are protected by TLS only.

The status code is chosen by what a SuperNode does after it. After 401 it stops for good. After 503 and 504 it tries again,
without end. After any other error (403, 408, 413, 429, 500) it gives up the message that it was sending; if it was only asking
for one, it stops. The limits are far above what an honest SuperNode needs.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesResponse, PushMessagesRequest, PushMessagesResponse
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PushObjectRequest
from google.protobuf.message import DecodeError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route

from federation.address import address_of
from federation.server.admission import Admission, AdmittedMember
from federation.server.folder import Folder
from federation.server.members import revoke
from federation.server.public_status import public_status, stalled
from federation.server.rates import GatewayLimits
from federation.server.request_body import RequestBody, refuse
from federation.server.superlink_client import SuperLinkClient, Target
from federation.wire import CallRefusedError, Receive, Scope, Send, fleet_call
from fedgai.model import CheckpointError
from fedgai.text import printable

log = logging.getLogger("fedgai.gateway")

HEARTBEAT = 30.0  # seconds, as every SuperNode asks for; twice that after the last one, a designer is offline
SMALL = 2**14  # bytes of a request that names one object or none
ANNOUNCEMENT = 2**16  # bytes of a push-messages; vgg16's has 2 kB
SILENT = 30.0  # seconds without an answer, after which the SuperLink counts as away


class FleetGateway:
    """All of /v1, as an ASGI application.

    Args:
        folder: whose members may enter.
        superlink: where their calls go.
        limits: what one caller may take.
    """

    def __init__(self, folder: Folder, superlink: SuperLinkClient, limits: GatewayLimits) -> None:
        self.limits, self.superlink, self.admission = limits, superlink, Admission(folder, limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address, caller = address_of(scope), None

        def charge(size: int) -> None:
            assert caller is not None  # nothing is read before
            self.admission.charge(caller, address, size)

        body = RequestBody(scope, receive, self.limits, charge)
        in_flight = self.admission.in_flight
        try:
            call = fleet_call(scope)
            caller = await self.admission.admit(scope, address, is_up=self.superlink.is_up)
            in_flight[caller.key] += 1
            try:
                await self._handle(scope, call, caller, body, send)
            finally:
                in_flight[caller.key] -= 1
                if not in_flight[caller.key]:
                    del in_flight[caller.key]
        except CallRefusedError as refusal:
            self.admission.write(address, scope, refusal)
            await refuse(refusal, body, send)
        except ClientDisconnect:
            pass

    async def _handle(self, scope: Scope, call: str, caller: AdmittedMember, body: RequestBody, send: Send) -> None:
        """One call. Raises CallRefusedError, and as RequestBody does."""
        exchange, size = caller.exchange, caller.exchange.size
        most = {"push-object": size.largest + SMALL, "push-messages": ANNOUNCEMENT}.get(call, SMALL)
        content = await body.whole(most, f"a {call} has at most {most:,} bytes")
        try:
            if call == "push-messages":
                with exchange.announcing():
                    announcement = exchange.announce(PushMessagesRequest.FromString(content))
                    async with self.superlink.call(scope, call, caller.name, content) as answer:
                        if answer.status_code == 200:
                            exchange.announced(announcement, PushMessagesResponse.FromString(await answer.aread()))
                        await self.superlink.give(answer, call, caller.name, send)
                return
            content = self._checked(call, caller, content)
            async with self.superlink.call(scope, call, caller.name, content, caller.member.node_id) as answer:
                if call == "pull-messages" and answer.status_code == 200:
                    exchange.pulled(PullMessagesResponse.FromString(await answer.aread()))
                await self.superlink.give(answer, call, caller.name, send)
        except DecodeError:
            raise CallRefusedError(400, f"{caller.name} sends something that cannot be read") from None

    def _checked(self, call: str, caller: AdmittedMember, content: bytes) -> bytes:
        """What is forwarded of a request. Raises CallRefusedError, DecodeError."""
        match call:
            case "push-object":
                caller.exchange.push(PushObjectRequest.FromString(content))
            case "confirm-message-received":
                caller.exchange.confirm(ConfirmMessageReceivedRequest.FromString(content))
            case "activate-node":
                activation = ActivateNodeRequest.FromString(content)
                activation.heartbeat_interval = HEARTBEAT
                return bytes(activation.SerializeToString())
            case "send-node-heartbeat":
                heartbeat = SendNodeHeartbeatRequest.FromString(content)
                heartbeat.heartbeat_interval = HEARTBEAT
                return bytes(heartbeat.SerializeToString())
        return content


def gateway(folder: Folder, target: Target, limits: GatewayLimits | None = None) -> APIRouter:
    """The routes. Include them before anything that is mounted at /.

    Args:
        folder: its members may enter, and ``/status`` shows its status.
        target: the SuperLink's address ("127.0.0.1:9091") and the file of the CA to verify it by, or None while it is
            not up. It should not be up before all members are registered there: a SuperNode that gets 401 stops.
        limits: what one caller may take; None for the usual.
    """
    limits = limits or GatewayLimits()
    superlink = SuperLinkClient(target, limits)
    fleet = FleetGateway(folder, superlink, limits)
    newest: tuple[float, dict[str, Any]] = (float("-inf"), {})

    async def status() -> JSONResponse:
        """What the federation is doing; at most a second old."""
        nonlocal newest
        if time.monotonic() - newest[0] > 1:
            try:
                newest = (time.monotonic(), public_status(folder))
            except CheckpointError:  # names the file; that is for the log only
                log.warning("the federation's folder is damaged", exc_info=True)
                return JSONResponse({"error": "the federation's state cannot be read"}, 503)
        return JSONResponse(newest[1], headers={"cache-control": "no-store"})

    async def health() -> JSONResponse:
        """200 where the SuperLink answers and the federation goes on, or waits for people."""
        silent = await superlink.silence()
        if silent > SILENT:
            word, reason = ("silent", "the SuperLink does not answer") if superlink.answered else ("starting", "")
        else:
            try:
                word, reason = "stalled", stalled(folder)
            except CheckpointError:
                word, reason = "damaged", "the federation's state cannot be read"
            if not reason:
                return JSONResponse({"status": "ok"})
        return JSONResponse({"status": word, "reason": reason}, 503, headers={"retry-after": "5"})

    async def leave(request: Request) -> JSONResponse:
        """Sign with the key that shall be forgotten; 200 with the member's name, or as /v1 answers."""
        address = address_of(request.scope)
        try:
            member = (await fleet.admission.admit(request.scope, address, is_up=superlink.is_up)).member
        except CallRefusedError as refusal:
            fleet.admission.write(address, request.scope, refusal)
            return JSONResponse({"error": refusal.reason}, refusal.status)
        await run_in_threadpool(revoke, folder, member.name)
        log.info("%s", printable(f"{member.name} left", longest=400))
        return JSONResponse({"left": member.name})

    router = APIRouter()
    router.routes += [Route("/v1", fleet), Route("/v1/{rest:path}", fleet)]
    router.add_api_route("/federation/leave", leave, methods=["POST"])
    router.add_api_route("/federation/status", status, methods=["GET"])
    router.add_api_route("/federation/health", health, methods=["GET"])
    return router
