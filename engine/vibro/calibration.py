"""Makes the scores of every detector comparable: location and scale per detector and sensor, frozen at fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.errors import ConfigError

METHODS = ("robust", "z", "ecdf", "unify")
SHRINKAGE = 50  # reference rows at which a sensor's own statistic weighs as much as the pool's
KNOTS = 1025  # points of the stored distribution of ``ecdf``
TAIL = 20  # largest reference scores that make the generalised-Pareto tail of ``ecdf``, within 2 and 10 % of them
CHUNK = 8_192  # rows worked on at a time

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Turns raw scores into z by what the held-out reference looked like, never by the batch being scored.

    ``robust``: (s - median) / (1.4826 MAD). ``z``: (s - mean) / sd, the documented baseline. ``ecdf``: ``robust``,
    then through the pooled empirical distribution with a generalised-Pareto upper tail to the normal quantile.
    ``unify``: max(0, erf(z / sqrt 2)), the Gaussian scaling of Kriegel, Kroeger, Schubert and Zimek, SDM 2011; it lies
    in [0, 1] and saturates, so that the order of extremes is lost. All are clipped to ``clip``.

    ``arrays``: ``location`` and ``scale`` (sensors + 1, d) with the pool as the last row, which the code -1 of an
    unknown sensor reaches; ``count`` (sensors + 1,) reference rows; for ``ecdf`` also ``knots`` and ``quantiles`` (k, d)
    and ``tail`` (4, d).
    """

    method: str
    clip: tuple[float, float]
    arrays: State

    @classmethod
    def fit(
        cls,
        reference: Floats,
        sensor: NDArray[np.int32],
        sensors: int,
        method: str = "robust",
        clip: tuple[float, float] = (-5.0, 30.0),
    ) -> Calibration:
        """From held-out scores (r, d), NaN where a detector has none, and sensor codes (r,), -1 = unknown.

        A sensor's location weighs n / (n + 50) against the pool's, n its rows with a score; its scale likewise against
        the spread of all rows about their own sensors' locations. A column without any score stays NaN.
        """
        if method not in METHODS:
            raise ConfigError(f"unknown calibration {method!r}", hint=f"known: {', '.join(METHODS)}")
        if not clip[0] < clip[1]:
            raise ConfigError(f"calibration clip {list(clip)} is not an interval")
        reference = np.asarray(reference, dtype=np.float64)
        if reference.ndim != 2 or len(reference) != len(sensor):
            raise ConfigError(f"reference {reference.shape} does not fit {len(sensor)} sensor codes")
        d = reference.shape[1]
        location = np.full((sensors + 1, d), np.nan)
        scale = np.full((sensors + 1, d), np.nan)
        for j in range(d):
            location[:, j], scale[:, j] = _standard(reference[:, j], sensor, sensors, method in ("robust", "ecdf"))
        seen = np.isfinite(reference).any(axis=1)
        count = np.append(np.bincount(sensor[seen & (sensor >= 0)], minlength=sensors), seen.sum()).astype(np.int64)
        arrays: State = {"location": location, "scale": scale, "count": count}
        if method == "ecdf":
            arrays |= _distribution((reference - location[sensor]) / scale[sensor])
        return cls(method, (float(clip[0]), float(clip[1])), arrays)

    def apply(self, raw: Floats, sensor: NDArray[np.int32]) -> Floats:
        """(n, d) raw scores and (n,) sensor codes, -1 = unknown, to z (n, d); NaN stays NaN, +-inf meets the clip."""
        location, scale = self.arrays["location"], self.arrays["scale"]
        z = np.empty(raw.shape, np.float64)
        for start in range(0, len(raw), CHUNK):
            rows = slice(start, start + CHUNK)
            part = np.subtract(raw[rows], location[sensor[rows]], out=z[rows])
            part /= scale[sensor[rows]]
            if self.method == "ecdf":
                self._to_normal(part)
            elif self.method == "unify":
                from scipy.special import erf

                np.maximum(erf(part / np.sqrt(2.0)), 0.0, out=part)
            np.clip(part, *self.clip, out=part)
        return z

    def _to_normal(self, part: Floats) -> None:
        """In place: standardised scores to the normal quantiles of their rank in the reference."""
        from scipy.special import ndtri

        knots, quantiles, tail = self.arrays["knots"], self.arrays["quantiles"], self.arrays["tail"]
        for j in range(part.shape[1]):
            column = part[:, j].copy()
            share, start, sigma, shape = tail[:, j]
            part[:, j] = np.interp(column, knots[:, j], quantiles[:, j])
            above = column > start
            excess = (column[above] - start) / sigma
            logp = -excess if shape < 1e-6 else -np.log1p(shape * excess) / shape
            part[above, j] = -ndtri(np.maximum(share * np.exp(logp), 1e-300))
            part[np.isnan(column), j] = np.nan

    def own(self) -> NDArray[np.bool_]:
        """(sensors,) whether a sensor's own reference rows weigh at least as much as the pool."""
        return np.asarray(self.arrays["count"][:-1] >= SHRINKAGE)

    def state(self) -> State:
        """The plain arrays."""
        return dict(self.arrays)

    @classmethod
    def from_state(cls, method: str, clip: tuple[float, float], arrays: State) -> Calibration:
        """What ``state`` gave, with its method and clip."""
        return cls(method, (float(clip[0]), float(clip[1])), dict(arrays))


def _standard(score: Floats, sensor: NDArray[np.int32], sensors: int, robust: bool) -> tuple[Floats, Floats]:
    """Location and scale of one detector for every sensor and, last, the pool."""
    location, scale = np.full(sensors + 1, np.nan), np.full(sensors + 1, np.nan)
    centre = np.median if robust else np.mean
    known = np.isfinite(score)
    score, sensor = score[known], sensor[known]
    if not len(score):
        return location, scale
    location[-1], scale[-1] = centre(score), _spread(score, robust)
    rows = [np.flatnonzero(sensor == s) for s in range(sensors)]
    weight = np.array([len(mine) / (len(mine) + SHRINKAGE) for mine in rows])
    own = np.array([centre(score[mine]) if len(mine) else 0.0 for mine in rows])
    location[:-1] = weight * own + (1.0 - weight) * location[-1]
    within = _spread(score - location[sensor], robust)
    for s, mine in enumerate(rows):
        spread = _spread(score[mine], robust) if len(mine) > 1 else within
        scale[s] = weight[s] * spread + (1.0 - weight[s]) * within
    return location, scale


def _spread(score: Floats, robust: bool) -> float:
    """1.4826 MAD, or where that is nothing IQR / 1.349, or the standard deviation, or next to nothing."""
    centre = float(np.median(score))
    tiny = 1e-9 * abs(centre) + 1e-12
    if robust:
        low, high = np.quantile(score, (0.25, 0.75))
        for spread in (1.4826 * np.median(np.abs(score - centre)), (high - low) / 1.349):
            if spread > tiny:
                return float(spread)
    return max(float(np.std(score)), tiny)


def _distribution(z: Floats) -> State:
    """Knots of each column's empirical distribution and its tail: share, start, scale, shape >= 0 (it never ends)."""
    from scipy.special import ndtri

    d = z.shape[1]
    level = np.linspace(0.0, 1.0, KNOTS)
    knots, quantiles, tail = np.full((KNOTS, d), np.nan), np.full((KNOTS, d), np.nan), np.full((4, d), np.nan)
    for j in range(d):
        known = np.sort(z[np.isfinite(z[:, j]), j])
        if not len(known):
            continue
        knots[:, j] = np.quantile(known, level)
        share = min(max(TAIL / len(known), 0.02), 0.1)
        middle = np.searchsorted(known, knots[:, j], "left") + np.searchsorted(known, knots[:, j], "right")
        quantiles[:, j] = ndtri(np.clip(middle / (2 * len(known)), 0.5 / len(known), 1.0 - share))
        start = np.quantile(known, 1.0 - share)
        tail[:, j] = share, start, *_pareto(known[known > start] - start)
    return {"knots": knots, "quantiles": quantiles, "tail": tail}


def _pareto(excess: Floats) -> tuple[float, float]:
    """Scale and shape in [0, 0.5] of sorted excesses by their weighted moments (Hosking and Wallis, Technometrics 1987)."""
    n = len(excess)
    if n == 0:
        return 1.0, 0.0
    mean = float(excess.mean())
    lower = float(np.mean((1.0 - (np.arange(n) + 0.65) / n) * excess))
    shape = 2.0 - mean / max(mean - 2.0 * lower, 1e-12)
    shape = float(np.clip(shape, 0.0, 0.5))
    return max(mean * (1.0 - shape), 1e-12), shape
