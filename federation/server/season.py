"""The rounds of one run, each ending in a whole checkpoint (FedGAI, arXiv 2503.12389, sec. 3).

aggregate -> designers -> checked and averaged -> house Generator -> probe -> checkpoint -> the next round
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from federation.server.aggregation import UpdateLimits
from federation.server.folder import REPEATED_FILE, Folder
from federation.server.house_sheet import EXAMPLES, sheet, style_distances
from federation.server.house_step import HouseStep, HouseStepConfig, reason_to_hold_back
from federation.server.model_card import card
from federation.server.privacy import privacy
from federation.server.probe import Bounds
from federation.server.replies import POLL, Replies
from federation.server.report import SILENT, DesignerReport, ProbeReport, RoundReport
from federation.server.strategy import DiscriminatorAvg
from federation.server.update_check import Verdict
from federation.server.update_spec import UpdateSpec
from federation.wire import NONCE, NONCE_BYTES, pack, unpack
from fedgai import __version__
from fedgai.environment import variable
from fedgai.errors import FedGAIError
from fedgai.files import replacing
from fedgai.model import FedGAI
from fedgai.networks.style import Signature

log = logging.getLogger("flwr")

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
            raise FedGAIError("quorum is a share from 0 to 1, and grace a number of seconds that is not negative")
        return cls(**{f.name: config[key] for f in fields(cls) if (key := f.name.replace("_", "-")) in config})


class Season:
    """The rounds of one run.

    Args:
        grid: Flower's way to the designers.
        folder: the federation's.
        config, limits: the run config's two halves: the rounds, and what an update must keep to.
    """

    def __init__(self, grid: Grid, folder: Folder, config: FederationConfig, limits: UpdateLimits) -> None:
        self.grid, self.folder, self.config, self.limits = grid, folder, config, limits
        photos = variable("FEDGAI_HOUSE_PHOTOS")
        steps = {"steps": config.house_steps} if config.house_steps > 0 else {}
        self.examples = existing_folder("examples", Path(config.examples or EXAMPLES))
        self.house = HouseStep(
            Path(photos) if photos else None,
            HouseStepConfig(**steps),
            FedGAI.load(folder.checkpoint(0)) if 0 in folder.rounds() else None,
            self.examples,
        )
        repeated = RoundReport.read(folder.read(REPEATED_FILE, {})).round or 0
        self.number = max(folder.last_round(), repeated) + 1  # a designer answers no round twice, in whichever run
        self.last = math.ceil(self.number / config.rounds) * config.rounds
        self.no_designers_connected = False
        self.known: dict[int, str] | None = None  # node id -> name; None: as in members.json. simulate.py has no members

    def goes_on(self) -> bool:
        return self.number <= self.last and not self.no_designers_connected

    def base(self) -> FedGAI:
        """What the round starts from: the published Generator and bank, and the newest aggregate.

        A round that was held back gives its aggregate, which is as honest as any, but not its Generator. After a
        rollback both come from the round that the operator named.
        """
        chosen = self.folder.control().get("base")
        drawn_with = self.folder.latest() or 0
        model = FedGAI.load(self.folder.checkpoint(drawn_with))
        source = self.folder.rounds()[-1] if chosen is None else chosen
        if source != drawn_with:
            newest = FedGAI.load(self.folder.checkpoint(source))
            model.discriminator.load_state_dict(newest.discriminator.state_dict())
            if chosen is None:  # designers who joined in a round that was held back stay
                model.styles |= {name: s for name, s in newest.styles.items() if "designer" in s.extra}
        gone = {m.name for m in self.folder.members() if m.revoked}
        model.styles = {name: s for name, s in model.styles.items() if name not in gone or "designer" not in s.extra}
        return model

    def round(self) -> None:
        """One round, or none: with too few good answers it is tried again; if no designer is connected, the run ends."""
        if not self.wait():
            self.no_designers_connected = True
            return
        started, model = _now(), self.base()
        spec = UpdateSpec.from_model(model, __version__)
        strategy = DiscriminatorAvg(spec, self.limits, names=self.names(), history=accepted_before(self.folder))
        aggregate, metrics, designers = self._ask(model, strategy)
        if aggregate is None:
            self._repeat(designers)
        else:
            report = self._learn(model, strategy, aggregate, metrics, designers, started)
            self._publish(model, report)
        self.number += 1  # a designer answers no round twice

    def _ask(
        self, model: FedGAI, strategy: DiscriminatorAvg
    ) -> tuple[ArrayRecord | None, MetricRecord | None, list[DesignerReport]]:
        """Have the designers train. Returns the aggregate and its metrics, None where too few answers were good; and what
        became of everybody who was asked, as a report has it."""
        config = self.config
        task = round_task(config, list(model.styles.values())[-BANK:])
        deadline = time.time() + config.deadline
        self.folder.set_status(
            phase="training",
            round=self.number,
            rounds=config.rounds,
            progress=0.0,
            deadline=deadline,
            waiting_for=0,
            note="",
            asked=0,
            answered=0,
        )
        arrays = pack(model.discriminator.shared())
        messages = list(strategy.configure_train(self.number, arrays, task, self.grid))
        for message in messages:
            message.metadata.ttl = config.deadline
        asked = [message.metadata.dst_node_id for message in messages]
        aggregate, metrics = strategy.aggregate_train(self.number, self.replies(messages, deadline, strategy))
        for node, signature in strategy.signatures.items() if aggregate is not None else ():
            show_signature(self.folder, node, signature)  # only now: its update has passed every check
        return aggregate, metrics, entries(asked, strategy.verdicts, self.names())

    def _repeat(self, designers: list[DesignerReport]) -> None:
        """Say why the round did not count."""
        reasons = "; ".join(f"{d.name}: {d.reason}" for d in designers if not d.accepted)
        note = f"Round {self.number} had too few good answers, and is tried again as round {self.number + 1}. {reasons}"
        self.folder.set_status(phase="waiting", note=note[:500])
        content = {"round": self.number, "at": _now(), "designers": [designer.as_json() for designer in designers]}
        self.folder.write(REPEATED_FILE, content)
        time.sleep(POLL)

    def _learn(
        self,
        model: FedGAI,
        strategy: DiscriminatorAvg,
        aggregate: ArrayRecord,
        metrics: MetricRecord | None,
        designers: list[DesignerReport],
        started: str,
    ) -> RoundReport:
        """Put the aggregate into the model, train its Generator with it, and measure it before and after."""
        self.folder.set_status(phase="house", progress=0.0, deadline=0.0)
        before = self.house.probe(model)
        model.discriminator.load_shared(unpack(aggregate))
        for signature in strategy.signatures.values():
            model.add_style(signature)
        house = self.house.run(model, lambda share: self.folder.set_status(progress=share))
        after = self.house.probe(model)
        held_back = reason_to_hold_back(house, before, after)
        model.info = {**model.info, "round": self.number, "release": __version__}
        return RoundReport(
            round=self.number,
            season=math.ceil(self.number / self.config.rounds),
            started=started,
            finished=_now(),
            designers=designers,
            accepted=sum(d.accepted for d in designers),
            metrics={name: value for name, value in (metrics or {}).items() if isinstance(value, float)},
            strategy=strategy.description,
            privacy=privacy(self.limits, self.folder.reports().values()),
            house=house,
            house_steps_done=house.steps,
            house_steps_wanted=house.wanted,
            probe=ProbeReport(before, after, asdict(Bounds())),
            style_distances=style_distances(model, self.examples),
            published=not held_back,
            held_back=held_back,
        )

    def _publish(self, model: FedGAI, report: RoundReport) -> None:
        """Write the checkpoint. The studio draws with it, unless the round is held back."""
        folder, number, held_back = self.folder, self.number, report.held_back
        log.info(
            "round %d: %d of %d designers count, %s, %s",
            number,
            report.accepted,
            len(report.designers),
            report.house_line,
            f"held back: {held_back}" if held_back else "published",
        )
        extras = {"README.md": card(model, report).encode(), "sheet.jpg": sheet(model, list(model.styles)[-8:], self.examples)}
        folder.publish(number, model, report, extras, latest=not held_back)
        if not held_back:
            forget_signatures(folder)
        folder.change_control(base=None)
        folder.prune()
        note = f"Round {number} is held back: {held_back}" if held_back else ""
        folder.set_status(phase="waiting", progress=1.0, round=number, note=note)

    def wait(self) -> bool:
        """Wait until enough designers are connected. Returns False if the patience ends first."""
        until = time.monotonic() + self.config.patience
        while (missing := self.config.min_designers - len(list(self.grid.get_node_ids()))) > 0:
            self.folder.set_status(phase="waiting", waiting_for=missing, rounds=self.config.rounds, round=self.number - 1)
            if time.monotonic() > until:
                return False
            time.sleep(POLL)
        return True

    def replies(self, messages: list[Message], deadline: float, strategy: DiscriminatorAvg) -> Iterator[Message]:
        """See ``Replies.receive``."""
        replies = Replies(self.grid, self.folder, self.config.quorum, self.config.grace, self.limits.needed, strategy)
        return replies.receive(messages, deadline)

    def names(self) -> dict[int, str]:
        if self.known is not None:
            return self.known
        return {m.node_id: m.name for m in self.folder.members() if m.node_id}


def entries(asked: list[int], verdicts: list[Verdict], names: Mapping[int, str]) -> list[DesignerReport]:
    """A report's entries: of those who answered, then of those who were asked and stayed silent."""
    answered = {v.node_id for v in verdicts}
    silent = [
        DesignerReport(n, names.get(n, f"designer {i + 1}"), reason=SILENT) for i, n in enumerate(asked) if n not in answered
    ]
    return [DesignerReport(**asdict(v), asked=v.node_id in asked) for v in verdicts] + silent


def accepted_before(folder: Folder) -> dict[int, set[str]]:
    """Of each designer, the SHA-256 of what was accepted in earlier rounds: the same bytes again are a replay."""
    found: dict[int, set[str]] = {}
    for report in folder.reports().values():
        for designer in report.designers:
            if designer.sha256:
                found.setdefault(designer.node_id, set()).add(designer.sha256)
    return found


def show_signature(folder: Folder, node: int, signature: Signature) -> None:
    """Let the studio have a new designer's slider before the round ends."""
    signatures = folder.path / "signatures"
    signatures.mkdir(exist_ok=True)
    with replacing(signatures / f"{node}.safetensors") as temp_path:
        signature.save(temp_path)


def forget_signatures(folder: Folder) -> None:
    """Take away the sliders that ``show_signature`` gave: a checkpoint has them now."""
    for shown in (folder.path / "signatures").glob("*.safetensors"):
        shown.unlink()


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


def existing_folder(key: str, path: Path) -> Path:
    if not path.is_dir():
        raise FedGAIError(f'there is no folder {path}: name one in the run config, {key}="/where/it/is"')
    return path


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
