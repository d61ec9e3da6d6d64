"""metrics.csv on the Hub: a row a round."""

from __future__ import annotations

import csv
import io
import itertools
import logging
import re
from collections.abc import Mapping
from typing import Any

from federation.server.report import RoundReport, is_number

log = logging.getLogger("fedgai.hub")

FIRST = ["round", "season", "started", "finished", "asked", "accepted", "pairs", "published"]
COLUMN = re.compile(r"[\w.+-]{1,64}")
TIME = re.compile(r"[0-9T:.+Z-]{1,40}")


def metrics_table(previous: bytes | None, reports: Mapping[int, RoundReport]) -> bytes:
    """The table as CSV: rows ascending. Rows that are in ``previous`` only stay; columns only ever become more.

    Args:
        previous: the table so far; None, or one that is damaged: a new one is made from the reports.
        reports: round -> report. Only its numbers go into the table.
    """
    rows, columns = _read(previous)
    for number, report in reports.items():
        rows[number] = _row(number, report)
    columns += sorted({name for row in rows.values() for name in row if COLUMN.fullmatch(name)} - set(columns))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for _, row in sorted(rows.items()))
    return text.getvalue().encode()


def _read(previous: bytes | None) -> tuple[dict[int, dict[str, str]], list[str]]:
    """Rows by round, and columns in their order."""
    rows: dict[int, dict[str, str]] = {}
    columns = list(FIRST)
    try:
        table = csv.DictReader(io.StringIO((previous or b"").decode()))
        names = table.fieldnames or ()
        if "round" in names:
            for row in itertools.islice(table, 10**6):
                if not re.fullmatch(r"[0-9]{1,9}", row["round"] or ""):
                    raise ValueError(f"{row['round']!r} is not a round's number")
                rows[int(row["round"])] = {k: v[:64] for k, v in row.items() if k and isinstance(v, str)}
            columns += [name for name in names if name not in columns and COLUMN.fullmatch(name)]
    except (ValueError, csv.Error):
        log.warning("metrics.csv on the Hub is damaged: a new one is started")
        return {}, list(FIRST)
    return rows, columns


def _row(number: int, report: RoundReport) -> dict[str, str]:
    designers, house = report.designers, report.house
    numbers: dict[str, Any] = {
        "season": report.season,
        "asked": sum(designer.asked for designer in designers) if designers else None,
        "accepted": report.accepted,
        "pairs": sum(designer.pairs for designer in designers if designer.accepted) or None,
        **report.metrics,
        "house-seconds": house.seconds if house else None,
        "house-steps": house.steps if house else None,
        **{f"house-{name}": value for name, value in (house.losses if house else {}).items()},
        **{f"probe-{name}": value for name, value in report.probe.after.items()},
    }
    row = {name: f"{value:.6g}" for name, value in numbers.items() if is_number(value)}
    times = {"started": report.started, "finished": report.finished}
    row |= {name: time for name, time in times.items() if TIME.fullmatch(time)}
    return {**row, "round": str(number), "published": "yes" if report.published else "no"}
