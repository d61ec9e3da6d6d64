"""A round's answers, received one by one while the round is open."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import httpx
from flwr.app import Message
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError

from federation.server.closing import Closing, silent_twice
from federation.server.folder import Folder
from federation.server.strategy import DiscriminatorAvg
from federation.server.update_check import ERRORS

log = logging.getLogger("flwr")

READ_FROM = "1.42.0"  # the version of flwr whose ObjectPushError this is; tests/test_rooms.py fails with another
POLL = 1.0  # seconds between two looks for answers, where few are waited for
LOOKS = 4  # questions to the SuperLink in that time: each takes both processes some 10 ms
LONGEST = 4.0  # seconds between two looks, however many are waited for
PUSHES = 5  # tries to hand one message to the SuperLink
GRACE = 10.0  # seconds after the deadline for what is just being received


class Replies:
    """Sends a round's messages and receives the answers.

    Args:
        grid: Flower's way to the designers.
        folder: the federation's; its status says how many have answered.
        quorum, grace: see ``Closing``.
        needed: good answers without which the round does not count.
        strategy: hears who is left out because no answer came.
    """

    def __init__(self, grid: Grid, folder: Folder, quorum: float, grace: float, needed: int, strategy: DiscriminatorAvg) -> None:
        self.grid, self.folder, self.quorum, self.grace, self.needed = grid, folder, quorum, grace, needed
        self.strategy = strategy
        self._pending: dict[str, int] = {}  # message -> who was asked
        self._uploads: dict[str, Future[Iterable[Message]]] = {}

    def receive(self, messages: list[Message], deadline: float) -> Iterator[Message]:
        """Answers one by one as they arrive, until all have come or the round closes (``Closing``); none is kept once yielded.

        Flower waits up to three minutes for an upload that was announced and does not come: such a one waits in a thread of
        its own and holds up nobody else.

        Args:
            messages: one for each designer.
            deadline: seconds since the epoch.
        """
        for message in messages:  # one by one, so that nobody can spoil more than their own
            self._send(message)
        pending, uploads = self._pending, self._uploads
        asked = max(1, len(pending))
        unawaited = silent_twice([r for n, r in self.folder.reports().items() if n])
        closing = Closing(deadline, len(set(pending.values()) - unawaited), self.quorum, self.grace, self.needed)
        self.folder.set_status(asked=asked)
        puller = ThreadPoolExecutor(asked, "pull")  # makes a thread only where none is idle
        try:
            while pending and time.time() < deadline + (GRACE if uploads else 0):
                deadline = closing.update(sum(v.accepted for v in self.strategy.verdicts), pending.values(), unawaited)
                for message_id, node in list(pending.items()):
                    begun = message_id in uploads
                    if not begun:  # one at a time, so that one who sends garbage spoils only their own
                        if time.time() >= deadline:
                            continue
                        uploads[message_id] = puller.submit(self.grid.pull_messages, [message_id])
                    if wait([uploads[message_id]], 0 if begun else POLL).not_done:
                        continue
                    try:
                        yield from self._answers(message_id, node)
                    except (httpx.HTTPError, ConnectionError):  # the SuperLink comes back, or this process is ended
                        log.warning("the SuperLink does not answer; trying again")
                        break
                    self.folder.set_status(progress=1 - len(pending) / asked, asked=asked, answered=asked - len(pending))
                if pending:
                    time.sleep(min(POLL * max(1, len(pending) / LOOKS), LONGEST))
        finally:
            puller.shutdown(wait=False, cancel_futures=True)
        for message_id in uploads.keys() & pending.keys():
            self.strategy.leave_out(pending[message_id], "its answer was not there, or not whole, in time")
        self.folder.set_status(phase="aggregating", progress=1 - len(pending) / asked)

    def _send(self, message: Message) -> None:
        node = message.metadata.dst_node_id
        try:
            self._pending |= dict.fromkeys(filter(None, self._push(message)), node)
        except ObjectPushError:  # whoever confirms a message that is not yet whole has the SuperLink forget the rest
            self.strategy.leave_out(node, "its machine confirmed the task before it had arrived")
        except httpx.HTTPError as error:
            self.strategy.leave_out(node, f"the SuperLink could not pass its task on ({type(error).__name__})")

    def _push(self, message: Message) -> list[str]:
        """Hand one message to the SuperLink. A database that is busy is tried again; then raises httpx.HTTPError."""
        for attempt in range(PUSHES):
            try:
                return list(self.grid.push_messages([message]))
            except httpx.HTTPError as error:
                log.warning("the SuperLink does not take a message (%s)", error)
                if attempt == PUSHES - 1:
                    raise
                time.sleep(POLL * 2**attempt)
        raise AssertionError

    def _answers(self, message_id: str, node: int) -> Iterator[Message]:
        """The answer to one message, if what came is one. Raises httpx.HTTPError, ConnectionError: ask again."""
        try:
            answers = list(self._uploads.pop(message_id).result())
        except (httpx.HTTPError, ConnectionError):
            raise
        except Exception as error:  # whatever a stranger's bytes make Flower raise
            self.strategy.leave_out(node, f"its answer cannot be read ({type(error).__name__})")
            del self._pending[message_id]
            return
        while answers:
            answer = answers.pop(0)
            origin = answer.metadata
            if origin.reply_to_message_id != message_id:  # made up by somebody who does not know what was asked
                log.warning("an answer to nothing that was asked is left out")
                continue
            del self._pending[message_id]
            if origin.src_node_id == node:
                answers.clear()
                yield answer
            elif answer.has_error():  # the SuperLink's own
                self.strategy.leave_out(node, ERRORS.get(answer.error.code, "it answered with an error"))
            else:
                self.strategy.leave_out(node, "its answer claims to be somebody else's")
            return
