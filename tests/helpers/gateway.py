"""A gateway over real sockets, with a stand-in SuperLink behind it or a real one, and designers who sign their requests."""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI, Request
from fastapi.responses import Response
from flwr.proto.control_pb2 import RegisterNodeRequest
from flwr.proto.fleet_pb2 import PullMessagesResponse, PushMessagesRequest, PushMessagesResponse, Reconnect
from flwr.proto.message_pb2 import Message, Metadata, ObjectTree, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.primitives.asymmetric import generate_key_pairs, public_key_to_bytes, sign_message

from federation import flower_commands
from federation.server.folder import Folder
from federation.server.gateway import gateway
from federation.server.members import Member
from federation.server.rates import GatewayLimits
from helpers import fork_server
from helpers.studio_server import PATIENCE

Target = tuple[str, Path] | None
ANSWER = PullMessagesResponse(reconnect=Reconnect(reconnect=5)).SerializeToString()  # of any call, unless told otherwise
QUESTION = "b" * 64  # a message's id
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
            "flwr-timestamp": timestamp,
            "content-type": "application/protobuf",
            "accept": "application/protobuf",
        }


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
    """Stands in for the SuperLink: keeps what comes, answers with what it was told to; pull-messages with a question."""

    def __init__(self, certificate: tuple[Path, Path, Path]) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.reset()
        app = FastAPI(docs_url=None, openapi_url=None)

        @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
        async def everything(path: str, request: Request) -> Response:
            body = await request.body()
            self.requests.append((request.method, request.url.path, dict(request.headers), body))
            if path != "health":
                await asyncio.sleep(self.delay)
                while self.held:
                    await asyncio.sleep(0.02)
            headers = {"set-cookie": "a=b", "x-secret": "1", "flwr-version-incompatibility-message": "old"}
            call = path.removeprefix("v1/fleet/")
            status = self.once.pop(call, self.status)
            return Response(self.answers.get(call, ANSWER), status, headers, "application/protobuf")

        self.server = Server(app, ssl_certfile=certificate[1], ssl_keyfile=certificate[2])

    def reset(self) -> None:
        """As at first."""
        self.requests.clear()
        self.status, self.delay, self.held = 200, 0.0, False
        self.once: dict[str, int] = {}  # the status of a call's next answer, where that is another
        self.answers = {"push-messages": PushMessagesResponse(session_id="session").SerializeToString()}

    def asks(self, designer_node: int = 7, tree: ObjectTree | None = None, message: str = QUESTION) -> None:
        """What a pull-messages is answered with from now on."""
        asked = Message(
            metadata=Metadata(
                run_id=1,
                message_id=message,
                src_node_id=1,
                dst_node_id=designer_node,
                message_type="train",
                created_at=time.time(),
                ttl=60.0,
            )
        )
        response = PullMessagesResponse(messages_list=[asked], message_object_trees=[tree or ObjectTree(object_id=message)])
        self.answers["pull-messages"] = response.SerializeToString()


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
        self.fleet = next(route for route in self.router.routes if getattr(route, "path", "") == "/v1").app

    def post(
        self, designer: Designer | None, call: str = "pull-messages", content: Any = b"body", **headers: str
    ) -> httpx.Response:
        return self.send((designer.headers() if designer else {}) | headers, call, content)

    def send(self, headers: dict[str, str], call: str = "pull-messages", content: Any = b"body") -> httpx.Response:
        return httpx.post(f"{self.url}/v1/fleet/{call}", content=content, headers=headers, timeout=60, trust_env=False)

    def raw(self, request: bytes) -> bytes:
        """What comes back for these very bytes."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as s:
            s.sendall(request)
            got = b""
            try:
                while piece := s.recv(65536):
                    got += piece
                    s.settimeout(3)  # the connection may stay open after the answer
            except (TimeoutError, ConnectionResetError):
                pass
            return got


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """A CA of this run, a certificate for 127.0.0.1, its key."""
    now = datetime.datetime.now(datetime.UTC)

    def issue(name: str, ca: bool, signer: Any = None) -> tuple[x509.Certificate, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(signer[0].subject if signer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer[1] if signer else key, hashes.SHA256()), key

    authority = issue("test CA", True)
    server, key = issue("localhost", False, authority)
    files = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    files[0].write_bytes(authority[0].public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(server.public_bytes(serialization.Encoding.PEM))
    files[2].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


class RealSuperLink:
    """flower-superlink as the host starts it: loopback, TLS, SuperNode authentication."""

    def __init__(self, certificate: tuple[Path, Path, Path], folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address, self.certificate = f"127.0.0.1:{port}", certificate
        environment = {
            **os.environ,
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_HOME": str(folder),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        command = flower_commands.command(
            "flower-superlink",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--ssl-ca-certfile",
            str(certificate[0]),
            "--ssl-certfile",
            str(certificate[1]),
            "--ssl-keyfile",
            str(certificate[2]),
            "--enable-supernode-auth",
            "--disable-runtime-dependency-installation",
            "--database",
            str(folder / "state.db"),
        )
        self.log = (folder / "log").open("w+")
        self.process = fork_server.Popen(
            command, libraries="studio", env=environment, cwd=folder, stdout=self.log, stderr=subprocess.STDOUT
        )
        trust = ssl.create_default_context(cafile=certificate[0])
        self.direct = httpx.Client(base_url=f"https://{self.address}", verify=trust, trust_env=False)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
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
        self.direct.post(
            "/v1/control/register-node", content=content, headers={"content-type": "application/protobuf"}
        ).raise_for_status()

    def stop(self) -> None:
        self.direct.close()  # the SuperLink would wait 30 s for this end to say goodbye
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()


def approve(folder: Folder, *designers: Designer) -> None:
    folder.change_members(lambda members: members + [Member(d.name, d.line, 7) for d in designers])


def revoke(folder: Folder, designer: Designer) -> None:
    folder.change_members(lambda all_: [replace(m, revoked="2026-01-01") if m.key == designer.line else m for m in all_])


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "fedgai.gateway"]


def as_lines(headers: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def content(text: str) -> tuple[str, bytes]:
    """An object of a message: its id, and its bytes."""
    data = text.encode()
    return hashlib.sha256(data).hexdigest(), data


def tree_of(root: str, *children: str | ObjectTree) -> ObjectTree:
    """An object and what it consists of."""
    return ObjectTree(object_id=root, children=[ObjectTree(object_id=c) if isinstance(c, str) else c for c in children])


def announcement(tree: ObjectTree | None = None, count: int = 1, trees: int = 1, **changes: Any) -> bytes:
    """As a SuperNode announces its answer to a question (``approve`` gives node ids of 7)."""
    tree = tree or tree_of("a" * 64)
    metadata = {
        "run_id": 1,
        "message_id": tree.object_id,
        "src_node_id": 7,
        "dst_node_id": 1,
        "reply_to_message_id": QUESTION,
        "message_type": "train",
        "created_at": time.time(),
        "ttl": 60.0,
    } | changes
    messages = [Message(metadata=Metadata(**metadata))] * count
    request = PushMessagesRequest(node=Node(node_id=7), messages_list=messages, message_object_trees=[tree] * trees)
    return request.SerializeToString()


def pushed(object_id: str, data: bytes, session: str = "session", node: int = 7) -> bytes:
    """As a SuperNode sends an object."""
    return PushObjectRequest(
        node=Node(node_id=node), run_id=1, session_id=session, object_id=object_id, object_content=data
    ).SerializeToString()


def calls(upstream: Upstream) -> list[str]:
    """Paths that were asked for, without the gateway's own question for its health."""
    return [path for _, path, _, _ in upstream.requests if path != "/health"]
