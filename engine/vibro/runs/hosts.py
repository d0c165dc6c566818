"""The plugin host of a command or a notebook: bundled plugins, the user's overlay, third parties in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vibro.errors import ResourceError
from vibro.host.isolation import load_isolated
from vibro.host.manager import PluginHost
from vibro.host.registry import find_base
from vibro.io.files import human_bytes
from vibro.io.paths import cache_folder, find_overlay

FEWEST = 1 << 30  # bytes of address space that the libraries of the detectors need to be loaded


def check_address_space() -> None:
    """ResourceError where the system grants less than the libraries need: they would end the process as they are loaded."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < FEWEST:
        raise ResourceError(
            f"the address space is limited to {human_bytes(limit)}, and {human_bytes(FEWEST)} are needed",
            hint="ulimit -v unlimited",
        )


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
