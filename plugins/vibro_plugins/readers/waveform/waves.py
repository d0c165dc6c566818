"""From the channels of one file to its records: chosen by name, cut where time leaps, refused where a sample is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Record, Rejected
from vibro_plugins.readers.waveform.clock import Clock


@dataclass(frozen=True)
class Wave:
    """One channel: (n,) real values, or (k, n) for k recordings of it; ``path`` is its full name where that is longer."""

    name: str
    values: NDArray[Any]
    unit: str = ""
    clock: Clock = field(default_factory=Clock)
    sensor: str = ""
    path: str = ""


def records(
    waves: Sequence[tuple[int, Wave]],
    covariates: Mapping[str, float],
    line: Callable[[int], int] = lambda sample: -1,
    machine: str = "",
    *,
    gaps: bool = False,
) -> Iterator[Record | Rejected]:
    """The records of channels, each with its place in the file; ``line`` tells that of a sample.

    With ``gaps``, samples that are no number stay, as NaN.

    A channel is one record, or one for each piece between two leaps of its clock, or one for each of its recordings.
    """
    pieces = max((max(len(w.clock.pieces), len(np.atleast_2d(w.values))) for _, w in waves), default=1)
    for place, wave in waves:
        rows = np.atleast_2d(wave.values)
        bounds = [*wave.clock.pieces, rows.shape[1]] if len(rows) == 1 else [0, rows.shape[1]]
        parts = [(row, a, b) for row in rows for a, b in pairwise(bounds)]
        for count, (row, start, stop) in enumerate(parts):
            where = {"row": place * pieces + count, "sensor": wave.sensor}
            signal = _as_float32(row[start:stop])
            if signal.size and not (gaps or np.isfinite(signal.sum(dtype=np.float64))):
                at = int(np.argmin(np.isfinite(signal)))
                of = f" of {wave.name}" if wave.name else ""
                detail = f"sample {start + at}{of} is {row[start + at]:g}, not a finite float32"
                pointer = f"/{wave.path or wave.name}/{start + at}"
                yield Rejected("Q007", detail, **where, line=line(start + at), pointer=pointer)
                continue
            yield Record(
                signal[None],
                time=wave.clock.at(start),
                fs=wave.clock.fs,
                unit=wave.unit,
                machine=machine,
                covariates=covariates,
                line=line(start),
                channel=wave.name,
                zoned=wave.clock.zoned,
                since=wave.clock.since(start),
                of_day=wave.clock.of_day,
                **where,
            )


def _as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """The values side by side in float32; what is too large for it becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)
