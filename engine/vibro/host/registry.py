"""registry.toml: what ships, what is on, and the ensembles known by name; an overlay is laid over it key by key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any

from vibro.errors import ConfigError

PLUGIN_KEYS = {"module", "provides", "enabled", "trusted"}


@dataclass(frozen=True)
class PluginEntry:
    """One ``[plugins.NAME]`` table: where the module is, what it registers, whether it is on."""

    name: str
    module: str = ""
    provides: tuple[str, ...] = ()  # "detector:pyod"
    enabled: bool = True
    trusted: bool = False
    bundled: bool = False


@dataclass(frozen=True)
class Registry:
    """The base registry with its overlay laid on top."""

    plugins: Mapping[str, PluginEntry]
    ensembles: Mapping[str, Mapping[str, Any]]
    base: Path
    overlay: Path | None = None

    def ensemble(self, name: str) -> dict[str, Any]:
        """A named ensemble's table, with the one it ``extends`` filled in; ConfigError lists the known names."""
        return self.filled(name, self._table(name), (name,))

    def filled(self, name: str, table: Mapping[str, Any], seen: tuple[str, ...] = ()) -> dict[str, Any]:
        """A table laid over the ensemble that it ``extends``; ``add`` appends to the detectors of that one."""
        table = dict(table)
        parent, added = table.pop("extends", None), table.pop("add", [])
        if parent is not None:
            if not isinstance(parent, str):
                raise ConfigError(f"ensemble {name!r}: extends should be the name of an ensemble, not {parent!r}")
            if parent in seen:
                raise ConfigError(f"ensemble {name!r} extends itself through {' -> '.join([*seen, parent])}")
            table = {**self.filled(parent, self._table(parent), (*seen, parent)), **table}
        if not isinstance(added, list) or not all(isinstance(row, dict) for row in added):
            raise ConfigError(f"ensemble {name!r}: add should be a list of detectors")
        if added:
            table["detectors"] = [*table.get("detectors", []), *added]
        return table

    def _table(self, name: str) -> Mapping[str, Any]:
        if name not in self.ensembles:
            near = get_close_matches(name, self.ensembles, 1)
            hint = f"did you mean {near[0]}?" if near else "vibro ensemble list"
            raise ConfigError(f"unknown ensemble {name!r} (known: {', '.join(sorted(self.ensembles))})", hint=hint)
        return self.ensembles[name]

    def digests(self) -> dict[str, str | None]:
        """Hashes for the manifest."""
        return {
            "base_sha256": _digest(self.base),
            "overlay": self.overlay.name if self.overlay else None,
            "overlay_sha256": _digest(self.overlay) if self.overlay else None,
        }


def find_base() -> Path:
    """The packaged registry: beside the package in a wheel, two folders up in a checkout."""
    package = Path(__file__).parent.parent
    for path in (package / "registry.toml", package.parent.parent / "registry.toml"):
        if path.is_file():
            return path
    raise ConfigError("the installation holds no registry.toml", hint="reinstall vibro")


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a table; ConfigError with line and column if it is not one."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from None


def read_registry(overlay: Path | None = None, base: Path | None = None) -> Registry:
    """The base registry (default: the packaged one) with an overlay laid over it key by key."""
    base = base or find_base()
    tables = read_toml(base)
    plugins = {n: _entry(n, table, base, bundled=True) for n, table in _tables(tables, "plugins", base).items()}
    ensembles = _tables(tables, "ensembles", base)
    if overlay is not None and overlay.resolve() != base.resolve():
        tables = read_toml(overlay)
        unknown = set(tables) - {"plugins", "ensembles"}
        if unknown:
            raise ConfigError(f"{overlay}: unknown table [{sorted(unknown)[0]}] (known: plugins, ensembles)")
        for name, table in _tables(tables, "plugins", overlay).items():
            plugins[name] = _entry(name, table, overlay, over=plugins.get(name))
        for name, table in _tables(tables, "ensembles", overlay).items():
            below = ensembles.get(name, {})
            adds = [t["add"] for t in (below, table) if isinstance(t.get("add"), list)]
            both = {"add": [*adds[0], *adds[1]]} if len(adds) == 2 else {}
            ensembles[name] = {**below, **table, **both}
    else:
        overlay = None
    return Registry(plugins, ensembles, base, overlay)


def _tables(tables: Mapping[str, Any], name: str, path: Path) -> dict[str, dict[str, Any]]:
    """The tables below ``[name]``; ConfigError for anything else there."""
    found = tables.get(name, {})
    wrong = (
        [name] if not isinstance(found, dict) else [f"{name}.{k}" for k, v in found.items() if not isinstance(v, dict)]
    )
    if wrong:
        raise ConfigError(f"{path}: {wrong[0]} is not a table")
    return dict(found)


def _entry(
    name: str, table: object, path: Path, *, bundled: bool = False, over: PluginEntry | None = None
) -> PluginEntry:
    """One plugin table, checked; keys that an overlay leaves out keep the value below."""
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: plugins.{name} is not a table")
    unknown = set(table) - PLUGIN_KEYS
    if unknown:
        raise ConfigError(
            f"{path}: plugins.{name}.{sorted(unknown)[0]}: unknown key (known: {', '.join(sorted(PLUGIN_KEYS))})"
        )
    below = over or PluginEntry(name, bundled=bundled)
    entry = PluginEntry(
        name,
        module=table.get("module", below.module),
        provides=tuple(table.get("provides", below.provides)),
        enabled=table.get("enabled", below.enabled),
        trusted=table.get("trusted", below.trusted),
        bundled=below.bundled and (over is None or table.get("module", over.module) == over.module),
    )
    if not isinstance(entry.module, str) or not all(isinstance(item, str) for item in entry.provides):
        raise ConfigError(f"{path}: plugins.{name}: module should be text, provides a list of texts")
    for key in ("enabled", "trusted"):
        if not isinstance(getattr(entry, key), bool):
            raise ConfigError(f"{path}: plugins.{name}.{key} should be true or false")
    return entry


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
