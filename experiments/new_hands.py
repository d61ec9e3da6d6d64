"""Does the federation change what the studio draws? Eight strangers' hands, with and without the averaged judge of hands.

    python -m experiments.new_hands --photos PHOTOS_DIR --home DIR [--rounds 3] [--steps 30] [--arms NAME ...]

Eight strangers (``experiments.strangers``) draw the same garments at home. In each round each of them trains the judge of
hands (``fedgai.training.judge_hands``) and the server averages. Then the project's own house step draws other garments, and
the house's drawings of held-out ones are compared with what each stranger drew of them:

    start      round 0, with the strangers' signatures, measured or (``--refined 1``) refined
    signature  after the rounds, without the averaged Discriminator in the house step; everything else equal
    judge      after the rounds, with it
    pushed     the same, with four times the weight
    generators what the product does not do: each stranger's machine trains the house Generator on the stranger's drawings for one
               epoch a round (``fedgai.training.local``), and the server averages the Generators, with twice the step

The part of the Discriminator that is the paper's stays round 0's: it was measured before and changes nothing here. PHOTOS_DIR
holds ``train/`` and ``val/``. What is in ``--home`` already is used again, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from experiments.strangers import STRANGERS, cut, draw
from federation.server.house_step import HouseStep, HouseStepConfig
from federation.server.probe import verdict
from fedgai.data.pairs import PairFolder
from fedgai.evaluation import independent
from fedgai.files import write_atomically
from fedgai.measure import padded
from fedgai.model import FedGAI
from fedgai.networks.style import Signature, image_statistics, style_distance
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import WEIGHTS
from fedgai.training.judge_hands import Evidence, JudgeConfig, gather, train_hand_judge
from fedgai.training.local import LocalTrainer
from fedgai.training.refine_signature import refine
from fedgai.training.train_config import TrainConfig

log = logging.getLogger("fedgai.new_hands")

SIZE = 512  # px, at which the studio draws by default
ARMS: dict[str, dict[str, float]] = {"signature": {"judged": 0.0, "adversarial": 0.0}, "judge": {}, "pushed": {"judged": 1.0}}
GENERATORS = "generators"
AHEAD = 2.0  # with which the mean change of eight Generators is multiplied: each has moved for one hand of eight


@dataclass(frozen=True)
class Plan:
    """All that decides a run, besides the photographs.

    Attributes:
        rounds: of the federation. steps: of the house in each.
        pairs: drawings of each stranger. garments: that the house learns on. unseen: that are measured on.
        seed: of the training at home and of the house's choices.
        refined: 1 if the strangers' machines refine their signatures, as designers' do by default; 0 for measured ones.
        photographs: 1 if they refine them on photographs and drawings of the same garments; 0 for drawings alone.
    """

    rounds: int = 3
    steps: int = 30
    pairs: int = 24
    garments: int = 24
    unseen: int = 8
    seed: int = 24
    refined: int = 0
    photographs: int = 1


class Run:
    """One seed's federation of strangers, kept in a folder; ``hands`` are the names of those whose drawings are made."""

    def __init__(
        self, plan: Plan, photos: Path, home: Path, weights: Path = WEIGHTS, hands: Sequence[str] = tuple(STRANGERS)
    ) -> None:
        self.plan, self.home, self.weights = plan, home, weights
        home.mkdir(parents=True, exist_ok=True)
        self.start = FedGAI.load(weights)
        train = cut(photos / "train", plan.pairs + plan.garments, self.start.draughtsman)
        self.own, self.others = train[: plan.pairs], train[plan.pairs :]  # what strangers draw, and what the house learns on
        self.unseen = cut(photos / "val", plan.unseen, self.start.draughtsman)
        self.photos = home / "house"
        self.photos.mkdir(exist_ok=True)
        for i, garment in enumerate(self.others):
            Image.fromarray(garment.photo).save(self.photos / f"{i:03}.png")
        self.pairs = {name: self._drawn(name) for name in hands}
        self.signatures = {name: self._signature(name) for name in hands}

    def _drawn(self, name: str) -> list[tuple[Path, Path]]:
        folder = self.home / name
        folder.mkdir(exist_ok=True)
        pairs = []
        for i, garment in enumerate(self.own):
            files = folder / f"photo-{i:03}.png", folder / f"drawing-{i:03}.png"
            if not files[1].exists():
                Image.fromarray(garment.photo).save(files[0])
                Image.fromarray(draw(garment.photo, garment.mask, STRANGERS[name], i, garment.seen)).save(files[1])
            pairs.append(files)
        return pairs

    def _signature(self, name: str) -> Signature:
        file = self.home / name / "signature.safetensors"
        if not file.exists():
            drawings = [drawing for _, drawing in self.pairs[name]]
            signature = self.start.signature(drawings, name)
            if self.plan.refined:
                pairs = self.pairs[name] if self.plan.photographs else ()
                signature = refine(self.start, signature, pairs, drawings).signature
            signature.save(file)
        kept = Signature.load(file)
        return replace(kept, extra={**kept.extra, "designer": name})

    def judges(self) -> list[torch.Tensor]:
        """V after each round: what eight strangers taught, averaged, in float16 as it crosses the wire."""
        file = self.home / f"judges-{self.plan.rounds}-{self.plan.seed}.pt"
        if file.exists():
            kept: list[torch.Tensor] = torch.load(file)
            return kept
        judge = self.start.discriminator.hand
        assert judge is not None
        evidence = {name: self._evidence(name) for name in STRANGERS}
        mean, found = judge.project.weight.detach().clone(), []
        for number in range(1, self.plan.rounds + 1):
            updates = []
            for i, name in enumerate(STRANGERS):
                judge.project.weight.data.copy_(mean)
                train_hand_judge(judge, evidence[name], JudgeConfig(seed=1000 * self.plan.seed + 10 * number + i))
                updates.append(judge.project.weight.detach().half().float())
            mean = torch.stack(updates).mean(0).half().float()
            found.append(mean)
            judge.project.weight.data.copy_(mean)
            log.info("round %d: %s", number, json.dumps(self.accuracy()))
        judge.project.weight.data.zero_()
        torch.save(found, file)
        return found

    def _evidence(self, name: str) -> Evidence:
        judge = self.start.discriminator.hand
        assert judge is not None
        others = torch.stack([s.style for other, s in self.signatures.items() if other != name])
        known = torch.stack([s.style for s in self.start.styles.values()])
        log.info("%s looks at its drawings", name)
        style = self.signatures[name].style
        return gather(self.start, judge, self.pairs[name], style, torch.cat([others, known]), JudgeConfig(seed=self.plan.seed))

    @torch.no_grad()
    def accuracy(self) -> dict[str, float]:
        """Held-out drawings by the strangers: share whose score is highest under the right signature of the eight."""
        judge = self.start.discriminator.hand
        assert judge is not None
        styles = torch.stack([s.style for s in self.signatures.values()])
        right = []
        for i, name in enumerate(STRANGERS):
            for garment in self.unseen:
                page = padded(draw(garment.photo, garment.mask, STRANGERS[name], 99, garment.seen))[None]
                grams = self.start.grams(self.start.encoder(page))
                right.append(int(judge(grams, styles).argmax()) == i)
        return {"right hand": float(np.mean(right))}

    def house(self, arm: str) -> FedGAI:
        """The house after all rounds of an arm; round 0 for "start"."""
        if arm == "start":
            return FedGAI.load(self.weights)
        if arm == GENERATORS:
            return self._averaged_generators()
        config = HouseStepConfig(steps=self.plan.steps, seed=self.plan.seed, **ARMS[arm])
        step, number = HouseStep(self.photos, config, FedGAI.load(self.weights)), 0
        folders = [self.home / f"{arm}-{self.plan.seed}-{n}" for n in range(1, self.plan.rounds + 1)]
        model = FedGAI.load(self.weights)
        for number, (folder, judge) in enumerate(zip(folders, self.judges(), strict=True), 1):
            if (folder / "config.json").exists():
                model = FedGAI.load(folder)
                continue
            for signature in self.signatures.values():
                model.add_style(signature)
            assert model.discriminator.hand is not None
            model.discriminator.hand.project.weight.data.copy_(judge)
            report = step.run(model)
            log.info("%s, round %d: %s", arm, number, json.dumps({k: round(v, 3) for k, v in report.losses.items()}))
            model.info["round"] = number
            model.save_pretrained(folder)
        return model

    def _averaged_generators(self) -> FedGAI:
        """The house, if the designers' Generators were averaged: not what a round does, for a Generator stays at home."""
        model, pairs = FedGAI.load(self.weights), {name: self._folder(name) for name in STRANGERS}
        house, mean = FedGAI.load(self.weights).generator, copy.deepcopy(model.generator.state_dict())
        bank = torch.stack([signature.style for signature in self.start.styles.values()])
        for number in range(1, self.plan.rounds + 1):
            folder = self.home / f"{GENERATORS}-{self.plan.seed}-{number}"
            if (folder / "config.json").exists():
                mean = FedGAI.load(folder).generator.state_dict()
                continue
            changes = []
            for i, (name, own) in enumerate(pairs.items()):
                model.generator.load_state_dict(mean)
                seed = 100 * self.plan.seed + 10 * number + i
                config = TrainConfig(size=own.size, trained_before=True, freeze_batchnorm=True, seed=seed)
                trainer = LocalTrainer(model, own, config, self.home / name / "model", name=name, others=bank, house=house)
                trainer.take_style(self.signatures[name])
                for _ in range(trainer.steps_per_epoch):
                    trainer.step()
                changes.append({key: value - mean[key] for key, value in model.generator.state_dict().items()})
            for key, value in mean.items():
                if value.is_floating_point():
                    mean[key] = value + AHEAD * torch.stack([change[key] for change in changes]).mean(0)
            model.generator.load_state_dict(mean)
            model.styles = dict(self.start.styles)
            model.info["round"] = number
            model.save_pretrained(folder)
            log.info("%s, round %d", GENERATORS, number)
        model.generator.load_state_dict(mean)
        return model.eval()

    def _folder(self, name: str) -> PairFolder:
        """A stranger's pairs as a designer's folder."""
        folder = self.home / name / "pairs"
        for kind, column in (("photos", 0), ("sketches", 1)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            for i, pair in enumerate(self.pairs[name]):
                shutil.copyfile(pair[column], folder / kind / f"{i:03}.png")
        return PairFolder(folder, SIZE, draughtsman=self.start.draughtsman)

    def measure(self, arm: str) -> dict[str, dict[str, float]]:
        """Of each stranger: Gram distance and style distance in our encoder, and the independent distance with its parts."""
        model = self.house(arm).eval()
        pipe, found = SketchPipeline(model), {}
        for name, hand in STRANGERS.items():
            rows = []
            for garment in self.unseen:
                theirs = draw(garment.photo, garment.mask, hand, 99, garment.seen)
                content = pipe.prepare(Image.fromarray(garment.photo), SIZE, on_missing="keep", side=SIZE)
                rows.append(self._compare(model, np.asarray(pipe.draw(content, {self.signatures[name]: 1})), theirs, name))
            found[name] = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            log.info("%s, %s: %s", arm, name, {key: round(value, 4) for key, value in found[name].items()})
        return found

    @torch.no_grad()
    def _compare(self, model: FedGAI, drawn: np.ndarray, theirs: np.ndarray, name: str) -> dict[str, float]:
        maps, own = (model.encoder(padded(picture)[None]) for picture in (drawn, theirs))
        pairs = zip(model.grams(maps), model.grams(own), strict=True)
        parts = independent.distances(independent.describe(drawn), independent.describe(theirs))
        scaled = {key: value / independent.SCALES[key] for key, value in parts.items()}
        asked = self.signatures[name].style
        return {
            "gram": sum(100 * (a - b).square().mean().item() for a, b in pairs),
            "style": style_distance(image_statistics(maps), asked, model.preset.channels).item(),
            "independent": float(np.mean(list(scaled.values()))),
            **scaled,
        }

    def figures(self, arms: Sequence[str]) -> dict[str, object]:
        """Each arm, kept as it is measured; and what the rounds did to the eight hands that round 0 knew."""
        found: dict[str, object] = {"plan": asdict(self.plan)}
        for arm in ("start", *arms):
            file = self.home / f"{arm}-{self.plan.rounds}-{self.plan.seed}.json"
            if not file.exists():
                write_atomically(file, json.dumps(self.measure(arm)).encode())
            found[arm] = json.loads(file.read_text())
            if arm != "start":
                step = HouseStep(reference=FedGAI.load(self.weights))
                before, after = step.probe(FedGAI.load(self.weights)), step.probe(self.house(arm))
                found[f"{arm}, the eight"] = {**after, "broken": verdict(before, after)}
        return found


def table(found: dict[str, object], arms: Sequence[str]) -> str:
    """Gains over round 0, hand by hand, as Markdown."""
    start = found["start"]
    assert isinstance(start, dict)
    lines = ["| | " + " | ".join(f"{arm}: Gram, independent" for arm in arms) + " |", "|---" * (1 + len(arms)) + "|"]
    gains: dict[str, list[tuple[float, float]]] = {arm: [] for arm in arms}
    for name, was in start.items():
        cells = []
        for arm in arms:
            now = found[arm]
            assert isinstance(now, dict)
            gain = 1 - now[name]["gram"] / was["gram"], 1 - now[name]["independent"] / was["independent"]
            gains[arm].append(gain)
            cells.append(f"{gain[0]:+.1%}, {gain[1]:+.1%}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    means = [np.mean(gains[arm], 0) for arm in arms]
    lines.append("| mean | " + " | ".join(f"{g:+.1%}, {i:+.1%}" for g, i in means) + " |")
    nearer = [np.sum(np.array(gains[arm]) > 0, 0) for arm in arms]
    lines.append("| nearer, of eight | " + " | ".join(f"{g}, {i}" for g, i in nearer) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.new_hands", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    for name, default in asdict(Plan()).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--arms", nargs="*", choices=[*ARMS, GENERATORS], default=list(ARMS))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    plan = Plan(**{name: getattr(args, name) for name in asdict(Plan())})
    run = Run(plan, args.photos, args.home)
    found = run.figures(args.arms)
    if args.json:
        print(json.dumps(found))
        return
    print(table(found, args.arms))
    for arm in args.arms:
        print(f"{arm}, the eight: {found[f'{arm}, the eight']}")


if __name__ == "__main__":
    main()
