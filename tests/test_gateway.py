"""The gateway as the internet meets it: real sockets, a stand-in upstream to see what passes, and a real SuperLink."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import json
import logging
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("flwr")
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from fastapi import FastAPI, Request
from fastapi.responses import Response
from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE, SYSTEM_TIME_TOLERANCE, TIMESTAMP_HEADER, TIMESTAMP_TOLERANCE
from flwr.proto.control_pb2 import RegisterNodeRequest
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import Metadata as ProtoMetadata
from flwr.proto.node_pb2 import Node
from flwr.supercore import constant
from flwr.supercore.primitives.asymmetric import generate_key_pairs, public_key_to_bytes, sign_message
from flwr.superlink.routers.fleet.router import router as fleet_router
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.fleet_http_connection import http_request_response
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from federation.address import address_of
from federation.server import gateway as module
from federation.server.folder import Folder, Member
from federation.server.gateway import BodyLimit, Buckets, GatewayLimits, Rate, gateway
from federation.wire import FLEET

Target = tuple[str, Path] | None
P384 = int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16)  # its order


class Designer:
    """A key pair, and requests signed with it as a SuperNode signs them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.private, self.public = generate_key_pairs()
        self.pem = public_key_to_bytes(self.public)
        self.line = self.public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()

    def headers(self, timestamp: str | None = None) -> dict[str, str]:
        timestamp = timestamp or datetime.datetime.now(datetime.UTC).isoformat()
        return {
            "flwr-public-key": base64.b64encode(self.pem).decode(),
            "flwr-signature": base64.b64encode(sign_message(self.private, timestamp.encode())).decode(),
            "flwr-timestamp": timestamp, "content-type": "application/protobuf", "accept": "application/protobuf",
        }  # fmt: skip


class Server:
    """An ASGI application on a free loopback port, in a thread."""

    def __init__(self, app: Any, **settings: Any) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        config = uvicorn.Config(app, port=self.port, log_level="error", timeout_graceful_shutdown=1, **settings)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


class Upstream:
    """Stands in for the SuperLink: keeps what comes, answers with what it was told to."""

    def __init__(self, certificate: tuple[Path, Path, Path]) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status, self.delay, self.answer = 200, 0.0, b"answer"
        app = FastAPI(docs_url=None, openapi_url=None)

        @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
        async def everything(path: str, request: Request) -> Response:
            body = await request.body()
            self.requests.append((request.method, request.url.path, dict(request.headers), body))
            if path != "health":
                await asyncio.sleep(self.delay)
            headers = {"set-cookie": "a=b", "x-secret": "1", "flwr-version-incompatibility-message": "old"}
            return Response(self.answer, self.status, headers, "application/protobuf")

        self.server = Server(app, ssl_certfile=certificate[1], ssl_keyfile=certificate[2])


class Way:
    """A gateway of one's own in front of something, with a page mounted at / as the studio is."""

    def __init__(self, folder: Folder, target: Callable[[], Target], limits: GatewayLimits) -> None:
        page = FastAPI(docs_url=None, openapi_url=None)

        @page.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
        async def studio(path: str) -> Response:
            return Response("the studio", headers={"x-studio": "1"})

        self.folder = folder
        self.router = gateway(folder, target, limits)
        app = FastAPI(docs_url=None, openapi_url=None)
        app.include_router(self.router)
        app.mount("/", page)
        self.server = Server(app, proxy_headers=False)
        self.url = f"http://{self.server.address}"
        self.gate = next(route for route in self.router.routes if getattr(route, "path", "") == "/v1").app

    def post(self, designer: Designer | None, call: str = "pull-messages", content: Any = b"body",
             **headers: str) -> httpx.Response:  # fmt: skip
        return self.send((designer.headers() if designer else {}) | headers, call, content)

    def send(self, headers: dict[str, str], call: str = "pull-messages", content: Any = b"body") -> httpx.Response:
        return httpx.post(f"{self.url}/v1/fleet/{call}", content=content, headers=headers, timeout=30, trust_env=False)

    def raw(self, request: bytes) -> bytes:
        """What comes back for these very bytes."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as s:
            s.sendall(request)
            s.settimeout(3)
            got = b""
            try:
                while piece := s.recv(65536):
                    got += piece
            except (TimeoutError, ConnectionResetError):
                pass
            return got


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A CA of this run, a certificate for 127.0.0.1, its key."""
    folder = tmp_path_factory.mktemp("tls")
    now = datetime.datetime.now(datetime.UTC)

    def issue(name: str, ca: bool, signer: Any = None) -> tuple[x509.Certificate, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(signer[0].subject if signer else subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )  # fmt: skip
        if not ca:
            names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer[1] if signer else key, hashes.SHA256()), key

    authority = issue("test CA", True)
    server, key = issue("localhost", False, authority)
    files = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    files[0].write_bytes(authority[0].public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(server.public_bytes(serialization.Encoding.PEM))
    files[2].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()))  # fmt: skip
    return files


@pytest.fixture(scope="module")
def shared_upstream(certificate: tuple[Path, Path, Path]) -> Iterator[Upstream]:
    upstream = Upstream(certificate)
    yield upstream
    upstream.server.stop()


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    shared_upstream.requests.clear()
    shared_upstream.status, shared_upstream.delay, shared_upstream.answer = 200, 0.0, b"answer"
    return shared_upstream


@pytest.fixture
def ada() -> Designer:
    return Designer("Ada Line")


@pytest.fixture
def bruno() -> Designer:
    return Designer("Bruno Hatch")


@pytest.fixture
def open_way(tmp_path: Path, upstream: Upstream, certificate: tuple[Path, Path, Path], ada: Designer, bruno: Designer,
             caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Way]]:  # fmt: skip
    """Opens a gateway for Ada and Bruno, with these limits."""
    caplog.set_level(logging.WARNING, "fedgai.gateway")
    folder = Folder(tmp_path / "federation")
    approve(folder, ada, bruno)
    ways = []

    def opened(target: Callable[[], Target] | None = None, **limits: Any) -> Way:
        to = target or (lambda: (upstream.server.address, certificate[0]))
        ways.append(Way(folder, to, replace(GatewayLimits(), **limits)))
        return ways[-1]

    yield opened
    for way in ways:
        way.server.stop()


@pytest.fixture
def way(open_way: Callable[..., Way]) -> Way:
    return open_way()


def approve(folder: Folder, *designers: Designer) -> None:
    folder.change_members(lambda members: members + [Member(d.name, d.line, 7) for d in designers])


def revoke(folder: Folder, designer: Designer) -> None:
    folder.change_members(lambda all_: [replace(m, revoked="2026-01-01") if m.key == designer.line else m for m in all_])


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "fedgai.gateway"]


def as_lines(headers: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def calls(upstream: Upstream) -> list[str]:
    return [path for _, path, _, _ in upstream.requests if path != "/health"]


# -- what is pinned ------------------------------------------------------------------------------------------------------


def test_the_names_are_those_of_the_installed_flower() -> None:
    assert {f"/v1/fleet/{name}" for name in FLEET} == {route.path for route in fleet_router.routes}
    assert all(route.methods == {"POST"} for route in fleet_router.routes)
    assert module.KEY_HEADER == constant.FLEET_HTTP_PUBLIC_KEY_HEADER
    assert module.SIGNATURE_HEADER == constant.FLEET_HTTP_SIGNATURE_HEADER
    assert module.TIMESTAMP_HEADER == TIMESTAMP_HEADER
    assert module.OLDEST == TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE and module.NEWEST == SYSTEM_TIME_TOLERANCE
    assert constant.VERSION_INCOMPATIBILITY_MESSAGE_METADATA_KEY in module.RETURNED
    versions = {constant.FLWR_PACKAGE_NAME_METADATA_KEY, constant.FLWR_PACKAGE_VERSION_METADATA_KEY,
                constant.FLWR_COMPONENT_NAME_METADATA_KEY}  # fmt: skip
    assert versions < set(module.FORWARDED)
    assert FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE + 2**16 < GatewayLimits().body


# -- what passes ---------------------------------------------------------------------------------------------------------


def test_forwards_what_is_needed_and_nothing_else(way: Way, ada: Designer, upstream: Upstream) -> None:
    extra = {"cookie": "s=1", "x-forwarded-for": "6.6.6.6", "authorization": "Bearer x", "x-http-method-override": "DELETE",
             "flwr-task-token": "t", "flwr-package-version": "1.41.0"}  # fmt: skip
    answer = way.post(ada, "push-object", b"x" * 3_000_000, **extra)
    assert answer.status_code == 200 and answer.content == b"answer"
    assert answer.headers["flwr-version-incompatibility-message"] == "old"
    assert "set-cookie" not in answer.headers and "x-secret" not in answer.headers
    [(method, path, headers, body)] = upstream.requests
    assert (method, path, len(body)) == ("POST", "/v1/fleet/push-object", 3_000_000)
    allowed = {"host", "connection", "content-length", "accept-encoding", *module.FORWARDED}
    assert set(headers) <= allowed and headers["flwr-package-version"] == "1.41.0"
    assert headers["host"] == upstream.server.address


def test_forwards_a_body_of_unknown_length(way: Way, ada: Designer, upstream: Upstream) -> None:
    assert way.post(ada, content=iter([b"a" * 1000, b"b" * 1000])).status_code == 200
    assert upstream.requests[0][3] == b"a" * 1000 + b"b" * 1000


def test_the_superlinks_refusals_come_back_as_they_are(way: Way, ada: Designer, upstream: Upstream,
                                                       caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    upstream.status, upstream.answer = 401, b'{"detail": "Invalid SuperNode authentication"}'
    answer = way.post(ada)
    assert answer.status_code == 401 and answer.content == upstream.answer
    assert "refused pull-messages of Ada Line" in lines(caplog)[0]


def test_a_member_whom_the_superlink_does_not_know_yet_tries_again(way: Way, ada: Designer, upstream: Upstream) -> None:
    upstream.status = 412
    answer = way.post(ada, "activate-node")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "3"
    assert way.post(ada, "deactivate-node").status_code == 412


# -- who is turned away --------------------------------------------------------------------------------------------------


def test_strangers_stay_outside(way: Way, ada: Designer, upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    eve = Designer("Eve")
    assert way.post(None).status_code == 401
    assert way.post(eve).status_code == 401
    assert way.post(ada, **{"flwr-public-key": "?!"}).status_code == 401
    assert way.post(ada, **{"flwr-public-key": base64.b64encode(b"\x00garbage\n").decode()}).status_code == 401
    stolen = eve.headers() | {"flwr-public-key": ada.headers()["flwr-public-key"]}  # public keys are no secret
    assert way.send(stolen).status_code == 401
    assert way.send(ada.headers("yesterday")).status_code == 401
    assert way.send(ada.headers(datetime.datetime.now(datetime.UTC).replace(year=2000).isoformat())).status_code == 401
    assert calls(upstream) == []
    written = lines(caplog)
    assert len(written) == 7 and "no key" in written[0] and "is not registered" in written[1] and "SHA256:" in written[1]
    assert way.post(ada).status_code == 200  # others are unaffected


def test_nobody_is_sent_away_before_the_host_is_up(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an emptied disk the members come back from the Hub after the gateway is open; a SuperNode told 401 stops for good."""
    eve = Designer("Eve")
    monkeypatch.setattr(way.gate.superlink, "_target", lambda: None)
    answer = way.post(eve, "send-node-heartbeat")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
    monkeypatch.undo()
    assert way.post(eve, "send-node-heartbeat").status_code == 401


def test_the_fingerprint_is_that_of_ssh_keygen(ada: Designer, tmp_path: Path) -> None:
    if not shutil.which("ssh-keygen"):
        pytest.skip("no ssh-keygen")
    (tmp_path / "key.pub").write_text(ada.line)
    printed = subprocess.run(["ssh-keygen", "-lf", tmp_path / "key.pub"], capture_output=True, text=True, check=True).stdout
    assert module.fingerprint(ada.pem) in printed.split()


def test_revoked_takes_effect_at_once(way: Way, ada: Designer, bruno: Designer, upstream: Upstream,
                                      caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    assert way.post(ada).status_code == way.post(bruno).status_code == 200
    revoke(way.folder, ada)
    answer = way.post(ada)
    assert answer.status_code == 401 and answer.text == "the key of Ada Line was revoked\n"
    assert way.post(bruno).status_code == 200
    assert [line for line in lines(caplog) if "revoked" in line] == [
        "401 POST /v1/fleet/pull-messages from 127.0.0.1: the key of Ada Line was revoked"
    ]
    approve(way.folder, ada)  # again, later: the entry in good standing counts
    assert way.post(ada).status_code == 200
    assert len(upstream.requests) == 4


def test_a_member_can_leave_and_nobody_else_can_make_them(way: Way, ada: Designer, bruno: Designer) -> None:
    url = f"{way.url}/federation/leave"
    stranger = Designer("Nobody")
    assert httpx.post(url).status_code == 401
    assert httpx.post(url, headers=stranger.headers()).status_code == 401
    signed = ada.headers()
    signed["flwr-public-key"] = bruno.headers()["flwr-public-key"]  # her signature, his key
    assert httpx.post(url, headers=signed).status_code == 401
    assert way.post(ada).status_code == way.post(bruno).status_code == 200
    signed = ada.headers()
    answer = httpx.post(url, headers=signed)
    assert (answer.status_code, answer.json()) == (200, {"left": "Ada Line"})
    assert way.post(ada).status_code == 401 and way.post(bruno).status_code == 200
    assert httpx.post(url, headers=signed).status_code == 401
    assert [bool(m.revoked) for m in way.folder.members()] == [True, False]


def test_a_damaged_list_of_members_sends_nobody_away(way: Way, ada: Designer) -> None:
    (way.folder.path / "members.json").write_text("[{")
    answer = way.post(ada)
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0  # a SuperNode stops for good after 401
    way.folder.write("members.json", [])
    approve(way.folder, ada)
    assert way.post(ada).status_code == 200


def test_a_replayed_request_is_refused(way: Way, ada: Designer, upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    headers = ada.headers()
    assert way.send(headers).status_code == 200
    for call, body in (("pull-messages", b"body"), ("push-object", b"another")):
        answer = way.send(headers, call, body)
        assert answer.status_code == 401 and "replayed" in answer.text
    r, s = decode_dss_signature(base64.b64decode(headers["flwr-signature"]))
    twin = base64.b64encode(encode_dss_signature(r, P384 - s)).decode()  # valid too, and anybody can compute it
    ada.public.verify(base64.b64decode(twin), headers["flwr-timestamp"].encode(), ec.ECDSA(hashes.SHA256()))
    assert "replayed" in way.send(headers | {"flwr-signature": twin}).text
    assert len(upstream.requests) == 1 and len([line for line in lines(caplog) if "replayed" in line]) == 3
    same_moment = ada.headers(headers["flwr-timestamp"])  # a clock that ticks slowly, and two calls at once
    assert way.send(same_moment).status_code == 200


def test_a_replay_from_before_a_restart(open_way: Callable[..., Way], ada: Designer, upstream: Upstream) -> None:
    headers = ada.headers()
    way = open_way()
    answer = way.send(headers)
    assert answer.status_code == 503 and "sign again" in answer.text
    assert way.post(ada).status_code == 200 and len(upstream.requests) == 1


def test_signatures_are_forgotten_only_when_they_are_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    seen = module.Signatures()
    for second in range(0, 2000, 10):
        clock[0] = second
        seen.add(second)
        assert all(s in seen for s in range(max(0, second - 310), second + 1, 10))
    assert 0 not in seen and len(seen._new) + len(seen._old) < 70


# -- paths ---------------------------------------------------------------------------------------------------------------


def declared() -> list[tuple[str, str]]:
    """Method and path of every route that the installed SuperLink has."""
    from fastapi.routing import iter_route_contexts
    from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
    from flwr.superlink.main import create_app

    found = set(PROTOBUF_REQUEST_TYPES)
    for context in iter_route_contexts(create_app(None).routes):
        route = context.route
        path, methods = getattr(context, "path", None) or route.path, getattr(route, "methods", None) or {"POST"}
        found |= {(method, path) for method in methods}
    return sorted(found)


def test_every_other_route_of_the_superlink_is_unreachable(way: Way, ada: Designer, upstream: Upstream) -> None:
    routes = declared()
    assert len(routes) > 70 and ("POST", "/v1/control/start-run") in routes and ("POST", "/v1/runtime/pull-task-input") in routes
    reached = set()
    with httpx.Client(base_url=way.url, trust_env=False) as client:
        for _, path in routes:
            for method in ("POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND"):
                path = path.replace("{", "").replace("}", "")
                upstream.requests.clear()
                answer = client.request(method, path, headers=ada.headers(), content=announcement())
                if upstream.requests:
                    assert answer.status_code == 200 and upstream.requests[0][:2] == (method, path)
                    reached.add((method, path))
                else:  # nobody there, or the studio's own page
                    assert answer.status_code == 404 or not path.startswith("/v1"), (method, path)
    assert reached == {("POST", f"/v1/fleet/{name}") for name in FLEET}


def announcement(count: int = 1, **changes: Any) -> bytes:
    """As a SuperNode announces its answer to a question (``approve`` gives node ids of 7)."""
    metadata = {"run_id": 1, "message_id": "a" * 64, "src_node_id": 7, "dst_node_id": 1, "reply_to_message_id": "b" * 64,
                "message_type": "train", "created_at": time.time(), "ttl": 60.0} | changes  # fmt: skip
    return PushMessagesRequest(messages_list=[ProtoMessage(metadata=ProtoMetadata(**metadata))] * count).SerializeToString()


def test_a_member_announces_an_answer_of_their_own_and_nothing_else(way: Way, ada: Designer, upstream: Upstream,
                                                                  caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    assert way.post(ada, "push-messages", announcement()).status_code == 200
    assert PushMessagesRequest.FromString(upstream.requests.pop()[3]).messages_list[0].metadata.src_node_id == 7
    for content, status in (
        (announcement(reply_to_message_id=""), 403),  # an order: to another designer, or to the server
        (announcement(src_node_id=1, reply_to_message_id=""), 403),  # in the server's name
        (announcement(src_node_id=8), 403), (announcement(2), 403), (announcement(0), 403), (b"", 403),
        (b"\xff" * 5000, 400), (announcement(group_id="x" * 2**20), 413),
    ):  # fmt: skip
        assert way.post(ada, "push-messages", content).status_code == status
    assert not upstream.requests
    assert sum("other than an answer of their own" in line for line in lines(caplog)) == 6


TRICKS = [
    "/v1", "/v1/", "/v1/fleet", "/v1/fleet/", "/v1/fleet/pull-messages/", "/v1/fleet//pull-messages", "/v1//fleet/pull-messages",
    "//v1/fleet/pull-messages", "/v1/fleet/pull-messages?x=1", "/v1/fleet/pull-messages;x", "/v1/fleet/Pull-Messages",
    "/V1/FLEET/pull-messages", "/v1/fleet/pull-messages%00", "/v1/fleet/pull%2dmessages", "/%761/fleet/pull-messages",
    "/v1/fleet/%2e%2e/control/list-runs", "/v1/fleet/../control/list-runs", "/v1/fleet/..%2fcontrol%2flist-runs",
    "/v1%2ffleet%2fpull-messages", "/v1/fleet/pull-messages/../../control/list-runs",
    "/v1/fleet/pull-messages%2f..%2f..%2fcontrol", "/v1/fleet/pull-messages%0d%0ax: y", "/v1/fleet/%70ull-messages",
    "/./v1/fleet/pull-messages", "/v1/./fleet/pull-messages",
    "/v1/control/list-runs", "/v1/runtime/get-nodes", "/v1/fleet\\pull-messages", "/federation/../v1/fleet/pull-messages",
    "/v1/fleet/pull-messages.", "/x/../v1/fleet/pull-messages", "@127.0.0.1/v1/fleet/pull-messages",
]  # fmt: skip


def test_path_tricks(way: Way, ada: Designer, upstream: Upstream) -> None:
    for path in TRICKS:
        for extra in ("", "X-HTTP-Method-Override: POST\r\nX-Original-URL: /v1/fleet/pull-messages\r\n"):
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{as_lines(ada.headers())}{extra}"
            answer = way.raw(f"{head}Content-Length: 0\r\n\r\n".encode())
            first = answer.split(b"\r\n")[0]
            if path.startswith(("/v1/", "/%761")) and " " not in path:
                assert first.split()[1] == b"404", (path, first)
            else:  # no such request, or one for the studio's page
                assert b" 404 " in first or b" 400 " in first or b"x-studio" in answer, (path, first)
    for line in ("CONNECT 127.0.0.1:9091 HTTP/1.1", f"POST https://{upstream.server.address}/v1/control/list-runs HTTP/1.1",
                 f"POST http://{upstream.server.address}/v1/runtime/get-nodes HTTP/1.1", "POST * HTTP/1.1"):  # fmt: skip
        way.raw(f"{line}\r\nHost: {upstream.server.address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
    upgrade = as_lines({"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OTAxMjM0NQ=="})  # fmt: skip
    assert b" 101 " not in way.raw(f"GET /v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n".encode())
    assert [request for request in upstream.requests if request[1] not in ("/v1/fleet/pull-messages", "/health")] == []
    assert calls(upstream) == []


def test_two_lengths_are_no_way_to_smuggle(way: Way, ada: Designer, upstream: Upstream) -> None:
    inner = "POST /v1/control/list-runs HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    way.raw(f"POST /v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\n{as_lines(ada.headers())}Content-Length: {len(inner) + 5}\r\n"
            f"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}".encode())  # fmt: skip
    assert "/v1/control/list-runs" not in calls(upstream)


def test_a_log_line_is_one_line(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    way.folder.change_members(lambda members: [*members, Member("Mal\nlory\x1b[31m", "no key", 1)])
    way.post(Designer("Eve"))
    way.raw(b"POST /v1/a%0a\xe2\x80\xa8\x1b[31mfleet HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    way.raw(b"POST /v1/" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    written = lines(caplog)
    assert len(written) >= 2 and all(line.isprintable() and len(line) <= 400 for line in written)


# -- limits --------------------------------------------------------------------------------------------------------------


def test_a_big_body(open_way: Callable[..., Way], ada: Designer, upstream: Upstream) -> None:
    way = open_way(body=100_000)
    assert way.post(ada, content=b"x" * 100_000).status_code == 200
    upstream.requests.clear()
    assert way.post(ada, content=b"x" * 100_001).status_code == 413
    assert way.post(ada, content=(b"x" * 10_000 for _ in range(200))).status_code == 413  # length not told
    signed = as_lines(ada.headers() | {"content-length": "200000000"})
    answer = way.raw(f"POST /v1/fleet/push-object HTTP/1.1\r\nHost: x\r\n{signed}\r\n".encode())
    assert b" 413 " in answer.split(b"\r\n")[0]
    assert calls(upstream) == []
    assert way.post(ada).status_code == 200


def test_a_slow_body(open_way: Callable[..., Way], ada: Designer, bruno: Designer, upstream: Upstream) -> None:
    way = open_way(body_seconds=1.2, idle_seconds=0.5)

    def dripping(pause: float) -> Iterator[bytes]:
        for _ in range(round(2.4 / pause)):
            yield b"x"
            time.sleep(pause)

    for pause in (0.1, 0.8):  # too long in all, too long between two pieces
        start = time.perf_counter()
        try:
            assert way.post(ada, content=dripping(pause)).status_code == 408
        except (httpx.WriteError, httpx.ReadError):  # hung up on while still sending
            pass
        assert time.perf_counter() - start < 4.5
    assert calls(upstream) == []
    assert way.post(bruno).status_code == 200
    for _ in range(50):  # an answer is here a moment before its request is done with
        if way.gate._in_flight:
            time.sleep(0.02)
    assert not way.gate._in_flight


def test_a_flood_of_one_member(open_way: Callable[..., Way], ada: Designer, bruno: Designer, upstream: Upstream,
                               caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    way = open_way(key_requests=Rate(20, 0.5), log=Rate(5, 0.01))
    started = time.monotonic()
    answers = [way.post(ada) for _ in range(40)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 19 - 0.5 * (time.monotonic() - started) <= len(refused) <= 20
    assert all(1 <= int(answer.headers["retry-after"]) <= 3 for answer in refused)
    assert len(lines(caplog)) == 5
    assert way.post(bruno).status_code == 200


def test_a_flood_of_strangers_does_not_reach_members_at_the_same_address(open_way: Callable[..., Way], ada: Designer,
                                                                        upstream: Upstream) -> None:  # fmt: skip
    way = open_way(strangers=Rate(10, 0.01))
    eve = Designer("Eve")
    codes = [way.post(eve if i % 2 else None).status_code for i in range(30)]
    assert codes[:10] == [401] * 10 and codes[10:] == [429] * 20
    assert way.post(ada).status_code == 200


def test_with_a_members_public_key_nobody_uses_up_the_members_share(open_way: Callable[..., Way], ada: Designer) -> None:
    way = open_way(key_requests=Rate(5, 0.01))
    for _ in range(20):
        assert way.send(Designer("Eve").headers() | {"flwr-public-key": ada.headers()["flwr-public-key"]}).status_code == 401
    assert way.post(ada).status_code == 200


def test_200_megabytes_never_arrive(way: Way, ada: Designer, bruno: Designer, upstream: Upstream) -> None:
    chunk, codes = b"x" * (5 * 2**20), []
    for _ in range(40):
        codes.append(way.post(ada, "push-object", chunk).status_code)
        upstream.requests.clear()
        if codes[-1] == 429:
            break
    assert codes[-1] == 429 and 4 <= len(codes) <= 8
    assert way.post(ada, content=iter([chunk])).status_code == 429  # nor without telling how much it is
    assert way.post(bruno, "push-object", chunk).status_code == 200
    assert (200 * 2**20 - GatewayLimits().key_bytes.burst) / GatewayLimits().key_bytes.second > 900  # s


def test_buckets_are_bounded_and_fill_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    buckets = Buckets(Rate(2, 0.5), 100)
    assert [buckets.take("a"), buckets.take("a"), buckets.take("a")] == [0, 0, 2]
    clock[0] = 2.0
    assert buckets.take("a") == 0 and buckets.take("a") == 2
    for i in range(1000):
        buckets.take(str(i))
    assert len(buckets) == 100


def test_too_many_at_the_same_time(open_way: Callable[..., Way], ada: Designer, bruno: Designer, upstream: Upstream) -> None:
    way = open_way(key_in_flight=3)
    upstream.delay = 1.0
    with ThreadPoolExecutor(9) as pool:
        answers = [pool.submit(way.post, ada) for _ in range(8)]
        time.sleep(0.3)
        other = pool.submit(way.post, bruno)
    codes = sorted(answer.result().status_code for answer in answers)
    assert codes == [200] * 3 + [503] * 5 and other.result().status_code == 200


def test_the_address_behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    def address(client: str, *forwarded: str) -> str:
        return address_of({"client": (client, 1), "headers": [(b"x-forwarded-for", f.encode()) for f in forwarded]})

    assert address("10.0.0.1", "6.6.6.6") == "10.0.0.1"  # anybody can write that header
    monkeypatch.setenv("SPACE_ID", "a/b")
    assert address("10.0.0.1", "6.6.6.6, 7.7.7.7") == "7.7.7.7"
    assert address("10.0.0.1", "6.6.6.6", "7.7.7.7") == "7.7.7.7"
    assert address("10.0.0.1") == "10.0.0.1"
    assert address("10.0.0.1", "x\n1") == "unknown"
    assert address("10.0.0.1", "2001:db8::1") == address("10.0.0.1", "2001:db8::2") == "2001:db8::/64"
    assert address("10.0.0.1", "::ffff:9.9.9.9") == "9.9.9.9"
    monkeypatch.setenv("FEDGAI_PROXIES", "2")  # a proxy of one's own, and a network that delivers for it
    assert address("10.0.0.1", "6.6.6.6, 7.7.7.7, 8.8.8.8") == "7.7.7.7"
    assert address("10.0.0.1", "8.8.8.8") == "8.8.8.8"
    monkeypatch.setenv("FEDGAI_PROXIES", "0")
    assert address("10.0.0.1", "6.6.6.6") == "10.0.0.1"


# -- the SuperLink away --------------------------------------------------------------------------------------------------


def test_away_slow_or_somebody_else(open_way: Callable[..., Way], ada: Designer, upstream: Upstream, tmp_path: Path,
                                    certificate: tuple[Path, Path, Path]) -> None:  # fmt: skip
    target: list[Target] = [None]
    way = open_way(lambda: target[0], upstream_seconds=0.5)
    starting = way.post(ada)
    assert starting.status_code == 503 and starting.headers["retry-after"] == "5"
    assert starting.headers["content-type"].startswith("text/plain")
    assert httpx.get(f"{way.url}/federation/health").status_code == 503
    target[0] = ("127.0.0.1:1", certificate[0])
    assert way.post(ada).status_code == 503
    target[0] = (upstream.server.address, tmp_path / "not yet")
    assert way.post(ada).status_code == 503
    other = tmp_path / "other.pem"
    other.write_bytes(certificate[0].read_bytes())
    target[0] = (f"localhost:{upstream.server.port}", other)
    assert way.post(ada).status_code == 200
    # the same address, but whoever listens there does not have our host's certificate
    shutil.copy(foreign_ca(tmp_path), other)
    upstream.requests.clear()
    assert way.post(ada).status_code == 503 and upstream.requests == []
    target[0] = (upstream.server.address, certificate[0])
    assert way.post(ada).status_code == 200
    upstream.delay = 2.0
    slow = way.post(ada)
    assert slow.status_code == 504 and slow.headers["retry-after"] == "5"
    assert httpx.get(f"{way.url}/federation/health").json() == {"status": "ok"}


def foreign_ca(tmp_path: Path) -> Path:
    file = tmp_path / "foreign.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "foreign")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return file


# -- what anybody may know -----------------------------------------------------------------------------------------------


def test_status(way: Way, ada: Designer, tiny_model_dir: Path) -> None:
    before = httpx.get(f"{way.url}/federation/status").json()
    assert before["phase"] == "starting" and before["checkpoint"] is None and before["preset"] is None
    for number, held_back in ((1, ""), (2, "drawings got worse")):
        shutil.copytree(tiny_model_dir, way.folder.checkpoint(number))
        report = {"held_back": held_back, "published": not held_back}
        (way.folder.checkpoint(number) / "report.json").write_text(json.dumps(report))
    way.folder.set_latest(1)
    way.folder.write("app.json", {"fab_hash": "abc"})
    way.folder.set_status(phase="training", round=3, progress=0.5, online=["Ada Line"])
    time.sleep(1.1)
    answer = httpx.get(f"{way.url}/federation/status")
    status = answer.json()
    config = json.loads((tiny_model_dir / "config.json").read_text())
    assert status == {
        "version": "0.1.0", "flower": "1.41.0", "app_hash": "abc", "preset": "edge", "encoder": config["encoder_sha256"],
        "round": 3, "rounds": 11, "phase": "training", "progress": 0.5, "designers_online": ["Ada Line"], "waiting_for": 0,
        "checkpoint": 1, "held_back": "drawings got worse", "updated": status["updated"],
    }  # fmt: skip
    assert ada.line.split()[1] not in answer.text and "node" not in answer.text
    (way.folder.path / "status.json").write_text("{")
    time.sleep(1.1)
    damaged = httpx.get(f"{way.url}/federation/status")
    assert damaged.status_code == 503 and str(way.folder.path) not in damaged.text


def test_health_after_a_silence(way: Way, ada: Designer, monkeypatch: pytest.MonkeyPatch, upstream: Upstream) -> None:
    assert httpx.get(f"{way.url}/federation/health").status_code == 200
    superlink = way.gate.superlink
    monkeypatch.setattr(superlink, "_target", lambda: None)
    superlink.answered -= 20
    assert httpx.get(f"{way.url}/federation/health").status_code == 200
    superlink.answered -= 20
    answer = httpx.get(f"{way.url}/federation/health")
    assert answer.status_code == 503 and answer.json() == {"status": "silent"}


def test_body_limit() -> None:
    app = FastAPI()
    app.add_middleware(BodyLimit, limit=1000, except_for=("/upload", "/v1/"))

    @app.post("/{path:path}")
    async def echo(path: str, request: Request) -> Response:
        if path == "json":
            return Response(str(await request.json()))
        return Response(str(len(await request.body())))

    @app.post("/typed/json")
    def typed(content: dict[str, Any]) -> dict[str, int]:
        return {"keys": len(content)}

    server = Server(app)
    with httpx.Client(base_url=f"http://{server.address}", trust_env=False) as client:
        assert client.post("/queue/join", content=b"x" * 1000).text == "1000"
        assert client.post("/queue/join", content=b"x" * 1001).status_code == 413
        for path in ("/queue/join", "/json", "/typed/json"):
            start = time.perf_counter()
            assert client.post(path, content=(b"x" * 100 for _ in range(50))).status_code == 413
            assert client.post(path, content=iter([b"x" * 1001])).status_code == 413
            assert time.perf_counter() - start < 1.5
        assert client.post("/upload", content=b"x" * 9000).text == client.post("/v1/x", content=b"x" * 9000).text == "9000"
        assert client.post("/upload/../queue/join", content=b"x" * 9000).status_code == 413
        assert client.post("/uploadx", content=b"x" * 9000).status_code == 413
    server.stop()


# -- a real SuperLink ----------------------------------------------------------------------------------------------------


class RealSuperLink:
    """flower-superlink as the host starts it: loopback, TLS, SuperNode authentication."""

    def __init__(self, certificate: tuple[Path, Path, Path], folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address, self.certificate = f"127.0.0.1:{port}", certificate
        environment = {**os.environ, "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "FLWR_HOME": str(folder),
                       "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # fmt: skip
        command = [Path(sys.executable).parent / "flower-superlink", "--host", "127.0.0.1", "--port", str(port),
                   "--ssl-ca-certfile", certificate[0], "--ssl-certfile", certificate[1], "--ssl-keyfile", certificate[2],
                   "--enable-supernode-auth", "--disable-runtime-dependency-installation",
                   "--database", folder / "state.db"]  # fmt: skip
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(command, env=environment, cwd=folder, stdout=self.log, stderr=subprocess.STDOUT)
        trust = ssl.create_default_context(cafile=certificate[0])
        self.direct = httpx.Client(base_url=f"https://{self.address}", verify=trust, trust_env=False)
        for _ in range(600):
            try:
                if self.direct.get("/health").status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)
        self.stop()
        self.log.seek(0)
        raise RuntimeError(self.log.read())

    def register(self, designer: Designer) -> None:
        content = RegisterNodeRequest(public_key=designer.pem).SerializeToString()
        self.direct.post("/v1/control/register-node", content=content,
                         headers={"content-type": "application/protobuf"}).raise_for_status()  # fmt: skip

    def stop(self) -> None:
        self.direct.close()  # the SuperLink would wait 30 s for this end to say goodbye
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()


@pytest.fixture(scope="module")
def superlink(certificate: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSuperLink]:
    superlink = RealSuperLink(certificate, tmp_path_factory.mktemp("superlink"))
    yield superlink
    superlink.stop()


@pytest.fixture
def real_way(open_way: Callable[..., Way], superlink: RealSuperLink) -> Way:
    return open_way(lambda: (superlink.address, superlink.certificate[0]))


def test_a_real_designer_comes_in_and_nobody_else(real_way: Way, superlink: RealSuperLink, ada: Designer, bruno: Designer,
                                                  caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    superlink.register(ada)
    address = real_way.server.address
    with http_request_response(address, True, authentication_keys=(ada.private, ada.public), max_retries=1) as connection:
        node_id, receive = connection[0], connection[1]
        assert node_id and receive() is None
        # approved here, but the SuperLink does not know him yet: wait, do not stop
        assert real_way.post(bruno, "activate-node", b"").status_code == 401  # not even a request: the SuperLink's own word
        client = FleetHttpClient(f"http://{address}", interceptors=[NodeAuthHttpInterceptor(bruno.private, bruno.public)])
        with pytest.raises(httpx.HTTPStatusError) as waiting:
            client.ActivateNode(ActivateNodeRequest(public_key=bruno.pem, heartbeat_interval=30))
        assert waiting.value.response.status_code == 503
        superlink.register(bruno)
        number = client.ActivateNode(ActivateNodeRequest(public_key=bruno.pem, heartbeat_interval=30)).node_id
        with pytest.raises(httpx.HTTPStatusError) as somebody_else:  # with his own key, in Ada's name
            client.PullMessages(PullMessagesRequest(node=Node(node_id=node_id)))
        assert somebody_else.value.response.status_code == 401
        # the four of the floor
        eve = Designer("Eve")
        body = PullMessagesRequest(node=Node(node_id=number)).SerializeToString()
        signed = bruno.headers()
        assert real_way.send(signed, content=body).status_code == 200
        assert real_way.send(signed, content=body).status_code == 401
        assert real_way.post(None, content=body).status_code == 401
        assert real_way.post(eve, content=body).status_code == 401
        revoke(real_way.folder, bruno)
        assert real_way.post(bruno, content=body).status_code == 401
        for word in ("replayed", "no key", "not registered", "revoked"):
            assert sum(word in line for line in lines(caplog)) == 1
        assert receive() is None  # Ada is unaffected
        # inside, the control API takes anybody; from outside it is not there
        empty = {"content-type": "application/protobuf"}
        assert superlink.direct.post("/v1/control/list-runs", headers=empty).status_code == 200
        outside = httpx.post(f"{real_way.url}/v1/control/list-runs", headers=ada.headers())
        assert outside.status_code == 404
    assert httpx.get(f"{real_way.url}/federation/health").json() == {"status": "ok"}


def test_of_a_running_superlink_only_the_fleet_is_reachable(real_way: Way, superlink: RealSuperLink, ada: Designer) -> None:
    paths = set(superlink.direct.get("/openapi.json").json()["paths"])
    assert len(paths) > 70 and {f"/v1/fleet/{name}" for name in FLEET} < paths
    with httpx.Client(base_url=real_way.url, trust_env=False) as client:
        for path in sorted(paths):
            answer = client.post(path, headers=ada.headers())
            if path.removeprefix("/v1/fleet/") in FLEET:
                assert answer.status_code not in (404, 405) and "x-studio" not in answer.headers
            else:
                assert answer.status_code == 404 or "x-studio" in answer.headers, path


def test_eight_designers_at_once_are_all_heard(real_way: Way, superlink: RealSuperLink, caplog: pytest.LogCaptureFixture) -> None:
    """Each asks thirty times as often as a SuperNode does, and nobody meets with a limit."""
    designers = [Designer(f"Designer {i}") for i in range(8)]
    approve(real_way.folder, *designers)
    for designer in designers:
        superlink.register(designer)

    def poll(designer: Designer) -> int:
        """How many of twenty pull-messages were answered."""
        interceptors = [NodeAuthHttpInterceptor(designer.private, designer.public)]
        with FleetHttpClient(real_way.url, interceptors=interceptors) as client:
            number = client.ActivateNode(ActivateNodeRequest(public_key=designer.pem, heartbeat_interval=30)).node_id
            answers = []
            for _ in range(20):
                answers.append(client.PullMessages(PullMessagesRequest(node=Node(node_id=number))))
                time.sleep(0.1)
        return len(answers)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(poll, designers)) == [20] * 8
    assert not lines(caplog)
