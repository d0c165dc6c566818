"""``cycles``: a record as a sequence of its cycles, phase-locked, for detectors that read sequences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import FeatureExtractor, NotFittedError, Params, State
from vibro_plugins.dsp.cycles import Fold, choose_fold, cycle_map, lock
from vibro_plugins.dsp.reference_level import fit_sigma, sigma_of, unit_records
from vibro_plugins.stats.columns import evenly_spaced

LARGEST = 1000.0  # times the usual level at which samples are clipped
FIT_ROWS = 512
BLOCK = 64


@dataclass(frozen=True)
class CyclesParams(Params):
    """Settings of ``cycles``.

    ``columns``: phases of a cycle; 64 keep 32 harmonics
    ``rows``: cycles of a record at most; longer records are thinned evenly, which bounds the sequence
    """

    columns: Annotated[int, Field(ge=8, le=512)] = 64
    rows: Annotated[int, Field(ge=4, le=1024)] = 128


class Cycles(FeatureExtractor):
    """Cycle map (n, cycles, C * columns): row = cycle in time order, column = phase, in units of the sensor's median RMS.

    Fitting decides how the data are folded, and the state records it: ``mode`` 2 = mains (50 or 60 Hz comb in at least half
    of the fit rows), 1 = the record's dominant period, 0 = patches of fixed length; ``period`` in samples, ``rows``, and
    ``locked``, the share of fit rows that follow their own cycle. Mains cycles start at a crest of twice the mains frequency,
    others at the crest of their fundamental, so that the map does not depend on when the record started. A row without the
    cycle is folded at the usual period from its first sample.
    """

    name = "cycles"
    summary = "phase-locked cycles of a record as a sequence (mains, dominant period, else patches)"
    Params = CyclesParams
    item = "t f"
    requires = ("scipy", "numba")
    test_settings: Mapping[str, Any] = {"columns": 16, "rows": 16}

    _state: State | None = None

    @classmethod
    def inputs(cls, params: CyclesParams) -> tuple[str, ...]:
        """Records and their sensors."""
        return ("raw", "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns the sensors' levels and how to fold."""
        raw = inputs["raw"]
        sample = unit_records(raw[evenly_spaced(len(raw), FIT_ROWS)])[0]
        records = sample.reshape(-1, raw.shape[-1])
        fold = choose_fold(records, self.ctx.fs, self.params.rows, self.params.columns)
        locked = lock(records, self.ctx.fs, fold).locked.mean()
        self._state = {"sigma": fit_sigma(raw, inputs["sensor"]), "locked": np.array(locked), **fold.state()}

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, cycles, C * columns)."""
        state = self.state()
        fold = Fold(int(state["mode"]), float(state["period"]), int(state["rows"]))
        raw, columns = inputs["raw"], self.params.columns
        n, channels, _ = raw.shape
        sigma = sigma_of(state["sigma"], inputs["sensor"])
        out = np.empty((n, fold.rows, channels * columns), np.float32)
        for start in range(0, n, BLOCK):
            part = slice(start, start + BLOCK)
            unit, level = unit_records(raw[part])
            gain = level / sigma[part]
            for c in range(channels):
                records = np.ascontiguousarray(unit[:, c])
                cycles = cycle_map(records, lock(records, self.ctx.fs, fold), fold.rows, columns, gain[:, c])
                out[part, :, c * columns : (c + 1) * columns] = np.clip(cycles, -LARGEST, LARGEST)
        return out

    def state(self) -> State:
        """Levels and fold; NotFittedError before ``fit``."""
        if self._state is None:
            raise NotFittedError("cycles has not been fitted")
        return self._state

    def load_state(self, state: State) -> None:
        """Restores levels and fold."""
        self._state = dict(state)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Registers ``cycles``."""
    register(Cycles)
