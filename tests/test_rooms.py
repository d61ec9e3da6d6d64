"""Which room may import which: the server's and the designer's machines share nothing but what crosses the wire."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
from pathlib import Path

import pytest
from helpers.imports import imports, needed, parsed

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


def is_within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def trespasses(root: Path, room: str, forbidden: tuple[str, ...]) -> list[str]:
    """What the files of a room import that they must not, and what that needs: "by whom: what" each."""
    files = [file.relative_to(root).as_posix() for file in (root / room).rglob("*.py")]
    found = [f"{name}: {module}" for name in files for module in imports(name, root=root) if is_within(module, forbidden)]
    for name, by in needed(files, root).items():
        module = ".".join(Path(name).with_suffix("").parts).removesuffix(".__init__")
        found += [f"{by}: {module}"] if by and is_within(module, forbidden) else []
    return found


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_does_not_import_what_it_must_not(room: str) -> None:
    assert trespasses(ROOT, room, FORBIDDEN[room]) == []


@pytest.mark.parametrize(
    "line",
    [
        "from federation.server import house",
        "from federation.server.house import open",
        "import federation.server.house",
        "from ..server import house",
        "from .. import between",
        "def f():\n    from ..between import house",
        "from federation import between",
    ],
)
def test_a_way_around_is_found(line: str, tmp_path: Path) -> None:
    for name, text in {
        "federation/designer/client.py": f"if True:\n    import os\n{line}\n",
        "federation/between.py": "def later():\n    from .server import house\n",
        "federation/server/house.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    forbidden = FORBIDDEN["federation/designer"]
    assert any("federation.server.house" in found for found in trespasses(tmp_path, "federation/designer", forbidden))
    (tmp_path / "federation" / "designer" / "client.py").write_text("import os\n")
    assert trespasses(tmp_path, "federation/designer", forbidden) == []


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
        name
        for room in ("fedgai", "federation", "studio")
        for name in (file.relative_to(ROOT).as_posix() for file in (ROOT / room).rglob("*.py"))
        if any(module.startswith(PRIVATE) for module in imports(name))
    }
    assert found == ADAPTERS
    for name in ADAPTERS:
        adapter = importlib.import_module(name.removesuffix(".py").replace("/", "."))
        assert importlib.metadata.version("flwr") == adapter.READ_FROM, f"read the names in {name} again"


PUBLIC = ("flwr.app", "flwr.clientapp", "flwr.clientapp.mod", "flwr.serverapp", "flwr.serverapp.strategy", "flwr.simulation")
UNLISTED = {
    # a message that is received can be rebuilt with nothing that flwr.app lists: Message(...) makes a new one, with another id
    "flwr.app.message": {
        "federation/designer/client_app.py",
        "federation/designer/dry_run.py",
        "federation/server/strategy.py",
    },
    # what a mod of the ClientApp is called with; a type alone
    "flwr.clientapp.typing": {"federation/designer/client_app.py", "federation/simulate.py"},
}
"""Modules of Flower's public packages that these do not list in ``__all__``, and the files that use them all the same."""


def test_what_flower_does_not_list_as_public_is_used_where_it_is_said() -> None:
    listed = set(PUBLIC)
    for package in PUBLIC:
        listed |= {f"{package}.{name}" for name in importlib.import_module(package).__all__}
    found: dict[str, set[str]] = {}
    for room in ("fedgai", "federation", "studio"):
        for name in (file.relative_to(ROOT).as_posix() for file in (ROOT / room).rglob("*.py")):
            for module in imports(name):
                if module.startswith("flwr.") and not f"{module}.".startswith((*PRIVATE, "flwr.proto.")) and module not in listed:
                    found.setdefault(".".join(module.split(".")[:3]), set()).add(name)
    assert found == UNLISTED


OURS = ("fedgai", "federation", "studio")


def private_names(name: str) -> list[str]:
    """What a file of the project uses of another one that begins with an underscore."""
    tree, modules = parsed(ROOT / name), set()
    found = [f"{name}: {module}" for module in imports(name) if module.startswith(OURS) and "._" in module.replace("__", "")]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith(OURS)):
            modules |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            found += [f"{name}: {node.value.id}.{node.attr}"] if node.attr.startswith("_") and node.attr[:2] != "__" else []
    return found


def test_what_a_file_keeps_private_no_other_file_uses() -> None:
    files = [file.relative_to(ROOT).as_posix() for room in OURS for file in (ROOT / room).rglob("*.py")]
    assert [found for name in files for found in private_names(name)] == []


FOREIGN = {
    "federation/flower_commands.py": {"_pull_and_store_message", "_push_messages"},  # tests/test_flower_commands.py
    "federation/server/hub_client.py": {"_http"},  # tests/test_hub_client.py
    "studio/gradio_adapter.py": {"_queue"},  # tests/test_studio_gradio.py
    "fedgai/training/local.py": {"_is_avx512_bf16_supported"},  # of torch.cpu, which has no public name that says it
}
"""Names that a library keeps private and we use, as attributes or imported: only in these files. Of open_clip there is none."""


def private_imports(tree: ast.AST) -> set[str]:
    """Names of a library, or of its modules, that begin with an underscore, and are imported."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            module, *parts = name.split(".")
            if module not in (*OURS, "__future__"):
                found |= {part for part in (module, *parts) if re.match("_[^_]", part)}
    return found


def test_a_private_name_that_is_imported_is_found() -> None:
    program = """
import torch._dynamo
from fedgai.text import _ours
def later():
    from torch.nn.modules.batchnorm import BatchNorm2d, _BatchNorm as BatchNorm
    from numpy._core import __all__, array
"""
    assert private_imports(ast.parse(program)) == {"_dynamo", "_BatchNorm", "_core"}


def test_what_a_library_keeps_private_is_used_where_it_is_said() -> None:
    found: dict[str, set[str]] = {}
    for room in OURS:
        for file in (ROOT / room).rglob("*.py"):
            if imported := private_imports(parsed(file)):
                found.setdefault(file.relative_to(ROOT).as_posix(), set()).update(imported)
            nodes = list(ast.walk(parsed(file)))
            own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
            of_self = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
            for node in nodes:
                if isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr) and node.attr not in own:
                    if f"self.{node.attr}" not in of_self and f"cls.{node.attr}" not in of_self:
                        found.setdefault(file.relative_to(ROOT).as_posix(), set()).add(node.attr)
    assert found == FOREIGN
