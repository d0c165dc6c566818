"""Folds of labelled records that hold out whole machines or recordings, and what a classifier shows on what it did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch

FOLDS = 5
MACHINES, RECORDINGS = 2, 3  # of every class, for whole ones to be held out
BLOCKS = 10  # of time, of a recording that has to be cut

Codes = NDArray[np.intp]
Floats = NDArray[np.float64]
Labels = NDArray[np.int16]


@dataclass(frozen=True)
class Groups:
    """``of`` (n,) the group of every record, which lies on one side of a split as a whole; ``edge`` (n,) records at the edge
    of a block of time, which are never learned from; how the groups were made, and what they cannot do."""

    of: Codes
    edge: NDArray[np.bool_]
    strategy: str
    warnings: tuple[str, ...] = ()


def make_groups(batch: SignalBatch, y: Labels, names: Sequence[str]) -> Groups:
    """Machines where every class has two or more; else recordings, and blocks of time with a gap between them for the
    recordings of a class that has fewer than three.

    ``y`` (n,) classes into ``names``, -1 = not known.
    """
    present = [c for c in range(len(names)) if (y == c).any()]
    edge = np.zeros(len(batch), np.bool_)

    def count(code: NDArray[Any], c: int) -> int:
        return len(np.unique(code[y == c]))

    if all(count(batch.machine, c) >= MACHINES for c in present):
        return Groups(batch.machine.astype(np.intp), edge, "machine")
    group = batch.recording.astype(np.intp)
    few = [c for c in present if count(batch.recording, c) < RECORDINGS]
    cut = np.unique(batch.recording[np.isin(y, few)])
    first = int(group.max()) + 1
    for number, recording in enumerate(cut):
        rows = np.flatnonzero(batch.recording == recording)
        rows = rows[np.lexsort((batch.row[rows], batch.source[rows], batch.time[rows]))]
        block = np.arange(len(rows)) * BLOCKS // len(rows)
        group[rows] = first + number * BLOCKS + block
        border = np.diff(block) != 0
        edge[rows] = np.r_[False, border] | np.r_[border, False]
    lone = [names[c] for c in present if count(group, c) < 2]
    warnings = [f"all labels of {', '.join(lone)} lie in one stretch of one recording: they cannot be held out"]
    by = "recording" if len(few) < len(present) else ""
    if few:
        by += f"{'; ' if by else ''}time with a gap for {', '.join(names[c] for c in few)}"
    return Groups(group, edge, by, tuple(warnings[: len(lone)]))


def make_folds(groups: Codes, y: Labels, seed: int) -> Codes:
    """(n,) the fold of each of n records, up to five: groups stay whole, each class is spread over the folds as evenly as its
    groups allow, and groups without a label (``y`` -1) so that folds are alike in size."""
    rng = np.random.default_rng(seed)
    spread = {int(c): len(np.unique(groups[y == c])) for c in np.unique(y[y >= 0])}
    folds = int(np.clip(min(spread.values()), 2, FOLDS))
    fold_of: dict[int, int] = {}
    for c in [*sorted(spread, key=lambda c: (spread[c], c)), -1]:
        filled = np.zeros(folds)
        rows = np.flatnonzero(y == c) if c >= 0 else np.arange(len(y))
        for g, f in fold_of.items():
            filled[f] += (groups[rows] == g).sum()
        for g in rng.permutation(np.setdiff1d(groups[rows], list(fold_of))):
            least = rng.permutation(np.flatnonzero(filled == filled.min()))[0]
            fold_of[int(g)] = int(least)
            filled[least] += (groups[rows] == g).sum()
    return np.array([fold_of[int(g)] for g in groups], np.intp)


def balanced(y: Labels, weight: Floats, classes: int) -> NDArray[np.float32]:
    """(n,) the weights so scaled that class 0 (normal) weighs as much as all others together, which weigh the same; a class
    without members weighs nothing."""
    total = np.bincount(y[weight > 0], weights=weight[weight > 0], minlength=classes)
    present = total > 0
    wished = np.r_[1.0, np.full(classes - 1, 1.0 / max(1, present[1:].sum()))] * 0.5 * total.sum()
    factor = np.divide(wished, total, out=np.zeros(classes), where=present)
    return np.where(weight > 0, weight * factor[np.maximum(y, 0)], 0.0).astype(np.float32)


def average_precision(faults: Floats, everyone: Floats, share: float) -> float:
    """Mean precision over the scores of m known faults, each taken as a cut, where the labels say too little of normal records.

    Precision at a cut is share x recall / (share of everyone above it), 1 at most: ``everyone`` (n,) are the scores of records
    as they come, mostly without a label, of which ``share`` is faulty (Lee and Liu, ICML 2003, rank classifiers by recall
    over the same share). A score that is NaN ranks lowest; equal scores are above a cut together.
    """
    known, all_ = (np.sort(np.where(np.isfinite(s), s, -np.inf)) for s in (faults, everyone))
    recall = 1.0 - np.searchsorted(known, known) / len(known)
    above = 1.0 - np.searchsorted(all_, known) / len(all_)
    return float(np.minimum(1.0, share * recall / np.maximum(above, 1.0 / len(all_))).mean())


def confusion(y: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """(classes, classes) records by true class (rows) and predicted class (columns)."""
    return np.bincount(y.astype(np.int64) * classes + predicted, minlength=classes**2).reshape(classes, classes)


def class_table(matrix: NDArray[np.int64], names: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class of a confusion matrix; 0 where nothing was predicted or nothing is there."""
    rows = []
    for c, name in enumerate(names):
        right, predicted, true = (int(v) for v in (matrix[c, c], matrix[:, c].sum(), matrix[c].sum()))
        rows.append(
            {
                "class": name,
                "records": true,
                "predicted": predicted,
                "precision": right / predicted if predicted else 0.0,
                "recall": right / true if true else 0.0,
                "f1": 2 * right / (predicted + true) if predicted + true else 0.0,
            }
        )
    return rows


def macro_f1(y: Labels, predicted: Labels, classes: Sequence[int] | None = None) -> float:
    """The mean F1 of these classes, by default those that ``y`` (n,) has; 0 of none."""
    classes = np.unique(y).tolist() if classes is None else classes
    right = [int(((y == c) & (predicted == c)).sum()) for c in classes]
    size = [int((y == c).sum() + (predicted == c).sum()) for c in classes]
    return float(np.mean([2 * r / s if s else 0.0 for r, s in zip(right, size, strict=True)])) if right else 0.0
