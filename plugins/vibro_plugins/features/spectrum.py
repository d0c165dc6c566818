"""``spectrum``: log-spaced band levels and time statistics, for any record of any kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Exported, Extent, FeatureExtractor, Params
from vibro_plugins.dsp.bands import octave_edges, octave_levels
from vibro_plugins.dsp.extents import between, levels_at, nowhere
from vibro_plugins.dsp.spectrum import Rows, by_channel, log_level, scaled
from vibro_plugins.dsp.statistics import SHAPE, shape_statistics
from vibro_plugins.portable import levels


@dataclass(frozen=True)
class SpectrumParams(Params):
    """Settings of ``spectrum``.

    ``bands``: log-spaced bands at most; low ones narrower than a bin are merged
    ``statistics``: whether the 11 time statistics follow the bands
    """

    bands: Annotated[int, Field(ge=1, le=4096)] = 64
    statistics: bool = True


class Spectrum(FeatureExtractor):
    """log10 RMS, log10 RMS in log-spaced bands from the first bin to Nyquist, then 11 scale-free time statistics.

    The bands are evenly spaced in log frequency over the FFT bins of a segment, low bands narrower than a bin merged, so that
    records of any rate and length have bands. Power is averaged over up to 15 half-overlapping Hann segments of at least
    256 samples: low variance for long records, full resolution for short ones. Levels are log10 of the record's unit; a
    gain shifts them all alike and leaves the statistics unchanged. C channels give C times (1 + bands + 11) values.
    """

    name = "spectrum"
    summary = "level, log-spaced band levels and time statistics; any rate, any length"
    Params = SpectrumParams
    item = "f"
    seconds = 0.2
    test_settings: ClassVar[dict[str, Any]] = {"bands": 16}

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """raw (n, C, T) -> (n, C * values)."""
        return by_channel(inputs["raw"], self._values)

    def _values(self, x: NDArray[Any]) -> Rows:
        y, _, exponent = scaled(x)
        rms = np.sqrt(np.mean(y * y, axis=1))
        columns = [log_level(rms, exponent)[:, None], octave_levels(y, exponent, self.params.bands)[0]]
        if self.params.statistics:
            columns.append(shape_statistics(y))
        return np.concatenate(columns, axis=1)

    def extent(self, inputs: Mapping[str, Extent]) -> Extent:
        """The bands have frequencies, RMS and statistics none."""
        raw, p = inputs["raw"], self.params
        channels, samples = raw.seconds.shape[:2]
        bands = between(np.minimum(octave_edges(samples, p.bands), 0.5) * self.ctx.fs)
        return levels_at(np.concatenate([nowhere(1), bands, nowhere(len(SHAPE) * p.statistics)]), channels)

    def export(self) -> Exported:
        """The same with numpy alone."""
        return Exported(
            {"bands": np.array(self.params.bands), "statistics": np.array(self.params.statistics)}, levels.spectrum
        )


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``spectrum``."""
    register(Spectrum)
