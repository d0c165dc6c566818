"""What a check works on: one component class with its test settings, its data, and how it is fitted and asked."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Component
from vibro.context import Context
from vibro.testing.other_process import Request, ask
from vibro.testing.side_effects import observed
from vibro.testing.signals import FS


class Case:
    """One component class under test.

    A subclass for each kind says how to ``fit`` the component and what its ``answer`` is, as one array. ``shown``
    describes the last input that the component was given; a failing check reports it.
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

    # --- what each kind defines ---------------------------------------------------------------------------------------

    def fit(self, component: Any, *, other: bool = False) -> Any:
        """Fits on the easy data, or on other data; returns the component. Kinds without ``fit`` do nothing."""
        return component

    def answer(self, component: Any) -> NDArray[Any]:
        """The fitted component's output for the easy data."""
        raise NotImplementedError

    @property
    def checks(self) -> tuple[Callable[..., None], ...]:
        """The checks that apply to this class, beside those for every kind."""
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
        """Describes the input that the component gets next, for the report of a failing check."""
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
        """A fitted component, its answer, and the side effects of that fit and answer by aspect.

        Both are done once before, so that imports and caches of a first use are no side effects.
        """
        for name in ("torch", "sklearn", "numba"):
            if name in self.imports and name not in sys.modules:
                importlib.import_module(name)
        with observed():
            self.answer(self.fit(self.make()))
        self.progress.clear()
        with observed() as seen:
            component = self.fit(self.make())
            answer = np.array(self.answer(component))
        return component, answer, seen

    @property
    def request(self) -> Request:
        """What another process needs to answer for this case."""
        options = {"seed": self.seed, "settings": self.settings, "item": self.item, "device": self.device}
        return Request(self.cls, options, self.fitted.state() if self.learns else None)

    @cached_property
    def other_process(self) -> dict[str, NDArray[Any]]:
        """The answers of another process: ``refitted`` after its own fit, ``restored`` from the fitted one's state."""
        return ask([self.request])[0]

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
