"""The upper tail of scores of which an unknown share may be faults: peaks over threshold beside a group far out.

The quarter of highest scores is taken as excesses over its start. Those of normal records follow a generalised Pareto tail
(Pickands, Annals of Statistics, 1975) whose length is stated in units of a Gaussian's with the same body; those of faults lie
anywhere beyond an edge, evenly on a log scale. Neither the share of faults, nor the edge, length or shape is estimated: all are
averaged over, each by how well it explains the excesses (Bayesian model averaging). Where the scores cannot tell a long tail
from faults, the average lies between what the two would mean, so that neither guess is paid in full.

The model is simple and a large sample would contradict any such. Therefore the likelihood of k excesses counts as that of
100 k / (100 + k) (coarsened posterior: Miller and Dunson, JASA 2019), and as far as there are no faults, the scores
themselves are the reference, with weight k against 100 of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.stats import pareto

Floats = NDArray[np.float64]

TOP = 0.25  # share of the scores whose excesses are looked at; more faults than that cannot be found
CLEAN = 0.95  # probability, before the scores are seen, that none of them is a fault's
SHARES = np.concatenate([[0.0], np.geomspace(0.005, 0.2, 8)])  # of faults
LENGTHS = np.geomspace(0.5, 5.0, 10)  # of the normal tail, 1 = a Gaussian's
LONGER = 3.0  # a tail twice as long is 2^3 times less likely before the scores are seen
SHAPES = np.array([-0.2, 0.0, 0.2])  # a tail that ends, an exponential one, one of a power
EDGES = np.geomspace(3.0, 320.0, 12)  # of the faults above the start, in mean excesses of a Gaussian
POINTS = 100  # excesses looked at; more are thinned to their quantiles
ENOUGH = 100.0  # excesses that weigh as much as the model
FEWEST = 8  # scores with a body


def _gaussian_excess(share: float) -> tuple[float, float]:
    """Distance of a Gaussian's upper quantile from its median, and the mean excess over it."""
    normal = NormalDist()
    at = normal.inv_cdf(1.0 - share)
    return at, normal.pdf(at) / share - at


ABOVE = (TOP - SHARES) / (1.0 - SHARES)  # share of the normal records above the start
AT, EXCESS = np.array([_gaussian_excess(float(share)) for share in ABOVE]).T


@dataclass(frozen=True)
class ContaminatedTail:
    """What sorted scores (n,) say about their normal part; shares s, lengths l, shapes h and edges e of faults.

    ``start``: the score above which the tail begins; ``probability`` (s, l, h, e); ``scale`` (s, l, 1) of the Pareto tails;
    ``unit`` (s,) a Gaussian's mean excess.
    """

    known: Floats
    start: float
    unit: Floats
    scale: Floats
    probability: Floats

    @classmethod
    def fit(cls, known: Floats) -> ContaminatedTail | None:
        """From sorted finite scores; None where there is no body.

        That is where they are too few, or a quarter of them equal next to the median.
        """
        n = len(known)
        top = round(TOP * n)
        if n < FEWEST:
            return None
        start = float(known[n - top - 1])
        middle = np.interp(0.5 * (1.0 - SHARES) * (n - 1), np.arange(n), known)
        if not start - middle[0] > 1e-9 * max(1.0, abs(start)):
            return None
        unit = (start - middle) / AT * EXCESS
        scale = (unit[:, None] * LENGTHS)[:, :, None]
        farthest = float(known[-1] - start)
        excess = _thinned(known[n - top :] - start)
        weight = top / len(excess) * ENOUGH / (ENOUGH + top)
        prior = np.broadcast_to(-LONGER * np.log(LENGTHS)[:, None], (len(LENGTHS), len(SHAPES)))
        chance = np.empty((len(SHARES), len(LENGTHS), len(SHAPES), len(EDGES)))
        for i, share in enumerate(SHARES):
            tail, faulty = _densities(excess, farthest, unit[i], scale[i])
            told = np.log(_mixed(share, tail, faulty))
            before = CLEAN if share == 0.0 else (1.0 - CLEAN) / (len(SHARES) - 1)
            chance[i] = weight * told.sum(axis=0) + prior[:, :, None] + np.log(before)
        probability = np.exp(chance - chance.max())
        return cls(known, start, unit, scale, probability / probability.sum())

    @property
    def contamination(self) -> float:
        """Expected share of faults."""
        return float(self.probability.sum(axis=(1, 2, 3)) @ SHARES)

    @property
    def clean(self) -> float:
        """Probability that there is none."""
        return float(self.probability[0].sum())

    @cached_property
    def _tails(self) -> Floats:
        """(s, l, h) probability of each tail of normal records."""
        return np.asarray(self.probability.sum(axis=3))

    def survival(self, score: float) -> float:
        """Expected share of normal records above a score that is not below the start."""
        n = len(self.known)
        by_model = np.sum(self._tails * pareto.survival(score - self.start, self.scale, SHAPES), axis=(1, 2)) * ABOVE
        empirical = self.clean * (1.0 - self._rank(score) / (n + 1))
        weight = TOP * n / (TOP * n + ENOUGH)
        return float(by_model[1:].sum() + (1.0 - weight) * by_model[0] + weight * empirical)

    def _rank(self, score: float) -> float:
        """How many of the scores lie below one that is not below the start, between two of them linearly."""
        below = int(np.searchsorted(self.known, score, "right"))
        if below == len(self.known):
            return below + 1.0
        low, high = self.known[below - 1 : below + 1]
        return float(below + (score - low) / (high - low))

    def quantile(self, share: float) -> float:
        """The score that a share of the normal records is expected to exceed; it falls as the share grows."""
        most, n = self.survival(self.start), len(self.known)
        if share >= most:  # below the tail: the same share of the scores themselves
            return float(np.interp((1.0 - TOP) * (1.0 - share) / (1.0 - most) * (n - 1), np.arange(n), self.known))
        low, high = 0.0, float(self.unit.max())
        while self.survival(self.start + high) > share:
            low, high = high, 2.0 * high
        for _ in range(50):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self.survival(self.start + middle) > share else (low, middle)
        return self.start + high

    def interval(self, share: float, level: float = 0.9) -> tuple[float, float]:
        """Where that score lies with this probability."""
        ratio = np.minimum(share / ABOVE, 1.0)[:, None, None]
        reach = pareto.quantile(self.scale, SHAPES, ratio)
        order = np.argsort(reach, axis=None)
        grown = np.cumsum(self._tails.ravel()[order])
        low, high = (reach.ravel()[order][min(np.searchsorted(grown, p), len(grown) - 1)] for p in _ends(level))
        return self.start + float(low), self.start + float(high)

    @cached_property
    def faulty(self) -> Floats:
        """(n,) probability of each score to be a fault's, between the points that are looked at linearly."""
        top = round(TOP * len(self.known))
        excess = self.known[-top:] - self.start
        points = np.unique(np.append(_thinned(excess), excess[-1]))
        chance = np.zeros(len(points))
        for i, share in enumerate(SHARES):
            tail, faulty = _densities(points, excess[-1], self.unit[i], self.scale[i])
            odds = share / TOP * faulty[:, None, None, :] / _mixed(share, tail, faulty)
            chance += np.sum(self.probability[i] * odds, axis=(1, 2, 3))
        return np.append(np.zeros(len(self.known) - top), np.interp(excess, points, chance))


def _thinned(excess: Floats) -> Floats:
    """At most POINTS of the excesses, evenly spaced in rank."""
    top = len(excess)
    if top <= POINTS:
        return excess
    return np.asarray(np.interp((np.arange(POINTS) + 0.5) / POINTS * (top - 1), np.arange(top), excess))


def _densities(excess: Floats, farthest: float, unit: float, scale: Floats) -> tuple[Floats, Floats]:
    """Of excesses (m,) over the start: of normal tails (m, l, h), and of faults between each edge and the farthest (m, e)."""
    normal = pareto.density(excess[:, None, None], scale, SHAPES)
    edge = unit * EDGES
    width = np.log(np.maximum(farthest / edge, 2.0))
    inside = (excess[:, None] >= edge) & (excess[:, None] <= 1.001 * edge * np.exp(width))
    return normal, np.where(inside, 1.0 / (np.maximum(excess[:, None], 1e-300) * width), 0.0)


def _mixed(share: float, normal: Floats, faulty: Floats) -> Floats:
    """(m, l, h, e) density of the excesses with a share of faults among all scores."""
    part = share / TOP
    mixed = (1.0 - part) * normal[..., None] + part * faulty[:, None, None, :]
    return np.maximum(mixed, 1e-300)


def _ends(level: float) -> tuple[float, float]:
    return (1.0 - level) / 2.0, (1.0 + level) / 2.0
