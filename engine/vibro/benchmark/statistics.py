"""Is a difference more than noise: paired tests, Friedman and Nemenyi over data sets, Shapley values, Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REPEATS = 4000
EXACT = 12  # players or pairs up to which all subsets or all signs are enumerated
LEVEL = 0.05  # p below which a difference is more than noise
FEWEST = 6  # pairs of which a sign-flip test can fall below LEVEL


@dataclass(frozen=True)
class Difference:
    """Mean of a - b with its 95 % interval and the two-sided p-value that it is 0.

    ``sets`` data sets say so. Interval and p are NaN where nothing could be drawn anew: one data set whose draws are
    one, or all alike. With one data set they are over its draws and say nothing about other data.
    """

    mean: float
    low: float
    high: float
    p: float
    sets: int


def paired_difference(
    a: Sequence[Floats], b: Sequence[Floats], rng: np.random.Generator, sets: Sequence[Hashable] | None = None
) -> Difference:
    """mean(a - b) over data sets, its interval and its p-value.

    ``a`` and ``b`` hold one array of paired draws per block, ``sets`` the data set of each block (default: each its own).
    The interval is a bootstrap in two stages, data sets and then the draws within each, with percentiles expanded to
    what a t interval over as few would reach (Hesterberg, The American Statistician 69, 2015). It cannot reach beyond the
    largest and smallest difference, so with fewer than ``FEWEST`` it is too narrow, and the p-value, that of ``sign_flip``,
    says so. Both are over the data sets, or the draws of the only one.
    """
    difference = [np.asarray(x) - np.asarray(y) for x, y in zip(a, b, strict=True)]
    units = [d[np.isfinite(d)] for d in by_data_set(difference, range(len(difference)) if sets is None else sets)]
    units = [d for d in units if len(d)]
    nan = float("nan")
    if not units:
        return Difference(nan, nan, nan, nan, 0)
    means = np.array([d.mean() for d in units])
    observed = float(means.mean())
    if len(units) == 1 and np.ptp(units[0]) == 0:
        return Difference(observed, nan, nan, nan, 1)
    independent = means if len(units) > 1 else units[0]
    inner = np.stack([d[rng.integers(len(d), size=(REPEATS, len(d)))].mean(axis=1) for d in units])
    chosen = rng.integers(len(units), size=(REPEATS, len(units)))
    drawn = inner[chosen, np.arange(REPEATS)[:, None]].mean(axis=1)
    tail = _expanded_tail(len(independent))
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Difference(observed, float(low), float(high), sign_flip(independent, rng), len(units))


def sign_flip(values: Floats, rng: np.random.Generator) -> float:
    """Two-sided p of mean 0 for independent values (k,), symmetric about it: the share of sign patterns as extreme.

    All 2^k patterns up to 12 values, so never below 2 / 2^k; beyond, ``REPEATS`` random ones and the observed. Sums
    that differ by rounding only count as equal. Source: Fisher, The Design of Experiments, 1935; Good, Permutation,
    Parametric and Bootstrap Tests of Hypotheses, 2005.
    """
    k = len(values)
    if k <= EXACT:
        signs = 1 - 2 * (np.arange(2**k)[:, None] >> np.arange(k) & 1)  # the first is the observed one
    else:
        signs = np.concatenate([np.ones((1, k), np.int64), rng.choice((-1, 1), size=(REPEATS, k))])
    rounding = 1e-9 * np.abs(values).sum()
    return float((np.abs(signs @ values) >= abs(values.sum()) - rounding).mean())


def _expanded_tail(k: int) -> float:
    """Phi(-sqrt(k / (k - 1)) t), t the 97.5 % point of k - 1 degrees of freedom: the bootstrap's level for a 2.5 % tail."""
    from scipy.special import ndtr, stdtrit

    return float(ndtr(-np.sqrt(k / (k - 1)) * stdtrit(k - 1, 0.975)))


def by_data_set(blocks: Sequence[Floats], sets: Iterable[Hashable]) -> list[Floats]:
    """Per data set and draw the mean over its blocks, because blocks of one set share records and count as one.

    ``blocks`` hold an array (draws,) each, those of one set equally many; NaN where a draw has no value.
    """
    found: dict[Hashable, list[Floats]] = {}
    for block, name in zip(blocks, sets, strict=True):
        found.setdefault(name, []).append(block)
    return [_nanmean(np.stack(many)) for many in found.values()]


def overall(draws: Iterable[Floats]) -> float | None:
    """Mean over data sets, of each over the draws that have a value; None where there is none."""
    known = [float(np.nanmean(v)) for v in draws if np.isfinite(v).any()]
    return float(np.mean(known)) if known else None


def _nanmean(values: Floats) -> Floats:
    known = np.isfinite(values)
    total, count = np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


@dataclass(frozen=True)
class Ranking:
    """Friedman's test of k treatments over n blocks and Nemenyi's critical difference of mean ranks (1 = best)."""

    names: tuple[str, ...]
    ranks: tuple[float, ...]
    blocks: int
    statistic: float
    p: float
    critical_difference: float

    @property
    def cliques(self) -> list[list[str]]:
        """Largest groups of neighbours in rank whose mean ranks differ by less than the critical difference."""
        order = sorted(range(len(self.names)), key=lambda i: self.ranks[i])
        found: list[list[int]] = []
        for i in range(len(order)):
            j = i
            while j + 1 < len(order) and self.ranks[order[j + 1]] - self.ranks[order[i]] < self.critical_difference:
                j += 1
            if j > i and not (found and set(order[i : j + 1]) <= set(found[-1])):
                found.append(order[i : j + 1])
        return [[self.names[i] for i in clique] for clique in found]


def friedman(values: Floats, names: Sequence[str], alpha: float = 0.05) -> Ranking | None:
    """Of values (n blocks, k treatments), larger = better, with the F statistic of Iman and Davenport (1980).

    Blocks with a missing value are left out; None with fewer than two blocks or three treatments. The p-value is never
    below the chance that all blocks rank alike. Source: Demsar, JMLR 7, 2006.
    """
    from scipy.stats import f, studentized_range

    values = values[np.isfinite(values).all(axis=1)]
    n, k = values.shape
    if n < 2 or k < 3:
        return None
    ranks = np.stack([_ranks(-row) for row in values])
    mean = ranks.mean(axis=0)
    chi = 12 * n / (k * (k + 1)) * float(((mean - (k + 1) / 2) ** 2).sum())
    rest = n * (k - 1) - chi
    statistic = (n - 1) * chi / rest if rest > 0 else float("inf")
    p = max(float(f.sf(statistic, k - 1, (k - 1) * (n - 1))), float(factorial(k)) ** (1 - n))
    q = float(studentized_range.ppf(1 - alpha, k, np.inf)) / np.sqrt(2)
    cd = q * np.sqrt(k * (k + 1) / (6 * n))
    return Ranking(tuple(names), tuple(map(float, mean)), n, float(statistic), p, float(cd))


def _ranks(row: Floats) -> Floats:
    from vibro.benchmark.metrics import midranks

    return midranks(row)


def shapley(players: int, value: Callable[[list[tuple[int, ...]]], Floats], empty: float, seed: int = 0) -> Floats:
    """(players,) mean marginal gain of each player over all orders of joining; they sum to value(all) - ``empty``.

    ``value`` maps many sets of players at once to figures. Exact up to 12 players, else over 200 random orders
    (Shapley 1953; sampling by Castro, Gomez and Tejada, Computers & Operations Research 36, 2009).
    """
    if players == 0:
        return np.zeros(0)
    if players <= EXACT:
        return _exact_shapley(players, value, empty)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(players) for _ in range(200)]
    wanted = {tuple(sorted(map(int, order[: i + 1]))) for order in orders for i in range(players)}
    sets = sorted(wanted)
    known = dict(zip(sets, value(sets), strict=True)) | {(): empty}
    gain = np.zeros(players)
    for order in orders:
        before = empty
        for i, player in enumerate(order):
            after = known[tuple(sorted(map(int, order[: i + 1])))]
            gain[player] += after - before
            before = after
    return gain / len(orders)


def _exact_shapley(players: int, value: Callable[[list[tuple[int, ...]]], Floats], empty: float) -> Floats:
    sets = [tuple(j for j in range(players) if code >> j & 1) for code in range(1, 2**players)]
    v = np.concatenate([[empty], value(sets)])
    gain = np.zeros(players)
    codes = np.arange(2**players)
    size = np.array([code.bit_count() for code in range(2**players)])
    share = np.array([factorial(s) * factorial(players - s - 1) / factorial(players) for s in range(players)])
    for j in range(players):
        without = codes[(codes >> j & 1) == 0]
        gain[j] = (share[size[without]] * (v[without | (1 << j)] - v[without])).sum()
    return gain


def pareto(cost: Floats, gain: Floats) -> NDArray[np.bool_]:
    """(m,) rows that no other row beats in both: cheaper or equal and better or equal, one of them strictly."""
    order = np.lexsort((-gain, cost))
    front = np.zeros(len(cost), np.bool_)
    best = -np.inf
    for i in order:
        if np.isfinite(gain[i]) and gain[i] > best:
            front[i], best = True, gain[i]
    return front
