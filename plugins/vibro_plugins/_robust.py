"""Robust location and spread of columns, shared by the views that standardise others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Columns = NDArray[np.float64]  # (rows, f)


def spread(residual: Columns, otherwise: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Spread (f,) of columns about zero: 1.4826 MAD, not below a tenth of the standard deviation.

    A column without any takes ``otherwise`` (f,), else 1. The floor by the standard deviation keeps a column that is
    mostly one value, and a group of two or three rows, from owning every distance.
    """
    middle = 1.4826 * np.median(np.abs(residual), axis=0)
    value = np.maximum(middle, np.sqrt(np.mean(residual**2, axis=0)) / 10)
    return np.where(value > 0, value, 1.0 if otherwise is None else otherwise)


def varying(x: Columns) -> NDArray[np.bool_]:
    """(f,) columns that differ over the rows by more than float32 noise."""
    return np.ptp(x, axis=0) > 1e-6 * np.abs(x).max(axis=0)
