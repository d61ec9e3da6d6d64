"""What a round's report says, in words: for the log, the operator's tables, the tab and the panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from federation.server.report import RoundReport
from fedgai.text import printable


def designers_words(report: Mapping[str, Any]) -> str:
    """ "7 of 8": whose answers counted, of those who were asked or answered; "" where nobody was."""
    designers = report.get("designers")
    if not isinstance(designers, list) or not designers:
        return ""
    counted = sum(1 for designer in designers if isinstance(designer, Mapping) and designer.get("accepted") is True)
    return f"{counted} of {len(designers)}"


def house_words(report: Mapping[str, Any]) -> str:
    """ "30 of 30 steps": what the house Generator learned; "" for a round without a house step."""
    return RoundReport.read(report).house_line.removeprefix("the house learned ")


def state_words(report: Mapping[str, Any]) -> str:
    """ "published", or "held back: " and why."""
    if report.get("published", True):
        return "published"
    reason = report.get("held_back")
    return f"held back: {printable(str(reason), longest=300)}" if reason else "held back"


def round_line(number: int, report: Mapping[str, Any]) -> str:
    """One line of a log.

    Example:
        >>> round_line(3, {"designers": [{"accepted": True}], "house_steps_done": 30, "house_steps_wanted": 30})
        'round 3: 1 of 1 designers counted; the house learned 30 of 30 steps; published'
    """
    parts = [f"{words} designers counted" for words in [designers_words(report)] if words]
    parts += [f"the house learned {words}" for words in [house_words(report)] if words]
    return f"round {number}: " + "; ".join([*parts, state_words(report)])
