"""Answers taken in while some come to nothing: what a round's report says of each, and that nobody waits for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError
from flwr.supercore.task_identity import TaskIdentity
from helpers.studio_server import PATIENCE

from federation.server import replies
from federation.server import season as season_module
from federation.server.aggregation import UpdateLimits
from federation.server.folder import Folder
from federation.server.report import RoundReport
from federation.server.season import FederationConfig, Season, round_task
from federation.server.strategy import DiscriminatorAvg
from federation.server.update_spec import UpdateSpec
from federation.wire import NONCE, NONCE_BYTES, pack
from fedgai import __version__
from fedgai.errors import FedGAIError
from fedgai.model import FedGAI

NAMES = {11: "Honest", 12: "Late", 13: "Stalled", 14: "Forger", 15: "Garbage", 16: "Gone", 17: "Silent", 18: "Hasty"}
SUPERLINK = 1
DEADLINE = 1000.0  # of the tests' own clock
Begun = tuple[Season, DiscriminatorAvg, FedGAI]


class Grid:
    """Stands in for the SuperLink's answers, which its own tests have over the wire; made to go wrong in a set way each."""

    def __init__(self, spec: UpdateSpec, sent: np.ndarray) -> None:
        self.spec, self.sent, self.ends, self.asked = spec, sent, threading.Event(), set()
        self.away = True  # once

    def get_node_ids(self) -> Iterable[int]:
        return NAMES

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        (message,) = messages
        node = message.metadata.dst_node_id
        if node == 18:
            raise ObjectPushError("object", 1, "session")
        return [f"question to {node}"]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        (asked,) = message_ids
        node = int(asked.removeprefix("question to "))
        first, _ = asked not in self.asked, self.asked.add(asked)
        if self.away:
            self.away = False
            raise httpx.ConnectError("the SuperLink is away")
        match node:
            case 11:
                return [self.answer("question to nobody", 14), self.answer(asked, node)]  # an order to the server, and the answer
            case 12:
                return [] if first else [self.answer(asked, node)]
            case 13:
                self.ends.wait(2 * PATIENCE)  # longer than the round may take
            case 14:
                return [self.answer(asked, 11)]
            case 15:
                raise ValueError("bytes of a stranger's")
            case 16:
                return [make_message(Metadata(1, "", SUPERLINK, SUPERLINK, asked, "", 0.0, 0.0, "system"), error=Error(5, ""))]
        return []

    def answer(self, asked: str, node: int) -> Message:
        numbers = self.sent + np.random.default_rng(node).normal(0, 1e-3, self.spec.size)
        about = {"round": 1, "preset": self.spec.preset, "encoder": self.spec.encoder, "release": __version__}
        content = RecordDict(
            {"arrays": self.spec.record(numbers), "metrics": MetricRecord({"num-examples": 8}), "designer": ConfigRecord(about)}
        )
        return make_message(Metadata(1, "", node, SUPERLINK, asked, "", 0.0, 60.0, "train"), content)


@pytest.fixture
def season(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begun]:
    for key in ("_run_id", "_node_id", "_task_id"):  # as in a ServerApp's process
        monkeypatch.setattr(TaskIdentity, key, 1)
    folder, model = Folder(tmp_path), FedGAI.load(tiny_model_dir)
    folder.publish(0, model, RoundReport.of_the_start())
    spec = UpdateSpec.from_model(model, __version__)
    grid = Grid(spec, spec.row(pack(model.discriminator.shared())))
    yield Season(grid, folder, FederationConfig(), UpdateLimits()), DiscriminatorAvg(spec, names=NAMES), model
    grid.ends.set()


def clock(strategy: DiscriminatorAvg, *names: str) -> SimpleNamespace:
    """In the place of ``time`` in replies.py: the deadline passes once there is a verdict on each of ``names``.

    A deadline in real seconds would be too short on a slow machine, and a wait on every other one.
    """
    ceiling = time.monotonic() + PATIENCE

    def now() -> float:
        complete = set(names) <= {verdict.name for verdict in strategy.verdicts}
        return 2 * DEADLINE if complete or time.monotonic() > ceiling else 0.0

    return SimpleNamespace(time=now, sleep=time.sleep)


def test_who_comes_to_nothing_is_named_and_holds_up_nobody(season: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    season, strategy, model = season
    monkeypatch.setattr(replies, "POLL", 0.2)
    monkeypatch.setattr(replies, "time", clock(strategy, "Honest", "Late", "Forger", "Garbage", "Gone", "Hasty"))
    messages = list(strategy.configure_train(1, pack(model.discriminator.shared()), ConfigRecord({}), season.grid))
    aggregate, _ = strategy.aggregate_train(1, season.replies(messages, DEADLINE, strategy))
    assert aggregate is not None, strategy.verdicts
    reasons = {v.name: v.reason for v in strategy.verdicts}
    assert {v.name for v in strategy.verdicts if v.accepted} == {"Honest", "Late"}
    assert reasons.pop("Honest") == reasons.pop("Late") == ""
    for name, words in {
        "Stalled": "not whole",
        "Forger": "somebody else's",
        "Garbage": "cannot be read",
        "Gone": "not connected",
        "Hasty": "before it had arrived",
    }.items():
        assert words in reasons.pop(name)
    assert not reasons  # who was silent is added by the round
    status = season.folder.status()
    assert (status.phase, status.asked, status.answered) == ("aggregating", 7, 5)


def test_nobody_can_name_a_rounds_record_before_it_is_sent(season: Begun) -> None:
    """Flower names an object by its content: the same task twice must not be the same object."""
    bank = list(season[2].styles.values())
    first, second = (round_task(FederationConfig(), bank) for _ in range(2))
    assert first.object_id != second.object_id
    assert len(first[NONCE]) == NONCE_BYTES and {k for k in first if first[k] != second[k]} == {NONCE}


def test_a_superlink_in_trouble_costs_a_retry_and_no_round(season: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    """One 500, "database is locked", ended the run."""
    season, strategy, model = season
    monkeypatch.setattr(replies, "POLL", 0.01)
    monkeypatch.setattr(replies, "time", clock(strategy, "Honest", "Late", "Gone"))
    push, refused = season.grid.push_messages, []

    def busy(messages: Iterable[Message]) -> Iterable[str]:
        (message,) = messages
        node = message.metadata.dst_node_id
        if node == 16 or (node == 11 and refused.count(11) < 3):
            refused.append(node)
            request = httpx.Request("POST", "https://127.0.0.1/v1/runtime/push-messages")
            raise httpx.HTTPStatusError("locked", request=request, response=httpx.Response(500, request=request))
        return push([message])

    monkeypatch.setattr(season.grid, "push_messages", busy)
    messages = list(strategy.configure_train(1, pack(model.discriminator.shared()), ConfigRecord({}), season.grid))
    strategy.aggregate_train(1, season.replies(messages, DEADLINE, strategy))
    assert {v.name for v in strategy.verdicts if v.accepted} == {"Honest", "Late"}
    assert refused.count(11) == 3 and refused.count(16) == replies.PUSHES
    assert "could not pass its task on" in next(v.reason for v in strategy.verdicts if v.name == "Gone")


def test_garments_that_are_not_there_are_named(season: Begun, tmp_path: Path) -> None:
    with pytest.raises(FedGAIError, match='run config, examples="/where/it/is"'):
        Season(season[0].grid, season[0].folder, FederationConfig(examples=str(tmp_path / "nowhere")), UpdateLimits())


def test_a_round_that_failed_keeps_its_number_to_itself_in_the_next_run_too(
    season: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever had answered it refused it for good: a season of one round, which came to nothing once, never got any further."""
    first, _, model = season
    config = FederationConfig(rounds=1, deadline=1)
    monkeypatch.setattr(season_module, "POLL", 0.01)
    monkeypatch.setattr(Season, "replies", lambda *_: iter(()))
    run = Season(first.grid, first.folder, config, UpdateLimits())
    assert (run.number, run.last) == (1, 1)
    run.round()
    assert not run.goes_on() and first.folder.rounds() == [0]
    again = Season(first.grid, first.folder, config, UpdateLimits())
    assert (again.number, again.last) == (2, 2) and again.goes_on()
    first.folder.publish(2, model, RoundReport(round=2))
    assert Season(first.grid, first.folder, config, UpdateLimits()).number == 3
