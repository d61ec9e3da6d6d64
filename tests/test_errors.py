"""Whatever a user can cause is one sentence: in the terminal, in the window, in the studio at home."""

from __future__ import annotations

import ast
import asyncio
import importlib
import os
import pkgutil
import shutil
import zipfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("studio.without_stubs")
pytest.importorskip("flwr")

from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from helpers.imports import parsed

import federation
import fedgai
import studio
from federation import demo, join, operator
from federation.designer.settings import Settings
from federation.server.folder import Folder
from federation.server.host import HostError
from federation.simulate import main as simulate_main
from fedgai.__main__ import main as fedgai_main
from fedgai.errors import FedGAIError, sentence
from fedgai.training.pretrain.stage import Stage
from studio.application import federate
from studio.command import main as studio_main
from studio.companion import home, window
from studio.companion.actions import CompanionActions
from studio.companion.background import failure, in_background
from studio.companion.drawings import DrawingsFolder
from studio.federation.panel import Panel
from studio.listeners import with_notice
from studio.templating import escaped

FIXTURE = Path(__file__).resolve().parent / "fixtures" / "companion-801d4d4.zip"


def every_error() -> list[type[FedGAIError]]:
    """All subclasses in the project, from all of its modules."""
    for package in (fedgai, federation, studio):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                try:
                    importlib.import_module(module.name)
                except ImportError:  # of an extra that is not installed
                    continue
    found: list[type[FedGAIError]] = []
    todo: list[type[FedGAIError]] = [FedGAIError]
    while todo:
        found.append(todo.pop())
        todo += [kind for kind in found[-1].__subclasses__() if kind not in found]
    return sorted(set(found), key=lambda kind: kind.__name__)


ERRORS = every_error()


def made(kind: type[FedGAIError]) -> FedGAIError:
    """One with a sentence, whatever its own constructor wants."""
    error = kind.__new__(kind)
    ValueError.__init__(error, "there is no folder /drawings: name another one")
    error.__dict__["url"] = ""
    return error


SENTENCE = "There is no folder /drawings: name another one."


def test_there_are_errors_to_walk() -> None:
    names = {kind.__name__ for kind in ERRORS}
    assert {
        "CheckpointError",
        "PairsError",
        "TrainError",
        "ImageError",
        "CompanionError",
        "AwayError",
        "RoundRefusedError",
        "IdentityError",
        "VariableError",
        "SuperNodeError",
        "OpenAlready",
    } <= names


def test_every_error_of_the_source_is_walked() -> None:
    """A module that cannot be imported here would hide its errors."""
    sources = [file for package in (fedgai, federation, studio) for file in Path(package.__path__[0]).rglob("*.py")]
    classes = [node for file in sources for node in ast.walk(parsed(file)) if isinstance(node, ast.ClassDef)]
    bases = {node.name: {ast.unparse(base).split(".")[-1] for base in node.bases} for node in classes}
    derived, found = {"FedGAIError"}, {"FedGAIError"}
    while found:
        found = {name for name, of in bases.items() if of & derived} - derived
        derived |= found
    assert derived == {kind.__name__ for kind in ERRORS}


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_each_is_a_sentence_everywhere(
    kind: type[FedGAIError], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = made(kind)
    assert sentence(error) == failure(error) == SENTENCE

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(join, "run", fails)
    assert join.main(["--home", str(tmp_path)]) == 1
    assert capsys.readouterr().out.strip() == SENTENCE

    monkeypatch.setattr("fedgai.__main__.styles", fails)
    assert fedgai_main(["styles"]) == 2
    assert capsys.readouterr().err == f"fedgai styles: {SENTENCE}\n"

    monkeypatch.setattr(operator, "_run", fails)
    with pytest.raises(SystemExit) as stop:
        operator.main(["--home", str(tmp_path / "federation"), "rounds"])
    assert (stop.value.code, capsys.readouterr().err) == (2, f"{SENTENCE}\n")

    monkeypatch.setattr(demo, "_show", fails)
    monkeypatch.setattr("sys.argv", ["demo", "--home", str(tmp_path / "demo")])
    with pytest.raises(SystemExit) as stop:
        demo.main()
    assert stop.value.code == SENTENCE

    monkeypatch.setattr("studio.command.check_network", fails)
    monkeypatch.setattr("federation.simulate.simulate", fails)
    for program in (studio_main, simulate_main):
        monkeypatch.setattr("sys.argv", ["program"])
        with pytest.raises(SystemExit) as stop:
            program()
        assert stop.value.code == SENTENCE

    shown: list[str] = []
    in_background("test", fails, shown.append).join()
    assert shown == [SENTENCE]

    panel = Panel(Folder(tmp_path / "federation"), "password")
    monkeypatch.setattr(panel, "_act", fails)
    assert panel.act({"do": "pause"}) == SENTENCE

    async def listener() -> tuple[object, ...]:
        raise error

    monkeypatch.setattr("gradio.Warning", lambda *_, **__: None)
    with ThreadPoolExecutor(1) as apart:  # a browser of another test may have left its event loop running in this thread
        assert apart.submit(lambda: asyncio.run(with_notice(1)(listener)())).result()[-1] == escaped(SENTENCE)

    for module, name in ((window, "CompanionActions"), (home, "HomeStudio")):
        monkeypatch.setattr(module, name, fails)
        monkeypatch.setattr("sys.argv", ["page", "--home", str(tmp_path / name), "--no-browser"])
        status = module.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert (status, err.strip()) == (1, SENTENCE) or kind.__name__ == "OpenAlready"


def test_a_mistake_of_ours_is_not_silent(caplog: pytest.LogCaptureFixture) -> None:
    shown: list[str] = []
    ended: list[bool] = []

    def work() -> None:
        raise ZeroDivisionError("a mistake")

    in_background("test", work, shown.append, lambda: ended.append(True)).join()
    assert len(shown) == 1 and "ZeroDivisionError" in shown[0] and "the mistake is the companion's" in shown[0]
    assert ended == [True] and "a mistake" in caplog.text


def test_a_mistake_of_ours_is_none_of_a_user_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: object) -> None:
        raise ValueError("a mistake")

    monkeypatch.setattr("fedgai.__main__.styles", fails)
    with pytest.raises(ValueError, match="a mistake"):
        fedgai_main(["styles"])


def test_the_studio_goes_on_without_a_federation_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise made(HostError)

    quiet = SimpleNamespace(start=lambda: None, stop=lambda: None)
    monkeypatch.setattr("federation.server.host.Host.start", fails)
    monkeypatch.setattr("federation.server.host.Host.stop", lambda _: None)
    monkeypatch.setattr("federation.server.operator_log.start_log", lambda: None)
    monkeypatch.setattr("studio.federation.follow.Federation", lambda *_: quiet)
    monkeypatch.setattr("studio.federation.routes.routes", lambda _: APIRouter())
    app = FastAPI()
    federate(app, Folder(tmp_path), None)
    with TestClient(app):
        assert capsys.readouterr().out == f"No federation is started. {SENTENCE}\n"


def test_a_full_disk_is_a_sentence() -> None:
    error = OSError(28, "No space left on device")
    assert sentence(error) == "A file cannot be used: No space left on device."
    error.filename = "/drawings"
    assert sentence(error) == "/drawings cannot be used: No space left on device."


# -- a disk that is full -----------------------------------------------------------------------------------------------


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_receipts_page_is_whole_or_the_old_one(
    folder: Path, quiet: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "receipts" / "receipt.html"
    file.write_bytes(b"the old page")
    beside = sorted(file.parent.iterdir())
    monkeypatch.setattr(os, "replace", full)
    assert join.main(["--home", str(folder), "--receipt"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"{file} cannot be used: No space left on device."
    assert file.read_bytes() == b"the old page" and sorted(file.parent.iterdir()) == beside


def test_a_copy_of_a_drawing_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawings = DrawingsFolder(tmp_path, lambda: Settings("", "", ""))

    async def content() -> AsyncIterator[bytes]:
        yield b"a drawing"

    def put(name: str) -> str:
        return asyncio.run(drawings.put("sketches", name, content()))

    with ThreadPoolExecutor(1) as apart:  # a browser of another test may have left its event loop running in this thread
        assert apart.submit(put, "a.png").result() == ""
        monkeypatch.setattr(os, "fsync", full)
        assert "No space left on device" in apart.submit(put, "b.png").result()
    assert [file.name for file in Path(drawings.folder_of("sketches")).iterdir()] == ["a.png"]
    drawings.close()


def test_a_lesson_is_saved_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage("lesson", tmp_path, {"part": torch.nn.Linear(1, 1)}, 1, 0.1, 1)
    stage.save()
    saved = stage.path.read_bytes()

    def half(state: object, file: Path) -> None:
        Path(file).write_bytes(b"half")
        full()

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space left"):
        stage.save()
    assert stage.path.read_bytes() == saved and list(tmp_path.iterdir()) == [stage.path]


# -- a private model that is damaged -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A companion's, with a private model, as a round left it."""
    with zipfile.ZipFile(FIXTURE) as packed:
        packed.extractall(tmp_path)
    Settings("https://studio.example", str(tmp_path / "drawings"), "Zoë", share_style=True, size=64).save(tmp_path / "home")
    shutil.copy(tmp_path / "home" / "settings.json", tmp_path / "home" / "window" / "settings.json")
    return tmp_path / "home"


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def garbage(file: Path) -> None:
    file.write_bytes(b"\xff\xfe not what it was \x00" * 9)


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr("signal.signal", lambda *_: None)


@pytest.fixture
def actions(folder: Path) -> Iterator[CompanionActions]:
    running = CompanionActions(folder)
    yield running
    running.close()


@pytest.mark.parametrize("damage", [cut_short, garbage, empty])
@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors", "config.json", "styles.safetensors"])
def test_a_damaged_private_model_is_a_sentence_in_the_terminal(
    name: str, damage: object, folder: Path, quiet: None, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder / "model" / name)
    status = join.main(["--home", str(folder), "--dry-run"])
    out, err = capsys.readouterr()
    assert status == 1 and "Traceback" not in out + err and not err, out + err
    assert name in out.splitlines()[-1] or str(folder / "model") in out.splitlines()[-1], out


def test_a_damaged_private_model_is_a_sentence_in_the_window(folder: Path, actions: CompanionActions) -> None:
    cut_short(folder / "model" / "model.safetensors")
    actions.show_sample()
    actions.drawings._worker.submit(lambda: None).result(300)
    assert actions.sample is None
    assert "model" in actions.drawings.trouble and actions.drawings.trouble.endswith(".")


def test_a_damaged_private_model_is_a_sentence_at_home(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_short(folder / "model" / "model.safetensors")
    monkeypatch.setattr("sys.argv", ["home", "--home", str(folder), "--no-browser"])
    assert home.main() == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err and err.count("\n") == 1 and "model" in err
