"""A PyOD class behind fit, score and state: seeded, independent of the batch, and restored by refitting, not by a pickle."""

from __future__ import annotations

import inspect
import os
import pkgutil
import random
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import ConfigError, NotApplicableError, State
from vibro_plugins.stats.columns import BLOCK, FitRows

NOT_ALONE = {
    "combination": "it combines detectors; vibro's fusers do that",
    "featurebagging": "it combines detectors; vibro's fusers do that",
    "lscp": "it combines detectors; vibro's fusers do that",
    "suod": "it combines detectors; vibro's fusers do that",
    "devnet": "it learns from labels",
    "xgbod": "it learns from labels",
}
OWN = {"contamination": "vibro sets cuts by budgets", "random_state": "the seed comes from the run"}
QUIET = {"verbose": 0, "n_jobs": 1}
LEAVE_ONE_OUT = ("abod", "cof", "sod")  # compute training scores with the row left out, other scores without
PROBES = 3  # fit rows on which dependence on the batch is tested
BESIDE = 64  # fit rows in the batch of a record that cannot be scored alone


def find_class(model: str) -> type[Any]:
    """The detector class of PyOD with this name, any case; ConfigError if there is none that works alone."""
    import pyod.models

    key = model.lower().replace("_", "")
    if key in NOT_ALONE:
        raise ConfigError(f"PyOD's {model} is not offered: {NOT_ALONE[key]}")
    modules = {info.name.replace("_", ""): info.name for info in pkgutil.iter_modules(pyod.models.__path__)}
    if key in modules:
        try:
            module = import_module(f"pyod.models.{modules[key]}")
        except ImportError as error:
            raise ConfigError(f"PyOD's {model} cannot be imported: {error}") from None
        for name, cls in vars(module).items():
            if inspect.isclass(cls) and name.lower().replace("_", "") == key and hasattr(cls, "decision_function"):
                return cls
    raise ConfigError(f"PyOD has no detector {model!r}", hint="use its class name, such as ECOD, IForest or LOF")


def known_settings(parameters: Mapping[str, Any], settings: Mapping[str, Any], model: str) -> None:
    """ConfigError for a setting that is not among the parameters or that vibro owns."""
    for name in settings:
        if name in OWN:
            raise ConfigError(f"{model}: {name} is not set here: {OWN[name]}")
        if name not in parameters:
            known = ", ".join(sorted(set(parameters) - set(OWN) - {"self"}))
            raise ConfigError(f"{model}: unknown setting {name!r} (known: {known or 'none'})")


class Refitted:
    """One PyOD model and the rows it was fitted on; ``load_state`` fits it again, with the same seed, on the same rows."""

    def __init__(self, cls: type[Any], settings: Mapping[str, Any], seed: int) -> None:
        parameters = inspect.signature(cls.__init__).parameters
        known_settings(parameters, settings, cls.__name__)
        given = {name: value for name, value in QUIET.items() if name in parameters} | dict(settings)
        if "random_state" in parameters:
            given["random_state"] = seed
        self.cls, self.settings, self.seed = cls, given, seed
        self.needs_width = "n_features" in parameters

    def fit(self, rows: NDArray[np.float32]) -> None:
        """Fits on (n, p) and finds out which batch makes a record's score independent of other records."""
        self.rows = rows
        wide = rows.astype(np.float64)
        width = {"n_features": rows.shape[1]} if self.needs_width else {}
        with forked(self.seed):
            try:
                self.model = self.cls(**width, **self.settings)
            except (ValueError, TypeError) as error:
                raise ConfigError(f"PyOD's {self.cls.__name__} refuses its settings: {error}") from error
            try:
                self.model.fit(wide)
            except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
                raise NotApplicableError(
                    f"PyOD's {self.cls.__name__} cannot be fitted on {rows.shape} values: {error}"
                ) from error
        self._own = None
        if self.cls.__name__.lower() in LEAVE_ONE_OUT:
            self._own, order = FitRows.of(rows)
            self._own_scores = self.model.decision_scores_[order]
        self._beside = self._rows_beside(wide)

    @property
    def block(self) -> int:
        """Rows to be scored in one call."""
        return BLOCK if self._beside is None else 1

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, p) -> (n,), finite."""
        scores = self._decide(rows.astype(np.float64), self._beside)
        if self._own is not None:
            place = self._own.find(rows)
            scores = np.where(place < 0, scores, self._own_scores[place])
        return np.nan_to_num(scores, nan=0.0, posinf=1e300, neginf=-1e300)

    def state(self) -> State:
        """The fit rows."""
        return {"rows": self.rows}

    def load_state(self, state: State) -> None:
        """Fits again on the stored rows."""
        self.fit(state["rows"])

    def _rows_beside(self, wide: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """None: a batch is scored at once. Else each record is scored by itself, beside these fit rows (maybe none)."""
        together = self._tried(wide[:PROBES], None)
        for beside in (wide[:0], wide[-BESIDE:]):
            apart = self._tried(wide[:PROBES], beside)
            if together is not None and apart is not None and np.allclose(together, apart, rtol=1e-9, atol=0):
                return None
            if apart is not None and np.ptp(apart) > 0:
                return beside
        raise NotApplicableError(f"PyOD's {self.cls.__name__} gives a record no score of its own")

    def _tried(self, wide: NDArray[np.float64], beside: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        try:
            return self._decide(wide, beside)
        except (ValueError, IndexError, ArithmeticError):
            return None

    def _decide(self, wide: NDArray[np.float64], beside: NDArray[np.float64] | None) -> NDArray[np.float64]:
        if beside is None:
            return self._raw(wide)
        return np.array([self._raw(np.concatenate([beside, row[None]]))[-1] for row in wide])

    def _raw(self, wide: NDArray[np.float64]) -> NDArray[np.float64]:
        with forked(self.seed):
            return np.asarray(self.model.decision_function(wide), np.float64).ravel()


@contextmanager
def forked(seed: int) -> Iterator[None]:
    """Seeds the global generators of random, numpy and torch (where loaded), and restores them afterwards."""
    torch = sys.modules.get("torch")
    before = random.getstate(), np.random.get_state(), torch.get_rng_state() if torch else None
    hash_seed = os.environ.get("PYTHONHASHSEED")
    random.seed(seed)
    np.random.seed(seed)
    if torch:
        torch.manual_seed(seed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        if torch:
            torch.set_rng_state(before[2])
        if hash_seed is None:
            os.environ.pop("PYTHONHASHSEED", None)
        else:
            os.environ["PYTHONHASHSEED"] = hash_seed
