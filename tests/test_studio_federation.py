"""The studio with a federation behind it: what a visitor and the operator see change. The folder is filled by the tests."""

from __future__ import annotations

import http.client
import io
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.axe_rules import violations
from helpers.screen import light_and_dark, slow_requests, width
from helpers.studio_server import PATIENCE, ROOT, StudioServer, untrained
from helpers.visit import Visit
from PIL import Image

pytest.importorskip("studio.without_stubs")
pytest.importorskip("flwr")

from federation.operator import approve, members
from federation.server.folder import Folder
from federation.server.members import Member, revoke
from federation.server.report import RoundReport
from fedgai.model import FedGAI
from fedgai.pipeline import SketchPipeline
from studio.federation.follow import Federation, newest
from studio.federation.tab import sentence
from studio.sketching import Look, SketchStudio

PASSWORD = "a word for the operator"
HOSTILE = "<img src=x onerror=window.hacked=1>${window.hacked=1}{{x}}"
ALONE = "import federation.server.host as host\nhost.Host.start = host.Host.stop = lambda self: None"  # the folder is the tests'


class Rounds:
    """Publishes rounds whose Generators differ from each other, into a folder."""

    def __init__(self, folder: Folder, weights: str | Path) -> None:
        self.folder, self.model = folder, FedGAI.load(weights)
        torch.manual_seed(5)
        folder.publish(0, self.model, RoundReport.of_the_start())

    @property
    def next(self) -> int:
        return self.folder.rounds()[-1] + 1

    def publish(self, number: int, held_back: str = "", **more: object) -> None:
        with torch.no_grad():
            for parameter in self.model.generator.parameters():
                parameter.mul_(1 + 0.02 * torch.randn_like(parameter))
        self.model.info = {**self.model.info, "round": number}
        designers = [
            {"node_id": 1, "name": "Ada", "accepted": True, "reason": ""},
            {"node_id": 2, "name": HOSTILE, "accepted": False, "reason": "has 3 <b>infinite</b> numbers"},
        ]
        report = {
            "round": number,
            "finished": "2025-11-23T10:05:00+00:00",
            "designers": designers,
            "accepted": 1,
            "metrics": {"loss-generator": 2.5 - number / 10, "not-a-number": float("nan")},
            "house": {"losses": {"style": 1 / number}},
            "probe": {"before": {}, "after": {"boundary": 0.9}},
            "style_distances": {"Ada": 0.2, HOSTILE: 0.3},
            "published": not held_back,
            "held_back": held_back,
            **more,
        }
        sheet = io.BytesIO()
        Image.new("RGB", (90, 30), "white").save(sheet, "JPEG")
        self.folder.publish(number, self.model, RoundReport.read(report), {"sheet.jpg": sheet.getvalue()}, latest=not held_back)

    def sign(self, node: int, name: str, description: str = "new here") -> None:
        """As the ServerApp does during a round."""
        signatures = self.folder.path / "signatures"
        signatures.mkdir(exist_ok=True)
        signature = replace(next(iter(self.model.styles.values())), name=name, description=description)
        signature.save(signatures / f".{node}")
        os.replace(signatures / f".{node}", signatures / f"{node}.safetensors")


@pytest.fixture(scope="module")
def weights() -> str:
    return str(ROOT / "weights") if (ROOT / "weights" / "config.json").exists() else untrained()


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory, weights: str) -> Rounds:
    made = Rounds(Folder(tmp_path_factory.mktemp("federation")), weights)
    made.publish(1)
    return made


@pytest.fixture(scope="module")
def server(rounds: Rounds) -> Iterator[StudioServer]:
    environment = {
        "FEDGAI_HOME": str(rounds.folder.path),
        "FEDGAI_OPERATOR_PASSWORD": PASSWORD,
        "HF_TOKEN": "",
        "FEDGAI_HUB_REPO": "someone/somewhere",
    }
    running = StudioServer(environment, ("--federation",), ALONE)
    yield running
    assert running.stop() in (0, -15)
    assert "Traceback" not in running.log()


@pytest.fixture
def visit(server: StudioServer, browser: object) -> Iterator[Callable[..., Visit]]:
    contexts, errors = [], []

    def opened(query: str = "", tab: bool = True, width: int = 1280, height: int = 900, **options: object) -> Visit:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_default_timeout(1000 * PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server.url + query)
        page.wait_for_selector("#comparison img.sketch[src^='data:image/png']")
        if tab:
            page.get_by_role("tab", name="Federation").click()
            page.wait_for_selector(".sentence")
        return Visit(page)

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


# -- in a browser ----------------------------------------------------------------------------------------------------------


def test_the_tab_follows_the_status(visit: Callable[..., Visit], rounds: Rounds, tmp_path: Path) -> None:
    rounds.folder.set_status(phase="waiting", round=0, rounds=11, waiting_for=2, online=[])
    page = visit().page
    page.evaluate("window.same = true")
    page.wait_for_selector("text=Round 1 of 11 begins when 2 more designers are here.")
    deadline = time.time() + 600
    rounds.folder.set_status(
        phase="training",
        round=1,
        progress=0.625,
        asked=8,
        answered=5,
        waiting_for=0,
        deadline=deadline,
        online=["Ada", HOSTILE],
        note="A note with <b>tags</b>.",
    )
    page.wait_for_selector("text=Round 1 of 11: designers' machines are learning, 5 of 8 have answered.")
    assert page.locator(".federation [role=progressbar]").get_attribute("aria-valuenow") == "62"
    left = int(re.fullmatch(r"(\d+) min left", page.locator(".left").inner_text())[1])
    assert round((deadline - time.time()) / 60) <= left <= 10
    assert page.locator(".names li").all_inner_texts() == ["Ada", HOSTILE]
    assert page.locator("[data-part=now] .remark").inner_text() == "A note with <b>tags</b>."
    assert "no token" in page.locator(".hub").inner_text() or "Nothing has been uploaded" in page.locator(".hub").inner_text()
    assert page.evaluate("window.same") and page.evaluate("window.hacked") is None
    page.screenshot(path=tmp_path / "tab.png", full_page=True)


def test_a_new_checkpoint_is_drawn_with_on_a_page_that_is_open(visit: Callable[..., Visit], rounds: Rounds) -> None:
    visitor = visit(tab=False)
    visitor.settles()
    fader = visitor.page.locator("#blend input").nth(1)
    fader.focus()
    visitor.changes(lambda: fader.press("End"))
    visitor.settles()
    before = visitor.weights()
    visitor.changes(lambda: rounds.publish(rounds.next))
    visitor.weighs(before)
    visitor.settles()
    rounds.sign(77, HOSTILE, "a hand with <script>window.hacked=1</script>")
    visitor.page.wait_for_function("n => document.querySelectorAll('#blend input').length === n", arg=len(before) + 1)
    visitor.weighs({**before, HOSTILE: 0})
    assert visitor.page.locator("#blend label").last.inner_text() == HOSTILE
    visitor.settles()
    visitor.changes(lambda: visitor.page.locator("#blend input").last.fill("1"))
    assert HOSTILE in visitor.caption and visitor.page.evaluate("window.hacked") is None
    visitor.settles()
    visitor.page.get_by_role("tab", name="Blend row").click()
    visitor.page.wait_for_selector("#row button:nth-of-type(5)")
    # the next who comes has the slider at once, and a link with it opens
    again = visit("?" + urllib.parse.urlencode({"style": f"{HOSTILE}:1"}), tab=False)
    again.page.wait_for_function("n => document.querySelectorAll('#blend input').length === n", arg=len(before) + 1)
    again.page.wait_for_function("document.querySelector('#comparison .blend').textContent.includes('100%')")
    assert again.weights()[HOSTILE] == 1
    # whoever leaves takes their slider along, and nothing else
    (rounds.folder.path / "signatures" / "77.safetensors").unlink()
    visitor.page.wait_for_function("n => document.querySelectorAll('#blend input').length === n", arg=len(before))
    visitor.weighs(before)
    visitor.page.wait_for_function("!document.querySelector('#comparison .blend').textContent.includes('onerror')")


def test_held_back_and_left_out_are_told_with_their_reasons(visit: Callable[..., Visit], rounds: Rounds) -> None:
    visitor = visit()
    before, number = visitor.source, rounds.next
    rounds.publish(number, held_back="boundary fell from 0.95 to 0.91 & <b>more</b>")
    row = visitor.page.locator(".checkpoints li", has_text=f"Round {number}")
    row.wait_for()
    assert "held back" in row.inner_text() and "boundary fell from 0.95 to 0.91 & <b>more</b>" in row.inner_text()
    assert "23 November 2025" in row.inner_text() and "1 of 2 designers" in row.inner_text()
    assert row.locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") == 90
    out = visitor.page.locator(".out").inner_text()
    assert HOSTILE in out and "has 3 <b>infinite</b> numbers" in out
    visitor.page.locator(".curves circle.ring").first.wait_for(state="attached")
    assert "not a number" not in visitor.page.locator("#news").inner_text()
    visitor.page.wait_for_timeout(2500)
    assert visitor.source == before and visitor.page.evaluate("window.hacked") is None


def test_a_list_that_changes_under_the_pointer_loses_no_click(visit: Callable[..., Visit], rounds: Rounds) -> None:
    page = visit().page
    button = page.locator('[data-round="0"]')
    button.scroll_into_view_if_needed()
    button.hover()
    page.mouse.down()
    rounds.publish(rounds.next)
    page.wait_for_function('round => studio.news.parts.rounds.includes(`data-round="${round}"`)', arg=rounds.folder.latest())
    page.mouse.up()
    page.wait_for_selector('[data-round="0"][aria-pressed=true]')
    page.wait_for_selector(f'[data-round="{rounds.folder.latest()}"]')  # and the new one is shown after that


def test_two_rounds_chosen_on_a_slow_line_both_count(visit: Callable[..., Visit], rounds: Rounds) -> None:
    page, latest = visit().page, rounds.folder.latest()
    page.wait_for_selector(f'[data-round="{latest}"]')
    slow_requests(page)
    for number in (0, latest):
        page.locator(f'[data-round="{number}"]').click()
        page.wait_for_timeout(200)
    page.wait_for_selector("#compared figure:nth-of-type(2) img")


def test_two_rounds_draw_the_same_garment(visit: Callable[..., Visit], rounds: Rounds) -> None:
    visitor, latest = visit(), rounds.folder.latest()
    page = visitor.page
    page.locator('[data-round="0"]').click()
    page.locator(f'[data-round="{latest}"]').click()
    page.wait_for_selector("#compared figure:nth-of-type(2) img")
    sources = "all => all.map(i => i.src)"
    first = page.eval_on_selector_all("#compared img", sources)
    assert page.locator("#compared figcaption").all_inner_texts() == ["Round 0", f"Round {latest}"]
    assert len(set(first)) == 2 and visitor.source == first[1]  # the later one is what is drawn with
    visitor.changes(lambda: page.locator("#examples button").nth(3).click())
    page.wait_for_function("old => document.querySelector('#compared img')?.src !== old", arg=first[0])
    page.wait_for_selector("#compared img")
    page.locator('[data-round="0"]').click()
    page.wait_for_selector("#compared figure", state="detached")


@pytest.mark.parametrize("wide", [390, 1280])
def test_nothing_is_wider_than_the_screen(visit: Callable[..., Visit], wide: int, tmp_path: Path) -> None:
    page = visit(width=wide, height=844).page
    page.wait_for_selector(".checkpoints")
    assert width(page) <= wide
    page.screenshot(path=tmp_path / f"{wide}.png", full_page=True)


def test_the_operator_in_a_browser(visit: Callable[..., Visit], server: StudioServer, rounds: Rounds, key: str) -> None:
    page, latest = visit().page.context.new_page(), rounds.folder.latest()
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(server.url + "federation/operator")
    page.get_by_label("password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_selector("text=This is not the password.")
    page.get_by_label("password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Name that others see").fill("<b>Ada</b>")
    page.get_by_label("Public key").fill(f"{key} ada@home")
    page.get_by_role("button", name="Approve").click()
    page.wait_for_selector("text=<b>Ada</b> is approved.")
    assert [m["name"] for m in members(rounds.folder) if m["state"] != "revoked"] == ["<b>Ada</b>"]
    page.get_by_role("button", name="Revoke").click()
    page.wait_for_selector("text=<b>Ada</b> is revoked.")
    assert members(rounds.folder)[0]["state"] == "revoked"
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").wait_for()
    assert rounds.folder.control()["paused"]
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Pause").wait_for()
    row = page.locator("tr", has=page.locator("th", has_text=re.compile("^0$")))
    row.get_by_role("button", name="Draw with it").click()
    page.wait_for_selector("text=The studio draws with round 0")
    assert rounds.folder.latest() == 0
    rounds.folder.set_latest(latest)
    [cookie] = [c for c in page.context.cookies() if c["name"] == "fedgai-operator"]
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and cookie["path"] == "/federation/operator"
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("button", name="Log in").wait_for()
    assert page.evaluate("document.cookie") == ""


# -- over HTTP -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def post(server: StudioServer, form: dict[str, str], cookie: str = "") -> tuple[int, str, str]:
    """To the panel: status, body, and the cookie that it set."""
    connection = http.client.HTTPConnection(server.url.split("/")[2], timeout=PATIENCE)
    headers = {"content-type": "application/x-www-form-urlencoded", "cookie": f"fedgai-operator={cookie}"}
    connection.request("POST", "/federation/operator", urllib.parse.urlencode(form), headers)
    answer = connection.getresponse()
    set_cookie = answer.getheader("set-cookie", "").partition(";")[0].partition("=")[2]
    return answer.status, answer.read().decode(), set_cookie


def test_the_panel_does_nothing_for_strangers_and_counts_their_tries(server: StudioServer, rounds: Rounds, key: str) -> None:
    before = rounds.folder.members(), rounds.folder.control()
    assert post(server, {"do": "approve", "name": "Eve", "key": key})[0] == 401
    assert post(server, {"do": "pause"}, "guessed")[0] == 401
    status, _, cookie = post(server, {"password": PASSWORD})
    assert status == 303 and len(cookie) > 30
    assert post(server, {"do": "pause"}, cookie)[0] == 403  # a form of somebody else's page
    assert post(server, {"do": "pause", "token": "0" * 64}, cookie)[0] == 403
    assert post(server, {"password": "x" * 20_000})[0] == 413
    request = urllib.request.Request(server.url + "federation/operator", headers={"cookie": f"fedgai-operator={cookie}"})
    token = re.search(r'name="token" value="(\w+)"', urllib.request.urlopen(request).read().decode())[1]
    for wrong in ({"do": "approve", "name": "Eve", "key": "/etc/passwd"}, {"do": "rollback", "round": "x"}, {"do": "fly"}):
        assert post(server, {**wrong, "token": token}, cookie)[0] == 303
        page = urllib.request.urlopen(request).read().decode()
        assert "root:" not in page and str(rounds.folder.path) not in page and 'class="message"' in page
    assert (rounds.folder.members(), rounds.folder.control()) == before
    answers = [post(server, {"password": f"guess {i}"})[0] for i in range(7)]
    assert answers[0] == 401 and answers[-1] == 429
    assert post(server, {"password": PASSWORD})[0] == 429  # not even the right one, for a while
    assert post(server, {"do": "logout", "token": token}, cookie)[0] == 303
    assert post(server, {"do": "pause", "token": token}, cookie)[0] == 401


def test_without_a_password_there_is_no_panel(rounds: Rounds) -> None:
    from fastapi import FastAPI

    from studio.application import federate

    os.environ.pop("FEDGAI_OPERATOR_PASSWORD", None)
    made = FastAPI()
    studio = SketchStudio(newest(rounds.folder))
    federate(made, rounds.folder, studio)
    paths = {getattr(route, "path", "") for route in made.routes}
    assert "/federation/operator" not in paths


@pytest.mark.parametrize(
    "path", ["studio/sheets/9999", "studio/sheets/-1", "studio/sheets/..%2f..%2fmembers.json", "studio/sheets/x"]
)
def test_only_sheets_are_given_out(server: StudioServer, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(server.url + path)
    assert refused.value.code in (404, 422)


# -- the follower alone ----------------------------------------------------------------------------------------------------


@pytest.fixture
def followed(tmp_path: Path, tiny_model_dir: Path) -> tuple[Rounds, SketchStudio, Federation]:
    rounds = Rounds(Folder(tmp_path / "home"), tiny_model_dir)
    studio = SketchStudio(newest(rounds.folder))
    federation = Federation(rounds.folder, studio)
    federation.look()
    return rounds, studio, federation


def test_prepared_photographs_outlive_a_checkpoint(followed: tuple[Rounds, SketchStudio, Federation]) -> None:
    rounds, studio, federation = followed
    look = replace(studio.first_look, size=256)
    content = studio.content(studio.first_garment, look)
    edition, sketch = studio.edition, studio.draw(content, look)
    begun = studio.pipeline  # a sketch in progress has this one
    rounds.publish(1)
    federation.look()
    assert studio.edition != edition and studio.pipeline.checkpoint.startswith("round-1-")
    assert studio.content(studio.first_garment, look) is content
    assert studio.draw(content, look).tobytes() != sketch.tobytes()
    assert begun.draw(content, look.weights).tobytes() == sketch.tobytes()
    with torch.no_grad():  # which never happens: the encoder is frozen
        next(rounds.model.encoder.parameters()).mul_(1.1)
    rounds.model.styles = {n: replace(s, encoder=rounds.model.encoder_sha256) for n, s in rounds.model.styles.items()}
    rounds.publish(2)
    federation.look()
    assert studio.pipeline.checkpoint.startswith("round-2-")
    assert studio.content(studio.first_garment, look) is not content


def test_a_damaged_checkpoint_is_passed_over(followed: tuple[Rounds, SketchStudio, Federation]) -> None:
    rounds, studio, federation = followed
    rounds.publish(1)
    federation.look()
    for number, name in ((2, "model.safetensors"), (3, "config.json"), (4, "styles.safetensors")):
        edition = studio.edition
        rounds.publish(number)
        file = rounds.folder.checkpoint(number) / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        federation.look()
        assert studio.edition == edition
        assert f"Round {number} is damaged" in federation.live()["parts"]["now"]
        assert newest(rounds.folder).checkpoint == studio.pipeline.checkpoint  # a start would find the same
        assert str(rounds.folder.path) not in str(federation.live())
    rounds.publish(5)
    federation.look()
    assert studio.pipeline.checkpoint.startswith("round-5-") and "damaged" not in federation.live()["parts"]["now"]


def test_signatures_that_arrive(followed: tuple[Rounds, SketchStudio, Federation], weights: str) -> None:
    rounds, studio, federation = followed
    folder = rounds.folder
    rounds.sign(1, "Zed")
    rounds.sign(2, "ADA LINE")  # would pass for Ada Line
    rounds.sign(3, " ")
    rounds.sign(4, "Gone")
    signatures = folder.path / "signatures"
    (signatures / "5.safetensors").write_bytes(b"no signature")
    FedGAI.load(weights).styles.popitem()[1].save(signatures / "6.safetensors")  # of another encoder
    folder.change_members(lambda _: [Member("Gone", "ecdsa-sha2-nistp384 AAAA", 4, "2025", "2025")])
    before = studio.names
    folder.set_status(phase="training")
    federation.look()
    assert studio.names == [*before, "Zed"]
    folder.set_status(phase="house")  # the answers are counted, their signatures come again with the checkpoint
    (signatures / "1.safetensors").unlink()
    federation.look()
    assert studio.names == [*before, "Zed"]
    folder.set_status(phase="waiting")  # none came
    federation.look()
    assert studio.names == before
    assert studio.look({before[0]: 1}, {}, 256, False) == Look({before[0]: 1.0}, size=256, cutout=False)


def test_who_leaves_takes_their_slider_along_when_nobody_else_is_there(
    followed: tuple[Rounds, SketchStudio, Federation], key: str
) -> None:
    """No round comes any more that would do it. The neutral hand is that of round 0, before and after."""
    rounds, studio, federation = followed
    folder, before, neutral = rounds.folder, studio.names, studio.pipeline.model.neutral
    approve(folder, key, "Zed")
    hand = next(iter(rounds.model.styles.values()))
    rounds.model.add_style(replace(hand, style=hand.style + 5, name="Zed", extra={"designer": 9}))
    rounds.publish(1)
    federation.look()
    assert studio.names == [*before, "Zed"]
    revoke(folder, "Zed")
    federation.look()
    assert studio.names == before and "Zed" not in studio.pipeline.styles
    assert "Zed" not in newest(folder).styles  # a start would find the same
    assert torch.equal(studio.pipeline.model.neutral, neutral) and torch.equal(newest(folder).model.neutral, neutral)


def test_only_what_changed_is_told(followed: tuple[Rounds, SketchStudio, Federation]) -> None:
    rounds, _, federation = followed
    all_of_it = federation.live(0)
    assert set(all_of_it["parts"]) == {"now", "people", "rounds", "curves"}
    federation.look()
    assert federation.live(all_of_it["version"])["parts"] == {}
    rounds.folder.set_status(phase="paused")
    federation.look()
    news = federation.live(all_of_it["version"])
    assert set(news["parts"]) == {"now"} and "paused" in news["parts"]["now"]
    assert federation.live(0, tab=False)["parts"] == {}
    (rounds.folder.path / "status.json").write_text("{")  # damaged: what was told stays
    federation.look()
    assert federation.live(news["version"])["parts"] == {}


def test_comparing_what_is_not_there(followed: tuple[Rounds, SketchStudio, Federation]) -> None:
    rounds, studio, federation = followed
    rounds.publish(1)
    look = replace(studio.first_look, size=256)
    assert [n for n, _ in federation.compare(studio.first_garment, look, [1, 0, "x"])] == [0, 1]
    with pytest.raises(ValueError, match="no checkpoint of round 7"):
        federation.compare(studio.first_garment, look, [7, 0])


def test_sentences(followed: tuple[Rounds, SketchStudio, Federation]) -> None:
    folder = followed[0].folder
    for phase in ("starting", "waiting", "training", "aggregating", "house", "resting", "paused", "stopped", "unheard of"):
        folder.set_status(phase=phase, round=15, rounds=11)
        assert sentence(folder.status()).endswith(".")
    folder.set_status(phase="aggregating")
    assert sentence(folder.status()) == "Season 2, round 4 of 11: the studio is averaging the answers."
    folder.set_status(phase="waiting", round=0, waiting_for=1)
    assert sentence(folder.status()) == "Round 1 of 11 begins when one more designer is here."


@pytest.mark.parametrize("wide", [390, 1440])
def test_no_serious_violation_on_the_tab(visit: Callable[..., Visit], rounds: Rounds, wide: int) -> None:
    for _ in range(2):
        rounds.publish(rounds.next)
    rounds.publish(rounds.next, held_back="worse than the one before")
    rounds.folder.set_status(
        phase="training",
        round=3,
        progress=0.5,
        asked=2,
        answered=1,
        waiting_for=0,
        deadline=time.time() + 600,
        online=["Ada"],
        note="A note.",
    )
    page = visit(width=wide, reduced_motion="reduce").page
    page.wait_for_selector("text=designers' machines are learning")
    for number in (1, 2):
        page.locator(f"[data-round='{number}']").click()
        page.wait_for_selector(f"[data-round='{number}'][aria-pressed=true]")
    page.wait_for_selector("#compared figure")
    for scheme in light_and_dark(page):
        assert violations(page) == [], scheme


def test_a_studio_without_federation_and_words_imports_neither(weights: str) -> None:
    program = "import sys, app; from studio.application import create_app; create_app(); print(*sys.modules)"
    environment = {**os.environ, "FEDGAI_WEIGHTS": weights}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    modules = done.stdout.split()
    of_federation = [m for m in modules if m.split(".")[0] in ("flwr", "federation") or m.startswith("studio.federation")]
    # the caller's address and the rest of a refused body, for the limits on visitors: these files need Python's library alone
    assert of_federation == ["federation", "federation.address", "federation.unread_body"], done.stderr
    assert {"diffusers", "transformers", "open_clip", "torchvision", "timm"}.isdisjoint(modules)


def test_newest_is_none_before_the_first(tmp_path: Path) -> None:
    assert newest(Folder(tmp_path)) is None


def test_members_are_approved_by_their_line_only(tmp_path: Path, key: str) -> None:
    from studio.federation.panel import Panel

    folder = Folder(tmp_path)
    panel = Panel(folder, PASSWORD)
    file = tmp_path / "key.pub"
    file.write_text(key)
    assert "Paste" in panel.act({"do": "approve", "key": str(file), "name": "Ada"}) and not folder.members()
    assert panel.act({"do": "approve", "key": key, "name": "Ada"}) == "Ada is approved."
    assert approve(folder, key, "Ada").name == "Ada"
    with pytest.raises(ValueError):
        Panel(folder, "")


def test_a_pipeline_that_is_served_twice_stays_itself(tiny_model_dir: Path) -> None:
    pipeline = SketchPipeline.from_pretrained(tiny_model_dir)
    studio = SketchStudio(pipeline)
    edition = studio.edition
    studio.serve(pipeline)
    assert studio.edition == edition
