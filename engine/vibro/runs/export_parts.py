"""What an exported model is made of: what members, views and fuser say that they are exported as, and its files."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Component, Exported, ViewKey
from vibro.core.engine import Engine
from vibro.core.fitted import FittedEnsemble
from vibro.core.plan import survivors_of
from vibro.core.view_graph import ROOTS
from vibro.core.view_work import view_rows
from vibro.errors import ConfigError, NotApplicableError
from vibro.io import files
from vibro.portable.assemble import assembled, function_name

SCRIPT = "score.py"


@dataclass
class Parts:
    """What is to be written: tables of ``model.json``, arrays by part and name, graphs by file, functions of the script;
    ``left_out``: members that are not in it, with the reason."""

    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    graphs: dict[str, bytes] = field(default_factory=dict)
    functions: list[Callable[..., Any]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def collected(engine: Engine, fitted: FittedEnsemble, roots: Mapping[str, NDArray[Any]]) -> Parts:
    """What every member and the views below it say that they are exported as; ``roots``: inputs of some records."""
    parts, seen = Parts(), dict(roots)
    ctx = replace(engine.ctx, seed=fitted.seed)
    plan = survivors_of(fitted.plan, fitted.detectors)
    extractors = plan.make_extractors(replace(ctx, names=tuple(fitted.schema["covariate_names"])))
    for d in plan.detectors:
        try:
            for key in (key for key in plan.views if key in _below(plan.extractors, d.view)):
                if str(key) not in parts.views:
                    extractor = extractors[key]
                    if key in fitted.views:
                        extractor.load_state(fitted.views[key])
                    inputs = [str(k) for k in plan.extractors[key].inputs]
                    seen[str(key)] = view_rows(extractor, {name: seen[name] for name in inputs}, key)
                    parts.views[str(key)] = {**_part(parts, f"views/{key}", extractor), "inputs": inputs}
            detector = d.cls(d.params, ctx.child(d.id))
            detector.load_state(fitted.states[d.id])
            parts.members.append({"id": d.id, "view": str(d.view), **_part(parts, f"detectors/{d.id}", detector)})
        except NotApplicableError as error:
            parts.left_out[d.id] = error.message
        except Exception as error:  # a plugin's own: one member less
            parts.left_out[d.id] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return parts


def _below(extractors: Mapping[ViewKey, Any], key: ViewKey) -> set[ViewKey]:
    """The view and all that it is made from, roots left out."""
    if key.name in ROOTS:
        return set()
    return {key}.union(*(_below(extractors, k) for k in extractors[key].inputs))


def _part(parts: Parts, name: str, component: Component) -> dict[str, Any]:
    """The entry of ``model.json`` for one component, its arrays, graph and function beside it."""
    made = component.export()
    if not isinstance(made, Exported) or (made.function is None and not made.graph):
        raise NotApplicableError(f"{component.name} exports neither a function nor a graph")
    if made.function is not None:
        assembled("vibro.portable.script", [made.function])  # says what the script cannot take over
        parts.functions.append(made.function)
    graph = ""
    if made.graph:
        graph = re.sub(r"[^A-Za-z0-9_.-]", "_", name.partition("/")[2])[:80] + ".onnx"
        graph = graph if graph not in parts.graphs else f"{len(parts.graphs)}-{graph}"
        parts.graphs[graph] = made.graph
    arrays = {key.replace("/", "."): np.asarray(array) for key, array in made.arrays.items()}
    if odd := [key for key, array in arrays.items() if array.dtype.kind not in "biuf"]:
        raise NotApplicableError(f"{component.name} exports {odd[0]}, which is no array of numbers")
    parts.arrays[name] = arrays
    return {
        "function": "" if made.function is None else function_name(made.function),
        "graph": graph,
        "arrays": name,
    }


def add_verdict(engine: Engine, fitted: FittedEnsemble, parts: Parts, about: dict[str, Any]) -> None:
    """Calibration, fusion and cuts."""
    fuser = engine.make_fuser(fitted)
    try:
        about["fuser"] = _part(parts, "fuser", fuser)
    except NotApplicableError as error:
        raise ConfigError(f"fuser {fuser.name} is not exported: {error.message}", hint="fit with fuser auto") from None
    known = fitted.reference["fused"]
    parts.arrays["calibration"] = fitted.calibration.arrays
    parts.arrays["domain"] = fitted.calibration.domain.arrays
    if fitted.without_covariates is not None:
        parts.arrays["bare"] = fitted.without_covariates.arrays
    parts.arrays["fusion"] = {"weights": fitted.weights, "reference": np.sort(known[~np.isnan(known)])}


def write(folder: Path, about: Mapping[str, Any], parts: Parts) -> None:
    """The script, tables, arrays and graphs of what is not left out."""
    used = {view for member in parts.members for view in _views_of(parts, member["view"])}
    table = {**about, "views": {k: v for k, v in parts.views.items() if k in used}, "members": parts.members}
    gone = {f"detectors/{ident}" for ident in parts.left_out} | {f"views/{k}" for k in parts.views if k not in used}
    arrays = {f"{p}/{n}": a for p, own in parts.arrays.items() if p not in gone for n, a in own.items()}
    entries = [about["fuser"], *parts.members, *table["views"].values()]
    graphs = {entry["graph"] for entry in entries} - {""}
    wanted = {entry["function"] for entry in entries}
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    with files.disk_errors(folder, content.getbuffer().nbytes):
        (folder / "arrays.npz").write_bytes(content.getvalue())
        (folder / "model.json").write_text(files.to_json(table), "utf-8")
        functions = [f for f in parts.functions if function_name(f) in wanted]
        (folder / SCRIPT).write_text(assembled("vibro.portable.script", functions), "utf-8")
        for name, graph in parts.graphs.items():
            (folder / name).unlink(missing_ok=True)
            if name in graphs:
                (folder / name).write_bytes(graph)


def _views_of(parts: Parts, name: str) -> set[str]:
    return {name}.union(*(_views_of(parts, k) for k in parts.views[name]["inputs"])) if name in parts.views else set()
