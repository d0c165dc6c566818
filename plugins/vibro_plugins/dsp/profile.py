"""Spectrum and time statistics of a record in as many values whatever its length and rate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.dsp.bands import even_edges, even_levels, octave_levels, segment_length
from vibro_plugins.dsp.spectrum import Rows, log_edges, log_level, scaled
from vibro_plugins.dsp.statistics import SHAPE, shape_statistics

PLACES = 64  # of each of the two lines of levels
VALUES = 2 * PLACES + 1 + len(SHAPE)


def profile(x: NDArray[Any]) -> Rows:
    """(rows, samples) -> (rows, 140): levels over log frequency and over frequency, the level of the record, ``SHAPE``."""
    y, _, exponent = scaled(x)
    over_octaves, first = octave_levels(y, exponent, PLACES)
    over_frequency, edges = even_levels(y, exponent, PLACES)
    lines = [
        _stretched(over_octaves, 0.5 * (np.log(first[:-1]) + np.log(np.maximum(first[1:] - 1, 1)))),
        _stretched(over_frequency, 0.5 * (edges[:-1] + edges[1:])),
    ]
    rms = np.sqrt(np.mean(y * y, axis=1))
    return np.concatenate([*lines, log_level(rms, exponent)[:, None], shape_statistics(y)], axis=1)


def profile_bands(length: int) -> Rows:
    """(140, 2) from and to in cycles a sample of what each value is made from, NaN for the level and the statistics."""
    segment, first = segment_length(length), log_edges(segment_length(length) // 2, PLACES)
    octaves = np.exp(_around(0.5 * (np.log(first[:-1]) + np.log(np.maximum(first[1:] - 1, 1))))) / segment
    edges = even_edges(length, PLACES)
    even = _around(0.5 * (edges[:-1] + edges[1:]))
    return np.concatenate([np.clip(octaves, 0, 0.5), np.clip(even, 0, 0.5), np.full((1 + len(SHAPE), 2), np.nan)])


def _around(at: Rows) -> Rows:
    """Half a place on either side of the 64 places that ``_stretched`` interpolates to."""
    wanted = np.linspace(at[0], at[-1], PLACES)
    half = 0.5 * (wanted[1] - wanted[0])
    return np.stack([wanted - half, wanted + half], axis=1)


def _stretched(level: Rows, at: Rows) -> Rows:
    """Levels (rows, bands) at these rising places (bands,) -> (rows, 64) at even places from the first to the last."""
    if len(at) == 1:
        return np.repeat(level, PLACES, axis=1)
    wanted = np.linspace(at[0], at[-1], PLACES)
    left = np.clip(np.searchsorted(at, wanted) - 1, 0, len(at) - 2)
    share = np.clip((wanted - at[left]) / (at[left + 1] - at[left]), 0, 1)
    return level[:, left] * (1 - share) + level[:, left + 1] * share
