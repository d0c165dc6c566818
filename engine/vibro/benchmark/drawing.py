"""The rows of one trial: which are fitted, which are evaluated, and which labels are shown, drawn by the trial's seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vibro.benchmark.datasets import Labelled, add_noise
from vibro.benchmark.splits import Split, draw_pool, keep_labels, make_split, siblings
from vibro.benchmark.suite import PoolEntry, Suite
from vibro.core.folds import make_rows
from vibro.core.rows import Rows
from vibro.errors import ConfigError

POOL, TEST = 1, 2  # bits of ``part``


@dataclass(frozen=True)
class TrialKey:
    """Which trial: data set, pool, ensemble, labels per class (0 = none), seed."""

    data: str
    pool: str
    ensemble: str
    labelled_k: int
    seed: int

    @property
    def name(self) -> str:
        """Usable as a file name."""
        few = f"-k{self.labelled_k}" if self.labelled_k else ""
        plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in f"{self.data}-{self.pool}-{self.ensemble}")
        return f"{plain}{few}-seed{self.seed}"


class Drawn(NamedTuple):
    """Records, with noise added where the pool asks for it, the rows to fit and to evaluate, and the known labels."""

    data: Labelled
    rows: Rows
    judged: NDArray[np.intp]
    part: NDArray[np.uint8]  # (n,) bits POOL and TEST
    known: NDArray[np.int16]  # (n,) labels shown to learners, -1 else
    split: Split


def draw_rows(data: Labelled, pool: PoolEntry, suite: Suite, key: TrialKey, light: tuple[str, ...] = ()) -> Drawn:
    """The rows of a trial, the same for the same data set, pool and seed, whatever the ensemble.

    Which rows are fitted does not depend on the labels that are shown. Under the protocol ``pool`` labels of fitted rows
    are shown; under ``normals`` also those of anomalous rows, which no detector is fitted on: only fusers see them.
    """
    if pool.snr_db is not None:
        data = replace(data, batch=add_noise(data.batch, pool.snr_db, key.seed))
    split = make_split(data, suite.split, key.seed)
    fit, part = _choose(data, pool, suite, key, split.train, split.test, light)
    drawn = np.flatnonzero(part) if suite.protocol == "normals" else fit
    rows = make_rows(data.batch, fit[data.batch.valid[fit]], strategy_of(suite, key))
    rows = replace(rows, clean=suite.protocol == "normals")
    known = np.full(len(data.y), -1, np.int16)
    if key.labelled_k:
        known = keep_labels(data, _to_show(data, suite, rows, split.train), key.labelled_k, key.seed)
        part[siblings(data, known >= 0)] = 0
        _check_left(data, pool, key, part > 0)
    split = replace(split, warnings=(*split.warnings, *_short(data, pool, drawn), *_few(data, key, known)))
    return Drawn(data, rows, np.flatnonzero((part > 0) | (known >= 0)), part, known, split)


def strategy_of(suite: Suite, key: TrialKey) -> str:
    """What is fitted and which labels are shown."""
    if not key.labelled_k:
        return suite.protocol
    where = (
        "normal ones of fitted records, anomalous ones to fusers only"
        if suite.protocol == "normals"
        else "of fitted records"
    )
    told = f"{suite.protocol}; {key.labelled_k} labels per class are shown, {where}"
    return f"{told}; these and the other records of their recordings (where there are several) are not evaluated"


def _to_show(data: Labelled, suite: Suite, rows: Rows, train: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) rows whose label may be shown; no fit rows of fold 0, so that a fit without that fold sees all shown labels."""
    chosen = np.zeros(len(data.y), np.bool_)
    chosen[rows.fit[(rows.fold > 0) | ~rows.fold.any()]] = True
    return chosen | (train & data.batch.valid & (data.y == 1)) if suite.protocol == "normals" else chosen


def _check_left(data: Labelled, pool: PoolEntry, key: TrialKey, judged: NDArray[np.bool_]) -> None:
    """ConfigError unless records of both classes are left to evaluate."""
    for label, word in ((0, "normal"), (1, "anomalous")):
        if not (data.y[judged] == label).any():
            raise ConfigError(
                f"{data.name}, pool {pool.name}: {key.labelled_k} labels per class and their recordings leave no {word}"
                " record to evaluate",
                hint="a smaller --labelled-k",
            )


def _short(data: Labelled, pool: PoolEntry, drawn: NDArray[np.intp]) -> list[str]:
    """A warning if there are too few anomalous records for the requested share."""
    wished, bad = pool.contamination or 0.0, int((data.y[drawn] == 1).sum())
    if bad >= round(wished / (1 - wished) * (len(drawn) - bad)):
        return []
    return [
        f"{data.name}/{pool.name}: {bad / len(drawn):.1%} anomalous, not {wished:.1%}: there are no more anomalous records"
    ]


def _few(data: Labelled, key: TrialKey, known: NDArray[np.int16]) -> list[str]:
    """A warning if a class has fewer records to learn from than requested."""
    counts = {word: int((known == label).sum()) for label, word in ((0, "normal"), (1, "anomalous"))}
    return [
        f"{data.name}: {count} {word} records to learn from where {key.labelled_k} were asked for"
        for word, count in counts.items()
        if count < key.labelled_k
    ]


def _choose(
    data: Labelled,
    pool: PoolEntry,
    suite: Suite,
    key: TrialKey,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    light: tuple[str, ...],
) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Rows to fit, and the ``part`` bits of every row."""
    part = np.zeros(len(data.y), np.uint8)
    options: dict[str, Any] = {"variant": pool.variant, "light": light, "limit": suite.limit or None}
    if suite.protocol == "normals":
        if (train & test).any():
            raise ConfigError("the protocol 'normals' needs a split", hint="--split machine, recording or time")
        fit = np.flatnonzero(train & (data.y == 0))
        part[draw_pool(data, test & (data.y >= 0), pool.contamination, key.seed, **options)] = TEST
    else:
        fit = draw_pool(data, train, pool.contamination, key.seed, **options)
        part[fit[data.y[fit] >= 0]] = POOL
        if not (train & test).any():
            part[np.flatnonzero(test & (data.y >= 0))] |= TEST
    if not len(fit):
        raise ConfigError(f"{data.name}, pool {pool.name}: no record is left to fit on")
    return fit, part
