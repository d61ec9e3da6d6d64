"""Hostile updates over the wire: real SuperNodes, the studio with its gateway, a real SuperLink, and designers with good keys."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.hostile_federation import federation, wait_for

from federation.demo import Demo
from fedgai.ateliers import ATELIERS
from fedgai.model import FedGAI

REASONS = {  # what the round's report says of each
    "not_a_number": "not finite",
    "infinity": "not finite",
    "wrong_shape": "has shape",
    "extra_tensor": "'backdoor', which is not shared",
    "batchnorm": "BatchNorm tensor 'body.1.running_mean'",
    "signature_beyond": "numbers that no drawing gives",
    "too_long": "its update has norm",
    "garbage_numbers": "not in numpy's format",
    "garbage_objects": "cannot be read",
    "garbage_request": "did not answer before the deadline",
    "replayed": "an update of an earlier round again",
    "stale": "it belongs to round",
    "huge": "did not answer before the deadline",
    "never_whole": "not whole, in time",
    "as_somebody_else": "claims to be somebody else's",
    "gives_orders": "did not answer before the deadline",
    "takes_back": "",  # for whichever of the two, depending on who is faster
}
REFUSED = {"garbage_request": {400}, "huge": {413}, "gives_orders": {403}}  # by the gateway


def check(demo: Demo, round_: int, honest: Sequence[str], way_of: dict[str, str]) -> None:
    """A round's report and aggregate: the honest alone count, everybody else is named with the reason."""
    report = demo.folder.report(round_)
    found = {d.name: d for d in report.designers}
    assert {name for name, d in found.items() if d.accepted} == set(honest), report.designers
    for name, way in way_of.items():
        assert REASONS.get(way, "") in found[name].reason, (way, found[name])
    before, after = (FedGAI.load(demo.folder.checkpoint(n)).discriminator.shared() for n in (round_ - 1, round_))
    moved = float(sum((after[key] - before[key]).square().sum() for key in after)) ** 0.5
    assert 0 < moved <= 1.01 * max(found[name].norm for name in honest)


def check_spread(demo: Demo, round_: int, honest: Sequence[str], others: Sequence[Mapping[str, np.ndarray]] = ()) -> None:
    """Of the season's last round, after which each designer has at home what was sent: the mean of all that counts.

    Args:
        others: what was sent by those who have nothing at home, float16.
    """
    aggregate = FedGAI.load(demo.folder.checkpoint(round_)).discriminator.shared()
    models = [FedGAI.load(demo.home / name / "model").discriminator.shared() for name in honest]
    sent = [{key: value.half().numpy() for key, value in model.items()} for model in models] + list(others)
    for key, value in aggregate.items():
        each, found = np.stack([s[key].astype(np.float64) for s in sent]), value.half().numpy()
        # to fp16 rounding; and spectral norm scales the mean again, by a power iteration that is right to 1e-3
        rounding = np.spacing(np.abs(found)).astype(np.float64) + 1e-3 * np.abs(found)
        assert (found >= each.min(0) - rounding).all() and (found <= each.max(0) + rounding).all(), key
        assert (np.abs(found - each.mean(0)) <= rounding).all(), key  # all have as many pairs


def test_every_hostile_way(tmp_path: Path) -> None:
    """Two rounds; those who keep a round open all do so in the second. In each, two strangers' answers are good."""
    honest = list(ATELIERS)[:3]
    pairs = [
        ("not_a_number", "huge"),
        ("infinity", "never_whole"),
        ("wrong_shape", "gives_orders"),
        ("extra_tensor", "garbage_request"),
        ("batchnorm", "garbage_objects"),
        ("too_long", "honest"),
        ("signature_beyond", "honest"),
        ("honest", "replayed"),
        ("honest", "stale"),
        ("as_somebody_else",),
        ("garbage_numbers",),
        ("takes_back",),
    ]
    assert {way for pair in pairs for way in pair} == {"honest", *REASONS}
    ways = {f"Hostile {i}": pair for i, pair in enumerate(pairs, 1)}
    good = [[name for name, pair in ways.items() if pair[place] == "honest"] for place in (0, -1)]
    with federation(tmp_path, honest, ways, 2, len(honest) + 2) as (demo, strangers):
        wait_for(demo, 2)
        check(demo, 1, [*honest, *good[0]], {name: pair[0] for name, pair in ways.items()})
        check(demo, 2, [*honest, *good[1]], {name: pair[-1] for name, pair in ways.items()})
        own = [strangers[name].earlier["arrays"] for name in good[1]]
        check_spread(demo, 2, honest, [{key: array.numpy() for key, array in arrays.items()} for arrays in own])
        for name, pair in ways.items():
            refused = [(status, text) for status, text in strangers[name].refused if status < 500]
            assert {status for status, _ in refused} == REFUSED.get(pair[-1], set()), (name, refused)
        log = (demo.home / "studio.log").read_text()
        for words in ("a push-object has at most", "objects, and Hostile", "other than an answer of their own"):
            assert words in log
        assert demo.folder.latest() == 2


@pytest.mark.long
def test_one_designer_in_eight_is_hostile(tmp_path: Path) -> None:
    """Seven who are honest; the eighth is hostile in another way in every round."""
    honest, ways = list(ATELIERS)[:7], list(REASONS)
    ways.remove("takes_back")  # which one does in every round or in none
    with federation(tmp_path, honest, {"Hostile": ["honest", *ways]}, 1 + len(ways), len(honest)) as (demo, _):
        for round_, way in enumerate(ways, 2):
            started = time.monotonic()
            wait_for(demo, round_)
            accepted = demo.folder.report(round_).accepted
            print(f"round {round_}: {way}, {accepted} of 8 count, {time.monotonic() - started:.0f} s", flush=True)
            check(demo, round_, honest, {"Hostile": way})
        check_spread(demo, 1 + len(ways), honest)
