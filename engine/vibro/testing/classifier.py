"""Checks for classifiers: probabilities, weights, independence of the rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.testing import signals
from vibro.testing.assertions import close, require, same
from vibro.testing.detector import DetectorCase


class ClassifierCase(DetectorCase):
    """A classifier with easy rows of both classes to learn from and others to judge."""

    @cached_property
    def data(self) -> signals.Easy:
        """Rows to judge, with their classes."""
        return signals.easy(self.pattern, seed=self.seed)

    @property
    def pattern(self) -> str:
        """Item pattern of the rows."""
        stated = str(self.cls.item)
        return self.item or ("f" if stated == "..." and self.cls.view != "raw" else stated)

    def training(self, stream: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int16], NDArray[np.float32]]:
        """Rows, classes and weights."""
        easy = signals.easy(self.pattern, seed=self.seed + 100 + stream)
        return easy.x, easy.y, np.ones(len(easy.x), np.float32)

    def fit(self, component: Any, *, other: bool = False) -> Any:
        """Fits on easy rows, or on other rows with the classes exchanged."""
        x, y, weight = self.training(1 if other else 0)
        return self.fit_on(component, x, 1 - y if other else y, weight)

    def fit_on(self, component: Any, x: NDArray[np.float32], y: NDArray[np.int16], weight: NDArray[np.float32]) -> Any:
        """Fits on these rows."""
        self.show("fit", x, y, weight)
        component.fit(x.copy(), y.astype(np.int16), weight.copy())
        return component

    def answer(self, component: Any) -> NDArray[Any]:
        """The probabilities of the easy rows."""
        return self.predict(component, self.data.x)

    def predict(self, component: Any, x: NDArray[np.float32]) -> NDArray[Any]:
        """The probabilities of these rows."""
        self.show("predict_proba", x)
        return np.asarray(component.predict_proba(x.copy()))

    @property
    def checks(self) -> tuple[Callable[..., None], ...]:
        """The checks that apply to a classifier."""
        return (
            check_probabilities,
            check_learns_classes,
            check_weight_zero,
            check_rows_alone,
            check_row_order,
            check_input_unchanged,
            check_odd_rows,
        )


def check_probabilities(case: ClassifierCase) -> None:
    """n rows give (n, classes) float64 between 0 and 1, each row summing to 1."""
    p = case.predict(case.fitted, case.data.x)
    require(p.shape == (len(case.data.x), 2), f"60 rows of two classes gave shape {p.shape}")
    require(p.dtype == np.float64, f"probabilities are {p.dtype}")
    require(np.isfinite(p).all() and (p >= 0).all() and (p <= 1).all(), "a probability lies outside [0, 1]")
    require(np.allclose(p.sum(axis=1), 1.0, atol=1e-6), f"rows sum to {p.sum(axis=1).min()} .. {p.sum(axis=1).max()}")


def check_learns_classes(case: ClassifierCase) -> None:
    """Easy classes are told apart (AUC above .8)."""
    area = signals.auc(case.data.y, case.expected[:, 1].astype(float))
    require(area > 0.8, f"AUC {area:.2f}")


def check_weight_zero(case: ClassifierCase) -> None:
    """Rows of weight 0 are ignored, whatever class they carry."""
    x, y, weight = case.training()
    extra = case.training(2)[0][:20]
    rows = np.concatenate([x, extra])
    weights = np.concatenate([weight, np.zeros(20, np.float32)])
    answers = []
    for wrong in (0, 1):
        labels = np.concatenate([y, np.full(20, wrong, np.int16)])
        answers.append(case.predict(case.fit_on(case.make(), rows, labels, weights), case.data.x))
    close(answers[0], answers[1], "the class of rows of weight 0 matters", 1.0)


def check_rows_alone(case: ClassifierCase) -> None:
    """A row is judged the same alone as among all."""
    for i in (0, 59):
        close(
            case.predict(case.fitted, case.data.x[i : i + 1]), case.expected[i : i + 1], f"row {i} alone differs", 1.0
        )


def check_row_order(case: ClassifierCase) -> None:
    """The order of the rows does not matter."""
    order = np.random.default_rng(0).permutation(60)
    close(case.predict(case.fitted, case.data.x[order]), case.expected[order], "permuted rows differ", 1.0)


def check_input_unchanged(case: ClassifierCase) -> None:
    """Neither ``fit`` nor ``predict_proba`` writes into its input, and read-only arrays are accepted."""
    x, y, weight = case.training()
    for array in (x, y, weight):
        array.flags.writeable = False
    component = case.make()
    component.fit(x, y, weight)
    test = case.data.x.copy()
    test.flags.writeable = False
    same(np.asarray(component.predict_proba(test)), case.expected, "read-only arrays give other probabilities")


def check_odd_rows(case: ClassifierCase) -> None:
    """Constant, zero, clipped, noisy and large rows get finite probabilities."""
    for name, row in signals.odd_items(case.data.x.shape[1:]).items():
        require(np.isfinite(case.predict(case.fitted, row[None])).all(), f"a row of '{name}' is not finite")
