"""Kinds of garments, each a function from a random generator to pieces from the back to the front."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fedgai.garments import lower, upper
from fedgai.garments.parts import Piece

BUILDERS: dict[str, Callable[[np.random.Generator], list[Piece]]] = {
    "t-shirt": upper.t_shirt,
    "polo": upper.polo,
    "shirt": upper.shirt,
    "blouse": upper.blouse,
    "pullover": upper.pullover,
    "cardigan": upper.cardigan,
    "hoodie": upper.hoodie,
    "jacket": upper.jacket,
    "coat": upper.coat,
    "vest": upper.vest,
    "dress": lower.dress,
    "skirt": lower.skirt,
    "trousers": lower.trousers,
    "jeans": lower.jeans,
    "shorts": lower.shorts,
    "jumpsuit": lower.jumpsuit,
}
KINDS: tuple[str, ...] = tuple(BUILDERS)
