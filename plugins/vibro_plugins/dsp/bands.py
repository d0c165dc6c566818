"""Levels in frequency bands, which several features share: over log frequency and over frequency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.dsp.spectrum import Rows, log_edges, log_level, welch

LEAST_SEGMENT = 256  # samples of a segment at least
MOST_SEGMENTS = 15
MOST_SEGMENT = 512  # samples of a segment for even bands: the whole record where it is no longer
FLOOR = 1e-6  # of the median power of a record's even bands


def octave_levels(y: Rows, exponent: NDArray[np.int32], bands: int) -> tuple[Rows, NDArray[np.intp]]:
    """log10 RMS (rows, b) of scaled rows in b <= ``bands`` log-spaced bands, and the first bin of each and the last one's end."""
    segment = segment_length(y.shape[1])
    power = welch(y, segment, max(1, segment // 2))
    edges = log_edges(power.shape[1] - 1, bands)
    levels = np.sqrt(np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1))
    return log_level(levels, exponent), edges


def even_levels(y: Rows, exponent: NDArray[np.int32], bands: int) -> tuple[Rows, NDArray[np.intp]]:
    """log10 of the root of the mean power (rows, b) of scaled rows in b <= ``bands`` bands of equal width, and their edges."""
    segment = min(MOST_SEGMENT, y.shape[1])
    power = welch(y, segment, segment // 2)[:, 1:] if segment > 1 else np.zeros((len(y), 1))
    edges = np.unique(np.linspace(0, power.shape[1], min(bands, power.shape[1]) + 1).astype(np.intp))
    mean = np.add.reduceat(power, edges[:-1], axis=1) / np.diff(edges)
    mean = np.maximum(mean, FLOOR * np.median(mean, axis=1, keepdims=True))
    return log_level(np.sqrt(mean), exponent), edges


def octave_edges(length: int, bands: int) -> Rows:
    """Edges (b + 1,) of the bands of ``octave_levels`` for rows of this length, in cycles a sample."""
    segment = segment_length(length)
    return (log_edges(segment // 2, bands) - 0.5) / segment


def even_edges(length: int, bands: int) -> Rows:
    """Edges (b + 1,) of the bands of ``even_levels`` for rows of this length, in cycles a sample."""
    segment = min(MOST_SEGMENT, length)
    lines = segment // 2 if segment > 1 else 1
    return (np.unique(np.linspace(0, lines, min(bands, lines) + 1).astype(np.intp)) + 0.5) / segment


def segment_length(length: int) -> int:
    """Samples of a segment, for the most half-overlapping ones (1 to 15) that have ``LEAST_SEGMENT`` samples each."""
    segments = min(max(2 * length // LEAST_SEGMENT - 1, 1), MOST_SEGMENTS)
    return 2 * length // (segments + 1)
