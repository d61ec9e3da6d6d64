"""Kinds of garments, each a function from a draft to pieces from the back to the front."""

from __future__ import annotations

from collections.abc import Callable

from fedgai.garments import legs, outerwear, skirts, tops
from fedgai.garments.parts import Draft, Piece

BUILDERS: dict[str, Callable[[Draft], list[Piece]]] = {
    "t-shirt": tops.t_shirt,
    "tank": tops.tank,
    "polo": tops.polo,
    "shirt": tops.shirt,
    "blouse": tops.blouse,
    "pullover": tops.pullover,
    "cardigan": outerwear.cardigan,
    "hoodie": outerwear.hoodie,
    "jacket": outerwear.jacket,
    "coat": outerwear.coat,
    "vest": outerwear.vest,
    "dress": skirts.dress,
    "skirt": skirts.skirt,
    "trousers": legs.trousers,
    "jeans": legs.jeans,
    "shorts": legs.shorts,
    "jumpsuit": skirts.jumpsuit,
}
KINDS: tuple[str, ...] = tuple(BUILDERS)
