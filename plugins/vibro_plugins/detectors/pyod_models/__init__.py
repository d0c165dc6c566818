"""All of PyOD as one detector: ``{ use = "pyod", model = "IForest" }``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Detector, Exported, NotApplicableError, NotFittedError, Params, State
from vibro_plugins.detectors.pyod_models.adapter import Refitted, find_class, known_settings
from vibro_plugins.detectors.pyod_models.tails import CopulaTails, Histograms, Tails
from vibro_plugins.portable import distances
from vibro_plugins.stats.columns import Columns, in_blocks, leading_axes, one_thread
from vibro_plugins.stats.neighbours import LocalOutlierFactor, NearestDistance

COMPUTED_HERE: dict[str, type[Any]] = {
    "ecod": Tails,
    "copod": CopulaTails,
    "hbos": Histograms,
    "knn": NearestDistance,
    "lof": LocalOutlierFactor,
}
PORTABLE = {
    "ecod": distances.tails,
    "copod": distances.tails,
    "hbos": distances.histograms,
    "knn": distances.nearest_distance,
    "lof": distances.local_outlier_factor,
}


@dataclass(frozen=True)
class Recipe:
    """Defaults of a bundled model: fewest rows, leading principal axes (0: all columns), settings.

    With fewer than ``rows_per_axis`` rows per axis it gets ``few`` axes, or as many as that allows. ``few`` is for a model
    whose scores scale with the number of axes: calibration folds have fewer rows than the final fit.
    """

    min_rows: int = 20
    axes: int = 0
    rows_per_axis: int = 1
    few: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


RECIPES = {
    "gmm": Recipe(min_rows=50, axes=32, rows_per_axis=10),
    "lof": Recipe(min_rows=25),
    "mcd": Recipe(min_rows=50, axes=32, rows_per_axis=10),
    "rod": Recipe(axes=6),
    "pca": Recipe(axes=64, rows_per_axis=2, few=8, settings={"n_components": 0.99, "svd_solver": "full"}),
}


@dataclass(frozen=True)
class PyODParams(Params):
    """Settings of ``pyod``.

    ``model``: class name in PyOD, any case; ECOD has no parameters to choose
    ``settings``: parameters of that class
    ``pca``: leading principal axes kept; unset: by model; 0: all columns, and PyOD's own settings
    """

    model: str = "ECOD"
    settings: dict[str, Any] = field(default_factory=dict)
    pca: Annotated[int, Field(ge=0, le=4096)] | None = None


class PyOD(Detector):
    """A model of PyOD (Zhao, Nasrullah, Li, JMLR 20, 2019) on standardised columns of a vector view.

    Bundled: ECOD, COPOD, HBOS, IForest, KNN, LOF, PCA, MCD, LODA, OCSVM, INNE, GMM; any other class of PyOD that works
    without labels and without other detectors can be named. ECOD, COPOD, HBOS, KNN and LOF are computed here, equal to
    PyOD's on the fit rows; the others are PyOD's own. ``contamination`` does not affect scores. Where PyOD's score of
    a record would depend on the batch, records are scored one at a time, if need be beside a few fit rows. PCA uses the 64
    leading principal axes (eight below 128 rows), MCD and GMM 32 (one for ten rows), ROD six; ``pca`` sets them for any
    model.

    Seconds to fit / to score 2,000 rows of 1,200 values on one core: GMM 0.8 / 0.1, HBOS 0.6 / 0.6, LODA 0.7 / 0.2,
    PCA 0.9 / 0.1, ECOD and COPOD 0.6 / 1, KNN 0.3 / 1.4, IForest 3.2 / 0.3, MCD 4.9 / 0.1, LOF 3 / 3, INNE 5.4 / 4.7,
    OCSVM 9.4 / 4.5. Fitting grows with the square of the rows for LOF and OCSVM, scoring for KNN too.
    """

    name = "pyod"
    summary = (
        "any detector of PyOD by its class name: ECOD, COPOD, HBOS, IForest, KNN, LOF, PCA, MCD, LODA, OCSVM, INNE, GMM"
    )
    Params = PyODParams
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "mains"}
    requires = ("pyod", "sklearn")
    exclusive = True  # some models draw from the global generators
    test_settings: ClassVar[dict[str, Any]] = {"model": "ECOD"}

    _columns: Columns | None = None
    _axes: NDArray[np.float64]  # (kept columns, axes), (0, 0) without reduction
    _given: int = 0  # rows of the fit

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from (n, *item); ConfigError for an unknown model or setting, NotApplicableError with too few rows."""
        name = self.params.model
        recipe = self._recipe()
        model = self._make(recipe)
        if len(x) < recipe.min_rows:
            raise NotApplicableError(f"{len(x)} fit rows are too few for {name}; {recipe.min_rows} are needed")
        with one_thread():
            columns = Columns.fit(x)
            axes = recipe.axes if self.params.pca is None else self.params.pca
            if len(x) < axes * recipe.rows_per_axis:
                axes = min(axes, recipe.few or len(x) // recipe.rows_per_axis)
            self._axes = np.zeros((0, 0))
            if 0 < axes < columns.keep.sum():
                self._axes = leading_axes(columns.apply(x), axes, self.ctx.seed)
            model.fit(self._reduce(columns, x))
        self._columns, self._model, self._given = columns, model, len(x)

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """PyOD's decision function (n,)."""
        columns = self._fitted()
        return in_blocks(lambda rows: self._model.score(self._reduce(columns, rows)), x, self._model.block)

    def health(self) -> dict[str, float]:
        """``rows_used``: how many fit rows records are compared with, where not all."""
        near = getattr(getattr(self, "_model", None), "neighbours", None)
        return {"rows_used": float(len(near.rows))} if near is not None and len(near.rows) < self._given else {}

    def state(self) -> State:
        """Columns, axes and the arrays of the model, or its fit rows."""
        model = {f"model.{name}": array for name, array in self._model.state().items()} if self._columns else {}
        return {**self._fitted().state(), "axes": self._axes, **model}

    def export(self) -> Exported:
        """The models that are computed here, with numpy alone; NotApplicableError for PyOD's own, which fit again instead."""
        model = self.params.model.lower()
        if model not in COMPUTED_HERE:
            computed = ", ".join(name.upper() for name in COMPUTED_HERE)
            raise NotApplicableError(f"{self.params.model} is PyOD's own code; {computed} are exported")
        settings = {**COMPUTED_HERE[model].settings, **self.params.settings}
        numbers = {name: np.array(value) for name, value in settings.items() if not isinstance(value, str)}
        if model == "knn":
            numbers["method"] = np.array(("largest", "mean", "median").index(settings["method"]))
        elif model in ("ecod", "copod"):
            numbers["copula"] = np.array(model == "copod")
        return Exported({**self.state(), **numbers}, PORTABLE[model])

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave; PyOD's own models are fitted again on the stored rows."""
        model = self._make(self._recipe())
        with one_thread():
            model.load_state(
                {name.removeprefix("model."): array for name, array in state.items() if name[:6] == "model."}
            )
        self._columns, self._axes, self._model = Columns.load(state), state["axes"], model

    def _recipe(self) -> Recipe:
        return Recipe() if self.params.pca == 0 else RECIPES.get(self.params.model.lower(), Recipe())

    def _make(self, recipe: Recipe) -> Any:
        name, settings = self.params.model, {**recipe.settings, **self.params.settings}
        cls = COMPUTED_HERE.get(name.lower())
        if cls:
            known_settings(cls.settings, settings, name)
            return cls(**{**cls.settings, **settings})
        return Refitted(find_class(name), settings, self.ctx.seed % 2**31)

    def _reduce(self, columns: Columns, x: NDArray[Any]) -> NDArray[np.float32]:
        """The standardised columns (n, p), or what of them lies along the axes."""
        return (columns.apply(x) @ self._axes).astype(np.float32) if self._axes.size else columns.apply32(x)

    def _fitted(self) -> Columns:
        if self._columns is None:
            raise NotFittedError("pyod is not fitted")
        return self._columns


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``pyod``."""
    register(PyOD)
