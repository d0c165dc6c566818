"""``vibro reproduce``: repeats a run from its manifest, compares every byte that is promised, and names what differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from vibro import __version__
from vibro.errors import ConfigError
from vibro.host.manager import PluginHost
from vibro.ingest import IngestOptions
from vibro.runs.fit import run_ensemble
from vibro.runs.options import DataOptions, RunOptions
from vibro.runs.score import score_data
from vibro.runs.threshold import rethreshold
from vibro.store import manifest
from vibro.store.marks import NAME as MARKS

PROMISED = ("scores.csv", "scores.parquet", "quarantine.csv", "machines.csv")


@dataclass(frozen=True)
class Reproduced:
    """What a repeated run has in common with the first: promised files that are ``same``, those that are ``different``,
    and what may be why: ``data``, ``libraries``, ``machine`` and other ``notes`` in words."""

    same: list[str]
    different: list[str]
    data: list[str]
    libraries: list[str]
    notes: list[str]


def reproduce(host: PluginHost, path: Path) -> Reproduced:
    """Repeats a finished run in a temporary folder beside the system's others; the run itself is not touched.

    Later cuts of ``vibro threshold`` are repeated too, unless they were learned from labels. ConfigError where the data or
    the model are not where the run found them.
    """
    if not path.is_dir():
        raise ConfigError(f"no such run directory: {path}")
    kept = manifest.verify(path)
    told = kept["settings"]
    data, options = options_of(told)
    notes = []
    for place in (*data.paths, *(p for p in (data.labels, data.covariates, data.sensors) if p is not None)):
        if not place.exists():
            raise ConfigError(f"{place} is not there any more", hint="go to the folder that the run was started in")
    folder = Path(mkdtemp(prefix="vibro-"))
    try:
        out = folder / "run"
        if "model" in told:
            score_data(host, Path(told["model"]["path"]), data, options, out)
        else:
            table = folder / f"{kept['ensemble']['name']}.toml"
            table.write_text(_toml(kept["ensemble"]), "utf-8")
            # the resolved ensemble holds all that changed the named one
            options = replace(options, ensemble=str(table), detectors=None, sets=(), budget=None)
            run_ensemble(host, data, options, out)
        for decision in kept["decisions"][1:]:
            if decision.get("learned"):
                notes.append("cuts that were learned from labels are not repeated: levels may differ")
                continue
            rethreshold(host, out, method=decision["method"], budget=decision["budget"]["alarm"])
        if (path / MARKS).is_file():
            notes.append("what the user said of records (labels.csv) is not repeated: levels may differ")
        again = manifest.read(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _compared(kept, again, notes)


def _compared(kept: Mapping[str, Any], again: Mapping[str, Any], notes: list[str]) -> Reproduced:
    first, second = kept["files"], again["files"]
    names = [name for name in first if name in PROMISED or name.endswith(".safetensors")]
    different = [name for name in names if second.get(name, {}).get("sha256") != first[name]["sha256"]]
    different += [name for name in second if name.endswith(".safetensors") and name not in first]
    was, now = ({entry["source"]: entry["sha256"] for entry in m["data"]} for m in (kept, again))
    data = [f"{name} is gone" for name in was if name not in now] + [
        f"{name} is new" for name in now if name not in was
    ]
    data += [f"{name} has changed" for name in was if name in now and was[name] != now[name]]
    libraries = [
        f"{name} {kept['libraries'].get(name, 'absent')} -> {again['libraries'].get(name, 'absent')}"
        for name in sorted({*kept["libraries"], *again["libraries"]})
        if kept["libraries"].get(name) != again["libraries"].get(name)
    ]
    if kept["vibro"] != __version__:
        libraries.append(f"vibro {kept['vibro']} -> {__version__}")
    versions = [{p["name"]: p["version"] for p in m["plugins"]} for m in (kept, again)]
    libraries += [
        f"plugin {name} {versions[0].get(name)} -> {versions[1].get(name)}"
        for name in sorted({*versions[0], *versions[1]})
        if versions[0].get(name) != versions[1].get(name)
    ]
    for what in ("system", "cpu", "gpu"):
        if kept["machine"].get(what) != again["machine"].get(what):
            notes.append(f"{what}: {kept['machine'].get(what)} then, {again['machine'].get(what)} now")
    if kept["device"] != again["device"]:
        notes.append(f"device {kept['device']} then, {again['device']} now")
    return Reproduced([name for name in names if name not in different], different, data, libraries, notes)


def options_of(told: Mapping[str, Any]) -> tuple[DataOptions, RunOptions]:
    """The options of a manifest's ``settings``, without what concerned its own directory only."""
    data = DataOptions(
        paths=tuple(map(Path, told["paths"])),
        reading=IngestOptions(**{name: _tuple(value) for name, value in told["reading"].items()}),
        meaning=told["meaning"],
        labels=_path(told["labels"]),
        labels_partial=told["labels_partial"],
        covariates=_path(told["covariates"]),
        covariate_tolerance=told["covariate_tolerance"],
        sensors=_path(told["sensors"]),
        max_quarantine=told["max_quarantine"],
    )
    own = {f.name for f in fields(RunOptions)} & set(told) - {"resume", "force", "report", "argv"}
    return data, RunOptions(**{name: _tuple(told[name]) for name in own}, report=False)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _toml(ensemble: Mapping[str, Any]) -> str:
    """A resolved ensemble as a TOML file; what is not set is left out."""
    import tomlkit

    body = json.loads(json.dumps(_set(ensemble)))
    return tomlkit.dumps({name: value for name, value in body.items() if name != "name"})


def _set(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _set(item) for key, item in value.items() if item is not None}
    return [_set(item) for item in value] if isinstance(value, list) else value
