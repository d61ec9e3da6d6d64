"""A studio that cheats or is broken, in front of a companion as a process: nothing runs, nothing leaves, one clear line."""

from __future__ import annotations

import http.client
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from flwr.proto.fab_pb2 import GetFabResponse
from helpers import fork_server
from helpers.drawn_sheets import fill
from helpers.quick_rounds import QuickDemo, one_garment, two_hands
from helpers.studio_server import PATIENCE

from federation.designer.receipt import read_all
from federation.designer.settings import Settings
from federation.designer.studio_client import AwayError, StudioClient, UntrustedError
from federation.identity import make_certificate, make_key
from federation.operator import approve
from federation.processes import free_port

ROOT = Path(__file__).resolve().parent.parent
Answer = tuple[int, dict[str, str], bytes]
# the command, which asks a studio that is away again after one second instead of ten
IMPATIENT = """
import sys
from federation import join
join.RETRY = 1.0
sys.exit(join.main())
"""


class Meddler:
    """Between companion and studio, with TLS: passes everything on, or does what ``how`` says with a request.

    Args:
        tls: folder with the certificate to show.
        target: port of the studio, https on 127.0.0.1; 0 for none.
    """

    def __init__(self, tls: Path, target: int = 0) -> None:
        self.how: Callable[[str, Callable[[], Answer]], Answer | None] | None = None
        self.asked: list[str] = []
        meddler = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                meddler.asked.append(self.path)
                how = meddler.how
                returned = how(self.path, lambda: self.onward(body)) if how else self.onward(body)
                self.close_connection = True
                if returned is None:  # cut
                    self.connection.close()
                    return
                status, headers, content = returned
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(content)), "Connection": "close"}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST  # noqa: N815 - the name is the library's

            def onward(self, body: bytes) -> Answer:
                trust = ssl.create_default_context(cafile=str(tls / "ca.pem"))
                studio = http.client.HTTPSConnection("127.0.0.1", target, context=trust, timeout=60)
                kept = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                studio.request(self.command, self.path, body, kept)
                answer = studio.getresponse()
                content = answer.read()
                studio.close()
                dropped = ("transfer-encoding", "content-length", "connection")
                return answer.status, {k: v for k, v in answer.getheaders() if k.lower() not in dropped}, content

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # a connection that it cuts is not an error here
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "server.pem", tls / "server.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def says(status: int, body: str = "", **headers: str) -> Callable[[str, Callable[[], Answer]], Answer]:
    return lambda path, onward: (status, {k.replace("_", "-"): v for k, v in headers.items()}, body.encode())


def hangs(path: str, onward: Callable[[], Answer]) -> None:
    time.sleep(20)


TROUBLE = {
    "waking up": says(503, "<html>Your Space is starting</html>", content_type="text/html"),
    "error (500)": says(500, "Internal Server Error"),
    "cannot be reached": lambda path, onward: None,
    "redirects this machine to https://elsewhere.example": says(307, location="https://elsewhere.example/v1"),
    "has no federation": says(200, "<html>a parked domain</html>", content_type="text/html"),
    "does not answer": hangs,
}


@pytest.fixture(scope="module")
def meddled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meddler]:
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder)
    meddler = Meddler(folder)
    meddler.certificate = folder / "ca.pem"
    yield meddler
    meddler.stop()


@pytest.mark.parametrize("line", TROUBLE)
def test_trouble_is_one_line(line: str, meddled: Meddler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.designer.studio_client.PATIENCE", 1.0 if TROUBLE[line] is hangs else 60.0)
    meddled.how = TROUBLE[line]
    studio = StudioClient(Settings(meddled.url, str(tmp_path), "Zoë", certificate=str(meddled.certificate)))
    make_key(tmp_path / "key")
    for ask in (studio.check, lambda: studio.leave(tmp_path / "key")):
        with pytest.raises(AwayError) as refusal:
            ask()
        assert line in str(refusal.value) and "\n" not in str(refusal.value)


def test_another_certificate_is_not_trusted(meddled: Meddler, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    before = len(meddled.asked)
    for certificate in ("", str(tmp_path / "ca.pem")):
        with pytest.raises(UntrustedError, match=r"does not trust: nothing was sent.*name it"):
            StudioClient(Settings(meddled.url, str(tmp_path), "Zoë", certificate=certificate)).check()
    assert len(meddled.asked) == before


def test_a_companion_in_front_of_a_hostile_and_then_a_broken_studio(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "output.txt"
    fill(tmp_path / "drawings" / "photos", 2)
    fill(tmp_path / "drawings" / "sketches", 2)
    demo = QuickDemo(
        tmp_path / "studio",
        free_port(),
        rounds=1,
        names=["Zoë"],
        house_steps=1,
        deadline=3600,
        patience=PATIENCE,
        weights=two_hands(tmp_path),
        environment=one_garment(tmp_path / "studio"),
    )
    meddler = Meddler(demo.tls, demo.port)
    Settings(
        meddler.url, str(tmp_path / "drawings"), "Zoë", certificate=str(demo.tls / "ca.pem"), size=64, rounds=1
    ).checked().save(home)
    make_key(home / "key")

    def companion() -> subprocess.Popen:
        return fork_server.Popen(
            [sys.executable, "-c", IMPATIENT, "--home", str(home)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
            env=os.environ | {"COLUMNS": "300"},
        )

    def another_program(path: str, onward: Callable[[], Answer]) -> Answer:
        status, headers, content = onward()
        if path.endswith("get-fab") and status == 200:
            answer = GetFabResponse.FromString(content)
            program = bytearray(answer.fab.content)
            program[len(program) // 2] ^= 1
            answer.fab.content = bytes(program)
            content = answer.SerializeToString()
        return status, headers, content

    process = None
    try:
        demo.start_studio()
        approve(demo.folder, str(home / "key.pub"), "Zoë")
        meddler.how = another_program
        process = companion()
        assert process.wait(PATIENCE) == 1, log.read_text()
        last = log.read_text().strip().splitlines()[-1]
        assert "sends another program" in last and "nothing of it was run" in last
        assert not (home / "model").exists() and not (home / "receipts").exists()
        assert not any("push" in path for path in meddler.asked)

        meddler.how = None
        process = companion()
        for line, how in list(TROUBLE.items())[:4]:
            meddler.how = how
            until = time.monotonic() + PATIENCE
            while line not in log.read_text():
                assert process.poll() is None and time.monotonic() < until, (line, log.read_text())
                time.sleep(0.2)
        assert not read_all(home / "receipts")
        meddler.how = None
        assert process.wait(PATIENCE) == 0, log.read_text()
        assert len(read_all(home / "receipts")) == 1 and "Traceback" not in log.read_text()
    finally:
        if process:
            process.kill()
            process.wait()
        meddler.stop()
        demo.stop()
