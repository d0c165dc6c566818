"""Scores with the nearest instants of the sensor: a fault stays, most false alarms and single events do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.data import SignalBatch
from vibro.scoring.instants import instant_numbers, periods

TOPS = 0.05  # share of the reference that counts as high
OFTEN, SURE = 2.5, 3.0  # times chance, and standard deviations above it, that high records must adjoin
REACH = 3  # usual periods within which the record before or after is a neighbour

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Persistence:
    """Whether a level follows a record's score alone or with its neighbours in time, decided at the fit.

    With neighbours: the mean of the score and of the smaller of it and the higher neighbour's, then the reference score
    of the same rank. So as many reference records lie above any cut as before, only others: those that stay.

    ``arrays``: ``ratio`` times chance that high reference records adjoin and ``sure`` deviations above it, NaN where no
    record has a neighbour; ``steady`` and ``score`` (m,), both sorted, of the reference records that have one, empty where
    levels follow the score alone.
    """

    arrays: State

    @classmethod
    def fit(cls, batch: SignalBatch, rows: NDArray[np.intp], fused: Floats) -> Persistence:
        """From held-out scores (r,) of the ``rows`` (r,) of a batch."""
        score = np.full(len(batch), np.nan)
        score[rows] = fused
        order, joined = _series(batch, score, periods(batch))
        ratio, sure = _adjoin(batch, score, order, joined)
        arrays = {"ratio": np.array(ratio), "sure": np.array(sure), "steady": np.zeros(0), "score": np.zeros(0)}
        if ratio > OFTEN and sure > SURE:
            steady = _steady(score, order, joined)
            some = np.isfinite(steady)
            arrays |= {"steady": np.sort(steady[some]), "score": np.sort(score[some])}
        return cls(arrays)

    @property
    def on(self) -> bool:
        """Whether levels follow the score with its neighbours."""
        return len(self.arrays["steady"]) > 0

    def apply(self, batch: SignalBatch, score: Floats, known: Mapping[str, int]) -> Floats:
        """(n,) persistent scores: the score (n,) itself where a record has no neighbour or levels follow the score alone.

        ``known``: the usual period in ns of machines by name, as a model keeps it.
        """
        if not self.on:
            return score
        steady = _steady(score, *_series(batch, score, {**periods(batch), **known}))
        found, low, high = np.isfinite(steady), self.arrays["steady"], self.arrays["score"]
        value = np.interp(steady[found], low, high)
        middle = len(low) // 2
        slope = (high[-1] - high[middle]) / max(low[-1] - low[middle], 1e-12)
        value += slope * np.maximum(steady[found] - low[-1], 0.0) + np.minimum(steady[found] - low[0], 0.0)
        persistent = score.copy()
        persistent[found] = value
        return persistent


def _series(batch: SignalBatch, score: Floats, period: Mapping[str, int]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Valid records that have a score and a time, by sensor and time, and which adjoin the next one (one fewer)."""
    rows = np.flatnonzero(np.isfinite(score) & batch.valid & ~np.isnat(batch.time))
    order = rows[np.lexsort((batch.time[rows], batch.sensor[rows], batch.machine[rows]))]
    same = (np.diff(batch.sensor[order]) == 0) & (np.diff(batch.machine[order]) == 0)
    gap = np.diff(batch.time[order].astype("datetime64[ns]").view(np.int64))
    reach = REACH * np.array([period.get(name, 0) for name in batch.machines], np.int64)
    return order, same & (gap > 0) & (gap <= reach[batch.machine[order[1:]]])


def _steady(score: Floats, order: NDArray[np.intp], joined: NDArray[np.bool_]) -> Floats:
    """(n,) mean of each score and the smaller of it and its higher neighbour; NaN without a neighbour."""
    mine, higher = score[order], np.full(len(order), np.nan)
    higher[:-1][joined] = mine[1:][joined]
    higher[1:][joined] = np.fmax(higher[1:], mine[:-1])[joined]
    steady = np.full(len(score), np.nan)
    steady[order] = 0.5 * (mine + np.minimum(mine, higher))
    return steady


def _adjoin(
    batch: SignalBatch, score: Floats, order: NDArray[np.intp], joined: NDArray[np.bool_]
) -> tuple[float, float]:
    """How many times as often as by chance two high scores adjoin, and how many standard deviations above it.

    By chance: each sensor's high records in any order. What takes several sensors at one instant counts as one event.
    """
    if not joined.any():
        return float("nan"), float("nan")
    high = score[order] > np.quantile(score[order], 1 - TOPS)
    if not high.any():
        return float("nan"), float("nan")
    series = np.unique(np.stack([batch.machine[order], batch.sensor[order]]), axis=1, return_inverse=True)[1].reshape(
        -1
    )
    share = np.bincount(series, high) / np.bincount(series)
    expected = float((np.bincount(series[1:][joined], minlength=len(share)) * share**2).sum())
    together = float((high[1:] & high[:-1] & joined).sum())
    number = instant_numbers(batch, {})[order[high]]
    each = len(number) / len(np.unique(number))
    return together / expected, (together - expected) / np.sqrt(expected * each)
