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
from vibro.ingest.options import IngestOptions, samples_of


class Cutter:
    """Resamples a record to ``resample`` Hz, then cuts it into windows, ``hop`` apart (default: side by side).

    The rest at the end is left out; a record shorter than one window is a Rejected (Q008). The time of a window is that
    of its first sample, its recording that of the record it is cut from.
    """

    def __init__(self, options: IngestOptions) -> None:
        self._options = options

    def __call__(self, record: Record) -> Iterator[Record | Rejected]:
        """The records that are made of one."""
        wanted = self._options
        if wanted.resample is not None:
            if wanted.fs and record.fs and not isclose(wanted.fs, record.fs, rel_tol=1e-6):
                detail = f"the record declares {record.fs:g} Hz, --fs says {wanted.fs:g} Hz"
                yield Rejected("Q013", detail, record.row, record.line, record.offset, sensor=record.sensor)
                return
            record = self._resampled(record, wanted.resample)
        if wanted.window is None:
            yield record
            return
        fs = record.fs or wanted.fs or 0.0
        window = samples_of(wanted.window, fs, "--window")
        hop = window if wanted.hop is None else samples_of(wanted.hop, fs, "--hop")
        if window < 1 or hop < 1:
            raise ConfigError(f"--window {wanted.window} is less than a sample at {fs:g} Hz", hint="--window 4096")
        length = record.signal.shape[1]
        if length < window:
            detail = f"{length} samples, fewer than a window of {window}"
            yield Rejected("Q008", detail, record.row, record.line, record.offset, sensor=record.sensor)
            return
        for start in range(0, length - window + 1, hop):
            time = record.time
            if fs:
                time = time + np.timedelta64(round(start / fs * 1e9), "ns")
            elif start:
                time = np.datetime64("NaT", "ns")  # without a sampling rate the time of this window is unknown
            yield replace(record, signal=record.signal[:, start : start + window], time=time)

    def _resampled(self, record: Record, rate: float) -> Record:
        fs = record.fs or self._options.fs
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
