"""One visitor who floods the studio, and the others who are served all the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.studio_server import PATIENCE, ROOT, StudioServer
from helpers.studio_visitor import Answer, Visitor, file_data

pytest.importorskip("studio.without_stubs")

EXAMPLES = sorted((ROOT / "examples").glob("*.jpg"))
SHEETS, SECONDS = 60, 5.0  # the floor: so many contact sheets at once, and a newcomer's sketch within this


@pytest.fixture(scope="module")
def crowded() -> Iterator[StudioServer]:
    """A studio behind one proxy: X-Forwarded-For says who asks."""
    running = StudioServer({"FEDGAI_PROXIES": "1"})
    yield running
    log = running.log()
    running.stop()
    assert "Traceback" not in log


def someone(studio: StudioServer, address: str) -> Visitor:
    visitor = Visitor(studio.url)
    visitor.http.headers["x-forwarded-for"] = address
    return visitor


def sketch(visitor: Visitor, photograph: bytes, name: str = "Dara") -> Answer:
    path = visitor.upload(photograph)
    return visitor.call("sketch", [file_data(path, True), {name: 1}, 1, 1, 256, True, "white"])


def seconds(visitor: Visitor, mark: bytes) -> float:
    """That a photograph which was not there before takes to be drawn."""
    start = time.monotonic()
    assert sketch(visitor, EXAMPLES[0].read_bytes() + mark).ok
    return time.monotonic() - start


class Flood:
    """Sixty contact sheets from one address, begun at once and waited for."""

    def __init__(self, studio: StudioServer, address: str) -> None:
        self.studio, self.address = studio, address
        self.answers: list[Answer] = []
        self._thread = threading.Thread(target=self._run)
        self._begun = threading.Event()

    def __enter__(self) -> Flood:
        self._thread.start()
        assert self._begun.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with someone(self.studio, self.address) as visitor:
            paths = [visitor.upload(photo.read_bytes()) for photo in EXAMPLES]

            def begin(i: int) -> str:
                body = {"data": [file_data(paths[i % len(paths)], True), 512 - i, True]}
                joined = visitor.http.post("gradio_api/call/contact_sheet", json=body)
                return joined.json().get("event_id", "") if joined.status_code == 200 else ""

            with ThreadPoolExecutor(20) as pool:
                events = list(pool.map(begin, range(SHEETS)))
                self._begun.set()
                self.answers = list(pool.map(lambda e: self._wait(visitor, e), events))

    @staticmethod
    def _wait(visitor: Visitor, event: str) -> Answer:
        if not event:
            return Answer(429, False, "")
        text = visitor.http.get(f"gradio_api/call/contact_sheet/{event}").text
        return Answer(200, "event: complete" in text, text)


def test_a_newcomer_is_served_while_one_visitor_floods(crowded: StudioServer) -> None:
    with someone(crowded, "192.0.2.50") as warm:
        assert sketch(warm, EXAMPLES[0].read_bytes()).ok
        alone = seconds(warm, b"alone")
    took = []
    with Flood(crowded, "192.0.2.1") as flood:
        for i, photo in enumerate(EXAMPLES[:4]):
            start = time.monotonic()
            with someone(crowded, f"192.0.2.{i + 60}") as newcomer:
                assert sketch(newcomer, photo.read_bytes() + bytes([i])).ok
            took.append(time.monotonic() - start)
        at_work = flood._thread.is_alive()
    with someone(crowded, "192.0.2.51") as later:
        alone = max(alone, seconds(later, b"alone again"))  # the machine may have become busy with something else since
    print(f"a newcomer alone: {alone:.2f} s; during the flood: {', '.join(f'{t:.2f} s' for t in took)}")
    served = sum(answer.ok for answer in flood.answers)
    refused = [answer.text for answer in flood.answers if not answer.ok]
    assert at_work and max(took) < max(SECONDS, 5 * alone)  # of a machine that is slow for everybody
    # the flood gets what one address may have under way, and the rest is told to come again
    assert 4 <= served < SHEETS and all("your network" in text for text in refused)
    with someone(crowded, "192.0.2.1") as again:
        assert sketch(again, EXAMPLES[1].read_bytes()).ok


def test_a_class_behind_one_router_is_served(crowded: StudioServer) -> None:
    """Twenty pages at one address, each with a slider that moves at the same moment."""
    visitors = [someone(crowded, "198.51.100.7") for _ in range(20)]

    def move(visitor: Visitor) -> list[Answer]:
        controls = ({"Dara": 0.2 + 0.03 * visitors.index(visitor)}, {}, 512, True)
        return [visitor.do("redraw", [None, "", *controls]), visitor.do("reset")]

    try:
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(move, visitors))
    finally:
        for visitor in visitors:
            visitor.http.close()
    assert all(drawn.ok and drawn.data[0]["sketch"].startswith("data:image/png") for drawn, _ in answers)
    assert all(quick.ok for _, quick in answers)


def test_events_without_end_are_told_to_wait(crowded: StudioServer) -> None:
    with someone(crowded, "203.0.113.5") as visitor, someone(crowded, "203.0.113.6") as other:
        event = visitor.event("reset")
        with ThreadPoolExecutor(16) as pool:
            codes = list(pool.map(lambda _: visitor.join(event, []).status_code, range(500)))
        assert codes.count(429) >= 50 and codes.count(200) >= 300
        assert other.do("reset").ok
