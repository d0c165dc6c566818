"""A finished run, opened: its manifest, and the scores that it keeps for the commands that work on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vibro.errors import ConfigError, StateError
from vibro.io.tensors import load_tensors
from vibro.store import manifest
from vibro.store.index import SCORES


def open_finished(path: Path, *needed: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Manifest and stored scores of a run whose files are all as they were written, with the arrays that are ``needed``.

    ConfigError or StateError for anything else.
    """
    if not path.is_dir():
        raise ConfigError(f"no such run directory: {path}")
    kept = manifest.verify(path)
    stored = load_tensors(path / SCORES)
    require(path, stored, *needed)
    return kept, stored


def require(path: Path, stored: Mapping[str, Any], *needed: str) -> None:
    """StateError where the scores of the run ``path`` lack one of these arrays."""
    if not set(needed) <= set(stored):
        raise StateError(f"{path} was written by an earlier version, which kept less of its scores", hint="run again")
