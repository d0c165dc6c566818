"""``profile``: spectrum and time statistics in as many values for any record, for networks that are trained elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import FeatureExtractor
from vibro_plugins.dsp.spectrum import Rows, by_channel, log_edges, log_level, scaled, welch
from vibro_plugins.dsp.statistics import SHAPE, shape_statistics
from vibro_plugins.features.lin import FLOOR, MOST_SEGMENT
from vibro_plugins.features.spectrum import segment_length

PLACES = 64  # of each of the two lines of levels
VALUES = 2 * PLACES + 1 + len(SHAPE)  # of a channel


class Profile(FeatureExtractor):
    """64 levels over log frequency, 64 over frequency, the level of the record, and the 11 time statistics of ``spectrum``.

    Both lines go from the first bin to Nyquist, whatever the sampling rate: log10 RMS in the bands of ``spectrum`` and mean
    power in those of ``lin``, interpolated linearly where a record has fewer bands than places. Levels are log10 of the
    record's unit, so that another unit shifts them all alike. C channels give C times 140 values.
    """

    name = "profile"
    summary = "spectrum and time statistics in 140 values a channel; any rate, any length"
    item = "f"
    seconds = 0.8

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """raw (n, C, T) -> (n, C * 140)."""
        return by_channel(inputs["raw"], _values)


def _values(x: NDArray[Any]) -> Rows:
    y, _, exponent = scaled(x)
    rms = np.sqrt(np.mean(y * y, axis=1))
    lines = [_over_octaves(y, exponent), _over_frequency(y, exponent)]
    return np.concatenate([*lines, log_level(rms, exponent)[:, None], shape_statistics(y)], axis=1)


def _over_octaves(y: Rows, exponent: NDArray[np.int32]) -> Rows:
    segment = segment_length(y.shape[1])
    power = welch(y, segment, max(1, segment // 2))
    edges = log_edges(power.shape[1] - 1, PLACES)
    level = log_level(np.sqrt(np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1)), exponent)
    return _stretched(level, 0.5 * (np.log(edges[:-1]) + np.log(np.maximum(edges[1:] - 1, 1))))


def _over_frequency(y: Rows, exponent: NDArray[np.int32]) -> Rows:
    segment = min(MOST_SEGMENT, y.shape[1])
    power = welch(y, segment, segment // 2)[:, 1:] if segment > 1 else np.zeros((len(y), 1))
    edges = np.unique(np.linspace(0, power.shape[1], min(PLACES, power.shape[1]) + 1).astype(np.intp))
    mean = np.add.reduceat(power, edges[:-1], axis=1) / np.diff(edges)
    mean = np.maximum(mean, FLOOR * np.median(mean, axis=1, keepdims=True))
    return _stretched(log_level(np.sqrt(mean), exponent), 0.5 * (edges[:-1] + edges[1:]))


def _stretched(level: Rows, at: Rows) -> Rows:
    """Levels (rows, bands) at these rising places (bands,) -> (rows, 64) at even places from the first to the last."""
    if len(at) == 1:
        return np.repeat(level, PLACES, axis=1)
    wanted = np.linspace(at[0], at[-1], PLACES)
    left = np.clip(np.searchsorted(at, wanted) - 1, 0, len(at) - 2)
    share = np.clip((wanted - at[left]) / (at[left + 1] - at[left]), 0, 1)
    return level[:, left] * (1 - share) + level[:, left + 1] * share


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``profile``."""
    register(Profile)
