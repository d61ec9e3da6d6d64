"""What dies comes back: two real designers, the studio, and the Hub's stand-in; kills at random moments, and an empty disk."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.hub_server import HubServer
from helpers.quick_rounds import QuickDemo, one_garment, two_hands
from helpers.studio_server import PATIENCE

from federation.demo import Demo
from federation.keeper import descendants
from federation.processes import free_port
from federation.server.superlink_process import processes
from fedgai.model import FedGAI

KILLS = int(os.environ.get("FEDGAI_KILLS", "20"))
WAIT = 2.5 * PATIENCE  # s
NAMES = ("Aiko", "Dara")


def wait(what: str, condition: Callable[[], bool], demo: Demo) -> float:
    """Seconds until the condition held; fails with the studio's log."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < WAIT, f"no {what}\n" + (demo.home / "studio.log").read_text()[-2000:]
        time.sleep(0.5)
    return time.monotonic() - started


def newest(demo: Demo) -> int:
    return demo.folder.last_round()


def federation(home: Path, **environment: str) -> Demo:
    """Rounds without end: seasons of fifty, no rest."""
    return QuickDemo(
        home,
        free_port(),
        rounds=50,
        epochs=1,
        names=NAMES,
        house_steps=1,
        deadline=round(PATIENCE / 3),
        garments=1,
        size=128,
        patience=PATIENCE,
        weights=two_hands(home),
        environment={"FEDGAI_REST_HOURS": "0", **one_garment(home), **environment},
    )


def test_an_emptied_disk_is_restored_from_the_hub(tmp_path: Path) -> None:
    """The whole local state deleted while stopped: same designers, same round, without any approval."""
    with HubServer() as hub:
        repo = "atelier/federation"
        with federation(
            tmp_path, FEDGAI_HUB_REPO=repo, HF_TOKEN=hub.token, HF_ENDPOINT=hub.endpoint, HF_HUB_DISABLE_XET="1"
        ) as demo:
            wait("round on the Hub", lambda: any(tag.startswith("round-0001") for tag in hub.tags(repo)), demo)
            demo.studio.send_signal(signal.SIGTERM)
            demo.studio.wait(60)
            assert not processes(str(demo.folder.path)), "something outlives the studio"
            before = {m.key: m for m in demo.folder.members()}
            # the newest that the Hub has: the round in progress was never whole
            pushed = max(int(tag.removeprefix("round-")) for tag in hub.tags(repo))
            shutil.rmtree(demo.folder.path)
            demo.start_studio()
            wait("members", lambda: len(demo.folder.members()) == len(NAMES), demo)
            assert {m.key: m for m in demo.folder.members()} == before
            assert newest(demo) >= pushed
            wait("next round", lambda: newest(demo) > pushed, demo)
            # the designers may have answered the round that was lost: then it has too few good answers, and gets another number
            assert {d.name for d in demo.folder.report(newest(demo)).designers if d.accepted} == set(NAMES)


def process(demo: Demo, which: str) -> int | None:
    """A process of the federation, by its command line."""
    for pid in descendants(demo.studio.pid):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(Path(part.decode(errors="replace")).name == which for part in command[:3]):
            return pid
    return None


@pytest.mark.long
def test_rounds_go_on_by_themselves_after_kills(tmp_path: Path) -> None:
    """kill -9 at random moments: a designer, the ServerApp, the SuperLink, the whole host."""
    rng = random.Random(24)
    with federation(tmp_path) as demo:
        wait("first round", lambda: newest(demo) >= 1, demo)
        for kill in range(KILLS):
            kind = ("designer", "flwr-serverapp", "flower-superlink", "host")[kill % 4]
            time.sleep(rng.uniform(0, 20))
            before = demo.folder.rounds()
            if kind == "designer":
                name = rng.choice(NAMES)
                os.killpg(demo.designers[name].process.pid, signal.SIGKILL)
                demo.designers[name].process.wait()
                demo.start_designer(name)
            elif kind == "host":
                demo.studio.kill()
                demo.studio.wait()
                demo.start_studio()
            else:
                wait(kind, lambda kind=kind: process(demo, kind) is not None, demo)
                os.kill(process(demo, kind), signal.SIGKILL)
            at = newest(demo)
            took = wait(f"round after kill {kill + 1} ({kind})", lambda at=at: newest(demo) > at + 1, demo)
            print(f"kill {kill + 1}: {kind}, round {at}, two more whole after {took:.0f} s", flush=True)
            after = demo.folder.rounds()
            assert set(before) - set(after) <= set(range(1, after[-1] - 15)), "a whole checkpoint was lost"
            for number in after[-4:]:
                FedGAI.load(demo.folder.checkpoint(number))
