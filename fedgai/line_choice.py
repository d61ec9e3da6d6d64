"""Which of a garment's lines a hand draws, and how much of its print.

A technical hand draws stitches and no folds. A brush leaves half of the seams out. A signature's statistics do not say so: they
tell how lines look, not which of them are there. So a hand has four numbers for it, and a blend has the mean of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any

from fedgai.errors import FedGAIError

STEP = 0.05  # of what a blend draws: between two steps nothing would change that anybody sees


@dataclass(frozen=True)
class LineChoice:
    """What a hand draws inside the silhouette. All four lie in [0, 1].

    Attributes:
        seams: share of the length of seams and of edges of parts that is drawn, the surest first.
        folds: the same for folds.
        stitches: the same for lines of topstitching, which are drawn as dashes.
        print: 0 the print is left to the fabric, to 1 it is drawn as the photograph shows it.
    """

    seams: float = 1.0
    folds: float = 1.0
    stitches: float = 1.0
    print: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise FedGAIError(f"a hand's share of {name} is a number from 0 to 1, not {str(value)[:40]}")

    def in_steps(self) -> LineChoice:
        """Each number at the nearest multiple of ``STEP``."""
        return LineChoice(*(round(round(value / STEP) * STEP, 4) for value in astuple(self)))

    @classmethod
    def from_json(cls, found: object) -> LineChoice:
        """From what ``asdict`` gave. Raises FedGAIError for anything else."""
        names = {field.name for field in fields(cls)}
        if not isinstance(found, Mapping) or set(found) != names:
            raise FedGAIError(f"a hand's choice of lines names {', '.join(sorted(names))}, each from 0 to 1")
        values: dict[str, Any] = dict(found)
        return cls(**values)


EVERY_LINE = LineChoice()  # all lines, and no print


def mixed(choices: Sequence[LineChoice], weights: Iterable[float]) -> LineChoice:
    """The mean of several hands' choices. The weights are not negative, and one at least is above 0."""
    shares = list(weights)
    total = sum(shares)
    columns = zip(*(astuple(choice) for choice in choices), strict=True)
    means = [sum(w * value for w, value in zip(shares, column, strict=True)) / total for column in columns]
    return LineChoice(*(min(1.0, max(0.0, mean)) for mean in means))
