"""Long recordings cut into records, and records brought to another sampling rate, on purpose and by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import isclose

import numpy as np
from numpy.typing import NDArray

from vibro.data import Record, Rejected
from vibro.errors import ConfigError


class Cutter:
    """Resamples a record to ``rate`` Hz, then cuts it into windows of ``window`` samples, ``hop`` apart.

    The rest at the end is left out; a record shorter than one window is a Rejected (Q008). The time of a window is that
    of its first sample, its recording that of the record it is cut from.
    """

    def __init__(self, fs: float | None, window: int | None, hop: int | None, rate: float | None) -> None:
        if window is None and hop is not None:
            raise ConfigError("--hop needs --window")
        for name, value in (("--window", window), ("--hop", hop), ("--resample", rate)):
            if value is not None and not 0 < value < np.inf:
                raise ConfigError(f"{name} {value:g} is not above 0")
        self.fs = fs
        self.window = window
        self.hop = window if hop is None else hop
        self.rate = rate

    def __call__(self, record: Record) -> Iterator[Record | Rejected]:
        """The records that are made of one."""
        if self.rate is not None:
            if self.fs and record.fs and not isclose(self.fs, record.fs, rel_tol=1e-6):
                detail = f"the record declares {record.fs:g} Hz, --fs says {self.fs:g} Hz"
                yield Rejected("Q013", detail, record.row, record.line, record.offset, sensor=record.sensor)
                return
            record = self._resampled(record, self.rate)
        if self.window is None or self.hop is None:
            yield record
            return
        length = record.signal.shape[1]
        if length < self.window:
            detail = f"{length} samples, fewer than a window of {self.window}"
            yield Rejected("Q008", detail, record.row, record.line, record.offset, sensor=record.sensor)
        fs = record.fs or self.fs or 0.0
        for start in range(0, length - self.window + 1, self.hop):
            time = record.time
            if fs:
                time = time + np.timedelta64(round(start / fs * 1e9), "ns")
            elif start:
                time = np.datetime64("NaT", "ns")  # without a sampling rate the time of this window is unknown
            yield replace(record, signal=record.signal[:, start : start + self.window], time=time)

    def _resampled(self, record: Record, rate: float) -> Record:
        fs = record.fs or self.fs
        if not fs:
            raise ConfigError("--resample needs a sampling rate, and the data do not give one", hint="give it: --fs HZ")
        return replace(record, signal=resampled(record.signal, fs, rate), fs=rate)


def resampled(signal: NDArray[np.float32], fs: float, rate: float) -> NDArray[np.float32]:
    """(C, T) from ``fs`` to ``rate`` by a polyphase filter against aliasing (scipy.signal.resample_poly)."""
    ratio = Fraction(rate / fs).limit_denominator(10_000)
    if ratio == 1 or not signal.size:
        return signal
    from scipy.signal import resample_poly

    wide = resample_poly(signal.astype(np.float64), ratio.numerator, ratio.denominator, axis=1, padtype="line")
    return np.asarray(wide, dtype=np.float32)
