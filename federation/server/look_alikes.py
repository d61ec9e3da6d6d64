"""Names that look alike to the eye, as Unicode's list of confusable characters has them (UTS 39)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from confusable_homoglyphs.confusables import confusables_data


def resembled(name: str, others: Iterable[str]) -> str | None:
    """The first of ``others`` that a person could take ``name`` for; None where there is none.

    Example:
        >>> resembled("\\N{CYRILLIC CAPITAL LETTER A}iko", ["Bruno", "Aiko"])
        'Aiko'
    """
    mine = _looks(name)
    return next((other for other in others if mine & _looks(other)), None)


def _looks(name: str) -> set[str]:
    """What a name looks like as it is written, and in small letters."""
    return {_skeleton(name), _skeleton(name.casefold())}


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
