"""The gateway as the internet meets it: real sockets, a stand-in upstream to see what passes, and a real SuperLink."""

from __future__ import annotations

import base64
import datetime
import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from helpers.studio_server import PATIENCE

pytest.importorskip("flwr")
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE, SYSTEM_TIME_TOLERANCE, TIMESTAMP_HEADER, TIMESTAMP_TOLERANCE
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest, PullMessagesRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore import constant
from flwr.superlink.routers.fleet.router import router as fleet_router
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.fleet_http_connection import http_request_response
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from helpers.gateway import (
    ANSWER,
    P384,
    QUESTION,
    Designer,
    RealSuperLink,
    Target,
    Upstream,
    Way,
    announcement,
    approve,
    as_lines,
    calls,
    certificates,
    content,
    lines,
    pushed,
    revoke,
    tree_of,
    wait_until,
)

from federation import wire
from federation.address import address_of
from federation.identity import fingerprint
from federation.server import member_keys, rates, superlink_client
from federation.server.folder import Folder
from federation.server.members import Member
from federation.server.rates import Buckets, GatewayLimits, Rate
from federation.wire import FLEET, update_size
from fedgai import __version__


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A CA of this run, a certificate for 127.0.0.1, its key."""
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def shared_upstream(certificate: tuple[Path, Path, Path]) -> Iterator[Upstream]:
    upstream = Upstream(certificate)
    yield upstream
    upstream.server.stop()


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    shared_upstream.reset()
    return shared_upstream


@pytest.fixture
def ada() -> Designer:
    return Designer("Ada Line")


@pytest.fixture
def bruno() -> Designer:
    return Designer("Bruno Hatch")


@pytest.fixture
def open_way(
    tmp_path: Path,
    upstream: Upstream,
    certificate: tuple[Path, Path, Path],
    ada: Designer,
    bruno: Designer,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Callable[..., Way]]:
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


# -- what is pinned ------------------------------------------------------------------------------------------------------


def test_the_names_are_those_of_the_installed_flower() -> None:
    assert {f"/v1/fleet/{name}" for name in FLEET} == {route.path for route in fleet_router.routes}
    assert all(route.methods == {"POST"} for route in fleet_router.routes)
    assert wire.KEY_HEADER == constant.FLEET_HTTP_PUBLIC_KEY_HEADER
    assert wire.SIGNATURE_HEADER == constant.FLEET_HTTP_SIGNATURE_HEADER
    assert wire.TIMESTAMP_HEADER == TIMESTAMP_HEADER
    assert member_keys.OLDEST == TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE and member_keys.NEWEST == SYSTEM_TIME_TOLERANCE
    assert constant.VERSION_INCOMPATIBILITY_MESSAGE_METADATA_KEY in wire.RETURNED
    versions = {
        constant.FLWR_PACKAGE_NAME_METADATA_KEY,
        constant.FLWR_PACKAGE_VERSION_METADATA_KEY,
        constant.FLWR_COMPONENT_NAME_METADATA_KEY,
    }
    assert versions < set(wire.FORWARDED)
    assert wire.CHUNK == FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE


# -- what passes ---------------------------------------------------------------------------------------------------------


def test_forwards_what_is_needed_and_nothing_else(way: Way, ada: Designer, upstream: Upstream) -> None:
    extra = {
        "cookie": "s=1",
        "x-forwarded-for": "6.6.6.6",
        "authorization": "Bearer x",
        "x-http-method-override": "DELETE",
        "flwr-task-token": "t",
        "flwr-package-version": "1.42.0",
    }
    answer = way.post(ada, "get-run", b"x" * 10_000, **extra)
    assert answer.status_code == 200 and answer.content == ANSWER
    assert answer.headers["flwr-version-incompatibility-message"] == "old"
    assert "set-cookie" not in answer.headers and "x-secret" not in answer.headers
    [(method, path, headers, body)] = upstream.requests
    assert (method, path, len(body)) == ("POST", "/v1/fleet/get-run", 10_000)
    allowed = {"host", "connection", "content-length", "accept-encoding", *wire.FORWARDED}
    assert set(headers) <= allowed and headers["flwr-package-version"] == "1.42.0"
    assert headers["host"] == upstream.server.address


def test_forwards_a_body_of_unknown_length(way: Way, ada: Designer, upstream: Upstream) -> None:
    assert way.post(ada, content=iter([b"a" * 1000, b"b" * 1000])).status_code == 200
    assert upstream.requests[0][3] == b"a" * 1000 + b"b" * 1000


def test_the_superlinks_refusals_come_back_as_they_are(
    way: Way, ada: Designer, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.status, upstream.answers["pull-messages"] = 401, b'{"detail": "Invalid SuperNode authentication"}'
    answer = way.post(ada)
    assert answer.status_code == 401 and answer.content == upstream.answers["pull-messages"]
    assert "refused pull-messages of Ada Line" in lines(caplog)[0]


def test_a_member_whom_the_superlink_does_not_know_yet_tries_again(way: Way, ada: Designer, upstream: Upstream) -> None:
    upstream.status = 412
    answer = way.post(ada, "activate-node", b"")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "3"
    assert way.post(ada, "deactivate-node").status_code == 412


def test_a_supernode_that_was_killed_is_let_in_again_soon(
    way: Way, ada: Designer, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SuperLink takes the one before for alive for another minute: it is signed off, with the number of this key.

    For a few seconds nobody is there, so that the round in progress does not wait for what the one before was asked.
    """
    clock = [time.monotonic()]
    monkeypatch.setattr(superlink_client, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    upstream.once["activate-node"] = 412
    answer = way.post(ada, "activate-node", b"")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "3"
    clock[0] += 0.9 * superlink_client.NOTICED
    assert way.post(ada, "activate-node", b"").status_code == 503
    clock[0] += 0.2 * superlink_client.NOTICED
    assert way.post(ada, "activate-node", b"").status_code == 200
    asked = [(path.rpartition("/")[2], body) for _, path, _, body in upstream.requests if path != "/health"]
    [member] = [m for m in way.folder.members() if m.name == ada.name]
    assert [call for call, _ in asked] == ["activate-node", "deactivate-node", "activate-node"]
    assert DeactivateNodeRequest.FromString(asked[1][1]).node_id == member.node_id > 0


# -- who is turned away --------------------------------------------------------------------------------------------------


def test_strangers_stay_outside(way: Way, ada: Designer, upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    eve = Designer("Eve")
    assert way.post(None).status_code == 401
    assert way.post(eve).status_code == 401
    assert way.post(ada, **{"flwr-public-key": "?!"}).status_code == 401
    assert way.post(ada, **{"flwr-public-key": base64.b64encode(b"\x00garbage\n").decode()}).status_code == 401
    stolen = eve.headers() | {"flwr-public-key": ada.headers()["flwr-public-key"]}  # public keys are not secret
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
    monkeypatch.setattr(way.fleet.superlink, "_target", lambda: None)
    answer = way.post(eve, "send-node-heartbeat", b"")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
    monkeypatch.undo()
    assert way.post(eve, "send-node-heartbeat").status_code == 401


def test_the_fingerprint_is_that_of_ssh_keygen(ada: Designer, tmp_path: Path) -> None:
    if not shutil.which("ssh-keygen"):
        pytest.skip("no ssh-keygen")
    (tmp_path / "key.pub").write_text(ada.line)
    printed = subprocess.run(["ssh-keygen", "-lf", tmp_path / "key.pub"], capture_output=True, text=True, check=True).stdout
    assert fingerprint(ada.line) in printed.split()


def test_revoked_takes_effect_at_once(
    way: Way, ada: Designer, bruno: Designer, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
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
    for call, body in (("pull-messages", b"body"), ("get-run", b"another")):
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
    monkeypatch.setattr(member_keys.time, "monotonic", lambda: clock[0])
    seen = member_keys.UsedSignatures()
    for second in range(0, 2000, 10):
        clock[0] = second
        seen.add(second)
        assert all(s in seen for s in range(max(0, second - 310), second + 1, 10))
    assert 0 not in seen and len(seen) < 70


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
    object_id, data = content("an object")
    upstream.asks()
    assert way.post(ada).status_code == 200
    assert way.post(ada, "push-messages", announcement(tree_of(object_id))).status_code == 200
    bodies = {
        "push-messages": announcement(tree_of(object_id)),
        "push-object": pushed(object_id, data),
        "confirm-message-received": ConfirmMessageReceivedRequest(message_object_id=QUESTION).SerializeToString(),
    }
    with httpx.Client(base_url=way.url, trust_env=False) as client:
        for _, path in routes:
            for method in ("POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND"):
                path = path.replace("{", "").replace("}", "")
                upstream.requests.clear()
                answer = client.request(method, path, headers=ada.headers(), content=bodies.get(path.rpartition("/")[2], b""))
                if upstream.requests:
                    assert answer.status_code == 200 and upstream.requests[0][:2] == (method, path)
                    reached.add((method, path))
                else:  # nobody there, or the studio's own page
                    assert answer.status_code == 404 or not path.startswith("/v1"), (method, path)
    assert reached == {("POST", f"/v1/fleet/{name}") for name in FLEET}


TRICKS = [
    "/v1",
    "/v1/",
    "/v1/fleet",
    "/v1/fleet/",
    "/v1/fleet/pull-messages/",
    "/v1/fleet//pull-messages",
    "/v1//fleet/pull-messages",
    "//v1/fleet/pull-messages",
    "/v1/fleet/pull-messages?x=1",
    "/v1/fleet/pull-messages;x",
    "/v1/fleet/Pull-Messages",
    "/V1/FLEET/pull-messages",
    "/v1/fleet/pull-messages%00",
    "/v1/fleet/pull%2dmessages",
    "/%761/fleet/pull-messages",
    "/v1/fleet/%2e%2e/control/list-runs",
    "/v1/fleet/../control/list-runs",
    "/v1/fleet/..%2fcontrol%2flist-runs",
    "/v1%2ffleet%2fpull-messages",
    "/v1/fleet/pull-messages/../../control/list-runs",
    "/v1/fleet/pull-messages%2f..%2f..%2fcontrol",
    "/v1/fleet/pull-messages%0d%0ax: y",
    "/v1/fleet/%70ull-messages",
    "/./v1/fleet/pull-messages",
    "/v1/./fleet/pull-messages",
    "/v1/control/list-runs",
    "/v1/runtime/get-nodes",
    "/v1/fleet\\pull-messages",
    "/federation/../v1/fleet/pull-messages",
    "/v1/fleet/pull-messages.",
    "/x/../v1/fleet/pull-messages",
    "@127.0.0.1/v1/fleet/pull-messages",
]


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
    for line in (
        "CONNECT 127.0.0.1:9091 HTTP/1.1",
        f"POST https://{upstream.server.address}/v1/control/list-runs HTTP/1.1",
        f"POST http://{upstream.server.address}/v1/runtime/get-nodes HTTP/1.1",
        "POST * HTTP/1.1",
    ):
        way.raw(f"{line}\r\nHost: {upstream.server.address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
    upgrade = as_lines(
        {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "MDEyMzQ1Njc4OTAxMjM0NQ==",
        }
    )
    assert b" 101 " not in way.raw(f"GET /v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n".encode())
    assert [request for request in upstream.requests if request[1] not in ("/v1/fleet/pull-messages", "/health")] == []
    assert calls(upstream) == []


def test_two_lengths_are_no_way_to_smuggle(way: Way, ada: Designer, upstream: Upstream) -> None:
    inner = "POST /v1/control/list-runs HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    way.raw(
        f"POST /v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\n{as_lines(ada.headers())}Content-Length: {len(inner) + 5}\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}".encode()
    )
    assert "/v1/control/list-runs" not in calls(upstream)


def test_a_log_line_is_one_line(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    way.folder.change_members(lambda members: [*members, Member("Mal\nlory\x1b[31m", "no key", 1)])
    way.post(Designer("Eve"))
    way.raw(b"POST /v1/a%0a\xe2\x80\xa8\x1b[31mfleet HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    way.raw(b"POST /v1/" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    written = lines(caplog)
    assert len(written) >= 2 and all(line.isprintable() and len(line) <= 400 for line in written)


# -- limits --------------------------------------------------------------------------------------------------------------


def test_a_big_body(way: Way, ada: Designer, upstream: Upstream) -> None:
    """An object of an update is the largest that anybody sends, and no other call comes near it."""
    most = 2**14
    assert way.post(ada, content=b"x" * most).status_code == 200
    upstream.requests.clear()
    assert way.post(ada, content=b"x" * (most + 1)).status_code == 413
    assert way.post(ada, content=(b"x" * 1000 for _ in range(200))).status_code == 413  # length not said
    assert way.post(ada, "push-messages", b"x" * (2**16 + 1)).status_code == 413
    largest = max(update_size(preset).largest for preset in ("edge", "vgg16"))
    assert way.post(ada, "push-object", b"x" * (largest + most + 1)).status_code == 413
    signed = as_lines(ada.headers() | {"content-length": "200000000"})
    answer = way.raw(f"POST /v1/fleet/push-object HTTP/1.1\r\nHost: x\r\n{signed}\r\n".encode())
    assert b" 413 " in answer.split(b"\r\n")[0]
    assert calls(upstream) == []
    assert way.post(ada).status_code == 200


def test_a_slow_body(open_way: Callable[..., Way], ada: Designer, bruno: Designer, upstream: Upstream) -> None:
    way = open_way(body_seconds=1.2, idle_seconds=0.5)

    def dripping(pause: float) -> Iterator[bytes]:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:  # for ever, were nobody to end it
            yield b"x"
            time.sleep(pause)
        pytest.fail("the body was taken for as long as it went on")

    for pause in (0.1, 0.8):  # too long in all, too long between two pieces
        try:
            assert way.post(ada, content=dripping(pause)).status_code == 408
        except (httpx.WriteError, httpx.ReadError):  # hung up on while still sending
            pass
    assert calls(upstream) == []
    assert way.post(bruno).status_code == 200
    wait_until(lambda: not way.fleet.admission.in_flight)  # an answer is here a moment before its request is done with


def test_a_flood_of_one_member(
    open_way: Callable[..., Way], ada: Designer, bruno: Designer, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    way = open_way(key_requests=Rate(20, 0.5), log=Rate(5, 0.01))
    started = time.monotonic()
    answers = [way.post(ada) for _ in range(40)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 19 - 0.5 * (time.monotonic() - started) <= len(refused) <= 20
    assert all(1 <= int(answer.headers["retry-after"]) <= 3 for answer in refused)
    assert len(lines(caplog)) == 5
    assert way.post(bruno).status_code == 200


def test_a_flood_of_strangers_does_not_reach_members_at_the_same_address(
    open_way: Callable[..., Way], ada: Designer, upstream: Upstream
) -> None:
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


def test_200_megabytes_never_arrive(open_way: Callable[..., Way], ada: Designer, bruno: Designer, upstream: Upstream) -> None:
    way = open_way(key_bytes=Rate(20 * 2**14, 2**10))
    chunk, codes = b"x" * 2**14, []
    for _ in range(40):
        codes.append(way.post(ada, "get-run", chunk).status_code)
        if codes[-1] == 429:
            break
    assert codes[-1] == 429 and 20 <= len(codes) <= 22
    assert way.post(ada, content=iter([chunk])).status_code == 429  # nor without saying how much it is
    assert way.post(bruno, "get-run", chunk).status_code == 200
    assert (200 * 2**20 - GatewayLimits().key_bytes.burst) / GatewayLimits().key_bytes.second > 900  # s


def test_buckets_are_bounded_and_fill_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(rates.time, "monotonic", lambda: clock[0])
    buckets = Buckets(Rate(2, 0.5), 100)
    assert [buckets.take("a"), buckets.take("a"), buckets.take("a")] == [0, 0, 2]
    clock[0] = 2.0
    assert buckets.take("a") == 0 and buckets.take("a") == 2
    for i in range(1000):
        buckets.take(str(i))
    assert len(buckets) == 100


def test_too_many_at_the_same_time(open_way: Callable[..., Way], ada: Designer, bruno: Designer, upstream: Upstream) -> None:
    way = open_way(key_in_flight=3)
    upstream.held = True
    with ThreadPoolExecutor(9) as pool:
        answers = [pool.submit(way.post, ada) for _ in range(8)]
        wait_until(lambda: sum(answer.done() for answer in answers) == 5)
        other = pool.submit(way.post, bruno)
        wait_until(lambda: other.done() or len(calls(upstream)) == 4)
        upstream.held = False
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


def test_away_slow_or_somebody_else(
    open_way: Callable[..., Way], ada: Designer, upstream: Upstream, tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    target: list[Target] = [None]
    way = open_way(lambda: target[0])
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
    hasty = open_way(lambda: target[0], upstream_seconds=1.5)
    upstream.delay = 20.0
    slow = hasty.post(ada)
    assert slow.status_code == 504 and slow.headers["retry-after"] == "5"
    assert httpx.get(f"{hasty.url}/federation/health").json() == {"status": "ok"}


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
    way.folder.set_status(phase="training", round=3, progress=0.5, online=["Ada Line"], deadline=time.time() + 600)
    time.sleep(1.1)
    answer = httpx.get(f"{way.url}/federation/status")
    status = answer.json()
    config = json.loads((tiny_model_dir / "config.json").read_text())
    assert status == {
        "version": __version__,
        "flower": "1.42.0",
        "app_hash": "abc",
        "preset": "edge",
        "encoder": config["encoder_sha256"],
        "round": 3,
        "rounds": 11,
        "phase": "training",
        "progress": 0.5,
        "designers_online": ["Ada Line"],
        "waiting_for": 0,
        "checkpoint": 1,
        "held_back": "drawings got worse",
        "updated": status["updated"],
        "seconds_left": status["seconds_left"],
    }
    assert 500 < status["seconds_left"] < 600
    assert ada.line.split()[1] not in answer.text and "node" not in answer.text
    (way.folder.path / "status.json").write_text("{")
    time.sleep(1.1)
    damaged = httpx.get(f"{way.url}/federation/status")
    assert damaged.status_code == 503 and str(way.folder.path) not in damaged.text


def test_health_after_a_silence(way: Way, ada: Designer, monkeypatch: pytest.MonkeyPatch, upstream: Upstream) -> None:
    assert httpx.get(f"{way.url}/federation/health").status_code == 200
    superlink = way.fleet.superlink
    monkeypatch.setattr(superlink, "_target", lambda: None)
    superlink.answered -= 20
    assert httpx.get(f"{way.url}/federation/health").status_code == 200
    superlink.answered -= 20
    answer = httpx.get(f"{way.url}/federation/health")
    assert answer.status_code == 503
    assert answer.json() == {"status": "silent", "reason": "the SuperLink does not answer"}


# -- a real SuperLink ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def superlink(certificate: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSuperLink]:
    superlink = RealSuperLink(certificate, tmp_path_factory.mktemp("superlink"))
    yield superlink
    superlink.stop()


@pytest.fixture
def real_way(open_way: Callable[..., Way], superlink: RealSuperLink) -> Way:
    return open_way(lambda: (superlink.address, superlink.certificate[0]))


def test_a_real_designer_comes_in_and_nobody_else(
    real_way: Way, superlink: RealSuperLink, ada: Designer, bruno: Designer, caplog: pytest.LogCaptureFixture
) -> None:
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
