"""axe-core on every tab, light and dark, on a phone and on a desk; and what it does not look at: stops of the Tab key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from helpers.axe_rules import violations
from helpers.screen import light_and_dark, stand_still
from helpers.studio_server import PATIENCE, StudioServer

pytest.importorskip("studio.without_stubs")

TABS = ("Contact sheet", "Blend row", "Imagine", "About")


@pytest.fixture(params=[390, 1440])
def page(request: pytest.FixtureRequest, studio: StudioServer, browser: Any) -> Iterator[Any]:
    width = request.param
    phone = width < 500
    context = browser.new_context(
        viewport={"width": width, "height": 844 if phone else 900},
        is_mobile=phone,
        has_touch=phone,
        reduced_motion="reduce",
    )
    context.set_default_timeout(1000 * PATIENCE)
    opened = context.new_page()
    opened.goto(studio.url)
    opened.wait_for_selector("#comparison img.sketch[src^='data:image/png']")
    opened.wait_for_selector("#photo input[type=file]", state="attached")
    yield opened
    context.close()


def test_what_is_wrong_is_found_each_time(browser: Any) -> None:
    page = browser.new_page()
    page.set_content("<html lang=en><title>A page</title><main><h1>A page</h1><button></button>")
    assert [found.partition(":")[0] for found in violations(page)] == ["button-name"]
    page.set_content(
        "<html lang=en><title>Another</title><main><h1>Another</h1><button aria-label='Open'>Close</button><img src=x>"
    )
    assert [found.partition(":")[0] for found in violations(page)] == ["image-alt", "label-content-name-mismatch"]
    page.close()


def test_no_serious_violation_on_any_tab(page: Any) -> None:
    for tab in TABS:
        page.get_by_role("tab", name=tab).first.click()
        if tab == "Contact sheet":
            page.get_by_role("button", name="Draw the contact sheet").click()
            page.wait_for_selector("#sheet button:nth-of-type(8)")
        if tab == "Blend row":
            page.wait_for_selector("#row button:nth-of-type(5)")
        if tab == "Imagine":
            page.locator("#imagine-go").hover()
        for scheme in light_and_dark(page):
            assert violations(page) == [], (tab, scheme)


def test_a_notice_and_an_opened_menu(page: Any) -> None:
    for fader in page.locator("#blend input").all():
        if fader.input_value() != "0":
            fader.fill("0")
    page.wait_for_selector("#notice p:not(:empty)")
    page.get_by_role("tab", name="Blend row").first.click()
    page.get_by_label("From").first.click()
    for scheme in light_and_dark(page):
        assert violations(page) == [], scheme


def test_a_group_of_radio_buttons_is_one_stop(studio: StudioServer, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 1360, "height": 960})
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    page.goto(studio.url)
    page.wait_for_selector("#comparison img.sketch[src^='data:image/png']")
    page.wait_for_selector("#size input")
    stand_still(page)
    page.get_by_label("512 px").focus()
    stops = []
    for _ in range(3):
        stops.append(page.evaluate("document.activeElement.closest('fieldset, .block').id"))
        page.keyboard.press("Tab")
    assert stops == ["size", "paper", "download"]
    page.get_by_label("512 px").focus()
    page.keyboard.press("ArrowRight")  # and the arrows choose within it
    page.wait_for_function("document.querySelector('#comparison .note').textContent.includes('768 px')")
    assert page.locator("#size input:checked").count() == 1
    page.get_by_role("tab", name="Imagine").first.click()
    page.wait_for_selector("#imagine-pictures input")
    stand_still(page)
    names = page.eval_on_selector_all("#imagine-pictures input", "all => all.map(i => i.name)")
    assert len(set(names)) == 1
    context.close()
