"""Plain names of a round's figures, for designers: in receipts, and in the studio's Federation tab.

Files, logs and reports keep the software's own names.
"""

from __future__ import annotations

AT_DESIGNERS = {
    "num-examples": "drawings that the machine learned from",
    "own-distance": "how far the software's drawings are from the hand",
    "loss-hinge": "telling the designer's drawings from its own",
    "loss-hand": "telling the designer's hand from the others'",
    "loss-feddecorr": "how much its figures repeat each other",
    "loss-discriminator": "judging drawings, all together",
    "loss-adversarial": "drawing like the designer",
    "loss-adversarial-other": "drawing like another designer",
    "loss-gram": "texture of lines",
    "loss-cosine": "direction of lines",
    "loss-semantic": "shape of the garment",
    "loss-semantic-paired": "shape of the garment",
    "loss-near": "ink out of place",
    "loss-manner": "distance to the hand",
    "loss-crispness": "grey beside lines",
    "loss-chroma": "colour",
    "loss-fusion": "difference from the studio's drawings in others' hands",
    "loss-generator": "drawing, all together",
}
"""Of a designer's training, by the name in ``client_app.answer``'s metrics. Those with "loss-" are average errors."""

AT_THE_HOUSE = {
    "adversarial": "drawing like a designer",
    "distance": "distance to the hand that was asked for",
    "anchor": "difference from round 0's drawings",
    "crispness": "grey beside lines",
    "chroma": "colour",
    "lines": "lines out of place",
    "hand": "one hand drawn like another",
    "judged": "new hands that the judge of hands does not recognise",
    "new_distance": "distance to new hands",
    "held": "difference from round 0's drawings in new hands",
    "veil": "grey veil in new hands",
}
"""Of a house step, by the name in ``HouseReport.losses``. All are average errors."""

OF_THE_PROBE = {
    "own_hand": "drawings nearest to their own hand",
    "distance_ratio": "distance to the hand that was asked for, compared with round 0",
    "lines": "lines in the same place as in round 0",
    "ink_ratio": "ink, compared with round 0",
    "mid_grey_ratio": "grey between ink and paper, compared with round 0",
    "blends_falling": "share of a blend's way that leads closer to the second hand",
    "logit": "size of the Discriminator's output",
}
"""Of the probe, by the name in ``Bounds``."""


def sent_name(name: str) -> str:
    """The plain name of one number of an update, for receipts.

    Example:
        >>> sent_name("loss-gram")
        'average error: texture of lines'
    """
    words = AT_DESIGNERS.get(name, plain_name(name))
    return f"average error: {words}" if name.startswith("loss-") else words


def plain_name(name: str) -> str:
    """The name of a figure that another release added, as words.

    Example:
        >>> plain_name("loss-new_thing")
        'new thing'
    """
    return name.removeprefix("loss-").replace("-", " ").replace("_", " ")
