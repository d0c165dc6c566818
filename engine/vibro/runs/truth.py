"""The classes that a supervised stage learns: labels of a table, the user's marks in the run, pseudo-labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vibro.errors import ConfigError
from vibro.ingest.keys import match_rows, read_table
from vibro.ingest.tables import read_labels
from vibro.runs.stored import Quarantined, StoredRun
from vibro.scoring.marks import FAULT, KINDS

NORMAL, ANY_FAULT = "normal", "fault"
FEWEST = 2  # real labels of a class


@dataclass(frozen=True)
class Truth:
    """Classes of n records: ``y`` int16 (n,) into ``names``, -1 = not known, where ``names[0]`` is ``normal``; ``fault``
    (n,) records known to be faulty of which no type is known; ``real`` (n,) those that people have labelled; ``weight``
    (n,) 1 of real labels, less of pseudo-labels, 0 of no label."""

    names: tuple[str, ...]
    y: NDArray[np.int16]
    fault: NDArray[np.bool_]
    real: NDArray[np.bool_]
    weight: NDArray[np.float64]
    warnings: tuple[str, ...] = ()

    @property
    def faulty(self) -> NDArray[np.int16]:
        """(n,) 1 faulty, 0 normal, -1 not known."""
        return np.where(self.fault | (self.y > 0), 1, np.where(self.y == 0, 0, -1)).astype(np.int16)

    @property
    def typed(self) -> bool:
        """Whether faults have types."""
        return len(self.names) > 2


def real_labels(run: StoredRun, labels: Path, partial: bool) -> Truth:
    """The classes by the label table and by the user's marks in the run.

    With two or more fault types that have two labels each these are the classes; a fault of a rarer type, or of none,
    counts as a fault whose type is not known. ConfigError where both disagree about a record, and where fewer than two
    records are labelled normal or faulty.
    """
    table = read_labels(labels, run.batch, partial, Quarantined(run.path))
    y, kind = table.y.astype(np.int16), table.fault_type.astype(object)
    place = {ident: i for i, ident in enumerate(run.batch.ids.tolist())}
    for ident, mark in run.marks.items():
        i, said = place[ident], int(mark["kind"] == KINDS[FAULT])
        if y[i] >= 0 and y[i] != said:
            raise ConfigError(
                f"{labels.name} says {y[i]} of record {ident}, vibro label said {mark['kind']}",
                hint=f"vibro label {run.path} {ident} --as normal|fault, or change the table",
            )
        y[i], kind[i] = said, kind[i] or (mark["fault_type"] if said else "")
    y[~run.batch.valid] = -1
    for value, name in ((0, "normal"), (1, "faulty")):
        if (n := int((y == value).sum())) < FEWEST:
            raise ConfigError(
                f"too few records with good data are labelled {name}: {n}, and {FEWEST} are needed",
                hint=f"vibro suggest {run.path} names records that are worth a label",
            )
    types = Counter(str(t) for t in kind[y == 1] if t)
    lone = sorted(t for t, n in types.items() if n < FEWEST)
    names = tuple(sorted(t for t, n in types.items() if n >= FEWEST))
    warnings, real = [*table.warnings], y >= 0
    weight = real.astype(np.float64)
    if len(names) < 2:
        return Truth((NORMAL, ANY_FAULT), y, np.zeros(len(y), np.bool_), real, weight, tuple(warnings))
    if NORMAL in names:
        raise ConfigError(f"{labels.name}: a faulty record has the fault type {NORMAL!r}", hint="name the fault")
    if lone:
        warnings.append(f"{', '.join(lone)}: one label each, too few for a class; they count as faults of unknown type")
    known = np.isin(kind, names) & (y == 1)
    code = np.array([names.index(t) + 1 if ok else 0 for t, ok in zip(kind, known, strict=True)], np.int16)
    classes = np.where(known, code, np.where(y == 0, 0, -1)).astype(np.int16)
    return Truth((NORMAL, *names), classes, (y == 1) & ~known, real, weight, tuple(warnings))


def with_pseudolabels(run: StoredRun, truth: Truth, path: Path) -> Truth:
    """The truth with the pseudo-labels of a table where no real label is known; a real one wins, and it is said how often.

    ConfigError for a table that names records which the run does not have, or whose labels or weights cannot be.
    """
    table = read_table(path, ["label", "weight"], "pseudo-label table")
    match = match_rows(table, run.batch)
    lost = len(table) if match is None else sum(not len(records) for records in match.records)
    if match is None or lost:
        raise ConfigError(
            f"{run.path} has no record for {lost} of the {len(table)} rows of {path.name}",
            hint=f"vibro pseudolabel {run.path} -o FILE",
        )
    real, known = truth.real, truth.faulty
    y, fault, weight = truth.y.copy(), truth.fault.copy(), truth.weight.copy()
    against = 0
    for k, (records, label, w) in enumerate(
        zip(match.records, table.column("label"), table.column("weight"), strict=True)
    ):
        value, share = _pseudo(label, w, table.place(k))
        for i in records.tolist():
            if real[i]:
                against += value != int(known[i])
            elif run.batch.valid[i]:
                weight[i] = share
                y[i] = 0 if value == 0 else (-1 if truth.typed else 1)
                fault[i] = value == 1 and truth.typed
    said = [f"{against} pseudo-labels contradict real labels, which win"] if against else []
    return Truth(truth.names, y, fault, real, weight, (*truth.warnings, *said))


def _pseudo(label: str, weight: str, place: str) -> tuple[int, float]:
    try:
        share = float(weight)
    except ValueError:
        share = -1.0
    if label not in ("0", "1") or not 0 < share <= 1:
        raise ConfigError(f"{place}: label {label!r} with weight {weight!r}", hint="labels 0 or 1, weights in 0..1")
    return int(label), share


def shown(names: Sequence[str], y: NDArray[np.int16], fault: NDArray[np.bool_]) -> dict[str, int]:
    """How many records each class has."""
    counts = {name: int((y == c).sum()) for c, name in enumerate(names)}
    return {**counts, **({"fault of unknown type": int(fault.sum())} if fault.any() else {})}
