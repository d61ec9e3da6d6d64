"""kill -9 at random moments of a designer's training and upload: it goes on, no epoch is lost but the current one."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import fork_server
from helpers.quick_rounds import one_garment, running_studio, two_hands
from helpers.studio_server import PATIENCE
from PIL import Image
from safetensors import safe_open

from federation.demo import Demo, draw_examples
from federation.designer.client_app import PROGRESS_FILE, ROUND_FILE
from federation.designer.receipt import read_all
from federation.designer.settings import Settings
from federation.identity import make_key
from federation.keeper import descendants
from federation.operator import approve
from fedgai.model import FedGAI
from fedgai.training.saved_training import LOG_FILE, STATE_FILE

ROOT = Path(__file__).resolve().parent.parent
KILLS = int(os.environ.get("FEDGAI_KILLS", "20"))
WAIT = 2 * PATIENCE  # s
PAIRS, EPOCHS, SIZE = 3, 22, 64  # with more pairs, the signature would be refined first


def saved_step(home: Path) -> int:
    """Of the last saving; 0 before the first. Every other file that a designer would miss is read, too."""
    model = home / "model"
    Settings.load(home)
    assert len(read_all(home / "receipts")) == len(list((home / "receipts").glob("round-*.json")))
    if (model / ROUND_FILE).exists():
        json.loads((model / ROUND_FILE).read_text())
    if not (model / STATE_FILE).exists():
        return 0
    FedGAI.load(model)
    with safe_open(str(model / STATE_FILE), "pt") as state:
        assert all(state.get_tensor(name).numel() for name in state.keys())
        return json.loads(state.metadata()["training"])["step"]


def last_step(home: Path) -> int:
    """The last that was taken, saved or not; a kill may have cut its line short."""
    steps = [0]
    log = home / "model" / LOG_FILE
    for line in log.read_text().splitlines() if log.exists() else ():
        try:
            steps.append(json.loads(line)["step"])
        except ValueError:
            continue
    return steps[-1]


def progress(home: Path) -> tuple[str, int]:
    """(phase, step of the round); ("sent", ...) once the round has its receipt."""
    try:
        saved = json.loads((home / "model" / PROGRESS_FILE).read_text())
        sent = saved.get("phase") == "sending" and any((home / "receipts").glob(f"round-{saved['round']:04d}*.json"))
        return "sent" if sent else saved.get("phase", ""), saved.get("step", 0)
    except (OSError, ValueError):
        return "", 0


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Demo]:
    """Rounds without end; one that a killed designer does not answer is asked for again after the deadline."""
    folder = tmp_path / "studio"
    environment = {"FEDGAI_REST_HOURS": "0", **one_garment(folder)}
    with running_studio(
        folder,
        ["Zoë"],
        rounds=50,
        epochs=EPOCHS,
        deadline=15,
        house_steps=1,
        weights=two_hands(tmp_path),
        environment=environment,
    ) as demo:
        yield demo


MOMENTS = [random.Random(24 + kill).randrange(1, 4 * PAIRS * EPOCHS // 3) for kill in range(KILLS)]
"""Steps of the round; beyond its last, the upload."""


@pytest.mark.parametrize(
    "moments", [pytest.param([20, 1000], id="two"), pytest.param(MOMENTS, id="many", marks=pytest.mark.long)]
)
def test_a_companion_goes_on_after_kills(moments: list[int], studio: Demo, tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    draw_examples(tmp_path / "made", ["Aiko"], SIZE, garments=-(-PAIRS // 2))
    for kind in ("photos", "sketches"):
        (data / kind).mkdir(parents=True)
        for i, file in enumerate(sorted((tmp_path / "made" / "Aiko" / kind).iterdir())[:PAIRS]):
            Image.open(file).save(data / kind / f"{i}.png")
    Settings(studio.url, str(data), "Zoë", certificate=str(studio.tls / "ca.pem"), size=SIZE).checked().save(home)
    make_key(home / "key")
    approve(studio.folder, str(home / "key.pub"), "Zoë")

    process: subprocess.Popen | None = None

    def start() -> None:
        nonlocal process
        (home / "model" / PROGRESS_FILE).unlink(missing_ok=True)  # of the one that was killed: it would be killed on its way up
        output = (tmp_path / "output.txt").open("ab")
        process = fork_server.Popen(
            [sys.executable, "-m", "federation.join", "--home", str(home)],
            cwd=ROOT,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )

    def wait(condition: Callable[[], bool]) -> None:
        until = time.monotonic() + WAIT
        while not condition():
            output = (tmp_path / "output.txt").read_text()
            assert process.poll() is None and time.monotonic() < until, output[-2000:]
            assert "Traceback" not in output
            time.sleep(0.05)

    rng, kept = random.Random(24), 0
    start()
    try:
        for kill, moment in enumerate(moments):

            def reached(moment: int = moment) -> bool:
                phase, step = progress(home)
                return phase == "sending" or (phase == "training" and step >= moment)

            wait(reached)
            found = progress(home)[0]
            time.sleep(rng.uniform(0, 0.5 if found == "training" else 0.1))
            for pid in [process.pid, *descendants(process.pid)]:  # as if the battery had run out
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
            taken, saved = last_step(home), saved_step(home)
            print(
                f"kill {kill + 1} while {found}: step {taken}, saved {saved}, {len(read_all(home / 'receipts'))} receipts",
                flush=True,
            )
            assert kept <= saved and taken - saved <= PAIRS
            kept = saved
            sent = len(read_all(home / "receipts"))
            start()
            if found == "sending":  # let this round through, or all later kills would hit the same upload
                wait(lambda sent=sent: len(read_all(home / "receipts")) > sent)
        sent = len(read_all(home / "receipts"))
        wait(lambda: len(read_all(home / "receipts")) > sent)
    finally:
        process.kill()
        process.wait()
    assert saved_step(home) >= kept
    rounds = [json.loads(line)["epoch"] for line in (home / "model" / LOG_FILE).read_text().splitlines()]
    assert rounds == sorted(rounds) and len(rounds) == last_step(home), "a step was lost, or taken twice"
