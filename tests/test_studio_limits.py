"""What visitors may send, and what stays of them: limits without a federation, quiet logs, a private folder, memory."""

from __future__ import annotations

import io
import json
import os
import re
import select
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
import pytest
from helpers.studio_server import PATIENCE, ROOT, StudioServer, untrained
from helpers.studio_visitor import Visitor, file_data
from PIL import Image

pytest.importorskip("studio.without_stubs")

EXAMPLE = ROOT / "examples" / "denim_jacket.jpg"
CONTROLS = ({"Ada": 1}, {}, 256, True)
MARK = "Zanzibar-4711"  # a word that only a visitor would say


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    """A studio without a federation, behind one proxy, with a temporary folder of its own."""
    folder = tmp_path_factory.mktemp("temporary")
    settings = {"FEDGAI_WEIGHTS": untrained(), "TMPDIR": str(folder), "FEDGAI_PROXIES": "1", "FEDGAI_UPLOADS_MB": "128"}
    running = StudioServer(settings)
    running.folder = folder  # type: ignore[attr-defined]
    yield running
    running.stop()


def memory(studio: StudioServer) -> float:
    """MB that the process has in memory."""
    return psutil.Process(studio.process.pid).memory_info().rss / 2**20


def from_address(studio: StudioServer, address: str) -> Visitor:
    visitor = Visitor(studio.url)
    visitor.http.headers["x-forwarded-for"] = address
    return visitor


# -- bodies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "route",
    ["gradio_api/queue/join", "gradio_api/call/sketch", "gradio_api/call/v2/sketch", "gradio_api/cancel", "gradio_api/reset"],
)
def test_a_body_has_a_limit_everywhere(own: StudioServer, route: str) -> None:
    before = memory(own)
    text = json.dumps({"data": [MARK * 2**20], "fn_index": 0, "session_hash": "x"}).encode()
    with Visitor(own.url) as visitor:
        for content in (text, iter([text[i : i + 2**16] for i in range(0, len(text), 2**16)])):  # with a length, and without
            try:
                answer = visitor.http.post(route, content=content, headers={"content-type": "application/json"})
                assert answer.status_code == 413 and "at most 64 kB" in answer.text
            except httpx.WriteError:  # it hung up while we were sending
                pass
        assert visitor.do("reset").ok
    assert memory(own) - before < 50
    assert MARK not in own.log()


def test_a_file_has_a_limit_and_so_has_their_number(own: StudioServer) -> None:
    with Visitor(own.url) as visitor:
        heavy = visitor.http.post("gradio_api/upload", files={"files": ("a.jpg", b"x" * (33 * 2**20))})
        assert heavy.status_code == 413 and "maximum allowed size" in heavy.text
        many = visitor.http.post("gradio_api/upload", files=[("files", (f"{i}.jpg", b"x")) for i in range(20)])
        assert many.status_code == 413 and "at most 7 files" in many.text
        pieces = iter([b"--b\r\n", b"x" * 1000])
        kind = {"content-type": "multipart/form-data; boundary=b"}
        endless = visitor.http.post("gradio_api/upload", content=pieces, headers=kind)
        assert endless.status_code == 411
        assert visitor.http.get("config", params={"x": "y"}).status_code == 200


BAD_JSON = [
    '{"data": [1' + "0" * 400 + "]}",
    '{"data": [1e999]}',
    '{"data": [NaN]}',
    '{"data": [-Infinity]}',
    "[" * 5000,
    '{"a":' * 5000,
    '{"data": [' + "9" * 6000 + "]}",
    "not json",
    '{"data": [], "session_hash": "../../x"}',
    '{"data": [], "session_hash": 7}',
    '{"data": ' + "[" * 40 + "]" * 40 + "}",
]


@pytest.mark.parametrize("content", BAD_JSON)
def test_json_that_no_page_would_send(own: StudioServer, content: str) -> None:
    with Visitor(own.url) as visitor:
        for route in ("gradio_api/queue/join", "gradio_api/call/sketch"):
            answer = visitor.http.post(route, content=content, headers={"content-type": "application/json"})
            assert answer.status_code == 400 and answer.json()["detail"].endswith("."), answer.text[:200]


def test_a_number_of_hundreds_of_digits_is_a_sentence(own: StudioServer) -> None:
    from studio.sketching import LookError, number

    with pytest.raises(LookError, match="Size should be a number"):
        number(10**400, 1, 2, "Size")
    with Visitor(own.url) as visitor:
        joined = visitor.http.post("gradio_api/call/sketch", content=f'{{"data": [null, {{}}, 1, 1, {10**400}, true, "white"]}}')
        assert joined.status_code == 400 and "too large" in joined.text


def test_slow_senders_are_let_go() -> None:
    """A body that never comes to an end holds nothing up; another one is served meanwhile."""
    from studio.guard import GuardLimits

    limits = GuardLimits(body_seconds=1.0, idle_seconds=0.5)
    with small_server(limits) as (url, port, _):
        for pieces, wait in ((1, 0.8), (10, 0.3)):  # too long between two pieces, too long in all
            with socket.create_connection(("127.0.0.1", port)) as sender:
                sender.settimeout(20)
                sender.sendall(b"POST /gradio_api/reset HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
                for _ in range(pieces):
                    if select.select([sender], [], [], wait)[0]:  # it has answered
                        break
                    sender.sendall(b" ")
                    assert httpx.get(f"{url}/config", trust_env=False).status_code == 200
                assert b"408" in sender.recv(100)


def test_one_upload_more_waits_for_its_turn() -> None:
    """Twelve visitors behind one address, three at a time. Only one whose turn does not come is told to come again."""
    from studio.guard import GuardLimits

    def upload(url: str) -> int:
        return httpx.post(f"{url}/gradio_api/upload", content=b"x", trust_env=False, timeout=PATIENCE).status_code

    def hold(port: int, begun: list[str]) -> socket.socket:
        """A file that does not come to an end, until the socket is closed."""
        before = len(begun)
        sender = socket.create_connection(("127.0.0.1", port))
        sender.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        while len(begun) == before:
            time.sleep(0.01)
        return sender

    with small_server(GuardLimits(address_uploads=3, uploads=3, upload_wait=PATIENCE)) as (url, port, begun):
        held = [hold(port, begun) for _ in range(3)]
        with ThreadPoolExecutor(12) as visitors:
            answers = [visitors.submit(upload, url) for _ in range(12)]
            time.sleep(1)
            assert not any(answer.done() for answer in answers)
            for sender in held:
                sender.close()
            assert [answer.result(PATIENCE) for answer in answers] == [200] * 12
    for limits, status in (
        (GuardLimits(address_uploads=1, upload_wait=0.1), 429),
        (GuardLimits(uploads=1, upload_wait=0.1), 503),
    ):
        with small_server(limits) as (url, port, begun):
            with hold(port, begun):
                assert upload(url) == status
            while upload(url) == status:  # until it is noticed that nobody sends any more
                time.sleep(0.05)


def small_server(limits: object):  # type: ignore[no-untyped-def]
    """The guard, and behind it an application that reads what is sent and says yes; and the paths that it was asked for."""
    import contextlib
    import tempfile

    import uvicorn
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import PlainTextResponse
    from starlette.types import Receive, Scope, Send

    from studio.guard import Guard
    from studio.uploads import UploadFolder

    begun: list[str] = []

    async def read_it_all(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        with contextlib.suppress(ClientDisconnect):
            await Request(scope, receive).body()
            await PlainTextResponse("yes")(scope, receive, send)

    @contextlib.contextmanager
    def running() -> Iterator[tuple[str, int, list[str]]]:
        with tempfile.TemporaryDirectory() as folder:
            guard = Guard(read_it_all, UploadFolder(Path(folder)), limits=limits)  # type: ignore[arg-type]
            server = uvicorn.Server(uvicorn.Config(guard, port=0, log_level="error", lifespan="off"))
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()
            while not server.started:
                time.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield f"http://127.0.0.1:{port}", port, begun
            server.should_exit = True
            thread.join(10)

    return running()


# -- logs --------------------------------------------------------------------------------------------------------------


def test_nothing_of_a_visitor_s_is_in_the_log(own: StudioServer) -> None:
    with Visitor(own.url) as visitor:
        names = [event["api_name"] for event in visitor.events]
        for number, event in enumerate(visitor.events):  # the wrong kind, in every place
            visitor.http.headers["x-forwarded-for"] = f"198.51.100.{number}"  # else it asks for too much at once
            # drawn small: what is looked at is the log
            plain = [64 if isinstance(value, int) and value > 64 else value for value in visitor.defaults(event)]
            for place in range(len(plain)):
                for value in (MARK, [MARK], {MARK: MARK}, {"value": MARK}, {"path": None, "url": MARK}, -1):
                    data = [value if i == place else v for i, v in enumerate(plain)]
                    joined = visitor.join(event, data, {"choice": MARK, "rounds": [MARK]})
                    assert joined.status_code != 429
                    if joined.status_code == 200 and event["api_name"] not in ("imagined", "imagine"):
                        visitor.wait(joined.json()["event_id"])
        visitor.http.headers["x-forwarded-for"] = "203.0.113.1"
        for body in (
            {"data": [MARK]},
            {"data": MARK},
            {"data": [], "fn_index": MARK},
            {"data": [], "fn_index": 10**9},
            {"data": [MARK] * 9, "fn_index": 3, "session_hash": "x"},
            {MARK: MARK},
        ):
            for route in ("queue/join", "call/sketch", f"call/{MARK}", f"call/v2/{MARK}", "cancel", "reset"):
                visitor.http.post(f"gradio_api/{route}", json=body)
        for route in (
            f"gradio_api/call/sketch/{MARK}",
            f"gradio_api/file={MARK}",
            f"assets/{MARK}",
            f"static/{MARK}",
            MARK,
            f"gradio_api/custom_component/{MARK}/client/component/{MARK}",
            f"gradio_api/heartbeat/{MARK}!",
            f"gradio_api/queue/data?session_hash={MARK}",
            f"?style={MARK}:1&{MARK}={MARK}",
            f"theme.css?v={MARK}",
        ):
            with visitor.http.stream("GET", route):
                pass
        visitor.upload(b"no picture " + MARK.encode(), f"{MARK}.jpg")
        visitor.http.post("gradio_api/upload", content=MARK, headers={"content-type": f"multipart/form-data; boundary={MARK}"})
        assert visitor.do("reset").ok and "sketch" in names
    log = own.log()
    assert MARK not in log and "Traceback" not in log, re.findall(rf".*{MARK}.*|Traceback[^!]{{0,900}}", log)[:3]


# -- the folder --------------------------------------------------------------------------------------------------------


def uploads_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("uploads-*") if path.is_dir()]


def test_photographs_lie_in_a_private_folder_that_a_killed_studio_does_not_leave(tmp_path: Path) -> None:
    settings = {"FEDGAI_WEIGHTS": untrained(), "TMPDIR": str(tmp_path)}
    first = StudioServer(settings)
    with Visitor(first.url) as visitor:
        sent = Path(visitor.upload(EXAMPLE.read_bytes()))
        assert visitor.call("sketch", [file_data(str(sent), True), {"Ada": 1}, 1, 1, 256, True, "white"]).ok
    [folder] = uploads_of(tmp_path)
    assert sent.is_relative_to(folder) and not (tmp_path / "gradio").exists()
    for path in (folder, folder.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    assert sent.exists()
    second = StudioServer(settings)
    third = StudioServer(settings)  # beside it, and neither takes the other's
    assert not sent.exists() and not folder.exists()
    with Visitor(second.url) as visitor:
        assert Path(visitor.upload(EXAMPLE.read_bytes())).exists()
    assert len(uploads_of(tmp_path)) == 2
    for studio in (second, third):
        assert studio.stop() in (0, -15)
    assert uploads_of(tmp_path) == []


def test_an_address_has_a_quota_and_the_folder_has_one(own: StudioServer) -> None:
    answers: dict[str, list[int]] = {}
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"):
        with from_address(own, address) as visitor:
            photographs = [os.urandom(10 * 2**20) for _ in range(4)]
            sent = [visitor.http.post("gradio_api/upload", files={"files": ("a.jpg", p)}) for p in photographs]
        answers[address] = [answer.status_code for answer in sent]
        assert sent[-1].status_code == 429 and re.search("network has sent a lot|no room", sent[-1].text)
    assert answers["192.0.2.1"] == answers["192.0.2.2"] == [200, 200, 200, 429]  # a quarter of 128 MB
    assert answers["192.0.2.5"] == [429] * 4  # the folder is full
    with from_address(own, "192.0.2.9") as visitor:
        assert visitor.do("reset").ok  # and the studio goes on


def test_old_photographs_are_deleted_and_there_is_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.uploads import FULL, TOO_MUCH, UploadError, UploadFolder

    later = [0.0]  # s
    clock = SimpleNamespace(time=lambda: time.time() + later[0], monotonic=lambda: time.monotonic() + later[0])
    monkeypatch.setattr("studio.uploads.time", clock)
    uploads = UploadFolder(tmp_path, keep=60, limit=1000)
    (tmp_path / "sha").mkdir()
    old = tmp_path / "sha" / "photo.jpg"
    old.write_bytes(b"x" * 900)
    with pytest.raises(UploadError, match=re.escape(FULL)):
        uploads.admit("a", 200)
        uploads.sweep()
        uploads.admit("b", 200)
    later[0] = 61.0
    uploads.sweep()
    assert not old.exists()
    uploads.admit("a", 200)
    with pytest.raises(UploadError, match=re.escape(TOO_MUCH)):
        uploads.admit("a", 200)
    uploads.admit("b", 200)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.symlink_to("/"), "belongs to somebody else: set TMPDIR"),
        (lambda path: path.write_text("a file"), "belongs to somebody else: set TMPDIR"),
    ],
)
def test_a_folder_of_somebody_else_s_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], words: str
) -> None:
    from studio.uploads import UploadError, UploadFolder

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    make(tmp_path / f"fedgai-{os.getuid()}")
    with pytest.raises(UploadError, match=words):
        UploadFolder.create(60, 1000)


def test_a_folder_that_another_user_owns_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.uploads import UploadError, UploadFolder

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "fedgai-12345").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(UploadError, match="belongs to somebody else: set TMPDIR"):
        UploadFolder.create(60, 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not there"))
    with pytest.raises(UploadError, match="set TMPDIR to one"):
        UploadFolder.create(60, 1000)


# -- memory ------------------------------------------------------------------------------------------------------------


def photograph_of_30_mb(number: int) -> bytes:
    """A garment that no other visitor has, and 30 MB of what a decoder passes over behind it."""
    image = Image.open(EXAMPLE).convert("RGB")
    image.putpixel((number % image.width, number // image.width), (255, 0, 0))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue() + bytes(30 * 2**20 - buffer.tell())


def test_visitors_who_have_left_leave_no_memory_behind(tmp_path: Path) -> None:
    """The issue's floor: 40 visitors with 30 MB each, and memory within 100 MB of before."""
    settings = {"FEDGAI_WEIGHTS": untrained(), "TMPDIR": str(tmp_path), "FEDGAI_UPLOADS_MB": "16384"}
    studio = StudioServer(settings, before=SOON)

    def visit(number: int) -> None:
        with Visitor(studio.url) as visitor, visitor.http.stream("GET", f"gradio_api/heartbeat/{visitor.session}"):
            path = visitor.upload(photograph_of_30_mb(number))
            assert visitor.do("take", [file_data(path, True), {"Ada": 1}, {}, 512, True]).data[-1] == ""
            for weight in (0.3, 0.9):
                drawn = visitor.do("redraw", [None, "", {"Ada": weight, "Ben": 0.5}, {}, 512, True])
                assert drawn.data[0]["title"] == "Your garment"

    try:
        with ThreadPoolExecutor(4) as visitors:
            list(visitors.map(visit, range(1000, 1004)))  # what the first drawings cost once
            before = settled(studio)
            list(visitors.map(visit, range(40)))
        after = settled(studio)
        print(f"memory: {before:.0f} MB before, {after:.0f} MB after")
        assert after - before < 100
        assert "Traceback" not in studio.log()
    finally:
        studio.stop()


# what visitors leave behind is dropped much sooner than usual, so that there is less to wait for; it is looked for every 5 s
SOON = """
from studio import content_cache, gradio_adapter
content_cache.IDLE_SECONDS, gradio_adapter.UNREAD_SECONDS, gradio_adapter.PROGRAM_SECONDS = 2.0, 4.0, 4.0
"""


def settled(studio: StudioServer) -> float:
    """MB in memory when it no longer falls."""
    lowest, since = memory(studio), time.monotonic()
    deadline = since + PATIENCE
    while time.monotonic() - since < 10 and time.monotonic() < deadline:
        time.sleep(1)
        if (now := memory(studio)) < lowest - 2:
            lowest, since = now, time.monotonic()
    return memory(studio)
