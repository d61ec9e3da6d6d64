"""Every hand's signature, measured as a designer's is."""

from __future__ import annotations

import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fedgai import ateliers as atelier
from fedgai.content import look
from fedgai.draughtsman import Draughtsman
from fedgai.measure import SIDE, measure
from fedgai.model import FedGAI
from fedgai.networks.layers import channels_last
from fedgai.networks.style import Signature
from fedgai.training.pretrain.house_config import NAMED, HouseConfig, hands
from fedgai.vision.cutout import NoGarment

log = logging.getLogger("fedgai.training.pretrain")

MEASURED = 64  # photographs whose drawings tell a hand


def whole_studies(photos: list[Path], draughtsman: Draughtsman) -> list[atelier.Study]:
    """``MEASURED`` photographs or a few more, evenly among the given ones, studied at the size that hands are measured at."""
    studies = []
    for photo in photos[:: max(1, len(photos) // MEASURED)]:
        try:
            seen = look(photo, SIDE, SIDE, draughtsman, cutout=True, detail=1.0, print_amount=0.0, on_missing="raise")
        except NoGarment:
            continue
        studies.append(atelier.study_looked(seen))
    return studies


def _prepare_measuring(work: Path, photos: list[Path], draughtsman: Path) -> None:
    """Worker: what all hands' signatures are measured with."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    model = FedGAI("edge")
    model.encoder.load_state_dict(load_file(work / "encoder.safetensors"))
    model.freeze_encoder()
    _measuring["encoder"] = channels_last(model).encoder
    _measuring["studies"] = whole_studies(photos, Draughtsman.load(draughtsman))


_measuring: dict[str, Any] = {}


def _measure_hand(job: tuple[atelier.Hand, np.ndarray | None]) -> tuple[Tensor, int]:
    """Worker: a hand's signature from its drawings of the chosen photographs, or of all, and how many those were."""
    hand, chosen = job
    studies = _measuring["studies"]
    of = studies if chosen is None else [studies[i % len(studies)] for i in chosen]
    return measure(_measuring["encoder"], (atelier.render(study, hand) for study in of))


def signatures(
    model: FedGAI, photos: list[Path], draughtsman: Path, work: Path, config: HouseConfig, processes: int
) -> tuple[Tensor, list[int]]:
    """(hands, D): every hand's signature, measured as a designer's is, on whole drawings: what the Generator is trained to
    draw from; and of how many drawings each. Kept in ``work`` for the encoder that measured them."""
    kept = work / f"signatures-{model.encoder_sha256[:12]}.safetensors"
    if kept.exists():
        tensors = load_file(kept)
        return tensors["bank"], tensors["drawings"].tolist()
    save_file({k: v.contiguous() for k, v in model.encoder.state_dict().items()}, work / "encoder.safetensors")
    rng = np.random.default_rng(config.seed + 4)
    chosen = [rng.choice(MEASURED, config.measured, replace=False) for _ in range(config.hands)]
    jobs = list(zip(hands(config), [*[None] * NAMED, *chosen], strict=True))
    context, found = multiprocessing.get_context("spawn"), list[tuple[Tensor, int]]()
    with ProcessPoolExecutor(processes, context, _prepare_measuring, (work, photos, draughtsman)) as pool:
        for signature in pool.map(_measure_hand, jobs, chunksize=4):
            found.append(signature)
            if len(found) % 100 == 0:
                log.info("signature %d of %d", len(found), len(jobs))
    bank, drawings = torch.stack([style for style, _ in found]), [count for _, count in found]
    save_file({"bank": bank, "drawings": torch.tensor(drawings)}, kept)
    return bank, drawings


def named_signatures(model: FedGAI, bank: Tensor, drawings: list[int]) -> list[Signature]:
    """The ateliers' signatures, the first of ``signatures``."""
    return [
        Signature(bank[i], model.encoder_sha256, name, hand.description, drawings[i], choice=hand.choice)
        for i, (name, hand) in enumerate(atelier.ATELIERS.items())
    ]
