"""A fitted ensemble on disk: FittedEnsemble to the parts of a bundle and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vibro.api import ViewKey
from vibro.core.engine import Engine
from vibro.core.fitted import FittedEnsemble
from vibro.core.plan import make_plan, resolved
from vibro.core.worker import DetectorResult
from vibro.errors import PluginError, StateError
from vibro.host.manager import PluginHost
from vibro.injection.sensitivity import Sentinel
from vibro.injection.trial import Trial
from vibro.scoring.domain import Domain
from vibro.scoring.thresholds import Cuts, named_cuts
from vibro.scoring.verdict import Calibration
from vibro.store import bundle
from vibro.store.bundle import BundleParts

MODEL = "model"


def model_folder(path: Path) -> Path:
    """The ``model/`` of a run directory, or the folder itself if it is one."""
    return path / MODEL if (path / MODEL).is_dir() else path


def save_model(folder: Path, fitted: FittedEnsemble, versions: Mapping[str, str], mains_hz: float | None) -> None:
    """Writes the bundle."""
    views = list(fitted.views)
    meta = {
        "ensemble": resolved(fitted.plan),
        "plugins": {d.id: {"plugin": d.plugin, "version": d.version} for d in fitted.plan.detectors},
        "schema": {**fitted.schema, "mains_hz": mains_hz},
        "seed": fitted.seed,
        "detectors": list(fitted.detectors),
        "views": [{"name": key.name, "params": key.params} for key in views],
        "calibration": {"method": fitted.calibration.method, "clip": list(fitted.calibration.clip)},
        "cuts": named_cuts(fitted.cuts),
        "cut_details": dict(fitted.cut_details),
        "results": [
            {key: value for key, value in asdict(r).items() if key not in ("state", "held", "reference", "scores")}
            for r in fitted.results
        ],
        "sentinels": {i: asdict(s) for i, s in fitted.sentinels.items()},
        "notes": list(fitted.notes),
        "fusers": dict(fitted.fusers),
        "rows": dict(fitted.rows),
        "libraries": dict(versions),
    }
    tensors = {f"detectors/{i}": state for i, state in fitted.states.items()}
    tensors |= {f"views/{j:02d}": dict(fitted.views[key]) for j, key in enumerate(views)}
    tensors["calibration"] = fitted.calibration.arrays
    tensors["domain"] = fitted.domain.arrays
    tensors["fusion"] = {
        "weights": fitted.weights,
        "own_cuts": fitted.cuts.own,
        "resampled_cuts": fitted.cuts.resampled,
    }
    if fitted.trial is not None:
        tensors["audition"] = fitted.trial.state()
    tensors["fuser"] = fitted.fuser_state
    tensors["reference"] = fitted.reference
    tensors["probes"] = fitted.probes
    bundle.save(folder, BundleParts(meta, tensors))


def load_model(host: PluginHost, path: Path, *, allow_missing: bool = False) -> tuple[FittedEnsemble, dict[str, Any]]:
    """The fitted ensemble of a run directory or bundle, and its meta table; nothing is run from the files.

    PluginError names a detector that this installation cannot give, unless ``allow_missing``: its column stays empty.
    """
    folder = model_folder(path)
    parts = bundle.load(folder)
    meta, tensors = {**parts.meta, "digest": bundle.read_manifest(folder)["digest"]}, parts.tensors
    try:
        table = {key: value for key, value in meta["ensemble"].items() if key != "name"}
        plan = make_plan(host, meta["ensemble"]["name"], table, allow_missing=True)
        lost = [ident for ident, _ in plan.absent if ident in meta["detectors"]]
        if lost and not allow_missing:
            reason = dict(plan.absent)[lost[0]]
            raise PluginError(
                f"the model needs detector {lost[0]}, which this installation cannot give: {reason}",
                hint="vibro plugins list; --allow-missing goes on without it as long as the quorum holds",
            )
        fuser_state = tensors["fuser"]
        fitted = FittedEnsemble(
            plan=plan,
            schema=meta["schema"],
            seed=meta["seed"],
            states={i: tensors[f"detectors/{i}"] for i in meta["detectors"]},
            views={ViewKey(v["name"], v["params"]): tensors[f"views/{j:02d}"] for j, v in enumerate(meta["views"])},
            calibration=Calibration(
                meta["calibration"]["method"],
                (meta["calibration"]["clip"][0], meta["calibration"]["clip"][1]),
                tensors["calibration"],
            ),
            domain=Domain(tensors["domain"]),
            fuser_state=fuser_state,
            weights=tensors["fusion"]["weights"],
            cuts=Cuts(
                meta["cuts"]["attention"],
                meta["cuts"]["alarm"],
                tensors["fusion"]["own_cuts"],
                meta["cuts"].get("unseen", np.inf),
                tensors["fusion"]["resampled_cuts"],
            ),
            reference=tensors["reference"],
            probes=tensors["probes"],
            results=tuple(DetectorResult(**r) for r in meta["results"]),
            sentinels={i: Sentinel(**_numbers(s)) for i, s in meta["sentinels"].items()},
            notes=tuple(meta["notes"]),
            cut_details=meta["cut_details"],
            trial=Trial(**tensors["audition"]) if "audition" in tensors else None,
            fusers=meta["fusers"],
            rows=meta["rows"],
        )
    except (KeyError, TypeError, IndexError) as error:
        raise StateError(
            f"{folder} is no model of an ensemble: {error}", hint="take a fresh copy of the model"
        ) from None
    return fitted, meta


def recut_model(
    path: Path, cuts: Cuts, details: Mapping[str, Any], rule: Mapping[str, Any], budgets: Mapping[str, float]
) -> None:
    """Rewrites a run's bundle with other cuts and the rule they follow; everything that was learned stays as it was."""
    parts = bundle.load(path / MODEL)
    meta = {**parts.meta, "cuts": named_cuts(cuts), "cut_details": dict(details)}
    meta["ensemble"] = {**meta["ensemble"], "thresholder": dict(rule), "budgets": dict(budgets)}
    fusion = {**parts.tensors["fusion"], "own_cuts": cuts.own, "resampled_cuts": cuts.resampled}
    bundle.save(path / MODEL, BundleParts(meta, {**parts.tensors, "fusion": fusion}))


def verify_model(engine: Engine, fitted: FittedEnsemble, meta: Mapping[str, Any], now: Mapping[str, str]) -> None:
    """Runs the probes; a mismatch names the detector and the library versions that differ."""
    then = meta["libraries"]
    changed = [
        f"{name} {then.get(name)} -> {now.get(name)}" for name in sorted(then) if then.get(name) != now.get(name)
    ]
    engine.verify(fitted, f"; versions that changed: {', '.join(changed)}" if changed else "")


def _numbers(table: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: null becomes NaN again."""
    return {key: np.nan if value is None else value for key, value in table.items()}
