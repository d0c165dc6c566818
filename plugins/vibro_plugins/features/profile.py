"""``profile``: spectrum and time statistics in as many values for any record, for networks that are trained elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Exported, Extent, FeatureExtractor
from vibro_plugins.dsp.extents import levels_at
from vibro_plugins.dsp.profile import profile, profile_bands
from vibro_plugins.dsp.spectrum import by_channel
from vibro_plugins.portable import levels


class Profile(FeatureExtractor):
    """64 levels over log frequency, 64 over frequency, the level of the record, and the 11 time statistics of ``spectrum``.

    Both lines go from the first bin to Nyquist, whatever the sampling rate: log10 RMS in the bands of ``spectrum`` and mean
    power in those of ``lin``, interpolated linearly where a record has fewer bands than places. Levels are log10 of the
    record's unit, so that another unit shifts them all alike. C channels give C times 140 values.
    """

    name = "profile"
    summary = "spectrum and time statistics in 140 values a channel; any rate, any length"
    item = "f"
    seconds = 0.8

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """raw (n, C, T) -> (n, C * 140)."""
        return by_channel(inputs["raw"], profile)

    def extent(self, inputs: Mapping[str, Extent]) -> Extent:
        """Both lines have frequencies, the level and the statistics none."""
        channels, samples = inputs["raw"].seconds.shape[:2]
        return levels_at(profile_bands(samples) * self.ctx.fs, channels)

    def export(self) -> Exported:
        """The same with numpy alone."""
        return Exported({}, levels.profile)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``profile``."""
    register(Profile)
