"""Imports gradio without having it write type stubs; import this first.

Whenever it is imported, Gradio (6.31) parses the source of each of its components and writes a .pyi file beside it, for editors.
That is half of the time that the import takes, and two processes that start together write the same files. Gradio leaves out a
component whose file ``inspect`` does not know. ``tests/test_studio_gradio.py`` fails when an update does this another way.
"""

from __future__ import annotations

import inspect
from typing import Any

_getfile = inspect.getfile


def _no_file_of_components(object: Any) -> str:
    if isinstance(object, type) and object.__module__.startswith("gradio."):
        raise OSError("no type stubs are wanted")
    return _getfile(object)


inspect.getfile = _no_file_of_components
try:
    import gradio  # noqa: F401
finally:
    inspect.getfile = _getfile
