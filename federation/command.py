"""The command ``fedgai-join``: the companion, or one sentence where its packages are not installed."""

from __future__ import annotations

from fedgai.imports import needed_by


def main() -> int:
    """Returns the exit status of federation/join.py."""
    with needed_by("fedgai-join", "federation"):
        from federation import join
    return join.main()
