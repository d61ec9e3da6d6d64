"""The studio as a visitor meets it: a real browser, a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from helpers.bad_pictures import bad_pictures, flat_picture, heavy_file, shirt_picture
from helpers.screen import boxes, slow_requests, stand_still, width
from helpers.studio_server import PATIENCE, StudioServer, dropped_choices
from helpers.visit import Visit, decoded
from PIL import Image

pytest.importorskip("studio.without_stubs")
BAD = ("text.png", "dot.png", "wide.png", "bomb.png", "cut_short.jpg", "empty.jpg")


@pytest.fixture
def visit(studio: StudioServer, browser: object) -> Iterator[Callable[..., Visit]]:
    """Opens pages. Afterwards: they asked no other server for anything, and no script of theirs failed."""
    contexts, strangers, errors = [], [], []

    def opened(query: str = "", width: int = 1360, height: int = 960, **options: object) -> Visit:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_default_timeout(1000 * PATIENCE)
        page = context.new_page()
        own = (studio.url, "data:", "blob:")
        page.on("request", lambda request: request.url.startswith(own) or strangers.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(studio.url + query)
        page.wait_for_selector("#comparison img.sketch[src^='data:image/png']")
        page.wait_for_selector("#photo input[type=file]", state="attached")
        return Visit(page)

    yield opened
    for context in contexts:
        context.close()
    assert strangers == [] and errors == []


def test_opens_with_an_example_already_drawn(visit: Callable[..., Visit]) -> None:
    first = visit()
    assert max(first.sketch.size) == 512
    assert first.page.locator("#comparison .title").inner_text() == "Trench coat"
    assert len(first.weights()) == 8 and sum(first.weights().values()) == pytest.approx(1)
    first.page.wait_for_function("document.querySelectorAll('#examples button').length >= 6")
    stand_still(first.page)  # all of the page is there
    nameless = "all => all.filter(i => !i.alt.trim()).map(i => i.outerHTML.slice(0, 99))"
    assert first.page.eval_on_selector_all("main img", nameless) == []
    assert first.page.evaluate("document.documentElement.lang") == "en"
    assert first.page.title() == "FedGAI Studio"


def test_a_photograph_is_drawn_and_sliders_change_it(visit: Callable[..., Visit], tmp_path: Path) -> None:
    visitor = visit()
    visitor.changes(lambda: visitor.upload(shirt_picture(tmp_path)))
    visitor.titled("Your garment")
    assert visitor.sketch.size == (439, 512)
    visitor.settles()
    fader = visitor.page.locator("#blend input").nth(2)
    fader.focus()
    visitor.changes(lambda: fader.press("End"))
    assert visitor.weights()[fader.get_attribute("name")] == 1
    visitor.settles()
    box = boxes(visitor.page, "#blend input")[5]
    middle = box["y"] + box["height"] / 2
    before = visitor.source
    visitor.page.mouse.move(box["x"] + 9, middle)
    visitor.page.mouse.down()
    visitor.page.mouse.move(box["x"] + box["width"] / 2, middle, steps=8)
    visitor.page.wait_for_timeout(300)
    assert visitor.source == before  # it waits for the release
    visitor.changes(visitor.page.mouse.up)
    name = visitor.page.locator("#blend input").nth(5).get_attribute("name")
    assert visitor.weights()[name] == pytest.approx(0.5, abs=0.051) and name in visitor.caption
    assert name in visitor.page.locator("#comparison img.sketch").get_attribute("alt")


def test_every_control_draws_again(visit: Callable[..., Visit]) -> None:
    visitor = visit()
    opening = visitor.source
    visitor.changes(lambda: visitor.page.locator("#lines input").nth(1).fill("0.3"))
    visitor.settles()
    visitor.changes(lambda: visitor.page.get_by_label("256 px").check())
    assert max(visitor.sketch.size) == 256
    visitor.settles()
    visitor.changes(lambda: visitor.page.get_by_label("Cut it out").uncheck())
    visitor.settles()
    visitor.changes(lambda: visitor.page.get_by_role("button", name="Surprise me").click())
    assert 2 <= sum(weight > 0 for weight in visitor.weights().values()) <= 3
    visitor.settles()
    visitor.page.get_by_role("button", name="Reset").click()
    visitor.becomes(opening)
    visitor.settles()
    visitor.changes(lambda: visitor.page.locator("#examples button").nth(2).click())
    visitor.titled("Denim jacket")


def test_all_designers_at_zero_is_a_sentence(visit: Callable[..., Visit]) -> None:
    visitor = visit()
    before = visitor.source
    for fader in visitor.page.locator("#blend input").all():
        if fader.input_value() != "0":
            fader.fill("0")
    assert "at least one slider" in visitor.notice()
    visitor.changes(lambda: visitor.page.locator("#blend input").nth(7).fill("1"))
    assert visitor.source != before
    visitor.page.wait_for_selector("#notice p:empty", state="attached")


def test_contact_sheet_and_blend_row(visit: Callable[..., Visit]) -> None:
    visitor = visit()
    visitor.page.get_by_role("button", name="Draw the contact sheet").click()
    visitor.page.wait_for_selector("#sheet button:nth-of-type(8)")
    names = list(visitor.weights())
    assert visitor.page.locator("#sheet button").all_inner_texts() == names
    sheet = visitor.page.eval_on_selector_all("#sheet img", "all => all.map(i => i.src)")
    assert len(set(sheet)) == 8 and all(max(decoded(source).size) == 512 for source in sheet)
    visitor.changes(lambda: visitor.page.locator("#sheet button").nth(3).click())
    assert visitor.caption == f"{names[3]} 100%"
    assert {name for name, weight in visitor.weights().items() if weight} == {names[3]}
    visitor.page.get_by_role("tab", name="Blend row").click()
    visitor.page.wait_for_selector("#row button:nth-of-type(5)")
    assert visitor.page.locator("#row button").count() == 5
    visitor.settles()
    visitor.changes(lambda: visitor.page.locator("#row button").nth(1).click())
    assert visitor.caption == f"{names[0]} 75%, {names[-1]} 25%"
    # of the next garment there is no sheet yet
    visitor.settles()
    visitor.page.locator("#examples button").nth(1).click()
    visitor.page.wait_for_selector("#row button", state="detached")


def test_of_choices_on_a_slow_line_the_last_counts(visit: Callable[..., Visit]) -> None:
    visitor = visit()
    visitor.changes(lambda: visitor.page.locator("#examples button").nth(2).click())
    visitor.settles()
    wanted = visitor.source
    visitor.changes(lambda: visitor.page.locator("#examples button").nth(0).click())
    visitor.settles()
    slow_requests(visitor.page)
    for i in (1, 3, 2):
        visitor.page.locator("#examples button").nth(i).click()
        visitor.page.wait_for_timeout(200)
    visitor.becomes(wanted)


def test_download(visit: Callable[..., Visit]) -> None:
    visitor = visit()
    button = visitor.page.get_by_role("button", name="Download PNG")
    with visitor.page.expect_download() as white:
        button.click()
    assert white.value.suggested_filename.endswith(".png")
    picture = Image.open(white.value.path())
    assert picture.mode == "RGB" and picture.tobytes() == visitor.sketch.tobytes()
    visitor.page.get_by_label("Transparent").check()
    with visitor.page.expect_download() as clear:
        button.click()
    picture = Image.open(clear.value.path())
    assert picture.mode == "RGBA" and picture.size == visitor.sketch.size
    assert picture.getchannel("A").getextrema()[0] == 0


@pytest.mark.parametrize("wide", [390, 1440, 1920])
def test_both_downloads_stand_side_by_side(visit: Callable[..., Visit], wide: int) -> None:
    page = visit(width=wide).page
    assert page.locator("#download button, #download-svg button").all_inner_texts() == ["Download PNG", "Download SVG"]
    png, svg = boxes(page, "#download button, #download-svg button")
    assert png["y"] == svg["y"] and png["height"] == svg["height"] < 50  # and each is one line
    assert png["x"] + png["width"] < svg["x"] < png["x"] + png["width"] + 40 and svg["x"] + svg["width"] <= wide


def test_download_as_svg(visit: Callable[..., Visit]) -> None:
    visitor = visit()
    button = visitor.page.get_by_role("button", name="Download SVG")
    with visitor.page.expect_download() as drawn:
        button.click()
    assert drawn.value.suggested_filename.endswith(".svg")
    root = ElementTree.parse(drawn.value.path()).getroot()
    assert root.get("viewBox") == f"0 0 {visitor.sketch.width} {visitor.sketch.height}"
    layers = [group.get("id") for group in root.iter("{http://www.w3.org/2000/svg}g")]
    assert layers[0] == "paper" and layers[-1] in ("silhouette", "centre-lines")
    visitor.page.get_by_label("Transparent").check()
    with visitor.page.expect_download() as clear:
        button.click()
    assert "paper" not in Path(clear.value.path()).read_text()


def test_a_link_opens_the_same_blend(visit: Callable[..., Visit]) -> None:
    visitor = visit()
    visitor.changes(lambda: visitor.page.locator("#examples button").nth(3).click())
    visitor.settles()
    visitor.changes(lambda: visitor.page.locator("#blend input").nth(6).fill("0.85"))
    visitor.settles()
    visitor.changes(lambda: visitor.page.locator("#lines input").nth(0).fill("0.8"))
    address = visitor.page.get_by_label("Link to this blend").input_value()
    again = visit(address.partition("?")[1] + address.partition("?")[2])
    again.becomes(visitor.source)
    again.weighs(visitor.weights())
    assert again.caption == visitor.caption


LINKS = {
    "?style=Nobody:1&garment=../../etc/passwd&size=9e9": ["designer 'Nobody'", "size '9e9'", "garment '../../etc/passwd'"],
    "?style=%24%7Bx%7D:1&strength=nan": ["the designer '${x}'", "strength 'nan'"],
    "?style=Dara:7&detail=-1&cutout=maybe": ["a weight of Dara '7'", "line detail '-1'", "a cut-out 'maybe'"],
    "?style=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E:1": ["the designer '<img src=x onerror=alert(1)>'"],
}


@pytest.mark.parametrize("query", LINKS)
def test_a_link_gone_wrong_opens_the_studio_and_says_what_was_wrong(visit: Callable[..., Visit], query: str) -> None:
    visitor = visit(query)
    visitor.page.wait_for_selector("#remark p:not(:empty)")
    remark = visitor.page.locator("#remark").inner_text()
    assert all(words in remark for words in LINKS[query]) and "The rest of it is drawn." in remark
    visitor.settles()
    assert max(visitor.sketch.size) == 512 and visitor.caption.count("%") >= 1
    visitor.changes(lambda: visitor.page.locator("#examples button").nth(2).click())
    visitor.page.wait_for_selector("#remark p:empty", state="attached")  # it has been read


def test_a_page_that_is_loaded_again_goes_on_with_its_blend(visit: Callable[..., Visit], tmp_path: Path) -> None:
    visitor = visit()
    visitor.changes(lambda: visitor.page.locator("#examples button").nth(3).click())
    visitor.settles()
    visitor.changes(lambda: visitor.page.locator("#blend input").nth(6).fill("0.85"))
    visitor.settles()
    sketch, weights = visitor.source, visitor.weights()
    visitor.page.reload()
    visitor.becomes(sketch)
    visitor.weighs(weights)
    assert visitor.page.locator("#remark").is_hidden()
    visitor.changes(lambda: visitor.upload(shirt_picture(tmp_path)))
    visitor.settles()
    visitor.page.reload()
    visitor.page.wait_for_selector("#remark p:has-text('no longer here: please add it again. Your blend is kept.')")
    visitor.weighs(weights)


@pytest.fixture(scope="module")
def restarted() -> Iterator[list[StudioServer]]:
    """The studio that runs now, of those that take each other's place at one address."""
    running = [StudioServer()]
    yield running
    running[0].stop()


@pytest.mark.parametrize("while_away", [False, True])
def test_after_a_restart_the_photograph_is_gone_and_the_blend_is_kept(
    restarted: list[StudioServer], browser: Any, tmp_path: Path, while_away: bool
) -> None:
    first = restarted[0]
    context = browser.new_context(viewport={"width": 1360, "height": 960})
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    try:
        page.goto(first.url)
        page.wait_for_selector("#comparison img.sketch[src^='data:image/png']")
        page.wait_for_selector("#photo input[type=file]", state="attached")
        visitor = Visit(page)
        visitor.changes(lambda: visitor.upload(shirt_picture(tmp_path)))
        visitor.settles()
        visitor.changes(lambda: page.locator("#blend input").nth(2).fill("0.9"))
        visitor.settles()
        weights = visitor.weights()
        first.stop()
        if while_away:  # Gradio then loads the page again, as soon as there is one
            page.locator("#blend input").nth(3).fill("0.25")
            page.wait_for_timeout(500)
        restarted[0] = StudioServer(port=first.port)
        if not while_away:
            page.locator("#blend input").nth(3).fill("0.25")
            page.wait_for_selector("#notice p:has-text('no longer here: please add it again. Your blend is kept.')")
            weights |= {list(weights)[3]: 0.25}
        else:
            page.wait_for_selector("#remark p:has-text('no longer here: please add it again. Your blend is kept.')")
        visitor.weighs(weights)
        visitor.changes(lambda: visitor.upload(shirt_picture(tmp_path)))
        page.wait_for_selector("#comparison .title:has-text('Your garment')")
        assert visitor.weights() == weights
    finally:
        context.close()
        if restarted[0].process.poll() is not None:  # for the next test, where this one failed
            restarted[0] = StudioServer()


def test_bad_pictures_get_a_sentence_and_change_nothing(visit: Callable[..., Visit], tmp_path: Path) -> None:
    visitor, files = visit(), bad_pictures(tmp_path)
    before = visitor.source
    for name in BAD:
        visitor.page.evaluate("document.querySelector('#notice p').dataset.seen = 'no'")
        visitor.page.evaluate("document.querySelector('#notice p').textContent = ''")
        visitor.upload(files[name])
        sentence = visitor.notice()
        assert sentence.endswith(".") and "/tmp" not in sentence and "Error" not in sentence, (name, sentence)
        assert visitor.source == before
        visitor.page.wait_for_selector("#photo input[type=file]", state="attached")  # ready for the next one
    visitor.upload(heavy_file(tmp_path))
    visitor.page.wait_for_selector("text=/maximum allowed size/i")
    visitor.page.reload()
    visitor.page.wait_for_selector("#photo input[type=file]", state="attached")
    visitor.page.wait_for_selector("#comparison img.sketch[src^='data:image/png']")
    visitor.changes(lambda: visitor.upload(shirt_picture(tmp_path)))
    visitor.titled("Your garment")


def test_no_garment_to_cut_out(visit: Callable[..., Visit], tmp_path: Path) -> None:
    visitor = visit()
    visitor.changes(lambda: visitor.upload(flat_picture(tmp_path)))
    assert "No garment could be found" in visitor.notice()
    visitor.page.get_by_label("Cut it out").uncheck()
    visitor.page.wait_for_selector("#notice p:empty", state="attached")


def test_on_a_phone(visit: Callable[..., Visit], tmp_path: Path) -> None:
    visitor = visit(width=390, height=844, has_touch=True, is_mobile=True)
    page = visitor.page
    assert width(page) <= 390
    page.locator("#blend input").nth(7).scroll_into_view_if_needed()
    [paper] = boxes(page, "#comparison .paper")
    assert 0 <= paper["y"] and paper["y"] + paper["height"] < 844  # the sketch stays in view
    visitor.changes(lambda: page.locator("#blend input").nth(7).fill("1"))
    on_top = """e => { const b = e.getBoundingClientRect();
        return e.contains(document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2)); }"""

    def comes_on_top(place: str, *how: str) -> None:
        for _ in range(100):  # what moves with the page follows within some frames
            if page.eval_on_selector(place, on_top):
                return
            page.wait_for_timeout(50)
        raise AssertionError((place, *how))

    for place in ("#size label:nth-of-type(2)", "#paper label:nth-of-type(1)", "#link button", "#lines input"):
        for block in ("start", "center", "end", "nearest"):  # however one comes to it, the sketch does not lie over it
            page.evaluate("scrollTo(0, 0)")
            page.eval_on_selector(place, f"e => e.scrollIntoView({{ block: '{block}' }})")
            comes_on_top(place, block)
            page.evaluate("scrollTo(0, document.body.scrollHeight)")
            page.eval_on_selector(place, f"e => e.scrollIntoView({{ block: '{block}' }})")
            comes_on_top(place, block, "from below")
    page.get_by_role("tab", name="Contact sheet").click()
    page.get_by_role("button", name="Draw the contact sheet").click()
    page.wait_for_selector("#sheet button:nth-of-type(8)")
    assert width(page) <= 390
    page.screenshot(path=tmp_path / "phone.png", full_page=True)


def test_in_the_dark_the_sketch_stays_on_its_paper(visit: Callable[..., Visit]) -> None:
    page = visit(color_scheme="dark").page
    page.wait_for_selector("body.dark")
    stand_still(page)  # colours change over a moment, too

    def brightness(selector: str, what: str) -> float:
        colour = page.eval_on_selector(selector, f"e => getComputedStyle(e).{what}")
        return sum(float(v) for v in colour[colour.index("(") + 1 : -1].split(",")[:3]) / 3

    assert brightness(".gradio-container", "backgroundColor") < 60
    assert brightness("#header h1", "color") > 180 and brightness("#blend label", "color") > 180
    assert brightness("#comparison .paper", "backgroundColor") == 255


def test_by_keyboard(visit: Callable[..., Visit]) -> None:
    """Everything that matters comes by Tab, in reading order, with a name and a focus that shows."""
    page = stand_still(visit().page)
    seen = []
    for _ in range(45):
        page.keyboard.press("Tab")
        found = page.evaluate("""() => {
            const e = document.activeElement;
            const name = e.labels?.[0]?.innerText || e.ariaLabel || e.innerText || e.querySelector('img')?.alt || '';
            return [e.closest('.block, .row, body').id, name.trim()]; }""")
        seen.append(tuple(found))
    ids = [key for key, _ in seen]
    order = [ids.index(key) for key in ("photo", "examples", "comparison", "download", "link", "blend", "lines")]
    assert order == sorted(order)
    assert all(name for key, name in seen if key)
    page.locator("#blend input").first.focus()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_ends_cleanly(restarted: list[StudioServer]) -> None:
    assert restarted[0].stop() in (0, -15)
    assert "Traceback" not in restarted[0].log()


def test_no_choice_is_left_out_while_another_is_under_way(studio: StudioServer) -> None:
    """Of two examples clicked one after the other, the second is drawn."""
    assert dropped_choices(studio.url) == []
