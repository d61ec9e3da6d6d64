"""Weights for rows of buttons, fitted to photographs that were looked at."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedgai.draughtsman import Draughtsman
from fedgai.model import DRAUGHTSMAN_FILE
from fedgai.shipped import EXAMPLES, WEIGHTS
from fedgai.training import fit_button_rows as fitting
from fedgai.training.fit_button_rows import REVIEWED, Reviewed, fit, held_out, main, review

FRONT = [[50.0, 30.0, 50.0, 90.0]]  # of the denim jacket, per cent


@pytest.fixture(scope="module")
def draughtsman() -> Draughtsman:
    return Draughtsman.load(WEIGHTS / DRAUGHTSMAN_FILE)


def test_the_reviewed_rows_lie_in_photographs_that_nothing_is_measured_on() -> None:
    reviewed = json.loads(REVIEWED.read_text())
    assert sum(bool(rows) for rows in reviewed.values()) > 80 and sum(not rows for rows in reviewed.values()) > 500
    assert {name.split("/")[0] for name in reviewed} == {"train", "more"}
    rows = np.array([row for rows in reviewed.values() for row in rows])
    assert rows.shape[1] == 4 and rows.min() >= 0 and rows.max() <= 100 and (rows[:, 3] > rows[:, 1]).all()


def test_a_fit_tells_apart_what_it_was_shown() -> None:
    rng = np.random.default_rng(1)
    right = (rng.random(300) < 0.3).astype(float)
    measured = rng.standard_normal((300, 7)) * 3 + 5
    measured[:, 2] += 20 * right
    weights, bias = fit(measured, right)
    assert weights.argmax() == 2 and weights[2] > 3 * np.abs(np.delete(weights, 2)).max()
    assert (((measured @ weights + bias) > 0) == (right > 0)).mean() > 0.97
    photographs = [Reviewed(measured[i : i + 3], right[i : i + 3]) for i in range(0, 300, 3)]
    found, wrong = held_out(photographs)
    assert found > 0.9 * sum(one.right.any() for one in photographs) and wrong <= 3


def test_rows_beside_the_reviewed_one_are_buttons(draughtsman: Draughtsman) -> None:
    denim = review(EXAMPLES / "denim_jacket.jpg", FRONT, draughtsman)
    assert denim is not None and denim.right[0] == 1 and denim.measured.shape == (len(denim.right), 7)
    without = review(EXAMPLES / "denim_jacket.jpg", [], draughtsman)
    assert without is not None and not without.right.any() and np.array_equal(without.measured, denim.measured)


def test_the_command_prints_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    names = {f"{EXAMPLES.name}/denim_jacket.jpg": FRONT, f"{EXAMPLES.name}/striped_shirt.jpg": [], "elsewhere/shirt.jpg": []}
    monkeypatch.setattr(fitting, "REVIEWED", tmp_path / "reviewed.json")
    (tmp_path / "reviewed.json").write_text(json.dumps(names))
    main(["--photos", str(EXAMPLES)])
    output = capsys.readouterr().out
    assert "WEIGHTS = [" in output and "from 2 photographs" in output and "of 1 photographs" in output
    with pytest.raises(SystemExit):
        main(["--photos", str(tmp_path)])
    assert "is in these folders" in capsys.readouterr().err
