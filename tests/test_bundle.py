"""The app that Flower ships to a designer: what the two apps need of the federation, and nothing else."""

from __future__ import annotations

import ast
import io
import zipfile
from pathlib import Path

import pytest

from federation.bundle import build_app

ROOT = Path(__file__).resolve().parent.parent
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


def imported(file: Path) -> set[str]:
    """Files of the project that a file imports, as paths from the root."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        for module in modules:
            path = Path(*module.split("."))
            found |= {str(p) for p in (path.with_suffix(".py"), path / "__init__.py") if (ROOT / p).is_file()}
    return found


def test_of_the_federation_it_holds_what_both_apps_need(files: set[str]) -> None:
    assert {name for name in files if not name.startswith("fedgai/")} == FEDERATION


def test_whatever_it_imports_is_in_it(files: set[str]) -> None:
    seen: set[str] = set()
    todo = ["federation/server/server_app.py", "federation/designer/client_app.py"]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += imported(ROOT / name)
    assert seen <= files, seen - files
    packages = {f"{Path(name).parent}/__init__.py" for name in seen}
    assert {name for name in packages if (ROOT / name).is_file()} <= files


def test_no_weights_and_no_picture_travel_with_it() -> None:
    with zipfile.ZipFile(io.BytesIO(build_app())) as bundle:
        assert not [name for name in bundle.namelist() if Path(name).suffix in (".safetensors", ".jpg", ".png")]
