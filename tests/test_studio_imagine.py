"""The Imagine tab in a real browser, and its endpoint: a studio whose pipeline comes from a stand-in for the Hub."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from helpers.hub_server import HubServer
from helpers.screen import width
from helpers.studio_server import PATIENCE, StudioServer
from helpers.tiny_diffusion import contents
from PIL import Image

from fedgai.imagine import CHIPS

STEPS = 40
REPO = "ada/garments"
# one byte for each denoising step of the server, where the tests can count them; and a step takes its time, as in earnest:
# as long as the file beside it says that it waits after so many steps, it waits
COUNTING = """
import os, time
import fedgai.imagine as imagine
made, steps = imagine.Step, os.environ["STEPS_FILE"]
def waits():
    try:
        with open(f"{steps}.wait") as file:
            return os.path.getsize(steps) >= int(file.read())
    except OSError:
        return False
def counted(*arguments):
    with open(steps, "ab") as file:
        file.write(b".")
    time.sleep(0.02)
    while waits():
        time.sleep(0.02)
    return made(*arguments)
imagine.Step = counted
"""


@dataclass
class Place:
    studio: StudioServer
    hub: HubServer
    steps: Path

    def taken(self) -> int:
        """Denoising steps so far."""
        return self.steps.stat().st_size if self.steps.exists() else 0

    @contextmanager
    def waiting(self, after: int) -> Iterator[None]:
        """After so many steps there is no further one within the block: whatever is to happen in the midst of it has the time."""
        file, written = Path(f"{self.steps}.wait"), Path(f"{self.steps}.written")
        written.write_text(str(after))
        written.replace(file)
        yield
        file.unlink()

    def stands_still(self) -> int:
        """Denoising steps when there have been no more of them for a while."""
        deadline = time.monotonic() + PATIENCE
        while (before := self.taken()) != (time.sleep(2), self.taken())[1]:
            assert time.monotonic() < deadline
        return before


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A studio, and a Hub that does not have the pipeline."""
    folder = tmp_path_factory.mktemp("imagine")
    with HubServer() as hub:
        settings = {
            "FEDGAI_IMAGINE": REPO,
            "FEDGAI_IMAGINE_STEPS": str(STEPS),
            "HF_HOME": str(folder / "home"),
            "OMP_NUM_THREADS": "1",
            "STEPS_FILE": str(folder / "steps"),
        }
        studio = StudioServer(hub.environment | settings, before=COUNTING)
        yield Place(studio, hub, folder / "steps")
        log = studio.log()
        studio.stop()
        assert "Traceback" not in log


@pytest.fixture(scope="module")
def place(empty: Place, tiny_diffusion: Path) -> Place:
    """The same, and the Hub has it."""
    if REPO not in empty.hub.repos:
        empty.hub.create(REPO, contents(tiny_diffusion))
    return empty


@pytest.fixture
def visit(empty: Place, browser: object) -> Iterator[Callable[..., object]]:
    """Opens pages, on the Imagine tab."""
    contexts, errors = [], []

    def opened(wide: int = 1360, height: int = 960, **options: object) -> object:
        context = browser.new_context(viewport={"width": wide, "height": height}, **options)
        contexts.append(context)
        context.set_default_timeout(1000 * PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(empty.studio.url)
        page.wait_for_selector("#comparison img.sketch[src^='data:image/png']")
        page.get_by_role("button", name="Or describe one").click()
        page.wait_for_selector("#chips input", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def phase(page: object, *wanted: str) -> str:
    """Wait for one of these, and return the line beside it."""
    line = """all => all.includes(document.querySelector('[data-phase]').dataset.phase)
        && document.querySelector('#progress p').innerText"""
    return page.wait_for_function(line, arg=list(wanted)).json_value()  # both as they are at one moment


def photograph(page: object) -> Image.Image:
    source = page.locator("#comparison img.photo").get_attribute("src")
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))


def test_where_the_weights_cannot_be_had_a_line_says_so(empty: Place, visit: Callable[..., object]) -> None:
    page = visit()
    assert "known after the first" in phase(page, "idle")
    page.get_by_role("button", name="Imagine it").click()
    assert "at least one chip" in phase(page, "failed")
    page.get_by_role("radio", name="coat", exact=True).check()
    page.get_by_role("button", name="Imagine it").click()
    page.wait_for_selector("#progress p:has-text('no model that makes garments')")
    line = page.locator("#progress p").inner_text()
    assert "Bring a photograph" in line and "FEDGAI" not in line and REPO not in line
    log = empty.studio.log()  # whoever runs the studio reads what to do
    assert f"hf download {REPO}" in log and "FEDGAI_IMAGINE" in log
    before = page.locator("#comparison img.sketch").get_attribute("src")
    page.locator("#examples button").nth(3).click()  # the rest of the studio goes on
    page.wait_for_function("old => document.querySelector('#comparison img.sketch').src !== old", arg=before)


def test_from_chips_to_a_sketch(place: Place, visit: Callable[..., object]) -> None:
    page = visit()
    page.get_by_role("radio", name="dress").check()
    page.get_by_role("group", name="Colour").get_by_role("radio", name="red").check()
    page.get_by_label("In your own words").fill("with large pockets")
    page.wait_for_selector("#imagine-words p:has-text('one red dress, with large pockets')")
    page.get_by_label("Seed").fill("41")
    page.locator("#imagine-pictures").get_by_label("3").check()
    page.get_by_role("button", name="Imagine it").click()
    assert f"of {STEPS}" in phase(page, "imagining")
    beside = "#progress img:not([hidden])"  # a preview
    page.wait_for_function(
        """beside => document.querySelector(beside) && !document.querySelector('#imagine-go').checkVisibility()
        && [...document.querySelectorAll('#progress button')].some(b => b.innerText === 'Cancel' && b.checkVisibility())""",
        arg=beside,
    )
    page.wait_for_selector("#imagined button")
    page.wait_for_selector("#comparison .title:has-text('Imagined garment')")  # the first at once, while others are to come
    first = photograph(page)
    assert first.width == first.height == 512
    assert "s a denoising step" in phase(page, "done")
    page.locator("#imagined button").nth(2).wait_for()
    assert page.locator("#imagined button").all_inner_texts() == ["Seed 41", "Seed 42", "Seed 43"]
    sketch = page.locator("#comparison img.sketch").get_attribute("src")
    page.locator("#imagined button").nth(2).click()
    page.wait_for_function("old => document.querySelector('#comparison img.sketch').src !== old", arg=sketch)
    page.wait_for_function("document.querySelector('#portrait img').alt.includes('with seed 43: product photo')")
    assert photograph(page).tobytes() != first.tobytes()
    page.get_by_label("Seed").fill("43")  # a seed is worth keeping: the same picture again
    page.locator("#imagine-pictures").get_by_label("1").check()
    assert "one picture: about" in phase(page, "idle").lower()
    chosen = page.locator("#imagined button img").nth(2).get_attribute("src")
    page.get_by_role("button", name="Imagine it").click()
    phase(page, "imagining")
    phase(page, "done")
    only = "src => (all => all.length === 1 && all[0].src === src)(document.querySelectorAll('#imagined button img'))"
    page.wait_for_function(only, arg=chosen)
    page.get_by_role("button", name="Another seed").click()
    page.wait_for_function("document.querySelector('#imagine-seed input').value !== '43'")


def test_a_skirt_has_no_sleeves(place: Place, visit: Callable[..., object]) -> None:
    page = visit()
    page.get_by_role("radio", name="puff sleeves").check()
    page.get_by_role("radio", name="skirt").check()
    page.wait_for_selector("#imagine-words p:has-text('one skirt, whole')")
    page.wait_for_function("document.querySelector('#chips fieldset[data-name=sleeve]').disabled")
    assert page.get_by_role("radio", name="puff sleeves").is_disabled()
    page.get_by_role("radio", name="shirt", exact=True).check()
    page.wait_for_selector("#imagine-words p:has-text('one shirt, puff sleeves')")


@pytest.mark.parametrize("way", ["button", "leave"])
def test_cancelled_by_the_button_or_by_leaving(place: Place, visit: Callable[..., object], way: str) -> None:
    page, before = visit(), place.taken()
    page.get_by_role("radio", name="coat", exact=True).check()
    page.locator("#imagine-pictures").get_by_label("4").check()
    with place.waiting(before + STEPS // 2):
        page.get_by_role("button", name="Imagine it").click()
        page.wait_for_selector("#progress img:not([hidden])")
        if way == "button":
            page.get_by_role("button", name="Cancel").click()
        else:
            page.context.close()
            time.sleep(2)  # the studio has no sign of its own for having noticed
    if way == "button":
        assert "Cancelled" in phase(page, "cancelled")
        page.get_by_role("button", name="Imagine it").wait_for()
    assert 0 < place.stands_still() - before < 4 * STEPS
    other = visit()  # and the worker serves the next visitor
    other.get_by_role("radio", name="coat", exact=True).check()
    other.get_by_role("button", name="Imagine it").click()
    phase(other, "done")


def test_by_keyboard_and_with_names(place: Place, visit: Callable[..., object]) -> None:
    page = visit()
    page.get_by_role("radio", name="coat", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#imagine-words p:has-text('one jacket,')")
    focused = "getComputedStyle(document.activeElement.nextElementSibling).outlineStyle"
    page.wait_for_function(f"{focused} === 'solid'")
    for name, words in CHIPS.items():
        group = page.get_by_role("group", name=name.capitalize())
        assert group.get_by_role("radio").count() == len(words) + 1
        assert group.get_by_role("radio", name="any").count() == 1
    page.keyboard.press("Tab")  # one stop a group
    assert page.evaluate("document.activeElement.name") == "chip-silhouette"
    for _ in list(CHIPS)[1:]:
        page.keyboard.press("Tab")
    page.keyboard.type("of felt")
    page.wait_for_selector("#imagine-words p:has-text('one jacket, of felt')")
    page.keyboard.press("Enter")
    phase(page, "imagining")
    assert page.evaluate("document.activeElement.closest('#imagine-text') !== null")  # who writes goes on writing
    phase(page, "done")
    page.locator("#imagine-go").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.innerText === 'Cancel'")
    page.keyboard.press("Enter")
    phase(page, "cancelled")
    page.wait_for_function("document.activeElement.id === 'imagine-go'")
    assert page.locator("#progress [role=progressbar]").get_attribute("aria-label") == "Imagining"
    assert page.locator("#progress [role=status]").inner_text().startswith("Cancelled")


def test_on_a_phone_and_in_the_dark(place: Place, visit: Callable[..., object]) -> None:
    page = visit(wide=390, height=844, has_touch=True, is_mobile=True, color_scheme="dark")
    page.get_by_role("radio", name="mustard").check()
    page.wait_for_selector("#imagine-words p:has-text('one mustard garment')")
    assert width(page) <= 390
    colour = page.eval_on_selector("#chips input:checked + span", "e => getComputedStyle(e).color")
    assert sum(float(v) for v in colour[colour.index("(") + 1 : -1].split(",")[:3]) / 3 > 180


# -- programs ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(place.studio.url, verbose=False, download_files=tmp_path_factory.mktemp("client"))


def test_the_endpoint_streams_and_answers(client: Client) -> None:
    job = client.submit({"category": "shirt"}, "of felt", 7, 2, api_name="/imagine")
    progress, photographs = job.result(PATIENCE)
    assert progress["phase"] == "done" and "one shirt, of felt" in progress["prompt"]
    assert [photo["caption"] for photo in photographs] == ["7", "8"]
    assert all(Image.open(photo["image"]).size == (128, 128) for photo in photographs)
    phases = {answer[0]["phase"] for answer in job.outputs()}
    assert "imagining" in phases


def test_a_job_can_be_cancelled(client: Client, place: Place) -> None:
    before = place.stands_still()
    with place.waiting(before + 5):
        job = client.submit({"category": "shirt"}, "", 7, 4, api_name="/imagine")
        while place.taken() < before + 5:
            time.sleep(0.05)
        job.cancel()
    assert place.stands_still() - before < 4 * STEPS


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"chips": {"category": "tank"}}, "no category"),
        ({"text": "x" * 999}, "999 characters"),
        ({"seed": -1}, "seed"),
        ({"pictures": 99}, "Variations"),
        ({"chips": {}, "text": ""}, "at least one chip"),
        ({"chips": [1]}, "name: word"),
    ],
)
def test_bad_settings_get_a_sentence(client: Client, settings: dict, words: str) -> None:
    with pytest.raises(AppError, match=words):
        client.predict(**({"chips": {"category": "coat"}} | settings), api_name="/imagine")
