"""A round's report is written and read in one place, and old ones are still read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from federation.server.folder import Folder
from federation.server.hub_content import read_report, report_for_hub
from federation.server.metrics_table import metrics_table
from federation.server.report import DesignerReport, HouseReport, PrivacyReport, ProbeReport, RoundReport, misshapen
from federation.server.season import accepted_before, entries
from federation.server.update_check import Verdict
from fedgai.model import FedGAI

WHOLE = RoundReport(
    round=3,
    season=1,
    started="2026-11-25T21:01:41+00:00",
    finished="2026-11-25T21:03:10+00:00",
    designers=entries([7, 9], [Verdict(7, "Ada", True, "", 12, 1.0, 0.25, {"loss-a": 0.5}, "ab", 999)], {7: "Ada", 9: "Bo"}),
    accepted=1,
    metrics={"loss-a": 0.5},
    strategy="mean",
    privacy=PrivacyReport(2.0, 0.5, 1e-5, 1.5, 2.5, 2, 1),
    house=HouseReport(12, 3.5, 8, ["Ada"], {"hand": 0.25}, "its 3 seconds were over", 30),
    house_steps_done=12,
    house_steps_wanted=30,
    probe=ProbeReport({"logit": 0.5}, {"logit": 1.5}, {"logit": {"better": "lower"}}),
    style_distances={"Ada": 0.125},
    published=False,
    held_back="it drew grey",
)
TEXT = (  # as such reports on the Hub are: a round must stay the same bytes there
    '{"round": 3, "season": 1, "started": "2026-11-25T21:01:41+00:00", "finished": "2026-11-25T21:03:10+00:00", "designers": ['
    '{"node_id": 7, "name": "Ada", "accepted": true, "reason": "", "pairs": 12, "share": 1.0, "norm": 0.25, '
    '"metrics": {"loss-a": 0.5}, "sha256": "ab", "bytes": 999, "asked": true}, '
    '{"node_id": 9, "name": "Bo", "accepted": false, "asked": true, "reason": "did not answer before the deadline", '
    '"pairs": 0, "share": 0.0}], "accepted": 1, "metrics": {"loss-a": 0.5}, "strategy": "mean", "privacy": {'
    '"noise_multiplier": 2.0, "clipping_norm": 0.5, "delta": 1e-05, "epsilon_round": 1.5, "epsilon": 2.5, "rounds": 2, '
    '"rounds_without": 1}, "house": {"steps": 12, "seconds": 3.5, "photographs": 8, "new_hands": ["Ada"], '
    '"losses": {"hand": 0.25}, "stopped": "its 3 seconds were over", "wanted": 30}, "house_steps_done": 12, '
    '"house_steps_wanted": 30, "probe": {"before": {"logit": 0.5}, "after": {"logit": 1.5}, "bounds": {"logit": '
    '{"better": "lower"}}}, "style_distances": {"Ada": 0.125}, "published": false, "held_back": "it drew grey"}'
)


def test_a_report_survives_json() -> None:
    report = RoundReport(
        round=3,
        season=1,
        designers=[DesignerReport(name="Ada", accepted=True, node_id=1)],
        accepted=1,
        house_steps_done=12,
        house_steps_wanted=30,
        held_back="it drew grey",
    )
    assert RoundReport.read(json.loads(json.dumps(report.as_json()))) == report
    assert report.house_line == "the house learned 12 of 30 steps"


def test_it_is_written_byte_for_byte_as_before_and_every_part_is_read() -> None:
    assert json.dumps(WHOLE.as_json()) == TEXT
    read = RoundReport.loads(TEXT)
    assert read == WHOLE and json.dumps(read.as_json()) == TEXT and misshapen(read.as_json()) == ""
    assert [designer.silent for designer in read.designers] == [False, True]
    without = RoundReport(round=1, season=1, accepted=2).as_json()
    assert without["privacy"] is None and "house" not in without and misshapen(without) == ""
    assert json.dumps(RoundReport.of_the_start().as_json()) == '{"round": 0, "published": true}'


def test_a_report_of_an_earlier_release_is_read() -> None:
    old = {"round": 2, "published": True, "house": {"steps": 30, "seconds": 11.0, "stopped": ""}, "something": "else"}
    assert RoundReport.read(old).house_line == "the house learned 30 of 30 steps"
    stopped = old | {"house": {"steps": 2, "stopped": "its 45 seconds were over"}}
    assert RoundReport.read(stopped).house_line == "the house learned 2 steps"
    assert RoundReport.read({}).house_line == ""


def test_what_another_release_wrote_is_kept(tmp_path: Path, tiny_model_dir: Path) -> None:
    """In the report of a pruned checkpoint, and on the Hub, where it tells one attempt at a round from another."""
    folder, model = Folder(tmp_path), FedGAI.load(tiny_model_dir)
    strange = {"something": {"else": [1, None]}, "published": True, "round": 1, "house": {"steps": 30, "more": 1}}
    for number in (1, 2):
        folder.publish(number, model, RoundReport.read(strange | {"round": number}))
    on_hub = report_for_hub(folder.checkpoint(1), 1)
    assert json.loads(on_hub).items() > strange.items()
    assert read_report(on_hub, 1).as_json() == json.loads(on_hub)
    assert folder.prune(1) == [1]
    assert (tmp_path / "reports/0001.json").read_text() == json.dumps(strange, indent=1)
    assert folder.reports()[1] == RoundReport.read(strange)


@pytest.mark.parametrize("content", [[], "x", 3, None, {"designers": 3, "metrics": [1], "house": [], "probe": "x"}])
def test_what_is_damaged_has_the_defaults(content: object) -> None:
    assert RoundReport.read(content) == RoundReport()


def test_damage_in_one_place_spoils_no_other() -> None:
    """An entry keeps its SHA-256, by which a replay is known; a round that is not published stays so."""
    report = RoundReport.read(
        {
            "round": True,
            "designers": [{"node_id": 4, "name": 5, "sha256": "ab", "metrics": {"a": None, "b": 1}}, "x"],
            "metrics": {"a": float("nan"), "b": 10**400, "c": "1", "d": True, "e": 2},
            "privacy": {"noise_multiplier": 2.0},
            "published": None,
        }
    )
    assert report.round is None and report.metrics == {"e": 2} and not report.published
    assert report.designers == [DesignerReport(4, sha256="ab", metrics={"b": 1})]
    assert report.privacy is not None and report.privacy.noise_multiplier == 2.0


def test_replays_are_known_from_every_report(tmp_path: Path, tiny_model_dir: Path) -> None:
    folder = Folder(tmp_path)
    folder.publish(3, FedGAI.load(tiny_model_dir), WHOLE)
    folder.write("reports/0001.json", {"designers": [{"node_id": 7, "sha256": "cd"}, {"node_id": 8}]})
    assert accepted_before(folder) == {7: {"ab", "cd"}}


def test_a_row_of_the_table_says_what_the_report_says_and_no_more() -> None:
    text = metrics_table(None, {0: RoundReport.of_the_start(), 3: WHOLE}).decode()
    assert text == (
        "round,season,started,finished,asked,accepted,pairs,published,"
        "house-hand,house-seconds,house-steps,loss-a,probe-logit\n"
        "0,,,,,,,yes,,,,,\n"
        "3,1,2026-11-25T21:01:41+00:00,2026-11-25T21:03:10+00:00,2,1,12,no,0.25,3.5,12,0.5,1.5\n"
    )
