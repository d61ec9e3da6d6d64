"""Which modules a file of the project imports, and which files a program needs."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def parsed(file: Path) -> ast.Module:
    """A file as a syntax tree. Dozens of tests look at each file of the project, so it is kept by what the file says."""
    return _parsed(file.read_text(encoding="utf-8"))


@functools.cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def imports(name: str, types: bool = True, root: Path = ROOT) -> frozenset[str]:
    """Modules that a file imports, at its top or within a function, and names in them, which may be modules, too.

    Args:
        name: the file's path from the root.
        types: also those that only a type checker imports.
    """
    return _imports((root / name).read_text(encoding="utf-8"), Path(name).parent.parts, types)


@functools.cache
def _imports(text: str, package: tuple[str, ...], types: bool) -> frozenset[str]:
    found = set[str]()
    for node in _statements(_parsed(text), types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def _statements(tree: ast.AST, types: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" and not types:
            continue
        yield node
        yield from _statements(node, types)


def needed(programs: Iterable[str], root: Path = ROOT) -> dict[str, str]:
    """Files of the project that are imported when these files are, or once they run -> the file that imports it first.

    A package's own file counts as imported where one of its modules is.
    """
    found, todo = {}, [(name, "") for name in programs]
    while todo:
        name, by = todo.pop(0)
        if name in found:
            continue
        found[name] = by
        for module in imports(name, types=False, root=root) | {".".join(Path(name).parent.parts)}:
            path = Path(*module.split("."))
            packages = [parent / "__init__.py" for parent in (path, *path.parents)]
            todo += [(p.as_posix(), name) for p in (path.with_suffix(".py"), *packages) if module and (root / p).is_file()]
    return found
