"""Work that a page starts and does not wait for. If it fails, the designer reads why: no exception is lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from fedgai.errors import FedGAIError, sentence

log = logging.getLogger("fedgai.window")


def failure(error: BaseException) -> str:
    """What a designer reads about an error: its sentence, or, where it is a mistake of ours, where the details are.

    The details go to the log; nothing about drawings leaves this machine by that.
    """
    if isinstance(error, FedGAIError | OSError):
        return sentence(error)
    log.error("an error that nobody expected", exc_info=error)
    return (
        f"This did not work, and the mistake is the companion's ({type(error).__name__}). The terminal that it was started "
        "in has the details: please send them to the person who gave you this program."
    )


def in_background(
    name: str, work: Callable[[], None], on_failure: Callable[[str], None], finally_: Callable[[], None] = lambda: None
) -> threading.Thread:
    """Start ``work`` in a thread of its own.

    Args:
        name: of the thread.
        work: what is to be done.
        on_failure: called with a sentence where it raises anything.
        finally_: called at the end, whatever happened.
    Returns:
        the thread, which has begun.
    """

    def run() -> None:
        try:
            work()
        except Exception as error:
            on_failure(failure(error))
        finally:
            finally_()

    thread = threading.Thread(target=run, name=name)
    thread.start()
    return thread
