"""registry.toml: which plugins ship, which are on, and the named ensembles; an overlay adds entries and replaces some."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any

from vibro.errors import ConfigError
from vibro.io.named import read_small

PLUGIN_KEYS = {"module", "provides", "enabled", "trusted"}


@dataclass(frozen=True)
class PluginEntry:
    """One ``[plugins.NAME]`` table: where the module is, what it registers, whether it is on."""

    name: str
    module: str = ""  # empty: the table only switches an installed plugin
    provides: tuple[str, ...] = ()  # "detector:pyod"
    enabled: bool = True
    trusted: bool = False
    bundled: bool = False


@dataclass(frozen=True)
class Registry:
    """The entries of the packaged registry and of the overlay; the overlay's replace those of the same name."""

    plugins: Mapping[str, PluginEntry]
    ensembles: Mapping[str, Mapping[str, Any]]
    base: Path
    overlay: Path | None = None

    def ensemble(self, name: str) -> dict[str, Any]:
        """The table of a named ensemble with ``extends`` and ``add`` resolved; ConfigError lists the known names."""
        return self.filled(name, self._table(name), (name,))

    def filled(self, name: str, table: Mapping[str, Any], seen: tuple[str, ...] = ()) -> dict[str, Any]:
        """An ensemble's table with ``extends`` and ``add`` resolved.

        Keys that the table lacks come from the ensemble it ``extends``; ``add`` appends to the detectors. ``seen`` are
        the names that led here. ConfigError if they form a circle or either key has the wrong type.
        """
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
        return tomllib.loads(read_small(path, "TOML").decode("utf-8"))
    except RecursionError:
        raise ConfigError(f"{path} cannot be read as TOML: it is nested too deeply") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from None


def read_registry(overlay: Path | None = None, base: Path | None = None) -> Registry:
    """The base registry (default: the packaged one) and an overlay.

    A plugin or an ensemble of the overlay replaces that of the same name as a whole; nothing is merged. A plugin's table
    without ``module`` only switches the plugin of that name on or off, or trusts it.
    """
    base = base or find_base()
    tables = read_toml(base)
    plugins = {n: _entry(n, table, base) for n, table in _tables(tables, "plugins", base).items()}
    plugins = {n: replace(entry, bundled=True) for n, entry in plugins.items()}
    ensembles = _tables(tables, "ensembles", base)
    if overlay is None or overlay.resolve() == base.resolve():
        return Registry(plugins, ensembles, base)
    tables = read_toml(overlay)
    unknown = set(tables) - {"plugins", "ensembles"}
    if unknown:
        raise ConfigError(f"{overlay}: unknown table [{sorted(unknown)[0]}] (known: plugins, ensembles)")
    for name, table in _tables(tables, "plugins", overlay).items():
        entry, shipped = _entry(name, table, overlay), plugins.get(name)
        if shipped and not entry.module:
            entry = replace(shipped, enabled=entry.enabled)
        elif shipped and shipped.module == entry.module:
            entry = replace(entry, bundled=True)
        plugins[name] = entry
    return Registry(plugins, {**ensembles, **_tables(tables, "ensembles", overlay)}, base, overlay)


def _tables(tables: Mapping[str, Any], name: str, path: Path) -> dict[str, dict[str, Any]]:
    """The tables below ``[name]``; ConfigError for anything else there."""
    found = tables.get(name, {})
    wrong = (
        [name] if not isinstance(found, dict) else [f"{name}.{k}" for k, v in found.items() if not isinstance(v, dict)]
    )
    if wrong:
        raise ConfigError(f"{path}: {wrong[0]} is not a table")
    return dict(found)


def _entry(name: str, table: Mapping[str, Any], path: Path) -> PluginEntry:
    """One plugin table, checked."""
    unknown = set(table) - PLUGIN_KEYS
    if unknown:
        raise ConfigError(
            f"{path}: plugins.{name}.{sorted(unknown)[0]}: unknown key (known: {', '.join(sorted(PLUGIN_KEYS))})"
        )
    module, provides = table.get("module", ""), table.get("provides", [])
    if not isinstance(module, str) or not isinstance(provides, list) or not all(isinstance(i, str) for i in provides):
        raise ConfigError(f"{path}: plugins.{name}: module should be text, provides a list of texts")
    if provides and not module:
        raise ConfigError(f"{path}: plugins.{name}: a table with provides needs module as well")
    for key in ("enabled", "trusted"):
        if not isinstance(table.get(key, True), bool):
            raise ConfigError(f"{path}: plugins.{name}.{key} should be true or false")
    return PluginEntry(name, module, tuple(provides), table.get("enabled", True), table.get("trusted", False))


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
