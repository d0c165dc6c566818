"""Checks for every component: names, settings, constructor, registration, side effects."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from vibro.api import API_VERSION, KINDS, Component, Params
from vibro.errors import ConfigError
from vibro.testing.assertions import fail, require
from vibro.testing.case import Case
from vibro.testing.side_effects import ASPECTS

PUBLIC = (
    "vibro",
    "vibro.benchmark.metrics",
    "vibro.api",
    "vibro.context",
    "vibro.portable.covariates",
    "vibro.scoring.regression",
    "vibro.data",
    "vibro.errors",
    "vibro.events",
    "vibro.testing",
)


def check_name(case: Case) -> None:
    """The name is snake_case."""
    name = case.cls.name
    require(re.fullmatch(r"[a-z][a-z0-9_]*", name), f"name is {name!r}; write it like 'deep_svdd'")


def check_description(case: Case) -> None:
    """The class says in one line what it is: a docstring or ``summary``."""
    text = case.cls.summary or vars(case.cls).get("__doc__") or ""
    require(text.strip(), "neither docstring nor summary")
    require("\n" not in case.cls.summary, "summary is longer than one line")


def check_contract(case: Case) -> None:
    """The class implements the contract of its kind, in the version of this vibro."""
    cls = case.cls
    require(cls.kind in KINDS and issubclass(cls, KINDS[cls.kind]), f"kind {cls.kind!r} does not fit the base class")
    require(
        not inspect.isabstract(cls), f"still abstract: {', '.join(sorted(getattr(cls, '__abstractmethods__', ())))}"
    )
    require(cls.api == API_VERSION, f"written for contract version {cls.api}, this is {API_VERSION}")


def check_signatures(case: Case) -> None:
    """Every method of the contract takes the contract's arguments."""
    base = KINDS[case.cls.kind]
    for name, method in vars(base).items():
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        wanted = list(inspect.signature(method).parameters.values())[1:]
        try:
            inspect.signature(getattr(case.cls, name)).bind(None, *(p.name for p in wanted))
        except TypeError as error:
            fail(f"{name}({', '.join(p.name for p in wanted)}) cannot be called: {error}")


def check_importable(case: Case) -> None:
    """The class is found again by its module and name, so that workers can be sent to it."""
    cls = case.cls
    found: Any = importlib.import_module(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    require(found is cls, f"{cls.__module__}.{cls.__qualname__} does not lead to the class; define it at module level")


def check_public_imports(case: Case) -> None:
    """Of vibro the module imports the public modules only."""
    private = sorted(
        n for n in case.imports if n.split(".")[0] == "vibro" and n not in PUBLIC and not n.startswith("vibro.testing.")
    )
    require(not private, f"imports {', '.join(private)}; public are {', '.join(PUBLIC)}")


def check_requires(case: Case) -> None:
    """``requires`` names modules that can be imported."""
    require(isinstance(case.cls.requires, tuple), "requires is not a tuple of module names")
    missing = [name for name in case.cls.requires if importlib.util.find_spec(name) is None]
    require(not missing, f"not installed: {', '.join(missing)}")


def check_settings_frozen(case: Case) -> None:
    """``Params`` is a frozen dataclass derived from ``vibro.api.Params``."""
    params: Any = case.cls.Params
    require(
        issubclass(params, Params) and "__dataclass_fields__" in vars(params),
        "Params is no dataclass of vibro.api.Params",
    )
    require(params.__dataclass_params__.frozen, "Params is not frozen; write @dataclass(frozen=True)")


def check_settings_default(case: Case) -> None:
    """Every setting has a default, and the defaults are accepted."""
    for field in dataclasses.fields(case.cls.Params):
        missing = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        require(not missing, f"setting {field.name} has no default")
    case.cls.make({}, case.context())


def check_settings_plain(case: Case) -> None:
    """The settings survive a round trip through JSON."""
    for settings in ({}, case.settings):
        params = case.cls.make(settings, case.context()).params
        table = dataclasses.asdict(params)
        try:
            again = case.cls.make(json.loads(json.dumps(table)), case.context()).params
        except TypeError as error:
            fail(f"settings are not plain: {error}")
        require(again == params, f"{params} came back as {again}")


def check_settings_unknown(case: Case) -> None:
    """An unknown setting is refused by name."""
    with _refused("an unknown setting"):
        case.cls.make({**case.settings, "no_such_setting": 1}, case.context())


def check_settings_bounds(case: Case) -> None:
    """Values of a wrong type or out of bounds are refused."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(case.cls.Params).json_schema()
    for name, field in schema.get("properties", {}).items():
        for value in _wrong(field):
            with _refused(f"{name} = {value!r}"):
                case.cls.make({**case.settings, name: value}, case.context())


def check_test_settings(case: Case) -> None:
    """``test_settings`` are accepted."""
    case.make()


def check_constructor_cheap(case: Case) -> None:
    """The constructor stores settings and context as they are and computes nothing."""
    context = case.context()
    component = case.cls.make(case.settings, context)
    require(component.ctx is context, "the context was replaced")
    wanted = case.cls.make(case.settings, case.context()).params
    require(component.params == wanted, "the settings were changed")
    arrays = [name for name, value in vars(component).items() if isinstance(value, np.ndarray) and value.size]
    require(not arrays, f"made arrays before fit: {', '.join(arrays)}")


def check_settings_untouched(case: Case) -> None:
    """Fitting and answering change no setting and nothing on the class."""
    before, on_class = case.make().params, _class_values(case.cls)
    component = case.fit(case.make())
    case.answer(component)
    require(component.params == before, f"settings became {component.params}")
    after = _class_values(case.cls)
    changed = [name for name in {**on_class, **after} if on_class.get(name) != after.get(name)]
    require(not changed, f"class attributes changed: {', '.join(changed)}")


def check_progress(case: Case) -> None:
    """``ctx.progress`` is told how many steps of how many are done, and never goes back."""
    _ = case.exercise
    case.progress.clear()
    case.fit(case.make())
    last = 0
    for done, total in case.progress:
        require(isinstance(done, int) and isinstance(total, int), f"progress({done!r}, {total!r}) takes whole numbers")
        require(last <= done <= total, f"progress went from {last} to {done} of {total}")
        last = done


def check_no_growth(case: Case) -> None:
    """Ten more answers need no more memory than the first: less than 20 MB per call are not freed."""
    component = case.fitted
    case.answer(component)
    before = _resident()
    for _ in range(10):
        case.answer(component)
    grown = (_resident() - before) / 10
    require(grown < 20e6, f"{grown / 1e6:.0f} MB are not freed per call")


def _no_side_effect(aspect: str, clause: str) -> Callable[[Case], None]:
    def check(case: Case) -> None:
        found = case.exercise[2]
        require(aspect not in found, found.get(aspect, ""))

    check.__name__ = f"check_{aspect}"
    check.__doc__ = clause[0].upper() + clause[1:] + "."
    return check


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_name,
    check_description,
    check_contract,
    check_signatures,
    check_importable,
    check_public_imports,
    check_requires,
    check_settings_frozen,
    check_settings_default,
    check_settings_plain,
    check_settings_unknown,
    check_settings_bounds,
    check_test_settings,
    check_constructor_cheap,
    check_settings_untouched,
)
AFTER_USE: tuple[Callable[[Case], None], ...] = (
    check_progress,
    check_no_growth,
    *(_no_side_effect(aspect, clause) for aspect, clause in ASPECTS.items()),
)


class _refused:
    """The body must end in a ConfigError."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        require(kind is not None, f"{self.what} was accepted")
        require(
            isinstance(error, ConfigError), f"{self.what} gave {kind and kind.__name__}: {error}, not a ConfigError"
        )
        return True


def _wrong(field: dict[str, Any]) -> Iterator[Any]:
    """Values that a JSON schema of one setting forbids."""
    yield {"no": ["such", "value"]} if field.get("type") != "object" and "anyOf" not in field else object()
    if field.get("type") in ("integer", "number"):
        yield "many"
    for key, step in (("minimum", -1), ("maximum", 1), ("exclusiveMinimum", 0), ("exclusiveMaximum", 0)):
        if key in field:
            yield field[key] + step
    if "enum" in field:
        yield "no such choice"


def _class_values(cls: type[Component]) -> dict[str, str]:
    return {name: repr(value) for name, value in vars(cls).items() if not callable(value) and name[:2] != "__"}


def _resident() -> int:
    """Bytes of memory that the process holds; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as statm:  # noqa: PTH123
            return int(statm.read().split()[1]) * 4096
    except OSError:
        return 0
