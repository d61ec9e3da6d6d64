"""Looks, links, the cache of prepared photographs, and readings that must fit together while designers come and go."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import torch
from PIL import Image

pytest.importorskip("studio.without_stubs")

import fedgai.content
from fedgai.content import Content
from fedgai.pipeline import SketchPipeline
from fedgai.vision.repair import read_strokes
from studio import links
from studio.content_cache import IDLE_SECONDS, ContentCache
from studio.failures import describe
from studio.listeners import StudioPage
from studio.sketching import Look, LookError, SketchStudio, StudioGarment
from studio.uploads import UploadFolder


@pytest.fixture(scope="module")
def studio(tiny_model_dir: Path) -> SketchStudio:
    return SketchStudio(SketchPipeline.from_pretrained(tiny_model_dir))


# -- links -------------------------------------------------------------------------------------------------------------


def test_a_link_says_what_was_set_and_is_read_back(studio: SketchStudio) -> None:
    garment = studio.examples["denim_jacket"]
    look = Look({"Ada Line": 0.25, "Coco Blot": 1.0, "Bruno Hatch": 0.0}, 0.8, 0.35, 768, False, 0.6)
    text = links.query(look, garment)
    assert parse_qs(text)["style"] == ["Ada Line:0.25", "Coco Blot:1"]
    opened = links.read(studio, text)
    assert opened is not None and opened.wrong == "" and not opened.own and opened.garment == garment
    assert opened.look == replace(look, weights={"Ada Line": 0.25, "Coco Blot": 1.0})
    own = links.read(studio, links.query(look, replace(garment, name="")))
    assert own is not None and own.own and links.garment_of(links.query(look, replace(garment, name=""))) == links.OWN
    assert links.read(studio, "") is None and links.read(studio, "utm_source=x") is None
    assert links.read(studio, "&".join(f"style=a{i}:1" for i in range(500))) is None


def test_what_a_link_cannot_have_is_said_briefly(studio: SketchStudio) -> None:
    text = "&".join([f"style=Nobody{i}:1" for i in range(50)] + ["size=" + "9" * 500, "strength=" + "1" * 400])
    opened = links.read(studio, text)
    assert opened is not None and len(opened.wrong) < 500 and opened.look.weights == studio.first_look.weights


# -- readings that must fit together -----------------------------------------------------------------------------------


def other_designers(pipeline: SketchPipeline, count: int) -> Any:
    """The same pipeline with some of its styles, as the federation's follower serves one."""
    other = SketchPipeline(pipeline.model)
    names = list(pipeline.styles)
    other.styles = {f"{names[i % 3]} {i}": replace(pipeline.styles[names[i % 3]], name=f"{i}") for i in range(count)}
    return other


def test_designers_who_come_and_go_break_nothing(tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B4: the rows of the mixer were made from two readings of the styles; whatever is asked meanwhile must hold together."""
    draw = SketchPipeline.draw

    def slow_draw(*arguments: Any, **options: Any) -> Image.Image:
        time.sleep(0.03)  # as long as a drawing takes; but a drawing of 64 px leaves the processor to other tests
        return draw(*arguments, **options)

    monkeypatch.setattr(SketchPipeline, "draw", slow_draw)
    monkeypatch.setattr(SketchPipeline, "prepare", partialmethod(SketchPipeline.prepare, side=64))
    base = SketchPipeline.from_pretrained(tiny_model_dir)
    studio, page = SketchStudio(base), None
    page = StudioPage(studio, UploadFolder(tmp_path))
    served = [base, *(other_designers(base, count) for count in (1, 2, 5))]
    over, wrong = threading.Event(), []

    def serve() -> None:
        while not over.is_set():
            for pipeline in served:
                studio.serve(pipeline)
                base.styles = dict(list(base.styles.items())[::-1])  # the pipeline's own is replaced, too
                time.sleep(0.001)  # else those who ask wait for this thread most of the time

    def ask() -> None:
        try:
            for _ in range(12):
                assert page.faders().count('class="fader"') in (1, 2, 3, 5)
                assert page.followed("Ada Line", "x")
                bank = studio.now
                look = bank.look(dict.fromkeys(bank.names, 0.5), {}, 256, True)
                content = studio.content(studio.first_garment, look)
                assert max(studio.draw(content, look).size) == 256
                assert [bank.draw_alone(content, name).size for name in bank.names[:1]]
        except Exception as error:
            wrong.append(f"{error!r} {describe(error)}")

    threads = [threading.Thread(target=ask) for _ in range(3)]
    server = threading.Thread(target=serve)
    for thread in (server, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    server.join()
    assert wrong == []


def test_a_look_is_drawn_with_the_designers_that_it_was_checked_against(tiny_model_dir: Path) -> None:
    studio = SketchStudio(SketchPipeline.from_pretrained(tiny_model_dir))
    look = studio.look({"Ada Line": 1}, {}, 256, True)
    content = studio.content(studio.first_garment, look)
    before = studio.draw(content, look).tobytes()
    studio.serve(other_designers(studio.pipeline, 2))  # Ada has left
    assert studio.draw(content, look).tobytes() == before
    with pytest.raises(LookError, match="no designer 'Ada Line'"):
        studio.look({"Ada Line": 1}, {}, 256, True)


@pytest.mark.parametrize("value", ["x", None, [], {}, float("nan"), float("inf"), 10**400, -(10**400), True + 1, "1e999"])
def test_numbers_from_outside(studio: SketchStudio, value: object) -> None:
    for arguments in (({"Ada Line": value}, {}, 256), ({"Ada Line": 1}, {"strength": value}, 256), ({"Ada Line": 1}, {}, value)):
        if value == 2 and arguments[2] == 256 and not arguments[1]:
            continue
        with pytest.raises(LookError, match="should be a number from"):
            studio.look(*arguments, True)


# -- the cache ---------------------------------------------------------------------------------------------------------


def content(size: int = 1000) -> Content:
    from PIL import Image

    return Content(Image.new("RGB", (8, 8)), None, None, (8, 8), (torch.zeros(size, dtype=torch.uint8),))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [1000.0]
    monkeypatch.setattr("studio.content_cache.time.monotonic", lambda: now[0])
    yield now


def test_what_nobody_needs_is_dropped(clock: list[float]) -> None:
    pages = {"ada"}
    cache = ContentCache(10**6, pages)
    cache.get("ada's", content, "ada")
    cache.get("ben's", content, "ben")
    cache.get("program's", content)
    cache.get("example", content, lasting=True)
    cache.drop_idle()
    assert len(cache) == 4
    clock[0] += IDLE_SECONDS + 1
    cache.get("ben's", content, "cleo")  # used just now
    cache.drop_idle()
    assert set(cache._entries) == {"ada's", "ben's", "example"}
    pages.clear()  # she has closed the page
    clock[0] += IDLE_SECONDS + 1
    cache.drop_idle()
    assert set(cache._entries) == {"example"}


def test_the_oldest_give_way_and_failures_are_not_kept() -> None:
    cache = ContentCache(2500)
    for key in "abc":
        cache.get(key, content)
    assert set(cache._entries) == {"b", "c"}
    cache.get("large", lambda: content(9000))  # the newest stays even if it takes more
    assert set(cache._entries) == {"large"}

    def fail() -> Content:
        raise OSError("gone")

    for _ in range(2):
        with pytest.raises(OSError):
            cache.get("bad", fail)
    assert set(cache._entries) == {"large"}


def test_a_garment_is_an_example_or_a_visitor_s(studio: SketchStudio) -> None:
    assert studio.first_garment.name == "trench_coat" and studio.first_garment.chosen
    assert StudioGarment(studio.first_garment.photo).name == ""


def test_a_repaired_garment_is_another_one_and_is_forgotten_with_its_visitor(tiny_model_dir: Path, clock: list[float]) -> None:
    pages = {"ada"}
    own = SketchStudio(SketchPipeline.from_pretrained(tiny_model_dir), pages=pages)
    garment = own.examples["denim_jacket"]
    repaired = replace(garment, strokes=read_strokes([{"belongs": False, "radius": 72, "points": [1500, 700, 1500, 900]}]))
    look = own.look({"Ada Line": 1}, {}, 256, True)
    before, after = (own.content(each, look, session="ada") for each in (garment, repaired))
    assert before.mask is not None and after.mask is not None
    assert before.mask[44:56, 92:95].min() == 1 and after.mask[44:56, 92:95].max() == 0
    assert own.content(garment, look, session="ada") is before and own.content(repaired, look, session="ada") is after
    whole = own.look({"Ada Line": 1}, {}, 256, False)
    assert own.content(repaired, whole) is own.content(garment, whole)  # without a cut-out there is nothing to repair
    clock[0] += IDLE_SECONDS + 1
    own.drop_idle()
    assert len(own.now.cutouts) == 2
    pages.clear()
    own.drop_idle()
    assert len(own.now.cutouts) == 0


def test_another_size_detail_or_print_does_not_cut_the_photograph_out_again(
    tiny_model_dir: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = {"ada"}
    own = SketchStudio(SketchPipeline.from_pretrained(tiny_model_dir), pages=pages)
    cut_out, calls = fedgai.content._cut, list[Any]()

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return cut_out(*arguments)

    monkeypatch.setattr(fedgai.content, "_cut", counted)
    garment = replace(own.examples["denim_jacket"], name="")  # as if a visitor had brought it
    lines = [{}, {"detail": 0.4}, {"print": 1.0}]
    made = [own.content(garment, own.look({"Ada Line": 1}, line, 256, True), session="ada") for line in lines]
    made.append(own.content(garment, own.look({"Ada Line": 1}, {}, 512, True), session="ada"))
    assert len(calls) == 1 and len({id(one) for one in made}) == 4
    photo = garment.photo.read()
    apart = own.now.pipeline.prepare(photo, 256, detail=0.4, print_amount=own.first_look.print, on_missing="keep")
    assert all(torch.equal(kept, fresh) for kept, fresh in zip(made[1].features, apart.features, strict=True))

    repaired = replace(garment, strokes=read_strokes([{"belongs": False, "radius": 72, "points": [1500, 700, 1500, 900]}]))
    other = own.content(repaired, own.look({"Ada Line": 1}, {}, 256, True), session="ada")
    assert other.mask is not None and made[0].mask is not None and (other.mask != made[0].mask).any()
    assert len(own.now.found) == 2
    pages.clear()
    clock[0] += IDLE_SECONDS + 1
    own.drop_idle()
    assert len(own.now.found) == 0
