"""What a member turned hostile sends, and what reaches the SuperLink of it: a stand-in, which keeps all that it is sent."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("flwr")
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

from flwr.app import ConfigRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from helpers.gateway import (
    QUESTION,
    Designer,
    Upstream,
    Way,
    announcement,
    approve,
    calls,
    certificates,
    content,
    lines,
    pushed,
    tree_of,
    wait_until,
)

from federation.identity import fingerprint
from federation.server import superlink_client
from federation.server.announcements import SPARE
from federation.server.folder import Folder
from federation.server.knocks import FROM_ONE_ADDRESS, KEPT, Knocks, knocks
from federation.server.rates import GatewayLimits
from federation.server.report import RoundReport
from federation.wire import pack, update_size
from fedgai.model import FedGAI


@pytest.fixture(scope="module")
def shared_upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Upstream, Path]]:
    files = certificates(tmp_path_factory.mktemp("tls"))
    upstream = Upstream(files)
    yield upstream, files[0]
    upstream.server.stop()


@pytest.fixture
def upstream(shared_upstream: tuple[Upstream, Path]) -> Upstream:
    shared_upstream[0].reset()
    shared_upstream[0].asks()
    return shared_upstream[0]


@pytest.fixture
def ada() -> Designer:
    return Designer("Ada Line")


@pytest.fixture
def way(
    tmp_path: Path,
    shared_upstream: tuple[Upstream, Path],
    upstream: Upstream,
    ada: Designer,
    tiny_model_dir: Path,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Way]:
    """A gateway for Ada, of an edge federation; she has been asked ``QUESTION``."""
    caplog.set_level(logging.INFO, "fedgai.gateway")
    folder = Folder(tmp_path / "federation")
    folder.publish(0, FedGAI.load(tiny_model_dir), RoundReport.read({"round": 0}))
    approve(folder, ada)
    way = Way(folder, lambda: (upstream.server.address, shared_upstream[1]), GatewayLimits())
    assert way.post(ada).status_code == 200
    upstream.requests.clear()
    yield way
    way.server.stop()


def ids(count: int) -> list[str]:
    """Ids of objects that there are not."""
    return [f"{i:064x}" for i in range(count)]


# -- announcements -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def update(tiny_model_dir: Path) -> tuple[Message, ObjectTree]:
    """An honest update with everything that a designer may say, and the tree that Flower makes of it."""
    model = FedGAI.load(tiny_model_dir)
    metrics = MetricRecord({"num-examples": 40, **{f"loss-{i}": 0.5 for i in range(20)}, "own-distance": 0.1})
    designer = ConfigRecord(
        {
            "round": 3,
            "encoder": model.encoder_sha256,
            "preset": "edge",
            "release": "0.1.0",
            "sketches": 40,
            "style": b"x" * 4 * 480,
            "name": "A" * 40,
            "description": "d" * 300,
        }
    )
    content = RecordDict({"arrays": pack(model.discriminator.shared()), "metrics": metrics, "designer": designer})
    message = make_message(Metadata(1, "", 7, 1, QUESTION, "", time.time(), 60.0, "train"), content)
    return message, get_object_tree(message)


def nodes(tree: ObjectTree) -> int:
    return 1 + sum(nodes(child) for child in tree.children)


def test_an_honest_update_passes_whole(way: Way, ada: Designer, upstream: Upstream, update: tuple[Message, ObjectTree]) -> None:
    message, tree = update
    size = update_size("edge")
    assert nodes(tree) == size.objects
    assert way.post(ada, "push-messages", announcement(tree)).status_code == 200
    total = 0
    for object_id, item in get_all_nested_objects(message).items():
        data = item.deflate()
        total += len(data)
        assert len(data) <= size.largest
        for _ in range(2):  # the network broke, and it is sent again
            assert way.post(ada, "push-object", pushed(object_id, data)).status_code == 200
    assert total <= size.bytes
    assert way.post(ada, "push-messages", announcement(tree)).status_code == 200  # as after a lost answer


@pytest.mark.parametrize("count", [14_500, 200, update_size("edge").objects + SPARE + 1])
def test_more_objects_than_an_update_has(way: Way, ada: Designer, upstream: Upstream, count: int) -> None:
    """Each object costs the SuperLink two statements under the one lock of SQLite; 14,500 locked it for everybody."""
    root, *children = ids(count)
    answer = way.post(ada, "push-messages", announcement(tree_of(root, *children)))
    assert answer.status_code == 413
    assert calls(upstream) == []


def test_a_tree_that_is_deeper_than_an_update(way: Way, ada: Designer, upstream: Upstream) -> None:
    for depth, status in ((5, 200), (6, 413), (60, 413), (2000, 400)):
        tree = ObjectTree(object_id=ids(1)[0])
        deepest = tree
        for object_id in ids(depth)[1:]:
            deepest = deepest.children.add(object_id=object_id)
        small = tree if depth < 200 else None
        body = announcement(small) if small else _nested(depth)
        assert way.post(ada, "push-messages", body).status_code == status, depth
        upstream.reset()


def _nested(depth: int) -> bytes:
    """The bytes of a tree that is deeper than protobuf itself would write or read."""
    tree = b""
    for _ in range(depth):
        tree = b"\x12" + _varint(len(tree)) + tree  # children, of ObjectTree
    return b"\x1a" + _varint(len(tree)) + tree  # message_object_trees, of PushMessagesRequest


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def test_what_is_no_answer_of_their_own(way: Way, ada: Designer, upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    root = "a" * 64
    twice = tree_of(root, tree_of("b" * 64, "c" * 64), tree_of("d" * 64, "b" * 64))
    refused: dict[str, bytes] = {
        "an order, to another designer or to the server": announcement(reply_to_message_id=""),
        "in the server's name": announcement(src_node_id=1, reply_to_message_id=""),
        "in another designer's name": announcement(src_node_id=8),
        "to another designer": announcement(dst_node_id=8),
        "to what was not asked": announcement(reply_to_message_id="c" * 64),
        "of another run": announcement(run_id=2),
        "two": announcement(count=2, trees=2),
        "none": announcement(count=0, trees=0),
        "two trees": announcement(trees=2),
        "no tree": announcement(trees=0),
        "a tree of something else": announcement(message_id="d" * 64),
        "the same child twice": announcement(tree_of(root, *ids(1), *ids(1))),
        "one object with two lists of children": announcement(twice),
        "an id that is not one": announcement(tree_of(root, "../x")),
        "an id in capital letters": announcement(tree_of(root, "A" * 64)),
    }
    for name, body in refused.items():
        assert way.post(ada, "push-messages", body).status_code == 403, name
    assert way.post(ada, "push-messages", b"\xff" * 5000).status_code == 400
    assert way.post(ada, "push-messages", announcement(group_id="x" * 2**16)).status_code == 413
    assert calls(upstream) == []
    assert any("other than an answer of their own" in line for line in lines(caplog))


def test_other_children_than_the_server_gave_an_object(way: Way, ada: Designer, upstream: Upstream) -> None:
    """A round is repeated with the same arrays; a member who names them with a false child would make the SuperLink refuse
    the server's own push."""
    arrays, chunk = ids(2)
    upstream.asks(tree=tree_of("e" * 64, tree_of(arrays, chunk)), message="e" * 64)
    assert way.post(ada).status_code == 200
    upstream.asks(message="c" * 64)
    assert way.post(ada).status_code == 200
    upstream.requests.clear()
    for children in ([], ["f" * 64], [chunk, "f" * 64]):
        assert way.post(ada, "push-messages", announcement(tree_of("a" * 64, tree_of(arrays, *children)))).status_code == 403
        later = announcement(tree_of("a" * 64, tree_of(arrays, *children)), reply_to_message_id="c" * 64)
        assert way.post(ada, "push-messages", later).status_code == 403
    assert calls(upstream) == []
    assert way.post(ada, "push-messages", announcement(tree_of("a" * 64, tree_of(arrays, chunk)))).status_code == 200


def test_a_question_has_two_answers_at_most(way: Way, ada: Designer, upstream: Upstream) -> None:
    """One, and another where the SuperNode began again; what is not delivered stays in the database until the run ends."""
    codes = [way.post(ada, "push-messages", announcement(tree_of(root))).status_code for root in ids(6)]
    assert codes == [200, 200, 403, 403, 403, 403]
    assert [way.post(ada, "push-messages", announcement(tree_of(root))).status_code for root in ids(2)] == [200, 200]


def test_one_push_messages_at_a_time(way: Way, ada: Designer, upstream: Upstream) -> None:
    upstream.held = True
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(way.post, ada, "push-messages", announcement()) for _ in range(6)]
        wait_until(lambda: sum(answer.done() for answer in answers) == 5)
        upstream.held = False
    codes = sorted(answer.result().status_code for answer in answers)
    assert codes == [200] + [503] * 5
    assert len(calls(upstream)) == 1


# -- objects -------------------------------------------------------------------------------------------------------------


def test_objects_that_were_not_announced(way: Way, ada: Designer, upstream: Upstream) -> None:
    """The database grew by 0.46 GB an hour and member: as much as the limit on bytes let pass."""
    (root, data), (other, stray) = content("root"), content("stray")
    assert way.post(ada, "push-object", pushed(root, data)).status_code == 403  # before it is announced
    assert way.post(ada, "push-messages", announcement(tree_of(root))).status_code == 200
    upstream.requests.clear()
    for body, status in (
        (pushed(other, stray), 403),
        (pushed(root, data, session="another"), 403),
        (pushed(root, data, session=""), 403),
        (pushed(root, data, node=8), 403),
        (pushed(root, stray), 400),
        (pushed(root, b""), 400),
        (b"\xff\xff\xff", 400),
    ):
        assert way.post(ada, "push-object", body).status_code == status
    assert calls(upstream) == []
    assert way.post(ada, "push-object", pushed(root, data)).status_code == 200


def test_an_update_with_more_bytes_than_one_has(way: Way, ada: Designer, upstream: Upstream) -> None:
    size = update_size("edge")
    objects = [content(f"{i}" + "x" * (size.largest - 10)) for i in range(size.objects)]
    assert way.post(ada, "push-messages", announcement(tree_of("a" * 64, *(name for name, _ in objects)))).status_code == 200
    codes = [way.post(ada, "push-object", pushed(*item)).status_code for item in objects]
    taken = codes.count(200) * (size.largest - 10)
    assert codes[0] == 200 and codes[-1] == 413 and taken <= size.bytes + SPARE * size.largest
    assert size.bytes + SPARE * size.largest < 2 * 2**20


def test_what_is_no_members_to_confirm(way: Way, ada: Designer, upstream: Upstream) -> None:
    """After a confirmation the SuperLink deletes an object, whosever it is."""
    for name, status in (("e" * 64, 403), ("", 403), (QUESTION, 200)):
        body = ConfirmMessageReceivedRequest(message_object_id=name).SerializeToString()
        assert way.post(ada, "confirm-message-received", body).status_code == status
    assert len(calls(upstream)) == 1


# -- the SuperLink in trouble, and heartbeats ----------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["pull-messages", "push-messages", "get-run"])
@pytest.mark.parametrize("status", [500, 502, 507])
def test_trouble_of_the_superlinks_is_waited_for(way: Way, ada: Designer, upstream: Upstream, call: str, status: int) -> None:
    """A SuperNode that is told 500 throws its update away, or ends; told 503, it tries again."""
    upstream.status = status
    answer = way.post(ada, call, announcement() if call == "push-messages" else b"")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
    upstream.status = 200
    assert way.post(ada, call, announcement() if call == "push-messages" else b"").status_code == 200


def test_a_run_that_is_lost_is_not_asked_for_for_ever(
    way: Way, ada: Designer, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SuperLink whose database was lost answers 500 about its runs; a SuperNode that was in one asked until it was stopped."""
    clock = [time.monotonic()]
    monkeypatch.setattr(superlink_client, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    upstream.status = 500
    for call, last in (("pull-object", 403), ("get-run", 403), ("pull-messages", 503)):
        assert way.post(ada, call).status_code == 503
        for _ in range(3):
            clock[0] += 0.6 * superlink_client.LOST
            code = way.post(ada, call).status_code
            if code == 403:
                break
        assert code == last, call
        assert way.post(ada, call).status_code == 503, "the next message has its own minute"
    clock[0] += 1.2 * superlink_client.LOST  # a failure that was long ago does not count
    assert way.post(ada, "pull-object").status_code == 503


@pytest.mark.parametrize("interval", [1800.0, 1e30, 1.0, 0.0, -5.0, float("nan")])
def test_a_heartbeat_lasts_as_long_as_everybodys(way: Way, ada: Designer, upstream: Upstream, interval: float) -> None:
    """A member who asked for 1,800 s was "online" for an hour after they had gone, and every round waited for them."""
    activation = ActivateNodeRequest(public_key=ada.pem, heartbeat_interval=interval)
    assert way.post(ada, "activate-node", activation.SerializeToString()).status_code == 200
    heartbeat = SendNodeHeartbeatRequest(heartbeat_interval=interval)
    assert way.post(ada, "send-node-heartbeat", heartbeat.SerializeToString()).status_code == 200
    forwarded = [body for _, _, _, body in upstream.requests]
    assert ActivateNodeRequest.FromString(forwarded[0]).heartbeat_interval == 30
    assert ActivateNodeRequest.FromString(forwarded[0]).public_key == ada.pem
    assert SendNodeHeartbeatRequest.FromString(forwarded[1]).heartbeat_interval == 30


def test_numbers_with_four_hundred_digits(way: Way, ada: Designer, upstream: Upstream) -> None:
    digits = str(10**400)
    for name in ("content-length", "flwr-timestamp"):
        answer = way.raw(f"POST /v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\n{name}: {digits}\r\n\r\n".encode())
        assert answer == b"" or 400 <= int(answer.split()[1]) < 500
    assert way.post(ada).status_code == 200


# -- who knocks ----------------------------------------------------------------------------------------------------------


def test_who_knocks_is_written_down_once(way: Way, ada: Designer, caplog: pytest.LogCaptureFixture) -> None:
    eve, mallory = Designer("Eve"), Designer("Mallory")
    for _ in range(3):
        assert way.post(eve).status_code == 401
    stolen = mallory.headers() | {"flwr-public-key": eve.headers()["flwr-public-key"]}
    other = Designer("Nobody")
    for headers in (stolen, other.headers("2020-01-01T00:00:00+00:00"), {**other.headers(), "flwr-public-key": "AAAA"}):
        assert way.send(headers).status_code == 401  # nobody knocks in somebody else's name, or with an old signature
    [knock] = knocks(way.folder)
    assert knock.key == eve.line and knock.address == "127.0.0.1" and knock.fingerprint == fingerprint(eve.line)
    assert sum("asks to be let in" in line and knock.fingerprint in line for line in lines(caplog)) == 1
    approve(way.folder, eve)
    assert knocks(way.folder) == []
    assert way.post(eve).status_code == 200


def test_a_crowd_does_not_push_others_out_of_the_list(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    noted = Knocks(folder)
    honest = Designer("Honest")
    noted.note(honest.line, "10.0.0.1")
    for _ in range(KEPT + 5):
        noted.note(Designer("Crowd").line, "10.0.0.2")
    found = knocks(folder)
    assert honest.line in {knock.key for knock in found}
    assert sum(knock.address == "10.0.0.2" for knock in found) == FROM_ONE_ADDRESS
    for i in range(2 * KEPT):
        noted.note(Designer("Crowd").line, f"10.0.1.{i}")
    assert len(knocks(folder)) == KEPT


def test_a_damaged_list_of_knocks_is_no_trouble(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    eve = Designer("Eve")
    for damaged in ("{", "{}", '[{"key": 5}]', json.dumps([{"key": eve.line, "address": "x\n", "first": "", "last": ""}])):
        (folder.path / "knocks.json").write_text(damaged)
        assert knocks(folder) == []
        Knocks(folder).note(eve.line, "10.0.0.1")
