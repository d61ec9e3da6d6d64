"""The only way in: the calls a designer's SuperNode makes, forwarded to the SuperLink, and a status that anybody may read.

    a SuperNode -> TLS of the Space -> this router, in the studio's own process -> TLS on loopback -> the SuperLink

    POST /v1/fleet/<one of FLEET>   forwarded, for members in good standing
         /v1/...                    404, whatever the method: Flower's control and runtime APIs stay inside
    POST /federation/leave          a member's own wish to be a member no longer, signed like every call
    GET  /federation/status         what the federation is doing, JSON
    GET  /federation/health         200, or 503 where the SuperLink does not answer

A member's push-messages is looked into: it announces one answer of that member's own, to something that was asked. The
SuperLink (flwr 1.41) takes an announcement of anything from any member, so that one could give the others orders in the
server's name.

Whoever may not enter is turned away before a byte of the body is read and before the SuperLink hears of it. In this order:
the path; the key, which must be a member's; the signature, Flower's own, checked here too, because without that anybody
who knows a member's public key could use up that member's limits; whether the signature was used before; the limits.

A SuperNode (flwr 1.41) signs the time of each request, nothing else, and signs anew when it tries again, so that no
honest request repeats a signature. What is remembered of one is ``r``, its nonce: two requests of one moment differ in
it, and the second valid signature that anybody can compute from a first does not. The signature does not cover path or
body: those are as safe as TLS makes them.

What a SuperNode does with an answer decides which one it gets: after 401 it stops for good, after 503 and 504 it tries
again for as long as it takes, after anything else (408, 413, 429) it gives up: the message that it was sending, or, where
it was only asking for one, everything. The limits are far above what an honest one needs.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import datetime
import hashlib
import importlib.metadata
import json
import logging
import ssl
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key, load_ssh_public_key
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from flwr.proto.fleet_pb2 import PushMessagesRequest
from google.protobuf.message import DecodeError
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route

import fedgai
from federation.address import address_of
from federation.operator import revoke
from federation.server.folder import Folder, Member
from federation.wire import (
    FORWARDED,
    KEY_HEADER,
    RETURNED,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    Receive,
    RefusedError,
    Scope,
    Send,
    fleet_call,
    headers_of,
    plain,
)
from fedgai.model import CONFIG_FILE, CheckpointError

log = logging.getLogger("fedgai.gateway")

ANNOUNCEMENT = 2**20  # bytes; vgg16's has 6 kB
OLDEST, NEWEST = 305, 5  # s: a signature's age before and after which the SuperLink refuses it

Target = Callable[[], tuple[str, Path] | None]


@dataclass(frozen=True)
class Rate:
    """So much at once, and so much a second after that."""

    burst: float
    second: float


@dataclass(frozen=True)
class GatewayLimits:
    """What one caller may take. A designer's round is 0.06 MB up at the edge (tests/test_federation.py).

    Attributes:
        body: bytes of one request; Flower cuts arrays into chunks of 5 MB.
        body_seconds: for a body to arrive, and for an answer to be taken.
        idle_seconds: between two pieces of a body.
        upstream_seconds: for the SuperLink to answer; a SuperNode waits 30.
        key_requests, key_bytes: of one member. An update of vgg16 has 0.8 MB; 200 MB would take 25 minutes. What passes here is
            written into SQLite, which nobody else can write to meanwhile.
        address_requests, address_bytes: of all members at one address (a studio with many designers behind one router).
        strangers: requests without a member's key, from one address; they do not use up the members' share.
        key_in_flight, in_flight: requests at the same time, of one member, of all.
        log: lines about refusals, for one address.
        remembered: addresses; the one not heard of for longest is forgotten first.
    """

    body: int = 8 * 2**20
    body_seconds: float = 120.0
    idle_seconds: float = 20.0
    upstream_seconds: float = 25.0
    key_requests: Rate = Rate(300, 20)
    key_bytes: Rate = Rate(16 * 2**20, 2**17)
    address_requests: Rate = Rate(3000, 200)
    address_bytes: Rate = Rate(512 * 2**20, 2**20)
    strangers: Rate = Rate(60, 2)
    key_in_flight: int = 16
    in_flight: int = 256
    log: Rate = Rate(30, 0.2)
    remembered: int = 4096


class Buckets:
    """Token buckets by name.

    Args:
        rate: of each.
        most: how many are kept; one that is forgotten is full when it comes back.
    """

    def __init__(self, rate: Rate, most: int) -> None:
        self.rate, self.most = rate, most
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name -> tokens, when (s)

    def take(self, name: str, amount: float = 1) -> float:
        """Take ``amount`` out of a bucket. Returns 0, or for how many seconds there will not be enough in it."""
        now = time.monotonic()
        tokens, when = self._levels.pop(name, (self.rate.burst, now))
        tokens = min(self.rate.burst, tokens + (now - when) * self.rate.second)
        wait = max(0.0, (amount - tokens) / self.rate.second)
        self._levels[name] = (tokens if wait else tokens - amount, now)
        if len(self._levels) > self.most:
            self._levels.popitem(last=False)
        return wait

    def __len__(self) -> int:
        return len(self._levels)


class Signatures:
    """Nonces of the signatures seen, for as long as the SuperLink would take one again: in two halves, the older of which
    is dropped when even its newest is too old. What a member can put here is bounded by that member's request rate."""

    def __init__(self) -> None:
        self._new: set[int] = set()
        self._old: set[int] = set()
        self._since = time.monotonic()

    def __contains__(self, nonce: int) -> bool:
        return nonce in self._new or nonce in self._old

    def add(self, nonce: int) -> None:
        if time.monotonic() - self._since > OLDEST + NEWEST:
            self._new, self._old, self._since = set(), self._new, time.monotonic()
        self._new.add(nonce)


class Doorkeeper:
    """Who may enter: members in good standing, by their keys. Follows members.json."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._version: tuple[int, int, int] | None = None
        self._members: dict[bytes, tuple[Member, ec.EllipticCurvePublicKey]] = {}  # by the key, as Flower writes it (PEM)
        self._revoked: dict[bytes, Member] = {}
        self._signatures = Signatures()
        self._started = time.time()

    def member(self, key: bytes) -> Member:
        """Whose key that is. Raises RefusedError."""
        self._follow()
        if key in self._members:
            return self._members[key][0]
        if key in self._revoked:
            raise RefusedError(401, f"the key of {self._revoked[key].name} was revoked")
        raise RefusedError(401, f"the key {fingerprint(key)} is not registered with this federation")

    def check(self, key: bytes, timestamp: str, signature: bytes) -> int:
        """The signature of a member's request. Returns its nonce, for ``used``. Raises RefusedError."""
        member, public = self._members[key]
        try:
            signed = datetime.datetime.fromisoformat(timestamp).timestamp()
            nonce, _ = decode_dss_signature(signature)
            public.verify(signature, timestamp.encode("ascii"), ec.ECDSA(hashes.SHA256()))
        except (ValueError, OverflowError, InvalidSignature):
            raise RefusedError(401, f"the signature is not that of {member.name}") from None
        age = time.time() - signed
        if not -NEWEST < age < OLDEST:
            raise RefusedError(401, f"the clock of {member.name} is {abs(age):.0f} s {'behind' if age > 0 else 'ahead'}")
        if nonce in self._signatures:
            raise RefusedError(401, f"this request of {member.name} was made before (replayed)")
        if signed < self._started:  # whether it was used before then is not known here; a SuperNode signs anew
            raise RefusedError(503, f"this request of {member.name} was signed before the federation started: sign again", 1)
        return nonce

    def used(self, nonce: int) -> None:
        self._signatures.add(nonce)

    def _follow(self) -> None:
        """Read members.json where it is not the one last read."""
        try:
            file = (self._folder.path / "members.json").stat()
            version = (file.st_mtime_ns, file.st_ino, file.st_size)
        except FileNotFoundError:
            version = None
        if version == self._version and version is not None:
            return
        try:
            everybody = self._folder.members()
        except (CheckpointError, TypeError) as error:  # nobody knows who was revoked: nobody enters, nobody is sent away
            raise RefusedError(503, "the list of members cannot be read", 10) from error
        self._members, self._revoked = {}, {}
        for member in everybody:
            try:
                public = load_ssh_public_key(member.key.encode())
                pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            except (ValueError, TypeError, UnsupportedAlgorithm):  # one bad line keeps nobody else out
                log.warning("%s", plain(f"the key of {member.name} in members.json is none"))
                continue
            if member.revoked or not isinstance(public, ec.EllipticCurvePublicKey):
                self._revoked[pem] = member
            else:
                self._members[pem] = (member, public)
        self._version = version


class SuperLink:
    """Connections to the SuperLink, wherever it is at the moment, and when it last answered."""

    def __init__(self, target: Target, limits: GatewayLimits) -> None:
        self._target, self._limits = target, limits
        self._client: httpx.AsyncClient | None = None
        self._for: tuple[Any, ...] = ()
        self._probed = self.answered = 0.0  # monotonic seconds, 0 for never

    @property
    def known(self) -> bool:
        """Whether the host says where it is: then it is up, and everything before it is done."""
        return self._target() is not None

    async def client(self) -> tuple[httpx.AsyncClient, str]:
        """One that trusts this SuperLink's certificate only, and its URL. Raises RefusedError where it is not up."""
        target = self._target()
        if target is None:
            raise RefusedError(503, "the federation is starting", 5)
        address, certificate = target
        try:
            file = certificate.stat()
            wanted = (address, certificate, file.st_mtime_ns, file.st_ino, asyncio.get_running_loop())
            if self._client is None or wanted != self._for:
                trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                trust.load_verify_locations(certificate)
                former, self._for = self._client, wanted
                self._client = httpx.AsyncClient(
                    verify=trust, trust_env=False, follow_redirects=False,  # the machine's proxies are for the outside
                    timeout=httpx.Timeout(self._limits.upstream_seconds, connect=5),
                    # the SuperLink closes a connection after 5 s of silence: never take one that it is about to close
                    limits=httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=4),
                )  # fmt: skip
                if former is not None:  # what is still on its way there has another minute
                    asyncio.get_running_loop().call_later(60, lambda: asyncio.ensure_future(former.aclose()))
        except (OSError, ssl.SSLError):
            raise RefusedError(503, "the federation is starting", 5) from None
        return self._client, f"https://{address}"

    def heard(self) -> None:
        self.answered = time.monotonic()

    async def silence(self) -> float:
        """Seconds since it last answered, infinity where it never did. Asks it, at most once a second."""
        now = time.monotonic()
        if now - max(self.answered, self._probed) > 1:
            self._probed = now
            try:
                client, url = await self.client()
                if (await client.get(f"{url}/health", timeout=3)).status_code == 200:
                    self.heard()
            except (RefusedError, httpx.HTTPError):
                pass
        return time.monotonic() - self.answered if self.answered else float("inf")


class Body:
    """A request's body as it arrives, counted and timed: an async iterator over its pieces. Raises RefusedError,
    or ClientDisconnect where the caller hangs up.

    Args:
        scope, receive: of the request.
        limits: the gateway's.
        charge: called with the number of bytes, before they go on; may raise RefusedError.
    """

    def __init__(self, scope: Scope, receive: Receive, limits: GatewayLimits, charge: Callable[[int], None]) -> None:
        self._receive, self._limits, self._charge = receive, limits, charge
        self._headers = headers_of(scope)
        self.done = False
        self.length: int | None = None  # bytes, where it was told

    def admit(self) -> None:
        """Look at the length, where the caller told it."""
        told = self._headers.get("content-length", "") if "transfer-encoding" not in self._headers else ""
        if told.isascii() and told.isdigit():
            self.length = int(told)
            self._check(self.length)
            self._charge(self.length)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        clock, size = asyncio.get_running_loop().time, 0
        deadline = clock() + self._limits.body_seconds
        while not self.done:
            try:
                async with asyncio.timeout_at(min(deadline, clock() + self._limits.idle_seconds)):
                    message = await self._receive()
            except TimeoutError:
                raise RefusedError(408, "the body takes too long to arrive") from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece = message.get("body", b"")
            self.done = not message.get("more_body", False)
            size += len(piece)
            self._check(size)
            if self.length is None:
                self._charge(len(piece))
            if piece:
                yield piece

    async def drop(self) -> None:
        """Let what is still coming come, for a moment: a caller in the middle of sending does not read an answer."""
        try:
            async with asyncio.timeout(2):
                while not self.done:
                    message = await self._receive()
                    self.done = message["type"] == "http.disconnect" or not message.get("more_body", False)
        except TimeoutError:
            pass

    def _check(self, size: int) -> None:
        if size > self._limits.body:
            raise RefusedError(413, f"a request has at most {self._limits.body / 2**20:g} MB")


class Gate:
    """All of /v1, as an ASGI application."""

    def __init__(self, folder: Folder, superlink: SuperLink, limits: GatewayLimits) -> None:
        self.limits, self.superlink, self.doorkeeper = limits, superlink, Doorkeeper(folder)
        most = limits.remembered
        self.key_requests, self.key_bytes = Buckets(limits.key_requests, most), Buckets(limits.key_bytes, most)
        self.address_requests, self.address_bytes = Buckets(limits.address_requests, most), Buckets(limits.address_bytes, most)
        self.strangers, self._lines = Buckets(limits.strangers, most), Buckets(limits.log, most)
        self._in_flight: Counter[str] = Counter()  # by name of the member
        self._unwritten = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = address_of(scope)
        name, key = "", ""

        def charge(size: int) -> None:
            take(self.address_bytes, address, size, f"too many bytes from {address}")
            take(self.key_bytes, key, size, f"too many bytes from {name}")

        body = Body(scope, receive, self.limits, charge)
        try:
            call = fleet_call(scope)
            member, key = self.admit(scope, address)
            name = member.name
            body.admit()
            self._in_flight[key] += 1
            try:
                content = body if call != "push-messages" else await announced(body, member)
                await self.forward(scope, call, name, content, body.length, send)
            finally:
                self._in_flight[key] -= 1
                if not self._in_flight[key]:
                    del self._in_flight[key]
        except RefusedError as refusal:
            self.write(address, scope, refusal)
            await answer(refusal, body, send)
        except ClientDisconnect:
            pass

    def admit(self, scope: Scope, address: str) -> tuple[Member, str]:
        """Who is calling: the member, and what this member's limits go by. Raises RefusedError."""
        headers = headers_of(scope)
        try:
            key = base64.b64decode(headers[KEY_HEADER], validate=True)
            signature = base64.b64decode(headers[SIGNATURE_HEADER], validate=True)
            timestamp = headers[TIMESTAMP_HEADER]
            member = self.doorkeeper.member(key)
        except (KeyError, binascii.Error, ValueError) as error:
            take(self.strangers, address, 1, f"too many requests without a registered key from {address}")
            missing = isinstance(error, KeyError)
            raise RefusedError(401, "no key: members only" if missing else "the key or its signature is not base64") from None
        except RefusedError as refusal:
            if refusal.status == 401:
                take(self.strangers, address, 1, f"too many requests without a registered key from {address}")
                if not self.superlink.known:  # the members may not be restored yet, and a SuperNode told 401 stops for good
                    raise RefusedError(503, f"the federation is starting ({refusal.reason})", 5) from None
            raise
        # before the signature: checking it costs half a millisecond
        take(self.address_requests, address, 1, f"too many requests from {address}")
        nonce = self.doorkeeper.check(key, timestamp, signature)
        identity = key.decode()
        take(self.key_requests, identity, 1, f"too many requests from {member.name}")
        self.doorkeeper.used(nonce)
        if self._in_flight[identity] >= self.limits.key_in_flight or self._in_flight.total() >= self.limits.in_flight:
            raise RefusedError(503, f"too many requests at the same time from {member.name}", 1)
        return member, identity

    async def forward(self, scope: Scope, call: str, name: str, body: Body | bytes, length: int | None, send: Send) -> None:
        """The request to the SuperLink as its body arrives, the answer back as it comes. Raises as Body does."""
        client, url = await self.superlink.client()
        sent = headers_of(scope)
        headers = [(header, sent[header].encode("latin-1")) for header in FORWARDED if header in sent]
        headers.append(("accept-encoding", b"identity"))
        if length is not None:
            headers.append(("content-length", str(length).encode()))
        try:
            request = client.build_request("POST", f"{url}/v1/fleet/{call}", headers=headers, content=body)
            request.headers.pop("user-agent", None)
            response = await client.send(request, stream=True)
        except httpx.TimeoutException:
            raise RefusedError(504, "the SuperLink takes too long", 5) from None
        except httpx.HTTPError:
            raise RefusedError(503, "the SuperLink cannot be reached", 5) from None
        self.superlink.heard()
        try:
            if call == "activate-node" and response.status_code == 412:
                # Approved, but not yet known there; or killed, and back before its last heartbeat has run out (a minute).
                # As it is, the SuperNode would stop for good.
                raise RefusedError(503, f"{name} will be let in in a moment", 3)
            if response.status_code == 401:  # for what is not ours to know: the node's number is another since a restart
                log.warning("%s", plain(f"the SuperLink refused {call} of {name} (401)"))
            returned = [(h.encode(), response.headers[h].encode("latin-1")) for h in RETURNED if h in response.headers]
            async with asyncio.timeout(self.limits.body_seconds):
                await send({"type": "http.response.start", "status": response.status_code, "headers": returned})
                async for piece in response.aiter_raw():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except (httpx.HTTPError, TimeoutError) as error:  # half an answer is out: the connection closes, the caller asks again
            log.warning("%s", plain(f"the answer to {call} of {name} broke off ({type(error).__name__})"))
        finally:
            await response.aclose()

    def write(self, address: str, scope: Scope, refusal: RefusedError) -> None:
        """One line a refusal, unless one address makes so many that the log would be all about it."""
        if self._lines.take(address):
            self._unwritten += 1
            return
        more = f" ({self._unwritten} more refusals were not written)" if self._unwritten else ""
        self._unwritten = 0
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")[:80]
        log.warning("%s", plain(f"{refusal.status} {scope.get('method', '')} {path} from {address}: {refusal.reason}{more}"))


def gateway(folder: Folder, target: Target, limits: GatewayLimits = GatewayLimits()) -> APIRouter:
    """The routes; include them before anything that is mounted at /.

    Args:
        folder: whose members may enter, and whose status is told.
        target: the SuperLink's address ("127.0.0.1:9091") and the file of the CA to verify it by, or None while it is
            not up. It should not be up before all members are registered there: a SuperNode that is told 401 stops.
        limits: what one caller may take.
    """
    superlink = SuperLink(target, limits)
    gate = Gate(folder, superlink, limits)
    told: tuple[float, dict[str, Any]] = (float("-inf"), {})

    async def status() -> JSONResponse:
        """What the federation is doing; at most a second old."""
        nonlocal told
        if time.monotonic() - told[0] > 1:
            try:
                told = (time.monotonic(), public_status(folder))
            except CheckpointError:  # names the file; that is for the log only
                log.warning("the federation's folder is damaged", exc_info=True)
                return JSONResponse({"error": "the federation's state cannot be read"}, 503)
        return JSONResponse(told[1], headers={"cache-control": "no-store"})

    async def health() -> JSONResponse:
        """200 where the SuperLink has answered within 30 s."""
        if await superlink.silence() <= 30:
            return JSONResponse({"status": "ok"})
        word = "silent" if superlink.answered else "starting"
        return JSONResponse({"status": word}, 503, headers={"retry-after": "5"})

    async def leave(request: Request) -> JSONResponse:
        """Sign with the key that shall be forgotten; 200 with the member's name, or as /v1 answers."""
        try:
            name = gate.admit(request.scope, address_of(request.scope))[0].name
        except RefusedError as refusal:
            gate.write(address_of(request.scope), request.scope, refusal)
            return JSONResponse({"error": refusal.reason}, refusal.status)
        revoke(folder, name)
        log.info("%s", plain(f"{name} left"))
        return JSONResponse({"left": name})

    router = APIRouter()
    router.routes += [Route("/v1", gate), Route("/v1/{rest:path}", gate)]
    router.add_api_route("/federation/leave", leave, methods=["POST"])
    router.add_api_route("/federation/status", status, methods=["GET"])
    router.add_api_route("/federation/health", health, methods=["GET"])
    return router


def public_status(folder: Folder) -> dict[str, Any]:
    """What anybody may know, for JSON: names that the designers chose to show, never keys or Flower's numbers.

    Raises:
        CheckpointError: a file of the folder is damaged.
    """
    status, latest, rounds = folder.status(), folder.latest(), folder.rounds()
    try:
        config = json.loads((folder.checkpoint(latest) / CONFIG_FILE).read_text()) if latest is not None else {}
        newest = folder.report(rounds[-1]) if rounds else {}
    except (OSError, ValueError):  # pruned a moment ago
        config, newest = {}, {}
    return {
        "version": fedgai.__version__,
        "flower": importlib.metadata.version("flwr"),
        "app_hash": folder.read("app.json", {}).get("fab_hash"),
        "preset": config.get("preset"),
        "encoder": config.get("encoder_sha256"),
        "round": status.round,
        "rounds": status.rounds,
        "phase": status.phase,
        "progress": status.progress,
        "designers_online": status.online,
        "waiting_for": status.waiting_for,
        "checkpoint": latest,
        "held_back": newest.get("held_back", ""),
        "updated": status.updated,
    }


class BodyLimit:
    """ASGI middleware: 413 for a body above ``limit`` bytes. Gradio limits files (``max_file_size``), but not the JSON of
    its other routes, which it reads into memory whole. The page's own are under 2 kB: pictures go up as files.

    Args:
        app: what is behind it.
        limit: bytes.
        except_for: paths with limits of their own: as they are, or, ending in /, all below.
    """

    def __init__(self, app: Any, limit: int = 2 * 2**20, except_for: tuple[str, ...] = ("/gradio_api/upload", "/v1/")) -> None:
        self.app, self.limit = app, limit
        self._exact = {path for path in except_for if not path.endswith("/")}
        self._below = tuple(path for path in except_for if path.endswith("/"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._exact or scope["path"].startswith(self._below):
            return await self.app(scope, receive, send)
        told = headers_of(scope).get("content-length", "")
        too_much = told.isascii() and told.isdigit() and int(told) > self.limit
        size, started = 0, False
        body = Body(scope, receive, GatewayLimits(), lambda size: None)

        async def counted() -> MutableMapping[str, Any]:
            nonlocal size, too_much
            message = await receive()
            size += len(message.get("body", b""))
            body.done = not message.get("more_body", False)
            if size > self.limit:
                too_much = True
                raise RefusedError(413, "the body is too long")
            return message

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if too_much and not started:  # whatever a framework makes of a body that it could not read
                raise RefusedError(413, "the body is too long")
            started = True
            await send(message)

        try:
            if too_much:
                raise RefusedError(413, "the body is too long")
            await self.app(scope, counted, watched)
        except Exception:
            if not too_much or started:
                raise
            await answer(RefusedError(413, f"a request has at most {self.limit / 2**20:g} MB"), body, send)


def take(buckets: Buckets, name: str, amount: float, reason: str) -> None:
    """Out of a bucket, or RefusedError."""
    if wait := buckets.take(name, amount):
        raise RefusedError(429, reason, wait)


async def answer(refusal: RefusedError, body: Body, send: Send) -> None:
    """A refusal, as plain text, on a connection that then closes."""
    text = f"{refusal.reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode()),
               (b"connection", b"close")]  # fmt: skip
    if refusal.retry:
        headers.append((b"retry-after", str(max(1, round(min(refusal.retry, 3600)))).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": text, "more_body": True})
    await body.drop()
    await send({"type": "http.response.body", "body": b""})


async def announced(body: Body, member: Member) -> bytes:
    """A push-messages request, whole, once it is what a SuperNode sends. Raises RefusedError, or as Body does."""
    content = bytearray()
    async for piece in body:
        content += piece
        if len(content) > ANNOUNCEMENT:
            raise RefusedError(413, f"an announcement has at most {ANNOUNCEMENT / 2**20:g} MB; contents follow as objects")
    try:
        messages = PushMessagesRequest.FromString(bytes(content)).messages_list
    except DecodeError:
        raise RefusedError(400, f"{member.name} announces something unintelligible") from None
    if len(messages) != 1 or not messages[0].metadata.reply_to_message_id or messages[0].metadata.src_node_id != member.node_id:
        raise RefusedError(403, f"{member.name} announces something other than an answer of their own")
    return bytes(content)


def fingerprint(key: bytes) -> str:
    """As ``ssh-keygen -l`` prints it, so that an operator finds it again; or "?" for what is no key."""
    try:
        line = load_pem_public_key(key).public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    except Exception:  # a stranger's bytes, and a parser: whatever it raises
        return "?"
    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(line.split()[1])).digest()).decode().rstrip("=")


