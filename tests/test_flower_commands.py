"""Flower's commands start as its own scripts do, and a SuperNode answers the message that it was sent last."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("flwr")

from flwr.supernode import start_client_internal as flower

from federation import flower_commands
from federation.flower_commands import PACKAGES, READ_FROM, InOrder, SoonerPopen, command
from federation.processes import QUIET


def test_flower_still_has_what_is_replaced() -> None:
    assert version("flwr") == READ_FROM, (
        f"read start_client_internal.py again, and then set READ_FROM: {flower_commands.__file__}"
    )
    loop = inspect.getsource(flower.start_client_internal)
    assert loop.count("_pull_and_store_message(") == 1 and loop.count("_push_messages(") == 1
    for step, argument in ((flower._pull_and_store_message, "receive"), (flower._push_messages, "send")):
        assert argument in inspect.signature(step).parameters
        assert f"{argument}={argument}," in loop  # by name
    assert "continue" in loop[loop.index("run_id is None") : loop.index("_push_messages(")]  # the fault: else this file may go


def test_each_command_is_the_one_that_flower_installs() -> None:
    scripts = {script.name: script.value for script in distribution("flwr").entry_points if script.group == "console_scripts"}
    for name, package in PACKAGES.items():
        assert scripts[name] == f"{package}:{name.replace('-', '_')}"


def run(folder: Path, *words: str) -> str:
    environment = {**os.environ, **QUIET, "FLWR_HOME": str(folder)}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


def test_each_command_is_found_and_none_imports_what_is_ours(tmp_path: Path) -> None:
    """An app brings its own copy of our packages."""
    look = (
        "import runpy, sys; here = runpy.run_path(sys.argv[1]); "
        "print(*(here['load'](name).__name__ for name in here['PACKAGES'])); "
        "print(*(name for name in sys.modules if name.partition('.')[0] in ('fedgai', 'federation', 'studio')))"
    )
    found, ours = run(tmp_path, sys.executable, "-P", "-c", look, flower_commands.__file__).splitlines()
    assert found.split() == [name.replace("-", "_") for name in PACKAGES] and ours == ""


def test_a_command_says_what_flowers_script_says(tmp_path: Path) -> None:
    script = run(tmp_path, str(Path(sys.executable).parent / "flwr-clientapp"), "--help")
    assert script.startswith("usage: flwr-clientapp ") and run(tmp_path, *command("flwr-clientapp", "--help")) == script


def test_commands_that_a_command_starts_begin_in_the_same_way() -> None:
    """And others as they are."""
    for words in (["flower-superexec", "--version"], [sys.executable, "--version"]):
        with SoonerPopen(words, stdout=subprocess.DEVNULL) as started:
            assert started.args == (command(*words) if words[0] in PACKAGES else words)
            assert started.wait() == 0


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
