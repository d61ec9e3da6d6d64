"""The companion's window as a designer meets it: a real browser, a real host, and a round. Each test goes on where the last
one stopped, as a designer does."""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers import fork_server
from helpers.axe_rules import violations
from helpers.quick_rounds import running_studio
from helpers.screen import width
from helpers.studio_server import PATIENCE, ROOT, dropped_choices
from helpers.visit import decoded
from helpers.window_server import WINDOW, WindowServer, listening

pytest.importorskip("studio.without_stubs")
pytest.importorskip("flwr")

from PIL import Image

from federation.demo import Demo
from federation.designer.receipt import read_all
from federation.designer.settings import Settings
from federation.identity import fingerprint
from federation.operator import approve
from fedgai.ateliers import ATELIERS, draw
from fedgai.content import fit_and_cut, on_white
from fedgai.pipeline import SketchPipeline
from fedgai.vision.images import MAX_BYTES
from studio.companion.drawings import DrawingsFolder, plain_name

GARMENTS = ("hoodie", "trench_coat", "denim_jacket", "midi_dress")
LEAVES = "You may close this page"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A studio with its federation, which waits for one designer."""
    with running_studio(tmp_path_factory.mktemp("host"), ["Dara"]) as demo:
        yield demo


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
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 960}} | options)
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
    address = f"127.0.0.1:{window.port}"
    assert window.ask() == window.ask(Host=f"localhost:{window.port}") == window.ask(Origin=f"http://{address}") == 200
    assert window.ask(path="/", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document") == 200  # a link may open it
    for foreign in (
        {"Host": f"evil.example:{window.port}"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": f"https://{address}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ):
        for method, path in (
            ("GET", "/window/live"),
            ("GET", "/config"),
            ("POST", "/gradio_api/queue/join"),
            ("POST", "/window/drawings/sketches?name=x.png"),
            ("OPTIONS", "/window/drawings/sketches"),
        ):
            assert window.ask(method, path, b"{}" if method == "POST" else None, **foreign) == 403, (method, path, foreign)
    assert window.ask(path="/", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="iframe") == 403
    page = browser.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    page.goto("data:text/html,<title>another page</title>")
    page.evaluate(
        "url => fetch(url, {method: 'POST', mode: 'no-cors', body: 'x'}).catch(() => {})",
        f"{window.url}window/drawings/sketches?name=planted.png",
    )
    page.close()
    assert not (window.home / "drawings").exists()


def test_no_choice_is_left_out_while_another_is_under_way(window: WindowServer) -> None:
    """A folder that was dropped right after its kind was chosen was never looked at, where the machine was busy."""
    assert dropped_choices(window.url) == []


def test_it_listens_on_loopback_alone_and_is_open_once(window: WindowServer) -> None:
    assert listening(window.port) == {"0100007F"}
    second = fork_server.run(
        [sys.executable, "-m", "federation.join", "--window", "--home", str(window.home)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={k: v for k, v in os.environ.items() if "DISPLAY" not in k},
    )
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
    page.set_input_files('[data-place="scans"] input:not([webkitdirectory])', str(sheet(drawings, tmp_path / "page one.jpg")))
    says(page, "3 drawings found on 1 sheet", "#found")
    boxes = page.locator("#found [data-box]")
    page.wait_for_function("document.querySelectorAll('#found [data-box]').length === 3")
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


def test_a_round_from_the_first_drop_to_the_receipt(
    visit: Callable[..., object], window: WindowServer, host: Demo, drawings: Path
) -> None:
    page = visit()
    page.get_by_label("Drawings", exact=True).check()
    page.set_input_files(".of.sketches input[webkitdirectory]", str(drawings))  # it holds pairs, and that is noticed
    says(page, "4 pairs, 1 file that cannot be used", "#found")
    says(page, "please bring at least 24", "#found")
    assert page.locator(".contact li").count() == 4 and "not a picture" in page.locator(".problems").inner_text()
    page.get_by_role("button", name="Take note.png away").click()
    page.wait_for_function("!document.querySelector('.problems')")
    page.reload()
    page.wait_for_function("document.querySelector('[name=kind][value=pairs]')?.checked")  # it fell back to "Drawings"
    assert (drawings / "sketches" / "note.png").exists()  # the original
    page.click("#join")
    says(page, "Write the name that others shall see")
    page.get_by_label("Your name").fill("Chloé")
    page.get_by_label("Your name").blur()
    page.wait_for_function("document.querySelectorAll('.todo .done').length === 2")
    page.click("#join")
    says(page, "Choose in step 2 whether you share your signature or keep it")
    page.get_by_label("Share it").check()
    page.get_by_label("Its address").fill(host.url)
    page.get_by_label("Its address").blur()
    page.wait_for_function("document.querySelectorAll('.todo .done').length === 4")
    assert page.locator("#key-line").inner_text() == (window.home / "key.pub").read_text().strip()
    assert page.locator("#fingerprint").inner_text() == fingerprint((window.home / "key.pub").read_text())
    page.click("#dry")
    says(page, "What would be sent now", "#sent")
    assert "style signature" in page.locator("#sample").inner_text() and not (window.home / "receipts").exists()
    page.wait_for_selector("#join:enabled")
    page.click("#join")
    says(page, "Waiting to be let in")
    says(page, LEAVES)
    done = fork_server.run(
        [sys.executable, "-m", "federation.join", "--home", str(window.home)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1 and "already running" in done.stdout
    page.context.close()  # the page is closed; the companion goes on

    approve(host.folder, str(window.home / "key.pub"), "Chloé")
    other = visit(viewport={"width": 390, "height": 844})
    other.wait_for_function("[...document.querySelectorAll('input, textarea')].some((field) => field.value === 'Chloé')")
    other.wait_for_selector("#stop")
    other.wait_for_function("document.querySelector('#sent .receipt:not(#sample)')")
    [receipt] = read_all(window.home / "receipts")
    other.locator("#receipt-0 summary").click()
    says(other, receipt.tensors[0].name, "#receipt-0")
    shown = other.locator("#receipt-0").inner_text()
    assert receipt.tensors[0].name in shown and receipt.tensors[0].sha256[:16] in shown
    assert width(other) <= 390
    with other.expect_popup() as printed:
        other.get_by_role("link", name="The receipt as a page").click()
    printed.value.wait_for_load_state()
    assert receipt.tensors[0].sha256 in printed.value.content()
    other.reload()
    other.wait_for_selector("#stop")
    other.click("#stop")
    says(other, "Go on", "#join")


def test_how_others_will_see_the_hand(visit: Callable[..., object]) -> None:
    page = visit(viewport={"width": 390, "height": 844})
    page.locator("#hand-see").press("Enter")
    page.wait_for_selector("#hand-stop")
    page.wait_for_function("document.activeElement.id === 'hand-stop'")
    page.keyboard.press("Enter")
    page.wait_for_selector("#hand-see")
    assert page.locator("#hand-page").count() == 0
    page.keyboard.press("Enter")
    page.wait_for_selector("#hand-page")
    says(page, "Please bring at least 24", "#hand")
    assert page.locator("#hand img").count() == 6  # four drawings, and two that are drawn: the hand was learned from the others
    assert width(page) <= 390 and violations(page) == []
    page.locator("#hand-page").focus()
    with page.expect_popup() as opened:
        page.keyboard.press("Enter")
    shown = opened.value
    shown.wait_for_load_state()
    text = shown.locator("main").inner_text()
    assert "Chloé: how this hand will look to others" in text and "Nothing on this page has left your machine" in text
    assert "Of garments in your own photographs that" in text and "We compared the studio's 2 drawings with 9 hands" in text
    assert shown.locator("img").count() == 6 and width(shown) <= 390
    assert violations(shown) == []


def test_drawing_at_home(visit: Callable[..., object], window: WindowServer, drawings: Path) -> None:
    page = visit()
    page.click("#open-studio")
    with page.expect_popup() as opened:
        page.click("#to-studio")
    home = opened.value
    home.wait_for_selector("#comparison img.sketch[src^='data:image/png']")
    assert listening(int(home.url.split(":")[2].strip("/"))) == {"0100007F"}
    own = SketchPipeline.from_pretrained(window.home / "model")
    mine = own.draw(own.prepare(ROOT / "examples" / "trench_coat.jpg"), {"Chloé": 1})
    shown = home.locator("#comparison img.sketch").get_attribute("src")
    assert np.abs(np.int16(decoded(shown)) - np.int16(mine)).mean() < 0.5  # the private Generator, in the own signature
    home.locator("#way input").fill("1")
    home.wait_for_function("old => document.querySelector('#comparison img.sketch').src !== old", arg=shown)
    home.wait_for_function("document.querySelector('#comparison .blend').textContent.includes('Chloé 11%, Aiko 11%')")
    home.wait_for_function("document.querySelectorAll('#compared figure').length === 2")
    says(home, "After round 1: your own", "#compared")
    pictures = home.eval_on_selector_all("#compared img", "all => all.map(i => i.src)")
    assert (np.asarray(decoded(pictures[0])) != np.asarray(decoded(pictures[1]))).any()
    home.get_by_role("tab", name="Many at once").click()
    home.get_by_label("Or a folder on this machine").fill(str(drawings / "photos"))
    home.get_by_label("Or a folder on this machine").blur()
    home.click("#draw-all")
    with home.expect_download() as download:
        home.locator("#gallery a").click()
    with zipfile.ZipFile(download.value.path()) as packed:
        names = sorted(packed.namelist())
    assert names == sorted(f.name for f in (drawings / "photos-sketches").iterdir())
    assert {f"{name}.png" for name in GARMENTS} <= set(names)


def test_leaving_says_what_stays(visit: Callable[..., object], host: Demo) -> None:
    page = visit()
    page.get_by_text("Leave the federation").click()
    stays = page.locator("#leaving").inner_text()
    assert "checkpoints of earlier rounds keep" in stays and "removed from the studio at once" in stays
    page.click("#leave")
    page.click("#leave-no")
    assert not any(member.revoked for member in host.folder.members())
    page.click("#leave")
    page.click("#leave-yes")
    says(page, "You have left.")
    page.wait_for_function("document.querySelector('#join')?.innerText === 'Join'")  # and not "Go on"
    assert "Stopped for now" not in page.locator("#side").inner_text()
    assert all(member.revoked for member in host.folder.members())
    page.click("#leave")
    page.click("#leave-yes")
    says(page, "you are not a member there")


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 2**20):
        yield content[start : start + 2**20]


def test_copies_keep_what_is_there(tmp_path: Path) -> None:
    drawings = DrawingsFolder(tmp_path / "home", lambda: Settings("", "", ""))

    def put(name: str, content: bytes, place: str = "sketches") -> str:
        with ThreadPoolExecutor(1) as thread:  # in this one Playwright has a loop of its own
            return thread.submit(asyncio.run, drawings.put(place, name, pieces(content))).result()

    folder = tmp_path / "home" / "drawings" / "sketches"
    assert put("a.png", b"one") == put("a.png", b"one") == put("a.png", b"two") == put("../../b.png", b"three") == ""
    assert sorted(f.name for f in folder.iterdir()) == ["a-2.png", "a.png", "b.png"]
    assert "32 MB" in put("big.png", bytes(MAX_BYTES + 1)) and len(list(folder.iterdir())) == 3
    assert put("x", b"", "../key") == "there is no such place"
    drawings.close()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("C:\\Users\\z\\coat.png", "coat.png"),
        (".hidden.png", "hidden.png"),
        ("a\nb?.png", "a_b_.png"),
        ("", "drawing"),
        ("e\u0301te\u0301.png", "été.png"),
        ("x" * 400 + ".jpeg", "x" * 175 + ".jpeg"),
        ("..", "drawing"),
    ],
)
def test_names_are_nothing_but_names(name: str, kept: str) -> None:
    assert plain_name(name) == kept


def test_answers_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "window").mkdir()
    (tmp_path / "window" / "settings.json").write_text("{")
    done = fork_server.run([*WINDOW, "--home", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1 and "damaged" in done.stderr and "Traceback" not in done.stderr
