"""What a federation's rounds take less time with, where a test is not about the drawings: one garment and two hands."""

from __future__ import annotations

import shutil
from pathlib import Path

from fedgai.model import FedGAI
from fedgai.shipped import EXAMPLES


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
