"""``vibro accept``: what a sensor shows since a repair is its new baseline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vibro.context import Context
from vibro.core.engine import Engine
from vibro.core.fitted import FittedEnsemble, Floats
from vibro.data import SignalBatch, make_batch, parse_time
from vibro.errors import ConfigError, IncompatibleModelError
from vibro.host.manager import PluginHost
from vibro.io.tensors import decode_text, load_tensors
from vibro.runs.model import MODEL, WITHOUT, load_model, model_folder
from vibro.scoring.thresholds import fuse
from vibro.scoring.verdict import INVALID
from vibro.store import bundle, manifest
from vibro.store.bundle import BundleParts
from vibro.store.index import SCORES, index_of
from vibro.store.place import is_run
from vibro.store.rundir import RunDir

FEWEST = 20  # records of a new baseline


@dataclass(frozen=True)
class Accepted:
    """A new baseline: the ``model`` that has it, its ``records``, and the median z of these before and after."""

    model: Path
    records: int
    before: float
    after: float


def accept_baseline(host: PluginHost, path: Path, sensor: str, since: str) -> Accepted:
    """Recalibrates one sensor of the model that a run fitted, or was scored with, on its records since a date.

    Detectors, views, weights and cuts stay as they were, and the run itself does too. ConfigError for a sensor that model
    or run do not have, for a date that is none, and for too few records.
    """
    try:
        start = parse_time(since if "T" in since else f"{since}T00:00:00Z")[0]
    except ValueError as error:
        raise ConfigError(f"--since {since!r}: {error}", hint="--since 2024-05-01 or 2024-05-01T10:00:00Z") from None
    if not path.is_dir() or not is_run(path):
        raise ConfigError(f"{path} is no run directory", hint="vibro score MODEL DATA -o RUN makes one of new records")
    kept = manifest.verify(path)
    stored = load_tensors(path / SCORES)
    batch = index_of(stored)
    if sensor not in batch.sensors:
        raise ConfigError(f"the run has no sensor {sensor!r}", hint=f"sensors: {', '.join(batch.sensors[:8])}")
    rows = np.flatnonzero(
        (batch.sensor == batch.sensors.index(sensor)) & (batch.time >= start) & (stored["level"] != INVALID)
    )
    if len(rows) < FEWEST:
        raise ConfigError(
            f"sensor {sensor} has {len(rows)} valid records since {since}; {FEWEST} are needed", hint="wait for more"
        )
    place = path if (path / MODEL).is_dir() else Path(kept["settings"]["model"]["path"])
    folder = model_folder(place)
    fitted, _, _ = load_model(host, folder)
    if fitted.detectors != tuple(map(str, decode_text(stored["detectors"]))):
        raise IncompatibleModelError(f"{folder} is not the model that these records were scored with")
    if sensor not in fitted.schema["sensors"]:
        raise ConfigError(f"the model does not know sensor {sensor!r}", hint="fit again with its records")
    mine = batch.take(rows).with_codes(fitted.schema["sensors"], fitted.schema["covariate_names"])
    fitted = _recalibrated(host, fitted, stored["raw"][rows], mine)
    parts = bundle.load(folder)
    tensors = {**parts.tensors, "calibration": fitted.calibration.arrays, "probes": dict(fitted.probes)}
    if fitted.without_covariates is not None:
        tensors[WITHOUT] = fitted.without_covariates.arrays
    parts = BundleParts(parts.meta, tensors)
    if is_run(folder.parent) and folder.name == MODEL:
        whole = manifest.verify(folder.parent)
        with RunDir.edit(folder.parent) as run:
            bundle.save(run.path / MODEL, parts)
            manifest.write(run.path, {**whole, "files": manifest.run_files(run.path)})
    else:
        bundle.save(folder, parts)
    after = fitted.calibrate(stored["raw"][rows], mine)
    return Accepted(folder, len(rows), float(np.nanmedian(stored["z"][rows])), float(np.nanmedian(after)))


def _recalibrated(host: PluginHost, fitted: FittedEnsemble, raw: Floats, batch: SignalBatch) -> FittedEnsemble:
    """The model with a new baseline for the sensor of these records, whose raw scores (r, d) it gave; in its own codes."""
    code, bare = int(batch.sensor[0]), fitted.without_covariates
    calibration = fitted.calibration.accepted(code, raw, batch.covariates)
    if bare is not None:
        bare = bare.accepted(code, raw, np.full_like(batch.covariates, np.nan))
    fitted = replace(fitted, calibration=calibration, without_covariates=bare)
    probes = fitted.probes
    known = replace(
        make_batch(probes["x"], fs=fitted.schema["fs"]),
        sensor=probes["sensor"].astype(np.int32),
        sensors=tuple(fitted.schema["sensors"]),
        covariates=probes["covariates"],
        covariate_names=tuple(fitted.schema["covariate_names"]),
    )
    fuser = Engine(host, Context(seed=fitted.seed)).make_fuser(fitted)
    return replace(fitted, probes={**probes, "fused": fuse(fuser, fitted.calibrate(probes["raw"], known))})
