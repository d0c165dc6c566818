"""What two runs were told differently, by the part of a run that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vibro.runs.sides import Side, matched
from vibro.scoring.marks import KINDS
from vibro.store.marks import marks_of, read_marks
from vibro.words import counted


def stated(a: Side, b: Side, other_samples: int) -> list[tuple[str, str]]:
    """The parts that were set differently, with what is different, in the order in which a verdict comes about."""
    found: list[tuple[str, str]] = []
    one, two = a.manifest, b.manifest
    if one["fingerprint"] != two["fingerprint"]:
        what = "the runs hold other records"
        if other_samples:
            what = f"{counted(other_samples, 'record holds', 'records hold')} other samples"
        found.append(("data", what))
    told, now = one["settings"], two["settings"]
    found += [
        ("data", f"{name.replace('_', '-')} {_change(told.get(name), now.get(name))}")
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
            ("detector", f"{name}.{key} {_change(then[name].get(key), later[name].get(key))}")
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
            found.append((part, f"{key} {_change(one['ensemble'][key], two['ensemble'][key])}"))
    if not any(part == "calibration" for part, _ in found) and _recalibrated(a, b, found):
        found.append(("calibration", "a sensor has another baseline (vibro accept)"))
    last, latest = one["decisions"][-1], two["decisions"][-1]
    for key in ("method", "budget"):
        if last[key] != latest[key]:
            found.append(("cut", f"{key} {_change(last[key], latest[key])}"))
    if one["ensemble"]["thresholder"] != two["ensemble"]["thresholder"] and last["method"] == latest["method"]:
        rules = one["ensemble"]["thresholder"], two["ensemble"]["thresholder"]
        found.append(("cut", f"thresholder {_change(rules[0], rules[1])}"))
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


def _change(a: Any, b: Any) -> str:
    """``a -> b``; of two tables only what differs."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        keys = [key for key in {**a, **b} if a.get(key) != b.get(key)]
        a, b = ({key: table.get(key) for key in keys} for table in (a, b))
    return f"{_short(a)} -> {_short(b)}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        told = " ".join(f"{key}={_short(item)}" for key, item in value.items() if item not in (None, {}, [], ()))
        return told or "none"
    return "none" if value is None else str(value)
