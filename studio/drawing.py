"""What is drawn and who draws it. Knows nothing of Gradio; what cannot be done is a ValueError with one sentence."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

from PIL import Image

from fedgai.pipeline import Content, SketchPipeline
from fedgai.shipped import EXAMPLES
from fedgai.vision.cutout import NoGarment
from fedgai.vision.images import ImageError

SIZES = (256, 512, 768, 1024)  # px, long side, as the page offers them
STRENGTHS, DETAILS = (0.0, 1.5), (0.05, 1.0)
STEPS = 5  # of a blend row
OPENING = ("trench_coat", {"Dara": 0.5, "Goro": 0.5})  # what the page opens with, where it has these
NO_GARMENT = (
    "No garment could be told from its background. Lay it flat on a plain surface of another colour, "
    "all of it in the picture, or switch the cut-out off."
)


@dataclass(frozen=True)
class Garment:
    """A photograph and what to call it.

    Attributes:
        name: that of an example, empty for a visitor's own photograph.
        lost: what to do where it cannot be told from its background.
    """

    photo: str | bytes
    title: str = "Your garment"
    alt: str = "Your photograph"
    name: str = ""
    lost: str = NO_GARMENT

    @property
    def key(self) -> str:
        """SHA-256 of the photograph as it is now: added again, it is the same one. Raises ImageError where it is gone."""
        if isinstance(self.photo, bytes):
            return hashlib.sha256(self.photo).hexdigest()
        try:
            stat = os.stat(self.photo)
            return _digest(self.photo, stat.st_mtime_ns, stat.st_size)
        except OSError as error:
            raise ImageError("The photograph is no longer kept here: please add it again.") from error


@lru_cache(maxsize=256)
def _digest(path: str, *version: int) -> str:
    """SHA-256 of a file, read once for each of its versions."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Look:
    """All that a visitor sets. Weights lie in [0, 1] and need not add up to 1."""

    weights: Mapping[str, float]
    strength: float = 1.0
    detail: float = 1.0
    size: int = 512
    cutout: bool = True

    @property
    def shares(self) -> list[tuple[str, float]]:
        """(name, share) of every designer with a weight, the largest first; shares add up to 1."""
        total = sum(self.weights.values())
        return sorted(((n, w / total) for n, w in self.weights.items() if w > 0), key=lambda pair: -pair[1])

    @property
    def caption(self) -> str:
        return ", ".join(f"{name} {share:.0%}" for name, share in self.shares)

    @property
    def lines(self) -> dict[str, float]:
        return {"strength": self.strength, "detail": self.detail}

    def query(self, garment: Garment) -> str:
        """What a link says after its question mark; ``Studio.opened`` reads it."""
        pairs = [("style", f"{name}:{weight:g}") for name, weight in self.weights.items() if weight > 0]
        pairs += [("strength", f"{self.strength:g}"), ("detail", f"{self.detail:g}"), ("size", self.size)]
        pairs += [("cutout", int(self.cutout))]
        return urlencode(pairs + ([("garment", garment.name)] if garment.name else []))


@dataclass(frozen=True)
class Easel:
    """What is drawn with at one moment. It is replaced whole, so that nobody ever draws with half of one.

    Attributes:
        pipeline: draws.
        encoder: SHA-256 of its encoder.
        shelf: photographs that this encoder has read.
        edition: names all that a sketch depends on besides the photograph and the look: the weights and the bank.
    """

    pipeline: SketchPipeline
    encoder: str
    shelf: Shelf
    edition: str


class Studio:
    """The pipeline, the examples, and all that the page and programs may ask for.

    Args:
        pipeline: draws; its bank of styles has at least one.
        examples: folder with pictures and their ``examples.json``.
        cache: bytes of memory for photographs made ready to draw.
    """

    def __init__(self, pipeline: SketchPipeline, examples: Path = EXAMPLES, cache: int = 2**29) -> None:
        self._cache, self._easel = cache, None
        self.serve(pipeline)
        entries = [(Path(e["file"]).stem, e) for e in json.loads((examples / "examples.json").read_text())]
        self.examples = {n: Garment(str(examples / e["file"]), e["title"], e["alt"], n) for n, e in entries}
        self.first_garment = self.examples.get(OPENING[0]) or next(iter(self.examples.values()))

    def serve(self, pipeline: SketchPipeline) -> None:
        """Draw with this one from now on. Who is drawing ends with the one they began with.

        The photographs made ready stay: they depend on the encoder alone, and that is frozen. Should it be another one
        all the same, they are made ready again.
        """
        encoder, before = pipeline.model.encoder_sha256, self._easel
        shelf = before.shelf if before and before.encoder == encoder else Shelf(self._cache)
        edition = hashlib.sha256(pipeline.checkpoint.encode())
        for name, signature in pipeline.styles.items():
            edition.update(repr((name, signature.description)).encode() + signature.style.numpy().tobytes())
        self._easel = Easel(pipeline, encoder, shelf, edition.hexdigest()[:16])

    @property
    def pipeline(self) -> SketchPipeline:
        return self._easel.pipeline

    @property
    def edition(self) -> str:
        """Changes whenever the same photograph and look would be drawn otherwise, or other designers are there."""
        return self._easel.edition

    @property
    def names(self) -> list[str]:
        """The designers, in the order to show them."""
        return list(self.pipeline.styles)

    @property
    def first_look(self) -> Look:
        names, weights = self.names, OPENING[1]
        return Look(weights if set(weights) <= set(names) else dict.fromkeys(names[:2], 0.5))

    def look(self, weights: object, lines: object, size: object, cutout: object) -> Look:
        """From what came over the wire: pages, links and programs may send anything."""
        if not isinstance(weights, Mapping) or not isinstance(lines, Mapping):
            raise ValueError("Give the weights as {name: number}.")
        names = self.names
        for name in weights:
            if name not in names:
                raise ValueError(f"There is no designer {str(name)[:40]!r} here; there are {', '.join(names)}.")
        clean = {name: number(weight, 0, 1, f"The weight of {name}") for name, weight in weights.items()}
        if not any(clean.values()):
            raise ValueError("All designers are at zero: move at least one slider up.")
        return Look(
            clean,
            number(lines.get("strength", 1), *STRENGTHS, "Strength"),
            number(lines.get("detail", 1), *DETAILS, "Line detail"),
            int(number(size, SIZES[0], SIZES[-1], "Size")),
            bool(cutout),
        )

    def opened(self, query: Mapping[str, str], styles: Iterable[str]) -> tuple[Garment, Look] | None:
        """From a link; None where it says nothing of ours. Lenient: a link may be older than the bank of styles.

        Args:
            query: the address's parameters.
            styles: all of its ``style`` parameters, "name:weight" each.
        """

        def read(value: object, plain: float, low: float, high: float) -> float:
            try:
                return number(value, low, high, "")
            except ValueError:
                return plain

        names = self.names
        weights = {n: read(w, 0, 0, 1) for n, _, w in (style.rpartition(":") for style in styles) if n in names}
        weights = {n: w for n, w in weights.items() if w > 0}
        garment = self.examples.get(query.get("garment", ""))
        if not weights and not garment:
            return None
        size = int(read(query.get("size"), 512, SIZES[0], SIZES[-1]))
        return garment or self.first_garment, Look(
            weights or self.first_look.weights,
            read(query.get("strength"), 1, *STRENGTHS),
            read(query.get("detail"), 1, *DETAILS),
            min(SIZES, key=lambda s: abs(s - size)),
            query.get("cutout") != "0",
        )

    def content(self, garment: Garment, look: Look, *, strict: bool = False) -> Content:
        """The heavy part, once for a photograph, a size, a line detail and a cut-out.

        Where no garment can be told from its background, the whole photograph; or, if ``strict``, NoGarment is raised.
        """
        key, easel = (garment.key, look.size, look.detail, look.cutout), self._easel
        content = easel.shelf.get(key, lambda: _prepare(easel.pipeline, garment, look))
        if strict and look.cutout and content.mask is None:
            raise NoGarment(NO_GARMENT)
        return content

    def draw(self, content: Content, look: Look, paper: Literal["white", "transparent"] = "white") -> Image.Image:
        return self.pipeline.draw(content, look.weights, strength=look.strength, paper=paper)

    def contact_sheet(self, content: Content) -> list[tuple[dict[str, float], Image.Image]]:
        """(weights, sketch), each designer alone."""
        return [({name: 1.0}, sketch) for name, sketch in self.pipeline.contact_sheet(content)]

    def blend_row(self, content: Content, a: object, b: object) -> list[tuple[dict[str, float], Image.Image]]:
        """(weights, sketch), in five steps from all a to all b."""
        if a == b or a not in self.names or b not in self.names:
            raise ValueError(f"Choose two different designers of {', '.join(self.names)}.")
        blends = [{a: 1 - i / (STEPS - 1), b: i / (STEPS - 1)} for i in range(STEPS)]
        return list(zip(blends, self.pipeline.blend_row(content, a, b, STEPS), strict=True))

    def surprise(self) -> dict[str, float]:
        """Two or three designers, each with a say that shows."""
        names = self.names
        chosen = random.sample(names, min(random.choice((2, 3)), len(names)))
        return {name: random.randint(5, 20) / 20 for name in chosen}


def _prepare(pipeline: SketchPipeline, garment: Garment, look: Look) -> Content:
    return pipeline.prepare(garment.photo, look.size, cutout=look.cutout, detail=look.detail, on_missing="keep")


class Shelf:
    """Photographs made ready to draw, those used last. Whoever asks for one in the making waits for it.

    Args:
        limit: bytes; the newest stays even if it takes more.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._items: OrderedDict[tuple, Future[Content]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple, make: Callable[[], Content]) -> Content:
        """What lies under the key, or else what ``make`` makes. Failures are not kept."""
        with self._lock:
            mine = key not in self._items
            future = self._items.setdefault(key, Future())
            self._items.move_to_end(key)
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                future.set_exception(error)
            self._trim(key, future)
        return future.result()

    def _trim(self, key: tuple, future: Future[Content]) -> None:
        with self._lock:
            if future.exception():
                del self._items[key]
            done = [k for k, f in self._items.items() if f.done() and not f.exception()]
            sizes = {k: sum(t.nbytes for t in self._items[k].result().features) for k in done}
            for oldest in done[:-1]:
                if sum(sizes.values()) <= self.limit:
                    break
                del self._items[oldest], sizes[oldest]


def number(value: object, low: float, high: float, what: str) -> float:
    """A finite number within its range, else ValueError with a sentence."""
    try:
        value = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = math.nan
    if not low <= value <= high:
        raise ValueError(f"{what} should be a number from {low:g} to {high:g}.")
    return value
