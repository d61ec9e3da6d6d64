"""Which round spots of a garment are its buttons: those that lie below one another, evenly apart.

A row counts if it is likely enough by seven measures together (``measures``). How much each of them tells was fitted to
photographs whose rows were judged by eye (``fedgai.training.fit_button_rows``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST = -1.5  # logit from which on a spot may be in a row, where nothing but the logits is known
LIKELY = 0.0  # logit from which on it looks like a button
SURE = 1.0  # logit from which on it looks like one without doubt
PAIR = 1.8  # logit that both of two buttons need where there is no third

FAINT = -3.5  # logit from which on a spot may be in a row, where it is known what the draughtsman sees there
SEEN = 0.15  # likelihood from which on it sees a line or a fastening
FASTENED, LINED = 1.5, 0.5  # what either adds to a spot's logit
MOST_SPOTS = 80  # the likeliest, of which rows are made
SLANTING = 6.0  # what a level row lacks beside an upright one, in logits
MOST_ROWS = 3  # the likeliest without a spot in common, which are measured
# of the seven measures: what one more of each adds to a row's logit
WEIGHTS = np.array([1.493, 5.943, 3.325, 4.002, -10.827, -15.629, -0.307])
BIAS = -7.379
ROW = 1.5  # logit from which on a row counts


class SeenAtSpots(NamedTuple):
    """What the draughtsman sees at spots.

    Attributes:
        fastening: (N,) in [0, 1], how likely a fastening is there. lined: the same of a seam, an edge or a fastening beside it.
    """

    fastening: Floats
    lined: Floats


class Row(NamedTuple):
    """Spots at equal distances along a line: which, and at what number of steps from the first."""

    members: list[int]
    at: list[int]


def in_rows(spots: Floats, scores: Floats, length: float, seen: SeenAtSpots | None = None) -> Floats:
    """The buttons among spots.

    Args:
        spots: (N, 3), x, y and radius.
        scores: (N,), the network's logits.
        length: of the garment, px: its height or width, whichever is more.
        seen: what the draughtsman sees there; None: only spots that are likely by themselves are in rows.
    Returns:
        (M, 3). Where one is missing between two of a row, it is put there.
    """
    rows = _best_rows(spots, scores, length, seen)
    members = [i for row in rows for i in row.members]
    if not members:
        return np.zeros((0, 3))
    radius = float(np.median(spots[members, 2]))
    alike = np.maximum(spots[:, 2], radius) < 1.4 * np.minimum(spots[:, 2], radius)
    single: list[int] = []
    if len(members) > 2:  # on cuffs and pockets
        single = [i for i in np.flatnonzero((scores > SURE) & alike).tolist() if i not in members]
    if len(single) > max(4, len(members)):
        single = []
    others = int((scores > LIKELY).sum()) - sum(scores[i] > LIKELY for i in [*members, *single])
    measured = seen is not None and len(rows[0].members) > 2  # others count among the measures
    if others > max(2, len(members)) and not measured:
        return np.zeros((0, 3))
    found = [spots[i] for i in single]
    for row in rows:
        for i, j, a, b in zip(row.members, row.members[1:], row.at, row.at[1:], strict=False):
            found.append(spots[i])
            if b - a == 2:
                found.append((spots[i] + spots[j]) / 2)
        found.append(spots[row.members[-1]])
    buttons = np.array(found)
    buttons[:, 2] = np.median(buttons[:, 2])  # those of a garment are of one size
    return buttons


def _best_rows(spots: Floats, scores: Floats, length: float, seen: SeenAtSpots | None) -> list[Row]:
    """The surest row, and another beside it with the same distances, as on a double-breasted coat."""
    rows: list[Row] = []
    if seen is not None:
        measured = [
            (float(measures(row, spots, scores, seen) @ WEIGHTS + BIAS), row) for row in likely_rows(spots, scores, length, seen)
        ]
        rows = [row for logit, row in sorted(measured, key=lambda pair: -pair[0]) if logit > ROW]
    if not rows and (seen is None or (scores > PAIR).sum() > 1):
        likely = np.flatnonzero(scores > LEAST)
        rows = [row for row in _rows_of(likely, spots, length) if _convincing(row, spots, scores)]
        rows = [row for row in rows if seen is None or len(row.members) == 2]  # longer ones were measured
        rows.sort(key=lambda row: -(scores[row.members] + 1).clip(0, 4).sum() + 1.5 * _missing(row))
    chosen = rows[:1]
    for row in rows[1:]:
        if set(row.members).isdisjoint(chosen[0].members) and 0.75 < _gap(row, spots) / _gap(chosen[0], spots) < 1.33:
            return [*chosen, row]
    return chosen


def likely_rows(spots: Floats, scores: Floats, length: float, seen: SeenAtSpots) -> list[Row]:
    """Rows of three spots and more that may be buttons, none with a spot in common. Arguments as for ``in_rows``."""
    likely = scores + FASTENED * (seen.fastening > SEEN) + LINED * (seen.lined > SEEN)
    best = np.argsort(-likely, kind="stable")[:MOST_SPOTS]
    best = best[likely[best] > FAINT]
    value = (likely + 2.5).clip(0, 5)
    rows = [row for row in _rows_of(best, spots, length, 3) if _missing(row) <= len(row.members) // 3]
    rows = [row for row in rows if len(row.members) > 3 or scores[row.members].min() > LEAST]  # one of three must not be a guess
    rows.sort(key=lambda row: -value[row.members].sum() + 1.5 * _missing(row) + SLANTING * _slant(row, spots))
    chosen: list[Row] = []
    for row in rows:
        if len(chosen) < MOST_ROWS and all(set(row.members).isdisjoint(other.members) for other in chosen):
            chosen.append(row)
    return chosen


def measures(row: Row, spots: Floats, scores: Floats, seen: SeenAtSpots) -> Floats:
    """What tells whether a row is buttons, (7,).

    The mean of its logits; how likely fastenings are there, 0.6 at most; the share of its spots that lie beside a line; the
    logarithm of their count; how far they lie from even distances, as a share of a distance; how much the row slants, 0 upright,
    0.35 at most; how many other spots look like buttons, 10 at most. Arguments as for ``in_rows``.
    """
    places, logits = spots[row.members, :2], scores[row.members]
    steps = np.stack([row.at, np.ones(len(row.at))], 1)
    (step, start), *_ = np.linalg.lstsq(steps, places, rcond=None)
    gap = float(np.hypot(*step))
    off = np.sqrt(((places - steps @ np.stack([step, start])) ** 2).sum(1).mean()) / gap
    others = int((scores > LIKELY).sum() - (logits > LIKELY).sum())
    return np.array(
        [
            logits.clip(-4, 4).mean(),
            seen.fastening[row.members].clip(0, 0.6).mean(),
            (seen.lined[row.members] > SEEN).mean(),
            np.log(len(row.members)),
            min(off, 0.2),
            min(abs(step[0]) / gap, 0.35),
            min(others, 10),
        ]
    )


def _rows_of(which: NDArray[np.intp], spots: Floats, length: float, least: int = 2) -> list[Row]:
    """All rows of ``least`` spots or more, two or three, among some of the spots."""
    some = spots[which]
    first, second = np.nonzero(_neighbours(some, length))
    if least > 2:
        goes_on = _third(some, first, second)
        first, second = first[goes_on], second[goes_on]
    rows = [_row_through(some, int(i), int(j)) for i, j in zip(first, second, strict=True)]
    return [Row([int(which[i]) for i in row.members], row.at) for row in rows]


def _third(spots: Floats, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.bool_]:
    """(n,), whether a row through the first and the second spot has a third one. It saves most of the rows."""
    places, radii = spots[:, :2], spots[:, 2]
    step = places[second] - places[first]
    gap = np.hypot(*step.T)
    alike = (radii < 1.5 * radii[first][:, None]) & (radii > radii[first][:, None] / 1.5)
    found = np.zeros(len(first), bool)
    for skipped in (1, 2):
        away = np.hypot(*(places - (places[second] + skipped * step)[:, None]).transpose(2, 0, 1))
        near = _near(radii[first], gap, skipped)
        found |= (alike & (away < near[:, None])).any(1)
    return found


def _near(radius: Floats, gap: Floats, skipped: int) -> Floats:
    """How far the next spot of a row may lie from where it is expected, px, one or two steps on."""
    return np.asarray(np.maximum(0.5 * radius + 1.5, 0.12 * gap) * np.sqrt(skipped))


def _slant(row: Row, spots: Floats) -> float:
    """0 for a row that is upright, 1 for one that is level."""
    step = spots[row.members[-1], :2] - spots[row.members[0], :2]
    return float(abs(step[0]) / np.hypot(*step))


def _missing(row: Row) -> int:
    """How many spots are missing in it."""
    return row.at[-1] + 1 - len(row.at)


def _neighbours(spots: Floats, length: float) -> NDArray[np.bool_]:
    """(N, N), whether the second spot can come after the first one in a row: below it, and alike in size."""
    across, down = (spots[None, :, i] - spots[:, None, i] for i in range(2))
    gap, radius = np.hypot(across, down), spots[:, 2]
    larger, smaller = np.maximum(radius[:, None], radius), np.minimum(radius[:, None], radius)
    far_enough = gap >= np.maximum(5 * larger, 0.05 * length)
    follow: NDArray[np.bool_] = (down >= 1.5 * np.abs(across)) & far_enough & (gap <= 0.3 * length) & (larger <= 1.5 * smaller)
    return follow


def _row_through(spots: Floats, first: int, second: int) -> Row:
    """The longest row that begins with these two."""
    places, radii = spots[:, :2], spots[:, 2]
    step = places[second] - places[first]
    gap = np.hypot(*step)
    row = Row([first, second], [0, 1])
    alike = (radii < 1.5 * radii[first]) & (radii > radii[first] / 1.5)
    while True:
        for skipped in (1, 2):
            away = np.hypot(*(places - places[row.members[-1]] - skipped * step).T)
            away[~alike], away[row.members] = np.inf, np.inf
            next_one = int(away.argmin())
            if away[next_one] < _near(radii[first], gap, skipped):
                row.members.append(next_one)
                row.at.append(row.at[-1] + skipped)
                step = (places[next_one] - places[first]) / row.at[-1]
                break
        else:
            return row


def _convincing(row: Row, spots: Floats, scores: Floats) -> bool:
    """Whether a row is straight, has few gaps and nothing between its spots, and the surer spots the shorter it is."""
    count, mean = len(row.members), float(scores[row.members].mean())
    places = spots[row.members, :2] - spots[row.members, :2].mean(0)
    if count == 2:
        across, down = np.abs(places[1] - places[0])
        return bool(scores[row.members].min() > PAIR and across < 0.15 * down)
    if _missing(row) > count // 3 or mean < {3: 0.4, 4: 0.0}.get(count, -0.4):
        return False
    ends = spots[row.members, :2]
    between = (ends[1:] + ends[:-1])[:, None] / 2 - spots[scores > LIKELY, :2]  # (gaps, spots, 2)
    if (np.hypot(*between.transpose(2, 0, 1)) < 0.25 * _gap(row, spots)).any(1).mean() >= 0.5:
        return False  # every second spot of a printed line
    along = np.linalg.svd(places)[2][0]
    return bool(np.abs(places @ np.array([-along[1], along[0]])).max() <= max(2.5, spots[row.members[0], 2]))


def _gap(row: Row, spots: Floats) -> float:
    return float(np.hypot(*(spots[row.members[1], :2] - spots[row.members[0], :2])) / row.at[1])
