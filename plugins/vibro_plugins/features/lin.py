"""``lin``: levels in linear frequency bands, for what lies close together high up in the spectrum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Exported, Extent, FeatureExtractor, Params
from vibro_plugins.dsp.bands import even_edges, even_levels
from vibro_plugins.dsp.extents import between, levels_at
from vibro_plugins.dsp.spectrum import Rows, by_channel, scaled
from vibro_plugins.portable import levels


@dataclass(frozen=True)
class LinParams(Params):
    """Settings of ``lin``.

    ``bands``: bands of equal width at most; where a segment has fewer bins, every bin is one
    """

    bands: Annotated[int, Field(ge=1, le=4096)] = 128


class Lin(FeatureExtractor):
    """log10 of the mean power in up to 128 bands of equal width from the first bin to Nyquist.

    ``spectrum`` has few log-spaced bands, wide at the top; here a line moves from one band to the next all over the
    spectrum. Power is averaged over half-overlapping Hann segments of at most 512 samples; a band has at least a millionth
    of the median power of all bands of the record, so that what lies below the noise of a converter does not vary freely.
    C channels give C times the bands.
    """

    name = "lin"
    summary = "levels in bands of equal width; any rate, any length"
    Params = LinParams
    item = "f"
    seconds = 0.2
    test_settings: ClassVar[dict[str, Any]] = {"bands": 16}

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """raw (n, C, T) -> (n, C * bands)."""
        return by_channel(inputs["raw"], self._values)

    def _values(self, x: NDArray[Any]) -> Rows:
        y, _, exponent = scaled(x)
        return 2.0 * even_levels(y, exponent, self.params.bands)[0]

    def extent(self, inputs: Mapping[str, Extent]) -> Extent:
        """The bands in Hz."""
        raw = inputs["raw"]
        channels, samples = raw.seconds.shape[:2]
        return levels_at(between(np.minimum(even_edges(samples, self.params.bands), 0.5) * self.ctx.fs), channels)

    def export(self) -> Exported:
        """The same with numpy alone."""
        return Exported({"bands": np.array(self.params.bands)}, levels.lin)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``lin``."""
    register(Lin)
