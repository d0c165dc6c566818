"""Small pools of records and small runs of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vibro.cli import run as vibro

FS, SAMPLES, RECORDS = 4096, 448, 80


def signals(n: int = RECORDS, faults: int = 4, seed: int = 0) -> np.ndarray:
    """Tones in noise, the last ones with strong impacts."""
    rng = np.random.default_rng(seed)
    t = np.arange(SAMPLES) / FS
    x = np.sin(2 * np.pi * 200 * t + rng.uniform(0, 6, (n, 1))) + 0.3 * rng.standard_normal((n, SAMPLES))
    x[n - faults :] += 10 * (rng.random((faults, SAMPLES)) < 0.03)
    return x.astype(np.float32)


def save_pool(path: Path, n: int = RECORDS, seed: int = 0) -> Path:
    """A file of records of two sensors."""
    np.savez(path, signals=signals(n, seed=seed), fs=float(FS), sensor_id=np.array(["a", "b"] * (n // 2)))
    return path


def ensemble_run(data: Path, out: Path, *more: str) -> int:
    """The exit code of a small run without report."""
    line = ["ensemble", "run", str(data), "-o", str(out), "--ensemble", "quick", "--detectors", "mahalanobis,knn"]
    return vibro([*line, "--no-report", "--quiet", *more])
