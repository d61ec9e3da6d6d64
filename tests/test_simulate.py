"""The simulation's command, without the simulation."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from federation import simulate
from fedgai.errors import FedGAIError


def test_without_the_engine_it_says_so_before_anything_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else found(name, *rest))
    with pytest.raises(FedGAIError, match=r'pip install "\.\[simulation\]"'):
        simulate.simulate(2, 1, home=tmp_path)
    assert not any(tmp_path.iterdir())


def test_designers_have_names() -> None:
    names = list(simulate.hands(10, 24))
    assert names[0] == "Aiko" and names[8:] == ["Hand 1", "Hand 2"]
