"""The documented baseline: a weighted mean of z with stated weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import Field

from vibro import hookimpl
from vibro.api import ConfigError, Fuser, Params
from vibro_plugins.fusers.linear_base import Floats, Labels, LinearFuser


@dataclass(frozen=True)
class WeightedMeanParams(Params):
    """Settings of ``weighted_mean``.

    ``weights``: detector id -> weight >= 0; empty: equal ones
    """

    weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = field(default_factory=dict)


class WeightedMean(LinearFuser):
    """fused = sum w_j z_j / sum w_j over the usable detectors; equal weights where none are stated.

    Linear scaling and a mean is the best unsupervised rule of 70 in TSB-AutoAD (Liu and Paparrizos, VLDB 2025).
    """

    name = "weighted_mean"
    summary = "weighted mean of z with stated weights; equal ones by default"
    Params = WeightedMeanParams

    def fit(self, z: Floats, y: Labels | None = None, usefulness: Floats | None = None) -> None:
        """Takes the stated weights in the order of the columns; ConfigError if a detector has none."""
        stated, names = self.params.weights, self.ctx.names
        if not stated:
            self._weights = np.full(z.shape[1], 1.0 / max(z.shape[1], 1))
            return
        missing = [name for name in names if name not in stated]
        if missing:
            raise ConfigError(
                f"fuser.weights names no weight for {', '.join(missing)}",
                hint=f"detectors: {', '.join(names)}; a weight of 0 leaves one out",
            )
        weights = np.array([stated[name] for name in names], dtype=np.float64)
        if not weights.sum() > 0:
            raise ConfigError("fuser.weights leaves no detector with a weight above 0")
        self._weights = weights / weights.sum()

    def notes(self) -> list[str]:
        """Weights that name no scored detector."""
        absent = [name for name in self.params.weights if name not in self.ctx.names]
        return [f"fuser.weights: {name} gave no scores; the other weights were scaled up" for name in absent]


@hookimpl
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Registers the fuser."""
    register(WeightedMean)
