"""``vibro diff``: which verdicts two runs give differently, and which part of the runs is why.

A verdict comes about in steps: data, views, detectors, calibration, fuser, cuts. The parts that were set differently are read
off both manifests. For every record whose level changed, one part of run B at a time is put into run A: the parts that alone
give B's level are told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vibro.context import Context
from vibro.core.engine import Engine
from vibro.core.fitted import FittedEnsemble, Floats
from vibro.host.manager import PluginHost
from vibro.report.difference import Difference
from vibro.runs.sides import Side, matched, open_side
from vibro.runs.stated import stated
from vibro.scoring.thresholds import Cuts, fuse
from vibro.scoring.verdict import ALARM, ATTENTION, INDETERMINATE, INVALID, LEVELS, NORMAL

EARLY = ("data", "view", "detector")  # what raw scores come from


def diff_runs(host: PluginHost, a: Path, b: Path) -> Difference:
    """Compares two finished runs; records are matched by their id, else by sensor and time, else by source and row."""
    first, second = open_side(host, a), open_side(host, b)
    rows_a, rows_b = matched(first.batch, second.batch)
    same = first.batch.ids[rows_a] == second.batch.ids[rows_b]
    parts = stated(first, second, int((~same).sum()))
    level_a, level_b = first.stored["level"][rows_a], second.stored["level"][rows_b]
    moved = np.flatnonzero(level_a != level_b)
    alone = exchanged(host, first, second, rows_a, rows_b) if len(moved) else {}
    judged = np.stack([first.stored["persistent"][rows_a], second.stored["persistent"][rows_b]]).astype(np.float64)
    changed = []
    for i in moved:
        enough = [part for part, levels in alone.items() if levels[i] == level_b[i]]
        changed.append(
            {
                "record_id": str(second.batch.ids[rows_b[i]]),
                "sensor_id": second.batch.sensors[second.batch.sensor[rows_b[i]]],
                "data_time": second.batch.time[rows_b[i]],
                "level_a": LEVELS[level_a[i]],
                "level_b": LEVELS[level_b[i]],
                "score_a": float(first.stored["fused"][rows_a[i]]),
                "score_b": float(second.stored["fused"][rows_b[i]]),
                "persistent_score_a": float(judged[0, i]),
                "persistent_score_b": float(judged[1, i]),
                "cause": cause([part for part, _ in parts], enough, bool(same[i])),
                "enough": enough,
            }
        )
    causes = Counter(str(row["cause"]) for row in changed)
    return Difference(
        (str(a), str(b)),
        parts,
        len(rows_a),
        len(first.batch) - len(rows_a),
        len(second.batch) - len(rows_b),
        int((~same).sum()),
        changed,
        dict(sorted(causes.items(), key=lambda item: -item[1])),
        judged,
        moved,
        np.stack([_cuts(first), _cuts(second)]),
    )


def cause(different: Sequence[str], enough: Sequence[str], same_samples: bool) -> str:
    """The part that a changed verdict comes from.

    Where one part alone was set differently it is the cause: all later parts learned from it. Of several, a record's own samples
    go first, then the first that alone gives the other level; ``several`` where none does.
    """
    found = list(dict.fromkeys(different))
    if not same_samples:
        return "data"
    if len(found) == 1:
        return found[0]
    early = [part for part in found if part in EARLY]
    for part in enough:
        if part == "scores" and early:
            return early[0] if len(early) == 1 else " or ".join(early)
        if part in found:
            return part
    return "several" if found else (enough[0] if enough else "unknown")


def exchanged(
    host: PluginHost, a: Side, b: Side, rows_a: NDArray[np.intp], rows_b: NDArray[np.intp]
) -> dict[str, NDArray[np.int8]]:
    """Levels (r,) of the records of both by run A with one part of run B in its place; what cannot be exchanged is absent.

    ``scores``: the raw scores of B, which data, views and detectors give.
    """
    one, two = a.fitted, b.fitted
    if one is None or two is None:
        return {}
    kept = a.stored["level"]

    def levels(z: Floats, fuser: FittedEnsemble) -> NDArray[np.int8]:
        fused = fuse(Engine(host, Context(seed=fuser.seed)).make_fuser(fuser), z)
        return _levels(one.persistence.apply(a.batch, fused, one.schema["periods"]), one.cuts, kept)[rows_a]

    found = {"cut": _levels(a.stored["persistent"], two.cuts, kept)[rows_a]}
    if a.detectors == b.detectors:
        raw = a.stored["raw"].copy()
        raw[rows_a] = b.stored["raw"][rows_b]
        mine, other = (a.batch.with_codes(f.schema["sensors"], f.schema["covariate_names"]) for f in (one, two))
        found["scores"] = levels(one.calibrate(raw, mine), one)
        found["calibration"] = levels(two.calibrate(a.stored["raw"], other), one)
        found["weight"] = levels(a.stored["z"], two)
    return {part: found[part] for part in ("scores", "calibration", "weight", "cut") if part in found}


def _cuts(side: Side) -> NDArray[np.float64]:
    """(2,) the attention and the alarm cut that a run's verdicts were decided by last."""
    named = side.manifest["decisions"][-1]["cuts"]
    return np.array([named[name] for name in ("attention", "alarm")], np.float64)


def _levels(score: Floats, cuts: Cuts, kept: NDArray[np.int8]) -> NDArray[np.int8]:
    """Levels by cuts alone; records that cannot be judged stay so."""
    level = np.where(score > cuts.alarm, ALARM, np.where(score > cuts.attention, ATTENTION, NORMAL)).astype(np.int8)
    return np.where(np.isin(kept, (INVALID, INDETERMINATE)), kept, level).astype(np.int8)
