"""Writes the tables of docs/architecture.md: every file, and the first sentence of its docstring.

python docs/architecture.py
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
TOPS = ("studio", "federation", "fedgai", "benchmarks", "experiments", "docs")


def first_sentence(file: Path) -> str:
    """Of a file's docstring, without its last stop."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[^A-Z]\.) (?=[A-Z`])", paragraph)[0].rstrip(".:;").replace("|", "\\|")


def tables() -> dict[str, str]:
    """room -> the table of its files."""
    rooms: dict[str, list[str]] = {}
    for top in TOPS:
        for file in sorted((ROOT / top).rglob("*.py")):
            if file.name != "__init__.py" and "__pycache__" not in file.parts:
                room = file.parent.relative_to(ROOT).as_posix()
                rooms.setdefault(room, []).append(f"| `{file.name}` | {first_sentence(file)} |")
    return {room: "\n".join(["| file | what it does |", "|---|---|", *rows]) for room, rows in rooms.items()}


def rewritten(page: str) -> str:
    """The page with today's tables. A room that has no section yet gets one at the end."""
    for room, table in tables().items():
        section = re.compile(rf"(^## {re.escape(room)}/\n.*?)^\| file \|.*?(?=\n\n|\Z)", re.M | re.S)
        if section.search(page):
            page = section.sub(lambda found, table=table: found.group(1) + table, page, count=1)
        else:
            page = f"{page.rstrip()}\n\n## {room}/\n\n{table}\n"
    return page.rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
