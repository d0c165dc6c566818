"""What a worker does: it fits a detector, or scores with one; and the guard on the scores that a detector returns."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Detector, State
from vibro.context import Disturbed
from vibro.core.rows import evenly_spaced
from vibro.core.task import SCORE_ROWS, DetectorResult, FitTask, ScoreTask
from vibro.errors import ContractError, NotApplicableError, ResourceError, short_of_memory

MOST_ROWS = 32_768  # that a detector is fitted on: its memory and time end to grow with the records


def _too_large(ident: str) -> ResourceError:
    return ResourceError(
        f"memory ran out in detector {ident}", hint="use --executor serial, fewer records, or leave it out"
    )


def fit_task(task: FitTask) -> DetectorResult:
    """Fits for the reference scores, fits the final model, scores every row; any failure is part of the result."""
    clock = time.perf_counter()
    phase = "fit"
    try:
        x = task.x.open()
        given = has_view(x, task.rows)
        task = _only(task, given)
        reference = np.full(len(task.rows), np.nan)
        folds = np.unique(task.fold)
        holdout_state: State = {}
        trusted = np.ones(len(task.rows), np.bool_) if task.trusted is None else task.trusted
        smallest = int(trusted.sum() - (np.bincount(task.fold, trusted).max() if len(folds) > 1 else 0))
        if smallest < task.cls.min_rows:
            of = f" of {len(task.rows)}, the others held out or suspicious" if smallest < len(task.rows) else ""
            raise NotApplicableError(
                f"needs at least {task.cls.min_rows} rows to learn from, here it gets {smallest}{of}"
            )
        if task.cls.own_held_out:
            final = _fitted(task, x, trusted, "final")
            if len(folds) > 1:
                holdout_state = _fitted(task, x, trusted & (task.fold > task.fold.min()), "unseen").state()
        elif task.cross_fit:
            for k in folds if len(folds) > 1 else ():
                holdout = task.fold == k
                part = _fitted(task, x, trusted & ~holdout, f"fold{k}")
                reference[holdout] = score_rows(part, x, task.rows[holdout])
                holdout_state = holdout_state or part.state()
            final = _fitted(task, x, trusted, "final")
        else:
            holdout = task.fold == 0 if len(folds) > 1 else np.zeros(len(task.rows), np.bool_)
            final = _fitted(task, x, trusted & ~holdout, "final")
            if holdout.any():
                reference[holdout] = score_rows(final, x, task.rows[holdout])
        fitted = time.perf_counter()
        phase = "score"
        scores = score_rows(final, x, None)
        if task.cls.own_held_out or len(folds) == 1:
            reference = scores[task.rows]
        held_out = np.full(len(given), np.nan)
        held_out[given] = reference
        _mostly_finite(scores[has_view(x)], task.id)
        learned = trusted if task.cls.own_held_out or task.cross_fit or len(folds) == 1 else trusted & (task.fold > 0)
        some = _some(task, learned)
        used = {"rows_used": some.sum()} if some.sum() < learned.sum() else {}
        health = {key: float(value) for key, value in (used | dict(final.health())).items()}
        state = final.state()
        holdout_state = holdout_state or state
    except NotApplicableError as error:
        return DetectorResult(task.id, "excluded", error.message, phase=phase, fit_seconds=time.perf_counter() - clock)
    except (Exception, SystemExit) as error:
        if short_of_memory(error):
            raise _too_large(task.id) from error
        return DetectorResult(
            task.id, "failed", said(error), type(error).__name__, phase, fit_seconds=time.perf_counter() - clock
        )
    status, reason = "ok", ""
    if health.get("failed", 0.0) > 0:
        shown = ", ".join(f"{key} = {value:.3g}" for key, value in health.items() if key != "failed")
        status, reason = "excluded", f"health check failed: {shown}"
    end = time.perf_counter()
    loss, stopped_on = _course(final, task.rows[some])
    return DetectorResult(
        task.id,
        status,
        reason,
        state=state,
        holdout_state=holdout_state,
        reference=held_out,
        scores=scores,
        health=health,
        fit_seconds=fitted - clock,
        score_seconds=end - fitted,
        loss=loss,
        stopped_on=stopped_on,
    )


def score_task(task: ScoreTask) -> DetectorResult:
    """Scores the rows with a frozen state."""
    clock = time.perf_counter()
    try:
        detector = task.cls(task.params, task.ctx)
        detector.load_state(task.state)
        scores = score_rows(detector, task.x.open()[task.start : task.stop], None)
    except (Exception, SystemExit) as error:
        if short_of_memory(error):
            raise _too_large(task.id) from error
        return DetectorResult(task.id, "failed", said(error), type(error).__name__, "score")
    return DetectorResult(task.id, scores=scores, score_seconds=time.perf_counter() - clock)


def has_view(x: NDArray[Any], rows: NDArray[np.intp] | None = None) -> NDArray[np.bool_]:
    """(n,) which rows of a view (None = all) could be made; one that could not is NaN throughout."""
    lead = (slice(None) if rows is None else rows, *(0,) * (x.ndim - 1))
    return np.asarray(~np.isnan(x[lead]) if x.size else np.ones(len(x), np.bool_))


def _only(task: FitTask, given: NDArray[np.bool_]) -> FitTask:
    """The task without the fit rows whose view could not be made; the copies of such a row come from -1, no row."""
    if given.all():
        return task
    group = None if task.group is None else task.group[given]
    trusted = None if task.trusted is None else task.trusted[given]
    copy_of = None if task.copy_of is None else np.where(given, np.cumsum(given) - 1, -1)[task.copy_of]
    return replace(task, rows=task.rows[given], fold=task.fold[given], group=group, trusted=trusted, copy_of=copy_of)


def _fitted(task: FitTask, x: NDArray[Any], chosen: NDArray[np.bool_], name: str) -> Detector:
    ctx = task.ctx if name == "final" else replace(task.ctx.child(name), progress=task.ctx.progress)
    chosen = _some(task, chosen)
    ctx = replace(ctx, groups=None if task.group is None else task.group[chosen], disturbed=_disturbed(task, chosen))
    detector = task.cls(task.params, ctx)
    rows = task.rows[chosen]
    part = x[rows]
    part.flags.writeable = False
    detector.fit(part, None if task.y is None else task.y[rows])
    return detector


def _some(task: FitTask, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The chosen fit rows, or of more than ``MOST_ROWS`` some: those that copies were made from, those labelled as faulty, which
    are few, and others evenly spaced.
    """
    if chosen.sum() <= MOST_ROWS:
        return chosen
    first = np.zeros_like(chosen) if task.y is None else chosen & (task.y[task.rows] > 0)
    if task.copy_of is not None:
        sources = task.copy_of[task.copy_of >= 0]
        first[sources] = chosen[sources]
    some = np.zeros_like(chosen)
    for part in (first, chosen & ~first):
        some[evenly_spaced(np.flatnonzero(part), MOST_ROWS - int(some.sum()))] = True
    return some


def _course(final: Detector, rows: NDArray[np.intp]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The losses of the final training on these rows, and which of them they were taken from."""
    course = final.training()
    if course is None:
        return (), ()
    return tuple(map(float, course.loss)), tuple(map(int, rows[course.held_out]))


def _disturbed(task: FitTask, chosen: NDArray[np.bool_]) -> Disturbed | None:
    """The disturbed copies of the chosen rows, which alone may be learned from."""
    if task.copies is None or task.copy_of is None:
        return None
    x = task.copies.open()
    mine = (task.copy_of >= 0) & chosen[task.copy_of] & has_view(x)
    if not mine.any():
        return None
    x = x[mine]
    x.flags.writeable = False
    return Disturbed(x, (np.cumsum(chosen) - 1)[task.copy_of[mine]])


def score_rows(detector: Detector, x: NDArray[Any], rows: NDArray[np.intp] | None) -> NDArray[np.float64]:
    """Scores of these rows (None = all), in chunks; a cell that is not finite is NaN, as is one of a row without a view."""
    n = len(x) if rows is None else len(rows)
    out = np.full(n, np.nan)
    for start in range(0, n, SCORE_ROWS):
        part = x[start : start + SCORE_ROWS] if rows is None else x[rows[start : start + SCORE_ROWS]]
        given = has_view(part)
        part = part if given.all() else part[given]
        if len(part):
            out[start : start + SCORE_ROWS][given] = check_scores(detector.score(part), len(part), detector.name)
    return out


def _mostly_finite(scores: NDArray[np.float64], name: str) -> None:
    """ContractError if more than half of a fit's scores are missing."""
    lost = int(np.isnan(scores).sum())
    if 2 * lost > len(scores):
        raise ContractError(f"{name}.score returned {lost} of {len(scores)} scores that are not finite")


def check_scores(values: object, n: int, name: str) -> NDArray[np.float64]:
    """The guard at the border: (n,) real numbers, those that are not finite become NaN; ContractError says what is wrong."""
    if not isinstance(values, np.ndarray):
        raise ContractError(f"{name}.score returned {type(values).__name__}, not an array")
    if values.shape != (n,):
        raise ContractError(f"{name}.score returned shape {values.shape} for {n} rows")
    if values.dtype.kind not in "fiub":
        raise ContractError(f"{name}.score returned {values.dtype}, not real numbers")
    scores = values.astype(np.float64)
    bad = ~np.isfinite(scores)
    scores[bad] = np.nan
    return scores


def said(error: BaseException) -> str:
    """The kind of an error and what it says, in one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
