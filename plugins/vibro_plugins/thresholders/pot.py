"""Peaks over threshold: a generalised-Pareto tail for cuts beyond what the sample shows, and its streaming form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Params, Thresholder
from vibro_plugins import _gpd
from vibro_plugins._cuts import BENIGN, too_few, upper_quantile, usable, without_faults

FEWEST = 50  # exceedances below which no tail is fitted
WIDEST = 0.2  # share of the scores that the tail may take to reach them
DRAWS = 200
Floats = NDArray[np.float64]


class Pot(Thresholder):
    """u + scale / shape ((budget n / N)^-shape - 1) with N excesses over u (Pickands 1975; Davison and Smith 1990).

    Far-out scores are set aside as in ``quantile``; the tail is the top ``tail`` of the rest, or 50 scores within its
    top fifth. Maximum likelihood begun at the weighted moments, shape in [-0.95, 0.5], continuous through 0 (trap T22).
    A budget larger than the tail, or fewer than 50 exceedances, gives the empirical quantile; the latter is flagged.
    """

    name = "pot"
    summary = "generalised-Pareto tail over a high quantile, with a bootstrap interval"

    @dataclass(frozen=True)
    class Params(Params):
        """``tail``: share of the scores in the tail; ``benign``: far-out share that a healthy plant has by itself."""

        tail: Annotated[float, Field(gt=0, le=0.5)] = 0.1
        benign: Annotated[float, Field(ge=0, le=1)] = BENIGN

    _details: Mapping[str, Any] = {}

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut."""
        known, aside = without_faults(usable(scores, budget), self.params.benign)
        start, excess = tail_of(known, self.params.tail)
        said = {"fallback": None, "n": len(known), "set_aside": aside, "exceedances": len(excess)}
        share = len(excess) / len(known)
        if len(excess) < FEWEST:
            fallback = too_few(known, budget) or f"{len(excess)} exceedances are too few for a tail: empirical quantile"
            self._details = said | {"fallback": fallback}
            return upper_quantile(known, budget)
        if budget >= share:
            self._details = said
            return min(upper_quantile(known, budget), start)
        scale, shape = _gpd.fit(excess)
        value = start + _gpd.quantile(scale, shape, budget / share)
        rng = self.ctx.rng()
        draws = [
            start + _gpd.quantile(*_gpd.fit_moments(rng.choice(excess, len(excess))), budget / share)
            for _ in range(DRAWS)
        ]
        low, high = np.quantile(draws, (0.05, 0.95))
        interval = [min(float(low), value), max(float(high), value)]
        self._details = said | {"start": start, "scale": scale, "shape": shape, "interval": interval}
        return value

    def details(self) -> Mapping[str, Any]:
        """Of the last cut: the tail, ``interval`` (90 % of the bootstrap), ``set_aside`` share left out."""
        return self._details


class Spot(Thresholder):
    """Streaming peaks over threshold (Siffer, Fouque, Termier and Largouet, KDD 2017), dealt through the reference.

    The first half starts the tail; of the rest, scores that the tail gives less than ``risk`` are alarms and are not
    learned. The reference has no order, so the seed deals it. There is no drift mode: it would learn slow faults.
    Tails are fitted by the likelihood of ``_gpd``; the published code has the sign of its exponential branch wrong.
    """

    name = "spot"
    summary = "streaming peaks over threshold that does not learn its alarms"

    @dataclass(frozen=True)
    class Params(Params):
        """``tail``: share of the scores in the tail; ``risk``: probability below which a score is not learned.

        ``benign``: far-out share that a healthy plant has by itself.
        """

        tail: Annotated[float, Field(gt=0, le=0.5)] = 0.1
        risk: Annotated[float, Field(gt=0, lt=0.1)] = 1e-4
        benign: Annotated[float, Field(ge=0, le=1)] = BENIGN

    _details: Mapping[str, Any] = {}

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut after the last score of the reference."""
        whole = usable(scores, budget)
        order = self.ctx.rng().permutation(len(whole))
        half = len(whole) // 2
        first, _ = without_faults(np.sort(whole[order[:half]]) if half else whole, self.params.benign)
        start, excess = tail_of(first, self.params.tail)
        few = len(excess) < FEWEST
        if few or budget >= len(excess) / len(first):
            known, _ = without_faults(whole, self.params.benign)
            said = f"{len(excess)} exceedances are too few for a tail: empirical quantile"
            self._details = {"fallback": said if few else None, "n": len(known)}
            return upper_quantile(known, budget) if few else min(upper_quantile(known, budget), start)
        seen, peaks, alarms = len(first), list(excess), 0
        limit, fitted = _cut_of(start, excess, self.params.risk, seen), len(peaks)
        for score in whole[order[half:]]:
            if score > limit:
                alarms += 1
                continue
            seen += 1
            if score > start:
                peaks.append(float(score) - start)
                if len(peaks) > 1.05 * fitted:
                    limit, fitted = _cut_of(start, np.array(peaks), self.params.risk, seen), len(peaks)
        value = _cut_of(start, np.array(peaks), budget, seen)
        self._details = {"fallback": None, "n": seen, "exceedances": len(peaks), "alarms": alarms, "start": start}
        return value

    def details(self) -> Mapping[str, Any]:
        """Of the last cut: scores learned, exceedances, alarms that were not learned."""
        return self._details


def tail_of(known: Floats, tail: float) -> tuple[float, Floats]:
    """Start of the tail of sorted scores and the excesses over it: its share, or more to have 50, within the top fifth."""
    count = max(round(tail * len(known)), min(FEWEST, int(WIDEST * len(known))))
    start = float(known[max(len(known) - count - 1, 0)])
    return start, known[known > start] - start


def _cut_of(start: float, excess: Floats, budget: float, seen: int) -> float:
    return start + _gpd.quantile(*_gpd.fit(excess), min(budget * seen / len(excess), 1.0))


@hookimpl
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Registers the thresholders."""
    register(Pot)
    register(Spot)
