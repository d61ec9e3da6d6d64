"""Text from outside, as a terminal, a log or a page may show it."""

from __future__ import annotations


def printable(text: str, *, longest: int | None = None, keep: str = "", instead: str = "?") -> str:
    """Without terminal codes, line breaks, and bytes of a file name that are not text.

    Args:
        longest: characters; what is longer is cut, and ends with an ellipsis.
        keep: characters that may stay all the same, as "\\n" in a report of many lines.
        instead: what stands for each of the others.

    Example:
        >>> printable("coat\\x1b[31m.png")
        'coat?[31m.png'
        >>> printable("a long name", longest=7)
        'a long…'
    """
    clean = "".join(c if c.isprintable() or c in keep else instead for c in text)
    return clean if longest is None or len(clean) <= longest else clean[: longest - 1] + "…"
