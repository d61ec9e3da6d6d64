"""Whether the federation has come to a standstill, and what the log says of it."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from federation.server import public_status
from federation.server.folder import Folder
from federation.server.public_status import LATE, QUIET, SLOW, stalled
from federation.server.report import DesignerReport, RoundReport
from federation.server.round_log import RoundLog
from fedgai.model import FedGAI

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize("phase", ["waiting", "resting", "paused", "stopped", "starting", "training", "aggregating", "house"])
def test_waiting_for_people_does_not_count_as_stalled(folder: Folder, phase: str) -> None:
    assert stalled(folder) == ""  # nothing has begun
    folder.note_look()
    folder.set_status(phase=phase, deadline=time.time() + 60 if phase == "training" else 0.0)
    assert stalled(folder) == ""


def test_a_host_that_has_stopped_looking(folder: Folder) -> None:
    folder.set_status(phase="waiting")
    folder.note_look()
    before = time.time() - QUIET - 10
    os.utime(folder.path / "host.alive", (before, before))
    assert "the host has not looked" in stalled(folder)
    folder.set_status(phase="stopped")  # on purpose
    assert stalled(folder) == ""
    folder.set_status(phase="waiting")
    folder.note_look()
    assert stalled(folder) == ""


def test_a_round_that_is_past_its_deadline(folder: Folder) -> None:
    folder.note_look()
    folder.set_status(phase="training", round=3, deadline=time.time() - LATE + 20)
    assert stalled(folder) == ""
    folder.set_status(phase="training", round=3, deadline=time.time() - LATE - 20)
    assert "round 3 is" in stalled(folder) and "past its deadline" in stalled(folder)


@pytest.mark.parametrize("phase", ["house", "aggregating", "starting"])
def test_a_step_of_the_servers_that_does_not_move(folder: Folder, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    folder.set_status(phase=phase, progress=0.4)
    now = time.time() + SLOW + 60
    monkeypatch.setattr(public_status.time, "time", lambda: now)
    assert phase in stalled(folder) and "nothing has moved" in stalled(folder)


def test_a_line_a_round(folder: Folder, tiny_model_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fedgai.host")
    model, log = FedGAI.load(tiny_model_dir), RoundLog(folder)
    folder.publish(0, model, RoundReport.read({"round": 0}))
    log.look()  # what was there is no news
    designers = [DesignerReport(accepted=True), DesignerReport(accepted=False)]
    folder.publish(
        1,
        model,
        RoundReport(
            designers=designers,
            house_steps_done=12,
            house_steps_wanted=30,
            published=False,
            held_back="worse\nthan\x1b[31m before",
        ),
    )
    log.look()
    log.look()
    assert caplog.messages == [
        "round 1: 1 of 2 designers counted; the house learned 12 of 30 steps; held back: worse?than?[31m before"
    ]


def test_the_log_has_times() -> None:
    program = (
        "import logging; from federation.server.operator_log import start_log; start_log(); start_log();"
        "logging.getLogger('fedgai.host').info('round 1: published'); logging.getLogger('other').warning('not ours')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    ours = [line for line in done.stderr.splitlines() if "published" in line]
    assert len(ours) == 1 and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO fedgai\.host: round 1: published", ours[0])
