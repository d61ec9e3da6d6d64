"""What a round's report says, in words: for the log, the operator's tables, the tab and the panel."""

from __future__ import annotations

from federation.server.report import RoundReport
from fedgai.text import printable


def designers_words(report: RoundReport) -> str:
    """ "7 of 8": whose answers counted, of those who were asked or answered; "" where nobody was."""
    if not report.designers:
        return ""
    return f"{sum(designer.accepted for designer in report.designers)} of {len(report.designers)}"


def house_words(report: RoundReport) -> str:
    """ "30 of 30 steps": what the house Generator learned; "" for a round without a house step."""
    return report.house_line.removeprefix("the house learned ")


def state_words(report: RoundReport) -> str:
    """ "published", or "held back: " and why."""
    if report.published:
        return "published"
    return f"held back: {printable(report.held_back, longest=300)}" if report.held_back else "held back"


def round_line(number: int, report: RoundReport) -> str:
    """One line of a log.

    Example:
        >>> designers = [DesignerReport(name="Ada", accepted=True)]
        >>> round_line(3, RoundReport(designers=designers, house_steps_done=30, house_steps_wanted=30))
        'round 3: 1 of 1 designers counted; the house learned 30 of 30 steps; published'
    """
    parts = []
    if designers := designers_words(report):
        parts.append(f"{designers} designers counted")
    if house := house_words(report):
        parts.append(f"the house learned {house}")
    return f"round {number}: " + "; ".join([*parts, state_words(report)])
