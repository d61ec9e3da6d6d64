"""What an honest-but-curious server can make of one designer's update and signature: gradient inversion, and who was in it.

    python -m experiments.inversion --photos DIR [--json] [--picture docs/inversion.jpg]

The server keeps what it sent (the aggregate) and what came back (fp16 Discriminator tensors without BatchNorm, perhaps a
signature). It knows the program, the public weights with their BatchNorm tensors, and the encoder; not the photographs, the
drawings or the private Generator. Rounds are recorded with the client's own code.

**Pictures**: Geiping et al. 2020, "Inverting Gradients" (arXiv 2003.14053): cosine between the update and the gradient of
dummy pictures, total variation, signed Adam; after Zhu et al. 2019, "Deep Leakage from Gradients" (arXiv 1906.08935). An
update of many steps is matched by one gradient at the weights that were sent; ``fit`` says how well even the true drawings
do that, there and half-way to the weights that came back, the surrogate of Zhu, Yao & Blaschko 2023 (arXiv 2306.00127).
Everything passes the pooled Gram matrices.

**Membership** (Shokri et al. 2017, arXiv 1610.05820; Nasr et al. 2019, arXiv 1812.00910): a candidate's loss and gradient
against the update; and, as Homer et al. 2008 did with means of genotypes, a candidate's moments against the signature's.

The designers are ateliers. The pictures are of the example garments; ``--photos`` are the garments of all other designers,
of candidates and of references. Seeded, on one core.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from flwr.app import Context, MessageType, Metadata, RecordDict
from flwr.app.message import make_message
from PIL import Image, ImageDraw, ImageFont
from scipy.optimize import nnls
from scipy.stats import mannwhitneyu
from skimage.metrics import structural_similarity
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils.parametrize import remove_parametrizations
from tqdm import tqdm

from federation.designer.client_app import answer, at_home, local_dp
from federation.designer.round_config import round_record
from federation.server.strategy import UpdateLimits
from federation.wire import pack, unpack
from fedgai import ateliers as atelier
from fedgai.content import fit_and_cut, on_white
from fedgai.data.listing import find_images
from fedgai.data.pairs import as_shown
from fedgai.evaluation.metrics import boundary_fscore, luminance
from fedgai.measure import measure
from fedgai.model import FedGAI
from fedgai.networks.discriminator import Discriminator
from fedgai.networks.style import EPS, image_statistics, split, style_distance
from fedgai.training import losses
from fedgai.training.train_config import TrainConfig
from fedgai.vision.cutout import NoGarment
from fedgai.vision.images import ImageError

ROOT = Path(__file__).resolve().parent.parent
SIZE = 64  # px, where a drawing has 4,096 pixels and the Discriminator sees 3,360 numbers of it: in the attacker's favour
SEED = 24
HAND = "Dara"  # whose drawings the pictures are
HANDS = ("Aiko",)  # on each of whom membership is measured, with garments of their own
PAIRS, EPOCHS = (8, 24), 11
OTHERS = 24  # candidates that were not trained on
REFERENCES = 40  # further drawings of the same hand that the attacker holds, to know what is usual for it
COMPONENTS = 24  # directions that candidates are told apart in
EPSILONS = (1.0, 8.0, 1000.0)
PUBLIC = 8  # photographs that stand for the designer's
STEPS = 160  # of an attack on one picture; half of it on several
DUMMIES = 4  # pictures that stand for the pairs of an update of many
BETA = 0.1
SINGLE = ("the Gram matrices themselves", "1 drawing, 1 plain step, rest known", "1 pair, 1 epoch, as sent")

Pictures = list[np.ndarray]  # squares, (SIZE, SIZE, 3) uint8


# -- what the designer has -------------------------------------------------------------------------------------------------


def garments(files: Sequence[Path], most: int) -> list[tuple[np.ndarray, atelier.Study]]:
    """Cut-out photographs (H, W, 3) uint8, with what an atelier sees in each; ``most`` of a seeded choice."""
    found: list[tuple[np.ndarray, atelier.Study]] = []
    for i in tqdm(np.random.default_rng(SEED).permutation(len(files)), desc="garments", leave=False):
        if len(found) == most:
            break
        try:
            image, mask = fit_and_cut(files[i], SIZE)
        except (NoGarment, ImageError):
            continue
        photo = on_white(np.asarray(image), mask)
        found.append((photo, atelier.study(photo, mask)))
    return found


def square(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (SIZE, SIZE, 3), centred on white paper, as ``PairFolder`` does it."""
    paper = np.full((SIZE, SIZE, 3), 255, np.uint8)
    y, x = (SIZE - picture.shape[0]) // 2, (SIZE - picture.shape[1]) // 2
    paper[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return paper


def drawings(of: Sequence[tuple[np.ndarray, atelier.Study]], hand: str) -> Pictures:
    return [square(atelier.render(study, atelier.ATELIERS[hand])) for _, study in of]


def tensor(pictures: Pictures) -> Tensor:
    """-> (N, 3, S, S) float32 in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


# -- what the server has ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recorded:
    """A round of one designer, as the server sees it.

    Attributes:
        sent, back: the shared tensors by name; float32, but fp16 on the wire.
        style: the signature, (D,) float32.
    """

    sent: dict[str, Tensor]
    back: dict[str, Tensor]
    style: Tensor

    @property
    def update(self) -> Tensor:
        """Flat."""
        return flat(self.back) - flat(self.sent)

    def at(self, share: float) -> dict[str, Tensor]:
        """Weights ``share`` of the way from before to after."""
        return {name: value + share * (self.back[name] - value) for name, value in self.sent.items()}


def flat(tensors: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in tensors.values()])


def record(
    model: FedGAI, photos: Pictures, sketches: Pictures, epochs: int, noise: Sequence[tuple[float, float]] = ((0, 0),)
) -> list[Recorded]:
    """Train one round at home with the client's own code; what is sent back for each (local-epsilon, style-epsilon).

    Args:
        model: the public one, whose Discriminator is the aggregate that was sent.
    """
    asked = round_record(model, epochs=epochs, beta=BETA)
    sent = pack(model.discriminator.shared())
    found = []
    with tempfile.TemporaryDirectory(prefix="fedgai-") as home:
        for kind, pictures in (("photos", photos), ("sketches", sketches)):
            (Path(home) / kind).mkdir()
            for i, picture in enumerate(pictures):
                Image.fromarray(picture).save(Path(home) / kind / f"{i:03d}.png")
        node_config = {"data": home, "out": f"{home}/model", "name": "designer", "share-style": True, "size": SIZE}
        trainer = at_home(node_config, asked)
        trainer.model.discriminator.load_shared(unpack(sent))
        trainer.run(epochs * trainer.steps_per_epoch)
        origin = Metadata(0, "", 0, 0, "", "", 0.0, 0.0, MessageType.TRAIN)
        message = make_message(origin, RecordDict({"arrays": sent, "config": asked}))
        for update, style in noise:
            config = node_config | {"local-epsilon": update, "style-epsilon": style}
            context = Context(run_id=0, node_id=0, node_config=config, state=RecordDict(), run_config={})
            np.random.seed(SEED)  # LocalDpMod draws from numpy's own generator
            reply = local_dp(message, context, lambda *_: make_message(origin, answer(trainer, node_config, asked, {}))).content
            shared = torch.from_numpy(np.frombuffer(reply["designer"]["style"], "<f4").copy())
            found.append(Recorded(papers_part(unpack(sent)), papers_part(unpack(reply["arrays"])), shared))
    return found


class Attacker:
    """The program and the public weights, put to another use.

    Args:
        model: the public one. Its BatchNorm tensors are known; the designer's own began from them.
        photos: of other garments, (H, W, 3) uint8 each. What the public Generator draws of them stands for what the private one
            drew of the designer's, in the other half of the hinge loss.
    """

    def __init__(self, model: FedGAI, photos: Pictures) -> None:
        self.model, self.encoder, self.channels = model, model.encoder, model.preset.channels
        self.photos = self.shown(photos)
        self.single = without_norm(model.discriminator, alone=True)
        self.batch = without_norm(model.discriminator, alone=False)

    def stack(self, pictures: Tensor) -> Tensor:
        """(B, 1 or 3, S, S) -> all that the Discriminator gets to see of them, (B, 4 * rows, 14, 14)."""
        maps = self.encoder(pictures.expand(-1, 3, -1, -1))
        return self.model.discriminator.pool(self.model.grams(maps))

    def logits(self, weights: Mapping[str, Tensor], stack: Tensor) -> Tensor:
        """(B, 1, 3, 3)."""
        return functional_call(self.single, dict(weights), (stack,))

    def shown(self, photos: Pictures) -> Tensor:
        """Squares as the Generator is shown them at home, (N, 3, S, S) float32 in [-1, 1]."""
        draughtsman = self.model.draughtsman
        if draughtsman is None:
            return tensor(photos)
        return tensor([square(as_shown(Image.fromarray(photo), SIZE, draughtsman)) for photo in photos])

    @torch.no_grad()
    def drawn(self, style: Tensor | None = None) -> Tensor:
        """The stacks of the public Generator's drawings, in the signature or, without one, in the bank's mean."""
        target = torch.stack([s.style for s in self.model.styles.values()]).mean(0) if style is None else style
        return self.stack(self.model.generator(self.encoder(self.photos), target[None].expand(len(self.photos), -1)))

    def direction(
        self,
        weights: Mapping[str, Tensor],
        real: Tensor | None,
        drawn: Tensor | None = None,
        beta: float = 0.0,
        graph: bool = False,
    ) -> Tensor:
        """Where a small SGD step on these stacks moves the shared tensors, flat, up to the learning rate.

        Args:
            weights: as shared.
            real, drawn: stacks of real and of drawn sketches; None leaves that half of the loss out.
            beta: of FedDecorr on the real ones.
            graph: keep it differentiable by ``real``.
        """
        weights = {name: value.detach().requires_grad_() for name, value in weights.items()}
        loss = torch.zeros(())
        if real is not None:
            loss = loss + F.relu(1 - self.logits(weights, real)).mean()
        if drawn is not None:
            loss = loss + F.relu(1 + self.logits(weights, drawn)).mean()
        if real is not None and beta and len(real) > 1:
            body = {k.removeprefix("body."): v for k, v in weights.items() if k.startswith("body.")}
            loss = loss + beta * losses.feddecorr_loss(functional_call(self.batch.body, body, (real,)))
        gradient = torch.autograd.grad(loss, list(weights.values()), create_graph=graph, allow_unused=True)
        moves = [
            -under_spectral_norm(w.detach(), torch.zeros_like(w) if g is None else g)
            for w, g in zip(weights.values(), gradient, strict=True)
        ]
        return torch.cat([m.flatten() for m in moves])

    def directions(self, weights: Mapping[str, Tensor], stacks: Tensor) -> Tensor:
        """Of the real half of the loss, of each drawing alone: (N, numbers shared)."""
        return torch.stack([self.direction(weights, stack[None]) for stack in stacks])


def simulated(attacker: Attacker, sent: Mapping[str, Tensor], real: Tensor, drawn: Tensor, steps: int) -> Tensor:
    """The update that a designer's training would come to if the private Generator always drew ``drawn``; flat.

    Exact in all else: order of the pairs (its seed is in the program), momentum, spectral norm, FedDecorr, BatchNorm.

    Args:
        real, drawn: stacks, a row a pair, (N, 4 * rows, 14, 14).
        steps: of SGD, batch 1.
    """
    config, n = TrainConfig(), len(real)
    weights = {name: value.clone() for name, value in (attacker.single.state_dict() | dict(sent)).items()}
    factors = {name: torch.linalg.svd(w.flatten(1), full_matrices=False) for name, w in sent.items() if w.ndim > 1}
    leading = {name: (u[:, 0], v[0]) for name, (u, _, v) in factors.items()}
    speed = {name: torch.zeros_like(value) for name, value in weights.items()}

    def effective() -> dict[str, Tensor]:
        divided = dict(weights)
        for name, (u, v) in leading.items():
            w = weights[name].detach().flatten(1)
            u = F.normalize(w @ v, dim=0)
            v = F.normalize(w.T @ u, dim=0)
            leading[name] = u, v
            divided[name] = weights[name] / (u @ weights[name].flatten(1) @ v)
        return divided

    for step in range(steps):
        epoch, position = divmod(step, n)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)).tolist()
        rows = (order[position:] + order[:position])[: config.decorr_rows]
        weights = {name: value.detach().requires_grad_() for name, value in weights.items()}
        now = effective()
        body = {name.removeprefix("body."): value for name, value in now.items() if name.startswith("body.")}
        loss = losses.hinge_discriminator(attacker.logits(now, real[rows[:1]]), attacker.logits(now, drawn[rows[:1]]))
        loss = loss + BETA * losses.feddecorr_loss(functional_call(attacker.batch.body, body, (real[rows],)))
        for name, gradient in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            speed[name] = config.momentum * speed[name] + gradient
        weights = {name: (value - config.lr * speed[name]).detach() for name, value in weights.items()}
    now = effective()
    return flat({name: now[name] - value for name, value in sent.items()})


def papers_part(shared: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The Discriminator's tensors that the figures are about: without the judge of hands, which is not attacked yet."""
    return {name: value for name, value in shared.items() if not name.startswith("hand.")}


def without_norm(trained: Discriminator, *, alone: bool) -> Discriminator:
    """A Discriminator whose weights can be put in from outside: no spectral norm, and BatchNorm that keeps no statistics.

    Args:
        trained: gives the BatchNorm weights and biases.
        alone: normalise each drawing by itself, as BatchNorm does in a training of batch 1.
    """
    judge = Discriminator(trained.rows)
    judge.pool = lambda stack: stack  # takes what is pooled already
    for module in judge.modules():
        if isinstance(module, nn.Conv2d):
            remove_parametrizations(module, "weight")
    for i, layer in enumerate(trained.body):
        if isinstance(layer, nn.BatchNorm2d):
            c = layer.num_features
            judge.body[i] = (
                nn.InstanceNorm2d(c, layer.eps, affine=True) if alone else nn.BatchNorm2d(c, layer.eps, track_running_stats=False)
            )
            judge.body[i].load_state_dict({"weight": layer.weight, "bias": layer.bias})
    return judge.requires_grad_(False)


def under_spectral_norm(weight: Tensor, gradient: Tensor) -> Tensor:
    """How a gradient by the effective weight moves it, where what is trained is a weight that is divided by its norm."""
    if weight.ndim == 1:
        return gradient
    w, g = weight.flatten(1), gradient.flatten(1)
    u, s, v = torch.linalg.svd(w, full_matrices=False)
    w, uv = w / s[0], u[:, :1] @ v[:1]
    g = g - (g * w).sum() * uv
    return (g - (g * uv).sum() * w).view_as(weight)


# -- pictures --------------------------------------------------------------------------------------------------------------


def invert(
    goal: Callable[[Tensor], Tensor], count: int, steps: int, *, variation: float = 3e-2, rate: float = 0.1, seed: int = SEED
) -> tuple[Pictures, float]:
    """Pictures that a goal cannot tell from the drawings (Geiping et al. 2020, sec. 4).

    Grey, because ink drawings are, and so a third of the unknowns; signed Adam, total variation, kept in [-1, 1].

    Args:
        goal: (count, 1, S, S) in [-1, 1] -> scalar, to be minimised.
        variation: weight of the mean absolute difference of neighbours.
        rate: of Adam, cut to a tenth after 3/8, 5/8 and 7/8 of the steps, as in the paper.
    Returns:
        the pictures, and what is left of the goal.
    """
    start = torch.Generator().manual_seed(seed)
    x = (0.5 + 0.3 * torch.randn(count, 1, SIZE, SIZE, generator=start)).clamp(-1, 1).requires_grad_()
    adam = torch.optim.Adam([x], rate)
    slower = torch.optim.lr_scheduler.MultiStepLR(adam, [steps * k // 8 for k in (3, 5, 7)], 0.3)
    left = 0.0
    for _ in tqdm(range(steps), desc="inverting", leave=False):
        loss = goal(x)
        left = loss.item()
        (loss + variation * (x.diff(dim=2).abs().mean() + x.diff(dim=3).abs().mean())).backward()
        x.grad.sign_()
        adam.step()
        adam.zero_grad()
        slower.step()
        with torch.no_grad():
            x.clamp_(-1, 1)
    grey = ((x.detach()[:, 0] + 1) * 127.5).round().byte().numpy()
    return [np.repeat(g[:, :, None], 3, 2) for g in grey], left


def gram_goal(attacker: Attacker, true: Tensor) -> Callable[[Tensor], Tensor]:
    """The bound: the Discriminator's whole input is known. Relative squared error, each level alike."""
    levels = true.split(attacker.model.preset.rows, 1)

    def goal(x: Tensor) -> Tensor:
        mine = attacker.stack(x).split(attacker.model.preset.rows, 1)
        return sum((a - b).square().sum() / b.square().sum() for a, b in zip(mine, levels, strict=True))

    return goal


def update_goal(
    attacker: Attacker, weights: Mapping[str, Tensor], update: Tensor, drawn: Tensor | None, beta: float = 0.0
) -> Callable[[Tensor], Tensor]:
    """1 - cosine between the update and where the dummies would have moved it."""
    others = 0 if drawn is None else attacker.direction(weights, None, drawn)

    def goal(x: Tensor) -> Tensor:
        move = attacker.direction(weights, attacker.stack(x), beta=beta, graph=True) + others
        return 1 - F.cosine_similarity(move, update, 0)

    return goal


def signature_goal(attacker: Attacker, style: Tensor) -> Callable[[Tensor], Tensor]:
    """Distance between the dummies' statistics, taken together, and the signature."""

    def goal(x: Tensor) -> Tensor:
        return style_distance(style_of(moments(attacker, x).mean(0), attacker.channels), style, attacker.channels)

    return goal


def moments(attacker: Attacker, pictures: Tensor) -> Tensor:
    """First and second moments of the encoder's channels: (B, D). A signature's are the mean of its drawings'."""
    found = image_statistics(attacker.encoder(pictures.expand(-1, 3, -1, -1)))
    return to_moments(found, attacker.channels)


def measured_moments(attacker: Attacker, drawings: Pictures) -> Tensor:
    """The same of drawings as a signature measures them: (N, D)."""
    return to_moments(torch.stack([measure(attacker.encoder, [drawing])[0] for drawing in drawings]), attacker.channels)


def to_moments(style: Tensor, channels: Sequence[int]) -> Tensor:
    return torch.cat([part for mean, std in split(style, channels) for part in (mean, std.square() - EPS + mean.square())], 1)


def style_of(moments: Tensor, channels: Sequence[int]) -> Tensor:
    """(D,) moments -> (D,) signature."""
    return torch.cat(
        [
            part[0]
            for mean, second in split(moments[None], channels)
            for part in (mean, (second - mean.square() + EPS).clamp_min(EPS).sqrt())
        ]
    )


def likeness(attacker: Attacker, found: Pictures, true: Pictures) -> dict[str, float]:
    """Of each picture to the drawing that it is most like; means."""
    rows = []
    with torch.no_grad():
        a, b = (image_statistics(attacker.encoder(tensor(p))) for p in (found, true))
    for i, picture in enumerate(found):
        rows.append(
            (
                max(structural_similarity(luminance(picture), luminance(t), data_range=255) for t in true),
                max(boundary_fscore(picture, t) for t in true),
                min(style_distance(a[i], other, attacker.channels).item() for other in b),
            )
        )
    return dict(zip(("ssim", "boundary_fscore", "style_distance"), np.mean(rows, 0).tolist(), strict=True))


# -- membership ------------------------------------------------------------------------------------------------------------


def auc(members: Tensor | np.ndarray, others: Tensor | np.ndarray) -> float:
    """Chance that a member scores above another; 0.5 is a coin."""
    members, others = np.asarray(members), np.asarray(others)
    return float(mannwhitneyu(members, others).statistic / (len(members) * len(others)))


def traced(candidates: Tensor, references: Tensor, shared: Tensor) -> Tensor:
    """Inner product of each candidate with the shared mean, both as deviations from what is usual for the hand (Homer et al.).

    Args:
        candidates, references: (N, D) and (R, D), one row a drawing.
        shared: (D,), a mean of such rows.
    Returns:
        (N,); in the references' ``COMPONENTS`` strongest directions, each scaled to variance 1.
    """
    centre = references.mean(0)
    _, s, v = torch.linalg.svd(references - centre, full_matrices=False)
    project = v[:COMPONENTS].T / s[:COMPONENTS]
    return (candidates - centre) @ project @ ((shared - centre) @ project)


def shares(candidates: Tensor, references: Tensor, shared: Tensor) -> np.ndarray:
    """Non-negative shares of the candidates that make up the shared mean, best in least squares. (N,)"""
    scale = references.std(0) + 1e-3 * references.std(0).mean()
    return nnls((candidates / scale).T.double().numpy(), (shared / scale).double().numpy())[0]


class Candidates:
    """Drawings of one hand that the attacker holds, and what each would do to the update; the first ones were trained on.

    Args:
        sent: the weights that the round began with.
        members, others: candidates that were trained on, and that were not, of other garments.
        references: further ones, known not to be in the training set.
    """

    def __init__(
        self, attacker: Attacker, sent: Mapping[str, Tensor], members: Pictures, others: Pictures, references: Pictures
    ) -> None:
        self.attacker, self.members = attacker, len(members)
        with torch.no_grad():
            pictures = [tensor(p) for p in (members + others, references)]
            self.stacks, usual = (torch.cat([attacker.stack(x[None]) for x in p]) for p in pictures)
            self.moments, self.usual_moments = (measured_moments(attacker, p) for p in (members + others, references))
        self.directions, self.usual_directions = (attacker.directions(sent, s) for s in (self.stacks, usual))

    def auc(self, seen: Recorded) -> dict[str, float]:
        """Of each way to tell those that were trained on from the others.

        - ``update_loss``: how much more the Discriminator believes in a candidate after the round than before;
        - ``update_gradient``: cosine between the update and the candidate's own direction;
        - ``update_traced``: the same against what is usual for the hand;
        - ``signature_traced``: the candidate's moments, likewise, against the signature's;
        - ``signature_shares``: of which candidates the signature is the mean, all members being among the candidates;
        - ``signature_shares_half``: half of them only.
        """
        attacker, n, half = self.attacker, self.members, self.members // 2
        with torch.no_grad():
            before, after = (attacker.logits(w, self.stacks).mean((1, 2, 3)) for w in (seen.sent, seen.back))
        # what is left of the update beside the usual drawing and the drawn half of the loss
        usual, drawn = self.usual_directions.mean(0), attacker.direction(seen.sent, None, attacker.drawn(seen.style))
        known = torch.stack([usual, drawn], 1)
        fit = torch.linalg.lstsq(known, seen.update[:, None]).solution[:, 0]
        rest = usual + (seen.update - known @ fit) / fit[0].abs().clamp_min(1e-9)
        shared = to_moments(seen.style[None], attacker.channels)[0]
        scores = {
            "update_loss": after - before,
            "update_gradient": F.cosine_similarity(self.directions, seen.update[None]),
            "update_traced": traced(self.directions, self.usual_directions, rest),
            "signature_traced": traced(self.moments, self.usual_moments, shared),
            "signature_shares": shares(self.moments, self.usual_moments, shared),
        }
        figures = {way: auc(score[:n], score[n:]) for way, score in scores.items()}
        some = shares(self.moments[half:], self.usual_moments, shared)
        return figures | {"signature_shares_half": auc(some[: n - half], some[n - half :])}


def which_hand(attacker: Attacker, seen: Recorded, by_hand: Mapping[str, Pictures]) -> list[str]:
    """Hands, the one that the update alone fits best first."""
    with torch.no_grad():
        stacks = {hand: attacker.stack(tensor(pictures)) for hand, pictures in by_hand.items()}
    drawn = attacker.direction(seen.sent, None, attacker.drawn())
    fits = {
        hand: F.cosine_similarity(attacker.direction(seen.sent, stack) + drawn, seen.update, 0).item()
        for hand, stack in stacks.items()
    }
    return sorted(fits, key=lambda hand: -fits[hand])


# -- the experiment --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One attack on pictures.

    Attributes:
        caption: what the attacker had.
        found: the pictures that came out.
        true: the drawings that they may be of.
        left: of the goal, which is 0 for a perfect answer; None for a picture that is only there to compare with.
        rank: of the true drawing among it and ``OTHERS`` others of its hand, by SSIM with what came out; None for several.
    """

    caption: str
    found: Pictures
    true: Pictures
    left: float | None = None
    rank: int | None = None


def attacks(attacker: Attacker, own: list, pool: list) -> tuple[list[Case], dict[str, object]]:
    """All attempts at pictures, and how well the true drawings would fit the updates."""
    model = attacker.model
    photos, sketches, rest = [square(photo) for photo, _ in own], drawings(own, HAND), drawings(pool[:OTHERS], HAND)
    [one] = record(model, photos[:1], sketches[:1], 1)
    clear, noised, loose = record(model, photos, sketches, EPOCHS, ((0, 0), (8, 8), (1000, 1000)))
    with torch.no_grad():
        stacks = attacker.stack(tensor(sketches))
        style = image_statistics(attacker.encoder(tensor(sketches[:1])))[0]
        drawn = attacker.stack(model.generator(attacker.encoder(attacker.shown(photos[:1])), style[None]))
    step = attacker.direction(one.sent, stacks[:1], drawn)
    guess = attacker.drawn()

    by_update = update_goal(attacker, clear.sent, clear.update, attacker.drawn(clear.style), BETA)
    by_signature = signature_goal(attacker, clear.style)
    goals: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
        "the Gram matrices themselves": (gram_goal(attacker, stacks[:1]), 1),
        "1 drawing, 1 plain step, rest known": (update_goal(attacker, one.sent, step, drawn), 1),
        "1 pair, 1 epoch, as sent": (update_goal(attacker, one.sent, one.update, guess), 1),
        "8 pairs, 11 epochs, as sent": (update_goal(attacker, clear.sent, clear.update, guess, BETA), DUMMIES),
        "the same with the signature": (lambda x: by_update(x) + by_signature(x), DUMMIES),
        "8 pairs, epsilon 8": (update_goal(attacker, noised.sent, noised.update, guess, BETA), DUMMIES),
        "the signature alone": (by_signature, 1),
        "the signature, epsilon 1000": (signature_goal(attacker, loose.style), 1),
        "the signature, epsilon 8": (signature_goal(attacker, noised.style), 1),
    }
    cases = []
    for caption, (goal, count) in tqdm(goals.items(), desc="pictures"):
        true = sketches[:1] if caption in SINGLE else sketches
        found, left = invert(goal, count, STEPS if count == 1 else STEPS // 2)
        rank = None
        if len(true) == 1:
            alike = [structural_similarity(luminance(found[0]), luminance(c), data_range=255) for c in (*true, *rest)]
            rank = 1 + int(sum(a > alike[0] for a in alike[1:]))
        cases.append(Case(caption, found, true, left, rank))
        tqdm.write(f"{caption}: {left:.4g} of the goal is left", file=sys.stderr)
    cases += [
        Case(caption, found, true)
        for true, same, other in (
            (sketches[:1], sketches[1:], drawings(own[1:], "Aiko")),
            (sketches, rest[: len(own)], drawings(pool[: len(own)], "Aiko")),
        )
        for caption, found in (
            ("other drawings of the same hand", same),
            ("drawings of another hand", other),
            ("white paper", [np.full((SIZE, SIZE, 3), 255, np.uint8)]),
        )
    ]
    with torch.no_grad():
        maps = attacker.encoder(attacker.shown(photos))
        true_drawn = attacker.stack(model.generator(maps, clear.style[None].expand(len(photos), -1)))
    fit = {
        "1 pair, 1 epoch": cosine(attacker.direction(one.sent, stacks[:1], drawn), one.update),
        "numbers changed by 1 pair, 1 epoch": (one.update != 0).float().mean().item(),
    }
    for name, share in (("sent", 0.0), ("half-way", 0.5)):
        move = attacker.direction(clear.at(share), stacks, true_drawn, BETA)
        fit[f"8 pairs, 11 epochs, one gradient at the weights {name}"] = cosine(move, clear.update)
    for name, true, hand in (
        ("the true drawings", own, HAND),
        ("others of the hand", pool[: PAIRS[0]], HAND),
        ("those of another hand", pool[: PAIRS[0]], "Aiko"),
    ):
        steps = EPOCHS * PAIRS[0]
        move = simulated(attacker, clear.sent, stacks_of(attacker, drawings(true, hand)), true_drawn, steps)
        fit[f"8 pairs, 11 epochs, every step simulated with {name}"] = cosine(move, clear.update)
    return cases, fit


def cosine(a: Tensor, b: Tensor) -> float:
    return F.cosine_similarity(a, b, 0).item()


def who_was_in_it(attacker: Attacker, pool: list) -> dict[str, object]:
    """Membership by way, pairs and epsilon, over ``HANDS``; and what noise leaves of the use of updates and signatures."""
    model, channels = attacker.model, attacker.channels
    levels = (0.0, *EPSILONS)
    scores: dict[str, dict[str, list[float]]] = {}
    ranks: dict[str, int] = {}
    backs: dict[float, list[Tensor]] = {level: [] for level in levels}
    use: dict[float, list[dict[str, float]]] = {level: [] for level in levels}
    for number, hand in enumerate(tqdm(HANDS, desc="hands")):
        order = np.random.default_rng(SEED + number).permutation(len(pool))
        members, others, references = np.split(order, [PAIRS[1], PAIRS[1] + OTHERS])
        drawn = drawings(pool, hand)
        for pairs in PAIRS:
            mine = members[:pairs]
            rounds = record(
                model, [square(pool[i][0]) for i in mine], [drawn[i] for i in mine], EPOCHS, [(level, level) for level in levels]
            )
            candidates = Candidates(attacker, rounds[0].sent, *([drawn[i] for i in of] for of in (mine, others, references)))
            for level, seen in zip(levels, rounds, strict=True):
                row = scores.setdefault(f"{pairs} pairs, " + (f"epsilon {level:g}" if level else "no noise"), {})
                found = candidates.auc(seen)
                for way, value in found.items():
                    row.setdefault(way, []).append(value)
                tqdm.write(f"{hand}, {pairs} pairs, epsilon {level or 'none'}: {found}", file=sys.stderr)
                if pairs == PAIRS[1]:
                    backs[level].append(flat(seen.back))
                    use[level].append(
                        signature_use(attacker, seen.style, rounds[0].style) | {"update_norm": seen.update.norm().item()}
                    )
            by_hand = {name: drawings([pool[i] for i in references[:PUBLIC]], name) for name in atelier.ATELIERS}
            ranks[f"{hand}, {pairs} pairs"] = 1 + which_hand(attacker, rounds[0], by_hand).index(hand)
    real = stacks_of(attacker, [p for hand in HANDS for p in drawings(pool[-8:], hand)])
    sent = papers_part(model.discriminator.shared())
    usefulness = {"sent": {"hinge": hinge(attacker, flat(sent), real), "norm": flat(sent).norm().item()}}
    for level in levels:
        usefulness[f"epsilon {level:g}" if level else "no noise"] = {
            "hinge": hinge(attacker, torch.stack(backs[level]).mean(0), real),
            **{name: float(np.mean([row[name] for row in use[level]])) for name in use[level][0]},
        }
    bank = torch.stack([s.style for s in model.styles.values()])
    apart = style_distance(bank[:, None], bank[None], channels)
    return {
        "auc": {
            name: {way: {"mean": float(np.mean(v)), "least": min(v), "most": max(v)} for way, v in row.items()}
            for name, row in scores.items()
        },
        "rank_of_the_hand_among_eight": ranks,
        "use": usefulness,
        "norm_bounds": {
            "alone_or_with_one_other": UpdateLimits().norm_cap * flat(sent).norm().item(),
            "with_others_without_noise": UpdateLimits().norm_factor * float(np.median([r["update_norm"] for r in use[0.0]])),
        },
        "shipped_hands_beyond_the_signature's_clip": int(((bank - bank.mean(0)).norm(dim=1) > 10).sum()),
        "style_distance_between_nearest_hands": apart.masked_fill(apart == 0, torch.inf).min(0).values.mean().item(),
    }


@torch.no_grad()
def stacks_of(attacker: Attacker, pictures: Pictures) -> Tensor:
    return attacker.stack(tensor(pictures))


@torch.no_grad()
def hinge(attacker: Attacker, weights: Tensor, real: Tensor) -> float:
    """Of a Discriminator on drawings that no designer trained on, against the public Generator's. 2 knows nothing."""
    shapes = papers_part(attacker.model.discriminator.shared())
    parts = weights.split([value.numel() for value in shapes.values()])
    judge = {name: part.view_as(value) for (name, value), part in zip(shapes.items(), parts, strict=True)}
    return losses.hinge_discriminator(attacker.logits(judge, real), attacker.logits(judge, attacker.drawn())).item()


@torch.no_grad()
def signature_use(attacker: Attacker, shared: Tensor, true: Tensor) -> dict[str, float]:
    """How far a signature, and what the public Generator draws in it, are from the hand."""
    drawn = attacker.model.generator(attacker.encoder(attacker.photos), shared[None].expand(len(attacker.photos), -1))
    apart = style_distance(image_statistics(attacker.encoder(drawn)), true[None], attacker.channels)
    return {
        "signature_distance": style_distance(shared, true, attacker.channels).item(),
        "drawings_distance": apart.mean().item(),
    }


def sheet(cases: Sequence[Case], drawn: Pictures) -> Image.Image:
    """The drawings, and under them what came out of each attack, twice as large."""
    side, gap, line, columns = 2 * SIZE, 8, 20, 8
    font = ImageFont.load_default(13)
    page = Image.new("RGB", (columns * (side + gap) + gap, 8 * (side + line + gap)), "white")
    write, x, y = ImageDraw.Draw(page), gap, gap
    for caption, pictures in [("the drawings; attacks on one drawing are on the first", drawn[:columns])] + [
        (case.caption, case.found) for case in cases
    ]:
        width = max(2, len(pictures)) * (side + gap)  # a caption takes two
        if x + width > page.width:
            x, y = gap, y + line + side + gap
        write.text((x, y), caption, "black", font)
        for i, picture in enumerate(pictures):
            large = Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST)
            page.paste(large, (x + i * (side + gap), y + line))
        x += width
    return page.crop((0, 0, page.width, y + line + side + gap))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.inversion", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of garment photographs, with any folders in it")
    parser.add_argument("--picture", type=Path, help="write what came out, beside the drawings, to this file")
    parser.add_argument("--only", choices=("pictures", "membership"), help="one half of it")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    started = time.monotonic()
    own = garments(find_images(ROOT / "examples"), PAIRS[0])
    needed = PUBLIC + OTHERS + (0 if args.only == "pictures" else PAIRS[1] + REFERENCES)
    pool = garments(find_images(args.photos), needed)
    if len(pool) < needed:
        sys.exit(f"{args.photos} has {len(pool)} photographs of garments that can be cut out; {needed} are needed")
    model = FedGAI.load()
    attacker = Attacker(model, [square(photo) for photo, _ in pool[:PUBLIC]])
    figures: dict[str, object] = {}
    if args.only != "membership":
        cases, figures["fit"] = attacks(attacker, own, pool[PUBLIC:])
        figures["pictures"] = {
            f"{case.caption} (beside {len(case.true)})": likeness(attacker, case.found, case.true)
            | {"left": case.left, "rank": case.rank}
            for case in cases
        }
        if args.picture:
            sheet([case for case in cases if case.left is not None], drawings(own, HAND)).save(args.picture, quality=85)
    if args.only != "pictures":
        figures |= who_was_in_it(attacker, pool[PUBLIC:])
    figures["seconds"] = round(time.monotonic() - started)
    if args.json:
        print(json.dumps(figures, indent=1))
    else:
        show(figures)


def show(figures: Mapping[str, object], depth: int = 0) -> None:
    """Indented lines."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            print("  " * depth + name)
            show(value, depth + 1)
        else:
            print("  " * depth + f"{name:24} {f'{value:.4g}' if isinstance(value, float) else value}")


if __name__ == "__main__":
    main()
