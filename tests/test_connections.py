"""Connections that never get to a request: hundreds of them hold nothing, and everybody else is served."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from helpers.gateway import certificates
from helpers.studio_server import PATIENCE
from starlette.responses import PlainTextResponse

from studio import connections

PARTIAL = b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "


class Running:
    """uvicorn as the studio runs it, or as it comes, over TLS."""

    def __init__(self, files: tuple[Path, Path, Path], **settings: Any) -> None:
        config = uvicorn.Config(
            PlainTextResponse("yes"),
            port=0,
            log_level="error",
            lifespan="off",
            ws="none",
            ssl_certfile=files[1],
            ssl_keyfile=files[2],
            **settings,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.trust = ssl.create_default_context(cafile=str(files[0]))
        self.sockets: list[socket.socket] = []

    def stop(self) -> None:
        for connection in self.sockets:
            connection.close()
        self.server.should_exit = True
        self.thread.join(10)

    def connect(self, content: bytes | None = PARTIAL) -> socket.socket:
        """A connection that sends the beginning of a request; or, with None, not even TLS."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self.sockets.append(plain)
        if content is None:
            return plain
        try:
            secure = self.trust.wrap_socket(plain, server_hostname="127.0.0.1")
            secure.sendall(content)
        except OSError:  # it was shut at once
            return plain
        self.sockets[-1] = secure
        return secure

    def open(self) -> int:
        """How many of them the server has not shut."""
        return sum(not closed(connection) for connection in self.sockets)

    def get(self) -> int:
        with httpx.Client(verify=self.trust, trust_env=False, timeout=60) as client:
            return client.get(f"https://127.0.0.1:{self.port}/").status_code


def closed(connection: socket.socket) -> bool:
    """Whether the other end has shut it."""
    if connection.fileno() < 0:
        return True
    if not select.select([connection], [], [], 0)[0]:
        return False
    try:
        connection.settimeout(0.01)  # what is readable may be a session ticket alone
        return connection.recv(1000) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(connections, "HEADERS", 3.0)
    monkeypatch.setattr(connections, "HANDSHAKE", 3.0)
    files, running = certificates(tmp_path), []

    def started(bounded: bool = True) -> Running:
        settings = {"http": connections.BoundedProtocol, "loop": "studio.connections:Loop"} if bounded else {}
        running.append(Running(files, **settings))
        return running[-1]

    yield started
    for each in running:
        each.stop()
    assert not connections._waiting and not connections._by_address  # everybody is counted out again


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("content", [PARTIAL, b"", None], ids=["half of the headers", "TLS alone", "no TLS"])
def test_three_hundred_that_send_no_request(start: Start, content: bytes | None) -> None:
    running = start()
    for _ in range(300):
        running.connect(content)
        if len(running.sockets) % 100 == 0:
            assert running.get() == 200  # from the same address
    wait_until(lambda: running.open() == 0)
    assert running.get() == 200


def test_uvicorn_alone_holds_them_all(start: Start) -> None:
    """What the limits are for; if this fails, they may not be needed any more."""
    running = start(bounded=False)
    for _ in range(60):
        running.connect()
    time.sleep(4)  # longer than the limits of the other tests
    assert running.open() == 60


def test_one_address_has_so_many_that_wait(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WAITING", 5)
    monkeypatch.setattr(connections, "HEADERS", 60.0)
    running = start()
    for _ in range(20):
        running.connect()
    wait_until(lambda: running.open() == 5)
    for connection in running.sockets:
        connection.close()
    wait_until(lambda: not connections._waiting)
    assert running.get() == 200


def test_a_byte_now_and_then_is_no_way_around(start: Start) -> None:
    running = start()
    connection = running.connect()
    with pytest.raises(OSError):
        for _ in range(40):
            time.sleep(0.2)
            connection.sendall(b"x")
            if closed(connection):
                raise OSError("shut")


def test_headers_without_end(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS", 60.0)
    connection = start().connect()
    with contextlib.suppress(OSError):  # it is shut before all of them are sent
        for _ in range(100):
            connection.sendall(b"a" * 10_000)
    wait_until(lambda: closed(connection))


def test_a_second_request_on_the_same_connection_has_the_same_limits(start: Start) -> None:
    connection = start().connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    connection.sendall(PARTIAL)
    wait_until(lambda: closed(connection))


def test_slow_but_honest(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start()
    monkeypatch.setattr(connections, "HEADERS", 60.0)
    connection = running.connect()
    time.sleep(0.6)
    connection.sendall(b"b\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    with httpx.Client(verify=running.trust, trust_env=False) as client:
        for _ in range(120):
            assert client.get(f"https://127.0.0.1:{running.port}/").status_code == 200
