"""Sensitivity check: after a fit, known perturbations of records must raise a detector's score, else it is excluded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vibro.core.engine import Engine
from vibro.core.fitted import FittedDetectors
from vibro.core.rows import evenly_spaced
from vibro.injection.altered import score_altered
from vibro.injection.faults import PERTURBATIONS, perturb

ROWS = 48  # of which each detector is judged on the half that the others score lowest
FEWEST = (
    12  # of them that a detector must have a score for, or else it is judged by itself on records that it has one for
)


@dataclass(frozen=True)
class Sensitivity:
    """Whether the median score of at least one perturbation passes a high percentile of the clean ones, and by how much.

    ``margin`` is (best median - that percentile) over the clean range from the 10th percentile to it.
    """

    passed: bool
    margin: float

    @property
    def reason(self) -> str:
        """Why a detector that has not passed is excluded."""
        return f"insensitive: no injected perturbation raised its score (margin {self.margin:.2f})"


def check_sensitivity(engine: Engine, detectors: FittedDetectors) -> dict[str, Sensitivity]:
    """Whether perturbed copies of a few fit records raise the scores of the detectors fitted on them."""
    if not detectors.survivors:
        return {}
    ctx, fit = replace(engine.ctx, fs=detectors.batch.fs), detectors.rows.fit

    def scores(rows: NDArray[np.intp], idents: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        copies = perturb(
            detectors.batch, rows, ctx.child("sentinel").rng()
        )  # the stream's name is part of every result
        states = {ident: detectors.states[ident] for ident in idents}
        return score_altered(engine, detectors, states, copies, "sensitivity check")

    chosen = evenly_spaced(fit, ROWS)
    found = judge(scores(chosen, tuple(detectors.states)))
    for ident, given in zip(detectors.survivors, np.isfinite(detectors.raw).T, strict=True):
        if ident in found and given[chosen].sum() < min(FEWEST, given[fit].sum()):
            found |= judge(scores(evenly_spaced(fit[given[fit]], ROWS), [ident]))
    return found


def judge(scores: Mapping[str, NDArray[np.float64]]) -> dict[str, Sensitivity]:
    """The verdict on the scores (rows x (1 + kinds),) that every detector gave to the records of ``perturb``.

    Records to be fitted on may hold faults, which would hide a perturbation. So a detector is judged on the half that
    the other detectors rank lowest, against its 90th percentile there; a lone detector on all, against the 75th.
    """
    tables = {ident: column.reshape(1 + PERTURBATIONS, -1) for ident, column in scores.items()}
    ranks = {ident: np.argsort(np.argsort(np.nan_to_num(table[0], nan=np.inf))) for ident, table in tables.items()}
    total = sum(ranks.values(), np.zeros(next(iter(tables.values())).shape[1]) if tables else np.zeros(0))
    found = {}
    for ident, table in tables.items():
        others = total - ranks[ident]
        lower_half = others <= np.median(others)
        found[ident] = _judge(table[:, lower_half], 0.9 if len(tables) > 1 else 0.75)
    return found


def _judge(table: NDArray[np.float64], level: float) -> Sensitivity:
    clean = table[0][np.isfinite(table[0])]
    if not len(clean):
        return Sensitivity(False, float("nan"))
    low, high = np.quantile(clean, [0.1, level])
    medians = [np.median(row[np.isfinite(row)]) for row in table[1:] if np.isfinite(row).any()]
    best = max(medians, default=float("-inf"))
    span = max(float(high - low), 1e-12 * max(1.0, abs(float(high))))
    return Sensitivity(bool(best > high), float(np.clip((best - high) / span, -1e6, 1e6)))
