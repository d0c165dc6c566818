"""Any thresholding method of PyThresh, where that package is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import ConfigError, Params, Thresholder
from vibro_plugins.thresholders.normal_body import usable


class PyThresh(Thresholder):
    """The cut at which a PyThresh method begins to flag the reference; the budget does not enter."""

    name = "pythresh"
    summary = "a method of PyThresh by its name; needs that package"

    @dataclass(frozen=True)
    class Params(Params):
        """``method``: a class of ``pythresh.thresholds``, such as FILTER, MIXMOD or IQR."""

        method: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$")] = "FILTER"

    _details: Mapping[str, Any] = {}

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut; ConfigError if the package or the method is not there."""
        known, name = usable(scores, budget), self.params.method.upper()
        try:
            method = getattr(import_module(f"pythresh.thresholds.{name.lower()}"), name)
        except ModuleNotFoundError as error:
            if error.name in ("pythresh", "pythresh.thresholds"):
                raise ConfigError("PyThresh is not installed", hint="pip install pythresh") from None
            raise ConfigError(f"PyThresh cannot offer {name}: {error}") from None
        flagged = known[np.asarray(method().eval(known)) > 0]
        self._details = {"fallback": None if len(flagged) else f"{name} flags nothing", "flagged": len(flagged)}
        return float(np.nextafter(flagged.min(), -np.inf)) if len(flagged) else float(known[-1])

    def details(self) -> Mapping[str, Any]:
        """Of the last cut: how many reference scores the method flags."""
        return self._details


@hookimpl
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Registers the thresholder."""
    register(PyThresh)
