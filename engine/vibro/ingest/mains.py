"""What the mains in records say: a sampling rate that nobody gave, one that cannot be, and records that lack them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro.data import Quality
from vibro.ingest import comb
from vibro.ingest.accounting import WARNING, Finding
from vibro.ingest.candidates import Candidates
from vibro.words import counted

PROBES = 64  # records that are looked at for the comb of the mains
LOOK = 1 << 22  # samples looked at in all probes, so that long recordings take no more memory
LONGEST = 1 << 20  # samples looked at in one of them
LOW_MAINS = 0.5  # autocorrelation at whole mains periods below which a record is not mains vibration
Rows = NDArray[np.intp]


def rates_of(found: Candidates) -> list[float]:
    """Usual sampling rates at which the candidates hold a comb of the mains; one entry = the rate is clear."""
    rows = np.flatnonzero(found.alive & (found.index.samples > 0))
    if not len(rows):
        return []
    length = int(most_frequent(found.index.samples[rows]))
    rows = rows[found.index.samples[rows] == length]
    chosen = rows[np.linspace(0, len(rows) - 1, min(PROBES, len(rows))).astype(int)]
    length = min(length, LOOK // len(chosen), LONGEST)
    return comb.rates_of_comb(np.stack([found.samples.look(int(found.index.start[i]), length) for i in chosen]))


def mains_of(found: Candidates, x: NDArray[np.float32], rows: Rows, fs: float) -> float:
    """The mains frequency in Hz of the accepted samples (n, C, T), 0 = no clear comb; Q017 and the check of fs."""
    if fs <= 0 or not len(rows):
        return 0.0
    chosen = np.unique(np.linspace(0, len(x) - 1, min(PROBES, len(x))).astype(int))
    probes = np.stack([x[i, 0, : min(LOOK // len(chosen), LONGEST)] for i in chosen])
    mains = comb.mains_frequency(probes, fs)
    if mains:
        _low_mains(found, x, rows, fs, mains)
        return mains
    rates = comb.rates_of_comb(probes)
    if len(rates) == 1 and abs(rates[0] / fs - 1) > comb.EXACT:
        found.index.quality[rows] |= int(Quality.FS_COMB)
        words = f"the lines of the records are those of the mains at {rates[0]:g} Hz, not at {fs:g} Hz"
        found.warnings.append(f"{words} (Q013): check fs")
        for code in np.unique(found.index.source[rows]):
            source = found.index.names["source"][code]
            found.books.decide(Finding(source, -1, -1, "", -1, "", "", "", "Q013", WARNING, words, ""))
    return 0.0


def _low_mains(found: Candidates, x: NDArray[np.float32], rows: Rows, fs: float, mains: float) -> None:
    low = 0
    step = max(1, (8 << 20) // max(1, x[0].nbytes))
    for start in range(0, len(rows), step):
        share = comb.mains_share(x[start : start + step, 0, :LONGEST], fs, mains)
        for k in np.flatnonzero(share < LOW_MAINS):
            i = int(rows[start + k])
            if not found.index.quality[i] & int(Quality.INVALID):
                found.mark(i, Quality.LOW_MAINS, "Q017", f"share of the mains {max(share[k], 0):.2f}")
                low += 1
    if low:
        found.warnings.append(
            f"{counted(low, 'record holds', 'records hold')} little of the mains and its harmonics (Q017)"
        )


def most_frequent(values: NDArray[np.generic]) -> float:
    """The most frequent value, the larger one of two."""
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[len(counts) - 1 - int(np.argmax(counts[::-1]))])
