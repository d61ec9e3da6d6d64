"""What a designer's machine sends about their hand: the signature, and what the judge of hands learned from it.

The signature is measured, then adjusted at home to the house Generator of the installed release (refined), and saved. It is
refined again when the drawings or the release have changed. A round brings no Generator. It need not, for in refined hands the
server holds the house to round 0's drawings (``federation/server/house_step.py``). Where it helps, the refined one has an adapter
(``fedgai.networks.adapter``), which belongs to the house's weights. ``refine`` in the node configuration is on by default. The
refined signature is tested on drawings that were held back; if it does no better on them, the measured one is shared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from flwr.app import UserConfig
from torch import Tensor

from fedgai.model import FedGAI
from fedgai.networks.encoder import sha256
from fedgai.networks.hand_judge import HandJudge
from fedgai.networks.style import Signature
from fedgai.shipped import WEIGHTS
from fedgai.training.judge_hands import Evidence, gather, train_hand_judge
from fedgai.training.local import LocalTrainer
from fedgai.training.refine_signature import refine

REFINED_FILE = "refined.safetensors"  # in ``out``, beside the measured one
EVIDENCE_FILE = "evidence.safetensors"  # what the judge of hands is trained on


def refine_own_hand(trainer: LocalTrainer, node_config: UserConfig, progress: Callable[[float], None] | None = None) -> None:
    """Refine the signature, or read the one that an earlier round refined. Refining takes one to two minutes on two cores.

    Raises:
        CheckpointError: the weights to start from cannot be used.
        ImageError: a drawing or photograph that was there a moment ago cannot be read.
    """
    if not node_config.get("refine", True):
        return
    house = FedGAI.load(str(node_config.get("weights") or WEIGHTS))
    made_from = {"drawings": trainer.pairs.sha256, "house": sha256(house.generator)}
    file = trainer.out / REFINED_FILE
    kept = _read(file, trainer.model)
    if kept is None or {key: kept.extra.get(key) for key in made_from} != made_from:
        kept = refine(house, trainer.signature, trainer.pairs.report.pairs, progress=progress).signature
        kept = replace(kept, extra={**kept.extra, **made_from})
        trainer.out.mkdir(parents=True, exist_ok=True)
        kept.save(file)
    trainer.take_style(replace(kept, name=trainer.name))


def own_signature(trainer: LocalTrainer, node_config: UserConfig) -> Signature:
    """The signature to share: the refined one if there is one for these drawings, else the measured one."""
    kept = _read(trainer.out / REFINED_FILE, trainer.model) if node_config.get("refine", True) else None
    return kept if kept is not None and kept.extra.get("drawings") == trainer.pairs.sha256 else trainer.signature


def teach_own_hand(
    trainer: LocalTrainer,
    node_config: UserConfig,
    weight: Tensor | None,
    others: Tensor | None,
    progress: Callable[[float], None] | None = None,
) -> float | None:
    """Train the judge of hands on the own drawings, from the aggregate's weights, and save the private model.

    The judge's update shows the signature. So it is trained only for designers who share their signature without noise: with
    ``style-epsilon``, and without ``share-style``, the aggregate's weights are sent back unchanged. The same where the
    signature was refined: there the house does not ask the judge, and what is not used is not sent.

    Args:
        weight: "hand.project.weight" of the aggregate, whatever an interrupted try left in the model; None without a judge.
        others: (K, D), the other designers' signatures.
    Returns:
        the loss; None where there was nothing to train.
    Raises:
        CheckpointError: the weights to start from cannot be used.
        ImageError: a drawing or photograph that was there a moment ago cannot be read.
    """
    judge = trainer.model.discriminator.hand
    if judge is None or weight is None:
        return None
    with torch.no_grad():
        judge.project.weight.copy_(weight)
    shares_signature = node_config.get("share-style") and float(node_config.get("style-epsilon", 0)) <= 0
    refined = own_signature(trainer, node_config).extra.get("refined") is True
    loss = None
    if shares_signature and not refined:
        judge.cpu()
        evidence = _evidence(trainer, node_config, judge, others, progress)
        loss = train_hand_judge(judge, evidence)
        judge.to(trainer.device)
    trainer.save()
    return loss


def _evidence(
    trainer: LocalTrainer,
    node_config: UserConfig,
    judge: HandJudge,
    others: Tensor | None,
    progress: Callable[[float], None] | None,
) -> Evidence:
    """What an earlier round gathered, if drawings, house and signatures are the same; else gathered again and saved."""
    house, style = FedGAI.load(str(node_config.get("weights") or WEIGHTS)), own_signature(trainer, node_config).style
    signatures = torch.cat([style[None], *([] if others is None else [others])])
    parts = (trainer.pairs.sha256, sha256(house.generator), hashlib.sha256(signatures.numpy().tobytes()).hexdigest())
    file, made_from = trainer.out / EVIDENCE_FILE, " ".join(parts)
    kept = Evidence.load(file, made_from)
    if kept is None:
        kept = gather(house, judge, trainer.pairs.report.pairs, style, others, progress=progress)
        kept.save(file, made_from)
    return kept


def _read(file: Path, model: FedGAI) -> Signature | None:
    """The signature in a file of ours; None if the file is missing, damaged, or of another encoder."""
    try:
        kept = Signature.load(file)
        model.check_style(kept)
    except ValueError:
        return None
    return kept
