"""axe-core in a page of Playwright's: what it finds that is serious."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

OPTIONS = {
    "rules": {"label-content-name-mismatch": {"enabled": True}},  # experimental, hence off by itself
    "resultTypes": ["violations"],  # to describe all that is well takes longer than to look
}
RUN = "async options => (await axe.run({ exclude: ['.toast-wrap'] }, options)).violations"  # that is Gradio's: nested buttons


def script() -> str:
    """axe-core itself, from the package that brings it; without that the test is skipped."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-playwright-python is not installed")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def violations(page: Any) -> list[str]:
    """Serious and critical ones, each with its rule, its place and what is wrong."""
    if not page.evaluate("'run' in (window.axe ?? {})"):
        page.evaluate(script())
    found = page.evaluate(RUN, OPTIONS)
    return [
        f"{rule['id']}: {' '.join(map(str, node['target']))}: {node['failureSummary']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
