"""The designer's side of a round: load the aggregate, train at home, send the Discriminator back.

What this machine trains on, and what it may send, is set by the designer's own node configuration and never by the server
(``flower-supernode --node-config 'data="/my/pairs" out="/my/model"'``):

| key | meaning |
|---|---|
| `data` | the folder of pairs: `photos/` and `sketches/` |
| `out` | where the private Generator, BatchNorm tensors and optimisers live between rounds |
| `name` | sent with `share-style` only; what others see is the name that the operator approved with the key |
| `share-style` | true to send the style signature |
| `weights` | checkpoint to start from; the project's own by default |
| `device` | that training runs on, as torch names it; "cpu" by default |
| `size` | side of the training square, px; by default that of the drawings, 256 to 512 |
| `cache-mb` | memory for the pairs' maps, MB |
| `lr` | learning rate of the Discriminator; the trainer's default without it |
| `fusion` | weight of the house's drawings in others' hands, 1 by default; 0 for the Discriminator alone (docs/fusion.md) |
| `refine` | adjust the signature to the house Generator and learn an adapter before they are shared; on by default |
| `local-epsilon` | local differential privacy, through Flower's LocalDpMod, of a round's update; off without it |
| `local-clip` | L2 norm that an update is cut to before noise is added; 1 by default |
| `style-epsilon`, `style-clip` | the same for the signature; its distance from round 0's mean is cut to 10 by default |
| `budget` | bytes that a round may send; an update that is larger is not handed over |
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fedgai.imports import collector_paused

with collector_paused():
    import numpy as np
    import torch
    from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict, UserConfig
    from flwr.app.message import make_message
    from flwr.clientapp import ClientApp
    from flwr.clientapp.mod import LocalDpMod
    from flwr.clientapp.typing import ClientAppCallable
    from torch import Tensor

    from federation.designer.own_hand import own_signature, refine_own_hand, teach_own_hand
    from federation.designer.round_config import RoundConfig, RoundRefusedError
    from federation.wire import choice_record, pack, unpack
    from fedgai import __version__
    from fedgai.data import kept_cutouts
    from fedgai.data.pairs import PairFolder, training_side
    from fedgai.files import write_atomically
    from fedgai.line_choice import EVERY_LINE
    from fedgai.model import FedGAI
    from fedgai.networks.style import Signature, image_statistics, style_distance
    from fedgai.shipped import WEIGHTS
    from fedgai.training.local import LocalTrainer
    from fedgai.training.saved_training import LOG_FILE, STATE_FILE
    from fedgai.training.train_config import StepReport, TrainConfig

log = logging.getLogger("fedgai.client")

DELTA = 1e-5  # of local differential privacy: the probability with which its epsilon may not hold
ROUND_FILE = "round.json"  # which round the private model is in, so that a training that was killed goes on in it
PROGRESS_FILE = "progress.json"
MOST_PAIRS = 250  # that are trained on, of 1.6 MB each
MOST_STEPS = 600  # in a round: about five minutes on two cores, so that a slow laptop with many drawings answers in time
SHOWN_EVERY = 0.3  # s between two reports of progress while it trains


def discreet(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """The outermost mod: this machine's log has errors in full, the server gets one fixed sentence.

    Flower answers the server with an exception's text, and that may name folders, files or drawings.
    """
    try:
        return call_next(message, context)
    except Exception as error:
        log.exception("the round was not trained")
        show_progress(context, phase="failed", trouble=str(error) or type(error).__name__)
        if isinstance(error, RoundRefusedError):
            raise
        raise RuntimeError("the designer's machine could not train; its own log says why") from None


def local_dp(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Flower's LocalDpMod where the designer's own configuration asks for it: clipped and noised before it leaves."""
    node_config = context.node_config
    epsilon = float(node_config.get("local-epsilon", 0))
    style_epsilon = float(node_config.get("style-epsilon", 0))
    reply = call_next(message, context)
    if reply.has_error():
        return reply
    designer = reply.content.config_records["designer"]
    if epsilon > 0:
        clip = float(node_config.get("local-clip", 1.0))
        aggregate = message.content.array_records["arrays"]
        noised = _noised(message, context, aggregate, reply.content.array_records["arrays"], epsilon, clip)
        reply.content["arrays"] = pack({k: torch.from_numpy(v.numpy()) for k, v in noised.items()})
    measured = designer.get("style")
    if style_epsilon > 0 and isinstance(measured, bytes):
        style = np.frombuffer(measured, "<f4")
        model = own_model(node_config)
        centre = model.neutral.numpy()  # of round 0: what others published, or the server says they did, does not move it
        sent = ArrayRecord({"style": Array(centre.astype(np.float64))})
        own = ArrayRecord({"style": Array(style.astype(np.float64))})
        noised = _noised(message, context, sent, own, style_epsilon, float(node_config.get("style-clip", 10.0)))
        # noise can make numbers that no drawing gives, which the server refuses; to clamp them does not weaken the privacy
        noised_style = model.style_bounds.clamp(torch.from_numpy(noised["style"].numpy()).float())
        designer["style"] = noised_style.numpy().astype("<f4").tobytes()
        for name in ("adapter", *choice_record(EVERY_LINE)):  # these have no noise, and would tell of the same drawings
            designer.pop(name, None)
    spent = max(0.0, epsilon) + (max(0.0, style_epsilon) if "style" in designer else 0.0)
    if spent:
        reply.content.metric_records["metrics"]["epsilon"] = spent  # of one update; updates add up
    return reply


def _noised(message: Message, context: Context, sent: ArrayRecord, own: ArrayRecord, epsilon: float, clip: float) -> ArrayRecord:
    """``own`` as Flower's mod would send it: its difference from ``sent`` clipped, and noise added, float64."""
    question = make_message(message.metadata, RecordDict({"arrays": sent}))
    own = ArrayRecord({name: Array(value.numpy().astype(np.float64)) for name, value in own.items()})
    # two updates, each clipped to ``clip``, differ by at most twice that
    reply = LocalDpMod(clip, 2 * clip, epsilon, DELTA)(
        question, context, lambda *_: make_message(message.metadata, RecordDict({"arrays": own}))
    )
    if reply.has_error():
        raise RoundRefusedError("the aggregate has other tensors than this release shares")
    return reply.content.array_records["arrays"]


def within_budget(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Refuse to send more than the designer allows in a round; the companion's proxy counts again."""
    reply = call_next(message, context)
    budget = int(context.node_config.get("budget", 0))
    if not budget or reply.has_error():
        return reply
    designer = reply.content.config_records["designer"]
    hand = (designer.get(key) for key in ("style", "adapter"))
    size = reply.content.array_records["arrays"].count_bytes() + sum(len(part) for part in hand if isinstance(part, bytes))
    if size > budget:
        raise RoundRefusedError(f"this update has {size:,} bytes, and the designer's budget for a round is {budget:,}")
    return reply


app = ClientApp(mods=[discreet, within_budget, local_dp])


def show_progress(context: Context, **state: object) -> None:
    """Write ``progress.json`` into ``out``, whole at any moment: what the companion shows."""
    file = Path(str(context.node_config["out"])) / PROGRESS_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(state).encode())


def show_refining(context: Context, number: int) -> Callable[[float], None]:
    """-> a function to call with the share that is done. It measures the time from now on, to estimate what is left."""
    begun = time.monotonic()

    def show(done: float) -> None:
        remaining = (time.monotonic() - begun) * (1 - done) / done if done > 0 else 0.0
        show_progress(context, phase="refining", round=number, done=done, remaining=remaining)

    return show


@app.train()
def train_at_home(message: Message, context: Context) -> Message:
    """One round at home.

    Raises:
        RoundRefusedError: the server asks for another preset, encoder or release, for a round that was answered, or sends
            what cannot be an aggregate. Flower answers the server with the error, and nothing else has left this machine.
    """
    node_config, record = context.node_config, message.content.config_records["config"]
    config = RoundConfig.read(record)
    out, number = Path(str(node_config["out"])), config.round
    check_newer(out, number)
    show_progress(context, phase="preparing", round=number)
    trainer = at_home(node_config, record)

    refine_own_hand(trainer, node_config, show_refining(context, number))
    arrays = message.content.array_records["arrays"]
    first = _begin(trainer, out, number, arrays)
    epochs = max(1, min(config.epochs, MOST_STEPS // trainer.steps_per_epoch))
    until = first + epochs * trainer.steps_per_epoch
    sums: dict[str, float] = {}
    started, to_do, clock = trainer.step_count, max(1, until - trainer.step_count), time.monotonic()
    shown = 0.0

    def watch(report: StepReport) -> None:
        nonlocal shown
        for name, value in report.losses.items():
            sums[name] = sums.get(name, 0.0) + value / to_do
        now = time.monotonic()
        if now - shown < SHOWN_EVERY and report.step < until:
            return
        shown = now
        show_progress(
            context,
            phase="training",
            round=number,
            step=report.step - first,
            steps=until - first,
            epoch=(report.step - first - 1) // trainer.steps_per_epoch + 1,
            epochs=epochs,
            remaining=(now - clock) / (report.step - started) * (until - report.step),
        )

    trainer.run(until, on_step=watch)
    if trainer.step_count == started:  # killed between the last step and the answer, or the same aggregate again
        sums = last_losses(out)
    weight = unpack(arrays).get("hand.project.weight")
    taught = teach_own_hand(
        trainer, node_config, weight, others(config, trainer.model, trainer.name), show_refining(context, number)
    )
    if taught is not None:
        sums["hand"] = taught
    reply = Message(answer(trainer, node_config, record, sums), reply_to=message)
    _write_round(out, _read_round(out) | {"answered": True})
    show_progress(context, phase="sending", round=number, step=until - first, steps=until - first)
    return reply


def own_model(node_config: UserConfig) -> FedGAI:
    """The private model as it was last saved, or the one to start from. Raises CheckpointError."""
    out = Path(str(node_config["out"]))
    return FedGAI.load(out if (out / STATE_FILE).exists() else str(node_config.get("weights") or WEIGHTS))


def at_home(node_config: UserConfig, record: ConfigRecord) -> LocalTrainer:
    """The private model with its optimisers, where the last saving left them, on the drawings of today.

    Args:
        node_config: the designer's own configuration, see above.
        record: the server's question, see ``RoundConfig``.
    Raises:
        RoundRefusedError: see ``RoundConfig.read`` and ``check``.
        PairsError, TrainError, CheckpointError: of this machine's own folders.
    """
    out, config = Path(str(node_config["out"])), RoundConfig.read(record)
    begun, model = (out / STATE_FILE).exists(), own_model(node_config)
    check(config, model)
    data, house = str(node_config["data"]), FedGAI.load(str(node_config.get("weights") or WEIGHTS)).generator
    size = int(node_config.get("size") or training_side(data))
    pairs = PairFolder(data, size, skip_bad=True, draughtsman=model.draughtsman, most=MOST_PAIRS, kept=out / kept_cutouts.FOLDER)
    model.styles = everybody(config, model) or model.styles  # kept for the studio at home
    model.to(str(node_config.get("device") or "cpu"))
    # saved after each epoch: if the laptop is closed, no more than that is lost
    fusion = float(node_config.get("fusion", TrainConfig.fusion))
    training = TrainConfig(
        epochs=10**6,
        lr=float(node_config.get("lr", TrainConfig.lr)),
        beta=config.beta,
        trained_before=True,
        freeze_batchnorm=True,
        save_every=len(pairs),
        size=pairs.size,
        cache_mb=int(node_config.get("cache-mb", 1024)),
        fusion=fusion,
    )
    name = str(node_config.get("name") or "designer")
    hands = others(config, model, name)
    trainer = LocalTrainer(model, pairs, training, out, name=name, others=hands if fusion else None, house=house)
    if begun:  # drawings are added from month to month, and a new release may train otherwise
        trainer.resume(may_change=("pairs", "name", *(field.name for field in fields(TrainConfig))))
    return trainer


def check_newer(out: Path, number: int) -> None:
    """A round is answered once, and only after all that came before it. Raises RoundRefusedError.

    Otherwise a server could ask for one round again and again and get an answer with new noise each time, while the designer
    counts one round. A studio that has to repeat a round gives it a new number.
    """
    last = _read_round(out)
    if number < last["round"] or (number == last["round"] and last["answered"]):
        raise RoundRefusedError(f"round {number} is not newer than round {last['round']}, which this machine has answered")


def _begin(trainer: LocalTrainer, out: Path, number: int, arrays: ArrayRecord) -> int:
    """Load the aggregate, unless training has begun with this very one. Returns the round's first step."""
    digest = hashlib.sha256(b"".join(array.data for array in arrays.values())).hexdigest()
    last = _read_round(out)
    again = last["aggregate"] == digest and trainer.step_count > last["first"]
    if not again:
        trainer.model.discriminator.load_shared(unpack(arrays))
    first = int(last["first"]) if again else trainer.step_count
    out.mkdir(parents=True, exist_ok=True)
    _write_round(out, {"round": number, "aggregate": digest, "first": first, "answered": False})
    return first


def _read_round(out: Path) -> dict[str, Any]:
    """The last round here: round, aggregate (its SHA-256), first (step), answered."""
    none: dict[str, Any] = {"round": 0, "aggregate": "", "first": 0, "answered": False}
    try:
        last = none | json.loads((out / ROUND_FILE).read_text())
        state: dict[str, Any] = last | {"round": int(last["round"]), "first": int(last["first"])}
        return state
    except (OSError, ValueError, TypeError):  # the first round, or a file that was cut short: the round starts again
        return none


def _write_round(out: Path, state: dict[str, Any]) -> None:
    write_atomically(out / ROUND_FILE, json.dumps(state).encode())


def answer(trainer: LocalTrainer, node_config: UserConfig, record: ConfigRecord, sums: dict[str, float]) -> RecordDict:
    """Everything that leaves this machine after a round.

    Returns:
        arrays: ``Discriminator.shared``, float16. metrics: number of pairs, mean losses, own style distance. designer:
        which round, preset, encoder and release it belongs to; and, if the designer agreed, signature, adapter, which lines they
        draw, and name.
    """
    model, pairs = trainer.model, trainer.pairs
    losses = {f"loss-{name.replace('_', '-')}": value for name, value in sums.items()}
    metrics = MetricRecord({"num-examples": len(pairs), **losses, "own-distance": own_distance(trainer)})
    designer: dict[str, Any] = {
        "round": record["round"],
        "encoder": model.encoder_sha256,
        "preset": model.preset.name,
        "release": __version__,
    }
    if node_config.get("share-style"):
        signature = own_signature(trainer, node_config)
        designer |= {
            "style": signature.style.numpy().astype("<f4").tobytes(),
            "sketches": signature.sketches,
            "refined": signature.extra.get("refined") is True,
            **({} if signature.adapter is None else {"adapter": signature.adapter.numpy().tobytes()}),
            **({} if signature.choice == EVERY_LINE else choice_record(signature.choice)),
            "name": str(node_config.get("name", ""))[:40],
            "description": str(node_config.get("description", ""))[:300],
        }
    return RecordDict({"arrays": pack(model.discriminator.shared()), "metrics": metrics, "designer": ConfigRecord(designer)})


def last_losses(out: Path) -> dict[str, float]:
    """Of the last step in the trainer's log."""
    line = json.loads((out / LOG_FILE).read_text().splitlines()[-1])
    return {name: value for name, value in line.items() if name not in ("step", "epoch")}


def check(config: RoundConfig, model: FedGAI) -> None:
    """Raises RoundRefusedError if this installation cannot take part in the server's federation; the message says why."""
    installed = {"preset": model.preset.name, "encoder": model.encoder_sha256, "release": __version__}
    for what, wanted in {"preset": config.preset, "encoder": config.encoder, "release": config.release}.items():
        if wanted != installed[what]:
            advice = f"install release {wanted[:12]}" if what == "release" else "start from the federation's weights"
            raise RoundRefusedError(f"the federation has {what} {wanted[:12]}, this machine {installed[what][:12]}: {advice}")


def everybody(config: RoundConfig, model: FedGAI) -> dict[str, Signature]:
    """The signatures that designers published, from the server's message; descriptions are those that the model knows.

    Raises RoundRefusedError where they do not fit this encoder.
    """
    row = 2 * sum(model.preset.channels)
    if config.bank.size != row * len(config.names):
        raise RoundRefusedError("the server's style bank does not fit this encoder")
    unknown = Signature(torch.empty(0), model.encoder_sha256)
    styles = model.style_bounds.clamp(torch.from_numpy(config.bank.reshape(-1, row).copy()))  # (K, D)
    return {
        name: replace(model.styles.get(name, unknown), name=name, style=style, adapter=None)
        for name, style in zip(config.names, styles, strict=True)
    }


def others(config: RoundConfig, model: FedGAI, name: str) -> Tensor | None:
    """The signatures of ``everybody`` without that of ``name``: (K, D). Returns None if nobody else has one.

    Raises RoundRefusedError as ``everybody`` does.
    """
    hands = [signature.style for other, signature in everybody(config, model).items() if other != name]
    return torch.stack(hands) if hands else None


@torch.inference_mode()
def own_distance(trainer: LocalTrainer, count: int = 4) -> float:
    """How far the private Generator's drawings are from the designer's own signature: mean over the first photographs."""
    model, found = trainer.model.eval(), []
    for i in range(min(count, len(trainer.pairs))):
        photo = trainer.pairs[i][0][None].to(trainer.device)
        statistics = image_statistics(model.encoder(model.generator(model.encoder(photo), trainer.style)))
        found.append(style_distance(statistics, trainer.style, model.preset.channels).item())
    model.train()
    return float(np.mean(found))
