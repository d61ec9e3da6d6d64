"""A federation of real processes in which some designers are hostile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from federation import operator
from federation.demo import Demo
from federation.identity import make_key
from federation.processes import free_port
from federation.server.members import node_id_of
from fedgai.model import WEIGHTS, FedGAI
from helpers.hostile_designer import HostileDesigner
from helpers.quick_rounds import QuickDemo, one_garment, two_hands
from helpers.studio_server import PATIENCE

DEADLINE = round(PATIENCE)  # s


GRACE = 20  # s, in which those who are hostile end what they are at


@contextmanager
def federation(
    home: Path, honest: Sequence[str], hostile: dict[str, Sequence[str]], rounds: int, good: int = 0, grace: int = GRACE
) -> Iterator[tuple[Demo, dict[str, HostileDesigner]]]:
    """Real SuperNodes of ``honest`` designers, and beside them one for each of ``hostile``: name -> ways.

    Some ways keep a round open. With ``good`` answers it closes ``grace`` later, however long the machine took for them;
    else at its deadline.
    """
    quorum = max(0.0, good - 0.5) / (len(honest) + len(hostile))
    demo = QuickDemo(
        home,
        free_port(),
        rounds,
        names=honest,
        deadline=DEADLINE,
        house_steps=1,
        garments=1,
        size=128,
        patience=PATIENCE,
        weights=two_hands(home),
        environment=one_garment(home),
        run_config=f"quorum={quorum:.3f} grace={grace}",
    )
    operator.pause(demo.folder)  # until everybody is there
    strangers: dict[str, HostileDesigner] = {}
    with demo:
        model, victim = FedGAI.load(WEIGHTS), node_id_of(make_key(home / honest[0] / "key"))
        try:
            for name, ways in hostile.items():
                operator.approve(demo.folder, make_key(home / name / "key"), name)
                strangers[name] = HostileDesigner(
                    f"127.0.0.1:{demo.port}", demo.tls / "ca.pem", home / name / "key", model, ways, victim
                )
            everybody, until = sorted([*honest, *hostile]), time.monotonic() + PATIENCE
            while demo.folder.status().online != everybody:
                assert time.monotonic() < until, demo.folder.status()
                time.sleep(0.5)
            operator.resume(demo.folder)
            yield demo, strangers
        finally:
            for stranger in strangers.values():
                stranger.stop()


def wait_for(demo: Demo, count: int) -> None:
    until = time.monotonic() + 60 + count * (DEADLINE + PATIENCE)
    while demo.folder.last_round() < count:
        assert time.monotonic() < until, (demo.home / "studio.log").read_text()[-3000:]
        time.sleep(0.5)
