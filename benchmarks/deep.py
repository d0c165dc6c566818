"""The deep detectors on five protocols: what they find, against their untrained selves, and the ensemble beside them.

    python -m benchmarks.deep PROTOCOL[,PROTOCOL] NAME[,NAME] [seeds=5] [entries=FILE.toml] [only=untrained]

Protocols: ``simulator`` and ``simulator_load`` (2,000 records, judged in place, without and with covariates), ``few50``,
``few100``, ``few200`` and ``few500`` (as many simulated records, a tenth of them faulty), ``ecg`` (the first 80 % of normal
beats in file order against all others), ``motor`` (first halves of the normal recordings against the second halves of all),
``cwru``, ``mfpt`` and ``bearings`` (run to failure; the first fifth of each life is fitted). A name is a detector or an
ensemble of the registry, or ``ENSEMBLE:MEMBER``, a detector as that ensemble has it; ``only=untrained`` measures nothing but the
detector's untrained twin. Rows are kept in
``benchmarks/results/deep``; a row measured again replaces the old one.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import RESULTS, sources, table, write

HERE = Path(__file__).parent
ATTENTION, ALARM = 0.05, 0.02  # false-alarm budgets of F1 and of recall
UNTRAINED = ("epochs", "pretrain")  # settings that are 0 in the untrained twin
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """Records, the rows to fit, the rows to judge with their labels (n,), and groups judged by themselves, if any."""

    batch: Any
    fit: NDArray[np.intp]
    judged: NDArray[np.intp]
    y: NDArray[np.int16]
    group: NDArray[np.int32]
    fault: NDArray[np.str_]


def plant(covariates: bool, records: int = 2000, faults: float = 0.05) -> Callable[[int], Task]:
    """The simulated transformer, judged in place."""

    def make(seed: int) -> Task:
        from vibro.benchmark.datasets import SetEntry, load_set

        data = load_set(
            SetEntry("plant", simulate={"records": records, "faults": faults}, covariates=covariates), None, seed
        )
        return in_place(data)

    return make


def in_place(data: Any) -> Task:
    """Every record fitted and judged."""
    rows = np.flatnonzero(data.batch.valid)
    return Task(data.batch, rows, rows, data.y[rows], np.zeros(len(rows), np.int32), data.fault_type[rows])


def real(name: str, **settings: Any) -> Any:
    """A set of the folder VIBRO_TEST_DATA, and its arrays."""
    import os

    from vibro.benchmark.datasets import SetEntry, load_set

    folder = Path(os.environ["VIBRO_TEST_DATA"])
    entry = SetEntry(name, path=f"{name}/{name}.npz", **settings)
    return load_set(entry, folder), np.load(folder / entry.path, allow_pickle=False)


def parted(data: Any, fit: NDArray[np.bool_], judged: NDArray[np.bool_], group: Any = None) -> Task:
    """Fits some rows and judges others."""
    rows, fit_rows = np.flatnonzero(judged), np.flatnonzero(fit)
    groups = np.zeros(len(rows), np.int32) if group is None else group[rows]
    return Task(data.batch, fit_rows, rows, data.y[rows], groups, data.fault_type[rows])


def ecg(seed: int) -> Task:
    """The split of the LSTM-AE reference: 80 % of the normal beats in file order against the rest and all abnormal ones."""
    data, _ = real("ecg5000", fs=140.0)
    return parted(data, data.split == "train", data.split == "test")


def motor(seed: int) -> Task:
    """Windows of 4,096: the first halves of the normal recordings every 512 points, the second halves of all without overlap."""
    from vibro.data import make_batch

    _, file = real("adi_motor", window=4096)
    x, label = file["signals"], file["label"]
    half = x.shape[1] // 2
    fit_at, test_at = range(0, half - 4095, 512), range(half, x.shape[1] - 4095, 4096)
    where = [(i, o) for i in np.flatnonzero(label == 0) for o in fit_at]
    fitted = len(where)
    where += [(i, o) for i in range(len(x)) for o in test_at]
    recording, start = np.array(where).T
    sensor = file["sensor_id"][recording]
    batch = make_batch(
        np.stack([x[i, None, o : o + 4096] for i, o in where]),
        fs=float(file["fs"]),
        sensor=sensor.tolist(),
        machine=["adi-motor"] * len(where),
        recording=[f"{name}@{o >= half}" for name, o in zip(file["source_file"][recording], start, strict=True)],
        source=["adi_motor"] * len(where),
        time=[np.datetime64("NaT", "ns")] * len(where),
        row=list(range(len(where))),
    )
    judged = np.arange(fitted, len(where))
    y = label[recording].astype(np.int16)[judged]
    return Task(batch, np.arange(fitted), judged, y, np.zeros(len(y), np.int32), file["fault_type"][recording][judged])


def cwru(seed: int) -> Task:
    """Windows of 1,024: the first half of the one normal recording against its second half and all faults."""
    data, file = real("cwru_0hp", window=1024)
    start = np.repeat(file["window_start"], 2) + np.tile([0, 1024], len(file["label"]))
    normal = data.y == 0
    early = start < np.median(start[normal])
    return parted(data, normal & early, ~(normal & early))


def mfpt(seed: int) -> Task:
    """One normal recording against the other and all faults."""
    data, file = real("mfpt")
    first = file["source_file"] == np.unique(file["source_file"][file["label"] == 0])[0]
    return parted(data, first, ~first)


def bearings(seed: int) -> Task:
    """Each bearing's first fifth is fitted; labelled records of the rest are judged, bearing by bearing."""
    data, file = real("pronostia", machine="(.*)-[hv]$")
    early = file["life_fraction"] < 0.2
    return parted(data, early, ~early & (data.y >= 0), data.batch.machine)


PROTOCOLS: dict[str, Callable[[int], Task]] = {
    "simulator": plant(False),
    "simulator_load": plant(True),
    **{f"few{n}": plant(False, n, 0.1) for n in (50, 100, 200, 500)},
    "ecg": ecg,
    "motor": motor,
    "cwru": cwru,
    "mfpt": mfpt,
    "bearings": bearings,
}


def entry_of(host: Any, protocol: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A table of an ensemble: the registry's, or one with this detector alone."""
    if name in host.registry.ensembles:
        return dict(host.registry.ensemble(name))
    ensemble, _, member = name.rpartition(":")
    entry = {"use": name, **given.get(protocol, {}).get(name, {})}
    if ensemble:
        members = host.registry.ensemble(ensemble)["detectors"]
        entry = {**next(e for e in members if e.get("id", e["use"]) == member), "id": name}
    return {"detectors": [entry], "fuser": {"use": "weighted_mean"}}


def figures(task: Task, score: Floats, reference: Floats) -> dict[str, Any]:
    """ROC AUC (mean over groups), average precision, F1 and recall at cuts from held-out fit rows, AUC by fault."""
    from vibro.benchmark.metrics import score_table

    found = []
    for g in np.unique(task.group):
        mine = task.group == g
        found.append(score_table(task.y[mine], score[None, mine]))
    out: dict[str, Any] = {key: float(np.mean([f[key][0] for f in found])) for key in ("roc_auc", "average_precision")}
    known = reference[np.isfinite(reference)]
    bad = task.y == 1
    over = score > np.quantile(known, 1 - ATTENTION)
    out["f1"] = float(2 * (over & bad).sum() / max(over.sum() + bad.sum(), 1))
    limit = np.quantile(score[task.y == 0], 1 - ALARM)
    out["recall"] = float((score[bad] > limit).mean())
    out["faults"] = {}
    for fault in np.unique(task.fault[bad]):
        mine = (task.y == 0) | (bad & (task.fault == fault))
        out["faults"][str(fault)] = round(float(score_table(task.y[mine], score[None, mine])["roc_auc"][0]), 3)
    return out


def fit(
    host: Any, protocol: str, name: str, task: Task, seed: int, given: Mapping[str, Any], twin: bool = False
) -> list[dict[str, Any]]:
    """Rows of one ensemble, its members, and the untrained twin of a detector that is alone; or of the ``twin`` only."""
    from vibro.context import Context
    from vibro.core.engine import Engine
    from vibro.core.folds import make_rows
    from vibro.core.planning import make_plan
    from vibro.errors import QuorumError
    from vibro.injection.fit import fit_ensemble

    plan = make_plan(host, name, entry_of(host, protocol, name, given))
    rows = make_rows(task.batch, task.fit)
    alone = name not in host.registry.ensembles
    key = {"protocol": protocol, "seed": seed}
    out: list[dict[str, Any]] = []
    if twin:
        return [{**key, "name": f"{name}, untrained", **figures(task, *untrained(host, plan, task, rows, seed))}]
    try:
        engine = Engine(host, Context(seed=seed, fs=task.batch.fs))
        fitted, report, matrix = fit_ensemble(engine, plan, task.batch, rows)
    except QuorumError as error:
        out.append({**key, "name": name, "skipped": error.message})
    else:
        fused = engine.decide(fitted, matrix, task.batch).score
        if not alone:
            out.append({**key, "name": name, **figures(task, fused[task.judged], fitted.reference["fused"])})
        for result in report.results:
            row = {**key, "name": result.id if alone else f"{name}: {result.id}", "health": dict(result.health)}
            row |= {"fit_seconds": result.fit_seconds, "score_seconds": result.score_seconds}
            if result.status == "ok":
                j = matrix.detectors.index(result.id)
                row |= figures(task, matrix.z[task.judged, j], fitted.reference["z"][:, j])
            else:
                row["skipped"] = result.reason
            out.append(row)
    if alone and "skipped" not in out[-1]:
        out.append({**key, "name": f"{name}, untrained", **figures(task, *untrained(host, plan, task, rows, seed))})
    return out


def untrained(host: Any, plan: Any, task: Task, rows: Any, seed: int) -> tuple[Floats, Floats]:
    """Calibrated scores of the judged rows, and of the held-out fit rows, by the same network before its first step.

    It sees what the trained one sees: the same rows and disturbed copies for its scales, centre and neighbours, the same rows
    held out.
    """
    from vibro.context import Context
    from vibro.core.engine import Engine
    from vibro.injection.disturbed import disturb_rows
    from vibro.scoring.calibration import Calibration

    planned, batch = plan.detectors[0], task.batch
    known = set(planned.cls.Params.__dataclass_fields__)
    twin = replace(planned, params=replace(planned.params, **{key: 0 for key in UNTRAINED if key in known}))
    engine = Engine(host, Context(seed=seed, fs=batch.fs))
    copies = None
    if twin.cls.wants_copies(twin.params):
        copies = disturb_rows(batch, rows.by_id(batch).fit, engine.ctx.child("disturbed").seed)
    fitted = engine.fit_detectors(replace(plan, detectors=(twin,)), batch, rows, copies=copies)
    found, fit = fitted.results[twin.id], fitted.rows.fit
    if found.scores is None or found.reference is None:
        raise SystemExit(f"the untrained {twin.id} gives no scores: {found.reason}")
    sensor, covariates = batch.sensor[fit], batch.covariates[fit]
    calibration, z = Calibration.fit(found.reference[:, None], sensor, len(batch.sensors), covariates=covariates)
    judged = found.scores[task.judged][:, None]
    return calibration.apply(judged, batch.sensor[task.judged], batch.covariates[task.judged])[:, 0], z[:, 0]


def trivial(task: Task, seed: int) -> list[dict[str, Any]]:
    """Rows of the scores that need no model."""
    from vibro.benchmark.baselines import trivial_scores

    scores = trivial_scores(task.batch, seed, task.fit)
    return [{"name": name, **figures(task, s[task.judged], s[task.fit])} for name, s in scores.items()]


def main(words: list[str]) -> int:
    """Measures, keeps the rows and writes the tables."""
    from vibro.host.manager import PluginHost

    options = dict(word.split("=", 1) for word in words if "=" in word)
    places = [word for word in words if "=" not in word]
    if len(places) != 2 or not set(places[0].split(",")) <= set(PROTOCOLS):
        print(__doc__, file=sys.stderr)
        return 2
    given = tomllib.loads(Path(options.get("entries", HERE / "deep.toml")).read_text())
    file = RESULTS / "deep" / "deep.json"
    kept = json.loads(file.read_text())["rows"] if file.is_file() and "entries" not in options else []
    host, code = PluginHost.create(autoload=False), sources()[:12]
    for protocol in places[0].split(","):
        for seed in range(int(options.get("seeds", 1))):
            task = PROTOCOLS[protocol](seed)
            for name in places[1].split(","):
                new = fit(host, protocol, name, task, seed, given, options.get("only") == "untrained")
                for row in new:
                    shown = {k: v for k, v in row.items() if k != "health"}
                    print(json.dumps(shown, default=lambda v: round(float(v), 4)), flush=True)
                new += [{"protocol": protocol, "seed": seed, **row} for row in trivial(task, seed)]
                about = {"prior": float((task.y == 1).mean()), "data": task.batch.fingerprint, "code": code}
                new = [{**row, **about} for row in new]
                names = {row["name"] for row in new}
                kept = [r for r in kept if (r["protocol"], r["seed"]) != (protocol, seed) or r["name"] not in names]
                kept += new
        if "entries" not in options:
            write("deep", {"rows": kept}, report(kept))
    return 0


def report(rows: list[dict[str, Any]]) -> list[str]:
    """One table per protocol: mean, lowest and highest over seeds."""
    lines = []
    keys = ("roc_auc", "average_precision", "f1", "recall")
    for protocol in PROTOCOLS:
        mine = [row for row in rows if row["protocol"] == protocol]
        body = []
        for name in dict.fromkeys(row["name"] for row in mine):
            many = [row for row in mine if row["name"] == name]
            good = [row for row in many if "roc_auc" in row]
            cells = [_spread([row[key] for row in good]) for key in keys]
            seconds = [row["fit_seconds"] + row["score_seconds"] for row in many if "fit_seconds" in row]
            skipped = next((row["skipped"] for row in many if "skipped" in row), "")
            body.append([name, f"{len(good)} of {len(many)}", *cells, _spread(seconds, 1), skipped])
        if body:
            heads = ["", "seeds", "ROC AUC", "AP", "F1", f"recall at {ALARM:.0%} false alarms", "seconds", "skipped"]
            prior = {round(row["prior"], 3) for row in mine if "prior" in row}
            lines += [f"## {protocol}", "", f"Share of anomalies among the evaluated rows: {_range(prior)}.", ""]
            lines += table(heads, body)
    states = len({row.get("code") for row in rows})
    lines.append(
        f"Rows of {states} state(s) of the program, each named in deep.json. Seeds: with scores, of all."
        f" Mean (lowest to highest) over seeds. F1: cut at the {1 - ATTENTION:.0%} quantile of fit rows that were held out."
        " Recall: at the stated share of the judged normals. Seconds: fit and score of all records on one core."
    )
    return lines


def _range(values: set[float]) -> str:
    return " to ".join(f"{v:.3f}" for v in sorted({min(values), max(values)})) if values else "not kept"


def _spread(values: list[float], digits: int = 3) -> str:
    if not values:
        return ""
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
