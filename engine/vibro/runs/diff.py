"""``vibro diff``: which verdicts two runs give differently, and which part of the runs is why.

A verdict comes about in steps: data, views, detectors, calibration, fuser, cuts. The parts that were set differently are read
off both manifests. For every record whose level changed, one part of run B at a time is put into run A: the parts that alone
give B's level are told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.context import Context
from vibro.core.engine import Engine
from vibro.core.fitted import FittedEnsemble, Floats
from vibro.data import SignalBatch
from vibro.errors import ConfigError, StateError, VibroError
from vibro.host.manager import PluginHost
from vibro.io.tensors import decode_text, load_tensors
from vibro.runs.model import MODEL, load_model
from vibro.runs.outputs import SCORES
from vibro.scoring.marks import KINDS
from vibro.scoring.thresholds import Cuts, fuse
from vibro.scoring.verdict import ALARM, ATTENTION, INDETERMINATE, INVALID, LEVELS, NORMAL
from vibro.store import manifest
from vibro.store.index import index_of
from vibro.store.marks import marks_of, read_marks

PARTS = ("data", "view", "detector", "calibration", "weight", "cut")
EARLY = ("data", "view", "detector")  # what raw scores come from


@dataclass(frozen=True)
class Side:
    """One run of a comparison: manifest, records, stored scores, and its model where that is still there."""

    path: Path
    manifest: Mapping[str, Any]
    batch: SignalBatch
    stored: Mapping[str, NDArray[Any]]
    fitted: FittedEnsemble | None

    @property
    def detectors(self) -> list[str]:
        """Ids of the detectors, in the order of the columns."""
        return [str(name) for name in decode_text(self.stored["detectors"])]


@dataclass(frozen=True)
class Difference:
    """``parts``: (part, what is different) in the order in which a verdict comes about; ``both``, ``only_a``, ``only_b``,
    ``other_samples``: records; ``changed``: one entry a record whose level changed; ``causes``: part -> such records."""

    parts: list[tuple[str, str]]
    both: int
    only_a: int
    only_b: int
    other_samples: int
    changed: list[dict[str, Any]]
    causes: Mapping[str, int]


def diff_runs(host: PluginHost, a: Path, b: Path) -> Difference:
    """Compares two finished runs; records are matched by their id, else by sensor and time, else by source and row."""
    first, second = _side(host, a), _side(host, b)
    rows_a, rows_b = matched(first.batch, second.batch)
    same = first.batch.ids[rows_a] == second.batch.ids[rows_b]
    parts = stated(first, second, int((~same).sum()))
    level_a, level_b = first.stored["level"][rows_a], second.stored["level"][rows_b]
    moved = np.flatnonzero(level_a != level_b)
    alone = exchanged(host, first, second, rows_a[moved], rows_b[moved])
    changed = []
    for k, i in enumerate(moved):
        enough = [part for part, levels in alone.items() if levels[k] == level_b[i]]
        changed.append(
            {
                "record_id": str(second.batch.ids[rows_b[i]]),
                "sensor_id": second.batch.sensors[second.batch.sensor[rows_b[i]]],
                "data_time": second.batch.time[rows_b[i]],
                "level_a": LEVELS[level_a[i]],
                "level_b": LEVELS[level_b[i]],
                "score_a": float(first.stored["fused"][rows_a[i]]),
                "score_b": float(second.stored["fused"][rows_b[i]]),
                "cause": cause([part for part, _ in parts], enough, bool(same[i])),
                "enough": enough,
            }
        )
    causes = Counter(str(row["cause"]) for row in changed)
    return Difference(
        parts,
        len(rows_a),
        len(first.batch) - len(rows_a),
        len(second.batch) - len(rows_b),
        int((~same).sum()),
        changed,
        dict(sorted(causes.items(), key=lambda item: -item[1])),
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


def stated(a: Side, b: Side, other_samples: int) -> list[tuple[str, str]]:
    """The parts that were set differently, with what is different, in the order in which a verdict comes about."""
    found: list[tuple[str, str]] = []
    one, two = a.manifest, b.manifest
    if one["fingerprint"] != two["fingerprint"]:
        what = f"{other_samples} records hold other samples" if other_samples else "the runs hold other records"
        found.append(("data", what))
    told, now = one["settings"], two["settings"]
    found += [
        ("data", f"{name.replace('_', '-')} {_short(told.get(name))} -> {_short(now.get(name))}")
        for name in ("fit_on", "covariates", "sensors")
        if told.get(name) != now.get(name)
    ]
    then, later = ({d["id"]: d for d in m["ensemble"]["detectors"]} for m in (one, two))
    found += [
        ("view", f"{name} sees {_short(then[name]['view'])} -> {_short(later[name]['view'])}")
        for name in then
        if name in later and then[name]["view"] != later[name]["view"]
    ]
    found += [("detector", f"{name} is gone") for name in then if name not in later]
    found += [("detector", f"{name} is new") for name in later if name not in then]
    for name in [name for name in then if name in later]:
        found += [
            ("detector", f"{name}.{key} {_short(then[name].get(key))} -> {_short(later[name].get(key))}")
            for key in sorted({*then[name], *later[name]} - {"view"})
            if then[name].get(key) != later[name].get(key)
        ]
    if one["seed"] != two["seed"]:
        found.append(("detector", f"seed {one['seed']} -> {two['seed']}"))
    versions = [
        {p["name"]: p["version"] for p in m["plugins"]} | m["libraries"] | {"vibro": m["vibro"]} for m in (one, two)
    ]
    found += [
        ("detector", f"{name} {versions[0].get(name)} -> {versions[1].get(name)}")
        for name in sorted({*versions[0], *versions[1]})
        if name in versions[0] and name in versions[1] and versions[0][name] != versions[1][name]
    ]
    for part, key in (("calibration", "calibration"), ("weight", "fuser"), ("weight", "quorum")):
        if one["ensemble"][key] != two["ensemble"][key]:
            found.append((part, f"{key} {_short(one['ensemble'][key])} -> {_short(two['ensemble'][key])}"))
    if not any(part == "calibration" for part, _ in found) and _recalibrated(a, b, found):
        found.append(("calibration", "a sensor has another baseline (vibro accept)"))
    last, latest = one["decisions"][-1], two["decisions"][-1]
    for key in ("method", "budget"):
        if last[key] != latest[key]:
            found.append(("cut", f"{key} {_short(last[key])} -> {_short(latest[key])}"))
    if one["ensemble"]["thresholder"] != two["ensemble"]["thresholder"] and last["method"] == latest["method"]:
        rules = one["ensemble"]["thresholder"], two["ensemble"]["thresholder"]
        found.append(("cut", f"thresholder {_short(rules[0])} -> {_short(rules[1])}"))
    if _marks(a) != _marks(b):
        found.append(("cut", "the user has marked other records (vibro label)"))
    return found


def _marks(side: Side) -> dict[str, str]:
    """What the user said of records, by id: in the model and in the run."""
    known = marks_of({name.removeprefix("marks/"): a for name, a in side.stored.items() if name.startswith("marks/")})
    told = {ident: KINDS[kind] for ident, kind in zip(known.ids.tolist(), known.kind.tolist(), strict=True)}
    return told | {ident: str(row["kind"]) for ident, row in read_marks(side.path).items()}


def _recalibrated(a: Side, b: Side, found: Sequence[tuple[str, str]]) -> bool:
    """Whether one and the same fit has two calibrations: the raw scores of records agree and their z do not."""
    if found or a.detectors != b.detectors:
        return False
    rows_a, rows_b = matched(a.batch, b.batch)
    raw = np.array_equal(a.stored["raw"][rows_a], b.stored["raw"][rows_b], equal_nan=True)
    return raw and not np.array_equal(a.stored["z"][rows_a], b.stored["z"][rows_b], equal_nan=True)


def matched(a: SignalBatch, b: SignalBatch) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the records that both have."""
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for keys in (_by_id, _by_time, _by_place):
        place = {key: i for i, key in enumerate(keys(a)) if key is not None and i not in pairs}
        for j, key in enumerate(keys(b)):
            i = place.get(key, -1) if key is not None else -1
            if i >= 0 and j not in taken and i not in pairs:
                pairs[i] = j
                taken.add(j)
    rows = np.array(sorted(pairs), np.intp)
    return rows, np.array([pairs[int(i)] for i in rows], np.intp)


def _by_id(batch: SignalBatch) -> list[Any]:
    return list(map(str, batch.ids))


def _by_time(batch: SignalBatch) -> list[Any]:
    stamps = batch.time.astype("datetime64[ns]").astype(np.int64)
    known = ~np.isnat(batch.time)
    return [(batch.sensors[s], int(t)) if yes else None for s, t, yes in zip(batch.sensor, stamps, known, strict=True)]


def _by_place(batch: SignalBatch) -> list[Any]:
    return [(batch.sources[s], int(r)) for s, r in zip(batch.source, batch.row, strict=True)]


def exchanged(
    host: PluginHost, a: Side, b: Side, rows_a: NDArray[np.intp], rows_b: NDArray[np.intp]
) -> dict[str, NDArray[np.int8]]:
    """Levels (r,) of these records by run A with one part of run B in its place; parts that cannot be exchanged are absent."""
    one, two = a.fitted, b.fitted
    levels: dict[str, NDArray[np.int8]] = {}
    fused_a = a.stored["fused"][rows_a]
    if one is None or two is None or not len(rows_a):
        return levels
    kept = a.stored["level"][rows_a]
    if a.detectors == b.detectors:
        batch = a.batch.take(rows_a).with_codes(one.schema["sensors"], one.schema["covariate_names"])
        raw = b.stored["raw"][rows_b]
        levels["scores"] = _levels(_fused(host, one, one.calibrate(raw, batch)), one.cuts, kept)
        other = a.batch.take(rows_a).with_codes(two.schema["sensors"], two.schema["covariate_names"])
        z = two.calibrate(a.stored["raw"][rows_a], other)
        levels["calibration"] = _levels(_fused(host, one, z), one.cuts, kept)
        levels["weight"] = _levels(_fused(host, two, a.stored["z"][rows_a]), one.cuts, kept)
    levels["cut"] = _levels(fused_a, two.cuts, kept)
    return levels


def _fused(host: PluginHost, fitted: FittedEnsemble, z: Floats) -> Floats:
    return fuse(Engine(host, Context(seed=fitted.seed)).make_fuser(fitted), z)


def _levels(fused: Floats, cuts: Cuts, kept: NDArray[np.int8]) -> NDArray[np.int8]:
    """Levels by cuts alone; records that cannot be judged stay so."""
    level = np.where(fused > cuts.alarm, ALARM, np.where(fused > cuts.attention, ATTENTION, NORMAL)).astype(np.int8)
    return np.where(np.isin(kept, (INVALID, INDETERMINATE)), kept, level).astype(np.int8)


def _side(host: PluginHost, path: Path) -> Side:
    if not path.is_dir():
        raise ConfigError(f"no such run directory: {path}")
    kept = manifest.verify(path)
    if kept.get("status") != "complete":
        raise StateError(f"{path} holds a run that is {kept.get('status')}", hint="only complete runs are compared")
    stored = load_tensors(path / SCORES)
    place = path if (path / MODEL).is_dir() else Path(kept["settings"]["model"]["path"])
    try:
        fitted = load_model(host, place, allow_missing=True)[0]
    except VibroError:  # gone or changed: what was stated is compared all the same
        fitted = None
    return Side(path, kept, index_of(stored), stored, fitted)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_short(item)}" for key, item in value.items() if item not in (None, {}, [], ()))
    return "none" if value is None else str(value)
