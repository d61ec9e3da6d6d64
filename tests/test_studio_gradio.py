"""What we use of Gradio's own: an update that moves any of it fails here, loudly, and not in front of a visitor."""

from __future__ import annotations

import asyncio
import inspect
import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("studio.without_stubs")

import gradio as gr
import gradio.processing_utils
import gradio.queueing
import gradio.routes
from fastapi import FastAPI
from gradio.utils import LRUCache
from helpers.studio_server import ROOT

from studio import gradio_adapter
from studio.failures import WithoutMessages, describe


def test_the_version_that_was_read() -> None:
    assert gr.__version__ == gradio_adapter.VERSION, "read gradio_adapter.py again beside the new version's source"


def test_the_names_are_still_there() -> None:
    with gr.Blocks() as demo:
        gr.State(1)
    gradio_adapter.queued(demo)
    queue = demo._queue
    assert queue.max_thread_count == gradio_adapter.WORKERS and not demo.api_open
    assert isinstance(queue.pending_messages_per_session, LRUCache)
    assert queue.event_ids_to_events == {} and queue.pending_event_ids_session == {}
    assert {"ANALYTICS_MAX_EVENTS", "ANAYLTICS_CACHE_FREQUENCY"} <= vars(queue).keys()
    assert queue.sleep_when_free < gradio_adapter.LOOK and queue.progress_update_sleep_when_free < gradio_adapter.PROGRESS
    assert demo.temp_file_sets and demo.has_launched is False
    assert demo.state_holder.capacity == gradio_adapter.SESSIONS
    assert {"session_data", "time_last_used", "lock"} <= vars(demo.state_holder).keys()
    assert hasattr(gradio.routes, "DEFAULT_TEMP_DIR")
    assert list(inspect.signature(gr.Blocks.validate_inputs).parameters) == ["self", "block_fn", "inputs"]
    for module in (gradio.queueing, gradio.routes):
        assert hasattr(module.traceback, "print_exc")
    assert gradio.processing_utils._check_allowed  # what has_launched is for


def test_an_idle_page_is_seldom_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with gr.Blocks() as demo:
        gr.State(1)
    slept: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        slept.append(seconds)
        demo._queue.stopped = len(slept) > 9
        await sleep(0)

    async def run() -> None:
        demo._queue.stopped = False
        await asyncio.gather(demo._queue.start_processing(), demo._queue.start_progress_updates())

    gradio_adapter.mount(FastAPI(), gradio_adapter.queued(demo))
    monkeypatch.setattr(asyncio, "sleep", note)
    with ThreadPoolExecutor(1) as thread:  # Playwright's loop may run in this one
        thread.submit(asyncio.run, run()).result()
    assert set(slept) == {gradio_adapter.LOOK, gradio_adapter.PROGRESS}


@pytest.mark.parametrize("module", ["studio.without_stubs", "studio.companion.quiet_network"])
def test_gradio_parses_no_source_and_writes_no_stubs_while_it_is_imported(module: str) -> None:
    program = f"""if True:
        import ast, inspect, pathlib
        direct, written, parsed = inspect.getfile, [], []
        pathlib.Path.write_text = lambda self, *_, **__: written.append(self.name)
        ast.get_source_segment = lambda *_, **__: parsed.append(1)
        import {module}
        import gradio
        print(len(gradio.components.__all__) > 30, parsed, written, inspect.getfile is direct)
    """
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True [] [] True\n"


class Answers:
    """As asyncio's queue, as far as it is asked."""

    def __init__(self, count: int) -> None:
        self.count = count

    def qsize(self) -> int:
        return self.count


def test_answers_that_nobody_fetches_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    with gr.Blocks() as demo:
        gr.State(1)
    gradio_adapter.queued(demo)
    messages: Any = demo._queue.pending_messages_per_session
    messages["left"], messages["reading"] = Answers(3), Answers(0)
    demo._queue.pending_event_ids_session["left"] = {"event"}
    unread = gradio_adapter._forget_answers(demo, {})
    assert set(unread) == {"left"} and "left" in messages
    unread = {"left": time.monotonic() - gradio_adapter.UNREAD_SECONDS - 1}
    gradio_adapter._forget_answers(demo, unread)
    assert list(messages) == ["reading"] and demo._queue.pending_event_ids_session == {}


def test_the_state_of_who_has_left_is_dropped() -> None:
    with gr.Blocks() as demo:
        gr.State(1)
    gradio_adapter.queued(demo)
    holder = demo.state_holder
    for session in ("open", "closed", "program", "recent"):
        assert holder[session] is not None
    holder.session_data["closed"].is_closed = True
    import datetime

    for session, seconds in (("open", 9999), ("closed", 600), ("program", 600), ("recent", 1)):
        holder.time_last_used[session] = datetime.datetime.now() - datetime.timedelta(seconds=seconds)
    gradio_adapter._forget_sessions(demo, {"open"}, keep=3600)
    assert set(holder.session_data) == {"open", "closed", "recent"}  # who has closed the page may come back
    gradio_adapter._forget_sessions(demo, {"open"}, keep=60)
    assert set(holder.session_data) == {"open", "recent"} == set(holder.time_last_used)


def test_forgetting_runs_and_ends() -> None:
    with gr.Blocks() as demo:
        gr.State(1)
    gradio_adapter.queued(demo)
    demo.temp_file_sets[0].add("a file that is gone")

    async def play() -> None:
        async with gradio_adapter.forgetting(demo, frozenset(), 60, every=0.01):
            await asyncio.sleep(0.2)

    with ThreadPoolExecutor(1) as thread:  # Playwright's synchronous side has a loop in this one
        thread.submit(asyncio.run, play()).result()
    assert not any(demo.temp_file_sets)


def test_errors_in_the_log_have_a_place_and_no_words() -> None:
    def fail(word: str) -> None:
        try:
            int(word)
        except ValueError as error:
            raise KeyError(word) from error

    with pytest.raises(KeyError) as raised:
        fail("a visitor's word")
    place = describe(raised.value)
    assert place.startswith("KeyError at tests/test_studio_gradio.py:") and ", after ValueError at tests/" in place
    record = logging.LogRecord(
        "uvicorn.error", logging.ERROR, "", 1, "It failed\nwith a visitor's word", None, (KeyError, raised.value, raised.tb)
    )
    line = WithoutMessages().format(record)
    assert line.startswith("ERROR: It failed: KeyError at") and "word" not in line and "\n" not in line


def test_a_page_gets_its_application_with_its_queue() -> None:
    with gradio_adapter.without_app(), gr.Blocks(analytics_enabled=False) as demo:
        gr.HTML("words")
    assert demo.app is None
    assert isinstance(gradio_adapter.queued(demo).app, gradio.routes.App)
