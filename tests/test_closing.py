"""When a round stops waiting."""

from __future__ import annotations

import pytest

from federation.server import closing
from federation.server.closing import Closing, silent_twice
from federation.server.report import SILENT, DesignerReport, RoundReport
from federation.server.season import FederationConfig


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(closing.time, "time", lambda: now[0])
    return now


def test_without_a_quorum_everybody_has_until_the_deadline() -> None:
    round_ = Closing(4600, 8, 0.0, 300, 2)
    assert round_.update(7, [8], []) == 4600


def test_a_quorum_gives_the_others_some_grace_and_no_more(clock: list[float]) -> None:
    round_ = Closing(4600, 8, 0.75, 300, 2)
    assert round_.update(5, [6, 7, 8], []) == 4600
    clock[0] = 2000
    assert round_.update(6, [7, 8], []) == 2300
    clock[0] = 2200
    assert round_.update(7, [8], []) == 2300  # from the moment of the quorum
    late = Closing(2250, 8, 0.5, 300, 2)
    assert late.update(4, [5], []) == 2250  # never after the deadline


def test_a_quorum_is_never_fewer_than_the_round_needs() -> None:
    round_ = Closing(4600, 3, 0.1, 0, 2)
    assert round_.update(1, [2, 3], []) == 4600
    assert round_.update(2, [3], []) == 1000


def test_who_was_silent_twice_is_not_waited_for() -> None:
    round_ = Closing(4600, 2, 0.0, 300, 2)
    assert round_.update(1, [3], [3]) == 4600  # too few to do without
    assert round_.update(2, [3, 4], [3]) == 4600
    assert round_.update(2, [3], [3]) == 1000


def test_silence_is_counted_over_the_last_two_rounds() -> None:
    def report(*silent: int) -> RoundReport:
        return RoundReport(designers=[DesignerReport(n, reason=SILENT if n in silent else "") for n in (1, 2, 3)])

    assert silent_twice([report(1)]) == set()
    assert silent_twice([report(3), report(1, 2), report(1)]) == {1}
    assert silent_twice([report(1), RoundReport()]) == set()


@pytest.mark.parametrize("config", [{"quorum": 1.5}, {"quorum": -0.1}, {"grace": -1}])
def test_settings_that_could_not_work_are_refused(config: dict) -> None:
    with pytest.raises(ValueError, match="quorum"):
        FederationConfig.from_run_config(config)
