"""Weights by fault injection: members count by what they detect of faults injected into presumed normal records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Exported, Fuser, Params
from vibro_plugins.fusers.linear_base import Floats, Labels, LinearFuser, dead, normalised, ordered, weighted_mean
from vibro_plugins.portable import fusing

USEFUL = 0.02  # usefulness below which a member is taken to detect nothing


@dataclass(frozen=True)
class AuditionedParams(Params):
    """Settings of ``auditioned``.

    ``sharpness``: power of the usefulness that gives the weights; 0: equal ones
    """

    sharpness: Annotated[float, Field(ge=0)] = 2.0


class Auditioned(LinearFuser):
    """sinh of the weighted mean of asinh(z), with w_j ~ usefulness_j to the power ``sharpness``.

    Choosing detectors by injected anomalies is the best of the label-free ways that Goswami et al. (ICLR 2023) and the
    TSB-AutoAD study (Liu and Paparrizos, VLDB 2025) compare. Constant and inverted members detect nothing: they get weight
    0 and are named. One that could not be tried counts like the mean of those that detect something. Without fault
    injection, or where no member detects anything, the weights are equal.
    """

    name = "auditioned"
    summary = "members weighted by what they detect of injected faults"
    Params = AuditionedParams
    wants_trial = True

    _blind: tuple[str, ...] = ()
    _untried: tuple[str, ...] = ()
    _note: str = ""

    def fit(self, z: Floats, y: Labels | None = None, usefulness: Floats | None = None) -> None:
        """Takes the weights from ``usefulness`` (d,)."""
        alive = ~dead(ordered(z))
        given = np.full(z.shape[1], np.nan) if usefulness is None else np.asarray(usefulness, np.float64)
        useful = alive & (given >= USEFUL)
        self._blind = self._untried = ()
        self._note = ""
        if not useful.any():
            self._weights = normalised(alive.astype(np.float64))
            self._note = "auditioned: no injected fault was detected or none was tried; the weights are equal"
            return
        untried = alive & np.isnan(given)
        filled = np.where(untried, given[useful].mean(), np.where(useful, given, 0.0))
        self._weights = normalised(filled**self.params.sharpness * (useful | untried))
        self._blind = self._named(~useful & ~untried)
        self._untried = self._named(untried)

    def _named(self, which: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(name for name, mine in zip(self.ctx.names, which, strict=True) if mine)

    def fuse(self, z: Floats) -> Floats:
        """(n, d), NaN = no score -> (n,)."""
        return np.sinh(weighted_mean(z, self._fitted(), transform=np.arcsinh))

    def export(self) -> Exported:
        """The weights, with numpy alone."""
        return Exported({**self.state(), "reach": np.array(1.0)}, fusing.asinh_mean)

    def notes(self) -> list[str]:
        """Members that detect nothing, or could not be tried."""
        said = [f"{name} detects no injected fault: constant, inverted or blind; weight 0" for name in self._blind]
        said += [
            f"{name} could not be tried on injected faults: it counts like the mean of the others"
            for name in self._untried
        ]
        return [*said, *([self._note] if self._note else [])]


@hookimpl
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Registers the fuser."""
    register(Auditioned)
