"""Weights from the audition: members count by what they catch of faults injected into calm records, without labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Fuser, Params
from vibro_plugins.fusers.linear_base import LinearFuser, dead, normalised, ordered, weighted_mean

HEARD = 0.02  # usefulness below which a member is taken to catch nothing


class Auditioned(LinearFuser):
    """sinh of the weighted mean of asinh(z), with w_j ~ usefulness_j to the power ``sharpness``.

    Choosing detectors by injected anomalies is the best of the label-free ways that Goswami et al. (ICLR 2023) and the
    TSB-AutoAD study (Liu and Paparrizos, VLDB 2025) compare. Constant and inverted members catch nothing, so that they
    have no weight and are named. One that could not be tried counts like the mean of those that catch something. Without
    an audition, or where no member catches anything, the weights are equal.
    """

    name = "auditioned"
    summary = "members weighted by what they catch of injected faults"
    wants_trial = True

    @dataclass(frozen=True)
    class Params(Params):
        """``sharpness``: power of the weights, 0 = equal ones."""

        sharpness: Annotated[float, Field(ge=0)] = 2.0

    _deaf: tuple[str, ...] = ()
    _untried: tuple[str, ...] = ()
    _note: str = ""

    def fit(
        self,
        z: NDArray[np.float64],
        y: NDArray[np.int16] | None = None,
        usefulness: NDArray[np.float64] | None = None,
    ) -> None:
        """Takes the weights from ``usefulness`` (d,)."""
        alive = ~dead(ordered(z))
        caught = np.full(z.shape[1], np.nan) if usefulness is None else np.asarray(usefulness, np.float64)
        heard = alive & (caught >= HEARD)
        self._deaf = self._untried = ()
        self._note = ""
        if not heard.any():
            self._weights = normalised(alive.astype(np.float64))
            self._note = "auditioned: no injected fault was caught or none was tried; the weights are equal"
            return
        untried = alive & np.isnan(caught)
        useful = np.where(untried, caught[heard].mean(), np.where(heard, caught, 0.0))
        self._weights = normalised(useful**self.params.sharpness * (heard | untried))
        self._deaf = self._named(~heard & ~untried)
        self._untried = self._named(untried)

    def _named(self, which: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(name for name, mine in zip(self.ctx.names, which, strict=True) if mine)

    def fuse(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, d), NaN = no score -> (n,)."""
        return np.sinh(weighted_mean(z, self._fitted(), bend=np.arcsinh))

    def notes(self) -> list[str]:
        """Members that catch nothing."""
        said = [f"{name} catches no injected fault: dead, inverted or blind; weight 0" for name in self._deaf]
        said += [
            f"{name} could not be tried on injected faults: it counts like the mean of the others"
            for name in self._untried
        ]
        return [*said, *([self._note] if self._note else [])]


@hookimpl
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Registers the fuser."""
    register(Auditioned)
