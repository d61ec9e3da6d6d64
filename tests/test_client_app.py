"""A round at home: what goes on after a kill, what leaves, and what is never told."""

from __future__ import annotations

import copy
import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.supercore.task_identity import TaskIdentity
from helpers.garment_picture import draw_garment
from PIL import ImageOps

from federation.designer import client_app, own_hand
from federation.designer.client_app import (
    ROUND_FILE,
    RoundRefusedError,
    _noised,
    app,
    at_home,
    check,
    discreet,
    local_dp,
    own_model,
    show_refining,
    train_at_home,
    within_budget,
)
from federation.designer.round_config import RoundConfig, round_record
from federation.figure_names import AT_DESIGNERS
from federation.wire import choice_from, pack, unpack
from fedgai import __version__
from fedgai.line_choice import LineChoice
from fedgai.model import WEIGHTS, FedGAI
from fedgai.networks.adapter import adapter_size
from fedgai.networks.discriminator import Discriminator
from fedgai.networks.style import Signature, style_distance
from fedgai.training.local import LocalTrainer
from fedgai.training.saved_training import STATE_FILE

pytestmark = pytest.mark.usefixtures("looked_at_once")
SIZE, EPOCHS = 64, 2
STEPS = 3 * EPOCHS  # of a round: one for each pair
ADAPTER = adapter_size(FedGAI("edge").generator)  # bytes


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return three_pairs(tmp_path)


def three_pairs(parent: Path) -> Path:
    """In a folder with a name that should not travel."""
    folder = parent / "Secret Autumn Collection"
    for kind in ("photos", "sketches"):
        (folder / kind).mkdir(parents=True)
    for i in range(3):
        photo = draw_garment(96 + 16 * i, 120)
        photo.save(folder / "photos" / f"coat {i}.png")
        ImageOps.posterize(ImageOps.grayscale(photo), 1).convert("RGB").save(folder / "sketches" / f"coat {i}.png")
    return folder


@pytest.fixture(scope="module", autouse=True)
def task() -> Iterator[None]:
    """Flower names it in a process of the ClientApp's own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_task_id", "_run_id", "_node_id"):
            patch.setattr(TaskIdentity, name, 1)
        yield


@pytest.fixture
def context(data: Path, tmp_path: Path, tiny_model_dir: Path) -> Context:
    return context_of(data, tmp_path / "model", tiny_model_dir)


def context_of(data: Path, out: Path, weights: Path) -> Context:
    # refining takes a minute, and has tests of its own (test_refine_signature.py)
    config = {
        "data": str(data),
        "out": str(out),
        "name": "Zoë",
        "share-style": True,
        "weights": str(weights),
        "size": SIZE,
        "refine": False,
    }
    return Context(run_id=1, node_id=1, node_config=config, state=RecordDict(), run_config={})


@pytest.fixture
def asked(tiny_model_dir: Path) -> Message:
    return question(tiny_model_dir)


def question(weights: Path, number: int = 7, **changes: object) -> Message:
    model = FedGAI.load(weights)
    bank = [s.style.numpy().astype("<f4").tobytes() for s in model.styles.values()]
    config = {
        "nonce": "0f" * 16,
        "round": number,
        "epochs": EPOCHS,
        "beta": 0.1,
        "preset": "edge",
        "encoder": model.encoder_sha256,
        "release": __version__,
        "bank-names": list(model.styles),
        "bank": b"".join(bank),
    } | changes
    content = RecordDict({"arrays": pack(model.discriminator.shared()), "config": ConfigRecord(config)})
    return make_message(Metadata(1, "asked", 0, 1, "", "", 0.0, 60.0, MessageType.TRAIN), content)


def next_round(weights: Path, number: int = 8) -> Message:
    """With an aggregate that is not that of ``question``, as a round's that had enough answers is."""
    message = question(weights, number)
    arrays = message.content["arrays"]
    name = next(iter(arrays))
    arrays[name] = Array(arrays[name].numpy() * np.float16(0.5))
    return message


@pytest.fixture(scope="module")
def first_round(tiny_model_dir: Path, looked_at_once: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Context, Message]:
    """A designer who has trained round 7, and the answer. Not to be changed."""
    folder = tmp_path_factory.mktemp("designer")
    context = context_of(three_pairs(folder), folder / "model", tiny_model_dir)
    return context, train_at_home(question(tiny_model_dir), context)


@pytest.fixture
def trained(first_round: tuple[Context, Message], context: Context) -> Message:
    """``context`` as it is after round 7. Returns a copy of the answer."""
    before, answered = first_round
    shutil.copytree(str(before.node_config["out"]), str(context.node_config["out"]))
    context.node_config["data"] = before.node_config["data"]
    context.state = copy.deepcopy(before.state)
    return copy.deepcopy(answered)


def test_the_studio_at_home_knows_everybody(asked: Message, context: Context) -> None:
    config, node_config = asked.content["config"], context.node_config
    row = len(config["bank"]) // 3
    config["bank-names"], config["bank"] = ["Ada Line", "Zoë", "Mia"], config["bank"][row:] + config["bank"][:row]
    trainer = at_home(node_config, config)
    styles = trainer.model.styles
    assert list(styles) == ["Ada Line", "Zoë", "Mia"] and styles["Ada Line"].description and not styles["Mia"].description
    mia = torch.from_numpy(np.frombuffer(config["bank"][2 * row :], "<f4").copy())
    assert torch.equal(styles["Mia"].style, trainer.model.style_bounds.clamp(mia))  # a server may send anything
    assert torch.equal(styles["Zoë"].style, trainer.signature.style)  # the own one as measured here
    assert len(trainer.others.styles) == 2
    config["bank"] = config["bank"][:-4]
    with pytest.raises(RoundRefusedError, match="style bank"):
        at_home(node_config, config)


def test_a_round_without_a_server_asks_what_a_server_would(tiny_model_dir: Path) -> None:
    model = FedGAI.load(tiny_model_dir)
    asked = RoundConfig.read(round_record(model, 7, EPOCHS))
    of_server = RoundConfig.read(question(tiny_model_dir, 7).content["config"])
    assert all(np.array_equal(getattr(asked, field.name), getattr(of_server, field.name)) for field in fields(RoundConfig))
    check(asked, model)


def steps(context: Context) -> list[int]:
    log = Path(str(context.node_config["out"])) / "log.jsonl"
    return [json.loads(line)["step"] for line in log.read_text().splitlines()]


def test_what_leaves_is_the_discriminator_some_figures_and_the_signature(trained: Message, context: Context) -> None:
    content = trained.content
    assert set(content) == {"arrays", "metrics", "designer"}
    assert set(content["metrics"]) <= set(AT_DESIGNERS)  # each has a name that a designer understands
    private = FedGAI.load(Path(str(context.node_config["out"])))
    for name, value in unpack(content["arrays"]).items():
        assert torch.equal(value, private.discriminator.shared()[name].half().float())
    about = {"style", "sketches", "refined", "name", "description"}
    assert set(content["designer"]) == {"round", "encoder", "preset", "release"} | about
    assert all(isinstance(v, int | float) for v in content["metrics"].values())


def test_without_consent_neither_signature_nor_name_leave(asked: Message, context: Context) -> None:
    context.node_config["share-style"] = False
    designer = train_at_home(asked, context).content["designer"]
    assert set(designer) == {"round", "encoder", "preset", "release"}


def test_others_hands_are_drawn_in_unless_the_designer_says_no(trained: Message, context: Context, tiny_model_dir: Path) -> None:
    assert "loss-fusion" in trained.content["metrics"]
    context.node_config |= {"fusion": 0.0, "lr": 1e-4}  # both may change between rounds
    assert "loss-fusion" not in train_at_home(next_round(tiny_model_dir), context).content["metrics"]


def test_a_round_with_many_drawings_is_no_longer_than_the_server_waits(
    asked: Message, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_app, "MOST_PAIRS", 2)
    monkeypatch.setattr(client_app, "MOST_STEPS", 3)
    content = train_at_home(asked, context).content
    assert content["metrics"]["num-examples"] == 2
    assert steps(context) == [1, 2]  # one pass, of the two that were asked for


@pytest.mark.parametrize(
    "setting, taught", [({}, True), ({"share-style": False}, False), ({"style-epsilon": 5.0}, False)], ids=str
)
def test_only_who_shares_the_signature_teaches_the_judge_of_hands(
    asked: Message, context: Context, setting: dict[str, bool | float], taught: bool
) -> None:
    """The judge's update tells the signature: who keeps it, or shares it with noise, sends back what came."""
    context.node_config.update(setting)
    came = unpack(asked.content["arrays"])["hand.project.weight"]
    content = train_at_home(asked, context).content
    assert torch.equal(unpack(content["arrays"])["hand.project.weight"], came) == (not taught)
    assert ("loss-hand" in content["metrics"]) == taught


def test_nothing_is_sent_for_the_judge_where_the_house_does_not_ask_it(
    asked: Message, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_hand, "own_signature", lambda trainer, _: replace(trainer.signature, extra={"refined": True}))
    content = train_at_home(asked, context).content
    came = unpack(asked.content["arrays"])["hand.project.weight"]
    assert torch.equal(unpack(content["arrays"])["hand.project.weight"], came)
    assert "loss-hand" not in content["metrics"]
    assert not (Path(str(context.node_config["out"])) / own_hand.EVIDENCE_FILE).exists()


@pytest.mark.usefixtures("trained")
def test_what_the_judge_learns_from_is_measured_once(
    context: Context, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather = Mock(wraps=own_hand.gather)
    monkeypatch.setattr(own_hand, "gather", gather)
    train_at_home(next_round(tiny_model_dir), context)
    assert not gather.called
    file = Path(str(context.node_config["out"])) / own_hand.EVIDENCE_FILE
    file.write_bytes(file.read_bytes()[:100])  # damaged: measured again
    train_at_home(next_round(tiny_model_dir, 9), context)
    assert gather.call_count == 1


def test_a_kill_costs_no_more_than_the_epoch(asked: Message, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    step = LocalTrainer.step

    def killed(trainer: LocalTrainer) -> dict[str, float]:
        if trainer.step_count == 4:  # in the second epoch of three steps
            raise KeyboardInterrupt
        return step(trainer)

    monkeypatch.setattr(LocalTrainer, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        train_at_home(asked, context)
    monkeypatch.setattr(LocalTrainer, "step", step)
    loaded = []
    monkeypatch.setattr(Discriminator, "load_shared", lambda *_: loaded.append(1))
    train_at_home(asked, context)
    assert steps(context) == list(range(1, STEPS + 1))
    assert not loaded  # what it had learned since the aggregate came is kept


@pytest.mark.usefixtures("trained")
def test_a_round_is_answered_once_and_an_older_one_never(asked: Message, context: Context, tiny_model_dir: Path) -> None:
    """A server that asks for one round again would get another answer, with noise of its own, and count one round."""
    for older in (asked, question(tiny_model_dir, 6), question(tiny_model_dir, -1), next_round(tiny_model_dir, 7)):
        with pytest.raises(RoundRefusedError, match="not newer than round 7"):
            discreet(older, context, train_at_home)
    assert steps(context) == list(range(1, STEPS + 1))


def test_the_same_aggregate_under_a_new_number_is_answered_without_training(
    trained: Message, context: Context, tiny_model_dir: Path
) -> None:
    """A round had too few answers, so that the studio asks for the next: nobody has to train twice for one aggregate."""
    first = unpack(trained.content["arrays"])
    again = train_at_home(question(tiny_model_dir, 8), context).content
    assert all(torch.equal(value, first[name]) for name, value in unpack(again["arrays"]).items())
    assert steps(context) == list(range(1, STEPS + 1)) and np.isfinite(again["metrics"]["loss-hinge"])
    assert again["designer"]["round"] == 8


def test_a_training_that_was_killed_goes_on_under_a_new_number(
    asked: Message, context: Context, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = LocalTrainer.step

    def killed(trainer: LocalTrainer) -> dict[str, float]:
        if trainer.step_count == 4:
            raise KeyboardInterrupt
        return step(trainer)

    monkeypatch.setattr(LocalTrainer, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        train_at_home(asked, context)
    monkeypatch.setattr(LocalTrainer, "step", step)
    train_at_home(question(tiny_model_dir, 8), context)
    assert steps(context) == list(range(1, STEPS + 1))


@pytest.mark.usefixtures("trained")
def test_after_a_rollback_another_aggregate_is_another_round(context: Context, tiny_model_dir: Path) -> None:
    train_at_home(next_round(tiny_model_dir), context)
    assert steps(context) == list(range(1, 2 * STEPS + 1))
    state = json.loads((Path(str(context.node_config["out"])) / ROUND_FILE).read_text())
    assert state["first"] == STEPS and state["answered"]


@pytest.mark.usefixtures("trained")
def test_drawings_may_be_added(context: Context, data: Path, tiny_model_dir: Path) -> None:
    context.node_config["data"] = str(data)  # the same drawings
    for kind in ("photos", "sketches"):
        draw_garment(80, 100).save(data / kind / "new.png")
    train_at_home(next_round(tiny_model_dir), context)
    assert steps(context)[-1] == STEPS + EPOCHS * 4


def test_what_goes_wrong_is_told_here_and_not_there(asked: Message, context: Context, caplog: pytest.LogCaptureFixture) -> None:
    context.node_config["data"] += "/nowhere"
    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError) as raised:
        discreet(asked, context, train_at_home)
    assert "Secret" not in str(raised.value) and "Secret" in caplog.text
    progress = json.loads((Path(str(context.node_config["out"])) / "progress.json").read_text())
    assert progress["phase"] == "failed" and "Secret" in progress["trouble"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"release": "9.9"}, "install release 9.9"),
        ({"preset": "vgg16"}, "vgg16"),
        ({"epochs": 10**6}, "refused"),
        ({"beta": -1.0}, "refused"),
        ({"bank": b"\0" * 8}, "style bank"),
    ],
)
def test_a_server_that_asks_for_something_else_is_told_so(
    change: dict, word: str, context: Context, tiny_model_dir: Path
) -> None:
    with pytest.raises(RoundRefusedError, match=word):
        discreet(question(tiny_model_dir, **change), context, train_at_home)
    assert not (Path(str(context.node_config["out"])) / STATE_FILE).exists()


def test_a_server_cannot_name_a_folder_or_ask_for_a_signature(context: Context, tiny_model_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    context.node_config["share-style"] = False
    wishes = {"data": str(other), "out": str(other), "share-style": True, "name": "Eve", "size": 512}
    reply = train_at_home(question(tiny_model_dir, **wishes), context)
    assert not other.exists() and (Path(str(context.node_config["out"])) / STATE_FILE).exists()
    assert "style" not in reply.content["designer"] and "Eve" not in str(reply.content["designer"])
    assert reply.content["metrics"]["num-examples"] == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, None])
def test_an_aggregate_that_cannot_be_is_not_loaded(bad: float | None, asked: Message, context: Context) -> None:
    arrays = asked.content["arrays"]
    name = next(iter(arrays))
    arrays[name] = Array(np.zeros(3, np.float16) if bad is None else np.full_like(arrays[name].numpy(), bad))
    with pytest.raises(RuntimeError, match="own log"):
        discreet(asked, context, train_at_home)
    assert not (Path(str(context.node_config["out"])) / STATE_FILE).exists()


def test_beyond_the_budget_nothing_is_handed_over(asked: Message, trained: Message, context: Context) -> None:
    reply = trained
    context.node_config["budget"] = reply.content["arrays"].count_bytes() + len(reply.content["designer"]["style"])
    assert within_budget(asked, context, lambda *_: reply) is reply
    context.node_config["budget"] -= 1
    with pytest.raises(RoundRefusedError, match="budget"):
        within_budget(asked, context, lambda *_: reply)


def with_adapter(signature: Signature, *_: object) -> Signature:
    adapter = torch.full((ADAPTER,), 7, dtype=torch.int8)
    return replace(signature, adapter=adapter, extra={**signature.extra, "refined": True}, choice=LineChoice(0.5, 0, 1, 0))


def test_an_adapter_leaves_with_its_signature_and_counts(
    asked: Message, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_app, "own_signature", lambda trainer, config: with_adapter(trainer.signature))
    reply = train_at_home(asked, context)
    designer = reply.content["designer"]
    assert designer["adapter"] == bytes([7]) * ADAPTER and designer["refined"]
    assert choice_from(designer) == LineChoice(0.5, 0, 1, 0)
    private = FedGAI.load(Path(str(context.node_config["out"])))
    assert private.styles["Zoë"].adapter is None  # it belongs to the house's weights, not to these
    context.node_config["budget"] = reply.content["arrays"].count_bytes() + len(designer["style"]) + ADAPTER
    assert within_budget(asked, context, lambda *_: reply) is reply
    context.node_config["budget"] -= 1
    with pytest.raises(RoundRefusedError, match="budget"):
        within_budget(asked, context, lambda *_: reply)
    context.node_config |= {"style-epsilon": 8.0, "style-clip": 5.0}
    noised = local_dp(asked, context, lambda *_: reply).content["designer"]
    assert "style" in noised and "adapter" not in noised and not any(name.startswith("draws-") for name in noised)  # no noise
    context.node_config["share-style"] = False
    assert "adapter" not in train_at_home(question(context.node_config["weights"], 9), context).content["designer"]


def test_local_differential_privacy_clips_and_noises_both(asked: Message, trained: Message, context: Context) -> None:
    reply = trained
    sent, own = unpack(asked.content["arrays"]), unpack(reply.content["arrays"])
    style = np.frombuffer(reply.content["designer"]["style"], "<f4")
    context.node_config |= {"local-epsilon": 8.0, "local-clip": 0.5, "style-epsilon": 8.0, "style-clip": 5.0}
    noised = local_dp(asked, context, lambda *_: reply).content
    assert noised["metrics"]["epsilon"] == 16
    numbers = sum(v.numel() for v in sent.values())
    expected = 2 * 0.5 * np.sqrt(2 * np.log(1.25e5)) / 8 * np.sqrt(numbers)  # the noise outweighs the clipped update by far
    moved = np.sqrt(sum(float((v - sent[k]).square().sum()) for k, v in unpack(noised["arrays"]).items()))
    assert moved == pytest.approx(expected, rel=0.05)
    assert noised["arrays"][next(iter(own))].dtype == "float16"
    other = np.frombuffer(noised["designer"]["style"], "<f4")
    assert other.shape == style.shape and not np.allclose(other, style)
    assert own_model(context.node_config).style_bounds.hold(torch.tensor(other))  # the server takes no others


def test_what_others_publish_does_not_move_a_noised_signature(asked: Message, trained: Message, context: Context) -> None:
    reply = trained
    context.node_config |= {"style-epsilon": 1e9, "style-clip": 5.0}
    bounds, config = own_model(context.node_config).style_bounds, asked.content["config"]
    found = []
    for hostile in (None, bounds.most.numpy()):
        if hostile is not None:
            config["bank"] += hostile.astype("<f4").tobytes()
            config["bank-names"] = [*config["bank-names"], "Eve"]
        sent = RecordDict({**reply.content, "designer": ConfigRecord(dict(reply.content["designer"]))})
        noised = local_dp(asked, context, lambda *_, sent=sent: make_message(reply.metadata, sent)).content
        found.append(np.frombuffer(noised["designer"]["style"], "<f4"))
    assert np.abs(found[1] - found[0]).max() < 1e-3


def test_what_the_signatures_clip_and_noise_cost(asked: Message, context: Context) -> None:
    """Of the shipped hands, as docs/privacy.md says it."""
    model = FedGAI.load(WEIGHTS)
    hands, channels = torch.stack([s.style for s in model.styles.values()]), model.preset.channels
    centre = hands.mean(0)
    for epsilon, expected in ((1e9, 0.02), (1000, 0.148)):
        records = [[ArrayRecord({"style": Array(v.double().numpy())}) for v in (centre, hand)] for hand in hands]
        sent = [torch.tensor(_noised(asked, context, *both, epsilon, 10.0)["style"].numpy()).float() for both in records]
        off = torch.stack([style_distance(style[None], hands, channels) for style in sent])  # (K, K)
        assert off.diagonal().mean().item() == pytest.approx(expected, abs=0.01)
        assert (off.argmin(1) == torch.arange(len(hands))).all()


def test_the_app_wraps_everything_in_discretion() -> None:
    assert app._mods[0] is discreet
    assert ArrayRecord({}) == pack({})


def test_the_time_left_is_reckoned_from_where_each_part_begins(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge's pictures come after hours of training, which counted as theirs: the window spoke of days."""
    seconds = [1000.0]
    monkeypatch.setattr("federation.designer.client_app.time.monotonic", lambda: seconds[0])
    show_refining(context, 7)(0.25)
    seconds[0] += 3600
    show = show_refining(context, 7)
    seconds[0] += 20
    show(0.25)
    shown = json.loads((Path(str(context.node_config["out"])) / "progress.json").read_text())
    assert shown == {"phase": "refining", "round": 7, "done": 0.25, "remaining": 60.0}
