"""Which room may import which: the server's and the designer's machines share nothing but what crosses the wire."""

from __future__ import annotations

import ast
import importlib.metadata
from pathlib import Path

import pytest

from federation.designer import flower_objects

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {
    "fedgai": ("federation", "studio", "app"),
    "federation": ("studio", "app"),
    "federation/designer": ("federation.server", "federation.operator"),
    "federation/server": ("federation.designer",),
    "studio": ("app",),
    "studio/companion": ("federation.server", "federation.operator"),
    "studio/federation": ("federation.designer",),
}


def imports(file: Path) -> set[str]:
    """Modules that a file imports, at its top or within a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_does_not_import_what_it_must_not(room: str) -> None:
    for file in (ROOT / room).rglob("*.py"):
        for name in imports(file):
            for forbidden in FORBIDDEN[room]:
                assert name != forbidden and not name.startswith(f"{forbidden}."), f"{file.relative_to(ROOT)} imports {name}"


PRIVATE = ("flwr.supercore.", "flwr.common.", "flwr.cli.", "flwr.supernode.", "flwr.superlink.")
ADAPTERS = {  # the one file of each room that may use what Flower keeps private, and two that need a single name
    "federation/server/superlink_state.py",
    "federation/designer/flower_objects.py",
    "federation/flower_commands.py",
    "federation/bundle.py",  # builds the app as Flower's command does
    "federation/server/replies.py",  # catches one error, and ships with the ServerApp
}


def test_what_flower_keeps_private_is_used_in_one_file_of_each_room() -> None:
    found = {
        file.relative_to(ROOT).as_posix()
        for room in ("fedgai", "federation", "studio")
        for file in (ROOT / room).rglob("*.py")
        if any(name.startswith(PRIVATE) for name in imports(file))
    }
    assert found == ADAPTERS
    assert importlib.metadata.version("flwr") == flower_objects.READ_FROM, "read the names in flower_objects.py anew"
