"""The server's side: seasons of rounds, each ending in a whole checkpoint (FedGAI, arXiv 2503.12389, sec. 3).

    aggregate -> designers -> checked and averaged -> house Generator -> probe -> checkpoint -> the next round

The run goes on from the last whole checkpoint of the federation's folder, so it may be killed at any moment and started
again. It ends at the end of a season, or when nobody has been there for a while: waiting is the host's business.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import torch
from flwr.app import ConfigRecord, Context, Message
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError

from federation.server.aggregation import Limits
from federation.server.closing import SILENT, Closing, silent_twice
from federation.server.folder import Folder, home
from federation.server.privacy import privacy
from federation.server.refine import EXAMPLES, Bounds, HouseStep, HouseStepConfig, reason_to_hold_back, sheet, style_distances
from federation.server.report import RoundReport
from federation.server.strategy import DiscriminatorAvg
from federation.server.update_check import ERRORS
from federation.server.update_spec import UpdateSpec
from federation.wire import NONCE, NONCE_BYTES, pack, unpack
from fedgai import __version__
from fedgai.model import FedGAI
from fedgai.networks.style import Signature
from fedgai.shipped import WEIGHTS

log = logging.getLogger("flwr")
app = ServerApp()

POLL = 1.0  # seconds between two looks for answers
REPEATED = "repeated.json"  # of the last round that had too few good answers
PUSHES = 5  # tries to hand one message to the SuperLink
GRACE = 10.0  # seconds after the deadline for what is just being received
BANK = 32  # signatures that are shown to a designer in a round, and drawn with in the studio


@dataclass(frozen=True)
class FederationConfig:
    """The run config of pyproject.toml's ``[tool.flwr.app.config]``, where each key is explained."""

    rounds: int = 11
    local_epochs: int = 11
    beta: float = 0.1
    min_designers: int = 2
    deadline: float = 3600
    patience: float = 600
    quorum: float = 0.0
    grace: float = 300
    house_steps: int = 0
    home: str = ""
    weights: str = ""
    examples: str = ""

    @classmethod
    def from_run_config(cls, config: Mapping[str, Any]) -> FederationConfig:
        config = dict(config)
        if not 0 <= float(config.get("quorum", 0)) <= 1 or float(config.get("grace", 0)) < 0:
            raise ValueError("quorum is a share from 0 to 1, and grace a number of seconds that is not negative")
        return cls(**{f.name: config[key] for f in fields(cls) if (key := f.name.replace("_", "-")) in config})


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run rounds until the season's last.

    Raises:
        CheckpointError: the folder or the weights cannot be used.
        FileNotFoundError: there are no weights, or no garments: a SuperLink that was not started in a copy of the project
            has neither beside the app, and the run config names them.
    """
    config = FederationConfig.from_run_config(context.run_config)
    folder = Folder(config.home or home())
    if folder.latest() is None:
        weights = config.weights or os.environ.get("FEDGAI_WEIGHTS") or WEIGHTS
        if Path(weights).is_absolute():
            _there("weights", Path(weights))
        folder.publish(0, FedGAI.from_pretrained(weights), {"round": 0, "published": True})
    torch.set_num_threads(max(1, min(2, os.cpu_count() or 1)))
    step_back()
    season = Season(grid, folder, config, Limits.from_run_config(context.run_config))
    while season.goes_on():
        season.round()
    folder.set_status(phase="resting", progress=1.0)


def step_back() -> None:
    """Let the studio's process go first on this machine's cores: a round has time, a visitor who waits for a sketch has not."""
    os.nice(5)
    with contextlib.suppress(OSError):  # where Linux weighs sessions first, and processes only within each
        Path("/proc/self/autogroup").write_text("5")


class Season:
    """The rounds of one run.

    Args:
        grid: Flower's way to the designers.
        folder: the federation's.
        config, limits: the run config's two halves: the rounds, and what an update must keep to.
    """

    def __init__(self, grid: Grid, folder: Folder, config: FederationConfig, limits: Limits) -> None:
        self.grid, self.folder, self.config, self.limits = grid, folder, config, limits
        photos = os.environ.get("FEDGAI_HOUSE_PHOTOS")
        steps = {"steps": config.house_steps} if config.house_steps > 0 else {}
        self.examples = _there("examples", Path(config.examples or EXAMPLES))
        self.house = HouseStep(
            Path(photos) if photos else None,
            HouseStepConfig(**steps),
            FedGAI.load(folder.checkpoint(0)) if 0 in folder.rounds() else None,
            self.examples,
        )
        repeated = folder.read(REPEATED, {}).get("round", 0)
        self.number = max((folder.rounds() or [0])[-1], repeated) + 1  # a designer answers no round twice, in whichever run
        self.last = math.ceil(self.number / config.rounds) * config.rounds
        self.nobody = False
        self.known: dict[int, str] | None = None  # node id -> name, where others than the members list know them (simulate.py)

    def goes_on(self) -> bool:
        return self.number <= self.last and not self.nobody

    def base(self) -> FedGAI:
        """What the round starts from: the published Generator and bank, and the newest aggregate.

        A round that was held back gives its aggregate, which is as honest as any, but not its Generator. After a
        rollback both come from the round that the operator named.
        """
        asked = self.folder.control().get("base")
        drawn_with = self.folder.latest() or 0
        model = FedGAI.load(self.folder.checkpoint(drawn_with))
        source = self.folder.rounds()[-1] if asked is None else asked
        if source != drawn_with:
            newest = FedGAI.load(self.folder.checkpoint(source))
            model.discriminator.load_state_dict(newest.discriminator.state_dict())
            if asked is None:  # who came in a round that was held back has come all the same
                model.styles |= {name: s for name, s in newest.styles.items() if "designer" in s.extra}
        gone = {m.name for m in self.folder.members() if m.revoked}
        model.styles = {name: s for name, s in model.styles.items() if name not in gone or "designer" not in s.extra}
        return model

    def round(self) -> None:
        """One round, or none: with too few good answers it is tried again, and with nobody there the run ends."""
        if not self.wait():
            self.nobody = True
            return
        config, folder, number = self.config, self.folder, self.number
        started, model = _now(), self.base()
        spec = UpdateSpec.from_model(model, __version__)
        strategy = DiscriminatorAvg(spec, self.limits, names=self.names(), history=self.history())
        arrays = pack(model.discriminator.shared())
        task = round_task(config, list(model.styles.values())[-BANK:])
        deadline = time.time() + config.deadline
        folder.set_status(
            phase="training",
            round=number,
            rounds=config.rounds,
            progress=0.0,
            deadline=deadline,
            waiting_for=0,
            note="",
            asked=0,
            answered=0,
        )
        messages = list(strategy.configure_train(number, arrays, task, self.grid))
        for message in messages:
            message.metadata.ttl = config.deadline
        asked = [message.metadata.dst_node_id for message in messages]
        aggregate, metrics = strategy.aggregate_train(number, self.replies(messages, deadline, strategy))
        for node, signature in strategy.signatures.items() if aggregate is not None else ():
            self.show(node, signature)  # only now: its update has passed every check
        answered = {v.node_id for v in strategy.verdicts}
        silent = [
            {
                "node_id": n,
                "name": self.names().get(n, f"designer {i + 1}"),
                "accepted": False,
                "asked": True,
                "reason": SILENT,
                "pairs": 0,
                "share": 0.0,
            }
            for i, n in enumerate(asked)
            if n not in answered
        ]
        designers = [{**asdict(v), "asked": v.node_id in asked} for v in strategy.verdicts] + silent
        if aggregate is None:
            reasons = "; ".join(f"{d['name']}: {d['reason']}" for d in designers if not d["accepted"])
            folder.set_status(
                phase="waiting",
                note=f"Round {number} had too few good answers, and is tried again as round {number + 1}. {reasons}"[:500],
            )
            folder.write(REPEATED, {"round": number, "at": _now(), "designers": designers})
            time.sleep(POLL)
            self.number += 1
            return
        folder.set_status(phase="house", progress=0.0, deadline=0.0)
        before = self.house.probe(model)
        model.discriminator.load_shared(unpack(aggregate))
        for signature in strategy.signatures.values():
            model.add_style(signature)
        house = self.house.run(model, lambda share: folder.set_status(progress=share))
        after = self.house.probe(model)
        held_back = reason_to_hold_back(house, before, after)
        model.info = {**model.info, "round": number, "release": __version__}
        report = RoundReport(
            round=number,
            season=math.ceil(number / config.rounds),
            started=started,
            finished=_now(),
            designers=designers,
            accepted=sum(d["accepted"] for d in designers),
            metrics={name: value for name, value in (metrics or {}).items() if isinstance(value, float)},
            strategy=strategy.description,
            privacy=privacy(self.limits, folder.reports().values()),
            house=asdict(house),
            house_steps_done=house.steps,
            house_steps_wanted=house.wanted,
            probe={"before": before, "after": after, "bounds": asdict(Bounds())},
            style_distances=style_distances(model, self.examples),
            published=not held_back,
            held_back=held_back,
        )
        log.info(
            "round %d: %d of %d designers count, %s, %s",
            number,
            report.accepted,
            len(designers),
            report.house_line,
            f"held back: {held_back}" if held_back else "published",
        )
        extras = {"README.md": card(model, report).encode(), "sheet.jpg": sheet(model, list(model.styles)[-8:], self.examples)}
        folder.publish(number, model, report.as_json(), extras, latest=not held_back)
        if not held_back:
            self.forget(set())
        folder.change_control(base=None)
        folder.prune()
        folder.set_status(
            phase="waiting", progress=1.0, round=number, note=f"Round {number} is held back: {held_back}" if held_back else ""
        )
        self.number += 1

    def wait(self) -> bool:
        """Until enough designers are connected. False where the patience ends first."""
        until = time.monotonic() + self.config.patience
        while (missing := self.config.min_designers - len(list(self.grid.get_node_ids()))) > 0:
            self.folder.set_status(phase="waiting", waiting_for=missing, rounds=self.config.rounds, round=self.number - 1)
            if time.monotonic() > until:
                return False
            time.sleep(POLL)
        return True

    def push(self, message: Message) -> list[str]:
        """Hand one message to the SuperLink. A database that is busy is tried again; then raises httpx.HTTPError."""
        for attempt in range(PUSHES):
            try:
                return list(self.grid.push_messages([message]))
            except httpx.HTTPError as error:
                log.warning("the SuperLink does not take a message (%s)", error)
                if attempt == PUSHES - 1:
                    raise
                time.sleep(POLL * 2**attempt)
        raise AssertionError

    def replies(self, messages: list[Message], deadline: float, strategy: DiscriminatorAvg) -> Iterator[Message]:
        """Answers one by one as they arrive, until all have come or the round closes (``Closing``); none is kept once yielded.

        Flower waits up to three minutes for an upload that was announced and does not come: such a one waits in a thread of
        its own and holds up nobody else.
        """
        pending: dict[str, int] = {}  # message -> who was asked
        for message in messages:  # one by one, so that nobody can spoil more than their own
            node = message.metadata.dst_node_id
            try:
                pending |= dict.fromkeys(filter(None, self.push(message)), node)
            except ObjectPushError:  # whoever confirms a message that is not yet whole has the SuperLink forget the rest
                strategy.leave_out(node, "it said that it had its task before it was there")
            except httpx.HTTPError as error:
                strategy.leave_out(node, f"the SuperLink could not pass its task on ({type(error).__name__})")
        asked = max(1, len(pending))
        unawaited = silent_twice([r for n, r in self.folder.reports().items() if n])
        closing = Closing(
            deadline, len(set(pending.values()) - unawaited), self.config.quorum, self.config.grace, self.limits.needed
        )
        uploads: dict[str, Future[Iterable[Message]]] = {}
        self.folder.set_status(asked=asked)
        puller = ThreadPoolExecutor(asked, "pull")  # makes a thread only where none is idle
        try:
            while pending and time.time() < deadline + (GRACE if uploads else 0):
                deadline = closing.update(sum(v.accepted for v in strategy.verdicts), pending.values(), unawaited)
                for message_id, node in list(pending.items()):
                    begun = message_id in uploads
                    if not begun:  # one at a time, so that one who sends garbage spoils only their own
                        if time.time() >= deadline:
                            continue
                        uploads[message_id] = puller.submit(self.grid.pull_messages, [message_id])
                    if wait([uploads[message_id]], 0 if begun else POLL).not_done:
                        continue
                    answer: Message | None = None
                    try:
                        answers = list(uploads.pop(message_id).result())
                    except (httpx.HTTPError, ConnectionError):  # the SuperLink comes back, or this process is ended
                        log.warning("the SuperLink does not answer; trying again")
                        break
                    except Exception as error:  # whatever a stranger's bytes make Flower raise
                        answers = []
                        strategy.leave_out(node, f"its answer cannot be read ({type(error).__name__})")
                        del pending[message_id]
                    for answer in answers:
                        origin = answer.metadata
                        if origin.reply_to_message_id != message_id:  # made up by somebody who does not know what was asked
                            log.warning("an answer to nothing that was asked is left out")
                            continue
                        del pending[message_id]
                        if origin.src_node_id == node:
                            yield answer
                        elif answer.has_error():  # the SuperLink's own
                            strategy.leave_out(node, ERRORS.get(answer.error.code, "it answered with an error"))
                        else:
                            strategy.leave_out(node, "its answer claims to be somebody else's")
                        break
                    answers = []
                    answer = None  # neither may stay in memory while the next is awaited
                    self.folder.set_status(progress=1 - len(pending) / asked, asked=asked, answered=asked - len(pending))
                if pending:
                    time.sleep(POLL)
        finally:
            puller.shutdown(wait=False, cancel_futures=True)
        for message_id in uploads.keys() & pending.keys():
            strategy.leave_out(pending[message_id], "its answer was not there, or not whole, in time")
        self.folder.set_status(phase="aggregating", progress=1 - len(pending) / asked)

    def show(self, node: int, signature: Signature) -> None:
        """Let the studio have a new designer's slider before the round ends."""
        shelf = self.folder.path / "signatures"
        shelf.mkdir(exist_ok=True)
        aside = shelf / f".{node}"
        signature.save(aside)
        os.replace(aside, shelf / f"{node}.safetensors")

    def forget(self, but: set[int]) -> None:
        """Take sliders away that ``show`` gave: of updates that did not count, and of those that a checkpoint now has."""
        for shown in (self.folder.path / "signatures").glob("*.safetensors"):
            if shown.stem not in {str(node) for node in but}:
                shown.unlink()

    def names(self) -> dict[int, str]:
        if self.known is not None:
            return self.known
        return {m.node_id: m.name for m in self.folder.members() if m.node_id}

    def history(self) -> dict[int, set[str]]:
        """Of each designer, the SHA-256 of what was accepted in earlier rounds: the same bytes again are a replay."""
        found: dict[int, set[str]] = {}
        for report in self.folder.reports().values():
            for d in report.get("designers", []):
                if d.get("sha256"):
                    found.setdefault(d["node_id"], set()).add(d["sha256"])
        return found


def round_task(config: FederationConfig, bank: list[Signature]) -> ConfigRecord:
    """What designers are asked in a round; the strategy adds the round and what an update must fit.

    Flower names an object by its content, and refuses one that is known with other children. A member who could tell this
    record before it is sent could register it first, and no round would ever go out; so each has random bytes in it.
    """
    numbers = b"".join(signature.style.numpy().astype("<f4").tobytes() for signature in bank)
    return ConfigRecord(
        {
            "epochs": config.local_epochs,
            "beta": config.beta,
            "bank-names": [signature.name for signature in bank],
            "bank": numbers,
            NONCE: os.urandom(NONCE_BYTES),
        }
    )


def card(model: FedGAI, report: RoundReport) -> str:
    """The model card of a round's checkpoint (Markdown with the Hub's front matter)."""
    took_part = [d for d in report.designers if d["accepted"]]
    probe = "\n".join(
        f"| {name} | {value:.4g} | {report.probe['before'].get(name, float('nan')):.4g} |"
        for name, value in report.probe["after"].items()
    )
    state = f"Held back: {report.held_back}" if report.held_back else "Published."
    private = f"\n\n{private_sentence(report.privacy)}" if report.privacy else ""
    return f"""---
license: apache-2.0
library_name: fedgai
pipeline_tag: image-to-image
tags:
  - fashion
  - sketch
  - federated-learning
---

# FedGAI, {model.preset.name} preset, round {report.round}

Draws a photograph of a garment as a fashion sketch, in any blend of {len(model.styles)} hands. After round {report.round} of a
federation ([FedGAI](https://arxiv.org/abs/2503.12389)): {len(took_part)} designers trained at home, only their Discriminators
travelled, and the house Generator learned from the aggregate on public photographs ({report.house_line}). {state}

![The same garments in several hands](sheet.jpg)

| probe | after | before |
|---|---|---|
{probe}

Aggregation: {report.strategy}. Rounds so far are in `metrics.csv`, this one's details in `report.json`.{private}
"""


def private_sentence(privacy: Mapping[str, Any]) -> str:
    """What central differential privacy promises after a round, for the model card."""
    without = privacy["rounds_without"]
    return (
        f"Differential privacy of one designer's updates, against whoever sees the aggregates: epsilon "
        f"{privacy['epsilon']:.3g} at delta {privacy['delta']:g} over the rounds with noise ({privacy['rounds']} so far), "
        f"{privacy['epsilon_round']:.3g} for this one alone."
        + (f" Nothing is promised of the rounds without noise before it ({without})." if without else "")
    )


def _there(key: str, path: Path) -> Path:
    if not path.is_dir():
        raise FileNotFoundError(f'there is no folder {path}: name one in the run config, {key}="/where/it/is"')
    return path


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
