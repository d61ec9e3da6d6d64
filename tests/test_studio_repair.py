"""The cut-out repaired by hand, in a real browser: by mouse, by keys and by touch."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers.axe_rules import violations
from helpers.screen import light_and_dark, stand_still, width
from helpers.studio_server import PATIENCE, ROOT, StudioServer
from helpers.studio_visitor import Visitor
from PIL import Image

pytest.importorskip("studio.without_stubs")

FOLLOWED = "document.querySelector('#repair .status').textContent === 'The outline has followed.'"
IDLE = "!document.querySelector('#repair dialog').hasAttribute('data-busy')"
DRAWN = "!document.querySelector('#repair figure').hasAttribute('data-waits')"
# of the opening coat, in shares of the photograph: a part of its skirt, within
HEM = ((0.50, 0.82), (0.53, 0.90))


@pytest.fixture
def visit(studio: StudioServer, browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens the page and the dialog. Afterwards: no script has failed."""
    contexts, errors = [], []

    def opened(wide: int = 1440) -> Any:
        phone = wide < 500
        context = browser.new_context(
            viewport={"width": wide, "height": 844 if phone else 1000}, is_mobile=phone, has_touch=phone
        )
        contexts.append(context)
        context.set_default_timeout(1000 * PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(studio.url)
        page.wait_for_selector("#comparison img.sketch[src^='data:image/png']")
        page.wait_for_selector("#photo input[type=file]", state="attached")
        page.get_by_role("button", name="Repair the outline").click()
        page.wait_for_function("document.querySelector('#repair .photo img').naturalWidth > 0")
        page.wait_for_function(IDLE)
        return stand_still(page)

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def place(page: Any, share: tuple[float, float]) -> tuple[float, float]:
    box = page.locator("#repair canvas").bounding_box()  # of a page that stood still, and whose dialog keeps its size
    return box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"]


def paint(page: Any, *shares: tuple[float, float]) -> None:
    page.mouse.move(*place(page, shares[0]))
    page.mouse.down()
    for share in shares[1:]:
        page.mouse.move(*place(page, share), steps=4)
    page.mouse.up()
    page.wait_for_function(FOLLOWED)
    page.wait_for_function(DRAWN)


def pale(page: Any, share: tuple[float, float]) -> bool:
    """Whether the veil over what is left out lies there."""
    script = """async share => {
      for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame); // it is painted in the next one
      const canvas = document.querySelector('#repair canvas');
      const pixel = canvas.getContext('2d').getImageData(share[0] * canvas.width, share[1] * canvas.height, 1, 1).data;
      return pixel[3] > 100 && pixel[0] > 240;
    }"""
    return page.evaluate(script, share)


def sketch(page: Any) -> np.ndarray:
    """The sketch on the page, grey levels."""
    source = page.locator("#comparison img.sketch").get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("L"))


def within(levels: np.ndarray) -> np.ndarray:
    """Where ``HEM`` was painted, well within the brush."""
    height, width = levels.shape
    return levels[round(0.84 * height) : round(0.88 * height), round(0.513 * width) : round(0.521 * width)]


def test_what_does_not_belong_goes_and_comes_back(visit: Callable[..., Any]) -> None:
    page = visit()
    before, middle = sketch(page), (0.515, 0.86)
    assert not pale(page, middle) and pale(page, (0.02, 0.02))
    page.locator("#repair label", has_text="Does not belong").click()
    paint(page, *HEM)
    assert pale(page, middle) and not pale(page, (0.35, 0.5))
    after = sketch(page)
    assert within(after).min() > 235 and (np.abs(after.astype(int) - before) > 60).sum() > 100
    assert np.abs(after[: round(0.5 * len(after))].astype(int) - before[: round(0.5 * len(before))]).mean() < 1
    assert page.locator("#repair .drawn").get_attribute("src") == page.locator("#comparison img.sketch").get_attribute("src")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function(FOLLOWED)
    page.wait_for_function(DRAWN)
    assert not pale(page, middle) and np.array_equal(sketch(page), before)
    page.get_by_role("button", name="Redo").click()
    page.wait_for_function(DRAWN)
    page.wait_for_function(FOLLOWED)
    assert pale(page, middle) and np.array_equal(sketch(page), after)
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Repair the outline").click()  # what was painted is still there
    page.wait_for_function(IDLE)
    assert pale(page, middle)
    page.locator("#repair .reset").click()
    page.wait_for_function(DRAWN)
    page.wait_for_function(FOLLOWED)
    assert not pale(page, middle) and np.array_equal(sketch(page), before)
    page.keyboard.press("Escape")
    page.locator("#repair dialog").wait_for(state="hidden")


def test_what_belongs_is_added_and_a_new_garment_has_no_strokes(visit: Callable[..., Any]) -> None:
    page = visit()
    floor = (0.06, 0.15)  # clear of the brush, where it ends
    assert pale(page, floor)
    paint(page, (0.06, 0.15), (0.10, 0.15))
    assert not pale(page, floor)
    page.get_by_role("button", name="Done").click()
    shown = page.locator("#comparison img.sketch").get_attribute("src")
    page.locator("#examples button").first.click()
    page.wait_for_function("old => document.querySelector('#comparison img.sketch').src !== old", arg=shown)
    page.get_by_role("button", name="Repair the outline").click()
    page.wait_for_function(IDLE)
    assert page.locator("#repair .undo").is_disabled() and page.locator("#repair .reset").is_disabled()


def test_by_keys_alone(visit: Callable[..., Any]) -> None:
    page = visit()
    keys = page.keyboard
    assert page.evaluate("document.activeElement === document.querySelector('#repair canvas')")
    keys.press("n")
    assert page.locator("#repair input[value=false]").is_checked()
    size = int(page.locator("#repair .size input").input_value())
    keys.press("+")
    assert int(page.locator("#repair .size input").input_value()) > size
    keys.press("-")
    for _ in range(40):  # from the middle down, in the coat
        keys.press("ArrowDown")
    keys.down(" ")
    for _ in range(8):
        keys.press("ArrowUp")
    keys.up(" ")
    page.wait_for_function(FOLLOWED)
    page.wait_for_function(DRAWN)
    there = (0.5, 0.834)  # on the way, and clear of the brush
    assert pale(page, there)
    keys.press("Control+z")
    page.wait_for_function("!document.querySelector('#repair .redo').disabled")
    page.wait_for_function(FOLLOWED)
    page.wait_for_function(DRAWN)
    assert not pale(page, there)
    keys.press("Enter")  # down, and up again after two steps
    keys.press("ArrowLeft")
    keys.press("ArrowLeft")
    keys.press("Enter")
    page.wait_for_function("document.querySelector('#repair .redo').disabled")
    page.wait_for_function(FOLLOWED)
    keys.press("Control+z")
    page.wait_for_function("!document.querySelector('#repair .redo').disabled")
    keys.press("Control+y")
    page.wait_for_function("document.querySelector('#repair .redo').disabled")
    keys.press("b")
    assert page.locator("#repair input[value=true]").is_checked()
    stops = []
    for _ in range(6):
        keys.press("Tab")
        stops.append(
            page.evaluate("document.activeElement.className || document.activeElement.name || document.activeElement.type")
        )
    assert {"done", "repair-brush", "range", "undo", "reset"} <= set(stops)  # and out of the canvas again


def test_by_touch_on_a_phone(visit: Callable[..., Any]) -> None:
    page = visit(390)
    assert width(page) <= 390
    page.locator("#repair label", has_text="Does not belong").tap()
    client = page.context.new_cdp_session(page)

    def touch(kind: str, *shares: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(place(page, share) for share in shares)]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", HEM[0])
    touch("touchMove", (0.515, 0.86))
    assert page.evaluate("scrollY") == 0
    touch("touchMove", HEM[1])
    touch("touchEnd")
    page.wait_for_function(FOLLOWED)
    page.wait_for_function(DRAWN)
    assert pale(page, (0.515, 0.86)) and within(sketch(page)).min() > 235
    page.locator("#repair .undo").tap()
    page.wait_for_function("!document.querySelector('#repair .redo').disabled")
    page.wait_for_function(FOLLOWED)
    assert not pale(page, (0.515, 0.86))


@pytest.mark.parametrize("wide", [390, 1440])
def test_no_serious_violation(visit: Callable[..., Any], wide: int) -> None:
    page = visit(wide)
    paint(page, (0.5, 0.5))
    for scheme in light_and_dark(page):
        assert violations(page) == [], scheme


# -- what no page would send -------------------------------------------------------------------------------------------


@pytest.fixture
def visitor(studio: StudioServer) -> Iterator[Visitor]:
    with Visitor(studio.url) as someone:
        yield someone


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({}, "Give strokes as a list"),
        ({"strokes": [{"belongs": True, "radius": 72, "points": ["/etc/passwd", 1]}], "version": 1}, "Give strokes as a list"),
        ({"strokes": [{"belongs": True, "radius": 9000, "points": [1, 1]}], "version": 1}, "A brush has a radius"),
        ({"strokes": [{"belongs": True, "radius": 72, "points": [1, 1]}] * 81, "version": 1}, "more than 80 strokes"),
        (
            {
                "strokes": [{"belongs": False, "radius": 400, "points": [0, y, 4096, y]} for y in range(0, 4096, 300)],
                "version": 1,
            },
            "left",
        ),
    ],
)
def test_strokes_of_a_stranger(visitor: Visitor, sent: Any, words: str) -> None:
    answer = visitor.do("painted", event_data=sent)
    assert answer.ok and words in answer.data[0]["error"] and "outline" not in answer.data[0]


def test_switched_off_it_says_so(visitor: Visitor) -> None:
    event = visitor.event("opened_1") if any(e["api_name"] == "opened_1" for e in visitor.events) else visitor.event("opened")
    answer = visitor.do(event["api_name"], [None, "", {"Aiko": 1}, {}, 256, False])
    assert "switch it on to repair" in answer.data[0]["error"]


def test_a_body_that_is_too_large_is_not_read(visitor: Visitor) -> None:
    far = {"strokes": [{"belongs": True, "radius": 72, "points": [4000] * 20000}], "version": 1}
    assert visitor.do("painted", event_data=far).status == 413


def test_a_photograph_without_a_garment_is_painted(studio: StudioServer, visit: Callable[..., Any]) -> None:
    page = visit()
    page.get_by_role("button", name="Done").click()
    shown = page.locator("#comparison img.sketch").get_attribute("src")
    page.set_input_files("#photo input[type=file]", str(ROOT / "tests" / "cases" / "white_on_white.jpg"))
    page.wait_for_function("old => document.querySelector('#comparison img.sketch').src !== old", arg=shown)
    page.get_by_role("button", name="Repair the outline").click()
    page.wait_for_function(IDLE)
    assert "No garment was found" in page.locator("#repair .status").inner_text()
    stand_still(page)
    page.locator("#repair .size input").fill("320")
    paint(page, (0.5, 0.3), (0.5, 0.7))
    assert not pale(page, (0.5, 0.5)) and pale(page, (0.03, 0.03))
