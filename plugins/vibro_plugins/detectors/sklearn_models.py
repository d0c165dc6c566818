"""Any outlier detector or density of scikit-learn: ``{ use = "sklearn", model = "sklearn.ensemble.IsolationForest" }``."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import distribution, packages_distributions
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import ConfigError, Detector, Exported, NotApplicableError, NotFittedError, Params, State
from vibro_plugins.stats.columns import Columns, in_blocks, one_thread

FIXED = {"novelty": True, "n_jobs": 1, "verbose": 0}  # what scoring other records needs, and what a run is to be
SEED = "random_state"


@dataclass(frozen=True)
class SklearnParams(Params):
    """Settings of ``sklearn``.

    ``model``: path of a class of scikit-learn, or of an installed package that depends on it
    ``settings``: parameters of that class, as plain values; the seed comes from the run
    """

    model: str = "sklearn.ensemble.IsolationForest"
    settings: dict[str, Any] = field(default_factory=dict)


class Sklearn(Detector):
    """An outlier detector or density estimator that follows scikit-learn, on standardised columns of a vector view.

    score = -score_samples(x), or -decision_function(x) where there is none. A class counts if it is an ``OutlierMixin`` with
    one of these, or an estimator with ``score_samples`` (densities). The state holds the fit rows and the model is fitted on
    them again, with the same seed, when it is loaded: nothing is unpickled. No other class is called: a package that
    neither is scikit-learn nor depends on it is not even imported. A fit row is scored as any other, to which a model that
    stores its rows (LocalOutlierFactor) is a little kind; ``pyod``'s KNN and LOF leave the row itself out.
    """

    name = "sklearn"
    summary = (
        "any detector that follows scikit-learn, by its class path: IsolationForest, OneClassSVM, KernelDensity ..."
    )
    Params = SklearnParams
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "mains"}
    requires = ("sklearn",)
    min_rows = 5
    test_settings: ClassVar[dict[str, Any]] = {"settings": {"n_estimators": 20}}

    _columns: Columns | None = None

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from (n, *item); ConfigError for a wrong class or setting, NotApplicableError where it cannot be fitted."""
        cls = find_class(self.params.model)
        with one_thread():
            columns = Columns.fit(x)
            rows = columns.apply(x).astype(np.float32)
            self._model = self._fitted(cls, rows)
        self._columns, self._rows = columns, rows

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, *item) -> (n,)."""
        columns = self._known()
        return in_blocks(lambda rows: self._judge(columns.apply(rows)), x)

    def state(self) -> State:
        """Columns and fit rows."""
        return {**self._known().state(), "rows": self._rows}

    def export(self) -> Exported:
        """NotApplicableError: the estimator is fitted again where it scores, which needs its package."""
        raise NotApplicableError(f"{self.params.model} is scikit-learn's own code or builds on it")

    def load_state(self, state: State) -> None:
        """Fits again on the stored rows."""
        with one_thread():
            self._model = self._fitted(find_class(self.params.model), state["rows"])
        self._columns, self._rows = Columns.load(state), state["rows"]

    def _fitted(self, cls: type[Any], rows: NDArray[np.float32]) -> Any:
        known = inspect.signature(cls).parameters
        for name in self.params.settings:
            if name not in known or name in (SEED, *FIXED):
                names = ", ".join(sorted(set(known) - {SEED, *FIXED}))
                raise ConfigError(f"{cls.__name__} has no setting {name!r} to choose (known: {names})")
        fixed = {**FIXED, SEED: self.ctx.seed % 2**31}
        given = {**{name: value for name, value in fixed.items() if name in known}, **self.params.settings}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return cls(**given).fit(rows.astype(np.float64))
        except (TypeError, AttributeError) as error:
            raise ConfigError(f"{cls.__name__} refuses its settings: {_line(error)}") from error
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            if type(error).__name__ == "InvalidParameterError":
                raise ConfigError(f"{cls.__name__} refuses its settings: {_line(error)}") from error
            raise NotApplicableError(
                f"{cls.__name__} cannot be fitted on {rows.shape} values: {_line(error)}"
            ) from error

    def _judge(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        judge = getattr(self._model, "score_samples", None) or self._model.decision_function
        return np.nan_to_num(-np.asarray(judge(rows.astype(np.float32).astype(np.float64)), np.float64).ravel())

    def _known(self) -> Columns:
        if self._columns is None:
            raise NotFittedError("sklearn is not fitted")
        return self._columns


def find_class(path: str) -> type[Any]:
    """The class of a path such as ``sklearn.svm.OneClassSVM``; ConfigError unless it is a detector that may be called."""
    from sklearn.base import BaseEstimator, OutlierMixin

    hint = "use a class such as sklearn.svm.OneClassSVM or sklearn.neighbors.KernelDensity"
    module, _, name = path.rpartition(".")
    if not module or not all(part.isidentifier() and not part.startswith("_") for part in path.split(".")):
        raise ConfigError(f"model {path!r} is no path of a class", hint=hint)
    top = module.partition(".")[0]
    if top != "sklearn" and not _builds_on_sklearn(top):
        raise ConfigError(
            f"model {path!r}: {top} is not scikit-learn and no installed package that depends on it", hint=hint
        )
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        raise ConfigError(f"model {path!r} cannot be found", hint=hint) from None
    if not (inspect.isclass(cls) and issubclass(cls, BaseEstimator)) or inspect.isabstract(cls):
        raise ConfigError(f"model {path!r} is no estimator", hint=hint)
    judged = hasattr(cls, "score_samples") or (issubclass(cls, OutlierMixin) and hasattr(cls, "decision_function"))
    if not judged:
        raise ConfigError(f"model {path!r} tells neither outliers nor densities", hint=hint)
    return cls


def _builds_on_sklearn(package: str) -> bool:
    """Whether a top-level package belongs to an installed distribution that requires scikit-learn."""
    needed = [
        re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0].lower()
        for owner in packages_distributions().get(package, ())
        for requirement in distribution(owner).requires or ()
    ]
    return "scikit-learn" in needed


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``sklearn``."""
    register(Sklearn)
