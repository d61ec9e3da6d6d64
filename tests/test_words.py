"""Words that readers had to read twice do not come back: in code, messages, documents, pages and tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from helpers.imports import parsed

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = {".py", ".md", ".toml", ".js", ".css", ".html"}
NOT_OURS = {"runs", "checkpoints", "federation-data", "build", "dist"}  # what programs and builds write
RIDDLES = {
    r"(?<![Tt]here )\b(?:is|are|was|were|be) none\b": 'write what it is: "is not a certificate", "is empty"',
    r"(?<![Tt]here )\b(?:is|are|was|were) no (?!longer|more|larger|less|better|matter|worse|fewer|other)": 'write "is not a"',
    r"\b(?:die|dies|died) of\b": 'write "fails on"',
    r"\b[Aa]new\b": 'write "again", or what happens: "a new one is started"',
}
NAMES = {"aside": "offset, temp_path", "told": "config, values", "said": "message, output"}
JINJA = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)  # code in our templates, where ``is none`` is the language's


def texts() -> list[Path]:
    tops = [top for top in sorted(ROOT.iterdir()) if top.name[0] != "." and top.name not in NOT_OURS]
    found = [file for top in tops for file in (top.rglob("*") if top.is_dir() else [top])]
    return [file for file in found if file.suffix in SUFFIXES and file != Path(__file__).resolve()]


@pytest.mark.parametrize("riddle", RIDDLES)
def test_no_text_has_words_that_readers_stumbled_over(riddle: str) -> None:
    found = []
    for file in texts():
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".html":
            text = JINJA.sub("", text)
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(riddle, line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join([RIDDLES[riddle], *found])


def names_in(node: ast.AST) -> list[str]:
    """The names that a node of Python gives to something."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
    return []


def test_no_variable_has_a_name_that_says_nothing() -> None:
    found = []
    for file in texts():
        if file.suffix == ".py":
            names = [(node.lineno, name) for node in ast.walk(parsed(file)) for name in names_in(node)]
        elif file.suffix == ".js":
            lines = enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
            words = [(n, re.search(r"\b(?:const|let|var|function)\b(.*?)(?:=(?!>)|;|$)", line)) for n, line in lines]
            names = [(n, name) for n, declared in words if declared for name in re.findall(r"\w+", declared[1])]
        else:
            names = []
        found += [f"{file.relative_to(ROOT)}:{n}: {name}" for n, name in names if name.strip("_").lower() in NAMES]
    assert not found, f"better names: {NAMES}. {found}"
