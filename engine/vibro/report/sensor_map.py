"""The map of sensors by time: where in the run each of them was how unusual."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vibro.report import charts
from vibro.report.data import RunData
from vibro.report.svg import Svg
from vibro.report.texts import Texts
from vibro.scoring.verdict import INVALID

ROWS = 40  # sensors in the map
GAPS = 0.5  # share of empty stretches from which on the map leaves gaps out
_BINS = 72


def when(run: RunData, order: Sequence[int], t: Texts) -> Svg | None:
    """The map of sensors by time, or None where there is too little to map."""
    known = np.isfinite(run.x)
    distinct = np.unique(run.x[known])
    if len(run.sensors) < 2 or len(distinct) < 3:
        return None
    edges = _stretches(distinct)
    column = np.clip(np.searchsorted(edges, run.x, side="right") - 1, 0, len(edges) - 2)
    shown = sorted(order[:ROWS], key=lambda code: natural(run.sensors[code]))
    worst = np.full((len(shown), len(edges) - 1), np.nan)
    level = np.full(worst.shape, -1, dtype=np.int8)
    # A cell shows its most urgent record; a record that could not be judged only where there is no other.
    urgency = np.array([2, 3, 4, 1, 0])
    rank = urgency[run.level]
    score = np.where(run.level >= INVALID, np.nan, run.judged)
    for i, code in enumerate(shown):
        rows = np.flatnonzero((run.sensor == code) & known)
        rows = rows[np.lexsort((np.nan_to_num(score[rows], nan=-np.inf), rank[rows]))]
        worst[i, column[rows]] = score[rows]  # the last one written is the most urgent
        level[i, column[rows]] = run.level[rows]
    names = [run.sensors[code] or "–" for code in shown]
    return charts.heat_map(names, worst, level, edges, shades(run), run.timed, t, codes=shown)


def _stretches(distinct: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of the map's columns: of equal length, or of equally many places where most of the equal ones would be empty."""
    bins = min(_BINS, len(distinct))
    edges = np.linspace(distinct[0], distinct[-1], bins + 1)
    if (np.histogram(distinct, edges)[0] == 0).mean() > GAPS:
        edges = distinct[np.linspace(0, len(distinct) - 1, bins + 1).round().astype(int)]
    return np.append(edges[:-1], edges[-1] + max(1e-6, abs(edges[-1]) * 1e-12))


def shades(run: RunData) -> NDArray[np.float64]:
    """Five equal steps from the median score to the attention cut, or to the highest score without a cut."""
    judged = run.judged[(run.level < INVALID) & np.isfinite(run.judged)]
    if not len(judged):
        return np.zeros(5)
    middle, end = float(np.median(judged)), run.cuts[0]
    return np.linspace(middle, max(middle, end if end is not None else float(judged.max())), 6)[:-1]


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts S2 before S10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]
