"""The operator's panel over HTTP, without a browser: who gets in however much others guess, and what it can do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("studio.without_stubs")
pytest.importorskip("flwr")

from fastapi import FastAPI
from helpers.gateway import Designer, Server

from federation import operator
from federation.identity import fingerprint
from federation.server import rates
from federation.server.folder import Folder
from federation.server.knocks import Knocks
from federation.server.members import Member
from federation.server.report import RoundReport
from fedgai.model import FedGAI
from studio.federation.logins import BY_EVERYBODY
from studio.federation.panel import DEVICE_COOKIE, PATH, Panel

PASSWORD = "a word for the operator"
HOSTILE = "<img src=x onerror=alert(1)>{{ 7 * 7 }}"


class Browser:
    """One browser: its cookies, and where its requests say that they come from."""

    def __init__(self, url: str, address: str = "") -> None:
        headers = {"x-forwarded-for": address} if address else {}
        self.http = httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30)

    def login(self, password: str) -> int:
        return self.http.post(PATH, data={"password": password}).status_code

    def page(self) -> str:
        return self.http.get(PATH).text

    def do(self, **form: str) -> str:
        """The message that the panel shows afterwards."""
        token = re.search(r'name="token" value="(\w+)"', self.page())
        assert token is not None
        assert self.http.post(PATH, data={**form, "token": token[1]}).status_code == 303
        message = re.search(r'<p class="message" role="status">(.*?)</p>', self.page())
        return message[1] if message else ""

    def leave(self) -> None:
        """The login ends; what the browser keeps for longer stays."""
        self.do(do="logout")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "federation")


@pytest.fixture
def url(folder: Folder) -> Iterator[str]:
    app = FastAPI()
    app.include_router(Panel(folder, PASSWORD).routes())
    server = Server(app, proxy_headers=False)
    yield f"http://{server.address}"
    server.stop()


# -- logging in ----------------------------------------------------------------------------------------------------------


def test_five_wrong_passwords_of_others_behind_the_same_proxy(url: str) -> None:
    """All callers have the proxy's address; the proxy says for whom it calls, as nginx and Caddy do unasked."""
    stranger, operators = Browser(url, "6.6.6.6"), Browser(url, "9.9.9.9")
    assert [stranger.login(f"guess {i}") for i in range(7)] == [401] * 4 + [429] * 3
    assert stranger.login(PASSWORD) == 429  # not even the right one, for a while
    assert operators.login(PASSWORD) == 303


def test_a_browser_that_was_in_before_gets_in_whoever_guesses(url: str) -> None:
    """Behind a proxy that says nothing, too."""
    known, stranger = Browser(url), Browser(url)
    assert known.login(PASSWORD) == 303
    known.leave()
    assert [stranger.login(f"guess {i}") for i in range(6)][-1] == 429
    assert known.login(PASSWORD) == 303
    known.leave()
    forged = Browser(url)
    forged.http.cookies.set(DEVICE_COOKIE, "A" * 22 + "." + "0" * 64)
    assert forged.login(PASSWORD) == 429


def test_many_addresses_do_not_keep_a_known_browser_out(url: str) -> None:
    known = Browser(url)
    assert known.login(PASSWORD) == 303
    known.leave()
    codes = [Browser(url, f"10.0.{i}.1").login("guess") for i in range(int(BY_EVERYBODY.burst) + 3)]
    assert codes[-1] == 429
    assert Browser(url, "9.9.9.9").login(PASSWORD) == 429
    assert known.login(PASSWORD) == 303


def test_a_known_browser_cannot_guess_for_ever(url: str) -> None:
    known = Browser(url)
    assert known.login(PASSWORD) == 303
    known.leave()
    codes = [known.login(f"guess {i}") for i in range(20)]
    assert codes.count(401) <= 10 and codes[-1] == 429


def test_the_wait_is_a_minute_and_not_five(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Browser(url)
    for i in range(6):
        stranger.login(f"guess {i}")
    answer = stranger.http.post(PATH, data={"password": PASSWORD})
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) <= 61 and "a minute" in answer.text
    now = rates.time.monotonic()
    monkeypatch.setattr(rates.time, "monotonic", lambda: now + 61)
    assert stranger.login(PASSWORD) == 303


def test_devices_are_known_after_a_restart(folder: Folder) -> None:
    first = Panel(folder, PASSWORD).logins
    device = first.new_device()
    again = Panel(folder, PASSWORD).logins
    for i in range(6):
        again.login(f"guess {i}", "1.1.1.1")
    assert again.login(PASSWORD, "1.1.1.1")[0] == ""
    assert again.login(PASSWORD, "1.1.1.1", device)[0]


def test_the_declared_proxy_is_believed_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.federation.logins import caller

    def from_(client: str, *forwarded: str) -> str:
        return caller({"client": (client, 1), "headers": [(b"x-forwarded-for", f.encode()) for f in forwarded]})

    assert from_("8.8.8.8", "6.6.6.6") == "8.8.8.8"  # a caller of the open internet may write what it likes
    assert from_("127.0.0.1", "6.6.6.6") != from_("127.0.0.1", "7.7.7.7") != from_("127.0.0.1")
    assert from_("127.0.0.1", "1.1.1.1, 6.6.6.6") == from_("127.0.0.1", "6.6.6.6")  # what stands before may be a lie
    monkeypatch.setenv("FEDGAI_PROXIES", "1")
    assert from_("127.0.0.1", "1.1.1.1, 6.6.6.6") == "6.6.6.6"


# -- what it does --------------------------------------------------------------------------------------------------------


@pytest.fixture
def inside(url: str) -> Browser:
    browser = Browser(url)
    assert browser.login(PASSWORD) == 303
    return browser


def test_who_asks_is_approved_with_one_click(folder: Folder, inside: Browser) -> None:
    eve, mallory = Designer("Eve"), Designer("Mallory")
    noted = Knocks(folder)
    for designer in (eve, mallory):
        noted.note(designer.line, "10.0.0.1")
    page = inside.page()
    assert "Asking to be let in" in page and fingerprint(eve.line) in page and fingerprint(mallory.line) in page
    # one click: the form is filled in as it stands
    form = next(part for part in page.split("<form")[1:] if f'value="{fingerprint(eve.line)}"' in part)
    values = dict(re.findall(r'name="(\w+)"[^>]*? value="([^"]*)"', form))
    assert values["do"] == "admit" and values["name"]
    assert inside.do(**values) == f"{values['name']} is approved."
    assert [m.key for m in folder.members()] == [eve.line]
    assert [knock["fingerprint"] for knock in operator.asking(folder)] == [fingerprint(mallory.line)]
    assert "nobody asks" in inside.do(do="admit", who="SHA256:x", name="Nobody").lower()


def test_a_key_that_is_broken_over_lines_is_approved(folder: Folder, inside: Browser) -> None:
    ada = Designer("Ada")
    kind, body = ada.line.split()
    broken = f"{kind}\r\n{body[:70]}\r\n{body[70:140]}\r\n{body[140:]}\r\n"
    assert inside.do(do="approve", name="Ada", key=broken) == "Ada is approved."
    assert folder.members()[0].key == ada.line
    assert "looks like" in inside.do(do="approve", name="\u0410da", key=Designer("x").line)


@pytest.mark.parametrize("number", ["1" * 400, "1" + "0" * 4400, "-1", "x", "1.5", "\u0662", ""])
def test_a_round_that_cannot_be(folder: Folder, inside: Browser, number: str) -> None:
    message = inside.do(do="rollback", round=number)
    assert message.endswith(".") and len(message) < 200 and str(folder.path) not in message
    assert folder.control().get("base") is None


def test_everything_from_elsewhere_is_escaped(folder: Folder, inside: Browser, tiny_model_dir: Path) -> None:
    report = RoundReport(round=1, published=False, held_back=HOSTILE, finished=HOSTILE)
    folder.publish(1, FedGAI.load(tiny_model_dir), report)
    folder.change_members(lambda _: [Member(HOSTILE[:40], Designer("x").line, 5, "2026")])
    folder.set_status(phase=HOSTILE, note=HOSTILE)
    folder.write("knocks.json", [{"key": Designer("y").line, "address": HOSTILE, "first": "", "last": HOSTILE}])
    page = inside.page()
    assert "<img" not in page and page.count("&lt;img") >= 4 and page.count("{{ 7 * 7 }}") >= 3


def test_the_house_is_shown(folder: Folder, inside: Browser, tiny_model_dir: Path) -> None:
    model = FedGAI.load(tiny_model_dir)
    report: dict[str, Any] = {
        "round": 1,
        "house_steps_done": 12,
        "house_steps_wanted": 30,
        "house": {"steps": 12},
        "designers": [{"accepted": True, "name": "Ada"}, {"accepted": False, "name": "Bo"}],
    }
    folder.publish(1, model, RoundReport.read(report))
    page = inside.page()
    assert "<td>12 of 30 steps</td>" in page and "<td>1 of 2</td>" in page
