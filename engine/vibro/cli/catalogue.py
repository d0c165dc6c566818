"""The list of components, read from the registry and the source text of their modules without importing these."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ast

    from vibro.api import Component
    from vibro.host.discovery import PluginInfo
    from vibro.host.manager import PluginHost

STATES = ("on", "broken", "off", "shadowed")


@dataclass(frozen=True)
class Row:
    """One line of ``vibro plugins list``; ``kind`` and ``name`` are None for a plugin without components."""

    kind: str | None
    name: str | None
    plugin: str
    origin: str
    version: str
    state: str
    reason: str
    view: Any = None
    summary: str = ""


def rows(host: PluginHost) -> list[Row]:
    """Every component of every plugin; third-party plugins are loaded, bundled ones are not imported."""
    from vibro.io.paths import cache_folder

    host.load_third_parties()
    facts = Facts(cache_folder() / "plugins" / "facts.json")
    found = [row for info in list(host.plugins.values()) for row in _rows_of(host, info, facts)]
    facts.keep()
    order = ("reader", "feature", "detector", "fuser", "thresholder", "classifier", "metric", None)
    return sorted(found, key=lambda row: (order.index(row.kind), row.name or "", row.plugin))


def _rows_of(host: PluginHost, info: PluginInfo, known_facts: Facts) -> Iterator[Row]:
    common = (info.name, info.origin, info.version, info.state, info.reason)
    if info.origin == "bundled":
        facts = known_facts.of(source_file(info.module))
    else:
        loaded = host.load(info.name) if info.state == "on" else []
        facts = {cls.name: {"view": getattr(cls, "view", None), "summary": one_line(cls)} for cls in loaded}
    for item in info.provides:
        kind, _, name = item.partition(":")
        known = facts.get(name, {})
        yield Row(kind, name, *common, view=known.get("view"), summary=known.get("summary", ""))
    if not info.provides:
        yield Row(None, None, *common)


def one_line(cls: type[Component]) -> str:
    """The class's summary, or the first line of its docstring."""
    return cls.summary or (cls.__doc__ or "").strip().partition("\n")[0]


def source_file(module: str) -> Path | None:
    """Where the text of a module lies; parent packages are imported, the module is not."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


class Facts:
    """What source files say of their components, cached between listings by each file's time and size."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new: dict[str, Any] = {}
        try:
            self._old = dict(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            self._old = {}

    def of(self, file: Path | None) -> dict[str, dict[str, Any]]:
        """``view`` and ``summary`` of each component in a file, by component name."""
        if file is None:
            return {}
        status = file.stat()
        stamp, key = [status.st_mtime_ns, status.st_size], str(file)
        known = self._old.get(key)
        if not (isinstance(known, dict) and known.get("stamp") == stamp):
            known = {"stamp": stamp, "facts": read_facts(file)}
        self._new[key] = known
        return dict(known["facts"])

    def keep(self) -> None:
        """Writes the cache; if the folder cannot be written to, the next listing parses the files again."""
        if self._new == self._old:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            building = self._path.with_suffix(f".{os.getpid()}")
            building.write_text(json.dumps(self._new), "utf-8")
            building.replace(self._path)
        except OSError:
            return


def read_facts(path: Path) -> dict[str, dict[str, Any]]:
    """``view`` and ``summary`` of each class in a file that gives them as literals, by component name."""
    import ast

    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            values = dict(_assignments(node))
            if isinstance(values.get("name"), str):
                first = (ast.get_docstring(node) or "").partition("\n")[0]
                found[values["name"]] = {"view": values.get("view"), "summary": values.get("summary") or first}
    return found


def _assignments(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    import ast

    for item in node.body:
        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
        value = getattr(item, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.expr):
            try:
                yield target.id, ast.literal_eval(value)
            except ValueError:
                continue


def view_text(view: str | Mapping[str, Any] | None) -> str:
    """A view as the ensemble tables print it."""
    if view is None:
        return ""
    from vibro.api import view_key

    return str(view_key(view))
