"""The studio at home, without its page: who draws, in whose hand. tests/test_window.py has the page, in a browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("gradio")
pytest.importorskip("flwr")

from federation.companion import CompanionError, Settings
from studio.home import HomeStudio

LINES = {"strength": 1.0, "detail": 1.0}


@pytest.fixture(scope="module")
def folder(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A companion's, with a private model; the designer is one of three."""
    home = tmp_path_factory.mktemp("companion")
    shutil.copytree(tiny_model_dir, home / "model")
    (home / "model" / "round.json").write_text('{"round": 7}')
    Settings("https://studio.example", str(home), "Bruno Hatch").save(home)
    return home


@pytest.fixture(scope="module")
def studio(folder: Path) -> HomeStudio:
    return HomeStudio(folder)


def test_from_all_me_to_all_of_us(studio: HomeStudio) -> None:
    look = lambda us, weights=None: studio.look(weights or studio.everybody, LINES, 256, True, {"us": us})  # noqa: E731
    assert studio.me == "Bruno Hatch" and studio.rounds == 7
    assert dict(look(0).shares) == {"Bruno Hatch": 1}
    assert dict(look(1).shares) == pytest.approx(dict.fromkeys(studio.names, 1 / 3))
    assert dict(look(0.5).shares) == pytest.approx({"Bruno Hatch": 2 / 3, "Ada Line": 1 / 6, "Coco Blot": 1 / 6})
    assert dict(look(0.5, {"Ada Line": 0.2, "Bruno Hatch": 0, "Coco Blot": 0}).shares) == {"Ada Line": 0.5, "Bruno Hatch": 0.5}
    assert dict(look(0, dict.fromkeys(studio.names, 0)).shares) == {"Bruno Hatch": 1}
    with pytest.raises(ValueError, match="All designers are at zero"):
        look(0.1, dict.fromkeys(studio.names, 0))
    for wrong in (-0.1, 1.1, "x", None):
        with pytest.raises(ValueError, match="From all me to all of us"):
            look(wrong)


def test_another_encoder_is_not_compared(studio: HomeStudio) -> None:
    with pytest.raises(ValueError, match="other encoders"):
        studio.compare(studio.first_garment, studio.first_look)


def test_without_a_generator_it_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CompanionError, match="no Generator of your own yet"):
        HomeStudio(tmp_path)
