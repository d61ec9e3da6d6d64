"""A network learns what buttons look like."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fedgai.draughtsman import Draughtsman
from fedgai.shipped import WEIGHTS
from fedgai.training import train_buttons as training
from fedgai.vision.buttons import ButtonNetwork
from fedgai.vision.round_spots import PATCH, Spots, round_spots

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def cloth(spot: str) -> Spots:
    """A cloth with a row of four dark discs, or with four short lines."""
    photo = np.full((384, 384, 3), 170, np.uint8)
    for y in (90, 150, 210, 270):
        if spot == "disc":
            cv2.circle(photo, (190, y), 5, (40, 40, 60), -1, cv2.LINE_AA)
        else:
            cv2.line(photo, (184, y), (196, y), (40, 40, 60), 4, cv2.LINE_AA)
    mask = np.zeros((384, 384), np.float32)
    mask[30:350, 60:330] = 1
    found = round_spots(photo, mask)
    assert found is not None and found.length == pytest.approx(640, abs=4)
    return found


def test_discs_are_told_from_lines_after_a_few_steps() -> None:
    discs, lines = cloth("disc"), cloth("line")
    assert discs.patches.shape[1:] == (3, PATCH, PATCH) and len(discs.places) >= 4
    network = training.learn(discs.patches, lines.patches, 40, 24)
    with torch.inference_mode():
        assert network(discs.patches).min() > network(lines.patches).max()
    again = training.learn(discs.patches, lines.patches, 40, 24)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_rows_in_photographs_count_as_buttons_but_not_on_kinds_without(monkeypatch: pytest.MonkeyPatch) -> None:
    discs = cloth("disc")
    network = ButtonNetwork().eval()
    monkeypatch.setattr(network, "forward", lambda patches: torch.full((len(patches),), 1.5))
    yes, no = training.taken_for_buttons(network, [("shirt", discs)])
    assert len(yes) == 4 and not no
    yes, no = training.taken_for_buttons(network, [("t-shirt", discs)])
    assert not yes and len(no) == len(discs.places)
    many = discs._replace(places=np.random.default_rng(24).uniform(0, 700, (40, 3)), patches=torch.zeros(40, 3, PATCH, PATCH))
    assert many.places[:, 2].min() > 0
    yes, no = training.taken_for_buttons(network, [("shirt", many)])
    assert not yes and len(no) == 40


def test_the_command_puts_a_network_into_the_draughtsmans_file(tmp_path: Path) -> None:
    for kind, name in (("t-shirt", "hoodie"), ("shirt", "trench_coat")):
        (tmp_path / kind).mkdir()
        shutil.copyfile(EXAMPLES / f"{name}.jpg", tmp_path / kind / f"{name}.jpg")
    out, start = tmp_path / "out.safetensors", WEIGHTS / "draughtsman.safetensors"
    command = ["--draughtsman", str(start), "--photos", str(tmp_path), "--out", str(out)]
    training.main([*command, "--garments", "4", "--each", "1", "--steps", "2", "--seed", "3"])
    learned, before = Draughtsman.load(out), Draughtsman.load(start)
    assert learned.buttons is not None
    same = zip(learned.network.parameters(), before.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
