"""Updates are checked before they count, and what counts is averaged as documented (docs/aggregation.md)."""

from __future__ import annotations

import io
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedMedian, FedTrimmedAvg, Krum, MultiKrum
from flwr.supercore.task_identity import TaskIdentity

from benchmarks import aggregation
from federation.server.aggregation import UpdateLimits, inner_strategy, shares
from federation.server.model_card import private_sentence
from federation.server.privacy import epsilon, privacy
from federation.server.report import RoundReport
from federation.server.strategy import DiscriminatorAvg
from federation.server.update_spec import UpdateSpec
from federation.wire import choice_record
from fedgai.line_choice import EVERY_LINE, LineChoice
from fedgai.networks.discriminator import Discriminator

ROUND, CHANNELS, ENCODER = 7, (16, 32, 64, 128), "e" * 64
NAMES = {node: f"Designer {node}" for node in range(1, 9)}
FIRST, BIAS = "body.0.weight", "body.0.bias"
BATCHNORM = "body.1.weight"
CHOICE = choice_record(EVERY_LINE)


@pytest.fixture(scope="module")
def spec() -> UpdateSpec:
    torch.manual_seed(5)
    return UpdateSpec.from_discriminator(Discriminator(4), "edge", ENCODER, "0.1.0", CHANNELS)


@pytest.fixture(scope="module")
def sent(spec) -> np.ndarray:
    """(size,) float32, exactly representable in fp16."""
    return np.random.default_rng(5).normal(0, 0.1, spec.size).astype(np.float16).astype(np.float32)


def update(sent: np.ndarray, node: int, length: float = 0.01) -> np.ndarray:
    """A designer's numbers: a little away from what was sent. (size,) float16."""
    return (sent + np.random.default_rng(node).normal(0, length, sent.shape)).astype(np.float16)


def designer_record(**changes) -> dict:
    return {"round": ROUND, "encoder": ENCODER, "preset": "edge", "release": "0.1.0"} | changes


def reply(
    node: int, arrays: ArrayRecord, pairs: object = 10, metrics: dict | None = None, designer: dict | None = None, **more
) -> Message:
    records = {
        "arrays": arrays,
        "metrics": MetricRecord({"num-examples": pairs, "loss": 0.5} | (metrics or {})),
        "designer": ConfigRecord(designer_record() if designer is None else designer),
    }
    return make_message(metadata_of(node), RecordDict(records | more))


def metadata_of(node: int) -> Metadata:
    return Metadata(1, "", node, 0, "", "", 0.0, 60.0, "train")


def started(spec: UpdateSpec, sent: np.ndarray, limits: UpdateLimits | None = None, **more) -> DiscriminatorAvg:
    strategy = DiscriminatorAvg(spec, limits or UpdateLimits(), **{"names": NAMES} | more)
    strategy.expect(ROUND, spec.record(sent))
    return strategy


def row(spec: UpdateSpec, arrays: ArrayRecord) -> np.ndarray:
    assert {a.dtype for a in arrays.values()} == {"float16"}
    return np.concatenate([arrays[name].numpy().ravel() for name in spec.shapes])


def style(**changes) -> dict:
    """What a designer says who agreed to share a signature."""
    numbers = np.full(2 * sum(CHANNELS), 0.5, "<f4")
    return designer_record(**{"style": numbers.tobytes(), "sketches": 30, "name": "Own Name", "description": "thin"} | changes)


# -- the aggregate -----------------------------------------------------------------------------------------------------------


def test_a_spec_knows_what_is_shared_from_the_modules(spec):
    discriminator = Discriminator(4)
    assert list(spec.shapes) == list(discriminator.shared())
    assert spec.size == sum(p.numel() for p in discriminator.shared().values())
    assert BATCHNORM in spec.withheld and "body.1.running_mean" in spec.withheld
    assert not spec.withheld & set(spec.shapes)
    assert spec.style_length == 480
    record = spec.record(np.zeros(spec.size))
    assert spec.max_bytes == sum(len(a.data) for a in record.values())


def test_the_aggregate_is_the_float64_mean_to_fp16_rounding(spec, sent):
    strategy = started(spec, sent)
    pairs = [10, 20, 30, 40, 15, 25, 35, 500]
    updates = [update(sent, node) for node in NAMES]
    aggregate, metrics = strategy.aggregate_train(
        ROUND, [reply(n, spec.record(u), p, {"loss": float(p)}) for n, u, p in zip(NAMES, updates, pairs, strict=True)]
    )
    assert all(v.accepted and not v.reason for v in strategy.verdicts)
    weights = np.minimum(pairs, 2 * sorted(pairs)[3])  # the cut, written out: twice the fourth smallest of eight
    assert weights.tolist() == [10, 20, 30, 40, 15, 25, 35, 50]
    expected = sum(w / weights.sum() * u.astype(np.float64) for w, u in zip(weights, updates, strict=True))
    np.testing.assert_array_equal(row(spec, aggregate), expected.astype(np.float16))
    assert [v.share for v in strategy.verdicts] == pytest.approx((weights / weights.sum()).tolist())
    assert metrics["loss"] == pytest.approx(float(np.average(pairs, weights=weights)))
    assert [v.pairs for v in strategy.verdicts] == pairs
    assert [v.norm for v in strategy.verdicts] == pytest.approx(
        [float(np.linalg.norm(u.astype(np.float64) - sent)) for u in updates], rel=1e-5
    )


@pytest.mark.parametrize(
    ("pairs", "bound", "expected"),
    [
        ([10, 10, 10], 2, [10, 10, 10]),
        ([10, 10, 100_000], 2, [10, 10, 20]),
        ([1, 100_000], 2, [1, 2]),
        ([5], 2, [5]),
        ([1, 1, 100, 100], 2, [1, 1, 2, 2]),
        ([1, 2, 3, 4], 1, [1, 2, 2, 2]),
    ],
)
def test_no_share_is_above_the_bound(pairs, bound, expected):
    found = shares(pairs, bound)
    np.testing.assert_allclose(found, np.array(expected) / sum(expected))
    assert found.sum() == pytest.approx(1)
    assert found.max() <= bound * np.median(found) + 1e-12
    np.testing.assert_allclose(shares(found, bound), found)  # the fixed point


def test_replies_may_come_one_by_one_and_are_not_kept(spec, sent):
    strategy = started(spec, sent)
    seen = []

    def arriving() -> Iterator[Message]:
        for node in NAMES:
            seen.append(len(strategy.verdicts))
            yield reply(node, spec.record(update(sent, node)), designer=style(name=""))

    aggregate, _ = strategy.aggregate_train(ROUND, arriving())
    assert aggregate is not None and seen == list(range(8))


def test_too_few_means_the_round_is_repeated(spec, sent):
    strategy = started(spec, sent, UpdateLimits(minimum=3))
    replies = [reply(n, spec.record(update(sent, n))) for n in (1, 2)]
    assert strategy.aggregate_train(ROUND, iter(replies)) == (None, None)
    assert [v.accepted for v in strategy.verdicts] == [True, True]
    strategy.expect(ROUND, spec.record(sent))  # the same bytes in the same round again are not a replay
    aggregate, _ = strategy.aggregate_train(ROUND, [*replies, reply(3, spec.record(update(sent, 3)))])
    assert aggregate is not None
    assert strategy.aggregate_train(ROUND, []) == (None, None)


def test_flower_can_run_the_rounds(spec, sent, monkeypatch):
    for key in ("_run_id", "_node_id", "_task_id"):  # as in a ServerApp's process
        monkeypatch.setattr(TaskIdentity, key, 1)

    class Grid:
        """Three designers who answer at once."""

        def get_node_ids(self):
            return [3, 1, 2]

        def send_and_receive(self, messages, timeout):
            for message in messages:
                config = message.content["config"]
                assert (config["preset"], config["encoder"], config["release"]) == ("edge", ENCODER, "0.1.0")
                assert message.metadata.message_type == "train"
                node = message.metadata.dst_node_id
                got = row(spec, message.content["arrays"]).astype(np.float32)
                designer = designer_record(round=config["round"])
                yield reply(node, spec.record(update(got, node + 10 * config["round"])), designer=designer)

    strategy = DiscriminatorAvg(spec, UpdateLimits(minimum=3))
    result = strategy.start(Grid(), spec.record(sent, np.float32), num_rounds=2)
    assert result.arrays is not None and set(result.train_metrics_clientapp) == {1, 2}
    assert [len(digests) for digests in strategy.history.values()] == [2, 2, 2]


# -- hostile updates ---------------------------------------------------------------------------------------------------------


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def lying_header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f2", "fortran_order": False, "shape": shape})
    return buffer.getvalue() + b"\0\0" * 64


class Bomb:
    """Leaves a trace if anybody unpickles it."""

    went_off = False

    def __setstate__(self, state: object) -> None:
        Bomb.went_off = True


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (32,)})
    bomb = Bomb()
    bomb.armed = True  # an empty state would not be set
    return buffer.getvalue() + pickle.dumps(bomb)


def with_value(value: float):
    def change(spec, sent, honest):
        honest[17] = value
        return reply(8, spec.record(honest))

    return change


def with_array(name: str, array):
    """One array of the record replaced, added, or taken out (None)."""

    def change(spec, sent, honest):
        record = spec.record(honest)
        made = array(spec.shapes.get(name)) if array else None
        arrays = {k: v for k, v in record.items() if k != name} | ({name: made} if made else {})
        return reply(8, ArrayRecord(arrays))

    return change


def raw(data: bytes | None = None):
    """An Array whose metadata are right and whose bytes are not."""
    return lambda shape: Array("float16", shape, "numpy.ndarray", data)


def with_reply(**changes):
    return lambda spec, sent, honest: reply(8, spec.record(honest), **changes)


def broken(what: str):
    def change(spec, sent, honest):
        message = reply(8, spec.record(honest))
        if what == "error":
            return make_message(metadata_of(8), error=Error(2, "Traceback: in /studio/ada/secret/sketch.png"))
        if what == "missing record":
            del message.content["designer"]
        if what == "extra record":
            message.content["more"] = ConfigRecord({"a": 1})
        if what == "second arrays":
            message.content["more"] = spec.record(honest)
        if what == "other node":
            return reply(99, spec.record(honest))
        return message

    return change


HOSTILE = {
    "NaN": (with_value(math.nan), "not finite"),
    "infinity": (with_value(math.inf), "not finite"),
    "minus infinity": (with_value(-math.inf), "not finite"),
    "a million times the norm": (
        lambda spec, sent, honest: reply(8, spec.record(np.clip(sent + 1e6 * (honest - sent), -6e4, 6e4).astype(np.float16))),
        "norm",
    ),
    "a hundred times the norm": (
        lambda spec, sent, honest: reply(8, spec.record((sent + 100 * (honest - sent)).astype(np.float16))),
        "5 times the round's median",
    ),
    "wrong shape": (with_array(FIRST, lambda shape: Array(np.zeros((2, 2), np.float16))), "shape (2, 2)"),
    "transposed": (with_array(FIRST, lambda shape: Array(np.zeros(shape[::-1], np.float16))), "shape"),
    "fortran order": (with_array(FIRST, lambda shape: Array(np.asfortranarray(np.zeros(shape, np.float16)))), "header"),
    "float32": (with_array(BIAS, lambda shape: Array(np.zeros(shape, np.float32))), "not float16"),
    "float32 called float16": (with_array(BIAS, raw(npy(np.zeros(8, np.float32)))), "header of 'float32'"),
    "missing tensor": (with_array(BIAS, None), "missing"),
    "extra tensor": (with_array("drawing", lambda shape: Array(np.zeros((9, 9), np.float16))), "not shared"),
    "extra tensor, name of a kilobyte": (with_array("\n" * 1024, lambda shape: Array(np.zeros(1, np.float16))), "…"),
    "BatchNorm": (with_array(BATCHNORM, lambda shape: Array(np.ones(8, np.float16))), "BatchNorm tensor 'body.1.weight'"),
    "BatchNorm of another network": (with_array("norm.running_mean", lambda shape: Array(np.ones(8))), "BatchNorm tensor"),
    "200 MB": (lambda *given: with_array(BIAS, raw(npy(np.zeros(8, "<f2")) + bytes(200 << 20)))(*given), "bytes, not"),
    "garbage bytes": (with_array(BIAS, raw(b"\x93garbage")), "not in numpy's format"),
    "shape without end": (with_array(BIAS, lambda shape: Array("float16", (1,) * 10**6, "numpy.ndarray", b"")), "shape (1, 1"),
    "no bytes": (with_array(BIAS, raw(b"")), "not in numpy's format"),
    "one byte short": (with_array(BIAS, raw(npy(np.zeros(8, "<f2"))[:-1])), "bytes, not"),
    "header that claims 8 TB": (with_array(BIAS, raw(lying_header((1 << 21, 1 << 21)))), "header"),
    "header with negative shape": (with_array(BIAS, raw(lying_header((-8,)))), "header"),
    "header of brackets": (with_array(BIAS, raw(b"\x93NUMPY\x01\x00\xff\xff" + b"[" * 65535)), "not in numpy's format"),
    "pickled objects": (with_array(BIAS, raw(pickled())), "pickled"),
    "another serialisation": (with_array(BIAS, lambda shape: Array("float16", shape, "pickle", b"I1\n.")), "not a numpy array"),
    "round before": (with_reply(designer=designer_record(round=ROUND - 1)), f"round {ROUND - 1}, this is round {ROUND}"),
    "round as text": (with_reply(designer=designer_record(round=str(ROUND))), "round"),
    "no round": (with_reply(designer={k: v for k, v in designer_record().items() if k != "round"}), "round None"),
    "another encoder": (
        with_reply(designer=designer_record(encoder="f" * 64)),
        "its encoder is 'ffffffffffff…', the federation's is eeee",
    ),
    "another preset": (with_reply(designer=designer_record(preset="vgg16")), "its preset is 'vgg16'"),
    "another release": (with_reply(designer=designer_record(release="9")), "install release 0.1.0"),
    "no pairs": (with_reply(pairs=0), "pairs"),
    "pairs without end": (with_reply(pairs=10**12), "pairs"),
    "half a pair": (with_reply(pairs=1.5), "pairs"),
    "metric NaN": (with_reply(metrics={"loss": math.nan}), "metric 'loss'"),
    "metric 1e300": (with_reply(metrics={"loss": 1e300}), "metric 'loss'"),
    "metric list": (with_reply(metrics={"loss": [1.0] * 10}), "metric 'loss'"),
    "metrics in thousands": (with_reply(metrics={f"m{i}": 0.0 for i in range(3000)}), "metrics; 32"),
    "metric's name": (with_reply(metrics={"x" * 100: 0.0}), "metric's name"),
    "fields of its own": (with_reply(designer=designer_record(photo=b"jpeg")), "'photo' about itself"),
    "name of a kilobyte": (with_reply(designer=style(name="x" * 1000)), "name is not up to 40"),
    "name with control characters": (with_reply(designer=style(name="a\x1b[2J")), "printable"),
    "signature too short": (with_reply(designer=style(style=b"\0" * 16)), "480 float32"),
    "signature NaN": (with_reply(designer=style(style=np.full(480, np.nan, "<f4").tobytes())), "no encoder gives"),
    "signature 1e30": (with_reply(designer=style(style=np.full(480, 1e30, "<f4").tobytes())), "no encoder gives"),
    "signature with negative deviations": (with_reply(designer=style(style=np.full(480, -1, "<f4").tobytes())), "negative"),
    "signature as text": (with_reply(designer=style(style="x" * 1920)), "480 float32"),
    "no sketches": (with_reply(designer=style(sketches=0)), "sketches"),
    "refined as text": (with_reply(designer=style(refined="yes")), "whether its style signature was refined"),
    "an adapter where there is none": (with_reply(designer=style(adapter=b"\0" * 16)), "adapter is not 0 bytes"),
    "an adapter without a signature": (
        with_reply(designer=designer_record(adapter=b"")),
        "no style signature that it belongs to",
    ),
    "lines that are not a share": (with_reply(designer=style(**CHOICE | {"draws-seams": 1.5})), "a hand's share of seams"),
    "lines that are not a number": (
        with_reply(designer=style(**CHOICE | {"draws-folds": float("nan")})),
        "a hand's share of folds",
    ),
    "half a choice of lines": (with_reply(designer=style(**{"draws-seams": 1.0})), "a hand's choice of lines names"),
    "lines of another kind": (with_reply(designer=style(**CHOICE | {"draws-hems": 1.0})), "which nobody asked"),
    "error": (broken("error"), "training at home stopped"),
    "missing record": (broken("missing record"), "records"),
    "extra record": (broken("extra record"), "records"),
    "two ArrayRecords": (broken("second arrays"), "records"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_one_hostile_designer_in_eight_is_named_and_changes_nothing(what, spec, sent):
    make, reason = HOSTILE[what]
    honest = [update(sent, node) for node in range(1, 8)]
    hostile = make(spec, sent, update(sent, 8))
    for position in (0, 7):  # first and last to answer
        strategy = started(spec, sent)
        replies = [reply(node, spec.record(u)) for node, u in enumerate(honest, 1)]
        replies.insert(position, hostile)
        aggregate, metrics = strategy.aggregate_train(ROUND, iter(replies))
        left_out = [v for v in strategy.verdicts if not v.accepted]
        assert [v.name for v in left_out] == ["Designer 8"]
        assert reason in left_out[0].reason, left_out[0].reason
        assert len(left_out[0].reason) < 250 and left_out[0].reason.isprintable() and "secret" not in left_out[0].reason
        assert left_out[0].share == 0 and 8 not in strategy.signatures
        got = row(spec, aggregate)
        assert (got >= np.min(honest, 0)).all() and (got <= np.max(honest, 0)).all()
        assert metrics == {"loss": pytest.approx(0.5)}
        json.dumps([v.__dict__ for v in strategy.verdicts], allow_nan=False)
    assert not Bomb.went_off


def test_an_update_of_an_earlier_round_is_a_replay(spec, sent):
    strategy = started(spec, sent)
    updates = {node: spec.record(update(sent, node)) for node in (1, 2, 3)}
    aggregate, _ = strategy.aggregate_train(ROUND, [reply(n, a) for n, a in updates.items()])
    strategy.expect(ROUND + 1, aggregate)
    fresh = [reply(n, spec.record(update(sent, 10 + n)), designer=designer_record(round=ROUND + 1)) for n in (1, 2)]
    again = reply(
        3, updates[1], designer=designer_record(round=ROUND + 1)
    )  # with a new round's number, and even as somebody else
    strategy.aggregate_train(ROUND + 1, [again, *fresh])
    assert [v.accepted for v in strategy.verdicts] == [False, True, True]
    assert "earlier round" in strategy.verdicts[0].reason

    after_restart = DiscriminatorAvg(spec, names=NAMES, history=strategy.history)
    after_restart.expect(ROUND + 2, aggregate)
    after_restart.aggregate_train(ROUND + 2, [reply(1, updates[1], designer=designer_record(round=ROUND + 2))])
    assert "earlier round" in after_restart.verdicts[0].reason


def test_one_reply_a_node_and_only_from_those_who_were_asked(spec, sent):
    strategy = DiscriminatorAvg(spec, names=NAMES)
    strategy.expect(ROUND, spec.record(sent), asked=[1, 2, 3])
    first = [reply(n, spec.record(update(sent, n)), designer=style()) for n in (1, 2, 3)]
    strategy.aggregate_train(ROUND, [*first, reply(1, spec.record(update(sent, 9))), reply(99, spec.record(update(sent, 4)))])
    assert [v.accepted for v in strategy.verdicts] == [True, True, True, False, False]
    assert "first answer counts" in strategy.verdicts[3].reason and "not asked" in strategy.verdicts[4].reason
    assert set(strategy.signatures) == {1, 2, 3}


def test_two_updates_have_no_median_so_the_aggregates_own_norm_bounds_them(spec, sent):
    strategy = started(spec, sent, UpdateLimits(minimum=1))
    replies = [reply(1, spec.record(update(sent, 1))), reply(2, spec.record(update(sent, 2, 0.2)))]
    aggregate, _ = strategy.aggregate_train(ROUND, replies)
    assert [v.accepted for v in strategy.verdicts] == [True, False] and "aggregate's own norm" in strategy.verdicts[1].reason
    np.testing.assert_array_equal(row(spec, aggregate), update(sent, 1))


def test_whoever_learned_something_stays_where_the_others_stood_still(spec, sent):
    strategy = started(spec, sent)
    still = [reply(n, spec.record(sent)) for n in (1, 2, 3)]
    strategy.aggregate_train(ROUND, [*still, reply(4, spec.record(update(sent, 4, 1e-4)))])
    assert all(v.accepted for v in strategy.verdicts)


def test_signatures_carry_the_approved_name(spec, sent):
    strategy = started(spec, sent, names={1: "Ada"})
    replies = [
        reply(1, spec.record(update(sent, 1)), designer=style(name="Somebody")),
        reply(2, spec.record(update(sent, 2)), designer=style(name="Bruno")),
        reply(3, spec.record(update(sent, 3)), designer=style(name="Ada")),
        reply(4, spec.record(update(sent, 4)), designer=style(name="Bruno")),
        reply(5, spec.record(update(sent, 5)), designer=style(name="", refined=True)),
    ]
    strategy.aggregate_train(ROUND, replies)
    assert [v.name for v in strategy.verdicts] == ["Ada", "Bruno", "designer 3", "designer 4", "designer 5"]
    assert [v.accepted for v in strategy.verdicts] == [True, True, False, False, True]
    assert "belongs to another designer" in strategy.verdicts[2].reason
    assert {n: s.name for n, s in strategy.signatures.items()} == {1: "Ada", 2: "Bruno", 5: "designer 5"}
    assert strategy.signatures[1].style.shape == (480,) and strategy.signatures[1].encoder == ENCODER
    assert strategy.signatures[1].extra == {"designer": 1} and strategy.signatures[5].extra == {"designer": 5, "refined": True}


def test_which_lines_a_designer_draws_goes_into_the_bank(spec, sent):
    sends = {1: choice_record(LineChoice(0.5, 0, 1, 0.25)), 2: {}}
    replies = [reply(n, spec.record(update(sent, n)), designer=style(name="", **some)) for n, some in sends.items()]
    strategy = started(spec, sent)
    strategy.aggregate_train(ROUND, replies)
    assert strategy.signatures[1].choice == LineChoice(0.5, 0, 1, 0.25) and strategy.signatures[2].choice == EVERY_LINE


def test_an_adapter_is_any_bytes_of_its_length(spec, sent):
    spec = replace(spec, adapter_size=4)
    strategy = started(spec, sent)
    sent_bytes = {1: b"\x80\x7f\0\xff", 2: b"\0" * 3, 3: "text"}
    replies = [reply(n, spec.record(update(sent, n)), designer=style(name="", adapter=b)) for n, b in sent_bytes.items()]
    strategy.aggregate_train(ROUND, [*replies, reply(4, spec.record(update(sent, 4)), designer=style(name=""))])
    assert [v.accepted for v in strategy.verdicts] == [True, False, False, True]
    assert all("adapter is not 4 bytes" in v.reason for v in strategy.verdicts[1:3])
    assert strategy.signatures[1].adapter.tolist() == [-128, 127, 0, -1]
    assert strategy.signatures[1].extra["refined"]  # so the house is held there: the adapter was learned with its weights
    assert strategy.signatures[4].adapter is None and "refined" not in strategy.signatures[4].extra


def test_a_round_that_was_not_begun_is_an_error_of_ours(spec, sent):
    with pytest.raises(ValueError, match="not configured"):
        started(spec, sent).aggregate_train(ROUND + 1, [])
    with pytest.raises(ValueError, match="not what this federation shares"):
        DiscriminatorAvg(spec).expect(1, ArrayRecord({"a": Array(np.zeros(3))}))


# -- robust alternatives and differential privacy ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"aggregation": "trimmed-mean", "trim": 0.2}, FedTrimmedAvg),
        ({"aggregation": "median"}, FedMedian),
        ({"aggregation": "krum", "malicious": 1}, Krum),
        ({"aggregation": "multikrum", "malicious": 1}, MultiKrum),
    ],
)
def test_robust_methods_are_flowers_own_and_hold_against_one_in_eight(config, kind, spec, sent):
    limits = UpdateLimits.from_run_config(config)
    strategy = started(spec, sent, limits)
    assert type(strategy.inner) is kind
    honest = [update(sent, node) for node in range(1, 8)]
    hostile = (sent + 4 * (update(sent, 8) - sent)).astype(np.float16)  # four times the median: within the norms' bound
    replies = [reply(n, spec.record(u)) for n, u in enumerate([*honest, hostile], 1)]
    replies.append(reply(9, spec.record(np.full(spec.size, np.nan, np.float16))))  # never reaches Flower's class
    aggregate, metrics = strategy.aggregate_train(ROUND, iter(replies))
    assert [v.accepted for v in strategy.verdicts] == [True] * 8 + [False]
    assert metrics["loss"] == pytest.approx(0.5)
    got, all_ = row(spec, aggregate).astype(np.float64), np.stack([*honest, hostile]).astype(np.float64)
    expected = {
        "trimmed-mean": np.sort(all_, 0)[1:-1].mean(0),
        "median": np.median(all_, 0),
        "multikrum": np.mean(honest, 0, dtype=np.float64),
    }.get(limits.aggregation)
    if limits.aggregation == "krum":  # one designer's update, and an honest one's
        assert any((got == h).all() for h in honest)
    else:
        np.testing.assert_allclose(got, expected, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        (UpdateLimits(), 2),
        (UpdateLimits(aggregation="trimmed-mean", trim=0.2), 5),
        (UpdateLimits(aggregation="median"), 3),
        (UpdateLimits(aggregation="krum", malicious=2), 7),
        (UpdateLimits(aggregation="median", minimum=6), 6),
    ],
)
def test_a_method_that_cannot_keep_its_promise_waits_for_more(limits, needed, spec, sent):
    assert limits.needed == needed
    strategy = started(spec, sent, limits)
    replies = [reply(n, spec.record(update(sent, n))) for n in range(1, needed)]
    assert strategy.aggregate_train(ROUND, replies) == (None, None)


def test_central_privacy_clips_and_adds_noise_for_those_who_answered(spec, sent):
    clip, noise, n = 0.05, 1.0, 8
    strategy = started(spec, sent, UpdateLimits.from_run_config({"dp-noise-multiplier": noise, "dp-clipping-norm": clip}))
    assert type(strategy.inner) is DifferentialPrivacyServerSideFixedClipping
    updates = [update(sent, node) for node in range(1, n)] + [sent.astype(np.float16)]  # one of them stood still
    pairs = [10, 100_000, 10, 10, 10, 10, 10, 10]
    np.random.seed(3)
    aggregate, _ = strategy.aggregate_train(
        ROUND, [reply(i, spec.record(u), p) for i, (u, p) in enumerate(zip(updates, pairs, strict=True), 1)]
    )
    assert {v.share for v in strategy.verdicts} == {1 / n}
    changes = [u.astype(np.float64) - sent for u in updates]
    clipped = [c * min(1, clip / max(np.linalg.norm(c), 1e-9)) for c in changes]
    added = row(spec, aggregate) - sent - np.mean(clipped, 0)
    assert added.std() == pytest.approx(noise * clip / n, rel=0.1)  # Flower's own calibration
    assert abs(added.mean()) < 4 * added.std() / math.sqrt(spec.size)


@pytest.mark.parametrize(("noise", "rounds"), [(0.5, 1), (1.0, 1), (1.0, 11), (4.0, 110)])
def test_epsilon_is_exact(noise, rounds):
    """delta at the epsilon found, integrated over what an observer sees of all rounds, with the update and without."""
    spent = epsilon([noise] * rounds)
    apart = math.sqrt(rounds) / noise  # of the two means, in deviations
    x = np.linspace(-20, 20 + apart, 2_000_001)
    density = [np.exp(-((x - mean) ** 2) / 2) / math.sqrt(2 * math.pi) for mean in (apart, 0.0)]
    worse = np.maximum(0, density[0] - math.exp(spent) * density[1])
    assert np.trapezoid(worse, x) == pytest.approx(1e-5, rel=1e-3)


def test_epsilon_adds_up_over_rounds():
    assert epsilon([]) == 0
    assert epsilon([2.0]) < epsilon([1.0]) < epsilon([1.0, 2.0]) < epsilon([1.0, 1.0])
    assert epsilon([1.0] * 4) == pytest.approx(epsilon([0.5]))
    assert math.isfinite(epsilon([0.05]))  # where exp(epsilon) overflows


def test_the_report_says_what_privacy_was_spent(spec):
    assert privacy(UpdateLimits(), [RoundReport(round=0), RoundReport(round=1)]) is None
    limits = UpdateLimits(dp_noise_multiplier=2.0, dp_clipping_norm=0.5)
    first = privacy(limits, [RoundReport(round=0), RoundReport(round=1, privacy=None)])
    assert first.epsilon == first.epsilon_round == epsilon([2.0])
    assert (first.rounds, first.rounds_without) == (1, 1)
    second = privacy(limits, [RoundReport(round=0), RoundReport(round=1), RoundReport(round=2, privacy=first)])
    assert second.epsilon == epsilon([2.0, 2.0]) > second.epsilon_round
    assert (second.rounds, second.rounds_without) == (2, 1)
    assert "(2 so far)" in private_sentence(second) and "without noise (1)" in private_sentence(second)
    json.dumps(asdict(second))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"aggregation": "mode"}, "aggregation is one of"),
        ({"norm-factor": 0.5}, "norm-factor"),
        ({"share-bound": 0}, "share-bound"),
        ({"min-designers": 0}, "min-designers"),
        ({"trim": 0.5}, "trim"),
        ({"dp-noise-multiplier": -1}, "dp-noise-multiplier"),
        ({"aggregation": "krum", "dp-noise-multiplier": 1}, "goes with aggregation mean"),
        ({"dp-clipping-norm": 0}, "clipping"),
    ],
)
def test_settings_that_cannot_work_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        UpdateLimits.from_run_config(config)


def test_the_run_configs_keys_all_arrive():
    config = {
        "rounds": 11,
        "aggregation": "multikrum",
        "norm-factor": 4,
        "share-bound": 3.0,
        "min-designers": 5,
        "trim": 0.1,
        "malicious": 2,
        "dp-noise-multiplier": 0.0,
        "dp-clipping-norm": 2.0,
    }
    assert UpdateLimits.from_run_config(config) == UpdateLimits(
        "multikrum", 5, 4.0, share_bound=3.0, trim=0.1, malicious=2, dp_clipping_norm=2.0
    )
    assert UpdateLimits.from_run_config({}) == UpdateLimits()
    assert inner_strategy(UpdateLimits()) is None


# -- floors --------------------------------------------------------------------------------------------------------------------


def test_the_benchmark_reports_both_on_the_same_list(capsys):
    aggregation.main(["--json", "--only", "time", "--designers", "3", "--repeats", "1"])
    rows = json.loads(capsys.readouterr().out)["results"]
    assert [(r["preset"], r["designers"]) for r in rows] == [("edge", 3), ("vgg16", 3)]
    assert all(r["ours_ms"] > 0 and r["fedavg_ms"] > 0 and r["ratio"] > 0 for r in rows)


def test_a_thousand_updates_fit_into_200_mb():
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.aggregation", "--json", "--only", "memory", "--designers", "1000"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    memory = json.loads(done.stdout)["memory"]
    assert memory["designers"] == memory["accepted"] == 1000
    assert memory["received_mb"] > 600  # would not fit, were it held
    assert memory["above_idle_mb"] < 200
