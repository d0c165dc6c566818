"""Learns what a plugin offers without importing it here: its own process tells, and the answer is kept by file hashes."""

from __future__ import annotations

import importlib.machinery
import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from vibro.errors import PluginError, PluginLoadError, PluginTimeoutError
from vibro.host.isolation.limits import Limits
from vibro.host.isolation.proxy import Source
from vibro.host.isolation.worker import Worker
from vibro.io.files import write_text

FORM = 1  # of a kept answer


def probe(
    plugin: str, module: str, *, file: Path | None = None, limits: Limits | None = None, cache: Path | None = None
) -> Source:
    """The plugin's components as its own process describes them.

    An import that raises, exits or hangs is a PluginLoadError or PluginTimeoutError. With a ``cache`` folder either
    outcome is kept under the hash of the plugin's files and of what is installed, so that it costs once.
    """
    limits = limits or Limits.read()
    kept = cache / f"{fingerprint(plugin, module, file)}.json" if cache is not None else None
    found = _read(kept)
    if found is None:
        found = _ask(plugin, module, file, limits)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_text(kept, json.dumps(found))
    if "error" in found:
        family = PluginTimeoutError if found["timeout"] else PluginLoadError
        raise family(found["error"], plugin=plugin, hint=f"vibro plugins disable {plugin}")
    return Source(plugin, module, file, limits, tuple(found["components"]))


def _ask(plugin: str, module: str, file: Path | None, limits: Limits) -> dict[str, Any]:
    worker = Worker(plugin, module, file, limits)
    try:
        return {"form": FORM, "components": worker.describe()}
    except PluginError as error:
        return {"form": FORM, "error": error.message, "timeout": isinstance(error, PluginTimeoutError)}
    finally:
        worker.close()


def _read(kept: Path | None) -> dict[str, Any] | None:
    try:
        found = json.loads(kept.read_text()) if kept is not None else None
    except (OSError, ValueError):
        return None
    usable = isinstance(found, dict) and found.get("form") == FORM and ({"error", "components"} & set(found))
    return dict(found) if usable and isinstance(found, dict) else None


def fingerprint(plugin: str, module: str, file: Path | None) -> str:
    """Hash of the plugin's files, of vibro's version and of the folders where packages are installed."""
    from vibro import __version__

    hasher = sha256(f"{plugin}|{module}|{file}|{__version__}|{sys.version}|{FORM}".encode())
    for entry in sys.path:
        folder = Path(entry or ".")
        if folder.name in ("site-packages", "dist-packages") and folder.is_dir():
            hasher.update(f"{folder}|{folder.stat().st_mtime_ns}".encode())
    for path in sorted(_files(module, file)):
        hasher.update(f"{path}|".encode() + path.read_bytes())
    return hasher.hexdigest()[:32]


def _files(module: str, file: Path | None) -> Iterator[Path]:
    """The Python files of a plugin, found by name alone."""
    if file is not None:
        yield file
        return
    top = module.partition(":")[0].partition(".")[0]
    spec = importlib.machinery.PathFinder.find_spec(top)
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        yield from Path(place).rglob("*.py")
    if spec is not None and spec.origin is not None and not spec.submodule_search_locations:
        yield Path(spec.origin)
