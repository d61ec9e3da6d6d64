"""What programs import when they start, and the garbage collector meanwhile."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from fedgai.imports import collector_paused


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
