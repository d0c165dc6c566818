"""The pytest front end of the kit: one test per check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vibro.api import Component
from vibro.testing.case import Case
from vibro.testing.runner import Check, case_for, checks, declared_failures
from vibro.testing.side_effects import restored


class BoundCheck:
    """One check of one component; calling it runs the check."""

    def __init__(self, case: Case, name: str, check: Check) -> None:
        self.case, self.name, self.check = case, name, check

    def __call__(self) -> None:
        """Raises CheckFailedError where the component breaks the clause."""
        with restored():
            self.check(self.case)

    def __repr__(self) -> str:
        return f"{self.case.cls.name}-{self.name}"


def parametrize_with_checks(
    component: str | type[Component] | Sequence[str | type[Component]],
    expected: Mapping[str, str] | None = None,
    **options: Any,
) -> Callable[[Any], Any]:
    """Decorates ``def test(check): check()`` so that it runs once for every check.

    ``component`` is a class, a name (``"envelope"``, or ``"feature:envelope"`` where two kinds share it), or a list
    of these. ``expected`` maps checks that are known to fail to their reasons: they must fail (strict xfail).
    ``options`` are those of ``run_checks``.
    """
    import pytest

    wanted: Sequence[str | type[Component]] = [component] if isinstance(component, str | type) else component
    params = []
    for item in wanted:
        cls = find(item) if isinstance(item, str) else item
        case = case_for(cls, **options)
        known = dict(checks(case))
        declared = declared_failures(cls, expected, known)
        for name, check in known.items():
            marks = [pytest.mark.xfail(reason=declared[name], strict=True)] if name in declared else []
            bound = BoundCheck(case, name, check)
            params.append(pytest.param(bound, id=repr(bound), marks=marks))
    return pytest.mark.parametrize("check", params)


def find(name: str) -> type[Component]:
    """The class of a component that an enabled plugin offers, by ``name`` or ``kind:name``."""
    from vibro.api import KINDS
    from vibro.errors import ConfigError, UnknownComponentError
    from vibro.host.manager import PluginHost

    host = PluginHost.create()
    kind, _, rest = name.rpartition(":")
    if kind:
        return host.component(kind, rest)
    found = [k for k in KINDS if rest in host.names(k)]
    if not found:
        raise UnknownComponentError(f"no component named {rest!r}", hint="vibro plugins list")
    if len(found) > 1:
        raise ConfigError(f"{rest!r} is the name of a {' and of a '.join(found)}", hint=f"write {found[0]}:{rest}")
    return host.component(found[0], rest)
