"""What a federation takes less time with: one garment and two hands, where a test is not about the drawings; a quick start."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from federation import demo
from federation.designer import supernode
from federation.processes import free_port
from fedgai.model import FedGAI
from fedgai.shipped import EXAMPLES
from helpers import fork_server
from helpers.studio_server import PATIENCE


class QuickDemo(demo.Demo):
    """The demo, with a studio and designers that do not import Gradio, Flower and torch again."""

    def start_studio(self) -> None:
        with fork_server.forked(demo, "studio"):
            super().start_studio()

    def start_designer(self, name: str) -> None:
        with fork_server.forked(supernode, "designer"):
            super().start_designer(name)


@contextmanager
def running_studio(folder: Path, names: list[str], **options: Any) -> Iterator[QuickDemo]:
    """A studio with its federation, which waits for designers of these names, and is stopped in the end.

    Args:
        folder: for what it keeps.
        options: of ``Demo``, where they are not one round on one garment, with little training.
    """
    quick = {"rounds": 1, "house_steps": 2, "deadline": 3600}
    if "environment" not in options:
        options["environment"] = one_garment(folder)
    running = QuickDemo(folder, free_port(), names=names, patience=PATIENCE, **quick | options)
    try:
        running.start_studio()
        yield running
    finally:
        running.stop()


def one_garment(folder: Path) -> dict[str, str]:
    """Write an example into ``folder/garments``. Returns the variables that have the host measure and train its rounds on it."""
    garments = folder / "garments"
    garments.mkdir(parents=True, exist_ok=True)
    shutil.copy(EXAMPLES / "denim_jacket.jpg", garments)
    return {"FEDGAI_EXAMPLES": str(garments), "FEDGAI_HOUSE_PHOTOS": str(garments)}


def two_hands(folder: Path) -> Path:
    """Write the built-in weights into ``folder/weights``, with two of the eight hands. Returns that folder."""
    model = FedGAI.load()
    model.styles = {name: model.styles[name] for name in ("Aiko", "Dara")}
    model.save_pretrained(folder / "weights")
    return folder / "weights"
