"""Rounds to the Hub and back, with the real huggingface_hub client against a stand-in that breaks when it is told to."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.hub_server import HubServer
from helpers.studio_server import PATIENCE
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from federation.server import hub_client
from federation.server.folder import Folder
from federation.server.hub import HubQueue
from federation.server.hub_client import HubError
from federation.server.hub_content import read_members
from federation.server.members import Member, merge_members, revoke
from federation.server.metrics_table import metrics_table
from federation.server.report import RoundReport
from federation.server.restore import restore
from federation.server.style_bank import hand_names
from fedgai.model import CheckpointError, FedGAI
from fedgai.pipeline import SketchPipeline

REPO = "ada/coats"
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")  # of huggingface_hub's own upload


def key(seed: int) -> str:
    return "ecdsa-sha2-nistp384 " + base64.b64encode(bytes([seed]) * 136).decode()


ADA = Member("Ada Line", key(1), 11, "2026-01-01T00:00:00+00:00")
BRUNO = Member("Bruno Hatch", key(2), 2**63 + 5, "2026-01-02T00:00:00+00:00")


@pytest.fixture(autouse=True)
def plain_lfs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "home")
    folder.change_members(lambda _: [ADA, BRUNO])
    (folder.secrets / "ca.key").write_text("-----BEGIN PRIVATE KEY----- very secret")
    folder.set_status(phase="waiting", round=0)
    return folder


@pytest.fixture
def model(tiny_model_dir: Path) -> FedGAI:
    return FedGAI.load(tiny_model_dir)


def play(folder: Folder, model: FedGAI, number: int, *, held_back: str = "") -> None:
    """A round, as the server would leave it: a little different from the one before."""
    with torch.no_grad():
        next(model.generator.parameters()).add_(0.01)
    model.info = {"round": number}
    designers = [{"name": "Ada Line", "node_id": 11, "accepted": True, "asked": True, "pairs": 40, "reason": ""}]
    report = {
        "round": number,
        "season": 1,
        "finished": f"2026-01-0{number + 1}T00:00:00+00:00",
        "designers": designers,
        "accepted": 1,
        "metrics": {"loss-generator": 2.5 / (number + 1)},
        "probe": {"after": {"contour": 0.9}},
        "published": not held_back,
        "held_back": held_back,
    }
    card = f"---\nlicense: apache-2.0\n---\n# Round {number}\n"
    extras = {"README.md": card.encode(), "sheet.jpg": b"\xff\xd8\xff" + b"x" * 999}
    folder.publish(number, model, RoundReport.read(report), extras, latest=not held_back)


def queue_to(hub: HubServer, folder: Folder, token: str | None = "hf_write", **how: float) -> HubQueue:
    return HubQueue(folder, REPO, token, hub.endpoint, public=True, **{"first_wait": 0.02, "longest_wait": 0.05, **how})


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def rows(hub: HubServer, revision: str = "main") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(hub.repo(REPO, revision)["metrics.csv"].decode())))


def files_of(folder: Folder, number: int) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.checkpoint(number).iterdir()}


# -- to the Hub ----------------------------------------------------------------------------------------------------------------


def test_a_commit_and_a_tag_a_round(hub, folder, model):
    queue = queue_to(hub, folder)
    for number in (1, 2, 3):
        play(folder, model, number)
        queue.enqueue(number)
        assert queue.step()
        there = hub.repo(REPO, f"round-{number:04d}")
        for name, content in files_of(folder, number).items():
            assert there[name] == content
        assert [r["round"] for r in rows(hub)] == [str(n) for n in range(1, number + 1)]
    assert hub.commits(REPO) == ["initial commit", "Round 1", "Round 2", "Round 3"]
    assert not any(r.path.startswith("/lfs/") and "Authorization" in r.headers for r in hub.requests)  # another address
    assert sorted(hub.tags(REPO)) == ["round-0001", "round-0002", "round-0003"]
    last = hub.repo(REPO)
    assert json.loads(last["federation/members.json"])[1]["node_id"] == BRUNO.node_id
    assert {f"federation/reports/000{n}.json" for n in (1, 2, 3)} <= set(last)
    assert {"federation/control.json", "federation/status.json", "federation/latest.json"} <= set(last)
    assert rows(hub)[2]["loss-generator"] == "0.625" and rows(hub)[2]["probe-contour"] == "0.9"
    assert rows(hub)[2]["pairs"] == "40" and rows(hub)[2]["published"] == "yes"
    state = queue.state()
    assert state["last_pushed"] == 3 and state["waiting"] == [] and state["error"] == ""
    json.dumps(state)


def test_the_thread_pushes_new_rounds_by_itself_and_members_between_them(hub, folder, model):
    queue = queue_to(hub, folder)
    queue.start()
    try:
        until(lambda: REPO in hub.repos and hub.commits(REPO)[-1] == "Members")  # approvals before the first round last too
        play(folder, model, 0)
        until(lambda: queue.state()["last_pushed"] == 0)
        assert hub.commits(REPO) == ["initial commit", "Members", "Round 0"]
        folder.change_members(lambda m: [*m, Member("Coco", key(3), 0, "2026-01-03")])
        until(lambda: hub.commits(REPO)[-1] == "Members")
        assert [m.name for m in read_members(hub.repo(REPO)["federation/members.json"])] == ["Ada Line", "Bruno Hatch", "Coco"]
    finally:
        queue.stop()
    assert hub.commits(REPO) == ["initial commit", "Members", "Round 0", "Members"]


def test_no_secret_and_no_other_file_leaves(hub, folder, model):
    play(folder, model, 1)
    (folder.checkpoint(1) / "notes.txt").write_text("not on the list")
    (folder.checkpoint(1) / "sheet.jpg").unlink()
    (folder.checkpoint(1) / "sheet.jpg").symlink_to(folder.secrets / "ca.key")
    queue = queue_to(hub, folder)
    queue.enqueue(1)
    assert queue.step()
    assert not {"notes.txt", "sheet.jpg"} & set(hub.repo(REPO))
    assert not any(b"PRIVATE" in r.body or hub.token.encode() in r.body or "secrets" in r.path for r in hub.requests)
    play(folder, model, 2)
    folder.change_control(note=f"the token is {hub.token}")  # an operator's slip
    queue.enqueue(2)
    assert not queue.step()
    assert "federation/control.json was not pushed, because a secret is in it" in queue.state()["error"]
    assert not any(hub.token.encode() in r.body for r in hub.requests)


def test_a_round_pushed_twice_is_one_commit_and_one_row(hub, folder, model):
    play(folder, model, 1)
    for _ in range(2):
        queue = queue_to(hub, folder)
        queue.enqueue(1)
        assert queue.step()
        folder.write("push/state.json", {})  # not even if that is forgotten
    assert hub.commits(REPO) == ["initial commit", "Round 1"] and len(rows(hub)) == 1


@pytest.mark.parametrize("lost", ["POST .*/commit/main", "POST .*/tag/"])
def test_a_push_that_was_half_done_is_completed(hub, folder, model, lost):
    play(folder, model, 1)
    queue = queue_to(hub, folder)
    queue.enqueue(1)
    hub.fail(lost, lost=True)
    assert not queue.step()
    assert queue_to(hub, folder).step()  # another start
    assert hub.commits(REPO) == ["initial commit", "Round 1"]
    assert hub.tags(REPO) == {"round-0001": hub.repos[REPO].commits[-1].oid}


@pytest.mark.parametrize("disk", ["lasts", "is empty after the restart"])
def test_committed_but_not_tagged(hub, folder, model, tmp_path, disk):
    play(folder, model, 1)
    queue = queue_to(hub, folder)
    queue.enqueue(1)
    hub.fail("POST .*/tag/", 500)
    assert not queue.step() and hub.tags(REPO) == {}
    if disk != "lasts":
        folder = Folder(tmp_path / "new")
        assert restore(folder, REPO, endpoint=hub.endpoint) == 1
    queue = queue_to(hub, folder)
    queue.catch_up()
    assert queue.step()
    assert hub.commits(REPO) == ["initial commit", "Round 1"] and list(hub.tags(REPO)) == ["round-0001"]


FAULTS = {
    "401": ("GET .*/refs", {"status": 401}, "set HF_TOKEN to a valid one"),
    "403": ("POST .*/preupload", {"status": 403}, "may not write to ada/coats"),
    "404": ("GET .*/refs", {"status": 404, "times": 2, "headers": {"X-Error-Code": "RepoNotFound"}}, "check FEDGAI_HUB_REPO"),
    "429": ("POST .*/commit", {"status": 429}, "fewer requests (429)"),
    "500": ("POST .*/commit", {"status": 500}, "trouble of its own (500)"),
    "503 at the upload": ("PUT /lfs", {"status": 503}, "trouble of its own (503)"),
    "cut in the middle of an upload": ("PUT /lfs", {"cut": True}, "cannot be reached"),
    "cut in the middle of the commit": ("POST .*/commit", {"cut": True}, "cannot be reached"),
    "slow": ("POST .*/preupload", {"delay": 6}, "cannot be reached"),
    "validation": ("POST /api/validate-yaml", {"status": 502}, "trouble of its own (502)"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_costs_a_retry_and_nothing_else(hub, folder, model, monkeypatch, name):
    pattern, what, sentence = FAULTS[name]
    hub.create(REPO)
    play(folder, model, 1)
    queue = queue_to(hub, folder)
    queue.enqueue(1)
    hub.fail(pattern, **what)
    started = time.monotonic()
    with monkeypatch.context() as patch:
        if "delay" in what:
            patch.setattr(hub_client, "TIMEOUT", dict.fromkeys(hub_client.TIMEOUT, 3.0))
        assert not queue.step()
    asked = sum(bool(re.search(pattern, f"{request.method} {request.path}")) for request in hub.requests)
    assert asked <= 2 and time.monotonic() - started < 20  # it is this queue that waits, not the client, which would for 23 s
    assert sentence in queue.state()["error"] and "\n" not in queue.state()["error"]
    assert queue.state()["next_try"] > 0 and queue.state()["waiting"] == [1]
    assert queue.step(), queue.state()
    assert hub.commits(REPO) == ["initial commit", "Round 1"] and list(hub.tags(REPO)) == ["round-0001"]
    for file, content in files_of(folder, 1).items():
        assert hub.repo(REPO)[file] == content


def test_a_hub_that_is_away_comes_back(hub, folder, model):
    play(folder, model, 1)
    hub.__exit__()
    queue = queue_to(hub, folder)
    queue.start()
    try:
        until(lambda: "cannot be reached" in queue.state()["error"])
        play(folder, model, 2)  # the federation goes on
        until(lambda: queue.state()["waiting"] == [1, 2])
        with HubServer() as other:
            queue.repository.api.endpoint = other.endpoint  # the port of ``hub`` may be somebody else's by now
            until(lambda: queue.state()["last_pushed"] == 2)
            assert other.commits(REPO) == ["initial commit", "Round 1", "Round 2"]
            assert queue.state()["error"] == ""
    finally:
        queue.stop()


def test_the_token_is_refused(hub, folder, model):
    play(folder, model, 1)
    for token, sentence in (("hf_wrong", "does not accept the token"), (hub.reader, "may not write")):
        queue = queue_to(hub, folder, token)
        queue.enqueue(1)
        assert not queue.step()
        assert sentence in queue.state()["error"] and token not in queue.state()["error"]
    assert "no token was given" in queue_to(hub, folder, None).state()["error"]


def test_retry_after_is_honoured(hub, folder, model):
    hub.create(REPO)
    play(folder, model, 1)
    queue = queue_to(hub, folder)
    queue.enqueue(1)
    for headers, seconds in (({"Retry-After": "7"}, 7), ({"RateLimit": '"api";r=0;t=55'}, 55), ({"Retry-After": "99999"}, 3600)):
        hub.fail("POST .*/commit", 429, headers=headers)
        before = time.time()
        queue.step()
        assert before + seconds <= queue.state()["next_try"] <= time.time() + seconds
    asked = len(hub.requests)
    queue.start()
    time.sleep(0.3)
    assert len(hub.requests) == asked  # nobody asks before the time
    queue.retry()  # unless the operator does
    until(lambda: queue.state()["last_pushed"] == 1)
    queue.stop()


def test_back_off_grows_and_is_bounded(hub, folder, model):
    play(folder, model, 1)
    queue = queue_to(hub, folder, first_wait=1, longest_wait=4)
    queue.enqueue(1)
    hub.fail("refs", 500, times=5)
    waits = []
    for _ in range(5):
        before = time.time()
        queue.step()
        waits.append((queue.state()["next_try"] - time.time(), queue.state()["next_try"] - before))
    for (least, most), bound in zip(waits, (1, 2, 4, 4, 4), strict=True):
        assert least <= bound and bound / 2 <= most


def test_the_queue_survives_a_restart_and_pruning(hub, folder, model):
    for number in range(1, 5):
        play(folder, model, number)
        queue_to(hub, folder).enqueue(number)
    want = files_of(folder, 2)
    assert folder.prune(keep=1) == [1, 2, 3]
    queue = queue_to(hub, folder)
    assert queue.state()["waiting"] == [1, 2, 3, 4]
    assert queue.step()
    assert hub.commits(REPO)[1:] == ["Round 1", "Round 2", "Round 3", "Round 4"]
    assert want.items() <= hub.repo(REPO, "round-0002").items()
    assert len(rows(hub)) == 4 and len(rows(hub, "round-0002")) == 2


def test_another_federation_is_not_overwritten(hub, folder, model, tmp_path):
    for number in (1, 2):
        play(folder, model, number)
        queue_to(hub, folder).enqueue(number)
    assert queue_to(hub, folder).step()
    stranger = Folder(tmp_path / "stranger")
    stranger.change_members(lambda _: [Member("Dora", key(4), 3, "2026-01-04")])
    queue = queue_to(hub, stranger)
    play(stranger, model, 1)
    queue.enqueue(1)
    assert not queue.step()
    assert "has another round 1" in queue.state()["error"]
    shutil.rmtree(stranger.path / "push/0001")
    (stranger.path / "checkpoints/0001").rename(stranger.path / "checkpoints/0000")
    queue.enqueue(0)
    assert not queue.step()
    assert "is at round 2, this federation at round 0" in queue.state()["error"]
    assert list(hub.tags(REPO)) == ["round-0001", "round-0002"]
    members = read_members(hub.repo(REPO)["federation/members.json"])  # whoever was known there still is
    assert [m.name for m in members] == ["Dora", "Ada Line", "Bruno Hatch"]


def test_the_table_keeps_old_rows_and_grows_new_columns():
    old = b"round,season,loss-x\n1,1,0.5\n2,1,0.25\n"
    table = metrics_table(old, {3: RoundReport(season=2, metrics={"loss-y": 1 / 3, "=cmd()": 1.0, "nan": float("nan")})})
    read = list(csv.DictReader(io.StringIO(table.decode())))
    assert [r["round"] for r in read] == ["1", "2", "3"] and read[0]["loss-x"] == "0.5" and read[2]["loss-y"] == "0.333333"
    assert "=cmd()" not in read[0] and metrics_table(table, {}) == table
    for damaged in (b"\xff\xfe", b"no table", b"round\nx\n", None):
        assert [r["round"] for r in csv.DictReader(io.StringIO(metrics_table(damaged, {7: RoundReport()}).decode()))] == ["7"]


# -- and back ------------------------------------------------------------------------------------------------------------------


def test_an_empty_folder_is_restored(hub, folder, model, tmp_path):
    queue = queue_to(hub, folder)
    for number in range(4):
        play(folder, model, number)
        queue.enqueue(number)
    folder.change_control(paused=True)
    assert queue.step()
    hub.requests.clear()
    new = Folder(tmp_path / "new")
    assert restore(new, REPO, endpoint=hub.endpoint) == 3  # public: without a token
    assert not any("Authorization" in r.headers for r in hub.requests)
    assert new.rounds() == [3] and new.latest() == 3 and new.status().round == 3
    assert new.members() == folder.members() and new.control()["paused"]
    assert list(new.reports()) == [0, 1, 2, 3]
    assert new.reports()[1].metrics == folder.report(1).metrics
    for name in ("model.safetensors", "config.json", "README.md", "sheet.jpg"):
        assert files_of(new, 3)[name] == files_of(folder, 3)[name]
    old, back = (FedGAI.load(f.checkpoint(3)).styles for f in (folder, new))
    assert list(old) == list(back) and all(torch.equal(old[n].style, back[n].style) for n in old)
    SketchPipeline.from_pretrained(new.checkpoint(3))
    # and it goes on there: the next round is the next commit, and no other
    play(new, model, 4)
    queue = queue_to(hub, new)
    queue.catch_up()
    assert queue.state()["waiting"] == [4] and queue.step()
    assert hub.commits(REPO)[1:] == [f"Round {n}" for n in range(5)] and len(rows(hub)) == 5
    assert restore(new, REPO, endpoint=hub.endpoint) is None and new.rounds() == [3, 4]


def test_what_is_newer_here_stays(hub, folder, model, tmp_path):
    play(folder, model, 1)
    queue = queue_to(hub, folder)
    queue.enqueue(1)
    assert queue.step()
    play(folder, model, 2)
    folder.change_members(lambda m: [Member(ADA.name, ADA.key, 11, ADA.approved, "2026-02-01")])
    before = files_of(folder, 2)
    assert restore(folder, REPO, endpoint=hub.endpoint) is None
    assert folder.latest() == 2 and files_of(folder, 2) == before
    assert [(m.name, bool(m.revoked)) for m in folder.members()] == [("Ada Line", True), ("Bruno Hatch", False)]


def test_a_held_back_round_and_a_rollback_come_back_as_they_were(hub, folder, model, tmp_path):
    queue = queue_to(hub, folder)
    for number, reason in enumerate(["", "", "", "contours got worse"]):
        play(folder, model, number, held_back=reason)
        queue.enqueue(number)
    assert queue.step()
    assert hub.repo(REPO)["config.json"] == files_of(folder, 2)["config.json"]  # who loads the repo gets the one that is good
    assert hub.repo(REPO)["held-back/model.safetensors"] == files_of(folder, 3)["model.safetensors"]
    new = Folder(tmp_path / "new")
    assert restore(new, REPO, endpoint=hub.endpoint) == 3
    assert new.rounds() == [2, 3] and new.latest() == 2 and new.report(3).held_back == "contours got worse"
    folder.set_latest(1)
    folder.change_control(base=1)
    assert queue.step() and hub.commits(REPO)[-1] == "Members"
    new = Folder(tmp_path / "rolled back")
    assert restore(new, REPO, endpoint=hub.endpoint) == 3
    assert new.latest() == 1 and new.control()["base"] == 1 and new.rounds()[-1] == 3
    play(folder, model, 4)
    queue.enqueue(4)
    assert queue.step()
    assert not any(path.startswith("held-back/") for path in hub.repo(REPO))


def test_nothing_to_restore(hub, tmp_path):
    new = Folder(tmp_path / "new")
    assert restore(new, REPO, hub.token, hub.endpoint) is None
    with pytest.raises(HubError, match="no repo ada/coats that everybody may read"):
        restore(new, REPO, None, hub.endpoint)
    hub.create(REPO)
    assert restore(new, REPO, None, hub.endpoint) is None
    with pytest.raises(HubError, match="cannot be reached"):
        restore(new, REPO, None, "http://127.0.0.1:9", tries=1)
    hub.fail("refs", 503)
    assert restore(new, REPO, None, hub.endpoint) is None  # asked again
    assert new.rounds() == []


def test_a_plain_model_repo_is_a_start_too(hub, tiny_model_dir, tmp_path):
    hub.create(REPO, {p.name: p.read_bytes() for p in tiny_model_dir.iterdir()})
    new = Folder(tmp_path / "new")
    assert restore(new, REPO, endpoint=hub.endpoint) == 3 and new.latest() == 3 and new.members() == []


def nan_weights(path: Path) -> bytes:
    tensors = load_file(path / "model.safetensors")
    next(t for t in tensors.values() if t.is_floating_point())[0] = float("nan")
    save_file(tensors, path / "nan")
    return (path / "nan").read_bytes()


MEMBER = {"name": "Eve", "key": key(9), "node_id": 7, "approved": "", "revoked": ""}
HOSTILE = {
    "cut short": ({"model.safetensors": lambda p: (p / "model.safetensors").read_bytes()[:1000]}, "not a FedGAI checkpoint"),
    "a pickle": ({"model.safetensors": b"\x80\x04cos\nsystem\n"}, "not a FedGAI checkpoint"),
    "not finite": ({"model.safetensors": nan_weights}, "not finite"),
    "no bank": ({"styles.safetensors": None}, "styles.safetensors is not there"),
    "no model": ({"model.safetensors": None}, "model.safetensors is not there"),
    "config": ({"config.json": b"[]"}, "config.json is not what belongs there"),
    "preset": ({"config.json": b'{"preset": "../../x", "encoder_sha256": ""}'}, "no preset"),
    "too large": ({"federation/members.json": b" " * 2**22}, "more than 2,097,152: it was refused"),
    "members": ({"federation/members.json": b"{}"}, "members.json is not what belongs there"),
    "no member": ({"federation/members.json": json.dumps([{**MEMBER, "admin": True}])}, "entry 1: not a member"),
    "name": ({"federation/members.json": json.dumps([{**MEMBER, "name": "Eve\n\x1b[2J"}])}, "printable"),
    "key": ({"federation/members.json": json.dumps([{**MEMBER, "key": "ssh-rsa AAAA"}])}, "nistp384"),
    "twice": ({"federation/members.json": json.dumps([MEMBER, MEMBER])}, "entry 2: a key"),
    "node": ({"federation/members.json": json.dumps([{**MEMBER, "node_id": -1}])}, "64 bits"),
    "control": ({"federation/control.json": b'{"paused": "no"}'}, "control.json"),
    "report": ({"federation/reports/0001.json": b"{"}, "reports/0001.json is damaged"),
    "shape": ({"federation/reports/0001.json": b'{"designers": "x"}'}, "'designers' is not a list"),
    "designer": ({"federation/reports/0001.json": b'{"designers": [{"name": 1}]}'}, "without name"),
    "nested": ({"federation/reports/0001.json": b"[" * 30000}, "reports/0001.json is damaged"),
    "deep": ({"federation/reports/0001.json": b'{"a":' * 20 + b"1" + b"}" * 20}, "nested deeper"),
}


@pytest.fixture(scope="module")
def pushed(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a repo holds after a round."""
    home = Folder(tmp_path_factory.mktemp("pushed"))
    home.change_members(lambda _: [ADA])
    play(home, FedGAI.load(tiny_model_dir), 1)
    with pytest.MonkeyPatch.context() as patch, HubServer() as server:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        queue = queue_to(server, home)
        queue.enqueue(1)
        assert queue.step()
        return server.repo(REPO)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_damaged_or_hostile_is_refused_in_one_sentence(hub, pushed, tiny_model_dir, tmp_path, name):
    changes, sentence = HOSTILE[name]
    for file in tiny_model_dir.iterdir():
        shutil.copy(file, tmp_path)
    given = {k: v(tmp_path) if callable(v) else v.encode() if isinstance(v, str) else v for k, v in changes.items()}
    hub.create(REPO, pushed)
    hub.commit(REPO, given)
    new = Folder(tmp_path / "new")
    with pytest.raises(CheckpointError) as refused:
        restore(new, REPO, endpoint=hub.endpoint)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)
    assert new.rounds() == [] and new.members() == [] and list(new.reports()) == []  # all or nothing
    assert not list(new.path.glob(".restore-*"))


def test_strange_files_are_not_fetched_and_texts_are_made_fit_to_show(hub, pushed, tmp_path):
    report = {**json.loads(pushed["federation/reports/0001.json"]), "held_back": "a\nb\x1b" + "c" * 999, "x": float("nan")}
    hub.create(
        REPO,
        {
            **pushed,
            "pytorch_model.bin": b"\x80\x04",
            "federation/reports/../../x.json": b"{}",
            "federation/reports/0001.json": json.dumps(report).encode(),
            "sheet.jpg": b"<script>",
        },
    )
    new = Folder(tmp_path / "new")
    assert restore(new, REPO, endpoint=hub.endpoint) == 1
    assert not any("pytorch_model" in r.path or "x.json" in r.path for r in hub.requests)
    assert new.report(1).held_back.startswith("a b c") and len(new.report(1).held_back) == 500
    assert new.report(1).as_json()["x"] is None and not (new.checkpoint(1) / "sheet.jpg").exists()


def test_of_two_accounts_of_a_member_the_later_counts():
    revoked = Member(ADA.name, ADA.key, 0, ADA.approved, "2026-03-01")
    again = Member(ADA.name, ADA.key, 12, "2026-04-01")
    assert merge_members([ADA], [revoked]) == [Member(ADA.name, ADA.key, 0, ADA.approved, "2026-03-01")]
    assert merge_members([again], [revoked]) == [again]
    assert merge_members([Member(ADA.name, ADA.key, 0, ADA.approved)], [ADA, BRUNO]) == [ADA, BRUNO]


# -- who may read it, and who left -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("public", [False, True])
def test_a_repository_is_made_private_unless_asked_for_and_that_is_said(hub, folder, model, public, caplog):
    """Members' names, keys and numbers are in it."""
    play(folder, model, 1)
    queue = HubQueue(folder, REPO, hub.token, hub.endpoint, public=public)
    assert queue.state()["private"] is None
    queue.enqueue(1)
    assert queue.step()
    assert hub.repos[REPO].private is not public
    assert queue.state()["private"] is not public
    assert ("everybody can read ada/coats" in caplog.text) is public


def test_a_public_repository_that_is_there_stays_and_is_said(hub, folder, model, caplog):
    hub.create(REPO)
    play(folder, model, 1)
    queue = queue_to(hub, folder)
    queue.enqueue(1)
    assert queue.step() and queue.state()["private"] is False
    assert "everybody can read ada/coats" in caplog.text


def bank(hub: HubServer, tmp_path: Path, path: str = "styles.safetensors") -> list[str]:
    (tmp_path / "bank").write_bytes(hub.repo(REPO)[path])
    return hand_names(tmp_path / "bank")


def designed(model: FedGAI, name: str, node_id: int) -> None:
    hand = model.styles["Coco Blot"]
    model.add_style(replace(hand, style=hand.style.clone(), name=name, extra={"designer": node_id}))


def test_who_leaves_is_taken_out_of_the_hubs_latest_at_once(hub, folder, model, tmp_path):
    """Nobody else is there, so that no round comes that would do it."""
    folder.change_members(lambda _: [replace(ADA, name="Ada"), BRUNO])
    designed(model, "Ada", ADA.node_id)
    play(folder, model, 1)
    play(folder, model, 2, held_back="contours got worse")
    queue = queue_to(hub, folder)
    for number in (1, 2):
        queue.enqueue(number)
    assert queue.step()
    assert "Ada" in bank(hub, tmp_path) and "Ada" in bank(hub, tmp_path, "held-back/styles.safetensors")
    revoke(folder, "Ada")
    assert queue.step() and hub.commits(REPO)[-1] == "Members"
    for path in ("styles.safetensors", "held-back/styles.safetensors"):
        assert bank(hub, tmp_path, path) == ["Ada Line", "Bruno Hatch", "Coco Blot"]
    new = Folder(tmp_path / "new")
    assert restore(new, REPO, hub.token, hub.endpoint) == 2
    assert all("Ada" not in FedGAI.load(new.checkpoint(n)).styles for n in new.rounds())


def test_who_leaves_while_a_round_waits_does_not_go_to_the_hub_with_it(hub, folder, model, tmp_path):
    folder.change_members(lambda _: [replace(ADA, name="Ada"), BRUNO])
    designed(model, "Ada", ADA.node_id)
    play(folder, model, 1)
    queue = queue_to(hub, folder)
    queue.enqueue(1)  # its files are linked into the queue
    revoke(folder, "Ada")
    assert queue.step()
    assert "Ada" not in bank(hub, tmp_path)


def test_numbers_with_four_hundred_digits_on_the_hub(hub, pushed, tmp_path):
    digits = "1" + "0" * 400
    report = json.loads(pushed["federation/reports/0001.json"])
    text = json.dumps({**report, "metrics": {"loss": 0}, "house": {"seconds": 0}}).replace('"loss": 0', f'"loss": {digits}')
    hub.create(REPO, {**pushed, "federation/reports/0001.json": text.replace('"seconds": 0', '"seconds": 1e999').encode()})
    new = Folder(tmp_path / "new")
    assert restore(new, REPO, endpoint=hub.endpoint) == 1
    kept = new.reports()[1]
    assert kept.as_json()["metrics"] == {"loss": None} and kept.as_json()["house"] == {"seconds": None}
    assert kept.metrics == {} and kept.house is not None and math.isnan(kept.house.seconds)
    assert b"loss" not in metrics_table(
        None, {1: RoundReport(metrics={"loss": 10**400})}
    )  # nor where a report has one all the same
    table = metrics_table(f"round\n{digits}\n".encode(), {})
    assert table.count(b"\n") == 1
