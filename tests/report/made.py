"""Run directories as an ensemble would leave them, of made-up scores and signals."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from vibro.io import files
from vibro.store import manifest, tables

DETECTORS = ("mahalanobis", "ecod", "iforest", "knn", "pca", "lof")


def made_run(folder: Path, n: int = 2000, labels: bool = True, timed: bool = True, sensors: int = 10) -> Path:
    """A run directory as an ensemble would leave it, of made-up scores: two machines, one of them going bad."""
    rng = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    sensor = np.arange(n) % sensors
    names = np.array([f"T{1 + i // max(1, sensors // 2)}-S{1 + i % max(1, sensors // 2)}" for i in range(sensors)])
    instant = np.arange(n) // sensors
    time = np.datetime64("2024-01-08T06:00:00", "ns") + instant * np.timedelta64(4 * 3600, "s")
    z = rng.standard_normal((n, len(DETECTORS))) * 0.5 + rng.standard_normal((n, 1)) * 0.8
    fault = (sensor < 2) & (instant > 0.7 * instant.max(initial=1))
    z[fault] += 2.5 + 6 * (instant[fault, None] / instant.max(initial=1) - 0.7) * rng.uniform(2, 6, (fault.sum(), 1))
    z[:, 5] *= -0.3
    z[3 :: max(4, n // 7), 2] = np.nan
    score = np.nanmean(z[:, :5], axis=1)
    level = np.select([score > 4.2, score > 2.4], ["alarm", "attention"], "normal").astype("U13")
    level[(sensor == sensors - 1) & (instant % 40 > 36)] = "invalid"
    if n > 50:
        level[17], score[17] = "indeterminate", np.nan
    order = np.sort(score[np.isfinite(score)])
    p = (1 + len(order) - np.searchsorted(order, score)) / (1 + len(order))
    columns = {
        "record_id": np.array([hashlib.sha256(str(i).encode()).hexdigest()[:16] for i in range(n)]),
        "source": np.full(n, "data/records.jsonl"),
        "row": np.arange(n),
        "sensor_id": names[sensor],
        "data_time": time if timed else np.full(n, np.datetime64("NaT", "ns")),
        "score": score,
        "persistent_score": score,
        "p_value": np.where(np.isfinite(score), p, np.nan),
        "level": level,
        "reason": np.where(level == "invalid", "data", ""),
        "agreement": np.clip(rng.normal(0.85, 0.1, n), 0, 1),
        "confidence": np.clip(rng.normal(0.9, 0.1, n), 0, 1),
        **{f"z_{d}": z[:, j] for j, d in enumerate(DETECTORS)},
    }
    tables.write_scores(folder, columns)
    finding = {"source": "data/records.jsonl", "code": "Q006", "reason": "bad_number", "disposition": "quarantined"}
    tables.write_quarantine(
        folder,
        [
            {
                **finding,
                "row": 11,
                "line": 12,
                "byte_offset": 9000,
                "detail": "token 17: '0.1x'",
                "excerpt": "…0.1x,0.2",
            },
            {
                **finding,
                "row": 40,
                "line": 41,
                "code": "Q008",
                "reason": "wrong_length",
                "detail": "got 8000, want 8192",
            },
            {**finding, "row": 99, "line": 100, "code": "Q014", "reason": "constant", "disposition": "invalid"},
        ],
    )
    tables.write_machines(
        folder,
        [
            {"machine_id": "T2", "level": "normal", "records_alarm": 0, "sensors_alarm": 0, "sensors_total": 5, "score": 0.4,
             "confidence": 0.98},
            {"machine_id": "T1", "level": "alarm", "reason": "sustained", "since": np.datetime64("2024-02-04T02:00"),
             "records_alarm": 9, "sensors_alarm": 2, "sensors_total": 5, "score": 11.25, "confidence": 0.93},
        ],
    )  # fmt: skip
    cases = made_cases(columns, [name[:2] for name in names[sensor]])
    auc = {"mahalanobis": 0.95, "ecod": 0.91, "iforest": 0.9, "knn": 0.94, "pca": 0.88, "lof": 0.41}
    correlation = np.eye(len(DETECTORS)) if n < 3 else np.corrcoef(np.nan_to_num(z).T)
    summary = {
        "schema": 1,
        "status": "complete",
        "ensemble": "quick",
        "records": {
            "read": n + 2,
            "accepted": n,
            "quarantined": 2,
            "invalid": int((level == "invalid").sum()),
            "by_code": {"Q006": 1, "Q008": 1, "Q014": 1},
            "by_file": [{"source": "data/records.jsonl", "read": n + 2, "accepted": n, "quarantined": 2}],
        },
        "sensors": [
            {"sensor_id": name, "machine_id": name[:2], "records": n // sensors, "calibration": "own" if i else "pooled"}
            for i, name in enumerate(names)
        ],
        "signal": {"fs": 8192.0, "fs_source": "estimated", "unit": "unknown", "length": 8192, "channels": 1, "mains_hz": 50},
        "levels": {},
        "detectors": [
            {
                "id": d, "component": d, "plugin": "mahalanobis", "version": "0.1.0", "view": "per_sensor(of=mains)",
                "params": {}, "status": "ok", "reason": "", "health": {"condition": 41.5}, "weight": 0.0 if d == "lof" else 0.2,
                "sensitivity": {"passed": d != "lof", "margin": 2.31}, "cut": 2.9, "fit_seconds": 1.2 * i, "score_seconds": 0.3,
            }
            for i, d in enumerate(DETECTORS)
        ] + [{"id": "ocsvm", "component": "ocsvm", "view": "zerone", "status": "excluded", "weight": 0.0, "health": {},
              "sensitivity": None, "reason": "needs 200 rows, 60 were given"}],
        "fusion": {"fuser": "auto", "weights": dict.fromkeys(DETECTORS, 0.2), "n_used": 5, "n_planned": 7,
                   "correlation": correlation.tolist(), "warnings": []},
        "thresholds": {"method": "quantile", "budget": {"attention": 0.05, "alarm": 0.01},
                       "cuts": {"attention": 2.4, "alarm": 4.2}, "realised": {"attention": 0.0712, "alarm": 0.0342},
                       "fallback": None, "interval": [3.9, 4.6]},
        "cases": {"count": len(cases), "first": cases[:50]},
        "timings": {"ingest": 3.2, "views": 4.25, "fit": 8.0, "score": 2.0, "total": 18.44},
        "resources": {"max_rss_mb": 612.0, "device": "cpu", "threads": 1},
        "metrics": None,
        "top": [],
        "warnings": ["lof ranks against the other detectors (mean rank correlation -0.31); its weight is 0"],
        "failures": [],
    }  # fmt: skip
    if labels:
        summary["metrics"] = {
            "labels": {"key": "record_id", "matched": n, "normal": n - 60, "anomalous": 60, "learned_from": False},
            "prior": 60 / n,
            "fused": {"roc_auc": 0.963, "average_precision": 0.712, "precision_at_k": 0.7, "recall_at_budget": 0.65,
                      "false_alarm_rate": 0.008, "f1": 0.69, "interval": {"roc_auc": [0.94, 0.98]}},
            "detectors": {d: {"roc_auc": v, "average_precision": max(0.02, v - 0.4)} for d, v in auc.items()},
            "baselines": {"rms": 0.71, "kurtosis": {"roc_auc": 0.62, "average_precision": 0.1}, "random": 0.5},
            "per_class": {"bearing": {"n": 30, "roc_auc": 0.98, "recall_at_budget": 0.8}, "looseness": {"n": 30, "roc_auc": 0.46,
                          "recall_at_budget": 0.1}},
            "confound": {}, "warnings": [],
        }  # fmt: skip
    files.write_text(folder / "summary.json", files.to_json(summary))
    decision = {"time": "2024-03-01T00:00:00Z", "method": "quantile", "budget": {"alarm": 0.01, "attention": 0.05}}
    built = manifest.build(
        folder, command=["vibro", "ensemble", "run", "data", "-o", "OUT"], status="complete", seed=0, device="cpu",
        started="2024-03-01T00:00:00+00:00", fingerprint="ab" * 32, rows={"fit": 1600, "reference": 400, "how": "all"},
        decisions=[{**decision, "cuts": {"attention": 2.5, "alarm": 4.4}}, {**decision, "cuts": {"attention": 2.4, "alarm": 4}}],
    )  # fmt: skip
    manifest.write(folder, built)
    return folder


def made_cases(columns: dict[str, np.ndarray], machines: list[str]) -> list[dict]:
    """A case for every ten records in alarm of a machine."""
    cases = []
    for machine in sorted(set(machines)):
        rows = np.flatnonzero((columns["level"] == "alarm") & (np.array(machines) == machine))
        for part in np.array_split(rows, max(1, len(rows) // 10)) if len(rows) else []:
            time, highest = np.sort(columns["data_time"][part]), part[np.argmax(columns["score"][part])]
            cases.append(
                {"machine_id": machine, "level": "attention" if cases else "alarm", "since": time[0], "until": time[-1],
                 "open": False, "instants": len(part), "instants_total": len(part) + 1, "records": len(part),
                 "sensors": sorted(set(columns["sensor_id"][part].tolist())), "confidence": 0.9,
                 "hypothesis": {"name": "winding: looseness", "grade": "weak", "evidence": ["100 Hz rose by 8 dB"],
                                "against": [], "marks": [{"hz": 100.0, "text": "2 x mains", "where": "spectrum"}]},
                 "record_id": str(columns["record_id"][highest]), "score": float(columns["score"][highest])}
            )  # fmt: skip
    return [{"case": i + 1, **case} for i, case in enumerate(cases)]


def made_signals(ids) -> tuple[dict[str, np.ndarray], list[str]]:
    """Noise with a line of 100 Hz for any record."""
    found = {}
    for ident in ids:
        rng = np.random.default_rng(int(ident, 16))
        tone = np.sin(2 * np.pi * 100 * np.arange(2048) / 8192)
        found[ident] = (tone + 0.1 * rng.standard_normal(2048)).astype(np.float32)[None]
    return found, []
