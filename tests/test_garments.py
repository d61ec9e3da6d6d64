"""Procedural garments: the same for a seed, and their ground truth agrees with their pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedgai.garments import KINDS, LINE_TYPES, Garment, dye, make


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
