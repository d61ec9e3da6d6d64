"""People who draw read words and not the software's names: in receipts, and in the Federation tab."""

from __future__ import annotations

import html
from dataclasses import fields, replace

import pytest

pytest.importorskip("studio.without_stubs")
pytest.importorskip("flwr")

from federation.designer.receipt import Receipt
from federation.designer.receipt_page import page, size, table
from federation.figure_names import AT_DESIGNERS, AT_THE_HOUSE, OF_THE_PROBE
from federation.server.folder import Status
from federation.server.house_step import HouseStepConfig
from federation.server.probe import Bounds
from federation.server.report import RoundReport
from studio.federation.tab import News

JARGON = ("feddecorr", "loss", "epoch", "own_hand", "own hand 0", "logit", "mid grey ratio", "adversarial")


def test_every_figure_of_the_server_has_a_name() -> None:
    assert set(OF_THE_PROBE) == {f.name for f in fields(Bounds)}
    assert set(AT_THE_HOUSE) <= {f.name for f in fields(HouseStepConfig)}  # each has its weight there


def test_the_tab_says_figures_in_words() -> None:
    report = {
        "round": 1,
        "metrics": dict.fromkeys(AT_DESIGNERS, 0.5) | {"loss-of-a-later-release": 0.5},
        "house": {"losses": dict.fromkeys(AT_THE_HOUSE, 0.5)},
        "probe": {"after": dict.fromkeys(OF_THE_PROBE, 0.5)},
        "style_distances": {"Ada_B-C": 0.5},
    }
    news = News(Status(), "", "", {1: RoundReport.read(report)}, RoundReport(), [0, 1], 1, {}, {})
    shown = html.unescape(" ".join(news.parts().values()))
    assert not [word for word in JARGON if word in shown.lower()]
    for words in (
        "drawing, all together",
        "of a later release",
        "one hand drawn like another",
        "ink, compared with round 0",
        "Ada_B-C",
    ):
        assert words in shown
    assert "the designers' average error in drawing 0.5" in shown and "drawings nearest to their own hand 50%" in shown


def test_receipts_say_figures_in_words() -> None:
    metrics = dict.fromkeys(AT_DESIGNERS, 0.5) | {"loss-of-a-later-release": 0.5}
    receipt = Receipt(3, "2026-11-25T21:06:56+00:00", "https://studio.example", (), None, metrics, {}, None, 83490)
    for shown in (page([receipt]), table([receipt], 200)):
        assert not [word for word in JARGON if word in shown.lower()]
        assert "average error: texture of lines" in shown and "average error: of a later release" in shown
        assert "83,490 bytes" in shown
    assert "what was sent is" in receipt.meaning and "what would be sent is" in replace(receipt, state="sample").meaning
    assert size(receipt.bytes) == "83 kB" and size(replace(receipt, bytes=1_234_567).bytes) == "1.2 MB"
