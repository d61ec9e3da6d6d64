"""A SuperNode answers the message that it was sent last, also after a studio stopped in the middle of one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("flwr")

from flwr.supernode import start_client_internal as flower

from federation.designer import supernode_program
from federation.designer.supernode_program import READ_FROM, InOrder


def test_flower_still_has_what_is_replaced() -> None:
    assert version("flwr") == READ_FROM, (
        f"read start_client_internal.py again, and then set READ_FROM: {supernode_program.__file__}"
    )
    loop = inspect.getsource(flower.start_client_internal)
    assert loop.count("_pull_and_store_message(") == 1 and loop.count("_push_messages(") == 1
    for step, argument in ((flower._pull_and_store_message, "receive"), (flower._push_messages, "send")):
        assert argument in inspect.signature(step).parameters
        assert f"{argument}={argument}," in loop  # by name
    assert "continue" in loop[loop.index("run_id is None") : loop.index("_push_messages(")]  # the fault: else this file may go


class Node:
    """What Flower's two steps do with messages: a message is trained at once, and its answer waits until it is pushed.

    Args:
        messages: that the studio sends one after the other; those that begin with "lost" arrive while it stops.
    """

    def __init__(self, messages: list[str]) -> None:
        self.messages, self.ready = list(messages), list[str]()

    def pull(self, receive: Callable[[], Any]) -> int | None:
        received = receive()
        if received is None:
            return None
        message = received[0].metadata.message_id
        self.ready.append(message)
        return None if message.startswith("lost") else 1

    def push(self, send: Callable[..., Any]) -> None:
        assert self.ready, "waits for ever"
        answer = self.ready.pop(0)
        send(SimpleNamespace(metadata=SimpleNamespace(reply_to_message_id=answer)), "tree", 1.0)

    def run(self, pull: Callable[..., Any], push: Callable[..., Any]) -> list[tuple[str, str]]:
        """(the newest message, the message that was answered) for each answer; the loop of ``start_client_internal``."""
        answers, newest = list[tuple[str, str]](), ""

        def receive() -> Any:
            nonlocal newest
            newest = self.messages.pop(0)
            return SimpleNamespace(metadata=SimpleNamespace(message_id=newest)), "tree"

        def send(message: Any, tree: str, seconds: float) -> None:
            answers.append((newest, message.metadata.reply_to_message_id))

        while self.messages:
            if pull(receive=receive) is not None:
                push(send=send)
        return answers


def test_after_a_message_that_was_passed_over_each_answer_is_sent_at_once() -> None:
    messages = ["1", "lost 2", "3", "4", "5"]
    node = Node(messages)
    assert node.run(node.pull, node.push) == [("1", "1"), ("3", "lost 2"), ("4", "3"), ("5", "4")]  # Flower alone: one behind
    node = Node(messages)
    in_order = InOrder(node.pull, node.push)
    assert node.run(in_order.pull, in_order.push) == [("1", "1"), ("3", "lost 2"), ("3", "3"), ("4", "4"), ("5", "5")]


def test_no_message_is_passed_on_as_none() -> None:
    in_order = InOrder(lambda receive: receive(), lambda send: None)
    assert in_order.pull(receive=lambda: None) is None
