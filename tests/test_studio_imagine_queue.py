"""The line for pictures from words: one worker, estimates, cancelling, and a share for every address."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.studio_server import PATIENCE

pytest.importorskip("studio.without_stubs")

from fedgai.imagine import Imaginer, prompt
from studio.imagine_queue import MOST_OF_ONE, MOST_PICTURES, MOST_WAITING, NO_MODEL, ImagineQueue, Request
from studio.imagine_tab import ImagineTab
from studio.turns import BusyError, Caller
from studio.uploads import UploadFolder

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = prompt({"category": "coat"})


@pytest.fixture
def broken(tiny_diffusion: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_diffusion, tmp_path / "broken"))


class Watched:
    """A queue whose U-Net counts its passes: one a step here. It may be held before a step."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.imaginer = Imaginer(folder, steps=steps)
        self.imaginer.load()
        self.queue = ImagineQueue(self.imaginer)
        self.passes, self.go = 0, threading.Event()
        self.go.set()
        self.imaginer._pipe.unet.register_forward_pre_hook(self._count)

    def _count(self, *_: object) -> None:
        assert self.go.wait(PATIENCE)
        self.passes += 1

    def free(self) -> None:
        """Wait until the worker has nothing to do."""
        worker = next((t for t in threading.enumerate() if t.name == "imagine"), None)
        if worker:
            worker.join(PATIENCE)
            assert not worker.is_alive()


@pytest.fixture
def watched(tiny_diffusion: Path) -> Iterator[Watched]:
    room = Watched(tiny_diffusion, steps=8)
    yield room
    room.go.set()
    room.free()


ME = Caller("192.0.2.8", "me")


def tab(queue: ImagineQueue) -> ImagineTab:
    return ImagineTab(queue, UploadFolder(Path("nowhere")))


def until(requests: Iterator[Request], step: int) -> Request:
    return next(request for request in requests if request.step >= step or request.made)


def test_pictures_come_one_by_one_with_an_estimate(watched: Watched) -> None:
    queue = watched.queue
    assert queue.pace.picture(8) is None and queue.pace.step is None
    phases, done = [], None
    for done in queue.imagine(WORDS, 2**32 - 1, 2):
        phases.append((done.phase, len(done.made)))
    assert phases[-1] == ("done", 2) and ("imagining", 1) in phases and [seed for seed, _ in done.made] == [2**32 - 1, 0]
    assert done.made[1][1].tobytes() == watched.imaginer(WORDS, 0).tobytes()
    assert queue.pace.picture(8) > 8 * queue.pace.step > 0 and queue.left(done) == 0
    assert "2 pictures: about" in tab(queue).forecast(2)["text"]


@pytest.mark.parametrize("way", ["cancel", "close"])
def test_after_a_cancel_there_is_at_most_one_more_step(watched: Watched, way: str) -> None:
    requests = watched.queue.imagine(WORDS, 1, MOST_PICTURES, ME)
    until(requests, 2)
    watched.queue.cancel(Caller("192.0.2.1", "somebody else"))
    passes = watched.passes
    if way == "cancel":
        watched.queue.cancel(ME)
        assert [request.phase for request in requests][-1] == "cancelled"
    else:
        requests.close()  # as Gradio does when the visitor's page is gone
    watched.free()
    assert watched.passes <= passes + 1
    assert list(watched.queue.imagine(WORDS, 1, 1))[-1].phase == "done"  # the worker serves the next one


def test_whoever_waits_leaves_the_line_at_once(watched: Watched) -> None:
    queue = watched.queue
    watched.go.clear()
    line = [queue.imagine(WORDS, i, 1, Caller(f"192.0.2.{i}", str(i))) for i in range(MOST_WAITING + 1)]
    waiting = [next(requests) for requests in line]
    assert [queue.before(request) for request in waiting] == list(range(MOST_WAITING + 1))
    assert "2 requests are before yours" in tab(queue).progress(waiting[2])["text"]
    with pytest.raises(BusyError, match=f"{MOST_WAITING + 1} others wait .* try again"):
        next(queue.imagine(WORDS, 9, 1))
    queue.cancel(Caller("192.0.2.2", "2"))
    assert waiting[2].phase == "cancelled" and queue.before(waiting[3]) == 2
    late = queue.imagine(WORDS, 9, 1)
    assert next(late).phase == "waiting"  # there is room again
    for requests in line[3:]:
        requests.close()
    watched.go.set()
    for requests in (line[0], line[1], late):
        assert list(requests)[-1].phase == "done"
    assert watched.passes == 3 * 8


def test_one_address_cannot_fill_the_line(watched: Watched) -> None:
    queue = watched.queue
    watched.go.clear()
    greedy = [queue.imagine(WORDS, i, 1, Caller("192.0.2.1", str(i))) for i in range(MOST_OF_ONE)]
    asked = [next(requests) for requests in greedy]
    with pytest.raises(BusyError, match="3 requests of your network wait already"):
        next(queue.imagine(WORDS, 9, 1, Caller("192.0.2.1", "another session")))
    late = queue.imagine(WORDS, 7, 1, Caller("192.0.2.2"))
    newcomer = next(late)  # before the second and third request of somebody else, behind the one that is worked on
    assert [queue.before(request) for request in (*asked, newcomer)] == [0, 2, 3, 1]
    for requests in greedy[1:]:
        requests.close()
    watched.go.set()
    assert list(late)[-1].phase == list(greedy[0])[-1].phase == "done"


def test_without_a_model_visitor_and_operator_read_what_is_for_them(broken: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    away = weights.rename(broken / "away")
    queue = ImagineQueue(Imaginer(broken, steps=1))
    with caplog.at_level(logging.WARNING):
        failed = list(queue.imagine(WORDS, 1, 1))[-1]
    assert failed.phase == "failed" and failed.error == NO_MODEL
    assert "safetensors" not in failed.error and "weights of broken cannot be read" in caplog.text
    away.rename(weights)
    assert list(queue.imagine(WORDS, 1, 1))[-1].phase == "done"  # the next request tries again
