"""Classifiers that tell records from disturbed copies of them: what is fault-like, learned without any label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Detector, Exported, NotApplicableError, NotFittedError, Params, State
from vibro_plugins.detectors.synthetic.classifiers import Linear, Trees, told_apart
from vibro_plugins.portable import distances
from vibro_plugins.stats.columns import Columns, FitRows, evenly_spaced, in_blocks, one_thread
from vibro_plugins.stats.covariance import Scatter, winsorised

PARTS = 5  # classifiers, each without a fifth of the rows and their copies
MOST_ROWS = 4_800  # that the classifiers are taught, twice as many as there are copies
LEAST_LEARNED = 0.55  # AUC of held-out copies over held-out rows below which nothing was learned

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SyntheticLinearParams(Params):
    """Settings of ``synthetic_linear``.

    ``penalty``: weight of the squared coefficients against the log-likelihood of all rows
    """

    penalty: Annotated[float, Field(gt=0)] = 300.0


@dataclass(frozen=True)
class SyntheticTreesParams(Params):
    """Settings of ``synthetic_trees``.

    ``trees``: trees of each of the five classifiers
    """

    trees: Annotated[int, Field(ge=1, le=2000)] = 50


class Synthetic(Detector):
    """Log-odds that a row is a disturbed copy, by classifiers of fit rows against disturbed copies of them.

    Five classifiers each learn without one fifth of the rows and their copies, whole groups (recordings) together. A fit row
    is scored by the one that has not seen it, any other row by the mean of all five. They see every value in robust units
    and whitened by the covariance of the fit rows: how much it rose, how much it departs, and how much it departs from what
    goes with the others. Of more than ``MOST_ROWS`` fit rows they are taught those that have copies and others evenly spaced.
    """

    wants_disturbed = True
    own_held_out = True
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "spectrum"}
    requires = ("sklearn", "numba")
    deterministic = False
    seconds = 0.5

    _columns: Columns | None = None
    _scatter: Scatter
    _parts: list[Any]
    _own: FitRows
    _part: NDArray[np.intp]  # of each own row, in the order of its key: the classifier that has not seen it
    _learned: float  # AUC of the held-out copies over the held-out rows
    _taught: int  # rows that the classifiers were taught

    def classifier(self) -> Any:
        """A fresh one of the five."""
        raise NotImplementedError

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from (n, *item) and ``ctx.disturbed``; NotApplicableError without copies, with too few rows or none that
        varies.
        """
        given = self.ctx.disturbed
        if given is None:
            raise NotApplicableError("no record could be disturbed, so there is nothing to tell records from")
        if len(x) < 2 * PARTS:
            raise NotApplicableError(f"{len(x)} fit rows are too few for {PARTS} classifiers; {2 * PARTS} are needed")
        part = self._split(len(x))
        with one_thread():
            columns = Columns.fit(x)
            scatter = _scatter(columns.apply(x))
        self._columns, self._scatter = columns, scatter
        taught = _taught_rows(len(x), given.row)
        rows, copies = self._features(x[taught]), self._features(given.x)
        self._parts, odds, odds_of_copies = [], np.empty(len(rows)), np.empty(len(copies))
        for k in range(PARTS):
            seen, seen_copies = part[taught] != k, part[given.row] != k
            shown = np.concatenate([rows[seen], copies[seen_copies]])
            copied = np.repeat([False, True], [seen.sum(), seen_copies.sum()])
            if not copied.any() or copied.all():
                raise NotApplicableError("too few records could be disturbed to tell records from their copies")
            made = self.classifier()
            with one_thread():
                made.fit(shown, copied, self.ctx.child(str(k)).seed)
            odds[~seen] = in_blocks(made.answer, rows[~seen])
            odds_of_copies[~seen_copies] = in_blocks(made.answer, copies[~seen_copies])
            self._parts.append(made)
        place = np.argsort(np.concatenate([odds, odds_of_copies]), kind="stable").argsort(kind="stable")
        most = len(rows) * len(copies)
        self._learned = float((place[len(rows) :].sum() - len(copies) * (len(copies) - 1) / 2) / most)
        self._taught = len(rows)
        self._own, order = FitRows.of(x)
        self._part = part[order]

    def score(self, x: NDArray[np.float32]) -> Floats:
        """Log-odds (n,)."""
        self._fitted()
        place, features, odds = self._own.find(x), self._features(x), np.empty(len(x))
        for k, made in enumerate(self._parts):
            mine = (place >= 0) & (self._part[place] == k)
            odds[mine] = in_blocks(made.answer, features[mine])
        others = features[place < 0]
        odds[place < 0] = np.stack([in_blocks(made.answer, others) for made in self._parts], axis=1).mean(axis=1)
        return odds

    def health(self) -> dict[str, float]:
        """``auc``: how well held-out copies are told from held-out rows; ``failed`` where that is chance.

        ``rows_used``: how many fit rows the classifiers were taught, where not all.
        """
        if self._columns is None:
            return {}
        some = {"rows_used": float(self._taught)} if self._taught < len(self._part) else {}
        return {"auc": self._learned, "failed": float(self._learned < LEAST_LEARNED), **some}

    def state(self) -> State:
        """Columns, whitening, the five classifiers, and which of them has not seen each fit row."""
        columns = self._fitted()
        parts = {f"{k}.{name}": array for k, made in enumerate(self._parts) for name, array in made.state().items()}
        return {
            **columns.state(),
            "centre": self._scatter.centre,
            "whiten": self._scatter.whiten,
            **self._own.state(),
            "part": self._part,
            "auc": np.array(self._learned),
            "taught": np.array(self._taught),
            **parts,
        }

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._parts = []
        for k in range(PARTS):
            made = self.classifier()
            made.load_state({name[2:]: array for name, array in state.items() if name.startswith(f"{k}.")})
            self._parts.append(made)
        self._scatter = Scatter(state["centre"], state["whiten"], 0.0, len(state["own.keys"]))
        self._own, self._part, self._learned = FitRows.load(state), state["part"], float(state["auc"])
        self._taught = int(state["taught"])
        self._columns = Columns.load(state)

    def _features(self, x: NDArray[np.float32]) -> Floats:
        columns = self._fitted()

        def features(rows: NDArray[np.float32]) -> Floats:
            z = columns.apply(rows)
            return told_apart(z, (z - self._scatter.centre) @ self._scatter.whiten)

        return in_blocks(features, x)

    def _split(self, n: int) -> NDArray[np.intp]:
        """(n,) part of each row; groups stay whole where there are enough and none holds a third of the rows."""
        group = np.arange(n) if self.ctx.groups is None else np.unique(self.ctx.groups, return_inverse=True)[1]
        if group.max() + 1 < 2 * PARTS or np.bincount(group).max() > n / 3:
            group = np.arange(n)
        return np.asarray(self.ctx.rng().permutation(group.max() + 1)[group] % PARTS)

    def _fitted(self) -> Columns:
        if self._columns is None:
            raise NotFittedError(f"{self.name} is not fitted")
        return self._columns


def _scatter(z: Floats) -> Scatter:
    """That of all rows (n, p), which are overwritten."""
    return Scatter.fit(z, winsorised(z), overwrite=True)


def _taught_rows(n: int, sources: NDArray[np.intp]) -> NDArray[np.intp]:
    """All n rows, or of more than ``MOST_ROWS`` those of which there are copies and others evenly spaced."""
    if n <= MOST_ROWS:
        return np.arange(n)
    copied = np.unique(sources)
    others = np.setdiff1d(np.arange(n), copied)
    return np.sort(np.concatenate([copied, others[evenly_spaced(len(others), max(1, MOST_ROWS - len(copied)))]]))


class SyntheticLinear(Synthetic):
    """Log-odds of being a disturbed copy, by five logistic regressions on each value, its size and its excess."""

    name = "synthetic_linear"
    summary = "logistic regression of records against disturbed copies of them"
    Params = SyntheticLinearParams

    def classifier(self) -> Linear:
        """A logistic regression."""
        return Linear(self.params.penalty)

    def export(self) -> Exported:
        """Weights, with numpy alone."""
        return Exported(self.state(), distances.synthetic_linear)


class SyntheticTrees(Synthetic):
    """Log-odds of being a disturbed copy, by five forests of extremely randomised trees."""

    name = "synthetic_trees"
    summary = "random trees of records against disturbed copies of them"
    Params = SyntheticTreesParams
    seconds = 2.0
    test_settings: ClassVar[dict[str, Any]] = {"trees": 10}

    def classifier(self) -> Trees:
        """A forest."""
        return Trees(self.params.trees)

    def export(self) -> Exported:
        """The tables of nodes, with numpy alone."""
        return Exported(self.state(), distances.synthetic_trees)


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``synthetic_linear`` and ``synthetic_trees``."""
    register(SyntheticLinear)
    register(SyntheticTrees)
