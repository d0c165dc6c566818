"""Where plugins are found: in the registry, among the installed distributions, in a file. None is imported but the file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from vibro.host.registry import Registry

ENTRY_POINT_GROUP = "vibro"


@dataclass(frozen=True)
class PluginInfo:
    """One plugin as `vibro plugins list` shows it."""

    name: str
    module: str
    origin: str  # bundled, overlay, distribution, file
    distribution: str = ""
    version: str = ""
    state: str = "on"  # on, off, broken, shadowed
    reason: str = ""
    provides: tuple[str, ...] = ()
    trusted: bool = False


def registered(registry: Registry, allow: set[str] | None) -> Iterator[PluginInfo]:
    """The plugins that the registry and its overlay name; of third parties only those in ``allow``, None: all."""
    from vibro import __version__

    for entry in registry.plugins.values():
        if not entry.module:
            continue  # only switches an installed plugin
        state, reason = ("on", "") if entry.enabled else ("off", "disabled in the registry")
        if not entry.bundled and allow is not None and entry.name not in allow:
            state, reason = "off", "not in the allow-list"
        origin, version = ("bundled", __version__) if entry.bundled else ("overlay", "")
        yield PluginInfo(
            entry.name,
            entry.module,
            origin,
            version=version,
            state=state,
            reason=reason,
            provides=entry.provides,
            trusted=entry.bundled or entry.trusted,
        )


def installed(registry: Registry, allow: set[str] | None) -> Iterator[PluginInfo]:
    """The plugins that installed distributions offer, on if the registry does not switch them off and ``allow`` has them."""
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: (p.name, p.value)):
        switch = registry.plugins.get(point.name)
        state, reason = "on", ""
        if switch and not switch.module and not switch.enabled:
            state, reason = "off", "disabled in the registry"
        elif allow is not None and point.name not in allow:
            state, reason = "off", "not in VIBRO_PLUGINS"
        dist = point.dist
        yield PluginInfo(
            point.name,
            point.value,
            "distribution",
            distribution=dist.name if dist else "",
            version=dist.version if dist else "",
            state=state,
            reason=reason,
            trusted=bool(switch and switch.trusted),
        )


def import_file(path: Path, name: str) -> ModuleType:
    """The file as a module of that name; whatever it raises is let through."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a .py path always has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def describe(plugins: Iterable[PluginInfo]) -> list[dict[str, Any]]:
    """Plugins for the manifest."""
    return [
        {
            "name": p.name,
            "origin": p.origin,
            "distribution": p.distribution,
            "version": p.version,
            "isolated": not p.trusted,
        }
        for p in plugins
    ]
