"""One page about a hand: its own drawings, what the studio makes of it on garments it never drew, and where that differs."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from fedgai.content import Content
from fedgai.data.designer_folder import drawings_in
from fedgai.data.own_photographs import own_photographs
from fedgai.data.pairs import FEW, Report
from fedgai.errors import FedGAIError
from fedgai.evaluation import independent
from fedgai.measure import READ_SIDE, page
from fedgai.networks.style import Signature, style_distance
from fedgai.pipeline import SketchPipeline
from fedgai.vision.cutout import NoGarment
from fedgai.vision.images import ImageError

SHOWN = 8  # drawings of each kind on the page
GARMENTS = 12  # that the studio draws to be measured
DRAWINGS = 60  # of the designer's own that are measured for the table, evenly among them
SIZE = 512  # px
INKED = 128  # luminance below which a pixel is ink
MARKED = 230  # luminance below which something is drawn: a line of 1 px is seldom as dark as ink
FEWEST = 4  # garments that drawings show, on which other hands are described; with fewer, on those of the photographs
SPREAD = 2.0  # deviations of the designer's own drawings within which the studio's are as they should be
Levels = NDArray[np.uint8]
Description = dict[str, np.ndarray]  # of ``independent.describe``
T = TypeVar("T")

_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


@dataclass(frozen=True)
class Trait:
    """One thing that can be counted in a drawing.

    Attributes:
        name: what a designer calls it.
        unit: of the numbers.
        own, spread: mean and standard deviation over the designer's own drawings.
        drawn: mean over the studio's drawings.
        more, less: what the studio does where it leaves the spread.
        unseen: a difference that nobody sees.
    """

    name: str
    unit: str
    own: float
    spread: float
    drawn: float
    more: str
    less: str
    unseen: float = 0.0

    @property
    def differs(self) -> str:
        """A sentence where the studio's drawings lie outside of what the designer's own do; else empty."""
        least = max(SPREAD * self.spread, 0.05 * abs(self.own), self.unseen)
        if abs(self.drawn - self.own) <= least:
            return ""
        return self.more if self.drawn > self.own else self.less


@dataclass(frozen=True)
class HandReport:
    """What the page says.

    Attributes:
        name: the designer's.
        drawings, garments: how many were compared.
        sketches: how many of the designer's own drawings the signature is measured over.
        own_garments: the garments are those of the designer's own photographs, which the designer has drawn, too.
        own, drawn: up to ``SHOWN`` pictures of each.
        traits: what was counted in the drawings, see ``Trait``.
        nearest: share of the studio's drawings that are nearest to this hand, among it and the bank's, in the encoder.
        independent: the same by ``fedgai.evaluation.independent``, which knows nothing of the encoder, see ``_nearest_by_sight``.
        hands: how many hands that is in all.
    """

    name: str
    drawings: int
    garments: int
    own: tuple[Levels, ...]
    drawn: tuple[Levels, ...]
    traits: tuple[Trait, ...]
    nearest: float
    independent: float
    hands: int
    sketches: int = 0
    own_garments: bool = False

    @property
    def notes(self) -> list[str]:
        """How the studio's drawings differ from the designer's, a sentence each."""
        return [trait.differs for trait in self.traits if trait.differs]

    @property
    def few(self) -> int:
        """How many drawings a designer should bring, if there are fewer; else 0."""
        return FEW if self.sketches < FEW else 0


WORDS = (
    ("ink", "% of the page", "It draws darker than you.", "It draws lighter than you."),
    ("line width", "px of 512", "Its lines are wider than yours.", "Its lines are thinner than yours."),
    (
        "separate pieces of ink",
        "",
        "It breaks lines that you draw without a gap.",
        "It draws fewer separate marks than you.",
    ),
    ("grey", "% of the page", "It uses more grey shading than you.", "It uses less grey shading than you."),
    ("colour", "", "Its ink is more colourful than yours.", "Its ink is less colourful than yours."),
)
UNSEEN = {"colour": 2.3}  # a just noticeable difference in CIELAB (Mahy et al., 1994)


def measure_files(
    pipe: SketchPipeline, files: Sequence[Path], pages: int, name: str, progress: Callable[[float], None] | None = None
) -> tuple[Signature, list[Image.Image]]:
    """The signature of a folder's drawings, and up to ``DRAWINGS`` of them for the page, evenly among them.

    One drawing is in memory at a time, beside those for the page.

    Args:
        pipe: the studio's.
        files: of ``fedgai.data.designer_folder.look``.
        pages: how many drawings these hold.
        name: the designer's.
        progress: called with the share that is done.
    Raises:
        FedGAIError: none of the files can be read.
    """
    say, kept = progress or _silent, []
    chosen = set(evenly(range(pages), DRAWINGS))

    def one_by_one() -> Iterator[Image.Image]:
        number = 0
        for number, image in enumerate((image for file in files for image in drawings_in(file, Report())), 1):
            if number - 1 in chosen:
                kept.append(image.copy())
                kept[-1].thumbnail((READ_SIDE, READ_SIDE))  # as measuring does it
            yield image
            say(min(1.0, number / pages))
        if not number:
            raise FedGAIError("none of the drawings can be read any more: check that their folder is still there")

    return pipe.signature(one_by_one(), name), kept


def measure_hand(
    pipe: SketchPipeline,
    signature: Signature,
    drawings: Sequence[Image.Image | Path],
    garments: Sequence[Path],
    progress: Callable[[float], None] | None = None,
    own_garments: bool = False,
) -> HandReport:
    """Draw garments in a hand and compare with the hand's own drawings.

    Args:
        pipe: the studio's.
        signature: of the hand, measured or refined.
        drawings: the designer's own.
        garments: photographs, ``GARMENTS`` of which are drawn, evenly among them; those without a garment are left out.
        progress: called with the share that is done, after each picture.
        own_garments: the photographs are the designer's own.

    Raises:
        ImageError: a drawing that cannot be read.
        NoGarment: no photograph with a garment.
        FedGAIError: no drawing.
    """
    if not drawings:
        raise FedGAIError("there is no drawing to look at")
    say = progress or _silent
    chosen = evenly(drawings, DRAWINGS)
    own = [page(drawing) for drawing in _tracked(chosen, len(chosen), 0.0, 0.1, say)]
    files = list(dict.fromkeys([*evenly(garments, GARMENTS), *garments]))  # the rest only where these show no garment
    contents = list(_tracked(_contents(pipe, files), GARMENTS, 0.1, 0.3, say))
    if not contents:
        raise NoGarment("none of the photographs shows a garment that can be cut out: name a folder of garments with --photos")
    hands = [signature, *(s for name, s in pipe.styles.items() if name != signature.name)]
    further = [] if own_garments else _drawn_garments(pipe, own)  # that the designer drew
    drawn = [page(pipe.draw(content, {signature: 1})) for content in _tracked(contents, len(contents), 0.3, 0.4, say)]
    wanted = [(content, hand) for hand in hands[1:] for content in (*contents, *further)]
    # described one by one: a studio may have many hands, and all of their drawings would take much memory
    described = [
        independent.describe(page(pipe.draw(content, {hand: 1})))
        for content, hand in _tracked(wanted, len(wanted), 0.4, 1.0, say)
    ]
    count, both = len(contents), len(contents) + len(further)
    others = [described[i : i + both] for i in range(0, len(described), both)]
    return HandReport(
        signature.name,
        len(own),
        len(contents),
        tuple(evenly(own, SHOWN)),
        tuple(drawn[:SHOWN]),
        _compared(own, drawn),
        _nearest_in_encoder(pipe, hands, drawn),
        _nearest_by_sight(own, drawn, [row[:count] for row in others], [row[count:] or row for row in others]),
        len(hands),
        signature.sketches,
        own_garments,
    )


def to_html(report: HandReport) -> str:
    """A page in one file, with its pictures."""
    pictures = {name: [_data_uri(picture) for picture in getattr(report, name)] for name in ("own", "drawn")}
    return _PAGES.get_template("hand_page.html").render(report=report, **pictures)


def _silent(_: float) -> None:
    """Progress that nobody watches."""


def _tracked(items: Iterable[T], count: int, start: float, end: float, progress: Callable[[float], None]) -> Iterator[T]:
    """The items, ``count`` at most. After each, ``progress`` hears how far it is between two shares of the whole."""
    for number, item in enumerate(items, 1):
        yield item
        progress(start + (end - start) * number / count)


def _contents(pipe: SketchPipeline, garments: Sequence[Path]) -> Iterator[Content]:
    """Up to ``GARMENTS`` photographs in which there is a garment."""
    found = 0
    for file in garments:
        if found == GARMENTS:
            return
        try:
            content = pipe.prepare(file, SIZE)
        except (ImageError, NoGarment):
            continue
        found += 1
        yield content


def _drawn_garments(pipe: SketchPipeline, own: Sequence[Levels]) -> list[Content]:
    """Garments that drawings show themselves, ``GARMENTS`` at most; none where there are fewer than ``FEWEST``."""
    if pipe.model.draughtsman is None:
        return []
    pictures = [one for one in own_photographs(evenly(own, GARMENTS), pipe.model.draughtsman) if one is not None]
    return [pipe.prepare(one, SIZE) for one in pictures] if len(pictures) >= FEWEST else []


def _compared(own: Sequence[Levels], drawn: Sequence[Levels]) -> tuple[Trait, ...]:
    """The designer's drawings and the studio's, trait by trait."""
    own_traits, drawn_traits = (np.array([_traits(picture) for picture in pictures]) for pictures in (own, drawn))
    means, spreads, drawn_means = own_traits.mean(0).tolist(), own_traits.std(0).tolist(), drawn_traits.mean(0).tolist()
    return tuple(
        Trait(name, unit, means[i], spreads[i], drawn_means[i], more, less, UNSEEN.get(name, 0.0))
        for i, (name, unit, more, less) in enumerate(WORDS)
    )


def _traits(picture: Levels) -> list[float]:
    """Of one drawing (H, W, 3), in the order of ``WORDS``."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    scale = SIZE / max(grey.shape)
    ink, marked = grey < INKED, grey < MARKED
    count, _, stats, _ = cv2.connectedComponentsWithStats(marked.astype(np.uint8), connectivity=8)
    pieces = int((stats[1:count, cv2.CC_STAT_AREA] * scale**2 >= 6).sum())
    width = 0.0
    if ink.any():
        # a stroke's area over its length, from the distance to paper: mean distance is a quarter of the width
        width = 4 * float(cv2.distanceTransform(np.pad(ink, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1][ink].mean()) - 1
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    colour = float(np.hypot(lab[..., 1], lab[..., 2])[marked].mean()) if marked.any() else 0.0
    middle = (grey >= INKED) & (grey < MARKED)
    return [100 * float((1 - grey / 255).mean()), max(width, 0) * scale, float(pieces), 100 * float(middle.mean()), colour]


def _nearest_in_encoder(pipe: SketchPipeline, hands: Sequence[Signature], drawn: Sequence[Levels]) -> float:
    bank, channels = torch.stack([hand.style for hand in hands]), pipe.model.preset.channels
    styles = [pipe.signature([picture], "").style for picture in drawn]
    return float(np.mean([int(style_distance(style, bank, channels).argmin()) == 0 for style in styles]))


def _nearest_by_sight(
    own: Sequence[Levels],
    drawn: Sequence[Levels],
    others: Sequence[Sequence[Description]],
    others_at_home: Sequence[Sequence[Description]],
) -> float:
    """Share of the studio's drawings that are nearest to the designer's by ``independent``.

    Two garments differ more than two hands do: one hangs straight, another lies askew. So the other hands draw each garment, too,
    and their mean is subtracted: from a drawing by the studio, what they draw of the same garment; from the designer's drawings,
    what they draw of the garments that the designer drew.

    Args:
        own: the designer's drawings. drawn: the studio's in this hand.
        others: of each other hand, the descriptions of what the studio draws of the garments in ``drawn``.
        others_at_home: the same of the garments that the designer drew.
    """
    if not others:
        return 1.0
    at_home = [independent.mean(row) for row in others_at_home]
    usual = independent.mean(at_home)
    hands = [independent.apart(hand, usual) for hand in (independent.mean([independent.describe(one) for one in own]), *at_home)]
    found = []
    for picture, same_garment in zip(drawn, zip(*others, strict=True), strict=True):
        sketch = independent.apart(independent.describe(picture), independent.mean(same_garment))
        found.append(int(np.argmin([independent.distance(sketch, hand) for hand in hands])) == 0)
    return float(np.mean(found))


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of them."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)]


def _data_uri(picture: Levels) -> str:
    image, buffer = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((360, 360))
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
