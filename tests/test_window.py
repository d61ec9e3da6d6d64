"""The companion's window as a designer meets it: a real browser, a real host, and a round. Each test goes on where the last
one stopped, as a designer does."""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from studio_server import PATIENCE, ROOT

pytest.importorskip("gradio")
pytest.importorskip("flwr")

from PIL import Image

from federation.companion import Settings
from federation.demo import Demo
from federation.supernode import free_port
from fedgai.atelier import ATELIERS, draw
from fedgai.images import MAX_BYTES
from fedgai.pipeline import fit_and_cut, on_white
from studio.desk import Desk, plain_name

GARMENTS = ("hoodie", "trench_coat", "denim_jacket", "midi_dress")


class WindowServer:
    """A running ``python -m studio.window``."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._log = (home.parent / "window.log").open("w+")
        self.process = subprocess.Popen([*WINDOW, "--home", str(home), "--port", str(self.port), *arguments], cwd=ROOT,
                                        stdout=self._log, stderr=subprocess.STDOUT)  # fmt: skip
        until = time.monotonic() + PATIENCE
        while self.url not in self.log():
            assert self.process.poll() is None and time.monotonic() < until, self.log()
            time.sleep(0.1)

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def ask(self, method: str = "GET", path: str = "/window/live", body: bytes | None = None, **headers: str) -> int:
        """A request with these headers (``_`` for ``-``), as anybody on this machine could send it. Returns the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            return connection.getresponse().status
        finally:
            connection.close()


WINDOW = [sys.executable, "-m", "studio.window", "--no-browser"]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A studio with its federation, which waits for one designer."""
    folder = tmp_path_factory.mktemp("host")
    demo = Demo(folder, free_port(), rounds=1, names=["Dara"], house_steps=2)
    try:
        demo.start_studio()
        yield demo
    finally:
        demo.stop()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory, host: Demo) -> Iterator[WindowServer]:
    home = tmp_path_factory.mktemp("designer") / "home"
    Settings("", "", "", size=128).save(home / "window")
    running = WindowServer(home, "--certificate", str(host.tls / "ca.pem"))
    yield running
    running.process.terminate()
    try:
        assert running.process.wait(60) in (0, -15)
    finally:
        running.process.kill()
    assert "Traceback" not in running.log()


@pytest.fixture
def visit(window: WindowServer, browser: object) -> Iterator[Callable[..., object]]:
    """Opens the page. Afterwards: it asked no other server for anything, and no script failed."""
    contexts, strangers, errors = [], [], []

    def opened(**options: object) -> object:
        context = browser.new_context(viewport={"width": 1280, "height": 960}, **options)
        contexts.append(context)
        context.set_default_timeout(1000 * PATIENCE)
        page = context.new_page()
        page.on("request", lambda r: r.url.startswith((window.url, "data:", "blob:")) or strangers.append(r.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(window.url)
        page.wait_for_selector("#join, #stop")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert strangers == [] and errors == []


def says(page: object, text: str, where: str = "#side") -> None:
    page.locator(where).get_by_text(text).first.wait_for()


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pairs, and what does not belong among them."""
    folder = tmp_path_factory.mktemp("brought") / "Winter"
    for kind in ("photos", "sketches"):
        (folder / kind).mkdir(parents=True)
    for name in GARMENTS:
        image, mask = fit_and_cut(ROOT / "examples" / f"{name}.jpg", 128)
        photo = on_white(np.asarray(image), mask)
        Image.fromarray(photo).save(folder / "photos" / f"{name}.jpg")
        Image.fromarray(draw(photo, ATELIERS["Dara"], mask=mask)).save(folder / "sketches" / f"{name}.png")
    (folder / "sketches" / "note.png").write_text("no picture")
    shutil.copy(folder / "photos" / "hoodie.jpg", folder / "photos" / "note.jpg")
    return folder


def sheet(drawings: Path, file: Path) -> Path:
    """A scan of a page with three drawings."""
    page = Image.new("RGB", (1400, 1000), (247, 245, 240))
    for i, name in enumerate(GARMENTS[:3]):
        drawing = Image.open(drawings / "sketches" / f"{name}.png").convert("RGB").resize((380, 480))
        page.paste(drawing, (50 + 450 * i, 230))
    page.save(file, quality=92)
    return file


def test_nobody_else_drives_it(window: WindowServer, browser: object) -> None:
    here = f"127.0.0.1:{window.port}"
    assert window.ask() == window.ask(Host=f"localhost:{window.port}") == window.ask(Origin=f"http://{here}") == 200
    assert window.ask(path="/", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document") == 200  # a link may open it
    for foreign in (
        {"Host": f"evil.example:{window.port}"}, {"Host": "127.0.0.1"}, {"Origin": "http://evil.example"}, {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"}, {"Origin": f"https://{here}"}, {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ):  # fmt: skip
        for method, path in (("GET", "/window/live"), ("GET", "/config"), ("POST", "/gradio_api/queue/join"),
                             ("POST", "/window/drawings/sketches?name=x.png"), ("OPTIONS", "/window/drawings/sketches")):
            assert window.ask(method, path, b"{}" if method == "POST" else None, **foreign) == 403, (method, path, foreign)
    assert window.ask(path="/", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="iframe") == 403
    page = browser.new_page()
    page.goto("data:text/html,<title>another page</title>")
    page.evaluate("url => fetch(url, {method: 'POST', mode: 'no-cors', body: 'x'}).catch(() => {})",
                  f"{window.url}window/drawings/sketches?name=planted.png")
    page.close()
    assert not (window.home / "drawings").exists()


def listening(port: int) -> set[str]:
    """Addresses, as Linux writes them, that this port is open on."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:] if Path(table).exists() else ():
            address, _, state = line.split()[1:4]
            if state == "0A" and address.endswith(f":{port:04X}"):
                found.add(address.split(":")[0])
    return found


def test_it_listens_on_loopback_alone_and_is_open_once(window: WindowServer) -> None:
    assert listening(window.port) == {"0100007F"}
    second = subprocess.run([sys.executable, "-m", "federation.join", "--window", "--home", str(window.home)], cwd=ROOT,
                            capture_output=True, text=True, timeout=PATIENCE,
                            env={k: v for k, v in os.environ.items() if "DISPLAY" not in k})  # fmt: skip
    assert second.returncode == 0 and window.url in second.stdout, second.stdout + second.stderr
    connection = http.client.HTTPConnection("127.0.0.1", window.port, timeout=PATIENCE)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.getheader("x-frame-options") == "DENY"
    assert "frame-ancestors 'none'" in answer.getheader("content-security-policy")
    connection.close()


def test_scans_are_cut_corrected_and_accepted(visit: Callable[..., object], drawings: Path, tmp_path: Path) -> None:
    page = visit()
    page.get_by_label("Scanned sheets").check()
    page.set_input_files('[data-shelf="scans"] input:not([webkitdirectory])', str(sheet(drawings, tmp_path / "page one.jpg")))
    says(page, "3 drawings found on 1 sheet", "#found")
    boxes = page.locator("#found [data-box]")
    assert boxes.count() == 3
    page.get_by_role("button", name="Join into one").click()
    says(page, "Choose two frames or more first", "#found")
    for i in (0, 1):
        boxes.nth(i).focus()
        boxes.nth(i).press("Enter")
    page.get_by_role("button", name="Join into one").click()
    says(page, "2 drawings found on 1 sheet", "#found")
    boxes.nth(2).click()
    page.get_by_role("button", name="Drop", exact=True).click()
    says(page, "1 drawing found on 1 sheet", "#found")
    page.get_by_role("button", name="Look again").click()
    says(page, "3 drawings found on 1 sheet", "#found")
    page.click("#accept")
    says(page, "Accepted: 3 drawings on 1 sheet", "#found")


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 2**20):
        yield content[start : start + 2**20]


def test_copies_keep_what_is_there(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "home")
    put = lambda name, content: asyncio.run(desk.put("sketches", name, pieces(content)))  # noqa: E731
    folder = tmp_path / "home" / "drawings" / "sketches"
    assert put("a.png", b"one") == put("a.png", b"one") == put("a.png", b"two") == put("../../b.png", b"three") == ""
    assert sorted(f.name for f in folder.iterdir()) == ["a-2.png", "a.png", "b.png"]
    assert "32 MB" in put("big.png", bytes(MAX_BYTES + 1)) and len(list(folder.iterdir())) == 3
    assert asyncio.run(desk.put("../key", "x", pieces(b""))) == "there is no such place"
    desk.close()


@pytest.mark.parametrize(("name", "kept"), [
    ("C:\\Users\\z\\coat.png", "coat.png"), (".hidden.png", "hidden.png"), ("a\nb?.png", "a_b_.png"), ("", "drawing"),
    ("e\u0301te\u0301.png", "été.png"), ("x" * 400 + ".jpeg", "x" * 175 + ".jpeg"), ("..", "drawing")])  # fmt: skip
def test_names_are_nothing_but_names(name: str, kept: str) -> None:
    assert plain_name(name) == kept


def test_answers_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "window").mkdir()
    (tmp_path / "window" / "settings.json").write_text("{")
    said = subprocess.run([*WINDOW, "--home", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert said.returncode == 1 and "damaged" in said.stderr and "Traceback" not in said.stderr
