"""What programs import when they start, the garbage collector meanwhile, and what they say where a package is missing."""

from __future__ import annotations

import gc
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fedgai.imports import collector_paused, needed_by

ROOT = Path(__file__).resolve().parent.parent


def test_it_pauses_in_the_block_alone() -> None:
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), collector_paused():
        raise ImportError("no such module")
    assert gc.isenabled()


def test_a_program_at_work_looks_again() -> None:
    kept = gc.get_freeze_count()
    with collector_paused(freeze=False):
        assert not gc.isenabled()
    assert gc.isenabled() and gc.get_freeze_count() <= kept  # a kept object may be gone, but none was added


SELDOM = {"diffusers", "gradio", "matplotlib", "open_clip", "pandas", "scipy", "skimage", "transformers"}
"""Libraries that take long to import, and that a program imports where it needs them."""


@pytest.mark.parametrize(
    "program", ["fedgai.__main__", "federation.join", "federation.designer.client_app", "federation.server.server_app"]
)
def test_a_program_imports_what_it_needs_and_never_looks_at_it_again(program: str) -> None:
    code = f"import gc, sys, {program}; assert gc.isenabled(); print(gc.get_freeze_count(), len(gc.get_objects()), *sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, looked_at, *modules = run.stdout.split()
    assert int(kept) > 100_000 > 10 * int(looked_at)
    assert SELDOM.isdisjoint(modules)


# -- without the extras ------------------------------------------------------------------------------------------------


def only_in(extras: set[str], installed: set[str]) -> list[str]:
    """Top modules of the packages of these extras, as far as no other extra that is installed brings them."""
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

    def distributions(names: set[str]) -> set[str]:
        return {re.split(r"[<>=\[]", wanted)[0].lower().replace("_", "-") for name in names for wanted in optional[name]}

    blocked = distributions(extras) - distributions(installed)
    owners = importlib.metadata.packages_distributions()
    return [m for m, of in owners.items() if {d.lower().replace("_", "-") for d in of} & blocked and m.isidentifier()]


def ended(entry: str, arguments: list[str], blocked: list[str]) -> str:
    """What a program's entry point says on standard error where these modules are not installed. It ends with status 1."""
    module, function = entry.split(":")
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); sys.argv[1:] = {arguments!r}; "
    code += f"from {module} import {function}; sys.exit({function}())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert run.returncode == 1, run.stdout + run.stderr
    return run.stderr


@pytest.mark.parametrize(
    ("program", "arguments", "installed", "wanted"),
    [
        ("fedgai-join", ["--receipt"], set(), "federation"),
        ("fedgai-join", ["--window"], {"studio"}, "federation"),
        ("fedgai-studio", [], set(), "studio"),
        ("fedgai-studio", [], {"federation"}, "studio"),
        ("fedgai-studio", ["--federation"], set(), "studio,federation"),
        ("fedgai-studio", ["--federation"], {"studio"}, "studio,federation"),
    ],
)
def test_a_program_without_its_packages_says_which_to_install(
    program: str, arguments: list[str], installed: set[str], wanted: str
) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    arguments = [*arguments, *(["--port", "0"] if program == "fedgai-studio" else [])]
    message = ended(scripts[program], arguments, only_in({"studio", "federation"} - installed, installed))
    pattern = rf'{program} needs more packages \((\w+) is missing\): pip install "\.\[{wanted}\]" in a copy of the project\n'
    assert re.fullmatch(pattern, message), message


@pytest.mark.parametrize(
    ("module", "wanted"),
    [
        ("federation.join", "federation"),
        ("federation.operator", "federation"),
        ("federation.demo", "studio,federation"),
        ("federation.simulate", "simulation"),
        ("studio.companion.window", "studio,federation"),
        ("studio.companion.home", "studio,federation"),
    ],
)
def test_a_module_that_is_started_without_its_packages_says_which_to_install(module: str, wanted: str) -> None:
    blocked = only_in({"studio", "federation"}, set())
    code = f"import runpy, sys; sys.modules.update(dict.fromkeys({blocked!r})); "
    run = subprocess.run(
        [sys.executable, "-c", code + f"runpy.run_module({module!r}, run_name='__main__')"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    pattern = (
        rf'python -m {module} needs more packages \((\w+) is missing\): pip install "\.\[{wanted}\]" in a copy of the project\n'
    )
    assert run.returncode == 1 and re.fullmatch(pattern, run.stderr), run.stderr
    imported = subprocess.run(
        [sys.executable, "-c", code + f"import {module}"], capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert "ModuleNotFoundError" in imported.stderr  # a program that only imports it may catch that


def test_a_module_of_ours_that_is_missing_is_a_mistake() -> None:
    with pytest.raises(ModuleNotFoundError), needed_by("fedgai", "studio"):
        import fedgai.nothing  # noqa: F401
