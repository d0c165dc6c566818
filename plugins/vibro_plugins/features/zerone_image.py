"""``zerone_image``: the 1,200 Zerone values laid out as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Exported, Extent, FeatureExtractor, NotFittedError, Params, State, ViewKey, view_key
from vibro_plugins.dsp.extents import as_rows
from vibro_plugins.portable import pictures

HEIGHT, WIDTH, LEAST_HEIGHT = 30, 40, 4
RANGE = {"arctan": (0.01, 0.99), "straight": (0.25, 0.75)}  # quantiles of the fit rows whose middle is 1/2
STRAIGHT = 18.0  # half ranges at which the straight curve clips: 12 standard deviations of a Gaussian


@dataclass(frozen=True)
class ZeroneImageParams(Params):
    """Settings of ``zerone_image``.

    ``of``: the vector view that is laid out: zerone or any other
    ``curve``: from value to shade: arctan never clips, straight keeps large values apart
    """

    of: str | dict[str, Any] = "zerone"
    curve: Literal["arctan", "straight"] = "arctan"


class ZeroneImage(FeatureExtractor):
    """(C, 30, 40) in [0, 1]: value 40 r + c of a channel stands in row r, column c.

    Values 0..14 are those of time, 15..141 the short frames, 142..1191 the spectrum from low to high frequency, the last 8
    the ratios. Neighbours in a row are neighbours in frequency; neighbours in a column are 40 values apart. Each value is
    scaled by its own quantiles over the fit rows. ``arctan``: 1/2 + arctan / pi maps the 1 % and 99 % quantiles to 1/4 and
    3/4; it makes no ties but compresses large values. ``straight``: linear up to 18 half inter-quartile ranges from the
    median, so that a few values far from normal keep their weight, and anomalies among the fit rows, which move the 99 %
    quantile, do not set the scale. Values that do not vary are 1/2. A vector of another length than 1,200 per channel
    becomes one picture of as many rows of 40 as it needs, at least four, padded with 0.
    """

    name = "zerone_image"
    summary = "the 1,200 Zerone values as a 30 x 40 picture"
    Params = ZeroneImageParams
    item, takes = "c h 40", "f"

    _middle: NDArray[np.float64] | None = None  # (1200 C,) centre of the range
    _reach: NDArray[np.float64]  # (1200 C,) half of the range, 0 where a value does not vary

    @classmethod
    def inputs(cls, params: ZeroneImageParams) -> tuple[str | ViewKey, ...]:
        """The vector view."""
        return (view_key(params.of),)

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns the range of each value."""
        low, high = np.quantile(self._vector(inputs), RANGE[self.params.curve], axis=0)
        self._middle, self._reach = (low + high) / 2, (high - low) / 2

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, 1200 C) -> (n, C, 30, 40)."""
        middle = self._fitted()
        x = self._vector(inputs)
        unit = np.divide(x - middle, self._reach, out=np.zeros_like(x), where=self._reach > 0)
        return _laid_out(self._shade(unit).astype(np.float32))

    def _shade(self, unit: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.params.curve == "arctan":
            return 0.5 + np.arctan(unit) / np.pi
        return np.clip(0.5 + unit / (2 * STRAIGHT), 0, 1)

    def extent(self, inputs: Mapping[str, Extent]) -> Extent:
        """That of the vector, laid out as its values are."""
        return as_rows(inputs[str(view_key(self.params.of))], partial(_laid_out, beyond=np.nan))

    def state(self) -> State:
        """Middle and reach of each value's range."""
        return {"middle": self._fitted(), "reach": self._reach}

    def export(self) -> Exported:
        """The range of each value, with numpy alone."""
        return Exported({**self.state(), "arctan": np.array(self.params.curve == "arctan")}, pictures.vector_image)

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._middle, self._reach = state["middle"], state["reach"]

    def _fitted(self) -> NDArray[np.float64]:
        if self._middle is None:
            raise NotFittedError("zerone_image is not fitted")
        return self._middle

    def _vector(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        return np.asarray(inputs[str(view_key(self.params.of))], np.float64)


def _laid_out(rows: NDArray[Any], beyond: float = 0.0) -> NDArray[Any]:
    """Vectors (n, values) as pictures (n, C, rows, 40), filled up with ``beyond``."""
    values = rows.shape[1]
    height = max(-(-values // WIDTH), LEAST_HEIGHT) if values % (HEIGHT * WIDTH) else HEIGHT
    full = np.pad(rows, ((0, 0), (0, -values % (height * WIDTH))), constant_values=beyond)
    return full.reshape(len(rows), -1, height, WIDTH)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``zerone_image``."""
    register(ZeroneImage)
