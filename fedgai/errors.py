"""The one error that everything a user is to read derives from, and how it is shown."""

from __future__ import annotations


class FedGAIError(ValueError):
    """Something that a user can mend. The message is one plain sentence that says what to do; show it without a traceback."""


def sentence(error: FedGAIError | OSError) -> str:
    """An error as a person reads it: it begins with a capital letter and ends with one full stop.

    Example:
        >>> sentence(FedGAIError("there is no folder /drawings"))
        'There is no folder /drawings.'
    """
    if isinstance(error, OSError):
        text = f"{error.filename or 'a file'} cannot be used: {error.strerror or error}"
    else:
        text = str(error)
    return f"{text[:1].upper()}{text[1:]}".rstrip(". ") + "."
