"""Draws with the Generator that was trained on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from federation.designer.client_app import ROUND_FILE
from federation.designer.settings import CompanionError, Settings
from fedgai.errors import FedGAIError, sentence
from fedgai.files import replacing
from fedgai.model import CONFIG_FILE, MODEL_FILE, CheckpointError
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import WEIGHTS
from studio.sketching import Look, SketchStudio, StudioGarment, number
from studio.uploads import PhotoFile


class HomeStudio(SketchStudio):
    """Draws with the private model. A look has one setting more: how far it goes from all me (0) to all of us (1).

    Args:
        folder: the companion's.
    Raises:
        CompanionError: there is no Generator of the designer's own yet.
        CheckpointError: it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.model = folder, folder / "model"
        if not (self.model / CONFIG_FILE).exists():
            raise CompanionError("there is no model of your own yet: take part in a first round, then open your studio")
        self._stamp = self._saved()
        pipeline = SketchPipeline.from_pretrained(self.model)
        self.start = SketchPipeline.from_pretrained(WEIGHTS)
        known = Settings.load(folder)
        self.me = known.name if known and known.name in pipeline.styles else next(reversed(pipeline.styles))
        super().__init__(pipeline)

    @property
    def first_look(self) -> Look:
        return Look({self.me: 1.0})

    @property
    def everybody(self) -> dict[str, float]:
        """All of us, each with the same say."""
        return dict.fromkeys(self.names, 1.0)

    @property
    def rounds(self) -> int:
        """The last round that the Generator was trained in; 0 where that is not known."""
        try:
            return int(json.loads((self.model / ROUND_FILE).read_text())["round"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def look(self, weights: object, lines: object, size: object, cutout: object, way: object = None) -> Look:
        """``weights``: of all of us. ``way``: {"us": from 0, all me, to 1}."""
        share_of_all = number(way.get("us", 0) if isinstance(way, dict) else 0, 0, 1, "From all me to all of us")
        look = super().look(weights if share_of_all else {self.me: 1.0}, lines, size, cutout)
        blend = {name: share_of_all * share for name, share in look.shares}
        blend[self.me] = blend.get(self.me, 0.0) + 1 - share_of_all
        return replace(look, weights=blend)

    def compare(self, garment: StudioGarment, look: Look) -> list[tuple[str, Image.Image]]:
        """(caption, sketch): by the Generator that everybody starts from, and by the designer's own, in the same style.

        Raises FedGAIError where the two have other encoders.
        """
        if self.start.model.encoder_sha256 != self.pipeline.model.encoder_sha256:
            raise FedGAIError(
                "Your model and the one that everybody starts with use different encoders, so they cannot be compared."
            )
        content, hands = self.content(garment, look), list(look.weights.items())
        style, choice = self.pipeline.style(hands, look.strength), self.pipeline.choice(hands)
        after = f"After round {self.rounds}" if self.rounds else "After"
        return [
            ("Before: the model that everybody starts with", self.start.draw(content, style, choice=choice)),
            (f"{after}: your own", self.pipeline.draw(content, style, choice=choice)),
        ]

    def draw_all(self, files: list[Path], out: Path, look: Look) -> Iterator[tuple[Path, Image.Image | str]]:
        """Draw many photographs into a folder, as PNG. Yields each file with its sketch, or with why there is none."""
        out.mkdir(parents=True, exist_ok=True)
        for file in files:
            try:
                sketch = self.draw(self.content(StudioGarment(PhotoFile(file, file.parent)), look), look)
            except FedGAIError as error:
                yield file, sentence(error)
                continue
            target, count = out / f"{file.stem}.png", 1
            while target.exists():
                count += 1
                target = out / f"{file.stem}-{count}.png"
            with replacing(target) as temp_path:
                sketch.save(temp_path, "PNG")
            yield file, sketch

    def follow(self) -> bool:
        """Draw with what the training has saved last. Returns whether that is another Generator than before."""
        stamp = self._saved()
        if stamp in (None, self._stamp):
            return False
        try:
            self.serve(SketchPipeline.from_pretrained(self.model))
        except CheckpointError:  # it is being written: next time
            return False
        self._stamp = stamp
        return True

    def _saved(self) -> tuple[int, int] | None:
        try:
            about = (self.model / MODEL_FILE).stat()
        except OSError:
            return None
        return about.st_mtime_ns, about.st_size
