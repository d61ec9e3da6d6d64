"""Names that look alike to the eye, as Unicode's list of confusable characters has them (UTS 39)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from confusable_homoglyphs.confusables import confusables_data

DIGITS = str.maketrans("02568", "OZSGB")
"""Digits that are read as letters inside a name, which Unicode's list leaves out or pairs with rare letters only. 1 is in it,
as l and as I. No two digits share a letter: "Studio 5" and "Studio 6" stay two names."""


def resembled(name: str, others: Iterable[str]) -> str | None:
    """The first of ``others`` that looks like ``name``, or None.

    Example:
        >>> resembled("\\N{CYRILLIC CAPITAL LETTER A}iko", ["Bruno", "Aiko"])
        'Aiko'
    """
    return next((other for other in others if _look_alike(name, other)), None)


def _look_alike(name: str, other: str) -> bool:
    """Whether two names look the same as they are written or in small letters, or both in capitals."""
    name, other = name.translate(DIGITS), other.translate(DIGITS)
    if {_skeleton(name), _skeleton(name.casefold())} & {_skeleton(other), _skeleton(other.casefold())}:
        return True
    return _skeleton(name.upper()) == _skeleton(other.upper())  # 1 looks like I, and not like i


def _skeleton(name: str) -> str:
    """The same string for all names that look the same."""
    shapes = _shapes()
    letters = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", name))
    return "".join(shapes.get(letter, letter) for letter in letters if not letter.isspace())


@lru_cache(maxsize=1)
def _shapes() -> dict[str, str]:
    """Character -> what stands for all characters of that shape. A shape may be two letters: m looks like r and n."""
    leader: dict[str, str] = {}

    def find(text: str) -> str:
        while leader.setdefault(text, text) != text:
            text = leader[text]
        return text

    for letter, alike in confusables_data.items():
        for other in alike:
            leader[find(other["c"])] = find(letter)
    groups: dict[str, set[str]] = {}
    for text in list(leader):
        groups.setdefault(find(text), set()).add(text)
    single = {text: min(t for t in group if len(t) == 1) for group in groups.values() for text in group if len(text) == 1}
    shapes = dict(single)
    for group in groups.values():
        longer = [text for text in group if len(text) > 1]
        if longer:
            spelled = "".join(single.get(letter, letter) for letter in min(longer))
            shapes |= {text: spelled for text in group if len(text) == 1}
    return shapes
