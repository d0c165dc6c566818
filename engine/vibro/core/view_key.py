"""Hash of the code and the library versions that a cached view was made with."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("numpy", "scipy", "PyWavelets", "numba", "torch")  # whose results views are made of


@lru_cache(maxsize=64)
def code_of(cls: type) -> str:
    """Hash of the source of the package that a class lives in, of vibro's own, and of the versions of the libraries.

    So a changed extractor never meets an old array. Empty where the source cannot be seen: such a view is never cached.
    """
    if cls.__module__.startswith("vibro.host.isolation"):
        return ""  # its code lies in another process
    names = dict.fromkeys([cls.__module__.partition(".")[0], "vibro"])
    parts = [f"{cls.__module__}.{cls.__qualname__}", library_versions(), *(_sources(name) for name in names)]
    return sha256("\0".join(parts).encode()).hexdigest()


@lru_cache(maxsize=64)
def _sources(package: str) -> str:
    """Hash of the Python files of a package or module."""
    module = sys.modules[package]
    folder, file = getattr(module, "__path__", None), getattr(module, "__file__", None)
    found = sha256()
    for path in sorted(Path(folder[0]).rglob("*.py")) if folder else [Path(file)] if file else []:
        found.update(path.read_bytes())
    return found.hexdigest()


@lru_cache(maxsize=1)
def library_versions() -> str:
    """The libraries that views are computed with, those that are installed."""
    found = []
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
