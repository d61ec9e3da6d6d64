"""What a round's figures are called before people who draw: in receipts, and in the studio's Federation tab.

Files, logs and reports keep the software's own names; these are for reading.
"""

from __future__ import annotations

AT_DESIGNERS = {
    "num-examples": "drawings that were learned from",
    "own-distance": "how far the software's drawings are from the hand",
    "loss-hinge": "telling the designer's drawings from its own",
    "loss-hand": "telling the designer's hand from the others'",
    "loss-feddecorr": "how much its figures repeat each other",
    "loss-discriminator": "judging drawings, in all",
    "loss-adversarial": "drawing so that it passes as the designer's",
    "loss-adversarial-other": "drawing so that it passes as another's",
    "loss-gram": "texture of lines",
    "loss-cosine": "direction of lines",
    "loss-semantic": "shape of the garment",
    "loss-semantic-paired": "shape of the garment",
    "loss-chroma": "colour",
    "loss-fusion": "likeness to others' hands",
    "loss-generator": "drawing, in all",
}
"""Of a designer's training, by the name in ``client_app.answer``'s metrics. What begins with "loss-" is an average error."""

AT_THE_HOUSE = {
    "adversarial": "drawing so that it passes as a designer's",
    "distance": "distance to the hand asked for",
    "anchor": "difference from round 0's drawings",
    "crispness": "grey beside lines",
    "chroma": "colour",
    "lines": "lines out of place",
    "hand": "one hand drawn like another",
    "judged": "new hands that its judge does not recognise",
    "new_distance": "distance to new hands",
    "veil": "grey veil in new hands",
}
"""Of a house step, by the name in ``HouseReport.losses``. All are average errors."""

OF_THE_PROBE = {
    "own_hand": "drawings nearest to their own hand",
    "distance_ratio": "distance to the hand asked for, against round 0",
    "lines": "lines where round 0 drew them",
    "ink_ratio": "ink, against round 0",
    "mid_grey_ratio": "grey between ink and paper, against round 0",
    "blends_falling": "steps of blends towards their end",
    "logit": "size of what the Discriminator says",
}
"""Of the probe, by the name in ``Bounds``."""


def sent_name(name: str) -> str:
    """What one number of an update is, as a receipt says it.

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
