"""Draws the sketches: garments, looks and hands. Does not use Gradio; raises FedGAIError with one sentence."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Container, Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from fedgai.content import Content, Found, Paper, fit_and_cut
from fedgai.errors import FedGAIError
from fedgai.line_choice import EVERY_LINE
from fedgai.networks.style import Signature
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import EXAMPLES
from fedgai.strokes import Drawing
from fedgai.vision.cutout import NoGarment
from fedgai.vision.images import VISITOR, Picture, read_mask, read_picture
from fedgai.vision.repair import BrushStroke, repair
from studio.content_cache import ContentCache
from studio.uploads import PhotoFile

SIZES = (256, 512, 768, 1024)  # px, long side, as the page offers them
STEPS = 5  # of a blend row
CUTOUTS = 8  # cut-outs, and garments that were found, may each take an eighth of the memory that photographs made ready may
OUTLINE_SIDE = 1024  # px, long side at which a cut-out is shown and repaired
OPENING = ("trench_coat", {"Dara": 0.5, "Goro": 0.5})  # what the page opens with, where it has these
NO_GARMENT = (
    "No garment could be found in this photograph. Lay it flat on a plain surface of another colour, "
    "all of it in the picture, or switch the cut-out off."
)
Blend = dict[str, float]  # designer -> weight


class LookError(FedGAIError):
    """Settings that cannot be drawn with."""


@dataclass(frozen=True)
class LineSlider:
    """A slider that says how lines are drawn. ``name`` is a field of ``Look`` and a word of links."""

    name: str
    label: str
    text: str
    low: float
    high: float
    default: float = 1.0


LINES = (
    LineSlider("strength", "Strength", "From the mean of all hands to beyond the blend.", 0.0, 1.5),
    LineSlider("detail", "Line detail", "How many of the inner lines are kept.", 0.05, 1.0),
    LineSlider("print", "Print", "How much of a print or pattern is drawn.", 0.0, 1.0, 0.0),
)


@dataclass(frozen=True)
class StudioGarment:
    """A photograph and what to call it.

    Attributes:
        photo: the picture file.
        name: that of an example, empty for a visitor's own photograph.
        lost: what to do if no garment can be found.
        chosen: False while nobody has chosen anything: a page was opened, or the studio was started again.
        strokes: by which its cut-out was repaired.
        mask: a picture file of a program's own cut-out, in the place of ours.
    """

    photo: PhotoFile
    title: str = "Your garment"
    alt: str = "Your photograph"
    name: str = ""
    lost: str = NO_GARMENT
    chosen: bool = True
    strokes: tuple[BrushStroke, ...] = ()
    mask: PhotoFile | None = None


@dataclass(frozen=True)
class CutOut:
    """A garment's cut-out, at ``OUTLINE_SIDE`` px on the long side.

    Attributes:
        photo: the photograph, RGB.
        mask: (H, W) float32 in [0, 1], 1 on the garment; None if none was found.
    """

    photo: Image.Image
    mask: np.ndarray | None

    @property
    def nbytes(self) -> int:
        return 3 * self.photo.width * self.photo.height + (0 if self.mask is None else self.mask.nbytes)


@dataclass(frozen=True)
class Look:
    """All that a visitor sets. Weights lie in [0, 1] and need not add up to 1.

    Attributes:
        bank: the designers that these weights were checked against; None for those of the moment.
    """

    weights: Mapping[str, float]
    strength: float = 1.0
    detail: float = 1.0
    size: int = 512
    cutout: bool = True
    print: float = 0.0
    bank: Bank | None = field(default=None, compare=False, repr=False)

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
        """The values of ``LINES``, by name."""
        return {line.name: float(getattr(self, line.name)) for line in LINES}

    @property
    def pixels(self) -> int:
        """Of one sketch, at most."""
        return self.size**2


@dataclass(frozen=True)
class Bank:
    """The model and hands that are drawn with at one moment. It is replaced as a whole, so no drawing mixes two of them.

    Attributes:
        pipeline: draws.
        styles: the designers, in the order to show them. ``pipeline.styles`` may change meanwhile; this does not.
        encoder: SHA-256 of the pipeline's encoder.
        contents: photographs that this encoder has read.
        cutouts: of photographs, repaired or not.
        found: photographs with their garments, for other sizes and line details.
        edition: names all that a sketch depends on besides the photograph and the look: the weights and the styles.
    """

    pipeline: SketchPipeline
    styles: Mapping[str, Signature]
    encoder: str
    contents: ContentCache[Content]
    cutouts: ContentCache[CutOut]
    found: ContentCache[Found]
    edition: str

    @property
    def names(self) -> list[str]:
        return list(self.styles)

    @property
    def first_look(self) -> Look:
        names, weights = self.names, OPENING[1]
        return Look(weights if set(weights) <= set(names) else dict.fromkeys(names[:2], 0.5))

    def look(self, weights: object, lines: object, size: object, cutout: object) -> Look:
        """From what a page or a program sent, which may be anything. Raises LookError."""
        if not isinstance(weights, Mapping) or not isinstance(lines, Mapping):
            raise LookError("Give the weights as {name: number}.")
        for name in weights:
            if name not in self.styles:
                raise LookError(f"There is no designer {str(name)[:40]!r} here; there are {', '.join(self.names)}.")
        clean = {name: number(weight, 0, 1, f"The weight of {name}") for name, weight in weights.items()}
        if not any(clean.values()):
            raise LookError("All designers are at zero: move at least one slider up.")
        values = {line.name: number(lines.get(line.name, line.default), line.low, line.high, line.label) for line in LINES}
        side = int(number(size, SIZES[0], SIZES[-1], "Size"))
        return Look(clean, size=side, cutout=bool(cutout), bank=self, **values)

    def content(self, garment: StudioGarment, look: Look, session: str = "") -> Content:
        """The heavy part, once for a photograph, a size, a line detail, a print and a cut-out.

        If no garment can be found, it is the whole photograph.

        Args:
            session: of the visitor, for whom it is kept.

        Raises:
            ImageError, UploadError: the photograph cannot be read.
        """
        cut = (garment.strokes, garment.mask and garment.mask.sha256()) if look.cutout else None
        key = (garment.photo.sha256(), look.size, look.detail, look.print, look.cutout, cut)
        lasting = bool(garment.name) and not garment.strokes
        return self.contents.get(key, lambda: self._prepare(garment, look, session), session, lasting)

    def cutout(self, garment: StudioGarment, session: str = "") -> CutOut:
        """A photograph and its cut-out, as the garment's strokes say.

        Raises:
            ImageError, UploadError: the photograph or its mask cannot be read.
            RepairError: the strokes leave nothing of the garment.
        """
        return self.cutouts.get(self._garment_key(garment), lambda: self._cut(garment, session), session)

    def _garment_key(self, garment: StudioGarment) -> tuple[Hashable, ...]:
        """What a cut-out depends on."""
        draughtsman = self.pipeline.model.draughtsman
        seen_by = draughtsman.sha256 if draughtsman else ""
        return garment.photo.sha256(), garment.mask and garment.mask.sha256(), garment.strokes, seen_by

    def _cut(self, garment: StudioGarment, session: str) -> CutOut:
        if garment.strokes:
            first = self.cutout(replace(garment, strokes=()), session)
            return replace(first, mask=repair(np.asarray(first.photo), first.mask, garment.strokes))
        picture = read_picture(garment.photo.read())
        if garment.mask is not None:
            picture = replace(picture, mask=read_mask(garment.mask.read(), picture.image.size, VISITOR))
        draughtsman = self.pipeline.model.draughtsman
        return CutOut(*fit_and_cut(picture, OUTLINE_SIDE, draughtsman=draughtsman, on_missing="keep"))

    def draw(self, content: Content, look: Look, paper: Paper = "white") -> Image.Image:
        return self.pipeline.draw(content, self._blend(look), strength=look.strength, paper=paper)

    def trace(self, content: Content, look: Look) -> Drawing:
        """The same sketch as strokes."""
        return self.pipeline.trace(content, self._blend(look), strength=look.strength)

    def _blend(self, look: Look) -> list[tuple[str | Path | Signature, float]]:
        return [(self.styles[name], weight) for name, weight in look.weights.items() if name in self.styles]

    def draw_alone(self, content: Content, name: str) -> Image.Image:
        """In one designer's hand. Raises KeyError where that one is not in this bank."""
        return self.pipeline.draw(content, {self.styles[name]: 1})

    def _prepare(self, garment: StudioGarment, look: Look, session: str) -> Content:
        found: bytes | Found = garment.photo.read()
        if look.cutout:
            lasting = bool(garment.name) and not garment.strokes
            found = self.found.get(self._garment_key(garment), lambda: self._find(garment, session), session, lasting)
        hands = [(hand, weight) for hand, weight in self._blend(look) if weight > 0]  # none, where all of them have left
        return self.pipeline.prepare(
            found,
            look.size,
            cutout=look.cutout,
            detail=look.detail,
            print_amount=look.print,
            on_missing="keep",
            choice=self.pipeline.choice(hands) if hands else EVERY_LINE,
        )

    def _find(self, garment: StudioGarment, session: str) -> Found:
        photo: bytes | Picture = garment.photo.read()
        if garment.strokes or garment.mask:
            photo = replace(read_picture(photo), mask=self.cutout(garment, session).mask)
        return self.pipeline.find(photo, on_missing="keep")


class SketchStudio:
    """The designers, the examples, and all that the page and programs may ask for.

    Args:
        pipeline: draws; its bank of styles has at least one.
        examples: folder with pictures and their ``examples.json``.
        cache: bytes of memory for photographs made ready to draw.
        pages: sessions that have a page open, whose photographs are kept ready.
    """

    def __init__(
        self, pipeline: SketchPipeline, examples: Path = EXAMPLES, cache: int = 2**29, pages: Container[str] = frozenset()
    ) -> None:
        self._cache, self._pages = cache, pages
        self._now: Bank | None = None
        self.serve(pipeline)
        entries = [(Path(e["file"]).stem, e) for e in json.loads((examples / "examples.json").read_text(encoding="utf-8"))]
        self.examples = {n: StudioGarment(PhotoFile(examples / e["file"], examples), e["title"], e["alt"], n) for n, e in entries}
        self.first_garment = self.examples.get(OPENING[0]) or next(iter(self.examples.values()))

    def serve(self, pipeline: SketchPipeline) -> None:
        """Draw with this one from now on. A request finishes with the one that it started with.

        The photographs made ready stay: they depend on the encoder alone, and that is frozen. Should it be another one
        all the same, they are made ready again.
        """
        encoder, before = pipeline.model.encoder_sha256, self._now
        contents = before.contents if before and before.encoder == encoder else ContentCache(self._cache, self._pages)
        cutouts = before.cutouts if before else ContentCache(self._cache // CUTOUTS, self._pages)
        found = before.found if before else ContentCache(self._cache // CUTOUTS, self._pages)
        styles = dict(pipeline.styles)
        edition = hashlib.sha256(pipeline.checkpoint.encode())
        for name, signature in styles.items():
            edition.update(repr((name, signature.description, signature.choice)).encode() + signature.numbers.numpy().tobytes())
        self._now = Bank(pipeline, styles, encoder, contents, cutouts, found, edition.hexdigest()[:16])

    @property
    def now(self) -> Bank:
        """What is drawn with at this moment. Read it once for all that must fit together."""
        assert self._now is not None
        return self._now

    @property
    def pipeline(self) -> SketchPipeline:
        return self.now.pipeline

    @property
    def edition(self) -> str:
        """Changes whenever the same photograph and look would be drawn otherwise, or other designers are there."""
        return self.now.edition

    @property
    def names(self) -> list[str]:
        """The designers, in the order to show them."""
        return self.now.names

    @property
    def first_look(self) -> Look:
        return self.now.first_look

    def look(self, weights: object, lines: object, size: object, cutout: object) -> Look:
        """From what a page or a program sent. Raises LookError."""
        return self.now.look(weights, lines, size, cutout)

    def content(self, garment: StudioGarment, look: Look, *, strict: bool = False, session: str = "") -> Content:
        """See ``Bank.content``. If ``strict``, NoGarment is raised if no garment can be found."""
        content = (look.bank or self.now).content(garment, look, session)
        if strict and look.cutout and content.mask is None:
            raise NoGarment(NO_GARMENT)
        return content

    def draw(self, content: Content, look: Look, paper: Paper = "white") -> Image.Image:
        return (look.bank or self.now).draw(content, look, paper)

    def trace(self, content: Content, look: Look) -> Drawing:
        return (look.bank or self.now).trace(content, look)

    def blends(self, bank: Bank, a: object, b: object) -> list[Blend]:
        """Five steps from all a to all b. Raises LookError."""
        if not (isinstance(a, str) and isinstance(b, str) and a != b and a in bank.styles and b in bank.styles):
            raise LookError(f"Choose two different designers of {', '.join(bank.names)}.")
        return [{a: 1 - i / (STEPS - 1), b: i / (STEPS - 1)} for i in range(STEPS)]

    def surprise(self) -> Blend:
        """Two or three designers, each with a say that shows."""
        names = self.names
        chosen = random.sample(names, min(random.choice((2, 3)), len(names)))
        return {name: random.randint(5, 20) / 20 for name in chosen}

    def drop_idle(self) -> None:
        """Forget the photographs of visitors who have left."""
        self.now.contents.drop_idle()
        self.now.cutouts.drop_idle()
        self.now.found.drop_idle()


def number(value: object, low: float, high: float, what: str) -> float:
    """A finite number within its range, else LookError with a sentence."""
    try:
        found = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):  # the last for an integer of hundreds of digits
        found = math.nan
    if not low <= found <= high:
        raise LookError(f"{what} should be a number from {low:g} to {high:g}.")
    return found
