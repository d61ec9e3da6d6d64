"""One member against the SuperLink itself: rounds go on, the others count, and the database stays small.

Real SuperNodes, the studio with its gateway, a real SuperLink. Before what a member sends was compared with what that member was
asked, each of these stopped the federation for everybody, or filled its disk.
"""

from __future__ import annotations

import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
from helpers.hostile_designer import HostileDesigner
from helpers.hostile_federation import federation, wait_for
from helpers.studio_server import PATIENCE

from federation import operator
from federation.demo import Demo
from federation.identity import make_key
from federation.keeper import descendants
from fedgai.ateliers import ATELIERS

pytestmark = pytest.mark.slow
HONEST = list(ATELIERS)[:2]
WAYS = ("false_child", "orphans", "forest")
GHOST = "Ghost"


def superlinks(demo: Demo) -> set[int]:
    """Processes of SuperLinks behind the studio."""
    found = set()
    for pid in descendants(demo.studio.pid):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"flower-superlink" in command and b"keeper.py" not in command:
            found.add(pid)
    return found


def database(demo: Demo) -> int:
    """Bytes."""
    return sum(file.stat().st_size for file in demo.folder.path.glob("superlink.db*"))


Attacked = tuple[Demo, dict[str, HostileDesigner], set[int], int]
"""The federation, the attackers, the SuperLink's process and the bytes of its database before they began."""


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """A federation of two who are honest and one attacker for each way; rounds without end.

    The attackers are honest in the first round, which is over. From the second on each attacks in every round. With two good
    answers a round closes in so many seconds, whatever the others do. Beside them is the ghost, see ``bring_ghost``.
    """
    attackers = {way: ["honest", way] for way in WAYS}
    home = tmp_path_factory.mktemp("attacked")
    with federation(home, HONEST, attackers, 1000, len(HONEST), grace=12) as (demo, strangers):
        wait_for(demo, 1)
        processes, size = superlinks(demo), database(demo)
        assert len(processes) == 1
        bring_ghost(demo, home / GHOST / "key")
        yield demo, strangers, processes, size


@pytest.mark.parametrize("way", WAYS)
def test_rounds_go_on(attacked: Attacked, way: str) -> None:
    """The attack is in the next rounds, and the round after the first attack has to come."""
    demo, strangers, processes, size = attacked
    hostile, until = strangers[way], time.monotonic() + 3 * PATIENCE
    while not (attacks := [number for number in hostile.attacked if number > 1]) or demo.folder.rounds()[-1] <= attacks[0]:
        assert time.monotonic() < until, (demo.home / "studio.log").read_text()[-3000:]
        time.sleep(0.5)
    later = [number for number in demo.folder.rounds() if number > 1]  # one that came too late is tried again, as the next
    assert len(later) >= 2
    for number in later:
        counted = {d.name for d in demo.folder.report(number).designers if d.accepted}
        assert counted >= set(HONEST), demo.folder.report(number).designers
    assert superlinks(demo) == processes, "the SuperLink was started again"
    assert database(demo) - size < 16 * 2**20
    assert hostile.delivered < 8 * 2**20
    if way != "false_child":
        assert hostile.trouble  # it was turned away


def test_who_is_gone_is_offline_a_minute_later(attacked: Attacked) -> None:
    """Whoever asked for heartbeats of 1,800 s was "online" for an hour, and every round waited for them."""
    demo = attacked[0]
    operator.pause(demo.folder)
    until = time.monotonic() + 60 + PATIENCE
    while GHOST in demo.folder.status().online:
        assert time.monotonic() < until, "still online long after it was heard of last"
        time.sleep(1)


def bring_ghost(demo: Demo, key: Path) -> None:
    """One more member, who says once that they are there and is never heard of again. Returns when they are online."""
    operator.approve(demo.folder, make_key(key), GHOST)
    private, until = load_ssh_private_key(key.read_bytes(), None), time.monotonic() + PATIENCE
    while activate(demo, private) != 200:
        assert time.monotonic() < until
        time.sleep(1)
    while GHOST not in demo.folder.status().online:
        assert time.monotonic() < until
        time.sleep(0.2)


def activate(demo: Demo, key: object) -> int:
    """Be there, for half an hour."""
    timestamp, public = now().isoformat(), public_key_to_bytes(key.public_key())
    headers = {
        "flwr-public-key": b64encode(public).decode(),
        "flwr-timestamp": timestamp,
        "flwr-signature": b64encode(sign_message(key, timestamp.encode())).decode(),
        "content-type": "application/protobuf",
    }
    content = ActivateNodeRequest(public_key=public, heartbeat_interval=1800).SerializeToString()
    trust = ssl.create_default_context(cafile=str(demo.tls / "ca.pem"))
    url = f"{demo.url}v1/fleet/activate-node"
    return httpx.post(url, content=content, headers=headers, verify=trust, trust_env=False).status_code
