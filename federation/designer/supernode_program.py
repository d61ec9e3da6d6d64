"""``flower-supernode`` with one fault of flwr 1.42 mended. ``supernode.SuperNode`` runs this file by its path.

A SuperNode pulls one message, then waits for an answer and sends it. When the studio stops while a message arrives, Flower passes
that message over, but trains on it all the same. The answer that comes then is sent in place of the next message's, and from
then on each answer waits until the message after it has arrived. By then its round is over, so the designer counts in no round.
Here a SuperNode goes on sending until it has sent the answer to the message that it pulled last.

The names that are replaced are private to Flower, and were read from flwr 1.42.0 (``flwr/supernode/start_client_internal.py``);
``tests/test_supernode_program.py`` fails when an update moves them. This file imports nothing of ours.
"""

from __future__ import annotations

from typing import Any

from flwr.supernode import start_client_internal as flower

READ_FROM = "1.42.0"


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


def main() -> None:
    """The command, with the arguments of ``flower-supernode``."""
    from flwr.supernode.cli import flower_supernode

    in_order = InOrder(flower._pull_and_store_message, flower._push_messages)
    steps: dict[str, Any] = {"_pull_and_store_message": in_order.pull, "_push_messages": in_order.push}
    for name, step in steps.items():
        setattr(flower, name, step)
    flower_supernode()


if __name__ == "__main__":
    main()
