"""Makes the scores of every detector comparable: what load explains, location and scale per sensor, frozen at fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro.api import Params, State
from vibro.errors import ConfigError
from vibro.scoring.domain import Domain
from vibro.scoring.growth import growth_of
from vibro.scoring.pareto import _pareto
from vibro.scoring.regression import FEWEST, Basis, Regression, group_rows, sensor_rows

METHODS = ("robust", "z", "ecdf")
LINEAR = 10.0  # robust deviations up to which z is left as it is
SHRINKAGE = 50  # reference rows at which a sensor's own statistic weighs as much as the pool's
KNOTS = 1025  # points of the stored distribution of ``ecdf``
TAIL = 20  # largest reference scores that make the generalised-Pareto tail of ``ecdf``, within 2 and 10 % of them
CHUNK = 8_192  # rows worked on at a time
REGRESSION_SHRINKAGE = (
    50.0  # rows that the pooled regression counts for, so that few rows of a sensor are not their own norm
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Turns raw scores into z by what the held-out reference looked like, never by the batch being scored.

    First, where all covariates of a record are known, what they explain of a score is taken out
    (``vibro.scoring.regression.Regression``): a detector that does not see the load ranks heavy load as a fault. A record
    without them is compared with the reference as it is. What is left is divided by the square root of 1 + ``growth`` times
    the rarity of the state: where states were seldom seen, normal scores lie farther out (``vibro.scoring.growth``).

    Then ``robust``: (s - median) / (1.4826 MAD). ``z``: (s - mean) / sd, the documented baseline. ``ecdf``: ``robust``, then
    through the pooled empirical distribution with a generalised-Pareto upper tail to the normal quantile. What lies beyond
    +-``linear`` is then compressed, never cut off, so that no two scores become equal and no single detector can outvote all
    others.

    ``arrays``: ``location`` and ``scale`` (sensors + 1, d) with the pool as the last row, which the code -1 of an
    unknown sensor reaches; ``count`` (sensors + 1,) reference rows; for ``ecdf`` also ``knots`` and ``quantiles`` (k, d)
    and ``tail`` (4, d). With groups: ``alike`` (sensors,). With covariates: ``columns``, those that half of the reference
    has, the arrays of the regression, ``left_location`` and ``left_scale`` of what it leaves, and ``growth`` (d,).
    ``domain``: the states of the fit rows.
    """

    method: str
    linear: float
    arrays: State
    domain: Domain

    @classmethod
    def fit(
        cls,
        reference: Floats,
        sensor: NDArray[np.int32],
        sensors: int,
        method: str = "robust",
        linear: float = LINEAR,
        covariates: NDArray[np.floating] | None = None,
        alike: NDArray[np.int32] | None = None,
    ) -> tuple[Calibration, Floats]:
        """From held-out scores (r, d), NaN where a detector has none, sensor codes (r,), -1 = unknown, covariates (r, k).

        Also gives the reference's own z (r, d), measured as if each row had been left out of the regression. A sensor's
        location weighs n / (n + 50) against the pool's, n its rows with a score; its scale likewise against the spread of
        all rows about their own sensors' locations. A column without any score stays NaN. ``alike`` (sensors,): the group
        of like sensors of each, -1 = none; the pool of its sensors is the group, where that has 20 scores or more.
        """
        if method not in METHODS:
            raise ConfigError(f"unknown calibration {method!r}", hint=f"known: {', '.join(METHODS)}")
        reference = np.asarray(reference, dtype=np.float64)
        if reference.ndim != 2 or len(reference) != len(sensor):
            raise ConfigError(f"reference {reference.shape} does not fit {len(sensor)} sensor codes")
        robust = method in ("robust", "ecdf")
        location, scale = _standards(reference, sensor, sensors, robust, alike)
        seen = np.isfinite(reference).any(axis=1)
        count = np.append(np.bincount(sensor[seen & (sensor >= 0)], minlength=sensors), seen.sum()).astype(np.int64)
        arrays: State = {"location": location, "scale": scale, "count": count}
        if alike is not None:
            arrays["alike"] = alike
        unit = (reference - location[sensor]) / scale[sensor]
        given = np.zeros((len(reference), 0)) if covariates is None else np.asarray(covariates, np.float64)
        domain = Domain.fit(given, sensor, sensors)
        columns = np.flatnonzero(np.isfinite(given).mean(axis=0) >= 0.5) if len(given) else np.zeros(0, np.intp)
        rows = np.flatnonzero(np.isfinite(given[:, columns]).all(axis=1)) if len(columns) else np.zeros(0, np.intp)
        if len(rows) >= FEWEST:
            regression, left = _explained(unit[rows], given[np.ix_(rows, columns)], sensor[rows], sensors)
            within = np.median(scale[sensor], axis=0)  # what an unknown sensor varies by itself
            in_raw = regression.coefficients * np.concatenate([scale[:-1], within[None]])[:, None]
            left = left * scale[sensor[rows]] + location[sensor[rows]]
            location, scale = _standards(left, sensor[rows], sensors, robust, alike)
            left, rarity = left - location[sensor[rows]], domain.rarity(given[rows], sensor[rows], fitted=True)
            growth = growth_of(left / scale[sensor[rows]], rarity)
            left /= np.sqrt(1.0 + rarity[:, None] * growth)
            _, scale = _standards(left, sensor[rows], sensors, robust, alike)
            unit[rows] = left / scale[sensor[rows]]
            arrays |= {"columns": columns, "left_location": location, "left_scale": scale, "growth": growth}
            arrays |= Regression(regression.basis, in_raw).state()
        if method == "ecdf":
            arrays |= _distribution(unit)
        fitted = cls(method, float(linear), arrays, domain)
        return fitted, fitted._transform(unit)

    def apply(self, raw: Floats, sensor: NDArray[np.int32], covariates: NDArray[np.floating] | None = None) -> Floats:
        """(n, d) raw scores, (n,) sensor codes, -1 = unknown, and (n, k) covariates to z (n, d).

        NaN stays NaN, +-inf becomes finite.
        """
        z = np.empty(raw.shape, np.float64)
        for start in range(0, len(raw), CHUNK):
            rows = slice(start, start + CHUNK)
            mine = sensor[rows]
            part = np.subtract(raw[rows], self.arrays["location"][mine], out=z[rows])
            part /= self.arrays["scale"][mine]
            if covariates is not None:
                self._explain(part, raw[rows], mine, covariates[rows])
            self._transform(part)
        return z

    def _explain(self, part: Floats, raw: Floats, sensor: NDArray[np.int32], covariates: NDArray[np.floating]) -> None:
        """In place: rows whose covariates are known, without what those explain of the raw scores."""
        regression = Regression.load(self.arrays)
        if regression is None:
            return
        given = np.asarray(covariates, np.float64)[:, self.arrays["columns"]]
        rows = np.flatnonzero(np.isfinite(given).all(axis=1))
        mine = sensor[rows]
        left = regression.residual(raw[rows], given[rows], mine) - self.arrays["left_location"][mine]
        part[rows] = left / (self.arrays["left_scale"][mine] * self._wider(covariates[rows], mine))

    def _wider(self, covariates: NDArray[np.floating], sensor: NDArray[np.int32]) -> Floats:
        """(n, d) how many times as wide as in the usual state normal scores are."""
        return np.sqrt(1.0 + self.domain.rarity(covariates, sensor)[:, None] * self.arrays["growth"])

    def _transform(self, part: Floats) -> Floats:
        """In place: standardised scores by the method's curve, compressed far out."""
        if self.method == "ecdf":
            self._to_normal(part)
        part[...] = compressed(part, self.linear)
        return part

    def _to_normal(self, part: Floats) -> None:
        """In place: standardised scores to the normal quantiles of their rank in the reference."""
        from scipy.special import ndtri_exp

        knots, quantiles, tail = self.arrays["knots"], self.arrays["quantiles"], self.arrays["tail"]
        for j in range(part.shape[1]):
            column = part[:, j].copy()
            share, start, sigma, shape = tail[:, j]
            part[:, j] = np.interp(column, knots[:, j], quantiles[:, j])
            above = column > start
            excess = (np.minimum(column[above], 1e300) - start) / max(sigma, 1e-6)
            logp = -excess if shape < 1e-6 else -np.log1p(shape * excess) / shape
            part[above, j] = -ndtri_exp(np.log(share) + logp)
            part[np.isnan(column), j] = np.nan

    def baselines(self) -> NDArray[np.str_]:
        """(sensors,) ``own`` where its own reference rows weigh at least as much as its pool, else ``group`` or ``pooled``."""
        grouped = self.arrays.get("alike", np.array(-1)) >= 0
        return np.where(self.arrays["count"][:-1] >= SHRINKAGE, "own", np.where(grouped, "group", "pooled"))

    def accepted(self, code: int, raw: Floats, covariates: NDArray[np.floating]) -> Calibration:
        """The same with a new baseline of one sensor: location and scale of its raw scores (r, d), covariates (r, k).

        The location is that of these rows alone, for the user has said that they are normal; the scale weighs r / (r + 50)
        against the one before. What covariates explain of a score stays as it was.
        """
        arrays = {name: array.copy() for name, array in self.arrays.items()}
        sensor = np.full(len(raw), code, np.int32)
        _accept(arrays, "", raw, np.ones_like(raw), code, self.method != "z")
        regression = Regression.load(self.arrays)
        if regression is not None:
            given = np.asarray(covariates, np.float64)[:, self.arrays["columns"]]
            rows = np.flatnonzero(np.isfinite(given).all(axis=1))
            left = regression.residual(raw[rows], given[rows], sensor[rows])
            _accept(arrays, "left_", left, self._wider(covariates[rows], sensor[rows]), code, self.method != "z")
        arrays["count"][code] = len(raw)
        return replace(self, arrays=arrays)

    def widened(self, factor: Floats, columns: NDArray[np.intp]) -> Calibration:
        """The same with scales that are ``factor`` (d,) times as wide, where that is more; for records without ``columns``."""
        factor = np.where(np.isfinite(factor), np.maximum(factor, 1.0), 1.0)
        return replace(self, arrays={**self.arrays, "scale": self.arrays["scale"] * factor, "columns": columns})

    def state(self) -> State:
        """The plain arrays."""
        return dict(self.arrays)

    @classmethod
    def from_state(cls, method: str, linear: float, arrays: State, domain: Domain) -> Calibration:
        """What ``state`` gave, with its method, the limit of its linear part, and the states of the fit rows."""
        return cls(method, float(linear), dict(arrays), domain)


def _accept(arrays: State, prefix: str, raw: Floats, wider: Floats, code: int, robust: bool) -> None:
    """In place: location and scale of one sensor from these scores (r, d), ``wider`` (r, d) times as wide as usual ones.

    A column without any stays as it was.
    """
    location, scale = arrays[f"{prefix}location"], arrays[f"{prefix}scale"]
    for j, column in enumerate(raw.T):
        known = np.isfinite(column)
        if known.sum() > 1:
            weight = known.sum() / (known.sum() + SHRINKAGE)
            location[code, j] = np.median(column[known]) if robust else np.mean(column[known])
            spread = _scale((column[known] - location[code, j]) / wider[known, j], robust)
            scale[code, j] = weight * spread + (1.0 - weight) * scale[code, j]


def compressed(z: Floats, linear: float = LINEAR) -> Floats:
    """z as it is up to +-``linear``, beyond it linear + linear asinh((abs(z) - linear) / linear) with the sign of z.

    Slope and curvature are the same on both sides of the join; the order of scores stays, and infinite ones become finite.
    """
    size = np.minimum(np.abs(z), 1e300)
    return np.asarray(np.where(size > linear, np.sign(z) * linear * (1.0 + np.arcsinh(size / linear - 1.0)), z))


def _explained(unit: Floats, covariates: Floats, sensor: NDArray[np.int32], sensors: int) -> tuple[Regression, Floats]:
    """The regression of standardised scores (r, d) on the covariates (r, k), without its constants, and what it leaves.

    Each score is explained by the rows that have it. The constants are left to the locations, which trust few rows less.
    """
    known = np.isfinite(unit)
    fewest = min((n for n in known.sum(axis=0) if n >= FEWEST), default=0)
    basis = Basis.fit(covariates, sensor, fewest)
    left = np.where(known, unit, np.nan)
    coefficients = np.zeros((sensors + 1, basis.design(covariates[:1], sensor[:1]).shape[1], unit.shape[1]))
    masks, group = np.unique(known, axis=1, return_inverse=True)
    for g, mask in enumerate(masks.T):
        rows, columns = np.flatnonzero(mask), np.flatnonzero(group.ravel() == g)
        found = Regression.fit(
            unit[np.ix_(rows, columns)], covariates[rows], sensor[rows], sensors, REGRESSION_SHRINKAGE, basis
        )
        if found is not None:
            regression, residual, _ = found
            left[np.ix_(rows, columns)] = residual + regression.coefficients[sensor[rows], 0]
            coefficients[:, 1:, columns] = regression.coefficients[:, 1:]
    return Regression(basis, coefficients), left


def _standards(
    reference: Floats, sensor: NDArray[np.int32], sensors: int, robust: bool, alike: NDArray[np.int32] | None
) -> tuple[Floats, Floats]:
    """Location and scale (sensors + 1, d) of every detector."""
    columns = [_standard_of_groups(column, sensor, sensors, robust, alike) for column in reference.T]
    both = np.array(columns).reshape(-1, 2, sensors + 1)
    return both[:, 0].T.copy(), both[:, 1].T.copy()


def _standard_of_groups(
    score: Floats, sensor: NDArray[np.int32], sensors: int, robust: bool, alike: NDArray[np.int32] | None
) -> tuple[Floats, Floats]:
    """Location and scale of one detector, those of the sensors of a group from its rows alone."""
    location, scale = _standard(score, sensor, sensors, robust)
    if alike is not None:
        known = np.isfinite(score)
        score, sensor = score[known], sensor[known]
        for g, rows in group_rows(np.append(alike, -1)[sensor]):
            members = np.flatnonzero(alike == g)
            own = _standard(score[rows], np.searchsorted(members, sensor[rows]).astype(np.int32), len(members), robust)
            location[members], scale[members] = own[0][:-1], own[1][:-1]
    return location, scale


def _standard(score: Floats, sensor: NDArray[np.int32], sensors: int, robust: bool) -> tuple[Floats, Floats]:
    """Location and scale of one detector for every sensor and, last, the pool."""
    location, scale = np.full(sensors + 1, np.nan), np.full(sensors + 1, np.nan)
    centre = np.median if robust else np.mean
    known = np.isfinite(score)
    score, sensor = score[known], sensor[known]
    if not len(score):
        return location, scale
    location[-1], scale[-1] = centre(score), _scale(score, robust)
    rows = sensor_rows(sensor, sensors)
    weight = np.array([len(mine) / (len(mine) + SHRINKAGE) for mine in rows])
    own = np.array([centre(score[mine]) if len(mine) else 0.0 for mine in rows])
    location[:-1] = weight * own + (1.0 - weight) * location[-1]
    within = _scale(score - location[sensor], robust)
    for s, mine in enumerate(rows):
        own_scale = _scale(score[mine], robust) if len(mine) > 1 else within
        scale[s] = weight[s] * own_scale + (1.0 - weight[s]) * within
    return location, scale


def _scale(score: Floats, robust: bool) -> float:
    """1.4826 MAD, or where that is nothing IQR / 1.349, or the standard deviation, or next to nothing."""
    centre = float(np.median(score))
    tiny = 1e-9 * abs(centre) + 1e-12
    if robust:
        low, high = np.quantile(score, (0.25, 0.75))
        for scale in (1.4826 * np.median(np.abs(score - centre)), (high - low) / 1.349):
            if scale > tiny:
                return float(scale)
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


@dataclass(frozen=True)
class CalibrationEntry(Params):
    """How raw scores become z: method, from where on z is compressed, and whether all detectors are held out.

    ``on``: ``auto`` cross-fits cheap detectors.
    """

    method: Literal["robust", "z", "ecdf"] = "robust"
    linear: Annotated[float, Field(gt=0, allow_inf_nan=False)] = LINEAR
    on: Literal["auto", "held-out"] = "auto"


def median(z: Floats) -> Floats:
    """(n,) median over the detectors that gave a score; NaN without any."""
    some = np.isfinite(z).any(axis=1)
    middle = np.full(len(z), np.nan)
    middle[some] = np.nanmedian(z[some], axis=1)
    return middle
