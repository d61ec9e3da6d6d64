"""The companion's proxy in front of a studio that misbehaves, and the receipts of what passes through it."""

from __future__ import annotations

import hashlib
import json
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import fork_server
from helpers.studio_server import PATIENCE

pytest.importorskip("flwr")

from fastapi import FastAPI
from flwr.app import Array, ArrayRecord, Error
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.fab_pb2 import Fab, GetFabResponse
from flwr.proto.fleet_pb2 import ActivateNodeResponse, PushMessagesRequest, PushMessagesResponse
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from helpers.dummy_app import PROJECT
from helpers.fleet import HASH, PROGRAM, SESSION, STYLE, Node, Studio, proto, reply, update
from helpers.waiting import until
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse

from federation.designer import supernode
from federation.designer.notices import Notice
from federation.designer.proxy import Proxy
from federation.designer.receipt import BEGAN, SENT, Receipt, read_all
from federation.designer.receipt_page import page, table
from federation.designer.supernode import SuperNode
from federation.designer.upstream import MOST
from federation.identity import make_key
from federation.operator import approve
from federation.server import superlink_process
from federation.server.folder import Folder
from federation.server.gateway import gateway
from federation.server.host import Host


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever way out this machine has, the stand-in is on it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path / "studio")
    yield studio
    studio.stop()


@pytest.fixture
def notices() -> list[Notice]:
    return []


@pytest.fixture
def proxy(studio: Studio, tmp_path: Path, notices: list[Notice]) -> Iterator[Proxy]:
    with Proxy(
        studio.url, tmp_path / "home", HASH, root_certificate=studio.certificate, timeout=60, on_notice=notices.append
    ) as proxy:
        yield proxy


@pytest.fixture
def node(proxy: Proxy) -> Iterator[Node]:
    node = Node(proxy)
    yield node
    node.client.close()


# -- what passes -------------------------------------------------------------------------------------------------------


def test_forwards_what_a_supernode_asks_and_nothing_else(studio: Studio, proxy: Proxy, node: Node, notices: list[Notice]) -> None:
    assert proxy.notice.state == "starting"
    answer = node.ask("activate-node", b"body", **{"flwr-signature": "abc", "cookie": "secret", "x-mine": "secret"})
    assert ActivateNodeResponse.FromString(answer.content).node_id == 7
    node.ask("pull-messages")
    assert notices == [proxy.notice] and proxy.notice.state == "online"  # once, though two answers were good
    path, headers, body = studio.asked[0]
    assert (path, headers["flwr-signature"], body) == ("/v1/fleet/activate-node", "abc", b"body")
    assert not {"cookie", "x-mine", "user-agent"} & headers.keys()
    assert proxy.upstream.sent == 4 and proxy.upstream.received == len(answer.content)
    for path in (
        "/v1/control/start-run",
        "/v1/fleet/",
        "/v1/fleet/activate-node/",
        "/v1/fleet/activate-node?a=b",
        "/",
        "/v1/fleet/%61ctivate-node",
        "/federation/status",
        "/v1/fleet/pull-messages-x",
    ):
        assert node.client.post(path).status_code == 404, path
    assert node.client.get("/v1/fleet/activate-node").status_code == 404
    assert len(studio.asked) == 2


def test_listens_on_loopback_with_a_certificate_of_its_own(proxy: Proxy, studio: Studio, tmp_path: Path) -> None:
    assert proxy.address.startswith("127.0.0.1:") and proxy.certificate.read_bytes() != studio.certificate.read_bytes()
    assert (tmp_path / "home" / "proxy" / "server.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ValueError, match="https"):
        Proxy("http://studio", tmp_path, HASH)
    proxy.stop()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(proxy.address.split(":")[1])), 1)


def test_the_program_of_the_release_passes(proxy: Proxy, node: Node) -> None:
    assert GetFabResponse.FromString(node.ask("get-fab").content).fab.content == PROGRAM


def changed(byte: int, hash_str: str | None = None) -> GetFabResponse:
    content = bytearray(PROGRAM)
    content[byte] ^= 1
    return GetFabResponse(fab=Fab(hash_str=hash_str or hashlib.sha256(content).hexdigest(), content=bytes(content)))


@pytest.mark.parametrize(
    "answer",
    [changed(3), changed(3, HASH), GetFabResponse(fab=Fab(hash_str="0" * 64, content=PROGRAM))],
    ids=["other program", "other program, same name", "same program, other name"],
)
def test_another_program_is_refused_for_good(
    studio: Studio, proxy: Proxy, node: Node, answer: GetFabResponse, notices: list[Notice]
) -> None:
    studio.answer = lambda call: proto(answer)
    response = node.ask("get-fab")
    assert response.status_code == 403 and PROGRAM[4:] not in response.content
    assert proxy.notice.state == "refused" and "nothing of it was run" in proxy.notice.text
    assert HASH[:12] in proxy.notice.text and hashlib.sha256(answer.fab.content).hexdigest()[:12] in proxy.notice.text
    studio.answer = None
    asked = len(studio.asked)
    assert [node.ask(call).status_code for call in ("get-fab", "pull-messages", "send-node-heartbeat")] == [403] * 3
    assert len(studio.asked) == asked and notices[-1].state == "refused"


def test_no_program_is_no_other_program(studio: Studio, proxy: Proxy, node: Node) -> None:
    studio.answer = lambda call: Response(b"", 200)
    assert node.ask("get-fab").status_code == 503 and proxy.notice.state == "error"


# -- a studio in trouble -----------------------------------------------------------------------------------------------


async def endless():
    for _ in range(MOST // 2**20 + 2):
        yield bytes(2**20)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (lambda: PlainTextResponse("the key is not registered", 401), "waiting", "operator has to approve"),
        (lambda: PlainTextResponse("the clock of Ada is 400 s behind", 401), "waiting", "clock"),
        (lambda: HTMLResponse("<html>Building</html>", 503), "waking", "waking up"),
        (lambda: HTMLResponse("<html>sleeping</html>", 200), "waking", "web page"),
        (lambda: HTMLResponse("<html>404</html>", 404), "waking", "address"),
        (lambda: PlainTextResponse("", 502), "waking", "waking up"),
        (lambda: PlainTextResponse("", 504), "waking", "waking up"),
        (lambda: PlainTextResponse("", 429), "away", "busy"),
        (lambda: PlainTextResponse("", 500), "error", "500"),
        (lambda: Response(b"\xff\xff\xff", 200), "error", "cannot be read"),
        (lambda: RedirectResponse("https://elsewhere.example/v1\x1b[2J", 307), "redirect", "https://elsewhere.example/v1"),
        (lambda: StreamingResponse(endless()), "error", "64 MB"),
    ],
    ids=[
        "not approved",
        "clock",
        "HTML 503",
        "HTML 200",
        "HTML 404",
        "502",
        "504",
        "429",
        "500",
        "no protobuf",
        "redirect",
        "huge",
    ],
)
def test_a_supernode_is_told_to_wait(
    studio: Studio, proxy: Proxy, node: Node, answer: Callable[[], Response], state: str, words: str
) -> None:
    studio.answer = lambda call: answer()
    response = node.ask("pull-messages")
    assert (response.status_code, proxy.notice.state) == (503, state)
    assert words in proxy.notice.text and proxy.notice.text.isprintable()
    assert len(studio.asked) == 1
    studio.answer = None
    assert node.ask("pull-messages").status_code == 200 and proxy.notice.state == "online"


def test_a_key_that_was_revoked(studio: Studio, proxy: Proxy, node: Node) -> None:
    node.ask("pull-messages")
    studio.answer = lambda call: PlainTextResponse("", 401)
    assert node.ask("send-node-heartbeat").status_code == 503
    assert proxy.notice.state == "waiting" and "revoked" in proxy.notice.text


def test_errors_about_one_call_pass(studio: Studio, proxy: Proxy, node: Node) -> None:
    """A run that is over (403): the SuperNode drops the message and goes on."""
    studio.answer = lambda call: PlainTextResponse("over", 403)
    assert (node.ask("get-run").status_code, proxy.notice.state) == (403, "starting")


def test_a_studio_that_hangs_or_is_gone(studio: Studio, proxy: Proxy, node: Node) -> None:
    studio.delay, proxy.upstream.timeout = 20, 0.5
    assert (node.ask("pull-messages").status_code, proxy.notice.state) == (503, "away")
    assert "does not answer" in proxy.notice.text
    studio.stop()
    sent = proxy.upstream.sent
    assert node.ask("pull-messages", b"body").status_code == 503 and "cannot be reached" in proxy.notice.text
    assert proxy.upstream.sent == sent  # nobody took it


def test_a_certificate_of_somebody_else(studio: Studio, proxy: Proxy, tmp_path: Path) -> None:
    for trusted in (proxy.certificate, None):  # another authority's; the system's
        with Proxy(studio.url, tmp_path / "other", HASH, root_certificate=trusted, timeout=60) as other:
            assert Node(other).ask("activate-node", b"body").status_code == 503
            assert other.notice.state == "certificate" and other.upstream.sent == 0
    assert not studio.asked


# -- what leaves -------------------------------------------------------------------------------------------------------


def test_an_update_leaves_a_receipt(studio: Studio, proxy: Proxy, node: Node, tmp_path: Path) -> None:
    content = update()
    assert set(node.push(reply(content))) == {200}
    (receipt,) = read_all(tmp_path / "home" / "receipts")
    assert (receipt.round, receipt.server) == (3, studio.url)
    assert receipt.tensors == Receipt.of(content, "").tensors
    pushed = [body for path, _, body in studio.asked if "/push-" in path]
    assert receipt.wire_bytes == sum(map(len, pushed)) == proxy.upstream.sent
    assert receipt.bytes == sum(r.count_bytes() for r in content.values())
    assert [file.name for file in (tmp_path / "home" / "receipts").iterdir()] == ["round-0003.json"]


def test_what_the_server_has_already_is_in_the_receipt_and_not_sent(studio: Studio, node: Node, tmp_path: Path) -> None:
    message = reply(update())
    objects = get_all_nested_objects(message)
    studio.has = {next(iter(objects))}
    assert node.push(message) == [200] * (len(objects) + 1)
    bodies = [body for path, _, body in studio.asked if path.endswith("push-object")]
    pushed = [PushObjectRequest.FromString(body).object_id for body in bodies]
    assert set(pushed) == objects.keys() - {next(iter(objects))}
    assert len(read_all(tmp_path / "home" / "receipts")[0].tensors) == 2


def test_a_push_that_is_made_again_has_one_receipt(studio: Studio, proxy: Proxy, node: Node, tmp_path: Path) -> None:
    message = reply(update())
    studio.answer = lambda call: (
        PlainTextResponse("", 503)
        if call == "push-object"
        else proto(PushMessagesResponse(objects_to_push=get_all_nested_objects(message), session_id=SESSION))
    )
    assert 503 in node.push(message)
    assert [receipt.state for receipt in read_all(tmp_path / "home" / "receipts")] == [BEGAN]
    studio.answer = None
    for _ in range(2):
        assert set(node.push(message)) == {200}
    (receipt,) = read_all(tmp_path / "home" / "receipts")
    pushed = [body for path, _, body in studio.asked if "/push-" in path]
    assert receipt.state == SENT
    assert receipt.wire_bytes == sum(map(len, pushed)) - len(pushed[-1])  # what was tried in vain, too; not the last question


def test_beyond_the_budget_nothing_goes_out(studio: Studio, proxy: Proxy, node: Node, tmp_path: Path) -> None:
    proxy.outbox.budget = 2500
    message = reply(update())
    statuses = node.push(message)
    assert statuses[0] == 200 and statuses[1] == 200 and statuses[-1] == 413  # the message itself is never sent
    stopped = statuses.index(413)
    assert set(statuses[stopped:]) == {413}
    pushed = [PushObjectRequest.FromString(body) for path, _, body in studio.asked if path.endswith("push-object")]
    assert sum(len(p.object_content) for p in pushed) < proxy.outbox.budget and message.object_id not in studio.has
    assert proxy.notice.state == "budget" and "2,500" in proxy.notice.text
    node.ask("pull-messages")
    assert proxy.notice.state == "budget"  # a designer should see that, until the next update
    assert set(node.push(message)) == {413}
    assert not read_all(tmp_path / "home" / "receipts")
    proxy.outbox.budget = 2**20
    assert set(node.push(reply(update(4)))) == {200} and proxy.notice.state == "online"


def test_objects_are_what_they_are_called(studio: Studio, proxy: Proxy, node: Node) -> None:
    message = reply(update())
    objects = get_all_nested_objects(message)
    name, item = next(iter(objects.items()))
    assert node.object(name, item.deflate()) == 400  # nothing was announced
    studio.answer = lambda call: proto(PushMessagesResponse(objects_to_push=list(objects), session_id=SESSION))
    announced = PushMessagesRequest(
        messages_list=[message_to_proto(remove_content_from_message(message))], message_object_trees=[get_object_tree(message)]
    )
    assert node.ask("push-messages", announced.SerializeToString()).status_code == 200
    studio.answer = None
    asked = len(studio.asked)
    custom = b"Photograph  3\0abc"
    for pushed, content in ((name, item.deflate() + b"x"), (name, b"a photograph"), ("f" * 64, item.deflate())):
        assert node.object(pushed, content) == 400
    assert node.object(name, item.deflate(), "another session") == 400
    announced.message_object_trees[0].children.add(object_id=hashlib.sha256(custom).hexdigest())
    assert node.ask("push-messages", announced.SerializeToString()).status_code == 200
    assert node.object(hashlib.sha256(custom).hexdigest(), custom) == 400
    assert len(studio.asked) == asked + 1
    announced.messages_list[0].content.items.add(key="photograph")
    assert node.ask("push-messages", announced.SerializeToString()).status_code == 400  # objects only
    assert node.ask("push-messages", b"\xff\xff").status_code == 400
    assert len(studio.asked) == asked + 1


def test_a_refusal_has_no_receipt(studio: Studio, proxy: Proxy, node: Node, tmp_path: Path) -> None:
    assert set(node.push(reply(Error(1, "this machine has another release")))) == {200}
    assert not (tmp_path / "home" / "receipts").exists()


def test_logs_say_nothing_private(studio: Studio, proxy: Proxy, node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "fedgai")
    node.push(reply(update(name="Ada Lovelace")))
    (proxy.receipts / "round-0004.json").mkdir()  # in the way
    node.push(reply(update(5)))
    studio.answer = lambda call: PlainTextResponse("a secret", 500)
    node.ask("pull-messages", b"another secret", **{"flwr-public-key": "ABCD"})
    logged = "\n".join(r.getMessage() for r in caplog.records)
    assert "error" in logged and not any(word in logged for word in ("Ada", "secret", "ABCD", "layers"))


# -- receipts ----------------------------------------------------------------------------------------------------------


def test_a_receipt_has_the_hashes_of_what_was_sent() -> None:
    content = update()
    receipt = Receipt.of(content, "https://studio")
    weight = content["arrays"]["layers.0.weight"].numpy()
    row = receipt.tensors[0]
    assert (row.name, row.shape, row.dtype, row.bytes) == ("layers.0.weight", (4, 3, 2), "float16", 48)
    assert row.sha256 == hashlib.sha256(weight.astype("<f2").tobytes()).hexdigest()
    assert receipt.signature == {"bytes": 32, "sha256": hashlib.sha256(STYLE).hexdigest()}
    assert receipt.values["name"] == "Ada" and "style" not in receipt.values and "round" not in receipt.values
    assert receipt.metrics["num-examples"] == 12 and receipt.epsilon is None and "No noise" in receipt.meaning
    content["metrics"]["epsilon"] = 4.0
    assert Receipt.of(content, "").epsilon == 4 and "epsilon 4 " in Receipt.of(content, "").meaning


def test_a_receipt_of_a_hand_without_a_description() -> None:
    assert Receipt.of(update(description=""), "").values["description"] == ""


def test_a_receipt_names_what_should_not_be_there() -> None:
    content = update(thumbnail=b"JPEG")
    content["generator"] = ArrayRecord({"weight": Array(np.zeros(3, np.float32))})
    receipt = Receipt.of(content, "")
    assert receipt.tensors[-1].name == "generator.weight"
    assert receipt.values["thumbnail"]["sha256"] == hashlib.sha256(b"JPEG").hexdigest()


def test_receipts_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = [Receipt.of(update(n), "https://studio", SENT).save(tmp_path) for n in (12, 3, 3)]
    assert [f.name for f in files] == ["round-0012.json", "round-0003.json", "round-0003-2.json"]
    (tmp_path / "round-0004.json").write_text('{"round": 4')
    (tmp_path / "round-0005.json").write_text("[]")
    (tmp_path / "round-0006.json").write_text(json.dumps(json.loads(files[0].read_text()) | {"values": 3}))
    receipts = read_all(tmp_path)
    assert [r.round for r in receipts] == [3, 3, 12] and receipts[2].tensors == Receipt.of(update(12), "").tensors
    assert all(f"round-000{n}.json" in caplog.text for n in (4, 5, 6))
    assert read_all(tmp_path / "none") == []
    text = table(receipts)
    assert text.count("Round 3\n") == 2 and "layers.0.weight" in text and receipts[0].tensors[0].sha256[:16] in text


def test_the_page_shows_nothing_but_text() -> None:
    hostile = '<script>alert(1)</script><img src=x onerror="y">'
    receipt = Receipt.of(update(name=hostile, description="\x1b[2J & <b>"), f"https://{hostile}", SENT)
    shown = page([receipt])
    assert "<script" not in shown and "<img" not in shown and "&lt;script&gt;" in shown and "<b>" not in shown
    assert receipt.tensors[0].sha256 in shown and receipt.signature["sha256"] in shown
    words = ("No photograph", "BatchNorm", "Generator", "file or folder", "hashlib.sha256")
    assert all(word in shown for word in words)
    assert "http-equiv" in shown and "src=x" not in shown.replace("&lt;img src=x", "")
    assert "\x1b" not in table([receipt])
    assert "Nothing was sent yet" in page([])


# -- with Flower's real processes --------------------------------------------------------------------------------------

# an answer that is not whole is waited for by Flower for minutes: meanwhile everybody is asked again
ASKS_AGAIN = """
import json, os, queue, threading
from pathlib import Path
from flwr.app import Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()

@app.main()
def main(grid, context):
    checkpoints = Path(os.environ["FEDGAI_HOME"]) / "checkpoints"
    answers = queue.Queue()

    def ask(nodes):
        messages = [Message(RecordDict(), dst_node_id=node, message_type="train") for node in nodes]
        for reply in grid.send_and_receive(messages, timeout=600):
            if reply.has_content():
                answers.put(reply)

    number = 0
    while number < context.run_config["rounds"]:
        threading.Thread(target=ask, args=[list(grid.get_node_ids())], daemon=True).start()
        try:
            answers.get(timeout=8)
        except queue.Empty:
            continue
        number += 1
        new = checkpoints / f".{number:04d}"
        new.mkdir(exist_ok=True)
        (new / "config.json").write_text("{}")
        (new / "report.json").write_text(json.dumps({"round": number}))
        os.replace(new, checkpoints / f"{number:04d}")
"""
SENDS = """
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
app = ClientApp()

@app.train()
def train(message, context):
    arrays = ArrayRecord({"a": Array(np.arange(6, dtype=np.float16)), "b": Array(np.zeros((2, 3), np.float16))})
    about = ConfigRecord({"round": 1, "preset": "small", "style": bytes(32)})
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 2}), "designer": about})
    return Message(content, reply_to=message)
"""


@pytest.fixture
def quick_start() -> Iterator[None]:
    """Flower's processes start without importing Flower again."""
    with fork_server.forked(superlink_process, "studio"), fork_server.forked(supernode, "designer"):
        yield


def test_a_real_supernode_through_it(tmp_path: Path, quick_start: None) -> None:
    """It waits to be approved; runs nothing of another program; goes on after one beyond the budget; then sends."""
    app = tmp_path / "app"
    (app / "dummy").mkdir(parents=True)
    (app / "pyproject.toml").write_text(PROJECT)
    for name, text in (("__init__", ""), ("server", ASKS_AGAIN), ("client", SENDS)):
        (app / "dummy" / f"{name}.py").write_text(text)
    folder = Folder(tmp_path / "federation")
    folder.checkpoint(0).mkdir()
    (folder.checkpoint(0) / "config.json").write_text("{}")
    host = Host(folder, app=app, run_config={"rounds": 10000, "min-designers": 1})
    api = FastAPI()
    up = host.ready.is_set
    api.include_router(gateway(folder, lambda: (host.superlink_address, host.certificate) if up() else None))
    studio = Studio(tmp_path / "studio", api)
    home, key = tmp_path / "home", make_key(tmp_path / "key")
    node = None
    try:
        host.start()
        assert host.ready.wait(PATIENCE)
        with Proxy(studio.url, home, "0" * 64, root_certificate=studio.certificate) as proxy:
            node = SuperNode(tmp_path / "node", proxy.address, tmp_path / "key", {"a": 1}, proxy.certificate)
            until(lambda: proxy.notice.state == "waiting", proxy.notice)
            approve(folder, key, "Ada")
            until(lambda: proxy.notice.state == "refused", proxy.notice)
            assert folder.read("app.json", {})["fab_hash"][:12] in proxy.notice.text
            node.stop()
        assert not proxy.receipts.exists() and folder.rounds()[-1] == 0
        with Proxy(
            studio.url, home, folder.read("app.json", {})["fab_hash"], root_certificate=studio.certificate, budget=1500
        ) as proxy:
            node = SuperNode(tmp_path / "node", proxy.address, tmp_path / "key", {"a": 1}, proxy.certificate)
            until(lambda: proxy.notice.state == "budget", "an update that is too large")
            assert not proxy.receipts.exists()
            proxy.outbox.budget = 2**20
            until(lambda: read_all(proxy.receipts), "the next one")
            until(lambda: folder.rounds()[-1] > 0, "the server has it")
            assert node.process.poll() is None
            node.stop()
        receipt = read_all(proxy.receipts)[0]
        assert [(r.name, r.sha256) for r in receipt.tensors] == [
            ("a", hashlib.sha256(np.arange(6, dtype="<f2").tobytes()).hexdigest()),
            ("b", hashlib.sha256(bytes(12)).hexdigest()),
        ]
        assert receipt.wire_bytes > receipt.bytes
        assert receipt.signature["sha256"] == hashlib.sha256(bytes(32)).hexdigest()
    finally:
        if node:
            node.stop()
        host.stop()
        studio.stop()
