"""Wavelet images by other packages, in a Python of their own: started by ``benchmarks.speed.cwt``, not by hand.

Arguments: a ``.npy`` file of records, sampling rate, lowest and highest frequency, number of bands, columns. Prints the
names of the ways that work here; then, for every name read from stdin, the processor seconds that one record took.
"""

from __future__ import annotations

import sys
from time import thread_time

import numpy as np


def pooled(coefficients: np.ndarray, columns: int) -> np.ndarray:
    """The image: power averaged over columns, in dB."""
    parts = np.ascontiguousarray(coefficients).view(np.float32).reshape(len(coefficients), columns, -1)
    return 10 * np.log10(np.einsum("bci,bci->bc", parts, parts) + np.float32(1e-30))


def ways(fs: float, low: float, high: float, bands: int, columns: int) -> dict:
    """Name -> work on one record, for each package that imports; one thread each."""
    found = {}
    try:
        import fcwt

        morlet = fcwt.Morlet(2.0)
        scales = fcwt.Scales(morlet, fcwt.FCWT_LOGSCALES, int(fs), low, high, bands)
        engine = fcwt.FCWT(morlet, 1, False, False)

        def by_fcwt(x: np.ndarray, needed: object = morlet) -> np.ndarray:  # the engine keeps only a pointer to it
            out = np.empty((bands, len(x)), np.complex64)
            engine.cwt(x, scales, out)
            return out

        found["fCWT, coefficients alone"] = by_fcwt
        found["fCWT, image"] = lambda x: pooled(by_fcwt(x), columns)
    except ImportError as error:
        print(f"# fCWT: {error}")
    try:
        from ssqueezepy import Wavelet, cwt

        wavelet = Wavelet("morlet", dtype="float32")
        sizes = (wavelet.wc / (2 * np.pi) * fs / np.geomspace(high, low, bands)).astype(np.float32)

        def by_ssqueezepy(x: np.ndarray) -> np.ndarray:
            return cwt(x, wavelet, scales=sizes, fs=fs, cache_wavelet=True)[0]

        found["ssqueezepy, coefficients alone"] = by_ssqueezepy
        found["ssqueezepy, image"] = lambda x: pooled(by_ssqueezepy(x), columns)
    except ImportError as error:
        print(f"# ssqueezepy: {error}")
    return found


def main() -> int:
    """Answers one name a line."""
    records = np.load(sys.argv[1])
    fs, low, high = map(float, sys.argv[2:5])
    todo = ways(fs, low, high, *map(int, sys.argv[5:7]))
    for work in todo.values():
        work(records[0])
    print("ready", *(name.replace(" ", "_") for name in todo), flush=True)
    for line in sys.stdin:
        begun = thread_time()
        for record in records:
            todo[line.strip()](record)
        print((thread_time() - begun) / len(records), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
