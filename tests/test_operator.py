"""The operator's commands, as they look in a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from helpers.gateway import Designer

from federation import operator
from federation.identity import fingerprint
from federation.server.folder import Folder
from federation.server.knocks import Knocks
from federation.server.report import DesignerReport, RoundReport
from fedgai.errors import FedGAIError
from fedgai.model import FedGAI

METRICS = {f"loss-of-the-generator-number-{i}": 1 / (i + 1) for i in range(12)}


@pytest.fixture
def folder(tmp_path: Path, tiny_model_dir: Path) -> Folder:
    """Three rounds: one without a step of the house, one held back."""
    folder, model = Folder(tmp_path / "home"), FedGAI.load(tiny_model_dir)
    folder.publish(0, model, RoundReport.of_the_start())
    designers = [DesignerReport(accepted=i < 7, name=f"Designer {i}") for i in range(8)]
    for number, steps, held_back in ((1, 30, ""), (2, 0, "the house learned 0 of 30 steps"), (3, 30, "x" * 500)):
        folder.publish(
            number,
            model,
            RoundReport(
                round=number,
                finished=f"2026-11-2{number}T10:05:00+00:00",
                designers=designers,
                metrics=METRICS,
                house_steps_done=steps,
                house_steps_wanted=30,
                published=not held_back,
                held_back=held_back,
            ),
            latest=not held_back,
        )
    return folder


def test_the_last_round(folder: Folder, tmp_path: Path) -> None:
    assert (folder.last_round(), folder.latest()) == (3, 1)  # two were held back
    assert Folder(tmp_path / "new").last_round() == 0


def run(folder: Folder, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    operator.main(["--home", str(folder.path), *words])
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 60, 120])
def test_rounds_fit_the_terminal_and_show_the_house(
    folder: Folder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = run(folder, capsys, "rounds")
    assert max(map(len, out.splitlines())) <= width
    text = " ".join(out.split())
    if width == 120:
        assert "2026-11-21 10:05" in text and "30 of 30 steps" in text and "0 of 30 steps" in text
    assert "7 of 8" in text or width < 80
    assert "generator" not in text


def test_lists_for_programs(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(run(folder, capsys, "rounds", "--json"))
    assert [row["house"] for row in rows] == ["", "30 of 30 steps", "0 of 30 steps", "30 of 30 steps"]
    assert rows[1]["state"] == "published, drawn with" and rows[3]["state"].startswith("held back: x")
    assert json.loads(run(folder, capsys, "list", "--json")) == {"members": [], "asking to be let in": []}


def test_who_asks_is_approved_by_the_fingerprint(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    eve = Designer("Eve")
    Knocks(folder).note(eve.line, "10.0.0.1")
    name = fingerprint(eve.line)
    assert "10.0.0.1" in run(folder, capsys, "list")
    assert run(folder, capsys, "approve", name, "--name", "Eve") == f"Eve is approved, {name}\n"
    assert "10.0.0.1" not in run(folder, capsys, "list")
    with pytest.raises(FedGAIError, match="nobody asks"):
        operator.approve_knock(folder, name, "Eve")


def test_a_name_is_shown_as_it_is(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    operator.approve(folder, Designer("x").line, "[red]Ada[/red]")
    assert "[red]Ada[/red]" in run(folder, capsys, "list")


@pytest.mark.parametrize("number", ["1" * 400, "-1", "x", "1_0", "\u0662"])
def test_a_round_that_cannot_be(folder: Folder, capsys: pytest.CaptureFixture[str], number: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run(folder, capsys, "rollback", number)
    assert ended.value.code == 2 and len(capsys.readouterr().err) < 400


def test_a_damaged_list_of_members_is_a_sentence(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    for content in ("[{", '[{"name": "x"}]', "[5]", '[{"name": "x", "key": "y", "admin": true}]'):
        (folder.path / "members.json").write_text(content)
        with pytest.raises(SystemExit):
            run(folder, capsys, "list")
        error = capsys.readouterr().err
        assert error.endswith(".\n") and error.count("\n") == 1 and "members.json" in error
