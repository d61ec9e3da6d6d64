"""The house's training command, whole and small: it draws, trains all stages, resumes, and gives the same weights again."""

import hashlib
import os
import subprocess
import sys

import pytest
import torch
from helpers.garment_picture import draw_garment

from fedgai.model import FedGAI
from fedgai.training.losses import crispness_loss, pair_loss

SMALL = [
    "--views",
    "1",
    "--hands",
    "2",
    "--measured",
    "1",
    "--drawings",
    "3",
    "--named-drawings",
    "3",
    "--encoder-steps",
    "1",
    "--generator-steps",
    "2",
    "--adversarial-steps",
    "1",
    "--batch",
    "2",
    "--processes",
    "1",
]


def house(photos, work, out, *more) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "fedgai.training.pretrain", "--photos", photos, "--work", work, "--out", out, *SMALL, *more]
    return subprocess.run(
        [str(c) for c in command], check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(3):
        draw_garment().resize((80 + 4 * i, 200)).save(folder / f"{i}.png")
    return folder


def test_it_trains_resumes_and_repeats_itself(photos, tmp_path):
    house(photos, tmp_path / "a", tmp_path / "whole")
    house(photos, tmp_path / "b", tmp_path / "parts", "--until", "encoder")
    log = house(photos, tmp_path / "b", tmp_path / "parts").stderr
    assert "encoder 1/1" not in log and "weights in" in log
    digests = {hashlib.sha256((tmp_path / out / "model.safetensors").read_bytes()).hexdigest() for out in ("whole", "parts")}
    assert len(digests) == 1
    model = FedGAI.load(tmp_path / "whole")
    assert len(model.styles) == 8 and model.info["semantic_loss"] == "paired"


def test_every_second_photograph_but_not_every_zeroth(photos, tmp_path):
    less = ["--drawings", "2", "--named-drawings", "2", "--until", "draw"]
    log = house(photos, tmp_path / "a", tmp_path / "out", "--every", "2", *less).stderr
    assert "2 pages of 2 photographs" in log
    with pytest.raises(subprocess.CalledProcessError) as stopped:
        house(photos, tmp_path / "b", tmp_path / "out", "--every", "2", "--until", "draw")
    assert "2 pages are too few" in stopped.value.stderr and "Traceback" not in stopped.value.stderr
    with pytest.raises(subprocess.CalledProcessError) as stopped:
        house(photos, tmp_path / "b", tmp_path / "out", "--every", "0")
    assert "--every is 1 for all photographs" in stopped.value.stderr


def test_pair_loss_prefers_the_drawing_itself():
    target = torch.ones(1, 3, 16, 16)
    target[..., 4:8] = -1
    exact, blank, grey = (pair_loss(x, target) for x in (6 * target, torch.full_like(target, 6), torch.zeros_like(target)))
    assert exact < grey < blank


def test_crispness_counts_grey_that_the_target_has_not():
    target = torch.ones(2, 3, 8, 8)
    target[..., :4] = -1
    assert crispness_loss(target.flip(3), target) == 0  # wherever it is
    assert crispness_loss(torch.zeros_like(target), target) == 1
