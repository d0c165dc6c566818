"""``finetune --augment``: copies of the labelled faults of rare classes, and which of them may be taught."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.benchmark.metrics import roc_auc
from vibro.context import Context
from vibro.core.copies import Copies
from vibro.data import SignalBatch
from vibro.host.manager import PluginHost
from vibro.injection.variants import FILL, fault_copies, within_class
from vibro.runs.student import Recipe, Rows, fit_student, read_rows
from vibro.runs.teach import Taught
from vibro.runs.truth import Truth

FEWEST = 4  # labelled records of a class, below which a copy cannot be held against any but its own record
APART = 0.8  # AUC of telling copies from records, above which they are not taught

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Augmented:
    """Copies that may be taught, None without any, and what became of each class with a label."""

    taught: Taught | None
    classes: list[dict[str, Any]]


def augment(
    host: PluginHost,
    recipe: Recipe,
    batch: SignalBatch,
    rows: Rows,
    z: Floats,
    truth: Truth,
    sound: NDArray[np.bool_],
    steady: bool,
    ctx: Context,
    folder: Path,
) -> Augmented:
    """Copies of the labelled faults of a class with fewer than FILL labels that pass as records of their class.

    They pass if their spectrum lies in the band of the class, and if the classifier itself cannot tell copies from records
    beyond an AUC of APART. A copy has the detectors' scores of its record. ``sound`` (n,): records that the ensemble calls
    normal; ``steady``: mains keep the speed.
    """
    kind = np.where(truth.real & (truth.y > 0), truth.y, -1).astype(np.int16)
    size = np.bincount(kind[kind >= 0], minlength=len(truth.names))
    told: list[dict[str, Any]] = [{"class": n, "labels": int(size[c]), "copies": 0} for c, n in enumerate(truth.names)]
    reason = dict.fromkeys(range(1, len(truth.names)), "")
    for c in reason:
        if size[c] >= FILL:
            reason[c] = f"{FILL} labels or more need no copies"
        elif size[c] < FEWEST:
            reason[c] = f"fewer than {FEWEST} labels: copies cannot be checked"
            kind[kind == c] = -1
    made = fault_copies(batch, kind, sound & ~truth.real, steady, ctx.child("copies").seed)
    parts: list[Taught] = []
    if made is not None:
        inside = within_class(batch, kind, made)
        x = _values(host, recipe, made, rows, z, ctx, folder)
        for c in np.unique(kind[made.row]):
            mine = np.flatnonzero((kind[made.row] == c) & inside)
            told[c]["out_of_band"] = int((kind[made.row] == c).sum() - len(mine))
            if len(np.unique(made.row[mine])) < 2:  # one for each half
                reason[c] = "no spectrum of a copy lies in the band of its class, or those of one record alone"
                continue
            auc = told[c]["auc"] = told_apart(recipe, ctx, rows.x, np.flatnonzero(kind == c), x[mine], made.row[mine])
            if auc > APART:
                reason[c] = f"the classifier tells copies from records (AUC {auc:.2f} above {APART:g})"
                continue
            told[c]["copies"] = len(mine)
            parts.append(Taught(x[mine], made.row[mine]))
    for c, why in reason.items():
        told[c]["reason"] = why
    taught = Taught(*(np.concatenate(a) for a in zip(*((p.x, p.of) for p in parts), strict=True))) if parts else None
    return Augmented(taught, told[1:])


def told_apart(
    recipe: Recipe,
    ctx: Context,
    x: NDArray[np.float32],
    records: NDArray[np.intp],
    copies: NDArray[np.float32],
    of: NDArray[np.intp],
) -> float:
    """AUC of the recipe's classifier taught to tell copies (m, *item) of ``of`` (m,) from the ``records`` of their class.

    Each half of the records is judged, with its copies, by a classifier that was taught with the other half. Records with
    copies are spread over both.
    """
    place = np.random.default_rng(ctx.child("halves").seed).permutation(len(records))
    half = np.zeros(len(records), np.intp)
    half[np.lexsort((place, ~np.isin(records, of)))] = np.arange(len(records)) % 2
    values, copied = np.concatenate([x[records], copies]), np.r_[np.zeros(len(records)), np.ones(len(copies))]
    side = np.r_[half, half[np.searchsorted(records, of)]]
    score = np.zeros(len(values))
    for k in (0, 1):
        y = np.where(side == k, -1, copied).astype(np.int16)
        student = fit_student(recipe, ctx.child(f"half {k}"), values, y, np.ones(len(y)), 2)
        score[side == k] = student.predict(values[side == k])[:, 1]
    return float(np.mean([roc_auc(copied[side == k].astype(np.int16), score[side == k]) for k in (0, 1)]))


def _values(
    host: PluginHost, recipe: Recipe, made: Copies, rows: Rows, z: Floats, ctx: Context, folder: Path
) -> NDArray[np.float32]:
    """(m, *item) what the classifier reads of copies."""
    return np.asarray(read_rows(host, recipe, made.batch, z[made.row], ctx, folder, states=rows.states).x)
