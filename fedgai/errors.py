"""The one error that everything a user is to read derives from."""

from __future__ import annotations


class FedGAIError(ValueError):
    """Something that a user can mend. The message is one plain sentence that says what to do; show it without a traceback."""
