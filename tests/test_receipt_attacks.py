"""A studio that wants an update without a receipt of it. Each of these succeeded before receipts began with the first byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from flwr.app import MetricRecord
from flwr.proto.fleet_pb2 import PushMessagesRequest, PushMessagesResponse
from flwr.proto.message_pb2 import PushObjectRequest, PushObjectResponse
from helpers.fleet import HASH, SESSION, Node, Studio, ids, proto, reply, update
from starlette.responses import PlainTextResponse, Response

from federation.designer.proxy import Proxy
from federation.designer.receipt import BEGAN, SENT, Receipt, noise_spent, read_all
from federation.designer.receipt_page import noise_line


class Thief(Studio):
    """Takes every object that it is sent. What it says about one is up to ``says``, which may leave that to it with None.

    Attributes:
        taken: ids of the objects whose contents reached it.
        unwritten: those that reached it before there was a receipt.
    """

    def __init__(self, folder: Path, receipts: Path, root: str) -> None:
        super().__init__(folder)
        self.receipts, self.root = receipts, root
        self.taken: list[str] = []
        self.unwritten: list[str] = []
        self.says: Callable[[str, str, set[str]], Response | None] = lambda call, name, objects: None

    def respond(self, call: str, body: bytes) -> Response:
        name, objects = "", set[str]()
        if call == "push-messages":
            objects = ids(PushMessagesRequest.FromString(body).message_object_trees[0])
        elif call == "push-object":
            name = PushObjectRequest.FromString(body).object_id
            self.taken.append(name)
            if not list(self.receipts.glob("round-*.json")):
                self.unwritten.append(name)
        return self.says(call, name, objects) or super().respond(call, body)


def wants(objects: set[str]) -> Response:
    return proto(PushMessagesResponse(objects_to_push=objects, session_id=SESSION))


NOT_STORED = proto(PushObjectResponse(stored=False))


def one_was_not_stored(thief: Thief) -> None:
    thief.says = lambda call, name, objects: NOT_STORED if name == thief.root else None


def an_array_was_not_stored(thief: Thief) -> None:
    thief.says = lambda call, name, objects: NOT_STORED if len(thief.taken) == 3 and call == "push-object" else None


def it_does_not_want_the_message_itself(thief: Thief) -> None:
    thief.says = lambda call, name, objects: wants(objects - {thief.root}) if call == "push-messages" else None


def it_wants_one_part_less(thief: Thief) -> None:
    thief.says = lambda call, name, objects: wants(set(sorted(objects)[1:])) if call == "push-messages" else None


def it_says_that_it_is_asleep(thief: Thief) -> None:
    thief.says = lambda call, name, objects: PlainTextResponse("", 503) if name == thief.root else None


def it_says_that_the_run_is_over(thief: Thief) -> None:
    thief.says = lambda call, name, objects: PlainTextResponse("", 403) if name == thief.root else None


def it_answers_with_noise(thief: Thief) -> None:
    thief.says = lambda call, name, objects: Response(b"\xff\xff\xff", 200) if name == thief.root else None


ATTACKS = [
    one_was_not_stored,
    an_array_was_not_stored,
    it_does_not_want_the_message_itself,
    it_wants_one_part_less,
    it_says_that_it_is_asleep,
    it_says_that_the_run_is_over,
    it_answers_with_noise,
]


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def message() -> object:
    content = update()
    content["metrics"] = MetricRecord({**content["metrics"], "epsilon": 2.0})
    return reply(content)


@pytest.fixture
def thief(tmp_path: Path, message: object) -> Iterator[Thief]:
    thief = Thief(tmp_path / "studio", tmp_path / "home" / "receipts", message.object_id)
    yield thief
    thief.stop()


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_part_of_an_update_leaves_without_a_receipt(
    attack: Callable[[Thief], None], thief: Thief, message: object, tmp_path: Path
) -> None:
    attack(thief)
    with Proxy(thief.url, tmp_path / "home", HASH, root_certificate=thief.certificate, timeout=60) as proxy:
        node = Node(proxy)
        node.push(message)
        node.client.close()
    assert thief.taken, "the attack took nothing: it proves nothing"
    assert thief.unwritten == []
    [receipt] = read_all(proxy.receipts)
    assert [tensor.name for tensor in receipt.tensors] == ["layers.0.weight", "scale"]
    assert receipt.epsilon == noise_spent([receipt]) == 2
    says_it_has_all = attack in (it_does_not_want_the_message_itself, it_wants_one_part_less)
    assert receipt.state == (SENT if says_it_has_all else BEGAN)


def test_an_update_whose_receipt_cannot_be_written_does_not_leave(thief: Thief, message: object, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "receipts").write_text("a file is in the way")
    with Proxy(thief.url, tmp_path / "home", HASH, root_certificate=thief.certificate, timeout=60) as proxy:
        node = Node(proxy)
        assert node.push(message)[-1] == 503
        assert proxy.notice.state == "error" and "so nothing is sent" in proxy.notice.text
        node.client.close()
    assert thief.taken == []


def test_a_round_that_was_asked_for_three_times_counts_three_times(tmp_path: Path) -> None:
    content = update()
    content["metrics"] = MetricRecord({**content["metrics"], "epsilon": 2.0})
    for state in (SENT, BEGAN, SENT):
        Receipt.of(content, "https://studio", state).save(tmp_path)
    receipts = read_all(tmp_path)
    assert [receipt.round for receipt in receipts] == [3, 3, 3]
    assert noise_spent(receipts) == 6 and "together their epsilon is 6" in noise_line(receipts)
    assert noise_spent([Receipt.of(content, "https://studio")]) == 0  # a sample leaves nothing
