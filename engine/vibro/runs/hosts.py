"""The plugin host of a command or a notebook: bundled plugins, the user's overlay, third parties in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vibro.host.isolation import load_isolated
from vibro.host.manager import PluginHost
from vibro.host.registry import find_base
from vibro.io.paths import cache_folder, find_overlay


def open_host(
    log: Callable[[str], None],
    *,
    registry: Path | None = None,
    third_parties: bool = True,
    files: Sequence[Path] = (),
    isolate_files: bool = False,
    allow_missing: bool = False,
) -> PluginHost:
    """A host with the overlay that counts; ``log`` takes its notes for the user."""

    def isolate(name: str, module: str, file: Path | None) -> Any:
        return load_isolated(name, module, file=file, cache=cache_folder() / "plugins")

    return PluginHost.create(
        overlay=find_overlay(registry, find_base()),
        autoload=third_parties,
        files=files,
        log=log,
        isolate=isolate,
        isolate_files=isolate_files,
        allow_missing=allow_missing,
    )
