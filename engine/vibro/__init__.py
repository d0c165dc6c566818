"""vibro: an ensemble of anomaly detectors over vibration records, one verdict a record."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vibro.hookspecs import hookimpl
    from vibro.python.records import Records
    from vibro.python.run import Run, fit, load, read

__version__ = "0.1.0"
__all__ = ["Records", "Run", "__version__", "fit", "hookimpl", "load", "read"]
_MODULES = {
    "hookimpl": "vibro.hookspecs",
    "Records": "vibro.python.records",
    **dict.fromkeys(("Run", "fit", "load", "read"), "vibro.python.run"),
}


def __getattr__(name: str) -> Any:
    """The names above on first use: the help of a command needs no plugin machinery."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
