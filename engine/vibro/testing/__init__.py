"""The conformance kit: named checks that every component must pass, for pytest, for the command line, for a notebook.

``run_checks(MyDetector)`` returns an ``Outcome`` a check; ``@parametrize_with_checks(MyDetector)`` makes each of them a
test; ``vibro plugins check NAME`` prints them. Data come from ``vibro.testing.signals``.
"""

from __future__ import annotations

from vibro.testing.case import CheckFailedError
from vibro.testing.parametrize import parametrize_with_checks
from vibro.testing.runner import Outcome, run_check, run_checks

__all__ = ["CheckFailedError", "Outcome", "parametrize_with_checks", "run_check", "run_checks"]
