"""From an ensemble's table to a plan: names resolved, settings checked, views ordered, shapes compared, nothing computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vibro.api import Detector, FeatureExtractor, Fuser, Thresholder, ViewKey, check_settings, view_key, without_use
from vibro.core.plan import Ensemble, Plan, PlannedDetector, PlannedView
from vibro.core.view_graph import ROOTS, inputs_of, items_agree, order_views
from vibro.errors import ConfigError, PluginError, UnknownComponentError
from vibro.host.manager import PluginHost

ROOT_ITEMS = {"raw": "c t", "covariates": "k", "sensor": "1", "instant": "1"}
BESIDE = set(ROOTS) - {"raw"}  # what a view is given beside the views that it is made from


def check_ensemble(name: str, table: Mapping[str, Any]) -> Ensemble:
    """The ensemble of a table; ConfigError names every wrong key with its path."""
    entry: Ensemble = check_settings(Ensemble, table, f"ensemble.{name}")
    if not entry.detectors:
        raise ConfigError(f"ensemble.{name}.detectors: names no detector")
    for i, detector in enumerate(entry.detectors):
        if not isinstance(detector.get("use"), str):
            raise ConfigError(f"ensemble.{name}.detectors[{i}]: needs a 'use' that names a detector")
    for part in ("fuser", "thresholder"):
        if not isinstance(getattr(entry, part).get("use"), str):
            raise ConfigError(f"ensemble.{name}.{part}: needs a 'use' that names a {part}")
    if not 0 < entry.budgets.alarm <= entry.budgets.attention < 1:
        raise ConfigError(f"ensemble.{name}.budgets: needs 0 < alarm <= attention < 1")
    if not 0 <= entry.quorum <= 1:
        raise ConfigError(f"ensemble.{name}.quorum: should be a share between 0 and 1")
    return entry


def item_of(host: PluginHost, view: ViewKey) -> str:
    """The shape of one row of a view or root."""
    if view.name in ROOTS:
        return ROOT_ITEMS[view.name]
    cls = host.component("feature", view.name)
    assert issubclass(cls, FeatureExtractor)
    return cls.item


def plan_view(
    host: PluginHost, where: str, view: ViewKey
) -> tuple[Mapping[ViewKey, PlannedView], Mapping[ViewKey, int]]:
    """One view and all that it is made from, inputs first, and how many read each; ``where`` names its reader in errors."""
    planned: dict[ViewKey, PlannedView] = {}
    views, readers = order_views([view], _planner(host, where, planned))
    readers[view] += 1
    return {key: planned[key] for key in views}, readers


def _planner(
    host: PluginHost, where: str, planned: dict[ViewKey, PlannedView]
) -> Callable[[ViewKey], tuple[ViewKey, ...]]:
    """Gives the inputs of a view, and enters in ``planned`` how it is made."""

    def inputs(key: ViewKey) -> tuple[ViewKey, ...]:
        cls = host.component("feature", key.name)
        assert issubclass(cls, FeatureExtractor)
        params = check_settings(cls.Params, key.settings, f"{where}: view {key}")
        planned[key] = PlannedView(cls, params, inputs_of(cls, params))
        for below in planned[key].inputs:
            if below.name not in BESIDE and not items_agree(given := item_of(host, below), cls.takes):
                raise ConfigError(f"{where}: {key.name} takes items '{cls.takes}', but view {below} gives '{given}'")
        return planned[key].inputs

    return inputs


def make_plan(host: PluginHost, name: str, table: Mapping[str, Any], *, allow_missing: bool = False) -> Plan:
    """Resolves an ensemble against the host; with ``allow_missing`` a detector whose plugin is broken is left out."""
    entry = check_ensemble(name, table)
    detectors: list[PlannedDetector] = []
    absent: list[tuple[str, str]] = []
    planned: dict[ViewKey, PlannedView] = {}
    inputs = _planner(host, name, planned)

    for i, row in enumerate(entry.detectors):
        use = row["use"]
        ident = str(row.get("id", use))
        where = f"ensemble.{name}.detectors[{i}]"
        try:
            cls = host.component("detector", use)
            assert issubclass(cls, Detector)
            view = view_key(row.get("view", cls.view))
            order_views([view], inputs)
        except PluginError as error:
            if not allow_missing:
                raise
            absent.append((ident, error.message))
            continue
        except UnknownComponentError as error:
            if not allow_missing:
                raise UnknownComponentError(f"{where}: {error.message}", hint=error.hint) from None
            absent.append((ident, error.message))
            continue
        if not items_agree(given := item_of(host, view), cls.item):
            raise ConfigError(f"{where}: {use} takes items '{cls.item}', but view {view} gives '{given}'")
        settings = {key: value for key, value in row.items() if key not in ("use", "id", "view")}
        params = check_settings(cls.Params, settings, where)
        owner = host.owner("detector", use)
        detectors.append(PlannedDetector(ident, cls, params, view, owner.name, owner.version))

    ids = [d.id for d in detectors]
    for ident in entry.suspects:
        if ident not in ids and ident not in [lost for lost, _ in absent]:
            raise ConfigError(f"ensemble.{name}.suspects: no detector has the id {ident!r} (known: {', '.join(ids)})")
    for ident in ids:
        if ids.count(ident) > 1:
            raise ConfigError(
                f"ensemble.{name}: two detectors have the id {ident!r}", hint="give one an 'id' of its own"
            )
    views, view_readers = order_views([d.view for d in detectors], inputs)
    for d in detectors:
        view_readers[d.view] += 1
    fuser, thresholder = (
        host.component("fuser", entry.fuser["use"]),
        host.component("thresholder", entry.thresholder["use"]),
    )
    assert issubclass(fuser, Fuser)
    assert issubclass(thresholder, Thresholder)
    return Plan(
        name,
        entry,
        tuple(detectors),
        views,
        {key: planned[key] for key in views},
        view_readers,
        fuser,
        check_settings(fuser.Params, without_use(entry.fuser), f"ensemble.{name}.fuser"),
        thresholder,
        check_settings(thresholder.Params, without_use(entry.thresholder), f"ensemble.{name}.thresholder"),
        tuple(absent),
    )
