"""A designer with a good key and bad intentions: Flower's own connection to the Fleet API, and anything sent over it."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import numpy as np
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_body,
    get_object_head_values_from_object_content,
    get_object_id,
    get_object_tree,
    get_object_type_from_object_content,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
from flwr.supercore.run import RunNotRunningException
from flwr.supernode.fleet_http_connection import http_request_response

from fedgai import __version__
from fedgai.model import FedGAI

log = logging.getLogger(__name__)

MB = 2**20
PAIRS = 2  # that it says it trained on
POLL = 3.0  # s between two requests for a task, as Flower's own SuperNode waits
RUNNING_MEAN = "body.1.running_mean"  # a BatchNorm tensor of the Discriminator


class HostileDesigner:
    """Answers each round in another way, in a thread.

    Args:
        server: "host:port" of the studio.
        root_certificate: PEM file.
        key: the private key's file.
        model: the checkpoint that the federation started from.
        ways: of the first round, the second, and so on; the last goes on. Names of ``WAYS``, and "honest".
        victim: another designer's node id, for those who speak in somebody else's name.
    Attributes:
        node_id: Flower's, once it is connected.
        attacked: rounds that were answered, in some way, or are being.
        refused: status and reason of every request that was refused.
    """

    def __init__(
        self, server: str, root_certificate: Path, key: Path, model: FedGAI, ways: Sequence[str], victim: int = 0
    ) -> None:
        self.server, self.root, self.ways, self.victim = server, root_certificate, list(ways), victim
        self.model = model
        self.key = load_ssh_private_key(key.read_bytes(), None)
        self.node_id = self.round = 0
        self.refused: list[tuple[int, str]] = []
        self.earlier: RecordDict | None = None  # what it sent when it was honest
        self.config: ConfigRecord = ConfigRecord({})  # that it was asked with last
        self.attacked: list[int] = []  # rounds that it answered in
        self.session, self.delivered, self.trouble = "", 0, list[str]()  # of those against the SuperLink itself
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ends.set()
        self._thread.join(30)

    def _run(self) -> None:
        with http_request_response(self.server, False, self.root.read_bytes(), (self.key, self.key.public_key())) as connection:
            self.node_id, receive, self.send, _, _, pull, self.push, confirm = connection
            while not self._ends.wait(POLL):
                try:
                    if (received := receive()) is None:
                        continue
                    asked = received[0]
                    run, message = asked.metadata.run_id, asked.metadata.message_id
                    if self.ways == ["takes_back"]:
                        self.round += 1
                    else:
                        self.config = asked_config(message, lambda o, run=run: pull(run, o))
                        self.round = int(self.config["round"])
                        time.sleep(1)  # the server writes two objects at a time, the message last
                    confirm(run, message)
                    self.attacked.append(self.round)
                    WAYS[self.way(self.round)](self, asked)
                except RunNotRunningException:  # what Flower's client makes of a 403
                    self.refused.append((403, "not allowed"))
                except httpx.HTTPStatusError as error:
                    self.refused.append((error.response.status_code, error.response.text.strip()))
                except Exception:
                    log.exception("a designer who is hostile met with something")

    def way(self, round_: int) -> str:
        return self.ways[min(round_, len(self.ways)) - 1]

    # -- how it answers --------------------------------------------------------------------------------------------------

    def answer(self, arrays: dict[str, np.ndarray | Array]) -> RecordDict:
        """The three records of an update, otherwise as they should be."""
        designer = {
            "round": self.round,
            "preset": self.model.preset.name,
            "encoder": self.model.encoder_sha256,
            "release": __version__,
        }
        record = ArrayRecord({k: v if isinstance(v, Array) else Array(v) for k, v in arrays.items()})
        return RecordDict(
            {
                "arrays": record,
                "metrics": MetricRecord({"num-examples": PAIRS, "loss-generator": 1.0}),
                "designer": ConfigRecord(designer),
            }
        )

    def update(self, scale: float = 1.0) -> dict[str, np.ndarray]:
        """A step away from what was sent, as training would make it: float16 arrays."""
        rng = np.random.default_rng([self.node_id, self.round])
        found = {}
        for name, tensor in self.model.discriminator.shared().items():
            sent = tensor.double().numpy()
            found[name] = np.clip(sent + scale * rng.normal(0, 1e-3, sent.shape), -6e4, 6e4).astype(np.float16)
        return found

    def deliver(self, content: RecordDict, asked: Message, keep: Callable[[str], bool] = lambda kind: True) -> None:
        """As a SuperNode does it: announce, then push each object; only those whose kind ``keep`` likes."""
        reply = Message(content, reply_to=asked)
        self.deliver_message(reply, keep)

    def deliver_message(self, reply: Message, keep: Callable[[str], bool] = lambda kind: True) -> None:
        with no_object_id_recompute():
            reply.metadata.__dict__["_message_id"] = reply.object_id
            objects, tree = get_all_nested_objects(reply), get_object_tree(reply)
            wanted, session = self.send(reply, tree, 1.0)
            for object_id, item in objects.items():
                if object_id in wanted and keep(type(item).__name__):
                    self.push(reply.metadata.run_id, session, object_id, item.deflate())

    def honest(self, asked: Message) -> None:
        self.earlier = self.answer(self.update())
        self.deliver(self.earlier, asked)

    def _one_number(self, asked: Message, value: float) -> None:
        arrays = self.update()
        next(iter(arrays.values())).flat[0] = value
        self.deliver(self.answer(arrays), asked)

    def not_a_number(self, asked: Message) -> None:
        self._one_number(asked, np.nan)

    def infinity(self, asked: Message) -> None:
        self._one_number(asked, -np.inf)

    def wrong_shape(self, asked: Message) -> None:
        arrays = self.update()
        name = next(iter(arrays))
        self.deliver(self.answer(arrays | {name: arrays[name].reshape(-1, 1)}), asked)

    def extra_tensor(self, asked: Message) -> None:
        self.deliver(self.answer(self.update() | {"backdoor": np.zeros(7, np.float16)}), asked)

    def batchnorm(self, asked: Message) -> None:
        self.deliver(self.answer(self.update() | {RUNNING_MEAN: np.zeros(64, np.float16)}), asked)

    def signature_beyond(self, asked: Message) -> None:
        """A good update, and a signature of numbers that are finite and that no drawing gives."""
        content = self.answer(self.update())
        style = np.full(2 * sum(self.model.preset.channels), 9e3, "<f4")
        content["designer"].update({"style": style.tobytes(), "sketches": 24, "name": "", "description": ""})
        self.deliver(content, asked)

    def too_long(self, asked: Message) -> None:
        """A million times a step's norm."""
        self.deliver(self.answer(self.update(1e6)), asked)

    def garbage_numbers(self, asked: Message) -> None:
        """Random bytes in the place of numpy's."""
        arrays = {
            name: Array("float16", v.shape, "numpy.ndarray", np.random.default_rng(1).bytes(2 * v.size + 128))
            for name, v in self.update().items()
        }
        self.deliver(self.answer(arrays), asked)

    def garbage_objects(self, asked: Message) -> None:
        """Objects with a good head, a good SHA-256 and random bytes inside."""
        reply = Message(RecordDict(), reply_to=asked)
        body = np.random.default_rng(2).bytes(500)
        content = b"Message  %d\x00" % len(body) + body
        assert get_object_body(content, Message) == body
        reply.metadata.__dict__["_message_id"] = object_id = get_object_id(content)
        wanted, session = self.send(reply, ObjectTree(object_id=object_id), 1.0)
        assert object_id in wanted
        self.push(asked.metadata.run_id, session, object_id, content)

    def garbage_request(self, asked: Message) -> None:
        """Random bytes in the place of an announcement."""
        self.post("push-messages", np.random.default_rng(3).bytes(5000))

    def replayed(self, asked: Message) -> None:
        """The numbers of an earlier round, said to be of this one."""
        self.deliver(self.answer(dict(self.earlier["arrays"])), asked)

    def stale(self, asked: Message) -> None:
        """The records of an earlier round, as they were."""
        self.deliver(self.earlier, asked)

    def huge(self, asked: Message) -> None:
        """200 MB: in one request, then as a SuperNode would cut it up."""
        self.post("push-object", bytes(200 * MB))
        weights = np.random.default_rng(4).bytes(200 * MB)
        self.deliver(self.answer(self.update() | {"huge": np.frombuffer(weights, np.float16)}), asked)

    def never_whole(self, asked: Message) -> None:
        """Announced, and all but the arrays delivered."""
        self.deliver(self.answer(self.update()), asked, lambda kind: kind not in ("Array", "ArrayChunk"))

    def as_somebody_else(self, asked: Message) -> None:
        """Sent in order by itself; inside, the victim is named as the sender."""
        reply = Message(self.answer(self.update()), reply_to=asked)
        reply.metadata.__dict__["_src_node_id"] = self.victim
        with no_object_id_recompute():
            reply.metadata.__dict__["_message_id"] = object_id = reply.object_id
            objects, tree = get_all_nested_objects(reply), get_object_tree(reply)
            contents = {name: item.deflate() for name, item in objects.items()}
            reply.metadata.__dict__["_src_node_id"] = self.node_id
            wanted, session = self.send(reply, tree, 1.0)
        for name in sorted(wanted, key=lambda name: name == object_id):
            self.push(asked.metadata.run_id, session, name, contents[name])

    def gives_orders(self, asked: Message) -> None:
        """A round of its own for the victim, in the server's name."""
        arrays = ArrayRecord({name: Array(values) for name, values in self.update(1e6).items()})
        content = RecordDict({"arrays": arrays, "config": ConfigRecord({"round": 99, "epochs": 100})})
        server = Metadata(asked.metadata.run_id, "", asked.metadata.src_node_id, self.victim, "", "", time.time(), 600.0, "train")
        order = make_message(server, content)
        self.deliver_message(order)

    # -- against the SuperLink itself ------------------------------------------------------------------------------------

    def announce(self, asked: Message, tree: ObjectTree) -> set[str]:
        """An answer that consists of what ``tree`` says. Returns what the SuperLink wants of it."""
        reply = Message(RecordDict(), reply_to=asked)
        reply.metadata.__dict__["_message_id"] = tree.object_id
        wanted, self.session = self.send(reply, tree, 1.0)
        return wanted

    def forest(self, asked: Message) -> None:
        """14,500 objects that there are not, in one announcement; again and again, from several connections at once."""

        def plant(seed: int) -> None:
            names = (get_object_id(f"{self.round} {seed} {i}".encode()) for i in range(14_500))
            tree = ObjectTree(object_id=next(names), children=[ObjectTree(object_id=name) for name in names])
            try:
                self.announce(asked, tree)
            except Exception as error:  # refused, or the SuperLink is in trouble
                self.trouble.append(repr(error)[:200])

        planters = [threading.Thread(target=plant, args=(seed,), daemon=True) for seed in range(4)]
        for planter in planters:
            planter.start()
        for planter in planters:
            planter.join(60)

    def false_child(self, asked: Message) -> None:
        """The next round's config record, as this round's lets one tell it, with a child that it will not have."""
        config = ConfigRecord({**self.config, "round": self.round + 1, "server-round": self.round + 1})
        false, root = (get_object_id(f"{self.round} {name}".encode()) for name in ("false", "root"))
        record = ObjectTree(object_id=config.object_id, children=[ObjectTree(object_id=false)])
        self.announce(asked, ObjectTree(object_id=root, children=[record]))

    def orphans(self, asked: Message) -> None:
        """Announced and delivered as fast as the limits let it, without a whole update: for ten seconds."""
        content, number, until = np.random.default_rng(5).bytes(MB // 2), 0, time.monotonic() + 10
        while time.monotonic() < until:
            number += 1
            body = f"{number}".encode() + content
            data = b"ArrayChunk  %d\x00" % len(body) + body
            root, name = get_object_id(f"{self.round} {number}".encode()), get_object_id(data)
            try:
                if name in self.announce(asked, ObjectTree(object_id=root, children=[ObjectTree(object_id=name)])):
                    self.push(asked.metadata.run_id, self.session, name, data)
                    self.delivered += len(data)
            except Exception as error:
                self.trouble.append(repr(error)[:200])
                time.sleep(0.2)

    def takes_back(self, asked: Message) -> None:
        """Its question was confirmed while the server was still writing it; then an answer all the same."""
        self.not_a_number(asked)

    def post(self, call: str, content: bytes) -> None:
        """One signed request of one's own making."""
        timestamp = now().isoformat()
        headers = {
            "flwr-public-key": b64encode(public_key_to_bytes(self.key.public_key())).decode(),
            "flwr-signature": b64encode(sign_message(self.key, timestamp.encode())).decode(),
            "flwr-timestamp": timestamp,
            "content-type": "application/protobuf",
        }
        trust = ssl.create_default_context(cafile=str(self.root))
        answer = httpx.post(
            f"https://{self.server}/v1/fleet/{call}", content=content, headers=headers, verify=trust, timeout=60, trust_env=False
        )
        if answer.status_code != 200:
            self.refused.append((answer.status_code, answer.text.strip()))


def asked_config(message: str, pull: Callable[[str], bytes]) -> ConfigRecord:
    """What a message asks: its records are fetched once they are there, its arrays, of no interest to it, are not."""

    def fetch(object_id: str) -> bytes:
        return pull_objects([object_id], pull)[object_id]

    def children(content: bytes) -> list[str]:
        return get_object_head_values_from_object_content(content)[1]

    records = [fetch(record) for (content,) in [children(fetch(message))] for record in children(fetch(content))]
    (config,) = [r for r in records if get_object_type_from_object_content(r) == "ConfigRecord"]
    return ConfigRecord.inflate(config)


WAYS: dict[str, Callable[[HostileDesigner, Message], None]] = {
    way.__name__: way
    for way in (
        HostileDesigner.honest,
        HostileDesigner.not_a_number,
        HostileDesigner.infinity,
        HostileDesigner.wrong_shape,
        HostileDesigner.extra_tensor,
        HostileDesigner.batchnorm,
        HostileDesigner.signature_beyond,
        HostileDesigner.too_long,
        HostileDesigner.garbage_numbers,
        HostileDesigner.garbage_objects,
        HostileDesigner.garbage_request,
        HostileDesigner.replayed,
        HostileDesigner.stale,
        HostileDesigner.huge,
        HostileDesigner.never_whole,
        HostileDesigner.as_somebody_else,
        HostileDesigner.gives_orders,
        HostileDesigner.takes_back,
        HostileDesigner.forest,
        HostileDesigner.false_child,
        HostileDesigner.orphans,
    )
}
