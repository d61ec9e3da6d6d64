"""axe-core on the companion's window and on the page of receipts, light and dark, on a phone and on a desk."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.axe_rules import violations
from helpers.screen import light_and_dark, stand_still
from helpers.studio_server import PATIENCE
from helpers.window_server import WindowServer
from PIL import Image, ImageDraw

pytest.importorskip("studio.without_stubs")
pytest.importorskip("flwr")

from federation.designer.receipt import BEGAN, SAMPLE, Receipt, TensorRow
from federation.designer.receipt_page import page as receipt_page
from federation.designer.settings import Settings

SCREENS = [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")]
# text beyond the screen's edge, but for what can be scrolled: the table of a receipt
CUT_OFF = """[...document.querySelectorAll('p, summary, h2, h3, li, label, button')]
  .filter((e) => e.checkVisibility() && !e.closest('.table, .toast-wrap, .hidden'))
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => e.textContent.trim().slice(0, 40))"""
ROW = TensorRow("body.0.weight", (32, 64, 3, 3), "float16", 36_864, "2ab5d9f7cbe5e37b" * 4)
ROUNDS = [
    Receipt(
        n,
        "2026-11-25T21:06:56+00:00",
        "https://studio.example",
        (ROW,),
        None,
        {"num-examples": 24.0},
        {"preset": "edge"},
        epsilon,
        36_864,
        state=state,
    )
    for n, epsilon, state in ((1, None, "sent"), (2, 3.0, "sent"), (3, None, BEGAN))
]


@pytest.fixture
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowServer]:
    """A window with drawings, one file that is not a drawing, and receipts: new each time, so no screen waits for another."""
    folder = tmp_path_factory.mktemp("designer")
    (folder / "own").mkdir()
    for i in range(4):
        drawing = Image.new("RGB", (200, 260), "white")
        ImageDraw.Draw(drawing).polygon([(40 + 5 * i, 40), (160, 50), (150, 220), (50, 210)], outline="black", width=3)
        drawing.save(folder / "own" / f"{i}.png")
    (folder / "own" / "note.png").write_text("no picture")
    Settings("https://studio.example", str(folder / "own"), "Zoë", size=128).save(folder / "home" / "window")
    receipts = folder / "home" / "receipts"
    for receipt in ROUNDS:
        receipt.save(receipts)
    running = WindowServer(folder / "home")
    yield running
    running.process.terminate()
    running.process.wait(60)


@pytest.fixture(params=SCREENS, ids=lambda p: f"{p[0]}-{p[1]}")
def screen(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 844 if width < 500 else 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(1000 * PATIENCE)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("screen", [(390, "light"), (1440, "light")], indirect=True, ids=["390", "1440"])
def test_the_window(screen: Any, window: WindowServer) -> None:
    screen.goto(window.url)
    screen.wait_for_selector("#join")
    screen.wait_for_selector(".contact li")
    screen.wait_for_selector("#receipt-0")
    screen.locator("#receipt-0 summary").click()
    screen.get_by_text("Limits and noise").click()
    screen.get_by_text("Leave the federation").click()
    screen.click("#join")  # what is missing is said
    screen.wait_for_selector(".trouble")
    for scheme in light_and_dark(screen):
        assert screen.evaluate("document.documentElement.scrollWidth <= innerWidth"), scheme
        assert screen.evaluate(CUT_OFF) == [], scheme
        assert violations(screen) == [], scheme
    screen.click("#leave")
    screen.wait_for_selector("#leave-yes")
    screen.get_by_label("Scanned sheets").check()
    for scheme in light_and_dark(screen):
        assert violations(screen) == [], scheme
    screen.click("#leave-no")
    screen.get_by_label("A folder on this machine").check()


@pytest.mark.parametrize(
    "receipts", [[], ROUNDS, [Receipt(**{**vars(ROUNDS[0]), "state": SAMPLE})]], ids=["none", "rounds", "sample"]
)
def test_the_page_of_receipts(screen: Any, receipts: list[Receipt]) -> None:
    screen.set_content(receipt_page(receipts))
    stand_still(screen)
    assert screen.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(screen) == []
    landmarks = screen.evaluate(
        "['header', 'main', 'h1'].map(name => document.querySelectorAll(`body > ${name}, body > * > ${name}`).length)"
    )
    assert landmarks == [1, 1, 1]
    levels = screen.eval_on_selector_all("h1, h2, h3", "all => all.map(h => Number(h.tagName[1]))")
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    name = "e => e.getAttribute('aria-label') || document.getElementById(e.getAttribute('aria-labelledby'))?.textContent"
    regions = screen.eval_on_selector_all("[role=region], section", f"all => all.map({name})")
    assert all(regions) and len(set(regions)) == len(regions)
