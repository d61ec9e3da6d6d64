"""The fusion experiment on two designers: three trainings that differ in one thing, and figures that mean what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.garment_picture import draw_garment

from experiments.fusion import ARMS, Plan, Seed, designer_gains, median_pair, report, sheet, split, summary, table

PLAN = Plan(designers=2, rounds=2, epochs=1, pairs=2, size=64, unseen=2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("garments")
    for i in range(6):
        draw_garment(96 + 8 * i, 112 + 4 * i).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def seed(photos: Path, tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return Seed(PLAN, 24, photos, tmp_path_factory.mktemp("home"), tiny_model_dir)


def steps(seed: Seed, name: str, arm: str) -> list[dict]:
    return [json.loads(line) for line in (seed.model_folder(name, arm) / "log.jsonl").read_text().splitlines()]


def test_three_arms_the_same_steps_and_only_ours_draws_in_others_hands(seed: Seed) -> None:
    found = report([seed], ARMS)
    for name in seed.names:
        logs = {arm: steps(seed, name, arm) for arm in ARMS}
        assert [len(log) for log in logs.values()] == [PLAN.steps] * 3
        assert ["fusion" in step for step in logs["fusion"]] == [False, False, True, True]  # nobody is known in round 1
        assert not any("fusion" in step for arm in ("alone", "literal") for step in logs[arm])
    assert set(found["arms"]) == {"hand", "start", *ARMS}
    assert {"gain", "gain_unasked"} <= set(found["arms"]["fusion"]) and "gain" not in found["arms"]["alone"]
    assert all(np.isfinite(v["mean"]) for row in found["arms"].values() for v in row.values())
    assert json.loads(json.dumps(found)) == found
    assert all(name in table(found) for name in (*seed.names, *ARMS))


def test_what_is_there_is_not_done_again(seed: Seed, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = report([seed], ARMS)
    monkeypatch.setattr(Seed, "train", lambda *_: pytest.fail("it was trained already"))
    assert report([Seed(PLAN, 24, photos, seed.path.parent, seed.weights)], ARMS) == first
    with pytest.raises(SystemExit, match="another plan"):
        Seed(Plan(), 24, photos, seed.path.parent, seed.weights)


def test_the_sheet_has_the_photograph_and_both_hands_in_every_arm(seed: Seed, photos: Path) -> None:
    report([seed], ARMS)
    page = sheet(seed, [photos / "0.png"], cell=40)
    assert page.width == 40 * (1 + 2 * (1 + len(ARMS)))
    cells = np.asarray(page.convert("L"))[40:].reshape(40, -1, 40).min((0, 2))
    assert (cells < 250).all()  # none is left blank


def test_strangers_are_none_of_the_ateliers(photos: Path) -> None:
    strangers = Plan(hands="strangers", designers=3).drawn_by(24)
    assert len(strangers) == 3 and not set(strangers) & set(Plan().drawn_by(24))
    assert Plan(hands="strangers", designers=3).drawn_by(25) != strangers


def test_held_out_garments(photos: Path, tmp_path: Path) -> None:
    seen, unseen = split(photos)
    assert sorted(seen + unseen) == sorted(photos.iterdir()) and not set(seen) & set(unseen)
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
        draw_garment(96, 112).save(tmp_path / part / "a.png")
    assert split(tmp_path) == ([tmp_path / "train" / "a.png"], [tmp_path / "val" / "a.png"])


def test_summary_against_loops() -> None:
    rng = np.random.default_rng(0)
    figures, alone = (
        {
            "distance": rng.uniform(0.1, 1, (3, 3, 3)).tolist(),
            "nearest": rng.uniform(0, 1, (3, 3)).tolist(),
            "gram": rng.uniform(0, 1, (3, 3)).tolist(),
        }
        for _ in range(2)
    )
    found, d, a = summary(figures, alone), figures["distance"], alone["distance"]
    off = [(i, j) for i in range(3) for j in range(3) if i != j]
    mean = lambda values: sum(values) / len(values)  # noqa: E731
    assert found["own"] == pytest.approx(mean([d[i][i][i] for i in range(3)]))
    assert found["own_to_others"] == pytest.approx(mean([d[i][i][j] for i, j in off]))
    assert found["other"] == pytest.approx(mean([d[i][j][j] for i, j in off]))
    assert found["other_nearest"] == pytest.approx(mean([figures["nearest"][i][j] for i, j in off]))
    assert found["kept"] == pytest.approx(mean([all(d[i][i][i] <= d[i][i][j] for j in range(3)) for i in range(3)]))
    assert found["gain"] == pytest.approx(mean([1 - d[i][j][j] / a[i][j][j] for i, j in off]))
    assert found["gain_unasked"] == pytest.approx(mean([1 - d[i][i][j] / a[i][i][j] for i, j in off]))
    assert np.mean(designer_gains(figures, alone)["gain"]) == pytest.approx(found["gain"])
    gains = sorted(1 - d[i][j][j] / a[i][j][j] for i, j in off)
    i, j = median_pair(figures, alone)
    assert 1 - d[i][j][j] / a[i][j][j] == pytest.approx(gains[3])
