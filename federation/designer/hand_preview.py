"""Shows how a designer's hand will look to others. Runs on the designer's own machine, before anything is shared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from federation.designer.prepare import look, single_drawings
from federation.designer.settings import CompanionError, Progress, Settings
from fedgai.data.listing import find_images
from fedgai.evaluation.hand_page import GARMENTS, HandReport, evenly, measure_files, measure_hand
from fedgai.pipeline import SketchPipeline
from fedgai.shipped import EXAMPLES, WEIGHTS
from fedgai.training.refine_signature import FEWEST, RefineConfig, refine, split_held_out
from fedgai.vision.cutout import NoGarment


def preview_hand(folder: Path, settings: Settings, progress: Progress | None = None) -> HandReport:
    """Measure and refine the signature as a round does, and draw garments in it. Nothing is sent, and nothing is kept.

    The garments are those of the designer's own photographs that the hand is not learned from, where there are any; else the
    project's examples. Others will draw garments that the hand was not learned from, too.

    Args:
        folder: HOME, see settings.py.
        settings: ``data`` and ``name`` count.
        progress: of each of the four parts, from 0 to 1. What it raises ends the work.
    Raises:
        LookFirst: sheets were cut that nobody has looked at.
        FedGAIError: there is no drawing, or it cannot be read; CheckpointError of the weights is one, too.
        OSError: a folder cannot be read or written.
    """
    say = progress or (lambda done, what: None)
    if not settings.data or not Path(settings.data).is_dir():
        raise CompanionError(f"there is no folder {settings.data}: name the folder with your drawings")
    found = look(settings, say)
    files = single_drawings(folder, found, say)
    pages = len(files) if found.kind == "scans" else found.pages
    pipe = SketchPipeline.from_pretrained(WEIGHTS)
    name = settings.name.strip() or "Your hand"
    measured, drawings = measure_files(pipe, files, pages, name, _part(say, "measuring your hand over all of your drawings"))
    learned = split_held_out(len(found.pairs), RefineConfig())[0] if len(found.pairs) >= FEWEST else []
    unseen = [photo for i, (photo, _) in enumerate(found.pairs) if i not in learned]
    photos, examples = evenly(unseen, GARMENTS), find_images(EXAMPLES)
    refining = _part(say, "adjusting the measured numbers, so that the studio's drawings come closer to yours")
    refining(0.0)
    hand = refine(pipe.model, measured, found.pairs, files, progress=refining).signature
    drawing = _part(say, "drawing garments in your hand")
    drawing(0.0)
    try:
        return measure_hand(pipe, hand, drawings, photos, drawing, own_garments=True)
    except NoGarment:  # there are no photographs, or none in which a garment can be found
        return measure_hand(pipe, hand, drawings, examples, drawing)


def _part(say: Progress, what: str) -> Callable[[float], None]:
    return lambda share: say(share, what)
