"""A fitted ensemble on disk: FittedEnsemble to the parts of a bundle and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import ViewKey
from vibro.core.engine import Engine
from vibro.core.fitted import FitReport, FittedEnsemble
from vibro.core.plan import Plan, resolved
from vibro.core.planning import make_plan
from vibro.core.task import DetectorResult
from vibro.data import make_batch
from vibro.errors import ConfigError, IncompatibleModelError, PluginError, StateError, VibroError
from vibro.host.manager import PluginHost
from vibro.injection.sensitivity import Sensitivity
from vibro.injection.trial import Trial
from vibro.scoring.domain import Domain
from vibro.scoring.marks import Marks
from vibro.scoring.persistence import Persistence
from vibro.scoring.signature import Signature
from vibro.scoring.thresholds import Cuts, fuse
from vibro.scoring.verdict import Calibration
from vibro.store import bundle, manifest
from vibro.store.bundle import BundleParts
from vibro.store.marks import marks_of, marks_state
from vibro.store.place import is_run

MODEL = "model"
WITHOUT = "calibration_without_covariates"


def model_folder(path: Path) -> Path:
    """The ``model/`` of a run directory, or the folder itself if it is one; ConfigError or StateError for a run without."""
    if (path / MODEL).is_dir():
        return path / MODEL
    if is_run(path):
        model = manifest.verify(path)["settings"]["model"]["path"]
        raise ConfigError(f"{path} holds no model: it was scored with another one", hint=f"name that one: {model}")
    return path


def fitted_isolated(path: Path) -> bool:
    """Whether a run or model was made with a plugin in a process of its own; False where that cannot be read."""
    try:
        if (path / MODEL).is_dir() or not is_run(path):
            return bool(bundle.read_manifest(model_folder(path))["meta"].get("isolated"))
        return any(row["isolated"] for row in manifest.read(path).get("plugins", ()))
    except VibroError:  # whoever takes the run up says what is wrong with it
        return False


def _isolated(plan: Plan) -> bool:
    classes = [
        *(d.cls for d in plan.detectors),
        *(v.cls for v in plan.extractors.values()),
        plan.fuser,
        plan.thresholder,
    ]
    return any(cls.__module__.startswith("vibro.host.isolation") for cls in classes)


def save_model(
    folder: Path, fitted: FittedEnsemble, report: FitReport, versions: Mapping[str, str], mains_hz: float | None
) -> None:
    """Writes the bundle: what scoring needs, and what is told of the fit."""
    views = list(fitted.views)
    meta = {
        "ensemble": resolved(fitted.plan),
        "plugins": {d.id: {"plugin": d.plugin, "version": d.version} for d in fitted.plan.detectors},
        "isolated": _isolated(fitted.plan),
        "schema": {**fitted.schema, "mains_hz": mains_hz},
        "seed": fitted.seed,
        "detectors": list(fitted.detectors),
        "views": [{"name": key.name, "params": key.params} for key in views],
        "calibration": {"method": fitted.calibration.method, "linear": fitted.calibration.linear},
        "cuts": fitted.cuts.named,
        "cut_details": dict(report.cut_details),
        "results": [
            {
                key: value
                for key, value in asdict(r).items()
                if key not in ("state", "holdout_state", "reference", "scores")
            }
            for r in report.results
        ],
        "sensitivity": {i: asdict(s) for i, s in report.sensitivity.items()},
        "notes": list(report.notes),
        "rows": dict(report.rows),
        "libraries": dict(versions),
    }
    tensors = {f"detectors/{i}": state for i, state in fitted.states.items()}
    tensors |= {f"views/{j:02d}": dict(fitted.views[key]) for j, key in enumerate(views)}
    tensors["calibration"] = fitted.calibration.arrays
    if fitted.without_covariates is not None:
        tensors[WITHOUT] = fitted.without_covariates.arrays
    tensors["domain"] = fitted.calibration.domain.arrays
    tensors["fusion"] = {
        "weights": fitted.weights,
        "own_cuts": fitted.cuts.own,
        "resampled_cuts": fitted.cuts.resampled,
    }
    if report.trial is not None:
        tensors["trial"] = report.trial.state()
    tensors["signature"] = fitted.signature.arrays
    tensors["marks"] = marks_state(fitted.marks)
    tensors["persistence"] = fitted.persistence.arrays
    tensors["fuser"] = fitted.fuser_state
    tensors["reference"] = fitted.reference
    tensors["probes"] = fitted.probes
    bundle.save(folder, BundleParts(meta, tensors))


def load_model(
    host: PluginHost, path: Path, *, allow_missing: bool = False
) -> tuple[FittedEnsemble, FitReport, dict[str, Any]]:
    """The fitted ensemble of a run directory or bundle, what is told of it, and its meta table; nothing is run from the files.

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
        domain = Domain(tensors["domain"])
        calibration = Calibration(**meta["calibration"], arrays=tensors["calibration"], domain=domain)
        fitted = FittedEnsemble(
            plan=plan,
            schema=meta["schema"],
            seed=meta["seed"],
            states={i: tensors[f"detectors/{i}"] for i in meta["detectors"]},
            views={ViewKey(v["name"], v["params"]): tensors[f"views/{j:02d}"] for j, v in enumerate(meta["views"])},
            calibration=calibration,
            without_covariates=replace(calibration, arrays=bare) if (bare := tensors.get(WITHOUT)) else None,
            fuser_state=tensors["fuser"],
            weights=tensors["fusion"]["weights"],
            cuts=Cuts(
                meta["cuts"]["attention"],
                meta["cuts"]["alarm"],
                tensors["fusion"]["own_cuts"],
                meta["cuts"].get("unseen", np.inf),
                tensors["fusion"]["resampled_cuts"],
            ),
            signature=Signature(tensors["signature"]),
            marks=marks_of(tensors["marks"]),
            persistence=Persistence(tensors["persistence"]),
            reference=tensors["reference"],
            probes=tensors["probes"],
        )
        report = FitReport(
            results=tuple(DetectorResult(**r) for r in meta["results"]),
            notes=tuple(meta["notes"]),
            cut_details=meta["cut_details"],
            rows=meta["rows"],
            sensitivity={i: Sensitivity(**_numbers(s)) for i, s in meta["sensitivity"].items()},
            trial=Trial(**tensors["trial"]) if "trial" in tensors else None,
        )
    except (KeyError, TypeError, IndexError) as error:
        raise StateError(
            f"{folder} is no model of an ensemble: {error}", hint="take a fresh copy of the model"
        ) from None
    return fitted, report, meta


def recut_model(
    path: Path, cuts: Cuts, details: Mapping[str, Any], rule: Mapping[str, Any], budgets: Mapping[str, float]
) -> None:
    """Rewrites a run's bundle with other cuts and the rule they follow; everything that was learned stays as it was."""
    parts = bundle.load(path / MODEL)
    meta = {**parts.meta, "cuts": cuts.named, "cut_details": dict(details)}
    meta["ensemble"] = {**meta["ensemble"], "thresholder": dict(rule), "budgets": dict(budgets)}
    fusion = {**parts.tensors["fusion"], "own_cuts": cuts.own, "resampled_cuts": cuts.resampled}
    bundle.save(path / MODEL, BundleParts(meta, {**parts.tensors, "fusion": fusion}))


def remark_model(folder: Path, marks: Marks) -> None:
    """Rewrites a bundle with more records that the user has marked; everything that was learned stays as it was.

    IncompatibleModelError if the records were scored with another model.
    """
    parts = bundle.load(folder)
    known = marks_of(parts.tensors["marks"]) if "marks" in parts.tensors else None
    if known is None or not np.array_equal(known.near, marks.near):
        raise IncompatibleModelError(f"{folder} is not the model that these records were scored with")
    state = marks_state(known.joined(marks))
    bundle.save(folder, BundleParts(parts.meta, {**parts.tensors, "marks": state}))


def verify_model(
    engine: Engine,
    fitted: FittedEnsemble,
    meta: Mapping[str, Any],
    now: Mapping[str, str],
    *,
    allow_missing: bool = False,
) -> None:
    """Runs the probes; IncompatibleModelError names the detector whose scores have changed, and the versions that did.

    PluginError for a detector that fails on them, unless ``allow_missing``.
    """
    then = meta["libraries"]
    changed = [
        f"{name} {then.get(name)} -> {now.get(name)}" for name in sorted(then) if then.get(name) != now.get(name)
    ]
    versions = f"; versions that changed: {', '.join(changed)}" if changed else ""
    probes, schema = fitted.probes, fitted.schema
    batch = replace(
        make_batch(probes["x"], fs=schema["fs"], unit=schema["unit"]),
        sensor=probes["sensor"].astype(np.int32),
        sensors=tuple(schema["sensors"]),
        covariates=probes["covariates"],
        covariate_names=tuple(schema["covariate_names"]),
    )
    raw, failed = engine.raw_scores(fitted, batch, probes["instant"])
    if failed and not allow_missing:
        raise PluginError(f"detector {failed[0].id} failed on the probes of the model: {failed[0].reason}")
    absent = {*dict(fitted.plan.absent), *(r.id for r in failed)}
    for j, ident in enumerate(fitted.detectors):
        if ident not in absent and not _alike(raw[:, j], probes["raw"][:, j]):
            worst = float(np.nanmax(np.abs(raw[:, j] - probes["raw"][:, j])))
            raise IncompatibleModelError(
                f"detector {ident} gives other scores than when it was fitted"
                f" (largest difference {worst:.3g} on {len(batch)} probe records){versions}",
                hint="score with the versions in the model's manifest.json, or fit again",
            )
    probed = np.where(np.isnan(raw), probes["raw"], raw)  # where a plugin is missing, the fuser is still probed
    z = fitted.calibrate(probed, batch)
    if not _alike(fuse(engine.make_fuser(fitted), z), probes["fused"]):
        raise IncompatibleModelError(
            f"calibration or fuser give other scores than when they were fitted{versions}", hint="fit again"
        )


def _alike(found: NDArray[np.float64], then: NDArray[np.float64]) -> bool:
    """Whether scores are those of the fit, as far as other versions of a library may differ."""
    return np.allclose(found, then, rtol=1e-5, atol=1e-8, equal_nan=True)


def _numbers(table: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: null becomes NaN again."""
    return {key: np.nan if value is None else value for key, value in table.items()}
