"""Links that open the studio with a blend: how the part after the question mark is written and read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, parse_qsl, urlencode

from studio.sketching import LINES, SIZES, Look, LookError, SketchStudio, StudioGarment, number

OWN = "own"  # in the place of a garment's name: the visitor's own photograph, which no link can bring


@dataclass(frozen=True)
class Opened:
    """What a link asks for.

    Attributes:
        garment: an example.
        look: with everything that could be read.
        wrong: one sentence about what could not be read, or "".
        own: the page showed a photograph of the visitor's own.
    """

    garment: StudioGarment
    look: Look
    wrong: str
    own: bool


def query(look: Look, garment: StudioGarment) -> str:
    """What a link says after its question mark."""
    pairs: list[tuple[str, object]] = [("style", f"{name}:{weight:g}") for name, weight in look.weights.items() if weight > 0]
    pairs += [(name, f"{value:g}") for name, value in look.lines.items()]
    pairs += [("size", look.size), ("cutout", int(look.cutout)), ("garment", garment.name or OWN)]
    return urlencode(pairs)


def read(studio: SketchStudio, text: str) -> Opened | None:
    """Read the part of a link after its question mark. Returns None if nothing in it is meant for the studio.

    Designers may have left since the link was made: what no longer fits is left out, and named.
    """
    try:
        words = parse_qs(text[:4000], keep_blank_values=True, max_num_fields=200)
    except ValueError:  # hundreds of them
        return None
    known = {"style", "garment", "size", "cutout", *(line.name for line in LINES)}
    if not known & words.keys():
        return None
    bank, wrong = studio.now, _Wrong()
    weights = _weights(words.get("style", []), bank.names, wrong)
    values = {line.name: wrong.number(_last(words, line.name), line.default, line.low, line.high, line.label) for line in LINES}
    size = wrong.number(_last(words, "size"), 512, SIZES[0], SIZES[-1], "size")
    cutout = _last(words, "cutout")
    if cutout not in (None, "0", "1"):
        wrong.add("a cut-out", cutout)
    name = _last(words, "garment")
    if name not in (None, OWN) and name not in studio.examples:
        wrong.add("the garment", name)
    look = Look(
        weights or bank.first_look.weights,
        size=min(SIZES, key=lambda s: abs(s - size)),
        cutout=cutout != "0",
        bank=bank if weights else None,
        **values,
    )
    return Opened(studio.examples.get(name or "", studio.first_garment), look, wrong.sentence(), name == OWN)


def garment_of(text: str) -> str:
    """The garment that a link names: an example, ``OWN``, or ""."""
    return dict(parse_qsl(text[:4000])).get("garment", "")


class _Wrong:
    """Collects what a link asks for and the studio does not have."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, what: str, value: str | None) -> None:
        self.found.append(f"{what} {(value or '')[:40]!r}")

    def number(self, value: str | None, default: float, low: float, high: float, what: str) -> float:
        if value is None:
            return default
        try:
            return number(value, low, high, "")
        except LookError:
            self.add(what[:1].lower() + what[1:], value)
            return default

    def sentence(self) -> str:
        if not self.found:
            return ""
        return f"The link asks for what this studio does not have: {', '.join(self.found[:5])}. The rest of it is drawn."


def _weights(styles: Sequence[str], names: Sequence[str], wrong: _Wrong) -> dict[str, float]:
    """Name -> weight, from texts of the form "NAME:WEIGHT"."""
    weights: dict[str, float] = {}
    for style in styles:
        name, _, weight = style.rpartition(":")
        if name not in names:
            wrong.add("the designer", name or style)
        else:
            weights[name] = wrong.number(weight, 0, 0, 1, f"a weight of {name}")
    return {name: weight for name, weight in weights.items() if weight > 0}


def _last(words: dict[str, list[str]], name: str) -> str | None:
    return words[name][-1] if name in words else None
