"""Which frequencies make a record's score: the model judges it again with one band at a time as in similar normal records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.context import Context
from vibro.core.engine import Engine
from vibro.core.fitted import FittedEnsemble
from vibro.data import SignalBatch, make_batch
from vibro.errors import StateError, VibroError
from vibro.host.manager import PluginHost
from vibro.report.data import RunData
from vibro.report.explain import Explanation, covariates
from vibro.runs.model import MODEL, load_model
from vibro.scoring.thresholds import fuse

BANDS = 10
LOWEST = 0.01  # of fs: below lies one band

Floats = NDArray[np.float64]


def occlusion(host: PluginHost, found: Explanation) -> tuple[dict[str, Any] | None, str]:
    """``{score, score_as_normal, normal[], bands[{low_hz, high_hz, score, fall, z{detector: fall}}]}``, or None and why not.

    ``score`` of a band is what the fused score of the record would be if the band were as in the normal records of its sensor
    in the most similar state, ``normal``, a mean over them; ``fall`` how much lower that is; ``z`` the same of each detector.
    All detectors are asked alike, networks too: nothing but the samples changes (occlusion: Zeiler and Fergus, ECCV 2014).
    """
    run, row = found.run, found.row
    if not found.signal.size or not len(found.alike):
        return None, "which band makes the score cannot be said without the samples of the record and of normal ones"
    hz, bands = band_edges(found.signal.shape[1], found.fs)
    copies = [found.signal]
    for one in found.alike:
        copies += [as_in(found.signal, one, (hz >= low) & (hz < high)) for low, high in bands]
        copies.append(as_in(found.signal, one, np.ones(len(hz), np.bool_)))
    batch = batch_of(run, [row] * len(copies), np.stack(copies))
    try:
        fitted = model_of(host, run)
        engine = Engine(host, Context(seed=fitted.seed))
        z = engine.score_survivors(fitted, batch)[0].z
        score = fuse(engine.make_fuser(fitted), z)
    except VibroError as error:
        return None, f"which band makes the score cannot be said: {error}"
    base, rest = score[0], score[1:].reshape(len(found.alike), len(bands) + 1)
    if not np.isfinite(base):
        return None, "which band makes the score cannot be said: without its neighbours no detector judges the record"
    falls = (z[0] - z[1:]).reshape(len(found.alike), len(bands) + 1, -1).mean(axis=0)
    table = {
        "score": float(base),
        "score_as_normal": float(rest[:, -1].mean()),
        "normal": list(found.alike_ids),
        "bands": [
            {
                "low_hz": low,
                "high_hz": high,
                "score": float(rest[:, k].mean()),
                "fall": float(base - rest[:, k].mean()),
                "z": {name: float(v) for name, v in zip(fitted.detectors, falls[k], strict=True) if np.isfinite(v)},
            }
            for k, (low, high) in enumerate(bands)
        ],
    }
    return table, ""


def model_of(host: PluginHost, run: RunData) -> FittedEnsemble:
    """The model that gave the scores: the run's own, or for a run of ``vibro score`` that which it was told, if unchanged."""
    own = (run.folder / MODEL).is_dir()
    used = {} if own else run.manifest["settings"]["model"]
    fitted, _, kept = load_model(host, run.folder if own else Path(used["path"]), allow_missing=True)
    if not own and kept["digest"] != used["digest"]:
        raise StateError(f"the model in {used['path']} is not the one that scored the run")
    return fitted


def with_occlusion(host: PluginHost, found: Explanation) -> Explanation:
    """The explanation with ``occlusion`` in its table, null where it cannot be had, which a note says."""
    bands, why = occlusion(host, found)
    return replace(found, table={**found.table, "occlusion": bands}, notes=(*found.notes, *([why] if why else [])))


def batch_of(run: RunData, rows: Sequence[int], x: NDArray[np.float32]) -> SignalBatch:
    """Samples x (n, C, T) as records of a run, with all else that its ``rows`` (n,) have."""
    sensors = [run.sensors[run.sensor[row]] for row in rows]
    names, values = covariates(run)
    told = run.summary["signal"]
    return make_batch(
        x,
        fs=float(told["fs"]),
        sensor=sensors,
        time=[run.scores["data_time"][row] for row in rows],
        machine=[told_machine(run.summary, sensor) for sensor in sensors],
        covariates=values[list(rows)],
        covariate_names=names,
        unit=str(told["unit"]),
    )


def band_edges(samples: int, fs: float) -> tuple[Floats, list[tuple[float, float]]]:
    """The frequencies in Hz of a record's spectrum, and bands (low, high) that hold at least one of them each."""
    hz = np.asarray(np.fft.rfftfreq(samples, 1 / fs), np.float64)
    edges = np.r_[0.0, np.geomspace(LOWEST * fs, fs / 2 * (1 + 1e-9), BANDS)]
    pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return hz, [(low, high) for low, high in pairs if ((hz >= low) & (hz < high)).any()]


def as_in(x: NDArray[np.float32], other: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The record x (C, T) with the frequencies ``inside`` (T // 2 + 1,) of another."""
    mine, theirs = np.fft.rfft(x, axis=1), np.fft.rfft(other, axis=1)
    return np.fft.irfft(np.where(inside, theirs, mine), x.shape[1], axis=1).astype(np.float32)


def told_machine(summary: Mapping[str, Any], sensor: str) -> str:
    """The machine of a sensor as the run's summary has it, the sensor's own name where it has none."""
    known = {s["sensor_id"]: s.get("machine_id") for s in summary.get("sensors", [])}
    return str(known.get(sensor) or sensor)
