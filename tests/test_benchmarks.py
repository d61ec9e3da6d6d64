"""The yardsticks have the published size and output; the benchmark reports what it promises. Nothing here times."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from benchmarks import inference, ready, refined
from benchmarks.networks import YARDSTICKS, AuthorsFull
from fedgai.evaluation import independent
from fedgai.model import FedGAI
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import EXAMPLES


def test_a_drawing_is_nearest_to_its_own_hand_or_not() -> None:
    model = FedGAI.load()
    pipe, garment = SketchPipeline(model), next(EXAMPLES.glob("*.jpg"))
    content = pipe.prepare(garment, 256)
    goro, emeka = (np.asarray(pipe.draw(content, {model.styles[name]: 1})) for name in ("Goro", "Emeka"))
    others = [independent.describe(pipe.draw(content, {one: 1})) for name, one in model.styles.items() if name != "Goro"]
    own = model.styles.pop("Goro")
    true, other = independent.describe(goro), independent.describe(emeka)
    assert refined.nearest(model, own, goro, true, true, others) == {"encoder": True, "independent": True}
    assert refined.nearest(model, own, emeka, other, true, others) == {"encoder": False, "independent": False}


def count(*modules: torch.nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "millions", "channels"), [("authors-full", 18.26, 3), ("informative-drawings", 4.29, 1), ("anime2sketch", 54.4, 1)]
)
def test_yardsticks_are_as_published(name, millions, channels):
    network = inference.build(name)
    assert count(network) / 1e6 == pytest.approx(millions, abs=0.05)
    with torch.inference_mode():
        assert network(inference.photographs(256, 1)).shape == (1, channels, 256, 256)


def test_the_authors_path_is_a_whole_vgg16_and_the_papers_generator():
    network = AuthorsFull()
    encoder = count(network.vgg)
    assert encoder == 14_714_688  # VGG-16 without its classifier
    assert (count(network) - encoder) / 1e6 == pytest.approx(3.55, abs=0.005)


def test_arithmetic_agrees_with_design():
    assert inference.gflop(inference.build("authors-full"), 256, 1) == pytest.approx(76, abs=0.5)


@pytest.mark.parametrize("preset", inference.PRESETS)
def test_presets_draw_a_batch(preset):
    with torch.inference_mode():
        assert inference.build(preset)(inference.photographs(32, 2)).shape == (2, 3, 32, 32)
    assert inference.parameters(preset) > 0


def test_json_has_every_promised_key(monkeypatch, capsys):
    monkeypatch.setattr(inference, "TURN", 0)
    names = ["edge", "informative-drawings"]
    inference.main(["--json", "--names", *names, "--sizes", "64", "--batches", "1", "--repeat", "1"])
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"results", "ratios", "machine"}
    assert [row["name"] for row in report["results"]] == names
    for row in report["results"]:
        assert {"name", "size", "batch", "median_ms", "peak_mb", "gflop", "parameters"} <= set(row)
        assert row["median_ms"] > 0 and row["peak_mb"] > 0 and row["gflop"] > 0 and row["parameters"] > 0
    json.dumps(report)


def test_ratios_are_of_medians_of_the_same_shape():
    rows = [
        inference.Result("edge", 256, 1, 10.0),
        inference.Result("authors-full", 256, 1, 250.0),
        inference.Result("edge", 512, 1, 40.0),
        inference.Result("informative-drawings", 512, 8, 1.0),
    ]
    assert inference.ratios(rows) == {"authors-full / edge, 256 px": 25.0}


def test_what_would_not_fit_is_not_tried(monkeypatch):
    monkeypatch.setattr(inference, "available_mb", lambda: 8 * 1024)
    done = [inference.Result("vgg16", 512, 8, peak_mb=4096)]
    fits, large = inference.Result("vgg16", 512, 8), inference.Result("vgg16", 1024, 8)
    for row in (fits, large):
        inference.refuse_too_large(row, done)
    assert fits.skipped is None
    assert large.skipped == "needs about 16 GB, 8 GB are free"


def test_what_cannot_be_measured_is_a_row_with_the_reason():
    row = inference.Result("no-such-network", 256, 1)
    assert inference.peak_of(row) is None
    assert row.skipped and row.median_ms is None
    skipped = [r for r in inference.plan(list(YARDSTICKS), [1024], [8], everything=False) if not r.skipped]
    assert not skipped
    assert "skipped" not in inference.table({"results": [], "ratios": {}, "machine": {"cores": 2}})


STUB = """
import itertools
import time
import torch
time.process_time, time.perf_counter = itertools.count(0, 1).__next__, itertools.count(0, 7).__next__
class SketchPipeline:
    @classmethod
    def from_pretrained(cls): return cls()
    def prepare(self, photo): assert torch.get_num_threads() == {threads}
"""


@pytest.mark.parametrize(("threads", "clock"), [(None, 1), (2, 7)], ids=["computing", "on-the-clock"])
def test_a_photograph_is_made_ready_on_so_many_threads_and_timed_by_the_right_clock(threads, clock, tmp_path):
    (tmp_path / "fedgai").mkdir()
    (tmp_path / "fedgai" / "__init__.py").touch()
    (tmp_path / "fedgai" / "pipeline.py").write_text(STUB.format(threads=threads or 1))
    assert ready.turn(tmp_path, [tmp_path / "a.jpg", tmp_path / "b.jpg"], threads) == [clock, clock]


def test_both_folders_are_timed_in_turns_with_the_same_threads(monkeypatch, tmp_path, capsys):
    turns = []
    (tmp_path / "a.jpg").touch()
    monkeypatch.setattr(
        ready, "turn", lambda folder, photos, threads: (turns.append((folder, threads)), [0.5 + len(turns) % 2])[1]
    )
    monkeypatch.setattr("sys.argv", ["ready", str(tmp_path), "--beside", str(tmp_path), "--threads", "2"])
    ready.main()
    assert turns == [(tmp_path, 2), (ready.ROOT, 2)] * 2
    assert capsys.readouterr().out.count("1.500 s there, 0.500 s here, ratio 0.33") == 2
    monkeypatch.setattr("sys.argv", ["ready", str(tmp_path), "--beside", str(tmp_path), "--threads", "0"])
    with pytest.raises(SystemExit):
        ready.main()
