"""``vibro pseudolabel``: which records the ensemble of a run is sure of, for ``vibro finetune`` to learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.errors import ConfigError
from vibro.host.manager import PluginHost
from vibro.ingest.tables import read_labels
from vibro.runs.choice import make_thresholder
from vibro.runs.stored import Quarantined, StoredRun, open_run
from vibro.scoring.pseudolabels import PERCENTILES, Consensus, PseudoLabels, by_consensus, by_cuts, mad_cut
from vibro.scoring.verdict import NORMAL, REASONS
from vibro.store import tables

RULES = ("consensus", "percentile", "mad", "pot")
CLASSES = ("normal", "anomalous")
COLUMNS = ("record_id", "source", "row", "sensor_id", "data_time", "label", "weight", "origin")


def write_pseudolabels(
    host: PluginHost,
    path: Path,
    out: Path,
    rule: str = "consensus",
    consensus: Consensus | None = None,
    labels: Path | None = None,
    labels_partial: bool = False,
) -> dict[str, Any]:
    """Writes the pseudo-labels of a run as a table; gives their audit.

    Records that the user has labelled in the run get none: ``finetune`` knows them. ``labels`` are used for the audit alone.
    """
    if rule not in RULES:
        raise ConfigError(f"--rule {rule!r} is not known", hint=f"use {', '.join(RULES)}")
    consensus = consensus or Consensus()
    if out.exists():
        raise ConfigError(f"{out} is there already", hint="choose another -o")
    run = open_run(path)
    truth = None if labels is None else read_labels(labels, run.batch, labels_partial, Quarantined(path)).y
    found = find_pseudolabels(host, run, rule, consensus)
    batch = run.batch
    rows = np.flatnonzero(found.label >= 0)
    table = (
        {
            **batch.named(int(i)),
            "label": int(found.label[i]),
            "weight": float(found.weight[i]),
            "origin": rule,
        }
        for i in rows
    )
    tables.write_table(out, COLUMNS, table)
    return {"path": out, "rule": rule, **audit(run, found, truth)}


def find_pseudolabels(host: PluginHost, run: StoredRun, rule: str, consensus: Consensus) -> PseudoLabels:
    """The pseudo-labels of a run by one of ``RULES``."""
    batch, score = run.batch, run.verdict.score
    if rule == "consensus":
        found = by_consensus(batch, run.matrix, run.weights, run.verdict, run.stored["fit_rows"], consensus)
    else:
        known = score[np.isfinite(score) & batch.valid]
        if not len(known):
            raise ConfigError(f"{run.path} holds no held-out score of a record with good data")
        low, high = (float(cut) for cut in np.quantile(known, PERCENTILES))
        if rule == "mad":
            high = mad_cut(known)
        elif rule == "pot":
            high = make_thresholder(host, {"use": "pot"}, run.manifest["seed"]).cut(known, 1 - PERCENTILES[1])
        found = by_cuts(batch, score, low, high)
    said = np.isin(batch.ids, list(run.marks))
    label, weight = np.where(said, -1, found.label).astype(np.int16), np.where(said, 0.0, found.weight)
    return replace(found, label=label, weight=weight)


def audit(run: StoredRun, found: PseudoLabels, truth: NDArray[np.int16] | None) -> dict[str, Any]:
    """How many pseudo-labels, on which sensors, why the others abstain, and how many are right where labels are known.

    ``coverage``: share of the known records of that class with good data that have the pseudo-label.
    """
    batch, label, reason = run.batch, found.label, run.verdict.reason
    abstained = label < 0
    why = Counter(np.array(REASONS)[reason[abstained & (reason > 0)]].tolist())
    frequent = abstained & (reason == 0) & np.isin(batch.machine, list(found.often)) & (run.verdict.level == NORMAL)
    why["machine raised too often"] = int(frequent.sum())
    why["not sure"] = int((abstained & (reason == 0) & ~frequent).sum())
    table: dict[str, Any] = {
        "records": len(batch),
        "normal": int((label == 0).sum()),
        "anomalous": int((label == 1).sum()),
        "abstained": int(abstained.sum()),
        "abstained_by_reason": {name: n for name, n in why.most_common() if n},
        "labelled_by_user": len(run.marks),
        "sensors": [_of_sensor(name, label[batch.sensor == code]) for code, name in enumerate(batch.sensors)],
        "raised_too_often": {batch.machines[code]: share for code, share in found.often.items()},
        "truth": None,
    }
    if truth is not None:
        table["truth"] = {name: _judged(label, truth, code, batch.valid) for code, name in enumerate(CLASSES)}
    return table


def _of_sensor(name: str, label: NDArray[np.int16]) -> dict[str, Any]:
    counts = {what: int((label == value).sum()) for value, what in ((0, "normal"), (1, "anomalous"), (-1, "abstained"))}
    return {"sensor_id": name, "records": len(label), **counts}


def _judged(
    label: NDArray[np.int16], truth: NDArray[np.int16], code: int, valid: NDArray[np.bool_]
) -> Mapping[str, Any]:
    """How many of the pseudo-labels of one class are right among records whose label is known, and their coverage."""
    checked = (label == code) & (truth >= 0)
    right, known = int((checked & (truth == code)).sum()), int((valid & (truth == code)).sum())
    return {
        "checked": int(checked.sum()),
        "right": right,
        "precision": right / int(checked.sum()) if checked.any() else None,
        "coverage": right / known if known else None,
    }
