"""``vibro export``: a model as plain arrays, ONNX graphs and one script that gives scores and levels without vibro."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import __version__
from vibro.context import Context
from vibro.core.engine import Engine
from vibro.core.fitted import FittedEnsemble, Floats
from vibro.data import SignalBatch, make_batch
from vibro.errors import ConfigError, ParityError, PluginError
from vibro.host.manager import PluginHost
from vibro.io import files
from vibro.portable.assemble import loaded
from vibro.runs.export_parts import SCRIPT, Parts, add_verdict, collected, write
from vibro.runs.model import load_model, verify_model
from vibro.scoring.thresholds import fuse
from vibro.scoring.verdict import INDETERMINATE, ScoreMatrix, decide
from vibro.store import manifest

TURNED = 1.5  # times the size of the stored records, back to front: records that the fit has not seen


@dataclass(frozen=True)
class Probes:
    """Records with the scores that the model gives them: the stored ones, and the same turned round, new to it."""

    batch: SignalBatch
    instant: NDArray[np.intp]
    raw: Floats


def export(host: PluginHost, path: Path, out: Path) -> dict[str, Any]:
    """Writes a run's model to OUT as a script, its tables and graphs, after the script has given the model's own scores.

    A member that cannot be exported or gives other scores is left out and named with the reason. ConfigError for an OUT
    that is not empty or a missing extra; ParityError, and nothing is written, where too few members are left for a
    verdict, or calibration and fusion give other scores or levels.
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already", hint="choose another folder")
    fitted, _, meta = load_model(host, path)
    engine = Engine(host, Context(seed=fitted.seed, device="cpu", fs=fitted.schema["fs"]))
    verify_model(engine, fitted, meta, manifest.libraries())
    if fitted.calibration.method == "ecdf":
        raise ConfigError("calibration ecdf is not exported", hint="fit with calibration robust or z")
    probes = _probes(engine, fitted)
    parts = collected(engine, fitted, _inputs(probes))
    if parts.graphs and find_spec("onnxruntime") is None:
        raise ConfigError("onnxruntime is not installed", hint="pip install 'vibro[export]'")
    about = {
        **{"format": 1, "vibro": __version__, "ensemble": meta["ensemble"]["name"], "model": meta["digest"]},
        **{name: fitted.schema[name] for name in ("fs", "length", "channels", "unit", "sensors", "periods")},
        "covariates": fitted.schema["covariate_names"],
        "detectors": list(fitted.detectors),
        "linear": fitted.calibration.linear,
        "cuts": {name: float(min(cut, 1e300)) for name, cut in fitted.cuts.named.items()},
        "quorum": fitted.plan.ensemble.quorum,
    }
    add_verdict(engine, fitted, parts, about)
    with files.new_folder(out) as building:
        write(building, about, parts)
        worst = _compare(building, fitted, parts, probes)
        _check_quorum(fitted, parts)
        parts.members = [member for member in parts.members if member["id"] not in parts.left_out]
        expected = _expected(engine, fitted, parts, probes)
        parts.arrays["probes"] = expected
        write(building, {**about, "left_out": parts.left_out}, parts)
        worst["fused"] = _check_verdict(building)
    members = [{"id": m["id"], "graph": m["graph"], "difference": worst[m["id"]]} for m in parts.members]
    return {
        "path": out,
        "members": members,
        "left_out": parts.left_out,
        "difference": worst["fused"],
        "probes": len(probes.batch),
        "bytes": {file.name: file.stat().st_size for file in sorted(out.iterdir())},
        "notes": _notes(fitted, meta),
    }


def _probes(engine: Engine, fitted: FittedEnsemble) -> Probes:
    stored, schema = fitted.probes, fitted.schema
    turned = np.ascontiguousarray(stored["x"][..., ::-1]) * np.float32(TURNED)
    instant = stored["instant"].astype(np.intp)
    again = np.where(instant < 0, -1, instant + instant.max(initial=0) + 1)
    batch = replace(
        make_batch(np.concatenate([stored["x"], turned]), fs=schema["fs"], unit=schema["unit"]),
        sensor=np.tile(stored["sensor"], 2).astype(np.int32),
        sensors=tuple(schema["sensors"]),
        covariates=np.tile(stored["covariates"], (2, 1)),
        covariate_names=tuple(schema["covariate_names"]),
    )
    instants = np.concatenate([instant, again])
    raw, failed = engine.raw_scores(fitted, batch, instants)
    if failed:
        raise PluginError(f"detector {failed[0].id} failed on the probes of the model: {failed[0].reason}")
    return Probes(batch, instants, raw)


def _inputs(probes: Probes) -> dict[str, NDArray[Any]]:
    batch = probes.batch
    sensor, instant = (codes.astype(np.float32)[:, None] for codes in (batch.sensor, probes.instant))
    return {"raw": batch.x, "covariates": batch.covariates, "sensor": sensor, "instant": instant}


def _compare(folder: Path, fitted: FittedEnsemble, parts: Parts, probes: Probes) -> dict[str, float]:
    """The largest difference of each member's scores; one that is too large leaves the member out."""
    script = loaded(folder / SCRIPT)
    model, usual, found = script.Model(folder), _usual(fitted), {}
    for member in parts.members:
        ident = member["id"]
        j = fitted.detectors.index(ident)
        try:
            got = model.raw(_inputs(probes), [ident])[:, j]
        except Exception as error:  # of code or a graph that a plugin gave: one member less
            parts.left_out[ident] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            continue
        found[ident] = script.difference(got, probes.raw[:, j], float(usual[j]))
        if not found[ident] <= script.TOLERANCE:
            parts.left_out[ident] = (
                f"exported it gives other scores: they differ by {found[ident]:.2g} of their size"
                f" or usual deviation, more than {script.TOLERANCE:g}"
            )
    return found


def _check_quorum(fitted: FittedEnsemble, parts: Parts) -> None:
    left = [i for i, ident in enumerate(fitted.detectors) if ident not in parts.left_out]
    share = float(fitted.weights[left].sum() / max(fitted.weights.sum(), 1e-300))
    if not left or share < fitted.plan.ensemble.quorum - 1e-9:
        reasons = "; ".join(f"{ident}: {reason}" for ident, reason in parts.left_out.items())
        raise ParityError(
            f"nothing was written: {share:.0%} of the weight can be exported, and a verdict needs"
            f" {fitted.plan.ensemble.quorum:.0%} ({reasons})",
            hint="vibro distil RUN -o DIR",
        )


def _expected(engine: Engine, fitted: FittedEnsemble, parts: Parts, probes: Probes) -> dict[str, NDArray[Any]]:
    """The probes with what the model gives them from the members that are left."""
    batch = probes.batch
    lost = [ident in parts.left_out for ident in fitted.detectors]
    raw = np.where(lost, np.nan, probes.raw)
    z = fitted.calibrate(raw, batch)
    fused = fuse(engine.make_fuser(fitted), z)
    matrix = ScoreMatrix(fitted.detectors, batch.ids, raw, z)
    every, unseen = np.ones(len(batch), np.bool_), engine.unseen(fitted, batch)
    quorum, reference = fitted.plan.ensemble.quorum, fitted.reference["fused"]
    verdict = decide(matrix, fused, fitted.weights, fitted.cuts, reference, every, quorum, unseen)
    level = np.where(verdict.level == INDETERMINATE, 3, verdict.level).astype(np.int64)
    return {**_inputs(probes), "scores": raw, "fused": fused, "level": level, "usual": _usual(fitted)}


def _usual(fitted: FittedEnsemble) -> Floats:
    """(d,) how far normal scores of each member lie apart."""
    scale = fitted.calibration.arrays["scale"][-1]
    return np.where(np.isfinite(scale), scale, 1e-12)


def _check_verdict(folder: Path) -> float:
    """The largest difference of a score of the finished export; ParityError if it is too large."""
    script = loaded(folder / SCRIPT)
    worst = float(script.Model(folder).check())
    if not worst <= script.TOLERANCE:
        raise ParityError(
            "nothing was written: the export gives other fused scores or levels than the model"
            + (f" (they differ by {worst:.2g} of their size)" if np.isfinite(worst) else "")
        )
    return worst


def _notes(fitted: FittedEnsemble, meta: Mapping[str, Any]) -> list[str]:
    """What the model says of records and the script does not."""
    notes = []
    if "classifier" in meta:
        notes.append("the fine-tuned classifier is not in the script: classes come from vibro classify alone")
    if fitted.persistence.on:
        notes.append(
            "levels of the run follow each score with its neighbours in time; those of the script the score alone"
        )
    if len(fitted.marks.ids):
        notes.append("records that were marked as benign, and those like them, are not known to the script")
    return notes
