"""The companion from end to end: asked, approved, trained, sent, with a receipt; and what it says when something is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.client_app import pack
from federation.companion import CompanionError, Settings, Studio, home, release_hash
from federation.demo import Demo, make_pairs
from federation.operator import approve
from federation.receipt import read_all
from federation.supernode import free_port
from fedgai.model import FedGAI

ROOT = Path(__file__).resolve().parent.parent
JOIN = [sys.executable, "-m", "federation.join"]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*JOIN, "--home", str(folder), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=240,
                          stdin=subprocess.DEVNULL, check=False)  # fmt: skip


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A studio with its federation, which waits for one designer."""
    folder = tmp_path_factory.mktemp("studio")
    make_pairs(folder / "pairs", ["Aiko"], 128)
    demo = Demo(folder, free_port(), rounds=1, names=["Aiko"], house_steps=2)
    try:
        demo.start_studio()
        yield demo
    finally:
        demo.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("companion")


def test_a_designer_joins_is_approved_sends_a_round_and_leaves(studio: Demo, folder: Path) -> None:
    drawings = studio.home / "pairs" / "Aiko"
    told = ["--server", studio.url, "--certificate", str(studio.tls / "ca.pem"), "--data", str(drawings), "--name", "Chloé",
            "--share-style", "--rounds", "1"]  # fmt: skip
    dry = run("--dry-run", *told, folder=folder)
    assert dry.returncode == 0 and "Nothing is sent" in dry.stdout and "style signature" in dry.stdout, dry.stdout + dry.stderr
    assert not (folder / "receipts").exists() and not (folder / "model").exists()

    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen([*JOIN, "--home", str(folder)], cwd=ROOT, stdout=said, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, env=os.environ | {"COLUMNS": "300"})  # fmt: skip
        try:
            until = time.monotonic() + 120
            while "the operator" not in (words := (folder / "said.txt").read_text()):
                assert process.poll() is None and time.monotonic() < until, words
                time.sleep(0.3)
            assert (folder / "key.pub").read_text().strip() in words
            second = run(folder=folder)
            assert second.returncode == 1 and "already running" in second.stdout
            approve(studio.folder, str(folder / "key.pub"), "Chloé")
            assert process.wait(300) == 0, (folder / "said.txt").read_text()
        finally:
            process.kill()
            process.wait()

    [receipt] = read_all(folder / "receipts")
    arrays = pack(FedGAI.load(folder / "model").discriminator.shared())
    assert {t.name: t.sha256 for t in receipt.tensors} == {
        name: hashlib.sha256(array.numpy().tobytes()).hexdigest() for name, array in arrays.items()}
    assert receipt.signature and receipt.round == 1 and receipt.wire_bytes > receipt.bytes - 1000
    shown = run("--receipt", folder=folder)
    assert shown.returncode == 0 and receipt.tensors[0].name in shown.stdout
    assert all(t.sha256 in (folder / "receipts" / "receipt.html").read_text(encoding="utf-8") for t in receipt.tensors)

    until = time.monotonic() + 120
    while 1 not in studio.folder.rounds():
        assert time.monotonic() < until
        time.sleep(0.3)
    assert "Chloé" in FedGAI.load(studio.folder.checkpoint(1)).styles

    left = run("--leave", folder=folder)
    assert left.returncode == 0 and "Chloé has left" in left.stdout and "checkpoints of earlier rounds" in left.stdout
    assert all(m.revoked for m in studio.folder.members())
    assert "no member" in run("--leave", folder=folder).stdout


def test_another_release_is_refused_before_anything_is_sent(studio: Demo, tmp_path: Path) -> None:
    settings = Settings(studio.url, str(tmp_path), "Zoë", certificate=str(studio.tls / "ca.pem")).checked()
    assert Studio(settings).check()["app_hash"] == release_hash()
    file = studio.folder.path / "app.json"
    was = file.read_text()
    file.write_text(json.dumps(json.loads(was) | {"fab_hash": "0" * 64}))
    try:
        time.sleep(1.1)  # the status may be a second old
        with pytest.raises(CompanionError, match="Only the same program runs here"):
            Studio(settings).check()
    finally:
        file.write_text(was)


@pytest.mark.parametrize(("change", "word"), [
    ({"server": "ftp://x"}, "address"), ({"server": "https://x/y"}, "address"), ({"name": " "}, "printable"),
    ({"data": "/no/such/folder"}, "no folder"), ({"certificate": "/no/such"}, "no certificate"), ({"budget": 0}, "budget"),
    ({"rounds": -1}, "negative")])  # fmt: skip
def test_an_answer_that_cannot_be_is_named(change: dict, word: str, tmp_path: Path) -> None:
    with pytest.raises(CompanionError, match=word):
        Settings(**{"server": "studio.example", "data": str(tmp_path), "name": "Zoë"} | change).checked()


def test_answers_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings("studio.example", str(tmp_path), " Zoë ", share_style=False).checked()
    assert (settings.server, settings.name) == ("https://studio.example", "Zoë")
    settings.save(tmp_path / "home")
    assert Settings.load(tmp_path / "home") == settings and Settings.load(tmp_path / "elsewhere") is None
    (tmp_path / "home" / "settings.json").write_text("{")
    with pytest.raises(CompanionError, match="damaged"):
        Settings.load(tmp_path / "home")
    monkeypatch.setenv("FEDGAI_COMPANION", str(tmp_path / "mine"))
    assert home() == tmp_path / "mine"


def test_without_a_terminal_and_without_answers_it_says_which_are_missing(tmp_path: Path) -> None:
    said = run(folder=tmp_path)
    assert said.returncode == 1 and "--server, --data and --name" in said.stdout and not said.stderr


@pytest.mark.parametrize("what", ["--check", "--dry-run"])
def test_a_folder_without_drawings_is_one_line(what: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    said = run(what, "--data", str(tmp_path / "data"), folder=tmp_path / "home")
    assert said.returncode == 1 and "photos" in said.stdout and "Traceback" not in said.stdout + said.stderr


def test_nothing_was_sent_yet(tmp_path: Path) -> None:
    assert "Nothing was sent yet" in run("--receipt", folder=tmp_path).stdout
    assert "no Generator of your own yet" in run("--studio", folder=tmp_path).stdout
