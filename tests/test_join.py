"""What the companion asks, keeps and says, and what it says when something is wrong. From end to end: test_wire.py."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.drawn_sheets import fill, sketch
from helpers.join_command import run
from PIL import Image

from federation.designer.settings import CompanionError, Settings, home
from federation.join import main
from fedgai.errors import FedGAIError


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"server": "ftp://x"}, "address"),
        ({"server": "https://x/y"}, "address"),
        ({"name": " "}, "printable"),
        ({"data": "/no/such/folder"}, "no folder"),
        ({"certificate": "/no/such"}, "no certificate"),
        ({"budget": 0}, "budget"),
        ({"rounds": -1}, "below 0"),
        ({"device": "abacus"}, "no device"),
    ],
)
def test_an_answer_that_cannot_be_is_named(change: dict, word: str, tmp_path: Path) -> None:
    with pytest.raises(FedGAIError, match=word):
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
    output = run(folder=tmp_path)
    assert output.returncode == 1 and "--server, --data and --name" in output.stdout and not output.stderr


# -- folders, whatever is in them --------------------------------------------------------------------------------------


@pytest.fixture
def join(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """The command, in this process: (exit status, what it said), whole lines."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def ask(*arguments: str, folder: Path = tmp_path / "home") -> tuple[int, str]:
        status = main(["--home", str(folder), *arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return status, captured.out

    return ask


Join = Callable[..., tuple[int, str]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_conversation_asks_again_and_shows_the_sheets_before_they_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    scans = tmp_path / "my sheets" / "scans"
    scans.mkdir(parents=True)
    sheet = Image.new("RGB", (900, 500), "white")
    for x in (60, 520):
        sheet.paste(sketch(x, 300), (x, 90))
    sheet.save(scans / "one.png")
    layout = scans / "one.json"

    def correct(_: str) -> str:
        frames = json.loads(layout.read_text())
        frames["boxes"][1]["keep"] = False
        layout.write_text(json.dumps(frames))
        return "n"

    answers = [
        ("Which folder", "/no/such"),
        ("Which folder", f"'{tmp_path / 'my sheets'}' "),
        ("What name", "  "),
        ("What name", "Zoë"),
        ("Share your style", "y"),
        ("the studio's address", "ftp://x"),
        ("the studio's address", "studio.example"),
        ("Are the frames right", correct),
        ("Cut them again", "y"),
        ("Are the frames right", "y"),
    ]
    heard = []

    def answer(*_: object) -> str:
        heard.append(capsys.readouterr().out)
        question, reply = answers[len(heard) - 1]
        assert question in heard[-1]
        return reply(question) if callable(reply) else reply

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("COLUMNS", "400")
    assert main(["--home", str(tmp_path / "home"), "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert len(heard) == len(answers) and "Nothing is sent" in output and "style signature" in output
    assert "There is no folder /no/such" in heard[1] and "printable" in heard[3] and "'ftp://x'" in heard[6]
    assert "2 drawings on 1 sheet" in heard[7] and str(tmp_path / "home" / "scans" / "previews") in heard[7]
    assert "1 drawing on 1 sheet" in heard[9]
    chosen = Settings.load(tmp_path / "home")
    assert (chosen.data, chosen.name, chosen.server) == (str(tmp_path / "my sheets"), "Zoë", "https://studio.example")


def test_without_a_terminal_sheets_are_accepted_in_a_second_run(tmp_path: Path, join: Join) -> None:
    scans = tmp_path / "own" / "scans"
    scans.mkdir(parents=True)
    sheet = Image.new("RGB", (900, 500), "white")
    sheet.paste(sketch(1, 300), (60, 90))
    sheet.save(scans / "one.png")
    arguments = ["--dry-run", "--data", str(tmp_path / "own")]
    for _ in range(2):
        status, output = join(*arguments)
        assert status == 1 and "--accept-scans" in output and str(tmp_path / "home" / "scans" / "previews") in output
    assert list((tmp_path / "home" / "scans" / "previews").iterdir())
    status, output = join(*arguments, "--accept-scans")
    assert status == 0 and "Nothing is sent" in output


@pytest.mark.parametrize("what", ["--check", "--dry-run"])
def test_a_folder_without_drawings_is_one_line(what: str, tmp_path: Path, join: Join) -> None:
    (tmp_path / "data").mkdir()
    status, output = join(what, "--data", str(tmp_path / "data"))
    assert status == 1 and "no drawing here" in output and output.count("\n") == 1


def test_one_drawing_is_enough_to_go_on_with_and_the_warning_names_the_effect(tmp_path: Path, join: Join) -> None:
    own = fill(tmp_path / "Zoë's été – 2024", 1)
    status, output = join("--check", "--data", str(own))
    assert status == 0 and "1 drawing: please bring at least 24" in output and "look less like yours" in output
    assert "picture of grey cloth" in " ".join(output.split()) and "From your drawings alone" in " ".join(output.split())
    sheet = tmp_path / "home" / "contact-sheet.jpg"
    assert str(sheet) in output and Image.open(sheet).width > 100
    status, output = join("--dry-run", "--data", str(own))
    assert status == 0 and "style signature" in output and "Nothing is sent" in output
    assert (tmp_path / "home" / "pairs" / "photos" / "0000.png").exists() and not (tmp_path / "home" / "model").exists()


def test_bad_files_are_named_with_their_reason(tmp_path: Path, join: Join) -> None:
    own = tmp_path / "mein Ordner"
    fill(own / "photos", 4)
    fill(own / "sketches", 4, first=1)
    (own / "sketches" / "no. 001.png").unlink()
    (own / "sketches" / "no. 001.png").symlink_to(own / "sketches" / "no. 001.png")
    Image.new("1", (30_000, 30_000)).save(own / "sketches" / "no. 000.tiff", compression="group4")
    (own / "photos" / "loop").symlink_to(own)
    status, output = join("--check", "--data", str(own))
    assert status == 0 and "2 good pairs, 4 bad files" in output
    for name, reason in (
        ("no. 000.tiff", "scale it down"),
        ("no. 001.png", "in a circle"),
        ("no. 004.png", "no partner"),
        ("loop", "links to folders"),
    ):
        assert any(name in line and reason in line for line in output.splitlines()), (name, output)
    (own / "round").symlink_to(own / "round")
    for what in ("--check", "--dry-run"):
        status, output = join(what, "--data", str(own / "round"))
        assert status == 1 and output.count("\n") == 1 and "round" in output


def test_five_thousand_files(tmp_path: Path, join: Join) -> None:
    data = fill(tmp_path / "one", 1) / "no. 000.png"
    (tmp_path / "many").mkdir()
    for i in range(5000):
        os.link(data, tmp_path / "many" / f"{i:05d}.png")
    status, output = join("--check", "--data", str(tmp_path / "many"))
    assert (
        status == 0
        and "it holds 5,000 drawings; 1,000 of them" in output
        and "copies of another drawing" in output
        and output.count("\n") < 60
    )


@pytest.fixture(params=["read-only", "full"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A disk that takes nothing, and its word for that: a true one where we may mount, else one that says so when asked."""
    folder = tmp_path / "disk"
    folder.mkdir()
    option, code = {"read-only": ("ro", errno.EROFS), "full": ("size=4k", errno.ENOSPC)}[request.param]
    if subprocess.run(["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(folder)], capture_output=True, check=False).returncode:

        def refusing(real: Callable) -> Callable:
            def write(path: Path, *rest: object, **named: object) -> object:
                if folder in (path, *path.parents):
                    raise OSError(code, os.strerror(code), str(path))
                return real(path, *rest, **named)

            return write

        for name in ("mkdir", "touch", "write_text", "write_bytes"):
            monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))
        yield folder, os.strerror(code)
        return
    if request.param == "full":
        with contextlib.suppress(OSError):
            (folder / "ballast").write_bytes(bytes(2**16))
    yield folder, os.strerror(code)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("what", ["--check", "--dry-run", "--rounds=1", "--receipt"])
def test_a_disk_that_takes_nothing_is_one_clear_line(what: str, disk: tuple[Path, str], tmp_path: Path, join: Join) -> None:
    own, (folder, reason) = fill(tmp_path / "own", 2), disk
    arguments = ["--server", "https://127.0.0.1:9", "--data", str(own), "--name", "Zoë"] if what != "--receipt" else []
    status, output = join(what, *arguments, folder=folder)
    if what == "--receipt":
        assert status == 0 and "Nothing was sent" in output
    else:
        last = output.splitlines()[-1]
        assert status == 1 and reason in last and str(folder) in last


def test_nothing_was_sent_yet(tmp_path: Path) -> None:
    assert "Nothing was sent yet" in run("--receipt", folder=tmp_path).stdout
    assert "no model of your own yet" in run("--studio", folder=tmp_path).stdout
