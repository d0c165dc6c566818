"""``EnsembleDetector``: an ensemble of vibro as an outlier detector of scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from vibro.context import Context, resolve_device
from vibro.core.engine import Engine
from vibro.core.planning import make_plan
from vibro.data import SignalBatch, make_batch
from vibro.errors import VibroError
from vibro.injection.fit import fit_ensemble
from vibro.runs.fit_rows import rows_to_fit
from vibro.runs.hosts import open_host
from vibro.runs.overrides import customise, find_ensemble
from vibro.scoring.thresholds import fuse

SHORT = 32  # samples; below, a row is a list of features rather than a signal
FEATURES: Mapping[str, Any] = {
    "summary": "detectors of scikit-learn on the values of a row as they are",
    "detectors": [
        {"use": "sklearn", "id": "ellipse", "model": "sklearn.covariance.EllipticEnvelope", "view": "raw"},
        {
            "use": "sklearn",
            "id": "forest",
            "model": "sklearn.ensemble.IsolationForest",
            "settings": {"n_estimators": 25},
            "view": "raw",
        },
    ],
    "fuser": {"use": "weighted_mean"},
    "thresholder": {"use": "quantile"},
}


class EnsembleDetector(OutlierMixin, BaseEstimator):
    """An ensemble on records of one sensor: rows of ``X`` (n, T), or (n, C, T) with C channels.

    ``fs``: sampling rate in Hz. ``ensemble``: a name or a TOML file; ``auto`` is ``quick``, or for rows of fewer than 32
    samples, which hold features rather than a signal, detectors of scikit-learn on the values themselves. ``budget``: wished
    share of false alarms, which sets ``offset_``. ``random_state``: the seed of the run. Every row is judged by itself:
    nothing is quarantined, and neither sensors nor times are known, for which there is ``vibro.fit``. Constant rows and
    other bad data are scored as they are.
    """

    def __init__(
        self,
        fs: float = 1.0,
        ensemble: str = "auto",
        budget: float = 0.01,
        device: str = "auto",
        random_state: int | None = 0,
    ) -> None:
        self.fs = fs
        self.ensemble = ensemble
        self.budget = budget
        self.device = device
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fits on X (n, T) or (n, C, T); ``y`` is ignored. ValueError for data that the ensemble cannot learn from."""
        x = validate_data(self, X, dtype="numeric", allow_nd=True, ensure_min_samples=2)
        if x.shape[-1] < 2:
            raise ValueError(
                f"X has {x.shape[-1]} feature(s): a record of one sample (n_features = 1) holds no vibration"
            )
        batch = self._batch(x)
        host = open_host(_warn)
        try:
            if self.ensemble == "auto" and x.shape[-1] < SHORT:
                name, table = "features", dict(FEATURES)
            else:
                name, table = find_ensemble(host.registry, "quick" if self.ensemble == "auto" else self.ensemble)
            plan = make_plan(host, name, customise(host, table, budget=self.budget))
            seed = 0 if self.random_state is None else int(self.random_state)
            engine = Engine(host, Context(seed=seed, device=resolve_device(self.device), fs=batch.fs))
            fitted, _, _ = fit_ensemble(engine, plan, batch, rows_to_fit(batch, None, "all")[0], trial=False)
        except VibroError as error:
            raise ValueError(f"{error} (n_samples = {len(x)})" + (f"; {error.hint}" if error.hint else "")) from error
        self.fitted_ = fitted
        self.ensemble_ = name
        self.offset_ = -fitted.cuts.alarm
        return self

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Minus the fused score (n,): lower = more abnormal, as everywhere in scikit-learn."""
        check_is_fitted(self)
        x = validate_data(self, X, dtype="numeric", allow_nd=True, reset=False)
        batch, fitted = self._batch(x), self.fitted_
        engine = Engine(open_host(_warn), Context(seed=fitted.seed, device=resolve_device(self.device), fs=batch.fs))
        return -fuse(engine.make_fuser(fitted), engine.score(fitted, batch).z)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """``score_samples`` minus ``offset_`` (n,): below 0 is an outlier."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """1 for a normal row, -1 for one beyond the alarm cut (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _batch(self, x: NDArray[Any]) -> SignalBatch:
        with np.errstate(over="ignore"):
            samples = x.astype(np.float32, copy=False)
        if not np.isfinite(samples).all():
            raise ValueError("X holds values beyond the range of float32 (infinity)")
        return make_batch(samples, fs=float(self.fs), sensor=[""] * len(samples))


def _warn(line: str) -> None:
    """Notes on plugins that are left out."""
    warnings.warn(line, stacklevel=3)
