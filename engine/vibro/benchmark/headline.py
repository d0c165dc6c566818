"""More metrics of the whole ensemble under its own fuser: by fault type and sensor, of plugins, confounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Metric
from vibro.benchmark.combos import FuserSpec, fuse_subsets
from vibro.benchmark.evaluate import per_class, per_sensor, tell_apart
from vibro.benchmark.grid import Table, Thresholding, parts_of, told, try_cuts
from vibro.benchmark.metrics import roc_auc
from vibro.benchmark.trial import Trial
from vibro.benchmark.volume import volume_under_surface
from vibro.context import Context

VOLUMES = ("vus_roc", "vus_pr")


def add_metrics(table: Table, trial: Trial, fuser: str, detail: Mapping[str, Any]) -> Table:
    """The table with a column for each plugin's metric, filled in the rows of the whole ensemble under its own fuser."""
    whole = (table["set"] == "+".join(trial.detectors)) & (table["fuser"] == fuser)
    more: Table = {}
    for part, figures in detail["parts"].items():
        for (name, cut), value in figures["metrics"].items():
            rows = whole & (table["subset"] == part) & (table["thresholder"] == cut)
            more.setdefault(name, np.full(len(whole), np.nan))[rows] = value
    return table | more


def headline(
    trial: Trial,
    fuser: FuserSpec,
    cuts: Sequence[Thresholding],
    metrics: Sequence[Metric],
    budget: float,
    *,
    series: bool = False,
) -> dict[str, Any]:
    """Metrics of the whole ensemble under its own fuser on each part: by fault type and sensor, of plugins, confounding.

    With ``series`` the rows are the labelled windows of long series, and the volume under the surface is added.
    ``failed`` holds the error of each metric that failed.
    """
    key = trial.key
    alive = tuple(j for j in range(len(trial.detectors)) if np.isfinite(trial.reference[:, j]).any())
    out: dict[str, Any] = {
        "data": key.data,
        "pool": key.pool,
        "ensemble": key.ensemble,
        "labelled_k": key.labelled_k,
        "seed": key.seed,
        "strategy": trial.strategy,
        "reasons": {} if trial.error else dict(trial.reasons),
        "parts": {},
        "failed": {},
    }
    if not alive or fuser.cls.needs_labels:
        return out
    ctx = Context(seed=key.seed, names=trial.detectors)
    _, (fused,), holdout = next(fuse_subsets(fuser, ctx, trial.z, trial.reference, [alive]))
    levels = {cut.name: try_cuts(cut, holdout)[0][0] for cut in cuts}
    judged = (trial.part > 0) & (trial.y == 0)
    seen = roc_auc(trial.seen[judged].astype(np.int16), fused[judged])
    for name, mask in parts_of(trial).items():
        y, score = trial.y[mask], fused[mask]
        normal = y == 0
        machine, sensor, recording = trial.groups[mask].T
        values, failed = _measured(metrics, y, score, levels)
        out["failed"] |= failed
        out["parts"][name] = {
            "metrics": values,
            "per_class": per_class(y, score, trial.fault_type[mask], budget),
            "per_sensor": per_sensor(y, score, sensor, trial.sensors, budget),
            "confound": {
                "machine_from_score_auc": tell_apart(machine[normal], score[normal]),
                "sensor_from_score_auc": tell_apart(sensor[normal], score[normal]),
                "recording_from_score_auc": tell_apart(recording[normal], score[normal]),
                "machine_seen_auc": seen,
                "level_auc": roc_auc(y, trial.trivial["rms"][mask]),
            },
        }
        if series:
            figures = volume_under_surface(y, score, recording.astype(np.intp))
            out["parts"][name]["volume"] = dict(zip(VOLUMES, figures, strict=True))
    return out


def _measured(
    metrics: Sequence[Metric], y: NDArray[np.int16], score: NDArray[np.float64], levels: Mapping[str, float]
) -> tuple[dict[tuple[str, str], float], dict[str, str]]:
    """The value of each metric at each cut, NaN where it fails, and the errors; records without a score rank lowest."""
    values, failed = {}, {}
    given = np.isfinite(score)
    ranked = np.where(given, score, score[given].min(initial=0.0) - 1)
    for metric in metrics:
        for cut, level in levels.items():
            try:
                values[metric.name, cut] = float(metric.compute(y, ranked, ranked > level))
            except Exception as error:  # a metric of a plugin may raise anything
                values[metric.name, cut] = np.nan
                failed[metric.name] = told(error)
    return values, failed
