"""What a command line changes in an ensemble's table: its detectors, single settings, the budget."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vibro.core.planning import check_ensemble
from vibro.errors import ConfigError
from vibro.host.manager import PluginHost
from vibro.host.registry import Registry, read_toml

PARTS = ("fuser", "thresholder", "calibration")


def find_ensemble(registry: Registry, name: str) -> tuple[str, dict[str, Any]]:
    """A named ensemble, or the one in a TOML file of the user's."""
    if not name.endswith(".toml"):
        return name, registry.ensemble(name)
    path = Path(name)
    table = read_toml(path)
    nested = table.get("ensembles", {})
    if "detectors" not in table and len(nested) == 1:
        table = next(iter(nested.values()))
    return path.stem, registry.filled(path.stem, table)


def customise(
    host: PluginHost,
    table: Mapping[str, Any],
    *,
    detectors: Sequence[str] | None = None,
    sets: Sequence[str] = (),
    budget: float | None = None,
) -> dict[str, Any]:
    """The table with ``--detectors``, ``--set DET.PARAM=VALUE`` and ``--budget`` applied."""
    check_ensemble("given", table)
    out: dict[str, Any] = {**table}
    rows = [dict(row) for row in table.get("detectors", [])]
    if detectors is not None:
        rows = _chosen(host, rows, detectors)
        chosen = [_ident(row) for row in rows]
        out["suspects"] = [ident for ident in table.get("suspects", []) if ident in chosen]
    out["detectors"] = rows
    for text in sets:
        _set(out, rows, text)
    if budget is not None:
        out["budgets"] = budgets_for(budget, table.get("budgets", {}).get("attention"))
    return out


def budgets_for(alarm: float, attention: float | None = None) -> dict[str, float]:
    """Both budgets for ``--budget``: attention is the ensemble's own if it states one, else five times the alarm's."""
    if not 0 < alarm < 1:
        raise ConfigError(f"--budget {alarm:g} is no share between 0 and 1", hint="--budget 0.01 is one alarm in 100")
    return {"alarm": alarm, "attention": max(attention or min(5 * alarm, 0.5), alarm)}


def _ident(row: Mapping[str, Any]) -> str:
    return str(row.get("id", row.get("use")))


def _chosen(host: PluginHost, rows: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of the ensemble by id, else detector components with their default settings."""
    by_id = {_ident(row): row for row in rows}
    known = host.names("detector")
    out = []
    for name in names:
        if name in by_id:
            out.append(by_id[name])
        elif name in known:
            out.append({"use": name})
        else:
            near = get_close_matches(name, [*by_id, *known], 1)
            raise ConfigError(
                f"--detectors: {name!r} is neither a detector of the ensemble ({', '.join(by_id)})"
                f" nor a detector component ({', '.join(known)})",
                hint=f"did you mean {near[0]}?" if near else "vibro plugins list --kind detector",
            )
    return out


def _set(table: dict[str, Any], rows: Sequence[dict[str, Any]], text: str) -> None:
    path, equals, value = text.partition("=")
    target, dot, parameter = path.strip().partition(".")
    if not (equals and dot and parameter):
        raise ConfigError(f"--set {text!r} should read DETECTOR.PARAMETER=VALUE", hint="--set fuser.use=median")
    parsed = _literal(value.strip())
    if target in PARTS:
        table[target] = {**table.get(target, {}), parameter: parsed}
        if parameter == "use":
            table[target] = {"use": parsed}
        return
    hits = [row for row in rows if _ident(row) == target]
    if not hits:
        known = [*map(_ident, rows), *PARTS]
        raise ConfigError(f"--set {text!r}: unknown {target!r} (known: {', '.join(known)})")
    hits[0][parameter] = parsed


def _literal(text: str) -> Any:
    """A TOML literal, else the text itself."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except RecursionError:
        raise ConfigError("--set: a value is nested too deeply", hint="--set knn.k=5") from None
    except tomllib.TOMLDecodeError:
        return text
