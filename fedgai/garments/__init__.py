"""Procedural garments: pictures of clothes with exact ground truth, made from numbers alone.

    from fedgai.garments import dye, make

    garment = make(seed=1)                                # geometry and light
    picture = dye(garment, np.random.default_rng(2))      # fabric, background, camera

A garment can be dyed again and again: every time it gets another fabric and another background, while its lines stay.
"""

from fedgai.garments.garment import Garment, make
from fedgai.garments.kinds import KINDS
from fedgai.garments.lines import Vector
from fedgai.garments.picture import GarmentPicture, dye
from fedgai.line_types import LINE_TYPES

__all__ = ["KINDS", "LINE_TYPES", "Garment", "GarmentPicture", "Vector", "dye", "make"]
