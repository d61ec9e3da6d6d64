"""Flower's commands as the federation runs them: they start sooner, and one fault of flwr 1.42 is mended.

    python -P federation/flower_commands.py flower-superlink ARGUMENT ...

A SuperLink or SuperNode starts a SuperExec, which starts a ServerApp or ClientApp for each task. Each is a process, and each
of Flower's scripts imports all commands of its package. Here each imports its own command alone, with the garbage collector
paused, and starts the others in the same way. That takes 0.3 to 0.6 s of processor time less for each.

The fault: a SuperNode pulls one message, then waits for an answer and sends it. When the studio stops while a message arrives,
Flower passes that message over, but trains on it all the same. The answer that comes then is sent in place of the next message's,
and from then on each answer waits until the message after it has arrived. By then its round is over, so the designer counts in no
round. Here a SuperNode goes on sending until it has sent the answer to the message that it pulled last.

The names that are used and replaced are private to Flower, and were read from flwr 1.42.0; ``tests/test_flower_commands.py``
fails when an update moves them. This file imports nothing of ours: an app brings its own copy of our packages.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from typing import Any

READ_FROM = "1.42.0"
PACKAGES = {
    "flower-superlink": "flwr.superlink.cli",
    "flower-superexec": "flwr.supercore.cli",
    "flower-supernode": "flwr.supernode.cli",
    "flwr-serverapp": "flwr.superlink.cli",
    "flwr-clientapp": "flwr.supernode.cli",
}


def command(name: str, *arguments: str) -> list[str]:
    """The words that run one of Flower's commands in this way."""
    return [sys.executable, "-P", __file__, name, *arguments]  # -P: the files beside this one are not its modules


class SoonerPopen(subprocess.Popen[Any]):
    """Runs Flower's commands by this file, and any other command as it is."""

    def __init__(self, args: Any, *rest: Any, **options: Any) -> None:
        if isinstance(args, list) and args[0] in PACKAGES:
            args = command(*args)
        super().__init__(args, *rest, **options)


def load(name: str) -> Callable[[], None]:
    """The function behind a command."""
    package, function = PACKAGES[name], name.replace("-", "_")
    spec = importlib.util.find_spec(package)
    assert spec is not None
    sys.modules[package] = importlib.util.module_from_spec(spec)  # not run: it would import its other commands
    found: Callable[[], None] = getattr(importlib.import_module(f"{package}.{function}"), function)
    return found


class InOrder:
    """Flower's two steps, pull and push, of which the second ends when the message of the first is answered.

    Args:
        pull: ``_pull_and_store_message``.
        push: ``_push_messages``.
    """

    def __init__(self, pull: Any, push: Any) -> None:
        self._pull, self._push = pull, push
        self._asked = ""  # the message that was pulled last

    def pull(self, *, receive: Any, **rest: Any) -> Any:
        """As Flower's; remembers which message came."""

        def remembered() -> Any:
            received = receive()
            if received is not None:
                self._asked = received[0].metadata.message_id
            return received

        return self._pull(receive=remembered, **rest)

    def push(self, *, send: Any, **rest: Any) -> None:
        """As Flower's, which sends all answers that are there; again until that message's is among them."""
        answered = set()

        def remembered(message: Any, *others: Any) -> Any:
            answered.add(message.metadata.reply_to_message_id)
            return send(message, *others)

        while True:
            self._push(send=remembered, **rest)
            if self._asked in answered:
                return


def mend_supernode() -> None:
    """Replace the two steps by those of ``InOrder``."""
    from flwr.supernode import start_client_internal as flower

    in_order = InOrder(flower._pull_and_store_message, flower._push_messages)
    steps: dict[str, Any] = {"_pull_and_store_message": in_order.pull, "_push_messages": in_order.push}
    for name, step in steps.items():
        setattr(flower, name, step)


def main() -> None:
    """Run the command that the first argument names, with the other arguments."""
    del sys.argv[0]
    name = sys.argv[0]
    gc.disable()  # what is imported stays until the process ends: see fedgai/imports.py
    run = load(name)
    if name == "flower-supernode":
        mend_supernode()
    gc.freeze()
    gc.enable()
    if name in ("flower-superlink", "flower-supernode", "flower-superexec"):
        setattr(subprocess, "Popen", SoonerPopen)  # noqa: B010  # a plain assignment to a class is an error to mypy
    run()


if __name__ == "__main__":
    main()
