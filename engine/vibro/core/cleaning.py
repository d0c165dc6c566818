"""Which fit rows the other detectors may learn from: those that the suspects of an ensemble do not hold for faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vibro.core.rows import Rows
from vibro.core.task import DetectorResult

LEFT_OUT = 0.05  # share of sound rows that may be left out
UPPER = 0.6745  # upper quartile of a Gaussian

Floats = NDArray[np.float64]


def trusted_rows(
    rows: Rows, suspects: Sequence[str], results: Mapping[str, DetectorResult], cut: Callable[[Floats, float], float]
) -> NDArray[np.bool_]:
    """(fit rows,) False for the suspicious ones; all True for rows known to be clean, and without a suspect's scores.

    ``cut``: from the suspicion of all rows and a share of sound ones to what that share exceeds, whatever the share of
    faults. A fixed share of all rows would do harm where there are no faults: sound rows that are always left out become a
    group of their own far out, which then alarms.

    A method that leaves out rows by its own scores keeps a cluster of faults, which are near to each other; a distance from
    the bulk of all rows does not. The scores are those of the fit on all rows: a suspect scores its own rows as if they had
    been left out, and four fifths of a few dozen rows are too few to tell what is suspicious.
    """
    scores = [results[i].scores for i in suspects if results[i].status == "ok"]
    if rows.clean or not scores:
        return np.ones(len(rows.fit), np.bool_)
    total = suspicion(np.stack([s[rows.fit] for s in scores if s is not None], axis=1))
    return np.asarray(total <= cut(total, LEFT_OUT))


def suspicion(scores: Floats) -> Floats:
    """(n,) sum over the scores (n, d) of several detectors: asinh((score - median) / upper quartile's distance).

    So one detector alone cannot decide. A score that is missing adds nothing.
    """
    known = np.isfinite(scores)
    total = np.zeros(len(scores))
    for column, given in zip(scores.T, known.T, strict=True):
        if given.any():
            middle, high = np.quantile(column[given], (0.5, 0.75))
            unit = (column[given] - middle) / max((high - middle) / UPPER, 1e-9 * max(1.0, abs(middle)))
            total[given] += np.arcsinh(unit)
    return total
