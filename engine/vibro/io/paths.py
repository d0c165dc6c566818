"""Where vibro looks for a user's settings and keeps its cache."""

from __future__ import annotations

import os
from pathlib import Path


def config_folder() -> Path:
    """Folder of the user's settings, by the customs of the operating system; it need not exist."""
    from platformdirs import user_config_path

    return user_config_path("vibro", appauthor=False)


def cache_folder() -> Path:
    """Folder of the view cache: ``VIBRO_CACHE_DIR``, else by the customs of the operating system; it need not exist."""
    from platformdirs import user_cache_path

    given = os.environ.get("VIBRO_CACHE_DIR", "")
    return Path(given).expanduser() if given else user_cache_path("vibro", appauthor=False)


def user_registry() -> Path:
    """The overlay in the user's settings, which ``vibro plugins enable`` creates."""
    return config_folder() / "registry.toml"


def find_overlay(option: Path | None = None, base: Path | None = None) -> Path | None:
    """The one registry overlay that counts: ``--registry``, ``VIBRO_REGISTRY``, ``./registry.toml``, the user's own.

    A file named by option or variable is returned even if it is missing, so that reading it says so. ``base`` is the
    packaged registry: it is never its own overlay.
    """
    named = option or (Path(os.environ["VIBRO_REGISTRY"]) if os.environ.get("VIBRO_REGISTRY") else None)
    if named is not None:
        return named.expanduser()
    for candidate in (Path("registry.toml"), user_registry()):
        if candidate.is_file() and not (base is not None and base.exists() and candidate.samefile(base)):
            return candidate
    return None
