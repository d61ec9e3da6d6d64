"""Updates on their way out. An update is held here until all of it has come; only then does it leave.

A SuperNode (flwr 1.42) sends an update in this order: push-messages, with the message's metadata and the SHA-256 of each object
that it consists of, but neither their contents nor their sizes; then, two at a time, one push-object for each: chunks of an
array (5 MB at most) before the array, arrays before their record, and the message itself at the end.

So the proxy takes the objects one by one and answers "stored" to the SuperNode, but sends none of them. When it has the last one,
and all of them fit into the budget, it reads the update, writes its receipt, and only then sends everything. If an update is too
large or cannot be read, or its receipt cannot be written, nothing leaves.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from flwr.app import Message
from flwr.proto import fleet_pb2, message_pb2

from federation.designer.flower_objects import (
    UnexpectedObjectContentError,
    get_object_id,
    get_object_type_from_object_content,
    inflate_object_from_contents,
    iterate_object_tree,
    validate_object_content,
)
from federation.designer.notices import Notices
from federation.designer.receipt import BEGAN, Receipt
from federation.wire import CallRefusedError

KINDS = frozenset({"ArrayChunk", "Array", "ArrayRecord", "MetricRecord", "ConfigRecord", "RecordDict", "Message"})
"""Flower's objects that an update consists of."""

REMEMBERED = 2  # messages on their way out: a SuperNode has one
FRESH = 240.0  # s: an older signature may expire on its way (the gateway accepts it for 305 s)


@dataclass
class Outgoing:
    """A message on its way out.

    Attributes:
        ids: of all its objects, parts first; the last is the message's own.
        session: the id that the server gave this push.
        wanted: ids that the server says it does not have.
        requests: the SuperNode's push-object requests, by id. They fit into the budget, which limits the memory.
        signatures: headers of requests that were not forwarded, each with the time it was made (monotonic, s). The gateway
            accepts a signature only once.
        confirmed: ids that the server has now.
        counted: ids whose contents count in the budget already; a second try counts once.
        used, wire: bytes that count in the budget; bytes of bodies that went out.
        over: whether it is larger than the budget.
        file, receipt: its receipt, once it begins to leave.
        sending: held by the request that sends it.
    """

    ids: tuple[str, ...]
    session: str = ""
    wanted: set[str] = field(default_factory=set)
    requests: dict[str, bytes] = field(default_factory=dict)
    signatures: list[tuple[float, dict[str, str]]] = field(default_factory=list)
    confirmed: set[str] = field(default_factory=set)
    counted: set[str] = field(default_factory=set)
    used: int = 0
    wire: int = 0
    over: bool = False
    file: Path | None = None
    receipt: Receipt | None = None
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def root(self) -> str:
        return self.ids[-1]

    @property
    def whole(self) -> bool:
        """Whether all of it is here."""
        return self.done or len(self.requests) == len(self.ids)

    @property
    def done(self) -> bool:
        """Whether the server has all of it."""
        return self.confirmed >= set(self.ids)

    def missing(self) -> list[str]:
        """Ids to ask the SuperNode for: objects that are missing, or else the message itself, so that it goes on sending."""
        absent = [name for name in self.ids if name not in self.requests]
        return absent or [self.root]

    def asked_again(self, session: str) -> None:
        """The server gave this push a new session: requests with the old one would be refused."""
        if session != self.session:
            self.requests.clear()
        self.session = session

    def signature(self) -> dict[str, str]:
        """Headers with a signature that was not used yet. Raises CallRefusedError if the SuperNode has to sign again."""
        while self.signatures:
            when, headers = self.signatures.pop()
            if time.monotonic() - when < FRESH:
                return headers
        raise CallRefusedError(503, "sign again: the update goes on from here")


class Outbox:
    """Takes updates from the SuperNode, checks them, and writes their receipts.

    Args:
        receipts: their folder.
        server: address that receipts name.
        budget: bytes that one update may have.
        notices: where the designer reads what is wrong.
    """

    def __init__(self, receipts: Path, server: str, budget: int, notices: Notices) -> None:
        self.receipts, self.server, self.budget, self.notices = receipts, server, budget, notices
        self._updates: OrderedDict[str, Outgoing] = OrderedDict()  # by root

    def announce(self, request: fleet_pb2.PushMessagesRequest, size: int) -> Outgoing:
        """What the SuperNode is about to send. Raises CallRefusedError."""
        if (
            len(request.messages_list) != 1
            or len(request.message_object_trees) != 1
            or request.messages_list[0].content.ByteSize()
        ):  # flwr 1.42 sends contents as objects only
            raise CallRefusedError(400, "this is not how a SuperNode sends a message")
        ids = tuple(dict.fromkeys(node.object_id for node in iterate_object_tree(request.message_object_trees[0])))
        update = self._updates.pop(ids[-1], None)  # the same one again: its answer was lost
        again = update is not None and update.ids == ids
        if update is None or not again:
            update = Outgoing(ids)
        self._spend(update, 0 if again else size)
        self._updates[update.root] = update
        while len(self._updates) > REMEMBERED:
            self._updates.popitem(last=False)
        return update

    def hold(self, request: message_pb2.PushObjectRequest, body: bytes, headers: dict[str, str]) -> tuple[Outgoing, str]:
        """Take an object: (what it is part of, its id). Raises CallRefusedError."""
        name, content = request.object_id, request.object_content
        found = [u for u in self._updates.values() if u.session == request.session_id and name in u.ids]
        if not found:
            raise CallRefusedError(400, "this object belongs to no message that was announced")
        update = found[-1]
        try:
            validate_object_content(content)
            good = get_object_id(content) == name and get_object_type_from_object_content(content) in KINDS
        except (UnexpectedObjectContentError, ValueError):
            good = False
        if not good:
            raise self.notices.trouble("error", "a part of an update does not match its checksum: it was not sent", 400)
        if update.done:
            return update, name
        if name not in update.counted:
            self._spend(update, len(content))
            update.counted.add(name)
        update.requests[name] = body
        update.signatures.append((time.monotonic(), headers))
        return update, name

    def begin(self, update: Outgoing) -> None:
        """Write the receipt before anything leaves. Raises CallRefusedError if it cannot be written: then nothing may leave."""
        contents = {name: message_pb2.PushObjectRequest.FromString(body).object_content for name, body in update.requests.items()}
        try:
            message = inflate_object_from_contents(update.root, contents)
            if not isinstance(message, Message):
                raise TypeError
            receipt = Receipt.of(message.content, self.server, BEGAN) if message.has_content() else None
        except Exception:  # a parser's; its text may quote what was to be sent
            raise self.notices.trouble("error", "an update has a part that cannot be read: it was not sent", 400) from None
        if receipt is None:  # this machine answers with a refusal
            return
        try:
            update.file = receipt.save(self.receipts)
        except OSError as error:
            raise self.notices.trouble(
                "error",
                f"the receipt of an update cannot be written to {self.receipts} "
                f"({error.strerror}), so nothing is sent: make room on that disk",
            ) from None
        update.receipt = receipt

    def finish(self, update: Outgoing) -> None:
        """Complete the receipt: how much has left, and whether the server confirmed it. If it cannot be written, nothing else
        changes, because the update has already left."""
        if update.done:
            update.requests.clear()
            update.signatures.clear()
        if update.receipt is None or update.file is None:
            return
        update.receipt = update.receipt.updated(update.wire, update.done)
        try:
            update.receipt.write(update.file)
        except OSError as error:  # it says "began", which is true
            self.notices.show(
                "error",
                f"the receipt of an update cannot be completed ({error.strerror}): it still says that the update began to leave",
            )

    def _spend(self, update: Outgoing, size: int) -> None:
        """Count ``size`` bytes against the budget. Raises CallRefusedError: 413, after which a SuperNode drops the message."""
        if update.over or update.used + size > self.budget:
            update.over = True
            update.requests.clear()
            raise self.notices.trouble(
                "budget",
                f"an update is larger than the {self.budget:,} bytes that you allow for a round: nothing of it was sent. To "
                "send updates of this size, raise the limit",
                413,
            )
        update.used += size
