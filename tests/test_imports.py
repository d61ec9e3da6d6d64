"""The garbage collector while a program imports."""

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


@pytest.mark.parametrize("program", ["fedgai.__main__", "federation.designer.client_app", "federation.server.server_app"])
def test_a_program_never_looks_again_at_what_it_imported(program: str) -> None:
    code = f"import gc, {program}; assert gc.isenabled(); print(gc.get_freeze_count(), len(gc.get_objects()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, looked_at = map(int, run.stdout.split())
    assert kept > 100_000 > 10 * looked_at
