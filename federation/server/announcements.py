"""Checks what a member sends to the SuperLink: one answer to each question, with the size of an update.

A SuperNode (flwr 1.42) is asked by pull-messages, and answers in two steps: push-messages announces the answer, a message
that consists of objects named by their SHA-256, as a tree; push-object sends each object. By itself the SuperLink accepts any
announcement of a member: a tree of any size (each object costs it two statements, under SQLite's one lock), an answer that
nobody asked for, a message in the server's name, an object that somebody else will send, with other children. So each
announcement is compared here with what was asked, and each object with what was announced.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flwr.proto.fleet_pb2 import PullMessagesResponse, PushMessagesRequest, PushMessagesResponse
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree, PushObjectRequest

from federation.wire import CallRefusedError, UpdateSize

QUESTIONS = 4  # of one member that are remembered; a SuperNode works on one at a time
ANSWERS = 2  # different ones that are accepted to one question: a SuperNode that was restarted may answer again
SPARE = 8  # objects more than an update has: one with too many tensors still arrives, and its designer reads why it is refused
OBJECT_ID = re.compile(r"[0-9a-f]{64}")

Children = dict[str, tuple[str, ...]]


@dataclass
class PulledMessage:
    """A message that a member pulled.

    Attributes:
        run_id, asker: of the message.
        objects: what it consists of: object -> its children.
        answers: roots of the trees that were announced as its answer.
    """

    run_id: int
    asker: int
    objects: Children
    answers: set[str] = field(default_factory=set)


@dataclass
class Announcement:
    """An answer on its way in.

    Attributes:
        question: that it answers.
        root: the message's own object.
        objects: object -> its children.
        sent: objects that arrived.
        left: bytes that may still arrive.
    """

    question: PulledMessage
    root: str
    objects: Children
    left: int
    sent: set[str] = field(default_factory=set)


class MemberExchange:
    """The questions and answers of one member. Each method raises CallRefusedError for what a real SuperNode never sends.

    Args:
        name: of the member, for errors.
        node_id: Flower's number of the member.
        size: of an update, at most.
    """

    def __init__(self, name: str, node_id: int, size: UpdateSize) -> None:
        self.name, self.node_id, self.size = name, node_id, size
        self._announcing = False
        self._questions: OrderedDict[str, PulledMessage] = OrderedDict()  # by message id
        self._announced: OrderedDict[str, Announcement] = OrderedDict()  # by the SuperLink's session

    @contextmanager
    def announcing(self) -> Iterator[None]:
        """Hold this during a push-messages: one at a time."""
        if self._announcing:
            raise CallRefusedError(503, f"{self.name} announces two answers at the same time", 1)
        self._announcing = True
        try:
            yield
        finally:
            self._announcing = False

    def pulled(self, response: PullMessagesResponse) -> None:
        """Remember what was asked, from the SuperLink's answer to pull-messages."""
        for message, tree in zip(response.messages_list, response.message_object_trees, strict=False):
            known = self._questions.pop(message.metadata.message_id, None)
            asked = PulledMessage(message.metadata.run_id, message.metadata.src_node_id, _children(tree))
            self._questions[message.metadata.message_id] = known or asked
        while len(self._questions) > QUESTIONS:
            self._questions.popitem(last=False)

    def confirm(self, request: ConfirmMessageReceivedRequest) -> None:
        """Check a confirm-message-received: after it, the SuperLink deletes the message."""
        if request.message_object_id not in self._questions:
            raise CallRefusedError(403, f"{self.name} confirms a message that they were not sent")

    def announce(self, request: PushMessagesRequest) -> Announcement:
        """Check a push-messages."""
        messages, trees = request.messages_list, request.message_object_trees
        if len(messages) != 1 or len(trees) != 1 or messages[0].content.ByteSize():
            raise CallRefusedError(403, f"{self.name} announces something other than one answer")
        metadata, tree = messages[0].metadata, trees[0]
        question = self._questions.get(metadata.reply_to_message_id)
        if question is None or metadata.src_node_id != self.node_id or metadata.dst_node_id != question.asker:
            raise CallRefusedError(403, f"{self.name} announces something other than an answer of their own")
        if metadata.run_id != question.run_id or tree.object_id != metadata.message_id:
            raise CallRefusedError(403, f"{self.name} announces an answer that does not fit its question")
        objects = self._objects(tree)
        if tree.object_id not in question.answers and len(question.answers) >= ANSWERS:
            raise CallRefusedError(403, f"{self.name} has answered already")
        return Announcement(question, tree.object_id, objects, self.size.bytes + SPARE * self.size.largest)

    def announced(self, announcement: Announcement, response: PushMessagesResponse) -> None:
        """Remember an announcement that the SuperLink took."""
        question = announcement.question
        question.answers.add(announcement.root)
        earlier = [a for a in self._announced.values() if a.root == announcement.root and a.question is question]
        self._announced[response.session_id] = earlier[-1] if earlier else announcement  # again: its answer was lost
        while len(self._announced) > QUESTIONS:
            self._announced.popitem(last=False)

    def push(self, request: PushObjectRequest) -> None:
        """Check a push-object."""
        announcement, content = self._announced.get(request.session_id), request.object_content
        if request.node.node_id != self.node_id or announcement is None or request.object_id not in announcement.objects:
            raise CallRefusedError(403, f"{self.name} sends an object that they did not announce")
        if hashlib.sha256(content).hexdigest() != request.object_id:
            raise CallRefusedError(400, f"{self.name} sends an object that does not match its checksum")
        if request.object_id in announcement.sent:
            return
        if len(content) > announcement.left:
            raise CallRefusedError(413, f"an update has at most {self.size.bytes:,} bytes, and {self.name} sends more")
        announcement.left -= len(content)
        announcement.sent.add(request.object_id)

    def _objects(self, tree: ObjectTree) -> Children:
        """The tree as a dictionary, after checking its size, and that it agrees with itself and with what the server sent."""
        found: Children = {}
        for count, (node, depth) in enumerate(_walk(tree), 1):
            if count > self.size.objects + SPARE or depth > self.size.depth:
                most = self.size.objects
                raise CallRefusedError(413, f"an update has at most {most} objects, and {self.name} announces more")
            children = tuple(child.object_id for child in node.children)
            sent = [q.objects[node.object_id] for q in self._questions.values() if node.object_id in q.objects]
            known = (sent or [found.get(node.object_id, children)])[0]
            if not OBJECT_ID.fullmatch(node.object_id) or len(set(children)) < len(children) or set(known) != set(children):
                raise CallRefusedError(403, f"{self.name} announces an object whose parts do not fit")
            found[node.object_id] = children
        return found


def _walk(tree: ObjectTree, depth: int = 1) -> Iterator[tuple[ObjectTree, int]]:
    """Each node of a tree, parents first, and its depth. Protobuf reads at most 100 levels."""
    yield tree, depth
    for child in tree.children:
        yield from _walk(child, depth + 1)


def _children(tree: ObjectTree) -> Children:
    return {node.object_id: tuple(child.object_id for child in node.children) for node, _ in _walk(tree)}
