"""Checks for fusers: missing cells, permutation of the columns, direction, weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.context import Context
from vibro.errors import VibroError
from vibro.testing import signals
from vibro.testing.assertions import close, fail, overrides, require
from vibro.testing.case import Case
from vibro.testing.exported import check_export

NAMES = ("ears", "eyes", "nose", "skin")


class FuserCase(Case):
    """A fuser with 400 reference rows of four calibrated detectors and 60 rows to fuse."""

    @property
    def learns(self) -> bool:
        """Whether the fuser has a ``fit`` of its own."""
        return overrides(self.cls, "fit")

    def context(self, seed: int | None = None) -> Context:
        """The context with the names of the detectors."""
        return replace(super().context(seed), names=NAMES)

    @cached_property
    def reference(self) -> NDArray[np.float64]:
        """(400, 4) held-out z of mostly normal rows; a few cells missing."""
        z, _ = self.table(400, 0.05, 1)
        z[::37, 2] = np.nan
        return z

    @cached_property
    def rows(self) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
        """(60, 4) z and the labels; every fifth row lacks a column."""
        z, y = self.table(60, 0.5, 2)
        z[::5, 1] = np.nan
        return z, y

    def table(self, n: int, share: float, stream: int) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
        """z of n rows, of which a share is 3 sd worse in every column, with correlated noise."""
        rng = np.random.default_rng([self.seed, stream])
        y = (np.arange(n) < share * n).astype(np.int16)
        shared, own = rng.standard_normal((n, 1)), rng.standard_normal((n, len(NAMES)))
        return 0.5 * shared + 0.8 * own + 3.0 * y[:, None], y

    def fit(self, component: Any, *, other: bool = False) -> Any:
        """Fits on the reference rows, or on other ones."""
        z = self.table(400, 0.05, 9)[0] * np.array([3.0, 1.0, 0.2, 1.0]) if other else self.reference.copy()
        return self.fit_table(component, z)

    def fit_table(self, component: Any, z: NDArray[np.float64], order: NDArray[np.intp] | None = None) -> Any:
        """Fits on this table, whose columns stand in this order of the detectors."""
        self.show("fit", z)
        y = (np.arange(len(z)) % 4 == 0).astype(np.int16) if self.cls.needs_labels else None
        columns = np.arange(z.shape[1]) if order is None else order
        useful = np.linspace(1.0, 0.5, len(NAMES))[columns] if self.cls.wants_trial else None
        component.fit(z, y, useful)
        return component

    def answer(self, component: Any) -> NDArray[Any]:
        """The fused scores of the 60 rows."""
        return self.fuse(component, self.rows[0].copy())

    @property
    def asked(self) -> list[NDArray[Any]]:
        """The table behind the answer."""
        return [self.rows[0].copy()]

    def fuse(self, component: Any, z: NDArray[np.float64]) -> NDArray[Any]:
        """The fused scores of a table."""
        self.show("fuse", z)
        return np.asarray(component.fuse(z))

    def with_names(self, names: tuple[str, ...]) -> Any:
        """A new fuser for these columns."""
        return self.cls.make(self.settings, replace(self.context(), names=names))

    @property
    def checks(self) -> tuple[Callable[..., None], ...]:
        """The checks that apply to a fuser."""
        return (
            check_fused_shape,
            check_empty_row,
            check_rows_alone,
            check_columns_permuted,
            check_direction,
            check_larger_is_worse,
            check_weights,
            check_notes,
            check_one_detector,
            check_input_unchanged,
            check_small_reference,
            check_export,
        )


def check_fused_shape(case: FuserCase) -> None:
    """(n, d) gives n float64 scores, finite where a detector gave one."""
    z, _ = case.rows
    fused = case.fitted.fuse(z.copy())
    require(isinstance(fused, np.ndarray) and fused.shape == (len(z),), f"{z.shape} gave {np.shape(fused)}")
    require(fused.dtype == np.float64, f"fused scores are {fused.dtype}")
    require(np.isfinite(fused).all(), f"{int((~np.isfinite(fused)).sum())} rows with scores are not finite")


def check_empty_row(case: FuserCase) -> None:
    """A row without any score is NaN, and only that row."""
    z = case.rows[0].copy()
    z[3] = np.nan
    fused = case.fuse(case.fitted, z)
    require(np.isnan(fused[3]), f"a row without scores scores {fused[3]}")
    close(np.delete(fused, 3), np.delete(case.expected, 3), "an empty row changed the others")


def check_rows_alone(case: FuserCase) -> None:
    """A row fuses the same alone as among all."""
    z, _ = case.rows
    for i in (0, 1, 59):
        one = case.fuse(case.fitted, z[i : i + 1].copy())
        close(one, case.expected[i : i + 1], f"row {i} alone differs", float(case.expected.std()))


def check_columns_permuted(case: FuserCase) -> None:
    """The order of the detectors does not matter."""
    order = np.array([2, 0, 3, 1])
    component = case.with_names(tuple(NAMES[i] for i in order))
    z, _ = case.rows
    case.fit_table(component, case.reference[:, order], order)
    fused = case.fuse(component, z[:, order])
    wrong = ~np.isclose(fused, case.expected, rtol=1e-6, atol=1e-6)
    require(not wrong.any(), f"permuted columns change {int(wrong.sum())} rows")


def check_direction(case: FuserCase) -> None:
    """Raising one z never lowers the fused score where the weights are not negative."""
    weights = case.fitted.weights()
    if weights is not None and (np.asarray(weights) < 0).any():
        return
    z, _ = case.rows
    for j in range(z.shape[1]):
        raised = z.copy()
        raised[:, j] += 1.0
        lower = case.fuse(case.fitted, raised) < case.expected - 1e-9
        require(not lower.any(), f"raising {NAMES[j]} lowered {int(lower.sum())} rows")


def check_larger_is_worse(case: FuserCase) -> None:
    """Rows that every detector finds worse fuse higher (AUC above .9)."""
    area = signals.auc(case.rows[1], case.expected)
    require(area > 0.9, f"AUC {area:.2f}")


def check_weights(case: FuserCase) -> None:
    """``weights`` is None or (d,) finite weights that sum to 1."""
    weights = case.fitted.weights()
    if weights is not None:
        weights = np.asarray(weights)
        require(weights.shape == (len(NAMES),), f"weights have shape {weights.shape}")
        require(np.isfinite(weights).all() and abs(weights.sum() - 1) < 1e-9, f"weights sum to {weights.sum()}")


def check_notes(case: FuserCase) -> None:
    """``notes`` gives sentences."""
    notes = case.fitted.notes()
    require(not isinstance(notes, str) and all(isinstance(note, str) for note in notes), f"notes() gave {notes!r}")


def check_one_detector(case: FuserCase) -> None:
    """One detector alone fuses to the order of its own scores."""
    z, _ = case.table(60, 0.5, 4)
    component = case.with_names(NAMES[:1])
    try:
        case.fit_table(component, case.reference[:, :1])
        fused = case.fuse(component, z[:, :1])
    except VibroError as error:
        fail(f"one detector: {error}")
    order = np.argsort(z[:, 0], kind="stable")
    require((np.diff(fused[order]) >= -1e-12).all(), "one detector's order was not kept")


def check_input_unchanged(case: FuserCase) -> None:
    """Neither ``fit`` nor ``fuse`` writes into its input."""
    (z, _), reference = case.rows, case.reference.copy()
    component = case.fit_table(case.make(), reference)
    require(np.array_equal(reference, case.reference, equal_nan=True), "fit changed its input")
    given = z.copy()
    component.fuse(given)
    require(np.array_equal(given, z, equal_nan=True), "fuse changed its input")


def check_small_reference(case: FuserCase) -> None:
    """Five reference rows, a constant column and an all-missing one give finite scores or a clean refusal."""
    z, _ = case.rows
    constant, missing = case.reference.copy(), case.reference.copy()
    constant[:, 0], missing[:, 0] = 1.0, np.nan
    for name, table in (("five rows", case.reference[:5]), ("a constant", constant), ("a missing column", missing)):
        try:
            component = case.fit_table(case.make(), table.copy())
            fused = case.fuse(component, z.copy())
        except VibroError:
            continue
        require(
            np.isfinite(fused).all(), f"{name} in the reference: {int((~np.isfinite(fused)).sum())} rows not finite"
        )
