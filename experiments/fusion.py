"""Does a designer's own Generator learn the others' hands in a federation, and keep its own? The answer is docs/fusion.md.

    python -m experiments.fusion --photos PHOTOS_DIR [--seeds 24 25 26] [--hands strangers] [--home DIR] [--json]

The same designers on the same pairs for the same number of steps, from the same weights:

    alone     trained at home, never a server
    literal   the paper's recipe: Discriminators averaged, nothing else
    fusion    ours: besides, each step also draws in the hand of a signature that another designer published

"literal" and "fusion" run the project's own client and strategy, in one process: Flower's simulation engine would start
several, which cost more here than the training. What is there in ``--home`` already is used again, so a run that was stopped
goes on; once ``--arms`` without any has prepared it, seeds and arms may be run in parallel with one home.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from flwr.app import ConfigRecord, Context, Message, RecordDict, UserConfig
from flwr.supercore.task_identity import TaskIdentity
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from federation.designer.client_app import at_home, train_at_home
from federation.designer.round_config import round_record
from federation.server.folder import Folder, write_atomically
from federation.server.report import DesignerReport, RoundReport
from federation.server.strategy import DiscriminatorAvg, UpdateLimits, UpdateSpec
from federation.simulate import draw_seeded, hands
from federation.wire import pack, unpack
from fedgai import __version__
from fedgai.ateliers import ATELIERS, Hand, draw
from fedgai.content import fit_and_cut, on_white
from fedgai.data.listing import find_images
from fedgai.data.pairs import PairFolder, as_shown
from fedgai.draughtsman import Draughtsman
from fedgai.evaluation.metrics import fusion_gain
from fedgai.model import DRAUGHTSMAN_FILE, WEIGHTS, FedGAI
from fedgai.networks.style import style_distance
from fedgai.shipped import EXAMPLES
from fedgai.training.train_config import TrainConfig
from fedgai.vision.cutout import NoGarment
from fedgai.vision.images import to_image, to_tensor

log = logging.getLogger("fedgai.fusion")

ARMS = ("alone", "literal", "fusion")
UNSEEN_SEED = 1  # which held-out garments are measured on: the same for every seed, arm and designer
SHEET_GARMENTS = ("denim_jacket", "midi_dress", "trench_coat")


@dataclass(frozen=True)
class Plan:
    """All that decides a run, besides the seed and the photographs.

    Attributes:
        hands: "ateliers", which the shipped weights know, or "strangers": as many random hands that they never met.
        designers, rounds, epochs, pairs: how many; epochs are passes over the pairs in a round.
        size: side of the square that is trained on and measured, px.
        unseen: held-out garments to measure on.
        lr, fusion: of ``TrainConfig``.
    """

    hands: str = "ateliers"
    designers: int = 8
    rounds: int = 11
    epochs: int = 2
    pairs: int = 6
    size: int = 128
    unseen: int = 16
    lr: float = 2e-4
    fusion: float = TrainConfig.fusion

    @property
    def steps(self) -> int:
        """Of one designer."""
        return self.rounds * self.epochs * self.pairs

    def drawn_by(self, seed: int) -> dict[str, Hand]:
        """Name -> hand."""
        if self.hands == "ateliers":
            return hands(self.designers, seed)
        return dict(list(hands(len(ATELIERS) + self.designers, seed).items())[len(ATELIERS) :])


class Seed:
    """One seed's designers: their folders, their trainings, their figures.

    Args:
        plan, seed: what to run.
        photos: garments to draw. With folders ``train/`` and ``val/`` the designers draw those of the first and are measured
            on those of the second; else every third one is held out.
        home: where everything is kept.
        weights: checkpoint that everybody starts from.
    """

    def __init__(self, plan: Plan, seed: int, photos: Path, home: Path, weights: Path = WEIGHTS) -> None:
        self.plan, self.seed, self.weights = plan, seed, weights
        self.path = home.resolve() / f"seed-{seed}"
        self.hands = plan.drawn_by(seed)
        self.names = list(self.hands)
        _keep_plan(home, plan)
        seen, self.unseen = split(photos)
        for i, (name, hand) in enumerate(self.hands.items()):
            folder = self.path / name / "pairs"
            if not (folder / "whole").exists():
                draw_seeded(seen, folder, hand, plan.pairs, plan.size, seed + i)
                (folder / "whole").touch()

    def config(self, name: str, arm: str) -> UserConfig:
        """A designer's node configuration. The arms differ in it and nowhere else."""
        return {
            "data": str(self.path / name / "pairs"),
            "out": str(self.model_folder(name, arm)),
            "name": name,
            "share-style": True,
            "refine": False,
            "weights": str(self.weights),
            "size": self.plan.size,
            "lr": self.plan.lr,
            "fusion": self.plan.fusion if arm == "fusion" else 0.0,
        }

    def model_folder(self, name: str, arm: str) -> Path:
        return self.path / name / arm

    def asked(self, model: FedGAI, number: int = 1) -> ConfigRecord:
        """What a server asks of designers in a round, and the style bank it shows them."""
        return round_record(model, number, self.plan.epochs)

    def train(self, arm: str) -> None:
        """Train every designer in one arm, or go on with it."""
        if arm != "alone":
            self.federate(arm)
            return
        start = FedGAI.load(self.weights)
        start.styles = {}
        for name in self.names:  # by the very trainer that the federation's client uses
            trainer = at_home(self.config(name, arm), self.asked(start))
            trainer.run(self.plan.steps)
            log.info("seed %d, alone: %s", self.seed, name)

    def federate(self, arm: str) -> None:
        """The rounds, with the project's strategy and client. The house Generator, which no designer sees, stays out."""
        folder = Folder(self.path / f"federation-{arm}")
        if folder.latest() is None:
            start = FedGAI.load(self.weights)
            start.styles = {name: s for name, s in start.styles.items() if name in self.hands}
            folder.publish(0, start, RoundReport.of_the_start())
        designers = InProcess([self.config(name, arm) for name in self.names])
        for number in range(folder.rounds()[-1] + 1, self.plan.rounds + 1):
            model = FedGAI.load(folder.checkpoint(number - 1))
            strategy = DiscriminatorAvg(UpdateSpec.from_model(model, __version__), UpdateLimits(minimum=len(self.names)))
            messages = strategy.configure_train(number, pack(model.discriminator.shared()), self.asked(model, number), designers)
            aggregate, _ = strategy.aggregate_train(number, designers.replies(messages))
            verdicts = [DesignerReport(**asdict(v)) for v in strategy.verdicts]
            if aggregate is None:
                raise RuntimeError(f"round {number} has no aggregate: {verdicts}")
            model.discriminator.load_shared(unpack(aggregate))
            for signature in strategy.signatures.values():
                model.add_style(signature)
            folder.publish(number, model, RoundReport(round=number, designers=verdicts))
            log.info("seed %d, %s: round %d of %d", self.seed, arm, number, self.plan.rounds)

    def figures(self, arm: str) -> dict[str, list]:
        """``measure`` of an arm, trained first where it is not yet. "start": the weights that all start from; "hand": the
        designers' own drawings, no network at all."""
        file = self.path / f"{arm}.json"
        if not file.exists():
            if arm in ARMS:
                self.train(arm)
            log.info("seed %d, %s: measuring", self.seed, arm)
            write_atomically(file, json.dumps(self.measure(arm)).encode())
        return json.loads(file.read_text())

    def garments(self, files: Sequence[Path]) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """Photographs as a Generator is shown them, and what each hand draws of them: (3, size, size) in [-1, 1] each.

        Both as the designers have them at home. In a fixed random order; those without a garment are passed over.
        """
        pen, shows = Draughtsman.load(WEIGHTS / DRAUGHTSMAN_FILE), FedGAI.load(self.weights).draughtsman
        for i in np.random.default_rng(UNSEEN_SEED).permutation(len(files)):
            try:
                image, mask = fit_and_cut(files[i], self.plan.size)
            except NoGarment:
                continue
            photo = on_white(np.asarray(image), mask)
            drawn = {name: draw(photo, hand, mask=mask, draughtsman=pen) for name, hand in self.hands.items()}
            shown = photo if shows is None else as_shown(Image.fromarray(photo), self.plan.size, shows)
            yield self._square(shown), {name: self._square(drawing) for name, drawing in drawn.items()}

    @functools.cached_property
    def measured_on(self) -> list[tuple[Tensor, dict[str, Tensor]]]:
        """The garments that nobody trained on, as ``garments`` gives them: the same in every arm, so drawn once."""
        return [square for _, square in zip(range(self.plan.unseen), self.garments(self.unseen), strict=False)]

    def _square(self, picture: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 -> (3, size, size) on white paper, as ``PairFolder`` lays it."""
        size = self.plan.size
        page = np.full((size, size, 3), 255, np.uint8)
        top, left = ((size - side) // 2 for side in picture.shape[:2])
        page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        return to_tensor(page)

    def signatures(self, model: FedGAI) -> Tensor:
        """(N, D): each designer's, of the sketches they train on; what the others are shown."""
        folders = [PairFolder(self.path / name / "pairs", self.plan.size) for name in self.names]
        return torch.stack([model.signature(sketch for _, sketch in f.report.pairs).style for f in folders])

    @torch.no_grad()
    def measure(self, arm: str) -> dict[str, list]:
        """Every designer's Generator asked for every designer's hand, on garments that nobody trained on.

        Returns:
            distance: [i][j][k], mean style distance to hand k's signature of i's drawings asked for in hand j.
            nearest: [i][j], share of those drawings that are nearest to hand j's signature, in [0, 1].
            gram: [i][j], Gram distance (100 x MSE) to the drawings that hand j made of these very garments. No arm trains
                towards it in another's hand.
        """
        base = FedGAI.load(self.weights)
        styles, channels = self.signatures(base), base.preset.channels
        garments = self.measured_on
        maps = base.encoder(torch.stack([photo for photo, _ in garments]))
        drawings = [torch.stack([sketches[name] for _, sketches in garments]) for name in self.names]
        real = [base.encoder(drawn) for drawn in drawings]
        found: dict[str, list] = {"distance": [], "nearest": [], "gram": []}
        for name in self.names:
            model = FedGAI.load(self.model_folder(name, arm)) if arm in ARMS else base
            rows: dict[str, list] = {"distance": [], "nearest": [], "gram": []}
            for j, style in enumerate(styles):
                squares = drawings[j] if arm == "hand" else model.generator(maps, style[None])
                drawn = base.encoder(squares)
                measured = torch.stack([base.signature([drawing]).style for drawing in squares])
                distances = style_distance(measured[:, None], styles[None], channels)  # (G, N)
                rows["distance"].append(distances.mean(0).tolist())
                rows["nearest"].append((distances.argmin(1) == j).float().mean().item())
                pairs = zip(base.grams(drawn), base.grams(real[j]), strict=True)
                rows["gram"].append(100 * sum((a - b).square().mean().item() for a, b in pairs))
            for key, row in rows.items():
                found[key].append(row)
        return found


class InProcess:
    """Designers, each with a node configuration, who answer one after the other: all of Flower's Grid that a round needs."""

    def __init__(self, node_configs: Sequence[UserConfig]) -> None:
        # what a SuperLink would tell this process, so that messages can be made
        TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
        self.contexts = {node: Context(1, node, dict(config), RecordDict(), {}) for node, config in enumerate(node_configs, 1)}

    def get_node_ids(self) -> list[int]:
        return list(self.contexts)

    def replies(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Each designer trains, then answers."""
        for message in messages:
            yield train_at_home(message, self.contexts[message.metadata.dst_node_id])


def _keep_plan(home: Path, plan: Plan) -> None:
    """Raises SystemExit where ``home`` holds another plan's run: its folders would be mixed up."""
    file = home / "plan.json"
    home.mkdir(parents=True, exist_ok=True)
    if file.exists() and json.loads(file.read_text()) != asdict(plan):
        sys.exit(f"{home} holds a run of another plan ({file.read_text()}): name another --home")
    write_atomically(file, json.dumps(asdict(plan)).encode())


def split(photos: Path) -> tuple[list[Path], list[Path]]:
    """Garments to train on, and garments held out. See ``Seed``."""
    if (photos / "train").is_dir() and (photos / "val").is_dir():
        return find_images(photos / "train"), find_images(photos / "val")
    files = find_images(photos)
    return [f for i, f in enumerate(files) if i % 3], files[::3]


# -- from figures to a table ---------------------------------------------------------------------------------------------


def summary(figures: dict[str, list], alone: dict[str, list] | None = None) -> dict[str, float]:
    """One seed's and arm's figures as means over the designers; with ``alone`` also the two gains.

    Returns:
        own, own_nearest, own_gram: drawings asked for in the designer's own hand: distance to it; share nearest to it; Gram.
        own_to_others: distance of the same drawings to the others' hands.
        kept: designers, of all, whose drawings so asked for are on average nearer to their own hand than to any other.
        other, other_nearest, other_gram: drawings asked for in another's hand, against that hand.
        gain: ``fusion_gain`` of drawings asked for in another's hand; gain_unasked: of drawings in one's own.
    """
    distance, nearest, gram = (np.array(figures[key]) for key in ("distance", "nearest", "gram"))
    n = len(distance)
    own, each = np.eye(n, dtype=bool), np.arange(n)
    asked = distance[:, each, each]  # [i, j]: asked for j, distance to j
    unasked = distance[each, each]  # [i, k]: asked for i, distance to k
    found = {
        "own": asked[own].mean(),
        "own_nearest": nearest[own].mean(),
        "own_gram": gram[own].mean(),
        "own_to_others": unasked[~own].mean(),
        "kept": (unasked.argmin(1) == each).mean(),
        "other": asked[~own].mean(),
        "other_nearest": nearest[~own].mean(),
        "other_gram": gram[~own].mean(),
    }
    if alone is not None:
        gains = designer_gains(figures, alone)
        found |= {key: float(np.mean(values)) for key, values in gains.items()}
    return {key: float(value) for key, value in found.items()}


def designer_gains(figures: dict[str, list], alone: dict[str, list]) -> dict[str, list[float]]:
    """``fusion_gain`` of each designer: "gain" asked for in each of the others' hands, "gain_unasked" in their own."""
    ours, theirs = np.array(figures["distance"]), np.array(alone["distance"])
    each = np.arange(len(ours))
    return {
        "gain": [fusion_gain(theirs[i, each, each], ours[i, each, each], i) for i in each],
        "gain_unasked": [fusion_gain(theirs[i, i], ours[i, i], i) for i in each],
    }


def report(runs: list[Seed], arms: tuple[str, ...]) -> dict:
    """Means over the designers, then mean and standard deviation over the seeds; each designer's gains, means over seeds."""
    every = ("hand", "start", *arms)
    by_seed = [{arm: seed.figures(arm) for arm in every} for seed in runs]  # one seed after the other: each is a result
    figures = {arm: [of_seed[arm] for of_seed in by_seed] for arm in every}
    rows, gains = {}, {}
    for arm, of_seeds in figures.items():
        compared = arm in ARMS and arm != "alone" and "alone" in figures
        pairs = list(zip(of_seeds, figures["alone"] if compared else [None] * len(runs), strict=True))
        found = [summary(*pair) for pair in pairs]
        rows[arm] = {
            key: {
                "mean": statistics.mean(f[key] for f in found),
                "sd": statistics.stdev(f[key] for f in found) if len(found) > 1 else 0.0,
            }
            for key in found[0]
        }
        if compared:
            each = [designer_gains(*pair) for pair in pairs]
            gains[arm] = {key: np.mean([e[key] for e in each], 0).tolist() for key in each[0]}
    plan = runs[0].plan
    names = runs[0].names if plan.hands == "ateliers" else [f"stranger {i + 1}" for i in range(plan.designers)]
    return {
        "plan": asdict(plan),
        "steps": plan.steps,
        "seeds": [seed.seed for seed in runs],
        "arms": rows,
        "designers": {
            name: {arm: {key: values[i] for key, values in found.items()} for arm, found in gains.items()}
            for i, name in enumerate(names)
        },
    }


COLUMNS = {
    "own": "asked for its own: distance",
    "own_nearest": "nearest to it",
    "kept": "designers kept",
    "own_to_others": "distance to the others",
    "other": "asked for another's: distance",
    "other_nearest": "nearest to it",
    "other_gram": "Gram",
    "gain": "fusion gain",
    "gain_unasked": "gain unasked",
}


def table(found: dict) -> str:
    """The report as Markdown."""
    lines = ["| | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for arm, row in found["arms"].items():
        cells = [f"{row[k]['mean']:.4f} ± {row[k]['sd']:.4f}" if k in row else "" for k in COLUMNS]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| | "
        + " | ".join(f"{arm}: {key}" for arm in next(iter(found["designers"].values())) for key in ("gain", "gain_unasked"))
        + " |",
    ]
    lines.append("|---" * (lines[-1].count("|") - 1) + "|")
    for name, arms in found["designers"].items():
        lines.append(f"| {name} | " + " | ".join(f"{100 * v:+.2f} %" for gains in arms.values() for v in gains.values()) + " |")
    return "\n".join(lines)


# -- a picture -----------------------------------------------------------------------------------------------------------


def median_pair(figures: dict[str, list], alone: dict[str, list]) -> tuple[int, int]:
    """The designer i and the other's hand j whose gain is the median of all: neither the best nor the worst to show."""
    ours, theirs = np.array(figures["distance"]), np.array(alone["distance"])
    each = np.arange(len(ours))
    gain = 1 - ours[:, each, each] / theirs[:, each, each]
    order = [(i, j) for i, j in sorted(np.ndindex(gain.shape), key=lambda at: gain[at]) if i != j]
    return order[len(order) // 2]


@torch.no_grad()
def sheet(seed: Seed, garments: list[Path], cell: int = 150) -> Image.Image:
    """Garments by rows; by columns the photograph, then the designer's own hand and another's, each as the hand itself
    draws and as the designer's Generator does in the three arms."""
    i, j = median_pair(seed.figures("fusion"), seed.figures("alone"))
    models = {arm: FedGAI.load(seed.model_folder(seed.names[i], arm)) for arm in ARMS}
    styles = seed.signatures(models["alone"])
    head, columns = 40, 1 + 2 * (1 + len(ARMS))
    page = Image.new("RGB", (cell * columns, head + cell * len(garments)), "white")
    write, font = ImageDraw.Draw(page), ImageFont.load_default(13)

    def put(picture: Image.Image, column: int, row: int) -> None:
        page.paste(picture.resize((cell - 6, cell - 6), Image.Resampling.LANCZOS), (column * cell + 3, head + row * cell + 3))

    for row, (photo, sketches) in enumerate(seed.garments(garments)):
        put(to_image(photo), 0, row)
        for block, k in enumerate((i, j)):
            column = 1 + block * (1 + len(ARMS))
            put(to_image(sketches[seed.names[k]]), column, row)
            for step, model in enumerate(models.values(), 1):
                put(to_image(model.generator(model.encoder(photo[None]), styles[k][None])[0]), column + step, row)
    for block, (text, k) in enumerate(
        ((f"{seed.names[i]}'s Generator, own hand", i), (f"the same Generator, asked for {seed.names[j]}'s hand", j))
    ):
        left = (1 + block * (1 + len(ARMS))) * cell
        write.text((left + 4, 3), text, "black", font)
        for step, title in enumerate((f"{seed.names[k]}, drawn", *ARMS)):
            write.text((left + step * cell + 4, 21), title, "black", font)
    return page


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.fusion", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, default=EXAMPLES, help="garments; train/ and val/ are kept apart")
    parser.add_argument("--seeds", type=int, nargs="+", default=[24, 25, 26])
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS), help="none: only prepare")
    for field in fields(Plan):
        parser.add_argument(
            f"--{field.name}",
            type=type(field.default),
            default=field.default,
            choices=("ateliers", "strangers") if field.name == "hands" else None,
        )
    parser.add_argument("--home", type=Path, help="keep everything here, and go on from it; without, a temporary folder")
    parser.add_argument("--figure", type=Path, help="also draw the examples, JPEG")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    torch.set_num_threads(1)
    plan = Plan(**{field.name: getattr(args, field.name) for field in fields(Plan)})
    with tempfile.TemporaryDirectory(prefix="fedgai-") as temporary:
        home = args.home or Path(temporary)
        runs = [Seed(plan, seed, args.photos, home) for seed in args.seeds]
        found = report(runs, tuple(args.arms))
        if args.figure:
            page = sheet(runs[0], [EXAMPLES / f"{name}.jpg" for name in SHEET_GARMENTS])
            page.save(args.figure, quality=88)
    print(json.dumps(found) if args.json else table(found))


if __name__ == "__main__":
    main()
