"""A round's report is written and read in one place, and old ones are still read."""

from __future__ import annotations

import json

from federation.server.report import RoundReport


def test_a_report_survives_json() -> None:
    report = RoundReport(
        round=3,
        season=1,
        designers=[{"name": "Ada", "accepted": True, "node_id": 1}],
        accepted=1,
        house_steps_done=12,
        house_steps_wanted=30,
        held_back="it drew grey",
    )
    assert RoundReport.read(json.loads(json.dumps(report.as_json()))) == report
    assert report.house_line == "the house learned 12 of 30 steps"


def test_a_report_of_an_earlier_release_is_read() -> None:
    old = {"round": 2, "published": True, "house": {"steps": 30, "seconds": 11.0, "stopped": ""}, "something": "else"}
    assert RoundReport.read(old).house_line == "the house learned 30 of 30 steps"
    stopped = old | {"house": {"steps": 2, "stopped": "its 45 seconds were over"}}
    assert RoundReport.read(stopped).house_line == "the house learned 2 steps"
    assert RoundReport.read({}).house_line == ""
