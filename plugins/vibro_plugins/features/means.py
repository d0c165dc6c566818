"""``means``: where each channel stands and how much it moves about that, for pressures, temperatures, flows and the like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import FeatureExtractor, NotApplicableError, ViewKey


class Means(FeatureExtractor):
    """Mean of each channel and log10 of its standard deviation, of records of slow quantities.

    The other views leave the mean of a record out: of an accelerometer it is an offset that says nothing of the machine. A
    pressure, a temperature or a flow is little else. Records are taken for such where the mean of a channel moves more from
    record to record of a sensor than the samples do within a record. NotApplicableError where no channel does.
    """

    name = "means"
    summary = "mean and spread of slow quantities: pressures, temperatures, flows"
    item = "f"
    seconds = 0.05

    @classmethod
    def inputs(cls, params: Any) -> tuple[str | ViewKey, ...]:
        """The records and the sensor codes."""
        return ("raw", "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Looks whether raw (n, C, T) of sensors (n, 1) holds slow quantities; NotApplicableError where it does not."""
        mean, spread = _moments(inputs["raw"])
        sensor = np.asarray(inputs["sensor"]).reshape(-1)
        for code in np.unique(sensor):
            low, high = np.quantile(mean[sensor == code], [0.25, 0.75], axis=0)
            if ((high - low) / 1.349 > np.median(spread[sensor == code], axis=0)).any():
                return
        raise NotApplicableError("the means of the records hardly move beside what moves within them: no slow quantities")

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """raw (n, C, T) -> (n, 2 C)."""
        mean, spread = _moments(inputs["raw"])
        tiny = np.maximum(1e-6 * np.abs(mean), np.finfo(np.float32).tiny)
        return np.concatenate([mean, np.log10(np.maximum(spread, tiny))], axis=1).astype(np.float32)


def _moments(x: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (n, C) of (n, C, T)."""
    mean = x.mean(axis=2, dtype=np.float64)
    return mean, np.sqrt(np.square(x - mean[..., None], dtype=np.float64).mean(axis=2))


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``means``."""
    register(Means)
