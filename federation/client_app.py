"""The designer's side of a round: load the aggregate, train at home, send the Discriminator back.

What this machine trains on, and what it is willing to tell, comes from the designer's own node configuration and never
from the server (``flower-supernode --node-config 'data="/my/pairs" out="/my/model"'``):

| key | meaning |
|---|---|
| `data` | the folder of pairs: `photos/` and `sketches/` |
| `out` | where the private Generator, BatchNorm tensors and optimisers live between rounds |
| `name` | what others see; sent only with `share-style` |
| `share-style` | true to send the style signature |
| `weights` | checkpoint to start from; the project's own by default |
| `size`, `cache-mb` | side of the training square, px; memory for the pairs' maps, MB |
| `local-epsilon`, `local-clip` | local differential privacy, through Flower's LocalDpMod; off without them |
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod
from flwr.clientapp.typing import ClientAppCallable
from torch import Tensor

from fedgai import __version__
from fedgai.model import WEIGHTS, FedGAI
from fedgai.pairs import PairFolder
from fedgai.style import image_statistics, style_distance
from fedgai.train import STATE_FILE, LocalTrainer, TrainConfig, TrainError

DELTA = 1e-5  # of local differential privacy: the probability with which its epsilon may not hold


def local_dp(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Flower's LocalDpMod where the designer's own configuration asks for it: clipped and noised before it leaves."""
    epsilon = float(context.node_config.get("local-epsilon", 0))
    if epsilon <= 0:
        return call_next(message, context)
    clip = float(context.node_config.get("local-clip", 1.0))
    # two updates, each clipped to ``clip``, differ by at most twice that
    reply = LocalDpMod(clip, 2 * clip, epsilon, DELTA)(message, context, call_next)
    if not reply.has_error():  # the mod computes in float64; the wire is fp16
        reply.content["arrays"] = pack({k: torch.from_numpy(v.numpy()) for k, v in reply.content["arrays"].items()})
    return reply


app = ClientApp(mods=[local_dp])


def pack(tensors: dict[str, Tensor]) -> ArrayRecord:
    """Tensors of ``Discriminator.shared`` -> what crosses the wire: the same names, float16."""
    return ArrayRecord({name: Array(value.cpu().half().numpy()) for name, value in tensors.items()})


def unpack(record: ArrayRecord) -> dict[str, Tensor]:
    """The other way, float32. Raises ValueError for anything but plain arrays (numpy is told to unpickle nothing)."""
    return {name: torch.from_numpy(np.array(array.numpy(), np.float32)) for name, array in record.items()}


@app.train()
def train_at_home(message: Message, context: Context) -> Message:
    """One round at home.

    Raises:
        ValueError: the server asks for another preset, encoder or release; the message says which one this is. Flower
            answers the server with the error, and nothing has left this machine.
    """
    here, asked = context.node_config, message.content["config"]
    pairs = PairFolder(str(here["data"]), int(here.get("size", 256)), skip_bad=True)
    out = Path(str(here["out"]))
    model = FedGAI.load(out if (out / STATE_FILE).exists() else str(here.get("weights") or WEIGHTS))
    check(asked, model)
    config = TrainConfig(epochs=10**6, beta=float(asked["beta"]), freeze_batchnorm=True,
                         cache_mb=int(here.get("cache-mb", 1024)))
    name = str(here.get("name") or "designer")
    trainer = LocalTrainer(model, pairs, config, out, name=name, others=others(asked, model, name))
    if (out / STATE_FILE).exists():
        trainer.resume()
    model.discriminator.load_shared(unpack(message.content["arrays"]))

    sums: dict[str, float] = {}
    steps = int(asked["epochs"]) * trainer.steps_per_epoch
    progress = out / "progress.json"

    def watch(report) -> None:
        done = steps - (until - report.step)
        for name, value in report.losses.items():
            sums[name] = sums.get(name, 0.0) + value / steps
        told = {"round": int(asked["round"]), "step": done, "steps": steps, "losses": report.losses}
        aside = progress.with_suffix(".new")
        aside.write_text(json.dumps(told))
        os.replace(aside, progress)

    until = trainer.step_count + steps
    trainer.run(until, on_step=watch)
    metrics = {"num-examples": len(pairs), **{f"loss-{k.replace('_', '-')}": v for k, v in sums.items()},
               "own-distance": own_distance(trainer)}
    told: dict[str, object] = {"round": asked["round"], "encoder": model.encoder_sha256, "preset": model.preset.name,
                               "release": __version__}
    if here.get("share-style"):
        style = trainer.style[0].cpu().numpy().astype("<f4")
        told |= {"style": style.tobytes(), "sketches": len(pairs), "name": str(here.get("name", ""))[:40],
                 "description": str(here.get("description", ""))[:300]}
    content = RecordDict({"arrays": pack(model.discriminator.shared()), "metrics": MetricRecord(metrics),
                          "designer": ConfigRecord(told)})
    return Message(content, reply_to=message)


def check(asked: ConfigRecord, model: FedGAI) -> None:
    """Raises ValueError, naming both, where the server's federation is not one that this installation can take part in."""
    mine = {"preset": model.preset.name, "encoder": model.encoder_sha256, "release": __version__}
    for what, value in mine.items():
        if asked[what] != value:
            advice = f"install release {asked['release']}" if what == "release" else "start from the federation's weights"
            raise ValueError(f"the federation has {what} {str(asked[what])[:12]}, this machine {value[:12]}: {advice}")
    if not 1 <= int(asked["epochs"]) <= 100 or not 0 <= float(asked["beta"]) <= 10:
        raise TrainError(f"the server asks for {asked['epochs']} epochs and beta {asked['beta']}: refused")


def others(asked: ConfigRecord, model: FedGAI, name: str) -> Tensor | None:
    """The signatures that other designers published, (K, D), from the server's message; None where there are none.

    Raises ValueError where they do not fit this encoder or are not finite.
    """
    row, names = 2 * sum(model.preset.channels), list(asked.get("bank-names", []))
    bank = np.frombuffer(asked.get("bank", b""), "<f4")
    if bank.size != row * len(names) or not np.isfinite(bank).all():
        raise ValueError("the server's style bank does not fit this encoder")
    rows = [i for i, other in enumerate(names) if other != name]
    return torch.from_numpy(bank.reshape(-1, row)[rows].copy()) if rows else None  # (K, D)


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
