"""The pyproject of an app for Flower that does nothing of ours."""

from __future__ import annotations

PROJECT = """
[project]
name = "dummy"
version = "1.0.0"
[tool.flwr.app]
publisher = "test"
[tool.flwr.app.components]
serverapp = "dummy.server:app"
clientapp = "dummy.client:app"
[tool.flwr.app.config]
rounds = 11
min-designers = 2
"""
