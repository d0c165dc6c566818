"""``mains``: indicators of transformers and other machines on the grid, with general ones where there are no mains lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import FeatureExtractor, NotFittedError, State
from vibro_plugins.dsp.harmonics import Comb, find_family, line_powers, running_sum
from vibro_plugins.dsp.spectrum import Rows, by_channel, log10, log_edges, log_level, ratio, scaled, welch
from vibro_plugins.dsp.statistics import (
    SHAPE,
    cycle_statistics,
    determinism,
    entropy,
    likeness,
    periodicity,
    quality_shares,
    shape_statistics,
)

OCTAVES = 8
PATCHES = 32  # parts of a record that replace cycles where there is no comb
POINTS = 256  # samples of a record for its recurrences
SINGLE = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20)  # lines whose level is an indicator
SHAPES = [SHAPE.index(name) for name in ("log_crest", "log_kurtosis", "skewness", "log_mobility")]
GENERAL = (
    "log_rms",
    *(SHAPE[i] for i in SHAPES),
    "log_cycle_variation",
    "log_cycle_kurtosis",
    "log_unlike_cycles",
    "spectral_entropy",
    "log_centroid",
    "log_undetermined",
    "log_clip_share",
    "log_longest_run",
    "log_distinct",
    *(f"octave_{k}" for k in range(OCTAVES)),
)
HERTZ = ("log_below_20_hz", "log_above_1000_hz")
RATIOS = (
    "even_lines_22_40",
    "odd_lines_7_39",
    "base_ratio",
    "main_ratio",
    "log_odd_even",
    "harmonic_entropy",
    "log_between_lines",
    "log_thd",
    "weighted_entropy",
)
NAMES = (*GENERAL, *HERTZ, *(f"line_{n}" for n in SINGLE), *RATIOS)


class Mains(FeatureExtractor):
    """The 46 indicators of ``NAMES`` per channel; amplitudes, powers and ratios that span decades are logarithms.

    Whether there is a comb of mains lines, and at 50 or 60 Hz, is decided on the fit rows; each record's f0 is then
    estimated within 0.5 Hz of it. Without a comb (bearings, heart beats) its lines are 0 and masked in ``kept``, patches
    of a 32nd of the record replace cycles, and the likeness of cycles is that at the record's dominant period. Indicators
    that the rate and length cannot give are 0 and masked as well.

    With A_n the amplitude at n f0 and sums over n >= 2: base ratio A_2^2 / sum A_n^2; main ratio max A_n^2 / sum A_n^2;
    odd / even sum A_odd^2 / sum A_even^2; harmonic entropy of A_n^2 in bits; between lines 1 - sum A_n^2 / power in
    20..2000 Hz; THD sqrt(sum of even n > 2) / A_2; weighted entropy that of n times the power in (n +- 1/2) f0.
    """

    name = "mains"
    summary = "level, mains lines and their ratios, cycles, octaves, quality; general where there is no comb"
    item = "f"

    _family: float | None = None
    _kept: NDArray[np.bool_]

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Finds the comb of raw (n, C, T), and which indicators this rate and length can give."""
        raw = inputs["raw"]
        channels, length = raw.shape[1:]
        sample = raw[:: max(1, len(raw) // 256)]
        rows = scaled(sample.reshape(-1, length)).y
        self._family = find_family(welch(rows, length, length), self.ctx.fs, length)
        self._kept = np.tile(reachable(self._family, self.ctx.fs, length), channels)

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """raw (n, C, T) -> (n, 46 C)."""
        self._fitted()
        values = by_channel(inputs["raw"], self._values)
        return np.where(self._kept, values, np.float32(0))

    @property
    def kept(self) -> NDArray[np.bool_] | None:
        """Indicators that this rate, length and data can give."""
        return None if self._family is None else self._kept

    def state(self) -> State:
        """The comb's family in Hz, 0 for none, and the mask."""
        return {"family": np.array(self._fitted()), "kept": self._kept}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._family, self._kept = float(state["family"]), state["kept"].astype(bool)

    def _fitted(self) -> float:
        if self._family is None:
            raise NotFittedError("mains is not fitted")
        return self._family

    def _values(self, x: NDArray[Any]) -> Rows:
        family, fs, length = self._fitted(), self.ctx.fs, x.shape[1]
        y, _, exponent = scaled(x)
        power = welch(y, length, length)
        columns = [log_level(np.sqrt(np.mean(y * y, axis=1)), exponent)[:, None], shape_statistics(y)[:, SHAPES]]
        if family:
            comb = Comb(family, fs, length)
            f0, lines = line_powers(comb, power)
            columns.append(_general(y, power, likeness(power, f0 * length / fs), fs / family))
            lined = [
                log_level(np.sqrt(lines[:, np.array(SINGLE) - 1]), exponent),
                _ratios(lines, exponent),
                _between(comb, power, f0, lines),
            ]
        else:
            columns.append(_general(y, power, periodicity(power, length), max(length / PATCHES, 8.0)))
            lined = [np.zeros((len(y), len(SINGLE) + len(RATIOS)))]
        columns += [log_level(np.sqrt(_octaves(power)), exponent), _fixed_bands(power, fs / length)]
        return np.concatenate(columns + lined, axis=1)


def reachable(family: float, fs: float, length: int) -> NDArray[np.bool_]:
    """(46,) indicators that records of this rate and length, with this comb or none (0), can give."""
    lines = Comb(family, fs, length).lines if family else 0
    first = np.diff(_octave_edges(length // 2)) > 0
    needs = {f"line_{n}": n for n in SINGLE} | dict.fromkeys(RATIOS, 4)
    needs |= {"odd_lines_7_39": 7, "even_lines_22_40": 22}
    given = {f"octave_{k}": bool(first[OCTAVES - 1 - k]) for k in range(OCTAVES)}
    given["log_below_20_hz"] = 2 * fs / length <= 20 <= 0.45 * fs
    given["log_above_1000_hz"] = 0.45 * fs >= 1000
    return np.array([given.get(name, needs.get(name, 0) <= lines) for name in NAMES])


def _general(y: Rows, power: Rows, alike: Rows, period: float) -> Rows:
    """From ``log_cycle_variation`` to ``log_distinct`` (rows, 9)."""
    variation, kurtosis = cycle_statistics(y, period)
    bins = np.arange(power.shape[1])
    edges = log_edges(power.shape[1] - 1, PATCHES)
    bands = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1)
    clipped, run, distinct = quality_shares(y)
    columns = [
        log10(variation + 1e-3),
        log10(kurtosis),
        log10(np.maximum(1 - alike, 0) + 1e-3),
        entropy(bands),
        log10(ratio((power * bins).sum(axis=1), power.sum(axis=1), 1.0) / bins[-1]),
        log10(1 - determinism(y, POINTS) + 1e-2),
        log10(clipped),
        log10(run),
        log10(distinct),
    ]
    return np.stack(columns, axis=1)


def _octave_edges(bins: int) -> NDArray[np.intp]:
    """First bins of the octaves below Nyquist, lowest first, and ``bins`` + 1; the lowest takes all that is left."""
    edges = np.round((bins + 1) / 2.0 ** np.arange(OCTAVES, -1, -1)).astype(np.intp)
    edges[0] = 0
    return np.maximum(edges, 1)


def _octaves(power: Rows) -> Rows:
    """Power (rows, 8) of the octaves below Nyquist, highest first; 0 where the record is too short for one."""
    running = running_sum(power)
    return np.maximum(np.diff(running[:, _octave_edges(power.shape[1] - 1)], axis=1), 0)[:, ::-1]


def _fixed_bands(power: Rows, resolution: float) -> Rows:
    """Shares of power below 20 Hz and from 1 kHz up, in logarithms (rows, 2)."""
    low, high = (min(int(np.ceil(f / resolution)), power.shape[1]) for f in (20, 1000))
    total = power.sum(axis=1)
    shares = [ratio(power[:, :low].sum(axis=1), total), ratio(power[:, high:].sum(axis=1), total)]
    return log10(np.stack(shares, axis=1) + 1e-6)


def _ratios(lines: Rows, exponent: NDArray[np.int32]) -> Rows:
    """From ``even_lines_22_40`` to ``harmonic_entropy`` (rows, 6), from line powers (rows, 40)."""
    upper = lines[:, 1:]  # n >= 2
    total = upper.sum(axis=1)
    odd, even = lines[:, 2::2].sum(axis=1), lines[:, 1::2].sum(axis=1)
    sums = np.stack([lines[:, 21::2].sum(axis=1), lines[:, 6::2].sum(axis=1)], axis=1)
    shares = [
        ratio(lines[:, 1], total),
        ratio(upper.max(axis=1), total),
        log10(ratio(odd, even) + 1e-6),
        entropy(upper),
    ]
    return np.concatenate([log_level(np.sqrt(sums), exponent), np.stack(shares, axis=1)], axis=1)


def _between(comb: Comb, power: Rows, f0: Rows, lines: Rows) -> Rows:
    """``log_between_lines``, ``log_thd`` and ``weighted_entropy`` (rows, 3)."""
    low, high = (min(int(np.ceil(f / comb.resolution)), power.shape[1]) for f in (20, 2000))
    share = ratio(lines.sum(axis=1), power[:, low:high].sum(axis=1), 1.0)
    distortion = ratio(np.sqrt(lines[:, 3::2].sum(axis=1)), np.sqrt(lines[:, 1]), 1.0)
    weighted = comb.bands(power, f0) * np.arange(1, comb.lines + 1)
    columns = [log10(np.maximum(1 - share, 0) + 1e-4), log10(distortion + 1e-4), entropy(weighted)]
    return np.stack(columns, axis=1)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``mains``."""
    register(Mains)
