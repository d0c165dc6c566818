"""Finds a module by its name, or by its file where the name leads nowhere."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any


def find_module(module: str, file: str | None) -> Any:
    """The module by its name; one that cannot be imported by name is read from its file."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        if file is None:
            raise
    spec = importlib.util.spec_from_file_location(module, file)
    assert spec is not None and spec.loader is not None  # a .py path always has a loader
    found = sys.modules[module] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found
