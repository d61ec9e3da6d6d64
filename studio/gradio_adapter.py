"""Private parts of Gradio that we need. Read from version 6.31.0; ``tests/test_studio_gradio.py`` fails when an update moves
one of them.

Gradio is made for demos behind ``launch()``. Mounted in an application of one's own, in public, it needs the following.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Container, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.blocks
import gradio.queueing
import gradio.routes
from fastapi import FastAPI
from gradio.block_function import BlockFunction

from fedgai.vision.images import MAX_BYTES
from studio.failures import WithoutMessages, describe

log = logging.getLogger(__name__)

VERSION = "6.31.0"  # that this was read from
WORKERS = 400  # events under way: they wait in lines of our own, where the one who has had the least is next
SESSIONS = 1000  # visitors whose state is kept
UNREAD_SECONDS = 60.0  # answers that nobody fetches are dropped after this
PROGRAM_SECONDS = 120.0  # that the state of a program stays, which has no page open
LOOK, PROGRESS = 0.05, 0.1  # s between two looks for new events, and for progress; on Windows Gradio itself takes these
LOGGERS = ("uvicorn.error", "asyncio", "gradio", "httpx")  # whose messages may repeat what a visitor sent


class _Places:
    """In the place of the module ``traceback``: Gradio prints exceptions whole, with what the visitor sent in them."""

    @staticmethod
    def print_exc() -> None:
        error = sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1]
        if error is not None:
            log.error("an event failed: %s", describe(error))


def use_folder(folder: Path) -> None:
    """Where Gradio puts files from now on: those that come up, and those that an answer names. Before a page is built."""
    os.environ.update(GRADIO_TEMP_DIR=str(folder))
    routes: Any = gradio.routes
    routes.DEFAULT_TEMP_DIR = str(folder)  # the variable was read while gradio was imported


def quiet_logs() -> None:
    """Keep what visitors send out of the log: it gets kinds and places of errors, no messages."""
    modules: tuple[Any, ...] = (gradio.queueing, gradio.routes)
    for module in modules:
        module.traceback = _Places
    handler = logging.StreamHandler()
    handler.setFormatter(WithoutMessages())
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING)


class _NoApp:
    """In the place of Gradio's application."""

    @staticmethod
    def create_app(*_: object, **__: object) -> None:
        return None


@contextlib.contextmanager
def without_app() -> Iterator[None]:
    """In the block, a page that is complete gets no application, which takes a quarter of a second. ``queued`` makes it another.

    Not for several threads at once.
    """
    blocks: Any = gradio.blocks
    usual, blocks.App = blocks.App, _NoApp
    try:
        yield
    finally:
        blocks.App = usual


def queued(demo: gr.Blocks) -> gr.Blocks:
    """Have events run as soon as they come. ``Turns`` and ``ImagineQueue`` say who is served when."""
    demo.max_threads = WORKERS
    demo.state_session_capacity = SESSIONS
    demo.validate_inputs = _completed  # type: ignore[method-assign]  # called for each event, and has no setting
    demo.queue(default_concurrency_limit=None, max_size=2 * WORKERS, api_open=False)
    # statistics of the last events, which nobody looks at, and which are computed again after each
    demo._queue.ANALYTICS_MAX_EVENTS, demo._queue.ANAYLTICS_CACHE_FREQUENCY = 1, sys.maxsize
    return demo


def _completed(block_fn: BlockFunction, inputs: list[Any]) -> None:
    """In the place of ``validate_inputs``, which repeats what a visitor sent. A program may have been written before an
    endpoint took its last values: those are what the endpoint's documentation gives as their defaults."""
    missing = block_fn.inputs[len(inputs) :]
    if missing and block_fn.api_visibility != "public":
        raise gr.Error("This page is from another version of the studio: load the page again.", print_exception=False)
    inputs.extend(copy.deepcopy(getattr(component, "value", None)) for component in missing)


def mount(app: FastAPI, demo: gr.Blocks, **options: Any) -> FastAPI:
    """Serve a page at /, as ``gr.mount_gradio_app`` does."""
    app = gr.mount_gradio_app(
        app, demo, "/", run_history=False, ssr_mode=False, mcp_server=False, show_error=False, max_file_size=MAX_BYTES, **options
    )
    # elsewhere 1 and 10 ms, which take a studio that nobody visits 3 % of a core
    demo._queue.sleep_when_free, demo._queue.progress_update_sleep_when_free = LOOK, PROGRESS
    # launch() would say so. Once mounted, Gradio does not, and until then lets a caller name any file of the server
    demo.has_launched = True
    return app


@contextlib.asynccontextmanager
async def forgetting(demo: gr.Blocks, pages: Container[str], keep: float, every: float = 5.0) -> AsyncIterator[None]:
    """Within the block, what visitors who have left had is forgotten: answers that nobody fetched, and their state.

    Args:
        demo: as it is mounted.
        pages: sessions that have a page open.
        keep: seconds after which a visitor who comes back finds nothing.
        every: seconds between two looks.
    """

    async def run() -> None:
        unread: dict[str, float] = {}  # session -> since when
        while True:
            await asyncio.sleep(every)
            unread = _forget_answers(demo, unread)
            _forget_sessions(demo, pages, keep)
            for files in demo.temp_file_sets:  # UploadFolder deletes them
                files.clear()

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _forget_answers(demo: gr.Blocks, unread: dict[str, float]) -> dict[str, float]:
    """Answers that have waited for too long. Returns the sessions that have some, and since when."""
    messages, now = demo._queue.pending_messages_per_session, time.monotonic()
    at_work = {event.session_hash for event in demo._queue.event_ids_to_events.values()}
    waiting = {s: unread.get(s, now) for s, answers in messages.items() if answers.qsize() and s not in at_work}
    for session, since in waiting.items():
        if now - since > UNREAD_SECONDS:
            del messages[session]
            demo._queue.pending_event_ids_session.pop(session, None)
    return waiting


def _forget_sessions(demo: gr.Blocks, pages: Container[str], keep: float) -> None:
    """The state of a page that was closed for ``keep`` seconds, and of a program that has not asked again for a while."""
    holder, now = demo.state_holder, time.time()
    with holder.lock:
        for session, state in list(holder.session_data.items()):
            used = holder.time_last_used.get(session)
            limit = keep if state.is_closed else min(keep, PROGRAM_SECONDS)
            if session not in pages and (used is None or now - used.timestamp() > limit):
                holder.session_data.pop(session, None)
                holder.time_last_used.pop(session, None)
