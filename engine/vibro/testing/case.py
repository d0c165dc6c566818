"""What a check works on: one component class with its test settings, its data, and the two verbs fit and answer."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from vibro.api import Component, State
from vibro.context import Context
from vibro.errors import ContractError, VibroError
from vibro.testing import elsewhere, manners
from vibro.testing.signals import FS

TOLERANCE = 1e-6  # relative to the value or to the spread of the column, whichever is larger


class CheckFailedError(AssertionError):
    """A component broke the clause of a check; the message says how."""


def fail(message: str) -> NoReturn:
    """Ends a check."""
    raise CheckFailedError(message)


def require(condition: object, message: str) -> None:
    """Ends a check unless the condition holds."""
    if not condition:
        fail(message)


class Case:
    """One component class under test.

    A subclass for each kind says how to ``fit`` it and how to make it ``answer`` with one array. ``shown`` describes
    the last input handed over; a failing check reports it.
    """

    def __init__(
        self,
        cls: type[Component],
        *,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        item: str | None = None,
        device: str = "cpu",
    ) -> None:
        self.cls: Any = cls
        self.seed = seed
        self.settings = dict(cls.test_settings if settings is None else settings)
        self.item = item
        self.device = device
        self.progress: list[tuple[Any, Any]] = []
        self.shown = self.given

    # --- the verbs of a kind ------------------------------------------------------------------------------------------

    def fit(self, component: Any, *, other: bool = False) -> Any:
        """Fits on the easy data, or on other data; returns the component. Kinds without ``fit`` do nothing."""
        return component

    def answer(self, component: Any) -> NDArray[Any]:
        """What the fitted component says about the easy data."""
        raise NotImplementedError

    @property
    def checks(self) -> tuple[Callable[..., None], ...]:
        """The checks of its kind that apply."""
        raise NotImplementedError

    @property
    def given(self) -> str:
        """The data of the case in words."""
        return f"easy data of seed {self.seed}"

    @property
    def learns(self) -> bool:
        """Whether the class has a ``fit`` of its own."""
        return True

    # --- shared -------------------------------------------------------------------------------------------------------

    def context(self, seed: int | None = None) -> Context:
        """The context of the component under test."""
        return Context(
            seed=self.seed if seed is None else seed,
            device=self.device,
            fs=FS,
            progress=lambda done, total: self.progress.append((done, total)),
        )

    def make(self, seed: int | None = None) -> Any:
        """A new component with the test settings."""
        return self.cls.make(self.settings, self.context(seed))

    def show(self, what: str, *arrays: NDArray[Any]) -> None:
        """Notes the input that is about to be handed over."""
        shapes = ", ".join(f"{a.dtype}{list(a.shape)} {np.array2string(a.ravel()[:4], precision=4)}" for a in arrays)
        self.shown = f"{what}: {shapes}" if shapes else what

    @cached_property
    def fitted(self) -> Any:
        """A component fitted on the easy data; checks may use it but not fit it again."""
        return self.exercise[0]

    @cached_property
    def expected(self) -> NDArray[Any]:
        """Its answer on the easy data."""
        return self.exercise[1]

    @cached_property
    def exercise(self) -> tuple[Any, NDArray[Any], dict[str, str]]:
        """Component, answer and broken manners of one fit and one answer, after a first round that may import things."""
        for name in ("torch", "sklearn", "numba"):
            if name in self.imports and name not in sys.modules:
                importlib.import_module(name)
        with manners.observed():
            self.answer(self.fit(self.make()))
        self.progress.clear()
        with manners.observed() as seen:
            component = self.fit(self.make())
            answer = np.array(self.answer(component))
        return component, answer, seen

    @cached_property
    def elsewhere(self) -> dict[str, NDArray[Any]]:
        """The answers of another process: ``refitted`` after its own fit, ``restored`` from the fitted one's state."""
        return elsewhere.ask([self])[0]

    @cached_property
    def source(self) -> str:
        """Text of the module that defines the class, empty if there is none."""
        try:
            return inspect.getsource(sys.modules[self.cls.__module__])
        except (OSError, TypeError, KeyError):
            return ""

    @cached_property
    def imports(self) -> set[str]:
        """Names of all modules that the module imports anywhere."""
        names: set[str] = set()
        for node in ast.walk(ast.parse(self.source)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
        return names


def overrides(cls: type, method: str) -> bool:
    """Whether a component class has a method of its own, not only that of the contract."""
    return any(method in vars(base) for base in cls.__mro__ if base.__module__ != "vibro.api")


def fresh_copy(state: State) -> State:
    """The state as it comes back from a file: new arrays of the same bytes, nothing shared."""
    return {str(name): np.array(array, copy=True, order="C") for name, array in state.items()}


def same(a: NDArray[Any], b: NDArray[Any], why: str) -> None:
    """Both arrays hold the same bytes."""
    require(a.shape == b.shape, f"{why}: shapes {a.shape} and {b.shape}")
    if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        row = _first(a != b)
        fail(f"{why}: first in row {row}: {_at(a, row)} and {_at(b, row)}")


def close(a: NDArray[Any], b: NDArray[Any], why: str, spread: float | None = None) -> None:
    """Both arrays agree to TOLERANCE of the value or of the spread of all values."""
    require(a.shape == b.shape, f"{why}: shapes {a.shape} and {b.shape}")
    finite = a[np.isfinite(a)]
    scale = spread if spread is not None else float(finite.std()) if finite.size else 0.0
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(a - b) <= TOLERANCE * np.maximum(np.abs(a), scale)) & ~(np.isnan(a) & np.isnan(b))
    if wrong.any():
        row = _first(wrong)
        fail(f"{why}: {int(wrong.sum())} of {wrong.size} values, first in row {row}: {_at(a, row)} and {_at(b, row)}")


def _first(wrong: NDArray[np.bool_]) -> int:
    return int(np.argwhere(wrong)[0][0]) if wrong.ndim else 0


def _at(array: NDArray[Any], row: int) -> str:
    return np.array2string(np.atleast_1d(array)[row], precision=17, threshold=4, edgeitems=2)


def clean(action: Callable[[], Any], what: str) -> Any:
    """The result of an action, or None where it refused with one of vibro's errors; any other error is a failure."""
    try:
        return action()
    except ContractError as error:
        fail(f"{what}: {error}")
    except VibroError:
        return None
    except Exception as error:
        fail(f"{what}: {type(error).__name__}: {error}; raise StandAside where nothing can be learned")
