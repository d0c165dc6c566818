"""Runs the checks: one generator, and the function and the pytest decorator on top of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vibro.api import Component
from vibro.errors import ConfigError
from vibro.testing import common, learner
from vibro.testing.assertions import CheckFailedError
from vibro.testing.case import Case
from vibro.testing.classifier import ClassifierCase
from vibro.testing.detector import DetectorCase
from vibro.testing.feature import FeatureCase
from vibro.testing.fuser import FuserCase
from vibro.testing.metric import MetricCase
from vibro.testing.reader import ReaderCase
from vibro.testing.side_effects import restored
from vibro.testing.thresholder import ThresholderCase

CASES: dict[str, type[Case]] = {
    "detector": DetectorCase,
    "feature": FeatureCase,
    "fuser": FuserCase,
    "thresholder": ThresholderCase,
    "reader": ReaderCase,
    "classifier": ClassifierCase,
    "metric": MetricCase,
}
Check = Callable[[Case], None]


@dataclass(frozen=True)
class Outcome:
    """Result of one check. ``status``: passed, failed, expected (declared, with its reason) or stale (declared, but passes)."""

    name: str
    status: str
    clause: str
    detail: str = ""
    input: str = ""
    reproduce: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the component may be used as it is."""
        return self.status in ("passed", "expected")


def case_for(cls: type[Component], **options: Any) -> Case:
    """The case of a class's kind."""
    if not (isinstance(cls, type) and issubclass(cls, Component) and cls.kind in CASES):
        raise ConfigError(f"{cls!r} is no component class of vibro")
    return CASES[cls.kind](cls, **options)


def checks(case: Case) -> Iterator[tuple[str, Check]]:
    """Every check that applies to the case, by name, cheap ones first."""
    found: list[Check] = [*common.CHECKS, *case.checks, *learner_checks(case), *common.AFTER_USE]
    for check in found:
        yield check.__name__, check


def learner_checks(case: Case) -> tuple[Check, ...]:
    """The checks on what is learned, for the kinds that carry a state."""
    return learner.checks(case) if case.cls.kind in ("detector", "feature", "fuser", "classifier") else ()


def run_checks(
    cls: type[Component],
    expected: Mapping[str, str] | None = None,
    *,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    item: str | None = None,
    device: str = "cpu",
    only: Callable[[str], bool] = lambda name: True,
) -> list[Outcome]:
    """Runs every check on a component class.

    ``expected`` maps the name of a check that the component is known to fail to the reason; a declared check that
    passes is ``stale``. ``settings`` replace the class's ``test_settings``, ``item`` is the shape of a row as in
    ``FeatureExtractor.item`` (default: what the class accepts).
    """
    case = case_for(cls, seed=seed, settings=settings, item=item, device=device)
    known = dict(checks(case))
    declared = declared_failures(cls, expected, known)
    return [run_one(case, name, check, declared.get(name)) for name, check in known.items() if only(name)]


def declared_failures(
    cls: type[Component], expected: Mapping[str, str] | None, known: Mapping[str, Check]
) -> dict[str, str]:
    """The declared failures, checked: each names a check and gives a reason."""
    declared = dict(expected or {})
    for name, reason in declared.items():
        if name not in known:
            raise ConfigError(f"{cls.__name__} has no check {name!r} (known: {', '.join(known)})")
        if not reason.strip():
            raise ConfigError(f"{name} is declared to fail without a reason")
    return declared


def run_one(case: Case, name: str, check: Check, reason: str | None = None) -> Outcome:
    """Runs one check on a case."""
    clause = (check.__doc__ or "").strip().splitlines()[0]
    start = time.perf_counter()
    case.shown = case.given
    try:
        with restored():
            check(case)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and worse from a component under test
        detail = str(error) if isinstance(error, CheckFailedError) else _said(error)
        seconds = time.perf_counter() - start
        if reason is not None:
            return Outcome(name, "expected", clause, f"{reason} ({detail})", seconds=seconds)
        return Outcome(name, "failed", clause, detail, case.shown, reproduce(case, name), seconds)
    status, detail = ("passed", "") if reason is None else ("stale", f"declared to fail ({reason}), but it passes")
    return Outcome(name, status, clause, detail, seconds=time.perf_counter() - start)


def reproduce(case: Case, name: str) -> str:
    """Two lines that run one check again and raise where it fails."""
    cls = case.cls
    given = "".join(
        f", {key}={value!r}"
        for key, value in (("seed", case.seed), ("settings", case.settings), ("item", case.item))
        if value not in (None, 0) and not (key == "settings" and value == dict(cls.test_settings))
    )
    top = cls.__qualname__.split(".")[0]
    return (
        f"from {cls.__module__} import {top}; from vibro.testing import run_check\n"
        f"run_check({cls.__qualname__}, {name!r}{given})"
    )


def run_check(cls: type[Component], name: str, **options: Any) -> None:
    """Runs one check by name and lets its error through, for a debugger."""
    case = case_for(cls, **options)
    known = dict(checks(case))
    if name not in known:
        raise ConfigError(f"{cls.__name__} has no check {name!r} (known: {', '.join(known)})")
    known[name](case)


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"{type(error).__name__} (its message cannot be shown)"
