"""Two of the example garments: a federation's rounds are measured on them in a third of the time that all eight take."""

from __future__ import annotations

import shutil
from pathlib import Path

from fedgai.shipped import EXAMPLES


def two_garments(folder: Path) -> dict[str, str]:
    """Write them into ``folder/garments``. Returns the variables that have the host measure and train its rounds on them."""
    garments = folder / "garments"
    garments.mkdir(parents=True, exist_ok=True)
    for name in ("denim_jacket", "pleated_skirt"):
        shutil.copy(EXAMPLES / f"{name}.jpg", garments)
    return {"FEDGAI_EXAMPLES": str(garments), "FEDGAI_HOUSE_PHOTOS": str(garments)}
