"""From a photograph and a blend of styles to a sketch: what the studio, the command line and the companion all call.

>>> pipe = SketchPipeline.from_pretrained()
>>> pipe("coat.jpg", {"Atelier A": 0.7, "hand.safetensors": 0.3}, size=768).images[0].save("sketch.png")

A slider that moves needs the photograph's features only once:

>>> content = pipe.prepare("coat.jpg")
>>> sketch = pipe.draw(content, {"Atelier A": 0.2})
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from fedgai.content import Content, Found, OnMissing, Paper, Photo, find, finish, look
from fedgai.errors import FedGAIError
from fedgai.line_choice import EVERY_LINE, LineChoice, mixed
from fedgai.measure import MULTIPLE, SMALLEST
from fedgai.measure import SIDE as DRAWN
from fedgai.model import FedGAI, open_checkpoint
from fedgai.networks.encoder import sha256
from fedgai.networks.hatching import moved_origins
from fedgai.networks.style import EPS, Signature, blend, split
from fedgai.shipped import WEIGHTS
from fedgai.strokes import Drawing, is_hatched, trace
from fedgai.vision.garment_lines import as_drawn
from fedgai.vision.images import to_image, to_tensor

Styles = Mapping[str | Path | Signature, float] | Sequence[tuple[str | Path | Signature, float]]
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

STRENGTHS = (0.0, 1.5)
LATTICES = 4  # drawings that show what is a line and what is hatching
BATCH_PIXELS = 2**20  # a batch takes no more memory than one sketch at 1,024 px
CHOSEN = 4  # contents whose maps are kept with the lines of the last blend: a slider's next step often has the same lines


@dataclass(frozen=True)
class SketchOutput:
    """The sketches, RGB or RGBA, and what they were drawn from, both in the order of the photographs."""

    images: list[Image.Image]
    contents: list[Content]
    trace: Callable[[Content], Drawing]

    def strokes(self, index: int = 0) -> Drawing:
        """One of the sketches as strokes, traced when asked for; ``strokes.to_svg`` writes them."""
        return self.trace(self.contents[index])


class SketchPipeline:
    """Draws garment photographs in blends of styles.

    The network runs on one thread of the pipeline's own, first come, first served: torch already uses every core for
    one sketch. Ten sketches at once would not be faster and would need ten times the memory. Reading and cutting out run on
    the caller's thread. So a pipeline may be shared by any number of threads.

    Args:
        model: the checkpoint to draw with.
        device: where the network runs, e.g. "cpu" or "cuda".

    Attributes:
        model: as given; unchanged.
        styles: its style bank, name -> Signature, in the order to show them.
        checkpoint: names what draws: its round and the head of the Generator's SHA-256.
    """

    def __init__(self, model: FedGAI, device: str = "cpu") -> None:
        self.model, self.device = model, device
        self.styles = model.styles
        self.checkpoint = f"round-{model.info.get('round', 0)}-{sha256(model.generator)[:8]}"
        self._network = model.for_inference().to(device)
        self._worker = ThreadPoolExecutor(1, "fedgai")
        self._chosen: deque[tuple[weakref.ref[Content], LineChoice, tuple[Tensor, ...]]] = deque(maxlen=CHOSEN)

    @classmethod
    def from_pretrained(cls, folder_or_repo: str | Path = WEIGHTS, device: str = "cpu") -> SketchPipeline:
        """Load a checkpoint: a folder, or a repository on the Hugging Face Hub. Raises CheckpointError."""
        return cls(open_checkpoint(folder_or_repo), device)

    def __call__(
        self,
        photos: Photo | Sequence[Photo],
        styles: Styles,
        *,
        size: int = 512,
        strength: float = 1.0,
        detail: float = 1.0,
        print_amount: float = 0.0,
        cutout: bool = True,
        paper: Paper = "white",
    ) -> SketchOutput:
        """Draw one photograph or many in one blend of styles.

        Args:
            photos: a photograph or a list of them, each as ``images.read_image`` takes it.
            styles: see ``style``.
            size, detail, print_amount, cutout: see ``prepare``.
            strength: see ``style``.
            paper: "white" (RGB), or "transparent" (RGBA; the same sketch when laid on white).

        Returns:
            Sketches and contents, in the order of the photographs.

        Raises:
            FedGAIError: as ``prepare`` and ``style`` do, with one sentence.
        """
        style, choice = self.style(styles, strength), self.choice(styles)
        several = list(photos) if isinstance(photos, list | tuple) else [cast(Photo, photos)]
        how: dict[str, Any] = {"cutout": cutout, "detail": detail, "print_amount": print_amount, "choice": choice}
        contents = [self.prepare(photo, size, **how) for photo in several]
        images = [Image.new("RGB", content.size) for content in contents]
        for batch in _batches(contents):
            drawn = self._run(self._draw, [contents[i] for i in batch], style, choice)
            for i, sketch in zip(batch, drawn, strict=True):
                images[i] = finish(sketch, contents[i], paper)
        return SketchOutput(images, contents, lambda content: self.trace(content, styles, strength=strength))

    def find(self, photo: Photo, *, cutout: bool = True, on_missing: OnMissing = "raise") -> Found:
        """Read a photograph and cut it out: what ``prepare`` begins with, for those who prepare one photograph in several ways.

        Args:
            photo, cutout, on_missing: see ``prepare``.

        Raises:
            ImageError: it is not a picture, damaged, or beyond a limit (``images.read_picture``).
            NoGarment: no garment can be found, and ``on_missing`` is "raise".
        """
        return find(photo, self.model.draughtsman, cutout=cutout, on_missing=on_missing)

    def prepare(
        self,
        photo: Photo | Found,
        size: int = 512,
        *,
        cutout: bool = True,
        detail: float = 1.0,
        print_amount: float = 0.0,
        on_missing: OnMissing = "raise",
        side: int = DRAWN,
        choice: LineChoice = EVERY_LINE,
    ) -> Content:
        """All that a photograph needs before it is drawn: read, cut out, take the print away, scale, encode.

        Args:
            photo: as ``images.read_image`` takes it, or what ``find`` returned. That was cut out or not, whatever ``cutout``
                says.
            size: long side of the sketch, 64 to 1,024 px; it keeps the photograph's proportions.
            cutout: take the garment out of its background.
            detail: line detail in (0, 1]; below 1, small structures are smoothed away before the network looks, so that
                inner lines go first (``images.simplify``).
            print_amount: how much of the print is drawn, 0 none to 1 all of it as the photograph shows it. Counts only
                where the garment is cut out and the checkpoint has a draughtsman; without one, the print is drawn.
            on_missing: if no garment can be found, raise NoGarment, or keep the whole photograph.
            side: long side at which the network draws, px. A hand's lines are as broad as a share of the page as at this
                size, whatever the sketch's.
            choice: the lines to encode, best those of the blend that is drawn first. A blend with others is encoded when it is
                drawn.

        Raises:
            ImageError, NoGarment: see ``find``.
            FedGAIError: size, detail or print_amount out of range.
        """
        seen = look(
            photo,
            size,
            side,
            self.model.draughtsman,
            cutout=cutout,
            detail=detail,
            print_amount=print_amount,
            on_missing=on_missing,
            choice=choice,
        )
        height, width = seen.picture.shape[:2]
        features = self._run(self._encode, seen.picture)
        return Content(seen.photo, seen.mask, seen.ink, (width, height), features, seen.types, seen.buttons, seen.cloth, choice)

    def style(self, styles: Styles, strength: float = 1.0) -> Tensor:
        """Blend signatures.

        Args:
            styles: style -> weight, or pairs of them. A style is a name of the bank (upper or lower case), the path of
                a signature file, or a Signature. Weights are normalised.
            strength: 0 to 1.5; 0 is the mean of round 0's bank, 1 the blend itself, above 1 exaggerates it.

        Returns:
            (2 * sum C_l,) float32; where a hand has an adapter, (2 * sum C_l + A,), the blend's adapter last.

        Raises:
            FedGAIError: an unknown style, one of another encoder, weights that are negative or all zero, strength out of
                range.
        """
        if not STRENGTHS[0] <= strength <= STRENGTHS[1]:
            raise FedGAIError(f"strength lies between {STRENGTHS[0]:g} and {STRENGTHS[1]:g}, not {strength}")
        pairs = self._pairs(styles)
        hands = [signature.numbers for signature, _ in pairs]
        longest = max(map(len, hands))  # a hand without an adapter changes no weight
        style = blend(torch.stack([F.pad(hand, (0, longest - len(hand))) for hand in hands]), [weight for _, weight in pairs])
        if strength == 1:
            return style
        neutral = F.pad(self.model.neutral, (0, longest - len(self.model.neutral)))
        style = neutral + strength * (style - neutral)
        statistics, adapter = style.split([len(self.model.neutral), longest - len(self.model.neutral)])
        parts = []
        for mean, deviation in split(statistics, self.model.preset.channels):
            parts += [mean, deviation.clamp_min(EPS**0.5)]
        return torch.cat([*parts, adapter])

    def encode(self, picture: np.ndarray) -> tuple[Tensor, ...]:
        """(h, w, 3) uint8, as ``Cloth.with_lines`` returns it -> the maps that ``Content.features`` holds."""
        return self._run(self._encode, picture)

    def choice(self, styles: Styles) -> LineChoice:
        """Which lines a blend draws: the mean of its hands'. Arguments and errors are those of ``style``."""
        pairs = self._pairs(styles)
        if not sum(weight for _, weight in pairs) > 0:
            raise FedGAIError("style weights must be finite, not negative, and at least one above zero")
        return mixed([signature.choice for signature, _ in pairs], [weight for _, weight in pairs]).in_steps()

    def draw(
        self,
        content: Content,
        style: Tensor | Styles,
        *,
        strength: float = 1.0,
        paper: Paper = "white",
        choice: LineChoice = EVERY_LINE,
    ) -> Image.Image:
        """One sketch of a prepared photograph.

        Args:
            content: from ``prepare``.
            style: from ``style``, or what ``style`` takes.
            strength: see ``style``; for a Tensor it is in there already.
            paper: "white" (RGB) or "transparent" (RGBA).
            choice: which lines are drawn, for a Tensor; else the hands say so.
        """
        if not isinstance(style, Tensor):
            choice, style = self.choice(style), self.style(style, strength)
        return finish(self._run(self._draw, [content], style, choice)[0], content, paper)

    def trace(self, content: Content, style: Tensor | Styles, *, strength: float = 1.0) -> Drawing:
        """The sketch of a prepared photograph as strokes: lines, and apart from them hatching, stipple and tone.

        Args:
            content, style, strength: as ``draw`` takes them.
        """
        sketch, lines = self.layers(content, style, strength=strength)
        types: np.ndarray | None = None
        if content.types is not None:
            types = np.stack([cv2.resize(plane, content.size) for plane in content.types]).astype(np.float32)
            types = types / 255
        buttons = as_drawn(content.buttons, max(content.size) / max(content.drawn), max(content.size))
        return trace(sketch, content.mask, lines=lines, types=types, buttons=np.array(buttons).reshape(-1, 3))

    def layers(self, content: Content, style: Tensor | Styles, *, strength: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """The sketch of a prepared photograph, and the same without hatching and stipple: (H, W, 3) uint8 RGB both.

        The pen lays hatching on a lattice. Drawn again with the lattice moved, lines stay where they are and hatching does
        not, so the lightest of a few drawings has the lines alone.

        Args:
            content, style, strength: as ``draw`` takes them.
        """
        choice = EVERY_LINE
        if not isinstance(style, Tensor):
            choice, style = self.choice(style), self.style(style, strength)
        drawn = []
        for origin in self._run(self._origins, style):
            sketch = self._run(self._draw, [content], style, choice, origin[None])[0]
            drawn.append(np.asarray(finish(sketch, content, "white")))
            if len(drawn) == 2 and not is_hatched(drawn[0], np.maximum(*drawn)):
                break
        return drawn[0], np.max(drawn, axis=0)

    def contact_sheet(self, content: Content) -> list[tuple[str, Image.Image]]:
        """The garment in every hand of the bank: (name, RGB sketch) in the bank's order."""
        return [(name, self.draw(content, {signature: 1})) for name, signature in self.styles.items()]

    def blend_row(
        self, content: Content, a: str | Path | Signature, b: str | Path | Signature, steps: int = 5
    ) -> list[Image.Image]:
        """One hand into another, from all a to all b: ``steps`` >= 2 RGB sketches."""
        return [self.draw(content, [(a, 1 - t), (b, t)]) for t in np.linspace(0, 1, steps).tolist()]

    def signature(self, drawings: Iterable[Photo], name: str, description: str = "") -> Signature:
        """Measure a hand, see ``FedGAI.signature``."""
        return self.model.signature(drawings, name, description)

    def _pairs(self, styles: Styles) -> list[tuple[Signature, float]]:
        """Signatures and weights. Raises FedGAIError where there are none, or a style is not known."""
        pairs = list(styles.items() if isinstance(styles, Mapping) else styles)
        if not pairs:
            raise FedGAIError("name at least one style")
        return [(self._signature(key), weight) for key, weight in pairs]

    def _signature(self, key: str | Path | Signature) -> Signature:
        if not isinstance(key, Signature):
            named = {name.casefold(): signature for name, signature in self.styles.items()}
            if str(key).casefold() in named:
                return named[str(key).casefold()]
            if not Path(key).is_file():
                name, _, weight = str(key).rpartition("=")
                if name.casefold() in named or (name and Path(name).is_file()):
                    raise FedGAIError(f"{weight!r} is not a weight: write a number, as in {name}=0.7")
                raise FedGAIError(f"no style {str(key)!r}: give a signature file, or one of {', '.join(self.styles)}")
            key = Signature.load(key)
        self.model.check_style(key)
        return key

    def _parts(self, style: Tensor) -> tuple[Tensor, Tensor | None]:
        """What ``style`` returned -> statistics (1, D), and the adapter (A,) if there is one."""
        style, length = style.to(self.device), 2 * sum(self.model.preset.channels)
        return style[None, :length], style[length:] if len(style) > length else None

    def _run(self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return self._worker.submit(work, *args, **kwargs).result()

    @torch.inference_mode()
    def _encode(self, picture: np.ndarray) -> tuple[Tensor, ...]:
        """(H, W, 3) uint8 -> the encoder's maps of the padded picture."""
        x = to_tensor(np.pad(picture, _padding(picture), "reflect"))[None].to(self.device)
        return tuple(self._network.encoder(x.contiguous(memory_format=torch.channels_last)))

    @torch.inference_mode()
    def _origins(self, style: Tensor) -> Tensor:
        """(D,) -> (n, 2), corners of the page from which this hand's hatching lies elsewhere; one if it has no pen."""
        head = self._network.generator.style_head
        if head is None:
            return torch.zeros(1, 2, dtype=torch.long)
        statistics, _ = self._parts(style)
        return moved_origins(head(statistics)[0][0].cpu(), LATTICES)

    def _features(self, content: Content, choice: LineChoice) -> tuple[Tensor, ...]:
        """A content's maps with the lines that a blend draws."""
        if content.cloth is None or choice == content.choice:
            return content.features
        for known, lines, features in list(self._chosen):
            if known() is content and lines == choice:
                return features
        features = self._encode(content.cloth.with_lines(choice))
        self._chosen.append((weakref.ref(content, self._forget), choice, features))
        return features

    def _forget(self, content: weakref.ref[Content]) -> None:
        """Whoever held a content has let it go, on any thread, so its maps may go, too."""
        self._chosen = deque([kept for kept in list(self._chosen) if kept[0] is not content], CHOSEN)

    @torch.inference_mode()
    def _draw(
        self, contents: Sequence[Content], style: Tensor, choice: LineChoice, origin: Tensor | None = None
    ) -> list[Image.Image]:
        """Contents of one shape -> their RGB sketches, padding cropped. The page's corner (1, 2), where it is not (0, 0)."""
        levels = zip(*(self._features(content, choice) for content in contents), strict=True)
        features = [maps[0] if len(maps) == 1 else torch.cat(maps) for maps in levels]
        statistics, adapter = self._parts(style)
        sketches = self._network.generator(features, statistics, adapter=adapter, origin=origin)
        return [to_image(s[:, : c.drawn[1], : c.drawn[0]]) for s, c in zip(sketches, contents, strict=True)]


def _padding(picture: np.ndarray) -> list[tuple[int, int]]:
    """For ``np.pad``, of an (H, W, 3) picture: right and below only, so the strokes' lattice starts at its corner."""
    return [(0, max(SMALLEST, -(-side // MULTIPLE) * MULTIPLE) - side) for side in picture.shape[:2]] + [(0, 0)]


def _batches(contents: Sequence[Content]) -> list[list[int]]:
    """Indices of contents of one padded shape, at most ``BATCH_PIXELS`` together."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for i, content in enumerate(contents):
        by_shape.setdefault(tuple(content.features[0].shape[2:]), []).append(i)
    batches = []
    for shape, indices in by_shape.items():
        count = max(1, BATCH_PIXELS // math.prod(shape))
        batches += [indices[start : start + count] for start in range(0, len(indices), count)]
    return batches
