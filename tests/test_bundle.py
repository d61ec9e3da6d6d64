"""The app that Flower ships to a designer: what the two apps need of the federation, and nothing else."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from helpers.imports import needed

import fedgai
from federation.bundle import build_app
from fedgai.vision import decoders

PROGRAMS = [
    "federation/server/server_app.py",
    "federation/designer/client_app.py",
    "fedgai/vision/decoding/process.py",  # which decoders.py starts
]
FEDERATION = {
    "federation/__init__.py",
    "federation/identity.py",
    "federation/wire.py",
    "federation/designer/__init__.py",
    "federation/designer/client_app.py",
    "federation/designer/own_hand.py",
    "federation/designer/round_config.py",
    "federation/server/__init__.py",
    "federation/server/aggregation.py",
    "federation/server/closing.py",
    "federation/server/folder.py",
    "federation/server/house_hands.py",
    "federation/server/house_photographs.py",
    "federation/server/house_sheet.py",
    "federation/server/house_step.py",
    "federation/server/look_alikes.py",
    "federation/server/members.py",
    "federation/server/model_card.py",
    "federation/server/privacy.py",
    "federation/server/probe.py",
    "federation/server/replies.py",
    "federation/server/report.py",
    "federation/server/season.py",
    "federation/server/server_app.py",
    "federation/server/strategy.py",
    "federation/server/style_bank.py",
    "federation/server/update_check.py",
    "federation/server/update_spec.py",
}


@pytest.fixture(scope="module")
def files() -> set[str]:
    with zipfile.ZipFile(io.BytesIO(build_app())) as bundle:
        return {name for name in bundle.namelist() if name.endswith(".py")}


def test_of_the_federation_it_holds_what_both_apps_need(files: set[str]) -> None:
    assert {name for name in files if not name.startswith("fedgai/")} == FEDERATION


def test_it_holds_what_its_programs_import_and_nothing_else(files: set[str]) -> None:
    assert files == needed(PROGRAMS).keys()


def test_modules_of_which_only_the_name_is_written_are_in_it(files: set[str]) -> None:
    assert {"fedgai/" + module.removeprefix("fedgai.").replace(".", "/") + ".py" for module in fedgai._MODULES.values()} <= files
    assert "from decoding.process import main" in decoders.PROGRAM


def test_no_weights_and_no_picture_travel_with_it() -> None:
    with zipfile.ZipFile(io.BytesIO(build_app())) as bundle:
        assert not [name for name in bundle.namelist() if Path(name).suffix in (".safetensors", ".jpg", ".png")]
