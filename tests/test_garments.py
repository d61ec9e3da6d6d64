"""Procedural garments: the same for a seed, and their ground truth agrees with their pictures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fedgai.__main__ import main
from fedgai.errors import FedGAIError
from fedgai.garments import KINDS, LINE_TYPES, Garment, dye, make
from fedgai.garments.writing import PLANES, write_garments


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_draws(kind: str) -> None:
    garment = make(3, 256, kind)
    picture = dye(garment, np.random.default_rng(4))
    h, w = garment.alpha.shape
    assert max(h, w) == 256 and picture.photo.shape == (h, w, 3) and picture.photo.dtype == np.uint8
    assert picture.lines.shape == (len(LINE_TYPES), h, w)
    assert 0.06 < (garment.alpha > 127).mean() < 0.95
    assert picture.lines[0].any() and garment.light.max() < 4 and garment.light.min() >= 0


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again, other = make(5, 256), make(5, 256), make(6, 256)
    assert first.light.tobytes() == again.light.tobytes() and first.lines.tobytes() == again.lines.tobytes()
    assert first.alpha.tobytes() != other.alpha.tobytes()
    photos = [dye(first, np.random.default_rng(seed)).photo.tobytes() for seed in (1, 1, 2)]
    assert photos[0] == photos[1] != photos[2]


def test_a_garment_is_read_as_it_was_written(tmp_path: Path) -> None:
    garment = make(7, 256)
    garment.save(tmp_path / "garment.npz")
    read = Garment.load(tmp_path / "garment.npz")
    assert read.kind == garment.kind and read.roles == garment.roles and read.uv.tobytes() == garment.uv.tobytes()
    assert [(k, p.tobytes(), c) for k, p, c in read.vectors] == [(k, p.tobytes(), c) for k, p, c in garment.vectors]
    (tmp_path / "other.npz").write_bytes(b"no garment")
    with pytest.raises(ValueError, match=r"other\.npz is not a garment"):
        Garment.load(tmp_path / "other.npz")


def test_the_command_writes_pictures_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "garments"
    order = ["garments", "--seed", "3", "--size", "160", "--out", str(folder)]
    assert main([*order, "--count", "2"]) == 0
    first = {path: path.read_bytes() for path in folder.rglob("*.*")}
    assert main([*order, "--count", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("1 garments made, 2 were there")
    assert all(path.read_bytes() == content for path, content in first.items())
    facts = json.loads((folder / "vectors" / "000002.json").read_text())
    mask = cv2.imread(str(folder / "masks" / "000002.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (facts["height"], facts["width"]) and {line["type"] for line in facts["lines"]} <= set(LINE_TYPES)
    assert len(list(folder.rglob("000002.*"))) == 2 + len(PLANES)


def test_workers_write_the_same_pictures(tmp_path: Path) -> None:
    write_garments(3, 5, tmp_path / "one", 160)
    write_garments(3, 5, tmp_path / "two", 160, workers=2)
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["--count", "0"], "the number of garments is 1 to 1,000,000, not 0"),
        (["--count", "1", "--size", "9000"], "128 to 2048 pixels, not 9000"),
        (["--count", "1", "--kind", "hat"], "there is no garment 'hat'; choose one of t-shirt"),
        (["--count", "1", "--seed", "-1"], "a seed is a whole number"),
        (["--count", "1", "--workers", "0"], "choose 1 to 64 workers"),
    ],
)
def test_the_command_refuses_in_one_line(
    order: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["garments", "--out", str(tmp_path / "out"), *order]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(FedGAIError, match="is not empty"):
        write_garments(1, 0, tmp_path, 160)
    write_garments(1, 0, tmp_path / "new", 160)
    with pytest.raises(FedGAIError, match="another seed, size or kind"):
        write_garments(1, 1, tmp_path / "new", 160)
