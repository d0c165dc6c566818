"""Checks for detectors: shape, independence of the rows, memory, plausibility."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.errors import VibroError
from vibro.testing import signals
from vibro.testing.assertions import close, fail, fresh_copy, overrides, require, result_or_refusal, same
from vibro.testing.case import Case
from vibro.testing.exported import check_export


class DetectorCase(Case):
    """A detector with easy rows in the shape it takes."""

    @cached_property
    def data(self) -> signals.Easy:
        """Rows to fit on and rows to score, with their labels."""
        rows = max(signals.ROWS, self.cls.min_rows)
        return signals.easy(self.pattern, seed=self.seed, rows=rows)

    @property
    def given(self) -> str:
        """The data of the case in words."""
        return f"vibro.testing.signals.easy({self.pattern!r}, seed={self.seed})"

    @property
    def pattern(self) -> str:
        """Item pattern of the rows."""
        if self.item:
            return self.item
        return "f" if self.cls.item == "..." and self.cls.view != "raw" else str(self.cls.item)

    def labels(self, rows: int) -> NDArray[np.int16] | None:
        """Labels for detectors that need some: every third row anomalous."""
        return (np.arange(rows) % 3 == 0).astype(np.int16) if self.cls.needs_labels else None

    def fit(self, component: Any, *, other: bool = False) -> Any:
        """Fits on the easy rows, or on those of another machine."""
        x = signals.other(self.pattern, seed=self.seed, rows=len(self.data.fit)) if other else self.data.fit.copy()
        return self.fit_rows(component, x)

    def fit_rows(self, component: Any, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> Any:
        """Fits on these rows; ``y`` replaces the labels of the case."""
        self.show("fit", x)
        if self.cls.wants_disturbed:
            component.ctx = replace(component.ctx, disturbed=signals.disturbed(x, seed=self.seed))
        y = self.labels(len(x)) if y is None else y
        component.fit(x) if y is None else component.fit(x, y)
        return component

    def answer(self, component: Any) -> NDArray[Any]:
        """Scores of the easy rows."""
        return self.score(component, self.data.x.copy())

    @property
    def asked(self) -> list[NDArray[Any]]:
        """The rows behind the answer."""
        return [self.data.x.copy()]

    def score(self, component: Any, x: NDArray[np.float32]) -> NDArray[Any]:
        """Scores of these rows as an array."""
        self.show("score", x)
        return np.asarray(component.score(x))

    @property
    def checks(self) -> tuple[Callable[..., None], ...]:
        """The checks that apply to a detector."""
        return (
            check_scores_shape,
            check_scores_dtype,
            check_scores_finite,
            check_one_row,
            check_batches,
            check_row_order,
            check_neighbours,
            check_copies,
            check_read_only_memmap,
            check_input_unchanged,
            check_keeps_no_input,
            check_scores_are_own,
            *(() if self.cls.needs_labels else (check_labels_ignored,)),
            check_larger_is_worse,
            check_distinct,
            check_loud_normals,
            check_learns,
            check_knows_its_own,
            check_health,
            *(_odd_fit(*row) for row in _ODD_FITS),
            check_odd_rows,
            check_bad_shape,
            check_attribution,
            check_export,
        )


def check_scores_shape(case: DetectorCase) -> None:
    """n rows give an array of n scores."""
    x = case.data.x
    case.show("score", x)
    scores = case.fitted.score(x.copy())
    require(isinstance(scores, np.ndarray), f"score gave {type(scores).__name__}, not an array")
    require(scores.shape == (len(x),), f"{len(x)} rows gave shape {scores.shape}")


def check_scores_dtype(case: DetectorCase) -> None:
    """Scores are float64."""
    scores = case.score(case.fitted, case.data.x.copy())
    require(scores.dtype == np.float64, f"scores are {scores.dtype}; end with .astype(np.float64)")


def check_scores_finite(case: DetectorCase) -> None:
    """No score is NaN or infinite."""
    scores = case.score(case.fitted, case.data.x.copy())
    wrong = np.flatnonzero(~np.isfinite(scores.astype(float)))
    require(not wrong.size, f"{wrong.size} scores are not finite, first row {wrong[:1]}")


def check_one_row(case: DetectorCase) -> None:
    """A row scores the same alone as among all."""
    for i in (0, len(case.data.x) - 1):
        alone = case.score(case.fitted, case.data.x[i : i + 1].copy())
        require(alone.shape == (1,), f"one row gave shape {alone.shape}")
        close(alone, case.expected[i : i + 1], f"row {i} alone differs", _spread(case))


def check_batches(case: DetectorCase) -> None:
    """Scores do not depend on how rows are cut into batches."""
    for size in (7, 32):
        parts = [case.score(case.fitted, p.copy()) for p in np.split(case.data.x, range(size, len(case.data.x), size))]
        close(np.concatenate(parts), case.expected, f"batches of {size} differ from one batch")


def check_row_order(case: DetectorCase) -> None:
    """Scores do not depend on the order of the rows."""
    order = np.random.default_rng(0).permutation(len(case.data.x))
    close(case.score(case.fitted, case.data.x[order]), case.expected[order], "permuted rows score differently")


def check_neighbours(case: DetectorCase) -> None:
    """Scores do not depend on the other rows of the call, even if these are 300 anomalies."""
    x = case.data.x[:30]
    loud = np.repeat(x * np.float32(20) + np.float32(3), 10, axis=0)
    beside = case.score(case.fitted, np.concatenate([x, loud]))[:30]
    close(beside, case.expected[:30], "beside 300 anomalies rows score differently", _spread(case))


def check_copies(case: DetectorCase) -> None:
    """Copies of one row get one score."""
    scores = case.score(case.fitted, np.repeat(case.data.x[:1], 5, axis=0))
    close(scores, np.full(5, scores[0]), "copies of one row score differently", _spread(case))


def check_read_only_memmap(case: DetectorCase) -> None:
    """Read-only memory maps are accepted and give the same scores."""
    with tempfile.TemporaryDirectory(prefix="vibro-kit-") as folder:
        paths = [Path(folder, "fit.npy"), Path(folder, "x.npy")]
        for path, array in zip(paths, (case.data.fit, case.data.x), strict=True):
            np.save(path, array)
        fit, x = (np.load(path, mmap_mode="r") for path in paths)
        component = case.fit_rows(case.make(), fit)
        same(case.score(component, x), case.expected, "scores from a memory map differ")


def check_input_unchanged(case: DetectorCase) -> None:
    """Neither ``fit`` nor ``score`` writes into its input."""
    fit, x = case.data.fit.copy(), case.data.x.copy()
    component = case.fit_rows(case.make(), fit)
    require(np.array_equal(fit, case.data.fit), "fit changed its input")
    case.score(component, x)
    require(np.array_equal(x, case.data.x), "score changed its input")


def check_keeps_no_input(case: DetectorCase) -> None:
    """After ``fit`` the caller's array may change or vanish: what is needed was copied."""
    fit = case.data.fit.copy()
    component = case.fit_rows(case.make(), fit)
    fit[...] = -7.0
    same(case.score(component, case.data.x.copy()), case.expected, "scores changed with the array given to fit")


def check_scores_are_own(case: DetectorCase) -> None:
    """Scores handed out are the caller's: a later call does not change them."""
    first = case.fitted.score(case.data.x.copy())
    kept = np.array(first)
    case.score(case.fitted, case.data.x[::-1].copy())
    same(np.asarray(first), kept, "scores changed after they were returned")


def check_labels_ignored(case: DetectorCase) -> None:
    """A detector that needs no labels does not use them."""
    case.show("fit with labels", case.data.fit)
    component = case.fit_rows(case.make(), case.data.fit.copy(), (np.arange(len(case.data.fit)) % 2).astype(np.int16))
    same(case.score(component, case.data.x.copy()), case.expected, "labels changed the scores; set needs_labels = True")


def check_larger_is_worse(case: DetectorCase) -> None:
    """On easy rows anomalies score higher than normals (AUC above .6)."""
    area = signals.auc(case.data.y, case.expected)
    require(area > 0.6, f"AUC {area:.2f}{'; the sign is upside down' if area < 0.4 else ''}")


def check_distinct(case: DetectorCase) -> None:
    """Different normal rows get different scores (95 % of them); gross anomalies may share the highest one."""
    rows = np.concatenate([case.data.fit, case.data.x[case.data.y == 0]])
    share = len(np.unique(case.score(case.fitted, rows))) / len(rows)
    require(share >= 0.95, f"only {share:.0%} of the scores are distinct")


def check_loud_normals(case: DetectorCase) -> None:
    """A normal row five times as large is not the least anomalous of all."""
    normals = case.data.x[case.data.y == 0]
    loud = case.score(case.fitted, normals * np.float32(5))
    plain = case.score(case.fitted, normals.copy())
    require(
        np.median(loud) >= plain.min(), f"scaled rows score {np.median(loud):.4g}, the lowest row {plain.min():.4g}"
    )


def check_learns(case: DetectorCase) -> None:
    """What it was fitted on matters: after rows of another machine the scores rank differently."""
    after_other = case.answer(case.fit(case.make(), other=True))
    unlike = not np.array_equal(np.argsort(after_other, kind="stable"), np.argsort(case.expected, kind="stable"))
    require(unlike, "fitted on other rows it ranks all records alike: it learns nothing")


def check_knows_its_own(case: DetectorCase) -> None:
    """Fitted on normal rows it ranks anomalies higher than fitted on anomalies."""
    x, y = case.data.x, case.data.y
    normal, bad = (x[y == 0], x[y == 1])
    rows = max(signals.ROWS, case.cls.min_rows)
    taught = case.fit_rows(case.make(), np.resize(bad, (rows, *bad.shape[1:])))
    area = signals.auc(y, case.score(taught, np.concatenate([normal, bad])))
    good = signals.auc(y, case.expected)
    require(area < good, f"AUC is {good:.3f} after learning normals and {area:.3f} after learning the anomalies")


def check_health(case: DetectorCase) -> None:
    """``health`` gives finite numbers by name."""
    health = case.fitted.health()
    require(isinstance(health, Mapping), f"health() gave {type(health).__name__}")
    for name, value in health.items():
        require(isinstance(name, str) and np.isfinite(float(value)), f"health[{name!r}] is {value!r}")
    require(not health.get("failed"), "it declares itself failed on easy rows")


def _odd_fit(name: str, clause: str, rows: Callable[[DetectorCase], NDArray[np.float32]]) -> Callable[..., None]:
    def check(case: DetectorCase) -> None:
        x = rows(case)

        def use() -> NDArray[Any]:
            return case.score(case.fit_rows(case.make(), x), case.data.x.copy())

        scores = result_or_refusal(use, f"fit on {len(x)} rows")
        if scores is not None:
            require(np.isfinite(scores).all(), f"scores after a fit on {len(x)} such rows are not finite")

    check.__name__, check.__doc__ = f"check_fit_{name}", clause
    return check


def _constant_columns(case: DetectorCase) -> NDArray[np.float32]:
    x = case.data.fit.copy()
    x.reshape(len(x), -1)[:, :: max(2, x[0].size // 2)] = 1.5
    return x


_ODD_FITS = (
    ("constant_columns", "Columns without any variation give finite scores or a clean refusal.", _constant_columns),
    (
        "identical_rows",
        "Identical rows give finite scores or a clean refusal.",
        lambda case: np.repeat(case.data.fit[:1], len(case.data.fit), axis=0),
    ),
    (
        "repeated_rows",
        "Every row ten times gives finite scores or a clean refusal.",
        lambda case: np.repeat(case.data.fit[: len(case.data.fit) // 10], 10, axis=0),
    ),
    ("zeros", "Rows of zeros give finite scores or a clean refusal.", lambda case: np.zeros_like(case.data.fit)),
    ("two_rows", "Two rows give finite scores or a clean refusal.", lambda case: case.data.fit[:2].copy()),
    ("one_row", "One row gives finite scores or a clean refusal.", lambda case: case.data.fit[:1].copy()),
)


def check_odd_rows(case: DetectorCase) -> None:
    """Constant, zero, clipped, noisy and large rows get finite scores."""
    for name, row in signals.odd_items(case.data.x.shape[1:]).items():
        scores = case.score(case.fitted, row[None])
        require(np.isfinite(scores).all(), f"a row of '{name}' scores {scores}")


def check_bad_shape(case: DetectorCase) -> None:
    """Rows of another size than those of ``fit`` are refused, not scored."""
    x = case.data.x[..., : max(1, case.data.x.shape[-1] // 2)]
    case.show("score", x)
    try:
        scores = case.fitted.score(x.copy())
    except (VibroError, ValueError, RuntimeError, IndexError):
        return
    fail(f"fitted on rows {case.data.x.shape[1:]}, it scored rows {x.shape[1:]}: {np.asarray(scores)[:2]}")


def check_attribution(case: DetectorCase) -> None:
    """``attribution`` is None, or a finite number for every value, the same for a row alone and after loading."""
    if not overrides(case.cls, "attribution"):
        return
    x = case.data.x.copy()
    found = case.fitted.attribution(x)
    require(np.array_equal(x, case.data.x), "attribution changed its input")
    if found is None:
        return
    require(np.shape(found) == x.shape, f"rows of {x.shape} gave shape {np.shape(found)}")
    require(bool(np.isfinite(found).all()), "attribution gave values that are not finite")
    spread = float(np.std(found))
    close(case.fitted.attribution(x[:1]), np.asarray(found)[:1], "the attribution of a row alone differs", spread)
    again = case.make()
    again.load_state(fresh_copy(case.fitted.state()))
    close(again.attribution(x), np.asarray(found), "loaded, it gives another attribution", spread)


def _spread(case: DetectorCase) -> float:
    return float(np.asarray(case.expected, dtype=float).std())
