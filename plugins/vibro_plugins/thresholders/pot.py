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
from vibro_plugins.stats import pareto
from vibro_plugins.thresholders.normal_body import too_few, upper_quantile, usable, without_far_out

FEWEST = 50  # exceedances below which no tail is fitted
WIDEST = 0.2  # share of the scores that the tail may take to reach them
DRAWS = 200
MORE = 1.2  # times as many exceedances as at the last fit make `spot` fit its tail again
Floats = NDArray[np.float64]


class Pot(Thresholder):
    """u + scale / shape ((budget n / N)^-shape - 1) with N excesses over u (Pickands 1975; Davison and Smith 1990).

    Far-out scores are set aside as in ``quantile``; the tail is the top ``tail`` of the rest, or 50 scores within its
    top fifth. Maximum likelihood, shape in [-0.95, 0.56], continuous through 0 (trap T22). Rare benign states make a tail
    of two parts that is no Pareto one: while the fit is bad (Cramer-von Mises), half as many scores are taken. A budget
    larger than the tail, fewer than 50 exceedances, or no tail that fits give the empirical quantile; the last two are
    flagged.
    """

    name = "pot"
    summary = "generalised-Pareto tail over a high quantile, with a bootstrap interval"

    @dataclass(frozen=True)
    class Params(Params):
        """``tail``: share of the scores in the tail; ``benign``: share of far-out scores that is known to be no faults."""

        tail: Annotated[float, Field(gt=0, le=0.5)] = 0.1
        benign: Annotated[float, Field(ge=0, le=1)] = 0.0

    _said: Mapping[str, Any] = {}
    _tail: tuple[Floats, float, float, float] | None = None  # excesses, start, ratio and cut, for the interval

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut."""
        known, aside = without_far_out(usable(scores, budget), self.params.benign)
        start, excess = tail_of(known, self.params.tail)
        self._said, self._tail = {"fallback": None, "n": len(known), "set_aside": aside}, None
        if budget >= len(excess) / len(known) and len(excess) >= FEWEST:
            return min(upper_quantile(known, budget), start)
        few = f"{len(excess)} exceedances are too few for a tail: empirical quantile"
        while len(excess) >= FEWEST:
            scale, shape = pareto.fit(excess)
            ratio = budget * len(known) / len(excess)
            if ratio < 1.0 and pareto.misfit(excess, scale, shape) <= pareto.MISFIT:
                value = start + pareto.quantile(scale, shape, ratio)
                self._said |= {"exceedances": len(excess), "start": start, "scale": scale, "shape": shape}
                self._tail = excess, start, ratio, value
                return value
            few = f"no Pareto tail of {FEWEST} exceedances or more fits the {len(known)} scores: empirical quantile"
            start, excess = _top(known, len(excess) // 2)
        self._said |= {"fallback": too_few(known, budget) or few}
        return upper_quantile(known, budget)

    def details(self) -> Mapping[str, Any]:
        """Of the last cut: the tail, ``interval`` (90 % of the bootstrap), ``set_aside`` share left out."""
        if self._tail is None:
            return self._said
        excess, start, ratio, value = self._tail
        rng = self.ctx.rng()
        draws = [
            start + pareto.quantile(*pareto.fit_moments(rng.choice(excess, len(excess))), ratio) for _ in range(DRAWS)
        ]
        low, high = np.quantile(draws, (0.05, 0.95))
        return {**self._said, "interval": [min(float(low), value), max(float(high), value)]}


class Spot(Thresholder):
    """Streaming peaks over threshold (Siffer, Fouque, Termier and Largouet, KDD 2017), dealt through the reference.

    The first half starts the tail; of the rest, scores that the tail gives less than ``risk`` are alarms and are not
    learned. The reference has no order, so the seed deals it. There is no drift mode: it would learn slow faults.
    Tails are fitted by the likelihood of ``pareto``; the published code has the sign of its exponential branch wrong.
    """

    name = "spot"
    summary = "streaming peaks over threshold that does not learn its alarms"

    @dataclass(frozen=True)
    class Params(Params):
        """``tail``: share of the scores in the tail; ``risk``: probability below which a score is not learned.

        ``benign``: share of far-out scores that is known to be no faults.
        """

        tail: Annotated[float, Field(gt=0, le=0.5)] = 0.1
        risk: Annotated[float, Field(gt=0, lt=0.1)] = 1e-4
        benign: Annotated[float, Field(ge=0, le=1)] = 0.0

    _details: Mapping[str, Any] = {}

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut after the last score of the reference."""
        whole = usable(scores, budget)
        order = self.ctx.rng().permutation(len(whole))
        half = len(whole) // 2
        begun = np.sort(order[:half]) if half else order  # of sorted scores
        first, _ = without_far_out(whole[begun], self.params.benign)
        start, excess = tail_of(first, self.params.tail)
        few = len(excess) < FEWEST
        if few or budget >= len(excess) / len(first):
            known, _ = without_far_out(whole, self.params.benign)
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
                if len(peaks) > MORE * fitted:
                    limit, fitted = _cut_of(start, np.array(peaks), self.params.risk, seen), len(peaks)
        value = _cut_of(start, np.array(peaks), budget, seen)
        self._details = {"fallback": None, "n": seen, "exceedances": len(peaks), "alarms": alarms, "start": start}
        return value

    def details(self) -> Mapping[str, Any]:
        """Of the last cut: scores learned, exceedances, alarms that were not learned."""
        return self._details


def tail_of(known: Floats, tail: float) -> tuple[float, Floats]:
    """Start of the tail of sorted scores and the excesses over it: its share, or more to have 50, within the top fifth."""
    return _top(known, max(round(tail * len(known)), min(FEWEST, int(WIDEST * len(known)))))


def _top(known: Floats, count: int) -> tuple[float, Floats]:
    """The score below the ``count`` highest sorted ones, and their excesses over it."""
    start = float(known[max(len(known) - count - 1, 0)])
    return start, known[known > start] - start


def _cut_of(start: float, excess: Floats, budget: float, seen: int) -> float:
    return start + pareto.quantile(*pareto.fit(excess), min(budget * seen / len(excess), 1.0))


@hookimpl
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Registers the thresholders."""
    register(Pot)
    register(Spot)
