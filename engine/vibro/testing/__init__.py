"""The conformance kit: named checks that every component must pass, for pytest, for the command line, for a notebook.

``run_checks(MyDetector)`` returns one ``Outcome`` per check; ``@parametrize_with_checks(MyDetector)`` makes each of them a
test; ``vibro plugins check NAME`` prints them. The data come from ``vibro.testing.signals``. Names are
imported on first use, because pytest imports this package at its start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vibro.testing.assertions import CheckFailedError
    from vibro.testing.parametrize import parametrize_with_checks
    from vibro.testing.runner import Outcome, run_check, run_checks

__all__ = ["CheckFailedError", "Outcome", "parametrize_with_checks", "run_check", "run_checks"]


def __getattr__(name: str) -> Any:
    """The public names, from the modules that hold them."""
    homes = {"CheckFailedError": "assertions", "parametrize_with_checks": "parametrize"}
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{homes.get(name, 'runner')}"), name)
